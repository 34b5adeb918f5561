"""How much one person may ask for: a bucket for scouts, a bucket for everything else."""

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from math import ceil
from typing import Any

from telegram import Bot, Update

from resilience.bucket import TokenBucket
from resilience.clock import Clock

_TOLD_MAX = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Buckets:
    """One bucket a person for each kind of asking."""

    scouts: TokenBucket
    commands: TokenBucket


class Limits:
    """Lets an update through or says, once a window, how many seconds to wait."""

    def __init__(self, bot: Bot, buckets: Buckets, clock: Clock) -> None:
        self._bot = bot
        self._buckets = buckets
        self._clock = clock
        self._told_until: OrderedDict[tuple[str, str], float] = OrderedDict()

    async def scouts(self, update: Update) -> bool:
        """Whether the person may start another scout now."""
        return await self._admit(update, self._buckets.scouts, "scout")

    def give_back_scout(self, chat_id: int) -> None:
        """The scout of that private chat's person was not started: it counts as another command."""
        if not self._buckets.commands.take(str(chat_id)):
            self._buckets.scouts.refund(str(chat_id))

    async def commands(self, update: Update) -> bool:
        """Whether the person may ask for anything else now."""
        return await self._admit(update, self._buckets.commands, "command")

    async def _admit(self, update: Update, bucket: TokenBucket, kind: str) -> bool:
        asker = update.effective_sender or update.effective_chat
        key = str(asker.id) if asker is not None else ""
        wait_s = bucket.take(key)
        if not wait_s:
            return True
        await self._tell(update, (kind, key), wait_s)
        return False

    async def _tell(self, update: Update, window: tuple[str, str], wait_s: float) -> None:
        now = self._clock.monotonic()
        if self._told_until.get(window, now) > now or update.effective_chat is None:
            return
        self._told_until[window] = now + wait_s
        self._told_until.move_to_end(window)
        if len(self._told_until) > _TOLD_MAX:
            self._told_until.popitem(last=False)
        what = "one scout more" if window[0] == "scout" else "more"
        await self._bot.send_message(
            update.effective_chat.id,
            f"That was a lot at once. Ask for {what} in {_seconds(wait_s)} s.",
        )


def _seconds(wait_s: float) -> int:
    """Whole seconds, enough to wait; a hair that floats add is no second more."""
    return ceil(round(wait_s, 3))


Handler = Callable[[Update, Any], Coroutine[Any, Any, None]]


def limited(admit: Callable[[Update], Awaitable[bool]], handler: Handler) -> Handler:
    """The handler, for updates that are let through."""

    async def admitted(update: Update, context: Any) -> None:
        if await admit(update):
            await handler(update, context)

    return admitted
