"""Pausing an agent: what is under way goes on, nothing of it begins, cancels and limits hold."""

import asyncio

from resilience.saga import EventType, Gate, Limits, RunStatus
from tests.fakes.clock import FixedClock
from tests.fakes.saga_clock import settle
from tests.unit.saga.stage import RUN, Stage, hangs


async def test_a_paused_agents_step_waits(stage: Stage) -> None:
    """The step before it is done; resumed, the run goes on to its end."""
    gate = stage.gate
    gate.pause("match-agent")
    run = await stage.launch(stage.step("discover"), stage.step("match"))
    await settle()
    assert stage.happened == ["discover"]
    assert gate.waiting == {"match-agent": 1}
    assert gate.paused == {"match-agent"}
    gate.pause("match-agent")  # twice is once
    gate.resume("match-agent")
    gate.resume("match-agent")
    assert (await run).status is RunStatus.COMPLETED
    assert stage.happened == ["discover", "match"]
    assert gate.waiting == {}


async def test_a_new_run_of_a_paused_agent_stays_queued(stage: Stage) -> None:
    """Its time does not begin, and runs of other agents pass it."""
    gate = stage.gate
    gate.pause("discover-agent")
    run = await stage.launch(stage.step("discover"), new=True)
    other = await stage.launch(stage.step("ask"), run_id="run-2", new=True)
    assert (await other).status is RunStatus.COMPLETED
    assert [event.type for event in await stage.journal.events(RUN)] == [EventType.RUN_QUEUED]
    gate.resume("discover-agent")
    assert (await run).status is RunStatus.COMPLETED


async def test_a_run_that_waits_can_be_cancelled(stage: Stage) -> None:
    """At the gate, and in the queue before it."""
    gate = stage.gate
    gate.pause("match-agent")
    gate.pause("discover-agent")
    queued = await stage.launch(stage.step("discover"), run_id="run-2", new=True)
    waiting = await stage.launch(stage.step("match"))
    await settle()
    for run_id, run in ((RUN, waiting), ("run-2", queued)):
        assert await stage.orchestrator.cancel(run_id)
        assert (await run).status is RunStatus.CANCELLED
    assert stage.happened == []


async def test_a_pause_does_not_outlast_the_runs_time(stage: Stage) -> None:
    """A run that had begun ends at its timeout, undone."""
    gate = stage.gate
    stage.limits = Limits(timeout_s=60)
    gate.pause("match-agent")
    run = await stage.launch(stage.step("discover"), stage.step("match"))
    await stage.clock.until_done(run)
    end = await run
    assert (end.status, end.error_type) == (RunStatus.FAILED, "workflow-timeout")
    assert stage.happened == ["discover", "undo discover"]


async def test_paused_again_at_once_it_waits_on(stage: Stage) -> None:
    """Who is woken looks again."""
    gate = stage.gate
    gate.pause("match-agent")
    run = await stage.launch(stage.step("match"))
    await settle()
    gate.resume("match-agent")
    gate.pause("match-agent")
    await settle()
    assert stage.happened == []
    gate.resume("match-agent")
    assert (await run).status is RunStatus.COMPLETED


async def test_draining_gives_no_more_turns(stage: Stage) -> None:
    """What is under way ends, what waits stays journaled; with nothing under way it is done."""
    gate = stage.gate
    gate.pause("match-agent")
    run = await stage.launch(stage.step("match"))
    await settle()
    assert stage.orchestrator.executing == 1
    draining = asyncio.ensure_future(stage.orchestrator.drain())
    await settle()
    await stage.launch(stage.step("discover"), run_id="run-2", new=True)
    gate.resume("match-agent")
    await draining
    assert (await run).status is RunStatus.COMPLETED
    assert stage.orchestrator.executing == 0
    assert [event.type for event in await stage.journal.events("run-2")] == [EventType.RUN_QUEUED]
    await stage.orchestrator.drain()


async def test_a_paused_run_holds_up_nobodys_place(stage: Stage) -> None:
    """Who comes after it is not told to wait for it."""
    stage.gate.pause("match-agent")
    await stage.launch(stage.step("match"), run_id="paused", new=True)
    working = [
        await stage.launch(stage.step("discover", hangs), run_id=f"w-{n}", new=True)
        for n in range(stage.runs_max)
    ]
    await settle()
    await stage.launch(stage.step("discover"), run_id="next", new=True)
    assert stage.orchestrator.position("w-0") == 0
    assert stage.orchestrator.position("next") == 1
    assert stage.orchestrator.position("paused") == 1
    assert stage.orchestrator.held_by("paused") == "match-agent"
    assert stage.orchestrator.held_by("next") is None
    assert stage.orchestrator.held_by("nosuch") is None
    assert not any(run.done() for run in working)


async def test_it_says_since_when_runs_wait() -> None:
    """The first of them; those that come later wait less, and when none waits it says nothing."""
    clock = FixedClock()
    gate = Gate(clock.now)
    gate.pause("matching")
    waiting = [asyncio.ensure_future(gate.passed("matching"))]
    await settle()
    first = clock.now()
    clock.advance(60)
    waiting.append(asyncio.ensure_future(gate.passed("matching")))
    await settle()
    assert (gate.waiting, gate.waiting_since) == ({"matching": 2}, {"matching": first})
    gate.resume("matching")
    await asyncio.gather(*waiting)
    assert gate.waiting_since == {}
