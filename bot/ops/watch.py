"""Looks at the health every few seconds, and tells the operators what is wrong and when it is over.

What they were told is kept in the database, so that a restart neither repeats nor forgets it. While
the database is out they are told all the same.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Protocol

from agents.store.errors import StoreError
from bot.ops.health import Health, Standing, snapshot
from bot.ops.history import History
from bot.ops.observed import Observed
from bot.ops.rules import RUN_PARKED, Rules, parked_subject
from resilience.alerts import Alert, AlertId, Alerts, Digest
from resilience.breaker import BreakerChanged
from resilience.clock import Clock
from resilience.saga import Event, EventType

EVERY_S = 4.0
SEEN_EVERY_S = 60.0
AGAIN_AFTER_S = 25.0
TOLD_WITHIN_S = 2.0
"""A look waits so long, in real seconds, for its message to be told; then a later one sees that."""

log = logging.getLogger(__name__)


class Announces(Protocol):
    """Reaches the operators."""

    @property
    def anybody(self) -> bool:
        """Whether there is anybody to tell."""
        ...

    async def announce(self, digest: Digest) -> bool:
        """Tell them; whether all who can be reached have it. Told again, it reaches only those who
        have it not."""
        ...


class Surveys(Protocol):
    """Reads how everything stands."""

    async def look(self) -> Standing:
        """How it is, at most a moment ago."""
        ...

    def changed(self) -> None:
        """What was seen is not so any more."""
        ...


class Told(Protocol):
    """Where it is kept what the operators were told. All of it raises StoreError."""

    async def take_over(self) -> list[Alert]:
        """The alerts of processes that are gone."""
        ...

    async def own(self, digest: Digest) -> Digest:
        """What of it is this process's to tell."""
        ...

    async def told(self, digest: Digest) -> None:
        """It was."""
        ...


class Watch:
    """The alerts of this process. `told_parked` journals that the operators know of a parking."""

    def __init__(
        self,
        *,
        observed: Observed,
        survey: Surveys,
        rules: Rules,
        store: Told,
        told_parked: Callable[[str, int], Awaitable[None]],
        operators: Announces,
        clock: Clock,
    ) -> None:
        self._observed = observed
        self._survey = survey
        self._store = store
        self._told_parked = told_parked
        self._operators = operators
        self._clock = clock
        self._alerts: Alerts[Health] = Alerts(rules)
        self.history = History()
        self._news = asyncio.Event()
        self._telling: asyncio.Task[Digest] | None = None
        self._seen_at: float | None = None
        self._store_out = False
        self._unjournaled: set[AlertId] = set()
        """What was told while that could not be kept: it is this process's to see the end of."""

    async def health(self) -> Health:
        """How everything is now, with the alerts that fire."""
        standing = await self._survey.look()
        return snapshot(self._observed, standing, self._clock.now(), self._alerts.firing)

    def note_event(self, event: Event) -> None:
        """What need not wait for the next look."""
        if event.type is EventType.RUN_PARKED:
            self._news.set()

    def note_breaker(self, _change: BreakerChanged) -> None:
        """As above."""
        self._news.set()

    async def keep_watching(self) -> None:
        """Look and tell, until cancelled."""
        try:
            while True:
                try:
                    await self.look()
                except Exception:
                    # The loop's boundary: a watch that ended would be the silence it is to prevent.
                    log.exception("looking at the health broke")
                await self._until_next()
        finally:
            if self._telling is not None:
                self._telling.cancel()
                await asyncio.gather(self._telling, return_exceptions=True)

    async def _until_next(self) -> None:
        news = asyncio.ensure_future(self._news.wait())
        pause = asyncio.ensure_future(self._clock.sleep(EVERY_S))
        try:
            await asyncio.wait({news, pause}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            news.cancel()
            pause.cancel()
            await asyncio.wait({news, pause})
        self._news.clear()

    async def look(self) -> None:
        """See what is wrong now, and tell what is due."""
        self._survey.changed()
        health = await self.health()
        self.history.note(health, self._observed.ended)
        database_out = "database" in health.standing.problems
        if not database_out:  # else nobody waits for it before what it does is told
            await self._take_over()
        self._alerts.evaluate(health, health.at)
        overview = health.standing.overview
        parked = overview.parked if overview is not None else ()
        told = [AlertId(RUN_PARKED, parked_subject(p.run_id, p.seq)) for p in parked if p.told]
        self._alerts.known(told, health.at)
        await self._tell(database_out=database_out)

    async def _take_over(self) -> None:
        """What a process that is gone had told is this one's to see the end of."""
        now = self._clock.monotonic()
        if self._seen_at is not None and now - self._seen_at < SEEN_EVERY_S:
            return
        try:
            self._alerts.restore(await self._store.take_over())
        except StoreError as error:
            self._note_store(error)
        else:
            self._seen_at = now
            self._note_store(None)

    def _note_store(self, error: StoreError | None) -> None:
        """Say once that what was told can't be kept."""
        if error is not None and not self._store_out:
            log.warning("what the operators are told can't be journaled: %s", error)
        self._store_out = error is not None

    async def _tell(self, *, database_out: bool) -> None:
        """Tell what is due, one message at a time; a chat that has to wait holds up no look."""
        if self._telling is None:
            now = self._clock.now()
            if not (due := self._alerts.due(now)):
                return
            if not self._operators.anybody:  # nor is it kept as told: somebody may come
                self._alerts.told(due, now)
                _log(due)
                return
            mine = await self._mine(due, database_out=database_out)
            self._alerts.told(_less(due, mine), now)
            if not mine:
                return
            _log(mine)
            self._telling = asyncio.create_task(self._insist(mine), name="telling")
        done, _ = await asyncio.wait({self._telling}, timeout=TOLD_WITHIN_S)
        if done:
            telling, self._telling = self._telling, None
            told = telling.result()
            self._alerts.told(told, self._clock.now())
            await self._journal(told)

    async def _insist(self, digest: Digest) -> Digest:
        """Tell it, however often that takes."""
        while not await self._operators.announce(digest):
            await self._clock.sleep(AGAIN_AFTER_S)
        return digest

    async def _mine(self, due: Digest, *, database_out: bool) -> Digest:
        """What this process is to tell. What can't be journaled is told all the same."""
        if database_out:
            return due
        try:
            own = await self._store.own(due)
        except StoreError as error:
            self._note_store(error)
            return due
        return replace(
            own,
            again=own.again + self._kept_here(due.again, own.again),
            over=own.over + self._kept_here(due.over, own.over),
        )

    def _kept_here(self, due: tuple[Alert, ...], own: tuple[Alert, ...]) -> tuple[Alert, ...]:
        """What only this process knows that it was told."""
        return tuple(a for a in due if a.id in self._unjournaled and a not in own)

    async def _journal(self, told: Digest) -> None:
        new = {alert.id for alert in told.new}
        self._unjournaled |= new
        self._unjournaled -= {alert.id for alert in told.over}
        try:
            await self._store.told(told)
            self._unjournaled -= new
            for key in new:
                if key.rule == RUN_PARKED:  # its row says it, too, for every process
                    run_id, _, seq = key.subject.rpartition("/")
                    await self._told_parked(run_id, int(seq))
        except StoreError as error:
            self._note_store(error)


def _less(due: Digest, mine: Digest) -> Digest:
    """What another process tells."""
    ids = {alert.id for alert in (*mine.new, *mine.again, *mine.over)}
    return replace(
        due,
        new=tuple(a for a in due.new if a.id not in ids),
        again=tuple(a for a in due.again if a.id not in ids),
        over=tuple(a for a in due.over if a.id not in ids),
    )


def _log(digest: Digest) -> None:
    for alert in digest.new:
        log.warning("alert %s: %s", alert.id.rule, alert.words)
    for alert in digest.over:
        log.info("alert %s is over: %s", alert.id.rule, alert.id.subject or alert.id.rule)
