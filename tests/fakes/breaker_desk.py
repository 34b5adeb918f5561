"""A breaker over a clock, for the tests that ask it things."""

from collections.abc import Callable

import pytest

from resilience.breaker import CLOSED, OPEN, Breaker, BreakerChanged, BreakerPolicy
from resilience.errors import CircuitOpen
from resilience.fault import TRANSIENT, Classify, Fault, FaultKind, all_transient
from tests.fakes.clock import FixedClock


def throttled(retry_after_s: float | None = None) -> Fault:
    """Told to go away, maybe for how long."""
    return Fault(kind=FaultKind.THROTTLED, retry_after_s=retry_after_s)


class Desk:
    """A breaker over a clock, and what its listeners were told. It opens for 15 s at first."""

    def __init__(
        self,
        *,
        clock: FixedClock | None = None,
        classify: Classify = all_transient,
        uniform: Callable[[float, float], float] = min,
        **policy: float,
    ) -> None:
        self.clock = clock or FixedClock()
        self.told: list[BreakerChanged] = []
        self.breaker = Breaker(
            "source",
            BreakerPolicy(**policy),  # type: ignore[arg-type]
            clock=self.clock,
            classify=classify,
            uniform=uniform,
            listeners=(self.told.append,),
        )

    def succeed(self, times: int = 1) -> None:
        """So many calls go well."""
        for _ in range(times):
            self.breaker.record(self.breaker.permit())

    def fail(self, fault: Fault = TRANSIENT, times: int = 1) -> None:
        """So many calls end in the fault."""
        for _ in range(times):
            self.breaker.record(self.breaker.permit(), fault)

    def trip(self) -> None:
        """Open it by failures in a row."""
        while self.breaker.state is CLOSED:
            self.fail()
        assert self.breaker.state is OPEN

    def refused(self) -> CircuitOpen:
        """How it refuses a call; `check` says the same."""
        with pytest.raises(CircuitOpen) as checked:
            self.breaker.check()
        with pytest.raises(CircuitOpen) as asked:
            self.breaker.permit()
        assert checked.value.retry_after_s == asked.value.retry_after_s
        return asked.value

    def refused_for_s(self) -> float | None:
        """For how long it refuses."""
        return self.refused().retry_after_s
