"""Runs sagas in this process: who gets a turn, who owns a run, who hears of it.

What happens to one run is in `execution.py`. Here they are queued, so that not all work at once;
leased, so that two processes never execute one run; and left when the process stops: without
journaling an end, so that the next start takes them up.
"""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import Any, Self, TypeVar

from resilience.clock import Clock
from resilience.labels import labelled
from resilience.saga.execution import Execution, Finish, RunEnd
from resilience.saga.gate import Gate
from resilience.saga.history import History
from resilience.saga.journal import Event, Journal, JournalUnavailable, LeaseLost
from resilience.saga.recording import Recording, patiently
from resilience.saga.saga import Saga, StepFailed
from resilience.saga.transitions import OPEN

S = TypeVar("S")
Listener = Callable[[Event], None]

RUNS_MAX = 50
LEASE_S = 30.0
"""For how long a process owns a run that it took or prolonged."""
RENEW_EVERY_S = LEASE_S / 3
_LOOK_EVERY_S = 2.0

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Turn:
    """A waiting run's place: how many waited before it, ever, and what begins when it is its turn.
    Nothing else is there of a run until then: a thousand may wait."""

    number: int
    begin: Callable[[], None]
    agent: str | None = None
    """Whose pause it waits out, where it has not begun yet."""


class Orchestrator:
    """Executes sagas over a Journal, `runs_max` at once. Use as an async context manager; it owns
    its tasks."""

    def __init__(
        self,
        journal: Journal,
        clock: Clock,
        *,
        runs_max: int = RUNS_MAX,
        gate: Gate | None = None,
    ) -> None:
        self._journal = journal
        self._clock = clock
        self._gate = gate or Gate(clock.now)
        self._gate.on_resume(self._next_turns)
        self._room = runs_max
        self._waiting: OrderedDict[str, _Turn] = OrderedDict()
        self._turns = 0
        self._new: dict[str, Callable[[], Execution[Any]]] = {}  # of all that were launched
        self._labels: dict[str, Mapping[str, str]] = {}
        self._ends: dict[str, asyncio.Future[RunEnd[Any]]] = {}
        self._runs: dict[str, Execution[Any]] = {}
        self._tasks: dict[str, asyncio.Task[RunEnd[Any]]] = {}
        self._owned: set[str] = set()
        self._listeners: list[Listener] = []
        self._renewing: asyncio.Task[None] | None = None
        self._draining = False
        self._closed = False

    async def __aenter__(self) -> Self:
        self._renewing = asyncio.create_task(self._keep_leases(), name="leases")
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._renewing is not None  # noqa: S101 - entered before
        self._closed = True
        launched = set(self._ends)
        self._waiting.clear()
        tasks: list[asyncio.Task[Any]] = [*self._tasks.values(), self._renewing]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for end in self._ends.values():
            end.cancel()  # of those that were waiting
        self._ends.clear()
        self._new.clear()
        self._labels.clear()
        try:
            await self._journal.release(launched)
        except JournalUnavailable as out:
            log.warning("the leases of %d runs end by themselves: %s", len(launched), out)

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Call `listener` with every event after it was stored. It must not block. Returns how to
        have it called no more."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def launch(
        self,
        saga: Saga[S],
        run_id: str,
        state: S,
        finish: Finish[S] | None = None,
        *,
        give_up: StepFailed | None = None,
        new: bool = False,
        labels: Mapping[str, str] | None = None,
    ) -> asyncio.Future[RunEnd[S]]:
        """Execute a journaled run in the background, when it gets its turn; its end to come.
        `finish` runs before the end is journaled.

        A run with history is taken up: forward after its last completed step, backward where its
        undo stood. With `give_up` it is only undone, for that reason. A parked run's undo is tried
        again. One that is `new` gets no turn while its first agent is paused. What is logged of it
        has the `labels`. Once the orchestrator is left nothing is launched: the end is a cancelled
        one.
        """
        if (under_way := self._ends.get(run_id)) is not None:
            return under_way
        if self._closed:
            never: asyncio.Future[RunEnd[S]] = asyncio.get_running_loop().create_future()
            never.cancel()
            return never

        def make() -> Execution[S]:
            recording = Recording(self._journal, self._clock, run_id, self._notify)
            return Execution(
                saga,
                state,
                recording,
                self._clock,
                finish=finish,
                give_up=give_up,
                gate=self._gate,
            )

        self._new[run_id] = make
        self._labels[run_id] = {"run": run_id, **(labels or {})}
        end: asyncio.Future[RunEnd[S]] = asyncio.get_running_loop().create_future()
        self._ends[run_id] = end
        agent = saga.steps[0].agent if new and saga.steps and give_up is None else None
        self._line_up(run_id, partial(self._begin, run_id), agent)
        return end

    def task_of(self, run_id: str) -> asyncio.Future[RunEnd[Any]] | None:
        """The end to come of a run that was launched here, or None."""
        return self._ends.get(run_id)

    def position(self, run_id: str) -> int:
        """How many runs get their turn before it does, itself counted, and those that left the
        queue between; 0 when it is executing."""
        turn = self._waiting.get(run_id)
        if turn is None:
            return 0
        if paused := self._gate.paused:  # those do not go before it
            turns = self._waiting.values()
            return 1 + sum(t.number < turn.number and t.agent not in paused for t in turns)
        first = next(iter(self._waiting.values()))
        return turn.number - first.number + 1

    def held_by(self, run_id: str) -> str | None:
        """The paused agent for which the run gets no turn, or None."""
        turn = self._waiting.get(run_id)
        return None if turn is None or turn.agent not in self._gate.paused else turn.agent

    @property
    def executing(self) -> int:
        """How many runs have their turn."""
        return len(self._tasks)

    async def drain(self) -> None:
        """Give no more turns, and return when no run has one. Those that wait stay journaled."""
        self._draining = True
        while self._tasks:
            await asyncio.wait(list(self._tasks.values()))

    async def cancel(self, run_id: str) -> bool:
        """Stop the run's work and undo it, past any queue. False when it is not executing here any
        more; raises JournalUnavailable when that can't be journaled now."""
        if run_id not in self._ends:
            return False
        if not await self._execution(run_id).cancel():
            return False
        if (turn := self._waiting.pop(run_id, None)) is not None:
            self._room -= 1  # one more than there is room for: there is little to do
            turn.begin()
        return True

    # --- the queue ---------------------------------------------------------------------------

    def _line_up(self, run_id: str, begin: Callable[[], None], agent: str | None = None) -> None:
        """Begin when there is room, first come, first served."""
        self._turns += 1
        self._waiting[run_id] = _Turn(self._turns, begin, agent)
        self._next_turns()

    def _next_turns(self) -> None:
        while self._room > 0 and not self._draining and (run_id := self._next()) is not None:
            turn = self._waiting.pop(run_id)
            self._room -= 1
            turn.begin()

    def _next(self) -> str | None:
        """Who waited longest, but for those whose agent is paused."""
        paused = self._gate.paused
        for run_id, turn in self._waiting.items():
            if turn.agent not in paused:
                return run_id
        return None

    def _begin(self, run_id: str) -> None:
        with labelled(**self._labels[run_id]):  # not those of who ended and gave it its turn
            task = asyncio.create_task(self._execute(run_id), name=f"run:{run_id}")
        self._tasks[run_id] = task
        task.add_done_callback(partial(self._ended, run_id))

    async def _another_turn(self, run_id: str) -> None:
        come: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._line_up(run_id, partial(come.set_result, None))
        await come

    def _give_up_room(self) -> None:
        self._room += 1
        self._next_turns()

    # --- one run -----------------------------------------------------------------------------

    def _execution(self, run_id: str) -> Execution[Any]:
        if (run := self._runs.get(run_id)) is None:
            run = self._runs[run_id] = self._new[run_id]()
        return run

    async def _execute(self, run_id: str) -> RunEnd[Any]:
        """Execute the run here; while another process has it, follow it, in case that one stops."""
        while True:
            run = self._execution(run_id)
            try:
                end = await self._executed(run)
            finally:
                self._give_up_room()
            if end is None:
                end = await self._followed(run)
            if end is not None:
                return end
            del self._runs[run_id]
            await self._another_turn(run_id)

    async def _executed(self, run: Execution[S]) -> RunEnd[S] | None:
        """The run's end; None when another process has it, or took it."""
        fence = await patiently(lambda: self._journal.claim(run.run_id), self._clock)
        if fence is None:
            return None
        run.recording.fence = fence
        self._owned.add(run.run_id)
        try:
            return await run.run()
        except LeaseLost:
            log.warning("run %s went over to another process", run.run_id)
            return None
        finally:
            self._owned.discard(run.run_id)

    async def _followed(self, run: Execution[S]) -> RunEnd[S] | None:
        """How the run ended that another process executes; None when it did not in the time of a
        lease. Raises LookupError for a run that is not there."""
        until = self._clock.monotonic() + LEASE_S
        while True:
            events = await patiently(lambda: self._journal.events(run.run_id), self._clock)
            if not events:
                raise LookupError(f"there is no run {run.run_id}")
            history = History.of(events)
            if history.status is not None and history.status not in OPEN:
                error = events[-1].data.get("error")
                return RunEnd(
                    run_id=run.run_id,
                    status=history.status,
                    state=run.state,
                    error_type=None if error is None else str(error),
                    undone=history.undone_words,
                    failed_step=history.failed_step,
                    steps_done=history.steps_done,
                    spent=history.spent,
                )
            if self._clock.monotonic() >= until:
                return None
            await self._clock.sleep(_LOOK_EVERY_S)

    # --- leases ------------------------------------------------------------------------------

    async def _keep_leases(self) -> None:
        async with asyncio.TaskGroup() as looking:  # one run's look must not hold up the leases
            while True:
                await self._clock.sleep(RENEW_EVERY_S)
                owned = set(self._owned)
                if not owned:
                    continue
                try:
                    held = await self._journal.renew(owned)
                except JournalUnavailable:
                    continue  # mostly nobody can take them now, either
                except Exception:
                    # The task's boundary: without renewals every run here would be lost.
                    log.exception("the leases could not be prolonged")
                    continue
                for run_id in sorted(owned & self._owned):
                    if run_id not in held:
                        self._lose(run_id)
                    elif held[run_id]:
                        looking.create_task(self._obey(self._runs[run_id]))

    async def _obey(self, run: Execution[Any]) -> None:
        """Another process may have cancelled the run."""
        try:
            await run.cancelled_elsewhere()
        except JournalUnavailable as out:
            log.warning("whether run %s was cancelled elsewhere is not known: %s", run.run_id, out)
        except Exception:
            # As above: the other runs' leases go on.
            log.exception("whether run %s was cancelled elsewhere can't be read", run.run_id)

    def _lose(self, run_id: str) -> None:
        """Another process has the run: stop working for it. The next append says the same."""
        log.warning("run %s belongs to another process now", run_id)
        self._runs[run_id].stop_work()

    # --- small parts -------------------------------------------------------------------------

    def _notify(self, stored: Event) -> None:
        for listener in tuple(self._listeners):
            try:
                listener(stored)
            except Exception:
                # A listener is a guest: its fault must not stop the run.
                log.exception("a listener broke on %s", stored.type)

    def _ended(self, run_id: str, task: asyncio.Task[RunEnd[Any]]) -> None:
        self._runs.pop(run_id, None)
        self._tasks.pop(run_id, None)
        self._new.pop(run_id, None)
        self._labels.pop(run_id, None)
        end = self._ends.pop(run_id)
        if task.cancelled() or end.done():
            end.cancel()  # a shutdown, or whoever waited cancelled it
        elif (failure := task.exception()) is not None:
            log.error("run %s stopped unfinished", run_id, exc_info=failure)
            end.set_exception(failure)
            end.exception()  # seen: whoever waits gets it, and nobody need
        else:
            end.set_result(task.result())
