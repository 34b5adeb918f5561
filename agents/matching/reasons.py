"""Why a posting fits, and what to be careful of, in words that a person reads."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from agents.domain.opportunity import Opportunity
from agents.domain.pay import PayVerdict, compare
from agents.domain.place import parse_location
from agents.matching.filters import PlaceFit
from agents.matching.roles import Vector, titled_role
from agents.matching.text import READ_MAX, SKILL, names, stem, stems, words
from agents.matching.wish import Concept, Wish

_SKILLS_NAMED_MAX = 6
_TOPICS_NAMED_MAX = 2
_YOUNG_DAYS = 60.0
_OLD_DAYS = 180.0
_DEADLINE_NAMED_DAYS = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What of a wish a posting says, beside the terms that make it close in topic without being
    wished for (the closest first), and how well each role family suits the person."""

    said: tuple[Concept, ...]
    topic: tuple[str, ...]
    roles: Vector


def reasons_of(
    o: Opportunity,
    fit: PlaceFit,
    wish: Wish,
    evidence: Evidence,
    now: datetime,
) -> tuple[str, ...]:
    """What speaks for a posting, the strongest first: from what it says, and nothing else."""
    skills, asked = _skills(o, wish, evidence.said), _asked(evidence.said, stems(o.title))
    work = (asked, skills) if wish.words else (skills, asked)
    role = None if asked else titled_role(o.title, evidence.roles)
    reasons = (
        *work,
        f"title says {role}" if role else None,
        None if any(work) else _topic(evidence.topic, o),
        _pay(o, wish),
        _place(o, fit),
        _age(o, now),
    )
    found = tuple(reason for reason in reasons if reason)
    return found or (f"a current {o.kind}; nothing in it matches your words",)


def cautions_of(o: Opportunity, fit: PlaceFit, wish: Wish, now: datetime) -> tuple[str, ...]:
    """Each doubt about a posting."""
    cautions = []
    if o.source == "sample":
        cautions.append("sample posting, not a real offer")
    if o.url is None:
        cautions.append("no link")
    if fit is PlaceFit.UNKNOWN:
        cautions.append("place not recognised" if o.locations else "states no place")
    if fit is PlaceFit.REMOTE and (countries := _foreign_countries(o, wish)):
        cautions.append(f"remote, but names {countries}: check that your place is meant")
    if o.posted_at is not None and -_days(o.posted_at, now) > _OLD_DAYS:
        cautions.append(f"posted {_ago(-_days(o.posted_at, now))}, may be filled")
    if o.posted_at is not None and o.posted_at > now:
        cautions.append(f"opens on {o.posted_at:%d %b %Y}")
    if o.deadline is None and o.deadline_text and not o.deadline_text.lower().startswith("rolling"):
        cautions.append(f"deadline unknown: it says “{o.deadline_text[:80]}”")
    if o.pay and wish.min_pay and compare(o.pay, wish.min_pay) is PayVerdict.UNKNOWN:
        cautions.append("its pay can't be compared with your minimum")
    return tuple(cautions)


# --- what speaks for it -----------------------------------------------------------------------


def _skills(o: Opportunity, wish: Wish, said: Sequence[Concept]) -> str | None:
    """A skill of several words must stand in the posting as they do in its name."""
    text = stems(_read(o))
    held = [
        concept.shown
        for concept in said
        if concept.skill is not None
        and (concept.skill in o.skills or names(text, stems(concept.skill)))
    ]
    named = ", ".join(held[:_SKILLS_NAMED_MAX])
    more = ", …" if len(held) > _SKILLS_NAMED_MAX else ""
    return f"{len(held)} of {len(wish.skills)} skills: {named}{more}" if held else None


def _asked(said: Sequence[Concept], title: Sequence[str]) -> str | None:
    asked = [concept for concept in said if concept.skill is None]
    in_title = [c.shown for c in asked if any(names(title, way) for way in c.ways)]
    if in_title:
        return f"title says {', '.join(in_title)}"
    return f"mentions {', '.join(c.shown for c in asked)}" if asked else None


def _topic(topic: Sequence[str], o: Opportunity) -> str | None:
    """Terms are stems; what is shown is the posting's own word."""
    written = {stem(word): word for word in reversed(words(_read(o)))}
    shown = [t.removeprefix(SKILL) if t.startswith(SKILL) else written.get(t) for t in topic]
    named = list(dict.fromkeys(word for word in shown if word))[:_TOPICS_NAMED_MAX]
    return f"close in topic: {', '.join(named)}" if named else None


def _place(o: Opportunity, fit: PlaceFit) -> str | None:
    match fit:
        case PlaceFit.HERE:
            return f"in {_here(o)}"
        case PlaceFit.NEAR:
            return f"near you: {_here(o)}"
        case PlaceFit.REMOTE:
            return "remote"
        case _:
            return None


def _here(o: Opportunity) -> str:
    shown = ", ".join(o.locations[:2])
    return shown if len(o.locations) <= 2 else f"{shown} and {len(o.locations) - 2} more"


def _pay(o: Opportunity, wish: Wish) -> str | None:
    wanted = wish.min_pay
    if wanted is None or compare(o.pay, wanted) is not PayVerdict.ENOUGH:
        return None
    return f"pays your minimum of {wanted} or more"


def _age(o: Opportunity, now: datetime) -> str | None:
    if o.posted_at is None:
        soon = _days(o.deadline, now) if o.deadline else 0.0
        near = 1 <= soon <= _DEADLINE_NAMED_DAYS
        return f"open for {_count(soon, 'more day')}" if near else None
    age = -_days(o.posted_at, now)
    return f"posted {_ago(age)}" if 0 <= age <= _YOUNG_DAYS else None


# --- small parts ------------------------------------------------------------------------------


def _read(o: Opportunity) -> str:
    return " ".join((o.title, *o.skills, (o.description or "")[:READ_MAX]))


def _foreign_countries(o: Opportunity, wish: Wish) -> str:
    """The countries a remote posting names, when none of them is one the person asked for."""
    wanted = {place.country for place in wish.place.home}
    named = {p.country for text in o.locations for p in parse_location(text).places}
    countries = sorted(country for country in named if country)
    return "" if wanted & named else ", ".join(c.title() for c in countries[:3])


def _days(instant: datetime, now: datetime) -> float:
    return (instant - now).total_seconds() / 86_400


def _ago(days: float) -> str:
    if days < 1:
        return "today"
    for unit, length, least in (("year", 365.0, 1), ("month", 30.4, 2)):
        if days / length >= least:
            return f"{_count(days / length, unit)} ago"
    return f"{_count(days, 'day')} ago"


def _count(number: float, unit: str) -> str:
    return f"{int(number)} {unit}{'s' if int(number) > 1 else ''}"
