"""Who gets a turn: so many runs at once, first come, first served, and a cancel past the queue."""

import asyncio

import pytest

from resilience.saga import EventType, JournalUnavailable, RunEnd, RunStatus
from tests.fakes.saga_clock import settle
from tests.unit.saga.stage import Behaviour, Stage, State, hangs


class Office:
    """A stage with little room, and runs that work until they are told to be done."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.tasks: dict[str, asyncio.Future[RunEnd[State]]] = {}
        self._done: dict[str, asyncio.Event] = {}

    async def enter(self, *run_ids: str) -> None:
        """Launch these runs, and let all that can go on go on."""
        for run_id in run_ids:
            self.tasks[run_id] = await self.launch(run_id)
        await settle()

    async def launch(self, run_id: str) -> asyncio.Future[RunEnd[State]]:
        """Launch one run."""
        step = self.stage.step(run_id, self._until_done(run_id))
        return await self.stage.launch(step, run_id=run_id)

    async def done(self, *run_ids: str) -> None:
        """Let these runs end."""
        for run_id in run_ids:
            self._done[run_id].set()
        await settle()

    def at_work(self) -> list[str]:
        """The runs whose step is under way, in the order in which they began."""
        return [run_id for run_id in self.stage.happened if not self._done[run_id].is_set()]

    def positions(self) -> dict[str, int]:
        """The places in the queue, of those that wait."""
        places = {run_id: self.stage.orchestrator.position(run_id) for run_id in self.tasks}
        return {run_id: place for run_id, place in places.items() if place}

    def _until_done(self, run_id: str) -> Behaviour:
        event = self._done.setdefault(run_id, asyncio.Event())

        async def work() -> None:
            await event.wait()

        return work


@pytest.fixture
async def office(stage: Stage) -> Office:
    """With room for two."""
    stage.runs_max = 2
    await stage.restart()
    return Office(stage)


async def test_runs_wait_until_there_is_room(office: Office) -> None:
    """First come, first served; those that wait are told how many come before them."""
    await office.enter("a", "b", "c", "d")
    assert office.at_work() == ["a", "b"]
    assert office.positions() == {"c": 1, "d": 2}
    assert office.stage.journal.story("c") == ["run.queued"]

    await office.done("b")
    assert office.at_work() == ["a", "c"]
    assert office.positions() == {"d": 1}

    await office.done("a", "c", "d")
    assert office.stage.happened == ["a", "b", "c", "d"]
    assert {task.result().status for task in office.tasks.values()} == {RunStatus.COMPLETED}


async def test_who_comes_late_does_not_overtake(office: Office) -> None:
    """Also when it comes in the very moment in which room is made."""
    await office.enter("a", "b", "c")
    office._done["a"].set()
    await office.enter("d")
    assert office.at_work() == ["b", "c"]
    await office.done("b", "c", "d")


@pytest.mark.parametrize("turns", range(25))
async def test_no_room_is_left_unused(office: Office, turns: int) -> None:
    """Who comes while others are being let in waits for none of them to end."""
    await office.enter("a", "b", "c")
    office._done["a"].set()
    office._done["b"].set()
    for _ in range(turns):
        await asyncio.sleep(0)
    await office.enter("d")
    assert sorted(office.at_work()) == ["c", "d"]
    await office.done("c", "d")


async def test_a_run_that_is_cancelled_while_it_waits_does_not_wait(office: Office) -> None:
    """It closes at once, having done nothing and without ever having started."""
    await office.enter("a", "b", "c", "d")
    assert await office.stage.orchestrator.cancel("c")
    await settle()

    end = office.tasks["c"].result()
    assert (end.status, end.error_type) == (RunStatus.CANCELLED, "cancelled")
    story = office.stage.journal.story("c")
    assert story == ["run.queued", "run.cancelling", "run.cancelled"]
    assert office.at_work() == ["a", "b"]
    assert office.positions() == {"d": 1}
    await office.done("a", "b", "d")


async def test_a_cancelled_wait_leaves_no_room_leaked(office: Office) -> None:
    """Nor taken: as many as before work at once."""
    await office.enter("a", "b", "c", "d", "e")
    for run_id in ("c", "d"):
        assert await office.stage.orchestrator.cancel(run_id)
    await settle()
    await office.done("a", "b")
    assert office.at_work() == ["e"]
    await office.enter("f", "g")
    assert office.at_work() == ["e", "f"]
    await office.done("e", "f", "g")
    assert office.positions() == {}


async def test_a_cancel_in_the_moment_of_the_turn_leaks_nothing(office: Office) -> None:
    """Whichever comes first."""
    await office.enter("a", "b", "c", "d")
    office._done["a"].set()
    assert await office.stage.orchestrator.cancel("c")
    await settle()
    assert office.tasks["c"].result().status is RunStatus.CANCELLED
    assert office.at_work() == ["b", "d"]
    await office.done("b", "d")


async def test_a_second_cancel_of_a_waiting_run_changes_nothing(office: Office) -> None:
    """Cancelled twice at once, it is cancelled once."""
    await office.enter("a", "b", "c")
    cancel = office.stage.orchestrator.cancel
    assert list(await asyncio.gather(cancel("c"), cancel("c"))) == [True, True]
    await settle()
    assert office.stage.journal.story("c").count("run.cancelling") == 1
    await office.done("a", "b", "c")


async def test_a_waiting_run_that_cannot_be_cancelled_goes_on_waiting(office: Office) -> None:
    """While the journal is out a cancel is refused at once, and nothing has changed."""
    await office.enter("a", "b", "c")
    office.stage.journal.out_for(5.0)
    with pytest.raises(JournalUnavailable):
        await office.stage.orchestrator.cancel("c")
    await settle()
    assert office.positions() == {"c": 1}
    office.stage.clock.advance(5.0)
    await office.done("a", "b", "c")
    assert office.tasks["c"].result().status is RunStatus.COMPLETED


async def test_a_shutdown_while_runs_wait_leaves_them_queued(office: Office) -> None:
    """The next start serves them, in the order in which they are launched again."""
    await office.enter("a", "b", "c", "d")
    await office.stage.restart()
    assert all(task.cancelled() for task in office.tasks.values())
    assert office.stage.journal.story("c") == ["run.queued"]
    office.stage.happened.clear()
    await office.enter("d", "c", "b", "a")
    assert office.at_work() == ["d", "c"]
    await office.done("a", "b", "c", "d")
    assert office.positions() == {}


async def test_a_run_that_breaks_leaves_its_room(office: Office) -> None:
    """As one does whose journal stays out for too long."""
    stage = office.stage
    await office.enter("a", "b")
    stage.journal.out_for(400.0)
    await office.done("a", "b")
    await stage.clock.until_done(office.tasks["b"])
    assert isinstance(office.tasks["b"].exception(), JournalUnavailable)
    stage.clock.advance(400.0)
    await office.enter("c", "d")
    assert office.at_work() == ["c", "d"]
    await office.done("c", "d")


async def test_a_run_that_another_process_has_takes_no_room(office: Office) -> None:
    """Who only follows does no work."""
    journal = office.stage.journal
    for run_id in ("a", "b"):
        await journal.append(run_id, EventType.RUN_QUEUED)
        assert await journal.other().claim(run_id)
    await office.enter("a", "b", "c", "d")
    assert office.at_work() == ["c", "d"]
    await office.done("c", "d")


async def test_a_run_executing_has_no_position(office: Office) -> None:
    """Nor has one that nobody launched."""
    await office.enter("a")
    assert office.stage.orchestrator.position("a") == 0
    assert office.stage.orchestrator.position("never-launched") == 0
    await office.done("a")


async def test_cancelled_runs_are_undone_past_the_queue(stage: Stage) -> None:
    """A run under way does not queue for its undo, either."""
    stage.runs_max = 1
    await stage.restart()
    first = await stage.launch(stage.step("one", hangs), run_id="first")
    await stage.launch(stage.step("two", hangs), run_id="second")
    await settle()
    assert await stage.orchestrator.cancel("first")
    await settle()
    assert first.result().status is RunStatus.CANCELLED
    assert stage.happened == ["one", "undo one", "two"]
