"""What operators did, and which alerts they know of."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from agents.store.database import Database
from agents.store.owner import Owner
from agents.store.schema import operator_actions, told_alerts, users
from resilience.alerts import Alert, AlertId, Digest, Severity

ABANDONED = timedelta(minutes=2)
"""An alert that its process has not seen for so long is another's to tell of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorAction:
    """One thing that an operator did. `who` names the channel and the person there, or how else
    they came; one who was forgotten is a random id. `outcome` is None until it is known."""

    at: datetime
    who: str
    action: str
    subject: str
    outcome: str | None


class ActionStore:
    """The operators' own ledger: append-only, but for an outcome that was not known yet."""

    def __init__(self, database: Database, now: Callable[[], datetime]) -> None:
        self._db = database
        self._now = now

    async def begin(self, who: str, action: str, subject: str) -> int:
        """Journal what is about to be done; its number. Raises StoreError: then it must not be."""
        row = {"at": self._now(), "who": who, "action": action, "subject": subject}
        new = sa.insert(operator_actions).values(row).returning(operator_actions.c.id)
        return await self._db.commit(lambda connection: int(connection.execute(new).scalar_one()))

    async def end(self, number: int, outcome: str) -> None:
        """Journal what came of it."""
        known = sa.update(operator_actions).where(operator_actions.c.id == number)
        known = known.values(outcome=outcome[:255])
        await self._db.commit(lambda connection: connection.execute(known).rowcount)

    async def newest(self, limit: int) -> list[OperatorAction]:
        """The newest first. May be a little old."""
        of = users.c.id == operator_actions.c.who
        query = (
            sa.select(operator_actions, users.c.channel, users.c.external_id)
            .join(users, of, isouter=True)
            .order_by(operator_actions.c.id.desc())
            .limit(limit)
        )
        rows = await self._db.browse(lambda connection: connection.execute(query).all())
        return [_action(row) for row in rows]

    async def standing(self, actions: Collection[str]) -> Mapping[str, str]:
        """The last of these actions on each subject, by subject."""
        last = (
            sa.select(sa.func.max(operator_actions.c.id))
            .where(operator_actions.c.action.in_(actions))
            .group_by(operator_actions.c.subject)
        )
        query = sa.select(operator_actions.c.subject, operator_actions.c.action)
        query = query.where(operator_actions.c.id.in_(last))
        rows = await self._db.query(lambda connection: connection.execute(query).all())
        return {row.subject: row.action for row in rows}


class AlertStore:
    """The alerts that operators were told of, each by one process: the `owner`. What a process that
    is gone had told is taken over by the next."""

    def __init__(self, database: Database, now: Callable[[], datetime], owner: Owner) -> None:
        self._db = database
        self._now = now
        self._owner = owner

    async def take_over(self) -> list[Alert]:
        """Say that this process is there, and take over the alerts of those that are not."""

        def work(connection: Connection) -> list[Alert]:
            now, mine = self._now(), told_alerts.c.owner == self._owner.name
            connection.execute(sa.update(told_alerts).where(mine).values(seen_at=now))
            rows = connection.execute(sa.select(told_alerts).where(~mine)).all()
            left = [row for row in rows if self._is_left(row, now)]
            for row in left:
                values = {"owner": self._owner.name, "seen_at": now}
                this = _this(AlertId(row.rule, row.subject))
                connection.execute(sa.update(told_alerts).where(this).values(values))
            return [_alert(row) for row in left]

        return await self._db.commit(work)

    async def own(self, digest: Digest) -> Digest:
        """What of the digest is this process's to tell: no other was quicker."""

        def work(connection: Connection) -> Digest:
            return Digest(
                new=tuple(a for a in digest.new if self._claim(connection, a)),
                again=tuple(a for a in digest.again if self._owns(connection, a.id)),
                over=tuple(a for a in digest.over if self._owns(connection, a.id)),
            )

        return await self._db.commit(work)

    async def told(self, digest: Digest) -> None:
        """The digest was told: keep what goes on, forget what is over."""
        now = self._now()

        def work(connection: Connection) -> None:
            for alert in (*digest.new, *digest.again):
                told = sa.update(told_alerts).where(_this(alert.id)).values(told_at=now)
                connection.execute(told)
            for alert in digest.over:
                connection.execute(sa.delete(told_alerts).where(_this(alert.id)))

        await self._db.commit(work)

    def _claim(self, connection: Connection, alert: Alert) -> bool:
        row = {
            "rule": alert.id.rule,
            "subject": alert.id.subject,
            "severity": alert.severity,
            "words": alert.words,
            "since": alert.since,
            "fired_at": alert.fired_at,
            "owner": self._owner.name,
            "seen_at": self._now(),
        }
        connection.execute(self._db.insert_once(told_alerts), row)
        return self._owns(connection, alert.id)

    def _owns(self, connection: Connection, key: AlertId) -> bool:
        query = sa.select(told_alerts.c.owner).where(_this(key))
        return connection.execute(query).scalar() == self._owner.name

    def _is_left(self, row: Any, now: datetime) -> bool:
        return bool(now - row.seen_at > ABANDONED) or self._owner.is_gone(row.owner)


def _this(key: AlertId) -> sa.ColumnElement[bool]:
    return (told_alerts.c.rule == key.rule) & (told_alerts.c.subject == key.subject)


def _alert(row: Any) -> Alert:
    return Alert(
        id=AlertId(row.rule, row.subject),
        severity=Severity(row.severity),
        words=row.words,
        since=row.since,
        fired_at=row.fired_at,
        told_at=row.told_at,
    )


def _action(row: Any) -> OperatorAction:
    who = row.who if row.channel is None else f"{row.channel}:{row.external_id}"
    return OperatorAction(
        at=row.at, who=who, action=row.action, subject=row.subject, outcome=row.outcome
    )
