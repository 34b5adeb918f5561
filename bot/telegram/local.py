"""Telegram in this process: what local mode puts in the place of Telegram's servers.

It answers the Bot API methods that the bot uses, with Telegram's limits and errors, and keeps the
messages in the store. The chat page is its client: `say` and `tap` are what a person does there,
`changes` what they see. One chat, one person.
"""

import asyncio
import json
import secrets
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any, cast
from urllib.parse import parse_qsl, urlsplit

from telegram.request import BaseRequest, RequestData

from agents.store.chat_log import ChatLog, LoggedMessage
from bot.telegram.markup import BadMarkup, parse_html

TOKEN = "1:local"  # noqa: S105 - PTB wants the form of a token; nothing checks it
CHAT_ID = 1
TEXT_MAX = 4096
CALLBACK_DATA_MAX = 64
HISTORY_MAX = 300
_UPDATES_MAX = 100

_BOT = {"id": 1, "is_bot": True, "first_name": "Webscout", "username": "webscout_local_bot"}
_PERSON = {"id": CHAT_ID, "is_bot": False, "first_name": "You"}
_CHAT = {"id": CHAT_ID, "type": "private", "first_name": "You"}

Parameters = dict[str, Any]


class Refused(Exception):  # noqa: N818 - names the answer
    """What the Bot API answers with an error; `code` is its HTTP status."""

    def __init__(self, description: str, code: int = 400) -> None:
        super().__init__(description)
        self.code = code


@dataclass(frozen=True, slots=True, kw_only=True)
class Signal:
    """Something the page shows once and nothing keeps: `toast` or `reset`."""

    kind: str
    data: dict[str, object]


Change = LoggedMessage | Signal


class LocalTelegram(BaseRequest):
    """Both ends of the wire: PTB's request object, and the chat page's server side."""

    def __init__(self, log: ChatLog) -> None:
        self._log = log
        self._commands: list[dict[str, str]] = []
        self._watchers: set[asyncio.Queue[Signal | None]] = set()
        self._arrived = asyncio.Event()
        self._methods: dict[str, Callable[[Parameters], Awaitable[object]]] = {
            "getMe": self._get_me,
            "getUpdates": self._get_updates,
            "deleteWebhook": self._accept,
            "setMyCommands": self._set_my_commands,
            "sendMessage": self._send_message,
            "editMessageText": self._edit_message_text,
            "answerCallbackQuery": self._answer_callback_query,
        }

    # --- the bot's side: PTB's request port ---------------------------------------------------

    @property
    def read_timeout(self) -> float | None:
        """Nothing here waits for a network."""
        return None

    async def initialize(self) -> None:
        """Nothing to open."""

    async def shutdown(self) -> None:
        """Nothing to close."""

    async def do_request(  # noqa: PLR0917 - the signature is PTB's
        self,
        url: str,
        method: str,
        request_data: RequestData | None = None,
        read_timeout: object = None,
        write_timeout: object = None,
        connect_timeout: object = None,
        pool_timeout: object = None,
    ) -> tuple[int, bytes]:
        """Answer a Bot API call as Telegram's server would."""
        parts = urlsplit(url)
        name = parts.path.rsplit("/", 1)[-1]
        parameters = dict(parse_qsl(parts.query)) | (
            request_data.parameters if request_data else {}
        )
        try:
            if name == "sendDocument":
                assert request_data is not None  # noqa: S101 - a document is data
                answer = await self._send_document(parameters, request_data)
            elif name in self._methods:
                answer = await self._methods[name](parameters)
            else:
                raise Refused(f"Not Found: method {name} is not served locally", 404)
        except Refused as refused:
            failure = {"ok": False, "error_code": refused.code, "description": str(refused)}
            return refused.code, json.dumps(failure).encode()
        return 200, json.dumps({"ok": True, "result": answer}).encode()

    async def _get_me(self, _parameters: Parameters) -> object:
        return _BOT | {"can_join_groups": False}

    async def _accept(self, _parameters: Parameters) -> object:
        return True

    async def _set_my_commands(self, parameters: Parameters) -> object:
        if parameters["scope"]["type"] in {"all_private_chats", "chat"}:  # the narrower comes last
            self._commands = list(parameters["commands"])
        return True

    async def _get_updates(self, parameters: Parameters) -> object:
        """Long polling, over updates that wait in the store until they are confirmed."""
        offset, wait_s = int(parameters.get("offset", 0)), float(parameters.get("timeout", 0))
        deadline = time.monotonic() + wait_s
        while True:
            self._arrived.clear()
            updates = await self._log.updates(offset, _UPDATES_MAX)
            left = deadline - time.monotonic()
            if updates or left <= 0:
                return [json.loads(update) for update in updates]
            try:
                await asyncio.wait_for(self._arrived.wait(), left)
            except TimeoutError:
                return []

    async def _send_message(self, parameters: Parameters) -> object:
        content = _text(parameters) | _keyboard(parameters)
        return await self._add(_BOT, content)

    async def _send_document(self, parameters: Parameters, data: RequestData) -> object:
        name, content, _mime = cast("tuple[str, bytes, str]", data.multipart_data["document"])
        file_id = secrets.token_hex(16)
        await self._log.keep_file(file_id, name, content)
        document = {
            "file_id": file_id,
            "file_unique_id": file_id,
            "file_name": name,
            "file_size": len(content),
        }
        return await self._add(
            _BOT, {"document": document, "caption": parameters.get("caption", "")}
        )

    async def _edit_message_text(self, parameters: Parameters) -> object:
        return await self._edit(parameters, _text(parameters) | _keyboard(parameters))

    async def _answer_callback_query(self, parameters: Parameters) -> object:
        text = str(parameters.get("text", ""))[:200]
        if text:
            alert = bool(parameters.get("show_alert"))
            self._signal(Signal(kind="toast", data={"text": text, "alert": alert}))
        return True

    # --- the person's side: the chat page -----------------------------------------------------

    @property
    def commands(self) -> list[dict[str, str]]:
        """The commands of the menu, as the bot set them."""
        return self._commands

    async def say(self, text: str) -> None:
        """The person sends a text."""
        text = text.encode("utf-8", "replace").decode()  # JSON can hold halves of characters
        content: Parameters = {"text": text, "entities": []}
        if text.startswith("/"):
            length = len(text.split(maxsplit=1)[0])
            content["entities"] = [{"type": "bot_command", "offset": 0, "length": length}]
        message = await self._add(_PERSON, content)
        await self._deliver({"message": message})

    async def tap(self, message_id: int, data: str) -> bool:
        """The person taps a button; False when the message has no such button."""
        body = await self._log.get(CHAT_ID, message_id)
        message = json.loads(body) if body else {}
        rows = message.get("reply_markup", {}).get("inline_keyboard", [])
        if not any(button.get("callback_data") == data for row in rows for button in row):
            return False
        query = {
            "id": secrets.token_hex(8),
            "from": _PERSON,
            "message": message,
            "chat_instance": str(CHAT_ID),
            "data": data,
        }
        await self._deliver({"callback_query": query})
        return True

    async def history(self) -> list[LoggedMessage]:
        """The newest messages, in the order of their last change."""
        return await self._log.since(CHAT_ID, 0, HISTORY_MAX)

    async def file(self, file_id: str) -> tuple[str, bytes] | None:
        """A document's name and content."""
        return await self._log.file(file_id)

    async def changes(self, revision: int) -> AsyncGenerator[Change, None]:
        """Messages changed after `revision`, then whatever comes, until the reader leaves."""
        queue: asyncio.Queue[Signal | None] = asyncio.Queue(maxsize=256)
        self._watchers.add(queue)
        try:
            while True:
                for message in await self._log.since(CHAT_ID, revision, HISTORY_MAX):
                    revision = message.revision
                    yield message
                signal = await queue.get()
                if signal is not None:
                    yield signal
        finally:
            self._watchers.discard(queue)

    async def clear(self) -> None:
        """Forget the chat: messages, documents, updates."""
        await self._log.clear()
        self._signal(Signal(kind="reset", data={}))

    # --- small parts --------------------------------------------------------------------------

    async def _add(self, sender: dict[str, object], content: Parameters) -> Parameters:
        def body(message_id: int) -> str:
            head = {"message_id": message_id, "date": int(time.time()), "chat": _CHAT}
            return json.dumps(head | {"from": sender} | content)

        logged = await self._log.add(CHAT_ID, body)
        self._signal(None)
        return cast("Parameters", json.loads(logged.body))

    async def _edit(self, parameters: Parameters, content: Parameters) -> Parameters:
        message_id = int(parameters["message_id"])
        body = await self._log.get(CHAT_ID, message_id)
        if body is None:
            raise Refused("Bad Request: message to edit not found")
        old = json.loads(body)
        kept = {k: v for k, v in old.items() if k != "reply_markup"}
        new = kept | content
        if all(new.get(k) == old.get(k) for k in ("text", "entities", "reply_markup")):
            raise Refused(
                "Bad Request: message is not modified: specified new message content and reply "
                "markup are exactly the same as a current content and reply markup of the message"
            )
        new["edit_date"] = int(time.time())
        if not await self._log.replace(CHAT_ID, message_id, json.dumps(new)):
            raise Refused("Bad Request: message to edit not found")
        self._signal(None)
        return cast("Parameters", new)

    async def _deliver(self, update: Parameters) -> None:
        await self._log.add_update(lambda update_id: json.dumps({"update_id": update_id} | update))
        self._arrived.set()

    def _signal(self, signal: Signal | None) -> None:
        """Wake the pages; None says that messages changed. A page that reads too slowly misses
        signals, never messages: those it reads from the store."""
        for queue in self._watchers:
            if not queue.full():
                queue.put_nowait(signal)


def _text(parameters: Parameters) -> Parameters:
    """The message's text and entities, checked as Telegram does."""
    source = str(parameters.get("text", ""))
    if parameters.get("parse_mode") == "HTML":
        try:
            formatted = parse_html(source)
        except BadMarkup as bad:
            raise Refused(f"Bad Request: can't parse entities: {bad}") from bad
        text, entities = formatted.text, list(formatted.entities)
    else:
        text, entities = source, []
    if not text.strip():
        raise Refused("Bad Request: message text is empty")
    if len(text.encode("utf-16-le")) // 2 > TEXT_MAX:
        raise Refused("Bad Request: message is too long")
    return {"text": text, "entities": entities}


def _keyboard(parameters: Parameters) -> Parameters:
    markup = parameters.get("reply_markup")
    if isinstance(markup, str):
        markup = json.loads(markup)
    if not isinstance(markup, dict) or not markup.get("inline_keyboard"):
        return {}
    for row in markup["inline_keyboard"]:
        for button in row:
            if not 1 <= len(str(button.get("callback_data", "-")).encode()) <= CALLBACK_DATA_MAX:
                raise Refused("Bad Request: BUTTON_DATA_INVALID")
    return {"reply_markup": markup}
