"""The breaker seen from outside: operators, listeners, clocks that err, and calls through it."""

import asyncio
import logging
from dataclasses import FrozenInstanceError
from datetime import timedelta

import pytest
from aiobreaker import CircuitBreakerError

from resilience.breaker import CLOSED, HALF_OPEN, OPEN, BreakerChanged, Mode, Permit
from resilience.errors import CircuitOpen
from resilience.fault import BROKEN, CALLERS, EXHAUSTED, TRANSIENT, Fault
from tests.fakes.breaker_desk import Desk, throttled
from tests.fakes.clock import NOON
from tests.fakes.jumping_clock import JumpingClock

# --- an operator's hand --------------------------------------------------------------------------


def test_forced_open_it_refuses_until_told_otherwise() -> None:
    """For as long as it is forced; afterwards it begins closed."""
    desk = Desk()
    under_way = desk.breaker.permit()
    desk.breaker.force(Mode.FORCED_OPEN)
    desk.breaker.record(under_way)
    desk.clock.advance(1e9)
    refused = desk.refused()
    assert (refused.problem, refused.retry_after_s) == ("forced open", None)
    desk.breaker.force(Mode.AUTO)
    desk.succeed()
    assert desk.breaker.state is CLOSED


@pytest.mark.parametrize("fault", [TRANSIENT, BROKEN, throttled(9), EXHAUSTED, CALLERS])
def test_forced_closed_it_lets_all_through(fault: Fault) -> None:
    """Whatever goes wrong; and nothing of that is held against the time after."""
    desk = Desk()
    desk.trip()
    desk.breaker.force(Mode.FORCED_CLOSED)
    desk.fail(fault, 100)
    assert desk.breaker.state is CLOSED
    under_way = desk.breaker.permit()
    desk.breaker.force(Mode.AUTO)
    desk.breaker.record(under_way, fault)
    desk.fail(times=4)
    assert desk.breaker.state is CLOSED
    desk.fail()
    assert desk.refused_for_s() == 15


def test_an_operators_hand_ends_a_row_of_failures() -> None:
    """Four before it and four after it are not a row of five."""
    desk = Desk()
    desk.fail(times=4)
    desk.breaker.force(Mode.AUTO)
    assert desk.breaker.failures_in_a_row == 0
    desk.fail(times=4)
    assert desk.breaker.state is CLOSED


def test_forcing_ends_the_doubling() -> None:
    """What failed before an operator's hand does not make the next time longer."""
    desk = Desk()
    desk.trip()
    desk.clock.advance(15)
    desk.fail()
    desk.breaker.force(Mode.AUTO)
    desk.trip()
    assert desk.refused_for_s() == 15


# --- what it tells -------------------------------------------------------------------------------


def test_every_change_is_told() -> None:
    """From which state to which, why, for how long, and when."""
    desk = Desk()
    desk.trip()
    desk.clock.advance(15)
    desk.succeed()
    desk.fail(EXHAUSTED)
    told = [(e.old, e.new, e.reason, e.open_s) for e in desk.told]
    assert told == [
        (CLOSED, OPEN, "5 failures in a row", 15),
        (OPEN, HALF_OPEN, "its time is over", None),
        (HALF_OPEN, CLOSED, "it answers again", None),
        (CLOSED, OPEN, "out of credit", None),
    ]
    assert {e.name for e in desk.told} == {"source"}
    later = NOON + timedelta(seconds=15)
    assert [e.at for e in desk.told] == [NOON, later, later, later]


def test_what_is_told_cannot_be_changed() -> None:
    """A listener cannot spoil it for the next one."""
    desk = Desk()
    desk.trip()
    with pytest.raises(FrozenInstanceError):
        desk.told[0].name = "other"  # type: ignore[misc]


def test_no_change_is_not_told() -> None:
    """Forcing an open breaker open is not news."""
    desk = Desk()
    desk.trip()
    desk.breaker.force(Mode.FORCED_OPEN)
    assert len(desk.told) == 1
    assert desk.breaker.view().reason == "forced open"


def test_a_listener_that_breaks_hurts_nobody(caplog: pytest.LogCaptureFixture) -> None:
    """The breaker moves and the others are told; the log says which event it was."""
    desk = Desk()
    later: list[BreakerChanged] = []

    def breaks(event: BreakerChanged) -> None:
        raise RuntimeError(event.reason)

    desk.breaker.subscribe(breaks)
    desk.breaker.subscribe(later.append)
    with caplog.at_level(logging.ERROR):
        desk.trip()
    assert later == desk.told
    assert "a listener broke on BreakerChanged" in caplog.text


def test_a_listener_may_look_at_the_breaker() -> None:
    """What it sees is how the breaker stands after the change."""
    desk = Desk()
    seen: list[object] = []
    desk.breaker.subscribe(lambda event: seen.append(desk.breaker.view().state))
    desk.trip()
    assert seen == [OPEN]


def test_the_view_says_how_it_stands() -> None:
    """For operators: state, why, since when, when it probes, and how many calls fail."""
    desk = Desk(failures_max=3)
    view = desk.breaker.view()
    assert (view.name, view.state, view.mode) == ("source", CLOSED, Mode.AUTO)
    assert (view.reason, view.since) == ("made", NOON)
    assert (view.probes_in_s, view.failure_rate) == (None, None)
    desk.succeed(3)
    desk.clock.advance(1)
    desk.trip()
    desk.clock.advance(5)
    view = desk.breaker.view()
    assert (view.state, view.reason) == (OPEN, "3 failures in a row")
    assert view.since == NOON + timedelta(seconds=1)
    assert (view.probes_in_s, view.failure_rate) == (10, 0.5)
    desk.clock.advance(100)
    view = desk.breaker.view()
    assert (view.probes_in_s, view.failure_rate) == (0, None)
    desk.breaker.force(Mode.FORCED_OPEN)
    view = desk.breaker.view()
    assert (view.mode, view.probes_in_s) == (Mode.FORCED_OPEN, None)


def test_a_refusal_is_also_aiobreakers() -> None:
    """Who knows aiobreaker finds its error, its message and a right time remaining."""
    desk = Desk()
    desk.trip()
    desk.clock.advance(4)
    refused = desk.refused()
    assert isinstance(refused, CircuitBreakerError)
    assert refused.time_remaining == timedelta(seconds=11)
    assert refused.message == "source: 5 failures in a row"
    desk.breaker.force(Mode.FORCED_OPEN)
    assert desk.refused().time_remaining == timedelta.max


# --- clocks that err -----------------------------------------------------------------------------


@pytest.mark.parametrize("by_s", [-86_400.0, 86_400.0])
def test_setting_the_wall_clock_changes_nothing(by_s: float) -> None:
    """Only its records have wall time: its waits, window and probes' timeouts have not."""
    clock = JumpingClock()
    desk = Desk(clock=clock, probe_timeout_s=10.0)
    desk.succeed()
    desk.trip()
    clock.set_wall(by_s)
    assert desk.refused_for_s() == 15
    clock.advance(15)
    desk.breaker.permit()
    clock.set_wall(by_s)
    assert desk.refused_for_s() == 10
    clock.advance(10)
    assert desk.breaker.view().failure_rate == 5 / 6
    desk.succeed()
    assert desk.breaker.state is CLOSED
    assert desk.breaker.view().since == NOON + timedelta(seconds=25 + 2 * by_s)


def test_monotonic_time_that_slips_back_breaks_nothing() -> None:
    """It counts as standing still in the window, and as a bit more to wait when it is open."""
    clock = JumpingClock()
    clock.advance(100)
    desk = Desk(clock=clock, failures_max=100)
    for _ in range(9):
        desk.fail()
        clock.slip_back(0.5)
    desk.succeed()
    assert desk.breaker.view().failure_rate == 0.9
    desk.fail()
    assert desk.refused_for_s() == 15
    clock.slip_back(1)
    assert desk.refused_for_s() == 16
    clock.advance(16)
    probe = desk.breaker.permit()
    clock.slip_back(1)
    assert desk.refused_for_s() == 61
    desk.breaker.record(probe)
    assert desk.breaker.state is CLOSED


# --- around a call -------------------------------------------------------------------------------


async def echo(value: str, *, loud: bool = False) -> str:
    """Work that goes well."""
    return value.upper() if loud else value


async def test_a_call_passes_arguments_and_value() -> None:
    """Through a closed breaker, and as the probe that closes it."""
    desk = Desk()
    assert await desk.breaker.call_async(echo, "a", loud=True) == "A"
    desk.trip()
    desk.clock.advance(15)
    assert await desk.breaker.call_async(echo, "b") == "b"
    assert desk.breaker.state is CLOSED


async def test_an_error_comes_out_as_it_is() -> None:
    """The very same object, the fifth time too; then the work is not called any more."""
    desk, error, calls = Desk(), ConnectionError("down"), 0

    async def work() -> None:
        nonlocal calls
        calls += 1
        raise error

    for _ in range(5):
        with pytest.raises(ConnectionError) as caught:
            await desk.breaker.call_async(work)
        assert caught.value is error
    with pytest.raises(CircuitOpen):
        await desk.breaker.call_async(work)
    assert calls == 5


async def test_the_classifier_says_what_an_error_means() -> None:
    """A ValueError is the caller's here, all else out of credit."""
    desk = Desk(classify=lambda error: CALLERS if isinstance(error, ValueError) else EXHAUSTED)
    for _ in range(9):
        with pytest.raises(ValueError, match="invalid literal"):
            await desk.breaker.call_async(_number, "x")
    assert desk.breaker.state is CLOSED
    with pytest.raises(TypeError):
        await desk.breaker.call_async(_number, None)
    assert desk.breaker.waits_for_credit


async def _number(text: str | None) -> int:
    return int(text)  # type: ignore[arg-type]


async def test_a_classifier_that_breaks_hurts_nobody(caplog: pytest.LogCaptureFixture) -> None:
    """The error that it was asked about comes out, and counts as a failure."""

    def classify(error: Exception) -> Fault:
        raise RuntimeError("no idea")

    desk = Desk(classify=classify)
    desk.trip()
    desk.clock.advance(15)
    with caplog.at_level(logging.ERROR), pytest.raises(ValueError, match="invalid literal"):
        await desk.breaker.call_async(_number, "x")
    assert desk.breaker.state is OPEN
    assert desk.refused_for_s() == 30
    assert "the classifier broke on ValueError" in caplog.text


async def test_twenty_calls_at_once_are_one_probe() -> None:
    """The others are refused while it runs, and not called."""
    desk, started, go_on = Desk(), 0, asyncio.Event()

    async def work() -> None:
        nonlocal started
        started += 1
        await go_on.wait()

    desk.trip()
    desk.clock.advance(15)
    calls = [asyncio.create_task(desk.breaker.call_async(work)) for _ in range(20)]
    await asyncio.sleep(0)
    go_on.set()
    ends = await asyncio.gather(*calls, return_exceptions=True)
    assert started == 1
    assert sum(isinstance(end, CircuitOpen) for end in ends) == 19
    assert desk.breaker.state is CLOSED


def test_a_permit_of_a_closed_breaker_takes_no_place() -> None:
    """They all are one object: a closed breaker costs a call nothing."""
    desk = Desk()
    permits = {desk.breaker.permit() for _ in range(1000)}
    assert len(permits) == 1
    desk.breaker.release(permits.pop())
    assert isinstance(desk.breaker.permit(), Permit)
