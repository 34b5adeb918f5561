"""Who may have a new run: checked and journaled in one transaction, so that it holds for requests
that come at the same time, and for every process.

NotAdmitted
├── AlreadyOpen        a person has one run at a time
├── KeyTaken           the idempotency key has its run: the same request again, or another one
├── TeamOver           a quota of the team, with when to come again
└── QueueFull          the process has as much to do as it takes, with the wait
"""

import statistics
from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from agents.store.prepared import Prepared
from agents.store.schema import idempotency_keys, run_events, runs, team_tokens
from resilience.saga import OPEN, EventType, RunStatus

KEYS_KEPT = timedelta(hours=24)
_RECENT = 20
_WAIT_UNKNOWN_S = 10.0
_DAY = 24 * 60  # minutes
_OPEN = tuple(OPEN)


class NotAdmitted(Exception):  # noqa: N818 - names the situation
    """No run was journaled."""


class AlreadyOpen(NotAdmitted):
    """The person's earlier run has not ended."""

    def __init__(self, run_id: str) -> None:
        super().__init__(f"run {run_id} has not ended")
        self.run_id = run_id


class KeyTaken(NotAdmitted):
    """The idempotency key was used before, by `same` request or another."""

    def __init__(self, run_id: str, *, same: bool) -> None:
        super().__init__(f"the key belongs to run {run_id}")
        self.run_id = run_id
        self.same = same


class TeamOver(NotAdmitted):
    """A quota of the team is used up. `type` is stable, for programs."""

    def __init__(self, type: str, words: str, retry_after_s: float) -> None:  # noqa: A002
        super().__init__(words)
        self.type = type
        self.retry_after_s = retry_after_s


class QueueFull(NotAdmitted):
    """As many runs wait as may; `wait_s` is how long those before would take."""

    def __init__(self, position: int, wait_s: float) -> None:
        super().__init__(f"{position:,} runs are waiting")
        self.position = position
        self.wait_s = wait_s


@dataclass(frozen=True, slots=True, kw_only=True)
class Quotas:
    """What a team may have, and how many runs may wait in all."""

    team_runs: int = 10
    team_tokens_per_min: int = 200_000
    team_tokens_per_day: int = 5_000_000
    queued: int = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class IdempotencyKey:
    """A team's key with the request it stands for, both hashed."""

    team: str
    key: str
    body: str


@dataclass(slots=True)
class _Estimate:
    """How many there are, counted at most once a second and added to by this process."""

    counted_at: datetime
    count: int


class Room:
    """How many runs there are of a kind that is limited.

    A low limit is held exactly (that of the queue on PostgreSQL but for what other teams journal in
    the same instant). Under a high one, counting each time would take longer than the rest of a
    request: it is counted each second and before anybody is refused, so that the runs of another
    process can go over it for a second.
    """

    _EXACT_TO = 1_000
    _COUNT_EVERY = timedelta(seconds=1)

    def __init__(self) -> None:
        self._estimates: dict[str, _Estimate] = {}

    def took(self, team: str | None) -> None:
        """A run was journaled, which waits now."""
        for name in ("", team):
            if name is not None and (estimate := self._estimates.get(name)) is not None:
                estimate.count += 1

    def left(
        self, connection: Connection, team: str, counting: Prepared, most: int, now: datetime
    ) -> bool:
        """Whether there are fewer than `most`; of the queue, where `team` is empty."""
        known = self._estimates.get(team)
        old = known is None or not timedelta() <= now - known.counted_at < self._COUNT_EVERY
        if most <= self._EXACT_TO or old or known is None or known.count >= most:
            row = counting.first(connection, {"team": team, "most": most})
            known = _Estimate(now, 0 if row is None else int(row[0]))
            if len(self._estimates) < self._EXACT_TO:
                self._estimates[team] = known
        return known.count < most


def check_key(connection: Connection, key: IdempotencyKey, now: datetime) -> None:
    """Raise KeyTaken when the key has its run; one that it had too long ago is forgotten."""
    which = {"team": key.team, "key": key.key}
    row = _known_key.first(connection, which | {"kept": now - KEYS_KEPT})
    if row is None:
        return
    run_id, body, kept = row
    if kept:
        raise KeyTaken(run_id, same=body == key.body)
    _no_key.run(connection, which)


def keep_key(connection: Connection, key: IdempotencyKey, run_id: str, now: datetime) -> None:
    """Store whose run the key is."""
    row = {"team": key.team, "key": key.key, "body": key.body, "run_id": run_id}
    _new_key.run(connection, row | {"created_at": now})


def check_person(connection: Connection, user_id: str, run_id: str) -> None:
    """Raise KeyTaken when there is that run already, and AlreadyOpen while the person has another
    that has not ended."""
    if connection.execute(sa.select(runs.c.id).where(runs.c.id == run_id)).scalar() is not None:
        raise KeyTaken(run_id, same=True)
    where = (runs.c.user_id == user_id) & runs.c.status.in_(_OPEN)
    other = connection.execute(sa.select(runs.c.id).where(where).limit(1)).scalar()
    if other is not None:
        raise AlreadyOpen(other)


def check_team(
    connection: Connection, room: Room, team: str, quotas: Quotas, now: datetime
) -> None:
    """Raise TeamOver when a quota of the team is used up."""
    if not room.left(connection, team, _open_of_team, quotas.team_runs, now):
        words = f"{quotas.team_runs} runs of this team have not ended"
        raise TeamOver("too-many-runs", words, max(1.0, typical_s(connection)))
    minute = int(now.timestamp() // 60)
    used = _used_tokens.first(connection, {"team_": team, "day": minute - _DAY, "minute": minute})
    day, last, oldest = used or (0, 0, None)
    if oldest is None:
        return
    if day >= quotas.team_tokens_per_day:
        words = f"this team used {day:,} tokens in a day, of {quotas.team_tokens_per_day:,}"
        leaves_s = (oldest + _DAY) * 60 - now.timestamp()
        raise TeamOver("token-budget-exhausted", words, leaves_s)
    if last >= quotas.team_tokens_per_min:
        words = f"this team used {last:,} tokens in a minute, of {quotas.team_tokens_per_min:,}"
        raise TeamOver("token-rate-exceeded", words, 60.0 - now.timestamp() % 60)


def check_queue(connection: Connection, room: Room, quotas: Quotas, now: datetime) -> None:
    """Raise QueueFull when as many runs wait as may."""
    if not room.left(connection, "", _waiting, quotas.queued, now):
        raise QueueFull(quotas.queued, quotas.queued * typical_s(connection))


def typical_s(connection: Connection) -> float:
    """The median of how long the last runs took once it was their turn, in seconds."""
    begun = (run_events.c.run_id == runs.c.id) & (run_events.c.type == EventType.RUN_STARTED)
    query = sa.select(run_events.c.at, runs.c.ended_at).join(run_events, begun)
    ended = query.where(runs.c.ended_at.is_not(None))
    rows = connection.execute(ended.order_by(runs.c.created_at.desc()).limit(_RECENT)).all()
    times = [(row.ended_at - row.at).total_seconds() for row in rows]
    return statistics.median(times) if times else _WAIT_UNKNOWN_S


def _counting(where: sa.ColumnElement[bool]) -> Prepared:
    """How many runs there are, at most `most`."""
    some = sa.select(sa.literal(1)).select_from(runs).where(where).limit(sa.bindparam("most"))
    return Prepared(sa.select(sa.func.count()).select_from(some.subquery()))


_OPEN_WORDS: list[sa.ColumnElement[str]] = [
    sa.literal_column(f"'{status}'") for status in sorted(OPEN)
]
_team = sa.bindparam("team", type_=sa.String)
_open_of_team = _counting((runs.c.team == _team) & runs.c.status.in_(_OPEN_WORDS))
_waiting = _counting((runs.c.status == RunStatus.QUEUED) & (_team == ""))
_keys = idempotency_keys.c
_this_key = (_keys.team == _team) & (_keys.key == sa.bindparam("key"))
_known_key = Prepared(
    sa.select(_keys.run_id, _keys.body, _keys.created_at >= sa.bindparam("kept")).where(_this_key)
)
_no_key = Prepared(sa.delete(idempotency_keys).where(_this_key))
_new_key = Prepared(sa.insert(idempotency_keys), *("team", "key", "body", "run_id", "created_at"))
_since = sa.case((team_tokens.c.minute >= sa.bindparam("minute"), team_tokens.c.tokens), else_=0)
_used_tokens = Prepared(
    sa.select(
        sa.func.sum(team_tokens.c.tokens), sa.func.sum(_since), sa.func.min(team_tokens.c.minute)
    )
    .where(team_tokens.c.team == sa.bindparam("team_"))
    .where(team_tokens.c.minute > sa.bindparam("day"))
)
