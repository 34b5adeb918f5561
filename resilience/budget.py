"""A budget: what some work may spend in all, charged before and settled after.

What is charged is held until it is settled, so that work done side by side can't overspend
together. What is really spent can be more than was charged: it counts, and the next charge meets
it.
"""

from dataclasses import dataclass, fields

from resilience.checks import not_negative, whole
from resilience.errors import BudgetExhausted


@dataclass(frozen=True, slots=True, kw_only=True)
class Amounts:
    """Amounts of all that is limited. `usd` is money, in US dollars."""

    steps: int = 0
    tokens: int = 0
    usd: float = 0.0
    handoffs: int = 0

    def __post_init__(self) -> None:
        whole(steps=self.steps, tokens=self.tokens, handoffs=self.handoffs)
        not_negative(steps=self.steps, tokens=self.tokens, usd=self.usd, handoffs=self.handoffs)

    def plus(self, other: "Amounts") -> "Amounts":
        """The sums."""
        return Amounts(
            **{f: getattr(self, f) + getattr(other, f) for f in FIELDS},
        )

    def minus(self, other: "Amounts") -> "Amounts":
        """The differences, none below 0."""
        return Amounts(
            **{f: max(0, getattr(self, f) - getattr(other, f)) for f in FIELDS},
        )


NOTHING = Amounts()
FIELDS = tuple(field.name for field in fields(Amounts))
_HAIR = 1e-9
"""Sums of dollars may miss the limit by a hair."""


class Charge:
    """What is held for one piece of work, until it is settled. A context manager that settles at
    its end, for nothing if nobody has by then."""

    __slots__ = ("_budget", "held")

    def __init__(self, budget: "Budget", held: Amounts) -> None:
        self._budget: Budget | None = budget
        self.held = held

    def settle(self, spent: Amounts | None = None) -> None:
        """Let go of what is held and count what was spent (None: nothing). Only once: after that
        it does nothing."""
        budget, self._budget = self._budget, None
        if budget is not None:
            budget.settled(self.held, spent or Amounts())

    def __enter__(self) -> "Charge":
        return self

    def __exit__(self, *_: object) -> None:
        self.settle()


class Budget:
    """`limits`, less what was `spent` before: a budget is restored from these numbers."""

    def __init__(self, limits: Amounts, spent: Amounts | None = None) -> None:
        self.limits = limits
        self._spent = spent or Amounts()
        self._held = Amounts()

    @property
    def spent(self) -> Amounts:
        """What was settled."""
        return self._spent

    @property
    def held(self) -> Amounts:
        """What is charged and not settled yet."""
        return self._held

    @property
    def left(self) -> Amounts:
        """What may still be charged."""
        return self.limits.minus(self._spent).minus(self._held)

    def charge(self, amounts: Amounts) -> Charge:
        """Hold the amounts; raises BudgetExhausted, and holds nothing, when one is too much."""
        held = self._held.plus(amounts)
        used = self._spent.plus(held)
        for name in FIELDS:
            asked, limit = getattr(amounts, name), getattr(self.limits, name)
            if asked and getattr(used, name) > limit + (_HAIR if name == "usd" else 0):
                raise BudgetExhausted(name, limit, asked, getattr(self.left, name))
        self._held = held
        return Charge(self, amounts)

    def recount(self, counted: Amounts, spent: Amounts) -> None:
        """Something that was counted as spent turned out to be `spent`."""
        self._spent = self._spent.minus(counted).plus(spent)

    def settled(self, held: Amounts, spent: Amounts) -> None:
        """A charge's way back; use its `settle`."""
        self._held = self._held.minus(held)
        self._spent = self._spent.plus(spent)
