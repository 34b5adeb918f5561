"""Who executes a run, the same on SQLite and on PostgreSQL."""

import asyncio
import os
import socket
import sys

import pytest

from agents.store.database import Database
from agents.store.ledger import LEASE
from resilience.saga import EventType, LeaseLost
from tests.contract.conftest import Stores
from tests.contract.given import a_run, through

LEASE_S = LEASE.total_seconds()


async def test_a_free_run_is_claimed(stores: Stores) -> None:
    """By whoever comes first; another process doesn't get it."""
    run_id = await a_run(stores)

    assert await stores.ledger.claim(run_id) == 1
    assert await stores.elsewhere().claim(run_id) is None
    (await stores.ledger.append(run_id, EventType.RUN_STARTED, fence=1))


async def test_a_lease_ends(stores: Stores) -> None:
    """Until then the run is taken; from then on another may have it, and the first has lost it."""
    run_id, elsewhere = await a_run(stores), stores.elsewhere()
    await stores.ledger.claim(run_id)
    stores.clock.advance(LEASE_S - 0.001)
    assert await elsewhere.claim(run_id) is None
    stores.clock.advance(0.001)
    assert await elsewhere.claim(run_id) == 2

    with pytest.raises(LeaseLost):
        await stores.ledger.append(run_id, EventType.RUN_STARTED, fence=1)
    assert await stores.ledger.renew([run_id]) == {}
    await stores.ledger.release([run_id])  # not its own any more: nothing happens
    assert await stores.ledger.claim(run_id) is None
    await elsewhere.append(run_id, EventType.RUN_STARTED, fence=2)


async def test_a_process_may_claim_its_own_run_again(stores: Stores) -> None:
    """What it did with the fence before does not count any more."""
    run_id = await a_run(stores)

    assert [await stores.ledger.claim(run_id) for _ in range(3)] == [1, 2, 3]
    with pytest.raises(LeaseLost):
        await stores.ledger.append(run_id, EventType.RUN_STARTED, fence=2)


async def test_the_lease_of_a_process_that_died_here_is_not_waited_for(stores: Stores) -> None:
    """This machine knows that it is gone; of one that lives, and of other machines', it waits."""
    host = socket.gethostname()[:80]
    ended = await asyncio.create_subprocess_exec(sys.executable, "-c", "")
    await ended.wait()
    for run_id, owner in (
        ("dead", f"{host}:{ended.pid}:aa"),
        ("living", f"{host}:{os.getppid()}:aa"),
        ("far", f"not-{host}:{ended.pid}:aa"),
        ("reused", f"{host}:{os.getpid()}:an-earlier-process"),
    ):
        await a_run(stores, (await stores.people.person("local", "1")).id, run_id)
        stores.clock.advance(0.001)
        await stores.elsewhere(owner).claim(run_id)

    assert await stores.ledger.abandoned(["local"]) == ["dead", "reused"]
    claims = [await stores.ledger.claim(n) for n in ("dead", "living", "far", "reused")]
    assert claims == [2, None, None, 2]


async def test_there_is_nothing_to_claim_of_a_run_that_ended(stores: Stores) -> None:
    """Nor of one that never was."""
    run_id = await a_run(stores)
    await stores.ledger.claim(run_id)
    await through(stores, run_id, EventType.RUN_STARTED, EventType.RUN_COMPLETED)

    assert await stores.ledger.claim(run_id) is None
    assert await stores.elsewhere().claim(run_id) is None
    assert await stores.ledger.claim("nothing") is None
    assert await stores.ledger.renew([run_id]) == {}


async def test_a_parked_run_can_be_claimed_by_anybody(stores: Stores) -> None:
    """Its lease ended with the parking; who tries the undo again has it alone."""
    run_id = await a_run(stores)
    await stores.ledger.claim(run_id)
    await through(stores, run_id, EventType.RUN_STARTED, EventType.RUN_COMPENSATING)
    await through(stores, run_id, EventType.RUN_PARKED)
    elsewhere = stores.elsewhere()

    assert await elsewhere.claim(run_id) == 2
    assert await stores.ledger.claim(run_id) is None
    await elsewhere.append(run_id, EventType.RUN_COMPENSATING, fence=2)
    assert await elsewhere.renew([run_id]) == {run_id: True}
    assert await stores.ledger.claim(run_id) is None


async def test_of_many_claims_at_once_one_wins(stores: Stores, address: str) -> None:
    """Also those of processes with a connection each."""
    run_ids = [await a_run(stores, run_id=f"run-{n}") for n in range(3)]
    async with Database.open(address) as database:
        others = Stores.over(database, stores.clock)
        ledgers = [
            store.elsewhere(f"machine-{n}:1:0") for n in range(5) for store in (stores, others)
        ]
        for run_id in run_ids:
            claims = await asyncio.gather(*(ledger.claim(run_id) for ledger in ledgers[::2]))
            assert sorted(filter(None, claims)) == [1]
        stores.clock.advance(LEASE_S)
        for run_id in run_ids:
            claims = await asyncio.gather(*(ledger.claim(run_id) for ledger in ledgers[1::2]))
            assert sorted(filter(None, claims)) == [2]


async def test_a_renewed_lease_lasts_from_then_on(stores: Stores) -> None:
    """As long as it is renewed nobody else gets the run."""
    run_id, elsewhere = await a_run(stores), stores.elsewhere()
    await stores.ledger.claim(run_id)
    for _ in range(3):
        stores.clock.advance(LEASE_S - 1)
        assert await stores.ledger.renew([run_id]) == {run_id: False}
        assert await elsewhere.claim(run_id) is None
    stores.clock.advance(LEASE_S)
    assert await elsewhere.claim(run_id) == 2


async def test_a_renewal_says_which_runs_are_left_and_which_are_to_stop(stores: Stores) -> None:
    """Lost, ended, never claimed, unknown: they are left out. Stopping: whoever asked for it."""
    for run_id in ("goes", "stops", "lost", "ended", "unclaimed", "another's"):
        await a_run(stores, run_id=run_id)
    await stores.elsewhere("machine-3:1:0").claim("another's")
    for run_id in ("goes", "stops", "lost", "ended"):
        await stores.ledger.claim(run_id)
    await stores.elsewhere().append("stops", EventType.RUN_CANCELLING)
    await through(stores, "ended", EventType.RUN_FAILED)
    stores.clock.advance(LEASE_S)
    await stores.elsewhere().claim("lost")

    asked = ["goes", "stops", "lost", "ended", "unclaimed", "another's", "nothing"]
    assert await stores.ledger.renew(asked) == {"goes": False, "stops": True}
    assert await stores.ledger.renew([]) == {}


async def test_a_released_run_is_free_at_once(stores: Stores) -> None:
    """The fence goes on, so that who gave it up can't write to it any more."""
    run_ids = [await a_run(stores, run_id=f"run-{n}") for n in range(2)]
    for run_id in run_ids:
        await stores.ledger.claim(run_id)
    await stores.ledger.release(run_ids)
    await stores.ledger.release([])

    assert [await stores.elsewhere().claim(run_id) for run_id in run_ids] == [2, 2]
    with pytest.raises(LeaseLost):
        await stores.ledger.append("run-0", EventType.RUN_STARTED, fence=1)


async def test_abandoned_runs_are_those_of_the_channels_oldest_first(stores: Stores) -> None:
    """A restart takes up its own channel's runs, in the order they were asked for."""
    ada = (await stores.people.person("local", "1")).id
    bob = (await stores.people.person("telegram", "2")).id
    for run_id, user_id in (("run-9", ada), ("run-5", ada), ("run-7", bob), ("run-1", ada)):
        stores.clock.advance(1.0)
        await a_run(stores, user_id, run_id)
    await through(stores, "run-5", EventType.RUN_STARTED, EventType.RUN_COMPLETED)

    assert await stores.ledger.abandoned(("local",)) == ["run-9", "run-1"]
    assert await stores.ledger.abandoned(("local", "telegram")) == ["run-9", "run-7", "run-1"]
    assert await stores.ledger.abandoned(()) == []


async def test_a_run_that_somebody_executes_is_not_abandoned(stores: Stores) -> None:
    """Unless it is who asks, or the lease is over; a parked one waits for an operator."""
    ada = (await stores.people.person("local", "1")).id
    for run_id in ("own", "another's", "free", "parked"):
        stores.clock.advance(0.001)
        await a_run(stores, ada, run_id)
    for event in (EventType.RUN_STARTED, EventType.RUN_COMPENSATING, EventType.RUN_PARKED):
        await stores.ledger.append("parked", event)
    await stores.ledger.claim("own")
    await stores.elsewhere().claim("another's")

    assert await stores.ledger.abandoned(("local",)) == ["own", "free"]
    stores.clock.advance(LEASE_S)
    assert await stores.ledger.abandoned(("local",)) == ["own", "another's", "free"]
