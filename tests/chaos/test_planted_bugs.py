"""The promises catch what breaks them: each planted bug is found, the code without it is not."""

import pytest

from tests.chaos.planted import BUGS, Bug
from tests.chaos.promises import PROMISES, broken_promises
from tests.chaos.script import Script
from tests.chaos.simulation import simulate

# The worlds of test_crashes.py are measured.
pytestmark = pytest.mark.unmeasured

SAME_TRACE = "same trace"
SEARCHED = 600
CAUGHT_BY: dict[str, int] = {
    "a run is not taken up in its undo": 4,
    "a restart begins the timeout anew": 0,
    "the undo goes first to last": 6,
    "only completed steps are undone": 4,
    "all steps are undone, begun or not": 0,
    "a new run is journaled without a look at its key": 0,
    "a start is not looked for outside": 3,
    "another's event is taken for one's own": 11,
    "a stop does not bar steps": 63,
    "a cancel ends the undo": 377,
    "a restart begins the budget anew": 193,
    "what was spent is not in the history": 2,
    "the row forgets that the run is stopping": 3,
    "an append ignores the fence": 32,
    "a claim ignores a live lease": 0,
    "a parking counts as told from the start": 10,
    "telling the operators is not noted": 10,
    "a lease is kept past the end": 1,
    "an ended run is not forgotten": 0,
    "who was not answered is not looked for": 79,
    "a pause is drawn from dice of its own": 10,
}
"""The seed whose world caught the bug (in a world of its own: the point of the cut). Where the
code under test has changed and another seed does, the test finds that, and says which (`-s`)."""


def broken_in(script: Script) -> set[str]:
    """The promises that are broken in the script's world."""
    world = simulate(script)
    broken = set(broken_promises(world))
    if simulate(script).faults.trace != world.faults.trace:
        broken.add(SAME_TRACE)
    return broken


def catches(bug: Bug, seed: int) -> bool:
    """Whether the world of the seed shows that the bug breaks its promise."""
    with bug.planted():
        if bug.promise == SAME_TRACE:
            return SAME_TRACE in broken_in(bug.worlds(seed))
        return bug.promise in broken_promises(simulate(bug.worlds(seed)))


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
def test_a_planted_bug_is_caught(bug: Bug) -> None:
    """A bug breaks its promise in some world that is in order without it."""
    seeds = [CAUGHT_BY.get(bug.name, 0), *range(SEARCHED)]
    caught = next((seed for seed in seeds if catches(bug, seed)), None)

    assert caught is not None, f"no seed below {SEARCHED} catches it"
    print(f"{bug.name}: breaks {bug.promise!r}, caught by seed {caught}")  # noqa: T201 - with -s
    assert broken_in(bug.worlds(caught)) == set()


def test_there_is_a_bug_for_each_promise() -> None:
    """No check is one that nothing can fail."""
    assert {bug.promise for bug in BUGS} == {*PROMISES, SAME_TRACE}
    assert set(CAUGHT_BY) == {bug.name for bug in BUGS}
