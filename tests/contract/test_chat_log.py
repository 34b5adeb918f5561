"""The local chat's log, the same on SQLite and on PostgreSQL."""

import asyncio
from pathlib import Path

import pytest

from tests.contract.conftest import Stores
from tests.contract.given import bytes_in


async def test_messages_are_numbered_and_revised(stores: Stores) -> None:
    """A message gets the next number, and every change to any message a higher revision."""
    chat = stores.chat_log
    first = await chat.add(1, lambda number: f"message {number}")
    second = await chat.add(1, lambda number: f"message {number}")
    assert await chat.replace(1, first.message_id, "edited")
    (edited,) = await chat.since(1, second.revision, 10)

    assert (first.message_id, first.body) == (1, "message 1")
    assert (second.message_id, second.body) == (2, "message 2")
    assert first.revision < second.revision < edited.revision
    assert await chat.get(1, 1) == "edited"
    assert await chat.get(2, 1) is None
    assert not await chat.replace(2, 1, "never there")
    assert await chat.since(1, 0, 10) == [second, edited]
    assert await chat.since(1, second.revision, 10) == [edited]
    assert await chat.since(1, 0, 1) == [edited]
    assert await chat.since(2, 0, 10) == []


async def test_messages_at_once_get_numbers_of_their_own(stores: Stores) -> None:
    """However many are written at the same moment, also the very first ones."""
    added = await asyncio.gather(*(stores.chat_log.add(1, str) for _ in range(8)))

    assert sorted(message.message_id for message in added) == list(range(1, 9))
    assert len({message.revision for message in added}) == 8
    assert all(message.body == str(message.message_id) for message in added)


async def test_updates_wait_until_they_are_confirmed(stores: Stores) -> None:
    """Asking from an offset on confirms those before it, as Telegram does."""
    chat = stores.chat_log
    numbers = [await chat.add_update(lambda number: f"update {number}") for _ in range(3)]

    assert numbers == [1, 2, 3]
    assert await chat.updates(0, 2) == ["update 1", "update 2"]
    assert await chat.updates(2, 10) == ["update 2", "update 3"]
    assert await chat.updates(0, 10) == ["update 2", "update 3"]
    assert await chat.updates(4, 10) == []


async def test_a_document_comes_back_byte_by_byte(stores: Stores) -> None:
    """With its name; another id has none."""
    content = bytes(range(256)) * 40
    await stores.chat_log.keep_file("f-1", "cv — Ada.pdf", content)

    assert await stores.chat_log.file("f-1") == ("cv — Ada.pdf", content)
    assert await stores.chat_log.file("f-2") is None


async def test_numbers_go_on_after_the_chat_was_cleared(stores: Stores) -> None:
    """Everything is gone, and no number is given a second time."""
    chat = stores.chat_log
    before = [await chat.add(1, str) for _ in range(3)][-1]
    update = await chat.add_update(str)
    await chat.keep_file("f-1", "cv.txt", b"x")
    await chat.clear()

    assert await chat.since(1, 0, 10) == []
    assert await chat.updates(0, 10) == []
    assert await chat.file("f-1") is None
    after = await chat.add(1, str)
    assert after.message_id == before.message_id + 1
    assert after.revision == before.revision + 1
    assert await chat.add_update(str) == update + 1


@pytest.mark.parametrize("backend", ["sqlite"])
async def test_a_cleared_chat_is_in_no_file(stores: Stores, address: str) -> None:
    """Messages, updates and documents are overwritten too."""
    folder = Path(address.removeprefix("sqlite:///")).parent
    await stores.chat_log.add(1, lambda number: f"secret message {number}")
    await stores.chat_log.add_update(lambda number: f"secret update {number}")
    await stores.chat_log.keep_file("f-1", "cv.txt", b"secret document" * 1_000)
    assert b"secret" in bytes_in(folder)
    await stores.chat_log.clear()
    await stores.database.leave_no_trace()

    assert b"secret" not in bytes_in(folder)
