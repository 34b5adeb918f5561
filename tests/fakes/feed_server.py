"""Somebody else's web server, on loopback: a test says beforehand what each address answers."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Self

from aiohttp import web

WAIT_S = 30.0
_CHUNK = b'{"title": "' + b"x" * 65_500

Reply = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A request that came in."""

    method: str
    path_qs: str
    headers: Mapping[str, str]
    body: object = None


@dataclass(kw_only=True)
class Route:
    """One address: what it answers now, and what it was asked."""

    path: str
    reply: Reply
    notify: Callable[[], None]
    seen: list[Seen] = field(default_factory=list)
    held: bool = False
    bytes_sent: int = 0

    @property
    def requests(self) -> int:
        """How often it was asked."""
        return len(self.seen)

    def hold(self) -> None:
        """Its answers wait until `release`."""
        self.held = True

    def release(self) -> None:
        """Its answers go out."""
        self.held = False
        self.notify()

    # --- what it answers from now on -----------------------------------------------------------

    def json(
        self, value: object, *, etag: str | None = None, last_modified: str | None = None
    ) -> None:
        """A value; whoever has this version already gets a 304."""
        headers = {"ETag": etag, "Last-Modified": last_modified}
        sent = {name: text for name, text in headers.items() if text is not None}

        async def reply(request: web.Request) -> web.Response:
            known = (request.headers.get("If-None-Match"), request.headers.get("If-Modified-Since"))
            if (etag and known[0] == etag) or (last_modified and known[1] == last_modified):
                return web.Response(status=304, headers=sent)
            return web.json_response(value, headers=sent)

        self.reply = reply

    def pages(self, parameter: str, pages: Mapping[str, object]) -> None:
        """A value for each value of a query parameter ("" where it has none), else a 404."""

        async def reply(request: web.Request) -> web.Response:
            page = request.query.get(parameter, "")
            return web.json_response(pages[page]) if page in pages else web.Response(status=404)

        self.reply = reply

    def text(
        self, text: str | bytes, *, status: int = 200, headers: Mapping[str, str] | None = None
    ) -> None:
        """A body as it is, said to be JSON, whatever it is."""
        body = text.encode() if isinstance(text, str) else text
        all_headers = {"Content-Type": "application/json"} | dict(headers or {})

        async def reply(_: web.Request) -> web.Response:
            return web.Response(status=status, body=body, headers=all_headers)

        self.reply = reply

    def status(self, status: int, headers: Mapping[str, str] | None = None) -> None:
        """A status without a body."""
        self.text("", status=status, headers=headers)

    def redirect(self, location: str) -> None:
        """To another address."""
        self.status(302, {"Location": location})

    def stream(self, bytes_max: int) -> None:
        """A body of that length, in pieces; `bytes_sent` counts what could be sent of it."""

        async def reply(request: web.Request) -> web.StreamResponse:
            response = web.StreamResponse(headers={"Content-Type": "application/json"})
            await response.prepare(request)
            try:
                while self.bytes_sent < bytes_max:
                    await response.write(_CHUNK)
                    self.bytes_sent += len(_CHUNK)
            except ConnectionError:  # the reader left
                self.notify()
                raise
            return response

        self.reply = reply

    def cut(self, begun: bytes = b'{"jobs": [') -> None:
        """A body that breaks off with the connection."""

        async def reply(request: web.Request) -> web.StreamResponse:
            response = web.StreamResponse(headers={"Content-Length": "100000"})
            await response.prepare(request)
            await response.write(begun)
            assert request.transport is not None
            request.transport.abort()
            return response

        self.reply = reply

    def dropped(self) -> None:
        """No answer: the connection is closed."""

        async def reply(request: web.Request) -> web.Response:
            assert request.transport is not None
            request.transport.abort()
            return web.Response()

        self.reply = reply


class FeedServer:
    """The server, an async context manager. What it has no route for is a 404."""

    def __init__(self) -> None:
        self.url = ""
        self._routes: dict[str, Route] = {}
        self._closing = False
        self._changed = asyncio.Event()

    async def __aenter__(self) -> Self:
        application = web.Application()
        application.router.add_route("*", "/{path:.*}", self._answer)
        self._runner = web.AppRunner(application, shutdown_timeout=1.0)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        host, port = self._runner.addresses[0][:2]
        self.url = f"http://{host}:{port}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._closing = True
        self.notify()
        await self._runner.cleanup()

    def route(self, path: str) -> Route:
        """The route of a path (without the query); a new one answers an empty list."""
        if path not in self._routes:
            route = self._routes[path] = Route(path=path, reply=_nothing, notify=self.notify)
            route.json([])
        return self._routes[path]

    async def until(self, found: Callable[[], bool]) -> None:
        """Wait until `found()`; it is asked again whenever something here changes."""
        async with asyncio.timeout(WAIT_S):
            await self._until(found)

    def notify(self) -> None:
        """Something changed: those who wait look again."""
        self._changed.set()
        self._changed = asyncio.Event()

    async def _until(self, found: Callable[[], bool]) -> None:
        while not found():
            await self._changed.wait()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        route = self._routes.get(request.path)
        if route is None:
            return web.Response(status=404)
        body = await request.text()
        route.seen.append(
            Seen(
                method=request.method,
                path_qs=request.path_qs,
                headers=dict(request.headers),
                body=json.loads(body) if body else None,
            )
        )
        self.notify()
        if route.held:
            await self._until(lambda: not route.held or self._closing)
        return await route.reply(request)


async def _nothing(_: web.Request) -> web.StreamResponse:
    return web.Response(status=404)
