"""What happens to a run whose step fails, or whose undo does not work at once."""

import asyncio
from collections.abc import Awaitable

import pytest

from resilience.budget import Amounts
from resilience.saga import RunEnd, RunStatus, Step, StepContext, StepFailed, StepOutcome
from tests.fakes.saga_clock import settle
from tests.unit.saga.stage import (
    RUN,
    Stage,
    State,
    breaks,
    fails,
    hangs,
    in_turn,
    is_interrupted,
    works,
)


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
        spent=Amounts(steps=3),
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
