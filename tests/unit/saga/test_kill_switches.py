"""The five ways to stop a run that goes on and on: four limits, and a person's cancel."""

import asyncio

import pytest

from resilience.budget import Amounts
from resilience.saga import (
    KILL_SWITCHES,
    EventType,
    Limits,
    RunEnd,
    RunStatus,
    Step,
    StepContext,
    StepFailed,
    StepOutcome,
)
from tests.fakes.saga_clock import settle
from tests.unit.saga.stage import KEPT, RUN, Stage, State, Undo, agent, hangs, in_turn, works


def looping(stage: Stage, name: str = "one") -> Step[State]:
    """An agent that always wants to do its step once more."""

    async def do(state: State, context: StepContext) -> StepOutcome[State]:
        stage.happened.append(name)
        await works()
        return StepOutcome(state=(*state, name), then=name)

    return agent(name, do, _undo(stage, name), kept=KEPT)


def handing_on(stage: Stage, name: str, to: str) -> Step[State]:
    """An agent that always hands on to another."""

    async def do(state: State, context: StepContext) -> StepOutcome[State]:
        stage.happened.append(name)
        await works()
        return StepOutcome(state=(*state, name), then=to)

    return agent(name, do, _undo(stage, name), kept=KEPT)


def burning(stage: Stage, tokens: int, *, name: str = "one", calls: int = 1_000) -> Step[State]:
    """An agent that asks an LLM again and again, and uses all that it may each time."""

    async def do(state: State, context: StepContext) -> StepOutcome[State]:
        for call in range(calls):
            effect = f"{name}-{len(state)}-{call}"
            await context.spends.intend(effect, Amounts(tokens=tokens))
            stage.happened.append(effect)
            await context.spends.settle(effect, Amounts(tokens=tokens))
        return StepOutcome(state=(*state, name))

    return agent(name, do, _undo(stage, name), kept=KEPT)


def hanging(stage: Stage, name: str = "one") -> Step[State]:
    """An agent that never comes back."""

    async def do(state: State, context: StepContext) -> StepOutcome[State]:
        stage.happened.append(name)
        try:
            await hangs()
        finally:
            stage.happened.append(f"{name} stopped")
        raise AssertionError

    return agent(name, do, _undo(stage, name))


def _undo(stage: Stage, name: str) -> Undo:
    async def undo(run_id: str) -> str | None:
        stage.happened.append(f"undo {name}")
        return f"{name} undone"

    return undo


def killed(end: RunEnd[State], error_type: str) -> bool:
    """Whether the run ended as a kill switch ends it."""
    return (end.status, end.error_type) == (RunStatus.FAILED, error_type)


# --- max-steps-exceeded ---------------------------------------------------------------------------


async def test_a_loop_ends_after_its_steps(stage: Stage) -> None:
    """The limit's steps are done, not one more; then all is undone, and what it made is told."""
    stage.limits = Limits(steps=4)
    end = await stage.run(looping(stage))

    assert killed(end, "max-steps-exceeded")
    assert end.error_message == "it took more than 4 steps"
    assert end.spent == Amounts(steps=4)
    assert (end.state, end.steps_done, end.failed_step) == (("one",) * 4, 4, None)
    assert stage.happened == [*["one"] * 4, "undo one"]
    assert stage.story()[-4:] == [
        "step.completed one",
        "run.compensating",
        "step.compensated one",
        "run.failed",
    ]
    assert stage.journal.seen(RUN)[-3].data == {"error": "max-steps-exceeded"}
    assert stage.journal.seen(RUN)[-1].data == {"error": "max-steps-exceeded"}


async def test_a_run_of_just_as_many_steps_completes(stage: Stage) -> None:
    """The limit is what a run may take."""
    stage.limits = Limits(steps=2)
    assert (await stage.run(stage.step("one"), stage.step("two"))).status is RunStatus.COMPLETED


async def test_the_steps_of_every_life_count(stage: Stage) -> None:
    """A loop is no longer for being restarted, nor is one whose limit was reached tried again."""
    stage.limits = Limits(steps=5)
    for life in (1, 2):
        gate = stage.journal.hold_append(5, stored=True)
        await stage.launch(looping(stage))
        await gate.reached.wait()
        await stage.restart()
        assert len([e for e in stage.story() if e.startswith("step.started")]) == 2 * life
    end = await stage.run(looping(stage))

    assert killed(end, "max-steps-exceeded")
    assert end.spent == Amounts(steps=5)


# --- routing-exhausted ----------------------------------------------------------------------------


async def test_the_sixth_handoff_ends_the_run(stage: Stage) -> None:
    """Five are made, the sixth agent that hands on is the last; its step is done and undone."""
    end = await stage.run(handing_on(stage, "one", "two"), handing_on(stage, "two", "one"))

    assert killed(end, "routing-exhausted")
    assert "more than 5 times" in str(end.error_message)
    assert end.spent == Amounts(steps=6, handoffs=5)
    assert stage.happened == [*["one", "two"] * 3, "undo two", "undo one"]
    handed = [e.data for e in stage.journal.seen(RUN) if e.type is EventType.STEP_COMPLETED]
    assert [data.get("handoff", False) for data in handed] == [True] * 5 + [False]
    assert [data.get("exhausted", False) for data in handed] == [False] * 5 + [True]
    assert stage.story()[-4:] == [
        "run.compensating",
        "step.compensated two",
        "step.compensated one",
        "run.failed",
    ]


async def test_going_on_with_the_same_agent_is_no_handoff(stage: Stage) -> None:
    """Nor is the saga's own order, though another agent follows."""
    stage.limits = Limits(steps=9, handoffs=0)
    assert killed(await stage.run(looping(stage)), "max-steps-exceeded")


async def test_the_sagas_own_order_is_no_handoff(stage: Stage) -> None:
    """Only an agent that names the next one hands on."""
    stage.limits = Limits(handoffs=0)
    end = await stage.run(stage.step("one"), stage.step("two"))
    assert (end.status, end.spent.handoffs) == (RunStatus.COMPLETED, 0)


async def test_the_handoffs_of_every_life_count(stage: Stage) -> None:
    """And one too many that was journaled before a restart is why it ends after it."""
    steps = (handing_on(stage, "one", "two"), handing_on(stage, "two", "one"))
    for appends in (6, 5):  # two steps a life, the first one queued and started before
        gate = stage.journal.hold_append(appends, stored=True)
        await stage.launch(*steps)
        await gate.reached.wait()
        await stage.restart()
    gate = stage.journal.hold(EventType.RUN_COMPENSATING, stored=False)
    await stage.launch(*steps)
    await gate.reached.wait()
    await stage.restart()
    assert stage.status() is RunStatus.RUNNING
    end = await stage.run(*steps)

    assert killed(end, "routing-exhausted")
    assert end.spent.handoffs == 5
    assert end.steps_done == 6


# --- token-budget-exhausted -----------------------------------------------------------------------


async def test_an_agent_that_burns_tokens_is_stopped_before_it_is_over(stage: Stage) -> None:
    """What would be too much is refused before it happens."""
    stage.limits = Limits(tokens=1_000)
    end = await stage.run(stage.step("zero"), burning(stage, 300))

    assert killed(end, "token-budget-exhausted")
    assert end.error_message == "its 1,000 tokens are used up"
    assert end.spent == Amounts(steps=2, tokens=900)
    assert (end.failed_step, end.state) == ("one", ("zero",))
    effects = [f"one-1-{n}" for n in range(3)]
    assert stage.happened == ["zero", *effects, "undo one", "undo zero"]
    assert "step.failed one" in stage.story()
    assert stage.story()[-1] == "run.failed"


async def test_the_tokens_of_every_life_count(stage: Stage) -> None:
    """What was intended before a restart and never settled counts as spent."""
    stage.limits = Limits(tokens=1_000)

    async def do(state: State, context: StepContext) -> StepOutcome[State]:
        await context.spends.intend("call-1", Amounts(tokens=700))
        await hangs()
        raise AssertionError

    await stage.launch(agent("one", do))
    await settle()
    await stage.restart()
    end = await stage.run(burning(stage, 200))

    assert killed(end, "token-budget-exhausted")
    assert end.spent.tokens == 900
    assert stage.happened == ["one-0-0", "undo one"]


# --- workflow-timeout -----------------------------------------------------------------------------


async def test_a_run_that_hangs_is_stopped_when_its_time_is_over(stage: Stage) -> None:
    """Though its step has more time: the work is stopped, told, and undone."""
    end = await stage.run(stage.step("zero"), hanging(stage))

    assert killed(end, "workflow-timeout")
    assert end.error_message == "it took longer than 600 s"
    assert stage.clock.monotonic() == pytest.approx(600.0)
    assert (end.stopped, end.failed_step, end.state) == (("one",), "one", ("zero",))
    assert stage.happened == ["zero", "one", "one stopped", "undo one", "undo zero"]
    assert end.undone == ("one undone", "zero undone")


async def test_the_time_counts_from_the_start_across_restarts(stage: Stage) -> None:
    """Also the time in which no process was there."""
    await stage.launch(hanging(stage))
    await stage.let_pass(250.0)
    await stage.restart()
    await stage.let_pass(300.0)
    end = await stage.run(hanging(stage))

    assert killed(end, "workflow-timeout")
    assert stage.clock.monotonic() == pytest.approx(600.0)
    assert stage.happened.count("one") == 2


async def test_a_run_whose_time_is_over_at_a_restart_starts_nothing(stage: Stage) -> None:
    """It is undone at once."""
    await stage.launch(hanging(stage))
    await settle()
    await stage.close()
    stage.clock.advance(601.0)
    stage.happened.clear()
    await stage.restart()
    end = await stage.run(hanging(stage))

    assert killed(end, "workflow-timeout")
    assert (end.failed_step, stage.happened) == (None, ["undo one"])
    assert stage.story()[3:] == [
        "run.resumed",
        "run.compensating",
        "step.compensated one",
        "run.failed",
    ]


async def test_the_time_in_the_queue_does_not_count(stage: Stage) -> None:
    """A run's time begins with its start."""
    await stage.journal.append(RUN, EventType.RUN_QUEUED)
    await stage.let_pass(1_000.0)
    assert (await stage.run(stage.step("one"))).status is RunStatus.COMPLETED


async def test_many_quick_steps_take_no_longer_than_the_run_may(stage: Stage) -> None:
    """The limit is looked at before each step, too."""
    stage.limits = Limits(steps=1_000, timeout_s=95.0)

    async def do(state: State, context: StepContext) -> StepOutcome[State]:
        stage.clock.advance(10.0)
        return StepOutcome(state=(*state, "one"), then="one")

    end = await stage.run(agent("one", do, kept=KEPT))

    assert killed(end, "workflow-timeout")
    assert end.steps_done == 10


async def test_a_steps_own_deadline_is_still_its_own(stage: Stage) -> None:
    """A step that takes too long with time left for the run is not the run's timeout."""
    end = await stage.run(stage.step("one", hangs))
    assert (end.status, end.error_type) == (RunStatus.COMPENSATED, "step-timeout")
    assert end.stopped == ()


# --- all of them ----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", sorted({*KILL_SWITCHES, "cancelled"}))
async def test_why_a_run_is_stopped_is_journaled_before_anything_else_starts(
    stage: Stage, kind: str
) -> None:
    """No undo is called before the reason is stored; a restart there ends as it was heading."""
    stage.limits = Limits(steps=3, tokens=100, handoffs=1)
    steps = {
        "max-steps-exceeded": (looping(stage),),
        "routing-exhausted": (handing_on(stage, "one", "two"), handing_on(stage, "two", "one")),
        "token-budget-exhausted": (burning(stage, 60),),
        "workflow-timeout": (hanging(stage),),
        "cancelled": (hanging(stage),),
    }[kind]
    gate = stage.journal.hold(EventType.RUN_COMPENSATING, stored=True)
    task = await stage.launch(*steps)
    await settle()
    if kind == "cancelled":
        assert await stage.orchestrator.cancel(RUN)
    reached = asyncio.create_task(gate.reached.wait())
    await stage.clock.until_done(reached)
    await settle()
    assert not [what for what in stage.happened if what.startswith("undo")]
    assert not task.done()
    await stage.restart()
    before = list(stage.happened)
    end = await stage.run(*steps)

    expected = RunStatus.CANCELLED if kind == "cancelled" else RunStatus.FAILED
    assert (end.status, end.error_type) == (expected, kind)
    assert all(what.startswith("undo") for what in stage.happened[len(before) :])
    assert end.undone


@pytest.mark.parametrize("kind", sorted({*KILL_SWITCHES, "cancelled", "no-answer"}))
async def test_a_parked_run_that_is_tried_again_closes_as_it_was_heading(
    stage: Stage, kind: str
) -> None:
    """The undo that failed for good is tried again, and the run ends for its first reason."""

    async def do(state: State, context: StepContext) -> StepOutcome[State]:
        if kind == "cancelled":
            await hangs()
        raise StepFailed("it has to end", type=kind)

    tries = in_turn(*[_out_of_order] * 3, works)

    async def undo(run_id: str) -> str | None:
        await tries()
        return "one undone"

    task = await stage.launch(agent("one", do, undo))
    await settle()
    if kind == "cancelled":
        await stage.orchestrator.cancel(RUN)
    parked = await stage.end_of(task)
    assert (parked.status, parked.error_type) == (RunStatus.PARKED, "compensation-failed")
    await stage.restart()
    end = await stage.run(agent("one", do, undo))

    expected = {"cancelled": RunStatus.CANCELLED, "no-answer": RunStatus.COMPENSATED}
    assert (end.status, end.error_type) == (expected.get(kind, RunStatus.FAILED), kind)
    assert end.undone == ("one undone",)
    assert stage.story()[-3:] == [
        "run.compensating",
        "step.compensated one",
        f"run.{end.status}",
    ]


async def _out_of_order() -> None:
    raise OSError("out of order")
