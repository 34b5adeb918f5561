"""The alert rules: from fault to message and to its end, and silence when all is well."""

import random
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from agents.store.overview import Parked
from bot.ops.health import Credit, FeedState
from bot.ops.rules import rules
from resilience.alerts import CLEAR_S, GROUP_WAIT_S
from resilience.background import Crashed
from resilience.breaker import Mode
from resilience.fault import FaultKind
from resilience.saga import EventType
from tests.fakes.ops import World, overview

Do = Callable[[World], None]
SLACK_S = 5.0
"""The looks are so far apart."""


def feed(world: World, **changes: Any) -> FeedState:
    """A feed that was read just now, each hour."""
    values: dict[str, Any] = {
        "name": "remotive",
        "period_s": 3_600.0,
        "read_at": world.clock.now(),
        "failures": 0,
        "error": None,
    }
    return FeedState(**values | changes)


def waits(world: World) -> None:
    """A scout waits, and nobody takes it."""
    world.stand(overview=overview(queued=1, waiting_since={"scout": world.clock.now()}))


def hangs(world: World) -> None:
    """A step begins and does not end."""
    world.event(EventType.STEP_STARTED, step="match", agent="matching")


def errs(world: World) -> None:
    """Steps fail."""
    for number in range(10):
        world.step("matching", 0.0, fails=number % 2 == 0)


def is_refused(world: World) -> None:
    """A key is not accepted: no breaker opens for that."""
    for _ in range(4):
        world.call("openai", FaultKind.IN_VAIN)


FAULTS: dict[str, tuple[Do, Do, float]] = {
    "database-unwritable": (
        lambda world: world.stand(problems={"database": "locked"}, overview=None),
        lambda world: world.stand(problems={}, overview=overview()),
        15,
    ),
    "telegram-unreachable": (
        lambda world: world.stand(problems={"telegram": "no route"}),
        lambda world: world.stand(problems={}),
        60,
    ),
    "run-parked": (
        lambda world: world.stand(overview=overview(parked=(Parked("ab12", 7, told=False),))),
        lambda world: world.stand(overview=overview()),
        0,
    ),
    "task-crashed": (
        lambda world: world.stand(crashes=(Crashed("recovery", "KeyError", world.clock.now()),)),
        lambda world: world.stand(crashes=()),
        0,
    ),
    "loop-lag": (
        lambda world: world.stand(loop_lag_s=1.5),
        lambda world: world.stand(loop_lag_s=0.01),
        30,
    ),
    "breaker-open": (
        lambda world: world.breaker("apify", is_open=True),
        lambda world: world.breaker("apify", is_open=False),
        30,
    ),
    "agent-silent": (waits, lambda world: world.stand(overview=overview()), 30 * 60),
    "agent-errors": (errs, lambda world: world.clock.advance(900), 120),
    "dependency-errors": (is_refused, lambda world: world.clock.advance(900), 120),
    "discovery-missed": (
        lambda world: world.stand(feeds=(feed(world),)),
        lambda world: world.stand(feeds=(feed(world),)),
        2 * 3_600 + 300,
    ),
    "queue-depth": (
        lambda world: world.stand(overview=overview(queued=800)),
        lambda world: world.stand(overview=overview(queued=799)),
        60,
    ),
    "credit-low": (
        lambda world: world.stand(apify=Credit(used_usd=41.0, limit_usd=50.0)),
        lambda world: world.stand(apify=Credit(used_usd=1.0, limit_usd=50.0)),
        0,
    ),
    "credit-out": (
        lambda world: world.stand(apify=Credit(used_usd=48.0, limit_usd=50.0)),
        lambda world: world.stand(apify=Credit(used_usd=1.0, limit_usd=50.0)),
        0,
    ),
}


def test_every_rule_is_played() -> None:
    """None is without its fault here."""
    assert set(FAULTS) == {rule.name for rule in rules(30)}


@pytest.mark.parametrize("name", FAULTS)
def test_from_fault_to_message_to_its_end(name: str) -> None:
    """One message when it has been so for its time, one when it is over, none besides."""
    breaks, mends, within_s = FAULTS[name]
    rule = next(rule for rule in rules(30) if rule.name == name)
    world = World()
    world.live(60)
    begun = world.clock.now()
    breaks(world)
    world.live(within_s + GROUP_WAIT_S + 3 * SLACK_S)
    ((after_s, kind, told),) = world.since(begun)
    assert (kind, told) == ("new", [name])
    assert within_s + GROUP_WAIT_S <= after_s <= within_s + GROUP_WAIT_S + 3 * SLACK_S
    world.live(300)
    assert len(world.told) == 1
    mended = world.clock.now()
    mends(world)
    world.live(max(rule.clear_s, CLEAR_S) + 200)
    after, kind, told = world.since(mended)[-1]
    assert (kind, told, len(world.told)) == ("over", [name], 2)
    assert after >= rule.clear_s
    assert world.firing == set()


def test_a_hanging_step_is_silence_too() -> None:
    """Work under way counts as pending."""
    world = World()
    hangs(world)
    world.live(31 * 60, every_s=30)
    assert world.firing == {"agent-silent"}
    assert "matching has had work for 3" in world.told[0][1].new[0].words


def test_an_agent_that_fails_each_time_is_silent() -> None:
    """Although nothing waits, and too few steps end to speak of a rate."""
    world = World()
    for _ in range(4):
        world.step("matching", 5.0, fails=True)
        world.live(10 * 60, every_s=60)
    assert world.firing == {"agent-silent"}
    world.step("matching", 5.0)
    world.live(180)
    assert world.firing == set()


def test_a_last_failure_before_the_night_is_not_silence() -> None:
    """Nobody wants anything of it."""
    world = World()
    world.step("matching", 5.0, fails=True)
    world.live(9 * 3_600, every_s=60)
    assert world.told == []


def test_a_database_that_is_out_ends_no_alert_of_runs() -> None:
    """Parked runs are parked on, the queue is as it was."""
    world = World()
    full = overview(queued=900, parked=(Parked("ab", 7, told=False),))
    world.stand(overview=full)
    world.live(120)
    world.stand(overview=None, problems={"database": "locked"})
    world.live(600)
    assert world.firing == {"run-parked", "queue-depth", "database-unwritable"}
    assert not any(digest.over for _, digest in world.told)
    world.stand(overview=full, problems={})
    world.live(600)
    new = [alert.id.rule for _, digest in world.told for alert in digest.new]
    assert sorted(new) == ["database-unwritable", "queue-depth", "run-parked"]


def test_feeds_are_not_missed_while_there_was_no_process() -> None:
    """What is overdue at a start is read soon."""
    world = World()
    long_ago = world.clock.now() - timedelta(hours=9)
    world.stand(feeds=(feed(world, read_at=long_ago),))
    world.live(7_000, every_s=60)
    assert world.told == []


def test_an_agent_is_not_told_of_when_its_breaker_recovers() -> None:
    """Its failures are in the window for a while longer."""
    world = World()
    for _ in range(5):
        world.step("discovery", 1.0, fails=True)
    world.breaker("remotive", is_open=True)
    world.live(300)
    world.breaker("remotive", is_open=False)
    for _ in range(30):
        world.step("discovery", 1.0)
        world.live(60)
    new = [alert.id.rule for _, digest in world.told for alert in digest.new]
    assert new == ["breaker-open"]


def test_a_crash_of_what_would_have_ended_passes() -> None:
    """After an hour; one of what should go on stays until a restart."""
    world = World()
    crashes = [Crashed(name, "KeyError", world.clock.now(), name == "recovery")
               for name in ("recovery", "follow:ab")]  # fmt: skip
    world.stand(crashes=tuple(crashes))
    world.live(60)
    assert len(world.alerts.firing) == 2
    world.live(2 * 3_600, every_s=60)
    assert [alert.id.subject for alert in world.alerts.firing] == ["recovery"]


def test_an_agent_that_gets_on_is_not_silent() -> None:
    """However long the queue: a success within the time is enough."""
    world = World()
    waits(world)
    for _ in range(12):
        world.live(20 * 60, every_s=60)
        world.step("discovery", run_id="other")
    assert world.told == []


def test_what_waited_before_the_start_counts_from_it() -> None:
    """A process that comes back after a night does not cry at once."""
    world = World()
    long_ago = world.clock.now() - timedelta(hours=9)
    world.stand(overview=overview(queued=3, waiting_since={"scout": long_ago}))
    world.live(29 * 60, every_s=30)
    assert world.told == []
    world.live(3 * 60)
    assert world.firing == {"agent-silent"}


def test_a_paused_agent_says_that_it_is() -> None:
    """Whoever reads the alert sees why."""
    world = World()
    waits(world)
    world.stand(paused=frozenset({"discovery"}))
    world.live(31 * 60, every_s=30)
    assert "since it is paused" in world.told[0][1].new[0].words


@pytest.mark.parametrize(
    ("agent", "dependency", "held"),
    [
        ("discovery", "apify", True),
        ("discovery", "openai", False),
        ("discovery", "cache file", False),
        ("matching", "openai", True),
        ("matching", "apify", False),
        ("triage", "groq", True),
    ],
)
def test_a_breaker_explains_its_agents(agent: str, dependency: str, held: bool) -> None:
    """The breaker's alert is told, the agent's is held back, and only where it explains it."""
    world = World()
    world.breaker(dependency, is_open=True)
    world.event(EventType.STEP_STARTED, step="x", agent=agent)
    world.live(35 * 60, every_s=30)
    assert world.firing == {"breaker-open", "agent-silent"}
    told = [rules for _, _, rules in world.since(world.clock.now())]
    assert told == ([["breaker-open"]] if held else [["breaker-open"], ["agent-silent"]])


def test_what_an_operator_holds_open_is_no_alert() -> None:
    """They know."""
    world = World()
    world.breaker("apify", is_open=True, mode=Mode.FORCED_OPEN)
    world.live(600)
    assert world.told == []


def test_the_last_of_the_credit_holds_back_the_warning() -> None:
    """One message: the graver one."""
    world = World()
    world.stand(apify=Credit(used_usd=49.0, limit_usd=50.0))
    world.live(600)
    assert world.since(world.clock.now())[0][2] == ["credit-out"]
    assert len(world.told) == 1


@pytest.mark.parametrize(
    "credit", [None, Credit(), Credit(used_usd=5.0, limit_usd=0.0), Credit(used_usd=5.0)]
)
def test_credit_that_is_not_known_is_no_alert(credit: Credit | None) -> None:
    """Nor is an account without a limit."""
    world = World()
    world.stand(apify=credit)
    world.live(60)
    assert world.told == []


def test_a_retry_that_parks_again_is_another_alert() -> None:
    """And the first one's end is told with it."""
    world = World()
    world.stand(overview=overview(parked=(Parked("ab12", 7, told=False),)))
    world.live(60)
    world.stand(overview=overview(parked=(Parked("ab12", 9, told=False),)))
    world.live(120)
    assert [(len(d.new), len(d.over)) for _, d in world.told] == [(1, 0), (1, 1)]


def test_a_feed_that_fails_once_is_not_missed() -> None:
    """Late by less than two periods."""
    world = World()
    for _ in range(10):
        world.stand(feeds=(feed(world, failures=1, error="it is down"),))
        world.live(1.9 * 3_600, every_s=60)
    assert world.told == []
    world.live(1_800, every_s=60)
    assert "remotive was not read for 2 h" in world.told[0][1].new[0].words
    assert world.told[0][1].new[0].words.endswith("should be every 60 min: it is down")


def test_what_operators_paused_is_not_missed() -> None:
    """They know why no feed is read."""
    world = World()
    world.stand(feeds=(feed(world),), paused=frozenset({"discovery"}))
    world.live(4 * 3_600, every_s=60)
    assert world.told == []


@pytest.mark.unmeasured
def test_a_normal_week_is_silent() -> None:
    """Busy days with an error here and there, quiet nights, feeds on their periods: no alert."""
    dice, world, seen = random.Random(7), World(), 0
    reads = {"remotive": 6, "jobicy": 1}
    due = dict.fromkeys(reads, world.clock.now())
    feeds: dict[str, FeedState] = {}
    end = world.clock.now() + timedelta(days=7)
    while world.clock.now() < end:
        now = world.clock.now()
        for name, hours in reads.items():
            if now >= due[name]:
                failed = dice.random() < 0.1
                wait = timedelta(minutes=5) if failed else timedelta(hours=hours)
                due[name] = now + wait + timedelta(seconds=dice.randrange(60))
                if not failed:
                    feeds[name] = feed(world, name=name, period_s=hours * 3_600.0)
        world.stand(feeds=tuple(feeds.values()))
        if 8 <= now.hour < 23 and dice.random() < 0.5:
            world.stand(overview=overview(running=1))
            for agent in ("discovery", "matching", "action"):
                world.step(agent, dice.uniform(0.1, 40.0), fails=dice.random() < 0.05)
            world.event(EventType.RUN_COMPLETED)
            world.stand(overview=overview())
        if dice.random() < 0.01:  # a short trouble of a dependency
            world.breaker("apify", is_open=True)
            world.live(20)
            world.breaker("apify", is_open=False)
        world.live(60, every_s=30)
        seen += 1
    assert seen > 5_000
    assert world.told == []


def test_a_breaker_that_nobody_needs_any_more_is_over() -> None:
    """Its time is over, and nobody has asked for five minutes: nothing is left alone for it. Where
    it waits to be told, such as for credit, it goes on."""
    world = World()
    world.breaker("groq", is_open=True)
    world.breaker("apify", is_open=True)
    world.live(120)
    assert world.firing == {"breaker-open"}
    opened = world.standing.breakers
    world.stand(
        breakers=tuple(
            replace(b, probes_in_s={"groq": 0.0, "apify": None}.get(b.name, b.probes_in_s))
            for b in opened
        )
    )
    world.live(400)
    assert world.since(world.told[0][0])[-1][1] == "over"
    out = {name for name, one in world.health().dependencies.items() if one.is_out}
    assert out == {"apify"}
