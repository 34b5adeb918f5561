"""Role families: what kind of work a title names, and what a set of skills points to.

`roles.json` is general knowledge, written by us: for each family the words of its titles, the
skills it uses, the families whose work is near (half as good) and far (a fifth as good).
"""

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import TypedDict

from agents.domain.skill import canonical_skill
from agents.matching.text import stem, stems, words

_NEAR, _FAR = 0.5, 0.2
_PHRASE_MAX = 4  # words
_ONE_WORD = 0.7  # "test" says less of a title than "test engineer"
_TITLE_SKILL = 0.7
_TITLE_SHARE, _SKILLS_SHARE = 0.7, 0.3

Vector = list[float]
"""One number a family, in the order of `families()`."""

Amounts = defaultdict[int, float]


class _Family(TypedDict):
    titles: list[str]
    skills: list[str]
    near: list[str]
    far: list[str]


@dataclass(frozen=True, slots=True)
class _Table:
    names: tuple[str, ...]
    by_phrase: dict[tuple[str, ...], tuple[int, ...]]
    by_skill: dict[str, tuple[int, ...]]
    kinship: tuple[tuple[float, ...], ...]


def families() -> tuple[str, ...]:
    """The names of the families."""
    return _table().names


def posting_roles(
    title: Sequence[str], titled: Iterable[str], skills: Iterable[str]
) -> dict[int, float]:
    """How much a posting is of which families, at most 1 in all: from the stems of its title, the
    skills named there, and all it names."""
    by_title: Amounts = defaultdict(float)
    for phrase in _phrases(title):
        owners = _table().by_phrase[phrase]
        _spread(by_title, owners, (1.0 if len(phrase) > 1 else _ONE_WORD) / len(owners) ** 0.5)
    _add_skills(by_title, titled, _TITLE_SKILL)
    by_skills: Amounts = defaultdict(float)
    _add_skills(by_skills, skills, 1.0)
    in_title, in_skills = max(1.0, sum(by_title.values())), max(1.0, sum(by_skills.values()))
    return {
        family: _TITLE_SHARE * by_title[family] / in_title
        + _SKILLS_SHARE * by_skills[family] / in_skills
        for family in by_title.keys() | by_skills.keys()
    }


def wished_roles(skills: Iterable[str], asked: Sequence[str], told: Sequence[str]) -> Vector:
    """How well a posting of each family suits a person with these skills (canonical names), who
    asks in these stems and tells of themselves in those: 1 for the best, all 0 where nothing
    points anywhere. Single words of a longer text name no role: networks are neural, too."""
    own: Amounts = defaultdict(float)
    for skill in skills:
        _add_skills(own, [skill], 1.0)
        _spread(own, _table().by_phrase.get(tuple(stems(skill)), ()), 1.0)
    phrases = (*_phrases(asked), *(phrase for phrase in _phrases(told) if len(phrase) > 1))
    for phrase in phrases:
        _spread(own, _table().by_phrase[phrase], 1.0)
    most = max(own.values(), default=1.0)
    sharp = {family: (value / most) ** 2 for family, value in own.items()}
    return [
        max((row[family] * fits for family, fits in sharp.items()), default=0.0)
        for row in _table().kinship
    ]


def titled_role(title: str, wished: Vector) -> str | None:
    """The words of a title that name a role which suits the person well, as they stand there; the
    longest, then the first."""
    known, written = _table().by_phrase, words(title)
    found = [
        phrase
        for phrase in _phrases([stem(word) for word in written])
        if max(wished[family] for family in known[phrase]) > _NEAR
    ]
    if not found:
        return None
    best = max(found, key=len)
    length = len(best)
    at = next(i for i in range(len(written)) if tuple(map(stem, written[i : i + length])) == best)
    return " ".join(written[at : at + length])


def _spread(amounts: Amounts, owners: Iterable[int], amount: float) -> None:
    for family in owners:
        amounts[family] += amount


def _add_skills(amounts: Amounts, skills: Iterable[str], amount: float) -> None:
    """A skill of many families tells little of each."""
    for skill in skills:
        owners = _table().by_skill.get(skill, ())
        _spread(amounts, owners, amount / max(1, len(owners)))


def _phrases(text: Sequence[str]) -> list[tuple[str, ...]]:
    """The title phrases in a text, the longest at each place, none overlapping."""
    known, found, at = _table().by_phrase, [], 0
    while at < len(text):
        for length in range(min(_PHRASE_MAX, len(text) - at), 0, -1):
            phrase = tuple(text[at : at + length])
            if phrase in known:
                found.append(phrase)
                at += length - 1
                break
        at += 1
    return found


@lru_cache(maxsize=1)
def _table() -> _Table:
    text = files("agents.matching").joinpath("roles.json").read_text("utf-8")
    data: dict[str, _Family] = json.loads(text)
    by_phrase: dict[tuple[str, ...], set[int]] = {}
    by_skill: dict[str, set[int]] = {}
    for number, family in enumerate(data.values()):
        for title in family["titles"]:
            by_phrase.setdefault(tuple(stems(title)), set()).add(number)
        for skill in family["skills"]:
            by_skill.setdefault(canonical_skill(skill), set()).add(number)
    by_phrase.pop((), None)
    return _Table(
        tuple(data),
        {phrase: tuple(sorted(owners)) for phrase, owners in by_phrase.items()},
        {skill: tuple(sorted(owners)) for skill, owners in by_skill.items()},
        _kinship(data),
    )


def _kinship(data: dict[str, _Family]) -> tuple[tuple[float, ...], ...]:
    """How alike two families are, 0 to 1; what one names the other is, both ways."""
    places = {name: number for number, name in enumerate(data)}
    rows = [[float(a == b) for a in data] for b in data]
    for name, family in data.items():
        for others, likeness in ((family["far"], _FAR), (family["near"], _NEAR)):
            for other in others:
                here, there = places[name], places[other]
                rows[here][there] = rows[there][here] = max(likeness, rows[here][there])
    return tuple(map(tuple, rows))
