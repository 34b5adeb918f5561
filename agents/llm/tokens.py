"""How many tokens a text takes, estimated, and texts cut so that they fit.

Vendors' tokenizers differ and come with downloads, so this is a rule on the safe side: about 3.6
characters of English are a token, and any other script's character is one by itself.
"""

import json
import math
from collections.abc import Sequence

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
    head = text[:low]
    at_word = head.rsplit(None, 1)[0] if low and " " in head else head
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
    """The messages within `budget` tokens: the oldest tool results are cut first, then the oldest
    of what was said between the first message and the last one."""
    packed = list(messages)
    over = sum(map(message_tokens, packed)) - budget
    for place, message in enumerate(packed):
        if over <= 0:
            break
        if message.role is Role.TOOL and message.text != CUT:
            packed[place] = Message(role=Role.TOOL, text=CUT, call_id=message.call_id)
            over -= message_tokens(message) - message_tokens(packed[place])
    while over > 0 and len(packed) > 2:
        over -= sum(map(message_tokens, _take_oldest(packed)))
    return tuple(packed)


def _take_oldest(packed: list[Message]) -> list[Message]:
    """Take the oldest turn after the first message out, a call with its results."""
    taken = [packed.pop(1)]
    while len(packed) > 2 and packed[1].role is Role.TOOL:
        taken.append(packed.pop(1))
    return taken
