"""`webscout`: run the bot until SIGTERM or Ctrl-C."""

import asyncio
import gc
import os
import resource
import signal
import sys
from pathlib import Path
from typing import Any

from telegram.error import InvalidToken, TelegramError

from bot.bootstrap import Running, build_bot
from bot.settings import LOOPBACK, Settings
from bot.web.server import PortTaken

FAILED, USAGE = 1, 2
FILES_MAX = 65_536
GC_THRESHOLDS = (20_000, 20, 50)
"""What is allocated here is mostly freed at once, by its count of references. With a thousand runs
in the queue Python's own thresholds collect so often that it takes a fifth of the time."""


async def run(settings: Settings) -> int:
    """Run the bot; returns the exit code."""
    if settings.local and settings.host not in LOOPBACK:
        allowed = ", ".join(sorted(LOOPBACK))
        return _complain(
            f"HOST: the chat page has no login, so it is served on loopback only, "
            f"not on {settings.host}; allowed: {allowed}",
            USAGE,
        )
    for spec in _missing_files(settings):
        _complain(f"SOURCES: {spec}: no such file; scouts do without it until it is there")
    _allow_connections()
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, _heed, number, stop)
    try:
        async with build_bot(settings) as running:
            # What the start made lives as long as the process: without this each full collection
            # walks through it, and the event loop stands still for 100 ms.
            gc.collect()
            gc.freeze()
            gc.set_threshold(*GC_THRESHOLDS)
            print(_greeting(settings, running), flush=True)
            print(f"Dashboard: {running.address}/", flush=True)
            if settings.local or settings.api_keys:
                made = running.api_key
                key = "" if made is None else f", key {made} (for this start; API_KEYS keeps one)"
                print(f"Run API: {running.address}/v1/runs{key}", flush=True)
            print("Ctrl-C stops it; your data stays.", flush=True)
            await _until(stop, running)
            await _drain(running, settings.drain_s)
    except PortTaken as taken:
        return _complain(str(taken), FAILED)
    except InvalidToken:
        return _complain("TELEGRAM_BOT_TOKEN: Telegram does not know this token", USAGE)
    except TelegramError as error:
        hint = "check the network and TELEGRAM_API_BASE_URL"
        return _complain(f"Telegram can't be used: {error}; {hint}", FAILED)
    return 0


def _missing_files(settings: Settings) -> list[str]:
    named = (spec for spec in settings.sources if spec.startswith("file:"))
    return [s for s in named if not Path(s.removeprefix("file:")).expanduser().exists()]


def _allow_connections() -> None:
    """As many open files as may be: each stream that is followed is one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = FILES_MAX if hard == resource.RLIM_INFINITY else min(hard, FILES_MAX)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, most), hard))


def _heed(number: signal.Signals, stop: asyncio.Event) -> None:
    """Stop at the first signal; at the second one now. Everything is journaled as it happens, so
    the next start goes on as after a kill."""
    if stop.is_set():
        print("Stopped at once; the next start goes on.", flush=True)
        os._exit(128 + number)
    stop.set()


async def _drain(running: Running, within_s: float) -> None:
    """Let the runs under way end, for a while; those that don't go on at the next start."""
    count = running.under_way()
    print("Stopping…", flush=True)
    if count and within_s:
        words = "1 run is" if count == 1 else f"{count} runs are"
        print(
            f"{words} under way: waiting up to {within_s:g} s. Once more stops now; the next start "
            "goes on.",
            flush=True,
        )
    try:
        async with asyncio.timeout(within_s):
            await running.drain()
    except TimeoutError:
        print(f"{running.under_way()} still under way: left for the next start.", flush=True)


async def _until(stop: asyncio.Event, running: Running) -> None:
    """Until a signal; raises what made the bot unable to go on."""
    stopped = asyncio.ensure_future(stop.wait())
    ends: set[asyncio.Future[Any]] = {stopped, running.failed}
    try:
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        if running.failed.done():
            running.failed.result()
    finally:
        stopped.cancel()


def _greeting(settings: Settings, running: Running) -> str:
    if settings.local:
        return f"Webscout runs in local mode. Open the chat: {running.address}/chat"
    way = "by long polling"
    if settings.webhook_url is not None:
        way = f"by webhook, on {running.address}/telegram"
    return f"Webscout runs on Telegram as @{running.username}, {way}."


def _complain(message: str, code: int = 0) -> int:
    print(f"webscout: {message}", file=sys.stderr)
    return code
