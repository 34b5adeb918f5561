"""Who pays for a language model's answers."""

from resilience.budget import Amounts
from resilience.saga import Spends


class RunAccount:
    """Implements Account: what a step spends is its run's."""

    def __init__(self, spends: Spends) -> None:
        self._spends = spends

    async def intend(self, effect: str, tokens: int) -> None:
        """Journal it before; raises KillSwitch when the run has not that many tokens left."""
        await self._spends.intend(effect, Amounts(tokens=tokens))

    async def settle(self, effect: str, tokens: int) -> None:
        """Journal what it took."""
        await self._spends.settle(effect, Amounts(tokens=tokens))


class NobodysAccount:
    """Implements Account for what is asked outside any run: a draft by its button. The vendors'
    guards bound it."""

    async def intend(self, effect: str, tokens: int) -> None:
        """Nothing is held against anybody."""

    async def settle(self, effect: str, tokens: int) -> None:
        """Nothing is held against anybody."""
