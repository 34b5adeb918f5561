"""What the bot does when Telegram refuses, waits, is away, or a chat is gone."""

import asyncio
import logging
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web
from telegram.error import InvalidToken, NetworkError, TelegramError

from bot.bootstrap import Fakes, telegram_username
from bot.telegram.progress import ANSWER_AGAIN_S
from tests.conftest import local_settings
from tests.fakes.bot_api import TOKEN, USERNAME, BotApi
from tests.fakes.people import PROFILE, Person, WatchedClock, rows, telegram_bot, until_rows
from tests.fakes.sources import HeldSource, TestSources
from tests.integration.test_telegram_groups import member_change

GROUP, SUPERGROUP = -500, -1001234567890


@pytest.fixture
async def api() -> AsyncIterator[BotApi]:
    """Telegram's stand-in, running."""
    async with BotApi() as api:
        yield api


# --- refusals ----------------------------------------------------------------------------------


async def test_a_text_that_telegram_cant_parse_goes_plain(api: BotApi, tmp_path: Path) -> None:
    """It is sent once more without its tags, and the buttons stay."""
    async with telegram_bot(api, tmp_path):
        person = Person(api)
        api.break_entities(person.id)
        answer = await person.ask("/profile skills: C++, R&D")
        assert "Skills: C++, R&D" in answer.text
        assert answer.source == answer.text
        assert "Scout now" in answer.labels
    assert [call.status for call in api.calls_of("sendMessage")] == [400, 200]


async def test_an_edit_that_changes_nothing_is_not_sent(api: BotApi, tmp_path: Path) -> None:
    """The same number picked again costs no request; another one does."""
    async with telegram_bot(api, tmp_path):
        person = Person(api)
        shortlist = await person.scout()
        known = len(api.calls_of("editMessageText"))
        for _ in range(3):
            await person.tap("· 1 ·", shortlist)
        await person.ask("/help")
        assert len(api.calls_of("editMessageText")) == known
        await person.tap("2", shortlist)
        await person.read("▸ 2. ")
        assert len(api.calls_of("editMessageText")) == known + 1


async def test_after_an_edit_of_unknown_end_the_next_is_sent(api: BotApi, tmp_path: Path) -> None:
    """An edit whose answer was lost may have been made: what stood there before is sent again."""
    async with telegram_bot(api, tmp_path):
        person = Person(api)
        shortlist = await person.scout()
        api.cut("editMessageText", performed=True)
        await person.tap("2", shortlist)
        await person.read("▸ 2. ")
        await person.tap("1")
        await person.read("▸ 1. ")


@pytest.mark.parametrize("fault", ["cut", "502"])
async def test_the_shortlist_arrives_though_edits_fail(
    api: BotApi, tmp_path: Path, fault: str
) -> None:
    """An answer that Telegram did not take is tried again later, in the same message."""
    clock, source = WatchedClock(), HeldSource()
    fakes = Fakes(clock=clock, sources=TestSources({"held": source}))
    async with telegram_bot(api, tmp_path, fakes, sources=("held", "sample")):
        person = Person(api)
        await person.ask(PROFILE)
        placeholder = await person.ask("/scout")
        await source.asked.wait()
        if fault == "cut":
            api.cut("editMessageText", times=3)
        else:
            api.fail("editMessageText", 502, times=3, description="Bad Gateway")
        source.gate.set()
        arrived = asyncio.ensure_future(person.read("best matches"))
        for pause_s in ANSWER_AGAIN_S:
            asleep = asyncio.ensure_future(clock.until_asleep(pause_s))
            await asyncio.wait({arrived, asleep}, return_when=asyncio.FIRST_COMPLETED)
            asleep.cancel()
            clock.advance(0 if arrived.done() else pause_s)
        shortlist = await arrived
        assert shortlist.message_id == placeholder.message_id
        assert len([m for m in person.messages if "best matches" in m.text]) == 1


async def test_a_lost_placeholder_leaves_one_shortlist(api: BotApi, tmp_path: Path) -> None:
    """The sending of the placeholder fails: the scout runs, and its shortlist is sent."""
    async with telegram_bot(api, tmp_path):
        person = Person(api)
        await person.ask(PROFILE)
        api.cut("sendMessage")
        await person.scout()
    assert len([m for m in person.messages if "best matches" in m.text]) == 1


async def test_a_deleted_message_is_replaced(api: BotApi, tmp_path: Path) -> None:
    """Who deletes the placeholder gets the shortlist in a message of its own."""
    source = HeldSource()
    fakes = Fakes(sources=TestSources({"held": source}))
    async with telegram_bot(api, tmp_path, fakes, sources=("held", "sample")):
        person = Person(api)
        await person.ask(PROFILE)
        placeholder = await person.ask("/scout")
        await source.asked.wait()
        api.delete(person.id, placeholder.message_id)
        source.gate.set()
        shortlist = await person.read("best matches")
        assert shortlist.message_id != placeholder.message_id


# --- who is there ------------------------------------------------------------------------------


async def test_who_blocks_the_bot_is_left_alone(api: BotApi, tmp_path: Path) -> None:
    """After the first refusal no request goes to the chat, also after a restart, until they are
    back with /start."""
    person, source = Person(api), HeldSource()
    fakes = Fakes(sources=TestSources({"held": source}))
    blocked = "SELECT count(*) FROM users WHERE blocked_at IS NOT NULL"
    async with telegram_bot(api, tmp_path, fakes, sources=("held",)):
        await person.ask(PROFILE)
        await person.ask("/scout")
        await source.asked.wait()
        api.block(person.id)
        source.gate.set()
        await api.wait_for(lambda: _refused(api, person))
        await Person(api, 43).ask("/help")
        await until_rows(tmp_path, blocked, [(1,)])  # for the next start
    assert len(_refused(api, person)) == 1
    known = len(_sent(api, person))
    async with telegram_bot(api, tmp_path):
        await Person(api, 43).ask("/help")
        assert len(_sent(api, person)) == known
        api.unblock(person.id)
        assert "/scout goes and looks" in (await person.ask("/start")).text
    assert rows(tmp_path, blocked) == [(0,)]


async def test_a_block_is_believed_before_a_refusal(api: BotApi, tmp_path: Path) -> None:
    """Telegram says that the bot was blocked: nothing is tried, not even the answer to a scout."""
    person, source = Person(api), HeldSource()
    fakes = Fakes(sources=TestSources({"held": source}))
    private = {"id": person.id, "type": "private", "first_name": "Person 42"}
    async with telegram_bot(api, tmp_path, fakes, sources=("held", "sample")):
        await person.ask(PROFILE)
        await person.ask("/scout")
        await source.asked.wait()
        await api.push({"my_chat_member": member_change(private, "member", "kicked")})
        await Person(api, 43).ask("/help")
        known = len(_sent(api, person))
        source.gate.set()
        await Person(api, 44).scout()
        assert len(_sent(api, person)) == known
        await api.push({"my_chat_member": member_change(private, "kicked", "member")})
        await person.ask("/help")
    assert rows(tmp_path, "SELECT count(*) FROM users WHERE blocked_at IS NOT NULL") == [(0,)]


def _sent(api: BotApi, person: Person) -> list[object]:
    return [call for call in api.calls if call.chat_id == person.id]


def _refused(api: BotApi, person: Person) -> list[object]:
    return [call for call in api.calls if call.chat_id == person.id and call.status == 403]


async def test_a_group_that_moved_is_followed(api: BotApi, tmp_path: Path) -> None:
    """The answer goes to the group's new id, which is remembered across a restart."""
    api.migrate(GROUP, SUPERGROUP)
    async with telegram_bot(api, tmp_path):
        await api.say(42, "/help", GROUP, "group")
        await api.wait_for(lambda: api.messages(SUPERGROUP))
    known = len(api.calls_of("sendMessage", GROUP))
    assert known == 1
    async with telegram_bot(api, tmp_path):
        await api.say(42, f"/help@{USERNAME}", GROUP, "group")
        await api.wait_for(lambda: len(api.messages(SUPERGROUP)) == 2)
    assert len(api.calls_of("sendMessage", GROUP)) == known


async def test_a_move_that_is_announced_needs_no_refusal(api: BotApi, tmp_path: Path) -> None:
    """The group's own last message says where it went."""
    async with telegram_bot(api, tmp_path):
        await api.say(42, "", GROUP, "group", migrate_to_chat_id=SUPERGROUP)
        await api.say(42, "/help", GROUP, "group")
        await api.wait_for(lambda: api.messages(SUPERGROUP))
    assert not api.calls_of("sendMessage", GROUP)


# --- Telegram away -----------------------------------------------------------------------------


@pytest.mark.parametrize("fault", ["502", "cut"])
async def test_polling_goes_on_after_an_outage(
    api: BotApi, tmp_path: Path, caplog: pytest.LogCaptureFixture, fault: str
) -> None:
    """Failures are waited out, longer each time, and logged once; then people are answered."""
    clock, person = WatchedClock(), Person(api)
    async with telegram_bot(api, tmp_path, Fakes(clock=clock)):
        known = len(api.calls_of("getUpdates"))
        if fault == "cut":
            api.cut("getUpdates", times=3)
        else:
            api.fail("getUpdates", 502, times=3, description="Bad Gateway")
        await person.ask("/help")  # the poll that was under way brings it, the next ones fail
        for failures, wait_s in enumerate((1, 2, 5), known + 2):
            await clock.until_asleep(wait_s)
            assert len(api.calls_of("getUpdates")) == failures
            clock.advance(wait_s)
        await person.ask("/privacy")
    assert len([r for r in caplog.records if "updates do not come" in r.message]) == 1


async def test_another_program_with_the_token_is_named(
    api: BotApi, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Two that poll exclude each other: the log says so, and the bot tries on."""
    clock, person = WatchedClock(), Person(api)
    async with telegram_bot(api, tmp_path, Fakes(clock=clock)):
        api.fail("getUpdates", 409, description="Conflict: terminated by other getUpdates request")
        await person.ask("/help")
        await clock.until_asleep(1)
        clock.advance(1)
        await person.ask("/privacy")
    assert "another program polls with this token" in caplog.text


async def test_a_revoked_token_ends_the_bot(api: BotApi, tmp_path: Path) -> None:
    """Nothing that it could wait for mends that: its failure says what it is."""
    async with telegram_bot(api, tmp_path) as running:
        api.fail("getUpdates", 401, description="Unauthorized")
        await Person(api).ask("/help")
        with pytest.raises(InvalidToken) as failure:
            await running.failed
    assert TOKEN not in chain(failure.value)


GARBAGE = [
    (200, "<html>nginx: /bot{token}/getMe</html>"),
    (200, "[]"),
    (200, '"{token}"'),
    (200, "{{}}"),
    (200, ""),
    (404, "The requested URL /bot{token}/getMe was not found"),
    (500, "<html>/bot{token}/getMe</html>"),
    (502, ""),
    (429, "/bot{token}"),
]


@pytest.mark.parametrize(("status", "page"), GARBAGE)
async def test_the_token_is_in_no_record(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, status: int, page: str
) -> None:
    """A server in Telegram's place that quotes the address, in whatever way it fails."""
    _listen(caplog)

    async def answer(_request: web.Request) -> web.Response:
        return web.Response(status=status, text=page.format(token=TOKEN))

    site = web.Application()
    site.router.add_route("*", "/{any:.*}", answer)
    runner = web.AppRunner(site, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        address = f"http://127.0.0.1:{runner.addresses[0][1]}"
        error = await _fails_to_start(tmp_path, address)
    finally:
        await runner.cleanup()
    assert TOKEN not in chain(error)
    assert TOKEN not in caplog.text


async def test_the_token_is_in_no_record_when_nobody_answers(
    api: BotApi, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Refused and cut connections, at the start and later."""
    _listen(caplog)
    error = await _fails_to_start(tmp_path, "http://127.0.0.1:1")
    assert isinstance(error, NetworkError)
    assert TOKEN not in chain(error)
    async with telegram_bot(api, tmp_path):
        person = Person(api)
        api.cut("sendMessage")
        await person.say("/help")
        await api.wait_for(lambda: api.calls_of("sendMessage"))
        await person.ask("/help")
    assert TOKEN not in caplog.text


def _listen(caplog: pytest.LogCaptureFixture) -> None:
    """To everything but what the program never lets through."""
    caplog.set_level(logging.DEBUG)
    for chatty in ("aiosqlite", "telegram"):
        caplog.set_level(logging.WARNING, logger=chatty)


async def _fails_to_start(folder: Path, address: str) -> TelegramError:
    settings = local_settings(
        folder,
        telegram_bot_token=TOKEN,
        telegram_api_base_url=address,
        sources=("sample",),
    )
    with pytest.raises(TelegramError) as failure:
        await telegram_username(settings)
    return failure.value


def chain(error: BaseException | None) -> str:
    """The texts of an error and of all that it came from."""
    texts = []
    while error is not None:
        texts.append(repr(error))
        error = error.__cause__ or error.__context__
    return "\n".join(texts)
