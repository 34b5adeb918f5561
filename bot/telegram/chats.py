"""Who is there: people who block the bot and come back, groups that get another id."""

from typing import Protocol

from telegram import ChatMember, Update

from bot.telegram.sender import Sender


class Links(Protocol):
    """Opaque tokens for start links."""

    async def link(self, user_id: str, words: str) -> str:
        """A token that stands for these words of the person."""
        ...

    async def linked(self, token: str) -> str | None:
        """The words behind a token, or None."""
        ...


class Presences(Protocol):
    """Where it is remembered who blocked the bot."""

    async def blocked(self, chat_id: int) -> None:
        """They did."""
        ...

    async def came_back(self, chat_id: int) -> None:
        """They write again."""
        ...


class Presence:
    """The handlers that follow people and chats."""

    def __init__(self, sender: Sender, store: Presences) -> None:
        self._sender = sender
        self._store = store

    async def seen(self, update: Update, context: object) -> None:
        """Before any other handler: who writes or taps is back."""
        chat = update.effective_chat
        wrote = update.message is not None or update.callback_query is not None
        if chat is not None and wrote and self._sender.came_back(chat.id):
            await self._store.came_back(chat.id)

    async def membership(self, update: Update, context: object) -> None:
        """They blocked the bot, or unblocked it."""
        change = update.my_chat_member
        if change is None or change.chat.type != change.chat.PRIVATE:
            return
        if change.new_chat_member.status == ChatMember.BANNED:
            self._sender.left(change.chat.id)
            await self._store.blocked(change.chat.id)
        elif self._sender.came_back(change.chat.id):
            await self._store.came_back(change.chat.id)

    async def migrated(self, update: Update, context: object) -> None:
        """A group became a supergroup."""
        message = update.message
        if message is not None and message.migrate_to_chat_id is not None:
            await self._sender.moved(message.chat.id, message.migrate_to_chat_id)
