"""A call through a breaker, cancelled wherever it can be: no probe's place is ever lost.

The coroutine is stepped by hand. Between two suspensions nothing else can run, so throwing at each
of them is every cancellation that there is.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Generator
from itertools import count
from typing import Any

import pytest

from resilience.breaker import CLOSED, HALF_OPEN, OPEN, Breaker, BreakerPolicy
from resilience.errors import CircuitOpen
from resilience.fault import TRANSIENT
from tests.fakes.clock import FixedClock

Work = Callable[[], Awaitable[None]]


class Suspension:
    """Awaited, it suspends once."""

    def __await__(self) -> Generator[None, None, None]:
        """Give way."""
        yield


async def works() -> None:
    """Suspends twice, and cleans up with an await."""
    try:
        await Suspension()
        await Suspension()
    finally:
        await Suspension()


async def fails() -> None:
    """Suspends, then gives up."""
    await Suspension()
    raise ConnectionError


async def fails_when_cancelled() -> None:
    """Makes an error of its own of a cancel."""
    try:
        await Suspension()
    except asyncio.CancelledError:
        await Suspension()
        raise ConnectionError from None


async def ignores_cancels() -> None:
    """Answers although it was cancelled."""
    try:
        await Suspension()
    except asyncio.CancelledError:
        await Suspension()


def ends_before(coroutine: Coroutine[Any, Any, None], number: int, thrown: BaseException) -> bool:
    """Step to its suspension `number`, counted from 0, throw there and step on to its end; whether
    it ended before."""
    try:
        for _ in range(number + 1):
            coroutine.send(None)
    except (StopIteration, ConnectionError):
        return True
    try:
        coroutine.throw(thrown)
        while True:
            coroutine.send(None)
    except (StopIteration, ConnectionError, asyncio.CancelledError):
        return False


def half_opening(probes: int) -> tuple[Breaker, FixedClock]:
    """A breaker that probes with the next calls."""
    clock = FixedClock()
    policy = BreakerPolicy(failures_max=1, probes=probes, open_s=10.0, jitter=0.0)
    breaker = Breaker("source", policy, clock=clock)
    breaker.record(breaker.permit(), TRANSIENT)
    assert breaker.state is OPEN
    clock.advance(10)
    return breaker, clock


def places(breaker: Breaker) -> int:
    """How many probes can be had."""
    for number in count():
        try:
            breaker.permit()
        except CircuitOpen:
            return number
    raise AssertionError


@pytest.mark.parametrize("probes", [1, 2, 3])
@pytest.mark.parametrize("work", [works, fails, fails_when_cancelled, ignores_cancels])
def test_a_probe_cancelled_anywhere_gives_its_place_back(work: Work, probes: int) -> None:
    """Cancelled it says nothing, so that all places are free; or it said something, in time."""
    for number in count():
        breaker, clock = half_opening(probes)
        if ends_before(breaker.call_async(work), number, asyncio.CancelledError()):
            break
        if breaker.state is OPEN:  # it made a failure of the cancel
            clock.advance(20)
        if breaker.state is CLOSED:  # it answered all the same
            assert work is ignores_cancels
            continue
        passed = 1 if work is ignores_cancels else 0
        assert places(breaker) == probes - passed
        assert breaker.state is HALF_OPEN
    assert number == (3 if work is works else 1)


@pytest.mark.parametrize("probes", [1, 2])
def test_a_coroutine_that_is_closed_gives_its_place_back(probes: int) -> None:
    """As when a loop is torn down: GeneratorExit, at each suspension."""
    for suspensions in range(1, 3):
        breaker, _clock = half_opening(probes)

        async def work() -> None:
            await Suspension()
            await Suspension()

        call = breaker.call_async(work)
        for _ in range(suspensions):
            call.send(None)
        call.close()
        assert places(breaker) == probes


def test_a_cancel_while_closed_says_nothing() -> None:
    """It neither counts as a failure nor ends a row of them."""
    breaker = Breaker("source", BreakerPolicy(failures_max=2), clock=FixedClock())
    breaker.record(breaker.permit(), TRANSIENT)
    for number in range(3):
        assert not ends_before(breaker.call_async(works), number, asyncio.CancelledError())
        assert (breaker.state, breaker.failures_in_a_row) == (CLOSED, 1)
    assert breaker.view().failure_rate == 1


async def test_a_cancelled_task_gives_its_place_back() -> None:
    """The same in a real loop, cancelled while it waits."""
    breaker, _clock = half_opening(1)
    probe = asyncio.create_task(breaker.call_async(asyncio.Event().wait))
    await asyncio.sleep(0)
    assert breaker.state is HALF_OPEN
    probe.cancel()
    with pytest.raises(asyncio.CancelledError):
        await probe
    assert places(breaker) == 1
