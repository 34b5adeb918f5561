"""A program at the run API over HTTP: it starts runs, reads them, follows their events."""

import asyncio
import json
import secrets
import sqlite3
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, closing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import aiohttp
from multidict import CIMultiDict
from yarl import URL

from agents.action.agent import ActionAgent, Drafted
from agents.domain.run import ScoutRequest
from agents.store.admission import Quotas
from agents.store.codec import REQUEST
from agents.store.database import Database
from agents.store.ledger import Ledger
from agents.store.owner import Owner
from agents.store.people import PeopleStore
from agents.store.runs import NewRun, RunStore
from bot.bootstrap import Fakes, build_bot
from resilience.clock import SystemClock
from resilience.saga import EventType, JsonValue
from tests.conftest import local_settings
from tests.fakes.people import WatchedClock

BLUE, RED = "blue-key-of-16-chars", "red-key-of-16-characters"
KEYS = f"blue:{BLUE},red:{RED}"
SCOUT = {"kind": "scout", "sources": ["sample"]}
WAIT_S = 30.0
ENDED = {"completed", "compensated", "failed", "cancelled", "parked"}
UNDO_PAUSES_S = (1.0, 2.0)
"""Between the three times that an undo is tried."""
CLOSING = {f"run.{status}" for status in ENDED}


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer of the API; `body` is its JSON, or None."""

    status: int
    headers: Mapping[str, str]
    body: Any
    kind: str

    @property
    def problem(self) -> str:
        """The type of the problem that it is; it is checked to be a whole one."""
        assert self.kind == "application/problem+json"
        assert self.body["status"] == self.status
        assert self.body["title"]
        assert self.body["detail"]
        return str(self.body["type"])

    @property
    def places(self) -> list[str]:
        """The places that are said to be wrong."""
        return [error["place"] for error in self.body["errors"]]


@dataclass(frozen=True, slots=True)
class Seen:
    """A server-sent event."""

    id: int
    type: str
    data: dict[str, Any]


class ApiClient:
    """One team's program. Its session is closed by who opened it."""

    def __init__(
        self, session: aiohttp.ClientSession, address: str, key: str | None = BLUE
    ) -> None:
        self._session = session
        self._address = URL(address)
        self._key = key

    def of(self, key: str | None) -> "ApiClient":
        """A program with another key, or with none."""
        return ApiClient(self._session, str(self._address), key)

    async def ask(
        self,
        method: str,
        path: str,
        *,
        body: object = None,
        headers: Mapping[str, str] | None = None,
        query: Mapping[str, object] | None = None,
    ) -> Answer:
        """Any request; a `body` that is neither bytes nor a stream of them is sent as JSON."""
        sent: Any = body
        if isinstance(body, dict | list | str | int):
            sent = json.dumps(body).encode()
        async with self._session.request(
            method,
            path,
            data=sent,
            headers=CIMultiDict([*self._authorization().items(), *(headers or {}).items()]),
            params={name: str(value) for name, value in (query or {}).items()},
        ) as response:
            text = await response.text()
            body = json.loads(text) if response.content_type.endswith("json") else None
            return Answer(response.status, response.headers, body, response.content_type)

    @property
    def address(self) -> str:
        """The server's address."""
        return str(self._address).rstrip("/")

    def elsewhere(self) -> AbstractAsyncContextManager["ApiClient"]:
        """The same program with a session of its own, which outlives this one's."""
        return api_of(self.address, self._key)

    @property
    def host(self) -> str:
        """The server's host."""
        return str(self._address.host)

    @property
    def port(self) -> int:
        """The server's port."""
        return int(self._address.port or 0)

    @asynccontextmanager
    async def raw(self, method: str, path: str) -> AsyncIterator[aiohttp.ClientResponse]:
        """A request whose path is sent as it is written."""
        address = URL(f"{self._address}".rstrip("/") + path, encoded=True)
        async with self._session.request(
            method, address, headers=self._authorization()
        ) as response:
            yield response

    async def start(self, body: object = SCOUT, key: str | None = None) -> Answer:
        """POST /v1/runs, with an idempotency key if there is one."""
        headers = {} if key is None else {"Idempotency-Key": key}
        return await self.ask("POST", "/v1/runs", body=body, headers=headers)

    async def started(self, **fields: object) -> str:
        """Start a run that is accepted; its id."""
        answer = await self.start(SCOUT | fields)
        assert answer.status == 202, answer.body
        return str(answer.body["run_id"])

    async def run(self, run_id: str) -> dict[str, Any]:
        """GET /v1/runs/{id}."""
        answer = await self.ask("GET", f"/v1/runs/{run_id}")
        assert answer.status == 200, answer.body
        body: dict[str, Any] = answer.body
        return body

    async def cancel(self, run_id: str) -> Answer:
        """POST /v1/runs/{id}/cancel."""
        return await self.ask("POST", f"/v1/runs/{run_id}/cancel")

    async def ended(self, run_id: str) -> dict[str, Any]:
        """The run, once it has ended."""
        await self.events(run_id)
        run = await self.run(run_id)
        assert run["status"] in ENDED
        return run

    @asynccontextmanager
    async def stream(
        self,
        run_id: str,
        after: int | None = None,
        query: Mapping[str, object] | None = None,
    ) -> AsyncIterator[AsyncIterator[Seen]]:
        """The run's event stream, open."""
        headers = {} if after is None else {"Last-Event-ID": str(after)}
        async with self._session.get(
            f"/v1/runs/{run_id}/events",
            headers=self._authorization() | headers,
            params={name: str(value) for name, value in (query or {}).items()},
            timeout=aiohttp.ClientTimeout(total=WAIT_S),
        ) as response:
            assert response.status == 200, await response.text()
            assert response.content_type == "text/event-stream"
            yield read_events(response.content)

    async def events(
        self, run_id: str, after: int | None = None, query: Mapping[str, object] | None = None
    ) -> list[Seen]:
        """All that the stream says until it closes."""
        async with self.stream(run_id, after, query) as events:
            return [event async for event in events]

    async def until(self, run_id: str, event: str) -> list[Seen]:
        """The events up to the first of that type; then the client leaves."""
        seen = []
        async with self.stream(run_id) as events:
            async for one in events:
                seen.append(one)
                if one.type == event:
                    return seen
        raise AssertionError(f"the stream ended without {event}: {[e.type for e in seen]}")

    def _authorization(self) -> dict[str, str]:
        return {} if self._key is None else {"Authorization": f"Bearer {self._key}"}


async def read_events(content: aiohttp.StreamReader) -> AsyncIterator[Seen]:
    """The events of a stream; comments are passed over."""
    lines: dict[str, str] = {}
    async for raw in content:
        line = raw.decode().rstrip("\n")
        if line:
            name, _, value = line.partition(": ")
            assert name in {"", "id", "event", "data"}
            lines[name] = value
        elif "data" in lines:
            yield Seen(int(lines["id"]), lines["event"], json.loads(lines["data"]))
            lines = {}


@asynccontextmanager
async def api_of(address: str, key: str | None = BLUE) -> AsyncIterator[ApiClient]:
    """A program at a server that runs."""
    async with aiohttp.ClientSession(
        address, connector=aiohttp.TCPConnector(limit=300), timeout=aiohttp.ClientTimeout(WAIT_S)
    ) as session:
        yield ApiClient(session, address, key)


@asynccontextmanager
async def api_bot(
    folder: Path, fakes: Fakes | None = None, **settings: object
) -> AsyncIterator[ApiClient]:
    """A bot in local mode with two teams' keys, and the blue team's program at it."""
    values: dict[str, object] = {"api_keys": KEYS, "sources": ("sample",)}
    async with (
        build_bot(local_settings(folder, **(values | settings)), fakes) as running,
        api_of(running.address or "") as client,
    ):
        yield client


class StagedAction(ActionAgent):
    """Drafts nothing. A test holds its work or its undo at a gate, and says how they end."""

    def __init__(self, *, held: bool = False, fails: bool = False) -> None:
        self.asked, self.gate = asyncio.Event(), asyncio.Event()
        self.undo_asked, self.undo_gate = asyncio.Event(), asyncio.Event()
        self.fails = fails
        self.undo_fails = False
        self.undo_gate.set()
        if not held:
            self.gate.set()

    async def act(self, *_args: object, **_kwargs: object) -> Drafted:
        """Wait for the gate; then fail, or draft nothing."""
        self.asked.set()
        await self.gate.wait()
        if self.fails:
            raise RuntimeError("the printer is on fire")
        return Drafted(drafts=())

    async def discard(self, run_id: str) -> str | None:
        """Wait for the gate; then fail, or say that nothing was there."""
        self.undo_asked.set()
        await self.undo_gate.wait()
        if self.undo_fails:
            raise RuntimeError("the shredder is jammed")
        return None


async def park(clock: WatchedClock) -> None:
    """Let the pauses pass after which an undo that fails is tried no more."""
    for pause_s in UNDO_PAUSES_S:
        await clock.until_asleep(pause_s)
        clock.advance(pause_s)


@dataclass(frozen=True, slots=True)
class OtherProcess:
    """Another process that shares the bot's database."""

    ledger: Ledger
    runs: RunStore
    people: PeopleStore

    async def run(self) -> str:
        """A run of the blue team that this process has begun and works on."""
        person, run_id = await self.people.person("api", "blue"), secrets.token_hex(8)
        request = REQUEST.dump_json(ScoutRequest(sources=("sample",))).decode()
        new = NewRun(
            run_id=run_id,
            kind="scout",
            user_id=person.id,
            config="scout@1",
            request=request,
            team="blue",
        )
        await self.runs.create(new, Quotas())
        assert await self.ledger.claim(run_id)
        return run_id

    async def add(self, run_id: str, event: EventType, **data: JsonValue) -> None:
        """Store an event of a run."""
        await self.ledger.append(run_id, event, data)


@asynccontextmanager
async def elsewhere(
    folder: Path, now: Callable[[], datetime] | None = None
) -> AsyncIterator[OtherProcess]:
    """Another process, as far as the bot can tell."""
    async with Database.open(f"sqlite:///{folder}/var/webscout.db") as shared:
        now = now or SystemClock().now
        yield OtherProcess(
            Ledger(shared, now, Owner("another-machine:1:0")),
            RunStore(shared, now),
            PeopleStore(shared, now),
        )


def database(folder: Path, query: str) -> list[tuple[object, ...]]:
    """What stands in the database; a change of it is made, too."""
    with closing(sqlite3.connect(folder / "var/webscout.db", timeout=20)) as connection:
        found = connection.execute(query).fetchall()
        connection.commit()
        return found


def numbered(events: list[Seen], after: int = 0) -> bool:
    """Whether the events are all there, each once and in order."""
    return [event.id for event in events] == list(range(after + 1, after + 1 + len(events)))
