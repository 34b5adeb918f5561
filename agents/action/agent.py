"""The Action agent: writes application drafts."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from hashlib import sha256

from agents.action.port import Drafts
from agents.action.template import TEMPLATE_VERSION, write_draft
from agents.domain.codec import DRAFT, OPPORTUNITY, PROFILE
from agents.domain.draft import Draft
from agents.domain.opportunity import Opportunity
from agents.domain.profile import Profile
from cache.kind import Kind
from cache.tiered import Cached, TieredCache

DRAFTS = Kind(name="draft", version=TEMPLATE_VERSION)
_AT_ANY_TIME = datetime.min.replace(tzinfo=UTC)


class DraftCodec:
    """Implements the cache's Codec."""

    def encode(self, value: Draft) -> bytes:
        """The draft as JSON."""
        return DRAFT.dump_json(value)

    def decode(self, data: bytes) -> Draft:
        """The draft again; raises ValueError for bytes that are none."""
        return DRAFT.validate_json(data)


class NoWriter(Exception):  # noqa: N818 - names what is missing
    """A configuration allows only drafts by a language model, and none is there."""


class ActionAgent:
    """Drafts from a template of the profile's and the posting's own facts."""

    def __init__(self, drafts: Drafts, written: TieredCache[Draft]) -> None:
        self._drafts = drafts
        self._written = written

    async def act(
        self,
        run_id: str,
        opportunities: Sequence[Opportunity],
        profile: Profile,
        *,
        owner: str,
        template_allowed: bool = True,
    ) -> tuple[Draft, ...]:
        """Draft an application for each posting and keep them; raises NoWriter. `owner` is whose
        profile it is: forgetting them forgets what is cached."""
        if opportunities and not template_allowed:
            raise NoWriter(
                "no language model is configured, and this configuration allows no other"
            )
        drafts = []
        for opportunity in opportunities:
            write = partial(_write, opportunity, profile)
            key = draft_key(owner, opportunity, profile)
            drafts.append((await self._written.get(key, write, tag=owner)).value)
        await self._drafts.keep_drafts(run_id, drafts)
        return tuple(drafts)

    async def discard(self, run_id: str) -> str | None:
        """The undo of `act`: the run's drafts are deleted."""
        count = await self._drafts.discard_drafts(run_id)
        return f"{count} draft{'s' if count > 1 else ''} discarded" if count else None


async def _write(opportunity: Opportunity, profile: Profile, _old: Cached[Draft] | None) -> Draft:
    return write_draft(opportunity, profile)


def draft_key(owner: str, opportunity: Opportunity, profile: Profile) -> str:
    """The same for the same person, profile and posting, whenever the posting was seen."""
    posting = OPPORTUNITY.dump_json(replace(opportunity, fetched_at=_AT_ANY_TIME))
    return sha256(owner.encode() + posting + PROFILE.dump_json(profile)).hexdigest()
