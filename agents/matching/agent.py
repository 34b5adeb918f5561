"""The Matching agent: hard filters first, each counted, then a score with its reasons, and of the
best a language model's opinion.

    sift      what the person ruled out                      (filters.py)
    rank      how well the rest fits, without any model      (ranker.py)
    judge     what a model says of the best, if it can       (judge.py)
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Protocol

from agents.configs import RankingWeights
from agents.domain.match import Match, MatchMethod, Provenance
from agents.domain.opportunity import Opportunity
from agents.domain.profile import Profile
from agents.lanes import RANKING
from agents.llm.port import NO_MODEL
from agents.matching.excluded import without
from agents.matching.filters import PlaceWish, Sifted, sift
from agents.matching.judge import JUDGED_MAX, Judge, Judged, Judgement, Wanted
from agents.matching.legitimacy import cautions_of
from agents.matching.port import Scores
from agents.matching.ranker import WEAK_SCORE, RankedOpportunity, Ranker
from agents.matching.wish import Wish

WEAK = "a weak match: it has little of what you want"


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
    without_ai: str | None = None
    """Why no language model ranked the best, if none did."""
    replaced: bool = False
    """Whether that was in the place of a model that is configured."""


class MatchingAgent:
    """Ranks postings for a person: by itself, and the best with a language model."""

    def __init__(
        self,
        scores: Scores,
        clock: Now,
        judge: Judge | None = None,
        ranker: Ranker | None = None,
    ) -> None:
        self._scores = scores
        self._clock = clock
        self._judge = judge
        self._ranker = ranker or Ranker()

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
        excluded: tuple[str, ...] = (),
        home: tuple[str, ...] = (),
        wanted: Wanted | None = None,
    ) -> Matching:
        """Filter and rank `opportunities`, keep the best `limit` with their scores, return them.

        `cached` names the sources whose postings were read from the store, `excluded` words that no
        posting may say, `home` where the person lives. With `wanted` a language model judges the
        best; raises what the account in it raises.
        """
        ranking = await RANKING.run(
            self._rank,
            opportunities=opportunities,
            profile=profile,
            query=query,
            limit=max(limit, JUDGED_MAX),
            weights=weights,
            dismissed=dismissed,
            excluded=excluded,
            home=home,
        )
        judged = await self._judged(ranking.best, wanted)
        matching = self._matching(ranking, judged, limit, cached)
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
        excluded: tuple[str, ...] = (),
    ) -> None:
        """Keep the newest postings that pass the filters, without a score: what a run that was
        stopped had found."""
        unranked = await RANKING.run(
            self._unranked,
            opportunities=opportunities,
            profile=profile,
            limit=limit,
            dismissed=dismissed,
            cached=cached,
            excluded=excluded,
        )
        await self._scores.keep_matches(run_id, unranked)

    async def unscore(self, run_id: str) -> str | None:
        """The undo of `match`: scores and reasons become NULL, what was remembered of them is
        dropped, the postings stay."""
        if self._judge is not None:
            await self._judge.unscore(run_id)
        count = await self._scores.unscore(run_id)
        return f"{count} score{'s' if count > 1 else ''} removed" if count else None

    def _rank(
        self,
        *,
        opportunities: Sequence[Opportunity],
        profile: Profile,
        query: str,
        limit: int,
        weights: RankingWeights,
        dismissed: frozenset[str],
        excluded: tuple[str, ...],
        home: tuple[str, ...],
    ) -> "_Ranking":
        now = self._clock.now()
        place = PlaceWish.of(profile, home)
        allowed, unwanted = without(opportunities, excluded)
        sifted = sift(allowed, profile, place, dismissed, now)
        wish = Wish.of(profile, query, place)
        best = self._ranker.rank(sifted.kept, wish, now, weights, limit)
        return _Ranking(
            best=tuple(
                replace(one, cautions=(*one.cautions, *cautions_of(one.opportunity)))
                for one in best
            ),
            sifted=sifted,
            filtered={"excluded": unwanted, **sifted.filtered} if unwanted else sifted.filtered,
            unheard=self._ranker.unheard(sifted.kept, wish),
        )

    async def _judged(
        self, best: Sequence[RankedOpportunity], wanted: Wanted | None
    ) -> Judged | None:
        if self._judge is None or wanted is None or not best:
            return None
        return await self._judge.judge([one.opportunity for one in best], wanted)

    def _matching(
        self,
        ranking: "_Ranking",
        judged: Judged | None,
        limit: int,
        cached: frozenset[str],
    ) -> Matching:
        now, sifted = self._clock.now(), ranking.sifted
        best = _with_judgements(ranking.best, judged)[:limit]
        without_ai = NO_MODEL if judged is None else judged.without_ai
        return Matching(
            matches=tuple(
                _match_of(position, one, now, from_cache=one.ranked.opportunity.source in cached)
                for position, one in enumerate(best, 1)
            ),
            expired=sifted.expired,
            inactive=sifted.inactive,
            filtered=ranking.filtered,
            ranked=len(sifted.kept),
            unheard=ranking.unheard,
            without_ai=without_ai if ranking.best else None,
            replaced=judged is not None and judged.configured and without_ai is not None,
        )

    def _unranked(
        self,
        *,
        opportunities: Sequence[Opportunity],
        profile: Profile,
        limit: int,
        dismissed: frozenset[str],
        cached: frozenset[str],
        excluded: tuple[str, ...],
    ) -> list[Match]:
        now = self._clock.now()
        allowed, _ = without(opportunities, excluded)
        kept = sift(allowed, profile, PlaceWish.of(profile), dismissed, now).kept
        found = (opportunity for opportunity, _ in kept)
        newest = sorted(found, key=lambda o: (o.posted_at or o.fetched_at, o.id), reverse=True)
        return [
            _unranked_match(position, opportunity, now, from_cache=opportunity.source in cached)
            for position, opportunity in enumerate(newest[:limit], 1)
        ]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ranking:
    """The best of a ranking, and how it came about."""

    best: tuple[RankedOpportunity, ...]
    sifted: Sifted
    filtered: Mapping[str, int]
    unheard: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Scored:
    """A posting with the score that counts."""

    ranked: RankedOpportunity
    score: float
    method: MatchMethod
    reasons: tuple[str, ...]


def _with_judgements(best: Sequence[RankedOpportunity], judged: Judged | None) -> Sequence[_Scored]:
    """The postings, best first: those that a model judged by its score, then those that it was not
    asked about, whose scores don't compare with its; equal ones as they were."""
    by_id = {} if judged is None else judged.by_id
    scored = [_scored(one, by_id.get(one.opportunity.id)) for one in best]
    return sorted(scored, key=lambda one: (one.method is not MatchMethod.LLM, -one.score))


def _cautions(one: _Scored) -> tuple[str, ...]:
    """What to be careful of; first of all that a match hardly is one."""
    return (WEAK, *one.ranked.cautions) if one.score < WEAK_SCORE else one.ranked.cautions


def _scored(ranked: RankedOpportunity, judgement: Judgement | None) -> _Scored:
    if judgement is None:
        return _Scored(ranked, ranked.score, MatchMethod.HEURISTIC, ranked.reasons)
    why = (judgement.why,) if judgement.why else ()
    return _Scored(ranked, judgement.score, MatchMethod.LLM, (*why, *ranked.reasons))


def _match_of(position: int, best: _Scored, now: datetime, *, from_cache: bool) -> Match:
    ranked = best.ranked
    unranked = _unranked_match(position, ranked.opportunity, now, from_cache=from_cache)
    return replace(
        unranked,
        score=best.score,
        method=best.method,
        reasons=best.reasons,
        cautions=_cautions(best),
    )


def _unranked_match(
    position: int, opportunity: Opportunity, now: datetime, *, from_cache: bool
) -> Match:
    return Match(
        rank=position,
        score=None,
        method=MatchMethod.HEURISTIC,
        reasons=(),
        cautions=cautions_of(opportunity),
        provenance=Provenance(
            source=opportunity.source,
            fetched_at=opportunity.fetched_at,
            from_cache=from_cache,
            age_s=max(0.0, round((now - opportunity.fetched_at).total_seconds(), 3)),
        ),
        opportunity=opportunity,
    )
