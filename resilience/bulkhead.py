"""The bulkhead: so many calls at once, so many waiting, the more urgent first."""

import asyncio
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from enum import IntEnum

from resilience.checks import above_zero, not_negative, whole
from resilience.errors import BulkheadFull


class Priority(IntEnum):
    """Who goes first."""

    OPERATOR = 0
    INTERACTIVE = 1
    BACKGROUND = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class BulkheadPolicy:
    """How many calls may be under way, and how many may wait."""

    limit: int = 10
    queue_max: int = 100

    def __post_init__(self) -> None:
        whole(limit=self.limit, queue_max=self.queue_max)
        above_zero(limit=self.limit)
        not_negative(queue_max=self.queue_max)


class Bulkhead:
    """Places to work in and to wait in: by priority, within one in the order of coming.

    When all places to wait in are taken, one who is more urgent than the least urgent of those who
    wait takes the place of the last of them. Not thread-safe: for one event loop.
    """

    def __init__(self, name: str, policy: BulkheadPolicy) -> None:
        self.name = name
        self._policy = policy
        self._in_flight = 0
        self._withheld = 0
        self._queues: tuple[deque[asyncio.Future[None]], ...] = tuple(deque() for _ in Priority)

    @property
    def in_flight(self) -> int:
        """How many are at work."""
        return self._in_flight

    @property
    def waiting(self) -> int:
        """How many wait."""
        return sum(map(len, self._queues))

    @property
    def limit(self) -> int:
        """How many may be at work."""
        return self._policy.limit

    def try_acquire(self) -> bool:
        """Take a place if one is free: then nobody waits, as a free place is given on at once."""
        if self._in_flight >= self._policy.limit - self._withheld:
            return False
        self._in_flight += 1
        return True

    async def acquire(self, priority: Priority = Priority.INTERACTIVE) -> None:
        """Take a place, waiting for one; raises BulkheadFull when there is none to wait in, or
        when somebody more urgent took it. Each return has to be followed by one `release`."""
        if self.try_acquire():
            return
        if self.waiting >= self._policy.queue_max:
            self._displace(priority)
        queue = self._queues[priority]
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        queue.append(place)
        try:
            await place
        except asyncio.CancelledError:
            if place.cancelled():
                with suppress(ValueError):  # it may have been taken out already
                    queue.remove(place)
            elif place.exception() is None:
                self.release()  # it was given in the same moment
            raise

    def release(self) -> None:
        """Give the place back."""
        if not self._in_flight:
            raise RuntimeError(f"{self.name}: released more often than acquired")
        self._in_flight -= 1
        self._admit()

    def withhold(self, places: int) -> None:
        """Keep so many places empty, all but one at most, from when they are given back."""
        if places != self._withheld:
            whole(places=places)
            not_negative(places=places)
            self._withheld = min(places, self._policy.limit - 1)
            self._admit()

    def _admit(self) -> None:
        while self._in_flight < self._policy.limit - self._withheld:
            queue = next(filter(None, self._queues), None)
            if queue is None:
                return
            place = queue.popleft()
            if not place.cancelled():
                self._in_flight += 1
                place.set_result(None)

    def _displace(self, priority: Priority) -> None:
        """Make room for one of this priority, or refuse it."""
        full = BulkheadFull(self.name, "too many calls are waiting already")
        for queue in self._queues[:priority:-1]:
            if queue:
                last = queue.pop()
                if not last.cancelled():
                    last.set_exception(full)
                return
        raise full
