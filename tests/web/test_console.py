"""What holds for every page: headers, sites, refusals, and what is served beside the API."""

import re
from pathlib import Path
from typing import Any

import pytest

from tests.api import Api, running, sqlite_settings
from tests.web.browser import HEADERS, Browser, signed_in
from watchword.domain.people.records import Organization
from watchword.services.context import Ctx
from watchword.web import assets, rendering
from watchword.web.table import page_table


async def test_a_page_says_what_may_be_loaded_and_that_nobody_may_keep_or_frame_it(api: Api) -> None:
    page = await Browser(api).get("/login")
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy and "unsafe" not in policy
    assert page.headers["cache-control"] == "no-store" and page.headers["x-frame-options"] == "DENY"
    assert page.headers["referrer-policy"] == "no-referrer" and page.headers["x-content-type-options"] == "nosniff"
    assert page.headers["cross-origin-opener-policy"] == "same-origin"


async def test_a_page_holds_no_script_and_no_style_of_its_own(api: Api) -> None:
    browser = await signed_in(api)
    for path in ("/login", "/organizations"):
        html = (await browser.get(path)).html
        assert not re.search(r"<script(?![^>]* src=)|<style| style=| on[a-z]+=|hx-on|js:", html), path


@pytest.mark.parametrize(
    ("site", "origin"),
    [("cross-site", ""), ("same-site", ""), ("", "http://evil.test"), ("", ""), ("", "null"), ("weird", "")],
)
async def test_an_act_that_another_sites_page_asks_for_is_refused(api: Api, site: str, origin: str) -> None:
    sent = {"accept": "text/html"}
    if site:
        sent["sec-fetch-site"] = site
    if origin:
        sent["origin"] = origin
    browser = await signed_in(api)
    browser.headers = sent
    page = await browser.post("/organizations", {"name": "Stolen"})
    assert page.status == 403 and "another site" in page.text
    browser.headers = HEADERS
    assert "Stolen" not in (await browser.get("/organizations")).text


async def test_an_older_browser_says_by_its_origin_that_it_is_on_our_page(api: Api) -> None:
    browser = await signed_in(api)
    browser.headers = {"accept": "text/html", "origin": "http://watchword.test"}
    assert (await browser.post("/organizations", {"name": "Second"}, follow=False)).status == 303


async def test_a_client_of_the_api_gets_json_where_there_is_no_route(api: Api) -> None:
    reply = await api.get("/nothing", token=None)
    assert reply.status_code == 404 and reply.json()["message"] == "Route GET:/nothing not found"


async def test_a_browser_gets_a_page_where_there_is_none(api: Api) -> None:
    browser = Browser(api)
    for path in ("/login/nothing", "/assets/none.css"):
        page = await browser.get(path)
        assert page.status == 404 and ("There is no such page" in page.text or path.startswith("/assets"))
    assert (await browser.post("/login/nothing")).status == 404


async def test_the_api_answers_a_browser_as_it_answers_everybody(api: Api) -> None:
    reply = await api.get("/api/v1/organization", token=None, headers={"accept": "text/html"})
    assert reply.status_code == 401 and reply.headers["content-type"].startswith("application/json")


async def test_without_the_console_there_is_only_the_api(tmp_path: Path) -> None:
    async with running(sqlite_settings(tmp_path, console="off")) as api:
        page = await Browser(api).get("/login")
        assert page.status == 404 and page.headers["content-type"].startswith("application/json")


async def test_a_person_who_is_not_signed_in_is_led_to_the_sign_in_and_back(api: Api) -> None:
    browser = Browser(api)
    page = await browser.get("/organizations?x=1")
    assert page.path == "/login"
    back = await browser.submit(page, "/login", email="admin@example.com", password="correct horse battery")
    assert back.path == "/organizations"


async def test_what_was_typed_is_kept_when_the_session_has_ended(api: Api) -> None:
    browser = Browser(api)
    page = await browser.post("/organizations", {"name": "Typed <long> ago"})
    assert page.status == 401 and "session has ended" in page.text
    again = await browser.submit(page, "/login", email="admin@example.com", password="correct horse battery")
    done = await browser.submit(again, "/organizations")
    assert "Typed <long> ago" in done.text


async def test_what_is_kept_holds_no_password_and_is_not_compressed(api: Api) -> None:
    browser = Browser(api)
    browser.headers["accept-encoding"] = "gzip"
    fields = {"oldPassword": "typed-old", "newPassword": "typed-new", "secretValue": "typed-value"}
    page = await browser.post("/me/password?from=here", fields)
    assert page.status == 401 and "content-encoding" not in page.headers
    assert "typed-value" in page.html and "typed-old" not in page.html and "typed-new" not in page.html
    assert ("again_to", "/me/password?from=here") in page.form("/login").pairs
    plain = await browser.get("/login")
    assert plain.headers["content-encoding"] == "gzip"


async def test_a_page_that_meets_another_change_is_carried_out_again(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    from watchword.services.people import organizations
    from watchword.store.engine import Collision

    create, failures = organizations.create, 0

    async def collides(ctx: Ctx, body: organizations.CreateOrganization) -> Organization:
        nonlocal failures
        if failures:
            failures -= 1
            raise Collision
        return await create(ctx, body)

    browser = await signed_in(api)
    monkeypatch.setattr(organizations, "create", collides)
    failures = 1
    assert (await browser.post("/organizations", {"name": "Second try"})).status == 200
    failures = 100
    page = await browser.post("/organizations", {"name": "Never"})
    assert page.status == 503 and page.headers["content-type"].startswith("text/html") and "Never" not in page.text
    monkeypatch.undo()
    assert "Second try" in (await browser.get("/organizations")).text


async def test_an_organization_of_others_is_none(api: Api) -> None:
    page = await (await signed_in(api)).get("/somebody-elses")
    assert page.status == 404 and "not a member" in page.text


async def test_a_form_that_cannot_be_read_is_refused(api: Api) -> None:
    browser = await signed_in(api)
    assert (await browser.post("/organizations", {"name": "a\x00b"})).status == 400
    reply = await browser.client.post("/login", content=b"email=%ff", headers={**HEADERS})
    assert reply.status_code == 400 and "UTF-8" in reply.text


async def test_a_fault_of_ours_is_a_page_that_tells_nothing_but_its_number(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    from watchword.services.people import organizations

    async def fails(_ctx: object) -> None:
        raise RuntimeError("s3cret detail")

    browser = await signed_in(api)
    monkeypatch.setattr(organizations, "mine", fails)
    page = await browser.get("/organizations")
    assert page.status == 500 and "s3cret" not in page.html and "req-" in page.text


async def test_a_persons_organizations_are_read_once_for_a_page(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    from watchword.store.people import people

    read, times = people.organizations_of, 0

    async def counted(*given: Any) -> Any:
        nonlocal times
        times += 1
        return await read(*given)

    browser = await signed_in(api)
    base = (await browser.get("/")).path
    monkeypatch.setattr(people, "organizations_of", counted)
    for path in (
        base,
        f"{base}/settings",
        f"{base}/identities",
        "/organizations",
        "/me",
        "/login/command?callback_port=5000",
    ):
        times = 0
        assert (await browser.get(path)).status == 200
        assert times == 1, path


def test_every_template_can_be_read() -> None:
    environment = rendering._environment()
    for name in environment.list_templates():
        environment.get_template(name)


def test_every_icon_that_a_template_names_is_there() -> None:
    environment = rendering._environment()
    for name in environment.list_templates():
        source, _, _ = environment.loader.get_source(environment, name)
        for icon, goes_on in re.findall(r"icon\(\"([a-z0-9-]+)\"( ~)?", source):
            known = [one for one in assets.icon_names() if (one.startswith(icon) if goes_on else one == icon)]
            assert known, f"{name}: {icon}"


def test_no_two_pages_have_one_path() -> None:
    places = [(route.method, route.path) for route in page_table()]
    assert len(places) == len(set(places))
