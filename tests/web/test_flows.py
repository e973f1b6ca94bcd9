"""The ten flows that an operator meets most, in a real browser: the clicks of each, and a proof on the other side.

A click is anything that the mouse does or Enter sends; typing is not counted, nor is signing in. Each flow begins on
the page that its docstring names. Without scripts there are no copy buttons, and a page may have to be asked for again:
what that costs is written beside the goal.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
import pytest_asyncio
from playwright.async_api import Browser, expect

from tests.api import Api
from tests.demonstration import Demonstration
from tests.web.chromium import Window, chromium, needs_chromium, window
from tests.web.listening import Live, demonstrated

pytestmark = [needs_chromium, pytest.mark.asyncio(loop_scope="module")]
scripted = pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "plain"])
AUDIENCE = "https://watchword.example.com"


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with chromium() as started:
        yield started


@asynccontextmanager
async def operator(
    browser: Browser, demonstration: Demonstration, folder: Path, *, scripts: bool
) -> AsyncIterator[tuple[Window, Live]]:
    """An operator who has just signed in, on the home page."""
    async with demonstrated(demonstration, folder) as live:
        cookies = await live.signed_in()
        async with window(browser, live.url, scripts=scripts, cookies=cookies) as seen:
            if scripts:
                await seen.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
            await seen.open("/")
            await expect(seen.page.locator("h1")).to_have_text("Example")
            yield seen, live


async def named(api: Api, name: str) -> str:
    """The id of an identity."""
    found = await api.ok("POST", "/api/v1/identities/search", {"limit": 100, "search": {"name": {"$contains": name}}})
    return next(row["identity"]["id"] for row in found["identities"] if row["identity"]["name"] == name)


async def shop(api: Api) -> str:
    """The id of a project."""
    return next(row["id"] for row in (await api.ok("GET", "/api/v1/projects"))["projects"] if row["name"] == "Shop")


async def read(api: Api, token: str, key: str = "CURRENCY", environment: str = "prod") -> httpx.Response:
    query = {"projectId": await shop(api), "environment": environment, "secretPath": "/"}
    return await api.get(f"/api/v4/secrets/{key}", query=query, token=token)


async def write(api: Api, token: str, key: str = "CURRENCY", environment: str = "prod") -> httpx.Response:
    place = {"projectId": await shop(api), "environment": environment, "secretPath": "/"}
    return await api.patch(f"/api/v4/secrets/{key}", {**place, "secretValue": "CHF"}, token=token)


def github(**claims: str) -> dict[str, str]:
    """What the token of a job says."""
    return {
        "iss": "https://token.actions.githubusercontent.com",
        "aud": AUDIENCE,
        "sub": "repo:example@48120/shop@731904:ref:refs/heads/main",
        "repository_id": "731904",
        "repository_owner_id": "48120",
        "ref": "refs/heads/main",
        "event_name": "push",
        **claims,
    }


async def job_logs_in(live: Live, identity: str, **claims: str) -> httpx.Response:
    body = {"identityId": identity, "jwt": live.issuer.token(github(**claims), live.api.clock())}
    return await live.api.post("/api/v1/auth/oidc-auth/login", body, token=None)


async def copied_text(seen: Window, button: str, element: str, *, scripts: bool) -> str:
    """What is copied with a button; without scripts it is read from the page."""
    if not scripts:
        return (await seen.page.locator(element).inner_text()).strip()
    await seen.click(button)
    await expect(seen.page.locator(button)).to_contain_text("Copied")
    return str(await seen.page.evaluate("navigator.clipboard.readText()")).strip()


@scripted
async def test_an_identity_with_a_secret_that_can_read_a_project(
    browser: Browser, demonstration: Demonstration, tmp_path: Path, *, scripts: bool
) -> None:
    """From the home page to the lines that the workload runs: five clicks."""
    async with operator(browser, demonstration, tmp_path, scripts=scripts) as (seen, live):
        await seen.click("main a:has-text('New identity')")
        await seen.fill("Name", "report-mailer")
        await seen.choose("Project", "Shop")
        await seen.click("button:has-text('Create identity')")
        await expect(seen.page.locator("h1")).to_have_text("report-mailer is there")
        secret = (await seen.page.locator("#secret").inner_text()).strip()
        lines = await copied_text(seen, "[data-copy=snippet]", "#snippet", scripts=scripts)

        assert seen.clicks <= 5
        assert live.url in lines
        client_id = (await seen.page.locator("dl.kv code").first.inner_text()).strip()
        assert client_id in lines
        token = await live.api.login({"clientId": client_id, "clientSecret": secret})
        assert 200 == (await read(live.api, token)).status_code
        assert 403 == (await write(live.api, token)).status_code


@scripted
async def test_a_github_job_reads_secrets(
    browser: Browser, demonstration: Demonstration, tmp_path: Path, *, scripts: bool
) -> None:
    """From the home page to the lines of the workflow: five clicks; one more where no script shows the fields."""
    async with operator(browser, demonstration, tmp_path, scripts=scripts) as (seen, live):
        await seen.click("main a:has-text('New identity')")
        await seen.fill("Name", "nightly-tests")
        await seen.click("label.tile:has-text('GitHub Actions')")
        if not scripts:
            await seen.click("button:has-text('Show its fields')")
        await seen.page.locator("[name='oidc-auth.github.boundAudiences']").fill(AUDIENCE)
        for claim, value in (("repository_id", "731904"), ("repository_owner_id", "48120")):
            row = seen.page.locator("[data-row]", has=seen.page.locator(f"input[value={claim}]"))
            await row.get_by_label("Values").fill(value)
        await seen.choose("Project", "Shop")
        await seen.click("button:has-text('Create identity')")
        await expect(seen.page.locator("h1")).to_have_text("nightly-tests is there")
        lines = await copied_text(seen, "[data-copy=snippet]", "#snippet", scripts=scripts)

        assert seen.clicks <= (5 if scripts else 6)
        identity = await named(live.api, "nightly-tests")
        assert all(part in lines for part in ("id-token: write", AUDIENCE, identity, live.url))
        assert 401 == (await job_logs_in(live, identity, repository_id="731905")).status_code
        assert 401 == (await job_logs_in(live, identity, event_name="pull_request")).status_code
        reply = await job_logs_in(live, identity)
        assert 200 == reply.status_code, reply.text
        assert 200 == (await read(live.api, reply.json()["accessToken"])).status_code


@scripted
async def test_why_a_request_was_refused(
    browser: Browser, demonstration: Demonstration, tmp_path: Path, *, scripts: bool
) -> None:
    """From any page, with the id in hand: one click. Without scripts the search must be opened first."""
    async with operator(browser, demonstration, tmp_path, scripts=scripts) as (seen, live):
        refused = await job_logs_in(live, await named(live.api, "shop-deploy"), ref="refs/heads/hotfix")
        if scripts:
            await seen.page.keyboard.press("Control+k")
        else:
            await seen.click("a.find")
        await seen.page.wait_for_url("**/jump")
        await seen.page.locator("main [type=search]").fill(refused.json()["reqId"])
        await seen.enter()
        await expect(seen.page.locator("h2:has-text('Why')")).to_be_visible()

        assert seen.clicks <= (1 if scripts else 2)
        said = await seen.page.locator("main").inner_text()
        assert all(text in said for text in ("shop-deploy", "refs/heads/main", "refs/heads/hotfix"))


@scripted
async def test_a_wrong_claim_is_mended_and_proved(
    browser: Browser, demonstration: Demonstration, tmp_path: Path, *, scripts: bool
) -> None:
    """From the home page, where the refusal stands: three clicks, and the job that was refused gets in."""
    async with operator(browser, demonstration, tmp_path, scripts=scripts) as (seen, live):
        identity = await named(live.api, "shop-deploy")
        assert 401 == (await job_logs_in(live, identity, ref="refs/heads/release")).status_code

        await seen.click("main li:has-text('shop-deploy') >> text=Why?")
        await seen.click("a:has-text('Open in the tester')")
        await seen.click("button:has-text('Apply the proposed change')")
        await expect(seen.page.locator("main [role=status]")).to_be_visible()

        assert seen.clicks <= 3
        assert 200 == (await job_logs_in(live, identity, ref="refs/heads/release")).status_code
        assert 200 == (await job_logs_in(live, identity)).status_code
        assert 401 == (await job_logs_in(live, identity, ref="refs/heads/other")).status_code


@scripted
async def test_a_token_that_leaked_is_stopped(
    browser: Browser, demonstration: Demonstration, tmp_path: Path, *, scripts: bool
) -> None:
    """From the list of identities: three clicks, and the next request with the token is refused."""
    async with operator(browser, demonstration, tmp_path, scripts=scripts) as (seen, live):
        identity = await named(live.api, "shop-deploy")
        leaked, other = [(await job_logs_in(live, identity)).json()["accessToken"] for _ in range(2)]
        assert 200 == (await read(live.api, leaked)).status_code
        await seen.open(f"{seen.home}/identities")

        await seen.click("main th >> text=shop-deploy")
        await seen.click("nav[aria-label=Identity] >> text=Tokens")
        await seen.click("button:has-text('Revoke all')")
        await expect(seen.page.locator("main")).to_contain_text("No token is alive")

        assert seen.clicks <= 3
        assert 401 == (await read(live.api, leaked)).status_code
        assert 401 == (await read(live.api, other)).status_code


@scripted
async def test_a_client_secret_is_rotated_without_a_gap(
    browser: Browser, demonstration: Demonstration, tmp_path: Path, *, scripts: bool
) -> None:
    """From the identity's page: three clicks. Both secrets work for a day, and then only the new one."""
    async with operator(browser, demonstration, tmp_path, scripts=scripts) as (seen, live):
        identity = await named(live.api, "terraform")
        path = f"/api/v1/auth/universal-auth/identities/{identity}"
        client = (await live.api.ok("GET", path))["identityUniversalAuth"]["clientId"]
        old = (await live.api.ok("POST", f"{path}/client-secrets", {"description": "to be rotated"}))["clientSecret"]
        await seen.open(f"{seen.home}/identities/{identity}")

        await seen.click("nav[aria-label=Identity] >> text=Authentication")
        await seen.click("tr:has-text('to be rotated') >> button:has-text('Rotate')")
        await expect(seen.page.locator("#made-h")).to_be_visible()
        new = await copied_text(seen, "[data-copy=made]", "#made", scripts=scripts)

        assert seen.clicks <= 3
        for secret in (old, new):
            await live.api.login({"clientId": client, "clientSecret": secret})
        live.api.clock.forward(25 * 3600)
        old_login = {"clientId": client, "clientSecret": old}
        assert 401 == (await live.api.post("/api/v1/auth/universal-auth/login", old_login, token=None)).status_code
        await live.api.login({"clientId": client, "clientSecret": new})


@scripted
async def test_who_can_read_a_secret_of_production(
    browser: Browser, demonstration: Demonstration, tmp_path: Path, *, scripts: bool
) -> None:
    """From any page, with the key in mind: two clicks. Without scripts the search must be opened first."""
    async with operator(browser, demonstration, tmp_path, scripts=scripts) as (seen, live):
        if scripts:
            await seen.page.keyboard.press("Control+k")
        else:
            await seen.click("a.find")
        await seen.page.wait_for_url("**/jump")
        await seen.page.locator("main [type=search]").fill("PAYMENT_KEY")
        await seen.enter()
        await seen.click("a:has-text('Who can read it')")
        await expect(seen.page.locator("h1")).to_have_text("Who can do what")

        assert seen.clicks <= (2 if scripts else 3)
        said = " ".join((await seen.page.locator("main table").inner_text()).split())
        token = (await job_logs_in(live, await named(live.api, "shop-deploy"))).json()["accessToken"]
        assert 403 == (await read(live.api, token, "PAYMENT_KEY")).status_code
        row = seen.page.locator("tr", has=seen.page.locator("a:text-is('shop-deploy')"))
        assert "read" not in await row.locator("[data-l=prod]").inner_text()
        assert "shop-api" in said


@scripted
async def test_everything_unused_for_ninety_days_is_disabled(
    browser: Browser, demonstration: Demonstration, tmp_path: Path, *, scripts: bool
) -> None:
    """From the home page: three clicks. What was used since stays enabled."""
    async with operator(browser, demonstration, tmp_path, scripts=scripts) as (seen, live):
        await seen.click("main a:has-text('Unused 30 days')")
        await seen.click("nav[aria-label='How long'] >> text=90 days")
        await seen.click("button:has-text('Disable all')")
        await expect(seen.page.locator("main [role=status]")).to_contain_text("1 identity is disabled")

        assert seen.clicks <= 3
        for name, is_disabled in (("old-jenkins", True), ("legacy-importer", False), ("terraform", False)):
            found = await live.api.ok("GET", f"/api/v1/identities/{await named(live.api, name)}")
            assert is_disabled == found["identity"]["identity"]["isDisabled"], name


@scripted
async def test_a_key_is_added_to_three_environments(
    browser: Browser, demonstration: Demonstration, tmp_path: Path, *, scripts: bool
) -> None:
    """From the project: two clicks."""
    async with operator(browser, demonstration, tmp_path, scripts=scripts) as (seen, live):
        await seen.open(f"{seen.home}/p/web-shop")
        await seen.click("a:has-text('Add a secret')")
        await seen.fill("Key", "SEARCH_URL")
        await seen.page.locator("textarea[name=value]").fill("https://search.internal")
        await seen.click("main footer button:text-is('Add the secret')")
        await expect(seen.page.locator("main table")).to_contain_text("SEARCH_URL")

        assert seen.clicks <= 2
        for environment in ("dev", "staging", "prod"):
            reply = await read(live.api, live.api.token, "SEARCH_URL", environment)
            assert "https://search.internal" == reply.json()["secret"]["secretValue"]


@scripted
async def test_write_access_for_two_hours(
    browser: Browser, demonstration: Demonstration, tmp_path: Path, *, scripts: bool
) -> None:
    """From the list of identities: four clicks. After two hours it is over by itself."""
    async with operator(browser, demonstration, tmp_path, scripts=scripts) as (seen, live):
        identity = await named(live.api, "shop-deploy")
        token = (await job_logs_in(live, identity)).json()["accessToken"]
        assert 403 == (await write(live.api, token)).status_code
        await seen.open(f"{seen.home}/identities")

        await seen.click("main th >> text=shop-deploy")
        await seen.click("nav[aria-label=Identity] >> text=Access")
        form = seen.page.locator("form", has=seen.page.locator("button:has-text('Give this role too')")).first
        await form.locator("[name=until]").fill("2h")
        await seen.click("button:has-text('Give this role too')")
        await expect(seen.page.locator("main")).to_contain_text("for a time")

        assert seen.clicks <= 4
        assert 200 == (await write(live.api, token)).status_code
        live.api.clock.forward(2 * 3600 + 1)
        later = (await job_logs_in(live, identity)).json()["accessToken"]
        assert 403 == (await write(live.api, later)).status_code
        assert 200 == (await read(live.api, later)).status_code
