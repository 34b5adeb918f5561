"""One world, from its beginning until nothing is left to do; what is there then, for promises.py.

Processes execute runs over the store's real file, die at numbered points and are replaced, by one
or by two at once. Whoever asked asks again until somebody acknowledged it, as Telegram does.
"""

import asyncio
import logging
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from contextvars import Context, copy_context
from dataclasses import dataclass, field
from datetime import datetime
from random import Random
from typing import Any

from agents.store.ledger import Ledger
from agents.store.owner import Owner
from resilience.saga import Event, Orchestrator
from tests.chaos.faults import Faults, Span
from tests.chaos.inline_database import InlineDatabase, StoreFile
from tests.chaos.outside import Outside
from tests.chaos.process import Process
from tests.chaos.scheduler import SeededLoop, run_seeded
from tests.chaos.script import STALL_S, Script
from tests.fakes.clock import NOON

_LOOKS_EVERY_S = 2.0
_AGAIN_S = 0.5
_LEFT_ALONE_S = 20.0
"""For how long what is dead or stopped may take to leave the loop: grace, twice and some."""
ENDS_WITHIN_S = 2_000.0
"""Far more than any world may take."""


@dataclass(frozen=True, slots=True)
class Row:
    """A run's row, as SQLite has it."""

    id: str
    status: str
    stopping: int
    last_seq: int
    owner: str | None
    created_at: str


class Spectator:
    """Reads the store when all is over."""

    name, dead = "", False
    cut_off: tuple[Span, ...] = ()

    def kill(self) -> None:
        """Nothing ends it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Crash:
    """A process that ended, and what was being undone then."""

    at_s: float
    compensating: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """An acknowledged cancel: the run's status before, and what was said."""

    run_id: str
    at_s: float
    status: str | None
    yes: bool


@dataclass(slots=True)
class World:
    """What is going on."""

    script: Script
    file: StoreFile
    faults: Faults
    outside: Outside
    processes: list[Process] = field(default_factory=list)
    crashes: list[Crash] = field(default_factory=list)
    asked: list[Asked] = field(default_factory=list)
    run_ids: dict[int, set[str]] = field(default_factory=dict)
    due: int = 0
    """Processes that are about to start."""
    asking: int = 0
    racers: list[asyncio.Task[None]] = field(default_factory=list)
    alerts: list[str] = field(default_factory=list)
    parked: list[str] = field(default_factory=list)
    alerts_after: list[str] = field(default_factory=list)
    stuck: str = ""
    outer: Context = field(default_factory=copy_context)
    left: list[str] = field(default_factory=list)
    """What is there at rest that should not be."""
    rows: dict[str, Row] = field(default_factory=dict)
    events: dict[str, list[Event]] = field(default_factory=dict)
    parts: int = 0
    stored: list[tuple[Any, ...]] = field(default_factory=list)

    # --- processes ------------------------------------------------------------------------------

    def start_process(self) -> None:
        """One more process."""
        number = len(self.processes)
        span = self.script.cut_off.get(number)
        process = Process(
            f"p{number}",
            self.script,
            self.file,
            self.faults,
            self.outside,
            gone=self._is_gone,
            killed=self._replace,
            cut_off=() if span is None else (span,),
        )
        self.processes.append(process)

    def _start_due(self) -> None:
        self.due -= 1
        self.start_process()

    def _is_gone(self, name: str) -> bool:
        return self.script.same_machine and any(
            process.name == name and process.dead for process in self.processes
        )

    def _replace(self, dead: Process) -> None:
        self._note_end()
        missing = max(self.script.recoverers - len(self.living()) - self.due, 1)
        for _ in range(missing):
            self.due += 1
            asyncio.get_running_loop().call_later(
                self.script.restart_s, self._start_due, context=self.outer
            )

    def _note_end(self) -> None:
        query = "SELECT id FROM runs WHERE status = 'compensating'"
        compensating = frozenset(run_id for (run_id,) in self.file.rows(query))
        self.crashes.append(Crash(at_s=_now_s(), compensating=compensating))

    def living(self) -> list[Process]:
        """Those that can be asked."""
        return [process for process in self.processes if process.ready and not process.dead]

    # --- who asks -------------------------------------------------------------------------------

    async def ask(self, at_s: float, number: int, attempt: int) -> None:
        """Ask for a run until that is acknowledged."""
        await asyncio.sleep(at_s)
        while True:
            process = self._somebody()
            if process is not None:
                task = process.spawn(process.create(number, attempt))
                await asyncio.wait({task})
                if not task.cancelled() and task.exception() is None:
                    self.run_ids.setdefault(number, set()).add(task.result())
                    self.asking -= 1
                    return
            await asyncio.sleep(_AGAIN_S)

    async def cancel_at(self, at_s: float, number: int) -> None:
        """Cancel the run then."""
        await asyncio.sleep(at_s)
        await self.cancel(number)

    async def cancel_in_a_race(self, number: int, point: int) -> None:
        """Cancel the run right after that point, if there is one."""
        reached = self.faults.reached.setdefault(point, asyncio.Event())
        await reached.wait()
        self.asking += 1
        await self.cancel(number)

    async def cancel(self, number: int) -> None:
        """Cancel the run, through any process, until that is acknowledged."""
        while True:
            process = self._somebody()
            if process is not None and number in self.run_ids:
                run_id = min(self.run_ids[number])
                before = self._status(run_id)
                task = process.spawn(process.cancel(run_id))
                await asyncio.wait({task})
                if not task.cancelled() and task.exception() is None:
                    yes = task.result()
                    self.asked.append(Asked(run_id=run_id, at_s=_now_s(), status=before, yes=yes))
                    self.faults.note("", f"cancel of {run_id} ({before}): {yes}")
                    self.asking -= 1
                    return
            await asyncio.sleep(_AGAIN_S)

    def _somebody(self) -> Process | None:
        living = self.living()
        return self.faults.random.choice(living) if living else None

    def _status(self, run_id: str) -> str | None:
        rows = self.file.rows("SELECT status FROM runs WHERE id = ?", run_id)
        return None if not rows else str(rows[0][0])

    async def stop_one(self, at_s: float) -> None:
        """One process leaves in an orderly way, and another comes."""
        await asyncio.sleep(at_s)
        process = self._somebody()
        if process is not None:
            self.faults.note(process.name, "is stopped")
            self._note_end()
            self.due += 1
            await process.stop()
            self._start_due()

    # --- the whole ------------------------------------------------------------------------------

    async def play(self) -> None:
        """Until nothing is left to do."""
        script, helpers = self.script, []
        for _ in range(script.processes):
            self.start_process()
        for number, run in enumerate(script.runs):
            asks = [self.ask(run.at_s, number, attempt) for attempt in range(run.asked)]
            cancels = [self.cancel_at(run.at_s + at_s, number) for at_s in run.cancels_s]
            self.asking += len(asks) + len(cancels)
            helpers += [asyncio.ensure_future(work) for work in (*asks, *cancels)]
            for point in run.cancels_at:
                self.racers.append(asyncio.ensure_future(self.cancel_in_a_race(number, point)))
        helpers += [asyncio.ensure_future(self.stop_one(at_s)) for at_s in script.stops_s]
        if await self._at_rest(helpers):
            self.faults.healed = True
            await self._retry_parked()
        self.faults.healed = self.faults.calm = True
        await self._close(helpers)
        await self._read()

    async def _close(self, helpers: "list[asyncio.Task[None]]") -> None:
        living = [process for process in self.processes if not process.dead]
        for process in living:
            held = left_in(process.orchestrator, self.script.runs_max)
            self.left += [f"{process.name}: {what}" for what in held]
        for process in living:
            await process.stop()
        for helper in (*helpers, *self.racers):
            helper.cancel()
        await asyncio.sleep(_LEFT_ALONE_S)
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        self.left += sorted(f"task {task.get_name()}" for task in tasks)
        loop = asyncio.get_running_loop()
        assert isinstance(loop, SeededLoop)
        self.left += [f"unhandled: {said.get('exception')!r}" for said in loop.unhandled]

    async def _read(self) -> None:
        ledger = Ledger(InlineDatabase(self.file, self.faults, Spectator()), noon, Owner("nobody"))
        query = "SELECT id, status, stopping, last_seq, owner, created_at FROM runs ORDER BY id"
        for values in self.file.rows(query):
            row = Row(*values)
            self.rows[row.id] = row
            self.events[row.id] = await ledger.events(row.id)
        self.stored = self.file.rows("SELECT run_id, seq, type, at, data FROM run_events")
        query = "SELECT count(*) FROM run_parts p JOIN runs r ON r.id = p.run_id"
        ((self.parts,),) = self.file.rows(query + " WHERE r.status != 'parked'")

    async def _at_rest(self, helpers: "list[asyncio.Task[None]]") -> bool:
        while _now_s() < ENDS_WITHIN_S:
            await asyncio.sleep(_LOOKS_EVERY_S)
            if self._rests() and all(helper.done() for helper in helpers):
                await asyncio.sleep(_LOOKS_EVERY_S)
                if self._rests():
                    return True
        self.stuck = f"after {ENDS_WITHIN_S:g} s something is still to be done"
        return False

    def _rests(self) -> bool:
        open_, unanswered = self.file.rows(
            "SELECT count(*) FILTER (WHERE r.status IN ('queued', 'running', 'compensating')),"
            " count(*) FILTER (WHERE m.answered_at IS NULL)"
            " FROM runs r LEFT JOIN run_messages m ON m.run_id = r.id"
        )[0]
        at_work = any(not process.idle for process in self.processes if not process.dead)
        return not (open_ or unanswered or self.asking or self.due or at_work)

    async def _retry_parked(self) -> None:
        """The operators are told of each parked run, repair what kept it, and try it again."""
        process = await self._operator()
        self.parked, self.faults.calm = self._parked(), True
        self.alerts, self.alerts_after = await process.spawn(process.tell_operators())
        self.faults.calm = False
        if not self.script.retry:
            return
        self.outside.repaired = True
        while self._parked() and _now_s() < ENDS_WITHIN_S:
            process = await self._operator()
            for run_id in self._parked():
                self.faults.note(process.name, f"retries {run_id}")
                process.follow(run_id)
            await asyncio.sleep(_LOOKS_EVERY_S)
        await self._at_rest([])

    async def _operator(self) -> Process:
        while True:
            if living := self.living():
                return living[0]
            await asyncio.sleep(_LOOKS_EVERY_S)

    def _parked(self) -> list[str]:
        query = "SELECT id FROM runs WHERE status = 'parked' ORDER BY id"
        return [run_id for (run_id,) in self.file.rows(query)]


def simulate(script: Script, at_end: Callable[[StoreFile], None] | None = None) -> World:
    """Play the script to its end; `at_end` gets the file before it goes."""
    with _quiet(), StoreFile() as file:
        began = NOON.replace(tzinfo=None).isoformat(" ")
        for number in range(len(script.runs)):
            file.driver.execute(
                "INSERT INTO users (id, channel, external_id, created_at) VALUES (?, ?, ?, ?)",
                (f"user-{number}", "telegram", str(number), began),
            )
        faults = Faults(
            random=Random(script.seed),
            crash_at=script.crash_at,
            outages=script.outages,
            lost_answers=script.lost_answers,
            stall_at=script.stall_at,
            stall_s=STALL_S,
        )
        world = World(script=script, file=file, faults=faults, outside=Outside(faults))
        run_seeded(script.seed, world.play())
        if at_end is not None:
            at_end(file)
        return world


def left_in(orchestrator: Orchestrator, room: int) -> list[str]:
    """What an orchestrator holds at rest that it should not."""
    held: dict[str, Collection[str]] = {
        "tasks": orchestrator._tasks,
        "ends": orchestrator._ends,
        "runs": orchestrator._runs,
        "waiting": orchestrator._waiting,
        "owned": orchestrator._owned,
    }
    words = [f"{name} {sorted(what)}" for name, what in held.items() if what]
    return words + ([] if orchestrator._room == room else [f"room {orchestrator._room} of {room}"])


def noon() -> datetime:
    """The time at which the spectator reads: any."""
    return NOON


def _now_s() -> float:
    return asyncio.get_running_loop().time()


@contextmanager
def _quiet() -> Iterator[None]:
    """Nobody reads the logs of thousands of broken worlds."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(before)
