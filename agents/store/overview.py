"""All runs at a glance: how many stand where, what was spent today, what happened last."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from agents.store.database import Database
from agents.store.ledger import event_of
from agents.store.runs import Place, RunRow, before_place, run_of
from agents.store.schema import UtcDateTime, probes, run_events, runs, team_tokens
from resilience.saga import OPEN, Event, RunStatus

PARKED_SHOWN = 200
_STANDING = (*OPEN, RunStatus.PARKED)
_RUNS_SEEN = 200


@dataclass(frozen=True, slots=True)
class Parked:
    """A parked run; `seq` is its parking, `told` whether the operators know of that."""

    run_id: str
    seq: int
    told: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """The runs that have not ended well: how many by kind and status, since when the first of a
    kind waits for its turn, and the oldest parked."""

    counts: Mapping[tuple[str, RunStatus], int]
    waiting_since: Mapping[str, datetime]
    parked: tuple[Parked, ...]
    tokens_today: int

    def of(self, *statuses: RunStatus) -> int:
        """How many have one of these statuses."""
        return sum(n for (_, status), n in self.counts.items() if status in statuses)

    def queued(self, kind: str) -> int:
        """How many of that kind wait for their turn."""
        return self.counts.get((kind, RunStatus.QUEUED), 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Which:
    """Which runs are listed; None is any."""

    status: RunStatus | None = None
    kind: str | None = None


class OverviewStore:
    """Reads across all people and teams, for operators only. All of it raises StoreError."""

    def __init__(self, database: Database, now: Callable[[], datetime]) -> None:
        self._db = database
        self._now = now

    async def look(self) -> Overview:
        """How it stands now."""
        midnight = self._now().replace(hour=0, minute=0, second=0, microsecond=0)
        counts = (
            sa.select(runs.c.kind, runs.c.status, sa.func.count())
            .where(runs.c.status.in_(_STANDING))
            .group_by(runs.c.kind, runs.c.status)
        )
        waiting = (
            sa.select(runs.c.kind, sa.func.min(runs.c.created_at, type_=UtcDateTime))
            .where(runs.c.status == RunStatus.QUEUED)
            .group_by(runs.c.kind)
        )
        parked = (
            sa.select(runs.c.id, runs.c.last_seq, runs.c.alerted_seq)
            .where(runs.c.status == RunStatus.PARKED)
            .order_by(runs.c.created_at)
            .limit(PARKED_SHOWN)
        )
        spent = sa.select(sa.func.sum(team_tokens.c.tokens)).where(
            team_tokens.c.minute >= int(midnight.timestamp() // 60)
        )

        def work(connection: Connection) -> Overview:
            return Overview(
                counts={
                    (kind, RunStatus(status)): number
                    for kind, status, number in connection.execute(counts).all()
                },
                waiting_since={row[0]: row[1] for row in connection.execute(waiting)},
                parked=tuple(
                    Parked(row.id, row.last_seq, row.alerted_seq >= row.last_seq)
                    for row in connection.execute(parked).all()
                ),
                tokens_today=int(connection.execute(spent).scalar() or 0),
            )

        return await self._db.query(work)

    async def runs(self, which: Which, before: Place | None, limit: int) -> list[RunRow]:
        """Everybody's runs, newest first, from after the place `before`. May be a little old."""
        query = sa.select(runs)
        if which.status is not None:
            query = query.where(runs.c.status == which.status)
        if which.kind is not None:
            query = query.where(runs.c.kind == which.kind)
        if before is not None:
            query = query.where(before_place(before))
        query = query.order_by(runs.c.created_at.desc(), runs.c.id.desc()).limit(limit)
        rows = await self._db.browse(lambda connection: connection.execute(query).all())
        return [run_of(row) for row in rows]

    async def lately(self, within: timedelta) -> list[Event]:
        """The events of the newest runs that happened within that time, oldest first."""
        since = self._now() - within
        newest = sa.select(runs.c.id).where(runs.c.created_at >= since)
        newest = newest.order_by(runs.c.created_at.desc()).limit(_RUNS_SEEN)
        query = sa.select(run_events).where(
            run_events.c.run_id.in_(newest.scalar_subquery()) & (run_events.c.at >= since)
        )
        query = query.order_by(run_events.c.at, run_events.c.run_id, run_events.c.seq)
        rows = await self._db.browse(lambda connection: connection.execute(query).all())
        return [event_of(row) for row in rows]

    async def probe(self) -> None:
        """Write something; raises StoreError when the database takes no write."""
        row = {"name": "write", "at": self._now()}
        statement = self._db.upsert(probes, ("name",))
        await self._db.commit(lambda connection: connection.execute(statement, row).rowcount)
