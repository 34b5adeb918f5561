"""What an ask run's end says."""

from collections.abc import Iterable

from agents.ask_state import AskState
from agents.domain.match import Funnel
from agents.notices import ai_notices
from agents.scout_report import Report, error_of, funnel_of, notices_of, receipt_of, usage_of
from agents.scout_state import ScoutState
from resilience.saga import RunEnd, RunStatus


def ask_report_of(end: RunEnd[AskState], *, partial: bool) -> Report:
    """The report of a run that ends so; `partial`: what it had found is shown, unranked."""
    state, completed = end.state, end.status is RunStatus.COMPLETED
    scout = _scout(state)
    return Report(
        partial=partial,
        receipt=receipt_of(end),
        funnel=Funnel() if scout is None else funnel_of(scout, shown=completed),
        notices=tuple(_notices(state)),
        usage=usage_of(end.spent),
        error=error_of(end, partial=partial, what="request"),
        reply=state.talk.reply if completed else "",
        actions=state.talk.actions,
    )


def _scout(state: AskState) -> ScoutState | None:
    """The scout whose list is shown: the last that came to one, else the one under way."""
    return state.ranked or state.scout


def _notices(state: AskState) -> Iterable[str]:
    ranked = None
    if (scout := _scout(state)) is not None:
        yield from notices_of(scout)
        ranked = None if scout.matching is None else scout.matching.without_ai
    yield from ai_notices(
        understood=state.talk.without_ai, ranked=ranked, drafted=state.drafted_without_ai
    )
