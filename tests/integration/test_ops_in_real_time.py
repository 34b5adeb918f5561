"""What can only be seen in real time: the event loop's lag, and the heart's beat over HTTP."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from bot.ops.heartbeat import EVERY_S, Heartbeat, ping_fault
from bot.ops.lag import LoopLag
from resilience.guard import Guard, GuardPolicy
from resilience.retry import RetryPolicy
from tests.fakes.saga_clock import HeldClock, settle


async def until(seen: Callable[[], object]) -> None:
    """Wait until it is so; nothing tells when."""
    async with asyncio.timeout(5):
        while True:
            if seen():
                return
            await asyncio.sleep(0.01)


# --- the event loop -----------------------------------------------------------------------------


async def test_a_loop_that_stands_still_is_late() -> None:
    """Also while it does, as another thread sees it."""
    lag = LoopLag()
    measuring = asyncio.create_task(lag.keep_measuring())
    await asyncio.sleep(0)
    time.sleep(0.5)  # noqa: ASYNC251 - what is measured
    assert lag.longest_s >= 0.2
    await until(lambda: lag._seen)
    assert lag.longest_s >= 0.2
    measuring.cancel()
    await asyncio.wait({measuring})


# --- the heartbeat ------------------------------------------------------------------------------


class Outside:
    """The address that waits for our pings."""

    def __init__(self) -> None:
        self.status, self.pings = 200, 0

    async def ping(self, _request: web.Request) -> web.Response:
        """One came."""
        self.pings += 1
        return web.Response(status=self.status)

    @asynccontextmanager
    async def serve(self) -> AsyncIterator[str]:
        """On a free port."""
        application = web.Application()
        application.router.add_get("/ping", self.ping)
        runner = web.AppRunner(application)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/ping"
        await runner.cleanup()


async def test_the_heart_beats_while_work_can_be_done(caplog: pytest.LogCaptureFixture) -> None:
    """Each minute; not while the process is not ready. Silence is logged once, and its end, and
    the address never."""
    caplog.set_level("INFO")
    outside, clock, problems = Outside(), HeldClock(), dict[str, str]()
    policy = GuardPolicy(retry=RetryPolicy(retries_max=0))

    async def asked() -> dict[str, str]:
        return problems

    async with outside.serve() as url:
        guard = Guard("heartbeat", policy, clock=clock, classify=ping_fault)
        beating = asyncio.create_task(Heartbeat(url, guard, asked, clock).keep_beating())

        async def minute(pings: int) -> None:
            await until(lambda: outside.pings >= pings and clock._sleepers)
            clock.advance(EVERY_S)
            await settle()

        await minute(1)
        await minute(2)
        outside.status = 404
        await minute(3)
        await minute(4)
        outside.status = 200
        await minute(5)
        problems["database"] = "locked"
        await minute(5)
        await minute(5)
        assert outside.pings <= 6
        beating.cancel()
        await asyncio.wait({beating})
    words = [r.getMessage() for r in caplog.records if r.name == "bot.ops.heartbeat"]
    assert words == [
        "no heartbeat: the address was not reached (it answered 404)",
        "the heart beats again",
        "no heartbeat: database",
    ]
    assert url not in caplog.text
