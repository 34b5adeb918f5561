"""What a caller gets: the value of a key, how old it is, and never more than one load for it.

A value is *current* until its logical time is over, and *kept* for much longer: when it can't be
loaded anew it is still there, labelled with its age. Memory holds it a shorter while and then asks
the second tier, where another process may have put a newer one. The second tier is asked only when
memory does not know; when it fails or is slow, memory is all there is, and what was to be written
is written later.
"""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from functools import partial
from hashlib import sha256
from typing import Any, Generic, Protocol, Self, TypeVar

from cache.kind import Kind, refuse_unless_above_zero
from cache.memory import Held, MemoryTier
from cache.port import Clock, Stored, Tier
from cache.single_flight import PatienceOver, SingleFlight
from cache.write_behind import WriteBehind

T = TypeVar("T")

log = logging.getLogger(__name__)

SWEEP_EVERY_S = 3600.0
SECOND_WITHIN_S = 5.0
"""The longest that a caller waits for any second tier; a guard round it gives up much sooner."""
FORGOTTEN_WITHIN_S = 2.0
_SLACK = timedelta(minutes=5)
"""How far the clocks of two processes may be apart."""


class Origin(StrEnum):
    """Where a value came from."""

    MEMORY = "memory"
    SECOND = "second tier"
    LOADED = "loaded"


class Codec(Protocol[T]):
    """How a value is stored. Both run in a thread; what they raise costs only the storing."""

    def encode(self, value: T) -> bytes:
        """The value as bytes."""
        ...

    def decode(self, data: bytes) -> T:
        """The value again; raises anything for bytes that are none."""
        ...


@dataclass(frozen=True, slots=True)
class Cached(Generic[T]):
    """A value and what is known of it. `stale`: its time is over, because `error` stood in the way
    of a new one, or because the new one is still being loaded."""

    value: T
    stored_at: datetime
    origin: Origin
    stale: bool = False
    error: Exception | None = None

    def age_s(self, now: datetime) -> float:
        """How old it is, in seconds."""
        return max(0.0, (now - self.stored_at).total_seconds())


Load = Callable[["Cached[T] | None"], Awaitable[T]]
"""Brings a new value; is given the old one, if there is one."""


@dataclass(slots=True)
class Counts:
    """What happened since the start."""

    memory_hits: int = 0
    second_hits: int = 0
    loads: int = 0
    load_errors: int = 0
    stale: int = 0
    second_errors: int = 0
    unreadable: int = 0
    unstorable: int = 0


class Cache:
    """Memory and the second tier, shared by all kinds of values. An async context manager."""

    def __init__(
        self,
        clock: Clock,
        second: Tier | None,
        *,
        entries_max: int = 10_000,
        bytes_max: int = 64_000_000,
        uniform: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self.clock = clock
        self.second = second
        self.uniform = uniform
        self.memory = MemoryTier(entries_max=entries_max, bytes_max=bytes_max)
        self.writes = None if second is None else WriteBehind(second, clock, uniform=uniform)
        self.flights: SingleFlight[Any] = SingleFlight()
        self.counts = Counts()
        self.forgets = 0
        self._running = AsyncExitStack()

    async def __aenter__(self) -> Self:
        if self.writes is not None:
            await self._running.enter_async_context(self.writes)
        if self.second is not None:
            sweeper = asyncio.create_task(self._sweep(self.second), name="cache:sweep")
            self._running.push_async_callback(_end, sweeper)
        await self._running.enter_async_context(self.flights)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._running.aclose()

    @property
    def forgetting(self) -> frozenset[str]:
        """The tags that the second tier has not forgotten yet: nothing it has of them counts."""
        return frozenset() if self.writes is None else self.writes.forgetting

    def of(
        self, kind: Kind, codec: Codec[T], nothing: Callable[[T], bool] = lambda _: False
    ) -> "TieredCache[T]":
        """The cache of one kind of value; `nothing` tells a value that says "nothing found"."""
        return TieredCache(self, kind, codec, nothing)

    async def forget(self, tag: str) -> bool:
        """Remove everything with the tag from both tiers; what is being loaded or found meanwhile
        is not stored. False when the second tier does not answer now: it is told when it does."""
        self.forgets += 1
        self.memory.drop(lambda held: held.tag == tag)
        if self.writes is None:
            return True
        self.writes.forget(tag)
        return await self.writes.forgotten(tag, within_s=FORGOTTEN_WITHIN_S)

    async def _sweep(self, second: Tier) -> None:
        while True:
            now = self.clock.now()
            self.memory.drop(lambda held, now=now: held.kept_until <= now)  # type: ignore[misc]
            try:
                await second.sweep(now)
            except Exception:  # noqa: BLE001
                # The loop's boundary: what is over is not handed out anyway.
                self.counts.second_errors += 1
            await self.clock.sleep(SWEEP_EVERY_S)


async def _end(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait({task})


class TieredCache(Generic[T]):
    """One kind of value. Made by `Cache.of`."""

    def __init__(
        self, cache: Cache, kind: Kind, codec: Codec[T], nothing: Callable[[T], bool]
    ) -> None:
        self._cache = cache
        self._memory = cache.memory
        self._counts = cache.counts
        self._now = cache.clock.now
        self._kind = kind
        self._codec = codec
        self._nothing = nothing
        self._name = f"{kind.name}:v{kind.version}"

    async def get(
        self, key: str, load: Load[T], *, tag: str | None = None, fresh_s: float | None = None
    ) -> Cached[T]:
        """The value of the key: current, else loaded anew, else (when that fails) the old one.

        `fresh_s` is how long a loaded value is current, where that differs from the kind's; `tag`
        whose it is. Raises what `load` raises when there is no old value. A caller's cancel ends
        the load only when nobody else waits for it.
        """
        if (hit := self._hit(key)) is not None:
            return hit
        if fresh_s is not None:
            refuse_unless_above_zero("fresh_s", fresh_s)
        forgets = self._cache.forgets
        old = await self.peek(key)
        if self._cache.forgets != forgets:
            old = None  # it may be what is to be forgotten
        if old is not None and not old.stale:
            return old
        load_s = fresh_s or self._kind.fresh_s
        work = partial(self._load, key, load, old, tag, load_s, forgets=forgets)
        patience_s = None if old is None else self._kind.patience_s
        try:
            fresh: Cached[T] = await self._cache.flights.join(
                f"load {self._key(key)}", work, patience_s=patience_s
            )
        except Exception as error:
            kept = self._instead(key, old if self._cache.forgets == forgets else None, error)
            if kept is None:
                raise
            return kept
        return fresh

    def _hit(self, key: str) -> Cached[T] | None:
        """What memory gives out without asking the second tier."""
        held = self._memory.get((self._name, key))
        if held is None or not held.fresh_from <= self._now() < held.unasked_until:
            return None
        self._counts.memory_hits += 1
        found: Cached[T] = held.found
        return found

    async def find(self, key: str) -> T | None:
        """The current value of the key, or None. Loads nothing."""
        hit = self._hit(key)
        if hit is not None and not hit.stale:
            return hit.value
        kept = await self.peek(key)
        return None if kept is None or kept.stale else kept.value

    async def put(self, key: str, value: T, *, tag: str | None = None) -> None:
        """Store a value that came about elsewhere, in the place of any older one."""
        forgets = self._cache.forgets
        made = Cached(value, self._now(), Origin.LOADED)
        await self._keep(key, made, tag, self._kind.fresh_s, forgets=forgets)

    async def peek(self, key: str) -> Cached[T] | None:
        """The newest value of both tiers, `stale` if its time is over; None if there is none, or
        none that is kept any longer. Loads nothing."""
        held = self._memory.get((self._name, key))
        if self._cache.second is not None:
            work = partial(self._ask, self._cache.second, key)
            held = await self._cache.flights.join(f"find {self._key(key)}", work)
        return self._kept(held)

    def _kept(self, held: Held | None) -> Cached[T] | None:
        now = self._now()
        if held is None or held.kept_until <= now:
            return None
        found: Cached[T] = held.found
        return found if held.is_current(now) else replace(found, stale=True)

    async def _ask(self, second: Tier, key: str) -> Held | None:
        """Ask the second tier; the newer of what it has and what memory holds, which memory holds
        from now on."""
        forgets = self._cache.forgets
        found = await self._find(second, key)
        if found is not None and found.tag is not None and self._cache.forgets != forgets:
            found = None  # it may be what is to be forgotten
        held = self._memory.get((self._name, key))  # only now: a load may have ended meanwhile
        if found is not None and (held is None or held.found.stored_at < found.found.stored_at):
            held = found
        if held is not None:
            until = self._now() + timedelta(seconds=self._jittered(self._kind.memory_s))
            until = max(held.unasked_until, min(until, held.fresh_until))
            held = replace(held, unasked_until=until)
            self._memory.put((self._name, key), held)
        return held

    async def _find(self, second: Tier, key: str) -> Held | None:
        forgetting, writes = self._cache.forgetting, self._cache.writes
        try:
            stored = None if writes is None else writes.get(self._key(key))
            if stored is None:
                async with asyncio.timeout(SECOND_WITHIN_S):
                    stored = await second.get(self._key(key))
        except Exception:  # noqa: BLE001
            # Whatever a tier raises: then memory is all there is. Its guard says what is wrong.
            self._counts.second_errors += 1
            return None
        if stored is None:
            return None
        try:
            return None if stored.tag in forgetting else await self._read(key, stored)
        except Exception:  # noqa: BLE001
            # Poisoned, or of another layout than its version says: as if it were not there.
            self._counts.unreadable += 1
            return None

    async def _read(self, key: str, stored: Stored) -> Held | None:
        """What is stored, if it is newer than what memory holds; raises anything if it is none."""
        now = self._now()
        if now < stored.stored_at - _SLACK:
            raise ValueError("it comes from the future")
        held = self._memory.get((self._name, key))
        known = held is not None and stored.stored_at <= held.found.stored_at
        if known or stored.kept_until <= now:
            return None
        value = await asyncio.to_thread(self._codec.decode, stored.data)
        found = self._held(Cached(value, stored.stored_at, Origin.SECOND), stored)
        self._counts.second_hits += 1
        return found

    async def _load(
        self,
        key: str,
        load: Load[T],
        old: Cached[T] | None,
        tag: str | None,
        fresh_s: float,
        *,
        forgets: int,
    ) -> Cached[T]:
        self._counts.loads += 1
        try:
            value = await load(old)
        except Exception as error:
            self._counts.load_errors += 1
            self._pause(key, error)
            raise
        loaded = Cached(value, self._now(), Origin.LOADED)
        await self._keep(key, loaded, tag, fresh_s, forgets=forgets)
        return loaded

    async def _keep(
        self, key: str, loaded: Cached[T], tag: str | None, fresh_s: float, *, forgets: int
    ) -> None:
        """Store it in both tiers, unless it may be what is to be forgotten meanwhile."""
        stored = await self._stored(loaded, tag, fresh_s)
        if stored is None or (tag is not None and self._cache.forgets != forgets):
            return
        self._memory.put((self._name, key), self._held(loaded, stored))
        if self._cache.writes is not None:
            self._cache.writes.put(self._key(key), stored)

    def _pause(self, key: str, error: Exception) -> None:
        """Have memory give out an old value with the error for a while, before the next load."""
        now = self._now()
        held = self._memory.get((self._name, key))
        if held is not None and not held.is_current(now):
            until = now + timedelta(seconds=self._kind.error_pause_s)
            found = replace(held.found, stale=True, error=error)
            paused = replace(
                held,
                found=found,
                fresh_from=min(held.fresh_from, now),  # also when the clock went back
                unasked_until=min(until, held.kept_until),
            )
            self._memory.put((self._name, key), paused)

    def _instead(self, key: str, old: Cached[T] | None, error: Exception) -> Cached[T] | None:
        """What a caller gets when there is no new value, or not yet: the old one, unless a newer
        one was found meanwhile."""
        kept = self._kept(self._memory.get((self._name, key))) or old
        if kept is None or not kept.stale:
            return kept
        self._counts.stale += 1
        return kept if isinstance(error, PatienceOver) else replace(kept, error=error)

    async def _stored(self, loaded: Cached[T], tag: str | None, fresh_s: float) -> Stored | None:
        try:
            nothing = self._nothing(loaded.value)
            data = await asyncio.to_thread(self._codec.encode, loaded.value)
        except Exception:
            log.exception("%s can't be stored", self._name)
            # The codec is a guest: the value is good, it is only not remembered.
            self._counts.unstorable += 1
            return None
        current_s = self._jittered(min(self._kind.nothing_s, fresh_s) if nothing else fresh_s)
        return Stored(
            data=data,
            stored_at=loaded.stored_at,
            fresh_until=loaded.stored_at + timedelta(seconds=current_s),
            kept_until=loaded.stored_at + timedelta(seconds=max(current_s, self._kind.kept_s)),
            tag=tag,
        )

    def _held(self, found: Cached[T], stored: Stored) -> Held:
        until = found.stored_at + timedelta(seconds=self._jittered(self._kind.memory_s))
        return Held(
            found=found if found.origin is Origin.SECOND else replace(found, origin=Origin.MEMORY),
            fresh_from=stored.stored_at - _SLACK,
            unasked_until=min(until, stored.fresh_until),
            fresh_until=stored.fresh_until,
            kept_until=stored.kept_until,
            size=len(stored.data),
            tag=stored.tag,
        )

    def _jittered(self, seconds: float) -> float:
        return seconds * (1 + self._cache.uniform(0.0, self._kind.jitter))

    def _key(self, key: str) -> str:
        """Of bounded length, and without what a person wrote."""
        return f"{self._name}:{sha256(key.encode()).hexdigest()[:40]}"
