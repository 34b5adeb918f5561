"""What the steps of a scout hand on; and as JSON with a version, since a scout that is taken up
after a restart goes on with it. Postings, scores and drafts are in the store: here are their ids,
and the counts.

A body of another version, or one whose postings are gone, is not restored: the step is done again.
"""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

from pydantic import TypeAdapter, ValidationError

from agents.discovery.agent import Discovery, SourceReport
from agents.domain.draft import Draft
from agents.domain.opportunity import Listing, Opportunity
from agents.domain.run import ScoutRequest
from agents.matching.agent import Matching
from agents.store.outcomes import OutcomeStore
from agents.store.postings import PostingStore

VERSION: Literal[1] = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoutState:
    """What the steps hand on: each fills its own field."""

    run_id: str
    user_id: str
    request: ScoutRequest
    discovery: Discovery | None = None
    matching: Matching | None = None
    drafts: tuple[Draft, ...] = ()
    drafted_without_ai: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _KeptDiscovery:
    version: Literal[1]
    cards: tuple[tuple[str, datetime], ...]  # the posting, and when its source was seen
    also_at: Mapping[str, tuple[Listing, ...]]
    found: int
    duplicates: int
    sources: tuple[SourceReport, ...]
    sample: bool
    cached: frozenset[str]
    cost_usd: float
    unserved: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _KeptMatching:
    version: Literal[1]
    kept: int
    expired: int
    inactive: int
    filtered: Mapping[str, int]
    ranked: int
    unheard: tuple[str, ...]
    without_ai: str | None
    replaced: bool


_DISCOVERY = TypeAdapter(_KeptDiscovery)
_MATCHING = TypeAdapter(_KeptMatching)


async def keep_discovery(state: ScoutState) -> str:
    """The discovery as JSON; made in a thread, since it may be half a megabyte."""
    discovery = state.discovery
    assert discovery is not None  # noqa: S101 - the step made it
    cards = discovery.opportunities
    kept = _KeptDiscovery(
        version=VERSION,
        cards=tuple((card.id, card.fetched_at) for card in cards),
        also_at={card.id: card.also_at for card in cards if card.also_at},
        found=discovery.found,
        duplicates=discovery.duplicates,
        sources=discovery.sources,
        sample=discovery.sample,
        cached=discovery.cached,
        cost_usd=discovery.cost_usd,
        unserved=discovery.unserved,
    )
    return (await asyncio.to_thread(_DISCOVERY.dump_json, kept)).decode()


async def restore_discovery(
    postings: PostingStore, state: ScoutState, body: str
) -> ScoutState | None:
    """The state with the discovery again, or None."""
    try:
        kept = await asyncio.to_thread(_DISCOVERY.validate_json, body)
    except ValidationError:
        return None
    stored = await postings.get_all(card_id for card_id, _ in kept.cards)
    if len(stored) < len(kept.cards):
        return None
    discovery = Discovery(
        opportunities=tuple(
            _card(stored[card_id], seen, kept.also_at.get(card_id, ()))
            for card_id, seen in kept.cards
        ),
        found=kept.found,
        duplicates=kept.duplicates,
        sources=kept.sources,
        sample=kept.sample,
        cached=kept.cached,
        cost_usd=kept.cost_usd,
        unserved=kept.unserved,
    )
    return replace(state, discovery=discovery)


async def keep_matching(state: ScoutState) -> str:
    """The matching as JSON."""
    matching = state.matching
    assert matching is not None  # noqa: S101 - the step made it
    kept = _KeptMatching(
        version=VERSION,
        kept=len(matching.matches),
        expired=matching.expired,
        inactive=matching.inactive,
        filtered=matching.filtered,
        ranked=matching.ranked,
        unheard=matching.unheard,
        without_ai=matching.without_ai,
        replaced=matching.replaced,
    )
    return _MATCHING.dump_json(kept).decode()


async def restore_matching(
    outcomes: OutcomeStore, state: ScoutState, body: str
) -> ScoutState | None:
    """The state with the matching again, or None."""
    try:
        kept = _MATCHING.validate_json(body)
    except ValidationError:
        return None
    matches = await outcomes.matches(state.run_id)
    if len(matches) != kept.kept:
        return None
    matching = Matching(
        matches=tuple(matches),
        expired=kept.expired,
        inactive=kept.inactive,
        filtered=kept.filtered,
        ranked=kept.ranked,
        unheard=kept.unheard,
        without_ai=kept.without_ai,
        replaced=kept.replaced,
    )
    return replace(state, matching=matching)


async def keep_drafts(state: ScoutState) -> str:
    """Why they were made without AI, if so, as JSON; the drafts are in the store."""
    return json.dumps(state.drafted_without_ai)


async def restore_drafts(outcomes: OutcomeStore, state: ScoutState, body: str) -> ScoutState | None:
    """The state with the drafts again, or None."""
    try:
        without_ai = json.loads(body)
    except ValueError:
        return None
    drafts = tuple(await outcomes.drafts(state.run_id))
    return replace(state, drafts=drafts, drafted_without_ai=without_ai)


def _card(stored: Opportunity, seen: datetime, also_at: tuple[Listing, ...]) -> Opportunity:
    return replace(stored, fetched_at=seen, also_at=also_at)
