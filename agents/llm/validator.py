"""The Output Validator: where a model's free text becomes a value that can be trusted, or nothing.

An answer that can't be read is sent back with what is wrong with it, twice at most.
"""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import TypeVar

from agents.llm.port import (
    Account,
    Answer,
    Finish,
    LanguageModel,
    Message,
    OutputInvalid,
    Prompt,
    Role,
)
from agents.llm.tokens import cut_to

T = TypeVar("T")

REPAIRS_MAX = 2
RAW_MAX = 20_000
"""Characters kept of an invalid answer."""
_QUOTED_TOKENS = 600
"""What of an invalid answer is sent back with the reason."""


class Unreadable(Exception):  # noqa: N818 - what an answer is
    """An answer that can't be used, and why, in words that a model can act on."""


async def validated(
    model: LanguageModel,
    prompt: Prompt,
    account: Account,
    read: Callable[[Answer], Awaitable[T]],
    keep_raw: Callable[[str], Awaitable[None]],
) -> T:
    """What `read` makes of the model's answer; it raises Unreadable for one that it can't use.

    Raises OutputInvalid after REPAIRS_MAX repairs, or at once when the model refuses, having given
    the last answer to `keep_raw`; LlmUnavailable when nobody answers.
    """
    asked = prompt
    for repair in range(REPAIRS_MAX + 1):
        answer = await model.complete(asked, account)
        try:
            return await _read(answer, read)
        except Unreadable as problem:
            if answer.finish is Finish.REFUSED or repair == REPAIRS_MAX:
                await keep_raw(answer.text[:RAW_MAX])
                raise OutputInvalid(str(problem)) from problem
            asked = _sent_back(prompt, answer, str(problem))
    raise AssertionError("the last repair returns or raises")


async def _read(answer: Answer, read: Callable[[Answer], Awaitable[T]]) -> T:
    match answer.finish:
        case Finish.REFUSED:
            raise Unreadable("the model refused to answer")
        case Finish.CUT:
            raise Unreadable("the answer was cut off; it has to be shorter")
        case Finish.DONE:
            return await read(answer)


def _sent_back(prompt: Prompt, answer: Answer, problem: str) -> Prompt:
    """The prompt again with the last answer only: earlier ones would cost and teach nothing."""
    said = Message(role=Role.ASSISTANT, text=cut_to(answer.text, _QUOTED_TOKENS) or "(nothing)")
    again = Message(
        role=Role.USER,
        text=f"That answer can't be used: {problem}. Answer again, in full and valid.",
    )
    return replace(prompt, messages=(*prompt.messages, said, again))
