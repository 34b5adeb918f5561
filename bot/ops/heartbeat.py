"""Pings an address outside each minute, while the process can do its work: when the pings stop,
somebody outside knows that all of it is silent."""

import logging
from collections.abc import Awaitable, Callable, Mapping

import aiohttp

from resilience.clock import Clock
from resilience.errors import Refused
from resilience.fault import CALLERS, TRANSIENT, Fault
from resilience.guard import Guard

EVERY_S = 60.0

log = logging.getLogger(__name__)


class NotTaken(Exception):  # noqa: N818 - names the answer
    """The address answered with an error."""

    def __init__(self, status: int) -> None:
        super().__init__(f"it answered {status}")
        self.status = status


def ping_fault(error: Exception) -> Fault:
    """What an error says of the address."""
    if isinstance(error, NotTaken) and error.status < 500:
        return CALLERS
    return TRANSIENT


class Heartbeat:
    """One address. `problems` are what keeps us from work: while there are any it is not pinged."""

    def __init__(
        self,
        url: str,
        guard: Guard,
        problems: Callable[[], Awaitable[Mapping[str, str]]],
        clock: Clock,
    ) -> None:
        self._url = url
        self._guard = guard
        self._problems = problems
        self._clock = clock
        self._silent = False

    async def keep_beating(self) -> None:
        """Until cancelled."""
        timeout = aiohttp.ClientTimeout(total=self._guard.policy.attempt_timeout_s)
        async with aiohttp.ClientSession(timeout=timeout) as http:

            async def ping() -> None:
                async with http.get(self._url, allow_redirects=False) as answer:
                    if answer.status >= 400:
                        raise NotTaken(answer.status)

            while True:
                await self._beat(ping)
                await self._clock.sleep(EVERY_S)

    async def _beat(self, ping: Callable[[], Awaitable[None]]) -> None:
        if problems := await self._problems():
            self._note(", ".join(problems))
            return
        try:
            await self._guard.call(ping)
        except (aiohttp.ClientError, NotTaken, TimeoutError, Refused) as error:
            # Not its words: they may quote the address, which is as good as a key.
            words = str(error) if isinstance(error, NotTaken) else type(error).__name__
            self._note(f"the address was not reached ({words})")
        else:
            self._note(None)

    def _note(self, why: str | None) -> None:
        """Say once that the heart does not beat, and once that it does again."""
        if why is not None and not self._silent:
            log.warning("no heartbeat: %s", why)
        elif why is None and self._silent:
            log.info("the heart beats again")
        self._silent = why is not None
