"""Sources that a test holds in its hand."""

import asyncio
from dataclasses import dataclass, field

from agents.discovery.port import Reading, Source, SourceFailed
from agents.discovery.sources.catalogue import Catalogue
from agents.domain.opportunity import Opportunity
from resilience.clock import SystemClock


@dataclass
class HeldSource:
    """Gives its postings when the test opens the gate; `asked` tells that it was reached."""

    opportunities: tuple[Opportunity, ...] = ()
    label: str = "held"
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

    async def read(self) -> Reading:
        """Fail, as a source does."""
        raise SourceFailed("failing: it is down")


@dataclass
class TestSources:
    """The real catalogue, with some specs answered by the test's own sources."""

    __test__ = False
    own: dict[str, Source]

    def resolve(self, spec: str) -> Source:
        """The test's source for the spec, else the real one."""
        return self.own.get(spec) or Catalogue(SystemClock().now).resolve(spec)
