"""Alerts: what is wrong for long enough is told once, repeated now and then, and its end is told.

    nothing ──the rule finds it──► pending ──for `for_s`──► firing, told, again each `repeat_s`
                                     │ gone: forgotten        │ gone for `clear_s`: its end is told,
                                     ▼                        ▼ if it was told itself
                                  nothing                  nothing

What comes up within `group_wait_s` is told in one message, so that a storm is one. An alert may be
held back by another: it fires, but is not told while that one fires.
"""

import logging
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Generic, NamedTuple, TypeVar

F = TypeVar("F")

REPEAT_S = 4 * 3600.0
CLEAR_S = 60.0
GROUP_WAIT_S = 10.0
GROUP_GAP_S = 60.0
RESTORED_S = 120.0
HELD_S = 300.0
"""What an earlier process told of is not said to be over before this one had time to see it."""

log = logging.getLogger(__name__)


class Severity(StrEnum):
    """How much it matters."""

    WARNING = "warning"
    CRITICAL = "critical"


class AlertId(NamedTuple):
    """What an alert is about: the rule and its subject, empty where there is only one."""

    rule: str
    subject: str


def _nothing(_facts: object, _subject: str) -> Collection[AlertId]:
    return ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule(Generic[F]):
    """One thing that may be wrong. `finds` gives the subjects of which it is true now, each with
    words for people, or None while that can't be known; `held_back_by` the alerts that explain a
    subject's. What is not explained any more has to be so for `after_held_s`: what it explained
    takes a while to mend."""

    name: str
    severity: Severity
    finds: Callable[[F], Mapping[str, str] | None]
    for_s: float = 0.0
    clear_s: float = CLEAR_S
    after_held_s: float = HELD_S
    held_back_by: Callable[[F, str], Collection[AlertId]] = _nothing


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """An alert as it stands. It fires from `fired_at` on; `told_at` is when that was last told,
    `gone_since` since when the rule does not find it any more, `held` that another explains it."""

    id: AlertId
    severity: Severity
    words: str
    since: datetime
    fired_at: datetime | None = None
    told_at: datetime | None = None
    gone_since: datetime | None = None
    held: bool = False
    restored: bool = False
    not_before: datetime | None = None
    """It was explained until lately, and does not fire before this."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Digest:
    """What is to be told in one message."""

    new: tuple[Alert, ...] = ()
    again: tuple[Alert, ...] = ()
    over: tuple[Alert, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.new or self.again or self.over)


class Alerts(Generic[F]):
    """The alerts of some rules. Knows no clock and sends nothing: who calls says when it is."""

    def __init__(
        self,
        rules: Sequence[Rule[F]],
        *,
        repeat_s: float = REPEAT_S,
        group_wait_s: float = GROUP_WAIT_S,
        group_gap_s: float = GROUP_GAP_S,
    ) -> None:
        self._rules = {rule.name: rule for rule in rules}
        self._repeat = timedelta(seconds=repeat_s)
        self._group_wait = timedelta(seconds=group_wait_s)
        self._group_gap = timedelta(seconds=group_gap_s)
        self._alerts: dict[AlertId, Alert] = {}
        self._over: dict[AlertId, Alert] = {}
        self._due_since: datetime | None = None
        self._told_at: datetime | None = None

    def restore(self, known: Iterable[Alert]) -> None:
        """Take over what an earlier process had told and not seen the end of."""
        for alert in known:
            if alert.id.rule in self._rules:
                self._alerts[alert.id] = replace(alert, restored=True)

    @property
    def firing(self) -> tuple[Alert, ...]:
        """What is wrong now, the oldest first."""
        fired = [a for a in self._alerts.values() if a.fired_at is not None]
        return tuple(sorted(fired, key=lambda a: (a.fired_at, a.id)))

    def evaluate(self, facts: F, now: datetime) -> None:
        """See which rules hold at `now`. A rule that breaks, or can't know, changes nothing."""
        for rule in self._rules.values():
            try:
                found = rule.finds(facts)
            except Exception:
                # A rule is a guest: its fault must not silence the others.
                log.exception("the rule %s broke", rule.name)
                continue
            if found is None:
                continue
            for subject, words in found.items():
                self._found(rule, AlertId(rule.name, subject), words, now)
            self._gone(rule, found, now)
        self._hold_back(facts, now)

    def _found(self, rule: Rule[F], key: AlertId, words: str, now: datetime) -> None:
        # One whose end is not told yet has not ended.
        known = self._alerts.get(key) or self._over.pop(key, None)
        if known is None:
            known = Alert(id=key, severity=rule.severity, words=words, since=now)
        fired_at, early = known.fired_at, known.not_before is not None and now < known.not_before
        if fired_at is None and not early and now - known.since >= timedelta(seconds=rule.for_s):
            fired_at = now
        self._alerts[key] = replace(
            known, words=words, fired_at=fired_at, gone_since=None, restored=False
        )

    def _gone(self, rule: Rule[F], found: Collection[str], now: datetime) -> None:
        for key, alert in list(self._alerts.items()):
            if key.rule != rule.name or key.subject in found:
                continue
            gone_since = alert.gone_since or now
            wait_s = max(rule.clear_s, RESTORED_S) if alert.restored else rule.clear_s
            if alert.fired_at is not None and now - gone_since < timedelta(seconds=wait_s):
                self._alerts[key] = replace(alert, gone_since=gone_since)
                continue
            del self._alerts[key]
            if alert.told_at is not None:
                self._over[key] = replace(alert, gone_since=gone_since)

    def _hold_back(self, facts: F, now: datetime) -> None:
        firing = {key for key, alert in self._alerts.items() if alert.fired_at is not None}
        for key in firing:
            alert, rule = self._alerts[key], self._rules[key.rule]
            held = not firing.isdisjoint(rule.held_back_by(facts, key.subject))
            if alert.held and not held and alert.told_at is None:
                not_before = now + timedelta(seconds=rule.after_held_s)
                alert = replace(alert, fired_at=None, not_before=not_before)
            self._alerts[key] = replace(alert, held=held)

    def due(self, now: datetime) -> Digest:
        """What is to be told at `now`; empty while more may come up that belongs to it."""
        telling = [a for a in self.firing if not a.held]
        digest = Digest(
            new=tuple(a for a in telling if a.told_at is None),
            again=tuple(a for a in telling if a.told_at and now - a.told_at >= self._repeat),
            over=tuple(self._over.values()),
        )
        if not digest:
            self._due_since = None
            return digest
        self._due_since = self._due_since or now
        early = now - self._due_since < self._group_wait
        if early or (self._told_at is not None and now - self._told_at < self._group_gap):
            return Digest()
        return digest

    def known(self, ids: Collection[AlertId], now: datetime) -> None:
        """Of these somebody else told."""
        for key in ids:
            if (alert := self._alerts.get(key)) is not None and alert.told_at is None:
                self._alerts[key] = replace(alert, told_at=now)

    def told(self, digest: Digest, now: datetime) -> None:
        """The digest was told."""
        self._told_at, self._due_since = now, None
        for alert in (*digest.new, *digest.again):
            if (known := self._alerts.get(alert.id)) is not None:
                self._alerts[alert.id] = replace(known, told_at=now)
            elif alert.id not in self._over:  # over while it was told: that is told, too
                self._over[alert.id] = replace(alert, told_at=now, gone_since=now)
        for alert in digest.over:
            if self._over.pop(alert.id, None) is None and alert.id in self._alerts:
                # It came back while its end was told: that is a new one.
                self._alerts[alert.id] = replace(self._alerts[alert.id], told_at=None)
