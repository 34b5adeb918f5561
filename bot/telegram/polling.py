"""Long polling: an update counts as fetched only when it is stored here."""

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, Protocol, TypeVar
from urllib.parse import urlencode

from telegram import Bot
from telegram.error import Conflict, InvalidToken, NetworkError, TelegramError
from telegram.request import BaseRequest

from agents.store.errors import StoreError
from bot.telegram.connection import Connection
from bot.telegram.intake import is_update
from bot.telegram.request import FloodWait
from resilience.clock import Clock

POLL_S = 30
GATHER_S = 0.01
"""The pause after a few updates: when many come, the next poll fetches and stores several at once,
for a third of the work; a person does not notice it."""
_SLACK_S = 10.0
_BATCH = 100
_WAITS_S = (1.0, 2.0, 5.0, 10.0, 30.0)

T = TypeVar("T")

log = logging.getLogger(__name__)


class Accepts(Protocol):
    """Takes updates in."""

    async def accept(self, updates: Sequence[dict[str, Any]]) -> None:
        """Returns when they are stored."""
        ...


async def poll(  # noqa: PLR0917 - each of another kind
    bot: Bot,
    request: BaseRequest,
    intake: Accepts,
    clock: Clock,
    allowed: Sequence[str],
    telegram: Connection | None = None,
) -> None:
    """Fetch updates for ever. Raises InvalidToken; waits out everything else."""
    offset = 0
    while True:
        query = urlencode(
            {
                "offset": offset,
                "limit": _BATCH,
                "timeout": POLL_S,
                "allowed_updates": json.dumps(allowed),
            }
        )
        updates = await insist(partial(_fetch, bot, request, intake, query), clock, telegram)
        if updates:
            offset = max(update["update_id"] for update in updates) + 1
        if 0 < len(updates) < _BATCH:
            await asyncio.sleep(GATHER_S)


async def insist(
    call: Callable[[], Awaitable[T]],
    clock: Clock,
    telegram: Connection | None = None,
    *,
    fatal: tuple[type[TelegramError], ...] = (InvalidToken,),
) -> T:
    """The call's result, however often it takes; raises what is `fatal`. Its trouble is logged
    once, and its end; `telegram` is told whether it answers."""
    failures, telegram = 0, telegram or Connection()
    while True:
        try:
            result = await call()
        except fatal:
            raise
        except (TelegramError, StoreError) as error:
            if isinstance(error, StoreError):
                telegram.up()  # it did answer; it is us who could not store it
            else:
                telegram.down(_reason(error))
            if not failures:
                log.warning("updates do not come, trying on: %s", _reason(error))
            wait_s = _WAITS_S[min(failures, len(_WAITS_S) - 1)]
            failures += 1
            await clock.sleep(error.seconds if isinstance(error, FloodWait) else wait_s)
        else:
            telegram.up()
            if failures:
                log.info("updates come again after %d failures", failures)
            return result


async def _fetch(
    bot: Bot, request: BaseRequest, intake: Accepts, query: str
) -> list[dict[str, Any]]:
    """Fetch once, and return the updates when they are stored."""
    # Not bot.get_updates: the raw updates are stored as they came.
    answer = await request.post(
        f"{bot.base_url}/getUpdates?{query}", read_timeout=POLL_S + _SLACK_S
    )
    updates = _updates(answer)
    await intake.accept(updates)
    return updates


def _updates(answer: object) -> list[dict[str, Any]]:
    """The updates in an answer; raises NetworkError when it is none of Telegram's."""
    updates = [u for u in answer if is_update(u)] if isinstance(answer, list) else []
    if answer != [] and not updates:
        raise NetworkError("the answer is no list of updates")
    return updates


def _reason(error: Exception) -> str:
    if isinstance(error, Conflict):
        return "another program polls with this token, or a webhook is set"
    return str(error) or type(error).__name__
