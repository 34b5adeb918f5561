"""The connection to SQLite or PostgreSQL, and its migrations."""

import asyncio
import io
import logging
import re
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import (
    AbstractAsyncContextManager,
    asynccontextmanager,
    contextmanager,
    suppress,
)
from hashlib import sha256
from pathlib import Path
from typing import Any, Self, TypeVar

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import URL, Connection, CursorResult, Engine, make_url
from sqlalchemy.exc import (
    ArgumentError,
    DBAPIError,
    InterfaceError,
    InternalError,
    OperationalError,
    SQLAlchemyError,
)
from sqlalchemy.exc import TimeoutError as SQLAlchemyTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from agents.domain.errors import InvalidValue
from agents.store.errors import NotOverwritten, StoreError, StoreUnavailable
from agents.store.group_commit import GroupCommit, Work

T = TypeVar("T")

log = logging.getLogger(__name__)

HEAD = "0005"
"""The newest migration; a test holds it to what stands in migrations/versions."""

_ALLOWED = "sqlite:///PATH or postgresql://USER:PASSWORD@HOST/NAME"
_BUSY_TIMEOUT_MS = 10_000
_CONNECT_TIMEOUT_S = 10.0
_STATEMENT_TIMEOUT_S = 20.0
_CHECKPOINT_TRIES = 50
_CHECKPOINT_PAUSE_S = 0.1
_SERVER_IS_OUT = frozenset({"08", "53", "57", "58", "25", "40", "55"})
"""Classes of PostgreSQL's errors: connections, resources, an operator's doing, the disk, a server
that only reads, a conflict, a lock."""
_READERS = 3
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
    """Transactions over one engine, and over its replica's. Use as an async context manager.

    `commit` and `query` are for what many do at once: the work is a function over SQLAlchemy's
    synchronous connection. `commit`'s runs in the event loop on SQLite, so it is short; its commit,
    and `query`, run in threads. On PostgreSQL it runs over the driver.
    """

    def __init__(
        self, engine: AsyncEngine, *, own: Engine | None = None, replica: AsyncEngine | None = None
    ) -> None:
        self._engine = engine
        self._reader = engine.execution_options(webscout_reads=True)
        self._sqlite = engine.dialect.name == "sqlite"
        self._replica = replica
        self._own = own  # SQLite's file once more, for the threads
        self._writer = None if own is None else GroupCommit(own)
        # Threads of their own: reading must not wait for a ranking that takes a second.
        self._readers = ThreadPoolExecutor(_READERS, thread_name_prefix="store-reader")
        self._own_reader = None if own is None else own.execution_options(webscout_reads=True)

    @classmethod
    def open(cls, text: str, replica: str | None = None) -> Self:
        """Engines for the addresses; nothing is connected yet. SQLite's folder is made."""
        url = async_url(text)
        if url.get_backend_name() != "sqlite":
            second = None if replica is None else _postgresql(async_url(replica))
            return cls(_postgresql(url), replica=second)
        own = None
        if url.database and url.database != ":memory:":
            try:
                Path(url.database).parent.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise StoreError(f"DATABASE_URL: {error.strerror}: {error.filename}") from error
            own = sa.create_engine(
                url.set(drivername="sqlite"),
                connect_args={"check_same_thread": False},
                hide_parameters=True,
            )
            _listen(own)
        engine = create_async_engine(url, hide_parameters=True)  # or logs quote what people wrote
        _listen(engine.sync_engine)
        return cls(engine, own=own)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._writer is not None:
            await self._writer.close()
        await asyncio.to_thread(self._readers.shutdown)
        if self._own is not None:
            await asyncio.to_thread(self._own.dispose)
        if self._replica is not None:
            await self._replica.dispose()
        await self._engine.dispose()

    async def commit(self, work: Work[T]) -> T:
        """The result of `work`, which is on the disk then; raises StoreError. It may be run twice,
        so it has no effects but in the database."""
        with _translated():
            if self._writer is not None:
                return await _to_its_end(self._writer.submit(work))
            return await _to_its_end(_in_transaction(self._engine, work))

    async def query(self, work: Work[T]) -> T:
        """The result of `work`, which only reads; raises StoreError."""
        with _translated():
            if self._own_reader is not None:
                loop = asyncio.get_running_loop()
                reading = loop.run_in_executor(self._readers, _reading, self._own_reader, work)
                return await _to_its_end(reading)
            return await _to_its_end(_in_transaction(self._reader, work))

    async def browse(self, work: Work[T]) -> T:
        """As `query`, from the replica if there is one: what it says may be a little old."""
        if self._replica is None:
            return await self.query(work)
        try:
            with _translated():
                return await _to_its_end(_in_transaction(self._replica, work))
        except StoreUnavailable as out:
            log.warning("the replica does not answer, the database itself is asked: %s", out)
            return await self.query(work)

    def write(self) -> AbstractAsyncContextManager["Transaction"]:
        """A transaction that may write (SQLite's lock is taken at its start); raises StoreError."""
        return _transaction(self._engine)

    def read(self) -> AbstractAsyncContextManager["Transaction"]:
        """A transaction that only reads; raises StoreError."""
        return _transaction(self._reader)

    def insert(self, table: sa.Table) -> Any:
        """The dialect's own INSERT, which knows ON CONFLICT."""
        dialect: Any = sqlite if self._sqlite else postgresql
        return dialect.insert(table)

    def upsert(self, table: sa.Table, keys: tuple[str, ...]) -> Any:
        """INSERT that replaces the other columns of a row with the same keys."""
        statement = self.insert(table)
        others = {c.name: statement.excluded[c.name] for c in table.columns if c.name not in keys}
        return statement.on_conflict_do_update(index_elements=keys, set_=others)

    def insert_once(self, table: sa.Table) -> Any:
        """INSERT that leaves a row with the same key as it is; its rowcount says which."""
        return self.insert(table).on_conflict_do_nothing()

    def in_turn(self, connection: Connection, name: str) -> None:
        """Until the end of the transaction nobody else passes here with that name. (SQLite's
        writers take turns anyway.)"""
        if not self._sqlite:
            number = int.from_bytes(sha256(name.encode()).digest()[:8], signed=True)
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(number)))

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
    options = {
        "statement_cache_size": 0,
        "timeout": _CONNECT_TIMEOUT_S,
        "command_timeout": _STATEMENT_TIMEOUT_S,  # a server that says nothing is out, too
    }
    try:
        # A connection that a restart of the server broke is found out before it is used.
        return create_async_engine(
            url, connect_args=options, pool_pre_ping=True, hide_parameters=True
        )
    except ImportError:
        raise StoreError(
            "DATABASE_URL: PostgreSQL needs asyncpg: install '.[scale]' with .venv/bin/pip"
        ) from None


def _listen(engine: Engine) -> None:
    sa.event.listen(engine, "connect", _set_up_sqlite)
    sa.event.listen(engine, "begin", _begin_sqlite)


def _set_up_sqlite(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # SQLAlchemy says BEGIN itself, see _begin_sqlite
    cursor = connection.cursor()
    for pragma in (
        f"busy_timeout={_BUSY_TIMEOUT_MS}",
        "journal_mode=WAL",
        "synchronous=FULL",
        "foreign_keys=ON",
        "wal_autocheckpoint=4000",  # 16 MB: pages that change often are copied once, not often
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


async def _in_transaction(engine: AsyncEngine, work: Work[T]) -> T:
    async with engine.begin() as connection:
        return await connection.run_sync(work)


def _reading(engine: Engine, work: Work[T]) -> T:
    with engine.begin() as connection:
        return work(connection)


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
        kind = StoreUnavailable if _is_out(error) else StoreError
        raise kind(f"database: {reason[:300]}") from error


def _is_out(error: Exception) -> bool:
    """Whether the same may go well a little later: no connection, a server that starts or stops, a
    full disk, a lock."""
    if isinstance(error, DBAPIError):
        state = str(getattr(error.orig, "sqlstate", None) or "")
        return (
            error.connection_invalidated
            or state[:2] in _SERVER_IS_OUT
            # asyncpg's InternalError: it lost track of a connection that broke.
            or (not state and isinstance(error, OperationalError | InterfaceError | InternalError))
        )
    return isinstance(error, OSError | sqlite3.OperationalError | SQLAlchemyTimeout)
