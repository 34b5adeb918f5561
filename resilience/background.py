"""Work that goes on for as long as the process does: whatever ends it but its cancel is told."""

import asyncio
import logging
from collections.abc import Coroutine
from datetime import datetime
from typing import Any, NamedTuple

from resilience.clock import Clock
from resilience.hooks import Hooks, Listener

CRASHES_MAX, NAME_MAX = 100, 100

log = logging.getLogger(__name__)


class Crashed(NamedTuple):
    """Work that ended by an error or, where it is `lasting`, at all; `error` is the type of what it
    raised, or empty."""

    name: str
    error: str
    at: datetime
    lasting: bool = True


class Background:
    """Owns such work. What was started ends with `end`."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._hooks: Hooks[Crashed] = Hooks()
        self._tasks: list[asyncio.Task[Any]] = []
        self._crashes: dict[str, Crashed] = {}
        self._names: set[str] = set()
        self._ending = False

    async def end(self) -> None:
        """End all of it; from now on no end is a crash. May be called again."""
        self._ending = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def names(self) -> frozenset[str]:
        """What is to go on."""
        return frozenset(self._names)

    @property
    def crashes(self) -> tuple[Crashed, ...]:
        """What crashed since the start, the newest of each name."""
        return tuple(self._crashes.values())

    def subscribe(self, listener: Listener[Crashed]) -> None:
        """Tell `listener` of each crash from now on."""
        self._hooks.subscribe(listener)

    def start(self, work: Coroutine[Any, Any, None], name: str) -> None:
        """Do the work until the end."""
        task = asyncio.create_task(work, name=name)
        self._tasks.append(task)
        self.watch(task)

    def watch(self, task: "asyncio.Task[Any]") -> None:
        """Tell of the end of work that somebody else owns and cancels."""
        self._names.add(task.get_name())
        task.add_done_callback(self._ended)

    def crashed(self, name: str, error: BaseException | None, *, lasting: bool = False) -> None:
        """Note a crash that was seen elsewhere, and log it."""
        log.error("%s ended", name, exc_info=error)
        name, kind = name[:NAME_MAX], "" if error is None else type(error).__name__
        crash = Crashed(name, kind, self._clock.now(), lasting)
        if name in self._crashes or len(self._crashes) < CRASHES_MAX:
            self._crashes[name] = crash
        self._hooks.tell(crash)

    def _ended(self, task: "asyncio.Task[Any]") -> None:
        if not self._ending:
            error = None if task.cancelled() else task.exception()
            self.crashed(task.get_name(), error, lasting=True)
