"""The Discovery agent: asks every source at once, each with its own deadline, and reports what
came, what could not be read and what failed."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from agents.discovery.duplicates import collapse
from agents.discovery.port import Need, Now, Postings, Reading, Source, SourceFailed, Sources
from agents.discovery.spending import Spending, paid_by
from agents.domain.opportunity import Opportunity
from agents.lanes import RANKING
from resilience.saga import JournalUnavailable

SAMPLE = "sample"

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceReport:
    """What one source gave; `error` says why it gave nothing, `notice` what to know of it."""

    source: str
    found: int
    unreadable: Mapping[str, int]
    error: str | None = None
    notice: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Discovery:
    """The postings of a run, one card each, and the account of how they were found.

    found = duplicates + the cards in `opportunities`; `cached` are the sources whose postings
    were read from the store, `cost_usd` is what the run was charged.
    """

    opportunities: tuple[Opportunity, ...]
    found: int
    duplicates: int
    sources: tuple[SourceReport, ...]
    sample: bool = False
    cached: frozenset[str] = frozenset()
    cost_usd: float = 0.0
    unserved: tuple[str, ...] = ()
    """Specs of which no source has anything of the kinds that are wanted."""

    @property
    def unreadable(self) -> int:
        """Records that could not be used, of all sources."""
        return sum(sum(report.unreadable.values()) for report in self.sources)


class AllSourcesFailed(Exception):  # noqa: N818 - names the event
    """No source gave anything because all of them failed; the message gives the reasons."""


def failures(reports: Iterable[SourceReport]) -> Iterator[str]:
    """Why sources failed, those with the same reason in one line."""
    names: dict[str, dict[str, None]] = {}
    for report in reports:
        if report.error is not None:
            reason = report.error.removeprefix(f"{report.source}: ")
            names.setdefault(reason, {})[report.source] = None
    for reason, sources in names.items():
        first, *others = sources
        yield f"{reason}: {', '.join(sources)}" if others else f"{first}: {reason}"


Progress = Callable[[SourceReport], Awaitable[None]]


class DiscoveryAgent:
    """Gathers postings; knows neither who asked nor what becomes of them."""

    def __init__(
        self, sources: Sources, postings: Postings, clock: Now, *, source_deadline_s: float
    ) -> None:
        self._sources = sources
        self._postings = postings
        self._clock = clock
        self._source_deadline_s = source_deadline_s

    async def discover(
        self,
        specs: tuple[str, ...],
        need: Need,
        *,
        sample_fallback: bool = False,
        progress: Progress | None = None,
        account: Spending | None = None,
    ) -> Discovery:
        """Ask the sources that `specs` name, keep what they gave, and return it collapsed.

        Raises AllSourcesFailed; InvalidValue for a spec that names no source. With
        `sample_fallback` the sample source stands in when the others gave nothing. What this
        starts is charged to `account`, also when it fails or is cancelled.
        """
        account = account or Spending()
        resolved = {spec: self._sources.resolve(spec, need) for spec in specs}
        named = [source for sources in resolved.values() for source in sources]
        sources = list({id(source): source for source in named}.values())  # `feeds` and one of them
        with paid_by(account):
            answers = await self._ask_all(sources, progress)
        sample = bool(specs) and set(specs) == {SAMPLE}
        if sample_fallback and not sample and not any(r.opportunities for _, r in answers):
            (source,) = self._sources.resolve(SAMPLE, need)
            answers.append(await self._ask(source, progress))
            sample = True
        reports = tuple(report for report, _ in answers)
        if reports and all(report.error for report in reports):
            raise AllSourcesFailed("; ".join(failures(reports)))
        readings = [reading for _, reading in answers]
        found = [o for reading in readings for o in reading.opportunities]
        now, wanted = self._clock.now(), frozenset(need.kinds)
        cards = await RANKING.run(collapse, found, now=now, wanted=wanted)
        known = {o.id for reading in readings if reading.stored for o in reading.opportunities}
        await self._postings.keep(card for card in cards if card.id not in known)
        return Discovery(
            opportunities=tuple(cards),
            found=len(found),
            duplicates=len(found) - len(cards),
            sources=reports,
            sample=sample,
            cached=frozenset(
                o.source
                for reading in readings
                if reading.from_cache
                for o in reading.opportunities
            ),
            cost_usd=account.usd,
            unserved=tuple(spec for spec, sources in resolved.items() if not sources),
        )

    async def _ask_all(
        self, sources: Iterable[Source], progress: Progress | None
    ) -> list[tuple[SourceReport, Reading]]:
        """All at once. While the store is out none of them counts: raises JournalUnavailable."""

        async def ask(source: Source) -> tuple[SourceReport, Reading] | JournalUnavailable:
            try:
                return await self._ask(source, progress)
            except JournalUnavailable as out:
                return out  # raised here, it would cancel the others' paid work

        async with asyncio.TaskGroup() as group:
            asked = [group.create_task(ask(source)) for source in sources]
        answers = []
        for task in asked:
            if isinstance(answer := task.result(), JournalUnavailable):
                raise answer
            answers.append(answer)
        return answers

    async def _ask(self, source: Source, progress: Progress | None) -> tuple[SourceReport, Reading]:
        reading, error = Reading(opportunities=()), None
        deadline_s = source.deadline_s or self._source_deadline_s
        try:
            async with asyncio.timeout(deadline_s):
                reading = await source.read()
        except SourceFailed as failure:
            error = str(failure)
        except JournalUnavailable:
            raise
        except TimeoutError:
            error = f"{source.label}: no answer within {deadline_s:g} s"
        except Exception as unexpected:
            # The source boundary: a bug in one must not cost the others' results.
            log.exception("source %s broke", source.label)
            error = f"{source.label}: internal error ({type(unexpected).__name__})"
        report = SourceReport(
            source=source.label,
            found=len(reading.opportunities),
            unreadable=reading.unreadable,
            error=error,
            notice=reading.notice,
        )
        if progress is not None:
            await progress(report)
        return report, reading
