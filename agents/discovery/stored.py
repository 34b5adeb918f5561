"""A source that is read from the store, and from outside only when its period is over.

Feeds and actors share this: what differs is how they fetch (`Fetcher`). What was fetched is cached,
for those who share the cache but not the store, and for when nothing can be fetched.
"""

import asyncio
import logging
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Protocol

from agents.discovery.port import Now, Reading, Shelf, ShelfState, SourceFailed, Validators
from agents.domain.opportunity import Opportunity
from cache.kind import Kind
from cache.single_flight import SingleFlight
from cache.tiered import Cached, Origin, TieredCache
from resilience.deadline import no_deadline
from resilience.saga import JournalUnavailable

PATIENCE_S = 2.0
"""How long a scout waits for a fresh reading of a feed when something is stored."""

_CLOCKS_APART_S = 300.0
NOTHING_S = 15 * 60.0
"""How long "nothing found" is current, where the source's period is longer."""

READINGS = Kind(
    name="reading",
    version=1,
    kept_s=30 * 24 * 3600.0,
    nothing_s=NOTHING_S,
    jitter=0.0,  # periods are the sources' terms
    error_pause_s=0.0,  # pauses, too
)

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """What a fetch brought."""

    opportunities: tuple[Opportunity, ...]
    unreadable: Mapping[str, int] = field(default_factory=dict)
    unread: Mapping[str, int] = field(default_factory=dict)
    validators: Validators = field(default_factory=Validators)
    notice: str | None = None
    partial: bool = False
    """Whether there is more that could not be read this time."""


class Fetcher(Protocol):
    """How a source is read from outside."""

    @property
    def key(self) -> str:
        """What is the same for all who would fetch the same; at most 64 characters."""
        ...

    @property
    def label(self) -> str:
        """The source's name."""
        ...

    @property
    def period_s(self) -> float:
        """How long a reading is current."""
        ...

    @property
    def pause_s(self) -> float:
        """The least time between two fetches, failed ones included: the source's terms."""
        ...

    @property
    def deadline_s(self) -> float | None:
        """How long a fetch may take; None for the default of all sources."""
        ...

    @property
    def patience_s(self) -> float | None:
        """How long a reader waits for a fresh reading when something is stored; None for as long
        as it takes: paid work must not go on when those who wait for it have gone."""
        ...

    async def fetch(self, known: Validators) -> Fetched | None:
        """Fetch; None when nothing has changed since `known`. Raises SourceFailed."""
        ...

    async def stored(self) -> None:
        """What was fetched last is on the shelf. Raises nothing."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Refreshed:
    """The state after a refresh, with what the fetch said beside it; `cached` when somebody else
    had fetched it before."""

    state: ShelfState
    notice: str | None = None
    cached: bool = False


class StoredSource:
    """A Source over a Fetcher and a Shelf; concurrent readers share one fetch."""

    def __init__(
        self,
        fetcher: Fetcher,
        shelf: Shelf,
        clock: Now,
        work: SingleFlight[Refreshed],
        readings: TieredCache[Fetched],
    ) -> None:
        self._fetcher = fetcher
        self._shelf = shelf
        self._clock = clock
        self._work = work
        self._readings = readings
        self.label = fetcher.label

    @property
    def deadline_s(self) -> float | None:
        """The fetch's own deadline."""
        return self._fetcher.deadline_s

    @property
    def period_s(self) -> float:
        """How long a reading is current, in seconds."""
        return self._fetcher.period_s

    async def read(self) -> Reading:
        """The current postings: fetched now when they are overdue, else from the store."""
        state = await self._shelf.state(self._fetcher.key)
        if state is None or state.fetched_at is None:
            return await self._first(state)
        if self._since(state.fetched_at) < self._current_s(state):
            return await self._stored(state)
        if self._pause_left(state) > 0:
            return await self._stored(state, self._not_now(state))
        try:
            done = await self._join(state, self._fetcher.patience_s)
        except TimeoutError:
            return await self._stored(state, "it is being read again")
        return await self._read_now(done)

    async def state(self) -> ShelfState | None:
        """How its last reading went."""
        return await self._shelf.state(self._fetcher.key)

    async def due_in_s(self) -> float:
        """Seconds until the next refresh is due; failures wait longer each time, up to a period."""
        state = await self._shelf.state(self._fetcher.key)
        if state is None:
            return 0.0
        wait, since = self._fetcher.period_s, state.fetched_at or state.attempted_at
        if state.failures:
            wait = min(wait, max(self._fetcher.pause_s, 60.0 * 2 ** min(state.failures - 1, 10)))
            since = state.attempted_at
        return max(0.0, wait - self._since(since), self._pause_left(state))

    async def refresh_shared(self) -> ShelfState:
        """Refresh for nobody in particular; joins a fetch under way."""
        return (await self._join(await self._shelf.state(self._fetcher.key))).state

    async def _join(self, seen: ShelfState | None, patience_s: float | None = None) -> Refreshed:
        return await self._work.join(
            self._fetcher.key, partial(self._refresh, seen), patience_s=patience_s
        )

    async def _refresh(self, seen: ShelfState | None) -> Refreshed:
        """Fetch and store, unless somebody has since `seen` was read; a failure is stored too,
        and comes back in the state."""
        stored = await self._shelf.state(self._fetcher.key)
        if stored is not None and stored != seen:
            return Refreshed(state=stored)
        old = stored or ShelfState(source=self.label, attempted_at=self._clock.now())
        load = partial(self._fetch, old)
        try:
            with no_deadline():  # of whoever comes first: others wait for this too
                key = f"{self._fetcher.key} {self._fetcher.period_s:g}"
                got = await self._readings.get(key, load, fresh_s=self._fetcher.period_s)
        except JournalUnavailable:
            raise  # the store is out: that is no fault of the source's
        except Exception as error:  # noqa: BLE001
            # The source boundary: a bug in one must not cost the others' results.
            return await self._failed(old, error)
        if self._is_newer(got, old):
            old = await self._shelve(old, got)
            if got.error is None:  # also what a process that was killed had cached
                await self._fetcher.stored()
        if got.error is not None:
            return await self._failed(old, got.error)
        return await self._succeeded(old, got)

    def _is_newer(self, got: Cached[Fetched], old: ShelfState) -> bool:
        at = old.fetched_at
        return at is None or at < got.stored_at or self._since(at) == math.inf

    async def _fetch(self, old: ShelfState, known: Cached[Fetched] | None) -> Fetched:
        fetched = await self._fetcher.fetch(known.value.validators if known else Validators())
        if fetched is None:
            assert known is not None  # noqa: S101 - else there was no version to compare with
            return known.value
        known_count = max(old.found, len(known.value.opportunities) if known else 0)
        if fetched.partial and len(fetched.opportunities) < known_count:
            raise SourceFailed(fetched.notice or f"{self.label}: read in part only")
        return fetched

    async def _shelve(self, old: ShelfState, got: Cached[Fetched]) -> ShelfState:
        """Put a newer reading on the shelf; the same answer once more only makes it current."""
        fetched = got.value
        if old.validators == fetched.validators != Validators():
            return replace(old, fetched_at=got.stored_at)
        if fetched.unreadable.keys() - old.unreadable.keys():  # the counts differ every time
            log.warning("source %s: not read: %s", self.label, dict(fetched.unreadable))
        state = replace(
            old,
            fetched_at=got.stored_at,
            found=len(fetched.opportunities),
            unreadable=fetched.unreadable,
            unread=fetched.unread,
            validators=fetched.validators,
        )
        await self._shelf.replace(self._fetcher.key, state, fetched.opportunities)
        return state

    async def _succeeded(self, old: ShelfState, got: Cached[Fetched]) -> Refreshed:
        if old.failures:
            log.info("source %s answers again after %d failures", self.label, old.failures)
        now = self._clock.now()
        good = replace(old, attempted_at=now, failures=0, error=None, not_before=None)
        await self._shelf.note(self._fetcher.key, good)
        cached = got.origin is not Origin.LOADED
        return Refreshed(state=good, notice=got.value.notice, cached=cached)

    async def _failed(self, old: ShelfState, failure: Exception) -> Refreshed:
        if isinstance(failure, SourceFailed):
            error, retry_after_s = str(failure), failure.retry_after_s
        else:
            log.error("source %s broke", self.label, exc_info=failure)
            error, retry_after_s = f"{self.label}: internal error ({type(failure).__name__})", 0.0
        if not old.failures:  # said once for the operator; the count is in the store
            log.warning("source failed: %s", error)
        now = self._clock.now()
        state = replace(
            old,
            attempted_at=now,
            failures=old.failures + 1,
            error=error,
            not_before=now + timedelta(seconds=retry_after_s) if retry_after_s else None,
        )
        await self._shelf.note(self._fetcher.key, state)
        return Refreshed(state=state)

    async def _first(self, state: ShelfState | None) -> Reading:
        """Nothing is stored: wait as long as it takes, unless the source's terms say not yet."""
        if state is not None and state.error is not None and (left := self._pause_left(state)) > 0:
            raise SourceFailed(_asked_again(state.error, left))
        done = await self._join(state)
        if done.state.fetched_at is None:
            error = done.state.error or f"{self.label}: nothing was read"
            raise SourceFailed(_asked_again(error, self._told_to_wait(done.state)))
        return await self._read_now(done)

    async def _read_now(self, fresh: Refreshed) -> Reading:
        if fresh.state.error is not None or fresh.cached:
            return await self._stored(fresh.state, self._not_now(fresh.state), fresh.notice)
        return Reading(
            opportunities=await self._shelved(fresh.state),
            unreadable=fresh.state.unreadable,
            notice=fresh.notice,
            stored=True,
        )

    async def _stored(
        self, state: ShelfState, why: str | None = None, notice: str | None = None
    ) -> Reading:
        assert state.fetched_at is not None  # noqa: S101 - it was read once
        if why is not None:
            age = _age_words(self._since(state.fetched_at))
            notice = f"{self.label}: its postings here are {age} old; {why}"
        return Reading(
            opportunities=await self._shelved(state),
            unreadable=state.unreadable,
            notice=notice,
            stored=True,
            from_cache=True,
        )

    async def _shelved(self, state: ShelfState) -> tuple[Opportunity, ...]:
        """The postings, seen last when the source was: an unchanged answer confirms them."""
        at = state.fetched_at
        found = await self._shelf.current(self._fetcher.key)
        return found if at is None else await asyncio.to_thread(_confirmed, found, at)

    def _not_now(self, state: ShelfState) -> str | None:
        if state.error is None:
            return None
        error = _asked_again(
            state.error.removeprefix(f"{state.source}: "), self._told_to_wait(state)
        )
        return f"it could not be read now ({error})"

    def _current_s(self, state: ShelfState) -> float:
        period_s = self._fetcher.period_s
        return period_s if state.found else min(period_s, NOTHING_S)

    def _pause_left(self, state: ShelfState) -> float:
        pause_s = self._fetcher.pause_s - self._since(state.attempted_at)
        return max(pause_s, self._told_to_wait(state))

    def _told_to_wait(self, state: ShelfState) -> float:
        if state.not_before is None or self._since(state.attempted_at) == math.inf:
            return 0.0
        return max(0.0, (state.not_before - self._clock.now()) / timedelta(seconds=1))

    def _since(self, then: datetime) -> float:
        """Seconds since then; for ever when that lies well ahead: the clock was wrong, then or
        now, and what it said is not believed."""
        seconds = (self._clock.now() - then) / timedelta(seconds=1)
        return math.inf if seconds < -_CLOCKS_APART_S else max(0.0, seconds)


def _asked_again(error: str, in_s: float) -> str:
    return f"{error}; asked again in {math.ceil(in_s)} s at the earliest" if in_s > 0 else error


def _confirmed(found: Iterable[Opportunity], at: datetime) -> tuple[Opportunity, ...]:
    return tuple(o if o.fetched_at >= at else replace(o, fetched_at=at) for o in found)


def _age_words(seconds: float) -> str:
    if seconds == math.inf:
        return "nobody knows how"
    minutes = round(seconds / 60)
    if not minutes:
        return "less than a minute"
    if minutes < 120:
        return f"{minutes} min"
    return f"{round(minutes / 60)} h" if minutes < 60 * 48 else f"{round(minutes / 60 / 24)} days"
