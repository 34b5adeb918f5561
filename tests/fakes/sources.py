"""Sources that a test holds in its hand."""

import asyncio
from dataclasses import dataclass, field

from agents.discovery.port import Need, Reading, Source, SourceFailed, Sources
from agents.domain.opportunity import Opportunity


@dataclass
class HeldSource:
    """Gives its postings when the test opens the gate; `asked` tells that it was reached."""

    opportunities: tuple[Opportunity, ...] = ()
    label: str = "held"
    deadline_s: float | None = None
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    stopped: int = 0

    async def read(self) -> Reading:
        """Wait for the gate, then give the postings."""
        self.asked.set()
        try:
            await self.gate.wait()
        except asyncio.CancelledError:
            self.stopped += 1
            raise
        return Reading(opportunities=self.opportunities)


class FailingSource:
    """Never gives anything."""

    label = "failing"
    deadline_s: float | None = None

    async def read(self) -> Reading:
        """Fail, as a source does."""
        raise SourceFailed("failing: it is down")


@dataclass
class TestSources:
    """The real sources, with some specs answered by the test's own; a bot's `Fakes.sources`."""

    __test__ = False
    own: dict[str, Source]
    real: Sources | None = None

    def __call__(self, real: Sources) -> Sources:
        """Stand before the real ones."""
        self.real = real
        return self

    def check(self, spec: str) -> None:
        """Refuse what neither the test nor the product has."""
        self.resolve(spec, Need())

    def resolve(self, spec: str, need: Need) -> tuple[Source, ...]:
        """The test's source for the spec, else the real ones."""
        assert self.real is not None
        return (self.own[spec],) if spec in self.own else self.real.resolve(spec, need)
