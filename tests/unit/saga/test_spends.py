"""What a step spends is journaled before and after, and never more than the run may."""

import asyncio

import pytest

from resilience.budget import Amounts
from resilience.errors import BudgetExhausted
from resilience.saga import (
    EventType,
    History,
    JournalUnavailable,
    KillSwitch,
    Limits,
    RunEnd,
    RunStatus,
    Spends,
    StepContext,
    StepOutcome,
)
from tests.fakes.saga_clock import settle
from tests.unit.saga.stage import KEPT, RUN, Behaviour, Stage, State, agent, fails, hangs, works


class Purse:
    """A step that hands its Spends to the test, and works until it is told to be done."""

    def __init__(self, stage: Stage, limits: Limits, then: Behaviour = works) -> None:
        stage.limits = limits
        self._stage = stage
        self._then = then
        self._done = asyncio.Event()
        self._spends: asyncio.Future[Spends] = asyncio.get_running_loop().create_future()

    async def open(self) -> Spends:
        """Launch the run; what its step spends by."""
        self._task = await self._stage.launch(agent("one", self._do, self._undo, kept=KEPT))
        return await self._spends

    async def close(self) -> RunEnd[State]:
        """Let the step be done; the run's end."""
        self._done.set()
        return await self._stage.end_of(self._task)

    async def _do(self, state: State, context: StepContext) -> StepOutcome[State]:
        self._spends.set_result(context.spends)
        await self._done.wait()
        await self._then()
        return StepOutcome(state=(*state, "one"))

    async def _undo(self, run_id: str) -> str | None:
        return "one undone"


def told(stage: Stage) -> list[dict[str, object]]:
    """What is journaled of effects."""
    return [dict(event.data) for event in stage.journal.seen(RUN) if "effect" in event.data]


async def test_an_effect_is_journaled_before_and_after(stage: Stage) -> None:
    """With the most that it may take, then with what it took; only amounts that there are."""
    purse = Purse(stage, Limits())
    spends = await purse.open()
    await spends.intend("call-1", Amounts(tokens=500))
    assert told(stage) == [{"step": "one", "effect": "call-1", "settled": False, "tokens": 500}]
    await spends.settle("call-1", Amounts(tokens=120))
    await spends.intend("apify-1", Amounts(usd=0.25))
    end = await purse.close()

    assert told(stage)[1:] == [
        {"step": "one", "effect": "call-1", "settled": True, "tokens": 120},
        {"step": "one", "effect": "apify-1", "settled": False, "usd": 0.25},
    ]
    assert {e.type for e in stage.journal.seen(RUN) if "effect" in e.data} == {
        EventType.STEP_PROGRESS
    }
    assert end.spent == Amounts(steps=1, tokens=120, usd=0.25)


async def test_the_intent_is_stored_before_the_effect_may_happen(stage: Stage) -> None:
    """intend returns only then."""
    purse = Purse(stage, Limits())
    spends = await purse.open()
    gate = stage.journal.hold(EventType.STEP_PROGRESS, stored=False)
    intent = asyncio.create_task(spends.intend("call-1", Amounts(tokens=500)))
    await gate.reached.wait()
    await settle()
    assert not intent.done()
    gate.opened.set()
    await intent
    await purse.close()


async def test_too_much_money_is_refused_to_the_agent(stage: Stage) -> None:
    """It may go on without; nothing is journaled of it, and less is still possible."""
    purse = Purse(stage, Limits(usd=1.0))
    spends = await purse.open()
    await spends.intend("a", Amounts(usd=0.75))
    with pytest.raises(BudgetExhausted, match=r"^usd: "):
        await spends.intend("b", Amounts(usd=0.5))
    assert [data["effect"] for data in told(stage)] == ["a"]
    await spends.settle("a", Amounts(usd=0.5))
    await spends.intend("b", Amounts(usd=0.5))
    end = await purse.close()

    assert (end.status, end.spent.usd) == (RunStatus.COMPLETED, 1.0)


async def test_too_many_tokens_stop_the_run(stage: Stage) -> None:
    """They are a kill switch, that says so."""
    purse = Purse(stage, Limits(tokens=1_000))
    spends = await purse.open()
    await spends.intend("a", Amounts(tokens=1_000))
    with pytest.raises(KillSwitch, match="its 1,000 tokens are used up") as stopped:
        await spends.intend("b", Amounts(tokens=1))
    assert stopped.value.type == "token-budget-exhausted"
    await purse.close()


async def test_what_was_spent_over_the_intent_counts(stage: Stage) -> None:
    """It can't be undone, but the next intent meets it."""
    purse = Purse(stage, Limits(tokens=1_000))
    spends = await purse.open()
    await spends.intend("a", Amounts(tokens=500))
    await spends.settle("a", Amounts(tokens=1_500))
    with pytest.raises(KillSwitch):
        await spends.intend("b", Amounts(tokens=1))
    assert (await purse.close()).spent.tokens == 1_500


async def test_what_is_settled_without_an_intent_counts(stage: Stage) -> None:
    """Such as work that a run took over; told again, it counts once."""
    purse = Purse(stage, Limits(usd=1.0))
    spends = await purse.open()
    for _ in range(2):
        await spends.settle("taken-over", Amounts(usd=0.75))
    with pytest.raises(BudgetExhausted):
        await spends.intend("b", Amounts(usd=0.5))
    await spends.intend("b", Amounts(usd=0.25))
    assert (await purse.close()).spent.usd == 1.0


async def test_effects_side_by_side_cannot_overspend(stage: Stage) -> None:
    """What is asked for at the same time is held while it is journaled."""
    purse = Purse(stage, Limits(usd=1.0))
    spends = await purse.open()
    outcomes = await asyncio.gather(
        *(spends.intend(f"e{n}", Amounts(usd=0.25)) for n in range(10)), return_exceptions=True
    )
    assert sum(isinstance(outcome, BudgetExhausted) for outcome in outcomes) == 6
    assert (await purse.close()).spent.usd == 1.0


async def test_an_effect_intended_again_is_the_same_effect(stage: Stage) -> None:
    """As the journal has it: after a restart, say. Live it counts as it does when replayed."""
    purse = Purse(stage, Limits(tokens=1_000))
    spends = await purse.open()
    for most in (600, 400, 800):
        await spends.intend("call-1", Amounts(tokens=most))
        assert History.of(stage.journal.seen(RUN)).spent.tokens == most
    with pytest.raises(KillSwitch):
        await spends.intend("call-2", Amounts(tokens=300))
    await spends.settle("call-1", Amounts(tokens=100))
    await spends.intend("call-2", Amounts(tokens=900))
    assert (await purse.close()).spent.tokens == 1_000


async def test_an_intent_that_was_not_journaled_holds_nothing(stage: Stage) -> None:
    """The effect must not happen, so its amount is free for another."""
    purse = Purse(stage, Limits(tokens=1_000, timeout_s=10_000.0))
    spends = await purse.open()
    stage.journal.out_for(400.0)
    intent = asyncio.create_task(spends.intend("a", Amounts(tokens=1_000)))
    await stage.clock.until_done(intent)
    assert isinstance(intent.exception(), JournalUnavailable)
    await stage.let_pass(100.0)
    await spends.intend("b", Amounts(tokens=1_000))
    assert (await purse.close()).spent.tokens == 1_000


async def test_budgets_hold_across_restarts(stage: Stage) -> None:
    """Settled effects count as settled, those in doubt for the most that they may be."""
    purse = Purse(stage, Limits(tokens=1_000, usd=1.0), hangs)
    spends = await purse.open()
    await spends.intend("a", Amounts(tokens=900, usd=0.5))
    await spends.settle("a", Amounts(tokens=300, usd=0.25))
    await spends.intend("b", Amounts(tokens=400, usd=0.5))
    await stage.restart()
    purse = Purse(stage, stage.limits)
    spends = await purse.open()
    with pytest.raises(KillSwitch):
        await spends.intend("c", Amounts(tokens=301))
    with pytest.raises(BudgetExhausted):
        await spends.intend("c", Amounts(usd=0.26))
    await spends.intend("c", Amounts(tokens=300, usd=0.25))
    end = await purse.close()

    assert end.spent == Amounts(steps=2, tokens=1_000, usd=1.0)


async def test_a_settlement_after_the_runs_end_only_warns(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    """Whoever settles late must not fail for it."""
    purse = Purse(stage, Limits())
    spends = await purse.open()
    await spends.intend("a", Amounts(tokens=500))
    end = await purse.close()
    await spends.settle("a", Amounts(tokens=100))

    assert f"run {RUN} had ended before its effect a" in caplog.text
    assert end.spent.tokens == 500
    assert stage.story()[-1] == "run.completed"


async def test_a_settlement_during_the_undo_counts(stage: Stage) -> None:
    """What stopped work had cost is told while the run turns back."""
    purse = Purse(stage, Limits(), fails)
    spends = await purse.open()
    await spends.intend("a", Amounts(tokens=500))
    gate = stage.journal.hold(EventType.STEP_COMPENSATED, stored=False)
    closing = asyncio.create_task(purse.close())
    await gate.reached.wait()
    await spends.settle("a", Amounts(tokens=100))
    gate.opened.set()
    end = await closing

    assert (end.status, end.spent.tokens) == (RunStatus.COMPENSATED, 100)


async def test_an_intent_that_a_cancel_finds_half_written_counts(stage: Stage) -> None:
    """It is journaled, though its work was stopped before it knew: what is told is what is
    journaled."""
    purse = Purse(stage, Limits())
    spends = await purse.open()
    gate = stage.journal.hold(EventType.STEP_PROGRESS, stored=False)
    intent = asyncio.create_task(spends.intend("a", Amounts(tokens=500)))
    await gate.reached.wait()
    cancel_written = stage.journal.hold(EventType.RUN_COMPENSATING, stored=True)
    assert await stage.orchestrator.cancel(RUN)
    await cancel_written.reached.wait()
    gate.opened.set()
    await intent
    cancel_written.opened.set()
    end = await purse.close()

    assert (end.status, end.spent.tokens) == (RunStatus.CANCELLED, 500)


async def test_a_run_with_nothing_to_undo_tells_what_was_half_written(stage: Stage) -> None:
    """Its end is made from what is journaled by then."""

    async def do(state: State, context: StepContext) -> StepOutcome[State]:
        await context.spends.intend("a", Amounts(tokens=500))
        raise AssertionError

    gate = stage.journal.hold(EventType.STEP_PROGRESS, stored=True)
    task = await stage.launch(agent("one", do))
    await gate.reached.wait()
    assert await stage.orchestrator.cancel(RUN)
    end = await stage.end_of(task)

    assert (end.status, end.spent.tokens) == (RunStatus.CANCELLED, 500)
    assert History.of(stage.journal.seen(RUN)).spent == end.spent


async def test_a_cancel_elsewhere_as_a_run_fails_is_how_it_ends(stage: Stage) -> None:
    """Also where nothing is to be undone, and so nothing else would show it."""
    gate = stage.journal.hold(EventType.STEP_FAILED, stored=True)
    task = await stage.launch(stage.step("one", fails, None))
    await gate.reached.wait()
    await stage.journal.other().append(RUN, EventType.RUN_CANCELLING)
    gate.opened.set()
    assert (await stage.end_of(task)).status is RunStatus.CANCELLED


async def test_a_limit_holds_though_an_agent_takes_it_for_a_tools_error(stage: Stage) -> None:
    """Whoever swallows the kill switch does not go on: the run ends by it."""
    stage.limits = Limits(tokens=10)

    async def greedy(state: State, context: StepContext) -> StepOutcome[State]:
        with pytest.raises(KillSwitch):
            await context.spends.intend("call-1", Amounts(tokens=11))
        return StepOutcome(state=(*state, "greedy"))

    end = await stage.run(agent("greedy", greedy), stage.step("two"))

    assert (end.status, end.error_type) == (RunStatus.FAILED, "token-budget-exhausted")
    assert stage.happened == []
