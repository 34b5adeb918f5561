"""A clock whose two hands can be moved apart, as those of real machines are."""

from datetime import datetime, timedelta

from tests.fakes.clock import FixedClock


class JumpingClock(FixedClock):
    """A FixedClock whose wall time can be set, and whose monotonic time can slip back."""

    def __init__(self) -> None:
        super().__init__()
        self._set_by_s = 0.0
        self._slipped_s = 0.0

    def now(self) -> datetime:
        """The wall time, as it was last set."""
        return super().now() + timedelta(seconds=self._set_by_s)

    def monotonic(self) -> float:
        """Seconds advanced, less what it slipped."""
        return super().monotonic() - self._slipped_s

    def set_wall(self, by_s: float) -> None:
        """Set the wall clock forward, or back with a negative `by_s`."""
        self._set_by_s += by_s

    def slip_back(self, seconds: float) -> None:
        """Let monotonic time go back, which it should not."""
        self._slipped_s += seconds
