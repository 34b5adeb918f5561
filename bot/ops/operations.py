"""What operators do to the product, from the chat and from the dashboard alike.

Each action is journaled before it is done: who, when, what. What is paused or held open stands in
that journal, so that it outlasts a restart and reaches the other processes.
"""

import asyncio
import logging
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from agents.runner import NotParked
from agents.store.errors import StoreError
from bot.ops.observed import AGENTS
from resilience.breaker import Mode
from resilience.clock import Clock
from resilience.guard import Guard
from resilience.saga import Gate

LOOK_EVERY_S = 3.0

log = logging.getLogger(__name__)


class Action(StrEnum):
    """What can be done."""

    PAUSE = "pause"
    RESUME = "resume"
    OPEN = "open"
    CLOSE = "close"
    AUTO = "auto"
    RETRY = "retry"


MODES = {
    Action.OPEN: Mode.FORCED_OPEN,
    Action.CLOSE: Mode.FORCED_CLOSED,
    Action.AUTO: Mode.AUTO,
}
_ON_AGENTS = (Action.PAUSE, Action.RESUME)
_RUN_ID = re.compile(r"[0-9a-f]{1,64}")
_LASTING = (*_ON_AGENTS, *MODES)


@dataclass(frozen=True, slots=True)
class Done:
    """What came of an action, in words."""

    ok: bool
    words: str


class Unknown(Exception):  # noqa: N818 - names the mistake
    """There is no such agent, breaker or run; `allowed` says what there is."""

    def __init__(self, what: str, name: str, allowed: str) -> None:
        super().__init__(f"There is no {what} {name[:64]!r}. {allowed}")
        self.what = what
        self.name = name
        self.allowed = allowed


class Journal(Protocol):
    """The operators' ledger. All of it raises StoreError."""

    async def begin(self, who: str, action: str, subject: str) -> int:
        """Journal what is about to be done; its number."""
        ...

    async def end(self, number: int, outcome: str) -> None:
        """Journal what came of it."""
        ...

    async def standing(self, actions: Collection[str]) -> Mapping[str, str]:
        """The last of these actions on each subject."""
        ...


class Retries(Protocol):
    """The runner's part in a retry."""

    async def retry(self, run_id: str) -> None:
        """Try a parked run's undo again; raises NotParked, LookupError."""
        ...


class Operations:
    """The use cases of operators. `follow` has a run that is retried answered in its message."""

    def __init__(
        self,
        *,
        journal: Journal,
        gate: Gate,
        guards: Mapping[str, Guard],
        runner: Retries,
        follow: Callable[[str], None],
        changed: Callable[[], None],
        clock: Clock,
    ) -> None:
        self._journal = journal
        self._gate = gate
        self._guards = guards
        self._runner = runner
        self._follow = follow
        self._changed = changed
        self._clock = clock
        self._acting = asyncio.Lock()

    async def act(self, action: Action, name: str, who: str) -> Done:
        """Do it and say what came of it. Raises Unknown, and StoreError when it can't be journaled:
        then it is not done."""
        if action is Action.RETRY:
            return await self._retry(name, who)
        subject = self._subject(action, name)
        async with self._acting:  # what stood before must not be brought about after it
            number = await self._journal.begin(who, action, subject)
            words = self._apply(action, name)
        self._changed()
        log.info("an operator's %s: %s", action, subject)
        await self._end(number, words)
        return Done(ok=True, words=words)

    def _subject(self, action: Action, name: str) -> str:
        if action in _ON_AGENTS:
            if name not in AGENTS:
                raise Unknown("agent", name, f"Agents: {', '.join(AGENTS)}.")
            return f"agent:{name}"
        if name not in self._guards:
            raise Unknown("breaker", name, f"Breakers: {', '.join(self._guards)}.")
        return f"breaker:{name}"

    def _apply(self, action: Action, name: str) -> str:
        match action:
            case Action.PAUSE if not self._gate.is_open(name):
                return f"{name} was paused already."
            case Action.RESUME if self._gate.is_open(name):
                return f"{name} was not paused."
            case Action.PAUSE:
                self._gate.pause(name)
                return f"{name} is paused: steps under way go on, no other begins."
            case Action.RESUME:
                self._gate.resume(name)
                return f"{name} goes on."
            case _:
                mode = MODES[action]
                self._guards[name].breaker.force(mode)
                return f"The breaker of {name} is {_MODE_WORDS[mode]}."

    async def _retry(self, run_id: str, who: str) -> Done:
        if not _RUN_ID.fullmatch(run_id):  # nothing that somebody wrote stands in the journal
            raise Unknown("run", run_id, "/runs lists the newest.")
        number = await self._journal.begin(who, Action.RETRY, f"run:{run_id}")
        try:
            await self._runner.retry(run_id)
        except LookupError:
            await self._end(number, "no such run")
            raise Unknown("run", run_id, "/runs lists the newest.") from None
        except NotParked as other:
            await self._end(number, f"it was {other}")
            return Done(ok=False, words=f"Run {run_id} is {other}. Only a parked run is retried.")
        self._follow(run_id)
        self._changed()
        log.info("an operator's retry: run %s", run_id)
        await self._end(number, "its undo is tried again")
        return Done(ok=True, words=f"Undoing run {run_id} again. /run {run_id} shows how it went.")

    async def _end(self, number: int, outcome: str) -> None:
        try:
            await self._journal.end(number, outcome)
        except StoreError as error:  # it is done, and journaled as begun
            log.warning("what came of an operator's action can't be journaled: %s", error)

    async def restore(self) -> None:
        """Bring about what the operators wanted last; raises StoreError."""
        async with self._acting:
            await self._restore()

    async def _restore(self) -> None:
        for subject, action in (await self._journal.standing(_LASTING)).items():
            kind, _, name = subject.partition(":")
            if kind == "agent" and name in AGENTS:
                (self._gate.pause if action == Action.PAUSE else self._gate.resume)(name)
            elif kind == "breaker" and name in self._guards:
                breaker, mode = self._guards[name].breaker, MODES[Action(action)]
                if breaker.view().mode is not mode:
                    breaker.force(mode)

    async def keep_up(self) -> None:
        """Do what operators did at another process, until cancelled."""
        while True:
            await self._clock.sleep(LOOK_EVERY_S)
            try:
                await self.restore()
            except StoreError as error:
                log.debug("what operators did elsewhere is not known: %s", error)


_MODE_WORDS = {
    Mode.FORCED_OPEN: "held open: nothing is asked of it",
    Mode.FORCED_CLOSED: "held closed: whatever fails, it is asked",
    Mode.AUTO: "on its own again, beginning closed",
}
