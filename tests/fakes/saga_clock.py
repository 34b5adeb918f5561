"""A clock whose sleepers wait until the test lets time pass: for deadlines."""

import asyncio
from datetime import datetime, timedelta
from typing import Any

from tests.fakes.clock import NOON

SETTLED_TURNS = 200
"""Turns of the event loop after which nothing moves any more without time passing."""


async def settle() -> None:
    """Let the other tasks run until all of them wait for something."""
    for _ in range(SETTLED_TURNS):
        await asyncio.sleep(0)


class HeldClock:
    """A `resilience.clock.Clock` in which a sleeper wakes only when time is let pass."""

    def __init__(self) -> None:
        self._elapsed_s = 0.0
        self._sleepers: list[tuple[float, asyncio.Future[None]]] = []

    def now(self) -> datetime:
        """The start plus the time that was let pass, in UTC."""
        return NOON + timedelta(seconds=self._elapsed_s)

    def monotonic(self) -> float:
        """Seconds that were let pass."""
        return self._elapsed_s

    async def sleep(self, seconds: float) -> None:
        """Return once `seconds` were let pass."""
        sleeper = (self._elapsed_s + seconds, asyncio.get_running_loop().create_future())
        self._sleepers.append(sleeper)
        try:
            await sleeper[1]
        finally:
            self._sleepers.remove(sleeper)

    def advance(self, seconds: float) -> None:
        """Let `seconds` pass and wake those whose time has come."""
        self._elapsed_s += seconds
        for due_s, future in self._sleepers:
            if due_s <= self._elapsed_s and not future.done():
                future.set_result(None)

    def advance_to_next(self) -> bool:
        """Let time pass until the next sleeper wakes; False when nobody sleeps."""
        due = [due_s for due_s, future in self._sleepers if not future.done()]
        if not due:
            return False
        self._elapsed_s = max(self._elapsed_s, min(due))
        self.advance(0.0)
        return True

    async def until_done(self, task: asyncio.Future[Any]) -> None:
        """Let time pass, sleeper by sleeper, until the task is done."""
        await settle()
        while not task.done():
            assert self.advance_to_next(), "the task waits for something that no time brings"
            await settle()
