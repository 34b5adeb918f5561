"""How many tokens a text takes, estimated, and texts cut so that they fit.

Vendors' tokenizers differ and come with downloads, so this is a rule on the safe side: about 3.6
characters of English are a token, and any other script's character is one by itself.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import replace

from agents.llm.port import Message, Prompt, Role

_ASCII_A_TOKEN = 3.6
_MESSAGE_TOKENS = 6
"""What a message costs beside its text: its role, its ends."""
CUT = "[cut: too long]"


def tokens_of(text: str) -> int:
    """The tokens of a text, estimated; rather too many than too few."""
    others = 0 if text.isascii() else sum(not c.isascii() for c in text)
    return math.ceil((len(text) - others) / _ASCII_A_TOKEN + others)


def prompt_tokens(prompt: Prompt) -> int:
    """The tokens of all that is sent with a prompt, estimated."""
    tools = [{"name": t.name, "about": t.description, "of": t.parameters} for t in prompt.tools]
    schema = "" if prompt.schema is None else json.dumps(prompt.schema.body)
    said = sum(map(message_tokens, prompt.messages))
    return said + tokens_of(schema) + (tokens_of(json.dumps(tools)) if tools else 0)


def message_tokens(message: Message) -> int:
    """The tokens of one message, estimated."""
    calls = sum(tokens_of(call.name + call.arguments) + _MESSAGE_TOKENS for call in message.calls)
    return tokens_of(message.text) + calls + _MESSAGE_TOKENS


def cut_to(text: str, tokens_max: int) -> str:
    """The text, shortened at a word to fit; empty when nothing of it does."""
    if tokens_of(text) <= tokens_max:
        return text
    low, high = 0, min(len(text), math.floor(tokens_max * _ASCII_A_TOKEN))
    while low < high:  # how many characters fit
        middle = (low + high + 1) // 2
        low, high = (middle, high) if tokens_of(text[:middle]) < tokens_max else (low, middle - 1)
    head = text[:low].rstrip()
    at_word = head.rpartition(" ")[0]
    if 2 * len(at_word) < len(head):  # hardly any blanks, as in Chinese
        at_word = head
    return f"{at_word}…" if at_word else ""


def level(costs: Sequence[int], budget: int) -> int:
    """The height at which the tallest have to be cut so that all together fit: what is longest
    loses first, what is short loses nothing."""
    left, height = budget, 0
    for place, cost in enumerate(sorted(costs)):
        share = left // (len(costs) - place)
        if cost > share:
            return share
        left, height = left - cost, cost
    return height


def pack_conversation(messages: Sequence[Message], budget: int) -> tuple[Message, ...]:
    """The messages within `budget` tokens, as far as the first, the person's last words and the
    turn after them allow: older tool results are cut first, oldest first, then the oldest turns go,
    then the last turn's results are cut."""
    packed = list(messages)
    packed = _results_cut(packed, range(_last_turn(packed)), budget)
    while _tokens(packed) > budget and (turn := _oldest_turn(packed)):
        del packed[turn]
    return tuple(_results_cut(packed, range(len(packed)), budget))


def _last_turn(messages: Sequence[Message]) -> int:
    """Where the last turn with calls begins, if the person has said nothing since."""
    asked = _asked(messages)
    calls = (at for at, message in enumerate(messages) if message.calls and at > asked)
    return max(calls, default=len(messages))


def _asked(messages: Sequence[Message]) -> int:
    """Where the person's last words stand."""
    return max((at for at, m in enumerate(messages) if m.role is Role.USER), default=0)


def _tokens(messages: Sequence[Message]) -> int:
    return sum(map(message_tokens, messages))


def _results_cut(messages: list[Message], places: range, budget: int) -> list[Message]:
    packed = list(messages)
    for at in places:
        if _tokens(packed) <= budget:
            break
        if packed[at].role is Role.TOOL and len(packed[at].text) > len(CUT):
            packed[at] = replace(packed[at], text=CUT)
    return packed


def _oldest_turn(packed: Sequence[Message]) -> slice | None:
    """The oldest message after the first that may go, a call with its results; None when only the
    first, the person's last words and the last turn are left."""
    asked, last = _asked(packed), _last_turn(packed)
    for at in range(1, min(last, len(packed))):
        if at in (asked, len(packed) - 1):
            continue
        end = at + 1
        while end < len(packed) and packed[end].role is Role.TOOL:
            end += 1
        return slice(at, end)
    return None
