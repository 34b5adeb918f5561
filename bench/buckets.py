"""What a decision of the token bucket costs, beside limits and pyrate-limiter, and what it keeps.

Each round runs all of them, interleaved, in memory and from nothing: as many calls a key as make
half of the decisions a yes and half a no. The peers as an asyncio program would use them: limits'
async strategies, and pyrate-limiter's Limiter that does not wait, with a bucket a key as its
documentation shows it. What they would clear away in between, in a task or a thread, gets no turn
here, which is in their favour. Pyrate-limiter's bucket without the limiter is no peer, as it knows
no keys; it is there to tell what the limiter adds.

Prints medians over the rounds, and the ratio to the faster peer; and the bytes that a key takes
while it is remembered, and once it is full again.
"""

import asyncio
import gc
import statistics
import time
import tracemalloc
from collections.abc import Awaitable, Callable

from limits import RateLimitItemPerDay
from limits.aio.storage import MemoryStorage
from limits.aio.strategies import FixedWindowRateLimiter, MovingWindowRateLimiter
from pyrate_limiter import (
    BucketFactory,
    Duration,
    InMemoryBucket,
    Limiter,
    MonotonicClock,
    Rate,
    RateItem,
)

from resilience.bucket import TokenBucket

ROUNDS = 9
KEYS = [f"chat:{number}" for number in range(2_000)]
BURST, CALLS = 5, 10
KEPT = [f"chat:{number}" for number in range(100_000)]
DAY_S = 86_400.0
OURS, BARE = "TokenBucket.take", "pyrate-limiter, bucket alone"

Yes = Callable[[], Awaitable[int]]
"""One run over all keys and calls; how many were let through."""


async def main() -> None:
    """Run the rounds and print the table."""
    took: dict[str, list[float]] = {name: [] for name in CONTESTANTS}
    for number in range(ROUNDS):
        for name in CONTESTANTS if number % 2 == 0 else reversed(CONTESTANTS):
            took[name].append(await _measure_us(CONTESTANTS[name]))
    _print(took)
    remembered, idle = _kept_bytes()
    print(f"\nbytes a key, of {len(KEPT):,} (the key's own string apart)")
    print(f"remembered           {remembered:8.0f}")
    print(f"full again           {idle:8.0f}   (the empty table; it shrinks as new keys come)")


def _print(took: dict[str, list[float]]) -> None:
    decisions = len(KEYS) * CALLS
    print(f"{decisions:,} decisions, {len(KEYS):,} keys, {ROUNDS} rounds, medians")
    print(f"{'':32}{'us':>8}{'ratio':>8}")
    middle = {name: statistics.median(times) for name, times in took.items()}
    for name, us in middle.items():
        print(f"{name:32}{us:8.2f}{middle[OURS] / us:8.2f}")
    peers = [name for name in middle if name not in (OURS, BARE)]
    faster = min(peers, key=middle.__getitem__)
    ratios = [ours / theirs for ours, theirs in zip(took[OURS], took[faster], strict=True)]
    print(f"to the faster peer in each round: {', '.join(f'{ratio:.2f}' for ratio in ratios)}")


async def _measure_us(run: Yes) -> float:
    gc.collect()
    start = time.perf_counter()
    passed = await run()
    took_s = time.perf_counter() - start
    if passed != len(KEYS) * BURST:
        raise SystemExit(f"{passed} passed, not {len(KEYS) * BURST}")
    return took_s / (len(KEYS) * CALLS) * 1e6


# --- the contestants -----------------------------------------------------------------------------


async def _ours() -> int:
    take = TokenBucket(burst=BURST, refill_s=DAY_S, monotonic=time.monotonic).take
    return sum(not take(key) for _ in range(CALLS) for key in KEYS)


async def _fixed_window() -> int:
    return await _hits(FixedWindowRateLimiter(MemoryStorage()))


async def _moving_window() -> int:
    return await _hits(MovingWindowRateLimiter(MemoryStorage()))


async def _hits(strategy: FixedWindowRateLimiter | MovingWindowRateLimiter) -> int:
    limit, passed = RateLimitItemPerDay(BURST), 0
    for _ in range(CALLS):
        for key in KEYS:
            passed += await strategy.hit(limit, key)
    return passed


class _ByKey(BucketFactory):
    """A bucket a key; the thread that empties them is not started, as none is to be emptied."""

    def __init__(self) -> None:
        self.clock = MonotonicClock()
        self.buckets: dict[str, InMemoryBucket] = {}

    def wrap_item(self, name: str, weight: int = 1) -> RateItem:
        return RateItem(name, self.clock.now(), weight=weight)

    def get(self, item: RateItem) -> InMemoryBucket:
        bucket = self.buckets.get(item.name)
        if bucket is None:
            bucket = self.buckets[item.name] = InMemoryBucket([Rate(BURST, Duration.DAY)])
        return bucket


async def _limiter() -> int:
    ask = Limiter(_ByKey()).try_acquire
    return sum(bool(ask(key, blocking=False)) for _ in range(CALLS) for key in KEYS)


async def _limiter_awaited() -> int:
    ask, passed = Limiter(_ByKey()).try_acquire_async, 0
    for _ in range(CALLS):
        for key in KEYS:
            passed += await ask(key, blocking=False)
    return passed


async def _bare_bucket() -> int:
    now = MonotonicClock().now
    bucket = InMemoryBucket([Rate(BURST * len(KEYS), Duration.DAY)])
    return sum(bucket.put(RateItem(key, now())) for _ in range(CALLS) for key in KEYS)


CONTESTANTS: dict[str, Yes] = {
    OURS: _ours,
    "limits, fixed window": _fixed_window,
    "limits, moving window": _moving_window,
    "pyrate-limiter, try_acquire": _limiter,
    "pyrate-limiter, awaited": _limiter_awaited,
    BARE: _bare_bucket,
}


# --- what is kept --------------------------------------------------------------------------------


def _kept_bytes() -> tuple[float, float]:
    """Bytes a key while all are remembered, and when they are full again."""
    now = [0.0]
    tokens = TokenBucket(burst=BURST, refill_s=1.0, monotonic=lambda: now[0])
    tracemalloc.start()
    empty = tracemalloc.get_traced_memory()[0]
    for number, key in enumerate(KEPT):
        now[0] = number * 1e-6  # each its own time, as a float is 24 bytes of what is kept
        tokens.take(key)
    remembered = tracemalloc.get_traced_memory()[0] - empty
    for number in range(1_000):  # a few go on, the others are idle
        now[0] += BURST
        tokens.take(KEPT[number % 10])
    idle = tracemalloc.get_traced_memory()[0] - empty
    tracemalloc.stop()
    return remembered / len(KEPT), idle / len(KEPT)


if __name__ == "__main__":
    asyncio.run(main())
