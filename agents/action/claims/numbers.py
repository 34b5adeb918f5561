"""Numbers with their units, however they are written: `10+ years`, `ten yrs`, `a decade`, `$2M`."""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise, takewhile

from agents.action.claims.words import Word, lexicon, lexicon_map, stem, words_in

_DIGITS = re.compile(r"(\d+(?:[.,]\d+)*)([^\W\d_]*)\+?")
_GROUPED = re.compile(r"\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d{1,3}(?:\.\d{3})+")
_CURRENCY = "$€£¥₹₦"
_CODES = frozenset(("usd", "eur", "gbp", "inr", "chf", "dollars", "euros", "pounds", "rupees"))
_DAYS_MAX = 31
_BEHIND_ELLIPSIS = frozenset(("at", "as", "in", "with", "for", "of"))
_DOUBLED_THINGS = frozenset(("work", "check", "checks", "room", "shift", "shifts", "role", "page"))
_FRACTION = re.compile(
    r"(?:third|quarter|fifth|tenth)s?$|(?:two|three|four|five|six|eight|ten)fold$"
)


@dataclass(frozen=True, slots=True)
class Number:
    """A number, its place, its unit when that is a known one, and stems of the words near it.

    `value` is None for what only sounds like a number: `dozens of`, `many years`, `doubled`.
    """

    start: int
    end: int
    value: float | None
    unit: str | None
    near: frozenset[str]
    year: bool = False


def numbers_in(text: str, words: Sequence[Word]) -> list[Number]:
    """The numbers among the words of a text."""
    found: list[Number] = []
    at = 0
    while at < len(words):
        number, used = _number_at(text, words, at)
        if number is not None:
            found.append(number)
        at += max(used, 1)
    return found


def _number_at(text: str, words: Sequence[Word], at: int) -> tuple[Number | None, int]:
    word = words[at]
    if _DIGITS.fullmatch(word.text) or word.text[0].isdigit():
        return _from_digits(text, words, at)
    spelled, used = _spelled(text, words, at)
    if spelled is not None:
        return _with_unit(text, words, at, used, value=spelled), used
    return _vague(text, words, at), 1


def _from_digits(text: str, words: Sequence[Word], at: int) -> tuple[Number | None, int]:
    word = words[at]
    match = _DIGITS.match(unicodedata.normalize("NFKC", word.text))
    if match is None:
        return Number(word.start, word.end, None, None, frozenset()), 1
    value, suffix, used = _value(match[1]), match[2].casefold(), 1
    placing = lexicon_map("ordinals").get(word.plain)
    if placing is not None:
        return _placing(words, at, float(placing)), 1
    scale = lexicon_map("scales").get(suffix)
    if scale is not None and value is not None:
        value, suffix = value * float(scale), ""
    elif not suffix and at + 1 < len(words) and _joined(text, word, words[at + 1]):
        scale = lexicon_map("scales").get(words[at + 1].plain)
        if scale is not None and value is not None:
            value, used = value * float(scale), 2
    unit = lexicon_map("units").get(suffix, suffix) or None
    number = _with_unit(text, words, at, used, value=value, unit=unit)
    year = suffix in ("", "s") and _is_year(text, match[1]) and number.unit in (None, "s")
    return (
        (Number(number.start, number.end, value, None, number.near, year=True), used)
        if (year)
        else (number, used)
    )


def _value(digits: str) -> float | None:
    plain = re.sub(r"[.,]", "", digits) if _GROUPED.fullmatch(digits) else digits
    plain = plain.replace(",", ".") if plain.count(",") == 1 else plain
    try:
        return float(plain)
    except ValueError:  # "1.2.3" is a version
        return None


def _is_year(text: str, digits: str) -> bool:
    return len(digits) == 4 and digits.isdigit() and 1950 <= int(digits) <= 2099


def _spelled(text: str, words: Sequence[Word], at: int) -> tuple[float | None, int]:
    """The value of number words from `at` on and how many they are: `twenty-five`, `half a
    million`; "one" counts only before a unit or a scale."""
    small, scales = lexicon_map("number_words"), lexicon_map("scales")
    total = current = 0.0
    used = 0
    while at + used < len(words):
        word = words[at + used].plain
        if used and not _joined(text, words[at + used - 1], words[at + used]):
            break
        if word in small:
            current += float(small[word])
        elif word in scales and len(word) > 2 and (used or _after_article(words, at)):
            current = max(current, 1) * float(scales[word])
            if float(scales[word]) > 100:
                total, current = total + current, 0.0
        elif word == "decade" and (used or _after_article(words, at)):
            return (total + current or 1) * 10, used + 1
        elif not (word == "and" and used and words[at + used - 1].plain in scales):
            break
        used += 1
    if not used or (used == 1 and words[at].plain == "one" and not _before_unit(words, at)):
        return None, 0
    return total + current, used


def _after_article(words: Sequence[Word], at: int) -> bool:
    return at > 0 and words[at - 1].plain in lexicon("articles")


def _before_unit(words: Sequence[Word], at: int) -> bool:
    return at + 1 < len(words) and words[at + 1].plain in lexicon_map("units")


def _joined(text: str, word: Word, following: Word) -> bool:
    return not text[word.end : following.start].strip(" -‐\u00a0")


def _with_unit(
    text: str,
    words: Sequence[Word],
    at: int,
    used: int,
    *,
    value: float | None,
    unit: str | None = None,
) -> Number:
    """The number that the `used` words from `at` on are, with the unit that stands by it."""
    first, last = words[at], words[at + used - 1]
    before, behind = text[max(0, first.start - 1) : first.start], text[last.end : last.end + 2]
    if unit is None and before and before in _CURRENCY:
        unit = "money"
    elif unit is None and behind.strip().startswith("%"):
        unit = "%"
    after = _following(text, words, at + used)
    if last.plain == "decade" or (unit is None and after and after[0].plain == "decades"):
        unit = "year"
    units = lexicon_map("units")
    apart = lexicon("measured_apart")
    for word in takewhile(lambda word: word.plain not in apart, after[:3]):
        if unit is None and (word.plain in _CODES or word.plain in units):
            unit = "money" if word.plain in _CODES else units[word.plain]
    if unit is None and value is not None and value <= _DAYS_MAX and _dated(words, at, after):
        unit = "date"
    near = [w.plain for w in (*words[max(0, at - 4) : at], *after)]
    stems = frozenset(stem(w) for w in near if w not in lexicon("stop_words"))
    return Number(first.start, last.end, value, unit, stems)


def _dated(words: Sequence[Word], at: int, after: Sequence[Word]) -> bool:
    """Whether a month stands by a number: `1 March`, `March 1`, `the 1st of March`."""
    behind = after[1:2] if after and after[0].plain == "of" else after[:1]
    beside = (*words[max(0, at - 1) : at], *behind)
    return any(word.capital and word.plain in lexicon("months") for word in beside)


def _following(text: str, words: Sequence[Word], at: int) -> list[Word]:
    """The words behind a number that may be its unit: up to the next mark, or the next number."""
    found: list[Word] = []
    for word in words[at : at + 4]:
        before = words[at + len(found) - 1]
        if text[before.end : word.start].strip(" -+%\u00a0)") or word.text[0].isdigit():
            break
        found.append(word)
    return found


def _placing(words: Sequence[Word], at: int, value: float) -> Number | None:
    """`second place`, `third year`, `1st author`; other ordinals only order the text."""
    following = words[at + 1].plain if at + 1 < len(words) else ""
    if following not in lexicon("placings"):
        if not words[at].text[0].isdigit():
            return None
        following = ""
    return Number(words[at].start, words[at].end, value, f"#{following}", frozenset())


def _vague(text: str, words: Sequence[Word], at: int) -> Number | None:
    word = words[at].plain
    placing = lexicon_map("ordinals").get(word)
    if placing is not None:
        numbered = _placing(words, at, float(placing))
        if numbered is not None:
            return numbered
    near = frozenset((stem(word),))
    after = [w.plain for w in words[at + 1 : at + 4]]
    units = lexicon_map("units")
    if word in lexicon("stretches"):
        timed = [units[w] for w in after if w in units]
        return Number(words[at].start, words[at].end, None, timed[0], near) if timed else None
    if word == "half" and [w.plain for w in words[max(0, at - 2) : at]] == ["and", "a"]:
        return None  # of "a year and a half"
    fraction = _FRACTION.fullmatch(word) and at > 0
    if fraction and (words[at - 1].plain in ("a", "one", "two", "three", "by") or "fold" in word):
        return Number(words[at].start, words[at].end, None, None, near)
    if word in ("double", "triple") and after and after[0] in _DOUBLED_THINGS:
        return None
    if word in lexicon("vague"):
        unit = "year" if word == "decades" else None
        return Number(words[at].start, words[at].end, None, unit, near)
    return None


def numbers_of(text: str) -> list[Number]:
    """The numbers of a whole text; in `8 years, of which 5 abroad` both are of years."""
    words = words_in(text)
    before = {word.start: previous.plain for previous, word in pairwise(words)}
    behind = {word.end: following.plain for word, following in pairwise(words)}
    found: list[Number] = []
    for number in numbers_in(text, words):
        elliptic = number.unit is None and not number.year and found != []
        if elliptic and found[-1].unit in ("year", "month"):
            beside = before.get(number.start, ""), behind.get(number.end, "")
            if beside[0] in lexicon("elliptic") or beside[1] in _BEHIND_ELLIPSIS:
                found.append(replace(number, unit=found[-1].unit))
                continue
        found.append(number)
    return found
