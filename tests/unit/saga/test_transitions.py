"""The table of transitions: what can happen to a run, and when."""

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resilience.saga import (
    CLOSING,
    EventType,
    IllegalTransition,
    RunStatus,
    Standing,
    next_status,
)

ALLOWED: dict[RunStatus | None, str] = {
    None: "run.queued",
    RunStatus.QUEUED: "run.started run.cancelling run.cancelled run.failed",
    RunStatus.RUNNING: (
        "run.resumed step.started step.progress step.retried step.degraded step.completed "
        "step.failed run.cancelling "
        "run.compensating run.completed run.failed run.cancelled"
    ),
    RunStatus.COMPENSATING: (
        "run.resumed step.progress step.compensated "
        "run.compensated run.failed run.cancelled run.parked"
    ),
    RunStatus.PARKED: "run.compensating",
}
"""What may happen in each status, written down a second time."""

LEADS_TO = {
    "run.queued": RunStatus.QUEUED,
    "run.started": RunStatus.RUNNING,
    "run.compensating": RunStatus.COMPENSATING,
    "run.completed": RunStatus.COMPLETED,
    "run.compensated": RunStatus.COMPENSATED,
    "run.failed": RunStatus.FAILED,
    "run.cancelled": RunStatus.CANCELLED,
    "run.parked": RunStatus.PARKED,
}
"""Where the events that move a run lead; the others leave it where it is."""

EVERY_STATUS: tuple[RunStatus | None, ...] = (None, *RunStatus)


def _pairs(*, allowed: bool) -> Iterator[tuple[RunStatus | None, EventType]]:
    for status in EVERY_STATUS:
        for event in EventType:
            if (event in ALLOWED.get(status, "").split()) is allowed:
                yield status, event


@pytest.mark.parametrize(("status", "event"), list(_pairs(allowed=True)))
def test_an_allowed_event_leads_where_its_name_says(
    status: RunStatus | None, event: EventType
) -> None:
    """An event that moves a run leads to its own status, any other leaves the run where it is."""
    assert next_status(status, event) == LEADS_TO.get(event.value, status)


@pytest.mark.parametrize(("status", "event"), list(_pairs(allowed=False)))
def test_any_other_event_is_refused(status: RunStatus | None, event: EventType) -> None:
    """What the table does not list can't happen, and the refusal says to what it came."""
    with pytest.raises(IllegalTransition) as refused:
        next_status(status, event)
    assert refused.value.status is status
    assert refused.value.event is event
    assert event.value in str(refused.value)
    assert (status.value if status else "not there") in str(refused.value)


def test_every_closing_event_ends_a_run_that_is_under_way() -> None:
    """Each closing event is allowed while running or compensating, and leads to its status."""
    for event, closed in CLOSING.items():
        reached = {
            next_status(status, event)
            for status in (RunStatus.RUNNING, RunStatus.COMPENSATING)
            if event in ALLOWED[status].split()
        }
        assert reached == {closed}


@given(st.lists(st.sampled_from(EventType), max_size=30))
def test_an_ended_run_never_moves_again(events: list[EventType]) -> None:
    """Whatever is thrown at a run: once ended it stays so, but for the undo of a parked one."""
    status: RunStatus | None = None
    for event in (EventType.RUN_QUEUED, EventType.RUN_STARTED, *events):
        before = status
        try:
            status = next_status(status, event)
        except IllegalTransition:
            continue
        if before in CLOSING.values():
            assert (before, event) == (RunStatus.PARKED, EventType.RUN_COMPENSATING)


STOPS = {EventType.RUN_CANCELLING, EventType.STEP_FAILED, EventType.RUN_COMPENSATING}
NOT_WHEN_STOPPING = {EventType.STEP_STARTED, EventType.RUN_STARTED, EventType.RUN_COMPLETED}


@pytest.mark.parametrize(("status", "event"), list(_pairs(allowed=True)))
def test_a_standing_is_the_status_and_whether_it_stops(
    status: RunStatus | None, event: EventType
) -> None:
    """A cancel, a failure and an undo stop a run, whatever else leaves it as it was."""
    after = Standing(status).after(event)
    assert after == Standing(next_status(status, event), event in STOPS)


@pytest.mark.parametrize(("status", "event"), list(_pairs(allowed=True)))
def test_nothing_goes_forward_in_a_run_that_stops(
    status: RunStatus | None, event: EventType
) -> None:
    """It neither starts, nor starts a step, nor completes; and it never stops stopping."""
    standing = Standing(status, stopping=True)
    if event not in NOT_WHEN_STOPPING:
        assert standing.after(event) == Standing(next_status(status, event), stopping=True)
        return
    with pytest.raises(IllegalTransition, match="and stopping") as refused:
        standing.after(event)
    assert (refused.value.status, refused.value.event) == (status, event)


@pytest.mark.parametrize(("status", "event"), list(_pairs(allowed=False)))
def test_what_the_table_refuses_a_standing_refuses(
    status: RunStatus | None, event: EventType
) -> None:
    """Stopping allows nothing that the table does not."""
    for stopping in (False, True):
        with pytest.raises(IllegalTransition):
            Standing(status, stopping).after(event)
