"""What runs make: matches with scores, and drafts."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime

import sqlalchemy as sa

from agents.domain.draft import Draft, DraftMethod
from agents.domain.match import Match, MatchMethod
from agents.store.codec import LISTINGS, OPPORTUNITY, PROVENANCE
from agents.store.database import Database
from agents.store.schema import drafts, matches, opportunities


class OutcomeStore:
    """Implements matching's Scores and action's Drafts."""

    def __init__(self, database: Database, now: Callable[[], datetime]) -> None:
        self._db = database
        self._now = now

    async def keep_matches(self, run_id: str, found: Sequence[Match]) -> None:
        """Store the run's matches, replacing what an earlier attempt stored."""
        rows = [
            {
                "run_id": run_id,
                "opportunity_id": match.opportunity.id,
                "rank": match.rank,
                "score": match.score,
                "method": match.method.value,
                "reasons": list(match.reasons),
                "cautions": list(match.cautions),
                "provenance": PROVENANCE.dump_python(match.provenance, mode="json"),
                "also_at": LISTINGS.dump_python(match.opportunity.also_at, mode="json"),
            }
            for match in found
        ]
        async with self._db.write() as connection:
            await connection.execute(sa.delete(matches).where(matches.c.run_id == run_id))
            if rows:
                await connection.execute(sa.insert(matches), rows)

    async def unscore(self, run_id: str) -> int:
        """Set the run's scores, reasons and cautions to NULL; returns how many there were."""
        scored = (matches.c.run_id == run_id) & matches.c.score.is_not(None)
        nothing = {"score": None, "reasons": sa.null(), "cautions": sa.null()}
        async with self._db.write() as connection:
            undone = await connection.execute(sa.update(matches).where(scored).values(nothing))
        return undone.rowcount

    async def matches(self, run_id: str) -> list[Match]:
        """The run's scored matches, best first; none after an unscore."""
        return await self._matches(run_id, matches.c.score.is_not(None))

    async def unscored(self, run_id: str) -> list[Match]:
        """The run's matches without a score: found, but not ranked, or no longer."""
        return await self._matches(run_id, matches.c.score.is_(None))

    async def _matches(self, run_id: str, which: sa.ColumnElement[bool]) -> list[Match]:
        query = (
            sa.select(matches, opportunities.c.body)
            .join(opportunities, opportunities.c.id == matches.c.opportunity_id)
            .where((matches.c.run_id == run_id) & which)
            .order_by(matches.c.rank)
        )
        async with self._db.read() as connection:
            rows = (await connection.execute(query)).all()
        return [
            Match(
                rank=row.rank,
                score=row.score,
                method=MatchMethod(row.method),
                reasons=tuple(row.reasons or ()),
                cautions=tuple(row.cautions or ()),
                provenance=PROVENANCE.validate_python(row.provenance),
                opportunity=replace(
                    OPPORTUNITY.validate_json(row.body),
                    also_at=LISTINGS.validate_python(row.also_at or ()),
                ),
            )
            for row in rows
        ]

    async def keep_drafts(self, run_id: str, written: Sequence[Draft]) -> None:
        """Store drafts of the run, replacing those for the same postings."""
        rows = [
            {
                "run_id": run_id,
                "opportunity_id": draft.opportunity_id,
                "position": position,
                "method": draft.method.value,
                "text": draft.text,
                "created_at": self._now(),
            }
            for position, draft in enumerate(written)
        ]
        if not rows:
            return
        async with self._db.write() as connection:
            statement = self._db.upsert(drafts, ("run_id", "opportunity_id"))
            await connection.execute(statement, rows)

    async def discard_drafts(self, run_id: str) -> int:
        """Delete the run's drafts; returns how many there were."""
        async with self._db.write() as connection:
            gone = await connection.execute(sa.delete(drafts).where(drafts.c.run_id == run_id))
        return gone.rowcount

    async def drafts(self, run_id: str) -> list[Draft]:
        """The run's drafts, in the order they were written."""
        mine = sa.select(drafts).where(drafts.c.run_id == run_id)
        query = mine.order_by(drafts.c.created_at, drafts.c.position)
        async with self._db.read() as connection:
            rows = (await connection.execute(query)).all()
        return [
            Draft(opportunity_id=r.opportunity_id, method=DraftMethod(r.method), text=r.text)
            for r in rows
        ]
