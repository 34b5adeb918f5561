"""Whether the process can do its work: the database takes a write, and Telegram is connected."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Self

from agents.store.errors import StoreError
from bot.telegram.connection import Connection
from resilience.clock import Clock

PROBE_WITHIN_S = 2.0
KNOWN_FOR_S = 1.0
"""However many ask, the database is written to once a second."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Life:
    """What of the process's life others have to know: whether Telegram is connected, and whether it
    is `stopping`."""

    telegram: Connection
    stopping: asyncio.Event = field(default_factory=asyncio.Event)


class Readiness:
    """Asks the database by writing to it; of Telegram it knows what polling found. An async context
    manager: a write that hangs is let go of when it is left."""

    def __init__(self, probe: Callable[[], Awaitable[None]], life: Life, clock: Clock) -> None:
        self._probe = probe
        self._life = life
        self._clock = clock
        self._asking = asyncio.Lock()
        self._asked_at: float | None = None
        self._database: str | None = None
        self._probing: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._probing is not None:
            self._probing.cancel()
            await asyncio.wait({self._probing})

    @property
    def draining(self) -> bool:
        """Whether the process takes nothing new any more."""
        return self._life.stopping.is_set()

    async def problems(self) -> Mapping[str, str]:
        """What is not as it should be, by what it is; empty when the process is ready."""
        async with self._asking:
            now = self._clock.monotonic()
            if self._asked_at is None or now - self._asked_at >= KNOWN_FOR_S:
                self._database = await self._ask()
                self._asked_at = self._clock.monotonic()
        found = {
            "database": self._database,
            "telegram": self._life.telegram.problem,
            "process": "it is stopping" if self.draining else None,
        }
        return {name: problem for name, problem in found.items() if problem is not None}

    async def _ask(self) -> str | None:
        """Why the database takes no write. One that hangs can't be cancelled half-way: it is waited
        for again by who asks next."""
        if self._probing is None:
            self._probing = asyncio.create_task(self._write(), name="probe")
        done, _ = await asyncio.wait({self._probing}, timeout=PROBE_WITHIN_S)
        if not done:
            return f"took no write within {PROBE_WITHIN_S:g} s"
        probed, self._probing = self._probing, None
        try:
            probed.result()
        except StoreError as error:
            return str(error)
        return None

    async def _write(self) -> None:
        await self._probe()
