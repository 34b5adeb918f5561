"""What the Discovery agent needs from outside."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from agents.domain.kind import Kind
from agents.domain.opportunity import Opportunity
from resilience.fault import BROKEN, Fault


class Now(Protocol):
    """The part of a clock that is needed here."""

    def now(self) -> datetime:
        """The current instant in UTC."""
        ...


class SourceFailed(Exception):  # noqa: N818 - names the event
    """A source gave nothing; the message says why, in one line, for people. `retry_after_s` is how
    long it asked not to be asked again, `fault` what that says of the server behind it."""

    def __init__(self, message: str, retry_after_s: float = 0.0, *, fault: Fault = BROKEN) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s
        self.fault = fault


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """What a run looks for, for the sources that can be asked for it (an actor's input)."""

    query: str = ""
    skills: tuple[str, ...] = ()
    locations: tuple[str, ...] = ()
    remote: bool = False
    kinds: tuple[Kind, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What a source gave. `unreadable` counts the records that could not be used, by reason.

    `notice` is a line for people, such as how old the postings are. `stored` says that the store
    has the postings already, `from_cache` that they were read from there.
    """

    opportunities: tuple[Opportunity, ...]
    unreadable: Mapping[str, int] = field(default_factory=dict)
    notice: str | None = None
    stored: bool = False
    from_cache: bool = False


class Source(Protocol):
    """One place that postings come from."""

    @property
    def label(self) -> str:
        """What people are told it is, such as `file jobs.jsonl`."""
        ...

    @property
    def deadline_s(self) -> float | None:
        """How long it may take; None for the default of all sources."""
        ...

    async def read(self) -> Reading:
        """Gather its postings; raises SourceFailed. Stops when cancelled."""
        ...


class Sources(Protocol):
    """Finds the sources that a spec such as `file:PATH`, `feeds` or `sample` names."""

    def check(self, spec: str) -> None:
        """Raises InvalidValue for a spec that names no source."""
        ...

    def resolve(self, spec: str, need: Need) -> tuple[Source, ...]:
        """The sources of the spec that can serve the need; raises InvalidValue."""
        ...


class Postings(Protocol):
    """Where gathered postings are kept."""

    async def keep(self, opportunities: Iterable[Opportunity]) -> None:
        """Store them, replacing older copies of the same id."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Validators:
    """What a server said of its answer's version, to ask whether there is a newer one."""

    etag: str | None = None
    last_modified: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ShelfState:
    """How the last readings of a source went. `fetched_at` is None until one succeeded;
    `failures` counts those since, `error` is the last one's reason. `unreadable` counts the
    records that could not be used, by reason, `unread` the fields that could not, by field."""

    source: str
    attempted_at: datetime
    fetched_at: datetime | None = None
    found: int = 0
    unreadable: Mapping[str, int] = field(default_factory=dict)
    unread: Mapping[str, int] = field(default_factory=dict)
    failures: int = 0
    error: str | None = None
    not_before: datetime | None = None
    """When the source may be asked again, where it said so."""
    validators: Validators = field(default_factory=Validators)


class Shelf(Protocol):
    """Where the postings that a source has now are kept between readings, by a key."""

    async def state(self, key: str) -> ShelfState | None:
        """How the last reading went, or None when there was none."""
        ...

    async def current(self, key: str) -> tuple[Opportunity, ...]:
        """The postings of the last reading that succeeded, in its order."""
        ...

    async def replace(
        self, key: str, state: ShelfState, opportunities: Iterable[Opportunity]
    ) -> None:
        """Store a reading that succeeded: from now on these postings are the current ones."""
        ...

    async def note(self, key: str, state: ShelfState) -> None:
        """Store the state alone: of a failure, or of an answer that nothing has changed."""
        ...
