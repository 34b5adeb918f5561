"""What the steps of an ask run hand on; and as JSON, since a run that is taken up after a restart
goes on with it. What it scouts is a scout's state of its own."""

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

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
    saves: tuple[str, ...] = ()
    scout: ScoutRequest | None = None
    problems: int = 0
    """Answers of the model that could not be used, in a row."""
    routed: bool = False
    """Whether rules decide, in the place of a model."""
    without_ai: str | None = None
    reply: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class AskState:
    """What the steps hand on. `failed` is why the work that another agent was given came to
    nothing."""

    run_id: str
    user_id: str
    request: AskRequest
    talk: Talk
    scout: ScoutState | None = None
    drafts: tuple[Draft, ...] = ()
    drafted_without_ai: str | None = None
    failed: str | None = None


_TALK = TypeAdapter(Talk)


async def keep_talk(state: AskState) -> str:
    """The conversation as JSON."""
    return _TALK.dump_json(state.talk).decode()


async def restore_talk(state: AskState, body: str) -> AskState | None:
    """The state with the conversation again, or None."""
    try:
        talk = _TALK.validate_json(body)
    except ValidationError:
        return None
    return replace(state, talk=talk, scout=scout_of(state, talk))


def scout_of(state: AskState, talk: Talk) -> ScoutState | None:
    """The scout that the conversation asks for, before its first step."""
    if talk.scout is None:
        return None
    return ScoutState(run_id=state.run_id, user_id=state.user_id, request=talk.scout)


async def keep_found(state: AskState) -> str:
    """The discovery as JSON, or why there is none."""
    if state.failed is not None or state.scout is None:
        return json.dumps({"failed": state.failed})
    return await keep_discovery(state.scout)


async def keep_ranked(state: AskState) -> str:
    """The matching as JSON, or why there is none."""
    if state.failed is not None or state.scout is None:
        return json.dumps({"failed": state.failed})
    return await keep_matching(state.scout)


async def restore_scout(restore: Restore, state: AskState, body: str) -> AskState | None:
    """The state with what `restore` reads of the scout again, or None."""
    if (failed := _failed(body)) is not None:
        return replace(state, failed=failed)
    if state.scout is None:
        return None
    scout = await restore(state.scout, body)
    return None if scout is None else replace(state, scout=scout)


async def keep_written(state: AskState) -> str:
    """How the drafts were made, or why there are none; they are in the store."""
    return json.dumps({"failed": state.failed, "without_ai": state.drafted_without_ai})


async def restore_written(outcomes: OutcomeStore, state: AskState, body: str) -> AskState | None:
    """The state with the drafts again, or None."""
    try:
        kept = json.loads(body)
    except ValueError:
        return None
    drafts = tuple(await outcomes.drafts(state.run_id))
    return replace(
        state, drafts=drafts, drafted_without_ai=kept["without_ai"], failed=kept["failed"]
    )


def _failed(body: str) -> str | None:
    kept = json.loads(body)
    failed = kept.get("failed")
    return failed if isinstance(failed, str) else None
