"""Threads for work that takes the processor for seconds.

Python runs one of them at a time: more threads would only make the event loop wait longer for its
turn, and in asyncio's own few threads such work would hold up everything short that needs one.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class Lane:
    """One thread; who comes next waits for its turn."""

    def __init__(self, name: str) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=name)

    async def run(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """The result of `work`, done in the thread. A cancelled caller leaves at once."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, partial(work, *args, **kwargs))


READING = Lane("reading")
"""Files, which may be 100 MB."""
RANKING = Lane("ranking")
"""Postings by the ten thousand: comparing them, filtering and ranking them."""
