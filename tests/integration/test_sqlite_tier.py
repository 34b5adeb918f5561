"""The second tier in a file: what may happen to the file, and to those who wait for it."""

import asyncio
import sqlite3
from collections.abc import Callable, Coroutine, Mapping
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from cache.port import Stored, TierFailed, ValueRefused
from cache.sqlite import SqliteTier
from tests.contract.test_cache_tiers import stored
from tests.fakes.clock import NOON

CANCEL_POINTS = 40
SECRET = b"what nobody else should read"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Where the cache is kept, in a folder that is not there yet."""
    return tmp_path / "not" / "there" / "cache.db"


async def write(file: Path, entries: Mapping[str, Stored]) -> None:
    """A process that stores, and ends."""
    async with SqliteTier(file) as tier:
        await tier.put(entries)


def bytes_of(file: Path) -> bytes:
    """All that is in the file and in those beside it."""
    return b"".join(each.read_bytes() for each in sorted(file.parent.glob(file.name + "*")))


def fill_with_garbage(file: Path, size_bytes: int) -> None:
    """Something that is no database where it should be."""
    file.parent.mkdir(parents=True)
    file.write_bytes(b"\xff" * size_bytes)


async def test_a_folder_that_is_missing_is_made(file: Path) -> None:
    """And what is stored in it is there after a restart."""
    await write(file, {"a": stored()})
    async with SqliteTier(file) as tier:
        assert await tier.get("a") == stored()


async def test_no_file_is_made_before_the_first_use(file: Path) -> None:
    """Nor when nothing is used."""
    async with SqliteTier(file):
        pass
    assert not file.parent.exists()


async def test_a_folder_that_can_not_be_made(tmp_path: Path) -> None:
    """Is a failure of the tier, each time."""
    (tmp_path / "a file").touch()
    async with SqliteTier(tmp_path / "a file" / "cache.db") as tier:
        for _ in range(2):
            with pytest.raises(TierFailed, match=r"cache\.db"):
                await tier.get("a")


async def test_a_folder_where_the_file_should_be(tmp_path: Path) -> None:
    """Is a failure of the tier; the folder stays."""
    async with SqliteTier(tmp_path) as tier:
        for _ in range(2):
            with pytest.raises(TierFailed, match="unable to open"):
                await tier.get("a")


@pytest.mark.parametrize("size_bytes", [100, 5_000])
async def test_a_file_that_is_no_database_is_begun_anew(file: Path, size_bytes: int) -> None:
    """One question fails, the next one finds an empty cache."""
    fill_with_garbage(file, size_bytes)
    async with SqliteTier(file) as tier:
        with pytest.raises(TierFailed):
            await tier.get("a")
        assert await tier.get("a") is None
        await tier.put({"a": stored()})
        assert await tier.get("a") == stored()


async def test_a_file_that_is_no_database_and_can_not_be_removed(file: Path) -> None:
    """Stays a failure of the tier."""
    fill_with_garbage(file, 5_000)
    file.with_name("cache.db-shm").mkdir()
    async with SqliteTier(file) as tier:
        for _ in range(2):
            with pytest.raises(TierFailed):
                await tier.get("a")


@pytest.mark.parametrize("left_bytes", [0, 100, 4_096, 6_000, 40_960])
async def test_a_truncated_file_is_begun_anew(file: Path, left_bytes: int) -> None:
    """After some questions at most, values are stored and found again."""
    await write(file, {str(number): stored(bytes(1_000)) for number in range(200)})
    with file.open("r+b") as whole:
        whole.truncate(left_bytes)
    async with SqliteTier(file) as tier:
        await usable_again(tier)


@pytest.mark.parametrize("left_bytes", [0, 100, 4_096, 6_000])
async def test_a_file_that_is_truncated_while_it_is_open(file: Path, left_bytes: int) -> None:
    """The same, without a restart."""
    async with SqliteTier(file) as tier:
        # More than its connection remembers.
        await tier.put({str(number): stored(bytes(20_000)) for number in range(200)})
        await tier.forget("nobody")  # also moves everything into the file
        with file.open("r+b") as whole:
            whole.truncate(left_bytes)
        await usable_again(tier)


async def usable_again(tier: SqliteTier) -> None:
    """Use the tier until it works; it may fail only a few times."""
    batch = {str(number): stored(b"new", at=NOON + timedelta(days=1)) for number in range(200)}
    for attempt in range(5):
        try:
            await tier.put(batch)
            await tier.forget("nobody")
            await tier.sweep(NOON)
            assert [await tier.get(key) for key in batch] == list(batch.values())
        except TierFailed:
            assert attempt < 4
        else:
            return


async def test_a_locked_file_is_a_failure_of_the_tier(file: Path) -> None:
    """For a while: what another process does is waited for, but not for long."""
    await write(file, {"a": stored()})
    async with SqliteTier(file, busy_timeout_s=0.01) as tier:
        await tier.get("a")
        with closing(sqlite3.connect(file, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(TierFailed, match="locked"):
                await tier.put({"b": stored()})
            with pytest.raises(TierFailed, match="locked"):
                await tier.forget("me")
            assert await tier.get("a") == stored()
        await tier.put({"b": stored()})
        assert await tier.get("b") == stored()


async def test_a_forget_is_not_done_before_the_log_is_clear(file: Path) -> None:
    """While another process reads, the bytes are still there: it is told to try again."""
    async with SqliteTier(file, busy_timeout_s=0.01) as tier:
        await tier.put({"a": stored(SECRET, tag="me")})
        with closing(sqlite3.connect(file, isolation_level=None)) as other:
            other.execute("BEGIN")
            other.execute("SELECT * FROM cache_entries").fetchall()
            with pytest.raises(TierFailed, match="in use"):
                await tier.forget("me")
            assert await tier.get("a") is None
        await tier.forget("me")
        assert SECRET not in bytes_of(file)


async def test_a_file_that_may_only_be_read(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is in it is found; nothing is stored, and it is not begun anew."""
    await write(file, {"a": stored()})
    connect = sqlite3.connect

    def connect_to_read(path: Path, **more: Any) -> sqlite3.Connection:
        connection: sqlite3.Connection = connect(path, **more)
        connection.execute("PRAGMA query_only=ON")
        return connection

    monkeypatch.setattr(sqlite3, "connect", connect_to_read)
    async with SqliteTier(file) as tier:
        for _ in range(2):
            with pytest.raises(TierFailed, match="readonly"):
                await tier.put({"b": stored()})
        assert await tier.get("a") == stored()


async def test_what_was_forgotten_is_in_no_byte_of_the_files(file: Path) -> None:
    """Neither of a small value nor of a large one, nor of one that was replaced before."""
    async with SqliteTier(file) as tier:
        others = {str(number): stored(bytes(700)) for number in range(100)}
        await tier.put(others)
        await tier.put({"a": stored(SECRET, tag="me"), "b": stored(SECRET * 1_000, tag="me")})
        await tier.put({"a": stored(b"newer" + SECRET, at=NOON + timedelta(1), tag="me")})
        await tier.put(others)
        assert SECRET in bytes_of(file)
        await tier.forget("me")
        assert SECRET not in bytes_of(file)
        assert [await tier.get(key) for key in others] == list(others.values())
    assert SECRET not in bytes_of(file)


async def test_two_processes_share_a_file(file: Path) -> None:
    """Each sees what the other has stored and forgotten; their writes wait for each other."""
    async with SqliteTier(file) as one, SqliteTier(file) as two:
        await one.put({"a": stored(tag="me")})
        assert await two.get("a") == stored(tag="me")
        writes = [
            tier.put({f"{name}{number}": stored()})
            for number in range(20)
            for name, tier in (("one", one), ("two", two))
        ]
        await asyncio.gather(*writes)
        assert await one.get("two19") == await two.get("one19") == stored()
        await two.forget("me")
        assert await one.get("a") is None


async def test_what_is_too_much_is_swept(file: Path) -> None:
    """The oldest go, to the last byte that is allowed."""
    async with SqliteTier(file, bytes_max=3_000) as tier:
        at = [NOON + timedelta(seconds=number) for number in range(5)]
        await tier.put({str(n): stored(bytes(1_000), at=at[n]) for n in (3, 0, 4, 1, 2)})
        await tier.sweep(NOON)
        assert [await tier.get(str(n)) is None for n in range(5)] == [True, True, *[False] * 3]


@pytest.mark.parametrize("bytes_max", [0, -1])
def test_a_bound_that_is_none(file: Path, bytes_max: int) -> None:
    """Is refused, by name."""
    with pytest.raises(ValueError, match=r"^bytes_max: "):
        SqliteTier(file, bytes_max=bytes_max)


@pytest.mark.parametrize(
    "changes", [{"data": None}, {"data": object()}, {"tag": "\ud800"}, {"data": 2**70}]
)
async def test_a_value_that_no_column_takes(file: Path, changes: dict[str, Any]) -> None:
    """Is refused with all of its batch, and harms nothing that is stored."""
    async with SqliteTier(file) as tier:
        await tier.put({"a": stored()})
        with pytest.raises(ValueRefused) as refused:
            await tier.put({"b": stored(), "c": replace(stored(), **changes)})
        assert not refused.value.transient
        assert [await tier.get(key) for key in "abc"] == [stored(), None, None]


@pytest.mark.parametrize("instant", ["soon", 1e300, b""])
async def test_a_row_that_somebody_else_has_written(file: Path, instant: Any) -> None:
    """Is a failure to read that one, no more."""
    async with SqliteTier(file) as tier:
        await tier.put({"a": stored(), "b": stored()})
        with closing(sqlite3.connect(file)) as other, other:
            other.execute("UPDATE cache_entries SET kept_until = ? WHERE key = 'a'", (instant,))
        with pytest.raises(TierFailed):
            await tier.get("a")
        assert await tier.get("b") == stored()


@pytest.mark.parametrize("use", ["get", "put", "forget", "sweep"])
async def test_cancelled_callers_leave_no_lock(file: Path, use: str) -> None:
    """At whatever point: the next one gets its turn, and what was written is whole."""
    batch = {"a": stored(tag="me"), "b": stored(tag="me")}
    async with SqliteTier(file) as tier, SqliteTier(file) as other:
        uses: dict[str, Callable[[], Coroutine[Any, Any, object]]] = {
            "get": lambda: tier.get("a"),
            "put": lambda: tier.put(batch),
            "forget": lambda: tier.forget("me"),
            "sweep": lambda: tier.sweep(NOON),
        }
        await tier.put({"kept": stored()})
        for turns in range(CANCEL_POINTS):
            task = asyncio.create_task(uses[use]())
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait({task})
            await other.put({str(turns): stored()})
            assert await tier.get(str(turns)) == stored()
    with closing(sqlite3.connect(file)) as connection:
        keys = {key for (key,) in connection.execute("SELECT key FROM cache_entries")}
    assert {"kept", *map(str, range(CANCEL_POINTS))} == keys - {"a", "b"}
    assert len(keys & {"a", "b"}) in (0, 2)
