"""What the inbox promises, the same on SQLite and on PostgreSQL."""

import asyncio
from datetime import timedelta

import pytest

from agents.store.inbox import (
    KEPT_FOR,
    LINK_LASTS,
    TRIED_ALONE_MAX,
    TRIED_TOGETHER_MAX,
    Arrival,
    InboxStore,
    Left,
)
from tests.contract.conftest import Stores

BOT, OTHER_BOT = 7, 8
NOTHING = Left(together=[], alone=[], hopeless=[])


@pytest.fixture
def inbox(stores: Stores) -> InboxStore:
    """The inbox of one bot."""
    return InboxStore(stores.database, stores.clock.now, BOT)


def arrival(update_id: int, sender_id: str | None = "42", body: str = "") -> Arrival:
    """An update with a body of its own."""
    return Arrival(update_id=update_id, sender_id=sender_id, body=body or f'{{"n":{update_id}}}')


async def test_what_is_new_is_told(inbox: InboxStore) -> None:
    """Repeats in a batch, of an earlier batch, and after they were handled are not new."""
    assert await inbox.take([arrival(1), arrival(2), arrival(1)]) == {1, 2}
    assert await inbox.take([arrival(2), arrival(3)]) == {3}
    await inbox.done([1, 2])
    assert await inbox.take([arrival(1), arrival(2)]) == set()
    assert await inbox.take([]) == set()


async def test_of_two_that_take_at_once_one_has_it(inbox: InboxStore) -> None:
    """However many bring the same update at the same moment, it is new to one of them."""
    taken = await asyncio.gather(*(inbox.take([arrival(1), arrival(2)]) for _ in range(8)))
    assert sorted(n for numbers in taken for n in numbers) == [1, 2]


async def test_bots_do_not_share(stores: Stores, inbox: InboxStore) -> None:
    """Another bot on the same database has the same numbers for other updates."""
    other = InboxStore(stores.database, stores.clock.now, OTHER_BOT)
    await inbox.take([arrival(1)])
    assert await other.take([arrival(1, body="theirs")]) == {1}
    await inbox.done([1])
    assert await other.take_up() == Left(together=["theirs"], alone=[], hopeless=[])
    assert await inbox.take_up() == NOTHING


async def test_large_numbers_fit(inbox: InboxStore) -> None:
    """Update numbers and chat ids go up to 64 bits."""
    assert await inbox.take([arrival(2**63 - 1)]) == {2**63 - 1}
    await inbox.moved(-(2**52), -(2**62))
    assert await inbox.moves() == {-(2**52): -(2**62)}


async def test_what_was_not_handled_is_taken_up_in_order(inbox: InboxStore) -> None:
    """The oldest number first; what was handled is not among them."""
    await inbox.take([arrival(3), arrival(1), arrival(2)])
    await inbox.done([2])
    assert (await inbox.take_up()).together == ['{"n":1}', '{"n":3}']
    await inbox.done([])
    assert len((await inbox.take_up()).together) == 2


async def test_what_stops_the_process_is_tried_alone_then_given_up(inbox: InboxStore) -> None:
    """Starts that end while it waits count for it, to be tried alone; only starts that end while
    it is tried alone count for giving it up."""
    await inbox.take([arrival(1), arrival(2)])
    for _ in range(TRIED_TOGETHER_MAX - 1):
        assert len((await inbox.take_up()).together) == 2
    for _ in range(TRIED_ALONE_MAX):
        assert (await inbox.take_up()).alone == ['{"n":1}', '{"n":2}']
        await inbox.begin(1)
    left = await inbox.take_up()
    assert left == Left(together=[], alone=['{"n":2}'], hopeless=['{"n":1}'])
    await inbox.done([1, 2])
    assert await inbox.take_up() == NOTHING
    assert await inbox.take([arrival(1)]) == set()


async def test_old_numbers_are_forgotten(stores: Stores, inbox: InboxStore) -> None:
    """After days nobody brings an update again, and nobody waits for its answer."""
    await inbox.take([arrival(1)])
    stores.clock.advance(KEPT_FOR.total_seconds())
    assert await inbox.take([arrival(1)]) == set()
    stores.clock.advance(1)
    await inbox.prune()
    assert await inbox.take_up() == NOTHING
    assert await inbox.take([arrival(1)]) == {1}


async def test_forgetting_a_person_takes_their_words(stores: Stores, inbox: InboxStore) -> None:
    """What they wrote and was not handled yet goes with them; others' stays."""
    person = await stores.people.person("telegram", "42")
    await inbox.take([arrival(1), arrival(2, sender_id="43"), arrival(3, sender_id=None)])
    token = await inbox.link(person.id, "secret words")
    await stores.people.forget(person.id)
    assert (await inbox.take_up()).together == ['{"n":2}', '{"n":3}']
    assert await inbox.linked(token) is None


async def test_blocks_are_remembered_until_they_are_back(stores: Stores, inbox: InboxStore) -> None:
    """Of Telegram's people only, by their chat's id; of who is unknown nothing is kept."""
    for channel, number in (("telegram", "42"), ("telegram", "43"), ("local", "44")):
        await stores.people.person(channel, number)
    for chat_id in (42, 43, 44, 45):
        await inbox.blocked(chat_id)
    assert await inbox.blocked_chats() == {42, 43}
    await inbox.came_back(42)
    assert await inbox.blocked_chats() == {43}


async def test_a_chat_may_move_again(inbox: InboxStore) -> None:
    """The newest id of a chat is the one that counts."""
    await inbox.moved(-1, -100)
    await inbox.moved(-1, -200)
    await inbox.moved(-2, -300)
    assert await inbox.moves() == {-1: -200, -2: -300}


async def test_links_stand_for_words_for_a_week(stores: Stores, inbox: InboxStore) -> None:
    """A token is opaque, fits a start link, is told apart from others, and ends."""
    person = await stores.people.person("telegram", "42")
    token = await inbox.link(person.id, "zeppelin “pilots”")
    other = await inbox.link(person.id, "zeppelin “pilots”")
    assert token != other
    assert len(token) <= 64
    assert set(token) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-")
    assert await inbox.linked(token) == "zeppelin “pilots”"
    assert await inbox.linked("no such token") is None
    stores.clock.advance(LINK_LASTS.total_seconds())
    assert await inbox.linked(token) == "zeppelin “pilots”"
    stores.clock.advance(timedelta(seconds=1).total_seconds())
    assert await inbox.linked(token) is None
    await inbox.link(person.id, "new")
    assert await inbox.linked(other) is None


@pytest.mark.parametrize("token", ["", "\x00", "x\x00y", "\ud800", "é" * 4000])
async def test_any_text_may_stand_in_a_link(inbox: InboxStore, token: str) -> None:
    """A token is what a stranger sends: strange ones are unknown, and break nothing."""
    assert await inbox.linked(token) is None
