"""The promise about owners: what was seen of each commit, in the order of the commits."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from resilience.saga import EventType
from tests.chaos.inline_database import Claim
from tests.chaos.simulation import World
from tests.fakes.clock import NOON

_ANYBODY_S = frozenset({EventType.RUN_QUEUED, EventType.RUN_CANCELLING})
"""Written by who asks for the run or its cancel, whoever executes it."""


def one_owner(world: World) -> Iterator[str]:
    """Two recoverers: one owner (lease with fencing)."""
    for written in world.file.observer.written:
        if written.type not in _ANYBODY_S and written.process != written.owner_before:
            yield (
                f"{written.run_id}.{written.seq} {written.type} was written by {written.process}, "
                f"it was {written.owner_before}'s"
            )
    for claim in world.file.observer.claims:
        if claim.fence != claim.fence_before + 1:
            yield f"{claim.run_id}: fence {claim.fence} after {claim.fence_before}"
        if claim.before not in {None, claim.process} and not _was_free(world, claim):
            yield f"{claim.process} took {claim.run_id} at {claim.at_s:.1f}, {claim.before}'s"


def _was_free(world: World, claim: Claim) -> bool:
    assert claim.lease_before is not None
    until = datetime.fromisoformat(claim.lease_before).replace(tzinfo=UTC)
    dead = any(process.name == claim.before and process.dead for process in world.processes)
    # The claim read the clock a moment before it was seen in the file.
    return until <= NOON + timedelta(seconds=claim.at_s) or (world.script.same_machine and dead)
