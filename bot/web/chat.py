"""The local chat page: plain HTML, CSS and JS over four routes."""

import asyncio
import json
from pathlib import Path
from urllib.parse import quote

from aiohttp import web

from agents.store.chat_log import LoggedMessage
from bot.telegram.local import Change, LocalTelegram

_STATIC = Path(__file__).with_name("static")
_TELEGRAM = web.AppKey("telegram", LocalTelegram)
_CLOSING = web.AppKey("closing", asyncio.Event)
_HEARTBEAT_S = 15.0
_TEXT_MAX = 20_000


def add_chat(application: web.Application, telegram: LocalTelegram) -> None:
    """Add the page and its routes."""
    application[_TELEGRAM] = telegram
    application[_CLOSING] = asyncio.Event()
    application.on_shutdown.append(_close)
    application.router.add_get("/chat", _page)
    application.router.add_get("/chat/messages", _messages)
    application.router.add_get("/chat/events", _events)
    application.router.add_get("/chat/files/{id}", _file)
    application.router.add_post("/chat/send", _send)
    application.router.add_post("/chat/tap", _tap)
    application.router.add_static("/chat/static", _STATIC)


async def _close(application: web.Application) -> None:
    application[_CLOSING].set()


async def _page(_request: web.Request) -> web.StreamResponse:
    return web.FileResponse(_STATIC / "chat.html")


async def _messages(request: web.Request) -> web.StreamResponse:
    telegram = request.app[_TELEGRAM]
    history = await telegram.history()
    return web.json_response(
        {
            "revision": history[-1].revision if history else 0,
            "bot": {"name": "Webscout"},
            "commands": telegram.commands,
            "messages": [_shown(m) for m in sorted(history, key=lambda m: m.message_id)],
        }
    )


async def _events(request: web.Request) -> web.StreamResponse:
    """Server-sent events: changed messages with their revision as id, then signals as they come."""
    after = request.headers.get("Last-Event-ID") or request.query.get("after") or "0"
    revision = int(after) if after.isascii() and after.isdigit() and len(after) < 19 else 0
    response = web.StreamResponse()
    response.content_type = "text/event-stream"
    await response.prepare(request)
    changes = request.app[_TELEGRAM].changes(revision)
    closing = asyncio.ensure_future(request.app[_CLOSING].wait())
    upcoming = asyncio.ensure_future(anext(changes))
    try:
        while True:
            done, _ = await asyncio.wait(
                {upcoming, closing}, timeout=_HEARTBEAT_S, return_when=asyncio.FIRST_COMPLETED
            )
            if closing in done:
                return response
            if upcoming in done:
                await response.write(_event(upcoming.result()))
                upcoming = asyncio.ensure_future(anext(changes))
            else:
                await response.write(b": still here\n\n")
    except ConnectionError:
        return response  # the page was closed
    finally:
        closing.cancel()
        upcoming.cancel()
        await asyncio.wait({closing, upcoming})
        await changes.aclose()


async def _file(request: web.Request) -> web.StreamResponse:
    found = await request.app[_TELEGRAM].file(request.match_info["id"])
    if found is None:
        raise web.HTTPNotFound
    name, content = found
    disposition = f"attachment; filename*=UTF-8''{quote(name)}"
    return web.Response(
        body=content,
        content_type="application/octet-stream",
        headers={"Content-Disposition": disposition},
    )


async def _send(request: web.Request) -> web.StreamResponse:
    text = (await _json(request)).get("text")
    if not isinstance(text, str) or not text.strip():
        return _refuse("text", "an empty message", "a text")
    if len(text) > _TEXT_MAX:
        return _refuse("text", f"{len(text):,} characters", f"at most {_TEXT_MAX:,}")
    await request.app[_TELEGRAM].say(text.strip())
    return web.json_response({}, status=202)


async def _tap(request: web.Request) -> web.StreamResponse:
    body = await _json(request)
    message_id, data = body.get("message_id"), body.get("data")
    if type(message_id) is not int or not isinstance(data, str):
        return _refuse("message_id, data", "missing or of another type", "a number and a text")
    if not await request.app[_TELEGRAM].tap(message_id, data):
        return _refuse("data", "the message has no such button now", "a button that it shows")
    return web.json_response({}, status=202)


async def _json(request: web.Request) -> dict[str, object]:
    """The request's JSON object; empty when it is none. Only JSON's own content type is read: a
    form of another site can't send it."""
    if request.content_type != "application/json":
        raise web.HTTPUnsupportedMediaType
    try:
        body = await request.json()
    except (ValueError, LookupError, RecursionError):  # LookupError: an unknown charset
        return {}
    return body if isinstance(body, dict) else {}


def _refuse(field: str, problem: str, allowed: str) -> web.StreamResponse:
    body = {
        "type": "invalid-request",
        "title": "invalid request",
        "status": 422,
        "detail": f"{field}: {problem}; allowed: {allowed}",
    }
    return web.json_response(body, status=422, content_type="application/problem+json")


def _event(change: Change) -> bytes:
    if isinstance(change, LoggedMessage):
        return _frame("message", _shown(change), change.revision)
    return _frame(change.kind, change.data, None)


def _frame(kind: str, data: dict[str, object], revision: int | None) -> bytes:
    head = f"id: {revision}\n" if revision is not None else ""
    return f"{head}event: {kind}\ndata: {json.dumps(data)}\n\n".encode()


def _shown(logged: LoggedMessage) -> dict[str, object]:
    """A message as the page wants it, from Telegram's own form."""
    message = json.loads(logged.body)
    rows = message.get("reply_markup", {}).get("inline_keyboard", [])
    document = message.get("document")
    return {
        "message_id": logged.message_id,
        "from_bot": message["from"]["is_bot"],
        "date": message["date"],
        "edited": "edit_date" in message,
        "text": message.get("text") or message.get("caption") or "",
        "entities": message.get("entities", []),
        "buttons": [[_shown_button(button) for button in row] for row in rows],
        "document": document
        and {
            "name": document["file_name"],
            "size": document["file_size"],
            "url": f"/chat/files/{document['file_id']}",
        },
    }


def _shown_button(button: dict[str, str]) -> dict[str, str]:
    if "url" in button:
        return {"text": button["text"], "url": button["url"]}
    return {"text": button["text"], "data": button["callback_data"]}
