"""What tests of an operator's pages begin with."""

from typing import Any

from tests.api import Api
from tests.web.browser import Browser, Seen, signed_in


async def begin(api: Api) -> tuple[Browser, str]:
    browser = await signed_in(api)
    return browser, (await browser.get("/")).path


async def project(api: Api, name: str = "Billing") -> dict[str, Any]:
    reply = await api.ok("POST", "/api/v1/projects", {"projectName": name})
    return reply["project"]


async def made(browser: Browser, base: str, **values: Any) -> Seen:
    page = await browser.get(f"{base}/identities/new")
    return await browser.submit(page, f"{base}/identities/new", **values)


def secret_of(page: Seen) -> str:
    return page.html.split('<code id="secret">')[1].split("</code>")[0]
