"""People, invitations and groups of an organization, and its settings."""

from tests.api import PASSWORD, Api
from tests.web.browser import Browser, signed_in
from tests.web.filling import HOSTILE
from tests.web.people_of import narrow
from tests.web.test_home import home_of


async def test_people_are_invited_by_a_link_that_is_shown_once_and_lets_them_in(api: Api) -> None:
    browser, base = await signed_in(api), await home_of(api)
    page = await browser.get(f"{base}/people")
    made = await browser.submit(page, f"{base}/people", emails="eve@example.com, fay@example.com", role="member")
    assert made.html.count("accept-invitation?token=") == 2 and "Open invitations" in made.text
    assert "accept-invitation?token=" not in (await browser.get(f"{base}/people")).html
    path = "/accept-invitation?token=" + made.html.partition("accept-invitation?token=")[2].partition("<")[0]
    eve = Browser(api)
    form = await eve.get(path)
    weak = await eve.submit(form, "/accept-invitation", password="short", firstName="Eve")
    assert weak.status == 422 and 'value="Eve"' in weak.html
    joined = await eve.submit(weak, "/accept-invitation", password="a long sentence of eve")
    assert joined.path == base and "You are a member" in joined.text
    assert (await Browser(api).submit(form, "/accept-invitation", password="a long sentence")).status == 401


async def test_what_is_wrong_with_an_invitation_is_said(api: Api) -> None:
    browser, base = await signed_in(api), await home_of(api)
    page = await browser.get(f"{base}/people")
    for emails in ("", "nobody", "admin@example.com"):
        bad = await browser.submit(page, f"{base}/people", emails=emails)
        assert bad.status in (400, 422) and "accept-invitation" not in bad.html, emails


async def test_a_member_is_changed_suspended_and_removed_after_the_password(api: Api) -> None:
    bob = await narrow(api, role="member")
    browser, base = await signed_in(api), await home_of(api)
    page = await browser.get(f"{base}/people")
    action = next(form.action for form in page.forms if form.action.startswith(f"{base}/people/"))
    assert "has another role" in (await browser.post(action, {"act": "role", "role": "no-access"})).text
    assert "is suspended" in (await browser.post(action, {"act": "suspend"})).text
    assert (await bob.get(base)).status in (403, 404)
    assert "may work here again" in (await browser.post(action, {"act": "readmit"})).text
    proof = await browser.post(action, {"act": "remove"})
    again = await browser.submit(proof, "/prove", password=PASSWORD)
    assert "is no member any more" in (await browser.submit(again, action)).text


async def test_who_may_only_look_at_people_is_offered_nothing_else(api: Api) -> None:
    browser, base = await narrow(api, role="member"), await home_of(api)
    page = await browser.get(f"{base}/people")
    assert "admin@example.com" in page.text and "Invite" not in page.text and "Suspend" not in page.text
    assert (await browser.post(f"{base}/people", {"emails": "x@example.com"})).status == 403
    nothing = await narrow(api, role="no-access", email="cy@example.com")
    assert (await nothing.get(f"{base}/people")).status == 403
    assert (await nothing.get(f"{base}/groups")).status == 403
    assert (await nothing.get(f"{base}/settings")).status == 403


async def test_settings_are_changed_and_lead_to_the_new_address(api: Api) -> None:
    browser, base = await signed_in(api), await home_of(api)
    page = await browser.get(f"{base}/settings")
    bad = await browser.submit(page, f"{base}/settings", slug="Not A Slug", name="Kept <b>")
    assert bad.status == 422 and "slug-wrong" in bad.ids and "Kept &lt;b&gt;" in bad.html
    mfa = await browser.submit(page, f"{base}/settings", mfa="true")
    assert mfa.status == 400 and "your own second factor first" in mfa.text
    done = await browser.submit(page, f"{base}/settings", slug="renamed", name="Renamed")
    assert done.path == "/renamed/settings" and "The settings are changed" in done.text


async def test_a_group_is_made_filled_and_deleted(api: Api) -> None:
    browser, base = await signed_in(api), await home_of(api)
    identity = await api.identity(name="deployer")
    page = await browser.get(f"{base}/groups")
    group = await browser.submit(page, f"{base}/groups", name=HOSTILE[0])
    assert "is there" in group.text and HOSTILE[0] not in group.html
    action = group.path
    await browser.post(action, {"act": "add", "member": f"identity:{identity['id']}"})
    await browser.post(action, {"act": "add", "member": "user:admin@example.com"})
    full = await browser.get(f"{action}?who=a")
    assert "2 members" in full.text and "deployer" in full.text
    await browser.post(action, {"act": "remove", "member": f"identity:{identity['id']}"})
    assert "1 member" in (await browser.get(action)).text
    proof = await browser.post(action, {"act": "delete"})
    again = await browser.submit(proof, "/prove", password=PASSWORD)
    assert "is deleted" in (await browser.submit(again, action)).text
