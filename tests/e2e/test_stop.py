"""How the real program stops: the first signal waits for what is under way, the second does not."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.e2e.process import Program
from tests.fakes.api_client import BLUE, KEYS, ApiClient, api_of
from tests.fakes.feed_server import FeedServer, Route
from tests.integration.test_feeds import JOBS, feed, feeds_file


@pytest.fixture
async def slow() -> AsyncIterator[tuple[FeedServer, Route]]:
    """A feed that answers when it is let."""
    async with FeedServer() as server:
        route = server.route("/slow")
        route.json({"jobs": JOBS})
        route.hold()
        yield server, route


@asynccontextmanager
async def working(
    folder: Path, slow: tuple[FeedServer, Route], **environment: str
) -> AsyncIterator[tuple[Program, ApiClient, str]]:
    """The program with a run under way, which waits for the feed."""
    server, route = slow
    feeds = feeds_file(folder, [feed(server, "slow")])
    settings = {"FEEDS_FILE": str(feeds), "API_KEYS": KEYS, "SOURCES": "feeds"} | environment
    async with Program.running(folder, **settings) as program, api_of(program.address) as client:
        run_id = await client.started(sources=["slow"])
        await server.until(lambda: route.requests > 0)
        while (await client.run(run_id))["status"] != "running":
            await client.run(run_id)
        yield program, client.of(BLUE), run_id


async def status_after(folder: Path, run_id: str, slow: tuple[FeedServer, Route]) -> str:
    """How the run ends at the next start."""
    slow[1].release()
    feeds = str(folder / "feeds.json")
    async with (
        Program.running(folder, API_KEYS=KEYS, FEEDS_FILE=feeds, SOURCES="feeds") as program,
        api_of(program.address) as client,
    ):
        await client.events(run_id)
        return str((await client.run(run_id))["status"])


async def said(program: Program, words: str) -> None:
    """Wait until the program has printed the words."""
    async with asyncio.timeout(20):
        while True:
            if words in program.printed:
                return
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_the_first_signal_lets_runs_end(
    tmp_path: Path, slow: tuple[FeedServer, Route], number: signal.Signals
) -> None:
    """It says what it waits for; the run is completed, the exit is clean."""
    async with working(tmp_path, slow) as (program, _client, run_id):
        program.process.send_signal(number)
        await said(program, "1 run is under way: waiting up to 20 s.")
        slow[1].release()
        async with asyncio.timeout(20):
            assert await program.process.wait() == 0
        assert "left for the next start" not in program.printed
    assert await status_after(tmp_path, run_id, slow) == "completed"


async def test_it_does_not_wait_for_ever(tmp_path: Path, slow: tuple[FeedServer, Route]) -> None:
    """What is not done in time is left, and done by the next start."""
    async with working(tmp_path, slow, DRAIN_S="0.2") as (program, _client, run_id):
        code, printed = await program.end(signal.SIGTERM)
        assert (code, "1 still under way: left for the next start." in printed) == (0, True)
    assert await status_after(tmp_path, run_id, slow) == "completed"


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
async def test_the_second_signal_stops_now(
    tmp_path: Path, slow: tuple[FeedServer, Route], number: signal.Signals, code: int
) -> None:
    """Nothing is lost: the next start goes on with the run."""
    async with working(tmp_path, slow) as (program, _client, run_id):
        program.process.send_signal(number)
        await said(program, "Once more stops now")
        got, printed = await program.end(number)
        assert (got, "Stopped at once; the next start goes on." in printed) == (code, True)
    assert await status_after(tmp_path, run_id, slow) == "completed"


async def test_with_nothing_under_way_it_stops_at_once(tmp_path: Path) -> None:
    """And says nothing of waiting."""
    async with Program.running(tmp_path) as program:
        code, printed = await program.end(signal.SIGTERM)
        assert (code, "Stopping…" in printed, "under way" in printed) == (0, True, False)
