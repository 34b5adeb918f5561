"""Counting what happened lately, at a bounded cost whatever the rate."""

from collections import deque
from dataclasses import dataclass

from resilience.checks import above_zero

SLICES = 10


@dataclass(slots=True)
class _Slice:
    number: int
    total: int = 0
    marked: int = 0


class RollingWindow:
    """How many happened in the last `window_s` seconds, and how many of them were marked.

    Time is cut into ten slices a window; a count leaves with its slice, so that the window is
    between nine and ten slices long.
    """

    def __init__(self, window_s: float) -> None:
        above_zero(window_s=window_s)
        self._slice_s = window_s / SLICES
        self._slices: deque[_Slice] = deque()
        self.total = 0
        self.marked = 0

    def add(self, now: float, *, total: int = 0, marked: int = 0) -> None:
        """Count at the monotonic time `now`; time that goes back counts as standing still."""
        current = self._current(now)
        current.total += total
        current.marked += marked
        self.total += total
        self.marked += marked

    def forget_old(self, now: float) -> None:
        """Let go of what is older than the window."""
        self._expire(int(now // self._slice_s))

    def clear(self) -> None:
        """Start anew."""
        self._slices.clear()
        self.total = self.marked = 0

    def _current(self, now: float) -> _Slice:
        number = int(now // self._slice_s)
        slices = self._slices
        if slices and slices[-1].number >= number:
            return slices[-1]
        self._expire(number)
        slices.append(_Slice(number))
        return slices[-1]

    def _expire(self, number: int) -> None:
        while self._slices and self._slices[0].number <= number - SLICES:
            old = self._slices.popleft()
            self.total -= old.total
            self.marked -= old.marked
