"""Skills: one name for each, whatever it is called, and those a text names.

The names come from `skills.json`. A name that is also an everyday word ("go", "r", "spring") is
found in a text only where it is written with a capital, as names are.
"""

import json
import re
from collections.abc import Iterator
from difflib import get_close_matches
from functools import lru_cache
from importlib.resources import files

_WORDS_MAX = 3  # the longest names have three words
# "Spring 2026 intern" is no framework.
_SEASON = re.compile(
    r"\b20\d\d\s+spring\b"
    r"|\bspring\b(?=[\s/&,'’–-]*(?:(?:and|or)\s+)?(?:\d{2,4}\b|summer|fall|autumn|winter|intern"
    r"|co-?op|semester|term|cohort|session|break|season|quarter|start|graduate))",
    re.IGNORECASE,
)
_PLAIN_LENGTH = 3
_TYPED_MIN = 5
_LIKENESS = 0.83  # one letter left out, added or swapped with its neighbour in a word of six
_TRIM = "()[]{}<>,;:!?\"'`*•“”‘’…"


def canonical_skill(text: str) -> str:
    """The one name of a skill: `Postgres` -> `postgresql`; unknown ones are only lower-cased."""
    word = " ".join(text.lower().split())
    return _name_of(word) or word


def known_skill(name: str) -> bool:
    """Whether this lower-case name is one of ours."""
    return name in _names()


def ambiguous_name(name: str) -> bool:
    """Whether a skill's name is also an everyday word, or too short to be told from one."""
    return name in _ambiguous() or len(name) < _PLAIN_LENGTH


@lru_cache(maxsize=4096)
def nearest_skill(word: str) -> str | None:
    """The skill whose name is nearly this lower-case word, for mistyped ones: `pyhton` is
    `python`. Only words of five letters or more, as far as their first letter is right."""
    if len(word) < _TYPED_MIN:
        return None
    alike = [n for n in _names() if n[0] == word[0] and abs(len(n) - len(word)) <= 1]
    nearest = get_close_matches(word, alike, n=1, cutoff=_LIKENESS)
    return _names()[nearest[0]] if nearest else None


def split_skills(text: str) -> tuple[str, ...]:
    """Skills from a comma list, each once, in the order given, in the words given."""
    seen: dict[str, str] = {}
    for part in re.split(r"[,;\n]", text):
        word = " ".join(part.split())
        if word:
            seen.setdefault(canonical_skill(word), word)
    return tuple(seen.values())


def skills_in(text: str) -> tuple[str, ...]:
    """The known skills a text names, each once, in order of appearance."""
    ambiguous = _ambiguous()
    words = list(_words(_SEASON.sub(" ", text) if "pring" in text else text))
    found: dict[str, None] = {}
    at = 0
    while at < len(words):
        for length in range(min(_WORDS_MAX, len(words) - at), 0, -1):
            written = " ".join(words[at : at + length])
            name = _name_of(written.lower())
            if name and (written.lower() not in ambiguous or written[0].isupper()):
                found[name] = None
                at += length - 1
                break
        at += 1
    return tuple(found)


def _name_of(word: str) -> str | None:
    """The name for a lower-case word; `machine-learning` is `machine learning`."""
    name = _names().get(word)
    if name is None and "-" in word:
        return _names().get(word.replace("-", " "))
    return name


def _words(text: str) -> Iterator[str]:
    names = _names()
    for raw in text.split():
        word = raw.strip(_TRIM).rstrip(".")
        if "/" in word and word.lower() not in names and word.lower() not in _first_words():
            yield from filter(None, word.split("/"))
        elif word:
            yield word


@lru_cache(maxsize=1)
def _names() -> dict[str, str]:
    names: dict[str, str] = {}
    for name, aliases in _data()["aliases"].items():
        names.update(dict.fromkeys((name, *aliases), name))
    return names


@lru_cache(maxsize=1)
def _first_words() -> frozenset[str]:
    return frozenset(name.split()[0] for name in _names())


@lru_cache(maxsize=1)
def _ambiguous() -> frozenset[str]:
    return frozenset(_data()["ambiguous"])


@lru_cache(maxsize=1)
def _data() -> dict[str, dict[str, list[str]]]:
    text = files("agents.domain").joinpath("skills.json").read_text("utf-8")
    data: dict[str, dict[str, list[str]]] = json.loads(text)
    return data
