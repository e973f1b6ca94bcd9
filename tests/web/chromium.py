"""A real browser for tests of pages: the system's Chromium, driven by Playwright.

Nothing is fetched from elsewhere: a request to another host fails the test. Where there is no Chromium, the tests are
skipped with that reason; `.ci/run` installs it.
"""

import os
import shutil
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from axe_playwright_python.base import AXE_SCRIPT
from playwright.async_api import Browser, Page, async_playwright

PROGRAM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
needs_chromium = pytest.mark.skipif(PROGRAM is None, reason="there is no chromium here")
# Where screenshots are written for people to look at; none without it.
SHOTS = Path(os.environ["WATCHWORD_TEST_SHOTS"]) if "WATCHWORD_TEST_SHOTS" in os.environ else None
_AXE = f"{AXE_SCRIPT}\n"
_RULES: Mapping[str, Any] = {
    "resultTypes": ["violations"],
    "runOnly": {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]},
}


@dataclass
class Window:
    """One window of a browser, and what it complained about."""

    page: Page
    base: str
    faults: list[str] = field(default_factory=list)
    clicks: int = 0

    async def open(self, path: str) -> None:
        await self.page.goto(self.base + path, wait_until="load")

    async def click(self, what: str) -> None:
        """Click on something, and count it. The page that follows is loaded."""
        self.clicks += 1
        await self.page.click(what)
        await self.page.wait_for_load_state("load")

    @property
    def home(self) -> str:
        """The path that the pages of the organization begin with."""
        return "/" + urlsplit(self.page.url).path.split("/")[1]

    async def enter(self) -> None:
        """Send a form by Enter, and count it as a click."""
        self.clicks += 1
        await self.page.keyboard.press("Enter")
        await self.page.wait_for_load_state("load")

    async def choose(self, label: str, option: str) -> None:
        """Choose from a list by its label, and count it as a click."""
        self.clicks += 1
        await self.page.get_by_label(label, exact=True).first.select_option(label=option)

    async def fill(self, label: str, text: str) -> None:
        """Type into the field of a label: typing is not counted."""
        await self.page.get_by_label(label, exact=False).first.fill(text)

    async def violations(self) -> list[str]:
        """What axe finds on the page as it is."""
        await self.page.evaluate(_AXE)
        found = await self.page.evaluate("options => axe.run(document, options)", _RULES)
        return [
            f"{violation['id']}: {violation['help']}: {[node['html'][:160] for node in violation['nodes'][:3]]}"
            for violation in found["violations"]
        ]

    async def overflow(self) -> int:
        """By how many pixels the page is wider than the window."""
        return int(
            await self.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        )

    async def shoot(self, name: str) -> None:
        if SHOTS is not None:
            SHOTS.mkdir(parents=True, exist_ok=True)
            await self.page.screenshot(path=SHOTS / f"{name}.png", full_page=True)


@asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=PROGRAM, args=list(FLAGS))
        try:
            yield browser
        finally:
            await browser.close()


@asynccontextmanager
async def window(
    browser: Browser,
    base: str,
    *,
    width: int = 1280,
    height: int = 800,
    dark: bool = False,
    scripts: bool = True,
    cookies: Sequence[Any] = (),
) -> AsyncIterator[Window]:
    """A window with no past. At its end nothing may stand in its console, and no other host was asked."""
    context = await browser.new_context(
        viewport={"width": width, "height": height},
        color_scheme="dark" if dark else "light",
        java_script_enabled=scripts,
        reduced_motion="reduce",
    )
    try:
        await context.add_cookies(list(cookies))
        page = await context.new_page()
        seen = Window(page, base)
        host = urlsplit(base).netloc
        page.on("console", lambda message: seen.faults.append(f"console: {message.text}"))
        page.on("pageerror", lambda error: seen.faults.append(f"script: {error}"))
        page.on(
            "request",
            lambda request: (
                seen.faults.append(f"asked elsewhere: {request.url}")
                if urlsplit(request.url).scheme in ("http", "https") and urlsplit(request.url).netloc != host
                else None
            ),
        )
        yield seen
        assert not seen.faults, seen.faults
    finally:
        await context.close()
