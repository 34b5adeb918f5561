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
from functools import partial, reduce
from typing import TypeVar

from pydantic import ValidationError

from agents.ask_calls import HANDED_ON, handed_on, in_hand, summary, waiting
from agents.ask_state import (
    AskState,
    Failure,
    Talk,
    keep_found,
    keep_ranked,
    keep_talk,
    keep_written,
    restore_found,
    restore_ranked,
    restore_talk,
    restore_written,
)
from agents.ask_tools import Done, at_rank, changed, done_here, drafted, failed, scouted
from agents.configs import AskConfig
from agents.domain.codec import PROFILE
from agents.domain.errors import InvalidValue
from agents.domain.match import Match
from agents.domain.profile import Profile
from agents.llm.accounts import RunAccount
from agents.llm.port import LlmUnavailable, Message, Role, ToolCall
from agents.scout import LLM_SHARE, ScoutSteps, limits_of
from agents.scout_report import REPORT
from agents.scout_state import restore_discovery, restore_matching
from agents.store.codec import ASK_REQUEST
from agents.store.outcomes import OutcomeStore
from agents.store.people import PeopleStore
from agents.store.postings import PostingStore
from agents.store.runs import RunStore
from agents.triage.agent import Asked, TriageAgent, Turn
from agents.triage.grounding import REFUSED
from agents.triage.memory import EXCHANGES_MAX, Exchange, remembered
from agents.triage.tools import ChangeProfileCall, DraftCall, WrongCall, read_call
from resilience.saga import (
    Kept,
    KillSwitch,
    Saga,
    Step,
    StepContext,
    StepFailed,
    StepOutcome,
)

PROBLEMS_MAX = 2
"""How often a model is told that its answer can't be used; then the rules take over."""
TOOL_SHARE = 0.9
"""What of a step's time its work may take: then it is skipped, and triage told."""
UNUSABLE = "the language model's answers could not be used"
_BEFORE = "ask-before"

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
        found = partial(restore_found, partial(restore_discovery, self._postings))
        ranked = partial(restore_ranked, partial(restore_matching, self._outcomes))
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
        """Look at what came of the last calls, then decide the next move."""
        talk = state.talk if state.talk.turns else await self._opened(state)
        if talk.pending:
            talk = await self._observed(state, talk, context, config)
        elif not talk.reply:
            turn, talk = await self._next_turn(state, talk, context, config)
            if turn.calls:
                talk = await self._called(state, talk, turn.calls, context, config)
            talk = replace(talk, reply=turn.reply or talk.reply)
        if talk.pending:
            return handed_on(state, talk)
        if talk.routed and not talk.reply:
            talk = replace(talk, reply=summary(talk))
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
            return Turn(reply=summary(talk)), talk
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
            return await self._by_rules(state, talk, context, out.told, replaced=out.configured)
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
        words = f"{REFUSED} {turn.problem}. Call a tool, or answer in words."
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
            log.debug("run %s is understood without AI: %s", state.run_id, why)
            await context.degrade("understood without AI")
        talk = replace(talk, routed=True, without_ai=why)
        if any(action.ok for action in talk.actions):
            return Turn(reply=summary(talk)), talk
        return self._triage.routed(state.request.text), talk

    async def _called(
        self,
        state: AskState,
        talk: Talk,
        calls: Sequence[ToolCall],
        context: StepContext,
        config: AskConfig,
    ) -> Talk:
        """Carry out the calls that need no other agent, side by side; the others are pending. What
        is said of a list that is yet to be made waits for it."""
        said = Message(role=Role.ASSISTANT, text="", calls=tuple(calls))
        talk = replace(talk, turns=(*talk.turns, said))
        later, here = waiting(state.request, talk.profile, calls)
        work = (self._in_time(state, talk, call, context, config) for call in here)
        dones = await asyncio.gather(*work)
        for done in dones:
            talk = done.into(talk)
        wrong = not later and not any(done.ok for done in dones)
        scouts = talk.scouted or any(call.name == "scout" for call in later)
        problems = talk.problems + 1 if wrong else 0
        return replace(talk, pending=later, scouted=scouts, problems=problems)

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
            wanted = read_call(call)
        except WrongCall as wrong:
            return failed(call, str(wrong))
        try:
            async with asyncio.timeout(config.tool_timeout_s):
                shortlist = await self._shortlist(state, talk)
            return done_here(call.id, wanted, talk.profile, shortlist, state.request)
        except (WrongCall, InvalidValue) as wrong:
            return failed(call, str(wrong), told=True)
        except TimeoutError:
            await context.degrade(f"{call.name} skipped")
            return failed(call, "it took too long and was skipped", told=True)

    async def _observed(
        self, state: AskState, talk: Talk, context: StepContext, config: AskConfig
    ) -> Talk:
        """The conversation with what came of the calls that were handed on, and of those that
        waited for them."""
        for call in in_hand(talk.pending):
            done = await self._came_of(state, talk, call)
            talk = replace(done.into(talk), pending=talk.pending[1:])
        while talk.pending and talk.pending[0].name not in HANDED_ON:
            done = await self._in_time(state, talk, talk.pending[0], context, config)
            talk = replace(done.into(talk), pending=talk.pending[1:])
        return talk

    async def _came_of(self, state: AskState, talk: Talk, call: ToolCall) -> Done:
        if state.failed is not None and state.failed.call_id == call.id:
            return failed(call, state.failed.why, told=True)
        wanted = read_call(call)
        if not isinstance(wanted, DraftCall):
            assert state.ranked is not None  # noqa: S101 - the scout was carried out
            return scouted(call.id, state.ranked)
        try:
            shortlist = await self._shortlist(state, talk)
            postings = [at_rank(shortlist, rank).opportunity for rank in wanted.ranks]
        except WrongCall as wrong:
            return failed(call, str(wrong), told=True)
        return drafted(call.id, postings, state.drafts)

    async def _shortlist(self, state: AskState, talk: Talk) -> Sequence[Match]:
        """What ranks mean: this run's shortlist; where it has asked for none, the person's last
        one."""
        if state.ranked is not None and state.ranked.matching is not None:
            return state.ranked.matching.matches
        if talk.scouted or not state.request.remember:
            return ()
        run_id = await self._runs.last_answered_run_of(state.user_id)
        return () if run_id is None else await self._outcomes.matches(run_id)

    # --- what other agents do ----------------------------------------------------------------

    async def discover(
        self, state: AskState, context: StepContext, config: AskConfig
    ) -> StepOutcome[AskState]:
        """Gather postings; triage is told when that does not work."""
        assert state.scout is not None  # noqa: S101 - what it is handed
        outcome = await _tried(
            self._scout.discover(state.scout, context), config.discover_deadline_s
        )
        if isinstance(outcome, str):
            return await self._skipped(state, context, outcome)
        scout = outcome.state
        return StepOutcome(state=replace(state, scout=scout, failed=None), report=outcome.report)

    async def match(
        self, state: AskState, context: StepContext, config: AskConfig
    ) -> StepOutcome[AskState]:
        """Filter and rank what was found; only now does it take the place of an earlier list."""
        assert state.scout is not None  # noqa: S101 - what it is handed
        work = self._scout.match(state.scout, context, config)
        outcome = await _tried(work, config.match_deadline_s)
        if isinstance(outcome, str):
            return await self._skipped(state, context, outcome)
        scout = outcome.state
        ranked = replace(state, scout=scout, ranked=scout, failed=None)
        return StepOutcome(state=ranked, report=outcome.report, then="plan")

    async def act(
        self, state: AskState, context: StepContext, config: AskConfig
    ) -> StepOutcome[AskState]:
        """Draft applications for all the ranks that were asked for at once; ranks that are not on
        the list are told of by `plan`."""
        shortlist = {match.rank: match for match in await self._shortlist(state, state.talk)}
        calls = [read_call(call) for call in in_hand(state.talk.pending)]
        ranks = dict.fromkeys(r for c in calls if isinstance(c, DraftCall) for r in c.ranks)
        postings = [shortlist[rank].opportunity for rank in ranks if rank in shortlist]
        work = self._scout.draft(context, postings, state.talk.profile, state.user_id, config)
        made = await _tried(work, config.act_deadline_s)
        if isinstance(made, str):
            return await self._skipped(state, context, made)
        written = {draft.opportunity_id: draft for draft in (*state.drafts, *made.drafts)}
        acted = replace(
            state,
            drafts=tuple(written.values()),
            drafted_without_ai=made.without_ai or state.drafted_without_ai,
            failed=None,
        )
        return StepOutcome(state=acted, report={"drafts": len(made.drafts)}, then="plan")

    async def _skipped(
        self, state: AskState, context: StepContext, why: str
    ) -> StepOutcome[AskState]:
        """Go on without what the first pending call wanted."""
        call = state.talk.pending[0]
        await context.degrade(f"{call.name} skipped")
        failure = Failure(call_id=call.id, why=why)
        return StepOutcome(
            state=replace(state, failed=failure), report={"skipped": True}, then="plan"
        )

    async def show_unranked(self, run_id: str, state: AskState) -> bool:
        """Keep what a run that was stopped had found, unranked; False when that is nothing."""
        scout = state.scout
        if scout is None or scout.discovery is None:
            scout = state.ranked
        if scout is None:
            return False
        await self._scout.show_unranked(run_id, scout)
        return scout.discovery is not None

    # --- reply -------------------------------------------------------------------------------

    async def reply(self, state: AskState, context: StepContext) -> StepOutcome[AskState]:
        """Keep what they told of themselves and what they want saved: only now, when all is done,
        and beside what they changed meanwhile. What was there before is kept first, so that it can
        be put back."""
        user_id, talk = state.user_id, state.talk
        profile = await self._people.profile(user_id)
        told = map(read_call, talk.changes)
        changes = [change for change in told if isinstance(change, ChangeProfileCall)]
        new = reduce(changed, changes, profile)
        kept = {item.opportunity_id for item in await self._people.saved(user_id)}
        saves = [name for name in dict.fromkeys(talk.saves) if name not in kept]
        if await self._runs.text(context.run_id, _BEFORE) is None and (new != profile or saves):
            before = json.dumps({"profile": _json(profile), "now": _json(new), "saved": saves})
            await self._runs.keep_text(context.run_id, _BEFORE, before)
        if new != profile:
            await self._people.keep_profile(user_id, new)
        for opportunity_id in saves:
            await self._people.save(user_id, opportunity_id)
        return StepOutcome(state=state, report={"actions": len(talk.actions)})

    async def unremember(self, run_id: str) -> str | None:
        """The undo of `reply`: the profile as it was, if nobody has changed it since, and nothing
        saved."""
        run, kept = await self._runs.get(run_id), await self._runs.text(run_id, _BEFORE)
        if run is None or kept is None:
            return None
        before = json.loads(kept)
        if _json(await self._people.profile(run.user_id)) == before["now"]:
            profile = PROFILE.validate_json(before["profile"])
            await self._people.keep_profile(run.user_id, profile)
        for opportunity_id in before["saved"]:
            await self._people.unsave(run.user_id, opportunity_id)
        return "what was to be remembered is as it was before"


def _json(profile: Profile) -> str:
    return PROFILE.dump_json(profile).decode()


def _exchange(texts: dict[str, str]) -> Exchange:
    """What was said in a run that is over, from its texts."""
    try:
        asked = ASK_REQUEST.validate_json(texts.get("request", ""))
        report = REPORT.validate_json(texts.get("report", ""))
    except ValidationError:
        return Exchange("(not known any more)", "")
    return Exchange(asked.text, report.reply)


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
