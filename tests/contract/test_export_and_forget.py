"""Export and forget: everything and nothing, the same on SQLite and on PostgreSQL."""

import json
from pathlib import Path

import pytest
import sqlalchemy as sa

from agents.domain.profile import Profile
from agents.store.database import Database
from agents.store.schema import metadata
from resilience.saga import EventType, Part
from tests.contract.conftest import Stores
from tests.contract.given import a_life, a_run, bytes_in, through


async def test_an_export_holds_everything_the_person_gave_and_got(stores: Stores) -> None:
    """Profile, saved, dismissed, what was asked and the drafts, as plain JSON; nobody else's."""
    ada = await a_life(stores, "ada", "ofada")
    await a_life(stores, "bob", "ofbob")
    export = await stores.people.export(ada)

    assert json.loads(json.dumps(export)) == export
    assert set(export) >= {"profile", "saved", "not_for_me", "scouts", "drafts"}
    text = json.dumps(export)
    for kept in ("skill-ofada", "about-ofada", "query-ofada", "draft-ofada", "p-2-of-ada"):
        assert kept in text
    assert str(export["saved"]).count("Backend Engineer") == 1
    assert "run-of-ada" in text
    assert "completed" in text
    assert "bob" not in text


async def test_an_export_holds_what_the_scouts_found(stores: Stores) -> None:
    """/privacy says that what scouts found is kept and that /export sends all of it."""
    text = json.dumps(await stores.people.export(await a_life(stores, "ada", "ofada")))

    assert "reason-ofada" in text
    assert "81.5" in text


async def test_an_export_of_somebody_new_is_empty(stores: Stores) -> None:
    """Nothing kept is nothing exported."""
    ada = (await stores.people.person("local", "1")).id
    export = await stores.people.export(ada)

    assert {name for name, kept in export.items() if kept} == {"profile"}
    assert not any(
        value
        for value in export["profile"].values()  # type: ignore[attr-defined]
    )


async def test_forgetting_deletes_every_text_of_the_person(stores: Stores) -> None:
    """No row of any table names the person or holds a word of theirs."""
    ada = await a_life(stores, "ada", "ofada")
    await stores.people.forget(ada)
    assert await stores.people.untold() == [ada]  # the cache is to forget them, too
    await stores.people.told(ada)

    for table, rows in (await _everything(stores.database)).items():
        assert "ofada" not in rows, table
        if table not in {"runs", "run_events", "opportunities"}:
            assert "run-of-ada" not in rows, table
            assert ada not in rows, table
    assert await stores.people.profile(ada) == Profile()
    assert await stores.people.saved(ada) == []
    assert await stores.runs.message("run-of-ada") is None
    assert (await stores.people.person("local", "ada")).id != ada


async def test_forgetting_leaves_the_ledger(stores: Stores) -> None:
    """Runs and events stay, as ids and counts, and the postings, which are nobody's."""
    ada = await a_life(stores, "ada", "ofada")
    row, events = await stores.runs.get("run-of-ada"), await stores.ledger.events("run-of-ada")
    await stores.people.forget(ada)

    assert row is not None
    assert await stores.runs.get("run-of-ada") == row
    assert await stores.ledger.events("run-of-ada") == events
    assert await stores.postings.get("p-1-of-ada") is not None
    assert await stores.runs.text("run-of-ada", "request") is None


async def test_forgetting_leaves_everybody_else(stores: Stores) -> None:
    """What belongs to another person is as it was."""
    bob = await a_life(stores, "bob", "ofbob")
    before = await stores.people.export(bob), await stores.outcomes.matches("run-of-bob")
    person = await stores.people.person("local", "bob")
    await stores.people.forget(await a_life(stores, "ada", "ofada"))

    after = await stores.people.export(bob), await stores.outcomes.matches("run-of-bob")
    assert after == before
    assert await stores.people.person("local", "bob") == person
    assert await stores.runs.message("run-of-bob") is not None
    assert await stores.runs.text("run-of-bob", "report") == "report-ofbob"


async def test_forgetting_a_run_under_way_takes_it_off_the_next_start(stores: Stores) -> None:
    """A forgotten person's open run is not taken up again."""
    ada = (await stores.people.person("local", "1")).id
    await a_run(stores, ada)
    part = Part(step="discover", body="part")
    await through(stores, "run-1", EventType.RUN_STARTED)
    await stores.ledger.append("run-1", EventType.STEP_COMPLETED, part=part)
    await stores.people.forget(ada)

    assert await stores.ledger.abandoned(("local",)) == []
    assert await stores.ledger.parts("run-1") == {}


async def _everything(database: Database) -> dict[str, str]:
    async with database.read() as connection:
        return {
            table.name: str((await connection.execute(sa.select(table))).all())
            for table in metadata.sorted_tables
        }


@pytest.mark.parametrize("backend", ["sqlite"])
async def test_forgotten_words_are_in_no_file(stores: Stores, address: str) -> None:
    """Not in the database, nor in its log, nor beside it: the bytes are overwritten."""
    folder = Path(address.removeprefix("sqlite:///")).parent
    await a_life(stores, "bob", "ofbob")
    ada = await a_life(stores, "ada", "ofada")
    # Its random id alone stays, in the ledger, and leads nowhere.
    words = [
        f"{word}-ofada" for word in ("about", "replaced", "query", "draft", "reason", "report")
    ]
    before = bytes_in(folder)
    assert [word for word in words if word.encode() not in before] == []
    await stores.people.forget(ada)

    after = bytes_in(folder)
    assert b"ofada" not in after
    assert b"about-ofbob" in after


async def test_what_was_kept_is_there_after_a_restart(stores: Stores, address: str) -> None:
    """Another process over the same database finds it all."""
    ada = await a_life(stores, "ada", "ofada")
    async with Database.open(address) as database:
        assert await database.migrate() is False
        again = Stores.over(database, stores.clock)
        assert (await again.people.person("local", "ada")).id == ada
        assert await again.people.export(ada) == await stores.people.export(ada)
        assert await again.ledger.events("run-of-ada") == await stores.ledger.events("run-of-ada")
