"""The one way in: runs of every kind are created, started, followed, cancelled and taken up here.

A kind of run is a Workflow: `scout.py` has the product's main one, `ask.py` the other.
"""

import asyncio
import hashlib
import math
import secrets
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Generic

from agents.configs import Overrides
from agents.domain.ask import AskRequest
from agents.domain.errors import InvalidValue
from agents.domain.run import ScoutRequest, ScoutResult
from agents.store.admission import IdempotencyKey, Quotas
from agents.store.ledger import Ledger
from agents.store.runs import NewRun, RunRow, RunStore
from agents.workflow import R, S, Workflow
from resilience.saga import (
    CLOSING,
    OPEN,
    EventType,
    History,
    IllegalTransition,
    Orchestrator,
    RunStatus,
    Saga,
    StepFailed,
)

Request = ScoutRequest | AskRequest

ENDED = frozenset(CLOSING.values())
CONFIG_NOT_FOUND = "config-not-found"
WORKER_LOST = "worker-lost"
_TYPICAL_FOR_S = 10.0


class NotParked(Exception):  # noqa: N818 - names the situation
    """Only a parked run's undo can be tried again."""


@dataclass(frozen=True, slots=True)
class _Kind(Generic[R, S]):
    """A workflow and its sagas, each made once."""

    workflow: Workflow[R, S]
    sagas: dict[str, Saga[S]]

    def saga(self, config: str, overrides: Overrides) -> Saga[S]:
        if config not in self.sagas:
            self.sagas[config] = self.workflow.saga(config, overrides)
        return self.sagas[config]


class Runner:
    """Starts, follows, cancels and takes up runs."""

    def __init__(
        self,
        workflows: Iterable[Workflow[Any, Any]],
        *,
        runs: RunStore,
        ledger: Ledger,
        orchestrator: Orchestrator,
        quotas: Quotas,
        overrides: Overrides,
        monotonic: Callable[[], float],
    ) -> None:
        self._kinds: dict[str, _Kind[Any, Any]] = {w.kind: _Kind(w, {}) for w in workflows}
        self._runs = runs
        self._ledger = ledger
        self._orchestrator = orchestrator
        self._quotas = quotas
        self._overrides = overrides
        self._monotonic = monotonic
        self._typical_at, self._typical_s = -math.inf, 0.0

    def check(self, request: Request) -> None:
        """Raise InvalidValue for an unknown source or configuration."""
        self._of(request).workflow.check(request)

    async def create(
        self,
        user_id: str,
        request: Request,
        chat_id: int | None = None,
        *,
        key: str | None = None,
        team: str | None = None,
        team_key: IdempotencyKey | None = None,
    ) -> str:
        """Check the request and journal a run for it; nothing is done until `launch`.

        Raises InvalidValue for an unknown source or configuration. Raises NotAdmitted: KeyTaken
        when the `key` or the team's key has its run, AlreadyOpen since a chat has one run at a
        time, TeamOver, QueueFull.
        """
        workflow = self._of(request).workflow
        workflow.check(request)
        run_id = secrets.token_hex(8) if key is None else _run_id(key)
        new = NewRun(
            run_id=run_id,
            kind=workflow.kind,
            user_id=user_id,
            config=request.config,
            request=workflow.write(request),
            chat_id=chat_id,
            team=team,
            key=team_key,
            one_at_a_time=chat_id is not None,
        )
        await self._runs.create(new, self._quotas)
        return run_id

    async def launch(self, run_id: str, *, abandoned: bool = False) -> None:
        """Start the journaled run, or take it up after a restart, in the background. One that is
        `abandoned` by who waited for it is only undone."""
        run = await self._runs.get(run_id)
        if run is None or run.status in ENDED:
            return  # done meanwhile
        request = await self.request(run)
        gone = request is None  # forgotten, or of a version that can't be read: it has to end
        request = request or self._kinds[run.kind].workflow.blank(run.config)
        fresh = run.status is RunStatus.QUEUED
        self.launch_new(run_id, run.user_id, request, abandoned=abandoned or gone, fresh=fresh)

    def launch_new(
        self,
        run_id: str,
        user_id: str,
        request: Request,
        *,
        abandoned: bool = False,
        fresh: bool = True,
    ) -> None:
        """Start a run that was journaled just now. One that is `fresh` has not begun."""
        kind, give_up = self._of(request), None
        if abandoned:
            give_up = StepFailed("the process that worked for it is gone", type=WORKER_LOST)
        try:
            saga = kind.saga(request.config, self._overrides)
        except InvalidValue:
            words = f"its configuration {request.config} is not there any more"
            give_up = StepFailed(words, type=CONFIG_NOT_FOUND)
            saga = kind.saga(kind.workflow.default_config, self._overrides)  # undone alike
        state = kind.workflow.begin(run_id, user_id, request)
        keep_report = kind.workflow.keep_report
        self._orchestrator.launch(
            saga,
            run_id,
            state,
            keep_report,
            give_up=give_up,
            new=fresh,
            labels={"user": user_id},
        )

    async def request(self, run: RunRow) -> Request | None:
        """What was asked, or None when it was forgotten, or can't be read by this version."""
        body = await self._runs.text(run.id, "request")
        return self._kinds[run.kind].workflow.read(body)

    async def retry(self, run_id: str) -> None:
        """Try a parked run's undo again, in the background; raises NotParked, LookupError."""
        run = await self._runs.get(run_id)
        if run is None:
            raise LookupError(run_id)
        if run.status is not RunStatus.PARKED:
            raise NotParked(run.status)
        if (parking := self._orchestrator.task_of(run_id)) is not None:
            await asyncio.wait({parking})  # it was parked in this moment
        request = await self.request(run) or self._kinds[run.kind].workflow.blank(run.config)
        self.launch_new(run_id, run.user_id, request, fresh=False)

    def _of(self, request: Request) -> _Kind[Any, Any]:
        for kind in self._kinds.values():
            if isinstance(request, kind.workflow.request_type):
                return kind
        raise LookupError(f"nobody runs a {type(request).__name__}")

    def saga(self, kind: str, config: str) -> Saga[Any]:
        """The steps of that kind of run under a configuration; raises InvalidValue."""
        return self._kinds[kind].saga(config, self._overrides)

    def position(self, run_id: str) -> int:
        """How many runs get their turn before it does, itself counted; 0 when it has had it."""
        return self._orchestrator.position(run_id)

    def held_up(self, run_id: str) -> bool:
        """Whether it gets no turn because operators paused what it begins with."""
        return self._orchestrator.held_by(run_id) is not None

    async def wait_s(self, position: int) -> float:
        """How long so many runs take, going by the last ones, in seconds."""
        now = self._monotonic()
        if now - self._typical_at > _TYPICAL_FOR_S:
            self._typical_at, self._typical_s = now, await self._runs.typical_s()
        return position * self._typical_s

    async def wait(self, run_id: str) -> ScoutResult:
        """The result, once the run has ended here."""
        task = self._orchestrator.task_of(run_id)
        if task is not None:
            await asyncio.shield(task)  # who waits may leave; the run goes on
        return await self.result(run_id)

    async def cancel(self, run_id: str) -> bool:
        """Stop the run and undo it; False when it had ended in another way. Where another process
        executes it, that one obeys within some seconds. Raises JournalUnavailable."""
        if await self._orchestrator.cancel(run_id):
            return True
        history = History.of(await self._ledger.events(run_id))
        if history.cancelled and history.status in OPEN:
            return True
        try:
            await self._ledger.append(run_id, EventType.RUN_CANCELLING)
        except IllegalTransition as refused:
            return refused.status is RunStatus.COMPENSATING
        await self.launch(run_id)  # if nobody has it: it has to end
        return True

    async def cancel_open_run_of(self, user_id: str) -> str | None:
        """Cancel the person's run under way, if there is one; returns its id."""
        run_id = await self._runs.open_run_of(user_id)
        if run_id is None:
            return None
        await self.launch(run_id)  # if it is not executing yet, or no more: it has to end
        return run_id if await self.cancel(run_id) else None

    async def abandoned(self, channels: tuple[str, ...], *, idle_s: float = 0.0) -> list[str]:
        """The runs of these channels that nobody executes, and not only for `idle_s` since they
        were asked for; oldest first."""
        run_ids = await self._ledger.abandoned(channels, idle_s)
        return [run_id for run_id in run_ids if self._orchestrator.task_of(run_id) is None]

    async def result(self, run_id: str) -> ScoutResult:
        """What came of a run, as far as it has come; LookupError when there is no such run."""
        run = await self._runs.get(run_id)
        if run is None:
            raise LookupError(run_id)
        return await self._kinds[run.kind].workflow.result(run)


def _run_id(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()[:16]
