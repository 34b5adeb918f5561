"""How the product is doing: one pure function from what was observed and surveyed to a Health.

The same Health stands behind `/health`, `GET /v1/health`, the dashboard and `/metrics`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from agents.store.overview import Overview
from bot.ops.observed import Observed
from resilience.alerts import Alert
from resilience.background import Crashed
from resilience.breaker import CLOSED, BreakerView, Mode
from resilience.health import Reading
from resilience.saga import RunStatus

_UNNEEDED_AFTER = timedelta(minutes=5)
AGENTS_OF_KIND = {"scout": "discovery", "ask": "triage"}
"""The agent that a new run of each kind waits for."""


class Status(StrEnum):
    """How it is in a word."""

    OK = "ok"
    DEGRADED = "degraded"
    DOWN = "down"


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedState:
    """A scheduled feed: how often it should be read, and when it last was."""

    name: str
    period_s: float
    read_at: datetime | None
    failures: int
    error: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheCounts:
    """How the lookups since the start were answered, and what memory holds."""

    memory_hits: int = 0
    second_hits: int = 0
    loads: int = 0
    load_errors: int = 0
    stale: int = 0
    second_errors: int = 0
    entries: int = 0
    bytes: int = 0

    def ratio(self, hits: int) -> float | None:
        """The share of the lookups that were answered so."""
        lookups = self.memory_hits + self.second_hits + self.loads
        return hits / lookups if lookups else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Credit:
    """What the Apify account used this month; None while that is not known."""

    used_usd: float | None = None
    limit_usd: float | None = None

    @property
    def share(self) -> float | None:
        """How much of it is used."""
        if self.used_usd is None or not self.limit_usd:
            return None
        return self.used_usd / self.limit_usd


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What a survey found. `overview` is None while the database does not answer; `waiting` are the
    runs that wait for a paused agent, `waiting_since` since when, `problems` what
    keeps the process from being ready."""

    started_at: datetime
    breakers: tuple[BreakerView, ...] = ()
    overview: Overview | None = None
    waiting: Mapping[str, int] = field(default_factory=dict)
    waiting_since: Mapping[str, datetime] = field(default_factory=dict)
    paused: frozenset[str] = frozenset()
    problems: Mapping[str, str] = field(default_factory=dict)
    apify: Credit | None = None
    cache: CacheCounts = CacheCounts()
    feeds: tuple[FeedState, ...] = ()
    crashes: tuple[Crashed, ...] = ()
    loop_lag_s: float = 0.0
    queued_max: int = 1_000
    draining: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentHealth:
    """One agent. `queue_depth` counts the runs that wait for it; `pending_since` is when the oldest
    work came that it has not done, or since when it is tried in vain; `unscored` is matching's: the
    postings of waiting runs."""

    last_success_at: datetime | None
    error_rate: float | None
    calls: int
    p50_ms: float | None
    p95_ms: float | None
    queue_depth: int
    in_flight: int
    paused: bool
    pending_since: datetime | None
    unscored: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DependencyHealth:
    """One dependency behind a guard."""

    breaker: str
    mode: Mode
    since: datetime
    reason: str
    next_probe_at: datetime | None
    error_rate: float | None
    calls: int
    p95_ms: float | None
    unneeded: bool = False
    """Whether its time is over and nobody has asked it for a while: it is tried by whoever does."""

    @property
    def is_out(self) -> bool:
        """Whether it is left alone, by itself."""
        return self.breaker != "closed" and self.mode is Mode.AUTO and not self.unneeded


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """How the product was doing at an instant."""

    status: Status
    at: datetime
    standing: Standing
    agents: Mapping[str, AgentHealth]
    dependencies: Mapping[str, DependencyHealth]
    tokens_today: int | None
    events: int
    """A number that changes when something happened to a run here."""
    alerts: tuple[Alert, ...] = ()

    @property
    def runs(self) -> Mapping[str, int | None]:
        """How many runs wait, work and are parked; None while nobody knows."""
        overview = self.standing.overview
        if overview is None:
            return {"queued": None, "running": None, "parked": None}
        return {
            "queued": overview.of(RunStatus.QUEUED),
            "running": overview.of(RunStatus.RUNNING, RunStatus.COMPENSATING),
            "parked": overview.of(RunStatus.PARKED),
        }


def snapshot(
    observed: Observed, standing: Standing, now: datetime, alerts: tuple[Alert, ...] = ()
) -> Health:
    """How it is at `now`; reads only what it is given."""
    agents = {name: _agent(name, observed, standing) for name in observed.agents}
    dependencies = {
        view.name: _dependency(view, observed.calls[view.name].reading(), now)
        for view in standing.breakers
    }
    return Health(
        status=_status(standing, dependencies, alerts),
        at=now,
        standing=standing,
        agents=agents,
        dependencies=dependencies,
        tokens_today=None if standing.overview is None else standing.overview.tokens_today,
        events=observed.events,
        alerts=alerts,
    )


def _status(
    standing: Standing, dependencies: Mapping[str, DependencyHealth], alerts: tuple[Alert, ...]
) -> Status:
    if standing.problems:
        return Status.DOWN
    out = any(one.breaker != "closed" and not one.unneeded for one in dependencies.values())
    return Status.DEGRADED if out or alerts or standing.paused else Status.OK


def _agent(name: str, observed: Observed, standing: Standing) -> AgentHealth:
    reading = observed.agents[name].reading()
    under_way = [step.since for step in observed.under_way.values() if step.agent == name]
    queued, pending = standing.waiting.get(name, 0), list(under_way)
    if name in standing.waiting_since:
        pending.append(standing.waiting_since[name])
    if reading.calls and name in observed.unserved_since:  # it was tried lately, in vain
        pending.append(observed.unserved_since[name])
    if (overview := standing.overview) is not None:
        for kind, first in AGENTS_OF_KIND.items():
            if first == name:
                queued += overview.queued(kind)
                pending += [overview.waiting_since[kind]] if kind in overview.waiting_since else []
    return AgentHealth(
        last_success_at=reading.last_success_at,
        error_rate=reading.error_rate,
        calls=reading.calls,
        p50_ms=_ms(reading.p50_s),
        p95_ms=_ms(reading.p95_s),
        queue_depth=queued,
        in_flight=len(under_way),
        paused=name in standing.paused,
        pending_since=min(pending, default=None),
        unscored=sum(observed.unscored.values()) if name == "matching" else None,
    )


def _dependency(view: BreakerView, reading: Reading, now: datetime) -> DependencyHealth:
    probes_in_s = view.probes_in_s
    last = max(filter(None, (view.since, reading.last_failure_at)))
    return DependencyHealth(
        breaker=view.state.name.lower().replace("_", "-"),
        mode=view.mode,
        since=view.since,
        reason=view.reason if view.state is not CLOSED else "",
        # None also where it is tried as soon as somebody needs it.
        next_probe_at=now + timedelta(seconds=probes_in_s) if probes_in_s else None,
        error_rate=reading.error_rate,
        calls=reading.calls,
        p95_ms=_ms(reading.p95_s),
        unneeded=view.state is not CLOSED and probes_in_s == 0 and now - last > _UNNEEDED_AFTER,
    )


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1_000, 1)
