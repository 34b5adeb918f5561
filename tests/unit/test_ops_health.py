"""The health: what was observed and surveyed, in one value."""

from datetime import timedelta

import pytest

from agents.store.overview import Parked
from bot.ops.health import CacheCounts, Status
from resilience.alerts import Alert, AlertId, Severity
from resilience.breaker import Mode
from resilience.fault import FaultKind
from resilience.guard import CallEnded
from resilience.saga import Event, EventType, JsonValue
from tests.fakes.clock import NOON
from tests.fakes.ops import World, overview


def test_the_same_events_and_clock_are_the_same_health() -> None:
    """It is a function of them."""
    worlds = (World(), World())
    for world in worlds:
        world.step("discovery", 2.0)
        world.call("apify", FaultKind.TRANSIENT)
        world.stand(overview=overview(queued=3))
    assert worlds[0].health() == worlds[1].health()
    assert worlds[0].health() == worlds[0].health()


def test_an_agents_steps_are_counted() -> None:
    """Success, failure, durations, and what is under way."""
    world = World()
    for number in range(4):
        world.step("matching", 2.0, fails=number == 3)
    world.event(EventType.STEP_STARTED, step="match", agent="matching")
    agent = world.health().agents["matching"]
    assert (agent.error_rate, agent.calls, agent.in_flight) == (0.25, 4, 1)
    assert agent.p50_ms == pytest.approx(2_000, rel=0.05)
    assert agent.last_success_at == NOON + timedelta(seconds=6)
    assert agent.pending_since == NOON + timedelta(seconds=6)  # tried in vain since then


def test_what_is_tried_in_vain_is_pending() -> None:
    """Since the first step after the last success, as long as it is tried at all."""
    world = World()
    for _ in range(3):
        world.step("matching", 1.0, fails=True)
        world.clock.advance(600)
    assert world.health().agents["matching"].pending_since == NOON
    world.clock.advance(900)  # nobody tries any more
    assert world.health().agents["matching"].pending_since is None
    world.step("matching", 1.0)
    assert world.health().agents["matching"].pending_since is None


def test_a_cancel_is_no_failure_a_kill_switch_is_one() -> None:
    """A step that a person stopped says nothing of its agent; one that ran out of time does."""
    world = World()
    for number, (error, calls) in enumerate((("cancelled", 0), ("workflow-timeout", 1))):
        run_id = f"run-{number}"
        world.event(EventType.STEP_STARTED, run_id, step="match", agent="matching")
        world.event(EventType.RUN_COMPENSATING, run_id, error=error)
        world.event(EventType.RUN_CANCELLED, run_id)
        agent = world.health().agents["matching"]
        assert (agent.calls, agent.in_flight) == (calls, 0)


def test_unscored_postings_are_those_of_runs_before_ranking() -> None:
    """They come with discovery, go with matching or with the run's end."""
    world = World()
    for run_id in ("run-1", "run-2"):
        world.event(EventType.STEP_STARTED, run_id, step="discover", agent="discovery")
        world.event(
            EventType.STEP_COMPLETED,
            run_id,
            step="discover",
            agent="discovery",
            found=60,
            duplicates=5,
        )
    assert world.health().agents["matching"].unscored == 110
    assert world.health().agents["discovery"].unscored is None
    world.step("matching", run_id="run-1")
    assert world.health().agents["matching"].unscored == 55
    world.event(EventType.RUN_CANCELLED, "run-2")
    assert world.health().agents["matching"].unscored == 0


def test_queues_are_of_the_agent_that_runs_wait_for() -> None:
    """New scouts wait for discovery; who waits at a paused agent, for that."""
    world = World()
    world.stand(
        overview=overview(queued=4, waiting_since={"scout": NOON}),
        waiting={"matching": 2},
        waiting_since={"matching": NOON},
        paused=frozenset({"matching"}),
    )
    agents = world.health().agents
    assert {name: agent.queue_depth for name, agent in agents.items()} == {
        "discovery": 4,
        "matching": 2,
        "action": 0,
        "triage": 0,
    }
    assert agents["matching"].paused
    assert agents["matching"].pending_since == NOON
    assert agents["discovery"].pending_since == NOON


def test_a_dependency_is_its_breaker_and_its_calls() -> None:
    """A caller's own mistake and a refused call count neither way."""
    world = World()
    for fault in (None, None, FaultKind.TRANSIENT, FaultKind.CALLERS, FaultKind.THROTTLED):
        world.call("apify", fault)
    refused = CallEnded(
        "apify", took_s=0.0, waited_s=0.0, attempts=0, error=ValueError(), refused=True
    )
    world.observed.note_call(refused)
    world.breaker("apify", is_open=True)
    one = world.health().dependencies["apify"]
    assert (one.breaker, one.calls, one.error_rate) == ("open", 5, 0.4)
    assert one.next_probe_at == world.clock.now() + timedelta(seconds=15)
    assert one.reason == "5 failures in a row"
    assert world.observed.refused["apify"] == 1
    assert world.health().dependencies["openai"].reason == ""


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({}, Status.OK),
        ({"paused": frozenset({"triage"})}, Status.DEGRADED),
        ({"problems": {"database": "locked"}}, Status.DOWN),
    ],
)
def test_the_status_is_the_worst(changes: dict[str, object], status: Status) -> None:
    """Not ready is down; something replaced or paused is degraded."""
    world = World()
    world.stand(**changes)
    assert world.health().status is status


def test_an_open_breaker_and_an_alert_degrade() -> None:
    """Whoever looks sees at once that something is not as it should be."""
    world = World()
    alert = Alert(id=AlertId("x", ""), severity=Severity.WARNING, words="x", since=NOON)
    assert world.health((alert,)).status is Status.DEGRADED
    world.breaker("apify", is_open=True, mode=Mode.FORCED_OPEN)
    assert world.health().status is Status.DEGRADED


def test_without_the_database_nothing_is_made_up() -> None:
    """Counts are unknown, not zero."""
    world = World()
    world.stand(overview=None)
    health = world.health()
    assert health.runs == {"queued": None, "running": None, "parked": None}
    assert health.tokens_today is None
    world.stand(overview=overview(2, 3, (Parked("a", 1, told=True),), tokens_today=5))
    assert world.health().runs == {"queued": 2, "running": 3, "parked": 1}
    assert world.health().tokens_today == 5


def test_what_happened_before_the_start_is_recalled() -> None:
    """The last success and the window are; what was under way then, and the totals, are not."""
    world = World()
    world.clock.advance(500)
    data: dict[str, JsonValue] = {"step": "match", "agent": "matching"}
    story: tuple[tuple[str, EventType, int, dict[str, JsonValue]], ...] = (
        ("run-1", EventType.STEP_STARTED, 100, data),
        ("run-1", EventType.STEP_COMPLETED, 130, data),
        ("run-1", EventType.RUN_COMPLETED, 131, {}),
        ("run-2", EventType.STEP_STARTED, 200, data),
    )
    world.observed.recall(
        Event(run_id=run, seq=1, type=kind, at=NOON + timedelta(seconds=at), data=said)
        for run, kind, at, said in story
    )
    agent = world.health().agents["matching"]
    assert (agent.calls, agent.in_flight) == (1, 0)
    assert agent.last_success_at == NOON + timedelta(seconds=130)
    assert world.observed.ended == {}


def test_runs_that_went_elsewhere_are_forgotten() -> None:
    """Another process executes them: they are not under way here."""
    world = World()
    for run_id in ("here", "gone"):
        world.event(EventType.STEP_STARTED, run_id, step="match", agent="matching")
        world.observed.unscored[run_id] = 5
    world.observed.forget_lost(lambda run_id: run_id == "here")
    assert world.health().agents["matching"].in_flight == 1
    assert world.health().agents["matching"].unscored == 5


def test_an_unknown_agent_is_nobodys() -> None:
    """A step of one that is not listed breaks nothing."""
    world = World()
    world.step("no-such-agent")
    assert all(agent.calls == 0 for agent in world.health().agents.values())


def test_ratios_of_the_cache() -> None:
    """Of what was looked up; None before."""
    assert CacheCounts().ratio(0) is None
    counts = CacheCounts(memory_hits=6, second_hits=3, loads=1)
    assert [counts.ratio(n) for n in (6, 3, 1)] == [0.6, 0.3, 0.1]
