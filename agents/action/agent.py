"""The Action agent: writes application drafts, with a language model or from a template."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from hashlib import sha256

from agents.action.port import Drafts, RunTexts
from agents.action.template import TEMPLATE_VERSION, write_draft
from agents.action.writer import LlmWriter
from agents.configs.prompts import NamedPrompt
from agents.domain.codec import DRAFT, OPPORTUNITY, PROFILE
from agents.domain.draft import Draft
from agents.domain.opportunity import Opportunity
from agents.domain.profile import Profile
from agents.llm.port import NO_MODEL, Account, LlmUnavailable, OutputInvalid
from cache.kind import Kind
from cache.tiered import Cached, TieredCache
from resilience.deadline import deadline

DRAFTS = Kind(name="draft", version=2)
_TEMPLATE = f"template@{TEMPLATE_VERSION}"
_AT_ANY_TIME = datetime.min.replace(tzinfo=UTC)

log = logging.getLogger(__name__)


class DraftCodec:
    """Implements the cache's Codec."""

    def encode(self, value: Draft) -> bytes:
        """The draft as JSON."""
        return DRAFT.dump_json(value)

    def decode(self, data: bytes) -> Draft:
        """The draft again; raises ValueError for bytes that are none."""
        return DRAFT.validate_json(data)


class NoWriter(Exception):  # noqa: N818 - names what is missing
    """A configuration allows only drafts by a language model, and none writes now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Writing:
    """Who wants drafts, and how: what tells the model what to do, who pays, and how many seconds
    the model may take in all; whether the template may stand in for it."""

    owner: str
    told: NamedPrompt
    account: Account
    within_s: float
    template_allowed: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Drafted:
    """The drafts. `without_ai` is why the template wrote some of them, if it did; `replaced` that
    this was in the place of a model that is configured."""

    drafts: tuple[Draft, ...]
    without_ai: str | None = None
    replaced: bool = False


class ActionAgent:
    """Drafts from the profile's and the posting's own facts."""

    def __init__(
        self,
        drafts: Drafts,
        written: TieredCache[Draft],
        texts: RunTexts,
        monotonic: Callable[[], float],
        writer: LlmWriter | None = None,
    ) -> None:
        self._drafts = drafts
        self._written = written
        self._texts = texts
        self._monotonic = monotonic
        self._writer = writer

    async def act(
        self,
        run_id: str,
        opportunities: Sequence[Opportunity],
        profile: Profile,
        writing: Writing,
    ) -> Drafted:
        """Draft an application for each posting and keep them. Raises NoWriter, or OutputInvalid
        where the template may not stand in, and what the account raises."""
        drafts, without_ai = [], None
        with deadline(writing.within_s, self._monotonic):
            for opportunity in opportunities:
                try:
                    draft = await self._by_model(run_id, opportunity, profile, writing)
                except (LlmUnavailable, OutputInvalid) as failure:
                    without_ai = _reason(run_id, failure, writing)
                    draft = await self._by_template(opportunity, profile, writing.owner)
                drafts.append(draft)
        await self._drafts.keep_drafts(run_id, drafts)
        replaced = without_ai is not None and without_ai != NO_MODEL
        return Drafted(drafts=tuple(drafts), without_ai=without_ai, replaced=replaced)

    async def discard(self, run_id: str) -> str | None:
        """The undo of `act`: the run's drafts are deleted."""
        count = await self._drafts.discard_drafts(run_id)
        return f"{count} draft{'s' if count > 1 else ''} discarded" if count else None

    async def _by_model(
        self, run_id: str, opportunity: Opportunity, profile: Profile, writing: Writing
    ) -> Draft:
        writer = self._writer
        if writer is None:
            raise LlmUnavailable(NO_MODEL, configured=False)

        version = f"{writing.told.name}\n{writing.told.text}"
        key = draft_key(writing.owner, opportunity, profile, version)
        if (known := await self._written.find(key)) is not None:
            return known
        # Not one call for all who want the same: each run pays, and is stopped, by itself.
        keep_raw = partial(self._texts.keep_text, run_id, f"raw-draft-{opportunity.id}")
        draft = await writer.write(opportunity, profile, writing.told, writing.account, keep_raw)
        await self._written.put(key, draft, tag=writing.owner)
        return draft

    async def _by_template(self, opportunity: Opportunity, profile: Profile, owner: str) -> Draft:
        async def write(_old: Cached[Draft] | None) -> Draft:
            return write_draft(opportunity, profile)

        key = draft_key(owner, opportunity, profile, _TEMPLATE)
        return (await self._written.get(key, write, tag=owner)).value


def _reason(run_id: str, failure: LlmUnavailable | OutputInvalid, writing: Writing) -> str:
    """Why the template writes, in words for the person; raises where it may not."""
    if isinstance(failure, OutputInvalid):
        # What was wrong with it may quote the person's own words: it is kept with the run.
        log.warning("run %s: a draft without AI: its answers could not be used", run_id)
        if not writing.template_allowed:
            raise failure
        return "what the language model wrote could not be used"
    if failure.configured:
        log.debug("run %s: a draft without AI: %s", run_id, failure)
    if not writing.template_allowed:
        raise NoWriter(f"{failure.told}, and this configuration allows no other") from failure
    return failure.told


def draft_key(owner: str, opportunity: Opportunity, profile: Profile, version: str) -> str:
    """The same for the same person, profile, posting and prompt, whenever the posting was seen."""
    posting = OPPORTUNITY.dump_json(replace(opportunity, fetched_at=_AT_ANY_TIME))
    who = f"{owner}\n{version}\n".encode()
    return sha256(who + posting + PROFILE.dump_json(profile)).hexdigest()
