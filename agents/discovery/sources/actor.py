"""An Apify actor's input as a source: one run serves all who need the same."""

import asyncio
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Protocol

from agents.discovery.layout import Layout
from agents.discovery.port import SourceFailed, Validators
from agents.discovery.record import Origin
from agents.discovery.sources.actor_list import Actor, input_key
from agents.discovery.sources.apify_runs import ActorResult, RunLimits
from agents.discovery.sources.feed import read_all
from agents.discovery.stored import Fetched

_SLACK_S = 50.0
"""What starting a run and reading its results may take beside the run itself."""
_DEADLINE_MAX_S = 170.0
"""Below the 180 s of the discover step, whose end takes the other sources' postings along."""


class Runs(Protocol):
    """Runs actors."""

    async def run(
        self, actor: str, run_input: Mapping[str, object], limits: RunLimits
    ) -> ActorResult:
        """Run `actor` and return what it found; raises SourceFailed. Aborts when cancelled."""
        ...


class ActorFetcher:
    """Implements Fetcher over Apify."""

    patience_s = None
    pause_s = 30.0  # a run that failed is not paid for again at once

    def __init__(
        self,
        *,
        actor: Actor,
        run_input: dict[str, object],
        layout: Layout,
        charge_max_usd: float,
        runs: Runs,
        now: Callable[[], datetime],
    ) -> None:
        self._actor = actor
        self._input = run_input
        self._layout = layout
        self._charge_max_usd = charge_max_usd
        self._runs = runs
        self._now = now
        self.label = f"apify:{actor.actor}"
        self.key = input_key(actor.actor, run_input)
        self.period_s = actor.period_s
        self.deadline_s: float | None = min(actor.timeout_s + _SLACK_S, _DEADLINE_MAX_S)

    async def fetch(self, _known: Validators) -> Fetched | None:
        """Run the actor and read what it found; raises SourceFailed."""
        limits = RunLimits(
            timeout_s=self._actor.timeout_s,
            memory_mbytes=self._actor.memory_mbytes,
            items_max=self._actor.items_max,
            charge_max_usd=self._charge_max_usd,
        )
        result = await self._runs.run(self._actor.actor, self._input, limits)
        origin = Origin(source=self.label, fetched_at=self._now(), live=True)
        read = await asyncio.to_thread(read_all, result.items, origin, self._layout)
        if read.unreadable and not read.found:
            none = f"{self.label}: none of its {len(result.items)} items can be read"
            raise SourceFailed(none)
        cut = result.truncated or result.ended_badly
        return Fetched(
            opportunities=read.found,
            unreadable=read.unreadable,
            unread=read.unread,
            notice=f"{self.label}: this is a part of what it found" if cut else None,
            partial=result.ended_badly,
        )
