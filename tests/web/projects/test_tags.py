"""The pages of tags."""

from tests.api import Api
from tests.web.browser import signed_in
from tests.web.projects import making


async def test_a_tag_is_added_changed_and_deleted(api: Api) -> None:
    made = await making.project(api)
    browser = await signed_in(api)
    path = making.page_of(made, "tags")
    page = await browser.get(path)
    assert "No tag yet" in page.text
    page = await browser.submit(page, path, slug="customer-data", name="Customers <b>")
    assert "Customers <b>" in page.text
    one = next(link for link in page.links if link.startswith(path + "/"))
    page = await browser.submit(await browser.get(one), one, slug="people", name="People")
    assert "people" in page.text
    page = await browser.get(one)
    assert (await browser.submit(page, one + "/delete", confirm="wrong")).status == 422
    gone = await making.proved(browser, await browser.submit(page, one + "/delete", confirm="people"))
    assert "No tag yet" in gone.text
    assert (await browser.get(one)).status == 404


async def test_a_slug_that_is_wrong_or_taken_is_said(api: Api) -> None:
    made = await making.project(api)
    browser = await signed_in(api)
    path = making.page_of(made, "tags")
    await browser.post(path, {"slug": "one"})
    for slug, text in (("one", "tag with this slug already"), ("A B", "A slug has lower-case"), ("", "")):
        page = await browser.post(path, {"slug": slug, "name": "Typed"})
        assert page.status in (400, 422) and text in page.text and 'value="Typed"' in page.html


async def test_who_may_only_read_tags_is_offered_nothing_else(api: Api) -> None:
    made = await making.project(api)
    await api.ok("POST", f"/api/v1/projects/{made['id']}/tags", {"slug": "one", "color": ""})
    browser = await making.member(api, made, [{"subject": "tags", "action": ["read"]}])
    page = await browser.get(making.page_of(made, "tags"))
    assert "one" in page.text and "Change" not in page.text and "create on tags" in page.text
    assert (await browser.post(making.page_of(made, "tags"), {"slug": "two"})).status == 403


async def test_before_a_tag_is_deleted_it_is_said_which_secrets_have_it(api: Api) -> None:
    made = await making.project(api)
    body = {"slug": "rotates", "color": "#7f4e07"}
    tag = (await api.ok("POST", f"/api/v1/projects/{made['id']}/tags", body))["tag"]
    browser = await signed_in(api)
    path = making.page_of(made, "tags", tag["id"])
    assert "No secret that you may know of has it" in (await browser.get(path)).text
    await making.secret(api, made, "TOKEN", "one", "prod", tagIds=[tag["id"]])
    assert "It is on 1 secret in prod" in (await browser.get(path)).text
