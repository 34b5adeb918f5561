"""The promise about time, and the bound that is asserted for it."""

from collections.abc import Iterator
from datetime import datetime

from resilience.saga import CLOSING, Event, EventType
from resilience.saga.orchestrator import LEASE_S
from tests.chaos.process import TAKES_UP_EVERY_S
from tests.chaos.script import STALL_S
from tests.chaos.simulation import World
from tests.chaos.steps import UNDO_DEADLINE_S

GRACE_S = 6.0
"""For work that is slow to heed its cancel, and the writes themselves."""
_PATIENCE_S = 6.0
"""Who waits for the store looks again after at most five seconds."""


def ends_in_time(world: World) -> Iterator[str]:
    """None lives past its timeout + 60 s of undo + 30 s of recovery.

    No step begins or completes past the timeout. Until it ends a run may take its timeout and its
    undo, and: for each process that ended, the lease (30 s), the restart and the next look at what
    is abandoned, and the undo's time anew where it was being undone; for each outage, its length
    and the pause of who waits; for each process that was cut off, the same and the lease. Where
    runs wait for their turn, those before it may take as long.
    """
    allowed_s = _allowed_s(world)
    for run_id, events in world.events.items():
        script = world.script.runs[int(run_id.split("-")[1])]
        began = [event.at for event in events if event.type is EventType.RUN_STARTED]
        if began:
            yield from _forward_in_time(run_id, events, began[0], script.timeout_s)
        undo_s = UNDO_DEADLINE_S * (
            1 + sum(run_id in crash.compensating for crash in world.crashes)
        )
        bound_s = script.timeout_s + undo_s + GRACE_S + allowed_s
        queue = len(world.script.runs) if len(world.script.runs) > world.script.runs_max else 1
        first = events[0].at
        ended = next((event.at for event in events if event.type in CLOSING), None)
        lived_s = None if ended is None else (ended - first).total_seconds()
        if lived_s is None or lived_s > bound_s * queue:
            yield f"{run_id} lived for {lived_s} s, of {bound_s:g} in {queue} turns"


def _forward_in_time(
    run_id: str, events: list[Event], began: datetime, timeout_s: float
) -> Iterator[str]:
    for event in events:
        if event.type in {EventType.STEP_STARTED, EventType.STEP_COMPLETED}:
            after_s = (event.at - began).total_seconds()
            if after_s > timeout_s + GRACE_S:
                step = event.data["step"]
                yield f"{run_id}: {event.type} {step} {after_s:.1f} s after its start"


def _allowed_s(world: World) -> float:
    script = world.script
    look_s = script.restart_s + TAKES_UP_EVERY_S + GRACE_S
    crashes = len(world.crashes) * (LEASE_S + look_s)
    outages = sum(span.lasts_s + _PATIENCE_S for span in script.outages)
    stalls = [STALL_S for _ in script.stall_at]
    away = [span.lasts_s for span in script.cut_off.values()] + stalls
    cut_off = sum(lasts_s + _PATIENCE_S + LEASE_S + look_s for lasts_s in away)
    lost = 0.0 if not script.lost_answers else 10 * _PATIENCE_S
    return crashes + outages + cut_off + lost
