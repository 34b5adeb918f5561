"""Two processes over one journal: one of them executes a run, and the other follows it."""

import asyncio
import logging
from collections.abc import Collection, Mapping

import pytest

from resilience.saga import (
    Event,
    EventType,
    IllegalTransition,
    Orchestrator,
    RunEnd,
    RunStatus,
    StepContext,
    StepOutcome,
)
from resilience.saga.orchestrator import LEASE_S, RENEW_EVERY_S
from tests.fakes.journal import MemoryJournal
from tests.fakes.saga_clock import settle
from tests.unit.saga.stage import (
    KEPT,
    RUN,
    Behaviour,
    Do,
    Stage,
    State,
    agent,
    fails,
    hangs,
    in_turn,
    saga,
    works,
)


def until(event: asyncio.Event) -> Behaviour:
    """Work until the test says so."""

    async def work() -> None:
        await event.wait()

    return work


async def _hang(state: State, context: StepContext) -> StepOutcome[State]:
    await hangs()
    raise AssertionError


def _do_until(event: asyncio.Event) -> Do:
    async def do(state: State, context: StepContext) -> StepOutcome[State]:
        await event.wait()
        return StepOutcome(state=state)

    return do


async def test_a_run_that_another_process_has_is_followed_to_its_end(stage: Stage) -> None:
    """Nothing is done for it here, and its task ends with how it ended there."""
    done = asyncio.Event()
    async with Orchestrator(stage.journal.other(), stage.clock) as there:
        await stage.journal.append(RUN, EventType.RUN_QUEUED)
        theirs = there.launch(saga(agent("one", _do_until(done))), RUN, ())
        await settle()
        mine = await stage.launch(stage.step("two"))
        await stage.let_pass(3 * LEASE_S)
        assert not mine.done()
        done.set()
        await stage.clock.until_done(mine)
        end = await theirs

    assert stage.happened == []
    followed = mine.result()
    assert (followed.status, followed.state) == (RunStatus.COMPLETED, ())
    assert (followed.steps_done, followed.spent, followed.error_type) == (1, end.spent, None)
    assert stage.ends == []


async def test_who_follows_tells_why_the_run_ended(stage: Stage) -> None:
    """As it was journaled."""
    async with Orchestrator(stage.journal.other(), stage.clock) as there:
        await stage.journal.append(RUN, EventType.RUN_QUEUED)
        theirs = there.launch(saga(stage.step("one"), stage.step("two", hangs)), RUN, ())
        await settle()
        mine = await stage.launch(stage.step("one"))
        await settle()
        assert await stage.orchestrator.cancel(RUN)
        assert await stage.orchestrator.cancel(RUN)
        await stage.clock.until_done(mine)
        end = await theirs

    assert stage.story().count("run.cancelling") == 1
    followed = mine.result()
    assert (followed.status, followed.error_type) == (RunStatus.CANCELLED, "cancelled")
    assert followed.undone == end.undone == ("two undone", "one undone")
    assert stage.happened == ["one", "two", "undo two", "undo one"]


async def test_a_run_whose_other_process_is_gone_is_taken_up(stage: Stage) -> None:
    """Its lease is not prolonged any more: who follows the run executes it then."""
    await stage.journal.append(RUN, EventType.RUN_QUEUED)
    assert await stage.journal.other().claim(RUN) == 1
    mine = await stage.launch(stage.step("one"))
    await stage.let_pass(LEASE_S - 1.0)
    assert stage.happened == []
    end = await stage.end_of(mine)

    assert (end.status, stage.happened) == (RunStatus.COMPLETED, ["one"])
    assert stage.clock.monotonic() <= LEASE_S + 2.0
    assert stage.ends == [end]


async def test_a_run_that_is_not_there_is_not_followed_for_ever(stage: Stage) -> None:
    """Such as one that was forgotten meanwhile."""
    task = stage.orchestrator.launch(saga(stage.step("one")), "forgotten", ())
    await stage.clock.until_done(task)
    with pytest.raises(LookupError):
        task.result()


async def test_a_run_that_has_ended_is_told_as_it_ended(stage: Stage) -> None:
    """Launched again, it does nothing."""
    await stage.run(stage.step("one", fails))
    story = stage.story()
    again = await stage.run(stage.step("one"))

    assert (again.status, again.error_type) == (RunStatus.COMPENSATED, "no-answer")
    assert (again.failed_step, again.undone) == ("one", ("one undone",))
    assert stage.happened == ["one", "undo one"]
    assert stage.story() == story


async def test_a_lease_lost_in_the_middle_of_a_step_stops_its_work(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    """The loser journals nothing more, undoes nothing, and follows the run to its end."""

    async def works_on() -> None:
        try:
            await hangs()
        finally:
            stage.happened.append("stopped")

    steps = (stage.step("zero", kept=KEPT), stage.step("one", works_on))
    mine = await stage.launch(*steps)
    await settle()
    before = stage.story()
    there = stage.journal.other()
    fence = there.take(RUN)
    with caplog.at_level(logging.WARNING):
        await stage.let_pass(RENEW_EVERY_S)
    assert stage.happened == ["zero", "one", "stopped"]
    assert stage.story() == before
    assert "belongs to another process now" in caplog.text

    await there.append(RUN, EventType.RUN_FAILED, {"error": "worker-lost"}, fence=fence)
    end = await stage.end_of(mine)
    assert (end.status, end.error_type) == (RunStatus.FAILED, "worker-lost")
    assert stage.happened == ["zero", "one", "stopped"]


async def test_what_a_loser_did_after_its_lease_does_not_count(stage: Stage) -> None:
    """A step that was done by then is not journaled: the fence is another."""
    done = asyncio.Event()
    mine = await stage.launch(stage.step("one", until(done)), stage.step("two"))
    await settle()
    before = stage.story()
    there = stage.journal.other()
    fence = there.take(RUN)
    done.set()
    await settle()
    assert stage.story() == before
    assert stage.happened == ["one"]
    await there.append(RUN, EventType.RUN_FAILED, fence=fence)
    assert (await stage.end_of(mine)).status is RunStatus.FAILED


async def test_a_run_that_was_lost_is_taken_up_when_the_winner_is_gone(stage: Stage) -> None:
    """Afresh, from what is journaled; what the loss had stopped is no failure."""
    step = stage.step("one", in_turn(hangs, works))
    mine = await stage.launch(step)
    await settle()
    stage.journal.other().take(RUN)
    end = await stage.end_of(mine)

    assert (end.status, end.error_type) == (RunStatus.COMPLETED, None)
    assert stage.happened == ["one", "one"]
    assert "run.resumed" in stage.story()
    assert "step.failed one" not in stage.story()


async def test_leases_are_prolonged_while_a_run_executes(stage: Stage) -> None:
    """No other process gets it, however long it takes."""
    done, there = asyncio.Event(), stage.journal.other()
    step = agent("one", _do_until(done))
    mine = await stage.launch(step)
    for _ in range(10):
        await stage.let_pass(LEASE_S / 2)
        assert await there.claim(RUN) is None
    done.set()
    assert (await stage.end_of(mine)).status is RunStatus.COMPLETED


async def test_a_lease_is_given_up_when_the_process_stops(stage: Stage) -> None:
    """Another process may take the run at once."""
    await stage.launch(stage.step("one", hangs))
    await settle()
    assert stage.journal.owner_of(RUN) == "here"
    await stage.restart()
    assert stage.journal.owner_of(RUN) is None
    assert await stage.journal.other().claim(RUN) is not None


async def test_a_lease_ends_by_itself_when_it_cannot_be_given_up(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    """A process stops also while the journal is out; the next one waits for the lease's end."""
    await stage.launch(stage.step("one", hangs))
    await settle()
    stage.journal.out_for(1.0)
    with caplog.at_level(logging.WARNING):
        await stage.restart()
    assert "the leases of 1 runs end by themselves" in caplog.text
    there = stage.journal.other()
    assert await there.claim(RUN) is None
    stage.clock.advance(LEASE_S)
    assert await there.claim(RUN) is not None


async def test_leases_are_prolonged_again_after_an_outage(stage: Stage) -> None:
    """While the journal is out nobody can take a run; after it they are this process's still."""
    done = asyncio.Event()
    mine = await stage.launch(agent("one", _do_until(done)))
    await settle()
    stage.journal.out_for(RENEW_EVERY_S + 1.0)
    await stage.let_pass(LEASE_S + 1.0)
    assert await stage.journal.other().claim(RUN) is None
    done.set()
    assert (await stage.end_of(mine)).status is RunStatus.COMPLETED


# --- a cancel that another process journals -------------------------------------------------------


async def test_a_cancel_journaled_elsewhere_is_obeyed_at_the_next_renewal(stage: Stage) -> None:
    """The step under way is stopped and undone."""
    mine = await stage.launch(stage.step("zero"), agent("one", _hang))
    await stage.let_pass(5.0)
    await stage.journal.other().append(RUN, EventType.RUN_CANCELLING)
    await stage.let_pass(RENEW_EVERY_S - 5.0)

    assert mine.done()
    end = mine.result()
    assert (end.status, end.stopped) == (RunStatus.CANCELLED, ("one",))
    assert stage.happened == ["zero", "undo zero"]


@pytest.mark.parametrize(
    "event", [EventType.RUN_STARTED, EventType.STEP_STARTED, EventType.RUN_COMPLETED]
)
async def test_nothing_goes_forward_after_a_cancel_journaled_elsewhere(
    stage: Stage, event: EventType
) -> None:
    """The journal refuses it, and the run turns back."""
    gate = stage.journal.hold(event, stored=False)
    mine = await stage.launch(stage.step("one"))
    await gate.reached.wait()
    await stage.journal.other().append(RUN, EventType.RUN_CANCELLING)
    gate.opened.set()
    end = await stage.end_of(mine)

    assert (end.status, end.error_type) == (RunStatus.CANCELLED, "cancelled")
    assert event.value not in " ".join(stage.story())
    done = event is EventType.RUN_COMPLETED
    assert stage.happened == (["one", "undo one"] if done else [])


@pytest.mark.parametrize("event", [EventType.STEP_STARTED, EventType.RUN_COMPLETED])
async def test_a_run_that_somebody_else_closed_is_left(
    stage: Stage, event: EventType, caplog: pytest.LogCaptureFixture
) -> None:
    """That should not be: it is not a cancel, and the task says so."""
    gate = stage.journal.hold(event, stored=False)
    mine = await stage.launch(stage.step("one"))
    await gate.reached.wait()
    await stage.journal.other().append(RUN, EventType.RUN_FAILED)
    gate.opened.set()
    await stage.clock.until_done(mine)

    with pytest.raises(IllegalTransition):
        mine.result()
    await settle()
    assert f"run {RUN} stopped unfinished" in caplog.text
    assert stage.orchestrator.task_of(RUN) is None


@pytest.mark.parametrize("cancelled", [False, True])
async def test_a_renewal_during_the_undo_changes_nothing(stage: Stage, cancelled: bool) -> None:
    """A run that is undone is to stop, but there is nothing to be stopped."""
    ended = asyncio.Event()

    async def wait_then_fail() -> None:
        await ended.wait()
        await fails()

    undo = in_turn(hangs, works)
    mine = await stage.launch(stage.step("one", wait_then_fail, undo))
    await stage.let_pass(RENEW_EVERY_S - 1.0)
    if cancelled:
        assert await stage.orchestrator.cancel(RUN)
    else:
        ended.set()
    await stage.let_pass(1.0)
    assert stage.status() is RunStatus.COMPENSATING
    end = await stage.end_of(mine)

    assert end.status is (RunStatus.CANCELLED if cancelled else RunStatus.COMPENSATED)
    assert stage.happened == ["one", "undo one", "undo one"]


async def test_looking_for_one_runs_cancel_does_not_hold_up_the_other_leases(
    stage: Stage,
) -> None:
    """Nor does a journal that gives no answer to that question."""
    first = await stage.launch(agent("one", _hang))
    second = await stage.launch(agent("one", _hang), run_id="second")
    await settle()
    there = stage.journal.other()
    await there.append(RUN, EventType.RUN_CANCELLING)
    gate = stage.journal.hold_reading()
    await stage.let_pass(RENEW_EVERY_S)
    assert gate.reached.is_set()
    await stage.let_pass(2 * LEASE_S)
    assert await there.claim("second") is None
    gate.opened.set()
    assert (await stage.end_of(first)).status is RunStatus.CANCELLED
    assert not second.done()


class OutAfterRenewal(MemoryJournal):
    """A journal that is out for long right after the first renewal."""

    async def renew(self, run_ids: Collection[str]) -> dict[str, bool]:
        """Renew, and then be out."""
        held = await super().renew(run_ids)
        if not self.refused:
            self.out_for(350.0)
        return held


async def test_a_cancel_elsewhere_that_could_not_be_read_is_obeyed_later(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    """The leases are prolonged on, and the next renewal finds it."""
    journal = OutAfterRenewal(stage.clock.now)
    await journal.append(RUN, EventType.RUN_QUEUED)
    async with Orchestrator(journal, stage.clock) as orchestrator:
        mine = orchestrator.launch(saga(agent("one", _hang)), RUN, ())
        await settle()
        await journal.other().append(RUN, EventType.RUN_CANCELLING)
        await stage.let_pass(345.0)
        assert "is not known" in caplog.text
        assert not mine.done()
        await stage.let_pass(25.0)
        assert mine.done()
        end: RunEnd[State] = mine.result()
    assert end.status is RunStatus.CANCELLED


async def test_a_stop_while_a_run_waits_to_be_taken_over_leaves_it(stage: Stage) -> None:
    """Its other process is gone, but there was no room here yet."""
    stage.runs_max = 1
    await stage.restart()
    gone = stage.journal.other()
    await stage.journal.append(RUN, EventType.RUN_QUEUED)
    await gone.claim(RUN)
    following = await stage.launch(stage.step("one"))
    await settle()
    await stage.launch(agent("long", _do_until(asyncio.Event())), run_id="run-2")
    await stage.let_pass(LEASE_S + RENEW_EVERY_S)
    assert not following.done()
    await stage.close()

    assert following.cancelled()
    assert stage.happened == []
    await stage.restart()


async def test_leases_are_prolonged_again_after_an_unforeseen_error(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever the journal raises once, the runs here stay this process's."""
    real, calls = stage.journal.renew, 0

    async def breaks_once(run_ids: Collection[str]) -> Mapping[str, bool]:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise ValueError("nobody foresaw this")
        return await real(run_ids)

    monkeypatch.setattr(stage.journal, "renew", breaks_once)
    await stage.launch(agent("long", _do_until(asyncio.Event())))
    await stage.let_pass(3 * LEASE_S)

    assert "the leases could not be prolonged" in caplog.text
    assert calls > 3
    assert await stage.journal.other().claim(RUN) is None


async def test_a_look_that_breaks_does_not_end_the_leases(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A cancel elsewhere that can't be read is looked for again at the next renewal."""
    task = await stage.launch(agent("long", _do_until(asyncio.Event())))
    await settle()
    await stage.journal.append(RUN, EventType.RUN_CANCELLING)
    real, broken = stage.journal.events, [True]

    async def breaks_once(run_id: str) -> list[Event]:
        if broken:
            broken.clear()
            raise ValueError("nobody foresaw this")
        return await real(run_id)

    monkeypatch.setattr(stage.journal, "events", breaks_once)
    end = await stage.end_of(task)

    assert end.status is RunStatus.CANCELLED
    assert "was cancelled elsewhere can't be read" in caplog.text


async def test_nothing_is_launched_once_the_process_stops(stage: Stage) -> None:
    """Its leases are given up: what comes then is left to the next start."""
    await stage.journal.append(RUN, EventType.RUN_QUEUED)
    await stage.close()
    task = await stage.launch(stage.step("one"))
    await settle()

    assert task.cancelled()
    assert stage.happened == []
    await stage.restart()
