"""A feed: JSON over HTTP, one or several pages, read into postings."""

import asyncio
import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from yarl import URL

from agents.discovery.layout import Layout
from agents.discovery.port import SourceFailed, Validators
from agents.discovery.record import Origin, Unreadable, reach, read_record, unread_fields
from agents.discovery.sources.feed_list import Feed, Pages
from agents.discovery.sources.hn import hiring_records, newest_thread
from agents.discovery.sources.http import JsonAnswer, JsonRequest
from agents.discovery.stored import PATIENCE_S, Fetched
from agents.domain.opportunity import Opportunity

RECORDS_MAX = 20_000
_SLACK_S = 10.0
"""What reading the records and storing them may take beside the requests."""


class JsonReader(Protocol):
    """Reads JSON over HTTP, each request within `timeout_s`."""

    @property
    def timeout_s(self) -> float:
        """Seconds that one request may take."""
        ...

    async def read(
        self, label: str, request: JsonRequest, known: Validators | None = None
    ) -> JsonAnswer | None:
        """The JSON value there; None when it is still the `known` version; raises SourceFailed."""
        ...


class FeedFetcher:
    """Implements Fetcher over HTTP."""

    def __init__(self, feed: Feed, http: JsonReader, now: Callable[[], datetime]) -> None:
        self._feed = feed
        self._http = http
        self._now = now
        self.label = feed.name
        self.period_s = feed.period_s
        self.pause_s = feed.pause_s
        self.patience_s = PATIENCE_S
        # A request may begin as long as the first could take, and take as long itself.
        self.deadline_s: float | None = 2 * http.timeout_s + _SLACK_S
        # All of its description: another server has other postings, other field names give
        # others from an answer that has not changed.
        digest = hashlib.sha256(feed.model_dump_json().encode()).hexdigest()[:12]
        self.key = f"{feed.name[:48]}#{digest}"

    async def stored(self) -> None:
        """Nothing is owed for a feed."""

    async def fetch(self, known: Validators) -> Fetched | None:
        """Fetch every page; None when the first has not changed."""
        feed, started_s = self._feed, _seconds()
        first = JsonRequest(url=str(self._page_url(0)), method=feed.method, body=feed.body)
        # Only an answer that is the whole feed tells by its version that nothing has changed.
        whole = feed.format == "records" and feed.pages == Pages()
        answer = await self._http.read(feed.name, first, known if whole else Validators())
        if answer is None:
            return None
        if feed.format == "hn":
            records, notice = await self._hn_records(answer.value), None
        else:
            records, notice = await self._all_pages(answer.value, started_s)
        origin = Origin(
            source=feed.name, fetched_at=self._now(), month_first=feed.month_first, live=True
        )
        read = await asyncio.to_thread(read_all, records[:RECORDS_MAX], origin, feed.layout())
        if read.unreadable and not read.found:
            reasons = ", ".join(f"{n} {reason}" for reason, n in read.unreadable.items())
            raise SourceFailed(
                f"{feed.name}: none of its {len(records):,} records can be read ({reasons})"
            )
        return Fetched(
            opportunities=read.found,
            unreadable=read.unreadable,
            unread=read.unread,
            validators=answer.validators if whole else Validators(),
            notice=notice,
            partial=notice is not None,
        )

    async def _all_pages(self, value: object, started_s: float) -> tuple[list[object], str | None]:
        """The records of all pages. When a later page fails, those before it count."""
        feed = self._feed
        records = self._records(value)[feed.skip :]
        until = started_s + self._http.timeout_s
        for page in range(1, feed.pages.pages_max):
            url = self._next_url(value, page)
            if url is None or not records:
                break
            if _seconds() > until:
                return records, f"{feed.name}: it is slow; {page} of its pages were read"
            try:
                answer = await self._http.read(feed.name, JsonRequest(url=str(url)))
                value = answer.value if answer else None
                more = self._records(value)
            except SourceFailed as failure:
                return records, f"{failure}; {page} of its pages were read"
            if not more:
                break
            records += more
        return records, None

    def _records(self, value: object) -> list[object]:
        """The list of records in an answer; raises SourceFailed when it isn't where it was."""
        path = self._feed.records
        held = reach(value, tuple(path.split("."))) if path and isinstance(value, dict) else value
        if path and not isinstance(value, dict):
            held = None
        if not isinstance(held, list):
            where = f" at {path!r}" if path else ""
            raise SourceFailed(f"{self._feed.name}: its layout has changed (no list{where})")
        return held

    def _page_url(self, page: int) -> URL:
        url, pages = URL(self._feed.url), self._feed.pages
        if pages.parameter is None or page == 0:
            return url
        return url.update_query({pages.parameter: str(pages.first + page)})

    def _next_url(self, value: object, page: int) -> URL | None:
        """The next page's address; a link to another server is not followed."""
        pages = self._feed.pages
        if pages.parameter is not None:
            return self._page_url(page)
        link = (
            reach(value, tuple(pages.next.split(".")))
            if pages.next and isinstance(value, dict)
            else None
        )
        if not isinstance(link, str):
            return None
        own = URL(self._feed.url)
        try:
            url = own.join(URL(link))
        except ValueError:
            return None
        return url if url.origin() == own.origin() else None

    async def _hn_records(self, value: object) -> list[object]:
        feed = self._feed
        thread = newest_thread(value)
        if thread is None or feed.item_url is None:
            raise SourceFailed(f"{feed.name}: its layout has changed (no thread found)")
        request = JsonRequest(url=feed.item_url.replace("{id}", thread))
        answer = await self._http.read(feed.name, request)
        records = await asyncio.to_thread(hiring_records, answer.value if answer else None)
        if records is None:
            raise SourceFailed(f"{feed.name}: its layout has changed (no comments)")
        return records


def _seconds() -> float:
    return asyncio.get_running_loop().time()


@dataclass(frozen=True, slots=True, kw_only=True)
class Read:
    """The postings in some records; how many records could not be used, by reason; and in how many
    of the others a field says something that could not be read, by field."""

    found: tuple[Opportunity, ...]
    unreadable: Mapping[str, int]
    unread: Mapping[str, int]


def read_all(records: Iterable[object], origin: Origin, layout: Layout) -> Read:
    """Read the records of a source that writes them in this layout."""
    found: list[Opportunity] = []
    unreadable: Counter[str] = Counter()
    unread: Counter[str] = Counter()
    for raw in map(layout.apply, records):
        try:
            posting = read_record(raw, origin)
        except Unreadable as reason:
            unreadable[str(reason)] += 1
            continue
        found.append(posting)
        unread.update(unread_fields(raw, posting))
    return Read(found=tuple(found), unreadable=dict(unreadable), unread=dict(unread))
