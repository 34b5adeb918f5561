"""A workflow as data: named steps in order, each with what undoes it."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from resilience.saga.journal import JsonValue

S = TypeVar("S")


class StepFailed(Exception):  # noqa: N818 - the name of the event
    """A step gave up for good. `type` is stable and for programs, the message is for people."""

    def __init__(self, message: str, *, type: str = "step-failed") -> None:  # noqa: A002
        super().__init__(message)
        self.type = type
        self.message = message


@dataclass(frozen=True, slots=True, kw_only=True)
class StepContext:
    """What a step may know of the run it works for."""

    run_id: str
    report: Callable[[Mapping[str, JsonValue]], Awaitable[None]]
    """Journals a step.progress event: counts and fixed words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepOutcome(Generic[S]):
    """A step's completion as its agent reports it: the new state, and the counts to journal."""

    state: S
    report: Mapping[str, JsonValue] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Step(Generic[S]):
    """One step. `do` and `undo` are idempotent per run: a restart may call them again.

    `undo` gets the run's id and returns what it undid in words, or None when there was nothing.
    """

    name: str
    agent: str
    do: Callable[[S, StepContext], Awaitable[StepOutcome[S]]]
    undo: Callable[[str], Awaitable[str | None]] | None = None
    deadline_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Saga(Generic[S]):
    """The steps in order; the seconds that undoing them may take in all, and the tries of each."""

    name: str
    steps: tuple[Step[S], ...]
    undo_deadline_s: float = 60.0
    undo_attempts: int = 3
