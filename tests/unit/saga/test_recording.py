"""The journal may be out for a while: what happened waits and is written in order, nothing new
begins meanwhile, and nothing is written twice."""

import asyncio
from datetime import timedelta

import pytest

from resilience.saga import (
    EventType,
    History,
    JournalUnavailable,
    Limits,
    RunEnd,
    RunStatus,
    StepContext,
    StepOutcome,
)
from resilience.saga.recording import PATIENCE_S
from tests.fakes.clock import NOON
from tests.fakes.saga_clock import settle
from tests.unit.saga.stage import (
    KEPT,
    RUN,
    Behaviour,
    Stage,
    State,
    agent,
    breaks,
    fails,
    hangs,
    in_turn,
    saga,
    works,
)

OUTAGE_S = 120.0


def puts_it_out(stage: Stage, then: Behaviour = works, seconds: float = OUTAGE_S) -> Behaviour:
    """The journal goes out while a step or an undo works; then it behaves as told."""

    async def work() -> None:
        stage.journal.out_for(seconds)
        await then()

    return work


async def store_out() -> None:
    """The store that a step reads or writes itself is out."""
    raise JournalUnavailable("it is out")


# --- what happened waits --------------------------------------------------------------------------


@pytest.mark.parametrize("then", [works, fails])
async def test_an_outcome_waits_until_the_journal_is_back(stage: Stage, then: Behaviour) -> None:
    """No step and no undo begins meanwhile; the event tells when it happened."""
    first = stage.step("one", puts_it_out(stage, then), kept=KEPT)
    task = await stage.launch(first, stage.step("two"))
    await stage.let_pass(OUTAGE_S - 1.0)
    assert stage.happened == ["one"]
    assert stage.story()[-1] == "step.started one"
    end = await stage.end_of(task)

    outcome = stage.journal.seen(RUN)[3]
    failed = then is fails
    assert outcome.type is (EventType.STEP_FAILED if failed else EventType.STEP_COMPLETED)
    assert outcome.at == NOON
    assert end.status is (RunStatus.COMPENSATED if failed else RunStatus.COMPLETED)
    assert stage.happened == (["one", "undo one"] if failed else ["one", "two"])
    assert stage.clock.monotonic() == pytest.approx(OUTAGE_S, abs=6.0)


async def test_what_a_step_tells_during_an_outage_is_written_in_its_order(stage: Stage) -> None:
    """Progress first, then what it made."""

    async def do(state: State, context: StepContext) -> StepOutcome[State]:
        stage.journal.out_for(OUTAGE_S)
        for number in range(3):
            await context.report({"found": number})
        await context.degrade("1 of 2 sources answered")
        return StepOutcome(state=(*state, "one"))

    await stage.run(agent("one", do))

    assert stage.story()[2:] == [
        "step.started one",
        *["step.progress one"] * 3,
        "step.degraded one",
        "step.completed one",
        "run.completed",
    ]
    assert [event.data.get("found") for event in stage.journal.seen(RUN)[3:6]] == [0, 1, 2]
    assert History.of(stage.journal.seen(RUN)).degraded == ["1 of 2 sources answered"]


async def test_the_journal_is_not_pestered(stage: Stage) -> None:
    """It is tried again after ever longer pauses, at most some seconds, so that it is soon found
    to be back."""
    await stage.run(stage.step("one", puts_it_out(stage, seconds=300.0)))
    assert 40 < stage.journal.refused < 120
    assert stage.clock.monotonic() <= 306.0


async def test_a_run_gives_up_when_the_journal_stays_out(stage: Stage) -> None:
    """It ends nothing: the run stays open, and the next start goes on with it."""
    step = stage.step("one", puts_it_out(stage, seconds=2 * PATIENCE_S))
    task = await stage.launch(step)
    await stage.clock.until_done(task)
    with pytest.raises(JournalUnavailable):
        task.result()
    assert PATIENCE_S <= stage.clock.monotonic() <= PATIENCE_S + 11.0
    assert stage.status() is RunStatus.RUNNING
    assert stage.orchestrator.task_of(RUN) is None

    stage.clock.advance(2 * PATIENCE_S)
    stage.limits = Limits(timeout_s=10_000.0)
    assert (await stage.run(stage.step("one"))).status is RunStatus.COMPLETED


async def test_a_launch_during_an_outage_waits_for_the_journal(stage: Stage) -> None:
    """The claim is patient as well."""
    await stage.journal.append(RUN, EventType.RUN_QUEUED)
    stage.journal.out_for(OUTAGE_S)
    assert (await stage.run(stage.step("one"))).status is RunStatus.COMPLETED


async def test_a_restart_during_an_outage_waits_for_what_was_kept(stage: Stage) -> None:
    """Reading is patient, too."""
    steps = (stage.step("one", kept=KEPT), stage.step("two", in_turn(hangs, works)))
    await stage.launch(*steps)
    await settle()
    await stage.restart()
    gate = stage.journal.hold(EventType.RUN_RESUMED, stored=True)
    task = await stage.launch(*steps)
    await gate.reached.wait()
    stage.journal.out_for(OUTAGE_S)
    gate.opened.set()

    assert (await stage.end_of(task)).status is RunStatus.COMPLETED
    assert stage.happened == ["one", "two", "two"]


async def test_a_cancel_during_an_outage_is_refused_at_once(stage: Stage) -> None:
    """It could not be kept: the work goes on, and the cancel may be tried again."""
    task = await stage.launch(stage.step("one", hangs))
    await settle()
    stage.journal.out_for(2.0)
    with pytest.raises(JournalUnavailable):
        await stage.orchestrator.cancel(RUN)
    await settle()
    assert (stage.happened, stage.clock.monotonic()) == (["one"], 0.0)
    stage.clock.advance(2.0)
    assert await stage.orchestrator.cancel(RUN)
    assert (await stage.end_of(task)).status is RunStatus.CANCELLED


# --- the answer is lost ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "event",
    [
        EventType.RUN_STARTED,
        EventType.STEP_STARTED,
        EventType.STEP_PROGRESS,
        EventType.STEP_COMPLETED,
        EventType.STEP_FAILED,
        EventType.RUN_COMPENSATING,
        EventType.STEP_COMPENSATED,
        EventType.RUN_COMPENSATED,
    ],
)
async def test_what_was_stored_although_its_answer_got_lost_is_not_stored_twice(
    stage: Stage, event: EventType
) -> None:
    """Whichever event it is: the story is the same."""

    async def do(state: State, context: StepContext) -> StepOutcome[State]:
        await context.report({"found": 1})
        return StepOutcome(state=(*state, "zero"))

    heard: list[EventType] = []
    stage.orchestrator.subscribe(lambda stored: heard.append(stored.type))
    stage.journal.lose_answer(event)
    end = await stage.run(agent("zero", do), stage.step("one", fails))

    assert end.status is RunStatus.COMPENSATED
    assert stage.story() == [
        "run.queued",
        "run.started",
        "step.started zero",
        "step.progress zero",
        "step.completed zero",
        "step.started one",
        "step.failed one",
        "run.compensating",
        "step.compensated one",
        "run.compensated",
    ]
    assert heard == [stored.type for stored in stage.journal.seen(RUN)[1:]]


async def test_two_equal_events_are_two(stage: Stage) -> None:
    """Only what came after the last known event can be the one whose answer got lost."""

    async def do(state: State, context: StepContext) -> StepOutcome[State]:
        await context.report({"found": 1})
        stage.journal.out_for(1.0)
        await context.report({"found": 1})
        return StepOutcome(state=state)

    await stage.run(agent("one", do))
    assert stage.story().count("step.progress one") == 2


async def test_a_cancel_whose_answer_got_lost_is_obeyed(stage: Stage) -> None:
    """It was refused, but it is journaled: it is found with the next event or renewal."""
    task = await stage.launch(stage.step("one", hangs))
    await settle()
    stage.journal.lose_answer(EventType.RUN_CANCELLING)
    with pytest.raises(JournalUnavailable):
        await stage.orchestrator.cancel(RUN)
    assert (await stage.end_of(task)).status is RunStatus.CANCELLED
    assert stage.story().count("run.cancelling") == 1


# --- the store is out inside a step or an undo ----------------------------------------------------


async def test_a_step_that_finds_the_store_out_is_done_again(stage: Stage) -> None:
    """That is no failure of the step: it is told, and tried again once the journal is back."""
    one = stage.step("one", in_turn(puts_it_out(stage, store_out), works))
    end = await stage.run(one, stage.step("two"))

    assert (end.status, end.state) == (RunStatus.COMPLETED, ("one", "two"))
    assert stage.happened == ["one", "one", "two"]
    retried = stage.journal.seen(RUN)[3]
    assert retried.type is EventType.STEP_RETRIED
    assert retried.data == {"step": "one", "agent": "one-agent", "error": "store-unavailable"}
    assert end.spent.steps == 2


async def test_a_store_that_is_out_for_the_step_only_is_not_pestered(stage: Stage) -> None:
    """Where the journal itself is well, there is a pause before the step is done again, and the
    run's time is its limit."""
    stage.limits = Limits(timeout_s=60.0)
    end = await stage.run(stage.step("one", store_out))

    assert (end.status, end.error_type) == (RunStatus.FAILED, "workflow-timeout")
    assert 10 < stage.happened.count("one") <= 60
    assert end.undone == ("one undone",)


async def test_a_cancel_while_a_step_waits_for_the_store_does_it_not_again(stage: Stage) -> None:
    """The run turns back instead."""
    gate = stage.journal.hold(EventType.STEP_RETRIED, stored=True)
    task = await stage.launch(stage.step("one", in_turn(store_out, works)))
    await gate.reached.wait()
    assert await stage.orchestrator.cancel(RUN)
    gate.opened.set()
    end = await stage.end_of(task)

    assert end.status is RunStatus.CANCELLED
    assert stage.happened == ["one", "undo one"]


async def test_an_undo_that_finds_the_store_out_loses_no_attempt_and_no_time(
    stage: Stage,
) -> None:
    """It has three tries and 5 s: an outage of two minutes, and one after it, takes none."""

    async def slowly_out() -> None:
        await stage.clock.sleep(1.5)
        raise JournalUnavailable("it is out")

    undo = in_turn(breaks, puts_it_out(stage, store_out), *[slowly_out] * 6, breaks, works)
    end = await stage.run(stage.step("one", fails, undo))

    assert (end.status, end.undone) == (RunStatus.COMPENSATED, ("one undone",))
    assert stage.happened.count("undo one") == 10


async def test_an_undo_that_says_for_ever_that_the_store_is_out_parks_the_run(
    stage: Stage,
) -> None:
    """While all else is written it is the undo's own fault, after as long as an outage may last."""
    end = await stage.run(stage.step("one", fails, store_out))

    assert (end.status, end.error_type) == (RunStatus.PARKED, "compensation-failed")
    assert PATIENCE_S < stage.clock.monotonic() < 2 * PATIENCE_S


async def test_the_time_of_the_undo_does_not_run_while_what_it_did_waits(stage: Stage) -> None:
    """An outage between two undos parks nothing."""
    steps = (stage.step("one"), stage.step("two", fails, puts_it_out(stage)))
    end = await stage.run(*steps)

    assert end.status is RunStatus.COMPENSATED
    assert end.undone == ("two undone", "one undone")
    assert stage.happened.count("undo two") == 1


async def test_an_undo_is_left_when_the_journal_stays_out(stage: Stage) -> None:
    """Nothing could be parked: the next start goes on."""
    one = stage.step("one", fails, in_turn(puts_it_out(stage, store_out, 2 * PATIENCE_S), works))
    task = await stage.launch(one)
    await stage.clock.until_done(task)
    assert isinstance(task.exception(), JournalUnavailable)
    assert stage.status() is RunStatus.COMPENSATING

    stage.clock.advance(2 * PATIENCE_S)
    assert (await stage.run(one)).status is RunStatus.COMPENSATED


# --- the report of the end ------------------------------------------------------------------------


async def test_a_report_that_cannot_be_made_does_not_keep_the_run_from_ending(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    """It is in the log, and the run is closed."""

    async def broken(end: RunEnd[State]) -> None:
        raise OSError("no space left")

    await stage.journal.append(RUN, EventType.RUN_QUEUED)
    task = stage.orchestrator.launch(saga(stage.step("one")), RUN, (), broken)

    assert (await stage.end_of(task)).status is RunStatus.COMPLETED
    assert f"the report of run {RUN} could not be made" in caplog.text
    assert "no space left" in caplog.text


async def test_a_report_waits_for_the_store(stage: Stage) -> None:
    """It is made before the end is journaled, also after an outage."""
    told: list[timedelta] = []

    async def report(end: RunEnd[State]) -> None:
        told.append(stage.clock.now() - NOON)
        if told[-1] < timedelta(seconds=OUTAGE_S):
            raise JournalUnavailable("it is out")
        assert stage.status() is RunStatus.RUNNING

    await stage.journal.append(RUN, EventType.RUN_QUEUED)
    task = stage.orchestrator.launch(saga(stage.step("one")), RUN, (), report)
    assert (await stage.end_of(task)).status is RunStatus.COMPLETED
    assert len(told) > 2


async def test_a_run_whose_report_waits_too_long_is_left_to_the_next_start(stage: Stage) -> None:
    """A run is not closed without its report while there is hope for it."""

    async def never(end: RunEnd[State]) -> None:
        raise JournalUnavailable("it is out")

    await stage.journal.append(RUN, EventType.RUN_QUEUED)
    task = stage.orchestrator.launch(saga(stage.step("one")), RUN, (), never)
    await stage.clock.until_done(task)
    assert isinstance(task.exception(), JournalUnavailable)
    assert stage.status() is RunStatus.RUNNING
    await asyncio.sleep(0)
    assert (await stage.run(stage.step("one"))).status is RunStatus.COMPLETED
