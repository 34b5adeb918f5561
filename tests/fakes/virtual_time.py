"""An event loop whose time is virtual: where all tasks wait, it jumps to the next timer.

asyncio.sleep, asyncio.timeout and the clock agree, and a minute takes milliseconds.
"""

import asyncio
import functools
import selectors
from collections.abc import Callable, Coroutine
from datetime import datetime, timedelta
from typing import Any, ParamSpec, TypeVar

from tests.fakes.clock import NOON

P = ParamSpec("P")
T = TypeVar("T")


def run_virtual(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run it to its end in a loop of its own, whose time starts at 0."""
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(coroutine)


def in_virtual_time(test: Callable[P, Coroutine[Any, Any, T]]) -> Callable[P, T]:
    """Make an async test one that runs in virtual time."""

    @functools.wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> T:
        return run_virtual(test(*args, **kwargs))

    return run


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """A loop that never waits. What only another thread could bring is an error."""

    def __init__(self) -> None:
        self._now_s = 0.0
        super().__init__(_Jumping(self))

    def time(self) -> float:
        """Virtual seconds since the loop was made."""
        return self._now_s

    def jump(self) -> None:
        """Make it the time of the next timer."""
        if not self._scheduled:
            raise RuntimeError("all tasks wait for something that no time brings")
        self._now_s = max(self._now_s, self._scheduled[0].when())

    _scheduled: list[asyncio.TimerHandle]  # asyncio's own, a heap


class _Jumping(selectors.DefaultSelector):
    def __init__(self, loop: VirtualTimeLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """What is ready now; where nothing is, and the loop would wait, time jumps."""
        ready = super().select(0)
        if not ready and (timeout is None or timeout > 0):
            self._loop.jump()
        return ready


class LoopClock:
    """A `resilience.clock.Clock` over the time of the running loop."""

    def now(self) -> datetime:
        """A fixed start plus the loop's time, in UTC."""
        return NOON + timedelta(seconds=self.monotonic())

    def monotonic(self) -> float:
        """The loop's time."""
        return asyncio.get_running_loop().time()

    async def sleep(self, seconds: float) -> None:
        """Return after `seconds` of the loop's time."""
        await asyncio.sleep(seconds)
