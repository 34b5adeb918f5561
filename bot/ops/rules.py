"""What is wrong with a Health, as data: each rule with how long it has to be so.

An agent's alert is held back while the breaker of one of its dependencies explains it.
"""

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta

from bot.ops.health import AgentHealth, Health
from bot.policies import CACHE_FILE, HEARTBEAT, SUPABASE
from bot.settings import VENDORS
from bot.words import span_words
from resilience.alerts import AlertId, Rule, Severity
from resilience.health import WINDOW_S

RUN_PARKED = "run-parked"
BREAKER_OPEN = "breaker-open"
_NOT_SOURCES = frozenset({*VENDORS, SUPABASE, CACHE_FILE, HEARTBEAT})
_CREDIT_WARN, _CREDIT_LAST = 0.80, 0.95
_ERROR_RATES = ((10, 0.5), (4, 1.0))
"""Of at least so many steps, this share: fewer may fail by chance, once in a quiet week."""
_QUEUE_SHARE = 0.8
_MISSED_PERIODS = 2
_MISSED_SLACK = timedelta(minutes=5)
_LAG_S = 1.0
_CRASH_SHOWN = timedelta(hours=1)
"""Of work that would have ended anyway, such as one run's."""

Rules = tuple[Rule[Health], ...]
Found = Mapping[str, str] | None
"""What is wrong, in words by subject; None while nobody knows."""


def rules(agent_silent_min: float) -> Rules:
    """All there are; an agent is silent when it has had work for so many minutes and no success."""
    silent = timedelta(minutes=agent_silent_min)

    def agent_silent(health: Health) -> Found:
        if health.standing.overview is None:
            return None
        found = {}
        for name, agent in health.agents.items():
            since = _silent_since(agent, health.standing.started_at)
            if since is not None and health.at - since >= silent:
                words = f"{name} has had work for {span_words(health.at - since)} and no success"
                found[name] = words + (", since it is paused" if agent.paused else "")
        return found

    return (
        Rule(
            name="database-unwritable",
            severity=Severity.CRITICAL,
            finds=_database_unwritable,
            for_s=15,
        ),
        Rule(
            name="telegram-unreachable",
            severity=Severity.CRITICAL,
            finds=_telegram_unreachable,
            for_s=60,
        ),
        Rule(name=RUN_PARKED, severity=Severity.CRITICAL, finds=_run_parked, clear_s=0),
        Rule(name="task-crashed", severity=Severity.CRITICAL, finds=_task_crashed),
        Rule(name="loop-lag", severity=Severity.WARNING, finds=_loop_lag, for_s=30),
        Rule(name=BREAKER_OPEN, severity=Severity.WARNING, finds=_breaker_open, for_s=30),
        Rule(
            name="agent-silent",
            severity=Severity.CRITICAL,
            finds=agent_silent,
            held_back_by=_breakers_of,
        ),
        Rule(
            name="agent-errors",
            severity=Severity.WARNING,
            finds=_agent_errors,
            for_s=120,
            clear_s=300,
            after_held_s=WINDOW_S,  # so long the failures that were explained are in its window
            held_back_by=_breakers_of,
        ),
        Rule(
            name="dependency-errors",
            severity=Severity.WARNING,
            finds=_dependency_errors,
            for_s=120,
            clear_s=300,
            after_held_s=WINDOW_S,
            held_back_by=lambda _health, name: (AlertId(BREAKER_OPEN, name),),
        ),
        Rule(
            name="discovery-missed",
            severity=Severity.WARNING,
            finds=_discovery_missed,
            held_back_by=lambda _health, feed: (AlertId(BREAKER_OPEN, feed),),
        ),
        Rule(name="queue-depth", severity=Severity.WARNING, finds=_queue_depth, for_s=60),
        Rule(
            name="credit-low",
            severity=Severity.WARNING,
            finds=lambda health: _credit(health, _CREDIT_WARN),
            held_back_by=lambda _health, account: (AlertId("credit-out", account),),
        ),
        Rule(
            name="credit-out",
            severity=Severity.CRITICAL,
            finds=lambda health: _credit(health, _CREDIT_LAST),
        ),
    )


def parked_subject(run_id: str, seq: int) -> str:
    """A run that is parked once more after a retry is another alert."""
    return f"{run_id}/{seq}"


def _silent_since(agent: AgentHealth, started_at: datetime) -> datetime | None:
    """Since when there is work and no success; what waited before the start counts from there."""
    if agent.pending_since is None:
        return None
    pending = max(agent.pending_since, started_at)
    return max(pending, agent.last_success_at) if agent.last_success_at else pending


def _breakers_of(health: Health, agent: str) -> Collection[AlertId]:
    """The breakers' alerts that would explain the agent's: of sources discovery's, of language
    models the others'."""
    names = set(health.dependencies)
    explain = names - _NOT_SOURCES if agent == "discovery" else names & set(VENDORS)
    return [AlertId(BREAKER_OPEN, name) for name in explain]


def _database_unwritable(health: Health) -> Mapping[str, str]:
    problem = health.standing.problems.get("database")
    return {} if problem is None else {"": f"the database takes no write: {problem}"}


def _telegram_unreachable(health: Health) -> Mapping[str, str]:
    problem = health.standing.problems.get("telegram")
    return {} if problem is None else {"": f"Telegram is not reached: {problem}"}


def _run_parked(health: Health) -> Found:
    overview = health.standing.overview
    if overview is None:
        return None
    return {
        parked_subject(run.run_id, run.seq): f"run {run.run_id} is parked: something of it could "
        f"not be undone. /run {run.run_id} shows it, /retry {run.run_id} tries again"
        for run in overview.parked
    }


def _task_crashed(health: Health) -> Mapping[str, str]:
    return {
        crash.name: f"work in the background ended: {crash.name}"
        + (f" ({crash.error})" if crash.error else "")
        + ("; a restart begins it again" if crash.lasting else "")
        for crash in health.standing.crashes
        if crash.lasting or health.at - crash.at < _CRASH_SHOWN
    }


def _loop_lag(health: Health) -> Mapping[str, str]:
    lag_s = health.standing.loop_lag_s
    return {"": f"the event loop lags by {lag_s:.1f} s"} if lag_s >= _LAG_S else {}


def _breaker_open(health: Health) -> Mapping[str, str]:
    return {
        name: f"{name} is left alone: {one.reason}"
        for name, one in health.dependencies.items()
        if one.is_out
    }


def _agent_errors(health: Health) -> Mapping[str, str]:
    return {
        name: f"{agent.error_rate:.0%} of {name}'s last {agent.calls} steps failed"
        for name, agent in health.agents.items()
        if _too_many(agent.calls, agent.error_rate)
    }


def _dependency_errors(health: Health) -> Mapping[str, str]:
    """What no breaker opens for, such as a key that is not accepted."""
    return {
        name: f"{one.error_rate:.0%} of the last {one.calls} calls of {name} failed"
        for name, one in health.dependencies.items()
        if _too_many(one.calls, one.error_rate)
    }


def _too_many(calls: int, error_rate: float | None) -> bool:
    return error_rate is not None and any(
        calls >= least and error_rate >= share for least, share in _ERROR_RATES
    )


def _discovery_missed(health: Health) -> Mapping[str, str]:
    found: dict[str, str] = {}
    if health.agents["discovery"].paused:
        return found  # that is why, and who paused it knows
    for feed in health.standing.feeds:
        started_at = health.standing.started_at  # nobody read it while there was no process
        late = health.at - max(feed.read_at or started_at, started_at)
        if late > timedelta(seconds=feed.period_s * _MISSED_PERIODS) + _MISSED_SLACK:
            period = span_words(timedelta(seconds=feed.period_s))
            words = f"{feed.name} was not read for {span_words(late)}, it should be every {period}"
            found[feed.name] = words + (f": {feed.error}" if feed.error else "")
    return found


def _queue_depth(health: Health) -> Found:
    queued, most = health.runs["queued"], health.standing.queued_max
    if queued is None:
        return None
    if queued < most * _QUEUE_SHARE:
        return {}
    return {"": f"{queued:,} runs wait; at {most:,} new ones are refused"}


def _credit(health: Health, share: float) -> Mapping[str, str]:
    credit = health.standing.apify
    if credit is None or credit.share is None or credit.share < share:
        return {}
    used = f"${credit.used_usd:.2f} of ${credit.limit_usd:.2f}"
    return {"apify": f"{credit.share:.0%} of Apify's credit is used: {used}"}
