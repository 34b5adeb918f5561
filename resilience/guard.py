"""The guard: everything that stands between the product and one dependency.

Outermost first: deadline, retry, breaker check, token bucket, bulkhead, breaker permit, attempt
timeout, the call. So a call that an open breaker refuses costs no token, waits in no queue and is
not tried again; a retry stands in the queue anew and holds no place while it waits.
"""

import asyncio
import math
import random
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import Generic, NamedTuple, TypeVar

from resilience.breaker import Breaker, BreakerPolicy, Permit
from resilience.bucket import BucketPolicy, TokenBucket
from resilience.bulkhead import Bulkhead, BulkheadPolicy, Priority
from resilience.checks import above_zero
from resilience.clock import Clock
from resilience.deadline import deadline
from resilience.errors import DeadlineCut, DeadlinePassed, RateLimited, Refused
from resilience.fault import CALLERS, IN_VAIN, Classify, Fault, FaultKind, all_transient, classified
from resilience.hooks import Hooks, Listener
from resilience.retry import Retry, RetryPolicy

T = TypeVar("T")

_FAIR_SHARE = 0.5
"""An attempt that the deadline cut before it had this share of its time says nothing of the
dependency; of one that fails, nobody asks whom the wait left less."""


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
        if self.breaker.probe_timeout_s <= self.attempt_timeout_s:  # a probe could not report
            raise ValueError(
                f"probe_timeout_s: {self.breaker.probe_timeout_s}, must be above attempt_timeout_s"
            )


class CallEnded(NamedTuple):
    """What happened in one call. `attempts` is how often the dependency was asked, `waited_s` the
    wait for a token and a place; `refused` says that the error is a Refused, `fault` what an error
    says of the dependency; `stale_s` is the age of the fallback's value."""

    name: str
    took_s: float
    waited_s: float
    attempts: int
    error: Exception | None = None
    refused: bool = False
    fault: FaultKind | None = None
    fell_back: bool = False
    stale_s: float | None = None

    @property
    def failed(self) -> bool:
        """Whether the dependency gave nothing; a caller's mistake, and a refusal, don't count."""
        return self.fault not in {None, FaultKind.CALLERS}


class Guarded(NamedTuple, Generic[T]):
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
    until: float = math.inf
    least_s: float = 0.0
    waited_s: float = 0.0
    attempts: int = 0
    error: Exception | None = None
    """The last one of having asked."""


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
        self._failures_spared = max(0, policy.breaker.failures_max - policy.bulkhead.limit)
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
        least_s: float = 0.0,
    ) -> Guarded[T]:
        """Await `work()`, guarded; with `key` and `cost` in the token bucket. With less than
        `least_s` of the deadline left it is not begun.

        Raises a Refused when the dependency was not asked, else the last error of having asked it,
        unchanged (DeadlineCut when the deadline cut that); with a `fallback`, only what that
        raises. The fallback has what time the caller has. Of a cancelled call nobody is told.
        """
        trace = self._begun(key, cost, priority, attempt_timeout_s)
        trace.least_s = least_s
        with deadline(self.policy.deadline_s, self._clock.monotonic) as time_left:
            trace.until = time_left.until
            try:
                value = await self._retry.call(
                    partial(self._attempt, work, trace),
                    until=trace.until,
                    opens_in_s=partial(self._opens_in_s, trace),
                )
            except Exception as caught:  # noqa: BLE001 - raised below, or the fallback's to answer
                # A retry that is refused does not hide why there had to be one.
                error = caught if trace.error is None else trace.error
            else:
                return Guarded(value=value, ended=self._told(trace))
        if fallback is None:
            self._told(trace, error)
            raise error
        try:
            stand_in = await fallback(error)
        except Exception:
            self._told(trace, error)
            raise
        return Guarded(value=stand_in.value, ended=self._told(trace, error, stand_in))

    # --- one attempt, in its order -----------------------------------------------------------

    async def _attempt(self, work: Callable[[], Awaitable[T]], trace: _Trace) -> T:
        permit = await self._admitted(trace)
        try:
            trace.attempts += 1
            value = await self._in_time(work, trace)
        except Exception as error:
            trace.error = error
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

    async def _admitted(self, trace: _Trace) -> Permit:
        self.breaker.check()
        left_s = self._left_s(trace)
        if left_s < trace.least_s:
            raise DeadlinePassed(self.name, "too little time is left")
        enough_s = min(trace.timeout_s, left_s) * _FAIR_SHARE
        if self._bucket is None:
            return await self._placed(trace, enough_s)
        await self._take_token(self._bucket, trace, left_s)
        try:
            return await self._placed(trace, enough_s)
        except BaseException:  # whatever it is: the token was not used
            self._bucket.refund(trace.key, trace.cost)
            raise

    async def _placed(self, trace: _Trace, enough_s: float) -> Permit:
        if not self.bulkhead.try_acquire():
            await self._wait_for_place(trace)
        try:
            left_s = self._left_s(trace)
            # Many that waited long would be asked for a moment each, and learn nothing.
            too_late = left_s < enough_s and self.breaker.failures_in_a_row
            if too_late or left_s < trace.least_s:
                raise DeadlinePassed(self.name, "the wait left too little time")
            return self.breaker.permit()
        except Refused:
            self.bulkhead.release()
            raise

    async def _take_token(self, bucket: TokenBucket, trace: _Trace, left_s: float) -> None:
        assert self.policy.bucket is not None  # noqa: S101 - it has a bucket
        within_s = min(self.policy.bucket.wait_max_s, left_s)
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
        left_s = trace.until - self._clock.monotonic()
        timeout = asyncio.timeout(min(trace.timeout_s, left_s))
        try:
            async with timeout:
                return await work()
        except TimeoutError:
            if timeout.expired() and left_s < trace.timeout_s * _FAIR_SHARE:
                words = f"{self.name}: no answer in the {left_s:.3g} s that were left"
                raise DeadlineCut(words) from None
            raise

    def _withhold(self) -> None:
        """Keep the places of calls that failed until one succeeds or the breaker opens: of a
        dependency that swallows calls, a full bulkhead is all that is ever asked."""
        self.bulkhead.withhold(max(0, self.breaker.failures_in_a_row - self._failures_spared))

    # --- small parts -------------------------------------------------------------------------

    def _begun(
        self, key: str, cost: int, priority: Priority, attempt_timeout_s: float | None
    ) -> _Trace:
        """A call's trace; what no call can have is the caller's mistake, before all else."""
        bucket, timeout_s = self.policy.bucket, self.policy.attempt_timeout_s
        if bucket is not None and not 1 <= cost <= bucket.burst:
            raise ValueError(f"cost: {cost}, must be 1 to {bucket.burst}")
        if attempt_timeout_s is not None:
            above_zero(attempt_timeout_s=attempt_timeout_s)
            if attempt_timeout_s >= self.policy.breaker.probe_timeout_s:
                raise ValueError("attempt_timeout_s: must be below the breaker's probe_timeout_s")
            timeout_s = attempt_timeout_s
        began = self._clock.monotonic()
        return _Trace(key=key, cost=cost, priority=priority, timeout_s=timeout_s, began=began)

    def _left_s(self, trace: _Trace) -> float:
        left_s = trace.until - self._clock.monotonic()
        if left_s <= 0:
            raise DeadlinePassed(self.name, "no time is left")
        return left_s

    def _opens_in_s(self, trace: _Trace) -> float:
        """How long a further attempt would be refused, as far as is known."""
        try:
            self.breaker.check()
        except Refused as refused:
            return math.inf if refused.retry_after_s is None else refused.retry_after_s
        if self._bucket is None or self.policy.bucket is None:
            return 0.0
        return self._bucket.peek(trace.key, trace.cost) - self.policy.bucket.wait_max_s

    def _classify(self, error: Exception) -> Fault:
        if isinstance(error, DeadlineCut):
            return IN_VAIN
        if isinstance(error, Refused):
            return CALLERS
        return classified(self._adapters, error)

    def _told(
        self,
        trace: _Trace,
        error: Exception | None = None,
        stand_in: Fallback[T] | None = None,
    ) -> CallEnded:
        """How the call ended; the listeners know it, too."""
        ended = CallEnded(
            name=self.name,
            took_s=self._clock.monotonic() - trace.began,
            waited_s=trace.waited_s,
            attempts=trace.attempts,
            error=error,
            refused=isinstance(error, Refused),
            fault=None if error is None else self._classify(error).kind,
            fell_back=stand_in is not None,
            stale_s=None if stand_in is None else stand_in.stale_s,
        )
        self._hooks.tell(ended)
        return ended
