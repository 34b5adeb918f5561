"""A tool does not answer: it costs its own results only, and after a few times nobody asks it."""

from pathlib import Path

from tests.fakes.feed_server import FeedServer
from tests.fakes.saga_clock import HeldClock
from tests.integration.test_feeds import JOBS, feed, product, scout, server, titles

__all__ = ["server"]  # a fixture

FAILURES = 5
HOUR = 3600.0


async def test_a_hanging_tool_is_asked_five_times_then_left_alone(
    tmp_path: Path, server: FeedServer
) -> None:
    """The others' results are shown, the answer says what is missing; when its time is over one
    request finds out that it is back."""
    clock, hangs = HeldClock(), server.route("/hangs")
    hangs.json({"jobs": [{"id": 9, "title": "Baker", "url": "https://oven.example/9"}]})
    hangs.hold()
    server.route("/good").json({"jobs": JOBS})
    feeds = [feed(server, "hangs", pause_s=0), feed(server, "good")]
    async with product(tmp_path, feeds, clock, source_timeout_s=0.2) as core:
        for _ in range(FAILURES):
            result = await scout(core)
            assert titles(result) == ["Florist", "Python Developer"]
            assert "1 of 2 sources answered." in result.notices
            assert "hangs: no answer within 0.2 s" in result.notices
        for _ in range(FAILURES):
            result = await scout(core)
            assert titles(result) == ["Florist", "Python Developer"]
        (notice,) = (n for n in result.notices if n.startswith("hangs: "))
        assert "not asked now (5 failures in a row); asked again in" in notice
        assert hangs.requests == FAILURES
        hangs.release()
        clock.advance(20)
        assert "Baker" in titles(await scout(core))
    assert hangs.requests == FAILURES + 1


async def test_what_it_gave_last_is_shown_with_its_age(tmp_path: Path, server: FeedServer) -> None:
    """A tool that hangs when it is overdue gives its last results, which say how old they are."""
    clock, hangs = HeldClock(), server.route("/hangs")
    hangs.json({"jobs": JOBS})
    async with product(
        tmp_path, [feed(server, "hangs", pause_s=0)], clock, source_timeout_s=0.2
    ) as core:
        await scout(core)
        clock.advance(2 * HOUR)
        hangs.hold()
        result = await scout(core)
        hangs.release()
    assert titles(result) == ["Florist", "Python Developer"]
    assert {match.provenance.age_s for match in result.matches} == {2 * HOUR}
    (notice,) = result.notices[:1]
    assert "its postings here are 2 h old" in notice
    assert "no answer within 0.2 s" in notice
