"""The paid starts of actors, by the key of what they fetch: found again after a crash."""

from collections.abc import Callable
from datetime import datetime, timedelta

import sqlalchemy as sa

from agents.discovery.sources.starts import Start
from agents.store.database import Database
from agents.store.schema import actor_starts

KEPT = timedelta(days=30)
"""How long a settled start is kept for operators, where no newer one took its place."""


class StartStore:
    """Implements the sources' Starts. Each method raises StoreError."""

    def __init__(self, database: Database, now: Callable[[], datetime]) -> None:
        self._db = database
        self._now = now

    async def open(self, key: str) -> Start | None:
        """The start of the key whose outcome is not known yet."""
        query = sa.select(actor_starts).where(
            actor_starts.c.key == key, actor_starts.c.settled_at.is_(None)
        )
        async with self._db.read() as connection:
            row = (await connection.execute(query)).one_or_none()
        if row is None:
            return None
        return Start(
            key=row.key, mark=row.mark, actor=row.actor, at=row.at, run_id=row.apify_run_id
        )

    async def intend(self, start: Start) -> bool:
        """Store it in place of a settled one; False while another is open. Of several processes
        that try at once, one may: the key is unique."""
        settled = sa.delete(actor_starts).where(
            actor_starts.c.key == start.key, actor_starts.c.settled_at.is_not(None)
        )
        row = {"key": start.key, "mark": start.mark, "actor": start.actor, "at": start.at}
        async with self._db.write() as connection:
            await connection.execute(settled)
            stored = await connection.execute(self._db.insert_once(actor_starts), row)
        return stored.rowcount == 1

    async def started(self, mark: str, run_id: str) -> None:
        """It is Apify's run `run_id`."""
        await self._note(mark, apify_run_id=run_id)

    async def settled(self, mark: str) -> None:
        """Its outcome is known; what was settled long ago goes."""
        now = self._now()
        await self._note(mark, settled_at=now)
        old = sa.delete(actor_starts).where(actor_starts.c.settled_at < now - KEPT)
        async with self._db.write() as connection:  # by itself: it may touch others' rows
            await connection.execute(old)

    async def _note(self, mark: str, **values: object) -> None:
        noted = sa.update(actor_starts).where(actor_starts.c.mark == mark).values(values)
        async with self._db.write() as connection:
            await connection.execute(noted)
