"""What a caller gets from the two tiers, and what stands in the way of it."""

import asyncio
import json
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from cache.kind import Kind
from cache.single_flight import PatienceOver
from cache.tiered import (
    FORGOTTEN_WITHIN_S,
    SECOND_WITHIN_S,
    SWEEP_EVERY_S,
    Cache,
    Cached,
    Origin,
    TieredCache,
)
from tests.fakes.clock import NOON, FixedClock
from tests.fakes.saga_clock import HeldClock, settle
from tests.fakes.tiers import HeldThreads, InlineThreads, JsonCodec, MemorySecondTier
from tests.fakes.virtual_time import in_virtual_time

HOUR, DAY = 3600.0, 24 * 3600.0
KIND = Kind(name="reading", version=1, jitter=0.0)
CANCEL_POINTS = 51


class Source:
    """What is loaded: the number of the load, when the gate is open; or a failure."""

    def __init__(self, failure: Exception | None = None) -> None:
        self.failure = failure
        self.begun = 0
        self.ended = 0
        self.old: list[Any] = []
        self.gate = asyncio.Event()
        self.gate.set()

    async def __call__(self, old: Cached[Any] | None) -> Any:
        """Load."""
        self.begun += 1
        number = self.begun
        self.old.append(None if old is None else old.value)
        try:
            await asyncio.sleep(0)
            await self.gate.wait()
        finally:
            self.ended += 1
        if self.failure is not None:
            raise self.failure
        return number


@asynccontextmanager
async def running(
    second: MemorySecondTier | None = None, clock: HeldClock | None = None, **more: Any
) -> AsyncIterator[Cache]:
    """A cache without jitter, whose threads take no time; it leaves no task behind."""
    asyncio.get_running_loop().set_default_executor(InlineThreads())
    more.setdefault("uniform", lambda low, _high: low)
    before = asyncio.all_tasks()
    async with Cache(clock or HeldClock(), second, **more) as cache:
        yield cache
    assert asyncio.all_tasks() == before


def of(cache: Cache, kind: Kind = KIND, **changes: Any) -> TieredCache[Any]:
    """The cache of a kind; None is "nothing found"."""
    return cache.of(replace(kind, **changes), JsonCodec(), lambda value: value is None)


async def written(cache: Cache) -> None:
    """Let the second tier have what waits for it."""
    assert cache.writes is not None
    assert await cache.writes.written(within_s=10)


def key_of(second: MemorySecondTier) -> str:
    """The only key that is stored."""
    (key,) = second.entries
    return key


# Hits, and how long they last.


async def test_the_second_one_who_asks_gets_the_same_value() -> None:
    """From memory, with its age, and without a load."""
    clock, source = HeldClock(), Source()
    async with running(clock=clock) as cache:
        first = await of(cache).get("a", source)
        clock.advance(60)
        second = await of(cache).get("a", source)
    assert first == Cached(1, NOON, Origin.LOADED)
    assert second == Cached(1, NOON, Origin.MEMORY)
    assert second.age_s(clock.now()) == 60
    assert (source.begun, cache.counts.memory_hits) == (1, 1)


@pytest.mark.parametrize("behind", [True, False])
async def test_a_value_is_current_for_its_logical_time(behind: bool) -> None:
    """Whether there is a second tier or not."""
    clock, source = HeldClock(), Source()
    async with running(MemorySecondTier() if behind else None, clock) as cache:
        readings = of(cache)
        await readings.get("a", source)
        clock.advance(HOUR - 1)
        assert (await readings.get("a", source)).value == 1
        clock.advance(1)
        assert (await readings.get("a", source)).value == 2


async def test_keys_and_kinds_do_not_share() -> None:
    """A load for each."""
    source = Source()
    async with running(MemorySecondTier()) as cache:
        answers = [
            await of(cache, name=name).get(key, source) for name in ("x", "y") for key in "ab"
        ]
    assert [answer.value for answer in answers] == [1, 2, 3, 4]


async def test_another_version_does_not_see_the_old_ones_values() -> None:
    """In neither tier."""
    source = Source()
    async with running(MemorySecondTier()) as cache:
        await of(cache).get("a", source)
        await written(cache)
        assert await of(cache, version=2).peek("a") is None
        assert (await of(cache, version=2).get("a", source)).value == 2
        assert (await of(cache).get("a", source)).value == 1


async def test_a_call_may_say_how_long_its_value_is_current() -> None:
    """Shorter or longer than its kind's."""
    clock, source = HeldClock(), Source()
    async with running(clock=clock) as cache:
        await of(cache).get("short", source, fresh_s=10)
        await of(cache).get("long", source, fresh_s=30 * DAY)
        clock.advance(10)
        assert (await of(cache).get("short", source)).value == 3
        clock.advance(30 * DAY - 11)
        assert (await of(cache).get("long", source)).value == 2
        clock.advance(1)
        assert (await of(cache).get("long", source)).value == 4


@pytest.mark.parametrize("fresh_s", [0, -1, math.nan, math.inf, 1e12])
async def test_a_call_may_not_say_nonsense(fresh_s: float) -> None:
    """It is refused before anything is loaded."""
    source = Source()
    async with running() as cache:
        with pytest.raises(ValueError, match=r"^fresh_s: "):
            await of(cache).get("a", source, fresh_s=fresh_s)
    assert source.begun == 0


async def test_nothing_found_is_current_for_a_short_time() -> None:
    """A minute, where a value is for an hour."""
    clock, asked = HeldClock(), 0

    async def find_nothing(_: object) -> None:
        nonlocal asked
        asked += 1

    async with running(MemorySecondTier(), clock) as cache:
        for after_s in (0, 59, 1):
            clock.advance(after_s)
            assert (await of(cache).get("a", find_nothing)).value is None
    assert asked == 2


async def test_times_are_jittered() -> None:
    """By up to the kind's share, as the injected chance says."""
    clock, source = HeldClock(), Source()
    asked: list[tuple[float, float]] = []

    def uniform(low: float, high: float) -> float:
        asked.append((low, high))
        return high

    async with running(clock=clock, uniform=uniform) as cache:
        await of(cache, jitter=0.1).get("a", source)
        clock.advance(1.1 * HOUR - 1)
        assert (await of(cache).get("a", source)).value == 1
        clock.advance(2)
        assert (await of(cache).get("a", source)).value == 2
    assert set(asked) == {(0.0, 0.1), (0.0, 0.0)}


async def test_the_loader_is_given_the_old_value() -> None:
    """So that it can ask whether there is a newer one."""
    clock, source = HeldClock(), Source()
    async with running(clock=clock) as cache:
        for _ in range(3):
            await of(cache).get("a", source)
            clock.advance(HOUR)
    assert source.old == [None, 1, 2]


async def test_peeking_loads_nothing() -> None:
    """It says what there is, stale or not, until it is kept no longer."""
    clock, source = HeldClock(), Source()
    async with running(clock=clock) as cache:
        readings = of(cache)
        assert await readings.peek("a") is None
        await readings.get("a", source)
        assert await readings.peek("a") == Cached(1, NOON, Origin.MEMORY)
        clock.advance(HOUR)
        assert await readings.peek("a") == Cached(1, NOON, Origin.MEMORY, stale=True)
        clock.advance(7 * DAY - HOUR - 1)
        assert await readings.peek("a") is not None
        clock.advance(1)
        assert await readings.peek("a") is None


# The second tier.


async def test_another_process_finds_the_value_in_the_second_tier() -> None:
    """It is not loaded again, and its age is told."""
    second, clock, source = MemorySecondTier(), HeldClock(), Source()
    async with running(second, clock) as cache:
        await of(cache).get("a", source, tag="me")
        await written(cache)
        clock.advance(60)
        async with running(second, clock) as other:
            assert await of(other).get("a", source) == Cached(1, NOON, Origin.SECOND)
            assert other.counts.second_hits == 1
    assert source.begun == 1


async def test_memory_asks_the_second_tier_again_after_its_time() -> None:
    """And sees what another process has put there meanwhile."""
    second, clock, source = MemorySecondTier(), HeldClock(), Source()
    async with running(second, clock) as cache:
        readings = of(cache)
        await readings.get("a", source)
        await written(cache)
        put(second, data=b'"newer"', stored_at=NOON + timedelta(minutes=10), fresh_for_s=2 * HOUR)
        clock.advance(899)
        assert (await readings.get("a", source)).value == 1
        assert second.calls["get"] == 1
        clock.advance(1)
        for after_s in (0, 899):
            clock.advance(after_s)
            found = await readings.get("a", source)
            assert (found.value, found.origin) == ("newer", Origin.SECOND)
            assert found.age_s(clock.now()) == 300 + after_s
        assert second.calls["get"] == 2


async def test_what_memory_holds_is_not_decoded_again() -> None:
    """The second tier is asked once per memory's time, also when it has nothing newer."""
    second, clock, source = MemorySecondTier(), HeldClock(), Source()
    async with running(second, clock) as cache:
        await of(cache).get("a", source)
        await written(cache)
        for _ in range(3):
            clock.advance(900)
            for _ in range(3):
                assert (await of(cache).get("a", source)).origin is Origin.MEMORY
    assert second.calls["get"] == 4
    assert cache.counts.second_hits == 0


async def test_a_load_that_ends_while_the_second_tier_is_asked() -> None:
    """Its value stays; the older one that the tier answers with does not come back."""
    second, clock, source = MemorySecondTier(), HeldClock(), Source()
    async with running(second, clock) as cache:
        readings = of(cache)
        await readings.get("a", source)
        await written(cache)
        clock.advance(HOUR)
        source.gate.clear()
        first = asyncio.create_task(readings.get("a", source))
        await settle()
        second.gate.clear()
        later = asyncio.create_task(readings.get("a", source))
        await settle()
        source.gate.set()
        assert (await first).value == 2
        second.gate.set()
        assert (await later).value == 2
        assert (await readings.get("a", source)).value == 2
    assert source.begun == 2


async def test_a_load_that_ends_while_an_older_value_is_decoded() -> None:
    """Its value stays, and is what the other caller gets, too."""
    second, clock, source = MemorySecondTier(), HeldClock(), Source()
    async with running(second, clock) as cache:
        await of(cache).get("a", source)
    async with running(second, clock) as cache:
        threads = HeldThreads()
        asyncio.get_running_loop().set_default_executor(threads)
        second.go_down()
        clock.advance(60)
        loading = asyncio.create_task(of(cache).get("a", source))
        await settle()
        second.come_up()
        finding = asyncio.create_task(of(cache).peek("a"))
        await settle()
        encode, decode = threads.held
        encode()
        loaded = await loading
        decode()
        found = await finding
        assert found is not None
        assert (found.value, found.stored_at) == (loaded.value, loaded.stored_at)
        assert loaded.value == 2


async def test_a_newer_value_that_is_found_while_a_load_fails() -> None:
    """Is what its caller gets; the failure does not make it an old one."""
    second, clock, source = MemorySecondTier(), HeldClock(), Source()
    async with running(second, clock) as cache:
        readings = of(cache)
        source.gate.clear()
        source.failure = OSError("down")
        loading = asyncio.create_task(readings.get("a", source))
        await settle()
        async with running(second, clock) as other:
            await of(other).get("a", Source())
            await written(other)
        found = await readings.peek("a")
        assert found is not None
        source.gate.set()
        assert await loading == found == Cached(1, NOON, Origin.SECOND)
        assert await readings.get("a", source) == found


@pytest.mark.parametrize("method", ["get", "put", "forget", "sweep"])
async def test_without_the_second_tier_memory_is_all_there_is(method: str) -> None:
    """Whatever of it fails, values come, and are held."""
    second, source = MemorySecondTier(), Source()
    second.failing = {method}
    async with running(second) as cache:
        for _ in range(2):
            assert (await of(cache).get("a", source)).value == 1
    assert source.begun == 1
    assert cache.counts.second_errors == {"get": 1, "put": 0, "forget": 0, "sweep": 1}[method]


@in_virtual_time
async def test_a_second_tier_that_hangs_is_not_waited_for() -> None:
    """For more than some seconds."""
    second, source = MemorySecondTier(), Source()
    second.hanging = {"get", "put", "sweep"}
    async with running(second) as cache:
        start_s = asyncio.get_running_loop().time()
        assert (await of(cache).get("a", source)).value == 1
        assert asyncio.get_running_loop().time() - start_s == SECOND_WITHIN_S
        assert (await of(cache).get("a", source)).value == 1
    assert cache.counts.second_errors == 1


async def test_what_the_second_tier_missed_it_gets_later() -> None:
    """The newest value, when it is back."""
    second, clock, source = MemorySecondTier(), HeldClock(), Source()
    second.go_down()
    async with running(second, clock) as cache:
        for _ in range(2):
            await of(cache).get("a", source)
            clock.advance(HOUR)
            await settle()
        assert second.entries == {}
        second.come_up()
        clock.advance(HOUR)
        await written(cache)
        assert second.entries[key_of(second)].data == b"2"


def put(second: MemorySecondTier, *, fresh_for_s: float = HOUR, **changes: Any) -> None:
    """Change the only entry of the second tier, as another process would, or a broken one."""
    key = key_of(second)
    changes.setdefault("stored_at", second.entries[key].stored_at)
    changes.setdefault("fresh_until", changes["stored_at"] + timedelta(seconds=fresh_for_s))
    second.entries[key] = replace(second.entries[key], **changes)


NAIVE = NOON.replace(tzinfo=None)
POISON: dict[str, dict[str, Any]] = {
    "garbage": {"data": b"\x80\x81"},
    "empty": {"data": b""},
    "no bytes": {"data": None},
    "a number": {"data": 5},
    "naive, all of it": {"stored_at": NAIVE, "fresh_until": NAIVE, "kept_until": NAIVE},
    "naive stored_at": {"stored_at": NAIVE},
    "naive fresh_until": {"fresh_until": NAIVE + timedelta(hours=1)},
    "naive kept_until": {"kept_until": NAIVE + timedelta(hours=1)},
    "text for an instant": {"kept_until": "tomorrow"},
    "from the far future": {
        "stored_at": NOON + timedelta(days=365),
        "kept_until": NOON + timedelta(days=730),
    },
    "before all time": {"stored_at": datetime.min.replace(tzinfo=NOON.tzinfo)},
    "after all time": {"stored_at": datetime.max.replace(tzinfo=NOON.tzinfo, year=9998)},
    "a tag that is none": {"tag": []},
}


@pytest.mark.parametrize("poison", POISON.values(), ids=POISON.keys())
async def test_a_poisoned_entry_is_as_if_it_were_not_there(poison: dict[str, Any]) -> None:
    """It costs a load, nothing else, and is not held."""
    second = MemorySecondTier()
    async with running(second) as cache:
        await of(cache).get("a", Source())
    put(second, **poison)
    async with running(second) as cache:
        source = Source()
        assert await of(cache).peek("a") is None
        assert len(cache.memory) == 0
        assert cache.counts.unreadable == 1
        for _ in range(2):
            assert (await of(cache).get("a", source)).value == 1
        assert source.old == [None]
        assert source.begun == 1


async def test_a_tier_that_answers_nonsense() -> None:
    """Something that is no entry at all is none."""
    second = MemorySecondTier()
    async with running(second) as cache:
        await of(cache).get("a", Source())
        await written(cache)
        second.entries[key_of(second)] = {"value": 1}  # type: ignore[assignment]
        cache.memory.drop(lambda _: True)
        assert (await of(cache).get("a", Source())).value == 1
    assert cache.counts.unreadable == 1


async def test_what_is_kept_no_longer_in_the_second_tier() -> None:
    """Is not found, also when nobody has swept it yet."""
    second, clock = MemorySecondTier(), HeldClock()
    async with running(second, clock) as cache:
        await of(cache).get("a", Source())
        await written(cache)
        clock.advance(7 * DAY)
        second.failing = {"sweep"}
        async with running(second, clock) as other:
            assert await of(other).peek("a") is None
            assert other.counts.unreadable == 0


class Broken(JsonCodec):
    """A codec with a bug, in one direction or both."""

    def __init__(self, *broken: str) -> None:
        self.broken = broken

    def encode(self, value: Any) -> bytes:
        """As JSON, or not."""
        if "encode" in self.broken:
            raise RecursionError
        return super().encode(value)

    def decode(self, data: bytes) -> Any:
        """From JSON, or not."""
        if "decode" in self.broken:
            raise MemoryError
        return super().decode(data)


async def test_a_value_that_can_not_be_stored(caplog: pytest.LogCaptureFixture) -> None:
    """Is handed out, and not remembered."""
    second, source = MemorySecondTier(), Source()
    async with running(second) as cache:
        readings = cache.of(KIND, Broken("encode"))
        assert [(await readings.get("a", source)).value for _ in range(2)] == [1, 2]
    assert (cache.counts.unstorable, len(cache.memory), second.entries) == (2, 0, {})
    assert "reading:v1 can't be stored" in caplog.text


async def test_a_value_that_can_not_be_read() -> None:
    """Is loaded again; memory holds values as they are."""
    second, source = MemorySecondTier(), Source()
    async with running(second) as cache:
        await cache.of(KIND, Broken("decode")).get("a", source)
    async with running(second) as cache:
        readings = cache.of(KIND, Broken("decode"))
        assert [(await readings.get("a", source)).value for _ in range(2)] == [2, 2]


# One load, whoever waits.


async def test_a_thousand_misses_at_once() -> None:
    """One question to the second tier, and one load."""
    second, source = MemorySecondTier(), Source()
    async with running(second) as cache:
        answers = await asyncio.gather(*(of(cache).get("a", source) for _ in range(1000)))
    assert {answer.value for answer in answers} == {1}
    assert (source.begun, second.calls["get"]) == (1, 1)


async def test_a_waiter_that_leaves_does_not_end_the_load() -> None:
    """The others get their value."""
    source = Source()
    source.gate.clear()
    async with running() as cache:
        first, *others = [asyncio.create_task(of(cache).get("a", source)) for _ in range(3)]
        await settle()
        first.cancel()
        await asyncio.wait({first})
        source.gate.set()
        assert [answer.value for answer in await asyncio.gather(*others)] == [1, 1]
    assert first.cancelled()
    assert source.begun == 1


async def test_the_last_waiter_that_leaves_ends_the_load() -> None:
    """Nothing is held, and the next caller has a load of its own."""
    source = Source()
    source.gate.clear()
    async with running() as cache:
        waiters = [asyncio.create_task(of(cache).get("a", source)) for _ in range(3)]
        await settle()
        for waiter in waiters:
            waiter.cancel()
        await asyncio.wait(waiters)
        assert (source.begun, source.ended, len(cache.memory)) == (1, 1, 0)
        source.gate.set()
        assert (await of(cache).get("a", source)).value == 2


@pytest.mark.parametrize("turns", range(CANCEL_POINTS))
@pytest.mark.parametrize("old", [True, False], ids=["an old value", "nothing yet"])
async def test_a_cancel_at_any_point(turns: int, old: bool) -> None:
    """Leaves no task, no flight, nothing half stored; the next caller gets a value."""
    second, clock, source = MemorySecondTier(), HeldClock(), Source()
    async with running(second, clock) as cache:
        await settle()
        at_rest = asyncio.all_tasks()
        if old:
            await of(cache).get("a", source)
            await written(cache)
            clock.advance(HOUR)
            await settle()
        task = asyncio.create_task(of(cache, patience_s=None).get("a", source))
        for _ in range(turns):
            await asyncio.sleep(0)
        cancelled = task.cancel()
        await asyncio.wait({task})
        assert task.cancelled() == cancelled
        await settle()
        assert asyncio.all_tasks() == at_rest
        assert source.begun == source.ended
        got = await of(cache).get("a", source)
        assert (got.value, got.stale) == (source.begun, False)
        await written(cache)
        assert second.entries[key_of(second)].data == str(source.begun).encode()


# When a load fails.


async def test_a_failure_is_not_cached() -> None:
    """It reaches the caller, and the next one tries again."""
    second, source = MemorySecondTier(), Source(OSError("down"))
    async with running(second) as cache:
        for _ in range(2):
            with pytest.raises(OSError, match="down"):
                await of(cache).get("a", source)
        assert len(cache.memory) == 0
        source.failure = None
        assert (await of(cache).get("a", source)).value == 3
    assert cache.counts.load_errors == 2
    assert len(second.entries) == 1


@pytest.mark.parametrize("behind", [True, False])
async def test_an_old_value_when_there_is_no_new_one(behind: bool) -> None:
    """It says how old it is and why, and the next load is tried after a pause."""
    clock, source = HeldClock(), Source()
    async with running(MemorySecondTier() if behind else None, clock) as cache:
        await of(cache).get("a", source)
        clock.advance(2 * HOUR)
        source.failure = OSError("down")
        stale = Cached(1, NOON, Origin.MEMORY, stale=True, error=source.failure)
        assert await of(cache).get("a", source) == stale
        assert stale.age_s(clock.now()) == 2 * HOUR
        clock.advance(29)
        assert await of(cache).get("a", source) == stale
        assert await of(cache).peek("a") == stale
        assert await of(cache).get("a", source) == stale
        assert source.begun == 2
        clock.advance(1)
        assert await of(cache).get("a", source) == stale
        assert source.begun == 3
        source.failure = None
        clock.advance(30)
        assert await of(cache).get("a", source) == Cached(4, clock.now(), Origin.LOADED)
    assert cache.counts.stale == 2


async def test_a_pause_ends_when_a_newer_value_is_found() -> None:
    """Which another process has loaded."""
    second, clock, source = MemorySecondTier(), HeldClock(), Source()
    async with running(second, clock) as cache:
        await of(cache).get("a", source)
        await written(cache)
        clock.advance(HOUR)
        source.failure = OSError("down")
        assert (await of(cache).get("a", source)).stale
        put(second, data=b'"newer"', stored_at=clock.now())
        assert (await of(cache).peek("a")) == Cached("newer", clock.now(), Origin.SECOND)
        assert (await of(cache).get("a", source)).value == "newer"


async def test_an_old_value_is_not_given_out_for_ever() -> None:
    """When it is kept no longer, the failure reaches the caller."""
    clock, source = HeldClock(), Source()
    async with running(clock=clock) as cache:
        readings = of(cache, error_pause_s=HOUR)
        await readings.get("a", source)
        clock.advance(7 * DAY - 1)
        source.failure = OSError("down")
        assert (await readings.get("a", source)).stale
        clock.advance(1)
        with pytest.raises(OSError, match="down"):
            await readings.get("a", source)


async def test_a_second_tiers_old_value_when_there_is_no_new_one() -> None:
    """As one of memory's."""
    second, clock, source = MemorySecondTier(), HeldClock(), Source()
    async with running(second, clock) as cache:
        await of(cache).get("a", source)
        await written(cache)
        clock.advance(2 * HOUR)
        source.failure = OSError("down")
        async with running(second, clock, bytes_max=1) as other:  # memory holds nothing
            other.memory.drop(lambda _: True)
            stale = Cached(1, NOON, Origin.SECOND, stale=True, error=source.failure)
            assert await of(other).get("a", source) == stale


# Patience.


@in_virtual_time
async def test_a_caller_without_patience_gets_the_old_value_at_once() -> None:
    """The new one is loaded meanwhile, once, for those who come later."""
    clock, source = HeldClock(), Source()
    async with running(clock=clock) as cache:
        readings = of(cache, patience_s=0)
        assert (await readings.get("a", source)).value == 1  # nothing to give out before
        clock.advance(HOUR)
        source.gate.clear()
        for _ in range(3):
            assert await readings.get("a", source) == Cached(1, NOON, Origin.MEMORY, stale=True)
        source.gate.set()
        await settle()
        assert await readings.get("a", source) == Cached(2, clock.now(), Origin.MEMORY)
    assert (source.begun, cache.counts.stale) == (2, 3)


@in_virtual_time
async def test_a_caller_with_some_patience() -> None:
    """Gets the new value if it comes in time."""
    clock, source = HeldClock(), Source()
    async with running(clock=clock) as cache:
        readings = of(cache, patience_s=2)
        await readings.get("a", source)
        for took_s, value in ((1.9, 2), (2.1, 2)):
            clock.advance(HOUR)
            source.gate.clear()
            asyncio.get_running_loop().call_later(took_s, source.gate.set)
            got = await readings.get("a", source)
            assert (got.value, got.stale) == (value, took_s > 2)
            await asyncio.sleep(1)
        assert (await readings.get("a", source)).value == 3


@in_virtual_time
async def test_a_load_that_fails_when_nobody_waits_any_more() -> None:
    """The next one is still tried only after the pause, and the failure is told meanwhile."""
    clock, source = HeldClock(), Source()
    async with running(clock=clock) as cache:
        readings = of(cache, patience_s=0)
        await readings.get("a", source)
        clock.advance(HOUR)
        source.failure = OSError("down")
        source.gate.clear()
        assert (await readings.get("a", source)).error is None
        source.gate.set()
        await settle()
        assert (await readings.get("a", source)).error is source.failure
        assert source.begun == 2


async def test_a_loaders_own_lack_of_patience_is_a_failure() -> None:
    """With an old value or without."""
    clock, source = HeldClock(), Source(PatienceOver())
    async with running(clock=clock) as cache:
        with pytest.raises(PatienceOver):
            await of(cache).get("a", source)


# Forgetting.


@pytest.mark.parametrize("behind", [True, False])
async def test_forgetting_what_is_somebodys(behind: bool) -> None:
    """Both tiers let go of it, and of nothing else."""
    second, source = MemorySecondTier(), Source()
    async with running(second if behind else None) as cache:
        await of(cache).get("a", source, tag="me")
        await of(cache).get("b", source, tag="you")
        await of(cache).get("c", source)
        assert await cache.forget("me")
        assert await of(cache).peek("a") is None
        assert [(await of(cache).get(key, source)).value for key in "bc"] == [2, 3]
    assert len(second.entries) == (2 if behind else 0)


async def test_what_is_being_loaded_when_its_tag_is_forgotten() -> None:
    """Reaches its caller, and is stored nowhere."""
    second, source = MemorySecondTier(), Source()
    source.gate.clear()
    async with running(second) as cache:
        tasks = [
            asyncio.create_task(of(cache).get("a", source, tag="me")),
            asyncio.create_task(of(cache).get("b", source)),
        ]
        await settle()
        assert await cache.forget("me")
        source.gate.set()
        assert {got.value for got in await asyncio.gather(*tasks)} == {1, 2}
        assert len(cache.memory) == 1
    assert [stored.tag for stored in second.entries.values()] == [None]


async def test_what_is_being_found_when_its_tag_is_forgotten() -> None:
    """Is not believed; what is nobody's is."""
    second, source = MemorySecondTier(), Source()
    async with running(second) as cache:
        await of(cache).get("a", source, tag="me")
        await of(cache).get("b", source)
    async with running(second) as cache:
        await settle()
        second.gate.clear()
        finding = [asyncio.create_task(of(cache).peek(key)) for key in "ab"]
        await settle()
        forgetting = asyncio.create_task(cache.forget("me"))
        await settle()
        second.gate.set()
        assert await forgetting
        mine, nobodys = await asyncio.gather(*finding)
        assert mine is None
        assert nobodys is not None
        assert len(cache.memory) == 1


async def test_what_is_being_found_while_the_second_tier_forgets() -> None:
    """An answer that was on its way already does not come back to memory either."""
    second, source = MemorySecondTier(), Source()
    async with running(second) as cache:
        await of(cache).get("a", source, tag="me")
        await written(cache)
        second.gate.clear()
        forgetting = asyncio.create_task(cache.forget("me"))
        await settle()
        finding = asyncio.create_task(of(cache).peek("a"))
        await settle()
        second.gate.set()
        assert await forgetting
        assert await finding is None
        assert len(cache.memory) == 0


@in_virtual_time
async def test_a_second_tier_that_is_down_is_told_later() -> None:
    """Until then nothing that it has with the tag counts, and what is new is kept."""
    second, clock, source = MemorySecondTier(), HeldClock(), Source()
    async with running(second, clock) as cache:
        await of(cache).get("a", source, tag="me")
        await of(cache).get("b", source, tag="you")
        await written(cache)
        second.failing = {"forget"}
        start_s = asyncio.get_running_loop().time()
        assert not await cache.forget("me")
        assert asyncio.get_running_loop().time() - start_s == FORGOTTEN_WITHIN_S
        cache.memory.drop(lambda _: True)
        assert await of(cache).peek("a") is None
        assert await of(cache).peek("b") is not None
        assert (await of(cache).get("a", source, tag="me")).value == 3
        second.failing = set()
        clock.advance(60)
        await written(cache)
        assert sorted(stored.data for stored in second.entries.values()) == [b"2", b"3"]


@in_virtual_time
async def test_what_waits_to_be_written_is_forgotten_too() -> None:
    """It never reaches the second tier."""
    second, clock, source = MemorySecondTier(), HeldClock(), Source()
    second.go_down()
    async with running(second, clock) as cache:
        await of(cache).get("a", source, tag="me")
        assert not await cache.forget("me")
        second.come_up()
        clock.advance(60)
        await written(cache)
    assert (second.entries, second.batches) == ({}, [])


# Bounds, clocks, ends.


async def test_a_value_larger_than_memory() -> None:
    """Is found in the second tier; what memory held before it goes."""
    second, clock = MemorySecondTier(), HeldClock()
    values = iter(["small", "large" * 10, "other"])

    async def load(_: object) -> str:
        return next(values)

    async with running(second, clock, bytes_max=20) as cache:
        await of(cache).get("a", load)
        clock.advance(HOUR)
        for origin in (Origin.LOADED, Origin.SECOND, Origin.SECOND):
            got = await of(cache).get("a", load)
            assert (got.value, got.origin) == ("large" * 10, origin)
            await written(cache)
        assert len(cache.memory) == 0


@pytest.mark.parametrize("bounds", [{"entries_max": 3}, {"bytes_max": 3}])
async def test_memory_is_bounded(bounds: dict[str, Any]) -> None:
    """By entries and by bytes: those not used for longest go, whatever was swept or forgotten."""
    source = Source()
    async with running(**bounds) as cache:
        for key in "abc":
            await of(cache).get(key, source)
        await of(cache).get("a", source)
        await cache.forget("nobody")
        await of(cache).get("d", source)
        assert (len(cache.memory), cache.memory.size_bytes) == (3, 3)
        assert [await of(cache).peek(key) is None for key in "abcd"] == [False, True, False, False]


@pytest.mark.parametrize("field", ["entries_max", "bytes_max"])
@pytest.mark.parametrize("value", [0, -1, math.nan])
def test_bounds_that_are_none(field: str, value: float) -> None:
    """Are refused, by name."""
    with pytest.raises(ValueError, match=f"^{field}: "):
        Cache(FixedClock(), None, **{field: value})  # type: ignore[arg-type]


ABOVE_ZERO = ("memory_s", "fresh_s", "kept_s", "nothing_s")
NOT_NEGATIVE = ("version", "jitter", "patience_s", "error_pause_s")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *((f, v) for f in ABOVE_ZERO + NOT_NEGATIVE for v in (-1, math.nan, math.inf, -math.inf)),
        *((f, v) for f in ABOVE_ZERO + NOT_NEGATIVE for v in (-1e-9, 1e300)),
        *((f, 0) for f in ABOVE_ZERO),
        ("jitter", 1.01),
        ("name", ""),
    ],
)
def test_a_kind_of_nonsense_is_refused(field: str, value: Any) -> None:
    """With the field's name."""
    with pytest.raises(ValueError, match=f"^{field}: "):
        replace(KIND, **{field: value})


@pytest.mark.parametrize("field", NOT_NEGATIVE)
def test_zero_where_it_makes_sense(field: str) -> None:
    """No jitter, no patience, no pause, the first version."""
    changes: dict[str, Any] = {field: 0}
    assert getattr(replace(KIND, **changes), field) == 0


@pytest.mark.parametrize("behind", [True, False])
async def test_a_wall_clock_that_jumps_forwards(behind: bool) -> None:
    """Makes values old, and no more."""
    clock, source = HeldClock(), Source()
    async with running(MemorySecondTier() if behind else None, clock) as cache:
        await of(cache).get("a", source)
        clock.advance(50 * 365 * DAY)
        assert (await of(cache).get("a", source)).value == 2
        assert (await of(cache).get("a", source)).value == 2


@pytest.mark.parametrize("behind", [True, False])
async def test_a_wall_clock_that_jumps_backwards(behind: bool) -> None:
    """A little is the difference of two clocks; by more, values of the future are loaded anew."""
    clock, source = HeldClock(), Source()
    async with running(MemorySecondTier() if behind else None, clock) as cache:
        await of(cache).get("a", source)
        clock.advance(-299)
        got = await of(cache).get("a", source)
        assert (got.value, got.age_s(clock.now())) == (1, 0)
        clock.advance(-30 * DAY)
        for _ in range(2):
            assert (await of(cache).get("a", source)).value == 2
        clock.advance(899)
        assert (await of(cache).get("a", source)).value == 2


async def test_a_failure_after_the_clock_has_jumped_back() -> None:
    """The value of the future is an old one, for want of a better."""
    clock, source = HeldClock(), Source()
    async with running(clock=clock) as cache:
        await of(cache).get("a", source)
        clock.advance(-DAY)
        source.failure = OSError("down")
        got = await of(cache).get("a", source)
        assert (got.value, got.stale, got.age_s(clock.now())) == (1, True, 0)


async def test_what_is_kept_no_longer_is_swept_every_hour() -> None:
    """From both tiers, also after a sweep that failed."""
    second, clock, source = MemorySecondTier(), HeldClock(), Source()
    async with running(second, clock) as cache:
        await of(cache, fresh_s=60, kept_s=60).get("short", source)
        await of(cache).get("long", source)
        await written(cache)
        await settle()
        assert second.calls["sweep"] == 1
        second.failing = {"sweep"}
        for sweeps, left in ((2, 2), (3, 1)):
            clock.advance(SWEEP_EVERY_S - 1)
            await settle()
            assert second.calls["sweep"] == sweeps - 1
            clock.advance(1)
            await settle()
            assert (second.calls["sweep"], len(second.entries)) == (sweeps, left)
            assert len(cache.memory) == 1
            second.failing = set()
    assert cache.counts.second_errors == 1


async def test_leaving_ends_what_is_under_way() -> None:
    """Loads, questions and writes; `running` looks for tasks that are left."""
    second, clock, source = MemorySecondTier(), HeldClock(), Source()
    async with running(second, clock) as cache:
        await of(cache).get("a", source)
        await written(cache)
        clock.advance(HOUR)
        source.gate.clear()
        loading = asyncio.create_task(of(cache).get("a", source))
        await settle()
        second.gate.clear()
        finding = asyncio.create_task(of(cache).get("b", source))
        await settle()
        second.gate.set()
    await asyncio.wait({loading, finding})
    assert loading.cancelled()
    assert finding.cancelled()
    assert source.begun == source.ended


@pytest.mark.parametrize("turns", range(12))
async def test_leaving_that_is_cancelled(turns: int) -> None:
    """At whatever point: it still ends all of its tasks."""
    second, source, leave = MemorySecondTier(), Source(), asyncio.Event()
    before = asyncio.all_tasks()

    async def run() -> None:
        async with running(second) as cache:
            source.gate.clear()
            loading = asyncio.create_task(of(cache).get("a", source))
            await leave.wait()
        await asyncio.wait({loading})

    task = asyncio.create_task(run())
    await settle()
    leave.set()
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait({task})
    await settle()
    assert source.begun == source.ended == 1
    assert asyncio.all_tasks() == before


# --- what is on its way ----------------------------------------------------------------------


async def test_what_waits_to_be_written_is_found() -> None:
    """Also when memory has no room for it: what was paid for is not loaded again."""
    second, source = MemorySecondTier(), Source()
    second.go_down()
    async with running(second, bytes_max=1) as cache:
        some = of(cache)
        source.begun = 9  # its values are too long for memory
        await some.get("a", source)
        assert (await some.get("a", source)).value == 10
        assert source.begun == 10
        assert second.calls["get"] == 1


@pytest.mark.parametrize("turns", range(12))
async def test_a_forget_between_finding_and_loading(turns: int) -> None:
    """Whenever it comes, nothing of what was there is stored again, nor given out when the load
    fails after it."""
    second, clock = MemorySecondTier(), HeldClock()

    async def same(old: Cached[Any] | None) -> Any:
        await asyncio.sleep(0)
        return "new" if old is None else old.value

    async with running(second, clock) as cache:
        some = of(cache)
        await some.get("a", Source(), tag="ada")
        await written(cache)
        clock.advance(2 * HOUR)
        asked = asyncio.create_task(some.get("a", same, tag="ada"))
        for _ in range(turns):
            await asyncio.sleep(0)
        assert await cache.forget("ada")
        await asked
        await written(cache)
        kept = [json.loads(stored.data) for stored in second.entries.values()]
        assert kept in ([], ["new"])
        again = await some.peek("a")
        assert again is None or again.value == "new"


async def test_the_pause_after_an_error_holds_when_the_clock_goes_back() -> None:
    """A load that failed is not tried again at every call."""
    source, clock = Source(), FixedClock()
    async with running(clock=clock) as cache:  # type: ignore[arg-type]
        some = of(cache)
        await some.get("a", source)
        clock.advance(2 * HOUR)
        source.failure = OSError("gone")
        back = FixedClock()
        some._now = back.now  # two hours back
        for _ in range(5):
            assert (await some.get("a", source)).value == 1
        assert source.begun <= 2
