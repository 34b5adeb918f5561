"""Bugs to be caught: each breaks the real code at one place, for as long as it is planted.

(One breaks a step of the simulation's own: that a start is looked for is the step's duty.)
"""

import random
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import agents.store.ledger as ledger_module
import agents.store.runs as runs_module
import resilience.saga.recording as recording_module
import resilience.saga.transitions as transitions_module
from agents.store.ledger import Ledger
from agents.store.runs import NewRun, RunStore
from resilience.budget import NOTHING, Amounts, Budget
from resilience.clock import Clock
from resilience.saga.execution import Execution
from resilience.saga.history import History
from resilience.saga.journal import JournalUnavailable
from resilience.saga.orchestrator import Orchestrator
from resilience.saga.recording import Recording
from resilience.saga.transitions import RunStatus
from resilience.saga.undoing import Undoing
from tests.chaos.outside import Outside
from tests.chaos.scenarios import SCENARIOS
from tests.chaos.script import Script, random_script


@dataclass(frozen=True, slots=True)
class Bug:
    """A bug, and the promise that it breaks. `place` is the real thing, `broken` makes another of
    it."""

    name: str
    promise: str
    place: object
    attribute: str
    broken: Callable[[Any], Any]
    worlds: Callable[[int], Script] = random_script

    @contextmanager
    def planted(self) -> Iterator[None]:
        """The code has the bug within."""
        real = getattr(self.place, self.attribute)
        setattr(self.place, self.attribute, self.broken(real))
        try:
            yield
        finally:
            setattr(self.place, self.attribute, real)


def _forgets_compensating(real: Any) -> Any:
    async def abandoned(self: Any, channels: Collection[str]) -> list[str]:
        query = "SELECT id FROM runs WHERE status = 'compensating'"
        undoing = await self._db.query(lambda c: {row[0] for row in c.exec_driver_sql(query).all()})
        return [run_id for run_id in await real(self, channels) if run_id not in undoing]

    return abandoned


def _takes_it_for_its_own(_real: Any) -> Any:
    async def stored(self: Any, event: Any, data: Any) -> Any:
        events = (await self._journal.events(self.run_id))[self.history.last_seq :]
        return next((e for e in events if (e.type, e.data) == (event, dict(data or {}))), None)

    return stored


def _cut_off(point: int) -> Script:
    """The world in which a process is cut off at that point, while its step goes on."""
    return replace(SCENARIOS["waits long"], processes=2, stall_at=frozenset({point}))


def _restarts_the_time(real: Any) -> Any:
    def restore(self: Any) -> None:
        real(self)
        self._ends_at = self._clock.monotonic() + self._saga.limits.timeout_s

    return restore


def _restarts_the_budget(real: Any) -> Any:
    def restore(self: Any) -> None:
        real(self)
        limits = self._saga.limits
        self._budget = Budget(Amounts(tokens=limits.tokens, usd=limits.usd), NOTHING)

    return restore


def _in_order(real: Any) -> Any:
    return lambda self: list(reversed(real(self)))


def _all_of_them(_real: Any) -> Any:
    def to_undo(self: Any) -> list[Any]:
        undone = self._recording.history.undone
        return [
            s for s in reversed(self._saga.steps) if s.undo is not None and s.name not in undone
        ]

    return to_undo


def _only_completed(real: Any) -> Any:
    return lambda self: [s for s in real(self) if s.name in self._recording.history.completed]


def _without_key(real: Any) -> Any:
    def check(self: Any, connection: Any, new: NewRun, quotas: Any, now: datetime) -> None:
        real(self, connection, replace(new, key=None), quotas, now)

    return check


def _finds_nothing(_real: Any) -> Any:
    async def has_start(*_: object) -> bool:
        return False

    return has_start


def _cancel_gives_up(real: Any) -> Any:
    def begin(self: Any) -> None:
        real(self)
        write_now = self._recording.write_now  # only a cancel calls it

        async def gives_up(event: Any) -> None:
            self._until = 0.0
            await write_now(event)

        self._recording.write_now = gives_up

    return begin


def _forgets_stopping(real: Any) -> Any:
    def move(connection: Any, event: Any, standing: Any) -> None:
        real(connection, event, replace(standing, stopping=False))

    return move


def _keeps_the_lease(real: Any) -> Any:
    def move(connection: Any, event: Any, standing: Any) -> None:
        if standing.status in {RunStatus.COMPLETED, RunStatus.FAILED}:
            values = {"id_": event.run_id, "status": standing.status, "last_seq": event.seq}
            values["stopping"] = standing.stopping
            ledger_module._moved.run(connection, values)
        else:
            real(connection, event, standing)

    return move


def _without_fence(real: Any) -> Any:
    async def append(self: Any, *what: Any, fence: int | None = None, **more: Any) -> Any:
        return await real(self, *what, **more)

    return append


def _always_free(_real: Any) -> Any:
    return lambda *_: True


def _told_already(real: Any) -> Any:
    return lambda new, now: real(new, now) | {"alerted_seq": 1_000_000}


def _never_told(_real: Any) -> Any:
    async def told_parked(*_: object) -> None:
        return None

    return told_parked


def _answers_nobody(_real: Any) -> Any:
    async def unanswered(*_: object) -> list[str]:
        return []

    return unanswered


def _forgets_nothing(_real: Any) -> Any:
    def ended(self: Any, run_id: str, task: Any) -> None:
        end = self._ends[run_id]
        if task.cancelled() or task.exception() is not None:
            end.cancel()
        else:
            end.set_result(task.result())

    return ended


def _own_dice(_real: Any) -> Any:
    dice = random.SystemRandom()

    async def patiently(work: Callable[[], Any], clock: Clock) -> Any:
        while True:
            try:
                return await work()
            except JournalUnavailable:
                await clock.sleep(dice.uniform(0.1, 5.0))

    return patiently


def _counts_no_intent(real: Any) -> Any:
    def spent(self: Any) -> Amounts:
        whole: Amounts = real.fget(self)
        return replace(whole, tokens=0)

    return property(spent)


BUGS = (
    Bug("a run is not taken up in its undo", "ends", Ledger, "abandoned", _forgets_compensating),
    Bug("a restart begins the timeout anew", "in time", Execution, "_restore_limits",
        _restarts_the_time),
    Bug("the undo goes first to last", "undone once", Undoing, "due", _in_order),
    Bug("only completed steps are undone", "undone once", Undoing, "due", _only_completed),
    Bug("all steps are undone, begun or not", "nothing else undone", Undoing, "due",
        _all_of_them),
    Bug("a new run is journaled without a look at its key", "one run a key", RunStore, "_check",
        _without_key),
    Bug("a start is not looked for outside", "one effect", Outside, "has_start", _finds_nothing),
    Bug("another's event is taken for one's own", "one effect", Recording, "_stored",
        _takes_it_for_its_own, _cut_off),
    Bug("a stop does not bar steps", "no step after a stop", transitions_module,
        "_NOT_WHEN_STOPPING", lambda _: frozenset()),
    Bug("a cancel ends the undo", "undo goes on", Undoing, "begin", _cancel_gives_up),
    Bug("a restart begins the budget anew", "budgets", Execution, "_restore_limits",
        _restarts_the_budget),
    Bug("what was spent is not in the history", "budgets", History, "spent", _counts_no_intent),
    Bug("the row forgets that the run is stopping", "journal", ledger_module, "_move",
        _forgets_stopping),
    Bug("an append ignores the fence", "one owner", Ledger, "append", _without_fence),
    Bug("a claim ignores a live lease", "one owner", Ledger, "_is_free", _always_free),
    Bug("a parking counts as told from the start", "one alert", runs_module, "_run_values",
        _told_already),
    Bug("telling the operators is not noted", "one alert", RunStore, "told_parked", _never_told),
    Bug("a lease is kept past the end", "at rest", ledger_module, "_move", _keeps_the_lease),
    Bug("an ended run is not forgotten", "at rest", Orchestrator, "_ended", _forgets_nothing),
    Bug("who was not answered is not looked for", "one reply", RunStore, "unanswered",
        _answers_nobody),
    Bug("a pause is drawn from dice of its own", "same trace", recording_module, "patiently",
        _own_dice),
)  # fmt: skip
"""At least one a promise."""
