"""How many of the real pay, deadline and location texts are read, and which layouts are not.

Reads the postings in the folder that WEBSCOUT_TEST_DATA names. A layout is a text with every
number as 9, and of pay only the first amounts with what stands at them. A text without a number,
such as `Competitive` or `prizes`, states no amount: it is read as unknown, and counted apart.
"""

import json
import os
import re
import sys
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from agents.discovery.dates import read_deadline, read_instant
from agents.discovery.pay_text import read_pay
from agents.domain.kind import Kind
from agents.domain.place import parse_location

LISTED = 40
_MARK = r"(?:[a-z]{0,3}[$€£₹¥]|\b(?:usd|eur|gbp|chf|cad|aud|sgd|inr)\b)"
_ONE = (
    rf"~?{_MARK}?\s?\d+(?:[.,']\d+)*\s?(?:(?:k|m|b|million|billion|lakh|lpa)\b)?"
    rf"(?:\s?{_MARK}(?!\s?\d))?(?:\+(?!\s?\d))?"
)
_BOUND = r"(?:up to|from|under|over|at least|no less than|minimum|less than|<)"
_PERIOD = r"(?:(?:/|per |an? )\s?[a-z]+|annually|monthly|weekly|hourly|annual\b)"
_AMOUNTS = re.compile(
    rf"(?:{_BOUND}\s?)?{_ONE}(?:\s?(?:, or|or|to|[-~/,])\s?{_ONE})*(?:\s?{_PERIOD})?"
)


@dataclass(slots=True)
class Share:
    """How many texts were read, were read as unknown, and the layouts of those that were not."""

    read: int = 0
    unknown: int = 0
    unread: Counter[str] = field(default_factory=Counter)

    @property
    def total(self) -> int:
        """All texts."""
        return self.read + self.unknown + self.unread.total()

    @property
    def of_all(self) -> float:
        """The share of texts that were read, with an amount or as stating none."""
        return (self.read + self.unknown) / self.total

    @property
    def of_stated(self) -> float:
        """The share of texts that were read among those that hold a number or name a place."""
        return self.read / (self.total - self.unknown)


def layout(text: str) -> str:
    """The first amounts of a pay text and the bound and period at them, every number as 9."""
    words = " ".join(text.lower().split()).replace("–", "-").replace("—", "-")
    first = next((m for m in _AMOUNTS.finditer(words) if re.search(_MARK, m[0])), None)
    if first is None:
        return "words and 9" if re.search(r"\d", words) else "words"
    numbers = re.sub(r"\d+", "9", first[0])
    thing = r"(?:per |/ ?)(?!(?:hour|hr|day|week|month|mo|quarter|fiscal|year|yr)\b)[a-z]+"
    return re.sub(thing, "each", re.sub(r"9(?:,9)+", "9,9", numbers)).strip()


def pay_share(records: Iterable[dict[str, object]]) -> Share:
    """How the records' pay texts are read."""
    share = Share()
    for record in records:
        text = str(record.get("pay_text") or "")
        pay = read_pay(text, Kind(str(record["kind"])))
        if pay is None:
            continue
        if pay.min is not None or pay.max is not None:
            share.read += 1
        elif re.search(r"\d", text) is None:
            share.unknown += 1
        else:
            share.unread[re.sub(r"\d+", "9", text)] += 1
    return share


def deadline_share(records: Iterable[dict[str, object]]) -> Share:
    """How the records' deadlines are read: a day, or closed; the rest keeps its text."""
    share = Share()
    for record in records:
        text = record.get("deadline")
        if not isinstance(text, str) or not text:
            continue
        deadline = read_deadline(text, read_instant(record.get("posted_at")))
        if deadline.at is not None or deadline.closed:
            share.read += 1
        elif re.search(r"\d", text) is None:
            share.unknown += 1  # "Rolling"
        else:
            share.unread[re.sub(r"\d+", "9", text)] += 1
    return share


def location_share(records: Iterable[dict[str, object]]) -> Share:
    """How the records' locations are read: a known country or area, or remote."""
    share = Share()
    for record in records:
        listed = record.get("locations")
        for text in listed if isinstance(listed, list) else []:
            location = parse_location(text)
            if location.remote or any(p.country or p.area for p in location.places):
                share.read += 1
            elif not location.places:
                share.unknown += 1  # "Multiple locations"
            else:
                share.unread[re.sub(r"\d+", "9", text)] += 1
    return share


def main() -> None:
    """Print the shares and what was not read."""
    folder = os.environ.get("WEBSCOUT_TEST_DATA", "")
    file = Path(folder) / "opportunities_public.jsonl"
    if not folder or not file.exists():
        sys.exit("set WEBSCOUT_TEST_DATA to the folder of real postings")
    records = [json.loads(line) for line in file.read_text("utf-8").splitlines()]
    _print("pay", pay_share(records))
    _print("deadlines", deadline_share(records))
    _print("locations", location_share(records))
    layouts = Counter(layout(str(r["pay_text"])) for r in records if r.get("pay_text"))
    print(f"\n{len(layouts)} layouts of pay; the {LISTED} commonest:")
    for name, count in layouts.most_common(LISTED):
        print(f"{count:7} {name}")


def _print(name: str, share: Share) -> None:
    print(
        f"{name}: {share.total} texts, {share.read} read, {share.unknown} state none, "
        f"{share.unread.total()} not read: {share.of_all:.1%} of all, "
        f"{share.of_stated:.1%} of those that state something"
    )
    for text, count in share.unread.most_common(LISTED):
        print(f"{count:7} {text[:120]}")


if __name__ == "__main__":
    main()
