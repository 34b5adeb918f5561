"""Whose request becomes a run: keys, people and the queue, on SQLite and on PostgreSQL."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta

import pytest
import sqlalchemy as sa

from agents.store.admission import (
    KEYS_KEPT,
    AlreadyOpen,
    IdempotencyKey,
    KeyTaken,
    NotAdmitted,
    QueueFull,
    Quotas,
    TeamOver,
)
from agents.store.database import Database
from agents.store.runs import NewRun
from agents.store.schema import idempotency_keys, runs
from resilience.saga import EventType
from tests.contract.conftest import Stores
from tests.contract.given import MANY, a_run, new_run, through

KEY = IdempotencyKey(team="team-a", key="key-hash", body="body-hash")
OTHER_BODY = IdempotencyKey(team="team-a", key="key-hash", body="other-hash")


def with_key(run_id: str, key: IdempotencyKey = KEY) -> NewRun:
    """A team's run with an idempotency key."""
    return new_run(run_id, f"api-{key.team}", team=key.team, key=key)


async def all_at_once(
    stores: Stores, wanted: Sequence[NewRun], quotas: Quotas = MANY
) -> list[NotAdmitted | None]:
    """What became of each, of requests that come at the same moment."""

    async def ask(new: NewRun) -> NotAdmitted | None:
        try:
            await stores.runs.create(new, quotas)
        except NotAdmitted as refused:
            return refused
        return None

    return await asyncio.gather(*map(ask, wanted))


async def run_ids(stores: Stores) -> list[str]:
    """Every run there is."""
    return sorted(row.id for row in await stores.runs.newest(10_000))


# --- keys -----------------------------------------------------------------------------------------


async def test_a_key_stands_for_one_run(stores: Stores) -> None:
    """The same request again is told which run it is; nothing more is stored."""
    await stores.runs.create(with_key("run-1"), MANY)
    with pytest.raises(KeyTaken) as taken:
        await stores.runs.create(with_key("run-2"), MANY)
    assert (taken.value.run_id, taken.value.same) == ("run-1", True)
    assert await run_ids(stores) == ["run-1"]
    assert await stores.ledger.events("run-2") == []
    assert await stores.runs.text("run-2", "request") is None


async def test_a_key_with_another_request_is_refused_by_name(stores: Stores) -> None:
    """Also when it comes a second time; the first request is still the key's."""
    await stores.runs.create(with_key("run-1"), MANY)
    for _ in range(2):
        with pytest.raises(KeyTaken) as taken:
            await stores.runs.create(with_key("run-2", OTHER_BODY), MANY)
        assert (taken.value.run_id, taken.value.same) == ("run-1", False)
    assert await run_ids(stores) == ["run-1"]


async def test_a_hundred_requests_with_a_key_at_once_are_one_run(
    stores: Stores, address: str
) -> None:
    """Of two processes, too: one is stored, the others are told which."""
    async with Database.open(address) as database:
        processes = (stores, Stores.over(database, stores.clock))
        wanted = [with_key(f"run-{n:02}") for n in range(100)]
        answers = await asyncio.gather(
            *(all_at_once(process, wanted[n::2]) for n, process in enumerate(processes))
        )
    refused = [answer for half in answers for answer in half if answer is not None]
    (first,) = await run_ids(stores)

    assert len(refused) == 99
    for answer in refused:
        assert isinstance(answer, KeyTaken)
        assert (answer.run_id, answer.same) == (first, True)
    assert [event.seq for event in await stores.ledger.events(first)] == [1]


async def test_another_teams_key_is_another_key(stores: Stores) -> None:
    """Teams do not see each other, whatever their keys are."""
    other = IdempotencyKey(team="team-b", key=KEY.key, body=KEY.body)
    await stores.runs.create(with_key("run-1"), MANY)
    await stores.runs.create(with_key("run-2", other), MANY)
    await stores.runs.create(
        with_key("run-3", IdempotencyKey(team="team-a", key="another", body=KEY.body)), MANY
    )

    assert await run_ids(stores) == ["run-1", "run-2", "run-3"]


async def test_a_key_is_free_again_after_a_day(stores: Stores) -> None:
    """To the microsecond: until then it has its run; then it has the next one, for a day."""
    await stores.runs.create(with_key("run-1"), MANY)
    stores.clock.advance(KEYS_KEPT.total_seconds())
    assert isinstance((await all_at_once(stores, [with_key("run-2")]))[0], KeyTaken)
    stores.clock.advance(0.000001)
    await stores.runs.create(with_key("run-2", OTHER_BODY), MANY)
    (taken,) = await all_at_once(stores, [with_key("run-3")])

    assert timedelta(hours=24) == KEYS_KEPT
    assert isinstance(taken, KeyTaken)
    assert (taken.run_id, taken.same) == ("run-2", False)
    async with stores.database.read() as connection:
        assert len((await connection.execute(sa.select(idempotency_keys))).all()) == 1


async def test_a_key_is_known_after_a_restart(stores: Stores, address: str) -> None:
    """Another process over the same database knows whose it is."""
    await stores.runs.create(with_key("run-1"), MANY)
    async with Database.open(address) as database:
        again = Stores.over(database, stores.clock)
        (same,) = await all_at_once(again, [with_key("run-2")])
        (other,) = await all_at_once(again, [with_key("run-2", OTHER_BODY)])

    assert isinstance(same, KeyTaken)
    assert isinstance(other, KeyTaken)
    assert (same.run_id, same.same, other.run_id, other.same) == ("run-1", True, "run-1", False)


async def test_a_refused_request_does_not_use_up_its_key(stores: Stores) -> None:
    """It may come again with it once there is room; a key that has its run comes before quotas."""
    one = Quotas(team_runs=1)
    await stores.runs.create(new_run("run-1", team="team-a"), one)
    (over,) = await all_at_once(stores, [with_key("run-2")], one)
    assert isinstance(over, TeamOver)
    await through(stores, "run-1", EventType.RUN_STARTED, EventType.RUN_COMPLETED)
    await stores.runs.create(with_key("run-2"), one)
    (taken,) = await all_at_once(stores, [with_key("run-3")], one)

    assert isinstance(taken, KeyTaken)
    assert taken.run_id == "run-2"


# --- people ---------------------------------------------------------------------------------------


async def test_a_person_has_one_run_at_a_time(stores: Stores) -> None:
    """Until it has ended; another person's is none of it, and not every run is a person's."""

    def of(user_id: str, run_id: str) -> NewRun:
        return new_run(run_id, user_id, one_at_a_time=True)

    await stores.runs.create(of("ada", "run-1"), MANY)
    (refused, bobs) = await all_at_once(stores, [of("ada", "run-2"), of("bob", "run-3")])
    assert isinstance(refused, AlreadyOpen)
    assert (refused.run_id, bobs) == ("run-1", None)
    await through(stores, "run-1", EventType.RUN_STARTED)
    assert isinstance((await all_at_once(stores, [of("ada", "run-2")]))[0], AlreadyOpen)
    await through(stores, "run-1", EventType.RUN_COMPLETED)
    await stores.runs.create(of("ada", "run-2"), MANY)
    await stores.runs.create(new_run("run-4", "ada"), MANY)


async def test_the_same_run_of_a_person_twice_is_the_same_run(stores: Stores) -> None:
    """An update that is handled again after a crash: told by name, also once it has ended."""
    new = new_run("run-1", "ada", one_at_a_time=True)
    await stores.runs.create(new, MANY)
    for events in ((), (EventType.RUN_STARTED, EventType.RUN_COMPLETED)):
        await through(stores, "run-1", *events)
        (again,) = await all_at_once(stores, [new])
        assert isinstance(again, KeyTaken)
        assert (again.run_id, again.same) == ("run-1", True)


async def test_of_a_persons_many_requests_at_once_one_is_a_run(
    stores: Stores, address: str
) -> None:
    """However fast they tap, and whichever process hears it."""
    async with Database.open(address) as database:
        processes = (stores, Stores.over(database, stores.clock))
        wanted = [
            new_run(f"run-{n}-of-{who}", who, one_at_a_time=True)
            for n in range(10)
            for who in ("ada", "bob")
        ]
        answers = await asyncio.gather(
            *(all_at_once(process, wanted[2 * n :: 4]) for n, process in enumerate(processes)),
            *(all_at_once(process, wanted[2 * n + 1 :: 4]) for n, process in enumerate(processes)),
        )
    refused = [answer for part in answers for answer in part if answer is not None]

    assert len(await run_ids(stores)) == 2
    assert {run_id[-3:] for run_id in await run_ids(stores)} == {"ada", "bob"}
    assert len(refused) == 18
    assert all(isinstance(answer, AlreadyOpen) for answer in refused)


# --- the queue ------------------------------------------------------------------------------------


async def test_a_full_queue_is_refused_with_the_wait(stores: Stores) -> None:
    """The median of the last 20 runs times the position; older runs do not count."""
    for number in range(25):
        await a_run(stores, run_id=f"run-{number}")
        await stores.ledger.append(f"run-{number}", EventType.RUN_STARTED)
        stores.clock.advance(1_000.0 if number < 5 else number)  # the last 20: 5 to 24 s
        await stores.ledger.append(f"run-{number}", EventType.RUN_COMPLETED)
        stores.clock.advance(1.0)
    three = Quotas(queued=3)
    wanted = [new_run(f"waits-{n}", team=("team-a", None)[n % 2]) for n in range(3)]
    assert await all_at_once(stores, wanted, three) == [None] * 3
    for new in (new_run("more"), new_run("more", team="team-b")):
        (full,) = await all_at_once(stores, [new], three)
        assert isinstance(full, QueueFull)
        assert (full.position, full.wait_s) == (3, 3 * 14.5)
    assert await stores.runs.typical_s() == 14.5

    await through(stores, "waits-1", EventType.RUN_STARTED)  # one leaves the queue
    await stores.runs.create(new_run("more"), three)


async def test_the_wait_is_guessed_before_any_run_has_ended(stores: Stores) -> None:
    """There is always a number to tell."""
    wanted = [new_run(f"run-{n}") for n in range(3)]
    *_, full = [await all_at_once(stores, [new], Quotas(queued=2)) for new in wanted]

    assert isinstance(full[0], QueueFull)
    assert full[0].wait_s == 2 * 10.0
    assert await stores.runs.typical_s() == 10.0


async def test_refusals_do_not_break_what_is_admitted_beside_them(stores: Stores) -> None:
    """Requests at the same moment share a commit: each is answered for itself."""
    await stores.runs.create(with_key("run-1"), MANY)
    await stores.runs.create(new_run("run-2", "ada", one_at_a_time=True), MANY)
    wanted = [
        with_key("no-1"),
        new_run("yes-1", "bob", one_at_a_time=True),
        with_key("no-2", OTHER_BODY),
        new_run("no-3", "ada", one_at_a_time=True),
        new_run("yes-2", "team-b", team="team-b"),
    ]
    answers = await all_at_once(stores, wanted)

    assert [answer is None for answer in answers] == [False, True, False, False, True]
    assert await run_ids(stores) == ["run-1", "run-2", "yes-1", "yes-2"]
    for run_id in ("yes-1", "yes-2"):
        assert await stores.runs.text(run_id, "request") is not None
        assert len(await stores.ledger.events(run_id)) == 1
    async with stores.database.read() as connection:
        count = sa.select(sa.func.count()).select_from(runs)
        assert (await connection.execute(count)).scalar() == 4
