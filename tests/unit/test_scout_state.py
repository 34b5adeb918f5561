"""What a scout's steps hand on, kept as JSON and restored from the store."""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from agents.discovery.agent import Discovery, SourceReport
from agents.domain.draft import Draft, DraftMethod
from agents.domain.match import Match, MatchMethod, Provenance
from agents.domain.opportunity import Listing, Opportunity
from agents.domain.profile import Profile
from agents.domain.run import ScoutRequest
from agents.matching.agent import Matching
from agents.scout_state import (
    ScoutState,
    keep_discovery,
    keep_drafts,
    keep_matching,
    restore_discovery,
    restore_drafts,
    restore_matching,
)
from agents.store.admission import Quotas
from agents.store.database import Database
from agents.store.outcomes import OutcomeStore
from agents.store.postings import PostingStore
from agents.store.runs import NewRun, RunStore
from agents.store.schema import opportunities
from tests.fakes.clock import NOON, FixedClock
from tests.fakes.opportunities import opportunity

TWINS = (
    Listing(source="a-feed", source_id="7", url="https://example.com/7", title="Engineer"),
    Listing(source="file", source_id=None, url=None, title="Ingénieur — “Go”"),
)
CARDS = (
    opportunity(id="p-2", also_at=TWINS),
    opportunity(id="p-1", fetched_at=NOON - timedelta(hours=9, microseconds=5)),
    opportunity(id="p-3", deadline=NOON + timedelta(days=1), remote=False),
)
REQUEST = ScoutRequest(query="go", profile=Profile(skills=("go",)), limit=5)
BEGUN = ScoutState(run_id="run-1", user_id="person-1", request=REQUEST)
DISCOVERY = Discovery(
    opportunities=CARDS,
    found=9,
    duplicates=6,
    sources=(
        SourceReport(source="a-feed", found=9, unreadable={"no title": 2}, notice="an hour old"),
        SourceReport(source="apify:1", found=0, unreadable={}, error="apify:1: out of credit"),
    ),
    sample=True,
    cached=frozenset({"a-feed", "file"}),
    cost_usd=0.125,
    unserved=("feeds",),
)


@dataclass(frozen=True, slots=True)
class Kept:
    """Stores over a database of the test's own."""

    database: Database
    postings: PostingStore
    outcomes: OutcomeStore


@pytest.fixture
async def kept(tmp_path: Path) -> AsyncIterator[Kept]:
    """With the run and its postings."""
    clock = FixedClock()
    async with Database.open(f"sqlite:///{tmp_path}/webscout.db") as database:
        await database.migrate()
        stores = Kept(database, PostingStore(database), OutcomeStore(database, clock.now))
        new = NewRun(
            run_id="run-1", kind="scout", user_id="person-1", config="scout@1", request="{}"
        )
        await RunStore(database, clock.now).create(new, Quotas())
        await stores.postings.keep(CARDS)
        yield stores


def match_of(found: Opportunity, rank: int) -> Match:
    """A scored match of a posting."""
    return Match(
        rank=rank,
        score=90.0 - rank,
        method=MatchMethod.HEURISTIC,
        reasons=("go is asked for",),
        cautions=(),
        provenance=Provenance(
            source=found.source, fetched_at=found.fetched_at, from_cache=True, age_s=60.5
        ),
        opportunity=found,
    )


MATCHING = Matching(
    # A match is read with its posting, as the store has that now.
    matches=(match_of(replace(CARDS[1]), 1), match_of(CARDS[0], 2)),
    expired=1,
    inactive=2,
    filtered={"place": 3, "pay": 4},
    ranked=5,
    unheard=("kotlin",),
)


async def test_a_discovery_comes_back_as_it_was(kept: Kept) -> None:
    """Every card in its order with its duplicates, every count and every report."""
    state = replace(BEGUN, discovery=DISCOVERY)
    body = await keep_discovery(state)

    assert await restore_discovery(kept.postings, BEGUN, body) == state


async def test_a_discovery_of_nothing_comes_back(kept: Kept) -> None:
    """No cards are no reason to search again."""
    empty = Discovery(opportunities=(), found=0, duplicates=0, sources=())
    state = replace(BEGUN, discovery=empty)

    assert await restore_discovery(kept.postings, BEGUN, await keep_discovery(state)) == state


async def test_what_the_run_saw_of_a_card_is_kept_with_it(kept: Kept) -> None:
    """Another run has read the posting again since, with other duplicates: this run's provenance
    is its own, the words are the newest."""
    body = await keep_discovery(replace(BEGUN, discovery=DISCOVERY))
    newer = replace(CARDS[0], title="Newer", fetched_at=NOON, also_at=())
    await kept.postings.keep([newer])
    restored = await restore_discovery(kept.postings, BEGUN, body)

    assert restored is not None
    assert restored.discovery is not None
    card = restored.discovery.opportunities[0]
    assert (card.title, card.fetched_at, card.also_at) == ("Newer", CARDS[0].fetched_at, TWINS)


async def test_a_discovery_holds_no_posting_and_nothing_of_the_person(kept: Kept) -> None:
    """Postings are in the store; what the person wrote is, too, where /forget finds it."""
    body = await keep_discovery(replace(BEGUN, discovery=DISCOVERY))

    assert "Larkfield" not in body
    assert "person-1" not in body
    assert len(body) < 1_500


async def test_a_discovery_whose_postings_have_gone_is_done_again(kept: Kept) -> None:
    """One missing card is enough."""
    body = await keep_discovery(replace(BEGUN, discovery=DISCOVERY))
    async with kept.database.write() as connection:
        await connection.execute(sa.delete(opportunities).where(opportunities.c.id == "p-1"))

    assert await restore_discovery(kept.postings, BEGUN, body) is None


@pytest.mark.parametrize(
    "change",
    [
        lambda _: "",
        lambda _: "null",
        lambda _: "[]",
        lambda body: body[:-1],
        lambda body: body.replace('"version":1', '"version":2'),
        lambda body: json.dumps({k: v for k, v in json.loads(body).items() if k != "version"}),
        lambda body: body.replace('"found":9', '"found":"many"').replace('"kept":2', '"kept":[]'),
    ],
)
async def test_a_body_of_another_kind_is_done_again(kept: Kept, change: Any) -> None:
    """Another version, half a body, none at all: nothing fails."""
    await kept.outcomes.keep_matches("run-1", MATCHING.matches)
    state = replace(BEGUN, discovery=DISCOVERY, matching=MATCHING)
    discovery, matching = await keep_discovery(state), await keep_matching(state)

    assert await restore_discovery(kept.postings, BEGUN, change(discovery)) is None
    assert await restore_matching(kept.outcomes, BEGUN, change(matching)) is None
    assert await restore_discovery(kept.postings, BEGUN, matching) is None
    assert await restore_matching(kept.outcomes, BEGUN, discovery) is None


async def test_a_matching_comes_back_as_it_was(kept: Kept) -> None:
    """The matches from the store, best first, with their duplicates; the counts from the body."""
    await kept.outcomes.keep_matches("run-1", MATCHING.matches)
    state = replace(BEGUN, matching=MATCHING)

    assert await restore_matching(kept.outcomes, BEGUN, await keep_matching(state)) == state


async def test_a_matching_without_a_match_comes_back(kept: Kept) -> None:
    """Nothing fitted: that is a result."""
    nothing = replace(MATCHING, matches=(), ranked=0)
    state = replace(BEGUN, matching=nothing)

    assert await restore_matching(kept.outcomes, BEGUN, await keep_matching(state)) == state


@pytest.mark.parametrize("undo", ["unscore", "another"])
async def test_a_matching_whose_scores_have_gone_is_done_again(kept: Kept, undo: str) -> None:
    """Undone, or replaced by what was not ranked."""
    await kept.outcomes.keep_matches("run-1", MATCHING.matches)
    body = await keep_matching(replace(BEGUN, matching=MATCHING))
    if undo == "unscore":
        await kept.outcomes.unscore("run-1")
    else:
        await kept.outcomes.keep_matches("run-1", MATCHING.matches[:1])

    assert await restore_matching(kept.outcomes, BEGUN, body) is None


async def test_drafts_come_back_from_the_store(kept: Kept) -> None:
    """All there are, in their order; what the state had before stays."""
    drafts = tuple(
        Draft(opportunity_id=card.id, method=DraftMethod.TEMPLATE, text=f"Dear {card.id}")
        for card in CARDS
    )
    await kept.outcomes.keep_drafts("run-1", drafts)
    before = replace(BEGUN, discovery=DISCOVERY)
    state = replace(before, drafts=drafts)

    assert await restore_drafts(kept.outcomes, before, await keep_drafts(state)) == state


async def test_no_drafts_come_back_as_none(kept: Kept) -> None:
    """A scout that was asked for none."""
    assert await restore_drafts(kept.outcomes, BEGUN, await keep_drafts(BEGUN)) == BEGUN
