"""Dates as postings write them. What can't be read for certain is None, never a guess."""

import re
import warnings
from calendar import monthrange
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from functools import lru_cache
from itertools import product

from dateutil import parser as dateutil_parser
from dateutil import tz
from dateutil.parser import UnknownTimezoneWarning

_TEXT_MAX = 300
_DAY_END = time(23, 59, 59, tzinfo=UTC)
_DEFAULTS = (datetime(2000, 1, 1, tzinfo=UTC), datetime(2003, 12, 28, tzinfo=UTC))

_HOUR_S = 3600
# Zones that deadlines are written in; CST and the like as in North America.
_ZONES = {
    "UTC": 0, "GMT": 0, "EST": -5 * _HOUR_S, "EDT": -4 * _HOUR_S, "CST": -6 * _HOUR_S,
    "CDT": -5 * _HOUR_S, "MST": -7 * _HOUR_S, "MDT": -6 * _HOUR_S, "PST": -8 * _HOUR_S,
    "PDT": -7 * _HOUR_S, "CET": 1 * _HOUR_S, "CEST": 2 * _HOUR_S, "WAT": 1 * _HOUR_S,
    "EAT": 3 * _HOUR_S, "AOE": -12 * _HOUR_S,
    "ET": tz.gettz("America/New_York"), "CT": tz.gettz("America/Chicago"),
    "PT": tz.gettz("America/Los_Angeles"),
}  # fmt: skip

_MONTHS = {
    name: number
    for number, names in enumerate(
        [
            "jan january",
            "feb february",
            "mar march",
            "apr april",
            "may",
            "jun june",
            "jul july",
            "aug august",
            "sep sept september",
            "oct october",
            "nov november",
            "dec december",
        ],
        start=1,
    )
    for name in names.split()
}
_MONTH = "(?P<month{0}>" + "|".join(sorted(_MONTHS, key=len, reverse=True)) + r")\.?"
_DAY = r"(?P<day{0}>\d{{1,2}})(?:st|nd|rd|th|\.)?"
_YEAR = r"(?P<year{0}>\d{{4}})"

_TO = r"\s*(?:-|–|—|to|through|thru|until|bis)\s*"
# `May 15 - 31, 2026`, `Apr 28 - Jul 10, 2026`, `Mar 24, 2026 - Mar 24, 2030`: the end counts.
_RANGE = re.compile(
    (_MONTH + r"\s+" + _DAY + r"(?:,?\s+" + _YEAR + ")?").format(1)
    + _TO
    + (r"(?:" + _MONTH + r"\s+)?" + _DAY + r",?\s+" + _YEAR).format(2)
)
# `15 - 31 May 2026`, `28 Apr - 10 Jul 2026`.
_RANGE_DAY_FIRST = re.compile(
    (r"\b" + _DAY + r"(?:\s+" + _MONTH + r")?(?:,?\s+" + _YEAR + ")?").format(1)
    + _TO
    + (_DAY + r"\s+" + _MONTH + r",?\s+" + _YEAR).format(2)
)
_DUE = re.compile(
    r"^(?:applications?\s+|submissions?\s+)?(?:closes?|closing|close|apply|due|until|by|ends?"
    r"|deadline|submit)(?:\s+(?:on|by|date|is|until))*\s*:?\s+",
    re.IGNORECASE,
)
# `2026/5/3`, `2026.05.03`: with the year first, nobody writes the day second.
_YEAR_FIRST = re.compile(r"^(\d{4})([-/.])(\d{1,2})\2(\d{1,2})\b")
_DOTTED = re.compile(r"^(?:[^\W\d]+,?\s+)?\d{1,2}\.\d{1,2}\.\d{4}\b")  # day first everywhere
# Two whole dates, such as `05/15/2026 - 05/31/2026`.
_TWO_DATES = re.compile(
    r"^(?:from\s+)?(?P<start>\S.*?\d)\s+(?:-|–|—|to|through|until|bis)\s+(?P<end>.+)$"
)
_NUMBER = re.compile(r"[0-9]{1,20}(?:\.[0-9]{1,9})?")
_OTHER_MONTHS = {
    name: month
    for month, names in {
        "jan": "januar janvier enero gennaio janeiro",
        "feb": "februar février febrero febbraio fevereiro",
        "mar": "märz mars marzo março",
        "apr": "avril abril aprile",
        "may": "mai mayo maggio maio",
        "jun": "juni juin junio giugno junho",
        "jul": "juli juillet julio luglio julho",
        "aug": "août agosto",
        "sep": "septembre septiembre settembre setembro",
        "oct": "oktober octobre octubre ottobre outubro okt",
        "nov": "novembre noviembre novembro",
        "dec": "dezember décembre diciembre dicembre dezembro dez",
    }.items()
    for name in names.split()
}
_OF = re.compile(
    r"\b(\d{1,2})(?:\.|º|er)?\s+(?:de\s+)?("
    + "|".join(sorted(_OTHER_MONTHS, key=len, reverse=True))
    + r")\b\.?(?:\s+del?(?=\s+\d))?",
    re.IGNORECASE,
)
_ANYWHERE = re.compile(r"\(?\b(?:aoe|anywhere on earth)\b\)?", re.IGNORECASE)
_ZONE_NAME = re.compile(r"\s*\([A-Za-z ]+ Time\)$")  # "(Coordinated Universal Time)"
# One date within a sentence: `May 21, 2026`, `31 Mar 2026`, `May 13` with the year elsewhere.
_MONTH_DAY = re.compile(
    (r"\b" + _MONTH + r"\s+" + _DAY + r"\b(?!\d)(?:,?\s+" + _YEAR + ")?").format(1)
)
_DAY_MONTH = re.compile((r"\b" + _DAY + r"\s+" + _MONTH + r"(?:,?\s+" + _YEAR + ")?").format(1))
_MONTH_YEAR = re.compile((r"\b" + _MONTH + r"\s+" + _YEAR).format(1))
_ISO_DATE = re.compile(r"\b(?P<year1>\d{4})-(?P<month1>\d{2})-(?P<day1>\d{2})\b")

_RELATIVE = re.compile(
    r"^(?:(?:re)?posted\s+)?(?:about\s+|over\s+)?(?P<n>\d+|an?)\+?\s*"
    r"(?P<unit>seconds?|secs?|s|minutes?|mins?|m|hours?|hrs?|h|days?|d|weeks?|w|months?|mo|years?|y)\s+ago$"
)
_DUE_IN = re.compile(r"^due in (?P<n>\d+|an?)\s*(?P<unit>hours?|days?|weeks?|months?)$")
_UNIT_DAYS = {
    "s": 1 / 86400,
    "mi": 1 / 1440,
    "h": 1 / 24,
    "d": 1.0,
    "w": 7.0,
    "mo": 30.0,
    "y": 365.0,
}

_CLOSED = re.compile(
    r"\b(?:closed|passed|ended)\b|\b(?:deadline|finals?)\s+(?:was|were)\b|\blast deadline\b"
)
_STILL_OPEN = re.compile(
    r"^rolling\b|^ongoing\b|\bopen now\b|\bform open\b|\bintake open\b|\bpages? open\b"
)
_CLAUSE_END = re.compile(r"[;—]|\bnext\b|\bopen(?:s|ed|ing)?\b")
_YEAR_NEAR = re.compile(r"\b(20\d{2})\b")


@dataclass(frozen=True, slots=True, kw_only=True)
class Deadline:
    """A deadline as read: the last instant, or the text that gives none, or that it is closed."""

    at: datetime | None = None
    text: str | None = None
    closed: bool = False


def read_instant(
    value: object, base: datetime | None = None, *, month_first: bool | None = None
) -> datetime | None:
    """An instant from ISO, epoch seconds or milliseconds, `Jul 3, 2026`, or, counted from `base`
    when there is one, `3d ago` (`30+ days ago` is the latest that it can have been).

    `month_first` says how the source writes `03/07/2026`; None where nobody knows, and then a date
    that can be read both ways is None.
    """
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, (int, float)):
        return _from_epoch(value)
    if not isinstance(value, str) or not (text := value.strip()) or len(text) > _TEXT_MAX:
        return None
    relative = _from_relative(text.lower(), base)
    return _from_iso(text) or relative or _from_words(text, month_first=month_first)


def _utc(instant: datetime) -> datetime | None:
    """The instant in UTC (where it states no zone it is meant so); None beyond the calendar."""
    try:
        return (instant if instant.tzinfo else instant.replace(tzinfo=UTC)).astimezone(UTC)
    except (OverflowError, ValueError):
        return None


def _moved(instant: datetime, days: float) -> datetime | None:
    """The instant that many days later; None beyond the calendar."""
    try:
        return instant + timedelta(days=days)
    except OverflowError:
        return None


def read_deadline(
    value: object, posted_at: datetime | None, *, month_first: bool | None = None
) -> Deadline:
    """A deadline from a date, a period (its end counts) or a sentence such as
    `Annual; 2026 round closed May 20`; `due in 4 days` needs the posting's date.

    `month_first` is as in `read_instant`.
    """
    if not isinstance(value, str):
        return Deadline(at=read_instant(value))
    text = " ".join(value.split())[:_TEXT_MAX]
    if not text:
        return Deadline()
    words = text.lower()
    words = _in_english(words)
    if (at := _from_iso(text, day_end=True) or _range_end(words)) is not None:
        return Deadline(at=at)
    if (due := _DUE_IN.match(words)) is not None:
        if posted_at is None:
            return Deadline(text=text)
        at = _moved(posted_at, _days(due["n"], due["unit"]))
        return Deadline(at=at, text=None if at else text)
    return _from_sentence(words, text, month_first=month_first)


def _from_sentence(words: str, text: str, *, month_first: bool | None) -> Deadline:
    closed = _CLOSED.search(words) is not None
    if (closed or "deadline" in words) and not _STILL_OPEN.search(words):
        at = _last_closing_date(words)
        if at is not None or closed:
            return Deadline(at=at, text=text, closed=at is None)
    stated = _DUE.sub("", text)  # "Closes on May 15, 2026"
    at = _whole_date(stated.lower()) or _written_deadline(stated, month_first=month_first)
    return Deadline(at=at, text=None if at else text)


def _written_deadline(text: str, *, month_first: bool | None) -> datetime | None:
    """A deadline in other words, such as `Friday, May 15, 2026` or `31-May-2026 17:00 UTC`; one
    without a time counts to the end of its day."""
    if (dates := _TWO_DATES.match(text)) is not None:
        starts = _from_words(dates["start"], month_first=month_first)
        return None if starts is None else _written_deadline(dates["end"], month_first=month_first)
    anywhere = ":" not in text and _ANYWHERE.search(text) is not None
    at = _from_words(_ANYWHERE.sub("", text) if anywhere else text, month_first=month_first)
    if at is not None and anywhere:  # the day ends there when noon has come in UTC
        return _moved(datetime.combine(at, _DAY_END), 0.5)
    if at is None or ":" in text or _NUMBER.fullmatch(text):
        return at
    return datetime.combine(at, _DAY_END)


def _from_epoch(number: float) -> datetime | None:
    # Smaller numbers are ids or counts, not dates: 1e8 is 1973.
    if not 1e8 < number < 1e13:
        return None
    seconds = number / 1000 if number > 1e11 else number
    return datetime.fromtimestamp(seconds, UTC) if seconds < 1e10 else None


@lru_cache(maxsize=4096)
def _from_iso(text: str, *, day_end: bool = False) -> datetime | None:
    if not (len(text) >= 10 and text[:4].isdigit() and text[4] == "-"):
        return None
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        return None
    if day_end and len(text) == 10:
        return datetime.combine(instant, _DAY_END)
    return _utc(instant)


def _from_relative(words: str, base: datetime | None) -> datetime | None:
    if base is None:
        return None
    words = words.removeprefix("posted ")
    if words in {"today", "just posted", "just now", "now"}:
        return base
    if words == "yesterday":
        return _moved(base, -1)
    match = _RELATIVE.match(words)
    return _moved(base, -_days(match["n"], match["unit"])) if match else None


def _from_words(text: str, *, month_first: bool | None = None) -> datetime | None:
    """A written date, when all its parts are there and it can be read in one way only."""
    if _NUMBER.fullmatch(text):
        return _from_epoch(float(text))
    text = _ZONE_NAME.sub("", _ANYWHERE.sub("AOE", _in_english(text)))
    # Read with two defaults and both orders of day and month: what differs was not stated.
    readings = {
        _parsed(text, default, day_first=day_first)
        for default, day_first in product(_DEFAULTS, _orders(text, month_first=month_first))
    }
    instant = readings.pop()
    if instant is None or readings or str(instant.year) not in text:
        return None  # the parser makes years out of what is none: "Feb 25 - 30, 2026"
    return _utc(instant)


def _orders(text: str, *, month_first: bool | None) -> tuple[bool, ...]:
    """Whether the day may stand before the month: each way that the text can be meant."""
    if _YEAR_FIRST.match(text):
        return (False,)
    if _DOTTED.match(text):
        return (True,)
    return (False, True) if month_first is None else (not month_first,)


def _in_english(text: str) -> str:
    """`3. Juli 2026` and `3 de julio de 2026` as `3 jul 2026`; other texts as they are."""
    return _OF.sub(lambda date: f"{date[1]} {_OTHER_MONTHS[date[2].lower()]}", text)


def _parsed(text: str, default: datetime, *, day_first: bool) -> datetime | None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", UnknownTimezoneWarning)
        try:
            return dateutil_parser.parse(text, default=default, dayfirst=day_first, tzinfos=_ZONES)
        except (ValueError, OverflowError, UnknownTimezoneWarning):
            return None


def _days(number: str, unit: str) -> float:
    count = 1 if number in {"a", "an"} else int(number)
    key = "mi" if unit in {"m", "min", "mins", "minute", "minutes"} else unit
    days = next(d for prefix, d in _UNIT_DAYS.items() if key.startswith(prefix))
    return min(count * days, 36_500.0)


def _range_end(words: str) -> datetime | None:
    match = _RANGE.search(words) or _RANGE_DAY_FIRST.search(words)
    if match is None:
        return None
    month = match["month2"] or match["month1"]  # day first, the second month is always there
    return _day_end(int(match["year2"]), _MONTHS[month], int(match["day2"]))


def _whole_date(words: str) -> datetime | None:
    for pattern in (_MONTH_DAY, _DAY_MONTH):
        match = pattern.fullmatch(words)
        if match is not None and match["year1"]:
            return _day_end(int(match["year1"]), _MONTHS[match["month1"]], int(match["day1"]))
    return None


def _last_closing_date(words: str) -> datetime | None:
    """The latest date that a closing word stands near; one without a year takes the year named
    before it. The day that a next round opens is not such a date."""
    for pattern in (_ISO_DATE, _MONTH_DAY, _DAY_MONTH, _MONTH_YEAR):
        closing = (match for match in pattern.finditer(words) if _closing(words, match))
        dates = [date for match in closing if (date := _date_of(words, match)) is not None]
        if dates:
            return max(dates)
    return None


def _closing(words: str, date: re.Match[str]) -> bool:
    """Whether the date's clause says that something closed or was due."""
    before = _CLAUSE_END.split(words[: date.start()])[-1]
    after = _CLAUSE_END.split(words[date.end() :])[0]
    return _CLOSED.search(before + date[0] + after) is not None or "deadline" in before


def _date_of(words: str, match: re.Match[str]) -> datetime | None:
    parts = match.groupdict()
    year = parts.get("year1") or _year_before(words, match.start())
    if year is None:
        return None
    month = _MONTHS.get(parts["month1"]) or int(parts["month1"])
    day = parts.get("day1") or monthrange(int(year), month)[1]
    return _day_end(int(year), month, int(day))


def _year_before(words: str, position: int) -> str | None:
    years = _YEAR_NEAR.findall(words[:position])
    return years[-1] if years else None


def _day_end(year: int, month: int, day: int) -> datetime | None:
    try:
        return datetime(year, month, day, tzinfo=UTC).replace(hour=23, minute=59, second=59)
    except ValueError:
        return None
