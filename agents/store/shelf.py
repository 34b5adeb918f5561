"""What sources gave at their last reading, by a key: a shelf each."""

import asyncio
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime

import sqlalchemy as sa

from agents.discovery.port import ShelfState, Validators
from agents.domain.opportunity import Opportunity
from agents.store.codec import OPPORTUNITY
from agents.store.database import Database
from agents.store.postings import PostingStore
from agents.store.schema import (
    dismissed,
    drafts,
    matches,
    opportunities,
    saved,
    shelf_items,
    shelves,
)

_BATCH = 1_000


class ShelfStore:
    """Implements discovery's Shelf."""

    def __init__(self, database: Database, postings: PostingStore) -> None:
        self._db = database
        self._postings = postings

    async def state(self, key: str) -> ShelfState | None:
        """How the last reading went, or None."""
        query = sa.select(shelves).where(shelves.c.key == key)
        async with self._db.read() as connection:
            row = (await connection.execute(query)).one_or_none()
        return None if row is None else _state(row)

    async def states(self) -> list[ShelfState]:
        """All of them, by source: the operators' view."""
        async with self._db.read() as connection:
            rows = (await connection.execute(sa.select(shelves).order_by(shelves.c.source))).all()
        return [_state(row) for row in rows]

    async def current(self, key: str) -> tuple[Opportunity, ...]:
        """The postings on the shelf, in their order; read in a thread."""
        query = (
            sa.select(opportunities.c.body)
            .join(shelf_items, shelf_items.c.opportunity_id == opportunities.c.id)
            .where(shelf_items.c.key == key)
            .order_by(shelf_items.c.position)
        )
        async with self._db.read() as connection:
            bodies = list((await connection.execute(query)).scalars())
        return await asyncio.to_thread(lambda: tuple(map(OPPORTUNITY.validate_json, bodies)))

    async def replace(self, key: str, state: ShelfState, found: Iterable[Opportunity]) -> None:
        """Store the postings, then put them on the shelf in place of the old ones, at once."""
        listed = list({o.id: o for o in found}.values())
        # In one order, whoever stores: two transactions that hold what the other needs would die.
        await self._postings.keep(sorted(listed, key=lambda o: o.id))
        rows = [
            {"key": key, "opportunity_id": o.id, "position": position}
            for position, o in enumerate(listed)
        ]
        async with self._db.write() as connection:
            await connection.execute(self._db.upsert(shelves, ("key",)), _row(key, state))
            await connection.execute(sa.delete(shelf_items).where(shelf_items.c.key == key))
            for start in range(0, len(rows), _BATCH):
                await connection.execute(sa.insert(shelf_items), rows[start : start + _BATCH])

    async def note(self, key: str, state: ShelfState) -> None:
        """Store the state; the postings on the shelf stay."""
        async with self._db.write() as connection:
            await connection.execute(self._db.upsert(shelves, ("key",)), _row(key, state))

    async def prune(self, before: datetime) -> int:
        """Drop shelves last read before then, and postings that nobody refers to any more and
        that were last seen before then; returns how many postings."""
        referred = [
            sa.select(table.c.opportunity_id)
            for table in (shelf_items, matches, drafts, saved, dismissed)
        ]
        # Those of files are left: their age is the file's, and a run may be about to refer to one.
        shelved = opportunities.c.source.not_in(("file", "sample"))
        old = shelved & (opportunities.c.fetched_at < before)
        unused = sa.and_(old, *(opportunities.c.id.not_in(ids) for ids in referred))
        async with self._db.write() as connection:
            stale = sa.select(shelves.c.key).where(shelves.c.attempted_at < before)
            await connection.execute(sa.delete(shelf_items).where(shelf_items.c.key.in_(stale)))
            await connection.execute(sa.delete(shelves).where(shelves.c.attempted_at < before))
            gone = await connection.execute(sa.delete(opportunities).where(unused))
        return gone.rowcount


def _row(key: str, state: ShelfState) -> dict[str, object]:
    return {
        "key": key,
        "source": state.source,
        "attempted_at": state.attempted_at,
        "fetched_at": state.fetched_at,
        "found": state.found,
        "unreadable": dict(state.unreadable),
        "unread": dict(state.unread),
        "failures": state.failures,
        "error": state.error,
        "not_before": state.not_before,
        "etag": state.validators.etag,
        "last_modified": state.validators.last_modified,
    }


def _state(row: sa.Row[tuple[object, ...]]) -> ShelfState:
    values = dict(row._mapping)
    del values["key"]
    validators = Validators(etag=values.pop("etag"), last_modified=values.pop("last_modified"))
    return replace(ShelfState(**values), validators=validators)
