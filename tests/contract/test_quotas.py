"""What a team may have: runs at once and tokens, on SQLite and on PostgreSQL."""

import asyncio
from datetime import timedelta

import pytest
import sqlalchemy as sa

from agents.store.admission import NotAdmitted, QueueFull, Quotas, TeamOver
from agents.store.database import Database
from agents.store.ledger import TOKENS_KEPT
from agents.store.schema import runs, team_tokens
from resilience.saga import EventType, JsonValue
from tests.contract.conftest import Stores
from tests.contract.given import MANY, a_run, new_run, through
from tests.contract.test_admission import all_at_once, run_ids

DAY_S = 24 * 3600.0


async def spend(stores: Stores, tokens: JsonValue, **more: JsonValue) -> None:
    """A run of team A settles what an effect took."""
    if await stores.runs.get("spender") is None:
        await a_run(stores, run_id="spender", team="team-a")
        await stores.ledger.append("spender", EventType.RUN_STARTED)
    data: dict[str, JsonValue] = {"step": "match", "settled": True, "tokens": tokens}
    await stores.ledger.append("spender", EventType.STEP_PROGRESS, data | more)


async def refusal(
    stores: Stores, quotas: Quotas, team: str | None = "team-a", run_id: str = "asked"
) -> NotAdmitted | None:
    """Why a run of the team is not admitted; an admitted one ends at once."""
    new = new_run(run_id, team=team)
    (refused,) = await all_at_once(stores, [new], quotas)
    if refused is None:
        await stores.ledger.append(run_id, EventType.RUN_FAILED)
    return refused


# --- runs at once ---------------------------------------------------------------------------------


async def test_a_team_has_so_many_runs_at_once(stores: Stores) -> None:
    """Queued, running and compensating count, also those of other processes; ended and parked do
    not, nor another team's."""
    two = Quotas(team_runs=2)
    for number in range(2):
        await stores.runs.create(new_run(f"run-{number}", team="team-a"), two)
    over = await refusal(stores, two)
    assert isinstance(over, TeamOver)
    assert (over.type, over.retry_after_s) == ("too-many-runs", 10.0)  # no run has ended yet
    assert await refusal(stores, two, "team-b", "run-of-b") is None
    await through(stores, "run-0", EventType.RUN_STARTED, EventType.RUN_COMPENSATING)
    assert isinstance(await refusal(stores, two), TeamOver)
    await through(stores, "run-0", EventType.RUN_PARKED)
    assert await refusal(stores, two) is None


async def test_a_team_is_told_to_come_again_when_a_run_typically_ends(stores: Stores) -> None:
    """In the median time of the last runs, a second at least."""
    one = Quotas(team_runs=1)
    for number, took_s in enumerate((0.25, 44.0, 60.0)):
        await stores.runs.create(new_run(f"run-{number}", team="team-a"), one)
        over = await refusal(stores, one)
        assert isinstance(over, TeamOver)
        stores.clock.advance(1.0)  # in the queue: that does not count
        await stores.ledger.append(f"run-{number}", EventType.RUN_STARTED)
        stores.clock.advance(took_s)
        await stores.ledger.append(f"run-{number}", EventType.RUN_CANCELLED)
        assert over.retry_after_s == (10.0, 1.0, 22.125)[number]


async def test_requests_at_once_do_not_go_over_the_limit(stores: Stores, address: str) -> None:
    """Of several teams, and of two processes."""
    four = Quotas(team_runs=4)
    async with Database.open(address) as database:
        other = Stores.over(database, stores.clock)
        wanted = [
            new_run(f"{team}-{n:02}", team=team) for n in range(20) for team in ("team-a", "team-b")
        ]
        halves = await asyncio.gather(
            all_at_once(stores, wanted[:20], four), all_at_once(other, wanted[20:], four)
        )

    ids = await run_ids(stores)
    assert [sum(i.startswith(team) for i in ids) for team in ("team-a", "team-b")] == [4, 4]
    refused = [answer for half in halves for answer in half if answer is not None]
    assert len(refused) == 32
    assert {getattr(answer, "type", None) for answer in refused} == {"too-many-runs"}


# --- tokens ---------------------------------------------------------------------------------------


async def test_tokens_a_minute_are_counted_as_they_are_settled(stores: Stores) -> None:
    """Once as many were used, the team waits for the next minute; another team doesn't."""
    few = Quotas(team_tokens_per_min=1_000)
    stores.clock.advance(15.0)
    await spend(stores, 600)
    assert await refusal(stores, few) is None
    await spend(stores, 400)
    stores.clock.advance(5.5)
    over = await refusal(stores, few, run_id="refused")
    assert isinstance(over, TeamOver)
    assert (over.type, over.retry_after_s) == ("token-rate-exceeded", 39.5)
    assert "1,000 tokens" in str(over)
    assert await refusal(stores, few, "team-b", "run-of-b") is None
    assert await refusal(stores, few, None, "run-of-nobody") is None
    stores.clock.advance(39.4)
    assert isinstance(await refusal(stores, few, run_id="refused"), TeamOver)
    stores.clock.advance(0.1)
    assert await refusal(stores, few, run_id="admitted") is None


async def test_tokens_a_day_are_counted(stores: Stores) -> None:
    """Those of the last 24 hours; the team is told when the oldest of them leave."""
    few = Quotas(team_tokens_per_day=1_000)
    await spend(stores, 700)
    stores.clock.advance(3600.0)
    await spend(stores, 300)
    over = await refusal(stores, few)
    assert isinstance(over, TeamOver)
    assert (over.type, over.retry_after_s) == ("token-budget-exhausted", DAY_S - 3600.0)
    assert "1,000 tokens" in str(over)
    stores.clock.advance(over.retry_after_s - 0.001)
    assert isinstance(await refusal(stores, few), TeamOver)
    stores.clock.advance(0.001)
    assert await refusal(stores, few) is None
    await spend(stores, 700)
    assert isinstance(await refusal(stores, few, run_id="once-more"), TeamOver)


async def test_what_is_not_settled_is_not_counted(stores: Stores) -> None:
    """An intent may cost less; a run of a person, or one that reports no number, costs no team."""
    one = Quotas(team_tokens_per_min=1)
    await spend(stores, 5_000, settled=False)
    await spend(stores, None)
    await a_run(stores, run_id="a-person's")
    await stores.ledger.append("a-person's", EventType.RUN_STARTED)
    data: dict[str, JsonValue] = {"settled": True, "tokens": 5_000}
    await stores.ledger.append("a-person's", EventType.STEP_PROGRESS, data)
    assert await refusal(stores, one) is None
    await spend(stores, 1)
    assert isinstance(await refusal(stores, one, run_id="asked-again"), TeamOver)


async def test_tokens_settled_late_count_when_they_were_used(stores: Stores) -> None:
    """After an outage the events say when it was."""
    few = Quotas(team_tokens_per_min=10, team_tokens_per_day=20)
    await spend(stores, 0)
    stores.clock.advance(300.0)
    then = stores.clock.now() - timedelta(seconds=120)
    data: dict[str, JsonValue] = {"settled": True, "tokens": 15}
    await stores.ledger.append("spender", EventType.STEP_PROGRESS, data, at=then)
    assert await refusal(stores, few) is None
    await spend(stores, 5)
    over = await refusal(stores, few, run_id="asked-again")
    assert isinstance(over, TeamOver)
    assert over.type == "token-budget-exhausted"


async def test_tokens_of_long_ago_go(stores: Stores) -> None:
    """One row a minute, for two days."""
    await spend(stores, 1)
    await spend(stores, 2)
    stores.clock.advance(TOKENS_KEPT.total_seconds())
    await spend(stores, 4)
    query = sa.select(team_tokens.c.tokens).order_by(team_tokens.c.minute)
    async with stores.database.read() as connection:
        assert list((await connection.execute(query)).scalars()) == [3, 4]
    stores.clock.advance(60.0)
    await spend(stores, 8)
    async with stores.database.read() as connection:
        assert list((await connection.execute(query)).scalars()) == [4, 8]


# --- high limits ----------------------------------------------------------------------------------


async def others_come(stores: Stores, count: int, team: str | None = "team-a") -> None:
    """Another process admits as many runs."""
    row = {
        "kind": "scout",
        "user_id": "somebody",
        "team": team,
        "config": "scout@1",
        "status": "queued",
        "stopping": False,
        "last_seq": 1,
        "fence": 0,
        "alerted_seq": 0,
        "created_at": stores.clock.now(),
    }
    async with stores.database.write() as connection:
        first = (await connection.execute(sa.select(sa.func.count()).select_from(runs))).scalar()
        rows = [row | {"id": f"other-{(first or 0) + n}"} for n in range(count)]
        await connection.execute(sa.insert(runs), rows)


async def test_under_a_high_limit_runs_are_counted_each_second(stores: Stores) -> None:
    """What this process admits is counted at once, what others do after a second, and nobody is
    refused before it was counted anew."""
    high = Quotas(team_runs=1_010, queued=100_000)
    await others_come(stores, 1_004)
    await stores.runs.create(new_run("run-1", team="team-a"), high)  # counts: 1,005
    await others_come(stores, 3)  # within the second nobody sees them
    for number in (2, 3, 4, 5, 6):
        await stores.runs.create(new_run(f"run-{number}", team="team-a"), high)
    over = await refusal(stores, high)  # counts: 1,013
    assert isinstance(over, TeamOver)
    for number in range(1, 5):
        await stores.ledger.append(f"run-{number}", EventType.RUN_FAILED)
    assert await refusal(stores, high) is None  # counts: 1,009


async def test_others_runs_are_seen_after_a_second(stores: Stores) -> None:
    """Then they are counted with this process's."""
    high = Quotas(team_runs=1_010, queued=100_000)
    await others_come(stores, 1_000)
    await stores.runs.create(new_run("run-1", team="team-a"), high)
    await others_come(stores, 9)
    stores.clock.advance(1.0)
    assert isinstance(await refusal(stores, high), TeamOver)


@pytest.mark.parametrize("team", ["team-a", None])
async def test_a_long_queue_is_counted_in_the_same_way(stores: Stores, team: str | None) -> None:
    """All teams and people wait in one."""
    long = Quotas(team_runs=100_000, queued=1_003)
    await others_come(stores, 1_001, team)
    await stores.runs.create(new_run("run-1", team="team-b"), long)
    await stores.runs.create(new_run("run-2"), long)
    assert isinstance(await refusal(stores, long, None), QueueFull)
    await stores.ledger.append("run-1", EventType.RUN_CANCELLED)
    assert await refusal(stores, long, None) is None


async def test_a_low_limit_is_held_whatever_others_do(stores: Stores) -> None:
    """It is counted each time."""
    low = Quotas(team_runs=10, queued=1_000)
    await stores.runs.create(new_run("run-1", team="team-a"), low)
    await others_come(stores, 9)
    assert isinstance(await refusal(stores, low), TeamOver)
    assert await refusal(stores, MANY) is None
