"""Idempotency keys: the same request is one run, however often it comes, and wherever."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from multidict import CIMultiDict

from bot.bootstrap import Fakes
from tests.fakes.api_client import RED, SCOUT, ApiClient, api_bot
from tests.fakes.people import rows
from tests.fakes.saga_clock import HeldClock
from tests.fakes.sources import HeldSource, TestSources

DAY_S = 24 * 3600
RUNS = "SELECT count(*) FROM runs"
DUPLICATES = 500


@pytest.fixture
async def blue(tmp_path: Path) -> AsyncIterator[ApiClient]:
    """The blue team's program at a running bot."""
    async with api_bot(tmp_path) as client:
        yield client


async def test_the_same_request_is_the_same_run(blue: ApiClient, tmp_path: Path) -> None:
    """The second gets the first's run with 200, says that it is a replay, and starts nothing."""
    first = await blue.start(key="order-1")
    assert first.status == 202
    assert "Idempotency-Replayed" not in first.headers
    await blue.ended(first.body["run_id"])
    second = await blue.start(key="order-1")
    assert second.status == 200
    assert second.headers["Idempotency-Replayed"] == "true"
    assert second.headers["Location"] == first.headers["Location"]
    assert second.body == first.body | {"status": "completed"}
    assert rows(tmp_path, RUNS) == [(1,)]


async def test_the_same_words_may_be_written_in_another_way(blue: ApiClient) -> None:
    """What counts is what is asked: not blanks, the order of fields, or a default that is said."""
    first = await blue.start({"kind": "scout", "limit": 10, "query": "é"}, key="k")
    for text in (
        '{ "query": "\\u00e9", "kind": "scout" }',
        '{"kind":"scout","query":"é","drafts":1}',
    ):
        again = await blue.start(text.encode(), key="k")
        assert (again.status, again.body["run_id"]) == (200, first.body["run_id"])


async def test_another_request_with_the_key_is_refused(blue: ApiClient, tmp_path: Path) -> None:
    """422 idempotency-key-reused, whatever else differs; the first run is untouched."""
    first = await blue.start(key="k")
    changes = ('"limit": 9', '"query": "x"', '"sources": []', '"profile": {"remote": true}')
    for change in changes:
        other = await blue.start(SCOUT | json.loads(f"{{{change}}}"), key="k")
        assert (other.status, other.problem) == (422, "idempotency-key-reused")
    assert (await blue.start(key="k")).body["run_id"] == first.body["run_id"]
    assert rows(tmp_path, RUNS) == [(1,)]


async def test_keys_are_a_teams_own(blue: ApiClient, tmp_path: Path) -> None:
    """The same key in another team is another run; keys that differ in case are two."""
    answers = [
        await blue.start(key="k"),
        await blue.of(RED).start(SCOUT | {"limit": 3}, key="k"),
        await blue.start(key="K"),
        await blue.start(),
    ]
    assert [answer.status for answer in answers] == [202] * 4
    assert rows(tmp_path, RUNS) == [(4,)]


async def test_a_key_that_is_none_is_refused(blue: ApiClient, tmp_path: Path) -> None:
    """400 for an empty key, a long one, odd characters in it, and two of them."""
    for key in ("x" * 256, "é", "a\tb", "ключ", "", " ", "\t"):
        answer = await blue.start(key=key)
        assert (answer.status, answer.problem) == (400, "invalid-request"), key
        assert answer.places == ["Idempotency-Key"]
    two = CIMultiDict([("Idempotency-Key", "a"), ("Idempotency-Key", "a")])
    answer = await blue.ask("POST", "/v1/runs", body=SCOUT, headers=two)
    assert (answer.status, answer.places) == (400, ["Idempotency-Key"])
    assert rows(tmp_path, RUNS) == [(0,)]
    for key in ("x" * 255, "a b", '"8e03978e-40d5-43dd-bc93-6894a57f9324"', "!~"):
        assert (await blue.start(key=key)).status == 202


async def test_a_refused_request_uses_up_no_key(tmp_path: Path) -> None:
    """After a 4xx the corrected request may come with the same key."""
    held = HeldSource()
    fakes = Fakes(sources=TestSources({"held": held}))
    async with api_bot(tmp_path, fakes, team_runs=1) as blue:
        for body, status in (
            ({"limit": 0}, 422),
            ({"config": "no@1"}, 400),
            ({"sources": ["x"]}, 422),
        ):
            assert (await blue.start(SCOUT | body, key="k")).status == status
        first = await blue.started(sources=["held"])
        assert (await blue.start(key="k")).problem == "too-many-runs"
        held.gate.set()
        await blue.ended(first)
        assert (await blue.start(key="k")).status == 202


async def test_a_replay_takes_no_place_of_the_quota(tmp_path: Path) -> None:
    """A team that has all the runs it may have still gets the answer it lost."""
    held = HeldSource()
    async with api_bot(tmp_path, Fakes(sources=TestSources({"held": held})), team_runs=1) as blue:
        body = SCOUT | {"sources": ["held"]}
        first = await blue.start(body, key="k")
        again = await blue.start(body, key="k")
        assert (again.status, again.body["run_id"]) == (200, first.body["run_id"])
        assert (await blue.start(body, key="other")).problem == "too-many-runs"
        held.gate.set()


async def test_keys_outlive_the_bot(tmp_path: Path) -> None:
    """After a restart over the same database a key has its run, and another body is refused."""
    async with api_bot(tmp_path) as blue:
        first = await blue.start(key="k")
    async with api_bot(tmp_path) as blue:
        again = await blue.start(key="k")
        assert (again.status, again.body["run_id"]) == (200, first.body["run_id"])
        assert again.headers["Idempotency-Replayed"] == "true"
        assert (await blue.start(SCOUT | {"limit": 1}, key="k")).status == 422
        assert (await blue.ended(first.body["run_id"]))["status"] == "completed"
    assert rows(tmp_path, RUNS) == [(1,)]


async def test_keys_are_kept_for_a_day(tmp_path: Path) -> None:
    """A second before the day is over it is a replay, a second after it a new run."""
    clock = HeldClock()
    async with api_bot(tmp_path, Fakes(clock=clock)) as blue:
        first = await blue.start(key="k")
        await blue.ended(first.body["run_id"])
        clock.advance(DAY_S - 1)
        assert (await blue.start(key="k")).body["run_id"] == first.body["run_id"]
        clock.advance(2)
        new = await blue.start(SCOUT | {"limit": 2}, key="k")
        assert new.status == 202
        assert new.body["run_id"] != first.body["run_id"]
        assert (await blue.start(SCOUT | {"limit": 2}, key="k")).body["run_id"] == new.body[
            "run_id"
        ]


@pytest.mark.unmeasured  # many requests
async def test_500_duplicates_at_once_are_one_run(blue: ApiClient, tmp_path: Path) -> None:
    """One is accepted, 499 are its replays; one run is journaled, with one beginning."""
    answers = await asyncio.gather(*(blue.start(key="k") for _ in range(DUPLICATES)))
    assert Counter(answer.status for answer in answers) == {202: 1, 200: DUPLICATES - 1}
    replayed = [answer for answer in answers if answer.headers.get("Idempotency-Replayed")]
    assert {answer.status for answer in replayed} == {200}
    assert len({answer.body["run_id"] for answer in answers}) == 1
    assert rows(tmp_path, RUNS) == [(1,)]
    await blue.ended(answers[0].body["run_id"])
    assert rows(tmp_path, "SELECT count(*) FROM run_events WHERE type = 'run.started'") == [(1,)]


async def test_different_requests_with_one_key_at_once(blue: ApiClient, tmp_path: Path) -> None:
    """One wins; those that ask the same are its replays, the others are told of the reuse."""
    bodies = [SCOUT | {"limit": 1 + number % 3} for number in range(60)]
    answers = await asyncio.gather(*(blue.start(body, key="k") for body in bodies))
    assert Counter(answer.status for answer in answers) == {202: 1, 200: 19, 422: 40}
    ((text,),) = rows(tmp_path, "SELECT body FROM run_texts WHERE name = 'request'")
    limit = json.loads(str(text))["limit"]
    asked = zip(bodies, answers, strict=True)
    assert all((body["limit"] == limit) == (answer.status != 422) for body, answer in asked)
