"""What our guard costs a call that succeeds at once, beside the usual packages put together.

Each round runs all of them, interleaved, in one event loop: a bare `await work()`, asyncio.timeout
alone, the composition (tenacity, aiolimiter, asyncio.Semaphore, aiobreaker, and two times
asyncio.timeout: over all, and over each attempt) and our guard (deadline, retry, breaker, bucket,
bulkhead, attempt timeout; it also tells what happened). Prints medians over the rounds, and the
ratio of our guard to the composition in each.
"""

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable
from datetime import timedelta

from aiobreaker import CircuitBreaker
from aiolimiter import AsyncLimiter
from tenacity import (
    AsyncRetrying,
    retry_if_exception_type,
    stop_after_attempt,
    wait_random_exponential,
)

from resilience.bucket import BucketPolicy
from resilience.clock import SystemClock
from resilience.guard import Guard, GuardPolicy

ROUNDS = 60
CALLS = 500
PER_S = 1_000_000
"""A quota that no round reaches: what is measured is the cost, not the wait."""
COMPOSED, OURS = "tenacity and the others", "our guard"

Call = Callable[[], Awaitable[object]]


def main() -> None:
    """Run the rounds and print the table."""
    asyncio.run(_main())


async def _main() -> None:
    calls = {
        "bare await": work,
        "asyncio.timeout alone": timeout_alone,
        COMPOSED: composed(),
        OURS: guarded(),
    }
    found: dict[str, list[float]] = {name: [] for name in calls}
    for call in calls.values():
        await _us_a_call(call)  # warm
    for number in range(ROUNDS):
        for name in calls if number % 2 == 0 else reversed(calls):
            found[name].append(await _us_a_call(calls[name]))
    _print(found)


async def work() -> int:
    """Succeed at once."""
    return 1


async def timeout_alone() -> int:
    """The least that cuts a call that hangs."""
    async with asyncio.timeout(30):
        return await work()


def composed() -> Call:
    """The composition, in the faster of tenacity's two forms."""
    limiter = AsyncLimiter(PER_S, 1)
    places = asyncio.Semaphore(10)
    breaker = CircuitBreaker(fail_max=5, timeout_duration=timedelta(seconds=15))

    async def attempt() -> int:
        async with asyncio.timeout(30):
            return await work()

    async def call() -> int:
        async with asyncio.timeout(60):
            async for trial in AsyncRetrying(
                stop=stop_after_attempt(3),
                wait=wait_random_exponential(multiplier=0.5, max=20),
                retry=retry_if_exception_type((OSError, TimeoutError)),
                reraise=True,
            ):
                with trial:
                    async with limiter, places:
                        return await breaker.call_async(attempt)  # type: ignore[no-any-return]
        raise AssertionError("it returns or raises")

    return call


def guarded() -> Call:
    """Our guard with everything it has."""
    bucket = BucketPolicy(burst=PER_S, refill_s=1 / PER_S)
    guard = Guard("bench", GuardPolicy(bucket=bucket), clock=SystemClock())

    async def call() -> int:
        return (await guard.call(work)).value

    return call


async def _us_a_call(call: Call) -> float:
    start = time.process_time()
    for _ in range(CALLS):
        await call()
    return (time.process_time() - start) / CALLS * 1e6


def _print(found: dict[str, list[float]]) -> None:
    print(f"{'':24}{'CPU µs each':>10}{'ratio':>8}   ({ROUNDS} rounds of {CALLS:,}, medians)")
    peer = statistics.median(found[COMPOSED])
    for name, times in found.items():
        middle = statistics.median(times)
        print(f"{name:24}{middle:>10.2f}{middle / peer:>8.2f}")
    ratios = [ours / theirs for ours, theirs in zip(found[OURS], found[COMPOSED], strict=True)]
    low, middle, high = statistics.quantiles(ratios, n=4)
    print(f"ratio in each round: {middle:.2f} (quartiles {low:.2f} and {high:.2f})")


if __name__ == "__main__":
    main()
