"""Writes of many callers in one commit: what comes while SQLite syncs goes into the next one.

A commit with `synchronous=FULL` waits for the disk, and SQLite has one writer at a time. So one
connection does all the writing here. Its statements take microseconds and are run in the event
loop; only the commit, which waits, is given to a thread. (With the statements in the thread each of
them waited for the interpreter's lock: up to 5 ms beside a busy loop.)
"""

import asyncio
import sqlite3
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from contextvars import Context
from dataclasses import dataclass
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

T = TypeVar("T")

Work = Callable[[Connection], T]
BATCH_MAX = 64
"""Callers that share a commit: a bound to how long the first of them waits."""
BATCH_S = 0.005
"""How long the statements of a batch may hold the event loop before the rest waits for the next."""
BUSY_S = 10.0
"""How long another connection's lock is waited for."""
_BUSY_PAUSE_S = 0.002


@dataclass(slots=True)
class _Job:
    work: Work[Any]
    done: asyncio.Future[Any]

    def give(self, result: Any) -> None:
        if not self.done.done():  # its caller's loop may be closing
            self.done.set_result(result)

    def fail(self, error: Exception) -> None:
        if not self.done.done():
            self.done.set_exception(error)


class GroupCommit:
    """The one writer over a SQLite engine whose transactions begin as IMMEDIATE.

    A piece of work may be run twice: it has no effects but in the database. One event loop at a
    time uses it.
    """

    def __init__(self, engine: Engine, *, busy_s: float = BUSY_S, batch_s: float = BATCH_S) -> None:
        self._engine = engine
        self._batch_s = batch_s
        self._busy_s = busy_s
        self._jobs: deque[_Job] = deque()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="store-writer")
        self._connection: Connection | None = None
        self._writing: asyncio.Task[None] | None = None
        self._closed = False

    def submit(self, work: Work[T]) -> "asyncio.Future[T]":
        """Run `work` in a transaction; done once that is on the disk, or nothing of it is. Raises
        InvalidRequestError after `close`, since nobody would ever do it."""
        if self._closed:
            raise sa.exc.InvalidRequestError("the database is closed")
        loop = asyncio.get_running_loop()
        job = _Job(work, loop.create_future())
        self._jobs.append(job)
        if self._writing is None or self._writing.done():
            self._writing = loop.create_task(self._write(), name="store-writer", context=Context())
        return job.done

    async def close(self) -> None:
        """End after what it was given."""
        self._closed = True
        if self._writing is not None:
            await asyncio.wait({self._writing})
        await asyncio.to_thread(self._thread.shutdown)
        self._drop_connection()

    async def _write(self) -> None:
        while self._jobs:
            batch = [self._jobs.popleft() for _ in range(min(len(self._jobs), BATCH_MAX))]
            try:
                await self._commit(batch)
            finally:
                for job in batch:  # those that the end of the loop leaves
                    job.done.cancel()

    async def _commit(self, batch: list[_Job]) -> None:
        try:
            await self._transact(batch)
        except Exception as error:  # noqa: BLE001 - the callers get it
            if len(batch) == 1 or isinstance(error, sa.exc.OperationalError):
                _fail(batch, error)
            else:
                await self._commit_each(batch)
            self._drop_connection()  # whatever state it is in, the next batch has a good one

    async def _commit_each(self, batch: list[_Job]) -> None:
        """One of them fails: each for itself, then. Where the database does, it does for all."""
        for place, job in enumerate(batch):
            try:
                await self._transact([job])
            except sa.exc.OperationalError as error:
                _fail(batch[place:], error)
                return
            except Exception as error:  # noqa: BLE001 - its caller gets it
                job.fail(error)

    async def _transact(self, batch: list[_Job]) -> None:
        """Run them in one transaction; those that came too late for it wait for the next."""
        connection = self._connection = self._connection or await self._connect()
        try:
            await self._begin(connection)
            done: list[_Job] = []
            results: list[Any] = []
            until = time.perf_counter() + self._batch_s
            for job in batch:
                if done and time.perf_counter() > until:
                    break
                results.append(job.work(connection))
                done.append(job)
            await asyncio.get_running_loop().run_in_executor(self._thread, connection.commit)
        except Exception:
            self._roll_back(connection)
            raise
        except BaseException:
            self._drop_connection()  # the loop ends, maybe in the middle of a commit
            raise
        for job, result in zip(done, results, strict=True):
            job.give(result)
        for job in reversed(batch[len(done) :]):
            self._jobs.appendleft(job)
        del batch[len(done) :]

    async def _connect(self) -> Connection:
        connection = await asyncio.get_running_loop().run_in_executor(
            self._thread, self._engine.connect
        )
        driver: Any = connection.connection.dbapi_connection
        driver.execute("PRAGMA busy_timeout=0")  # the loop must not stand still for a lock
        return connection

    async def _begin(self, connection: Connection) -> None:
        until = time.monotonic() + self._busy_s
        while True:
            try:
                connection.begin()
            except sa.exc.OperationalError as error:
                if not _locked(error) or time.monotonic() >= until:
                    raise
            else:
                return
            await asyncio.sleep(_BUSY_PAUSE_S)

    def _roll_back(self, connection: Connection) -> None:
        try:
            connection.rollback()
        except Exception:  # noqa: BLE001 - it is broken: then it is no more
            self._drop_connection()

    def _drop_connection(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(Exception):  # it is broken: what it did not commit is rolled back
                connection.invalidate()
            with suppress(Exception):
                connection.close()


def _locked(error: sa.exc.OperationalError) -> bool:
    code = getattr(error.orig, "sqlite_errorcode", None)
    return code is not None and code & 0xFF in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}


def _fail(batch: list[_Job], error: Exception) -> None:
    for job in batch:
        job.fail(error)
