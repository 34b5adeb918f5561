"""What is looked for: skills, words just asked for, and what a person tells of themselves."""

from collections.abc import Mapping
from dataclasses import dataclass

from agents.domain.pay import MinPay
from agents.domain.profile import Profile
from agents.domain.skill import (
    ambiguous_name,
    canonical_skill,
    known_skill,
    nearest_skill,
    skills_in,
)
from agents.matching.filters import PlaceWish
from agents.matching.text import SKILL, stem, stems, words

_TOLD_MAX = 200  # words of what a person tells that are read

Terms = tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Concept:
    """One thing wished for: `shown` is how the person calls it. A posting says it when it has all
    terms of one of `ways`: stems of words that belong together, or one canonical skill."""

    shown: str
    skill: str | None
    ways: tuple[Terms, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What is looked for: canonical skills, each with the person's own word, and query words."""

    skills: Mapping[str, str]
    words: tuple[str, ...]
    place: PlaceWish
    min_pay: MinPay | None
    told: tuple[str, ...] = ()
    """Stems of what the person tells: they hint at a topic and are no wish of their own."""
    told_skills: tuple[str, ...] = ()

    @classmethod
    def of(cls, profile: Profile, query: str, place: PlaceWish) -> "Wish":
        """The wish of a profile and the words asked for."""
        stated = dict(_named(s) for s in reversed(profile.skills))
        # What a person writes about themselves names skills too; the list comes first.
        told = skills_in(profile.about)
        return cls(
            skills=dict(reversed(stated.items())) or {s: s for s in told},
            words=tuple(dict.fromkeys(words(query))),
            place=place,
            min_pay=profile.min_pay,
            told=tuple(stems(profile.about)[:_TOLD_MAX]),
            told_skills=told,
        )

    def concepts(self) -> tuple[Concept, ...]:
        """The skills, then the words."""
        skills = [_skill_concept(name, shown) for name, shown in self.skills.items()]
        return (*skills, *(_word_concept(word) for word in self.words))


def _named(skill: str) -> tuple[str, str]:
    """The canonical name, and what to call it: the person's own word, unless it was mistyped."""
    name = canonical_skill(skill)
    if not known_skill(name) and (meant := nearest_skill(name)):
        return meant, meant
    return name, skill


def _skill_concept(name: str, shown: str) -> Concept:
    """A known skill of several words, or whose name is an everyday word, is what was recognised
    as one; in others the words count as well."""
    ways: list[Terms] = [(SKILL + name,)]
    plain = tuple(stems(name))
    if plain and not ambiguous_name(name) and (len(plain) == 1 or not known_skill(name)):
        ways.append(plain)
    return Concept(shown=shown, skill=name, ways=tuple(ways))


def _word_concept(word: str) -> Concept:
    ways: list[Terms] = [(stem(word),)]
    name = canonical_skill(word)
    if known_skill(name):
        ways.append((SKILL + name,))
    return Concept(shown=word, skill=None, ways=tuple(ways))
