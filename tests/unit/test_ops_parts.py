"""The parts of operations: readiness, history, charts, metrics."""

import asyncio
from datetime import timedelta

import pytest
from prometheus_client.parser import text_string_to_metric_families

from agents.store.errors import StoreError
from bot.ops.health import Credit
from bot.ops.heartbeat import NotTaken, ping_fault
from bot.ops.history import EVERY, History
from bot.ops.metrics import Metrics
from bot.ops.readiness import KNOWN_FOR_S, Life, Readiness
from bot.telegram.connection import Connection
from bot.web.charts import CHARTS
from resilience.alerts import Alert, AlertId, Severity
from resilience.fault import FaultKind
from resilience.saga import EventType
from tests.fakes.clock import NOON, FixedClock
from tests.fakes.ops import World, overview

# --- readiness ----------------------------------------------------------------------------------


async def test_ready_is_a_write_and_telegram() -> None:
    """Each that is not is named, with why."""
    life, clock, failures = Life(telegram=Connection()), FixedClock(), [StoreError("locked")]

    async def probe() -> None:
        if failures:
            raise failures.pop()

    readiness = Readiness(probe, life, clock)
    assert await readiness.problems() == {
        "database": "locked",
        "telegram": "not connected yet",
    }
    life.telegram.up()
    clock.advance(KNOWN_FOR_S)
    assert await readiness.problems() == {}
    life.telegram.down("no route")
    life.stopping.set()
    assert await readiness.problems() == {"telegram": "no route", "process": "it is stopping"}
    assert readiness.draining


async def test_however_many_ask_one_writes() -> None:
    """Once a second."""
    writes, clock = [], FixedClock()

    async def probe() -> None:
        writes.append(1)
        await asyncio.sleep(0)

    readiness = Readiness(probe, Life(telegram=Connection(connected=True)), clock)
    await asyncio.gather(*(readiness.problems() for _ in range(100)))
    assert len(writes) == 1
    clock.advance(KNOWN_FOR_S)
    await readiness.problems()
    assert len(writes) == 2


async def test_a_write_that_hangs_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not waited for, and not begun again while it hangs; when it ends all is well."""
    monkeypatch.setattr("bot.ops.readiness.PROBE_WITHIN_S", 0.01)
    clock, writes, held = FixedClock(), [], asyncio.Event()

    async def probe() -> None:
        writes.append(1)
        await held.wait()

    async with Readiness(probe, Life(telegram=Connection(connected=True)), clock) as readiness:
        for _ in range(3):
            assert await readiness.problems() == {"database": "took no write within 0.01 s"}
            clock.advance(KNOWN_FOR_S)
        assert len(writes) == 1
        held.set()
        assert await readiness.problems() == {}
        held.clear()
        clock.advance(KNOWN_FOR_S)
        await readiness.problems()
    assert len(writes) == 2


# --- the heartbeat ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (NotTaken(404), FaultKind.CALLERS),
        (NotTaken(503), FaultKind.TRANSIENT),
        (TimeoutError(), FaultKind.TRANSIENT),
    ],
)
def test_what_an_answer_says_of_the_address(error: Exception, kind: FaultKind) -> None:
    """A refusal is ours, an error theirs."""
    assert ping_fault(error).kind is kind


# --- history and charts -------------------------------------------------------------------------


def test_the_last_hour_is_sampled() -> None:
    """Every twenty seconds, and no longer than an hour."""
    world, history = World(), History()
    world.step("matching", 2.0)
    for _ in range(2 * 3_600 // 5):
        world.clock.advance(5)
        history.note(world.health(), {"completed": 3, "failed": 1})
    samples = history.samples
    assert len(samples) == timedelta(hours=1) // EVERY
    assert samples[-1].at - samples[0].at == timedelta(hours=1) - EVERY
    assert (samples[0].completed, samples[0].failed) == (3, 1)


def test_charts_are_drawn_once_there_is_something() -> None:
    """SVG in the page's own colours, no script and no style in it."""
    world, history = World(), History()
    history.note(world.health(), {})
    for draw in CHARTS.values():
        assert draw(history.samples, world.clock.now()) == ""
    for number in range(200):
        world.step("discovery", 1.0)
        world.clock.advance(20)
        history.note(world.health(), {"completed": number, "compensated": number // 9})
    for name, draw in CHARTS.items():
        svg = draw(history.samples, world.clock.now())
        assert svg.startswith('<svg viewBox="0 0 560 220"'), name
        assert "var(--series-1)" in svg
        assert "<script" not in svg
        assert "style" not in svg
        assert len(svg) < 40_000


# --- metrics ------------------------------------------------------------------------------------


def test_metrics_are_what_prometheus_reads() -> None:
    """By its conventions: totals, units, and a histogram that adds up; the same facts as the
    health."""
    world = World()
    world.step("matching", 0.3)
    world.step("matching", 2.0, fails=True)
    world.call("apify", FaultKind.TRANSIENT)
    world.breaker("openai", is_open=True)
    world.event(EventType.RUN_COMPLETED)
    world.stand(
        overview=overview(3, 1, tokens_today=5_000), apify=Credit(used_usd=1.0, limit_usd=5.0)
    )
    alert = Alert(id=AlertId("breaker-open", "x"), severity=Severity.WARNING, words="", since=NOON)
    body, kind = Metrics(world.observed).render(world.health((alert,)))
    assert kind.startswith("text/plain")
    families = {f.name: f for f in text_string_to_metric_families(body.decode())}

    def value(name: str, **labels: str) -> float:
        (found,) = (
            sample.value
            for family in families.values()
            for sample in family.samples
            if sample.name == name and sample.labels == labels
        )
        return float(found)

    assert value("webscout_step_duration_seconds_count", agent="matching") == 2
    assert value("webscout_step_duration_seconds_bucket", agent="matching", le="0.5") == 1
    assert value("webscout_step_duration_seconds_bucket", agent="matching", le="+Inf") == 2
    assert value("webscout_step_failures_total", agent="matching") == 1
    assert value("webscout_dependency_call_failures_total", dependency="apify") == 1
    assert value("webscout_breaker_state", dependency="openai", state="open") == 1
    assert value("webscout_runs", status="queued") == 3
    assert value("webscout_runs_ended_total", status="completed") == 1
    assert value("webscout_llm_tokens_today") == 5_000
    assert value("webscout_apify_limit_usd") == 5
    assert value("webscout_alerts_firing", rule="breaker-open") == 1
    assert value("webscout_ready") == 1
    assert any(name.startswith("process_") for name in families)


def test_metrics_without_a_database_say_what_is_known() -> None:
    """No count is made up."""
    world = World()
    world.stand(overview=None, problems={"database": "x"}, apify=Credit())
    text = Metrics(world.observed).render(world.health())[0].decode()
    assert "webscout_ready 0.0" in text
    assert "webscout_runs{" not in text
    assert "webscout_apify_used_usd" not in text


def test_labels_are_bounded() -> None:
    """By what is configured: a thousand runs add none."""
    world = World()
    metrics = Metrics(world.observed)
    before = len(metrics.render(world.health())[0].splitlines())
    for number in range(1_000):
        world.step("matching", 0.1, run_id=f"run-{number}")
    assert len(metrics.render(world.health())[0].splitlines()) <= before + 2
