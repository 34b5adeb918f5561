"""Real texts of pay, places and dates, and real items of nine scrapers and feeds."""

import json
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from agents.discovery.record import Origin, read_record
from agents.domain.opportunity import Opportunity
from bench.layouts import deadline_share, layout, location_share, pay_share
from tests.unit.test_layouts import PAY

ORIGIN = Origin(source="file", fetched_at=datetime(2026, 9, 1, tzinfo=UTC))

# How many items of a file have each field; counted by eye in the raw items. What is None there:
# `salary: null`, `"Not specified"` and `""`, a `posted_time` without the time that it was read,
# a `due_days` counted from it. A `pay` may state no amount ("competitive compensation").
FOUND = {
    #                         items organisation pay amounts places posted deadline skills
    "devpost-hackathons":           (5, 5, 5, 5, 5, 0, 5, 5),
    "indeed-scraper":               (1, 1, 0, 0, 1, 1, 0, 1),
    "linkedin-job-search-actor-c":  (1, 0, 0, 0, 1, 1, 0, 0),
    "linkedin-jobs-scraper-actor-a": (2, 2, 2, 2, 2, 2, 0, 2),
    "linkedin-jobs-scraper-actor-b": (1, 1, 1, 1, 1, 1, 0, 0),
    "opire-bounties":               (5, 5, 5, 5, 0, 5, 0, 5),
    "remoteok-scrape":              (5, 5, 1, 1, 4, 5, 0, 5),
    "remotive-api":                 (5, 5, 3, 2, 5, 5, 0, 5),
    "replit-bounties":              (5, 0, 5, 5, 0, 0, 0, 4),
}  # fmt: skip
KINDS = {
    "devpost-hackathons": {"hackathon": 5},
    "indeed-scraper": {"job": 1},
    "linkedin-job-search-actor-c": {"job": 1},
    "linkedin-jobs-scraper-actor-a": {"gig": 2},
    "linkedin-jobs-scraper-actor-b": {"job": 1},
    "opire-bounties": {"bounty": 5},
    "remoteok-scrape": {"job": 4, "internship": 1},
    "remotive-api": {"job": 5},
    "replit-bounties": {"bounty": 5},
}


@pytest.fixture(scope="module")
def records(real_data: Path) -> list[dict[str, Any]]:
    """The raw real postings."""
    lines = (real_data / "opportunities_public.jsonl").read_text("utf-8").splitlines()
    return [json.loads(line) for line in lines]


def items(folder: Path, name: str) -> list[Opportunity]:
    """The items of one sample file, read."""
    raw = json.loads((folder / "apify_samples" / f"{name}.json").read_text("utf-8"))
    return [read_record(item, ORIGIN) for item in raw]


def test_pay_texts_are_read(records: list[dict[str, Any]]) -> None:
    """At least 97 % of the pay texts are read, also when those without a number are left out."""
    share = pay_share(records)
    assert share.total == 1628
    assert share.of_all >= 0.97
    assert share.of_stated >= 0.97


def test_what_is_not_read_as_pay_states_no_known_money(records: list[dict[str, Any]]) -> None:
    """No text with a sign of a currency before a number is left unread."""
    unread = pay_share(records).unread
    assert not [text for text in unread if any(f"{sign}9" in text for sign in "$€£₹")]


def test_every_layout_of_pay_stands_in_the_unit_test(records: list[dict[str, Any]]) -> None:
    """Each layout of the real pay texts has a text of our own with its exact value."""
    real = {layout(str(record["pay_text"])) for record in records if record.get("pay_text")}
    assert real <= {layout(text) for _, text, _ in PAY}


def test_locations_are_read(records: list[dict[str, Any]]) -> None:
    """At least 99 % of the location texts that name a place have a known country or area."""
    assert location_share(records).of_stated >= 0.99


def test_deadlines_are_read(records: list[dict[str, Any]]) -> None:
    """What is left as a text is counted from an unknown day, or a sentence without a day."""
    share = deadline_share(records)
    counted = sum(n for text, n in share.unread.items() if text.startswith("due in "))
    assert share.read + counted >= 0.94 * (share.total - share.unknown)


def test_no_sample_file_is_forgotten(real_data: Path) -> None:
    """The tables name every file of the folder."""
    assert {path.stem for path in (real_data / "apify_samples").iterdir()} == set(FOUND)


@pytest.mark.parametrize("name", FOUND)
def test_fields_found_in_the_items_of_a_scraper(real_data: Path, name: str) -> None:
    """Every item has its title and link, and the other fields where the raw item has them."""
    found = items(real_data, name)
    assert all(item.title and item.url for item in found)
    assert FOUND[name] == (
        len(found),
        sum(item.organisation is not None for item in found),
        sum(item.pay is not None for item in found),
        sum(item.pay is not None and item.pay.max is not None for item in found),
        sum(bool(item.locations) for item in found),
        sum(item.posted_at is not None for item in found),
        sum(item.deadline is not None for item in found),
        sum(bool(item.skills) for item in found),
    )


@pytest.mark.parametrize("name", KINDS)
def test_kinds_of_the_items_of_a_scraper(real_data: Path, name: str) -> None:
    """The kind that the feed, the item or its title tells."""
    assert Counter(str(item.kind) for item in items(real_data, name)) == KINDS[name]


@pytest.mark.parametrize(
    ("name", "index", "pay"),
    [
        ("devpost-hackathons", 0, (0, 0, "USD", "once")),
        ("devpost-hackathons", 1, (50_000, 50_000, "USD", "once")),
        ("linkedin-jobs-scraper-actor-a", 0, (17, 19, "USD", None)),
        ("linkedin-jobs-scraper-actor-b", 0, (89_200, 209_500, "USD", None)),
        ("opire-bounties", 4, (48.22, 48.22, "USD", "once")),
        ("remoteok-scrape", 4, (100_000, 150_000, "USD", None)),
        ("remotive-api", 1, (3_043, 4_565, "EUR", "month")),
        ("remotive-api", 2, (None, None, None, None)),
        ("replit-bounties", 4, (135, 135, "USD", "once")),
    ],
)
def test_pay_of_an_item(
    real_data: Path, name: str, index: int, pay: tuple[float | None, float | None, str, str]
) -> None:
    """Amounts, currency and period as the raw item states them."""
    read = items(real_data, name)[index].pay
    assert read is not None
    assert (read.min, read.max, read.currency, read.period) == pay


@pytest.mark.parametrize(
    ("name", "days"),
    [
        ("devpost-hackathons", ["05-21", "06-30", "06-05", "07-01", "05-19"]),
        ("replit-bounties", [None] * 5),
    ],
)
def test_deadlines_of_items(real_data: Path, name: str, days: list[str | None]) -> None:
    """A period's last day; what is counted from an unknown day keeps its text."""
    found = items(real_data, name)
    assert [item.deadline and item.deadline.strftime("%m-%d") for item in found] == days
    assert all((item.deadline is None) == (item.deadline_text is not None) for item in found)


def test_a_relative_date_counts_from_when_the_item_was_scraped(real_data: Path) -> None:
    """`Today` is the day that the item itself says it was scraped."""
    (item,) = items(real_data, "indeed-scraper")
    assert item.posted_at == datetime(2022, 5, 18, 15, 47, 32, 948_000, tzinfo=UTC)
