"""The Triage agent: reads what somebody wrote and says which tools to call, or what to answer.

model      the fast language model with the tools of `tools.py`, one turn at a time
router     rules (`router.py`), when no model answers
"""

import json
import logging
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from agents.configs.prompts import NamedPrompt
from agents.llm.port import (
    Account,
    Answer,
    Finish,
    LanguageModel,
    LlmUnavailable,
    Message,
    Prompt,
    Role,
    ToolCall,
)
from agents.llm.tokens import pack_conversation
from agents.triage.grounding import ungrounded
from agents.triage.router import route
from agents.triage.tools import CALLS, tools
from resilience.deadline import deadline

ANSWER_TOKENS_MAX = 500
CONVERSATION_TOKENS_MAX = 3_000
REPLY_MAX = 2_000
CALLS_MAX = 8
"""Of one turn."""
# Also without a scheme, where a path or a third name tells: `t.me/x`, not `Booking.com`, `Node.js`.
_LINK = re.compile(
    r"\b(?:https?://|www\.)\S+|[\w.+-]+@[\w-]+\.[\w.-]+"
    r"|\b(?:[\w-]+\.)+[a-z]{2,}/\S+|\b(?:[\w-]+\.){2,}[a-z]{2,}\b",
    re.IGNORECASE,
)
_NAMES = {call: name for name, call in CALLS.items()}

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One turn: what the model is told, the conversation so far, who pays, and the seconds it may
    take."""

    run_id: str
    told: NamedPrompt
    turns: Sequence[Message]
    account: Account
    within_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """What triage wants: tools called, or a reply given. Neither: the answer could not be used, and
    `problem` says why."""

    calls: tuple[ToolCall, ...] = ()
    reply: str = ""
    problem: str | None = None
    raw: str = ""


class TriageAgent:
    """Decides the next move of a conversation."""

    def __init__(self, model: LanguageModel | None, monotonic: Callable[[], float]) -> None:
        self._model = model
        self._monotonic = monotonic

    async def next_turn(self, asked: Asked) -> Turn:
        """What the model wants next. Raises LlmUnavailable, and what the account raises."""
        if self._model is None:
            raise LlmUnavailable("no language model is configured", configured=False)
        told = Message(role=Role.SYSTEM, text=asked.told.text)
        prompt = Prompt(
            purpose="triage",
            messages=pack_conversation((told, *asked.turns), CONVERSATION_TOKENS_MAX),
            answer_tokens_max=ANSWER_TOKENS_MAX,
            tools=tools(),
            fast=True,
        )
        with deadline(asked.within_s, self._monotonic):
            return _turn(await self._model.complete(prompt, asked.account), asked.turns)

    def routed(self, text: str) -> Turn:
        """What the rules make of a text, as a model would say it."""
        return Turn(
            calls=tuple(
                ToolCall(
                    id=f"rule-{number}",
                    name=_NAMES[type(call)],
                    arguments=call.model_dump_json(exclude_defaults=True),
                )
                for number, call in enumerate(route(text), 1)
            )
        )


def _turn(answer: Answer, turns: Sequence[Message]) -> Turn:
    match answer.finish:
        case Finish.REFUSED:
            return Turn(problem="the model refused to answer", raw=answer.text)
        case Finish.CUT if not answer.calls:
            problem = "the answer was cut off; it has to be shorter"
            return Turn(problem=problem, raw=answer.text)
    if answer.calls:
        return Turn(calls=answer.calls[:CALLS_MAX])
    reply = plain_reply(answer.text)
    wrong = ungrounded(reply, turns) if reply else "it is empty"
    return Turn(reply="" if wrong else reply, problem=wrong, raw=answer.text)


def plain_reply(text: str) -> str:
    """A model's words as they may be shown: bounded, without control characters, and without
    links, since those come from the postings' own records only."""
    printable = "".join(c if c.isprintable() or c == "\n" else " " for c in text)
    return _LINK.sub("(link left out)", printable).strip()[:REPLY_MAX].rstrip()


def as_json(facts: object) -> str:
    """A tool's result as the model reads it."""
    return json.dumps(facts, ensure_ascii=False, separators=(",", ":"))
