"""What free words ask to be looked for, by rules: kinds, place, pay, what is not wanted, and the
words that are left."""

import re

from agents.domain.kind import Kind
from agents.domain.pay import Period
from agents.domain.place import fold, parse_location
from agents.domain.profile import LOCATIONS_MAX, SKILL_LENGTH_MAX
from agents.domain.run import EXCLUDED_MAX, QUERY_MAX
from agents.domain.skill import skills_in
from agents.triage.tools import LeastPay, ScoutCall

_KINDS = {
    Kind.JOB: r"\b(?:jobs?|positions?|vacanc(?:y|ies)|full[- ]time|roles?)\b",
    Kind.INTERNSHIP: r"\b(?:internships?|interns?)\b",
    Kind.GIG: r"\b(?:gigs?|freelanc\w+|contracts?|projects?)\b",
    Kind.BOUNTY: r"\b(?:bount(?:y|ies))\b",
    Kind.GRANT: r"\b(?:grants?|funding|fellowships?|scholarships?)\b",
    Kind.HACKATHON: r"\b(?:hackathons?)\b",
}
_REMOTE = re.compile(r"\b(?:remote(?:ly)?|from home|wfh|work from anywhere)\b", re.IGNORECASE)
_ON_SITE = re.compile(
    r"\b(?:not|no|non|without|(?:don't|do not) want)[- ](?:any )?remote\b|\bon[- ]?site\b"
    r"|\bin[- ]office\b",
    re.IGNORECASE,
)
# What reads like a refusal and is none.
_NO_REFUSAL = re.compile(
    r"\bno (?:prior |previous )?experience(?: (?:required|needed|necessary))?\b"
    r"|\b(?:no|not) (?:more|less|later) than\b|\bno (?:problem|worries|idea|rush|matter)\b"
    r"|^no,? (?=i\b|we\b|thanks?\b)",
    re.IGNORECASE,
)
_NOT = re.compile(
    r"(?:, ?|\b)(?:but )?(?:(?:i )?(?:don't|do not) (?:want|like|need)|not|no|without"
    r"|except(?: for)?|excluding|avoid(?:ing)?|nothing with|other than) "
    r"(?:(?:looking for|interested in|want|into|any|in) ){0,3}"
    r"([\w+#.-]+(?: (?!and\b|or\b|but\b|in\b|over\b|for\b)[\w+#.-]+)?"
    r"(?: ?(?:/|,? ?\b(?:or|and|no|not|nor)\b) ?(?!but\b|in\b|over\b)[\w+#.-]+){0,5})",
    re.IGNORECASE,
)
_NOT_BETWEEN = re.compile(r" ?(?:/|,? ?\b(?:or|and|no|not|nor)\b) ?", re.IGNORECASE)
_SIGNS = {"$": "USD", "€": "EUR", "£": "GBP", "₹": "INR", "₦": "NGN", "¥": "JPY"}
_CODES = r"usd|eur|gbp|inr|ngn|jpy|cad|aud|chf|sek|pln|brl|kes|zar|dollars?|euros?|pounds?"
_WORDS = {"dollar": "USD", "euro": "EUR", "pound": "GBP"}
_PERIODS = (
    (Period.HOUR, r"h|hr|hrs|hour|hourly"),
    (Period.DAY, r"d|day|daily"),
    (Period.WEEK, r"w|wk|week|weekly"),
    (Period.MONTH, r"m|mo|month|monthly"),
    (Period.YEAR, r"y|yr|year|yearly|annum|annually|pa"),
)
# Blanks are single by now, so that each gap has one owner and the search takes linear time.
_PAY = re.compile(
    r"(?:\b(?:over|above|at least|more than|min(?:imum)?|from|paying|pays|upwards of)|>=?) ?"
    rf"(?P<sign>[$€£₹₦¥])? ?(?:(?P<before>{_CODES}) ?)?(?P<amount>\d[\d,]{{0,15}}(?:\.\d{{1,4}})?)"
    rf"(?: ?(?P<k>k)\b)?(?: ?(?P<sign2>[$€£₹₦¥]))?(?: ?(?P<after>{_CODES})\b)?"
    r"(?: ?(?:/|per|an?|each)? ?(?P<period>h|hr|hrs|hour|hourly|d|day|daily|w|wk|week|weekly|m|mo"
    r"|month|monthly|y|yr|year|yearly|annum|annually|pa)\b)?",
    re.IGNORECASE,
)
_RATE = re.compile(
    r"\b(?:(?P<hour>hourly)|(?P<day>daily|day rate)|(?P<week>weekly)|(?P<month>monthly)"
    r"|(?P<year>yearly|annual(?:ly)?))\b",
    re.IGNORECASE,
)
_MONTHLY_MIN, _YEARLY_MIN = 500, 12_000
_NEAR = re.compile(
    r"\b(?:in|near|around|at) "
    r"((?:(?!(?:for|with|over|above|not|but|that|who|which|paying|on|as|at)\b)"
    r"[\w'.-]+,? ?){1,8})",
    re.IGNORECASE,
)
_BETWEEN = re.compile(r"\b(?:or|and|but)\b", re.IGNORECASE)
_NOWHERE = frozenset({"me", "my", "us", "our", "it", "home"})
_PAID_ONCE = frozenset({Kind.GRANT, Kind.BOUNTY, Kind.HACKATHON})
_QUESTION = re.compile(
    r"^\W*(?:what|who|when|how|can|could|is|are|do|does|did|will|would|should|whose)\b",
    re.IGNORECASE,
)
_SHORT_WORDS = 6
_SEEKS = re.compile(
    r"\b(?:find|look(?:ing)?|search|show|scout|get|want|need|any|hunt\w*|seek\w*|interested)\b",
    re.IGNORECASE,
)
_SMALL_WORDS = (
    "a an and any are as at be but by can could do find for from get give good have hi hello hey i "
    "in interested is it job jobs like list look looking me my need new not of on open or over per "
    "please position positions remote remotely role roles scout search seek seeking show some that "
    "the there to want what which with work would you your opportunities opportunity something "
    "anything paying pays least more than above full-time full time thanks thank ok okay yes no "
    "cool great bye help test ping you're welcome i'm i've i'd am was been near someone people "
    "rate day salary only also too anymore ever don t least who they we hm hmm so just really"
)
_SAYS_NOTHING = frozenset(_SMALL_WORDS.split())
_QUERY_WORDS_MAX = 8


def read_scout(text: str, *, alone: bool = True) -> ScoutCall | None:
    """What is to be looked for, or None when the text, whose blanks are single, does not say.
    `alone`: nothing else was asked for, so that a few words are enough."""
    on_site = _ON_SITE.search(text) is not None
    rest, excluded, unwanted = _excluded(_NO_REFUSAL.sub(" ", _ON_SITE.sub(" ", text)))
    kinds = [kind for kind, words in _KINDS.items() if re.search(words, rest, re.IGNORECASE)]
    if unwanted and not kinds:
        kinds = [kind for kind in Kind if kind not in unwanted]
    remote = False if on_site else True if _REMOTE.search(rest) else None
    pay = _PAY.search(rest)
    min_pay = _least_pay(pay, once=bool(kinds) and _PAID_ONCE.issuperset(kinds)) if pay else None
    places = _places(rest)
    query = _query(rest, pay, places)
    short = alone and len(text.split()) <= _SHORT_WORDS and not _QUESTION.search(text)
    asks = kinds or _SEEKS.search(rest)
    hints = alone and (min_pay or remote or skills_in(query) or excluded)
    says = query or kinds or min_pay or places or remote is not None
    if not says or not (asks or hints or short):
        return None
    return ScoutCall(
        query=query,
        kinds=kinds,
        remote=remote,
        locations=places[:LOCATIONS_MAX],
        min_pay=min_pay,
        exclude=excluded[:EXCLUDED_MAX],
    )


def _excluded(text: str) -> tuple[str, list[str], set[Kind]]:
    """The text without what is not wanted, those words, and the kinds among them."""
    words: list[str] = []
    for found in _NOT.finditer(text):
        words += _NOT_BETWEEN.split(found.group(1))
    plain = [word.strip(" .-") for word in words if word.strip(" .-")]
    unwanted = {kind for word in plain for kind in Kind if re.fullmatch(_KINDS[kind], word.lower())}
    said = [
        re.sub(r"\s+(?:jobs?|stuff|companies|work|roles?|things?)$", "", word)[:SKILL_LENGTH_MAX]
        for word in plain
        if not _REMOTE.fullmatch(word)
        and not any(re.fullmatch(_KINDS[kind], word.lower()) for kind in Kind)
    ]
    kept = [word for word in said if word]
    return _NOT.sub(" ", text), list(dict.fromkeys(kept)), unwanted


def _least_pay(found: re.Match[str], *, once: bool) -> LeastPay | None:
    amount = float(found["amount"].replace(",", "")) * (1_000 if found["k"] else 1)
    code = (found["before"] or found["after"] or "").lower()
    sign = found["sign"] or found["sign2"]
    currency = _SIGNS.get(sign or "") or _WORDS.get(code.removesuffix("s")) or code.upper()
    if (not currency and not found["period"]) or not 0 < amount < 1e12:
        return None
    period = Period.ONCE if once and not found["period"] else _period(found, amount)
    return LeastPay(amount=amount, currency=currency or "USD", period=period)


def _period(found: re.Match[str], amount: float) -> Period:
    """The period said, else what such an amount is usually for."""
    said = (found["period"] or "").lower()
    for period, words in _PERIODS:
        if said and re.fullmatch(words, said):
            return period
    if rate := _RATE.search(found.string):
        return Period(str(rate.lastgroup))
    if amount >= _YEARLY_MIN:
        return Period.YEAR
    return Period.MONTH if amount >= _MONTHLY_MIN else Period.HOUR


def _places(text: str) -> list[str]:
    """The places we know that something is said to be in, or near."""
    named = (part for m in _NEAR.finditer(text) for part in _BETWEEN.split(m.group(1)))
    return list(dict.fromkeys(filter(None, map(known_place, named))))


def known_place(text: str) -> str | None:
    """The longest beginning of the words, up to an "and" or "but", that is a place we know."""
    words = _BETWEEN.split(text)[0].replace(",", " , ").split()
    if words and words[0].lower() in _NOWHERE:
        return None
    for count in range(min(4, len(words)), 0, -1):
        name = " ".join(words[:count]).replace(" ,", ",").strip(" ,.")
        places = parse_location(name).places if name else ()
        if places and all(p.country or p.area for p in places):
            return name
    return None


def _query(rest: str, pay: re.Match[str] | None, places: list[str]) -> str:
    """The words that say what it is about."""
    if pay is not None:
        rest = rest.replace(pay.group(), " ")
    words = []
    gone = set(fold(" ".join(places)).replace(",", " ").split())
    for word in re.findall(r"[^\s,;!?()\"“”]+", rest.replace("\u2019", "'")):
        plain = word.strip(".:'’-")
        low = plain.lower()
        kind = any(re.fullmatch(pattern, low) for pattern in _KINDS.values())
        if (
            any(map(str.isalnum, plain))
            and low not in _SAYS_NOTHING
            and not kind
            and fold(plain) not in gone
        ):
            words.append(plain)
    return " ".join(dict.fromkeys(words[:_QUERY_WORDS_MAX]))[:QUERY_MAX].strip()
