"""The composition root: which adapter stands behind which port. Nothing else picks adapters."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import partial

from aiohttp import web
from telegram import Bot
from telegram.error import BadRequest, InvalidToken
from telegram.request import BaseRequest

from agents.action.agent import ActionAgent
from agents.discovery.agent import DiscoveryAgent
from agents.discovery.port import Sources
from agents.discovery.refresh import FeedRefresher
from cache.single_flight import SingleFlight
from agents.discovery.sources.actor_list import load_actors
from agents.discovery.sources.apify_runs import ApifyRuns
from agents.discovery.sources.catalogue import Apify, Catalogue
from agents.discovery.sources.feed_list import load_feeds
from agents.discovery.sources.http import HttpReader
from agents.discovery.stored import Refreshed
from agents.domain.errors import InvalidValue
from agents.draft import Drafting
from agents.matching.agent import MatchingAgent
from agents.scout import Scout, ScoutSteps
from agents.store.chat_log import ChatLog
from agents.store.database import Database, schema_sql
from agents.store.inbox import InboxStore
from agents.store.outcomes import OutcomeStore
from agents.store.people import PeopleStore
from agents.store.postings import PostingStore
from agents.store.runs import RunStore
from agents.store.shelf import ShelfStore
from bot.settings import Settings
from bot.telegram.application import (
    ALLOWED_UPDATES,
    BotApplication,
    Rooms,
    add_handlers,
    build_application,
    set_commands,
    too_many,
)
from bot.telegram.chats import Presence
from bot.telegram.groups import Groups
from bot.telegram.handlers import Commands, Desk
from bot.telegram.intake import Intake
from bot.telegram.limits import Buckets, Limits
from bot.telegram.local import TOKEN, LocalTelegram
from bot.telegram.polling import insist, poll
from bot.telegram.progress import ScoutMessages
from bot.telegram.request import AiohttpRequest
from bot.telegram.sender import Sender
from bot.telegram.taps import Taps
from bot.web.chat import add_chat
from bot.web.server import private_application, public_application, serve
from bot.web.webhook import BODY_BYTES_MAX, PATH, add_webhook
from resilience.bucket import TokenBucket
from resilience.clock import Clock, SystemClock
from resilience.saga import Orchestrator

__all__ = [
    "Catalogue",
    "Core",
    "Fakes",
    "Running",
    "build_bot",
    "build_catalogue_alone",
    "build_core",
    "build_database",
    "schema_sql",
    "telegram_username",
]

LOCAL, TELEGRAM = "local", "telegram"
"""The channels that people come by: local mode's one person, and Telegram's users."""


MENU_WITHIN_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Core:
    """The product without a way to reach it: what the chat and the command line stand on."""

    settings: Settings
    clock: Clock
    database: Database
    catalogue: Catalogue
    shelf: ShelfStore
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
    sources: Callable[[Sources], Sources] | None = None  # given the real ones
    action: ActionAgent | None = None


def build_database(settings: Settings) -> Database:
    """The database of the settings; nothing is connected yet."""
    return Database.open(settings.database_url.get_secret_value())


def _check_sources(settings: Settings, sources: Sources) -> None:
    for spec in settings.sources:
        try:
            sources.check(spec)
        except InvalidValue as invalid:
            raise InvalidValue("SOURCES", invalid.problem, invalid.allowed) from invalid


@asynccontextmanager
async def build_catalogue(
    settings: Settings, shelf: ShelfStore, clock: Clock
) -> AsyncIterator[Catalogue]:
    """The sources that postings come from; what they fetch ends when it is left.

    Raises InvalidValue for a list of feeds or actors that can't be used.
    """
    feeds = load_feeds(settings.feeds_file, settings.feed_boards)
    actors = load_actors(settings.apify_actors_file)
    async with AsyncExitStack() as stack:
        http = await stack.enter_async_context(HttpReader(settings.source_timeout_s))
        apify = None
        if settings.apify_api_token is not None:
            token = settings.apify_api_token.get_secret_value()
            runs = ApifyRuns(token, settings.apify_api_base_url)
            stack.push_async_callback(runs.close)
            starts = TokenBucket(
                burst=settings.apify_starts_per_min,
                refill_s=60.0 / settings.apify_starts_per_min,
                monotonic=clock.monotonic,
            )
            apify = Apify(actors=actors, runs=runs, starts=starts, run_usd=settings.apify_run_usd)
        work = await stack.enter_async_context(SingleFlight[Refreshed]())
        yield Catalogue(clock=clock, shelf=shelf, work=work, feeds=feeds, http=http, apify=apify)


@asynccontextmanager
async def build_catalogue_alone(settings: Settings) -> AsyncIterator[Catalogue]:
    """The sources over a database that is up to date, without the rest of the product."""
    async with build_database(settings) as database:
        shelf = ShelfStore(database, PostingStore(database))
        async with build_catalogue(settings, shelf, SystemClock()) as catalogue:
            yield catalogue


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
        shelf = ShelfStore(database, postings)
        catalogue = await stack.enter_async_context(build_catalogue(settings, shelf, clock))
        sources = fakes.sources(catalogue) if fakes.sources is not None else catalogue
        _check_sources(settings, sources)
        action = fakes.action or ActionAgent(outcomes)
        orchestrator = await stack.enter_async_context(Orchestrator(runs, clock))
        deadline_s = settings.source_timeout_s
        discovery = DiscoveryAgent(sources, postings, clock, source_deadline_s=deadline_s)
        matching = MatchingAgent(outcomes, clock)
        yield Core(
            settings=settings,
            clock=clock,
            database=database,
            catalogue=catalogue,
            shelf=shelf,
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """A bot that runs: the address of its web server, if it has one, and its failure, if any."""

    address: str | None
    username: str
    failed: asyncio.Future[None]
    """Done, with the reason, when the bot can't go on by itself."""


@asynccontextmanager
async def build_bot(settings: Settings, fakes: Fakes | None = None) -> AsyncIterator[Running]:
    """The bot, running: on Telegram with a token, else in local mode.

    The port is taken first: a second start on the same port ends before it touches a run.
    """
    async with AsyncExitStack() as stack:
        core = await stack.enter_async_context(build_core(settings, fakes))
        build = _local_wires if settings.local else _telegram_wires
        wires = build(settings, core)
        sender = Sender(
            wires.inbox,
            core.clock,
            moves=await wires.inbox.moves(),
            blocked=await wires.inbox.blocked_chats() if wires.channel == TELEGRAM else set(),
        )
        application = build_application(wires.token, wires.request, sender, wires.base_url)
        taps, messages, rooms = _rooms(settings, core, wires, application, sender)
        intake = Intake(
            bot=application.bot,
            inbox=wires.inbox,
            handle=application.process_update,
            on_arrival=taps.acknowledge,
            on_overflow=partial(too_many, application),
        )
        address = None
        if (site := wires.site(intake)) is not None:
            address = await stack.enter_async_context(serve(site, settings.host, settings.port))
        add_handlers(application, rooms)
        # PTB closes it too, but not when its own start fails.
        stack.push_async_callback(wires.request.shutdown)
        with _token_unsaid():
            await stack.enter_async_context(application)
        await stack.enter_async_context(messages)
        commands = asyncio.ensure_future(insist(partial(set_commands, application), core.clock))
        stack.push_async_callback(_end, commands)
        await asyncio.wait({commands}, timeout=MENU_WITHIN_S)  # a menu is no reason not to start
        await messages.recover((wires.channel,))
        await stack.enter_async_context(intake)
        fetching = asyncio.ensure_future(wires.fetch(application.bot, intake))
        stack.push_async_callback(_end, fetching)
        await stack.enter_async_context(_refresher(settings, core))
        yield Running(address=address, username=application.bot.username, failed=fetching)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wires:
    """What differs between local mode and Telegram: how calls go out and updates come in."""

    channel: str
    token: str
    base_url: str | None
    request: BaseRequest
    inbox: InboxStore
    site: Callable[[Intake], web.Application | None]
    fetch: Callable[[Bot, Intake], Awaitable[None]]
    """Brings updates in until cancelled; raises when that can't be done at all."""
    clear_chat: Callable[[], Awaitable[None]] | None = None


def _local_wires(settings: Settings, core: Core) -> _Wires:
    telegram = LocalTelegram(core.chat_log)

    def site(_intake: Intake) -> web.Application:
        application = private_application()
        add_chat(application, telegram)
        return application

    return _Wires(
        channel=LOCAL,
        token=TOKEN,
        base_url=None,
        request=telegram,
        inbox=_inbox(core, TOKEN),
        site=site,
        fetch=lambda bot, intake: poll(bot, telegram, intake, core.clock, ALLOWED_UPDATES),
        clear_chat=telegram.clear,
    )


def _telegram_wires(settings: Settings, core: Core) -> _Wires:
    assert settings.telegram_bot_token is not None  # noqa: S101 - else it is local mode
    token = settings.telegram_bot_token.get_secret_value()
    request = AiohttpRequest()
    given = settings.webhook_secret
    secret = given.get_secret_value() if given is not None else secrets.token_urlsafe(32)

    def site(intake: Intake) -> web.Application | None:
        if settings.webhook_url is None:
            return None
        application = public_application(BODY_BYTES_MAX)
        add_webhook(application, intake, secret)
        return application

    async def fetch(bot: Bot, intake: Intake) -> None:
        if settings.webhook_url is None:
            await insist(bot.delete_webhook, core.clock)
            await poll(bot, request, intake, core.clock, ALLOWED_UPDATES)
            return
        address = settings.webhook_url + PATH
        await insist(
            partial(bot.set_webhook, address, secret_token=secret, allowed_updates=ALLOWED_UPDATES),
            core.clock,
            fatal=(InvalidToken, BadRequest),  # such as an address that Telegram can't reach
        )
        await asyncio.Event().wait()  # Telegram brings them

    return _Wires(
        channel=TELEGRAM,
        token=token,
        base_url=settings.telegram_api_base_url,
        request=request,
        inbox=_inbox(core, token),
        site=site,
        fetch=fetch,
    )


async def telegram_username(settings: Settings) -> str:
    """Who the token belongs to; raises TelegramError."""
    assert settings.telegram_bot_token is not None  # noqa: S101 - asked only with one
    token, base_url = settings.telegram_bot_token.get_secret_value(), settings.telegram_api_base_url
    request = AiohttpRequest()
    bot = Bot(token, f"{base_url}/bot", request=request, get_updates_request=request)
    try:
        with _token_unsaid():
            async with bot:
                return bot.username
    finally:
        await request.shutdown()


@contextmanager
def _token_unsaid() -> Iterator[None]:
    """PTB's error about a token that is not known quotes it."""
    try:
        yield
    except InvalidToken:
        raise InvalidToken("Telegram does not know the token") from None


def _inbox(core: Core, token: str) -> InboxStore:
    return InboxStore(core.database, core.clock.now, int(token.partition(":")[0]))


def _rooms(
    settings: Settings, core: Core, wires: _Wires, application: BotApplication, sender: Sender
) -> tuple[Taps, ScoutMessages, Rooms]:
    messages = ScoutMessages(
        bot=application.bot,
        scout=core.scout,
        runs=core.runs,
        orchestrator=core.orchestrator,
        clock=core.clock,
    )
    desk = Desk(
        bot=application.bot,
        channel=wires.channel,
        people=core.people,
        runs=core.runs,
        scout=core.scout,
        drafting=core.drafting,
        messages=messages,
        sources=settings.sources,
        config=settings.scout_config,
        sample_fallback=settings.local,
        clear_chat=wires.clear_chat,
    )
    limits = Limits(application.bot, _buckets(settings, core.clock), core.clock)
    taps = Taps(desk, limits)
    rooms = Rooms(
        commands=Commands(desk, wires.inbox, limits),
        taps=taps,
        groups=Groups(desk, wires.inbox),
        presence=Presence(sender, wires.inbox),
        limits=limits,
    )
    return taps, messages, rooms


def _buckets(settings: Settings, clock: Clock) -> Buckets:
    return Buckets(
        scouts=TokenBucket(
            burst=settings.scouts_burst,
            refill_s=settings.scout_refill_s,
            monotonic=clock.monotonic,
        ),
        commands=TokenBucket(
            burst=settings.commands_burst,
            refill_s=settings.command_refill_s,
            monotonic=clock.monotonic,
        ),
    )


def _refresher(settings: Settings, core: Core) -> FeedRefresher:
    """The feeds that scouts will ask for, read in the background."""
    feeds = core.catalogue.feeds
    names = feeds if "feeds" in settings.sources else set(settings.sources) & set(feeds)
    return FeedRefresher((feeds[name] for name in names), core.shelf, core.clock)


async def _end(fetching: asyncio.Future[None]) -> None:
    fetching.cancel()
    await asyncio.gather(fetching, return_exceptions=True)
