"""A reply names only what was said in the conversation."""

import pytest

from agents.llm.port import Message, Role, ToolCall
from agents.triage.grounding import REFUSED, ungrounded

FOUND = (
    Message(role=Role.USER, text="remote rust gigs over $50/h"),
    Message(role=Role.ASSISTANT, text="", calls=(ToolCall(id="1", name="scout", arguments="{}"),)),
    Message(
        role=Role.TOOL,
        text='{"matches":[{"rank":1,"title":"Rust Baker","organisation":"Oven & Söhne",'
        '"pay":"€60 - €70,000.00"}]}',
        call_id="1",
    ),
)


@pytest.mark.parametrize(
    "reply",
    [
        "Rank 1 is “Rust Baker” at Oven & Sohne, for €60 and up to €70,000.",
        "I found one gig that pays over $50/h.",
        "Hello! What are you looking for?",
        'Nothing at all, not even "rust baker".',
    ],
)
def test_what_a_tool_or_the_person_gave(reply: str) -> None:
    """It may be said again, in any spelling of the numbers and names."""
    assert ungrounded(reply, FOUND) is None


@pytest.mark.parametrize(
    ("reply", "what"),
    [
        ("It pays $900/h.", "no tool gave “$900”"),
        ("It pays 900 USD an hour.", "no tool gave “900 USD”"),
        ("Rank 1 is “Principal Rust Wizard”.", "no tool gave “Principal Rust Wizard”"),
        ("There is one at NASA.", "no tool gave “NASA”"),
    ],
)
def test_what_nobody_gave(reply: str, what: str) -> None:
    """Another pay, title or organisation is told to the model."""
    assert ungrounded(reply, FOUND) == what


@pytest.mark.parametrize(
    "reply", ["I found 3 gigs for you.", "Here are two gigs: a wizard, a witch.", "Rank 1: Rust."]
)
def test_finds_without_a_search(reply: str) -> None:
    """Where no tool was called there are none."""
    assert ungrounded(reply, FOUND[:1]) == "it tells of finds, and no tool has looked for any"
    assert ungrounded("I found no question in that.", FOUND[:1]) is None


def test_a_refused_answer_backs_nothing() -> None:
    """The model can't quote itself; what it was let say earlier it can."""
    invented = Message(role=Role.ASSISTANT, text="There is one at NASA.")
    refused = (*FOUND, invented, Message(role=Role.USER, text=f"{REFUSED} no. Answer in words."))
    assert ungrounded("There is one at NASA.", refused) == "no tool gave “NASA”"
    assert ungrounded("There is one at NASA.", (invented, *FOUND)) is None
