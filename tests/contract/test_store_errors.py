"""A database that is out, and one that refuses: told apart on SQLite and on PostgreSQL."""

import asyncio
import logging
import secrets
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Connection, make_url

from agents.store.database import Database
from agents.store.errors import StoreError, StoreUnavailable
from agents.store.schema import runs
from resilience.saga import Event, EventType, JournalUnavailable, JsonValue, Part
from tests.contract.conftest import Stores, administrate
from tests.contract.given import MANY, a_run, new_run, through

NOWHERE = "postgresql://nobody@/nothing?host=/nowhere"


def started(stores: Stores, run_id: str = "run-1") -> "asyncio.Task[Event]":
    """A start that is being journaled."""
    return asyncio.create_task(stores.ledger.append(run_id, EventType.RUN_STARTED))


async def is_out(stores: Stores, appending: "asyncio.Task[Event]") -> str:
    """The append says that the journal is out, as the saga wants to hear it; what it says."""
    with pytest.raises(StoreUnavailable) as out:
        await appending
    assert isinstance(out.value, JournalUnavailable)
    assert "\n" not in str(out.value)
    assert "INSERT" not in str(out.value)
    assert "UPDATE" not in str(out.value)
    return str(out.value)


async def works_again(stores: Stores) -> None:
    """The next append is stored, with no gap before it."""
    await started(stores)
    assert [e.seq for e in await stores.ledger.events("run-1")] == [1, 2]


async def pragma(stores: Stores, words: str) -> None:
    """Set up the writer's connection, which it keeps until something fails."""
    await stores.database.commit(lambda c: c.exec_driver_sql(f"PRAGMA {words}") and None)


@pytest.mark.parametrize("backend", ["sqlite"])
async def test_a_locked_file_is_out(
    stores: Stores, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another program writes for longer than anybody waits; afterwards it works again."""
    await a_run(stores)
    monkeypatch.setattr(stores.database._writer, "_busy_s", 0.1)
    file = address.removeprefix("sqlite:///")
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        for _ in range(2):
            assert "locked" in await is_out(stores, started(stores))
        assert (await stores.runs.get("run-1")) is not None  # it can still be read
        other.execute("ROLLBACK")
    await works_again(stores)


@pytest.mark.parametrize("backend", ["sqlite"])
async def test_a_file_that_only_can_be_read_is_out(stores: Stores) -> None:
    """A disk that was remounted, say: all that is written at that moment is refused alike."""
    for run_id in ("run-1", "run-2"):
        await a_run(stores, run_id=run_id)
    await pragma(stores, "query_only=1")
    appending = [started(stores, run_id) for run_id in ("run-1", "run-2")]
    for one in appending:
        assert "readonly" in await is_out(stores, one)
    # It has that one connection; nobody can begin to write on it.
    await stores.database.query(lambda c: c.exec_driver_sql("PRAGMA query_only=0") and None)
    await works_again(stores)


@pytest.mark.parametrize("backend", ["sqlite"])
async def test_a_full_disk_is_out(stores: Stores) -> None:
    """What still fits is stored, also of what is written at that moment."""
    for run_id in ("run-1", "run-2"):
        await a_run(stores, run_id=run_id)
    await pragma(stores, "max_page_count=1")  # it can't grow any more
    large: dict[str, JsonValue] = {"counts": "9" * 100_000}
    too_large = asyncio.create_task(stores.ledger.append("run-1", EventType.RUN_STARTED, large))
    fits = started(stores, "run-2")
    assert "full" in await is_out(stores, too_large)
    assert (await fits).seq == 2
    await pragma(stores, "max_page_count=1000000")
    await works_again(stores)


@asynccontextmanager
async def turned_away(server: str, address: str) -> AsyncIterator[None]:
    """The server ends every connection to the database and takes no new one."""
    name = make_url(address).database
    await administrate(server, f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
    await administrate(
        server, f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"
    )
    try:
        yield
    finally:
        await administrate(server, f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")


@pytest.mark.parametrize("backend", ["postgresql"])
async def test_a_server_that_takes_no_connection_is_out(
    stores: Stores, address: str, postgres: str
) -> None:
    """Writing, reading and admitting say so; when it is back, all works again."""
    await a_run(stores)
    async with turned_away(postgres, address):
        await is_out(stores, started(stores))
        with pytest.raises(StoreUnavailable):
            await stores.ledger.events("run-1")
        with pytest.raises(StoreUnavailable):
            await stores.ledger.claim("run-1")
        with pytest.raises(StoreUnavailable):
            await stores.runs.create(new_run("run-2"), MANY)
        with pytest.raises(StoreUnavailable):
            await stores.runs.get("run-1")
        with pytest.raises(StoreUnavailable):
            await stores.database.check()
    await works_again(stores)
    await stores.runs.create(new_run("run-2"), MANY)


@pytest.mark.parametrize("backend", ["postgresql"])
async def test_a_connection_that_ends_within_a_transaction_is_out(
    stores: Stores, address: str, postgres: str
) -> None:
    """Nothing of that transaction is stored, and the next one has another connection."""
    await a_run(stores)
    the_row = sa.select(runs.c.id).where(runs.c.id == "run-1").with_for_update()
    waits = sa.text("SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock'")
    async with stores.database.write() as holder:
        await holder.execute(the_row)  # the append waits for this row
        appending = started(stores)
        async with Database.open(postgres) as server:
            pid = None
            while pid is None:  # until it waits
                pid = await server.query(lambda c: c.execute(waits).scalar())
            end = sa.select(sa.func.pg_terminate_backend(pid))
            await server.query(lambda c: c.execute(end).scalar())
        await is_out(stores, appending)
    await works_again(stores)


@pytest.mark.parametrize("backend", ["postgresql"])
async def test_a_server_that_is_not_there_is_out(stores: Stores) -> None:
    """Nobody listens."""
    async with Database.open(NOWHERE) as database:
        with pytest.raises(StoreUnavailable):
            await Stores.over(database, stores.clock).ledger.events("run-1")


async def test_what_the_database_refuses_is_no_outage(stores: Stores) -> None:
    """To try the same again would not help: an error, but not StoreUnavailable."""
    await a_run(stores)
    with pytest.raises(StoreError) as refused:
        await a_run(stores)
    assert not isinstance(refused.value, StoreUnavailable | JournalUnavailable)
    await through(stores, "run-1", EventType.RUN_STARTED)
    nothing: Any = None
    empty = Part(step="discover", body=nothing)
    with pytest.raises(StoreError) as refused:
        await stores.ledger.append("run-1", EventType.STEP_COMPLETED, part=empty)
    assert not isinstance(refused.value, StoreUnavailable)
    assert len(await stores.ledger.events("run-1")) == 2


# --- the replica ----------------------------------------------------------------------------------


async def listed(stores: Stores) -> list[str]:
    """What the list of a team's runs shows."""
    rows = await stores.runs.of_team("team-a", status=None, before=None, limit=10)
    assert [row.id for row in rows] == [row.id for row in await stores.runs.newest(10)]
    return [row.id for row in rows]


async def test_without_a_replica_the_database_is_browsed(stores: Stores, address: str) -> None:
    """SQLite has none, whatever is set."""
    await a_run(stores, team="team-a")
    replica = None if make_url(address).get_backend_name() == "postgresql" else NOWHERE
    async with Database.open(address, replica) as database:
        assert await listed(Stores.over(database, stores.clock)) == ["run-1"]


@pytest.mark.parametrize("backend", ["postgresql"])
async def test_the_replica_is_browsed(
    stores: Stores, address: str, postgres: str, migrated_postgres: str
) -> None:
    """Lists come from there and may be old; what must be true comes from the database itself."""
    name = f"replica_{secrets.token_hex(4)}"
    await administrate(postgres, f"CREATE DATABASE {name} TEMPLATE {migrated_postgres}")
    replica = make_url(address).set(database=name).render_as_string(hide_password=False)
    async with Database.open(replica) as database:
        await a_run(Stores.over(database, stores.clock), run_id="run-old", team="team-a")
    await a_run(stores, run_id="run-new", team="team-a")
    async with Database.open(address, replica) as database:
        both = Stores.over(database, stores.clock)
        assert await listed(both) == ["run-old"]
        assert await both.runs.get("run-old") is None
        assert len(await both.ledger.events("run-new")) == 1
        await a_run(both, run_id="run-newer", team="team-a")
        assert await listed(both) == ["run-old"]
    stores.clock.advance(1.0)
    assert sorted(await listed(stores)) == ["run-new", "run-newer"]
    await administrate(postgres, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.mark.parametrize("backend", ["postgresql"])
async def test_a_replica_that_is_out_is_not_needed(
    stores: Stores, address: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The database itself is asked, and the log says so."""
    await a_run(stores, team="team-a")
    async with Database.open(address, NOWHERE) as database:
        with caplog.at_level(logging.WARNING):
            assert await listed(Stores.over(database, stores.clock)) == ["run-1"]
    assert "the replica does not answer" in caplog.text


@pytest.mark.parametrize("backend", ["postgresql"])
async def test_a_replica_and_a_database_that_are_out_are_an_outage(stores: Stores) -> None:
    """There is nobody left to ask."""
    async with Database.open(NOWHERE, NOWHERE) as database:
        with pytest.raises(StoreUnavailable):
            await listed(Stores.over(database, stores.clock))


async def test_what_the_work_itself_raises_comes_as_it_is(stores: Stores) -> None:
    """Whether it writes or reads; and nothing of it is stored."""

    def fails(connection: Connection) -> None:
        connection.execute(sa.update(runs).values(kind="other"))
        raise LookupError("mine")

    await a_run(stores)
    for asked in (stores.database.commit, stores.database.query, stores.database.browse):
        with pytest.raises(LookupError, match="mine"):
            await asked(fails)
    row = await stores.runs.get("run-1")
    assert row is not None
    assert row.kind == "scout"
