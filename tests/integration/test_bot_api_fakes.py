"""The stand-ins for Telegram do what Telegram does, as a bare PTB bot sees it."""

import asyncio
import contextlib
import json
import sys
import time
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from telegram import (
    Bot,
    BotCommand,
    BotCommandScopeChat,
    InlineKeyboardButton,
    InlineKeyboardMarkup,
    LinkPreviewOptions,
    Update,
)
from telegram.error import (
    BadRequest,
    ChatMigrated,
    Conflict,
    Forbidden,
    InvalidToken,
    NetworkError,
    RetryAfter,
    TimedOut,
)
from telegram.ext import Application, CallbackQueryHandler, CommandHandler, ContextTypes

from tests.fakes.bot_api import NO_ANSWER, USERNAME, BotApi

ROOT = Path(__file__).parents[2]
CHAT = 42
GROUP = -500
SECRET = "a-secret"
KEYBOARD = InlineKeyboardMarkup([[InlineKeyboardButton("Save", callback_data="save:1")]])


@pytest.fixture
async def api() -> AsyncIterator[BotApi]:
    """The stand-in, running."""
    async with BotApi() as api:
        yield api


@pytest.fixture
async def bot(api: BotApi) -> AsyncIterator[Bot]:
    """A bare bot that talks to it."""
    async with Bot(api.token, base_url=f"{api.base_url}/bot") as bot:
        yield bot


async def test_a_polling_bot_is_told_and_answers(api: BotApi) -> None:
    """PTB's own polling, with every kind of update, brings a command to the bot and a tap after."""
    app = Application.builder().token(api.token).base_url(f"{api.base_url}/bot").build()
    app.add_handler(CommandHandler("start", _offer))
    app.add_handler(CallbackQueryHandler(_saved))
    async with app:
        assert app.updater is not None
        await app.start()
        await app.updater.start_polling(allowed_updates=Update.ALL_TYPES)
        await api.say(CHAT, f"/start@{USERNAME} now")
        [message] = await api.wait_for(lambda: api.messages(CHAT))
        tap = await api.tap(CHAT, message.message_id, "Save")
        await api.wait_for(lambda: api.messages(CHAT)[0].edits)
        await app.updater.stop()
        await app.stop()
    [message] = api.messages(CHAT)
    assert (message.text, message.labels) == ("Saved.", [])
    [answer] = api.calls_of("answerCallbackQuery")
    assert answer.params["callback_query_id"] == str(tap)


async def test_unconfirmed_updates_come_again(api: BotApi, bot: Bot) -> None:
    """An update is kept until a later offset confirms it, and redelivered when a test says so."""
    first = await api.say(CHAT, "one @someone")
    second = await api.say(CHAT, "/two")
    assert [u.update_id for u in await bot.get_updates()] == [first, second]
    assert [u.update_id for u in await bot.get_updates(offset=second)] == [second]
    assert await bot.get_updates(offset=second + 1) == ()
    waiting = asyncio.create_task(bot.get_updates(offset=second + 1, timeout=5))
    await api.wait_for(lambda: api.polls_waiting)
    await api.redeliver(first)
    [again] = await waiting
    assert again.update_id == first
    assert again.message is not None
    assert list(again.message.parse_entities().values()) == ["@someone"]


async def test_updates_of_other_kinds(api: BotApi, bot: Bot) -> None:
    """Edits, channel posts and memberships arrive, though the emulator itself takes none."""
    edited = api.message(CHAT, "/start", GROUP, "group", edit_date=1)
    await api.push({"edited_message": edited})
    await api.push({"channel_post": api.message(CHAT, "news", -9, "channel")})
    updates = await bot.get_updates(allowed_updates=["edited_message", "channel_post"])
    assert updates[0].edited_message is not None
    assert updates[1].channel_post is not None


async def test_parameters_may_stand_in_the_query(api: BotApi) -> None:
    """A client that sends no body is understood too, and a wrong token is not."""
    await api.say(CHAT, "hello")
    async with aiohttp.ClientSession(api.base_url) as session:
        path = f"/bot{api.token}/getUpdates?timeout=0&limit=1&allowed_updates=%5B%22message%22%5D"
        async with session.get(path) as response:
            assert len((await response.json())["result"]) == 1
        async with session.post("/bot1:wrong/getMe") as response:
            assert response.status == 401
    assert api.calls[0].params == {"timeout": 0, "limit": 1, "allowed_updates": ["message"]}


async def test_a_second_poller_ends_the_first(api: BotApi, bot: Bot) -> None:
    """Two that poll with one token exclude each other, and a webhook excludes both."""
    first = asyncio.create_task(bot.get_updates(timeout=5))
    await api.wait_for(lambda: api.polls_waiting)
    async with Bot(api.token, base_url=f"{api.base_url}/bot") as second:
        await second.get_updates(timeout=0)
    with pytest.raises(Conflict):
        await first
    await bot.set_webhook("http://127.0.0.1:1/hook")
    with pytest.raises(Conflict):
        await bot.get_updates(timeout=0)


async def test_webhook_delivery(api: BotApi, bot: Bot) -> None:
    """Updates are posted with the secret, kept while refused, and posted again when asked."""
    statuses = [500, 200, 200]
    async with _receiver(statuses) as (address, received):
        api.route("https://bot.example.test", address)
        await bot.set_webhook("https://bot.example.test/hook", secret_token=SECRET)
        assert (await bot.get_webhook_info()).url == "https://bot.example.test/hook"
        update_id = await api.say(CHAT, "/start")
        assert (await bot.get_webhook_info()).pending_update_count == 1
        assert await api.retry() == 1
        assert (await bot.get_webhook_info()).pending_update_count == 0
        await api.redeliver(update_id)
        await bot.delete_webhook()
        await api.say(CHAT, "by polling now")
        assert len(await bot.get_updates()) == 1
    assert received == [(update_id, SECRET)] * 3


async def test_edits(api: BotApi, bot: Bot) -> None:
    """An edit changes the message, refuses to change nothing, and needs a message."""
    sent = await bot.send_message(CHAT, "<b>3 &lt; 4</b>", parse_mode="HTML", reply_markup=KEYBOARD)
    assert sent.text == "3 < 4"
    assert sent.entities[0].type == "bold"
    assert time.time() - sent.date.timestamp() < 60
    with pytest.raises(BadRequest, match=r"(?i)message is not modified"):
        await sent.edit_text("<b>3 &lt; 4</b>", parse_mode="HTML", reply_markup=KEYBOARD)
    await sent.edit_text("<b>3 &lt; 4</b>", parse_mode="HTML")
    await sent.edit_reply_markup(KEYBOARD)
    [kept] = api.messages(CHAT)
    assert (kept.text, kept.source, kept.edits) == ("3 < 4", "<b>3 &lt; 4</b>", 2)
    assert kept.buttons[0][0].data == "save:1"
    await sent.delete()
    with pytest.raises(BadRequest, match=r"(?i)message to edit not found"):
        await sent.edit_text("gone")


@pytest.mark.parametrize(
    ("text", "refusal"),
    [
        ("<b>open", "can't parse entities"),
        ("C < D", "can't parse entities"),
        ("<h1>title</h1>", "can't parse entities"),
        ("<b></b>", "message text is empty"),
        ("x" * 4097, "message is too long"),
    ],
)
async def test_texts_that_telegram_refuses(bot: Bot, text: str, refusal: str) -> None:
    """Bad HTML, an empty text and a long one are refused in Telegram's words."""
    with pytest.raises(BadRequest, match=r"(?i)" + refusal):
        await bot.send_message(CHAT, text, parse_mode="HTML")


async def test_lengths_count_without_tags(api: BotApi, bot: Bot) -> None:
    """4096 characters fit however long the tags are; options the emulator lacks do no harm."""
    text = f'<a href="https://example.com/{"y" * 900}">{"x" * 4094}&lt;</a>&'
    preview = LinkPreviewOptions(is_disabled=True)
    await bot.send_message(CHAT, text, parse_mode="HTML", link_preview_options=preview)
    [call] = api.calls_of("sendMessage", CHAT)
    assert call.params["link_preview_options"] == {"is_disabled": True}
    assert api.messages(CHAT)[0].text.endswith("x<&")


async def test_buttons_and_taps_have_limits(api: BotApi, bot: Bot) -> None:
    """Data of 65 bytes, an answer of 201 characters and a query nobody made are refused."""
    wide = InlineKeyboardMarkup([[InlineKeyboardButton("x", callback_data="ä" * 32 + "x")]])
    with pytest.raises(BadRequest, match=r"(?i)button_data_invalid"):
        await bot.send_message(CHAT, "x", reply_markup=wide)
    sent = await bot.send_message(CHAT, "x", reply_markup=KEYBOARD)
    tap = await api.tap(CHAT, sent.message_id, "forged", user_id=43, forged=True)
    [update] = await bot.get_updates()
    assert update.callback_query is not None
    assert (update.callback_query.data, update.callback_query.from_user.id) == ("forged", 43)
    with pytest.raises(BadRequest, match=r"(?i)message_too_long"):
        await bot.answer_callback_query(str(tap), "x" * 201)
    with pytest.raises(BadRequest, match=r"(?i)query is too old"):
        await bot.answer_callback_query("1", "x")
    assert await bot.answer_callback_query(str(tap), "x" * 200)
    with pytest.raises(AssertionError, match="no button"):
        await api.tap(CHAT, sent.message_id, "Draft")


async def test_what_else_a_bot_sends(api: BotApi, bot: Bot) -> None:
    """Documents keep their name and content, commands their scope, and the bot has a name."""
    assert bot.username == USERNAME
    await bot.send_chat_action(CHAT, "typing")
    await bot.send_document(
        CHAT, b"{}", filename="all.json", caption="<i>all</i>", parse_mode="HTML"
    )
    [document] = api.messages(CHAT)
    assert (document.file_name, document.file, document.text) == ("all.json", b"{}", "all")
    with pytest.raises(BadRequest, match=r"(?i)no text in the message"):
        await bot.edit_message_text("text", CHAT, document.message_id)
    await bot.set_my_commands([BotCommand("help", "Help")])
    await bot.set_my_commands([BotCommand("ops", "Ops")], scope=BotCommandScopeChat(CHAT))
    assert {scope: c[0]["command"] for scope, c in api.commands.items()} == {
        "default": "help",
        "chat:42": "ops",
    }
    assert (await bot.get_my_commands())[0].command == "help"


async def test_refusals_on_demand(api: BotApi, bot: Bot, monkeypatch: pytest.MonkeyPatch) -> None:
    """Floods, blocks, migrations, bad markup and failures come as scripted, then end."""
    monkeypatch.setenv("PTB_TIMEDELTA", "1")  # else PTB's RetryAfter warns as it is made
    api.flood(CHAT, 7)
    with pytest.raises(RetryAfter) as flood:
        await bot.send_message(CHAT, "x")
    assert (api.calls[-1].status, flood.value.retry_after) == (429, timedelta(seconds=7))
    api.flood(CHAT, 7, until=time.monotonic() - 1)
    await bot.send_message(CHAT, "x")
    api.block(CHAT)
    with pytest.raises(Forbidden, match="blocked by the user"):
        await bot.send_message(CHAT, "x")
    api.unblock(CHAT)
    api.break_entities(CHAT)
    await bot.send_message(CHAT, "plain")
    with pytest.raises(BadRequest, match=r"(?i)can't parse entities"):
        await bot.send_message(CHAT, "<b>x</b>", parse_mode="HTML")
    api.migrate(GROUP, -1001)
    with pytest.raises(ChatMigrated) as migrated:
        await bot.send_message(GROUP, "x")
    assert migrated.value.new_chat_id == -1001
    api.fail("sendMessage", 502, description="Bad Gateway")
    with pytest.raises(NetworkError):
        await bot.send_message(CHAT, "x")
    await bot.send_message(CHAT, "x")


async def test_answers_that_never_come(api: BotApi, bot: Bot) -> None:
    """A call may hang or be cut, after it was done or before; the record says so."""
    api.hang("sendMessage", performed=True)
    with pytest.raises(TimedOut):
        await bot.send_message(CHAT, "done", read_timeout=0.2)
    api.cut("sendMessage")
    with pytest.raises(NetworkError):
        await bot.send_message(CHAT, "not done")
    assert [m.text for m in api.messages(CHAT)] == ["done"]
    assert [c.status for c in api.calls_of("sendMessage")] == [NO_ANSWER, NO_ANSWER]


async def test_waiting_in_vain_says_what_came_instead(api: BotApi, bot: Bot) -> None:
    """A wait that times out names the last calls."""
    await bot.send_chat_action(CHAT, "typing")
    with pytest.raises(AssertionError, match="sendChatAction"):
        await api.wait_for(lambda: api.messages(CHAT), timeout_s=0.05)


async def test_a_wrong_token_is_refused(api: BotApi) -> None:
    """A bot with another token does not start."""
    with pytest.raises(InvalidToken):
        async with Bot("7:another", base_url=f"{api.base_url}/bot"):
            pass


async def test_the_load_stub_measures_a_bare_bot() -> None:
    """The stub hands out its updates, the plain bot answers them all, the statistics say so."""
    async with (
        _program("tests.fakes.bot_api_stub", "--port", "0") as stub,
        aiohttp.ClientSession() as session,
    ):
        assert stub.stdout is not None
        address = f"http://127.0.0.1:{int(await stub.stdout.readline())}"
        async with _program("bench.echo_bot", "--base-url", address):
            load = {"total": 150, "rate": None, "chats": 10}
            async with session.post(f"{address}/load", json=load) as response:
                assert response.status == 200
            async with session.get(f"{address}/stats?wait=30") as response:
                stats = await response.json()
    assert (stats["answered"], stats["handed_out"]) == (150, 150)
    assert 0 < stats["p50_ms"] <= stats["p99_ms"]
    assert stats["elapsed_s"] > 0


async def _offer(update: Update, _context: ContextTypes.DEFAULT_TYPE) -> None:
    assert update.message is not None
    await update.message.reply_text("Save it?", reply_markup=KEYBOARD)


async def _saved(update: Update, _context: ContextTypes.DEFAULT_TYPE) -> None:
    query = update.callback_query
    assert query is not None
    assert query.data == "save:1"
    await query.answer("Saved")
    await query.edit_message_text("Saved.")


@contextlib.asynccontextmanager
async def _receiver(
    statuses: list[int],
) -> AsyncIterator[tuple[str, list[tuple[int, str | None]]]]:
    """A webhook that answers with these statuses; gives its address and what it received."""
    received: list[tuple[int, str | None]] = []

    async def receive(request: web.Request) -> web.Response:
        update = json.loads(await request.text())
        secret = request.headers.get("X-Telegram-Bot-Api-Secret-Token")
        received.append((update["update_id"], secret))
        return web.Response(status=statuses[len(received) - 1])

    app = web.Application()
    app.router.add_post("/hook", receive)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}", received
    finally:
        await runner.cleanup()


@contextlib.asynccontextmanager
async def _program(module: str, *arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """A module run as a process; ended when this is left."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", module, *arguments, cwd=ROOT, stdout=asyncio.subprocess.PIPE
    )
    try:
        yield process
    finally:
        process.terminate()
        await asyncio.wait_for(process.communicate(), 20)
