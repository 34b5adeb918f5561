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
