"""`POST /telegram`: updates that Telegram brings. Answered with 200 once they are stored."""

import hmac
import json
import logging
from typing import Any

from aiohttp import web

from agents.store.errors import StoreError
from bot.telegram.intake import is_update
from bot.telegram.polling import Accepts
from bot.web.server import problem

PATH = "/telegram"
BODY_BYTES_MAX = 1024 * 1024
_SECRET = "X-Telegram-Bot-Api-Secret-Token"  # noqa: S105 - a header's name

log = logging.getLogger(__name__)


def add_webhook(application: web.Application, intake: Accepts, secret: str) -> None:
    """Add the route; a request without the secret is refused before its body is looked at."""

    async def receive(request: web.Request) -> web.StreamResponse:
        given = request.headers.get(_SECRET, "").encode(errors="surrogateescape")
        if not hmac.compare_digest(given, secret.encode()):
            return problem(403, "forbidden", "the secret token is missing or wrong")
        update = _read(await request.read())
        if update is None:
            return problem(400, "invalid-update", "not an update of Telegram's in JSON")
        try:
            await intake.accept([update])
        except StoreError as error:
            log.warning("an update can't be stored, Telegram brings it again: %s", error)
            return problem(503, "store-unavailable", "the update can't be stored now")
        return web.Response()

    application.router.add_post(PATH, receive)


def _read(body: bytes) -> dict[str, Any] | None:
    try:
        update = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return update if is_update(update) else None
