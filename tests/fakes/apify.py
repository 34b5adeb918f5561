"""Apify's REST API on loopback, as far as we use it: actors, runs, datasets, the account.

It keeps state as Apify does (a run is READY, then RUNNING, then ends; an abort ends it; what a run
costs is added to the month's usage) and counts what it was asked. A test says beforehand what an
actor finds and how it ends, holds runs and answers back, and lets requests fail.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Self

from aiohttp import web

TOKEN = "apify_api_standin0000000000000000000000"
WAIT_S = 30.0
_STARTED = datetime(2026, 6, 1, 12, 0, tzinfo=UTC)
_ENDED = frozenset({"SUCCEEDED", "FAILED", "TIMED-OUT", "ABORTED"})

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(kw_only=True)
class Fault:
    """A request that goes wrong: with Apify's error body, with `html` instead, or with no answer
    at all (`hangs`). `times` is how often; None is always."""

    status: int = 500
    type: str = "internal-server-error"
    message: str = "Internal server error"
    html: str = ""
    hangs: bool = False
    times: int | None = None

    def response(self) -> web.Response:
        """What is answered."""
        if self.html:
            return web.Response(status=self.status, text=self.html, content_type="text/html")
        error = {"type": self.type, "message": self.message}
        return web.json_response({"error": error}, status=self.status)


@dataclass(kw_only=True)
class Actor:
    """What an actor does when it is run.

    `faults` are by operation: start, run, abort, items, runs, input. `polls` is how many times its
    run is asked about before it ends. `items_counted` is the total that the dataset tells, where it
    lags behind; None is the truth.
    """

    name: str
    notify: Callable[[], None]
    items: Sequence[object] = ()
    ends: str = "SUCCEEDED"
    message: str = ""
    usage_usd: float = 0.01
    polls: int = 0
    items_counted: int | None = None
    faults: dict[str, Fault] = field(default_factory=dict)
    held: bool = False
    start_held: bool = False
    answers_lost: int = 0
    starts: int = 0
    aborts: int = 0

    def hold(self) -> None:
        """Its runs go on until `release`."""
        self.held = True

    def release(self) -> None:
        """Its runs end."""
        self.held = False
        self.notify()

    def hold_start(self) -> None:
        """A start is carried out, but not answered until `release_start`."""
        self.start_held = True

    def lose_answer(self, times: int = 1) -> None:
        """The next starts are carried out, but the connection breaks before they are answered."""
        self.answers_lost = times

    def release_start(self) -> None:
        """Starts are answered."""
        self.start_held = False
        self.notify()


@dataclass(kw_only=True)
class FakeRun:
    """One run: its `query` is what the start's options were, as they came."""

    id: str
    actor: Actor
    input: object
    query: dict[str, str]
    started_at: datetime
    status: str = "READY"
    polled: int = 0

    @property
    def ended(self) -> bool:
        """Whether its status will not change any more."""
        return self.status in _ENDED

    def record(self) -> dict[str, Any]:
        """The run as Apify describes it."""
        options = {
            "build": "latest",
            "timeoutSecs": int(self.query.get("timeout", 300)),
            "memoryMbytes": int(self.query.get("memory", 1024)),
            "diskMbytes": 2048,
        }
        return self.summary() | {
            "statusMessage": self.actor.message or None,
            "stats": {"restartCount": 0, "resurrectCount": 0, "computeUnits": 0.01},
            "options": options,
            "exitCode": 0 if self.status == "SUCCEEDED" else None,
        }

    def summary(self) -> dict[str, Any]:
        """The run as it stands in a list of runs."""
        return {
            "id": self.id,
            "actId": self.actor.name.replace("/", "~"),
            "userId": "user1",
            "status": self.status,
            "startedAt": _iso(self.started_at),
            "finishedAt": _iso(self.started_at + timedelta(seconds=9)) if self.ended else None,
            "buildId": "build1",
            "buildNumber": "0.0.1",
            "meta": {"origin": "API"},
            "usageTotalUsd": self.actor.usage_usd if self.ended else 0.0,
            "defaultKeyValueStoreId": f"kvs-{self.id}",
            "defaultDatasetId": f"dataset-{self.id}",
            "defaultRequestQueueId": f"queue-{self.id}",
        }


@dataclass(frozen=True)
class Seen:
    """A request that came in; `operation` is empty for one that nothing answers to."""

    method: str
    path: str
    query: dict[str, str]
    operation: str


class FakeApify:
    """The stand-in, an async context manager.

    `url` is its base address, without /v2. Account faults are by operation: limits, usage, me.
    `now` is its clock, the real one until a test sets another.
    """

    def __init__(self, token: str = TOKEN) -> None:
        self.token = token
        self.now: Callable[[], datetime] = partial(datetime.now, UTC)
        self.url = ""
        self.used_usd = 0.0
        self.limit_usd = 5.0
        self.runs: list[FakeRun] = []
        self.requests: list[Seen] = []
        self.faults: dict[str, Fault] = {}
        self._actors: dict[str, Actor] = {}
        self._closing = False
        self._changed = asyncio.Event()

    async def __aenter__(self) -> Self:
        self._runner = web.AppRunner(self._app(), shutdown_timeout=1.0)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        host, port = self._runner.addresses[0][:2]
        self.url = f"http://{host}:{port}"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Be gone; whoever still waits for an answer gets one first."""
        self._closing = True
        self.notify()
        await self._runner.cleanup()

    def actor(self, name: str) -> Actor:
        """The actor `user/name`, which exists from now on."""
        return self._actors.setdefault(name, Actor(name=name, notify=self.notify))

    @property
    def starts(self) -> int:
        """How many runs were started, of all actors."""
        return sum(actor.starts for actor in self._actors.values())

    @property
    def aborts(self) -> int:
        """How many aborts were asked for, of all actors."""
        return sum(actor.aborts for actor in self._actors.values())

    def seen(self, operation: str) -> list[Seen]:
        """The requests of that operation, oldest first."""
        return [request for request in self.requests if request.operation == operation]

    def begin(
        self, actor: Actor, run_input: object, query: dict[str, str] | None = None
    ) -> FakeRun:
        """A run of the actor begins now, whoever started it: it is not counted as a start."""
        run = FakeRun(
            id=f"run{len(self.runs) + 1}",
            actor=actor,
            input=run_input,
            query=query or {},
            started_at=self.now(),
        )
        self.runs.append(run)
        return run

    async def until(self, found: Callable[[], bool]) -> None:
        """Wait until `found()`; it is asked again whenever something here changes."""
        async with asyncio.timeout(WAIT_S):
            await self._until(found)

    def notify(self) -> None:
        """Something changed: those who wait look again."""
        self._changed.set()
        self._changed = asyncio.Event()

    async def _until(self, found: Callable[[], bool]) -> None:
        while not found():
            await self._changed.wait()

    def _app(self) -> web.Application:
        app = web.Application(middlewares=[self._gate], client_max_size=10_000_000)
        for method, path, operation, handler in self._routes():
            app.router.add_route(method, f"/v2/{path}", handler, name=operation)
        return app

    def _routes(self) -> Iterator[tuple[str, str, str, Handler]]:
        # Both spellings exist at Apify: the SDK says actors, the documentation acts.
        yield "POST", "{acts:acts|actors}/{actor}/runs", "start", self._start
        yield "GET", "{acts:acts|actors}/{actor}/runs", "runs", self._runs
        yield "GET", "actor-runs/{run}", "run", self._run
        yield "POST", "actor-runs/{run}/abort", "abort", self._abort
        yield "GET", "datasets/dataset-{run}/items", "items", self._items
        yield "GET", "key-value-stores/kvs-{run}/records/INPUT", "input", self._input
        yield "GET", "users/me", "me", self._me
        yield "GET", "users/me/limits", "limits", self._limits
        yield "GET", "users/me/usage/monthly", "usage", self._usage

    @web.middleware
    async def _gate(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        operation = request.match_info.route.name or ""
        self.requests.append(Seen(request.method, request.path, dict(request.query), operation))
        self.notify()
        if request.headers.get("Authorization") != f"Bearer {self.token}":
            return _error(401, "user-or-token-not-found", "User or token was not found")
        try:
            fault = self._fault(operation, request)
            if fault is None:
                return await handler(request)
            if fault.hangs:
                await self._until(lambda: self._closing)
            return fault.response()
        except LookupError as missing:
            return _error(404, "record-not-found", f"{missing} was not found")

    def _fault(self, operation: str, request: web.Request) -> Fault | None:
        faults = self.faults
        if "actor" in request.match_info:
            faults = self._actor(request).faults
        elif "run" in request.match_info:
            faults = self._find(request).actor.faults
        fault = faults.get(operation)
        if fault is None or fault.times == 0:
            return None
        if fault.times is not None:
            fault.times -= 1
        return fault

    def _actor(self, request: web.Request) -> Actor:
        name = request.match_info["actor"].replace("~", "/")
        if name not in self._actors:
            raise LookupError("Actor")
        return self._actors[name]

    def _find(self, request: web.Request) -> FakeRun:
        wanted = request.match_info["run"]
        for run in self.runs:
            if run.id == wanted:
                return run
        raise LookupError("Actor run")

    async def _start(self, request: web.Request) -> web.Response:
        actor = self._actor(request)
        if self.used_usd >= self.limit_usd:
            message = "By launching this job you will exceed your remaining usage"
            return _error(402, "not-enough-usage-to-run-paid-actor", message)
        run_input = json.loads(await request.text() or "null")
        run = self.begin(actor, run_input, dict(request.query))
        actor.starts += 1
        self.notify()
        if actor.answers_lost and request.transport is not None:
            actor.answers_lost -= 1
            request.transport.close()
        await self._until(lambda: not actor.start_held or self._closing)
        if "waitForFinish" in request.query:
            await self._wait(run, request)
        return web.json_response({"data": run.record()}, status=201)

    async def _run(self, request: web.Request) -> web.Response:
        run = self._find(request)
        await self._wait(run, request)
        return web.json_response({"data": run.record()})

    async def _wait(self, run: FakeRun, request: web.Request) -> None:
        """Wait for its end as long as the request allows; Apify waits 60 s at most."""
        run.polled += 1
        seconds = min(60.0, float(request.query.get("waitForFinish", 0)))
        if not self._step(run) and seconds:
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._until(lambda: self._step(run) or self._closing)

    def _step(self, run: FakeRun) -> bool:
        """Move the run on; whether this request about it can be answered."""
        if run.ended:
            return True
        if run.actor.held or run.polled <= run.actor.polls:
            run.status = "RUNNING"
            return not run.actor.held
        self._end(run, run.actor.ends)
        return True

    def _end(self, run: FakeRun, status: str) -> None:
        run.status = status
        self.used_usd += run.actor.usage_usd
        self.notify()

    async def _abort(self, request: web.Request) -> web.Response:
        run = self._find(request)
        run.actor.aborts += 1
        if not run.ended:
            self._end(run, "ABORTED")
        self.notify()
        return web.json_response({"data": run.record()})

    async def _items(self, request: web.Request) -> web.Response:
        actor = self._find(request).actor
        offset = int(request.query.get("offset", 0))
        limit = int(request.query.get("limit", 250_000))
        rows = actor.items[offset : offset + limit]
        total = len(actor.items) if actor.items_counted is None else actor.items_counted
        page = {"Total": total, "Offset": offset, "Limit": limit, "Count": len(rows)}
        headers = {f"X-Apify-Pagination-{name}": str(value) for name, value in page.items()}
        headers["X-Apify-Pagination-Desc"] = "false"
        if request.query.get("clean") in {"1", "true"}:
            rows = [_cleaned(row) for row in rows if row not in ({}, [], None, "")]
        if request.query.get("format") == "jsonl":
            lines = "".join(json.dumps(row) + "\n" for row in rows)
            return web.Response(text=lines, headers=headers, content_type="application/jsonl")
        return web.json_response(list(rows), headers=headers)

    async def _runs(self, request: web.Request) -> web.Response:
        actor = self._actor(request)
        after, before = (_moment(request.query.get(k)) for k in ("startedAfter", "startedBefore"))
        runs = [
            run.summary()
            for run in self.runs
            if run.actor is actor
            and (after is None or run.started_at >= after)
            and (before is None or run.started_at <= before)
        ]
        desc = request.query.get("desc") in {"1", "true"}
        offset, limit = (int(request.query.get(k, d)) for k, d in (("offset", 0), ("limit", 1000)))
        items = (runs[::-1] if desc else runs)[offset : offset + limit]
        page = {"total": len(runs), "offset": offset, "limit": limit, "count": len(items)}
        return web.json_response({"data": {"items": items, "desc": desc} | page})

    async def _input(self, request: web.Request) -> web.Response:
        return web.json_response(self._find(request).input)

    async def _me(self, _: web.Request) -> web.Response:
        return web.json_response({"data": {"id": "user1", "username": "standin"}})

    async def _limits(self, _: web.Request) -> web.Response:
        jobs = sum(not run.ended for run in self.runs)
        data = {
            "monthlyUsageCycle": _cycle(),
            "limits": _LIMITS | {"maxMonthlyUsageUsd": self.limit_usd},
            "current": _CURRENT | {"monthlyUsageUsd": self.used_usd, "activeActorJobCount": jobs},
        }
        return web.json_response({"data": data})

    async def _usage(self, _: web.Request) -> web.Response:
        item = {"quantity": 1.0, "baseAmountUsd": self.used_usd}
        data = {
            "usageCycle": _cycle(),
            "monthlyServiceUsage": {"ACTOR_COMPUTE_UNITS": item},
            "dailyServiceUsages": [],
            "totalUsageCreditsUsdBeforeVolumeDiscount": self.used_usd,
            "totalUsageCreditsUsdAfterVolumeDiscount": self.used_usd,
        }
        return web.json_response({"data": data})


_LIMITS = {
    "maxMonthlyActorComputeUnits": 1000,
    "maxMonthlyExternalDataTransferGbytes": 7,
    "maxMonthlyProxySerps": 50,
    "maxMonthlyResidentialProxyGbytes": 0.5,
    "maxActorMemoryGbytes": 8,
    "maxActorCount": 100,
    "maxActorTaskCount": 1000,
    "maxConcurrentActorJobs": 25,
    "maxTeamAccountSeatCount": 1,
    "dataRetentionDays": 7,
}
_CURRENT = {
    "monthlyActorComputeUnits": 0.5,
    "monthlyExternalDataTransferGbytes": 0.1,
    "monthlyProxySerps": 0,
    "monthlyResidentialProxyGbytes": 0.0,
    "actorMemoryGbytes": 0,
    "actorCount": 0,
    "actorTaskCount": 0,
    "teamAccountSeatCount": 1,
}


def _error(status: int, error_type: str, message: str) -> web.Response:
    return Fault(status=status, type=error_type, message=message).response()


def _cleaned(row: object) -> object:
    if not isinstance(row, dict):
        return row
    return {key: value for key, value in row.items() if not str(key).startswith("#")}


def _cycle() -> dict[str, str]:
    month = timedelta(days=30)
    return {"startAt": _iso(_STARTED), "endAt": _iso(_STARTED + month)}


def _moment(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


def _iso(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
