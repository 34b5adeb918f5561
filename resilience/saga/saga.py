"""A workflow as data: named steps in order, each with what undoes it, and the run's limits."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

from resilience.budget import Amounts
from resilience.saga.journal import JsonValue

S = TypeVar("S")


class StepFailed(Exception):  # noqa: N818 - the name of the event
    """A step gave up for good. `type` is stable and for programs, the message is for people."""

    def __init__(self, message: str, *, type: str = "step-failed") -> None:  # noqa: A002
        super().__init__(message)
        self.type = type
        self.message = message


class KillSwitch(StepFailed):
    """A limit of the run was reached: it ends failed, undone, with what was found so far."""


MAX_STEPS = "max-steps-exceeded"
TOKENS_SPENT = "token-budget-exhausted"
TOO_MANY_HANDOFFS = "routing-exhausted"
TOO_LONG = "workflow-timeout"
OUTPUT_INVALID = "output-invalid"
KILL_SWITCHES = frozenset({MAX_STEPS, TOKENS_SPENT, TOO_MANY_HANDOFFS, TOO_LONG})
FAILING = KILL_SWITCHES | {OUTPUT_INVALID}
"""The reasons that end a run as failed, also where something was undone."""


class Spends(Protocol):
    """What a step spends, journaled: the most it may be before, the real amounts after."""

    async def intend(self, effect: str, amounts: Amounts) -> None:
        """Journal that an effect is about to happen. Raises KillSwitch when the run has not that
        many tokens left, and BudgetExhausted when it has not that much money."""
        ...

    async def settle(self, effect: str, amounts: Amounts) -> None:
        """Journal what the effect really took."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class StepContext:
    """What a step may know of the run it works for."""

    run_id: str
    report: Callable[[Mapping[str, JsonValue]], Awaitable[None]]
    """Journals a step.progress event: counts and fixed words."""
    degrade: Callable[[str], Awaitable[None]]
    """Journals that something was replaced by something lesser, in a few fixed words."""
    spends: Spends


@dataclass(frozen=True, slots=True, kw_only=True)
class StepOutcome(Generic[S]):
    """A step's completion as its agent reports it: the new state, and the counts to journal.

    `then` names the step to go on with; None is the next in the saga's order. Going on with a step
    of another agent is a handoff.
    """

    state: S
    report: Mapping[str, JsonValue] = field(default_factory=dict)
    then: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept(Generic[S]):
    """How what a step made is kept as JSON. `restore` returns None for a body that it can't read
    any more, such as one of an older version: then the step is done again."""

    store: Callable[[S], Awaitable[str]]
    restore: Callable[[S, str], Awaitable[S | None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Step(Generic[S]):
    """One step. `do` and `undo` are idempotent per run: a restart may call them again.

    `undo` gets the run's id and returns what it undid in words, or None when there was nothing.
    Without `kept` the step is done again when the run is taken up after it.
    """

    name: str
    agent: str
    do: Callable[[S, StepContext], Awaitable[StepOutcome[S]]]
    undo: Callable[[str], Awaitable[str | None]] | None = None
    deadline_s: float
    kept: Kept[S] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one run may take, over all its lives; `timeout_s` counts from its start."""

    steps: int = 20
    tokens: int = 60_000
    handoffs: int = 5
    usd: float = 1.0
    timeout_s: float = 600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Saga(Generic[S]):
    """The steps in order; the seconds that undoing them may take in all, and the tries of each."""

    name: str
    steps: tuple[Step[S], ...]
    undo_deadline_s: float = 60.0
    undo_attempts: int = 3
    limits: Limits = Limits()

    def step(self, name: str) -> Step[S]:
        """The step of that name; raises KeyError."""
        for step in self.steps:
            if step.name == name:
                return step
        raise KeyError(name)

    def after(self, step: Step[S]) -> Step[S] | None:
        """The step that follows in order."""
        place = self.steps.index(step) + 1
        return self.steps[place] if place < len(self.steps) else None
