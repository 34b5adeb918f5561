"""What machines and the dashboard ask: probes, health, metrics, runs, timelines, charts."""

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from bot.bootstrap import Fakes, Running, build_bot
from bot.bootstrap.ops import LASTING
from bot.ops.readiness import KNOWN_FOR_S
from tests.conftest import local_settings
from tests.fakes.api_client import BLUE, KEYS, ApiClient, api_of
from tests.fakes.bot_api import BotApi
from tests.fakes.feed_server import FeedServer
from tests.fakes.operator import operator
from tests.fakes.people import telegram_bot
from tests.fakes.sources import HeldSource, TestSources
from tests.integration.test_feeds import feed, feeds_file

AGENTS = {"discovery", "matching", "action", "triage"}
AGENT = {
    "last_success_at", "error_rate", "p50_ms", "p95_ms", "queue_depth", "in_flight", "paused",
}  # fmt: skip


@asynccontextmanager
async def bot(
    folder: Path, fakes: Fakes | None = None, **settings: Any
) -> AsyncIterator[tuple[Running, ApiClient]]:
    """A bot in local mode, and the blue team's program at it."""
    values = {"api_keys": KEYS, "sources": ("sample",)} | settings
    async with (
        build_bot(local_settings(folder, **values), fakes) as running,
        api_of(running.address, BLUE) as client,
    ):
        yield running, client


async def asked(client: ApiClient, path: str) -> Any:
    """The JSON there."""
    answer = await client.ask("GET", path)
    assert answer.status == 200, answer.body
    return answer.body


async def until_health(client: ApiClient, **expected: Any) -> dict[str, Any]:
    """Wait until the health has these values; nothing tells when."""
    async with asyncio.timeout(10):
        while True:
            health: dict[str, Any] = await asked(client, "/v1/health")
            if all(health[name] == value for name, value in expected.items()):
                return health
            await asyncio.sleep(0.02)


async def test_health_has_what_the_contract_names(tmp_path: Path) -> None:
    """Each agent, dependency, credits, cache, runs, alerts; and what a run did to them."""
    async with bot(tmp_path) as (_, client):
        run_id = await client.started(drafts=1)
        await client.events(run_id)
        health = await until_health(client, runs={"queued": 0, "running": 0, "parked": 0})
    assert health["status"] == "ok"
    assert set(health["agents"]) == AGENTS
    for name, agent in health["agents"].items():
        assert set(agent) >= AGENT
        assert ("unscored" in agent) == (name == "matching")
        assert (agent["last_success_at"] is None) == (name == "triage")
    dependency = health["dependencies"]["cache file"]
    assert set(dependency) >= {"breaker", "since", "next_probe_at", "error_rate"}
    assert dependency["breaker"] == "closed"
    unknown = {"used_usd": None, "limit_usd": None}
    assert health["credits"] == {"apify": unknown, "llm": {"tokens_today": 0}}
    assert set(health["cache"]) >= {"memory_hit_ratio", "second_hit_ratio", "load_ratio"}
    assert health["alerts"] == []


async def test_work_under_way_is_seen(tmp_path: Path) -> None:
    """A run that waits for its sources is discovery's, in flight."""
    held = HeldSource()
    fakes = Fakes(sources=TestSources({"held": held}))
    async with bot(tmp_path, fakes, runs_at_once=1) as (_, client):
        await client.started(sources=["held"])
        await held.asked.wait()
        await client.started(sources=["held"])
        health = await until_health(client, runs={"queued": 1, "running": 1, "parked": 0})
        discovery = health["agents"]["discovery"]
        assert (discovery["in_flight"], discovery["queue_depth"]) == (1, 1)
        assert discovery["pending_since"] is not None
        held.gate.set()


async def test_a_restart_knows_what_happened_before(tmp_path: Path) -> None:
    """The last success of each agent."""
    async with bot(tmp_path) as (_, client):
        await client.events(await client.started())
        before = await until_health(client, runs={"queued": 0, "running": 0, "parked": 0})
    async with bot(tmp_path) as (_, client):
        after = await asked(client, "/v1/health")
    for name in ("discovery", "matching", "action"):
        known = [health["agents"][name] for health in (before, after)]
        assert known[0]["last_success_at"][:18] == known[1]["last_success_at"][:18]
        assert known[0]["calls"] == known[1]["calls"] == 1


async def test_ready_while_the_database_takes_a_write(tmp_path: Path) -> None:
    """503 names it while another program holds the lock; alive all the while."""
    async with bot(tmp_path) as (_, client):
        assert (await asked(client, "/readyz")) == {"status": "ready", "problems": []}
        with locked(tmp_path):
            await asyncio.sleep(KNOWN_FOR_S)
            answer = await client.ask("GET", "/readyz")
            assert (answer.status, answer.body["problems"]) == (503, ["database"])
            assert (await client.ask("GET", "/healthz")).status == 200
            health = await asked(client, "/v1/health")
            assert health["status"] == "down"
            assert "database" in health["problems"]
            assert health["runs"]["queued"] is None
        await until_health(client, status="ok")
        assert (await client.ask("GET", "/readyz")).status == 200


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Another program holds the database's write lock."""
    with closing(sqlite3.connect(folder / "var/webscout.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


async def test_ready_once_telegram_answers(tmp_path: Path) -> None:
    """And not while it does not."""
    async with (
        BotApi() as api,
        telegram_bot(api, tmp_path) as running,
        api_of(running.address) as client,
    ):
        assert (await client.ask("GET", "/readyz")).status == 200
        api.fail("getUpdates", 502, times=1_000, description="Bad Gateway")
        await api.say(42, "/help")  # ends the poll that is under way
        await until_health(client, status="down", problems={"telegram": "Bad Gateway"})
        answer = await client.ask("GET", "/readyz")
        assert (answer.status, answer.body["problems"]) == (503, ["telegram"])


async def test_a_stop_drains(tmp_path: Path) -> None:
    """Not ready, no new run is taken, what is under way ends."""
    held = HeldSource()
    fakes = Fakes(sources=TestSources({"held": held}))
    async with bot(tmp_path, fakes, runs_at_once=1) as (running, client):
        run_id, waiting = [await client.started(sources=["held"]) for _ in range(2)]
        await held.asked.wait()
        assert running.under_way() == 1
        draining = asyncio.ensure_future(running.drain())
        await asyncio.sleep(0)
        ready = await client.ask("GET", "/readyz")
        assert (ready.status, ready.body["problems"]) == (503, ["process"])
        refused = await client.start()
        assert (refused.status, refused.problem) == (503, "shutting-down")
        assert refused.headers["Retry-After"]
        held.gate.set()
        await draining
        assert (await client.run(run_id))["status"] == "completed"
        assert (await client.run(waiting))["status"] == "queued"
    async with bot(tmp_path, fakes) as (_, client):
        assert (await client.events(waiting))[-1].type == "run.completed"


async def test_runs_of_everybody_are_listed_without_their_words(tmp_path: Path) -> None:
    """By status and kind, page by page; a timeline has steps, events and spend, and no text."""
    async with bot(tmp_path) as (_, client):
        secret = "zanzibar-basket-weaving"
        run_ids = [await client.started(query=secret) for _ in range(3)]
        for run_id in run_ids:
            await client.events(run_id)
        listed = await asked(client, "/ops/runs?status=completed&kind=scout")
        assert [run["run_id"] for run in listed["runs"]] == run_ids[::-1]
        assert {run["team"] for run in listed["runs"]} == {"blue"}
        assert listed["next_cursor"] is None
        assert (await asked(client, "/ops/runs?kind=ask"))["runs"] == []
        timeline = await asked(client, f"/ops/runs/{run_ids[0]}")
        assert [step["name"] for step in timeline["steps"]] == ["discover", "match", "act"]
        assert timeline["events"][-1]["type"] == "run.completed"
        assert timeline["usage"]["steps"] == 3
        assert "result" not in timeline
        assert secret not in json.dumps([listed, timeline])


@pytest.mark.unmeasured
async def test_a_long_list_has_pages(tmp_path: Path) -> None:
    """Each run once."""
    async with bot(tmp_path, team_runs=100) as (_, client):
        run_ids = {await client.started() for _ in range(30)}
        first = await asked(client, "/ops/runs")
        second = await asked(client, f"/ops/runs?cursor={first['next_cursor']}")
        seen = [run["run_id"] for page in (first, second) for run in page["runs"]]
        assert (len(first["runs"]), len(seen), set(seen)) == (25, 30, run_ids)


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/ops/runs?status=nosuch", 422),
        ("/ops/runs?cursor=nosuch", 422),
        ("/ops/runs/nosuch", 404),
        ("/ops/runs/ab12", 404),
        ("/ops/charts/nosuch", 404),
        ("/ops/static/nosuch.js", 404),
        ("/ops/static/..%2Fops.html", 404),
    ],
)
async def test_a_wrong_question_is_answered(tmp_path: Path, path: str, status: int) -> None:
    """In words."""
    async with bot(tmp_path) as (_, client):
        answer = await client.ask("GET", path)
        assert answer.status == status
        assert answer.problem


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"action": "explode", "name": "matching"}, 422),
        ({"action": "pause"}, 422),
        ({"action": "pause", "name": 5}, 422),
        ({"action": "pause", "name": "ü"}, 422),
        ({"action": "pause", "name": "nosuch"}, 404),
        ({"action": "open", "name": "nosuch"}, 404),
        ({"action": "retry", "name": "ab12"}, 404),
        ([], 422),
    ],
)
async def test_a_wrong_action_is_answered(tmp_path: Path, body: Any, status: int) -> None:
    """With what is allowed; nothing is done."""
    async with (
        build_bot(local_settings(tmp_path)) as running,
        operator(running.address) as browser,
    ):
        await browser.open()
        csrf = {"X-CSRF-Token": browser.csrf}
        answer = await browser.ask("POST", "/ops/actions", csrf, body)
        assert answer.status == status
        assert answer.json()["detail"]


async def test_only_a_parked_run_is_retried(tmp_path: Path) -> None:
    """Else it is said how it stands."""
    async with bot(tmp_path) as (running, client), operator(running.address) as browser:
        run_id = await client.started()
        await client.events(run_id)
        await browser.open()
        answer = await browser.act("retry", run_id)
        assert (answer.status, "is completed" in answer.json()["detail"]) == (409, True)


async def test_the_dashboard_follows_by_sse(tmp_path: Path) -> None:
    """The health at once, and again when it changed; the stream ends with the server."""
    async with (
        bot(tmp_path) as (running, client),
        operator(running.address) as browser,
        browser.follow() as stream,
    ):
        first = await health_of(stream)
        assert first["agents"]["discovery"]["calls"] == 0
        await client.started()
        async with asyncio.timeout(10):
            while (await health_of(stream))["agents"]["discovery"]["calls"] == 0:
                pass


async def health_of(stream: Any) -> Any:
    """The next health of a stream."""
    async with asyncio.timeout(10):
        while True:
            line = (await stream.readline()).decode()
            if line.startswith("data: "):
                return json.loads(line[6:])


async def test_streams_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One more than are allowed is refused."""
    monkeypatch.setattr("bot.web.dashboard.STREAMS_MAX", 1)
    async with (
        bot(tmp_path) as (running, _),
        operator(running.address) as browser,
        browser.follow() as stream,
    ):
        await health_of(stream)
        refused = await browser.get("/ops/events")
        assert (refused.status, refused.json()["type"]) == (503, "too-many-streams")


async def test_what_is_to_go_on_is_watched(tmp_path: Path) -> None:
    """Each name that is watched for is that of some task: none was renamed unseen."""
    async with FeedServer() as server:
        feeds = feeds_file(tmp_path, [feed(server, "one")])
        async with bot(tmp_path, sources=("feeds",), feeds_file=feeds):
            names = {task.get_name() for task in asyncio.all_tasks()}
    for begins in LASTING:
        assert any(name.startswith(begins) for name in names), begins


async def test_metrics_are_served(tmp_path: Path) -> None:
    """As Prometheus text."""
    async with bot(tmp_path) as (running, client), operator(running.address) as browser:
        await client.events(await client.started())
        answer = await browser.get("/metrics")
        assert answer.headers["Content-Type"].startswith("text/plain")
        assert 'webscout_step_duration_seconds_count{agent="matching"} 1.0' in answer.text
        assert 'webscout_runs_ended_total{status="completed"} 1.0' in answer.text
