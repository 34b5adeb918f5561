"""An Apify actor's input as a source: one run serves all who need the same."""

import asyncio
import logging
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Protocol

from agents.discovery.layout import Layout
from agents.discovery.port import SourceFailed, Validators
from agents.discovery.record import Origin
from agents.discovery.sources.actor_list import Actor, input_key
from agents.discovery.sources.actor_run import ActorResult, RunLimits
from agents.discovery.sources.feed import read_all
from agents.discovery.sources.starts import (
    Begin,
    CalledOff,
    JournaledStart,
    Start,
    Starts,
    UnderWay,
    Watch,
    begin,
)
from agents.discovery.stored import Fetched

_SLACK_S = 50.0
"""What starting a run and reading its results may take beside the run itself."""
_DEADLINE_MAX_S = 170.0
"""Below the 180 s of the discover step, whose end takes the other sources' postings along."""
START_GRACE_S = 10.0
"""How long after it was intended a start's request may still arrive at Apify."""
_AGAIN_S = 1.0
_TAKEN_MAX = 3
"""How often a fetch yields to another process's start of the same key."""
_OVERDUE_S = 15 * 60.0
"""Results of a lost start are used for so long, or for the actor's period."""

log = logging.getLogger(__name__)


class Runs(Protocol):
    """Runs actors. What a start comes to is told to its `Watch`."""

    async def run(
        self, actor: str, run_input: Mapping[str, object], limits: RunLimits, begin: Begin
    ) -> ActorResult:
        """Start `actor` once `begin` has journaled it, and return what it found; raises
        SourceFailed. Aborts when cancelled."""
        ...

    async def find(self, actor: str, mark: str, at: datetime) -> str | None:
        """Apify's id of the run that was started with the mark around then; raises SourceFailed."""
        ...

    async def adopt(self, actor: str, run_id: str, limits: RunLimits, watch: Watch) -> ActorResult:
        """What a run found that was started before; raises SourceFailed. Aborts when cancelled."""
        ...


class Clock(Protocol):
    """What is needed of a clock here."""

    def now(self) -> datetime:
        """The current instant in UTC."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Return after `seconds`."""
        ...


class ActorFetcher:
    """Implements Fetcher over Apify. A start whose outcome is not known, of this process or of one
    that was killed, is found and used before there is another."""

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
        starts: Starts,
        clock: Clock,
    ) -> None:
        self._actor = actor
        self._input = run_input
        self._layout = layout
        self._runs = runs
        self._starts = starts
        self._clock = clock
        self._limits = RunLimits(
            timeout_s=actor.timeout_s,
            memory_mbytes=actor.memory_mbytes,
            items_max=actor.items_max,
            charge_max_usd=charge_max_usd,
        )
        self._watch: Watch | None = None  # of the start whose results are not stored yet
        self.label = f"apify:{actor.actor}"
        self.key = input_key(actor.actor, run_input)  # of the input as it is without a mark
        self.period_s = actor.period_s
        self.deadline_s: float | None = min(actor.timeout_s + _SLACK_S, _DEADLINE_MAX_S)

    async def fetch(self, _known: Validators) -> Fetched | None:
        """Run the actor, unless a run is under way or lost, and read what it found. Raises
        SourceFailed, and what the journal of starts raises: without it nothing is started."""
        result = await self._result()
        origin = Origin(source=self.label, fetched_at=self._clock.now(), live=True)
        read = await asyncio.to_thread(read_all, result.items, origin, self._layout)
        if read.unreadable and not read.found:
            await self.stored()  # reading it again would give the same
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

    async def stored(self) -> None:
        """What the start found is safe: nobody has to read it again."""
        watch, self._watch = self._watch, None
        if watch is not None:
            await watch.settled()

    async def _result(self) -> ActorResult:
        for _ in range(_TAKEN_MAX):
            lost = await self._starts.open(self.key)
            result = await self._reconciled(lost) if lost is not None else None
            if result is not None:
                return result
            try:
                return await self._started()
            except UnderWay:
                continue  # there is an open start now
            except CalledOff as off:
                raise off.error from None
        raise UnderWay(self.label)

    async def _started(self) -> ActorResult:
        name, limits = self._actor.actor, self._limits

        async def journaled() -> Watch:
            self._watch = await begin(
                self._starts,
                key=self.key,
                actor=name,
                charge_max_usd=limits.charge_max_usd,
                now=self._clock.now,
            )
            return self._watch

        return await self._runs.run(name, self._input, limits, journaled)

    async def _reconciled(self, lost: Start) -> ActorResult | None:
        """What the lost start found; None when a new one may be made: it never reached Apify, or
        it is too long ago."""
        watch = self._watch = JournaledStart(self._starts, lost)
        overdue = self._since(lost) > max(self.period_s, _OVERDUE_S)
        run_id = lost.run_id or await self._found(lost, watch)
        if run_id is None:
            log.info("%s: start %s never reached Apify", self.label, lost.mark)
            await watch.charged(0.0)
            await watch.settled()
            return None
        log.info("%s: run %s was started before, and is used", self.label, run_id)
        try:
            result = await self._runs.adopt(self._actor.actor, run_id, self._limits, watch)
        except SourceFailed:
            if not overdue:
                raise
        else:
            if not overdue:
                return result
        await watch.settled()
        return None

    async def _found(self, lost: Start, watch: Watch) -> str | None:
        """Apify's id of the run, which is journaled, or None when its request can't arrive any
        more. A clock that was wrong makes nobody wait for longer than the grace."""
        for _ in range(round(START_GRACE_S / _AGAIN_S) + 1):
            late = self._since(lost) >= START_GRACE_S
            run_id = await self._runs.find(self._actor.actor, lost.mark, lost.at)
            if run_id is not None:
                await watch.started(run_id)
                return run_id
            if late:
                break
            await self._clock.sleep(_AGAIN_S)
        return None

    def _since(self, start: Start) -> float:
        return (self._clock.now() - start.at) / timedelta(seconds=1)
