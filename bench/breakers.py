"""What a bare aiobreaker does where ours does otherwise, and what a refusal costs of each.

Every scenario runs on both. A bare breaker reads the machine's clock: time passes for it by moving
the instant that it remembers to have opened at, which is all that it knows of time.
"""

import asyncio
import os
import statistics
import time
import warnings
from abc import ABCMeta
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Any, Protocol

from aiobreaker import CircuitBreaker, CircuitBreakerError, CircuitBreakerState

from resilience.breaker import Breaker, BreakerPolicy
from resilience.clock import SystemClock
from resilience.fault import CALLERS, TRANSIENT, Fault
from tests.fakes.jumping_clock import JumpingClock

FAILURES_MAX = 5
OPEN_S = 60.0
TOGETHER = 20
ROUNDS = 9
REFUSALS = 20_000

Work = Callable[[], Awaitable[None]]


class MistakeError(Exception):
    """The caller's own: excluded from what the breaker counts."""


class DeniedError(Exception, metaclass=ABCMeta):
    """One more, of a class that has a metaclass."""


class Subject(Protocol):
    """A breaker under test: five failures open it for a minute."""

    @property
    def state(self) -> CircuitBreakerState:
        """Where it stands."""
        ...

    async def call(self, work: Work) -> None:
        """Call through it; raises what `work` or the breaker raises."""
        ...

    def pass_time(self, seconds: float) -> None:
        """Let so much time pass."""
        ...

    def set_wall(self, by_s: float) -> None:
        """Set the machine's wall clock."""
        ...


class Bare:
    """aiobreaker alone, with the mistakes excluded as its documentation shows."""

    def __init__(self, *excluded: type[Exception]) -> None:
        self._breaker = CircuitBreaker(
            fail_max=FAILURES_MAX, timeout_duration=timedelta(seconds=OPEN_S), exclude=excluded
        )

    @property
    def state(self) -> CircuitBreakerState:
        """Where it stands."""
        return self._breaker.current_state

    async def call(self, work: Work) -> None:
        """Call through it."""
        await self._breaker.call_async(work)

    def pass_time(self, seconds: float) -> None:
        """It opened longer ago."""
        self._breaker._state_storage.opened_at -= timedelta(seconds=seconds)

    def set_wall(self, by_s: float) -> None:
        """To it that is the same as time that passes, or comes back."""
        self.pass_time(by_s)


class Ours:
    """The breaker of this repository."""

    def __init__(self, *excluded: type[Exception]) -> None:
        def classify(error: Exception) -> Fault:
            return CALLERS if isinstance(error, excluded) else TRANSIENT

        self._clock = JumpingClock()
        policy = BreakerPolicy(failures_max=FAILURES_MAX, open_s=OPEN_S, jitter=0.0)
        self._breaker = Breaker("bench", policy, clock=self._clock, classify=classify)

    @property
    def state(self) -> CircuitBreakerState:
        """Where it stands."""
        return self._breaker.state

    async def call(self, work: Work) -> None:
        """Call through it."""
        await self._breaker.call_async(work)

    def pass_time(self, seconds: float) -> None:
        """Wait."""
        self._clock.advance(seconds)

    def set_wall(self, by_s: float) -> None:
        """Leaves the monotonic clock alone."""
        self._clock.set_wall(by_s)


Make = Callable[..., Subject]
Scenario = Callable[[Make], Awaitable[str]]


# --- the scenarios: what each says is what the breaker did ---------------------------------------


async def concurrent_probes(make: Make) -> str:
    """20 calls at once when the open time is over"""
    subject = await _opened(make)
    subject.pass_time(OPEN_S)
    work = _Slow()
    calls = [asyncio.create_task(subject.call(work)) for _ in range(TOGETHER)]
    await _settle()
    work.go_on.set()
    await asyncio.gather(*calls, return_exceptions=True)
    return f"{work.started} go through"


async def alternating_failures(make: Make) -> str:
    """every second of 100 calls fails"""
    subject = make()
    for number in range(100):
        await _try(subject, _fails if number % 2 == 0 else _works)
        if subject.state is CircuitBreakerState.OPEN:
            return f"opens at call {number + 1}"
    return "never opens"


async def mistake_as_probe(make: Make) -> str:
    """the probe ends in an excluded error"""
    subject = await _opened(make, MistakeError)
    subject.pass_time(OPEN_S)
    await _try(subject, _raises(MistakeError()))
    return _words(subject)


async def mistakes_between(make: Make) -> str:
    """an excluded error after every 4 failures, 5 times"""
    subject = make(MistakeError)
    for _ in range(5):
        for _ in range(FAILURES_MAX - 1):
            await _try(subject, _fails)
        await _try(subject, _raises(MistakeError()))
    return _words(subject)


async def excluded_with_metaclass(make: Make) -> str:
    """50 failures; what is excluded is a class with a metaclass"""
    subject = make(DeniedError)
    for _ in range(50):
        await _try(subject, _fails)
    return _words(subject)


async def wall_set_back(make: Make) -> str:
    """the wall clock is set back by an hour; its time passes"""
    subject = await _opened(make)
    subject.set_wall(-3600.0)
    subject.pass_time(OPEN_S)
    return "probes" if await _try(subject, _works) else "refuses"


async def wall_set_forward(make: Make) -> str:
    """the wall clock is set forward by an hour; no time passes"""
    subject = await _opened(make)
    subject.set_wall(3600.0)
    return "probes" if await _try(subject, _works) else "refuses"


async def west_of_greenwich(make: Make) -> str:
    """time_remaining just after it opened, at UTC-5"""
    return await _time_remaining(make, "WEST+5")


async def east_of_greenwich(make: Make) -> str:
    """time_remaining just after it opened, at UTC+9"""
    return await _time_remaining(make, "EAST-9")


async def stale_failures(make: Make) -> str:
    """5 calls from before it opened fail after it closed"""
    subject, slow = make(), _Slow(fails=True)
    stale = [asyncio.create_task(subject.call(slow)) for _ in range(FAILURES_MAX)]
    await _settle()
    await _open(subject)
    subject.pass_time(OPEN_S)
    await subject.call(_works)
    slow.go_on.set()
    await asyncio.gather(*stale, return_exceptions=True)
    return _words(subject)


async def cancelled_probe(make: Make) -> str:
    """20 calls at once after the probe was cancelled"""
    subject, slow = await _opened(make), _Slow()
    subject.pass_time(OPEN_S)
    probe = asyncio.create_task(subject.call(slow))
    await _settle()
    probe.cancel()
    await asyncio.gather(probe, return_exceptions=True)
    calls = [asyncio.create_task(subject.call(slow)) for _ in range(TOGETHER)]
    await _settle()
    slow.go_on.set()
    await asyncio.gather(*calls, return_exceptions=True)
    return f"{slow.started - 1} go through"


SCENARIOS: tuple[Scenario, ...] = (
    concurrent_probes,
    alternating_failures,
    mistake_as_probe,
    mistakes_between,
    excluded_with_metaclass,
    wall_set_back,
    wall_set_forward,
    west_of_greenwich,
    east_of_greenwich,
    stale_failures,
    cancelled_probe,
)


# --- small parts ---------------------------------------------------------------------------------


class _Slow:
    """Work that waits until it may go on."""

    def __init__(self, *, fails: bool = False) -> None:
        self.started = 0
        self.go_on = asyncio.Event()
        self._fails = fails

    async def __call__(self) -> None:
        self.started += 1
        await self.go_on.wait()
        if self._fails:
            raise ConnectionError


async def _works() -> None: ...


async def _fails() -> None:
    raise ConnectionError


def _raises(error: Exception) -> Work:
    async def work() -> None:
        raise error

    return work


async def _try(subject: Subject, work: Work) -> bool:
    """Whether the call returned."""
    try:
        await subject.call(work)
    except (ConnectionError, MistakeError, CircuitBreakerError):
        return False
    return True


async def _open(subject: Subject) -> None:
    for _ in range(FAILURES_MAX):
        await _try(subject, _fails)
    assert subject.state is CircuitBreakerState.OPEN


async def _opened(make: Make, *excluded: type[Exception]) -> Subject:
    subject = make(*excluded)
    await _open(subject)
    return subject


async def _settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def _time_remaining(make: Make, zone: str) -> str:
    with _local_time(zone):
        subject = await _opened(make)
        try:
            await subject.call(_works)
        except CircuitBreakerError as error:
            try:
                return f"{error.time_remaining.total_seconds():.0f} s"
            except TypeError as broken:
                return type(broken).__name__
    return "none"


@contextmanager
def _local_time(zone: str) -> Iterator[None]:
    before = os.environ.get("TZ")
    os.environ["TZ"] = zone
    time.tzset()
    try:
        yield
    finally:
        if before is None:
            del os.environ["TZ"]
        else:
            os.environ["TZ"] = before
        time.tzset()


def _words(subject: Subject) -> str:
    return str(subject.state.name).lower().replace("_", "-")


# --- the price of a refusal ----------------------------------------------------------------------


async def _opened_for_good() -> tuple[Any, Any]:
    """A bare breaker and ours, both open and on the machine's own clock."""
    bare = CircuitBreaker(fail_max=1, timeout_duration=timedelta(hours=1))
    policy = BreakerPolicy(failures_max=1, open_s=3600.0, open_max_s=3600.0)
    ours = Breaker("bench", policy, clock=SystemClock())
    for breaker in (bare, ours):
        with suppress(ConnectionError, CircuitBreakerError):
            await breaker.call_async(_fails)
    return bare, ours


async def _refusal_us(breaker: Any) -> float:
    start = time.perf_counter()
    for _ in range(REFUSALS):
        try:  # noqa: SIM105 - suppress would be timed too
            await breaker.call_async(_works)
        except CircuitBreakerError:
            pass
    return (time.perf_counter() - start) / REFUSALS * 1e6


async def _refusals_us() -> tuple[list[float], list[float]]:
    """Microseconds of a refusal in each round: a bare breaker's, and ours."""
    bare, ours = await _opened_for_good()
    found: dict[Any, list[float]] = {bare: [], ours: []}
    for number in range(ROUNDS):
        for breaker in (bare, ours) if number % 2 == 0 else (ours, bare):
            found[breaker].append(await _refusal_us(breaker))
    return found[bare], found[ours]


async def main() -> None:
    """Print the table and the price."""
    warnings.filterwarnings("ignore", "datetime.datetime.utcnow", DeprecationWarning)
    print(f"{'scenario':62}{'bare aiobreaker':18}ours")
    for scenario in SCENARIOS:
        bare, ours = await scenario(Bare), await scenario(Ours)
        print(f"{scenario.__doc__ or '':62}{bare:18}{ours}")
    bare_us, ours_us = await _refusals_us()
    ratios = [mine / theirs for theirs, mine in zip(bare_us, ours_us, strict=True)]
    print(f"\na refusal, us (median of {ROUNDS} rounds of {REFUSALS:,}):", end=" ")
    print(f"bare {statistics.median(bare_us):.2f}, ours {statistics.median(ours_us):.2f},", end=" ")
    print(f"ratio {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})")


if __name__ == "__main__":
    asyncio.run(main())
