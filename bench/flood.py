"""One chat in a 30 s flood wait while 50 others scout: what the others notice.

The whole bot over HTTP, by polling, at the Bot API emulator of the tests. Each round runs twice,
interleaved: without the flood, and with one more chat that is answered 429. Prints, over all
rounds, p50 and p99 of the seconds from a person's `/scout` to their shortlist, and the calls that
the flooded chat got during its wait. Bot and emulator share one process, and so one core.
"""

import asyncio
import logging
import math
import statistics
import tempfile
import time
from pathlib import Path

from bot.bootstrap import build_bot
from tests.conftest import local_settings
from tests.fakes.bot_api import BotApi

ROUNDS = 3
OTHERS = 50
FLOODED = 9_000
WAIT_S = 30


async def main() -> None:
    """Run the rounds and print the table."""
    logging.disable(logging.WARNING)
    took: dict[bool, list[float]] = {False: [], True: []}
    calls = 0
    for number in range(ROUNDS):
        for flood in (False, True) if number % 2 == 0 else (True, False):
            seconds, called = await _round(flood=flood)
            took[flood] += seconds
            calls += called
    print(f"{OTHERS} chats scout at once, {ROUNDS} rounds{'':8}p50 s{'':4}p99 s")
    for flood, name in ((False, "no flood wait"), (True, "one chat more, told to wait 30 s")):
        print(f"{name:36}{_line(took[flood])}")
    print(f"calls to the flooded chat during its wait: {calls}")


async def _round(*, flood: bool) -> tuple[list[float], int]:
    with tempfile.TemporaryDirectory() as folder:
        async with BotApi() as api:
            settings = local_settings(
                Path(folder),
                telegram_bot_token=api.token,
                telegram_api_base_url=api.base_url,
                sources=("sample",),
            )
            async with build_bot(settings):
                return await _scouts(api, flood=flood)


async def _scouts(api: BotApi, *, flood: bool) -> tuple[list[float], int]:
    people = [*range(1, OTHERS + 1), *((FLOODED,) if flood else ())]
    for person in people:
        await api.say(person, "/profile skills: python; remote: yes; kinds: job")
    await api.wait_for(lambda: all(api.messages(p) for p in people), 60)
    if flood:
        api.flood(FLOODED, WAIT_S)
        await api.say(FLOODED, "/scout")
        refused = await api.wait_for(lambda: [c for c in api.calls if c.status == 429], 60)
    others = people[:OTHERS]
    started = {}
    for person in others:
        started[person] = time.monotonic()
        await api.say(person, "/scout data")
    await api.wait_for(lambda: all(_shortlist_at(api, p) for p in others), 120)
    seconds = [_shortlist_at(api, p) - started[p] for p in others]
    after = 0
    if flood:
        mine = [c for c in api.calls if c.chat_id == FLOODED and c.at > refused[0].at]
        after = sum(c.at < refused[0].at + WAIT_S for c in mine)
    return seconds, after


def _shortlist_at(api: BotApi, person: int) -> float:
    """When the shortlist stood in the person's chat; 0 before."""
    shown = (
        c.at for c in api.calls_of("editMessageText", person) if "best match" in c.params["text"]
    )
    return next(shown, 0.0)


def _line(seconds: list[float]) -> str:
    ordered = sorted(seconds)
    p99 = ordered[math.ceil(0.99 * len(ordered)) - 1]
    return f"{statistics.median(ordered):>8.2f}{p99:>9.2f}"


if __name__ == "__main__":
    asyncio.run(main())
