"""What a journaled step costs: its start and its completion, each in a transaction of its own that
is on the disk (synchronous=FULL) before anything goes on.

Each round runs, interleaved: aiosqlite bare (one connection, an INSERT and a COMMIT), and our
ledger, each with one run alone and with 16 at once. Prints medians over the rounds, in milliseconds
a step. DBOS was measured at 3.1 alone and 5.3 at 16 (design.md); it is not run here.
"""

import asyncio
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path

import aiosqlite

from agents.store.admission import Quotas
from agents.store.database import Database
from agents.store.ledger import Ledger
from agents.store.owner import Owner
from agents.store.runs import NewRun, RunStore
from resilience.saga import EventType

ROUNDS = 15
STEPS = 60
RUNS = 16
_WHO = {"step": "match", "agent": "matching"}

Steps = Callable[[str], Awaitable[None]]


def main() -> None:
    """Run the rounds and print the table."""
    with tempfile.TemporaryDirectory(prefix="webscout-bench-") as folder:
        asyncio.run(_main(Path(folder)))


async def _main(folder: Path) -> None:
    async with (
        aiosqlite.connect(folder / "bare.db") as bare,
        Database.open(f"sqlite:///{folder}/ledger.db") as database,
    ):
        await _set_up(bare)
        await database.migrate()
        ways = {"aiosqlite": _bare(bare), "ledger": _ledger(database)}
        found: dict[str, list[float]] = {}
        for number in range(-1, ROUNDS):  # the first warms up
            for name, steps in ways.items() if number % 2 else reversed(list(ways.items())):
                for runs in (1, RUNS):
                    took = await _ms_a_step(steps, f"{name}-{number}", runs)
                    if number >= 0:
                        found.setdefault(f"{name}, {_words(runs)}", []).append(took)
    for name, times in found.items():
        low, middle, high = statistics.quantiles(times, n=4)
        print(f"{name:24} {middle:6.3f} ms a step  (quartiles {low:.3f}, {high:.3f})")


async def _set_up(bare: aiosqlite.Connection) -> None:
    await bare.execute("PRAGMA journal_mode=WAL")
    await bare.execute("PRAGMA synchronous=FULL")
    await bare.execute("CREATE TABLE events (run_id TEXT, type TEXT, at TEXT, data TEXT)")
    await bare.commit()


def _bare(connection: aiosqlite.Connection) -> Steps:
    lock = asyncio.Lock()  # a connection has one transaction at a time

    async def steps(run_id: str) -> None:
        for _ in range(STEPS):
            for event in ("step.started", "step.completed"):
                row = (run_id, event, datetime.now(UTC).isoformat(), "{}")
                async with lock:
                    await connection.execute("INSERT INTO events VALUES (?, ?, ?, ?)", row)
                    await connection.commit()

    return steps


def _ledger(database: Database) -> Steps:
    def now() -> datetime:
        return datetime.now(UTC)

    ledger, store = Ledger(database, now, Owner()), RunStore(database, now)

    async def steps(run_id: str) -> None:
        new = NewRun(run_id=run_id, kind="scout", user_id="bench", config="scout@1", request="{}")
        await store.create(new, Quotas(queued=1_000_000))
        fence = await ledger.claim(run_id)
        await ledger.append(run_id, EventType.RUN_STARTED, fence=fence)
        for _ in range(STEPS):
            await ledger.append(run_id, EventType.STEP_STARTED, _WHO, fence=fence)
            await ledger.append(run_id, EventType.STEP_COMPLETED, _WHO, fence=fence)

    return steps


async def _ms_a_step(steps: Steps, name: str, runs: int) -> float:
    began = time.perf_counter()
    await asyncio.gather(*(steps(f"{name}-{runs}-{run}") for run in range(runs)))
    return (time.perf_counter() - began) * 1000 / (STEPS * runs)


def _words(runs: int) -> str:
    return "alone" if runs == 1 else f"{runs} at once"


if __name__ == "__main__":
    main()
