"""How soon run events reach those who follow, and what that costs: 100 runs with 10 readers each,
and five events a second in each run.

A server process executes 100 runs whose one step reports its progress five times a second (each
event journaled with synchronous=FULL before it is sent) and serves them as the program does. The
readers are in another process, 1,000 connections. Prints the delay from an event's instant to its
arrival, and the CPU time that each process took of one core.
"""

import asyncio
import gc
import json
import resource
import statistics
import sys
import tempfile
import time
from contextlib import AsyncExitStack
from datetime import datetime
from pathlib import Path

import aiohttp
from pydantic import SecretStr

from agents.domain.run import ScoutRequest
from agents.run_details import RunReader
from agents.run_feed import RunFeed
from agents.store.admission import Quotas
from agents.store.codec import REQUEST
from agents.store.runs import NewRun
from bot.bootstrap import Core, build_core
from bot.cli.run import GC_THRESHOLDS
from bot.settings import Settings, TeamKey
from bot.web.api import Api, add_api
from bot.web.server import BODY_BYTES_MAX, public_application, serve
from bot.web.teams import Teams
from resilience.saga import Limits, Saga, Step, StepContext, StepOutcome

RUNS, READERS, EVENTS_PER_S, SECONDS = 100, 10, 5, 15
KEY = "bench-key-0123456789"


def main() -> None:
    """Run server and readers, print what was measured."""
    with tempfile.TemporaryDirectory(prefix="webscout-bench-") as folder:
        asyncio.run(_read_all(Path(folder)))


async def _read_all(folder: Path) -> None:
    server = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bench.events", "serve", str(folder)),
        stdout=asyncio.subprocess.PIPE,
        stdin=asyncio.subprocess.PIPE,
    )
    assert server.stdout is not None
    assert server.stdin is not None
    started = json.loads(await server.stdout.readline())
    headers = {"Authorization": f"Bearer {KEY}"}
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, headers=headers) as session:
        urls = [f"{started['address']}/v1/runs/{run}/events" for run in started["runs"]] * READERS
        connected = [asyncio.Event() for _ in urls]
        reading = [
            asyncio.create_task(_read(session, url, event))
            for url, event in zip(urls, connected, strict=True)
        ]
        await asyncio.gather(*(event.wait() for event in connected))
        cpu, began = _cpu_s(), time.monotonic()
        server.stdin.write(b"go\n")
        read = await asyncio.gather(*reading)
        took = time.monotonic() - began
        own = _cpu_s() - cpu
    ended = json.loads(await server.stdout.readline())
    await server.wait()
    delays = sorted(delay for delays, *_ in read for delay in delays)
    complete = sum(
        ids == list(range(1, len(ids) + 1)) and last == "run.completed" for _, ids, last in read
    )
    centiles = statistics.quantiles(delays, n=100)
    print(f"{RUNS} runs, {READERS} readers each, {EVENTS_PER_S} events/s a run, {took:.0f} s")
    print(f"{len(delays):,} events; {complete} of {len(read)} readers saw each once, in order")
    print(
        f"delay p50 {centiles[49] * 1000:.1f} ms, p99 {centiles[98] * 1000:.1f} ms, "
        f"longest {delays[-1] * 1000:.0f} ms"
    )
    print(f"CPU: server {ended['cpu_s'] / took:.0%} of a core, readers {own / took:.0%}")


async def _read(
    session: aiohttp.ClientSession, url: str, connected: asyncio.Event
) -> tuple[list[float], list[int], str]:
    """The delays of the progress events, the ids of all events, and the last one's type."""
    delays: list[float] = []
    ids: list[int] = []
    async with session.get(url, timeout=aiohttp.ClientTimeout(total=None)) as response:
        kind = ""
        async for line in response.content:
            now = time.time()
            if line.startswith(b"id:"):
                ids.append(int(line[3:]))
            elif line.startswith(b"event:"):
                kind = line[6:].strip().decode()
                connected.set()
            elif line.startswith(b"data:") and kind == "step.progress":
                at = datetime.fromisoformat(json.loads(line[5:])["at"])
                delays.append(now - at.timestamp())
    return delays, ids, kind


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


async def _serve(folder: str) -> None:
    settings = Settings.model_validate(
        {
            "database_url": f"sqlite:///{folder}/events.db",
            "sources": ("sample",),
            "runs_at_once": RUNS,
            "telegram_bot_token": None,
        }
    )
    go = asyncio.Event()
    async with AsyncExitStack() as stack:
        core = await stack.enter_async_context(build_core(settings))
        application = public_application(BODY_BYTES_MAX)
        add_api(application, _api(core))
        gc.collect()
        gc.freeze()
        gc.set_threshold(*GC_THRESHOLDS)  # as the program does
        address = await stack.enter_async_context(serve(application, "127.0.0.1", 0))
        runs = [await _create(core, number) for number in range(RUNS)]
        tasks = [core.orchestrator.launch(_saga(go, n), run, 0) for n, run in enumerate(runs)]
        print(json.dumps({"address": address, "runs": runs}))
        sys.stdout.flush()
        await asyncio.to_thread(sys.stdin.readline)
        cpu = _cpu_s()
        go.set()
        await asyncio.gather(*tasks)
        print(json.dumps({"cpu_s": _cpu_s() - cpu}), flush=True)


def _api(core: Core) -> Api:
    return Api(
        teams=Teams([TeamKey("bench", SecretStr(KEY))]),
        scout=core.runner,
        reader=RunReader(core.runs, core.ledger, core.runner),
        feed=RunFeed(core.ledger, core.orchestrator),
        people=core.people,
        sources=("sample",),
        known_sources=("sample",),
    )


async def _create(core: Core, number: int) -> str:
    run_id = f"{number:016x}"
    new = NewRun(
        run_id=run_id,
        kind="scout",
        user_id="bench",
        config="scout@1",
        request=REQUEST.dump_json(ScoutRequest()).decode(),
        team="bench",
    )
    await core.runs.create(new, Quotas(team_runs=10 * RUNS))
    return run_id


def _saga(go: asyncio.Event, number: int) -> Saga[int]:
    async def report(state: int, context: StepContext) -> StepOutcome[int]:
        await go.wait()
        await asyncio.sleep(number / RUNS / EVENTS_PER_S)  # not all in the same instant
        until = time.monotonic()
        for count in range(SECONDS * EVENTS_PER_S):
            await context.report({"count": count})
            until += 1 / EVENTS_PER_S
            await asyncio.sleep(max(0.0, until - time.monotonic()))
        return StepOutcome(state=state)

    step = Step(name="report", agent="bench", do=report, deadline_s=600.0)
    return Saga(name="bench", steps=(step,), limits=Limits(timeout_s=600.0))


if __name__ == "__main__":
    if sys.argv[1:2] == ["serve"]:
        asyncio.run(_serve(sys.argv[2]))
    else:
        main()
