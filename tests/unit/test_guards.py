"""The policies and the twins: what a dependency's errors mean, and what comes back for them."""

import asyncio
import logging
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import pytest

from agents.discovery.port import SourceFailed
from agents.discovery.sources.apify_refused import ApifyRefused, Refusal, question_fault
from agents.discovery.sources.feed_list import Feed
from agents.domain.errors import InvalidValue
from bot.guards import SECOND_TIER_READ_S, GuardedTier, Guards, source_fault, tier_fault
from bot.policies import apify_policy, feed_policy, questions_policy, tier_policy
from bot.settings import Settings
from cache.port import Stored, TierFailed, ValueRefused
from resilience.breaker import CLOSED, OPEN
from resilience.deadline import deadline
from resilience.fault import BROKEN, CALLERS, EXHAUSTED, IN_VAIN, TRANSIENT, Fault, FaultKind
from tests.fakes.clock import FixedClock
from tests.fakes.virtual_time import LoopClock, in_virtual_time

SETTINGS = Settings(_env_file=None)


def now() -> float:
    """The loop's time."""
    return asyncio.get_running_loop().time()


class SlowTier:
    """A second tier whose reads and writes take their time."""

    def __init__(self, takes_s: float = 0.0) -> None:
        self.takes_s = takes_s
        self.failure: Exception | None = None
        self.asked = 0

    async def get(self, _key: str) -> Stored | None:
        """Nothing, later."""
        await self._ask()
        return None

    async def put(self, _entries: Mapping[str, Stored]) -> None:
        """Take it, later."""
        await self._ask()

    async def forget(self, _tag: str) -> None:
        """Forget it, later."""
        await self._ask()

    async def sweep(self, _now: object) -> None:
        """Sweep, later."""
        await self._ask()

    async def _ask(self) -> None:
        self.asked += 1
        await asyncio.sleep(self.takes_s)
        if self.failure is not None:
            raise self.failure


def guarded(tier: SlowTier, **more: Any) -> GuardedTier:
    """The tier behind its guard."""
    guard = Guards(LoopClock()).make("tier", tier_policy(SETTINGS), tier_fault)
    return GuardedTier(tier, guard, LoopClock().monotonic, **more)


def feed(**changes: Any) -> Feed:
    """A feed with these terms."""
    values: dict[str, Any] = {
        "name": "a-feed",
        "title": "A feed",
        "home": "https://feed.example",
        "url": "https://feed.example/jobs",
        "period_s": 3600,
    }
    return Feed(**(values | changes))


@pytest.mark.parametrize(
    ("error", "fault"),
    [
        (ValueRefused("too large", transient=False), CALLERS),
        (TierFailed("401", transient=False), IN_VAIN),
        (TierFailed("reset"), TRANSIENT),
        (TierFailed("429", retry_after_s=7.0), Fault(kind=FaultKind.THROTTLED, retry_after_s=7.0)),
        (TimeoutError(), TRANSIENT),
    ],
)
def test_what_the_second_tiers_errors_mean(error: Exception, fault: Fault) -> None:
    """A value or a key that is refused is no failure of the tier."""
    assert tier_fault(error) == fault


@pytest.mark.parametrize(
    ("error", "fault"),
    [
        (SourceFailed("down", fault=TRANSIENT), TRANSIENT),
        (SourceFailed("odd"), BROKEN),
        (TimeoutError(), TRANSIENT),
        (RuntimeError("a bug"), BROKEN),
        (ApifyRefused("apify", Refusal.OUT_OF_CREDIT, "out of credit"), EXHAUSTED),
        (ApifyRefused("apify", Refusal.BUSY, "too many runs"), CALLERS),
        (ApifyRefused("apify", Refusal.UNAVAILABLE, "no answer"), BROKEN),
    ],
)
def test_what_a_sources_errors_mean(error: Exception, fault: Fault) -> None:
    """Each adapter says it; what is none of its own is a failure."""
    assert source_fault(error) == fault


@pytest.mark.parametrize("reason", Refusal)
def test_a_question_may_be_asked_again(reason: Refusal) -> None:
    """Where the answer may be another one in a moment; never does one wait for credit."""
    again = reason in (Refusal.RATE_LIMITED, Refusal.UNAVAILABLE)
    assert question_fault(ApifyRefused("apify", reason, "x")) == (TRANSIENT if again else IN_VAIN)
    assert question_fault(TimeoutError()) == TRANSIENT


def test_a_long_pause_is_meant() -> None:
    """A feed with one is never asked twice for a reading; one with none has no quota."""
    long, short, none = (feed_policy(feed(pause_s=s), SETTINGS) for s in (30, 5, 0))
    assert long.retry.retries_max == 0
    assert long.bucket is not None
    assert (long.bucket.burst, long.bucket.refill_s) == (1, 30)
    assert short.retry.retries_max == SETTINGS.tool_retries
    assert short.bucket is not None
    assert short.bucket.burst == 1 + SETTINGS.tool_retries
    assert none.bucket is None
    pages = {"parameter": "page", "pages_max": 4}
    several = feed_policy(feed(pause_s=30, pages=pages), SETTINGS)
    assert several.bucket is not None
    assert several.bucket.burst == 4


def test_the_limits_of_the_settings_hold() -> None:
    """The contract's numbers, and an operator's."""
    own = Settings(_env_file=None, breaker_failures=7, tool_retries=1, apify_starts_per_min=30)
    for policy in (apify_policy(own), questions_policy(own), feed_policy(feed(pause_s=0), own)):
        assert (policy.breaker.failures_max, policy.retry.retries_max) == (7, 1)
    starts = apify_policy(SETTINGS).bucket
    assert starts is not None
    assert (starts.burst, starts.refill_s) == (10, 6)
    breaker = apify_policy(SETTINGS).breaker
    assert (breaker.failures_max, breaker.failure_rate, breaker.calls_min) == (5, 0.5, 10)
    assert (breaker.window_s, breaker.throttled_s) == (60, 60)


def test_no_dependency_takes_anothers_place() -> None:
    """A feed that is named as one that there is already is refused, by its name."""
    guards = Guards(FixedClock())
    guards.make("supabase", tier_policy(SETTINGS), tier_fault)
    with pytest.raises(InvalidValue, match="'supabase' is taken"):
        guards.make("supabase", feed_policy(feed(), SETTINGS), source_fault)


@in_virtual_time
async def test_a_slow_second_tier_is_given_up_after_a_moment() -> None:
    """After 300 ms, the wait for a place included; five times in a row, and it is left alone."""
    tier = SlowTier(takes_s=1.0)
    behind = guarded(tier)
    for _ in range(7):
        began = now()
        with pytest.raises(TierFailed):
            await behind.get("a")
        assert now() - began <= SECOND_TIER_READ_S + 0.01
    assert (tier.asked, behind._guard.breaker.state) == (5, OPEN)


@in_virtual_time
async def test_many_readers_wait_a_moment_only() -> None:
    """A tier that answers in time, but not for all at once."""
    behind = guarded(SlowTier(takes_s=0.25))

    async def read() -> float:
        began = now()
        with suppress(TierFailed):
            await behind.get("a")
        return now() - began

    waits = await asyncio.gather(*(read() for _ in range(100)))
    assert max(waits) <= SECOND_TIER_READ_S + 0.01
    assert behind._guard.breaker.state is CLOSED


@in_virtual_time
async def test_the_first_callers_deadline_is_not_everybodys() -> None:
    """A reader with no time left starts what others wait for too."""
    tier = SlowTier(takes_s=0.2)
    with deadline(0.01, LoopClock().monotonic):
        await guarded(tier).get("a")
    assert tier.asked == 1


@in_virtual_time
async def test_writes_have_more_time_and_what_is_prepared_is_not_held_against_it() -> None:
    """A write of some seconds is none too many; an import takes what it takes, once."""
    tier = SlowTier(takes_s=5.0)
    prepared: list[float] = []

    async def prepare() -> None:
        if not prepared:
            await asyncio.sleep(1.0)
        prepared.append(now())

    behind = guarded(tier, prepare=prepare)
    await behind.put({})
    await behind.forget("ada")
    await behind.sweep(None)  # type: ignore[arg-type]
    tier.takes_s = 0.0
    await behind.get("a")
    assert (len(prepared), tier.asked, now()) == (1, 4, 16.0)


@in_virtual_time
async def test_it_is_said_once_that_it_fails_and_once_that_it_is_back() -> None:
    """With the reason, and not at every call."""
    said: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: said.append(record.getMessage())  # type: ignore[method-assign]
    logger = logging.getLogger("bot.guards")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    tier = SlowTier()
    behind = guarded(tier)
    tier.failure = TierFailed("Supabase answers 401", transient=False)
    try:
        for _ in range(3):
            with pytest.raises(TierFailed, match="401"):
                await behind.get("a")
        tier.failure = None
        await behind.get("a")
        await behind.get("a")
    finally:
        logger.removeHandler(handler)
        logger.setLevel(logging.NOTSET)
    assert said == ["tier: Supabase answers 401; memory alone is the cache", "tier answers again"]
