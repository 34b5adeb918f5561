"""A Health as Prometheus metrics: counted since the start, units in the names, labels bounded by
what is configured."""

from collections.abc import Iterable, Iterator, Mapping

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    GCCollector,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from bot.ops.health import Health
from bot.ops.observed import Observed
from resilience.health import BOUNDS_S, Tally

_BREAKER_STATES = ("closed", "half-open", "open")


class Metrics:
    """Renders the metrics of this process."""

    def __init__(self, observed: Observed) -> None:
        self._observed = observed
        self._process = CollectorRegistry()
        ProcessCollector(registry=self._process)
        PlatformCollector(registry=self._process)
        GCCollector(registry=self._process)

    def render(self, health: Health) -> tuple[bytes, str]:
        """The metrics as text, and its content type."""
        registry = CollectorRegistry()
        registry.register(_Product(self._observed, health))
        return generate_latest(registry) + generate_latest(self._process), CONTENT_TYPE_LATEST


class _Product(Collector):
    """What the product is doing."""

    def __init__(self, observed: Observed, health: Health) -> None:
        self._observed = observed
        self._health = health

    def collect(self) -> Iterable[Metric]:
        """All of it."""
        yield from self._agents()
        yield from self._dependencies()
        yield from self._runs()
        yield from self._cache()
        yield from self._process()

    def _agents(self) -> Iterator[Metric]:
        yield _durations("webscout_step", "steps of agents", "agent", self._observed.agents)
        yield _failures("webscout_step", "steps of agents", "agent", self._observed.agents)
        agents = self._health.agents
        yield _gauge(
            "webscout_agent_queue_depth",
            "Runs that wait for the agent",
            "agent",
            {name: agent.queue_depth for name, agent in agents.items()},
        )
        yield _gauge(
            "webscout_agent_in_flight",
            "Steps of the agent under way",
            "agent",
            {name: agent.in_flight for name, agent in agents.items()},
        )
        yield _gauge(
            "webscout_agent_paused",
            "Whether operators paused the agent",
            "agent",
            {name: int(agent.paused) for name, agent in agents.items()},
        )
        yield _gauge(
            "webscout_agent_last_success_timestamp_seconds",
            "When a step of the agent last succeeded",
            "agent",
            {
                name: agent.last_success_at.timestamp()
                for name, agent in agents.items()
                if agent.last_success_at is not None
            },
        )

    def _dependencies(self) -> Iterator[Metric]:
        calls = self._observed.calls
        yield _durations("webscout_dependency_call", "calls made", "dependency", calls)
        yield _failures("webscout_dependency_call", "calls made", "dependency", calls)
        yield _counter(
            "webscout_dependency_calls_refused",
            "Calls that its guard did not make",
            "dependency",
            self._observed.refused,
        )
        breakers = GaugeMetricFamily(
            "webscout_breaker_state",
            "1 for the state that the breaker is in",
            labels=["dependency", "state"],
        )
        for name, one in self._health.dependencies.items():
            for state in _BREAKER_STATES:
                breakers.add_metric([name, state], int(one.breaker == state))
        yield breakers

    def _runs(self) -> Iterator[Metric]:
        yield _counter(
            "webscout_runs_ended", "Runs that ended, by how", "status", self._observed.ended
        )
        runs = {name: n for name, n in self._health.runs.items() if n is not None}
        yield _gauge("webscout_runs", "Runs that have not ended, and parked ones", "status", runs)
        if self._health.tokens_today is not None:
            tokens = self._health.tokens_today
            yield _one("webscout_llm_tokens_today", "Tokens used since midnight UTC", tokens)
        credit = self._health.standing.apify
        if credit is not None and credit.used_usd is not None and credit.limit_usd is not None:
            yield _one("webscout_apify_used_usd", "Used this month", credit.used_usd)
            yield _one("webscout_apify_limit_usd", "Where Apify stops", credit.limit_usd)

    def _cache(self) -> Iterator[Metric]:
        cache = self._health.standing.cache
        answered = {
            "memory": cache.memory_hits,
            "second": cache.second_hits,
            "loaded": cache.loads - cache.load_errors,
            "error": cache.load_errors,
        }
        yield _counter("webscout_cache_lookups", "Lookups by what answered", "by", answered)
        yield _one("webscout_cache_memory_bytes", "Held in memory", cache.bytes)

    def _process(self) -> Iterator[Metric]:
        standing = self._health.standing
        yield _one("webscout_ready", "Whether it can do its work", int(not standing.problems))
        yield _one("webscout_event_loop_lag_seconds", "Longest of 10 s", standing.loop_lag_s)
        firing: dict[str, int] = {}
        for alert in self._health.alerts:
            firing[alert.id.rule] = firing.get(alert.id.rule, 0) + 1
        yield _gauge("webscout_alerts_firing", "Alerts that fire, by rule", "rule", firing)


def _durations(name: str, what: str, label: str, tallies: Mapping[str, Tally]) -> Metric:
    metric = HistogramMetricFamily(
        f"{name}_duration_seconds", f"How long {what} took", labels=[label]
    )
    for subject, tally in tallies.items():
        counted, buckets = 0, []
        for bound, number in zip((*map(str, BOUNDS_S), "+Inf"), tally.totals.by_bound, strict=True):
            counted += number
            buckets.append((bound, counted))
        metric.add_metric([subject], buckets, tally.totals.seconds)
    return metric


def _failures(name: str, what: str, label: str, tallies: Mapping[str, Tally]) -> Metric:
    failures = {subject: tally.totals.failures for subject, tally in tallies.items()}
    return _counter(f"{name}_failures", f"Failed {what}", label, failures)


def _counter(name: str, what: str, label: str, values: Mapping[str, float]) -> Metric:
    metric = CounterMetricFamily(name, what, labels=[label])
    for subject, value in values.items():
        metric.add_metric([subject], value)
    return metric


def _gauge(name: str, what: str, label: str, values: Mapping[str, float]) -> Metric:
    metric = GaugeMetricFamily(name, what, labels=[label])
    for subject, value in values.items():
        metric.add_metric([subject], value)
    return metric


def _one(name: str, what: str, value: float) -> Metric:
    return GaugeMetricFamily(name, what, value=value)
