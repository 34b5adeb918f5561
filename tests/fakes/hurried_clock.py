"""A clock that runs faster than the world: what takes minutes is seen in seconds."""

import asyncio
import time
from datetime import UTC, datetime, timedelta


class HurriedClock:
    """A `resilience.clock.Clock` in which `times` seconds pass in one."""

    def __init__(self, times: float) -> None:
        self._times = times
        self._began, self._began_at = time.monotonic(), datetime.now(UTC)

    def now(self) -> datetime:
        """The start plus what has passed here."""
        return self._began_at + timedelta(seconds=self.monotonic())

    def monotonic(self) -> float:
        """Seconds that have passed here."""
        return (time.monotonic() - self._began) * self._times

    async def sleep(self, seconds: float) -> None:
        """Return after so many seconds of this clock."""
        await asyncio.sleep(seconds / self._times)
