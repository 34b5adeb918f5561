"""The first tier: the least recently used go, bounded by entries and by bytes."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from cachetools import Cache, LRUCache

Key = tuple[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """A value in memory, as it is handed out. `fresh_from` lies a little before it was stored: an
    entry from the future is not believed. Until `unasked_until` nobody else is asked for it."""

    found: Any
    fresh_from: datetime
    unasked_until: datetime
    fresh_until: datetime
    kept_until: datetime
    size: int
    tag: str | None

    def is_current(self, now: datetime) -> bool:
        """Whether its time is not over."""
        return self.fresh_from <= now < self.fresh_until


def _size(held: Held) -> int:
    return held.size


class MemoryTier:
    """Values by key. Not thread-safe: for one event loop."""

    def __init__(self, *, entries_max: int, bytes_max: int) -> None:
        for name, value in (("entries_max", entries_max), ("bytes_max", bytes_max)):
            if not value > 0:
                raise ValueError(f"{name}: {value}, must be above 0")
        self._entries_max = entries_max
        self._entries: LRUCache[Key, Held] = LRUCache(maxsize=bytes_max, getsizeof=_size)

    def __len__(self) -> int:
        """How many values are held."""
        return len(self._entries)

    @property
    def size_bytes(self) -> int:
        """The encoded length of all that is held."""
        return int(self._entries.currsize)

    def get(self, key: Key) -> Held | None:
        """What is held, used just now."""
        try:
            return self._entries[key]
        except KeyError:
            return None

    def put(self, key: Key, held: Held) -> None:
        """Hold it. A value larger than the whole cache is not held, and what was there goes."""
        self._entries.pop(key, None)
        if held.size > self._entries.maxsize:
            return
        while len(self._entries) >= self._entries_max:
            self._entries.popitem()
        self._entries[key] = held

    def drop(self, gone: Callable[[Held], bool]) -> None:
        """Let go of every entry that is `gone`."""
        for key in list(self._entries):
            if gone(Cache.__getitem__(self._entries, key)):  # LRUCache's own would count as a use
                del self._entries[key]
