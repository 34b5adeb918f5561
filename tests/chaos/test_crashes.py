"""Every crash point of a few worlds, and random worlds: what the saga promises holds in all.

`WEBSCOUT_SEEDS=5000` plays so many random worlds. A failure says its seed; the same seed plays the
same world again: `simulate(random_script(SEED))`.
"""

import os
from dataclasses import replace

import pytest

from tests.chaos.promises import broken_promises
from tests.chaos.scenarios import SCENARIOS
from tests.chaos.script import Script, random_script
from tests.chaos.simulation import World, simulate

SEEDS = int(os.environ.get("WEBSCOUT_SEEDS", "200"))
SEEDS_A_TEST = 25
CRASHES_A_TEST = 20
_TAIL = 60

_STARTS = range(0, SEEDS, SEEDS_A_TEST)
_POINTS_MAX = 240
"""More than any of the scenarios has; a test holds it to that."""


def kept(world: World) -> None:
    """Fail with the seed and the end of the trace, when a promise was broken."""
    if broken := broken_promises(world):
        tail = "\n".join(world.faults.trace[-_TAIL:])
        pytest.fail(f"seed {world.script.seed}: {broken}\n{tail}\n{world.script}")


@pytest.mark.parametrize("first", _STARTS)
def test_the_promises_hold_in_random_worlds(first: int) -> None:
    """Whatever the seed makes of steps, cancels, crashes, outages and turns, each promise is
    kept."""
    for seed in range(first, min(first + SEEDS_A_TEST, SEEDS)):
        kept(simulate(random_script(seed)))


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_the_promises_hold_without_a_crash(scenario: str) -> None:
    """Each scenario alone keeps the promises, and has no more points than are tried."""
    world = simulate(SCENARIOS[scenario])

    kept(world)
    assert world.faults.points < _POINTS_MAX


@pytest.mark.unmeasured  # the random worlds are measured
@pytest.mark.parametrize("first", range(1, _POINTS_MAX, CRASHES_A_TEST))
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_the_promises_hold_after_a_crash_at_every_point(scenario: str, first: int) -> None:
    """A process that dies before or after any write or outside call, taken up by one or by two
    processes on its own machine or another, breaks no promise."""
    for point in range(first, first + CRASHES_A_TEST):
        world = simulate(_crashing(SCENARIOS[scenario], point))
        kept(world)
        if not world.crashes:
            break  # it has no such point


@pytest.mark.parametrize("first", range(1, _POINTS_MAX, CRASHES_A_TEST))
@pytest.mark.parametrize(
    "scenario",
    [
        pytest.param("completes", marks=pytest.mark.unmeasured),
        pytest.param("waits long", marks=pytest.mark.unmeasured),
        "is cancelled",
    ],
)
def test_the_promises_hold_when_a_process_is_cut_off_at_any_point(
    scenario: str, first: int
) -> None:
    """A process that does not reach the store for longer than its lease, from any write or outside
    call on, and then goes on beside the one that took its run up, breaks no promise."""
    script = replace(SCENARIOS[scenario], processes=2)
    points = simulate(script).faults.points
    for point in range(first, min(first + CRASHES_A_TEST, points + 1)):
        kept(simulate(replace(script, stall_at=frozenset({point}))))


def _crashing(script: Script, point: int) -> Script:
    return replace(
        script,
        crash_at=frozenset({point}),
        recoverers=1 + point % 2,
        same_machine=point % 4 < 2,
    )


@pytest.mark.parametrize("seed", [3, 8, 21, 50, 390])
def test_the_same_seed_gives_the_same_trace(seed: int) -> None:
    """A world is played again to the letter."""
    first, second = simulate(random_script(seed)), simulate(random_script(seed))

    assert first.faults.trace == second.faults.trace
    assert first.stored == second.stored


def test_another_seed_gives_another_order_of_turns() -> None:
    """The seed decides whose turn it is: the same script under another one is another trace."""
    script = random_script(8)

    assert simulate(script).faults.trace != simulate(replace(script, seed=9)).faults.trace
