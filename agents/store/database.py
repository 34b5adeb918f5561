"""The connection to SQLite or PostgreSQL, and its migrations."""

import asyncio
import io
import re
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import (
    AbstractAsyncContextManager,
    asynccontextmanager,
    contextmanager,
    suppress,
)
from pathlib import Path
from typing import Any, Self, TypeVar

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import URL, Connection, CursorResult, make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from agents.domain.errors import InvalidValue
from agents.store.errors import NotOverwritten, StoreError

T = TypeVar("T")

HEAD = "0003"
"""The newest migration; a test holds it to what stands in migrations/versions."""

_ALLOWED = "sqlite:///PATH or postgresql://USER:PASSWORD@HOST/NAME"
_BUSY_TIMEOUT_MS = 10_000
_CONNECT_TIMEOUT_S = 10.0
_CHECKPOINT_TRIES = 50
_CHECKPOINT_PAUSE_S = 0.1
_MIGRATION_LOCK = 7_305_210  # any number, the same in every process


def async_url(text: str) -> URL:
    """The address with its async driver; raises InvalidValue for another kind of database."""
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):  # ValueError quotes a part of the address
        raise InvalidValue("DATABASE_URL", "not a database address", _ALLOWED) from None
    match url.get_backend_name():
        case "sqlite":
            return url.set(drivername="sqlite+aiosqlite")
        case "postgresql" | "postgres":
            return url.set(drivername="postgresql+asyncpg")
        case other:
            raise InvalidValue("DATABASE_URL", f"unknown database {other!r}", _ALLOWED)


class Transaction:
    """Statements of one transaction. A cancelled caller leaves between statements, never within
    one: the driver would drop the connection half-way, and SQLite's write lock with it."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def execute(self, statement: sa.Executable, parameters: Any = None) -> CursorResult[Any]:
        """Run one statement, for one row of parameters or a list of them."""
        return await _to_its_end(self._connection.execute(statement, parameters))

    async def run_sync(self, work: Callable[[Connection], T]) -> T:
        """Run `work` over SQLAlchemy's synchronous connection."""
        return await _to_its_end(self._connection.run_sync(work))


class Database:
    """Transactions over one engine. Use as an async context manager."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._reader = engine.execution_options(webscout_reads=True)
        self._sqlite = engine.dialect.name == "sqlite"

    @classmethod
    def open(cls, text: str) -> Self:
        """An engine for the address; nothing is connected yet. SQLite's folder is made."""
        url = async_url(text)
        if url.get_backend_name() != "sqlite":
            return cls(_postgresql(url))
        if url.database and url.database != ":memory:":
            try:
                Path(url.database).parent.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise StoreError(f"DATABASE_URL: {error.strerror}: {error.filename}") from error
        engine = create_async_engine(url)
        sa.event.listen(engine.sync_engine, "connect", _set_up_sqlite)
        sa.event.listen(engine.sync_engine, "begin", _begin_sqlite)
        return cls(engine)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._engine.dispose()

    def write(self) -> AbstractAsyncContextManager["Transaction"]:
        """A transaction that may write (SQLite's lock is taken at its start); raises StoreError."""
        return _transaction(self._engine)

    def read(self) -> AbstractAsyncContextManager["Transaction"]:
        """A transaction that only reads; raises StoreError."""
        return _transaction(self._reader)

    def upsert(self, table: sa.Table, keys: tuple[str, ...]) -> Any:
        """INSERT that replaces the other columns of a row with the same keys."""
        dialect: Any = sqlite if self._sqlite else postgresql
        statement = dialect.insert(table)
        others = {c.name: statement.excluded[c.name] for c in table.columns if c.name not in keys}
        return statement.on_conflict_do_update(index_elements=keys, set_=others)

    def insert_once(self, table: sa.Table) -> Any:
        """INSERT that leaves a row with the same key as it is; its rowcount says which."""
        dialect: Any = sqlite if self._sqlite else postgresql
        return dialect.insert(table).on_conflict_do_nothing()

    async def migrate(self) -> bool:
        """Bring the schema up to date; False when it was. Raises StoreError."""
        async with self.read() as connection:
            if await connection.run_sync(_version) == HEAD:
                return False
        async with self.write() as connection:
            if not self._sqlite:  # two processes may start at once; SQLite's lock is taken already
                await connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_MIGRATION_LOCK)))
            await connection.run_sync(_upgrade)
        return True

    async def check(self) -> None:
        """Raise StoreError unless the database answers and its schema is current."""
        async with self.read() as connection:
            version = await connection.run_sync(_version)
        if version != HEAD:
            raise StoreError(f"schema {version or 'missing'}, needs {HEAD}: run webscout migrate")

    async def leave_no_trace(self) -> None:
        """Move SQLite's write-ahead log into the (overwritten) pages and empty it."""
        if not self._sqlite:
            return
        for _ in range(_CHECKPOINT_TRIES):
            if await self._checkpoint():
                return
            await asyncio.sleep(_CHECKPOINT_PAUSE_S)  # a reader is at work
        raise NotOverwritten("the write-ahead log is in use; what was deleted is overwritten later")

    async def _checkpoint(self) -> bool:
        """Empty the write-ahead log; False when somebody reads from it."""
        with _translated():
            connection = self._reader.connect()
            try:
                await _to_its_end(connection.start())
                driver: Any = (await connection.get_raw_connection()).driver_connection
                return await _to_its_end(_truncate_log(driver))
            finally:
                await _to_its_end(connection.close())


def schema_sql() -> str:
    """The whole schema as PostgreSQL's SQL, for an editor such as Supabase's."""
    from alembic import command  # noqa: PLC0415 - 200 ms, only when there is something to do

    buffer = io.StringIO()
    config = _alembic_config()
    config.output_buffer = buffer
    command.upgrade(config, "head", sql=True)
    return buffer.getvalue()


def _postgresql(url: URL) -> AsyncEngine:
    # Supabase's pooler gives each transaction another server connection, where a statement
    # prepared on the last one is unknown.
    options = {"statement_cache_size": 0, "timeout": _CONNECT_TIMEOUT_S}
    try:
        return create_async_engine(url, connect_args=options)
    except ImportError:
        raise StoreError(
            "DATABASE_URL: PostgreSQL needs asyncpg: install '.[scale]' with .venv/bin/pip"
        ) from None


def _set_up_sqlite(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # SQLAlchemy says BEGIN itself, see _begin_sqlite
    cursor = connection.cursor()
    for pragma in (
        f"busy_timeout={_BUSY_TIMEOUT_MS}",
        "journal_mode=WAL",
        "synchronous=FULL",
        "foreign_keys=ON",
        "secure_delete=ON",  # what /forget deletes is overwritten in the file
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    reads = connection.get_execution_options().get("webscout_reads", False)
    # A deferred transaction that turns into a write fails at once when another is writing.
    connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")


def _version(connection: Connection) -> str | None:
    if not sa.inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar()


def _alembic_config() -> Any:
    from alembic.config import Config  # noqa: PLC0415 - 200 ms, only when there is something to do

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).with_name("migrations")))
    config.set_main_option("path_separator", "os")
    return config


def _upgrade(connection: Connection) -> None:
    from alembic import command  # noqa: PLC0415

    config = _alembic_config()
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


@asynccontextmanager
async def _transaction(engine: AsyncEngine) -> AsyncIterator[Transaction]:
    with _translated():
        connection = engine.connect()
        try:
            await _to_its_end(connection.start())
            yield Transaction(connection)
            await _to_its_end(connection.commit())
        finally:
            if connection.sync_connection is not None:
                await _to_its_end(connection.close())  # rolls back what was not committed


async def _truncate_log(driver: Any) -> bool:
    try:
        await driver.execute("PRAGMA busy_timeout=0")  # the tries are the caller's
        cursor = await driver.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        busy, *_counts = await cursor.fetchone()
        await cursor.close()
        return not busy
    finally:
        await driver.execute(f"PRAGMA busy_timeout={_BUSY_TIMEOUT_MS}")


async def _to_its_end(work: Awaitable[T]) -> T:
    """Await `work`; a cancel that comes meanwhile is raised after its end."""
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        while not task.done():
            with suppress(asyncio.CancelledError):
                await asyncio.wait({task})
        if not task.cancelled():
            task.exception()  # seen; the cancel is what the caller gets
        raise


@contextmanager
def _translated() -> Iterator[None]:
    """SQLAlchemy's and the driver's errors as ours, without the statement and its values."""
    try:
        yield
    except (SQLAlchemyError, sqlite3.Error, OSError) as error:
        reason = str(getattr(error, "orig", None) or error).strip() or type(error).__name__
        # asyncpg quotes the value that it can't take
        reason = re.sub(r"(query argument \$\d+):.*", r"\1", reason.splitlines()[0])
        raise StoreError(f"database: {reason[:300]}") from error
