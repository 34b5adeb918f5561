"""The handler table: which update goes to which handler, on Telegram and in local mode alike."""

import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from telegram import (
    BotCommand,
    BotCommandScope,
    BotCommandScopeAllGroupChats,
    BotCommandScopeAllPrivateChats,
    BotCommandScopeChat,
    BotCommandScopeDefault,
    Message,
    Update,
)
from telegram.error import BadRequest, Forbidden, TelegramError
from telegram.ext import (
    Application,
    ApplicationBuilder,
    CallbackQueryHandler,
    ChatMemberHandler,
    CommandHandler,
    ContextTypes,
    MessageHandler,
    TypeHandler,
    filters,
)
from telegram.request import BaseRequest

from bot.telegram import ops_views, views
from bot.telegram.chats import Presence
from bot.telegram.groups import Groups
from bot.telegram.handlers import Commands
from bot.telegram.limits import Limits, limited
from bot.telegram.operators import Operators
from bot.telegram.sender import Sender
from bot.telegram.taps import Taps

# PTB's six type parameters say nothing to a reader.
BotApplication: TypeAlias = Application[Any, Any, Any, Any, Any, Any]

log = logging.getLogger(__name__)

ALLOWED_UPDATES = (Update.MESSAGE, Update.CALLBACK_QUERY, Update.MY_CHAT_MEMBER)
BROKEN = "Something went wrong on our side. Nothing of yours was lost; please try again."
TOO_MANY = "You write faster than I can answer: some of your last messages were not read."
HOPELESS = (
    "One of your last messages could not be answered: something went wrong on our side, each of "
    "several times. Please say it again, in other words if you can."
)


class _OfPeople(filters.MessageFilter):
    """What people write, also as a group's anonymous admin; not what other bots say, and not
    what a group's channel posts there."""

    def filter(self, message: Message) -> bool:
        """Whether a person wrote it."""
        user = message.from_user
        robot = user is not None and user.is_bot and message.sender_chat is None
        return not robot and not message.is_automatic_forward


_OF_PEOPLE = _OfPeople()


@dataclass(frozen=True, slots=True, kw_only=True)
class Rooms:
    """The handlers, by what they are about."""

    commands: Commands
    taps: Taps
    groups: Groups
    presence: Presence
    limits: Limits
    operators: Operators


def build_application(
    token: str, request: BaseRequest, sender: Sender, base_url: str | None = None
) -> BotApplication:
    """A PTB application whose calls go through `request` and `sender`; updates reach it by
    `process_update`, from the intake."""
    builder = (
        ApplicationBuilder()
        .token(token)
        .request(request)
        .get_updates_request(request)
        .rate_limiter(sender)
        .updater(None)
        .job_queue(None)
    )
    if base_url is not None:
        builder = builder.base_url(f"{base_url}/bot").base_file_url(f"{base_url}/file/bot")
    return builder.build()


def add_handlers(application: BotApplication, rooms: Rooms) -> None:
    """The table. An edited message is not a new command, so only new messages count; posts of
    channels and messages of other bots are nobody's."""
    application.add_handler(TypeHandler(Update, rooms.presence.seen), group=-1)
    commands = filters.UpdateType.MESSAGE & filters.COMMAND
    foreign = MessageHandler(commands, rooms.operators.note_foreign)
    application.add_handler(foreign, group=-2)
    _add_operators_handlers(application, rooms)
    _add_private_handlers(application, rooms)  # before the groups: nearly all updates are theirs
    _add_group_handlers(application, rooms)
    application.add_handler(
        ChatMemberHandler(rooms.presence.membership, ChatMemberHandler.MY_CHAT_MEMBER)
    )
    application.add_handler(MessageHandler(filters.StatusUpdate.MIGRATE, rooms.presence.migrated))
    application.add_error_handler(_apologise)


class _InOperatorsChats(filters.MessageFilter):
    """What is said in the operators' chats; asked each time."""

    def __init__(self, operators: Operators) -> None:
        super().__init__()
        self._operators = operators

    def filter(self, message: Message) -> bool:
        """Whether it was said in one of them."""
        return self._operators.are_in(message.chat_id)


def _add_operators_handlers(application: BotApplication, rooms: Rooms) -> None:
    operators = rooms.operators
    which = filters.UpdateType.MESSAGE & _OF_PEOPLE & _InOperatorsChats(operators)
    for name, handler in operators.commands.items():
        application.add_handler(CommandHandler(name, handler, filters=which))


def _add_private_handlers(application: BotApplication, rooms: Rooms) -> None:
    commands, limits = rooms.commands, rooms.limits
    new = filters.UpdateType.MESSAGE & filters.ChatType.PRIVATE
    table = {
        "start": commands.start,
        "help": commands.help,
        "profile": commands.profile,
        "draft": commands.draft,
        "saved": commands.saved,
        "privacy": commands.privacy,
        "export": commands.export,
        "forget": commands.forget,
    }
    for name, handler in table.items():
        application.add_handler(
            CommandHandler(name, limited(limits.commands, handler), filters=new)
        )
    scout = limited(limits.scouts, commands.scout)
    application.add_handler(CommandHandler("scout", scout, filters=new))
    application.add_handler(CommandHandler("cancel", commands.cancel, filters=new))
    application.add_handler(CallbackQueryHandler(rooms.taps.tapped))
    others = (
        (new & filters.COMMAND, commands.unknown),
        (new & filters.TEXT, commands.text),
        (new & ~filters.StatusUpdate.ALL, commands.other),
    )
    for which, handler in others:
        application.add_handler(MessageHandler(which, limited(limits.commands, handler)))


def _add_group_handlers(application: BotApplication, rooms: Rooms) -> None:
    groups, limits = rooms.groups, rooms.limits
    new = filters.UpdateType.MESSAGE & filters.ChatType.GROUPS & _OF_PEOPLE
    personal = [name for name, _ in views.COMMANDS if name not in {"start", "help", "privacy"}]
    table = {
        ("start", "help"): groups.about,
        ("privacy",): groups.privacy,
        ("scout",): groups.scout,
        tuple(name for name in personal if name != "scout"): groups.personal,
    }
    for names, handler in table.items():
        application.add_handler(
            CommandHandler(names, limited(limits.commands, handler), filters=new)
        )
    spoken_to = limited(limits.commands, groups.about)
    application.add_handler(MessageHandler(new & filters.TEXT & groups.spoken_to, spoken_to))


async def set_commands(application: BotApplication, operators: Collection[int]) -> None:
    """Tell Telegram the commands for its menus: all of them in private, few in groups, and in the
    operators' chats theirs besides."""
    private = [BotCommand(*command) for command in views.COMMANDS]
    few = [command for command in private if command.command in {"scout", "help", "privacy"}]
    scopes: Sequence[tuple[BotCommandScope, list[BotCommand]]] = (
        (BotCommandScopeAllPrivateChats(), private),
        (BotCommandScopeAllGroupChats(), few),
        (BotCommandScopeDefault(), few),
    )
    for scope, commands in scopes:
        await application.bot.set_my_commands(commands, scope=scope)
    theirs = [*private, *(BotCommand(*command) for command in ops_views.COMMANDS)]
    for chat_id in operators:
        try:
            await application.bot.set_my_commands(theirs, scope=BotCommandScopeChat(chat_id))
        except (BadRequest, Forbidden) as error:  # a menu is a help, no more
            log.info("an operators' chat has no menu of its own: %s", error)


async def tell(application: BotApplication, text: str, update: Update) -> None:
    """Say to the update's chat what became of it."""
    if update.effective_chat is not None:
        await application.bot.send_message(update.effective_chat.id, text)


async def _apologise(update: object, context: ContextTypes.DEFAULT_TYPE) -> None:
    """The handler boundary: log what broke, tell the person."""
    if isinstance(context.error, TelegramError):
        # Nothing of ours broke: Telegram would not take an answer, and says so again if asked.
        log.warning("an answer was not sent: %s", context.error)
        return
    log.error("a handler broke", exc_info=context.error)
    if isinstance(update, Update) and update.effective_chat is not None:
        try:
            await context.bot.send_message(update.effective_chat.id, BROKEN)
        except TelegramError as error:
            log.warning("could not say so: %s", error)
