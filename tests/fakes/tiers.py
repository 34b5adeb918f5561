"""A second tier in a dictionary, which fails, hangs and is slow when it is told to."""

import asyncio
import json
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import datetime
from typing import Any

from cache.port import Stored, TierFailed, ValueRefused


class MemorySecondTier:
    """Implements `cache.port.Tier`. Several caches may share one, as processes share a table."""

    def __init__(self) -> None:
        self.entries: dict[str, Stored] = {}
        self.calls: Counter[str] = Counter()
        self.batches: list[list[str]] = []
        self.failing: set[str] = set()
        """The methods that fail."""
        self.hanging: set[str] = set()
        """The methods that never return."""
        self.gate = asyncio.Event()
        """No answer is given while it is closed."""
        self.gate.set()
        self.refuses: Callable[[Stored], bool] = lambda _: False

    def go_down(self) -> None:
        """Fail from now on."""
        self.failing = {"get", "put", "forget", "sweep"}

    def come_up(self) -> None:
        """Answer again."""
        self.failing = set()

    async def get(self, key: str) -> Stored | None:
        """What was stored under the key when it was asked, however long the answer takes."""
        found = self.entries.get(key)
        await self._called("get")
        return found

    async def put(self, entries: Mapping[str, Stored]) -> None:
        """Store all of them, or none."""
        await self._called("put")
        if any(map(self.refuses, entries.values())):
            raise ValueRefused("no such value", transient=False)
        self.batches.append(list(entries))
        for key, stored in entries.items():
            old = self.entries.get(key)
            if old is None or old.stored_at <= stored.stored_at:
                self.entries[key] = stored

    async def forget(self, tag: str) -> None:
        """Remove everything with the tag."""
        await self._called("forget")
        self._drop(lambda stored: stored.tag == tag)

    async def sweep(self, now: datetime) -> None:
        """Remove what is kept no longer."""
        await self._called("sweep")
        self._drop(lambda stored: stored.kept_until <= now)

    async def _called(self, method: str) -> None:
        self.calls[method] += 1
        await asyncio.sleep(0)
        await self.gate.wait()
        if method in self.hanging:
            await asyncio.Event().wait()
        if method in self.failing:
            raise TierFailed("it is down")

    def _drop(self, gone: Callable[[Stored], bool]) -> None:
        self.entries = {key: stored for key, stored in self.entries.items() if not gone(stored)}


class JsonCodec:
    """Implements `cache.tiered.Codec` for what JSON can say."""

    def encode(self, value: Any) -> bytes:
        """As JSON."""
        return json.dumps(value).encode()

    def decode(self, data: bytes) -> Any:
        """From JSON."""
        return json.loads(data)


class InlineThreads(ThreadPoolExecutor):
    """Runs everything at once, in the caller's thread: the same turns of the loop each time."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> "Future[Any]":
        """The future, done."""
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:  # noqa: BLE001 - it is the caller's
            future.set_exception(error)
        return future


class HeldThreads(InlineThreads):
    """Runs nothing until it is told to, and then in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.held: list[Callable[[], None]] = []

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> "Future[Any]":
        """A future that is done when its entry in `held` was called."""
        future: Future[Any] = Future()
        self.held.append(lambda: future.set_result(fn(*args, **kwargs)))
        return future
