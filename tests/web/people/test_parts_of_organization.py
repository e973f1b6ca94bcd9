"""Sub-organizations, and the end of an organization."""

from tests.api import PASSWORD, Api
from tests.web.browser import Browser, Seen, signed_in
from tests.web.people_of import narrow


async def made(browser: Browser, base: str, name: str, slug: str) -> Seen:
    page = await browser.get(f"{base}/sub-organizations")
    return await browser.submit(page, f"{base}/sub-organizations", name=name, slug=slug)


async def test_a_sub_organization_is_made_opened_renamed_and_deleted(any_api: Api) -> None:
    browser = await signed_in(any_api)
    base = (await browser.get("/")).path
    page = await made(browser, base, "Team <b>", "team")
    assert "is there" in page.text and "Team &lt;b&gt;" in page.html
    action = f"{base}/sub-organizations"
    id = next(link for link in page.links if "open=" in link).partition("open=")[2]
    inside = await browser.get(f"/{id}")
    assert inside.status == 200 and "Team <b>" in inside.text
    within = await browser.get(f"/{id}/sub-organizations")
    assert "1 sub-organization" in within.text and f"/{id}/sub-organizations" not in [
        form.action for form in within.forms
    ]

    opened = await browser.get(f"{action}?open={id}")
    assert "Delete Team" in opened.text
    taken = await browser.post(f"{action}/{id}", {"act": "change", "name": "Team", "slug": "No Slug"})
    assert taken.status == 422
    changed = await browser.post(f"{action}/{id}", {"act": "change", "name": "Crew", "slug": "crew"})
    assert "Crew is changed" in changed.text
    wrong = await browser.post(f"{action}/{id}", {"act": "delete", "confirm": "team"})
    assert wrong.status == 422 and "nothing was deleted" in wrong.text
    assert (await browser.post(f"{action}/{id}", {"act": "delete", "confirm": "crew"})).status == 403
    await browser.post("/prove", {"password": PASSWORD})
    gone = await browser.post(f"{action}/{id}", {"act": "delete", "confirm": "crew"})
    assert "Crew is deleted" in gone.text and (await browser.get(f"/{id}")).status == 404


async def test_a_sub_organization_is_not_found_by_a_slug_that_another_organization_has(api: Api) -> None:
    browser = await signed_in(api)
    other = (await browser.post("/organizations", {"name": "Other"})).path
    base = next(link for link in (await browser.get("/organizations")).links if link.startswith("/acme"))
    await made(browser, base, "Hidden", other.strip("/"))
    page = await browser.get(other)
    assert "Other" in page.text and "Hidden" not in page.text
    listed = await browser.get("/organizations")
    assert "Hidden" in listed.text and any(link.startswith("/01") for link in listed.links)  # by its id


async def test_a_sub_organization_does_not_take_the_slug_of_its_root_in_its_own_settings(any_api: Api) -> None:
    browser = await signed_in(any_api)
    base = (await browser.get("/")).path
    page = await made(browser, base, "Team", "team")
    inside = "/" + next(link for link in page.links if "open=" in link).partition("open=")[2]
    settings = await browser.get(f"{inside}/settings")
    refused = await browser.submit(settings, f"{inside}/settings", slug=base.strip("/"))
    assert refused.status == 400 and "slug of the root" in refused.text
    saved = await browser.submit(settings, f"{inside}/settings", slug="crew")
    assert "settings are changed" in saved.text and saved.path == f"{inside}/settings"


async def test_who_may_not_is_offered_nothing_and_refused(api: Api) -> None:
    admin = await signed_in(api)
    base = (await admin.get("/")).path
    page = await made(admin, base, "Team", "team")
    id = next(link for link in page.links if "open=" in link).partition("open=")[2]
    bob = await narrow(api, role="member")
    seen = await bob.get(f"{base}/sub-organizations?open={id}")
    assert "Team" in seen.text and "you are not in it" in seen.text and "Delete" not in seen.text
    assert [form for form in seen.forms if "sub-organizations" in form.action] == []
    for path, form in (
        (f"{base}/sub-organizations", {"name": "Mine"}),
        (f"{base}/sub-organizations/{id}", {"act": "change", "name": "Mine"}),
        (f"{base}/settings/delete", {"confirm": base.strip("/")}),
    ):
        await bob.post("/prove", {"password": "a quite different sentence"})
        assert (await bob.post(path, form)).status == 403, path
    assert (await bob.get(f"{base}/settings/delete")).status == 403 and (await bob.get(f"/{id}")).status == 404


async def test_an_organization_is_deleted_by_its_slug_and_the_password(any_api: Api) -> None:
    browser = await signed_in(any_api)
    base = (await browser.post("/organizations", {"name": "Second"})).path
    page = await browser.get(f"{base}/settings/delete")
    assert "0 machine identities" in page.text and "1 person loses" in page.text
    wrong = await browser.post(f"{base}/settings/delete", {"confirm": "Second"})
    assert wrong.status == 422 and "nothing was deleted" in wrong.text
    proof = await browser.post(f"{base}/settings/delete", {"confirm": base.strip("/")})
    assert proof.status == 403
    await browser.post("/prove", {"password": PASSWORD})
    gone = await browser.post(f"{base}/settings/delete", {"confirm": base.strip("/")})
    assert "Second is deleted" in gone.text and (await browser.get(base)).status == 404


async def test_an_organization_that_may_not_be_deleted_says_why(api: Api) -> None:
    browser = await signed_in(api)
    base = (await browser.get("/")).path
    identity = await api.identity(name="kept")
    await api.ok("PATCH", f"/api/v1/identities/{identity['id']}", {"hasDeleteProtection": True})
    await browser.post("/prove", {"password": PASSWORD})
    kept = await browser.post(f"{base}/settings/delete", {"confirm": base.strip("/")})
    assert kept.status == 400 and "protect" in kept.text and (await browser.get(base)).status == 200
