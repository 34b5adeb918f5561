"""The shipped sample postings."""

from collections import Counter
from datetime import timedelta

from agents.discovery.sources.sample import SampleSource
from agents.domain.kind import Kind
from resilience.clock import SystemClock

NOW = SystemClock().now


async def test_samples_of_every_kind_are_shipped() -> None:
    """About sixty postings, several of each kind, each with an id of its own."""
    reading = await SampleSource(NOW).read()
    kinds = Counter(posting.kind for posting in reading.opportunities)
    assert reading.unreadable == {}
    assert 50 <= len(reading.opportunities) <= 70
    assert all(kinds[kind] >= 5 for kind in Kind)
    assert len({posting.id for posting in reading.opportunities}) == len(reading.opportunities)
    assert len({posting.url for posting in reading.opportunities}) == len(reading.opportunities)


async def test_samples_say_that_they_are_samples() -> None:
    """Source, organisation and link show that no sample is a real offer."""
    for posting in (await SampleSource(NOW).read()).opportunities:
        assert posting.source == "sample"
        assert "(sample)" in (posting.organisation or "")
        assert (posting.url or "").startswith("https://example.com/")


async def test_samples_are_complete_and_current() -> None:
    """Dates are counted from today, and what a card shows is there."""
    for posting in (await SampleSource(NOW).read()).opportunities:
        now = posting.fetched_at
        assert posting.live(now)
        assert posting.posted_at is not None
        assert now - timedelta(days=60) <= posting.posted_at <= now
        assert posting.skills
        assert posting.description
        assert posting.pay is None or posting.pay.text
