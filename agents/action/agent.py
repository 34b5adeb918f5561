"""The Action agent: writes application drafts."""

from collections.abc import Sequence

from agents.action.port import Drafts
from agents.action.template import write_draft
from agents.domain.draft import Draft
from agents.domain.opportunity import Opportunity
from agents.domain.profile import Profile


class NoWriter(Exception):  # noqa: N818 - names what is missing
    """A configuration allows only drafts by a language model, and none is there."""


class ActionAgent:
    """Drafts from a template of the profile's and the posting's own facts."""

    def __init__(self, drafts: Drafts) -> None:
        self._drafts = drafts

    async def act(
        self,
        run_id: str,
        opportunities: Sequence[Opportunity],
        profile: Profile,
        *,
        template_allowed: bool = True,
    ) -> tuple[Draft, ...]:
        """Draft an application for each posting and keep them; raises NoWriter."""
        if opportunities and not template_allowed:
            raise NoWriter(
                "no language model is configured, and this configuration allows no other"
            )
        drafts = tuple(write_draft(opportunity, profile) for opportunity in opportunities)
        await self._drafts.keep_drafts(run_id, drafts)
        return drafts

    async def discard(self, run_id: str) -> str | None:
        """The undo of `act`: the run's drafts are deleted."""
        count = await self._drafts.discard_drafts(run_id)
        return f"{count} draft{'s' if count > 1 else ''} discarded" if count else None
