"""What passes between the bot and Telegram: waits, moves, blocks, plain texts, equal edits."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from telegram import InlineKeyboardButton, InlineKeyboardMarkup
from telegram.error import BadRequest, ChatMigrated, Forbidden, NetworkError

from bot.telegram.request import FloodWait
from bot.telegram.sender import (
    _SHOWN_MAX,
    FLOOD_MAX_S,
    FLOODS_MAX,
    MOVES_MAX,
    WAITING_MAX,
    Sender,
    TooManyWaiting,
)
from tests.fakes.saga_clock import HeldClock, settle

CHAT = 42
UNPARSED = BadRequest("Can't parse entities: unsupported start tag")


class Remembered:
    """A store of chats that a test can look into."""

    def __init__(self) -> None:
        self.moves: list[tuple[int, int]] = []
        self.blocks: list[int] = []

    async def moved(self, old: int, new: int) -> None:
        """Note it."""
        self.moves.append((old, new))

    async def blocked(self, chat_id: int) -> None:
        """Note it."""
        self.blocks.append(chat_id)


class Wire:
    """A sender over a Telegram that answers as scripted, then with success."""

    def __init__(self, *script: Exception, blocked: Sequence[int] = ()) -> None:
        self.script = list(script)
        self.clock, self.chats = HeldClock(), Remembered()
        self.sender = Sender(self.chats, self.clock, moves={}, blocked=set(blocked))
        self.calls: list[dict[str, Any]] = []
        self.gate = asyncio.Event()
        self.gate.set()

    async def call(self, endpoint: str = "sendMessage", **data: Any) -> Any:
        """One call of the bot's."""
        data = {"chat_id": CHAT} | data
        return await self.sender.process_request(self._send, (data,), {}, endpoint, data, None)

    async def edit(self, text: str, keyboard: InlineKeyboardMarkup | None = None) -> Any:
        """Edit message 1."""
        return await self.call("editMessageText", text=text, message_id=1, reply_markup=keyboard)

    async def _send(self, data: dict[str, Any]) -> Any:
        self.calls.append(dict(data))
        await self.gate.wait()
        if self.script:
            raise self.script.pop(0)
        return {"message_id": data.get("message_id", 1)}


async def test_a_flood_wait_is_waited_out() -> None:
    """The call is made again after the wait, not before, and its result is the caller's."""
    wire = Wire(FloodWait(30))
    call = asyncio.ensure_future(wire.call(text="x"))
    await settle()
    wire.clock.advance(29)
    await settle()
    assert len(wire.calls) == 1
    wire.clock.advance(1)
    assert await call == {"message_id": 1}
    assert len(wire.calls) == 2


async def test_a_flood_wait_holds_its_chat_in_order() -> None:
    """What comes for the chat meanwhile waits its turn; other chats are served."""
    wire = Wire(FloodWait(30))
    calls = [asyncio.ensure_future(wire.call(text=str(n))) for n in range(3)]
    await settle()
    await wire.call(chat_id=43, text="other")
    assert [call["text"] for call in wire.calls] == ["0", "other"]
    wire.clock.advance(30)
    await asyncio.gather(*calls)
    assert [call["text"] for call in wire.calls] == ["0", "other", "0", "1", "2"]


async def test_more_than_the_bound_do_not_wait() -> None:
    """A chat in a long wait keeps so many calls and refuses the rest."""
    wire = Wire()
    wire.gate.clear()
    calls = [asyncio.ensure_future(wire.call(text=str(n))) for n in range(WAITING_MAX)]
    await settle()
    with pytest.raises(TooManyWaiting):
        await wire.call(text="one more")
    wire.gate.set()
    await asyncio.gather(*calls)
    await wire.call(text="again")


async def test_floods_without_end_are_given_up() -> None:
    """After the last wait the flood is the caller's."""
    wire = Wire(*[FloodWait(1)] * (FLOODS_MAX + 1))
    call = asyncio.ensure_future(wire.call(text="x"))
    await wire.clock.until_done(call)
    with pytest.raises(FloodWait):
        call.result()
    assert len(wire.calls) == FLOODS_MAX + 1


async def test_a_wait_of_hours_is_not_waited() -> None:
    """A flood beyond the bound is the caller's at once."""
    with pytest.raises(FloodWait):
        await Wire(FloodWait(FLOOD_MAX_S + 1)).call(text="x")


async def test_a_call_for_no_chat_waits_once() -> None:
    """The answer to a tap waits out one flood, for nobody else, and no second one."""
    wire = Wire(FloodWait(5), FloodWait(7))
    call = asyncio.ensure_future(wire.call("answerCallbackQuery", chat_id=None))
    await wire.clock.until_done(call)
    with pytest.raises(FloodWait, match="7 s"):
        call.result()
    assert await wire.call("setMyCommands", chat_id="@channel") == {"message_id": 1}


async def test_a_text_that_cant_be_parsed_goes_plain() -> None:
    """Tags go, references become what they stand for; the same again is not sent twice."""
    wire = Wire(UNPARSED)
    await wire.call(text="<b>R&amp;D</b> 3 &lt; 4", parse_mode="HTML")
    assert wire.calls[1]["text"] == "R&D 3 < 4"
    assert "parse_mode" not in wire.calls[1]
    same = {"text": "<b>R&amp;D</b> 3 &lt; 4", "parse_mode": "HTML", "message_id": 1}
    assert await wire.call("editMessageText", **same) is True
    assert len(wire.calls) == 2


async def test_a_caption_goes_plain_too() -> None:
    """Documents have captions instead of texts."""
    wire = Wire(UNPARSED)
    await wire.call("sendDocument", caption="<i>x</i>", parse_mode="HTML")
    assert wire.calls[1]["caption"] == "x"


async def test_what_is_plain_already_is_not_tried_again() -> None:
    """Without mark-up there is nothing to leave out; other refusals are the caller's."""
    for wire, refusal in ((Wire(UNPARSED), "parse"), (Wire(BadRequest("no such chat")), "chat")):
        with pytest.raises(BadRequest, match=refusal):
            await wire.call(text="x")
        assert len(wire.calls) == 1


async def test_the_same_edit_is_not_sent_twice() -> None:
    """Text and buttons count; what a sent message shows counts as well."""
    wire = Wire()
    keyboard = InlineKeyboardMarkup([[InlineKeyboardButton("Save", callback_data="1")]])
    await wire.call(text="a")
    assert await wire.edit("a") is True
    await wire.edit("a", keyboard)
    assert await wire.edit("a", keyboard) is True
    await wire.edit("b", keyboard)
    await wire.edit("a", keyboard)
    assert len(wire.calls) == 4


async def test_a_failed_edit_is_not_believed() -> None:
    """Nobody knows what an edit left that had no answer: the old text is sent again."""
    wire = Wire()
    await wire.edit("a")
    wire.script = [NetworkError("cut")]
    with pytest.raises(NetworkError):
        await wire.edit("b")
    await wire.edit("a")
    assert [call["text"] for call in wire.calls] == ["a", "b", "a"]


async def test_what_messages_show_is_forgotten_in_the_end() -> None:
    """However many messages there are, what is remembered of them is bounded: the oldest goes."""
    wire = Wire()
    for message_id in (*range(_SHOWN_MAX + 1), 0, _SHOWN_MAX):
        await wire.call("editMessageText", text="a", message_id=message_id)
    assert len(wire.calls) == _SHOWN_MAX + 2


async def test_who_blocked_the_bot_is_left_alone() -> None:
    """The refusal is remembered and passed on; the next call is not made, until they are back."""
    wire = Wire(Forbidden("bot was blocked by the user"))
    for _ in range(2):
        with pytest.raises(Forbidden):
            await wire.call(text="x")
    assert (len(wire.calls), wire.chats.blocks) == (1, [CHAT])
    assert wire.sender.came_back(CHAT)
    assert not wire.sender.came_back(CHAT)
    await wire.call(text="x")


async def test_calls_that_waited_learn_of_the_block() -> None:
    """When the first of several finds out, the others are not made."""
    wire = Wire(Forbidden("bot was blocked by the user"))
    calls = [wire.call(text=str(n)) for n in range(3)]
    failures = await asyncio.gather(*calls, return_exceptions=True)
    assert [type(failure) for failure in failures] == [Forbidden] * 3
    assert len(wire.calls) == 1


async def test_a_chat_that_moved_is_followed() -> None:
    """Those that waited and those that come later go to the new id; the store is told once."""
    wire = Wire(ChatMigrated(-100))
    await asyncio.gather(*(wire.call(text=str(n)) for n in range(3)))
    await wire.call(text="later")
    assert [call["chat_id"] for call in wire.calls] == [CHAT, -100, -100, -100, -100]
    assert wire.chats.moves == [(CHAT, -100)]


async def test_a_chat_that_only_moves_is_given_up() -> None:
    """A Telegram that sends in a circle does not keep a call for ever."""
    moves = [ChatMigrated(-100), ChatMigrated(CHAT)] * MOVES_MAX
    wire = Wire(*moves)
    with pytest.raises(ChatMigrated):
        await wire.call(text="x")
    assert len(wire.calls) == MOVES_MAX + 1


async def test_chats_are_not_kept_when_nothing_waits() -> None:
    """A chat's turn fades with its last call."""
    wire = Wire(blocked=[7])
    for chat_id in range(100, 200):
        await wire.call(chat_id=chat_id, text="x")
    assert not wire.sender._turns
    with pytest.raises(Forbidden):
        await wire.call(chat_id=7, text="x")
