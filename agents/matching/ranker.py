"""A heuristic ranker: how well a posting fits, from 0 to 100, and why, in words.

A score is the weighted mean of how well the work fits, of freshness, and of pay where a minimum is
wished, times how well the place fits. How well the work fits comes from three parts: the skills and
words that a posting names (`index.py`), the kind of role (`roles.py`), and the topic, learned from
the postings themselves (`latent.py`). Without a language model and without any download.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from agents.configs import RankingWeights
from agents.domain.opportunity import Opportunity
from agents.matching.filters import PlaceFit
from agents.matching.reasons import cautions_of, reasons_of
from agents.matching.wish import Wish

if TYPE_CHECKING:
    from agents.matching.scoring import Scorer

WEAK_SCORE = 25.0
"""Scores below it come from freshness and chance: little in the posting was wished for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RankedOpportunity:
    """A posting with its score (0 to 100), why, and what to be careful of."""

    opportunity: Opportunity
    score: float
    reasons: tuple[str, ...]
    cautions: tuple[str, ...]


class Ranker:
    """Ranks for everybody, with one index of the postings seen so far, at most `postings_max` of
    them between two calls. A posting is read once, until its text changes.

    Called in the RANKING lane only: it is not safe for threads at once, and its first call loads
    numpy and scipy. What the index has seen before moves a score by the topic's part alone, as
    topics are learned from all of it; an identical second call gives identical scores.
    """

    def __init__(self, postings_max: int = 100_000) -> None:
        self._postings_max = postings_max
        self._made: Scorer | None = None

    def rank(
        self,
        candidates: Sequence[tuple[Opportunity, PlaceFit]],
        wish: Wish,
        now: datetime,
        weights: RankingWeights,
        limit: int | None = None,
    ) -> list[RankedOpportunity]:
        """The best `limit` candidates or all, best first; equal scores by newest, then soonest
        deadline, then id."""
        if not candidates or limit == 0:
            return []
        most = len(candidates) if limit is None else min(limit, len(candidates))
        best = self._scorer().best(candidates, wish, now, weights, most)
        ranked = []
        for scored in best:
            opportunity, fit = candidates[scored.position]
            ranked.append(
                RankedOpportunity(
                    opportunity=opportunity,
                    score=scored.score,
                    reasons=reasons_of(opportunity, fit, wish, scored.evidence, now),
                    cautions=cautions_of(opportunity, fit, wish, now),
                )
            )
        return ranked

    def unheard(
        self, candidates: Sequence[tuple[Opportunity, PlaceFit]], wish: Wish
    ) -> tuple[str, ...]:
        """The query's words that no candidate says."""
        asked = [concept for concept in wish.concepts() if concept.skill is None]
        if not asked or not candidates:
            return wish.words
        heard = self._scorer().heard(candidates, asked)
        return tuple(word for word in wish.words if word not in heard)

    def _scorer(self) -> "Scorer":
        if self._made is None:
            # numpy and scipy take a third of a second to load, which no start shall pay.
            from agents.matching.scoring import Scorer  # noqa: PLC0415

            self._made = Scorer(self._postings_max)
        return self._made
