"""Who may see and do what operators may: on loopback whoever is on this machine, elsewhere who has
`OPS_TOKEN`, once in a form, then by a cookie.

Every request's Host has to be a name of this server, and its Origin, if there is one, the same: so
no page of another site, and no name that points here from elsewhere, gets at it. Every action needs
the session's CSRF token besides.
"""

import hashlib
import hmac
import logging
import secrets
from collections import OrderedDict
from dataclasses import dataclass, field

from aiohttp import web

from bot.web.server import own_hosts, problem
from resilience.bucket import TokenBucket
from resilience.clock import Clock

COOKIE = "webscout_ops"
CSRF_HEADER = "X-CSRF-Token"
SESSION_S = 12 * 3600.0
SESSIONS_MAX = 100
WRONG_BURST, WRONG_REFILL_S = 10, 6.0
"""So many wrong tokens from one address at once, then one each six seconds."""
_FORWARDED = ("Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Real-IP", "Via")


@dataclass(frozen=True, slots=True, kw_only=True)
class Door:
    """How the server is reached. `here_only`: by nobody but this machine, so that no token is
    needed; `hosts` are names besides its own."""

    here_only: bool
    token: str | None = field(repr=False)
    hosts: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Visitor:
    """Who was let in; `session` is None for who shows the token itself, and on this machine."""

    session: str | None
    csrf: str = field(repr=False)


Refused = web.StreamResponse

log = logging.getLogger(__name__)


class Access:
    """Checks requests. Sessions live in memory: a restart asks for the token again."""

    def __init__(self, door: Door, clock: Clock) -> None:
        self._door = door
        self._clock = clock
        self._secret = secrets.token_bytes(32)
        self._sessions: OrderedDict[str, float] = OrderedDict()
        self._wrong = TokenBucket(
            burst=WRONG_BURST, refill_s=WRONG_REFILL_S, monotonic=clock.monotonic
        )

    @property
    def asks_for_token(self) -> bool:
        """Whether there is a token to ask for."""
        return self._door.token is not None

    def stranger(self, request: web.Request) -> Refused | None:
        """The refusal of a request that came under a foreign name or from a foreign page."""
        host = request.host.lower()
        if not self._is_own(host, request):
            return problem(403, "foreign-host", f"Host {host[:80]!r} is not this server")
        origin = request.headers.get("Origin")
        if origin is not None and origin.partition("://")[2].lower() != host:
            return problem(403, "foreign-origin", f"Origin {origin[:80]!r} is not this server")
        return None

    def _is_own(self, host: str, request: web.Request) -> bool:
        named = self._door.hosts
        return host in own_hosts(request) or host in named or host.rpartition(":")[0] in named

    def visitor(self, request: web.Request) -> Visitor | Refused:
        """Who asks, or the refusal."""
        if (refused := self.stranger(request)) is not None:
            return refused
        if self._door.token is None:
            return self._without_token(request)
        session = request.cookies.get(COOKIE, "")
        if self._is_alive(session):
            return Visitor(session, self._csrf(session))
        kind, _, given = request.headers.get("Authorization", "").partition(" ")
        if kind.lower() != "bearer":
            return _unauthorized("a session or Authorization: Bearer OPS_TOKEN is needed")
        refused = self._check(given.strip(), request)
        return Visitor(None, self._csrf("bearer")) if refused is None else refused

    def _without_token(self, request: web.Request) -> Visitor | Refused:
        if not self._door.here_only:
            words = "OPS_TOKEN is not set: set it, and nobody else gets in"
            return problem(403, "ops-token-not-set", words)
        if any(name in request.headers for name in _FORWARDED):
            words = "this came by a proxy: set OPS_TOKEN for who is not on this machine"
            return problem(403, "ops-token-not-set", words)
        return Visitor(None, self._csrf("here"))

    def login(self, token: str, request: web.Request) -> str | Refused:
        """A new session for who knows the token, or the refusal."""
        if (refused := self._check(token, request)) is not None:
            return refused
        session = secrets.token_urlsafe(32)
        self._sessions[session] = self._clock.monotonic() + SESSION_S
        while len(self._sessions) > SESSIONS_MAX:
            self._sessions.popitem(last=False)
        return session

    def logout(self, visitor: Visitor) -> None:
        """End the session."""
        if visitor.session is not None:
            self._sessions.pop(visitor.session, None)

    def still_in(self, visitor: Visitor) -> bool:
        """Whether who was let in may stay: nobody logged out, and the time is not over."""
        return visitor.session is None or self._is_alive(visitor.session)

    def forged(self, request: web.Request, visitor: Visitor) -> Refused | None:
        """The refusal of an action that does not show the session's CSRF token."""
        given = request.headers.get(CSRF_HEADER, "")
        if hmac.compare_digest(given.encode(), visitor.csrf.encode()):
            return None
        return problem(403, "csrf-token", f"{CSRF_HEADER} is missing or wrong; load the page again")

    def _check(self, given: str, request: web.Request) -> Refused | None:
        """Refuse a wrong token, in constant time; who tries too often is not looked at."""
        peer = _peer(request)
        if (wait_s := self._wrong.peek(peer)) > 0:
            refused = problem(429, "too-many-tries", "too many wrong tokens; try again later")
            refused.headers["Retry-After"] = str(max(1, round(wait_s)))
            return refused
        expected = self._door.token or ""
        if hmac.compare_digest(_digest(given), _digest(expected)) and expected:
            return None
        self._wrong.book(peer, within_s=0.0)
        log.warning("a wrong operators' token came from %s", peer)
        return _unauthorized("The token is wrong.")

    def _is_alive(self, session: str) -> bool:
        until = self._sessions.get(session)
        if until is not None and until <= self._clock.monotonic():
            del self._sessions[session]
            return False
        return until is not None

    def _csrf(self, session: str) -> str:
        return hmac.new(self._secret, session.encode(), hashlib.sha256).hexdigest()


def _peer(request: web.Request) -> str:
    """Who asks; behind a proxy on this machine, whom that says last."""
    peer = request.remote or ""
    forwarded = request.headers.get("X-Forwarded-For", "")
    if peer in {"127.0.0.1", "::1"} and forwarded:
        return forwarded.rpartition(",")[2].strip()[:64]
    return peer


def _digest(text: str) -> bytes:
    """Of equal length, so that not even the token's length shows."""
    return hashlib.sha256(text.encode(errors="surrogateescape")).digest()


def _unauthorized(words: str) -> Refused:
    refused = problem(401, "unauthorized", words)
    refused.headers["WWW-Authenticate"] = "Bearer"
    return refused


def cookie_of(response: web.StreamResponse, session: str, request: web.Request) -> None:
    """Hand the session over: no script reads it, no other site's request carries it."""
    response.set_cookie(
        COOKIE,
        session,
        max_age=round(SESSION_S),
        httponly=True,
        samesite="Strict",
        secure=request.secure or request.headers.get("X-Forwarded-Proto") == "https",
        path="/",
    )
