"""An agent goes round and round: its run is ended by a limit and undone, and costs no other run."""

import json

from resilience.budget import Amounts
from resilience.saga import (
    EventType,
    Kept,
    Limits,
    Orchestrator,
    RunEnd,
    RunStatus,
    Saga,
    Step,
    StepContext,
    StepOutcome,
)
from tests.fakes.journal import MemoryJournal
from tests.fakes.saga_clock import HeldClock, settle

Found = tuple[str, ...]

STEPS, TOKENS = 20, 60_000
CALL = Amounts(tokens=2_500)


class Researcher:
    """Two agents: one searches, the other is never content and has it search again."""

    def __init__(self, *, content_after: int | None, tokens: Amounts = CALL) -> None:
        self.content_after = content_after
        self.tokens = tokens
        self.calls = 0
        self.kept: set[str] = set()

    async def search(self, state: Found, context: StepContext) -> StepOutcome[Found]:
        """Ask an LLM, and find one thing more."""
        effect = f"search-{len(state)}"
        await context.spends.intend(effect, self.tokens)
        self.calls += 1
        await context.spends.settle(effect, self.tokens)
        self.kept.add(effect)
        found = (*state, f"posting {len(state) + 1}")
        content = len(found) == self.content_after
        return StepOutcome(state=found, then=None if content else "search")

    async def forget(self, run_id: str) -> str | None:
        """The undo of the search."""
        count = len(self.kept)
        self.kept.clear()
        return f"{count} searches forgotten" if count else None

    def saga(self) -> Saga[Found]:
        """One step, and again."""
        kept: Kept[Found] = Kept(store=_store, restore=_restore)
        search = Step(
            name="search",
            agent="researcher",
            do=self.search,
            undo=self.forget,
            deadline_s=60.0,
            kept=kept,
        )
        return Saga(name="research", steps=(search,), limits=Limits(steps=STEPS, tokens=TOKENS))


async def _store(state: Found) -> str:
    return json.dumps(state)


async def _restore(state: Found, body: str) -> Found | None:
    return tuple(json.loads(body))


async def play(*researchers: Researcher) -> tuple[MemoryJournal, list[RunEnd[Found]]]:
    """Run them side by side to their ends."""
    clock = HeldClock()
    journal = MemoryJournal(clock.now)
    async with Orchestrator(journal, clock) as orchestrator:
        tasks = []
        for number, researcher in enumerate(researchers):
            await journal.append(f"run-{number}", EventType.RUN_QUEUED)
            tasks.append(orchestrator.launch(researcher.saga(), f"run-{number}", ()))
        for task in tasks:
            await clock.until_done(task)
    return journal, [task.result() for task in tasks]


async def test_a_runaway_loop_is_ended_after_its_steps() -> None:
    """The run ends failed, its effects undone; what it had found is kept for its result, labelled
    by the error. A run beside it completes."""
    runaway = Researcher(content_after=None, tokens=Amounts(tokens=100))
    sound = Researcher(content_after=3)
    journal, (ended, other) = await play(runaway, sound)

    assert (ended.status, ended.error_type) == (RunStatus.FAILED, "max-steps-exceeded")
    assert ended.error_message == "it took more than 20 steps"
    assert (runaway.calls, ended.steps_done, ended.spent.steps) == (STEPS, STEPS, STEPS)
    assert ended.undone == ("20 searches forgotten",)
    assert runaway.kept == set()
    assert ended.state == tuple(f"posting {n + 1}" for n in range(STEPS))
    assert journal.story("run-0")[-3:] == [
        "run.compensating",
        "step.compensated search",
        "run.failed",
    ]
    assert journal.seen("run-0")[-3].data == {"error": "max-steps-exceeded"}
    assert (other.status, len(other.state)) == (RunStatus.COMPLETED, 3)
    assert len(sound.kept) == 3


async def test_a_runaway_loop_that_burns_tokens_is_ended_before_they_are_overspent() -> None:
    """The call that would be too much is never made; a run beside it has tokens of its own."""
    runaway = Researcher(content_after=None, tokens=Amounts(tokens=7_000))
    sound = Researcher(content_after=3)
    journal, (ended, other) = await play(runaway, sound)

    assert (ended.status, ended.error_type) == (RunStatus.FAILED, "token-budget-exhausted")
    assert runaway.calls == TOKENS // 7_000
    assert ended.spent.tokens == runaway.calls * 7_000 <= TOKENS
    assert (len(ended.state), ended.failed_step) == (runaway.calls, "search")
    assert runaway.kept == set()
    assert "step.failed search" in journal.story("run-0")
    assert other.status is RunStatus.COMPLETED
    assert other.spent == Amounts(steps=3, tokens=7_500)


async def test_a_runaway_loop_gets_no_new_limits_by_restarts() -> None:
    """Its steps of all lives count: a process that is restarted under it ends it all the same."""
    clock = HeldClock()
    journal = MemoryJournal(clock.now)
    await journal.append("run-0", EventType.RUN_QUEUED)
    runaway = Researcher(content_after=None, tokens=Amounts(tokens=100))
    for _ in range(3):
        gate = journal.hold_append(20, stored=True)
        async with Orchestrator(journal, clock) as orchestrator:
            orchestrator.launch(runaway.saga(), "run-0", ())
            await gate.reached.wait()
    async with Orchestrator(journal, clock) as orchestrator:
        task = orchestrator.launch(runaway.saga(), "run-0", ())
        await clock.until_done(task)
        await settle()

    end = task.result()
    assert (end.status, end.error_type) == (RunStatus.FAILED, "max-steps-exceeded")
    assert journal.story("run-0").count("step.started search") == STEPS
    assert runaway.kept == set()
