"""A migrated SQLite database to copy: each migration of an empty one costs a tenth of a second, and
twice that under coverage."""

import asyncio
import atexit
import shutil
import tempfile
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path

from agents.store.database import Database

_MEMORY = Path("/dev/shm")


@lru_cache(maxsize=1)
def folder() -> Path:
    """A folder of this process, in memory, where the machine has that."""
    path = Path(tempfile.mkdtemp(prefix="webscout-", dir=_MEMORY if _MEMORY.is_dir() else None))
    atexit.register(shutil.rmtree, path, ignore_errors=True)
    return path


@lru_cache(maxsize=1)
def migrated_sqlite() -> Path:
    """An empty database with the current schema."""
    path = folder() / "migrated.db"

    async def make() -> None:
        async with Database.open(f"sqlite:///{path}") as database:
            await database.migrate()

    with ThreadPoolExecutor(1) as elsewhere:  # where no event loop runs
        elsewhere.submit(asyncio.run, make()).result()
    return path


def place_migrated(file: Path) -> None:
    """Put a copy there, unless there is a database; its folder is made."""
    file.parent.mkdir(parents=True, exist_ok=True)
    if not file.exists():
        shutil.copyfile(migrated_sqlite(), file)
