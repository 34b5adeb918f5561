"""Why Apify gave nothing, and what that says of it.

SourceFailed
└── ApifyRefused   with a reason, for those who treat a rate limit unlike a lack of credit
"""

from enum import StrEnum

from agents.discovery.port import SourceFailed
from resilience.fault import BROKEN, CALLERS, EXHAUSTED, TRANSIENT, Fault, FaultKind

RATE_LIMITED_S = 60.0
"""How long Apify is left alone when it says that it is asked too often; the SDK does not tell."""


class Refusal(StrEnum):
    """Why a run gave nothing."""

    RATE_LIMITED = "rate limited"
    OUT_OF_CREDIT = "out of credit"
    BUSY = "busy"  # too many runs, or too much of the account's memory in use
    TOKEN_REFUSED = "token refused"  # noqa: S105 - a reason, no token
    NO_SUCH_ACTOR = "no such actor"
    REJECTED = "rejected"  # Apify does not accept the request as it is
    ACTOR_FAILED = "actor failed"  # the run ended badly, and found nothing
    TIMED_OUT = "timed out"  # our deadline passed
    UNAVAILABLE = "unavailable"  # no answer, a server error, or an answer that makes no sense


_FAULTS = {
    # Without a time, so that nobody waits for it: what is cached is shown at once.
    Refusal.RATE_LIMITED: Fault(kind=FaultKind.THROTTLED),
    Refusal.OUT_OF_CREDIT: EXHAUSTED,
    Refusal.TIMED_OUT: BROKEN,
    Refusal.UNAVAILABLE: BROKEN,  # a run may have been started: not once more
}


def question_fault(error: Exception) -> Fault:
    """What a failed question says of Apify: asking again is free of charge and changes nothing."""
    reason = error.reason if isinstance(error, ApifyRefused) else None
    again = reason in (None, Refusal.RATE_LIMITED, Refusal.UNAVAILABLE)
    return TRANSIENT if again else CALLERS


class ApifyRefused(SourceFailed):
    """A run gave nothing, or the account can't be read; `cost_usd` is what it cost, as far as
    known."""

    def __init__(self, subject: str, reason: Refusal, words: str, cost_usd: float = 0.0) -> None:
        wait_s = RATE_LIMITED_S if reason is Refusal.RATE_LIMITED else 0.0
        super().__init__(f"{subject}: {words}", wait_s, fault=_FAULTS.get(reason, CALLERS))
        self.reason = reason
        self.cost_usd = cost_usd
