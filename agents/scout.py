"""The scout: the product's main job, as a saga of three steps.

    discover   gather postings from the sources                (the postings stay)
    match      filter and rank them for the person              undo: scores and reasons -> NULL
    act        draft an application for the best                undo: the drafts are discarded

What comes in is a ScoutRequest, what goes out a ScoutResult. `runner.py` is the one way in, for the
chat, the command line and programs.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

from agents.action.agent import ActionAgent, Drafted, NoWriter, Writing
from agents.configs import Overrides, ScoutConfig, find_config
from agents.discovery.agent import AllSourcesFailed, DiscoveryAgent, SourceReport
from agents.discovery.port import Need, Sources
from agents.discovery.spending import BudgetSpent, Spending
from agents.domain.opportunity import Opportunity
from agents.domain.profile import Profile
from agents.domain.run import ScoutRequest, ScoutResult
from agents.llm.accounts import RunAccount
from agents.llm.port import OutputInvalid
from agents.matching.agent import MatchingAgent
from agents.matching.judge import Wanted
from agents.scout_report import Report, report_of
from agents.scout_state import (
    ScoutState,
    keep_discovery,
    keep_drafts,
    keep_matching,
    restore_discovery,
    restore_drafts,
    restore_matching,
)
from agents.store.codec import REQUEST
from agents.store.outcomes import OutcomeStore
from agents.store.people import PeopleStore
from agents.store.postings import PostingStore
from agents.store.runs import RunRow, RunStore
from agents.workflow import Workflow
from resilience.budget import Amounts
from resilience.errors import BudgetExhausted
from resilience.saga import (
    OUTPUT_INVALID,
    IllegalTransition,
    Kept,
    LeaseLost,
    Limits,
    RunEnd,
    Saga,
    Spends,
    Step,
    StepContext,
    StepFailed,
    StepOutcome,
)

log = logging.getLogger(__name__)

LLM_SHARE = 0.75
"""What of a step's time a language model may take: the rest is for doing without it."""


class ScoutSteps:
    """The three steps and their undos, top-down."""

    def __init__(
        self,
        *,
        discovery: DiscoveryAgent,
        matching: MatchingAgent,
        action: ActionAgent,
        people: PeopleStore,
        postings: PostingStore,
        outcomes: OutcomeStore,
    ) -> None:
        self._discovery = discovery
        self._matching = matching
        self._action = action
        self._people = people
        self._postings = postings
        self._outcomes = outcomes

    def saga(self, config: ScoutConfig) -> Saga[ScoutState]:
        """The saga under a configuration."""
        bound = _BoundSteps(self, config)
        return Saga(
            name="scout",
            steps=(
                Step(
                    name="discover",
                    agent="discovery",
                    do=self.discover,
                    deadline_s=config.discover_deadline_s,
                    kept=Kept(
                        store=keep_discovery, restore=partial(restore_discovery, self._postings)
                    ),
                ),
                Step(
                    name="match",
                    agent="matching",
                    do=bound.match,
                    undo=self.unscore,
                    deadline_s=config.match_deadline_s,
                    kept=Kept(
                        store=keep_matching, restore=partial(restore_matching, self._outcomes)
                    ),
                ),
                Step(
                    name="act",
                    agent="action",
                    do=bound.act,
                    undo=self.discard,
                    deadline_s=config.act_deadline_s,
                    kept=Kept(store=keep_drafts, restore=partial(restore_drafts, self._outcomes)),
                ),
            ),
            undo_deadline_s=config.undo_deadline_s,
            limits=limits_of(config),
        )

    async def unscore(self, run_id: str) -> str | None:
        """The undo of `match`."""
        return await self._matching.unscore(run_id)

    async def discard(self, run_id: str) -> str | None:
        """The undo of `act`."""
        return await self._action.discard(run_id)

    async def show_unranked(self, run_id: str, state: ScoutState) -> None:
        """Keep what a run that was stopped had found, unranked."""
        if state.discovery is not None and state.matching is None:
            await self._matching.show_unranked(
                run_id,
                state.discovery.opportunities,
                state.request.profile,
                limit=state.request.limit,
                dismissed=await self._people.dismissed(state.user_id),
                cached=state.discovery.cached,
                excluded=state.request.excluded,
            )

    async def discover(self, state: ScoutState, context: StepContext) -> StepOutcome[ScoutState]:
        """Gather the postings of the request's sources."""
        request = state.request

        async def progress(report: SourceReport) -> None:
            # Not why it failed: the ledger outlives a /forget, and the reason may quote the person.
            counts = {"found": report.found, "failed": report.error is not None}
            await context.report({"source": report.source.partition(" ")[0], **counts})

        try:
            discovery = await self._discovery.discover(
                request.sources,
                _need(request),
                sample_fallback=request.sample_fallback,
                progress=progress,
                account=Spending(ledger=_Account(context.spends)),
            )
        except AllSourcesFailed as failure:
            raise StepFailed(str(failure), type="sources-failed") from failure
        answered = sum(report.error is None for report in discovery.sources)
        if answered < len(discovery.sources):
            await context.degrade(f"{answered} of {len(discovery.sources)} sources answered")
        return StepOutcome(
            state=replace(state, discovery=discovery),
            report={"found": discovery.found, "duplicates": discovery.duplicates},
        )

    async def match(
        self, state: ScoutState, context: StepContext, config: ScoutConfig
    ) -> StepOutcome[ScoutState]:
        """Filter and rank what was found."""
        assert state.discovery is not None  # noqa: S101 - the step before
        matching = await self._matching.match(
            context.run_id,
            state.discovery.opportunities,
            state.request.profile,
            query=state.request.query,
            limit=state.request.limit,
            weights=config.ranking,
            dismissed=await self._people.dismissed(state.user_id),
            cached=state.discovery.cached,
            excluded=state.request.excluded,
            home=state.request.home,
            wanted=Wanted(
                run_id=context.run_id,
                owner=state.user_id,
                profile=state.request.profile,
                query=state.request.query,
                prompt=config.prompts.match_told,
                account=RunAccount(context.spends),
                within_s=config.match_deadline_s * LLM_SHARE,
            ),
        )
        if matching.replaced:
            await context.degrade("ranked without AI")
        return StepOutcome(
            state=replace(state, matching=matching),
            report={"ranked": matching.ranked, "kept": len(matching.matches)},
        )

    async def act(
        self, state: ScoutState, context: StepContext, config: ScoutConfig
    ) -> StepOutcome[ScoutState]:
        """Draft applications for the best matches."""
        assert state.matching is not None  # noqa: S101 - the step before
        best = [match.opportunity for match in state.matching.matches[: state.request.drafts]]
        drafted = await self.draft(context, best, state.request.profile, state.user_id, config)
        return StepOutcome(
            state=replace(state, drafts=drafted.drafts, drafted_without_ai=drafted.without_ai),
            report={"drafts": len(drafted.drafts)},
        )

    async def draft(
        self,
        context: StepContext,
        postings: Sequence[Opportunity],
        profile: Profile,
        owner: str,
        config: ScoutConfig,
    ) -> Drafted:
        """Draft applications for these postings, on the run's account."""
        writing = Writing(
            owner=owner,
            told=config.prompts.draft_told,
            account=RunAccount(context.spends),
            within_s=config.act_deadline_s * LLM_SHARE,
            template_allowed=config.draft_fallback,
        )
        try:
            drafted = await self._action.act(context.run_id, postings, profile, writing)
        except NoWriter as failure:
            raise StepFailed(str(failure), type="llm-unavailable") from failure
        except OutputInvalid as failure:
            words = f"the language model's draft could not be used: {failure}"
            raise StepFailed(words, type=OUTPUT_INVALID) from failure
        if drafted.replaced:
            await context.degrade("drafted without AI")
        return drafted


def limits_of(config: ScoutConfig) -> Limits:
    """What one run may take."""
    limits = config.limits
    return Limits(
        steps=limits.steps,
        tokens=limits.tokens,
        handoffs=limits.handoffs,
        usd=limits.apify_usd,
        timeout_s=limits.timeout_s,
    )


def _need(request: ScoutRequest) -> Need:
    profile = request.profile
    return Need(
        query=request.query,
        skills=profile.skills,
        locations=profile.locations,
        remote=profile.remote,
        kinds=profile.kinds,
    )


@dataclass(frozen=True, slots=True)
class _BoundSteps:
    """The steps that depend on the configuration, with it."""

    steps: ScoutSteps
    config: ScoutConfig

    async def match(self, state: ScoutState, context: StepContext) -> StepOutcome[ScoutState]:
        return await self.steps.match(state, context, self.config)

    async def act(self, state: ScoutState, context: StepContext) -> StepOutcome[ScoutState]:
        return await self.steps.act(state, context, self.config)


class _Account:
    """Implements the sources' Ledger: what they spend is the step's."""

    def __init__(self, spends: Spends) -> None:
        self._spends = spends

    async def intend(self, mark: str, usd: float) -> None:
        try:
            await self._spends.intend(mark, Amounts(usd=usd))
        except BudgetExhausted as exhausted:
            raise BudgetSpent(str(exhausted)) from exhausted
        except (IllegalTransition, LeaseLost):
            log.info("whoever asked for %s has ended; others wait for it", mark)

    async def settle(self, mark: str, usd: float) -> None:
        await self._spends.settle(mark, Amounts(usd=usd))


class ScoutWorkflow(Workflow[ScoutRequest, ScoutState]):
    """The scout as a kind of run."""

    kind = "scout"
    default_config = "scout@1"
    request_type = ScoutRequest
    codec = REQUEST

    def __init__(
        self, steps: ScoutSteps, sources: Sources, runs: RunStore, outcomes: OutcomeStore
    ) -> None:
        super().__init__(sources, runs, outcomes)
        self._steps = steps

    def check_config(self, name: str) -> None:
        """Raise InvalidValue when there is no such configuration of a scout."""
        find_config(name)

    def blank(self, config: str) -> ScoutRequest:
        """A request that stands in for one that is gone."""
        return ScoutRequest(config=config)

    def saga(self, config: str, overrides: Overrides) -> Saga[ScoutState]:
        """The steps under a configuration; raises InvalidValue when it is not there."""
        return self._steps.saga(overrides.applied(find_config(config).values))

    def begin(self, run_id: str, user_id: str, request: ScoutRequest) -> ScoutState:
        """The state in which the first step finds it."""
        return ScoutState(run_id=run_id, user_id=user_id, request=request)

    async def show_unranked(self, end: RunEnd[ScoutState]) -> bool:
        """Keep what a run that was stopped had found, unranked."""
        await self._steps.show_unranked(end.run_id, end.state)
        return end.state.discovery is not None

    def report_of(self, end: RunEnd[ScoutState], *, partial: bool) -> Report:
        """What is said of a scout that ends so."""
        return report_of(end, partial=partial)

    async def result(self, run: RunRow) -> ScoutResult:
        """What came of it, as far as it has come."""
        report, matches = await self.kept(run)
        return ScoutResult(
            run_id=run.id,
            status=run.status,
            partial=report.partial,
            receipt=report.receipt,
            matches=matches,
            drafts=tuple(await self._outcomes.drafts(run.id)),
            funnel=report.funnel,
            notices=report.notices,
            usage=report.usage,
            error=report.error,
        )
