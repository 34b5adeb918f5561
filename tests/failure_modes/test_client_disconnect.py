"""A client leaves: its run goes on, and what it missed is there when it comes again."""

import asyncio
import json
from pathlib import Path

from bot.bootstrap import Fakes
from tests.fakes.api_client import BLUE, ApiClient, api_bot, numbered
from tests.fakes.people import until_rows
from tests.fakes.sources import HeldSource, TestSources


async def cut(client: ApiClient, request: str, until: bytes) -> None:
    """Send a request over a connection of its own, and cut it when the answer says `until`."""
    reader, writer = await asyncio.open_connection(client.host, client.port)
    writer.write(request.encode())
    await writer.drain()
    await reader.readuntil(until)
    writer.transport.abort()


def head(client: ApiClient, line: str, length: int = 0) -> str:
    """The head of a request."""
    return (
        f"{line} HTTP/1.1\r\nHost: {client.host}:{client.port}\r\n"
        f"Authorization: Bearer {BLUE}\r\nContent-Length: {length}\r\n\r\n"
    )


async def test_a_reader_that_leaves_does_not_stop_its_run(tmp_path: Path) -> None:
    """Fifty readers are cut off while the run works; it completes, and one that comes again
    goes on after the last event that it had."""
    held = HeldSource()
    async with api_bot(tmp_path, Fakes(sources=TestSources({"held": held}))) as blue:
        run_id = await blue.started(sources=["held", "sample"])
        await held.asked.wait()
        request = head(blue, f"GET /v1/runs/{run_id}/events")
        await asyncio.gather(*(cut(blue, request, b"event: step.started") for _ in range(50)))
        assert held.stopped == 0
        held.gate.set()
        rest = await blue.events(run_id, 3)
        run = await blue.run(run_id)
    assert numbered(rest, 3)
    assert rest[-1].type == "run.completed"
    assert (run["status"], len(run["result"]["matches"])) == ("completed", 10)


async def test_nobody_is_needed_for_a_run(tmp_path: Path) -> None:
    """The only client is gone as soon as its run was accepted: the run completes by itself."""
    async with api_bot(tmp_path) as blue:
        body = json.dumps({"kind": "scout"})
        await cut(blue, head(blue, "POST /v1/runs", len(body)) + body, b"202 Accepted")
        await until_rows(tmp_path, "SELECT status FROM runs", [("completed",)])


async def test_a_client_that_leaves_before_the_answer_can_ask_again(tmp_path: Path) -> None:
    """It does not know whether its run was begun: with its idempotency key it gets that run."""
    async with api_bot(tmp_path) as blue:
        body = json.dumps({"kind": "scout"})
        line = (
            f"POST /v1/runs HTTP/1.1\r\nIdempotency-Key: k\r\nX-Was: {head(blue, 'x', len(body))}"
        )
        _, writer = await asyncio.open_connection(blue.host, blue.port)
        writer.write((line + body).encode())
        await writer.drain()
        await until_rows(tmp_path, "SELECT count(*) FROM runs", [(1,)])
        writer.transport.abort()
        answer = await blue.start({"kind": "scout"}, key="k")
        assert (answer.status, answer.headers["Idempotency-Replayed"]) == (200, "true")
        assert (await blue.ended(answer.body["run_id"]))["status"] == "completed"
