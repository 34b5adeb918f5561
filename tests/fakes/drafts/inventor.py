"""A stand-in for a language model that invents experience."""

import json
import random
import re
from functools import lru_cache
from pathlib import Path
from typing import TypedDict

from agents.domain.opportunity import Opportunity
from agents.domain.profile import Profile
from tests.fakes.drafts import InventedDraft, honest_cases

_INVENTIONS_MAX = 6


class _Inventions(TypedDict):
    values: dict[str, list[str]]
    sentences: dict[str, list[str]]
    tails: dict[str, list[str]]


def invent(seed: int, profile: Profile, opportunity: Opportunity) -> InventedDraft:
    """An honest draft with one to six inventions in it: the same for the same seed.

    Person and posting have to be those of an honest case. Nothing is invented that the posting,
    the profile or the honest draft says as well.
    """
    rng = random.Random(seed)
    case = next(
        case
        for case in honest_cases()
        if case.profile == profile and case.opportunity == opportunity
    )
    text = rng.choice(case.drafts)
    said = " ".join((text, profile.about, *profile.skills, *profile.locations, repr(opportunity)))
    told: list[str] = []
    for _ in range(rng.randint(1, _INVENTIONS_MAX)):
        sentence, invention = _invention(rng, said)
        if invention.casefold() not in (one.casefold() for one in told):
            text = _added(rng, text, sentence)
            told.append(invention)
    return InventedDraft(text=text, inventions=tuple(told))


def _invention(rng: random.Random, said: str) -> tuple[str, str]:
    """A sentence, or the tail of one, and the words that it invents."""
    while True:
        wordings = _inventions()["tails" if rng.random() < 0.2 else "sentences"]
        kind = rng.choice(sorted(wordings))
        wording = rng.choice(wordings[kind])
        value = rng.choice(_inventions()["values"][kind])
        if value.casefold() not in said.casefold():
            return wording.replace(f"{{{kind}}}", value), value


def _added(rng: random.Random, text: str, sentence: str) -> str:
    """`text` with the sentence in one of its paragraphs, or by itself."""
    paragraphs = text.split("\n\n")
    at = rng.randrange(1, len(paragraphs))
    ends = [m.start() for m in re.finditer(r"(?<=[a-z])\.(?=\s|$)", paragraphs[at])]
    if sentence.startswith((",", " (")):
        if not ends:
            return _added(rng, text, f"I enjoy this work{sentence}.")
        end = rng.choice(ends)
        paragraphs[at] = paragraphs[at][:end] + sentence + paragraphs[at][end:]
    elif not sentence.endswith(".") or not ends or rng.random() < 0.3:
        paragraphs.insert(at, sentence)
    else:
        end = rng.choice(ends) + 1
        paragraphs[at] = f"{paragraphs[at][:end]} {sentence}{paragraphs[at][end:]}"
    return "\n\n".join(paragraphs)


@lru_cache(maxsize=1)
def _inventions() -> _Inventions:
    data: _Inventions = json.loads((Path(__file__).parent / "inventions.json").read_text("utf-8"))
    return data
