"""The run's row is what its events say, whatever happened: on SQLite and on PostgreSQL."""

import asyncio

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agents.store.database import Database
from agents.store.schema import runs
from resilience.saga import (
    CLOSING,
    EventType,
    History,
    IllegalTransition,
    JsonValue,
    Standing,
)
from tests.contract.conftest import Stores
from tests.contract.given import a_run
from tests.fakes.clock import FixedClock

DATA: dict[EventType, dict[str, JsonValue]] = {
    EventType.STEP_STARTED: {"step": "match", "agent": "matching"},
    EventType.STEP_PROGRESS: {"step": "match", "effect": "llm", "settled": True, "tokens": 5},
    EventType.STEP_RETRIED: {"step": "match"},
    EventType.STEP_DEGRADED: {"step": "match", "what": "ranked without AI"},
    EventType.STEP_COMPLETED: {"step": "match", "handoff": True},
    EventType.STEP_FAILED: {"step": "match", "error": "step-failed"},
    EventType.STEP_COMPENSATED: {"step": "match", "undone": "5 scores removed"},
    EventType.RUN_COMPENSATING: {"error": "step-failed"},
    EventType.RUN_COMPENSATED: {"error": "step-failed"},
    EventType.RUN_FAILED: {"error": "workflow-timeout"},
    EventType.RUN_CANCELLED: {"error": "cancelled"},
    EventType.RUN_PARKED: {"error": "compensation-failed"},
}
BEGUN = (EventType.RUN_STARTED, EventType.STEP_STARTED)
PARKED = (*BEGUN, EventType.RUN_COMPENSATING, EventType.RUN_PARKED)
BEGINNINGS = st.sampled_from([(), BEGUN, PARKED, (*PARKED, EventType.RUN_COMPENSATING)])
RUN_EVENTS = [event for event in EventType if event.value.startswith("run.")]
LATER = st.lists(st.sampled_from(EventType), max_size=12)


async def what_happens(stores: Stores, run_id: str, events: list[EventType]) -> None:
    """Try the events one after the other: those are stored that the table of moves allows."""
    standing = Standing().after(EventType.RUN_QUEUED)
    for event in events:
        stores.clock.advance(1.0)
        try:
            standing = standing.after(event)
        except IllegalTransition:
            with pytest.raises(IllegalTransition):
                await stores.ledger.append(run_id, event, DATA.get(event))
        else:
            await stores.ledger.append(run_id, event, DATA.get(event))


async def compare(stores: Stores, run_id: str) -> None:
    """Fold the run's events and compare."""
    events = await stores.ledger.events(run_id)
    history = History.of(events)
    async with stores.database.read() as connection:
        row = (await connection.execute(sa.select(runs).where(runs.c.id == run_id))).one()
    assert [event.seq for event in events] == list(range(1, row.last_seq + 1))
    assert (row.status, row.stopping) == (history.status, history.standing.stopping)
    assert row.last_seq == history.last_seq
    last = events[-1]
    assert row.error_type == (last.data.get("error") if last.type in CLOSING else None)


@pytest.mark.parametrize("backend", ["sqlite", "postgresql"])
@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(beginning=BEGINNINGS, later=LATER)
async def test_the_events_replayed_are_the_row(
    migrated_address: str, beginning: tuple[EventType, ...], later: list[EventType]
) -> None:
    """Status, whether it is to stop, number, end and error: nothing in the row is not told."""
    started = [event for event in later if beginning or event in RUN_EVENTS]
    async with Database.open(migrated_address) as database:
        stores = Stores.over(database, FixedClock())
        runs_so_far = len(await stores.runs.newest(1_000))
        run_id = await a_run(stores, run_id=f"run-{runs_so_far}")
        await what_happens(stores, run_id, [*beginning, *started])
        await compare(stores, run_id)


async def test_a_run_that_is_tried_again_has_not_ended(stores: Stores) -> None:
    """Parked, it had ended with an error; its undo once more, it has neither."""
    run_id = await a_run(stores)
    await what_happens(stores, run_id, [*PARKED, EventType.RUN_COMPENSATING])
    await compare(stores, run_id)

    row = await stores.runs.get(run_id)
    assert row is not None
    assert (row.ended_at, row.error_type) == (None, None)


async def test_runs_at_once_are_what_their_events_say(stores: Stores) -> None:
    """Each by itself, however their commits fall together."""
    run_ids = [await a_run(stores, run_id=f"run-{n}") for n in range(6)]
    story = [*PARKED, EventType.RUN_COMPENSATING, EventType.RUN_CANCELLED]
    await asyncio.gather(
        *(what_happens(stores, run_id, story[: 2 + n]) for n, run_id in enumerate(run_ids))
    )
    for run_id in run_ids:
        await compare(stores, run_id)
