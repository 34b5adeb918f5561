"""The dashboard: its page, what the page asks for, and what operators do on it."""

import asyncio
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from importlib.resources import files
from typing import Any

from aiohttp import web
from pydantic import TypeAdapter

from agents.domain.errors import InvalidValue
from agents.run_details import RunDetails, RunReader
from agents.store.errors import StoreError
from agents.store.operations import ActionStore, OperatorAction
from agents.store.overview import OverviewStore, Which
from agents.store.runs import Place, RunRow, RunStore
from bot.ops.operations import Action, Operations, Unknown
from bot.ops.watch import Watch
from bot.web.access import COOKIE, Access, Visitor, cookie_of
from bot.web.charts import CHARTS
from bot.web.health import as_json, for_operators
from bot.web.runs import cursor_of, place_of
from bot.web.server import Handler, problem
from resilience.saga import Event, RunStatus

EVERY_S = 1.0
HEARTBEAT_EVERY = 15
STREAMS_MAX = 32
RUNS_A_PAGE = 25
ACTIONS_SHOWN = 15
WHO = "dashboard"
_STATIC = {
    "ops.css": "text/css",
    "ops.js": "text/javascript",
    "panels.js": "text/javascript",
    "runs.js": "text/javascript",
    "elements.js": "text/javascript",
    "server.js": "text/javascript",
    "login.js": "text/javascript",
}
_RUN_ID = re.compile(r"[0-9a-f]{1,64}")
_DETAILS: TypeAdapter[RunDetails] = TypeAdapter(RunDetails)


@dataclass(frozen=True, slots=True, kw_only=True)
class Panels:
    """What the dashboard shows and does."""

    access: Access
    watch: Watch
    operations: Operations
    overview: OverviewStore
    runs: RunStore
    reader: RunReader
    actions: ActionStore
    chat: bool
    """Whether there is a chat page to lead to."""


def add_dashboard(application: web.Application, panels: Panels) -> None:
    """Add the routes; streams end when the server does."""
    dashboard = Dashboard(panels)
    operators, acting = for_operators(panels.access), _acting(panels.access)
    add = application.router
    add.add_get("/", dashboard.page)
    add.add_get("/ops/static/{name}", dashboard.static)
    add.add_post("/ops/login", dashboard.login)
    add.add_post("/ops/logout", acting(dashboard.logout))
    add.add_get("/ops/events", operators(dashboard.events))
    add.add_get("/ops/runs", operators(dashboard.list_runs))
    add.add_get("/ops/runs/{id}", operators(dashboard.timeline))
    add.add_get("/ops/actions", operators(dashboard.list_actions))
    add.add_post("/ops/actions", acting(dashboard.act))
    add.add_get("/ops/charts/{name}", operators(dashboard.chart))
    application.on_shutdown.append(dashboard.close)


def _acting(access: Access) -> Any:
    """Makes a handler of an action: only operators' own pages reach it."""
    operators = for_operators(access)

    def wrap(handler: Any) -> Handler:
        async def handle(request: web.Request, visitor: Visitor) -> web.StreamResponse:
            if (refused := access.forged(request, visitor)) is not None:
                return refused
            response: web.StreamResponse = await handler(request, visitor)
            return response

        return operators(handle)

    return wrap


class Dashboard:
    """The handlers."""

    def __init__(self, panels: Panels) -> None:
        self._panels = panels
        self._closing = asyncio.Event()
        self._streams = 0
        self._health: tuple[float, str] = (-EVERY_S, "")
        folder = files("bot.web").joinpath("static")
        self._page = folder.joinpath("ops.html").read_text("utf-8")
        self._login = folder.joinpath("login.html").read_text("utf-8")
        self._files = {name: folder.joinpath(name).read_bytes() for name in _STATIC}

    async def close(self, _application: web.Application) -> None:
        """End the streams."""
        self._closing.set()

    # --- the page ----------------------------------------------------------------------------

    async def page(self, request: web.Request) -> web.StreamResponse:
        """`GET /`: the dashboard, or the way in."""
        visitor = self._panels.access.visitor(request)
        if not isinstance(visitor, Visitor):
            stranger = self._panels.access.stranger(request) is not None
            if stranger or not self._panels.access.asks_for_token:
                return visitor
            return web.Response(text=self._login, content_type="text/html", status=401)
        chat = '<a href="/chat">Chat</a>' if self._panels.chat else ""
        logout = "" if visitor.session is None else '<button id="logout">Log out</button>'
        text = self._page.replace("{csrf}", escape(visitor.csrf))
        text = text.replace("{chat}", chat).replace("{logout}", logout)
        return web.Response(text=text, content_type="text/html")

    async def static(self, request: web.Request) -> web.StreamResponse:
        """The page's own files."""
        if (refused := self._panels.access.stranger(request)) is not None:
            return refused
        name = request.match_info["name"]
        if name not in self._files:
            raise web.HTTPNotFound
        return web.Response(body=self._files[name], content_type=_STATIC[name], charset="utf-8")

    async def login(self, request: web.Request) -> web.StreamResponse:
        """`POST /ops/login` with the token; the cookie comes back."""
        access = self._panels.access
        if (refused := access.stranger(request)) is not None:
            return refused
        if not access.asks_for_token:
            return problem(404, "no-token", "there is nothing to log in to")
        token = (await _json(request)).get("token")
        if not isinstance(token, str):
            return problem(422, "invalid-request", "token: missing, or not a text")
        session = access.login(token, request)
        if not isinstance(session, str):
            return session
        response = web.json_response({})
        cookie_of(response, session, request)
        return response

    async def logout(self, _request: web.Request, visitor: Visitor) -> web.StreamResponse:
        """`POST /ops/logout`."""
        self._panels.access.logout(visitor)
        response = web.json_response({})
        response.del_cookie(COOKIE, path="/")
        return response

    # --- what it shows -----------------------------------------------------------------------

    async def events(self, request: web.Request, visitor: Visitor) -> web.StreamResponse:
        """`GET /ops/events`: the health whenever it changed, by SSE."""
        if self._streams >= STREAMS_MAX:
            return problem(503, "too-many-streams", f"{STREAMS_MAX} pages are open already")
        self._streams += 1
        try:
            return await self._stream(request, visitor)
        finally:
            self._streams -= 1

    async def _stream(self, request: web.Request, visitor: Visitor) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Cache-Control": "no-store"})
        response.content_type = "text/event-stream"
        await response.prepare(request)
        shown, quiet = "", 0
        try:
            while self._panels.access.still_in(visitor):
                health = await self._health_text()
                if _lasting(health) != _lasting(shown):
                    shown, quiet = health, 0
                    await response.write(f"event: health\ndata: {health}\n\n".encode())
                elif (quiet := quiet + 1) % HEARTBEAT_EVERY == 0:
                    await response.write(b": still here\n\n")
                if await self._closes_within(EVERY_S):
                    break
        except ConnectionError:
            pass  # the page was closed
        return response

    async def _health_text(self) -> str:
        """The health as JSON; at most half a second old, however many pages are open."""
        now = asyncio.get_running_loop().time()
        if now - self._health[0] >= EVERY_S / 2:
            health = as_json(await self._panels.watch.health())
            self._health = (now, json.dumps(health))
        return self._health[1]

    async def _closes_within(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                await self._closing.wait()
        except TimeoutError:
            return False
        return True

    async def list_runs(self, request: web.Request, _visitor: Visitor) -> web.StreamResponse:
        """`GET /ops/runs?status=&kind=&cursor=`: everybody's runs, newest first, as ids."""
        query = request.query
        try:
            status = RunStatus(query["status"]) if query.get("status") else None
        except ValueError:
            allowed = ", ".join(RunStatus)
            return problem(422, "invalid-request", f"status: unknown; allowed: {allowed}")
        try:
            before = place_of(query["cursor"]) if query.get("cursor") else None
        except InvalidValue as invalid:
            return problem(422, "invalid-request", str(invalid))
        which = Which(status=status, kind=query.get("kind") or None)
        rows = await self._panels.overview.runs(which, before, RUNS_A_PAGE + 1)
        more = len(rows) > RUNS_A_PAGE
        rows = rows[:RUNS_A_PAGE]
        cursor = cursor_of(Place(rows[-1].created_at, rows[-1].id)) if more else None
        return web.json_response({"runs": [_run(row) for row in rows], "next_cursor": cursor})

    async def timeline(self, request: web.Request, _visitor: Visitor) -> web.StreamResponse:
        """`GET /ops/runs/{id}`: one run's steps, events and spend; nobody's words."""
        run_id = request.match_info["id"]
        row = await self._panels.runs.get(run_id) if _RUN_ID.fullmatch(run_id) else None
        if row is None:
            return problem(404, "run-not-found", "there is no such run")
        details, events = await self._panels.reader.timeline(row)
        body = _DETAILS.dump_python(details, mode="json")
        del body["result"]
        body["events"] = [_event(event) for event in events]
        return web.json_response(body)

    async def list_actions(self, _request: web.Request, _visitor: Visitor) -> web.StreamResponse:
        """`GET /ops/actions`: what operators did last."""
        actions = await self._panels.actions.newest(ACTIONS_SHOWN)
        return web.json_response({"actions": [_action(action) for action in actions]})

    async def chart(self, request: web.Request, _visitor: Visitor) -> web.StreamResponse:
        """`GET /ops/charts/{name}`: an SVG, or nothing yet."""
        draw = CHARTS.get(request.match_info["name"])
        if draw is None:
            raise web.HTTPNotFound
        watch = self._panels.watch
        samples = watch.history.samples
        if not samples:
            return web.Response(status=204)
        svg = await asyncio.to_thread(draw, samples, samples[-1].at)
        if not svg:
            return web.Response(status=204)
        return web.Response(text=svg, content_type="image/svg+xml")

    # --- what is done on it ------------------------------------------------------------------

    async def act(self, request: web.Request, _visitor: Visitor) -> web.StreamResponse:
        """`POST /ops/actions` `{"action", "name"}`."""
        body = await _json(request)
        name = body.get("name")
        try:
            action = Action(str(body.get("action")))
        except ValueError:
            allowed = ", ".join(Action)
            return problem(422, "invalid-request", f"action: unknown; allowed: {allowed}")
        if not isinstance(name, str) or not name.isascii():
            return problem(422, "invalid-request", "name: missing, or no name")
        try:
            done = await self._panels.operations.act(action, name, WHO)
        except Unknown as unknown:
            return problem(404, "not-found", str(unknown))
        except StoreError:
            words = "not done: the database does not answer, and what is done has to be journaled"
            return problem(503, "store-unavailable", words)
        if not done.ok:
            return problem(409, "not-possible", done.words)
        return web.json_response({"words": done.words})


async def _json(request: web.Request) -> Mapping[str, Any]:
    if request.content_type != "application/json":
        raise web.HTTPUnsupportedMediaType
    try:
        body = await request.json()
    except (ValueError, LookupError, RecursionError):
        return {}
    return body if isinstance(body, dict) else {}


def _lasting(health: str) -> str:
    """What of it is worth sending: not that time went by."""
    return re.sub(r'"(at|loop_lag_ms)": [^,}]+', "", health)


def _run(row: RunRow) -> dict[str, Any]:
    return {
        "run_id": row.id,
        "kind": row.kind,
        "status": row.status,
        "team": row.team,
        "config": row.config,
        "error": row.error_type,
        "created_at": row.created_at.isoformat(),
        "ended_at": None if row.ended_at is None else row.ended_at.isoformat(),
    }


def _event(event: Event) -> dict[str, Any]:
    at = event.at.isoformat()
    return {"seq": event.seq, "type": event.type, "at": at, "data": dict(event.data)}


def _action(action: OperatorAction) -> dict[str, Any]:
    return {
        "at": action.at.isoformat(),
        "who": action.who,
        "action": action.action,
        "subject": action.subject,
        "outcome": action.outcome,
    }
