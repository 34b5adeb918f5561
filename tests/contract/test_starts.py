"""The journal of paid starts, the same on SQLite and on PostgreSQL."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest
import sqlalchemy as sa

from agents.discovery.sources.starts import Start, Starts
from agents.store.schema import actor_starts
from agents.store.starts import KEPT, StartStore
from tests.contract.conftest import Stores
from tests.fakes.clock import NOON

START = Start(key="apify:1", mark="m1", actor="user/actor", at=NOON)


@pytest.fixture
def starts(stores: Stores) -> Starts:
    """The store over a migrated database."""
    return StartStore(stores.database, stores.clock.now)


async def test_an_unknown_key_has_none(starts: Starts) -> None:
    """Nothing was started for it; and what was never intended can't be noted."""
    assert await starts.open("apify:1") is None
    await starts.started("m1", "run1")
    await starts.settled("m1")
    assert await starts.open("apify:1") is None


async def test_a_start_is_open_until_it_is_settled(starts: Starts) -> None:
    """It comes back as it was intended, then with Apify's id, then not at all."""
    assert await starts.intend(START)
    assert await starts.open("apify:1") == START
    await starts.started("m1", "run1")
    assert await starts.open("apify:1") == replace(START, run_id="run1")
    await starts.settled("m1")
    assert await starts.open("apify:1") is None


async def test_an_open_start_is_not_replaced(starts: Starts) -> None:
    """Else nobody would find it again; a settled one is, and its id goes with it."""
    newer = replace(START, mark="m2", at=NOON + timedelta(hours=1))
    assert await starts.intend(START)
    await starts.started("m1", "run1")
    assert not await starts.intend(newer)
    assert await starts.open("apify:1") == replace(START, run_id="run1")
    await starts.settled("m1")
    assert await starts.intend(newer)
    assert await starts.open("apify:1") == newer
    await starts.settled("m1")
    assert await starts.open("apify:1") == newer


async def test_keys_do_not_know_each_other(starts: Starts) -> None:
    """Each has its own start."""
    other = replace(START, key="apify:2", mark="m2")
    assert await starts.intend(START)
    assert await starts.intend(other)
    await starts.settled("m1")
    assert await starts.open("apify:2") == other


@pytest.mark.parametrize("settled", [False, True])
async def test_of_many_that_start_at_once_one_may(starts: Starts, settled: bool) -> None:
    """Also in place of a settled one."""
    if settled:
        assert await starts.intend(START)
        await starts.settled("m1")
    tries = [replace(START, mark=f"try{number}") for number in range(8)]
    done = await asyncio.gather(*map(starts.intend, tries))
    assert sum(done) == 1
    assert await starts.open("apify:1") == tries[done.index(True)]


async def test_what_was_settled_long_ago_goes(starts: Starts, stores: Stores) -> None:
    """Open ones stay, however old."""
    for number in range(3):
        await starts.intend(replace(START, key=f"apify:{number}", mark=f"m{number}"))
    await starts.settled("m0")
    stores.clock.advance(KEPT.total_seconds() + 1)
    await starts.settled("m1")
    assert await _rows(stores) == ["apify:1", "apify:2"]
    assert await starts.open("apify:2") is not None


async def _rows(stores: Stores) -> list[str]:
    async with stores.database.read() as connection:
        found = await connection.execute(sa.select(actor_starts.c.key).order_by("key"))
        return list(found.scalars())
