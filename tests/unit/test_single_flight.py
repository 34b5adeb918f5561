"""Work that several wait for: one flight, whoever asks."""

import asyncio

import pytest

from cache.single_flight import PatienceOver, SingleFlight
from tests.fakes.saga_clock import settle
from tests.fakes.virtual_time import in_virtual_time

CANCEL_POINTS = 12


class Work:
    """Counts its beginnings and its ends by a cancel; waits at a gate."""

    def __init__(self, failure: Exception | None = None) -> None:
        self.begun = 0
        self.cancelled = 0
        self.undone = asyncio.Event()
        self.undone.set()
        self.started = asyncio.Event()
        self.gate = asyncio.Event()
        self.failure = failure

    async def __call__(self) -> int:
        """The number of this beginning."""
        self.begun += 1
        self.started.set()
        try:
            await self.gate.wait()
        except asyncio.CancelledError:
            await self.undone.wait()
            self.cancelled += 1
            raise
        if self.failure is not None:
            raise self.failure
        return self.begun


async def joined(shared: SingleFlight[int], work: Work, count: int) -> list[asyncio.Task[int]]:
    """That many callers, all of them waiting."""
    tasks = [asyncio.create_task(shared.join("key", work)) for _ in range(count)]
    await work.started.wait()
    await asyncio.sleep(0)
    return tasks


async def test_whoever_asks_meanwhile_gets_the_same_answer() -> None:
    """A hundred callers, one beginning, one answer."""
    work = Work()
    async with SingleFlight[int]() as shared:
        tasks = await joined(shared, work, 100)
        work.gate.set()
        answers = await asyncio.gather(*tasks)
    assert work.begun == 1
    assert set(answers) == {1}


async def test_another_key_is_other_work_and_a_later_caller_too() -> None:
    """Nothing is remembered once it is done."""
    work = Work()
    work.gate.set()
    async with SingleFlight[int]() as shared:
        both = await asyncio.gather(shared.join("a", work), shared.join("b", work))
        later = await shared.join("a", work)
    assert sorted(both) == [1, 2]
    assert later == 3


async def test_a_failure_reaches_all_who_wait() -> None:
    """And the next caller tries again."""
    work = Work(ValueError("it is down"))
    async with SingleFlight[int]() as shared:
        tasks = await joined(shared, work, 3)
        work.gate.set()
        failures = await asyncio.gather(*tasks, return_exceptions=True)
        assert [str(failure) for failure in failures] == ["it is down"] * 3
        with pytest.raises(ValueError, match="it is down"):
            await shared.join("key", work)
    assert work.begun == 2


async def test_one_of_several_leaves_and_the_work_goes_on() -> None:
    """The others get the answer."""
    work = Work()
    async with SingleFlight[int]() as shared:
        first, *others = await joined(shared, work, 3)
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        work.gate.set()
        assert await asyncio.gather(*others) == [1, 1]
    assert work.cancelled == 0


async def test_the_last_one_leaves_and_the_work_is_undone_first() -> None:
    """The cancel is raised when the work has ended, not before."""
    work = Work()
    work.undone.clear()
    async with SingleFlight[int]() as shared:
        tasks = await joined(shared, work, 2)
        for task in tasks:
            task.cancel()
        done, _ = await asyncio.wait(tasks, timeout=0.01)
        assert len(done) == 1
        work.undone.set()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert all(task.cancelled() for task in tasks)
    assert (work.begun, work.cancelled) == (1, 1)


async def test_who_asks_while_it_is_undone_gets_work_of_their_own() -> None:
    """Not the answer of a run that is being aborted."""
    work = Work()
    work.undone.clear()
    async with SingleFlight[int]() as shared:
        (task,) = await joined(shared, work, 1)
        task.cancel()
        await asyncio.sleep(0)
        later = asyncio.create_task(shared.join("key", work))
        work.undone.set()
        work.gate.set()
        assert await later == 2
        await asyncio.gather(task, return_exceptions=True)


async def test_patience_that_runs_out_leaves_the_work_running() -> None:
    """The next caller joins it, and may leave without ending it."""
    work = Work()
    async with SingleFlight[int]() as shared:
        with pytest.raises(TimeoutError):
            await shared.join("key", work, patience_s=0)
        await work.started.wait()
        (other,) = await joined(shared, work, 1)
        other.cancel()
        await asyncio.gather(other, return_exceptions=True)
        work.gate.set()
        assert await shared.join("key", work) == 1
    assert (work.begun, work.cancelled) == (1, 0)


async def test_what_nobody_waits_for_may_fail() -> None:
    """Its failure is not an accident of the event loop."""
    work = Work(ValueError("it is down"))
    async with SingleFlight[int]() as shared:
        with pytest.raises(TimeoutError):
            await shared.join("key", work, patience_s=0)
        work.gate.set()
        await work.started.wait()
        await asyncio.sleep(0)


async def test_leaving_ends_what_is_under_way() -> None:
    """And waits until it has been undone."""
    work = Work()
    async with SingleFlight[int]() as shared:
        with pytest.raises(TimeoutError):
            await shared.join("key", work, patience_s=0)
        await work.started.wait()
    assert work.cancelled == 1


@pytest.mark.parametrize("patience_s", [None, 5.0])
async def test_a_timeout_of_the_works_own_is_its_failure(patience_s: float | None) -> None:
    """It is not mistaken for the end of the caller's patience."""
    work = Work(TimeoutError("its own"))
    work.gate.set()
    async with SingleFlight[int]() as shared:
        with pytest.raises(TimeoutError, match="its own") as failure:
            await shared.join("key", work, patience_s=patience_s)
    assert not isinstance(failure.value, PatienceOver)


@in_virtual_time
async def test_patience_is_the_callers_own() -> None:
    """Each waits as long as it would, for the same work."""
    work = Work()
    loop = asyncio.get_running_loop()
    async with SingleFlight[int]() as shared:
        patient = asyncio.create_task(shared.join("key", work, patience_s=10))
        with pytest.raises(PatienceOver):
            await shared.join("key", work, patience_s=2)
        assert loop.time() == 2
        loop.call_later(3, work.gate.set)
        assert await patient == 1
        assert loop.time() == 5
    assert (work.begun, work.cancelled) == (1, 0)


@pytest.mark.parametrize("turns", range(CANCEL_POINTS))
@pytest.mark.parametrize("patience_s", [None, 0.0, 60.0])
@pytest.mark.parametrize("failure", [None, ValueError("it is down")])
async def test_a_cancel_at_any_point(
    turns: int, patience_s: float | None, failure: Exception | None
) -> None:
    """Is never swallowed, and leaves nothing behind."""
    work = Work(failure)
    work.gate.set()
    before = asyncio.all_tasks()
    async with SingleFlight[int]() as shared:
        task = asyncio.create_task(shared.join("key", work, patience_s=patience_s))
        for _ in range(turns):
            await asyncio.sleep(0)
        cancelled = task.cancel()
        await asyncio.wait({task})
        assert task.cancelled() == cancelled
        if not cancelled:
            task.exception()
        await settle()
        assert asyncio.all_tasks() == before
        work.failure = None
        assert await shared.join("key", work) == work.begun


async def test_a_second_cancel_does_not_wait_for_the_undoing() -> None:
    """Leaving does: what is being undone is not cut short, and not forgotten."""
    work = Work()
    work.undone.clear()
    async with SingleFlight[int]() as shared:
        (task,) = await joined(shared, work, 1)
        for _ in range(2):
            task.cancel()
            await settle()
        assert task.cancelled()
        assert work.cancelled == 0
        asyncio.get_running_loop().call_soon(work.undone.set)
    assert work.cancelled == 1
