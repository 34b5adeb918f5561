"""The six kinds of opportunity."""

from enum import StrEnum

from agents.domain.errors import InvalidValue


class Kind(StrEnum):
    """What an opportunity is."""

    JOB = "job"
    INTERNSHIP = "internship"
    GIG = "gig"
    BOUNTY = "bounty"
    GRANT = "grant"
    HACKATHON = "hackathon"


ALLOWED = ", ".join(Kind)


def parse_kinds(text: str) -> tuple[Kind, ...]:
    """Kinds from a comma list such as `grant, jobs`, in the order of Kind; raises InvalidValue."""
    found = set()
    for word in filter(None, (part.strip().lower() for part in text.split(","))):
        try:
            found.add(Kind(_singular(word)))
        except ValueError:
            raise InvalidValue("kind", f"unknown kind {word[:40]!r}", ALLOWED) from None
    return tuple(kind for kind in Kind if kind in found)


def _singular(word: str) -> str:
    return "bounty" if word == "bounties" else word.removesuffix("s")
