"""Pay as postings write it: `$60k-80k/yr`, `€45/hr`, `1,500 USDC`, `Competitive`.

A text is read from its first amount of money: the range or the list of prizes that begins there,
the currency marked at it, and the period that stands at it. A period elsewhere in a sentence
("ten winners a month") is no period of the pay.
"""

import re
from functools import lru_cache

from agents.domain.errors import InvalidValue
from agents.domain.kind import Kind
from agents.domain.pay import MinPay, Pay, Period
from agents.domain.rates import CURRENCIES

_TEXT_MAX = 200
_AMOUNT_MAX = 1e15
PAID_ONCE = {Kind.BOUNTY, Kind.GRANT, Kind.HACKATHON}

# --- currencies -------------------------------------------------------------------------------

_SYMBOLS = {
    "US$": "USD", "CA$": "CAD", "C$": "CAD", "Can$": "CAD", "A$": "AUD", "AU$": "AUD",
    "NZ$": "NZD", "S$": "SGD", "SG$": "SGD", "HK$": "HKD", "NT$": "TWD", "R$": "BRL",
    "MX$": "MXN", "$": "USD", "€": "EUR", "£": "GBP", "₹": "INR", "¥": "JPY", "₦": "NGN",
    "₩": "KRW", "₪": "ILS", "₺": "TRY", "₴": "UAH", "₱": "PHP", "฿": "THB", "₫": "VND",
    "₵": "GHS", "₽": "RUB",
}  # fmt: skip
_COINS = frozenset({
    "ETH", "BTC", "XMR", "LPT", "XLM", "AVAX", "STRK", "METIS", "AKT", "WLD", "LSK", "XDAI", "BNB",
    "XRP", "LTC", "DOGE", "APT", "SOL", "DOT", "ROSE", "FIL", "ARB", "OP", "POL", "ATOM", "NEAR",
    "TON", "ADA", "SUI", "SCR", "EURC", "PYUSD",
})  # fmt: skip
_OTHER_CODES = frozenset({
    "SAR", "QAR", "KWD", "TWD", "COP", "CLP", "PEN", "GHS", "UGX", "TZS", "RWF", "MAD", "LKR",
    "BDT", "RUB", "RSD",
})  # fmt: skip
# Codes that are words too count only where they are written in capitals.
_CODES_AND_WORDS = frozenset({
    "TRY", "SOL", "DOT", "ROSE", "OP", "POL", "NEAR", "TON", "ADA", "SUI", "APT", "ATOM", "FIL",
    "ARB", "MAD", "COP", "PEN", "SCR",
})  # fmt: skip
_WORDS = {
    "euros": "EUR", "euro": "EUR", "dollars": "USD", "pounds": "GBP", "rupees": "INR", "rs": "INR",
    "zł": "PLN", "kč": "CZK", "rm": "MYR", "rp": "IDR", "ksh": "KES", "naira": "NGN",
    "reais": "BRL",
}  # fmt: skip
_CAPITAL = "¤"  # stands before a code that was written in capitals
_CODES = {
    (f"{_CAPITAL}{c}" if c in _CODES_AND_WORDS else c).lower(): c
    for c in CURRENCIES | _COINS | _OTHER_CODES
} | _WORDS
_DOLLARS = frozenset({"USD", "CAD", "AUD", "NZD", "SGD", "HKD", "TWD", "MXN", "USDC", "USDT"})
_NAMED_DOLLARS = {"canadian": "CAD", "australian": "AUD", "singapore": "SGD", "new zealand": "NZD"}
_SYMBOL_CODES = {symbol.lower(): code for symbol, code in _SYMBOLS.items()}

_DOLLAR_NOTE = re.compile(
    r"(?<![\d.,] )(?<![\d.,k])\b(cad|aud|nzd|sgd|hkd|mxn"
    r"|(?:canadian|australian|singapore|new zealand)(?=\s+dollars?))\b(?!\s*[$:]*\s*\d)"
)

# --- amounts ----------------------------------------------------------------------------------

_SYMBOL = "|".join(
    (r"(?<![a-z])" if s[0].isalpha() else "") + re.escape(s.lower())
    for s in sorted(_SYMBOLS, key=len, reverse=True)
)
_CODE = "(?:" + "|".join(sorted(_CODES, key=len, reverse=True)) + ")"
_END = r"(?![^\W\d_])"  # no letter follows
_NUMBER = (
    r"0[.,]\d+"  # 0.125
    r"|\d{1,3}(?:[.,']\d{2,3}|\s\d{3}(?!\s*%))+(?:[.,]\d{1,2})?(?!\d)"  # 1,500  12,00,000  45 000
    r"|\d+(?:[.,]\d+)?"
)
_AMOUNT = re.compile(
    rf"(?:(?<![^\W_])(?P<code>{_CODE}){_END}[.:]?\s*)?(?P<symbol>{_SYMBOL})?\s*"
    rf"(?P<number>{_NUMBER})"
    r"(?:\s*(?P<scale>(?:thousands?|tsd|lakhs?|lacs?|lpa|crores?|millions?|mio|billions?|mrd|mm|mn"
    rf"|bn|[kmb])(?:{_END}|(?={_CODE}(?![^\W_]))))(?:\.(?!\d))?)?"
    rf"(?:\s*(?P<after>(?:{_SYMBOL})(?!\s?\d|[a-z])|{_CODE}(?![^\W_])))?"
)
_SCALES = {"k": 1e3, "thousand": 1e3, "tsd": 1e3, "m": 1e6, "mm": 1e6, "mn": 1e6, "mio": 1e6,
           "million": 1e6, "b": 1e9, "bn": 1e9, "mrd": 1e9, "billion": 1e9, "lakh": 1e5,
           "lac": 1e5, "lpa": 1e5, "crore": 1e7}  # fmt: skip
# What a number counts that is no money.
_OTHER_UNIT = re.compile(
    r"\+?\s*-?(?:%|percent|[a-z]*figures?\b|(?:hours?|hrs?|days?|weeks?|months?|years?|yrs?|nights?"
    r"|people|persons?|winners?|teams?|projects?|grants?|awards?|prizes?|artists?|fellows?"
    r"|students?|startups?|positions?|openings?|gpus?)\b)"
)
_BETWEEN = re.compile(
    r"\s*(?:(?:/|per\s|an?\s)\s*[^\W\d_]+|p\.?a\.?(?=\s))?\s*"
    r"(?:-|(?:up )?to\b|bis\b|hasta\b|até\b|à|,?\s*(?:max(?:imum)?|ceiling)\b[.:]?"
    r"|(?P<both>and\b))\s*"
)
_RANK = r"(?:(?:1st|2nd|3rd|\dth|first|second|third)(?:\s+(?:place|prize))?\s*[:-]?\s*)"
_NEXT_PRIZE = re.compile(
    rf"\s*\(?(?:for\s+)?{_RANK}?\)?\s*(?:[,;/|]|\bor\b|\band\b|\s)+\s*(?:\bor\b|\band\b)?\s*{_RANK}?"
)
_AT_LEAST = re.compile(
    r"(?:\b(?:from|starting (?:at|from)|min(?:imum)?(?: of)?\.?:?|at least|no less than|floor:?"
    r"|(?<!not )(?<!no )(?:more than|over)|ab|desde|à partir de)|>=?|≥)\s*$"
)
_AT_MOST = re.compile(
    r"(?:\b(?:up[- ]?to(?: an?)?(?: total| maximum)?(?: of)?|max(?:imum)?(?: of)?\.?:?|at most"
    r"|under|below|(?<!no )less than|(?:not|no) more than|not over|ceiling:?|bis(?: zu)?|hasta|até"
    r"|jusqu'à)|<=?|≤)\s*$"
)
_BOTH = re.compile(r"\b(?:between|from)\s*$")
_FIGURES = re.compile(r"\s*-?figures?\b")
_OR_MORE = re.compile(r"\+(?![a-z0-9])|\s*\(?(?:min(?:imum)?|(?:or|and) (?:more|up|above))\b")
_OR_LESS = re.compile(r"\s*\(?(?:max(?:imum)?|or (?:less|under|below))\b")

# --- periods ----------------------------------------------------------------------------------

_PERIOD_WORDS = (
    (Period.HOUR, r"hours?|hrs?|stunde|std|heure|hora", "hourly|stündlich", r"ph|p\.h\.?"),
    (Period.DAY, r"days?|diem|tag|jour|d[ií]a", "daily|täglich|day rate", r"pd|p\.d\.?"),
    (Period.WEEK, r"weeks?|wk|woche|semaine|semana", "(?<!bi-)weekly|wöchentlich", r"pw|p\.w\.?"),
    (
        Period.MONTH,
        r"months?|mo|mth|monat|mois|m[eê]s|m[åa]n(?:ad)?|mies",
        "(?<!semi-)monthly|monatlich|mensuel(?:le)?|mensual|mensal",
        r"p\.?m\.?|pcm",
    ),
    (
        Period.YEAR,
        r"years?|yr|annum|jahr|ann[eé]e|ano|año|år|an",
        "yearly|annual(?:ly)?|annuali[sz]ed|jährlich|annuel(?:le)?|anual",
        r"p\.?a\.?|lpa",
    ),
)
_LINK = r"(?:/|\b(?:per|pro|par|por|al|im|je|an?|each|every|1|one)\b)[\s-]*"
_WHICH = r"(?:calendar\s+|fiscal\s+|full\s+)?"


def _period_pattern(period: Period, units: str, adverbs: str, short: str) -> str:
    bare = rf"|(?:/|\bper)\s*{period[0]}\b"  # "/h", "per d"
    return (
        rf"(?:{_LINK}{_WHICH}(?:{units})\b{bare}|\b(?:{adverbs})\b|(?<![^\W\d_])(?:{short})(?!\w))"
    )


_PERIODS = (
    (Period.ONCE, re.compile(r"\bonce\b|\bone[- ]time\b")),
    *((words[0], re.compile(_period_pattern(*words))) for words in _PERIOD_WORDS),
)
_BARE_UNITS = {"hr": Period.HOUR, "yr": Period.YEAR, "annum": Period.YEAR, "mo": Period.MONTH,
               "wk": Period.WEEK}  # fmt: skip
_ANY_PERIOD = "(?:" + "|".join(_period_pattern(*words) for words in _PERIOD_WORDS) + ")"
# Periods that can't be said in ours: a pay per quarter is neither yearly nor paid once.
_ODD_PERIOD = re.compile(
    r"\s*\(?(?:(?:/|per|an?)\s*(?:quarter|semester|term|fortnight)\b"
    r"|quarterly|fortnightly|bi-?weekly|semi-?monthly)"
)
_AT_AMOUNT = re.compile(
    r"\+?\s*\(?(?:(?:gross|brutto|bruto|brut|net|netto|base|kr|paid|[a-z]{3})\)?,?(?:\s+|(?=/))){0,2}\(?\s*"
    rf"(?P<period>{_ANY_PERIOD}|(?<![^\W\d_])(?:hour|hr|yr|mo)\b(?!-))"
)
_NAMED_BEFORE = re.compile(rf"(?P<period>{_ANY_PERIOD})(?:\s+[^\W\d]+){{0,3}}\s*[:=]?\s*\D{{0,4}}$")
_RATE_BEFORE = re.compile(
    rf"{_ANY_PERIOD}\s+(?:base\s+)?(?:rate|salary|pay|wage|stipend)\s*(?:of|:|=)?\s*$"
)
_WAGE = re.compile(r"\b(?:stipend|salary|allowance|wage|pay)\b")
# "annual leave", "paid weekly": no period of the pay.
_ABOUT_ELSE = re.compile(r"\s+(?:bonus|leave|review|budget|holiday|vacation|retreat|raise)")
_RHYTHM = re.compile(r"\b(?:paid|payable|reviewed|days?|hours?|hrs|h|times|\d)\s*$")
# "$5,000 annual grants" says how often grants are given, not what one pays.
_AWARDS = re.compile(r"\s+(?:grants?|awards?|prizes?|rounds?|fund|pool|budget|commission)")

# --- reading ----------------------------------------------------------------------------------

_PLAIN = str.maketrans(dict.fromkeys("–—−‐‑", "-") | dict.fromkeys("’´`", "'") | {"≈": "~"})
_CLEANED = (
    # pension plans, telephone numbers
    (re.compile(r"\b40[13]\s?\(?[kb]\b\)?"), " "),
    (re.compile(r"(?:\+\d{1,3}[\s.-]?)?(?<![\d$€£.,])\(?\d{3}\)?[\s.-]\d{3}[\s.-]\d{4}\b"), " "),
    (re.compile(r"(?<=\d)[.,]-(?!\d)"), ""),  # "90'000.-"
    (re.compile(r"(?<=[\dkm])\s*~\s*(?=\D{0,2}\d)"), "-"),  # "$10~$20" is a range
    (re.compile(r"[~±]|\b(?:approx(?:imately)?|about|around|circa|roughly)\b\.?"), ""),
    (re.compile(r"\bu\.?s\.?\s\$"), "us$"),
    (re.compile(rf"\$(?={_CODE}{_END})"), ""),  # "500 $USDC"
)
_RUPEES = re.compile(r"₹|\b(?:inr|rs)\b")
_LAKH, _CRORE = re.compile(r"(?<=\d)\s?l\b"), re.compile(r"(?<=\d)\s?cr\b")
_CAPITALS = re.compile(r"(?<![^\W_])(" + "|".join(sorted(_CODES_AND_WORDS)) + r")(?![^\W\d_])")


def read_period(text: str) -> Period | None:
    """The period a text names: `per year`, `/hr`, `monthly`, or the bare word."""
    words = text.lower().strip()
    for period, pattern in _PERIODS:
        if words == period or pattern.search(words):
            return period
    return _BARE_UNITS.get(words)


def read_pay(text: str, kind: Kind) -> Pay | None:
    """The pay in a text, None for an empty one. Parts it doesn't state stay None.

    Two amounts of one currency are a range when a dash or "to" stands between them; `$50k+` and
    `up to $500` leave an end open. Bounties, grants and hackathons without a period pay once, and
    of a list of prizes the least and the most count.
    """
    shown = " ".join(text.split())[:_TEXT_MAX]
    return _read(shown, kind) if shown else None


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
    words = re.sub(r"\btry\b", "TRY", words)  # a person means the currency
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


@lru_cache(maxsize=4096)
def _read(shown: str, kind: Kind) -> Pay:
    words = _cleaned(shown)
    first = _first_amount(words)
    if first is None:
        return Pay(text=shown)
    last = _partner(words, first) or first
    low, high = _bounds(words, first, last, kind)
    if max(low or 0.0, high or 0.0) >= _AMOUNT_MAX:
        return Pay(text=shown)  # no pay, whatever it is
    currency, period = _currency_of(words, first, last), _period_of(words, first, last, kind)
    return Pay(min=low, max=high, currency=currency, period=period, text=shown)


def _cleaned(shown: str) -> str:
    """The text in lower case and plain signs, without numbers that are never pay."""
    words = _CAPITALS.sub(rf"{_CAPITAL}\1", shown).lower().translate(_PLAIN)
    for pattern, instead in _CLEANED:
        words = pattern.sub(instead, words)
    if _RUPEES.search(words):
        words = _CRORE.sub(" crore", _LAKH.sub(" lakh", words))
    return words


# --- amounts of a text ------------------------------------------------------------------------


def _first_amount(words: str) -> re.Match[str] | None:
    """The first amount with a currency, or its range's; a bare one needs a period at it."""
    bare = None
    for amount in _AMOUNT.finditer(words):
        last = _partner(words, amount) or amount
        if _OTHER_UNIT.match(words, last.end()) and not _is_marked(last):
            continue
        if _is_marked(amount) or _is_marked(last):
            if not _FIGURES.match(words, amount.end()):
                return amount
        elif bare is None and _is_paid(words, amount, last):
            bare = amount
    return bare


def _is_paid(words: str, amount: re.Match[str], last: re.Match[str]) -> bool:
    """Whether a number without a currency is pay: `25 per hour`, `Hourly rate: 25`, not `24/7`."""
    if words[: amount.start("number")].endswith(("/", ".", "-")):
        return False
    named = _RATE_BEFORE.search(words, 0, amount.start("number"))
    return named is not None or _period_at(words, amount, last) is not None


def _partner(words: str, first: re.Match[str]) -> re.Match[str] | None:
    """The other end of a range that begins with `first`."""
    between = _BETWEEN.match(words, first.end())
    partner = _AMOUNT.match(words, between.end()) if between else None
    if between is None or partner is None or not _same_money(first, partner):
        return None
    if between["both"] and not _BOTH.search(words, 0, first.start()):
        return None  # "$80,000 and $10,000 bonus"
    low, high = _ends(first, partner)
    if not _is_marked(partner):  # "$500 - 3 days", "$500 to 3 teams"
        return None if high < low or _OTHER_UNIT.match(words, partner.end()) else partner
    if not _is_marked(first) and partner["symbol"] and low * 20 < high:
        return None  # "Top 10 - $500"
    return partner


def _ends(first: re.Match[str], partner: re.Match[str]) -> tuple[float, float]:
    """Both ends of a range, in their order; "60-80k" and "60k-80" are thousands twice."""
    low, high = _value(first), _value(partner)
    if first["scale"] is None and high and 0.1 <= low * _scale(partner["scale"]) / high <= 10:
        low *= _scale(partner["scale"])
    if partner["scale"] is None and low and 1 <= high * _scale(first["scale"]) / low <= 10:
        high *= _scale(first["scale"])
    return low, high


def _bounds(
    words: str, first: re.Match[str], last: re.Match[str], kind: Kind
) -> tuple[float | None, float | None]:
    """The least and the most that a text names, None for an end that it leaves open."""
    open_end = _OR_MORE.match(words, last.end()) is not None
    if last is not first:
        ends = _ends(first, last)
        return min(ends), None if open_end else max(ends)
    value, before = _value(first), words[: first.start()]
    if _AT_MOST.search(before) or _OR_LESS.match(words, first.end()):
        return None, value
    if open_end or _AT_LEAST.search(before):
        return value, None
    prizes = _prizes(words, first) if kind in PAID_ONCE else [value]
    return min(prizes), max(prizes)


def _prizes(words: str, first: re.Match[str]) -> list[float]:
    """The amounts of a list that begins with `first`: `$500 / $300 / $100`."""
    values, last = [_value(first)], first
    while (gap := _NEXT_PRIZE.match(words, last.end())) is not None:
        prize = _AMOUNT.match(words, gap.end())
        if prize is None or not _is_marked(prize) or not _same_money(first, prize):
            break
        values.append(_value(prize))
        last = prize
    return values


def _scale(word: str | None) -> float:
    if word is None:
        return 1.0
    return _SCALES.get(word) or _SCALES[word.rstrip("s")]


def _value(amount: re.Match[str]) -> float:
    digits = re.sub(r"[\s']", "", amount["number"])
    scale = _scale(amount["scale"])
    if _code_at(amount) in _COINS and re.fullmatch(r"\d{1,2}\.\d{3}", digits):
        return float(digits) * scale  # "1.125 ETH": coins are counted in fractions
    if re.fullmatch(r"0[.,]\d+|\d+[.,]\d{1,2}", digits):
        return float(digits.replace(",", ".")) * scale  # "17.00", "31,2k"
    whole, mark, cents = digits, "", ""
    if (tail := re.search(r"([.,])(\d{1,2})$", digits)) is not None:
        whole, mark, cents = digits[: tail.start()], ".", tail[2]
    return float(re.sub(r"[.,]", "", whole) + mark + cents) * scale


# --- currency ---------------------------------------------------------------------------------


def _is_marked(amount: re.Match[str]) -> bool:
    return bool(amount["code"] or amount["symbol"] or amount["after"])


def _code_at(amount: re.Match[str]) -> str | None:
    """The currency at an amount; a bare dollar sign is less than a code: "$50 CAD", "AUD $5"."""
    marks = [mark for mark in (amount["code"], amount["after"], amount["symbol"]) if mark]
    mark = next((mark for mark in marks if mark != "$"), "$" if marks else None)
    return None if mark is None else _CODES.get(mark) or _SYMBOL_CODES[mark]


def _bare_dollars(amount: re.Match[str]) -> bool:
    return {amount["code"], amount["after"], amount["symbol"]} == {None, "$"}


def _same_money(first: re.Match[str], other: re.Match[str]) -> bool:
    """Whether two amounts can be of one currency: "$80k - $100k CAD" is."""
    mine, its = _code_at(first), _code_at(other)
    if mine is None or its is None or mine == its:
        return True
    if _bare_dollars(first):
        return its in _DOLLARS
    return _bare_dollars(other) and mine in _DOLLARS


def _currency_of(words: str, first: re.Match[str], last: re.Match[str]) -> str | None:
    """The currency of a range or an amount; a bare dollar takes the one that a note names."""
    marked = [amount for amount in (first, last) if _is_marked(amount)]
    plain = [amount for amount in marked if not _bare_dollars(amount)]
    if plain or not marked:
        return _code_at(plain[0]) if plain else None
    noted = {_NAMED_DOLLARS.get(m[1], m[1].upper()) for m in _DOLLAR_NOTE.finditer(words)}
    return noted.pop() if len(noted) == 1 else "USD"


# --- period -----------------------------------------------------------------------------------


def _period_of(words: str, first: re.Match[str], last: re.Match[str], kind: Kind) -> Period | None:
    """The period that stands at the amount; a wage's may stand elsewhere, if there is only one."""
    if (period := _period_at(words, first, last)) is not None:
        return period
    if _ODD_PERIOD.match(words, last.end()):
        return None
    before = _NAMED_BEFORE.search(words, 0, first.start())
    if kind in PAID_ONCE:
        named = before is not None and _WAGE.search(before[0])
        return read_period(before["period"]) if before and named else Period.ONCE
    if before is not None:
        return read_period(before["period"])
    start, end = _clause(words, first.start(), last.end())
    return _only_period(words[start:end]) or _only_period(words)


def _period_at(words: str, first: re.Match[str], last: re.Match[str]) -> Period | None:
    """The period right behind an amount, or behind the first of a range."""
    for amount in (last, first):
        if amount["scale"] == "lpa":
            return Period.YEAR
        at = _AT_AMOUNT.match(words, amount.end())
        if at is None or _ABOUT_ELSE.match(words, at.end()):
            continue
        if not _AWARDS.match(words, at.end()):
            return read_period(at["period"])
    return None


def _clause(words: str, start: int, end: int) -> tuple[int, int]:
    """Where the clause around an amount begins and ends."""
    begin = max(words.rfind(mark, 0, start) for mark in ";,(+|") + 1
    stops = [at for mark in ";,(+|" if (at := words.find(mark, end)) >= 0]
    return begin, min(stops, default=len(words))


def _only_period(words: str) -> Period | None:
    """The period that a text names, when it is one and the pay's."""
    found = {
        period
        for period, pattern in _PERIODS
        for match in pattern.finditer(words)
        if not _ABOUT_ELSE.match(words, match.end()) and not _RHYTHM.search(words[: match.start()])
    }
    return found.pop() if len(found) == 1 else None
