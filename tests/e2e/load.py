"""The real program under load: people at a Telegram stand-in and programs at the run API, over an
Apify stand-in. The stand-ins live in the test, so that they outlive every kill and can count.

What `check` holds afterwards: nothing that was accepted is lost or done twice, no Apify input is
paid for twice, every /scout has one shortlist, and the ledger tells the same as the rows.
"""

import asyncio
import json
import signal
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Self

import aiohttp
import sqlalchemy as sa

from agents.discovery.sources.apify_runs import START_MARK
from agents.store.database import Database
from agents.store.ledger import Ledger
from agents.store.owner import Owner
from agents.store.schema import UtcDateTime, actor_starts, run_messages, runs, shelves
from bot.telegram.application import BROKEN
from resilience.saga import CLOSING, OPEN, Event, EventType, History
from tests.e2e.own_postgres import free_port
from tests.e2e.process import Program
from tests.fakes.apify import TOKEN, FakeApify, FakeRun
from tests.fakes.bot_api import BotApi, Call

JOBS, GIGS = "standin/jobs", "standin/gigs"
TEAM, KEY = "team", "key-of-the-team-0123456789"
REST_S = 60.0
COST_USD = 0.125
_LOOK_EVERY_S = 0.05
_FIRST_PERSON = 1_000
_LONG_AGO = sa.literal(datetime(2000, 1, 1, tzinfo=UTC), UtcDateTime)
_ENDINGS = tuple(CLOSING)
_ITEMS = [
    {"id": str(n), "title": f"Job {n}", "url": f"https://x.example/{n}", "remote": True}
    for n in range(5)
]


@dataclass(frozen=True, slots=True)
class Need:
    """What somebody looks for: nobody else does, so it is an Apify input (or two) of its own."""

    number: int

    @property
    def skill(self) -> str:
        """The word that is searched for."""
        return f"skill{self.number}"

    @property
    def kinds(self) -> list[str]:
        """Jobs, gigs, or both: each is an actor."""
        return (["job"], ["gig"], ["job", "gig"])[self.number % 3]

    @property
    def chat_id(self) -> int:
        """The private chat of who looks for it."""
        return _FIRST_PERSON + self.number

    def body(self) -> dict[str, object]:
        """As a program asks for it."""
        profile = {"skills": [self.skill], "remote": True, "kinds": self.kinds}
        return {"kind": "scout", "profile": profile}


@dataclass(slots=True)
class Posted:
    """A run that a program asked for, with what it was answered and what it saw."""

    need: Need
    run_ids: set[str] = field(default_factory=set)
    refused: list[tuple[int, str]] = field(default_factory=list)
    seqs: list[int] = field(default_factory=list)
    types: list[str] = field(default_factory=list)
    ended: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """A run as the database has it."""

    row: Any
    events: list[Event]

    @property
    def history(self) -> History:
        """The fold of its events."""
        return History.of(self.events)


class Load:
    """The stand-ins, their users, and the program between them. An async context manager: what it
    started has ended when it is left."""

    def __init__(self, folder: Path, database: str) -> None:
        self.folder = folder
        self.database = database
        self.apify = FakeApify()
        self.telegram = BotApi()
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.program: Program | None = None
        self.command: Sequence[str] = ("-m", "bot")
        self.posts: list[Posted] = []
        self.scouts: list[Need] = []
        self.logs: list[str] = []
        self._is_up = asyncio.Event()
        self._changed = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._needs = 0

    async def __aenter__(self) -> Self:
        await self.apify.__aenter__()
        self.apify.limit_usd = 1e9
        for name in (JOBS, GIGS):
            actor = self.apify.actor(name)
            actor.items, actor.usage_usd = _ITEMS, COST_USD
        await self.telegram.__aenter__()
        self.session = aiohttp.ClientSession(
            headers={"Authorization": f"Bearer {KEY}"},
            connector=aiohttp.TCPConnector(force_close=True),
            timeout=aiohttp.ClientTimeout(total=None, connect=5),
        )
        (self.folder / "actors.json").write_text(json.dumps({"actors": list(_actors())}), "utf-8")
        async with Database.open(self.database) as database:
            await database.migrate()  # PostgreSQL's operator does; SQLite's is found done
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self.program is not None:
            await self.program.kill()
            self.logs.append(self.program.printed)
        (self.folder / "printed.txt").write_text("\n---\n".join(self.logs), "utf-8")
        await self.session.close()
        await self.telegram.__aexit__()
        await self.apify.__aexit__()

    # --- the program --------------------------------------------------------------------------

    async def begin(self) -> None:
        """Start the program on the same database; it is not ready yet."""
        self.program = await Program.begun(
            self.folder,
            self.command,
            PORT=str(self.port),
            DATABASE_URL=self.database,
            TELEGRAM_BOT_TOKEN=self.telegram.token,
            TELEGRAM_API_BASE_URL=self.telegram.base_url,
            API_KEYS=f"{TEAM}:{KEY}",
            SOURCES="apify,sample",
            APIFY_API_TOKEN=TOKEN,
            APIFY_API_BASE_URL=self.apify.url,
            APIFY_ACTORS_FILE=str(self.folder / "actors.json"),
            APIFY_STARTS_PER_MIN="600",
            TEAM_RUNS="100",
            DRAIN_S="2",
        )

    async def start(self) -> None:
        """Start it, and let programs talk to it once it is ready."""
        await self.begin()
        await self.ready()

    async def ready(self) -> None:
        """Wait until it is ready."""
        assert self.program is not None
        await self.program.ready()
        self._is_up.set()

    async def kill(self) -> None:
        """SIGKILL."""
        assert self.program is not None
        self._is_up.clear()
        await self.program.kill()
        self.logs.append(self.program.printed)

    async def stop(self) -> int:
        """SIGTERM; gives the exit code."""
        assert self.program is not None
        self._is_up.clear()
        code, printed = await self.program.end(signal.SIGTERM)
        self.logs.append(printed)
        return code

    # --- its users ----------------------------------------------------------------------------

    def hold(self) -> None:
        """Apify's runs go on until `release`."""
        for name in (JOBS, GIGS):
            self.apify.actor(name).hold()

    def hold_starts(self) -> None:
        """Apify carries out what it is asked to start, and does not answer until `release`."""
        for name in (JOBS, GIGS):
            self.apify.actor(name).hold_start()

    def release(self) -> None:
        """Apify's runs end, and its answers come."""
        for name in (JOBS, GIGS):
            self.apify.actor(name).release_start()
            self.apify.actor(name).release()

    async def more(self, people: int, programs: int) -> None:
        """So many new people scout, and so many runs are posted; the last of these looks for the
        same as the first of those."""
        needs = [await self.person() for _ in range(people)]
        for need in needs:
            await self.scout(need)
        for number in range(programs):
            shared = needs and number == programs - 1
            self.post(needs[0] if shared else self._need())

    async def person(self) -> Need:
        """Somebody new says what they look for."""
        need = self._need()
        profile = f"/profile skills: {need.skill}; remote: yes; kinds: {', '.join(need.kinds)}"
        await self.telegram.say(need.chat_id, profile)
        return need

    async def known_person(self) -> Need:
        """Somebody new, whose profile is kept by now."""
        need = await self.person()
        await self.telegram.wait_for(lambda: self.telegram.messages(need.chat_id), REST_S)
        return need

    async def scout(self, need: Need) -> None:
        """The person scouts."""
        self.scouts.append(need)
        await self.telegram.say(need.chat_id, "/scout")

    def post(self, need: Need | None = None) -> Posted:
        """A program posts a run, with its idempotency key, until it is accepted; then it follows
        the run to its end."""
        posted = Posted(need or self._need())
        self.posts.append(posted)
        self._tasks.append(asyncio.create_task(self._post_and_follow(posted, len(self.posts))))
        return posted

    async def until(self, found: Callable[[], bool], within_s: float = REST_S) -> None:
        """Wait until `found()`, which is asked when a post is answered or an event is seen."""
        async with asyncio.timeout(within_s):
            while not found():
                self._changed.clear()
                await self._changed.wait()

    async def at_rest(self, scouts: Sequence[Need], posts: Sequence[Posted]) -> None:
        """Wait until these have ended: a shortlist for each /scout, a last event for each run."""
        try:
            await self.telegram.wait_for(
                lambda: all(self.shortlists(need) or self.excused(need) for need in scouts), REST_S
            )
            await self.until(lambda: all(posted.ended for posted in posts))
        except (AssertionError, TimeoutError) as error:
            raise AssertionError(await self._still_open(scouts, posts)) from error

    async def _still_open(self, scouts: Sequence[Need], posts: Sequence[Posted]) -> str:
        """What `at_rest` waited for in vain: what each saw, and the runs as the ledger has them."""
        people = [n for n in scouts if not (self.shortlists(n) or self.excused(n))]
        seen = {n: [m.text for m in self.telegram.messages(n.chat_id)] for n in people}
        programs = [posted for posted in posts if not posted.ended]
        stories = [s for s in await self.stories() if s.row.status in OPEN]
        return (
            f"not at rest within {REST_S} s: {seen} {programs} {_unhappy(stories)} "
            f"starts: {[(run.input, run.status) for run in self.apify.runs if not run.ended]}"
        )

    def shortlists(self, need: Need) -> set[int]:
        """The messages of that person's chat that ever were an answer to a scout."""
        sent = [m.message_id for m in self.telegram.messages(need.chat_id) if is_answer(m.text)]
        edited = [
            call.params["message_id"]
            for call in self.telegram.calls_of("editMessageText", need.chat_id)
            if is_answer(call.params["text"])
        ] if sent else []  # fmt: skip
        return {*sent, *edited}

    def excused(self, need: Need) -> bool:
        """Whether that person was told that something went wrong on our side."""
        return any(message.text == BROKEN for message in self.telegram.messages(need.chat_id))

    @property
    def accepted(self) -> int:
        """How many posted runs were accepted."""
        return sum(bool(posted.run_ids) for posted in self.posts)

    @property
    def events_seen(self) -> int:
        """How many events the followers have."""
        return sum(len(posted.seqs) for posted in self.posts)

    def calls(self) -> list[Call]:
        """The calls that people see, and getMe, with which a start begins."""
        return [call for call in self.telegram.calls if call.method != "getUpdates"]

    def _need(self) -> Need:
        self._needs += 1
        return Need(self._needs)

    async def _post_and_follow(self, posted: Posted, number: int) -> None:
        headers = {"Idempotency-Key": f"key-{number}"}
        while not posted.run_ids:
            await self._is_up.wait()
            try:
                await self._ask(posted, headers)
            except (aiohttp.ClientError, TimeoutError):
                await asyncio.sleep(_LOOK_EVERY_S)  # the answer is lost: the same again
        while not posted.ended:
            await self._is_up.wait()
            try:
                await self.follow(posted)
            except (aiohttp.ClientError, TimeoutError):
                await asyncio.sleep(_LOOK_EVERY_S)

    async def _ask(self, posted: Posted, headers: dict[str, str]) -> None:
        url = f"{self.url}/v1/runs"
        async with self.session.post(url, json=posted.need.body(), headers=headers) as response:
            answer = await response.json()
            if response.status in {200, 202}:
                posted.run_ids.add(answer["run_id"])
            else:
                posted.refused.append((response.status, answer["type"]))
                await asyncio.sleep(_LOOK_EVERY_S)
        self._changed.set()

    async def follow(self, posted: Posted) -> None:
        """Read the run's events from after the last one, whole events only."""
        (run_id,) = posted.run_ids
        headers = {"Last-Event-ID": str(posted.seqs[-1])} if posted.seqs else {}
        url, lines = f"{self.url}/v1/runs/{run_id}/events", dict[str, str]()
        async with self.session.get(url, headers=headers) as response:
            if response.status != 200:
                raise aiohttp.ClientError(response.status)
            async for raw in response.content:
                name, _, value = raw.decode().rstrip("\n").partition(": ")
                if raw == b"\n" and "id" in lines:
                    self._take(posted, lines)
                    lines = {}
                elif name:
                    lines[name] = value

    def _take(self, posted: Posted, lines: dict[str, str]) -> None:
        posted.seqs.append(int(lines["id"]))
        posted.types.append(lines["event"])
        posted.ended = lines["event"] in _ENDINGS
        self._changed.set()

    # --- what came of it ----------------------------------------------------------------------

    async def stories(self) -> list[Story]:
        """All runs, oldest first."""
        async with self.opened() as database:
            rows = await database.query(
                lambda c: c.execute(sa.select(runs).order_by(runs.c.created_at)).all()
            )
            ledger = Ledger(database, partial(datetime.now, UTC), Owner())
            return [Story(row=row, events=await ledger.events(row.id)) for row in rows]

    async def until_answered(self) -> None:
        """Wait until it is written down that every /scout is answered, and no run is open."""
        unanswered = sa.select(run_messages.c.run_id).where(run_messages.c.answered_at.is_(None))
        unended = sa.select(runs.c.id).where(runs.c.status.in_(tuple(OPEN)))
        async with self.opened() as database, asyncio.timeout(REST_S):
            while True:
                if not await database.query(
                    lambda c: [*c.execute(unended), *c.execute(unanswered)]
                ):
                    return
                await asyncio.sleep(_LOOK_EVERY_S)  # nothing tells when it is written

    async def check(self, *, excuses: bool = False) -> None:
        """Assert all that this module's docstring says. Every run is to have completed. With
        `excuses` a command may have been answered with an excuse, which is logged."""
        stories = await self.stories()
        _check_ledger(stories)
        api = {story.row.id for story in stories if story.row.team is not None}
        people = [story.row.id for story in stories if story.row.team is None]
        assert all(len(posted.run_ids) == 1 for posted in self.posts)
        assert api == {run_id for posted in self.posts for run_id in posted.run_ids}, "lost"
        assert len(api) == len(self.posts), "one key, two runs"
        promised = [need for need in self.scouts if not self.excused(need)]
        assert len(promised) <= len(people) <= len(self.scouts), "a /scout lost, or started twice"
        ends = Counter(story.row.status for story in stories)
        assert ends == {"completed": len(stories)}, _unhappy(stories)
        by_id = {story.row.id: story for story in stories}
        for posted in self.posts:
            (run_id,) = posted.run_ids
            events = by_id[run_id].events
            assert posted.seqs == [event.seq for event in events]
            assert posted.types == [event.type for event in events]
        shortlists = {need: len(self.shortlists(need)) for need in self.scouts}
        second = [n for n in self.scouts if shortlists[n] != 1 and (shortlists[n] or n in promised)]
        assert not second, f"other than one shortlist: {second}"
        self._check_starts()
        await self._check_money(stories)
        assert excuses or not [log for log in self.logs if "Traceback" in log], self.logs
        assert excuses or not any(map(self.excused, self.scouts))

    def figures(self) -> str:
        """What was counted at the stand-ins."""
        starts = self.starts_by_input().values()
        excused = sum(self.excused(n) and not self.shortlists(n) for n in self.scouts)
        shortlists = [len(self.shortlists(need)) for need in self.scouts]
        return (
            f"{len(self.posts)} posted runs, {len(self.scouts)} /scout; {self.apify.starts} Apify "
            f"starts for {len(starts)} inputs; {sum(shortlists)} shortlists, second ones: "
            f"{sum(many > 1 for many in shortlists)}; excused: {excused}; "
            f"lost: {shortlists.count(0) - excused} /scout, "
            f"{sum(not posted.ended for posted in self.posts)} runs"
        )

    def _check_starts(self) -> None:
        for started in self.starts_by_input().values():
            used = [run for run in started if run.status != "ABORTED"]
            assert len(used) == 1, [(run.id, run.status, run.input) for run in started]
        needs = (*(n for n in self.scouts if self.shortlists(n)), *(p.need for p in self.posts))
        asked = {need.number: need for need in needs}
        assert len(self.starts_by_input()) == sum(len(need.kinds) for need in asked.values())

    def starts_by_input(self) -> dict[str, list[FakeRun]]:
        """Apify's runs, those of one actor and input together."""
        found = defaultdict(list)
        for run in self.apify.runs:
            assert isinstance(run.input, dict)
            plain = {k: v for k, v in run.input.items() if k != START_MARK}
            found[json.dumps([run.actor.name, plain], sort_keys=True)].append(run)
        return found

    async def _check_money(self, stories: Sequence[Story]) -> None:
        """What each Apify run cost was told to a run of whoever looked for the same, once; no start
        is left whose results are not stored. (Where several share a need and a kill
        comes between, one may be told what another pays, too.)"""
        needs = Counter(need.number for need in (*self.scouts, *(p.need for p in self.posts)))
        skills = {need.skill: needs[need.number] for need in self.scouts}
        told = defaultdict(list)
        for story in stories:
            for mark, amounts in story.history.effects.items():
                told[mark].append(amounts.usd)
        for run in self.apify.runs:
            assert isinstance(run.input, dict)
            costs = [usd for usd in told[run.input[START_MARK]] if usd]
            if skills.get(run.input["position"], 1) == 1:
                assert costs == [COST_USD], run
            else:
                assert COST_USD in costs, run
        # A kill may come between storing what a start found and closing it: nobody starts it again.
        unsafe = sa.select(actor_starts).outerjoin(shelves, shelves.c.key == actor_starts.c.key)
        unsafe = unsafe.where(actor_starts.c.settled_at.is_(None))
        unsafe = unsafe.where(sa.func.coalesce(shelves.c.fetched_at, _LONG_AGO) < actor_starts.c.at)
        async with self.opened() as database:
            assert not await database.query(lambda c: c.execute(unsafe).all())

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[Database]:
        """The program's database."""
        async with Database.open(self.database) as database:
            yield database


def is_answer(text: str) -> bool:
    """Whether a message says what came of a scout."""
    return any(
        words in text
        for words in ("best match", "Nothing found that fits", "failed:", "Cancelled.")
    )


def _actors() -> Iterator[dict[str, object]]:
    for name, kind in ((JOBS, "job"), (GIGS, "gig")):
        yield {
            "actor": name, "title": name, "kinds": [kind], "period_s": 36_000, "timeout_s": 120,
            "memory_mbytes": 512, "items_max": 100, "charge_max_usd": 0.25,
            "inputs": [{"input": {"position": "{words}"}, "constants": {"kind": kind}}],
        }  # fmt: skip


def _check_ledger(stories: Sequence[Story]) -> None:
    """Events without gaps, one beginning, one end; the fold says what the row does; nobody holds
    it."""
    for story in stories:
        row, events = story.row, story.events
        assert [event.seq for event in events] == list(range(1, len(events) + 1))
        types = [event.type for event in events]
        assert types.count(EventType.RUN_QUEUED) == 1
        assert sum(kind in CLOSING for kind in types) == 1, types
        assert (story.history.status, story.history.last_seq) == (row.status, row.last_seq)
        assert (row.owner, row.lease_until) == (None, None)


def _unhappy(stories: Sequence[Story]) -> list[object]:
    return [
        (story.row.id, story.row.status, [(e.seq, e.type, dict(e.data)) for e in story.events])
        for story in stories
        if story.row.status != "completed"
    ]
