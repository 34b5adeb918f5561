"""Runs: the journal of what happened (append-only), their requests, and where they are answered."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from agents.domain.run import ScoutRequest
from agents.store.codec import REQUEST
from agents.store.database import Database
from agents.store.schema import run_events, run_messages, run_texts, runs, users
from resilience.saga import (
    CLOSING,
    Event,
    EventType,
    IllegalTransition,
    JsonValue,
    RunStatus,
    next_status,
)

_OPEN = (RunStatus.QUEUED, RunStatus.RUNNING, RunStatus.COMPENSATING)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRow:
    """A run as the ledger has it."""

    id: str
    user_id: str
    config: str
    status: RunStatus
    error_type: str | None
    created_at: datetime
    ended_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunMessage:
    """The chat message that a run is answered in; no message_id until it was sent."""

    run_id: str
    chat_id: int
    message_id: int | None


class RunStore:
    """Implements the saga's Journal, and keeps what belongs to a run."""

    def __init__(self, database: Database, now: Callable[[], datetime]) -> None:
        self._db = database
        self._now = now

    async def create(
        self, run_id: str, user_id: str, request: ScoutRequest, chat_id: int | None
    ) -> None:
        """Journal a new run with what was asked and the chat it is answered in."""
        now = self._now()
        row = {
            "id": run_id,
            "kind": "scout",
            "user_id": user_id,
            "config": request.config,
            "status": next_status(None, EventType.RUN_QUEUED),
            "last_seq": 1,
            "created_at": now,
        }
        queued = {"run_id": run_id, "seq": 1, "type": EventType.RUN_QUEUED, "at": now, "data": {}}
        async with self._db.write() as connection:
            await connection.execute(sa.insert(runs).values(row))
            await connection.execute(sa.insert(run_events).values(queued))
            await connection.execute(
                sa.insert(run_texts).values(
                    run_id=run_id, name="request", body=REQUEST.dump_json(request).decode()
                )
            )
            if chat_id is not None:
                message = sa.insert(run_messages).values(run_id=run_id, chat_id=chat_id)
                await connection.execute(message)

    async def append(
        self, run_id: str, event: EventType, data: Mapping[str, JsonValue] | None = None
    ) -> Event:
        """Store the event and the status it leads to, in one transaction."""
        now = self._now()
        async with self._db.write() as connection:
            known = sa.select(runs.c.status, runs.c.last_seq).where(runs.c.id == run_id)
            row = (await connection.execute(known.with_for_update())).one_or_none()
            if row is None:
                raise IllegalTransition(None, event)
            status, seq = next_status(RunStatus(row.status), event), row.last_seq + 1
            stored = Event(run_id=run_id, seq=seq, type=event, at=now, data=dict(data or {}))
            await connection.execute(
                sa.insert(run_events).values(
                    run_id=run_id, seq=seq, type=event, at=now, data=stored.data
                )
            )
            values: dict[str, object] = {"status": status, "last_seq": seq}
            if event in CLOSING:
                values |= {"ended_at": now, "error_type": stored.data.get("error")}
            await connection.execute(sa.update(runs).where(runs.c.id == run_id).values(values))
        return stored

    async def events(self, run_id: str) -> list[Event]:
        """All events of the run, oldest first."""
        query = sa.select(run_events).where(run_events.c.run_id == run_id)
        async with self._db.read() as connection:
            rows = (await connection.execute(query.order_by(run_events.c.seq))).all()
        return [
            Event(run_id=r.run_id, seq=r.seq, type=EventType(r.type), at=r.at, data=r.data)
            for r in rows
        ]

    async def get(self, run_id: str) -> RunRow | None:
        """The run's row, or None."""
        async with self._db.read() as connection:
            row = (
                await connection.execute(sa.select(runs).where(runs.c.id == run_id))
            ).one_or_none()
        if row is None:
            return None
        return RunRow(
            id=row.id,
            user_id=row.user_id,
            config=row.config,
            status=RunStatus(row.status),
            error_type=row.error_type,
            created_at=row.created_at,
            ended_at=row.ended_at,
        )

    async def request(self, run_id: str) -> ScoutRequest | None:
        """What was asked, or None when it was forgotten."""
        body = await self.text(run_id, "request")
        return None if body is None else REQUEST.validate_json(body)

    async def text(self, run_id: str, name: str) -> str | None:
        """A text of the run, or None."""
        where = (run_texts.c.run_id == run_id) & (run_texts.c.name == name)
        async with self._db.read() as connection:
            return (await connection.execute(sa.select(run_texts.c.body).where(where))).scalar()

    async def keep_text(self, run_id: str, name: str, body: str) -> None:
        """Replace a text of the run."""
        row = {"run_id": run_id, "name": name, "body": body}
        async with self._db.write() as connection:
            await connection.execute(self._db.upsert(run_texts, ("run_id", "name")), row)

    async def open_run_of(self, user_id: str) -> str | None:
        """The person's run that has not ended, if there is one."""
        where = (runs.c.user_id == user_id) & runs.c.status.in_(_OPEN)
        async with self._db.read() as connection:
            return (await connection.execute(sa.select(runs.c.id).where(where).limit(1))).scalar()

    async def last_answered_run_of(self, user_id: str) -> str | None:
        """The person's newest completed run, whose shortlist `/draft N` means."""
        where = (runs.c.user_id == user_id) & (runs.c.status == RunStatus.COMPLETED)
        query = sa.select(runs.c.id).where(where).order_by(runs.c.created_at.desc()).limit(1)
        async with self._db.read() as connection:
            return (await connection.execute(query)).scalar()

    async def unfinished(self, channels: tuple[str, ...]) -> list[str]:
        """Runs of the people of these channels that have not ended, oldest first."""
        query = (
            sa.select(runs.c.id)
            .join(users, users.c.id == runs.c.user_id)
            .where(runs.c.status.in_(_OPEN) & users.c.channel.in_(channels))
            .order_by(runs.c.created_at)
        )
        async with self._db.read() as connection:
            return list((await connection.execute(query)).scalars())

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
