"""Sagas: a workflow as data, run step by step, undone in reverse when it can't be finished.

Read `saga.py` (what a workflow is), `transitions.py` (which states a run can be in), then
`execution.py` (what happens to one run) and `orchestrator.py` (how runs are queued and owned).
"""

from resilience.saga.execution import RunEnd
from resilience.saga.gate import Gate
from resilience.saga.history import History, StepRecord
from resilience.saga.journal import (
    Event,
    Journal,
    JournalUnavailable,
    JsonValue,
    LeaseLost,
    Part,
)
from resilience.saga.orchestrator import Orchestrator
from resilience.saga.saga import (
    KILL_SWITCHES,
    OUTPUT_INVALID,
    Kept,
    KillSwitch,
    Limits,
    Saga,
    Spends,
    Step,
    StepContext,
    StepFailed,
    StepOutcome,
)
from resilience.saga.transitions import (
    CLOSING,
    OPEN,
    EventType,
    IllegalTransition,
    RunStatus,
    Standing,
    next_status,
)

__all__ = [
    "CLOSING",
    "KILL_SWITCHES",
    "OPEN",
    "OUTPUT_INVALID",
    "Event",
    "EventType",
    "Gate",
    "History",
    "IllegalTransition",
    "Journal",
    "JournalUnavailable",
    "JsonValue",
    "Kept",
    "KillSwitch",
    "LeaseLost",
    "Limits",
    "Orchestrator",
    "Part",
    "RunEnd",
    "RunStatus",
    "Saga",
    "Spends",
    "Standing",
    "Step",
    "StepContext",
    "StepFailed",
    "StepOutcome",
    "StepRecord",
    "next_status",
]
