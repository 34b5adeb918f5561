"""What the Matching agent needs from outside."""

from collections.abc import Sequence
from typing import Protocol

from agents.domain.match import Match


class Scores(Protocol):
    """Where a run's scores and reasons are kept."""

    async def keep_matches(self, run_id: str, matches: Sequence[Match]) -> None:
        """Store them, replacing what an earlier attempt of the same run stored."""
        ...

    async def unscore(self, run_id: str) -> int:
        """Set the run's scores and reasons to NULL; returns how many there were."""
        ...


class RunTexts(Protocol):
    """Where texts are kept that belong to a run, by name."""

    async def keep_text(self, run_id: str, name: str, body: str) -> None:
        """Store it, in the place of an older one."""
        ...

    async def text(self, run_id: str, name: str) -> str | None:
        """The text, or None."""
        ...
