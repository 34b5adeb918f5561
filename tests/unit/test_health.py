"""Tallies: what a subject's calls come to, by time, at a bounded cost."""

import random
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resilience.health import BOUNDS_S, SLICES, WINDOW_S, Tally
from tests.fakes.clock import NOON, FixedClock


def test_nothing_called_is_nothing_known() -> None:
    """No rate and no duration is made up."""
    reading = Tally(FixedClock()).reading()
    assert (reading.calls, reading.error_rate, reading.p50_s, reading.p95_s) == (
        0,
        None,
        None,
        None,
    )
    assert (reading.last_success_at, reading.last_failure_at) == (None, None)


def test_calls_are_counted_with_their_ends() -> None:
    """The rate is of the window, the instants are of the last of each kind."""
    clock = FixedClock()
    tally = Tally(clock)
    tally.note(1.0, failed=False)
    clock.advance(10)
    tally.note(2.0, failed=True)
    reading = tally.reading()
    assert (reading.calls, reading.failures, reading.error_rate) == (2, 1, 0.5)
    assert reading.last_success_at == NOON
    assert reading.last_failure_at == NOON + timedelta(seconds=10)


def test_what_is_older_than_the_window_leaves() -> None:
    """But when it last succeeded is remembered for ever."""
    clock = FixedClock()
    tally = Tally(clock)
    tally.note(1.0, failed=False)
    clock.advance(WINDOW_S * (1 - 1 / SLICES))
    assert tally.reading().calls == 1
    clock.advance(WINDOW_S / SLICES)
    assert tally.reading().calls == 0
    assert tally.reading().last_success_at == NOON
    assert tally.totals.calls == 1


def test_a_call_may_be_told_later() -> None:
    """What happened before the start counts when it happened, and the newest instant stays."""
    clock = FixedClock()
    clock.advance(1_000)
    tally = Tally(clock)
    for ago_s in (600.0, 60.0, 300.0):
        tally.note(1.0, failed=False, ago_s=ago_s)
    tally.note(1.0, failed=True, ago_s=2_000.0)
    tally.note(1.0, failed=True, ago_s=3_000.0)
    assert tally.reading().last_success_at == clock.now() - timedelta(seconds=60)
    assert tally.reading().last_failure_at == clock.now() - timedelta(seconds=2_000)
    assert tally.reading().calls == 5  # the late ones count with the newest slice


@given(st.lists(st.floats(0.001, 900.0), min_size=1, max_size=200))
def test_quantiles_are_read_to_a_twentieth(durations: list[float]) -> None:
    """Of whatever durations."""
    tally = Tally(FixedClock())
    for took_s in durations:
        tally.note(took_s, failed=False)
    reading, ordered = tally.reading(), sorted(durations)
    for share, read in ((0.5, reading.p50_s), (0.95, reading.p95_s)):
        true = ordered[-(-len(ordered) * round(share * 100) // 100) - 1]
        assert read == pytest.approx(true, rel=0.051)


@pytest.mark.parametrize("took_s", [-1.0, 0.0, 1e-9, 1e9])
def test_odd_durations_are_counted(took_s: float) -> None:
    """A clock that went back, and work that took a year, break nothing."""
    tally = Tally(FixedClock())
    tally.note(took_s, failed=False)
    assert tally.reading().p50_s is not None


def test_totals_are_by_bound() -> None:
    """Each call counts at the first bound that it does not exceed, or beyond the last."""
    tally = Tally(FixedClock())
    for took_s in (0.001, BOUNDS_S[0], 0.006, 1_000.0):
        tally.note(took_s, failed=took_s > 1)
    assert tally.totals.by_bound[:2] == [2, 1]
    assert tally.totals.by_bound[-1] == 1
    assert (tally.totals.calls, tally.totals.failures) == (4, 1)
    assert tally.totals.seconds == pytest.approx(1_000.012)


@pytest.mark.unmeasured
def test_memory_is_bounded_whatever_the_rate() -> None:
    """A hundred thousand calls over hours are a few thousand numbers."""
    clock, dice = FixedClock(), random.Random(1)
    tally = Tally(clock)
    for _ in range(100_000):
        clock.advance(0.1)
        tally.note(dice.expovariate(1.0), failed=dice.random() < 0.1)
    held = [part.by_size for part in tally._slices]
    assert len(held) <= SLICES
    assert sum(map(len, held)) < SLICES * 220


@pytest.mark.parametrize("window_s", [0.0, -1.0, float("nan")])
def test_a_window_has_a_length(window_s: float) -> None:
    """Nonsense is refused by its name."""
    with pytest.raises(ValueError, match="window_s"):
        Tally(FixedClock(), window_s)
