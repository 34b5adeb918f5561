"""The breaker: when it opens, whom it lets through then, and how it finds its way back."""

import pytest

from resilience.breaker import CLOSED, HALF_OPEN, OPEN, Mode
from resilience.fault import BROKEN, CALLERS, EXHAUSTED, TRANSIENT, Fault
from tests.fakes.breaker_desk import Desk, throttled

# --- opening -------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", [TRANSIENT, BROKEN])
def test_failures_in_a_row_open_it(fault: Fault) -> None:
    """Four do not, the fifth does, and then nobody is let through for 15 seconds."""
    desk = Desk()
    desk.fail(fault, 4)
    assert desk.breaker.state is CLOSED
    desk.fail(fault)
    assert desk.breaker.state is OPEN
    assert desk.refused_for_s() == 15
    desk.clock.advance(14)
    assert desk.refused_for_s() == 1


def test_a_success_between_begins_the_row_anew() -> None:
    """Four failures, a success and four failures are not a row of five."""
    desk = Desk(calls_min=100)
    for _ in range(3):
        desk.fail(times=4)
        assert desk.breaker.failures_in_a_row == 4
        desk.succeed()
        assert desk.breaker.failures_in_a_row == 0
    assert desk.breaker.state is CLOSED


def test_alternating_failures_open_it_by_their_share() -> None:
    """Half of the calls fail: it opens once there are enough of them to tell."""
    desk = Desk()
    for _ in range(5):
        desk.fail()
        desk.succeed()
    assert desk.breaker.state is CLOSED
    desk.fail()
    assert desk.breaker.state is OPEN
    assert desk.refused().problem == "6 of 11 calls failed"


def test_a_small_share_of_failures_does_not_open_it() -> None:
    """Every third call fails, a hundred times."""
    desk = Desk()
    for _ in range(100):
        desk.fail()
        desk.succeed(2)
        desk.clock.advance(1)
    assert desk.breaker.state is CLOSED


def test_old_calls_do_not_count_for_the_share() -> None:
    """Failures of a minute ago are gone from the window, ten tenths of it later."""
    desk = Desk(failures_max=100)
    desk.fail(times=9)
    desk.clock.advance(60)
    desk.fail()
    assert desk.breaker.state is CLOSED
    assert desk.breaker.view().failure_rate == 1
    desk.fail(times=9)
    assert desk.breaker.state is OPEN


@pytest.mark.parametrize(("rate", "failed"), [(0.07, 7), (0.55, 55), (0.5, 50), (1.0, 100)])
def test_the_share_is_exact(rate: float, failed: int) -> None:
    """Exactly the share opens it, whatever floats make of a product; one less does not."""
    desk = Desk(failures_max=1000, calls_min=100, failure_rate=rate)
    desk.succeed(100 - failed)
    desk.fail(times=failed - 1)
    desk.succeed()
    assert desk.breaker.state is CLOSED
    again = Desk(failures_max=1000, calls_min=100, failure_rate=rate)
    again.succeed(100 - failed)
    again.fail(times=failed)
    assert again.breaker.state is OPEN


# --- finding the way back ------------------------------------------------------------------------


def test_one_probe_is_let_through_and_closes_it() -> None:
    """Of all who ask when its time is over one may call; they go on when that went well."""
    desk = Desk()
    desk.trip()
    desk.clock.advance(15)
    desk.breaker.check()
    assert desk.breaker.state is OPEN
    probe = desk.breaker.permit()
    assert desk.breaker.state is HALF_OPEN
    for _ in range(20):
        refused = desk.refused()
    assert (refused.problem, refused.retry_after_s) == ("it is being tried", 60)
    desk.breaker.record(probe)
    assert desk.breaker.state is CLOSED
    desk.succeed(20)


def test_several_probes_all_have_to_succeed() -> None:
    """Of three probes no fourth is let through while they run, nor while others are through."""
    desk = Desk(probes=3)
    desk.trip()
    desk.clock.advance(15)
    probes = [desk.breaker.permit() for _ in range(3)]
    for probe in probes:
        assert desk.breaker.state is HALF_OPEN
        desk.refused()
        desk.breaker.record(probe)
    assert desk.breaker.state is CLOSED


def test_one_probe_of_several_that_fails_is_enough_to_reopen() -> None:
    """What the others report then says nothing any more, and the next time all have to succeed."""
    desk = Desk(probes=3)
    desk.trip()
    desk.clock.advance(15)
    first, second, third = (desk.breaker.permit() for _ in range(3))
    desk.breaker.record(first)
    desk.breaker.record(second, TRANSIENT)
    assert desk.breaker.state is OPEN
    desk.breaker.record(third)
    assert desk.breaker.state is OPEN
    desk.clock.advance(30)
    again = [desk.breaker.permit() for _ in range(3)]
    for probe in again:
        assert desk.breaker.state is HALF_OPEN
        desk.breaker.record(probe)
    assert desk.breaker.state is CLOSED


def test_each_failed_probe_doubles_the_time_up_to_a_cap() -> None:
    """15 s, 30, 60, 120, 240 and then 300; once it has closed, 15 again."""
    desk = Desk()
    desk.trip()
    waits = []
    for _ in range(7):
        waits.append(desk.refused_for_s())
        desk.clock.advance(waits[-1] or 0)
        desk.fail()
    assert waits == [15, 30, 60, 120, 240, 300, 300]
    desk.clock.advance(300)
    desk.succeed()
    desk.trip()
    assert desk.refused_for_s() == 15


def test_doubling_does_not_overflow() -> None:
    """However often it failed in a row."""
    desk = Desk(open_s=0.001, open_max_s=10.0)
    desk.trip()
    for _ in range(1100):
        desk.clock.advance(10)
        desk.fail()
    assert desk.refused_for_s() == 10


def test_jitter_makes_it_longer() -> None:
    """By a share drawn from nothing to the policy's, of the doubled and capped time."""
    drawn: list[tuple[float, float]] = []

    def uniform(low: float, high: float) -> float:
        drawn.append((low, high))
        return high

    desk = Desk(jitter=0.5, open_max_s=20.0, uniform=uniform)
    desk.trip()
    assert desk.refused_for_s() == 22.5
    desk.clock.advance(22.5)
    desk.fail()
    assert desk.refused_for_s() == 30
    assert drawn == [(0, 0.5)] * 2


def test_a_probe_that_never_reports_loses_its_place() -> None:
    """After its timeout another may call, and what the late one reports is ignored."""
    desk = Desk(probe_timeout_s=10.0)
    desk.trip()
    desk.clock.advance(15)
    late = desk.breaker.permit()
    desk.clock.advance(9)
    assert desk.refused_for_s() == 1
    desk.clock.advance(1)
    probe = desk.breaker.permit()
    desk.breaker.record(late)
    desk.breaker.record(late, TRANSIENT)
    assert desk.breaker.state is HALF_OPEN
    desk.refused()
    desk.breaker.record(probe)
    assert desk.breaker.state is CLOSED


def test_a_late_probe_is_ignored_though_nobody_took_its_place() -> None:
    """Neither its success nor its failure moves the breaker; another probe does."""
    desk = Desk(probe_timeout_s=10.0)
    desk.trip()
    desk.clock.advance(15)
    late = desk.breaker.permit()
    desk.clock.advance(10)
    desk.breaker.record(late)
    assert desk.breaker.state is HALF_OPEN
    desk.succeed()
    assert desk.breaker.state is CLOSED


def test_a_released_probe_gives_its_place_back() -> None:
    """Who was cancelled says nothing; releasing or reporting once more changes nothing."""
    desk = Desk()
    desk.trip()
    desk.clock.advance(15)
    probe = desk.breaker.permit()
    desk.breaker.release(probe)
    again = desk.breaker.permit()
    desk.breaker.release(probe)
    desk.breaker.record(probe, TRANSIENT)
    assert desk.breaker.state is HALF_OPEN
    desk.refused()
    desk.breaker.record(again)
    assert desk.breaker.state is CLOSED


# --- what says nothing, and what says more -------------------------------------------------------


def test_the_callers_own_mistakes_count_neither_way() -> None:
    """A hundred do not open it, and one between failures does not begin the row anew."""
    desk = Desk()
    desk.fail(CALLERS, 100)
    assert desk.breaker.view().failure_rate is None
    desk.fail(times=4)
    desk.fail(CALLERS)
    desk.fail()
    assert desk.breaker.state is OPEN


def test_a_probe_that_ends_in_the_callers_mistake_gives_its_place_back() -> None:
    """It neither closes nor reopens the breaker; the next probe decides."""
    desk = Desk()
    desk.trip()
    desk.clock.advance(15)
    desk.fail(CALLERS, 3)
    assert desk.breaker.state is HALF_OPEN
    desk.succeed()
    assert desk.breaker.state is CLOSED


@pytest.mark.parametrize(
    ("told", "left_alone_s"), [(7.5, 7.5), (0.0, None), (None, 60), (1e6, 24 * 3600)]
)
def test_throttled_it_leaves_the_dependency_alone(
    told: float | None, left_alone_s: float | None
) -> None:
    """At the first such error, for as long as it was told, or the policy's time, up to a day."""
    desk = Desk()
    desk.fail(throttled(told))
    assert desk.breaker.state is OPEN
    if left_alone_s is not None:
        refused = desk.refused()
        assert (refused.problem, refused.retry_after_s) == ("rate-limited", left_alone_s)
        desk.clock.advance(left_alone_s)
    desk.succeed()
    assert desk.breaker.state is CLOSED


def test_a_throttled_probe_does_not_count_as_a_failed_one() -> None:
    """It is told when to come back; the doubling goes on from where it was."""
    desk = Desk()
    desk.trip()
    desk.clock.advance(15)
    desk.fail(throttled(3))
    assert desk.refused_for_s() == 3
    desk.clock.advance(3)
    desk.fail()
    assert desk.refused_for_s() == 30


def test_out_of_credit_it_stays_open_until_somebody_saw_some() -> None:
    """No time is long enough; after `replenished` one probe is let through."""
    desk = Desk()
    desk.fail(EXHAUSTED)
    desk.clock.advance(1e9)
    refused = desk.refused()
    assert (refused.problem, refused.retry_after_s) == ("out of credit", None)
    assert desk.breaker.waits_for_credit
    desk.breaker.replenished()
    assert not desk.breaker.waits_for_credit
    probe = desk.breaker.permit()
    desk.refused()
    desk.breaker.record(probe, EXHAUSTED)
    assert desk.breaker.waits_for_credit
    desk.breaker.replenished()
    desk.succeed()
    assert desk.breaker.state is CLOSED


def test_credit_moves_only_a_breaker_that_waits_for_it() -> None:
    """Not one that waits for its time, nor one that an operator holds open, nor a closed one."""
    desk = Desk()
    desk.breaker.replenished()
    assert desk.breaker.state is CLOSED
    desk.trip()
    desk.breaker.replenished()
    assert desk.refused_for_s() == 15
    desk.breaker.force(Mode.FORCED_OPEN)
    desk.breaker.replenished()
    assert not desk.breaker.waits_for_credit
    desk.refused()


@pytest.mark.parametrize("fault", [None, TRANSIENT, throttled(1), EXHAUSTED, CALLERS])
def test_what_began_before_a_change_says_nothing_after_it(fault: Fault | None) -> None:
    """Calls made while it was closed end while it is open, half-open and closed again."""
    desk = Desk()
    stale = [desk.breaker.permit() for _ in range(30)]

    def report_ten() -> None:
        for _ in range(10):
            desk.breaker.record(stale.pop(), fault)

    desk.trip()
    report_ten()
    assert desk.refused_for_s() == 15
    desk.clock.advance(15)
    probe = desk.breaker.permit()
    report_ten()
    assert desk.breaker.state is HALF_OPEN
    desk.refused()
    desk.breaker.record(probe)
    report_ten()
    assert desk.breaker.state is CLOSED
    assert desk.breaker.failures_in_a_row == 0
    assert desk.breaker.view().failure_rate == 0
