"""Reads feeds in the background, each on its own period, so that a scout finds them stored."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from datetime import datetime, timedelta
from functools import partial
from typing import Protocol

from agents.discovery.stored import StoredSource

KEPT_FOR = timedelta(days=30)
_PRUNE_EVERY_S = 24 * 3600.0
_PAUSED_LOOK_S = 8.0

log = logging.getLogger(__name__)


class Clock(Protocol):
    """The parts of a clock that this needs."""

    def now(self) -> datetime:
        """The current instant in UTC."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Return after `seconds`."""
        ...


class Prunes(Protocol):
    """The part of a store that drops what nobody refers to."""

    async def prune(self, before: datetime) -> int:
        """Drop what was last seen before then; returns how many postings."""
        ...


class FeedRefresher:
    """One loop a source: a slow or broken one delays no other. While it is not `is_open`, because
    operators paused discovery, nothing is read. An async context manager."""

    def __init__(
        self,
        sources: Iterable[StoredSource],
        store: Prunes,
        clock: Clock,
        *,
        is_open: Callable[[], bool] = lambda: True,
    ) -> None:
        self._sources = tuple(sources)
        self._store = store
        self._clock = clock
        self._is_open = is_open
        self._loops: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> "FeedRefresher":
        for source in self._sources:
            self._start(f"feed:{source.label}", partial(self._refresh, source))
        self._start("prune", self._prune)
        return self

    async def __aexit__(self, *_: object) -> None:
        for loop in self._loops:
            loop.cancel()
        await asyncio.gather(*self._loops, return_exceptions=True)

    def _start(self, name: str, once: Callable[[], Awaitable[None]]) -> None:
        self._loops.append(asyncio.create_task(self._forever(name, once), name=name))

    async def _forever(self, name: str, once: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                await once()
            except Exception:
                # The loop's boundary: the store may be out; the next round tries again.
                log.exception("%s: this round broke", name)
                await self._clock.sleep(60)

    async def _refresh(self, source: StoredSource) -> None:
        wait_s = await source.due_in_s()
        if not self._is_open():
            await self._clock.sleep(_PAUSED_LOOK_S)
        elif wait_s > 0:  # and then look again: a scout may have read it meanwhile
            await self._clock.sleep(wait_s)
        else:
            await source.refresh_shared()

    async def _prune(self) -> None:
        gone = await self._store.prune(self._clock.now() - KEPT_FOR)
        if gone:
            log.info("dropped %d postings that nobody refers to", gone)
        await self._clock.sleep(_PRUNE_EVERY_S)
