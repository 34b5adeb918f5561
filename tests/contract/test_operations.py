"""The operators' ledger, the alerts they know of, and all runs at a glance, on every database."""

from dataclasses import replace
from datetime import timedelta

import pytest

from agents.store.errors import StoreError
from agents.store.operations import ABANDONED, ActionStore, AlertStore
from agents.store.overview import OverviewStore, Which
from agents.store.owner import Owner
from agents.store.runs import Place
from resilience.alerts import Alert, AlertId, Digest, Severity
from resilience.saga import EventType, JsonValue, RunStatus
from tests.contract.conftest import Stores
from tests.contract.given import a_run, through
from tests.fakes.clock import NOON

HERE, THERE = "here:1:a", "there:2:b"


def alert(rule: str = "breaker-open", subject: str = "apify") -> Alert:
    """An alert that fires."""
    return Alert(
        id=AlertId(rule, subject),
        severity=Severity.WARNING,
        words=f"{subject} is left alone",
        since=NOON,
        fired_at=NOON + timedelta(seconds=30),
    )


def alerts(stores: Stores, name: str = HERE) -> AlertStore:
    """The store of a process."""
    return AlertStore(stores.database, stores.clock.now, Owner(name))


# --- what operators did -------------------------------------------------------------------------


async def test_actions_are_journaled_before_and_after(stores: Stores) -> None:
    """Who, when, what, and what came of it; the newest first, people by their channel."""
    actions = ActionStore(stores.database, stores.clock.now)
    person = await stores.people.person("telegram", "7")
    first = await actions.begin(person.id, "pause", "agent:matching")
    stores.clock.advance(5)
    await actions.begin("dashboard", "open", "breaker:apify")
    await actions.end(first, "matching is paused" * 50)
    newest, oldest = await actions.newest(5)
    assert (newest.who, newest.action, newest.subject, newest.outcome) == (
        "dashboard",
        "open",
        "breaker:apify",
        None,
    )
    assert newest.at == NOON + timedelta(seconds=5)
    assert oldest.who == "telegram:7"
    assert oldest.outcome is not None
    assert oldest.outcome.startswith("matching is paused")
    assert len(await actions.newest(1)) == 1


async def test_who_is_forgotten_is_a_random_id(stores: Stores) -> None:
    """The journal stays, and says no more who it was."""
    actions = ActionStore(stores.database, stores.clock.now)
    person = await stores.people.person("telegram", "7")
    await actions.begin(person.id, "pause", "agent:matching")
    await stores.people.forget(person.id)
    assert [action.who for action in await actions.newest(5)] == [person.id]


async def test_the_last_action_on_a_subject_stands(stores: Stores) -> None:
    """Only of those that are asked for."""
    actions = ActionStore(stores.database, stores.clock.now)
    for action, subject in (
        ("pause", "agent:matching"),
        ("pause", "agent:triage"),
        ("resume", "agent:matching"),
        ("retry", "agent:matching"),
    ):
        await actions.begin("dashboard", action, subject)
    assert await actions.standing(("pause", "resume")) == {
        "agent:matching": "resume",
        "agent:triage": "pause",
    }


# --- alerts -------------------------------------------------------------------------------------


async def test_one_process_tells_of_an_alert(stores: Stores) -> None:
    """The first that wants to; it also repeats it and tells its end."""
    here, there = alerts(stores), alerts(stores, THERE)
    told = Digest(new=(alert(),))
    assert await here.own(told) == told
    assert await there.own(told) == Digest()
    await here.told(told)
    again = Digest(again=(alert(),), over=(alert(subject="never told"),))
    assert await here.own(again) == Digest(again=(alert(),))
    assert not await there.own(again)
    over = Digest(over=(alert(),))
    assert not await there.own(over)
    assert await here.own(over) == over
    await here.told(over)
    assert await there.own(told) == told  # a new incident, whoever is first


async def test_what_a_process_that_is_gone_told_is_taken_over(stores: Stores) -> None:
    """With when it was told; a process that is there keeps its own."""
    here, there = alerts(stores), alerts(stores, THERE)
    told, untold = alert(), alert("run-parked", "ab12/7")
    await here.own(Digest(new=(told, untold)))
    stores.clock.advance(10)
    await here.told(Digest(new=(told,)))
    assert await here.take_over() == []
    stores.clock.advance(ABANDONED.total_seconds())
    assert await there.take_over() == []
    stores.clock.advance(1)
    taken = await there.take_over()
    told_at = NOON + timedelta(seconds=10)
    assert sorted(taken, key=lambda a: a.id) == [replace(told, told_at=told_at), untold]
    assert await there.own(Digest(over=(told,)))
    assert not await here.own(Digest(over=(told,)))


async def test_a_process_of_this_machine_that_ended_is_gone_at_once(stores: Stores) -> None:
    """Its number is nobody's."""
    host = Owner().name.rsplit(":", 2)[0]
    dead = alerts(stores, f"{host}:{2**22 + 1}:x")
    await dead.own(Digest(new=(alert(),)))
    mine = AlertStore(stores.database, stores.clock.now, Owner())
    assert [a.id for a in await mine.take_over()] == [alert().id]


# --- all runs at a glance -----------------------------------------------------------------------


@pytest.fixture
def overview(stores: Stores) -> OverviewStore:
    """The store."""
    return OverviewStore(stores.database, stores.clock.now)


async def test_runs_are_counted_by_where_they_stand(
    stores: Stores, overview: OverviewStore
) -> None:
    """Those that have not ended, the parked with whether they were told, the tokens of today."""
    for number in range(3):
        stores.clock.advance(1)
        await a_run(stores, run_id=f"queued-{number}")
    await a_run(stores, run_id="ask-1", kind="ask")
    for run_id in ("running", "parked", "done"):
        await a_run(stores, run_id=run_id)
        await through(stores, run_id, EventType.RUN_STARTED)
    await through(stores, "parked", EventType.RUN_COMPENSATING, EventType.RUN_PARKED)
    await through(stores, "done", EventType.RUN_COMPLETED)
    seen = await overview.look()
    assert seen.queued("scout") == 3
    assert seen.queued("ask") == 1
    assert seen.of(RunStatus.QUEUED) == 4
    assert seen.of(RunStatus.RUNNING, RunStatus.PARKED) == 2
    assert seen.waiting_since == {
        "scout": NOON + timedelta(seconds=1),
        "ask": NOON + timedelta(seconds=3),
    }
    (parked,) = seen.parked
    assert (parked.run_id, parked.seq, parked.told) == ("parked", 4, False)
    await stores.runs.told_parked("parked", parked.seq)
    assert (await overview.look()).parked[0].told


async def test_tokens_are_counted_whoever_used_them(
    stores: Stores, overview: OverviewStore
) -> None:
    """A team's and people's own, since midnight UTC; what is only intended is not."""
    for team in (None, "blue"):
        run_id = await a_run(stores, run_id=f"run-{team}", team=team)
        await through(stores, run_id, EventType.RUN_STARTED)
        for settled in (False, True):
            data: dict[str, JsonValue] = {
                "step": "match",
                "effect": "llm",
                "tokens": 1_000,
                "settled": settled,
            }
            await stores.ledger.append(run_id, EventType.STEP_PROGRESS, data)
    assert (await overview.look()).tokens_today == 2_000
    stores.clock.advance(12 * 3_600)  # noon to midnight
    assert (await overview.look()).tokens_today == 0


async def test_runs_are_listed_across_people(stores: Stores, overview: OverviewStore) -> None:
    """Newest first, by status and kind, page by page."""
    for number in range(5):
        stores.clock.advance(1)
        kind = "ask" if number % 2 else "scout"
        await a_run(stores, run_id=f"run-{number}", kind=kind, team="blue" if number else None)
    await through(stores, "run-4", EventType.RUN_STARTED)

    async def listed(which: Which, before: Place | None = None, limit: int = 10) -> list[str]:
        return [run.id for run in await overview.runs(which, before, limit)]

    assert await listed(Which()) == [f"run-{n}" for n in (4, 3, 2, 1, 0)]
    assert await listed(Which(kind="ask")) == ["run-3", "run-1"]
    assert await listed(Which(status=RunStatus.RUNNING)) == ["run-4"]
    first = await overview.runs(Which(), None, 2)
    place = Place(first[-1].created_at, first[-1].id)
    assert await listed(Which(), place, 2) == ["run-2", "run-1"]


async def test_what_happened_lately_is_read_in_order(
    stores: Stores, overview: OverviewStore
) -> None:
    """Across runs, and nothing older."""
    await a_run(stores, run_id="old")
    stores.clock.advance(3_600)
    for run_id in ("a", "b"):
        await a_run(stores, run_id=run_id)
    await through(stores, "b", EventType.RUN_STARTED)
    await through(stores, "a", EventType.RUN_STARTED)
    events = await overview.lately(timedelta(minutes=15))
    assert [(event.run_id, event.type) for event in events] == [
        ("a", EventType.RUN_QUEUED),
        ("b", EventType.RUN_QUEUED),
        ("b", EventType.RUN_STARTED),
        ("a", EventType.RUN_STARTED),
    ]


async def test_a_probe_writes(stores: Stores, overview: OverviewStore) -> None:
    """Again and again, into one row; a database that is gone is an error."""
    await overview.probe()
    await overview.probe()
    async with stores.database.write() as connection:
        await connection.run_sync(lambda c: c.exec_driver_sql("DROP TABLE probes"))
    with pytest.raises(StoreError):
        await overview.probe()
