"""How facts are put for people, the same in the chat and the terminal."""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta

from agents.domain.match import Funnel
from agents.domain.opportunity import Listing, Opportunity
from agents.domain.pay import Pay

_DROPPED = {
    "kind": "of another kind",
    "dismissed": "marked “Not for me”",
    "place": "elsewhere",
    "pay": "known to pay less than your minimum",
    "not_looked_at": "not looked at",
}


def pay_words(pay: Pay | None) -> str:
    """The posting's own wording, shortened; a dash when it states none."""
    return "pay not stated" if pay is None else shorten(pay.text, 48)


def place_words(opportunity: Opportunity) -> str:
    """Where it is, in a few words."""
    places = ", ".join(opportunity.locations[:2])
    if len(opportunity.locations) > 2:
        places += f" +{len(opportunity.locations) - 2}"
    if not places:
        return "remote" if opportunity.remote else "place not stated"
    says_so = any(w in places.lower() for w in ("remote", "online", "virtual"))
    return f"{places} (remote)" if opportunity.remote and not says_so else places


def also_words(listings: Sequence[Listing]) -> str:
    """The sources that have the posting too: `remotive, jobicy`, or `file (3)`."""
    counts = Counter(listing.source for listing in listings)
    return ", ".join(name if n == 1 else f"{name} ({n})" for name, n in counts.items())


def deadline_words(opportunity: Opportunity) -> str:
    """Until when, or the posting's own words for it."""
    if opportunity.deadline is not None:
        return f"until {opportunity.deadline:%d %b %Y}"
    return shorten(opportunity.deadline_text, 40) if opportunity.deadline_text else "no deadline"


def age_words(seconds: float) -> str:
    """How old our copy is: `now`, `5 min old`, `3 h old`, `2 days old`."""
    for limit, length, unit in ((5400, 60, "min"), (129_600, 3600, "h")):
        if seconds < limit:
            count = round(seconds / length)
            return f"{count} {unit} old" if count else "read just now"
    return f"{round(seconds / 86_400)} days old"


def funnel_lines(funnel: Funnel) -> list[str]:
    """What became of everything found, a line each."""
    lines = [f"{funnel.found:,} found"]
    if funnel.duplicates:
        lines.append(counted(funnel.duplicates, "duplicate"))
    lines += [f"{n:,} {_DROPPED[name]}" for name, n in funnel.filtered.items() if name == "kind"]
    lines += [
        f"{n:,} {word}"
        for n, word in ((funnel.expired, "expired"), (funnel.inactive, "closed"))
        if n
    ]
    lines += [f"{n:,} {_DROPPED[name]}" for name, n in funnel.filtered.items() if name != "kind"]
    best = "all" if funnel.shown == funnel.ranked else f"the best {funnel.shown:,}"
    lines.append(f"{funnel.ranked:,} ranked, {best} kept")
    if funnel.unreadable:
        lines.append(f"besides, {funnel.unreadable:,} records could not be read")
    return lines


def counted(number: int, thing: str) -> str:
    """`1 step`, `3 steps`."""
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


def date_words(instant: datetime) -> str:
    """A day, as people read it."""
    return f"{instant:%d %b %Y}"


def shorten(text: str, longest: int) -> str:
    """At most `longest` characters as Telegram counts them (UTF-16 units), the cut marked."""
    if len(text) <= longest and (text.isascii() or _units(text) <= longest):
        return text
    kept = text[: longest - 1]
    while _units(kept) > longest - 1:
        kept = kept[: len(kept) - max(1, (_units(kept) - longest) // 2)]
    return kept.rstrip() + "…"


def _units(text: str) -> int:
    return len(text.encode("utf-16-le", "replace")) // 2


def wait_words(seconds: float) -> str:
    """How long to wait, roughly."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{round(seconds / 60):,} min"


def span_words(span: timedelta) -> str:
    """How long, in one or two units: `40 s`, `12 min`, `3 h 20 min`, `2 days`."""
    seconds = max(0, round(span.total_seconds()))
    if seconds < 90:
        return f"{seconds} s"
    minutes, hours = round(seconds / 60), seconds // 3600
    if minutes < 90:
        return f"{minutes} min"
    if hours < 48:
        rest = (seconds - hours * 3600) // 60
        return f"{hours} h {rest} min" if rest else f"{hours} h"
    return f"{round(seconds / 86_400)} days"
