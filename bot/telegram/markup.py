"""Telegram's HTML: parsing it into text and entities, as Telegram's server does."""

from dataclasses import dataclass
from html.parser import HTMLParser

_TAGS = {
    "b": "bold", "strong": "bold", "i": "italic", "em": "italic", "u": "underline",
    "s": "strikethrough", "code": "code", "pre": "pre", "blockquote": "blockquote",
    "a": "text_link",
}  # fmt: skip

Entity = dict[str, object]


class BadMarkup(ValueError):  # noqa: N818 - names what the text is
    """The text is not Telegram's HTML; the message says why, in Telegram's manner."""


@dataclass(frozen=True, slots=True)
class Formatted:
    """A text without tags, and where its formats stand (offsets in UTF-16 code units)."""

    text: str
    entities: tuple[Entity, ...]


def parse_html(source: str) -> Formatted:
    """The text and entities of Telegram HTML; raises BadMarkup."""
    parser = _Parser()
    parser.feed(source)
    parser.close()
    if parser.open:
        raise BadMarkup(f"can't find end tag corresponding to start tag {parser.open[-1][0]!r}")
    return Formatted("".join(parser.pieces).rstrip(), tuple(parser.entities))


class _Parser(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.pieces: list[str] = []
        self.entities: list[Entity] = []
        self.open: list[tuple[str, int, str | None]] = []
        self._length = 0

    def handle_data(self, data: str) -> None:
        self.pieces.append(data)
        self._length += len(data.encode("utf-16-le")) // 2

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in _TAGS:
            raise BadMarkup(f"unsupported start tag {tag!r}")
        self.open.append((tag, self._length, dict(attrs).get("href")))

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open[-1][0] != tag:
            raise BadMarkup(f"unmatched end tag {tag!r}")
        _, start, link = self.open.pop()
        if self._length == start:
            return
        entity: Entity = {"type": _TAGS[tag], "offset": start, "length": self._length - start}
        if tag == "a":
            entity["url"] = link or ""
        self.entities.append(entity)
