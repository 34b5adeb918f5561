"""Group commit: several callers share a sync of the disk, and nothing else."""

import asyncio
import math
import sqlite3
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from agents.store.group_commit import BATCH_MAX, GroupCommit, Work

LINE = "INSERT INTO lines (words) VALUES (?)"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A SQLite database with a table of lines, none twice."""
    file = tmp_path / "lines.db"
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("CREATE TABLE lines (id INTEGER PRIMARY KEY, words TEXT UNIQUE)")
    return file


@pytest.fixture
def engine(file: Path) -> Iterator[Engine]:
    """An engine over it as the store has one; nobody waits for a lock."""
    engine = sa.create_engine(f"sqlite:///{file}", connect_args={"check_same_thread": False})

    def set_up(connection: Any, _record: object) -> None:
        connection.isolation_level = None
        connection.execute("PRAGMA busy_timeout=0")

    def begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    sa.event.listen(engine, "connect", set_up)
    sa.event.listen(engine, "begin", begin)
    yield engine
    engine.dispose()


@dataclass(slots=True)
class Writer:
    """The group commit, how often it committed, and the lines there are."""

    group: GroupCommit
    file: Path
    commits: int = 0

    def lines(self) -> list[str]:
        """As another program sees them."""
        with closing(sqlite3.connect(self.file)) as connection:
            return [words for (words,) in connection.execute("SELECT words FROM lines ORDER BY id")]

    def count(self, _connection: Connection) -> None:
        """A transaction is committed."""
        self.commits += 1


@pytest.fixture
async def writer(engine: Engine, file: Path) -> AsyncIterator[Writer]:
    """A group commit, closed after the test."""
    writer = Writer(GroupCommit(engine, busy_s=30.0, batch_s=math.inf), file)
    sa.event.listen(engine, "commit", writer.count)
    yield writer
    await writer.group.close()


def line(words: str) -> Work[str]:
    """Write a line; gives it back."""

    def work(connection: Connection) -> str:
        connection.exec_driver_sql(LINE, (words,))
        return words

    return work


@asynccontextmanager
async def held(writer: Writer) -> AsyncIterator[None]:
    """The writer waits for another program's lock as long as this is entered: what comes meanwhile
    makes a batch."""
    with closing(sqlite3.connect(writer.file, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        busy = writer.group.submit(lambda _connection: None)
        await asyncio.sleep(0)  # it is in the batch that waits
        yield
        other.execute("ROLLBACK")
    await busy


async def test_one_caller_is_answered_after_the_commit(writer: Writer) -> None:
    """With what the work gives; it is there for everybody then."""
    assert await writer.group.submit(line("one")) == "one"
    assert (writer.lines(), writer.commits) == (["one"], 1)


async def test_callers_at_the_same_moment_share_a_commit(writer: Writer) -> None:
    """Each gets the result of its own work, and the works are done in their order."""
    words = [f"line {n:02}" for n in range(BATCH_MAX)]
    async with held(writer):
        answers = [writer.group.submit(line(one)) for one in words]
    assert await asyncio.gather(*answers) == words
    assert (writer.lines(), writer.commits) == (words, 2)  # one of them the busy one's


async def test_a_batch_has_an_end(writer: Writer) -> None:
    """The first of many callers does not wait for the last."""
    words = [f"line {n:03}" for n in range(2 * BATCH_MAX + 1)]
    async with held(writer):
        answers = [writer.group.submit(line(one)) for one in words]
    assert await asyncio.gather(*answers) == words
    assert (writer.lines(), writer.commits) == (words, 1 + 3)


async def test_a_work_that_fails_does_not_break_the_others(writer: Writer) -> None:
    """It gets its own error and leaves nothing; those before and after it are stored, in order."""

    def fails(connection: Connection) -> None:
        line("never")(connection)
        raise LookupError("mine")

    async with held(writer):
        before = writer.group.submit(line("before"))
        failing = writer.group.submit(fails)
        twice = writer.group.submit(line("before"))
        after = writer.group.submit(line("after"))
    with pytest.raises(LookupError, match="mine"):
        await failing
    with pytest.raises(sa.exc.IntegrityError):
        await twice
    assert (await before, await after) == ("before", "after")
    assert writer.lines() == ["before", "after"]
    assert await writer.group.submit(line("later")) == "later"


async def test_each_work_is_stored_whole_or_not_at_all(writer: Writer) -> None:
    """Two lines each, the second of every other work there already."""
    await writer.group.submit(line("taken"))

    def two(number: int) -> Work[int]:
        def work(connection: Connection) -> int:
            line(f"first {number}")(connection)
            line("taken" if number % 2 else f"second {number}")(connection)
            return number

        return work

    async with held(writer):
        answers = [writer.group.submit(two(n)) for n in range(6)]
    got = await asyncio.gather(*answers, return_exceptions=True)
    assert [answer for answer in got if not isinstance(answer, Exception)] == [0, 2, 4]
    stored = [f"{which} {n}" for n in (0, 2, 4) for which in ("first", "second")]
    assert writer.lines() == ["taken", *stored]


async def test_works_are_done_in_the_order_they_came(writer: Writer) -> None:
    """Batch after batch."""
    words = [f"line {n:03}" for n in range(150)]
    assert await asyncio.gather(*(writer.group.submit(line(one)) for one in words)) == words
    assert writer.lines() == words
    assert writer.commits <= len(words)


@pytest.mark.parametrize("together", [1, 3])
async def test_a_locked_database_is_everybodys_error(
    engine: Engine, file: Path, together: int
) -> None:
    """Of the whole batch, when it was waited for; the next batch is stored."""
    group = GroupCommit(engine, busy_s=0.0)
    await group.submit(line("before"))
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        answers = [group.submit(line(f"line {n}")) for n in range(together)]
        got = await asyncio.gather(*answers, return_exceptions=True)
        other.execute("ROLLBACK")
    assert [type(error) for error in got] == [sa.exc.OperationalError] * together
    assert await group.submit(line("after")) == "after"
    assert Writer(group, file).lines() == ["before", "after"]
    await group.close()


async def test_a_database_that_fails_within_a_batch_is_everybodys_error(writer: Writer) -> None:
    """Works are not tried again one by one: each of them would wait for as long."""
    tried: list[int] = []

    def locked(number: int) -> Work[None]:
        def work(connection: Connection) -> None:
            tried.append(number)
            line(f"line {number}")(connection)
            if number == 1:
                raise sa.exc.OperationalError("INSERT", (), sqlite3.OperationalError("disk I/O"))

        return work

    async with held(writer):
        answers = [writer.group.submit(locked(n)) for n in range(3)]
    got = await asyncio.gather(*answers, return_exceptions=True)
    assert [type(error) for error in got] == [sa.exc.OperationalError] * 3
    assert (tried, writer.lines()) == ([0, 1], [])
    assert await writer.group.submit(line("after")) == "after"


async def test_a_database_that_is_not_there_is_everybodys_error(tmp_path: Path) -> None:
    """No connection, no transaction; once it is there, it is used."""
    engine = sa.create_engine(f"sqlite:///{tmp_path}/not/yet.db")
    group = GroupCommit(engine)
    with pytest.raises(sa.exc.OperationalError):
        await group.submit(line("lost"))
    (tmp_path / "not").mkdir()
    assert await group.submit(lambda c: c.exec_driver_sql("SELECT 1").scalar()) == 1
    await group.close()
    engine.dispose()


async def test_a_batch_that_takes_long_is_stored_in_parts(engine: Engine, file: Path) -> None:
    """The event loop is not held by all of it; the order stays."""
    writer = Writer(GroupCommit(engine, batch_s=0.0), file)
    sa.event.listen(engine, "commit", writer.count)
    words = [f"line {n}" for n in range(3)]
    assert await asyncio.gather(*(writer.group.submit(line(one)) for one in words)) == words
    assert (writer.lines(), writer.commits) == (words, 3)
    await writer.group.close()


async def test_a_loop_that_ends_leaves_nothing_half_done(writer: Writer) -> None:
    """What was not committed is not there, and the next loop's works are stored."""

    async def ask_and_go() -> None:
        with closing(sqlite3.connect(writer.file, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            writer.group.submit(line("nobody waits"))
            await asyncio.sleep(0)

    await asyncio.to_thread(asyncio.run, ask_and_go())
    assert await writer.group.submit(line("later")) == "later"
    assert writer.lines() == ["later"]


async def test_a_caller_who_went_away_hurts_nobody(writer: Writer) -> None:
    """What it asked for is stored all the same, failed or not."""

    def fails(_connection: Connection) -> None:
        raise LookupError

    async with held(writer):
        stored, failed = writer.group.submit(line("gone")), writer.group.submit(fails)
        waits = writer.group.submit(line("waits"))
        stored.cancel()
        failed.cancel()
    assert await waits == "waits"
    assert writer.lines() == ["gone", "waits"]


async def test_closing_waits_for_what_was_asked(writer: Writer) -> None:
    """Everything that came before is stored and answered, also more than a batch."""
    words = [f"line {n:03}" for n in range(BATCH_MAX + 5)]
    async with held(writer):
        answers = [writer.group.submit(line(one)) for one in words]
        closing_it = asyncio.create_task(writer.group.close())
        await asyncio.sleep(0)
        assert not closing_it.done()
    await closing_it
    assert await asyncio.gather(*answers) == words
    assert writer.lines() == words
    assert not [thread for thread in threading.enumerate() if "store-writer" in thread.name]


async def test_nothing_is_taken_after_the_close(writer: Writer) -> None:
    """Not even while it goes on: nobody would do it, and its caller would wait for ever."""
    async with held(writer):
        closing_it = asyncio.create_task(writer.group.close())
        await asyncio.sleep(0)
        with pytest.raises(sa.exc.InvalidRequestError, match="closed"):
            writer.group.submit(line("late"))
    await closing_it
    with pytest.raises(sa.exc.InvalidRequestError, match="closed"):
        writer.group.submit(line("later"))
    await writer.group.close()
    assert writer.lines() == []


async def test_a_group_that_was_never_used_is_closed_at_once(engine: Engine) -> None:
    """There is no thread."""
    await GroupCommit(engine).close()
    assert not [thread for thread in threading.enumerate() if "store-writer" in thread.name]
