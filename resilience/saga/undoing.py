"""Undoing what a run's steps did: last first, each with its own retries, within the run's time."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from resilience.clock import Clock
from resilience.saga.journal import JournalUnavailable, JsonValue
from resilience.saga.recording import PATIENCE_S, Recording
from resilience.saga.saga import Saga, Step
from resilience.saga.transitions import EventType
from resilience.saga.work import GRACE_S, within

S = TypeVar("S")

log = logging.getLogger(__name__)


class Undoing(Generic[S]):
    """The undos of one run."""

    def __init__(self, saga: Saga[S], recording: Recording, clock: Clock) -> None:
        self._saga = saga
        self._recording = recording
        self._clock = clock
        self._until = 0.0

    def begin(self) -> None:
        """The time for undoing begins now."""
        self._until = self._clock.monotonic() + self._saga.undo_deadline_s

    def due(self) -> list[Step[S]]:
        """The begun steps that are not undone yet, last first."""
        started = dict.fromkeys(record.name for record in self._recording.history.steps)
        known = {step.name: step for step in self._saga.steps}
        steps = [known[name] for name in reversed(started) if name in known]
        return [
            s for s in steps if s.undo is not None and s.name not in self._recording.history.undone
        ]

    async def undo(self, step: Step[S]) -> bool:
        """Undo one step, trying again until the run's time for undoing is over. The time in which
        the journal is out does not count: nothing could be parked meanwhile, either."""
        longest_s = self._saga.undo_deadline_s / self._saga.undo_attempts
        attempt, out_s = 0, 0.0
        while attempt < self._saga.undo_attempts:
            began = self._clock.monotonic()
            if attempt:
                pause_s = min(2.0 ** (attempt - 1), max(self._until - began, 0.0))
                await self._clock.sleep(pause_s)
            left_s = self._until - self._clock.monotonic()
            if left_s <= 0:
                break
            try:
                done, words = await self._try_undo(step, min(longest_s, left_s))
            except JournalUnavailable:
                await self._recording.load()
                await self._clock.sleep(GRACE_S)
                waited_s = self._clock.monotonic() - began
                out_s += waited_s
                self._until += waited_s
                if out_s > PATIENCE_S:  # it says so, but everything else is written
                    return False
                continue
            if done:
                began = self._clock.monotonic()
                data: dict[str, JsonValue] = {"step": step.name, "undone": words}
                await self._recording.write(EventType.STEP_COMPENSATED, data)
                self._until += self._clock.monotonic() - began
                return True
            attempt += 1
        return False

    async def _try_undo(self, step: Step[S], seconds: float) -> tuple[bool, str | None]:
        assert step.undo is not None  # noqa: S101 - the caller chose only such steps
        work = asyncio.ensure_future(_call(step.undo, self._recording.run_id))
        in_time = await within(work, seconds, self._clock)
        if not in_time or work.cancelled():
            log.error("undo of %s in run %s was not finished", step.name, self._recording.run_id)
            return False, None
        failure = work.exception()
        if isinstance(failure, JournalUnavailable):
            raise failure
        if failure is not None:
            log.error(
                "undo of %s in run %s failed", step.name, self._recording.run_id, exc_info=failure
            )
            return False, None
        return True, work.result()


async def _call(undo: Callable[[str], Awaitable[str | None]], run_id: str) -> str | None:
    """Call `undo` inside a task, so that what it raises at once is a failed undo as well."""
    return await undo(run_id)
