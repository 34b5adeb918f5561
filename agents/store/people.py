"""People: who they are to us, their profile, what they keep and what they never want to see."""

import json
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from agents.domain.opportunity import Opportunity
from agents.domain.profile import Profile
from agents.domain.run import SavedItem
from agents.store.codec import OPPORTUNITY, PROFILE
from agents.store.database import Database, Transaction
from agents.store.schema import (
    dismissed,
    drafts,
    matches,
    opportunities,
    profiles,
    run_messages,
    run_parts,
    run_texts,
    runs,
    saved,
    start_links,
    telegram_updates,
    untold_forgets,
    users,
)

SAVED_MAX = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """A user as the store knows them: a random id, the question their next text answers, the
    update that brought it up, and the words they asked for before the set-up."""

    id: str
    expecting: str | None
    expecting_since: int = 0
    asked: str = ""


class PeopleStore:
    """Everything that belongs to one person; nothing here reads across people."""

    def __init__(self, database: Database, now: Callable[[], datetime]) -> None:
        self._db = database
        self._now = now

    async def person(self, channel: str, external_id: str) -> Person:
        """The person behind a channel's id, made known on first sight."""
        where = (users.c.channel == channel) & (users.c.external_id == external_id)
        columns = (users.c.id, users.c.expecting, users.c.expecting_since, users.c.asked)
        query = sa.select(*columns).where(where)
        async with self._db.read() as connection:
            row = (await connection.execute(query)).one_or_none()
        if row is None:
            new = {
                "id": secrets.token_hex(8),
                "channel": channel,
                "external_id": external_id,
                "created_at": self._now(),
            }
            async with self._db.write() as connection:
                await connection.execute(self._db.insert_once(users), new)
                row = (await connection.execute(query)).one()
        return Person(
            id=row.id,
            expecting=row.expecting,
            expecting_since=row.expecting_since or 0,
            asked=row.asked or "",
        )

    async def expect(self, user_id: str, question: str | None, since: int = 0) -> None:
        """Remember which question the person's next text answers, and the update that brought it
        up: a text that came before it is no answer."""
        values = {"expecting": question, "expecting_since": since}
        async with self._db.write() as connection:
            await connection.execute(sa.update(users).where(users.c.id == user_id).values(values))

    async def remember_asked(self, user_id: str, words: str) -> None:
        """Remember the words asked for until the set-up is done."""
        async with self._db.write() as connection:
            changed = sa.update(users).where(users.c.id == user_id).values(asked=words)
            await connection.execute(changed)

    async def profile(self, user_id: str) -> Profile:
        """The person's profile; an empty one when they never said anything."""
        query = sa.select(profiles.c.body).where(profiles.c.user_id == user_id)
        async with self._db.read() as connection:
            body = (await connection.execute(query)).scalar()
        return Profile() if body is None else PROFILE.validate_python(body)

    async def has_profile(self, user_id: str) -> bool:
        """Whether the person was asked for a profile, or gave one."""
        query = sa.select(sa.literal(1)).where(profiles.c.user_id == user_id)
        async with self._db.read() as connection:
            return bool((await connection.execute(query)).scalar())

    async def keep_profile(self, user_id: str, profile: Profile) -> None:
        """Replace the person's profile."""
        row = {
            "user_id": user_id,
            "body": PROFILE.dump_python(profile, mode="json"),
            "updated_at": self._now(),
        }
        async with self._db.write() as connection:
            await connection.execute(self._db.upsert(profiles, ("user_id",)), row)

    async def save(self, user_id: str, opportunity_id: str) -> bool:
        """Keep a posting; False when it was kept already."""
        row = {"user_id": user_id, "opportunity_id": opportunity_id, "saved_at": self._now()}
        return await self._insert_once(saved, row)

    async def unsave(self, user_id: str, opportunity_id: str) -> bool:
        """Keep a posting no longer; False when it was not kept."""
        mine = (saved.c.user_id == user_id) & (saved.c.opportunity_id == opportunity_id)
        async with self._db.write() as connection:
            gone = await connection.execute(sa.delete(saved).where(mine))
        return bool(gone.rowcount)

    async def saved(self, user_id: str) -> list[SavedItem]:
        """What the person keeps, newest first, SAVED_MAX at most."""
        query = (
            sa.select(saved.c.saved_at, opportunities.c.body)
            .join(opportunities, opportunities.c.id == saved.c.opportunity_id)
            .where(saved.c.user_id == user_id)
            .order_by(saved.c.saved_at.desc(), saved.c.opportunity_id)
            .limit(SAVED_MAX)
        )
        async with self._db.read() as connection:
            rows = (await connection.execute(query)).all()
        return [_saved_item(OPPORTUNITY.validate_json(r.body), r.saved_at) for r in rows]

    async def dismiss(self, user_id: str, opportunity_id: str) -> bool:
        """Never show a posting to this person again; False when that was so already."""
        row = {"user_id": user_id, "opportunity_id": opportunity_id, "dismissed_at": self._now()}
        return await self._insert_once(dismissed, row)

    async def dismissed(self, user_id: str) -> frozenset[str]:
        """The ids of the postings the person never wants to see again."""
        query = sa.select(dismissed.c.opportunity_id).where(dismissed.c.user_id == user_id)
        async with self._db.read() as connection:
            return frozenset((await connection.execute(query)).scalars())

    async def export(self, user_id: str) -> dict[str, object]:
        """Everything kept about the person, as plain JSON values."""
        profile = await self.profile(user_id)
        items = await self.saved(user_id)
        asks, ends = run_texts.alias(), run_texts.alias()
        async with self._db.read() as connection:
            scouts = await connection.execute(
                sa.select(
                    runs.c.id,
                    runs.c.kind,
                    runs.c.status,
                    runs.c.created_at,
                    asks.c.body,
                    ends.c.body.label("report"),
                )
                .join(asks, (asks.c.run_id == runs.c.id) & (asks.c.name == "request"))
                .outerjoin(ends, (ends.c.run_id == runs.c.id) & (ends.c.name == "report"))
                .where(runs.c.user_id == user_id)
                .order_by(runs.c.created_at)
            )
            written = await connection.execute(
                sa.select(drafts.c.opportunity_id, drafts.c.method, drafts.c.text)
                .join(runs, runs.c.id == drafts.c.run_id)
                .where(runs.c.user_id == user_id)
                .order_by(drafts.c.created_at)
            )
            found = await connection.execute(
                sa.select(
                    matches.c.run_id,
                    matches.c.rank,
                    matches.c.score,
                    matches.c.reasons,
                    matches.c.cautions,
                    matches.c.opportunity_id,
                )
                .join(runs, runs.c.id == matches.c.run_id)
                .where(runs.c.user_id == user_id)
                .order_by(runs.c.created_at, matches.c.rank)
            )
            asked = await connection.execute(
                sa.select(start_links.c.words).where(start_links.c.user_id == user_id)
            )
            never = await connection.execute(
                sa.select(dismissed.c.opportunity_id).where(dismissed.c.user_id == user_id)
            )
        return {
            "profile": PROFILE.dump_python(profile, mode="json"),
            "saved": [
                {"title": i.title, "url": i.url, "saved_at": i.saved_at.isoformat()} for i in items
            ],
            "asked_in_groups": sorted(asked.scalars()),
            "not_for_me": sorted(never.scalars()),
            "scouts": [
                {
                    "run_id": r.id,
                    "kind": r.kind,
                    "status": r.status,
                    "at": r.created_at.isoformat(),
                    "request": json.loads(r.body),
                    "reply": _reply(r.report),
                }
                for r in scouts
            ],
            "matches": [dict(r._mapping) for r in found],
            "drafts": [dict(r._mapping) for r in written],
        }

    async def forget(self, user_id: str) -> None:
        """Delete everything the person wrote or is; the ledger's ids and counts stay, and the id
        among the `untold` until `told`.

        Raises NotOverwritten when that can't be done on the disk at once, and StoreError when
        nothing was deleted.
        """
        async with self._db.write() as connection:
            await connection.execute(self._db.insert_once(untold_forgets), {"user_id": user_id})
            await _forget_rows(connection, user_id)
        await self._db.leave_no_trace()

    async def untold(self) -> list[str]:
        """Whom the cache has yet to forget."""
        async with self._db.read() as connection:
            return list((await connection.execute(sa.select(untold_forgets.c.user_id))).scalars())

    async def told(self, user_id: str) -> None:
        """The cache has forgotten them."""
        theirs = untold_forgets.c.user_id == user_id
        async with self._db.write() as connection:
            await connection.execute(sa.delete(untold_forgets).where(theirs))

    async def _insert_once(self, table: sa.Table, row: dict[str, object]) -> bool:
        async with self._db.write() as connection:
            inserted = await connection.execute(self._db.insert_once(table), row)
        return bool(inserted.rowcount)


async def _forget_rows(connection: Transaction, user_id: str) -> None:
    theirs = sa.select(runs.c.id).where(runs.c.user_id == user_id)
    for table in (drafts, matches, run_texts, run_parts, run_messages):
        await connection.execute(sa.delete(table).where(table.c.run_id.in_(theirs)))
    who = sa.select(users.c.external_id).where(users.c.id == user_id).scalar_subquery()
    wrote = sa.update(telegram_updates).where(telegram_updates.c.sender_id == who)
    await connection.execute(wrote.values(body=None, sender_id=None))
    for table in (saved, dismissed, profiles):
        await connection.execute(sa.delete(table).where(table.c.user_id == user_id))
    await connection.execute(sa.delete(users).where(users.c.id == user_id))


def _reply(report: str | None) -> str:
    """What a run answered in words, from what is kept of its end."""
    try:
        kept = json.loads(report or "{}")
    except ValueError:
        return ""
    return str(kept.get("reply", "")) if isinstance(kept, dict) else ""


def _saved_item(opportunity: Opportunity, saved_at: datetime) -> SavedItem:
    return SavedItem(
        opportunity_id=opportunity.id,
        title=opportunity.title,
        organisation=opportunity.organisation,
        url=opportunity.url,
        deadline=opportunity.deadline,
        source=opportunity.source,
        saved_at=saved_at,
    )
