"""What operators read in their chat: pure functions of facts, each line within 80 columns, each
message within Telegram's 4,096 characters."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from html import escape

from agents.run_details import RunDetails
from agents.store.runs import RunRow
from bot.ops.health import AgentHealth, DependencyHealth, Health
from bot.ops.rules import RUN_PARKED
from bot.telegram.views import View, cut
from bot.words import shorten, span_words
from resilience.alerts import Alert, Digest, Severity
from resilience.breaker import Mode

COMMANDS: tuple[tuple[str, str], ...] = (
    ("health", "how everything is"),
    ("breakers", "every dependency's breaker"),
    ("breaker", "NAME open, close or auto"),
    ("runs", "the newest runs"),
    ("run", "ID: where a run stands"),
    ("retry", "ID: undo a parked run once more"),
    ("pause", "AGENT: begin no more of its steps"),
    ("resume", "AGENT: begin them again"),
)
"""The operators' commands, as their menu has them."""
WIDTH = 80
_LINES_MAX = 40
_ALERTS_SHOWN = 8
_OUT_SHOWN = 6
_TOLD_SHOWN = 12
_AGENT = "{:<10}{:>14}{:>8}{:>9}{:>9}{:>6}{:>6}"
_MARKS = {Severity.WARNING: "⚠", Severity.CRITICAL: "‼"}


def _table(lines: Iterable[str]) -> str:
    kept = [shorten(line.rstrip(), WIDTH) for line in lines]
    if len(kept) > _LINES_MAX:
        kept = [*kept[: _LINES_MAX - 1], f"and {len(kept) - _LINES_MAX + 1} more"]
    return f"<pre>{escape(chr(10).join(kept), quote=False)}</pre>"


# --- /health ----------------------------------------------------------------------------------


def health(health: Health) -> View:
    """What a first look needs."""
    return View(text=_table(_health_lines(health)))


def _health_lines(health: Health) -> Iterator[str]:
    standing = health.standing
    up = span_words(health.at - standing.started_at)
    yield f"Webscout is {health.status}. {health.at:%d %b %H:%M} UTC, up for {up}"
    yield _AGENT.format("agent", "last success", "errors", "p50", "p95", "wait", "busy")
    for name, agent in health.agents.items():
        yield _agent_line(name, agent, health.at)
    yield _runs_line(health)
    yield _base_line(health)
    yield from _out_lines(health)
    yield _credits_line(health)
    yield _cache_line(health)
    yield from _alert_lines(health.alerts, health.at)


def _agent_line(name: str, agent: AgentHealth, now: datetime) -> str:
    last = "never"
    if agent.last_success_at is not None:
        last = f"{span_words(now - agent.last_success_at)} ago"
    more = "  paused" if agent.paused else ""
    if agent.unscored:
        more += f"  {agent.unscored:,} unscored"
    times, counts = (_ms(agent.p50_ms), _ms(agent.p95_ms)), (agent.queue_depth, agent.in_flight)
    return _AGENT.format(name, last, _percent(agent.error_rate), *times, *counts) + more


def _runs_line(health: Health) -> str:
    runs = health.runs
    if runs["queued"] is None:
        return "Runs: not known, the database does not answer"
    return (
        f"Runs: {runs['queued']:,} waiting, {runs['running']:,} under way, {runs['parked']} parked"
    )


def _base_line(health: Health) -> str:
    problems = health.standing.problems
    lag = f"Event loop {health.standing.loop_lag_s * 1_000:.0f} ms late."
    if not problems:
        return f"The database takes writes, Telegram is connected. {lag}"
    return f"Not ready: {'; '.join(f'{name}: {words}' for name, words in problems.items())}. {lag}"


def _out_lines(health: Health) -> Iterator[str]:
    out = [(name, one) for name, one in health.dependencies.items() if one.breaker != "closed"]
    for name, one in out[:_OUT_SHOWN]:
        yield f"Left alone: {name} since {one.since:%H:%M}, {_why(one, health.at)}"
    if len(out) > _OUT_SHOWN:
        yield f"and {len(out) - _OUT_SHOWN} more: /breakers"


def _why(one: DependencyHealth, now: datetime) -> str:
    if one.next_probe_at is None:
        return one.reason
    return f"{one.reason}; tried in {span_words(one.next_probe_at - now)}"


def _credits_line(health: Health) -> str:
    parts = []
    if (credit := health.standing.apify) is not None:
        known = "not known"
        if credit.share is not None:
            known = f"${credit.used_usd:.2f} of ${credit.limit_usd:.2f} ({credit.share:.0%})"
        parts.append(f"Apify {known}")
    if health.tokens_today is not None:
        parts.append(f"{health.tokens_today:,} LLM tokens today")
    return f"Credits: {', '.join(parts) or 'not known'}"


def _cache_line(health: Health) -> str:
    cache = health.standing.cache
    if cache.ratio(0) is None:
        return "Cache: not asked yet"
    shares = (
        (cache.memory_hits, "memory"),
        (cache.second_hits, "the second tier"),
        (cache.loads, "the source"),
    )
    told = ", ".join(f"{_percent(cache.ratio(hits))} from {where}" for hits, where in shares)
    return f"Cache: {told}"


def _alert_lines(alerts: Sequence[Alert], now: datetime) -> Iterator[str]:
    yield f"Alerts: {len(alerts) or 'none'}"
    for alert in alerts[:_ALERTS_SHOWN]:
        held = ", held back" if alert.held else ", before the restart" if alert.restored else ""
        since = span_words(now - alert.since)
        yield f"{_MARKS[alert.severity]} {alert.words} ({since}{held})"
    if len(alerts) > _ALERTS_SHOWN:
        yield f"and {len(alerts) - _ALERTS_SHOWN} more, on the dashboard"


# --- /breakers --------------------------------------------------------------------------------


def breakers(health: Health) -> View:
    """Every breaker."""
    lines = [f"{'breaker':<20}{'state':<11}{'errors':>7}{'calls':>7}  since"]
    for name, one in health.dependencies.items():
        mode = "" if one.mode is Mode.AUTO else ", by hand"
        lines.append(
            f"{name:<20}{one.breaker:<11}{_percent(one.error_rate):>7}{one.calls:>7}"
            f"  {one.since:%d %b %H:%M}{mode}"
        )
        lines += [f"  {_why(one, health.at)}"] if one.reason else []
    hint = "/breaker NAME open, close or auto"
    return View(text=_table(lines) + f"\n{hint}")


# --- alerts -----------------------------------------------------------------------------------


def digest(told: Digest) -> View:
    """What is new, what is still so, and what is over."""
    lines = [f"{_MARKS[a.severity]} {cut(a.words, 300)}" for a in told.new]
    lines += [f"{_MARKS[a.severity]} still: {cut(a.words, 250)}" for a in told.again]
    lines += [f"✓ over: {cut(_over(alert), 250)}" for alert in told.over]
    shown = lines[:_TOLD_SHOWN]
    if len(lines) > len(shown):
        shown.append(f"and {len(lines) - len(shown)} more: /health")
    if len(lines) > 1:
        shown.insert(0, _counted(told))
    return View(text="\n".join(shown))


def _counted(told: Digest) -> str:
    parts = ((told.new, "new"), (told.again, "still there"), (told.over, "over"))
    return "<b>Alerts:</b> " + ", ".join(f"{len(some)} {words}" for some, words in parts if some)


def _over(alert: Alert) -> str:
    subject = alert.id.subject
    if alert.id.rule == RUN_PARKED:
        subject = f"run {subject.partition('/')[0]}"
    ended = alert.gone_since or alert.since
    after = span_words(ended - alert.since)
    return f"{alert.id.rule} {subject}".rstrip() + f", after {after}"


# --- runs -------------------------------------------------------------------------------------


def runs(rows: Sequence[RunRow]) -> View:
    """The newest runs."""
    lines = [_run_line(row) for row in rows] or ["There are no runs yet."]
    return View(text="\n".join(lines))


def _run_line(row: RunRow) -> str:
    why = f" ({escape(row.error_type)})" if row.error_type else ""
    return f"<code>{row.id}</code> {row.created_at:%d %b %H:%M} {row.kind} {row.status}{why}"


def run(details: RunDetails) -> View:
    """Where a run stands."""
    usage, ident = details.usage, escape(details.run_id)
    ended = f", ended {details.ended_at:%H:%M:%S}" if details.ended_at else ""
    lines = [
        f"Run <code>{ident}</code>: {details.kind}, {escape(details.config)}",
        f"Status: {details.status}" + (f", {escape(details.error.type)}" if details.error else ""),
        f"Begun {details.created_at:%d %b %Y %H:%M:%S} UTC{ended}",
        f"Used: {usage.steps} steps, {usage.tokens:,} tokens, {usage.handoffs} handoffs, "
        f"${usage.apify_usd:.2f}",
        *(f"Degraded: {escape(words)}" for words in details.degraded),
        *(
            f"{step.seq}. {escape(step.name)}: {step.status}"
            + (f", {step.attempts} attempts" if step.attempts > 1 else "")
            + (f" ({escape(step.error.type)})" if step.error else "")
            for step in details.steps
        ),
    ]
    return View(text="\n".join(lines))


# --- small parts ------------------------------------------------------------------------------


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share:.0%}"


def _ms(ms: float | None) -> str:
    if ms is None:
        return "-"
    if ms < 1_000:
        return f"{ms:.0f} ms"
    return f"{ms / 1_000:.1f} s" if ms < 100_000 else f"{ms / 60_000:.0f} min"
