"""A shutdown ends nothing: the next start goes on where the journal says the run stands."""

import asyncio

import pytest

from resilience.saga import EventType, RunStatus
from resilience.saga.execution import RESUMPTIONS_MAX
from tests.fakes.saga_clock import settle
from tests.unit.saga.stage import KEPT, RUN, Stage, fails, hangs, in_turn, works


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

    assert (end.status, end.state, end.steps_done) == (RunStatus.COMPLETED, ("one", "two"), 3)
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
    await stage.lived_through(EventType.RUN_STARTED, EventType.RUN_CANCELLING)
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


async def test_a_run_whose_step_is_no_more_is_undone(stage: Stage) -> None:
    """Another version has other steps: what it knows of the run it undoes, and the run ends."""
    one, two = stage.step("one", kept=KEPT), stage.step("two", hangs)
    await stage.launch(one, stage.step("gone", kept=KEPT), two)
    await settle()
    await stage.restart()
    end = await stage.end_of(await stage.launch(one, two))

    assert (end.status, end.error_message) == (
        RunStatus.COMPENSATED,
        "there is no step 'gone' any more",
    )
    assert stage.happened == ["one", "gone", "two", "undo two", "undo one"]
