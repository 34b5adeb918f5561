"""What to know of how a scout was made: what is missing, old, sampled or ranked without AI."""

from collections.abc import Iterator

from agents.discovery.agent import SAMPLE, Discovery, SourceReport, failures
from agents.domain.match import MatchMethod
from agents.matching.agent import Matching

SAMPLE_ONLY = (
    "These are sample postings, written to try Webscout with: no other source is configured."
)
SAMPLE_SHOWN = "No source gave anything: these are sample postings, written to try Webscout with."


def discovery_notices(discovery: Discovery, *, sample_stands_in: bool) -> Iterator[str]:
    """What the postings are. With `sample_stands_in` the sample is no source that was asked for,
    but what is shown for want of one."""
    if sample_stands_in:
        asked = _asked(discovery, sample_stands_in=sample_stands_in)
        yield SAMPLE_SHOWN if asked or discovery.unserved else SAMPLE_ONLY
    for spec in discovery.unserved:
        yield f"{spec}: no source there has what you are looking for."


def _asked(discovery: Discovery, *, sample_stands_in: bool) -> list[SourceReport]:
    return [r for r in discovery.sources if not (sample_stands_in and r.source == SAMPLE)]


def source_notices(discovery: Discovery, *, sample_stands_in: bool) -> Iterator[str]:
    """What to know of the sources that were asked, one by one."""
    asked = _asked(discovery, sample_stands_in=sample_stands_in)
    failed = [report for report in asked if report.error]
    if failed:
        yield f"{len(asked) - len(failed)} of {len(asked)} sources answered."
    yield from failures(failed)
    yield from (report.notice for report in asked if report.notice)
    yield from filter(None, map(_unreadable, asked))


def matching_notices(matching: Matching) -> Iterator[str]:
    """What to know of a ranking."""
    if matching.matches:
        for word in matching.unheard:
            yield f"No posting that fits says “{word}”; ranked by the rest."
    judged = sum(match.method is MatchMethod.LLM for match in matching.matches)
    if 0 < judged < len(matching.matches):
        yield f"The best {judged} were judged by AI; the others follow, ranked without it."


def ai_notices(**why: str | None) -> Iterator[str]:
    """What was done without a language model, and why: `ranked="..."`. None for what was done with
    one, or not at all."""
    by_reason: dict[str, list[str]] = {}
    for done, reason in why.items():
        if reason is not None:
            by_reason.setdefault(reason, []).append(done)
    for reason, parts in by_reason.items():
        yield f"{' and '.join(parts).capitalize()} without AI: {reason}."


def _unreadable(report: SourceReport) -> str | None:
    total = sum(report.unreadable.values())
    if not total:
        return None
    reasons = ", ".join(f"{n} {reason}" for reason, n in report.unreadable.items())
    return (
        f"{report.source}: {total} of {report.found + total} records could not be read ({reasons})"
    )
