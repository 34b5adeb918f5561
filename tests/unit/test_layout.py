"""A source's own names for the fields of a record."""

import pytest

from agents.discovery.layout import Layout
from agents.discovery.record import Origin, read_record
from agents.domain.errors import InvalidValue
from tests.fakes.clock import NOON

ORIGIN = Origin(source="a-feed", fetched_at=NOON)


def test_a_source_names_its_fields() -> None:
    """A dotted name reaches into objects; the first that holds something counts."""
    layout = Layout(fields={"title": ("text",), "locations": ("where.all", "where.one")})
    raw = {"text": "Engineer", "where": {"all": [], "one": "Berlin"}}
    found = read_record(layout.apply(raw), ORIGIN)
    assert (found.title, found.locations) == ("Engineer", ("Berlin",))


def test_its_own_names_come_first_and_the_known_ones_after() -> None:
    """Where the source's name holds nothing, the names known for all are looked at."""
    layout = Layout(fields={"posted_at": ("shown",)})
    own = read_record(
        layout.apply({"title": "T", "shown": "2026-05-01", "date": "2026-04-01"}), ORIGIN
    )
    known = read_record(layout.apply({"title": "T", "shown": "", "date": "2026-04-01"}), ORIGIN)
    assert own.posted_at is not None
    assert known.posted_at is not None
    assert (own.posted_at.month, known.posted_at.month) == (5, 4)


def test_constants_and_defaults() -> None:
    """A constant is true of all records, a default of those that don't say."""
    layout = Layout(
        fields={"organisation": ("company_name",)},
        constants={"kind": "grant", "remote": True},
        defaults={"organisation": "acme"},
    )
    silent = read_record(layout.apply({"title": "T", "kind": "job"}), ORIGIN)
    named = read_record(layout.apply({"title": "T", "company_name": "Larkfield"}), ORIGIN)
    assert (silent.kind, silent.remote, silent.organisation) == ("grant", True, "acme")
    assert named.organisation == "Larkfield"


def test_a_link_is_made_of_the_id() -> None:
    """A record without an id keeps its own link."""
    layout = Layout(link="https://grants.example/{id}")
    assert read_record(layout.apply({"title": "T", "id": 7}), ORIGIN).url == (
        "https://grants.example/7"
    )
    own = {"title": "T", "url": "https://own.example"}
    assert read_record(layout.apply(own), ORIGIN).url == "https://own.example"


def test_the_record_itself_stays_as_it_was() -> None:
    """A layout makes a new record; what is no record passes through."""
    layout = Layout(constants={"kind": "job"}, fields={"title": ("a.b",)})
    raw = {"a": "not an object"}
    layout.apply(raw)
    assert raw == {"a": "not an object"}
    assert [layout.apply(value) for value in (None, 7, "x", [1])] == [None, 7, "x", [1]]


@pytest.mark.parametrize("layout", ["fields", "constants", "defaults"])
def test_an_unknown_field_is_refused(layout: str) -> None:
    """With what is allowed."""
    with pytest.raises(InvalidValue, match=r"unknown field 'titel'; allowed: id, kind"):
        Layout(**{layout: {"titel": "x"}})  # type: ignore[arg-type]
