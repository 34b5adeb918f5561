"""The ledger: what happened to each run, append-only, and who executes it."""

from collections.abc import Callable, Collection, Mapping
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from agents.store.database import Database
from agents.store.owner import Owner
from agents.store.prepared import Prepared
from agents.store.schema import run_events, run_messages, run_parts, runs, team_tokens, users
from resilience.saga import (
    CLOSING,
    OPEN,
    Event,
    EventType,
    IllegalTransition,
    JsonValue,
    LeaseLost,
    Part,
    RunStatus,
    Standing,
)

LEASE = timedelta(seconds=30)
TOKENS_KEPT = timedelta(days=2)
_OPEN = tuple(OPEN)

_standing = Prepared(
    sa.select(runs.c.status, runs.c.stopping, runs.c.last_seq, runs.c.fence, runs.c.team)
    .where(runs.c.id == sa.bindparam("id"))
    .with_for_update()
)
_new_event = Prepared(sa.insert(run_events), "run_id", "seq", "type", "at", "data")
_the_run = runs.c.id == sa.bindparam("id_")
_moved = Prepared(sa.update(runs).where(_the_run), "status", "stopping", "last_seq")
_reopened = Prepared(
    sa.update(runs).where(_the_run), "status", "stopping", "last_seq", "ended_at", "error_type"
)
_moved_far = Prepared(
    sa.update(runs).where(_the_run),
    *("status", "stopping", "last_seq", "ended_at", "error_type", "owner", "lease_until"),
)


class Ledger:
    """Implements the saga's Journal for one process, the `owner`."""

    def __init__(self, database: Database, now: Callable[[], datetime], owner: Owner) -> None:
        self._db = database
        self._now = now
        self._owner = owner

    async def append(
        self,
        run_id: str,
        event: EventType,
        data: Mapping[str, JsonValue] | None = None,
        *,
        at: datetime | None = None,
        fence: int | None = None,
        part: Part | None = None,
    ) -> Event:
        """Store the event, the state it leads to, and the part, in one transaction."""
        at, body = at or self._now(), dict(data or {})

        def work(connection: Connection) -> Event | IllegalTransition | LeaseLost:
            row = _standing.first(connection, {"id": run_id})
            if row is None:
                return IllegalTransition(None, event)
            status, stopping, last_seq, present, team = row
            if fence is not None and present != fence:
                return LeaseLost(run_id)
            try:
                standing = Standing(RunStatus(status), bool(stopping)).after(event)
            except IllegalTransition as refused:
                return refused  # raised, it would roll back what others commit with it
            stored = Event(run_id=run_id, seq=last_seq + 1, type=event, at=at, data=body)
            write_event(connection, stored)
            _move(connection, stored, standing)
            self._beside(connection, team, stored, part)
            if status == RunStatus.PARKED:  # its undo is tried again: its message will say more
                anew = sa.update(run_messages).where(run_messages.c.run_id == run_id)
                connection.execute(anew.values(answered_at=None))
            return stored

        stored = await self._db.commit(work)
        if not isinstance(stored, Event):
            raise stored
        return stored

    def _beside(
        self, connection: Connection, team: str | None, event: Event, part: Part | None
    ) -> None:
        """What else a few events change: parts that are kept, and a team's tokens."""
        if part is not None:
            values = {"run_id": event.run_id, "step": part.step, "body": part.body}
            connection.execute(self._db.upsert(run_parts, ("run_id", "step")), values)
        elif event.type in CLOSING and event.type is not EventType.RUN_PARKED:
            connection.execute(sa.delete(run_parts).where(run_parts.c.run_id == event.run_id))
        tokens = event.data.get("tokens")
        if isinstance(tokens, int) and tokens and event.data.get("settled"):
            self._count(connection, team or "", int(event.at.timestamp() // 60), tokens)

    def _count(self, connection: Connection, team: str, minute: int, tokens: int) -> None:
        new = self._db.insert(team_tokens).values(team=team, minute=minute, tokens=tokens)
        more = {"tokens": team_tokens.c.tokens + tokens}
        connection.execute(new.on_conflict_do_update(index_elements=("team", "minute"), set_=more))
        old = team_tokens.c.minute < minute - TOKENS_KEPT // timedelta(minutes=1)
        connection.execute(sa.delete(team_tokens).where((team_tokens.c.team == team) & old))

    async def events(self, run_id: str) -> list[Event]:
        """All events of the run, oldest first."""
        return await self.events_after(run_id, 0)

    async def events_after(self, run_id: str, seq: int, limit: int | None = None) -> list[Event]:
        """The events of the run after that one, oldest first."""
        mine = (run_events.c.run_id == run_id) & (run_events.c.seq > seq)
        query = sa.select(run_events).where(mine).order_by(run_events.c.seq).limit(limit)
        rows = await self._db.query(lambda connection: connection.execute(query).all())
        return [event_of(row) for row in rows]

    async def events_of(self, run_ids: Collection[str]) -> dict[str, list[Event]]:
        """The events of all these runs, by run. May be a little old."""
        mine = sa.select(run_events).where(run_events.c.run_id.in_(run_ids))
        query = mine.order_by(run_events.c.run_id, run_events.c.seq)
        rows = await self._db.browse(lambda connection: connection.execute(query).all())
        found: dict[str, list[Event]] = {}
        for row in rows:
            found.setdefault(row.run_id, []).append(event_of(row))
        return found

    async def standing(self, run_id: str) -> tuple[RunStatus, int] | None:
        """The run's status and the number of its last event, or None when there is no such run."""
        query = sa.select(runs.c.status, runs.c.last_seq).where(runs.c.id == run_id)
        row = await self._db.query(lambda connection: connection.execute(query).one_or_none())
        return None if row is None else (RunStatus(row.status), row.last_seq)

    async def parts(self, run_id: str) -> dict[str, str]:
        """What the run's completed steps made, by step."""
        query = sa.select(run_parts.c.step, run_parts.c.body).where(run_parts.c.run_id == run_id)
        rows = await self._db.query(lambda connection: connection.execute(query).all())
        return {row.step: row.body for row in rows}

    # --- who executes it ----------------------------------------------------------------------

    async def claim(self, run_id: str) -> int | None:
        """Take the run for the time of a lease; the new fence, or None while another has it, or
        when there is nothing to be done for it."""

        def work(connection: Connection) -> int | None:
            now = self._now()
            query = sa.select(runs.c.owner, runs.c.lease_until, runs.c.status, runs.c.fence)
            mine = runs.c.id == run_id
            row = connection.execute(query.where(mine).with_for_update()).one_or_none()
            if row is None or not self._is_free(row, now):
                return None
            if row.status not in (*_OPEN, RunStatus.PARKED):
                return None
            fence = int(row.fence) + 1
            values = {"owner": self._owner.name, "lease_until": now + LEASE, "fence": fence}
            connection.execute(sa.update(runs).where(mine).values(values))
            return fence

        return await self._db.commit(work)

    async def renew(self, run_ids: Collection[str]) -> dict[str, bool]:
        """Prolong the leases; the runs that are still this process's, and whether each is to
        stop."""

        def work(connection: Connection) -> dict[str, bool]:
            mine = runs.c.id.in_(run_ids) & (runs.c.owner == self._owner.name)
            until = {"lease_until": self._now() + LEASE}
            connection.execute(sa.update(runs).where(mine).values(until))
            rows = connection.execute(sa.select(runs.c.id, runs.c.stopping).where(mine)).all()
            return {row.id: row.stopping for row in rows}

        return await self._db.commit(work)

    async def release(self, run_ids: Collection[str]) -> None:
        """Give them up: any process may take them at once."""
        if not run_ids:
            return
        mine = runs.c.id.in_(run_ids) & (runs.c.owner == self._owner.name)
        nobody = sa.update(runs).where(mine).values(owner=None, lease_until=None)
        await self._db.commit(lambda connection: connection.execute(nobody).rowcount)

    async def abandoned(self, channels: Collection[str], idle_s: float = 0.0) -> list[str]:
        """The runs of these channels that somebody has to take up: nobody executes them, or
        nobody that is still there. Oldest first; without those that are younger than `idle_s` and
        were never executed."""
        now = self._now()

        since = now - timedelta(seconds=idle_s)

        def work(connection: Connection) -> list[str]:
            query = (
                sa.select(runs.c.id, runs.c.owner, runs.c.lease_until)
                .join(users, users.c.id == runs.c.user_id)
                .where(runs.c.status.in_(_OPEN) & users.c.channel.in_(channels))
                .where(runs.c.owner.is_not(None) | (runs.c.created_at <= since))
                .order_by(runs.c.created_at)
            )
            rows = connection.execute(query).all()
            return [row.id for row in rows if self._is_free(row, now)]

        return await self._db.query(work)

    def _is_free(self, row: Any, now: datetime) -> bool:
        if row.owner is None or row.owner == self._owner.name or row.lease_until <= now:
            return True
        return self._owner.is_gone(row.owner)


def event_of(row: Any) -> Event:
    """The event of a row of `run_events`."""
    return Event(run_id=row.run_id, seq=row.seq, type=EventType(row.type), at=row.at, data=row.data)


def write_event(connection: Connection, event: Event) -> None:
    """Insert the event's row; who calls has checked that it comes next."""
    values = {
        "run_id": event.run_id,
        "seq": event.seq,
        "type": event.type,
        "at": event.at,
        "data": event.data,
    }
    _new_event.run(connection, values)


def _move(connection: Connection, event: Event, standing: Standing) -> None:
    values: dict[str, object] = {
        "id_": event.run_id,
        "status": standing.status,
        "stopping": standing.stopping,
        "last_seq": event.seq,
    }
    if event.type in CLOSING:
        ended = {"ended_at": event.at, "error_type": event.data.get("error")}
        _moved_far.run(connection, values | ended | {"owner": None, "lease_until": None})
    elif event.type is EventType.RUN_COMPENSATING:  # also of a parked run, which had ended
        _reopened.run(connection, values | {"ended_at": None, "error_type": None})
    else:
        _moved.run(connection, values)
