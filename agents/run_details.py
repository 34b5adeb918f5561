"""A run as its caller sees it: where it stands, its steps, what it used, what came of it."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from agents.domain.ask import AskResult
from agents.domain.run import RunError, ScoutResult, Usage
from agents.runner import Runner
from agents.scout_report import usage_of
from agents.store.ledger import Ledger
from agents.store.runs import Place, RunRow, RunStore
from resilience.saga import OPEN, Event, History, RunStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class StepError:
    """Why a step failed: the stable type."""

    type: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStep:
    """A step that was begun, numbered from 1. `status` is running, completed, failed, stopped or
    compensated."""

    seq: int
    name: str
    agent: str
    status: str
    attempts: int
    started_at: datetime
    ended_at: datetime | None
    error: StepError | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunDetails:
    """What `GET /v1/runs/{id}` answers. `degraded` lists what was replaced by something lesser;
    `result` is there once the run has ended (and never in a list of runs)."""

    run_id: str
    kind: str
    status: RunStatus
    degraded: tuple[str, ...]
    error: RunError | None
    steps: tuple[RunStep, ...]
    usage: Usage
    result: AskResult | ScoutResult | None
    created_at: datetime
    ended_at: datetime | None
    config: str


class RunReader:
    """Reads runs for the team that they belong to; for any other they do not exist."""

    def __init__(self, runs: RunStore, ledger: Ledger, runner: Runner) -> None:
        self._runs = runs
        self._ledger = ledger
        self._runner = runner

    async def row(self, team: str, run_id: str) -> RunRow | None:
        """The team's run, or None."""
        if not (run_id.isascii() and run_id.isprintable()):
            return None  # no id of ours, and not every database takes it
        row = await self._runs.get(run_id)
        return row if row is not None and row.team == team else None

    async def get(self, team: str, run_id: str) -> RunDetails | None:
        """The team's run with all there is to it, or None."""
        row = await self.row(team, run_id)
        return None if row is None else await self.details(row)

    async def details(self, row: RunRow) -> RunDetails:
        """The run with all there is to it."""
        ended = row.status not in OPEN
        result = await self._runner.result(row.id) if ended else None
        return _details(row, await self._ledger.events(row.id), result)

    async def timeline(self, row: RunRow) -> tuple[RunDetails, list[Event]]:
        """The run without its result, and all its events: what an operator may see of anybody's."""
        events = await self._ledger.events(row.id)
        return _details(row, events, None), events

    async def page(
        self, team: str, *, status: RunStatus | None, before: Place | None, limit: int
    ) -> tuple[list[RunDetails], Place | None]:
        """The team's runs without their results, newest first, and the place where they go on."""
        rows = await self._runs.of_team(team, status=status, before=before, limit=limit + 1)
        shown = rows[:limit]
        more = len(rows) > limit
        last = Place(shown[-1].created_at, shown[-1].id) if more else None
        events = await self._ledger.events_of([row.id for row in shown])
        return [_details(row, events.get(row.id, []), None) for row in shown], last


def _details(
    row: RunRow, events: Iterable[Event], result: AskResult | ScoutResult | None
) -> RunDetails:
    history = History.of(events)
    return RunDetails(
        run_id=row.id,
        kind=row.kind,
        status=row.status,  # with its result, and not with events that came after it was read
        degraded=tuple(dict.fromkeys(history.degraded)),
        error=_error(row, result),
        steps=tuple(_steps(history)),
        usage=usage_of(history.spent),
        result=result,
        created_at=row.created_at,
        ended_at=row.ended_at,
        config=row.config,
    )


def _error(row: RunRow, result: AskResult | ScoutResult | None) -> RunError | None:
    if row.error_type is None:
        return None
    if result is not None and result.error is not None:
        return result.error
    return RunError(type=row.error_type, message=row.error_type.replace("-", " "))


def _steps(history: History) -> Iterable[RunStep]:
    for number, step in enumerate(history.steps, start=1):
        yield RunStep(
            seq=number,
            name=step.name,
            agent=step.agent,
            status=step.status,
            attempts=step.attempts,
            started_at=step.started_at,
            ended_at=step.ended_at,
            error=None if step.error is None else StepError(type=step.error),
        )
