"""What a scout's end says: what was found, spent, stopped and undone, and why it failed."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from pydantic import TypeAdapter

from agents.domain.match import Funnel
from agents.domain.run import Receipt, RunError, Usage
from agents.notices import discovery_notices, matching_notices
from agents.scout_state import ScoutState
from resilience.budget import Amounts
from resilience.saga import RunEnd, RunStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What is kept of a run beside its matches and drafts."""

    partial: bool
    receipt: Receipt | None
    funnel: Funnel
    notices: tuple[str, ...]
    usage: Usage
    error: RunError | None


REPORT = TypeAdapter(Report)


EMPTY = Report(partial=False, receipt=None, funnel=Funnel(), notices=(), usage=Usage(), error=None)
_SHOWN = "What was found so far is shown, not ranked"
_NOTHING_KEPT = "Nothing of this scout was kept"
_WORK = {"discover": "Gathering postings", "match": "Ranking", "act": "Drafting"}


def usage_of(spent: Amounts) -> Usage:
    """What was spent, as callers are told it."""
    return Usage(
        steps=spent.steps, tokens=spent.tokens, handoffs=spent.handoffs, apify_usd=spent.usd
    )


def report_of(end: RunEnd[ScoutState], *, partial: bool) -> Report:
    """The report of a run that ends so; `partial`: what it had found is shown, unranked."""
    usage = usage_of(end.spent)
    completed = end.status is RunStatus.COMPLETED
    stopped = tuple(_WORK[name].lower() for name in end.stopped)
    return Report(
        partial=partial,  # else what did not complete was undone: nothing of it is in the result
        receipt=None if completed else Receipt(stopped=stopped, spent=usage, undone=end.undone),
        funnel=_funnel(end.state, shown=completed),
        notices=tuple(_notices(end.state)),
        usage=usage,
        error=_error(end, partial=partial),
    )


def _error(end: RunEnd[ScoutState], *, partial: bool) -> RunError | None:
    if end.error_type is None:
        return None
    kept = _SHOWN if partial else _NOTHING_KEPT
    if end.status is RunStatus.CANCELLED:
        return RunError(type=end.error_type, message=f"Cancelled. {kept}.")
    failed = "The scout" if partial else _WORK.get(end.failed_step or "", "The scout")
    if end.status is RunStatus.PARKED:
        failed = "Undoing"
    reason = (end.error_message or end.error_type).rstrip(".")
    advice = "please try again"
    if end.error_type == "sources-failed":
        advice = "please check the sources and try again"
    if end.status is RunStatus.PARKED:
        kept = "Some of it could not be undone yet; an operator has to finish that"
    return RunError(type=end.error_type, message=f"{failed} failed: {reason}. {kept}; {advice}.")


def _funnel(state: ScoutState, *, shown: bool) -> Funnel:
    discovery, matching = state.discovery, state.matching
    if discovery is None:
        return Funnel()
    found = Funnel(
        found=discovery.found,
        unreadable=discovery.unreadable,
        duplicates=discovery.duplicates,
        filtered={"not_looked_at": discovery.found - discovery.duplicates},
    )
    if matching is None:
        return found
    return replace(
        found,
        expired=matching.expired,
        inactive=matching.inactive,
        filtered=matching.filtered,
        ranked=matching.ranked,
        shown=len(matching.matches) if shown else 0,
    )


def _notices(state: ScoutState) -> Iterable[str]:
    if state.discovery is not None:
        stands_in = state.discovery.sample and state.request.sample_fallback
        yield from discovery_notices(state.discovery, sample_stands_in=stands_in)
    if state.matching is not None:
        yield from matching_notices(state.matching)
