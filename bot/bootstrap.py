"""The composition root: which adapter stands behind which port. Nothing else picks adapters."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass

from agents.action.agent import ActionAgent
from agents.discovery.agent import DiscoveryAgent
from agents.discovery.port import Sources
from agents.discovery.sources.catalogue import Catalogue
from agents.domain.errors import InvalidValue
from agents.draft import Drafting
from agents.matching.agent import MatchingAgent
from agents.scout import Scout, ScoutSteps
from agents.store.chat_log import ChatLog
from agents.store.database import Database, schema_sql
from agents.store.outcomes import OutcomeStore
from agents.store.people import PeopleStore
from agents.store.postings import PostingStore
from agents.store.runs import RunStore
from bot.settings import Settings
from bot.telegram.application import (
    BotApplication,
    add_handlers,
    build_application,
    set_commands,
)
from bot.telegram.handlers import Commands, Desk
from bot.telegram.local import ALLOWED_UPDATES, TOKEN, LocalTelegram
from bot.telegram.progress import ScoutMessages
from bot.telegram.taps import Taps
from bot.web.server import serve_chat
from resilience.clock import Clock, SystemClock
from resilience.saga import Orchestrator

__all__ = [
    "Core",
    "Fakes",
    "build_bot",
    "build_core",
    "build_database",
    "build_sources",
    "schema_sql",
]

LOCAL = "local"
"""The channel of local mode's one person."""
STOP_WITHIN_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Core:
    """The product without a way to reach it: what the chat and the command line stand on."""

    settings: Settings
    clock: Clock
    sources: Sources
    people: PeopleStore
    postings: PostingStore
    runs: RunStore
    outcomes: OutcomeStore
    chat_log: ChatLog
    discovery: DiscoveryAgent
    matching: MatchingAgent
    action: ActionAgent
    orchestrator: Orchestrator
    scout: Scout
    drafting: Drafting


@dataclass(frozen=True, slots=True, kw_only=True)
class Fakes:
    """What a test puts in the place of the real thing."""

    clock: Clock | None = None
    sources: Sources | None = None
    action: ActionAgent | None = None


def build_database(settings: Settings) -> Database:
    """The database of the settings; nothing is connected yet."""
    return Database.open(settings.database_url.get_secret_value())


def _check_sources(settings: Settings, sources: Sources) -> None:
    for spec in settings.sources:
        try:
            sources.resolve(spec)
        except InvalidValue as invalid:
            raise InvalidValue("SOURCES", invalid.problem, invalid.allowed) from invalid


def build_sources(clock: Clock | None = None) -> Sources:
    """The sources that postings come from."""
    return Catalogue((clock or SystemClock()).now)


@asynccontextmanager
async def build_core(settings: Settings, fakes: Fakes | None = None) -> AsyncIterator[Core]:
    """The product over a migrated database; runs under way stop, unfinished, when it is left."""
    fakes = fakes or Fakes()
    clock = fakes.clock or SystemClock()
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(build_database(settings))
        # SQLite is this process's own file; a shared database is migrated by its operator.
        await (database.migrate() if settings.sqlite else database.check())
        people = PeopleStore(database, clock.now)
        postings = PostingStore(database)
        runs = RunStore(database, clock.now)
        outcomes = OutcomeStore(database, clock.now)
        sources = fakes.sources or build_sources(clock)
        _check_sources(settings, sources)
        action = fakes.action or ActionAgent(outcomes)
        orchestrator = await stack.enter_async_context(Orchestrator(runs, clock))
        deadline_s = settings.source_timeout_s
        discovery = DiscoveryAgent(sources, postings, clock, source_deadline_s=deadline_s)
        matching = MatchingAgent(outcomes, clock)
        yield Core(
            settings=settings,
            clock=clock,
            sources=sources,
            people=people,
            postings=postings,
            runs=runs,
            outcomes=outcomes,
            chat_log=ChatLog(database),
            discovery=discovery,
            matching=matching,
            action=action,
            orchestrator=orchestrator,
            scout=Scout(
                steps=ScoutSteps(discovery, matching, action, people),
                sources=sources,
                runs=runs,
                outcomes=outcomes,
                orchestrator=orchestrator,
            ),
            drafting=Drafting(action, outcomes, people, runs),
        )


@asynccontextmanager
async def build_bot(settings: Settings, fakes: Fakes | None = None) -> AsyncIterator[str]:
    """The bot in local mode, running; gives the address of its web server.

    The port is taken first: a second start on the same port ends before it touches a run.
    """
    async with AsyncExitStack() as stack:
        core = await stack.enter_async_context(build_core(settings, fakes))
        telegram = LocalTelegram(core.chat_log)
        address = await stack.enter_async_context(
            serve_chat(telegram, settings.host, settings.port)
        )
        application = build_application(TOKEN, telegram)
        messages = ScoutMessages(
            bot=application.bot,
            scout=core.scout,
            runs=core.runs,
            orchestrator=core.orchestrator,
            clock=core.clock,
        )
        desk = Desk(
            bot=application.bot,
            channel=LOCAL,
            people=core.people,
            runs=core.runs,
            scout=core.scout,
            drafting=core.drafting,
            messages=messages,
            sources=settings.sources,
            config=settings.scout_config,
            sample_fallback=True,
            clear_chat=telegram.clear,
        )
        add_handlers(application, Commands(desk), Taps(desk))
        await stack.enter_async_context(application)
        await stack.enter_async_context(messages)
        await set_commands(application)
        await messages.recover((LOCAL,))
        await stack.enter_async_context(_polling(application))
        yield address


@asynccontextmanager
async def _polling(application: BotApplication) -> AsyncIterator[None]:
    """Fetch and handle updates until left; handlers get a few seconds to finish."""
    assert application.updater is not None  # noqa: S101 - built with one
    await application.start()
    await application.updater.start_polling(timeout=30, allowed_updates=ALLOWED_UPDATES)
    try:
        yield
    finally:
        await application.updater.stop()
        with suppress(TimeoutError):
            async with asyncio.timeout(STOP_WITHIN_S):
                await application.stop()
