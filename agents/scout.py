"""The scout: the product's main job, as a saga of three steps.

    discover   gather postings from the sources                (the postings stay)
    match      filter and rank them for the person              undo: scores and reasons -> NULL
    act        draft an application for the best                undo: the drafts are discarded

What comes in is a ScoutRequest, what goes out a ScoutResult. `Scout` below is the one way in, for
the chat, the command line and programs.
"""

import asyncio
import hashlib
import logging
import math
import secrets
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

from agents.action.agent import ActionAgent, NoWriter
from agents.configs import Overrides, ScoutConfig, find_config
from agents.discovery.agent import AllSourcesFailed, DiscoveryAgent, SourceReport
from agents.discovery.port import Need, Sources
from agents.discovery.spending import BudgetSpent, Spending
from agents.domain.errors import InvalidValue
from agents.domain.run import ScoutRequest, ScoutResult
from agents.matching.agent import MatchingAgent
from agents.scout_report import EMPTY, REPORT, report_of
from agents.scout_state import (
    ScoutState,
    keep_discovery,
    keep_drafts,
    keep_matching,
    restore_discovery,
    restore_drafts,
    restore_matching,
)
from agents.store.admission import IdempotencyKey, Quotas
from agents.store.codec import REQUEST
from agents.store.ledger import Ledger
from agents.store.outcomes import OutcomeStore
from agents.store.people import PeopleStore
from agents.store.postings import PostingStore
from agents.store.runs import NewRun, RunStore
from resilience.budget import Amounts
from resilience.errors import BudgetExhausted
from resilience.saga import (
    CLOSING,
    KILL_SWITCHES,
    OPEN,
    EventType,
    History,
    IllegalTransition,
    Kept,
    LeaseLost,
    Limits,
    Orchestrator,
    RunEnd,
    RunStatus,
    Saga,
    Spends,
    Step,
    StepContext,
    StepFailed,
    StepOutcome,
)

log = logging.getLogger(__name__)

ENDED = frozenset(CLOSING.values())
CONFIG_NOT_FOUND = "config-not-found"
WORKER_LOST = "worker-lost"
_TYPICAL_FOR_S = 10.0


class NotParked(Exception):  # noqa: N818 - names the situation
    """Only a parked run's undo can be tried again."""


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
        bound, limits = _BoundSteps(self, config), config.limits
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
                    undo=self._matching.unscore,
                    deadline_s=config.match_deadline_s,
                    kept=Kept(
                        store=keep_matching, restore=partial(restore_matching, self._outcomes)
                    ),
                ),
                Step(
                    name="act",
                    agent="action",
                    do=bound.act,
                    undo=self._action.discard,
                    deadline_s=config.act_deadline_s,
                    kept=Kept(store=keep_drafts, restore=partial(restore_drafts, self._outcomes)),
                ),
            ),
            undo_deadline_s=config.undo_deadline_s,
            limits=Limits(
                steps=limits.steps,
                tokens=limits.tokens,
                handoffs=limits.handoffs,
                usd=limits.apify_usd,
                timeout_s=limits.timeout_s,
            ),
        )

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
            )

    async def discover(self, state: ScoutState, context: StepContext) -> StepOutcome[ScoutState]:
        """Gather the postings of the request's sources."""
        request = state.request

        async def progress(report: SourceReport) -> None:
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
        )
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
        try:
            drafts = await self._action.act(
                context.run_id,
                best,
                state.request.profile,
                owner=state.user_id,
                template_allowed=config.draft_fallback,
            )
        except NoWriter as failure:
            raise StepFailed(str(failure), type="llm-unavailable") from failure
        return StepOutcome(state=replace(state, drafts=drafts), report={"drafts": len(drafts)})


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


class Scout:
    """The use case: start, follow, cancel and take up scouts."""

    def __init__(
        self,
        *,
        steps: ScoutSteps,
        sources: Sources,
        runs: RunStore,
        ledger: Ledger,
        outcomes: OutcomeStore,
        orchestrator: Orchestrator,
        quotas: Quotas,
        overrides: Overrides,
        monotonic: Callable[[], float],
    ) -> None:
        self._steps = steps
        self._sources = sources
        self._runs = runs
        self._ledger = ledger
        self._outcomes = outcomes
        self._orchestrator = orchestrator
        self._quotas = quotas
        self._overrides = overrides
        self._monotonic = monotonic
        self._typical_at, self._typical_s = -math.inf, 0.0
        self._sagas: dict[str, Saga[ScoutState]] = {}

    def check(self, request: ScoutRequest) -> None:
        """Raise InvalidValue for an unknown source or configuration."""
        find_config(request.config)
        for spec in request.sources:
            self._sources.check(spec)

    async def create(
        self,
        user_id: str,
        request: ScoutRequest,
        chat_id: int | None = None,
        *,
        key: str | None = None,
        team: str | None = None,
        team_key: IdempotencyKey | None = None,
    ) -> str:
        """Check the request and journal a run for it; nothing is done until `launch`.

        Raises InvalidValue for an unknown source or configuration. Raises NotAdmitted: KeyTaken
        when the `key` or the team's key has its run, AlreadyOpen since a chat has one scout at a
        time, TeamOver, QueueFull.
        """
        self.check(request)
        run_id = secrets.token_hex(8) if key is None else _run_id(key)
        new = NewRun(
            run_id=run_id,
            kind="scout",
            user_id=user_id,
            config=request.config,
            request=REQUEST.dump_json(request).decode(),
            chat_id=chat_id,
            team=team,
            key=team_key,
            one_at_a_time=chat_id is not None,
        )
        await self._runs.create(new, self._quotas)
        return run_id

    async def launch(self, run_id: str, *, abandoned: bool = False) -> None:
        """Start the journaled run, or take it up after a restart, in the background. One that is
        `abandoned` by who waited for it is only undone."""
        run, request = await self._runs.get(run_id), await self._runs.request(run_id)
        if run is None or run.status in ENDED:
            return  # done meanwhile
        gone = request is None  # forgotten, or of a version that can't be read: it has to end
        request = request or ScoutRequest(config=run.config)
        self.launch_new(run_id, run.user_id, request, abandoned=abandoned or gone)

    def launch_new(
        self, run_id: str, user_id: str, request: ScoutRequest, *, abandoned: bool = False
    ) -> None:
        """Start a run that was journaled just now."""
        give_up, config = None, request.config
        if abandoned:
            give_up = StepFailed("the process that worked for it is gone", type=WORKER_LOST)
        try:
            values = find_config(config).values
        except InvalidValue:
            words = f"its configuration {config} is not there any more"
            give_up = StepFailed(words, type=CONFIG_NOT_FOUND)
            config = ScoutRequest().config  # its undo is that of every scout
            values = find_config(config).values
        if (saga := self._sagas.get(config)) is None:
            saga = self._sagas[config] = self._steps.saga(self._overrides.applied(values))
        state = ScoutState(run_id=run_id, user_id=user_id, request=request)
        self._orchestrator.launch(saga, run_id, state, self._keep_report, give_up=give_up)

    async def retry(self, run_id: str) -> None:
        """Try a parked run's undo again, in the background; raises NotParked, LookupError."""
        run, request = await self._runs.get(run_id), await self._runs.request(run_id)
        if run is None:
            raise LookupError(run_id)
        if run.status is not RunStatus.PARKED:
            raise NotParked(run.status)
        if (parking := self._orchestrator.task_of(run_id)) is not None:
            await asyncio.wait({parking})  # it was parked in this moment
        self.launch_new(run_id, run.user_id, request or ScoutRequest(config=run.config))

    def position(self, run_id: str) -> int:
        """How many runs get their turn before it does, itself counted; 0 when it has had it."""
        return self._orchestrator.position(run_id)

    async def wait_s(self, position: int) -> float:
        """How long so many runs take, going by the last ones, in seconds."""
        now = self._monotonic()
        if now - self._typical_at > _TYPICAL_FOR_S:
            self._typical_at, self._typical_s = now, await self._runs.typical_s()
        return position * self._typical_s

    async def wait(self, run_id: str) -> ScoutResult:
        """The result, once the run has ended here."""
        task = self._orchestrator.task_of(run_id)
        if task is not None:
            await asyncio.shield(task)  # who waits may leave; the run goes on
        return await self.result(run_id)

    async def cancel(self, run_id: str) -> bool:
        """Stop the run and undo it; False when it had ended in another way. Where another process
        executes it, that one obeys within some seconds. Raises JournalUnavailable."""
        if await self._orchestrator.cancel(run_id):
            return True
        history = History.of(await self._ledger.events(run_id))
        if history.cancelled and history.status in OPEN:
            return True
        try:
            await self._ledger.append(run_id, EventType.RUN_CANCELLING)
        except IllegalTransition as refused:
            return refused.status is RunStatus.COMPENSATING
        await self.launch(run_id)  # if nobody has it: it has to end
        return True

    async def cancel_open_run_of(self, user_id: str) -> str | None:
        """Cancel the person's run under way, if there is one; returns its id."""
        run_id = await self._runs.open_run_of(user_id)
        if run_id is None:
            return None
        await self.launch(run_id)  # if it is not executing yet, or no more: it has to end
        return run_id if await self.cancel(run_id) else None

    async def abandoned(self, channels: tuple[str, ...], *, idle_s: float = 0.0) -> list[str]:
        """The runs of these channels that nobody executes, and not only for `idle_s` since they
        were asked for; oldest first."""
        run_ids = await self._ledger.abandoned(channels, idle_s)
        return [run_id for run_id in run_ids if self._orchestrator.task_of(run_id) is None]

    async def result(self, run_id: str) -> ScoutResult:
        """What came of a run, as far as it has come; LookupError when there is no such run."""
        run = await self._runs.get(run_id)
        if run is None:
            raise LookupError(run_id)
        text = await self._runs.text(run_id, "report")
        report = EMPTY if text is None else REPORT.validate_json(text)
        read = self._outcomes.unscored if report.partial else self._outcomes.matches
        return ScoutResult(
            run_id=run_id,
            status=run.status,
            partial=report.partial,
            receipt=report.receipt,
            matches=tuple(await read(run_id)),
            drafts=tuple(await self._outcomes.drafts(run_id)),
            funnel=report.funnel,
            notices=report.notices,
            usage=report.usage,
            error=report.error,
        )

    async def _keep_report(self, end: RunEnd[ScoutState]) -> None:
        stopped = end.status is RunStatus.CANCELLED or end.error_type in KILL_SWITCHES
        if found := stopped and end.state.discovery is not None:
            await self._steps.show_unranked(end.run_id, end.state)
        body = REPORT.dump_json(report_of(end, partial=found)).decode()
        await self._runs.keep_text(end.run_id, "report", body)


def _run_id(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()[:16]
