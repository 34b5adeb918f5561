"""Trying again, where that can help and does not make things worse.

tenacity decides and waits. Waits are drawn from 0 to an exponentially growing bound (full jitter:
"Exponential Backoff And Jitter", AWS Architecture Blog, 2015), unless the dependency said how long.
A retry budget bounds what retries add to the load when much fails ("Handling Overload", Site
Reliability Engineering, 2016).
"""

import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from tenacity import AsyncRetrying, RetryCallState

from resilience.checks import above_zero, not_negative, whole
from resilience.clock import Clock
from resilience.fault import Classify, FaultKind
from resilience.window import RollingWindow

T = TypeVar("T")

_DOUBLINGS_MAX = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """How often a failed call is made again, and how its waits grow, in seconds."""

    retries_max: int = 2
    base_s: float = 0.5
    cap_s: float = 20.0
    budget_share: float = 0.1
    """Retries are at most this share of the calls that were answered or are worth a retry, of the
    last `budget_window_s` (not of refused ones, or a full bulkhead would add retries),"""
    budget_per_s: float = 5.0
    """or this many a second, if that is more."""
    budget_window_s: float = 1.0

    def __post_init__(self) -> None:
        whole(retries_max=self.retries_max)
        not_negative(retries_max=self.retries_max, budget_share=self.budget_share)
        not_negative(budget_per_s=self.budget_per_s)
        above_zero(base_s=self.base_s, cap_s=self.cap_s, budget_window_s=self.budget_window_s)


class Retry:
    """The retries of one dependency. Only errors that its adapter calls transient or throttled are
    tried again."""

    def __init__(
        self,
        policy: RetryPolicy,
        *,
        clock: Clock,
        classify: Classify,
        uniform: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self._policy = policy
        self._clock = clock
        self._classify = classify
        self._uniform = uniform
        self._made = RollingWindow(policy.budget_window_s)

    async def call(
        self,
        attempt: Callable[[], Awaitable[T]],
        *,
        until: float,
        opens_in_s: Callable[[], float] = lambda: 0.0,
    ) -> T:
        """Await `attempt`, and again while that makes sense; raises the last error, unchanged.

        It makes none when the wait would end after the monotonic time `until`, or before
        `opens_in_s()`: no wait is begun whose end is known to be in vain.
        """
        try:
            value = await attempt()  # tenacity costs more than all else here: not if all goes well
        except Exception as error:
            if not self._worth(error):
                raise
            first: Exception | None = error
        else:
            self._made.add(self._clock.monotonic(), total=1)
            return value
        self._made.add(self._clock.monotonic(), total=1)

        async def again() -> T:
            nonlocal first
            if first is not None:
                failed, first = first, None
                raise failed
            return await attempt()

        retrying = AsyncRetrying(
            retry=lambda state: (error := _error(state)) is not None and self._worth(error),
            wait=self._wait_s,
            stop=lambda state: self._in_vain(state, until, opens_in_s()),
            sleep=self._clock.sleep,
            reraise=True,
        )
        return await retrying(again)

    def _worth(self, error: Exception) -> bool:
        return self._classify(error).kind in (FaultKind.TRANSIENT, FaultKind.THROTTLED)

    def _wait_s(self, state: RetryCallState) -> float:
        policy, error = self._policy, _error(state)
        told = None if error is None else self._classify(error).retry_after_s
        if told is not None:
            return told
        doubled = policy.base_s * 2.0 ** min(state.attempt_number - 1, _DOUBLINGS_MAX)
        return self._uniform(0.0, min(doubled, policy.cap_s))

    def _in_vain(self, state: RetryCallState, until: float, opens_in_s: float) -> bool:
        if state.attempt_number > self._policy.retries_max:
            return True
        wait_s = state.upcoming_sleep
        if self._clock.monotonic() + wait_s >= until or wait_s < opens_in_s:
            return True
        return not self._take_from_budget()

    def _take_from_budget(self) -> bool:
        policy, now = self._policy, self._clock.monotonic()
        self._made.forget_old(now)
        allowed = max(
            policy.budget_share * self._made.total, policy.budget_per_s * policy.budget_window_s
        )
        if self._made.marked + 1 > allowed:
            return False
        self._made.add(now, marked=1)
        return True


def _error(state: RetryCallState) -> Exception | None:
    outcome = state.outcome
    error = None if outcome is None else outcome.exception()
    return error if isinstance(error, Exception) else None
