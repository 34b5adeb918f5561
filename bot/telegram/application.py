"""The handler table: which update goes to which handler, on Telegram and in local mode alike."""

import logging
from typing import Any, TypeAlias

from telegram import BotCommand, Update
from telegram.error import TelegramError
from telegram.ext import (
    Application,
    ApplicationBuilder,
    CallbackQueryHandler,
    CommandHandler,
    ContextTypes,
    MessageHandler,
    filters,
)
from telegram.request import BaseRequest

from bot.telegram import views
from bot.telegram.handlers import Commands
from bot.telegram.order import ChatOrder
from bot.telegram.taps import Taps

# PTB's six type parameters say nothing to a reader.
BotApplication: TypeAlias = Application[Any, Any, Any, Any, Any, Any]

log = logging.getLogger(__name__)

BROKEN = "Something went wrong on our side. Nothing of yours was lost; please try again."


def build_application(token: str, request: BaseRequest) -> BotApplication:
    """A PTB application over `request`, in order per chat; handlers are added by `add_handlers`."""
    return (
        ApplicationBuilder()
        .token(token)
        .request(request)
        .get_updates_request(request)
        .concurrent_updates(ChatOrder())
        .job_queue(None)
        .build()
    )


def add_handlers(application: BotApplication, commands: Commands, taps: Taps) -> None:
    """The table. An edited message is not a new command, so only new messages count."""
    new = filters.UpdateType.MESSAGE
    table = {
        "start": commands.start,
        "help": commands.help,
        "profile": commands.profile,
        "scout": commands.scout,
        "draft": commands.draft,
        "saved": commands.saved,
        "cancel": commands.cancel,
        "privacy": commands.privacy,
        "export": commands.export,
        "forget": commands.forget,
    }
    for name, handler in table.items():
        application.add_handler(CommandHandler(name, handler, filters=new))
    application.add_handler(CallbackQueryHandler(taps.tapped))
    application.add_handler(MessageHandler(new & filters.COMMAND, commands.unknown))
    application.add_handler(MessageHandler(new & filters.TEXT, commands.text))
    application.add_handler(MessageHandler(new & ~filters.StatusUpdate.ALL, commands.other))
    application.add_error_handler(_apologise)


async def set_commands(application: BotApplication) -> None:
    """Tell Telegram the commands for its menu."""
    await application.bot.set_my_commands([BotCommand(*command) for command in views.COMMANDS])


async def _apologise(update: object, context: ContextTypes.DEFAULT_TYPE) -> None:
    """The handler boundary: log what broke, tell the person."""
    log.error("a handler broke", exc_info=context.error)
    if isinstance(update, Update) and update.effective_chat is not None:
        try:
            await context.bot.send_message(update.effective_chat.id, BROKEN)
        except TelegramError as error:
            log.warning("could not say so: %s", error)
