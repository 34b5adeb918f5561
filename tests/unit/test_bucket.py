"""The token bucket: never more than it promises, and the wait it names is the wait there is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resilience.bucket import TokenBucket
from tests.fakes.clock import FixedClock

PAUSES = st.lists(st.sampled_from([0.0, 0.1, 0.5, 1.0, 2.5, 7.0, 60.0]), max_size=60)


def bucket(clock: FixedClock, burst: int = 5, refill_s: float = 60.0, **more: int) -> TokenBucket:
    """A bucket over the clock."""
    return TokenBucket(burst=burst, refill_s=refill_s, monotonic=clock.monotonic, **more)


def test_the_burst_is_there_at_once_and_no_more() -> None:
    """Five takes pass, the sixth is told to wait one refill."""
    tokens = bucket(FixedClock())
    assert [tokens.take("a") for _ in range(6)] == [0, 0, 0, 0, 0, 60]


def test_a_refused_take_costs_nothing() -> None:
    """Asking too early again and again does not move the wait."""
    clock = FixedClock()
    tokens = bucket(clock, burst=1)
    tokens.take("a")
    assert [tokens.take("a") for _ in range(3)] == [60, 60, 60]
    clock.advance(59)
    assert tokens.take("a") == 1
    clock.advance(1)
    assert tokens.take("a") == 0


def test_keys_do_not_share() -> None:
    """One who took all leaves the others theirs."""
    tokens = bucket(FixedClock(), burst=1)
    assert (tokens.take("a"), tokens.take("b")) == (0, 0)
    assert tokens.take("a") == 60


def test_a_take_may_cost_several() -> None:
    """Tokens are taken together or not at all."""
    clock = FixedClock()
    tokens = bucket(clock, burst=5, refill_s=2.0)
    assert tokens.take("a", 4) == 0
    assert tokens.take("a", 3) == 4
    assert tokens.take("a") == 0
    clock.advance(10)
    assert tokens.take("a", 5) == 0


@pytest.mark.parametrize("cost", [0, -1, 6])
def test_a_cost_that_never_fits_is_refused(cost: int) -> None:
    """What no wait would bring is the caller's mistake."""
    with pytest.raises(ValueError, match="must be 1 to 5"):
        bucket(FixedClock()).take("a", cost)


@pytest.mark.parametrize("wrong", [{"burst": 0}, {"refill_s": 0.0}, {"keys_max": 0}])
def test_a_bucket_that_holds_nothing_is_refused(wrong: dict[str, float]) -> None:
    """Every size is above nothing, and the message names which is not."""
    [name] = wrong
    values = {"burst": 1, "refill_s": 1.0, "keys_max": 1} | wrong
    with pytest.raises(ValueError, match=name):
        TokenBucket(monotonic=FixedClock().monotonic, **values)  # type: ignore[arg-type]


def test_full_buckets_are_forgotten() -> None:
    """Who asked long ago costs no memory."""
    clock = FixedClock()
    tokens = bucket(clock, refill_s=1.0)
    for number in range(10):
        tokens.take(str(number))
    assert len(tokens) == 10
    clock.advance(1)
    tokens.take("new")
    assert len(tokens) == 1


def test_there_are_never_too_many_keys() -> None:
    """Over the bound the one used longest ago begins anew; the one just used does not."""
    tokens = bucket(FixedClock(), burst=1, keys_max=2)
    for key in ("a", "b", "c"):
        tokens.take(key)
    assert len(tokens) == 2
    assert tokens.take("c") == 60
    assert tokens.take("a") == 0


@pytest.mark.parametrize("uptime_s", [0.0, 12_345.678, 1e7 + 0.1, 3e8 + 0.3])
def test_waiting_as_told_is_enough(uptime_s: float) -> None:
    """However long the machine is up: the hair that floats lose is not the caller's."""
    clock = FixedClock()
    clock.advance(uptime_s)
    tokens = bucket(clock, burst=3, refill_s=0.7)
    for _ in range(20):
        clock.advance(tokens.take("a"))
        assert tokens.take("a") <= 0.7 + 1e-6


def test_a_refill_too_short_for_the_clock_leaves_nothing_to_remember() -> None:
    """A bucket that is full again in the same instant is forgotten in it."""
    clock = FixedClock()
    clock.advance(1e18)
    tokens = bucket(clock, refill_s=0.3)
    assert tokens.take("a") == 0
    assert len(tokens) == 0


@given(burst=st.integers(1, 6), refill_s=st.sampled_from([0.3, 1.0, 2.0, 60.0]), pauses=PAUSES)
def test_no_window_sees_more_than_promised(
    burst: int, refill_s: float, pauses: list[float]
) -> None:
    """In any window of time at most burst + elapsed / refill takes pass."""
    clock, taken = FixedClock(), list[float]()
    tokens = bucket(clock, burst, refill_s)
    for pause in pauses:
        clock.advance(pause)
        if not tokens.take("a"):
            taken.append(clock.monotonic())
    for first, start in enumerate(taken):
        for last in range(first, len(taken)):
            elapsed = taken[last] - start
            assert last - first + 1 <= burst + elapsed / refill_s + 1e-3


@given(burst=st.integers(1, 6), refill_s=st.sampled_from([0.3, 1.0, 2.0, 60.0]), pauses=PAUSES)
def test_the_wait_is_exact(burst: int, refill_s: float, pauses: list[float]) -> None:
    """A refused take passes after the seconds it was told, and not a bit earlier."""
    clock = FixedClock()
    tokens = bucket(clock, burst, refill_s)
    for pause in pauses:
        clock.advance(pause)
        wait_s = tokens.take("a")
        if wait_s:
            clock.advance(wait_s - 0.001)
            assert tokens.take("a") == pytest.approx(0.001, abs=1e-5)
            clock.advance(0.001)
            assert tokens.take("a") == 0
