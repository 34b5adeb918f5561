"""The orchestrator: what a run does, and how it ends, whatever happens to it."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta

import pytest

from resilience.clock import SystemClock
from resilience.saga import (
    Event,
    EventType,
    Orchestrator,
    RunEnd,
    RunStatus,
    Saga,
    Step,
    StepContext,
    StepFailed,
    StepOutcome,
)
from resilience.saga.orchestrator import RESUMPTIONS_MAX
from tests.fakes.journal import MemoryJournal
from tests.fakes.saga_clock import HeldClock, settle

RUN = "run-1"
State = tuple[str, ...]
Behaviour = Callable[[], Awaitable[None]]


# --- how steps and undos can behave ---------------------------------------------------------------


async def works() -> None:
    """Take a moment."""
    await asyncio.sleep(0)


async def fails() -> None:
    """Give up, as an agent does."""
    raise StepFailed("nobody answered", type="no-answer")


async def breaks() -> None:
    """Raise what nobody foresaw."""
    raise ValueError("secret words")


async def hangs() -> None:
    """Never return."""
    await asyncio.Event().wait()


async def is_interrupted() -> None:
    """End as if cancelled, though nobody cancelled it."""
    raise asyncio.CancelledError


def in_turn(*behaviours: Behaviour) -> Behaviour:
    """Behave differently each time, the last way from then on."""
    left = list(behaviours)

    async def behave() -> None:
        await (left.pop(0) if len(left) > 1 else left[0])()

    return behave


# --- a stage: one run over a journal and a clock that the test holds ------------------------------


@dataclass
class Stage:
    """A journal, a clock, the orchestrator of the present life, and all that happened."""

    clock: HeldClock = field(default_factory=HeldClock)
    happened: list[str] = field(default_factory=list)
    ends: list[RunEnd[State]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.journal = MemoryJournal(self.clock.now)
        self.orchestrator = Orchestrator(self.journal, self.clock)

    def step(
        self,
        name: str,
        do: Behaviour = works,
        undo: Behaviour | None = works,
        *,
        nothing_to_undo: bool = False,
    ) -> Step[State]:
        """A step that notes that it was called, then behaves as told."""

        async def done(state: State, context: StepContext) -> StepOutcome[State]:
            assert context.run_id == RUN
            self.happened.append(name)
            await do()
            return StepOutcome(state=(*state, name), report={"made": len(state) + 1})

        async def undone(run_id: str) -> str | None:
            assert run_id == RUN
            assert undo is not None
            self.happened.append(f"undo {name}")
            await undo()
            return None if nothing_to_undo else f"{name} undone"

        return Step(
            name=name,
            agent=f"{name}-agent",
            do=done,
            undo=undone if undo is not None else None,
            deadline_s=10.0,
        )

    async def launch(self, *steps: Step[State]) -> asyncio.Task[RunEnd[State]]:
        """Queue the run if it is new, and launch it."""
        if self.journal.status(RUN) is None:
            await self.journal.append(RUN, EventType.RUN_QUEUED)
        return self.orchestrator.launch(_saga(*steps), RUN, (), self._keep_end)

    async def run(self, *steps: Step[State]) -> RunEnd[State]:
        """Launch the run and let time pass until it ended."""
        return await self.end_of(await self.launch(*steps))

    async def end_of(self, task: asyncio.Task[RunEnd[State]]) -> RunEnd[State]:
        """Let time pass until the run ended."""
        await self.clock.until_done(task)
        return task.result()

    async def restart(self) -> None:
        """Stop, as a shutdown does, and begin another life over the same journal."""
        await self.orchestrator.__aexit__(None, None, None)
        self.orchestrator = Orchestrator(self.journal, self.clock)

    async def lived_through(self, *events: EventType | tuple[EventType, str]) -> None:
        """Journal what an earlier life did: events, those of steps with the step's name."""
        for event in (EventType.RUN_QUEUED, *events):
            if isinstance(event, EventType):
                await self.journal.append(RUN, event)
            else:
                await self.journal.append(RUN, event[0], {"step": event[1], "undone": None})

    def story(self) -> list[str]:
        """The run's events in words."""
        return self.journal.story(RUN)

    async def _keep_end(self, end: RunEnd[State]) -> None:
        self.ends.append(end)


def _saga(*steps: Step[State]) -> Saga[State]:
    return Saga(name="test", steps=steps, undo_deadline_s=5.0, undo_attempts=3)


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    """A stage that is left at the end, and by then has no task of its own."""
    stage = Stage()
    before = asyncio.all_tasks()
    async with stage.orchestrator:
        yield stage
    await stage.restart()
    await settle()
    assert not asyncio.all_tasks() - before - {asyncio.current_task()}


# --- forward --------------------------------------------------------------------------------------


async def test_a_run_whose_steps_are_done_is_completed(stage: Stage) -> None:
    """The steps run in order, each on the state of the one before, and every move is journaled."""
    end = await stage.run(stage.step("one"), stage.step("two"))

    assert end == RunEnd(run_id=RUN, status=RunStatus.COMPLETED, state=("one", "two"), steps_done=2)
    assert stage.happened == ["one", "two"]
    assert stage.story() == [
        "run.queued",
        "run.started",
        "step.started one",
        "step.completed one",
        "step.started two",
        "step.completed two",
        "run.completed",
    ]
    completed = stage.journal.seen(RUN)[-2]
    assert completed.data == {"step": "two", "agent": "two-agent", "made": 2}


async def test_the_intent_is_journaled_before_the_step_does_anything(stage: Stage) -> None:
    """A step is called only once its start is stored."""
    gate = stage.journal.hold(EventType.STEP_STARTED, stored=False)
    task = await stage.launch(stage.step("one"))
    await gate.reached.wait()
    await settle()
    assert stage.happened == []
    gate.opened.set()
    assert (await stage.end_of(task)).status is RunStatus.COMPLETED


async def test_a_saga_without_steps_is_completed(stage: Stage) -> None:
    """Nothing to do is done."""
    assert (await stage.run()).status is RunStatus.COMPLETED


async def test_what_is_kept_of_the_end_is_kept_before_the_end_is_journaled(stage: Stage) -> None:
    """Whoever sees the run closed finds its report."""
    gate = stage.journal.hold(EventType.RUN_COMPLETED, stored=False)
    task = await stage.launch(stage.step("one"))
    await gate.reached.wait()
    assert [end.status for end in stage.ends] == [RunStatus.COMPLETED]
    assert stage.journal.status(RUN) is RunStatus.RUNNING
    gate.opened.set()
    assert await stage.end_of(task) == stage.ends[0]


async def test_a_run_may_have_nobody_who_keeps_its_end(stage: Stage) -> None:
    """`finish` is optional."""
    await stage.journal.append(RUN, EventType.RUN_QUEUED)
    task = stage.orchestrator.launch(_saga(stage.step("one")), RUN, ())
    assert (await stage.end_of(task)).status is RunStatus.COMPLETED


async def test_a_step_reports_progress(stage: Stage) -> None:
    """What a step reports is journaled under its name, between its start and its end."""

    async def do(state: State, context: StepContext) -> StepOutcome[State]:
        await context.report({"source": "file", "found": 3})
        return StepOutcome(state=state)

    await stage.run(Step(name="one", agent="a", do=do, deadline_s=1.0))

    assert stage.story()[2:5] == ["step.started one", "step.progress one", "step.completed one"]
    assert stage.journal.seen(RUN)[3].data == {"step": "one", "source": "file", "found": 3}


async def test_two_runs_do_not_disturb_each_other(stage: Stage) -> None:
    """A run that fails and a run that completes go on side by side."""

    async def do(state: State, context: StepContext) -> StepOutcome[State]:
        await works()
        return StepOutcome(state=(*state, context.run_id))

    await stage.journal.append("other", EventType.RUN_QUEUED)
    saga = _saga(Step(name="one", agent="a", do=do, deadline_s=1.0))
    other = stage.orchestrator.launch(saga, "other", ())
    failed = await stage.run(stage.step("one", fails, None))
    await stage.clock.until_done(other)

    assert failed.status is RunStatus.FAILED
    assert other.result().state == ("other",)
    assert stage.journal.status("other") is RunStatus.COMPLETED


async def test_the_task_of_a_run_is_there_until_it_ended(stage: Stage) -> None:
    """task_of finds a run under way here, and nothing else."""
    task = await stage.launch(stage.step("one"))
    assert stage.orchestrator.task_of(RUN) is task
    assert stage.orchestrator.task_of("another") is None
    await stage.end_of(task)
    assert stage.orchestrator.task_of(RUN) is None


# --- failures -------------------------------------------------------------------------------------


async def test_a_failed_step_undoes_the_started_steps_last_first(stage: Stage) -> None:
    """The undo goes backwards, the failed step included, those never started left out."""
    end = await stage.run(
        stage.step("one"), stage.step("two"), stage.step("three", fails), stage.step("four")
    )

    assert end == RunEnd(
        run_id=RUN,
        status=RunStatus.COMPENSATED,
        state=("one", "two"),
        error_type="no-answer",
        error_message="nobody answered",
        undone=("three undone", "two undone", "one undone"),
        failed_step="three",
        steps_done=2,
    )
    assert stage.happened == ["one", "two", "three", "undo three", "undo two", "undo one"]
    assert stage.story()[6:] == [
        "step.started three",
        "step.failed three",
        "run.compensating",
        "step.compensated three",
        "step.compensated two",
        "step.compensated one",
        "run.compensated",
    ]
    assert stage.journal.seen(RUN)[-1].data == {"error": "no-answer"}


async def test_a_failure_with_nothing_to_undo_is_failed(stage: Stage) -> None:
    """Steps without an undo leave nothing to compensate."""
    end = await stage.run(stage.step("one", undo=None), stage.step("two", fails, undo=None))

    assert (end.status, end.undone) == (RunStatus.FAILED, ())
    assert stage.story()[-2:] == ["step.failed two", "run.failed"]


async def test_a_failure_whose_undo_finds_nothing_is_failed(stage: Stage) -> None:
    """Compensated means that something was undone; an undo that found nothing is not that."""
    end = await stage.run(stage.step("one", fails, nothing_to_undo=True))

    assert (end.status, end.undone) == (RunStatus.FAILED, ())
    assert stage.happened == ["one", "undo one"]
    assert stage.story()[-2:] == ["step.compensated one", "run.failed"]


async def test_a_step_over_its_deadline_is_stopped_and_undone(stage: Stage) -> None:
    """The deadline cancels the step's work, and its undo begins only when the work has ended."""

    async def slow() -> None:
        try:
            await hangs()
        finally:
            await asyncio.sleep(0)
            stage.happened.append("one stopped")

    end = await stage.run(stage.step("one", slow))

    assert stage.clock.monotonic() == 10.0
    assert (end.status, end.error_type) == (RunStatus.COMPENSATED, "step-timeout")
    assert "10 s" in str(end.error_message)
    assert stage.happened == ["one", "one stopped", "undo one"]


async def test_a_step_just_within_its_deadline_is_done(stage: Stage) -> None:
    """A step has all the time of its deadline."""

    async def just_in_time() -> None:
        await stage.clock.sleep(9.999)

    assert (await stage.run(stage.step("one", just_in_time))).status is RunStatus.COMPLETED


async def test_a_step_that_ignores_its_deadline_has_still_failed(stage: Stage) -> None:
    """What a step returns after its deadline comes too late."""

    async def stubborn() -> None:
        try:
            await hangs()
        except asyncio.CancelledError:
            return

    end = await stage.run(stage.step("one", stubborn))

    assert (end.error_type, end.state) == ("step-timeout", ())


async def test_an_unexpected_exception_is_a_failed_step(stage: Stage) -> None:
    """Whatever a step raises, the run ends as after a failure; its words are kept to the log."""
    end = await stage.run(stage.step("one"), stage.step("two", breaks))

    assert (end.status, end.error_type) == (RunStatus.COMPENSATED, "step-failed")
    assert "ValueError" in str(end.error_message)
    assert "secret" not in str(end.error_message)
    assert stage.happened[2:] == ["undo two", "undo one"]


async def test_an_exception_before_the_first_wait_is_a_failed_step(stage: Stage) -> None:
    """A `do` that raises when called, before it gives something to wait for, loses no run."""

    def do(state: State, context: StepContext) -> Awaitable[StepOutcome[State]]:
        raise ValueError("at once")

    end = await stage.run(
        stage.step("one"), Step(name="two", agent="a", do=do, undo=None, deadline_s=1.0)
    )

    assert end.status is RunStatus.COMPENSATED


async def test_a_step_interrupted_by_nobody_is_a_failed_step(stage: Stage) -> None:
    """A step's own CancelledError is not the person's cancel."""
    end = await stage.run(stage.step("one", is_interrupted))

    assert (end.status, end.error_type) == (RunStatus.COMPENSATED, "step-failed")


# --- cancel ---------------------------------------------------------------------------------------


async def test_a_cancel_stops_the_step_under_way_and_undoes(stage: Stage) -> None:
    """The step's work ends at once, the run says what it stopped, and undoes in reverse."""
    task = await stage.launch(stage.step("one"), stage.step("two", hangs), stage.step("three"))
    await settle()
    assert await stage.orchestrator.cancel(RUN)
    end = await stage.end_of(task)

    assert end == RunEnd(
        run_id=RUN,
        status=RunStatus.CANCELLED,
        state=("one",),
        error_type="cancelled",
        stopped=("two",),
        undone=("two undone", "one undone"),
        steps_done=1,
    )
    assert stage.happened == ["one", "two", "undo two", "undo one"]
    assert stage.clock.monotonic() == 0.0
    assert stage.story()[4:] == [
        "step.started two",
        "run.cancelling",
        "run.compensating",
        "step.compensated two",
        "step.compensated one",
        "run.cancelled",
    ]


async def test_a_cancel_with_nothing_to_undo_is_cancelled(stage: Stage) -> None:
    """Without an undo there is nothing between the cancel and its end."""
    task = await stage.launch(stage.step("one", hangs, undo=None))
    await settle()
    assert await stage.orchestrator.cancel(RUN)

    assert (await stage.end_of(task)).status is RunStatus.CANCELLED
    assert stage.story()[-2:] == ["run.cancelling", "run.cancelled"]


@pytest.mark.parametrize("stored", [False, True])
async def test_a_cancel_between_two_steps_starts_no_other(stage: Stage, stored: bool) -> None:
    """Cancelled while a step's completion is being written: the next step never starts."""
    gate = stage.journal.hold(EventType.STEP_COMPLETED, stored=stored)
    task = await stage.launch(stage.step("one"), stage.step("two"))
    await gate.reached.wait()
    assert await stage.orchestrator.cancel(RUN)
    gate.opened.set()
    end = await stage.end_of(task)

    assert (end.status, end.stopped) == (RunStatus.CANCELLED, ())
    assert stage.happened == ["one", "undo one"]
    assert "step.started two" not in stage.story()


async def test_a_cancel_that_is_still_being_written_starts_no_other_step(stage: Stage) -> None:
    """Between the moment a cancel is stored and its caller knows, no forward step starts."""
    completed = stage.journal.hold(EventType.STEP_COMPLETED, stored=True)
    cancelling = stage.journal.hold(EventType.RUN_CANCELLING, stored=True)
    task = await stage.launch(stage.step("one"), stage.step("two"))
    await completed.reached.wait()
    cancel = asyncio.create_task(stage.orchestrator.cancel(RUN))
    await cancelling.reached.wait()
    completed.opened.set()
    await settle()
    cancelling.opened.set()
    end = await stage.end_of(task)

    assert await cancel
    assert end.status is RunStatus.CANCELLED
    assert stage.happened == ["one", "undo one"]
    assert "step.started two" not in stage.story()


@pytest.mark.parametrize("stored", [False, True])
async def test_a_cancel_while_a_start_is_written_stops_the_step(stage: Stage, stored: bool) -> None:
    """Cancelled while the step's start is being written: it is stopped at once, and undone."""
    gate = stage.journal.hold(EventType.STEP_STARTED, stored=stored)
    task = await stage.launch(stage.step("one", hangs))
    await gate.reached.wait()
    cancel = asyncio.create_task(stage.orchestrator.cancel(RUN))
    await settle()
    gate.opened.set()
    end = await stage.end_of(task)

    assert await cancel
    assert (end.status, stage.clock.monotonic()) == (RunStatus.CANCELLED, 0.0)
    assert stage.happened[-1] == "undo one"


async def test_a_cancel_before_the_start_does_nothing_at_all(stage: Stage) -> None:
    """Cancelled right after the launch: no step runs, and the run ends cancelled."""
    task = await stage.launch(stage.step("one"))
    assert await stage.orchestrator.cancel(RUN)
    end = await stage.end_of(task)

    assert (end.status, end.error_type) == (RunStatus.CANCELLED, "cancelled")
    assert stage.happened == []


async def test_a_cancel_while_the_history_is_read_is_not_lost(stage: Stage) -> None:
    """The run begins by reading its history: a cancel that comes meanwhile counts."""
    gate = stage.journal.hold_reading()
    task = await stage.launch(stage.step("one"))
    await gate.reached.wait()
    assert await stage.orchestrator.cancel(RUN)
    gate.opened.set()
    end = await stage.end_of(task)

    assert end.status is RunStatus.CANCELLED
    assert stage.happened == []


async def test_a_cancel_while_the_start_is_journaled_is_not_lost(stage: Stage) -> None:
    """The same a moment later, while run.started is being written."""
    gate = stage.journal.hold(EventType.RUN_STARTED, stored=True)
    task = await stage.launch(stage.step("one"))
    await gate.reached.wait()
    assert await stage.orchestrator.cancel(RUN)
    gate.opened.set()

    assert (await stage.end_of(task)).status is RunStatus.CANCELLED
    assert stage.happened == []


async def test_a_second_cancel_changes_nothing(stage: Stage) -> None:
    """Cancelling twice, also at the same time, is cancelling once."""
    task = await stage.launch(stage.step("one", hangs))
    await settle()
    cancels = await asyncio.gather(stage.orchestrator.cancel(RUN), stage.orchestrator.cancel(RUN))
    end = await stage.end_of(task)

    assert list(cancels) == [True, True]
    assert end.status is RunStatus.CANCELLED
    assert stage.story().count("run.cancelling") == 1
    assert stage.happened == ["one", "undo one"]


async def test_a_cancel_during_compensation_changes_nothing(stage: Stage) -> None:
    """The undo goes on to its own end, and the run ends as it was going to."""
    gate = stage.journal.hold(EventType.STEP_COMPENSATED, stored=False)
    task = await stage.launch(stage.step("one"), stage.step("two", fails))
    await gate.reached.wait()
    assert await stage.orchestrator.cancel(RUN)
    gate.opened.set()
    end = await stage.end_of(task)

    assert (end.status, end.error_type) == (RunStatus.COMPENSATED, "no-answer")
    assert stage.happened == ["one", "two", "undo two", "undo one"]
    assert "run.cancelling" not in stage.story()


async def test_a_cancel_after_the_last_step_still_undoes(stage: Stage) -> None:
    """As long as the end is not journaled, a cancel counts."""
    gate = stage.journal.hold(EventType.STEP_COMPLETED, stored=True)
    task = await stage.launch(stage.step("one"))
    await gate.reached.wait()
    assert await stage.orchestrator.cancel(RUN)
    gate.opened.set()
    end = await stage.end_of(task)

    assert (end.status, end.undone) == (RunStatus.CANCELLED, ("one undone",))
    assert stage.ends == [end]


@pytest.mark.parametrize(
    ("do", "closing"),
    [(works, EventType.RUN_COMPLETED), (fails, EventType.RUN_FAILED)],
)
async def test_a_cancel_while_the_end_is_written_comes_too_late(
    stage: Stage, do: Behaviour, closing: EventType
) -> None:
    """Its end decided and its report kept, a run is not cancelled any more."""
    gate = stage.journal.hold(closing, stored=False)
    task = await stage.launch(stage.step("one", do, undo=None))
    await gate.reached.wait()
    cancel = asyncio.create_task(stage.orchestrator.cancel(RUN))
    await settle()
    gate.opened.set()
    await stage.end_of(task)

    assert not await cancel
    assert "run.cancelling" not in stage.story()
    assert stage.story()[-1] == closing.value


async def test_a_cancel_after_the_end_is_false(stage: Stage) -> None:
    """There is nothing to stop in a run that has ended, or was never launched."""
    await stage.run(stage.step("one"))
    story = stage.story()

    assert not await stage.orchestrator.cancel(RUN)
    assert not await stage.orchestrator.cancel("never-launched")
    assert stage.story() == story


async def test_a_step_that_turns_a_cancel_into_a_failure_is_cancelled(stage: Stage) -> None:
    """A library that wraps CancelledError in its own error does not change how the run ends."""

    async def wraps() -> None:
        try:
            await hangs()
        except asyncio.CancelledError:
            raise ValueError("connection lost") from None

    task = await stage.launch(stage.step("one", wraps))
    await settle()
    await stage.orchestrator.cancel(RUN)

    assert (await stage.end_of(task)).status is RunStatus.CANCELLED
    assert stage.happened == ["one", "undo one"]


# --- undo that does not work at once --------------------------------------------------------------


async def test_an_undo_that_fails_twice_is_tried_a_third_time(stage: Stage) -> None:
    """Between the attempts it waits, longer each time."""
    end = await stage.run(stage.step("one", fails, in_turn(breaks, fails, works)))

    assert (end.status, end.undone) == (RunStatus.COMPENSATED, ("one undone",))
    assert stage.happened == ["one", *["undo one"] * 3]
    assert stage.clock.monotonic() == 1.0 + 2.0
    assert stage.story().count("step.compensated one") == 1


async def test_an_undo_that_always_fails_parks_the_run(stage: Stage) -> None:
    """After its attempts the run is parked for an operator, with a type that says so."""
    end = await stage.run(stage.step("one"), stage.step("two", fails, breaks))

    assert (end.status, end.error_type) == (RunStatus.PARKED, "compensation-failed")
    assert "two" in str(end.error_message)
    assert stage.happened.count("undo two") == 3
    assert stage.story()[-2:] == ["run.compensating", "run.parked"]
    assert stage.journal.seen(RUN)[-1].data == {"error": "compensation-failed"}


async def test_an_undo_that_always_fails_parks_a_cancelled_run_too(stage: Stage) -> None:
    """Cancelled is only said of a run whose undo worked."""
    task = await stage.launch(stage.step("one", hangs, breaks))
    await settle()
    await stage.orchestrator.cancel(RUN)
    end = await stage.end_of(task)

    assert (end.status, end.error_type) == (RunStatus.PARKED, "compensation-failed")


async def test_an_undo_that_hangs_is_stopped_and_tried_again(stage: Stage) -> None:
    """Each attempt has its share of the time for undoing."""
    end = await stage.run(stage.step("one", fails, in_turn(hangs, works)))

    assert end.status is RunStatus.COMPENSATED
    assert stage.clock.monotonic() == pytest.approx(5.0 / 3 + 1.0)


async def test_an_undo_that_hangs_every_time_parks_the_run(stage: Stage) -> None:
    """A run does not hang because its undo does."""
    end = await stage.run(stage.step("one", fails, hangs))

    assert end.status is RunStatus.PARKED
    assert stage.clock.monotonic() == pytest.approx(5.0)


async def test_all_undos_of_a_run_share_its_time(stage: Stage) -> None:
    """Two undos that hang take no longer than one: the run is parked when the time is over."""
    end = await stage.run(stage.step("one", undo=hangs), stage.step("two", fails, hangs))

    assert end.status is RunStatus.PARKED
    assert stage.clock.monotonic() == pytest.approx(5.0)


async def test_an_undo_interrupted_by_nobody_is_tried_again(stage: Stage) -> None:
    """An undo's own CancelledError is a failed attempt, never a lost run."""
    task = await stage.launch(stage.step("one", fails, in_turn(is_interrupted, works)))
    await stage.clock.until_done(task)

    assert stage.journal.status(RUN) is RunStatus.COMPENSATED
    assert stage.happened == ["one", "undo one", "undo one"]


async def test_an_undo_that_raises_when_called_is_tried_again(stage: Stage) -> None:
    """An undo that raises before it gives something to wait for is a failed attempt too."""
    calls: list[str] = []

    def undo(run_id: str) -> Awaitable[str | None]:
        calls.append(run_id)
        raise ValueError("at once")

    async def do(state: State, context: StepContext) -> StepOutcome[State]:
        raise StepFailed("no")

    end = await stage.run(Step(name="one", agent="a", do=do, undo=undo, deadline_s=1.0))

    assert end.status is RunStatus.PARKED
    assert calls == [RUN] * 3


# --- shutdown and the next start ------------------------------------------------------------------


async def test_a_shutdown_ends_nothing_and_the_next_start_goes_on(stage: Stage) -> None:
    """Left during a step, the run stays open; taken up, its steps are done again to the end."""
    stopped: list[str] = []

    async def is_stopped() -> None:
        try:
            await hangs()
        except asyncio.CancelledError:
            stopped.append("two")
            raise

    two = stage.step("two", in_turn(is_stopped, works))
    task = await stage.launch(stage.step("one"), two)
    await settle()
    await stage.restart()

    assert task.cancelled()
    assert stopped == ["two"]
    assert (stage.journal.status(RUN), stage.ends) == (RunStatus.RUNNING, [])

    end = await stage.run(stage.step("one"), two)

    assert (end.status, end.state, end.steps_done) == (RunStatus.COMPLETED, ("one", "two"), 2)
    assert stage.happened == ["one", "two", "one", "two"]
    assert stage.story()[4:] == [
        "step.started two",
        "run.resumed",
        "step.started one",
        "step.completed one",
        "step.started two",
        "step.completed two",
        "run.completed",
    ]


async def test_a_run_left_before_its_start_starts_at_the_next(stage: Stage) -> None:
    """Queued and never started: the next start starts it."""
    await stage.launch(stage.step("one"))
    await stage.restart()
    assert stage.journal.status(RUN) is RunStatus.QUEUED

    assert (await stage.run(stage.step("one"))).status is RunStatus.COMPLETED
    assert "run.resumed" not in stage.story()


async def test_a_compensation_goes_on_where_it_was_left(stage: Stage) -> None:
    """What is journaled as undone is not undone again, and still told at the end."""
    steps = (stage.step("one", undo=in_turn(hangs, works)), stage.step("two", fails))
    await stage.launch(*steps)
    await settle()
    await stage.restart()
    assert stage.journal.status(RUN) is RunStatus.COMPENSATING

    end = await stage.run(*steps)

    assert (end.status, end.error_type) == (RunStatus.COMPENSATED, "no-answer")
    assert end.undone == ("two undone", "one undone")
    assert stage.happened == ["one", "two", "undo two", "undo one", "undo one"]
    assert stage.story().count("run.compensating") == 1


async def test_a_shutdown_between_undo_and_journal_undoes_again(stage: Stage) -> None:
    """An undo whose end was not stored is called again: undos are idempotent."""
    gate = stage.journal.hold(EventType.STEP_COMPENSATED, stored=False)
    step = stage.step("one", fails)
    await stage.launch(step)
    await gate.reached.wait()
    await stage.restart()

    assert (await stage.run(step)).status is RunStatus.COMPENSATED
    assert stage.happened == ["one", "undo one", "undo one"]


async def test_a_run_left_after_a_failure_is_undone_not_tried_again(stage: Stage) -> None:
    """A journaled failure is final: the next start only undoes."""
    gate = stage.journal.hold(EventType.STEP_FAILED, stored=True)
    steps = (stage.step("one"), stage.step("two", fails))
    await stage.launch(*steps)
    await gate.reached.wait()
    await stage.restart()
    end = await stage.run(*steps)

    assert (end.status, end.error_type, end.steps_done) == (
        RunStatus.COMPENSATED,
        "no-answer",
        1,
    )
    assert stage.happened == ["one", "two", "undo two", "undo one"]


async def test_a_run_cancelled_while_queued_does_nothing(stage: Stage) -> None:
    """A cancel that was journaled before the start is obeyed by the next start."""
    await stage.lived_through(EventType.RUN_CANCELLING)
    end = await stage.run(stage.step("one"))

    assert end.status is RunStatus.CANCELLED
    assert stage.happened == []


async def test_a_run_cancelled_before_a_restart_is_undone(stage: Stage) -> None:
    """A cancel that was journaled is obeyed by the next start: no step forward, only undo."""
    gate = stage.journal.hold(EventType.RUN_CANCELLING, stored=True)
    steps = (stage.step("one"), stage.step("two", hangs))
    await stage.launch(*steps)
    await settle()
    cancel = asyncio.create_task(stage.orchestrator.cancel(RUN))
    await gate.reached.wait()
    cancel.cancel()
    await stage.restart()
    assert await stage.orchestrator.cancel(RUN) is False

    task = await stage.launch(*steps)
    await settle()
    end = await stage.end_of(task)

    assert (end.status, end.error_type) == (RunStatus.CANCELLED, "cancelled")
    assert stage.happened == ["one", "two", "undo two", "undo one"]


async def test_a_second_cancel_after_a_restart_changes_nothing(stage: Stage) -> None:
    """Cancelled in an earlier life, cancelled again while taken up: one cancel, one end."""
    await stage.lived_through(EventType.RUN_CANCELLING, EventType.RUN_STARTED)
    gate = stage.journal.hold(EventType.RUN_CANCELLED, stored=False)
    task = await stage.launch(stage.step("one"))
    await gate.reached.wait()
    cancel = asyncio.create_task(stage.orchestrator.cancel(RUN))
    await settle()
    gate.opened.set()
    await stage.end_of(task)
    await cancel

    assert stage.story().count("run.cancelling") == 1
    assert stage.journal.closings(RUN) == [EventType.RUN_CANCELLED]


async def test_a_cancel_while_a_run_is_taken_up_is_not_lost(stage: Stage) -> None:
    """A cancel that comes while the history is read stops a resumed run too."""
    await stage.lived_through(EventType.RUN_STARTED)
    gate = stage.journal.hold_reading()
    task = await stage.launch(stage.step("one"))
    await gate.reached.wait()
    assert await stage.orchestrator.cancel(RUN)
    gate.opened.set()

    assert (await stage.end_of(task)).status is RunStatus.CANCELLED
    assert "one" not in stage.happened


@pytest.mark.parametrize("cancelled", [False, True])
async def test_a_resumed_run_that_ends_early_undoes_what_its_earlier_life_did(
    stage: Stage, cancelled: bool
) -> None:
    """Steps completed before the restart are undone, though this life did not reach them."""
    one = stage.step("one", in_turn(works, hangs if cancelled else fails))
    steps = (one, stage.step("two"), stage.step("three", hangs))
    await stage.launch(*steps)
    await settle()
    await stage.restart()
    assert stage.happened == ["one", "two", "three"]
    stage.happened.clear()

    task = await stage.launch(*steps)
    await settle()
    if cancelled:
        await stage.orchestrator.cancel(RUN)
    end = await stage.end_of(task)

    assert end.status is (RunStatus.CANCELLED if cancelled else RunStatus.COMPENSATED)
    assert stage.happened == ["one", "undo three", "undo two", "undo one"]


async def test_a_run_that_wears_out_its_resumptions_is_undone(stage: Stage) -> None:
    """It is taken up RESUMPTIONS_MAX times; at the next start it is undone instead."""
    steps = (stage.step("one"), stage.step("two", hangs))
    for _ in range(1 + RESUMPTIONS_MAX):
        await stage.launch(*steps)
        await settle()
        await stage.restart()
    assert stage.happened == ["one", "two"] * (1 + RESUMPTIONS_MAX)
    stage.happened.clear()

    end = await stage.run(*steps)

    assert (end.status, end.error_type) == (RunStatus.COMPENSATED, "step-failed")
    assert "stopped 4 times" in str(end.error_message)
    assert stage.happened == ["undo two", "undo one"]


async def test_steps_done_again_count_once(stage: Stage) -> None:
    """A step completed in each of four lives is one step done."""
    steps = (stage.step("one"), stage.step("two", hangs))
    for _ in range(1 + RESUMPTIONS_MAX):
        await stage.launch(*steps)
        await settle()
        await stage.restart()

    assert (await stage.run(*steps)).steps_done == 1


async def test_a_report_that_cannot_be_kept_leaves_the_run_to_the_next_start(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    """Without its report the run is not closed; the next start closes it."""

    async def disk_full(end: RunEnd[State]) -> None:
        raise OSError("no space left")

    await stage.journal.append(RUN, EventType.RUN_QUEUED)
    saga = _saga(stage.step("one"))
    with caplog.at_level(logging.ERROR):
        task = stage.orchestrator.launch(saga, RUN, (), disk_full)
        with pytest.raises(OSError, match="no space"):
            await task
        await settle()
    assert f"run {RUN} stopped unfinished" in caplog.text
    assert stage.journal.status(RUN) is RunStatus.RUNNING
    assert stage.orchestrator.task_of(RUN) is None

    assert (await stage.run(stage.step("one"))).status is RunStatus.COMPLETED


# --- listeners, and the end of it all -------------------------------------------------------------


async def test_listeners_hear_every_event_once_it_is_stored(stage: Stage) -> None:
    """What a listener hears stands in the journal already."""
    heard: list[Event] = []

    def listen(event: Event) -> None:
        assert event in stage.journal.seen(RUN)
        heard.append(event)

    stage.orchestrator.subscribe(listen)
    await stage.run(stage.step("one"))

    assert heard == stage.journal.seen(RUN)[1:]


async def test_a_listener_that_raises_breaks_nothing(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    """The run goes on, the other listeners hear of it, and the log says who broke."""
    heard: list[EventType] = []

    def breaks_down(event: Event) -> None:
        raise RuntimeError("the view broke")

    stage.orchestrator.subscribe(breaks_down)
    stage.orchestrator.subscribe(lambda event: heard.append(event.type))
    with caplog.at_level(logging.ERROR):
        end = await stage.run(stage.step("one"))

    assert end.status is RunStatus.COMPLETED
    assert heard[-1] is EventType.RUN_COMPLETED
    assert "a listener broke on run.completed" in caplog.text


async def test_leaving_stops_every_run(stage: Stage) -> None:
    """Leaving waits until the work of all runs has ended; none of them is closed."""
    tasks = []
    for run_id in ("a", "b", "c"):
        await stage.journal.append(run_id, EventType.RUN_QUEUED)

        async def do(state: State, context: StepContext) -> StepOutcome[State]:
            try:
                await hangs()
            finally:
                await asyncio.sleep(0)
                stage.happened.append(f"{context.run_id} stopped")
            raise AssertionError

        saga = _saga(Step(name="one", agent="a", do=do, deadline_s=1.0))
        tasks.append(stage.orchestrator.launch(saga, run_id, ()))
    await settle()
    await stage.restart()

    assert all(task.cancelled() for task in tasks)
    assert sorted(stage.happened) == ["a stopped", "b stopped", "c stopped"]
    assert [stage.journal.status(run_id) for run_id in "abc"] == [RunStatus.RUNNING] * 3


async def test_a_run_over_the_machines_clock_completes() -> None:
    """SystemClock is aware of its zone, never goes back, and its sleep ends."""
    clock = SystemClock()
    before = clock.monotonic()
    await clock.sleep(0)
    journal = MemoryJournal(clock.now)
    await journal.append(RUN, EventType.RUN_QUEUED)

    async def do(state: State, context: StepContext) -> StepOutcome[State]:
        return StepOutcome(state=(*state, "one"))

    async with Orchestrator(journal, clock) as orchestrator:
        saga = _saga(Step(name="one", agent="a", do=do, deadline_s=60.0))
        end = await orchestrator.launch(saga, RUN, ())

    assert end.status is RunStatus.COMPLETED
    assert journal.seen(RUN)[0].at.utcoffset() == timedelta(0)
    assert clock.monotonic() >= before


async def test_a_run_under_way_is_not_started_twice(stage: Stage) -> None:
    """Launching it again gives the execution that there is."""
    step = stage.step("one", hangs)
    task = await stage.launch(step)
    await settle()

    assert stage.orchestrator.launch(_saga(step), RUN, ()) is task
    assert stage.happened == ["one"]
    await stage.orchestrator.cancel(RUN)
    assert (await stage.end_of(task)).status is RunStatus.CANCELLED
