"""Headless Chromium that talks to nobody but this machine, and what is wrong with a page."""

import asyncio
import os
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, Page, async_playwright

from tests.conftest import CI
from tests.e2e.process import ROOT

CHROMIUM = Path(os.environ.get("CHROMIUM", "/usr/bin/chromium"))
AXE = Path(os.environ.get("AXE", ROOT / ".venv/node_modules/axe-core/axe.min.js"))
CHROMIUM_THERE, AXE_THERE = CHROMIUM.exists(), AXE.exists()
PICTURES = ROOT / "docs/images"


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    """The browser; without it the test is skipped, under CI it fails."""
    if not CHROMIUM_THERE:
        _missing(f"install Debian's chromium, or name one in CHROMIUM ({CHROMIUM} is not there)")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=CHROMIUM,
            args=["--no-sandbox", "--disable-background-networking", "--disable-quic"],
            env={**os.environ, "HOME": tempfile.gettempdir()},
        )
        yield browser
        await browser.close()


@asynccontextmanager
async def clean_page(browser: Browser, address: str, **context: Any) -> AsyncIterator[Page]:
    """A page whose console has no error, and which asks nobody but that address."""
    errors: list[str] = []
    page = await browser.new_page(**context)
    page.on("console", lambda m: errors.append(m.text) if m.type == "error" else None)
    page.on("pageerror", lambda e: errors.append(str(e)))
    page.on(
        "request",
        lambda r: None if r.url.startswith((address, "data:")) else errors.append(r.url),
    )
    yield page
    assert errors == []
    await page.close()


async def violations(page: Page) -> list[str]:
    """What axe-core finds serious or critical, with where it is."""
    if not AXE_THERE:
        _missing(f"npm install --prefix .venv --no-save axe-core ({AXE} is not there)")
    await page.evaluate(await asyncio.to_thread(AXE.read_text, "utf-8"))
    found = await page.evaluate("axe.run()")
    return [
        f"{one['id']}: {node['target']} {node['failureSummary']}"
        for one in found["violations"]
        if one["impact"] in {"serious", "critical"}
        for node in one["nodes"]
    ]


async def picture(page: Page, name: str) -> None:
    """A picture for the README, when they are taken."""
    if os.environ.get("WEBSCOUT_SCREENSHOT") == "1":
        await page.screenshot(path=PICTURES / name)


def _missing(reason: str) -> None:
    pytest.fail(reason) if CI else pytest.skip(reason)
