"""What was said before, short enough to be said again: the last exchanges nearly whole, what lies
before them in a line each."""

from collections.abc import Sequence
from dataclasses import dataclass

from agents.llm.port import Message, Role

EXCHANGES_MAX = 12
"""How far back anything is remembered."""
_WHOLE = 3
_WHOLE_MAX = 400
_LINE_MAX = 70


@dataclass(frozen=True, slots=True)
class Exchange:
    """What somebody wrote, and what they were answered."""

    text: str
    reply: str


def remembered(exchanges: Sequence[Exchange]) -> tuple[Message, ...]:
    """The earlier exchanges, oldest first, as messages: at most about 4,000 characters."""
    recent = exchanges[-EXCHANGES_MAX:]
    older, last = recent[:-_WHOLE], recent[-_WHOLE:]
    messages = []
    if older:
        lines = "\n".join(f"- {_cut(e.text, _LINE_MAX)}: {_cut(e.reply, _LINE_MAX)}" for e in older)
        summary = f"Earlier, in short (what they wrote: what they were answered):\n{lines}"
        messages.append(Message(role=Role.USER, text=summary))
    for exchange in last:
        messages.append(Message(role=Role.USER, text=_cut(exchange.text, _WHOLE_MAX)))
        messages.append(Message(role=Role.ASSISTANT, text=_cut(exchange.reply, _WHOLE_MAX)))
    return tuple(messages)


def _cut(text: str, longest: int) -> str:
    plain = " ".join(text.split())
    return plain if len(plain) <= longest else f"{plain[: longest - 1]}…"
