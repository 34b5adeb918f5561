"""The watch: what is told, what is told again, and what a store or a chat that is out changes."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from agents.store.errors import StoreError
from agents.store.overview import Parked
from bot.ops.health import Standing
from bot.ops.rules import rules
from bot.ops.watch import AGAIN_AFTER_S, EVERY_S, Watch
from resilience.alerts import Alert, AlertId, Digest, Severity
from resilience.breaker import CLOSED, OPEN, BreakerChanged
from resilience.saga import Event, EventType
from tests.fakes.clock import NOON
from tests.fakes.ops import World, overview
from tests.fakes.saga_clock import settle


@dataclass
class Told:
    """What is kept of what was told; it may be out, or another process's."""

    left: list[Alert] = field(default_factory=list)
    others: set[str] = field(default_factory=set)
    journal: list[Digest] = field(default_factory=list)
    kept: set[AlertId] = field(default_factory=set)
    out: bool = False

    def _check(self) -> None:
        if self.out:
            raise StoreError("it is out")

    async def take_over(self) -> list[Alert]:
        """What a process that is gone left."""
        self._check()
        left, self.left = self.left, []
        self.kept |= {alert.id for alert in left}
        return left

    async def own(self, digest: Digest) -> Digest:
        """What is new, but for others'; of the rest only what was kept."""
        self._check()
        new = tuple(a for a in digest.new if a.id.rule not in self.others)
        self.kept |= {alert.id for alert in new}
        return Digest(
            new=new,
            again=tuple(a for a in digest.again if a.id in self.kept),
            over=tuple(a for a in digest.over if a.id in self.kept),
        )

    async def told(self, digest: Digest) -> None:
        """Keep it."""
        self._check()
        self.journal.append(digest)
        self.kept -= {alert.id for alert in digest.over}


@dataclass
class Chat:
    """The operators' chat; it may not be reached."""

    read: list[Digest] = field(default_factory=list)
    out: bool = False
    anybody: bool = True

    async def announce(self, digest: Digest) -> bool:
        """Read it, if it arrives."""
        if not self.out:
            self.read.append(digest)
        return not self.out

    @property
    def words(self) -> list[tuple[list[str], list[str]]]:
        """Each message: the rules that are new, and over."""
        return [([a.id.rule for a in d.new], [a.id.rule for a in d.over]) for d in self.read]


class Room:
    """A watch over a world."""

    def __init__(self, told: Told | None = None) -> None:
        self.world, self.told, self.chat = World(), told or Told(), Chat()
        self.parked: list[tuple[str, int]] = []
        self.watch = Watch(
            observed=self.world.observed,
            survey=self,
            rules=rules(30),
            store=self.told,
            told_parked=self.told_parked,
            operators=self.chat,
            clock=self.world.clock,
        )

    async def look(self) -> Standing:
        """How the world stands."""
        return self.world.standing

    def changed(self) -> None:
        """It is looked at anew each time."""

    async def told_parked(self, run_id: str, seq: int) -> None:
        """The operators know of it."""
        if self.told.out:
            raise StoreError("it is out")
        self.parked.append((run_id, seq))

    async def live(self, seconds: float) -> None:
        """Let time pass, look by look."""
        for _ in range(round(seconds / EVERY_S)):
            self.world.clock.advance(EVERY_S)
            await self.watch.look()

    def park(self, *runs: Parked) -> None:
        """Let runs be parked."""
        self.world.stand(overview=overview(parked=runs))


def told_before(rule: str, subject: str) -> Alert:
    """An alert that a process told before it ended."""
    return Alert(
        id=AlertId(rule, subject),
        severity=Severity.WARNING,
        words="x",
        since=NOON,
        fired_at=NOON,
        told_at=NOON,
    )


async def test_an_incident_is_told_and_journaled() -> None:
    """Its beginning and its end, once each."""
    room = Room()
    room.world.breaker("apify", is_open=True)
    await room.live(120)
    room.world.breaker("apify", is_open=False)
    await room.live(240)
    assert room.chat.words == [(["breaker-open"], []), ([], ["breaker-open"])]
    assert room.told.journal == room.chat.read
    assert (await room.watch.health()).alerts == ()


async def test_a_storm_of_parked_runs_is_one_message() -> None:
    """Each parking is journaled as told in its own row."""
    room = Room()
    room.park(*(Parked(f"{n:x}", n, told=False) for n in range(200)))
    await room.live(60)
    assert [len(digest.new) for digest in room.chat.read] == [200]
    assert len(room.parked) == 200
    assert room.told.journal == room.chat.read


async def test_a_parking_that_was_told_is_not_told_again() -> None:
    """By an earlier process; its end is, by who took it over and by nobody else."""
    left = [told_before("run-parked", "ab/7")]
    for taken_over in (True, False):
        room = Room(Told(left=left if taken_over else []))
        room.park(Parked("ab", 7, told=True))
        await room.live(60)
        assert room.chat.read == []
        room.park()
        await room.live(400)
        assert room.chat.words == [([], ["run-parked"])] * taken_over
        assert room.parked == []


async def test_what_nobody_was_told_is_told_to_who_comes() -> None:
    """Without operators it is logged, and not kept as told: the next process has some."""
    room = Room()
    room.chat.anybody = False
    room.park(Parked("ab", 7, told=False))
    room.world.breaker("apify", is_open=True)
    await room.live(120)
    assert room.chat.read == []
    assert (room.told.journal, room.parked) == ([], [])
    assert len((await room.watch.health()).alerts) == 2


async def test_what_another_process_tells_is_left_to_it() -> None:
    """It stands in the health all the same."""
    room = Room(Told(others={"breaker-open"}))
    room.world.breaker("apify", is_open=True)
    await room.live(120)
    room.world.breaker("apify", is_open=False)
    await room.live(240)
    assert room.chat.read == []


async def test_the_database_out_is_told_all_the_same(caplog: pytest.LogCaptureFixture) -> None:
    """That it can't be journaled is said once."""
    room = Room(Told(out=True))
    room.world.stand(problems={"database": "locked"}, overview=None)
    await room.live(90)
    assert room.chat.words == [(["database-unwritable"], [])]
    assert caplog.text.count("can't be journaled") == 1
    room.told.out = False
    room.world.stand(problems={}, overview=overview())
    await room.live(200)
    assert room.chat.words[-1] == ([], ["database-unwritable"])


async def test_a_parking_told_while_the_database_is_out_may_be_told_again() -> None:
    """Nothing breaks over it."""
    room = Room()
    room.park(Parked("ab", 7, told=False))
    room.told.out = True
    await room.live(60)
    assert (len(room.chat.read), room.parked) == (1, [])


async def test_a_chat_that_is_not_reached_is_told_later(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same message, after a while; it holds up no look, and what comes up meanwhile waits for
    the next."""
    monkeypatch.setattr("bot.ops.watch.TOLD_WITHIN_S", 0.0)
    room = Room()
    room.chat.out = True
    room.world.breaker("apify", is_open=True)
    await room.live(60)
    room.world.stand(problems={"telegram": "no route"})
    await room.live(AGAIN_AFTER_S + 60)
    assert room.chat.read == []
    room.chat.out = False
    await room.live(AGAIN_AFTER_S + 120)
    assert room.chat.words == [(["breaker-open"], []), (["telegram-unreachable"], [])]


async def test_what_a_process_that_is_gone_told_is_seen_to_its_end() -> None:
    """Not repeated while it lasts, and its end is told."""
    room = Room(Told(left=[told_before("breaker-open", "apify")]))
    room.world.breaker("apify", is_open=True)
    await room.live(200)
    assert room.chat.read == []
    room.world.breaker("apify", is_open=False)
    await room.live(200)
    assert room.chat.words == [([], ["breaker-open"])]


def parked(_room: Room) -> Event:
    """The event of a parking."""
    return Event(run_id="r", seq=1, type=EventType.RUN_PARKED, at=NOON)


@pytest.mark.parametrize("news", ["a parking", "a breaker", "nothing"])
async def test_news_are_looked_at_at_once(news: str) -> None:
    """A parking and a breaker's change; else the next look waits for its time. A look that breaks
    ends nothing."""
    room, clock = Room(), HeldSleep()
    looks: list[int] = []

    async def look() -> Standing:
        looks.append(1)
        if len(looks) == 1:
            raise ZeroDivisionError
        return room.world.standing

    room.look = look  # type: ignore[method-assign]
    room.watch._clock = clock
    watching = asyncio.create_task(room.watch.keep_watching())
    await settle()
    assert len(looks) == 1
    tell: dict[str, Callable[[], Any]] = {
        "a parking": lambda: room.watch.note_event(parked(room)),
        "a breaker": lambda: room.watch.note_breaker(changed()),
        "nothing": lambda: room.watch.note_event(
            Event(run_id="r", seq=1, type=EventType.RUN_STARTED, at=NOON)
        ),
    }
    tell[news]()
    await settle()
    assert len(looks) == (1 if news == "nothing" else 2)
    clock.wake.set()
    await settle()
    assert len(looks) >= 2
    watching.cancel()
    await asyncio.wait({watching})


def changed() -> BreakerChanged:
    """A breaker opened."""
    return BreakerChanged(name="apify", old=CLOSED, new=OPEN, reason="x", open_s=1.0, at=NOON)


class HeldSleep:
    """A clock whose sleepers wake when they are told, once."""

    def __init__(self) -> None:
        self.wake = asyncio.Event()

    now = staticmethod(lambda: NOON)
    monotonic = staticmethod(lambda: 0.0)

    async def sleep(self, _seconds: float) -> None:
        """Until told."""
        await self.wake.wait()
        self.wake.clear()


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> None:
    """Logs are kept from warnings on."""
    caplog.set_level(logging.WARNING)
