"""What the steps touch outside: an actor's runs that cost, a model, a chat, and things that an undo
takes away. It outlives every process and remembers who did what."""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from tests.chaos.faults import Faults, Victim

T = TypeVar("T")

ACTOR_USD, ACTOR_USD_MAX = 0.2, 0.25
LLM_TOKENS, LLM_TOKENS_MAX = 500, 800

Key = tuple[str, str]
"""A run and a step."""


@dataclass(slots=True)
class Outside:
    """All of it. Each touch is a point before and one after, where the process may die."""

    faults: Faults
    starts: Counter[Key] = field(default_factory=Counter)
    tokens: Counter[str] = field(default_factory=Counter)
    texts: dict[int, str] = field(default_factory=dict)
    answered: defaultdict[str, set[int]] = field(default_factory=lambda: defaultdict(set))
    things: set[Key] = field(default_factory=set)
    made: set[Key] = field(default_factory=set)
    gone: list[Key] = field(default_factory=list)
    """What was taken away in effect, in that order."""
    done: Counter[Key] = field(default_factory=Counter)
    """How often a step's work was begun."""
    undo_calls: Counter[Key] = field(default_factory=Counter)
    undo_failures: Counter[Key] = field(default_factory=Counter)
    repaired: bool = False

    async def touch(self, who: Victim, what: str, effect: Callable[[], T]) -> T:
        """The effect, in one turn with its two points: after a fenced write nobody comes between.
        (A call that is on its way when another process looks is the sources' own matter: see
        tests/unit/test_actor_starts.py.)"""
        self.faults.point(who, f"before {what}")
        result = effect()
        self.faults.point(who, f"after {what}")
        await asyncio.sleep(0)
        return result

    async def has_start(self, who: Victim, key: Key) -> bool:
        """Whether a run with that mark was started: the reconciliation."""
        await self.faults.latency()
        self.faults.alive(who)
        return self.starts[key] > 0

    async def start(self, who: Victim, key: Key) -> None:
        """Start a run with that mark, which costs ACTOR_USD."""
        await self.touch(who, f"start {key}", lambda: self.starts.update([key]))

    async def complete(self, who: Victim, run_id: str) -> None:
        """A model's answer, which takes LLM_TOKENS."""
        await self.touch(who, "llm", lambda: self.tokens.update({run_id: LLM_TOKENS}))

    async def edit(self, who: Victim, message_id: int, text: str) -> None:
        """Replace the text of a message."""
        await self.touch(who, f"edit {message_id}", lambda: self.texts.update({message_id: text}))

    async def answer(self, who: Victim, run_id: str, message_id: int, text: str) -> None:
        """The terminal reply to a run."""
        await self.edit(who, message_id, text)
        self.answered[run_id].add(message_id)

    async def make(self, who: Victim, key: Key) -> None:
        """Make the step's thing, if it is not there."""

        def effect() -> None:
            self.things.add(key)
            self.made.add(key)

        await self.touch(who, f"make {key}", effect)

    async def unmake(self, who: Victim, key: Key) -> str | None:
        """Take the step's thing away; None where there is none."""

        def effect() -> str | None:
            if key not in self.things:
                return None
            self.things.remove(key)
            self.gone.append(key)
            return f"{key[1]} undone"

        return await self.touch(who, f"unmake {key}", effect)
