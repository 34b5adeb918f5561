"""The scout: the product's main job, as a saga of three steps.

    discover   gather postings from the sources                (the postings stay)
    match      filter and rank them for the person              undo: scores and reasons -> NULL
    act        draft an application for the best                undo: the drafts are discarded

What comes in is a ScoutRequest, what goes out a ScoutResult. `Scout` below is the one way in, for
the chat, the command line and programs.
"""

import asyncio
import hashlib
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, replace

from pydantic import TypeAdapter

from agents.action.agent import ActionAgent, NoWriter
from agents.configs import ScoutConfig, find_config
from agents.discovery.agent import AllSourcesFailed, Discovery, DiscoveryAgent, SourceReport
from agents.discovery.port import Need, Sources
from agents.discovery.spending import Spending
from agents.domain.draft import Draft
from agents.domain.match import Funnel
from agents.domain.run import Receipt, RunError, ScoutRequest, ScoutResult, Usage
from agents.matching.agent import Matching, MatchingAgent
from agents.notices import discovery_notices, matching_notices
from agents.store.outcomes import OutcomeStore
from agents.store.people import PeopleStore
from agents.store.runs import RunStore
from resilience.saga import (
    CLOSING,
    Orchestrator,
    RunEnd,
    RunStatus,
    Saga,
    Step,
    StepContext,
    StepFailed,
    StepOutcome,
)

ENDED = frozenset(CLOSING.values())


class AlreadyScouting(Exception):  # noqa: N818 - names the situation
    """The person's earlier scout has not ended."""

    def __init__(self, run_id: str) -> None:
        super().__init__(f"run {run_id} has not ended")
        self.run_id = run_id


class AlreadyStarted(Exception):  # noqa: N818 - names the situation
    """A run with this key was journaled before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoutState:
    """What the steps hand on: each fills its own field."""

    user_id: str
    request: ScoutRequest
    discovery: Discovery | None = None
    matching: Matching | None = None
    drafts: tuple[Draft, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Report:
    """What is kept of a run beside its matches and drafts."""

    partial: bool
    receipt: Receipt | None
    funnel: Funnel
    notices: tuple[str, ...]
    usage: Usage
    error: RunError | None


_REPORT = TypeAdapter(_Report)


class ScoutSteps:
    """The three steps and their undos, top-down."""

    def __init__(
        self,
        discovery: DiscoveryAgent,
        matching: MatchingAgent,
        action: ActionAgent,
        people: PeopleStore,
    ) -> None:
        self._discovery = discovery
        self._matching = matching
        self._action = action
        self._people = people
        self._accounts: dict[str, Spending] = {}

    def settle(self, run_id: str) -> float:
        """Close the run's account; what it was charged, in US dollars."""
        account = self._accounts.pop(run_id, None)
        return 0.0 if account is None else account.usd

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
                ),
                Step(
                    name="match",
                    agent="matching",
                    do=bound.match,
                    undo=self._matching.unscore,
                    deadline_s=config.match_deadline_s,
                ),
                Step(
                    name="act",
                    agent="action",
                    do=bound.act,
                    undo=self._action.discard,
                    deadline_s=config.act_deadline_s,
                ),
            ),
            undo_deadline_s=config.undo_deadline_s,
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
                account=self._accounts.setdefault(context.run_id, Spending()),
            )
        except AllSourcesFailed as failure:
            raise StepFailed(str(failure), type="sources-failed") from failure
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


class Scout:
    """The use case: start, follow, cancel and take up scouts."""

    def __init__(
        self,
        *,
        steps: ScoutSteps,
        sources: Sources,
        runs: RunStore,
        outcomes: OutcomeStore,
        orchestrator: Orchestrator,
    ) -> None:
        self._steps = steps
        self._sources = sources
        self._runs = runs
        self._outcomes = outcomes
        self._orchestrator = orchestrator

    async def create(
        self,
        user_id: str,
        request: ScoutRequest,
        chat_id: int | None = None,
        *,
        key: str | None = None,
    ) -> str:
        """Check the request and journal a run for it; nothing is done until `launch`.

        Raises InvalidValue for an unknown source or configuration, AlreadyStarted when the `key`
        has its run, and AlreadyScouting: a chat has one scout at a time.
        """
        find_config(request.config)
        for spec in request.sources:
            self._sources.check(spec)
        if key is not None and await self._runs.get(_run_id(key)) is not None:
            raise AlreadyStarted(key)
        if chat_id is not None and (under_way := await self._runs.open_run_of(user_id)):
            raise AlreadyScouting(under_way)
        run_id = secrets.token_hex(8) if key is None else _run_id(key)
        await self._runs.create(run_id, user_id, request, chat_id)
        return run_id

    async def launch(self, run_id: str) -> None:
        """Start the journaled run, or take it up after a restart, in the background."""
        run, request = await self._runs.get(run_id), await self._runs.request(run_id)
        if run is None or request is None or run.status in ENDED:
            return  # forgotten, or done, meanwhile
        saga = self._steps.saga(find_config(run.config).values)
        state = ScoutState(user_id=run.user_id, request=request)
        self._orchestrator.launch(saga, run_id, state, self._keep_report)

    async def wait(self, run_id: str) -> ScoutResult:
        """The result, once the run has ended here."""
        task = self._orchestrator.task_of(run_id)
        if task is not None:
            await asyncio.shield(task)  # who waits may leave; the run goes on
        return await self.result(run_id)

    async def cancel(self, run_id: str) -> bool:
        """Stop the run and undo it; False when it had ended."""
        return await self._orchestrator.cancel(run_id)

    async def cancel_open_run_of(self, user_id: str) -> str | None:
        """Cancel the person's run under way, if there is one; returns its id."""
        run_id = await self._runs.open_run_of(user_id)
        if run_id is None:
            return None
        await self.launch(run_id)  # if it is not executing yet, or no more: it has to end
        return run_id if await self.cancel(run_id) else None

    async def recover(self, channels: tuple[str, ...]) -> list[str]:
        """Take up the runs that a restart interrupted; returns their ids."""
        run_ids = await self._runs.unfinished(channels)
        for run_id in run_ids:
            await self.launch(run_id)
        return run_ids

    async def result(self, run_id: str) -> ScoutResult:
        """What came of a run, as far as it has come; LookupError when there is no such run."""
        run = await self._runs.get(run_id)
        if run is None:
            raise LookupError(run_id)
        text = await self._runs.text(run_id, "report")
        report = _EMPTY if text is None else _REPORT.validate_json(text)
        return ScoutResult(
            run_id=run_id,
            status=run.status,
            partial=report.partial,
            receipt=report.receipt,
            matches=tuple(await self._outcomes.matches(run_id)),
            drafts=tuple(await self._outcomes.drafts(run_id)),
            funnel=report.funnel,
            notices=report.notices,
            usage=report.usage,
            error=report.error,
        )

    async def _keep_report(self, end: RunEnd[ScoutState]) -> None:
        body = _REPORT.dump_json(_report(end, self._steps.settle(end.run_id))).decode()
        await self._runs.keep_text(end.run_id, "report", body)


def _run_id(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()[:16]


# --- what a run's end says --------------------------------------------------------------------

_EMPTY = _Report(
    partial=False, receipt=None, funnel=Funnel(), notices=(), usage=Usage(), error=None
)
_WORK = {"discover": "Gathering postings", "match": "Ranking", "act": "Drafting"}


def _report(end: RunEnd[ScoutState], spent_usd: float) -> _Report:
    usage = Usage(steps=end.steps_done, apify_usd=spent_usd)
    completed = end.status is RunStatus.COMPLETED
    stopped = tuple(_WORK[name].lower() for name in end.stopped)
    return _Report(
        partial=False,  # what did not complete was undone: nothing of it is in the result
        receipt=None if completed else Receipt(stopped=stopped, spent=usage, undone=end.undone),
        funnel=_funnel(end.state, shown=completed),
        notices=tuple(_notices(end.state)),
        usage=usage,
        error=_error(end),
    )


def _error(end: RunEnd[ScoutState]) -> RunError | None:
    if end.error_type is None:
        return None
    if end.status is RunStatus.CANCELLED:
        return RunError(type=end.error_type, message="Cancelled. Nothing of this scout was kept.")
    failed = _WORK.get(end.failed_step or "", "The scout")
    if end.status is RunStatus.PARKED:
        failed = "Undoing"
    reason = (end.error_message or end.error_type).rstrip(".")
    kept, advice = "Nothing of this scout was kept", "please try again"
    if end.error_type == "sources-failed":
        advice = "please check the sources and try again"
    if end.status is RunStatus.PARKED:
        kept = "Some of it could not be undone yet; an operator has to finish that"
    return RunError(type=end.error_type, message=f"{failed} failed: {reason}. {kept}; {advice}.")


def _funnel(state: ScoutState, *, shown: bool) -> Funnel:
    discovery, matching = state.discovery, state.matching
    if discovery is None:
        return Funnel()
    found = Funnel(
        found=discovery.found,
        unreadable=discovery.unreadable,
        duplicates=discovery.duplicates,
        filtered={"not_looked_at": discovery.found - discovery.duplicates},
    )
    if matching is None:
        return found
    return replace(
        found,
        expired=matching.expired,
        inactive=matching.inactive,
        filtered=matching.filtered,
        ranked=matching.ranked,
        shown=len(matching.matches) if shown else 0,
    )


def _notices(state: ScoutState) -> Iterable[str]:
    if state.discovery is not None:
        stands_in = state.discovery.sample and state.request.sample_fallback
        yield from discovery_notices(state.discovery, sample_stands_in=stands_in)
    if state.matching is not None:
        yield from matching_notices(state.matching)
