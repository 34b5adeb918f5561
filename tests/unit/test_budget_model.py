"""The budget against plain sums of whole numbers: its dollars, as cents, are exact there."""

from contextlib import suppress
from dataclasses import dataclass

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from resilience.budget import FIELDS, Amounts, Budget, Charge
from resilience.errors import BudgetExhausted

# Chance decides what is run: the other tests cover the lines.
pytestmark = pytest.mark.unmeasured

LIMITS = {"steps": 6, "tokens": 500, "usd": 130, "handoffs": 2}
"""Dollars in cents, here and in all numbers below."""
NUMBERS = st.fixed_dictionaries(
    {
        "steps": st.integers(0, 3),
        "tokens": st.integers(0, 200),
        "usd": st.integers(0, 60),
        "handoffs": st.integers(0, 1),
    }
)

Numbers = dict[str, int]


@dataclass(eq=False)
class Open:
    """A charge that is not settled, and what it holds."""

    charge: Charge
    numbers: Numbers


class Budgets(RuleBasedStateMachine):
    """A budget, and the sums of what is spent and held."""

    def __init__(self) -> None:
        super().__init__()
        self.budget = Budget(amounts(LIMITS))
        self.spent: Numbers = dict.fromkeys(FIELDS, 0)
        self.open: list[Open] = []
        self.settled: list[Charge] = []

    @rule(numbers=NUMBERS)
    def charge(self, numbers: Numbers) -> None:
        short = self._short(numbers)
        if short is None:
            self.open.append(Open(self.budget.charge(amounts(numbers)), numbers))
            return
        with pytest.raises(BudgetExhausted) as caught:
            self.budget.charge(amounts(numbers))
        error = caught.value
        assert error.field == short
        told = (LIMITS[short], numbers[short], max(0, self._left(short)))
        cents = 100 if short == "usd" else 1
        assert [n * cents for n in (error.limit, error.asked, error.left)] == pytest.approx(told)

    @precondition(lambda self: self.open)
    @rule(data=st.data(), spent=st.none() | NUMBERS)
    def settle(self, data: st.DataObject, spent: Numbers | None) -> None:
        charge = self._close(data)
        charge.settle(None if spent is None else amounts(spent))
        self._count(spent or {})

    @precondition(lambda self: self.open)
    @rule(data=st.data(), spent=st.none() | NUMBERS)
    def fail(self, data: st.DataObject, spent: Numbers | None) -> None:
        with suppress(KeyError), self._close(data) as charge:
            if spent is not None:
                charge.settle(amounts(spent))
            raise KeyError
        self._count(spent or {})

    @precondition(lambda self: self.settled)
    @rule(data=st.data(), spent=st.none() | NUMBERS)
    def settle_again(self, data: st.DataObject, spent: Numbers | None) -> None:
        charge = data.draw(st.sampled_from(self.settled))
        charge.settle(None if spent is None else amounts(spent))

    @rule()
    def restore(self) -> None:
        """What was held is lost with the process that held it."""
        self.budget = Budget(self.budget.limits, self.budget.spent)
        self.settled += [pending.charge for pending in self.open]
        self.open.clear()

    @invariant()
    def the_sums_are_the_same(self) -> None:
        held = {name: self._held(name) for name in FIELDS}
        left = {name: max(0, self._left(name)) for name in FIELDS}
        for told, expected in (
            (self.budget.spent, self.spent),
            (self.budget.held, held),
            (self.budget.left, left),
        ):
            assert cents(told) == pytest.approx(expected)

    @invariant()
    def no_more_is_held_than_the_limit(self) -> None:
        for name in FIELDS:
            assert self._held(name) <= LIMITS[name]

    def _close(self, data: st.DataObject) -> Charge:
        pending = data.draw(st.sampled_from(self.open))
        self.open.remove(pending)
        self.settled.append(pending.charge)
        return pending.charge

    def _count(self, spent: Numbers) -> None:
        for name, number in spent.items():
            self.spent[name] += number

    def _short(self, numbers: Numbers) -> str | None:
        """The first field of which too little is left."""
        return next((n for n in FIELDS if numbers[n] and numbers[n] > self._left(n)), None)

    def _left(self, name: str) -> int:
        return LIMITS[name] - self.spent[name] - self._held(name)

    def _held(self, name: str) -> int:
        return sum(pending.numbers[name] for pending in self.open)


def amounts(numbers: Numbers) -> Amounts:
    """With cents as dollars."""
    return Amounts(**{**numbers, "usd": numbers["usd"] / 100})  # type: ignore[arg-type]


def cents(told: Amounts) -> dict[str, float]:
    """With dollars as cents."""
    return {name: getattr(told, name) * (100 if name == "usd" else 1) for name in FIELDS}


class TestBudgets(Budgets.TestCase):  # type: ignore[misc, valid-type]
    """Whatever is done in whatever order, budget and sums agree."""

    settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
