"""A kind of run, as the runner knows it: its request, its steps, what is kept of its end."""

from abc import ABC, abstractmethod
from typing import ClassVar, Generic, TypeVar

from pydantic import TypeAdapter, ValidationError

from agents.configs import Overrides
from agents.discovery.port import Sources
from agents.domain.ask import AskRequest
from agents.domain.match import Match
from agents.domain.run import ScoutRequest, ScoutResult
from agents.scout_report import EMPTY, REPORT, Report
from agents.store.outcomes import OutcomeStore
from agents.store.runs import RunRow, RunStore
from resilience.saga import KILL_SWITCHES, RunEnd, RunStatus, Saga

R = TypeVar("R", ScoutRequest, AskRequest)
S = TypeVar("S")


class Workflow(ABC, Generic[R, S]):
    """One kind of run. Requests and reports are kept as JSON; matches and drafts have rows."""

    kind: ClassVar[str]
    default_config: ClassVar[str]
    request_type: type[R]
    codec: TypeAdapter[R]

    def __init__(self, sources: Sources, runs: RunStore, outcomes: OutcomeStore) -> None:
        self._sources = sources
        self._runs = runs
        self._outcomes = outcomes

    def check(self, request: R) -> None:
        """Raise InvalidValue for an unknown source or configuration."""
        self.check_config(request.config)
        for spec in request.sources:
            self._sources.check(spec)

    def read(self, body: str | None) -> R | None:
        """The request that was kept so; None when it was forgotten, or of another version."""
        try:
            return None if body is None else self.codec.validate_json(body)
        except ValidationError:
            return None

    def write(self, request: R) -> str:
        """The request as JSON."""
        return self.codec.dump_json(request).decode()

    async def keep_report(self, end: RunEnd[S]) -> None:
        """Keep what the run came to. One that was stopped shows what it had found, unranked."""
        stopped = end.status is RunStatus.CANCELLED or end.error_type in KILL_SWITCHES
        shown = stopped and await self.show_unranked(end)
        body = REPORT.dump_json(self.report_of(end, partial=shown)).decode()
        await self._runs.keep_text(end.run_id, "report", body)

    async def kept(self, run: RunRow) -> tuple[Report, tuple[Match, ...]]:
        """What was kept of the run's end, as far as it has come, and its matches."""
        text = await self._runs.text(run.id, "report")
        report = EMPTY if text is None else REPORT.validate_json(text)
        read = self._outcomes.unscored if report.partial else self._outcomes.matches
        return report, tuple(await read(run.id))

    @abstractmethod
    def check_config(self, name: str) -> None:
        """Raise InvalidValue when there is no such configuration for this kind."""

    @abstractmethod
    def blank(self, config: str) -> R:
        """A request that stands in for one that is gone, so that its run can be undone."""

    @abstractmethod
    def saga(self, config: str, overrides: Overrides) -> Saga[S]:
        """The steps under a configuration; raises InvalidValue when it is not there."""

    @abstractmethod
    def begin(self, run_id: str, user_id: str, request: R) -> S:
        """The state in which the first step finds it."""

    @abstractmethod
    async def show_unranked(self, end: RunEnd[S]) -> bool:
        """Keep what a run that was stopped had found; False when it had found nothing."""

    @abstractmethod
    def report_of(self, end: RunEnd[S], *, partial: bool) -> Report:
        """What is said of a run that ends so."""

    @abstractmethod
    async def result(self, run: RunRow) -> ScoutResult:
        """What came of it, as far as it has come."""
