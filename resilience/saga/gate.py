"""Where the steps of an agent wait while it is paused."""

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import datetime


class Gate:
    """Which agents are paused. A step under way goes on; none of a paused agent's begins, and no
    run whose first step is one."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now
        self._shut: dict[str, asyncio.Event] = {}
        self._since: dict[str, datetime] = {}
        self._waiting: Counter[str] = Counter()
        self._resumed: list[Callable[[], None]] = []

    @property
    def paused(self) -> frozenset[str]:
        """The agents that are."""
        return frozenset(self._shut)

    @property
    def waiting(self) -> Mapping[str, int]:
        """How many runs that had begun wait here, by agent."""
        return +self._waiting

    @property
    def waiting_since(self) -> Mapping[str, datetime]:
        """Since when runs that had begun wait here, by agent."""
        return {agent: self._since[agent] for agent in self.waiting}

    def is_open(self, agent: str) -> bool:
        """Whether a step of the agent may begin."""
        return agent not in self._shut

    def pause(self, agent: str) -> None:
        """Let no step of the agent begin."""
        self._shut.setdefault(agent, asyncio.Event())

    def resume(self, agent: str) -> None:
        """Let those that wait begin."""
        if (event := self._shut.pop(agent, None)) is not None:
            event.set()
            for resumed in self._resumed:
                resumed()

    def on_resume(self, resumed: Callable[[], None]) -> None:
        """Call `resumed` whenever an agent is resumed."""
        self._resumed.append(resumed)

    async def passed(self, agent: str) -> None:
        """Return when a step of the agent may begin."""
        while (event := self._shut.get(agent)) is not None:
            if not self._waiting[agent]:
                self._since[agent] = self._now()
            self._waiting[agent] += 1
            try:
                await event.wait()
            finally:
                self._waiting[agent] -= 1
