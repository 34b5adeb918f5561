"""What the steps of an ask run hand on; and as JSON, since a run that is taken up after a restart
goes on with it. What it scouts is a scout's state of its own."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Literal

from pydantic import TypeAdapter, ValidationError

from agents.domain.ask import AskRequest, ToolUse
from agents.domain.draft import Draft
from agents.domain.profile import Profile
from agents.domain.run import ScoutRequest
from agents.llm.port import Message, ToolCall
from agents.scout_state import ScoutState, keep_discovery, keep_matching
from agents.store.outcomes import OutcomeStore

Restore = Callable[[ScoutState, str], Awaitable[ScoutState | None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Talk:
    """The conversation of a run: what was said, which tools were used and told what, and what is
    to be kept of it at the end."""

    turns: tuple[Message, ...] = ()
    actions: tuple[ToolUse, ...] = ()
    told: tuple[str, ...] = ()
    """What the tools have to tell, in words for the person."""
    pending: tuple[ToolCall, ...] = ()
    """Calls that other agents carry out, the first one next."""
    profile: Profile
    changes: tuple[ToolCall, ...] = ()
    """What they told of themselves, as the calls that say so; `profile` has it already."""
    saves: tuple[str, ...] = ()
    scout: ScoutRequest | None = None
    scouted: bool = False
    """Whether a scout was asked for: then ranks mean no earlier list."""
    problems: int = 0
    """Answers of the model that could not be used, in a row."""
    routed: bool = False
    """Whether rules decide, in the place of a model."""
    without_ai: str | None = None
    reply: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why the work that another agent was given came to nothing, and the call that wanted it."""

    call_id: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AskState:
    """What the steps hand on. `scout` is under way; `ranked` is the last one that came to a list,
    which ranks mean until the next one does."""

    run_id: str
    user_id: str
    request: AskRequest
    talk: Talk
    scout: ScoutState | None = None
    ranked: ScoutState | None = None
    drafts: tuple[Draft, ...] = ()
    drafted_without_ai: str | None = None
    failed: Failure | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kept:
    """What a step made, as JSON of its own, or why it made nothing."""

    version: Literal[1] = 1
    failed: Failure | None = None
    body: str = ""
    without_ai: str | None = None


_TALK, _KEPT = TypeAdapter(Talk), TypeAdapter(_Kept)


async def keep_talk(state: AskState) -> str:
    """The conversation as JSON."""
    return _TALK.dump_json(state.talk).decode()


async def restore_talk(state: AskState, body: str) -> AskState | None:
    """The state with the conversation again, or None."""
    try:
        talk = _TALK.validate_json(body)
    except ValidationError:
        return None
    known = state.scout is not None and state.scout.request == talk.scout
    return replace(state, talk=talk, scout=state.scout if known else scout_of(state, talk))


def scout_of(state: AskState, talk: Talk) -> ScoutState | None:
    """The scout that the conversation asks for, before its first step."""
    if talk.scout is None:
        return None
    return ScoutState(run_id=state.run_id, user_id=state.user_id, request=talk.scout)


async def keep_found(state: AskState) -> str:
    """The discovery as JSON, or why there is none."""
    return await _keep(state, keep_discovery)


async def keep_ranked(state: AskState) -> str:
    """The matching as JSON, or why there is none."""
    return await _keep(state, keep_matching)


async def _keep(state: AskState, keep: Callable[[ScoutState], Awaitable[str]]) -> str:
    failed = state.failed is not None or state.scout is None
    kept = _Kept(failed=state.failed) if failed else _Kept(body=await keep(_scout(state)))
    return _KEPT.dump_json(kept).decode()


def _scout(state: AskState) -> ScoutState:
    assert state.scout is not None  # noqa: S101 - the caller has looked
    return state.scout


async def restore_found(restore: Restore, state: AskState, body: str) -> AskState | None:
    """The state with what was found again, or None."""
    return await _restored(restore, state, body)


async def restore_ranked(restore: Restore, state: AskState, body: str) -> AskState | None:
    """The state with the ranking again, or None."""
    again = await _restored(restore, state, body)
    if again is None or again.failed is not None:
        return again
    return replace(again, ranked=again.scout)


async def _restored(restore: Restore, state: AskState, body: str) -> AskState | None:
    kept = _read(body)
    if kept is None:
        return None
    if kept.failed is not None:
        return replace(state, failed=kept.failed)
    scout = None if state.scout is None else await restore(state.scout, kept.body)
    return None if scout is None else replace(state, scout=scout, failed=None)


async def keep_written(state: AskState) -> str:
    """How the drafts were made, or why there are none; they are in the store."""
    kept = _Kept(failed=state.failed, without_ai=state.drafted_without_ai)
    return _KEPT.dump_json(kept).decode()


async def restore_written(outcomes: OutcomeStore, state: AskState, body: str) -> AskState | None:
    """The state with the drafts again, or None."""
    kept = _read(body)
    if kept is None:
        return None
    drafts = tuple(await outcomes.drafts(state.run_id))
    return replace(
        state, drafts=drafts, drafted_without_ai=kept.without_ai, failed=kept.failed or state.failed
    )


def _read(body: str) -> _Kept | None:
    try:
        return _KEPT.validate_json(body)
    except ValidationError:
        return None
