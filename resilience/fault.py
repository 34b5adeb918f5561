"""What an error says of the dependency that it came from. Adapters know; mechanisms act on it."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from resilience.checks import not_negative


class FaultKind(StrEnum):
    """How a breaker and a retry take an error."""

    TRANSIENT = "transient"
    """Counts as a failure; the same call may well succeed in a moment."""
    BROKEN = "broken"
    """Counts as a failure; not asked again, since it may have had its effect."""
    THROTTLED = "throttled"
    """Too many calls: nobody asks until the dependency's time is over, then once more."""
    EXHAUSTED = "exhausted"
    """Out of credit or quota: nobody asks until somebody has seen that there is some again."""
    IN_VAIN = "in vain"
    """It got nothing, and a breaker learns nothing: a key that is not accepted, a request that is
    refused, an answer that would have come too late for the caller. Whoever watches counts it."""
    CALLERS = "caller's"
    """The caller's own mistake or limit; says nothing of the dependency's health."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """An error, classified. `retry_after_s` is when the dependency says it may be asked again."""

    kind: FaultKind
    retry_after_s: float | None = None

    def __post_init__(self) -> None:
        if self.retry_after_s is not None:
            not_negative(retry_after_s=self.retry_after_s)


TRANSIENT = Fault(kind=FaultKind.TRANSIENT)
BROKEN = Fault(kind=FaultKind.BROKEN)
EXHAUSTED = Fault(kind=FaultKind.EXHAUSTED)
IN_VAIN = Fault(kind=FaultKind.IN_VAIN)
CALLERS = Fault(kind=FaultKind.CALLERS)

Classify = Callable[[Exception], Fault]

log = logging.getLogger(__name__)


def classified(classify: Classify, error: Exception) -> Fault:
    """What `classify` says of the error. It is a guest: its own fault must not replace the error
    that it was asked about."""
    try:
        return classify(error)
    except Exception:
        log.exception("the classifier broke on %s", type(error).__name__)
        return BROKEN


def all_transient(_error: Exception) -> Fault:
    """For dependencies whose calls have no effect and whose errors all mean: try again."""
    return TRANSIENT
