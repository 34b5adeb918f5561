"""People who write to the bot on Telegram's stand-in, and the bot started against it."""

import asyncio
import socket
import sqlite3
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bot.bootstrap import Fakes, Running, build_bot
from tests.conftest import local_settings
from tests.fakes.bot_api import BotApi, BotMessage
from tests.fakes.saga_clock import HeldClock

PROFILE = "/profile skills: python, sql; location: Berlin; remote: yes; kinds: job, grant"
SECRET = "s3cret"


@asynccontextmanager
async def telegram_bot(
    api: BotApi, folder: Path, fakes: Fakes | None = None, **settings: Any
) -> AsyncIterator[Running]:
    """The bot at the stand-in, with the sample postings, when updates reach it."""
    values = {
        "telegram_bot_token": api.token,
        "telegram_api_base_url": api.base_url,
        "sources": ("sample",),
    } | settings
    known = len(api.calls)

    def listening() -> bool:
        told = any(call.method == "setWebhook" for call in api.calls[known:])
        return told or (api.polls_waiting > 0 and "webhook_url" not in settings)

    async with build_bot(local_settings(folder, **values), fakes) as running:
        await api.wait_for(listening)
        yield running


def webhook() -> dict[str, Any]:
    """The settings of a bot that is brought its updates, on a free port."""
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    return {"port": port, "webhook_url": f"http://127.0.0.1:{port}", "webhook_secret": SECRET}


def rows(folder: Path, query: str) -> list[tuple[object, ...]]:
    """What stands in the database."""
    with closing(sqlite3.connect(folder / "var/webscout.db")) as connection:
        return connection.execute(query).fetchall()


async def until_rows(folder: Path, query: str, expected: list[tuple[object, ...]]) -> None:
    """Wait until the database says so; nothing tells when it is written to."""
    async with asyncio.timeout(10):
        while True:
            if await asyncio.to_thread(rows, folder, query) == expected:
                return
            await asyncio.sleep(0.01)


class WatchedClock(HeldClock):
    """A held clock that a test can ask whether somebody sleeps."""

    def __init__(self) -> None:
        super().__init__()
        self._asleep: Counter[float] = Counter()
        self._changed = asyncio.Event()

    async def sleep(self, seconds: float) -> None:
        """Return once `seconds` were let pass."""
        self._asleep[seconds] += 1
        self._changed.set()
        try:
            await super().sleep(seconds)
        finally:
            self._asleep[seconds] -= 1

    async def until_asleep(self, seconds: float) -> None:
        """Wait until somebody sleeps that long."""
        async with asyncio.timeout(10):
            while not self._asleep[seconds]:
                self._changed.clear()
                await self._changed.wait()


@dataclass
class Person:
    """Someone in a private chat with the bot."""

    api: BotApi
    id: int = 42
    patience_s: float = 10

    @property
    def messages(self) -> list[BotMessage]:
        """The bot's messages as they stand now."""
        return self.api.messages(self.id)

    @property
    def texts(self) -> list[str]:
        """Their texts."""
        return [message.text for message in self.messages]

    async def say(self, text: str, **extra: Any) -> int:
        """Send a text; `extra` are further fields of the message."""
        return await self.api.say(self.id, text, **extra)

    async def ask(self, text: str, **extra: Any) -> BotMessage:
        """Send a text and wait for the bot's next new message."""
        known = self._newest()
        await self.say(text, **extra)
        return (await self._found(lambda message: message.message_id > known))[0]

    async def read(self, words: str) -> BotMessage:
        """Wait for a message that has these words; the newest of them."""
        return (await self._found(lambda message: words in message.text))[-1]

    async def label(self, label: str) -> BotMessage:
        """Wait for a message that has a button of this label; the newest of them."""
        return (await self._found(lambda message: label in message.labels))[-1]

    async def tap(self, label: str, message: BotMessage | None = None) -> None:
        """Tap the button, on the message or the newest that has it; the tap is answered."""
        holder = message or await self.label(label)
        tap = await self.api.tap(self.id, holder.message_id, label)
        await self.answer_to(tap)

    async def answer_to(self, tap: int) -> str:
        """Wait for the answer to a tap; its words."""
        answers = await self.api.wait_for(
            lambda: [
                call
                for call in self.api.calls_of("answerCallbackQuery")
                if call.params["callback_query_id"] == str(tap)
            ]
        )
        assert [call.status for call in answers] == [200]
        return str(answers[0].params.get("text", ""))

    async def scout(self, command: str = "/scout") -> BotMessage:
        """Scout, with the profile there; gives the shortlist."""
        if not self.messages:
            await self.ask(PROFILE)
        known = self._newest()
        await self.say(command)
        lists = await self._found(lambda m: m.message_id > known and "best match" in m.text)
        return lists[0]

    async def _found(self, fits: Callable[[BotMessage], bool]) -> list[BotMessage]:
        return await self.api.wait_for(
            lambda: [m for m in self.messages if fits(m)], self.patience_s
        )

    def _newest(self) -> int:
        return max((m.message_id for m in self.messages), default=0)
