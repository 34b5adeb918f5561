"""One process: it executes runs, takes up abandoned ones and answers them, until it is killed.

It does what `agents/scout.py` and `bot/telegram/progress.py` do, over the real ledger and run
store.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextvars import copy_context
from dataclasses import dataclass
from typing import Any, TypeVar

from agents.store.admission import IdempotencyKey, KeyTaken, Quotas
from agents.store.errors import StoreUnavailable
from agents.store.ledger import Ledger
from agents.store.owner import Owner
from agents.store.runs import NewRun, RunStore
from resilience.saga import (
    OPEN,
    EventType,
    IllegalTransition,
    Orchestrator,
    RunEnd,
    RunStatus,
)
from tests.chaos.faults import Faults, Span
from tests.chaos.inline_database import InlineDatabase, StoreFile
from tests.chaos.outside import Outside
from tests.chaos.scheduler import PROCESS
from tests.chaos.script import RunScript, Script
from tests.chaos.steps import State, message_of, saga_of
from tests.fakes.virtual_time import LoopClock

T = TypeVar("T")

CHANNELS = ("telegram",)
TAKES_UP_EVERY_S = 5.0
_AGAIN_S = 1.0


@dataclass(frozen=True, slots=True)
class SimulatedOwner(Owner):
    """Knows who is gone, on the same machine, without asking the system."""

    gone: Callable[[str], bool] = lambda _name: False

    def is_gone(self, other: str) -> bool:
        """Whether that process is on this machine, and dead."""
        return self.gone(other)


class Process:
    """A process of the world."""

    def __init__(
        self,
        name: str,
        script: Script,
        file: StoreFile,
        faults: Faults,
        outside: Outside,
        *,
        gone: Callable[[str], bool],
        killed: Callable[["Process"], None],
        cut_off: tuple[Span, ...] = (),
    ) -> None:
        self.name = name
        self.dead = False
        self.ready = False
        self.cut_off = cut_off
        self.tasks: list[asyncio.Task[Any]] = []
        self._script = script
        self._faults = faults
        self._outside = outside
        self._killed = killed
        self._following: set[str] = set()
        self._stopping = asyncio.Event()
        clock = LoopClock()
        database = InlineDatabase(file, faults, self)
        self._ledger = Ledger(database, clock.now, SimulatedOwner(name, gone))
        self._runs = RunStore(database, clock.now)
        self.orchestrator = Orchestrator(self._ledger, clock, runs_max=script.runs_max)
        self._main = self.spawn(self._live())

    def spawn(self, work: Coroutine[Any, Any, T]) -> "asyncio.Task[T]":
        """A task of this process."""
        context = copy_context()
        context.run(PROCESS.set, self)
        return asyncio.get_running_loop().create_task(work, context=context)

    def kill(self) -> None:
        """End it, this instant: from now on it writes nothing and touches nothing."""
        self.dead, current = True, asyncio.current_task()
        for task in self.tasks:
            if task is not current:
                task.cancel()
        self._killed(self)

    async def stop(self) -> None:
        """Leave in an orderly way, as for a new version."""
        self._stopping.set()
        await asyncio.wait({self._main})

    async def _live(self) -> None:
        async with self.orchestrator:
            self.ready = True
            self._spawn_answers(await self._patiently(lambda: self._runs.unanswered(CHANNELS)))
            while not self._stopping.is_set():
                try:
                    for run_id in await self._ledger.abandoned(CHANNELS):
                        if self.orchestrator.task_of(run_id) is None:
                            self.follow(run_id)
                except StoreUnavailable:
                    pass
                stopping = asyncio.ensure_future(self._stopping.wait())
                await asyncio.wait({stopping}, timeout=TAKES_UP_EVERY_S)
                stopping.cancel()
            self.ready = False
        for task in self.tasks:  # those who answer
            if task is not asyncio.current_task():
                task.cancel()

    def _spawn_answers(self, run_ids: list[str]) -> None:
        for run_id in run_ids:
            self.spawn(self._answer(run_id))

    async def _patiently(self, work: Callable[[], Awaitable[T]]) -> T:
        while True:
            try:
                return await work()
            except StoreUnavailable:
                await asyncio.sleep(_AGAIN_S)

    @property
    def idle(self) -> bool:
        """Whether it follows no run."""
        return not self._following

    # --- what is asked of it --------------------------------------------------------------------

    async def create(self, number: int, attempt: int) -> str:
        """Journal the run with that number and begin it, or the one that its key has already."""
        script = self._script.runs[number]
        people = script.creation == "chat"
        new = NewRun(
            run_id=f"run-{number}" if people else f"run-{number}-{attempt}",
            kind="scout",
            user_id=f"user-{number}",
            config="scout@1",
            request="{}",
            chat_id=1,
            team=None if people else "team",
            key=None if people else IdempotencyKey(team="team", key=f"key-{number}", body="body"),
            one_at_a_time=people,
        )
        try:
            await self._runs.create(new, Quotas())
            run_id = new.run_id
        except KeyTaken as taken:
            run_id = taken.run_id
        await self._runs.keep_message(run_id, message_of(run_id))
        self.follow(run_id)
        return run_id

    async def cancel(self, run_id: str) -> bool:
        """As Scout.cancel."""
        if await self.orchestrator.cancel(run_id):
            return True
        try:
            await self._ledger.append(run_id, EventType.RUN_CANCELLING)
        except IllegalTransition as refused:
            return refused.status is RunStatus.COMPENSATING
        self.follow(run_id)
        return True

    async def tell_operators(self) -> tuple[list[str], list[str]]:
        """Tell the operators of each parked run; whom that was due for before, and after."""
        before = await self._patiently(self._runs.parked_untold)
        for run in before:
            await self._runs.told_parked(run.id, run.last_seq)
        after = await self._patiently(self._runs.parked_untold)
        return [run.id for run in before], [run.id for run in after]

    def follow(self, run_id: str) -> None:
        """Take the run up, and answer it when it ended, in the background."""
        if run_id not in self._following:
            self._following.add(run_id)
            self.spawn(self._follow(run_id))

    async def _follow(self, run_id: str) -> None:
        try:
            run = await self._patiently(lambda: self._runs.get(run_id))
            assert run is not None
            if run.status in OPEN or run.status is RunStatus.PARKED:
                await asyncio.shield(self._launch(run_id))
            await self._answer(run_id)
        finally:
            self._following.discard(run_id)

    def _launch(self, run_id: str) -> "asyncio.Future[RunEnd[State]]":
        saga = saga_of(self._run_script(run_id), self, self._faults, self._outside)
        return self.orchestrator.launch(saga, run_id, (), self._keep_report)

    def _run_script(self, run_id: str) -> RunScript:
        return self._script.runs[int(run_id.split("-")[1])]

    async def _keep_report(self, end: RunEnd[State]) -> None:
        await self._runs.keep_text(end.run_id, "report", f"{end.status} {' '.join(end.state)}")

    async def _answer(self, run_id: str) -> None:
        """The terminal reply, in the journaled message."""
        while True:
            message = await self._patiently(lambda: self._runs.message(run_id))
            assert message is not None
            if message.message_id is not None:
                break
            await asyncio.sleep(_AGAIN_S)  # who asked tells it again
        run = await self._patiently(lambda: self._runs.get(run_id))
        assert run is not None
        if run.status not in OPEN:
            await self._outside.answer(self, run_id, message.message_id, f"ended: {run.status}")
            await self._patiently(lambda: self._runs.mark_answered(run_id))
