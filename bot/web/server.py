"""The aiohttp application, and the checks that every request passes."""

import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import lru_cache

from aiohttp import web

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

BODY_BYTES_MAX = 64 * 1024
_GRACE_S = 2.0
_HEADERS = {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' data:; frame-ancestors 'none'; "
    "base-uri 'none'; form-action 'self'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}

log = logging.getLogger(__name__)


class PortTaken(Exception):  # noqa: N818 - names the situation
    """The address can't be listened on; the message says why and what to do."""


def private_application() -> web.Application:
    """An application for the browser of this machine's person: foreign Hosts and Origins are
    refused."""
    return web.Application(client_max_size=BODY_BYTES_MAX, middlewares=[_answers, _own_hosts_only])


def public_application(body_bytes_max: int) -> web.Application:
    """An application that others reach under whatever name leads here."""
    return web.Application(client_max_size=body_bytes_max, middlewares=[_answers])


@asynccontextmanager
async def serve(application: web.Application, host: str, port: int) -> AsyncIterator[str]:
    """Serve the application; gives the address of the server."""
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=_GRACE_S)
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port)
        try:
            await site.start()
        except OSError as error:
            reason = error.strerror or str(error)
            raise PortTaken(f"HOST {host}, PORT {port}: {reason}; set another PORT") from error
        name = f"[{host}]" if ":" in host else host
        yield f"http://{name}:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@web.middleware
async def _own_hosts_only(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Refuse foreign Hosts and Origins: a web page elsewhere must not talk to this one."""
    allowed = own_hosts(request)
    if request.host not in allowed:
        return problem(403, "foreign-host", f"Host {request.host[:80]!r} is not this server")
    if (origin := request.headers.get("Origin")) and origin.partition("://")[2] not in allowed:
        return problem(403, "foreign-origin", f"Origin {origin[:80]!r} is not this server")
    return await handler(request)


@web.middleware
async def _answers(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer errors as problem+json, and set the headers that keep a page to itself."""
    response = await _answer(request, handler)
    if not response.prepared:
        response.headers.update(_HEADERS)
    return response


async def _answer(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except web.HTTPRedirection:
        raise
    except web.HTTPRequestEntityTooLarge:
        return problem(413, "body-too-large", "the body is longer than is read")
    except web.HTTPException as error:
        refused = problem(error.status, error.reason.lower().replace(" ", "-"), error.reason)
        if "Allow" in error.headers:
            refused.headers["Allow"] = error.headers["Allow"]
        return refused
    except ConnectionError:
        raise
    except Exception:
        # The request boundary: whatever broke is logged, and the caller gets an answer.
        log.exception("%s %s broke", request.method, request.path)
        return problem(500, "internal-error", "Something went wrong on our side.")


def problem(status: int, kind: str, detail: str) -> web.StreamResponse:
    """An error as RFC 9457 problem details."""
    body = {"type": kind, "title": kind.replace("-", " "), "status": status, "detail": detail}
    return web.json_response(body, status=status, content_type="application/problem+json")


def own_hosts(request: web.Request) -> frozenset[str]:
    """The names by which this server is reached: on loopback its machine's own, elsewhere the
    address that the request came to."""
    socket = request.transport.get_extra_info("sockname") if request.transport else None
    address, port = socket[:2] if socket else ("", 0)
    return _hosts_at(address, port)


@lru_cache(maxsize=64)
def _hosts_at(address: str, port: int) -> frozenset[str]:
    names: tuple[str, ...] = ("127.0.0.1", "localhost", "[::1]")
    if address and address not in {"127.0.0.1", "::1"}:
        names = (f"[{address}]" if ":" in address else address,)
    without = names if port == 80 else ()
    return frozenset((*(f"{name}:{port}" for name in names), *without))
