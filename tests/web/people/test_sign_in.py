"""Setting up, signing in and out."""

from pathlib import Path

import pytest

from tests.api import EMAIL, PASSWORD, Api, running, sqlite_settings
from tests.web.browser import Browser, signed_in
from watchword.domain.secret import Secret
from watchword.web.pages import own_path


async def test_a_new_instance_is_set_up_with_the_code_that_the_server_printed(tmp_path: Path) -> None:
    async with running(sqlite_settings(tmp_path, setup_code=Secret("say-friend")), fresh=False) as api:
        browser = Browser(api)
        page = await browser.get("/")
        assert page.path == "/setup"
        fields = {"organization": "Fernpost", "email": "ada@fernpost.example", "password": "four words unlikely so"}
        wrong = await browser.submit(page, "/setup", setupCode="no", **fields)
        assert wrong.status == 403 and "setup code is not right" in wrong.text and "Fernpost" in wrong.html
        weak = await browser.submit(wrong, "/setup", setupCode="say-friend", **{**fields, "password": "password"})
        assert weak.status == 422
        done = await browser.submit(weak, "/setup", setupCode="say-friend", **fields)
        assert done.path.startswith("/fernpost")
        assert (await Browser(api).get("/setup")).path == "/login"


async def test_a_wrong_password_keeps_the_address_and_tells_nothing(api: Api) -> None:
    browser = Browser(api)
    page = await browser.sign_in(password="wrong")
    stranger = await browser.sign_in(email="nobody@example.com")
    assert (
        page.status == stranger.status == 401 and EMAIL in page.html and ("password", "") in page.form("/login").pairs
    )
    assert "Invalid email or password" in page.text and "Invalid email or password" in stranger.text


async def test_the_session_is_a_cookie_that_no_script_reads_and_no_other_site_sends_along(api: Api) -> None:
    browser = Browser(api)
    page = await browser.send("POST", "/login", {"email": EMAIL, "password": PASSWORD}, follow=False)
    cookie = next(value for value in page.headers.get_list("set-cookie") if value.startswith("watchword="))
    assert "HttpOnly" in cookie and "SameSite=Lax" in cookie and "Path=/" in cookie


async def test_over_tls_the_cookie_is_of_this_host_alone(tmp_path: Path) -> None:
    async with running(sqlite_settings(tmp_path, site_url="https://watchword.example")) as api:
        page = await Browser(api).send("POST", "/login", {"email": EMAIL, "password": PASSWORD}, follow=False)
        cookie = next(value for value in page.headers.get_list("set-cookie") if "watchword=" in value)
        assert cookie.startswith("__Host-watchword=") and "; Secure" in cookie and "Domain" not in cookie


async def test_signing_out_ends_the_session_also_for_a_cookie_that_was_kept(api: Api) -> None:
    browser = await signed_in(api)
    kept = dict(browser.client.cookies)
    page = await browser.post("/sign-out")
    assert page.path == "/login" and "signed out" in page.text
    replay = Browser(api)
    replay.client.cookies.update(kept)
    assert (await replay.get("/organizations")).path == "/login"


@pytest.mark.parametrize("path", ["//evil.test", "https://evil.test", "/\\evil.test", "javascript:x", "/a\nb", ""])
def test_no_link_leads_elsewhere_after_signing_in(path: str) -> None:
    assert own_path(path) == ""


async def test_a_path_of_ours_is_gone_on_with(api: Api) -> None:
    page = await Browser(api).post("/login", {"email": EMAIL, "password": PASSWORD, "next": "/organizations"})
    assert page.path == "/organizations"


async def test_the_theme_is_kept(api: Api) -> None:
    browser = Browser(api)
    assert 'data-theme="dark"' in (await browser.post("/theme", {"theme": "dark", "next": "/login"})).html
    assert 'data-theme="light"' in (await browser.post("/theme", {"theme": "light", "next": "/login"})).html
    assert "data-theme=" not in (await browser.post("/theme", {"theme": "<b>", "next": "/login"})).html


async def test_a_bearer_token_of_the_api_opens_no_page(api: Api) -> None:
    reply = await api.get("/organizations", headers={"accept": "text/html"}, token=api.person)
    assert reply.status_code == 303 and reply.headers["location"].startswith("/login")
