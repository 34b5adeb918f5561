"""What goes wrong, and when: crashes at numbered points, outages, lost answers. And the trace."""

import asyncio
from dataclasses import dataclass, field
from random import Random
from typing import Protocol

from agents.store.errors import StoreUnavailable
from tests.chaos.scheduler import Crashed

_SLOW, _SLOWEST_S = 0.2, 0.05


@dataclass(frozen=True, slots=True)
class Span:
    """A time of the simulation, in its seconds."""

    begins_s: float
    lasts_s: float

    def holds(self, now_s: float) -> bool:
        """Whether it is then."""
        return self.begins_s <= now_s < self.begins_s + self.lasts_s


class Victim(Protocol):
    """What a fault knows of the process that it hits."""

    name: str
    dead: bool
    cut_off: tuple[Span, ...]
    """When it alone does not reach the store."""

    def kill(self) -> None:
        """End it, this instant."""
        ...


@dataclass(slots=True)
class Faults:
    """Decides at each point, by its number, whether the process that is there dies."""

    random: Random
    crash_at: frozenset[int]
    outages: tuple[Span, ...] = ()
    lost_answers: float = 0.0
    stall_at: frozenset[int] = frozenset()
    stall_s: float = 0.0
    points: int = 0
    trace: list[str] = field(default_factory=list)
    reached: dict[int, asyncio.Event] = field(default_factory=dict)
    """Who waits for a point."""
    healed: bool = False
    """No outages any more."""
    calm: bool = False
    """No crashes, either."""

    def note(self, who: str, what: str) -> None:
        """One line of the trace."""
        self.trace.append(f"{asyncio.get_running_loop().time():9.3f} {who:3} {what}")

    def point(self, who: Victim, what: str) -> None:
        """Before or after a write or an outside call; raises Crashed where the process ends."""
        self.alive(who)
        self.points += 1
        self.note(who.name, f"#{self.points} {what}")
        if (reached := self.reached.pop(self.points, None)) is not None:
            reached.set()
        if self.points in self.stall_at:
            self.note(who.name, "is cut off")
            who.cut_off += (Span(asyncio.get_running_loop().time(), self.stall_s),)
        if self.points in self.crash_at and not self.calm:
            self.note(who.name, "dies")
            who.kill()
            raise Crashed

    def alive(self, who: Victim) -> None:
        """Raise Crashed in a process that is dead: it does nothing any more."""
        if who.dead:
            raise Crashed

    def store_answers(self, who: Victim) -> None:
        """Raise StoreUnavailable while the store is out, for all or for this process."""
        now_s = asyncio.get_running_loop().time()
        if self.healed:
            return
        if any(span.holds(now_s) for span in (*self.outages, *who.cut_off)):
            self.note(who.name, "the store is out")
            raise StoreUnavailable("database: it is out")

    def answer_arrives(self, who: Victim) -> None:
        """Raise StoreUnavailable where a write was stored, and its answer got lost."""
        if not self.healed and self.lost_answers and self.random.random() < self.lost_answers:
            self.note(who.name, "the answer got lost")
            raise StoreUnavailable("database: the connection broke")

    async def latency(self) -> None:
        """Others get their turn; now and then it takes a little."""
        slow = self.random.random() < _SLOW
        await asyncio.sleep(self.random.uniform(0.0, _SLOWEST_S) if slow else 0)
