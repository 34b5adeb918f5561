"""Ask: free text, as a saga whose steps hand on to each other.

    plan       triage reads the words, calls tools, looks at what came of them
    discover   gather postings                                  (as in scout.py)
    match      filter and rank them                             undo: scores and reasons -> NULL
    act        draft applications                               undo: the drafts are discarded
    reply      keep what is to be remembered, and answer        undo: the profile and list as before

`plan` goes on with whatever the last tool call needs, and the other agents hand back to it, until
there is an answer. What comes in is an AskRequest, what goes out an AskResult.
"""

import asyncio
import json
import logging
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

from pydantic import ValidationError

from agents.ask_report import ask_report_of
from agents.ask_state import (
    AskState,
    Talk,
    keep_found,
    keep_ranked,
    keep_talk,
    keep_written,
    restore_scout,
    restore_talk,
    restore_written,
    scout_of,
)
from agents.ask_tools import (
    Done,
    at_rank,
    done_here,
    drafted,
    failed,
    scout_request,
    scouted,
)
from agents.configs import AskConfig, Overrides, find_ask_config
from agents.discovery.port import Sources
from agents.domain.ask import AskRequest, AskResult
from agents.domain.codec import PROFILE
from agents.domain.match import Match
from agents.llm.accounts import RunAccount
from agents.llm.port import LlmUnavailable, Message, Role, ToolCall
from agents.scout import ScoutSteps, limits_of
from agents.scout_report import EMPTY, REPORT
from agents.scout_state import restore_discovery, restore_matching
from agents.store.codec import ASK_REQUEST
from agents.store.outcomes import OutcomeStore
from agents.store.people import PeopleStore
from agents.store.postings import PostingStore
from agents.store.runs import RunRow, RunStore
from agents.triage.agent import Asked, TriageAgent, Turn
from agents.triage.memory import EXCHANGES_MAX, Exchange, remembered
from agents.triage.tools import DraftCall, ScoutCall, WrongCall, read_call
from resilience.saga import (
    KILL_SWITCHES,
    Kept,
    KillSwitch,
    RunEnd,
    RunStatus,
    Saga,
    Step,
    StepContext,
    StepFailed,
    StepOutcome,
)

PROBLEMS_MAX = 2
"""How often a model is told that its answer can't be used; then the rules take over."""
LLM_SHARE = 0.75
TOOL_SHARE = 0.9
"""What of a step's time its work may take: then it is skipped, and triage told."""
UNUSABLE = "the language model's answers could not be used"
NOTHING_DONE = "I could not find out what to do. Please say it in other words."
_BEFORE = "ask-before"
_HANDED_ON = {"scout": "discover", "draft": "act"}

T = TypeVar("T")

log = logging.getLogger(__name__)


class AskSteps:
    """The steps and their undos, top-down."""

    def __init__(
        self,
        *,
        scout: ScoutSteps,
        triage: TriageAgent,
        people: PeopleStore,
        postings: PostingStore,
        outcomes: OutcomeStore,
        runs: RunStore,
    ) -> None:
        self._scout = scout
        self._triage = triage
        self._people = people
        self._postings = postings
        self._outcomes = outcomes
        self._runs = runs

    def saga(self, config: AskConfig) -> Saga[AskState]:
        """The saga under a configuration."""
        bound = _BoundSteps(self, config)
        found = partial(restore_scout, partial(restore_discovery, self._postings))
        ranked = partial(restore_scout, partial(restore_matching, self._outcomes))
        written = partial(restore_written, self._outcomes)
        return Saga(
            name="ask",
            steps=(
                Step(
                    name="plan",
                    agent="triage",
                    do=bound.plan,
                    deadline_s=config.plan_deadline_s,
                    kept=Kept(store=keep_talk, restore=restore_talk),
                ),
                Step(
                    name="discover",
                    agent="discovery",
                    do=bound.discover,
                    deadline_s=config.discover_deadline_s,
                    kept=Kept(store=keep_found, restore=found),
                ),
                Step(
                    name="match",
                    agent="matching",
                    do=bound.match,
                    undo=self._scout.unscore,
                    deadline_s=config.match_deadline_s,
                    kept=Kept(store=keep_ranked, restore=ranked),
                ),
                Step(
                    name="act",
                    agent="action",
                    do=bound.act,
                    undo=self._scout.discard,
                    deadline_s=config.act_deadline_s,
                    kept=Kept(store=keep_written, restore=written),
                ),
                Step(
                    name="reply",
                    agent="triage",
                    do=self.reply,
                    undo=self.unremember,
                    deadline_s=config.reply_deadline_s,
                    kept=Kept(store=keep_talk, restore=restore_talk),
                ),
            ),
            undo_deadline_s=config.undo_deadline_s,
            limits=limits_of(config),
        )

    # --- plan --------------------------------------------------------------------------------

    async def plan(
        self, state: AskState, context: StepContext, config: AskConfig
    ) -> StepOutcome[AskState]:
        """Look at what came of the last call, then decide the next move."""
        talk = state.talk if state.talk.turns else await self._opened(state)
        if talk.pending:
            talk = _observed(state, talk)
            if talk.pending:
                return _handed_on(state, talk)
        if not talk.reply:
            turn, talk = await self._next_turn(state, talk, context, config)
            if turn.calls:
                talk = await self._called(state, talk, turn.calls, context, config)
            if turn.reply:
                talk = replace(talk, reply=turn.reply)
        if talk.pending:
            return _handed_on(state, talk)
        if talk.routed and not talk.reply:
            talk = replace(talk, reply=_summary(talk))
        return StepOutcome(
            state=replace(state, talk=talk, failed=None), then="reply" if talk.reply else "plan"
        )

    async def _opened(self, state: AskState) -> Talk:
        """The conversation as it begins: what was said before, then the words that came now."""
        earlier: tuple[Message, ...] = ()
        if state.request.remember:
            texts = await self._runs.texts_of(state.user_id, "ask", EXCHANGES_MAX)
            earlier = remembered([_exchange(names) for names in texts])
        said = Message(role=Role.USER, text=state.request.text)
        return replace(state.talk, turns=(*earlier, said))

    async def _next_turn(
        self, state: AskState, talk: Talk, context: StepContext, config: AskConfig
    ) -> tuple[Turn, Talk]:
        """What to do next: as the model says, or the rules where it says nothing of use."""
        if talk.routed:
            return Turn(reply=_summary(talk)), talk
        if talk.problems > PROBLEMS_MAX:
            return await self._by_rules(state, talk, context, UNUSABLE, replaced=True)
        asked = Asked(
            run_id=state.run_id,
            told=config.prompts.triage_told,
            turns=talk.turns,
            account=RunAccount(context.spends),
            within_s=config.plan_deadline_s * LLM_SHARE,
        )
        try:
            turn = await self._triage.next_turn(asked)
        except LlmUnavailable as out:
            why = "no language model answers now" if out.configured else out.problem
            return await self._by_rules(state, talk, context, why, replaced=out.configured)
        if turn.problem is None:
            return turn, replace(talk, problems=0) if turn.reply else talk
        return await self._again(state, talk, context, turn)

    async def _again(
        self, state: AskState, talk: Talk, context: StepContext, turn: Turn
    ) -> tuple[Turn, Talk]:
        """Tell the model that its answer can't be used; after that often enough, do without."""
        if talk.problems >= PROBLEMS_MAX:
            await self._runs.keep_text(state.run_id, "raw-triage", turn.raw)
            return await self._by_rules(state, talk, context, UNUSABLE, replaced=True)
        words = f"That answer can't be used: {turn.problem}. Call a tool, or answer in words."
        said = (
            Message(role=Role.ASSISTANT, text=turn.raw[:1_000] or "(nothing)"),
            Message(role=Role.USER, text=words),
        )
        return Turn(), replace(talk, turns=(*talk.turns, *said), problems=talk.problems + 1)

    async def _by_rules(
        self, state: AskState, talk: Talk, context: StepContext, why: str, *, replaced: bool
    ) -> tuple[Turn, Talk]:
        """Go on without a model: from the words themselves, or with what was done by now."""
        if replaced:
            log.warning("run %s is understood without AI: %s", state.run_id, why)
            await context.degrade("understood without AI")
        talk = replace(talk, routed=True, without_ai=why)
        if any(action.ok for action in talk.actions):
            return Turn(reply=_summary(talk)), talk
        return self._triage.routed(state.request.text), talk

    async def _called(
        self,
        state: AskState,
        talk: Talk,
        calls: Sequence[ToolCall],
        context: StepContext,
        config: AskConfig,
    ) -> Talk:
        """Carry out the calls that need no other agent, side by side; the others are pending."""
        talk = replace(
            talk, turns=(*talk.turns, Message(role=Role.ASSISTANT, text="", calls=tuple(calls)))
        )
        here = [call for call in calls if call.name not in _HANDED_ON or _wrong(call)]
        work = (self._in_time(state, talk, call, context, config) for call in here)
        dones = await asyncio.gather(*work)
        for done in dones:
            talk = done.into(talk)
        pending = tuple(call for call in calls if call not in here)
        wrong = not pending and not any(done.ok for done in dones)
        return replace(talk, pending=pending, problems=talk.problems + 1 if wrong else 0)

    async def _in_time(
        self,
        state: AskState,
        talk: Talk,
        call: ToolCall,
        context: StepContext,
        config: AskConfig,
    ) -> Done:
        """What came of a call; one that takes too long is skipped, and that is said."""
        try:
            async with asyncio.timeout(config.tool_timeout_s):
                shortlist = await self._shortlist(state)
            return done_here(call.id, read_call(call), talk.profile, shortlist)
        except WrongCall as wrong:
            return failed(call.id, call.name[:40], str(wrong))
        except TimeoutError:
            await context.degrade(f"{call.name} skipped")
            return failed(call.id, call.name, "it took too long and was skipped")

    async def _shortlist(self, state: AskState) -> Sequence[Match]:
        """What ranks mean: this run's shortlist, else the person's last one."""
        if state.scout is not None and state.scout.matching is not None:
            return state.scout.matching.matches
        run_id = await self._runs.last_answered_run_of(state.user_id)
        if run_id is None or not state.request.remember:
            return ()
        return await self._outcomes.matches(run_id)

    # --- what other agents do ----------------------------------------------------------------

    async def discover(
        self, state: AskState, context: StepContext, config: AskConfig
    ) -> StepOutcome[AskState]:
        """Gather postings; triage is told when that does not work."""
        assert state.scout is not None  # noqa: S101 - what it is handed
        work = self._scout.discover(state.scout, context)
        outcome = await _tried(work, config.discover_deadline_s)
        if isinstance(outcome, str):
            await context.degrade("scout skipped")
            return StepOutcome(state=replace(state, failed=outcome), then="plan")
        scout = outcome.state
        return StepOutcome(state=replace(state, scout=scout, failed=None), report=outcome.report)

    async def match(
        self, state: AskState, context: StepContext, config: AskConfig
    ) -> StepOutcome[AskState]:
        """Filter and rank what was found."""
        assert state.scout is not None  # noqa: S101 - what it is handed
        outcome = await self._scout.match(state.scout, context, config)
        scout = replace(state, scout=outcome.state, failed=None)
        return StepOutcome(state=scout, report=outcome.report, then="plan")

    async def act(
        self, state: AskState, context: StepContext, config: AskConfig
    ) -> StepOutcome[AskState]:
        """Draft applications for the ranks that were asked for."""
        call = read_call(state.talk.pending[0])
        assert isinstance(call, DraftCall)  # noqa: S101 - what it is handed
        try:
            shortlist = await self._shortlist(state)
            postings = [at_rank(shortlist, rank).opportunity for rank in call.ranks]
        except WrongCall as wrong:
            return StepOutcome(state=replace(state, failed=str(wrong)), then="plan")
        work = self._scout.draft(context, postings, state.talk.profile, state.user_id, config)
        made = await _tried(work, config.act_deadline_s)
        if isinstance(made, str):
            await context.degrade("draft skipped")
            return StepOutcome(state=replace(state, failed=made), then="plan")
        written = {draft.opportunity_id: draft for draft in (*state.drafts, *made.drafts)}
        acted = replace(
            state,
            drafts=tuple(written.values()),
            drafted_without_ai=made.without_ai,
            failed=None,
        )
        return StepOutcome(state=acted, report={"drafts": len(made.drafts)}, then="plan")

    async def show_unranked(self, run_id: str, state: AskState) -> None:
        """Keep what a run that was stopped had found, unranked."""
        if state.scout is not None:
            await self._scout.show_unranked(run_id, state.scout)

    # --- reply -------------------------------------------------------------------------------

    async def reply(self, state: AskState, context: StepContext) -> StepOutcome[AskState]:
        """Keep what they told of themselves and what they want saved: only now, when all is done.
        What was there before is kept first, so that it can be put back."""
        talk = state.talk
        new_profile = state.request.remember and talk.profile != state.request.profile
        kept = {item.opportunity_id for item in await self._people.saved(state.user_id)}
        saves = [name for name in dict.fromkeys(talk.saves) if name not in kept]
        if new_profile or saves:
            profile = PROFILE.dump_json(state.request.profile).decode() if new_profile else None
            before = json.dumps({"profile": profile, "saved": saves})
            await self._runs.keep_text(context.run_id, _BEFORE, before)
        if new_profile:
            await self._people.keep_profile(state.user_id, talk.profile)
        for opportunity_id in saves:
            await self._people.save(state.user_id, opportunity_id)
        return StepOutcome(state=state, report={"actions": len(talk.actions)})

    async def unremember(self, run_id: str) -> str | None:
        """The undo of `reply`: the profile as it was, and nothing saved."""
        run, kept = await self._runs.get(run_id), await self._runs.text(run_id, _BEFORE)
        if run is None or kept is None:
            return None
        before = json.loads(kept)
        if before["profile"] is not None:
            profile = PROFILE.validate_json(before["profile"])
            await self._people.keep_profile(run.user_id, profile)
        for opportunity_id in before["saved"]:
            await self._people.unsave(run.user_id, opportunity_id)
        return "what was to be remembered is as it was before"


def _exchange(texts: dict[str, str]) -> Exchange:
    """What was said in a run that is over, from its texts."""
    try:
        asked = ASK_REQUEST.validate_json(texts.get("request", ""))
        report = REPORT.validate_json(texts.get("report", ""))
    except ValidationError:
        return Exchange("(not known any more)", "")
    return Exchange(asked.text, report.reply)


def _observed(state: AskState, talk: Talk) -> Talk:
    """The conversation with what came of the call that was handed on."""
    call, *rest = talk.pending
    if state.failed is not None:
        done = failed(call.id, call.name, state.failed)
    elif call.name == "scout":
        done = scouted(call.id, state)
    else:
        done = drafted(call.id, state.drafts)
    return replace(done.into(talk), pending=tuple(rest))


def _handed_on(state: AskState, talk: Talk) -> StepOutcome[AskState]:
    """Go on with the first pending call."""
    call = read_call(talk.pending[0])
    scout = state.scout
    if isinstance(call, ScoutCall):
        talk = replace(talk, scout=scout_request(state.request, talk.profile, call))
        scout = scout_of(state, talk)
    following = _HANDED_ON[talk.pending[0].name]
    return StepOutcome(state=replace(state, talk=talk, scout=scout, failed=None), then=following)


def _wrong(call: ToolCall) -> bool:
    try:
        read_call(call)
    except WrongCall:
        return True
    return False


def _summary(talk: Talk) -> str:
    """What the tools did, in words: the answer where no model words one."""
    return "\n".join(talk.told) or NOTHING_DONE


async def _tried(work: Awaitable[T], deadline_s: float) -> T | str:
    """What the work came to, or why it did not: then the run goes on without. What ends the run
    does so here too."""
    try:
        async with asyncio.timeout(deadline_s * TOOL_SHARE):
            return await work
    except KillSwitch:
        raise
    except StepFailed as failure:
        return failure.message
    except TimeoutError:
        return "it took too long and was skipped"


@dataclass(frozen=True, slots=True)
class _BoundSteps:
    """The steps that depend on the configuration, with it."""

    steps: AskSteps
    config: AskConfig

    async def plan(self, state: AskState, context: StepContext) -> StepOutcome[AskState]:
        return await self.steps.plan(state, context, self.config)

    async def discover(self, state: AskState, context: StepContext) -> StepOutcome[AskState]:
        return await self.steps.discover(state, context, self.config)

    async def match(self, state: AskState, context: StepContext) -> StepOutcome[AskState]:
        return await self.steps.match(state, context, self.config)

    async def act(self, state: AskState, context: StepContext) -> StepOutcome[AskState]:
        return await self.steps.act(state, context, self.config)


class AskWorkflow:
    """Implements the runner's Workflow."""

    kind = "ask"
    request_type = AskRequest
    default_config = "ask@1"

    def __init__(
        self, steps: AskSteps, sources: Sources, runs: RunStore, outcomes: OutcomeStore
    ) -> None:
        self._steps = steps
        self._sources = sources
        self._runs = runs
        self._outcomes = outcomes

    def check(self, request: AskRequest) -> None:
        """Raise InvalidValue for an unknown source or configuration."""
        find_ask_config(request.config)
        for spec in request.sources:
            self._sources.check(spec)

    def read(self, body: str | None) -> AskRequest | None:
        """The request that was kept so, or None."""
        try:
            return None if body is None else ASK_REQUEST.validate_json(body)
        except ValidationError:
            return None

    def write(self, request: AskRequest) -> str:
        """The request as JSON."""
        return ASK_REQUEST.dump_json(request).decode()

    def blank(self, config: str) -> AskRequest:
        """A request that stands in for one that is gone."""
        return AskRequest(text="-", config=config)

    def saga(self, config: str, overrides: Overrides) -> Saga[AskState]:
        """The steps under a configuration; raises InvalidValue when it is not there."""
        return self._steps.saga(overrides.applied(find_ask_config(config).values))

    def begin(self, run_id: str, user_id: str, request: AskRequest) -> AskState:
        """The state in which the first step finds it."""
        talk = Talk(profile=request.profile)
        return AskState(run_id=run_id, user_id=user_id, request=request, talk=talk)

    async def keep_report(self, end: RunEnd[AskState]) -> None:
        """Keep what the run came to, beside its matches and drafts."""
        stopped = end.status is RunStatus.CANCELLED or end.error_type in KILL_SWITCHES
        scout = end.state.scout
        if found := stopped and scout is not None and scout.discovery is not None:
            await self._steps.show_unranked(end.run_id, end.state)
        body = REPORT.dump_json(ask_report_of(end, partial=found)).decode()
        await self._runs.keep_text(end.run_id, "report", body)

    async def result(self, run: RunRow) -> AskResult:
        """What came of it, as far as it has come."""
        text = await self._runs.text(run.id, "report")
        report = EMPTY if text is None else REPORT.validate_json(text)
        read = self._outcomes.unscored if report.partial else self._outcomes.matches
        return AskResult(
            run_id=run.id,
            status=run.status,
            partial=report.partial,
            receipt=report.receipt,
            reply=report.reply,
            actions=report.actions,
            matches=tuple(await read(run.id)),
            drafts=tuple(await self._outcomes.drafts(run.id)),
            funnel=report.funnel,
            notices=report.notices,
            usage=report.usage,
            error=report.error,
        )
