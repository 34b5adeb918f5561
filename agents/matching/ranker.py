"""A heuristic ranker: how well a posting fits, from 0 to 100, and why, in words.

The score is the weighted mean of the parts that the person's wish has: skills (rare ones count
more: weighted by inverse document frequency over the postings looked at), the title, place, pay and
freshness. Reasons come from the same parts, the strongest first.
"""

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from itertools import pairwise

from agents.configs import RankingWeights
from agents.domain.opportunity import Opportunity
from agents.domain.pay import MinPay, PayVerdict, compare
from agents.domain.place import fold, parse_location
from agents.domain.profile import Profile
from agents.domain.skill import canonical_skill, skills_in
from agents.matching.filters import PlaceFit, PlaceWish

_STOP_WORDS = frozenset(
    [
        "a",
        "an",
        "and",
        "any",
        "are",
        "as",
        "at",
        "be",
        "by",
        "for",
        "from",
        "in",
        "into",
        "is",
        "it",
        "me",
        "my",
        "of",
        "on",
        "or",
        "over",
        "per",
        "the",
        "to",
        "under",
        "want",
        "with",
        "work",
        "job",
        "jobs",
        "role",
        "roles",
        "position",
        "positions",
        "looking",
        "find",
        "show",
    ]
)
_FRESH_HALF_LIFE_DAYS = 30.0
_OLD_DAYS = 180.0
_DEADLINE_NAMED_DAYS = 60.0
_SKILLS_NAMED_MAX = 6
_NEVER = datetime(1970, 1, 1, tzinfo=UTC)
_FAR = datetime(9999, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What is looked for: canonical skills, each with the person's own word, and query words."""

    skills: Mapping[str, str]
    words: tuple[str, ...]
    place: PlaceWish
    min_pay: MinPay | None

    @classmethod
    def of(cls, profile: Profile, query: str, place: PlaceWish) -> "Wish":
        """The wish of a profile and the words asked for."""
        stated = {canonical_skill(s): s for s in profile.skills}
        # What a person writes about themselves names skills too; the list comes first.
        told = {s: s for s in skills_in(profile.about) if s not in stated}
        words = (w for w in _tokens(query) if w not in _STOP_WORDS)
        return cls(
            skills=stated or told,
            words=tuple(dict.fromkeys(words)),
            place=place,
            min_pay=profile.min_pay,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class RankedOpportunity:
    """A posting with its score (0 to 100), why, and what to be careful of."""

    opportunity: Opportunity
    score: float
    reasons: tuple[str, ...]
    cautions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Part:
    """One part of a score: 0 to 1, its weight, and the reason it gives, if any."""

    value: float
    weight: float
    reason: str | None = None


def rank(
    candidates: Sequence[tuple[Opportunity, PlaceFit]],
    wish: Wish,
    now: datetime,
    weights: RankingWeights,
) -> list[RankedOpportunity]:
    """All candidates, best first; equal scores by newest, then soonest deadline, then id."""
    rarity = _rarity([o for o, _ in candidates], wish)
    ranked = [
        _score(opportunity=o, fit=fit, wish=wish, rarity=rarity, now=now, weights=weights)
        for o, fit in candidates
    ]
    return sorted(ranked, key=_order)


def unheard(candidates: Sequence[tuple[Opportunity, PlaceFit]], wish: Wish) -> tuple[str, ...]:
    """The query's words that no candidate says."""
    texts = [_said(o) | _token_set(o.title) for o, _ in candidates] if wish.words else []
    return tuple(w for w in wish.words if not any(_says(text, w) for text in texts))


def _order(ranked: RankedOpportunity) -> tuple[float, float, float, str]:
    o = ranked.opportunity
    newest = -(o.posted_at or _NEVER).timestamp()
    return (-ranked.score, newest, (o.deadline or _FAR).timestamp(), o.id)


def _score(
    *,
    opportunity: Opportunity,
    fit: PlaceFit,
    wish: Wish,
    rarity: Mapping[str, float],
    now: datetime,
    weights: RankingWeights,
) -> RankedOpportunity:
    parts = (
        _skills(opportunity, wish, rarity, weights.skills),
        _title(opportunity, wish, weights.title),
        _place(opportunity, fit, weights.place),
        _pay(opportunity, wish, weights.pay),
        _freshness(opportunity, now, weights.freshness),
    )
    total = sum(part.weight for part in parts)
    score = 100 * sum(part.value * part.weight for part in parts) / total
    strongest = sorted(parts, key=lambda part: -part.value * part.weight)
    reasons = tuple(part.reason for part in strongest if part.reason)
    return RankedOpportunity(
        opportunity=opportunity,
        score=round(score, 1),
        reasons=reasons or (f"a current {opportunity.kind}; nothing in it matches your words",),
        cautions=_cautions(opportunity, fit, wish, now),
    )


# --- the parts --------------------------------------------------------------------------------


def _skills(o: Opportunity, wish: Wish, rarity: Mapping[str, float], weight: float) -> _Part:
    if not wish.skills:
        return _Part(0.0, 0.0)
    held = [skill for skill in wish.skills if _has_skill(o, skill)]
    value = sum(rarity[s] for s in held) / sum(rarity.values())
    named = ", ".join(wish.skills[s] for s in held[:_SKILLS_NAMED_MAX])
    more = ", …" if len(held) > _SKILLS_NAMED_MAX else ""
    count = f"{len(held)} of {len(wish.skills)} skills"
    return _Part(value, weight, f"{count}: {named}{more}" if held else None)


def _title(o: Opportunity, wish: Wish, weight: float) -> _Part:
    """The query's words, and the skills that the title itself names. Words just asked for count
    twice as much as what the profile says in general."""
    if not wish.words and not wish.skills:
        return _Part(0.0, 0.0)
    weight *= 2 if wish.words else 1
    title = _token_set(o.title)
    in_title = [w for w in wish.words if _says(title, w)]
    rest = _said(o)
    elsewhere = [w for w in wish.words if w not in in_title and _says(rest, w)]
    titled_skills = sum(skill in wish.skills for skill in skills_in(o.title))
    by_words = (len(in_title) + 0.4 * len(elsewhere)) / len(wish.words) if wish.words else 0.0
    by_skills = min(1.0, titled_skills / 2)
    value = max(by_words, 0.7 * by_words + 0.3 * by_skills) if wish.words else by_skills
    if in_title:
        return _Part(value, weight, f"title says {', '.join(in_title)}")
    return _Part(value, weight, f"mentions {', '.join(elsewhere)}" if elsewhere else None)


def _place(o: Opportunity, fit: PlaceFit, weight: float) -> _Part:
    match fit:
        case PlaceFit.HERE:
            return _Part(1.0, weight, f"in {_here(o)}")
        case PlaceFit.REMOTE:
            return _Part(1.0, weight, "remote")
        case PlaceFit.UNKNOWN:
            return _Part(0.3, weight)
        case _:
            return _Part(0.0, 0.0)


def _here(o: Opportunity) -> str:
    shown = ", ".join(o.locations[:2])
    return shown if len(o.locations) <= 2 else f"{shown} and {len(o.locations) - 2} more"


def _pay(o: Opportunity, wish: Wish, weight: float) -> _Part:
    if wish.min_pay is None:
        return _Part(0.0, 0.0)
    if compare(o.pay, wish.min_pay) is PayVerdict.ENOUGH:
        return _Part(1.0, weight, f"pays your minimum of {wish.min_pay} or more")
    return _Part(0.3, weight)


def _freshness(o: Opportunity, now: datetime, weight: float) -> _Part:
    """Halves every 30 days; a posting without a date counts as half fresh."""
    if o.posted_at is None:
        soon = _days(o.deadline, now) if o.deadline else None
        near = soon is not None and 1 <= soon <= _DEADLINE_NAMED_DAYS
        reason = f"open for {_count(soon, 'more day')}" if soon is not None and near else None
        return _Part(0.5, weight, reason)
    age = -_days(o.posted_at, now)
    if age < 0:  # not open yet
        return _Part(0.5, weight)
    reason = f"posted {_ago(age)}" if age <= 2 * _FRESH_HALF_LIFE_DAYS else None
    return _Part(0.5 ** (age / _FRESH_HALF_LIFE_DAYS), weight, reason)


def _cautions(o: Opportunity, fit: PlaceFit, wish: Wish, now: datetime) -> tuple[str, ...]:
    cautions = []
    if o.source == "sample":
        cautions.append("sample posting, not a real offer")
    if o.url is None:
        cautions.append("no link")
    if fit is PlaceFit.UNKNOWN:
        cautions.append("place not recognised" if o.locations else "states no place")
    if fit is PlaceFit.REMOTE and (countries := _foreign_countries(o, wish)):
        cautions.append(f"remote, but names {countries}: check that your place is meant")
    if o.posted_at is not None and -_days(o.posted_at, now) > _OLD_DAYS:
        cautions.append(f"posted {_ago(-_days(o.posted_at, now))}, may be filled")
    if o.posted_at is not None and o.posted_at > now:
        cautions.append(f"opens on {o.posted_at:%d %b %Y}")
    if o.deadline is None and o.deadline_text and not o.deadline_text.lower().startswith("rolling"):
        cautions.append(f"deadline unknown: it says “{o.deadline_text[:80]}”")
    if o.pay and wish.min_pay and compare(o.pay, wish.min_pay) is PayVerdict.UNKNOWN:
        cautions.append("its pay can't be compared with your minimum")
    return tuple(cautions)


# --- small parts ------------------------------------------------------------------------------


def _rarity(opportunities: Sequence[Opportunity], wish: Wish) -> dict[str, float]:
    """Inverse document frequency of the wished skills, smoothed: ln(1 + N / (1 + n))."""
    counts = Counter(s for o in opportunities for s in wish.skills if _has_skill(o, s))
    return {s: math.log(1 + len(opportunities) / (1 + counts[s])) for s in wish.skills}


def _has_skill(o: Opportunity, skill: str) -> bool:
    return skill in o.skills


def _said(o: Opportunity) -> frozenset[str]:
    """What a posting says outside its title."""
    return _token_set(" ".join((*o.skills, o.organisation or "", o.description or "")))


def _says(tokens: frozenset[str], word: str) -> bool:
    if word in tokens:
        return True
    # engineer, engineers, engineering; developer, developers
    stem = word.rstrip("s")
    return len(stem) >= 5 and any(t.startswith(stem) for t in tokens)


@lru_cache(maxsize=16_384)
def _token_set(text: str) -> frozenset[str]:
    words = _tokens(text)
    # "back end" and "back-end" say "backend"
    return frozenset((*words, *(a + b for a, b in pairwise(words))))


def _tokens(text: str) -> list[str]:
    return re.findall(r"[\w+#]+(?:\.\w+)?", fold(text).replace("-", " "))


def _foreign_countries(o: Opportunity, wish: Wish) -> str:
    """The countries a remote posting names, when none of them is one the person asked for."""
    wanted = {place.country for place in wish.place.places}
    named = {p.country for text in o.locations for p in parse_location(text).places}
    countries = sorted(country for country in named if country)
    return "" if not wanted or wanted & named else ", ".join(c.title() for c in countries[:3])


def _days(instant: datetime, now: datetime) -> float:
    return (instant - now).total_seconds() / 86_400


def _ago(days: float) -> str:
    if days < 1:
        return "today"
    for unit, length, least in (("year", 365.0, 1), ("month", 30.4, 2)):
        if days / length >= least:
            return f"{_count(days / length, unit)} ago"
    return f"{_count(days, 'day')} ago"


def _count(number: float, unit: str) -> str:
    return f"{int(number)} {unit}{'s' if int(number) > 1 else ''}"
