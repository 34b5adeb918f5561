"""Random sagas, cancels, crashes and outages: what the saga promises holds for each of them."""

import asyncio
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Literal

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from resilience.budget import Amounts
from resilience.saga import (
    CLOSING,
    KILL_SWITCHES,
    EventType,
    History,
    Kept,
    Limits,
    Orchestrator,
    RunEnd,
    RunStatus,
    Saga,
    Step,
    StepContext,
    StepFailed,
    StepOutcome,
)
from tests.fakes.journal import MemoryJournal
from tests.fakes.saga_clock import HeldClock

# Chance decides what is run: the other tests cover the lines.
pytestmark = pytest.mark.unmeasured

RUN = "run-1"
UNDO_ATTEMPTS = 3
QUIET_TURNS = 12
"""Turns without a sign of life after which the driver lets time pass."""

TURNS_MAX = 50_000
"""Far more than any life takes."""

FOR_EVER_S = 1e6

LIMITS = Limits(steps=12, tokens=60_000)

Outcome = Literal["works", "fails", "breaks", "hangs", "is interrupted"]
OUTCOMES: tuple[Outcome, ...] = ("works", "fails", "breaks", "hangs", "is interrupted")
BAD: tuple[Outcome, ...] = OUTCOMES[1:]


@dataclass(frozen=True, kw_only=True)
class StepPlan:
    """How a step behaves each time it is called; its effect comes first, or not at all."""

    outcome: Outcome
    has_effect: bool
    undo: tuple[Outcome, ...] | None
    """How its undo behaves call by call; it works from then on. None: there is no undo."""
    kept: bool
    tokens: int


@dataclass(frozen=True, kw_only=True)
class Crash:
    """The process stops at the n-th append of a life, before or after it was stored. One that is
    `sudden` gives up no lease: the next life has to wait for its end."""

    append: int
    stored: bool
    sudden: bool


@dataclass(frozen=True, kw_only=True)
class Outage:
    """The journal is out, from a turn in a life on."""

    life: int
    turn: int
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A saga, what stops the process, when the journal is out or loses an answer, and when the
    person cancels (a life and a turn in it)."""

    steps: tuple[StepPlan, ...]
    crashes: tuple[Crash, ...]
    outage: Outage | None
    lost: EventType | None
    cancel: tuple[int, int] | None


step_plans = st.builds(
    StepPlan,
    outcome=st.one_of(st.just("works"), st.sampled_from(OUTCOMES)),
    has_effect=st.booleans(),
    undo=st.one_of(st.none(), st.just(()), st.lists(st.sampled_from(BAD), max_size=4).map(tuple)),
    kept=st.booleans(),
    tokens=st.sampled_from([0, 0, 0, 20_000, 30_000]),
)
plans = st.builds(
    Plan,
    steps=st.lists(step_plans, max_size=4).map(tuple),
    crashes=st.lists(
        st.builds(Crash, append=st.integers(1, 14), stored=st.booleans(), sudden=st.booleans()),
        max_size=6,
    ).map(tuple),
    outage=st.none()
    | st.builds(
        Outage, life=st.integers(0, 2), turn=st.integers(0, 60), seconds=st.floats(1.0, 60.0)
    ),
    lost=st.none() | st.sampled_from(EventType),
    cancel=st.none() | st.tuples(st.integers(0, 2), st.integers(0, 60)),
)


async def _as_json(state: int) -> str:
    return str(state)


async def _from_json(state: int, body: str) -> int | None:
    return int(body)


KEPT: Kept[int] = Kept(store=_as_json, restore=_from_json)


@dataclass
class World:
    """What the steps and undos did outside, and what they must not have done."""

    plan: Plan
    clock: HeldClock = field(default_factory=HeldClock)
    effects: set[int] = field(default_factory=set)
    undone: list[int] = field(default_factory=list)
    undo_calls: dict[int, int] = field(default_factory=dict)
    working: set[int] = field(default_factory=set)
    wrong: list[str] = field(default_factory=list)
    ends: list[RunEnd[int]] = field(default_factory=list)
    moves: int = 0

    def __post_init__(self) -> None:
        self.journal = MemoryJournal(self.clock.now)

    def saga(self) -> Saga[int]:
        """The plan's saga, acting on this world. The state counts the steps."""
        steps = tuple(self._step(i, plan) for i, plan in enumerate(self.plan.steps))
        return Saga(
            name="random",
            steps=steps,
            undo_deadline_s=60.0,
            undo_attempts=UNDO_ATTEMPTS,
            limits=LIMITS,
        )

    async def keep_end(self, end: RunEnd[int]) -> None:
        """The run's `finish`."""
        self.ends.append(end)

    def _step(self, number: int, plan: StepPlan) -> Step[int]:
        async def do(state: int, context: StepContext) -> StepOutcome[int]:
            self._begin(number)
            try:
                if plan.tokens:
                    await context.spends.intend(f"{number}", Amounts(tokens=plan.tokens))
                if plan.has_effect:
                    self.effects.add(number)
                await self._behave(plan.outcome)
                return StepOutcome(state=state + 1, report={"count": state})
            finally:
                self.working.discard(number)

        async def undo(run_id: str) -> str | None:
            self.moves += 1
            call = self.undo_calls.get(number, 0)
            self.undo_calls[number] = call + 1
            if self.working:
                self.wrong.append(f"{number} is undone while {self.working} are at work")
            assert plan.undo is not None
            if call < len(plan.undo):
                await self._behave(plan.undo[call])
            if number not in self.effects:
                return None
            self.effects.remove(number)
            self.undone.append(number)
            return f"{number} undone"

        name = f"step-{number}"
        undoing = None if plan.undo is None else undo
        kept = KEPT if plan.kept else None
        return Step(name=name, agent="agent", do=do, undo=undoing, deadline_s=10.0, kept=kept)

    def _begin(self, number: int) -> None:
        self.moves += 1
        stored = {e.type for e in self.journal.seen(RUN)}
        if stored & {EventType.RUN_CANCELLING, EventType.RUN_COMPENSATING, *CLOSING}:
            self.wrong.append(f"{number} starts after {sorted(stored)}")
        if self.working or self.undone:
            self.wrong.append(f"{number} starts beside {self.working}, after {self.undone}")
        if all(step.kept for step in self.plan.steps[: number + 1]) and (
            f"step.completed step-{number}" in self.journal.story(RUN)
        ):
            self.wrong.append(f"{number} is done again, though it was kept")
        self.working.add(number)

    async def _behave(self, outcome: Outcome) -> None:
        await asyncio.sleep(0)
        self.moves += 1
        match outcome:
            case "works":
                return
            case "fails":
                raise StepFailed("no")
            case "breaks":
                raise ValueError("unforeseen")
            case "hangs":
                await asyncio.Event().wait()
            case "is interrupted":
                raise asyncio.CancelledError


async def live(world: World, life: int, crash: Crash | None) -> RunEnd[int] | None:
    """One life of the process: the run's end, or None when the process stopped before it."""
    plan = world.plan
    journal = world.journal.other(f"life {life}")
    if life == 0 and plan.lost is not None:
        journal.lose_answer(plan.lost)
    gate = None if crash is None else journal.hold_append(crash.append, stored=crash.stored)
    cancel: asyncio.Task[bool] | None = None
    async with Orchestrator(journal, world.clock) as orchestrator:
        run = orchestrator.launch(world.saga(), RUN, 0, world.keep_end)
        seen, quiet = (-1, -1), 0
        for turn in range(TURNS_MAX):
            if plan.outage is not None and (plan.outage.life, plan.outage.turn) == (life, turn):
                journal.out_for(plan.outage.seconds)
            if plan.cancel == (life, turn):
                cancel = asyncio.create_task(orchestrator.cancel(RUN))
            if run.done() or (gate is not None and gate.reached.is_set()):
                break
            seen, quiet = (
                (world.moves, journal.appends),
                (quiet + 1 if seen == (world.moves, journal.appends) else 0),
            )
            if quiet == QUIET_TURNS:
                assert world.clock.advance_to_next(), "the run waits for nothing"
                quiet = 0
            await asyncio.sleep(0)
        else:
            raise AssertionError("the run does not come to an end")
        if not run.done() and crash is not None and crash.sudden:
            journal.out_for(FOR_EVER_S)  # for this process
    if cancel is not None:  # it may wait in the journal, where the process stopped
        cancel.cancel()
        await asyncio.gather(cancel, return_exceptions=True)
    if not run.cancelled():
        return run.result()
    return world.ends[-1] if journal.closings(RUN) else None


async def play(plan: Plan) -> tuple[World, RunEnd[int]]:
    """Live until the run ends, one crash a life."""
    world = World(plan)
    await world.journal.append(RUN, EventType.RUN_QUEUED)
    crashes = iter(plan.crashes)
    for life in range(len(plan.crashes) + 1):
        end = await live(world, life, next(crashes, None))
        if end is not None:
            break
    assert end is not None, "the run did not end in a life without a crash"
    for _ in range(3):
        await asyncio.sleep(0)
    assert asyncio.all_tasks() == {asyncio.current_task()}, "a task is left"
    return world, end


@settings(max_examples=400, deadline=None)
@given(plans)
def test_the_promises_hold_whatever_happens(plan: Plan) -> None:
    """Every run ends, undone in reverse unless completed, and its journal tells just that."""
    world, end = asyncio.run(play(plan))
    event(f"ends {end.status}")

    assert world.wrong == []
    _check_journal(world, end)
    _check_effects(world, end)
    _check_status(world, end)


def _check_journal(world: World, end: RunEnd[int]) -> None:
    """Gapless, closed once and last, and what it replays to is how the run ended."""
    events = world.journal.seen(RUN)
    history = History.of(events)
    assert history.status is end.status
    assert history.status in CLOSING.values()
    assert history.spent == end.spent
    assert (history.undone_words, history.steps_done) == (end.undone, end.steps_done)
    assert [e.seq for e in events] == list(range(1, len(events) + 1))
    assert len(world.journal.closings(RUN)) == 1
    assert world.journal.owner_of(RUN) is None
    assert events[-1].type in CLOSING
    if world.plan.outage is None and world.plan.lost is None:  # what waited is older
        assert all(before.at <= after.at for before, after in pairwise(events))
    assert world.ends[-1] == end
    types = [e.type for e in events]
    assert types.count(EventType.RUN_CANCELLING) <= 1
    if EventType.RUN_CANCELLING in types:
        after = types[types.index(EventType.RUN_CANCELLING) :]
        assert EventType.STEP_STARTED not in after


def _check_effects(world: World, end: RunEnd[int]) -> None:
    """Completed: all effects are there. Else: those with an undo were undone once, last first."""
    undoable = {i for i in world.effects if world.plan.steps[i].undo is not None}
    assert world.undone == sorted(set(world.undone), reverse=True)
    match end.status:
        case RunStatus.COMPLETED:
            assert world.effects == {
                i for i, step in enumerate(world.plan.steps) if step.has_effect
            }
            assert world.undo_calls == {}
        case RunStatus.PARKED:
            stuck = min(world.undo_calls)
            undos = world.plan.steps[stuck].undo or ()
            hangs = sum((step.undo or ()).count("hangs") for step in world.plan.steps)
            # Its own tries were used up, or the run's time for undoing was.
            assert len(undos) >= UNDO_ATTEMPTS or (undos and hangs)
            assert all(i <= stuck for i in undoable)
        case _:
            assert undoable == set()


def _check_status(world: World, end: RunEnd[int]) -> None:
    """The status says what happened: cancelled, undone, or neither."""
    cancelled = any(e.type is EventType.RUN_CANCELLING for e in world.journal.seen(RUN))
    assert end.spent.steps <= LIMITS.steps
    assert end.spent.tokens <= LIMITS.tokens
    if cancelled:
        assert end.status in {RunStatus.CANCELLED, RunStatus.PARKED}
    else:
        assert end.status is not RunStatus.CANCELLED
    if end.status is RunStatus.COMPLETED:
        assert end.state == len(world.plan.steps) <= end.steps_done
        assert end.error_type is None
    else:
        assert end.error_type
    if not world.plan.crashes and end.status is not RunStatus.PARKED:
        assert end.undone == tuple(f"{i} undone" for i in world.undone)
    if end.status in {RunStatus.COMPENSATED, RunStatus.FAILED}:
        killed = end.error_type in KILL_SWITCHES
        assert (end.status is RunStatus.COMPENSATED) == (bool(end.undone) and not killed)
