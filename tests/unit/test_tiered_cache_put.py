"""Values that came about elsewhere: put into both tiers, and found there without a load."""

import asyncio
from datetime import timedelta

import pytest

from cache.tiered import Cached, Origin
from tests.fakes.clock import NOON
from tests.fakes.saga_clock import HeldClock, settle
from tests.fakes.tiers import HeldThreads, MemorySecondTier
from tests.unit.test_tiered_cache import DAY, HOUR, Source, key_of, of, running, written

# Bug, reported: after a failed load has paused a stale value (Kind.error_pause_s), find gives it
# out as if it were current.


async def test_what_is_put_is_found() -> None:
    """From memory alone; another key, kind or version has nothing."""
    async with running() as cache:
        await of(cache).put("a", 7)
        assert await of(cache).find("a") == 7
        assert await of(cache).find("b") is None
        assert await of(cache, name="other").find("a") is None
        assert await of(cache, version=2).find("a") is None
        assert (cache.counts.loads, cache.counts.memory_hits) == (0, 1)


async def test_who_loads_gets_what_was_put() -> None:
    """No load while it is current."""
    source = Source()
    async with running() as cache:
        await of(cache).put("a", 7)
        assert await of(cache).get("a", source) == Cached(7, NOON, Origin.MEMORY)
    assert source.begun == 0


async def test_what_was_loaded_is_found() -> None:
    """As what was put."""
    async with running() as cache:
        await of(cache).get("a", Source())
        assert await of(cache).find("a") == 1


@pytest.mark.parametrize("behind", [True, False])
async def test_the_newest_value_counts(behind: bool) -> None:
    """Also at the same instant, and over a value that was loaded."""
    clock, second = HeldClock(), MemorySecondTier() if behind else None
    async with running(second, clock) as cache:
        await of(cache).get("a", Source())
        for value in (7, None, 8):
            await of(cache).put("a", value)
            assert await of(cache).find("a") == value
        clock.advance(1)
        await of(cache).put("a", 9)
        assert await of(cache).find("a") == 9
        if second is not None:
            await written(cache)
            assert second.entries[key_of(second)].data == b"9"


@pytest.mark.parametrize("behind", [True, False])
async def test_a_stale_value_is_not_found(behind: bool) -> None:
    """It is still kept, for who loads."""
    clock, source = HeldClock(), Source(OSError("down"))
    async with running(MemorySecondTier() if behind else None, clock) as cache:
        await of(cache).put("a", 7)
        clock.advance(HOUR - 1)
        assert await of(cache).find("a") == 7
        clock.advance(1)
        assert await of(cache).find("a") is None
        kept = await of(cache).get("a", source)
        assert (kept.value, kept.stale) == (7, True)
        clock.advance(7 * DAY)
        assert await of(cache).peek("a") is None
        assert await of(cache).find("a") is None


async def test_nothing_found_is_current_for_a_short_time() -> None:
    """As when it was loaded."""
    clock = HeldClock()
    async with running(clock=clock) as cache:
        await of(cache).put("a", None)
        clock.advance(59)
        kept = await of(cache).peek("a")
        assert kept is not None
        assert not kept.stale
        clock.advance(1)
        kept = await of(cache).peek("a")
        assert kept is not None
        assert kept.stale


async def test_another_process_finds_it() -> None:
    """In the second tier, with its times and whose it is."""
    clock, second = HeldClock(), MemorySecondTier()
    async with running(second, clock) as cache:
        await of(cache).put("a", 7, tag="ada")
        await written(cache)
    (stored,) = second.entries.values()
    assert (stored.data, stored.tag, stored.stored_at) == (b"7", "ada", NOON)
    assert stored.fresh_until == NOON + timedelta(seconds=HOUR)
    assert stored.kept_until == NOON + timedelta(seconds=7 * DAY)
    async with running(second, clock) as cache:
        assert await of(cache).find("a") == 7
        assert await of(cache).find("a") == 7
        assert (cache.counts.second_hits, cache.counts.memory_hits) == (1, 1)
        clock.advance(HOUR)
        assert await of(cache).find("a") is None


async def test_a_newer_value_of_another_process_is_found() -> None:
    """Once memory asks again."""
    clock, second = HeldClock(), MemorySecondTier()
    async with running(second, clock) as one, running(second, clock) as other:
        await of(one).put("a", 7)
        await written(one)
        clock.advance(1)
        await of(other).put("a", 8)
        await written(other)
        assert await of(one).find("a") == 7
        clock.advance(15 * 60)
        assert await of(one).find("a") == 8


async def test_it_is_found_before_it_is_written() -> None:
    """Putting waits for no tier, and a tier that is down takes nothing away."""
    second = MemorySecondTier()
    second.go_down()
    clock = HeldClock()
    async with running(second, clock) as cache:
        await of(cache).put("a", 7)
        assert await of(cache).find("a") == 7
        clock.advance(20 * 60)
        assert await of(cache).find("a") == 7
        assert await of(cache).find("b") is None
        assert second.entries == {}
        second.come_up()


async def test_forgetting_takes_it_away() -> None:
    """From both tiers, by its tag; what has another tag, or none, stays."""
    second = MemorySecondTier()
    async with running(second) as cache:
        for key, tag in (("a", "ada"), ("b", "bob"), ("c", None)):
            await of(cache).put(key, key, tag=tag)
        await written(cache)
        assert await cache.forget("ada")
        assert [await of(cache).find(key) for key in "abc"] == [None, "b", "c"]
        assert {stored.tag for stored in second.entries.values()} == {"bob", None}


@pytest.mark.parametrize(("tag", "kept"), [("ada", None), ("bob", None), (None, 7)])
async def test_a_put_that_a_forget_overtakes(tag: str | None, kept: int | None) -> None:
    """While it is encoded, somebody is forgotten: what has a tag may be theirs, and is not kept."""
    second = MemorySecondTier()
    async with running(second) as cache:
        threads = HeldThreads()
        asyncio.get_running_loop().set_default_executor(threads)
        putting = asyncio.create_task(of(cache).put("a", 7, tag=tag))
        await settle()
        assert await cache.forget("ada")
        threads.held.pop()()
        await putting
        assert await of(cache).find("a") == kept
        await written(cache)
        assert len(second.entries) == (kept is not None)


async def test_a_put_after_a_forget_is_kept() -> None:
    """Who comes again is somebody new."""
    async with running(MemorySecondTier()) as cache:
        await cache.forget("ada")
        await of(cache).put("a", 7, tag="ada")
        assert await of(cache).find("a") == 7


async def test_a_value_that_can_t_be_stored() -> None:
    """Is counted and left out; what was there before stays."""
    async with running(MemorySecondTier()) as cache:
        await of(cache).put("a", 7)
        await of(cache).put("a", object())
        assert await of(cache).find("a") == 7
        assert cache.counts.unstorable == 1


async def test_bytes_that_are_none_are_not_found() -> None:
    """A poisoned value is as none, and a new one replaces it."""
    second = MemorySecondTier()
    clock = HeldClock()
    async with running(second, clock) as cache:
        await of(cache).put("a", 7)
        await written(cache)
    key = key_of(second)
    second.entries[key] = type(second.entries[key])(
        data=b"{oops",
        stored_at=NOON,
        fresh_until=NOON + timedelta(hours=1),
        kept_until=NOON + timedelta(days=1),
        tag=None,
    )
    async with running(second, clock) as cache:
        assert await of(cache).find("a") is None
        assert cache.counts.unreadable == 1
        clock.advance(1)
        await of(cache).put("a", 8)
        assert await of(cache).find("a") == 8
        await written(cache)
        assert second.entries[key].data == b"8"


async def test_a_load_that_ends_later_replaces_what_was_put() -> None:
    """The newest one counts, wherever it came from."""
    clock, source = HeldClock(), Source()
    async with running(clock=clock) as cache:
        source.gate.clear()
        loading = asyncio.create_task(of(cache).get("a", source))
        await settle()
        await of(cache).put("a", 7)
        assert await of(cache).find("a") == 7
        clock.advance(1)
        source.gate.set()
        assert (await loading).value == 1
        assert await of(cache).find("a") == 1


async def test_what_is_forgotten_while_it_is_sought_is_not_found() -> None:
    """The second tier's late answer does not bring it back."""
    clock, second = HeldClock(), MemorySecondTier()
    async with running(second, clock) as cache:
        await of(cache).put("a", 7, tag="ada")
        await written(cache)
    async with running(second, clock) as cache:
        second.gate.clear()
        finding = asyncio.create_task(of(cache).find("a"))
        await settle()
        forgetting = asyncio.create_task(cache.forget("ada"))
        await asyncio.sleep(0)
        second.gate.set()
        assert await finding is None
        assert await forgetting
        assert await of(cache).find("a") is None
