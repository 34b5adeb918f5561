"""Waiting for work that has a time limit."""

import asyncio
from typing import Any

from resilience.clock import Clock

GRACE_S = 5.0
"""How long work that was cancelled may take to end, in real seconds."""


async def within(work: asyncio.Task[Any], seconds: float, clock: Clock) -> bool:
    """Wait for `work`; after `seconds` cancel it and return False. So does a shutdown."""
    timer = asyncio.ensure_future(clock.sleep(max(seconds, 0.0)))
    try:
        await asyncio.wait({work, timer}, return_when=asyncio.FIRST_COMPLETED)
        return work.done()
    finally:
        timer.cancel()
        if not work.done():
            work.cancel()
        # Work that does not heed its cancel is left behind: a deadline is a deadline.
        await asyncio.wait({work, timer}, timeout=GRACE_S)
