"""The guard: everything that stands between the product and one dependency.

Outermost first: deadline, retry, breaker check, token bucket, bulkhead, breaker permit, attempt
timeout, the call. So a call that an open breaker refuses costs no token, waits in no queue and is
not tried again; a retry stands in the queue anew and holds no place while it waits.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import Generic, TypeVar

from resilience.breaker import CLOSED, Breaker, BreakerPolicy
from resilience.bucket import BucketPolicy, TokenBucket
from resilience.bulkhead import Bulkhead, BulkheadPolicy, Priority
from resilience.checks import above_zero
from resilience.clock import Clock
from resilience.deadline import deadline
from resilience.errors import DeadlinePassed, RateLimited, Refused
from resilience.fault import CALLERS, Classify, Fault, all_transient
from resilience.hooks import Hooks, Listener
from resilience.retry import Retry, RetryPolicy

T = TypeVar("T")

_FAIR_SHARE = 0.5
"""An attempt that the deadline cut before it had this share of its time says nothing of the
dependency."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GuardPolicy:
    """How one dependency is treated. Times in seconds."""

    deadline_s: float = 60.0
    """For the call in all: waits, attempts and retries."""
    attempt_timeout_s: float = 30.0
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    breaker: BreakerPolicy = field(default_factory=BreakerPolicy)
    bulkhead: BulkheadPolicy = field(default_factory=BulkheadPolicy)
    bucket: BucketPolicy | None = None

    def __post_init__(self) -> None:
        above_zero(deadline_s=self.deadline_s, attempt_timeout_s=self.attempt_timeout_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class CallEnded:
    """What happened in one call. `attempts` is how often the dependency was asked; `refused` is the
    name of the error of a call that was not made; `stale_s` is the age of the fallback's value."""

    name: str
    took_s: float
    waited_s: float
    attempts: int
    error: Exception | None = None
    refused: bool = False
    fell_back: bool = False
    stale_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Guarded(Generic[T]):
    """A call's value, and how it came about."""

    value: T
    ended: CallEnded


@dataclass(frozen=True, slots=True, kw_only=True)
class Fallback(Generic[T]):
    """What stands in for a call that failed; `stale_s` is how old it is, None if it is made now."""

    value: T
    stale_s: float | None = None


@dataclass(slots=True)
class _Trace:
    """What happens in a call, as it goes."""

    key: str
    cost: int
    priority: Priority
    timeout_s: float
    began: float
    until: float
    waited_s: float = 0.0
    attempts: int = 0


class Guard:
    """One dependency's guard: made once, used for all calls. Not thread-safe: for one loop."""

    def __init__(
        self,
        name: str,
        policy: GuardPolicy,
        *,
        clock: Clock,
        classify: Classify = all_transient,
        uniform: Callable[[float, float], float] = random.uniform,
        listeners: Iterable[Listener[CallEnded]] = (),
    ) -> None:
        self.name = name
        self.policy = policy
        self._clock = clock
        self._adapters = classify
        self._hooks: Hooks[CallEnded] = Hooks(listeners)
        self.breaker = Breaker(
            name, policy.breaker, clock=clock, classify=self._classify, uniform=uniform
        )
        self.bulkhead = Bulkhead(name, policy.bulkhead)
        self._retry = Retry(policy.retry, clock=clock, classify=self._classify, uniform=uniform)
        self._bucket = None
        if (bucket := policy.bucket) is not None:
            self._bucket = TokenBucket(
                burst=bucket.burst, refill_s=bucket.refill_s, monotonic=clock.monotonic
            )

    def subscribe(self, listener: Listener[CallEnded]) -> None:
        """Tell `listener` of every call that ended from now on."""
        self._hooks.subscribe(listener)

    async def call(
        self,
        work: Callable[[], Awaitable[T]],
        *,
        fallback: Callable[[Exception], Awaitable[Fallback[T]]] | None = None,
        key: str = "",
        cost: int = 1,
        priority: Priority = Priority.INTERACTIVE,
        attempt_timeout_s: float | None = None,
    ) -> Guarded[T]:
        """Await `work()`, guarded; with `key` and `cost` in the token bucket.

        Raises a Refused when the dependency was not asked, else its last error, unchanged; with a
        `fallback`, only what that raises.
        """
        began = self._clock.monotonic()
        with deadline(self.policy.deadline_s, self._clock.monotonic) as time_left:
            trace = _Trace(
                key=key,
                cost=cost,
                priority=priority,
                timeout_s=attempt_timeout_s or self.policy.attempt_timeout_s,
                began=began,
                until=time_left.until,
            )
            try:
                value = await self._retry.call(
                    partial(self._attempt, work, trace),
                    until=trace.until,
                    opens_in_s=self._opens_in_s,
                )
            except Exception as error:
                if fallback is None:
                    self._hooks.tell(self._ended(trace, error=error))
                    raise
                stand_in = await self._fall_back(fallback, error, trace)
                return Guarded(value=stand_in.value, ended=self._told(trace, error, stand_in))
        ended = self._ended(trace)
        self._hooks.tell(ended)
        return Guarded(value=value, ended=ended)

    # --- one attempt, in its order -----------------------------------------------------------

    async def _attempt(self, work: Callable[[], Awaitable[T]], trace: _Trace) -> T:
        self.breaker.check()
        if self._bucket is not None:
            await self._take_token(self._bucket, trace)
        try:
            if not self.bulkhead.try_acquire():
                await self._wait_for_place(trace)
            try:
                permit = self.breaker.permit()
            except Refused:
                self.bulkhead.release()
                raise
        except BaseException:  # whatever it is: the token was not used
            if self._bucket is not None:
                self._bucket.refund(trace.key, trace.cost)
            raise
        try:
            trace.attempts += 1
            value = await self._in_time(work, trace)
        except Exception as error:
            self.breaker.record(permit, self._classify(error))
            raise
        except BaseException:
            self.breaker.release(permit)
            raise
        else:
            self.breaker.record(permit)
            return value
        finally:
            self._withhold()
            self.bulkhead.release()

    async def _take_token(self, bucket: TokenBucket, trace: _Trace) -> None:
        assert self.policy.bucket is not None  # noqa: S101 - it has a bucket
        within_s = min(self.policy.bucket.wait_max_s, self._left_s(trace))
        taken, wait_s = bucket.book(trace.key, trace.cost, within_s=within_s)
        if not taken:
            raise RateLimited(self.name, "too many calls", wait_s)
        if wait_s:
            try:
                await self._clock.sleep(wait_s)
            except BaseException:
                bucket.refund(trace.key, trace.cost)
                raise
            trace.waited_s += wait_s

    async def _wait_for_place(self, trace: _Trace) -> None:
        began = self._clock.monotonic()
        try:
            async with asyncio.timeout(self._left_s(trace)):
                await self.bulkhead.acquire(trace.priority)
        except TimeoutError:
            raise DeadlinePassed(self.name, "no free place in time") from None
        finally:
            trace.waited_s += self._clock.monotonic() - began

    async def _in_time(self, work: Callable[[], Awaitable[T]], trace: _Trace) -> T:
        left_s = self._left_s(trace)
        timeout = asyncio.timeout(min(trace.timeout_s, left_s))
        try:
            async with timeout:
                return await work()
        except TimeoutError:
            if timeout.expired() and left_s < trace.timeout_s * _FAIR_SHARE:
                raise DeadlinePassed(self.name, "no answer in the time that was left") from None
            raise

    def _withhold(self) -> None:
        """Keep the places of calls that failed until one succeeds or the breaker opens: of a
        dependency that swallows calls, a full bulkhead is all that is ever asked."""
        failures = self.breaker.failures_in_a_row if self.breaker.state is CLOSED else 0
        spare = self.breaker.failures_max - self.bulkhead.limit
        self.bulkhead.withhold(max(0, failures - max(0, spare)))

    # --- small parts -------------------------------------------------------------------------

    def _left_s(self, trace: _Trace) -> float:
        left_s = trace.until - self._clock.monotonic()
        if left_s <= 0:
            raise DeadlinePassed(self.name, "no time is left")
        return left_s

    def _opens_in_s(self) -> float:
        """How long the breaker will refuse, as far as is known."""
        try:
            self.breaker.check()
        except Refused as refused:
            return float("inf") if refused.retry_after_s is None else refused.retry_after_s
        return 0.0

    def _classify(self, error: Exception) -> Fault:
        return CALLERS if isinstance(error, Refused) else self._adapters(error)

    async def _fall_back(
        self,
        fallback: Callable[[Exception], Awaitable[Fallback[T]]],
        error: Exception,
        trace: _Trace,
    ) -> Fallback[T]:
        try:
            return await fallback(error)
        except Exception:
            self._hooks.tell(self._ended(trace, error=error))
            raise

    def _told(self, trace: _Trace, error: Exception, stand_in: Fallback[T]) -> CallEnded:
        ended = self._ended(trace, error=error, fell_back=True, stale_s=stand_in.stale_s)
        self._hooks.tell(ended)
        return ended

    def _ended(
        self,
        trace: _Trace,
        *,
        error: Exception | None = None,
        fell_back: bool = False,
        stale_s: float | None = None,
    ) -> CallEnded:
        return CallEnded(
            name=self.name,
            took_s=self._clock.monotonic() - trace.began,
            waited_s=trace.waited_s,
            attempts=trace.attempts,
            error=error,
            refused=isinstance(error, Refused),
            fell_back=fell_back,
            stale_s=stale_s,
        )
