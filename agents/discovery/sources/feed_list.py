"""The list of feeds: a JSON file, checked field by field before anything is fetched."""

import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from agents.discovery.layout import Layout
from agents.discovery.sources.json_list import Strict, read_list
from agents.domain.errors import InvalidValue
from agents.domain.kind import Kind

RESERVED = frozenset({"feeds", "apify", "sample", "file"})
"""What other sources are called; `file:` begins the name of a file, too."""
FEEDS_MAX = 200
_WEB = r"^https?://[^\s/?#]+"
_BOARD = re.compile(r"[A-Za-z0-9_.-]{1,40}")


class Pages(Strict):
    """How a feed goes on: a query parameter that counts, or a link to the next page."""

    parameter: str | None = None
    first: int = 1
    next: str | None = None
    pages_max: Annotated[int, Field(ge=1, le=50)] = 1


class Feed(Strict):
    """One feed: where it is, how often it may be read, and how it writes its records.

    `verified` is False where its layout is known at second hand only. A `{board}` in the URL
    makes it a family: a feed for each board that the settings name.
    """

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,30}(:[A-Za-z0-9_.-]{1,40})?$")]
    title: str
    home: str
    url: Annotated[str, Field(pattern=_WEB)]
    item_url: Annotated[str, Field(pattern=_WEB)] | None = None
    method: Literal["GET", "POST"] = "GET"
    body: object = None
    period_s: Annotated[float, Field(ge=1)]
    pause_s: Annotated[float, Field(ge=0)] = 5.0
    terms: str = ""
    verified: bool = False
    format: Literal["records", "hn"] = "records"
    kinds: tuple[Kind, ...] = ()
    records: str = ""
    skip: Annotated[int, Field(ge=0)] = 0
    pages: Pages = Pages()
    fields: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    constants: dict[str, str | bool] = Field(default_factory=dict)
    defaults: dict[str, str] = Field(default_factory=dict)
    link: Annotated[str, Field(pattern=_WEB)] | None = None
    month_first: bool | None = None

    @model_validator(mode="after")
    def _whole(self) -> "Feed":
        if self.name.partition(":")[0] in RESERVED:
            raise ValueError(f"name {self.name!r} is taken")
        if self.format == "hn" and not all("{id}" in (u or "") for u in (self.item_url, self.link)):
            raise ValueError("format hn needs item_url and link with {id} in them")
        try:
            self.layout()
        except InvalidValue as invalid:
            raise ValueError(str(invalid)) from None
        return self

    def layout(self) -> Layout:
        """How its records are written."""
        return Layout(
            fields=self.fields,
            constants=self.constants,
            defaults=self.defaults,
            link=self.link,
        )

    def of_board(self, board: str) -> "Feed":
        """The feed of one board of the family; postings that name no company are the board's."""
        return self.model_copy(
            update={
                "name": f"{self.name}:{board}",
                "url": self.url.replace("{board}", board),
                "defaults": {"organisation": board} | self.defaults,
            }
        )


class _FeedList(Strict):
    feeds: Annotated[tuple[Feed, ...], Field(max_length=FEEDS_MAX)]


def load_feeds(path: Path | None, boards: tuple[str, ...] = ()) -> tuple[Feed, ...]:
    """The feeds of the file (None: the shipped list), families expanded by `boards` such as
    `greenhouse:NAME`. Raises InvalidValue that names the setting and the place in the file."""
    listed = read_list(_FeedList, path, shipped="feeds.json", setting="FEEDS_FILE").feeds
    names = [feed.name for feed in listed]
    if len(set(names)) < len(names):
        double = next(name for name in names if names.count(name) > 1)
        raise InvalidValue("FEEDS_FILE", f"two feeds are named {double!r}", "a name each")
    families = {feed.name: feed for feed in listed if "{board}" in feed.url}
    expanded = []
    for spec in dict.fromkeys(boards):
        family, _, board = spec.partition(":")
        if family not in families or not _BOARD.fullmatch(board):
            allowed = ", ".join(f"{name}:BOARD" for name in families) or "none in this list"
            raise InvalidValue("FEED_BOARDS", f"unknown board {spec[:80]!r}", allowed)
        expanded.append(families[family].of_board(board))
    return (*(feed for feed in listed if feed.name not in families), *expanded)
