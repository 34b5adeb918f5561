"""Cautions about a posting that asks for what honest ones don't: always with the words that raised
them, never a reason to leave it out."""

import re
from collections.abc import Iterator
from urllib.parse import urlsplit

from agents.domain.kind import Kind
from agents.domain.opportunity import Opportunity
from agents.domain.untrusted import READ_MAX, without_instructions

SHORTENERS = frozenset(
    (
        *("bit.ly", "tinyurl.com", "t.co", "goo.gl", "ow.ly", "is.gd", "buff.ly", "cutt.ly"),
        *("rb.gy", "shorturl.at", "rebrand.ly", "tiny.cc", "bl.ink", "s.id", "v.gd", "t.ly"),
        *("shorte.st", "adf.ly", "lnkd.in", "tinyurl.is", "soo.gd", "clck.ru", "qr.ae", "dub.sh"),
    )
)
_MESSENGERS = {
    "t.me": "Telegram",
    "telegram.me": "Telegram",
    "telegram.dog": "Telegram",
    "wa.me": "WhatsApp",
    "api.whatsapp.com": "WhatsApp",
    "chat.whatsapp.com": "WhatsApp",
    "signal.me": "Signal",
    "m.me": "Messenger",
    "discord.gg": "Discord",
    "line.me": "LINE",
}
_MONEY = r"(?:[$€£₹₦]\s?\d[\d.,]*|\d[\d.,]*\s?(?:usd|eur|gbp|inr|ngn|dollars?|euros?))"
_FEE = (
    r"(?:application|registration|enrol+ment|processing|training|onboarding|admin(?:istration)?"
    r"|refundable|security|upfront|advance|laptop|visa(?: processing)?|background check"
    r"|certification|starter kit) (?:application |security |visa )?(?:fees?|charges?|deposits?"
    r"|payments?)"
)
_APPLICANT = r"(?:you(?:'ll)?|applicants?|candidates?|students?|workers?|hires?)"
_PAYS = r"(?:pay|send|transfer|remit|wire|deposit|buy|purchase)"
_DUE = r"(?:of|is|are|apply|applies|required|must|to be|for (?:the|your))"
_PAY_TO_APPLY = re.compile(
    "|".join(
        (
            # Who applies pays: "you have to pay a registration fee".
            rf"\b{_APPLICANT} (?:\w+ ){{0,3}}{_PAYS}\w* (?:\w+ ){{0,4}}?(?:{_FEE}|{_MONEY}"
            r"|(?:NGN|USD|EUR|INR) ?\d+|starter kit|their own visa fee)",
            # Or is told to: "Send $30 to secure your slot".
            rf"(?:^|[.!?:;,\n]\s*|\bplease |\bthen |\bto |\bmust |\band ){_PAYS} (?:us |in )?"
            rf"(?:a |an |the |your )?(?:\w+ ){{0,2}}?(?:{_FEE}|{_MONEY}|fee|payment|starter kit)",
            # "A security deposit is due".
            rf"\b(?:a|an|the|small|non-?refundable|refundable) {_FEE} {_DUE}",
            rf"(?:^|\n){_FEE} {_DUE}",
            r"\b(?:buy|purchase|pay for) (?:your|the) (?:\w+ ){1,2}(?:upfront|first|in advance)",
            r"\b(?:pay(?:ment)?|wire|send)\b.{0,20}\b(?:by|with|in|via) (?:gift cards?"
            r"|western union|moneygram)",
        )
    ),
    re.IGNORECASE,
)
_DENIED = re.compile(
    r"\b(?:no|never|without|free of|don't|doesn't|do not|does not|will not|won't|zero|waived?"
    r"|never ask\w*|we (?:pay|cover|reimburse)|covered|paid by us|for tenants|for clients)\b",
    re.IGNORECASE,
)
_REWARD = re.compile(rf"{_MONEY}|\b\d+ ?(?:usdc|usdt|eth|sol|btc)\b", re.IGNORECASE)
_BY_MESSENGER = re.compile(
    r"\b(?:contact|message|text|reach|dm|apply|write|chat|ping|add)\b[^.!?\n]{0,30}"
    r"\b(?:on|via|by|at|through|over|using|:) ?(?:our |my |the )?"
    r"(whatsapp|telegram|signal|wechat|discord|messenger|viber|line)\b",
    re.IGNORECASE,
)
_ONLY = re.compile(r"\bonly\b", re.IGNORECASE)
_OTHER_WAY = re.compile(
    r"\b(?:e-?mail|careers? page|our website|apply (?:online|here|now|via)|portal|github|form)\b",
    re.IGNORECASE,
)
_UNPAID = re.compile(
    r"\b(?:unpaid|no (?:monetary )?(?:pay|payment|compensation|reward|bounty)|for exposure"
    r"|(?:equity|tokens?) only|volunteers? only|without (?:pay|compensation)|swag only)\b",
    re.IGNORECASE,
)
_QUOTED_MAX = 60


def cautions_of(o: Opportunity) -> tuple[str, ...]:
    """What to be careful of in a posting, with its reason; most have nothing."""
    return tuple(_cautions(o, _text(o)))


def _text(o: Opportunity) -> str:
    return f"{o.title}\n{o.description or ''}"[:READ_MAX]


def _everything(o: Opportunity) -> str:
    pay = "" if o.pay is None else o.pay.text
    return "\n".join((*o.skills, *o.locations, o.organisation or "", pay, _text(o)))


def _cautions(o: Opportunity, text: str) -> Iterator[str]:
    if asked := _asks_for_money(text):
        yield f"asks you to pay first: “{asked}”"
    host = _host(o.url)
    if host in SHORTENERS:
        yield f"its link hides where it leads: {host} shortens links"
    messenger = _MESSENGERS.get(host) or _only_messenger(o, text)
    if messenger:
        yield f"contact only by {messenger}: no employer's page or address"
    if o.kind is Kind.BOUNTY and (unpaid := _unpaid(o, text)):
        yield unpaid
    if without_instructions(_everything(o)).removed:
        yield "talks to software, not to you: that part was left out of its score"


def _asks_for_money(text: str) -> str | None:
    for found in _PAY_TO_APPLY.finditer(text):
        start = max(text.rfind(end, 0, found.start()) for end in ".!?\n") + 1
        sentence = text[start : found.end() + 40].partition("\n")[0]
        if not _DENIED.search(sentence):
            return " ".join(found.group().split())[:_QUOTED_MAX]
    return None


def _host(url: str | None) -> str:
    try:
        host = urlsplit(url or "").hostname or ""
    except ValueError:
        return ""
    return host.removeprefix("www.")


def _only_messenger(o: Opportunity, text: str) -> str | None:
    """The messenger that is the only way to answer: by its own words, or for want of a link."""
    found = _BY_MESSENGER.search(text)
    if found is None:
        return None
    only = _ONLY.search(text[max(0, found.start() - 20) : found.end() + 10])
    if not only and (o.url is not None or _OTHER_WAY.search(text)):
        return None
    return found.group(1).title().replace("Whatsapp", "WhatsApp")


def _unpaid(o: Opportunity, text: str) -> str | None:
    if found := _UNPAID.search(text):
        return f"an unpaid bounty: “{found.group()}”"
    paid = o.pay is not None and (o.pay.max or o.pay.min or 0) > 0
    told = o.pay is not None and o.pay.max is None and o.pay.min is None
    if not (paid or told or _REWARD.search(text)):
        return "an unpaid bounty, as far as it says: it names no reward"
    return None
