"""Two processes' caches over one second tier, against what each of them may still hand out."""

import asyncio
from collections.abc import Coroutine
from datetime import datetime
from typing import Any, TypeVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from cache.kind import Kind
from cache.tiered import Cache, Cached, Origin
from tests.fakes.saga_clock import HeldClock, settle
from tests.fakes.tiers import InlineThreads, JsonCodec, MemorySecondTier
from tests.fakes.virtual_time import VirtualTimeLoop

# Chance decides what is run: the other tests cover the lines.
pytestmark = pytest.mark.unmeasured

T = TypeVar("T")

KIND = Kind(
    name="reading",
    version=1,
    memory_s=30,
    fresh_s=100,
    kept_s=1_000,
    jitter=0.0,
    error_pause_s=10,
)
TAGS = {"a": "me", "b": "me", "c": "you", "d": None}
WHO = st.sampled_from([0, 1])
KEYS = st.sampled_from(sorted(TAGS))
PAUSES_S = st.sampled_from([1, 9, 10, 29, 30, 99, 100, 101, 500, 1_000, 3_600])
DOWN = st.sampled_from(["get", "put", "forget", "sweep"])


class Caches(RuleBasedStateMachine):
    """Each value is the number of its load; `loaded` says of which key it is, and when it was."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner(loop_factory=VirtualTimeLoop)
        self.runner.get_loop().set_default_executor(InlineThreads())
        self.clock = HeldClock()
        self.second = MemorySecondTier()
        self.caches = [
            Cache(self.clock, self.second, uniform=lambda low, _high: low) for _ in range(2)
        ]
        self.loaded: list[tuple[str, datetime]] = []
        self.seen: dict[tuple[int, str], datetime] = {}
        """The newest that each has handed out, unless it was forgotten."""
        self.forgotten: tuple[set[int], set[int]] = (set(), set())
        """What each may not hand out any more."""
        self.newest: dict[str, datetime] = {}
        """What the second tier must have in the end, where that is certain."""
        for cache in self.caches:
            self.run(cache.__aenter__())

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        async def settled() -> T:
            result = await work
            await settle()
            return result

        return self.runner.run(settled())

    @rule(who=WHO, key=KEYS, works=st.booleans())
    def get(self, who: int, key: str, works: bool) -> None:
        begun = False

        async def load(old: Cached[int] | None) -> int:
            nonlocal begun
            begun = True
            assert old is None or old.stale
            if not works:
                raise OSError("down")
            self.loaded.append((key, self.clock.now()))
            return len(self.loaded) - 1

        readings = self.caches[who].of(KIND, JsonCodec())
        try:
            got = self.run(readings.get(key, load, tag=TAGS[key]))
        except OSError:
            assert begun
            assert not works
            assert self.run(readings.peek(key)) is None
            return
        if begun and works:
            assert got.origin is Origin.LOADED
            self._note_newest(key)
        assert got.stale == (got.error is not None)
        assert not (begun and works and got.stale)
        self._check(who, key, got)

    def _note_newest(self, key: str) -> None:
        """The key was loaded. Where a process has yet to have its tag forgotten, the tier may lose
        what another wrote meanwhile: then nothing is certain."""
        if any(TAGS[key] in cache.forgetting for cache in self.caches):
            self.newest.pop(key, None)
        else:
            self.newest[key] = self.clock.now()

    @rule(who=WHO, key=KEYS)
    def peek(self, who: int, key: str) -> None:
        got = self.run(self.caches[who].of(KIND, JsonCodec()).peek(key))
        if got is not None:
            self._check(who, key, got)

    def _check(self, who: int, key: str, got: Cached[int]) -> None:
        assert self.loaded[got.value] == (key, got.stored_at)
        age_s = (self.clock.now() - got.stored_at).total_seconds()
        assert got.age_s(self.clock.now()) == age_s < KIND.kept_s
        assert got.stale == (age_s >= KIND.fresh_s)
        assert got.value not in self.forgotten[who]
        assert got.stored_at >= self.seen.get((who, key), got.stored_at)
        self.seen[who, key] = got.stored_at

    @rule(who=WHO, key=KEYS)
    def both_at_once(self, who: int, key: str) -> None:
        async def load(_: Cached[int] | None) -> int:
            self.loaded.append((key, self.clock.now()))
            return len(self.loaded) - 1

        async def gets() -> list[Cached[int]]:
            readings = [cache.of(KIND, JsonCodec()) for cache in self.caches]
            order = (who, who, 1 - who, who)
            return list(
                await asyncio.gather(*(readings[i].get(key, load, tag=TAGS[key]) for i in order))
            )

        before = len(self.loaded)
        first, again, other, last = self.run(gets())
        assert first.value == again.value == last.value
        if len(self.loaded) > before:
            self._note_newest(key)
        self._check(who, key, first)
        self._check(1 - who, key, other)

    @rule(who=WHO, tag=st.sampled_from(["me", "you"]))
    def forget(self, who: int, tag: str) -> None:
        waits = self._waiting(1 - who)
        told = self.run(self.caches[who].forget(tag))
        for number, (key, at) in enumerate(self.loaded):
            if TAGS[key] != tag:
                continue
            # What the other process has not written yet nobody can know of.
            if waits.get(key) != at:
                self.forgotten[who].add(number)
            self.seen.pop((who, key), None)
            self.newest.pop(key, None)
        if told:
            assert not any(entry.tag == tag and key not in waits for key, entry in self._entries())

    @rule(seconds=PAUSES_S)
    def advance(self, seconds: int) -> None:
        self.clock.advance(seconds)
        self.run(settle())

    @rule(methods=st.sets(DOWN, min_size=1))
    def second_down(self, methods: set[str]) -> None:
        self.second.failing = methods

    @rule()
    def second_up(self) -> None:
        self.second.come_up()

    @rule()
    def drained(self) -> None:
        """The tier is back and has got all: it holds the newest of each key, if that is kept."""
        self.second.come_up()
        self.clock.advance(30)
        for cache in self.caches:
            assert cache.writes is not None
            assert self.run(cache.writes.written(within_s=1))
            assert len(cache.writes) == cache.writes.overflowed == 0
        entries = dict(self._entries())
        for key, at in self.newest.items():
            if (self.clock.now() - at).total_seconds() < KIND.kept_s:
                assert entries[key].stored_at == at

    def _entries(self) -> list[tuple[str, Any]]:
        """What the second tier holds, by the caller's key."""
        held = self.second.entries.values()
        return [(self.loaded[int(entry.data)][0], entry) for entry in held]

    def _waiting(self, who: int) -> dict[str, datetime]:
        """When what waits to be written was loaded, by the caller's key."""
        writes = self.caches[who].writes
        assert writes is not None
        waiting = writes._waiting.values()
        return {self.loaded[int(entry.data)][0]: entry.stored_at for entry in waiting}

    @invariant()
    def nothing_is_under_way(self) -> None:
        for cache in self.caches:
            assert not cache.flights._tasks
        assert len(asyncio.all_tasks(self.runner.get_loop())) == 4  # two writers, two sweepers

    def teardown(self) -> None:
        self.drained()
        for cache in self.caches:
            self.run(cache.__aexit__())
        assert not asyncio.all_tasks(self.runner.get_loop())
        self.runner.close()


class TestCaches(Caches.TestCase):  # type: ignore[misc, valid-type]
    """Whatever is done in whatever order, no process hands out what it may not."""

    settings = settings(max_examples=40, stateful_step_count=30, deadline=None)
