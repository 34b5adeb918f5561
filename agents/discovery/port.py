"""What the Discovery agent needs from outside."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from agents.domain.opportunity import Opportunity


class SourceFailed(Exception):  # noqa: N818 - names the event
    """A source gave nothing; the message says why, in one line, for people."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What a source gave. `unreadable` counts the records that could not be used, by reason."""

    opportunities: tuple[Opportunity, ...]
    unreadable: Mapping[str, int] = field(default_factory=dict)


class Source(Protocol):
    """One place that postings come from."""

    @property
    def label(self) -> str:
        """What people are told it is, such as `file jobs.jsonl`."""
        ...

    async def read(self) -> Reading:
        """Gather its postings; raises SourceFailed. Stops when cancelled."""
        ...


class Sources(Protocol):
    """Finds the source that a spec such as `file:PATH` or `sample` names."""

    def resolve(self, spec: str) -> Source:
        """Raises InvalidValue for a spec that names no source."""
        ...


class Postings(Protocol):
    """Where gathered postings are kept."""

    async def keep(self, opportunities: Iterable[Opportunity]) -> None:
        """Store them, replacing older copies of the same id."""
        ...
