"""How many updates a second the bot answers over HTTP, beside a bare PTB bot.

A stub of the Bot API in a process of its own hands out `/help` messages of many chats. Each round
runs, interleaved: the peer (`bench/echo_bot.py`, PTB on its own httpx, as its documentation shows
it), then Webscout with its database; first as fast as the bot goes, then at 200 a second. Prints
medians over the rounds, the ratio, and at 200 a second p50, p99 (from when a message was due) and
the bot's CPU. The machine's two cores are shared by the bot and the stub.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

ROUNDS = 5
FAST_TOTAL = 6_000
STEADY_PER_S, STEADY_TOTAL = 200, 1_600
CHATS = 500
_TOKEN = "7:webscout-test-token"
_NO_FEEDS = Path(__file__).parents[1] / "tests/fakes/no_feeds.json"
_BOTS = ("bare PTB echo bot", "Webscout")


@dataclass
class Figures:
    """Of one bot in one round."""

    per_s: float
    p50_ms: float
    p99_ms: float
    cpu_percent: float
    rss_mb: float


def main() -> None:
    """Run the rounds and print the table."""
    found: dict[str, list[Figures]] = {name: [] for name in _BOTS}
    for number in range(ROUNDS):
        for name in _BOTS if number % 2 == 0 else reversed(_BOTS):
            with tempfile.TemporaryDirectory() as folder, _stub() as address:
                found[name].append(_measure(name, address, Path(folder)))
    _print(found)


def _measure(name: str, address: str, folder: Path) -> Figures:
    with _bot(name, address, folder) as process:
        _load(address, {"total": 400, "rate": None, "chats": CHATS})  # warm, and connected
        fast = _load(address, {"total": FAST_TOTAL, "rate": None, "chats": CHATS})
        before, start = _cpu_s(process), time.perf_counter()
        load = {"total": STEADY_TOTAL, "rate": STEADY_PER_S, "chats": CHATS}
        steady = _load(address, load)
        cpu = (_cpu_s(process) - before) / (time.perf_counter() - start)
        rss_mb = process.memory_info().rss / 1e6
    return Figures(
        fast["per_s"], steady["due_p50_ms"], steady["due_p99_ms"], 100 * cpu, round(rss_mb)
    )


@contextmanager
def _stub() -> Iterator[str]:
    command = [sys.executable, "-m", "tests.fakes.bot_api_stub", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{process.stdout.readline().strip()}"
        finally:
            process.kill()


@contextmanager
def _bot(name: str, address: str, folder: Path) -> Iterator[psutil.Process]:
    echo = name == _BOTS[0]
    peer = [sys.executable, "-m", "bench.echo_bot", "--base-url", address]
    environment = {
        **os.environ,
        "PYTHONPATH": str(Path(__file__).parents[1]),
        "TELEGRAM_BOT_TOKEN": _TOKEN,
        "TELEGRAM_API_BASE_URL": address,
        "DATABASE_URL": f"sqlite:///{folder}/bench.db",
        "FEEDS_FILE": str(_NO_FEEDS),
        "COMMANDS_BURST": "10000",  # what is measured is not how much one person may ask for
        "LOG_LEVEL": "WARNING",
    }
    with subprocess.Popen(
        peer if echo else [sys.executable, "-m", "bot"],
        env=environment,
        cwd=folder,
        stdout=subprocess.DEVNULL,
    ) as process:
        try:
            yield psutil.Process(process.pid)
        finally:
            process.terminate()


def _load(address: str, load: dict[str, object]) -> dict[str, float]:
    request = urllib.request.Request(f"{address}/load", json.dumps(load).encode(), method="POST")
    with urllib.request.urlopen(request, timeout=10):
        pass
    with urllib.request.urlopen(f"{address}/stats?wait=90", timeout=120) as response:
        stats: dict[str, float] = json.load(response)
    if stats["answered"] != load["total"]:
        raise SystemExit(f"answered {stats['answered']} of {load['total']}")
    return stats


def _cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def _print(found: dict[str, list[Figures]]) -> None:
    print(f"{'':20}{'updates/s':>11}{'ratio':>8}   at {STEADY_PER_S}/s:", end="")
    print(f"{'p50 ms':>8}{'p99 ms':>8}{'CPU %':>8}{'RSS MB':>8}   ({ROUNDS} rounds, medians)")
    peer = statistics.median(f.per_s for f in found[_BOTS[0]])
    for name, figures in found.items():
        middle = {
            field: statistics.median(getattr(f, field) for f in figures)
            for field in ("per_s", "p50_ms", "p99_ms", "cpu_percent", "rss_mb")
        }
        print(f"{name:20}{middle['per_s']:>11,.0f}{middle['per_s'] / peer:>8.2f}{'':12}", end="")
        print(f"{middle['p50_ms']:>8.1f}{middle['p99_ms']:>8.1f}", end="")
        print(f"{middle['cpu_percent']:>8.0f}{middle['rss_mb']:>8.0f}")
    ratios = [
        ours.per_s / theirs.per_s
        for theirs, ours in zip(found[_BOTS[0]], found[_BOTS[1]], strict=True)
    ]
    print(f"ratio in each round: {', '.join(f'{ratio:.2f}' for ratio in ratios)}")


if __name__ == "__main__":
    main()
