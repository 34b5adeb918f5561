"""The dashboard in Chromium: an outage as it happens, what operators do, who can read it.

With WEBSCOUT_SCREENSHOT=1 this takes the README's pictures (docs/images/dashboard*.png).
"""

import json
import logging
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, Locator, Page, ViewportSize, expect

from bot.bootstrap import Fakes, Running, build_bot
from tests.conftest import local_settings
from tests.e2e.browsing import browser, clean_page, picture, violations
from tests.fakes.api_client import BLUE, KEYS, ApiClient, StagedAction, api_of
from tests.fakes.feed_server import FeedServer
from tests.fakes.hurried_clock import HurriedClock
from tests.fakes.operator import TOKEN
from tests.integration.test_feeds import JOBS, feed, feeds_file

__all__ = ["browser"]  # a fixture

TIMES = 20.0
"""So much faster the program's clock runs: a minute is three seconds."""
FEEDS, PERIOD_S = ("larkfield", "fern"), 30
WIDE = ViewportSize(width=1280, height=1120)
PHONE = ViewportSize(width=390, height=844)
VIEWS: dict[str, dict[str, Any]] = {
    "light": {"viewport": WIDE},
    "dark": {"viewport": WIDE, "color_scheme": "dark"},
    "phone": {"viewport": PHONE},
}

log = logging.getLogger(__name__)

# Playwright's event objects are not closed before its loop is; nothing here can do it.
pytestmark = [pytest.mark.unmeasured, pytest.mark.filterwarnings("ignore::ResourceWarning")]


@pytest.fixture
async def server() -> AsyncIterator[FeedServer]:
    """Somebody else's feeds."""
    async with FeedServer() as server:
        for name in FEEDS:
            server.route(f"/{name}").json({"jobs": JOBS})
        yield server


@asynccontextmanager
async def program(
    folder: Path, server: FeedServer, fakes: Fakes | None = None, **settings: Any
) -> AsyncIterator[tuple[Running, ApiClient]]:
    """The bot over two feeds of the server, in a hurry, and the blue team's program at it."""
    feeds = feeds_file(folder, [feed(server, name, period_s=PERIOD_S) for name in FEEDS])
    values = {"feeds_file": feeds, "sources": ("feeds",), "breaker_failures": 1, "api_keys": KEYS}
    fakes = fakes or Fakes(clock=HurriedClock(TIMES))
    async with (
        build_bot(local_settings(folder, **(values | settings)), fakes) as running,
        api_of(running.address, BLUE) as client,
    ):
        yield running, client


def row(page: Page, table: str, name: str) -> Locator:
    """A row of a table."""
    return page.locator(f"#{table} tbody tr").filter(has_text=name).first


async def ended(client: ApiClient, count: int, **asked: Any) -> list[str]:
    """So many runs of a program, each to its end."""
    run_ids = [await client.started(sources=["feeds"], **asked) for _ in range(count)]
    for run_id in run_ids:
        await client.events(run_id)
    return run_ids


async def drawn(client: ApiClient) -> None:
    """Let runs end until there is something to draw of them."""
    while (await client.ask("GET", "/ops/charts/step-seconds")).status != 200:
        await ended(client, 1)


async def test_a_played_outage_is_seen_without_reload(
    browser: Browser, tmp_path: Path, server: FeedServer
) -> None:
    """The breaker opens, the alert fires, it recovers: each is on the page within two seconds of
    being so."""
    async with program(tmp_path, server) as (running, client):
        await drawn(client)
        async with clean_page(browser, running.address, viewport=WIDE) as page:
            await page.goto(running.address)
            await page.evaluate("window.here = true")
            await expect(page.locator("#status")).to_have_text("All is well")
            await expect(row(page, "agents", "discovery")).to_contain_text("s ago")
            larkfield, alerts = row(page, "dependencies", "larkfield"), page.locator("#alerts li")

            server.route("/larkfield").status(503)
            await until_health(client, "open")
            began = time.monotonic()
            await expect(larkfield).to_contain_text("open")
            await expect(page.locator("#status")).to_have_text("Degraded")
            log.info("an open breaker was seen after %.2f s", time.monotonic() - began)

            await until_alert(client, firing=True)
            began = time.monotonic()
            await expect(alerts).to_contain_text("larkfield is left alone")
            log.info("an alert was seen after %.2f s", time.monotonic() - began)
            await page.get_by_text("What operators did").scroll_into_view_if_needed()
            await page.evaluate("scrollTo(0, 0)")
            await picture(page, "dashboard.png")

            server.route("/larkfield").json({"jobs": JOBS})
            await until_health(client, "closed")
            await expect(larkfield).to_contain_text("closed")
            await until_alert(client, firing=False)
            await expect(alerts).to_contain_text("Nothing is wrong")
            assert await page.evaluate("window.here") is True


async def until_health(client: ApiClient, breaker: str) -> None:
    """Wait until the feed's breaker is so; scouts ask it."""
    while True:
        health = (await client.ask("GET", "/v1/health")).body
        if health["dependencies"]["larkfield"]["breaker"] == breaker:
            return
        await ended(client, 1)


async def until_alert(client: ApiClient, *, firing: bool) -> None:
    """Wait until an alert fires, or none does."""
    while bool((await client.ask("GET", "/v1/health")).body["alerts"]) is not firing:
        await ended(client, 1)


OVERFLOW = """
Math.max(document.documentElement.scrollWidth - innerWidth,
  ...[...document.querySelectorAll(".scroll")].map((it) => it.scrollWidth - it.clientWidth))
"""
"""By how much the page, or a table in it, is wider than there is room."""


@pytest.mark.parametrize("view", VIEWS)
async def test_everybody_can_read_it(
    browser: Browser, tmp_path: Path, server: FeedServer, view: str
) -> None:
    """axe-core finds nothing serious, in the light, in the dark, on a phone, with a run open;
    nothing is wider than a phone."""
    async with program(tmp_path, server) as (running, client):
        await drawn(client)
        (run_id,) = await ended(client, 1)
        async with clean_page(browser, running.address, **VIEWS[view]) as page:
            await page.goto(running.address)
            await expect(row(page, "runs", run_id)).to_contain_text("completed")
            await expect(page.locator("figure svg").last).to_be_visible()
            assert await violations(page) == []
            assert await page.evaluate(OVERFLOW) <= 0
            if view != "light":
                await picture(page, f"dashboard-{view}.png")
            await row(page, "runs", run_id).get_by_role("button", name=run_id).click()
            await expect(page.locator("#run")).to_contain_text("run.completed")
            assert await violations(page) == []


async def test_it_is_light_and_asks_nobody_else(
    browser: Browser, tmp_path: Path, server: FeedServer
) -> None:
    """All that it loads is under 200 KB, and from here."""
    async with program(tmp_path, server) as (running, client):
        await drawn(client)
        async with clean_page(browser, running.address, viewport=WIDE) as page:
            await page.goto(running.address)
            await expect(row(page, "agents", "discovery")).to_contain_text("s ago")
            await expect(page.locator("figure svg").last).to_be_visible()
            sizes = await page.evaluate(SIZES)
            log.info("%d bytes in %d files", sum(sizes), len(sizes))
            assert len(sizes) > 8
            assert sum(sizes) < 200_000


SIZES = """
[...performance.getEntriesByType("navigation"), ...performance.getEntriesByType("resource")]
  .map((entry) => entry.encodedBodySize)
"""


async def test_operators_pause_hold_and_see_what_they_did(
    browser: Browser, tmp_path: Path, server: FeedServer
) -> None:
    """A pause asks first; a breaker is opened, closed and left alone; each is listed."""
    async with (
        program(tmp_path, server) as (running, _client),
        clean_page(browser, running.address, viewport=WIDE) as page,
    ):
        await page.goto(running.address)
        matching, fern = row(page, "agents", "matching"), row(page, "dependencies", "fern")
        await matching.get_by_role("button", name="Pause matching").click()
        await expect(page.locator("#sure")).to_contain_text("none other begins")
        await page.get_by_role("button", name="Leave it").click()
        await expect(matching).not_to_contain_text("paused")
        await matching.get_by_role("button", name="Pause matching").click()
        await page.get_by_role("button", name="Do it").click()
        await expect(matching).to_contain_text("paused")
        await matching.get_by_role("button", name="Resume matching").click()
        await expect(matching.get_by_role("button", name="Pause matching")).to_be_visible()
        await fern.get_by_role("button", name="Open fern").click()
        await page.get_by_role("button", name="Do it").click()
        await expect(fern).to_contain_text("open, by hand")
        await fern.get_by_role("button", name="Auto fern").click()
        await expect(fern).to_contain_text("closed")
        await expect(page.locator("#said")).to_contain_text("on its own again")
        done = page.locator("#actions li")
        await expect(done).to_have_count(4)
        await expect(done.first).to_contain_text("auto breaker:fern · dashboard")


async def test_a_parked_run_is_found_and_retried(
    browser: Browser, tmp_path: Path, server: FeedServer
) -> None:
    """By the filter; its timeline shows steps, spend and what could not be undone."""
    action = StagedAction(fails=True)
    action.undo_fails = True
    fakes = Fakes(clock=HurriedClock(TIMES), action=action)
    async with program(tmp_path, server, fakes) as (running, client):
        (run_id,) = await ended(client, 1)
        async with clean_page(browser, running.address, viewport=WIDE) as page:
            await page.goto(running.address)
            await page.get_by_label("Status").select_option("completed")
            await expect(page.locator("#runs tbody")).to_contain_text("No such runs")
            await page.get_by_label("Status").select_option("parked")
            found = row(page, "runs", run_id)
            await expect(found).to_contain_text("compensation-failed")
            await expect(page.locator("#alerts")).to_contain_text(f"run {run_id} is parked")
            await found.get_by_role("button", name=run_id, exact=True).click()
            dialog = page.locator("#run")
            await expect(dialog).to_contain_text(re.compile(r"Spent: 3 steps, 0 tokens"))
            await expect(dialog).to_contain_text("act action · failed")
            await expect(dialog).to_contain_text("run.parked")
            await page.get_by_role("button", name="Close", exact=True).click()
            action.undo_fails = False
            await found.get_by_role("button", name=f"Retry {run_id}").click()
            await expect(page.locator("#runs tbody")).to_contain_text("No such runs")
            await page.get_by_label("Status").select_option("")
            await expect(row(page, "runs", run_id)).to_contain_text("compensated")


async def test_elsewhere_the_page_asks_for_the_token(
    browser: Browser, tmp_path: Path, server: FeedServer
) -> None:
    """A wrong one is refused in words; the right one opens it, and logging out closes it."""
    async with program(tmp_path, server, ops_token=TOKEN) as (running, _client):
        page = await browser.new_page(viewport=PHONE)  # a 401 is an error in the console
        await page.goto(running.address)
        await page.get_by_label("Operators' token").fill("a wrong one of some length")
        await page.get_by_role("button", name="Log in").click()
        await expect(page.locator("#error")).to_have_text("The token is wrong.")
        assert await violations(page) == []
        await page.get_by_label("Operators' token").fill(TOKEN)
        await page.get_by_role("button", name="Log in").click()
        await expect(page.locator("#status")).to_have_text("All is well")
        assert TOKEN not in json.dumps(await page.context.storage_state())
        await page.get_by_role("button", name="Log out").click()
        await expect(page.get_by_label("Operators' token")).to_be_visible()
        await page.close()
