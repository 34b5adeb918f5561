"""What machines ask: `/healthz`, `/readyz`, `/metrics`, `/v1/health`."""

from collections.abc import Callable
from dataclasses import asdict
from datetime import datetime
from typing import Any

from aiohttp import web

from agents.store.errors import StoreError
from bot.ops.health import AgentHealth, Health
from bot.ops.lag import LoopLag
from bot.ops.metrics import Metrics
from bot.ops.readiness import Readiness
from bot.ops.watch import Watch
from bot.web.access import Access, Visitor
from bot.web.server import Handler, problem
from resilience.alerts import Alert

LAG_MAX_S = 1.0

VisitorHandler = Callable[[web.Request, Visitor], Any]


def for_operators(access: Access) -> Callable[[VisitorHandler], Handler]:
    """Makes a handler that only operators reach, and that is given who they are."""

    def wrap(handler: VisitorHandler) -> Handler:
        async def handle(request: web.Request) -> web.StreamResponse:
            visitor = access.visitor(request)
            if not isinstance(visitor, Visitor):
                return visitor
            try:
                response: web.StreamResponse = await handler(request, visitor)
            except StoreError:
                words = "the database does not answer; health and breakers are there all the same"
                return problem(503, "store-unavailable", words)
            return response

        return handle

    return wrap


def add_health(
    application: web.Application,
    *,
    access: Access,
    watch: Watch,
    readiness: Readiness,
    lag: LoopLag,
    metrics: Metrics,
) -> None:
    """Add the routes. The first two say nothing that is not for everybody."""
    operators = for_operators(access)

    async def healthz(_request: web.Request) -> web.StreamResponse:
        lag_s = lag.longest_s
        body = {"status": "ok" if lag_s < LAG_MAX_S else "late", "loop_lag_ms": round(lag_s * 1e3)}
        return web.json_response(body, status=200 if lag_s < LAG_MAX_S else 503)

    async def readyz(_request: web.Request) -> web.StreamResponse:
        names = sorted(await readiness.problems())
        body = {"status": "not ready" if names else "ready", "problems": names}
        return web.json_response(body, status=503 if names else 200)

    async def health(_request: web.Request, _visitor: Visitor) -> web.StreamResponse:
        return web.json_response(as_json(await watch.health()))

    async def scrape(_request: web.Request, _visitor: Visitor) -> web.StreamResponse:
        body, kind = metrics.render(await watch.health())
        return web.Response(body=body, headers={"Content-Type": kind})

    add = application.router
    add.add_get("/healthz", healthz)
    add.add_get("/readyz", readyz)
    add.add_get("/v1/health", operators(health))
    add.add_get("/metrics", operators(scrape))


def as_json(health: Health) -> dict[str, Any]:
    """A Health as `/v1/health` and the dashboard have it."""
    standing, cache = health.standing, health.standing.cache
    apify = standing.apify
    return {
        "status": health.status,
        "at": _iso(health.at),
        "started_at": _iso(standing.started_at),
        "draining": standing.draining,
        "problems": dict(standing.problems),
        "loop_lag_ms": round(standing.loop_lag_s * 1_000),
        "agents": {name: _agent(agent) for name, agent in health.agents.items()},
        "dependencies": {
            name: {
                "breaker": one.breaker,
                "mode": one.mode,
                "since": _iso(one.since),
                "reason": one.reason,
                "next_probe_at": _iso(one.next_probe_at),
                "error_rate": one.error_rate,
                "calls": one.calls,
                "p95_ms": one.p95_ms,
            }
            for name, one in health.dependencies.items()
        },
        "credits": {
            "apify": {
                "used_usd": None if apify is None else apify.used_usd,
                "limit_usd": None if apify is None else apify.limit_usd,
            },
            "llm": {"tokens_today": health.tokens_today},
        },
        "cache": {
            "memory_hit_ratio": cache.ratio(cache.memory_hits),
            "second_hit_ratio": cache.ratio(cache.second_hits),
            "load_ratio": cache.ratio(cache.loads),
            **asdict(cache),
        },
        "runs": dict(health.runs),
        "events": health.events,
        "feeds": [asdict(feed) | {"read_at": _iso(feed.read_at)} for feed in standing.feeds],
        "alerts": [_alert(alert) for alert in health.alerts],
    }


def _agent(agent: AgentHealth) -> dict[str, Any]:
    body = asdict(agent) | {
        "last_success_at": _iso(agent.last_success_at),
        "pending_since": _iso(agent.pending_since),
    }
    if agent.unscored is None:
        del body["unscored"]
    return body


def _alert(alert: Alert) -> dict[str, Any]:
    return {
        "rule": alert.id.rule,
        "subject": alert.id.subject,
        "severity": alert.severity,
        "words": alert.words,
        "since": _iso(alert.since),
        "fired_at": _iso(alert.fired_at),
        "told_at": _iso(alert.told_at),
        "held": alert.held,
        "before_restart": alert.restored,
    }


def _iso(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat(timespec="seconds")
