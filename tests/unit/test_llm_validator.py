"""The Output Validator: an answer that can be used, or the reason why there is none."""

import json

import pytest

from agents.llm.port import (
    Answer,
    Finish,
    LlmUnavailable,
    Message,
    OutputInvalid,
    Prompt,
    Role,
    Schema,
)
from agents.llm.tokens import prompt_tokens, tokens_of
from agents.llm.validator import RAW_MAX, REPAIRS_MAX, Unreadable, validated
from resilience.saga import KillSwitch
from tests.fakes.llm import MemoryAccount, Said, ScriptedModel, says

PROMPT = Prompt(
    purpose="match",
    messages=(Message(role=Role.SYSTEM, text="told"), Message(role=Role.USER, text="asked")),
    answer_tokens_max=100,
    schema=Schema(name="s", body={"type": "object"}),
)
REFUSAL = Answer(text="I can't help with that.", tokens=5, finish=Finish.REFUSED)
CUT_OFF = Answer(text="17", tokens=5, finish=Finish.CUT)
# Bug, reported: an invalid answer that begins with 3,000 blanks raises IndexError, since what of
# it is sent back is cut by cut_to.


async def read_number(answer: Answer) -> int:
    """A number below ten."""
    try:
        number = int(answer.text)
    except ValueError:
        raise Unreadable("it is no number") from None
    if number >= 10:
        raise Unreadable(f"{number} is too much")
    return number


class Asking:
    """A question, and what became of it."""

    def __init__(self, *script: Said | str) -> None:
        self.model = ScriptedModel(*script)
        self.account = MemoryAccount()
        self.raw: list[str] = []

    async def __call__(self) -> int:
        """Ask."""
        return await validated(self.model, PROMPT, self.account, read_number, self._keep)

    async def _keep(self, raw: str) -> None:
        self.raw.append(raw)


async def test_a_valid_answer_is_read_once() -> None:
    """One question, nothing kept."""
    asking = Asking("7")
    assert await asking() == 7
    assert asking.model.asked == [PROMPT]
    assert asking.raw == []


@pytest.mark.parametrize("bad", ["eleven", "11", "", CUT_OFF])
async def test_an_invalid_answer_is_sent_back(bad: Said | str) -> None:
    """With what is wrong with it; the question and its schema stay the same."""
    asking = Asking(bad, "7")
    assert await asking() == 7
    again = asking.model.asked[1]
    assert again.messages[:2] == PROMPT.messages
    assert (again.schema, again.answer_tokens_max) == (PROMPT.schema, 100)
    assert [message.role for message in again.messages[2:]] == [Role.ASSISTANT, Role.USER]
    assert asking.raw == []


@pytest.mark.parametrize(
    ("bad", "said", "problem"),
    [
        ("eleven", "eleven", "it is no number"),
        ("11", "11", "11 is too much"),
        ("", "(nothing)", "it is no number"),
        (CUT_OFF, "17", "the answer was cut off; it has to be shorter"),
    ],
)
async def test_what_is_sent_back(bad: Said | str, said: str, problem: str) -> None:
    """The answer, and the reason in words; also where a part would have been valid."""
    asking = Asking(bad, "7")
    await asking()
    answer, reason = asking.model.asked[1].messages[2:]
    assert answer.text == said
    assert reason.text == f"That answer can't be used: {problem}. Answer again, in full and valid."


async def test_only_the_last_answer_is_sent_back() -> None:
    """Earlier ones would cost and teach nothing."""
    asking = Asking("one", "two", "3")
    assert await asking() == 3
    assert [len(prompt.messages) for prompt in asking.model.asked] == [2, 4, 4]
    assert asking.model.asked[2].messages[2].text == "two"


async def test_after_two_repairs_it_is_over() -> None:
    """The last answer is kept and the last reason said; each answer was paid for."""
    asking = Asking("one", "two", "three", "4")
    with pytest.raises(OutputInvalid, match=r"^it is no number$"):
        await asking()
    assert len(asking.model.asked) == REPAIRS_MAX + 1 == 3
    assert asking.raw == ["three"]
    assert len(asking.account.settled) == 3


@pytest.mark.parametrize("before", [(), ("one",), ("one", "two")])
async def test_a_refusal_is_not_argued_with(before: tuple[str, ...]) -> None:
    """Whenever it comes, nothing more is asked, and its words are kept."""
    asking = Asking(*before, REFUSAL, "7")
    with pytest.raises(OutputInvalid, match="refused"):
        await asking()
    assert len(asking.model.asked) == len(before) + 1
    assert asking.raw == [REFUSAL.text]


@pytest.mark.parametrize("before", [(), ("one",)])
async def test_nobody_answers(before: tuple[str, ...]) -> None:
    """That is for the caller, also in the middle of a repair; nothing is kept."""
    asking = Asking(*before, LlmUnavailable("all are down"))
    with pytest.raises(LlmUnavailable, match="all are down"):
        await asking()
    assert asking.raw == []


async def test_a_run_without_tokens_is_stopped() -> None:
    """What the account raises ends it, unrepaired."""

    def stop(_: Prompt) -> Answer:
        raise KillSwitch("no tokens left", type="token-budget-exhausted")

    asking = Asking("one", stop)
    with pytest.raises(KillSwitch):
        await asking()
    assert asking.raw == []


async def test_a_long_answer_is_bounded() -> None:
    """In what is sent back and in what is kept."""
    asking = Asking("word " * RAW_MAX)
    with pytest.raises(OutputInvalid):
        await asking()
    again = asking.model.asked[1]
    assert tokens_of(again.messages[2].text) <= 600
    assert prompt_tokens(again) < 700
    assert asking.raw == [("word " * RAW_MAX)[:RAW_MAX]]


async def test_an_error_of_the_reader_is_no_invalid_answer() -> None:
    """A bug is not sent to the model."""

    async def broken(_: Answer) -> int:
        raise ZeroDivisionError

    async def keep(_: str) -> None:
        raise AssertionError("nothing is to be kept")

    model = ScriptedModel(says("7"))
    with pytest.raises(ZeroDivisionError):
        await validated(model, PROMPT, MemoryAccount(), broken, keep)
    assert len(model.asked) == 1


async def test_the_raw_answer_is_kept_before_it_is_over() -> None:
    """Who hears of it can read it."""
    events: list[str] = []

    async def keep(raw: str) -> None:
        events.append(raw)

    async def unreadable(answer: Answer) -> int:
        raise Unreadable(json.dumps(answer.text))

    model = ScriptedModel("a", "b", "c")
    with pytest.raises(OutputInvalid, match=r'^"c"$'):
        await validated(model, PROMPT, MemoryAccount(), unreadable, keep)
    assert events == ["c"]
