"""Which sources a spec names."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from agents.discovery.port import Need, Now, Shelf, Source, SourceFailed
from agents.discovery.sources.actor import ActorFetcher, Clock, Runs
from agents.discovery.sources.actor_list import Actor, fill
from agents.discovery.sources.actor_run import Credit
from agents.discovery.sources.feed import FeedFetcher, JsonReader
from agents.discovery.sources.feed_list import Feed
from agents.discovery.sources.file import FileSource
from agents.discovery.sources.sample import SampleSource
from agents.discovery.sources.starts import Starts
from agents.discovery.stored import Fetched, Refreshed, StoredSource
from agents.domain.errors import InvalidValue
from cache.single_flight import SingleFlight
from cache.tiered import TieredCache


class Account(Runs, Protocol):
    """An Apify account: runs actors, and says how much of its credit is used."""

    async def credit(self) -> Credit:
        """How much of the month's credit is used; raises SourceFailed."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Apify:
    """What running actors needs; `run_usd` is what one scout may spend on them in all."""

    actors: tuple[Actor, ...]
    account: Account
    starts: Starts
    clock: Clock
    run_usd: float


class Catalogue:
    """The sources that exist, by spec."""

    def __init__(
        self,
        *,
        clock: Now,
        shelf: Shelf,
        work: SingleFlight[Refreshed],
        readings: TieredCache[Fetched],
        feeds: Sequence[Feed] = (),
        http: JsonReader | None = None,
        apify: Apify | None = None,
    ) -> None:
        self._clock = clock
        self._shelf = shelf
        self._work = work
        self._readings = readings
        self._apify = apify
        self._kinds = {feed.name: frozenset(feed.kinds) for feed in feeds}
        self.feeds: Mapping[str, StoredSource] = {
            feed.name: self._stored(FeedFetcher(feed, http, clock.now))
            for feed in feeds
            if http is not None
        }
        paid = ("apify",) if apify is not None else ()
        self._names = ("sample", "feeds", *paid, *self.feeds)

    @property
    def names(self) -> tuple[str, ...]:
        """The specs that name a source here, but for files."""
        return self._names

    def check(self, spec: str) -> None:
        """Raises InvalidValue for a spec that names no source."""
        scheme, _, rest = spec.partition(":")
        if spec not in self._names and not (scheme == "file" and rest):
            self.resolve(spec, Need())  # says what is wrong

    def resolve(self, spec: str, need: Need) -> tuple[Source, ...]:
        """The sources of the spec that can have what is needed; raises InvalidValue."""
        scheme, _, rest = spec.partition(":")
        if spec == "sample":
            return (SampleSource(self._clock.now),)
        if spec == "feeds":
            return tuple(s for name, s in self.feeds.items() if self._serves(name, need))
        if spec == "apify":
            return self._actors(need)
        if spec in self.feeds:
            return (self.feeds[spec],)
        if scheme == "file" and rest:
            return (FileSource(Path(rest).expanduser(), self._clock.now),)
        raise InvalidValue("source", f"unknown source {spec[:80]!r}", self._allowed())

    async def apify_credit(self) -> Credit:
        """What the Apify account has used this month; raises SourceFailed."""
        if self._apify is None:
            raise SourceFailed("apify: no APIFY_API_TOKEN")
        return await self._apify.account.credit()

    async def unread(self, feed: str) -> Mapping[str, int]:
        """In how many of a feed's postings a field could not be read, by field."""
        source = self.feeds.get(feed)
        state = None if source is None else await source.state()
        return {} if state is None else state.unread

    def _serves(self, name: str, need: Need) -> bool:
        kinds = self._kinds[name]
        return not kinds or not need.kinds or bool(kinds & set(need.kinds))

    def _actors(self, need: Need) -> tuple[Source, ...]:
        apify = self._apify
        if apify is None:
            raise InvalidValue("source", "apify needs APIFY_API_TOKEN", self._allowed())
        asked = [(a, template) for a in apify.actors for template in a.inputs_for(need)]
        share = apify.run_usd / max(1, len(asked))
        year = self._clock.now().year
        return tuple(
            self._stored(
                ActorFetcher(
                    actor=actor,
                    run_input=fill(template, need, year=year, items_max=actor.items_max),
                    layout=actor.layout(template),
                    charge_max_usd=_floor(min(actor.charge_max_usd, share)),
                    runs=apify.account,
                    starts=apify.starts,
                    clock=apify.clock,
                )
            )
            for actor, template in asked
        )

    def _stored(self, fetcher: FeedFetcher | ActorFetcher) -> StoredSource:
        return StoredSource(fetcher, self._shelf, self._clock, self._work, self._readings)

    def _allowed(self) -> str:
        feeds = ", ".join(self.feeds)
        also = f", feeds, or one of them: {feeds}" if feeds else ""
        apify = ", apify" if self._apify is not None else ""
        return f"file:PATH (JSONL, a JSON array or CSV), sample{apify}{also}"


def _floor(usd: float) -> float:
    """To a hundredth of a cent, downwards: the shares must not exceed the whole."""
    return math.floor(usd * 10_000) / 10_000
