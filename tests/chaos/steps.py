"""The scripted sagas, as one process executes them."""

import asyncio
import json
from typing import assert_never

from resilience.budget import Amounts
from resilience.errors import BudgetExhausted
from resilience.saga import Kept, Limits, Saga, Step, StepContext, StepFailed, StepOutcome
from tests.chaos.faults import Faults, Victim
from tests.chaos.outside import (
    ACTOR_USD,
    ACTOR_USD_MAX,
    LLM_TOKENS,
    LLM_TOKENS_MAX,
    Key,
    Outside,
)
from tests.chaos.script import RunScript, StepScript

TOKENS, STEPS, HANDOFFS = 4_000, 9, 3
UNDO_DEADLINE_S, UNDO_ATTEMPTS = 60.0, 3

State = tuple[str, ...]
"""The names of the steps that were done."""


def saga_of(script: RunScript, who: Victim, faults: Faults, outside: Outside) -> Saga[State]:
    """The run's saga, whose every outside touch is that process's."""
    steps = tuple(
        _ScriptedStep(
            name=name_of(number), script=step, run=script, who=who, faults=faults, outside=outside
        ).step()
        for number, step in enumerate(script.steps)
    )
    limits = Limits(
        steps=STEPS, tokens=TOKENS, handoffs=HANDOFFS, usd=script.usd, timeout_s=script.timeout_s
    )
    return Saga(
        name="scripted",
        steps=steps,
        undo_deadline_s=UNDO_DEADLINE_S,
        undo_attempts=UNDO_ATTEMPTS,
        limits=limits,
    )


def name_of(number: int) -> str:
    """The name of the step with that number."""
    return f"step-{number}"


class _ScriptedStep:
    def __init__(
        self,
        *,
        name: str,
        script: StepScript,
        run: RunScript,
        who: Victim,
        faults: Faults,
        outside: Outside,
    ) -> None:
        self._name = name
        self._script = script
        self._run = run
        self._who = who
        self._faults = faults
        self._outside = outside

    def step(self) -> Step[State]:
        """It as the saga has it."""
        return Step(
            name=self._name,
            agent=self._script.agent,
            do=self._do,
            undo=None if self._script.undo is None else self._undo,
            deadline_s=self._script.deadline_s,
            kept=None if self._script.kept == "no" else Kept(store=_store, restore=self._restore),
        )

    async def _restore(self, state: State, body: str) -> State | None:
        if self._script.kept == "unreadable":
            return None
        kept = json.loads(body)
        return tuple(kept["names"]) if kept["version"] == 1 else None

    # --- forward ------------------------------------------------------------------------------

    async def _do(self, state: State, context: StepContext) -> StepOutcome[State]:
        key = (context.run_id, self._name)
        self._faults.alive(self._who)
        self._outside.done[key] += 1
        self._faults.note(self._who.name, f"does {key} #{self._outside.done[key]}")
        await asyncio.sleep(self._script.seconds / 2)
        await self._effect(key, context)
        if self._script.undo is not None:
            await context.report({"count": len(state)})  # the fence is asked: is it still ours?
            await self._outside.make(self._who, key)
        await asyncio.sleep(self._script.seconds / 2)
        then = await self._behave(key, context)
        names = state if self._name in state else (*state, self._name)
        return StepOutcome(state=names, report={"done": len(names)}, then=then)

    async def _effect(self, key: Key, context: StepContext) -> None:
        match self._script.effect:
            case "none":
                return
            case "actor":
                await self._start_actor(key, context)
            case "llm":
                await self._ask(key, context)
            case "telegram":
                await context.report({"shown": True})
                await self._outside.edit(self._who, message_of(key[0]), "progress")
            case other:
                assert_never(other)

    async def _start_actor(self, key: Key, context: StepContext) -> None:
        """Journal the intent, start, journal the outcome; a start that is there is adopted."""
        mark = "/".join(key)
        if not await self._outside.has_start(self._who, key):
            try:
                await context.spends.intend(mark, Amounts(usd=ACTOR_USD_MAX))
            except BudgetExhausted as exhausted:
                raise StepFailed(str(exhausted), type="budget") from exhausted
            await self._outside.start(self._who, key)
        await asyncio.sleep(0.2)
        await context.spends.settle(mark, Amounts(usd=ACTOR_USD))

    async def _ask(self, key: Key, context: StepContext) -> None:
        """Charged on intent, and each time anew: whether it was answered nobody can tell."""
        effect = f"llm-{self._faults.points}"
        await context.spends.intend(effect, Amounts(tokens=LLM_TOKENS_MAX))
        await self._outside.complete(self._who, key[0])
        await context.spends.settle(effect, Amounts(tokens=LLM_TOKENS))

    async def _behave(self, key: Key, context: StepContext) -> str | None:
        match self._script.behaviour:
            case "works":
                return None
            case "fails":
                raise StepFailed("no", type="refused")
            case "breaks":
                raise ValueError("unforeseen")
            case "hangs":
                await asyncio.Event().wait()
                return None
            case "burns":
                while True:
                    await self._ask(key, context)
            case "loops":
                return self._name
            case "hands on":
                return self._somebody_else()
            case other:
                assert_never(other)

    def _somebody_else(self) -> str | None:
        for number, step in enumerate(self._run.steps):
            if step.agent != self._script.agent:
                return name_of(number)
        return None

    # --- backward -----------------------------------------------------------------------------

    async def _undo(self, run_id: str) -> str | None:
        key, outside = (run_id, self._name), self._outside
        self._faults.alive(self._who)
        call = outside.undo_calls[key]
        outside.undo_calls[key] += 1
        self._faults.note(self._who.name, f"undoes {key} #{call + 1}")
        await asyncio.sleep(self._script.undo_s)
        assert self._script.undo is not None
        plan = self._script.undo[call] if call < len(self._script.undo) else None
        if outside.repaired:
            plan = None
        elif plan is None and self._script.stuck:
            plan = "fails"
        if plan == "fails":
            outside.undo_failures[key] += 1
            raise ValueError("it cannot be undone now")
        if plan == "hangs":
            outside.undo_failures[key] += 1
            await asyncio.Event().wait()
        return await outside.unmake(self._who, key)


async def _store(state: State) -> str:
    return json.dumps({"version": 1, "names": list(state)})


def message_of(run_id: str) -> int:
    """The message that the run was asked for with: a tap's, known before the run is."""
    return 1_000 + int(run_id.split("-")[1])
