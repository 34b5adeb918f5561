"""One run, executed here: steps in order, undo in reverse, every move journaled first.

How a run ends:
    every step done                       completed
    a step failed, something was undone   compensated
    a step failed, nothing to undo        failed
    a kill switch                         undo, then failed
    cancelled                             undo, then cancelled
    an undo failed for good               parked, until it is tried again
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from resilience.budget import NOTHING, Amounts, Budget
from resilience.clock import Clock
from resilience.deadline import deadline
from resilience.saga.gate import Gate
from resilience.saga.history import History
from resilience.saga.journal import JournalUnavailable, JsonValue, Part
from resilience.saga.recording import Recording, patiently
from resilience.saga.saga import (
    MAX_STEPS,
    TOO_LONG,
    TOO_MANY_HANDOFFS,
    KillSwitch,
    Saga,
    Spends,
    Step,
    StepContext,
    StepFailed,
    StepOutcome,
)
from resilience.saga.spending import Spending
from resilience.saga.transitions import CLOSING, EventType, IllegalTransition, RunStatus
from resilience.saga.undoing import Undoing
from resilience.saga.work import within

S = TypeVar("S")

RESUMPTIONS_MAX = 3
"""A run taken up so often without getting on is undone, in case it is what stops the process."""
COMPENSATION_FAILED = "compensation-failed"
CANCELLED = "cancelled"
_PAUSE_S = 1.0
_CANCEL_WAIT_S = 5.0

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunEnd(Generic[S]):
    """How a run ended. `state` is what the steps had made by then, `spent` counts all its lives."""

    run_id: str
    status: RunStatus
    state: S
    error_type: str | None = None
    error_message: str | None = None
    failed_step: str | None = None
    stopped: tuple[str, ...] = ()
    undone: tuple[str, ...] = ()
    steps_done: int = 0
    spent: Amounts = NOTHING


Finish = Callable[[RunEnd[S]], Awaitable[None]]


class Execution(Generic[S]):
    """Runs one saga to its end over a Recording whose lease this process holds."""

    def __init__(
        self,
        saga: Saga[S],
        state: S,
        recording: Recording,
        clock: Clock,
        *,
        finish: Finish[S] | None = None,
        give_up: StepFailed | None = None,
        gate: Gate | None = None,
    ) -> None:
        self.state = state
        self.recording = recording
        self._saga = saga
        self._clock = clock
        self._gate = gate or Gate(clock.now)
        self._finish = finish
        self._error = give_up
        self._ends_at = 0.0
        self._budget = Budget(NOTHING)
        self._work: asyncio.Task[Any] | None = None
        self._lock = (
            asyncio.Lock()
        )  # held while an event is written that a cancel must not overtake

    @property
    def run_id(self) -> str:
        """The run's id."""
        return self.recording.run_id

    @property
    def _history(self) -> History:
        return self.recording.history

    async def run(self) -> RunEnd[S]:
        """Execute the run, from wherever it stands, to its end."""
        position = await self._take_up()
        if not self._backward and await self._go_forward(position):
            end = await self._close_completed()
            if end is not None:
                return end
        return await self._compensate()

    async def cancel(self) -> bool:
        """Stop the work and have it undone. False when the run has ended; during compensation it
        changes nothing. Raises JournalUnavailable: then its work goes on."""
        try:
            async with asyncio.timeout(_CANCEL_WAIT_S):
                await self._lock.acquire()
        except TimeoutError:
            raise JournalUnavailable("an event of this run is waiting to be stored") from None
        try:
            if not self._history.cancelled:
                await self.recording.write_now(EventType.RUN_CANCELLING)
        except IllegalTransition as refused:
            return refused.status is RunStatus.COMPENSATING
        finally:
            self._lock.release()
        self.stop_work()
        return True

    async def cancelled_elsewhere(self) -> None:
        """Another process journaled a cancel: obey it."""
        async with self._lock:
            if not self._history.cancelled:
                await self.recording.load()
        if self._history.cancelled:
            self.stop_work()

    def stop_work(self) -> None:
        """Cancel the step under way."""
        if self._work is not None:
            self._work.cancel()

    # --- taking it up ------------------------------------------------------------------------

    @property
    def _backward(self) -> bool:
        return self._history.standing.stopping or self._error is not None

    async def _take_up(self) -> Step[S] | None:
        """Journal the start or the resumption; the step to go on with."""
        await self.recording.load()
        history = self._history
        self._error = history.error or self._error
        if history.status is RunStatus.QUEUED:
            if not self._backward:
                await self._write_unless_stopping(EventType.RUN_STARTED)
        elif history.status is RunStatus.PARKED:
            await self.recording.write(EventType.RUN_COMPENSATING)
        else:
            await self.recording.write(EventType.RUN_RESUMED)
            if history.idle_resumptions > RESUMPTIONS_MAX and not self._backward:
                words = f"the process stopped {history.idle_resumptions} times during this step"
                self._error = StepFailed(words)
        self._restore_limits()
        try:
            return await self._restore_state()
        except KeyError as unknown:  # the saga is another one than before the restart
            self._error = self._error or StepFailed(f"there is no step {unknown} any more")
            return None

    def _restore_limits(self) -> None:
        limits, started_at, now = self._saga.limits, self._history.started_at, self._clock.now()
        gone_s = 0.0 if started_at is None else max(0.0, (now - started_at).total_seconds())
        self._ends_at = self._clock.monotonic() + limits.timeout_s - gone_s
        spent = self._history.spent
        self._budget = Budget(
            Amounts(tokens=limits.tokens, usd=limits.usd),
            Amounts(tokens=spent.tokens, usd=spent.usd),
        )

    async def _restore_state(self) -> Step[S] | None:
        """Read what completed steps made; the first that has to be done, again or at all."""
        history = self._history
        parts = await self.recording.parts() if history.completed else {}
        last = None
        for name in dict.fromkeys(history.completed):
            last = self._saga.step(name)
            restored = await self._restored(last, parts.get(name))
            if restored is None:
                return last
            self.state = restored
        if last is None:
            return self._saga.steps[0] if self._saga.steps else None
        last = self._saga.step(history.completed[-1])
        return self._saga.step(history.then) if history.then else self._saga.after(last)

    async def _restored(self, step: Step[S], part: str | None) -> S | None:
        kept = step.kept
        if kept is None or part is None:
            return None
        try:
            return await patiently(lambda: kept.restore(self.state, part), self._clock)
        except JournalUnavailable:
            raise
        except Exception:
            # What can't be read any more must not keep the run from ending.
            log.exception("what %s of run %s made can't be read", step.name, self.run_id)
            return None

    # --- forward -----------------------------------------------------------------------------

    async def _go_forward(self, position: Step[S] | None) -> bool:
        """Do the steps; False when one failed, a limit was reached, or the run was cancelled."""
        step = position
        while step is not None:
            await self._through_gate(step)
            if not await self._begin(step):
                return False
            try:
                outcome = await self._attempt(step)
                following = None if outcome is None else await self._complete(step, outcome)
            except StepFailed as failure:
                self._error = failure
                failed = {**_who(step), "error": failure.type}
                await self.recording.write(EventType.STEP_FAILED, failed)
                return False
            if outcome is None:
                return False
            step = following
        return not self._backward

    async def _through_gate(self, step: Step[S]) -> None:
        """Wait while the step's agent is paused; no longer than the run's time, and its cancel."""
        if self._gate.is_open(step.agent) or self._backward:
            return
        waiting = self._work = asyncio.ensure_future(self._gate.passed(step.agent))
        try:
            await within(waiting, max(self._left_s(), 0.0), self._clock)
        finally:
            self._work = None

    async def _begin(self, step: Step[S]) -> bool:
        """Journal the step's start, if the run's limits and nobody's cancel forbid it."""
        async with self._lock:
            if self._backward:
                return False
            if (limit := self._limit_reached()) is not None:
                self._error = limit
                return False
            return await self._write_unless_stopping(EventType.STEP_STARTED, _who(step))

    async def _write_unless_stopping(
        self, event: EventType, data: Mapping[str, JsonValue] | None = None
    ) -> bool:
        try:
            await self.recording.write(event, data)
        except IllegalTransition:
            await self.recording.load()
            if not self._history.standing.stopping:
                raise
            return False  # cancelled by another process
        return True

    def _limit_reached(self) -> KillSwitch | None:
        limits = self._saga.limits
        if len(self._history.steps) >= limits.steps:
            return KillSwitch(f"it took more than {limits.steps} steps", type=MAX_STEPS)
        if self._left_s() <= 0:
            return KillSwitch(f"it took longer than {limits.timeout_s:g} s", type=TOO_LONG)
        return None

    def _left_s(self) -> float:
        return self._ends_at - self._clock.monotonic()

    async def _attempt(self, step: Step[S]) -> StepOutcome[S] | None:
        """Do the step; again when the store was out while it worked. None when a cancel stopped
        it."""
        while True:
            try:
                return await self._do(step)
            except JournalUnavailable as out:
                log.warning(
                    "step %s of run %s waits for the store: %s", step.name, self.run_id, out
                )
                again = {**_who(step), "error": "store-unavailable"}
                await self.recording.write(EventType.STEP_RETRIED, again)
                await self._clock.sleep(_PAUSE_S)
                if self._history.cancelled:
                    return None
                if (limit := self._limit_reached()) is not None and limit.type == TOO_LONG:
                    raise limit from out

    async def _do(self, step: Step[S]) -> StepOutcome[S] | None:
        async def work_on() -> StepOutcome[S]:
            with deadline(min(step.deadline_s, max(self._left_s(), 0.0)), self._clock.monotonic):
                return await step.do(self.state, context)

        spends = Spending(self.recording, self._budget, step.name)
        context = self._context(step, spends)
        work: asyncio.Task[StepOutcome[S]] = asyncio.ensure_future(work_on())
        self._work = work
        try:
            in_time = await within(work, min(step.deadline_s, self._left_s()), self._clock)
        finally:
            self._work = None
        if not in_time:
            if self._left_s() <= 0:
                raise KillSwitch(
                    f"it took longer than {self._saga.limits.timeout_s:g} s", type=TOO_LONG
                )
            raise StepFailed(
                f"{step.name} took longer than {step.deadline_s:g} s", type="step-timeout"
            )
        if work.cancelled():
            if self._history.cancelled:
                return None
            raise StepFailed(f"{step.name} was interrupted")
        if spends.tripped is not None:
            work.exception()  # seen: whatever an agent made of it, this is the reason
            raise spends.tripped
        try:
            return work.result()
        except (StepFailed, JournalUnavailable):
            raise
        except Exception as unexpected:
            # The step boundary: whatever an agent raises is a failed step, never a lost run.
            log.exception("step %s of run %s broke", step.name, self.run_id)
            kind = type(unexpected).__name__
            raise StepFailed(f"an internal error ({kind})") from unexpected

    async def _complete(self, step: Step[S], outcome: StepOutcome[S]) -> Step[S] | None:
        """Journal what the step made; the step to go on with. Raises StepFailed when it can't be
        kept, or the step to go on with is not there."""
        part, following = await self._kept(step, outcome.state), self._following(step, outcome.then)
        self.state = outcome.state
        data: dict[str, JsonValue] = {**_who(step), **outcome.report}
        if outcome.then is not None and following is not None:
            data["then"] = outcome.then
            if following.agent != step.agent:
                left = self._history.handoffs < self._saga.limits.handoffs
                data["handoff" if left else "exhausted"] = True
        await self.recording.write(EventType.STEP_COMPLETED, data, part)
        if data.get("exhausted"):
            words = f"the agents handed on more than {self._saga.limits.handoffs} times"
            self._error = KillSwitch(words, type=TOO_MANY_HANDOFFS)
        return following

    def _following(self, step: Step[S], then: str | None) -> Step[S] | None:
        try:
            return self._saga.step(then) if then else self._saga.after(step)
        except KeyError:
            raise StepFailed(f"{step.name} handed on to {then}, which is not there") from None

    async def _kept(self, step: Step[S], state: S) -> Part | None:
        kept = step.kept
        if kept is None:
            return None
        try:
            body = await patiently(lambda: kept.store(state), self._clock)
        except JournalUnavailable:
            raise
        except Exception as unexpected:
            # A part of the step, so as at the step boundary.
            log.exception("what %s of run %s made can't be kept", step.name, self.run_id)
            kind = type(unexpected).__name__
            raise StepFailed(f"an internal error ({kind})") from unexpected
        return Part(step=step.name, body=body)

    def _context(self, step: Step[S], spends: Spends) -> StepContext:
        async def report(data: Mapping[str, JsonValue]) -> None:
            await self.recording.write(EventType.STEP_PROGRESS, {"step": step.name, **data})

        async def degrade(what: str) -> None:
            data: dict[str, JsonValue] = {"step": step.name, "what": what}
            await self.recording.write(EventType.STEP_DEGRADED, data)

        return StepContext(
            run_id=self.run_id,
            report=report,
            degrade=degrade,
            spends=spends,
        )

    # --- its end -----------------------------------------------------------------------------

    async def _close_completed(self) -> RunEnd[S] | None:
        """Close as completed, unless a cancel came first."""
        async with self._lock:
            if self._backward:
                return None
            try:
                return await self._close(EventType.RUN_COMPLETED)
            except IllegalTransition:
                await self.recording.load()
                if not self._history.standing.stopping:
                    raise
                return None

    async def _compensate(self) -> RunEnd[S]:
        """Undo the started steps, last first, then close as the run was heading to."""
        undoing = Undoing(self._saga, self.recording, self._clock)
        due = undoing.due()
        if due and self._history.status is RunStatus.RUNNING:
            reason = None if self._error is None else {"error": self._error.type}
            await self.recording.write(EventType.RUN_COMPENSATING, reason)
        undoing.begin()
        for step in due:
            if not await undoing.undo(step):
                self._error = StepFailed(
                    f"{step.name} could not be undone", type=COMPENSATION_FAILED
                )
                return await self._close(EventType.RUN_PARKED)
        async with self._lock:
            await self.recording.load()  # what stopped work was just writing, or a cancel elsewhere
            history = self._history
            history.error = self._error
            return await self._close(history.heading)

    async def _close(self, closing: EventType) -> RunEnd[S]:
        history, error = self._history, self._error
        cancelled = closing is EventType.RUN_CANCELLED
        error_type = CANCELLED if cancelled else error.type if error else None
        end = RunEnd(
            run_id=self.run_id,
            status=CLOSING[closing],
            state=self.state,
            error_type=error_type,
            error_message=error.message if error and not cancelled else None,
            failed_step=history.failed_step,
            stopped=_stopped(history),
            undone=history.undone_words,
            steps_done=history.steps_done,
            spent=history.spent,
        )
        if self._finish is not None:
            await self._finished(self._finish, end)
        await self.recording.write(closing, {"error": error_type} if error_type else None)
        return end

    async def _finished(self, finish: Finish[S], end: RunEnd[S]) -> None:
        try:
            await patiently(lambda: finish(end), self._clock)
        except JournalUnavailable:
            raise
        except Exception:
            # What is told of a run must not keep it from ending.
            log.exception("the report of run %s could not be made", self.run_id)


def _who(step: Step[Any]) -> dict[str, JsonValue]:
    return {"step": step.name, "agent": step.agent}


def _stopped(history: History) -> tuple[str, ...]:
    """The step whose work was stopped, if one was."""
    if history.stopped is not None:
        return (history.stopped,)
    last = history.steps[-1:]
    return tuple(step.name for step in last if step.status == "running" or step.error == TOO_LONG)
