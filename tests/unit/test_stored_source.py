"""A source that is read from the store, and from outside on its period; the background reader."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import pytest

from agents.discovery.port import Reading, ShelfState, SourceFailed, Validators
from agents.discovery.refresh import KEPT_FOR, FeedRefresher
from agents.discovery.spending import Spending, charge, paid_by
from agents.discovery.stored import Fetched, Refreshed, StoredSource
from cache.single_flight import SingleFlight
from cache.tiered import TieredCache
from tests.fakes.caches import memory_readings
from tests.fakes.clock import NOON, FixedClock
from tests.fakes.opportunities import opportunity
from tests.fakes.shelf import MemoryShelf

A, B = opportunity(id="a"), opportunity(id="b")
HOUR = 3600.0


@dataclass
class FakeFetcher:
    """Gives what the test wants: `answers` in turn (the last one again and again), or hangs."""

    answers: list[Fetched | Exception | None] = field(default_factory=list)
    label: str = "a-feed"
    period_s: float = HOUR
    pause_s: float = 5.0
    deadline_s: float | None = None
    patience_s: float | None = 60.0
    known: list[Validators] = field(default_factory=list)
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    asked: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.key = self.label
        self.gate.set()

    @property
    def fetches(self) -> int:
        """How often it was asked."""
        return len(self.known)

    async def stored(self) -> None:
        """Nothing is owed."""

    async def fetch(self, known: Validators) -> Fetched | None:
        """The next answer, when the gate is open."""
        self.known.append(known)
        self.asked.set()
        await self.gate.wait()
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


def found(*postings: object, **changes: object) -> Fetched:
    """A fetch that brought these."""
    return Fetched(opportunities=postings or (A,), **changes)  # type: ignore[arg-type]


@dataclass
class Room:
    """A source with its fakes."""

    clock: FixedClock
    shelf: MemoryShelf
    work: SingleFlight[Refreshed]
    readings: TieredCache[Fetched]

    def source(self, fetcher: FakeFetcher) -> StoredSource:
        """The source over the fetcher."""
        return StoredSource(fetcher, self.shelf, self.clock, self.work, self.readings)

    async def state(self, key: str = "a-feed") -> ShelfState:
        """What is known of the last reading."""
        state = await self.shelf.state(key)
        assert state is not None
        return state


@pytest.fixture
async def room() -> AsyncIterator[Room]:
    """A clock that stands still and an empty shelf."""
    async with SingleFlight[Refreshed]() as work:
        clock = FixedClock()
        yield Room(clock, MemoryShelf(), work, memory_readings(clock))


DOWN = SourceFailed("a-feed: it answered 500")


# --- the clock, and other processes -----------------------------------------------------------


async def test_a_clock_that_was_ahead_freezes_no_source(room: Room) -> None:
    """A reading from the future is not believed: the source is read again at once."""
    fetcher = FakeFetcher([found(A), found(A, B)])
    room.clock.advance(30 * 24 * HOUR)
    await room.source(fetcher).read()
    room.clock, room.readings = FixedClock(), memory_readings(FixedClock())
    source = room.source(fetcher)
    assert await source.due_in_s() == 0
    assert len((await source.read()).opportunities) == 2
    assert (await room.state()).fetched_at == NOON
    assert 0 < await source.due_in_s() <= HOUR


async def test_what_another_process_read_in_part_does_not_replace_the_whole(room: Room) -> None:
    """It is compared with what the cache has, also by one whose own store is empty."""
    whole, part = FakeFetcher([found(A, B)]), FakeFetcher([found(A, partial=True)])
    await room.source(whole).read()
    room.clock.advance(HOUR)
    room.shelf = MemoryShelf()
    reading = await room.source(part).read()
    assert [o.id for o in reading.opportunities] == ["a", "b"]
    assert reading.from_cache


async def test_a_shorter_period_holds_at_once(room: Room) -> None:
    """What was current for six hours is not, once the operator wants it every hour."""
    fetcher = FakeFetcher([found(A), found(A, B)], period_s=6 * HOUR)
    await room.source(fetcher).read()
    room.clock.advance(2 * HOUR)
    fetcher.period_s = HOUR
    assert len((await room.source(fetcher).read()).opportunities) == 2


# --- reading ----------------------------------------------------------------------------------


async def test_the_first_reading_is_fetched_the_next_is_stored(room: Room) -> None:
    """Within the period nobody is asked, and the reading says that it is stored."""
    fetcher = FakeFetcher([found(A, B, unreadable={"no title": 1})])
    first = await room.source(fetcher).read()
    assert (first.from_cache, first.stored, first.opportunities) == (False, True, (
        replace(A, fetched_at=NOON), replace(B, fetched_at=NOON)))  # fmt: skip
    room.clock.advance(HOUR - 1)
    second = await room.source(fetcher).read()
    assert (second.from_cache, second.stored, second.notice) == (True, True, None)
    assert second.unreadable == {"no title": 1}
    assert second.opportunities == first.opportunities
    assert fetcher.fetches == 1


async def test_after_its_period_it_is_asked_with_the_version_that_is_known(room: Room) -> None:
    """And what has gone from the answer is current no more."""
    version = Validators(etag='"1"')
    fetcher = FakeFetcher([found(A, B, validators=version), found(B)])
    await room.source(fetcher).read()
    room.clock.advance(HOUR)
    reading = await room.source(fetcher).read()
    assert [o.id for o in reading.opportunities] == ["b"]
    assert not reading.from_cache
    assert fetcher.known == [Validators(), version]


async def test_an_unchanged_answer_makes_the_postings_current(room: Room) -> None:
    """They were seen at the instant of the answer, whose version stays known."""
    version = Validators(last_modified="Mon, 01 Jun 2026 10:00:00 GMT")
    fetcher = FakeFetcher([found(A, validators=version), None])
    await room.source(fetcher).read()
    room.clock.advance(HOUR)
    reading = await room.source(fetcher).read()
    assert [o.fetched_at for o in reading.opportunities] == [NOON + timedelta(hours=1)]
    assert not reading.from_cache
    assert (await room.state()).validators == version
    room.clock.advance(HOUR - 1)
    assert (await room.source(fetcher).read()).from_cache


async def test_a_slow_source_gives_what_is_stored(room: Room) -> None:
    """After a moment's patience, with a notice of the age; the refresh goes on and is stored."""
    fetcher = FakeFetcher([found(A), found(B)])
    await room.source(fetcher).read()
    room.clock.advance(2 * HOUR)
    fetcher.gate.clear()
    fetcher.patience_s = 0.001
    reading = await room.source(fetcher).read()
    assert [o.id for o in reading.opportunities] == ["a"]
    assert reading.from_cache
    assert reading.notice == "a-feed: its postings here are 2 h old; it is being read again"
    fetcher.gate.set()
    assert (await room.source(fetcher).refresh_shared()).fetched_at == room.clock.now()
    assert [o.id for o in (await room.source(fetcher).read()).opportunities] == ["b"]
    assert fetcher.fetches == 2


async def test_a_failure_leaves_what_is_stored_and_says_so(room: Room) -> None:
    """Also to the next scout, which does not ask again before the pause is over."""
    fetcher = FakeFetcher([found(A), DOWN, found(B)])
    await room.source(fetcher).read()
    room.clock.advance(HOUR)
    words = "a-feed: its postings here are 60 min old; it could not be read now (it answered 500)"
    for _ in range(3):
        reading = await room.source(fetcher).read()
        assert [o.id for o in reading.opportunities] == ["a"]
        assert reading.from_cache
        assert (reading.notice or "").startswith(words)
    assert fetcher.fetches == 2
    room.clock.advance(5)
    assert [o.id for o in (await room.source(fetcher).read()).opportunities] == ["b"]
    assert (await room.state()).failures == 0


async def test_nothing_stored_and_nothing_to_be_had(room: Room) -> None:
    """The reason is raised; before the pause is over with the time that is left of it."""
    fetcher = FakeFetcher([DOWN, found(A)], pause_s=30.0)
    with pytest.raises(SourceFailed, match=r"^a-feed: it answered 500$"):
        await room.source(fetcher).read()
    room.clock.advance(29.9)
    with pytest.raises(SourceFailed, match=r"it answered 500; asked again in 1 s at the earliest"):
        await room.source(fetcher).read()
    assert fetcher.fetches == 1
    room.clock.advance(0.1)
    assert len((await room.source(fetcher).read()).opportunities) == 1


@dataclass
class PaidFetcher(FakeFetcher):
    """Each fetch costs 25 cents, also one that fails or is cancelled."""

    patience_s: float | None = None

    async def stored(self) -> None:
        """Nothing is owed."""

    async def fetch(self, known: Validators) -> Fetched | None:
        """The next answer."""
        try:
            return await super().fetch(known)
        finally:
            charge(0.25)


async def reading_for(source: StoredSource, account: Spending) -> Reading:
    """A reading on somebody's account."""
    with paid_by(account):
        return await source.read()


async def test_a_fetch_is_paid_by_who_began_it(room: Room) -> None:
    """Once, by one of those who waited; a reading from the store is free."""
    source = room.source(PaidFetcher([found(A)]))
    accounts = [Spending() for _ in range(10)]
    await asyncio.gather(*(reading_for(source, account) for account in accounts))
    assert sorted(account.usd for account in accounts) == [0.0] * 9 + [0.25]
    await reading_for(source, late := Spending())
    assert late.usd == 0.0


async def test_a_fetch_in_vain_is_paid_for(room: Room) -> None:
    """Also when it fails, and when it is cancelled."""
    failing = room.source(PaidFetcher([SourceFailed("a-feed: the actor failed")]))
    account = Spending()
    with pytest.raises(SourceFailed):
        await reading_for(failing, account)
    assert account.usd == 0.25
    held = PaidFetcher([found(A)], label="held")
    held.gate.clear()
    waiting = asyncio.create_task(reading_for(room.source(held), account))
    await held.asked.wait()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert account.usd == 0.5


async def test_paid_work_is_waited_for(room: Room) -> None:
    """Nobody's patience ends before it does: nothing could stop it then."""
    fetcher = PaidFetcher([found(A), found(B)])
    await room.source(fetcher).read()
    room.clock.advance(HOUR)
    fetcher.gate.clear()
    fetcher.asked.clear()
    waiting = asyncio.create_task(room.source(fetcher).read())
    await fetcher.asked.wait()
    fetcher.gate.set()
    assert [o.id for o in (await waiting).opportunities] == ["b"]


async def test_a_part_does_not_replace_more(room: Room) -> None:
    """A reading that could not be read to its end is a failure where more is stored."""
    fetcher = FakeFetcher([found(A, B), found(A, partial=True, notice="a-feed: page 2 failed")])
    await room.source(fetcher).read()
    room.clock.advance(HOUR)
    reading = await room.source(fetcher).read()
    assert [o.id for o in reading.opportunities] == ["a", "b"]
    assert "page 2 failed" in (reading.notice or "")
    assert (await room.state()).failures == 1


async def test_a_source_that_says_when_is_not_asked_before(room: Room) -> None:
    """Neither for a scout nor in the background, whatever its pause is."""
    busy = SourceFailed("a-feed: it answered 429", retry_after_s=7200)
    fetcher = FakeFetcher([busy, found(A)])
    source = room.source(fetcher)
    with pytest.raises(SourceFailed):
        await source.read()
    assert await source.due_in_s() == 7200
    room.clock.advance(7199)
    with pytest.raises(SourceFailed, match="asked again in 1 s at the earliest"):
        await source.read()
    assert fetcher.fetches == 1
    room.clock.advance(1)
    assert len((await source.read()).opportunities) == 1
    assert (await room.state()).not_before is None


class LateShelf(MemoryShelf):
    """Tells a state only when the gate opens, as it was when asked."""

    def __init__(self) -> None:
        super().__init__()
        self.gates: list[asyncio.Event] = []

    async def state(self, key: str) -> ShelfState | None:
        """The state of the moment of asking."""
        state = self.states.get(key)
        if self.gates:
            await self.gates.pop(0).wait()
        return state


async def test_who_comes_as_a_fetch_ends_does_not_fetch_again(room: Room) -> None:
    """What was known before the store answered may have changed: an actor's run costs money."""
    shelf = room.shelf = LateShelf()
    fetcher = FakeFetcher([found(A)])
    gate = asyncio.Event()
    shelf.gates.append(gate)
    late = asyncio.create_task(room.source(fetcher).read())
    await asyncio.sleep(0)
    await room.source(fetcher).read()
    gate.set()
    reading = await late
    assert [o.id for o in reading.opportunities] == ["a"]
    assert fetcher.fetches == 1


# --- the operators' log -----------------------------------------------------------------------


def lines(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str]]:
    """What was logged about sources."""
    return [
        (record.levelname, record.getMessage())
        for record in caplog.records
        if record.name.startswith("agents.discovery")
    ]


async def test_a_failure_is_logged_once_and_so_is_the_recovery(
    room: Room, caplog: pytest.LogCaptureFixture
) -> None:
    """However often it fails in between."""
    caplog.set_level(logging.INFO)
    fetcher = FakeFetcher([DOWN, DOWN, DOWN, found(A)])
    for _ in range(4):
        await room.source(fetcher).refresh_shared()
    assert lines(caplog) == [
        ("WARNING", "source failed: a-feed: it answered 500"),
        ("INFO", "source a-feed answers again after 3 failures"),
    ]


async def test_records_that_can_not_be_read_are_logged_when_the_reason_is_new(
    room: Room, caplog: pytest.LogCaptureFixture
) -> None:
    """Not at every reading because their number has changed."""
    caplog.set_level(logging.INFO)
    answers = [found(A, unreadable={"no title": n}) for n in (1, 2, 3)]
    fetcher = FakeFetcher([*answers, found(A, unreadable={"no title": 4, "not an object": 1})])
    for _ in range(4):
        await room.source(fetcher).refresh_shared()
        room.clock.advance(HOUR)
    assert [message for _, message in lines(caplog)] == [
        "source a-feed: not read: {'no title': 1}",
        "source a-feed: not read: {'no title': 4, 'not an object': 1}",
    ]


async def test_a_mistake_of_ours_is_a_failed_source(room: Room) -> None:
    """It costs its own postings only, and names no more than its kind."""
    with pytest.raises(SourceFailed, match=r"^a-feed: internal error \(ZeroDivisionError\)$"):
        await room.source(FakeFetcher([ZeroDivisionError("secret")])).read()


# --- when the next refresh is due -------------------------------------------------------------


async def test_failures_wait_longer_each_time_up_to_a_period(room: Room) -> None:
    """60 s, then twice as long each time; never less than the source's pause."""
    fetcher = FakeFetcher([DOWN], period_s=600.0, pause_s=90.0)
    source = room.source(fetcher)
    assert await source.due_in_s() == 0
    waits = []
    for _ in range(6):
        await source.refresh_shared()
        waits.append(await source.due_in_s())
    assert waits == [90, 120, 240, 480, 600, 600]
    room.clock.advance(599)
    assert await source.due_in_s() == 1
    room.clock.advance(60)
    assert await source.due_in_s() == 0


async def test_a_success_is_due_after_its_period(room: Room) -> None:
    """Counted from the reading."""
    source = room.source(FakeFetcher([found(A)]))
    await source.read()
    assert await source.due_in_s() == HOUR
    room.clock.advance(HOUR)
    assert await source.due_in_s() == 0


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "60 min"),
        (59 * 60, "119 min"),
        (HOUR, "2 h"),
        (46 * HOUR, "47 h"),
        (47 * HOUR, "2 days"),
    ],
)
async def test_ages_in_words(room: Room, seconds: float, words: str) -> None:
    """Minutes, then hours, then days."""
    fetcher = FakeFetcher([found(A), DOWN])
    await room.source(fetcher).read()
    room.clock.advance(HOUR + seconds)
    notice = (await room.source(fetcher).read()).notice or ""
    assert f"its postings here are {words} old; " in notice


# --- the background reader --------------------------------------------------------------------


class Alarm(FixedClock):
    """A clock whose sleepers wake when the test lets the time pass, in their order."""

    def __init__(self) -> None:
        super().__init__()
        self._sleepers: list[tuple[float, asyncio.Event]] = []

    async def sleep(self, seconds: float) -> None:
        """Until the time has passed."""
        woken = asyncio.Event()
        self._sleepers.append((self.monotonic() + seconds, woken))
        await woken.wait()

    async def run_for(self, seconds: float) -> None:
        """Let the time pass; everybody who wakes does what they have to."""
        end = self.monotonic() + seconds
        await settled()
        while due := [sleeper for sleeper in self._sleepers if sleeper[0] <= end]:
            sleeper = min(due, key=lambda one: one[0])
            self._sleepers.remove(sleeper)
            self.advance(sleeper[0] - self.monotonic())
            sleeper[1].set()
            await settled()
        self.advance(end - self.monotonic())


async def settled() -> None:
    """Everybody has had their turns, and the one thread has done what it was given."""
    for _ in range(6):
        for _ in range(10):
            await asyncio.sleep(0)
        await asyncio.to_thread(int)


class FakePrunes:
    """Counts; fails when the test says so."""

    def __init__(self, failure: Exception | None = None) -> None:
        self.asked: list[datetime] = []
        self.failure = failure

    async def prune(self, before: datetime) -> int:
        """Nothing to drop."""
        self.asked.append(before)
        if self.failure is not None:
            raise self.failure
        return 0


@pytest.fixture
async def alarm(room: Room) -> Alarm:
    """The room's clock, for sleepers."""
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(1))
    clock = Alarm()
    room.clock, room.readings = clock, memory_readings(clock)
    return clock


async def test_an_empty_feed_of_a_short_period_is_read_on_it(room: Room, alarm: Alarm) -> None:
    """No oftener, and no seldomer, than one that has something."""
    empty = FakeFetcher([Fetched(opportunities=())], label="empty", period_s=60)
    async with FeedRefresher([room.source(empty)], FakePrunes(), alarm):
        await alarm.run_for(600 - 1)
    assert empty.fetches == 10


async def test_each_feed_is_read_on_its_own_period(room: Room, alarm: Alarm) -> None:
    """At the start, and each time its period is over; another's period does not matter."""
    fast = FakeFetcher([found(A)], label="fast", period_s=600)
    slow = FakeFetcher([found(B)], label="slow", period_s=HOUR)
    async with FeedRefresher(map(room.source, (fast, slow)), FakePrunes(), alarm):
        await alarm.run_for(HOUR - 1)
        assert (fast.fetches, slow.fetches) == (6, 1)
        await alarm.run_for(1)
        assert (fast.fetches, slow.fetches) == (7, 2)


async def test_a_feed_that_was_read_before_the_start_waits_for_its_period(
    room: Room, alarm: Alarm
) -> None:
    """A restart is no reason to ask again."""
    fetcher = FakeFetcher([found(A)])
    await room.source(fetcher).read()
    await alarm.run_for(HOUR / 2)
    async with FeedRefresher([room.source(fetcher)], FakePrunes(), alarm):
        await alarm.run_for(HOUR / 2 - 1)
        assert fetcher.fetches == 1
        await alarm.run_for(1)
        assert fetcher.fetches == 2


async def test_a_feed_that_a_scout_has_read_meanwhile_is_not_read_again(
    room: Room, alarm: Alarm
) -> None:
    """The terms say once an hour at most, whoever asks."""
    fetcher = FakeFetcher([DOWN, DOWN, DOWN, found(A)])
    source = room.source(fetcher)
    async with FeedRefresher([source], FakePrunes(), alarm):
        await alarm.run_for(200)  # failed at 0, 60 and 180 s; due again at 420 s
        assert fetcher.fetches == 3
        await source.read()
        await alarm.run_for(HOUR - 1)
        assert fetcher.fetches == 4
        await alarm.run_for(1)
        assert fetcher.fetches == 5


async def test_a_hanging_feed_delays_no_other(room: Room, alarm: Alarm) -> None:
    """Each has a loop of its own; leaving ends the one that hangs."""
    hanging, other = FakeFetcher([found(A)], label="hanging"), FakeFetcher([found(B)], label="ok")
    hanging.gate.clear()
    async with FeedRefresher(map(room.source, (hanging, other)), FakePrunes(), alarm):
        await alarm.run_for(5 * HOUR)
        assert (hanging.fetches, other.fetches) == (1, 6)


class BrokenShelf(MemoryShelf):
    """A store that is out until the test mends it."""

    broken = True

    async def state(self, key: str) -> ShelfState | None:
        """Fail, or as usual."""
        if self.broken:
            raise OSError("the disk is gone")
        return await super().state(key)


async def test_a_store_that_is_out_ends_no_loop(
    room: Room, alarm: Alarm, caplog: pytest.LogCaptureFixture
) -> None:
    """A minute later it is tried again."""
    caplog.set_level(logging.INFO)
    room.shelf = shelf = BrokenShelf()
    fetcher, prunes = FakeFetcher([found(A)]), FakePrunes(OSError("the disk is gone"))
    async with FeedRefresher([room.source(fetcher)], prunes, alarm):
        await alarm.run_for(100)
        assert (fetcher.fetches, len(prunes.asked)) == (0, 2)
        shelf.broken, prunes.failure = False, None
        await alarm.run_for(60)
        assert (fetcher.fetches, len(prunes.asked)) == (1, 3)
    assert "this round broke" in caplog.text


async def test_what_is_old_is_dropped_once_a_day(room: Room, alarm: Alarm) -> None:
    """What was last seen more than thirty days ago."""
    prunes = FakePrunes()
    async with FeedRefresher([], prunes, alarm):
        await alarm.run_for(50 * HOUR)
    assert [NOON - KEPT_FOR + timedelta(days=n) for n in range(3)] == prunes.asked


async def test_leaving_a_reader_that_waits(room: Room, alarm: Alarm) -> None:
    """Its loops end at once, whatever they wait for."""
    fetcher = FakeFetcher([found(A)])
    fetcher.gate.clear()
    ended: Callable[[], bool] = lambda: all(task.done() for task in tasks)  # noqa: E731
    before = asyncio.all_tasks()
    async with FeedRefresher([room.source(fetcher)], FakePrunes(), alarm):
        await fetcher.asked.wait()
        tasks = asyncio.all_tasks() - before
        assert len(tasks) == 4  # two loops, the reading that is shared, and its load
    assert ended()
