"""A journal in memory that can be held at any of its appends, be out, and have other processes."""

import asyncio
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from resilience.saga import (
    CLOSING,
    OPEN,
    Event,
    EventType,
    JournalUnavailable,
    JsonValue,
    LeaseLost,
    Part,
    RunStatus,
    Standing,
)
from resilience.saga.orchestrator import LEASE_S

LEASE = timedelta(seconds=LEASE_S)


@dataclass
class Gate:
    """Where one call to the journal waits until the test opens it."""

    reached: asyncio.Event = field(default_factory=asyncio.Event)
    opened: asyncio.Event = field(default_factory=asyncio.Event)

    async def pass_through(self) -> None:
        """Say that it was reached, and wait."""
        self.reached.set()
        await self.opened.wait()


@dataclass
class Row:
    """What is stored of one run."""

    events: list[Event] = field(default_factory=list)
    standing: Standing = field(default_factory=Standing)
    parts: dict[str, str] = field(default_factory=dict)
    owner: str | None = None
    lease_until: datetime | None = None
    fence: int = 0

    def is_free_for(self, owner: str, now: datetime) -> bool:
        """Whether that process may take the run."""
        if self.owner is None or self.owner == owner:
            return True
        return self.lease_until is not None and self.lease_until <= now

    def give_up(self) -> None:
        """Leave the run to anybody."""
        self.owner = self.lease_until = None


class MemoryJournal:
    """Implements the saga's Journal for one process. As a store does, it takes its time before and
    after; `other` is another process over the same store.

    `hold` stops the next append of a type, `hold_append` the n-th append from now, `hold_reading`
    the next reading of the events, each before or after the moment at which it counts.
    """

    def __init__(
        self,
        now: Callable[[], datetime],
        *,
        owner: str = "here",
        rows: dict[str, Row] | None = None,
    ) -> None:
        self._now = now
        self._owner = owner
        self._rows = {} if rows is None else rows
        self._by_type: dict[tuple[EventType, bool], Gate] = {}
        self._by_number: dict[tuple[int, bool], Gate] = {}
        self._reading: Gate | None = None
        self._out_until: datetime | None = None
        self._answers_to_lose: list[EventType] = []
        self.appends = 0
        self.refused = 0
        """Calls that were made while it was out."""

    def other(self, owner: str = "there") -> "MemoryJournal":
        """The same store, as another process sees it."""
        return MemoryJournal(self._now, owner=owner, rows=self._rows)

    # --- the port ------------------------------------------------------------------------------

    async def append(
        self,
        run_id: str,
        event: EventType,
        data: Mapping[str, JsonValue] | None = None,
        *,
        at: datetime | None = None,
        fence: int | None = None,
        part: Part | None = None,
    ) -> Event:
        """Store the event and the part, as far as the fence and the run's standing allow."""
        self.appends += 1
        number = self.appends
        await self._wait(number, event, stored=False)
        self._reachable()
        row = self._rows.setdefault(run_id, Row())
        if fence is not None and fence != row.fence:
            raise LeaseLost(run_id)
        row.standing = row.standing.after(event)
        stored = Event(
            run_id=run_id,
            seq=len(row.events) + 1,
            type=event,
            at=at or self._now(),
            data=dict(data or {}),
        )
        row.events.append(stored)
        if part is not None:
            row.parts[part.step] = part.body
        if event in CLOSING:
            row.give_up()
        await self._wait(number, event, stored=True)
        if event in self._answers_to_lose:
            self._answers_to_lose.remove(event)
            raise JournalUnavailable(f"no answer to {event}")
        return stored

    async def events(self, run_id: str) -> list[Event]:
        """All events of the run, oldest first."""
        self._reachable()
        found = self.seen(run_id)
        await asyncio.sleep(0)
        if self._reading is not None:
            gate, self._reading = self._reading, None
            await gate.pass_through()
        return found

    async def parts(self, run_id: str) -> dict[str, str]:
        """What its completed steps made, by step."""
        await asyncio.sleep(0)
        self._reachable()
        return dict(self._rows[run_id].parts)

    async def claim(self, run_id: str) -> int | None:
        """Take the run for the time of a lease, if it is free and something is to be done."""
        await asyncio.sleep(0)
        self._reachable()
        row = self._rows.get(run_id)
        if row is None or not row.is_free_for(self._owner, self._now()):
            return None
        if row.standing.status not in {*OPEN, RunStatus.PARKED}:
            return None
        return self.take(run_id)

    async def renew(self, run_ids: Collection[str]) -> dict[str, bool]:
        """Prolong the leases that are this process's still; whether each run is to stop."""
        await asyncio.sleep(0)
        self._reachable()
        held = {}
        for run_id in run_ids:
            row = self._rows[run_id]
            if row.owner == self._owner:
                row.lease_until = self._now() + LEASE
                held[run_id] = row.standing.stopping
        return held

    async def release(self, run_ids: Collection[str]) -> None:
        """Give up those of these runs that are this process's."""
        await asyncio.sleep(0)
        self._reachable()
        for run_id in run_ids:
            row = self._rows.get(run_id)
            if row is not None and row.owner == self._owner:
                row.give_up()

    def take(self, run_id: str) -> int:
        """Take the run although another process has it, as once its lease is over; the new
        fence."""
        row = self._rows[run_id]
        row.owner, row.lease_until = self._owner, self._now() + LEASE
        row.fence += 1
        return row.fence

    # --- what a test reads ---------------------------------------------------------------------

    def status(self, run_id: str) -> RunStatus | None:
        """Where the run stands, by every event so far."""
        return self._rows[run_id].standing.status if run_id in self._rows else None

    def owner_of(self, run_id: str) -> str | None:
        """The process that has the run."""
        return self._rows[run_id].owner

    def lease_until(self, run_id: str) -> datetime | None:
        """Until when it has it."""
        return self._rows[run_id].lease_until

    def kept(self, run_id: str) -> dict[str, str]:
        """The parts that are kept, by step."""
        return self._rows[run_id].parts

    def seen(self, run_id: str) -> list[Event]:
        """The events of the run, at once."""
        return list(self._rows[run_id].events) if run_id in self._rows else []

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

    def out_for(self, seconds: float) -> None:
        """From now on it can be neither written nor read, for so long."""
        self._out_until = self._now() + timedelta(seconds=seconds)

    def lose_answer(self, event: EventType) -> None:
        """The next append of that type is stored, but who appends is told that it failed."""
        self._answers_to_lose.append(event)

    def _reachable(self) -> None:
        if self._out_until is not None and self._now() < self._out_until:
            self.refused += 1
            raise JournalUnavailable("it is out")

    async def _wait(self, number: int, event: EventType, *, stored: bool) -> None:
        await asyncio.sleep(0)
        for gate in (
            self._by_type.pop((event, stored), None),
            self._by_number.pop((number, stored), None),
        ):
            if gate is not None:
                await gate.pass_through()
