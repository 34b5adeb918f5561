"""Proper names: employers, schools, places, tools that no table has. Whatever has a capital that
neither a sentence's beginning nor a common use explains is one."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from agents.action.claims.claim import ClaimKind
from agents.action.claims.words import MASK, OF_THINGS, Word, lexicon, lexicon_map

_WORK = re.compile(
    r"\b(?:work\w*|intern\w*|employ\w*|years?|months?|time|role|job|stint|career|joined|left"
    r"|colleagues?|manager|boss|former\w*|previous\w*|ex|alum\w*|position|spell|tenure|contract\w*"
    r"|consult\w*|freelanc\w*|hired|trained|engineer|developer|analyst|days|rose|roles?)\b"
)
_LIVES = re.compile(
    r"\b(?:live[ds]?|living|based|located|resid\w+|home|moved|relocat\w*|born|grew|raised|native)\b"
)
_SCHOOL = frozenset(("university", "college", "institute", "school", "academy", "polytechnic"))
_TO_A_NAME = frozenset(("at", "for", "with", "from", "by", "of", "joined", "joining", "via"))
_OFFERS = frozenset(
    ("role", "position", "opening", "internship", "job", "vacancy", "post", "team", "place", "spot")
)
_LABELS_GAP = re.compile(rf"\s*:\s*{MASK}")
_OPENS_LINE = re.compile(r"[:(\[“\"„«]\s*$")


@dataclass(frozen=True, slots=True)
class Name:
    """A run of capitalised words, from the first to the last of them."""

    first: int
    last: int
    kind: ClaimKind


def names_in(
    text: str, words: Sequence[Word], skill_words: frozenset[int], common: frozenset[str]
) -> list[Name]:
    """The names in a clause or sentence, apart from the words that name known skills. A sentence
    may begin with a `common` word."""
    found: list[Name] = []
    for at, word in enumerate(words):
        if at in skill_words or not _is_name(text, words, at, common):
            continue
        if found and found[-1].last == at - 1 and text[words[at - 1].end : word.start] == " ":
            found[-1] = Name(found[-1].first, at, found[-1].kind)
        else:
            found.append(Name(at, at, ClaimKind.NAME))
    return [Name(n.first, n.last, _kind(words, n)) for n in found]


def _is_name(text: str, words: Sequence[Word], at: int, common: frozenset[str]) -> bool:
    word = words[at]
    if not word.capital or word.text[0].isdigit():
        return False
    if word.plain in lexicon("brands"):
        return True
    if word.plain in lexicon("names_allowed") or word.plain.removesuffix("s") in lexicon("months"):
        return False
    if word.plain in lexicon("months") or (at == 0 and _LABELS_GAP.match(text, word.end)):
        return False
    if at == 0 or _OPENS_LINE.search(text, max(0, word.start - 3), word.start):
        return not _begins(text, words, at, common)
    return word.plain not in lexicon("neutral")


def _begins(text: str, words: Sequence[Word], at: int, common: frozenset[str]) -> bool:
    """Whether a sentence may begin with the word, so that its capital says nothing."""
    word = words[at]
    if any(c.isupper() for c in word.text[1:]):
        return False
    lists = (
        lexicon("starters"),
        lexicon("neutral"),
        lexicon("unspecific"),
        lexicon("common"),
        common,
    )
    if any(word.plain in listed for listed in lists):
        return True
    if word.plain in lexicon_map("number_words") or word.plain in lexicon_map("ordinals"):
        return True
    if word.plain.endswith(("ing", "ed", "ly", *OF_THINGS)):
        return True
    if word.plain.removesuffix("s") in common or f"{word.plain}s" in common:
        return True
    following = words[at + 1] if at + 1 < len(words) else None
    return following is not None and not _is_named(text, word, following)


def _is_named(text: str, word: Word, following: Word) -> bool:
    """Whether what stands behind the first word of a sentence tells that it is a name: `Omio hired
    me`, `Omio and N26`, `Omio, where`; not `Arrow keys`, `Compost that`, `Mules and carts`."""
    between = text[word.end : following.start]
    if following.capital or word.text != word.plain.capitalize():
        return True  # a possessive, too
    plural = word.plain.endswith("s") and not word.plain.endswith(("ss", "us", "is"))
    if between.strip():
        return not (plural and following.plain.endswith("s"))  # "Conflicts, retries and updates"
    if plural and following.plain in ("and", "or", "are", "were", "have"):
        return False
    return following.plain in lexicon("behind_names") or following.plain.endswith("ed")


def _kind(words: Sequence[Word], name: Name) -> ClaimKind:
    run = [w.plain for w in words[name.first : name.last + 1]]
    if _SCHOOL.intersection(run) or _SCHOOL.intersection(
        w.plain for w in words[max(0, name.first - 2) : name.first]
    ):
        return ClaimKind.DEGREE
    if lexicon("languages").intersection(run):
        return ClaimKind.LANGUAGE
    before = " ".join(w.plain for w in words[max(0, name.first - 8) : name.first])
    if _LIVES.search(before):
        return ClaimKind.PLACE
    if len(before.split()) > 1 and before.split()[-2] in _OFFERS and " my " not in f" {before} ":
        return ClaimKind.NAME
    led_to = name.first > 0 and words[name.first - 1].plain in _TO_A_NAME
    if _WORK.search(before) and (led_to or name.first == len(words)):
        return ClaimKind.EMPLOYER
    return ClaimKind.NAME
