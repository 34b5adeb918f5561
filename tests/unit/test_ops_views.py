"""What operators read in their chat: within 80 columns and 4,096 characters, whatever is so."""

from datetime import timedelta

import pytest

from agents.store.overview import Parked
from bot.ops.health import CacheCounts, Credit
from bot.telegram import ops_views
from bot.telegram.markup import parse_html
from bot.telegram.views import View
from resilience.alerts import Alert, AlertId, Digest, Severity
from resilience.breaker import Mode
from tests.fakes.clock import NOON
from tests.fakes.ops import World, overview


def alert(number: int, words: str = "apify is left alone: 5 failures in a row") -> Alert:
    """An alert that fires."""
    return Alert(
        id=AlertId("breaker-open", f"apify-{number}"),
        severity=Severity.WARNING,
        words=words,
        since=NOON,
        fired_at=NOON,
    )


def read(view: View) -> str:
    """The message's text, checked for what Telegram takes."""
    text = parse_html(view.text).text
    assert len(text.encode("utf-16-le")) // 2 <= 4_096
    return text


def lines(view: View) -> list[str]:
    """Its lines, none over 80 columns."""
    found = read(view).splitlines()
    assert max(map(len, found)) <= ops_views.WIDTH
    return found


def test_a_first_look_has_what_it_needs() -> None:
    """Each agent with its last success, errors, times, queue; runs, credits, cache, alerts."""
    world = World()
    world.step("discovery", 1.2)
    world.step("matching", 0.2, fails=True)
    world.stand(
        overview=overview(3, 2, (Parked("a", 1, told=True),), tokens_today=120_000),
        apify=Credit(used_usd=12.3, limit_usd=49.0),
        cache=CacheCounts(memory_hits=8, second_hits=1, loads=1),
        waiting={"matching": 1},
        paused=frozenset({"matching"}),
        loop_lag_s=0.003,
    )
    world.breaker("openai", is_open=True)
    world.clock.advance(3 * 3_600)
    world.observed.unscored["r"] = 55
    shown = lines(ops_views.health(world.health((alert(1),))))
    assert shown == [
        "Webscout is degraded. 01 Jun 15:00 UTC, up for 3 h",
        "agent       last success  errors      p50      p95  wait  busy",
        "discovery        3 h ago       -        -        -     3     0",
        "matching           never       -        -        -     1     0  paused  55 unsc…",
        "action             never       -        -        -     0     0",
        "triage             never       -        -        -     0     0",
        "Runs: 3 waiting, 2 under way, 1 parked",
        "The database takes writes, Telegram is connected. Event loop 3 ms late.",
        "Left alone: openai since 12:00, 5 failures in a row; tried in 15 s",
        "Credits: Apify $12.30 of $49.00 (25%), 120,000 LLM tokens today",
        "Cache: 80% from memory, 10% from the second tier, 10% from the source",
        "Alerts: 1",
        "⚠ apify is left alone: 5 failures in a row (3 h)",
    ]


def test_the_worst_still_fits() -> None:
    """Everything out, a hundred alerts, numbers beyond reason."""
    world = World()
    for name in world.observed.calls:
        world.breaker(name, is_open=True)
    world.step("action", 90_000.0)
    world.observed.unscored["r"] = 10**9
    world.stand(
        overview=None,
        problems={"database": "x" * 300, "telegram": "y" * 300},
        apify=Credit(),
        paused=frozenset(world.observed.agents),
    )
    many = tuple(alert(n, "z<&>" * 100) for n in range(100))
    shown = lines(ops_views.health(world.health(many)))
    assert "Runs: not known, the database does not answer" in shown
    assert "Credits: Apify not known" in shown
    assert "and 92 more, on the dashboard" in shown
    assert len(shown) < 40


def test_every_breaker_is_listed() -> None:
    """With its state, and who decides."""
    world = World()
    world.breaker("apify", is_open=True)
    world.breaker("groq", is_open=True, mode=Mode.FORCED_OPEN)
    shown = lines(ops_views.breakers(world.health()))
    assert shown[0] == "breaker             state       errors  calls  since"
    assert "jobicy              closed           -      0  01 Jun 12:00" in shown
    at = shown.index("apify               open             -      0  01 Jun 12:00")
    assert shown[at + 1] == "  5 failures in a row; tried in 15 s"
    assert "groq                open             -      0  01 Jun 12:00, by hand" in shown
    assert shown[-1] == "/breaker NAME open, close or auto"


def test_fifty_breakers_fit() -> None:
    """The table is cut, and says so."""
    world = World()
    names = [f"a-feed-with-a-long-name-{n}" for n in range(50)]
    world.observed.expect(names)
    for name in names:
        world.breaker(name, is_open=True)
    assert any(line.startswith("and ") for line in lines(ops_views.breakers(world.health())))


def test_one_alert_is_one_line() -> None:
    """What it is, and nothing besides."""
    assert read(ops_views.digest(Digest(new=(alert(1),)))) == (
        "⚠ apify is left alone: 5 failures in a row"
    )


def test_a_digest_says_what_is_new_still_and_over() -> None:
    """With how long what is over took."""
    over = Alert(
        id=AlertId("run-parked", "ab12/7"),
        severity=Severity.CRITICAL,
        words="run ab12 is parked",
        since=NOON,
        fired_at=NOON,
        gone_since=NOON + timedelta(minutes=12),
    )
    told = Digest(new=(alert(1),), again=(alert(2),), over=(over,))
    assert read(ops_views.digest(told)).splitlines() == [
        "Alerts: 1 new, 1 still there, 1 over",
        "⚠ apify is left alone: 5 failures in a row",
        "⚠ still: apify is left alone: 5 failures in a row",
        "✓ over: run-parked run ab12, after 12 min",
    ]


def test_a_storm_fits_one_message() -> None:
    """Two hundred with long words, cut and counted."""
    told = Digest(new=tuple(alert(n, "w<&" * 200) for n in range(200)))
    assert read(ops_views.digest(told)).endswith("and 188 more: /health")


@pytest.mark.parametrize(
    ("ms", "shown"), [(None, "-"), (3.2, "3 ms"), (1_234.0, "1.2 s"), (600_000.0, "10 min")]
)
def test_durations_are_short(ms: float | None, shown: str) -> None:
    """In the unit that says most."""
    assert ops_views._ms(ms) == shown
