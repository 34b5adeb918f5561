"""The deadline that travels: into calls and tasks, never later than the one outside."""

import asyncio
import math

import pytest

from resilience.deadline import deadline, no_deadline
from tests.fakes.clock import FixedClock


def left(clock: FixedClock) -> float:
    """What a function deep down sees."""
    return max(0.0, deadline(math.inf, clock.monotonic).until - clock.monotonic())


def test_without_a_deadline_there_is_no_end_of_time() -> None:
    """Nobody said when, so it is never."""
    assert left(FixedClock()) == math.inf


def test_time_runs_out_and_not_below_nothing() -> None:
    """What is left shrinks with the clock, down to 0."""
    clock = FixedClock()
    clock.advance(1_000)
    with deadline(30, clock.monotonic):
        assert left(clock) == 30
        clock.advance(29)
        assert left(clock) == 1
        clock.advance(1)
        assert left(clock) == 0
        clock.advance(1)
        assert left(clock) == 0


def test_it_travels_through_calls() -> None:
    """Nobody in between has to pass it on."""
    clock = FixedClock()

    def outer() -> float:
        with deadline(30, clock.monotonic):
            clock.advance(10)
            return inner()

    def inner() -> float:
        with deadline(60, clock.monotonic):
            return left(clock)

    assert outer() == 20


async def test_it_travels_into_tasks_and_not_out_of_them() -> None:
    """A task has its maker's deadline, and keeps its own to itself."""
    clock = FixedClock()

    async def work(seconds: float) -> float:
        with deadline(seconds, clock.monotonic):
            await asyncio.sleep(0)
            return left(clock)

    with deadline(30, clock.monotonic):
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(work(seconds)) for seconds in (10, 20, 60)]
        assert [task.result() for task in tasks] == [10, 20, 30]
        assert left(clock) == 30


async def test_a_task_made_before_does_not_have_it() -> None:
    """What others started is not cut by who joins later; what is started outlives the block."""
    clock = FixedClock()
    go = asyncio.Event()

    async def work() -> float:
        await go.wait()
        return left(clock)

    before = asyncio.create_task(work())
    with deadline(30, clock.monotonic):
        within = asyncio.create_task(work())
    go.set()
    assert (await before, await within) == (math.inf, 30)


@pytest.mark.parametrize(("inner", "expected"), [(10, 10), (30, 30), (60, 30), (math.inf, 30)])
def test_an_inner_one_can_only_be_sooner(inner: float, expected: float) -> None:
    """More time than there is is not to be had."""
    clock = FixedClock()
    with deadline(30, clock.monotonic), deadline(inner, clock.monotonic) as travelling:
        assert left(clock) == expected
        assert travelling.until == expected


def test_at_the_end_the_outer_one_holds_again() -> None:
    """Level by level, also when an error ends the block."""
    clock = FixedClock()
    with deadline(30, clock.monotonic):
        with pytest.raises(KeyError), deadline(10, clock.monotonic):
            raise KeyError
        assert left(clock) == 30
        with deadline(0, clock.monotonic):
            assert left(clock) == 0
        assert left(clock) == 30
    assert left(clock) == math.inf


async def test_shared_work_is_not_cut_by_who_started_it() -> None:
    """Within no_deadline there is none, in tasks made there too; after it, the outer one."""
    clock = FixedClock()

    async def shared() -> float:
        return left(clock)

    with deadline(30, clock.monotonic):
        with no_deadline():
            task = asyncio.create_task(shared())
            with deadline(60, clock.monotonic):
                assert left(clock) == 60
        assert left(clock) == 30
        assert await task == math.inf


@pytest.mark.parametrize("wrong", [-0.001, -math.inf, math.nan])
def test_a_time_that_is_none_is_refused(wrong: float) -> None:
    """Before anything is set."""
    clock = FixedClock()
    with pytest.raises(ValueError, match=r"^seconds: .*, must be 0 or more"):
        deadline(wrong, clock.monotonic)
    assert left(clock) == math.inf
