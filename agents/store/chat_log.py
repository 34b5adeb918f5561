"""The messages of the local chat, kept so that a restart goes on where it stopped.

The store knows no chat format: a message and an update are JSON texts of the in-process Telegram.
"""

from collections.abc import Callable
from dataclasses import dataclass

import sqlalchemy as sa

from agents.store.database import Database, Transaction
from agents.store.schema import chat_counters, chat_files, chat_messages, chat_updates


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggedMessage:
    """A message as it stands now; `revision` grows with every change to any message."""

    message_id: int
    revision: int
    body: str


class ChatLog:
    """Messages, waiting updates and files of local chats."""

    def __init__(self, database: Database) -> None:
        self._db = database

    async def add(self, chat_id: int, body: Callable[[int], str]) -> LoggedMessage:
        """Store a new message; `body` makes its text from the number it gets."""
        async with self._db.write() as connection:
            message_id = await _next(connection, "message")
            revision, text = await _next(connection, "revision"), body(message_id)
            row = {
                "chat_id": chat_id,
                "message_id": message_id,
                "revision": revision,
                "body": text,
            }
            await connection.execute(sa.insert(chat_messages).values(row))
        return LoggedMessage(message_id=message_id, revision=revision, body=text)

    async def replace(self, chat_id: int, message_id: int, body: str) -> bool:
        """Store another text for a message; False when it is not there any more."""
        same = (chat_messages.c.chat_id == chat_id) & (chat_messages.c.message_id == message_id)
        async with self._db.write() as connection:
            values = {"body": body, "revision": await _next(connection, "revision")}
            changed = await connection.execute(sa.update(chat_messages).where(same).values(values))
        return bool(changed.rowcount)

    async def get(self, chat_id: int, message_id: int) -> str | None:
        """The text of a message, or None."""
        same = (chat_messages.c.chat_id == chat_id) & (chat_messages.c.message_id == message_id)
        async with self._db.read() as connection:
            return (await connection.execute(sa.select(chat_messages.c.body).where(same))).scalar()

    async def since(self, chat_id: int, revision: int, limit: int) -> list[LoggedMessage]:
        """The messages changed after `revision`, at most the newest `limit`, oldest first."""
        newer = (chat_messages.c.chat_id == chat_id) & (chat_messages.c.revision > revision)
        query = sa.select(chat_messages).where(newer)
        newest = query.order_by(chat_messages.c.revision.desc()).limit(limit)
        async with self._db.read() as connection:
            rows = (await connection.execute(newest)).all()
        return [
            LoggedMessage(message_id=r.message_id, revision=r.revision, body=r.body)
            for r in reversed(rows)
        ]

    async def add_update(self, body: Callable[[int], str]) -> int:
        """Store an update to be fetched; returns its number."""
        async with self._db.write() as connection:
            update_id = await _next(connection, "update")
            row = {"update_id": update_id, "body": body(update_id)}
            await connection.execute(sa.insert(chat_updates).values(row))
        return update_id

    async def updates(self, offset: int, limit: int) -> list[str]:
        """Forget the updates before `offset` and return the next ones."""
        async with self._db.read() as connection:
            waiting = chat_updates.c.update_id >= offset
            query = sa.select(chat_updates.c.body).where(waiting).order_by(chat_updates.c.update_id)
            rows = list((await connection.execute(query.limit(limit))).scalars())
            done = sa.select(sa.literal(1)).where(~waiting).limit(1)
            confirmed = (await connection.execute(done)).scalar()
        if confirmed:
            async with self._db.write() as connection:
                await connection.execute(sa.delete(chat_updates).where(~waiting))
        return rows

    async def keep_file(self, file_id: str, name: str, content: bytes) -> None:
        """Store a document that was sent."""
        row = {"id": file_id, "name": name, "content": content}
        async with self._db.write() as connection:
            await connection.execute(sa.insert(chat_files).values(row))

    async def file(self, file_id: str) -> tuple[str, bytes] | None:
        """A document's name and content, or None."""
        query = sa.select(chat_files).where(chat_files.c.id == file_id)
        async with self._db.read() as connection:
            row = (await connection.execute(query)).one_or_none()
        return None if row is None else (row.name, row.content)

    async def clear(self) -> None:
        """Delete every message, file and waiting update; the numbers go on."""
        async with self._db.write() as connection:
            for table in (chat_messages, chat_files, chat_updates):
                await connection.execute(sa.delete(table))


async def _next(connection: Transaction, name: str) -> int:
    """The counter's next number; every counter stands in the table since the first migration."""
    counter = chat_counters.c.name == name
    raised = sa.update(chat_counters).where(counter).values(value=chat_counters.c.value + 1)
    return int((await connection.execute(raised.returning(chat_counters.c.value))).scalar_one())
