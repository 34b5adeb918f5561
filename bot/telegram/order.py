"""Updates in order within a chat, at once across chats, and `/cancel` past the queue."""

import asyncio
from collections.abc import Awaitable
from weakref import WeakValueDictionary

from telegram import Update
from telegram.ext import BaseUpdateProcessor

_AT_ONCE_MAX = 1024  # of all chats, those that wait for their turn included


class ChatOrder(BaseUpdateProcessor):
    """One update of a chat at a time, in the order they came; a lock fades with its last user."""

    def __init__(self) -> None:
        super().__init__(max_concurrent_updates=_AT_ONCE_MAX)
        self._locks: WeakValueDictionary[int, asyncio.Lock] = WeakValueDictionary()

    async def initialize(self) -> None:
        """Nothing to open."""

    async def shutdown(self) -> None:
        """Nothing to close."""

    async def do_process_update(self, update: object, coroutine: Awaitable[object]) -> None:
        """Run the handlers of `update` when it is its turn."""
        chat = update.effective_chat if isinstance(update, Update) else None
        if chat is None or _is_cancel(update):
            await coroutine
            return
        lock = self._locks.get(chat.id)
        if lock is None:
            lock = self._locks[chat.id] = asyncio.Lock()
        async with lock:
            await coroutine


def _is_cancel(update: object) -> bool:
    message = update.message if isinstance(update, Update) else None
    words = (message.text or "").split(maxsplit=1) if message else []
    return bool(words) and words[0].partition("@")[0].lower() == "/cancel"
