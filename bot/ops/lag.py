"""How late the event loop is: who asks for a moment gets it that much later."""

import asyncio
import time
from collections import deque

EVERY_S = 0.25
SEEN_S = 10.0


class LoopLag:
    """The longest lag of the last ten seconds. Measured in real time, which no test can hold."""

    def __init__(self) -> None:
        self._seen: deque[float] = deque(maxlen=round(SEEN_S / EVERY_S))
        self._due = time.monotonic() + EVERY_S

    @property
    def longest_s(self) -> float:
        """In seconds; also of a lag that is not over."""
        return max(*self._seen, time.monotonic() - self._due, 0.0)

    async def keep_measuring(self) -> None:
        """Until cancelled."""
        while True:
            self._due = time.monotonic() + EVERY_S
            await asyncio.sleep(EVERY_S)
            self._seen.append(max(0.0, time.monotonic() - self._due))
