"""Work that several wait for: one flight, whoever asks."""

import asyncio

import pytest

from cache.single_flight import SingleFlight


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
