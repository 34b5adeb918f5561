"""A stand-in in a thread of its own, for the command line, which has its own event loop."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from typing import TypeVar

S = TypeVar("S")
START_S = 30.0


@contextmanager
def threaded(server: AbstractAsyncContextManager[S]) -> Iterator[S]:
    """The server, running; it is closed, and its thread ended, when this is left."""
    loop = asyncio.new_event_loop()
    leave = asyncio.Event()
    started = threading.Event()
    held: list[S] = []

    async def serve() -> None:
        async with server as running:
            held.append(running)
            started.set()
            await leave.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),), daemon=True)
    thread.start()
    assert started.wait(START_S)
    try:
        yield held[0]
    finally:
        loop.call_soon_threadsafe(leave.set)
        thread.join()
        loop.close()
