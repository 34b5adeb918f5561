"""Links, e-mail addresses and handles in a text."""

import re
from collections.abc import Iterator

# Each alternative begins at a word's edge and has no nested repeat: linear.
_LINK = re.compile(r"(?:https?://|www\.)[^\s<>\"'’”)\]]{1,500}", re.IGNORECASE)
_MAIL = re.compile(r"(?<![\w.+-])[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,4}")
_BARE = re.compile(
    r"(?<![\w@./-])(?:[\w-]{1,63}\.){1,3}(?:com|org|net|io|dev|me|co|ai|app|xyz|info|edu|gov|tech"
    r"|site|page|link|ly|gg|de|uk|in|fr|eu|us|ca|es|it|nl|ng)(?:/[^\s<>\"'’”)\]]{0,300})?(?![\w.]*\w)",
    re.IGNORECASE,
)
_HANDLE = re.compile(r"(?<![\w@.])@[\w.]{2,40}")
_PHONE = re.compile(r"(?<![\w/.-])\+?\(?\d[\d ().-]{7,18}\d(?![\w/])")


def contacts_in(text: str) -> Iterator[tuple[int, int]]:
    """The places of links, addresses, handles and telephone numbers."""
    for pattern in (_LINK, _MAIL, _BARE, _HANDLE, _PHONE):
        for match in pattern.finditer(text):
            if pattern is _PHONE and sum(c.isdigit() for c in match[0]) < 9 and match[0][0] != "+":
                continue  # "2021-2023"
            yield match.start(), match.end() - _marks_behind(match[0])


def _marks_behind(link: str) -> int:
    return len(link) - len(link.rstrip(".,;:!?"))
