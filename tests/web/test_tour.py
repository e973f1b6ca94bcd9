"""The tour of the console in the documentation: its pictures are there, and its words stand on the pages.

    make tour       takes the pictures again

The pictures are of the demonstration data at one fixed moment, so that they change only where a page does.
"""

import hashlib
import itertools
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.api import Api, running, sqlite_settings
from tests.demonstration import ADDRESS, Demonstration, shown
from tests.web.browser import Browser
from tests.web.chromium import chromium, needs_chromium, window
from tests.web.listening import listening
from watchword import app
from watchword.cli.demo_data import fill

TOUR = Path(__file__).parents[2] / "docs" / "tutorial" / "console.md"
PICTURES = TOUR.parent / "console"
MOST = 1_500_000  # bytes of all pictures
MOMENT = 1_790_000_000_000  # ms: when the pictures are taken
# The page of each picture; names in braces are ids of what is called so.
STEPS: Mapping[str, str] = {
    "home": "",
    "identities": "/identities",
    "new": "/identities/new?where=oidc-auth.github",
    "authentication": "/identities/{billing-worker}/authentication",
    "denials": "/denials",
    "denial": "/denials/{refusal of shop-deploy}",
    "tester": "/identities/{shop-deploy}/authentication/oidc-auth/test?denial={refusal of shop-deploy}",
    "tokens": "/identities/{shop-api}/tokens",
    "secrets": "/p/web-shop",
    "access": "/access?project={Shop}&action=readValue&path=/&key=PAYMENT_KEY",
    "unused": "/reports/unused",
    "audit": "/audit",
}


@dataclass(frozen=True)
class Section:
    """What the tour says below one picture."""

    picture: str
    words: tuple[str, ...]  # in bold: what the page calls it


def sections() -> list[Section]:
    _, *parts = re.split(r"^!\[[^\]]*\]\(console/([\w-]+)\.png\)$", TOUR.read_text(), flags=re.MULTILINE)
    return [
        Section(picture, tuple(re.findall(r"\*\*([^*]+)\*\*", re.split(r"^## ", text, flags=re.MULTILINE)[0])))
        for picture, text in zip(parts[::2], parts[1::2], strict=True)
    ]


async def known(api: Api) -> dict[str, str]:
    """What the names in the paths stand for."""
    found = await api.ok("POST", "/api/v1/identities/search", {"limit": 100, "search": {}})
    names = {row["identity"]["name"]: row["identity"]["id"] for row in found["identities"]}
    names |= {project["name"]: project["id"] for project in (await api.ok("GET", "/api/v1/projects"))["projects"]}
    for denial in reversed((await api.ok("GET", "/api/v1/organization/login-denials"))["loginDenials"]):
        name = next((name for name, id in names.items() if id == denial["identityId"]), "nobody")
        names[f"refusal of {name}"] = denial["requestId"]
    return names


def test_the_tour_has_a_picture_of_each_step_and_no_others() -> None:
    assert list(STEPS) == [section.picture for section in sections()]
    assert {f"{name}.png" for name in STEPS} == {file.name for file in PICTURES.iterdir()}
    assert sum(file.stat().st_size for file in PICTURES.iterdir()) < MOST
    assert all(file.read_bytes().startswith(b"\x89PNG") for file in PICTURES.iterdir())


async def test_what_the_tour_calls_by_name_stands_on_its_page(tmp_path: Path, demonstration: Demonstration) -> None:
    missing = []
    async with shown(demonstration, tmp_path) as api:
        browser, names = Browser(api), await known(api)
        home = await browser.sign_in(ADDRESS, demonstration[1]["password"])
        for section in sections():
            page = await browser.get(home.path + STEPS[section.picture].format(**names))
            assert page.status == 200, (section.picture, page.text)
            main = page.html.partition("<main")[2]
            text = " ".join(re.sub(r"<[^>]+>", " ", main).split()) + " ".join(re.findall(r'aria-label="([^"]*)"', main))
            missing += [f"{section.picture}: {word}" for word in section.words if word not in text]
    assert not missing, f"docs/tutorial/console.md names what is not there: {missing}"


class Repeated:
    """Bytes that are the same each time, so that ids in the pictures are."""

    _numbers: Iterator[int] = itertools.count()

    def __call__(self, size: int) -> bytes:
        return hashlib.shake_256(str(next(self._numbers)).encode()).digest(size)


@needs_chromium
@pytest.mark.skipif("WATCHWORD_TOUR" not in os.environ, reason="`make tour` takes the pictures")
@pytest.mark.soak
async def test_take_the_pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app, "Entropy", Repeated)
    settings: Any = sqlite_settings(tmp_path)
    made = await fill(settings, ADDRESS, "Example", clock=lambda: MOMENT)
    PICTURES.mkdir(exist_ok=True)
    async with running(settings, fresh=False) as api:
        monkeypatch.setattr(api.clock, "_now", lambda: MOMENT * 1_000_000)
        body = {"email": ADDRESS, "password": made["password"]}
        api.org_id = made["organization"]["id"]
        api.person = (await api.ok("POST", "/api/v3/auth/login", body, token=None))["accessToken"]
        api.token = await api.enter(api.org_id)
        names = await known(api)
        own = Browser(api)
        home = await own.sign_in(ADDRESS, made["password"])
        async with listening(api) as url, chromium() as browser:
            cookies = [{"name": one.name, "value": one.value or "", "url": url} for one in own.client.cookies.jar]
            async with window(browser, url, width=1120, height=740, cookies=cookies) as seen:
                for picture, path in STEPS.items():
                    await seen.open(home.path + path.format(**names))
                    await seen.page.evaluate("document.activeElement?.blur()")
                    await seen.page.screenshot(path=PICTURES / f"{picture}.png")
