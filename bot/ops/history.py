"""The last hour, sampled: what the dashboard's charts are drawn from."""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from bot.ops.health import Health

EVERY = timedelta(seconds=20)
KEPT = timedelta(hours=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One look. `completed` and `failed` count the runs that ended since the start."""

    at: datetime
    completed: int
    failed: int
    waiting: int
    working: int
    p95_s: Mapping[str, float]


class History:
    """Samples of the last hour, oldest first."""

    def __init__(self) -> None:
        self._samples: deque[Sample] = deque(maxlen=KEPT // EVERY)

    @property
    def samples(self) -> tuple[Sample, ...]:
        """What was sampled."""
        return tuple(self._samples)

    def note(self, health: Health, ended: Mapping[str, int]) -> None:
        """Take a sample when it is time; `ended` counts runs by how they ended."""
        if self._samples and health.at - self._samples[-1].at < EVERY:
            return
        completed = ended.get("completed", 0)
        runs = health.runs
        self._samples.append(
            Sample(
                at=health.at,
                completed=completed,
                failed=sum(ended.values()) - completed,
                waiting=runs["queued"] or 0,
                working=runs["running"] or 0,
                p95_s={
                    name: agent.p95_ms / 1_000
                    for name, agent in health.agents.items()
                    if agent.p95_ms is not None
                },
            )
        )
