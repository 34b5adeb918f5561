"""Postings, matches and drafts, the same on SQLite and on PostgreSQL."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest
import sqlalchemy as sa

from agents.domain.match import Match
from agents.domain.opportunity import Listing
from agents.domain.pay import Pay, Period
from agents.store.errors import StoreError
from agents.store.schema import matches
from tests.contract.conftest import Stores
from tests.contract.given import PROFILE, a_run, draft_of, match_of
from tests.fakes.clock import NOON
from tests.fakes.opportunities import opportunity


async def test_a_posting_comes_back_as_it_was_kept(stores: Stores) -> None:
    """Every field; a newer copy replaces it."""
    found = opportunity(
        id="p-1",
        title="Entwickler:in — “Zürich”",
        pay=Pay(min=50_000.0, max=60_000.5, currency="CHF", period=Period.YEAR, text="50–60k"),
        deadline=NOON + timedelta(days=3, microseconds=7),
        deadline_text="soon",
        active=True,
        remote=False,
        description="x" * 5_000,
    )
    twin = Listing(source="other", source_id=None, url=None, title="t")
    await stores.postings.keep([replace(found, also_at=(twin,))])
    assert await stores.postings.get("p-1") == found  # duplicates are a run's finding
    newer = opportunity(id="p-1", title="Newer")
    await stores.postings.keep([newer, opportunity(id="p-2")])
    assert await stores.postings.get("p-1") == newer
    assert await stores.postings.get("p-3") is None


@pytest.mark.parametrize("count", [0, 250, 601])
async def test_postings_are_kept_in_any_number(stores: Stores, count: int) -> None:
    """Fewer than a batch, exactly one, and several."""
    await stores.postings.keep(opportunity(id=f"p-{n}") for n in range(count))

    for n in range(0, count, 100):
        assert await stores.postings.get(f"p-{n}") is not None
    assert await stores.postings.get(f"p-{count}") is None


@pytest.mark.parametrize("count", [0, 1, 250, 601])
async def test_postings_are_looked_up_in_any_number(stores: Stores, count: int) -> None:
    """By id, as far as they are there; each once, from any iterable."""
    found = {o.id: o for o in (opportunity(id=f"p-{n}") for n in range(count))}
    await stores.postings.keep([*found.values(), opportunity(id="another")])

    assert await stores.postings.get_all(iter(found)) == found
    assert await stores.postings.get_all([*found, "nothing", *found]) == found


async def with_matches(stores: Stores, run_id: str = "run-1") -> Sequence[Match]:
    """A run with two matches."""
    found = [opportunity(id="p-1"), opportunity(id="p-2")]
    await stores.postings.keep(found)
    await a_run(stores, run_id=run_id)
    kept = [match_of(found[1], 1), match_of(found[0], 2, score=0.0, cautions=())]
    await stores.outcomes.keep_matches(run_id, kept)
    return kept


async def test_matches_come_back_best_first(stores: Stores) -> None:
    """As they were kept, with their postings, by rank."""
    kept = await with_matches(stores)
    await stores.outcomes.keep_matches("run-1", list(reversed(kept)))

    assert await stores.outcomes.matches("run-1") == kept
    assert await stores.outcomes.matches("run-2") == []


async def test_matching_again_replaces_the_matches(stores: Stores) -> None:
    """A step that is done again leaves only its newest result, and other runs alone."""
    first = await with_matches(stores)
    await a_run(stores, run_id="run-2")
    await stores.outcomes.keep_matches("run-2", first)
    again = [match_of(first[1].opportunity, 1, score=12.0)]
    await stores.outcomes.keep_matches("run-1", again)

    assert await stores.outcomes.matches("run-1") == again
    assert await stores.outcomes.matches("run-2") == first
    await stores.outcomes.keep_matches("run-1", [])
    assert await stores.outcomes.matches("run-1") == []


async def test_unscoring_empties_the_scores_and_keeps_the_postings(stores: Stores) -> None:
    """Scores, reasons and cautions become SQL's NULL; rows and postings stay; twice is once."""
    await with_matches(stores)

    assert [await stores.outcomes.unscore("run-1") for _ in range(2)] == [2, 0]
    assert await stores.outcomes.matches("run-1") == []
    empty = (
        matches.c.score.is_(sa.null())
        & matches.c.reasons.is_(sa.null())
        & matches.c.cautions.is_(sa.null())
    )
    async with stores.database.read() as connection:
        rows = sa.select(sa.func.count()).select_from(matches)
        assert (await connection.execute(rows)).scalar() == 2
        assert (await connection.execute(rows.where(empty))).scalar() == 2
    assert await stores.postings.get("p-1") is not None
    assert await stores.postings.get("p-2") is not None


async def test_matches_without_a_score_are_asked_for_by_themselves(stores: Stores) -> None:
    """What a stopped run had found, and what an undo left, by rank."""
    first, second = await with_matches(stores)
    unranked = replace(second, score=None, reasons=(), cautions=())
    await stores.outcomes.keep_matches("run-1", [unranked, first])

    assert await stores.outcomes.matches("run-1") == [first]
    assert await stores.outcomes.unscored("run-1") == [unranked]
    assert await stores.outcomes.unscored("run-2") == []
    await stores.outcomes.unscore("run-1")
    undone = replace(first, score=None, reasons=(), cautions=())
    assert await stores.outcomes.unscored("run-1") == [undone, unranked]


async def test_unscoring_one_run_leaves_the_others(stores: Stores) -> None:
    """An undo touches its own run only."""
    kept = await with_matches(stores)
    await a_run(stores, run_id="run-2")
    await stores.outcomes.keep_matches("run-2", kept)
    await stores.outcomes.unscore("run-1")

    assert await stores.outcomes.matches("run-2") == kept


async def test_discarding_drafts_deletes_those_of_the_run(stores: Stores) -> None:
    """It says how many there were; another run's stay."""
    kept = await with_matches(stores)
    await a_run(stores, run_id="run-2")
    written = [draft_of(match.opportunity) for match in kept]
    await stores.outcomes.keep_drafts("run-1", written)
    await stores.outcomes.keep_drafts("run-2", written[:1])

    assert [await stores.outcomes.discard_drafts("run-1") for _ in range(2)] == [2, 0]
    assert await stores.outcomes.drafts("run-1") == []
    assert await stores.outcomes.drafts("run-2") == written[:1]


async def test_drafting_again_replaces_the_draft_of_a_posting(stores: Stores) -> None:
    """One draft a posting: the newest; no drafts are no change."""
    one, two = (match.opportunity for match in await with_matches(stores))
    await stores.outcomes.keep_drafts("run-1", [draft_of(one, "first")])
    stores.clock.advance(1.0)
    await stores.outcomes.keep_drafts("run-1", [draft_of(two, "other")])
    stores.clock.advance(1.0)
    await stores.outcomes.keep_drafts("run-1", [draft_of(one, "second")])
    await stores.outcomes.keep_drafts("run-1", [])

    assert await stores.outcomes.drafts("run-1") == [
        draft_of(two, "other"),
        draft_of(one, "second"),
    ]


async def test_drafts_written_in_the_same_instant_keep_their_order(stores: Stores) -> None:
    """The best match's draft comes first, though all of a run are written at once."""
    found = [opportunity(id=f"p-{n}") for n in (3, 1, 2)]
    await stores.postings.keep(found)
    await a_run(stores)
    written = [draft_of(one) for one in found]
    await stores.outcomes.keep_drafts("run-1", written)

    assert await stores.outcomes.drafts("run-1") == written


async def test_a_draft_comes_back_in_any_characters(stores: Stores) -> None:
    """Whatever a profile may hold, the draft written from it may hold."""
    (one, _) = (match.opportunity for match in await with_matches(stores))
    await stores.outcomes.keep_drafts("run-1", [draft_of(one, PROFILE.about)])

    assert (await stores.outcomes.drafts("run-1"))[0].text == PROFILE.about


async def test_an_outcome_of_an_unknown_posting_is_refused(stores: Stores) -> None:
    """A match without its posting would be lost when it is read: it can't be kept."""
    await a_run(stores)
    with pytest.raises(StoreError):
        await stores.outcomes.keep_matches("run-1", [match_of(opportunity(id="unknown"))])
