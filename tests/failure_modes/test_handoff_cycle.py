"""Two agents hand a run to each other for ever: the sixth handoff ends it, and others go on."""

from resilience.budget import Amounts
from resilience.saga import (
    EventType,
    Orchestrator,
    RunEnd,
    RunStatus,
    Saga,
    Step,
    StepContext,
    StepOutcome,
)
from tests.fakes.journal import MemoryJournal
from tests.fakes.saga_clock import HeldClock

Path = tuple[str, ...]

HANDOFFS = 5


class Desk:
    """Three agents. Triage hands on to the writer, the writer to the reviewer; the reviewer hands
    back until it was asked `content_after` times."""

    def __init__(self, content_after: int | None) -> None:
        self.content_after = content_after
        self.effects: list[str] = []
        self.undone: list[str] = []

    def saga(self) -> Saga[Path]:
        """In this order, where nobody hands on."""
        steps = (self._step("triage"), self._step("write"), self._step("review"))
        return Saga(name="desk", steps=steps)

    def _step(self, name: str) -> Step[Path]:
        async def do(state: Path, context: StepContext) -> StepOutcome[Path]:
            self.effects.append(name)
            path = (*state, name)
            return StepOutcome(state=path, then=self._to(name, path))

        async def undo(run_id: str) -> str | None:
            self.undone.append(name)
            return f"{name} undone"

        return Step(name=name, agent=f"{name}-agent", do=do, undo=undo, deadline_s=60.0)

    def _to(self, name: str, path: Path) -> str | None:
        if name == "review":
            return None if path.count("review") == self.content_after else "write"
        return {"triage": "write", "write": "review"}[name]


async def play(*desks: Desk) -> tuple[MemoryJournal, list[RunEnd[Path]]]:
    """Run them side by side to their ends."""
    clock = HeldClock()
    journal = MemoryJournal(clock.now)
    async with Orchestrator(journal, clock) as orchestrator:
        tasks = []
        for number, desk in enumerate(desks):
            await journal.append(f"run-{number}", EventType.RUN_QUEUED)
            tasks.append(orchestrator.launch(desk.saga(), f"run-{number}", ()))
        for task in tasks:
            await clock.until_done(task)
    return journal, [task.result() for task in tasks]


async def test_a_handoff_cycle_is_ended_by_the_sixth_handoff() -> None:
    """Five are made; who hands on once more is the last. All is undone, last first, and how far it
    came is kept for the result."""
    cycle = Desk(content_after=None)
    journal, (end,) = await play(cycle)

    assert (end.status, end.error_type) == (RunStatus.FAILED, "routing-exhausted")
    assert end.error_message == "the agents handed on more than 5 times"
    assert end.spent == Amounts(steps=6, handoffs=HANDOFFS)
    assert cycle.effects == ["triage", "write", "review", "write", "review", "write"]
    assert end.state == tuple(cycle.effects)
    assert cycle.undone == ["review", "write", "triage"]
    assert end.undone == ("review undone", "write undone", "triage undone")
    told = [e for e in journal.seen("run-0") if e.type is EventType.STEP_COMPLETED]
    assert [bool(event.data.get("exhausted")) for event in told] == [False] * 5 + [True]
    assert journal.seen("run-0")[-1].data == {"error": "routing-exhausted"}


async def test_five_handoffs_are_no_cycle() -> None:
    """A desk that is content the second time has handed on four times, and completes."""
    journal, (end,) = await play(Desk(content_after=2))
    assert (end.status, end.error_type) == (RunStatus.COMPLETED, None)
    assert end.spent.handoffs == 4
    assert journal.closings("run-0") == [EventType.RUN_COMPLETED]


async def test_other_runs_do_not_notice_a_handoff_cycle() -> None:
    """Each run has handoffs of its own."""
    desks = [Desk(content_after=1), Desk(content_after=None), Desk(content_after=2)]
    _, ends = await play(*desks)
    assert [end.status for end in ends] == [
        RunStatus.COMPLETED,
        RunStatus.FAILED,
        RunStatus.COMPLETED,
    ]
    assert desks[0].undone == desks[2].undone == []
