"""What a run's steps spend: held against the run's budget, and journaled before and after."""

import logging

from resilience.budget import NOTHING, Amounts, Budget
from resilience.errors import BudgetExhausted
from resilience.saga.journal import JsonValue
from resilience.saga.recording import Recording
from resilience.saga.saga import TOKENS_SPENT, KillSwitch
from resilience.saga.transitions import EventType, IllegalTransition

log = logging.getLogger(__name__)


class Spending:
    """Implements Spends over the run's budget and journal."""

    def __init__(self, recording: Recording, budget: Budget, step: str) -> None:
        self._recording = recording
        self._budget = budget
        self._step = step
        self.tripped: KillSwitch | None = None
        """The limit that was reached; it holds also where an agent takes it for a tool's error."""

    async def intend(self, effect: str, amounts: Amounts) -> None:
        known = self._recording.history.effects.get(effect, NOTHING)  # from before a restart, say
        try:
            held = self._budget.charge(amounts.minus(known))
        except BudgetExhausted as exhausted:
            if exhausted.field != "tokens":
                raise
            words = f"its {exhausted.limit:,} tokens are used up"
            self.tripped = KillSwitch(words, type=TOKENS_SPENT)
            raise self.tripped from exhausted
        try:
            await self._write(effect, amounts, settled=False)
        finally:
            held.settle()
        self._budget.recount(known, amounts)  # what it really took is said by `settle`

    async def settle(self, effect: str, amounts: Amounts) -> None:
        intended = self._recording.history.effects.get(effect, NOTHING)
        try:
            await self._write(effect, amounts, settled=True)
        except IllegalTransition:
            log.warning("run %s had ended before its effect %s", self._recording.run_id, effect)
            return
        self._budget.recount(intended, amounts)

    async def _write(self, effect: str, amounts: Amounts, *, settled: bool) -> None:
        data: dict[str, JsonValue] = {"step": self._step, "effect": effect, "settled": settled}
        if amounts.tokens:
            data["tokens"] = amounts.tokens
        if amounts.usd:
            data["usd"] = amounts.usd
        await self._recording.write(EventType.STEP_PROGRESS, data)
