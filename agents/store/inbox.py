"""What arrived from a messenger: kept before it is handled, so that it is handled once.

The store knows no messenger's format: an update is a JSON text with a number. When it was handled
its text and sender go, the number stays for as long as the messenger may send it again.
"""

import math
import re
import secrets
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa

from agents.store.database import Database
from agents.store.schema import chat_moves, start_links, telegram_updates, users

KEPT_FOR = timedelta(days=3)
"""Telegram gives an update up for lost after one day."""
TRIED_TOGETHER_MAX = 3
"""So many starts try an update beside all others that wait; it may be another that stops them."""
TRIED_ALONE_MAX = 2
"""So many more try it with nothing beside it; then it is what stops them."""
LINK_LASTS = timedelta(days=7)
_TOKEN = re.compile(r"[A-Za-z0-9_-]{1,64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """An update as it came; `sender_id` is who wrote it, where somebody did."""

    update_id: int
    sender_id: str | None
    body: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Left:
    """The bodies of what was not handled to its end, oldest first: what is tried with all others,
    what is tried alone since several starts ended while it waited, and what is hopeless since
    starts ended with it alone."""

    together: Sequence[str] = ()
    alone: Sequence[str] = ()
    hopeless: Sequence[str] = ()


class InboxStore:
    """Updates, moved chats, blocked people and start links of one bot."""

    def __init__(self, database: Database, now: Callable[[], datetime], bot_id: int) -> None:
        self._db = database
        self._now = now
        self._bot_id = bot_id

    async def take(self, arrivals: Sequence[Arrival]) -> set[int]:
        """Store what is new, in one transaction; returns the numbers of the new ones."""
        if not arrivals:
            return set()
        now = self._now()
        rows = [
            {
                "bot_id": self._bot_id,
                "update_id": arrival.update_id,
                "sender_id": arrival.sender_id,
                "body": arrival.body,
                "attempts": 1,
                "received_at": now,
            }
            for arrival in {a.update_id: a for a in arrivals}.values()
        ]
        # The insert itself says what was new: two that take the same update at once must not both
        # believe that it is theirs.
        insert = self._db.insert_once(telegram_updates).returning(telegram_updates.c.update_id)
        async with self._db.write() as connection:
            stored = await connection.execute(insert, rows)
            return set(stored.scalars())

    async def done(self, update_ids: Collection[int]) -> None:
        """They were handled: what they said goes."""
        mine = telegram_updates.c.bot_id == self._bot_id
        handled = mine & telegram_updates.c.update_id.in_(update_ids)
        nothing = {"body": None, "sender_id": None}
        async with self._db.write() as connection:
            await connection.execute(sa.update(telegram_updates).where(handled).values(nothing))

    async def take_up(self) -> Left:
        """After a restart: what was not handled to its end. A try is counted for what is tried
        together; for the others `begin` counts it."""
        mine = telegram_updates.c.bot_id == self._bot_id
        waiting = mine & telegram_updates.c.body.is_not(None)
        tried = telegram_updates.c.attempts
        query = sa.select(telegram_updates.c.body, tried).where(waiting)
        async with self._db.write() as connection:
            rows = await connection.execute(query.order_by(telegram_updates.c.update_id))
            found = rows.all()
            again = waiting & (tried < TRIED_TOGETHER_MAX)
            await connection.execute(
                sa.update(telegram_updates).where(again).values(attempts=tried + 1)
            )

        def tried_between(least: int, below: float) -> list[str]:
            return [row.body for row in found if least <= row.attempts < below]

        hopeless_at = TRIED_TOGETHER_MAX + TRIED_ALONE_MAX
        return Left(
            together=tried_between(0, TRIED_TOGETHER_MAX),
            alone=tried_between(TRIED_TOGETHER_MAX, hopeless_at),
            hopeless=tried_between(hopeless_at, math.inf),
        )

    async def begin(self, update_id: int) -> None:
        """It is about to be tried alone."""
        mine = telegram_updates.c.bot_id == self._bot_id
        tried = {"attempts": telegram_updates.c.attempts + 1}
        this = mine & (telegram_updates.c.update_id == update_id)
        async with self._db.write() as connection:
            await connection.execute(sa.update(telegram_updates).where(this).values(tried))

    async def prune(self) -> None:
        """Forget the numbers of updates that nobody will send again."""
        mine = telegram_updates.c.bot_id == self._bot_id
        old = telegram_updates.c.received_at < self._now() - KEPT_FOR
        async with self._db.write() as connection:
            await connection.execute(sa.delete(telegram_updates).where(mine & old))

    # --- chats --------------------------------------------------------------------------------

    async def moved(self, old: int, new: int) -> None:
        """A group has another id from now on."""
        row = {"old_chat_id": old, "new_chat_id": new}
        async with self._db.write() as connection:
            await connection.execute(self._db.upsert(chat_moves, ("old_chat_id",)), row)

    async def moves(self) -> dict[int, int]:
        """Old id to new id."""
        async with self._db.read() as connection:
            rows = (await connection.execute(sa.select(chat_moves))).all()
        return {row.old_chat_id: row.new_chat_id for row in rows}

    async def blocked(self, chat_id: int) -> None:
        """The person of that private chat blocked the bot."""
        await self._set_blocked(chat_id, self._now())

    async def came_back(self, chat_id: int) -> None:
        """The person writes again."""
        await self._set_blocked(chat_id, None)

    async def blocked_chats(self) -> set[int]:
        """The private chats of all who blocked the bot (a private chat has its person's id)."""
        query = sa.select(users.c.external_id).where(
            (users.c.channel == "telegram") & users.c.blocked_at.is_not(None)
        )
        async with self._db.read() as connection:
            return {int(number) for number in (await connection.execute(query)).scalars()}

    async def _set_blocked(self, chat_id: int, at: datetime | None) -> None:
        person = (users.c.channel == "telegram") & (users.c.external_id == str(chat_id))
        async with self._db.write() as connection:
            await connection.execute(sa.update(users).where(person).values(blocked_at=at))

    # --- start links --------------------------------------------------------------------------

    async def link(self, user_id: str, words: str) -> str:
        """An opaque token that stands for these words of the person for a week."""
        token, now = secrets.token_urlsafe(16), self._now()
        row = {"token": token, "user_id": user_id, "words": words, "created_at": now}
        async with self._db.write() as connection:
            old = start_links.c.created_at < now - LINK_LASTS
            await connection.execute(sa.delete(start_links).where(old))
            await connection.execute(sa.insert(start_links).values(row))
        return token

    async def linked(self, token: str) -> str | None:
        """The words behind a token, which may be any text; None when there are none, or none any
        more."""
        if not _TOKEN.fullmatch(token):
            return None  # a database may not even take it as a text
        valid = start_links.c.created_at >= self._now() - LINK_LASTS
        query = sa.select(start_links.c.words).where((start_links.c.token == token) & valid)
        async with self._db.read() as connection:
            return (await connection.execute(query)).scalar()
