"""A shelf in memory."""

from collections.abc import Iterable

from agents.discovery.port import ShelfState
from agents.domain.opportunity import Opportunity


class MemoryShelf:
    """Implements discovery's Shelf."""

    def __init__(self) -> None:
        self.states: dict[str, ShelfState] = {}
        self.items: dict[str, tuple[Opportunity, ...]] = {}

    async def state(self, key: str) -> ShelfState | None:
        """How the last reading went."""
        return self.states.get(key)

    async def current(self, key: str) -> tuple[Opportunity, ...]:
        """What was stored last."""
        return self.items.get(key, ())

    async def replace(
        self, key: str, state: ShelfState, opportunities: Iterable[Opportunity]
    ) -> None:
        """Store them."""
        self.states[key], self.items[key] = state, tuple(opportunities)

    async def note(self, key: str, state: ShelfState) -> None:
        """Store the state."""
        self.states[key] = state
