"""Whether the rules can read a text: they are made for English."""

from agents.action.claims.words import lexicon, words_in

_WORDS_MIN = 12
_ENGLISH_MIN = 0.2
_LATIN_MIN = 0.5


def is_english(text: str) -> bool:
    """Whether every fifth word is one of English's commonest; short texts pass."""
    words = [w.plain for w in words_in(text)]
    if len(words) < _WORDS_MIN:
        return True
    common = sum(word in lexicon("stop_words") for word in words)
    return common / len(words) >= _ENGLISH_MIN


def is_latin(text: str) -> bool:
    """Whether most letters are of a script with capitals that the rules know; True for none."""
    letters = [c for c in text if c.isalpha()]
    latin = sum(c < "\u0250" for c in letters)
    return not letters or latin / len(letters) >= _LATIN_MIN
