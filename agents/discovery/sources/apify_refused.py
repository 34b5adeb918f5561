"""Why Apify gave nothing, and what that says of it.

SourceFailed
└── ApifyRefused   with a reason, for those who treat a rate limit unlike a lack of credit
"""

from collections.abc import Callable
from enum import StrEnum

from agents.discovery.port import SourceFailed
from resilience.fault import BROKEN, CALLERS, EXHAUSTED, IN_VAIN, TRANSIENT, Fault, FaultKind

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
    Refusal.TOKEN_REFUSED: IN_VAIN,
    Refusal.TIMED_OUT: BROKEN,
    Refusal.UNAVAILABLE: BROKEN,  # a run may have been started: not once more
}


def question_fault(error: Exception) -> Fault:
    """What a failed question says of Apify: asking again is free of charge and changes nothing."""
    reason = error.reason if isinstance(error, ApifyRefused) else None
    again = reason in (None, Refusal.RATE_LIMITED, Refusal.UNAVAILABLE)
    return TRANSIENT if again else IN_VAIN


class ApifyRefused(SourceFailed):
    """A run gave nothing, or the account can't be read; `cost_usd` is what it cost, as far as
    known."""

    def __init__(self, subject: str, reason: Refusal, words: str, cost_usd: float = 0.0) -> None:
        wait_s = RATE_LIMITED_S if reason is Refusal.RATE_LIMITED else 0.0
        super().__init__(f"{subject}: {words}", wait_s, fault=_FAULTS.get(reason, CALLERS))
        self.reason = reason
        self.cost_usd = cost_usd


_RATE_LIMITED = (Refusal.RATE_LIMITED, "Apify is rate-limited")
_OUT_OF_CREDIT = (Refusal.OUT_OF_CREDIT, "the Apify account is out of credit")
_TOKEN_REFUSED = (Refusal.TOKEN_REFUSED, "the Apify token is refused")
_NO_SUCH_ACTOR = (Refusal.NO_SUCH_ACTOR, "no such actor")
_BY_TYPE = {
    "rate-limit-exceeded": _RATE_LIMITED,
    "not-enough-usage-to-run-paid-actor": _OUT_OF_CREDIT,
    "concurrent-runs-limit-exceeded": (Refusal.BUSY, "too many Apify runs at once"),
    "actor-memory-limit-exceeded": (Refusal.BUSY, "the Apify account's memory is all in use"),
    "user-or-token-not-found": _TOKEN_REFUSED,
    "token-not-provided": _TOKEN_REFUSED,
    "invalid-token": _TOKEN_REFUSED,
    "record-not-found": _NO_SUCH_ACTOR,
    "actor-not-found": _NO_SUCH_ACTOR,
    "actor-is-not-rented": (Refusal.REJECTED, "the Apify account has not rented this actor"),
}
_BY_STATUS = {401: _TOKEN_REFUSED, 402: _OUT_OF_CREDIT, 429: _RATE_LIMITED}


def why_refused(
    error_type: str | None, status: int, *, question: bool, clean: Callable[[object], str]
) -> tuple[Refusal, str]:
    """The reason, and the words for it. By Apify's type of error, which says more than the status:
    a 402 or a 429 has several. `clean` makes a type fit for a line."""
    known = _BY_TYPE.get(str(error_type)) or _BY_STATUS.get(status)
    if known is _NO_SUCH_ACTOR and question:
        return Refusal.UNAVAILABLE, "the run or its results are gone"
    if known:
        return known
    if status >= 500:
        return Refusal.UNAVAILABLE, f"Apify has trouble (HTTP {status})"
    if error_type is None:  # no error body of Apify's: then its text is a page, not a message
        return Refusal.UNAVAILABLE, f"Apify's answer makes no sense (HTTP {status})"
    # Its type only: the message may quote what a person asked for, and this stays in logs.
    return Refusal.REJECTED, f"Apify refuses it ({clean(error_type)})"
