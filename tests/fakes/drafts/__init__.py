"""Drafts of ours, to measure the checker by: honest ones, and ones that invent."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TypedDict

from agents.domain.kind import Kind
from agents.domain.opportunity import Opportunity
from agents.domain.pay import Pay
from agents.domain.profile import Profile
from tests.fakes.clock import NOON

HONEST = ("honest.json", *(f"honest_{part}.json" for part in range(2, 17)))
"""The first is what the rules were made by; the others were written after the rules stood."""
HELD_OUT = tuple(f"held_out_{part}.txt" for part in range(1, 10))
_FOLDER = Path(__file__).parent
_GAP = re.compile(r"\[fill in:[^\[\]]*\]")


class _Row(TypedDict):
    profile: dict[str, object]
    posting: dict[str, object]
    drafts: list[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A person, a posting, and honest drafts of the one for the other."""

    profile: Profile
    opportunity: Opportunity
    drafts: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class InventedDraft:
    """A draft that claims what its person never said, and the telling words of what it claims."""

    text: str
    inventions: tuple[str, ...]


@lru_cache(maxsize=4)
def honest_cases(file: str = "honest.json") -> tuple[Case, ...]:
    """People and postings of all kinds, with drafts that say nothing else than these do."""
    rows: list[_Row] = json.loads((_FOLDER / file).read_text("utf-8"))
    return tuple(_case(row, at) for at, row in enumerate(rows))


def _case(row: _Row, at: int) -> Case:
    profile = {k: tuple(v) if isinstance(v, list) else v for k, v in row["profile"].items()}
    posting = {k: tuple(v) if isinstance(v, list) else v for k, v in row["posting"].items()}
    pay = posting.pop("pay", None)
    opportunity = Opportunity(
        id=f"case-{at}",
        source="file",
        url=f"https://example.com/postings/{at}",
        fetched_at=NOON,
        pay=Pay(text=str(pay)) if pay else None,
        kind=Kind(str(posting.pop("kind"))),
        **posting,  # type: ignore[arg-type]
    )
    return Case(
        profile=Profile(**profile),  # type: ignore[arg-type]
        opportunity=opportunity,
        drafts=tuple(row["drafts"]),
    )


def held_out(name: str) -> Iterator[InventedDraft]:
    """Sentences that invent, written by hand before the rules had seen them, `SENTENCE | WORDS`,
    each in an honest draft for the first case."""
    for line in (_FOLDER / name).read_text("utf-8").splitlines():
        sentence, _, words = line.rpartition(" | ")
        yield InventedDraft(text=_framed(sentence), inventions=tuple(words.split("; ")))


def _framed(sentence: str) -> str:
    return (
        "Dear Tarnbrook Freight team,\n\nI am applying for the Data Engineer position. Your "
        f"posting asks for Python and SQL, and I work with both.\n\n{sentence}\n\nI would be happy "
        "to talk. Keeping pipelines running is a problem I enjoy.\n\nKind regards"
    )


def left_of(text: str, inventions: tuple[str, ...], opportunity: Opportunity) -> tuple[str, ...]:
    """The inventions that a checked text still has, as whole words; a gap may name a skill that
    the posting asks for."""
    asked = set(opportunity.skills)
    plain = " ".join(text.split()).casefold()
    outside = _GAP.sub(" ", plain)
    return tuple(
        told
        for told in inventions
        if re.search(
            rf"(?<!\w){re.escape(told.casefold())}(?!\w)",
            outside if told.casefold() in asked else plain,
        )
    )
