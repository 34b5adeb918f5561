"""How something that is called again and again is doing, counted as it happens.

A Tally takes in each call at a bounded cost, whatever the rate: the window is cut into slices, and
a slice holds counts by size of duration. What it comes to at an instant is a Reading.
"""

import math
from bisect import bisect_left
from collections import Counter, deque
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from resilience.checks import above_zero
from resilience.clock import Clock

WINDOW_S = 900.0
SLICES = 30
BOUNDS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 180.0)
"""The upper bounds of the totals' histogram, as Prometheus wants them."""
_SHORTEST_S, _LONGEST_S = 1e-4, 1e5
_GROWTH_LOG = math.log(1.1)
"""Durations are kept by size, each size a tenth longer than the one before: a quantile is read to
5 %."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What happened lately. Rates and durations are None where nothing was called; `last_...` are
    of all time, as far as is known."""

    calls: int
    failures: int
    p50_s: float | None
    p95_s: float | None
    last_success_at: datetime | None
    last_failure_at: datetime | None

    @property
    def error_rate(self) -> float | None:
        """The share of the calls that failed."""
        return self.failures / self.calls if self.calls else None


@dataclass(slots=True)
class Totals:
    """What happened since the start. `by_bound` counts the calls up to each of BOUNDS_S and no
    shorter bound, and beyond the last."""

    calls: int = 0
    failures: int = 0
    seconds: float = 0.0
    by_bound: list[int] = field(default_factory=lambda: [0] * (len(BOUNDS_S) + 1))


@dataclass(slots=True)
class _Slice:
    number: int
    calls: int = 0
    failures: int = 0
    by_size: Counter[int] = field(default_factory=Counter)


class Tally:
    """One subject's calls. Not thread-safe: for one event loop."""

    def __init__(self, clock: Clock, window_s: float = WINDOW_S) -> None:
        above_zero(window_s=window_s)
        self._clock = clock
        self._slice_s = window_s / SLICES
        self._slices: deque[_Slice] = deque(maxlen=SLICES)
        self._success: float | None = None
        self._failure: float | None = None
        self.totals = Totals()

    def note(self, took_s: float, *, failed: bool, ago_s: float = 0.0) -> None:
        """Take in a call that ended `ago_s` ago. Those older than the newest count with that."""
        now = self._clock.monotonic() - ago_s
        if failed:
            self._failure = now if self._failure is None else max(self._failure, now)
        else:
            self._success = now if self._success is None else max(self._success, now)
        part = self._slice_at(int(now // self._slice_s))
        part.calls += 1
        part.failures += failed
        part.by_size[_size(took_s)] += 1
        totals = self.totals
        totals.calls += 1
        totals.failures += failed
        totals.seconds += took_s
        totals.by_bound[bisect_left(BOUNDS_S, took_s)] += 1

    def reading(self) -> Reading:
        """What it comes to now."""
        now = self._clock.monotonic()
        oldest = int(now // self._slice_s) - SLICES
        calls = failures = 0
        by_size: Counter[int] = Counter()
        for part in self._slices:
            if part.number > oldest:
                calls += part.calls
                failures += part.failures
                by_size.update(part.by_size)
        sizes = sorted(by_size.items())
        return Reading(
            calls=calls,
            failures=failures,
            p50_s=_quantile(sizes, calls, 0.5),
            p95_s=_quantile(sizes, calls, 0.95),
            last_success_at=self._wall(self._success, now),
            last_failure_at=self._wall(self._failure, now),
        )

    def _slice_at(self, number: int) -> _Slice:
        slices = self._slices
        if not slices or slices[-1].number < number:
            slices.append(_Slice(number))
        return slices[-1]

    def _wall(self, at: float | None, now: float) -> datetime | None:
        return None if at is None else self._clock.now() - timedelta(seconds=now - at)


def _size(seconds: float) -> int:
    within = min(max(seconds, _SHORTEST_S), _LONGEST_S)
    return round(math.log(within / _SHORTEST_S) / _GROWTH_LOG)


def _quantile(sizes: list[tuple[int, int]], calls: int, share: float) -> float | None:
    """The duration that `share` of the calls do not exceed."""
    if not calls:
        return None
    left = math.ceil(calls * share)
    for size, count in sizes:
        left -= count
        if left <= 0:
            return _SHORTEST_S * math.exp(size * _GROWTH_LOG)
    raise AssertionError("the sizes hold fewer calls than were counted")
