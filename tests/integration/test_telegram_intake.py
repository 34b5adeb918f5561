"""Updates come in once, in order and within bounds; people ask no more than their share."""

import asyncio
import io
import json
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from agents.discovery.port import Reading
from agents.store.database import Database
from agents.store.errors import StoreError
from agents.store.inbox import TRIED_ALONE_MAX, TRIED_TOGETHER_MAX, Arrival, InboxStore
from bot.bootstrap import Fakes
from bot.telegram.application import HOPELESS, TOO_MANY
from bot.telegram.intake import CHAT_WAITING_MAX, Intake
from bot.web.server import public_application, serve
from bot.web.webhook import BODY_BYTES_MAX, add_webhook
from tests.fakes.bot_api import BotApi
from tests.fakes.clock import NOON
from tests.fakes.people import PROFILE, SECRET, Person, rows, telegram_bot, webhook
from tests.fakes.saga_clock import HeldClock
from tests.fakes.sources import HeldSource, TestSources

_HEADER = "X-Telegram-Bot-Api-Secret-Token"


@pytest.fixture
async def api() -> AsyncIterator[BotApi]:
    """Telegram's stand-in, running."""
    async with BotApi() as api:
        yield api


@pytest.fixture(params=["polling", "webhook"])
def way(request: pytest.FixtureRequest) -> dict[str, Any]:
    """The settings of each way that updates come by."""
    return webhook() if request.param == "webhook" else {}


@pytest.fixture
def leaves_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bot that stops does not wait seconds for what can't be done."""
    assert Intake.__init__.__kwdefaults__ is not None
    monkeypatch.setitem(Intake.__init__.__kwdefaults__, "drain_within_s", 0.1)


class WatchedSource(HeldSource):
    """A held source that says when it was stopped."""

    def __init__(self) -> None:
        super().__init__()
        self.left = asyncio.Event()

    async def read(self) -> Reading:
        """Wait for the gate."""
        try:
            return await super().read()
        finally:
            self.left.set()


# --- once --------------------------------------------------------------------------------------


async def test_a_redelivered_update_is_handled_once(
    api: BotApi, tmp_path: Path, way: dict[str, Any]
) -> None:
    """The same update brought again has no second answer, nor after a restart."""
    person = Person(api)
    async with telegram_bot(api, tmp_path, **way):
        first = await person.say("/help")
        await person.read("What I can do")
        await api.redeliver(first)
        await person.ask("/saved")
    async with telegram_bot(api, tmp_path, **way):
        await api.redeliver(first)
        await person.ask("/privacy")
    assert len(person.messages) == 3


async def test_an_update_taken_twice_at_once_is_handled_once(api: BotApi, tmp_path: Path) -> None:
    """Two deliveries of an update at the same moment have one answer."""
    async with telegram_bot(api, tmp_path, **webhook()) as running:
        person = Person(api)
        update = {"update_id": 5, "message": api.message(person.id, "/help")}
        posts = [post(running.address, json.dumps(update).encode()) for _ in range(5)]
        assert set(await asyncio.gather(*posts)) == {200}
        await person.ask("/saved")
    assert len(person.messages) == 2


async def test_what_an_earlier_process_left_is_handled(
    api: BotApi, tmp_path: Path, way: dict[str, Any]
) -> None:
    """An update that was stored, and not handled before the process ended, is handled at the
    next start, and only once."""
    async with telegram_bot(api, tmp_path, **way):
        pass
    person = Person(api)
    await leave(tmp_path, 9, api.message(person.id, "/help"))
    for _ in range(2):
        async with telegram_bot(api, tmp_path, Fakes(clock=HeldClock()), **way):
            await person.read("What I can do")
    assert len(person.messages) == 1
    assert rows(tmp_path, "SELECT body, sender_id FROM telegram_updates") == [(None, None)]


async def test_what_ends_the_process_each_time_is_given_up_and_told(
    api: BotApi, tmp_path: Path, way: dict[str, Any]
) -> None:
    """Whoever wrote it hears so, once; what others wrote meanwhile is answered."""
    async with telegram_bot(api, tmp_path, **way):
        pass
    person, other = Person(api), Person(api, 43)
    tries = TRIED_TOGETHER_MAX + TRIED_ALONE_MAX
    await leave(tmp_path, 9, api.message(person.id, "/help"), tries)
    await leave(tmp_path, 10, api.message(other.id, "/help"))
    for _ in range(2):
        async with telegram_bot(api, tmp_path, Fakes(clock=HeldClock()), **way):
            await other.read("What I can do")
            await person.read(HOPELESS)
    assert (person.texts, len(other.messages)) == ([HOPELESS], 1)


async def leave(folder: Path, update_id: int, message: dict[str, Any], tries: int = 1) -> None:
    """Store an update as processes do that end before it is handled."""
    body = json.dumps({"update_id": update_id, "message": message})
    sender = str(message["from"]["id"])
    async with Database.open(f"sqlite:///{folder}/var/webscout.db") as database:
        inbox = InboxStore(database, lambda: NOON, 7)
        arrival = Arrival(update_id=update_id, sender_id=sender, body=body)
        assert await inbox.take([arrival]) == {update_id}
        for _ in range(tries - 1):
            await inbox.begin(update_id)


# --- order and bounds --------------------------------------------------------------------------


async def test_a_chats_updates_keep_their_order(
    api: BotApi, tmp_path: Path, way: dict[str, Any]
) -> None:
    """Answers come in the order of the questions."""
    async with telegram_bot(api, tmp_path, **way):
        person = Person(api)
        for number in range(10):
            await person.say(f"/unknown{number}")
        await person.read("/unknown9.")
    said = [text.split(".")[0] for text in person.texts]
    assert said == [f"I don't know /unknown{number}" for number in range(10)]


async def test_cancel_passes_a_queue_that_is_held(
    api: BotApi, tmp_path: Path, way: dict[str, Any]
) -> None:
    """The scout stops at once, though an answer before it waits out a flood."""
    clock, source = HeldClock(), WatchedSource()
    fakes = Fakes(clock=clock, sources=TestSources({"held": source}))
    async with telegram_bot(api, tmp_path, fakes, sources=("held",), **way):
        person = Person(api)
        await person.ask(PROFILE)
        await person.ask("/scout")
        await source.asked.wait()
        api.flood(person.id, 30)
        await person.say("/help")
        await api.wait_for(lambda: api.calls[-1].status == 429 or None)
        await person.say("/saved")
        await person.say("/cancel")
        async with asyncio.timeout(10):
            await source.left.wait()
        clock.advance(30)
        await person.read("Nothing saved yet")
        await person.read("Stopped: gathering postings")
    assert rows(tmp_path, "SELECT status FROM runs") == [("cancelled",)]


async def test_too_many_waiting_in_a_chat_are_dropped(api: BotApi, tmp_path: Path) -> None:
    """What comes when thirty wait is not read, which is said once; all the rest is answered."""
    clock, person = HeldClock(), Person(api)
    limits = webhook() | {"commands_burst": 1_000}
    async with telegram_bot(api, tmp_path, Fakes(clock=clock), **limits):
        api.flood(person.id, 30)
        await person.say("/help")
        await api.wait_for(lambda: api.calls[-1].status == 429 or None)
        for number in range(CHAT_WAITING_MAX + 5):
            await person.say(f"/unknown{number}")
        other = Person(api, 43)
        await other.ask("/help")  # who is not held is answered
        clock.advance(30)
        await person.read(f"/unknown{CHAT_WAITING_MAX - 1}.")
        assert len(person.messages) == 1 + CHAT_WAITING_MAX + 1
        assert person.texts.count(TOO_MANY) == 1
        assert "/saved — what you saved" in (await person.ask("/help")).text


async def test_a_strange_update_stops_nothing(
    api: BotApi, tmp_path: Path, way: dict[str, Any]
) -> None:
    """One that can't be read, and one of an unheard kind, are passed over."""
    async with telegram_bot(api, tmp_path, **way):
        await api.push({"message": {"message_id": "x", "chat": 5}})
        await api.push({"message": {"date": 10**30, "chat": {"id": 1, "type": "private"}}})
        assert "What I can do" in (await Person(api).ask("/help")).text
    assert rows(tmp_path, "SELECT count(*) FROM telegram_updates WHERE body IS NOT NULL") == [(0,)]


# --- the webhook's door ------------------------------------------------------------------------


async def post(address: str | None, body: bytes, secret: bytes | None = SECRET.encode()) -> int:
    """Bring something to the webhook; gives the status."""
    headers = {} if secret is None else {_HEADER: secret.decode(errors="surrogateescape")}
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{address}/telegram", data=io.BytesIO(body), headers=headers) as response,
    ):
        return response.status


UPDATE = b'{"update_id": 1, "message": {"message_id": 1, "date": 1, "text": "/help", "from": \
{"id": 42, "is_bot": false, "first_name": "x"}, "chat": {"id": 42, "type": "private"}, \
"entities": [{"type": "bot_command", "offset": 0, "length": 5}]}}'
OURS = SECRET.encode()


@pytest.mark.parametrize(
    ("body", "secret", "status"),
    [
        pytest.param(UPDATE, None, 403, id="no secret"),
        pytest.param(UPDATE, b"", 403, id="empty secret"),
        pytest.param(UPDATE, b"wrong", 403, id="wrong secret"),
        pytest.param(UPDATE, b"\xff\xfe", 403, id="secret of strange bytes"),
        pytest.param(b"not JSON", b"wrong", 403, id="not JSON, wrong secret"),
        pytest.param(b"not JSON", OURS, 400, id="not JSON"),
        pytest.param(b"\xff", OURS, 400, id="not UTF-8"),
        pytest.param(b"[]", OURS, 400, id="a list"),
        pytest.param(b"{}", OURS, 400, id="no number"),
        pytest.param(b'{"update_id": "1"}', OURS, 400, id="a text for a number"),
        pytest.param(b'{"update_id": 1.0}', OURS, 400, id="a float"),
        pytest.param(b'{"update_id": true}', OURS, 400, id="a flag"),
        pytest.param(b'{"update_id": -1}', OURS, 400, id="below zero"),
        pytest.param(b'{"update_id": 1' + b"0" * 30 + b"}", OURS, 400, id="too large a number"),
        pytest.param(b"[" * 100_000, OURS, 400, id="nested too deep"),
        pytest.param(b" " * (1024 * 1024 + 1), OURS, 413, id="too long"),
        pytest.param(UPDATE, OURS, 200, id="an update"),
    ],
)
async def test_what_the_webhook_takes(
    api: BotApi, tmp_path: Path, body: bytes, secret: bytes | None, status: int
) -> None:
    """Without the secret nothing is looked at; with it, only updates are taken."""
    async with telegram_bot(api, tmp_path, **webhook()) as running:
        assert await post(running.address, body, secret) == status
    taken = rows(tmp_path, "SELECT count(*) FROM telegram_updates")
    assert taken == [(int(status == 200),)]
    assert len(api.messages(42)) == int(status == 200)


class FullDisk:
    """An intake whose store is broken."""

    async def accept(self, updates: Sequence[dict[str, Any]]) -> None:
        """It can't."""
        raise StoreError("the disk is full")


async def test_what_can_t_be_stored_is_to_be_brought_again() -> None:
    """The webhook refuses it for now, so that Telegram keeps it."""
    site = public_application(BODY_BYTES_MAX)
    add_webhook(site, FullDisk(), SECRET)
    async with serve(site, "127.0.0.1", 0) as address:
        assert await post(address, UPDATE) == 503


# --- limits ------------------------------------------------------------------------------------


async def test_the_sixth_scout_of_a_minute_waits(api: BotApi, tmp_path: Path) -> None:
    """It is told how long, once; after that time it works, and others were never held."""
    clock = HeldClock()
    async with telegram_bot(api, tmp_path, Fakes(clock=clock)):
        person = Person(api)
        for _ in range(5):
            await person.scout()
        assert (await person.ask("/scout")).text.endswith("Ask for one scout more in 60 s.")
        known = len(person.messages)
        for _ in range(3):
            await person.say("/scout")
        assert "What I can do" in (await person.ask("/help")).text
        assert len(person.messages) == known + 1
        await Person(api, 43).scout()
        clock.advance(59)
        await person.say("/scout")
        await person.ask("/help")
        assert len(person.messages) == known + 2
        clock.advance(1)
        await person.scout()


async def test_refresh_counts_as_a_scout(api: BotApi, tmp_path: Path) -> None:
    """The button draws from the same bucket as the command."""
    async with telegram_bot(api, tmp_path, Fakes(clock=HeldClock()), scouts_burst=1):
        person = Person(api)
        await person.scout()
        await person.tap("Refresh")
        await person.read("one scout more in 60 s")


async def test_the_twenty_first_command_waits(api: BotApi, tmp_path: Path) -> None:
    """Commands have a bucket of their own; /cancel and other people never wait."""
    clock = HeldClock()
    async with telegram_bot(api, tmp_path, Fakes(clock=clock)):
        person = Person(api)
        for _ in range(20):
            await person.ask("/saved")
        assert (await person.ask("/saved")).text.endswith("Ask for more in 2 s.")
        for text in ("/help", "hello", "/saved"):
            await person.say(text)
        assert "Nothing is under way" in (await person.ask("/cancel")).text
        assert len(person.messages) == 22
        await Person(api, 43).ask("/saved")
        clock.advance(2)
        assert "Nothing saved yet" in (await person.ask("/saved")).text


@pytest.mark.usefixtures("leaves_at_once")
async def test_an_answer_brought_again_answers_no_other_question(
    api: BotApi, tmp_path: Path
) -> None:
    """A restart while the next question waits for Telegram: the answer is not taken for it."""
    person = Person(api)
    async with telegram_bot(api, tmp_path):
        await person.ask("/scout")
        await person.read("What can you do?")
        api.flood(person.id, 600)
        await person.say("python, sql")
        await api.wait_for(lambda: [c for c in api.calls if c.status == 429])
    async with telegram_bot(api, tmp_path):
        await person.read("Where do you want to work?")
    assert rows(tmp_path, "SELECT json_extract(body, '$.skills') FROM profiles") == [
        ('["python","sql"]',)
    ]
    assert rows(tmp_path, "SELECT json_extract(body, '$.locations') FROM profiles") == [("[]",)]


@pytest.mark.usefixtures("leaves_at_once")
@pytest.mark.parametrize("label", ["Set Remote: no", "grant"])
async def test_a_switch_brought_again_stays_where_it_is(
    api: BotApi, tmp_path: Path, label: str
) -> None:
    """A button says what it turns a switch to, so that a restart does not turn it back."""
    person = Person(api)
    async with telegram_bot(api, tmp_path):
        await person.ask("/profile skills: python; remote: yes; kinds: job")
        if label == "grant":
            await person.tap("Kinds")
        await person.label(label)
        api.flood(person.id, 600)
        await person.tap(label)
        await api.wait_for(lambda: [c for c in api.calls if c.status == 429])
    async with telegram_bot(api, tmp_path):
        await Person(api, 43).ask("/help")
    told = rows(tmp_path, "SELECT body FROM profiles")[0][0]
    profile = json.loads(str(told))
    assert (profile["remote"], profile["kinds"]) in [(False, ["job"]), (True, ["job", "grant"])]


async def test_cancel_right_behind_a_scout_stops_it(api: BotApi, tmp_path: Path) -> None:
    """Sent in one breath, the scout is begun and then cancelled, not the other way round."""
    person, source = Person(api), HeldSource()
    fakes = Fakes(sources=TestSources({"held": source}))
    async with telegram_bot(api, tmp_path, fakes, sources=("held",)):
        await person.ask(PROFILE)
        await person.say("/scout")
        await person.say("/cancel")
        await person.read("Nothing of this scout was kept")
    assert rows(tmp_path, "SELECT status FROM runs") == [("cancelled",)]


async def test_what_was_not_started_is_not_counted(api: BotApi, tmp_path: Path) -> None:
    """Of two scouts that are allowed neither is spent on one without a profile, nor on one while
    another is under way."""
    person, source = Person(api), HeldSource()
    fakes = Fakes(sources=TestSources({"held": source}))
    async with telegram_bot(api, tmp_path, fakes, sources=("held",), scouts_burst=2):
        await person.ask("/scout")
        await person.ask(PROFILE)
        await person.say("/scout")
        await person.read("Scouting")
        for _ in range(3):
            assert "under way" in (await person.ask("/scout")).text
        await person.say("/cancel")
        await person.read("Nothing of this scout was kept")
        await person.say("/scout")
        source.gate.set()
        await person.read("Nothing found that fits")
    assert rows(tmp_path, "SELECT status FROM runs") == [("cancelled",), ("completed",)]
