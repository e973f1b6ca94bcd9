"""The instance's page: for its administrators alone, and without secrets."""

from tests.api import PASSWORD, ROOT_KEY, Api
from tests.web.browser import Browser, signed_in
from tests.web.people_of import narrow


async def test_settings_versions_and_people_are_shown_without_secrets(api: Api) -> None:
    page = await (await signed_in(api)).get("/admin")
    assert "WATCHWORD_ROOT_KEY" in page.text and "set, and not shown" in page.text and ROOT_KEY not in page.html
    assert "admin@example.com" in page.text and "instance/signing" in page.text


async def test_who_does_not_administer_the_instance_gets_nothing(api: Api) -> None:
    browser = await narrow(api, role="admin")
    for page in (await browser.get("/admin"), await browser.post("/admin/people/x", {"act": "deactivate"})):
        assert page.status == 403 and "WATCHWORD_" not in page.html


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
