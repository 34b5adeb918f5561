"""How much one person may ask for, and what they are told, without a network."""

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
from telegram import Chat, Message, Update, User

from bot.telegram.limits import _TOLD_MAX, Buckets, Limits, limited
from resilience.bucket import TokenBucket
from tests.fakes.clock import NOON, FixedClock

ROBOT = 1087968824


@dataclass
class Told:
    """Stands in for the bot: what was sent where."""

    sent: list[tuple[int, str]] = field(default_factory=list)

    async def send_message(self, chat_id: int, text: str) -> None:
        """Note it."""
        self.sent.append((chat_id, text))


class Desk:
    """Limits of one scout and two commands over a fixed clock."""

    def __init__(self, uptime_s: float = 0.0) -> None:
        self.clock, self.told = FixedClock(), Told()
        self.clock.advance(uptime_s)
        self.limits = Limits(
            self.told,  # type: ignore[arg-type]
            Buckets(scouts=self._bucket(1, 60.0), commands=self._bucket(2, 2.0)),
            self.clock,
        )

    def _bucket(self, burst: int, refill_s: float) -> TokenBucket:
        return TokenBucket(burst=burst, refill_s=refill_s, monotonic=self.clock.monotonic)


def message(user_id: int, chat: Chat | None = None, hidden: bool = False) -> Update:
    """A person's message, in private unless it says otherwise; of a hidden admin if it says so."""
    user = User(ROBOT if hidden else user_id, "x", is_bot=hidden)
    where = chat or Chat(user_id, Chat.PRIVATE)
    sender = where if hidden else None
    return Update(1, message=Message(1, NOON, where, from_user=user, sender_chat=sender))


async def test_who_asked_too_much_is_told_once_a_window() -> None:
    """The refusal names the seconds; more of them in the same time are silent."""
    desk = Desk()
    passed = [await desk.limits.scouts(message(1)) for _ in range(4)]
    assert passed == [True, False, False, False]
    assert desk.told.sent == [(1, "That was a lot at once. Ask for one scout more in 60 s.")]
    desk.clock.advance(60)
    assert await desk.limits.scouts(message(1))
    assert not await desk.limits.scouts(message(1))
    assert len(desk.told.sent) == 2


@pytest.mark.parametrize("uptime_s", [0.0, 0.1, 12_345.678, 1e7 + 0.1])
async def test_the_seconds_are_whole_and_not_one_too_many(uptime_s: float) -> None:
    """What floats add is no second more."""
    desk = Desk(uptime_s)
    await desk.limits.scouts(message(1))
    await desk.limits.scouts(message(1))
    assert desk.told.sent[0][1].endswith("in 60 s.")


async def test_scouts_and_commands_are_told_apart() -> None:
    """Each kind of asking has its bucket and its own word."""
    desk = Desk()
    await desk.limits.scouts(message(1))
    assert not await desk.limits.scouts(message(1))
    assert [await desk.limits.commands(message(1)) for _ in range(3)] == [True, True, False]
    assert desk.told.sent[1][1] == "That was a lot at once. Ask for more in 2 s."


async def test_people_and_hidden_admins_do_not_share() -> None:
    """A group's members have a bucket each; its anonymous admins one, by the group's name."""
    desk, group, elsewhere = Desk(), Chat(-5, Chat.GROUP), Chat(-6, Chat.GROUP)
    assert await desk.limits.scouts(message(1, group))
    assert await desk.limits.scouts(message(2, group))
    assert await desk.limits.scouts(message(0, group, hidden=True))
    assert await desk.limits.scouts(message(0, elsewhere, hidden=True))
    assert not await desk.limits.scouts(message(0, group, hidden=True))
    assert desk.told.sent[0][0] == -5


async def test_who_was_told_is_forgotten_in_the_end() -> None:
    """However many ask too much, what is remembered of it is bounded: the oldest goes."""
    desk = Desk()
    for user_id in (*range(_TOLD_MAX + 1), 0, _TOLD_MAX):
        chat = Chat(user_id, Chat.PRIVATE)
        update: Any = SimpleNamespace(effective_sender=chat, effective_chat=chat)  # quickly made
        await desk.limits.scouts(update)
        await desk.limits.scouts(update)
    chats = [chat_id for chat_id, _ in desk.told.sent]
    assert (chats.count(0), chats.count(_TOLD_MAX)) == (2, 1)


async def test_a_limited_handler_is_called_only_when_admitted() -> None:
    """What is not let through does not reach it."""
    desk, handled = Desk(), list[Update]()

    async def handler(update: Update, _context: object) -> None:
        handled.append(update)

    scout = limited(desk.limits.scouts, handler)
    for _ in range(3):
        await scout(message(1), None)
    assert len(handled) == 1


async def test_a_scout_that_was_not_started_counts_as_another_command() -> None:
    """Until there are no more of those: then it is as if it had been started."""
    desk = Desk()
    for _ in range(2):
        assert await desk.limits.scouts(message(1))
        desk.limits.give_back_scout(1)
    assert not await desk.limits.commands(message(1))
    assert await desk.limits.scouts(message(1))
    desk.limits.give_back_scout(1)
    assert not await desk.limits.scouts(message(1))
