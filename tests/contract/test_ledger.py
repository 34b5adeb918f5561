"""What happens to runs, append-only: the same on SQLite and on PostgreSQL."""

import asyncio
from datetime import timedelta

import pytest
import sqlalchemy as sa

from agents.store.codec import REQUEST as REQUEST_BODY
from agents.store.schema import runs, team_tokens
from resilience.saga import EventType, IllegalTransition, JsonValue, LeaseLost, Part, RunStatus
from tests.contract.conftest import Stores
from tests.contract.given import REQUEST, a_run, through
from tests.fakes.clock import NOON


async def test_a_new_run_is_queued(stores: Stores) -> None:
    """Its row, its first event and what was asked are there."""
    run_id = await a_run(stores)

    row = await stores.runs.get(run_id)
    assert row is not None
    assert (row.status, row.user_id, row.config) == (RunStatus.QUEUED, "nobody", "scout@1")
    assert (row.created_at, row.ended_at, row.error_type) == (NOON, None, None)
    assert [(e.seq, e.type, e.at) for e in await stores.ledger.events(run_id)] == [
        (1, EventType.RUN_QUEUED, NOON)
    ]
    assert await stores.runs.text(run_id, "request") == REQUEST_BODY.dump_json(REQUEST).decode()


async def test_an_append_is_stored_with_the_status_it_leads_to(stores: Stores) -> None:
    """The event comes back as it is stored, numbered after the one before."""
    run_id = await a_run(stores)
    await through(stores, run_id, EventType.RUN_STARTED)
    data: dict[str, JsonValue] = {"step": "match", "kept": 3, "share": 0.5, "ok": True}
    data |= {"none": None, "of": ["a", "b"]}
    stores.clock.advance(1.0)
    event = await stores.ledger.append(run_id, EventType.STEP_PROGRESS, data)

    assert (event.seq, event.at, event.data) == (3, NOON + timedelta(seconds=2), data)
    assert (await stores.ledger.events(run_id))[-1] == event
    row = await stores.runs.get(run_id)
    assert row is not None
    assert row.status is RunStatus.RUNNING


@pytest.mark.parametrize(
    ("closing", "status"),
    [
        (EventType.RUN_COMPLETED, RunStatus.COMPLETED),
        (EventType.RUN_FAILED, RunStatus.FAILED),
        (EventType.RUN_CANCELLED, RunStatus.CANCELLED),
    ],
)
async def test_a_closing_event_closes_the_row(
    stores: Stores, closing: EventType, status: RunStatus
) -> None:
    """The row says when it ended, and why if it did not complete."""
    run_id = await a_run(stores)
    await through(stores, run_id, EventType.RUN_STARTED)
    error = None if closing is EventType.RUN_COMPLETED else "step-timeout"
    await stores.ledger.append(run_id, closing, {"error": error} if error else None)

    row = await stores.runs.get(run_id)
    assert row is not None
    assert (row.status, row.error_type) == (status, error)
    assert row.ended_at == NOON + timedelta(seconds=1)


@pytest.mark.parametrize("event", [EventType.RUN_COMPLETED, EventType.STEP_STARTED])
async def test_an_event_that_cannot_happen_is_not_stored(stores: Stores, event: EventType) -> None:
    """The append raises, and row and events are as before."""
    run_id = await a_run(stores)
    before = await stores.runs.get(run_id), await stores.ledger.events(run_id)
    with pytest.raises(IllegalTransition) as refused:
        await stores.ledger.append(run_id, event)

    assert refused.value.status is RunStatus.QUEUED
    assert (await stores.runs.get(run_id), await stores.ledger.events(run_id)) == before
    assert (await stores.ledger.append(run_id, EventType.RUN_STARTED)).seq == 2


async def test_nothing_happens_to_a_run_that_is_not_there(stores: Stores) -> None:
    """No row, no events, no append."""
    with pytest.raises(IllegalTransition, match="not there"):
        await stores.ledger.append("nothing", EventType.RUN_STARTED)

    assert await stores.runs.get("nothing") is None
    assert await stores.ledger.events("nothing") == []
    assert await stores.runs.text("nothing", "request") is None
    assert await stores.runs.message("nothing") is None


async def test_concurrent_appends_are_numbered_without_gaps(stores: Stores) -> None:
    """Whoever comes first, each gets a number of its own and none is left out."""
    run_id = await a_run(stores)
    await through(stores, run_id, EventType.RUN_STARTED)
    appended = await asyncio.gather(
        *(stores.ledger.append(run_id, EventType.STEP_PROGRESS, {"n": n}) for n in range(20))
    )

    events = await stores.ledger.events(run_id)
    assert [e.seq for e in events] == list(range(1, 23))
    assert sorted(appended, key=lambda e: e.seq) == events[2:]


async def test_of_two_closings_at_once_one_is_refused(stores: Stores) -> None:
    """Completed and cancelled at the same moment: the first one stands."""
    run_id = await a_run(stores)
    await through(stores, run_id, EventType.RUN_STARTED)
    ends = await asyncio.gather(
        stores.ledger.append(run_id, EventType.RUN_COMPLETED),
        stores.ledger.append(run_id, EventType.RUN_CANCELLED),
        return_exceptions=True,
    )

    assert sum(isinstance(end, IllegalTransition) for end in ends) == 1
    assert len(await stores.ledger.events(run_id)) == 3


# --- the fence, and when it happened --------------------------------------------------------------


async def standing_of(stores: Stores, run_id: str) -> tuple[object, ...]:
    """Everything that an append could change."""
    async with stores.database.read() as connection:
        row = (await connection.execute(sa.select(runs).where(runs.c.id == run_id))).one()
        used = (await connection.execute(sa.select(team_tokens))).all()
    events, parts = await stores.ledger.events(run_id), await stores.ledger.parts(run_id)
    return tuple(row), tuple(used), events, parts


async def test_an_append_with_the_present_fence_is_stored(stores: Stores) -> None:
    """Who has claimed the run writes what happens to it; without a fence anybody may."""
    run_id = await a_run(stores)
    fence = await stores.ledger.claim(run_id)
    started = await stores.ledger.append(run_id, EventType.RUN_STARTED, fence=fence)
    cancelling = await stores.elsewhere().append(run_id, EventType.RUN_CANCELLING)

    assert fence == 1
    assert await stores.ledger.events_after(run_id, 1) == [started, cancelling]


@pytest.mark.parametrize("closing", [False, True])
async def test_an_append_with_another_fence_stores_nothing(stores: Stores, closing: bool) -> None:
    """Another process has the run now: no event, no part, no tokens, no move, not even an end."""
    run_id = await a_run(stores, team="team-a")
    await stores.ledger.claim(run_id)
    await stores.ledger.append(run_id, EventType.RUN_STARTED, fence=1)
    assert await stores.ledger.claim(run_id) == 2
    before = await standing_of(stores, run_id)
    event = EventType.RUN_COMPLETED if closing else EventType.STEP_PROGRESS
    for fence in (0, 1, 3):
        with pytest.raises(LeaseLost):
            await stores.ledger.append(
                run_id,
                event,
                {"tokens": 7, "settled": True},
                fence=fence,
                part=Part(step="discover", body="{}"),
            )

    assert await standing_of(stores, run_id) == before
    assert (await stores.ledger.append(run_id, event, fence=2)).seq == 3


async def test_an_event_may_have_happened_earlier(stores: Stores) -> None:
    """What waited for the database is stored with the instant at which it happened."""
    run_id = await a_run(stores)
    stores.clock.advance(90.0)
    happened = NOON + timedelta(seconds=5)
    started = await stores.ledger.append(run_id, EventType.RUN_STARTED, at=happened)
    ended = await stores.ledger.append(run_id, EventType.RUN_FAILED, at=happened)

    assert (started.at, ended.at) == (happened, happened)
    assert [e.at for e in await stores.ledger.events(run_id)] == [NOON, happened, happened]
    row = await stores.runs.get(run_id)
    assert row is not None
    assert row.ended_at == happened


async def test_events_are_read_from_any_place(stores: Stores) -> None:
    """After a number, as many as are asked for; after the last one there are none."""
    run_id = await a_run(stores)
    await through(stores, run_id, EventType.RUN_STARTED, *[EventType.STEP_PROGRESS] * 4)
    events = await stores.ledger.events(run_id)

    assert await stores.ledger.events_after(run_id, 0) == events
    assert await stores.ledger.events_after(run_id, 2, limit=3) == events[2:5]
    assert await stores.ledger.events_after(run_id, 6) == []


# --- what steps made ------------------------------------------------------------------------------


async def with_parts(stores: Stores) -> str:
    """A running run with the parts of two steps."""
    run_id = await a_run(stores)
    await through(stores, run_id, EventType.RUN_STARTED)
    for step in ("discover", "match"):
        part = Part(step=step, body=f'{{"of": "{step}"}}')
        await stores.ledger.append(run_id, EventType.STEP_COMPLETED, {"step": step}, part=part)
    return run_id


async def test_a_part_is_stored_with_its_event(stores: Stores) -> None:
    """By step; a step that is done again replaces what it made; another run has its own."""
    run_id = await with_parts(stores)
    await a_run(stores, run_id="run-2")
    kept = {"discover": '{"of": "discover"}', "match": '{"of": "match"}'}
    assert await stores.ledger.parts(run_id) == kept
    assert await stores.ledger.parts("run-2") == {}
    again = Part(step="match", body="newer")
    await stores.ledger.append(run_id, EventType.STEP_COMPLETED, {"step": "match"}, part=again)
    assert await stores.ledger.parts(run_id) == kept | {"match": "newer"}


async def test_a_part_of_an_event_that_cannot_happen_is_not_stored(stores: Stores) -> None:
    """The two are stored together or not at all."""
    run_id = await a_run(stores)
    part = Part(step="discover", body="{}")
    with pytest.raises(IllegalTransition):
        await stores.ledger.append(run_id, EventType.STEP_COMPLETED, part=part)

    assert await stores.ledger.parts(run_id) == {}


@pytest.mark.parametrize(
    "end", [EventType.RUN_COMPLETED, EventType.RUN_FAILED, EventType.RUN_CANCELLED]
)
async def test_an_end_takes_the_parts_away(stores: Stores, end: EventType) -> None:
    """Nobody takes the run up any more."""
    run_id = await with_parts(stores)
    await through(stores, run_id, end)

    assert await stores.ledger.parts(run_id) == {}


async def test_a_parked_run_keeps_its_parts(stores: Stores) -> None:
    """Its undo is tried again, which may need them; at the end after that they go."""
    run_id = await with_parts(stores)
    await through(stores, run_id, EventType.RUN_COMPENSATING, EventType.RUN_PARKED)
    assert len(await stores.ledger.parts(run_id)) == 2
    await through(stores, run_id, EventType.RUN_COMPENSATING, EventType.RUN_COMPENSATED)
    assert await stores.ledger.parts(run_id) == {}


# --- a run that is to stop ------------------------------------------------------------------------


@pytest.mark.parametrize("event", [EventType.STEP_STARTED, EventType.RUN_COMPLETED])
@pytest.mark.parametrize("cause", [EventType.RUN_CANCELLING, EventType.STEP_FAILED])
async def test_nothing_goes_forward_in_a_run_that_is_to_stop(
    stores: Stores, cause: EventType, event: EventType
) -> None:
    """After a cancel or a failed step, whoever tries: refused, and nothing is stored."""
    run_id = await a_run(stores)
    await through(stores, run_id, EventType.RUN_STARTED, cause)
    before = await standing_of(stores, run_id)
    for ledger in (stores.ledger, stores.elsewhere()):
        with pytest.raises(IllegalTransition, match="stopping"):
            await ledger.append(run_id, event)

    assert await standing_of(stores, run_id) == before
    await through(stores, run_id, EventType.STEP_PROGRESS, EventType.RUN_CANCELLED)


async def test_a_run_cancelled_in_the_queue_does_not_start(stores: Stores) -> None:
    """It can only end."""
    run_id = await a_run(stores)
    await through(stores, run_id, EventType.RUN_CANCELLING)
    with pytest.raises(IllegalTransition, match="stopping"):
        await stores.ledger.append(run_id, EventType.RUN_STARTED)
    await through(stores, run_id, EventType.RUN_CANCELLED)


async def test_a_cancel_and_a_completion_at_once_agree(stores: Stores) -> None:
    """Whichever is stored first: a run that was to stop is not completed."""
    run_ids = [await a_run(stores, run_id=f"run-{n}") for n in range(10)]
    for run_id in run_ids:
        await through(stores, run_id, EventType.RUN_STARTED)
    elsewhere = stores.elsewhere()
    ends = await asyncio.gather(
        *(stores.ledger.append(run_id, EventType.RUN_COMPLETED) for run_id in run_ids),
        *(elsewhere.append(run_id, EventType.RUN_CANCELLING) for run_id in run_ids),
        return_exceptions=True,
    )

    for completed, cancelling in zip(ends[:10], ends[10:], strict=True):
        assert isinstance(completed, IllegalTransition) != isinstance(cancelling, IllegalTransition)


# --- many at once ---------------------------------------------------------------------------------


async def test_fifty_appends_at_once_to_several_runs_leave_no_gap(stores: Stores) -> None:
    """Each run is numbered by itself, in the order in which its events were answered."""
    run_ids = [await a_run(stores, run_id=f"run-{n}") for n in range(5)]
    for run_id in run_ids:
        await through(stores, run_id, EventType.RUN_STARTED)
    ledgers = (stores.ledger, stores.elsewhere())
    appended = await asyncio.gather(
        *(
            ledgers[n % 2].append(run_ids[n % 5], EventType.STEP_PROGRESS, {"n": n})
            for n in range(50)
        )
    )

    for number, run_id in enumerate(run_ids):
        events = await stores.ledger.events(run_id)
        assert [e.seq for e in events] == list(range(1, 13))
        mine = sorted(appended[number::5], key=lambda e: e.seq)
        assert events[2:] == mine


async def test_a_refused_append_does_not_break_those_beside_it(stores: Stores) -> None:
    """Writers at the same moment share a commit, not each other's refusals."""
    run_ids = [await a_run(stores, run_id=f"run-{n}") for n in range(10)]
    events = [EventType.RUN_STARTED, EventType.RUN_COMPLETED] * 5  # the latter can't happen yet
    answers = await asyncio.gather(
        *(stores.ledger.append(*one) for one in zip(run_ids, events, strict=True)),
        stores.ledger.append("nothing", EventType.RUN_STARTED),
        return_exceptions=True,
    )

    refused = [isinstance(answer, IllegalTransition) for answer in answers]
    assert refused == [False, True] * 5 + [True]
    for run_id, no in zip(run_ids, refused, strict=False):
        row = await stores.runs.get(run_id)
        assert row is not None
        assert row.last_seq == (1 if no else 2)
