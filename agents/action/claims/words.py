"""Words of a text: where they stand, and their plain and shortened forms."""

import json
import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files

_TOKEN = re.compile(r"\d+(?:[.,]\d+)*[^\W\d_]*\+?|[^\W_]+(?:['’.&][^\W_]+)*[+#]*")
_ENDINGS = (
    *("ating", "ated", "ates", "ate"),
    *("ators", "ator", "ations", "ation", "ments", "ment", "ings", "ing", "ions", "ion", "ists"),
    *("ist", "ers", "er", "ors", "or", "ies", "ied", "ed", "es", "s", "ly", "e", "y"),
)

MASK = "▮"
"""What a gap is made of while claims are looked for: it is in no word."""
OF_THINGS = ("tion", "sion", "ment", "ness", "ity", "ance", "ence", "ship", "ism", "ture", "ing")
"""Endings of nouns that name neither persons nor companies."""


@dataclass(frozen=True, slots=True)
class Word:
    """A word as it is written, its place, and its folded form without a possessive."""

    text: str
    start: int
    end: int
    plain: str

    @property
    def capital(self) -> bool:
        """Whether it is written as names are: `Acme`, `iOS`, `SQL`; `I` is not."""
        return self.plain != "i" and any(c.isupper() for c in self.text)


def words_in(text: str, start: int = 0, end: int | None = None) -> list[Word]:
    """The words of a part of `text`, by their places in the whole."""
    found = _TOKEN.finditer(text, start, len(text) if end is None else end)
    return [Word(m[0], m.start(), m.end(), plain(m[0])) for m in found]


@lru_cache(maxsize=8192)
def plain(word: str) -> str:
    """A word folded: `Google’s` and `GOOGLE` are `google`, full-width letters are plain ones."""
    folded = unicodedata.normalize("NFKC", word).casefold().replace("’", "'")
    for ending in ("'s", "'m", "'ve", "'d", "'ll", "'re"):
        if folded.endswith(ending):
            return folded.removesuffix(ending)
    return folded


@lru_cache(maxsize=8192)
def stem(word: str) -> str:
    """A folded word's stem: `developed`, `developer` and `developing` are one.

    It is rough on purpose: two words that share a stem are taken for the same.
    """
    irregular: str | None = lexicon_map("irregular").get(word)
    if irregular is not None:
        return irregular
    for ending in _ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            return stem(word.removesuffix(ending))
    if len(word) > 3 and word[-1] == word[-2]:
        word = word[:-1]
    return word


def stems(words: Iterable[str]) -> frozenset[str]:
    """The stems of folded words."""
    return frozenset(stem(word) for word in words)


@lru_cache(maxsize=16)
def common_words(text: str) -> frozenset[str]:
    """The words that a text writes in lower case, as names are not."""
    return frozenset(m[0] for m in _TOKEN.finditer(text) if m[0].islower())


@lru_cache(maxsize=64)
def lexicon(name: str) -> frozenset[str]:
    """A word list of `lexicon.json`."""
    return frozenset(word for line in _lists()[name] for word in line.split())


@lru_cache(maxsize=16)
def lexicon_map(name: str) -> dict[str, str]:
    """What each word of a table in `lexicon.json` stands for: `yrs` for `year`."""
    return {word: meaning for meaning, listed in _tables()[name].items() for word in listed.split()}


def tables(name: str) -> dict[str, str]:
    """A table of `lexicon.json` as it stands there."""
    return _tables()[name]


@lru_cache(maxsize=1)
def _lists() -> dict[str, list[str]]:
    return {name: entry for name, entry in _entries().items() if isinstance(entry, list)}


@lru_cache(maxsize=1)
def _tables() -> dict[str, dict[str, str]]:
    return {name: entry for name, entry in _entries().items() if isinstance(entry, dict)}


@lru_cache(maxsize=1)
def _entries() -> dict[str, list[str] | dict[str, str]]:
    text = files("agents.action.claims").joinpath("lexicon.json").read_text("utf-8")
    entries: dict[str, list[str] | dict[str, str]] = json.loads(text)
    return entries
