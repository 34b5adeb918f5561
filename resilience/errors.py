"""What is raised when a call is not made, or may not go on.

Refused               the dependency was not asked
├── CircuitOpen       its breaker is open (also aiobreaker's CircuitBreakerError)
├── RateLimited       its token bucket is empty for longer than the call may wait
├── BulkheadFull      as many calls as may be are under way, and as many as may wait are waiting
└── DeadlinePassed    there is no time left for the call (also a TimeoutError)
DeadlineCut           it was asked, but the deadline came before the answer (a TimeoutError)
BudgetExhausted       what the work may spend in all is spent
"""

from datetime import timedelta

from aiobreaker import CircuitBreakerError


class Refused(Exception):  # noqa: N818 - names the event
    """The dependency `name` was not asked. `retry_after_s` is when asking again makes sense, None
    where that is not known."""

    def __init__(self, name: str, problem: str, retry_after_s: float | None = None) -> None:
        Exception.__init__(self, f"{name}: {problem}")  # aiobreaker's own wants a wall time
        self.name = name
        self.problem = problem
        self.retry_after_s = retry_after_s


class CircuitOpen(Refused, CircuitBreakerError):  # noqa: N818
    """The breaker lets no call through now."""

    @property
    def message(self) -> str:
        """aiobreaker's name for what is wrong."""
        return str(self)

    @property
    def time_remaining(self) -> timedelta:
        """aiobreaker's name for when it may be asked again; the longest there is for until told."""
        seconds = self.retry_after_s
        return timedelta.max if seconds is None else timedelta(seconds=seconds)


class RateLimited(Refused):
    """No token within the time that the call may wait."""


class BulkheadFull(Refused):
    """No place to work in, and none to wait in."""


class DeadlinePassed(Refused, TimeoutError):  # noqa: N818
    """No time left to ask the dependency."""


class DeadlineCut(TimeoutError):  # noqa: N818
    """The dependency was asked, and had too little time for its answer."""


class BudgetExhausted(Exception):  # noqa: N818 - names the event
    """Charging would exceed what may be spent of `field`."""

    def __init__(self, field: str, limit: float, asked: float, left: float) -> None:
        super().__init__(f"{field}: {asked:g} asked, {left:g} left of {limit:g}")
        self.field = field
        self.limit = limit
        self.asked = asked
        self.left = left
