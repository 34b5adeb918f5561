"""The handlers that work at once are counted; one that only waits for Telegram is not at work."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from contextvars import ContextVar

SLOTS: ContextVar[asyncio.Semaphore | None] = ContextVar("slots", default=None)
"""What the handler that runs now holds one of."""


@asynccontextmanager
async def slot_given_back() -> AsyncIterator[None]:
    """Let another handler work while this one waits; it goes on when there is a slot again."""
    slots = SLOTS.get()
    if slots is None:
        yield
        return
    slots.release()
    try:
        yield
    finally:
        await slots.acquire()
