"""The way to the second tier: callers never wait for it, and what it missed it gets later."""

import asyncio
import logging
import random
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Any, Protocol, Self

from cache.port import Stored, Tier, ValueRefused

BATCH_MAX = 50
BATCH_BYTES_MAX = 1_000_000
ALONE_MAX = 5
"""How often a value may fail by itself, while others are written, before it is given up."""
PAUSE_S = 1.0
PAUSE_MAX_S = 30.0
LAST_S = 2.0
"""How long a shutdown writes what is not written yet."""
_DOUBLINGS_MAX = 10


log = logging.getLogger(__name__)


class Sleeps(Protocol):
    """The part of a clock that this needs."""

    async def sleep(self, seconds: float) -> None:
        """Return after `seconds`."""
        ...


class WriteBehind:
    """The newest value of each key, until the tier has it. An async context manager.

    One write at a time, so that a tier gets them in their order. While the tier fails they wait,
    `entries_max` and `bytes_max` of them at most: then the oldest are dropped, and counted.
    """

    def __init__(
        self,
        tier: Tier,
        clock: Sleeps,
        *,
        entries_max: int = 1_000,
        bytes_max: int = 32_000_000,
        uniform: Callable[[float, float], float] = random.uniform,
    ) -> None:
        for name, value in (("entries_max", entries_max), ("bytes_max", bytes_max)):
            if not value > 0:
                raise ValueError(f"{name}: {value}, must be above 0")
        self._tier = tier
        self._clock = clock
        self._entries_max = entries_max
        self._bytes_max = bytes_max
        self._uniform = uniform
        self._waiting: OrderedDict[str, Stored] = OrderedDict()
        self._waiting_bytes = 0
        self._to_forget: dict[str, asyncio.Event] = {}  # by tag, in order; set when it is done
        self._batch_max = BATCH_MAX
        self._writes_done = 0
        self._failed_alone: dict[str, tuple[int, int]] = {}  # how often, and `_writes_done` then
        self._something = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._worker: asyncio.Task[None] | None = None
        self.overflowed = 0
        self.refused = 0

    def __len__(self) -> int:
        """How many values wait."""
        return len(self._waiting)

    @property
    def forgetting(self) -> frozenset[str]:
        """The tags that the tier has not forgotten yet."""
        return frozenset(self._to_forget)

    async def __aenter__(self) -> Self:
        self._worker = asyncio.create_task(self._work(), name="cache:write-behind")
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._worker is not None  # noqa: S101 - entered before
        self._worker.cancel()  # it may be in a pause
        await asyncio.wait({self._worker})
        with suppress(Exception):  # what the tier does not take now is lost
            async with asyncio.timeout(LAST_S):
                while self._waiting or self._to_forget:
                    await self._write_some()
        if self._waiting or self._to_forget:
            lost, untold = len(self._waiting), len(self._to_forget)
            log.warning("not written at the end: %d values, %d to be forgotten", lost, untold)

    def put(self, key: str, stored: Stored) -> None:
        """Write it when the tier takes it, unless a newer one comes before."""
        self._take(key)
        if len(stored.data) > self._bytes_max:
            self.overflowed += 1
            return
        self._waiting[key] = stored
        self._waiting_bytes += len(stored.data)
        while len(self._waiting) > self._entries_max or self._waiting_bytes > self._bytes_max:
            self._take(min(self._waiting, key=lambda waits: self._waiting[waits].stored_at))
            self.overflowed += 1
        self._wake()

    def get(self, key: str) -> Stored | None:
        """What waits under the key: newer than what the tier has."""
        return self._waiting.get(key)

    def forget(self, tag: str) -> None:
        """Have the tier forget the tag, after what is being written and before what comes."""
        for key in [key for key, stored in self._waiting.items() if stored.tag == tag]:
            self._take(key)
        self._to_forget.setdefault(tag, asyncio.Event())
        self._wake()

    async def written(self, *, within_s: float) -> bool:
        """Wait until nothing waits any more; False when that was not in time."""
        return await _in_time(self._idle.wait(), within_s)

    async def forgotten(self, tag: str, *, within_s: float) -> bool:
        """Wait until the tier has forgotten the tag; False when that was not in time."""
        told = self._to_forget.get(tag)
        return told is None or await _in_time(told.wait(), within_s)

    def _wake(self) -> None:
        self._idle.clear()
        self._something.set()

    def _take(self, key: str) -> None:
        self._failed_alone.pop(key, None)
        if (stored := self._waiting.pop(key, None)) is not None:
            self._waiting_bytes -= len(stored.data)

    async def _work(self) -> None:
        failures = 0
        while True:
            await self._something.wait()
            try:
                await self._write_some()
                failures = 0
            except Exception:  # noqa: BLE001
                # Whatever it is: the values wait, and the tier is asked again. Its guard says so.
                bound_s = min(PAUSE_S * 2.0 ** min(failures, _DOUBLINGS_MAX), PAUSE_MAX_S)
                failures += 1
                await self._clock.sleep(self._uniform(bound_s / 2, bound_s))
            if not self._waiting and not self._to_forget:
                self._something.clear()
                self._idle.set()

    async def _write_some(self) -> None:
        """Have the tier forget what it can, then write a batch; raises what stood in the way."""
        failure = await self._forget_all()
        if batch := self._next_batch():
            try:
                await self._tier.put(batch)
            except ValueRefused:
                await self._write_one_by_one(batch)
            except Exception:
                self._put_off(batch)
                raise
            else:
                self._done(batch)
        if failure is not None:
            raise failure

    async def _forget_all(self) -> Exception | None:
        """Try every tag: one that fails keeps no other from being forgotten."""
        failure = None
        for tag in list(self._to_forget):
            try:
                await self._tier.forget(tag)
            except ValueRefused as refused:  # nothing can be stored under it, either
                log.warning("the second tier does not take a tag: %s", refused)
            except Exception as error:  # noqa: BLE001 - raised when the others had their turn
                failure = error
                continue
            self._to_forget.pop(tag).set()
        return failure

    async def _write_one_by_one(self, batch: Mapping[str, Stored]) -> None:
        for key, stored in batch.items():
            try:
                await self._tier.put({key: stored})
            except ValueRefused:
                self.refused += 1
            except Exception:
                self._put_off({key: stored})
                raise
            self._done({key: stored})

    def _next_batch(self) -> dict[str, Stored]:
        batch: dict[str, Stored] = {}
        size = 0
        for key, stored in self._waiting.items():
            if stored.tag in self._to_forget:
                continue  # written before, it would be forgotten
            size += len(stored.data)
            if batch and (len(batch) >= self._batch_max or size > BATCH_BYTES_MAX):
                break
            batch[key] = stored
        return batch

    def _put_off(self, batch: Mapping[str, Stored]) -> None:
        """The others first, in smaller batches: one of these may be what fails. What fails alone
        again and again, while others are written, is given up."""
        self._batch_max = max(1, len(batch) // 2)
        waits = [key for key, stored in batch.items() if self._waiting.get(key) is stored]
        for key in waits:
            self._waiting.move_to_end(key)
        if len(batch) == 1 and waits:
            (key,) = waits
            failures, before = self._failed_alone.get(key, (0, -1))
            if self._writes_done > before:
                failures += 1
            self._failed_alone[key] = (failures, self._writes_done)
            if failures > ALONE_MAX:
                self.refused += 1
                self._take(key)

    def _done(self, written: Mapping[str, Stored]) -> None:
        self._writes_done += 1
        self._batch_max = min(BATCH_MAX, 2 * self._batch_max)
        for key, stored in written.items():
            if self._waiting.get(key) is stored:  # else a newer one came meanwhile
                self._take(key)


async def _in_time(happens: Awaitable[Any], within_s: float) -> bool:
    try:
        async with asyncio.timeout(within_s):
            await happens
    except TimeoutError:
        return False
    return True
