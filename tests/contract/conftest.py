"""The stores on every database they are for: SQLite in a file, and a real PostgreSQL 18."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import create_async_engine

from agents.store.chat_log import ChatLog
from agents.store.database import Database, async_url
from agents.store.ledger import Ledger
from agents.store.outcomes import OutcomeStore
from agents.store.owner import Owner
from agents.store.people import PeopleStore
from agents.store.postings import PostingStore
from agents.store.runs import RunStore
from tests.fakes.clock import FixedClock
from tests.fakes.supabase import supabase, supabase_servers
from tests.migrated import place_migrated
from tests.postgres import postgres

__all__ = ["postgres", "supabase", "supabase_servers"]  # fixtures for this folder's tests


@dataclass(frozen=True, slots=True, kw_only=True)
class Stores:
    """All stores over one migrated database, and the clock they read."""

    database: Database
    clock: FixedClock
    people: PeopleStore
    postings: PostingStore
    runs: RunStore
    ledger: Ledger
    outcomes: OutcomeStore
    chat_log: ChatLog

    @classmethod
    def over(cls, database: Database, clock: FixedClock) -> "Stores":
        """Every store over the database."""
        return cls(
            database=database,
            clock=clock,
            people=PeopleStore(database, clock.now),
            postings=PostingStore(database),
            runs=RunStore(database, clock.now),
            ledger=Ledger(database, clock.now, Owner()),
            outcomes=OutcomeStore(database, clock.now),
            chat_log=ChatLog(database),
        )

    def elsewhere(self, name: str = "another-machine:1:0") -> Ledger:
        """The ledger of another process that shares the database."""
        return Ledger(self.database, self.clock.now, Owner(name))


@pytest.fixture(params=["sqlite", "postgresql"])
def backend(request: pytest.FixtureRequest) -> str:
    """Each kind of database in turn."""
    return str(request.param)


@pytest.fixture(scope="session")
def migrated_postgres(postgres: str) -> str:
    """The name of a migrated PostgreSQL database to copy."""
    asyncio.run(administrate(postgres, "CREATE DATABASE migrated"))
    asyncio.run(_migrate(_address_of(postgres, "migrated")))
    return "migrated"


@pytest.fixture
def address(backend: str, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The address of a database of this test's own: empty, or migrated if it asks for `stores` or
    `migrated_address`."""
    migrated = not {"stores", "migrated_address"}.isdisjoint(request.fixturenames)
    if backend == "sqlite":
        file = tmp_path / "var" / "webscout.db"
        if migrated:
            place_migrated(file)
        yield f"sqlite:///{file}"
        return
    server = request.getfixturevalue("postgres")
    template = request.getfixturevalue("migrated_postgres") if migrated else "template1"
    name = f"test_{secrets.token_hex(4)}"
    asyncio.run(administrate(server, f"CREATE DATABASE {name} TEMPLATE {template}"))
    yield _address_of(server, name)
    asyncio.run(administrate(server, f"DROP DATABASE {name} WITH (FORCE)"))


@pytest.fixture
def migrated_address(address: str) -> str:
    """The address of a migrated database of this test's own, for who opens it."""
    return address


@pytest.fixture
async def empty(address: str) -> AsyncIterator[Database]:
    """A database without tables."""
    async with Database.open(address) as database:
        yield database


@pytest.fixture
async def stores(address: str) -> AsyncIterator[Stores]:
    """The stores over a migrated database; their clock stands still until it is moved."""
    async with Database.open(address) as database:
        yield Stores.over(database, FixedClock())


def _address_of(server: str, name: str) -> str:
    return make_url(server).set(database=name).render_as_string(hide_password=False)


async def _migrate(address: str) -> None:
    async with Database.open(address) as database:
        await database.migrate()


async def administrate(server: str, statement: str) -> None:
    """Run a statement that stands in no transaction."""
    engine = create_async_engine(async_url(server), isolation_level="AUTOCOMMIT")
    async with engine.connect() as connection:
        await connection.execute(sa.text(statement))
    await engine.dispose()
