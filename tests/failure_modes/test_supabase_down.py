"""Supabase is down: memory alone is the cache, no scout is worse, and what it missed it gets."""

import asyncio
import logging
from pathlib import Path

import pytest
from pydantic import SecretStr

from agents.forget import NotOverwrittenYet
from bot.policies import SUPABASE
from resilience.breaker import CLOSED, OPEN
from tests.fakes.feed_server import FeedServer
from tests.fakes.saga_clock import HeldClock, settle
from tests.fakes.supabase import Supabase
from tests.integration.test_feeds import JOBS, feed, product, scout, server, titles

__all__ = ["server"]  # a fixture

SCOUTS = 20
FAILURES = 5
HOUR = 3600.0


def with_supabase(supabase: Supabase) -> dict[str, object]:
    """The settings of a process that shares this cache."""
    return {
        "supabase_url": supabase.url,
        "supabase_service_role_key": SecretStr(supabase.service_role_key),
    }


async def rows(supabase: Supabase) -> int:
    """How many values Supabase holds."""
    (row,) = await supabase.sql("SELECT count(*) AS n FROM cache_entries")
    return int(row["n"])


@pytest.mark.parametrize("status", [503, 500])
async def test_scouts_go_on_and_nothing_is_lost(
    tmp_path: Path, server: FeedServer, supabase: Supabase, status: int
) -> None:
    """Twenty scouts complete with their drafts while it refuses; it is asked five times, then left
    alone; when it answers again it gets every draft."""
    clock = HeldClock()
    server.route("/one").json({"jobs": JOBS})
    settings = with_supabase(supabase)
    async with product(tmp_path, [feed(server, "one")], clock, **settings) as core:
        assert core.cache.writes is not None
        await scout(core)
        assert await core.cache.writes.written(within_s=10)
        before, stored = len(supabase.requests), await rows(supabase)
        assert stored == 2  # what the feed gave, and a draft
        supabase.answers(status)
        for number in range(SCOUTS):
            result = await scout(core, skills=(f"skill {number}",))
            assert titles(result) == ["Florist", "Python Developer"]
            assert len(result.drafts) == 1
            assert "upabase" not in " ".join(result.notices)
        asked = len(supabase.requests) - before  # some may be under way when it opens
        assert FAILURES <= asked <= core.guards.by_name[SUPABASE].bulkhead.limit
        assert core.guards.by_name[SUPABASE].breaker.state is OPEN
        supabase.heal()
        while core.guards.by_name[SUPABASE].breaker.state is not CLOSED:
            clock.advance(10)
            await settle()
            await core.cache.writes.written(within_s=0.05)
        while len(core.cache.writes):
            clock.advance(30)
            await core.cache.writes.written(within_s=0.05)
        assert await rows(supabase) == stored + SCOUTS


async def test_a_refused_key_is_said_once(
    tmp_path: Path, server: FeedServer, supabase: Supabase, caplog: pytest.LogCaptureFixture
) -> None:
    """One line when it begins and one when it is over, without the key; scouts go on."""
    caplog.set_level(logging.INFO)
    server.route("/one").json({"jobs": JOBS})
    settings = with_supabase(supabase)
    async with product(tmp_path, [feed(server, "one")], HeldClock(), **settings) as core:
        await scout(core)
        supabase.answers(401)
        for number in range(3):
            assert titles(await scout(core, skills=(f"skill {number}",)))
        supabase.heal()
        assert titles(await scout(core, skills=("one more",)))
    said = [r.getMessage() for r in caplog.records if r.name == "bot.guards"]
    assert said == [
        "supabase: Supabase answers 401; memory alone is the cache",
        "supabase answers again",
    ]


async def test_what_is_to_be_forgotten_survives_a_restart(
    tmp_path: Path, server: FeedServer, supabase: Supabase
) -> None:
    """/forget says that Supabase does not answer; the next start tells it, and nothing is left."""
    clock = HeldClock()
    server.route("/one").json({"jobs": JOBS})
    settings = with_supabase(supabase)
    async with product(tmp_path, [feed(server, "one")], clock, **settings) as core:
        assert core.cache.writes is not None
        await scout(core)
        assert await core.cache.writes.written(within_s=10)
        person = await core.people.person("test", "1")
        supabase.answers(503)
        with pytest.raises(NotOverwrittenYet, match="does not answer"):
            await core.forgetting.forget(person.id)
    theirs = "SELECT count(*) AS n FROM cache_entries WHERE tag = :tag"
    assert (await supabase.sql(theirs, tag=person.id))[0]["n"] == 1
    supabase.heal()
    async with product(tmp_path, [feed(server, "one")], clock, **settings) as core:
        telling = asyncio.create_task(core.forgetting.keep_telling())
        while await core.people.untold():
            await settle()
        telling.cancel()
    assert (await supabase.sql(theirs, tag=person.id))[0]["n"] == 0


async def test_what_another_process_fetched_is_not_fetched_again(
    tmp_path: Path, server: FeedServer, supabase: Supabase
) -> None:
    """A second process with a database of its own takes the feed's postings from Supabase, with
    their age; when the feed is down and they are old, they are shown all the same."""
    clock, route = HeldClock(), server.route("/one")
    route.json({"jobs": JOBS})
    settings = with_supabase(supabase)
    feeds = [feed(server, "one")]
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    (tmp_path / "c").mkdir()
    async with product(tmp_path / "a", feeds, clock, **settings) as core:
        await scout(core)
    clock.advance(HOUR / 2)
    async with product(tmp_path / "b", feeds, clock, **settings) as core:
        result = await scout(core)
    assert titles(result) == ["Florist", "Python Developer"]
    assert {m.provenance.from_cache for m in result.matches} == {True}
    assert {m.provenance.age_s for m in result.matches} == {HOUR / 2}
    assert route.requests == 1
    route.status(404)
    clock.advance(HOUR)
    async with product(tmp_path / "c", feeds, clock, **settings) as core:
        result = await scout(core)
    assert titles(result) == ["Florist", "Python Developer"]
    assert {m.provenance.age_s for m in result.matches} == {1.5 * HOUR}
    assert "one: its postings here are 90 min old; it could not be read now" in result.notices[0]
    assert route.requests == 2
