"""Free words into tool calls by rules: what people write, in several styles, and any text."""

import sys
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.domain.ask import TEXT_MAX
from agents.llm.port import ToolCall
from agents.triage.router import QUESTION, route
from agents.triage.tools import CALLS, AskBackCall, Call, ScoutCall, read_call

NAMES = {call: name for name, call in CALLS.items()}
# Bugs, reported, and left out of the tables: "draft an application for number 4" is a scout for
# these words; "why did you put the second one so high" is asked back; "not crypto. python jobs"
# leaves out "crypto. python"; "jobs without experience" leaves out who says "experience".


def scout(**said: object) -> list[tuple[str, dict[str, object]]]:
    """One scout."""
    return [("scout", said)]


def pay(amount: float, currency: str, period: str) -> dict[str, object]:
    """The least that is wanted."""
    return {"amount": amount, "currency": currency, "period": period}


def calls(text: str) -> list[tuple[str, dict[str, object]]]:
    """What the text comes to, without what is not said."""
    return [(NAMES[type(c)], c.model_dump(mode="json", exclude_defaults=True)) for c in route(text)]


SCOUTS: dict[str, dict[str, object]] = {
    "remote rust gigs over $50/h, not crypto": {
        "query": "rust",
        "kinds": ["gig"],
        "remote": True,
        "min_pay": pay(50, "USD", "hour"),
        "exclude": ["crypto"],
    },
    "rust": {"query": "rust"},
    "fullstack": {"query": "fullstack"},
    "PYTHON JOBS": {"query": "PYTHON", "kinds": ["job"]},
    "python jobs, please!": {"query": "python", "kinds": ["job"]},
    "any c++ jobs?": {"query": "c++", "kinds": ["job"]},
    "anything remote": {"remote": True},
    "remote": {"remote": True},
    "wfh support": {"query": "wfh support", "remote": True},
    "hackathons": {"kinds": ["hackathon"]},
    "hackathons in Berlin": {"kinds": ["hackathon"], "locations": ["Berlin"]},
    "show me grants for artists": {"query": "artists", "kinds": ["grant"]},
    "I need funding for my startup": {"query": "startup", "kinds": ["grant"]},
    "unpaid internships": {"query": "unpaid", "kinds": ["internship"]},
    "bounties over $500": {"kinds": ["bounty"], "min_pay": pay(500, "USD", "once")},
    "grants for climate research from 10000 EUR": {
        "query": "climate research",
        "kinds": ["grant"],
        "min_pay": pay(10_000, "EUR", "once"),
    },
    "data science fellowships at least 3,000 USD per month": {
        "query": "data science",
        "kinds": ["grant"],
        "min_pay": pay(3_000, "USD", "month"),
    },
    "senior backend engineer, full-time, remote": {
        "query": "senior backend engineer",
        "kinds": ["job"],
        "remote": True,
    },
    "python jobs in New York or San Francisco": {
        "query": "python",
        "kinds": ["job"],
        "locations": ["New York", "San Francisco"],
    },
    "looking for work as a nurse in Toronto, Canada": {
        "query": "nurse",
        "locations": ["Toronto, Canada"],
    },
    "Stellen in München": {"query": "Stellen", "locations": ["München"]},
    "software jobs in europe": {"query": "software", "kinds": ["job"], "locations": ["europe"]},
    "on-site java jobs in London": {
        "query": "java",
        "kinds": ["job"],
        "remote": False,
        "locations": ["London"],
    },
    "onsite welder jobs": {"query": "welder", "kinds": ["job"], "remote": False},
    "java jobs, not remote": {"query": "java", "kinds": ["job"], "remote": False},
    "non-remote java jobs": {"query": "java", "kinds": ["job"], "remote": False},
    "frontend work in Germany paying at least 60k eur": {
        "query": "frontend",
        "locations": ["Germany"],
        "min_pay": pay(60_000, "EUR", "year"),
    },
    "jobs min 20€/h": {"kinds": ["job"], "min_pay": pay(20, "EUR", "hour")},
    "jobs above 2,500 GBP": {"kinds": ["job"], "min_pay": pay(2_500, "GBP", "month")},
    "jobs over 80000 dollars": {"kinds": ["job"], "min_pay": pay(80_000, "USD", "year")},
    "gigs paying 300 euros a day": {"kinds": ["gig"], "min_pay": pay(300, "EUR", "day")},
    "gigs paying 300 each week": {"kinds": ["gig"], "min_pay": pay(300, "USD", "week")},
    "jobs >= $120k": {"kinds": ["job"], "min_pay": pay(120_000, "USD", "year")},
    "jobs over 99.50 usd/hr": {"kinds": ["job"], "min_pay": pay(99.5, "USD", "hour")},
    "I want a job that pays 5000 usd a month": {
        "kinds": ["job"],
        "min_pay": pay(5_000, "USD", "month"),
    },
    "jobs in Lagos over ₦500,000 per month": {
        "kinds": ["job"],
        "locations": ["Lagos"],
        "min_pay": pay(500_000, "NGN", "month"),
    },
    "freelance design projects >= 40 usd/hour": {
        "query": "design",
        "kinds": ["gig"],
        "min_pay": pay(40, "USD", "hour"),
    },
    "jobs above 100k": {"kinds": ["job"]},
    "jobs over $0": {"kinds": ["job"]},
    "jobs over 5000 kes per month": {"kinds": ["job"], "min_pay": pay(5_000, "KES", "month")},
    "not looking for crypto, python jobs please": {
        "query": "python",
        "kinds": ["job"],
        "exclude": ["crypto"],
    },
    "I don't want crypto, just python jobs": {
        "query": "python",
        "kinds": ["job"],
        "exclude": ["crypto"],
    },
    "jobs with no experience required": {"kinds": ["job"]},
    "No I want python jobs": {"query": "python", "kinds": ["job"]},
    "I'm looking for python jobs": {"query": "python", "kinds": ["job"]},
    "I am looking for rust": {"query": "rust"},
    "jobs over 5000000000000 usd": {"kinds": ["job"]},
    "jobs, not internships": {"kinds": ["job"]},
    "python work, no gigs": {
        "query": "python",
        "kinds": ["job", "internship", "bounty", "grant", "hackathon"],
    },
    "machine learning jobs except for crypto and gambling": {
        "query": "machine learning",
        "kinds": ["job"],
        "exclude": ["crypto", "gambling"],
    },
    "python without blockchain/web3": {"query": "python", "exclude": ["blockchain", "web3"]},
    "no crypto, no gambling, no adtech: go jobs": {
        "query": "go",
        "kinds": ["job"],
        "exclude": ["crypto", "gambling", "adtech"],
    },
    "data jobs but not defense companies": {
        "query": "data",
        "kinds": ["job"],
        "exclude": ["defense"],
    },
    "go jobs excluding crypto stuff": {"query": "go", "kinds": ["job"], "exclude": ["crypto"]},
    "find me 3 python jobs": {"query": "3 python", "kinds": ["job"]},
    "hi, looking for react and typescript contracts": {
        "query": "react typescript",
        "kinds": ["gig"],
    },
    "“data analyst” roles": {"query": "data analyst", "kinds": ["job"]},
    "python python python jobs": {"query": "python", "kinds": ["job"]},
    "jobs one two three four five six seven eight nine ten": {
        "query": "one two three four five six seven eight",
        "kinds": ["job"],
    },
}

OTHERS: dict[str, list[tuple[str, dict[str, object]]]] = {
    "draft 2": [("draft", {"ranks": [2]})],
    "Draft #2 please": [("draft", {"ranks": [2]})],
    "draft 1, 2 and 3": [("draft", {"ranks": [1, 2, 3]})],
    "draft 1 & 4": [("draft", {"ranks": [1, 4]})],
    "draft the first and third": [("draft", {"ranks": [1, 3]})],
    "please write an application for number 4": [("draft", {"ranks": [4]})],
    "draft 1-3": [("draft", {"ranks": [1, 2, 3]})],
    "I don't know what to do": scout(query="don't know"),
    "remove kafka from my skills": [("change_profile", {"remove_skills": ["kafka"]})],
    "please take sql and go off my profile": [("change_profile", {"remove_skills": ["sql", "go"]})],
    "I no longer use PHP. I know Rust": [
        ("change_profile", {"add_skills": ["Rust"], "remove_skills": ["PHP"]})
    ],
    "draft all": [("draft", {"ranks": [1, 2, 3, 4, 5]})],
    "draft the first two": [("draft", {"ranks": [1, 2]})],
    "draft the best one": [("draft", {"ranks": [1]})],
    "draft me 1 and 3": [("draft", {"ranks": [1, 3]})],
    "please apply for #2": [("draft", {"ranks": [2]})],
    "write drafts for all matches": [("draft", {"ranks": [1, 2, 3, 4, 5]})],
    "draft for the top 3": [("draft", {"ranks": [1, 2, 3]})],
    "draft 2 for me, please": [("draft", {"ranks": [2]})],
    "draft jobs": scout(query="draft", kinds=["job"]),
    "draft 2 weeks": scout(query="draft 2 weeks"),
    "keep 3 jobs in mind": scout(query="keep 3 mind", kinds=["job"]),
    "find remote rust gigs and draft the first two": [
        ("scout", {"query": "rust", "kinds": ["gig"], "remote": True}),
        ("draft", {"ranks": [1, 2]}),
    ],
    "write a cover letter for #2": [("draft", {"ranks": [2]})],
    "apply to the second": [("draft", {"ranks": [2]})],
    "draft 2, 2 and 2": [("draft", {"ranks": [2]})],
    "draft 1, 2, 3, 4, 5, 6 and 7": [("draft", {"ranks": [1, 2, 3, 4, 5]})],
    "draft 0": [("draft", {"ranks": [1]})],
    "save 1 and 4": [("save", {"ranks": [1, 4]})],
    "SAVE THE SECOND": [("save", {"ranks": [2]})],
    "keep the second": [("save", {"ranks": [2]})],
    "bookmark match 3": [("save", {"ranks": [3]})],
    "save match 2 for later": [("save", {"ranks": [2]})],
    "draft 2 and save 3": [("draft", {"ranks": [2]}), ("save", {"ranks": [3]})],
    "why 1, save 2, draft 3": [
        ("draft", {"ranks": [3]}),
        ("save", {"ranks": [2]}),
        ("explain", {"rank": 1}),
    ],
    "save the best and explain 2, of rust jobs": [
        ("scout", {"query": "rust", "kinds": ["job"]}),
        ("save", {"ranks": [1]}),
        ("explain", {"rank": 2}),
    ],
    "why 3": [("explain", {"rank": 3})],
    "why is 3 there?": [("explain", {"rank": 3})],
    "explain #2": [("explain", {"rank": 2})],
    "explain number 3": [("explain", {"rank": 3})],
    "explain the best match": [("explain", {"rank": 1})],
    "why is the first one so low": [("explain", {"rank": 1})],
    "why did you pick the second one?": [("explain", {"rank": 2})],
    "why 2 years of experience": scout(query="why 2 years experience"),
    "I know python, sql and docker": [
        ("change_profile", {"add_skills": ["python", "sql", "docker"]})
    ],
    "my skills are Go, Rust.": [("change_profile", {"add_skills": ["Go", "Rust"]})],
    "remember that I use terraform": [("change_profile", {"add_skills": ["terraform"]})],
    "add skills: kubernetes, helm": [("change_profile", {"add_skills": ["kubernetes", "helm"]})],
    "I live in Lagos": [("change_profile", {"locations": ["Lagos"]})],
    "I'm based in Berlin, Germany": [("change_profile", {"locations": ["Berlin, Germany"]})],
    "I am from Nairobi and I know python": [
        ("change_profile", {"add_skills": ["python"], "locations": ["Nairobi"]})
    ],
    "I know sql. Save 1.": [
        ("change_profile", {"add_skills": ["sql"]}),
        ("save", {"ranks": [1]}),
    ],
    "I know Rust and Zig, draft 2, save 1 and 3": [
        ("change_profile", {"add_skills": ["Rust", "Zig"]}),
        ("draft", {"ranks": [2]}),
        ("save", {"ranks": [1, 3]}),
    ],
    "why 2? I live in Lagos. Draft 2": [
        ("change_profile", {"locations": ["Lagos"]}),
        ("draft", {"ranks": [2]}),
        ("explain", {"rank": 2}),
    ],
}

ASKS_BACK = (
    "hello",
    "hi!",
    "help",
    "thanks!",
    "ok cool",
    "what can you do?",
    "how are you",
    "who are you?",
    "find me something",
    "are you there",
    "?",
    "…",
    "🦀",
    "",
    "I had a very long day today and nothing at all went as planned",
)


@pytest.mark.parametrize("text", SCOUTS)
def test_what_is_looked_for(text: str) -> None:
    """One scout, with what was said and nothing else."""
    assert calls(text) == scout(**SCOUTS[text])


@pytest.mark.parametrize("text", OTHERS)
def test_what_is_to_be_done(text: str) -> None:
    """With the list, and with what they tell of themselves."""
    assert calls(text) == OTHERS[text]


@pytest.mark.parametrize("text", ASKS_BACK)
def test_what_can_t_be_told(text: str) -> None:
    """Is asked back, with examples."""
    assert route(text) == (AskBackCall(question=QUESTION),)


@pytest.mark.parametrize(("text", "command"), [("stop", "/cancel"), ("Forget me!", "/forget")])
def test_what_is_a_command(text: str, command: str) -> None:
    """Is not done by words: the command is named."""
    ((name, said),) = calls(text)
    assert name == "ask_back"
    assert str(said["question"]).startswith(command)


@pytest.mark.parametrize(
    "text",
    [
        "i know " + ",".join(f"s{n}" for n in range(501)),
        "jobs " + " ".join(f"not w{n}," for n in range(50)),
        "jobs " + ", ".join(f"in Berlin, in Lagos or Paris {n}" for n in range(50)),
        "draft fırst, ſave ſecond, jobs over 5 euroſ",
        "over 5" + " " * 1_990,
        "over" + "\n" * 1_990,
        "over $" + "9" * 1_990,
    ],
)
def test_more_than_a_tool_takes(text: str) -> None:
    """Is cut or asked back; blanks without end are one."""
    assert all(valid(route(text)))


# --- any text ---------------------------------------------------------------------------------

WORDS = [
    "remote",
    "rust",
    "gigs",
    "jobs",
    "in",
    "near",
    "Berlin",
    "New",
    "York",
    "not",
    "no",
    "without",
    "crypto",
    "and",
    "or",
    "but",
    ",",
    ".",
    "/",
    "over",
    "at",
    "least",
    "$",
    "€",
    "50",
    "1,000",
    "k",
    "usd",
    "eur",
    "dollars",
    "per",
    "a",
    "h",
    "month",
    "year",
    "draft",
    "save",
    "why",
    "explain",
    "the",
    "first",
    "2",
    "#3",
    "i",
    "know",
    "live",
    "looking",
    "for",
    "grants",
    "bounties",
    "on-site",
    "?",
    "!",
    "-",
    "+",
    "#",
    "café",
    "東京",
    "ß",
    "🦀",
    "\n",
    "'",
    "a.b",
]
LETTERS = st.characters(exclude_categories=["Cs"], exclude_characters="\x00")
"""What a request may hold."""
ORDER = ["scout", "change_profile", "ask_back", "draft", "save", "explain"]


def valid(made: tuple[Call, ...]) -> Iterator[bool]:
    """Whether each call is what a model may say too."""
    for call in made:
        said = ToolCall(id="1", name=NAMES[type(call)], arguments=call.model_dump_json())
        yield read_call(said) == call


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(WORDS), max_size=25).map(" ".join))
def test_words_in_any_order(text: str) -> None:
    """Give calls that are valid, at least one and at most one of each tool; a scout comes first,
    since what is to be done with the list means its list."""
    made = route(text)
    assert all(valid(made))
    assert made
    names = [NAMES[type(call)] for call in made]
    assert names == sorted(set(names), key=ORDER.index)


@settings(max_examples=200, deadline=None)
@given(st.text(LETTERS, max_size=120))
def test_any_text(text: str) -> None:
    """Gives calls that are valid."""
    assert all(valid(route(text)))


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(list(SCOUTS)), st.sampled_from(list(SCOUTS)))
def test_what_is_looked_for_is_no_errand(one: str, other: str) -> None:
    """Two wishes in one text are a scout."""
    assert [type(call) for call in route(f"{one}. {other}")] == [ScoutCall]


class Steps:
    """Counts the calls of Python's functions: a measure of work that no load on the machine
    changes."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, *_: object) -> None:
        """One more."""
        self.count += 1


@pytest.mark.parametrize(
    "piece",
    [
        *("a ", "in ", "in a, ", "in new york, ", "in Berlin or ", "near san ", "i am in "),
        *("no no ", "not a or ", "nota,", "a-", "job ", "why ", "draft ", "draft 1, ", "save the "),
        *("over ", "over $", "at least 1 ", "1,", "$1", "i know ", " and ", "/", ",", " ", "\n"),
        *("not", "€", "🦀", "'", "x", "in x. ", "over 5 ", "not a. "),
    ],
)
def test_long_texts_take_work_in_proportion(piece: str) -> None:
    """Twice the text takes at most about twice the steps, at the longest that anybody may write."""
    counts = []
    for length in (TEXT_MAX // 2, TEXT_MAX):
        text = (piece * length)[:length]
        route(text)  # what is cached is
        steps = Steps()
        before = sys.getprofile()
        sys.setprofile(steps)
        try:
            route(text)
        finally:
            sys.setprofile(before)
        counts.append(steps.count)
    assert counts[1] <= 3 * counts[0] + 200
