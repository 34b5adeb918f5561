"""The domain's values: valid once made, refused with the field's name otherwise."""

import dataclasses
import math
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.domain.draft import DRAFT_MAX, Draft, DraftMethod
from agents.domain.errors import InvalidValue
from agents.domain.kind import Kind, parse_kinds
from agents.domain.match import Funnel, Match, MatchMethod, Provenance
from agents.domain.opportunity import DESCRIPTION_MAX, LISTED_MAX, TITLE_MAX
from agents.domain.pay import MinPay, Period
from agents.domain.profile import (
    ABOUT_MAX,
    LOCATION_LENGTH_MAX,
    LOCATIONS_MAX,
    SKILL_LENGTH_MAX,
    SKILLS_MAX,
    Profile,
)
from agents.domain.run import DRAFTS_MAX, LIMIT_MAX, QUERY_MAX, SOURCES_MAX, ScoutRequest
from tests.fakes.clock import NOON
from tests.fakes.opportunities import opportunity

COUNTS = st.integers(0, 10_000)
FILTERED = st.dictionaries(st.sampled_from(["kind", "dismissed", "place", "pay"]), COUNTS)


def match(**fields: object) -> Match:
    """A valid match with `fields` in place of its own."""
    valid = Match(
        rank=1,
        score=50.0,
        method=MatchMethod.HEURISTIC,
        reasons=("remote",),
        cautions=(),
        provenance=Provenance(source="file", fetched_at=NOON, from_cache=False, age_s=0.0),
        opportunity=opportunity(),
    )
    return dataclasses.replace(valid, **fields)  # type: ignore[arg-type]


# --- opportunity ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"id": "", "url": None}, "id"),
        ({"source": ""}, "id"),
        ({"title": "  \n"}, "title"),
        ({"title": "x" * (TITLE_MAX + 1)}, "title"),
        ({"description": "x" * (DESCRIPTION_MAX + 1)}, "description"),
        ({"locations": ("Berlin",) * (LISTED_MAX + 1)}, "locations"),
        ({"skills": ("python",) * (LISTED_MAX + 1)}, "skills"),
        ({"url": "javascript:alert(1)"}, "url"),
        ({"url": "ftp://example.com/x"}, "url"),
        ({"url": "mailto:jobs@example.com"}, "url"),
        ({"url": "data:text/html,hello"}, "url"),
        ({"url": "/relative"}, "url"),
        ({"url": "https://"}, "url"),
        ({"url": "http://[::1"}, "url"),
        ({"posted_at": datetime(2026, 6, 1)}, "posted_at"),  # noqa: DTZ001 - that is the point
        ({"deadline": datetime(2026, 6, 1, tzinfo=timezone(timedelta(hours=1)))}, "deadline"),
        ({"fetched_at": datetime(2026, 6, 1)}, "fetched_at"),  # noqa: DTZ001
    ],
)
def test_an_impossible_posting_is_refused(fields: dict[str, object], field: str) -> None:
    """Texts have bounds, links are web links, instants are in UTC; the error names the field."""
    with pytest.raises(InvalidValue) as refused:
        opportunity(**fields)
    assert refused.value.field == field


def test_a_posting_may_leave_everything_open_but_its_title() -> None:
    """What a source does not say is None or empty, and that is a valid posting."""
    bare = opportunity(
        source_id=None,
        organisation=None,
        url=None,
        locations=(),
        remote=None,
        skills=(),
        posted_at=None,
        deadline=None,
        description=None,
    )
    assert bare.title
    assert bare.live(NOON)


def test_longest_texts_are_accepted() -> None:
    """The bounds are inclusive."""
    longest = opportunity(
        title="x" * TITLE_MAX,
        description="x" * DESCRIPTION_MAX,
        locations=("Berlin",) * LISTED_MAX,
    )
    assert len(longest.title) == TITLE_MAX


def test_values_do_not_change() -> None:
    """A value is frozen once made."""
    with pytest.raises(dataclasses.FrozenInstanceError):
        opportunity().title = "Other"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("deadline", "active", "expired", "live"),
    [
        (None, None, False, True),
        (None, True, False, True),
        (None, False, False, False),
        (NOON, None, False, True),
        (NOON - timedelta(seconds=1), None, True, False),
        (NOON - timedelta(seconds=1), True, True, False),
        (NOON + timedelta(days=1), False, False, False),
    ],
)
def test_a_posting_lives_until_it_is_known_to_be_over(
    deadline: datetime | None, active: bool | None, expired: bool, live: bool
) -> None:
    """Expired means a deadline that has passed; live means neither expired nor known closed."""
    posting = opportunity(deadline=deadline, active=active)
    assert (posting.expired(NOON), posting.live(NOON)) == (expired, live)


# --- profile ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"skills": ("python",) * (SKILLS_MAX + 1)}, "skills"),
        ({"skills": ("python", " ")}, "skills"),
        ({"skills": ("x" * (SKILL_LENGTH_MAX + 1),)}, "skills"),
        ({"locations": ("Lagos",) * (LOCATIONS_MAX + 1)}, "locations"),
        ({"locations": ("",)}, "locations"),
        ({"locations": ("x" * (LOCATION_LENGTH_MAX + 1),)}, "locations"),
        ({"about": "x" * (ABOUT_MAX + 1)}, "about"),
    ],
)
def test_an_impossible_profile_is_refused(fields: dict[str, object], field: str) -> None:
    """Lists and texts of a profile have bounds, and no entry is empty."""
    with pytest.raises(InvalidValue) as refused:
        Profile(**fields)  # type: ignore[arg-type]
    assert refused.value.field.startswith(field)


def test_a_refusal_says_what_is_wrong_and_what_is_allowed() -> None:
    """The message of an InvalidValue is for people: field, problem, what is allowed."""
    with pytest.raises(InvalidValue) as refused:
        Profile(about="x" * (ABOUT_MAX + 1))
    assert str(refused.value) == "about: 4,001 characters; allowed: at most 4,000"
    assert (refused.value.problem, refused.value.allowed) == ("4,001 characters", "at most 4,000")


@pytest.mark.parametrize(
    ("profile", "empty"),
    [
        (Profile(), True),
        (Profile(skills=("python",)), False),
        (Profile(locations=("Lagos",)), False),
        (Profile(remote=True), False),
        (Profile(kinds=(Kind.JOB,)), False),
        (Profile(about="I teach."), False),
        (Profile(min_pay=MinPay(amount=1, currency="USD", period=Period.HOUR)), False),
    ],
)
def test_a_profile_is_empty_until_something_is_said(profile: Profile, empty: bool) -> None:
    """Any one field makes a profile."""
    assert profile.empty is empty


# --- kinds ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "kinds"),
    [
        ("", ()),
        (" , ,", ()),
        ("job", (Kind.JOB,)),
        ("Jobs", (Kind.JOB,)),
        ("grant, jobs", (Kind.JOB, Kind.GRANT)),
        ("bounties,gigs,bounty", (Kind.GIG, Kind.BOUNTY)),
        ("HACKATHONS, internships", (Kind.INTERNSHIP, Kind.HACKATHON)),
        (
            "job,internship,gig,bounty,grant,hackathon",
            tuple(Kind),
        ),
    ],
)
def test_kinds_from_a_comma_list(text: str, kinds: tuple[Kind, ...]) -> None:
    """Singular or plural, in any case and order; each kind once, in the order of Kind."""
    assert parse_kinds(text) == kinds


@pytest.mark.parametrize("text", ["jobz", "job grant", "job, internal", "jobss", "s"])
def test_an_unknown_kind_is_refused_with_those_that_exist(text: str) -> None:
    """The error shows the word and lists all six kinds."""
    with pytest.raises(InvalidValue, match="job, internship, gig, bounty, grant, hackathon"):
        parse_kinds(text)


# --- match and funnel -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"rank": 0}, "rank"),
        ({"score": -0.1}, "score"),
        ({"score": 100.1}, "score"),
        ({"score": math.nan}, "score"),
        ({"reasons": ()}, "reasons"),
    ],
)
def test_an_impossible_match_is_refused(fields: dict[str, object], field: str) -> None:
    """Ranks begin at 1, scores are 0 to 100, and a score has a reason."""
    with pytest.raises(InvalidValue) as refused:
        match(**fields)
    assert refused.value.field == field


def test_an_unranked_match_needs_no_reason() -> None:
    """A partial result that was not ranked has neither score nor reasons."""
    assert match(score=None, reasons=()).score is None


@given(
    unreadable=COUNTS,
    duplicates=COUNTS,
    expired=COUNTS,
    inactive=COUNTS,
    filtered=FILTERED,
    ranked=COUNTS,
    data=st.data(),
)
def test_a_funnel_adds_up_for_any_mix(
    *,
    unreadable: int,
    duplicates: int,
    expired: int,
    inactive: int,
    filtered: dict[str, int],
    ranked: int,
    data: st.DataObject,
) -> None:
    """A funnel whose parts add up can be made, and with any other total it can't."""
    total = duplicates + expired + inactive + sum(filtered.values()) + ranked
    shown = data.draw(st.integers(0, ranked))
    counts = {
        "unreadable": unreadable,
        "duplicates": duplicates,
        "expired": expired,
        "inactive": inactive,
        "ranked": ranked,
        "shown": shown,
    }
    assert Funnel(found=total, filtered=filtered, **counts).found == total
    wrong = data.draw(st.integers(0, 100_000).filter(lambda n: n != total))
    with pytest.raises(InvalidValue, match="funnel"):
        Funnel(found=wrong, filtered=filtered, **counts)


def test_no_more_are_shown_than_ranked() -> None:
    """A funnel that shows more than it ranked is refused."""
    with pytest.raises(InvalidValue, match="3 of 2 shown"):
        Funnel(found=2, ranked=2, shown=3)


@pytest.mark.parametrize(
    "counts",
    [
        {"found": 0, "duplicates": 1, "ranked": -1, "shown": -1},
        {"unreadable": -1},
        {"found": 0, "filtered": {"kind": -1}, "expired": 1},
        {"shown": -1},
    ],
)
def test_a_funnel_counts_nothing_below_zero(counts: dict[str, object]) -> None:
    """Counts are counts: one below zero is refused even when the sum is right."""
    with pytest.raises(InvalidValue, match="funnel"):
        Funnel(**counts)  # type: ignore[arg-type]


# --- draft and request ------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["", " \n\t", "x" * (DRAFT_MAX + 1)])
def test_an_impossible_draft_is_refused(text: str) -> None:
    """A draft has a text, and the text has a bound."""
    with pytest.raises(InvalidValue, match="draft"):
        Draft(opportunity_id="posting-1", method=DraftMethod.TEMPLATE, text=text)


def test_the_longest_draft_is_accepted() -> None:
    """The bound of a draft is inclusive."""
    draft = Draft(opportunity_id="posting-1", method=DraftMethod.LLM, text="x" * DRAFT_MAX)
    assert len(draft.text) == DRAFT_MAX


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"query": "x" * (QUERY_MAX + 1)}, "query"),
        ({"limit": 0}, "limit"),
        ({"limit": LIMIT_MAX + 1}, "limit"),
        ({"drafts": -1}, "drafts"),
        ({"drafts": DRAFTS_MAX + 1}, "drafts"),
        ({"sources": ("sample",) * (SOURCES_MAX + 1)}, "source"),
    ],
)
def test_an_impossible_request_is_refused(fields: dict[str, object], field: str) -> None:
    """A scout asks for a bounded number of everything."""
    with pytest.raises(InvalidValue) as refused:
        ScoutRequest(**fields)  # type: ignore[arg-type]
    assert refused.value.field == field


def test_a_request_has_the_contract_s_defaults() -> None:
    """Ten matches, one draft, scout@1, no sample postings."""
    request = ScoutRequest()
    assert (request.limit, request.drafts, request.config) == (10, 1, "scout@1")
    assert request.profile.empty
    assert not request.sample_fallback


def test_a_request_may_ask_for_the_most() -> None:
    """The bounds of a request are inclusive."""
    request = ScoutRequest(query="x" * QUERY_MAX, limit=LIMIT_MAX, drafts=DRAFTS_MAX)
    assert request.limit == LIMIT_MAX


def test_noon_is_in_utc() -> None:
    """The instant that fakes start from is one the domain accepts."""
    assert NOON.tzinfo is UTC


@pytest.mark.parametrize("text", ["a\x00b", "é\x00", "\ud800", "é\udfff"])
def test_a_text_that_no_database_can_hold_is_refused(text: str) -> None:
    """A NUL or half a character is named as what is wrong, whoever sends it."""
    with pytest.raises(InvalidValue, match="a NUL or half a character"):
        Profile(about=text)


def test_any_other_text_is_kept() -> None:
    """Characters of every plane are fine."""
    assert Profile(about="naïve 日本 🎉").about == "naïve 日本 🎉"
