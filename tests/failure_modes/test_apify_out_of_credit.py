"""The Apify account is out of credit: cached results with their age, until credit is seen."""

from pathlib import Path

from agents.domain.kind import Kind
from bot.guards import CREDIT_EVERY_S
from bot.policies import APIFY
from tests.fakes.apify import FakeApify
from tests.fakes.people import WatchedClock
from tests.fakes.saga_clock import settle
from tests.integration.test_actors import INDEED, ITEMS, apify, one_actor, product
from tests.integration.test_feeds import scout, titles

__all__ = ["apify"]  # a fixture

HOUR = 3600.0


async def test_cached_results_until_credit_is_seen(tmp_path: Path, apify: FakeApify) -> None:
    """One request finds it out; no further run is tried, however long, until the account has credit
    again, which is looked for every five minutes. Then a run is started, and paid."""
    clock = WatchedClock()
    apify.actor(INDEED).items = ITEMS
    async with product(tmp_path, apify, clock, apify_actors_file=one_actor(tmp_path)) as core:
        await scout(core, kinds=(Kind.JOB,))
        apify.used_usd = apify.limit_usd
        clock.advance(HOUR)
        result = await scout(core, kinds=(Kind.JOB,))
        assert titles(result) == ["Florist", "Python Developer"]
        assert {match.provenance.from_cache for match in result.matches} == {True}
        (notice,) = (n for n in result.notices if INDEED in n)
        assert "its postings here are 60 min old" in notice
        assert "the Apify account is out of credit" in notice
        assert result.usage.apify_usd == 0
        tried = len(apify.seen("start"))
        for looks in range(1, 4):
            await clock.until_asleep(CREDIT_EVERY_S)
            clock.advance(CREDIT_EVERY_S)
            await apify.until(lambda looks=looks: len(apify.seen("limits")) == looks)  # type: ignore[misc]
            result = await scout(core, kinds=(Kind.JOB,))
            assert {match.provenance.from_cache for match in result.matches} == {True}
        assert "not asked now (out of credit)" in " ".join(result.notices)
        assert len(apify.seen("start")) == tried
        apify.used_usd = 0.0
        await clock.until_asleep(CREDIT_EVERY_S)
        clock.advance(CREDIT_EVERY_S)
        await apify.until(lambda: len(apify.seen("limits")) == 4)
        while core.guards.by_name[APIFY].breaker.waits_for_credit:
            await settle()
        result = await scout(core, kinds=(Kind.JOB,))
    assert {match.provenance.from_cache for match in result.matches} == {False}
    assert result.usage.apify_usd > 0
    assert len(apify.seen("start")) == tried + 1
