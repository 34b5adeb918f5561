"""Postings as their sources gave them, the newest copy of each."""

import asyncio
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import islice

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from agents.domain.opportunity import Opportunity
from agents.store.codec import OPPORTUNITY
from agents.store.database import Database
from agents.store.schema import opportunities

# Rows bound in one go: binding happens in the event loop, which must not stand still for long.
_BATCH = 250
_BATCHES = 4


class PostingStore:
    """Implements discovery's Postings."""

    def __init__(self, database: Database) -> None:
        self._db = database

    async def keep(self, found: Iterable[Opportunity]) -> None:
        """Store them, replacing older copies of the same id. Each thousand is a transaction of its
        own, so that other writers get their turn; storing a part again changes nothing."""
        statement = self._db.upsert(opportunities, ("id",))
        left = iter(found)
        while batches := list(islice(_batches(left), _BATCHES)):
            async with self._db.write() as connection:
                for batch in batches:
                    await connection.execute(statement, batch)

    async def get_all(self, ids: Iterable[str]) -> dict[str, Opportunity]:
        """The postings of these ids, as far as they are stored, by id."""
        wanted = iter(ids)

        def read(connection: Connection) -> list[str]:
            bodies: list[str] = []
            while some := list(islice(wanted, _BATCH)):
                query = sa.select(opportunities.c.body).where(opportunities.c.id.in_(some))
                bodies += connection.execute(query).scalars()
            return bodies

        bodies = await self._db.query(read)
        return {o.id: o for o in await asyncio.to_thread(_read_all, bodies)}

    async def get(self, opportunity_id: str) -> Opportunity | None:
        """One posting, or None when it was never stored."""
        query = sa.select(opportunities.c.body).where(opportunities.c.id == opportunity_id)
        async with self._db.read() as connection:
            body = (await connection.execute(query)).scalar()
        return None if body is None else OPPORTUNITY.validate_json(body)


def _read_all(bodies: Iterable[str]) -> list[Opportunity]:
    return [OPPORTUNITY.validate_json(body) for body in bodies]


def _batches(left: Iterator[Opportunity]) -> Iterator[list[dict[str, object]]]:
    while batch := [_row(opportunity) for opportunity in islice(left, _BATCH)]:
        yield batch


def _row(opportunity: Opportunity) -> dict[str, object]:
    # The duplicates are a run's finding, kept with its matches; other runs have other sources.
    opportunity = replace(opportunity, also_at=()) if opportunity.also_at else opportunity
    return {
        "id": opportunity.id,
        "source": opportunity.source,
        "kind": opportunity.kind.value,
        "deadline": opportunity.deadline,
        "active": opportunity.active,
        "fetched_at": opportunity.fetched_at,
        "body": OPPORTUNITY.dump_json(opportunity).decode(),
    }
