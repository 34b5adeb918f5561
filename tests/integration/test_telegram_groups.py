"""The bot in groups: silent unless it is spoken to, nothing personal, and who is nobody."""

import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.fakes.bot_api import USERNAME, BotApi, BotMessage
from tests.fakes.people import PROFILE, Person, rows, telegram_bot

GROUP, CHANNEL, MARKER = -1001234567890, -1009876543210, -77
ANONYMOUS_ADMIN = {
    "id": 1087968824,
    "is_bot": True,
    "first_name": "Group",
    "username": "GroupAnonymousBot",
}
OTHER_BOT = {"id": 99, "is_bot": True, "first_name": "Other", "username": "other_bot"}
THE_GROUP = {"id": GROUP, "type": "supergroup", "title": "A group"}
THE_CHANNEL = {"id": CHANNEL, "type": "channel", "title": "A channel"}


class Group:
    """A group that the bot is in, and what it says there."""

    def __init__(self, api: BotApi, folder: Path, bot: AsyncExitStack) -> None:
        self.api = api
        self.folder = folder
        self._bot = bot

    async def say(self, text: str, user_id: int = 42, **extra: object) -> None:
        """Somebody writes in the group."""
        await self.api.say(user_id, text, GROUP, "supergroup", **extra)

    async def ask(self, text: str, **extra: object) -> BotMessage:
        """Somebody writes, and the bot answers."""
        known = len(self.api.messages(GROUP))
        await self.say(text, **extra)  # type: ignore[arg-type]
        return (await self.api.wait_for(lambda: self.api.messages(GROUP)[known:]))[0]

    async def silence(self) -> None:
        """Stop the bot when it handled all that was sent, and hold that nothing was answered."""
        await self.api.say(1, f"/help@{USERNAME}", MARKER, "group")
        await self.api.wait_for(lambda: self.api.messages(MARKER))
        await self._bot.aclose()
        assert not self.api.calls_of("sendMessage", GROUP)

    @property
    def known_people(self) -> list[tuple[object, ...]]:
        """The Telegram ids of the people the database knows."""
        return rows(self.folder, "SELECT external_id FROM users")


@pytest.fixture
async def group(tmp_path: Path) -> AsyncIterator[Group]:
    """A bot that runs, in a group."""
    async with BotApi() as api, AsyncExitStack() as bot:
        await bot.enter_async_context(telegram_bot(api, tmp_path, commands_burst=1_000))
        yield Group(api, tmp_path, bot)


async def test_silence_unless_spoken_to(group: Group) -> None:
    """Talk, other bots' commands and other people's mentions get no answer."""
    for text in ("good morning", "/help@other_bot", "/scout@other_bot x", "@someone hi", "/nosuch"):
        await group.say(text)
    await group.silence()
    assert group.known_people == []


@pytest.mark.parametrize(
    "text",
    ["/help", f"/help@{USERNAME}", "/start", f"hey @{USERNAME}, what is this?", f"@{USERNAME}"],
)
async def test_answers_when_spoken_to(group: Group, text: str) -> None:
    """A command, one by name, and a mention are answered with what this is and a way on."""
    answer = await group.ask(text)
    assert "I find jobs" in answer.text
    assert answer.buttons[0][0].url == f"https://t.me/{USERNAME}"
    assert group.known_people == []


async def test_a_reply_to_the_bot_is_answered(group: Group) -> None:
    """Who replies to a message of the bot speaks to it."""
    answer = await group.ask("/privacy")
    assert "/forget deletes all of it" in answer.text
    reply = await group.ask("and then?", reply_to_message=answer.raw)
    assert "I find jobs" in reply.text


async def test_nothing_personal_in_a_group(group: Group) -> None:
    """What a person has is shown in private only."""
    person = Person(group.api)
    await person.ask(PROFILE)
    for command in ("/profile", "/saved", "/export", "/draft 1", "/cancel", "/forget"):
        answer = await group.ask(command)
        assert "in private" in answer.text
        assert "python" not in answer.text
        assert answer.buttons[0][0].url == f"https://t.me/{USERNAME}"
    assert "python" in (await person.ask("/profile")).text


async def test_scout_goes_on_in_private(group: Group) -> None:
    """The words of a /scout go into an opaque token, which scouts them in private."""
    person = Person(group.api)
    await person.ask(PROFILE)
    answer = await group.ask("/scout zeppelin pilots")
    [token] = parse_qs(urlsplit(answer.buttons[0][0].url).query)["start"]
    assert re.fullmatch(r"[A-Za-z0-9_-]{1,64}", token)
    await person.say(f"/start {token}")
    assert "says “zeppelin”" in (await person.read("best matches")).text


async def test_a_scout_without_words_needs_no_token(group: Group) -> None:
    """Plain /scout leads to the bot's chat, and nobody is made known by it."""
    assert (await group.ask("/scout")).buttons[0][0].url == f"https://t.me/{USERNAME}"
    assert group.known_people == []


async def test_an_anonymous_admin_is_answered_and_is_nobody(
    group: Group, caplog: pytest.LogCaptureFixture
) -> None:
    """An admin who hides behind the group gets help and no token, and no person is made."""
    hidden = {"from": ANONYMOUS_ADMIN, "sender_chat": THE_GROUP}
    assert "I find jobs" in (await group.ask("/help", **hidden)).text
    answer = await group.ask("/scout secret words", **hidden)
    assert answer.buttons[0][0].url == f"https://t.me/{USERNAME}"
    assert group.known_people == []
    assert not [r for r in caplog.records if r.levelname in {"WARNING", "ERROR"}]


async def test_what_is_nobodys_is_left_alone(
    group: Group, caplog: pytest.LogCaptureFixture
) -> None:
    """Other bots, linked channels, channel posts, edits and service messages: no answer, no
    person, no error."""
    api = group.api
    forward = {"from": {"id": 777000, "is_bot": False, "first_name": "Telegram"},
               "sender_chat": THE_CHANNEL, "is_automatic_forward": True}  # fmt: skip
    await group.say("/help", **{"from": OTHER_BOT})  # type: ignore[arg-type]
    await group.say(f"@{USERNAME} hello", **{"from": OTHER_BOT})  # type: ignore[arg-type]
    await group.say("/help", **forward)  # type: ignore[arg-type]
    edited = api.message(42, "/help", GROUP, "supergroup", edit_date=1)
    await api.push({"edited_message": edited})
    private = api.message(42, "/help", edit_date=1)
    await api.push({"edited_message": private})
    post = {k: v for k, v in api.message(42, "/help", CHANNEL, "channel").items() if k != "from"}
    await api.push({"channel_post": post | {"sender_chat": THE_CHANNEL}})
    await group.say("", new_chat_members=[OTHER_BOT])
    await api.push({"my_chat_member": member_change(THE_GROUP, "left", "member")})
    await group.silence()
    assert group.known_people == []
    assert not api.messages(42)
    assert not api.messages(CHANNEL)
    assert not [r for r in caplog.records if r.levelname in {"WARNING", "ERROR"}]


def member_change(chat: dict[str, object], old: str, new: str) -> dict[str, object]:
    """The bot's membership of a chat changes."""
    bot = {"id": 7, "is_bot": True, "first_name": "Webscout", "username": USERNAME}
    return {
        "chat": chat,
        "from": {"id": 42, "is_bot": False, "first_name": "Person 42"},
        "date": 1_780_000_000,
        "old_chat_member": {"user": bot, "status": old, "until_date": 0},
        "new_chat_member": {"user": bot, "status": new, "until_date": 0},
    }
