"""Runs and what belongs to them, the same on SQLite and on PostgreSQL."""

from typing import Any

from agents.store.runs import Place, RunMessage
from resilience.saga import EventType, RunStatus
from tests.contract.conftest import Stores
from tests.contract.given import a_run, through


async def test_a_text_of_a_run_is_replaced(stores: Stores) -> None:
    """The newest report is the report, and another run's stays its own."""
    await a_run(stores)
    await a_run(stores, run_id="run-2")
    for run_id, body in (("run-1", "first"), ("run-2", "other"), ("run-1", "second")):
        await stores.runs.keep_text(run_id, "report", body)

    assert await stores.runs.text("run-1", "report") == "second"
    assert await stores.runs.text("run-2", "report") == "other"
    assert await stores.runs.text("run-1", "another") is None


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


# --- a team's runs --------------------------------------------------------------------------------


async def of_team(stores: Stores, team: str, **how: Any) -> list[str]:
    """The ids of a page of the team's runs."""
    asked: dict[str, Any] = {"status": None, "before": None, "limit": 100}
    return [row.id for row in await stores.runs.of_team(team, **(asked | how))]


async def test_a_run_says_whose_it_is(stores: Stores) -> None:
    """Its kind, team and configuration come back as they were given."""
    await a_run(stores, "ada", kind="ask", config="ask@1", team="team-a")
    row = await stores.runs.get("run-1")
    assert row is not None
    assert (row.kind, row.user_id, row.team) == ("ask", "ada", "team-a")
    assert (row.config, row.last_seq) == ("ask@1", 1)
    assert await stores.runs.of_team("team-a", status=None, before=None, limit=1) == [row]


async def test_a_teams_runs_are_paged_newest_first(stores: Stores) -> None:
    """Each page goes on after the last one; runs of the same instant too, none twice or left out;
    what comes meanwhile is on no later page."""
    for number in range(9):
        await a_run(stores, run_id=f"run-{number}", team="team-a")
        if number % 3 == 2:
            stores.clock.advance(0.000001)
    everything = [f"run-{number}" for number in (8, 7, 6, 5, 4, 3, 2, 1, 0)]
    assert await of_team(stores, "team-a") == everything
    read: list[str] = []
    before: Place | None = None
    while page := await stores.runs.of_team("team-a", status=None, before=before, limit=4):
        read += [row.id for row in page]
        before = Place(page[-1].created_at, page[-1].id)
        await a_run(stores, run_id=f"run-9{len(read)}", team="team-a")

    assert read == everything


async def test_another_teams_runs_are_never_listed(stores: Stores) -> None:
    """Nor those of people, on whatever page."""
    for run_id, team in (("a-1", "team-a"), ("b-1", "team-b"), ("p-1", None), ("a-2", "team-a")):
        stores.clock.advance(1.0)
        await a_run(stores, run_id=run_id, team=team)

    assert await of_team(stores, "team-a") == ["a-2", "a-1"]
    assert await of_team(stores, "team-b") == ["b-1"]
    assert await of_team(stores, "team-c") == []
    assert await of_team(stores, "") == []
    place = Place(stores.clock.now(), "p-1")
    assert await of_team(stores, "team-b", before=place) == ["b-1"]


async def test_a_teams_runs_are_listed_by_status(stores: Stores) -> None:
    """Of a status, paged too."""
    for number in range(6):
        stores.clock.advance(1.0)
        await a_run(stores, run_id=f"run-{number}", team="team-a")
        if number % 2:
            await through(stores, f"run-{number}", EventType.RUN_STARTED)

    assert await of_team(stores, "team-a", status=RunStatus.RUNNING) == ["run-5", "run-3", "run-1"]
    assert await of_team(stores, "team-a", status=RunStatus.QUEUED, limit=1) == ["run-4"]
    assert await of_team(stores, "team-a", status=RunStatus.PARKED) == []
    row = await stores.runs.get("run-4")
    assert row is not None
    place = Place(row.created_at, row.id)
    assert await of_team(stores, "team-a", status=RunStatus.QUEUED, before=place) == [
        "run-2",
        "run-0",
    ]


async def test_operators_see_the_newest_runs_of_everybody(stores: Stores) -> None:
    """As many as they ask for."""
    for number, team in enumerate(("team-a", None, "team-b")):
        stores.clock.advance(1.0)
        await a_run(stores, run_id=f"run-{number}", team=team)

    assert [row.id for row in await stores.runs.newest(2)] == ["run-2", "run-1"]


async def test_a_parking_is_told_once(stores: Stores) -> None:
    """And the next parking of the same run once more."""
    for run_id in ("run-9", "run-1"):
        stores.clock.advance(1.0)
        await a_run(stores, run_id=run_id)
        await through(stores, run_id, EventType.RUN_STARTED, EventType.RUN_COMPENSATING)
    assert await stores.runs.parked_untold() == []
    for run_id in ("run-1", "run-9"):
        await through(stores, run_id, EventType.RUN_PARKED)
    untold = await stores.runs.parked_untold()
    assert [(row.id, row.status) for row in untold] == [
        ("run-9", RunStatus.PARKED),
        ("run-1", RunStatus.PARKED),
    ]
    await stores.runs.told_parked("run-9", untold[0].last_seq)
    assert [row.id for row in await stores.runs.parked_untold()] == ["run-1"]
    await stores.runs.told_parked("run-1", untold[1].last_seq)
    assert await stores.runs.parked_untold() == []

    await through(stores, "run-9", EventType.RUN_COMPENSATING)
    assert await stores.runs.parked_untold() == []  # under way
    await through(stores, "run-9", EventType.RUN_PARKED)
    (again,) = await stores.runs.parked_untold()
    assert (again.id, again.last_seq) == ("run-9", untold[0].last_seq + 2)
    await stores.runs.told_parked("run-9", again.last_seq)
    assert await stores.runs.parked_untold() == []
