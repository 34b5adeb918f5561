"""Free text as a kind of run, for the runner."""

from agents.ask import AskSteps
from agents.ask_report import ask_report_of
from agents.ask_state import AskState, Talk
from agents.configs import Overrides, find_ask_config
from agents.discovery.port import Sources
from agents.domain.ask import AskRequest, AskResult
from agents.scout_report import Report
from agents.store.codec import ASK_REQUEST
from agents.store.outcomes import OutcomeStore
from agents.store.postings import PostingStore
from agents.store.runs import RunRow, RunStore
from agents.workflow import Workflow
from resilience.saga import RunEnd, Saga


class AskWorkflow(Workflow[AskRequest, AskState]):
    """Free text as a kind of run."""

    kind = "ask"
    default_config = "ask@1"
    request_type = AskRequest
    codec = ASK_REQUEST

    def __init__(
        self,
        steps: AskSteps,
        sources: Sources,
        runs: RunStore,
        outcomes: OutcomeStore,
        postings: PostingStore,
    ) -> None:
        super().__init__(sources, runs, outcomes)
        self._steps = steps
        self._postings = postings

    def check_config(self, name: str) -> None:
        """Raise InvalidValue when there is no such configuration of an ask."""
        find_ask_config(name)

    def blank(self, config: str) -> AskRequest:
        """A request that stands in for one that is gone."""
        return AskRequest(text="-", config=config)

    def saga(self, config: str, overrides: Overrides) -> Saga[AskState]:
        """The steps under a configuration; raises InvalidValue when it is not there."""
        return self._steps.saga(overrides.applied(find_ask_config(config).values))

    def begin(self, run_id: str, user_id: str, request: AskRequest) -> AskState:
        """The state in which the first step finds it."""
        talk = Talk(profile=request.profile)
        return AskState(run_id=run_id, user_id=user_id, request=request, talk=talk)

    async def show_unranked(self, end: RunEnd[AskState]) -> bool:
        """Keep what a run that was stopped had found, unranked."""
        return await self._steps.show_unranked(end.run_id, end.state)

    def report_of(self, end: RunEnd[AskState], *, partial: bool) -> Report:
        """What is said of a run that ends so."""
        return ask_report_of(end, partial=partial)

    async def result(self, run: RunRow) -> AskResult:
        """What came of it, as far as it has come."""
        report, matches = await self.kept(run)
        drafts = tuple(await self._outcomes.drafts(run.id))
        drafted = await self._postings.get_all(draft.opportunity_id for draft in drafts)
        titles = {name: posting.title for name, posting in drafted.items()}
        return AskResult(
            run_id=run.id,
            status=run.status,
            partial=report.partial,
            receipt=report.receipt,
            reply=report.reply,
            actions=report.actions,
            matches=matches,
            drafts=drafts,
            drafted_for=tuple(titles.get(draft.opportunity_id, "") for draft in drafts),
            funnel=report.funnel,
            notices=report.notices,
            usage=report.usage,
            error=report.error,
        )
