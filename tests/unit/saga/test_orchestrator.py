"""The orchestrator: what a run does when nothing goes wrong, and who hears of it."""

import asyncio
import logging
from datetime import timedelta

import pytest

from resilience.budget import Amounts
from resilience.clock import SystemClock
from resilience.saga import (
    Event,
    EventType,
    Orchestrator,
    RunEnd,
    RunStatus,
    Step,
    StepContext,
    StepOutcome,
)
from tests.fakes.journal import MemoryJournal
from tests.fakes.saga_clock import settle
from tests.unit.saga.stage import RUN, Stage, State, fails, hangs, saga, works


async def test_a_run_whose_steps_are_done_is_completed(stage: Stage) -> None:
    """The steps run in order, each on the state of the one before, and every move is journaled."""
    end = await stage.run(stage.step("one"), stage.step("two"))

    assert end == RunEnd(
        run_id=RUN,
        status=RunStatus.COMPLETED,
        state=("one", "two"),
        steps_done=2,
        spent=Amounts(steps=2),
    )
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
    task = stage.orchestrator.launch(saga(stage.step("one")), RUN, ())
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
    one_saga = saga(Step(name="one", agent="a", do=do, deadline_s=1.0))
    other = stage.orchestrator.launch(one_saga, "other", ())
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

        one_saga = saga(Step(name="one", agent="a", do=do, deadline_s=1.0))
        tasks.append(stage.orchestrator.launch(one_saga, run_id, ()))
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
        one_saga = saga(Step(name="one", agent="a", do=do, deadline_s=60.0))
        end = await orchestrator.launch(one_saga, RUN, ())

    assert end.status is RunStatus.COMPLETED
    assert journal.seen(RUN)[0].at.utcoffset() == timedelta(0)
    assert clock.monotonic() >= before


async def test_a_run_under_way_is_not_started_twice(stage: Stage) -> None:
    """Launching it again gives the execution that there is."""
    step = stage.step("one", hangs)
    task = await stage.launch(step)
    await settle()

    assert stage.orchestrator.launch(saga(step), RUN, ()) is task
    assert stage.happened == ["one"]
    await stage.orchestrator.cancel(RUN)
    assert (await stage.end_of(task)).status is RunStatus.CANCELLED
