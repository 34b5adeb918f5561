"""The score of every posting for one wish, all at once in arrays.

Imports numpy: load it in the RANKING lane only.
"""

import heapq
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from agents.configs import RankingWeights
from agents.domain.opportunity import Opportunity
from agents.domain.pay import MinPay, PayVerdict, compare
from agents.matching.filters import PlaceFit
from agents.matching.index import FULL, Floats, Index, Ints
from agents.matching.latent import Latent
from agents.matching.reasons import Evidence
from agents.matching.roles import Vector, wished_roles
from agents.matching.text import stems
from agents.matching.wish import Concept, Wish

Candidates = Sequence[tuple[Opportunity, PlaceFit]]

FRESH_HALF_LIFE_DAYS = 30.0
_UNDATED = 0.5
_UNCOMPARED_PAY = 0.3
_TOLD_SHARE = 0.5  # of the weight of all that is wished, for what a person tells
_STRETCH = 1.5  # nothing fits in every part: 0.5 is shown as 65, 0.8 as 91
_PLACE = {
    PlaceFit.ANY: 1.0,
    PlaceFit.HERE: 1.0,
    PlaceFit.REMOTE: 1.0,
    PlaceFit.NEAR: 0.9,
    PlaceFit.UNKNOWN: 0.6,
    PlaceFit.ELSEWHERE: 0.1,
}
_EXACT = 4  # decimal places: below them, sums depend on the order of their parts
_DAY_S = 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """A candidate by its position, its score, and why."""

    position: int
    score: float
    evidence: Evidence


@dataclass(frozen=True, slots=True)
class _Part:
    """One part of a score: 0 to 1 for each posting, and its weight."""

    values: NDArray[np.floating]
    weight: float


class Scorer:
    """Scores postings by an index of all seen so far. Not safe for threads at once."""

    def __init__(self, postings_max: int) -> None:
        self._index = Index(postings_max)
        self._latent = Latent(self._index)

    def best(
        self,
        candidates: Candidates,
        wish: Wish,
        now: datetime,
        weights: RankingWeights,
        limit: int,
    ) -> list[Scored]:
        """The best `limit`, best first; equal scores by newest, soonest deadline, id."""
        rows = self._index.rows([o for o, _ in candidates])
        concepts = wish.concepts()
        asked, roles = self._asked(concepts, wish), _roles(wish)
        parts = [_Part(_freshness(self._index.posted(rows), now), weights.freshness)]
        if (fit := self._fit(concepts, asked, roles, rows, weights)) is not None:
            parts.append(fit)
        if wish.min_pay is not None:
            parts.append(_Part(_paid(candidates, wish.min_pay), weights.pay))
        place = np.fromiter((_PLACE[fit] for _, fit in candidates), np.float64, len(candidates))
        scores = np.round(100 * place * _mean(parts), 1)
        top = _first(candidates, scores, self._index.posted(rows), now, limit)
        return [
            Scored(
                position=at,
                score=float(scores[at]),
                evidence=Evidence(
                    said=self._said(concepts, int(rows[at])),
                    topic=self._latent.shared(asked, int(rows[at])),
                    roles=roles,
                ),
            )
            for at in top
        ]

    def heard(self, candidates: Candidates, words: Sequence[Concept]) -> frozenset[str]:
        """The words that some candidate says."""
        rows = self._index.rows([o for o, _ in candidates])
        found = self._evidence(words, rows)
        return frozenset(w.shown for w, says in zip(words, found, strict=True) if says.any())

    # --- the parts ----------------------------------------------------------------------------

    def _fit(
        self,
        concepts: Sequence[Concept],
        asked: dict[int, float],
        roles: Vector,
        rows: Ints,
        weights: RankingWeights,
    ) -> _Part | None:
        """How well the work fits: what is named, the kind of role, the topic."""
        parts = []
        if concepts:
            parts.append(_Part(self._named(concepts, rows), weights.skills))
        if any(roles):
            likeness = self._index.roles(rows) @ np.asarray(roles, np.float32)
            parts.append(_Part(np.round(likeness, _EXACT), weights.role))
        closeness = self._latent.closeness(asked, rows)
        if closeness is not None:
            # Squared: small cosines are chance.
            parts.append(_Part(np.round(closeness, _EXACT) ** 2, weights.topic))
        if not parts:
            return None
        mean = _mean(parts)
        shown = 1 - (1 - np.clip(mean, 0, 1)) ** _STRETCH
        return _Part(shown, sum(part.weight for part in parts))

    def _named(self, concepts: Sequence[Concept], rows: Ints) -> NDArray[np.floating]:
        """The share of what is wished that each posting names; what is rare counts more."""
        shares = _shares(concepts)
        total, named = 0.0, np.zeros(len(rows), np.float64)
        for found, share in zip(self._evidence(concepts, rows), shares, strict=True):
            count = np.count_nonzero(found)
            weight = share * math.log(1 + (len(rows) - count + 0.5) / (count + 0.5))
            total += weight
            named += weight * found
        return np.minimum(named / (total * FULL), 1.0)

    def _evidence(self, concepts: Sequence[Concept], rows: Ints) -> list[Floats]:
        """How clearly each posting says each concept, 0 to 1: by its clearest way, and of a way of
        several words by the least clear."""
        ways = {concept: self._known_ways(concept) for concept in concepts}
        terms = list(dict.fromkeys(t for found in ways.values() for way in found for t in way))
        hits = dict(zip(terms, self._index.find(terms, rows), strict=True)) if terms else {}
        evidence = []
        for concept in concepts:
            best = np.zeros(len(rows), np.float32)
            for way in ways[concept]:
                least = np.ones(len(rows), np.float32)
                for term in way:
                    one = np.zeros(len(rows), np.float32)
                    where, weight = hits[term]
                    one[where] = weight
                    np.minimum(least, one, out=least)
                np.maximum(best, least, out=best)
            evidence.append(best)
        return evidence

    def _known_ways(self, concept: Concept) -> list[list[int]]:
        """The ways whose every term some posting says, in term numbers."""
        found = []
        for way in concept.ways:
            numbers = [self._index.number(term) for term in way]
            known = [number for number in numbers if number is not None]
            if len(known) == len(numbers):
                found.append(known)
        return found

    def _asked(self, concepts: Sequence[Concept], wish: Wish) -> dict[int, float]:
        """The wish as weights of the terms that some posting says."""
        asked: Counter[int] = Counter()
        for concept, share in zip(concepts, _shares(concepts), strict=True):
            for way in concept.ways:
                self._ask(asked, way, share / len(concept.ways))
        self._ask(asked, wish.told, _TOLD_SHARE * max(1, len(concepts)))
        return dict(asked)

    def _ask(self, asked: Counter[int], terms: Sequence[str], amount: float) -> None:
        for term in terms:
            number = self._index.number(term)
            if number is not None:
                asked[number] += amount / len(terms)  # type: ignore[assignment]

    def _said(self, concepts: Sequence[Concept], row: int) -> tuple[Concept, ...]:
        has = self._index.terms_of(row)
        return tuple(
            concept
            for concept in concepts
            if any(has.issuperset(way) for way in self._known_ways(concept))
        )


def _roles(wish: Wish) -> Vector:
    skills = dict.fromkeys((*wish.skills, *wish.told_skills))
    return wished_roles(skills, stems(" ".join(wish.words)), wish.told)


def _mean(parts: Sequence[_Part]) -> NDArray[np.float64]:
    weight = sum(part.weight for part in parts)
    total = np.zeros(len(parts[0].values), np.float64)
    for part in parts:
        total += part.values * (part.weight / weight)
    return total


def _shares(concepts: Sequence[Concept]) -> list[float]:
    """The weight of each: what was just asked for counts, in all, as much as what the profile
    says in general."""
    skills = sum(concept.skill is not None for concept in concepts)
    asked = len(concepts) - skills
    word = max(1.0, skills / asked) if asked else 1.0
    return [word if concept.skill is None else 1.0 for concept in concepts]


def _freshness(posted: NDArray[np.float64], now: datetime) -> NDArray[np.float64]:
    """Halves every 30 days; without a date, or with one to come, half fresh."""
    age = (now.timestamp() - posted) / _DAY_S
    known = age >= 0  # not of nan
    return np.where(known, 0.5 ** (np.where(known, age, 0) / FRESH_HALF_LIFE_DAYS), _UNDATED)


def _paid(candidates: Candidates, wanted: MinPay) -> NDArray[np.float64]:
    enough = (
        o.pay is not None and compare(o.pay, wanted) is PayVerdict.ENOUGH for o, _ in candidates
    )
    return np.where(np.fromiter(enough, bool, len(candidates)), 1.0, _UNCOMPARED_PAY)


def _first(
    candidates: Candidates,
    scores: NDArray[np.float64],
    posted: NDArray[np.float64],
    now: datetime,
    limit: int,
) -> list[int]:
    """The positions of the best. A date to come makes no posting newer than others."""
    count = len(scores)
    if limit >= count:
        left = list(range(count))
    else:
        least = np.partition(scores, count - limit)[count - limit]
        left = np.flatnonzero(scores >= least).tolist()
    newest = np.where(posted <= now.timestamp(), posted, 0.0)

    def order(at: int) -> tuple[float, float, float, str]:
        o = candidates[at][0]
        deadline = math.inf if o.deadline is None else o.deadline.timestamp()
        return (-scores[at], -newest[at], deadline, o.id)

    return heapq.nsmallest(limit, left, key=order)
