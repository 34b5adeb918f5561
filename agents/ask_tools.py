"""What the tools of triage do that need no other agent, and how all of them tell what they did: to
the model as data, to the person in words."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from agents.ask_state import Talk
from agents.domain.ask import AskRequest, ToolUse
from agents.domain.draft import Draft, DraftMethod
from agents.domain.match import Match, MatchMethod
from agents.domain.opportunity import Opportunity
from agents.domain.profile import LOCATIONS_MAX, SKILLS_MAX, Profile
from agents.domain.run import QUERY_MAX, ScoutRequest
from agents.domain.skill import canonical_skill
from agents.llm.port import Message, Role, ToolCall
from agents.llm.quoting import quoted
from agents.llm.tokens import cut_to
from agents.scout_report import funnel_of
from agents.scout_state import ScoutState
from agents.triage.agent import as_json, plain_reply
from agents.triage.tools import (
    AskBackCall,
    Call,
    ChangeProfileCall,
    ExplainCall,
    SaveCall,
    ScoutCall,
    WrongCall,
)

RESULT_TOKENS_MAX = 900
TOOL_NAME_MAX = 40
_SHOWN = 10

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """What came of one call: `result` is for the model, `told` for the person, `change` is what it
    does to the conversation."""

    call_id: str
    tool: str
    ok: bool
    result: object
    told: str = ""
    change: Callable[[Talk], Talk] = lambda talk: talk

    def into(self, talk: Talk) -> Talk:
        """The conversation with it."""
        text = cut_to(as_json(self.result), RESULT_TOKENS_MAX)
        said = Message(role=Role.TOOL, text=text, call_id=self.call_id)
        return replace(
            self.change(talk),
            turns=(*talk.turns, said),
            actions=(*talk.actions, ToolUse(self.tool, self.ok)),
            told=(*talk.told, self.told) if self.told else talk.told,
        )


def failed(call: ToolCall, why: str, *, told: bool = False) -> Done:
    """A call that came to nothing. What is wrong with the call itself is for the model only."""
    tool = call.name[:TOOL_NAME_MAX]
    words = f"{tool.replace('_', ' ').capitalize()} did not work: {why}."
    return Done(
        call_id=call.id, tool=tool, ok=False, result={"error": why}, told=words if told else ""
    )


def done_here(
    call_id: str,
    call: Call,
    profile: Profile,
    shortlist: Sequence[Match],
    request: AskRequest,
) -> Done:
    """Do what a call asks for that needs no other agent; raises WrongCall for a rank that is not
    on the list, and for what is not remembered, InvalidValue for what no profile takes."""
    if isinstance(call, (SaveCall, ChangeProfileCall)) and not request.remember:
        raise WrongCall("nothing is remembered for this caller; say it in the request's profile")
    match call:
        case SaveCall(ranks=ranks):
            return _save(call_id, [at_rank(shortlist, rank) for rank in ranks])
        case ExplainCall(rank=rank):
            return _explain(call_id, at_rank(shortlist, rank))
        case ChangeProfileCall():
            return _change(call_id, call, changed(profile, call))
        case AskBackCall(question=question):
            return _ask_back(call_id, plain_reply(question))
        case _:
            raise WrongCall("another agent does that")


def at_rank(shortlist: Sequence[Match], rank: int) -> Match:
    """The match of that rank; raises WrongCall."""
    for match in shortlist:
        if match.rank == rank:
            return match
    if not shortlist:
        raise WrongCall("there is no shortlist yet; scout makes one")
    raise WrongCall(f"the shortlist has no match {rank}, it has 1 to {len(shortlist)}")


def _save(call_id: str, matches: Sequence[Match]) -> Done:
    ids = tuple(match.opportunity.id for match in matches)
    titles = ", ".join(f"“{match.opportunity.title}”" for match in matches)
    return Done(
        call_id=call_id,
        tool="save",
        ok=True,
        result={"saved": [match.rank for match in matches]},
        told=f"Saved {titles}.",
        change=lambda talk: replace(talk, saves=(*talk.saves, *ids)),
    )


def _explain(call_id: str, match: Match) -> Done:
    by = "a language model" if match.method is MatchMethod.LLM else "the heuristic"
    score = "without a score" if match.score is None else f"{match.score:.0f} of 100, by {by}"
    told = f"{match.rank}. “{match.opportunity.title}”: {score}. {'; '.join(match.reasons)}."
    if match.cautions:
        told += f" Careful: {'; '.join(match.cautions)}."
    return Done(call_id=call_id, tool="explain", ok=True, result=_as_data(match), told=told)


def _ask_back(call_id: str, question: str) -> Done:
    if not question:
        raise WrongCall("the question is empty")
    return Done(
        call_id=call_id,
        tool="ask_back",
        ok=True,
        result={"asked": True},
        change=lambda talk: replace(talk, reply=question),
    )


def _change(call_id: str, call: ChangeProfileCall, profile: Profile) -> Done:
    """Each of several changes of one turn counts: they are made one after the other."""
    made = ToolCall(id=call_id, name="change_profile", arguments=call.model_dump_json())
    known = {
        "skills": ", ".join(profile.skills[:20]),
        "places": ", ".join(profile.locations),
        "remote": "yes" if profile.remote else "",
        "kinds": ", ".join(profile.kinds),
        "least pay": "" if profile.min_pay is None else str(profile.min_pay),
    }
    words = "; ".join(f"{name}: {value}" for name, value in known.items() if value)
    return Done(
        call_id=call_id,
        tool="change_profile",
        ok=True,
        result={"profile": words},
        told=f"Noted. Your profile now: {words or 'empty'}.",
        change=lambda talk: replace(
            talk, profile=changed(talk.profile, call), changes=(*talk.changes, made)
        ),
    )


def changed(profile: Profile, call: ChangeProfileCall) -> Profile:
    """The profile with what somebody told of themselves."""
    unwanted = {canonical_skill(skill) for skill in call.remove_skills}
    kept = [skill for skill in profile.skills if canonical_skill(skill) not in unwanted]
    known = {canonical_skill(skill) for skill in kept}
    new = [skill for skill in call.add_skills if canonical_skill(skill) not in known]
    return Profile(
        skills=(*kept, *new)[:SKILLS_MAX],
        locations=_given(call.locations, profile.locations)[:LOCATIONS_MAX],
        remote=profile.remote if call.remote is None else call.remote,
        kinds=_given(call.kinds, profile.kinds),
        min_pay=profile.min_pay if call.min_pay is None else call.min_pay.min_pay(),
        about=profile.about if call.about is None else call.about,
    )


def _given(said: Sequence[T] | None, known: tuple[T, ...]) -> tuple[T, ...]:
    return known if said is None else tuple(said)


def scout_request(asked: AskRequest, profile: Profile, call: ScoutCall) -> ScoutRequest:
    """The scout that a call asks for: what it says counts, what it leaves open is the profile's.
    Who asks for remote work, or for a place, means that alone."""
    places = call.remote is not None or bool(call.locations)
    return ScoutRequest(
        query=" ".join(call.query.split())[:QUERY_MAX],
        profile=replace(
            profile,
            skills=tuple(dict.fromkeys((*call.skills, *profile.skills)))[:SKILLS_MAX],
            locations=tuple(call.locations) or (() if call.remote else profile.locations),
            remote=bool(call.remote) if places else profile.remote,
            kinds=tuple(call.kinds) or profile.kinds,
            min_pay=call.min_pay.min_pay() if call.min_pay else profile.min_pay,
        ),
        sources=asked.sources,
        excluded=tuple(word for word in call.exclude if word.strip()),
        home=profile.locations,
        limit=asked.limit,
        drafts=0,
        sample_fallback=asked.sample_fallback,
    )


def scouted(call_id: str, scout: ScoutState) -> Done:
    """What a scout came to."""
    funnel = funnel_of(scout, shown=True)
    matches = () if scout.matching is None else scout.matching.matches
    left_out = {
        "duplicates": funnel.duplicates,
        "expired": funnel.expired,
        "inactive": funnel.inactive,
        **funnel.filtered,
    }
    result = {
        "found": funnel.found,
        "ranked": funnel.ranked,
        "left_out": {name: count for name, count in left_out.items() if count},
        "shortlist": [_as_data(match) for match in matches[:_SHOWN]],
    }
    found = f"Found {funnel.found:,} posting{'' if funnel.found == 1 else 's'}"
    told = f"{found}, {funnel.ranked:,} of them within what you asked for; the best come first."
    if not matches:
        told = f"{found}, and none fits what you asked for."
    return Done(call_id=call_id, tool="scout", ok=True, result=result, told=told)


def drafted(call_id: str, postings: Sequence[Opportunity], drafts: Sequence[Draft]) -> Done:
    """What drafting for these postings came to."""
    wanted = {posting.id for posting in postings}
    mine = [draft for draft in drafts if draft.opportunity_id in wanted]
    by_model = sum(draft.method is DraftMethod.LLM for draft in mine)
    titles = ", ".join(f"“{posting.title}”" for posting in postings)
    return Done(
        call_id=call_id,
        tool="draft",
        ok=True,
        result={"drafted": len(mine), "by_a_model": by_model, "shown_to_the_person": True},
        told=f"Drafted for {titles}. Read it before you send it, and fill in what is missing.",
    )


def _as_data(match: Match) -> dict[str, object]:
    """A match as the model is told of it: facts alone, without what talks to software."""
    o = match.opportunity
    facts = {
        "rank": match.rank,
        "score": match.score,
        "title": quoted(o.title, 25),
        "at": quoted(o.organisation, 12),
        "kind": o.kind.value,
        "places": quoted(", ".join(o.locations), 12),
        "pay": quoted(o.pay.text, 10) if o.pay else None,
        "why": [cut_to(reason, 20) for reason in match.reasons[:2]],
        "careful": [cut_to(caution, 20) for caution in match.cautions[:2]],
    }
    return {name: fact for name, fact in facts.items() if fact not in (None, "", [])}
