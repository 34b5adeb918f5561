"""Retries: when there is one, how long it waits, and how many there may be."""

import asyncio
import math
from collections.abc import Awaitable, Callable

import pytest

from resilience.fault import BROKEN, CALLERS, EXHAUSTED, TRANSIENT, Fault, FaultKind
from resilience.retry import Retry, RetryPolicy
from tests.fakes.clock import FixedClock
from tests.fakes.virtual_time import LoopClock, in_virtual_time


class VendorError(Exception):
    """What the dependency raises."""

    def __init__(self, fault: Fault = TRANSIENT) -> None:
        super().__init__(fault.kind)
        self.fault = fault


def classify(error: Exception) -> Fault:
    """What the error says that it is."""
    assert isinstance(error, VendorError)
    return error.fault


def longest(_low: float, high: float) -> float:
    """The longest wait of those that may be drawn."""
    return high


class Dependency:
    """Raises the errors one after the other, then answers."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.asked = 0

    async def ask(self) -> str:
        """One request."""
        self.asked += 1
        if self.errors:
            raise self.errors.pop(0)
        return "answer"


def retry(
    clock: FixedClock | LoopClock,
    *,
    uniform: Callable[[float, float], float] = longest,
    **policy: float,
) -> Retry:
    """A retry that draws the longest waits."""
    made = RetryPolicy(**policy)  # type: ignore[arg-type]
    return Retry(made, clock=clock, classify=classify, uniform=uniform)


async def test_a_call_that_succeeds_is_made_once_and_waits_for_nothing() -> None:
    """Where all goes well there is nothing to try again."""
    clock, dependency = FixedClock(), Dependency()
    assert await retry(clock).call(dependency.ask, until=math.inf) == "answer"
    assert (dependency.asked, clock.slept) == (1, [])


async def test_a_transient_failure_is_tried_again() -> None:
    """Two failures and a success are a success."""
    clock, dependency = FixedClock(), Dependency(VendorError(), VendorError())
    assert await retry(clock).call(dependency.ask, until=math.inf) == "answer"
    assert (dependency.asked, clock.slept) == (3, [0.5, 1.0])


async def test_waits_are_drawn_from_nothing_to_a_bound_that_doubles_up_to_a_cap() -> None:
    """Full jitter: the bounds are 1, 2, 4 and then the cap of 5 seconds, each from 0."""
    drawn: list[tuple[float, float]] = []

    def shortest(low: float, high: float) -> float:
        drawn.append((low, high))
        return low

    clock, dependency = FixedClock(), Dependency(*(VendorError() for _ in range(5)))
    retries = retry(clock, uniform=shortest, retries_max=5, base_s=1.0, cap_s=5.0)
    assert await retries.call(dependency.ask, until=math.inf) == "answer"
    assert drawn == [(0, 1), (0, 2), (0, 4), (0, 5), (0, 5)]
    assert clock.slept == [0] * 5


async def test_many_doublings_stay_at_the_cap() -> None:
    """A number of doublings that no float holds is still the cap."""
    clock, dependency = FixedClock(), Dependency(*(VendorError() for _ in range(2000)))
    retries = retry(clock, retries_max=2000, cap_s=3.0)
    assert await retries.call(dependency.ask, until=math.inf) == "answer"
    assert clock.slept[-1] == 3.0


@pytest.mark.parametrize("kind", [FaultKind.THROTTLED, FaultKind.TRANSIENT])
async def test_a_dependency_that_says_when_is_asked_then(kind: FaultKind) -> None:
    """Retry-After is waited for, neither shorter nor longer."""
    clock, dependency = FixedClock(), Dependency(VendorError(Fault(kind=kind, retry_after_s=2)))
    assert await retry(clock).call(dependency.ask, until=math.inf) == "answer"
    assert clock.slept == [2]


@pytest.mark.parametrize(
    ("told_s", "asked"), [(0, 2), (2, 2), (9.99, 2), (10, 1), (10.01, 1), (3600, 1)]
)
async def test_no_wait_is_begun_that_ends_at_the_deadline_or_later(
    told_s: float, asked: int
) -> None:
    """With ten seconds left, a wait of ten would be in vain: the error comes at once."""
    clock = FixedClock()
    error = VendorError(Fault(kind=FaultKind.THROTTLED, retry_after_s=told_s))
    dependency = Dependency(error, error, error)
    with pytest.raises(VendorError) as raised:
        await retry(clock, retries_max=1).call(dependency.ask, until=10)
    assert raised.value is error
    assert dependency.asked == asked
    assert clock.slept == [told_s] * (asked - 1)


@pytest.mark.parametrize(("opens_in_s", "asked"), [(0.0, 2), (0.5, 2), (0.6, 1), (math.inf, 1)])
async def test_no_wait_is_begun_that_ends_before_the_breaker_would_let_it_through(
    opens_in_s: float, asked: int
) -> None:
    """A retry that is known to be refused is not waited for."""
    clock, dependency = FixedClock(), Dependency(VendorError(), VendorError())
    with pytest.raises(VendorError):
        await retry(clock, retries_max=1).call(
            dependency.ask, until=math.inf, opens_in_s=lambda: opens_in_s
        )
    assert dependency.asked == asked


@pytest.mark.parametrize("retries_max", [0, 1, 2, 4])
async def test_there_are_so_many_retries_and_no_more(retries_max: int) -> None:
    """Then the last error is raised: itself, neither wrapped nor another."""
    errors = [VendorError() for _ in range(retries_max + 1)]
    clock, dependency = FixedClock(), Dependency(*errors)
    with pytest.raises(VendorError) as raised:
        await retry(clock, retries_max=retries_max).call(dependency.ask, until=math.inf)
    assert raised.value is errors[-1]
    assert dependency.asked == retries_max + 1


@pytest.mark.parametrize("fault", [BROKEN, EXHAUSTED, CALLERS], ids=lambda fault: fault.kind.value)
@pytest.mark.parametrize("earlier", [0, 1])
async def test_what_a_retry_cannot_mend_is_not_tried_again(fault: Fault, earlier: int) -> None:
    """Whether it is the first error or comes after a retry, it is the last one."""
    final = VendorError(fault)
    clock = FixedClock()
    dependency = Dependency(*[VendorError()] * earlier, final)
    with pytest.raises(VendorError) as raised:
        await retry(clock).call(dependency.ask, until=math.inf)
    assert raised.value is final
    assert dependency.asked == earlier + 1


async def asked_by(retries: Retry, calls: int) -> int:
    """How often a dependency that always fails is asked by so many calls at one time."""
    dependency = Dependency(*(VendorError() for _ in range(10 * calls)))
    for _ in range(calls):
        with pytest.raises(VendorError):
            await retries.call(dependency.ask, until=math.inf)
    return dependency.asked


def no_wait(_low: float, _high: float) -> float:
    """No wait at all, so that all happens in one second."""
    return 0.0


@pytest.mark.parametrize(("calls", "retried"), [(2, 4), (3, 5), (50, 5), (60, 6), (1000, 100)])
async def test_retries_are_a_tenth_of_the_calls_or_five_a_second(calls: int, retried: int) -> None:
    """The budget is the larger of the two; without one, each call would be made three times."""
    assert await asked_by(retry(FixedClock(), uniform=no_wait), calls) == calls + retried


async def test_the_budget_comes_back_with_time() -> None:
    """What was spent more than a second ago is forgotten."""
    clock = FixedClock()
    retries = retry(clock, uniform=no_wait)
    assert await asked_by(retries, 10) == 15
    assert await asked_by(retries, 10) == 10
    clock.advance(1.1)
    assert await asked_by(retries, 10) == 15


async def test_the_budget_comes_back_during_a_call() -> None:
    """What its own first retry spent is forgotten when its second one is due."""
    clock, dependency = FixedClock(), Dependency(VendorError(), VendorError())
    retries = retry(clock, base_s=2.0, budget_share=0.0, budget_per_s=1.0)
    assert await retries.call(dependency.ask, until=math.inf) == "answer"
    assert clock.slept == [2, 4]


async def test_calls_that_were_not_worth_a_retry_add_none_to_the_budget() -> None:
    """A thousand refused calls do not pay for retries of the few that are made."""
    retries = retry(FixedClock(), uniform=no_wait)
    for _ in range(1000):
        with pytest.raises(VendorError):
            await retries.call(Dependency(VendorError(CALLERS)).ask, until=math.inf)
    assert await asked_by(retries, 10) == 15


async def test_calls_that_succeed_add_to_the_budget() -> None:
    """A tenth of all calls, not only of those that fail."""
    retries = retry(FixedClock(), uniform=no_wait)
    for _ in range(1000):
        await retries.call(Dependency().ask, until=math.inf)
    assert await asked_by(retries, 60) == 60 + 106


async def test_a_budget_of_nothing_allows_no_retry() -> None:
    """Retries can be had without, whatever `retries_max` says."""
    retries = retry(FixedClock(), budget_share=0.0, budget_per_s=0.0)
    assert await asked_by(retries, 100) == 100


@in_virtual_time
async def test_a_cancel_during_the_wait_ends_the_call() -> None:
    """Nobody is asked after it, and the call ends at once."""
    dependency = Dependency(*(VendorError() for _ in range(9)))
    call = asyncio.create_task(retry(LoopClock(), base_s=8.0).call(dependency.ask, until=math.inf))
    await asyncio.sleep(3)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert asyncio.get_running_loop().time() == 3
    await asyncio.sleep(60)
    assert dependency.asked == 1


@pytest.mark.parametrize("earlier", [0, 1])
@in_virtual_time
async def test_a_cancel_during_an_attempt_ends_the_call(earlier: int) -> None:
    """Be it the first attempt or a retry: a cancel is no failure to try again."""
    asked = 0

    async def hangs() -> None:
        nonlocal asked
        asked += 1
        if asked <= earlier:
            raise VendorError
        await asyncio.sleep(100)

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(10):
            await retry(LoopClock()).call(hangs, until=math.inf)
    assert asked == earlier + 1


@in_virtual_time
async def test_calls_at_the_same_time_do_not_disturb_each_other() -> None:
    """Each has its own attempts and waits."""
    retries = retry(LoopClock())
    dependencies = [
        Dependency(*(VendorError() for _ in range(number))) for number in (0, 1, 2, 1, 0)
    ]
    calls = [retries.call(dependency.ask, until=math.inf) for dependency in dependencies]
    assert await asyncio.gather(*calls) == ["answer"] * 5
    assert [dependency.asked for dependency in dependencies] == [1, 2, 3, 2, 1]


NOT_A_NUMBER: list[tuple[str, float]] = [
    (name, value) for name in RetryPolicy.__dataclass_fields__ for value in (math.nan, math.inf, -1)
]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *NOT_A_NUMBER,
        ("retries_max", 1.5),
        ("retries_max", True),
        ("base_s", 0),
        ("cap_s", 0),
        ("budget_window_s", 0),
    ],
)
def test_nonsense_is_refused_by_name(name: str, value: float) -> None:
    """A policy that means nothing is refused when it is made, and the message names the field."""
    with pytest.raises(ValueError, match=name):
        RetryPolicy(**{name: value})  # type: ignore[arg-type]


async def test_by_default_waits_are_random() -> None:
    """Two processes that fail together do not come back together."""
    waits: set[float] = set()
    for _ in range(20):
        clock = FixedClock()
        retries: Retry = Retry(RetryPolicy(), clock=clock, classify=classify)
        ask: Callable[[], Awaitable[str]] = Dependency(VendorError()).ask
        await retries.call(ask, until=math.inf)
        assert 0 <= clock.slept[0] <= 0.5
        waits.update(clock.slept)
    assert len(waits) > 1
