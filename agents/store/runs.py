"""Runs: who asked for what, and where they are answered. What happens to them is in `ledger.py`."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from agents.store.admission import (
    KEYS_KEPT,
    IdempotencyKey,
    NotAdmitted,
    Quotas,
    Room,
    check_key,
    check_person,
    check_queue,
    check_team,
    keep_key,
    typical_s,
)
from agents.store.database import Database
from agents.store.ledger import write_event
from agents.store.prepared import Prepared
from agents.store.schema import (
    UtcDateTime,
    idempotency_keys,
    matches,
    run_messages,
    run_texts,
    runs,
    users,
)
from resilience.saga import OPEN, Event, EventType, RunStatus, Standing

_OPEN = tuple(OPEN)
_KEYS_A_TIME = 200
_new_run = Prepared(
    sa.insert(runs),
    *("id", "kind", "user_id", "team", "config", "status", "stopping", "last_seq", "fence"),
    *("alerted_seq", "created_at"),
)
_new_text = Prepared(sa.insert(run_texts), "run_id", "name", "body")


@dataclass(frozen=True, slots=True, kw_only=True)
class NewRun:
    """A run to be journaled. `request` is JSON; `one_at_a_time` is for people."""

    run_id: str
    kind: str
    user_id: str
    config: str
    request: str
    chat_id: int | None = None
    team: str | None = None
    key: IdempotencyKey | None = None
    one_at_a_time: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRow:
    """A run as the ledger has it."""

    id: str
    kind: str
    user_id: str
    team: str | None
    config: str
    status: RunStatus
    last_seq: int
    error_type: str | None
    created_at: datetime
    ended_at: datetime | None


@dataclass(frozen=True, slots=True)
class Place:
    """A place in the list of runs, which is newest first."""

    created_at: datetime
    run_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RunMessage:
    """The chat message that a run is answered in; no message_id until it was sent."""

    run_id: str
    chat_id: int
    message_id: int | None


class RunStore:
    """Begins runs and keeps what belongs to one, beside what happens to it (`Ledger`)."""

    def __init__(self, database: Database, now: Callable[[], datetime]) -> None:
        self._db = database
        self._now = now
        self._room = Room()

    async def create(self, new: NewRun, quotas: Quotas) -> None:
        """Journal a new run with what was asked, in one transaction with what allows it.

        Raises NotAdmitted. What was acknowledged is on the disk.
        """
        now = self._now()

        def work(connection: Connection) -> NotAdmitted | None:
            try:
                self._check(connection, new, quotas, now)
            except NotAdmitted as refused:
                return refused  # raised, it would roll back what others commit with it
            self._write(connection, new, now)
            return None

        refused = await self._db.commit(work)
        if refused is not None:
            raise refused
        self._room.took(new.team)

    def _check(self, connection: Connection, new: NewRun, quotas: Quotas, now: datetime) -> None:
        self._db.in_turn(connection, new.team or new.user_id)
        if new.key is not None:
            check_key(connection, new.key, now)
        if new.one_at_a_time:
            check_person(connection, new.user_id, new.run_id)
        if new.team is not None:
            check_team(connection, self._room, new.team, quotas, now)
        check_queue(connection, self._room, quotas, now)

    def _write(self, connection: Connection, new: NewRun, now: datetime) -> None:
        _new_run.run(connection, _run_values(new, now))
        queued = Event(run_id=new.run_id, seq=1, type=EventType.RUN_QUEUED, at=now)
        write_event(connection, queued)
        text = {"run_id": new.run_id, "name": "request", "body": new.request}
        _new_text.run(connection, text)
        if new.key is not None:
            keep_key(connection, new.key, new.run_id, now)
        if new.chat_id is not None:
            row = {"run_id": new.run_id, "chat_id": new.chat_id}
            connection.execute(sa.insert(run_messages).values(row))

    async def get(self, run_id: str) -> RunRow | None:
        """The run's row, or None."""
        query = sa.select(runs).where(runs.c.id == run_id)
        row = await self._db.query(lambda connection: connection.execute(query).one_or_none())
        return None if row is None else run_of(row)

    async def of_team(
        self, team: str, *, status: RunStatus | None, before: Place | None, limit: int
    ) -> list[RunRow]:
        """The team's runs, newest first, from after the place `before`. May be a little old."""
        query = sa.select(runs).where(runs.c.team == team)
        if status is not None:
            query = query.where(runs.c.status == status)
        if before is not None:
            query = query.where(before_place(before))
        query = query.order_by(runs.c.created_at.desc(), runs.c.id.desc()).limit(limit)
        rows = await self._db.browse(lambda connection: connection.execute(query).all())
        return [run_of(row) for row in rows]

    async def newest(self, limit: int) -> list[RunRow]:
        """The newest runs of everybody, for operators. May be a little old."""
        query = sa.select(runs).order_by(runs.c.created_at.desc()).limit(limit)
        rows = await self._db.browse(lambda connection: connection.execute(query).all())
        return [run_of(row) for row in rows]

    async def drop_old_keys(self) -> None:
        """Forget the idempotency keys whose time is over."""
        keys = idempotency_keys.c
        old = keys.created_at < self._now() - KEYS_KEPT
        some = sa.select(keys.team, keys.key).where(old).limit(_KEYS_A_TIME)
        gone = sa.delete(idempotency_keys).where(sa.tuple_(keys.team, keys.key).in_(some))
        while await self._db.commit(lambda c: c.execute(gone).rowcount) == _KEYS_A_TIME:
            pass  # a few at a time: others write between

    async def typical_s(self) -> float:
        """The median of how long the last runs took, in seconds."""
        return await self._db.query(typical_s)

    async def parked_untold(self) -> list[RunRow]:
        """The parked runs whose parking the operators were not told of."""
        untold = (runs.c.status == RunStatus.PARKED) & (runs.c.alerted_seq < runs.c.last_seq)
        query = sa.select(runs).where(untold).order_by(runs.c.created_at)
        rows = await self._db.query(lambda connection: connection.execute(query).all())
        return [run_of(row) for row in rows]

    async def told_parked(self, run_id: str, seq: int) -> None:
        """The operators know of the parking that is this event."""
        told = sa.update(runs).where(runs.c.id == run_id).values(alerted_seq=seq)
        await self._db.commit(lambda connection: connection.execute(told).rowcount)

    async def texts_of(self, user_id: str, kind: str, limit: int) -> list[dict[str, str]]:
        """The texts of the person's last completed runs of that kind, by name, oldest run first."""
        theirs = (runs.c.user_id == user_id) & (runs.c.status == RunStatus.COMPLETED)
        last = (
            sa.select(runs.c.id)
            .where(theirs & (runs.c.kind == kind))
            .order_by(runs.c.created_at.desc(), runs.c.id.desc())
            .limit(limit)
        )

        def work(connection: Connection) -> list[dict[str, str]]:
            run_ids = list(connection.execute(last).scalars())
            query = sa.select(run_texts).where(run_texts.c.run_id.in_(run_ids))
            texts: dict[str, dict[str, str]] = {run_id: {} for run_id in reversed(run_ids)}
            for row in connection.execute(query):
                texts[row.run_id][row.name] = row.body
            return list(texts.values())

        return await self._db.query(work)

    async def text(self, run_id: str, name: str) -> str | None:
        """A text of the run, or None."""
        where = (run_texts.c.run_id == run_id) & (run_texts.c.name == name)
        query = sa.select(run_texts.c.body).where(where)
        return await self._db.query(lambda connection: connection.execute(query).scalar())

    async def keep_text(self, run_id: str, name: str, body: str) -> None:
        """Replace a text of the run."""
        row = {"run_id": run_id, "name": name, "body": body}
        statement = self._db.upsert(run_texts, ("run_id", "name"))
        await self._db.commit(lambda connection: connection.execute(statement, row).rowcount)

    async def open_run_of(self, user_id: str) -> str | None:
        """The person's run that has not ended, if there is one."""
        where = (runs.c.user_id == user_id) & runs.c.status.in_(_OPEN)
        async with self._db.read() as connection:
            return (await connection.execute(sa.select(runs.c.id).where(where).limit(1))).scalar()

    async def last_answered_run_of(self, user_id: str) -> str | None:
        """The person's newest completed run that came to a shortlist, which `/draft N` means; a
        scout's may be empty."""
        ranked = sa.exists().where((matches.c.run_id == runs.c.id) & matches.c.score.is_not(None))
        where = (runs.c.user_id == user_id) & (runs.c.status == RunStatus.COMPLETED)
        where &= (runs.c.kind == "scout") | ranked
        query = sa.select(runs.c.id).where(where).order_by(runs.c.created_at.desc()).limit(1)
        async with self._db.read() as connection:
            return (await connection.execute(query)).scalar()

    # --- the message a run is answered in -----------------------------------------------------

    async def keep_message(self, run_id: str, message_id: int) -> None:
        """Journal which message the run is answered in."""
        await self._update_message(run_id, {"message_id": message_id})

    async def mark_answered(self, run_id: str) -> None:
        """Journal that the run's end stands in its message."""
        await self._update_message(run_id, {"answered_at": self._now()})

    async def message(self, run_id: str) -> RunMessage | None:
        """The message of the run, or None when it is not answered in a chat."""
        query = sa.select(run_messages).where(run_messages.c.run_id == run_id)
        async with self._db.read() as connection:
            row = (await connection.execute(query)).one_or_none()
        if row is None:
            return None
        return RunMessage(run_id=run_id, chat_id=row.chat_id, message_id=row.message_id)

    async def unanswered(self, channels: tuple[str, ...]) -> list[str]:
        """Ended runs of these channels whose end does not stand in their message yet."""
        query = (
            sa.select(runs.c.id)
            .join(run_messages, run_messages.c.run_id == runs.c.id)
            .join(users, users.c.id == runs.c.user_id)
            .where(run_messages.c.answered_at.is_(None) & runs.c.status.not_in(_OPEN))
            .where(users.c.channel.in_(channels))
            .order_by(runs.c.created_at)
        )
        async with self._db.read() as connection:
            return list((await connection.execute(query)).scalars())

    async def _update_message(self, run_id: str, values: dict[str, object]) -> None:
        where = run_messages.c.run_id == run_id
        async with self._db.write() as connection:
            await connection.execute(sa.update(run_messages).where(where).values(values))


def _run_values(new: NewRun, now: datetime) -> dict[str, object]:
    standing = Standing().after(EventType.RUN_QUEUED)
    return {
        "id": new.run_id,
        "kind": new.kind,
        "user_id": new.user_id,
        "team": new.team,
        "config": new.config,
        "status": standing.status,
        "stopping": standing.stopping,
        "last_seq": 1,
        "fence": 0,
        "alerted_seq": 0,
        "created_at": now,
    }


def before_place(place: Place) -> sa.ColumnElement[bool]:
    """The runs that come after that place in the list."""
    here = sa.tuple_(sa.literal(place.created_at, UtcDateTime), place.run_id)
    return sa.tuple_(runs.c.created_at, runs.c.id) < here


def run_of(row: Any) -> RunRow:
    """The run of a row of `runs`."""
    return RunRow(
        id=row.id,
        kind=row.kind,
        user_id=row.user_id,
        team=row.team,
        config=row.config,
        status=RunStatus(row.status),
        last_seq=row.last_seq,
        error_type=row.error_type,
        created_at=row.created_at,
        ended_at=row.ended_at,
    )
