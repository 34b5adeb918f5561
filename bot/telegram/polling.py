"""Long polling: an update counts as fetched only when it is stored here."""

import json
import logging
from collections.abc import Sequence
from typing import Any, Protocol
from urllib.parse import urlencode

from telegram import Bot
from telegram.error import Conflict, InvalidToken, NetworkError, TelegramError
from telegram.request import BaseRequest

from agents.store.errors import StoreError
from bot.telegram.intake import is_update
from bot.telegram.request import FloodWait
from resilience.clock import Clock

POLL_S = 30
_SLACK_S = 10.0
_BATCH = 100
_WAITS_S = (1.0, 2.0, 5.0, 10.0, 30.0)

log = logging.getLogger(__name__)


class Accepts(Protocol):
    """Takes updates in."""

    async def accept(self, updates: Sequence[dict[str, Any]]) -> None:
        """Returns when they are stored."""
        ...


async def poll(
    bot: Bot, request: BaseRequest, intake: Accepts, clock: Clock, allowed: Sequence[str]
) -> None:
    """Fetch updates for ever. Raises InvalidToken; waits out everything else."""
    offset, failures = 0, 0
    while True:
        query = urlencode(
            {
                "offset": offset,
                "limit": _BATCH,
                "timeout": POLL_S,
                "allowed_updates": json.dumps(allowed),
            }
        )
        try:
            # Not bot.get_updates: the raw updates are stored as they came.
            answer = await request.post(
                f"{bot.base_url}/getUpdates?{query}", read_timeout=POLL_S + _SLACK_S
            )
            updates = _updates(answer)
            await intake.accept(updates)
        except InvalidToken:
            raise
        except (TelegramError, StoreError) as error:
            wait_s = _WAITS_S[min(failures, len(_WAITS_S) - 1)]
            if not failures:
                log.warning("updates can't be fetched, trying on: %s", _reason(error))
            failures += 1
            await clock.sleep(error.seconds if isinstance(error, FloodWait) else wait_s)
            continue
        if failures:
            log.info("updates are fetched again after %d failures", failures)
            failures = 0
        if updates:
            offset = max(update["update_id"] for update in updates) + 1


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
