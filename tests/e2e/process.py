"""The real program as a process: started, read, killed."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

NO_FEEDS = Path(__file__).parents[1] / "fakes/no_feeds.json"
ROOT = Path(__file__).parents[2]
WAIT_S = 30.0
_ADDRESS = "Open the chat: "
_READY = "Ctrl-C stops it"


@dataclass
class Program:
    """A `webscout` process. What it prints is read as it comes, so that it never waits for us."""

    process: asyncio.subprocess.Process
    address: str = ""
    """Of its server, in local mode."""
    _lines: list[str] = field(default_factory=list)
    _is_ready: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self._reading = asyncio.create_task(self._read())

    @classmethod
    async def begun(
        cls, folder: Path, command: Sequence[str] = ("-m", "bot"), **environment: str
    ) -> "Program":
        """Start it in `folder`; it is not ready yet. Who calls ends it."""
        process = await asyncio.create_subprocess_exec(
            sys.executable, *command,
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(ROOT), "PORT": "0", "FEEDS_FILE": str(NO_FEEDS),
                 **environment},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        return cls(process)

    @classmethod
    @asynccontextmanager
    async def running(cls, folder: Path, **environment: str) -> AsyncIterator["Program"]:
        """Start it in `folder` on a free port; what still runs when this is left is killed."""
        program = await cls.begun(folder, **environment)
        try:
            await program.ready()
            yield program
        finally:
            await program.kill()

    @property
    def printed(self) -> str:
        """What it has printed."""
        return "".join(self._lines)

    async def ready(self) -> None:
        """Wait until it says that it runs."""
        async with asyncio.timeout(WAIT_S):
            await self._is_ready.wait()
        if _READY not in self.printed:
            raise AssertionError(f"it ended before it ran:\n{self.printed}")

    async def kill(self) -> None:
        """SIGKILL, where it has not ended."""
        if self.process.returncode is None:
            await self.end(signal.SIGKILL)

    async def end(self, number: signal.Signals) -> tuple[int, str]:
        """Send the signal and wait; gives the exit code and what it printed."""
        self.process.send_signal(number)
        async with asyncio.timeout(WAIT_S):
            await self._reading
            await self.process.wait()
        return self.process.returncode or 0, self.printed

    async def _read(self) -> None:
        assert self.process.stdout is not None
        try:
            async for raw in self.process.stdout:
                line = raw.decode()
                self._lines.append(line)
                if _ADDRESS in line:
                    self.address = line.strip().split(_ADDRESS)[1].removesuffix("/chat")
                if _READY in line:
                    self._is_ready.set()
        finally:
            self._is_ready.set()  # or it never will be
