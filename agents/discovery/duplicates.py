"""Collapses the copies of a posting, so that one posting is one card.

Two postings are one when

- their links lead to the same posting (`links.py`) of one organisation; on a page without a name
  of its own, which may hold several jobs, the title must be the same too, on a list such as
  `/careers` also the place. A grant, a bounty or a hackathon often has nothing but a home page,
  which is then its name; or
- organisation, title, place and kind are the same, whatever the links: a posting put up again.
  The sets of places must be equal, for nothing tells whether `Berlin` is `Berlin; Paris` or
  another posting. Without an organisation, who put it up or the whole description has to be the
  same instead: never the title alone.

Both are equalities of keys, so postings that differ are in one group only where one link carries
two titles: then the source itself calls them one posting, and the copies of either belong to it.
"""

import re
from collections.abc import Hashable, Iterable, Iterator
from dataclasses import replace
from datetime import datetime
from functools import lru_cache
from typing import NamedTuple

from agents.discovery.links import Link, Target, read_link
from agents.domain.kind import Kind
from agents.domain.opportunity import LISTED_MAX, Listing, Opportunity
from agents.domain.place import Place, fold, parse_location

TELLING_TEXT_MIN = 80
"""Shortest description, in characters, that tells whose posting it is."""
TITLES_MAX = 4
"""Most titles that copies of one job have; a link with more is a list, whatever it looks like."""

_EMPLOYMENT = frozenset({Kind.JOB, Kind.INTERNSHIP, Kind.GIG})
_LEGAL_FORMS = frozenset(
    ("ab", "ag", "and", "as", "bv", "co", "company", "corp", "corporation", "gmbh", "inc",
     "incorporated", "kg", "kgaa", "limited", "llc", "llp", "lp", "ltd", "nv", "oy", "plc", "pte",
     "pty", "sa", "sarl", "sas", "se", "srl", "ug")
)  # fmt: skip
_NOBODY = frozenset(
    ("anonymous", "confidential", "na", "none", "private", "stealth", "stealthstartup",
     "undisclosed", "unknown", "various")
)  # fmt: skip
# In German and French titles: (m/w/d), [f/m/x], (H/F), m/w/d, (all genders); but not (H/W), (F/W).
_AUDIENCE = re.compile(
    r"[(\[]\s*(?=[wfdxi/|* ]*m)(?:[mwfdxi]|div|gn)(?:\s?[/|*]\s?(?:[mwfdxi]|div|gn))+\s*[)\]]"
    r"|[(\[](?:h/f|f/h)(?:/[xd])?[)\]]|\b(?=[wfdx/]*m)[mwfdx](?:/[mwfdx]){2,}\b"
    r"|[(\[]?\ball genders\b[)\]]?|[(\[]gn[)\]]"
)
# (R-12345), [Job ID: 4711], REQ-12345, #12345, (123456); but not (2026), (L4) or "R2".
_REQUISITION = re.compile(
    r"[(\[]\s*(?:(?:job|requisition|req|reference|ref|id|no|nr|jr|r)[ .:#_-]*)+\d{3,}[-\d]*\s*[)\]]"
    r"|[(\[]\s*[a-z]{0,4}[-_ ]?\d{5,}[-\d]*\s*[)\]]"
    r"|\b(?:req|jr|r)[-_]?\d{4,}(?:-\d+)?\b|#\d{4,}"
)
_DIGITS = re.compile(r"\d{3}")
_QUOTES = str.maketrans("", "", "'’`")
_ALIKE = {"sr": "senior", "jr": "junior", "i": "1", "ii": "2", "iii": "3", "iv": "4"}
# Words by which a title itself says what it is, whichever list a posting was put on.
_STARTERS = frozenset(
    ("apprentice", "coop", "early", "entry", "grad", "graduate", "intern", "internship", "trainee")
)
_YEAR = re.compile(r"20\d\d")
_SEASONS = "(spring|summer|fall|autumn|winter)"
_TERM = re.compile(rf"{_SEASONS}[\W_]*(20\d\d)|(20\d\d)[\W_]*{_SEASONS}", re.I)
_EDITION = re.compile(r"https?://(20\d\d)\.")
_HANDLE = re.compile(r"^[^/?#]+/(?:[^?#]*/)?@[^/?#]+(?=/)")
_WORD = re.compile(r"[\w+#]*\w[\w+#]*")

# Named tuples, not dataclasses: thousands are made, and hashed several times.
_Title = tuple[str, ...]


class _Where(NamedTuple):
    """The places, the texts that name none such as `2 locations`, and whether it is remote."""

    places: frozenset[Place]
    others: frozenset[str]
    remote: bool


class _Words(NamedTuple):
    """What a posting says it is, the same for all its copies."""

    who: str
    title: _Title
    where: _Where
    kind: Kind | None


class _Copy(NamedTuple):
    """A posting, read for comparing; `term` is what the link adds to a title without a year."""

    posting: Opportunity
    link: Link | None
    title: _Title
    organisation: str
    where: _Where
    words: tuple[_Words, ...]
    term: str

    @property
    def hires(self) -> bool:
        return self.posting.kind in _EMPLOYMENT


class _Key(NamedTuple):
    """What is the same for copies of one posting, and what must not differ where it is said."""

    same: Hashable
    said: str = ""


def collapse(
    opportunities: Iterable[Opportunity], *, now: datetime, wanted: frozenset[Kind]
) -> list[Opportunity]:
    """One card per posting, in the order first seen; its other copies stand in `also_at`.

    A card shows the copy that serves the reader: a live one before a closed one, of a wanted kind
    before another, else the first. So no duplicate can hide what the person asked for.
    """
    copies = [_read(opportunity) for opportunity in opportunities]
    return [_card(group, now, wanted) for group in _groups(copies)]


def _card(group: list[Opportunity], now: datetime, wanted: frozenset[Kind]) -> Opportunity:
    if len(group) == 1:
        return group[0]
    best = max(group, key=lambda o: (o.live(now), not wanted or o.kind in wanted))
    others = tuple(
        Listing(source=o.source, source_id=o.source_id, url=o.url, title=o.title)
        for o in group
        if o is not best
    )
    return replace(best, also_at=others[:LISTED_MAX])


# --- grouping ---------------------------------------------------------------------------------


def _groups(copies: list[_Copy]) -> list[list[Opportunity]]:
    """The postings that share a key, directly or through others, each group in its order."""
    crowded = _crowded_links(copies)
    keys = _told_apart([(*_link_keys(copy, crowded), *_word_keys(copy)) for copy in copies])
    first: dict[Hashable, int] = {}
    roots = list(range(len(copies)))
    for at, those in enumerate(keys):
        for key in those:
            _join(roots, first.setdefault(key, at), at)
    groups: dict[int, list[Opportunity]] = {}
    for at, copy in enumerate(copies):
        groups.setdefault(_root(roots, at), []).append(copy.posting)
    return list(groups.values())


def _join(roots: list[int], one: int, other: int) -> None:
    """Make two sets one, whose root is its first posting."""
    low, high = sorted((_root(roots, one), _root(roots, other)))
    roots[high] = low


def _root(roots: list[int], at: int) -> int:
    while roots[at] != at:
        roots[at] = roots[roots[at]]
        at = roots[at]
    return at


def _told_apart(keys: list[tuple[_Key, ...]]) -> Iterator[list[Hashable]]:
    """The keys, with what else is said where copies with one key say different things: a copy
    that is silent then belongs to none of them, rather than gluing them together."""
    said: dict[Hashable, set[str]] = {}
    for key in (key for those in keys for key in those if key.said):
        said.setdefault(key.same, set()).add(key.said)
    apart = {same for same, things in said.items() if len(things) > 1}
    for those in keys:
        yield [key if key.same in apart else key.same for key in those]


def _link_keys(copy: _Copy, crowded: set[str]) -> Iterator[_Key]:
    """What the link makes equal: by itself where it names the posting, else with the words."""
    link = copy.link
    if link is None:
        yield _Key(copy.posting.id)
    elif _listed(copy, link, crowded):
        yield _Key((link.form, copy.title, copy.where), copy.organisation)
    elif link.target is Target.POSTING:
        yield _Key((link.form, _starter(copy.title)), copy.organisation)
    elif link.target is Target.NAMED:
        yield _Key(link.form, copy.organisation)
    else:
        yield _Key((link.form, copy.title), copy.organisation)
        if not copy.hires:
            yield _Key(link.form)


def _word_keys(copy: _Copy) -> Iterator[_Key]:
    """`summer-2025` and `summer-2026` in links are two internships of the same words, and whether
    one that is silent is either of them nobody knows: two cards do less harm than a hidden one."""
    return (_Key((words, copy.term)) for words in copy.words)


def _listed(copy: _Copy, link: Link, crowded: set[str]) -> bool:
    """Whether the link is only where to look: a list, or for a job a home page."""
    if link.target is Target.LIST:
        return True
    return copy.hires and (link.target is Target.HOME or link.form in crowded)


def _crowded_links(copies: Iterable[_Copy]) -> set[str]:
    """The links that carry more titles of jobs than one job has."""
    titles: dict[str, set[_Title]] = {}
    for copy in copies:
        if copy.link is not None and copy.hires:
            titles.setdefault(copy.link.form, set()).add(copy.title)
    return {form for form, carried in titles.items() if len(carried) > TITLES_MAX}


# --- reading ----------------------------------------------------------------------------------


def _read(posting: Opportunity) -> _Copy:
    link = read_link(posting.url) if posting.url is not None else None
    title = _title(posting.title)
    organisation = _organisation(posting.organisation) if posting.organisation else ""
    where = _where(posting.locations, posting.remote is True)
    names = (organisation,) if organisation else (_poster(link), _text(posting.description))
    kind = _kind(posting.kind, title)
    return _Copy(
        posting=posting,
        link=link,
        title=title,
        organisation=organisation,
        where=where,
        words=tuple(_Words(who, title, where, kind) for who in names if who and title),
        term="" if _YEAR.search(posting.title) else _term(posting.url or "", posting.kind),
    )


def _fold(text: str) -> str:
    """`fold`, the short way for the many texts of which only a dash is not ASCII."""
    plain = text.replace("–", "-").replace("’", "'")
    return plain.lower() if plain.isascii() else fold(plain)


@lru_cache(maxsize=16_384)
def _organisation(name: str) -> str:
    """The name without its legal form, accents and marks; empty when it names nobody."""
    plain = _fold(name).replace(".", "").replace("&", " and ").translate(_QUOTES)
    words = _WORD.findall(plain)
    while len(words) > 1 and words[-1] in _LEGAL_FORMS:
        words.pop()
    joined = "".join(words[1:] if len(words) > 1 and words[0] == "the" else words)
    return "" if joined in _NOBODY else joined


def _poster(link: Link | None) -> str:
    """Whoever's page the link is on, as in `example.com/bounties/@somebody/fix-it`."""
    page = _HANDLE.match(link.form) if link is not None else None
    return page[0].lower() if page else ""


def _text(description: str | None) -> str:
    text = fold(description or "")
    return text if len(text) >= TELLING_TEXT_MIN else ""


@lru_cache(maxsize=16_384)
def _title(title: str) -> _Title:
    """The words of a title in their order, without emoji, requisition numbers and `(m/f/d)`."""
    plain = _AUDIENCE.sub(" ", _fold(title))
    if _DIGITS.search(plain):
        plain = _REQUISITION.sub(" ", plain)
    plain = plain.replace("co-op", "coop").replace("&", " and ").translate(_QUOTES)
    return tuple(_ALIKE.get(word, word) for word in _WORD.findall(plain))


def _starter(title: _Title) -> bool:
    """Whether the title says that it is for people at their start: an `Analyst` and an `Analyst
    Intern` on one page are two postings."""
    return not _STARTERS.isdisjoint(title)


def _kind(kind: Kind, title: _Title) -> Kind | None:
    """None where the title says what it is: an internship on a list of jobs is the same one."""
    return None if kind in _EMPLOYMENT and _starter(title) else kind


@lru_cache(maxsize=16_384)
def _where(locations: tuple[str, ...], remote: bool) -> _Where:  # noqa: FBT001
    places: set[Place] = set()
    others: set[str] = set()
    for text in locations:
        read = parse_location(text)
        places.update(read.places)
        if not read.places and not read.remote:
            others.add(fold(text))
    return _Where(frozenset(places), frozenset(others), remote)


@lru_cache(maxsize=16_384)
def _term(url: str, kind: Kind) -> str:
    """The season and year that a link names, as in `intern-summer-2025`, or the year of a
    hackathon, as in `2026.hack.example`; else nothing."""
    if kind is Kind.HACKATHON:
        edition = _EDITION.match(url)
        return edition[1] if edition else ""
    named = _TERM.search(url) if _YEAR.search(url) else None
    return "" if named is None else " ".join(sorted(filter(None, named.groups()))).lower()
