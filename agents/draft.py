"""Drafting on request: an application for one match of a shortlist."""

from dataclasses import dataclass

from agents.action.agent import ActionAgent, NoWriter, Writing
from agents.configs import ScoutConfig, find_config
from agents.domain.draft import Draft
from agents.domain.errors import InvalidValue
from agents.domain.match import Match
from agents.domain.run import ScoutRequest
from agents.llm.accounts import NobodysAccount
from agents.llm.port import OutputInvalid
from agents.store.outcomes import OutcomeStore
from agents.store.people import PeopleStore
from agents.store.runs import RunStore

BUTTON_WITHIN_S = 45.0
"""How long a language model may take while somebody looks at the button."""


def _config(name: str) -> ScoutConfig:
    try:
        return find_config(name).values
    except InvalidValue:
        return find_config(ScoutRequest().config).values  # it is gone: then the ordinary way


class NoSuchMatch(Exception):  # noqa: N818 - names the situation
    """The shortlist has no match of that rank; `ranks` are those it has."""

    def __init__(self, ranks: tuple[int, ...]) -> None:
        super().__init__(f"ranks {ranks}")
        self.ranks = ranks


class NotWritten(Exception):  # noqa: N818 - names the event
    """Only a language model may write it, and none did."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DraftedMatch:
    """A match and the draft written for it."""

    match: Match
    draft: Draft


class Drafting:
    """The use case behind /draft and the Draft button."""

    def __init__(
        self, action: ActionAgent, outcomes: OutcomeStore, people: PeopleStore, runs: RunStore
    ) -> None:
        self._action = action
        self._outcomes = outcomes
        self._people = people
        self._runs = runs

    async def draft(self, user_id: str, run_id: str, rank: int) -> DraftedMatch:
        """The draft for the match of that rank: the one written with the run, or a new one.

        Raises NoSuchMatch, NotWritten. The caller has checked that the run is the person's.
        """
        matches = {match.rank: match for match in await self._outcomes.matches(run_id)}
        match = matches.get(rank)
        if match is None:
            raise NoSuchMatch(tuple(matches))
        for draft in await self._outcomes.drafts(run_id):
            if draft.opportunity_id == match.opportunity.id:
                return DraftedMatch(match=match, draft=draft)
        profile = await self._people.profile(user_id)
        run = await self._runs.get(run_id)
        config = _config(ScoutRequest().config if run is None else run.config)
        writing = Writing(
            owner=user_id,
            told=config.prompts.draft_told,
            account=NobodysAccount(),
            within_s=BUTTON_WITHIN_S,
            template_allowed=config.draft_fallback,
        )
        try:
            drafted = await self._action.act(run_id, [match.opportunity], profile, writing)
        except (NoWriter, OutputInvalid) as failure:
            raise NotWritten(str(failure)) from failure
        return DraftedMatch(match=match, draft=drafted.drafts[0])
