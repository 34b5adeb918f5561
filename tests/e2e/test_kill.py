"""SIGKILL of the real program under load: nothing accepted is lost, no Apify run is paid for twice,
nobody gets a second shortlist."""

import asyncio
import json
import logging
import os
import random
import signal
import sqlite3
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

import aiohttp
import pytest

from tests.e2e.load import Load, Posted, is_answer
from tests.e2e.process import Program
from tests.fakes.chat_client import ChatClient

KILLS = int(os.environ.get("WEBSCOUT_KILLS", "12"))
"""Over both databases; `make chaos` sets more."""
SEED = int(os.environ.get("WEBSCOUT_KILL_SEED", "1"))
MOMENT_S = 10.0
TERM_S = 25.0
PAUSE_S = 0.05
PEOPLE, PROGRAMS = 3, 3
RECORDS = 30_000  # a second or two of reading: time to be killed in

_MOMENTS = (
    "start", "start unanswered", "run", "items", "call", "shortlist", "accepted", "event",
    "delay", "starting",
)  # fmt: skip

log = logging.getLogger(__name__)

Wait = Callable[[], Awaitable[None]]


class Moments:
    """When to kill: each is a condition at a stand-in, or a part of a second."""

    def __init__(self, load: Load, dice: random.Random) -> None:
        self._load = load
        self._dice = dice
        self._early = False

    def next(self) -> tuple[str, Wait]:
        """A moment of the round that begins, by its name, with what waits for it."""
        # Not twice in a row while starting: a run that is taken up four times is given up.
        name = self._dice.choice(
            [name for name in _MOMENTS if name != "starting" or not self._early]
        )
        self._early = name == "starting"
        load, asked = self._load, self._load.apify.seen
        match name:
            case "start" | "run" | "items":
                many = len(asked(name)) + self._dice.randint(1, 4)
                return name, partial(load.apify.until, lambda: len(asked(name)) >= many)
            case "start unanswered":
                many = load.apify.starts + self._dice.randint(1, 3)
                return name, partial(load.apify.until, lambda: load.apify.starts >= many)
            case "call":
                return name, self._calls(self._dice.randint(1, 15))
            case "shortlist":
                many = self._shortlists() + self._dice.randint(1, 2)
                return name, self._told(lambda: self._shortlists() >= many)
            case "accepted":
                many = load.accepted + self._dice.randint(1, PROGRAMS)
                return name, partial(load.until, lambda: load.accepted >= many)
            case "event":
                many = load.events_seen + self._dice.randint(1, 20)
                return name, partial(load.until, lambda: load.events_seen >= many)
            case "starting":
                return name, self._then(self._calls(1), self._dice.random() / 2)
            case _:
                return name, partial(asyncio.sleep, self._dice.random())

    def _calls(self, more: int) -> Wait:
        many = len(self._load.calls()) + more
        return self._told(lambda: len(self._load.calls()) >= many)

    def _told(self, found: Callable[[], bool]) -> Wait:
        async def wait() -> None:
            await self._load.telegram.wait_for(found, MOMENT_S)

        return wait

    def _then(self, wait: Wait, seconds: float) -> Wait:
        async def both() -> None:
            await wait()
            await asyncio.sleep(seconds)

        return both

    def _shortlists(self) -> int:
        edits = self._load.telegram.calls_of("editMessageText")
        return sum(is_answer(call.params["text"]) for call in edits)


@pytest.mark.timeout(90 + 10 * KILLS)
async def test_kills_under_load(tmp_path: Path, database: str) -> None:
    """Half of the kills on each database, at random moments before, during and after the Apify
    starts: 0 lost runs, 0 duplicate starts, 0 second shortlists."""
    sqlite = database.startswith("sqlite")
    kills = KILLS // 2 + (KILLS % 2 if sqlite else 0)
    dice = random.Random(f"{SEED} {sqlite}")
    async with Load(tmp_path, database) as load:
        moments, marks, counted = Moments(load, dice), [(0, 0)], []
        for number in range(kills):
            name, moment = moments.next()
            load.release()
            await load.begin()
            if name != "starting":
                await load.ready()
                # Each run is killed twice or thrice, see above.
                scouts, posts = marks[max(0, number - 1)]
                await load.at_rest(load.scouts[:scouts], load.posts[:posts])
            if name == "start unanswered":
                load.hold_starts()
            if name == "run" or (name in {"accepted", "event", "delay"} and dice.random() < 0.5):
                load.hold()
            await load.more(PEOPLE, PROGRAMS)
            marks.append((len(load.scouts), len(load.posts)))
            try:
                async with asyncio.timeout(MOMENT_S):
                    await moment()
            except (TimeoutError, AssertionError):
                name += " (missed)"
            await load.kill()
            counted.append(name)
        load.release()
        await load.start()
        await load.at_rest(load.scouts, load.posts)
        await load.until_answered()
        assert await load.stop() == 0
        await load.check()
        log.info("%d kills, %s: %s", kills, dict(Counter(counted)), load.figures())


@pytest.mark.timeout(180)
async def test_a_stop_under_load(tmp_path: Path) -> None:
    """SIGTERM: it ends with 0 within 25 s and nobody owns its runs; Apify's runs are aborted, and
    the next start makes them anew and completes every run."""
    async with Load(tmp_path, f"sqlite:///{tmp_path}/var/webscout.db") as load:
        await load.start()
        load.hold()
        await load.more(PEOPLE, PROGRAMS)
        await load.apify.until(lambda: len(load.apify.seen("run")) >= 3)
        await load.until(lambda: load.accepted == PROGRAMS)
        async with asyncio.timeout(TERM_S):
            assert await load.stop() == 0
        left = [story.row for story in await load.stories()]
        assert {row.status for row in left} <= {"queued", "running"}
        assert {(row.owner, row.lease_until) for row in left} == {(None, None)}
        assert {run.status for run in load.apify.runs} == {"ABORTED"}

        load.release()
        await load.start()
        await load.at_rest(load.scouts, load.posts)
        await load.until_answered()
        assert await load.stop() == 0
        await load.check()


@pytest.mark.timeout(120)
async def test_who_follows_a_run_misses_nothing(tmp_path: Path) -> None:
    """Killed between any two events that a client has read: it comes again with the last one's
    number, and has each event once, in order, to the end."""
    async with Load(tmp_path, f"sqlite:///{tmp_path}/var/webscout.db") as load:
        await load.start()
        load.hold()  # the run does not end before the kills
        posted = load.post()
        for seen in (3, 4):
            await load.until(lambda seen=seen: len(posted.seqs) >= seen)  # type: ignore[misc]
            await load.kill()
            await load.start()
        await load.until(lambda: posted.types.count("run.resumed") == 2)
        load.release()
        await load.at_rest((), [posted])
        assert await load.stop() == 0
        (story,) = await load.stories()
        assert posted.seqs == list(range(1, len(story.events) + 1))
        assert posted.types == [event.type for event in story.events]


@pytest.mark.timeout(120)
async def test_readers_that_are_reset_each_second_miss_nothing(tmp_path: Path) -> None:
    """Each comes again with the last event that it has, also after a kill: every event once, in
    order, whatever moment it was cut off at."""
    dice = random.Random(SEED)
    async with Load(tmp_path, f"sqlite:///{tmp_path}/var/webscout.db") as load:
        await load.start()
        load.hold()
        posts = [load.post() for _ in range(3)]
        await load.until(lambda: load.accepted == len(posts))
        readers = [Posted(post.need, set(post.run_ids)) for post in posts for _ in range(5)]
        resets: Counter[int] = Counter()

        async def read(number: int) -> None:
            while not readers[number].ended:
                with suppress(TimeoutError, aiohttp.ClientError):
                    async with asyncio.timeout(dice.uniform(0.2, 1.0)):
                        await load.follow(readers[number])
                resets[number] += 1
                await asyncio.sleep(PAUSE_S)  # nobody may be there yet

        async with asyncio.TaskGroup() as reading:
            for number in range(len(readers)):
                reading.create_task(read(number))
            await load.until(lambda: all(reader.seqs for reader in readers))
            await load.kill()
            await load.start()
            await load.until(lambda: all("run.resumed" in reader.types for reader in readers))
            load.release()
        await load.at_rest((), posts)
        assert await load.stop() == 0
        stories = {story.row.id: story.events for story in await load.stories()}
    assert min(resets.values()) >= 2
    for reader in readers:
        (run_id,) = reader.run_ids
        events = stories[run_id]
        assert reader.seqs == list(range(1, len(events) + 1))
        assert reader.types == [event.type for event in events]


# --- local mode -----------------------------------------------------------------------------------


def write_postings(folder: Path) -> None:
    """A file that takes a while to read."""
    row = {"location": "Berlin", "remote": True, "description": "python and sql " * 20}
    with (folder / "big.jsonl").open("w", encoding="utf-8") as file:
        for number in range(RECORDS):
            file.write(json.dumps(row | {"id": str(number), "title": f"Job {number}"}) + "\n")


def statuses(folder: Path) -> list[str]:
    """The statuses of the runs, oldest first."""
    connection = sqlite3.connect(folder / "var/webscout.db")
    found = connection.execute("SELECT status FROM runs ORDER BY created_at").fetchall()
    connection.close()
    return [status for (status,) in found]


def has_shortlists(chat: ChatClient) -> bool:
    """Whether both scouts are answered."""
    return sum("best matches" in message["text"] for message in chat.bot_messages()) == 2


@pytest.mark.timeout(120)
async def test_a_kill_in_local_mode(tmp_path: Path) -> None:
    """Profile and saved postings survive, the interrupted scout is answered, once. (Killed before
    it noted its message's id, it leaves that placeholder behind.)"""
    write_postings(tmp_path)
    async with (
        Program.running(tmp_path, SOURCES="sample") as program,
        ChatClient(program.address) as chat,
    ):
        await chat.ask("/profile skills: python, sql; location: Berlin; remote: yes")
        await chat.say("/scout")
        await chat.until_text("best matches")
        await chat.tap("Save")
        await chat.until_text("★")
        await program.end(signal.SIGKILL)

    async with (
        Program.running(tmp_path, SOURCES="file:big.jsonl") as program,
        ChatClient(program.address) as chat,
    ):
        await chat.say("/scout")  # what was handled just before the kill may be answered again
        await chat.until_text("Scouting")
        await program.end(signal.SIGKILL)
    assert statuses(tmp_path)[-1] in {"queued", "running"}

    async with (
        Program.running(tmp_path, SOURCES="file:big.jsonl") as program,
        ChatClient(program.address) as chat,
    ):
        await chat.until(has_shortlists)
        assert "Skills: python, sql" in (await chat.ask("/profile"))["text"]
        assert "1. " in (await chat.ask("/saved"))["text"]
        code, printed = await program.end(signal.SIGTERM)
    assert code == 0, printed
    assert "Traceback" not in printed

    assert statuses(tmp_path) == ["completed"] * 2
    connection = sqlite3.connect(tmp_path / "var/webscout.db")
    bodies = connection.execute("SELECT body FROM chat_messages").fetchall()
    connection.close()
    assert len([body for (body,) in bodies if "best matches" in body]) == 2
