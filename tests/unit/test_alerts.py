"""Alerts: told once, repeated, their end told; grouped, held back, restored."""

import logging
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resilience.alerts import (
    CLEAR_S,
    GROUP_GAP_S,
    GROUP_WAIT_S,
    REPEAT_S,
    RESTORED_S,
    Alert,
    AlertId,
    Alerts,
    Digest,
    Rule,
    Severity,
)
from tests.fakes.clock import NOON

Facts = Mapping[str, Collection[str]]
"""By rule: the subjects that it finds."""


def rule(name: str, for_s: float = 0.0, **more: object) -> Rule[Facts]:
    """A rule that finds what the facts have under its name."""
    return Rule(
        name=name,
        severity=Severity.WARNING,
        finds=lambda facts: {subject: f"{name} {subject}" for subject in facts.get(name, ())},
        for_s=for_s,
        **more,  # type: ignore[arg-type]
    )


@dataclass
class Operator:
    """Evaluates each second and is told what is due."""

    alerts: Alerts[Facts]
    now: datetime = NOON
    told: list[tuple[float, Digest]] = field(default_factory=list)

    def live(self, seconds: float, facts: Facts, step_s: float = 1.0) -> None:
        """Let time pass in which the facts are these."""
        for _ in range(round(seconds / step_s)):
            self.now += timedelta(seconds=step_s)
            self.alerts.evaluate(facts, self.now)
            if digest := self.alerts.due(self.now):
                self.told.append(((self.now - NOON).total_seconds(), digest))
                self.alerts.told(digest, self.now)

    @property
    def messages(self) -> list[tuple[float, list[str], list[str], list[str]]]:
        """When each was told, and what was new, again, over."""
        return [
            (
                at,
                [a.words for a in digest.new],
                [a.words for a in digest.again],
                [a.words for a in digest.over],
            )
            for at, digest in self.told
        ]


WRONG: Facts = {"out": ["apify"]}


def test_an_incident_is_one_message_and_its_end_another() -> None:
    """After it was so for long enough, and over for long enough."""
    operator = Operator(Alerts([rule("out", for_s=30)]))
    operator.live(100, WRONG)
    operator.live(200, {})
    assert operator.messages == [
        (1 + 30 + GROUP_WAIT_S, ["out apify"], [], []),
        (101 + CLEAR_S + GROUP_WAIT_S, [], [], ["out apify"]),
    ]
    assert operator.alerts.firing == ()


def test_what_is_short_is_nothing() -> None:
    """It begins anew each time."""
    operator = Operator(Alerts([rule("out", for_s=30)]))
    for _ in range(10):
        operator.live(29, WRONG)
        operator.live(5, {})
    assert operator.messages == []


def test_what_flaps_is_one_incident() -> None:
    """Gone for less than it takes to be over."""
    operator = Operator(Alerts([rule("out")]))
    for _ in range(20):
        operator.live(20, WRONG)
        operator.live(CLEAR_S - 1, {})
    assert len(operator.messages) == 1


def test_what_lasts_is_repeated() -> None:
    """Every four hours, until it is over."""
    operator = Operator(Alerts([rule("out")]))
    operator.live(2 * REPEAT_S + 3_600, WRONG, step_s=60)
    assert [(new, again) for _, new, again, _ in operator.messages] == [
        (["out apify"], []),
        ([], ["out apify"]),
        ([], ["out apify"]),
    ]


def test_a_storm_is_one_message() -> None:
    """Two hundred that come up within seconds; what comes later waits for the next."""
    operator = Operator(Alerts([rule("out")]))
    subjects = [f"feed-{n}" for n in range(200)]
    for number in range(0, 200, 20):
        operator.live(1, {"out": subjects[: number + 20]})
    operator.live(GROUP_WAIT_S + 5, {"out": subjects})
    assert len(operator.told) == 1
    assert len(operator.told[0][1].new) == 200
    operator.live(GROUP_GAP_S + 30, {"out": [*subjects, "late"]})
    assert [len(digest.new) for _, digest in operator.told] == [200, 1]
    operator.live(CLEAR_S + GROUP_GAP_S + 30, {})
    assert len(operator.told[-1][1].over) == 201


def test_one_that_explains_another_holds_it_back() -> None:
    """The other fires and is not told; its end is not, either."""
    held = rule("silent", held_back_by=lambda _facts, _subject: (AlertId("out", "apify"),))
    operator = Operator(Alerts([rule("out"), held]))
    both: Facts = {"out": ["apify"], "silent": ["discovery"]}
    operator.live(100, both)
    assert [new for _, new, _, _ in operator.messages] == [["out apify"]]
    assert [(alert.id.rule, alert.held) for alert in operator.alerts.firing] == [
        ("out", False),
        ("silent", True),
    ]
    operator.live(300, {})
    assert [over for *_, over in operator.messages] == [[], ["out apify"]]


def test_what_was_held_back_is_told_when_it_stays() -> None:
    """The explanation is over, the trouble is not."""
    held = rule("silent", held_back_by=lambda _facts, _subject: (AlertId("out", "apify"),))
    operator = Operator(Alerts([rule("out"), held]))
    operator.live(100, {"out": ["apify"], "silent": ["discovery"]})
    operator.live(CLEAR_S + 290, {"silent": ["discovery"]})
    assert [new for _, new, _, _ in operator.messages] == [["out apify"], []]
    operator.live(60, {"silent": ["discovery"]})
    assert operator.messages[-1][1] == ["silent discovery"]


def test_what_mends_with_its_explanation_is_never_told() -> None:
    """It takes a while longer."""
    held = rule("silent", held_back_by=lambda _facts, _subject: (AlertId("out", "apify"),))
    operator = Operator(Alerts([rule("out"), held]))
    operator.live(100, {"out": ["apify"], "silent": ["discovery"]})
    operator.live(CLEAR_S + 200, {"silent": ["discovery"]})
    operator.live(500, {})
    told = [(new, over) for _, new, _, over in operator.messages]
    assert told == [(["out apify"], []), ([], ["out apify"])]
    assert operator.alerts.firing == ()


def test_what_can_t_be_known_changes_nothing() -> None:
    """Neither does it fire, nor is it over."""
    known = [True]
    unsure: Rule[Facts] = Rule(
        name="r",
        severity=Severity.WARNING,
        finds=lambda facts: {s: s for s in facts["r"]} if known[0] else None,
    )
    operator = Operator(Alerts([unsure]))
    operator.live(60, {"r": ["a"]})
    known[0] = False
    operator.live(600, {"r": ["b"]})
    assert len(operator.told) == 1
    assert [alert.id.subject for alert in operator.alerts.firing] == ["a"]


def test_a_rule_that_breaks_silences_no_other(caplog: pytest.LogCaptureFixture) -> None:
    """It is logged, and what it had found stays."""
    broken = [False]

    def finds(_facts: Facts) -> Mapping[str, str]:
        if broken[0]:
            raise ZeroDivisionError
        return {"x": "known"}

    fragile = Rule(name="fragile", severity=Severity.CRITICAL, finds=finds)
    operator = Operator(Alerts([fragile, rule("out")]))
    operator.live(20, {})
    broken[0] = True
    with caplog.at_level(logging.ERROR):
        operator.live(100, WRONG)
    assert "the rule fragile broke" in caplog.text
    assert {alert.id.rule for alert in operator.alerts.firing} == {"fragile", "out"}


def test_words_are_the_newest() -> None:
    """An alert says how it is now."""
    words = ["first"]
    changing: Rule[Facts] = Rule(
        name="r", severity=Severity.WARNING, finds=lambda _facts: {"": words[0]}
    )
    operator = Operator(Alerts([changing]))
    operator.live(5, {})
    words[0] = "second"
    operator.live(20, {})
    assert operator.messages[0][1] == ["second"]


def test_a_restart_neither_repeats_nor_forgets() -> None:
    """What an earlier process told is known; its end is told once this one could see it."""
    before = Operator(Alerts([rule("out")]))
    before.live(100, WRONG)
    after = Operator(Alerts([rule("out")]), now=before.now)
    gone = Alert(id=AlertId("no-such-rule", ""), severity=Severity.WARNING, words="", since=NOON)
    after.alerts.restore([*before.alerts.firing, gone])
    after.live(60, WRONG)
    assert after.messages == []
    again = Operator(Alerts([rule("out")]), now=before.now)
    again.alerts.restore(before.alerts.firing)
    again.live(RESTORED_S, {})
    assert again.messages == []
    again.live(60, {})
    assert [over for *_, over in again.messages] == [["out apify"]]


def test_what_somebody_else_told_is_not_told_again() -> None:
    """But its repetition and its end are ours."""
    operator = Operator(Alerts([rule("out")]))
    operator.alerts.evaluate(WRONG, operator.now)
    operator.alerts.known([AlertId("out", "apify"), AlertId("out", "nosuch")], operator.now)
    operator.live(100, WRONG)
    assert operator.messages == []
    operator.live(100, {})
    assert [over for *_, over in operator.messages] == [["out apify"]]


def evaluated(alerts: Alerts[Facts], facts: Facts, at_s: float) -> Digest:
    """What is due then."""
    now = NOON + timedelta(seconds=at_s)
    alerts.evaluate(facts, now)
    return alerts.due(now)


def test_what_changes_while_it_is_told_is_told_after() -> None:
    """Over before its message had gone out: its end is told. Back while its end was told: a new
    one."""
    alerts = Alerts([rule("out", clear_s=0)], group_wait_s=0, group_gap_s=0)
    digest = evaluated(alerts, WRONG, 0)
    assert [a.id.subject for a in digest.new] == ["apify"]
    evaluated(alerts, {}, 1)
    alerts.told(digest, NOON + timedelta(seconds=2))
    over = evaluated(alerts, {}, 3)
    assert [a.id.subject for a in over.over] == ["apify"]
    evaluated(alerts, WRONG, 4)
    alerts.told(over, NOON + timedelta(seconds=5))
    assert [a.id.subject for a in evaluated(alerts, WRONG, 6).new] == ["apify"]


def test_what_is_over_while_it_is_repeated_is_over_once() -> None:
    """Its end is in the next message, and in no other."""
    alerts = Alerts([rule("out", clear_s=0)], repeat_s=10, group_wait_s=0, group_gap_s=0)
    alerts.told(evaluated(alerts, WRONG, 0), NOON)
    again = evaluated(alerts, WRONG, 20)
    assert [a.id.subject for a in again.again] == ["apify"]
    evaluated(alerts, {}, 21)
    alerts.told(again, NOON + timedelta(seconds=22))
    over = evaluated(alerts, {}, 23)
    alerts.told(over, NOON + timedelta(seconds=23))
    assert len(over.over) == 1
    assert not evaluated(alerts, {}, 24)


@given(st.lists(st.tuples(st.integers(1, 400), st.sets(st.sampled_from("abcd"))), max_size=25))
def test_each_incident_is_told_and_ended_in_turn(life: list[tuple[int, set[str]]]) -> None:
    """Whatever happens: of each subject a beginning is told, then an end, then a beginning."""
    operator = Operator(Alerts([rule("out", for_s=20)]))
    for seconds, subjects in life:
        operator.live(seconds, {"out": subjects}, step_s=10)
    operator.live(500, {}, step_s=10)
    open_now: set[str] = set()
    for _, digest in operator.told:
        for alert in digest.over:
            open_now.remove(alert.id.subject)
        for alert in digest.new:
            assert alert.id.subject not in open_now
            open_now.add(alert.id.subject)
    assert open_now == set()
    assert operator.alerts.firing == ()
