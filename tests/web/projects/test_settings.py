"""The settings of a project, and its end."""

from tests.api import Api
from tests.web.browser import signed_in
from tests.web.projects import making


async def test_names_limits_and_protection_are_saved_part_by_part(api: Api) -> None:
    made = await making.project(api)
    browser = await signed_in(api)
    path = making.page_of(made, "settings")
    done = await browser.post(
        path, {"part": "names", "name": "Money", "slug": "money-app", "description": "What we are paid with"}
    )
    assert done.path == f"{made['base']}/p/money-app/settings" and "Money" in done.text
    path = done.path
    for part, field, value in (("versions", "versions", "25"), ("audit", "days", "90d")):
        saved = await browser.post(path, {"part": part, field: value})
        assert saved.status == 200 and f'value="{value.rstrip("d")}"' in saved.html
    protected = await browser.post(path, {"part": "protection", "protected": "true"})
    assert "Switch the protection off" in protected.text and path + "/delete" not in protected.links
    refused = await browser.post(path + "/delete", {"name": "money-app"})
    assert "delete protection" in (await making.proved(browser, refused)).text


async def test_what_is_wrong_stands_beside_its_field(api: Api) -> None:
    made = await making.project(api)
    browser = await signed_in(api)
    path = making.page_of(made, "settings")
    for sent in (
        {"part": "versions", "versions": "0"},
        {"part": "versions", "versions": "many"},
        {"part": "audit", "days": "-1"},
        {"part": "names", "name": " ", "slug": made["slug"]},
        {"part": "names", "name": "x", "slug": "No Slug"},
    ):
        page = await browser.post(path, sent)
        assert page.status in (400, 422) and 'aria-invalid="true"' in page.html, sent
    assert (await browser.post(path, {"part": "nothing"})).status == 400


async def test_a_project_is_deleted_with_its_name_and_the_password(api: Api) -> None:
    made = await making.project(api)
    await making.secret(api, made, "TOKEN", "x")
    browser = await signed_in(api)
    path = making.page_of(made, "settings", "delete")
    page = await browser.get(path)
    assert "1 secret in dev" in page.text
    assert (await browser.submit(page, path, name="wrong")).status == 422
    done = await making.proved(browser, await browser.submit(page, path, name=made["slug"]))
    assert "Billing is deleted" in done.text
    assert (await browser.get(making.page_of(made))).status == 404


async def test_who_has_no_rights_sees_what_is_missing_and_changes_nothing(api: Api) -> None:
    made = await making.project(api)
    browser = await making.member(api, made, [{"subject": "settings", "action": ["read"]}])
    path = making.page_of(made, "settings")
    page = await browser.get(path)
    assert "edit on settings" in page.text and "Save" not in page.text
    for sent in ({"part": "names", "name": "x", "slug": made["slug"]}, {"part": "versions", "versions": "3"}):
        assert (await browser.post(path, sent)).status == 403
    assert (await browser.post(path + "/delete", {"name": made["slug"]})).status == 403
