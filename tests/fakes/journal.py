"""A journal in memory that can be held at any of its appends."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from resilience.saga import CLOSING, Event, EventType, JsonValue, RunStatus, next_status


@dataclass
class Gate:
    """Where one call to the journal waits until the test opens it."""

    reached: asyncio.Event = field(default_factory=asyncio.Event)
    opened: asyncio.Event = field(default_factory=asyncio.Event)

    async def pass_through(self) -> None:
        """Say that it was reached, and wait."""
        self.reached.set()
        await self.opened.wait()


class MemoryJournal:
    """Implements the saga's Journal. As a store does, it takes its time before and after.

    `hold` stops the next append of a type, `hold_append` the n-th append from now, `hold_reading`
    the next reading of the events, each before or after the moment at which it counts.
    """

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now
        self._events: dict[str, list[Event]] = {}
        self._status: dict[str, RunStatus] = {}
        self._by_type: dict[tuple[EventType, bool], Gate] = {}
        self._by_number: dict[tuple[int, bool], Gate] = {}
        self._reading: Gate | None = None
        self.appends = 0

    async def append(
        self, run_id: str, event: EventType, data: Mapping[str, JsonValue] | None = None
    ) -> Event:
        """Store the event; raises IllegalTransition if it can't happen."""
        self.appends += 1
        number = self.appends
        await self._wait(number, event, stored=False)
        status = next_status(self._status.get(run_id), event)
        events = self._events.setdefault(run_id, [])
        stored = Event(
            run_id=run_id, seq=len(events) + 1, type=event, at=self._now(), data=dict(data or {})
        )
        events.append(stored)
        self._status[run_id] = status
        await self._wait(number, event, stored=True)
        return stored

    async def events(self, run_id: str) -> list[Event]:
        """All events of the run, oldest first."""
        found = list(self._events.get(run_id, ()))
        await asyncio.sleep(0)
        if self._reading is not None:
            gate, self._reading = self._reading, None
            await gate.pass_through()
        return found

    # --- what a test reads ---------------------------------------------------------------------

    def status(self, run_id: str) -> RunStatus | None:
        """Where the run stands, by every event so far."""
        return self._status.get(run_id)

    def seen(self, run_id: str) -> list[Event]:
        """The events of the run, at once."""
        return list(self._events.get(run_id, ()))

    def story(self, run_id: str) -> list[str]:
        """The events of the run as `step.started discover` or `run.parked`."""
        return [
            " ".join(filter(None, (event.type.value, str(event.data.get("step", "")))))
            for event in self.seen(run_id)
        ]

    def closings(self, run_id: str) -> list[EventType]:
        """The events that ended the run."""
        return [event.type for event in self.seen(run_id) if event.type in CLOSING]

    # --- where a test stops it -----------------------------------------------------------------

    def hold(self, event: EventType, *, stored: bool) -> Gate:
        """Stop the next append of that type, before or after it is stored."""
        return self._by_type.setdefault((event, stored), Gate())

    def hold_append(self, number: int, *, stored: bool) -> Gate:
        """Stop the `number`-th append from now, before or after it is stored."""
        return self._by_number.setdefault((self.appends + number, stored), Gate())

    def hold_reading(self) -> Gate:
        """Stop the next reading of events, after it was read."""
        self._reading = Gate()
        return self._reading

    async def _wait(self, number: int, event: EventType, *, stored: bool) -> None:
        await asyncio.sleep(0)
        for gate in (
            self._by_type.pop((event, stored), None),
            self._by_number.pop((number, stored), None),
        ):
            if gate is not None:
                await gate.pass_through()
