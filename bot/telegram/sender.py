"""What stands between the bot and Telegram's limits: every outgoing call passes here.

A flood wait holds the chat that it was meant for and no other. Texts that Telegram can't parse go
plain, calls to a chat that moved follow it, a chat whose person blocked the bot is left alone.
"""

import asyncio
import html
import logging
import re
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, Protocol
from weakref import WeakValueDictionary

from telegram.error import BadRequest, ChatMigrated, Forbidden, TelegramError
from telegram.ext import BaseRateLimiter

from bot.telegram.request import FloodWait
from bot.telegram.slots import slot_given_back
from resilience.clock import Clock

FLOODS_MAX = 5
"""How often one call waits before it is given up."""
FLOOD_MAX_S = 900.0
MOVES_MAX = 2
"""How often one call follows its chat to another id."""
WAITING_MAX = 50
"""How many calls wait for one chat; what comes then is refused."""
_SHOWN_MAX = 10_000
NOTHING_MORE = object()
"""As `rate_limit_args` of a message that is sent and never changed: its id is of no use."""
_TAG = re.compile(r"</?[a-zA-Z][^<>]*>")

log = logging.getLogger(__name__)

Call = Callable[..., Coroutine[Any, Any, Any]]
Data = dict[str, Any]


class Chats(Protocol):
    """What is remembered about chats across restarts."""

    async def moved(self, old: int, new: int) -> None:
        """A group became a supergroup, with another id."""
        ...

    async def blocked(self, chat_id: int) -> None:
        """The person blocked the bot."""
        ...


class TooManyWaiting(TelegramError):  # noqa: N818 - names the event
    """A chat in a flood wait has as many calls waiting as are kept."""


class Sender(BaseRateLimiter[object]):
    """PTB's port for what happens to a call before it is made."""

    def __init__(
        self, chats: Chats, clock: Clock, *, moves: dict[int, int], blocked: set[int]
    ) -> None:
        self._chats = chats
        self._clock = clock
        self._moves = moves
        self._blocked = blocked
        self._turns: WeakValueDictionary[int, _Turn] = WeakValueDictionary()
        self._shown: OrderedDict[tuple[int, int], int] = OrderedDict()

    async def initialize(self) -> None:
        """Nothing to open."""

    async def shutdown(self) -> None:
        """Nothing to close."""

    def came_back(self, chat_id: int) -> bool:
        """Note that the person writes again; False when they never were away."""
        away = chat_id in self._blocked
        self._blocked.discard(chat_id)
        return away

    def left(self, chat_id: int) -> None:
        """Note that the person blocked the bot."""
        self._blocked.add(chat_id)

    def present(self, chat_id: int) -> int:
        """The id that the chat has now."""
        for _ in range(MOVES_MAX):
            chat_id = self._moves.get(chat_id, chat_id)
        return chat_id

    async def moved(self, old: int, new: int) -> None:
        """Note that a chat has another id from now on."""
        self._moves[old] = new
        await self._chats.moved(old, new)

    async def process_request(  # noqa: PLR0917 - the signature is PTB's
        self,
        callback: Call,
        args: Any,
        kwargs: dict[str, Any],
        endpoint: str,
        data: Data,
        rate_limit_args: object,
    ) -> Any:
        """Make the call when its chat may be written to; raises what it raises in the end.

        The answer of an edit, and of a message sent with NOTHING_MORE, is not looked at again: it
        is True then, which spares PTB from making a Message of it.
        """
        chat_id = data.get("chat_id")
        if not isinstance(chat_id, int):
            return await self._unbound(callback, args, kwargs)
        turn = self._turns.get(chat_id)
        if turn is None:
            turn = self._turns[chat_id] = _Turn()
        if turn.waiting >= WAITING_MAX:
            raise TooManyWaiting(f"{WAITING_MAX} calls wait for this chat")
        turn.waiting += 1
        try:
            async with _turn_taken(turn.lock):
                result = await self._in_turn(callback, args, kwargs, endpoint, data)
        finally:
            turn.waiting -= 1
        unseen = endpoint == "editMessageText" or rate_limit_args is NOTHING_MORE
        return True if unseen else result

    async def _unbound(self, callback: Call, args: Any, kwargs: dict[str, Any]) -> Any:
        """A call for no chat, such as the answer to a tap: it waits for nobody, once over."""
        try:
            return await callback(*args, **kwargs)
        except FloodWait as flood:
            await self._clock.sleep(min(flood.seconds, FLOOD_MAX_S))
            return await callback(*args, **kwargs)

    async def _in_turn(
        self, callback: Call, args: Any, kwargs: dict[str, Any], endpoint: str, data: Data
    ) -> Any:
        """Make the call, knowing what the chat's earlier calls came to."""
        data["chat_id"] = self._moves.get(data["chat_id"], data["chat_id"])
        if data["chat_id"] in self._blocked:
            raise Forbidden("left alone: they blocked the bot")
        digest = _digest(data)  # before the text may have to go plain
        if endpoint == "editMessageText":
            message = (data["chat_id"], data["message_id"])
            # Forgotten until the edit succeeds: of one that fails nobody knows what it left.
            if self._shown.pop(message, None) == digest:
                self._shown[message] = digest
                return True
        result = await self._insist(callback, args, kwargs, data)
        self._remember(endpoint, data["chat_id"], result, digest)
        return result

    async def _insist(self, callback: Call, args: Any, kwargs: dict[str, Any], data: Data) -> Any:
        """Make the call, again while what stopped it can be mended or waited out."""
        floods = moves = 0
        while True:
            try:
                return await callback(*args, **kwargs)
            except FloodWait as flood:
                floods += 1
                if floods > FLOODS_MAX or flood.seconds > FLOOD_MAX_S:
                    raise
                log.info("a chat is in a flood wait of %g s", flood.seconds)
                async with slot_given_back():
                    await self._clock.sleep(flood.seconds)
            except ChatMigrated as move:
                moves += 1
                if moves > MOVES_MAX:
                    raise
                await self.moved(data["chat_id"], move.new_chat_id)
                data["chat_id"] = move.new_chat_id
            except Forbidden:
                self.left(data["chat_id"])
                await self._chats.blocked(data["chat_id"])
                raise
            except BadRequest as refused:
                parsing = "parse entities" in str(refused).lower()  # PTB changes the capitals
                if not parsing or "parse_mode" not in data:
                    raise
                log.warning("a text of ours was no valid HTML and went plain: %s", refused)
                _make_plain(data)

    def _remember(self, endpoint: str, chat_id: int, result: Any, digest: int) -> None:
        """Keep what a message shows, so that the same edit is not sent again."""
        message_id = result.get("message_id") if isinstance(result, dict) else None
        if message_id is None or endpoint not in {"editMessageText", "sendMessage"}:
            return
        self._shown[chat_id, message_id] = digest  # the newest: an edit has dropped the old one
        if len(self._shown) > _SHOWN_MAX:
            self._shown.popitem(last=False)


class _Turn:
    """A chat's calls one after the other; it fades with the last of them."""

    __slots__ = ("__weakref__", "lock", "waiting")

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.waiting = 0


@asynccontextmanager
async def _turn_taken(lock: asyncio.Lock) -> AsyncIterator[None]:
    if lock.locked():
        async with slot_given_back():
            await lock.acquire()
    else:
        await lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _digest(data: Data) -> int:
    markup = data.get("reply_markup")
    return hash((data.get("text"), markup.to_json() if markup is not None else None))


def _make_plain(data: Data) -> None:
    """The same text without its mark-up."""
    del data["parse_mode"]
    for field in ("text", "caption"):
        if isinstance(data.get(field), str):
            data[field] = html.unescape(_TAG.sub("", data[field]))
