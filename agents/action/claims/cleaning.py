"""A draft as plain text of bounded length."""

import re
import unicodedata

LENGTH_MAX = 3_500
_READ_MAX = 20_000
_NESTED_MAX = 8

_FENCE = re.compile(r"^[ \t]*```[^\n]*\n?", re.MULTILINE)
_TAG = re.compile(r"</?[a-zA-Z!][^<>\n]{0,200}>")
_HEADING = re.compile(r"^#{1,6}[ \t]+", re.MULTILINE)
_STRONG = re.compile(r"\*\*|__|`|(?<![\w*])\*(?=[\w])|(?<=[\w.,!?])\*(?![\w*])")
_MARKED_LINK = re.compile(
    r"!?\[(?!fill in:)([^\[\]\n]{0,200})\]\(([^()\s]{0,300})\)", re.IGNORECASE
)
_ENTITY = re.compile(r"&(?:#\d{1,6}|#x[0-9a-f]{1,6}|[a-z]{2,8});", re.IGNORECASE)
_SPACES = re.compile(r"[ \t\u00a0]{2,}")
_LINES = re.compile(r"\n{3,}")
# What a text may end with when it is cut: a sentence, a gap or a line.
_CUT = re.compile(r"[.!?…\]](?=\s)|\n")


def cleaned(text: str) -> str:
    """`text` without markup, control and invisible characters, at most LENGTH_MAX characters;
    empty where markup hides in markup again and again."""
    text = "".join(map(_shown, text[:_READ_MAX].replace("\r\n", "\n").replace("\r", "\n")))
    for _ in range(_NESTED_MAX):
        before, text = text, _without_markup(text)
        if text == before:
            return cut(text)
    return ""


def _without_markup(text: str) -> str:
    text = _TAG.sub("", _FENCE.sub("", text))
    text = _MARKED_LINK.sub(r"\1 \2", _HEADING.sub("", text))
    return tidied(_STRONG.sub("", _ENTITY.sub(" ", text)))


def tidied(text: str) -> str:
    """`text` without spaces at the ends of lines, and without runs of spaces and of empty lines."""
    lines = (_SPACES.sub(" ", line).strip() for line in text.split("\n"))
    return _LINES.sub("\n\n", "\n".join(lines)).strip()


def cut(text: str) -> str:
    """The longest beginning of `text` within LENGTH_MAX that ends with a sentence or a line."""
    if len(text) <= LENGTH_MAX:
        return text
    ends = [m.end() for m in _CUT.finditer(text, 0, LENGTH_MAX)]
    return text[: ends[-1] if ends else 0].strip()


def _shown(char: str) -> str:
    """The character as it is shown: letters and digits of other widths as plain ones, none for
    what is invisible or can't be stored."""
    if char in "\n\t" or " " <= char <= "~":
        return char
    category = unicodedata.category(char)
    if category in ("Cc", "Cf", "Cs", "Co", "Cn"):
        return ""
    if category == "Zs":
        return " " if char != "\u00a0" else char
    if category in ("Zl", "Zp"):
        return "\n"
    if category[0] in "LN":
        return unicodedata.normalize("NFKC", char)
    return char
