"""A person at the chat page, without the page: reads its events, sends texts, taps buttons."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Self

import aiohttp

Message = dict[str, Any]
WAIT_S = 30.0


@dataclass
class ChatClient:
    """Follows the chat over its event stream, as the page does."""

    address: str
    messages: dict[int, Message] = field(default_factory=dict)
    toasts: list[str] = field(default_factory=list)
    resets: int = 0

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(self.address)
        self._changed = asyncio.Event()
        async with self._session.get("/chat/messages") as response:
            history = await response.json()
        self.messages.update({m["message_id"]: m for m in history["messages"]})
        self._reader = asyncio.create_task(self._read(history["revision"]))
        return self

    async def __aexit__(self, *_: object) -> None:
        self._reader.cancel()
        await asyncio.gather(self._reader, return_exceptions=True)
        await self._session.close()

    async def say(self, text: str) -> None:
        """Send a text."""
        async with self._session.post("/chat/send", json={"text": text}) as response:
            assert response.status == 202, await response.text()

    async def ask(self, text: str) -> Message:
        """Send a text and wait for the bot's next new message."""
        known = max(self.messages, default=0)
        await self.say(text)
        answer: Message = await self.until(
            lambda c: next((m for m in c.bot_messages() if m["message_id"] > known), None)
        )
        return answer

    async def tap(self, label: str, message: Message | None = None) -> None:
        """Tap the button of that label, on the message or the newest that has one."""
        holder, data = self._button(label, message)
        await self.tap_data(holder["message_id"], data)

    async def tap_data(self, message_id: int, data: str, status: int = 202) -> None:
        """Tap a button by its data, whether it is on the screen or not."""
        body = {"message_id": message_id, "data": data}
        async with self._session.post("/chat/tap", json=body) as response:
            assert response.status == status, await response.text()

    async def until(self, found: Callable[["ChatClient"], Any]) -> Any:
        """Wait until `found` gives something true, and return that."""
        async with asyncio.timeout(WAIT_S):
            while not (value := found(self)):
                self._changed.clear()
                await self._changed.wait()
        return value

    async def until_text(self, words: str) -> Message:
        """Wait for a bot message that says `words`; the newest of them."""
        found: Message = await self.until(
            lambda c: next((m for m in reversed(c.bot_messages()) if words in m["text"]), None)
        )
        return found

    async def get(self, path: str) -> bytes:
        """Download a file of the chat."""
        async with self._session.get(path) as response:
            assert response.status == 200
            return await response.read()

    def bot_messages(self) -> list[Message]:
        """The bot's messages, oldest first."""
        return [m for _, m in sorted(self.messages.items()) if m["from_bot"]]

    def labels(self, message: Message) -> list[str]:
        """The labels of a message's buttons."""
        return [button["text"] for row in message["buttons"] for button in row]

    def _button(self, label: str, message: Message | None) -> tuple[Message, str]:
        holders = [message] if message else list(reversed(self.bot_messages()))
        for holder in holders:
            for row in holder["buttons"]:
                for button in row:
                    if button["text"] == label:
                        return holder, button["data"]
        raise AssertionError(f"no button {label!r}")

    async def _read(self, after: int) -> None:
        timeout = aiohttp.ClientTimeout(total=None)
        async with self._session.get(f"/chat/events?after={after}", timeout=timeout) as response:
            event = ""
            async for raw in response.content:
                line = raw.decode().rstrip("\n")
                if line.startswith("event: "):
                    event = line[7:]
                elif line.startswith("data: "):
                    self._take(event, json.loads(line[6:]))

    def _take(self, event: str, data: dict[str, Any]) -> None:
        match event:
            case "message":
                self.messages[data["message_id"]] = data
            case "toast":
                self.toasts.append(data["text"])
            case "reset":
                self.messages.clear()
                self.resets += 1
        self._changed.set()
