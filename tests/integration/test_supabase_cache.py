"""The two-tier cache over Supabase, with a network between them that breaks and heals."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest

from cache.kind import Kind
from cache.supabase import TABLE, SupabaseTier
from cache.tiered import SWEEP_EVERY_S, Cache, Cached, Load, Origin, TieredCache
from tests.fakes.clock import FixedClock
from tests.fakes.fault_proxy import FaultProxy
from tests.fakes.supabase import Supabase

# The unit tests cover the cache's lines.
pytestmark = pytest.mark.unmeasured

SHORT_S = 1.0
"""How long a process waits for an answer where a network swallows them."""
WITHIN_S = 20.0
"""How long it waits elsewhere: an answer is never late because the machine is busy."""
KEYS = [f"key {number}" for number in range(55)]
KIND = Kind(name="greetings", version=1, memory_s=600.0, fresh_s=3600.0, jitter=0.0)

Break = Callable[[FaultProxy, Supabase], None]
BREAKS: dict[str, tuple[Break, float]] = {
    "reset": (lambda proxy, _: proxy.reset(), WITHIN_S),
    "blackhole": (lambda proxy, _: proxy.blackhole(), SHORT_S),
    "503": (lambda _, supabase: supabase.answers(503, "later", Retry_After="1"), WITHIN_S),
    "html": (lambda _, supabase: supabase.answers(200, "<html>"), WITHIN_S),
}
EVERY_BREAK = pytest.mark.parametrize(("breaks", "patience_s"), BREAKS.values(), ids=BREAKS)


class QuickClock(FixedClock):
    """Time passes only by `advance`; a pause takes a hundredth of its seconds, and the hour
    between two sweeps never ends."""

    def __init__(self) -> None:
        super().__init__()
        self._pause = asyncio.Event()

    async def sleep(self, seconds: float) -> None:
        """Return a little later."""
        if seconds >= SWEEP_EVERY_S:
            await asyncio.Event().wait()
        self._pause.set()
        await asyncio.sleep(seconds / 100)

    async def pauses(self, times: int) -> None:
        """Wait for the beginnings of so many pauses."""
        for _ in range(times):
            self._pause.clear()
            async with asyncio.timeout(WITHIN_S):
                await self._pause.wait()


class Words:
    """A codec for text."""

    def encode(self, value: str) -> bytes:
        """As UTF-8."""
        return value.encode()

    def decode(self, data: bytes) -> str:
        """From UTF-8."""
        return data.decode()


@dataclass(frozen=True, slots=True)
class Process:
    """A cache as one process has it."""

    cache: Cache
    words: TieredCache[str]
    clock: QuickClock

    async def load_all(self, version: str, keys: list[str] = KEYS) -> list[Cached[str]]:
        """Ask for all keys at once, an hour later: all are loaded anew."""
        self.clock.advance(KIND.fresh_s)
        return await self.get_all(version, keys)

    async def get_all(self, version: str, keys: list[str] = KEYS) -> list[Cached[str]]:
        """Ask for all keys at once."""
        return await asyncio.gather(*(self.words.get(key, says(version, key)) for key in keys))

    async def written(self) -> bool:
        """Wait until the tier has everything."""
        assert self.cache.writes is not None
        return await self.cache.writes.written(within_s=WITHIN_S)


def says(version: str, key: str) -> Load[str]:
    """A load that brings the version of the key."""

    async def load(_: Cached[str] | None) -> str:
        return f"{version} of {key}"

    return load


@asynccontextmanager
async def process(
    supabase: Supabase, url: str = "", *, timeout_s: float = WITHIN_S
) -> AsyncIterator[Process]:
    """A cache over a tier that is asked at the address, or at Supabase's own."""
    clock = QuickClock()
    tier = SupabaseTier(
        url or supabase.url, supabase.service_role_key, timeout_s=timeout_s, now=clock.now
    )
    async with tier, Cache(clock, tier) as cache:
        yield Process(cache, cache.of(KIND, Words()), clock)


@pytest.fixture
async def proxy(supabase: Supabase) -> AsyncIterator[FaultProxy]:
    """A network before Supabase."""
    async with FaultProxy(supabase.port) as network:
        yield network


@pytest.fixture
def patience_s() -> float:
    """How long a process behind the network waits for an answer."""
    return WITHIN_S


@pytest.fixture
async def one(supabase: Supabase, proxy: FaultProxy, patience_s: float) -> AsyncIterator[Process]:
    """A process behind the network."""
    async with process(supabase, proxy.url, timeout_s=patience_s) as first:
        yield first


async def heal(proxy: FaultProxy, supabase: Supabase) -> None:
    """The network and Supabase work again."""
    supabase.heal()
    await proxy.heal()


async def in_postgresql(supabase: Supabase) -> list[str]:
    """The values that are in the table."""
    rows = await supabase.sql(
        f"SELECT convert_from(decode(value, 'base64'), 'UTF8') AS value FROM {TABLE}"
    )
    return sorted(row["value"] for row in rows)


def versions(version: str, keys: list[str] = KEYS) -> list[str]:
    """That version of each key."""
    return sorted(f"{version} of {key}" for key in keys)


# --- the way there breaks ---------------------------------------------------------------------


@EVERY_BREAK
async def test_what_was_loaded_in_an_outage_is_written_after_it(
    breaks: Break, one: Process, proxy: FaultProxy, supabase: Supabase
) -> None:
    """It breaks in the middle of many writes, while values are replaced twice; then each key has
    its newest value in PostgreSQL, once."""
    await one.load_all("first")
    await supabase.until(lambda: any(request.method == "POST" for request in supabase.requests))
    breaks(proxy, supabase)
    for version in ("second", "third"):
        assert sorted(hit.value for hit in await one.load_all(version)) == versions(version)
    await one.clock.pauses(2)  # it has tried in vain
    await heal(proxy, supabase)
    assert await one.written()
    assert await in_postgresql(supabase) == versions("third")
    assert one.cache.writes is not None
    assert (one.cache.writes.overflowed, one.cache.writes.refused) == (0, 0)
    assert one.cache.counts.loads == 3 * len(KEYS)


@EVERY_BREAK
async def test_in_an_outage_memory_answers(
    breaks: Break, one: Process, proxy: FaultProxy, supabase: Supabase
) -> None:
    """Values that are current are handed out without a question to anybody, as if nothing were."""
    await one.load_all("first")
    assert await one.written()
    breaks(proxy, supabase)
    await one.load_all("second")
    loads, errors = one.cache.counts.loads, one.cache.counts.second_errors
    hits = await one.get_all("third")
    assert sorted(hit.value for hit in hits) == versions("second")
    assert {(hit.origin, hit.stale) for hit in hits} == {(Origin.MEMORY, False)}
    assert (one.cache.counts.loads, one.cache.counts.second_errors) == (loads, errors)
    await heal(proxy, supabase)


@pytest.mark.parametrize("patience_s", [SHORT_S])
async def test_a_write_that_was_swallowed_undoes_nothing(
    one: Process, proxy: FaultProxy, supabase: Supabase
) -> None:
    """What the network delivers after all is older than what another process has written."""
    proxy.blackhole()
    await one.load_all("first")
    await one.clock.pauses(1)  # a write is lost in it
    async with process(supabase) as two:
        two.clock.advance(KIND.fresh_s)
        await two.load_all("second")
        assert await two.written()
    await heal(proxy, supabase)
    await proxy.settled()
    assert await one.written()
    assert await in_postgresql(supabase) == versions("second")


async def test_what_is_too_much_for_the_wait_is_counted(
    one: Process, proxy: FaultProxy, supabase: Supabase
) -> None:
    """In a long outage 1,000 values wait, the newest among them; the rest is let go."""
    keys = [f"key {number}" for number in range(1_150)]
    proxy.refuse()
    for start in range(0, len(keys), 50):
        await one.get_all("first", keys[start : start + 50])
    assert one.cache.writes is not None
    assert (len(one.cache.writes), one.cache.writes.overflowed) == (1_000, 150)
    await proxy.heal()
    assert await one.written()
    there = await in_postgresql(supabase)
    assert len(there) == 1_000
    assert set(there) >= set(versions("first", keys[-500:]))


async def test_a_tag_is_forgotten_after_the_outage(
    one: Process, proxy: FaultProxy, supabase: Supabase
) -> None:
    """Who asks for it in one is told that it is not done yet; nothing comes back."""
    for key in ("a", "b"):
        await one.words.get(key, says("mine", key), tag="me")
    await one.words.get("c", says("theirs", "c"), tag="them")
    assert await one.written()
    proxy.refuse()
    await one.words.get("d", says("mine", "d"), tag="me")
    forgetting = asyncio.create_task(one.cache.forget("me"))
    await one.clock.pauses(2)
    assert not forgetting.done()
    await proxy.heal()
    assert await forgetting
    assert await in_postgresql(supabase) == ["theirs of c"]


@pytest.mark.parametrize("patience_s", [SHORT_S])
async def test_a_swallowed_write_brings_nothing_forgotten_back(
    one: Process, proxy: FaultProxy, supabase: Supabase
) -> None:
    """Another process forgets the tag meanwhile; what the network delivers then, and what waited
    to be written again, was made before."""
    proxy.blackhole()
    await one.words.get("a", says("mine", "a"), tag="me")
    await one.words.get("b", says("theirs", "b"), tag="them")
    await one.clock.pauses(1)  # a write is lost in it
    async with process(supabase) as two:
        assert await two.cache.forget("me")
    await heal(proxy, supabase)
    await proxy.settled()
    assert await one.written()
    assert await in_postgresql(supabase) == ["theirs of b"]


# --- two processes ----------------------------------------------------------------------------


async def test_two_processes_share_what_one_of_them_loaded(supabase: Supabase) -> None:
    """The second one loads nothing, and sees a newer value once its memory asks again."""
    async with process(supabase) as one, process(supabase) as two:
        await one.load_all("first")
        assert await one.written()
        two.clock.advance(KIND.fresh_s)
        found = await two.get_all("never")
        assert sorted(hit.value for hit in found) == versions("first")
        assert {hit.origin for hit in found} == {Origin.SECOND}
        await one.load_all("second")
        assert await one.written()
        two.clock.advance(KIND.fresh_s)
        found = await two.get_all("never")
        assert sorted(hit.value for hit in found) == versions("second")
        assert two.cache.counts.loads == 0


async def test_two_processes_that_write_the_same_keys_end_with_the_newest(
    supabase: Supabase,
) -> None:
    """Whoever is first at the database: of two loads the later one stands."""
    async with process(supabase) as one, process(supabase) as two:
        two.clock.advance(1)
        _, later = await asyncio.gather(one.get_all("first"), two.get_all("second"))
        assert await one.written()
        assert await two.written()
    # What one had written already, two has found instead of loading it.
    assert await in_postgresql(supabase) == sorted(hit.value for hit in later)
