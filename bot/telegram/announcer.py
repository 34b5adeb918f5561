"""Tells the operators' chats of alerts, each chat once."""

import logging
from collections.abc import Sequence

from telegram.error import BadRequest, Forbidden, TelegramError

from bot.telegram import ops_views
from bot.telegram.progress import BotApi, tell
from resilience.alerts import Digest

log = logging.getLogger(__name__)


class Announcer:
    """Implements the watch's Announces."""

    def __init__(self, bot: BotApi, chats: Sequence[int]) -> None:
        self._bot = bot
        self._chats = tuple(chats)
        self._digest: Digest | None = None
        self._told: set[int] = set()
        """The chats that have the digest of which others could not be told yet."""
        self._said = False

    @property
    def anybody(self) -> bool:
        """Whether there is a chat of operators."""
        return bool(self._chats)

    async def announce(self, digest: Digest) -> bool:
        """Tell each chat once; whether all have it, but those that can't be written to."""
        if digest != self._digest:
            self._digest, self._told, self._said = digest, set(), False
        failed = False
        for chat_id in self._chats:
            if chat_id in self._told:
                continue
            try:
                await tell(self._bot, chat_id, ops_views.digest(digest))
                self._told.add(chat_id)
            except TelegramError as error:
                if not self._said:
                    log.warning("an operators' chat has no alert: %s", error)
                    self._said = True
                # Telegram calls it a bad request where there is no such chat.
                failed = failed or not isinstance(error, Forbidden | BadRequest)
        return not failed
