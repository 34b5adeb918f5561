"""A stage for the saga's tests: runs over a journal and a clock that the test holds."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from resilience.saga import (
    EventType,
    Gate,
    Kept,
    Limits,
    Orchestrator,
    RunEnd,
    RunStatus,
    Saga,
    Step,
    StepContext,
    StepFailed,
    StepOutcome,
)
from tests.fakes.journal import MemoryJournal
from tests.fakes.saga_clock import HeldClock, settle

RUN = "run-1"
State = tuple[str, ...]
Behaviour = Callable[[], Awaitable[None]]
Do = Callable[[State, StepContext], Awaitable[StepOutcome[State]]]
Undo = Callable[[str], Awaitable[str | None]]


# --- how steps and undos can behave ---------------------------------------------------------------


async def works() -> None:
    """Take a moment."""
    await asyncio.sleep(0)


async def fails() -> None:
    """Give up, as an agent does."""
    raise StepFailed("nobody answered", type="no-answer")


async def breaks() -> None:
    """Raise what nobody foresaw."""
    raise ValueError("secret words")


async def hangs() -> None:
    """Never return."""
    await asyncio.Event().wait()


async def is_interrupted() -> None:
    """End as if cancelled, though nobody cancelled it."""
    raise asyncio.CancelledError


def in_turn(*behaviours: Behaviour) -> Behaviour:
    """Behave differently each time, the last way from then on."""
    left = list(behaviours)

    async def behave() -> None:
        await (left.pop(0) if len(left) > 1 else left[0])()

    return behave


# --- how what a step made is kept -----------------------------------------------------------------


async def as_json(state: State) -> str:
    """The whole state."""
    return json.dumps(state)


async def from_json(state: State, body: str) -> State | None:
    """The state again."""
    return tuple(json.loads(body))


KEPT: Kept[State] = Kept(store=as_json, restore=from_json)


def agent(
    name: str, do: Do, undo: Undo | None = None, *, kept: Kept[State] | None = None
) -> Step[State]:
    """A step whose agent is scripted by the test, with more time than any run has."""
    return Step(name=name, agent=f"{name}-agent", do=do, undo=undo, deadline_s=1_000.0, kept=kept)


def saga(*steps: Step[State], limits: Limits = Limits()) -> Saga[State]:  # noqa: B008 - frozen
    """A saga whose undo may take 5 s and three attempts."""
    return Saga(name="test", steps=steps, undo_deadline_s=5.0, undo_attempts=3, limits=limits)


class StageClock(HeldClock):
    """A held clock that also tells when its next sleeper wakes."""

    def next_due_s(self) -> float | None:
        """The monotonic time at which that is; None when nobody sleeps."""
        return min((due_s for due_s, future in self._sleepers if not future.done()), default=None)


@dataclass
class Stage:
    """A journal, a clock, the orchestrator of the present life, and all that happened."""

    clock: StageClock = field(default_factory=StageClock)
    happened: list[str] = field(default_factory=list)
    ends: list[RunEnd[State]] = field(default_factory=list)
    limits: Limits = field(default_factory=Limits)
    runs_max: int = 50
    gate: Gate = field(default_factory=lambda: Gate(HeldClock().now))

    def __post_init__(self) -> None:
        self.journal = MemoryJournal(self.clock.now)
        self.orchestrator = self._orchestrator()

    def _orchestrator(self) -> Orchestrator:
        return Orchestrator(self.journal, self.clock, runs_max=self.runs_max, gate=self.gate)

    def step(
        self,
        name: str,
        do: Behaviour = works,
        undo: Behaviour | None = works,
        *,
        nothing_to_undo: bool = False,
        kept: Kept[State] | None = None,
    ) -> Step[State]:
        """A step that notes that it was called, then behaves as told."""

        async def done(state: State, context: StepContext) -> StepOutcome[State]:
            self.happened.append(name)
            await do()
            return StepOutcome(state=(*state, name), report={"made": len(state) + 1})

        async def undone(run_id: str) -> str | None:
            assert undo is not None
            self.happened.append(f"undo {name}")
            await undo()
            return None if nothing_to_undo else f"{name} undone"

        return Step(
            name=name,
            agent=f"{name}-agent",
            do=done,
            undo=undone if undo is not None else None,
            deadline_s=10.0,
            kept=kept,
        )

    async def launch(
        self, *steps: Step[State], run_id: str = RUN, new: bool = False
    ) -> asyncio.Future[RunEnd[State]]:
        """Queue the run if it is not there, and launch it."""
        if self.journal.status(run_id) is None:
            await self.journal.append(run_id, EventType.RUN_QUEUED)
        return self.orchestrator.launch(
            saga(*steps, limits=self.limits), run_id, (), self.keep_end, new=new
        )

    async def run(self, *steps: Step[State]) -> RunEnd[State]:
        """Launch the run and let time pass until it ended."""
        return await self.end_of(await self.launch(*steps))

    async def end_of(self, task: asyncio.Future[RunEnd[State]]) -> RunEnd[State]:
        """Let time pass until the run ended."""
        await self.clock.until_done(task)
        return task.result()

    async def let_pass(self, seconds: float) -> None:
        """Let time pass, sleeper by sleeper, so that each wakes at its own time."""
        until = self.clock.monotonic() + seconds
        await settle()
        while (due_s := self.clock.next_due_s()) is not None and due_s <= until:
            self.clock.advance_to_next()
            await settle()
        self.clock.advance(until - self.clock.monotonic())
        await settle()

    async def open(self) -> None:
        """Begin the first life."""
        await self.orchestrator.__aenter__()

    async def close(self) -> None:
        """Stop, as a shutdown does."""
        await self.orchestrator.__aexit__(None, None, None)

    async def restart(self) -> None:
        """Stop, and begin another life over the same journal."""
        await self.close()
        self.orchestrator = self._orchestrator()
        await self.open()

    async def lived_through(self, *events: EventType) -> None:
        """Journal what an earlier life did to the run itself."""
        for event in (EventType.RUN_QUEUED, *events):
            await self.journal.append(RUN, event)

    def story(self) -> list[str]:
        """The run's events in words."""
        return self.journal.story(RUN)

    def status(self) -> RunStatus | None:
        """Where the run stands."""
        return self.journal.status(RUN)

    async def keep_end(self, end: RunEnd[State]) -> None:
        """The run's `finish`."""
        self.ends.append(end)
