"""Free words into tool calls by rules, for when no language model answers.

It understands what people mostly write: what to look for ("remote rust gigs over $50/h, not
crypto"), which of the list to draft, save or explain, and what to remember of them. Anything else
it asks back.
"""

import re
from collections.abc import Iterator

from agents.domain.kind import Kind
from agents.domain.pay import Period
from agents.domain.place import fold, parse_location
from agents.domain.profile import SKILL_LENGTH_MAX
from agents.domain.run import QUERY_MAX
from agents.domain.skill import skills_in, split_skills
from agents.triage.tools import (
    RANKS_MAX,
    AskBackCall,
    Call,
    ChangeProfileCall,
    DraftCall,
    ExplainCall,
    LeastPay,
    SaveCall,
    ScoutCall,
)

QUESTION = (
    "What shall I look for? Say it like “remote rust gigs over $50/h, not crypto”, or “draft 2”, "
    "“save 1”, “why 3” for what is on your list."
)
_ORDINALS = {
    "first": 1,
    "second": 2,
    "third": 3,
    "fourth": 4,
    "fifth": 5,
    "one": 1,
    "two": 2,
    "three": 3,
    "four": 4,
    "five": 5,
}
_RANK = rf"(?:#|number |no\.? ?|match )?(\d{{1,2}}|{'|'.join(_ORDINALS)})\b"
_RANKS = rf"(?:the )?{_RANK}(?:(?:,| and| &|, and) (?:the )?{_RANK})*"
_DRAFT = re.compile(
    rf"\b(?:draft|write|apply)\b[^.;]{{0,40}}?\b(?:for|to)?\s*({_RANKS})", re.IGNORECASE
)
_SAVE = re.compile(rf"\b(?:save|keep|bookmark)\s+(?:me\s+)?({_RANKS})", re.IGNORECASE)
_EXPLAIN = re.compile(
    rf"\b(?:why|explain)\b[^.;]{{0,30}}?{_RANK}(?! (?:usd|eur|dollars))", re.IGNORECASE
)
_KNOWS = re.compile(
    r"\b(?:my skills are|i know|i can do|i work with|add (?:the )?skills?:?|remember (?:that )?"
    r"i (?:know|use))\s+([^.;!?]+)",
    re.IGNORECASE,
)
_LIVES = re.compile(
    r"\b(?:i live in|i am based in|i'm based in|i am in|i'm in|i am from)\s+([^.;!?]+)",
    re.IGNORECASE,
)
_KINDS = {
    Kind.JOB: r"\b(?:jobs?|positions?|vacanc(?:y|ies)|full[- ]time|roles?)\b",
    Kind.INTERNSHIP: r"\b(?:internships?|interns?)\b",
    Kind.GIG: r"\b(?:gigs?|freelanc\w+|contracts?|projects?)\b",
    Kind.BOUNTY: r"\b(?:bount(?:y|ies))\b",
    Kind.GRANT: r"\b(?:grants?|funding|fellowships?|scholarships?)\b",
    Kind.HACKATHON: r"\b(?:hackathons?)\b",
}
_REMOTE = re.compile(r"\b(?:remote(?:ly)?|from home|wfh|work from anywhere)\b", re.IGNORECASE)
_ON_SITE = re.compile(r"\b(?:not|no|non)[- ]remote\b|\bon[- ]?site\b", re.IGNORECASE)
_NOT = re.compile(
    r"(?:,\s*|\b)(?:but )?(?:not|no|without|except(?: for)?|excluding|avoid(?:ing)?|nothing with"
    r"|other than)\s+((?:[\w+#.-]+(?: (?!and\b|or\b|but\b|in\b|over\b|for\b)[\w+#.-]+)?)"
    r"(?:\s*(?:/|,? ?\b(?:or|and|no|not|nor)\b)\s*(?!but\b|in\b|over\b)[\w+#.-]+){0,5})",
    re.IGNORECASE,
)
_NOT_BETWEEN = re.compile(r"\s*(?:/|,? ?\b(?:or|and|no|not|nor)\b)\s*", re.IGNORECASE)
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
_PAY = re.compile(
    r"(?:\b(?:over|above|at least|more than|min(?:imum)?|from|paying|pays|upwards of)|>=?)\s*"
    rf"(?P<sign>[$€£₹₦¥])?\s*(?P<before>{_CODES})?\s*(?P<amount>\d[\d,]*(?:\.\d+)?)\s*(?P<k>k\b)?\s*"
    rf"(?P<sign2>[$€£₹₦¥])?\s*(?P<after>{_CODES})?\s*"
    r"(?:(?:/|per|an?|each)\s*)?(?P<period>h|hr|hrs|hour|hourly|d|day|daily|w|wk|week|weekly|m|mo"
    r"|month|monthly|y|yr|year|yearly|annum|annually|pa)?\b",
    re.IGNORECASE,
)
_MONTHLY_MIN, _YEARLY_MIN = 500, 12_000
_NEAR = re.compile(
    r"\b(?:in|near|around|at)\s+"
    r"((?:(?!(?:for|with|over|above|not|but|that|who|which|paying|on|as|at)\b)"
    r"[\w'.-]+,?\s*){1,8})",
    re.IGNORECASE,
)
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
    "cool great bye help test ping you're welcome"
)
_SAYS_NOTHING = frozenset(_SMALL_WORDS.split())
_QUERY_WORDS_MAX = 8


def route(text: str) -> tuple[Call, ...]:
    """The calls that the text asks for; one that asks back when it can't be told."""
    calls = [*_about_the_list(text), *_about_them(text)]
    if not calls and (scout := _scout(text)) is not None:
        calls.append(scout)
    return tuple(calls) or (AskBackCall(question=QUESTION),)


def _about_the_list(text: str) -> Iterator[Call]:
    if found := _DRAFT.search(text):
        yield DraftCall(ranks=_ranks(found.group(1)))
    if found := _SAVE.search(text):
        yield SaveCall(ranks=_ranks(found.group(1)))
    if found := _EXPLAIN.search(text):
        yield ExplainCall(rank=_rank(found.group(1)))


def _ranks(text: str) -> list[int]:
    found = re.findall(rf"\d{{1,2}}|\b(?:{'|'.join(_ORDINALS)})\b", text, re.IGNORECASE)
    return list(dict.fromkeys(_rank(word) for word in found))[:RANKS_MAX]


def _rank(word: str) -> int:
    return max(1, _ORDINALS.get(word.lower()) or int(word))


def _about_them(text: str) -> Iterator[Call]:
    knows, lives = _KNOWS.search(text), _LIVES.search(text)
    skills = split_skills(re.sub(r"\s+and\s+", ",", knows.group(1))) if knows else ()
    skills = tuple(skill[:SKILL_LENGTH_MAX] for skill in skills)
    place = _place(lives.group(1)) if lives else None
    if skills or place:
        yield ChangeProfileCall(add_skills=list(skills), locations=[place] if place else None)


def _scout(text: str) -> ScoutCall | None:
    """What is to be looked for, or None when the text does not say."""
    on_site = _ON_SITE.search(text) is not None
    rest, excluded, unwanted = _excluded(_ON_SITE.sub(" ", text))
    kinds = [kind for kind, words in _KINDS.items() if re.search(words, rest, re.IGNORECASE)]
    if unwanted and not kinds:
        kinds = [kind for kind in Kind if kind not in unwanted]
    remote = False if on_site else True if _REMOTE.search(rest) else None
    pay = _PAY.search(rest)
    min_pay = _least_pay(pay, once=bool(kinds) and _PAID_ONCE.issuperset(kinds)) if pay else None
    places = _places(rest)
    query = _query(rest, pay, places)
    short = len(text.split()) <= _SHORT_WORDS and not _QUESTION.search(text)
    asks = kinds or _SEEKS.search(rest) or min_pay or remote or skills_in(query) or excluded
    if not (asks or short) or not (query or kinds or min_pay or places or remote is not None):
        return None
    return ScoutCall(
        query=query,
        kinds=kinds,
        remote=remote,
        locations=places,
        min_pay=min_pay,
        exclude=excluded,
    )


def _excluded(text: str) -> tuple[str, list[str], set[Kind]]:
    """The text without what is not wanted, those words, and the kinds among them."""
    words: list[str] = []
    for found in _NOT.finditer(text):
        words += _NOT_BETWEEN.split(found.group(1))
    plain = [word.strip(" .") for word in words if word.strip(" .")]
    unwanted = {kind for word in plain for kind in Kind if re.fullmatch(_KINDS[kind], word.lower())}
    said = [
        re.sub(r"\s+(?:jobs?|stuff|companies|work|roles?|things?)$", "", word)[:SKILL_LENGTH_MAX]
        for word in plain
        if not _REMOTE.fullmatch(word)
        and not any(re.fullmatch(_KINDS[kind], word.lower()) for kind in Kind)
    ]
    return _NOT.sub(" ", text), list(dict.fromkeys(said)), unwanted


def _least_pay(found: re.Match[str], *, once: bool) -> LeastPay | None:
    amount = float(found["amount"].replace(",", "")) * (1_000 if found["k"] else 1)
    code = (found["before"] or found["after"] or "").lower().rstrip("s")
    sign = found["sign"] or found["sign2"]
    currency = _SIGNS.get(sign or "") or _WORDS.get(code) or code.upper()
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
    if amount >= _YEARLY_MIN:
        return Period.YEAR
    return Period.MONTH if amount >= _MONTHLY_MIN else Period.HOUR


def _places(text: str) -> list[str]:
    """The places we know that something is said to be in, or near."""
    named = (part for m in _NEAR.finditer(text) for part in re.split(r"\b(?:or|and)\b", m.group(1)))
    return list(dict.fromkeys(filter(None, map(_place, named))))


def _place(text: str) -> str | None:
    """The longest beginning of the words that is a place we know."""
    words = text.replace(",", " , ").split()
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
    for word in re.findall(r"[^\s,;!?()\"“”]+", rest):
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
