"""What the stores promise, the same on SQLite and on PostgreSQL."""

import asyncio
import json
import threading
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy.engine import Connection

import agents.store
from agents.domain.draft import Draft, DraftMethod
from agents.domain.errors import InvalidValue
from agents.domain.kind import Kind
from agents.domain.match import Match, MatchMethod, Provenance
from agents.domain.opportunity import Listing, Opportunity
from agents.domain.pay import MinPay, Pay, Period
from agents.domain.profile import Profile
from agents.domain.run import SavedItem, ScoutRequest
from agents.store.database import HEAD, Database, async_url, schema_sql
from agents.store.errors import StoreError
from agents.store.people import PeopleStore
from agents.store.runs import RunMessage, RunStore
from agents.store.schema import matches, metadata, run_texts
from resilience.saga import EventType, IllegalTransition, JsonValue, RunStatus
from tests.contract.conftest import Stores
from tests.fakes.clock import NOON
from tests.fakes.opportunities import opportunity

PROFILE = Profile(
    skills=("Python", "C++"),
    locations=("Zürich", "東京"),
    remote=True,
    kinds=(Kind.JOB, Kind.GRANT),
    min_pay=MinPay(amount=60_000.0, currency="EUR", period=Period.YEAR),
    about="Ten years of back ends — “quoted”, 100 % & <b>plain</b>.\n ends",
)
REQUEST = ScoutRequest(query="remote python", profile=PROFILE, sources=("sample",), limit=5)


def match_of(found: Opportunity, rank: int = 1, **changes: object) -> Match:
    """A scored match of a posting."""
    match = Match(
        rank=rank,
        score=81.5,
        method=MatchMethod.HEURISTIC,
        reasons=("python is asked for",),
        cautions=("the pay is not said",),
        provenance=Provenance(
            source=found.source, fetched_at=found.fetched_at, from_cache=False, age_s=12.5
        ),
        opportunity=found,
    )
    return replace(match, **changes)  # type: ignore[arg-type]


def draft_of(found: Opportunity, text: str = "Dear Larkfield,") -> Draft:
    """A draft for a posting."""
    return Draft(opportunity_id=found.id, method=DraftMethod.TEMPLATE, text=text)


async def a_run(
    stores: Stores,
    user_id: str = "nobody",
    run_id: str = "run-1",
    *,
    request: ScoutRequest = REQUEST,
    chat_id: int | None = None,
) -> str:
    """A queued run."""
    await stores.runs.create(run_id, user_id, request, chat_id)
    return run_id


async def through(stores: Stores, run_id: str, *events: EventType) -> None:
    """Journal events of a run, a second apart."""
    for event in events:
        stores.clock.advance(1.0)
        await stores.runs.append(run_id, event)


# --- the schema -----------------------------------------------------------------------------------


async def test_migrating_twice_changes_nothing_the_second_time(empty: Database) -> None:
    """The first migration builds the schema, the second finds it there."""
    assert await empty.migrate() is True
    assert await empty.migrate() is False
    await empty.check()


def test_head_is_the_newest_migration() -> None:
    """HEAD, which spares most starts from importing Alembic, is what Alembic finds."""
    folder = Path(agents.store.__file__).parent / "migrations"
    assert ScriptDirectory(str(folder)).get_current_head() == HEAD


async def test_the_migrated_schema_is_the_tables_of_the_code(stores: Stores) -> None:
    """Alembic finds no difference between the migrations and schema.py."""
    async with stores.database.read() as connection:
        assert await connection.run_sync(_differences) == []


def _differences(connection: Connection) -> list[object]:
    # The cache's tables are another room's, and in PostgreSQL only.
    theirs = {"cache_entries", "cache_forgotten"}
    ours = {"include_name": lambda name, *_: name not in theirs}
    context = MigrationContext.configure(
        connection, opts={"compare_type": True, "compare_server_default": True, **ours}
    )
    return list(compare_metadata(context, metadata))


@pytest.mark.parametrize("backend", ["postgresql"])
async def test_the_printed_schema_is_the_migrated_one(empty: Database) -> None:
    """What `migrate --sql` prints for an editor leaves PostgreSQL as a migration does."""
    async with empty.write() as connection:
        for statement in schema_sql().split(";\n\n"):  # a function's body has no empty line
            if statement.strip() not in {"", "BEGIN", "COMMIT"}:
                await connection.execute(sa.text(statement))
    await empty.check()
    async with empty.read() as connection:
        assert await connection.run_sync(_differences) == []


async def test_a_database_without_tables_is_not_ready(empty: Database) -> None:
    """check says what is missing and which command brings it."""
    with pytest.raises(StoreError, match=r"schema missing.*webscout migrate"):
        await empty.check()


async def test_a_schema_of_another_version_is_not_ready(stores: Stores) -> None:
    """check names the version it found."""
    async with stores.database.write() as connection:
        await connection.execute(sa.text("UPDATE alembic_version SET version_num = '0000'"))
    with pytest.raises(StoreError, match="schema 0000"):
        await stores.database.check()


async def test_a_database_that_does_not_answer_is_one_line_without_secrets(
    backend: str, tmp_path: Path
) -> None:
    """Whatever the driver raises becomes a StoreError that can be shown."""
    address = {
        "sqlite": f"sqlite:///{tmp_path}",  # a folder, not a file
        "postgresql": f"postgresql://someone:hunter2@/webscout?host={tmp_path}/nothing",
    }[backend]
    async with Database.open(address) as database:
        for refused in (database.migrate, database.check):
            with pytest.raises(StoreError) as error:
                await refused()
            assert "\n" not in str(error.value)
            assert "hunter2" not in str(error.value)
    # aiosqlite's thread of a connection that failed still reports to the loop: not to a closed one.
    for thread in threading.enumerate():
        if "_connection_worker_thread" in thread.name:
            await asyncio.to_thread(thread.join)


def test_a_folder_that_cannot_be_made_is_said_at_once(tmp_path: Path) -> None:
    """SQLite's folder is made when the database is opened; a file in its place is an error."""
    (tmp_path / "var").write_text("a file")
    with pytest.raises(StoreError, match="DATABASE_URL"):
        Database.open(f"sqlite:///{tmp_path}/var/webscout.db")


@pytest.mark.parametrize("address", ["mysql://localhost/webscout", "webscout.db", ""])
def test_an_address_of_another_kind_is_refused(address: str) -> None:
    """The error says what is allowed."""
    with pytest.raises(InvalidValue, match="sqlite:///PATH or postgresql://"):
        async_url(address)


async def test_a_database_in_memory_needs_no_folder() -> None:
    """sqlite:// is a database too, as long as it is open."""
    async with Database.open("sqlite:///:memory:") as database:
        assert await database.migrate() is True


@pytest.mark.parametrize("backend", ["postgresql"])
async def test_no_transaction_needs_what_the_one_before_prepared(stores: Stores) -> None:
    """Behind a pooler each transaction may meet another server connection."""
    run_id = await a_run(stores)
    for _ in range(3):
        async with stores.database.write() as connection:
            await connection.execute(sa.text("DEALLOCATE ALL"))
        assert await stores.runs.get(run_id)


async def test_a_write_that_fails_leaves_nothing(stores: Stores) -> None:
    """A transaction is stored whole or not at all."""
    run_id = await a_run(stores)
    report = {"run_id": run_id, "name": "report", "body": "x"}

    async def write_and_fail() -> None:
        async with stores.database.write() as connection:
            await connection.execute(sa.insert(run_texts).values(report))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await write_and_fail()
    assert await stores.runs.text(run_id, "report") is None


@pytest.mark.parametrize("turns", [1, 2, 3, 5, 8, 13, 21])
async def test_a_cancelled_write_leaves_the_store_usable(stores: Stores, turns: int) -> None:
    """Wherever a caller is cancelled: stored whole or not at all, and the next write works."""
    run_id = await a_run(stores)
    await through(stores, run_id, EventType.RUN_STARTED)
    writing = asyncio.create_task(stores.runs.append(run_id, EventType.STEP_PROGRESS))
    for _ in range(turns):
        await asyncio.sleep(0)
    writing.cancel()
    await asyncio.gather(writing, return_exceptions=True)
    last = await stores.runs.append(run_id, EventType.RUN_COMPLETED)

    events = await stores.runs.events(run_id)
    assert [event.seq for event in events] == list(range(1, last.seq + 1))


# --- runs: the journal ----------------------------------------------------------------------------


async def test_a_new_run_is_queued(stores: Stores) -> None:
    """Its row, its first event and what was asked are there."""
    run_id = await a_run(stores)

    row = await stores.runs.get(run_id)
    assert row is not None
    assert (row.status, row.user_id, row.config) == (RunStatus.QUEUED, "nobody", "scout@1")
    assert (row.created_at, row.ended_at, row.error_type) == (NOON, None, None)
    assert [(e.seq, e.type, e.at) for e in await stores.runs.events(run_id)] == [
        (1, EventType.RUN_QUEUED, NOON)
    ]
    assert await stores.runs.request(run_id) == REQUEST


async def test_an_append_is_stored_with_the_status_it_leads_to(stores: Stores) -> None:
    """The event comes back as it is stored, numbered after the one before."""
    run_id = await a_run(stores)
    await through(stores, run_id, EventType.RUN_STARTED)
    data: dict[str, JsonValue] = {"step": "match", "kept": 3, "share": 0.5, "ok": True}
    data |= {"none": None, "of": ["a", "b"]}
    stores.clock.advance(1.0)
    event = await stores.runs.append(run_id, EventType.STEP_PROGRESS, data)

    assert (event.seq, event.at, event.data) == (3, NOON + timedelta(seconds=2), data)
    assert (await stores.runs.events(run_id))[-1] == event
    row = await stores.runs.get(run_id)
    assert row is not None
    assert row.status is RunStatus.RUNNING


@pytest.mark.parametrize(
    ("closing", "status"),
    [
        (EventType.RUN_COMPLETED, RunStatus.COMPLETED),
        (EventType.RUN_FAILED, RunStatus.FAILED),
        (EventType.RUN_CANCELLED, RunStatus.CANCELLED),
    ],
)
async def test_a_closing_event_closes_the_row(
    stores: Stores, closing: EventType, status: RunStatus
) -> None:
    """The row says when it ended, and why if it did not complete."""
    run_id = await a_run(stores)
    await through(stores, run_id, EventType.RUN_STARTED)
    error = None if closing is EventType.RUN_COMPLETED else "step-timeout"
    await stores.runs.append(run_id, closing, {"error": error} if error else None)

    row = await stores.runs.get(run_id)
    assert row is not None
    assert (row.status, row.error_type) == (status, error)
    assert row.ended_at == NOON + timedelta(seconds=1)


@pytest.mark.parametrize("event", [EventType.RUN_COMPLETED, EventType.STEP_STARTED])
async def test_an_event_that_cannot_happen_is_not_stored(stores: Stores, event: EventType) -> None:
    """The append raises, and row and events are as before."""
    run_id = await a_run(stores)
    before = await stores.runs.get(run_id), await stores.runs.events(run_id)
    with pytest.raises(IllegalTransition) as refused:
        await stores.runs.append(run_id, event)

    assert refused.value.status is RunStatus.QUEUED
    assert (await stores.runs.get(run_id), await stores.runs.events(run_id)) == before
    assert (await stores.runs.append(run_id, EventType.RUN_STARTED)).seq == 2


async def test_nothing_happens_to_a_run_that_is_not_there(stores: Stores) -> None:
    """No row, no events, no append."""
    with pytest.raises(IllegalTransition, match="not there"):
        await stores.runs.append("nothing", EventType.RUN_STARTED)

    assert await stores.runs.get("nothing") is None
    assert await stores.runs.events("nothing") == []
    assert await stores.runs.request("nothing") is None
    assert await stores.runs.message("nothing") is None


async def test_concurrent_appends_are_numbered_without_gaps(stores: Stores) -> None:
    """Whoever comes first, each gets a number of its own and none is left out."""
    run_id = await a_run(stores)
    await through(stores, run_id, EventType.RUN_STARTED)
    appended = await asyncio.gather(
        *(stores.runs.append(run_id, EventType.STEP_PROGRESS, {"n": n}) for n in range(20))
    )

    events = await stores.runs.events(run_id)
    assert [e.seq for e in events] == list(range(1, 23))
    assert sorted(appended, key=lambda e: e.seq) == events[2:]


async def test_of_two_closings_at_once_one_is_refused(stores: Stores) -> None:
    """Completed and cancelled at the same moment: the first one stands."""
    run_id = await a_run(stores)
    await through(stores, run_id, EventType.RUN_STARTED)
    ends = await asyncio.gather(
        stores.runs.append(run_id, EventType.RUN_COMPLETED),
        stores.runs.append(run_id, EventType.RUN_CANCELLED),
        return_exceptions=True,
    )

    assert sum(isinstance(end, IllegalTransition) for end in ends) == 1
    assert len(await stores.runs.events(run_id)) == 3


async def test_a_text_of_a_run_is_replaced(stores: Stores) -> None:
    """The newest report is the report, and another run's stays its own."""
    await a_run(stores)
    await a_run(stores, run_id="run-2")
    for run_id, body in (("run-1", "first"), ("run-2", "other"), ("run-1", "second")):
        await stores.runs.keep_text(run_id, "report", body)

    assert await stores.runs.text("run-1", "report") == "second"
    assert await stores.runs.text("run-2", "report") == "other"
    assert await stores.runs.text("run-1", "another") is None


# --- runs: who has which --------------------------------------------------------------------------


async def test_a_persons_open_run_is_found_until_it_ended(stores: Stores) -> None:
    """Queued, running and compensating are open; ended is not; another's never."""
    await a_run(stores, "ada")
    assert await stores.runs.open_run_of("ada") == "run-1"
    assert await stores.runs.open_run_of("bob") is None
    await through(stores, "run-1", EventType.RUN_STARTED)
    assert await stores.runs.open_run_of("ada") == "run-1"
    await through(stores, "run-1", EventType.RUN_COMPENSATING)
    assert await stores.runs.open_run_of("ada") == "run-1"
    await through(stores, "run-1", EventType.RUN_PARKED)
    assert await stores.runs.open_run_of("ada") is None


async def test_the_last_answered_run_is_the_newest_completed_one(stores: Stores) -> None:
    """A later run that failed, or another's, does not hide it."""
    for run_id, user_id, end in (
        ("run-1", "ada", EventType.RUN_COMPLETED),
        ("run-2", "ada", EventType.RUN_COMPLETED),
        ("run-3", "ada", EventType.RUN_FAILED),
        ("run-4", "bob", EventType.RUN_COMPLETED),
    ):
        await a_run(stores, user_id, run_id)
        await through(stores, run_id, EventType.RUN_STARTED, end)

    assert await stores.runs.last_answered_run_of("ada") == "run-2"
    assert await stores.runs.last_answered_run_of("eve") is None


async def test_unfinished_runs_are_those_of_the_channels_oldest_first(stores: Stores) -> None:
    """A restart takes up its own channel's runs, in the order they were asked for."""
    ada = (await stores.people.person("local", "1")).id
    bob = (await stores.people.person("telegram", "2")).id
    for run_id, user_id in (("run-9", ada), ("run-5", ada), ("run-7", bob), ("run-1", ada)):
        stores.clock.advance(1.0)
        await a_run(stores, user_id, run_id)
    await through(stores, "run-5", EventType.RUN_STARTED, EventType.RUN_COMPLETED)

    assert await stores.runs.unfinished(("local",)) == ["run-9", "run-1"]
    assert await stores.runs.unfinished(("local", "telegram")) == ["run-9", "run-7", "run-1"]
    assert await stores.runs.unfinished(()) == []


async def test_a_run_is_answered_once_in_its_message(stores: Stores) -> None:
    """An ended run is unanswered until its end stands in its message."""
    chat_id, message_id = 8_123_456_789, 5_000_000_000
    ada = (await stores.people.person("local", "1")).id
    await a_run(stores, ada, run_id="run-1", chat_id=chat_id)
    await a_run(stores, run_id="run-2")  # asked for on the command line: no message
    assert await stores.runs.message("run-1") == RunMessage(
        run_id="run-1", chat_id=chat_id, message_id=None
    )
    assert await stores.runs.message("run-2") is None

    await stores.runs.keep_message("run-1", message_id)
    assert await stores.runs.unanswered(("local", "telegram")) == []
    for run_id in ("run-1", "run-2"):
        await through(stores, run_id, EventType.RUN_STARTED, EventType.RUN_COMPLETED)
    assert await stores.runs.unanswered(("local", "telegram")) == ["run-1"]
    assert await stores.runs.unanswered(("telegram",)) == []
    await stores.runs.mark_answered("run-1")

    assert await stores.runs.unanswered(("local", "telegram")) == []
    assert await stores.runs.message("run-1") == RunMessage(
        run_id="run-1", chat_id=chat_id, message_id=message_id
    )


# --- people ---------------------------------------------------------------------------------------


async def test_a_person_is_known_by_the_channels_id(stores: Stores) -> None:
    """The same id on the same channel is the same person, on another channel another."""
    ada = await stores.people.person("telegram", "17")

    assert await stores.people.person("telegram", "17") == ada
    assert ada.expecting is None
    others = [await stores.people.person(*key) for key in (("local", "17"), ("telegram", "18"))]
    assert len({ada.id, *(other.id for other in others)}) == 3


async def test_a_person_who_writes_twice_at_once_is_one_person(stores: Stores) -> None:
    """First sight in ten places at the same moment makes one person known."""
    found = await asyncio.gather(*(stores.people.person("telegram", "17") for _ in range(10)))

    assert len({person.id for person in found}) == 1


async def test_the_question_that_a_text_answers_is_remembered(stores: Stores) -> None:
    """Until it is answered, and only for the person who was asked."""
    ada = await stores.people.person("local", "1")
    await stores.people.person("local", "2")
    await stores.people.expect(ada.id, "skills")
    assert (await stores.people.person("local", "1")).expecting == "skills"
    assert (await stores.people.person("local", "2")).expecting is None
    await stores.people.expect(ada.id, None)
    assert (await stores.people.person("local", "1")).expecting is None


async def test_a_profile_comes_back_as_it_was_kept(stores: Stores) -> None:
    """Every field, whatever characters it holds; a second one replaces the first."""
    ada = (await stores.people.person("local", "1")).id
    assert await stores.people.profile(ada) == Profile()
    await stores.people.keep_profile(ada, PROFILE)
    assert await stores.people.profile(ada) == PROFILE
    await stores.people.keep_profile(ada, Profile(about="new"))
    assert await stores.people.profile(ada) == Profile(about="new")


async def test_people_are_closed_to_each_other(stores: Stores) -> None:
    """What one keeps, saves and dismisses is not there for the other."""
    ada = (await stores.people.person("local", "1")).id
    bob = (await stores.people.person("local", "2")).id
    await stores.postings.keep([opportunity(id="p-1")])
    await stores.people.keep_profile(ada, PROFILE)
    await stores.people.save(ada, "p-1")
    await stores.people.dismiss(ada, "p-2")

    assert await stores.people.profile(bob) == Profile()
    assert await stores.people.saved(bob) == []
    assert await stores.people.dismissed(bob) == frozenset()
    assert await stores.people.unsave(bob, "p-1") is False
    assert len(await stores.people.saved(ada)) == 1
    assert await stores.people.save(bob, "p-1") is True


async def test_saving_twice_keeps_once(stores: Stores) -> None:
    """The second save says that it was kept already, and so does a second unsave."""
    ada = (await stores.people.person("local", "1")).id
    found = opportunity(id="p-1", deadline=NOON + timedelta(days=9))
    await stores.postings.keep([found])

    assert [await stores.people.save(ada, "p-1") for _ in range(2)] == [True, False]
    assert await stores.people.saved(ada) == [
        SavedItem(
            opportunity_id="p-1",
            title=found.title,
            organisation=found.organisation,
            url=found.url,
            deadline=found.deadline,
            source=found.source,
            saved_at=NOON,
        )
    ]
    assert [await stores.people.unsave(ada, "p-1") for _ in range(2)] == [True, False]
    assert await stores.people.saved(ada) == []


async def test_saving_twice_at_once_keeps_once(stores: Stores) -> None:
    """A double tap is two saves at the same moment: one of them is the first."""
    ada = (await stores.people.person("local", "1")).id
    await stores.postings.keep([opportunity(id="p-1")])
    kept = await asyncio.gather(*(stores.people.save(ada, "p-1") for _ in range(6)))

    assert sorted(kept) == [False] * 5 + [True]
    assert len(await stores.people.saved(ada)) == 1


async def test_saved_postings_are_newest_first(stores: Stores) -> None:
    """In the order of saving, the last one on top."""
    ada = (await stores.people.person("local", "1")).id
    await stores.postings.keep([opportunity(id=f"p-{n}") for n in (1, 2, 3)])
    for posting_id in ("p-2", "p-3", "p-1"):
        stores.clock.advance(1.0)
        await stores.people.save(ada, posting_id)

    assert [i.opportunity_id for i in await stores.people.saved(ada)] == ["p-1", "p-3", "p-2"]


async def test_dismissing_twice_dismisses_once(stores: Stores) -> None:
    """The second time says that it was so already."""
    ada = (await stores.people.person("local", "1")).id

    assert [await stores.people.dismiss(ada, "p-1") for _ in range(2)] == [True, False]
    assert await stores.people.dismissed(ada) == frozenset({"p-1"})


# --- postings and outcomes ------------------------------------------------------------------------


async def test_a_posting_comes_back_as_it_was_kept(stores: Stores) -> None:
    """Every field; a newer copy replaces it."""
    found = opportunity(
        id="p-1",
        title="Entwickler:in — “Zürich”",
        pay=Pay(min=50_000.0, max=60_000.5, currency="CHF", period=Period.YEAR, text="50–60k"),
        deadline=NOON + timedelta(days=3, microseconds=7),
        deadline_text="soon",
        active=True,
        remote=False,
        description="x" * 5_000,
    )
    twin = Listing(source="other", source_id=None, url=None, title="t")
    await stores.postings.keep([replace(found, also_at=(twin,))])
    assert await stores.postings.get("p-1") == found  # duplicates are a run's finding
    newer = opportunity(id="p-1", title="Newer")
    await stores.postings.keep([newer, opportunity(id="p-2")])
    assert await stores.postings.get("p-1") == newer
    assert await stores.postings.get("p-3") is None


@pytest.mark.parametrize("count", [0, 250, 601])
async def test_postings_are_kept_in_any_number(stores: Stores, count: int) -> None:
    """Fewer than a batch, exactly one, and several."""
    await stores.postings.keep(opportunity(id=f"p-{n}") for n in range(count))

    for n in range(0, count, 100):
        assert await stores.postings.get(f"p-{n}") is not None
    assert await stores.postings.get(f"p-{count}") is None


async def with_matches(stores: Stores, run_id: str = "run-1") -> Sequence[Match]:
    """A run with two matches."""
    found = [opportunity(id="p-1"), opportunity(id="p-2")]
    await stores.postings.keep(found)
    await a_run(stores, run_id=run_id)
    kept = [match_of(found[1], 1), match_of(found[0], 2, score=0.0, cautions=())]
    await stores.outcomes.keep_matches(run_id, kept)
    return kept


async def test_matches_come_back_best_first(stores: Stores) -> None:
    """As they were kept, with their postings, by rank."""
    kept = await with_matches(stores)
    await stores.outcomes.keep_matches("run-1", list(reversed(kept)))

    assert await stores.outcomes.matches("run-1") == kept
    assert await stores.outcomes.matches("run-2") == []


async def test_matching_again_replaces_the_matches(stores: Stores) -> None:
    """A step that is done again leaves only its newest result, and other runs alone."""
    first = await with_matches(stores)
    await a_run(stores, run_id="run-2")
    await stores.outcomes.keep_matches("run-2", first)
    again = [match_of(first[1].opportunity, 1, score=12.0)]
    await stores.outcomes.keep_matches("run-1", again)

    assert await stores.outcomes.matches("run-1") == again
    assert await stores.outcomes.matches("run-2") == first
    await stores.outcomes.keep_matches("run-1", [])
    assert await stores.outcomes.matches("run-1") == []


async def test_unscoring_empties_the_scores_and_keeps_the_postings(stores: Stores) -> None:
    """Scores, reasons and cautions become SQL's NULL; rows and postings stay; twice is once."""
    await with_matches(stores)

    assert [await stores.outcomes.unscore("run-1") for _ in range(2)] == [2, 0]
    assert await stores.outcomes.matches("run-1") == []
    empty = (
        matches.c.score.is_(sa.null())
        & matches.c.reasons.is_(sa.null())
        & matches.c.cautions.is_(sa.null())
    )
    async with stores.database.read() as connection:
        rows = sa.select(sa.func.count()).select_from(matches)
        assert (await connection.execute(rows)).scalar() == 2
        assert (await connection.execute(rows.where(empty))).scalar() == 2
    assert await stores.postings.get("p-1") is not None
    assert await stores.postings.get("p-2") is not None


async def test_unscoring_one_run_leaves_the_others(stores: Stores) -> None:
    """An undo touches its own run only."""
    kept = await with_matches(stores)
    await a_run(stores, run_id="run-2")
    await stores.outcomes.keep_matches("run-2", kept)
    await stores.outcomes.unscore("run-1")

    assert await stores.outcomes.matches("run-2") == kept


async def test_discarding_drafts_deletes_those_of_the_run(stores: Stores) -> None:
    """It says how many there were; another run's stay."""
    kept = await with_matches(stores)
    await a_run(stores, run_id="run-2")
    written = [draft_of(match.opportunity) for match in kept]
    await stores.outcomes.keep_drafts("run-1", written)
    await stores.outcomes.keep_drafts("run-2", written[:1])

    assert [await stores.outcomes.discard_drafts("run-1") for _ in range(2)] == [2, 0]
    assert await stores.outcomes.drafts("run-1") == []
    assert await stores.outcomes.drafts("run-2") == written[:1]


async def test_drafting_again_replaces_the_draft_of_a_posting(stores: Stores) -> None:
    """One draft a posting: the newest; no drafts are no change."""
    one, two = (match.opportunity for match in await with_matches(stores))
    await stores.outcomes.keep_drafts("run-1", [draft_of(one, "first")])
    stores.clock.advance(1.0)
    await stores.outcomes.keep_drafts("run-1", [draft_of(two, "other")])
    stores.clock.advance(1.0)
    await stores.outcomes.keep_drafts("run-1", [draft_of(one, "second")])
    await stores.outcomes.keep_drafts("run-1", [])

    assert await stores.outcomes.drafts("run-1") == [
        draft_of(two, "other"),
        draft_of(one, "second"),
    ]


async def test_drafts_written_in_the_same_instant_keep_their_order(stores: Stores) -> None:
    """The best match's draft comes first, though all of a run are written at once."""
    found = [opportunity(id=f"p-{n}") for n in (3, 1, 2)]
    await stores.postings.keep(found)
    await a_run(stores)
    written = [draft_of(one) for one in found]
    await stores.outcomes.keep_drafts("run-1", written)

    assert await stores.outcomes.drafts("run-1") == written


async def test_a_draft_comes_back_in_any_characters(stores: Stores) -> None:
    """Whatever a profile may hold, the draft written from it may hold."""
    (one, _) = (match.opportunity for match in await with_matches(stores))
    await stores.outcomes.keep_drafts("run-1", [draft_of(one, PROFILE.about)])

    assert (await stores.outcomes.drafts("run-1"))[0].text == PROFILE.about


async def test_an_outcome_of_an_unknown_posting_is_refused(stores: Stores) -> None:
    """A match without its posting would be lost when it is read: it can't be kept."""
    await a_run(stores)
    with pytest.raises(StoreError):
        await stores.outcomes.keep_matches("run-1", [match_of(opportunity(id="unknown"))])


# --- instants -------------------------------------------------------------------------------------


async def test_instants_keep_their_zone(stores: Stores) -> None:
    """An instant of any zone comes back as the same instant, in UTC, to the microsecond."""
    india = datetime(2026, 3, 29, 2, 30, 0, 123456, timezone(timedelta(hours=5, minutes=30)))
    runs = RunStore(stores.database, lambda: india)
    people = PeopleStore(stores.database, lambda: india)
    await runs.create("run-1", "ada", REQUEST, None)
    ada = (await people.person("local", "1")).id
    await stores.postings.keep([opportunity(id="p-1")])
    await people.save(ada, "p-1")

    row = await runs.get("run-1")
    assert row is not None
    for kept in (
        row.created_at,
        (await runs.events("run-1"))[0].at,
        (await people.saved(ada))[0].saved_at,
    ):
        assert kept == india
        assert kept.tzinfo is UTC


async def test_an_instant_without_a_zone_is_refused(stores: Stores) -> None:
    """A naive instant could mean anything."""
    naive = RunStore(stores.database, lambda: NOON.replace(tzinfo=None))
    with pytest.raises(StoreError, match="without a zone"):
        await naive.create("run-1", "ada", REQUEST, None)


async def test_an_instant_that_is_missing_stays_missing(stores: Stores) -> None:
    """A posting without a deadline has none in the table either."""
    await stores.postings.keep([opportunity(id="p-1", deadline=None)])
    async with stores.database.read() as connection:
        row = (await connection.execute(sa.text("SELECT deadline FROM opportunities"))).one()
    assert row.deadline is None


# --- export and forget ----------------------------------------------------------------------------


async def a_life(stores: Stores, external_id: str, mark: str) -> str:
    """A person with something of everything, each text bearing `mark`; returns their id."""
    user_id = (await stores.people.person("local", external_id)).id
    profile = Profile(skills=(f"skill-{mark}",), about=f"about-{mark} " + "of myself " * 350)
    await stores.people.keep_profile(user_id, replace(profile, about=f"replaced-{mark} " * 200))
    await stores.people.keep_profile(user_id, profile)
    await stores.people.expect(user_id, f"question-{mark}")
    found = [opportunity(id=f"p-{n}-of-{external_id}") for n in (1, 2)]
    await stores.postings.keep(found)
    await stores.people.save(user_id, found[0].id)
    await stores.people.dismiss(user_id, found[1].id)
    run_id = f"run-of-{external_id}"
    request = ScoutRequest(query=f"query-{mark}", profile=profile)
    await stores.runs.create(run_id, user_id, request, 17)
    await through(stores, run_id, EventType.RUN_STARTED)
    match = match_of(found[0], reasons=(f"reason-{mark}",), cautions=(f"caution-{mark}",))
    await stores.outcomes.keep_matches(run_id, [match])
    text = f"draft-{mark} " + "Dear all, " * 550
    await stores.outcomes.keep_drafts(run_id, [draft_of(found[0], text)])
    await stores.runs.keep_text(run_id, "report", f"report-{mark}")
    await through(stores, run_id, EventType.RUN_COMPLETED)
    return user_id


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
    row, events = await stores.runs.get("run-of-ada"), await stores.runs.events("run-of-ada")
    await stores.people.forget(ada)

    assert row is not None
    assert await stores.runs.get("run-of-ada") == row
    assert await stores.runs.events("run-of-ada") == events
    assert await stores.postings.get("p-1-of-ada") is not None
    assert await stores.runs.request("run-of-ada") is None


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
    await stores.people.forget(ada)

    assert await stores.runs.unfinished(("local",)) == []


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
    before = _bytes_in(folder)
    assert [word for word in words if word.encode() not in before] == []
    await stores.people.forget(ada)

    after = _bytes_in(folder)
    assert b"ofada" not in after
    assert b"about-ofbob" in after


@pytest.mark.parametrize("backend", ["sqlite"])
async def test_a_cleared_chat_is_in_no_file(stores: Stores, address: str) -> None:
    """Messages, updates and documents are overwritten too."""
    folder = Path(address.removeprefix("sqlite:///")).parent
    await stores.chat_log.add(1, lambda number: f"secret message {number}")
    await stores.chat_log.add_update(lambda number: f"secret update {number}")
    await stores.chat_log.keep_file("f-1", "cv.txt", b"secret document" * 1_000)
    assert b"secret" in _bytes_in(folder)
    await stores.chat_log.clear()
    await stores.database.leave_no_trace()

    assert b"secret" not in _bytes_in(folder)


def _bytes_in(folder: Path) -> bytes:
    return b"".join(file.read_bytes() for file in sorted(folder.iterdir()))


# --- the local chat's log -------------------------------------------------------------------------


async def test_messages_are_numbered_and_revised(stores: Stores) -> None:
    """A message gets the next number, and every change to any message a higher revision."""
    chat = stores.chat_log
    first = await chat.add(1, lambda number: f"message {number}")
    second = await chat.add(1, lambda number: f"message {number}")
    assert await chat.replace(1, first.message_id, "edited")
    (edited,) = await chat.since(1, second.revision, 10)

    assert (first.message_id, first.body) == (1, "message 1")
    assert (second.message_id, second.body) == (2, "message 2")
    assert first.revision < second.revision < edited.revision
    assert await chat.get(1, 1) == "edited"
    assert await chat.get(2, 1) is None
    assert not await chat.replace(2, 1, "never there")
    assert await chat.since(1, 0, 10) == [second, edited]
    assert await chat.since(1, second.revision, 10) == [edited]
    assert await chat.since(1, 0, 1) == [edited]
    assert await chat.since(2, 0, 10) == []


async def test_messages_at_once_get_numbers_of_their_own(stores: Stores) -> None:
    """However many are written at the same moment, also the very first ones."""
    added = await asyncio.gather(*(stores.chat_log.add(1, str) for _ in range(8)))

    assert sorted(message.message_id for message in added) == list(range(1, 9))
    assert len({message.revision for message in added}) == 8
    assert all(message.body == str(message.message_id) for message in added)


async def test_updates_wait_until_they_are_confirmed(stores: Stores) -> None:
    """Asking from an offset on confirms those before it, as Telegram does."""
    chat = stores.chat_log
    numbers = [await chat.add_update(lambda number: f"update {number}") for _ in range(3)]

    assert numbers == [1, 2, 3]
    assert await chat.updates(0, 2) == ["update 1", "update 2"]
    assert await chat.updates(2, 10) == ["update 2", "update 3"]
    assert await chat.updates(0, 10) == ["update 2", "update 3"]
    assert await chat.updates(4, 10) == []


async def test_a_document_comes_back_byte_by_byte(stores: Stores) -> None:
    """With its name; another id has none."""
    content = bytes(range(256)) * 40
    await stores.chat_log.keep_file("f-1", "cv — Ada.pdf", content)

    assert await stores.chat_log.file("f-1") == ("cv — Ada.pdf", content)
    assert await stores.chat_log.file("f-2") is None


async def test_numbers_go_on_after_the_chat_was_cleared(stores: Stores) -> None:
    """Everything is gone, and no number is given a second time."""
    chat = stores.chat_log
    before = [await chat.add(1, str) for _ in range(3)][-1]
    update = await chat.add_update(str)
    await chat.keep_file("f-1", "cv.txt", b"x")
    await chat.clear()

    assert await chat.since(1, 0, 10) == []
    assert await chat.updates(0, 10) == []
    assert await chat.file("f-1") is None
    after = await chat.add(1, str)
    assert after.message_id == before.message_id + 1
    assert after.revision == before.revision + 1
    assert await chat.add_update(str) == update + 1


async def test_what_was_kept_is_there_after_a_restart(stores: Stores, address: str) -> None:
    """Another process over the same database finds it all."""
    ada = await a_life(stores, "ada", "ofada")
    async with Database.open(address) as database:
        assert await database.migrate() is False
        again = Stores.over(database, stores.clock)
        assert (await again.people.person("local", "ada")).id == ada
        assert await again.people.export(ada) == await stores.people.export(ada)
        assert await again.runs.events("run-of-ada") == await stores.runs.events("run-of-ada")
