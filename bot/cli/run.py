"""`webscout`: run the bot until SIGTERM or Ctrl-C."""

import asyncio
import gc
import signal
import sys

from bot.bootstrap import build_bot
from bot.settings import LOOPBACK, Settings
from bot.web.server import PortTaken

_NOT_YET = (
    "TELEGRAM_BOT_TOKEN: this version runs in local mode only; "
    "leave it unset, and the bot runs on a chat page"
)


async def run(settings: Settings) -> int:
    """Run the bot; returns the exit code."""
    if not settings.local:
        return _refuse(_NOT_YET)
    if settings.host not in LOOPBACK:
        allowed = ", ".join(sorted(LOOPBACK))
        return _refuse(
            f"HOST: the chat page has no login, so it is served on loopback only, "
            f"not on {settings.host}; allowed: {allowed}"
        )
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, stop.set)
    try:
        async with build_bot(settings) as address:
            # What the start made lives as long as the process: without this each full collection
            # walks through it, and the event loop stands still for 100 ms.
            gc.collect()
            gc.freeze()
            print(f"Webscout runs in local mode. Open the chat: {address}/chat", flush=True)
            print("Ctrl-C stops it; your data stays.", flush=True)
            await stop.wait()
            print("Stopping…", flush=True)
    except PortTaken as taken:
        print(f"webscout: {taken}", file=sys.stderr)
        return 1
    return 0


def _refuse(message: str) -> int:
    print(f"webscout: {message}", file=sys.stderr)
    return 2
