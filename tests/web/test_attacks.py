"""What somebody tries who is not on our pages, or who was: acts of other sites, links that lead elsewhere, old sessions."""

import re
from pathlib import Path

import httpx
import pytest

from tests.api import EMAIL, PASSWORD, Api, running, sqlite_settings
from tests.processes import serving
from tests.web.browser import HEADERS, Browser, signed_in
from tests.web.chromium import chromium, needs_chromium, window
from watchword.web.pages import own_path
from watchword.web.table import page_table

ELSEWHERE = (
    "//evil.test",
    "///evil.test",
    "/\\evil.test",
    "\\\\evil.test",
    "https://evil.test",
    "http:/evil.test",
    "javascript:alert(1)",
    "/\t/evil.test",
    "/\n/evil.test",
    "/\x0b/evil.test",
    "/\u2028/evil.test",
    " //evil.test",
    "evil.test",
    "",
)


async def test_no_act_of_any_page_is_carried_out_for_another_site(api: Api) -> None:
    browser = await signed_in(api)
    for route in page_table():
        if route.method == "POST":
            path = re.sub(r"\{[a-z_]+\}", "x", route.path)
            for sent in ({"sec-fetch-site": "cross-site"}, {"origin": "http://evil.test"}, {}):
                browser.headers = {"accept": "text/html", **sent}
                page = await browser.post(path, {"name": "x", "act": "delete"}, follow=False)
                assert page.status == 403 and "another site" in page.text, (path, sent)


@pytest.mark.parametrize("next_path", ELSEWHERE)
async def test_no_link_leads_a_person_elsewhere(api: Api, next_path: str) -> None:
    assert own_path(next_path) == ""
    browser = Browser(api)
    sent = await browser.post("/login", {"email": EMAIL, "password": PASSWORD, "next": next_path}, follow=False)
    chosen = await browser.post("/theme", {"theme": "dark", "next": next_path}, follow=False)
    assert ["/", "/"] == [sent.headers["location"], chosen.headers["location"]]


@pytest.mark.parametrize("named", ["%5Cevil.test", "%09%2Fevil.test", "%2F%2Fevil.test", "%E2%80%A8"])
async def test_a_name_in_a_path_does_not_become_another_host(api: Api, named: str) -> None:
    browser = await signed_in(api)
    for path in (f"/organizations/{named}/settings", f"/org/{named}/overview", f"/{named}"):
        page = await browser.get(path, follow=False)
        location = page.headers.get("location", "/")
        assert page.status in (303, 404) and re.match(r"/(?![/\\\t])", location), (path, location)


async def test_a_way_back_in_any_script_is_a_header_that_can_be_sent(api: Api) -> None:
    browser = Browser(api)
    sent = await browser.post("/login", {"email": EMAIL, "password": PASSWORD, "next": "/日本?q=ü"}, follow=False)
    assert "/%E6%97%A5%E6%9C%AC?q=%C3%BC" == sent.headers["location"]


async def test_over_tls_cookies_belong_to_this_host_and_a_page_without_tls_is_another_site(tmp_path: Path) -> None:
    async with running(sqlite_settings(tmp_path, site_url="https://ww.example")) as api:
        api.client.base_url = httpx.URL("https://ww.example")
        browser = Browser(api)
        form = {"email": EMAIL, "password": PASSWORD}
        browser.headers = {"accept": "text/html", "origin": "http://ww.example"}
        assert (await browser.post("/login", form)).status == 403
        browser.headers = {"accept": "text/html", "origin": "https://ww.example"}
        page = await browser.post("/login", form, follow=False)
        cookies = page.headers.get_list("set-cookie")
        assert page.status == 303 and len(cookies) == 2
        for cookie in cookies:
            assert re.match(r"__Host-[^;]+; Path=/; HttpOnly; SameSite=(Lax|Strict); Max-Age=\d+; Secure$", cookie)
        # a cookie without the prefix, which a page without TLS could set, is not looked at
        token = re.match(r"__Host-watchword=([^;]+)", cookies[0])
        plain = Browser(api)
        plain.client.cookies.set("watchword", token[1])
        assert (await plain.get("/me")).path == "/login"


async def test_a_session_that_ended_is_good_for_nothing(any_api: Api) -> None:
    browser = await signed_in(any_api)
    kept = dict(browser.client.cookies)
    await browser.post("/sign-out")
    again = Browser(any_api)
    again.client.cookies.update(kept)
    assert (await again.get("/me")).path == "/login"
    assert (await again.post("/organizations", {"name": "Stolen"})).status == 401
    assert (await any_api.get("/api/v1/user", token=kept["watchword"])).status_code == 401


async def test_a_password_that_was_entered_again_counts_for_its_session_alone(api: Api) -> None:
    browser, other = await signed_in(api), await signed_in(api)
    await browser.post("/prove", {"password": PASSWORD})
    proof = browser.client.cookies["watchword-proof"]
    for value in (proof, f"9{proof}", "99999999999.00", "x"):
        other.client.cookies.set("watchword-proof", value)
        assert "Is it you?" in (await other.post("/me/passkeys")).text


async def test_the_host_that_a_request_names_is_in_no_link_that_is_handed_over(api: Api) -> None:
    browser = await signed_in(api)
    base = (await browser.get("/")).path
    browser.headers = {**HEADERS, "host": "evil.test"}
    invited = await browser.post(f"{base}/people", {"emails": "bob@example.com", "role": "member"})
    assert "accept-invitation?token=" in invited.html and "evil.test" not in invited.html


@needs_chromium
async def test_after_the_sign_out_going_back_shows_nothing_of_what_was_there(tmp_path: Path) -> None:
    async with serving(tmp_path) as server, chromium() as browser:
        await server.api()
        async with window(browser, server.url) as seen:
            await seen.open("/login")
            await seen.fill("E-mail address", EMAIL)
            await seen.fill("Password", PASSWORD)
            await seen.click("button:text-is('Sign in')")
            await seen.open("/me")
            await seen.page.get_by_role("button", name="Sign out").click()
            await seen.page.wait_for_url("**/login")
            await seen.page.go_back()
            await seen.page.wait_for_load_state("load")
            assert EMAIL not in (await seen.page.text_content("main"))
