"""One claim that a draft makes."""

from dataclasses import dataclass
from enum import StrEnum


class ClaimKind(StrEnum):
    """What is claimed."""

    SKILL = "skill"
    EXPERIENCE = "experience"
    NUMBER = "number"
    YEAR = "year"
    EMPLOYER = "employer"
    DEGREE = "degree"
    CERTIFICATE = "certificate"
    LANGUAGE = "language"
    SENIORITY = "seniority"
    TITLE = "title"
    AWARD = "award"
    PERMIT = "permit"
    PLACE = "place"
    AVAILABILITY = "availability"
    CONTACT = "contact"
    NAME = "name"


class Stance(StrEnum):
    """Whose fact it is, as far as the words say.

    A CLAIMED one is the applicant's, and only the profile backs it. An OPEN one is said of the
    posting or of what the applicant would like to do: the posting backs it as well. A DENIED one
    is a skill that the applicant says is missing, or wants to learn.
    """

    CLAIMED = "claimed"
    OPEN = "open"
    DENIED = "denied"


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """A part of a text: from `start` up to, not including, `end`."""

    start: int
    end: int

    def holds(self, other: "Span") -> bool:
        """Whether `other` lies within it."""
        return self.start <= other.start and other.end <= self.end


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A claim with the words that make it, and the clause and sentence that carry them.

    `value` and `unit` are a number's. `near` are a skill's one name, or stems that tell what is
    claimed. `phrase` marks a set phrase of `phrases.json`; `loose` an activity that one known
    word backs, where otherwise each of its words has to be known.
    """

    kind: ClaimKind
    text: str
    span: Span
    clause: Span
    sentence: Span
    stance: Stance
    value: float | None = None
    unit: str | None = None
    near: frozenset[str] = frozenset()
    loose: bool = False
    phrase: bool = False
