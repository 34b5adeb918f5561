"""Claims by set phrases, of `phrases.json`: degrees, certificates, seniority, permits, awards."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files

from agents.action.claims.claim import ClaimKind


@dataclass(frozen=True, slots=True)
class Phrase:
    """A phrase that claims something. `backed_by` finds in a profile what backs it; without it
    the profile has to have the phrase's own words. `after` is what has to stand before it."""

    kind: ClaimKind
    says: re.Pattern[str]
    backed_by: re.Pattern[str] | None
    after: re.Pattern[str] | None


def phrases_in(text: str, start: int, end: int) -> Iterator[tuple[Phrase, int, int]]:
    """The phrases in a part of a text, with their places."""
    for phrase in phrases():
        for match in phrase.says.finditer(text, start, end):
            if phrase.after is None or phrase.after.search(text, start, match.start()):
                yield phrase, match.start(), match.end()


@lru_cache(maxsize=1)
def phrases() -> tuple[Phrase, ...]:
    """All phrases."""
    text = files("agents.action.claims").joinpath("phrases.json").read_text("utf-8")
    return tuple(_phrase(row) for row in json.loads(text))


def _phrase(row: dict[str, str]) -> Phrase:
    backed_by, after = row.get("backed_by"), row.get("after")
    return Phrase(
        kind=ClaimKind(row["kind"]),
        says=re.compile(rf"(?<![\w'])(?:{row['says']})(?![\w’']\w)(?!\w)", re.IGNORECASE),
        backed_by=re.compile(backed_by, re.IGNORECASE) if backed_by else None,
        after=re.compile(rf"\b(?:{after})$", re.IGNORECASE) if after else None,
    )
