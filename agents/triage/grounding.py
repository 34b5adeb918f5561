"""Whether a reply tells only of what was said in the conversation: a model can't add a find."""

import re
from collections.abc import Iterator, Sequence

from agents.domain.place import fold
from agents.llm.port import Message, Role

REFUSED = "That answer can't be used:"
"""What a model is told of an answer that is refused; the answer itself then backs nothing."""
_AMOUNT = re.compile(
    r"[$€£₦₹]\s?(\d[\d.,]*)|(\d[\d.,]*)\s?k?\s?(?:usd|eur|gbp|dollars|euros|pounds)\b",
    re.IGNORECASE,
)
_QUOTED = re.compile(r"[“\"„«]([^“”\"„«»]{8,120})[”\"“»]")
_AT = re.compile(r"\bat ((?:[A-Z][\w&.'’-]*)(?: [A-Z][\w&.'’-]*)*)")
_FINDS = re.compile(
    r"\b(?:i|we)(?:'ve|’ve| have)? found (?!no|nothing)|\brank(?:ed)? (?:no\.? ?)?\d"
    r"|\bhere (?:are|is) (?:\w+ ){0,3}?(?:match|posting|job|gig|internship|bount|grant|hackathon)",
    re.IGNORECASE,
)


def ungrounded(reply: str, turns: Sequence[Message]) -> str | None:
    """What a reply names that neither a tool nor the person gave, in words for the model: a pay, a
    quoted title, who offers it, or finds where nothing was looked for. None if all is well."""
    said = [message.text for message in _believed(turns)]
    looked = any(message.role is not Role.USER for message in _believed(turns))
    if not looked and _FINDS.search(reply):
        return "it tells of finds, and no tool has looked for any"
    heard = fold("\n".join(said))
    words, numbers = frozenset(re.findall(r"\w+", heard)), frozenset(_numbers(heard))
    for amount in _AMOUNT.finditer(reply):
        if not numbers.issuperset(_numbers(amount[1] or amount[2])):
            return f"no tool gave “{amount[0]}”"
    names = (name.rstrip(".") for name in (*_QUOTED.findall(reply), *_AT.findall(reply)))
    for name in names:
        if not words.issuperset(re.findall(r"\w+", fold(name))):
            return f"no tool gave “{name}”"
    return None


def _believed(turns: Sequence[Message]) -> Iterator[Message]:
    """The messages but those of the model that were refused."""
    for at, message in enumerate(turns):
        following = turns[at + 1].text if at + 1 < len(turns) else ""
        if message.role is not Role.ASSISTANT or not following.startswith(REFUSED):
            yield message


def _numbers(text: str) -> Iterator[str]:
    """The numbers of a text as digits alone: `3,200` and `3200.00` are one."""
    for number in re.findall(r"\d[\d.,]*", text):
        whole = re.sub(r"[.,]\d{1,2}$", "", number.rstrip(".,"))
        yield re.sub(r"\D", "", whole)
