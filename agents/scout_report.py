"""What a scout's end says: what was found, spent, stopped and undone, and why it failed."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from pydantic import TypeAdapter

from agents.domain.ask import ToolUse
from agents.domain.match import Funnel
from agents.domain.run import Receipt, RunError, Usage
from agents.notices import ai_notices, discovery_notices, matching_notices, source_notices
from agents.scout_state import ScoutState
from resilience.budget import Amounts
from resilience.saga import RunEnd, RunStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What is kept of a run beside its matches and drafts; `reply` and `actions` are of an ask."""

    partial: bool
    receipt: Receipt | None
    funnel: Funnel
    notices: tuple[str, ...]
    usage: Usage
    error: RunError | None
    reply: str = ""
    actions: tuple[ToolUse, ...] = ()


REPORT = TypeAdapter(Report)


EMPTY = Report(partial=False, receipt=None, funnel=Funnel(), notices=(), usage=Usage(), error=None)
_SHOWN = "What was found so far is shown, not ranked"
WORK = {
    "discover": "Gathering postings",
    "match": "Ranking",
    "act": "Drafting",
    "plan": "Understanding your words",
    "reply": "Answering",
}


def usage_of(spent: Amounts) -> Usage:
    """What was spent, as callers are told it."""
    return Usage(
        steps=spent.steps, tokens=spent.tokens, handoffs=spent.handoffs, apify_usd=spent.usd
    )


def report_of(end: RunEnd[ScoutState], *, partial: bool) -> Report:
    """The report of a run that ends so; `partial`: what it had found is shown, unranked."""
    return Report(
        partial=partial,  # else what did not complete was undone: nothing of it is in the result
        receipt=receipt_of(end),
        funnel=funnel_of(end.state, shown=end.status is RunStatus.COMPLETED),
        notices=(*notices_of(end.state), *_without_ai(end.state)),
        usage=usage_of(end.spent),
        error=error_of(end, partial=partial),
    )


def receipt_of(end: RunEnd[Any]) -> Receipt | None:
    """What stopping the run stopped, had spent and undid; None for one that completed."""
    if end.status is RunStatus.COMPLETED:
        return None
    stopped = tuple(WORK[name].lower() for name in end.stopped)
    return Receipt(stopped=stopped, spent=usage_of(end.spent), undone=end.undone)


def error_of(end: RunEnd[Any], *, partial: bool, what: str = "scout") -> RunError | None:
    """Why the run, which people call `what`, did not complete, in words for them."""
    if end.error_type is None:
        return None
    kept = _SHOWN if partial else f"Nothing of this {what} was kept"
    if end.status is RunStatus.CANCELLED:
        return RunError(type=end.error_type, message=f"Cancelled. {kept}.")
    whole = f"The {what}"
    failed = whole if partial else WORK.get(end.failed_step or "", whole)
    if end.status is RunStatus.PARKED:
        failed = "Undoing"
    reason = (end.error_message or end.error_type).rstrip(".")
    advice = "please try again"
    if end.error_type == "sources-failed":
        advice = "please check the sources and try again"
    if end.status is RunStatus.PARKED:
        kept = "Some of it could not be undone yet; an operator has to finish that"
    return RunError(type=end.error_type, message=f"{failed} failed: {reason}. {kept}; {advice}.")


def funnel_of(state: ScoutState, *, shown: bool) -> Funnel:
    """What became of everything found."""
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


def notices_of(state: ScoutState) -> Iterable[str]:
    """What to know of how it was made, the most important first: the chat shows only a few."""
    discovery, matching = state.discovery, state.matching
    stands_in = discovery is not None and discovery.sample and state.request.sample_fallback
    if discovery is not None:
        yield from discovery_notices(discovery, sample_stands_in=stands_in)
    if matching is not None:
        yield from matching_notices(matching)
    if discovery is not None:
        yield from source_notices(discovery, sample_stands_in=stands_in)


def _without_ai(state: ScoutState) -> Iterable[str]:
    ranked = None if state.matching is None else state.matching.without_ai
    return ai_notices(ranked=ranked, drafted=state.drafted_without_ai)
