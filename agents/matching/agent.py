"""The Matching agent: hard filters first, each counted, then a score with its reasons."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Protocol

from agents.configs import RankingWeights
from agents.domain.match import Match, MatchMethod, Provenance
from agents.domain.opportunity import Opportunity
from agents.domain.profile import Profile
from agents.lanes import RANKING
from agents.matching.filters import PlaceWish, sift
from agents.matching.port import Scores
from agents.matching.ranker import RankedOpportunity, Wish, rank, unheard


class Now(Protocol):
    """The part of a clock that this agent needs."""

    def now(self) -> datetime:
        """The current instant in UTC."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Matching:
    """The best matches, and what became of the postings looked at.

    postings = expired + inactive + the sum of filtered + ranked
    """

    matches: tuple[Match, ...]
    expired: int
    inactive: int
    filtered: Mapping[str, int]
    ranked: int
    unheard: tuple[str, ...] = ()
    """Words asked for that no posting says."""


class MatchingAgent:
    """Ranks postings for a person without any outside call."""

    def __init__(self, scores: Scores, clock: Now) -> None:
        self._scores = scores
        self._clock = clock

    async def match(
        self,
        run_id: str,
        opportunities: Sequence[Opportunity],
        profile: Profile,
        *,
        query: str = "",
        limit: int,
        weights: RankingWeights,
        dismissed: frozenset[str] = frozenset(),
        cached: frozenset[str] = frozenset(),
    ) -> Matching:
        """Filter and rank `opportunities`, keep the best `limit` with their scores, return them.

        `cached` names the sources whose postings were read from the store.
        """
        matching = await RANKING.run(
            self._match,
            opportunities=opportunities,
            profile=profile,
            query=query,
            limit=limit,
            weights=weights,
            dismissed=dismissed,
            cached=cached,
        )
        await self._scores.keep_matches(run_id, matching.matches)
        return matching

    async def show_unranked(
        self,
        run_id: str,
        opportunities: Sequence[Opportunity],
        profile: Profile,
        *,
        limit: int,
        dismissed: frozenset[str] = frozenset(),
        cached: frozenset[str] = frozenset(),
    ) -> None:
        """Keep the newest postings that pass the filters, without a score: what a run that was
        stopped had found."""
        unranked = await RANKING.run(
            self._unranked, opportunities, profile, limit, dismissed, cached
        )
        await self._scores.keep_matches(run_id, unranked)

    async def unscore(self, run_id: str) -> str | None:
        """The undo of `match`: scores and reasons become NULL, the postings stay."""
        count = await self._scores.unscore(run_id)
        return f"{count} score{'s' if count > 1 else ''} removed" if count else None

    def _match(
        self,
        *,
        opportunities: Sequence[Opportunity],
        profile: Profile,
        query: str,
        limit: int,
        weights: RankingWeights,
        dismissed: frozenset[str],
        cached: frozenset[str],
    ) -> Matching:
        now = self._clock.now()
        place = PlaceWish.of(profile)
        sifted = sift(opportunities, profile, place, dismissed, now)
        wish = Wish.of(profile, query, place)
        ranked = rank(sifted.kept, wish, now, weights)
        return Matching(
            matches=tuple(
                _match_of(position, best, now, from_cache=best.opportunity.source in cached)
                for position, best in enumerate(ranked[:limit], 1)
            ),
            expired=sifted.expired,
            inactive=sifted.inactive,
            filtered=sifted.filtered,
            ranked=len(ranked),
            unheard=unheard(sifted.kept, wish),
        )

    def _unranked(
        self,
        opportunities: Sequence[Opportunity],
        profile: Profile,
        limit: int,
        dismissed: frozenset[str],
        cached: frozenset[str],
    ) -> list[Match]:
        now = self._clock.now()
        kept = sift(opportunities, profile, PlaceWish.of(profile), dismissed, now).kept
        found = (opportunity for opportunity, _ in kept)
        newest = sorted(found, key=lambda o: (o.posted_at or o.fetched_at, o.id), reverse=True)
        return [
            _unranked_match(position, opportunity, now, from_cache=opportunity.source in cached)
            for position, opportunity in enumerate(newest[:limit], 1)
        ]


def _match_of(position: int, best: RankedOpportunity, now: datetime, *, from_cache: bool) -> Match:
    unranked = _unranked_match(position, best.opportunity, now, from_cache=from_cache)
    return replace(unranked, score=best.score, reasons=best.reasons, cautions=best.cautions)


def _unranked_match(
    position: int, opportunity: Opportunity, now: datetime, *, from_cache: bool
) -> Match:
    return Match(
        rank=position,
        score=None,
        method=MatchMethod.HEURISTIC,
        reasons=(),
        cautions=(),
        provenance=Provenance(
            source=opportunity.source,
            fetched_at=opportunity.fetched_at,
            from_cache=from_cache,
            age_s=max(0.0, round((now - opportunity.fetched_at).total_seconds(), 3)),
        ),
        opportunity=opportunity,
    )
