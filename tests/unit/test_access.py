"""Who gets in: names of this server, the token in constant time, sessions, CSRF."""

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from bot.web.access import (
    COOKIE,
    CSRF_HEADER,
    SESSION_S,
    SESSIONS_MAX,
    WRONG_BURST,
    WRONG_REFILL_S,
    Access,
    Door,
    Visitor,
    cookie_of,
)
from tests.fakes.clock import FixedClock

TOKEN = "an-operators-token-of-length"


class Wire:
    """The connection that a request came by."""

    def __init__(self, address: str = "127.0.0.1") -> None:
        self._address = address

    def get_extra_info(self, name: str, default: object = None) -> object:
        """The address that it came to, and from."""
        known = {"sockname": (self._address, 8080), "peername": (self._address, 5000)}
        return known.get(name, default)

    def is_closing(self) -> bool:
        """Never."""
        return False


def request(headers: dict[str, str] | None = None, to: str = "127.0.0.1") -> web.Request:
    """A request under this server's own name, unless the headers say otherwise."""
    host = f"[{to}]" if ":" in to else to
    return make_mocked_request(
        "POST",
        "/ops/actions",
        headers={"Host": f"{host}:8080"} | (headers or {}),
        transport=Wire(to),
    )


def door(**changes: object) -> Door:
    """On loopback, without a token."""
    values: dict[str, object] = {"here_only": True, "token": None}
    return Door(**values | changes)  # type: ignore[arg-type]


def status(answer: object) -> int:
    """Of a refusal; 0 for who was let in."""
    return answer.status if isinstance(answer, web.StreamResponse) else 0


def kind(answer: object) -> str:
    """Why a request was refused."""
    assert isinstance(answer, web.Response)
    assert isinstance(answer.text, str)
    return answer.text.split('"')[3]


def test_on_this_machine_nobody_is_asked() -> None:
    """Without a token, on loopback; each name of it will do."""
    access = Access(door(), FixedClock())
    for host in ("127.0.0.1:8080", "localhost:8080", "[::1]:8080"):
        assert isinstance(access.visitor(request({"Host": host})), Visitor)
    assert not access.asks_for_token


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Host": "evil.example:8080"},
        {"Host": "127.0.0.1:1"},
        {"Host": "127.0.0.1.evil.example:8080"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://["},
        {"Origin": ""},
        {"Origin": "http://127.0.0.1:1"},
        {"Origin": "http://localhost:8080"},
    ],
)
def test_foreign_names_and_pages_are_refused(headers: dict[str, str]) -> None:
    """With a token and without."""
    for access in (Access(door(), FixedClock()), Access(door(token=TOKEN), FixedClock())):
        assert status(access.visitor(request(headers))) == 403
        assert status(access.stranger(request(headers))) == 403


def test_the_servers_own_page_is_no_stranger() -> None:
    """Its Origin is the Host that it came by."""
    access = Access(door(hosts=frozenset({"ops.example"})), FixedClock())
    for host in ("127.0.0.1:8080", "ops.example", "ops.example:8443", "OPS.example"):
        headers = {"Host": host, "Origin": f"https://{host}"}
        assert access.stranger(request(headers)) is None


def test_elsewhere_the_address_itself_is_a_name() -> None:
    """The one that the connection came to; loopback's names are none there."""
    access = Access(door(here_only=False, token=TOKEN), FixedClock())
    for address in ("10.1.2.3", "fd00::1"):
        assert access.stranger(request(to=address)) is None
    assert status(access.stranger(request({"Host": "localhost:8080"}, to="10.1.2.3"))) == 403


def test_elsewhere_without_a_token_nobody_gets_in() -> None:
    """It is said what to set."""
    access = Access(door(here_only=False), FixedClock())
    assert kind(access.visitor(request())) == "ops-token-not-set"


@pytest.mark.parametrize("header", ["X-Forwarded-For", "Forwarded", "Via", "X-Real-IP"])
def test_who_comes_by_a_proxy_is_not_on_this_machine(header: str) -> None:
    """Although the connection is."""
    access = Access(door(), FixedClock())
    assert kind(access.visitor(request({header: "203.0.113.7"}))) == "ops-token-not-set"


def test_the_token_opens_a_session() -> None:
    """Until its time is over, or somebody logs out."""
    clock = FixedClock()
    access = Access(door(here_only=False, token=TOKEN), clock)
    assert access.asks_for_token
    for wrong in ("", "x", TOKEN[:-1], TOKEN + "x", "ü" * 20):
        assert status(access.login(wrong, request())) == 401
    session = access.login(TOKEN, request())
    assert isinstance(session, str)
    cookie = {"Cookie": f"{COOKIE}={session}"}
    visitor = access.visitor(request(cookie))
    assert isinstance(visitor, Visitor)
    assert access.still_in(visitor)
    clock.advance(SESSION_S - 1)
    assert isinstance(access.visitor(request(cookie)), Visitor)
    clock.advance(1)
    assert status(access.visitor(request(cookie))) == 401
    assert not access.still_in(visitor)
    other = access.login(TOKEN, request())
    assert isinstance(other, str)
    here = access.visitor(request({"Cookie": f"{COOKIE}={other}"}))
    assert isinstance(here, Visitor)
    access.logout(here)
    assert not access.still_in(here)
    assert status(access.visitor(request({"Cookie": f"{COOKIE}={other}"}))) == 401


@pytest.mark.parametrize(
    ("authorization", "expected"),
    [
        (f"Bearer {TOKEN}", 0),
        (f"bearer  {TOKEN} ", 0),
        ("Bearer wrong", 401),
        (f"Basic {TOKEN}", 401),
        ("", 401),
    ],
)
def test_programs_show_the_token_itself(authorization: str, expected: int) -> None:
    """As `Authorization: Bearer`."""
    access = Access(door(token=TOKEN), FixedClock())
    visitor = access.visitor(request({"Authorization": authorization}))
    assert status(visitor) == expected
    if isinstance(visitor, Visitor):
        access.logout(visitor)  # there is nothing to end
        assert access.still_in(visitor)


def test_who_guesses_is_not_looked_at_any_more() -> None:
    """After ten wrong ones, not even the right one; one more each six seconds."""
    clock = FixedClock()
    access = Access(door(token=TOKEN), clock)
    for _ in range(WRONG_BURST):
        assert status(access.login("wrong", request())) == 401
    refused = access.login(TOKEN, request())
    assert isinstance(refused, web.StreamResponse)
    assert (refused.status, refused.headers["Retry-After"]) == (429, "6")
    assert status(access.login("wrong", request(to="10.0.0.9"))) == 401  # another address
    clock.advance(WRONG_REFILL_S)
    assert isinstance(access.login(TOKEN, request()), str)


def test_behind_a_proxy_who_guesses_is_who_it_names() -> None:
    """The last address that was forwarded, where the proxy is on this machine; others lie."""
    access = Access(door(token=TOKEN), FixedClock())
    guesser = {"X-Forwarded-For": "203.0.113.7, 198.51.100.1"}
    for number in range(WRONG_BURST):
        lie = {"X-Forwarded-For": f"10.0.0.{number}, 198.51.100.1"}
        assert status(access.login("wrong", request(lie))) == 401
    assert status(access.login("wrong", request(guesser))) == 429
    assert isinstance(access.login(TOKEN, request({"X-Forwarded-For": "203.0.113.7"})), str)


def test_sessions_are_bounded() -> None:
    """The oldest goes."""
    access = Access(door(token=TOKEN), FixedClock())
    first = access.login(TOKEN, request())
    for _ in range(SESSIONS_MAX):
        access.login(TOKEN, request())
    assert status(access.visitor(request({"Cookie": f"{COOKIE}={first}"}))) == 401


def test_an_action_shows_its_sessions_csrf_token() -> None:
    """Not another session's, and not none."""
    access = Access(door(token=TOKEN), FixedClock())
    visitors = []
    for _ in range(2):
        session = access.login(TOKEN, request())
        visitor = access.visitor(request({"Cookie": f"{COOKIE}={session}"}))
        assert isinstance(visitor, Visitor)
        visitors.append(visitor)
    mine, other = visitors
    assert access.forged(request({CSRF_HEADER: mine.csrf}), mine) is None
    for wrong in ({}, {CSRF_HEADER: ""}, {CSRF_HEADER: other.csrf}, {CSRF_HEADER: "é"}):
        assert kind(access.forged(request(wrong), mine)) == "csrf-token"


def test_neither_scripts_nor_other_sites_see_the_cookie() -> None:
    """HttpOnly, SameSite=Strict; Secure where the browser speaks TLS."""
    for headers, secure in (({}, False), ({"X-Forwarded-Proto": "https"}, True)):
        response = web.Response()
        cookie_of(response, "s", request(headers))
        cookie = response.cookies[COOKIE]
        assert (cookie["httponly"], cookie["samesite"]) == (True, "Strict")
        assert bool(cookie["secure"]) is secure


def test_secrets_are_not_shown() -> None:
    """Not when somebody logs a door or a visitor."""
    assert TOKEN not in repr(door(token=TOKEN))
    assert "secret" not in repr(Visitor(None, "secret"))
