"""Who gets at what operators see and do: a table of everything against everybody."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from bot.bootstrap import build_bot
from tests.conftest import local_settings
from tests.fakes.bot_api import BotApi
from tests.fakes.operator import TOKEN, Operator, operator
from tests.fakes.people import rows, telegram_bot

SEEN = (
    "/v1/health",
    "/metrics",
    "/ops/runs",
    "/ops/runs/ab12",
    "/ops/actions",
    "/ops/events",
    "/ops/charts/runs-open",
)
ACTIONS = (
    ("pause", "matching"),
    ("resume", "matching"),
    ("open", "cache file"),
    ("close", "cache file"),
    ("auto", "cache file"),
    ("retry", "ab12"),
)


@pytest.fixture
async def api() -> AsyncIterator[BotApi]:
    """Telegram's stand-in, running."""
    async with BotApi() as api:
        yield api


@asynccontextmanager
async def outside(api: BotApi, folder: Path, **settings: Any) -> AsyncIterator[Operator]:
    """A bot on all addresses, which others reach."""
    values = {"host": "0.0.0.0", "ops_token": TOKEN} | settings
    async with telegram_bot(api, folder, **values) as running:
        port = running.address.rsplit(":", 1)[1]
        async with operator(f"http://127.0.0.1:{port}") as browser:
            yield browser


async def test_here_nobody_is_asked(tmp_path: Path) -> None:
    """On loopback, without a token: all of it is there."""
    async with (
        build_bot(local_settings(tmp_path)) as running,
        operator(running.address) as browser,
    ):
        assert (await browser.open()).status == 200
        for path in SEEN:
            if path != "/ops/events":
                assert (await browser.get(path)).status in {200, 204, 404}, path
        assert (await browser.act("pause", "matching")).status == 200
        assert (await browser.act("resume", "matching")).status == 200
        assert (await browser.login()).status == 404  # there is nothing to log in to


async def test_elsewhere_everything_needs_the_token(api: BotApi, tmp_path: Path) -> None:
    """Without it, with a wrong one, in any way to show it; what says nothing is for everybody."""
    async with outside(api, tmp_path) as browser:
        page = await browser.open()
        assert (page.status, "Operators' token" in page.text, browser.csrf) == (401, True, "")
        wrong: tuple[dict[str, str], ...] = (
            {},
            {"Authorization": "Bearer wrong"},
            {"Authorization": f"Basic {TOKEN}"},
            {"Cookie": "webscout_ops=wrong"},
            {"Cookie": f"webscout_ops={TOKEN}"},
        )
        for number, path in enumerate(SEEN):
            headers = wrong[number % len(wrong)]
            answer = await browser.get(path, headers)
            assert answer.status == 401, (path, headers)
            assert "agents" not in answer.text
        for action, name in ACTIONS:
            assert (await browser.act(action, name)).status == 401
        assert (await browser.ask("POST", "/ops/logout")).status == 401
        for path in ("/healthz", "/readyz", "/ops/static/ops.css", "/ops/static/login.js"):
            assert (await browser.get(path)).status == 200, path
    assert rows(tmp_path, "SELECT count(*) FROM operator_actions") == [(0,)]


async def test_with_the_token_everything_is_there(api: BotApi, tmp_path: Path) -> None:
    """By a session, and by a program's header."""
    async with outside(api, tmp_path) as browser:
        bearer = {"Authorization": f"Bearer {TOKEN}"}
        assert (await browser.get("/v1/health", bearer)).json()["agents"]
        assert (await browser.get("/metrics", bearer)).status == 200
        assert (await browser.login("wrong")).status == 401
        assert (await browser.ask("POST", "/ops/login", body={"token": 5})).status == 422
        answer = await browser.login()
        cookie = answer.headers["Set-Cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=Strict" in cookie
        page = await browser.open()
        assert (page.status, "Log out" in page.text) == (200, True)
        assert (await browser.act("pause", "matching")).status == 200
        logout = {"X-CSRF-Token": browser.csrf}
        assert (await browser.ask("POST", "/ops/logout", logout)).status == 200
        assert (await browser.act("resume", "matching")).status == 401


@pytest.mark.parametrize(("action", "name"), ACTIONS)
async def test_no_action_is_done_for_another_page(
    api: BotApi, tmp_path: Path, action: str, name: str
) -> None:
    """With a session: without its CSRF token, with another's, from another origin, under another
    name, or as a form, it is refused, and nothing is done."""
    async with outside(api, tmp_path) as browser:
        await browser.login()
        await browser.open()
        refused = {
            "no CSRF token": {"X_CSRF_Token": ""},
            "a wrong one": {"X_CSRF_Token": "0" * 64},
            "another origin": {"Origin": "https://evil.example"},
            "no origin to tell": {"Origin": "null"},
            "another port": {"Origin": "http://127.0.0.1:1"},
            "another name": {"Host": "evil.example"},
            "another name's port": {"Host": "127.0.0.1:1"},
        }
        for what, headers in refused.items():
            answer = await browser.act(action, name, **headers)
            assert answer.status == 403, what
            assert answer.headers["Content-Type"].startswith("application/problem+json")
        form = await browser.ask("POST", "/ops/actions", {"X-CSRF-Token": browser.csrf})
        assert form.status == 415
        bearer = {"Authorization": f"Bearer {TOKEN}"}
        async with operator(browser.address) as program:
            answer = await program.act(action, name, **bearer)
            assert answer.status == 403, "a program needs it, too"
    assert rows(tmp_path, "SELECT count(*) FROM operator_actions") == [(0,)]


async def test_pages_of_others_see_nothing_here(tmp_path: Path) -> None:
    """On loopback, where there is no token: a name that points here gets nothing at all."""
    async with (
        build_bot(local_settings(tmp_path)) as running,
        operator(running.address) as browser,
    ):
        for path in ("/", "/ops/static/ops.js", *SEEN):
            for headers in ({"Host": "evil.example"}, {"Origin": "https://evil.example"}):
                assert (await browser.get(path, headers)).status == 403, (path, headers)


async def test_without_a_token_elsewhere_nobody_gets_in(api: BotApi, tmp_path: Path) -> None:
    """The answer says what to set."""
    async with outside(api, tmp_path, ops_token=None) as browser:
        for path in ("/", *SEEN):
            answer = await browser.get(path)
            assert (answer.status, answer.json()["type"]) == (403, "ops-token-not-set")
        assert (await browser.get("/readyz")).status == 200


async def test_who_leads_the_world_here_needs_a_token(api: BotApi, tmp_path: Path) -> None:
    """A webhook's proxy makes everybody come from loopback."""
    settings = {"host": "127.0.0.1", "webhook_url": "https://bot.example", "ops_token": None}
    api.route("https://bot.example", "http://127.0.0.1:1")
    async with outside(api, tmp_path, **settings) as browser:
        assert (await browser.get("/v1/health")).status == 403
    async with (
        build_bot(local_settings(tmp_path / "local")) as running,
        operator(running.address) as browser,
    ):
        forwarded = {"X-Forwarded-For": "203.0.113.7"}
        assert (await browser.get("/v1/health", forwarded)).status == 403


async def test_who_guesses_is_slowed_down(api: BotApi, tmp_path: Path) -> None:
    """After ten wrong tokens the right one has to wait, too; who is in stays in."""
    async with outside(api, tmp_path) as browser:
        await browser.login()
        async with operator(browser.address) as other:
            for _ in range(10):
                assert (await other.login("wrong")).status == 401
            slowed = await other.login()
            assert (slowed.status, slowed.json()["type"]) == (429, "too-many-tries")
            assert int(slowed.headers["Retry-After"]) >= 1
        assert (await browser.get("/v1/health")).status == 200


async def test_names_of_the_dashboard_are_the_settings(api: BotApi, tmp_path: Path) -> None:
    """And no other."""
    async with outside(api, tmp_path, ops_hosts=("ops.example",)) as browser:
        bearer = {"Authorization": f"Bearer {TOKEN}"}
        for host, status in (("ops.example", 200), ("ops.example:443", 200), ("other", 403)):
            answer = await browser.get("/v1/health", bearer | {"Host": host})
            assert answer.status == status, host


async def test_the_page_allows_its_own_files_only(tmp_path: Path) -> None:
    """No inline script or style, nothing from elsewhere, no frame."""
    async with (
        build_bot(local_settings(tmp_path)) as running,
        operator(running.address) as browser,
    ):
        page = await browser.open()
        policy = page.headers["Content-Security-Policy"]
        assert "default-src 'self'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert "script-src" not in policy
        assert "<script>" not in page.text
        assert "style=" not in page.text
        assert "onclick" not in page.text
