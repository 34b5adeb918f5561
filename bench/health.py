"""What it costs to be watched: a snapshot over 100,000 events, and what a guarded call pays.

The snapshot is of four agents and twenty dependencies with 100,000 events in the window. A guarded
call is timed with and without what observes it, interleaved, in CPU time; medians of many rounds.
"""

import asyncio
import random
import statistics
import time
from collections.abc import Awaitable, Callable
from datetime import datetime
from functools import partial

from bot.ops.health import Standing, snapshot
from bot.ops.observed import AGENTS, Observed
from resilience.breaker import CLOSED, BreakerView, Mode
from resilience.clock import SystemClock
from resilience.guard import Guard, GuardPolicy
from resilience.saga import Event, EventType

EVENTS, DEPENDENCIES = 100_000, 20
ROUNDS, CALLS = 31, 2_000


def main() -> None:
    """Print both."""
    asyncio.run(_measure())


async def _measure() -> None:
    times = _snapshots()
    print(f"snapshot with {EVENTS:,} events in the window: "
          f"{statistics.median(times):.2f} ms (most {max(times):.2f})")  # fmt: skip
    bare, observed = await _guarded_calls()
    print(f"a guarded call: {statistics.median(bare):.2f} µs, observed "
          f"{statistics.median(observed):.2f} µs: "
          f"{statistics.median(observed) - statistics.median(bare):.2f} µs more")  # fmt: skip
    print(f"an event of a run: {_event_us():.2f} µs")


def _snapshots() -> list[float]:
    clock, dice = SystemClock(), random.Random(1)
    observed = Observed(clock)
    names = [f"dependency-{n}" for n in range(DEPENDENCIES)]
    observed.expect(names)
    for number in range(EVENTS):
        took_s, ago_s = dice.lognormvariate(0, 2), 890.0 * (1 - number / EVENTS)
        if number % 2:
            agent = AGENTS[number % len(AGENTS)]
            observed.agents[agent].note(took_s, failed=number % 9 == 0, ago_s=ago_s)
        else:
            name = names[number % DEPENDENCIES]
            observed.calls[name].note(took_s, failed=number % 9 == 0, ago_s=ago_s)
    now = clock.now()
    standing = Standing(started_at=now, breakers=tuple(_breaker(name, now) for name in names))
    times = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        snapshot(observed, standing, clock.now())
        times.append((time.perf_counter() - began) * 1e3)
    return times


def _breaker(name: str, now: datetime) -> BreakerView:
    return BreakerView(
        name=name,
        state=CLOSED,
        mode=Mode.AUTO,
        since=now,
        reason="made",
        probes_in_s=None,
        failure_rate=None,
    )


async def _guarded_calls() -> tuple[list[float], list[float]]:
    clock = SystemClock()
    plain, watched = (Guard("x", GuardPolicy(), clock=clock) for _ in range(2))
    observed = Observed(clock)
    observed.expect(["x"])
    watched.subscribe(observed.note_call)

    async def work() -> int:
        return 1

    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(ROUNDS):
        for guard, into in zip((plain, watched), times, strict=True):
            into.append(await _microseconds(partial(guard.call, work)))
    return times


async def _microseconds(call: Callable[[], Awaitable[object]]) -> float:
    began = time.process_time()
    for _ in range(CALLS):
        await call()
    return (time.process_time() - began) / CALLS * 1e6


def _event_us() -> float:
    clock = SystemClock()
    observed, now = Observed(clock), clock.now()
    data = {"step": "match", "agent": "matching"}
    began = time.process_time()
    for number in range(CALLS):
        for kind in (EventType.STEP_STARTED, EventType.STEP_COMPLETED):
            observed.note_event(Event(run_id=f"r{number}", seq=1, type=kind, at=now, data=data))
    return (time.process_time() - began) / CALLS / 2 * 1e6


if __name__ == "__main__":
    main()
