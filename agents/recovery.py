"""Taking up runs that nobody executes: those of a process that was killed, that lost the database
for too long, or that journaled a run and ended before its first step."""

import itertools
import logging
from collections.abc import Awaitable, Callable
from typing import Protocol

from agents.runner import Runner
from agents.store.errors import StoreError

EVERY_S = 10.0
TIDY_EVERY = 360
IDLE_S = 30.0
"""A run that was journaled just now is somebody's who is about to begin it."""
CLI = "cli"
"""Who scouts from a terminal waits for that process: when it is gone the run is undone."""

log = logging.getLogger(__name__)


class Sleeps(Protocol):
    """The part of a clock that this needs."""

    async def sleep(self, seconds: float) -> None:
        """Return after `seconds`."""
        ...


class Recovery:
    """Looks for such runs again and again. `take_up` executes a run and answers who asked; `tidy`
    is called each hour, for what nobody needs any more."""

    def __init__(
        self,
        runner: Runner,
        clock: Sleeps,
        channels: tuple[str, ...],
        take_up: Callable[[str], None],
        tidy: Callable[[], Awaitable[None]],
    ) -> None:
        self._runner = runner
        self._clock = clock
        self._channels = channels
        self._take_up = take_up
        self._tidy = tidy

    async def keep_recovering(self) -> None:
        """Take up what is found, until cancelled."""
        for turn in itertools.count():
            await self._clock.sleep(EVERY_S)  # a start has looked for them just before
            try:
                await self._recover()
                if turn % TIDY_EVERY == 0:
                    await self._tidy()
            except StoreError as error:
                log.warning("recovery and tidying wait for the database: %s", error)
            except Exception as error:  # noqa: BLE001
                # The task's boundary: one run must not keep the others from being taken up.
                log.error("recovery broke: %s", type(error).__name__)

    async def _recover(self) -> None:
        for run_id in await self._runner.abandoned(self._channels, idle_s=IDLE_S):
            log.info("taking up run %s", run_id)
            self._take_up(run_id)
        for run_id in await self._runner.abandoned((CLI,), idle_s=IDLE_S):
            log.info("undoing run %s, whose terminal is gone", run_id)
            await self._runner.launch(run_id, abandoned=True)
