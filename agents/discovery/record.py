"""Turns one raw record, in whatever layout its source has, into an Opportunity.

Which fields a value may stand in is data: `fields.json` (a dotted name reaches into objects).
"""

import hashlib
import html
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from importlib.resources import files
from urllib.parse import urlsplit

from agents.discovery.dates import read_deadline, read_instant
from agents.discovery.pay_text import PAID_ONCE, currency_code, read_pay, read_period
from agents.domain.errors import InvalidValue
from agents.domain.kind import Kind
from agents.domain.opportunity import DESCRIPTION_MAX, LISTED_MAX, TITLE_MAX, Opportunity
from agents.domain.pay import Pay, Period
from agents.domain.place import parse_location
from agents.domain.skill import canonical_skill, skills_in
from agents.domain.untrusted import without_instructions

Raw = dict[str, object]
"""A JSON object or a row of a table. (A dict, not any Mapping: this is the hot loop.)"""

_URL_MAX = 2_000
_NAME_MAX = 200
_DIGIT = re.compile(r"\d")
_TAG = re.compile(r"<[^<>]{0,2000}>")
_OPEN_WORDS = frozenset({"true", "yes", "open", "listed", "active", "posted", "live", "1"})
_CLOSED_WORDS = frozenset(
    {"false", "no", "closed", "inactive", "expired", "ended", "archived", "filled", "0"}
)
_KIND_WORDS = (
    (Kind.INTERNSHIP, re.compile(r"\bintern(?:ship)?s?\b|\bco-?op\b|\bworking student\b")),
    (Kind.HACKATHON, re.compile(r"\bhackathons?\b|\bhack(?:fest|day)s?\b")),
    (Kind.BOUNTY, re.compile(r"\bbount(?:y|ies)\b")),
    (Kind.GRANT, re.compile(r"\bgrants?\b|\bfellowships?\b|\bfunding\b|\bscholarships?\b")),
    (Kind.GIG, re.compile(r"\bfreelanc(?:e|ers?|ing)\b|\bgigs?\b|\bcontract(?:or)?\b")),
)
# Tags of job boards that say how one works, not what one has to know.
_NO_SKILLS = frozenset(
    ("contract", "entry level", "entry-level", "freelance", "full time", "full-time", "hybrid",
     "intern", "internship", "junior", "lead", "mid", "part time", "part-time", "permanent",
     "remote", "senior")
)  # fmt: skip
# Fields that only one kind of posting has tell the kind where the record doesn't.
_TELLING_FIELDS = (
    ("submission_period_dates", Kind.HACKATHON),
    ("due_days", Kind.BOUNTY),
    ("amount_usd", Kind.BOUNTY),
    ("oppStatus", Kind.GRANT),
)


class Unreadable(Exception):  # noqa: N818 - names what the record is
    """A record that can't be used; the message is one of a few fixed reasons, to be counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where a record was read: the source's name and when. `month_first` says how it writes
    dates such as 03/07/2026, None that nobody knows."""

    source: str
    fetched_at: datetime
    month_first: bool | None = None
    live: bool = False
    """Whether `fetched_at` is when the source itself said it: then "3 days ago" counts from it."""


def read_record(raw: object, origin: Origin) -> Opportunity:
    """The Opportunity in `raw`; raises Unreadable when it is no object or has no title."""
    if not isinstance(raw, dict):
        raise Unreadable("not an object")
    title = _text(raw, "title", TITLE_MAX)
    if not title:
        raise Unreadable("no title")
    try:
        return _read(raw, title, origin)
    except InvalidValue as invalid:
        raise Unreadable(f"invalid {invalid.field}") from invalid


def unread_fields(raw: object, posting: Opportunity) -> Iterator[str]:
    """The fields in which the record says something that could not be read, for the operators."""
    if not isinstance(raw, dict):
        return
    pay = posting.pay
    if pay is not None and pay.min is None and pay.max is None and _DIGIT.search(pay.text):
        yield "pay"
    if posting.posted_at is None and _first(raw, "posted_at") is not None:
        yield "posted_at"
    if posting.deadline is None and posting.deadline_text is not None:
        yield "deadline"
    if posting.url is None and _first(raw, "url") is not None:
        yield "link"


def has_title(raw: Raw) -> bool:
    """Whether the object is a record itself, rather than something that holds records."""
    return _text(raw, "title", TITLE_MAX) is not None


def _read(raw: Raw, title: str, origin: Origin) -> Opportunity:
    kind = _kind(raw, title)
    source_id = _identifier(_first(raw, "id"))
    url = _link(raw)
    fetched_at = min(
        read_instant(_first(raw, "fetched_at")) or origin.fetched_at, origin.fetched_at
    )
    dated = origin.live or _first(raw, "fetched_at") is not None
    # Grants.gov, wherever its records turn up, writes the month first.
    month_first = True if "oppStatus" in raw else origin.month_first
    posted_at = read_instant(
        _first(raw, "posted_at"),
        base=fetched_at if dated else None,
        month_first=month_first,
    )
    # "due in 4 days" was true when it was read; a record that doesn't say when was just posted.
    deadline = read_deadline(
        _first(raw, "deadline"),
        fetched_at if dated else posted_at,
        month_first=month_first,
    )
    locations = _locations(raw)
    organisation = _text(raw, "organisation", _NAME_MAX)
    description = _text(raw, "description", DESCRIPTION_MAX)
    return Opportunity(
        id=_identity(
            source=origin.source,
            source_id=source_id,
            url=url,
            title=title,
            organisation=organisation,
            locations=locations,
        ),
        source=origin.source,
        source_id=source_id,
        kind=kind,
        title=title,
        organisation=organisation,
        url=url,
        locations=locations,
        remote=_remote(raw, locations),
        skills=_skills(raw, title, description),
        pay=_pay(raw, kind),
        posted_at=posted_at,
        deadline=deadline.at,
        deadline_text=deadline.text,
        active=False if deadline.closed else _active(raw),
        description=description,
        fetched_at=fetched_at,
    )


# --- fields -----------------------------------------------------------------------------------


def _read_names() -> dict[str, tuple[tuple[str, ...], ...]]:
    names = json.loads(files("agents.discovery").joinpath("fields.json").read_text("utf-8"))
    return {field: tuple(tuple(n.split(".")) for n in listed) for field, listed in names.items()}


_ALIASES = _read_names()
FIELD_NAMES = {field: names[0][0] for field, names in _ALIASES.items()}
"""Each field with the name that is looked at first."""


def reach(raw: Raw, path: tuple[str, ...]) -> object:
    """What a dotted name holds, None when there is nothing."""
    key, *rest = path
    value = raw.get(key)
    for inner in rest:
        value = value.get(inner) if isinstance(value, dict) else None
    return value


def _first(raw: Raw, field: str) -> object:
    """The first of the field's names that holds something, else None."""
    return next(_values(raw, field), None)


def _values(raw: Raw, field: str) -> Iterator[object]:
    """What the field's names hold, in their order, without the empty ones."""
    for path in _ALIASES[field]:
        value = reach(raw, path)
        if value is not None and value != "" and value != []:  # noqa: PLR1714 - values unhashable
            yield _encodable(value) if isinstance(value, str) else value


def _encodable(text: str) -> str:
    """The text without halves of characters, which JSON can hold and no store can."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def _text(raw: Raw, field: str, longest: int) -> str | None:
    """The first of the field's values that is a text."""
    texts = (_plain(value, longest) for value in _values(raw, field))
    return next(filter(None, texts), None)


def _plain(value: object, longest: int) -> str | None:
    """A text without mark-up, white space collapsed, cut to `longest`; None when there is none."""
    if not isinstance(value, str):
        return None
    text = value
    if "<" in text or "&" in text:
        text = html.unescape(_TAG.sub(" ", html.unescape(text)))
    text = " ".join(text.replace("\x00", " ").split())
    return (text if len(text) <= longest else text[: longest - 1] + "…") or None


def _identifier(value: object) -> str | None:
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        return None
    return str(value).strip()[:_NAME_MAX] or None


def _link(raw: Raw) -> str | None:
    """The first value of the link fields that is a web link; other schemes are dropped."""
    for value in _values(raw, "url"):
        if isinstance(value, str) and (url := _web_link(value.strip())):
            return url
    return None


def _web_link(url: str) -> str | None:
    if url.startswith("//"):
        url = f"https:{url}"
    if len(url) > _URL_MAX or len(url.split()) != 1:
        return None
    try:
        parts = urlsplit(url)
        return url if parts.scheme.lower() in {"http", "https"} and parts.hostname else None
    except ValueError:
        return None


def _kind(raw: Raw, title: str) -> Kind:
    """The record's own kind, else what its fields, employment type or title tell, else a job."""
    stated = _first(raw, "kind")
    if isinstance(stated, str):
        word = stated.strip().lower()
        if word in set(Kind):
            return Kind(word)
        if (told := _kind_in(word)) is not None:
            return told
    for field, kind in _TELLING_FIELDS:
        if raw.get(field) is not None:
            return kind
    employment = _first(raw, "employment")
    terms = " ".join(_texts(employment)).lower().replace("_", " ").replace("-", " ")
    stated_type = _kind_in(terms)
    if stated_type is Kind.GIG and "full time" in terms:
        stated_type = None  # a job that one may also do as a freelancer
    in_title = _kind_in(title.lower())
    if in_title in (Kind.INTERNSHIP, Kind.HACKATHON) or title.lower().startswith("[bounty]"):
        return in_title or Kind.BOUNTY
    return stated_type or Kind.JOB


def _kind_in(words: str) -> Kind | None:
    return next((kind for kind, pattern in _KIND_WORDS if pattern.search(words)), None)


def _texts(value: object) -> list[str]:
    """Texts from a text, a list of texts or objects with a name, or a list written as JSON."""
    if isinstance(value, str) and value.startswith("["):
        value = _listed(value)
    if isinstance(value, str):
        return [value]
    if not isinstance(value, list):
        return []
    named = (v.get("name") if isinstance(v, dict) else v for v in value)
    return [_encodable(v) for v in named if isinstance(v, str)]


def _listed(text: str) -> object:
    """The list that a text such as `["a", "b"]` or `['a', 'b']` writes, else the text."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        inner = text[1:-1]
        return [p.strip(" '\"") for p in inner.split(",")] if text.endswith("]") else text


def _locations(raw: Raw) -> tuple[str, ...]:
    listed = next(filter(None, map(_texts, _values(raw, "locations"))), [])
    texts = (_plain(t, _NAME_MAX) for t in listed)
    parts = (part.strip() for text in texts if text for part in re.split(r"\s*[;|]\s*", text))
    return tuple(dict.fromkeys(filter(None, parts)))[:LISTED_MAX]


def _remote(raw: Raw, locations: tuple[str, ...]) -> bool | None:
    """Remote when the record or one of its places says so; unknown when nothing does."""
    stated = _truth(_first(raw, "remote"))
    workplace = _first(raw, "workplace")
    if isinstance(workplace, str):
        stated = stated or workplace.lower() == "remote"
    if stated is True or any(parse_location(text).remote for text in locations):
        return True
    if stated is None and any(parse_location(text).hybrid for text in locations):
        return False
    return stated


def _truth(value: object) -> bool | None:
    if isinstance(value, bool):
        return value
    word = str(value).strip().lower() if isinstance(value, (str, int)) else ""
    return True if word in _OPEN_WORDS else False if word in _CLOSED_WORDS else None


def _active(raw: Raw) -> bool | None:
    return _truth(_first(raw, "active"))


def _skills(raw: Raw, title: str, description: str | None) -> tuple[str, ...]:
    listed = _texts(_first(raw, "skills"))
    if len(listed) == 1:
        listed = listed[0].split(",")
    named = [canonical_skill(s) for s in listed if 0 < len(s.strip()) <= 60 and s[0] != "["]
    named = [
        skill
        for skill in named
        if skill not in _NO_SKILLS and not without_instructions(skill).removed
    ]
    # What a posting tells programs says nothing of the work.
    texts = (title, description or "")
    told = (skill for text in texts for skill in skills_in(without_instructions(text).text))
    found = (*named, *told)
    return tuple(dict.fromkeys(found))[:LISTED_MAX]


def _pay(raw: Raw, kind: Kind) -> Pay | None:
    low, high = _amount(_first(raw, "pay_min")), _amount(_first(raw, "pay_max"))
    if low or high:
        return _structured_pay(raw, kind, low or None, high or None)
    dollars = _amount(_first(raw, "pay_usd"))
    if dollars:
        return read_pay(f"${dollars:,.2f}".removesuffix(".00"), kind)
    value = _first(raw, "pay")
    if value is None:
        return _pay_among(_texts(_first(raw, "insights")), kind)
    if isinstance(value, (int, float)):
        amount = _amount(value)
        return None if not amount else _structured_pay(raw, kind, amount, amount)
    texts = _texts(value)
    text = _plain(" - ".join(texts), _NAME_MAX)
    if text is None or text.lower() in {"not specified", "n/a", "none", "unknown"}:
        return None
    return read_pay(text, kind)


def _pay_among(texts: list[str], kind: Kind) -> Pay | None:
    """The first of several texts that states an amount, as in `$17/hr · Contract`."""
    read = (read_pay(text[:_NAME_MAX], kind) for text in texts)
    return next((pay for pay in read if pay and (pay.min or pay.max)), None)


def _structured_pay(raw: Raw, kind: Kind, low: float | None, high: float | None) -> Pay:
    currency, period = _first(raw, "pay_currency"), _first(raw, "pay_period")
    code = currency_code(currency) if isinstance(currency, str) else None
    if low is not None and high is not None:
        low, high = min(low, high), max(low, high)
    ends = dict.fromkeys(f"{a:,.2f}".removesuffix(".00") for a in (low, high) if a is not None)
    amounts = "–".join(ends)
    words = " ".join(filter(None, (amounts, code, f"per {period}" if period else None)))
    known = read_period(period) if isinstance(period, str) else None
    known = known or (Period.ONCE if kind in PAID_ONCE else None)
    return Pay(min=low, max=high, currency=code, period=known, text=words)


def _amount(value: object) -> float | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, str):
        value = value.replace(",", "").strip().lstrip("$€£₹")
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        return None
    return number if 0 <= number < 1e12 else None


def _identity(
    *,
    source: str,
    source_id: str | None,
    url: str | None,
    title: str,
    organisation: str | None,
    locations: tuple[str, ...],
) -> str:
    """Stable for a record: from its own id and link, else from its words."""
    words: tuple[str, ...] = (source, source_id or "", url or "")
    if not url:  # ids are only unique within a file or a feed
        words = (*words, title, organisation or "", *locations)
    return hashlib.sha256("\n".join(words).encode()).hexdigest()[:16]
