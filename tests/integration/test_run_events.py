"""The events of a run over HTTP: all of them, once, in order, whatever happens to who reads."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import datetime
from pathlib import Path

import aiohttp
import pytest

from bot.bootstrap import Fakes
from resilience.saga import CLOSING, EventType
from tests.fakes.api_client import (
    ApiClient,
    Seen,
    StagedAction,
    api_bot,
    elsewhere,
    numbered,
    park,
)
from tests.fakes.chat_client import ChatClient
from tests.fakes.opportunities import opportunity
from tests.fakes.people import WatchedClock
from tests.fakes.sources import FailingSource, HeldSource, TestSources

LOCAL_CHAT = 1
BAD_NUMBERS = ["-1", "+1", "x", "1.0", "1e3", "²", " 1", "0x1", "9" * 10, "9" * 400, "1,2", "null"]


@pytest.fixture
async def blue(tmp_path: Path) -> AsyncIterator[ApiClient]:
    """The blue team's program at a running bot."""
    async with api_bot(tmp_path) as client:
        yield client


def types(events: list[Seen]) -> list[str]:
    """What happened, by type."""
    return [event.type for event in events]


# --- what is sent -------------------------------------------------------------------------------


async def test_a_run_from_its_first_to_its_closing_event(blue: ApiClient) -> None:
    """Numbers from 1 without gaps, the contract's types, data that stands for itself."""
    run_id = await blue.started()
    events = await blue.events(run_id)
    assert numbered(events)
    assert types(events) == [
        "run.queued", "run.started",
        "step.started", "step.progress", "step.completed",
        "step.started", "step.completed",
        "step.started", "step.completed",
        "run.completed",
    ]  # fmt: skip
    for event in events:
        assert (event.data["run_id"], event.data["seq"]) == (run_id, event.id)
        assert datetime.fromisoformat(event.data["at"]).utcoffset() is not None
        assert ("step" in event.data) == event.type.startswith("step.")
    run = await blue.run(run_id)
    assert [step["name"] for step in run["steps"]] == ["discover", "match", "act"]


async def test_a_source_that_failed_is_named_without_its_words(tmp_path: Path) -> None:
    """Which failed is in the ledger; why is in the result, since its words may be the person's."""
    fakes = Fakes(sources=TestSources({"failing": FailingSource()}))
    async with api_bot(tmp_path, fakes) as blue:
        events = await blue.events(run_id := await blue.started(sources=["sample", "failing"]))
        result = (await blue.run(run_id))["result"]
    told = [event.data for event in events if event.type == "step.progress"]
    assert {data["source"]: data["failed"] for data in told} == {"sample": False, "failing": True}
    assert "down" not in str(events)
    assert "failing: it is down" in result["notices"]


async def test_the_answer_is_an_event_stream_that_nobody_keeps(blue: ApiClient) -> None:
    """Caches and proxies are told to leave it alone."""
    run_id = await blue.started()
    async with blue.raw("GET", f"/v1/runs/{run_id}/events") as response:
        assert response.headers["Content-Type"] == "text/event-stream; charset=utf-8"
        assert response.headers["Cache-Control"] == "no-store"
        assert response.headers["X-Accel-Buffering"] == "no"
        assert (await response.content.read()).endswith(b"\n\n")


async def test_a_reader_goes_on_after_what_it_has(blue: ApiClient) -> None:
    """From every event on, by header or in the address; the header counts when both are there."""
    run_id = await blue.started()
    events = await blue.events(run_id)
    for has in range(len(events) + 1):
        assert await blue.events(run_id, has) == events[has:]
        assert await blue.events(run_id, query={"after": has}) == events[has:]
    assert await blue.events(run_id, 8, query={"after": 2}) == events[8:]
    assert await blue.events(run_id, 999_999_999) == []


async def test_a_number_that_is_none_is_refused(blue: ApiClient) -> None:
    """400, wherever it stands; also for a run that has ended."""
    path = f"/v1/runs/{await blue.started()}/events"
    for number in BAD_NUMBERS:
        for answer in (
            await blue.ask("GET", path, headers={"Last-Event-ID": number.replace("²", "two")}),
            await blue.ask("GET", path, query={"after": number}),
            await blue.ask("GET", path, headers={"Last-Event-ID": "1"}, query={"after": number}),
        ):
            # A header has no blanks at its ends.
            if number == " 1" and answer.kind == "text/event-stream":
                continue
            assert (answer.status, answer.problem) == (400, "invalid-last-event-id"), number


async def test_many_readers_of_one_run_see_the_same(tmp_path: Path) -> None:
    """A hundred follow a run while it moves, each from another event on."""
    held = HeldSource()
    async with api_bot(tmp_path, Fakes(sources=TestSources({"held": held}))) as blue:
        run_id = await blue.started(sources=["held", "sample"])
        await held.asked.wait()
        async with AsyncExitStack() as stack:
            streams = [
                await stack.enter_async_context(blue.stream(run_id, number % 4))
                for number in range(100)
            ]
            held.gate.set()
            read = [[event async for event in stream] for stream in streams]
        events = await blue.events(run_id)
    assert numbered(events)
    assert all(seen == events[number % 4 :] for number, seen in enumerate(read))


# --- who else writes ----------------------------------------------------------------------------


async def test_what_another_process_stores_arrives(blue: ApiClient, tmp_path: Path) -> None:
    """A run that another process began and executes is followed here to its end, once."""
    async with elsewhere(tmp_path) as other:
        run_id = await other.run()
        async with blue.stream(run_id) as stream:
            assert (await anext(stream)).type == "run.queued"
            await other.add(run_id, EventType.RUN_STARTED)
            await other.add(run_id, EventType.STEP_STARTED, step="discover", agent="discovery")
            for number in range(700):
                await other.add(run_id, EventType.STEP_PROGRESS, step="discover", found=number)
            await other.add(run_id, EventType.RUN_FAILED, error="step-failed")
            events = [event async for event in stream]
    assert numbered(events, 1)
    assert [e.data["found"] for e in events if e.type == "step.progress"] == list(range(700))
    assert events[-1].type == "run.failed"
    assert await blue.events(run_id, 1) == events


async def test_a_cancel_by_another_process_is_among_the_events(tmp_path: Path) -> None:
    """It is obeyed with the next look at the lease; a reader here misses nothing of it."""
    clock, held = WatchedClock(), HeldSource()
    fakes = Fakes(clock=clock, sources=TestSources({"held": held}))
    async with api_bot(tmp_path, fakes) as blue:
        run_id = await blue.started(sources=["held"])
        await held.asked.wait()
        async with blue.stream(run_id) as stream, elsewhere(tmp_path, clock.now) as other:
            seen = [await anext(stream) for _ in range(3)]
            await other.add(run_id, EventType.RUN_CANCELLING)
            clock.advance(10)
            seen += [event async for event in stream]
    assert numbered(seen)
    assert types(seen)[-2:] == ["run.cancelling", "run.cancelled"]


# --- readers that come and go -------------------------------------------------------------------


async def follow(
    client: ApiClient, run_id: str, chance: random.Random, up: asyncio.Event
) -> list[Seen]:
    """Read to the closing event with a connection that is reset now and then; a server that is
    not there is asked again when it is `up`."""
    seen: list[Seen] = []
    while not seen or seen[-1].type not in CLOSING:
        await up.wait()
        try:
            async with client.stream(run_id, seen[-1].id if seen else None) as stream:
                for _ in range(chance.randint(1, 6)):
                    seen.append(await anext(stream))  # noqa: PERF401 - it may end midway
        except (aiohttp.ClientError, StopAsyncIteration, TimeoutError):
            pass
        await asyncio.sleep(0)
    return seen


async def test_readers_that_are_reset_see_all_of_it_once(tmp_path: Path) -> None:
    """While a run moves, over a restart of the bot on the same database and port."""
    up, held = asyncio.Event(), [HeldSource((opportunity(id=f"p{n}"),)) for n in range(12)]
    names = [f"held{number}" for number in range(12)]
    for source, name in zip(held, names, strict=True):
        source.label = name
    fakes = Fakes(sources=TestSources(dict(zip(names, held, strict=True))))
    async with AsyncExitStack() as clients:
        async with api_bot(tmp_path, fakes) as blue:
            run_id, port = await blue.started(sources=names), blue.port
            client = await clients.enter_async_context(blue.elsewhere())
            readers = [
                asyncio.ensure_future(follow(client, run_id, random.Random(seed), up))
                for seed in range(20)
            ]
            up.set()
            for source in held[:6]:
                await source.asked.wait()
                source.gate.set()
                await blue.until(run_id, "step.progress")
            up.clear()
        async with api_bot(tmp_path, fakes, port=port) as blue:
            up.set()
            for source in held[6:]:
                source.gate.set()
            read = await asyncio.gather(*readers)
            events = await blue.events(run_id)
    assert numbered(events)
    assert "run.resumed" in types(events)
    assert all(seen == events for seen in read)


async def test_a_parked_runs_readers_go_on_after_its_retry(tmp_path: Path) -> None:
    """The stream closes after run.parked; a reader that has it waits for what the retry brings,
    to the closing event that the run was heading for."""
    clock, action = WatchedClock(), StagedAction(fails=True)
    action.undo_fails = True
    fakes = Fakes(clock=clock, action=action)
    async with api_bot(tmp_path, fakes, admin_chat_id=(LOCAL_CHAT,)) as blue:
        run_id = await blue.started()
        await park(clock)
        first = await blue.events(run_id)
        parked = await blue.run(run_id)
        assert first[-1].type == "run.parked"
        assert await blue.events(run_id) == first
        assert (parked["status"], parked["error"]["type"]) == ("parked", "compensation-failed")
        assert (await blue.cancel(run_id)).status == 409
        action.undo_fails = False
        async with blue.stream(run_id, first[-1].id) as stream, ChatClient(blue.address) as chat:
            await chat.say(f"/retry {run_id}")
            then = [event async for event in stream]
        assert numbered(first + then)
        assert types(then) == [
            "run.compensating", "step.compensated", "step.compensated", "run.compensated",
        ]  # fmt: skip
        assert await blue.events(run_id) == first  # up to the first closing event
        assert (await blue.run(run_id))["status"] == "compensated"


async def test_the_end_of_the_server_ends_streams_properly(tmp_path: Path) -> None:
    """Readers get a whole answer, and the run goes on where it was after the start."""
    held = HeldSource()
    fakes = Fakes(sources=TestSources({"held": held}))
    async with AsyncExitStack() as clients:
        async with api_bot(tmp_path, fakes) as blue:
            run_id, port = await blue.started(sources=["held"]), blue.port
            await held.asked.wait()
            client = await clients.enter_async_context(blue.elsewhere())
            streams = [await clients.enter_async_context(client.stream(run_id)) for _ in range(20)]
            begun = [await anext(stream) for stream in streams]
        read = [[event async for event in stream] for stream in streams]
    assert {event.id for event in begun} == {1}
    assert {tuple(types(events)) for events in read} == {("run.started", "step.started")}
    held.gate.set()
    async with api_bot(tmp_path, fakes, port=port) as blue:
        rest = await blue.events(run_id, 3)
        assert types(rest)[0] == "run.resumed"
        assert types(rest)[-1] == "run.completed"
