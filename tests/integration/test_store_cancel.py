"""Callers that are cancelled in the middle of a write."""

import asyncio
from pathlib import Path

from agents.store.chat_log import ChatLog
from agents.store.database import Database

POINTS = 60


async def test_a_cancelled_write_leaves_the_database_usable(tmp_path: Path) -> None:
    """Cancelled at any point of its way, a write is whole or absent, and the next one works."""
    async with Database.open(f"sqlite:///{tmp_path}/x.db") as database:
        await database.migrate()
        log = ChatLog(database)
        for point in range(POINTS):
            write = asyncio.ensure_future(log.add(1, str))
            for _ in range(point):  # one turn of the event loop further each time
                await asyncio.sleep(0)
            write.cancel()
            await asyncio.wait({write})
            await log.add(1, str)
        messages = await log.since(1, 0, 1000)
        assert POINTS <= len(messages) <= 2 * POINTS
