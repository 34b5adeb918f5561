"""The way in for updates, without a network: once, in order, bounded, and never lost."""

import asyncio
import json
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from telegram import Bot, Update

from agents.store.errors import StoreError
from agents.store.inbox import Arrival, Left
from bot.telegram.intake import (
    ALL_WAITING_MAX,
    AT_ONCE_MAX,
    CHAT_WAITING_MAX,
    Intake,
    is_cancel,
    is_update,
)
from bot.telegram.slots import slot_given_back
from tests.fakes.saga_clock import settle

BOT = Bot("7:x")
_NOTHING = Left()


class MemoryInbox:
    """An inbox in memory, which can be out of order."""

    def __init__(self, left: Left) -> None:
        self.left = left
        self.begun: list[int] = []
        self.bodies: dict[int, str | None] = {}
        self.senders: list[str | None] = []
        self.broken = False

    async def take(self, arrivals: Sequence[Arrival]) -> set[int]:
        """What is new."""
        self._check()
        new = {a.update_id for a in arrivals} - self.bodies.keys()
        self.bodies |= {a.update_id: a.body for a in arrivals if a.update_id in new}
        self.senders += [a.sender_id for a in arrivals]
        return new

    async def done(self, update_ids: Sequence[int]) -> None:
        """They were handled."""
        self._check()
        self.bodies |= dict.fromkeys(update_ids)

    async def prune(self) -> None:
        """Nothing is old here."""

    async def take_up(self) -> Left:
        """What was left."""
        return self.left

    async def begin(self, update_id: int) -> None:
        """It is tried alone."""
        self.begun.append(update_id)

    def _check(self) -> None:
        if self.broken:
            raise StoreError("the disk is full")


class Door:
    """An intake whose handlers wait for a gate; what was handled, answered and dropped."""

    def __init__(self, left: Left = _NOTHING, drain_within_s: float = 5.0) -> None:
        self.inbox = MemoryInbox(left)
        self.handled: list[int] = []
        self.answered: list[int] = []
        self.dropped: list[int] = []
        self.given_up: list[int] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.at_once = self.most_at_once = 0
        self.intake = Intake(
            bot=BOT,
            inbox=self.inbox,
            handle=self._handle,
            on_arrival=self._note(lambda: self.answered),
            on_overflow=self._note(lambda: self.dropped),
            on_hopeless=self._note(lambda: self.given_up),
            drain_within_s=drain_within_s,
            noted_within_s=0,
            alone_within_s=0.01,
        )

    async def _handle(self, update: Update) -> None:
        if update.message is not None and update.message.text == "break":
            raise RuntimeError("a handler of ours")
        if not is_cancel(update):
            await self._hold()
        self.handled.append(update.update_id)

    async def _hold(self) -> None:
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            await asyncio.sleep(0)  # others get their turn
            await self.gate.wait()
        finally:
            self.at_once -= 1

    def _note(self, to: Callable[[], list[int]]) -> Any:
        async def noted(update: Update) -> None:
            to().append(update.update_id)

        return noted


def text(update_id: int, words: str = "x", chat_id: int = 42) -> dict[str, Any]:
    """A person's message."""
    person = {"id": chat_id, "is_bot": False, "first_name": "x"}
    chat = {"id": chat_id, "type": "private"}
    message = {"message_id": update_id, "date": 1, "text": words, "from": person, "chat": chat}
    return {"update_id": update_id, "message": message}


def tap(update_id: int) -> dict[str, Any]:
    """A person's tap."""
    message = text(update_id)["message"]
    query = {"id": "1", "from": message["from"], "chat_instance": "1", "message": message}
    return {"update_id": update_id, "callback_query": query}


async def test_each_is_handled_once_and_its_words_go() -> None:
    """Repeats within a batch and after it are passed over; what is handled is noted so."""
    door = Door()
    async with door.intake as intake:
        await intake.accept([text(1), text(2), text(1)])
        await intake.accept([text(2), text(3)])
        await intake.accept([])
    assert door.handled == [1, 2, 3]
    assert set(door.inbox.bodies.values()) == {None}
    assert set(door.inbox.senders) == {"42"}


async def test_a_chat_is_served_in_order_and_others_at_once() -> None:
    """A chat's second waits for its first; another chat's does not."""
    door = Door()
    door.gate.clear()
    async with door.intake as intake:
        await intake.accept([text(1), text(2), text(3, chat_id=43)])
        await settle()
        assert door.at_once == 2
        door.gate.set()
    assert door.handled.index(1) < door.handled.index(2)
    assert sorted(door.handled) == [1, 2, 3]


@pytest.mark.parametrize("word", ["/cancel", "/CANCEL@webscout_test_bot", "/cancel now"])
async def test_cancel_passes_every_queue(word: str) -> None:
    """Its chat's queue, and the places at once when all are taken."""
    door = Door()
    door.gate.clear()
    async with door.intake as intake:
        await intake.accept([text(n, chat_id=n) for n in range(1, AT_ONCE_MAX + 10)])
        await intake.accept([text(999, word, chat_id=1)])
        await settle()
        assert door.handled == [999]
        assert door.at_once == AT_ONCE_MAX
        door.gate.set()
    assert door.most_at_once == AT_ONCE_MAX
    assert len(door.handled) == AT_ONCE_MAX + 10


async def test_taps_are_answered_on_arrival() -> None:
    """The answer waits for no queue; the work does."""
    door = Door()
    door.gate.clear()
    async with door.intake as intake:
        await intake.accept([text(1), tap(2)])
        await settle()
        assert (door.answered, door.handled) == ([2], [])
        door.gate.set()
    assert door.handled == [1, 2]


async def test_what_a_full_chat_gets_is_dropped_with_one_word() -> None:
    """So many wait in one chat; the rest is noted as done, and said once."""
    door = Door()
    door.gate.clear()
    async with door.intake as intake:
        await intake.accept([text(n) for n in range(100)])
        await settle()
        assert len(door.dropped) == 1
        door.gate.set()
        await settle()
        assert len(door.handled) in {CHAT_WAITING_MAX, CHAT_WAITING_MAX + 1}
        await intake.accept([text(200)])
    assert door.handled[-1] == 200
    assert set(door.inbox.bodies.values()) == {None}


@pytest.mark.unmeasured  # ten thousand updates
async def test_when_all_is_full_accepting_waits() -> None:
    """The poll or the webhook waits with it; nothing is lost."""
    door = Door()
    door.gate.clear()
    updates = [text(n, chat_id=n // 20) for n in range(1, ALL_WAITING_MAX + 50)]
    async with door.intake as intake:
        accepting = asyncio.ensure_future(intake.accept(updates))
        await settle()
        assert not accepting.done()
        assert len(door.inbox.bodies) == len(updates)
        door.gate.set()
        await accepting
    assert len(door.handled) == len(updates)


@pytest.mark.unmeasured  # ten thousand updates
async def test_who_waited_when_the_door_closed_is_for_the_next_start() -> None:
    """What waited for room is not handled behind the back of who leaves; it is stored."""
    door = Door()
    door.gate.clear()
    updates = [text(n, chat_id=n // 20) for n in range(ALL_WAITING_MAX + 5)]
    async with door.intake as intake:
        accepting = asyncio.ensure_future(intake.accept(updates))
        await settle()
        asyncio.get_running_loop().call_soon(door.gate.set)
    await accepting
    await settle()
    assert len(door.handled) == ALL_WAITING_MAX
    assert [n for n, body in door.inbox.bodies.items() if body] == list(
        range(ALL_WAITING_MAX, ALL_WAITING_MAX + 5)
    )


async def test_what_was_left_comes_first() -> None:
    """The updates of an earlier process are handled before new ones, which wait for the door."""
    door = Door(Left(together=[json.dumps(text(1)), json.dumps(text(2))]))
    early = asyncio.ensure_future(door.intake.accept([text(3)]))
    await settle()
    assert not early.done()
    async with door.intake:
        await early
    assert door.handled == [1, 2, 3]


async def test_what_may_end_the_process_is_tried_alone() -> None:
    """One after the other, before all others, each counted before it is tried; what ended the
    process then, too, is given up, and its chat is told. What can't be read holds nothing up."""
    left = Left(
        hopeless=[json.dumps(text(1)), '{"update_id": 2, "message": 3}'],
        alone=[json.dumps(text(n, chat_id=n)) for n in (3, 4)] + ['{"update_id": 5, "message": 3}'],
        together=[json.dumps(text(n, chat_id=n)) for n in (6, 7)],
    )
    door = Door(left)
    at_once = []
    async with door.intake:
        at_once.append(door.most_at_once)
    assert at_once == [1]
    assert door.most_at_once == 2
    assert (door.given_up, door.inbox.begun, door.handled) == ([1], [3, 4], [3, 4, 6, 7])
    assert door.inbox.bodies == dict.fromkeys(range(1, 8))


async def test_what_takes_long_alone_holds_up_nobody() -> None:
    """After a while the others are let in."""
    door = Door(Left(alone=[json.dumps(text(1))]))
    door.gate.clear()
    async with door.intake as intake:
        await intake.accept([text(2, "/cancel", chat_id=2)])
        await settle()
        assert door.handled == [2]
        door.gate.set()
    assert door.handled == [2, 1]


async def test_what_is_not_done_in_time_is_for_the_next_start() -> None:
    """Leaving waits a little; what is handled then is noted, the rest is kept."""
    door = Door(drain_within_s=0)
    door.gate.clear()
    async with door.intake as intake:
        await intake.accept([text(1), text(2), text(3, "/cancel")])
        await settle()
    assert door.handled == [3]
    assert [n for n, body in door.inbox.bodies.items() if body is not None] == [1, 2]


async def test_what_comes_while_leaving_is_for_the_next_start() -> None:
    """It is stored, so that it may be called accepted, and not handled any more."""
    door = Door()
    async with door.intake as intake:
        pass
    await intake.accept([text(1)])
    await settle()
    assert door.handled == []
    assert door.inbox.bodies[1] is not None


async def test_what_can_t_be_stored_is_not_accepted() -> None:
    """The caller hears of it, and nothing of it is handled."""
    door = Door()
    async with door.intake as intake:
        door.inbox.broken = True
        with pytest.raises(StoreError):
            await intake.accept([text(1)])
        door.inbox.broken = False
        await intake.accept([text(1)])
    assert door.handled == [1]


async def test_what_can_t_be_noted_is_noted_later(caplog: pytest.LogCaptureFixture) -> None:
    """A handled update that the store did not take goes with the next one: a restart must not
    handle it after what came later."""
    door = Door()
    door.gate.clear()
    async with door.intake as intake:
        await intake.accept([text(1)])
        door.inbox.broken = True
        door.gate.set()
        await settle()
        door.inbox.broken = False
        await intake.accept([text(2)])
    assert door.handled == [1, 2]
    assert set(door.inbox.bodies.values()) == {None}
    assert "can't be noted yet" in caplog.text


@pytest.mark.parametrize("command", ["/scout", "/scout data", "/start token"])
async def test_cancel_comes_after_the_scout_before_it(command: str) -> None:
    """A scout that is being started is started first, so that there is something to cancel; one
    that waits for its turn is not started at all."""
    door = Door()
    door.gate.clear()
    async with door.intake as intake:
        await intake.accept([text(1, command), text(2, "/help"), text(3, "/scout")])
        await intake.accept([text(4, "/cancel")])
        await settle()
        assert door.handled == []
        door.gate.set()
        await settle()
    assert door.handled in ([1, 4, 2], [1, 2, 4])
    assert set(door.inbox.bodies.values()) == {None}


async def test_a_handler_that_waits_for_telegram_leaves_its_place() -> None:
    """Chats in a flood wait don't keep the others from being handled."""
    door = Door()
    flooded = asyncio.Event()

    async def handle(update: Update) -> None:
        if update.update_id > 1:
            async with slot_given_back():
                await flooded.wait()
        door.handled.append(update.update_id)

    intake = Intake(
        bot=BOT,
        inbox=door.inbox,
        handle=handle,
        on_arrival=handle,
        on_overflow=handle,
        on_hopeless=handle,
        noted_within_s=0,
    )
    async with intake:
        many = range(2, 2 * AT_ONCE_MAX)
        await intake.accept([text(n, chat_id=n) for n in many])
        await settle()
        await intake.accept([text(1, chat_id=1)])
        await settle()
        assert door.handled == [1]
        flooded.set()
    assert len(door.handled) == len(many) + 1


async def test_a_broken_handler_stops_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """What slips through the handlers' own care is logged; the chat goes on."""
    door = Door()
    async with door.intake as intake:
        await intake.accept([text(1, "break"), text(2)])
    assert door.handled == [2]
    assert set(door.inbox.bodies.values()) == {None}
    assert "broke its handler" in caplog.text


@pytest.mark.parametrize(
    "strange",
    [
        {"message": {"message_id": 1}},
        {"message": "text"},
        {"message": []},
        {"message": {"chat": 5, "date": "x"}},
        {"message": {"message_id": 1, "date": 10**30, "chat": {"id": 1, "type": "private"}}},
        {"callback_query": {"id": 1}},
    ],
)
async def test_a_strange_update_is_passed_over(
    strange: dict[str, object], caplog: pytest.LogCaptureFixture
) -> None:
    """What can't be read is logged and noted as done; the next is handled."""
    door = Door()
    async with door.intake as intake:
        await intake.accept([{"update_id": 1} | strange, text(2)])
    assert door.handled == [2]
    assert set(door.inbox.bodies.values()) == {None}
    assert "update 1 can't be read" in caplog.text


async def test_updates_of_no_chat_and_nobody_are_handled() -> None:
    """Kinds that have neither wait for nothing."""
    door = Door()
    async with door.intake as intake:
        await intake.accept([{"update_id": 1}, {"update_id": 2, "unheard_of": {"from": "x"}}])
    assert sorted(door.handled) == [1, 2]
    assert door.inbox.senders == [None, None]


@pytest.mark.parametrize(
    ("raw", "is_one"),
    [
        ({"update_id": 0}, True),
        ({"update_id": 2**63 - 1}, True),
        ({"update_id": 2**63}, False),
        ({"update_id": -1}, False),
        ({"update_id": True}, False),
        ({"update_id": "1"}, False),
        ({}, False),
        ([], False),
        (None, False),
    ],
)
def test_what_an_update_is(raw: object, is_one: bool) -> None:
    """A JSON object with a number that the store can keep."""
    assert is_update(raw) is is_one
