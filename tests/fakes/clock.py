"""A clock that stands still until it is moved."""

import asyncio
from datetime import UTC, datetime, timedelta

NOON = datetime(2026, 6, 1, 12, 0, tzinfo=UTC)
"""The instant that the fake clock and the fake postings start from: a Monday at noon."""


class FixedClock:
    """A `resilience.clock.Clock` whose time passes only by `advance` and by sleeping."""

    def __init__(self, start: datetime = NOON) -> None:
        self._start = start
        self._elapsed_s = 0.0
        self.slept: list[float] = []

    def now(self) -> datetime:
        """The start plus what has been slept or advanced, in UTC."""
        return self._start + timedelta(seconds=self._elapsed_s)

    def monotonic(self) -> float:
        """Seconds slept or advanced so far."""
        return self._elapsed_s

    async def sleep(self, seconds: float) -> None:
        """Return at once, later by `seconds`; other tasks get their turn, as in a real sleep."""
        self.slept.append(seconds)
        self.advance(seconds)
        await asyncio.sleep(0)

    def advance(self, seconds: float) -> None:
        """Let `seconds` pass; time never goes back."""
        self._elapsed_s += max(0.0, seconds)
