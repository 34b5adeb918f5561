"""Where a text names the skills of the alias table."""

from collections.abc import Sequence
from functools import lru_cache

from agents.action.claims.words import Word, lexicon
from agents.domain.skill import skills_in

_WORDS_MAX = 4
# Behind the name of a skill that is also a verb: "Go is ...", "Excel and ...".
_AS_A_NAME = frozenset(("is", "was", "has", "and", "or", "are"))


def skill_spans(text: str, words: Sequence[Word]) -> list[tuple[int, int, str]]:
    """The first and last word and the one name of each skill, the longest where they overlap."""
    found: list[tuple[int, int, str]] = []
    at = 0
    while at < len(words):
        length, name = _skill_at(text, words, at)
        if name:
            found.append((at, at + length - 1, name))
        at += max(length, 1)
    return found


def _skill_at(text: str, words: Sequence[Word], at: int) -> tuple[int, str]:
    for length in range(min(_WORDS_MAX, len(words) - at), 0, -1):
        written = _written(text, words[at], words[at + length - 1])
        names = _names(written)
        other = _is_verb(words, at, length) or _is_currency(text, words[at])
        if len(names) == 1 and _whole(written, length) and not other:
            return length, names[0]
    return 0, ""


def _written(text: str, first: Word, last: Word) -> str:
    dot = text[first.start - 1 : first.start] == "."
    return text[first.start - dot : last.end].replace("\n", " ").replace("’s", "").strip()


def _whole(written: str, length: int) -> bool:
    """Whether all the words are needed for the skill: `big Kafka` is no longer name of Kafka."""
    if length == 1:
        return True
    parts = written.split(" ")
    return len(parts) == 1 or (
        _names(" ".join(parts[1:])) != _names(written)
        and _names(" ".join(parts[:-1])) != _names(written)
    )


def _is_currency(text: str, word: Word) -> bool:
    return word.text == "PHP" and text[word.end : word.end + 2].strip().isdigit()


def _is_verb(words: Sequence[Word], at: int, length: int) -> bool:
    """Whether a word such as `Go` only has its capital because the sentence begins with it."""
    if at or length > 1 or words[0].plain not in lexicon("starters"):
        return False
    following = words[1] if len(words) > 1 else None
    return following is not None and not following.capital and following.plain not in _AS_A_NAME


@lru_cache(maxsize=8192)
def _names(written: str) -> tuple[str, ...]:
    return skills_in(written)
