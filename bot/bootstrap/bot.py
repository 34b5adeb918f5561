"""The bot, running: the product with its chat, on Telegram or on a page of its own."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from functools import partial

from aiohttp import web
from pydantic import SecretStr
from telegram import Bot
from telegram.error import BadRequest, InvalidToken
from telegram.request import BaseRequest

from agents.discovery.refresh import FeedRefresher
from agents.recovery import Recovery
from agents.run_details import RunReader
from agents.run_feed import RunFeed
from agents.store.inbox import InboxStore
from bot.bootstrap.core import Core, Fakes, build_core
from bot.bootstrap.ops import Ops, add_ops, build_ops, crashes_noted, scheduled_feeds
from bot.ops.readiness import Life
from bot.settings import Settings, TeamKey
from bot.telegram.announcer import Announcer
from bot.telegram.application import (
    ALLOWED_UPDATES,
    HOPELESS,
    TOO_MANY,
    BotApplication,
    Rooms,
    add_handlers,
    build_application,
    set_commands,
    tell,
)
from bot.telegram.chats import Presence
from bot.telegram.connection import Connection
from bot.telegram.groups import Groups
from bot.telegram.handlers import Commands, Desk
from bot.telegram.intake import Intake
from bot.telegram.limits import Buckets, Limits
from bot.telegram.local import TOKEN, LocalTelegram
from bot.telegram.operators import Operators
from bot.telegram.polling import insist, poll
from bot.telegram.progress import ScoutMessages
from bot.telegram.request import AiohttpRequest
from bot.telegram.sender import Sender
from bot.telegram.taps import Taps
from bot.web.api import Api, add_api
from bot.web.chat import add_chat
from bot.web.runs import CHANNEL as API
from bot.web.server import private_application, public_application, serve
from bot.web.teams import Teams
from bot.web.webhook import BODY_BYTES_MAX, PATH, add_webhook
from resilience.background import Background
from resilience.bucket import TokenBucket
from resilience.clock import Clock

LOCAL, TELEGRAM = "local", "telegram"
"""The channels that people come by: local mode's one person, and Telegram's users. Teams come by
API; CLI is the terminal."""


MENU_WITHIN_S = 5.0
ASK_TELEGRAM_EVERY_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """A bot that runs: the address of its web server, and its failure, if any."""

    address: str
    username: str
    failed: asyncio.Future[None]
    """Done, with the reason, when the bot can't go on by itself."""
    api_key: str | None = field(repr=False)
    """The key of the run API that was made for this start."""
    under_way: Callable[[], int]
    """How many runs are executed now."""
    drain: Callable[[], Awaitable[None]]
    """Take nothing new, and return when no run is under way."""


@asynccontextmanager
async def build_bot(settings: Settings, fakes: Fakes | None = None) -> AsyncIterator[Running]:
    """The bot, running: on Telegram with a token, else in local mode.

    The port is taken first: a second start on the same port ends before it touches a run.
    """
    async with AsyncExitStack() as stack:
        core = await stack.enter_async_context(build_core(settings, fakes))
        background = Background(core.clock)
        stack.push_async_callback(background.end)
        stack.enter_context(crashes_noted(background))
        life = Life(telegram=Connection(connected=settings.local))
        wires = (_local_wires if settings.local else _telegram_wires)(settings, core, life)
        sender = Sender(
            wires.inbox,
            core.clock,
            moves=await wires.inbox.moves(),
            blocked=await wires.inbox.blocked_chats() if wires.channel == TELEGRAM else set(),
        )
        application = build_application(wires.token, wires.request, sender, wires.base_url)
        messages = _messages(core, application, background)
        ops = await build_ops(
            settings,
            core,
            background=background,
            life=life,
            operators=Announcer(application.bot, settings.admin_chat_id),
            follow=messages.follow,
        )
        await stack.enter_async_context(ops.readiness)
        taps, rooms = _rooms(settings, core, wires, application, sender, messages, ops)
        intake = Intake(
            bot=application.bot,
            inbox=wires.inbox,
            handle=application.process_update,
            on_arrival=taps.acknowledge,
            on_overflow=partial(tell, application, TOO_MANY),
            on_hopeless=partial(tell, application, HOPELESS),
        )
        site = wires.site(intake)
        add_ops(site, settings, core, ops)
        address = await stack.enter_async_context(serve(site, settings.host, settings.port))
        add_handlers(application, rooms)
        # PTB closes it too, but not when its own start fails.
        stack.push_async_callback(wires.request.shutdown)
        with _token_unsaid():
            await stack.enter_async_context(application)
        await stack.enter_async_context(messages)
        menus = partial(set_commands, application, settings.admin_chat_id)
        commands = asyncio.ensure_future(insist(menus, core.clock))
        stack.push_async_callback(_end, commands)
        await asyncio.wait({commands}, timeout=MENU_WITHIN_S)  # a menu is no reason not to start
        await messages.recover(wires.channels)
        recovery = Recovery(
            core.runner, core.clock, wires.channels, messages.follow, core.runs.drop_old_keys
        )
        await stack.enter_async_context(intake)
        fetching = asyncio.ensure_future(wires.fetch(application.bot, intake))
        stack.push_async_callback(_end, fetching)
        feeds = FeedRefresher(
            scheduled_feeds(settings, core),
            core.shelf,
            core.clock,
            is_open=partial(core.gate.is_open, "discovery"),
        )
        await stack.enter_async_context(feeds)
        stack.push_async_callback(background.end)  # before what its work works with
        background.start(core.forgetting.keep_telling(), "forgetting")
        background.start(recovery.keep_recovering(), "recovery")
        ops.start()

        async def drain() -> None:
            life.stopping.set()
            fetching.cancel()  # what comes now stays at Telegram, for the next start
            await core.orchestrator.drain()

        yield Running(
            address=address,
            username=application.bot.username,
            failed=fetching,
            api_key=wires.api_key,
            under_way=lambda: core.orchestrator.executing,
            drain=drain,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wires:
    """What differs between local mode and Telegram: how calls go out and updates come in."""

    channel: str
    channels: tuple[str, ...]
    """Those whose runs are taken up when nobody executes them."""
    token: str
    base_url: str | None
    request: BaseRequest
    inbox: InboxStore
    site: Callable[[Intake], web.Application]
    fetch: Callable[[Bot, Intake], Awaitable[None]]
    """Brings updates in until cancelled; raises when that can't be done at all."""
    clear_chat: Callable[[], Awaitable[None]] | None = None
    api_key: str | None = field(default=None, repr=False)


def _local_wires(settings: Settings, core: Core, life: Life) -> _Wires:
    telegram = LocalTelegram(core.chat_log)

    keys = settings.api_keys
    if not keys:  # one for this start: the page's person is the only one who can reach it
        keys = (TeamKey("local", SecretStr(secrets.token_urlsafe(24))),)

    def site(_intake: Intake) -> web.Application:
        application = private_application()
        add_chat(application, telegram)
        add_api(application, _api(settings, core, keys, life))
        return application

    return _Wires(
        channel=LOCAL,
        channels=(LOCAL, API),
        token=TOKEN,
        base_url=None,
        request=telegram,
        inbox=_inbox(core, TOKEN),
        site=site,
        fetch=lambda bot, intake: poll(bot, telegram, intake, core.clock, ALLOWED_UPDATES),
        clear_chat=telegram.clear,
        api_key=None if settings.api_keys else keys[0].key.get_secret_value(),
    )


def _telegram_wires(settings: Settings, core: Core, life: Life) -> _Wires:
    assert settings.telegram_bot_token is not None  # noqa: S101 - else it is local mode
    token = settings.telegram_bot_token.get_secret_value()
    request = AiohttpRequest()
    given = settings.webhook_secret
    secret = given.get_secret_value() if given is not None else secrets.token_urlsafe(32)

    def site(intake: Intake) -> web.Application:
        application = public_application(BODY_BYTES_MAX)
        if settings.webhook_url is not None:
            add_webhook(application, intake, secret)
        if settings.api_keys:
            add_api(application, _api(settings, core, settings.api_keys, life))
        return application

    async def fetch(bot: Bot, intake: Intake) -> None:
        if settings.webhook_url is None:
            await insist(bot.delete_webhook, core.clock, life.telegram)
            await poll(bot, request, intake, core.clock, ALLOWED_UPDATES, life.telegram)
            return
        address = settings.webhook_url + PATH
        await insist(
            partial(bot.set_webhook, address, secret_token=secret, allowed_updates=ALLOWED_UPDATES),
            core.clock,
            life.telegram,
            fatal=(InvalidToken, BadRequest),  # such as an address that Telegram can't reach
        )
        while True:  # Telegram brings them; whether it is there is asked now and then
            await core.clock.sleep(ASK_TELEGRAM_EVERY_S)
            await insist(bot.get_me, core.clock, life.telegram)

    return _Wires(
        channel=TELEGRAM,
        channels=(TELEGRAM, API),
        token=token,
        base_url=settings.telegram_api_base_url,
        request=request,
        inbox=_inbox(core, token),
        site=site,
        fetch=fetch,
    )


def _api(settings: Settings, core: Core, keys: tuple[TeamKey, ...], life: Life) -> Api:
    return Api(
        stopping=life.stopping.is_set,
        teams=Teams(keys),
        runner=core.runner,
        reader=RunReader(core.runs, core.ledger, core.runner),
        feed=RunFeed(core.ledger, core.orchestrator),
        people=core.people,
        sources=settings.sources,
        known_sources=core.catalogue.names,
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


def _messages(core: Core, application: BotApplication, background: Background) -> ScoutMessages:
    return ScoutMessages(
        bot=application.bot,
        runner=core.runner,
        runs=core.runs,
        orchestrator=core.orchestrator,
        clock=core.clock,
        crashed=background.crashed,
    )


def _rooms(  # noqa: PLR0917 - each of another kind
    settings: Settings,
    core: Core,
    wires: _Wires,
    application: BotApplication,
    sender: Sender,
    messages: ScoutMessages,
    ops: Ops,
) -> tuple[Taps, Rooms]:
    limits = Limits(application.bot, _buckets(settings, core.clock), core.clock)
    desk = Desk(
        bot=application.bot,
        channel=wires.channel,
        people=core.people,
        runs=core.runs,
        runner=core.runner,
        drafting=core.drafting,
        forgetting=core.forgetting,
        messages=messages,
        sources=settings.sources,
        config=settings.scout_config,
        sample_fallback=settings.local,
        clear_chat=wires.clear_chat,
        give_back=limits.give_back_scout,
    )
    taps = Taps(desk, limits)
    operators = Operators(
        bot=application.bot,
        chats=settings.admin_chat_id,
        channel=wires.channel,
        sender=sender,
        people=core.people,
        runs=core.runs,
        reader=RunReader(core.runs, core.ledger, core.runner),
        watch=ops.watch,
        operations=ops.operations,
    )
    rooms = Rooms(
        operators=operators,
        commands=Commands(desk, wires.inbox, limits),
        taps=taps,
        groups=Groups(desk, wires.inbox),
        presence=Presence(sender, wires.inbox),
        limits=limits,
    )
    return taps, rooms


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


async def _end(fetching: asyncio.Future[None]) -> None:
    fetching.cancel()
    await asyncio.gather(fetching, return_exceptions=True)
