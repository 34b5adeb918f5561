"""Postings that share a link become one card."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.discovery.duplicates import collapse
from agents.domain.kind import Kind
from agents.domain.opportunity import LISTED_MAX, Listing, Opportunity
from tests.fakes.clock import NOON
from tests.fakes.opportunities import opportunity

LINK = "https://example.com/jobs/shared"
ANY: frozenset[Kind] = frozenset()


def copy(name: str, **fields: object) -> Opportunity:
    """One of several postings with the same link."""
    return opportunity(**{"id": name, "url": LINK, **fields})


def test_postings_with_different_links_stay_apart() -> None:
    """Nothing is collapsed where no link is shared, and the order stays."""
    postings = [opportunity(id=name) for name in "abc"]
    assert collapse(postings, now=NOON, wanted=ANY) == postings


def test_nothing_collapses_to_nothing() -> None:
    """No postings, no cards."""
    assert collapse([], now=NOON, wanted=ANY) == []


def test_a_shared_link_makes_one_card_that_names_the_others() -> None:
    """The first copy is shown; where else the posting was found stands in `also_at`."""
    other = copy("b", source="sample", title="Backend Engineer (m/f/d)")
    cards = collapse([copy("a"), opportunity(id="x"), other], now=NOON, wanted=ANY)
    assert [card.id for card in cards] == ["a", "x"]
    assert cards[0].also_at == (
        Listing(source="sample", source_id="b", url=LINK, title="Backend Engineer (m/f/d)"),
    )
    assert cards[1].also_at == ()


def test_without_a_link_the_same_id_is_the_same_posting() -> None:
    """Postings without links are one card only when they are one record."""
    postings = [opportunity(id=name, url=None) for name in "aab"]
    cards = collapse(postings, now=NOON, wanted=ANY)
    assert [(card.id, len(card.also_at)) for card in cards] == [("a", 1), ("b", 0)]


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
    ],
)
def test_a_card_shows_the_copy_that_serves_the_reader(
    copies: list[Opportunity], wanted: frozenset[Kind], shown: str
) -> None:
    """A live copy before a dead one, a wanted kind before another, else the first."""
    cards = collapse(copies, now=NOON, wanted=wanted)
    assert [card.id for card in cards] == [shown]
    assert len(cards[0].also_at) == 1


def test_the_list_of_copies_is_bounded() -> None:
    """A card names no more copies than a posting may list."""
    cards = collapse([copy(str(n)) for n in range(2 * LISTED_MAX)], now=NOON, wanted=ANY)
    assert len(cards) == 1
    assert len(cards[0].also_at) == LISTED_MAX


@given(st.lists(st.tuples(st.integers(0, 4), st.booleans(), st.sampled_from(list(Kind)))))
def test_every_posting_is_on_exactly_one_card(found: list[tuple[int, bool, Kind]]) -> None:
    """Cards and the copies they name are all that was found, and no link has two cards."""
    postings = [
        opportunity(id=str(n), url=f"{LINK}/{link}", active=active, kind=kind)
        for n, (link, active, kind) in enumerate(found)
    ]
    cards = collapse(postings, now=NOON, wanted=frozenset({Kind.GRANT}))
    shown = [card.source_id for card in cards]
    named = [listing.source_id for card in cards for listing in card.also_at]
    assert sorted((*shown, *named), key=str) == sorted((p.source_id for p in postings), key=str)
    assert len({card.url for card in cards}) == len(cards)
