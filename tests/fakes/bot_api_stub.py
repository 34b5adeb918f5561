"""A Bot API for load: as little as a polling bot needs, as fast as plain Python goes.

`python -m tests.fakes.bot_api_stub --port 0` prints the port it listens on. Then
`POST /load {"total": 5000, "rate": 200, "chats": 50}` starts a load of `/help` messages: `rate` a
second, or with null as fast as the bot fetches them. A new load replaces the one before.
`GET /stats` says how it went, `GET /stats?wait=30` first waits for the last answer, so many seconds
at most. Latencies run from the hand-out to the answer (`p50_ms`, `p99_ms`) and from the moment the
message was due, which counts the time it waited for the bot to fetch it (`due_p50_ms`,
`due_p99_ms`); with a null rate everything is due when the first update is fetched.

One sendMessage to a chat answers the chat's oldest update that has none.
"""

import argparse
import asyncio
import json
import re
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

BATCH_MAX = 100
FIRST_UPDATE_ID = 100_000_001
FIRST_CHAT_ID = 1_000_001
_HEAD_MAX = 64 * 2**10
_BODY_MAX = 64 * 2**20

_CHAT_ID = re.compile(rb'"?chat_id"?[=:"\s]+(-?\d+)')
_WAIT = re.compile(rb'"?\b(?:timeout|wait)"?[=:]\s*(\d+)')
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)

_ME = {"id": 7, "is_bot": True, "first_name": "Webscout", "username": "webscout_test_bot"}
_ME |= {"can_join_groups": True, "can_read_all_group_messages": False}
_ME |= {"supports_inline_queries": False}
_TRUE = b'{"ok":true,"result":true}'
_UPDATE = (
    '{"update_id":%d,"message":{"message_id":%d,"from":{"id":%d,"is_bot":false,"first_name":"Ada",'
    '"last_name":"Example","username":"ada%d","language_code":"en"},"chat":{"id":%d,'
    '"first_name":"Ada","last_name":"Example","username":"ada%d","type":"private"},"date":%d,'
    '"text":"/help","entities":[{"offset":0,"length":5,"type":"bot_command"}]}}'
)
_MESSAGE = (
    '{"ok":true,"result":{"message_id":%d,"from":{"id":7,"is_bot":true,"first_name":"Webscout",'
    '"username":"webscout_test_bot"},"chat":{"id":%d,"first_name":"Ada","username":"ada%d",'
    '"type":"private"},"date":%d,"text":"(as sent)"}}'
)

Answer = Callable[[bytes], None]


@dataclass
class Load:
    """A load of updates: which are due, which were handed out when, which were answered."""

    total: int = 0
    rate: float | None = None
    chats: int = 1
    first_id: int = FIRST_UPDATE_ID
    handed_out: int = 0
    start: float = 0.0
    """When the first update was handed out; the schedule of the others counts from it."""
    last_answer: float = 0.0
    open: dict[int, deque[tuple[float, float]]] = field(default_factory=dict)
    """Of every chat, when its unanswered updates were due and handed out."""
    latencies: list[float] = field(default_factory=list)
    due_latencies: list[float] = field(default_factory=list)

    def batch(self, now: float) -> list[str]:
        """The next updates that are due, as JSON, at most a hundred."""
        self.start = self.start or now
        due = self.total if self.rate is None else int((now - self.start) * self.rate) + 1
        last = min(due, self.total, self.handed_out + BATCH_MAX)
        return [self._hand_out(number, now) for number in range(self.handed_out, last)]

    def wait_s(self, now: float) -> float | None:
        """How long until the next update is due; None when there is none."""
        if self.handed_out >= self.total:
            return None
        return self._due(self.handed_out) - now

    def answered(self, chat_id: int, now: float) -> None:
        """The bot has answered in this chat."""
        waiting = self.open.get(chat_id)
        if not waiting:
            return
        due, handed_out = waiting.popleft()
        self.latencies.append(now - handed_out)
        self.due_latencies.append(now - due)
        self.last_answer = now

    @property
    def done(self) -> bool:
        """Whether every update has an answer."""
        return len(self.latencies) >= self.total

    def stats(self) -> dict[str, Any]:
        """What happened so far; times are null before the first answer."""
        answered = len(self.latencies)
        elapsed_s = self.last_answer - self.start if answered else None
        return {
            "total": self.total,
            "handed_out": self.handed_out,
            "answered": answered,
            "elapsed_s": elapsed_s,
            "per_s": answered / elapsed_s if elapsed_s else None,
            "p50_ms": _percentile(self.latencies, 0.50),
            "p99_ms": _percentile(self.latencies, 0.99),
            "due_p50_ms": _percentile(self.due_latencies, 0.50),
            "due_p99_ms": _percentile(self.due_latencies, 0.99),
        }

    def _due(self, number: int) -> float:
        return self.start + (number / self.rate if self.rate else 0.0)

    def _hand_out(self, number: int, now: float) -> str:
        chat = FIRST_CHAT_ID + number % self.chats
        self.handed_out = number + 1
        self.open.setdefault(chat, deque()).append((self._due(number), now))
        update_id = self.first_id + number
        return _UPDATE % (update_id, number + 1, chat, chat, chat, chat, int(time.time()))


def _percentile(seconds: list[float], share: float) -> float | None:
    if not seconds:
        return None
    ordered = sorted(seconds)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] * 1000


class Stub:
    """The Bot API: what each path answers. An answer may come later, by a timer or by a load."""

    def __init__(self) -> None:
        self.load = Load()
        self._loop = asyncio.get_running_loop()
        self._poll: Poll | None = None
        self._watcher: tuple[Answer, asyncio.TimerHandle] | None = None
        self._sent = 0

    def handle(self, path: bytes, body: bytes, answer: Answer) -> None:
        """Answer one request, now or later."""
        target, _, query = path.partition(b"?")
        match target.rpartition(b"/")[2]:
            case b"sendMessage":
                self._send_message(body, query, answer)
            case b"getUpdates":
                self._get_updates(_number(_WAIT, body or query), answer)
            case b"getMe":
                answer(json.dumps({"ok": True, "result": _ME}).encode())
            case b"load":
                self._start(body, answer)
            case b"stats":
                self._stats(_number(_WAIT, query), answer)
            case _:
                answer(_TRUE)

    def left(self, answer: Answer) -> None:
        """A connection is gone, and what it waited for with it."""
        if self._poll is not None and self._poll.answer == answer:
            self._poll.end([])
            self._poll = None

    def _send_message(self, body: bytes, query: bytes, answer: Answer) -> None:
        chat_id = _number(_CHAT_ID, body or query)
        self._sent += 1
        now = int(time.time())
        answer((_MESSAGE % (1_000_000 + self._sent, chat_id, chat_id, now)).encode())
        self.load.answered(chat_id, time.monotonic())
        if self._watcher and self.load.done:
            self._tell()

    def _get_updates(self, timeout_s: int, answer: Answer) -> None:
        if self._poll is not None:
            self._poll.end([])
        self._poll = Poll(answer, time.monotonic() + timeout_s)
        self._serve_poll()

    def _serve_poll(self) -> None:
        """Answer the poll that waits, or look again when something is due."""
        poll, now = self._poll, time.monotonic()
        if poll is None:
            return
        updates = self.load.batch(now) if self.load.total else []
        if updates or now >= poll.deadline:
            self._poll = None
            poll.end(updates)
            return
        until_due = self.load.wait_s(now)
        left = poll.deadline - now
        wait_s = left if until_due is None else min(left, until_due)
        poll.timer = self._loop.call_later(max(wait_s, 0.0005), self._serve_poll)

    def _start(self, body: bytes, answer: Answer) -> None:
        wanted = json.loads(body)
        first_id = self.load.first_id + self.load.total  # a bot drops ids it has confirmed
        self.load = Load(
            total=int(wanted["total"]),
            rate=wanted.get("rate"),
            chats=int(wanted.get("chats", 1)),
            first_id=first_id,
        )
        answer(_TRUE)
        if self._poll is not None and self._poll.timer is not None:
            self._poll.timer.cancel()
        self._serve_poll()

    def _stats(self, wait_s: int, answer: Answer) -> None:
        if self.load.done or not wait_s:
            answer(json.dumps(self.load.stats()).encode())
            return
        self._tell()  # one waits at a time; whoever waited before is answered now
        self._watcher = answer, self._loop.call_later(wait_s, self._tell)

    def _tell(self) -> None:
        if self._watcher is not None:
            answer, timer = self._watcher
            self._watcher = None
            timer.cancel()
            answer(json.dumps(self.load.stats()).encode())


@dataclass
class Poll:
    """A getUpdates that waits."""

    answer: Answer
    deadline: float
    timer: asyncio.TimerHandle | None = None

    def end(self, updates: list[str]) -> None:
        if self.timer is not None:
            self.timer.cancel()
        self.answer(b'{"ok":true,"result":[%s]}' % ",".join(updates).encode())


def _number(pattern: re.Pattern[bytes], source: bytes) -> int:
    """The first number of that name in a form, a query, a multipart body or a JSON object."""
    found = pattern.search(source)
    return int(found[1]) if found else 0


class Connection(asyncio.Protocol):
    """Just enough HTTP/1.1: requests with a length, one after another, kept alive."""

    def __init__(self, stub: Stub) -> None:
        self._stub = stub
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Part of asyncio's Protocol."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def connection_lost(self, _exc: Exception | None) -> None:
        """Part of asyncio's Protocol."""
        self._stub.left(self._answer)

    def data_received(self, data: bytes) -> None:
        """Take the requests that have come in whole."""
        self._received += data
        while (end := self._received.find(b"\r\n\r\n")) >= 0:
            head = self._received[:end]
            length = _number(_LENGTH, head)
            whole = end + 4 + length
            if len(self._received) < whole:
                break
            body, self._received = self._received[end + 4 : whole], self._received[whole:]
            self._stub.handle(head.split(b" ", 2)[1], body, self._answer)
        if len(self._received) > _HEAD_MAX + _BODY_MAX:
            self._transport.abort()

    def _answer(self, body: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(
                b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"
                % (len(body), body)
            )


async def serve(port: int) -> None:
    """Serve until cancelled; prints the port."""
    stub = Stub()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(stub), "127.0.0.1", port, backlog=1024)
    async with server:
        print(server.sockets[0].getsockname()[1], flush=True)  # noqa: T201 - its one output
        await server.serve_forever()


def main() -> None:
    """Serve until the process is ended."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--port", type=int, default=0)
    asyncio.run(serve(parser.parse_args().port))


if __name__ == "__main__":
    main()
