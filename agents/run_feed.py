"""The events of runs, to whoever follows: from the ledger first, then as they are stored.

A follower holds only the number of the last event that it has: what it missed, and what another
process stored, is read from the ledger. Events that are stored here wake those who wait for them.
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, field

from agents.store.ledger import Ledger
from resilience.saga import CLOSING, OPEN, Event, Orchestrator, RunStatus

PAGE = 500
_RECENT = 200
LOOK_S = 1.0
"""How often the ledger is asked for events of a run that another process executes."""
LOOK_HERE_S = 5.0
"""How often it is asked where the run has a task here: it may wait here for its turn or for its end
while another process executes it."""


@dataclass(slots=True)
class _Channel:
    """The newest events of a run that is followed, and what wakes its followers."""

    recent: deque[Event] = field(default_factory=lambda: deque(maxlen=_RECENT))
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    followers: int = 0

    def after(self, seq: int) -> list[Event] | None:
        """The events after that one; None when some of them are not here."""
        if not self.recent or self.recent[0].seq > seq + 1:
            return None
        new: list[Event] = []
        for event in reversed(self.recent):  # mostly there is one
            if event.seq <= seq:
                break
            new.append(event)
        new.reverse()
        return new

    def note(self, event: Event) -> None:
        """Take in an event that was stored."""
        if self.recent and self.recent[-1].seq + 1 != event.seq:
            self.recent.clear()  # another process stored some between
        self.recent.append(event)
        self.wake()

    def wake(self) -> None:
        """Let the followers look."""
        self.changed.set()
        self.changed = asyncio.Event()


class RunFeed:
    """Follows runs. `close` ends all that is followed."""

    def __init__(
        self,
        ledger: Ledger,
        orchestrator: Orchestrator,
        *,
        look_s: float = LOOK_S,
        look_here_s: float = LOOK_HERE_S,
    ) -> None:
        self._look_s = look_s
        self._look_here_s = look_here_s
        self._ledger = ledger
        self._orchestrator = orchestrator
        self._channels: dict[str, _Channel] = {}
        self._closed = False
        self._unsubscribe: Callable[[], None] = orchestrator.subscribe(self._note)

    @property
    def followers(self) -> int:
        """How many follow some run."""
        return sum(channel.followers for channel in self._channels.values())

    def close(self) -> None:
        """End all that is followed."""
        self._closed = True
        self._unsubscribe()
        for channel in self._channels.values():
            channel.wake()

    async def follow(
        self,
        run_id: str,
        after: int,
        heartbeat_s: float,
        gone: Callable[[], bool] = lambda: False,
    ) -> AsyncGenerator[list[Event], None]:
        """The run's events after that one, in order, as they come: an empty list each
        `heartbeat_s` in which there was none. Ends after a closing event, at once where the run has
        ended before, and soon after whoever follows is `gone`. Raises StoreError."""
        channel = self._channels.setdefault(run_id, _Channel())
        channel.followers += 1
        try:
            quiet_s, asked, look = 0.0, False, False
            while not self._closed and not gone():
                changed = channel.changed
                events = await self._next(channel, run_id, after, look=look)
                if events:
                    quiet_s, asked, after = 0.0, True, events[-1].seq
                    yield events
                    if events[-1].type in CLOSING:
                        return
                    continue
                if not asked and await self._is_over(run_id, after):
                    return
                wait_s = self._look_here_s if self._is_here(run_id) else self._look_s
                waited_s = await self._wait(changed, min(wait_s, heartbeat_s))
                # Woken without an event to send: the client may have named one that never was.
                look = asked = waited_s > 0
                quiet_s += waited_s
                if quiet_s >= heartbeat_s:
                    quiet_s, asked = 0.0, False
                    yield []
        finally:
            channel.followers -= 1
            if not channel.followers and self._channels.get(run_id) is channel:
                del self._channels[run_id]

    async def _next(self, channel: _Channel, run_id: str, after: int, *, look: bool) -> list[Event]:
        events = channel.after(after)
        if events is None or (not events and (look or not self._is_here(run_id))):
            events = await self._ledger.events_after(run_id, after, PAGE)
        return _up_to_closing(events)

    async def _is_over(self, run_id: str, after: int) -> bool:
        """Whether no event will come after that one: the run has ended, and is not parked."""
        last = await self._ledger.standing(run_id)
        if last is None:
            return True
        status, last_seq = last
        return status not in (*OPEN, RunStatus.PARKED) and after >= last_seq

    def _is_here(self, run_id: str) -> bool:
        return self._orchestrator.task_of(run_id) is not None

    async def _wait(self, changed: asyncio.Event, seconds: float) -> float:
        try:
            async with asyncio.timeout(seconds):
                await changed.wait()
        except TimeoutError:
            return seconds
        return 0.0

    def _note(self, event: Event) -> None:
        channel = self._channels.get(event.run_id)
        if channel is not None:
            channel.note(event)


def _up_to_closing(events: list[Event]) -> list[Event]:
    """A stream ends at the first closing event: a parked run goes on in the next one."""
    for place, event in enumerate(events, start=1):
        if event.type in CLOSING:
            return events[:place]
    return events
