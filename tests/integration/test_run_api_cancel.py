"""Cancelling over HTTP: at every stage of a run, once or often."""

import asyncio
from pathlib import Path

from bot.bootstrap import Fakes
from tests.fakes.api_client import SCOUT, StagedAction, api_bot
from tests.fakes.people import rows
from tests.fakes.sources import FailingSource, HeldSource, TestSources


async def test_a_run_at_work_is_stopped(tmp_path: Path) -> None:
    """202 and a receipt of what was stopped; again 202, while it ends and after it."""
    held = HeldSource()
    async with api_bot(tmp_path, Fakes(sources=TestSources({"held": held}))) as blue:
        run_id = await blue.started(sources=["held"])
        await held.asked.wait()
        answers = await asyncio.gather(*(blue.cancel(run_id) for _ in range(20)))
        assert {answer.status for answer in answers} == {202}
        assert all(answer.body["run_id"] == run_id for answer in answers)
        run = await blue.ended(run_id)
        again = await blue.cancel(run_id)
        events = [event.type for event in await blue.events(run_id)]
    assert (again.status, again.body) == (202, {"run_id": run_id, "status": "cancelled"})
    assert (run["status"], run["error"]["type"]) == ("cancelled", "cancelled")
    assert run["result"]["status"] == "cancelled"
    receipt = run["result"]["receipt"]
    assert receipt["stopped"] == ["gathering postings"]
    assert receipt["undone"] == []
    assert receipt["spent"] == run["usage"]
    assert (run["result"]["partial"], run["result"]["matches"]) == (False, [])
    assert held.stopped == 1
    assert events.count("run.cancelling") == events.count("run.cancelled") == 1


async def test_what_was_found_is_shown_unranked(tmp_path: Path) -> None:
    """Cancelled while drafting: the ranking is undone, the postings are there without scores."""
    action = StagedAction(held=True)
    async with api_bot(tmp_path, Fakes(action=action)) as blue:
        run_id = await blue.started()
        await action.asked.wait()
        assert (await blue.cancel(run_id)).status == 202
        run = await blue.ended(run_id)
    result = run["result"]
    assert (run["status"], result["partial"], len(result["matches"])) == ("cancelled", True, 10)
    assert [match["rank"] for match in result["matches"]] == list(range(1, 11))
    assert {match["score"] for match in result["matches"]} == {None}
    assert all(match["reasons"] == [] for match in result["matches"])
    assert result["drafts"] == []
    assert result["receipt"]["stopped"] == ["drafting"]
    assert result["receipt"]["undone"] == ["10 scores removed"]
    statuses = {step["name"]: step["status"] for step in run["steps"]}
    assert statuses == {"discover": "completed", "match": "compensated", "act": "compensated"}


async def test_a_run_that_has_ended_is_not_cancelled(tmp_path: Path) -> None:
    """409 for each other end, which stays as it is."""
    fakes = Fakes(sources=TestSources({"failing": FailingSource()}))
    bodies: dict[str, dict[str, object]] = {
        "completed": {},
        "compensated": {"config": "scout-strict@1"},
        "failed": {"sources": ["failing"]},
    }
    async with api_bot(tmp_path, fakes) as blue:
        for status, body in bodies.items():
            before = await blue.ended(await blue.started(**body))
            answer = await blue.cancel(before["run_id"])
            assert (answer.status, answer.problem) == (409, "run-ended")
            assert status in answer.body["detail"]
            assert await blue.run(before["run_id"]) == before
            assert before["status"] == status
        assert (await blue.cancel("0123456789abcdef")).status == 404


async def test_a_run_that_waits_for_its_turn_is_cancelled_at_once(tmp_path: Path) -> None:
    """It passes the queue: those before it work still when it has ended."""
    held = HeldSource()
    async with api_bot(
        tmp_path, Fakes(sources=TestSources({"held": held})), runs_at_once=1
    ) as blue:
        first = await blue.started(sources=["held"])
        await held.asked.wait()
        waiting = [await blue.started() for _ in range(3)]
        assert (await blue.cancel(waiting[1])).status == 202
        run = await blue.ended(waiting[1])
        assert (run["status"], run["steps"]) == ("cancelled", [])
        assert run["result"]["receipt"]["stopped"] == []
        assert [(await blue.run(run_id))["status"] for run_id in (first, waiting[0])] == [
            "running",
            "queued",
        ]
        held.gate.set()
        for run_id in (first, waiting[0], waiting[2]):
            assert (await blue.ended(run_id))["status"] == "completed"


async def test_a_cancel_while_it_is_undone_changes_nothing(tmp_path: Path) -> None:
    """202, and the run ends as it was heading."""
    action = StagedAction(fails=True)
    action.undo_gate.clear()
    async with api_bot(tmp_path, Fakes(action=action)) as blue:
        run_id = await blue.started()
        await action.undo_asked.wait()
        assert (await blue.run(run_id))["status"] == "compensating"
        for _ in range(2):
            answer = await blue.cancel(run_id)
            assert (answer.status, answer.body["status"]) == (202, "compensating")
        action.undo_gate.set()
        run = await blue.ended(run_id)
        assert (await blue.cancel(run_id)).status == 409
    assert (run["status"], run["error"]["type"]) == ("compensated", "step-failed")
    assert run["result"]["matches"] == []


async def test_a_cancel_holds_whenever_it_comes(tmp_path: Path) -> None:
    """202 means cancelled and 409 means completed, for runs at any moment of their way."""
    async with api_bot(tmp_path, team_runs=100) as blue:
        run_ids = [await blue.started() for _ in range(15)]
        run_ids += [(await blue.start(SCOUT)).body["run_id"] for _ in range(10)]
        answers = await asyncio.gather(*(blue.cancel(run_id) for run_id in run_ids))
        for run_id, answer in zip(run_ids, answers, strict=True):
            run = await blue.ended(run_id)
            expected = {202: "cancelled", 409: "completed"}[answer.status]
            assert run["status"] == expected
            assert (run["result"]["receipt"] is None) == (expected == "completed")
    assert rows(tmp_path, "SELECT count(*) FROM runs WHERE ended_at IS NULL") == [(0,)]


async def test_a_cancel_outlives_the_bot(tmp_path: Path) -> None:
    """Cancelled a moment before the end of the process, it ends cancelled after the start."""
    action = StagedAction(held=True)
    action.undo_gate.clear()
    async with api_bot(tmp_path, Fakes(action=action)) as blue:
        run_id = await blue.started()
        await action.asked.wait()
        await blue.cancel(run_id)
        await action.undo_asked.wait()
    action.undo_gate.set()
    async with api_bot(tmp_path, Fakes(action=action)) as blue:
        run = await blue.ended(run_id)
    assert run["status"] == "cancelled"
    assert run["result"]["receipt"]["undone"] == ["10 scores removed"]
    assert {match["score"] for match in run["result"]["matches"]} == {None}
