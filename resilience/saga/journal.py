"""Where a run's events are kept: the truth about what happened."""

from collections.abc import Mapping
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


class Journal(Protocol):
    """Append-only events per run, numbered from 1 without gaps."""

    async def append(
        self, run_id: str, event: EventType, data: Mapping[str, JsonValue] | None = None
    ) -> Event:
        """Store the event durably before returning; raises IllegalTransition if it can't happen."""
        ...

    async def events(self, run_id: str) -> list[Event]:
        """All events of the run, oldest first."""
        ...
