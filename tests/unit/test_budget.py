"""The budget: charged before, settled after, and never overspent by work done side by side."""

import asyncio
import math
import re
from contextlib import suppress

import pytest

from resilience.budget import FIELDS, Amounts, Budget
from resilience.errors import BudgetExhausted

LIMITS = Amounts(steps=10, tokens=1_000, usd=1.0, handoffs=2)
ALL = {"steps": 11, "tokens": 1_001, "usd": 1.01, "handoffs": 3}
"""A bit too much of each."""


def test_what_is_charged_is_held_until_it_is_settled() -> None:
    """Then only what was spent counts; less than charged gives the rest back."""
    budget = Budget(LIMITS)
    charge = budget.charge(Amounts(steps=1, tokens=400, usd=0.5))
    assert (budget.held, budget.spent) == (charge.held, Amounts())
    assert budget.left == Amounts(steps=9, tokens=600, usd=0.5, handoffs=2)
    charge.settle(Amounts(steps=1, tokens=150, usd=0.25))
    assert (budget.held, budget.spent) == (Amounts(), Amounts(steps=1, tokens=150, usd=0.25))
    assert budget.left == Amounts(steps=9, tokens=850, usd=0.75, handoffs=2)


def test_what_is_spent_over_the_charge_counts() -> None:
    """It can't be undone, but the next charge meets it."""
    budget = Budget(LIMITS)
    budget.charge(Amounts(tokens=900)).settle(Amounts(tokens=1_200))
    assert budget.spent == Amounts(tokens=1_200)
    assert budget.left.tokens == 0
    with pytest.raises(BudgetExhausted, match=r"^tokens: 1 asked, 0 left of 1000"):
        budget.charge(Amounts(tokens=1))


def test_what_is_exhausted_stops_only_who_asks_for_it() -> None:
    """Spent tokens are no reason not to take a step."""
    budget = Budget(LIMITS, Amounts(tokens=5_000, usd=7))
    budget.charge(Amounts(steps=1))
    assert budget.held == Amounts(steps=1)


@pytest.mark.parametrize("times", [1, 2])
def test_what_was_not_spent_is_free_again(times: int) -> None:
    """Settled for nothing, and only once."""
    budget = Budget(LIMITS)
    other = budget.charge(Amounts(steps=4))
    charge = budget.charge(Amounts(steps=6))
    for _ in range(times):
        charge.settle()
    assert (budget.held, budget.spent) == (other.held, Amounts())


def test_a_charge_is_settled_once() -> None:
    """What comes later, from a second hand, does nothing."""
    budget = Budget(LIMITS)
    other = budget.charge(Amounts(steps=4))
    charge = budget.charge(Amounts(steps=6))
    charge.settle(Amounts(steps=5))
    charge.settle(Amounts(steps=6))
    charge.settle()
    assert (budget.held, budget.spent) == (other.held, Amounts(steps=5))


@pytest.mark.parametrize("name", FIELDS)
def test_the_exhausted_field_is_named_with_its_numbers(name: str) -> None:
    """And nothing is held of the others."""
    limit = getattr(LIMITS, name)
    budget = Budget(LIMITS)
    half = limit / 2 if name == "usd" else limit // 2
    spent = Amounts(**{name: half})
    budget.charge(spent).settle(spent)
    asked = ALL[name]
    with pytest.raises(BudgetExhausted, match=f"^{name}: ") as caught:
        budget.charge(Amounts(**{**dict.fromkeys(FIELDS, 1), name: asked}))  # type: ignore[arg-type]
    error = caught.value
    assert (error.field, error.limit, error.asked, error.left) == (name, limit, asked, half)
    assert budget.held == Amounts()


@pytest.mark.parametrize("name", FIELDS)
def test_the_whole_limit_may_be_charged(name: str) -> None:
    """All that there is, and then not a bit more."""
    budget = Budget(LIMITS)
    budget.charge(Amounts(**{name: getattr(LIMITS, name)}))
    assert getattr(budget.left, name) == 0
    with pytest.raises(BudgetExhausted, match=f"^{name}: "):
        budget.charge(Amounts(**{name: 1}))


async def test_work_side_by_side_cannot_overspend() -> None:
    """Twenty at once for ten steps: ten get one, as all hold before any settles."""
    budget = Budget(LIMITS)

    async def work() -> None:
        with budget.charge(Amounts(steps=1, tokens=100)) as charge:
            await asyncio.sleep(0)
            charge.settle(Amounts(steps=1, tokens=60))

    outcomes = await asyncio.gather(*(work() for _ in range(20)), return_exceptions=True)
    assert sum(isinstance(outcome, BudgetExhausted) for outcome in outcomes) == 10
    assert (budget.held, budget.spent) == (Amounts(), Amounts(steps=10, tokens=600))


def test_dollars_are_charged_to_the_last_cent() -> None:
    """Three times ten cents are thirty, though their sum as floats is more."""
    budget = Budget(Amounts(usd=0.3))
    for _ in range(3):
        budget.charge(Amounts(usd=0.1)).settle(Amounts(usd=0.1))
    with pytest.raises(BudgetExhausted):
        budget.charge(Amounts(usd=0.01))


@pytest.mark.parametrize("settled", [True, False])
def test_the_hair_of_floats_is_not_spent_again_and_again(settled: bool) -> None:
    """Charges below it don't add up to anything."""
    budget = Budget(Amounts(usd=1.0), Amounts(usd=1.0))
    tiny = Amounts(usd=4e-10)
    passed = 0
    with suppress(BudgetExhausted):
        for passed in range(1_000):  # noqa: B007 - how many there were
            charge = budget.charge(tiny)
            if settled:
                charge.settle(tiny)
    assert passed < 4


def test_a_budget_is_restored_from_its_numbers() -> None:
    """After a restart it goes on where it was; what was held then is free."""
    before = Budget(LIMITS)
    before.charge(Amounts(steps=3, usd=0.3)).settle(Amounts(steps=3, usd=0.4))
    before.charge(Amounts(steps=7))
    after = Budget(before.limits, before.spent)
    assert (after.limits, after.spent, after.held) == (LIMITS, before.spent, Amounts())
    assert after.left == Amounts(steps=7, tokens=1_000, usd=0.6, handoffs=2)


def test_a_budget_of_nothing_gives_nothing() -> None:
    """And asking for nothing is always possible."""
    budget = Budget(Amounts())
    budget.charge(Amounts()).settle()
    with pytest.raises(BudgetExhausted, match=re.escape("handoffs: 1 asked, 0 left of 0")):
        budget.charge(Amounts(handoffs=1))


@pytest.mark.parametrize("name", FIELDS)
@pytest.mark.parametrize("wrong", [-1, True, math.nan, math.inf, -math.inf])
def test_amounts_below_nothing_are_refused_by_name(name: str, wrong: float) -> None:
    """A negative charge would be a gift, and nonsense a budget without end."""
    with pytest.raises(ValueError, match=f"^{name}: "):
        Amounts(**{name: wrong})  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["steps", "tokens", "handoffs"])
@pytest.mark.parametrize("wrong", [0.5, 2.0, True])
def test_what_is_counted_is_whole(name: str, wrong: float) -> None:
    """There is no half step."""
    with pytest.raises(ValueError, match=f"^{name}: .*, must be a whole number"):
        Amounts(**{name: wrong})  # type: ignore[arg-type]


def test_amounts_add_up_and_never_go_below_nothing() -> None:
    """Field by field."""
    some = Amounts(steps=1, tokens=20, usd=0.5, handoffs=1)
    more = Amounts(steps=3, tokens=5, usd=0.25)
    assert some.plus(more) == Amounts(steps=4, tokens=25, usd=0.75, handoffs=1)
    assert some.minus(more) == Amounts(tokens=15, usd=0.25, handoffs=1)


@pytest.mark.parametrize("error", [KeyError, asyncio.CancelledError])
def test_an_error_lets_go_of_what_is_held(error: type[BaseException]) -> None:
    """And is not swallowed."""
    budget = Budget(LIMITS)
    with pytest.raises(error), budget.charge(Amounts(steps=10)):
        raise error
    assert (budget.held, budget.spent) == (Amounts(), Amounts())


def test_what_was_settled_before_the_error_counts() -> None:
    """The end of the block settles only what nobody has."""
    budget = Budget(LIMITS)
    with suppress(KeyError), budget.charge(Amounts(steps=10)) as charge:
        charge.settle(Amounts(steps=2))
        raise KeyError
    assert (budget.held, budget.spent) == (Amounts(), Amounts(steps=2))


def test_what_was_counted_can_be_counted_anew() -> None:
    """What turned out to be less is free again, and more is met by the next charge."""
    budget = Budget(LIMITS, Amounts(tokens=900, usd=0.5))
    budget.recount(Amounts(tokens=500), Amounts(tokens=200, usd=0.25))
    assert (budget.spent, budget.held) == (Amounts(tokens=600, usd=0.75), Amounts())
    budget.recount(Amounts(), Amounts(tokens=1_000))
    assert budget.left.tokens == 0
