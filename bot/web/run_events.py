"""`GET /v1/runs/{id}/events`: what happens to a run, as server-sent events.

A client that comes again says in `Last-Event-ID` which event it has, and gets those after it. One
that does not read is dropped: it can come again, and nobody waits for it.
"""

import asyncio
import json
from collections import Counter, OrderedDict
from contextlib import aclosing

from aiohttp import web

from agents.run_details import RunReader
from agents.run_feed import RunFeed
from agents.store.errors import StoreError
from bot.web.runs import later, not_found
from bot.web.server import problem
from resilience.saga import Event

HEARTBEAT_S = 15.0
STREAMS_MAX = 2_000
FRAMES_KEPT = 1_000
WRITE_MAX_S = 10.0
"""How long a client may leave what it was sent unread, once its connection's buffers are full."""
_SEQ_DIGITS_MAX = 9
"""What every database takes for the number of an event."""


class EventStreams:
    """Serves the events of runs."""

    def __init__(
        self,
        reader: RunReader,
        feed: RunFeed,
        *,
        heartbeat_s: float = HEARTBEAT_S,
        write_max_s: float = WRITE_MAX_S,
        streams_max: int = STREAMS_MAX,
    ) -> None:
        self._reader = reader
        self._feed = feed
        self._heartbeat_s = heartbeat_s
        self._write_max_s = write_max_s
        self._streams_max = streams_max
        self._of_team: Counter[str] = Counter()
        self._frames: OrderedDict[tuple[str, int], bytes] = OrderedDict()

    async def stream(self, request: web.Request, team: str) -> web.StreamResponse:
        """Send the run's events until a closing one, or until the client has gone."""
        after = _after(request)
        if after is None:
            words = "the event that you have; allowed: its id, a whole number from 0"
            return problem(400, "invalid-last-event-id", f"Last-Event-ID or after: {words}")
        run_id = request.match_info["id"]
        if await self._reader.row(team, run_id) is None:
            return not_found()
        own = self._of_team[team] >= self._streams_max // 2
        if own or self._feed.followers >= self._streams_max:
            words = "your team follows" if own else "all together follow"
            return later(503, "too-many-streams", f"{words} too many runs now", self._heartbeat_s)
        response = web.StreamResponse(
            headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        )
        response.content_type = "text/event-stream"
        response.charset = "utf-8"
        self._of_team[team] += 1
        try:
            await response.prepare(request)
            await self._send(request, response, run_id, after)
        except TimeoutError:
            if request.transport is not None:
                request.transport.abort()  # it does not read: what it was not sent it can ask for
        except (ConnectionError, StoreError):
            pass  # it comes again, and goes on where it was
        finally:
            self._of_team[team] -= 1
        return response

    def _frame(self, event: Event) -> bytes:
        """The event as it is sent; made once for all who follow the run."""
        key = (event.run_id, event.seq)
        made = self._frames.get(key)
        if made is None:
            made = self._frames[key] = frame(event)
            if len(self._frames) > FRAMES_KEPT:
                self._frames.popitem(last=False)
        return made

    async def _send(
        self, request: web.Request, response: web.StreamResponse, run_id: str, after: int
    ) -> None:
        def gone() -> bool:
            return request.transport is None or request.transport.is_closing()

        following = self._feed.follow(run_id, after, self._heartbeat_s, gone)
        async with aclosing(following) as batches:
            async for events in batches:
                data = b"".join(map(self._frame, events)) or b": still here\n\n"
                async with asyncio.timeout(self._write_max_s):
                    await response.write(data)


def frame(event: Event) -> bytes:
    """The event as it is sent."""
    data = {"run_id": event.run_id, "seq": event.seq, "at": event.at.isoformat(), **event.data}
    return f"id: {event.seq}\nevent: {event.type}\ndata: {json.dumps(data)}\n\n".encode()


def _after(request: web.Request) -> int | None:
    """The number of the event that the client has; 0 for none, None where that is no number. What
    it had last counts, not what stood in the address that it began with."""
    header, query = request.headers.get("Last-Event-ID"), request.query.get("after")
    given = [text for text in (header, query) if text]
    if not all(t.isascii() and t.isdigit() and len(t) <= _SEQ_DIGITS_MAX for t in given):
        return None
    return int(given[0]) if given else 0
