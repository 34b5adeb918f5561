"""Telegram's flood limit: the chat that it is for waits, and nobody else does."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bot.bootstrap import Fakes
from bot.telegram.sender import FLOODS_MAX
from tests.fakes.bot_api import BotApi, Call
from tests.fakes.opportunities import opportunity
from tests.fakes.people import PROFILE, Person, WatchedClock, rows, telegram_bot
from tests.fakes.sources import HeldSource, TestSources

WAIT_S = 31
OTHERS = 50


@pytest.fixture
async def api() -> AsyncIterator[BotApi]:
    """Telegram's stand-in, running."""
    async with BotApi() as api:
        yield api


def calls_to(api: BotApi, person: Person) -> list[Call]:
    """The calls for the person's chat."""
    return [call for call in api.calls if call.chat_id == person.id]


async def test_one_chats_flood_holds_no_other(api: BotApi, tmp_path: Path) -> None:
    """While one chat waits, fifty others scout to their shortlists; nothing is sent to the held
    one until its time is over, and then it has its one message with its one shortlist."""
    clock, held = WatchedClock(), Person(api, 1)
    others = [Person(api, 100 + number, patience_s=60) for number in range(OTHERS)]
    source = HeldSource((opportunity(),), label="few")
    source.gate.set()
    fakes = Fakes(clock=clock, sources=TestSources({"few": source}))
    async with telegram_bot(api, tmp_path, fakes, sources=("few",)):
        await held.ask(PROFILE)
        before = len(held.messages)
        api.flood(held.id, WAIT_S)
        await held.say("/scout")
        await clock.until_asleep(WAIT_S)
        asked = len(calls_to(api, held))
        shortlists = await asyncio.gather(*(other.scout() for other in others))
        assert all("Backend Engineer" in shortlist.text for shortlist in shortlists)
        assert len(calls_to(api, held)) == asked
        clock.advance(WAIT_S - 1)
        await others[0].ask("/help")
        assert len(calls_to(api, held)) == asked
        clock.advance(1)
        await held.read("best match")
        await held.ask("/help")
    assert len(held.messages) == before + 2  # the scout's and the help
    assert [c.status for c in calls_to(api, held) if c.method == "sendMessage"].count(429) == 1
    assert rows(tmp_path, "SELECT count(*) FROM runs WHERE status != 'completed'") == [(0,)]


async def test_a_flood_within_a_scout_delays_its_shortlist(api: BotApi, tmp_path: Path) -> None:
    """The edit that would show the shortlist is held: it is made after the wait, once."""
    clock, held = WatchedClock(), Person(api, 1)
    async with telegram_bot(api, tmp_path, Fakes(clock=clock)):
        first = await held.scout()
        api.flood(held.id, WAIT_S)
        await held.tap("2", first)
        await clock.until_asleep(WAIT_S)
        await held.say("/scout")
        assert "What I can do" in (await Person(api, 2).ask("/help")).text
        clock.advance(WAIT_S)
        await held.read("▸ 2. ")
        await api.wait_for(lambda: sum("best matches" in text for text in held.texts) == 2)


async def test_a_flood_that_never_ends_is_given_up(api: BotApi, tmp_path: Path) -> None:
    """After so many waits the answer is dropped, and the next one has its own chance."""
    clock, held = WatchedClock(), Person(api, 1)
    async with telegram_bot(api, tmp_path, Fakes(clock=clock)):
        api.flood(held.id, WAIT_S, times=FLOODS_MAX + 1)
        await held.say("/help")
        for waits in range(1, FLOODS_MAX + 1):
            await clock.until_asleep(WAIT_S)
            assert len(calls_to(api, held)) == waits
            clock.advance(WAIT_S)
            await api.wait_for(lambda n=waits: len(calls_to(api, held)) > n)  # type: ignore[misc]
        assert "Nothing saved yet" in (await held.ask("/saved")).text
    assert len(held.messages) == 1
