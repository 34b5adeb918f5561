"""Words of postings and wishes: what is compared is a word's stem, without accents or case."""

import re
from collections.abc import Sequence
from functools import lru_cache

from agents.domain.place import fold

READ_MAX = 4_000
"""Characters of a description that are read: what a posting asks for stands there."""

SKILL = "skill:"
"""What the term of a canonical skill begins with; other terms are stems."""

_WORD = re.compile(r"\.net\b|[^\W_][\w+#]*(?:\.[^\W_]\w*)?")
_SEPARATED = str.maketrans("-/_\u2010\u2011\u2012\u2013\u2014", " " * 8)
# Accents written as signs of their own, and the vowel signs of Arabic.
_MARKS = re.compile("[\u0300-\u036f\u064b-\u0652]")
# Written as one word by some and as two by others.
_JOINED = re.compile(
    r"\b(?:(?:back|front)(?= end\b)|full(?= stack\b)|dev(?= ops\b)|help(?= desk\b)"
    r"|cyber(?= security\b)) "
)
_STOP_WORDS = frozenset(
    """
    a all also an and any are as at be been but by can do does for from has have if in into is it
    its job jobs looking find me more must my not of on or other our over per position positions
    role roles show such than that the their these they this to under us want was we were which
    who will with work you your
    """.split()  # noqa: SIM905  (sixty lines otherwise)
)
# Longest first. "-er" goes too, so that engineer, engineers and engineering are one.
_ENDINGS = (("ments", 5), ("ment", 5), ("ings", 4), ("ing", 4), ("ed", 4), ("ers", 4), ("er", 4))


def words(text: str) -> list[str]:
    """The words of a text in order, folded, without the small ones that say nothing."""
    plain = fold(text) if _MARKS.search(text) else text.lower()
    joined = _JOINED.sub(lambda m: m[0].strip(), plain.translate(_SEPARATED))
    found = [w if w.isascii() else _folded(w) for w in _WORD.findall(joined)]
    return [word for word in found if word not in _STOP_WORDS]


@lru_cache(maxsize=65_536)
def _folded(word: str) -> str:
    return fold(word)


def stems(text: str) -> list[str]:
    """The stems of a text's words, in order."""
    return [stem(word) for word in words(text)]


@lru_cache(maxsize=65_536)
def stem(word: str) -> str:
    """The part that `developer`, `developers` and `developing` share; short words stay whole."""
    for ending, least in _ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= least:
            shorter = word.removesuffix(ending)
            return shorter if ending.startswith("er") else stem(shorter)
    if len(word) > 4 and word.endswith("ies"):
        return f"{word[:-3]}y"
    if len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is")):
        return stem(word[:-1])
    return word.removesuffix("e") if len(word) > 4 else word


def names(sequence: Sequence[str], phrase: Sequence[str]) -> bool:
    """Whether `phrase` stands in `sequence`, word by word."""
    length = len(phrase)
    starts = range(len(sequence) - length + 1)
    return any(list(sequence[at : at + length]) == list(phrase) for at in starts)
