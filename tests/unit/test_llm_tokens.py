"""Estimates of tokens, and texts and conversations cut to them."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.llm.port import Message, Prompt, Role, Schema, Tool, ToolCall
from agents.llm.tokens import (
    CUT,
    cut_to,
    level,
    message_tokens,
    pack_conversation,
    prompt_tokens,
    tokens_of,
)

QUICK = settings(max_examples=150, deadline=None)
# Bugs, reported: cut_to(" " * 100, 5) raises IndexError; pack_conversation cuts the newest tool
# result before the oldest talk, drops the question that it answers, and makes a result that is
# shorter than CUT longer.


def words(*, most: int = 400) -> st.SearchStrategy[str]:
    """Texts that begin with a character, so that there is a word to cut at."""
    return st.text(max_size=most).map(lambda text: f"x{text}" if text else "")


# --- tokens_of --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "tokens"), [("", 0), ("a", 1), ("a" * 36, 10), ("a" * 37, 11), ("жж", 2), ("aж", 2)]
)
def test_an_estimate(text: str, tokens: int) -> None:
    """3.6 characters of English are a token, any other character is one by itself."""
    assert tokens_of(text) == tokens


@QUICK
@given(st.text(max_size=200), st.text(max_size=200))
def test_an_estimate_grows_with_the_text(one: str, other: str) -> None:
    """The whole takes as much as each part, and never more than the parts."""
    whole = tokens_of(one + other)
    assert max(tokens_of(one), tokens_of(other)) <= whole <= tokens_of(one) + tokens_of(other)


def test_all_that_is_sent_counts() -> None:
    """Messages with their calls, the schema and the tools."""
    message = Message(role=Role.USER, text="a" * 36)
    plain = Prompt(purpose="x", messages=(message,), answer_tokens_max=1)
    body = {"type": "object"}
    call = ToolCall(id="1", name="scout", arguments="{}")
    assert prompt_tokens(plain) == message_tokens(message) == 16
    more = (
        Prompt(purpose="x", messages=(message, message), answer_tokens_max=1),
        Prompt(
            purpose="x",
            messages=(Message(role=Role.USER, text="a" * 36, calls=(call,)),),
            answer_tokens_max=1,
        ),
        Prompt(
            purpose="x",
            messages=(message,),
            answer_tokens_max=1,
            schema=Schema(name="s", body=body),
        ),
        Prompt(
            purpose="x",
            messages=(message,),
            answer_tokens_max=1,
            tools=(Tool(name="scout", description="looks", parameters=body),),
        ),
    )
    assert [prompt_tokens(prompt) for prompt in more] == [32, 24, 21, 34]


# --- cut_to -----------------------------------------------------------------------------------


@QUICK
@given(words(), st.integers(-5, 200))
def test_a_cut_text_fits(text: str, tokens_max: int) -> None:
    """It is the text itself when that fits, else a beginning of it."""
    cut = cut_to(text, tokens_max)
    assert tokens_of(cut) <= max(0, tokens_max)
    if tokens_of(text) <= tokens_max:
        assert cut == text
    else:
        assert not cut or (cut.endswith("…") and text.startswith(cut[:-1]))


def test_a_text_is_cut_at_a_word() -> None:
    """As long as there is one; a word that is too long is cut itself."""
    assert cut_to("several words that are many", 6) == "several words…"
    assert cut_to("x" * 100, 5) == "x" * 14 + "…"
    assert cut_to("жжжжж", 3) == "жж…"
    assert cut_to("x" * 100, 1) == ""
    assert cut_to("some", 0) == ""


@QUICK
@given(words(most=200), st.integers(2, 60))
def test_little_is_lost(text: str, tokens_max: int) -> None:
    """Without a word's end to cut at, what is left fills the room but for a token or so."""
    joined = "".join(text.split()) + "x" * 300
    assert tokens_of(cut_to(joined, tokens_max)) >= tokens_max - 1


# --- level ------------------------------------------------------------------------------------


@QUICK
@given(st.lists(st.integers(0, 500), max_size=30), st.integers(0, 5_000))
def test_what_is_levelled_fits(costs: list[int], budget: int) -> None:
    """Everything cut to the height is within the budget, and wastes less than one each."""
    height = level(costs, budget)
    cut = sum(min(cost, height) for cost in costs)
    assert cut <= budget
    if sum(costs) <= budget:
        assert height == max(costs, default=0)
    else:
        assert sum(min(cost, height + 1) for cost in costs) > budget


@pytest.mark.parametrize(
    ("costs", "budget", "height"),
    [
        ([], 10, 0),
        ([5], 0, 0),
        ([5], 10, 5),
        ([10, 10], 10, 5),
        ([1, 100, 2], 23, 20),
        ([1, 100, 200], 101, 50),
        ([3, 3, 3], 8, 2),
    ],
)
def test_the_longest_lose_first(costs: list[int], budget: int, height: int) -> None:
    """What is short loses nothing."""
    assert level(costs, budget) == height


# --- pack_conversation ------------------------------------------------------------------------


def said(role: Role, text: str) -> Message:
    """A message; an assistant's that is empty calls a tool."""
    calls = (ToolCall(id="1", name="scout", arguments="{}"),)
    if role is Role.ASSISTANT and not text:
        return Message(role=role, text="", calls=calls)
    return Message(role=role, text=text, call_id="1" if role is Role.TOOL else None)


SYSTEM = said(Role.SYSTEM, "told")
USER, ASSISTANT, TOOL = Role.USER, Role.ASSISTANT, Role.TOOL
MIDDLE = st.lists(
    st.builds(
        said,
        st.sampled_from([Role.USER, Role.ASSISTANT, Role.TOOL]),
        st.text("aж ", min_size=20, max_size=200),
    ),
    max_size=12,
)


def tokens(messages: tuple[Message, ...]) -> int:
    """What they take together."""
    return sum(map(message_tokens, messages))


@QUICK
@given(MIDDLE, st.text(max_size=200), st.integers(0, 800))
def test_a_packed_conversation_fits(middle: list[Message], last: str, budget: int) -> None:
    """As far as its first and last message do; those are there in any case, and what is left is
    in order, whole or cut."""
    end = said(USER, last)
    whole = (SYSTEM, *middle, end)
    packed = pack_conversation(whole, budget)
    assert (packed[0], packed[-1]) == (SYSTEM, end)
    assert tokens(packed) <= max(budget, tokens((SYSTEM, end)))
    known = iter(whole)
    assert all(any(m in (k, said(TOOL, CUT)) for k in known) for m in packed)
    if tokens(whole) <= budget:
        assert packed == whole


def test_the_oldest_results_are_cut_first() -> None:
    """Only as many as it takes; a result keeps its place behind its call."""
    result = said(TOOL, "x" * 360)
    talk = (SYSTEM, said(USER, "go"), said(ASSISTANT, ""), result, said(ASSISTANT, ""), result)
    packed = pack_conversation(talk, tokens(talk) - 1)
    assert [m.text for m in packed if m.role is TOOL] == [CUT, "x" * 360]
    assert [m.call_id for m in packed if m.role is TOOL] == ["1", "1"]
    assert pack_conversation(packed, tokens(packed)) == packed


def test_then_the_oldest_turns_go() -> None:
    """A call goes with its results, and the first message and the last one stay."""
    turn = (said(ASSISTANT, ""), said(TOOL, CUT), said(TOOL, CUT))
    talk = (SYSTEM, *turn, said(USER, "x" * 360), said(ASSISTANT, "y" * 360), said(USER, "now"))
    packed = pack_conversation(talk, tokens(talk) - 1)
    assert packed == (SYSTEM, *talk[4:])
    assert pack_conversation(talk, 0) == (SYSTEM, said(USER, "now"))


@pytest.mark.parametrize("talk", [(), (SYSTEM,), (SYSTEM, said(USER, "now"))])
def test_there_is_nothing_to_take_out(talk: tuple[Message, ...]) -> None:
    """Two messages or fewer stay, whatever they take."""
    assert pack_conversation(talk, 0) == talk
