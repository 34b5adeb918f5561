"""A second tier in a file of its own: what it holds can always be made again.

What is deleted is overwritten (`secure_delete`); a file that is no database any more is replaced by
a new one.
"""

import asyncio
import sqlite3
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

from cache.port import Stored, TierFailed, ValueRefused

BUSY_TIMEOUT_S = 2.0
"""How long another process's write is waited for."""
_SETUP = """
PRAGMA journal_mode=WAL;
PRAGMA synchronous=NORMAL;  -- a power cut may cost the newest values, no more
PRAGMA secure_delete=ON;
CREATE TABLE IF NOT EXISTS cache_entries (
    key TEXT PRIMARY KEY,
    value BLOB NOT NULL,
    stored_at REAL NOT NULL,
    fresh_until REAL NOT NULL,
    kept_until REAL NOT NULL,
    tag TEXT
);
CREATE INDEX IF NOT EXISTS cache_entries_tag ON cache_entries (tag);
"""
_PUT = """
INSERT INTO cache_entries (key, value, stored_at, fresh_until, kept_until, tag)
VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT (key) DO UPDATE SET value = excluded.value, stored_at = excluded.stored_at,
    fresh_until = excluded.fresh_until, kept_until = excluded.kept_until, tag = excluded.tag
WHERE excluded.stored_at >= cache_entries.stored_at
"""
_GET = "SELECT value, stored_at, fresh_until, kept_until, tag FROM cache_entries WHERE key = ?"
_TOO_MUCH = """
DELETE FROM cache_entries WHERE key IN (
    SELECT key FROM (
        SELECT key, SUM(LENGTH(value)) OVER (ORDER BY stored_at DESC, key) AS up_to_here
        FROM cache_entries
    ) WHERE up_to_here > ?
)
"""
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

    Each statement runs in a thread, to its end even when its caller is cancelled meanwhile.
    """

    def __init__(
        self,
        path: Path,
        *,
        bytes_max: int = 256_000_000,
        busy_timeout_s: float = BUSY_TIMEOUT_S,
    ) -> None:
        if not bytes_max > 0:
            raise ValueError(f"bytes_max: {bytes_max}, must be above 0")
        self._path = path
        self._bytes_max = bytes_max
        self._busy_timeout_s = busy_timeout_s
        self._connection: sqlite3.Connection | None = None
        self._turn = threading.Lock()  # a transaction is of one caller

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.to_thread(self._close_in_turn)

    async def get(self, key: str) -> Stored | None:
        """What is stored under the key."""
        return await asyncio.to_thread(self._get, key)

    async def put(self, entries: Mapping[str, Stored]) -> None:
        """Store all of them in one transaction."""
        await asyncio.to_thread(self._put, entries)

    async def forget(self, tag: str) -> None:
        """Remove everything with the tag, also from the write-ahead log."""
        await asyncio.to_thread(self._forget, tag)

    async def sweep(self, now: datetime) -> None:
        """Remove what is kept no longer, and the oldest of what is too much."""
        await asyncio.to_thread(self._sweep, now)

    def _get(self, key: str) -> Stored | None:
        with self._transaction() as connection:
            row = connection.execute(_GET, (key,)).fetchone()
            return None if row is None else _stored(row)

    def _put(self, entries: Mapping[str, Stored]) -> None:
        rows = [
            (key, e.data, _s(e.stored_at), _s(e.fresh_until), _s(e.kept_until), e.tag)
            for key, e in entries.items()
        ]
        with self._transaction() as connection:
            connection.executemany(_PUT, rows)

    def _forget(self, tag: str) -> None:
        with self._transaction() as connection:
            connection.execute("DELETE FROM cache_entries WHERE tag = ?", (tag,))
        with self._transaction() as connection:
            busy, *_ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        if busy:
            raise TierFailed("its write-ahead log is in use")

    def _sweep(self, now: datetime) -> None:
        with self._transaction() as connection:
            connection.execute("DELETE FROM cache_entries WHERE kept_until <= ?", (_s(now),))
            connection.execute(_TOO_MUCH, (self._bytes_max,))

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._turn:
            try:
                with self._open() as connection:  # commits, or rolls back
                    yield connection
            except _NO_VALUES as error:
                raise ValueRefused(str(error), transient=False) from error
            except sqlite3.Error as error:  # locked, the disk is full, or not what it was
                self._close()
                if type(error) is sqlite3.DatabaseError:  # not a database, or not any more
                    self._begin_anew()
                raise TierFailed(str(error)) from error
            except OSError as error:
                raise TierFailed(f"{error.strerror}: {self._path}") from error

    def _open(self) -> sqlite3.Connection:
        if self._connection is None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            connection = sqlite3.connect(
                self._path, timeout=self._busy_timeout_s, check_same_thread=False
            )
            try:
                connection.executescript(_SETUP)
            except BaseException:
                connection.close()
                raise
            self._connection = connection
        return self._connection

    def _begin_anew(self) -> None:
        """The next use makes a new file, if it may."""
        for end in ("", "-wal", "-shm"):
            with suppress(OSError):
                self._path.with_name(self._path.name + end).unlink()

    def _close_in_turn(self) -> None:
        with self._turn:
            self._close()

    def _close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


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
