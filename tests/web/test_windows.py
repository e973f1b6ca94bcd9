"""Every page in a real browser: what axe finds, what the console says, what sticks out; with and without scripts."""

from collections.abc import Mapping
from pathlib import Path

import pytest
from playwright.async_api import expect

from tests.api import EMAIL, PASSWORD, Api
from tests.processes import serving
from tests.web.chromium import Window, chromium, needs_chromium, window
from tests.web.filling import fill
from watchword.web.table import page_table

pytestmark = needs_chromium
LOOKS = [(1280, False), (360, True)]
ALL_LOOKS = [(width, dark) for width in (360, 768, 1280) for dark in (False, True)]


async def enter(seen: Window) -> None:
    await seen.open("/login")
    await seen.fill("E-mail address", EMAIL)
    await seen.fill("Password", PASSWORD)
    await seen.click("button:has-text('Sign in')")


def paths(known: Mapping[str, str]) -> list[str]:
    """The path of every page, with what `known` says of the names in it."""
    found = []
    for route in page_table():
        if route.method == "GET":
            path = route.path
            for name, value in known.items():
                path = path.replace("{" + name + "}", value)
            assert "{" not in path, f"tests/web/filling.py says nothing of a name in {route.path}"
            found.append(path)
    return found


async def _look(tmp_path: Path, looks: list[tuple[int, bool]]) -> None:
    wrong: list[str] = []
    async with serving(tmp_path) as server:
        api: Api = await server.api()
        known = await fill(api)
        async with chromium() as browser:
            for width, dark in looks:
                async with window(browser, server.url, width=width, dark=dark) as seen:
                    await enter(seen)
                    for path in paths(known):
                        await seen.open(path)
                        name = f"{path.strip('/').replace('/', '-') or 'start'}-{width}-{'dark' if dark else 'light'}"
                        await seen.shoot(name)
                        about = f"{path} at {width} {'dark' if dark else 'light'}"
                        wrong += [f"{about}: {text}" for text in await seen.violations()]
                        if await seen.overflow() > 0:
                            wrong.append(f"{about}: wider than its window by {await seen.overflow()} px")
                        wrong += [f"{about}: {text}" for text in seen.faults]
                        seen.faults.clear()
    assert not wrong, "\n".join(wrong)


async def test_every_page_is_accessible_fits_and_is_quiet(tmp_path: Path) -> None:
    await _look(tmp_path, LOOKS)


@pytest.mark.soak
async def test_every_page_is_accessible_fits_and_is_quiet_in_every_look(tmp_path: Path) -> None:
    await _look(tmp_path, ALL_LOOKS)


async def test_a_person_gets_in_and_out_without_scripts(tmp_path: Path) -> None:
    async with serving(tmp_path) as server, chromium() as browser:
        await server.api()
        async with window(browser, server.url, scripts=False) as seen:
            await enter(seen)
            assert "/login" not in seen.page.url
            await seen.click("[aria-label='Sign out']")
            assert seen.page.url.endswith("/login")


async def test_htmx_exchanges_the_page_and_back_brings_it_again(tmp_path: Path) -> None:
    async with serving(tmp_path) as server, chromium() as browser:
        await server.api()
        async with window(browser, server.url) as seen:
            await enter(seen)
            await seen.open("/organizations")
            await seen.page.evaluate("window.stays = true")
            await seen.click("main a:has-text('Open')")
            await expect(seen.page).to_have_title("Acme · Watchword")
            assert await seen.page.evaluate("window.stays") is True
            await seen.page.go_back()
            await expect(seen.page).to_have_title("Organizations · Watchword")
            assert seen.page.url.endswith("/organizations")
