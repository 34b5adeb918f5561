"""The schema and its transactions, the same on SQLite and on PostgreSQL."""

import asyncio
import threading
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy.engine import Connection

import agents.store
from agents.domain.errors import InvalidValue
from agents.store.database import HEAD, Database, async_url, schema_sql
from agents.store.errors import StoreError
from agents.store.people import PeopleStore
from agents.store.runs import RunStore
from agents.store.schema import metadata, run_texts
from resilience.saga import EventType, RunStatus
from tests.contract.conftest import Stores
from tests.contract.given import MANY, a_run, new_run, through
from tests.fakes.clock import NOON, FixedClock
from tests.fakes.opportunities import opportunity

MIGRATIONS = Path(agents.store.__file__).parent / "migrations"


async def test_migrating_twice_changes_nothing_the_second_time(empty: Database) -> None:
    """The first migration builds the schema, the second finds it there."""
    assert await empty.migrate() is True
    assert await empty.migrate() is False
    await empty.check()


def test_head_is_the_newest_migration() -> None:
    """HEAD, which spares most starts from importing Alembic, is what Alembic finds."""
    assert ScriptDirectory(str(MIGRATIONS)).get_current_head() == HEAD


async def test_the_migrated_schema_is_the_tables_of_the_code(stores: Stores) -> None:
    """Alembic finds no difference between the migrations and schema.py."""
    async with stores.database.read() as connection:
        assert await connection.run_sync(_differences) == []


def _differences(connection: Connection) -> list[object]:
    # The cache's tables are another room's, and in PostgreSQL only.
    theirs = {"cache_entries", "cache_forgotten"}
    ours = {"include_name": lambda name, *_: name not in theirs}
    context = MigrationContext.configure(
        connection, opts={"compare_type": True, "compare_server_default": True, **ours}
    )
    found = compare_metadata(context, metadata)
    # Columns of 0004 have a default for the rows that were there; who inserts says all of them.
    return [one for one in found if not _is_default_of(one, "runs")]


def _is_default_of(difference: object, table: str) -> bool:
    match difference:
        case [("modify_default", _, name, *_)]:
            return bool(name == table)
        case _:
            return False


async def test_runs_of_the_version_before_are_taken_along(empty: Database) -> None:
    """A run that was there is nobody's, free to be claimed, and goes on where it was."""
    async with empty.write() as connection:
        await connection.run_sync(lambda c: _upgrade_to(c, "0003"))
        await connection.execute(
            sa.text(
                "INSERT INTO runs (id, kind, user_id, config, status, last_seq, created_at)"
                " VALUES ('run-1', 'scout', 'ada', 'scout@1', 'running', 2, '2026-06-01 12:00:00')"
            )
        )
        for seq, happened in ((1, "run.queued"), (2, "run.started")):
            values = f"('run-1', {seq}, '{happened}', '2026-06-01 12:00:00', '{{}}')"
            statement = f"INSERT INTO run_events (run_id, seq, type, at, data) VALUES {values}"
            await connection.execute(sa.text(statement))
    assert await empty.migrate() is True

    stores = Stores.over(empty, FixedClock())
    row = await stores.runs.get("run-1")
    assert row is not None
    assert (row.status, row.team, row.last_seq) == (RunStatus.RUNNING, None, 2)
    assert await stores.ledger.claim("run-1") == 1
    assert await stores.ledger.renew(["run-1"]) == {"run-1": False}
    assert (await stores.ledger.append("run-1", EventType.RUN_RESUMED, fence=1)).seq == 3


def _upgrade_to(connection: Connection, version: str) -> None:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    command.upgrade(config, version)


@pytest.mark.parametrize("backend", ["postgresql"])
async def test_the_printed_schema_is_the_migrated_one(empty: Database) -> None:
    """What `migrate --sql` prints for an editor leaves PostgreSQL as a migration does."""
    async with empty.write() as connection:
        for statement in schema_sql().split(";\n\n"):  # a function's body has no empty line
            if statement.strip() not in {"", "BEGIN", "COMMIT"}:
                await connection.execute(sa.text(statement))
    await empty.check()
    async with empty.read() as connection:
        assert await connection.run_sync(_differences) == []


async def test_a_database_without_tables_is_not_ready(empty: Database) -> None:
    """check says what is missing and which command brings it."""
    with pytest.raises(StoreError, match=r"schema missing.*webscout migrate"):
        await empty.check()


async def test_a_schema_of_another_version_is_not_ready(stores: Stores) -> None:
    """check names the version it found."""
    async with stores.database.write() as connection:
        await connection.execute(sa.text("UPDATE alembic_version SET version_num = '0000'"))
    with pytest.raises(StoreError, match="schema 0000"):
        await stores.database.check()


async def test_a_database_that_does_not_answer_is_one_line_without_secrets(
    backend: str, tmp_path: Path
) -> None:
    """Whatever the driver raises becomes a StoreError that can be shown."""
    address = {
        "sqlite": f"sqlite:///{tmp_path}",  # a folder, not a file
        "postgresql": f"postgresql://someone:hunter2@/webscout?host={tmp_path}/nothing",
    }[backend]
    async with Database.open(address) as database:
        for refused in (database.migrate, database.check):
            with pytest.raises(StoreError) as error:
                await refused()
            assert "\n" not in str(error.value)
            assert "hunter2" not in str(error.value)
    # aiosqlite's thread of a connection that failed still reports to the loop: not to a closed one.
    for thread in threading.enumerate():
        if "_connection_worker_thread" in thread.name:
            await asyncio.to_thread(thread.join)


def test_a_folder_that_cannot_be_made_is_said_at_once(tmp_path: Path) -> None:
    """SQLite's folder is made when the database is opened; a file in its place is an error."""
    (tmp_path / "var").write_text("a file")
    with pytest.raises(StoreError, match="DATABASE_URL"):
        Database.open(f"sqlite:///{tmp_path}/var/webscout.db")


@pytest.mark.parametrize("address", ["mysql://localhost/webscout", "webscout.db", ""])
def test_an_address_of_another_kind_is_refused(address: str) -> None:
    """The error says what is allowed."""
    with pytest.raises(InvalidValue, match="sqlite:///PATH or postgresql://"):
        async_url(address)


async def test_a_database_in_memory_needs_no_folder() -> None:
    """sqlite:// is a database too, as long as it is open."""
    async with Database.open("sqlite:///:memory:") as database:
        assert await database.migrate() is True


@pytest.mark.parametrize("backend", ["postgresql"])
async def test_no_transaction_needs_what_the_one_before_prepared(stores: Stores) -> None:
    """Behind a pooler each transaction may meet another server connection."""
    run_id = await a_run(stores)
    for _ in range(3):
        async with stores.database.write() as connection:
            await connection.execute(sa.text("DEALLOCATE ALL"))
        assert await stores.runs.get(run_id)


async def test_a_write_that_fails_leaves_nothing(stores: Stores) -> None:
    """A transaction is stored whole or not at all."""
    run_id = await a_run(stores)
    report = {"run_id": run_id, "name": "report", "body": "x"}

    async def write_and_fail() -> None:
        async with stores.database.write() as connection:
            await connection.execute(sa.insert(run_texts).values(report))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await write_and_fail()
    assert await stores.runs.text(run_id, "report") is None


@pytest.mark.parametrize("turns", [1, 2, 3, 5, 8, 13, 21])
async def test_a_cancelled_write_leaves_the_store_usable(stores: Stores, turns: int) -> None:
    """Wherever a caller is cancelled: stored whole or not at all, and the next write works."""
    run_id = await a_run(stores)
    await through(stores, run_id, EventType.RUN_STARTED)
    writing = asyncio.create_task(stores.ledger.append(run_id, EventType.STEP_PROGRESS))
    for _ in range(turns):
        await asyncio.sleep(0)
    writing.cancel()
    await asyncio.gather(writing, return_exceptions=True)
    last = await stores.ledger.append(run_id, EventType.RUN_COMPLETED)

    events = await stores.ledger.events(run_id)
    assert [event.seq for event in events] == list(range(1, last.seq + 1))


async def test_instants_keep_their_zone(stores: Stores) -> None:
    """An instant of any zone comes back as the same instant, in UTC, to the microsecond."""
    india = datetime(2026, 3, 29, 2, 30, 0, 123456, timezone(timedelta(hours=5, minutes=30)))
    runs = RunStore(stores.database, lambda: india)
    people = PeopleStore(stores.database, lambda: india)
    await runs.create(new_run(user_id="ada"), MANY)
    ada = (await people.person("local", "1")).id
    await stores.postings.keep([opportunity(id="p-1")])
    await people.save(ada, "p-1")

    row = await runs.get("run-1")
    assert row is not None
    for kept in (
        row.created_at,
        (await stores.ledger.events("run-1"))[0].at,
        (await people.saved(ada))[0].saved_at,
    ):
        assert kept == india
        assert kept.tzinfo is UTC


async def test_an_instant_without_a_zone_is_refused(stores: Stores) -> None:
    """A naive instant could mean anything."""
    naive = RunStore(stores.database, lambda: NOON.replace(tzinfo=None))
    with pytest.raises(StoreError, match="without a zone"):
        await naive.create(new_run(), MANY)


async def test_an_instant_that_is_missing_stays_missing(stores: Stores) -> None:
    """A posting without a deadline has none in the table either."""
    await stores.postings.keep([opportunity(id="p-1", deadline=None)])
    async with stores.database.read() as connection:
        row = (await connection.execute(sa.text("SELECT deadline FROM opportunities"))).one()
    assert row.deadline is None
