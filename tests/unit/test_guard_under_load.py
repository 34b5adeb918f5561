"""What a guard lets through to a dependency that fails, under a hundred calls a second.

What counts is how many requests the dependency gets, so they are counted there. Minutes of it pass
in virtual time.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from resilience.breaker import CLOSED, BreakerPolicy, Mode
from resilience.bulkhead import BulkheadPolicy
from resilience.fault import TRANSIENT, Fault, FaultKind
from resilience.guard import Guard, GuardPolicy
from tests.fakes.virtual_time import LoopClock, in_virtual_time

# What it counts is not lines: tests/unit/test_guard.py covers them.
pytestmark = pytest.mark.unmeasured

PER_S = 100
SEEDS = range(2)


class VendorError(Exception):
    """What the stand-in raises."""

    def __init__(self, fault: Fault = TRANSIENT) -> None:
        super().__init__(fault.kind)
        self.fault = fault


def classify(error: Exception) -> Fault:
    """What the error says that it is; a cut attempt is a failure."""
    return error.fault if isinstance(error, VendorError) else TRANSIENT


@dataclass
class StandIn:
    """A dependency that answers in 20 ms as `behave` says, and counts what it gets."""

    behave: Callable[[], Exception | None]
    hangs: bool = False
    requests: list[float] = field(default_factory=list)

    async def ask(self) -> str:
        """One request."""
        self.requests.append(now())
        await asyncio.sleep(1e9 if self.hangs else 0.02)
        error = self.behave()
        if error is not None:
            raise error
        return "answer"


@dataclass
class Load:
    """Calls at an even rate, each in a task of its own, and how they ended."""

    guard: Guard
    stand_in: StandIn
    calls: int = 0
    ended: Counter[str] = field(default_factory=Counter)
    succeeded_at: list[float] = field(default_factory=list)

    async def run(self, seconds: float) -> None:
        """So many calls a second for so long; returns without waiting for them."""
        began = now()
        for number in range(round(seconds * PER_S)):
            await asyncio.sleep(began + number / PER_S - now())
            self.calls += 1
            self._tasks.add(asyncio.create_task(self._call()))
        await asyncio.sleep(began + seconds - now())

    async def settle(self) -> None:
        """Wait for all of them."""
        await asyncio.gather(*self._tasks)

    async def _call(self) -> None:
        try:
            await self.guard.call(self.stand_in.ask)
        except Exception as error:  # noqa: BLE001 - it is counted
            self.ended[type(error).__name__] += 1
        else:
            self.ended["answer"] += 1
            self.succeeded_at.append(now())

    _tasks: set[asyncio.Task[Any]] = field(default_factory=set)


def now() -> float:
    """The loop's time."""
    return asyncio.get_running_loop().time()


def fails() -> Exception:
    """All requests fail."""
    return VendorError()


def load(policy: GuardPolicy, stand_in: StandIn, seed: int = 0) -> Load:
    """Load on a guard with this policy."""
    dice = random.Random(seed)
    guard = Guard("api", policy, clock=LoopClock(), classify=classify, uniform=dice.uniform)
    return Load(guard, stand_in)


@pytest.mark.parametrize("seed", SEEDS)
@in_virtual_time
async def test_a_dependency_that_refuses_everything_is_left_alone(seed: int) -> None:
    """It gets at most one percent of the calls, and all callers know at once."""
    stand_in = StandIn(fails)
    calls = load(GuardPolicy(), stand_in, seed)
    await calls.run(60)
    await calls.settle()
    assert calls.calls == 6000
    assert len(stand_in.requests) <= calls.calls * 0.01
    assert set(calls.ended) <= {"VendorError", "CircuitOpen"}


@pytest.mark.parametrize("seed", SEEDS)
@in_virtual_time
async def test_a_dependency_that_is_back_is_used_within_the_time_that_the_breaker_is_open(
    seed: int,
) -> None:
    """The first call after that time is its probe, and all later ones succeed."""
    stand_in = StandIn(fails)
    calls = load(GuardPolicy(), stand_in, seed)
    await calls.run(60)
    opens_in_s = calls.guard.breaker.view().probes_in_s
    assert opens_in_s is not None
    assert opens_in_s <= 60 * 1.1  # opened for 15, 30 and then 60 seconds
    stand_in.behave = lambda: None
    await calls.run(opens_in_s + 10)
    await calls.settle()
    assert calls.succeeded_at[0] <= 60 + opens_in_s + 1 / PER_S + 0.02 + 1e-6
    assert calls.ended["answer"] >= 9.9 * PER_S


@pytest.mark.parametrize("seed", SEEDS)
@in_virtual_time
async def test_a_breaker_whose_open_time_does_not_grow_is_back_in_that_time(seed: int) -> None:
    """With `open_max_s` equal to `open_s`, fifteen seconds and the jitter are all it takes."""
    stand_in = StandIn(fails)
    policy = GuardPolicy(breaker=BreakerPolicy(open_s=15, open_max_s=15))
    calls = load(policy, stand_in, seed)
    await calls.run(60)
    stand_in.behave = lambda: None
    await calls.run(20)
    await calls.settle()
    assert len([at for at in stand_in.requests if at < 60]) <= 60
    assert calls.succeeded_at[0] <= 60 + 15 * 1.1 + 1 / PER_S + 0.02 + 1e-6
    assert calls.guard.breaker.state is CLOSED


@pytest.mark.parametrize(
    ("limit", "failures_max", "attempt_timeout_s"),
    [(10, 5, 5), (2, 5, 5), (1, 5, 5), (3, 1, 5), (4, 12, 5), (2, 5, 30)],
)
@in_virtual_time
async def test_a_dependency_that_swallows_calls_gets_a_full_bulkhead_and_the_probes(
    limit: int, failures_max: int, attempt_timeout_s: float
) -> None:
    """Never more are asked than may be under way or than it takes to open the breaker: not even
    when those that get a place have waited for it for nearly all of their time."""
    stand_in = StandIn(fails, hangs=True)
    policy = GuardPolicy(
        attempt_timeout_s=attempt_timeout_s,
        breaker=BreakerPolicy(failures_max=failures_max),
        bulkhead=BulkheadPolicy(limit=limit),
    )
    calls = load(policy, stand_in)
    await calls.run(120)
    await calls.settle()
    # Open for at least 15, 30 and 60 seconds, each time after a probe.
    probes = 3 if attempt_timeout_s < 15 else 2
    assert len(stand_in.requests) <= max(limit, failures_max) + probes
    assert calls.ended["answer"] == 0


@in_virtual_time
async def test_a_dependency_that_swallows_calls_gets_the_same_with_the_default_policy() -> None:
    """Ten places and, in two minutes, two probes."""
    stand_in = StandIn(fails, hangs=True)
    calls = load(GuardPolicy(), stand_in)
    await calls.run(120)
    assert len(stand_in.requests) <= 10 + 2
    await calls.settle()
    assert len(stand_in.requests) <= 10 + 2
    assert calls.guard.bulkhead.in_flight == calls.guard.bulkhead.waiting == 0


@pytest.mark.parametrize("seed", SEEDS)
@in_virtual_time
async def test_failures_of_one_in_five_cost_at_most_a_fifth_more_requests(seed: int) -> None:
    """And the retries bring most of the failed calls to an answer."""
    dice = random.Random(seed)
    stand_in = StandIn(lambda: VendorError() if dice.random() < 0.2 else None)
    calls = load(GuardPolicy(breaker=BreakerPolicy(failures_max=20)), stand_in, seed)
    await calls.run(60)
    await calls.settle()
    assert len(stand_in.requests) <= 1.2 * calls.calls
    assert calls.ended["answer"] >= 0.85 * calls.calls  # 0.8 without a retry


@in_virtual_time
async def test_that_holds_with_the_default_breaker_too() -> None:
    """Which five failures in a row may open for a while."""
    dice = random.Random(0)
    stand_in = StandIn(lambda: VendorError() if dice.random() < 0.2 else None)
    calls = load(GuardPolicy(), stand_in)
    await calls.run(60)
    await calls.settle()
    assert len(stand_in.requests) <= 1.2 * calls.calls


@pytest.mark.parametrize("seed", SEEDS)
@in_virtual_time
async def test_retries_of_a_dependency_that_always_fails_are_a_tenth(seed: int) -> None:
    """With the breaker held closed, the retry budget is what is left; without, it were twice."""
    stand_in = StandIn(fails)
    calls = load(GuardPolicy(), stand_in, seed)
    calls.guard.breaker.force(Mode.FORCED_CLOSED)
    await calls.run(20)
    await calls.settle()
    assert calls.calls < len(stand_in.requests) <= 1.1 * calls.calls + 10


@in_virtual_time
async def test_a_dependency_that_says_when_is_not_asked_before() -> None:
    """After a 429 with Retry-After, all calls of thirty seconds are refused; then one is tried."""
    throttled = Fault(kind=FaultKind.THROTTLED, retry_after_s=30)
    stand_in = StandIn(lambda: VendorError(throttled) if now() < 30 else None)
    calls = load(GuardPolicy(), stand_in)
    await calls.run(0.02)
    await calls.run(60)
    await calls.settle()
    early = [at for at in stand_in.requests if at < 30.02]
    assert max(early) <= 0.02  # those that were under way when the first answer came
    assert len(early) <= 3
    assert calls.ended["answer"] >= 29 * PER_S
    assert calls.ended["VendorError"] <= len(early)
    assert set(calls.ended) <= {"answer", "CircuitOpen", "VendorError"}
