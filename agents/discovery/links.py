"""Links in one form, to tell whether two of them lead to the same posting.

The form is for comparing only: it need not open in a browser and is never shown.
"""

import re
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit


class Target(StrEnum):
    """What a link leads to, as far as its words tell."""

    POSTING = "posting"  # it has a number or an id that only one posting has
    NAMED = "named"  # it has a name in words, as `/jobs/data-engineer`, which a category may have
    PAGE = "page"
    LIST = "list"
    HOME = "home"


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """A link read: its form for comparing, and what it leads to."""

    form: str
    target: Target


@dataclass(frozen=True, slots=True, kw_only=True)
class _Board:
    """How the links of a job board name a posting; `shared` when no two hosts use one name."""

    posting: re.Pattern[str]
    shared: bool = True


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


_DEFAULT_PORTS = {"http": 80, "https": 443}
# Parameters that say where the reader came from or how the page is drawn, in lower case.
_TRACKING = _set(
    "_hsenc _hsmi bga campaign cmpid codes dclid dcr_ci fbclid feedid from from_page frompage"
    " gbraid gclid gh_src height hl icims iis iisn in_iframe jan1offset jobpipeline jun1offset"
    " lang language li_fat_id locale mc_cid mc_eid mobile msclkid needsredirect nl oga"
    " originalsubdomain p_sid p_uid previouslocale pvs ref referer referrer refid refsrc source"
    " sourcetype spread src ss ssrc tl trackingid trid trk trkinfo ttclid tz tzname wbraid width"
    " yclid"
)
_TRACKING_PREFIXES = ("utm_", "lever-", "mtm_", "pk_", "hsa_")
_POSTING = _set(
    "ashby_jid callid career_job_req_id currentjobid gh_jid gni id jid jk jl job job_id jobcode"
    " jobid joblistingid jobreqid oppid opportunityid pid position_id positionid posting_id"
    " postingid r req req_id reqid requisition requisition_id requisitionid token vacancyid vjk"
)
# Parameters of the search that led to a posting: they mean nothing once the posting is named.
_SEARCH = _set(
    "board clearprefilter disciplines domain gh_jb job_index jobfamilies keyword keywords location"
    " location_country location_region_state_province locationcountry mode page q query radius"
    " redirect sort sort_by sortby start tags triggergobutton workersubtype"
)
_FORM_STEPS = _set(
    "application apply apply-now applymanually applynow autofillwithresume login thanks"
    " uselastapplication usemylastapplication"
)
_LISTS = _set(
    "about about-us all all-jobs career careers company current-openings explore funding"
    " grant-opportunities grants home index.html index.php internships job-board job-openings"
    " jobs join join-us listings open-positions open-roles openings opportunities page positions"
    " results search students vacancies work-with-us"
)
_FOLDERS = _set(
    "job jobs opening openings opportunity position positions posting vacancy vacancies"
)
# Not `it` and `no`, which are words of paths as well.
_LANGUAGES = _set("de en es fr ja ko nl pl pt ru sv zh")
_LOCALE = re.compile(r"[a-z]{2}[-_](?:[a-z]{2}|[a-z]{4})")
_UUID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
# A number by itself that is no year, day or page; a long number; a UUID.
_NUMBERED = re.compile(
    rf"(?<!/page)/(?!(?:19|20)\d\d$)\d+$|/(?!(?:19|20)\d\d/)\d{{3,}}/|\d{{5,}}|{_UUID}", re.I
)

_BOARDS = {
    "greenhouse.io": _Board(posting=re.compile(r"/jobs/(\d+)|[?&](?:token|gh_jid)=(\d+)")),
    "lever.co": _Board(posting=re.compile(rf"/({_UUID})", re.I)),
    "ashbyhq.com": _Board(posting=re.compile(rf"/({_UUID})", re.I)),
    "smartrecruiters.com": _Board(posting=re.compile(rf"/(\d{{9,}}|{_UUID})", re.I)),
    "workable.com": _Board(posting=re.compile(r"/j/([0-9A-Z]{8,})")),
    "jobvite.com": _Board(posting=re.compile(r"/job/(\w{6,})")),
    "linkedin.com": _Board(
        posting=re.compile(r"/jobs/view/(?:[^/?]*-)?(\d{6,})|[?&]currentJobId=(\d{6,})")
    ),
    "indeed.com": _Board(posting=re.compile(r"[?&]v?jk=([0-9a-f]{8,})")),
    "myworkdayjobs.com": _Board(
        posting=re.compile(r"/(?:job|details)/(?:[^?]*/)?[^/?]*_([^/?_]*\d[^/?_]*)"), shared=False
    ),
    "icims.com": _Board(posting=re.compile(r"/jobs/(\d+)"), shared=False),
    "oraclecloud.com": _Board(posting=re.compile(r"/(?:job|preview)/(\d+)"), shared=False),
}
# A company's own page that shows a posting of a board; a short number may be the company's own.
_EMBEDDED = re.compile(rf"[?&](?:gh_jid=(\d{{7,}})|ashby_jid=({_UUID}))(?=&|$)", re.I)


def canonical_link(url: str) -> str:
    """The link without what doesn't tell postings apart: scheme, `www`, tracking, locale, the
    steps of a form such as `/apply`. A posting of a known board goes by its name there. A text
    that is no link stays as it is.
    """
    return read_link(url).form


@lru_cache(maxsize=32_768)
def read_link(url: str) -> Link:
    """The link's form, and what it leads to."""
    try:
        parts = urlsplit(url)
        host = _host(parts)
    except ValueError:  # a broken port or bracket
        host = ""
    if not host:
        return Link(form=url, target=Target.PAGE)
    posting = _on_board(host, parts)
    if posting is not None:
        return Link(form=posting, target=Target.POSTING)
    return _on_site(host, parts)


def _host(parts: SplitResult) -> str:
    """The host without `www`, a locale and the usual port; empty when there is none."""
    host = (parts.hostname or "").rstrip(".").removeprefix("www.")
    first, _, rest = host.partition(".")
    if "." in rest and _LOCALE.fullmatch(first):
        host = rest
    port = parts.port if ":" in parts.netloc else None
    usual = port is None or port == _DEFAULT_PORTS.get(parts.scheme)
    return host if usual else f"{host}:{port}"


def _domain(host: str) -> str:
    return ".".join(host.rsplit(".", 2)[-2:])


# --- job boards -------------------------------------------------------------------------------


def _on_board(host: str, parts: SplitResult) -> str | None:
    """`board/posting` where a known board's posting is named, else None."""
    where = f"{unquote(parts.path)}?{parts.query}"
    domain = _domain(host)
    board = _BOARDS.get(domain)
    if board is not None and (named := board.posting.search(where)):
        return f"{domain if board.shared else host}/{_name(named)}"
    if embedded := _EMBEDDED.search(where):
        return f"{'greenhouse.io' if embedded[1] else 'ashbyhq.com'}/{_name(embedded)}"
    return None


def _name(named: re.Match[str]) -> str:
    """Lower case only where case says nothing: a UUID's or a number's with a letter before it."""
    name = str(named[1] or named[2])
    return name if name.isalnum() and not name.isdigit() else name.lower()


# --- other sites ------------------------------------------------------------------------------


def _on_site(host: str, parts: SplitResult) -> Link:
    segments = _segments(parts.path)
    pairs = _pairs(parts.query)
    named = any(key in _POSTING or key.isdigit() for key, _ in pairs)
    route = "" if named else _route(parts.fragment)
    named = named or _numbered(segments if not route else [*segments, route])
    query = "&".join(f"{k}={v}" for k, v in sorted(pairs) if not (named and k in _SEARCH))
    form = "/".join((host, *segments))
    form += (f"?{query}" if query else "") + (f"#{route}" if route else "")
    return Link(form=form, target=Target.POSTING if named else _target(form))


def _target(form: str) -> Target:
    """What a link that names no posting by a number leads to."""
    if not re.search("[/?#]", form):
        return Target.LIST if form in _BOARDS or _domain(form) in _BOARDS else Target.HOME
    host, *segments = form.partition("#")[0].partition("?")[0].lower().split("/")
    if _domain(host) in _BOARDS and len(segments) < 2 and "#" not in form:
        return Target.LIST  # the board's page of one company
    if len(segments) > 1 and segments[-2] in _FOLDERS and not _lists(segments[-1]):
        return Target.NAMED
    listed = segments and all(map(_lists, segments)) and "#" not in form
    return Target.LIST if listed else Target.PAGE


def _lists(segment: str) -> bool:
    return segment in _LISTS or segment.isdigit()  # a year, or a page of the list


def _segments(path: str) -> list[str]:
    """The parts of a path without the steps of a form and without its locale."""
    segments = [part for part in unquote(path).split("/") if part]
    while segments and segments[-1].lower() in _FORM_STEPS:
        segments.pop()
    at = _locale_at([segment.lower() for segment in segments[:2]])
    rest = segments if at is None else segments[:at] + segments[at + 1 :]
    # Not where little is left: `/de/careers` and `/fr/careers` may list the jobs of two countries.
    return rest if len(rest) > 1 + (at or 0) or _numbered(rest) else segments


def _numbered(segments: list[str]) -> bool:
    return _NUMBERED.search("/" + "/".join(segments)) is not None


def _locale_at(start: list[str]) -> int | None:
    """Where the locale stands: first, or behind a country as in `/us/en/`."""
    if start and _is_locale(start[0]):
        return 0
    return 1 if len(start) > 1 and len(start[0]) == 2 and _is_locale(start[1]) else None


def _is_locale(segment: str) -> bool:
    return segment in _LANGUAGES or _LOCALE.fullmatch(segment) is not None


def _pairs(query: str) -> list[tuple[str, str]]:
    """The parameters that count; one without a value does only as a number, as in `?4600123`."""
    pairs = ((key.lower(), value) for key, value in parse_qsl(query, keep_blank_values=True))
    return [(key, value) for key, value in pairs if (value or key.isdigit()) and not _tracks(key)]


def _tracks(key: str) -> bool:
    return key in _TRACKING or key.startswith(_TRACKING_PREFIXES)


def _route(fragment: str) -> str:
    """The fragment where it is a route within the page, such as `/job/123`, else nothing."""
    route = unquote(fragment).partition("?")[0].strip("!/")
    if not re.search("[/=]", fragment) or route.startswith(":~:") or route.lower() in _LISTS:
        return ""
    return "" if _tracks(route.partition("=")[0].lower()) else route
