"""An operator's browser, as far as HTTP goes: it keeps cookies, and may lie about who it is."""

import json
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp

TOKEN = "an-operators-token-of-length"


@dataclass(frozen=True, slots=True)
class Answer:
    """What came: the status, the headers, the text."""

    status: int
    headers: Mapping[str, str]
    text: str

    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.text)


class Operator:
    """A browser at a server."""

    def __init__(self, session: aiohttp.ClientSession, address: str) -> None:
        self._session = session
        self.address = address
        self.csrf = ""

    async def ask(
        self, method: str, path: str, headers: Mapping[str, str] | None = None, body: Any = None
    ) -> Answer:
        """One request, without following anything."""
        async with self._session.request(
            method, path, headers=headers, json=body, allow_redirects=False
        ) as response:
            return Answer(response.status, response.headers, await response.text())

    async def get(self, path: str, headers: Mapping[str, str] | None = None) -> Answer:
        """GET."""
        return await self.ask("GET", path, headers)

    async def login(self, token: str = TOKEN) -> Answer:
        """Hand the token over; the cookie is kept."""
        return await self.ask("POST", "/ops/login", body={"token": token})

    async def open(self) -> Answer:
        """Load the page; its CSRF token is kept."""
        page = await self.get("/")
        if found := re.search(r'name="csrf" content="([0-9a-f]+)"', page.text):
            self.csrf = found.group(1)
        return page

    @asynccontextmanager
    async def follow(self) -> AsyncIterator[aiohttp.StreamReader]:
        """The dashboard's stream."""
        async with self._session.get("/ops/events") as response:
            assert response.content_type == "text/event-stream"
            yield response.content

    async def act(self, action: str, name: str, **headers: str) -> Answer:
        """Do something, as the page does it; `headers` with underscores."""
        sent = {"X-CSRF-Token": self.csrf} | {
            key.replace("_", "-"): value for key, value in headers.items()
        }
        return await self.ask("POST", "/ops/actions", sent, {"action": action, "name": name})


@asynccontextmanager
async def operator(address: str) -> AsyncIterator[Operator]:
    """A browser at the address."""
    jar = aiohttp.CookieJar(unsafe=True)  # keeps cookies of bare addresses, as browsers do
    async with aiohttp.ClientSession(address, cookie_jar=jar) as session:
        yield Operator(session, address)
