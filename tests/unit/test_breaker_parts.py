"""What the breaker is made of: its policy, its window, its faults, errors and hooks."""

import math
from dataclasses import fields
from typing import Any

import pytest

from resilience.breaker import BreakerPolicy
from resilience.errors import BudgetExhausted, CircuitOpen, DeadlinePassed, RateLimited, Refused
from resilience.fault import TRANSIENT, Fault, FaultKind, all_transient
from resilience.hooks import Hooks
from resilience.window import SLICES, RollingWindow

WHOLE = ("failures_max", "calls_min", "probes")
FIELDS = tuple(field.name for field in fields(BreakerPolicy))
NONSENSE = (-1, math.nan, math.inf, -math.inf, True, False)


def nonsense() -> list[tuple[str, Any]]:
    """Every field of the policy with every value that it must refuse."""
    cases: list[tuple[str, Any]] = [(name, value) for name in FIELDS for value in NONSENSE]
    cases += [(name, 0) for name in FIELDS if name != "jitter"]
    cases += [(name, value) for name in WHOLE for value in (1.5, 2.0)]
    return [*cases, ("failure_rate", 1.01), ("open_max_s", 14.9)]


@pytest.mark.parametrize(("name", "value"), nonsense())
def test_a_policy_of_nonsense_is_refused(name: str, value: Any) -> None:
    """By the name of the field that is wrong."""
    with pytest.raises(ValueError, match=f"^{name}: "):
        BreakerPolicy(**{name: value})


def test_the_bounds_themselves_are_sense() -> None:
    """No jitter, a share of all calls, one of each, and a time that never doubles."""
    BreakerPolicy(
        failures_max=1, calls_min=1, probes=1, failure_rate=1, jitter=0, open_s=9, open_max_s=9
    )


# --- the window ----------------------------------------------------------------------------------


def test_a_count_leaves_the_window_with_its_slice() -> None:
    """Made at the end of a slice it stays nine slices more, made at its beginning ten."""
    window = RollingWindow(10.0)
    window.add(0.0, total=1)
    window.add(0.9, total=2, marked=1)
    window.forget_old(9.9)
    assert (window.total, window.marked) == (3, 1)
    window.add(10.0, total=4)
    assert (window.total, window.marked) == (4, 0)


def test_a_window_is_as_small_as_its_slices() -> None:
    """Whatever the rate, and however uneven the pauses."""
    window = RollingWindow(1.0)
    for number in range(10_000):
        window.add(number * 0.013, total=1)
        assert len(window._slices) <= SLICES
    assert window.total <= 1.0 / 0.013 + 1


def test_a_window_may_be_cleared() -> None:
    """Nothing is left, and the next count is the first."""
    window = RollingWindow(10.0)
    window.add(5.0, total=3, marked=2)
    window.clear()
    assert (window.total, window.marked) == (0, 0)
    window.forget_old(100.0)
    window.add(5.0, total=1)
    assert window.total == 1


def test_time_that_goes_back_stands_still() -> None:
    """What is counted then is counted at the latest time that was seen."""
    window = RollingWindow(10.0)
    window.add(50.0, total=1)
    window.add(3.0, total=1)
    window.forget_old(3.0)
    assert window.total == 2
    window.forget_old(59.9)
    assert window.total == 2
    for _ in range(50):
        window.add(3.0, total=1)
        window.add(50.0, total=1)
    assert len(window._slices) == 1
    window.forget_old(60.0)
    assert window.total == 0


@pytest.mark.parametrize("length_s", [0.0, -1.0, math.nan, math.inf])
def test_a_window_of_no_length_is_refused(length_s: float) -> None:
    """By the name of its length."""
    with pytest.raises(ValueError, match=r"^window_s: "):
        RollingWindow(length_s)


# --- faults, errors, hooks -----------------------------------------------------------------------


@pytest.mark.parametrize("seconds", [-0.1, math.nan, math.inf, True])
def test_a_fault_does_not_pass_nonsense_on(seconds: float) -> None:
    """What a dependency says of time is checked where it comes in."""
    with pytest.raises(ValueError, match=r"^retry_after_s: "):
        Fault(kind=FaultKind.THROTTLED, retry_after_s=seconds)


def test_by_default_every_error_is_transient() -> None:
    """For dependencies whose calls have no effect."""
    assert all_transient(ValueError()) is TRANSIENT


def test_every_refusal_says_who_and_what() -> None:
    """In its words and in its fields; a passed deadline is a timeout to who does not know us."""
    for kind in (CircuitOpen, RateLimited, DeadlinePassed):
        error = kind("source", "no", 2.5)
        assert isinstance(error, Refused)
        assert str(error) == "source: no"
        assert (error.name, error.problem, error.retry_after_s) == ("source", "no", 2.5)
    assert issubclass(DeadlinePassed, TimeoutError)


def test_an_exhausted_budget_says_of_what() -> None:
    """The field, what was asked and what is left."""
    error = BudgetExhausted("tokens", 100, 30, 20)
    assert str(error) == "tokens: 30 asked, 20 left of 100"
    assert (error.field, error.limit, error.asked, error.left) == ("tokens", 100, 30, 20)


def test_hooks_are_nothing_without_listeners() -> None:
    """So that an event nobody hears need not be made."""
    hooks: Hooks[str] = Hooks()
    heard: list[str] = []
    assert not hooks
    hooks.tell("unheard")
    hooks.subscribe(heard.append)
    assert hooks
    hooks.tell("heard")
    assert heard == ["heard"]
