"""Event streams when readers are slow, many or quiet: their limits, made small."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing, suppress
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web
from pydantic import SecretStr

from agents.run_details import RunReader
from agents.run_feed import RunFeed
from bot.bootstrap import build_core
from bot.settings import TeamKey
from bot.web.run_events import EventStreams
from bot.web.runs import for_teams
from bot.web.server import public_application, serve
from bot.web.teams import Teams
from resilience.saga import EventType
from tests.conftest import local_settings
from tests.fakes.api_client import BLUE, ApiClient, OtherProcess, api_of, elsewhere, numbered

PATH = "/v1/runs/{id}/events"
LARGE, LARGE_EVENTS = "x" * 100_000, 150
"""Together more than the buffers of any connection hold."""


@dataclass(frozen=True, slots=True)
class Streams:
    """A server of streams with limits of the test's own, its reader, and who executes runs."""

    feed: RunFeed
    blue: ApiClient
    other: OtherProcess

    async def begun(self) -> str:
        """A run in its first step: three events."""
        run_id = await self.other.run()
        await self.other.add(run_id, EventType.RUN_STARTED)
        await self.other.add(run_id, EventType.STEP_STARTED, step="discover", agent="discovery")
        return run_id

    async def followers(self, count: int) -> None:
        """Wait until so many follow a run; nothing tells when one has gone."""
        await until(lambda: self.feed.followers == count)


async def until(found: Callable[[], bool]) -> None:
    """Wait until it is so."""
    async with asyncio.timeout(30):
        while not found():  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(0.005)


@asynccontextmanager
async def streams(
    folder: Path,
    *,
    heartbeat_s: float = 15.0,
    write_max_s: float = 10.0,
    streams_max: int = 1_000,
    look_s: float = 0.05,
) -> AsyncIterator[Streams]:
    """The product's streams, served."""
    async with build_core(local_settings(folder)) as core:
        feed = RunFeed(core.ledger, core.orchestrator, look_s=look_s)
        served = EventStreams(
            RunReader(core.runs, core.ledger, core.runner),
            feed,
            heartbeat_s=heartbeat_s,
            write_max_s=write_max_s,
            streams_max=streams_max,
        )
        application = public_application(1_000)
        teams = for_teams(Teams([TeamKey("blue", SecretStr(BLUE))]))
        application.router.add_get(PATH, teams(served.stream))

        async def close(_application: web.Application) -> None:
            feed.close()

        application.on_shutdown.append(close)
        async with (
            serve(application, "127.0.0.1", 0) as address,
            api_of(address) as blue,
            elsewhere(folder) as other,
        ):
            yield Streams(feed, blue, other)


async def test_a_quiet_stream_says_that_it_is_there(tmp_path: Path) -> None:
    """A comment in each period without an event, which is no event to a reader."""
    async with streams(tmp_path, heartbeat_s=0.02) as s:
        run_id = await s.begun()
        async with s.blue.raw("GET", PATH.replace("{id}", run_id)) as response:
            comments = 0
            async for line in response.content:
                comments += line.startswith(b":")
                if comments == 3:
                    break
        async with s.blue.stream(run_id) as stream:
            seen = [await anext(stream) for _ in range(3)]
            await s.other.add(run_id, EventType.RUN_FAILED, error="step-failed")
            seen += [event async for event in stream]
        assert numbered(seen)
        assert seen[-1].type == "run.failed"


async def test_a_reader_of_an_event_that_never_was_is_let_go(tmp_path: Path) -> None:
    """Its run ends before that event: so does the stream, though it had nothing to send."""
    async with streams(tmp_path, heartbeat_s=0.02) as s:
        run_id = await s.begun()
        async with s.blue.stream(run_id, 1_000) as stream:
            await s.other.add(run_id, EventType.RUN_FAILED, error="step-failed")
            assert [event async for event in stream] == []
        await s.followers(0)


def slow_reader(blue: ApiClient, run_id: str) -> socket.socket:
    """A connection that asks for the events and has room for almost none of them."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    connection.connect((blue.host, blue.port))
    head = f"GET {PATH.replace('{id}', run_id)} HTTP/1.1\r\nHost: {blue.host}\r\n"
    connection.sendall(f"{head}Authorization: Bearer {BLUE}\r\n\r\n".encode())
    return connection


async def test_a_reader_that_does_not_read_is_dropped(tmp_path: Path) -> None:
    """The others get everything meanwhile; the dropped one can tell that it has only a part."""
    async with streams(tmp_path, write_max_s=2.0) as s:
        run_id = await s.begun()
        with closing(slow_reader(s.blue, run_id)) as slow:
            await s.followers(1)
            async with s.blue.stream(run_id) as stream:
                for _ in range(LARGE_EVENTS):
                    step = {"step": "discover", "source": LARGE}
                    await s.other.add(run_id, EventType.STEP_PROGRESS, **step)
                seen = [await anext(stream) for _ in range(LARGE_EVENTS + 3)]
                await s.followers(1)  # it alone
                await s.other.add(run_id, EventType.RUN_FAILED, error="step-failed")
                seen += [event async for event in stream]
            assert numbered(seen)
            assert len(seen) == LARGE_EVENTS + 4
            await s.followers(0)
            received = await asyncio.to_thread(drain, slow)
            assert received.startswith(b"HTTP/1.1 200 OK")
            assert len(received) < LARGE_EVENTS * len(LARGE)
            assert not received.endswith(b"0\r\n\r\n")  # it can tell that it was cut off
        assert numbered(await s.blue.events(run_id, 20), 20)


def drain(connection: socket.socket) -> bytes:
    """What was sent to the connection before it ended."""
    received = bytearray()
    connection.settimeout(20)
    with suppress(ConnectionResetError):
        while part := connection.recv(1_000_000):
            received += part
    return bytes(received)


async def test_there_are_only_so_many_streams(tmp_path: Path) -> None:
    """A team has half of them. One too many is refused with when to come again, and a place that is
    left is taken."""
    async with streams(tmp_path, streams_max=4, heartbeat_s=0.02) as s:
        run_id = await s.begun()
        path = PATH.replace("{id}", run_id)
        async with s.blue.stream(run_id) as first:
            assert (await anext(first)).id == 1
            async with s.blue.stream(run_id) as second:
                assert (await anext(second)).id == 1
                refused = await s.blue.ask("GET", path)
                assert (refused.status, refused.problem) == (503, "too-many-streams")
                assert refused.headers["Retry-After"] == "1"
            await s.followers(1)
            async with s.blue.stream(run_id, 1) as third:
                assert (await anext(third)).id == 2
        await s.followers(0)
