"""What sources gave at their last reading, the same on SQLite and on PostgreSQL."""

import asyncio
from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta

import pytest

from agents.discovery.port import Shelf, ShelfState, Validators
from agents.domain.draft import Draft, DraftMethod
from agents.domain.match import Match, MatchMethod, Provenance
from agents.domain.opportunity import Opportunity
from agents.store.shelf import ShelfStore
from tests.contract.conftest import Stores
from tests.contract.given import a_run
from tests.fakes.clock import NOON
from tests.fakes.opportunities import opportunity
from tests.fakes.shelf import MemoryShelf

A, B, C = (opportunity(id=name, title=f"Engineer {name}") for name in "abc")
STATE = ShelfState(
    source="a-feed",
    attempted_at=NOON,
    fetched_at=NOON,
    found=2,
    unreadable={"no title": 3},
    validators=Validators(etag='W/"é"', last_modified="Mon, 01 Jun 2026 10:00:00 GMT"),
)
MONTH = timedelta(days=30)


@pytest.fixture
def shelf(stores: Stores) -> ShelfStore:
    """The store over a migrated database."""
    return ShelfStore(stores.database, stores.postings)


def ids(found: Iterable[Opportunity]) -> list[str]:
    """Their ids."""
    return [o.id for o in found]


async def test_an_unknown_source_has_nothing(shelf: ShelfStore) -> None:
    """No state, no postings."""
    assert await shelf.state("a") is None
    assert await shelf.current("a") == ()
    assert await shelf.states() == []


async def test_a_reading_comes_back_as_it_was(shelf: ShelfStore, stores: Stores) -> None:
    """The state, and the postings in their order; each posting can be looked up."""
    await shelf.replace("a", STATE, [B, A])
    assert await shelf.state("a") == STATE
    assert await shelf.current("a") == (B, A)
    assert await stores.postings.get("a") == A


@pytest.mark.parametrize("kind", ["memory", "database"])
async def test_the_next_reading_replaces_it(kind: str, shelf: ShelfStore) -> None:
    """What is not in it any more is not current; another source's shelf stays as it was."""
    held: Shelf = MemoryShelf() if kind == "memory" else shelf
    await held.replace("a", STATE, [A, B])
    await held.replace("other", STATE, [A])
    newer = replace(STATE, found=2, fetched_at=NOON + MONTH, unreadable={})
    await held.replace("a", newer, [C, B])
    assert ids(await held.current("a")) == ["c", "b"]
    assert await held.state("a") == newer
    assert ids(await held.current("other")) == ["a"]


async def test_what_has_gone_is_still_a_posting(shelf: ShelfStore, stores: Stores) -> None:
    """Saved lists and earlier runs refer to it."""
    person = await stores.people.person("test", "1")
    await shelf.replace("a", STATE, [A])
    await stores.people.save(person.id, "a")
    await shelf.replace("a", STATE, [])
    assert await shelf.current("a") == ()
    assert [item.opportunity_id for item in await stores.people.saved(person.id)] == ["a"]


async def test_a_state_by_itself(shelf: ShelfStore) -> None:
    """A failure leaves the postings where they are; the first one may stand alone."""
    never = ShelfState(source="new", attempted_at=NOON, failures=1, error="new: it answered 500")
    await shelf.note("new", never)
    assert (await shelf.state("new"), await shelf.current("new")) == (never, ())
    await shelf.replace("a", STATE, [A])
    failed = replace(STATE, attempted_at=NOON + MONTH, failures=2, error="a: down")
    await shelf.note("a", failed)
    assert await shelf.state("a") == failed
    assert ids(await shelf.current("a")) == ["a"]
    assert [state.source for state in await shelf.states()] == ["a-feed", "new"]


async def test_the_same_posting_twice_in_a_reading(shelf: ShelfStore) -> None:
    """Counts once; the later copy is kept."""
    await shelf.replace("a", STATE, [A, B, replace(A, title="Newer")])
    assert [o.title for o in await shelf.current("a")] == ["Newer", "Engineer b"]


async def test_a_posting_of_two_sources(shelf: ShelfStore) -> None:
    """Stands on both shelves, as it was read last."""
    await shelf.replace("a", STATE, [A])
    await shelf.replace("b", STATE, [replace(A, title="Newer")])
    assert [o.title for o in await shelf.current("a")] == ["Newer"]


async def test_thousands_of_postings(shelf: ShelfStore) -> None:
    """More than a batch, in their order, from any iterable."""
    many = [opportunity(id=f"id{n}") for n in range(2_345)]
    await shelf.replace("a", STATE, iter(many))
    assert await shelf.current("a") == tuple(many)
    await shelf.replace("a", STATE, iter(many[::-1]))
    assert ids(await shelf.current("a")) == ids(many[::-1])


async def test_two_processes_replace_a_shelf_at_once(shelf: ShelfStore) -> None:
    """One of the readings is on it afterwards, whole."""
    readings = [[opportunity(id=f"{who}{n}") for n in range(50)] for who in "abcdef"]
    await asyncio.gather(*(shelf.replace("a", STATE, reading) for reading in readings))
    assert ids(await shelf.current("a")) in [ids(reading) for reading in readings]


def old(name: str) -> Opportunity:
    """A feed's posting, last seen two months ago."""
    return opportunity(id=name, source="a", fetched_at=NOON - 2 * MONTH)


async def test_pruning_drops_what_nobody_refers_to(shelf: ShelfStore, stores: Stores) -> None:
    """Not what stands on a shelf, was saved, dismissed, matched or drafted, is new, or a file's."""
    names = ("shelved", "saved", "dismissed", "matched", "drafted", "gone", "gone too")
    filed = replace(old("filed"), source="file")
    await stores.postings.keep([*map(old, names), opportunity(id="new"), filed])
    await shelf.replace("a", STATE, [old("shelved")])
    person = await stores.people.person("test", "1")
    await stores.people.save(person.id, "saved")
    await stores.people.dismiss(person.id, "dismissed")
    for run_id in ("run", "other"):
        await a_run(stores, person.id, run_id)
    provenance = Provenance(source="a", fetched_at=NOON, from_cache=False, age_s=0.0)
    match = Match(
        rank=1,
        score=1.0,
        method=MatchMethod.HEURISTIC,
        reasons=("it fits",),
        cautions=(),
        provenance=provenance,
        opportunity=old("matched"),
    )
    await stores.outcomes.keep_matches("run", [match])
    draft = Draft(opportunity_id="drafted", method=DraftMethod.TEMPLATE, text="Hello")
    await stores.outcomes.keep_drafts("other", [draft])
    assert await shelf.prune(NOON - MONTH) == 2
    left = [name for name in (*names, "new", "filed") if await stores.postings.get(name)]
    assert left == ["shelved", "saved", "dismissed", "matched", "drafted", "new", "filed"]
    assert await shelf.prune(NOON - MONTH) == 0


async def test_pruning_clears_shelves_that_nobody_reads(shelf: ShelfStore) -> None:
    """Such as those of actor inputs that nobody asks for any more; their postings go, too."""
    stale = replace(STATE, attempted_at=NOON - 2 * MONTH)
    await shelf.replace("stale", stale, [old("a")])
    await shelf.replace("failing", replace(stale, attempted_at=NOON), [old("b")])
    assert await shelf.prune(NOON - MONTH) == 1
    assert await shelf.state("stale") is None
    assert ids(await shelf.current("failing")) == ["b"]


async def test_two_readings_hold_the_same_postings(shelf: ShelfStore) -> None:
    """In whatever order each has them: two runs of one actor, with other words."""
    many = [opportunity(id=f"id{n}") for n in range(600)]
    for _ in range(3):
        await asyncio.gather(shelf.replace("a", STATE, many), shelf.replace("b", STATE, many[::-1]))
    assert ids(await shelf.current("b")) == ids(many[::-1])
