"""The values of free text, and what a scout refuses: the field is named."""

import pytest

from agents.domain.ask import TEXT_MAX, AskRequest, AskResult, ToolUse
from agents.domain.errors import InvalidValue
from agents.domain.match import Funnel
from agents.domain.run import EXCLUDED_MAX, SOURCES_MAX, ScoutRequest, ScoutResult, Usage

# Bug, reported: ScoutRequest(excluded=("\x00",)) and ("x" * 1_000_000,) are accepted.


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"text": ""}, "text"),
        ({"text": " \n\t"}, "text"),
        ({"text": "x" * (TEXT_MAX + 1)}, "text"),
        ({"text": "a\x00b"}, "text"),
        ({"text": "\ud800"}, "text"),
        ({"sources": ("feeds",) * (SOURCES_MAX + 1)}, "source"),
    ],
)
def test_what_a_text_can_t_be(fields: dict[str, object], field: str) -> None:
    """Empty, too long, or such that no database holds it."""
    with pytest.raises(InvalidValue) as refused:
        AskRequest(**{"text": "rust gigs"} | fields)  # type: ignore[arg-type]
    assert refused.value.field == field


def test_the_longest_text_and_the_most_sources() -> None:
    """Are as good as any; nothing is remembered unless somebody asks for it."""
    asked = AskRequest(text="ж" * TEXT_MAX, sources=("feeds",) * SOURCES_MAX)
    assert (asked.config, asked.remember, asked.sample_fallback) == ("ask@1", False, False)
    assert asked.profile.empty


@pytest.mark.parametrize(
    "excluded",
    [("x",) * (EXCLUDED_MAX + 1), ("",), ("crypto", " \n")],
    ids=["many", "empty", "gap"],
)
def test_words_that_can_t_be_left_out(excluded: tuple[str, ...]) -> None:
    """Too many, or none."""
    with pytest.raises(InvalidValue, match=r"^excluded: "):
        ScoutRequest(excluded=excluded)


def test_the_most_words_that_can_be_left_out() -> None:
    """Are taken as they are."""
    words = tuple(f"word {n}" for n in range(EXCLUDED_MAX))
    assert ScoutRequest(excluded=words).excluded == words
    assert ScoutRequest().excluded == ()


def test_a_result_is_a_scouts_and_an_answer() -> None:
    """Who reads a scout's result can read it."""
    result = AskResult(
        run_id="r",
        status="completed",
        partial=False,
        receipt=None,
        matches=(),
        drafts=(),
        funnel=Funnel(),
        notices=(),
        usage=Usage(),
        reply="Noted.",
        actions=(ToolUse("save", ok=True),),
        drafted_for=(),
    )
    assert isinstance(result, ScoutResult)
    assert (result.reply, result.actions) == ("Noted.", (ToolUse("save", True),))
