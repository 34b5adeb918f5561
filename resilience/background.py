"""Work that goes on for as long as the process does: whatever ends it but its cancel is told."""

import asyncio
import logging
from collections.abc import Coroutine
from datetime import datetime
from types import TracebackType
from typing import Any, NamedTuple, Self

from resilience.clock import Clock
from resilience.hooks import Hooks, Listener

CRASHES_MAX, NAME_MAX = 100, 100

log = logging.getLogger(__name__)


class Crashed(NamedTuple):
    """Work that ended although it should go on; `error` is the type of what it raised, or empty."""

    name: str
    error: str
    at: datetime


class Background:
    """Owns such work. An async context manager: what was started ends when it is left."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._hooks: Hooks[Crashed] = Hooks()
        self._tasks: list[asyncio.Task[Any]] = []
        self._crashes: dict[str, Crashed] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def crashes(self) -> tuple[Crashed, ...]:
        """What crashed since the start, the newest of each name."""
        return tuple(self._crashes.values())

    def subscribe(self, listener: Listener[Crashed]) -> None:
        """Tell `listener` of each crash from now on."""
        self._hooks.subscribe(listener)

    def start(self, work: Coroutine[Any, Any, None], name: str) -> None:
        """Do the work until this is left."""
        task = asyncio.create_task(work, name=name)
        self._tasks.append(task)
        self.watch(task)

    def watch(self, task: "asyncio.Task[Any]") -> None:
        """Tell of the end of work that somebody else owns and cancels."""
        task.add_done_callback(self._ended)

    def crashed(self, name: str, error: BaseException | None) -> None:
        """Note a crash that was seen elsewhere, and log it."""
        log.error("%s ended", name, exc_info=error)
        name, kind = name[:NAME_MAX], "" if error is None else type(error).__name__
        crash = Crashed(name, kind, self._clock.now())
        if name in self._crashes or len(self._crashes) < CRASHES_MAX:
            self._crashes[name] = crash
        self._hooks.tell(crash)

    def _ended(self, task: "asyncio.Task[Any]") -> None:
        if not task.cancelled():
            self.crashed(task.get_name(), task.exception())
