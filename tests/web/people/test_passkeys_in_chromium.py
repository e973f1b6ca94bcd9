"""Passkeys in a real browser, with an authenticator that Chromium plays: what scripts and the server say to each other."""

from pathlib import Path
from typing import Any

from playwright.async_api import expect

from tests.api import EMAIL, PASSWORD
from tests.processes import serving
from tests.web.chromium import Window, chromium, needs_chromium, window

pytestmark = needs_chromium


async def authenticator(seen: Window) -> Any:
    """Give the window an authenticator that verifies its person, as a telephone does."""
    session = await seen.page.context.new_cdp_session(seen.page)
    await session.send("WebAuthn.enable")
    options = {
        "protocol": "ctap2",
        "transport": "internal",
        "hasResidentKey": True,
        "hasUserVerification": True,
        "isUserVerified": True,
        "automaticPresenceSimulation": True,
    }
    made = await session.send("WebAuthn.addVirtualAuthenticator", {"options": options})

    async def verifies(yes: bool) -> None:
        await session.send(
            "WebAuthn.setUserVerified", {"authenticatorId": made["authenticatorId"], "isUserVerified": yes}
        )

    return verifies


async def password(seen: Window) -> None:
    await seen.open("/login")
    await seen.fill("E-mail address", EMAIL)
    await seen.fill("Password", PASSWORD)
    await seen.click("button:text-is('Sign in')")


async def begin(seen: Window) -> None:
    """Come to where a passkey is made: that asks for the password again."""
    await seen.open("/me")
    await seen.page.get_by_role("button", name="Add a passkey").click()
    await expect(seen.page.get_by_role("heading", name="Is it you?")).to_be_visible()
    await seen.fill("Password", PASSWORD)
    await seen.page.get_by_role("button", name="Go on").click()
    await expect(seen.page.get_by_role("heading", name="Go on with")).to_be_visible()
    await seen.page.get_by_role("button", name="Go on").click()
    await seen.fill("Name", "Telephone")
    assert all("403" in text for text in seen.faults)  # the browser notes that the password was asked for
    seen.faults.clear()


async def test_a_passkey_is_made_and_signs_in_as_second_factor_and_alone(tmp_path: Path) -> None:
    async with serving(tmp_path) as server, chromium() as browser:
        await server.api()
        base = server.url.replace("127.0.0.1", "localhost")
        async with window(browser, base) as seen:
            verifies = await authenticator(seen)
            await password(seen)
            await begin(seen)
            assert [] == await seen.violations()
            await seen.shoot("passkey-new")
            await seen.page.get_by_role("button", name="Make the passkey").click()
            await expect(seen.page.get_by_role("heading", name="Recovery codes")).to_be_visible()
            assert [] == await seen.violations()
            await seen.shoot("passkey-added")
            await seen.page.get_by_role("link", name="I have kept them").click()
            await seen.page.get_by_role("link", name="Rename or remove Telephone").click()
            await expect(seen.page.get_by_role("button", name="Remove the passkey")).to_be_visible()
            assert [] == await seen.violations()
            await seen.shoot("passkey-managed")

            await seen.page.get_by_role("button", name="Sign out").click()
            await password(seen)
            await seen.shoot("passkey-second-factor")
            assert [] == await seen.violations()
            await seen.page.get_by_role("button", name="Use your passkey").click()
            await expect(seen.page).to_have_title("Acme · Watchword")

            await seen.open("/me")
            await seen.page.get_by_role("button", name="Add a passkey").click()
            await seen.page.get_by_role("button", name="Use your passkey").click()
            await expect(seen.page.get_by_role("heading", name="Go on with")).to_be_visible()
            seen.faults.clear()  # the browser notes the 403
            await seen.page.get_by_role("link", name="No, leave it").click()

            await seen.page.get_by_role("button", name="Sign out").click()
            await seen.shoot("passkey-login")
            assert [] == await seen.violations()
            await verifies(False)
            await seen.page.get_by_role("button", name="Sign in with a passkey").click()
            await expect(seen.page.get_by_role("alert")).to_contain_text("did not use a passkey")
            await verifies(True)
            await seen.page.get_by_role("button", name="Sign in with a passkey").click()
            await expect(seen.page).to_have_title("Acme · Watchword")


async def test_without_scripts_no_passkey_is_offered_and_the_code_still_is(tmp_path: Path) -> None:
    async with serving(tmp_path) as server, chromium() as browser:
        await server.api()
        base = server.url.replace("127.0.0.1", "localhost")
        async with window(browser, base) as seen:
            await authenticator(seen)
            await password(seen)
            await begin(seen)
            await seen.page.get_by_role("button", name="Make the passkey").click()
            codes = await seen.page.locator("#recovery").text_content()
        async with window(browser, base, scripts=False) as seen:
            await seen.open("/login")
            await expect(seen.page.get_by_role("button", name="Sign in with a passkey")).to_be_hidden()
            await password(seen)
            await seen.fill("Recovery code", codes.split()[0])
            await seen.click("button:text-is('Go on')")
            await expect(seen.page).to_have_title("Acme · Watchword")
