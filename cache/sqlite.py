"""A second tier in a file of its own: what it holds can always be made again.

What is deleted is overwritten (`secure_delete`); a file that is no database any more is set aside
as NAME.broken, and a new one is begun.
"""

import asyncio
import sqlite3
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Self, TypeVar

from cache.port import Stored, TierFailed, ValueRefused

T = TypeVar("T")

BUSY_TIMEOUT_S = 2.0
"""How long another process's write is waited for."""
CLOSE_WITHIN_S = 2.0
"""How long what is still being done is waited for at the end."""
STEP_ROWS = 100
"""How many rows are removed at a time: then other writes get their turn."""
_STEP_PAGES = 1_000
_KEPT_SHARE = 0.9
"""How much of the bound is left when it was passed, so that it is not passed again at once."""
_SLACK_S = 300.0
"""How far the clocks of two processes may be apart."""
_FORGOTTEN_KEPT_S = 30 * 24 * 3600.0
"""How long a forgotten tag is remembered: no write is that late."""
_BESIDE = ("-wal", "-shm")
_SETUP = """
PRAGMA journal_mode=WAL;
PRAGMA synchronous=NORMAL;  -- a power cut may cost the newest values, no more
PRAGMA secure_delete=ON;
PRAGMA journal_size_limit=4000000;
"""
_IS_NEW = "SELECT COUNT(*) = 0 FROM sqlite_master WHERE name = 'cache_size'"
_BEFORE_ALL = "PRAGMA auto_vacuum=INCREMENTAL;"  # a file that has anything in it keeps its own
_TABLES = """
BEGIN IMMEDIATE;
CREATE TABLE IF NOT EXISTS cache_entries (
    key TEXT PRIMARY KEY,
    value BLOB NOT NULL,
    stored_at REAL NOT NULL,
    fresh_until REAL NOT NULL,
    kept_until REAL NOT NULL,
    tag TEXT
);
CREATE INDEX IF NOT EXISTS cache_entries_tag ON cache_entries (tag);
CREATE INDEX IF NOT EXISTS cache_entries_stored_at ON cache_entries (stored_at);
CREATE INDEX IF NOT EXISTS cache_entries_kept_until ON cache_entries (kept_until);
CREATE TABLE IF NOT EXISTS forgotten (tag TEXT PRIMARY KEY, at REAL NOT NULL);

-- How many bytes the values have, whichever process has stored them.
CREATE TABLE IF NOT EXISTS cache_size (id INTEGER PRIMARY KEY, bytes INTEGER NOT NULL);
REPLACE INTO cache_size SELECT 1, COALESCE(SUM(LENGTH(value)), 0) FROM cache_entries;
CREATE TRIGGER IF NOT EXISTS cache_entry_added AFTER INSERT ON cache_entries BEGIN
    UPDATE cache_size SET bytes = bytes + LENGTH(new.value);
END;
CREATE TRIGGER IF NOT EXISTS cache_entry_replaced AFTER UPDATE OF value ON cache_entries BEGIN
    UPDATE cache_size SET bytes = bytes + LENGTH(new.value) - LENGTH(old.value);
END;
CREATE TRIGGER IF NOT EXISTS cache_entry_removed AFTER DELETE ON cache_entries BEGIN
    UPDATE cache_size SET bytes = bytes - LENGTH(old.value);
END;
COMMIT;
"""
_SIZE = "SELECT bytes FROM cache_size"
_GET = "SELECT value, stored_at, fresh_until, kept_until, tag FROM cache_entries WHERE key = ?"
# ?7 is the latest instant that a clock may show now: what was stored later never was the newest.
_PUT = """
INSERT INTO cache_entries (key, value, stored_at, fresh_until, kept_until, tag)
SELECT ?1, ?2, ?3, ?4, ?5, ?6
WHERE NOT EXISTS (SELECT 1 FROM forgotten WHERE forgotten.tag = ?6 AND forgotten.at >= ?3)
ON CONFLICT (key) DO UPDATE SET value = excluded.value, stored_at = excluded.stored_at,
    fresh_until = excluded.fresh_until, kept_until = excluded.kept_until, tag = excluded.tag
WHERE excluded.stored_at >= cache_entries.stored_at OR cache_entries.stored_at > ?7
"""
_FORGET = "DELETE FROM cache_entries WHERE tag = ?"
_REMEMBER_FORGOTTEN = """
INSERT INTO forgotten (tag, at) VALUES (?, ?)
ON CONFLICT (tag) DO UPDATE SET at = MAX(at, excluded.at)
"""
_DROP_FORGOTTEN = "DELETE FROM forgotten WHERE at < ? OR at > ?"
_DROP_EXPIRED = f"""
DELETE FROM cache_entries WHERE key IN (
    SELECT key FROM cache_entries WHERE kept_until <= ? OR stored_at > ? LIMIT {STEP_ROWS}
)
"""  # noqa: S608 - a number of our own
_DROP_OLDEST = f"""
DELETE FROM cache_entries WHERE key IN (
    SELECT key FROM (
        SELECT key, size, SUM(size) OVER (ORDER BY stored_at, key) AS up_to_here FROM (
            SELECT key, stored_at, LENGTH(value) AS size FROM cache_entries
            ORDER BY stored_at, key LIMIT {STEP_ROWS}
        )
    ) WHERE up_to_here - size < (SELECT bytes FROM cache_size) - ?
)
"""  # noqa: S608
_NO_VALUES = (
    sqlite3.DataError,
    sqlite3.IntegrityError,
    sqlite3.InterfaceError,
    sqlite3.ProgrammingError,
    TypeError,
    ValueError,
    OverflowError,
)
"""What is raised for a value that is too large, or of a type that no column takes."""


class SqliteTier:
    """Implements Tier. An async context manager; the file is opened at first use.

    Reads and writes have a thread and a connection each, so that no read waits for a write. A
    statement that has begun runs to its end even when its caller is cancelled meanwhile.
    `now` is the wall clock, in seconds of the epoch.
    """

    def __init__(
        self,
        path: Path,
        *,
        bytes_max: int = 256_000_000,
        busy_timeout_s: float = BUSY_TIMEOUT_S,
        close_within_s: float = CLOSE_WITHIN_S,
        now: Callable[[], float] = time.time,
    ) -> None:
        if not bytes_max > 0:
            raise ValueError(f"bytes_max: {bytes_max}, must be above 0")
        self._file = _File(path, busy_timeout_s)
        self._reader = _Connected(self._file, "cache-reader")
        self._writer = _Connected(self._file, "cache-writer")
        self._bytes_max = bytes_max
        self._close_within_s = close_within_s
        self._now = now

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(self._close_within_s):
                both = self._reader.close(), self._writer.close()
                await asyncio.gather(*both, return_exceptions=True)

    async def get(self, key: str) -> Stored | None:
        """What is stored under the key."""
        return await self._reader.run(partial(_get, key))

    async def put(self, entries: Mapping[str, Stored]) -> None:
        """Store all of them in one transaction, but not what was forgotten since it was made."""
        size = await self._writer.run(partial(_put, entries, self._now() + _SLACK_S))
        if size > self._bytes_max:
            await self._make_room(self._now())

    async def forget(self, tag: str) -> None:
        """Remove everything with the tag, also from the write-ahead log; what was stored until now
        does not come back, however late it is put, by whatever process."""
        await self._writer.run(partial(_forget, tag, self._now()))
        await self._writer.run(self._file.drop_aside)
        if await self._writer.run(_clear_log):
            raise TierFailed("its write-ahead log is in use")

    async def sweep(self, now: datetime) -> None:
        """Remove what is kept no longer, what was stored while a clock was ahead, and the oldest of
        what is too much; make the file as small as what is left."""
        await self._make_room(_s(now))
        await self._writer.run(partial(_drop_forgotten, self._now()))
        await self._in_steps(_shrink)
        await self._writer.run(_clear_log)  # or the next time

    async def _make_room(self, now: float) -> None:
        await self._in_steps(partial(_drop, _DROP_EXPIRED, (now, self._now() + _SLACK_S)))
        if await self._writer.run(_size) > self._bytes_max:
            await self._in_steps(partial(_drop, _DROP_OLDEST, (self._bytes_max * _KEPT_SHARE,)))

    async def _in_steps(self, step: Callable[[sqlite3.Connection], bool]) -> None:
        while await self._writer.run(step):
            pass  # whoever waits for the writer has its turn


class _File:
    """The file by its name, which another process may give to a new one at any moment."""

    def __init__(self, path: Path, busy_timeout_s: float) -> None:
        self.path = path
        self._busy_timeout_s = busy_timeout_s
        self._turn = threading.Lock()  # one thread makes it, or sets it aside

    def inode(self) -> int | None:
        """Which file has the name now, if one has."""
        try:
            return self.path.stat().st_ino
        except FileNotFoundError:
            return None

    def make(self) -> int:
        """Which file has the name now; an empty one if none had."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.touch()
        return self.path.stat().st_ino

    def connect(self) -> sqlite3.Connection:
        """A connection to it that is set up, for any one thread."""
        with self._turn:
            connection = sqlite3.connect(
                self.path,
                timeout=self._busy_timeout_s,
                isolation_level="IMMEDIATE",
                check_same_thread=False,
            )
            try:
                is_new = _one(connection, _IS_NEW)
                connection.executescript(_BEFORE_ALL + _SETUP + _TABLES if is_new else _SETUP)
            except BaseException:
                connection.close()
                raise
            return connection

    def set_aside(self, inode: int) -> None:
        """Rename the file, if it is still that one, and the two beside it.

        Not removed: it may be somebody else's. They go first: a new file must not be opened with
        the log of an old one.
        """
        with self._turn, suppress(OSError):
            if self.inode() == inode:
                for end in (*_BESIDE, ""):
                    aside = Path(f"{self.path}.broken{end}")
                    aside.unlink(missing_ok=True)  # an older one's
                    with suppress(FileNotFoundError):
                        Path(f"{self.path}{end}").replace(aside)

    def drop_aside(self, _connection: sqlite3.Connection) -> None:
        """Remove a damaged one: whose it holds what of can't be told any more."""
        for end in (*_BESIDE, ""):
            Path(f"{self.path}.broken{end}").unlink(missing_ok=True)

    def drop_what_is_left(self) -> None:
        """Remove the two beside it, if it was removed without them."""
        with self._turn:
            if self.inode() is None:
                for end in _BESIDE:
                    Path(f"{self.path}{end}").unlink(missing_ok=True)


class _Connected:
    """A connection, and the thread that uses it: one job after the other, in their order."""

    def __init__(self, file: _File, name: str) -> None:
        self._file = file
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=name)
        self._connection: sqlite3.Connection | None = None
        self._inode = 0

    async def run(self, job: Callable[[sqlite3.Connection], T]) -> T:
        """What the job returns. If the caller is cancelled before it has begun, it never does."""
        return await self._in_thread(partial(self._do, job))

    async def close(self) -> None:
        """After what is being done; when cancelled, without it."""
        try:
            await self._in_thread(self._close)
        finally:
            self._thread.shutdown(wait=False, cancel_futures=True)

    async def _in_thread(self, do: Callable[[], T]) -> T:
        try:
            future = self._thread.submit(do)
        except RuntimeError as error:
            raise TierFailed("it is closed") from error
        return await asyncio.wrap_future(future)

    def _do(self, job: Callable[[sqlite3.Connection], T]) -> T:
        try:
            with self._current() as connection:  # commits, or rolls back
                return job(connection)
        except _NO_VALUES as error:
            raise ValueRefused(str(error), transient=False) from error
        except sqlite3.Error as error:  # locked, the disk is full, or not what it was
            self._close()
            if type(error) is sqlite3.DatabaseError:  # not a database, or not any more
                self._file.set_aside(self._inode)
            raise TierFailed(str(error)) from error
        except OSError as error:
            raise TierFailed(f"{error.strerror}: {self._file.path}") from error

    def _current(self) -> sqlite3.Connection:
        if self._connection is not None and self._file.inode() != self._inode:
            self._close()
            self._file.drop_what_is_left()
        if self._connection is None:
            self._inode = self._file.make()  # before it is opened: if it changes now, that is seen
            self._connection = self._file.connect()
        return self._connection

    def _close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


# --- jobs: each is one transaction -----------------------------------------------------------


def _get(key: str, connection: sqlite3.Connection) -> Stored | None:
    row = connection.execute(_GET, (key,)).fetchone()
    return None if row is None else _stored(row)


def _put(entries: Mapping[str, Stored], latest: float, connection: sqlite3.Connection) -> int:
    rows = [
        (key, e.data, _s(e.stored_at), _s(e.fresh_until), _s(e.kept_until), e.tag, latest)
        for key, e in entries.items()
    ]
    connection.executemany(_PUT, rows)
    return _size(connection)


def _forget(tag: str, now: float, connection: sqlite3.Connection) -> None:
    connection.execute(_REMEMBER_FORGOTTEN, (tag, now))
    connection.execute(_FORGET, (tag,))


def _drop(statement: str, values: tuple[float, ...], connection: sqlite3.Connection) -> bool:
    """Whether there may be more to drop."""
    return connection.execute(statement, values).rowcount >= STEP_ROWS


def _drop_forgotten(now: float, connection: sqlite3.Connection) -> None:
    connection.execute(_DROP_FORGOTTEN, (now - _FORGOTTEN_KEPT_S, now + _SLACK_S))


def _shrink(connection: sqlite3.Connection) -> bool:
    """Whether there may be more to give back; never in a file made without `auto_vacuum`."""
    before = _one(connection, "PRAGMA page_count")
    connection.executescript(f"PRAGMA incremental_vacuum({_STEP_PAGES})")  # execute does one page
    return _one(connection, "PRAGMA page_count") <= before - _STEP_PAGES


def _clear_log(connection: sqlite3.Connection) -> bool:
    """Move all of it into the file; whether somebody who reads stood in the way."""
    return bool(_one(connection, "PRAGMA wal_checkpoint(TRUNCATE)"))


def _size(connection: sqlite3.Connection) -> int:
    return _one(connection, _SIZE)


def _one(connection: sqlite3.Connection, question: str) -> int:
    answer: list[tuple[Any, ...]] = connection.execute(question).fetchall()
    return int(answer[0][0])


def _s(instant: datetime) -> float:
    return instant.timestamp()


def _stored(row: tuple[bytes, float, float, float, str | None]) -> Stored:
    data, *instants, tag = row
    stored_at, fresh_until, kept_until = (datetime.fromtimestamp(s, UTC) for s in instants)
    return Stored(
        data=data,
        stored_at=stored_at,
        fresh_until=fresh_until,
        kept_until=kept_until,
        tag=tag,
    )
