"""Every page in a real browser: what axe finds, what the console says, what sticks out; with and without scripts."""

from collections.abc import Mapping
from pathlib import Path

import pytest
from playwright.async_api import Request, expect

from tests.api import EMAIL, PASSWORD, Api
from tests.processes import serving
from tests.web.chromium import Window, chromium, needs_chromium, window
from tests.web.filling import QUERIES, fill
from watchword.web import deep_links
from watchword.web.table import page_table

pytestmark = needs_chromium
LOOKS = [(width, dark) for width in (360, 768, 1280) for dark in (False, True)]


async def enter(seen: Window) -> None:
    await seen.open("/login")
    await seen.fill("E-mail address", EMAIL)
    await seen.fill("Password", PASSWORD)
    await seen.click("button:has-text('Sign in')")


def paths(known: Mapping[str, str]) -> list[str]:
    """The path of every page that is one itself, with what `known` says of the names in it."""
    found = []
    for route in page_table():
        if route.method == "GET" and route not in deep_links.pages.all:
            path = f"{route.path}?{QUERIES[route.path]}" if route.path in QUERIES else route.path
            for name, value in known.items():
                path = path.replace("{" + name + "}", value)
            assert "{" not in path, f"tests/web/filling.py says nothing of a name in {route.path}"
            found.append(path)
    return found


async def _look(tmp_path: Path, width: int, *, dark: bool, each: int = 1, first: int = 0) -> None:
    """Open every page, or from the `first` on each so many-th, in one look."""
    wrong: list[str] = []
    async with serving(tmp_path) as server:
        api: Api = await server.api()
        known = await fill(api)
        async with chromium() as browser, window(browser, server.url, width=width, dark=dark) as seen:
            await enter(seen)
            for path in paths(known)[first::each]:
                await seen.open(path)
                about = f"{path} at {width} {'dark' if dark else 'light'}"
                await seen.shoot(about.strip("/").replace("/", "-").replace(" ", "-"))
                wrong += [f"{about}: {text}" for text in await seen.violations()]
                if await seen.overflow() > 0:
                    wrong.append(f"{about}: wider than its window by {await seen.overflow()} px")
                wrong += [f"{about}: {text}" for text in seen.faults]
                seen.faults.clear()
    assert not wrong, "\n".join(wrong)


# Each page in one of two looks here, and in all of them on request: axe takes about a second for a page.
@pytest.mark.parametrize(("width", "dark", "first"), [(1280, False, 0), (360, True, 1)])
async def test_every_page_is_accessible_fits_and_is_quiet(tmp_path: Path, width: int, dark: bool, first: int) -> None:
    await _look(tmp_path, width, dark=dark, each=2, first=first)


@pytest.mark.soak
@pytest.mark.parametrize(("width", "dark"), LOOKS)
async def test_every_page_is_accessible_fits_and_is_quiet_in_every_look(tmp_path: Path, width: int, dark: bool) -> None:
    await _look(tmp_path, width, dark=dark)


FIRST_LOAD = 60 * 1024  # bytes over the wire, with headers
FIRST = ("/login", "/{home}", "/{home}/identities", "/{home}/identities/{identity}", "/{home}/p/{project}")


async def test_a_first_load_is_small(tmp_path: Path) -> None:
    """Everything that a browser with an empty cache fetches for a page, as it comes over the wire."""
    async with serving(tmp_path) as server, chromium() as browser:
        known = await fill(await server.api())
        known["home"] = known["organization"]
        async with window(browser, server.url) as seen:
            await enter(seen)
            cookies = await seen.page.context.cookies()
        for path in FIRST:
            async with window(browser, server.url, cookies=[] if path == "/login" else cookies) as seen:
                sizes: list[tuple[str, int]] = []

                async def note(request: Request, sizes: list[tuple[str, int]] = sizes) -> None:
                    size = await request.sizes()
                    sizes.append((request.url, size["responseBodySize"] + size["responseHeadersSize"]))

                seen.page.on("requestfinished", note)
                await seen.page.goto(server.url + path.format(**known), wait_until="networkidle")
                assert seen.page.url.endswith(path.format(**known))
                names = {url.rpartition("/")[2].partition("-")[0] for url, _ in sizes}
                assert {"console", "icons", "theme"} <= names, names
                assert sum(size for _, size in sizes) < FIRST_LOAD, sizes


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
