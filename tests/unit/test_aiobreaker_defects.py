"""What a bare aiobreaker does wrong, shown, and that ours does not: the reasons for our own.

The scenarios are those that `python -m bench.breakers` prints. Should a bare one come out right
here some day, a newer aiobreaker has mended it.
"""

import pytest

from bench import breakers
from bench.breakers import SCENARIOS, Bare, Ours, Scenario

SHOWN: dict[Scenario, tuple[str, str]] = {
    breakers.concurrent_probes: ("20 go through", "1 go through"),
    breakers.alternating_failures: ("never opens", "opens at call 11"),
    breakers.mistake_as_probe: ("closed", "half-open"),
    breakers.mistakes_between: ("closed", "open"),
    breakers.excluded_with_metaclass: ("closed", "open"),
    breakers.wall_set_back: ("refuses", "probes"),
    breakers.wall_set_forward: ("probes", "refuses"),
    breakers.west_of_greenwich: ("18060 s", "60 s"),
    breakers.east_of_greenwich: ("TypeError", "60 s"),
    breakers.stale_failures: ("open", "closed"),
    breakers.cancelled_probe: ("20 go through", "1 go through"),
}
"""Each scenario with what a bare aiobreaker and what ours comes to."""


def name(scenario: Scenario) -> str:
    """A test's id."""
    return getattr(scenario, "__name__", "")


@pytest.mark.parametrize("scenario", SHOWN, ids=name)
@pytest.mark.filterwarnings("ignore:datetime.datetime.utcnow:DeprecationWarning")
async def test_a_bare_aiobreaker_has_the_defect(scenario: Scenario) -> None:
    """What is wrong with it is still so, and is why its decisions are made elsewhere."""
    assert await scenario(Bare) == SHOWN[scenario][0]


@pytest.mark.parametrize("scenario", SHOWN, ids=name)
async def test_ours_has_not(scenario: Scenario) -> None:
    """The same scenario, and the right outcome."""
    assert await scenario(Ours) == SHOWN[scenario][1]


def test_every_scenario_of_the_bench_is_judged() -> None:
    """The bench prints none that is not checked here."""
    assert set(SCENARIOS) == set(SHOWN)
