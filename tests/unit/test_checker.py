"""The checker of drafts: inventions don't reach the user, honest drafts stay as they are."""

import time
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.action.checker import check
from agents.action.claims.cleaning import LENGTH_MAX
from agents.action.template import write_draft
from agents.domain.profile import Profile
from tests.fakes.drafts import HELD_OUT, HONEST, Case, held_out, honest_cases, left_of
from tests.fakes.drafts.inventor import invent
from tests.fakes.opportunities import opportunity

POSTING = opportunity(skills=("python", "kafka"), description="We need Kafka and 5 years.")
PROFILE = Profile(skills=("python",), about="Worked at Acme for 3 years, BSc in Physics.")
FIRST = honest_cases()[0]

FRAGMENTS = st.sampled_from(
    ["I have used Kafka", " at Google", ", which I know", ". ", "\n\n", "- ", "You ask for ", "5+",
     " years", "**", "```", "[fill in: x]", "[fill in: 9 years at Google]", "[", "]", "٥ سنوات",
     "<b>", "https://x.io", "\u200b", "\u202e", "１０", "Dr. ", "and ", "İ", "ß", "B.Sc. "]
)  # fmt: skip
DRAFTS = st.lists(st.one_of(FRAGMENTS, st.text(max_size=20)), max_size=40).map("".join)


def checked(text: str) -> str:
    """What is left of a sentence between two honest ones."""
    whole = check(f"I work with Python. {text} I worked at Acme.", PROFILE, POSTING)
    assert whole.rejected is None
    return whole.text.removeprefix("I work with Python. ").removesuffix(" I worked at Acme.")


@pytest.mark.unmeasured
def test_inventions_do_not_reach_the_user() -> None:
    """Of 240 drafts with over 800 inventions, none is left."""
    cases = honest_cases()
    for seed in range(240):
        case = cases[seed % len(cases)]
        draft = invent(seed, case.profile, case.opportunity)
        left = check(draft.text, case.profile, case.opportunity).text
        assert left_of(left, draft.inventions, case.opportunity) == (), (seed, left)


@pytest.mark.parametrize("name", HELD_OUT)
def test_inventions_in_other_words_do_not_reach_the_user(name: str) -> None:
    """Sentences written by hand, in words that the generator doesn't have, are caught too."""
    for draft in held_out(name):
        left = check(draft.text, FIRST.profile, FIRST.opportunity).text
        assert left_of(left, draft.inventions, FIRST.opportunity) == (), left


@pytest.mark.unmeasured
def test_honest_drafts_stay_as_they_are() -> None:
    """At most one in twenty honest drafts is changed in any way."""
    cases = [case for file in HONEST for case in honest_cases(file)]
    changed = [
        draft
        for case in cases
        for draft in case.drafts
        if check(draft, case.profile, case.opportunity).text != draft
    ]
    assert len(changed) <= 0.05 * sum(len(case.drafts) for case in cases), changed


@pytest.mark.parametrize(
    ("text", "left"),
    [
        (
            "I use Python and Kafka.",
            "I use Python and [fill in: your experience with Kafka, if you have any].",
        ),
        ("I have 7 years of practice.", "[fill in: how many years, if you want to say it]"),
        ("I have three years of practice.", "I have three years of practice."),
        ("I have over two years of practice.", "I have over two years of practice."),
        ("I have over four years of practice.", "[fill in: how many years, if you want to say it]"),
        ("I could start on 1 March.", "[fill in: a figure that you can stand behind]"),
        ("I worked at Google.", "[fill in: where you worked]"),
        ("I hold a PhD.", "[fill in: your degree]"),
        ("I can build it in Haskell.", "[fill in: a skill of yours that matters here]"),
        (
            "I worked at Google, and your posting asks for Python.",
            "[fill in: where you worked], and your posting asks for Python.",
        ),
        ("See [this](https://evil.example/x).", "[fill in: how to reach you]"),
        ("[fill in: your 9 years at Google]", "[fill in: what belongs here]"),
        ("I like **bold** and <b>plain</b> words.", "I like bold and plain words."),
    ],
)
def test_what_replaces_a_claim(text: str, left: str) -> None:
    """The smallest phrase that carries the claim becomes a gap, which repeats nothing invented."""
    assert checked(text) == left


def test_what_was_found_is_told() -> None:
    """The claims that nothing backs are returned, and whether the text was repaired."""
    result = check("I work with Python. I worked at Google. I like it.", PROFILE, POSTING)
    assert result.repaired
    assert {claim.text for claim in result.unsupported} == {"Google"}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "empty"),
        ("I worked at Google. I hold a PhD. I like Python.", "claim what nobody said"),
        ("```\n```", "empty"),
        ("عملت في جوجل لمدة عشر سنوات وأحب هذا العمل كثيرا", "script"),
    ],
)
def test_rejected(text: str, reason: str) -> None:
    """A draft that is mostly invented, empty, or in a script the rules can't read is refused."""
    result = check(text, PROFILE, POSTING)
    assert result.text == ""
    assert reason in (result.rejected or "")


def test_a_draft_in_another_language_keeps_nothing_that_nobody_said() -> None:
    """In German each capital is suspicious; what is left names no employer and no number."""
    draft = "Guten Tag. Ich habe acht Jahre lang bei Siemens gearbeitet und 12 Leute geleitet. "
    left = check(draft * 2, PROFILE, POSTING).text
    assert "Siemens" not in left
    assert "12" not in left


@pytest.mark.parametrize("case", honest_cases())
def test_the_template_passes(case: Case) -> None:
    """What the template writes stays as it is, apart from the person's own words."""
    profile = replace(case.profile, about="")
    posting = case.opportunity
    assert check(write_draft(posting, profile).text, profile, posting).rejected is None


@given(DRAFTS)
@settings(max_examples=300, deadline=None)
def test_checked_is_checked(draft: str) -> None:
    """Whatever is written, nothing is raised, a checked text stays, and its length is bounded."""
    once = check(draft, PROFILE, POSTING)
    assert len(once.text) <= LENGTH_MAX
    assert check(once.text, PROFILE, POSTING).text == once.text


@pytest.mark.parametrize(
    "text",
    ["a" * 20_000, "A" * 20_000, "1," * 10_000, "[fill in:" * 2_000, "I " * 10_000, "a.b@" * 5_000,
     "I have " * 3_000, "<" * 20_000, "*" * 20_000, "- " * 10_000, "(((((" * 4_000,
     "and I " * 3_000,
     "https://" * 2_500,
     "<a" * 6_000 + ">" * 6_000, "twenty " * 2_500, "Kafka, " * 2_500, "﷽" * 20_000]
)  # fmt: skip
def test_hostile_drafts_cost_little(text: str) -> None:
    """No draft of 20,000 characters takes a second."""
    begin = time.perf_counter()
    check(text, PROFILE, POSTING)
    assert time.perf_counter() - begin < 1.0
