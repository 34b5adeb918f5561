"""The posting: one opportunity as its source states it, normalised."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from urllib.parse import urlsplit

from agents.domain.errors import InvalidValue, require_text
from agents.domain.kind import Kind
from agents.domain.pay import Pay

TITLE_MAX = 300
DESCRIPTION_MAX = 20_000
LISTED_MAX = 60
"""Most entries kept of a list such as skills or locations."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """Where else the same posting was found."""

    source: str
    source_id: str | None
    url: str | None
    title: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Opportunity:
    """One posting. What its source does not say is None or empty, never guessed.

    `id` is ours and stable for a source's record; `source_id` is the record's own. `deadline` is
    the last instant to act, `deadline_text` what the posting says when no date can be read from
    it. Instants are aware and in UTC.
    """

    id: str
    source: str
    source_id: str | None = None
    kind: Kind
    title: str
    organisation: str | None = None
    url: str | None = None
    locations: tuple[str, ...] = ()
    remote: bool | None = None
    skills: tuple[str, ...] = ()
    pay: Pay | None = None
    posted_at: datetime | None = None
    deadline: datetime | None = None
    deadline_text: str | None = None
    active: bool | None = None
    description: str | None = None
    fetched_at: datetime
    also_at: tuple[Listing, ...] = ()

    def __post_init__(self) -> None:
        if not self.id or not self.source:
            raise InvalidValue("id", "empty id or source", "a text")
        if not self.title.strip():
            raise InvalidValue("title", "empty", "a text")
        require_text("title", self.title, TITLE_MAX)
        require_text("description", self.description or "", DESCRIPTION_MAX)
        for field, listed in (("locations", self.locations), ("skills", self.skills)):
            if len(listed) > LISTED_MAX:
                raise InvalidValue(field, f"{len(listed)} entries", f"at most {LISTED_MAX}")
        if self.url is not None:
            _require_web_link(self.url)
        for name in ("posted_at", "deadline", "fetched_at"):
            _require_utc(name, getattr(self, name))

    def expired(self, now: datetime) -> bool:
        """Whether its deadline is known and has passed."""
        return self.deadline is not None and self.deadline < now

    def live(self, now: datetime) -> bool:
        """Whether it is not known to be closed or expired."""
        return self.active is not False and not self.expired(now)


def _require_web_link(url: str) -> None:
    try:
        parts = urlsplit(url)
        valid = parts.scheme in {"http", "https"} and bool(parts.hostname)
    except ValueError:
        valid = False
    if not valid:
        raise InvalidValue("url", f"{url[:80]!r}", "an http or https link")


def _require_utc(name: str, instant: datetime | None) -> None:
    if instant is not None and instant.utcoffset() != timedelta(0):
        raise InvalidValue(name, f"{instant.isoformat()} is not in UTC", "an aware instant in UTC")
