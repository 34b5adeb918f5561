"""What a team may have, and the queue: refused with when to come again, and free again after."""

import asyncio
from collections import Counter
from pathlib import Path

from bot.bootstrap import Fakes
from resilience.saga import EventType, JsonValue
from tests.fakes.api_client import RED, SCOUT, Answer, ApiClient, api_bot, elsewhere
from tests.fakes.saga_clock import HeldClock
from tests.fakes.sources import HeldSource, TestSources

MINUTE_S, DAY_S = 60, 24 * 3600
HELD = SCOUT | {"sources": ["held"]}


def retry_after(answer: Answer) -> int:
    """The whole seconds after which to come again."""
    assert answer.headers["Retry-After"].isdigit()
    return int(answer.headers["Retry-After"])


async def held_runs(client: ApiClient, count: int) -> list[str]:
    """So many runs that wait for their source."""
    return [await client.started(sources=["held"]) for _ in range(count)]


async def test_a_team_has_so_many_runs_at_once(tmp_path: Path) -> None:
    """The next is refused with when to come again, and accepted when one has ended."""
    held = HeldSource()
    async with api_bot(tmp_path, Fakes(sources=TestSources({"held": held})), team_runs=3) as blue:
        first, *others = await held_runs(blue, 3)
        refused = await blue.start()
        assert (refused.status, refused.problem) == (429, "too-many-runs")
        assert retry_after(refused) >= 1
        assert (await blue.of(RED).start()).status == 202
        await blue.cancel(first)
        await blue.ended(first)
        others += await held_runs(blue, 1)
        assert (await blue.start()).problem == "too-many-runs"
        held.gate.set()
        for run_id in others:
            await blue.ended(run_id)
        assert (await blue.start()).status == 202


async def test_requests_at_once_do_not_pass_the_quota(tmp_path: Path) -> None:
    """Of forty at the same time exactly as many are accepted as may be."""
    held = HeldSource()
    async with api_bot(tmp_path, Fakes(sources=TestSources({"held": held})), team_runs=4) as blue:
        answers = await asyncio.gather(*(blue.start(HELD) for _ in range(40)))
        assert Counter(answer.status for answer in answers) == {202: 4, 429: 36}
        held.gate.set()


async def spend(folder: Path, clock: HeldClock, run_id: str, tokens: int) -> None:
    """What a step of the run does when a model has answered."""
    async with elsewhere(folder, clock.now) as other:
        spent: dict[str, JsonValue] = {"effect": "llm:1", "settled": True, "tokens": tokens}
        await other.add(run_id, EventType.STEP_PROGRESS, step="discover", **spent)


async def test_tokens_of_a_minute(tmp_path: Path) -> None:
    """A team that used its minute's tokens waits for the next minute; others do not."""
    clock, held = HeldClock(), HeldSource()
    fakes = Fakes(clock=clock, sources=TestSources({"held": held}))
    async with api_bot(tmp_path, fakes) as blue:
        (run_id,) = await held_runs(blue, 1)
        await held.asked.wait()
        await spend(tmp_path, clock, run_id, 199_999)
        assert (await blue.start()).status == 202
        await spend(tmp_path, clock, run_id, 1)
        refused = await blue.start()
        assert (refused.status, refused.problem) == (429, "token-rate-exceeded")
        assert retry_after(refused) == MINUTE_S
        assert (await blue.of(RED).start()).status == 202
        clock.advance(MINUTE_S - 1)
        refused = await blue.start()
        assert (refused.problem, retry_after(refused)) == ("token-rate-exceeded", 1)
        clock.advance(1)
        assert (await blue.start()).status == 202
        held.gate.set()


async def test_tokens_of_a_day(tmp_path: Path) -> None:
    """A team that used its day's tokens waits until the oldest of them are a day old."""
    clock, held = HeldClock(), HeldSource()
    fakes = Fakes(clock=clock, sources=TestSources({"held": held}))
    async with api_bot(tmp_path, fakes) as blue:
        (run_id,) = await held_runs(blue, 1)
        await held.asked.wait()
        await spend(tmp_path, clock, run_id, 5_000_000)
        held.gate.set()
        await blue.ended(run_id)
        clock.advance(MINUTE_S)
        refused = await blue.start()
        assert (refused.status, refused.problem) == (429, "token-budget-exhausted")
        wait_s = retry_after(refused)
        assert DAY_S - 2 * MINUTE_S <= wait_s <= DAY_S
        clock.advance(wait_s - 1)
        assert (await blue.start()).problem == "token-budget-exhausted"
        clock.advance(1)
        assert (await blue.start()).status == 202


async def test_a_full_queue_is_a_polite_refusal(tmp_path: Path) -> None:
    """One works, two wait and are told their place; the next is refused with the wait, for
    every team, until one leaves the queue."""
    held = HeldSource()
    fakes = Fakes(sources=TestSources({"held": held}))
    async with api_bot(tmp_path, fakes, runs_at_once=1, runs_queued=2) as blue:
        (first,) = await held_runs(blue, 1)
        await held.asked.wait()
        waiting = [await blue.start(HELD) for _ in range(2)]
        assert [answer.body["queue"]["position"] for answer in waiting] == [1, 2]
        assert all(answer.body["queue"]["wait_s"] > 0 for answer in waiting)
        for client in (blue, blue.of(RED)):
            refused = await client.start()
            assert (refused.status, refused.problem) == (503, "queue-full")
            assert retry_after(refused) >= 1
        await blue.cancel(waiting[0].body["run_id"])
        await blue.ended(waiting[0].body["run_id"])
        last = await blue.start()
        assert last.body["queue"]["position"] == 2
        held.gate.set()
        for run_id in (first, waiting[1].body["run_id"], last.body["run_id"]):
            assert (await blue.ended(run_id))["status"] == "completed"


async def test_a_restart_frees_and_takes_nothing(tmp_path: Path) -> None:
    """Runs that a restart takes up count still; what they end with is free again."""
    held = HeldSource()
    fakes = Fakes(sources=TestSources({"held": held}))
    async with api_bot(tmp_path, fakes, team_runs=2) as blue:
        run_ids = await held_runs(blue, 2)
    async with api_bot(tmp_path, fakes, team_runs=2) as blue:
        assert (await blue.start()).problem == "too-many-runs"
        held.gate.set()
        for run_id in run_ids:
            assert (await blue.ended(run_id))["status"] == "completed"
        assert (await blue.start()).status == 202
