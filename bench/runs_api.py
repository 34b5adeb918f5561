"""How many runs the run API accepts a second, beside an aiohttp handler that only answers 202.

The real program (with a key, strict validation, an idempotency key for each request, a durable row
before the answer) and the bare handler are asked by `wrk` over 64 connections, in turns. What is
accepted waits in the queue: one run is under way, whose only source never answers; each round
begins with an empty queue. The limits of queue and team are raised to a million, and such counts
are estimated (agents/store/admission.py): at the defaults a team's eleventh run would be refused.
Needs `wrk` (a Debian package).
"""

import asyncio
import json
import os
import re
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from aiohttp import web

ROUNDS = 5
SECONDS = 3
CONNECTIONS = 64
KEY = "bench-key-0123456789"
_BODY = {
    "kind": "scout",
    "query": "backend",
    "profile": {"skills": ["python", "sql"], "locations": ["Berlin"], "remote": True},
    "limit": 10,
    "drafts": 1,
    "config": "scout@1",
}
_SCRIPT = """
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
wrk.headers["Authorization"] = "Bearer %s"
wrk.body = [[%s]]
local count, round = 0, "%s%%s"
request = function()
  count = count + 1
  wrk.headers["Idempotency-Key"] = round .. "-" .. count
  return wrk.format()
end
"""


def main() -> None:
    """Run the rounds and print the table."""
    if shutil.which("wrk") is None:
        print("needs wrk: apt-get install wrk")
        return
    with tempfile.TemporaryDirectory(prefix="webscout-bench-") as folder:
        asyncio.run(_main(Path(folder)))


async def _main(folder: Path) -> None:
    found: dict[str, list[tuple[float, float]]] = {"bare": [], "webscout": []}
    accepted = 0
    async with _never_answers() as feed:
        for number in range(ROUNDS):
            fresh = folder / str(number)
            fresh.mkdir()
            async with _bare() as bare, _program(fresh, feed) as program:
                addresses = {"bare": bare, "webscout": program}
                for name in addresses if number % 2 else reversed(list(addresses)):
                    script = _SCRIPT % (KEY, json.dumps(_BODY), f"{name}{number}")
                    await _wrk(folder, script % "warm", addresses[name], 1)
                    found[name].append(await _wrk(folder, script % "", addresses[name], SECONDS))
            accepted += _count(fresh)
    for name, measured in found.items():
        rate, p99 = (statistics.median(values) for values in zip(*measured, strict=True))
        print(f"{name:10} {rate:8,.0f} accepted/s   p99 {p99:6.1f} ms")
    ratios = [
        ours[0] / bare[0] for ours, bare in zip(found["webscout"], found["bare"], strict=True)
    ]
    shown = ", ".join(f"{ratio:.2f}" for ratio in ratios)
    print(
        f"ratio {statistics.median(ratios):.2f}x (rounds {shown}); {accepted:,} runs in the ledger"
    )


async def _wrk(folder: Path, script: str, address: str, seconds: int) -> tuple[float, float]:
    """Requests a second, and the 99th percentile in milliseconds; all answered with 2xx."""
    (folder / "post.lua").write_text(script)
    process = await asyncio.create_subprocess_exec(
        *("wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "--latency"),
        *("-s", str(folder / "post.lua"), f"{address}/v1/runs"),
        stdout=asyncio.subprocess.PIPE,
    )
    printed = (await process.communicate())[0].decode()
    if "Non-2xx" in printed or "Socket errors" in printed:
        raise SystemExit(printed)
    rate = float(re.findall(r"Requests/sec:\s+([\d.]+)", printed)[0])
    amount, unit = re.findall(r"99%\s+([\d.]+)(us|ms|s)", printed)[0]
    return rate, float(amount) * {"us": 0.001, "ms": 1.0, "s": 1000.0}[unit]


@asynccontextmanager
async def _bare() -> AsyncIterator[str]:
    """The handler that only answers, in a process of its own."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bench.runs_api", "serve"), stdout=subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        yield (await process.stdout.readline()).decode().strip()
    finally:
        process.terminate()
        await process.wait()


@asynccontextmanager
async def _program(folder: Path, feed: str) -> AsyncIterator[str]:
    """The program on SQLite."""
    feeds = folder / "feeds.json"
    feeds.write_text(json.dumps({"feeds": [_slow_feed(feed)]}))
    environment = os.environ | {
        "PORT": "0",
        "API_KEYS": f"bench:{KEY}",
        "DATABASE_URL": f"sqlite:///{folder}/runs.db",
        "SOURCES": "feeds",
        "FEEDS_FILE": str(feeds),
        "SOURCE_TIMEOUT_S": "180",
        "RUNS_AT_ONCE": "1",
        "RUNS_QUEUED": "1000000",
        "TEAM_RUNS": "1000000",
    }
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bot"), stdout=subprocess.PIPE, env=environment
    )
    try:
        assert process.stdout is not None
        greeting = (await process.stdout.readline()).decode()
        yield re.findall(r"http://[\d.:]+", greeting)[0]
    finally:
        process.kill()  # thousands wait, and nobody needs them
        await process.wait()


def _slow_feed(address: str) -> dict[str, object]:
    return {
        "name": "slow",
        "title": "Slow",
        "home": "https://example.com",
        "url": f"{address}/slow",
        "period_s": 3600,
        "pause_s": 0,
        "terms": "none",
        "verified": False,
        "kinds": ["job"],
        "records": "jobs",
    }


@asynccontextmanager
async def _never_answers() -> AsyncIterator[str]:
    held: list[asyncio.StreamWriter] = []  # connected, and never answered
    server = await asyncio.start_server(lambda _, writer: held.append(writer), "127.0.0.1", 0)
    yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    for writer in held:
        writer.close()
    server.close()


def _count(folder: Path) -> int:
    connection = sqlite3.connect(folder / "runs.db")
    count: int = connection.execute("SELECT count(*) FROM runs").fetchone()[0]
    connection.close()
    return count


async def _serve() -> None:
    async def accept(request: web.Request) -> web.Response:
        await request.read()
        body = {"run_id": "0123456789abcdef", "status": "queued"}
        return web.json_response(body, status=202)

    application = web.Application()
    application.router.add_post("/v1/runs", accept)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(f"http://127.0.0.1:{runner.addresses[0][1]}", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    if sys.argv[1:] == ["serve"]:
        asyncio.run(_serve())
    else:
        main()
