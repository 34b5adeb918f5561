"""Free words into tool calls by rules, for when no language model answers.

It understands what people mostly write: what to look for ("remote rust gigs over $50/h, not
crypto", in `router_scout.py`), which of the list to draft, save or explain, and what to remember of
them. Anything else it asks back.
"""

import re
from collections.abc import Iterator

from pydantic import ValidationError

from agents.domain.profile import LOCATION_LENGTH_MAX, SKILL_LENGTH_MAX, SKILLS_MAX
from agents.domain.skill import known_skill, split_skills
from agents.triage.router_scout import known_place, read_scout
from agents.triage.tools import (
    RANKS_MAX,
    AskBackCall,
    Call,
    ChangeProfileCall,
    DraftCall,
    ExplainCall,
    SaveCall,
)

QUESTION = (
    "What shall I look for? Say it like “remote rust gigs over $50/h, not crypto”, or “draft 2”, "
    "“save 1”, “why 3” for what is on your list."
)
_COMMANDS = (
    (
        r"(?:please )?(?:stop|cancel)(?: (?:it|that|this|everything))?",
        "/cancel stops what is under way.",
    ),
    (
        r"(?:please )?(?:forget (?:me|everything)"
        r"|delete (?:me|everything|my (?:data|account|profile)))",
        "/forget deletes everything about you, at once.",
    ),
    (
        r"why (?:not|no|aren't there|are there not) (?:any )?more(?: of (?:them|those))?\??",
        "The button “Why not more” under the list says what was left out, and why.",
    ),
    (
        r"(?:i am |i'm )?not interested in (?:#|number |no\.? ?|match )?\d{1,2}"
        r"|(?:hide|dismiss|remove) (?:#|number |no\.? ?|match )?\d{1,2}",
        "Pick it in the list and tap “Not for me”: it is not shown to you again.",
    ),
)
_COMMANDS_READ = tuple((re.compile(rf"{p}[.! ]*", re.IGNORECASE), told) for p, told in _COMMANDS)
_NUMBERS = {
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
    "best": 1,
    "top": 1,
}
_RANK = rf"(?:#|number |no\.? ?|match )?(\d{{1,2}}|{'|'.join(_NUMBERS)})\b(?: one\b)?"
_SEVERAL = (
    rf"(?:all\b|(?:the )?{_RANK}(?:(?:, and |, | and | & | to | ?- ?| )(?:the )?{_RANK}){{0,5}})"
)
_ENDS = r"(?=$| ?[.,;!?]| (?:and|please|for|then|of|from|on|ones?|match(?:es)?)\b)"
_MATCHES = r"(?:(?:for|to|number|match(?:es)?|me) ){0,3}"
_DRAFT = re.compile(
    r"\b(?:draft|apply (?:for|to)|write (?:an? |the )?(?:application|draft|cover letter)s?) "
    rf"{_MATCHES}({_SEVERAL}){_ENDS}",
    re.IGNORECASE | re.ASCII,
)
_SAVE = re.compile(
    rf"\b(?:save|keep|bookmark) {_MATCHES}({_SEVERAL}){_ENDS}", re.IGNORECASE | re.ASCII
)
_EXPLAIN = re.compile(
    r"\b(?:why|explain)(?: is| was| are| did you (?:pick|choose|rank))?(?: the)?"
    rf" {_RANK}(?! (?:weeks?|days?|months?|years?|hours?|usd|eur|dollars)\b)",
    re.IGNORECASE | re.ASCII,
)
_FIRST_FEW = re.compile(
    rf"(?:the )?(?:first|top|best) (\d|{'|'.join(_NUMBERS)})\b(?! one)", re.IGNORECASE | re.ASCII
)
_RANGE = re.compile(r"(\d{1,2})(?: ?- ?| to )(\d{1,2})", re.ASCII)
_KNOWS = re.compile(
    r"\b(?:my skills are|i know|i can do|i work with|add (?:the )?skills?:?|remember (?:that )?"
    r"i (?:know|use)) ([^.;!?]+)",
    re.IGNORECASE,
)
_LIVES = re.compile(
    r"\b(?:i live in|i am based in|i'm based in|i am in|i'm in|i am from|i'm from"
    r"|my (?:place|location|city) is|change my (?:place|location|city) to) ([^.;!?]+)",
    re.IGNORECASE,
)
_UNKNOWS = re.compile(
    r"\b(?:remove|delete|drop|take) ([^.;!?]+?) (?:from|out of|off) my (?:skills|profile)\b"
    r"|\b(?:i no longer (?:use|know|do)|forget (?:that )?i (?:know|use)) ([^.;!?]+)",
    re.IGNORECASE,
)
_SKILL_WORDS_MAX = 3


def route(text: str) -> tuple[Call, ...]:
    """The calls that the text asks for; one that asks back when it can't be told."""
    plain = " ".join(text.replace("\u2019", "'").split())
    for pattern, told in _COMMANDS_READ:
        if pattern.fullmatch(plain):
            return (AskBackCall(question=told),)
    try:
        calls = tuple(_calls(plain))
    except (ValidationError, ValueError):  # more than a tool takes
        calls = ()
    return calls or (AskBackCall(question=QUESTION),)


def _calls(text: str) -> Iterator[Call]:
    """A scout first: what is to be done with the list means its list."""
    about_list = list(_about_the_list(text))
    rest = text
    for pattern in (_DRAFT, _SAVE, _EXPLAIN):
        rest = pattern.sub(" ", rest)
    about_them = list(_about_them(rest))
    scout = read_scout(" ".join(rest.split()), alone=not (about_list or about_them))
    if scout is not None:
        yield scout
    else:
        yield from about_them
    yield from about_list


def _about_the_list(text: str) -> Iterator[Call]:
    if (found := _DRAFT.search(text)) and (ranks := _ranks(found.group(1))):
        yield DraftCall(ranks=ranks)
    if (found := _SAVE.search(text)) and (ranks := _ranks(found.group(1))):
        yield SaveCall(ranks=ranks)
    if found := _EXPLAIN.search(text):
        yield ExplainCall(rank=_number(found.group(1)))


def _ranks(text: str) -> list[int]:
    """`1, 2 and 3`, `1-3`, `the first two`, `all`: the ranks that they mean, RANKS_MAX at most."""
    if text.lower().startswith("all"):
        return list(range(1, RANKS_MAX + 1))
    if few := _FIRST_FEW.fullmatch(text.strip()):
        return list(range(1, min(_number(few.group(1)), RANKS_MAX) + 1))
    if span := _RANGE.fullmatch(text.strip()):
        low, high = _number(span.group(1)), _number(span.group(2))
        return list(range(low, min(high, low + RANKS_MAX - 1) + 1))
    found = re.findall(rf"\d{{1,2}}|\b(?:{'|'.join(_NUMBERS)})\b", text, re.IGNORECASE | re.ASCII)
    words = [word for word in found if word.lower() != "one" or len(found) == 1]
    return list(dict.fromkeys(_number(word) for word in words))[:RANKS_MAX]


def _number(word: str) -> int:
    return max(1, _NUMBERS.get(word.lower()) or int(word))


def _about_them(text: str) -> Iterator[Call]:
    unknows = _UNKNOWS.search(text)
    text = _UNKNOWS.sub(" ", text)
    knows, lives = _KNOWS.search(text), _LIVES.search(text)
    skills = _skills(knows.group(1)) if knows else []
    gone = _skills(unknows.group(1) or unknows.group(2)) if unknows else []
    place = known_place(lives.group(1)) if lives else None
    if skills or gone or place:
        places = [place[:LOCATION_LENGTH_MAX]] if place else None
        yield ChangeProfileCall(add_skills=skills, remove_skills=gone, locations=places)


def _skills(text: str) -> list[str]:
    """The short names in a list; a clause is none."""
    named = split_skills(re.sub(r" (?:and|&) ", ",", text))
    short = [s for s in named if known_skill(s) or len(s.split()) <= _SKILL_WORDS_MAX]
    if len(short) < len(named):
        short = [s for s in short if known_skill(s)]
    return [skill[:SKILL_LENGTH_MAX] for skill in short][:SKILLS_MAX]
