"""The way in for updates, by polling and by webhook: each is stored, then handled, once.

Updates of a chat are handled in the order they came, those of different chats at once. `/cancel`
goes past its chat's queue. Everything is bounded: when too much waits in all, `accept` waits, and
with it the poll; when too much waits for one chat, what comes is dropped, and the chat is told.

An update during which the process ended several times may be what ends it: it is tried alone, and
when that ends the process too it is given up, and the chat is told.
"""

import asyncio
import json
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeGuard

from telegram import Bot, Update

from agents.store.errors import StoreError
from agents.store.inbox import Arrival, Left
from bot.telegram.buttons import SCOUTING, OldButton, decode
from bot.telegram.slots import SLOTS
from resilience.labels import labelled

CHAT_WAITING_MAX = 30
ALL_WAITING_MAX = 10_000
AT_ONCE_MAX = 128
DRAIN_WITHIN_S = 5.0
CANCEL_WAITS_S = 5.0
PRUNE_EVERY_S = 24 * 3600.0
ALONE_WITHIN_S = 5.0
NOTED_WITHIN_S = 0.05

log = logging.getLogger(__name__)

Raw = dict[str, Any]
Handle = Callable[[Update], Awaitable[None]]


class Inbox(Protocol):
    """Where updates are kept until they are handled."""

    async def take(self, arrivals: Sequence[Arrival]) -> set[int]:
        """Store what is new; returns the numbers of the new ones."""
        ...

    async def done(self, update_ids: Sequence[int]) -> None:
        """They were handled."""
        ...

    async def prune(self) -> None:
        """Forget what nobody will send again."""
        ...

    async def take_up(self) -> Left:
        """The updates that earlier processes did not handle to their end."""
        ...

    async def begin(self, update_id: int) -> None:
        """It is about to be tried alone."""
        ...


@dataclass(slots=True)
class _Chat:
    waiting: deque[Update] = field(default_factory=deque)
    current: Update | None = None
    handled: asyncio.Event = field(default_factory=asyncio.Event)
    told: bool = False


class Intake:
    """An async context manager: what waits when it is left is handled by the next start."""

    def __init__(
        self,
        *,
        bot: Bot,
        inbox: Inbox,
        handle: Handle,
        on_arrival: Handle,
        on_overflow: Handle,
        on_hopeless: Handle,
        drain_within_s: float = DRAIN_WITHIN_S,
        noted_within_s: float = NOTED_WITHIN_S,
        alone_within_s: float = ALONE_WITHIN_S,
    ) -> None:
        self._bot = bot
        self._inbox = inbox
        self._handle = handle
        self._on_arrival = on_arrival
        self._on_overflow = on_overflow
        self._on_hopeless = on_hopeless
        self._drain_within_s = drain_within_s
        self._noted_within_s = noted_within_s
        self._alone_within_s = alone_within_s
        self._chats: dict[int, _Chat] = {}
        self._tasks: set[asyncio.Future[None]] = set()
        self._slots = asyncio.Semaphore(AT_ONCE_MAX)
        self._waiting = 0
        self._room = asyncio.Condition()
        self._handled: list[int] = []
        self._noting: asyncio.Task[None] | None = None
        self._open = asyncio.Event()
        self._leaving = asyncio.Event()

    async def __aenter__(self) -> "Intake":
        await self._inbox.prune()
        left = await self._inbox.take_up()
        for body in left.hopeless:
            self._run(self._give_up(json.loads(body)))
        for body in left.alone:
            await self._try_alone(json.loads(body))
        for body in left.together:
            await self._enqueue(json.loads(body))
        self._open.set()
        self._pruning = asyncio.create_task(self._prune(), name="intake:prune")
        return self

    async def __aexit__(self, *_: object) -> None:
        self._leaving.set()
        self._pruning.cancel()
        await asyncio.gather(self._pruning, return_exceptions=True)
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=self._drain_within_s)
        late = list(self._tasks)  # the next start handles their updates
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)
        if self._noting is not None:
            await self._noting

    async def accept(self, updates: Sequence[Raw]) -> None:
        """Store the updates and queue those that are new; when this returns none can be lost.

        Waits until the intake was entered; once it is left, it only stores, for the next start.
        Raises StoreError: then none of them was taken.
        """
        await self._open.wait()
        arrivals = [
            Arrival(update_id=raw["update_id"], sender_id=_sender(raw), body=json.dumps(raw))
            for raw in updates
        ]
        new = await self._inbox.take(arrivals) if arrivals else set()
        for raw in updates:
            if raw["update_id"] in new and not self._leaving.is_set():
                new.discard(raw["update_id"])
                await self._enqueue(raw)

    def _read(self, raw: Raw) -> Update | None:
        try:
            return Update.de_json(raw, self._bot)
        except Exception:
            # The boundary to what others wrote: one strange update must not stop the rest.
            log.exception("update %s can't be read", raw.get("update_id"))
            self._note_done(raw["update_id"])
            return None

    async def _give_up(self, raw: Raw) -> None:
        log.error("update %s ended the process each time, and is given up", raw["update_id"])
        if update := self._read(raw):
            await self._guarded(self._on_hopeless, update)
            self._note_done(update.update_id)

    async def _try_alone(self, raw: Raw) -> None:
        """Handle it with nothing beside it; what takes long may have company at last."""
        if (update := self._read(raw)) is None:
            return
        log.warning("update %s is tried alone: several starts ended with it", update.update_id)
        await self._inbox.begin(update.update_id)
        self._waiting += 1
        task = self._run(self._handle_now(update))
        await asyncio.wait({task}, timeout=self._alone_within_s)
        if self._noting is not None:
            await self._noting

    async def _enqueue(self, raw: Raw) -> None:
        if (update := self._read(raw)) is None:
            return
        if update.callback_query is not None:
            self._run(self._guarded(self._on_arrival, update))
        async with self._room:
            await self._room.wait_for(lambda: self._waiting < ALL_WAITING_MAX or is_cancel(update))
            if self._leaving.is_set():
                return  # stored, for the next start
            self._waiting += 1
        chat_id = update.effective_chat.id if update.effective_chat else None
        if chat_id is None:
            self._run(self._handle_now(update))
            return
        chat = self._chats.get(chat_id)
        if is_cancel(update):
            self._run(self._cancel(update, chat))
            return
        if chat is None:
            chat = self._chats[chat_id] = _Chat()
            chat.waiting.append(update)
            self._run(self._work_off(chat_id, chat))
        elif len(chat.waiting) < CHAT_WAITING_MAX:
            chat.waiting.append(update)
        else:
            await self._drop(chat, update)

    async def _drop(self, chat: _Chat, update: Update) -> None:
        if not chat.told:
            chat.told = True
            self._run(self._guarded(self._on_overflow, update))
        await self._leave(update)

    async def _cancel(self, update: Update, chat: _Chat | None) -> None:
        """Past the queue; but what would start a scout and was sent before it must not start one
        after it: if it waits it is dropped, if it is being handled it is waited for a moment."""
        if chat is not None:
            starting = [waiting for waiting in chat.waiting if starts_scout(waiting)]
            for waiting in starting:
                chat.waiting.remove(waiting)
                await self._leave(waiting)
            if chat.current is not None and starts_scout(chat.current):
                with suppress(TimeoutError):
                    async with asyncio.timeout(CANCEL_WAITS_S):
                        await chat.handled.wait()
        await self._handle_now(update)

    async def _work_off(self, chat_id: int, chat: _Chat) -> None:
        while chat.waiting:
            chat.current = chat.waiting.popleft()
            chat.handled.clear()
            async with self._slots:
                token = SLOTS.set(self._slots)
                try:
                    await self._handle_now(chat.current)
                finally:
                    SLOTS.reset(token)
            chat.handled.set()
            chat.current = None
        del self._chats[chat_id]  # no await since the queue was seen empty

    async def _handle_now(self, update: Update) -> None:
        await self._guarded(self._handle, update)
        await self._leave(update)

    async def _guarded(self, handle: Handle, update: Update) -> None:
        sender = update.effective_user
        with labelled(**({} if sender is None else {"sender": str(sender.id)})):
            try:
                await handle(update)
            except Exception:
                # The handlers answer for their own errors; this is for what slips through.
                log.exception("update %s broke its handler", update.update_id)

    async def _leave(self, update: Update) -> None:
        self._note_done(update.update_id)
        async with self._room:
            self._waiting -= 1
            self._room.notify()

    def _run(self, work: Awaitable[None]) -> asyncio.Future[None]:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _wait_for_more(self) -> None:
        """Let what is handled within a moment go with one write; no moment when we are leaving."""
        try:
            async with asyncio.timeout(self._noted_within_s):
                await self._leaving.wait()
        except TimeoutError:
            return

    def _note_done(self, update_id: int) -> None:
        """Say so in the store; what is done while it writes goes with the next write."""
        self._handled.append(update_id)
        if self._noting is None:
            self._noting = asyncio.create_task(self._write_done(), name="intake:done")

    async def _prune(self) -> None:
        while True:
            await asyncio.sleep(PRUNE_EVERY_S)
            try:
                await self._inbox.prune()
            except StoreError as error:
                log.warning("old updates can't be forgotten yet: %s", error)

    async def _write_done(self) -> None:
        try:
            while self._handled:
                await self._wait_for_more()
                handled, self._handled = self._handled, []
                try:
                    await self._inbox.done(handled)
                except StoreError as error:
                    self._handled = handled + self._handled  # with the next that is handled
                    log.warning("handled updates can't be noted yet: %s", error)
                    return
        finally:
            self._noting = None


def is_cancel(update: Update) -> bool:
    """Whether the update is the command that goes past the queue."""
    words = (update.message.text or "").split(maxsplit=1) if update.message else []
    return bool(words) and words[0].partition("@")[0].lower() == "/cancel"


def starts_scout(update: Update) -> bool:
    """Whether the update asks for a scout, by a command, a start link or a button."""
    if update.callback_query is not None:
        try:
            return decode(update.callback_query.data or "").action in SCOUTING
        except OldButton:
            return False
    words = (update.message.text or "").split(maxsplit=1) if update.message else []
    command = words[0].partition("@")[0].lower() if words else ""
    return command == "/scout" or (command == "/start" and len(words) > 1)


def is_update(raw: object) -> TypeGuard[Raw]:
    """Whether the JSON value has what makes it an update: a number to know it by."""
    number = raw.get("update_id") if isinstance(raw, dict) else None
    return isinstance(number, int) and not isinstance(number, bool) and 0 <= number < 2**63


def _sender(raw: Raw) -> str | None:
    """Whose words are in the update: forgetting them deletes it."""
    for part in raw.values():
        sender = part.get("from") if isinstance(part, dict) else None
        if isinstance(sender, dict) and isinstance(sender.get("id"), int):
            return str(sender["id"])
    return None
