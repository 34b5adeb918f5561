"""Hacker News' monthly "Who is hiring?": comments, by custom headed
`Company | Role | Place | REMOTE | Pay`, in any order after the company."""

import html
import re
from collections import defaultdict

from agents.discovery.pay_text import read_pay
from agents.domain.kind import Kind
from agents.domain.place import parse_location

_HIRING = re.compile(r"who is hiring", re.IGNORECASE)
_TAG = re.compile(r"<[^<>]*>")
_LINK = re.compile(r"https?://(?:www\.)?([^\s/?#]+)\S*")
_ROLE = re.compile(
    r"\b(?:engineer(?:s|ing)?|developers?|devs?|programmers?|designers?|scientists?|managers?"
    r"|analysts?|architects?|researchers?|leads?|director|head of|sre|devops|full[- ]?stack"
    r"|front[- ]?end|back[- ]?end|founding|cto|interns?|internship|writers?|marketer|sales|"
    r"recruiter|consultants?|administrator|support|product|data|ml|ai|qa|tester|security)\b",
    re.IGNORECASE,
)
_EMPLOYMENT = re.compile(
    r"^(?:full[- ]?time|part[- ]?time|contract(?:or)?|freelancer?|permanent|unpaid"
    r"|interns?(?:hips?)?|(?:no )?visas?\b.*|equity.*|ft|pt)"
    r"(?:\s*(?:[/,&+(]|\bor\b|\band\b|\bto hire\b).*|\s+(?:employees?|positions?|roles?|only))?$",
    re.IGNORECASE,
)
_WORKPLACE = re.compile(r"\b(?:remote|on-?site|hybrid|in[- ]?(?:office|person))\b", re.IGNORECASE)
_NO_PLACE = re.compile(r"(?:on-?site|hybrid|in[- ]?(?:office|person))(?: only)?", re.IGNORECASE)
_BATCH = re.compile(r"\s*\((?:YC\s*[SWFX]?'?\d\d[^)]*|\s*https?:[^)]*)\)|\s*\(\s*\)", re.IGNORECASE)
_MONEY = re.compile(r"[$€£₹]|\b\d{2,3}\s?k\b", re.IGNORECASE)

_HEAD_MAX = 1_000

Record = dict[str, object]


def newest_thread(answer: object) -> str | None:
    """The id of the newest "Who is hiring?" story in a search's answer."""
    hits = answer.get("hits") if isinstance(answer, dict) else None
    found = []
    for hit in hits if isinstance(hits, list) else ():
        if isinstance(hit, dict) and _HIRING.search(str(hit.get("title"))):
            identifier = str(hit.get("objectID") or hit.get("story_id") or "")
            if re.fullmatch("[0-9]{1,18}", identifier):
                found.append(identifier)
    return max(found, key=int, default=None)  # ids count up


def hiring_records(item: object) -> list[object] | None:
    """A record for each comment under the story; None when there are no comments at all.

    Deleted comments are left out; one without the customary head has no title, which makes it
    unreadable, so that it is counted.
    """
    children = item.get("children") if isinstance(item, dict) else None
    if not isinstance(children, list):
        return None
    return [
        _record(comment)
        for comment in children
        if isinstance(comment, dict) and isinstance(comment.get("text"), str)
    ]


def _record(comment: Record) -> Record:
    text = str(comment["text"])
    head, _, _body = text.partition("<p>")
    record: Record = {
        "id": comment.get("id"),
        "posted_at": comment.get("created_at"),
        "description": text,
    }
    words = " ".join(_words(head[:_HEAD_MAX]).split())
    parts = [p for p in (_clean(part) for part in re.split(r"[|•]", words)) if p]
    if len(parts) < 2:
        return record  # talk, not a posting
    return record | _fields(parts)


def _fields(parts: list[str]) -> Record:
    """What the head's parts say: the first is the company, each other is what it looks like."""
    company = _LINK.sub(lambda link: link[1], parts[0])
    said: defaultdict[str, list[str]] = defaultdict(list)
    for part in parts[1:]:
        said[_looks_like(part)].append(part)
    roles = said["role"] or said["other"][:1] or [f"Openings at {company}"]
    fields: Record = {
        "title": ", ".join(roles),
        "company": company,
        "locations": said["place"],
        "job_type": " ".join(said["employment"]),
    }
    if said["pay"]:
        fields["salary"] = said["pay"][0]
    if said["not remote"]:
        fields["remote"] = False
    return fields


def _looks_like(part: str) -> str:
    if _MONEY.search(part) and _paid(part):
        return "pay"
    if _EMPLOYMENT.match(part):
        return "employment"
    if _NO_PLACE.fullmatch(part):
        return "not remote"
    if _WORKPLACE.search(part) or _place(part):
        return "place"
    if _ROLE.search(part):
        return "role"
    return "link" if _LINK.search(part) else "other"


def _paid(part: str) -> bool:
    pay = read_pay(part, Kind.JOB)
    return pay is not None and (pay.min is not None or pay.max is not None)


def _place(part: str) -> bool:
    """Whether all that the part names is known places."""
    places = parse_location(part).places
    return bool(places) and all(p.country or p.area for p in places)


def _words(markup: str) -> str:
    return html.unescape(_TAG.sub(" ", markup))


def _clean(part: str) -> str:
    return " ".join(_BATCH.sub(" ", part).split()).strip(" -–—,")
