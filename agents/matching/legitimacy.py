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
_PAY_TO_APPLY = re.compile(
    r"\b(?:(?:application|registration|enrol+ment|processing|training|onboarding|admin(?:istration)?"
    r"|visa processing|background check|certification|starter kit) (?:fee|charge|deposit|cost)s?"
    r"|(?:refundable|security|upfront|advance) (?:deposit|fee|payment)s?"
    r"|(?:pay|send|transfer|deposit|wire) (?:us |a |an |the )?(?:fee|deposit|payment|"
    + _MONEY
    + r")"
    r"|purchase (?:your|the) (?:own )?(?:starter|training|work) (?:kit|materials?|package)"
    r"|(?:pay|buy) (?:for )?(?:your|the) (?:training|equipment|laptop) (?:upfront|first|in advance)"
    r"|(?:gift cards?|western union|moneygram|crypto deposit))\b",
    re.IGNORECASE,
)
_DENIED = re.compile(
    r"\b(?:no|not|never|without|free of|don't|doesn't|do not|does not|will not|won't|zero|waived?"
    r"|we (?:pay|cover|reimburse)|covered|paid by us|beware|scams?|fraud\w*)\b",
    re.IGNORECASE,
)
_BY_MESSENGER = re.compile(
    r"\b(?:contact|message|text|reach|dm|apply|write|chat|ping|add)\b[^.!?\n]{0,40}"
    r"\b(whatsapp|telegram|signal|wechat|discord|messenger|viber|line id)\b",
    re.IGNORECASE,
)
_OTHER_WAY = re.compile(
    r"\b(?:e-?mail|careers? page|our website|apply (?:online|here|now|via)|portal|github|form)\b",
    re.IGNORECASE,
)
_UNPAID = re.compile(
    r"\b(?:unpaid|no (?:pay|payment|compensation|reward|bounty)|for exposure"
    r"|(?:equity|tokens?) only"
    r"|volunteers?|voluntary|without (?:pay|compensation)|swag only)\b",
    re.IGNORECASE,
)
_QUOTED_MAX = 60


def cautions_of(o: Opportunity) -> tuple[str, ...]:
    """What to be careful of in a posting, with its reason; most have nothing."""
    return tuple(_cautions(o, _text(o)))


def _text(o: Opportunity) -> str:
    return f"{o.title}\n{o.description or ''}"[:READ_MAX]


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
    if without_instructions(text).removed:
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
    """The messenger that is the only way to answer, when the posting has no link of its own."""
    if o.url is not None or _OTHER_WAY.search(text):
        return None
    found = _BY_MESSENGER.search(text)
    return found.group(1).title().replace("Whatsapp", "WhatsApp") if found else None


def _unpaid(o: Opportunity, text: str) -> str | None:
    if found := _UNPAID.search(text):
        return f"an unpaid bounty: “{found.group()}”"
    if o.pay is None or (o.pay.max or o.pay.min) == 0:
        return "an unpaid bounty, as far as it says: it names no reward"
    return None
