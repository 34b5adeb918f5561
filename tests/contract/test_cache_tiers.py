"""What every second tier of the cache does. A tier that is added here passes all of it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from cache.port import Stored, Tier
from cache.sqlite import SqliteTier
from tests.fakes.clock import NOON
from tests.fakes.tiers import MemorySecondTier

EVERY_BYTE = bytes(range(256))
MILLISECOND = timedelta(milliseconds=1)


@asynccontextmanager
async def opened(name: str, folder: Path) -> AsyncIterator[Tier]:
    """An empty tier of that name."""
    match name:
        case "memory":
            yield MemorySecondTier()
        case _:
            async with SqliteTier(folder / "cache.db", now=NOON.timestamp) as tier:
                yield tier


@pytest.fixture(params=["memory", "sqlite"])
async def tier(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Tier]:
    """Each second tier in turn, empty."""
    async with opened(request.param, tmp_path) as tier:
        yield tier


def stored(
    data: bytes = b"x", *, at: datetime = NOON, kept_s: float = 7200.0, tag: str | None = None
) -> Stored:
    """A value that is current for an hour."""
    return Stored(
        data=data,
        stored_at=at,
        fresh_until=at + timedelta(hours=1),
        kept_until=at + timedelta(seconds=kept_s),
        tag=tag,
    )


async def data_of(tier: Tier, *keys: str) -> list[bytes | None]:
    """What is stored under each of the keys."""
    found = [await tier.get(key) for key in keys]
    return [None if entry is None else entry.data for entry in found]


async def test_what_was_never_stored(tier: Tier) -> None:
    """Is None."""
    assert await tier.get("a") is None


@pytest.mark.parametrize("data", [b"", b"\x00", EVERY_BYTE, EVERY_BYTE * 4_000])
async def test_what_was_put_is_got(tier: Tier, data: bytes) -> None:
    """All bytes there are, with or without a tag."""
    entries = {"a": stored(data), "b": stored(data, tag="me: ö/'\";--")}
    await tier.put(entries)
    assert await tier.get("a") == entries["a"]
    assert await tier.get("b") == entries["b"]


async def test_instants_are_kept_to_the_millisecond(tier: Tier) -> None:
    """In UTC, whatever zone they were given in."""
    exact = NOON + timedelta(days=1234, microseconds=123_456)
    await tier.put({"a": stored(at=exact)})
    found = await tier.get("a")
    assert found is not None
    for got, put in (
        (found.stored_at, exact),
        (found.fresh_until, exact + timedelta(hours=1)),
        (found.kept_until, exact + timedelta(hours=2)),
    ):
        assert got.utcoffset() == timedelta(0)
        assert abs(got - put) < MILLISECOND


async def test_what_is_not_current_any_more(tier: Tier) -> None:
    """Is found all the same, until it is swept."""
    old = stored(at=NOON - timedelta(days=400))
    await tier.put({"a": old})
    assert await tier.get("a") == old


async def test_the_newest_wins(tier: Tier) -> None:
    """With its own times and its own tag; one of the same instant counts as newer."""
    newer = stored(b"newer", at=NOON + MILLISECOND, tag="me")
    await tier.put({"a": stored(b"older", tag="you")})
    await tier.put({"a": newer})
    assert await tier.get("a") == newer
    await tier.put({"a": replace(newer, data=b"again")})
    assert await data_of(tier, "a") == [b"again"]


async def test_an_older_value_is_ignored(tier: Tier) -> None:
    """Without an error, and without harm to those beside it."""
    newer = stored(b"newer", at=NOON + MILLISECOND)
    await tier.put({"a": newer})
    await tier.put({"a": stored(b"older"), "b": stored(b"beside")})
    assert await tier.get("a") == newer
    assert await data_of(tier, "b") == [b"beside"]


async def test_a_batch(tier: Tier) -> None:
    """Is stored whole."""
    keys = [str(number) for number in range(50)]
    await tier.put({key: stored(key.encode()) for key in keys})
    assert await data_of(tier, *keys) == [key.encode() for key in keys]


async def test_forgetting_a_tag(tier: Tier) -> None:
    """Everything with it goes, nothing else; twice does no harm; what is made later is stored."""
    await tier.put(
        {"a": stored(tag="me"), "b": stored(tag="me"), "c": stored(tag="you"), "d": stored()}
    )
    for _ in range(2):
        await tier.forget("me")
        assert await data_of(tier, "a", "b", "c", "d") == [None, None, b"x", b"x"]
    later = stored(b"again", at=NOON + MILLISECOND, tag="me")
    await tier.put({"a": later})
    assert await tier.get("a") == later


@pytest.mark.parametrize("tag", ["", "m%", "_e", "*", "me' OR '1'='1", "ME", "me "])
async def test_a_tag_is_no_pattern(tier: Tier, tag: str) -> None:
    """Only the very same one is forgotten."""
    await tier.put({"a": stored(tag="me"), "b": stored()})
    await tier.forget(tag)
    assert await data_of(tier, "a", "b") == [b"x", b"x"]


async def test_sweeping(tier: Tier) -> None:
    """What is kept until now goes; what is kept longer stays, current or not."""
    await tier.put({"a": stored(kept_s=3600), "b": stored(kept_s=3600.1), "c": stored(kept_s=7200)})
    await tier.sweep(NOON)
    assert None not in await data_of(tier, "a", "b", "c")
    await tier.sweep(NOON + timedelta(hours=1))
    assert await data_of(tier, "a", "b", "c") == [None, b"x", b"x"]
    await tier.sweep(NOON + timedelta(days=400))
    assert await data_of(tier, "a", "b", "c") == [None, None, None]


async def test_all_at_once(tier: Tier) -> None:
    """Whatever the order, the newest value is left."""
    at = [NOON + number * MILLISECOND for number in range(20)]
    puts = [tier.put({"a": stored(str(number).encode(), at=at[number])}) for number in range(20)]
    await asyncio.gather(*puts[::2], *(tier.get("a") for _ in range(10)), *puts[1::2])
    assert await data_of(tier, "a") == [b"19"]
