"""What the Action agent needs from outside."""

from collections.abc import Sequence
from typing import Protocol

from agents.domain.draft import Draft


class Drafts(Protocol):
    """Where drafts are kept, by run."""

    async def keep_drafts(self, run_id: str, drafts: Sequence[Draft]) -> None:
        """Store them in one transaction, replacing those of the same run and posting."""
        ...

    async def discard_drafts(self, run_id: str) -> int:
        """Delete the run's drafts; returns how many there were."""
        ...


class RunTexts(Protocol):
    """Where texts are kept that belong to a run, by name."""

    async def keep_text(self, run_id: str, name: str, body: str) -> None:
        """Store it, in the place of an older one."""
        ...
