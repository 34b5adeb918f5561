"""A posting ranked for a person, and the account of those left out."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from agents.domain.errors import InvalidValue
from agents.domain.opportunity import Opportunity


class MatchMethod(StrEnum):
    """What ranked it."""

    LLM = "llm"
    HEURISTIC = "heuristic"


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """Where a posting comes from and how old our copy is."""

    source: str
    fetched_at: datetime
    from_cache: bool
    age_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """One ranked posting. `score` is 0 to 100, None where a partial result was not ranked."""

    rank: int
    score: float | None
    method: MatchMethod
    reasons: tuple[str, ...]
    cautions: tuple[str, ...]
    provenance: Provenance
    opportunity: Opportunity

    def __post_init__(self) -> None:
        if self.rank < 1:
            raise InvalidValue("rank", str(self.rank), "1 or more")
        if self.score is not None and not 0 <= self.score <= 100:
            raise InvalidValue("score", f"{self.score:g}", "0 to 100")
        if self.score is not None and not self.reasons:
            raise InvalidValue("reasons", "none", "at least one for a score")


@dataclass(frozen=True, slots=True, kw_only=True)
class Funnel:
    """What became of everything found; `unreadable` records were never counted as found.

    found = duplicates + expired + inactive + the sum of filtered + ranked
    """

    found: int = 0
    unreadable: int = 0
    duplicates: int = 0
    expired: int = 0
    inactive: int = 0
    filtered: Mapping[str, int] = field(default_factory=dict)
    ranked: int = 0
    shown: int = 0

    def __post_init__(self) -> None:
        counts = (self.found, self.unreadable, self.duplicates, self.expired, self.inactive)
        if min(*counts, self.ranked, self.shown, *self.filtered.values()) < 0:
            raise InvalidValue("funnel", "a count below 0", "0 or more")
        gone = self.duplicates + self.expired + self.inactive + sum(self.filtered.values())
        if self.found != gone + self.ranked:
            raise InvalidValue("funnel", f"{self.found} found, {gone} + {self.ranked}", "a sum")
        if self.shown > self.ranked:
            raise InvalidValue("funnel", f"{self.shown} of {self.ranked} shown", "at most ranked")
