"""Pay as postings write it: `$60k-80k/yr`, `€45/hr`, `1,500 USDC`, `Competitive`."""

import re
from functools import lru_cache

from agents.domain.errors import InvalidValue
from agents.domain.kind import Kind
from agents.domain.pay import MinPay, Pay, Period
from agents.domain.rates import CURRENCIES

_TEXT_MAX = 200
_SYMBOLS = {
    "US$": "USD", "CA$": "CAD", "C$": "CAD", "A$": "AUD", "AU$": "AUD", "NZ$": "NZD", "S$": "SGD",
    "HK$": "HKD", "R$": "BRL", "MX$": "MXN", "$": "USD", "€": "EUR", "£": "GBP", "₹": "INR",
    "¥": "JPY", "₦": "NGN", "₩": "KRW", "₪": "ILS", "zł": "PLN", "₺": "TRY", "₴": "UAH",
}  # fmt: skip
_TOKENS = frozenset({"ETH", "BTC", "SOL", "DOT", "XMR", "LPT", "ROSE"})
_WORDS = {
    "euros": "EUR",
    "euro": "EUR",
    "dollars": "USD",
    "pounds": "GBP",
    "rupees": "INR",
    "rs": "INR",
}
_CODES = {c.lower(): c for c in CURRENCIES | _TOKENS} | _WORDS

_SYMBOL = "|".join(re.escape(s.lower()) for s in sorted(_SYMBOLS, key=len, reverse=True))
_CODE = "|".join(sorted(_CODES, key=len, reverse=True))
_SYMBOL_CODES = {symbol.lower(): code for symbol, code in _SYMBOLS.items()}
_NUMBER = (
    r"0[.,]\d+"  # 0.125
    r"|\d{1,3}(?:[.,']\d{2,3}|\s\d{3}(?!\s*%))+(?:[.,]\d{1,2})?(?!\d)"  # 1,500  12,00,000  45 000
    r"|\d+(?:[.,]\d+)?"
)
_AMOUNT = re.compile(
    rf"(?P<before>{_SYMBOL}|\b(?:{_CODE})\b)?\s*(?P<number>{_NUMBER})"
    rf"\s*(?P<scale>lakhs?|lacs?|lpa|crores?|millions?|billions?|mn|bn|[kmb](?![a-z]))?"
    rf"\s*(?P<after>{_SYMBOL}|\b(?:{_CODE})\b)?"
)
_SCALES = {"k": 1e3, "m": 1e6, "b": 1e9, "mn": 1e6, "bn": 1e9, "million": 1e6, "billion": 1e9,
           "lakh": 1e5, "lac": 1e5, "lpa": 1e5, "crore": 1e7}  # fmt: skip
_PERIODS = (
    (Period.ONCE, re.compile(r"\bonce\b|\bone[- ]time\b")),
    (Period.HOUR, re.compile(r"(?:/|\bper\b|\ban?\b)\s*(?:hours?|hr|h)\b|\bhourly\b|\bph\b")),
    (Period.DAY, re.compile(r"(?:/|\bper\b|\ba\b)\s*(?:day|d)\b|\bdaily\b|\bday rate\b")),
    (Period.WEEK, re.compile(r"(?:/|\bper\b|\ba\b)\s*(?:week|wk|w)\b|\bweekly\b")),
    (
        Period.MONTH,
        re.compile(r"(?:/|\bper\b|\ba\b)\s*(?:month|mo|mth|m)\b|\bmonthly\b|\bp\.?m\.?\b"),
    ),
    (
        Period.YEAR,
        re.compile(
            r"(?:/|\bper\b|\ba\b)\s*(?:year|annum|yr|y)\b|\byearly\b|\bannual(?:ly)?\b"
            r"|\bp\.?a\.?\b|\blpa\b"
        ),
    ),
)
_BETWEEN = re.compile(r"\s*(?:(?:/|per\s|an?\s)\s*[a-z]+)?\s*(?:-|to\b|and\b)\s*")
_OTHER_UNIT = re.compile(r"\s*(?:hours?|days?|weeks?|months?|years?|people|winners|%)")
_AMOUNT_MAX = 1e15
PAID_ONCE = {Kind.BOUNTY, Kind.GRANT, Kind.HACKATHON}
_UP_TO = re.compile(r"\b(?:up to|max(?:imum)?|at most|under)\b")
_FROM = re.compile(r"\b(?:from|starting at|min(?:imum)?|at least|over)\b")


def read_period(text: str) -> Period | None:
    """The period a text names: `per year`, `/hr`, `monthly`, or the bare word."""
    words = text.lower().strip()
    for period, pattern in _PERIODS:
        if words == period or pattern.search(words):
            return period
    return None


def read_pay(text: str, kind: Kind) -> Pay | None:
    """The pay in a text, None for an empty one. Parts it doesn't state stay None.

    The first two amounts of one currency are a range when a dash or "to" stands between them.
    Bounties, grants and hackathons without a period pay once.
    """
    shown = " ".join(text.split())[:_TEXT_MAX]
    return _read(shown, kind) if shown else None


@lru_cache(maxsize=4096)
def _read(shown: str, kind: Kind) -> Pay:
    words = shown.lower().replace("–", "-").replace("—", "-")
    period = read_period(words) or (Period.ONCE if kind in PAID_ONCE else None)
    first = _first_amount(words, period)
    if first is None:
        return Pay(text=shown)
    low, high = _bounds(words, first)
    if max(low or 0.0, high or 0.0) >= _AMOUNT_MAX:
        return Pay(text=shown)  # no pay, whatever it is
    return Pay(min=low, max=high, currency=_currency_of(words, first), period=period, text=shown)


def _bounds(words: str, first: re.Match[str]) -> tuple[float | None, float | None]:
    """The least and the most that a text names, None for an end that it leaves open."""
    low, partner = _value(first), _partner(words, first)
    if partner is not None:
        high = _value(partner)
        ratio = low * _scale(partner["scale"]) / high if high else 0.0
        if first["scale"] is None and 0.1 <= ratio <= 10:  # "60-80k"
            low *= _scale(partner["scale"])
        return min(low, high), max(low, high)
    before = words[: first.start()]
    if _UP_TO.search(before):
        return None, low
    open_end = _FROM.search(before) or words[first.end() :].startswith("+")
    return low, None if open_end else low


def _currency_of(words: str, first: re.Match[str]) -> str | None:
    partner = _partner(words, first)
    return _currency(first) or (None if partner is None else _currency(partner))


def currency_code(text: str) -> str | None:
    """The code that a field such as `usd`, `$` or `Euro` means; None for a long text."""
    word = text.strip().lower()
    return (
        _SYMBOL_CODES.get(word)
        or _CODES.get(word)
        or (word.upper() if 0 < len(word) <= 5 else None)
    )


def parse_min_pay(text: str) -> MinPay:
    """A person's minimum such as `60000 EUR/year`; InvalidValue unless all parts are there."""
    allowed = "an amount, a currency and a period, such as '60000 EUR/year' or '$50/hour'"
    words = " ".join(text.split())[:_TEXT_MAX]
    if words.startswith("-"):
        raise InvalidValue("min pay", f"{words[:60]!r} is less than nothing", allowed)
    pay = _read(words, Kind.JOB) if words else Pay(text="")
    amount = pay.min if pay.min is not None else pay.max
    bare = amount is None and _AMOUNT.search(words.lower()) is not None
    if not bare and (amount is None or pay.min != pay.max):
        raise InvalidValue("min pay", f"no single amount in {words[:60]!r}", allowed)
    if amount is None or pay.currency not in CURRENCIES or pay.currency is None:
        raise InvalidValue("min pay", f"no known currency in {words[:60]!r}", allowed)
    if pay.period is None:
        raise InvalidValue("min pay", f"no period in {words[:60]!r}", allowed)
    return MinPay(amount=amount, currency=pay.currency, period=pay.period)


def _first_amount(words: str, period: Period | None) -> re.Match[str] | None:
    """The first amount with a currency, or its range's; beside a period a bare one counts."""
    bare = None
    for amount in _AMOUNT.finditer(words):
        partner = _partner(words, amount)
        if _currency(amount) or (partner is not None and _currency(partner)):
            return amount
        bare = bare or amount
    return bare if period not in (None, Period.ONCE) else None


def _partner(words: str, first: re.Match[str]) -> re.Match[str] | None:
    """The other end of a range that begins with `first`."""
    between = _BETWEEN.match(words, first.end())
    partner = _AMOUNT.match(words, between.end()) if between else None
    if partner is None:
        return None
    mine, other = _currency(first), _currency(partner)
    if mine and other and mine != other:
        return None
    if other is None and _OTHER_UNIT.match(words, partner.end()):
        return None  # "500 - 3 days"
    return partner


def _currency(amount: re.Match[str]) -> str | None:
    before, after = amount["before"], amount["after"]
    if before == "$" and after in _CODES:  # "$50 CAD" is Canadian
        return _CODES[after]
    mark = before or after
    return None if mark is None else _SYMBOL_CODES.get(mark) or _CODES[mark]


def _scale(word: str | None) -> float:
    if word is None:
        return 1.0
    return _SCALES.get(word) or _SCALES[word.rstrip("s")]


def _value(amount: re.Match[str]) -> float:
    digits = re.sub(r"[\s']", "", amount["number"])
    scale = _scale(amount["scale"])
    if re.fullmatch(r"0[.,]\d+|\d+[.,]\d{1,2}", digits) or (
        scale > 1 and re.fullmatch(r"\d+[.,]\d", digits)
    ):
        return float(digits.replace(",", ".")) * scale  # "17.00", "31,2k"
    whole, mark, cents = digits, "", ""
    if (tail := re.search(r"([.,])(\d{1,2})$", digits)) is not None:
        whole, mark, cents = digits[: tail.start()], ".", tail[2]
    return float(re.sub(r"[.,]", "", whole) + mark + cents) * scale
