"""The chat's web server against what browsers, other sites and mistakes send."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from bot.bootstrap import build_bot
from bot.web.server import PortTaken
from tests.conftest import local_settings


@pytest.fixture
async def address(tmp_path: Path) -> AsyncIterator[str]:
    """A running bot's address."""
    async with build_bot(local_settings(tmp_path)) as running:
        assert running.address is not None
        yield running.address


@pytest.fixture
async def http(address: str) -> AsyncIterator[aiohttp.ClientSession]:
    """A client of the bot's server."""
    async with aiohttp.ClientSession(address) as session:
        yield session


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Host": "evil.example:8080"},
        {"Host": "127.0.0.1:1"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
    ],
)
@pytest.mark.parametrize("path", ["/chat", "/chat/messages", "/chat/events"])
async def test_foreign_hosts_and_origins_are_refused(
    http: aiohttp.ClientSession, headers: dict[str, str], path: str
) -> None:
    """A name that points here from elsewhere, or a page of another site, gets nothing."""
    async with http.get(path, headers=headers) as response:
        assert response.status == 403
        assert response.content_type == "application/problem+json"
    async with http.post("/chat/send", json={"text": "/start"}, headers=headers) as response:
        assert response.status == 403


async def test_the_page_is_served_with_a_strict_policy(http: aiohttp.ClientSession) -> None:
    """The page comes with a policy that allows its own files only."""
    async with http.get("/chat") as response:
        assert response.status == 200
        assert "default-src 'self'" in response.headers["Content-Security-Policy"]
        assert "script-src" not in response.headers["Content-Security-Policy"]


@pytest.mark.parametrize(
    ("path", "kind", "body", "status"),
    [
        ("/chat/send", "application/json", b'{"text": ""}', 422),
        ("/chat/send", "application/json", b'{"text": 5}', 422),
        ("/chat/send", "application/json", b"{}", 422),
        ("/chat/send", "application/json", b"[]", 422),
        ("/chat/send", "application/json", b"{not json", 422),
        ("/chat/send", "application/json", b'{"text": "' + b"x" * 30_000 + b'"}', 422),
        ("/chat/send", "application/json", b'{"text": "' + b"x" * 70_000 + b'"}', 413),
        ("/chat/send", "text/plain", b'{"text": "/start"}', 415),
        ("/chat/send", "application/x-www-form-urlencoded", b"text=hello", 415),
        ("/chat/tap", "application/json", b'{"message_id": "1", "data": "x"}', 422),
        ("/chat/tap", "application/json", b'{"message_id": true, "data": "x"}', 422),
        ("/chat/tap", "application/json", b'{"message_id": 999, "data": "x"}', 422),
        ("/chat/nosuch", "application/json", b"{}", 404),
        ("/chat", "application/json", b"{}", 405),
    ],
)
async def test_bad_requests_are_explained(
    http: aiohttp.ClientSession, path: str, kind: str, body: bytes, status: int
) -> None:
    """What is wrong comes as problem+json, never as a broken server."""
    async with http.post(path, data=body, headers={"Content-Type": kind}) as response:
        assert response.status == status
        assert response.content_type == "application/problem+json"
        assert (await response.json(content_type=None))["detail"]


async def test_events_resume_after_the_last_one_seen(http: aiohttp.ClientSession) -> None:
    """A reader that comes back gets what changed since, each with its revision."""
    async with http.post("/chat/send", json={"text": "one"}) as response:
        assert response.status == 202
    first = await next_event(http, {})
    async with http.post("/chat/send", json={"text": "two"}) as response:
        assert response.status == 202
    after = await next_event(http, {"Last-Event-ID": str(first[0])})
    assert after[0] > first[0]


async def next_event(
    http: aiohttp.ClientSession, headers: dict[str, str]
) -> tuple[int, dict[str, object]]:
    """The first message of the event stream."""
    async with asyncio.timeout(10), http.get("/chat/events", headers=headers) as response:
        number = 0
        async for raw in response.content:
            line = raw.decode().strip()
            if line.startswith("id: "):
                number = int(line[4:])
            elif line.startswith("data: "):
                return number, json.loads(line[6:])
    raise AssertionError("the stream ended")


@pytest.mark.parametrize("after", ["-1", "x", "9" * 30, "²"])
async def test_a_wrong_event_number_starts_from_the_beginning(
    http: aiohttp.ClientSession, after: str
) -> None:
    """Rubbish in Last-Event-ID is no error of the server's."""
    async with http.get("/chat/events", params={"after": after}) as response:
        assert response.status == 200


async def test_a_file_that_is_not_there(http: aiohttp.ClientSession) -> None:
    """An unknown document is a 404."""
    async with http.get("/chat/files/nosuch") as response:
        assert response.status == 404


async def test_a_taken_port_is_said(address: str, tmp_path: Path) -> None:
    """A second bot on the same port ends with the name of the setting to change."""
    port = int(address.rsplit(":", 1)[1])
    with pytest.raises(PortTaken, match="set another PORT"):
        async with build_bot(local_settings(tmp_path, port=port)):
            raise AssertionError("it started")
