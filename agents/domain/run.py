"""A scout run as callers see it: what was asked, what came of it."""

from dataclasses import dataclass, field
from datetime import datetime

from agents.domain.draft import Draft
from agents.domain.errors import InvalidValue, require_text
from agents.domain.match import Funnel, Match
from agents.domain.profile import Profile

QUERY_MAX = 200
LIMIT_MAX = 100
DRAFTS_MAX = 10
SOURCES_MAX = 20
EXCLUDED_MAX = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoutRequest:
    """One scout: the words asked for, the person, the sources, how many matches and drafts.

    A posting that says an `excluded` word is left out; `home` is where the person lives, for what
    is remote, where the profile's places don't say it. `sample_fallback` shows labelled sample
    postings when no source gave anything (local mode).
    """

    query: str = ""
    profile: Profile = field(default_factory=Profile)
    sources: tuple[str, ...] = ()
    excluded: tuple[str, ...] = ()
    home: tuple[str, ...] = ()
    limit: int = 10
    drafts: int = 1
    config: str = "scout@1"
    sample_fallback: bool = False

    def __post_init__(self) -> None:
        require_text("query", self.query, QUERY_MAX)
        if not 1 <= self.limit <= LIMIT_MAX:
            raise InvalidValue("limit", str(self.limit), f"1 to {LIMIT_MAX}")
        if not 0 <= self.drafts <= DRAFTS_MAX:
            raise InvalidValue("drafts", str(self.drafts), f"0 to {DRAFTS_MAX}")
        if len(self.sources) > SOURCES_MAX:
            raise InvalidValue("source", f"{len(self.sources)} sources", f"at most {SOURCES_MAX}")
        if len(self.excluded) > EXCLUDED_MAX or not all(map(str.strip, self.excluded)):
            raise InvalidValue("excluded", "empty or too many words", f"at most {EXCLUDED_MAX}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What a run used."""

    steps: int = 0
    tokens: int = 0
    handoffs: int = 0
    apify_usd: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """What stopping a run stopped, had spent and undid."""

    stopped: tuple[str, ...]
    spent: Usage
    undone: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunError:
    """Why a run did not complete: a stable type for programs, a sentence for people."""

    type: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoutResult:
    """What `scout --json` prints. `status` is the run's own (resilience.saga.RunStatus)."""

    run_id: str
    status: str
    partial: bool
    receipt: Receipt | None
    matches: tuple[Match, ...]
    drafts: tuple[Draft, ...]
    funnel: Funnel
    notices: tuple[str, ...]
    usage: Usage
    error: RunError | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedItem:
    """A posting a person keeps."""

    opportunity_id: str
    title: str
    organisation: str | None
    url: str | None
    deadline: datetime | None
    source: str
    saved_at: datetime
