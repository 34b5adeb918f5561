"""The real store over a real SQLite file (WAL, synchronous=FULL), without its threads.

A thread can't be scheduled from a seed: here each piece of work runs whole, in the turn of the task
that asked for it. The SQL, the transactions and their file are the store's own.
"""

import asyncio
import json
import shutil
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.engine import Connection
from sqlalchemy.pool import NullPool, QueuePool

from agents.store.database import Database, _listen, _to_its_end, _translated
from agents.store.group_commit import Work
from tests.chaos.faults import Faults, Victim
from tests.migrated import folder, migrated_sqlite

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """An event as it appeared in the journal: who wrote it, and whose the run was before."""

    at_s: float
    process: str
    run_id: str
    seq: int
    type: str
    data: dict[str, Any]
    owner_before: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A run that changed hands."""

    at_s: float
    process: str
    run_id: str
    before: str | None
    lease_before: str | None
    fence_before: int
    fence: int


@dataclass(slots=True)
class Observer:
    """Reads after each commit what is new in the file, and remembers what it read."""

    driver: sqlite3.Connection
    written: list[Written] = field(default_factory=list)
    claims: list[Claim] = field(default_factory=list)
    rows: list[tuple[Any, ...]] = field(default_factory=list)
    _hands: dict[str, tuple[str | None, str | None, int]] = field(default_factory=dict)
    _last: int = 0

    def look(self, process: str) -> list[str]:
        """What the commit of that process changed, in words."""
        now_s = asyncio.get_running_loop().time()
        query = "SELECT rowid, run_id, seq, type, at, data FROM run_events WHERE rowid > ?"
        new = self.driver.execute(query + " ORDER BY rowid", (self._last,)).fetchall()
        words = []
        for rowid, *row in new:
            self._last = rowid
            self.rows.append(tuple(row))
            run_id, seq, kind, _at, data = row
            owner, *_ = self._hands.get(run_id, (None, None, 0))
            self.written.append(
                Written(
                    at_s=now_s,
                    process=process,
                    run_id=run_id,
                    seq=seq,
                    type=kind,
                    data=json.loads(data),
                    owner_before=owner,
                )
            )
            words.append(f"{run_id}.{seq} {kind} {json.loads(data).get('step', '')}".rstrip())
        return words + self._look_at_owners(process, now_s)

    def _look_at_owners(self, process: str, now_s: float) -> list[str]:
        words = []
        query = "SELECT id, owner, lease_until, fence FROM runs ORDER BY id"
        for run_id, owner, lease, fence in self.driver.execute(query).fetchall():
            was_owner, was_lease, was_fence = self._hands.get(run_id, (None, None, 0))
            if fence != was_fence or (owner is not None and owner != was_owner):
                self.claims.append(
                    Claim(
                        at_s=now_s,
                        process=process,
                        run_id=run_id,
                        before=was_owner,
                        lease_before=was_lease,
                        fence_before=was_fence,
                        fence=fence,
                    )
                )
                words.append(f"{run_id} is {owner}'s, fence {fence}")
            self._hands[run_id] = (owner, lease, fence)
        return words


_path: list[Path] = []


def _connect() -> Any:
    return sqlite3.connect(_path[-1])


@lru_cache(maxsize=1)
def _engine() -> sa.Engine:
    """One engine for all simulations, so that a statement is compiled once."""
    engine = sa.create_engine("sqlite://", creator=_connect, poolclass=QueuePool)
    _listen(engine)
    return engine


class StoreFile:
    """The file of one simulation. A context manager."""

    def __init__(self) -> None:
        self.path = folder() / "world.db"

    def __enter__(self) -> "StoreFile":
        for end in ("", "-wal", "-shm"):
            self.path.with_name(self.path.name + end).unlink(missing_ok=True)
        shutil.copyfile(migrated_sqlite(), self.path)
        _path.append(self.path)
        self.engine = _engine()
        self.driver = sqlite3.connect(self.path, isolation_level=None)
        self.observer = Observer(self.driver)
        return self

    def __exit__(self, *_: object) -> None:
        self.driver.close()
        self.engine.dispose()
        _path.pop()

    def rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        """What stands in the file, whatever goes wrong in the world."""
        return self.driver.execute(query, values).fetchall()


class InlineDatabase(Database):
    """The store as one process reaches it."""

    def __init__(self, file: StoreFile, faults: Faults, who: Victim) -> None:
        self._sqlite = True
        self._file = file
        self._faults = faults
        self._who = who
        self._reads = file.engine.execution_options(webscout_reads=True)

    async def commit(self, work: Work[T]) -> T:
        """The result of `work`, which is in the file then."""
        with _translated():
            return await _to_its_end(self._commit(work))

    async def query(self, work: Work[T]) -> T:
        """The result of `work`, which only reads."""
        with _translated():
            return await _to_its_end(self._query(work))

    async def browse(self, work: Work[T]) -> T:
        """As `query`."""
        return await self.query(work)

    @asynccontextmanager
    async def write(self) -> AsyncIterator[Any]:
        """A transaction whose statements all run in one turn."""
        with _translated():
            await self._arrive(writes=True)
            with self._file.engine.begin() as connection:
                yield _InlineTransaction(connection)
            self._leave()

    @asynccontextmanager
    async def read(self) -> AsyncIterator[Any]:
        """A transaction that only reads."""
        with _translated():
            await self._arrive(writes=False)
            with self._reads.begin() as connection:
                yield _InlineTransaction(connection)

    async def _commit(self, work: Work[T]) -> T:
        await self._arrive(writes=True)
        with self._file.engine.begin() as connection:
            result = work(connection)
        self._leave()
        await asyncio.sleep(0)
        return result

    async def _query(self, work: Work[T]) -> T:
        await self._arrive(writes=False)
        with self._reads.begin() as connection:
            return work(connection)

    async def _arrive(self, *, writes: bool) -> None:
        self._faults.alive(self._who)
        await self._faults.latency()
        if writes:
            self._faults.point(self._who, "before a write")
        self._faults.alive(self._who)
        self._faults.store_answers(self._who)

    def _leave(self) -> None:
        changed = self._file.observer.look(self._who.name)
        self._faults.point(self._who, "; ".join(["after a write", *changed]))
        self._faults.answer_arrives(self._who)


class _InlineTransaction:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def execute(self, statement: sa.Executable, parameters: Any = None) -> Any:
        return self._connection.execute(statement, parameters)

    async def run_sync(self, work: Callable[[Connection], T]) -> T:
        return work(self._connection)


def open_copy(path: Path) -> sa.Engine:
    """The store's own way into another file, which each connection opens anew."""
    engine = sa.create_engine(f"sqlite:///{path}", poolclass=NullPool)
    _listen(engine)
    return engine
