"""Runs sagas in this process: steps in order, undo in reverse, every move journaled first.

How a run ends:
    every step done                       completed
    a step failed, something was undone   compensated
    a step failed, nothing to undo        failed
    cancelled                             undo, then cancelled
    an undo failed for good               parked
Leaving the orchestrator (a shutdown) stops runs without journaling an end: the next start
resumes them.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

from resilience.clock import Clock
from resilience.deadline import deadline
from resilience.saga.journal import Event, Journal, JsonValue
from resilience.saga.saga import Saga, Step, StepContext, StepFailed, StepOutcome
from resilience.saga.transitions import CLOSING, EventType, IllegalTransition, RunStatus

S = TypeVar("S")
Listener = Callable[[Event], None]

RESUMPTIONS_MAX = 3
"""A run under way at this many restarts is undone, in case it is what stops the process."""

_GRACE_S = 5.0

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunEnd(Generic[S]):
    """How a run ended. `state` is what the steps had made by then."""

    run_id: str
    status: RunStatus
    state: S
    error_type: str | None = None
    error_message: str | None = None
    failed_step: str | None = None
    stopped: tuple[str, ...] = ()
    undone: tuple[str, ...] = ()
    steps_done: int = 0


@dataclass(slots=True)
class _Run(Generic[S]):
    """A run being executed here."""

    saga: Saga[S]
    run_id: str
    state: S
    finish: Callable[[RunEnd[S]], Any] | None
    started: set[str] = field(default_factory=set)  # names of steps, of earlier lives too
    completed: set[str] = field(default_factory=set)
    cancelled: bool = False
    error: StepFailed | None = None
    failed_step: str | None = None
    stopped: list[str] = field(default_factory=list)
    work: asyncio.Task[Any] | None = None  # the step under way
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held while an event that a cancel must not overtake is written."""


class Orchestrator:
    """Executes sagas over a Journal. Use as an async context manager; it owns its tasks."""

    def __init__(self, journal: Journal, clock: Clock) -> None:
        self._journal = journal
        self._clock = clock
        self._runs: dict[str, _Run[Any]] = {}
        self._tasks: dict[str, asyncio.Task[RunEnd[Any]]] = {}
        self._listeners: list[Listener] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def subscribe(self, listener: Listener) -> None:
        """Call `listener` with every event after it was stored. It must not block."""
        self._listeners.append(listener)

    def launch(
        self,
        saga: Saga[S],
        run_id: str,
        state: S,
        finish: Callable[[RunEnd[S]], Any] | None = None,
    ) -> asyncio.Task[RunEnd[S]]:
        """Execute a journaled run in the background; `finish` runs before its end is journaled.

        A run with history is taken up: while it was going forward its steps are done again (they
        are idempotent), while it was compensating the undo goes on.
        """
        if (under_way := self._tasks.get(run_id)) is not None:
            return under_way
        run = _Run(saga=saga, run_id=run_id, state=state, finish=finish)
        task = asyncio.create_task(self._execute(run), name=f"run:{run_id}")
        self._runs[run_id] = run
        self._tasks[run_id] = task
        task.add_done_callback(lambda done: self._forget(run_id, done))
        return task

    def task_of(self, run_id: str) -> asyncio.Task[RunEnd[Any]] | None:
        """The task of a run executing here, or None."""
        return self._tasks.get(run_id)

    async def cancel(self, run_id: str) -> bool:
        """Stop the run's work and undo it. False when the run is not executing here any more.

        During compensation it changes nothing: the undo goes on to its own end.
        """
        run = self._runs.get(run_id)
        if run is None:
            return False
        async with run.lock:
            if run.cancelled:
                return True
            try:
                await self._append(run_id, EventType.RUN_CANCELLING)
            except IllegalTransition as refused:
                return refused.status is RunStatus.COMPENSATING
            run.cancelled = True
        if run.work is not None:
            run.work.cancel()
        return True

    # --- one run, top-down -------------------------------------------------------------------

    async def _execute(self, run: _Run[S]) -> RunEnd[S]:
        history = await self._journal.events(run.run_id)
        backward = await self._take_up(run, history)
        if not backward and await self._go_forward(run):
            end = await self._close_completed(run)
            if end is not None:
                return end
        return await self._compensate(run, history)

    async def _take_up(self, run: _Run[S], history: list[Event]) -> bool:
        """Journal the start or resumption; True when the run is only to be undone."""
        seen = {event.type for event in history}
        run.cancelled = run.cancelled or EventType.RUN_CANCELLING in seen
        if EventType.RUN_STARTED not in seen:
            await self._append(run.run_id, EventType.RUN_STARTED)
            return run.cancelled
        await self._append(run.run_id, EventType.RUN_RESUMED)
        run.started = {str(e.data["step"]) for e in history if e.type is EventType.STEP_STARTED}
        failed = [e for e in history if e.type is EventType.STEP_FAILED]
        worn_out = sum(e.type is EventType.RUN_RESUMED for e in history) >= RESUMPTIONS_MAX
        if failed:
            run.failed_step = str(failed[-1].data["step"])
            run.error = StepFailed("it failed before a restart", type=str(failed[-1].data["error"]))
        elif worn_out and not run.cancelled:
            run.error = StepFailed(
                f"the process stopped {RESUMPTIONS_MAX + 1} times during this run"
            )
        backward = run.cancelled or EventType.RUN_COMPENSATING in seen or bool(failed) or worn_out
        if backward:
            done = (e for e in history if e.type is EventType.STEP_COMPLETED)
            run.completed = {str(e.data["step"]) for e in done}
        return backward

    async def _go_forward(self, run: _Run[S]) -> bool:
        """Do the steps; False when one failed or the run was cancelled."""
        for step in run.saga.steps:
            who: dict[str, JsonValue] = {"step": step.name, "agent": step.agent}
            async with run.lock:
                if run.cancelled:
                    return False
                run.started.add(step.name)
                await self._append(run.run_id, EventType.STEP_STARTED, who)
            try:
                report = await self._do(run, step)
            except StepFailed as failure:
                run.error, run.failed_step = failure, step.name
                failed = {**who, "error": failure.type}
                await self._append(run.run_id, EventType.STEP_FAILED, failed)
                return False
            if report is None:
                run.stopped.append(step.name)
                return False
            run.completed.add(step.name)
            await self._append(run.run_id, EventType.STEP_COMPLETED, {**who, **report})
        return True

    async def _do(self, run: _Run[S], step: Step[S]) -> Mapping[str, JsonValue] | None:
        """Do one step within its deadline; None when the user's cancel stopped it."""

        async def report(data: Mapping[str, JsonValue]) -> None:
            await self._append(run.run_id, EventType.STEP_PROGRESS, {"step": step.name, **data})

        async def work_on() -> StepOutcome[S]:
            with deadline(step.deadline_s, self._clock.monotonic):  # of all calls that it makes
                return await step.do(run.state, StepContext(run_id=run.run_id, report=report))

        run.work = asyncio.ensure_future(work_on())
        try:
            in_time = await self._within(run.work, step.deadline_s)
        finally:
            work, run.work = run.work, None
        if not in_time:
            raise StepFailed(
                f"{step.name} took longer than {step.deadline_s:g} s", type="step-timeout"
            )
        if work.cancelled():
            if run.cancelled:
                return None
            raise StepFailed(f"{step.name} was interrupted")
        try:
            outcome: StepOutcome[S] = work.result()
        except StepFailed:
            raise
        except Exception as unexpected:
            # The step boundary: whatever an agent raises is a failed step, never a lost run.
            log.exception("step %s of run %s broke", step.name, run.run_id)
            kind = type(unexpected).__name__
            raise StepFailed(f"an internal error ({kind})") from unexpected
        run.state = outcome.state
        return outcome.report

    async def _close_completed(self, run: _Run[S]) -> RunEnd[S] | None:
        """Close as completed, unless a cancel came first."""
        async with run.lock:
            if run.cancelled:
                return None
            return await self._close(run, EventType.RUN_COMPLETED, [])

    async def _compensate(self, run: _Run[S], history: list[Event]) -> RunEnd[S]:
        """Undo the started steps, last first, then close as the run was heading to."""
        begun = (step for step in reversed(run.saga.steps) if step.name in run.started)
        to_undo = [step for step in begun if step.undo is not None]
        undone: list[str] = []
        if to_undo:
            if not any(e.type is EventType.RUN_COMPENSATING for e in history):
                await self._append(run.run_id, EventType.RUN_COMPENSATING)
            already = {str(e.data["step"]) for e in history if e.type is EventType.STEP_COMPENSATED}
            undone += [
                str(e.data["undone"])
                for e in history
                if e.type is EventType.STEP_COMPENSATED and e.data["undone"]
            ]
            until = self._clock.monotonic() + run.saga.undo_deadline_s
            for step in to_undo:
                if step.name in already:
                    continue
                if not await self._undo(run, step, until, undone):
                    words = f"{step.name} could not be undone"
                    run.error = StepFailed(words, type="compensation-failed")
                    return await self._close(run, EventType.RUN_PARKED, undone)
        async with run.lock:
            if run.cancelled:
                return await self._close(run, EventType.RUN_CANCELLED, undone)
            closing = EventType.RUN_COMPENSATED if undone else EventType.RUN_FAILED
            return await self._close(run, closing, undone)

    async def _undo(self, run: _Run[S], step: Step[S], until: float, undone: list[str]) -> bool:
        """Undo one step, trying again until the run's time for undoing is over."""
        assert step.undo is not None  # noqa: S101 - the caller chose only such steps
        longest = run.saga.undo_deadline_s / run.saga.undo_attempts
        for attempt in range(run.saga.undo_attempts):
            left = until - self._clock.monotonic()
            if attempt:
                await self._clock.sleep(min(2.0 ** (attempt - 1), max(left, 0.0)))
                left = until - self._clock.monotonic()
            if left <= 0:
                break
            work = asyncio.ensure_future(_call(step.undo, run.run_id))
            in_time = await self._within(work, min(longest, left))
            if not in_time or work.cancelled():
                log.error("undo of %s in run %s was not finished", step.name, run.run_id)
                continue
            if (failure := work.exception()) is not None:
                log.error("undo of %s in run %s failed", step.name, run.run_id, exc_info=failure)
                continue
            words = work.result()
            await self._append(
                run.run_id, EventType.STEP_COMPENSATED, {"step": step.name, "undone": words}
            )
            if words:
                undone.append(words)
            return True
        return False

    async def _close(self, run: _Run[S], closing: EventType, undone: list[str]) -> RunEnd[S]:
        cancelled = closing is EventType.RUN_CANCELLED
        error = None if cancelled else run.error
        error_type = "cancelled" if cancelled else error.type if error else None
        end = RunEnd(
            run_id=run.run_id,
            status=CLOSING[closing],
            state=run.state,
            error_type=error_type,
            error_message=error.message if error else None,
            failed_step=run.failed_step,
            stopped=tuple(run.stopped),
            undone=tuple(undone),
            steps_done=len(run.completed),
        )
        if run.finish is not None:
            await run.finish(end)
        await self._append(run.run_id, closing, {"error": error_type} if error_type else None)
        return end

    # --- small parts -------------------------------------------------------------------------

    async def _within(self, work: asyncio.Task[Any], seconds: float) -> bool:
        """Wait for `work`; after `seconds` cancel it and return False. So does a shutdown."""
        timer = asyncio.ensure_future(self._clock.sleep(seconds))
        try:
            await asyncio.wait({work, timer}, return_when=asyncio.FIRST_COMPLETED)
            return work.done()
        finally:
            timer.cancel()
            if not work.done():
                work.cancel()
            # Work that does not heed its cancel is left behind: a deadline is a deadline.
            await asyncio.wait({work, timer}, timeout=_GRACE_S)

    async def _append(
        self, run_id: str, event: EventType, data: Mapping[str, JsonValue] | None = None
    ) -> None:
        stored = await self._journal.append(run_id, event, data)
        for listener in self._listeners:
            try:
                listener(stored)
            except Exception:
                # A listener is a guest: its fault must not stop the run.
                log.exception("a listener broke on %s", event)

    def _forget(self, run_id: str, task: asyncio.Task[RunEnd[Any]]) -> None:
        self._runs.pop(run_id, None)
        self._tasks.pop(run_id, None)
        if not task.cancelled() and (failure := task.exception()) is not None:
            log.error("run %s stopped unfinished", run_id, exc_info=failure)


async def _call(undo: Callable[[str], Awaitable[str | None]], run_id: str) -> str | None:
    """Call `undo` inside a task, so that what it raises at once is a failed undo as well."""
    return await undo(run_id)
