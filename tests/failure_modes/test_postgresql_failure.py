"""The database is out while runs work: new ones are refused politely, nothing new is paid for, and
what was under way is written down, in order, when it is back."""

import asyncio
import logging
import os
import random
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.e2e.load import Load
from tests.e2e.own_postgres import OwnPostgres, own_postgres

PG_KILLS = int(os.environ.get("WEBSCOUT_PG_KILLS", "1"))
"""How often the server is killed; `make chaos` sets more."""
SEED = int(os.environ.get("WEBSCOUT_KILL_SEED", "1"))
REFUSALS = 5
PEOPLE, PROGRAMS = 2, 2

LOCK_S = 1.0
IMPATIENT = f"""
from agents.store import database, group_commit
from bot.__main__ import main
group_commit.GroupCommit.__init__.__kwdefaults__["busy_s"] = {LOCK_S}
database._BUSY_TIMEOUT_MS = {1000 * LOCK_S:.0f}
main()
"""
"""The program, which waits for SQLite's lock for a second rather than for ten."""

log = logging.getLogger(__name__)


@pytest.fixture
async def server() -> AsyncIterator[OwnPostgres]:
    """A server of the test's own."""
    async with own_postgres() as server:
        yield server


async def under_way(load: Load) -> int:
    """Let runs begin; all their Apify runs are under way then. How many those are."""
    load.hold()
    await load.more(PEOPLE, PROGRAMS)
    needs = {need.number: need for need in (*load.scouts, *(post.need for post in load.posts))}
    inputs = sum(len(need.kinds) for need in needs.values())
    await load.apify.until(lambda: load.apify.starts == inputs)
    await load.apify.until(lambda: len({seen.path for seen in load.apify.seen("run")}) == inputs)
    await load.until(lambda: load.accepted == PROGRAMS)
    return inputs


async def refused(load: Load) -> None:
    """A program is told to come again, several times."""
    posted = load.post()
    await load.until(lambda: len(posted.refused) >= REFUSALS)
    assert set(posted.refused) == {(503, "store-unavailable")}


@pytest.mark.timeout(180)
async def test_postgresql_stops_and_comes_back(tmp_path: Path, server: OwnPostgres) -> None:
    """While it is out, runs are refused with 503, a /scout waits at Telegram, and no Apify run
    starts; Apify's runs that end meanwhile are used. Every run completes, in the same process."""
    async with Load(tmp_path, server.url) as load:
        await load.start()
        inputs = await under_way(load)
        person = await load.known_person()
        await server.stop()
        await refused(load)
        await load.scout(person)
        load.release()
        await load.apify.until(lambda: all(run.ended for run in load.apify.runs))
        await refused(load)
        assert load.apify.starts == inputs
        await server.start()
        await load.at_rest(load.scouts, load.posts)
        await load.until_answered()
        assert not load.excused(person)
        assert await load.stop() == 0
        await load.check()


@pytest.mark.timeout(120 + 30 * PG_KILLS)
async def test_postgresql_is_killed_under_load(tmp_path: Path, server: OwnPostgres) -> None:
    """Killed and started again, however often: no acknowledged run is lost or done twice."""
    dice = random.Random(SEED)
    async with Load(tmp_path, server.url) as load:
        await load.start()
        for number in range(PG_KILLS):
            people = [await load.known_person() for _ in range(PEOPLE)]
            if dice.random() < 0.5:
                load.hold()
            starts = load.apify.starts
            for person in people:
                await load.scout(person)
            posts = [load.post() for _ in range(PROGRAMS)]
            if dice.random() < 0.7:
                await load.apify.until(lambda before=starts: load.apify.starts > before)  # type: ignore[misc]
            else:
                await asyncio.sleep(dice.random())
            await (server.stop() if number % 2 else server.kill())
            await asyncio.sleep(dice.random())
            load.release()
            await server.start()
            await load.at_rest(people, posts)
        await load.until_answered()
        assert await load.stop() == 0
        await load.check(excuses=True)
        log.info("%d kills of PostgreSQL: %s", PG_KILLS, load.figures())


@pytest.mark.timeout(180)
async def test_sqlite_is_locked_for_a_while(tmp_path: Path) -> None:
    """Another program holds SQLite's write lock for longer than is waited for it: the same."""
    file = tmp_path / "var/webscout.db"
    async with Load(tmp_path, f"sqlite:///{file}") as load:
        load.command = ("-c", IMPATIENT)
        await load.start()
        inputs = await under_way(load)
        with closing(sqlite3.connect(file, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            posted = load.post()
            load.release()
            await load.until(lambda: bool(posted.refused))
            assert posted.refused[0] == (503, "store-unavailable")
            assert load.apify.starts == inputs
            other.execute("ROLLBACK")
        await load.at_rest(load.scouts, load.posts)
        await load.until_answered()
        assert await load.stop() == 0
        await load.check()
