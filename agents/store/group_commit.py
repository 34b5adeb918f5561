"""Writes of many callers in one commit: what comes while SQLite syncs goes into the next one.

A commit with `synchronous=FULL` waits for the disk, and SQLite has one writer at a time. One thread
does all the writing here, so that callers don't wait for each other's syncs.
"""

import asyncio
import logging
import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

T = TypeVar("T")

Work = Callable[[Connection], T]
BATCH_MAX = 64
"""Callers that share a commit: a bound to how long the first of them waits."""

log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Job:
    work: Work[Any]
    loop: asyncio.AbstractEventLoop
    done: asyncio.Future[Any]
    result: Any = None
    error: Exception | None = None

    def resolve(self) -> None:
        if self.done.done():
            return  # its caller's loop is closing
        if self.error is not None:
            self.done.set_exception(self.error)
        else:
            self.done.set_result(self.result)


@dataclass(slots=True)
class GroupCommit:
    """The writing thread over a SQLite engine whose transactions begin as IMMEDIATE.

    A piece of work may be run twice: it has no effects but in the database.
    """

    engine: Engine
    _jobs: "queue.SimpleQueue[_Job | None]" = field(default_factory=queue.SimpleQueue)
    _thread: threading.Thread | None = None
    _closed: bool = False

    def submit(self, work: Work[T]) -> "asyncio.Future[T]":
        """Run `work` in a transaction; done once that is on the disk, or nothing of it is. Raises
        InvalidRequestError after `close`, since nobody would ever do it."""
        if self._closed:
            raise sa.exc.InvalidRequestError("the database is closed")
        loop = asyncio.get_running_loop()
        if self._thread is None:
            self._thread = threading.Thread(target=self._write, name="store-writer", daemon=True)
            self._thread.start()
        job = _Job(work, loop, loop.create_future())
        self._jobs.put(job)
        return job.done

    async def close(self) -> None:
        """End the thread after what it was given."""
        self._closed = True
        if self._thread is not None:
            self._jobs.put(None)
            await asyncio.to_thread(self._thread.join)
            self._thread = None

    def _write(self) -> None:
        connection: Connection | None = None
        while batch := self._next_batch():
            try:
                connection = connection or self.engine.connect()
                self._commit(connection, batch)
            except Exception as error:  # noqa: BLE001 - the thread's boundary: callers get it
                for job in batch:
                    job.error = error
            if connection is not None and any(job.error is not None for job in batch):
                connection.close()  # whatever state it is in, the next batch has a good one
                connection = None
            _tell(batch)
        if connection is not None:
            connection.close()

    def _next_batch(self) -> list[_Job]:
        batch: list[_Job] = []
        job = self._jobs.get()
        while job is not None:
            batch.append(job)
            if len(batch) == BATCH_MAX:
                return batch
            try:
                job = self._jobs.get_nowait()
            except queue.Empty:
                return batch
        if batch:
            self._jobs.put(None)  # the end comes after these
        return batch

    def _commit(self, connection: Connection, batch: list[_Job]) -> None:
        try:
            with connection.begin():
                for job in batch:
                    job.result = job.work(connection)
        except Exception as error:
            if len(batch) == 1 or isinstance(error, sa.exc.OperationalError):
                raise
            out: Exception | None = None
            for job in batch:  # one of them fails: each for itself, then
                if out is None:
                    self._commit_one(connection, job)
                job.error = job.error or out
                if isinstance(job.error, sa.exc.OperationalError):
                    out = job.error  # locked, say: the others needn't wait for that one by one

    def _commit_one(self, connection: Connection, job: _Job) -> None:
        try:
            with connection.begin():
                job.result = job.work(connection)
        except Exception as error:  # noqa: BLE001 - its caller gets it
            job.error = error


def _tell(batch: list[_Job]) -> None:
    """Wake the callers, those of one event loop together."""
    loops = {job.loop for job in batch}
    for loop in loops:
        mine = [job for job in batch if job.loop is loop]

        def resolve(jobs: list[_Job] = mine) -> None:
            for job in jobs:
                job.resolve()

        try:
            loop.call_soon_threadsafe(resolve)
        except RuntimeError:  # the loop is closed: nobody waits any more
            log.debug("%d writes ended after their callers", len(mine))
