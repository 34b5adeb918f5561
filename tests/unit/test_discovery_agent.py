"""The Discovery agent: what came, what could not be read and what failed."""

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.discovery.agent import AllSourcesFailed, Discovery, DiscoveryAgent, SourceReport
from agents.discovery.port import Need, Reading, Source, SourceFailed
from agents.domain.errors import InvalidValue
from agents.domain.kind import Kind
from agents.domain.opportunity import Opportunity
from tests.fakes.clock import FixedClock
from tests.fakes.opportunities import opportunity

A, B, C = (opportunity(id=name, title=f"Engineer {name}") for name in "abc")


@dataclass
class FakeSource:
    """Gives its reading, fails with its failure, or waits until it is cancelled."""

    label: str
    opportunities: tuple[Opportunity, ...] = ()
    unreadable: Mapping[str, int] = field(default_factory=dict)
    failure: Exception | None = None
    silent: bool = False
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    cancelled: bool = False
    deadline_s: float | None = None

    async def read(self) -> Reading:
        """As the test wants it."""
        self.asked.set()
        if self.silent:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                self.cancelled = True
                raise
        if self.failure is not None:
            raise self.failure
        return Reading(opportunities=self.opportunities, unreadable=self.unreadable)


class FakeSources:
    """Sources by their labels."""

    def __init__(self, *sources: FakeSource) -> None:
        self._sources = {source.label: source for source in sources}

    def check(self, spec: str) -> None:
        """Refuse other labels."""
        self.resolve(spec, Need())

    def resolve(self, spec: str, need: Need) -> tuple[Source, ...]:
        """The source of that label."""
        if spec not in self._sources:
            raise InvalidValue("source", f"unknown source {spec!r}", ", ".join(self._sources))
        return (self._sources[spec],)


class MemoryPostings:
    """Keeps postings in a list."""

    def __init__(self) -> None:
        self.kept: list[Opportunity] = []

    async def keep(self, opportunities: Iterable[Opportunity]) -> None:
        """Remember them."""
        self.kept += opportunities


@dataclass
class Room:
    """An agent with its fakes."""

    agent: DiscoveryAgent
    postings: MemoryPostings
    reports: list[SourceReport] = field(default_factory=list)

    async def discover(self, *specs: str, **options: object) -> Discovery:
        """Discover, and note the progress told."""
        need = Need(kinds=options.pop("kinds", ()))  # type: ignore[arg-type]
        return await self.agent.discover(specs, need, progress=self.note, **options)  # type: ignore[arg-type]

    async def note(self, report: SourceReport) -> None:
        """Remember what progress says."""
        self.reports.append(report)


def room(*sources: FakeSource, deadline_s: float = 60.0) -> Room:
    """An agent over these sources."""
    postings = MemoryPostings()
    agent = DiscoveryAgent(
        FakeSources(*sources), postings, FixedClock(), source_deadline_s=deadline_s
    )
    return Room(agent=agent, postings=postings)


def failing(label: str) -> FakeSource:
    """A source that fails."""
    return FakeSource(label, failure=SourceFailed(f"{label}: it is down"))


async def test_what_the_sources_give_is_kept_and_returned() -> None:
    """All postings in the order of the specs, kept, with a report for each source."""
    here = room(FakeSource("one", (A, B)), FakeSource("two", (C,), {"no title": 2}))
    found = await here.discover("one", "two")
    assert found.opportunities == (A, B, C)
    assert (found.found, found.duplicates, found.unreadable) == (3, 0, 2)
    assert here.postings.kept == [A, B, C]
    assert found.sources == (
        SourceReport(source="one", found=2, unreadable={}),
        SourceReport(source="two", found=1, unreadable={"no title": 2}),
    )
    assert not found.sample


async def test_progress_is_told_once_a_source() -> None:
    """Each source is reported when it is done, also one that failed."""
    here = room(FakeSource("one", (A,)), failing("two"))
    await here.discover("one", "two")
    assert {(r.source, r.found, r.error) for r in here.reports} == {
        ("one", 1, None),
        ("two", 0, "two: it is down"),
    }


async def test_nobody_has_to_listen() -> None:
    """Progress is optional."""
    here = room(FakeSource("one", (A,)))
    assert (await here.agent.discover(("one",), Need())).found == 1


async def test_duplicates_become_one_card() -> None:
    """Found counts every posting; duplicates are those that stand on another's card."""
    twin = opportunity(id="twin", url=A.url, kind=Kind.GIG)
    here = room(FakeSource("one", (A, B)), FakeSource("two", (twin,)))
    found = await here.discover("one", "two")
    assert [(card.id, len(card.also_at)) for card in found.opportunities] == [("a", 1), ("b", 0)]
    assert (found.found, found.duplicates) == (3, 1)
    wanted = await here.discover("one", "two", kinds=(Kind.GIG,))
    assert [card.id for card in wanted.opportunities] == ["twin", "b"]


async def test_some_sources_failing_is_a_report() -> None:
    """What the others gave is used, and the report says why one gave nothing."""
    here = room(failing("one"), FakeSource("two", (A,)))
    found = await here.discover("one", "two")
    assert found.opportunities == (A,)
    assert [report.error for report in found.sources] == ["one: it is down", None]


async def test_all_sources_failing_fails_with_every_reason() -> None:
    """Nothing is kept, and the error names each source's reason."""
    here = room(failing("one"), failing("two"))
    with pytest.raises(AllSourcesFailed, match="it is down: one, two"):
        await here.discover("one", "two")
    assert here.postings.kept == []


async def test_empty_sources_are_no_failure() -> None:
    """A source with nothing in it answered; a run may find nothing."""
    found = await room(FakeSource("one"), failing("two")).discover("one", "two")
    assert (found.found, found.opportunities) == (0, ())


async def test_no_sources_find_nothing() -> None:
    """Without specs nothing is asked, and nothing failed."""
    found = await room().discover()
    assert (found.found, found.sources, found.sample) == (0, (), False)


async def test_an_unknown_spec_is_refused_before_any_source_is_asked() -> None:
    """A spec that names no source is wrong usage: nothing is read or kept."""
    here = room(FakeSource("one", (A,)))
    with pytest.raises(InvalidValue, match="unknown source 'nine'"):
        await here.discover("one", "nine")
    assert here.reports == []
    assert here.postings.kept == []


async def test_a_silent_source_is_given_up_at_its_deadline() -> None:
    """Each source has its own deadline; the others are not held up, and the silent one stops."""
    silent = FakeSource("silent", silent=True)
    here = room(silent, FakeSource("quick", (A,)), deadline_s=0.0)
    found = await here.discover("silent", "quick")
    assert found.opportunities == (A,)
    assert found.sources[0].error == "silent: no answer within 0 s"
    assert silent.cancelled


async def test_cancelling_stops_the_sources() -> None:
    """A cancelled discovery cancels what it asked and keeps nothing."""
    silent = FakeSource("silent", silent=True)
    here = room(silent, FakeSource("quick", (A,)))
    discovering = asyncio.create_task(here.discover("silent", "quick"))
    await silent.asked.wait()
    discovering.cancel()
    with pytest.raises(asyncio.CancelledError):
        await discovering
    assert silent.cancelled
    assert here.postings.kept == []


async def test_an_unforeseen_failure_costs_only_its_own_source() -> None:
    """A source that breaks in a way nobody foresaw is reported, the others are used."""
    broken = FakeSource("broken", failure=RuntimeError("a bug"))
    found = await room(FakeSource("fine", (A,)), broken).discover("fine", "broken")
    assert found.opportunities == (A,)
    assert found.sources[1].error == "broken: internal error (RuntimeError)"


@pytest.mark.parametrize(
    "others",
    [(), (FakeSource("one"),), (failing("one"),), (failing("one"), FakeSource("two"))],
    ids=["none", "empty", "failing", "both"],
)
async def test_samples_stand_in_when_nothing_was_found(others: tuple[FakeSource, ...]) -> None:
    """With the fallback, sample postings are shown where no source gave anything."""
    here = room(*others, FakeSource("sample", (A,)))
    found = await here.discover(*(source.label for source in others), sample_fallback=True)
    assert found.sample
    assert found.opportunities == (A,)
    assert [report.source for report in found.sources][-1] == "sample"


async def test_samples_do_not_mix_with_real_postings() -> None:
    """Where any source gave something, no sample is shown unasked."""
    here = room(FakeSource("one", (A,)), FakeSource("sample", (B,)))
    found = await here.discover("one", sample_fallback=True)
    assert found.opportunities == (A,)
    assert not found.sample


async def test_samples_that_were_asked_for_are_asked_once() -> None:
    """A scout of the samples alone is marked as such, and they are not read twice."""
    here = room(FakeSource("sample"))
    found = await here.discover("sample", sample_fallback=True)
    assert found.sample
    assert len(found.sources) == 1


async def test_failing_samples_fail_with_the_others() -> None:
    """When even the stand-in fails, all have failed."""
    with pytest.raises(AllSourcesFailed, match="it is down: one, sample"):
        await room(failing("one"), failing("sample")).discover("one", sample_fallback=True)


@given(st.lists(st.lists(st.integers(0, 5), max_size=6), max_size=4))
async def test_the_account_adds_up(sources: list[list[int]]) -> None:
    """Whatever the sources give: found = duplicates + cards = the sum of the reports."""
    fakes = [
        FakeSource(
            f"source {number}",
            tuple(opportunity(id=str(n), title=f"Engineer {n}") for n in numbers),
        )
        for number, numbers in enumerate(sources)
    ]
    found = await room(*fakes).discover(*(fake.label for fake in fakes))
    assert found.found == found.duplicates + len(found.opportunities)
    assert found.found == sum(report.found for report in found.sources)
