"""The one table that says which state a run is in after which event.

The journal applies it on every append, so an event that can't happen is never written.
"""

from dataclasses import dataclass
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
    STEP_RETRIED = "step.retried"
    STEP_DEGRADED = "step.degraded"
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

    def __init__(
        self, status: "RunStatus | None", event: EventType, *, stopping: bool = False
    ) -> None:
        where = f"{status}, and stopping" if stopping else status or "not there"
        super().__init__(f"{event} cannot happen to a run that is {where}")
        self.status = status
        self.event = event


CLOSING: dict[EventType, RunStatus] = {
    EventType.RUN_COMPLETED: RunStatus.COMPLETED,
    EventType.RUN_COMPENSATED: RunStatus.COMPENSATED,
    EventType.RUN_FAILED: RunStatus.FAILED,
    EventType.RUN_CANCELLED: RunStatus.CANCELLED,
    EventType.RUN_PARKED: RunStatus.PARKED,
}
OPEN = frozenset({RunStatus.QUEUED, RunStatus.RUNNING, RunStatus.COMPENSATING})
"""The states in which something is still to be done without being asked."""

_STEPS = (
    EventType.STEP_STARTED,
    EventType.STEP_PROGRESS,
    EventType.STEP_RETRIED,
    EventType.STEP_DEGRADED,
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
        EventType.STEP_PROGRESS: RunStatus.COMPENSATING,  # what stopped work had cost
        EventType.STEP_COMPENSATED: RunStatus.COMPENSATING,
        EventType.RUN_COMPENSATED: RunStatus.COMPENSATED,
        EventType.RUN_FAILED: RunStatus.FAILED,
        EventType.RUN_CANCELLED: RunStatus.CANCELLED,
        EventType.RUN_PARKED: RunStatus.PARKED,
    },
    RunStatus.PARKED: {EventType.RUN_COMPENSATING: RunStatus.COMPENSATING},
}
_STOP = frozenset({EventType.RUN_CANCELLING, EventType.STEP_FAILED, EventType.RUN_COMPENSATING})
_NOT_WHEN_STOPPING = frozenset(
    {EventType.STEP_STARTED, EventType.RUN_STARTED, EventType.RUN_COMPLETED}
)


def next_status(status: RunStatus | None, event: EventType) -> RunStatus:
    """The status after `event`; raises IllegalTransition when the table has no such move."""
    try:
        return _TABLE[status][event]
    except KeyError:
        raise IllegalTransition(status, event) from None


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a run stands: its status, and whether it is `stopping`. After a cancel, a failed step
    or the beginning of the undo no step goes forward, whoever executes the run."""

    status: RunStatus | None = None
    stopping: bool = False

    def after(self, event: EventType) -> "Standing":
        """Where it stands after `event`; raises IllegalTransition."""
        if self.stopping and event in _NOT_WHEN_STOPPING:
            raise IllegalTransition(self.status, event, stopping=True)
        return Standing(next_status(self.status, event), self.stopping or event in _STOP)
