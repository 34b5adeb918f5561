"""The chat page in Chromium: profile, scout, opportunities, draft, as a person does it.

With WEBSCOUT_SCREENSHOT=1 this takes the README's picture (docs/images/chat.png).
"""

import asyncio
import re
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from playwright.async_api import Browser, Page, expect

from tests.e2e.browsing import browser, clean_page, picture
from tests.e2e.process import Program

__all__ = ["browser"]  # a fixture

# Playwright's event objects are not closed before its loop is; nothing here can do it.
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")


@pytest.fixture
async def program(tmp_path: Path) -> AsyncIterator[Program]:
    """The real program, in local mode, with no source: the sample postings."""
    async with Program.running(tmp_path) as program:
        yield program
        code, printed = await program.end(signal.SIGTERM)
    assert code == 0, printed


@pytest.fixture
async def page(browser: Browser, program: Program) -> AsyncIterator[Page]:
    """The chat page; any console error or foreign request fails the test."""
    size = {"width": 900, "height": 1500}
    async with clean_page(browser, program.address, viewport=size) as page:
        await page.goto(f"{program.address}/chat")
        yield page


async def say(page: Page, text: str) -> None:
    """Type a message and send it."""
    await page.get_by_role("textbox", name="Message").fill(text)
    await page.get_by_role("button", name="Send").click()


async def test_from_profile_to_draft(page: Page) -> None:
    """Profile set, /scout, the shortlist in the placeholder's bubble, a draft; formatted."""
    log = page.get_by_role("log")
    await say(page, "/profile skills: python, sql; location: Berlin; remote: yes; "
                    "kinds: job, grant; about: I build data tools.")  # fmt: skip
    await expect(log).to_contain_text("Your profile")
    await say(page, "/scout data")
    await expect(log).to_contain_text("best matches", timeout=20_000)
    await expect(log).not_to_contain_text("Scouting")
    await expect(log).to_contain_text("sample posting, not a real offer")
    link = log.get_by_role("link", name=re.compile("."), exact=False).first
    assert (await link.get_attribute("href") or "").startswith("https://example.com/sample/")
    await picture(page, "chat.png")
    await page.get_by_role("button", name="2", exact=True).click()
    await expect(log).to_contain_text("▸ 2. ")
    await page.get_by_role("button", name="Draft", exact=True).click()
    await expect(log).to_contain_text("Draft for 2.")
    await expect(log.locator("pre")).to_contain_text("[fill in: your name and how to reach you]")
    await page.get_by_role("button", name="Save", exact=True).click()
    await expect(log).to_contain_text("★")
    await say(page, "/saved")
    await expect(page.get_by_role("button", name="Remove 1")).to_be_visible()


async def test_a_mistake_is_answered_and_html_is_text(page: Page) -> None:
    """A wrong command is explained, and mark-up in a text stays text."""
    log = page.get_by_role("log")
    await say(page, "/profile kinds: <img src=x onerror=alert(1)>")
    await expect(log).to_contain_text("job, internship, gig, bounty, grant, hackathon")
    assert await log.locator("img").count() == 0


async def test_the_menu_lists_the_commands(page: Page) -> None:
    """The menu sends a command; the history is there again after a reload."""
    await page.get_by_role("button", name="Menu").click()
    await page.get_by_text("what is kept about you").first.click()
    log = page.get_by_role("log")
    await expect(log).to_contain_text("What is kept about you")
    await page.reload()
    await expect(log).to_contain_text("What is kept about you")


async def test_there_is_no_menu_before_its_commands(browser: Browser, program: Program) -> None:
    """Who is quicker than the first answer has nothing to press that does nothing."""
    asked = asyncio.Event()
    async with clean_page(browser, program.address) as page:
        await page.route("**/chat/messages*", lambda _route: asked.set())
        await page.goto(f"{program.address}/chat")
        await asked.wait()
        await expect(page.get_by_role("textbox", name="Message")).to_be_visible()
        await expect(page.get_by_role("button", name="Menu")).to_be_hidden()


async def test_the_page_goes_on_after_a_restart(browser: Browser, tmp_path: Path) -> None:
    """An open page reconnects to a program that was killed and started again on its port."""
    page = await browser.new_page()
    log = page.get_by_role("log")
    async with Program.running(tmp_path) as program:
        await page.goto(f"{program.address}/chat")
        await say(page, "/help")
        await expect(log).to_contain_text("What I can do")
        await program.end(signal.SIGKILL)
    async with Program.running(tmp_path, PORT=program.address.rsplit(":", 1)[1]):
        await say_when_it_is_back(page, "/privacy")
        await expect(log).to_contain_text("What is kept about you", timeout=20_000)
        await expect(log).to_contain_text("What I can do")
        await page.close()


async def say_when_it_is_back(page: Page, text: str) -> None:
    """Send a message once the page says it is connected again."""
    await expect(page.get_by_text("Reconnecting")).to_be_hidden(timeout=20_000)
    await say(page, text)
