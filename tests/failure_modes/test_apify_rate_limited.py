"""Apify says that we ask too often: what it gave last is shown with its age, and nobody asks."""

from pathlib import Path

from agents.domain.kind import Kind
from tests.fakes.apify import FakeApify, Fault
from tests.fakes.saga_clock import HeldClock
from tests.integration.test_actors import INDEED, ITEMS, apify, one_actor, product
from tests.integration.test_feeds import scout, titles

__all__ = ["apify"]  # a fixture

HOUR = 3600.0


def refuse(standin: FakeApify) -> None:
    """From now on it is too often."""
    standin.actor(INDEED).faults["start"] = Fault(status=429, type="rate-limit-exceeded")


async def test_cached_results_are_shown_with_their_age(tmp_path: Path, apify: FakeApify) -> None:
    """The scout completes with the postings of the last run, and says how old they are and why."""
    clock = HeldClock()
    apify.actor(INDEED).items = ITEMS
    async with product(tmp_path, apify, clock, apify_actors_file=one_actor(tmp_path)) as core:
        await scout(core, kinds=(Kind.JOB,))
        clock.advance(HOUR)
        refuse(apify)
        result = await scout(core, kinds=(Kind.JOB,))
    assert result.status == "completed"
    assert titles(result) == ["Florist", "Python Developer"]
    assert {match.provenance.from_cache for match in result.matches} == {True}
    assert {match.provenance.age_s for match in result.matches} == {HOUR}
    (notice,) = (n for n in result.notices if INDEED in n)
    assert "its postings here are 60 min old" in notice
    assert "rate-limited" in notice


async def test_nobody_asks_until_its_time_is_over(tmp_path: Path, apify: FakeApify) -> None:
    """Scouts of other needs make no request for a minute; then one asks, and all go on."""
    clock = HeldClock()
    apify.actor(INDEED).items = ITEMS
    refuse(apify)
    async with product(tmp_path, apify, clock, apify_actors_file=one_actor(tmp_path)) as core:
        for number in range(20):
            result = await scout(core, kinds=(Kind.JOB,), skills=(f"skill{number}",))
            assert result.status == "failed"
        assert result.error is not None
        assert (
            "not asked now (rate-limited); asked again in 60 s at the earliest"
            in result.error.message
        )
        assert len(apify.seen("start")) == 1
        apify.actor(INDEED).faults.clear()
        clock.advance(59)
        await scout(core, kinds=(Kind.JOB,), skills=("rust",))
        assert len(apify.seen("start")) == 1
        clock.advance(61)  # the pause after a failure, too
        assert titles(await scout(core, kinds=(Kind.JOB,), skills=("rust",)))
    assert len(apify.seen("start")) == 2
    assert apify.starts == 1
