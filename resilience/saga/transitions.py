"""The one table that says which state a run is in after which event.

The journal applies it on every append, so an event that can't happen is never written.
"""

from enum import StrEnum


class RunStatus(StrEnum):
    """Where a run stands."""

    QUEUED = "queued"
    RUNNING = "running"
    COMPENSATING = "compensating"
    COMPLETED = "completed"
    COMPENSATED = "compensated"
    FAILED = "failed"
    CANCELLED = "cancelled"
    PARKED = "parked"


class EventType(StrEnum):
    """What can happen to a run."""

    RUN_QUEUED = "run.queued"
    RUN_STARTED = "run.started"
    RUN_RESUMED = "run.resumed"
    STEP_STARTED = "step.started"
    STEP_PROGRESS = "step.progress"
    STEP_COMPLETED = "step.completed"
    STEP_FAILED = "step.failed"
    RUN_CANCELLING = "run.cancelling"
    RUN_COMPENSATING = "run.compensating"
    STEP_COMPENSATED = "step.compensated"
    RUN_COMPLETED = "run.completed"
    RUN_COMPENSATED = "run.compensated"
    RUN_FAILED = "run.failed"
    RUN_CANCELLED = "run.cancelled"
    RUN_PARKED = "run.parked"


class IllegalTransition(Exception):  # noqa: N818 - it names the thing, as the field does
    """An event came that the run's status does not allow."""

    def __init__(self, status: "RunStatus | None", event: EventType) -> None:
        super().__init__(f"{event} cannot happen to a run that is {status or 'not there'}")
        self.status = status
        self.event = event


CLOSING: dict[EventType, RunStatus] = {
    EventType.RUN_COMPLETED: RunStatus.COMPLETED,
    EventType.RUN_COMPENSATED: RunStatus.COMPENSATED,
    EventType.RUN_FAILED: RunStatus.FAILED,
    EventType.RUN_CANCELLED: RunStatus.CANCELLED,
    EventType.RUN_PARKED: RunStatus.PARKED,
}

_STEPS = (
    EventType.STEP_STARTED,
    EventType.STEP_PROGRESS,
    EventType.STEP_COMPLETED,
    EventType.STEP_FAILED,
)

_TABLE: dict[RunStatus | None, dict[EventType, RunStatus]] = {
    None: {EventType.RUN_QUEUED: RunStatus.QUEUED},
    RunStatus.QUEUED: {
        EventType.RUN_STARTED: RunStatus.RUNNING,
        EventType.RUN_CANCELLING: RunStatus.QUEUED,
        EventType.RUN_CANCELLED: RunStatus.CANCELLED,
        EventType.RUN_FAILED: RunStatus.FAILED,
    },
    RunStatus.RUNNING: {
        **dict.fromkeys(_STEPS, RunStatus.RUNNING),
        EventType.RUN_RESUMED: RunStatus.RUNNING,
        EventType.RUN_CANCELLING: RunStatus.RUNNING,
        EventType.RUN_COMPENSATING: RunStatus.COMPENSATING,
        EventType.RUN_COMPLETED: RunStatus.COMPLETED,
        EventType.RUN_FAILED: RunStatus.FAILED,
        EventType.RUN_CANCELLED: RunStatus.CANCELLED,
    },
    RunStatus.COMPENSATING: {
        EventType.RUN_RESUMED: RunStatus.COMPENSATING,
        EventType.STEP_COMPENSATED: RunStatus.COMPENSATING,
        EventType.RUN_COMPENSATED: RunStatus.COMPENSATED,
        EventType.RUN_FAILED: RunStatus.FAILED,
        EventType.RUN_CANCELLED: RunStatus.CANCELLED,
        EventType.RUN_PARKED: RunStatus.PARKED,
    },
    RunStatus.PARKED: {EventType.RUN_COMPENSATING: RunStatus.COMPENSATING},
}


def next_status(status: RunStatus | None, event: EventType) -> RunStatus:
    """The status after `event`; raises IllegalTransition when the table has no such move."""
    try:
        return _TABLE[status][event]
    except KeyError:
        raise IllegalTransition(status, event) from None
