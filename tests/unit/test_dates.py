"""Dates as postings write them: instants, periods of which the end counts, sentences."""

import warnings
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from agents.discovery.dates import Deadline, read_deadline, read_instant
from tests.fakes.clock import NOON

WORDS = ["May", "15", "-", "2026", "closed", "due in", "days", "ago", "3d", ",", "10:00", "2026-05"]
DATE_TEXTS = st.one_of(
    st.text(max_size=40),
    st.lists(st.one_of(st.sampled_from(WORDS), st.text(max_size=4)), max_size=8).map(" ".join),
    st.datetimes(timezones=st.just(UTC)).map(lambda instant: instant.isoformat()),
)
DATE_VALUES = st.one_of(
    DATE_TEXTS, st.none(), st.booleans(), st.integers(), st.floats(), st.lists(st.integers())
)


def utc(*parts: int) -> datetime:
    """An instant in UTC from year, month, day, hour and so on."""
    return datetime(*parts, tzinfo=UTC)  # type: ignore[misc,arg-type]


def day_end(year: int, month: int, day: int) -> datetime:
    """The last second of a day, when a deadline of that day ends."""
    return utc(year, month, day, 23, 59, 59)


# --- instants ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "instant"),
    [
        ("2026-05-14T17:12:41.000Z", utc(2026, 5, 14, 17, 12, 41)),
        ("2026-05-14", utc(2026, 5, 14)),
        (" 2026-05-14 10:00 ", utc(2026, 5, 14, 10)),
        ("2026-05-14T10:00:00+02:00", utc(2026, 5, 14, 8)),
        ("2025-07-28T22:51:16", utc(2025, 7, 28, 22, 51, 16)),
        ("Thu, 31 Jul 2025 12:00:00 +0000", utc(2025, 7, 31, 12)),
        ("Thu, 31 Jul 2025 12:00:00 GMT", utc(2025, 7, 31, 12)),
        ("Jul 3, 2026", utc(2026, 7, 3)),
        ("3 July 2026", utc(2026, 7, 3)),
        ("13/07/2026", utc(2026, 7, 13)),
        ("07/13/2026", utc(2026, 7, 13)),
        (1747242761, utc(2025, 5, 14, 17, 12, 41)),
        (1747242761.0, utc(2025, 5, 14, 17, 12, 41)),
        (1747242761000, utc(2025, 5, 14, 17, 12, 41)),
        ("1747242761", utc(2025, 5, 14, 17, 12, 41)),
        ("1747242761000", utc(2025, 5, 14, 17, 12, 41)),
    ],
)
def test_an_instant_that_is_stated(value: object, instant: datetime) -> None:
    """ISO, RFC 2822, a written date with its year, epoch seconds or milliseconds: in UTC."""
    assert read_instant(value) == instant
    assert read_instant(value, NOON) == instant


@pytest.mark.parametrize(
    ("text", "ago"),
    [
        ("3d ago", timedelta(days=3)),
        ("3 days ago", timedelta(days=3)),
        ("30+ days ago", timedelta(days=30)),
        ("Posted 5 days ago", timedelta(days=5)),
        ("15 hours ago", timedelta(hours=15)),
        ("an hour ago", timedelta(hours=1)),
        ("5m ago", timedelta(minutes=5)),
        ("10 mins ago", timedelta(minutes=10)),
        ("about 2 weeks ago", timedelta(weeks=2)),
        ("a month ago", timedelta(days=30)),
        ("2mo ago", timedelta(days=60)),
        ("1y ago", timedelta(days=365)),
        ("Today", timedelta()),
        ("just posted", timedelta()),
        ("Yesterday", timedelta(days=1)),
    ],
)
def test_an_instant_counted_from_when_it_was_read(text: str, ago: timedelta) -> None:
    """Relative words count back from the base, and without a base they say nothing."""
    assert read_instant(text, NOON) == NOON - ago
    assert read_instant(text) is None


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        False,
        "",
        "  ",
        [],
        {},
        0,
        7,
        -1,
        float("nan"),
        float("inf"),
        1e30,
        "7",
        "July 3",
        "Friday",
        "soon",
        "Q3 2026",
        "2026",
        "2026-02-30",
        "2026-13-01",
        "in 3 days",
        "2026 " * 100,
    ],
)
def test_what_is_no_date_is_none(value: object) -> None:
    """A bare day or month, a count, an id or a text is no date."""
    assert read_instant(value, NOON) is None


@pytest.mark.parametrize("text", ["03/07/2026", "10:00 2026", "Fri 2026", "2026 at 5"])
def test_a_date_that_can_be_read_in_two_ways_is_none(text: str) -> None:
    """A date is never guessed: not the month of 03/07, nor a day that nobody named."""
    assert read_instant(text) is None


@pytest.mark.parametrize(
    "value",
    [
        "0001-01-01T00:00:00+14:00",
        "9999-12-31T23:59:59-12:00",
        "Jan 1 0001 00:00 +1400 2026",
        pytest.param("²", id="a digit that is no number"),
        pytest.param(10**400, id="a huge number"),
        pytest.param("9" * 300, id="a huge number as text"),
    ],
)
def test_a_date_beyond_the_calendar_is_none(value: object) -> None:
    """An instant that no calendar holds is no date, and reading it does not fail."""
    assert read_instant(value, NOON) is None


def test_days_before_the_calendar_are_none() -> None:
    """Counting back beyond the first year gives no date."""
    assert read_instant("200 years ago", utc(50, 1, 1)) is None


def test_an_unknown_time_zone_is_not_taken_for_utc() -> None:
    """A written zone is understood or the date is None; nothing warns."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert read_instant("May 5 2026 10:00 EST") in {None, utc(2026, 5, 5, 15)}


# --- deadlines --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "at"),
    [
        ("May 15 - 31, 2026", day_end(2026, 5, 31)),
        ("May 15 – 31, 2026", day_end(2026, 5, 31)),
        ("May 15 — 31 2026", day_end(2026, 5, 31)),
        ("May 15 to 31, 2026", day_end(2026, 5, 31)),
        ("Apr 28 - Jul 10, 2026", day_end(2026, 7, 10)),
        ("Mar 24, 2026 - Mar 24, 2030", day_end(2030, 3, 24)),
        ("Dec 20, 2025 - Jan 5, 2026", day_end(2026, 1, 5)),
        ("Dec 20 - Jan 5, 2026", day_end(2026, 1, 5)),
        ("2026-07-01", day_end(2026, 7, 1)),
        ("2026-07-01T10:00:00Z", utc(2026, 7, 1, 10)),
        ("2026-07-01 18:00", utc(2026, 7, 1, 18)),
        ("Jul 1, 2026", day_end(2026, 7, 1)),
        ("July 1st, 2026", day_end(2026, 7, 1)),
        ("Sept. 15, 2026", day_end(2026, 9, 15)),
        ("1 July 2026", day_end(2026, 7, 1)),
        ("31 March, 2026", day_end(2026, 3, 31)),
        (1782864000, utc(2026, 7, 1)),
        (1782864000000, utc(2026, 7, 1)),
    ],
)
def test_a_deadline_that_is_stated(value: object, at: datetime) -> None:
    """A day lasts until its last second, and of a period the end counts."""
    assert read_deadline(value, None) == Deadline(at=at)


@pytest.mark.parametrize(
    ("text", "after"),
    [
        ("due in 4 days", timedelta(days=4)),
        ("Due in a day", timedelta(days=1)),
        ("due in 12 hours", timedelta(hours=12)),
        ("due in an hour", timedelta(hours=1)),
        ("due in 2 weeks", timedelta(weeks=2)),
        ("due in 2 months", timedelta(days=60)),
    ],
)
def test_a_deadline_counted_from_the_posting_s_date(text: str, after: timedelta) -> None:
    """`due in 4 days` needs the posting's date; without it the text is all that is known."""
    assert read_deadline(text, NOON) == Deadline(at=NOON + after)
    assert read_deadline(text, None) == Deadline(text=text)


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("Annual; 2026 round closed May 20", day_end(2026, 5, 20)),
        ("Annual; 2026 round closed May 20 — next cycle expected spring 2027",
         day_end(2026, 5, 20)),
        ("Annual; 2026 deadline was May 21, 2026 — next cycle expected spring 2027",
         day_end(2026, 5, 21)),
        ("Next cycle expected early 2027 (2026 deadline was 31 Mar 2026)", day_end(2026, 3, 31)),
        ("Recurring annual cycle; last deadline Apr 12, 2026", day_end(2026, 4, 12)),
        ("Next (Fall 2026) cycle expected; Spring 2026 LOI (May 1) closed", day_end(2026, 5, 1)),
        ("Deadline passed 2025-03-01", day_end(2025, 3, 1)),
        ("Recurring cohort; last call closed March 2026, next expected early 2027",
         day_end(2026, 3, 31)),
        ("Annual cycle (prior round closed Feb 2024)", day_end(2024, 2, 29)),
        ("2026 calls closed Mar 10 (Blockchain) and May 17 (Climate)", day_end(2026, 5, 17)),
        ("Annual; 2026 round closed May 20; next round opens Jan 10, 2027", day_end(2026, 5, 20)),
    ],
)  # fmt: skip
def test_a_sentence_that_says_when_it_closed(text: str, at: datetime) -> None:
    """The day that it closed is the deadline; a year named before the day is the day's year."""
    assert read_deadline(text, NOON) == Deadline(at=at, text=text)


@pytest.mark.parametrize(
    "text",
    [
        "closed",
        "Applications closed",
        "Annual; 2026 round closed — next cycle expected early 2027",
        "Annual — currently closed; next application window expected fall 2026",
        "Deadline has passed",
        "Closed 0000-01-01",
        "Closed Feb 30, 2026",
        "last closed May 20",
    ],
)
def test_a_sentence_that_only_says_closed(text: str) -> None:
    """Closed without a day that can be read is closed, with the text kept."""
    assert read_deadline(text, NOON) == Deadline(text=text, closed=True)


@pytest.mark.parametrize(
    "text",
    [
        "Rolling",
        "Rolling — applications close the last day of each month",
        "Rolling monthly — closes the last day of each month",
        "Rolling; the first window is closed",
        "Jan 2026 cohort closed; next expected Summer 2026 (expression-of-interest form open)",
        "Recurring annual; applications open in fall, deadline ~January 4 (next: early 2027)",
        "Ongoing",
        "TBA",
        "June 30",
        "Feb 30, 2026",
        "Feb 25 - 30, 2026",
        "May 15 - 31, 0000",
        "due today",
    ],
)
def test_a_sentence_without_a_certain_day(text: str) -> None:
    """A text that gives no certain day is kept as it is: neither a date nor closed."""
    assert read_deadline(text, NOON) == Deadline(text=text)


@pytest.mark.parametrize(
    "text",
    [
        "Open now (2026 round); the 2025 round closed Mar 3, 2025",
        "Rolling — the last deadline was May 1, 2026",
    ],
)
def test_a_call_that_says_it_is_open_is_not_dropped_for_an_earlier_round(text: str) -> None:
    """What says that it is open now has not expired because an earlier round closed."""
    deadline = read_deadline(text, NOON)
    assert not deadline.closed
    assert deadline.at is None or deadline.at >= NOON


@pytest.mark.parametrize("value", [None, "", "  ", True, [], {}, 5])
def test_no_deadline(value: object) -> None:
    """No value, no deadline."""
    assert read_deadline(value, NOON) == Deadline()


def test_a_deadline_text_is_cut() -> None:
    """A text is kept up to 300 characters."""
    assert read_deadline("soon " * 200, None).text == ("soon " * 200)[:300]


def test_a_deadline_beyond_the_calendar_is_a_text() -> None:
    """Counting on beyond the last year gives no date, and reading it does not fail."""
    text = "due in 99999 days"
    assert read_deadline(text, utc(9999, 12, 1)) == Deadline(text=text)


@pytest.mark.unmeasured  # many values by chance
@given(DATE_VALUES, st.one_of(st.none(), st.just(NOON)))
@example("²", None)
@example("0001-01-01T00:00:00+14:00", None)
def test_any_value_can_be_read_as_a_date(value: object, base: datetime | None) -> None:
    """Reading never fails, and what it gives is an instant in UTC."""
    instant = read_instant(value, base)
    assert instant is None or instant.utcoffset() == timedelta(0)


@given(DATE_VALUES, st.one_of(st.none(), st.just(NOON)))
def test_any_value_can_be_read_as_a_deadline(value: object, posted_at: datetime | None) -> None:
    """Reading never fails; a deadline is in UTC, and closed only where no day is known."""
    deadline = read_deadline(value, posted_at)
    assert deadline.at is None or deadline.at.utcoffset() == timedelta(0)
    assert not (deadline.closed and deadline.at)


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("Friday, May 15, 2026", day_end(2026, 5, 15)),
        ("2026/05/15", day_end(2026, 5, 15)),
        ("31-May-2026", day_end(2026, 5, 31)),
        ("15 - 31 May 2026", day_end(2026, 5, 31)),
        ("28 Apr - 10 Jul 2026", day_end(2026, 7, 10)),
        ("Closes May 15, 2026", day_end(2026, 5, 15)),
        ("Apply by 15 May 2026", day_end(2026, 5, 15)),
        ("Applications close on May 15, 2026", day_end(2026, 5, 15)),
        ("Deadline: May 15, 2026", day_end(2026, 5, 15)),
        ("until May 15, 2026", day_end(2026, 5, 15)),
        ("2026-05-15 23:59 UTC", utc(2026, 5, 15, 23, 59)),
        ("May 15, 2026 11:59 PM EST", utc(2026, 5, 16, 4, 59)),
        ("1778803200", utc(2026, 5, 15)),
    ],
)  # fmt: skip
def test_a_deadline_in_other_words(text: str, at: datetime) -> None:
    """However the last day is written, it is the deadline."""
    assert read_deadline(text, None).at == at
