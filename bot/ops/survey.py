"""Reads how everything stands: breakers, database, feeds, credit, cache."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from agents.discovery.port import ShelfState, SourceFailed
from agents.store.errors import StoreError
from agents.store.overview import Overview
from bot.ops.health import CacheCounts, Credit, FeedState, Standing
from bot.ops.lag import LoopLag
from bot.ops.observed import Observed
from bot.ops.readiness import Readiness
from cache.tiered import Cache
from resilience.background import Background
from resilience.clock import Clock
from resilience.guard import Guard
from resilience.saga import Gate, Orchestrator

KNOWN_FOR_S = 0.5
"""However many look, the database is read twice a second."""
FEEDS_EVERY_S = 20.0
CREDIT_EVERY_S = 300.0

log = logging.getLogger(__name__)


class UsedCredit(Protocol):
    """What an account used."""

    @property
    def used_usd(self) -> float | None:
        """This month, in US dollars."""
        ...

    @property
    def limit_usd(self) -> float | None:
        """Where it ends."""
        ...


class Feed(Protocol):
    """A scheduled source."""

    label: str

    @property
    def period_s(self) -> float:
        """How often it is read."""
        ...

    async def state(self) -> ShelfState | None:
        """How its last reading went."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """Where there is something to be read. `credit` is None without an Apify account."""

    observed: Observed
    guards: Mapping[str, Guard]
    overview: Callable[[], Awaitable[Overview]]
    orchestrator: Orchestrator
    gate: Gate
    readiness: Readiness
    cache: Cache
    feeds: tuple[Feed, ...]
    credit: Callable[[], Awaitable[UsedCredit]] | None
    background: Background
    lag: LoopLag
    queued_max: int


class Survey:
    """`look` gives how it stands; what costs more than a moment is read now and then by
    `keep_reading`."""

    def __init__(self, places: Places, clock: Clock) -> None:
        self._places = places
        self._clock = clock
        self._started_at = clock.now()
        self._looking = asyncio.Lock()
        self._seen: tuple[float, Standing] | None = None
        self._feeds: tuple[FeedState, ...] = ()
        self._credit = None if places.credit is None else Credit()
        self._credit_at: float | None = None
        self._credit_fails = False

    async def look(self) -> Standing:
        """How everything stands; at most half a second old."""
        async with self._looking:
            now = self._clock.monotonic()
            if self._seen is None or now - self._seen[0] >= KNOWN_FOR_S:
                self._seen = (now, await self._look())
            return self._seen[1]

    def changed(self) -> None:
        """What was seen is not so any more: somebody acted."""
        self._seen = None

    async def _look(self) -> Standing:
        places = self._places
        places.observed.forget_lost(lambda run_id: places.orchestrator.task_of(run_id) is not None)
        problems = await places.readiness.problems()
        return Standing(
            started_at=self._started_at,
            breakers=tuple(guard.breaker.view() for guard in places.guards.values()),
            overview=None if "database" in problems else await self._overview(),
            waiting=dict(places.gate.waiting),
            waiting_since=dict(places.gate.waiting_since),
            paused=places.gate.paused,
            problems=problems,
            apify=self._credit,
            cache=_counts(places.cache),
            feeds=self._feeds,
            crashes=places.background.crashes,
            loop_lag_s=places.lag.longest_s,
            queued_max=places.queued_max,
            draining=places.readiness.draining,
        )

    async def _overview(self) -> Overview | None:
        try:
            return await self._places.overview()
        except StoreError:
            return None  # the next probe says why

    async def keep_reading(self) -> None:
        """The feeds' states and the account's credit, until cancelled."""
        while True:
            try:
                await self._read_feeds()
                await self._read_credit()
            except Exception:
                # The loop's boundary: what was read last is old, and the next round may mend it.
                log.exception("reading feeds and credit broke")
            await self._clock.sleep(FEEDS_EVERY_S)

    async def _read_feeds(self) -> None:
        try:
            self._feeds = tuple([await _state(feed) for feed in self._places.feeds])
        except StoreError as error:
            log.debug("the feeds' states can't be read: %s", error)  # the probe says it

    async def _read_credit(self) -> None:
        now, ask = self._clock.monotonic(), self._places.credit
        if ask is None or (self._credit_at is not None and now - self._credit_at < CREDIT_EVERY_S):
            return
        self._credit_at = now
        try:
            used = await ask()
        except SourceFailed as failure:
            if not self._credit_fails:
                log.warning("Apify's credit can't be seen: %s", failure)
            self._credit_fails = True
        else:
            self._credit_fails = False
            self._credit = Credit(used_usd=used.used_usd, limit_usd=used.limit_usd)


async def _state(feed: Feed) -> FeedState:
    state = await feed.state()
    return FeedState(
        name=feed.label,
        period_s=feed.period_s,
        read_at=None if state is None else state.fetched_at,
        failures=0 if state is None else state.failures,
        error=None if state is None else state.error,
    )


def _counts(cache: Cache) -> CacheCounts:
    counts = cache.counts
    return CacheCounts(
        memory_hits=counts.memory_hits,
        second_hits=counts.second_hits,
        loads=counts.loads,
        load_errors=counts.load_errors,
        stale=counts.stale,
        second_errors=counts.second_errors,
        entries=len(cache.memory),
        bytes=cache.memory.size_bytes,
    )
