"""A configuration is not there: a new run is refused, a journaled one ends, others go on."""

import json
from pathlib import Path

import pytest

from bot.bootstrap import Fakes
from tests.fakes.api_client import SCOUT, StagedAction, api_bot, database
from tests.fakes.bot_api import BotApi
from tests.fakes.people import PROFILE, Person, rows, telegram_bot
from tests.fakes.sources import HeldSource, TestSources

GONE = "scout@0"


def retire(folder: Path, run_id: str) -> None:
    """The run was begun under a configuration that later versions do not have."""
    ((text,),) = rows(
        folder, f"SELECT body FROM run_texts WHERE run_id = '{run_id}' AND name = 'request'"
    )
    body = json.dumps(json.loads(str(text)) | {"config": GONE}).replace("'", "''")
    where = f"run_id = '{run_id}' AND name = 'request'"
    database(folder, f"UPDATE run_texts SET body = '{body}' WHERE {where}")
    database(folder, f"UPDATE runs SET config = '{GONE}' WHERE id = '{run_id}'")


@pytest.mark.parametrize(
    "config", [GONE, "scout@99", "scout", "scout@latest", "Scout@1", "", "scout@" + "9" * 90]
)
async def test_a_request_for_it_starts_nothing(tmp_path: Path, config: str) -> None:
    """400 config-not-found, which says what there is; nothing of the request is stored."""
    async with api_bot(tmp_path) as blue:
        answer = await blue.start(SCOUT | {"config": config}, key="k")
        assert (answer.status, answer.problem) == (400, "config-not-found")
        assert "scout@1" in answer.body["detail"]
        for table in ("runs", "run_events", "run_texts", "idempotency_keys"):
            assert rows(tmp_path, f"SELECT count(*) FROM {table}") == [(0,)]
        assert (await blue.start(key="k")).status == 202


async def test_runs_of_it_end_at_the_restart(tmp_path: Path) -> None:
    """One that had done nothing yet fails, one with something to undo is compensated, both for
    that reason; the others are taken up and complete."""
    held, action = HeldSource(), StagedAction(held=True)
    fakes = Fakes(sources=TestSources({"held": held}), action=action)
    async with api_bot(tmp_path, fakes) as blue:
        drafting = await blue.started()
        await action.asked.wait()
        searching = await blue.started(sources=["held"])
        await held.asked.wait()
        other = await blue.started(sources=["held", "sample"])
        await blue.until(other, "step.started")
    for run_id in (drafting, searching):
        retire(tmp_path, run_id)
    held.gate.set()
    action.gate.set()
    async with api_bot(tmp_path, fakes) as blue:
        ends = {run_id: await blue.ended(run_id) for run_id in (drafting, searching, other)}
        assert (await blue.cancel(drafting)).status == 409
    assert ends[drafting]["status"] == "compensated"
    assert ends[drafting]["result"]["receipt"]["undone"] == ["10 scores removed"]
    assert ends[searching]["status"] == "failed"
    for run_id in (drafting, searching):
        assert ends[run_id]["config"] == GONE
        assert ends[run_id]["error"]["type"] == "config-not-found"
        assert GONE in ends[run_id]["error"]["message"]
        assert ends[run_id]["result"]["matches"] == []
    assert (ends[other]["status"], ends[other]["error"]) == ("completed", None)


async def test_its_person_is_told(tmp_path: Path) -> None:
    """The message of the scout says what is gone and to try again; the next scout works."""
    held = HeldSource()
    fakes = Fakes(sources=TestSources({"held": held}))
    async with BotApi() as api:
        person = Person(api)
        async with telegram_bot(api, tmp_path, fakes, sources=("held",)):
            await person.ask(PROFILE)
            await person.say("/scout")
            await held.asked.wait()
            placeholder = (await person.read("Scouting")).message_id
        ((run_id,),) = rows(tmp_path, "SELECT id FROM runs")
        retire(tmp_path, str(run_id))
        async with telegram_bot(api, tmp_path):
            told = await person.read(GONE)
            assert told.message_id == placeholder
            assert "try again" in told.text
            await person.scout()
    assert rows(tmp_path, "SELECT status, error_type FROM runs ORDER BY created_at") == [
        ("failed", "config-not-found"),
        ("completed", None),
    ]
