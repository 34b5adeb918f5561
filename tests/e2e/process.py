"""The real program as a process: started, read, killed."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

NO_FEEDS = Path(__file__).parents[1] / "fakes/no_feeds.json"
ROOT = Path(__file__).parents[2]
_ADDRESS = "Open the chat: "


@dataclass
class Program:
    """A running `webscout`, and the address of its server."""

    process: asyncio.subprocess.Process
    address: str

    @classmethod
    @asynccontextmanager
    async def running(cls, folder: Path, **environment: str) -> AsyncIterator["Program"]:
        """Start it in `folder` on a free port; what still runs when this is left is killed."""
        program = await cls._start(folder, environment)
        try:
            yield program
        finally:
            if program.process.returncode is None:
                await program.end(signal.SIGKILL)

    @classmethod
    async def _start(cls, folder: Path, environment: dict[str, str]) -> "Program":
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "bot",
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(ROOT), "PORT": "0", "FEEDS_FILE": str(NO_FEEDS),
                 **environment},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        assert process.stdout is not None
        async with asyncio.timeout(30):
            async for raw in process.stdout:
                line = raw.decode().strip()
                if _ADDRESS in line:
                    return cls(process, line.split(_ADDRESS)[1].removesuffix("/chat"))
        raise AssertionError("it ended before it listened")

    async def end(self, number: signal.Signals) -> tuple[int, str]:
        """Send the signal and wait; gives the exit code and what it printed since the start."""
        self.process.send_signal(number)
        out, _ = await asyncio.wait_for(self.process.communicate(), 30)
        return self.process.returncode or 0, out.decode()
