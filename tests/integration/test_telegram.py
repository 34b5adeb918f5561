"""The bot on Telegram over HTTP: every command and button, by polling and by webhook."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from bot.bootstrap import Fakes
from bot.telegram.taps import OLD
from tests.fakes.bot_api import BotApi, BotMessage
from tests.fakes.people import PROFILE, Person, rows, telegram_bot, webhook
from tests.fakes.saga_clock import HeldClock

PLENTY = {"commands_burst": 1_000, "scouts_burst": 1_000}


@pytest.fixture
async def api() -> AsyncIterator[BotApi]:
    """Telegram's stand-in, running."""
    async with BotApi() as api:
        yield api


@pytest.fixture(params=["polling", "webhook"])
def way(request: pytest.FixtureRequest) -> dict[str, Any]:
    """The settings of each way that updates come by."""
    return PLENTY | (webhook() if request.param == "webhook" else {})


@pytest.fixture
async def person(api: BotApi, tmp_path: Path, way: dict[str, Any]) -> AsyncIterator[Person]:
    """Someone new at a running bot."""
    async with telegram_bot(api, tmp_path, **way):
        yield Person(api)


# --- commands ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("/start", "three short questions"),
        ("/start no-such-token", "three short questions"),
        ("/help", "/scout — find opportunities"),
        ("/profile", "Your profile"),
        ("/privacy", "/forget deletes all of it"),
        ("/saved", "Nothing saved yet"),
        ("/cancel", "Nothing is under way"),
        ("/draft 1", "no shortlist to draft from"),
        ("/nosuchcommand", "I don't know /nosuchcommand"),
        ("/help@webscout_test_bot", "/scout — find opportunities"),
        ("hello there", "On it…"),
    ],
)
async def test_commands_before_anything_was_scouted(
    api: BotApi, tmp_path: Path, command: str, words: str
) -> None:
    """Each command of someone new has its answer, one message."""
    async with telegram_bot(api, tmp_path):
        person = Person(api)
        assert words in (await person.ask(command)).text
        assert len(person.messages) == 1


async def test_a_conversation_of_commands(person: Person, tmp_path: Path) -> None:
    """A person sets a profile, scouts, drafts, exports and forgets."""
    assert "Skills: python, sql" in (await person.ask(PROFILE)).text
    assert "What I can do" in (await person.ask("/help")).text
    shortlist = await person.scout()
    assert shortlist.edits >= 1
    assert "· 1 ·" in shortlist.labels
    assert "Maintainer" in (await person.scout("/scout maintainer")).text.split("2. ")[0]
    assert "Draft for 2." in (await person.ask("/draft 2")).text
    assert "has no match 99" in (await person.ask("/draft 99")).text
    assert "I can only read text" in (await person.ask("", sticker=STICKER)).text
    export = await person.ask("/export")
    assert export.file_name == "webscout-export.json"
    assert json.loads(export.file)["profile"]["skills"] == ["python", "sql"]
    assert "Everything about you is deleted" in (await person.ask("/forget")).text
    assert rows(tmp_path, "SELECT count(*) FROM users") == [(0,)]
    assert "three short questions" in (await person.ask("/start")).text


STICKER = {
    "file_id": "s",
    "file_unique_id": "u",
    "type": "regular",
    "width": 1,
    "height": 1,
    "is_animated": False,
    "is_video": False,
}


# --- buttons -----------------------------------------------------------------------------------


async def test_the_setup_by_buttons(person: Person) -> None:
    """Begin, Skip, a kind on and off and on, Done, Scout now: each answered, then its work."""
    await person.ask("/start")
    await person.tap("Begin")
    await person.read("What can you do?")
    await person.tap("Skip")
    await person.read("Where do you want to work?")
    await person.tap("Skip")
    await person.tap("grant")
    await person.tap("✓ grant")
    await person.label("grant")
    await person.tap("job")
    await person.label("✓ job")
    await person.tap("Done")
    await person.tap("Scout now")
    await person.read("best matches")
    assert "Kinds: job" in (await person.ask("/profile")).text


async def test_the_set_up_keeps_the_words_asked_for(person: Person) -> None:
    """A first /scout with words asks for the profile, and scouts those words after it."""
    await person.say("/scout zeppelin")
    await person.read("What can you do?")
    await person.say("python")
    await person.tap("Skip", await person.read("Where do you want to work?"))
    await person.tap("Done")
    await person.tap("Scout now")
    await person.read("says “zeppelin”")


async def test_the_buttons_of_a_shortlist(person: Person) -> None:
    """Number, Save, Draft, Not for me, More, Why not more, Refresh: all in the same message."""
    shortlist = await person.scout()
    first = shortlist.text.split("▸ 1. ")[1].split(" · ")[0]
    await person.tap("2")
    await person.read("▸ 2. ")
    await person.tap("Save")
    await person.read("★")
    await person.tap("Draft")
    assert "[fill in:" in (await person.read("Draft for 2.")).text
    await person.tap("More")
    await person.read("▸ 6. ")
    await person.tap("More")
    await person.read("▸ 1. ")
    await person.tap("Not for me")
    await person.read("6 best matches")
    await person.tap("Why not more")
    assert "60 found" in (await person.read("Why not more")).text
    await person.tap("Refresh")
    [again] = await person.api.wait_for(lambda: _lists_of_another_run(person, shortlist))
    assert first not in again.text
    saved = await person.ask("/saved")
    await person.tap("Remove 1", saved)
    await person.read("Nothing saved yet")


def _lists_of_another_run(person: Person, old: BotMessage) -> list[BotMessage]:
    """What stands in the old list's message, once it is the list of another run."""
    return [
        message
        for message in person.messages
        if message.message_id == old.message_id
        and "best matches" in message.text
        and message.buttons[0][0].data != old.buttons[0][0].data
    ]


async def test_the_buttons_of_the_profile(person: Person) -> None:
    """Each part has its question, Remote turns, and an answer is kept."""
    answers = {
        "Skills": ("What can you do?", "rust", "Skills: rust"),
        "Places": ("Where do you want to work?", "Lagos", "Places: Lagos"),
        "Minimum pay": ("the least you would work for", "1000 USD/month", "1,000 USD/month"),
        "About": ("Tell me about you", "I build.", "About: I build."),
    }
    menu = await person.ask("/profile")
    for label, (question, answer, kept) in answers.items():
        await person.tap(label, menu)
        await person.read(question)
        assert kept in (await person.ask(answer)).text
    await person.tap("Set Remote: yes", menu)
    await person.read("Remote: yes")
    await person.tap("Kinds", menu)
    await person.tap("bounty")
    await person.label("✓ bounty")
    await person.tap("Done")
    await person.read("Kinds: bounty")


@pytest.mark.parametrize("data", ["0:save:x:0:1", "nonsense", "1:not:x:0:1", "1:kind:x:0:0"])
async def test_taps_that_mean_nothing(person: Person, data: str) -> None:
    """A forged or outdated button is answered, and that it is old is said."""
    menu = await person.ask("/profile")
    tap = await person.api.tap(person.id, menu.message_id, data, forged=True)
    toast = await person.answer_to(tap)
    if toast != OLD:
        await person.read(OLD)


async def test_nobody_taps_on_anothers_shortlist(person: Person) -> None:
    """A forwarded button shows nothing of whose it was."""
    shortlist = await person.scout()
    tap = await person.api.tap(person.id, shortlist.message_id, "Draft", user_id=43)
    await person.answer_to(tap)
    assert (await Person(person.api, 43).read(OLD)).text == OLD
    assert not any("Draft for" in text for text in person.texts)


async def test_commands_are_listed_by_scope(person: Person) -> None:
    """Private chats are offered every command, groups and the rest the few that work there."""
    scopes = person.api.commands.items()
    listed = {scope: [c["command"] for c in commands] for scope, commands in scopes}
    few = ["scout", "help", "privacy"]
    assert listed["all_group_chats"] == listed["default"] == few
    assert set(listed["all_private_chats"]) == {
        "scout", "profile", "draft", "saved", "cancel", "help", "privacy", "export", "forget",
        "start",
    }  # fmt: skip


# --- taps are answered before their turn -------------------------------------------------------


async def test_a_tap_is_answered_while_its_chat_is_held(
    api: BotApi, tmp_path: Path, way: dict[str, Any]
) -> None:
    """A flood wait holds up what the tap does, and not its answer."""
    clock = HeldClock()
    async with telegram_bot(api, tmp_path, Fakes(clock=clock), **way):
        person = Person(api)
        menu = await person.ask("/profile")
        api.flood(person.id, 30)
        await person.say("/help")
        await api.wait_for(lambda: api.calls[-1].status == 429 or None)
        tap = await api.tap(person.id, menu.message_id, "Set Remote: yes")
        assert await person.answer_to(tap) == ""
        assert person.messages == [menu]
        clock.advance(30)
        await person.read("Remote: yes")
        assert "What I can do" in person.messages[-1].text
