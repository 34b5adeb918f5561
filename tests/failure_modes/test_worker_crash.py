"""A worker crash: the process is killed in the middle of its runs. The next start takes them up at
once, and what was paid for is used."""

from pathlib import Path

import pytest

from resilience.saga import EventType
from tests.e2e.load import Load

PEOPLE, PROGRAMS = 2, 2


@pytest.mark.timeout(180)
async def test_the_next_start_takes_the_runs_up(tmp_path: Path) -> None:
    """Killed while Apify works: after a restart every run completes, with one start for each input
    and one shortlist for each person; nobody waits for the leases of the dead process."""
    async with Load(tmp_path, f"sqlite:///{tmp_path}/var/webscout.db") as load:
        await load.start()
        load.hold()
        await load.more(PEOPLE, PROGRAMS)
        await load.apify.until(lambda: len(load.apify.seen("run")) >= 3)
        await load.until(lambda: load.accepted == PROGRAMS)
        await load.kill()
        left = {story.row.id: story.row for story in await load.stories()}
        owned = [row for row in left.values() if row.owner is not None]
        assert len(owned) >= PROGRAMS
        assert {row.status for row in owned} <= {"queued", "running"}

        load.release()
        await load.start()
        await load.at_rest(load.scouts, load.posts)
        await load.until_answered()
        assert await load.stop() == 0
        await load.check()
        for story in await load.stories():
            if (before := left.get(story.row.id)) in owned and before is not None:
                resumed = [e.at for e in story.events if e.type is EventType.RUN_RESUMED]
                started = [e.at for e in story.events if e.type is EventType.RUN_STARTED]
                assert (resumed or started)[0] < before.lease_until


async def test_a_start_that_is_killed_at_once_leaves_nothing_half(tmp_path: Path) -> None:
    """Killed while it starts on an empty database: the next start works."""
    async with Load(tmp_path, f"sqlite:///{tmp_path}/var/other.db") as load:
        await load.begin()
        await load.telegram.wait_for(lambda: bool(load.calls()), 30)  # before it is ready
        await load.kill()
        await load.start()
        await load.more(1, 1)
        await load.at_rest(load.scouts, load.posts)
        await load.until_answered()
        assert await load.stop() == 0
        await load.check()
