"""Signing in for a command: what it gets, from which page, and for which ports."""

import base64
import json
import re

import pytest

from tests.api import EMAIL, PASSWORD, Api
from tests.web.browser import Browser, signed_in


async def test_a_command_gets_a_session_of_its_own_that_works_and_can_be_ended(api: Api) -> None:
    browser = Browser(api)
    page = await browser.get("/login?callback_port=41873")
    asked = await browser.submit(page, "/login", email=EMAIL, password=PASSWORD)
    assert asked.path == "/login/command" and "127.0.0.1:41873" in asked.text
    assert "127.0.0.1" not in asked.headers["content-security-policy"]
    done = await browser.submit(asked, "/login/command")
    policy = done.headers["content-security-policy"]
    assert (
        "connect-src 'self' http://127.0.0.1:41873;" in policy and 'data-send-to="http://127.0.0.1:41873/"' in done.html
    )
    pasted = re.search(r'<code id="pasted">([^<]+)</code>', done.html)
    assert pasted is not None
    handed = json.loads(base64.b64decode(pasted[1]))
    assert handed.keys() == {"email", "privateKey", "JTWToken", "RefreshToken"} and handed["email"] == EMAIL
    assert (await api.get("/api/v1/organization", token=handed["JTWToken"])).status_code == 200
    account = await browser.get("/me")
    assert account.text.count("this one") == 1
    await browser.post("/me/sessions")
    assert (await api.get("/api/v1/organization", token=handed["JTWToken"])).status_code == 401
    assert (await browser.get("/me")).status == 200


async def test_the_refresh_token_refreshes_the_commands_session(api: Api) -> None:
    browser = await signed_in(api)
    done = await browser.submit(await browser.get("/login/command?callback_port=5000"), "/login/command")
    pasted = re.search(r'<code id="pasted">([^<]+)</code>', done.html)
    assert pasted is not None
    handed = json.loads(base64.b64decode(pasted[1]))
    reply = await api.post("/api/v1/auth/token", token=None, headers={"cookie": f"jid={handed['RefreshToken']}"})
    assert reply.status_code == 200 and reply.json()["token"]


@pytest.mark.parametrize(
    "port", ["80", "1023", "65536", "0", "-1", "x", "5000@evil.test", "5000/", "\u0665\u0660\u0660\u0660", "005000000"]
)
async def test_a_port_that_is_none_is_refused_before_anything_is_handed_over(api: Api, port: str) -> None:
    browser = await signed_in(api)
    asked = await browser.get("/login/command?" + f"callback_port={port}")
    sent = await browser.post("/login/command", {"callback_port": port, "organization": api.org_id})
    for page in (asked, sent):
        assert page.status == 422 and "127.0.0.1" not in page.headers["content-security-policy"]


async def test_an_organization_of_others_is_not_entered(api: Api) -> None:
    browser = await signed_in(api)
    page = await browser.post("/login/command", {"callback_port": "5000", "organization": "somebody-elses"})
    assert page.status == 404 and "pasted" not in page.html


async def test_another_sites_page_cannot_authorize_a_command(api: Api) -> None:
    browser = await signed_in(api)
    browser.headers = {"accept": "text/html", "sec-fetch-site": "cross-site"}
    page = await browser.post("/login/command", {"callback_port": "5000", "organization": api.org_id})
    assert page.status == 403 and "pasted" not in page.html
