"""The run API on an application: its routes, for the teams whose keys are known."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version

from aiohttp import web

from agents.run_details import RunReader
from agents.run_feed import RunFeed
from agents.runner import Runner
from agents.store.people import PeopleStore
from bot.web.openapi import document
from bot.web.run_events import EventStreams
from bot.web.runs import RunRoutes, for_teams, later
from bot.web.teams import Teams

_BACK_S = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Api:
    """What the run API stands on. `sources` are asked where a run names none, `known_sources` are
    all that it may name; while `stopping` no run is taken."""

    teams: Teams
    runner: Runner
    reader: RunReader
    feed: RunFeed
    people: PeopleStore
    sources: tuple[str, ...]
    known_sources: Sequence[str]
    stopping: Callable[[], bool]


def add_api(application: web.Application, api: Api) -> None:
    """Add the routes; streams end when the server does."""
    teams = for_teams(api.teams)
    runs = RunRoutes(api.runner, api.reader, api.people, api.sources, api.known_sources)
    events = EventStreams(api.reader, api.feed)
    described = document(version("webscout"), tuple(api.known_sources))

    async def create(request: web.Request, team: str) -> web.StreamResponse:
        if api.stopping():
            words = "this process is stopping; the next one takes runs again"
            return later(503, "shutting-down", words, _BACK_S)
        return await runs.create(request, team)

    async def describe(_request: web.Request) -> web.StreamResponse:
        return web.json_response(described)

    async def close(_application: web.Application) -> None:
        api.feed.close()

    add = application.router
    add.add_post("/v1/runs", teams(create))
    add.add_get("/v1/runs", teams(runs.list))
    add.add_get("/v1/runs/{id}", teams(runs.get))
    add.add_get("/v1/runs/{id}/events", teams(events.stream))
    add.add_post("/v1/runs/{id}/cancel", teams(runs.cancel))
    add.add_get("/v1/openapi.json", describe)
    application.on_shutdown.append(close)
