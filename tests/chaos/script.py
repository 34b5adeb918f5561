"""What a simulation plays: the runs, how their steps behave, and what goes wrong. From one seed."""

from dataclasses import dataclass, field, replace
from random import Random
from typing import Literal

from tests.chaos.faults import Span

Behaviour = Literal["works", "fails", "breaks", "hangs", "burns", "loops", "hands on"]
Effect = Literal["none", "actor", "llm", "telegram"]
Undoing = Literal["fails", "hangs"]
Kept = Literal["no", "yes", "unreadable"]
Creation = Literal["chat", "program"]

BAD: tuple[Behaviour, ...] = ("fails", "breaks", "hangs", "burns", "loops", "hands on")
EFFECTS: tuple[Effect, ...] = ("none", "actor", "llm", "telegram")


STALL_S = 40.0
"""Longer than a lease."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepScript:
    """One step. `undo` says how the first calls of its undo go, after which it works; None: it has
    none. A `stuck` one never works until somebody repairs it."""

    behaviour: Behaviour = "works"
    seconds: float = 1.0
    effect: Effect = "none"
    undo: tuple[Undoing, ...] | None = None
    stuck: bool = False
    undo_s: float = 0.1
    deadline_s: float = 20.0
    kept: Kept = "yes"
    agent: str = "one"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunScript:
    """One run: when it is asked for, how often at once with the same key, and when cancelled."""

    steps: tuple[StepScript, ...]
    timeout_s: float = 60.0
    usd: float = 1.0
    at_s: float = 0.0
    asked: int = 1
    creation: Creation = "chat"
    cancels_s: tuple[float, ...] = ()
    cancels_at: tuple[int, ...] = ()
    """Points right after which it is cancelled."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """A world. `crash_at` numbers points; `cut_off` are the times when the process of that number
    alone does not reach the store; at `stops_s` one process leaves in an orderly way."""

    seed: int
    runs: tuple[RunScript, ...]
    runs_max: int = 2
    processes: int = 1
    recoverers: int = 1
    same_machine: bool = True
    crash_at: frozenset[int] = frozenset()
    outages: tuple[Span, ...] = ()
    cut_off: dict[int, Span] = field(default_factory=dict)
    stall_at: frozenset[int] = frozenset()
    """Points at which the process that is there does not reach the store for STALL_S."""
    stops_s: tuple[float, ...] = ()
    restart_s: float = 1.0
    lost_answers: float = 0.0
    retry: bool = True


def random_script(seed: int) -> Script:
    """The world of that seed."""
    random = Random(seed)
    return _stalled_world(seed, random) if random.random() < 0.1 else _any_world(seed, random)


def _stalled_world(seed: int, random: Random) -> Script:
    """A process does not reach the store for longer than its lease, while it works on and another
    takes its run up; then it is back."""
    step = StepScript(seconds=random.choice((8.0, 12.0, 15.0)), undo=(), kept="no")
    steps = tuple(replace(step, effect=random.choice(EFFECTS)) for _ in range(4))
    away = Span(random.uniform(1.0, 20.0), random.uniform(31.0, 45.0))
    return Script(
        seed=seed,
        runs=(RunScript(steps=steps, timeout_s=120.0),),
        processes=2,
        cut_off={random.randrange(2): away},
        crash_at=_crashes(random) if random.random() < 0.5 else frozenset(),
    )


def _any_world(seed: int, random: Random) -> Script:
    runs = tuple(_run(random) for _ in range(random.choice((1, 1, 1, 2, 3))))
    processes = random.choice((1, 1, 2, 2))
    return Script(
        seed=seed,
        runs=runs,
        runs_max=random.choice((1, 2, 3)),
        processes=processes,
        recoverers=random.choice((1, 1, 2)),
        same_machine=random.random() < 0.5,
        crash_at=_crashes(random),
        outages=_spans(random, 0.25, 300.0),
        cut_off={
            number: Span(random.uniform(0.0, 15.0), random.uniform(5.0, 90.0))
            for number in range(processes)
            if random.random() < 0.2
        },
        stops_s=(random.uniform(0.0, 40.0),) if random.random() < 0.2 else (),
        restart_s=random.uniform(0.0, 3.0),
        lost_answers=random.choice((0.0, 0.0, 0.02, 0.1)),
        retry=random.random() < 0.8,
    )


def _run(random: Random) -> RunScript:
    cancels = random.choice((0, 0, 0, 1, 1, 2))
    return RunScript(
        steps=tuple(_step(random) for _ in range(random.randint(1, 4))),
        timeout_s=random.choice((30.0, 60.0, 90.0)),
        usd=random.choice((0.3, 1.0)),
        at_s=random.uniform(0.0, 5.0),
        asked=random.choice((1, 1, 2, 3)),
        creation=random.choice(("chat", "program")),
        cancels_s=tuple(random.uniform(0.0, 40.0) for _ in range(cancels)),
        cancels_at=(random.randint(1, 90),) if random.random() < 0.3 else (),
    )


def _step(random: Random) -> StepScript:
    undo = None
    if random.random() < 0.7:
        tries = random.choice((0, 0, 0, 1, 2, 3, 4))
        undo = tuple(random.choice(_UNDOINGS) for _ in range(tries))
    return StepScript(
        behaviour="works" if random.random() < 0.75 else random.choice(BAD),
        seconds=random.choice((0.0, 0.5, 3.0, 12.0)),
        effect=random.choice(EFFECTS),
        undo=undo,
        stuck=undo is not None and random.random() < 0.1,
        undo_s=random.choice((0.1, 0.1, 5.0)),
        kept=random.choice(("yes", "yes", "yes", "no", "unreadable")),
        agent=random.choice(("one", "two")),
    )


_UNDOINGS: tuple[Undoing, ...] = ("fails", "fails", "hangs")


def _crashes(random: Random) -> frozenset[int]:
    points, at = set(), 0
    for _ in range(random.choice((0, 1, 1, 2, 3, 5))):
        at += random.randint(1, 60)
        points.add(at)
    return frozenset(points)


def _spans(random: Random, likely: float, longest_s: float) -> tuple[Span, ...]:
    if random.random() >= likely:
        return ()
    lasts_s = random.choice((random.uniform(0.5, 20.0), random.uniform(20.0, longest_s)))
    return (Span(random.uniform(0.0, 30.0), lasts_s),)
