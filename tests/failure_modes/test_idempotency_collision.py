"""Idempotency collision: one key for two requests, or one request many times at once."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from agents.store.admission import IdempotencyKey, KeyTaken, Quotas
from agents.store.database import Database
from agents.store.runs import NewRun, RunStore
from tests.fakes.clock import FixedClock

KEY = IdempotencyKey(team="team-a", key="key-hash", body="body-hash")
OTHER = IdempotencyKey(team="team-a", key="key-hash", body="another-hash")


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    """A migrated database of the test's own."""
    async with Database.open(f"sqlite:///{tmp_path}/webscout.db") as database:
        await database.migrate()
        yield database


async def ask(runs: RunStore, run_id: str, key: IdempotencyKey = KEY) -> KeyTaken | None:
    """A request with a key: why it is no run of its own, or None when it is."""
    new = NewRun(
        run_id=run_id,
        kind="scout",
        user_id="api-team-a",
        config="scout@1",
        request="{}",
        team="team-a",
        key=key,
    )
    try:
        await runs.create(new, Quotas())
    except KeyTaken as taken:
        return taken
    return None


async def test_a_key_with_another_request_is_refused_and_nothing_starts(
    database: Database,
) -> None:
    """The client reused a key: it is told so by name, however often it tries, and the run that the
    key has goes on untouched."""
    runs = RunStore(database, FixedClock().now)
    assert await ask(runs, "run-1") is None
    first = await runs.get("run-1")
    for number in range(2, 5):
        taken = await ask(runs, f"run-{number}", OTHER)
        assert taken is not None
        assert (taken.run_id, taken.same) == ("run-1", False)
    assert await runs.newest(10) == [first]


async def test_duplicates_at_the_same_moment_are_one_run(database: Database) -> None:
    """A client that timed out and repeats itself gets the run it has, also from a process that was
    started since."""
    clock = FixedClock()
    runs = RunStore(database, clock.now)
    answers = await asyncio.gather(*(ask(runs, f"run-{n}") for n in range(50)))
    (only,) = await runs.newest(10)
    told = [(taken.run_id, taken.same) for taken in answers if taken is not None]
    assert told == [(only.id, True)] * 49
    again = await ask(RunStore(database, clock.now), "run-after-a-restart")
    assert again is not None
    assert (again.run_id, again.same) == (only.id, True)


async def test_collisions_among_duplicates_are_told_apart(database: Database) -> None:
    """Both at once: whichever request is first has the key, its like are answered with its run and
    the others are refused."""
    runs = RunStore(database, FixedClock().now)
    keys = [KEY, OTHER] * 25
    answers = await asyncio.gather(*(ask(runs, f"run-{n}", key) for n, key in enumerate(keys)))
    (only,) = await runs.newest(10)
    first = answers.index(None)
    assert only.id == f"run-{first}"
    for key, taken in zip(keys, answers, strict=True):
        if taken is not None:
            assert (taken.run_id, taken.same) == (only.id, key == keys[first])
    assert answers.count(None) == 1
