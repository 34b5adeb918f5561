"""Writing to the journal although it may be out for a while.

What has happened has to be written down: while the journal is out it waits here, in the memory of
the run that it belongs to, and is written in order when the journal is back. Nothing new begins
meanwhile, since every beginning is written down first.
"""

import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import TypeVar

from resilience.clock import Clock
from resilience.saga.history import History
from resilience.saga.journal import (
    Event,
    Journal,
    JournalUnavailable,
    JsonValue,
    LeaseLost,
    Part,
)
from resilience.saga.transitions import CLOSING, EventType

T = TypeVar("T")

PATIENCE_S = 330.0
"""How long a run waits for its journal: the five minutes that an outage may last, and some."""
_PAUSE_FIRST_S, _PAUSE_MAX_S = 0.1, 5.0

log = logging.getLogger(__name__)


async def patiently(work: Callable[[], Awaitable[T]], clock: Clock) -> T:
    """The result of `work`, tried again while the journal is out, for at most PATIENCE_S; then
    raises JournalUnavailable."""
    until, pause_s = clock.monotonic() + PATIENCE_S, _PAUSE_FIRST_S
    while True:
        try:
            return await work()
        except JournalUnavailable:
            if clock.monotonic() >= until:
                raise
        await clock.sleep(pause_s)
        pause_s = min(2 * pause_s, _PAUSE_MAX_S)


class Recording:
    """The journal of one run, for who executes it, and its history as far as it is stored."""

    def __init__(
        self, journal: Journal, clock: Clock, run_id: str, notify: Callable[[Event], None]
    ) -> None:
        self.run_id = run_id
        self.history = History()
        self.fence: int | None = None
        self._journal = journal
        self._clock = clock
        self._notify = notify

    async def load(self) -> None:
        """Read what is stored; raises JournalUnavailable only after a long while."""
        events = await patiently(lambda: self._journal.events(self.run_id), self._clock)
        history = History.of(events)
        if history.last_seq >= self.history.last_seq:  # nothing was noted meanwhile
            self.history = history

    async def parts(self) -> Mapping[str, str]:
        """What the completed steps made, by step."""
        return await patiently(lambda: self._journal.parts(self.run_id), self._clock)

    async def write(
        self,
        event: EventType,
        data: Mapping[str, JsonValue] | None = None,
        part: Part | None = None,
    ) -> None:
        """Store an event; waits while the journal is out. Raises IllegalTransition, LeaseLost."""
        at, tried = self._clock.now(), False

        async def store() -> Event:
            nonlocal tried
            if tried and (stored := await self._stored(event, data)) is not None:
                return stored
            tried = True
            return await self._journal.append(
                self.run_id, event, data, at=at, fence=self.fence, part=part
            )

        await self._noted(await patiently(store, self._clock))

    async def write_now(self, event: EventType) -> None:
        """Store an event that somebody else asks for, or raise JournalUnavailable at once."""
        await self._noted(await self._journal.append(self.run_id, event))

    async def _stored(self, event: EventType, data: Mapping[str, JsonValue] | None) -> Event | None:
        """The event, when the try before was stored although it failed: the answer got lost.
        Raises LeaseLost where it may be the same event of a process that has the run by now."""
        events = await self._journal.events(self.run_id)
        new = events[self.history.last_seq :]
        stored = next((e for e in new if (e.type, e.data) == (event, dict(data or {}))), None)
        ours = stored is None or self.fence is None or event in CLOSING  # which end the lease
        if not ours and self.run_id not in await self._journal.renew((self.run_id,)):
            raise LeaseLost(self.run_id)
        return stored

    async def _noted(self, stored: Event) -> None:
        if self.history.last_seq + 1 == stored.seq:
            self.history.feed(stored)
        else:  # somebody else's came between, a cancel say, or nothing was read yet
            await self.load()
        self._notify(stored)
