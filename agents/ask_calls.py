"""Which calls of a turn are carried out at once, which wait, and which agent is next."""

from collections.abc import Sequence
from dataclasses import replace

from agents.ask_state import AskState, Talk, scout_of
from agents.ask_tools import scout_request
from agents.domain.ask import AskRequest
from agents.domain.errors import InvalidValue
from agents.domain.profile import Profile
from agents.llm.port import ToolCall
from agents.triage.tools import ScoutCall, WrongCall, read_call
from resilience.saga import StepOutcome

HANDED_ON = {"scout": "discover", "draft": "act"}
"""The tools that another agent carries out, and the step that it begins with."""
NOTHING_DONE = "I could not find out what to do. Please say it in other words."
_OF_THE_LIST = frozenset({"draft", "save", "explain"})


def waiting(
    request: AskRequest, profile: Profile, calls: Sequence[ToolCall]
) -> tuple[tuple[ToolCall, ...], tuple[ToolCall, ...]]:
    """The calls that have to wait, scouts first and drafts next to each other, and those that are
    carried out at once, wrong ones among them."""
    right = [call for call in calls if _takes(request, profile, call)]
    scouts = [call for call in right if call.name == "scout"]
    drafts = [call for call in right if call.name == "draft"]
    others = [call for call in right if scouts and call.name in _OF_THE_LIST - {"draft"}]
    later = (*scouts, *drafts, *others)
    return later, tuple(call for call in calls if call not in later)


def _takes(request: AskRequest, profile: Profile, call: ToolCall) -> bool:
    """Whether the call's tool takes what it says."""
    try:
        wanted = read_call(call)
        if isinstance(wanted, ScoutCall):
            scout_request(request, profile, wanted)
    except (WrongCall, InvalidValue):
        return False
    return True


def in_hand(pending: Sequence[ToolCall]) -> tuple[ToolCall, ...]:
    """The calls that one agent carries out together: a scout by itself, drafts in a row."""
    if not pending or pending[0].name != "draft":
        return tuple(pending[:1])
    last = next((at for at, call in enumerate(pending) if call.name != "draft"), len(pending))
    return tuple(pending[:last])


def handed_on(state: AskState, talk: Talk) -> StepOutcome[AskState]:
    """Go on with the first pending call."""
    call, scout = read_call(talk.pending[0]), state.scout
    if isinstance(call, ScoutCall):
        talk = replace(talk, scout=scout_request(state.request, talk.profile, call))
        scout = scout_of(state, talk)
    following = HANDED_ON[talk.pending[0].name]
    return StepOutcome(state=replace(state, talk=talk, scout=scout, failed=None), then=following)


def summary(talk: Talk) -> str:
    """What the tools did, in words: the answer where no model words one."""
    return "\n".join(talk.told) or NOTHING_DONE
