"""The second tier in a file: what may happen to the file, and to those who wait for it."""

import asyncio
import sqlite3
from collections.abc import Callable, Coroutine, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from threading import Event
from types import NoneType
from typing import Any

import pytest

from cache.port import Stored, TierFailed, ValueRefused
from cache.sqlite import STEP_ROWS, SqliteTier
from tests.contract.test_cache_tiers import stored
from tests.fakes.clock import NOON

CANCEL_POINTS = 40
SECRET = b"what nobody else should read"


class SetClock:
    """A wall clock, in seconds, that is set."""

    def __init__(self) -> None:
        self.ahead = timedelta()

    def __call__(self) -> float:
        """Noon, or so much later."""
        return (NOON + self.ahead).timestamp()


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


async def missing(tier: SqliteTier, count: int) -> list[int]:
    """Which of the numbers below `count` are no keys."""
    return [number for number in range(count) if await tier.get(str(number)) is None]


def asked(file: Path, question: str) -> Any:
    """What SQLite itself says about the file."""
    with closing(sqlite3.connect(file)) as connection:
        return connection.execute(question).fetchone()[0]


def fill_with_garbage(file: Path, size_bytes: int) -> None:
    """Something that is no database where it should be."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.unlink(missing_ok=True)
    file.write_bytes(b"\xff" * size_bytes)


def damage(file: Path) -> None:
    """Overwrite all of it, where it is."""
    size_bytes = file.stat().st_size
    with file.open("r+b") as damaged:
        damaged.write(b"\xaa" * size_bytes)


def inode(file: Path) -> int:
    """Which file has the name."""
    return file.stat().st_ino


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


async def test_a_file_that_is_no_database_and_can_not_be_renamed(file: Path) -> None:
    """Stays a failure of the tier."""
    fill_with_garbage(file, 5_000)
    file.with_name("cache.db.broken").mkdir()
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
    batch = {str(number): stored(b"new", at=NOON + timedelta(minutes=1)) for number in range(200)}
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
    """The oldest go, as few as must; a bound that is just kept drops nothing."""
    async with SqliteTier(file, bytes_max=5_000, now=NOON.timestamp) as tier:
        at = [NOON + timedelta(seconds=number) for number in range(5)]
        await tier.put({str(n): stored(bytes(1_000), at=at[n]) for n in (3, 0, 4, 1, 2)})
        await tier.sweep(NOON)
        assert await missing(tier, 5) == []
    async with SqliteTier(file, bytes_max=3_333, now=NOON.timestamp) as tier:
        await tier.sweep(NOON)
        assert await missing(tier, 5) == [0, 1, 2]  # 90 %: 2 999


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


# --- one thread that reads, one that writes


async def test_a_read_does_not_wait_for_a_write(file: Path) -> None:
    """While a write waits for another process, values are found."""
    async with SqliteTier(file) as tier:
        await tier.put({"a": stored()})
        with closing(sqlite3.connect(file, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            writing = asyncio.create_task(tier.put({"b": stored()}))
            assert await tier.get("a") == stored()
            assert not writing.done()
        await writing
        assert await tier.get("b") == stored()


async def test_a_write_has_its_turn_in_a_sweep(file: Path) -> None:
    """It does not wait until all is removed."""
    async with SqliteTier(file, now=NOON.timestamp) as tier:
        count = 5 * STEP_ROWS + 1
        await tier.put({str(number): stored(kept_s=1) for number in range(count)})
        sweep = asyncio.create_task(tier.sweep(NOON + timedelta(seconds=1)))
        put = asyncio.create_task(tier.put({"a": stored()}))
        done, _ = await asyncio.wait({sweep, put}, return_when=asyncio.FIRST_COMPLETED)
        assert done == {put}
        await sweep
        assert len(await missing(tier, count)) == count
        assert await tier.get("a") == stored()


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Event:
    """No file is opened before it is set."""
    opens, connect = Event(), sqlite3.connect

    def connect_then(path: Path, **more: Any) -> sqlite3.Connection:
        opens.wait()
        return connect(path, **more)  # type: ignore[no-any-return]

    monkeypatch.setattr(sqlite3, "connect", connect_then)
    return opens


async def test_a_call_that_was_cancelled_before_its_turn(file: Path, gate: Event) -> None:
    """Is never done; those round it are, in their order."""
    async with SqliteTier(file) as tier:
        calls = [asyncio.create_task(tier.put({str(number): stored()})) for number in range(3)]
        await asyncio.sleep(0)
        calls[1].cancel()
        await asyncio.wait({calls[1]})
        gate.set()
        await calls[2]
        assert calls[0].done()
        assert await missing(tier, 3) == [1]


async def test_a_file_that_hangs(file: Path, gate: Event) -> None:
    """Takes neither the loop's threads nor, at the end, more time than that; what has not begun
    never does."""
    asyncio.get_running_loop().set_default_executor(one := ThreadPoolExecutor(1))
    async with SqliteTier(file, close_within_s=0.01) as tier:
        calls = [asyncio.create_task(tier.put({str(number): stored()})) for number in range(3)]
        calls += [asyncio.create_task(tier.forget("me"))]
        assert await asyncio.to_thread(lambda: "free") == "free"
    assert not calls[0].done()
    gate.set()
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [NoneType, *[asyncio.CancelledError] * 3]
    one.shutdown()
    async with SqliteTier(file) as tier:
        assert await missing(tier, 3) == [1, 2]


async def test_after_it_was_closed(file: Path) -> None:
    """It fails, and does not open the file again."""
    tier = SqliteTier(file)
    for _ in range(2):
        async with tier:
            pass
    for call in (tier.get("a"), tier.put({"a": stored()})):
        with pytest.raises(TierFailed, match="closed"):
            await call
    assert not file.parent.exists()


# --- how large it is


async def test_a_put_holds_the_bound(file: Path) -> None:
    """At any time, without a sweep; as few of the oldest go as must, in as many steps as it takes,
    and what is replaced or forgotten is not counted."""
    async with SqliteTier(file, bytes_max=300_000, now=NOON.timestamp) as tier:
        for number in range(300):
            at = NOON + number * timedelta(milliseconds=1)
            await tier.put({str(number): stored(bytes(500), at=at)})
            await tier.put({str(number): stored(bytes(1_000), at=at)})
        await tier.put({"a": stored(bytes(9_000), at=NOON + timedelta(seconds=1), tag="me")})
        assert await missing(tier, 300) == list(range(39))
        await tier.forget("me")
        assert asked(file, "SELECT bytes FROM cache_size") == 261_000
        await tier.put({"b": stored(bytes(250_000), at=NOON + timedelta(minutes=1))})
        assert await missing(tier, 300) == list(range(280))
        assert asked(file, "SELECT bytes FROM cache_size") == 270_000


async def test_what_is_kept_no_longer_makes_room(file: Path) -> None:
    """Before anything else is dropped."""
    async with SqliteTier(file, bytes_max=3_000, now=NOON.timestamp) as tier:
        await tier.put({"0": stored(bytes(2_500), at=NOON - timedelta(days=1))})
        await tier.put({"1": stored(bytes(2_900), at=NOON - timedelta(days=2), kept_s=1e6)})
        assert await missing(tier, 2) == [0]


async def test_the_bound_is_of_all_processes(file: Path) -> None:
    """Each counts also what the others have stored."""
    async with (
        SqliteTier(file, bytes_max=3_000, now=NOON.timestamp) as one,
        SqliteTier(file, bytes_max=3_000, now=NOON.timestamp) as two,
    ):
        for number, tier in enumerate((one, two) * 3):
            await tier.put({str(number): stored(bytes(1_000), at=NOON + timedelta(0, number))})
        assert await missing(one, 6) == await missing(two, 6) == [0, 1, 2, 3]


async def test_a_sweep_makes_the_file_small(file: Path) -> None:
    """It gives back what it no longer needs, in the log too."""
    async with SqliteTier(file, now=NOON.timestamp) as tier:
        await tier.put({str(number): stored(bytes(50_000)) for number in range(200)})
        await tier.put({"a": stored(kept_s=1e9)})
        assert len(bytes_of(file)) > 10_000_000
        await tier.sweep(NOON + timedelta(days=1))
        assert len(bytes_of(file)) < 200_000
        assert await tier.get("a") == stored(kept_s=1e9)


async def test_a_sweep_while_another_process_reads(file: Path) -> None:
    """Is no failure: the log is cleared the next time."""
    async with SqliteTier(file, busy_timeout_s=0.01) as tier:
        await tier.put({"a": stored()})
        with closing(sqlite3.connect(file, isolation_level=None)) as other:
            other.execute("BEGIN")
            other.execute("SELECT * FROM cache_entries").fetchall()
            await tier.sweep(NOON + timedelta(days=1))
        assert await tier.get("a") is None


async def test_a_file_of_an_earlier_version(file: Path) -> None:
    """Keeps what is in it, and its ways; its values are counted."""
    file.parent.mkdir(parents=True)
    with closing(sqlite3.connect(file)) as earlier, earlier:
        earlier.execute("PRAGMA auto_vacuum=NONE")
        earlier.execute("PRAGMA journal_mode=WAL")
        earlier.execute(
            "CREATE TABLE cache_entries (key TEXT PRIMARY KEY, value BLOB NOT NULL, stored_at REAL "
            "NOT NULL, fresh_until REAL NOT NULL, kept_until REAL NOT NULL, tag TEXT)"
        )
        rows = [(str(number), bytes(1_000), NOON.timestamp() + number) for number in range(4)]
        earlier.executemany("INSERT INTO cache_entries VALUES (?, ?, ?, 0, 1e10, NULL)", rows)
    async with SqliteTier(file, bytes_max=4_000, now=NOON.timestamp) as tier:
        await tier.sweep(NOON)
        assert await missing(tier, 4) == []
        await tier.put({"4": stored(b"new", at=NOON + timedelta(minutes=1))})
        assert await missing(tier, 5) == [0]
    assert asked(file, "PRAGMA auto_vacuum") == 0


# --- a clock that was ahead


async def test_what_was_stored_while_a_clock_was_ahead(file: Path) -> None:
    """Is replaced by what is older by its own word; up to five minutes nobody can tell."""
    clock = SetClock()
    in_future, in_doubt = NOON + timedelta(minutes=5, seconds=1), NOON + timedelta(minutes=5)
    async with SqliteTier(file, now=clock) as tier:
        await tier.put({"a": stored(b"then", at=in_future), "b": stored(b"then", at=in_doubt)})
        await tier.put({"a": stored(b"now"), "b": stored(b"now")})
        assert await tier.get("a") == stored(b"now")
        assert await tier.get("b") == stored(b"then", at=in_doubt)
        await tier.put({"a": stored(b"then", at=in_future)})
        clock.ahead = timedelta(seconds=1)
        await tier.put({"a": stored(b"now")})
        assert await tier.get("a") == stored(b"then", at=in_future)


async def test_the_future_is_swept(file: Path) -> None:
    """So it leaves room for what is new."""
    async with SqliteTier(file, bytes_max=3_000, now=NOON.timestamp) as tier:
        await tier.put({"0": stored(at=NOON + timedelta(minutes=6)), "1": stored()})
        await tier.sweep(NOON)
        assert await missing(tier, 2) == [0]
        await tier.put({"2": stored(bytes(3_000), at=NOON + timedelta(days=3650))})
        assert await missing(tier, 3) == [0, 2]


# --- what was forgotten


async def test_what_was_forgotten_does_not_come_back(file: Path) -> None:
    """By a put that is late, of whatever process; nor does it spoil what is beside it. What is made
    after it is stored."""
    clock = SetClock()
    async with SqliteTier(file, now=clock) as one, SqliteTier(file, now=clock) as two:
        late, beside = stored(tag="me"), stored(tag="you")
        await one.forget("me")
        for tier in (one, two):
            await tier.put({"a": late, "b": beside, "c": stored()})
            assert [await tier.get(key) for key in "abc"] == [None, beside, stored()]
        after = stored(at=NOON + timedelta(seconds=1), tag="me")
        await two.put({"a": after})
        assert await one.get("a") == after
        clock.ahead = timedelta(seconds=-1)  # the clock is set back: what was forgotten stays so
        await one.forget("me")
        await one.put({"a": late})
        assert await one.get("a") is None


@pytest.mark.parametrize(
    ("forgot", "swept", "comes_back"),
    [
        (timedelta(), timedelta(days=30), False),
        (timedelta(), timedelta(days=30, seconds=1), True),
        (timedelta(minutes=5), timedelta(), False),
        (timedelta(minutes=5, seconds=1), timedelta(), True),
    ],
)
async def test_how_long_a_forgotten_tag_is_remembered(
    file: Path, forgot: timedelta, swept: timedelta, *, comes_back: bool
) -> None:
    """For thirty days; not when a clock was ahead, or nothing could be stored until then."""
    clock = SetClock()
    async with SqliteTier(file, now=clock) as tier:
        clock.ahead = forgot
        await tier.forget("me")
        clock.ahead = swept
        await tier.sweep(NOON)
        await tier.put({"a": stored(tag="me")})
        assert (await tier.get("a") is not None) == comes_back


async def test_forgetting_is_whole(file: Path) -> None:
    """When it fails, nothing is removed and nothing is remembered."""
    async with SqliteTier(file, now=NOON.timestamp) as tier:
        await tier.put({"a": stored(tag="me")})
        with closing(sqlite3.connect(file)) as other:
            other.execute(
                "CREATE TRIGGER fails BEFORE DELETE ON cache_entries BEGIN "
                "SELECT RAISE(ROLLBACK, 'no'); END"
            )
        with pytest.raises(TierFailed):
            await tier.forget("me")
        assert await tier.get("a") == stored(tag="me")
    assert asked(file, "SELECT COUNT(*) FROM forgotten") == 0


async def test_what_is_deleted_is_overwritten(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where SQLite was built not to."""
    opened, connect = [], sqlite3.connect

    def connect_without(path: Path, **more: Any) -> sqlite3.Connection:
        connection: sqlite3.Connection = connect(path, **more)
        connection.execute("PRAGMA secure_delete=OFF")
        opened.append(connection)
        return connection

    monkeypatch.setattr(sqlite3, "connect", connect_without)
    async with SqliteTier(file) as tier:
        await tier.put({"a": stored(SECRET, tag="me")})
        await tier.get("a")
        on = [connection.execute("PRAGMA secure_delete").fetchone() for connection in opened]
        assert on == [(1,), (1,)]
        await tier.forget("me")
        assert SECRET not in bytes_of(file)


# --- a file that is damaged, or another one


def beside(file: Path, end: str) -> Path:
    """The file whose name is so much longer."""
    return file.with_name(file.name + end)


async def test_a_file_that_is_no_database_is_kept(file: Path) -> None:
    """By another name, which only the next such file takes from it."""
    for size_bytes in (5_000, 6_000):
        fill_with_garbage(file, size_bytes)
        async with SqliteTier(file) as tier:
            with pytest.raises(TierFailed):
                await tier.put({"a": stored()})
            await tier.put({"a": stored()})
        assert beside(file, ".broken").read_bytes() == b"\xff" * size_bytes


async def test_two_processes_with_a_damaged_file(file: Path) -> None:
    """One begins anew, the other one notices: what either stores then, both find."""
    async with SqliteTier(file) as one, SqliteTier(file) as two:
        await one.put({str(number): stored(bytes(20_000)) for number in range(200)})
        await one.forget("nobody")
        await two.get("0")
        await two.put({"mine": stored()})
        await two.forget("nobody")
        damage(file)
        with pytest.raises(TierFailed):
            await one.forget("me")
        await one.put({"a": stored(b"one")})
        made = inode(file)
        await two.put({"b": stored(b"two")})
        for tier in (one, two):
            assert await tier.get("a") == stored(b"one")
            assert await tier.get("b") == stored(b"two")
            assert await tier.get("0") is None
        assert inode(file) == made
        assert beside(file, ".broken").read_bytes()[:100] == b"\xaa" * 100
    async with SqliteTier(file) as tier:
        assert await tier.get("b") == stored(b"two")


async def test_a_reader_that_finds_the_damage(file: Path) -> None:
    """Begins anew as well; the writer follows."""
    async with SqliteTier(file) as tier:
        await tier.put({str(number): stored(bytes(20_000)) for number in range(200)})
        await tier.forget("nobody")
        damage(file)
        with pytest.raises(TierFailed):
            await tier.get("150")
        await tier.put({"a": stored()})
        assert await tier.get("a") == stored()


async def test_a_new_file_is_not_set_aside_for_an_old_one(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When another process was faster, it is its file that is used."""
    fill_with_garbage(file, 5_000)
    connect = sqlite3.connect

    def replaced(path: Path, **_: Any) -> sqlite3.Connection:
        monkeypatch.setattr(sqlite3, "connect", connect)
        path.rename(beside(path, ".theirs"))
        with closing(connect(path)) as other, other:
            other.execute("CREATE TABLE theirs (a)")
        raise sqlite3.DatabaseError("file is not a database")

    monkeypatch.setattr(sqlite3, "connect", replaced)
    async with SqliteTier(file) as tier:
        with pytest.raises(TierFailed):
            await tier.get("a")
        await tier.put({"a": stored()})
        assert await tier.get("a") == stored()
    assert not beside(file, ".broken").exists()
    assert asked(file, "SELECT COUNT(*) FROM theirs") == 0


@pytest.mark.parametrize("ends", [("",), ("", "-wal", "-shm")])
async def test_a_file_that_is_removed_while_it_is_open(file: Path, ends: tuple[str, ...]) -> None:
    """Is made again, empty, and no old log is read into it."""
    async with SqliteTier(file) as tier:
        await tier.put({"a": stored(SECRET)})
        await tier.get("a")
        for end in ends:
            beside(file, end).unlink()
        assert await tier.get("a") is None
        await tier.put({"b": stored()})
        assert await tier.get("b") == stored()
        assert SECRET not in bytes_of(file)
    async with SqliteTier(file) as tier:
        assert await tier.get("b") == stored()


async def test_a_damaged_file_goes_with_the_first_forget(file: Path) -> None:
    """Nobody can tell any more whose values it holds; what is forgotten must be in no file."""
    fill_with_garbage(file, 5_000)
    async with SqliteTier(file) as tier:
        with pytest.raises(TierFailed):
            await tier.get("a")
        assert beside(file, ".broken").exists()
        await tier.forget("ada")
        assert not beside(file, ".broken").exists()
