"""Following a run: from the ledger and as it happens, in any order of the two."""

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from agents.run_feed import PAGE, RunFeed
from agents.store.ledger import Ledger
from resilience.saga import CLOSING, Event, EventType, Orchestrator, RunStatus
from tests.fakes.clock import NOON

RUN = "run-1"
LONG_S = 3_600.0
"""A period that no test waits for."""


@dataclass
class Run:
    """One run: its stored events, and what this process hears of them. Implements the parts of a
    Ledger and of an Orchestrator that a feed needs."""

    events: list[Event] = field(default_factory=list)
    here: bool = True
    reads: int = 0
    listeners: list[Callable[[Event], None]] = field(default_factory=list)

    def feed(self, **periods: float) -> RunFeed:
        """A feed over it."""
        values = {"look_s": LONG_S, "look_here_s": LONG_S} | periods
        return RunFeed(cast("Ledger", self), cast("Orchestrator", self), **values)

    def store(self, kind: EventType = EventType.STEP_PROGRESS, *, heard: bool = True) -> Event:
        """Store the next event; this process hears of it if it executes the run."""
        event = Event(run_id=RUN, seq=len(self.events) + 1, type=kind, at=NOON)
        self.events.append(event)
        if heard:
            for listener in self.listeners:
                listener(event)
        return event

    async def events_after(self, run_id: str, seq: int, limit: int) -> list[Event]:
        """As Ledger."""
        assert run_id == RUN
        self.reads += 1
        found = self.events[seq : seq + limit]
        await asyncio.sleep(0)
        return found

    async def standing(self, run_id: str) -> tuple[RunStatus, int] | None:
        """As Ledger."""
        assert run_id == RUN
        await asyncio.sleep(0)
        if not self.events:
            return None
        last = self.events[-1]
        return CLOSING.get(last.type, RunStatus.RUNNING), last.seq

    def task_of(self, _run_id: str) -> object | None:
        """As Orchestrator."""
        return self if self.here else None

    def subscribe(self, listener: Callable[[Event], None]) -> Callable[[], None]:
        """As Orchestrator."""
        self.listeners.append(listener)
        return lambda: self.listeners.remove(listener)


async def read(feed: RunFeed, after: int = 0, most: int = 10**9) -> list[int]:
    """The numbers of the events after that one, until the stream ends or there are `most`."""
    numbers: list[int] = []
    following = feed.follow(RUN, after, LONG_S)
    async for events in following:
        numbers += [event.seq for event in events]
        if len(numbers) >= most:
            break
    await following.aclose()
    return numbers


async def reading(feed: RunFeed, run: Run, after: int = 0) -> "asyncio.Task[list[int]]":
    """A reader that has got what there is, and waits."""
    task = asyncio.create_task(read(feed, after))
    for _ in range(20):
        await asyncio.sleep(0)
    assert not task.done()
    assert run.listeners
    return task


@pytest.mark.parametrize("count", [1, 2, PAGE - 1, PAGE, PAGE + 1, 3 * PAGE])
async def test_a_run_that_has_ended_is_read_to_its_end(count: int) -> None:
    """All pages of it, and no more."""
    run = Run()
    for _ in range(count - 1):
        run.store()
    run.store(EventType.RUN_COMPLETED)
    feed = run.feed()
    assert await read(feed) == list(range(1, count + 1))
    assert await read(feed, count) == []
    assert await read(feed, count + 5) == []
    assert feed.followers == 0


async def test_a_run_that_is_not_there_has_no_events() -> None:
    """The stream ends at once."""
    assert await read(Run().feed()) == []


async def test_what_happens_here_comes_without_reading_the_ledger() -> None:
    """Once a reader has caught up, what is heard is enough."""
    run = Run()
    run.store()
    feed = run.feed()
    reader = await reading(feed, run)
    before = run.reads
    for _ in range(100):
        run.store()
        await asyncio.sleep(0)
    run.store(EventType.RUN_FAILED)
    assert await reader == list(range(1, 103))
    assert run.reads <= before + 1


async def test_a_gap_is_read_from_the_ledger() -> None:
    """What another process stored between two that were heard is not lost."""
    run = Run()
    run.store()
    feed = run.feed()
    reader = await reading(feed, run)
    run.store()
    run.store(EventType.RUN_CANCELLING, heard=False)
    run.store()
    run.store(EventType.RUN_CANCELLED)
    assert await reader == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("here", [True, False])
async def test_what_is_not_heard_of_is_looked_for(*, here: bool) -> None:
    """Another process executes the run, also where a task here waits for it."""
    run = Run(here=here)
    run.store()
    run.store()
    feed = run.feed(look_s=0.005, look_here_s=0.005)
    first = await reading(feed, run)
    run.store()  # heard: the feed knows of newer events than it will hear of
    run.store(heard=False)
    run.store(EventType.RUN_COMPLETED, heard=False)
    async with asyncio.timeout(20):
        assert await first == [1, 2, 3, 4, 5]


async def test_a_parked_run_goes_on_in_the_next_stream() -> None:
    """A stream ends at the first closing event; who has it waits for what comes after it."""
    run = Run()
    for kind in (EventType.RUN_QUEUED, EventType.RUN_COMPENSATING, EventType.RUN_PARKED):
        run.store(kind)
    feed = run.feed()
    assert await read(feed) == [1, 2, 3]
    waiting = await reading(feed, run, 3)
    run.store(EventType.RUN_COMPENSATING)
    run.store(EventType.RUN_COMPENSATED)
    assert await waiting == [4, 5]
    assert await read(feed) == [1, 2, 3]
    assert await read(feed, 3) == [4, 5]


async def test_closing_the_feed_ends_what_is_followed() -> None:
    """At once, for all, and for those who come after; the orchestrator is left."""
    run = Run()
    run.store()
    feed = run.feed()
    readers = [await reading(feed, run) for _ in range(5)]
    assert feed.followers == 5
    feed.close()
    assert await asyncio.gather(*readers) == [[1]] * 5
    assert await read(feed) == []
    assert feed.followers == 0
    assert run.listeners == []


async def test_a_quiet_period_is_told() -> None:
    """An empty list each period in which nothing came."""
    run = Run()
    run.store()
    following = run.feed().follow(RUN, 1, 0.001)
    async with asyncio.timeout(20):
        assert [await anext(following) for _ in range(3)] == [[], [], []]
    await following.aclose()


@pytest.mark.parametrize("seed", range(30))
async def test_every_reader_sees_each_event_once_and_in_order(seed: int) -> None:
    """Whoever comes when, leaves when and goes on where, with events of this and other processes
    in any order."""
    chance, run = random.Random(seed), Run()
    run.store(EventType.RUN_QUEUED)
    feed = run.feed(look_s=0.001, look_here_s=0.001)

    async def reader(own: random.Random) -> list[int]:
        seen: list[int] = []
        while not seen or run.events[seen[-1] - 1].type not in CLOSING:
            seen += await read(feed, len(seen), own.choice([1, 3, 50, 10**9]))
            for _ in range(own.randint(0, 5)):
                await asyncio.sleep(0)
        return seen

    async def pause() -> None:
        for _ in range(chance.choice([0, 0, 1, 3, 10])):
            await asyncio.sleep(0)

    async with asyncio.timeout(30), asyncio.TaskGroup() as tasks:
        readers: list[asyncio.Task[Any]] = []
        for _ in range(chance.choice([5, 50, 700])):
            if chance.random() < 0.1 and len(readers) < 10:
                readers.append(tasks.create_task(reader(random.Random(chance.random()))))
            run.here = chance.random() < 0.8
            run.store(heard=chance.random() < 0.9)
            await pause()
        readers.append(tasks.create_task(reader(random.Random(seed))))
        run.store(EventType.RUN_COMPLETED, heard=chance.random() < 0.5)
        run.here = chance.random() < 0.5
    expected = [event.seq for event in run.events]
    assert all(task.result() == expected for task in readers)
    assert feed.followers == 0
