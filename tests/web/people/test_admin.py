"""The instance's page: for its administrators alone, and without secrets."""

import pytest

from tests.api import PASSWORD, ROOT_KEY, Api
from tests.receiving import later, receiving, settled
from tests.services.projects.test_webhooks import project, put, webhook
from tests.web.browser import Browser, Seen, signed_in
from tests.web.people_of import narrow
from watchword.domain.deliveries import MAX_ATTEMPTS
from watchword.services.keys import rotation
from watchword.services.keys.keyring import HMAC, SIGNING
from watchword.store import schema
from watchword.store.engine import StoreDown


async def test_settings_versions_and_people_are_shown_without_secrets(api: Api) -> None:
    page = await (await signed_in(api)).get("/admin")
    assert "WATCHWORD_ROOT_KEY" in page.text and "set, and not shown" in page.text and ROOT_KEY not in page.html
    assert "admin@example.com" in page.text and "instance/signing" in page.text


async def test_who_does_not_administer_the_instance_gets_nothing(api: Api) -> None:
    browser = await narrow(api, role="admin")
    sent = [
        ("/admin/people/x", {"act": "deactivate"}),
        ("/admin/deliveries/x", {"act": "again"}),
        ("/admin/deliveries/x", {"act": "drop"}),
    ]
    for page in (await browser.get("/admin"), *[await browser.post(path, form) for path, form in sent]):
        assert page.status == 403 and "WATCHWORD_" not in page.html


async def test_what_could_not_be_delivered_is_tried_again_or_dropped(any_api: Api) -> None:
    receiver = receiving(any_api)
    receiver.fails = lambda url: 410
    browser, shop = await signed_in(any_api), await project(any_api)
    await webhook(any_api, shop, webhookUrl="https://hooks.example.com/x?key=s3cret")
    assert "Not delivered" not in (await browser.get("/admin")).text

    async def dead(key: str) -> Seen:
        await put(any_api, shop, key)
        for _ in range(MAX_ATTEMPTS + 3):
            await later(any_api)
            await settled(any_api)
        return await browser.get("/admin")

    page = await dead("KEY")
    assert "1 given up" in page.text and "the receiver answered 410" in page.text and "s3cret" not in page.html
    action = next(form.action for form in page.forms if form.action.startswith("/admin/deliveries/"))
    receiver.fails = lambda url: None
    assert "1 given-up message will be sent again" in (await browser.post(action, {"act": "again"})).text
    await settled(any_api)
    assert 1 == len(receiver.got) and "Not delivered" not in (await browser.get("/admin")).text

    receiver.fails = lambda url: 410
    await any_api.ok("PATCH", f"/api/v1/webhooks/{action.rpartition('/')[2]}", {"isDisabled": False})
    assert "1 given up" in (await dead("OTHER")).text
    proof = await browser.post(action, {"act": "drop"})
    assert proof.status == 403 and "Is it you?" in proof.text
    await browser.post("/prove", {"password": PASSWORD})
    assert "1 message dropped" in (await browser.post(action, {"act": "drop"})).text
    assert "given up" not in (await browser.get("/admin")).text
    assert "no such receiver" in (await browser.post("/admin/deliveries/none", {"act": "again"})).text


async def test_health_shows_what_readiness_shows(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    browser = await signed_in(api)
    page = await browser.get("/admin")
    assert "Serving" in page.text and "To be written" in page.text
    monkeypatch.setattr(api.runtime.journal, "_failure", StoreDown("gone"))
    page = await browser.get("/admin")
    assert page.status == 200 and "Not ready" in page.text and "the last batch could not be written" in page.text


async def test_a_rotation_under_way_shows_how_far_it_is(any_api: Api) -> None:
    browser = await signed_in(any_api)
    assert "under way" not in (await browser.get("/admin")).text
    async with any_api.runtime.store.write() as tx:
        await tx.run(schema.data_keys.update().where(schema.data_keys.c.scope == SIGNING).values(parent_version=9))
        tx.changed("keys")
    page = await browser.get("/admin")
    assert "under way" in page.text and "sealed with an earlier root key" in page.text and "<progress" in page.html
    await rotation.stage(any_api.runtime, HMAC)
    assert "waits to be used" in (await browser.get("/admin")).text


async def test_accounts_are_switched_off_and_on_and_get_reset_links(api: Api) -> None:
    bob = await narrow(api, role="member")
    browser: Browser = await signed_in(api)
    page = await browser.get("/admin?q=bob")
    action = next(form.action for form in page.forms if form.action.startswith("/admin/people/"))
    off = await browser.post(action, {"act": "deactivate"})
    assert "switched off" in off.text and (await bob.get("/me")).path == "/login"
    on = await browser.post(action, {"act": "activate"})
    assert "active again" in on.text
    link = await browser.post(action, {"act": "reset"})
    assert "password-reset?token=" in link.html
    assert "password-reset?token=" not in (await browser.get("/admin")).html
    proof = await browser.post(action, {"act": "delete"})
    assert proof.status == 403 and "Is it you?" in proof.text
    again = await browser.submit(proof, "/prove", password=PASSWORD)
    assert "is deleted" in (await browser.submit(again, action)).text


async def test_a_reset_link_sets_a_new_password_once(api: Api) -> None:
    await narrow(api, role="member")
    browser = await signed_in(api)
    page = await browser.get("/admin?q=bob")
    action = next(form.action for form in page.forms if form.action.startswith("/admin/people/"))
    shown = await browser.post(action, {"act": "reset"})
    token = shown.html.partition("password-reset?token=")[2].partition("<")[0]
    bob = Browser(api)
    form = await bob.get(f"/password-reset?token={token}")
    assert (await bob.submit(form, "/password-reset", password="short")).status == 422
    assert (await bob.submit(form, "/password-reset", password="a third unlikely sentence")).path == "/login"
    assert (await bob.submit(form, "/password-reset", password="a fourth unlikely sentence")).status == 401
