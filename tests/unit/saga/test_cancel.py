"""A cancel stops the work at once, and has it undone; a cancel too late changes nothing."""

import asyncio

import pytest

from resilience.budget import Amounts
from resilience.saga import EventType, RunEnd, RunStatus
from tests.fakes.saga_clock import settle
from tests.unit.saga.stage import RUN, Behaviour, Stage, fails, hangs, works


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
        spent=Amounts(steps=2),
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


async def test_a_cancel_that_is_being_written_as_the_last_step_ends_comes_first(
    stage: Stage,
) -> None:
    """The end waits for it, and is then another."""
    done = asyncio.Event()

    async def until_done() -> None:
        await done.wait()

    gate = stage.journal.hold(EventType.RUN_CANCELLING, stored=False)
    task = await stage.launch(stage.step("one", until_done))
    await settle()
    cancel = asyncio.create_task(stage.orchestrator.cancel(RUN))
    await gate.reached.wait()
    done.set()
    await settle()
    assert stage.story()[-1] == "step.completed one"
    gate.opened.set()

    assert (await stage.end_of(task)).status is RunStatus.CANCELLED
    assert await cancel
    assert "run.completed" not in stage.story()


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
