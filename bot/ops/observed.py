"""What is heard of runs and of calls, folded as it happens: bounded, whatever the rate."""

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime

from resilience.clock import Clock
from resilience.guard import CallEnded
from resilience.health import Tally, Totals
from resilience.saga import CLOSING, KILL_SWITCHES, Event, EventType

log = logging.getLogger(__name__)

AGENTS = ("discovery", "matching", "action", "triage")


@dataclass(frozen=True, slots=True)
class StepUnderWay:
    """A step that has begun and not ended."""

    agent: str
    since: datetime


class Observed:
    """The agents' steps and the dependencies' calls of this process."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.agents = {name: Tally(clock) for name in AGENTS}
        self.calls: dict[str, Tally] = {}
        self.refused: dict[str, int] = {}
        self.under_way: dict[str, StepUnderWay] = {}
        """By run: a run does one step at a time."""
        self.unserved_since: dict[str, datetime] = {}
        """By agent: when the first step began since which none has succeeded."""
        self._recalling = False
        self.events = 0
        """How many were heard: a number that changes when something happened."""
        self.unscored: dict[str, int] = {}
        """By run: the postings that were found and not ranked yet."""
        self.ended: dict[str, int] = {}
        """Runs by how they ended, since the start."""

    def expect(self, dependencies: Iterable[str]) -> None:
        """Know of these dependencies before they are called."""
        for name in dependencies:
            self.calls.setdefault(name, Tally(self._clock))
            self.refused.setdefault(name, 0)

    def note_call(self, ended: CallEnded) -> None:
        """A guarded call ended. One that was refused was not made."""
        if ended.refused:
            self.refused[ended.name] += 1
        else:
            self.calls[ended.name].note(ended.took_s - ended.waited_s, failed=ended.failed)

    def recall(self, events: Iterable[Event]) -> None:
        """Take in what happened before the start, oldest first. What was under way then is not
        this process's."""
        self._recalling = True
        for event in events:
            self.note_event(event)
        self._recalling = False
        for tally in self.agents.values():
            tally.totals = Totals()  # counted since the start, by whoever did it
        self.ended.clear()
        self.under_way.clear()
        self.unscored.clear()

    def note_event(self, event: Event) -> None:
        """Something happened to a run."""
        self.events += 1
        match event.type:
            case EventType.STEP_STARTED:
                agent = str(event.data["agent"])
                self.under_way[event.run_id] = StepUnderWay(agent, event.at)
                self.unserved_since.setdefault(agent, event.at)
            case EventType.STEP_COMPLETED:
                self._step_ended(event, failed=False)
                self._count_unscored(event)
            case EventType.STEP_FAILED:
                self._step_ended(event, failed=True)
            case EventType.RUN_COMPENSATING:
                # A kill switch ends a step without a word of its own: its agent did not get there.
                stopped = event.data.get("error") in KILL_SWITCHES
                self._step_ended(event, failed=True, counts=stopped)
            case closing if closing in CLOSING:
                self._step_ended(event, failed=True, counts=False)
                self.unscored.pop(event.run_id, None)
                status = str(CLOSING[closing])
                self.ended[status] = self.ended.get(status, 0) + 1
                if not self._recalling:
                    log.info("run %s ended %s", event.run_id, status)
            case _:
                pass

    def forget_lost(self, is_here: Callable[[str], bool]) -> None:
        """Forget the runs that went over to another process."""
        for known in (self.under_way, self.unscored):
            for run_id in [run_id for run_id in known if not is_here(run_id)]:
                del known[run_id]

    def _step_ended(self, event: Event, *, failed: bool, counts: bool = True) -> None:
        step = self.under_way.pop(event.run_id, None)
        if step is None or not counts or step.agent not in self.agents:
            return
        if not failed:
            self.unserved_since.pop(step.agent, None)
        took_s = max(0.0, (event.at - step.since).total_seconds())
        ago_s = max(0.0, (self._clock.now() - event.at).total_seconds())
        self.agents[step.agent].note(took_s, failed=failed, ago_s=ago_s)

    def _count_unscored(self, event: Event) -> None:
        found, duplicates = event.data.get("found"), event.data.get("duplicates", 0)
        if event.data["agent"] == "discovery" and isinstance(found, int):
            assert isinstance(duplicates, int)  # noqa: S101 - as it was journaled
            self.unscored[event.run_id] = found - duplicates
        elif event.data["agent"] == "matching":
            self.unscored.pop(event.run_id, None)
