"""What a run's events say: where it stands, what was done and undone, what was spent.

Folded from the journal alone, so that what a restart believes is what was stored.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from resilience.budget import Amounts
from resilience.saga.journal import Event, JsonValue
from resilience.saga.saga import FAILING, TOO_MANY_HANDOFFS, KillSwitch, StepFailed
from resilience.saga.transitions import CLOSING, EventType, RunStatus, Standing


@dataclass(slots=True, kw_only=True)
class StepRecord:
    """One step that was begun. `status` is running, completed, failed, stopped or compensated."""

    seq: int
    name: str
    agent: str
    status: str = "running"
    attempts: int = 1
    started_at: datetime
    ended_at: datetime | None = None
    error: str | None = None


@dataclass(slots=True)
class History:
    """The fold. `feed` it the events in their order."""

    standing: Standing = field(default_factory=Standing)
    last_seq: int = 0
    cancelled: bool = False
    steps: list[StepRecord] = field(default_factory=list)
    completed: list[str] = field(default_factory=list)
    then: str | None = None
    """The step that the last completed one named; None: the next in order."""
    undone: dict[str, str | None] = field(default_factory=dict)
    error: StepFailed | None = None
    failed_step: str | None = None
    stopped: str | None = None
    """The step whose work was stopped by the end of the run's way forward."""
    degraded: list[str] = field(default_factory=list)
    handoffs: int = 0
    started_at: datetime | None = None
    idle_resumptions: int = 0
    """How often the run was taken up since it last got on: a step was undone, or completed that had
    not been before."""
    effects: dict[str, Amounts] = field(default_factory=dict)
    """What each effect took: what it may at most until it is settled."""

    @classmethod
    def of(cls, events: Iterable[Event]) -> "History":
        """The fold of these events."""
        history = cls()
        for event in events:
            history.feed(event)
        return history

    @property
    def status(self) -> RunStatus | None:
        """Where the run stands."""
        return self.standing.status

    @property
    def spent(self) -> Amounts:
        """What the run took so far."""
        spent = Amounts(steps=len(self.steps), handoffs=self.handoffs)
        for amounts in self.effects.values():
            spent = spent.plus(amounts)
        return spent

    @property
    def steps_done(self) -> int:
        """How many steps were completed, each time counted."""
        return len(self.completed)

    @property
    def undone_words(self) -> tuple[str, ...]:
        """What was undone, in words."""
        return tuple(words for words in self.undone.values() if words)

    @property
    def heading(self) -> EventType:
        """How the run closes once its undo is done."""
        if self.cancelled:
            return EventType.RUN_CANCELLED
        fails = self.error is not None and self.error.type in FAILING
        return (
            EventType.RUN_COMPENSATED if self.undone_words and not fails else (EventType.RUN_FAILED)
        )

    def feed(self, event: Event) -> None:
        """Take the next event in; raises IllegalTransition for one that can't be next."""
        self.standing = self.standing.after(event.type)
        self.last_seq = event.seq
        if "step" in event.data:
            self._feed_step(event)
        else:
            self._feed_run(event)

    def _feed_run(self, event: Event) -> None:
        match event.type:
            case EventType.RUN_STARTED:
                self.started_at = event.at
            case EventType.RUN_RESUMED:
                self.idle_resumptions += 1
            case EventType.RUN_CANCELLING:
                self.cancelled = True
            case EventType.RUN_COMPENSATING:
                self._compensating(event)
            case closing if closing in CLOSING:
                self._stop(event)
            case _:
                pass

    def _feed_step(self, event: Event) -> None:
        data = event.data
        match event.type:
            case EventType.STEP_STARTED:
                self._started(event)
            case EventType.STEP_PROGRESS if "effect" in data:
                self.effects[str(data["effect"])] = _amounts(data)
            case EventType.STEP_RETRIED:
                self._last(event).attempts += 1
            case EventType.STEP_DEGRADED:
                self.degraded.append(str(data["what"]))
            case EventType.STEP_COMPLETED:
                self._completed(event)
            case EventType.STEP_FAILED:
                self._failed(event)
            case EventType.STEP_COMPENSATED:
                self._end(event, "compensated")
                self.undone[str(data["step"])] = _words(data["undone"])
                self.idle_resumptions = 0
            case _:
                pass

    def _started(self, event: Event) -> None:
        name, agent = str(event.data["step"]), str(event.data["agent"])
        last = self.steps[-1] if self.steps else None
        if last is not None and last.status == "running":  # a restart begins it once more
            last.status, last.ended_at = "stopped", event.at
        attempts = (
            last.attempts + 1
            if last is not None and last.name == name and (last.status == "stopped")
            else 1
        )
        self.steps.append(
            StepRecord(
                seq=event.seq, name=name, agent=agent, attempts=attempts, started_at=event.at
            )
        )

    def _completed(self, event: Event) -> None:
        self._end(event, "completed")
        if event.data["step"] not in self.completed:
            self.idle_resumptions = 0
        self.completed.append(str(event.data["step"]))
        then = event.data.get("then")
        self.then = None if then is None else str(then)
        self.handoffs += bool(event.data.get("handoff"))
        if event.data.get("exhausted"):
            self.error = KillSwitch("the agents handed on too often", type=TOO_MANY_HANDOFFS)

    def _failed(self, event: Event) -> None:
        error, self.failed_step = str(event.data["error"]), str(event.data["step"])
        self._end(event, "failed").error = error
        self.error = StepFailed("it failed earlier", type=error)

    def _compensating(self, event: Event) -> None:
        self._stop(event)
        self.idle_resumptions = 0  # the undo is another piece of work
        if self.error is None and (error := event.data.get("error")):
            self.error = StepFailed("it was stopped earlier", type=str(error))

    def _stop(self, event: Event) -> None:
        if self.steps and self.steps[-1].status == "running":
            self.stopped = self.steps[-1].name
            self._end_of(self.steps[-1], event, "stopped")

    def _end(self, event: Event, status: str) -> StepRecord:
        return self._end_of(self._last(event), event, status)

    def _end_of(self, step: StepRecord, event: Event, status: str) -> StepRecord:
        step.status, step.ended_at = status, event.at
        return step

    def _last(self, event: Event) -> StepRecord:
        name = event.data["step"]
        return next(step for step in reversed(self.steps) if step.name == name)


def _amounts(data: Mapping[str, JsonValue]) -> Amounts:
    tokens, usd = data.get("tokens", 0), data.get("usd", 0.0)
    assert isinstance(tokens, int)  # noqa: S101 - as it was journaled
    assert isinstance(usd, int | float)  # noqa: S101
    return Amounts(tokens=tokens, usd=float(usd))


def _words(value: JsonValue) -> str | None:
    return None if value is None else str(value)
