"""Telegram's Bot API on loopback, for driving the whole bot over HTTP, by polling or by webhook.

Two servers stand behind each other. The inner one is lo-bot-api-emulator, which is not ours: it
judges parameters, keyboards and lengths, keeps the queue of updates and delivers them to webhooks.
The outer one, which the bot talks to, is this module. It adds what the emulator lacks (a username,
dates, the kept messages, edits, Telegram's HTML, updates of every kind), records every call, and
fails on demand.
"""

import asyncio
import copy
import json
import math
import re
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from typing import Any, Self, TypeVar, cast

import aiohttp
from aiohttp import web
from lo_bot_api_emulator import LoBotApiEmulator  # type: ignore[import-untyped]
from lo_bot_api_emulator import updates as emulator_updates
from telegram import Update

from bot.telegram.markup import BadMarkup, Formatted, parse_html

USERNAME = "webscout_test_bot"
TOKEN = "7:webscout-test-token"
FIRST_UPDATE_ID = 100_000_001
NO_ANSWER = 0  # the status of a call that was left hanging or cut

# The emulator's queue holds any update, but its front door lets three kinds in.
emulator_updates.KINDS = emulator_updates.ALLOWED_UPDATE_TYPES

_NOT_MODIFIED = (
    "Bad Request: message is not modified: specified new message content and reply markup are "
    "exactly the same as a current content and reply markup of the message"
)
_TOO_OLD = "Bad Request: query is too old and response timeout expired or query ID is invalid"
# What Telegram knows and the emulator refuses.
_UNKNOWN_TO_EMULATOR = {"link_preview_options", "protect_content", "message_thread_id"}
_JSON_PARAMETERS = {
    "allowed_updates", "caption_entities", "commands", "entities", "link_preview_options",
    "reply_markup", "reply_parameters", "scope",
}  # fmt: skip
_NUMBERS = {"cache_time", "chat_id", "limit", "max_connections", "message_id", "offset", "timeout"}
_FLAGS = {"disable_notification", "drop_pending_updates", "protect_content", "show_alert"}
# Telegram takes every < for a tag, and knows four named references; Python's reader is kinder.
_STRAY_BRACKET = re.compile(r"<(?!/?[a-z][a-z0-9-]*(\s[^<>]*)?>)", re.IGNORECASE)
_BARE_AMPERSAND = re.compile(r"&(?!(lt|gt|amp|quot|#\d+|#x[0-9a-f]+);)", re.IGNORECASE)
_ENTITIES = {
    "bot_command": re.compile(r"(?<!\S)/[A-Za-z0-9_]{1,64}(@[A-Za-z0-9_]{5,32})?(?![\w@/])"),
    "mention": re.compile(r"(?<!\S)@[A-Za-z][A-Za-z0-9_]{4,31}(?!\w)"),
}

Params = dict[str, Any]
Files = dict[str, tuple[str, bytes]]
T = TypeVar("T")


class Refused(Exception):  # noqa: N818 - names the answer
    """An answer with `ok: false`; `status` is its HTTP status."""

    def __init__(self, description: str, status: int = 400, parameters: Params | None = None):
        super().__init__(description)
        self.status = status
        self.parameters = parameters or {}


class _NoAnswer(Exception):  # noqa: N818 - names what happens
    """The call gets no answer: it hangs until the caller leaves, or its connection is cut."""

    def __init__(self, *, cut: bool):
        self.cut = cut


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One call of the bot; numbers, flags and JSON in `params` are decoded, files left out."""

    method: str
    params: Params
    chat_id: int | None
    at: float
    """When it arrived, on the monotonic clock."""
    status: int
    description: str = ""
    """Why it was refused."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Button:
    """An inline button; `data` is empty for one that opens a link."""

    label: str
    data: str = ""
    url: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class BotMessage:
    """A message of the bot as it stands in the chat now."""

    message_id: int
    text: str
    """As people see it, without tags; of a document, the caption."""
    source: str
    """As the bot sent it, with tags."""
    buttons: tuple[tuple[Button, ...], ...] = ()
    edits: int = 0
    file_name: str = ""
    file: bytes = b""
    raw: Params = field(repr=False)

    @property
    def labels(self) -> list[str]:
        """The labels of all buttons, row by row."""
        return [button.label for row in self.buttons for button in row]


@dataclass(slots=True, kw_only=True)
class _Fault:
    """What goes wrong with the calls that it matches, `times` times and not after `until`."""

    name: str
    answer: Refused | _NoAnswer
    method: str | None = None
    chat_id: int | None = None
    formatted: bool = False
    performed: bool = False
    times: float = math.inf
    until: float = math.inf

    def matches(self, method: str, params: Params) -> bool:
        return (
            self.times > 0
            and time.monotonic() < self.until
            and self.method in {None, method}
            and (self.chat_id is None or self.chat_id == params.get("chat_id"))
            and (not self.formatted or "parse_mode" in params)
        )


class Faults:
    """What a test lets Telegram do wrong."""

    def __init__(self) -> None:
        self._faults: list[_Fault] = []

    def flood(
        self, chat_id: int, retry_after: int, times: int = 1, until: float | None = None
    ) -> None:
        """Answer the chat's calls with 429: the next `times`, or all until a monotonic moment."""
        answer = Refused(
            f"Too Many Requests: retry after {retry_after}", 429, {"retry_after": retry_after}
        )
        left, end = (times, math.inf) if until is None else (math.inf, until)
        self._add(_Fault(name="flood", answer=answer, chat_id=chat_id, times=left, until=end))

    def block(self, chat_id: int) -> None:
        """The person has blocked the bot."""
        answer = Refused("Forbidden: bot was blocked by the user", 403)
        self._add(_Fault(name="block", answer=answer, chat_id=chat_id))

    def unblock(self, chat_id: int) -> None:
        """The person has unblocked the bot."""
        self._faults = [f for f in self._faults if (f.name, f.chat_id) != ("block", chat_id)]

    def migrate(self, old: int, new: int) -> None:
        """The group has become a supergroup with another id; calls to the old one are refused."""
        description = "Bad Request: group chat was upgraded to a supergroup chat"
        answer = Refused(description, 400, {"migrate_to_chat_id": new})
        self._add(_Fault(name="migrate", answer=answer, chat_id=old))

    def break_entities(self, chat_id: int, times: int = 1) -> None:
        """Refuse the chat's next text that has a parse mode."""
        answer = Refused(
            "Bad Request: can't parse entities: Unsupported start tag at byte offset 0"
        )
        fault = _Fault(name="entities", answer=answer, chat_id=chat_id, formatted=True, times=times)
        self._add(fault)

    def fail(
        self, method: str, status: int, times: float = 1, description: str = "Internal Server Error"
    ) -> None:
        """Refuse the next calls of the method with this status."""
        answer = Refused(description, status)
        self._add(_Fault(name="fail", answer=answer, method=method, times=times))

    def hang(self, method: str, times: float = 1, *, performed: bool = False) -> None:
        """Leave the next calls of the method without an answer, done or not done."""
        fault = _Fault(name="hang", answer=_NoAnswer(cut=False), method=method, times=times)
        fault.performed = performed
        self._add(fault)

    def cut(self, method: str, times: float = 1, *, performed: bool = False) -> None:
        """Cut the connection of the next calls of the method, done or not done."""
        fault = _Fault(name="cut", answer=_NoAnswer(cut=True), method=method, times=times)
        fault.performed = performed
        self._add(fault)

    def _add(self, fault: _Fault) -> None:
        self._faults.append(fault)

    def _fault(self, method: str, params: Params) -> _Fault | None:
        """The fault of this call, if it has one; counts it."""
        fault = next((f for f in self._faults if f.matches(method, params)), None)
        if fault is not None:
            fault.times -= 1
        return fault


class BotApi(Faults):
    """The server, and the people who write to the bot; an async context manager."""

    def __init__(self, token: str = TOKEN) -> None:
        super().__init__()
        self.token = token
        self.base_url = ""
        """For the setting; `/bot<token>/METHOD` follows."""
        self.calls: list[Call] = []
        self.commands: dict[str, list[dict[str, str]]] = {}
        """What setMyCommands set, by scope: `default`, `all_private_chats`, `chat:42`, ..."""
        self.polls_waiting = 0
        """How many polls wait here for an update now: zero or one."""
        self._emulator = LoBotApiEmulator(
            max_updates=100_000, max_assets=10_000, allow_insecure_loopback_webhooks=True
        )
        self._changed = asyncio.Condition()
        self._closing = asyncio.Event()
        self._updates: dict[int, Params] = {}
        self._again: list[Params] = []
        self._polls = self._pushed = 0
        self._kept: dict[int, dict[int, BotMessage]] = {}
        self._chats: dict[int, Params] = {}
        self._queries: set[str] = set()
        self._routes: dict[str, str] = {}
        self._webhook: tuple[str, Mapping[str, str]] = ("", {})
        self._methods: dict[str, Callable[[Params, Files], Awaitable[object]]] = {
            "getMe": self._get_me,
            "getUpdates": self._get_updates,
            "setWebhook": self._set_webhook,
            "deleteWebhook": self._set_webhook,
            "getWebhookInfo": self._get_webhook_info,
            "setMyCommands": self._set_my_commands,
            "getMyCommands": self._get_my_commands,
            "sendMessage": self._send_message,
            "sendDocument": self._send_document,
            "editMessageText": self._edit_message_text,
            "editMessageReplyMarkup": self._edit_reply_markup,
            "deleteMessage": self._delete_message,
            "answerCallbackQuery": self._answer_callback_query,
        }

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            self._client = await stack.enter_async_context(aiohttp.ClientSession())
            self._inner = await _serve(stack, self._emulator.app())
            app = web.Application(client_max_size=64 * 2**20)
            app.router.add_route("*", "/bot{token}/{method}", self._handle)
            self.base_url = await _serve(stack, app)
            stack.push_async_callback(self._release)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    # --- the people ---------------------------------------------------------------------------

    async def say(
        self,
        user_id: int,
        text: str,
        chat_id: int | None = None,
        chat_type: str = "private",
        **extra: object,
    ) -> int:
        """A person sends a text; `extra` are further fields of the message. Gives the update id.

        With a webhook, it returns when the delivery has been tried.
        """
        return await self.push(
            {"message": self.message(user_id, text, chat_id, chat_type, **extra)}
        )

    async def tap(
        self,
        chat_id: int,
        message_id: int,
        data_or_label: str,
        user_id: int | None = None,
        *,
        forged: bool = False,
    ) -> int:
        """A person taps a button of the bot's message; a `forged` tap sends data no button has.

        Gives the update id, which as text is the query's id too.
        """
        message = self._kept[chat_id][message_id]
        sides = [(b.data, b.label) for row in message.buttons for b in row if b.data]
        data = next((side[0] for side in sides if data_or_label in side), None)
        if data is None:
            assert forged, f"no button {data_or_label!r} among {message.labels}"
            data = data_or_label
        update_id = self._next_update_id()
        query = {
            "id": str(update_id),
            "from": _person(chat_id if user_id is None else user_id),
            "message": message.raw,
            "chat_instance": str(chat_id),
            "data": data,
        }
        self._queries.add(str(update_id))
        return await self.push({"update_id": update_id, "callback_query": query})

    async def push(self, update: Params) -> int:
        """Deliver a raw update of any kind, such as `{"my_chat_member": {...}}`."""
        update = {"update_id": self._next_update_id()} | copy.deepcopy(update)
        update_id: int = update["update_id"]
        self._updates[update_id] = update
        for content in update.values():
            chat = content.get("chat") if isinstance(content, dict) else None
            if isinstance(chat, dict):
                self._chats[chat["id"]] = chat
        await self._emulator.enqueue_update(update, token=self.token)
        self._pushed += 1
        await self._notify()
        return update_id

    async def redeliver(self, update_id: int) -> None:
        """Deliver an update once more, as after an answer that was lost."""
        update = self._updates[update_id]
        url, headers = self._webhook
        if not url:
            self._again.append(update)
            await self._notify()
            return
        async with self._client.post(url, json=update, headers=headers) as response:
            await response.read()

    async def retry(self) -> int:
        """Deliver to the webhook what it did not accept so far; gives how many it accepted now."""
        return cast("int", await self._emulator.deliver_updates(token=self.token))

    def message(
        self,
        user_id: int,
        text: str,
        chat_id: int | None = None,
        chat_type: str = "private",
        **extra: object,
    ) -> Params:
        """A person's message as Telegram describes it, for `push`."""
        person = _person(user_id)
        head = {
            "message_id": self._next_message_id(),
            "date": int(time.time()),
            "from": person,
            "chat": _chat(user_id if chat_id is None else chat_id, chat_type),
        }
        content = {"text": text} | _entities(text) if text else {}
        return head | content | extra

    def delete(self, chat_id: int, message_id: int) -> None:
        """A person deletes a message of the bot."""
        del self._kept[chat_id][message_id]

    # --- what the bot did ---------------------------------------------------------------------

    def messages(self, chat_id: int) -> list[BotMessage]:
        """The bot's messages in the chat as they stand now, oldest first."""
        return list(self._kept.get(chat_id, {}).values())

    def calls_of(self, method: str, chat_id: int | None = None) -> list[Call]:
        """The calls of one method, of one chat if given."""
        found = (c for c in self.calls if c.method == method)
        return [c for c in found if chat_id is None or c.chat_id == chat_id]

    async def wait_for(self, found: Callable[[], T], timeout_s: float = 10) -> T:
        """Wait until `found` gives something true, looking after every call; gives that."""
        try:
            async with asyncio.timeout(timeout_s), self._changed:
                return await self._changed.wait_for(found)
        except TimeoutError:
            last = [(c.method, c.chat_id, c.status) for c in self.calls[-8:]]
            raise AssertionError(f"not within {timeout_s} s; the last calls: {last}") from None

    def route(self, public: str, local: str) -> None:
        """Deliver webhooks under the address `public` to `local`: what a TLS proxy does."""
        self._routes[public] = local

    # --- the wire -----------------------------------------------------------------------------

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        at, method = time.monotonic(), request.match_info["method"]
        params, files = await _read(request)
        answer: Params = {"ok": True}
        status, no_answer = 200, None
        try:
            if request.match_info["token"] != self.token:
                raise Refused("Unauthorized", 401)
            answer["result"] = await self._answer(method, params, files)
        except Refused as refused:
            status = refused.status
            answer = {"ok": False, "error_code": status, "description": str(refused)}
            if refused.parameters:
                answer["parameters"] = refused.parameters
        except _NoAnswer as no:
            status, no_answer = NO_ANSWER, no
        await self._record(method, params, at, status, answer.get("description", ""))
        if no_answer is not None:
            await self._leave(request, no_answer)
        return web.json_response(answer, status=status or 504)

    async def _answer(self, method: str, params: Params, files: Files) -> object:
        fault = self._fault(method, params)
        if fault is not None and not fault.performed:
            raise fault.answer.with_traceback(None)  # else each raise lengthens it
        perform = self._methods.get(method)
        result = await (perform(params, files) if perform else self._ask(method, params, files))
        if fault is not None:
            raise fault.answer.with_traceback(None)
        return result

    async def _ask(self, method: str, params: Params, files: Files | None = None) -> Any:
        """What the emulator answers; raises Refused."""
        url = f"{self._inner}/bot{self.token}/{method}"
        known = {k: v for k, v in params.items() if k not in _UNKNOWN_TO_EMULATOR}
        body = {"data": _form(known, files)} if files else {"json": known}
        async with self._client.post(url, **body) as response:
            answer = await response.json()
        if not answer["ok"]:
            raise Refused(answer["description"], answer["error_code"], answer.get("parameters"))
        return answer["result"]

    async def _record(
        self, method: str, params: Params, at: float, status: int, description: str
    ) -> None:
        chat_id = params.get("chat_id")
        call = Call(
            method=method,
            params=params,
            chat_id=chat_id if isinstance(chat_id, int) else None,
            at=at,
            status=status,
            description=description,
        )
        self.calls.append(call)
        await self._notify()

    async def _leave(self, request: web.Request, no_answer: _NoAnswer) -> None:
        if not no_answer.cut:
            await self._closing.wait()
        elif request.transport is not None:
            request.transport.abort()

    async def _notify(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    async def _release(self) -> None:
        """Let go of the calls that hang and of the poll that waits, so that closing is quick."""
        self._closing.set()
        self._polls += 1
        await self._notify()

    # --- updates ------------------------------------------------------------------------------

    async def _get_updates(self, params: Params, _files: Files) -> object:
        """Long polling; the emulator is asked without waiting, since it can't be interrupted."""
        self._polls += 1
        mine, deadline = self._polls, time.monotonic() + params.get("timeout", 0)
        await self._notify()
        params = _known_kinds(params) | {"timeout": 0}
        while mine == self._polls:
            seen = self._pushed, self._webhook
            updates = self._taken_again() + await self._ask("getUpdates", params)
            if updates or not await self._news(mine, seen, deadline - time.monotonic()):
                return updates
        raise Refused("Conflict: terminated by other getUpdates request", 409)

    async def _news(self, poll: int, seen: object, wait_s: float) -> bool:
        def news() -> bool:
            state = self._pushed, self._webhook
            return state != seen or bool(self._again) or poll != self._polls

        self.polls_waiting += 1
        try:
            async with asyncio.timeout(wait_s), self._changed:
                self._changed.notify_all()
                return await self._changed.wait_for(news)
        except TimeoutError:
            return False
        finally:
            self.polls_waiting -= 1

    def _taken_again(self) -> list[Params]:
        again, self._again = self._again, []
        return again

    async def _set_webhook(self, params: Params, _files: Files) -> object:
        """Both setWebhook and deleteWebhook, which sets none."""
        url = str(params.get("url", ""))
        for public, local in self._routes.items():
            if url.startswith(public):
                url = local + url.removeprefix(public)
        secret = params.get("secret_token")
        await self._ask("setWebhook", _known_kinds(params) | {"url": url})
        self._webhook = url, {"X-Telegram-Bot-Api-Secret-Token": secret} if secret else {}
        await self._notify()
        return True

    async def _get_webhook_info(self, params: Params, _files: Files) -> object:
        info = await self._ask("getWebhookInfo", params)
        for public, local in self._routes.items():
            if info["url"].startswith(local):
                info["url"] = public + info["url"].removeprefix(local)
        return info

    # --- the bot itself -----------------------------------------------------------------------

    async def _get_me(self, params: Params, _files: Files) -> object:
        return await self._ask("getMe", params) | _me()

    async def _set_my_commands(self, params: Params, _files: Files) -> object:
        result = await self._ask("setMyCommands", params)
        for command in params["commands"]:
            if not re.fullmatch(r"[a-z0-9_]{1,32}", command["command"]):
                raise Refused("Bad Request: BOT_COMMAND_INVALID")
            if not 1 <= len(command["description"]) <= 256:
                raise Refused("Bad Request: BOT_COMMAND_DESCRIPTION_INVALID")
        self.commands[_scope(params)] = params["commands"]
        return result

    async def _get_my_commands(self, params: Params, _files: Files) -> object:
        return self.commands.get(_scope(params), [])

    # --- messages -----------------------------------------------------------------------------

    async def _send_message(self, params: Params, _files: Files) -> object:
        source = str(params.get("text", ""))
        formatted = _formatted(source, params)
        result = await self._ask("sendMessage", _plain(params) | {"text": formatted.text})
        return self._keep(params, result | {"text": formatted.text}, formatted, source)

    async def _send_document(self, params: Params, files: Files) -> object:
        source = str(params.get("caption", ""))
        formatted = _formatted(source, params)
        plain = _plain(params) | ({"caption": formatted.text} if source else {})
        result = await self._ask("sendDocument", plain, files)
        name, content = next(iter(files.values()), ("", b""))
        result["document"] |= {"file_name": name, "file_size": len(content)}
        return self._keep(params, result, formatted, source, (name, content))

    def _keep(
        self,
        params: Params,
        result: Params,
        formatted: Formatted,
        source: str,
        document: tuple[str, bytes] = ("", b""),
    ) -> Params:
        chat_id, message_id = params["chat_id"], result["message_id"]
        chat = self._chats.get(chat_id) or _chat(chat_id, "private" if chat_id > 0 else "group")
        raw = result | {"date": int(time.time()), "from": _me(), "chat": chat}
        raw |= _entity_list(formatted, "caption_entities" if document[0] else "entities")
        raw = {k: v for k, v in raw.items() if k != "reply_markup"} | _keyboard(params)
        self._kept.setdefault(chat_id, {})[message_id] = BotMessage(
            message_id=message_id,
            text=formatted.text,
            source=source,
            buttons=_buttons(raw),
            file_name=document[0],
            file=document[1],
            raw=raw,
        )
        return raw

    async def _edit_message_text(self, params: Params, _files: Files) -> object:
        source = str(params.get("text", ""))
        formatted = _formatted(source, params)
        await self._ask("editMessageText", _plain(params) | {"text": formatted.text})
        content = {"text": formatted.text} | _entity_list(formatted, "entities")
        return self._edit(params, content | _keyboard(params), source)

    async def _edit_reply_markup(self, params: Params, _files: Files) -> object:
        _plain(params)
        await self._ask("editMessageReplyMarkup", params)
        old = self._kept.get(params["chat_id"], {}).get(params["message_id"])
        raw = old.raw if old else {}
        same = {k: raw[k] for k in ("text", "entities") if k in raw}
        return self._edit(params, same | _keyboard(params), old.source if old else "")

    def _edit(self, params: Params, content: Params, source: str) -> Params:
        chat = self._kept.get(params["chat_id"], {})
        old = chat.get(params["message_id"])
        if old is None:
            raise Refused("Bad Request: message to edit not found")
        if old.file_name and "text" in content:
            raise Refused("Bad Request: there is no text in the message to edit")
        shown = {k: old.raw[k] for k in ("text", "entities", "reply_markup") if k in old.raw}
        if shown == content:
            raise Refused(_NOT_MODIFIED)
        kept = {k: v for k, v in old.raw.items() if k not in shown}
        raw = kept | content | {"edit_date": int(time.time())}
        chat[old.message_id] = replace(
            old,
            text=str(raw.get("text", old.text)),
            source=source,
            buttons=_buttons(raw),
            edits=old.edits + 1,
            raw=raw,
        )
        return raw

    async def _delete_message(self, params: Params, _files: Files) -> object:
        result = await self._ask("deleteMessage", params)
        if self._kept.get(params["chat_id"], {}).pop(params["message_id"], None) is None:
            raise Refused("Bad Request: message to delete not found")
        return result

    async def _answer_callback_query(self, params: Params, _files: Files) -> object:
        if len(str(params.get("text", ""))) > 200:
            raise Refused("Bad Request: MESSAGE_TOO_LONG")
        if str(params.get("callback_query_id")) not in self._queries:
            raise Refused(_TOO_OLD)
        return await self._ask("answerCallbackQuery", params)

    def _next_message_id(self) -> int:
        """People's messages and the bot's are numbered together, as in a real chat."""
        message_id: int = self._emulator.next_id
        self._emulator.next_id += 1
        return message_id

    def _next_update_id(self) -> int:
        return next(reversed(self._updates), FIRST_UPDATE_ID - 1) + 1


async def _serve(stack: AsyncExitStack, app: web.Application) -> str:
    """Serve on a free loopback port until the stack closes; gives the address."""
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=1)
    stack.push_async_callback(runner.cleanup)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    return f"http://127.0.0.1:{runner.addresses[0][1]}"


async def _read(request: web.Request) -> tuple[Params, Files]:
    """The parameters from wherever a client may put them: query, form, JSON, multipart."""
    params, files = dict[str, Any](request.query), Files()
    if request.content_type == "application/json":
        params |= await request.json()
    else:
        for name, value in (await request.post()).items():
            if isinstance(value, web.FileField):
                with value.file as content:
                    files[name] = value.filename, content.read()
            else:
                params[name] = value
    return {name: _decoded(name, value) for name, value in params.items()}, files


def _decoded(name: str, value: object) -> object:
    if not isinstance(value, str):
        return value
    if name in _JSON_PARAMETERS:
        try:
            return json.loads(value)
        except ValueError:
            return value  # the emulator refuses it
    if name in _NUMBERS and re.fullmatch(r"-?\d+", value):
        return int(value)
    if name in _FLAGS:
        return value.lower() in {"true", "1"}
    return value


def _form(params: Params, files: Files | None) -> aiohttp.FormData:
    form = aiohttp.FormData()
    for name, value in params.items():
        form.add_field(name, value if isinstance(value, str) else json.dumps(value))
    for name, (file_name, content) in (files or {}).items():
        form.add_field(name, content, filename=file_name)
    return form


def _known_kinds(params: Params) -> Params:
    """Without the kinds of update that Telegram has and the emulator has never heard of."""
    kinds = params.get("allowed_updates")
    if not isinstance(kinds, list):
        return params
    unheard_of = set(Update.ALL_TYPES) - emulator_updates.ALLOWED_UPDATE_TYPES
    return params | {"allowed_updates": [kind for kind in kinds if kind not in unheard_of]}


def _formatted(source: str, params: Params) -> Formatted:
    """The text as shown and its entities; raises Refused as Telegram does."""
    mode = params.get("parse_mode")
    if mode is None:
        return Formatted(source.strip(), tuple(params.get("entities", ())))
    if mode != "HTML":
        raise Refused(f"Bad Request: unsupported parse_mode: this stand-in reads HTML, not {mode}")
    stray = _STRAY_BRACKET.search(source)
    if stray is not None:
        offset = len(source[: stray.start()].encode())
        raise Refused(
            f'Bad Request: can\'t parse entities: Unsupported start tag "" at byte offset {offset}'
        )
    try:
        return parse_html(_BARE_AMPERSAND.sub("&amp;", source))
    except BadMarkup as bad:
        raise Refused(f"Bad Request: can't parse entities: {bad}") from bad


def _plain(params: Params) -> Params:
    """What the emulator shall judge: the text without tags, since lengths count without them."""
    for row in _keyboard(params).get("reply_markup", {}).get("inline_keyboard", ()):
        for button in row:
            if not 1 <= len(str(button.get("callback_data", "-")).encode()) <= 64:
                raise Refused("Bad Request: BUTTON_DATA_INVALID")
    return {k: v for k, v in params.items() if k not in {"parse_mode", "entities"}}


def _keyboard(params: Params) -> Params:
    """The reply markup of a message, if it has an inline one that is not empty."""
    markup = params.get("reply_markup")
    shown = isinstance(markup, dict) and bool(markup.get("inline_keyboard"))
    return {"reply_markup": markup} if shown else {}


def _buttons(raw: Params) -> tuple[tuple[Button, ...], ...]:
    rows = raw.get("reply_markup", {}).get("inline_keyboard", ())
    return tuple(
        tuple(
            Button(label=b["text"], data=b.get("callback_data", ""), url=b.get("url", ""))
            for b in row
        )
        for row in rows
    )


def _entity_list(formatted: Formatted, name: str) -> Params:
    return {name: list(formatted.entities)} if formatted.entities else {}


def _entities(text: str) -> Params:
    """The commands and mentions of a person's text, in UTF-16 code units as Telegram counts."""
    found = [
        {
            "type": kind,
            "offset": len(text[: match.start()].encode("utf-16-le")) // 2,
            "length": len(match.group().encode("utf-16-le")) // 2,
        }
        for kind, pattern in _ENTITIES.items()
        for match in pattern.finditer(text)
    ]
    return {"entities": found} if found else {}


def _scope(params: Params) -> str:
    """A name for the scope of commands, and its language if it has one."""
    scope = params.get("scope") or {"type": "default"}
    parts = [scope["type"], scope.get("chat_id"), params.get("language_code")]
    return ":".join(str(part) for part in parts if part)


def _me() -> Params:
    return {"id": 7, "is_bot": True, "first_name": "Webscout", "username": USERNAME}


def _person(user_id: int) -> Params:
    name = f"Person {user_id}"
    return {"id": user_id, "is_bot": False, "first_name": name, "language_code": "en"}


def _chat(chat_id: int, kind: str) -> Params:
    name = {"first_name": f"Person {chat_id}"} if kind == "private" else {"title": "A group"}
    return {"id": chat_id, "type": kind} | name
