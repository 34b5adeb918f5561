"""What completed steps made is kept: a restart goes on with it instead of doing them again."""

import json
import logging

import pytest

from resilience.saga import (
    EventType,
    JournalUnavailable,
    Kept,
    RunStatus,
    StepContext,
    StepOutcome,
)
from resilience.saga.execution import RESUMPTIONS_MAX
from tests.fakes.saga_clock import settle
from tests.unit.saga.stage import (
    KEPT,
    RUN,
    Stage,
    State,
    agent,
    as_json,
    from_json,
    hangs,
    in_turn,
    saga,
    works,
)


async def unreadable(state: State, body: str) -> State | None:
    """What an older version wrote."""
    return None


async def breaks(state: State, body: str) -> State | None:
    """A body that nobody foresaw."""
    raise ValueError("what is this?")


async def unwritable(state: State) -> str:
    """A state that is no JSON."""
    raise TypeError("a set is not JSON")


async def test_a_step_whose_part_is_kept_is_not_done_again(stage: Stage) -> None:
    """The next start goes on after it, with what it made, and undoes it if it comes to that."""
    one, two = stage.step("one", kept=KEPT), stage.step("two", in_turn(hangs, works), kept=KEPT)
    await stage.launch(one, two)
    await settle()
    assert stage.journal.kept(RUN) == {"one": '["one"]'}
    await stage.restart()
    end = await stage.run(one, two)

    assert (end.status, end.state, end.steps_done) == (RunStatus.COMPLETED, ("one", "two"), 2)
    assert stage.happened == ["one", "two", "two"]
    assert stage.story()[4:] == [
        "step.started two",
        "run.resumed",
        "step.started two",
        "step.completed two",
        "run.completed",
    ]
    assert stage.journal.kept(RUN)["two"] == '["one", "two"]'


async def test_the_part_is_stored_with_the_completion(stage: Stage) -> None:
    """There is no moment between the two at which a process could stop."""
    gate = stage.journal.hold(EventType.STEP_COMPLETED, stored=True)
    step = stage.step("one", kept=KEPT)
    await stage.launch(step)
    await gate.reached.wait()
    assert stage.journal.kept(RUN) == {"one": '["one"]'}
    await stage.restart()

    assert (await stage.run(step)).state == ("one",)
    assert stage.happened == ["one"]


@pytest.mark.parametrize("restore", [unreadable, breaks])
async def test_a_part_that_cannot_be_read_any_more_has_its_step_done_again(
    stage: Stage, restore: object
) -> None:
    """And every step after it, since they built on it; those before it are restored."""
    lost = Kept(store=as_json, restore=breaks if restore is breaks else unreadable)
    steps = (
        stage.step("one", kept=KEPT),
        stage.step("two", kept=lost),
        stage.step("three", kept=KEPT),
        stage.step("four", in_turn(hangs, works)),
    )
    await stage.launch(*steps)
    await settle()
    await stage.restart()
    end = await stage.run(*steps)

    assert (end.status, end.state) == (RunStatus.COMPLETED, ("one", "two", "three", "four"))
    assert stage.happened == ["one", "two", "three", "four", "two", "three", "four"]


async def test_a_step_whose_part_is_not_there_is_done_again(stage: Stage) -> None:
    """Such as one of a version that kept nothing yet."""
    await stage.launch(stage.step("one"), stage.step("two", hangs))
    await settle()
    await stage.restart()
    await stage.run(stage.step("one", kept=KEPT), stage.step("two"))

    assert stage.happened == ["one", "two", "one", "two"]


async def test_a_restart_after_the_last_step_only_closes(stage: Stage) -> None:
    """Nothing is left to be done; the state is there for the report."""
    gate = stage.journal.hold(EventType.RUN_COMPLETED, stored=False)
    await stage.launch(stage.step("one", kept=KEPT))
    await gate.reached.wait()
    await stage.restart()
    end = await stage.run(stage.step("one", kept=KEPT))

    assert (end.status, end.state) == (RunStatus.COMPLETED, ("one",))
    assert stage.happened == ["one"]
    assert stage.story()[-2:] == ["run.resumed", "run.completed"]


async def test_a_restart_goes_on_with_the_step_that_was_named(stage: Stage) -> None:
    """Where the last completed step said `then`, that one follows."""

    async def skip(state: State, context: StepContext) -> StepOutcome[State]:
        return StepOutcome(state=(*state, "one"), then="three")

    one = agent("one", skip, kept=KEPT)
    steps = (one, stage.step("two"), stage.step("three", in_turn(hangs, works)))
    await stage.launch(*steps)
    await settle()
    await stage.restart()
    end = await stage.run(*steps)

    assert end.state == ("one", "three")
    assert stage.happened == ["three", "three"]
    assert end.spent.handoffs == 1


async def test_a_run_undone_after_a_restart_has_its_state_for_the_report(stage: Stage) -> None:
    """What was found so far is told, though this life did none of it."""
    steps = (stage.step("one", kept=KEPT), stage.step("two", hangs, kept=KEPT))
    await stage.launch(*steps)
    await settle()
    await stage.restart()
    task = await stage.launch(*steps)
    await settle()
    assert await stage.orchestrator.cancel(RUN)
    end = await stage.end_of(task)

    assert (end.status, end.state) == (RunStatus.CANCELLED, ("one",))
    assert stage.happened == ["one", "two", "two", "undo two", "undo one"]


async def test_a_step_that_loops_keeps_what_it_made_last(stage: Stage) -> None:
    """One part a step: the last."""
    laps = 0

    async def lap(state: State, context: StepContext) -> StepOutcome[State]:
        nonlocal laps
        laps += 1
        if laps == 3:
            await hangs()
        return StepOutcome(state=(*state, f"lap {laps}"), then="one" if laps < 4 else None)

    await stage.launch(agent("one", lap, kept=KEPT))
    await settle()
    assert json.loads(stage.journal.kept(RUN)["one"]) == ["lap 1", "lap 2"]
    await stage.restart()
    end = await stage.run(agent("one", lap, kept=KEPT))

    assert end.state == ("lap 1", "lap 2", "lap 4")
    assert end.status is RunStatus.COMPLETED


async def test_what_cannot_be_kept_is_a_failed_step(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    """Not a lost run: it is undone, and the words go to the log only."""
    bad = Kept(store=unwritable, restore=from_json)
    with caplog.at_level(logging.ERROR):
        end = await stage.run(stage.step("one"), stage.step("two", kept=bad))

    assert (end.status, end.failed_step, end.state) == (RunStatus.COMPENSATED, "two", ("one",))
    assert end.error_message == "an internal error (TypeError)"
    assert "a set is not JSON" in caplog.text
    assert stage.happened[-2:] == ["undo two", "undo one"]


async def unkeepable(state: State) -> str:
    """The store that keeping needs is out."""
    raise JournalUnavailable("it is out")


async def unreachable(state: State, body: str) -> State | None:
    """The store that restoring needs is out."""
    raise JournalUnavailable("it is out")


async def test_keeping_waits_for_the_store(stage: Stage) -> None:
    """A part may be made with what is stored: the step is neither failed nor done again."""
    tries = 0

    async def out_at_first(state: State) -> str:
        nonlocal tries
        tries += 1
        return await (as_json(state) if tries > 3 else unkeepable(state))

    one = stage.step("one", kept=Kept(store=out_at_first, restore=from_json))
    assert (await stage.run(one)).status is RunStatus.COMPLETED
    assert (stage.happened, tries) == (["one"], 4)


async def test_a_run_whose_parts_cannot_be_made_for_long_is_left(stage: Stage) -> None:
    """To the next start, when the store is back: the step is not completed."""
    task = await stage.launch(stage.step("one", kept=Kept(store=unkeepable, restore=from_json)))
    await stage.clock.until_done(task)
    assert isinstance(task.exception(), JournalUnavailable)
    assert stage.story()[-1] == "step.started one"
    await settle()
    end = await stage.run(stage.step("one", kept=KEPT))

    assert (end.status, end.state) == (RunStatus.COMPLETED, ("one",))


async def test_a_run_whose_parts_cannot_be_read_for_long_is_left(stage: Stage) -> None:
    """To the next start, when the store is back: no step is done again for it."""
    two = stage.step("two", in_turn(hangs, works))
    await stage.launch(stage.step("one", kept=KEPT), two)
    await settle()
    await stage.restart()
    task = await stage.launch(stage.step("one", kept=Kept(store=as_json, restore=unreachable)), two)
    await stage.clock.until_done(task)
    assert isinstance(task.exception(), JournalUnavailable)
    await settle()
    end = await stage.run(stage.step("one", kept=KEPT), two)

    assert (end.status, stage.happened) == (RunStatus.COMPLETED, ["one", "two", "two"])


async def test_a_step_that_hands_on_to_nobody_has_failed(stage: Stage) -> None:
    """An agent that names a step that is not there loses no run."""

    async def to_nobody(state: State, context: StepContext) -> StepOutcome[State]:
        return StepOutcome(state=state, then="nowhere")

    end = await stage.run(stage.step("one"), agent("two", to_nobody))

    assert (end.status, end.error_type) == (RunStatus.COMPENSATED, "step-failed")
    assert "nowhere" in str(end.error_message)
    assert stage.story()[-4:-1] == [
        "step.failed two",
        "run.compensating",
        "step.compensated one",
    ]


async def test_steps_done_again_are_no_progress(stage: Stage) -> None:
    """A run that is taken up again and again is undone, also where each life did a step again."""
    steps = (stage.step("one"), stage.step("two", hangs))
    for _ in range(1 + RESUMPTIONS_MAX):
        await stage.launch(*steps)
        await settle()
        await stage.restart()
    stage.happened.clear()
    end = await stage.run(*steps)

    assert (end.status, end.steps_done) == (RunStatus.COMPENSATED, 1 + RESUMPTIONS_MAX)
    assert stage.happened == ["undo two", "undo one"]


def test_a_saga_names_its_steps() -> None:
    """By name, and what follows in order; a name that is not there is a KeyError."""
    one, two = agent("one", _nothing), agent("two", _nothing)
    both = saga(one, two)
    assert (both.step("two"), both.after(one), both.after(two)) == (two, two, None)
    with pytest.raises(KeyError):
        both.step("three")


async def _nothing(state: State, context: StepContext) -> StepOutcome[State]:
    raise AssertionError
