"""The bulkhead against plain lists, whatever comes in whatever order.

The lists know of asyncio only that what is made ready runs later, in the order of becoming ready.
"""

import asyncio
from collections import deque
from dataclasses import dataclass, field

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from resilience.bulkhead import Bulkhead, BulkheadPolicy, Priority
from resilience.errors import BulkheadFull

# Chance decides what is run: the other tests cover the lines.
pytestmark = pytest.mark.unmeasured

LIMIT, QUEUE_MAX = 3, 4


@dataclass(eq=False)
class Worker:
    """One who comes, and how far it is: coming, waiting, given, displaced, or how it ended."""

    priority: Priority
    task: asyncio.Task[None]
    state: str = "coming"
    cancelled: bool = False

    @property
    def ended(self) -> str:
        """What became of the task."""
        if not self.task.done():
            return "not yet"
        if self.task.cancelled():
            return "cancelled"
        return "refused" if isinstance(self.task.exception(), BulkheadFull) else "at work"


@dataclass
class Lists:
    """Those with a place (given, too), those in the queue, and those whose turn is next."""

    in_flight: int = 0
    withheld: int = 0
    queue: list[Worker] = field(default_factory=list)
    ready: deque[Worker] = field(default_factory=deque)

    def cancel(self, worker: Worker) -> None:
        if worker.state == "waiting" and not worker.cancelled:
            self.ready.append(worker)
        worker.cancelled = True

    def release(self) -> None:
        self.in_flight -= 1
        self.admit()

    def admit(self) -> None:
        while self.queue and self.in_flight < LIMIT - self.withheld:
            first = min(self.queue, key=lambda worker: worker.priority)
            self.queue.remove(first)
            if not first.cancelled:
                self.in_flight += 1
                first.state = "given"
                self.ready.append(first)

    def run(self) -> None:
        while self.ready:
            self._turn(self.ready.popleft())

    def _turn(self, worker: Worker) -> None:
        if worker.cancelled:
            if worker in self.queue:
                self.queue.remove(worker)
            if worker.state == "given":
                self.release()
            worker.state = "cancelled"
        elif worker.state == "coming":
            self._come(worker)
        else:
            worker.state = {"given": "at work", "displaced": "refused"}[worker.state]

    def _come(self, worker: Worker) -> None:
        if not self.queue and self.in_flight < LIMIT - self.withheld:
            self.in_flight += 1
            worker.state = "at work"
            return
        if len(self.queue) >= QUEUE_MAX:
            last = max(reversed(self.queue), key=lambda other: other.priority)
            if last.priority <= worker.priority:
                worker.state = "refused"
                return
            self.queue.remove(last)
            if not last.cancelled:
                last.state = "displaced"
                self.ready.append(last)
        worker.state = "waiting"
        self.queue.append(worker)


class Bulkheads(RuleBasedStateMachine):
    """A bulkhead on an event loop that runs only by its rule, and the lists."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.complaints: list[object] = []
        self.loop.set_exception_handler(lambda _, context: self.complaints.append(context))
        self.bulkhead = Bulkhead("feeds", BulkheadPolicy(limit=LIMIT, queue_max=QUEUE_MAX))
        self.lists = Lists()
        self.workers: list[Worker] = []
        self.given_back = 0

    @rule(priority=st.sampled_from(Priority))
    def acquire(self, priority: Priority) -> None:
        worker = Worker(priority, self.loop.create_task(self.bulkhead.acquire(priority)))
        self.workers.append(worker)
        self.lists.ready.append(worker)

    @precondition(lambda self: self.at_work > self.given_back)
    @rule()
    def release(self) -> None:
        self.given_back += 1
        self.bulkhead.release()
        self.lists.release()

    @precondition(lambda self: self.unfinished)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        worker = data.draw(st.sampled_from(self.unfinished))
        worker.task.cancel()
        self.lists.cancel(worker)

    @rule(places=st.integers(0, LIMIT + 1))
    def withhold(self, places: int) -> None:
        self.bulkhead.withhold(places)
        self.lists.withheld = min(places, LIMIT - 1)
        self.lists.admit()

    @rule()
    def run_until_idle(self) -> None:
        self.lists.run()
        for _ in range(3 * len(self.workers) + 3):
            self.loop.run_until_complete(asyncio.sleep(0))
        for worker in self.workers:
            told = "not yet" if worker.state == "waiting" else worker.state
            assert worker.ended == told

    @invariant()
    def the_numbers_are_the_same(self) -> None:
        assert self.bulkhead.in_flight == self.lists.in_flight <= LIMIT
        assert self.bulkhead.waiting == len(self.lists.queue) <= QUEUE_MAX

    def teardown(self) -> None:
        """Cancel who waits and give back what is held: then all places can be had."""
        for worker in self.unfinished:
            worker.task.cancel()
            self.lists.cancel(worker)
        self.run_until_idle()
        self.withhold(0)
        while self.at_work > self.given_back:
            self.release()
        assert [self.bulkhead.try_acquire() for _ in range(LIMIT + 1)] == [True] * LIMIT + [False]
        self.loop.close()
        assert self.complaints == []

    @property
    def at_work(self) -> int:
        """How many were let in so far and know it."""
        return sum(worker.state == "at work" for worker in self.workers)

    @property
    def unfinished(self) -> list[Worker]:
        """Whoever can be cancelled."""
        return [worker for worker in self.workers if not worker.task.done()]


class TestBulkheads(Bulkheads.TestCase):  # type: ignore[misc, valid-type]
    """Whatever is done in whatever order, bulkhead and lists agree."""

    settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
