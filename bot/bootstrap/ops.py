"""Operations: what observes the product, and what operators see and do."""

import asyncio
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from aiohttp import web

from agents.run_details import RunReader
from agents.store.errors import StoreError
from agents.store.operations import ActionStore, AlertStore
from agents.store.overview import OverviewStore
from bot.bootstrap.core import Core
from bot.ops.heartbeat import Heartbeat, ping_fault
from bot.ops.lag import LoopLag
from bot.ops.metrics import Metrics
from bot.ops.observed import Observed
from bot.ops.operations import Operations
from bot.ops.readiness import Life, Readiness
from bot.ops.rules import rules
from bot.ops.survey import Places, Survey
from bot.ops.watch import Announces, Watch
from bot.policies import HEARTBEAT, heartbeat_policy
from bot.settings import LOOPBACK, Settings
from bot.web.access import Access, Door
from bot.web.dashboard import Panels, add_dashboard
from bot.web.health import add_health
from resilience.background import Background
from resilience.health import WINDOW_S

LASTING = ("leases", "cache:", "intake:prune", "feed:", "prune")
"""Tasks of other rooms that are to go on for as long as the process, by how their names begin."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ops:
    """What stands behind the operators' chat, the dashboard and the alerts."""

    background: Background
    readiness: Readiness
    watch: Watch
    operations: Operations
    overview: OverviewStore
    actions: ActionStore
    observed: Observed
    survey: Survey
    lag: LoopLag
    heartbeat: Heartbeat | None

    def start(self) -> None:
        """Begin what goes on until the process ends."""
        self.background.start(self.survey.keep_reading(), "survey")
        self.background.start(self.watch.keep_watching(), "watch")
        self.background.start(self.operations.keep_up(), "operations")
        if self.heartbeat is not None:
            self.background.start(self.heartbeat.keep_beating(), "heartbeat")
        for task in asyncio.all_tasks():
            if task.get_name().startswith(LASTING):
                self.background.watch(task)


async def build_ops(
    settings: Settings,
    core: Core,
    *,
    background: Background,
    life: Life,
    operators: Announces,
    follow: Callable[[str], None],
) -> Ops:
    """Everything of it, over the product; what goes on begins with `Ops.start`."""
    clock, overview = core.clock, OverviewStore(core.database, core.clock.now)
    readiness, lag = Readiness(overview.probe, life, clock), LoopLag()
    background.start(lag.keep_measuring(), "loop lag")  # the server says it from its first answer
    heartbeat = _heartbeat(settings, core, readiness)
    observed = Observed(clock)
    observed.expect(core.guards.by_name)
    await _recall(observed, overview)
    survey = Survey(
        Places(
            observed=observed,
            guards=core.guards.by_name,
            overview=overview.look,
            orchestrator=core.orchestrator,
            gate=core.gate,
            readiness=readiness,
            cache=core.cache,
            feeds=scheduled_feeds(settings, core),
            credit=None if settings.apify_api_token is None else core.catalogue.apify_credit,
            background=background,
            lag=lag,
            queued_max=settings.runs_queued,
        ),
        clock,
    )
    watch = Watch(
        observed=observed,
        survey=survey,
        rules=rules(settings.agent_silent_min),
        store=AlertStore(core.database, clock.now, core.owner),
        told_parked=core.runs.told_parked,
        operators=operators,
        clock=clock,
    )
    for guard in core.guards.by_name.values():
        guard.subscribe(observed.note_call)
        guard.breaker.subscribe(watch.note_breaker)
    core.orchestrator.subscribe(observed.note_event)
    core.orchestrator.subscribe(watch.note_event)
    actions = ActionStore(core.database, clock.now)
    operations = Operations(
        journal=actions,
        gate=core.gate,
        guards=core.guards.by_name,
        runner=core.runner,
        follow=follow,
        changed=survey.changed,
        clock=clock,
    )
    await operations.restore()
    return Ops(
        background=background,
        readiness=readiness,
        watch=watch,
        operations=operations,
        overview=overview,
        actions=actions,
        observed=observed,
        survey=survey,
        lag=lag,
        heartbeat=heartbeat,
    )


def add_ops(application: web.Application, settings: Settings, core: Core, ops: Ops) -> None:
    """The operators' routes on an application."""
    token = settings.ops_token
    access = Access(
        Door(
            here_only=settings.host in LOOPBACK and not settings.reached_by_proxy,
            token=None if token is None else token.get_secret_value(),
            hosts=frozenset(settings.ops_hosts),
        ),
        core.clock,
    )
    add_health(
        application,
        access=access,
        watch=ops.watch,
        readiness=ops.readiness,
        lag=ops.lag,
        metrics=Metrics(ops.observed),
    )
    add_dashboard(
        application,
        Panels(
            access=access,
            watch=ops.watch,
            operations=ops.operations,
            overview=ops.overview,
            runs=core.runs,
            reader=RunReader(core.runs, core.ledger, core.runner),
            actions=ops.actions,
            chat=settings.local,
        ),
    )


def scheduled_feeds(settings: Settings, core: Core) -> tuple[Any, ...]:
    """The feeds that scouts will ask for, read in the background."""
    feeds = core.catalogue.feeds
    names = feeds if "feeds" in settings.sources else set(settings.sources) & set(feeds)
    return tuple(feeds[name] for name in names)


def _heartbeat(settings: Settings, core: Core, readiness: Readiness) -> Heartbeat | None:
    if settings.heartbeat_url is None:
        return None
    guard = core.guards.make(HEARTBEAT, heartbeat_policy(settings), ping_fault)
    return Heartbeat(settings.heartbeat_url, guard, readiness.problems, core.clock)


async def _recall(observed: Observed, overview: OverviewStore) -> None:
    """Know what happened lately before this start; without it, begin anew."""
    try:
        observed.recall(await overview.lately(timedelta(seconds=WINDOW_S)))
    except StoreError as error:
        log.warning("what happened before the start is not known: %s", error)


@contextmanager
def crashes_noted(background: Background) -> Iterator[None]:
    """Note also the crashes of tasks that nobody waits for."""
    loop = asyncio.get_running_loop()

    def note(_loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        task = context.get("task") or context.get("future")
        if task is None:  # a connection's trouble, or something not closed: no work ended
            loop.default_exception_handler(context)
            return
        name = task.get_name() if isinstance(task, asyncio.Task) else "a future"
        background.crashed(name, context.get("exception"))

    before = loop.get_exception_handler()
    loop.set_exception_handler(note)
    try:
        yield
    finally:
        loop.set_exception_handler(before)
