"""Where a run's events are kept: the truth about what happened."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from resilience.saga.transitions import EventType

JsonValue = str | int | float | bool | None | list[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One line of a run's journal. `data` holds ids, counts and fixed words, no user's text."""

    run_id: str
    seq: int
    type: EventType
    at: datetime
    data: Mapping[str, JsonValue] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """What a completed step made, as JSON with its version: kept so that a restart need not do the
    step again."""

    step: str
    body: str


class LeaseLost(Exception):  # noqa: N818 - names the event
    """The run belongs to another process now: whatever is done for it here must not count."""


class JournalUnavailable(Exception):  # noqa: N818 - names the situation
    """The journal can't be written or read now; it may be again. Whether the write that failed was
    stored is not known."""


class Journal(Protocol):
    """Append-only events per run, numbered from 1 without gaps, and who executes the run.

    All of it raises JournalUnavailable."""

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
        """Store the event durably before returning, and `part` with it; raises IllegalTransition
        if it can't happen, and LeaseLost when `fence` is not the run's present one."""
        ...

    async def events(self, run_id: str) -> list[Event]:
        """All events of the run, oldest first."""
        ...

    async def parts(self, run_id: str) -> Mapping[str, str]:
        """What its completed steps made, by step."""
        ...

    async def claim(self, run_id: str) -> int | None:
        """Take the run for this process for the time of a lease; its new fence, or None while
        another process has it."""
        ...

    async def renew(self, run_ids: Collection[str]) -> Mapping[str, bool]:
        """Prolong the leases of these runs; those that are this process's still, and whether
        each is to stop."""
        ...

    async def release(self, run_ids: Collection[str]) -> None:
        """Give the runs up, so that any process may take them at once."""
        ...
