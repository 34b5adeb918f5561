"""What a hit costs beside cashews, aiocache and async-lru, and how often each loads.

Hits: one key in memory, read in rounds that take turns; as its users would write it (a function
that is decorated, `cache.get(key, load)` here), and of cashews and aiocache also the bare `get`,
which loads nothing. Loads: 100 callers at once of something that takes 3 s, longer than aiocache's
default lease of 2 s, and 1,000 callers at once of something fast.
"""

import asyncio
import json
import statistics
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import aiocache
import cashews
from aiocache.decorators import cached, cached_stampede
from async_lru import alru_cache

from cache.kind import Kind
from cache.tiered import Cache
from resilience.clock import SystemClock

ROUNDS = 15
HITS = 5_000
TTL_S = 900
SLOW_S = 3.0
CALLERS, MANY_CALLERS = 100, 1_000
OURS = "ours, get(key, load)"

Get = Callable[[], Awaitable[Any]]
Load = Callable[[], Awaitable[str]]


class Text:
    """Implements `cache.tiered.Codec`."""

    def encode(self, value: str) -> bytes:
        """As JSON."""
        return json.dumps(value).encode()

    def decode(self, data: bytes) -> str:
        """From JSON."""
        return str(json.loads(data))


class Loads:
    """Counts how often it is asked for the value."""

    def __init__(self, takes_s: float) -> None:
        self.takes_s = takes_s
        self.count = 0

    async def __call__(self) -> str:
        """The value, after a while."""
        self.count += 1
        await asyncio.sleep(self.takes_s)
        return "value"


async def main() -> None:
    """Run both and print the tables."""
    async with AsyncExitStack() as stack:
        ours = await stack.enter_async_context(Cache(SystemClock(), None))
        _print_hits(await _hit_times_us(await _hits(ours)))
        await _print_loads(ours)


async def _hits(ours: Cache) -> dict[str, Get]:
    of_cashews, of_aiocache = _cashews(), aiocache.SimpleMemoryCache()
    await of_cashews.set("key", "value", expire=TTL_S)
    await of_aiocache.set("key", "value", ttl=TTL_S)
    return {
        OURS: _of_ours(ours, "hit", Loads(0)),
        "cashews, decorated": of_cashews(ttl=TTL_S, key="decorated")(_function(Loads(0))),
        "cashews, bare get": lambda: of_cashews.get("key"),
        "aiocache, decorated": cached(ttl=TTL_S)(_function(Loads(0))),
        "aiocache, bare get": lambda: of_aiocache.get("key"),
        "async-lru, decorated": alru_cache(ttl=TTL_S)(_function(Loads(0))),
    }


async def _hit_times_us(hits: dict[str, Get]) -> dict[str, list[float]]:
    times: dict[str, list[float]] = {name: [] for name in hits}
    for get in hits.values():
        await get()
    for number in range(ROUNDS):
        for name in hits if number % 2 == 0 else reversed(hits):
            get = hits[name]
            start = time.perf_counter()
            for _ in range(HITS):
                await get()
            times[name].append((time.perf_counter() - start) / HITS * 1e6)
    return times


def _print_hits(times: dict[str, list[float]]) -> None:
    print(f"{'a hit in memory':28}{'us':>8}{'ours/its':>10}   ({ROUNDS} rounds, medians)")
    for name, each in times.items():
        ratios = [ours / its for ours, its in zip(times[OURS], each, strict=True)]
        print(f"{name:28}{statistics.median(each):>8.2f}{statistics.median(ratios):>10.3f}")


async def _print_loads(ours: Cache) -> None:
    of_cashews, of_aiocache = _cashews(), {"ttl": TTL_S}
    makers: dict[str, Callable[[Loads], Get]] = {
        OURS: lambda load: _of_ours(ours, f"slow {id(load)}", load),
        "cashews": lambda load: of_cashews(ttl=TTL_S, key=f"a{id(load)}")(_function(load)),
        "cashews, lock": lambda load: of_cashews(ttl=TTL_S, key=f"b{id(load)}", lock=True)(
            _function(load)
        ),
        "cashews, early": lambda load: of_cashews.early(ttl=TTL_S, key=f"c{id(load)}")(
            _function(load)
        ),
        "aiocache": lambda load: cached(**of_aiocache, key=f"a{id(load)}")(_function(load)),
        "aiocache, lease of 2 s": lambda load: cached_stampede(
            lease=2, **of_aiocache, key=f"b{id(load)}"
        )(_function(load)),
        "async-lru": lambda load: alru_cache(ttl=TTL_S)(_function(load)),
    }
    print(f"\n{'loads made':28}{f'{CALLERS} callers, {SLOW_S:.0f} s':>20}", end="")
    print(f"{f'{MANY_CALLERS:,} callers, fast':>24}")
    counts = await asyncio.gather(*(_counts(make) for make in makers.values()))
    for name, (slow, fast) in zip(makers, counts, strict=True):
        print(f"{name:28}{slow:>20}{fast:>24}")


async def _counts(make: Callable[[Loads], Get]) -> tuple[int, int]:
    slow, fast = Loads(SLOW_S), Loads(0)
    for loads, callers in ((slow, CALLERS), (fast, MANY_CALLERS)):
        get = make(loads)
        await asyncio.gather(*(get() for _ in range(callers)))
    return slow.count, fast.count


def _of_ours(ours: Cache, key: str, load: Load) -> Get:
    values = ours.of(Kind(name="bench", version=1), Text())

    async def loaded(_: object) -> str:
        return await load()

    return lambda: values.get(key, loaded)


def _cashews() -> cashews.Cache:
    cache = cashews.Cache()
    cache.setup("mem://")
    return cache


def _function(load: Load) -> Load:
    """A plain function, which is what the decorators take."""

    async def loaded() -> str:
        return await load()

    return loaded


if __name__ == "__main__":
    asyncio.run(main())
