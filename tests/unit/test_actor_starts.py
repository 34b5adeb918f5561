"""No actor's run is started twice, whenever the process that starts it dies: over a journal in
SQLite and Apify's stand-in on loopback. A killed process is one that is never heard of again: its
fetch is left hanging, and another fetcher stands over the same database."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from agents.discovery.port import SourceFailed, Validators
from agents.discovery.sources.actor import START_GRACE_S, ActorFetcher
from agents.discovery.sources.actor_list import Actor, input_key
from agents.discovery.sources.apify_runs import START_MARK, ApifyRuns
from agents.discovery.sources.starts import Start, Starts, UnderWay
from agents.discovery.spending import BudgetSpent, Spending, charge, intend, paid_by, settle
from agents.discovery.stored import Fetched
from agents.store.database import Database
from agents.store.errors import StoreError
from agents.store.starts import StartStore
from resilience.fault import CALLERS
from tests.fakes.apify import TOKEN, FakeApify, Fault
from tests.fakes.clock import FixedClock

NAME = "misceres/indeed-scraper"
ACTOR = Actor.model_validate(
    {
        "actor": NAME, "title": "Indeed", "kinds": ("job",), "period_s": 3600.0, "timeout_s": 60,
        "memory_mbytes": 512, "items_max": 100, "charge_max_usd": 0.4,
        "inputs": ({"input": {"position": "python"}},),
    }
)  # fmt: skip
INPUT: dict[str, object] = {"position": "python"}
KEY = input_key(NAME, INPUT)
ITEMS: list[object] = [{"id": "1", "title": "Python Developer", "url": "https://lark.example/1"}]


class Clock(FixedClock):
    """Awaits `at_sleep` at each sleep, with how many there were."""

    def __init__(self) -> None:
        super().__init__()
        self.at_sleep: Callable[[int], Awaitable[None]] | None = None

    async def sleep(self, seconds: float) -> None:
        """Return later by `seconds`."""
        await super().sleep(seconds)
        if self.at_sleep is not None:
            await self.at_sleep(len(self.slept))


@dataclass
class World:
    """Apify, and the database that outlives a process."""

    apify: FakeApify
    database: Database
    clock: Clock
    left: list[asyncio.Task[Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.actor = self.apify.actor(NAME)
        self.actor.items = ITEMS
        self.starts = StartStore(self.database, self.clock.now)

    def process(self, starts: Starts | None = None) -> ActorFetcher:
        """A process of its own, with nothing in memory."""
        return ActorFetcher(
            actor=ACTOR,
            run_input=INPUT,
            layout=ACTOR.layout(ACTOR.inputs[0]),
            charge_max_usd=0.4,
            runs=ApifyRuns(TOKEN, self.apify.url),
            starts=starts or StartStore(self.database, self.clock.now),
            clock=self.clock,
        )

    async def killed(self, reached: str) -> None:
        """A process begins a fetch, and is not heard of any more once the request is in."""
        self.left.append(asyncio.create_task(fetched(self.process())))
        await self.apify.until(lambda: bool(self.apify.seen(reached)))
        await self.apify.until(lambda: bool(self.apify.starts))

    async def intended(self, **changes: Any) -> Start:
        """A start that was journaled by a process that was killed then."""
        start = Start(key=KEY, mark="lost", actor=NAME, at=self.clock.now())
        start = replace(start, **changes)
        assert await self.starts.intend(start)
        return start


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """The stand-in and a migrated database, on one clock."""
    clock = Clock()
    async with FakeApify() as apify, Database.open(f"sqlite:///{tmp_path}/a.db") as database:
        apify.now = clock.now
        await database.migrate()
        made = World(apify, database, clock)
        yield made
        made.actor.release_start()
        made.actor.release()
        await asyncio.gather(*made.left, return_exceptions=True)


async def fetched(fetcher: ActorFetcher, account: Spending | None = None) -> list[str]:
    """The titles that a fetch brings, for somebody's money."""
    with paid_by(account or Spending()):
        got = await fetcher.fetch(Validators())
        await fetcher.stored()
    assert isinstance(got, Fetched)
    return [o.title for o in got.opportunities]


FOUND = ["Python Developer"]


# --- killed -------------------------------------------------------------------------------------


async def test_killed_between_the_request_and_its_answer(world: World) -> None:
    """The next process finds the run by its mark, waits for it, and starts no other."""
    world.actor.hold_start()
    await world.killed("start")
    account = Spending()
    assert await fetched(world.process(), account) == FOUND
    assert (world.apify.starts, world.apify.aborts, account.usd) == (1, 0, 0.01)
    assert await world.starts.open(KEY) is None
    assert world.clock.slept == []


async def test_killed_again_while_the_found_run_goes_on(world: World) -> None:
    """Its id was journaled when it was found: the third process does not search."""
    world.actor.hold()
    await world.intended()
    world.apify.begin(world.actor, {**INPUT, START_MARK: "lost"})
    world.left.append(asyncio.create_task(fetched(world.process())))
    await world.apify.until(lambda: bool(world.apify.seen("run")))
    third = asyncio.create_task(fetched(world.process()))
    await world.apify.until(lambda: len(world.apify.seen("run")) >= 3)
    world.actor.release()
    assert await third == FOUND
    assert (world.apify.starts, len(world.apify.seen("runs"))) == (0, 1)


async def test_killed_while_the_run_goes_on(world: World) -> None:
    """Its id is known: nothing has to be searched for."""
    world.actor.hold()
    await world.killed("run")
    next_process = asyncio.create_task(fetched(world.process()))
    await world.apify.until(lambda: len(world.apify.seen("run")) >= 2)
    world.actor.release()
    assert await next_process == FOUND
    assert (world.apify.starts, len(world.apify.seen("runs"))) == (1, 0)


async def test_killed_before_the_request(world: World) -> None:
    """For the grace it may still arrive; then it is taken as never made: one start."""
    await world.intended()
    assert await fetched(world.process()) == FOUND
    assert world.apify.starts == 1
    assert world.clock.slept == [1.0] * int(START_GRACE_S)


async def test_a_request_that_arrives_late(world: World) -> None:
    """Within the grace: it is used."""
    await world.intended()

    async def arrive(slept: int) -> None:
        if slept == 4:
            world.apify.begin(world.actor, {**INPUT, START_MARK: "lost"})

    world.clock.at_sleep = arrive
    assert await fetched(world.process()) == FOUND
    assert (world.apify.starts, len(world.clock.slept)) == (0, 4)


@pytest.mark.parametrize("age_s", [START_GRACE_S, 3_000, 3 * 24 * 3600])
async def test_an_older_intent_is_not_waited_for(world: World, age_s: float) -> None:
    """Apify is asked once, then it is started."""
    await world.intended()
    world.clock.advance(age_s)
    assert await fetched(world.process()) == FOUND
    assert (world.apify.starts, world.clock.slept) == (1, [])
    assert len(world.apify.seen("runs")) == 1


async def test_an_intent_from_the_future(world: World) -> None:
    """Another machine's clock is ahead: nobody waits for longer than the grace."""
    await world.intended(at=world.clock.now() + timedelta(hours=1))
    assert await fetched(world.process()) == FOUND
    assert (world.apify.starts, len(world.clock.slept)) == (1, int(START_GRACE_S) + 1)


async def test_a_run_of_long_ago_is_paid_and_not_used(world: World) -> None:
    """Its postings are older than the actor's period: it is settled, and there is a new start."""
    world.actor.usage_usd = 0.25
    await world.intended()
    run = world.apify.begin(world.actor, {**INPUT, START_MARK: "lost"})
    run.status = "SUCCEEDED"
    world.clock.advance(3_601)
    account = Spending()
    assert await fetched(world.process(), account) == FOUND
    assert (world.apify.starts, account.usd) == (1, 0.5)
    assert "lost" in account.settled


async def test_a_run_of_long_ago_that_is_gone(world: World) -> None:
    """Apify has forgotten it: nobody looks for it for ever."""
    await world.intended()
    await world.starts.started("lost", "run99")
    world.clock.advance(30 * 24 * 3600)
    assert await fetched(world.process()) == FOUND
    assert world.apify.starts == 1


async def test_the_input_key_does_not_know_the_mark(world: World) -> None:
    """Two fetches of the same have one key, and runs with marks of their own."""
    fetcher = world.process()
    for _ in range(2):
        assert await fetched(fetcher) == FOUND
    inputs = [run.input for run in world.apify.runs]
    assert all(isinstance(run_input, dict) for run_input in inputs)
    marks = {run_input.pop(START_MARK) for run_input in inputs if isinstance(run_input, dict)}
    assert (len(marks), inputs, fetcher.key) == (2, [INPUT, INPUT], KEY)


# --- in doubt, without a crash ------------------------------------------------------------------


async def test_a_lost_answer_is_found_by_the_next_fetch(world: World) -> None:
    """The connection broke: a failure now, the run's results then."""
    fetcher = world.process()
    world.actor.lose_answer()
    with pytest.raises(SourceFailed, match="can't be reached"):
        await fetched(fetcher)
    world.clock.advance(30)
    assert await fetched(fetcher) == FOUND
    assert world.apify.starts == 1


@pytest.mark.parametrize("status", [500, 503])
async def test_a_server_error_may_hide_a_run(world: World, status: int) -> None:
    """There was none: the next fetch looks for it first, then starts."""
    fetcher = world.process()
    world.actor.faults["start"] = Fault(status=status, times=1)
    with pytest.raises(SourceFailed, match=str(status)):
        await fetched(fetcher)
    assert await world.starts.open(KEY) is not None
    world.clock.advance(30)
    assert await fetched(fetcher) == FOUND
    assert (world.apify.starts, len(world.apify.seen("runs"))) == (1, 1)


async def test_while_apify_can_not_be_asked_nothing_is_started(world: World) -> None:
    """Whether there is a run is not known then."""
    await world.intended()
    world.clock.advance(60)
    world.actor.faults["runs"] = Fault(status=503, times=1)
    fetcher = world.process()
    with pytest.raises(SourceFailed, match="503"):
        await fetched(fetcher)
    assert not world.apify.seen("start")
    assert await fetched(fetcher) == FOUND


@pytest.mark.parametrize("status", [400, 402, 429])
async def test_a_refused_start_is_settled(world: World, status: int) -> None:
    """There is no run, for certain: the next fetch starts at once, and it costs nothing."""
    world.actor.faults["start"] = Fault(status=status, type="some-type", times=1)
    account = Spending(ledger=(book := Book()))
    with pytest.raises(SourceFailed):
        await fetched(world.process(), account)
    assert await world.starts.open(KEY) is None
    assert [usd for _, usd in book.settled] == [0.0]
    assert await fetched(world.process()) == FOUND
    assert not world.apify.seen("runs")


async def test_a_cancel_aborts_and_settles(world: World) -> None:
    """While the start is under way: at its answer."""
    world.actor.hold()
    world.actor.hold_start()
    task = asyncio.create_task(fetched(world.process(), account := Spending()))
    await world.apify.until(lambda: world.apify.starts == 1)
    task.cancel()
    world.actor.release_start()
    await asyncio.wait({task})
    assert (world.apify.aborts, account.usd) == (1, 0.01)
    assert await world.starts.open(KEY) is None


async def test_a_run_that_could_not_be_aborted_is_used(world: World) -> None:
    """It went on, and is paid for."""
    world.actor.hold()
    world.actor.faults["abort"] = Fault(status=500)
    task = asyncio.create_task(fetched(world.process()))
    await world.apify.until(lambda: bool(world.apify.seen("run")))
    task.cancel()
    await asyncio.wait({task})
    world.actor.release()
    assert await fetched(world.process()) == FOUND
    assert world.apify.starts == 1


async def test_results_that_could_not_be_read_are_read_later(world: World) -> None:
    """They are paid for, once."""
    world.actor.faults["items"] = Fault(status=503, times=1)
    account, fetcher = Spending(), world.process()
    with pytest.raises(SourceFailed):
        await fetched(fetcher, account)
    assert await fetched(fetcher, account) == FOUND
    assert (world.apify.starts, account.usd) == (1, 0.01)


# --- several processes --------------------------------------------------------------------------


async def test_processes_that_start_at_once(world: World) -> None:
    """One starts, the others take its run: its request is there before the grace is over."""
    world.clock.at_sleep = lambda _: world.apify.until(lambda: world.apify.starts > 0)
    world.actor.hold()
    asked = [asyncio.create_task(fetched(world.process())) for _ in range(3)]
    await world.apify.until(lambda: len(world.apify.seen("run")) >= 5)  # adopting asks once more
    world.actor.release()
    assert await asyncio.gather(*asked) == [FOUND] * 3
    assert world.apify.starts == 1


class Blind(StartStore):
    """Doesn't see what others have open."""

    async def open(self, _key: str) -> Start | None:
        """None."""
        return None


async def test_yielding_has_an_end(world: World) -> None:
    """It is said that another one is starting it; nothing is started."""
    await world.intended()
    with pytest.raises(UnderWay, match="another process is starting it"):
        await fetched(world.process(Blind(world.database, world.clock.now)))
    assert not world.apify.requests


# --- the journal is out -------------------------------------------------------------------------


class Failing(StartStore):
    """Fails at some of its methods."""

    def __init__(self, world: World, *fails: str) -> None:
        super().__init__(world.database, world.clock.now)
        self.fails = set(fails)

    async def intend(self, start: Start) -> bool:
        """Store it."""
        self._out("intend")
        return await super().intend(start)

    async def started(self, mark: str, run_id: str) -> None:
        """Note its id."""
        self._out("started")
        await super().started(mark, run_id)

    async def settled(self, mark: str) -> None:
        """Close it."""
        self._out("settled")
        await super().settled(mark)

    def _out(self, name: str) -> None:
        if name in self.fails:
            raise StoreError("database: it is out")


async def test_killed_before_the_results_were_stored(world: World) -> None:
    """They are read once more, of the same run: nothing is paid for twice."""
    fetcher = world.process()
    await fetcher.fetch(Validators())
    assert await fetched(world.process()) == FOUND
    assert world.apify.starts == 1
    assert await world.starts.open(KEY) is None


async def test_without_the_journal_nothing_is_started(world: World) -> None:
    """The store's own error comes out."""
    with pytest.raises(StoreError, match="it is out"):
        await fetched(world.process(Failing(world, "intend", "settled")))
    assert not world.apify.requests


@pytest.mark.parametrize("fails", [("started",), ("settled",), ("started", "settled")])
async def test_a_journal_that_goes_out_later(
    world: World, fails: tuple[str, ...], caplog: pytest.LogCaptureFixture
) -> None:
    """The results are used; what stayed open is found, and not started anew."""
    assert await fetched(world.process(Failing(world, *fails))) == FOUND
    assert "can't be noted, and is looked for later: database: it is out" in caplog.text
    stays_open = "settled" in fails
    assert (await world.starts.open(KEY) is not None) is stays_open
    assert await fetched(world.process()) == FOUND
    assert world.apify.starts == (1 if stays_open else 2)


class Slow(StartStore):
    """Journals a start and is a while about it."""

    def __init__(self, world: World) -> None:
        super().__init__(world.database, world.clock.now)
        self.reached = asyncio.Event()

    async def intend(self, start: Start) -> bool:
        """Store it."""
        done = await super().intend(start)
        self.reached.set()
        await asyncio.Event().wait()
        return done


async def test_a_cancel_before_the_request(world: World) -> None:
    """Nothing is asked for, and nothing stays open."""
    starts = Slow(world)
    task = asyncio.create_task(fetched(world.process(starts)))
    await starts.reached.wait()
    task.cancel()
    await asyncio.wait({task})
    assert task.cancelled()
    assert not world.apify.requests
    assert await world.starts.open(KEY) is None


# --- money --------------------------------------------------------------------------------------


@dataclass
class Book:
    """A Ledger in memory, which may be spent, or out."""

    spent: bool = False
    out: set[str] = field(default_factory=set)
    intended: list[tuple[str, float]] = field(default_factory=list)
    settled: list[tuple[str, float]] = field(default_factory=list)

    async def intend(self, mark: str, usd: float) -> None:
        """Hold the money."""
        if self.spent:
            raise BudgetSpent
        if "intend" in self.out:
            raise StoreError("ledger: it is out")
        self.intended.append((mark, usd))

    async def settle(self, mark: str, usd: float) -> None:
        """Charge it."""
        if "settle" in self.out:
            raise StoreError("ledger: it is out")
        self.settled.append((mark, usd))


async def test_the_ledger_knows_the_most_then_the_cost(world: World) -> None:
    """Under the mark that stands in the run's input."""
    account = Spending(ledger=(book := Book()))
    assert await fetched(world.process(), account) == FOUND
    (run,) = world.apify.runs
    assert isinstance(run.input, dict)
    mark = run.input[START_MARK]
    assert (book.intended, book.settled) == ([(mark, 0.4)], [(mark, 0.01)])
    assert account.usd == 0.01


async def test_a_budget_that_is_used_up(world: World) -> None:
    """Nothing is started, nothing stays open, and it says nothing of Apify."""
    with pytest.raises(SourceFailed) as caught:
        await fetched(world.process(), Spending(ledger=Book(spent=True)))
    assert str(caught.value) == f"apify:{NAME}: this scout's Apify budget is used up"
    assert caught.value.fault is CALLERS
    assert not world.apify.requests
    assert await world.starts.open(KEY) is None


async def test_a_ledger_that_is_out(world: World) -> None:
    """As with the journal: no start, and its own error."""
    with pytest.raises(StoreError, match="ledger: it is out"):
        await fetched(world.process(), Spending(ledger=Book(out={"intend"})))
    assert not world.apify.requests
    assert await world.starts.open(KEY) is None


async def test_a_start_in_doubt_is_settled_when_it_is_known(world: World) -> None:
    """Not as 0 before."""
    account = Spending(ledger=(book := Book()))
    world.actor.lose_answer()
    with pytest.raises(SourceFailed):
        await fetched(world.process(), account)
    assert (book.settled, account.usd) == ([], 0.0)
    assert await fetched(world.process(), account) == FOUND
    ((mark, most),) = book.intended
    assert (most, book.settled, account.usd) == (0.4, [(mark, 0.01)], 0.01)


async def test_what_the_ledger_could_not_be_told_is_told_later(world: World) -> None:
    """The results are used meanwhile, and the run is charged once."""
    account = Spending(ledger=(book := Book(out={"settle"})))
    assert await fetched(world.process(), account) == FOUND
    assert await world.starts.open(KEY) is not None
    book.out.clear()
    assert await fetched(world.process(), account) == FOUND
    assert (world.apify.starts, len(book.settled), account.usd) == (1, 1, 0.01)


async def test_a_mark_is_charged_once() -> None:
    """However often it is told; without a payer nothing happens."""
    await intend("m", 1.0)
    await settle("m", 1.0)
    with paid_by(account := Spending()):
        await intend("m", 1.0)
        for _ in range(2):
            await settle("m", 0.25)
        charge(0.5)
    assert account.usd == 0.75
