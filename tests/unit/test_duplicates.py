"""Copies of a posting become one card; postings that differ stay apart."""

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.discovery.duplicates import TELLING_TEXT_MIN, TITLES_MAX, collapse
from agents.domain.kind import Kind
from agents.domain.opportunity import LISTED_MAX, Listing, Opportunity
from tests.fakes.clock import NOON
from tests.fakes.opportunities import opportunity

LINK = "https://example.com/jobs/shared"
ANY: frozenset[Kind] = frozenset()
LONG_TEXT = "Sort the letters of a river port by hand and by boat. " * 3
WORKDAY = "https://tarn.wd5.myworkdayjobs.com/Ext/job/Oslo"

Fields = dict[str, Any]


def copy(name: str, **fields: object) -> Opportunity:
    """One of several postings with the same link."""
    return opportunity(**{"id": name, "url": LINK, **fields})


def other(name: str, **fields: object) -> Opportunity:
    """A posting that has nothing in common with another of these."""
    return opportunity(**{"id": name, "title": f"Clerk {name}", **fields})


def cards(*postings: Opportunity, wanted: frozenset[Kind] = ANY) -> list[Opportunity]:
    """The cards of these postings."""
    return collapse(postings, now=NOON, wanted=wanted)


def at(number: int) -> str:
    """The link of a requisition."""
    return f"https://tarn.example/jobs/{number}"


# --- one posting or two -----------------------------------------------------------------------

# Each row: why, then the fields in which the two differ; the rest is the same title, organisation
# and place, found at links of their own.
SAME: list[tuple[str, Fields, Fields]] = [
    ("put up again under a new requisition", {"url": at(901)}, {"url": at(902)}),
    ("put up again on another board", {"url": at(901)}, {"url": "https://fell.example/v?id=3"}),
    ("put up again years later", {"posted_at": NOON - timedelta(days=900)}, {}),
    ("one of the two has no link", {"url": None}, {}),
    ("Inc", {"organisation": "Tarn Freight"}, {"organisation": "Tarn Freight, Inc."}),
    ("LLC", {"organisation": "Tarn Freight"}, {"organisation": "Tarn Freight LLC"}),
    ("Ltd", {"organisation": "Tarn Freight Limited"}, {"organisation": "TARN FREIGHT LTD"}),
    ("GmbH", {"organisation": "Tarn"}, {"organisation": "Tarn GmbH & Co. KG"}),
    ("S.A.", {"organisation": "Tarn"}, {"organisation": "Tarn S.A."}),
    ("Corp", {"organisation": "Tarn Corporation"}, {"organisation": "Tarn Corp."}),
    ("The", {"organisation": "The Tarn Company"}, {"organisation": "Tarn"}),
    ("ampersand", {"organisation": "Tarn & Fell"}, {"organisation": "Tarn and Fell"}),
    ("apostrophe", {"organisation": "Tarn’s"}, {"organisation": "Tarn's"}),
    ("accents", {"organisation": "Société Tärn"}, {"organisation": "Societe Tarn"}),
    ("spaces in a name", {"organisation": "TarnFreight"}, {"organisation": "Tarn Freight"}),
    ("case", {"title": "backend engineer"}, {"title": "BACKEND ENGINEER"}),
    ("dashes", {"title": "Engineer – Backend"}, {"title": "Engineer - Backend"}),
    ("comma", {"title": "Engineer, Backend"}, {"title": "Engineer (Backend)"}),
    ("spaces", {"title": "Backend  Engineer "}, {"title": "Backend Engineer"}),
    ("emoji", {"title": "🚀 Backend Engineer 🇪🇺"}, {"title": "Backend Engineer"}),
    ("accents in a title", {"title": "Développeur"}, {"title": "Developpeur"}),
    ("full width", {"title": "Ｂａｃｋｅｎｄ Engineer"}, {"title": "Backend Engineer"}),
    ("another script", {"title": "軟體 工程師"}, {"title": "軟體、工程師"}),
    ("requisition", {"title": "Backend Engineer (R-20461)"}, {"title": "Backend Engineer"}),
    ("job id", {"title": "Backend Engineer [Job ID: 4711]"}, {"title": "Backend Engineer"}),
    ("number", {"title": "Backend Engineer #20461"}, {"title": "Backend Engineer - REQ-30992"}),
    ("m/w/d", {"title": "Backend Engineer (m/w/d)"}, {"title": "Backend Engineer"}),
    ("H/F", {"title": "Technicien (H/F)"}, {"title": "Technicien"}),
    ("all genders", {"title": "Backend Engineer (all genders)"}, {"title": "Backend Engineer"}),
    ("bare m/f/d", {"title": "Backend Engineer m/f/d"}, {"title": "Backend Engineer [f/m/x]"}),
    ("Sr.", {"title": "Sr. Backend Engineer"}, {"title": "Senior Backend Engineer"}),
    ("Roman number", {"title": "Backend Engineer II"}, {"title": "Backend Engineer 2"}),
    ("co-op", {"title": "Backend Co-op"}, {"title": "Backend Coop"}),
    ("New York", {"locations": ("NYC",)}, {"locations": ("New York, NY",)}),
    ("New York again", {"locations": ("New York",)}, {"locations": ("New York City, NY, USA",)}),
    ("country named", {"locations": ("Berlin",)}, {"locations": ("Berlin, Germany",)}),
    ("region in words", {"locations": ("Austin, TX",)}, {"locations": ("Austin, Texas",)}),
    ("order of places", {"locations": ("Oslo", "Rome")}, {"locations": ("Rome", "Oslo")}),
    ("no place at all", {"locations": ()}, {"locations": ()}),
    ("not remote, unsaid", {"remote": False}, {"remote": None}),
    ("hybrid", {"locations": ("Berlin (hybrid)",)}, {"locations": ("Berlin",)}),
    (
        "an internship on a list of jobs",
        {"title": "Data Intern", "kind": Kind.JOB},
        {"title": "Data Intern", "kind": Kind.INTERNSHIP},
    ),
    (
        "the same link in two cities",
        {"url": at(7), "locations": ("Oslo",)},
        {"url": f"{at(7)}?utm_source=x", "locations": ("Rome",)},
    ),
    (
        "the same link under two titles",
        {"url": at(7), "title": "Engineer"},
        {"url": "http://www.tarn.example/jobs/7/apply?ref=y", "title": "Backend Engineer"},
    ),
    (
        "the same link in words under two titles",
        {"url": "https://tarn.example/jobs/engineer", "title": "Engineer"},
        {"url": "https://tarn.example/en/jobs/engineer/", "title": "Backend Engineer"},
    ),
    (
        "the same link, one without an organisation",
        {"url": LINK, "organisation": None},
        {"url": LINK},
    ),
    (
        "the same number at a network, by its name and without",
        {"url": "https://www.linkedin.com/jobs/view/engineer-3900100200", "title": "Engineer"},
        {"url": "https://no.linkedin.com/jobs/view/3900100200/?trk=x", "title": "Engineer, Oslo"},
    ),
    (
        "the same search result",
        {"url": "https://www.indeed.com/viewjob?jk=0a1b2c3d4e5f6071", "title": "Engineer"},
        {"url": "https://indeed.com/m/viewjob?jk=0a1b2c3d4e5f6071&from=x", "title": "Engineer 1"},
    ),
    (
        "the same requisition under two locales",
        {"url": f"{WORKDAY}/Clerk_R-0012", "title": "Clerk"},
        {"url": f"{WORKDAY.replace('/Ext', '/en-US/Ext')}/Clerk_R-0012", "title": "Clerk, Oslo"},
    ),
    (
        "a page that is a grant's own",
        {"kind": Kind.GRANT, "url": "https://tarn.example/open-call", "title": "Open Call"},
        {"kind": Kind.GRANT, "url": "http://tarn.example/open-call/", "title": "Tarn Open Call 2"},
    ),
    (
        "a hackathon's home page",
        {"kind": Kind.HACKATHON, "url": "https://hack.example", "title": "Hack", "locations": ()},
        {"kind": Kind.HACKATHON, "url": "http://hack.example/", "title": "Hack 2026"},
    ),
    (
        "the same whole text without an organisation",
        {"organisation": None, "description": LONG_TEXT},
        {"organisation": None, "description": LONG_TEXT.upper()},
    ),
    (
        "the same poster without an organisation",
        {"organisation": None, "url": "https://bay.example/bounties/@oar/fix-it"},
        {"organisation": None, "url": "https://bay.example/bounties/@oar/fix-it-2"},
    ),
]
DIFFERENT: list[tuple[str, Fields, Fields]] = [
    (
        "one of two links names a term",
        {"title": "Intern", "url": f"{at(1)}/intern-summer-2026"},
        {"title": "Intern", "url": at(2)},
    ),
    (
        "two editions of a hackathon",
        {"title": "Hack Larkfield", "kind": Kind.HACKATHON, "url": "https://hack.example/"},
        {"title": "Hack Larkfield", "kind": Kind.HACKATHON, "url": "https://2025.hack.example/"},
    ),
    ("two cities", {"locations": ("Oslo",)}, {"locations": ("Rome",)}),
    ("two regions", {"locations": ("Portland, OR",)}, {"locations": ("Portland, ME",)}),
    ("a city and its country", {"locations": ("Berlin",)}, {"locations": ("Germany",)}),
    ("one more city", {"locations": ("Oslo",)}, {"locations": ("Oslo", "Rome")}),
    ("overlap", {"locations": ("Oslo", "Bonn")}, {"locations": ("Oslo", "Rome")}),
    ("one names no place", {"locations": ()}, {"locations": ("Oslo",)}),
    ("how many is unsaid", {"locations": ("2 locations",)}, {"locations": ("Oslo",)}),
    ("remote and not", {"remote": True}, {"remote": False}),
    ("remote and a city", {"locations": ("Remote",), "remote": True}, {"locations": ("Oslo",)}),
    (
        "remote in two countries",
        {"locations": ("Remote, US",), "remote": True},
        {"locations": ("Remote, Canada",), "remote": True},
    ),
    ("Senior", {"title": "Senior Backend Engineer"}, {"title": "Backend Engineer"}),
    ("Staff", {"title": "Staff Engineer"}, {"title": "Senior Engineer"}),
    ("Junior", {"title": "Jr. Engineer"}, {"title": "Sr. Engineer"}),
    ("II and I", {"title": "Backend Engineer II"}, {"title": "Backend Engineer I"}),
    ("level unsaid", {"title": "Backend Engineer II"}, {"title": "Backend Engineer"}),
    ("level in brackets", {"title": "Engineer (L4)"}, {"title": "Engineer (L5)"}),
    ("number signs of levels", {"title": "Engineer Ⅰ"}, {"title": "Engineer Ⅱ"}),
    ("Intern", {"title": "Backend Engineer Intern"}, {"title": "Backend Engineer"}),
    ("Lead", {"title": "Lead Backend Engineer"}, {"title": "Backend Engineer"}),
    ("season", {"title": "Intern, Summer 2026"}, {"title": "Intern, Fall 2026"}),
    ("year", {"title": "Intern, Summer 2026"}, {"title": "Intern, Summer 2027"}),
    ("year in brackets", {"title": "Intern (2026)"}, {"title": "Intern (2027)"}),
    ("team", {"title": "Engineer, Payments"}, {"title": "Engineer, Search"}),
    ("team unsaid", {"title": "Engineer, Payments"}, {"title": "Engineer"}),
    ("language", {"title": "C++ Engineer"}, {"title": "C# Engineer"}),
    ("C", {"title": "C Engineer"}, {"title": "C++ Engineer"}),
    ("another script", {"title": "實習生：軟體"}, {"title": "實習生：供應鏈"}),
    ("hardware", {"title": "Engineer (H/W)"}, {"title": "Engineer (F/W)"}),
    ("part-time", {"title": "Clerk (part-time)"}, {"title": "Clerk (full-time)"}),
    ("degree", {"title": "Intern - PhD"}, {"title": "Intern - Masters"}),
    ("organisation", {"organisation": "Tarn Freight"}, {"organisation": "Fell Freight"}),
    ("part of a group", {"organisation": "Tarn"}, {"organisation": "Tarn Technologies"}),
    ("a bank and its labs", {"organisation": "Tarn Bank"}, {"organisation": "Tarn Labs"}),
    ("no organisation", {"organisation": None}, {"organisation": None}),
    ("one without", {"organisation": None}, {"organisation": "Tarn Freight"}),
    ("unnamed", {"organisation": "Confidential"}, {"organisation": "confidential"}),
    ("of the same name", {"organisation": "🚢"}, {"organisation": "🚢"}),
    ("emoji only", {"title": "🚀"}, {"title": "🌊"}),
    ("job and internship", {"kind": Kind.JOB}, {"kind": Kind.INTERNSHIP}),
    ("job and gig", {"kind": Kind.JOB}, {"kind": Kind.GIG}),
    ("grant and bounty", {"kind": Kind.GRANT}, {"kind": Kind.BOUNTY}),
    (
        "short text without an organisation",
        {"organisation": None, "description": "Details on request."},
        {"organisation": None, "description": "Details on request."},
    ),
    (
        "another text without an organisation",
        {"organisation": None, "description": LONG_TEXT},
        {"organisation": None, "description": f"{LONG_TEXT} In French."},
    ),
    (
        "two posters without an organisation",
        {"organisation": None, "url": "https://bay.example/bounties/@oar/fix-it"},
        {"organisation": None, "url": "https://bay.example/bounties/@keel/fix-it"},
    ),
    (
        "two numbers on one page",
        {"url": "https://tarn.example/job?gh_jid=41", "title": "Clerk"},
        {"url": "https://tarn.example/job?gh_jid=42", "title": "Cook"},
    ),
    (
        "two numbers at a network",
        {"url": "https://www.linkedin.com/jobs/view/3900100200", "title": "Clerk"},
        {"url": "https://www.linkedin.com/jobs/view/3900100201", "title": "Cook"},
    ),
    (
        "two search results",
        {"url": "https://www.indeed.com/viewjob?jk=0a1b2c3d4e5f6071", "title": "Clerk"},
        {"url": "https://www.indeed.com/viewjob?jk=0a1b2c3d4e5f6072", "title": "Cook"},
    ),
    (
        "two routes of one page",
        {"url": "https://tarn.example/#/job/123", "title": "Clerk"},
        {"url": "https://tarn.example/#/job/124", "title": "Cook"},
    ),
    (
        "a category of several organisations",
        {"url": "https://bay.example/jobs/engineer", "organisation": "Tarn"},
        {"url": "https://bay.example/jobs/engineer", "organisation": "Fell"},
    ),
    (
        "a department",
        {"url": "https://tarn.example/careers/engineering", "title": "Engineer"},
        {"url": "https://tarn.example/careers/engineering", "title": "Tester"},
    ),
    (
        "a list of jobs",
        {"url": "https://tarn.example/careers", "title": "Clerk"},
        {"url": "https://tarn.example/careers/", "title": "Cook"},
    ),
    (
        "a list of jobs, two cities",
        {"url": "https://tarn.example/careers", "locations": ("Oslo",)},
        {"url": "https://tarn.example/careers", "locations": ("Rome",)},
    ),
    (
        "a home page as the link of jobs",
        {"url": "https://tarn.example", "title": "Clerk"},
        {"url": "https://tarn.example", "title": "Cook"},
    ),
    (
        "a page without a number",
        {"url": "https://tarn.example/we-hire", "title": "Clerk"},
        {"url": "https://tarn.example/we-hire", "title": "Cook"},
    ),
    (
        "a page of several organisations",
        {"url": "https://bay.example/hiring-in-march", "organisation": "Tarn"},
        {"url": "https://bay.example/hiring-in-march", "organisation": "Fell"},
    ),
    (
        "a list of grants",
        {"kind": Kind.GRANT, "url": "https://tarn.example/grants", "title": "Boats"},
        {"kind": Kind.GRANT, "url": "https://tarn.example/grants", "title": "Nets"},
    ),
    (
        "links name two terms",
        {"title": "Intern", "url": f"{at(1)}/intern-summer-2026"},
        {"title": "Intern", "url": f"{at(2)}/2027-summer-intern"},
    ),
]


def pair(one: Fields, two: Fields) -> list[Opportunity]:
    """The cards of two postings, the same but for these fields."""
    return cards(opportunity(id="one", **one), opportunity(id="two", **two))


@pytest.mark.parametrize(("why", "one", "two"), SAME, ids=[row[0] for row in SAME])
def test_copies_are_one_card(why: str, one: Fields, two: Fields) -> None:
    """What doesn't make another posting doesn't make another card, in either order."""
    assert len(pair(one, two)) == 1, why
    assert len(pair(two, one)) == 1, why


@pytest.mark.parametrize(("why", "one", "two"), DIFFERENT, ids=[row[0] for row in DIFFERENT])
def test_postings_that_differ_are_two_cards(why: str, one: Fields, two: Fields) -> None:
    """What a person would choose between is never hidden, in either order."""
    assert len(pair(one, two)) == 2, why
    assert len(pair(two, one)) == 2, why


# --- groups -----------------------------------------------------------------------------------


def test_postings_that_share_nothing_stay_apart() -> None:
    """Nothing is collapsed where neither the link nor the words are shared; the order stays."""
    postings = [other(name) for name in "abc"]
    assert cards(*postings) == postings


def test_nothing_collapses_to_nothing() -> None:
    """No postings, no cards."""
    assert cards() == []


def test_a_shared_link_makes_one_card_that_names_the_others() -> None:
    """The first copy is shown; where else the posting was found stands in `also_at`."""
    late = copy("b", source="sample", title="Backend Engineer (m/f/d)")
    shown = cards(copy("a"), other("x"), late)
    assert [card.id for card in shown] == ["a", "x"]
    assert shown[0].also_at == (
        Listing(source="sample", source_id="b", url=LINK, title="Backend Engineer (m/f/d)"),
    )
    assert shown[1].also_at == ()


def test_another_requisition_is_named_with_its_link() -> None:
    """A card of several requisitions leads to each of them."""
    shown = cards(*(opportunity(id=name, url=at(n)) for n, name in enumerate("abc", 1)))
    assert [card.url for card in shown] == [at(1)]
    assert [listing.url for listing in shown[0].also_at] == [at(2), at(3)]


def test_without_a_link_the_same_id_is_the_same_posting() -> None:
    """Postings that name neither link nor organisation are one card only when one record."""
    postings = [opportunity(id=name, url=None, organisation=None) for name in "aab"]
    assert [(card.id, len(card.also_at)) for card in cards(*postings)] == [("a", 1), ("b", 0)]


def test_a_link_under_two_titles_gathers_the_copies_of_both() -> None:
    """The source itself says that the titles are one posting, so a copy of either belongs to it."""
    shown = cards(
        opportunity(id="a", title="Clerk", url=at(1)),
        opportunity(id="b", title="Cook", url=at(3)),
        opportunity(id="c", title="Harbour Clerk", url=at(1)),
        opportunity(id="d", title="Harbour Clerk", url=at(2)),
    )
    assert [(card.id, len(card.also_at)) for card in shown] == [("a", 2), ("b", 0)]


def test_a_silent_copy_does_not_glue_what_differs() -> None:
    """Of a link without a term, or a page without an organisation, nobody knows whose it is."""
    terms = [
        opportunity(id="a", title="Intern", url=f"{at(1)}/summer-2026"),
        opportunity(id="b", title="Intern", url=at(2)),
        opportunity(id="c", title="Intern", url=f"{at(3)}/summer-2027"),
    ]
    page = [copy(who or "?", organisation=who) for who in ("Tarn", None, "Fell")]
    assert len(cards(*terms)) == 3
    assert len(cards(*page)) == 3


def test_overlapping_places_make_no_chain() -> None:
    """Oslo, Oslo and Rome, Rome: three cards, or the first and the last would be one."""
    places = (("Oslo",), ("Oslo", "Rome"), ("Rome",))
    postings = [opportunity(id=str(n), locations=named) for n, named in enumerate(places)]
    assert len(cards(*postings)) == 3


@pytest.mark.parametrize(
    ("titles", "expected"), [(TITLES_MAX, 1), (TITLES_MAX + 1, TITLES_MAX + 1)]
)
def test_a_link_with_many_titles_is_a_list(titles: int, expected: int) -> None:
    """A thread or a form in which many jobs stand has a number too, and is no job."""
    shown = cards(*(other(str(n), url=at(7)) for n in range(titles)))
    assert len(shown) == expected


@pytest.mark.parametrize(("length", "expected"), [(TELLING_TEXT_MIN - 1, 2), (TELLING_TEXT_MIN, 1)])
def test_how_long_a_telling_text_is(length: int, expected: int) -> None:
    """Without an organisation a description counts only when it can't be a phrase of many."""
    text = "x" * length
    copies = (opportunity(id=n, organisation=None, description=text) for n in "ab")
    assert len(cards(*copies)) == expected


@pytest.mark.parametrize(
    ("copies", "wanted", "shown"),
    [
        pytest.param(
            [copy("closed", active=False), copy("open")], ANY, "open", id="live before closed"
        ),
        pytest.param(
            [copy("over", deadline=NOON - timedelta(days=1)), copy("open")],
            ANY,
            "open",
            id="live before expired",
        ),
        pytest.param(
            [copy("job"), copy("gig", kind=Kind.GIG)],
            frozenset({Kind.GIG}),
            "gig",
            id="the wanted kind before another",
        ),
        pytest.param(
            [copy("gig", kind=Kind.GIG, active=False), copy("job")],
            frozenset({Kind.GIG}),
            "job",
            id="live before the wanted kind",
        ),
        pytest.param(
            [copy("job"), copy("gig", kind=Kind.GIG)], ANY, "job", id="the first when all kinds do"
        ),
        pytest.param([copy("one"), copy("two")], ANY, "one", id="the first of equals"),
        pytest.param(
            [opportunity(id="old", active=False), opportunity(id="new")],
            ANY,
            "new",
            id="live before closed, of the same words",
        ),
    ],
)
def test_a_card_shows_the_copy_that_serves_the_reader(
    copies: list[Opportunity], wanted: frozenset[Kind], shown: str
) -> None:
    """A live copy before a dead one, a wanted kind before another, else the first."""
    found = cards(*copies, wanted=wanted)
    assert [card.id for card in found] == [shown]
    assert len(found[0].also_at) == 1


def test_the_list_of_copies_is_bounded() -> None:
    """A card names no more copies than a posting may list."""
    shown = cards(*(copy(str(n)) for n in range(2 * LISTED_MAX)))
    assert len(shown) == 1
    assert len(shown[0].also_at) == LISTED_MAX


@given(st.lists(st.tuples(st.integers(0, 4), st.booleans(), st.sampled_from(list(Kind)))))
def test_every_posting_is_on_exactly_one_card(found: list[tuple[int, bool, Kind]]) -> None:
    """Cards and the copies they name are all that was found, and no link has two cards."""
    postings = [
        opportunity(id=str(n), url=f"{LINK}/{link}", active=active, kind=kind)
        for n, (link, active, kind) in enumerate(found)
    ]
    shown = cards(*postings, wanted=frozenset({Kind.GRANT}))
    named = [listing.source_id for card in shown for listing in card.also_at]
    all_ids = [*(card.source_id for card in shown), *named]
    assert sorted(map(str, all_ids)) == sorted(str(posting.source_id) for posting in postings)
    assert len({card.url for card in shown}) == len(shown)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["Clerk", "Cook"]),
            st.sampled_from([None, "Tarn", "Fell"]),
            st.sampled_from([None, LINK, at(1), at(2), f"{LINK}/careers", "https://tarn.example"]),
            st.sampled_from([(), ("Oslo",), ("Rome",)]),
        ),
        max_size=12,
    ),
    st.randoms(use_true_random=False),
)
def test_the_order_of_finding_changes_no_group(
    found: list[tuple[str, str | None, str | None, tuple[str, ...]]], random: Any
) -> None:
    """Whichever source answers first, the same postings stand on one card."""
    postings = [
        opportunity(id=str(n), title=title, organisation=who, url=url, locations=places)
        for n, (title, who, url, places) in enumerate(found)
    ]
    mixed = random.sample(postings, len(postings))
    assert _grouped(cards(*postings)) == _grouped(cards(*mixed))


def _grouped(shown: list[Opportunity]) -> set[frozenset[str | None]]:
    return {
        frozenset((card.source_id, *(listing.source_id for listing in card.also_at)))
        for card in shown
    }
