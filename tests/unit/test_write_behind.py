"""The way to the second tier: in order, in batches, bounded, and again when it failed."""

import asyncio
import math
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest

from cache.port import Stored, TierFailed, ValueRefused
from cache.write_behind import (
    ALONE_MAX,
    BATCH_BYTES_MAX,
    BATCH_MAX,
    LAST_S,
    PAUSE_MAX_S,
    WriteBehind,
)
from tests.fakes.clock import NOON
from tests.fakes.saga_clock import HeldClock, settle
from tests.fakes.tiers import MemorySecondTier
from tests.fakes.virtual_time import in_virtual_time


def stored(data: bytes = b"x", tag: str | None = None, age_s: float = 0.0) -> Stored:
    """A value that is current for an hour."""
    stored_at = NOON - timedelta(seconds=age_s)
    return Stored(
        data=data,
        stored_at=stored_at,
        fresh_until=stored_at + timedelta(hours=1),
        kept_until=stored_at + timedelta(days=7),
        tag=tag,
    )


@asynccontextmanager
async def writing(
    tier: MemorySecondTier, clock: HeldClock | None = None, **more: Any
) -> AsyncIterator[WriteBehind]:
    """Writes whose pauses are the longest that they may be; no task is left behind."""
    before = asyncio.all_tasks()
    more.setdefault("uniform", lambda _low, high: high)
    async with WriteBehind(tier, clock or HeldClock(), **more) as writes:
        yield writes
    assert asyncio.all_tasks() == before


def data_of(tier: MemorySecondTier) -> dict[str, bytes]:
    """What the tier holds."""
    return {key: entry.data for key, entry in tier.entries.items()}


async def test_the_newest_value_of_each_key_is_written() -> None:
    """What it replaced before its turn is not written at all."""
    tier = MemorySecondTier()
    async with writing(tier) as writes:
        for data in (b"1", b"2", b"3"):
            writes.put("a", stored(data))
        writes.put("b", stored(b"4"))
        assert len(writes) == 2
        assert await writes.written(within_s=1)
        assert len(writes) == 0
    assert data_of(tier) == {"a": b"3", "b": b"4"}
    assert tier.batches == [["a", "b"]]


async def test_a_newer_value_that_comes_while_one_is_written() -> None:
    """Is written next."""
    tier = MemorySecondTier()
    tier.gate.clear()
    async with writing(tier) as writes:
        writes.put("a", stored(b"1"))
        await settle()
        writes.put("a", stored(b"2"))
        tier.gate.set()
        assert await writes.written(within_s=1)
    assert data_of(tier) == {"a": b"2"}
    assert tier.batches == [["a"], ["a"]]


async def test_values_go_in_batches_in_their_order() -> None:
    """Of so many at most; a key that was put again goes last."""
    tier = MemorySecondTier()
    async with writing(tier) as writes:
        for number in range(2 * BATCH_MAX + 1):
            writes.put(str(number), stored())
        writes.put("0", stored())
        assert await writes.written(within_s=1)
    assert [len(batch) for batch in tier.batches] == [BATCH_MAX, BATCH_MAX, 1]
    assert [key for batch in tier.batches for key in batch] == [
        *map(str, range(1, 2 * BATCH_MAX + 1)),
        "0",
    ]


async def test_batches_are_bounded_by_bytes() -> None:
    """A larger value goes alone."""
    tier = MemorySecondTier()
    async with writing(tier) as writes:
        for key, size in (("a", 0.6), ("b", 0.4), ("c", 1.5), ("d", 0.1), ("e", 0.1)):
            writes.put(key, stored(bytes(int(size * BATCH_BYTES_MAX))))
        assert await writes.written(within_s=1)
    assert tier.batches == [["a", "b"], ["c"], ["d", "e"]]


@pytest.mark.parametrize("bounds", [{"entries_max": 3}, {"bytes_max": 3}])
async def test_what_waits_is_bounded(bounds: dict[str, Any]) -> None:
    """By entries and by bytes: the oldest are dropped, and counted."""
    tier = MemorySecondTier()
    tier.go_down()
    async with writing(tier, **bounds) as writes:
        for key in "abcde":
            writes.put(key, stored())
        writes.put("c", stored(b"y"))
        assert (len(writes), writes.overflowed) == (3, 2)
        tier.come_up()
    assert data_of(tier) == {"d": b"x", "e": b"x", "c": b"y"}


async def test_a_value_larger_than_what_may_wait() -> None:
    """Is dropped, with all that waited."""
    tier = MemorySecondTier()
    async with writing(tier, bytes_max=3) as writes:
        writes.put("a", stored(b"long"))
        assert (len(writes), writes.overflowed) == (0, 1)
        assert await writes.written(within_s=1)
    assert tier.calls["put"] == 0


@pytest.mark.parametrize("field", ["entries_max", "bytes_max"])
@pytest.mark.parametrize("value", [0, -1, math.nan])
def test_bounds_that_are_none(field: str, value: float) -> None:
    """Are refused, by name."""
    with pytest.raises(ValueError, match=f"^{field}: "):
        WriteBehind(MemorySecondTier(), HeldClock(), **{field: value})  # type: ignore[arg-type]


async def test_a_tier_that_is_down_is_asked_again_after_growing_pauses() -> None:
    """Up to half a minute; after a success they begin anew."""
    tier, clock = MemorySecondTier(), HeldClock()
    async with writing(tier, clock) as writes:
        for pauses_s in ([1.0, 2.0, 4.0, 8.0, 16.0, *[PAUSE_MAX_S] * 9], [1.0, 2.0]):
            tier.go_down()
            writes.put("a", stored())
            await settle()
            for pause_s in pauses_s:
                asked = tier.calls["put"]
                clock.advance(pause_s - 0.01)
                await settle()
                assert tier.calls["put"] == asked
                clock.advance(0.01)
                await settle()
                assert tier.calls["put"] == asked + 1
            tier.come_up()
            clock.advance(PAUSE_MAX_S)
            assert await writes.written(within_s=1)
    assert data_of(tier) == {"a": b"x"}


async def test_pauses_are_jittered() -> None:
    """Between half and all of their bound."""
    tier, clock = MemorySecondTier(), HeldClock()
    asked: list[tuple[float, float]] = []

    def uniform(low: float, high: float) -> float:
        asked.append((low, high))
        return low

    tier.go_down()
    async with writing(tier, clock, uniform=uniform) as writes:
        writes.put("a", stored())
        await settle()
        clock.advance(0.5)
        await settle()
    assert asked == [(0.5, 1.0), (1.0, 2.0)]


async def test_a_value_that_the_tier_refuses() -> None:
    """Is dropped and counted; those beside it are written."""
    tier = MemorySecondTier()
    tier.refuses = lambda entry: entry.data == b"bad"
    async with writing(tier) as writes:
        for key, data in (("a", b"1"), ("b", b"bad"), ("c", b"2")):
            writes.put(key, stored(data))
        assert await writes.written(within_s=1)
        assert writes.refused == 1
    assert data_of(tier) == {"a": b"1", "c": b"2"}


class Script(MemorySecondTier):
    """Notes the order of what it is asked, and does something in the middle of a write."""

    def __init__(self) -> None:
        super().__init__()
        self.order: list[str] = []

    async def put(self, entries: Mapping[str, Stored]) -> None:
        """Note the keys."""
        await super().put(entries)
        self.order += entries

    async def forget(self, tag: str) -> None:
        """Note the tag."""
        await super().forget(tag)
        self.order.append(f"forget {tag}")


async def test_forgetting_between_writes() -> None:
    """After what is being written, before what comes; what waits with the tag never goes."""
    tier = Script()
    tier.gate.clear()
    async with writing(tier) as writes:
        writes.put("written", stored(tag="me"))
        await settle()
        writes.put("waiting", stored(tag="me"))
        writes.put("another's", stored(tag="you"))
        writes.forget("me")
        writes.forget("me")
        writes.put("later", stored(tag="me"))
        assert writes.forgetting == {"me"}
        tier.gate.set()
        assert await writes.forgotten("me", within_s=1)
        assert writes.forgetting == frozenset()
        assert await writes.written(within_s=1)
    assert tier.order == ["written", "forget me", "another's", "later"]
    assert set(tier.entries) == {"another's", "later"}


async def test_forgetting_what_is_forgotten_already() -> None:
    """Takes no time."""
    async with writing(MemorySecondTier()) as writes:
        assert await writes.forgotten("me", within_s=0)


@in_virtual_time
async def test_waiting_for_what_does_not_come() -> None:
    """Is told when the time is over; what waits goes on waiting."""
    tier, clock = MemorySecondTier(), HeldClock()
    tier.go_down()
    async with writing(tier, clock) as writes:
        writes.put("a", stored())
        writes.forget("me")
        assert not await writes.written(within_s=5)
        assert not await writes.forgotten("me", within_s=5)
        assert asyncio.get_running_loop().time() == 10
        assert len(writes) == 1
        tier.come_up()
        clock.advance(1)
        assert await writes.written(within_s=1)
        assert await writes.forgotten("me", within_s=1)


async def test_a_forget_is_told_while_writes_go_on_failing() -> None:
    """It is not the writes' fault."""
    tier = MemorySecondTier()
    tier.failing = {"put"}
    async with writing(tier) as writes:
        writes.put("a", stored())
        writes.forget("me")
        assert await writes.forgotten("me", within_s=1)
        assert len(writes) == 1


async def test_leaving_writes_what_it_can() -> None:
    """Also what waits for the end of a pause, in as many batches as it takes."""
    tier = MemorySecondTier()
    tier.go_down()
    async with writing(tier) as writes:
        for number in range(2 * BATCH_MAX):
            writes.put(str(number), stored())
        writes.forget("me")
        await settle()
        tier.come_up()
    assert len(tier.entries) == 2 * BATCH_MAX
    assert tier.calls["forget"] == 2


async def test_leaving_a_tier_that_is_down() -> None:
    """Is tried once, and then given up."""
    tier = MemorySecondTier()
    tier.go_down()
    async with writing(tier) as writes:
        writes.put("a", stored())
        await settle()
    assert tier.calls["put"] == 2


@in_virtual_time
async def test_leaving_a_tier_that_hangs() -> None:
    """Takes a bounded time."""
    tier = MemorySecondTier()
    tier.hanging = {"put"}
    async with writing(tier) as writes:
        writes.put("a", stored())
        await settle()
    assert asyncio.get_running_loop().time() == LAST_S


# --- one that stands in the way of others ----------------------------------------------------


class Picky(MemorySecondTier):
    """Fails at one value, and at one tag, as at something that is too large for the network."""

    async def put(self, entries: Mapping[str, Stored]) -> None:
        """Fail whenever it is among them."""
        if any(stored.data == b"poison" for stored in entries.values()):
            self.calls["poisoned"] += 1
            raise TierFailed("no answer")
        await super().put(entries)

    async def forget(self, tag: str) -> None:
        """Fail at `nobody`, and never take `odd`."""
        if tag == "nobody":
            raise TierFailed("no answer")
        if tag == "odd":
            raise ValueRefused("no such text", transient=False)
        await super().forget(tag)


async def test_a_value_that_always_fails_holds_up_no_other() -> None:
    """The others are written in its place; alone, while they are, it is given up in the end."""
    tier, clock = Picky(), HeldClock()
    async with writing(tier, clock) as writes:
        writes.put("poison", stored(b"poison"))
        for number in range(20):
            writes.put(str(number), stored())
        while len(tier.entries) < 20:
            await settle()
            clock.advance_to_next()
        assert writes.get("poison") is not None
        for number in range(20, 20 + 2 * ALONE_MAX):
            writes.put(str(number), stored())
            for _ in range(4):
                await settle()
                clock.advance_to_next()
        assert writes.get("poison") is None
        assert (len(writes), writes.refused) == (0, 1)
    assert len(tier.entries) == 20 + 2 * ALONE_MAX


async def test_while_nothing_can_be_written_nothing_is_given_up() -> None:
    """However often: it is the tier that fails, not the value."""
    tier, clock = MemorySecondTier(), HeldClock()
    async with writing(tier, clock) as writes:
        tier.go_down()
        writes.put("a", stored())
        for _ in range(10 * ALONE_MAX):
            await settle()
            clock.advance_to_next()
        tier.come_up()
        await settle()
        clock.advance_to_next()
        assert await writes.written(within_s=1)
    assert (list(tier.entries), writes.refused) == (["a"], 0)


class OneByOne(Picky):
    """Takes one value at a time."""

    async def put(self, entries: Mapping[str, Stored]) -> None:
        """Refuse more than one."""
        if len(entries) > 1:
            raise ValueRefused("too many", transient=False)
        await super().put(entries)


async def test_a_refused_batch_that_fails_half_way_is_taken_up_again() -> None:
    """What was written of it is not written again, the rest is."""
    tier, clock = OneByOne(), HeldClock()
    async with writing(tier, clock) as writes:
        for key in ("a", "poison", "b"):
            writes.put(key, stored(key.encode()))
        for _ in range(12):
            await settle()
            clock.advance_to_next()
        assert tier.batches == [["a"], ["b"]]
        assert (writes.refused, len(writes)) == (0, 1)


async def test_a_value_too_large_for_all_room_costs_no_other() -> None:
    """It is dropped and counted, and an older one of its key with it."""
    tier = MemorySecondTier()
    tier.go_down()
    async with writing(tier, bytes_max=100) as writes:
        writes.put("a", stored(b"x" * 40))
        writes.put("b", stored(b"x" * 40))
        writes.put("b", stored(b"x" * 101))
        assert (len(writes), writes.overflowed) == (1, 1)
        assert writes.get("a") is not None


async def test_a_tag_that_fails_holds_up_no_other(caplog: pytest.LogCaptureFixture) -> None:
    """The others are forgotten and values written; what is of that tag waits for it. One that is
    not taken at all can have nothing stored."""
    tier, clock = Picky(), HeldClock()
    async with writing(tier, clock) as writes:
        for tag in ("nobody", "odd", "ada"):
            writes.forget(tag)
        writes.put("later", stored(tag="nobody"))
        writes.put("b", stored())
        assert await writes.forgotten("ada", within_s=1)
        assert await writes.forgotten("odd", within_s=1)
        await settle()
        assert writes.forgetting == {"nobody"}
        assert list(tier.entries) == ["b"]
    assert "does not take a tag: no such text" in caplog.text
    assert "not written at the end: 1 values, 1 to be forgotten" in caplog.text


async def test_the_oldest_is_dropped_whatever_was_tried_before() -> None:
    """Values that failed and were put behind the others are still the older ones."""
    tier, clock = MemorySecondTier(), HeldClock()
    tier.go_down()
    async with writing(tier, clock, entries_max=4) as writes:
        for number in range(6):
            writes.put(str(number), stored(age_s=100 - number))
            await settle()
            clock.advance_to_next()
        assert [key for key in "012345" if writes.get(key)] == ["2", "3", "4", "5"]
        assert writes.overflowed == 2
