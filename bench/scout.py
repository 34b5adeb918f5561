"""How long one scout from the terminal takes, and how much memory.

Each round runs, interleaved: a bare Python that only reads the same file as JSON, then the scout.
Prints medians, ratios to the bare read, and the peak resident memory. The file is the real postings
when WEBSCOUT_TEST_DATA names their folder, else 8,000 made-up ones.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROUNDS = 5
_READ = "import json,sys; print(sum('title' in json.loads(l) for l in open(sys.argv[1])))"
_SCOUTS = {
    "jobs in Boston or remote": "backend --skills python,postgresql,docker --remote "
    "--kind job,internship --location Boston",
    "grants": "--kind grant --skills python,ai",
    "bounties": "--kind bounty --skills python,ai",
    "hackathons": "--kind hackathon --skills python,ai",
}


def main() -> None:
    """Run the rounds and print the table."""
    with tempfile.TemporaryDirectory() as folder:
        file = _postings(Path(folder))
        commands = {"bare JSON read": [sys.executable, "-c", _READ, str(file)]}
        for name, words in _SCOUTS.items():
            scout = [sys.executable, "-m", "bot", "scout", *words.split(), "--json"]
            commands[name] = [*scout, "--source", f"file:{file}"]
        seconds: dict[str, list[float]] = {name: [] for name in commands}
        peaks: dict[str, int] = {}
        for _ in range(ROUNDS):
            for name, command in commands.items():
                took, peak = _timed(command, folder)
                seconds[name].append(took)
                peaks[name] = max(peak, peaks.get(name, 0))
        _print(seconds, peaks)


def _postings(folder: Path) -> Path:
    data = os.environ.get("WEBSCOUT_TEST_DATA", "")
    real = Path(data) / "opportunities_public.jsonl"
    if data and real.exists():
        return real
    file = folder / "postings.jsonl"
    row = {"location": "Boston, MA", "kind": "job", "description": "python and sql " * 10}
    lines = (json.dumps(row | {"id": str(i), "title": f"Engineer {i}"}) for i in range(8_000))
    file.write_text("\n".join(lines), "utf-8")
    return file


def _timed(command: list[str], folder: str) -> tuple[float, int]:
    """Seconds and peak resident kilobytes of a process of its own."""
    environment = {**os.environ, "DATABASE_URL": f"sqlite:///{folder}/bench.db"}
    start = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, env=environment) as process:
        _, status, usage = os.wait4(process.pid, 0)
        took = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode not in (0, 3):
        raise SystemExit(f"{command} ended with {process.returncode}")
    return took, usage.ru_maxrss


def _print(seconds: dict[str, list[float]], peaks: dict[str, int]) -> None:
    base = statistics.median(seconds["bare JSON read"])
    print(f"{'':28} median s   ratio   peak MB   ({ROUNDS} rounds, interleaved)")
    for name, taken in seconds.items():
        median = statistics.median(taken)
        print(f"{name:28} {median:8.2f} {median / base:7.1f} {peaks[name] / 1024:9.0f}")


if __name__ == "__main__":
    main()
