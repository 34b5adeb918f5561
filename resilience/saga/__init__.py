"""Sagas: a workflow as data, run step by step, undone in reverse when it can't be finished.

Read `saga.py` (what a workflow is), `transitions.py` (which states a run can be in), then
`orchestrator.py` (how it is run).
"""

from resilience.saga.journal import Event, Journal, JsonValue
from resilience.saga.orchestrator import Orchestrator, RunEnd
from resilience.saga.saga import Saga, Step, StepContext, StepFailed, StepOutcome
from resilience.saga.transitions import (
    CLOSING,
    EventType,
    IllegalTransition,
    RunStatus,
    next_status,
)

__all__ = [
    "CLOSING",
    "Event",
    "EventType",
    "IllegalTransition",
    "Journal",
    "JsonValue",
    "Orchestrator",
    "RunEnd",
    "RunStatus",
    "Saga",
    "Step",
    "StepContext",
    "StepFailed",
    "StepOutcome",
    "next_status",
]
