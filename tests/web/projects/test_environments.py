"""The pages of environments: add, order, rename, delete and restore."""

from tests.api import Api
from tests.web.browser import signed_in
from tests.web.projects import making


async def test_an_environment_is_added_renamed_moved_deleted_and_restored(api: Api) -> None:
    made = await making.project(api)
    await making.secret(api, made, "TOKEN", "kept", "prod")
    browser = await signed_in(api)
    path = making.page_of(made, "environments")
    page = await browser.submit(await browser.get(path), path, name="Quality <b>", slug="qa")
    assert "Quality <b>" in page.text and "<b>" not in page.html.replace("<b>Development", "").split("Quality")[0][-3:]
    prod = next(link for link in page.links if link.startswith(path + "/") and not link.endswith("delete"))
    ids = [link.split("/")[-2] for link in page.links if link.endswith("/delete")]
    assert len(ids) == 4 and prod
    moved = await browser.post(f"{path}/{ids[2]}/move", {"to": "up"})
    assert moved.text.index("Production") < moved.text.index("Staging")
    renamed = await browser.submit(await browser.get(f"{path}/{ids[2]}"), f"{path}/{ids[2]}", name="Live", slug="prod")
    assert "Live" in renamed.text
    asked = await browser.get(f"{path}/{ids[2]}/delete")
    assert "1 secret" in asked.text
    assert (await browser.submit(asked, f"{path}/{ids[2]}/delete", name="live")).status == 422
    gone = await making.proved(browser, await browser.submit(asked, f"{path}/{ids[2]}/delete", name="prod"))
    assert "Deleted, and still kept" in gone.text
    back = await browser.submit(gone, f"{path}/{ids[2]}/restore")
    assert "Live is back" in back.text and await making.value_of(api, made, "TOKEN", "prod") == "kept"


async def test_a_slug_that_is_taken_or_wrong_is_said_and_what_was_typed_is_kept(api: Api) -> None:
    made = await making.project(api)
    browser = await signed_in(api)
    path = making.page_of(made, "environments")
    page = await browser.get(path)
    for slug, text in (("dev", "environment with this slug already"), ("No Slug", "A slug has lower-case")):
        refused = await browser.submit(page, path, name="Typed", slug=slug)
        assert refused.status in (400, 422) and text in refused.text and 'value="Typed"' in refused.html
    assert (await browser.submit(page, path, name=" ", slug="fine")).status == 422
    assert (await browser.get(f"{path}/nothing")).status == 404
    assert (await browser.post(f"{path}/nothing/restore")).status == 404


async def test_who_may_only_read_environments_is_offered_nothing_else(api: Api) -> None:
    made = await making.project(api)
    browser = await making.member(api, made, [{"subject": "environments", "action": ["read"]}])
    path = making.page_of(made, "environments")
    page = await browser.get(path)
    assert "Staging" in page.text and "Delete" not in page.text and not [f for f in page.forms if f.action == path]
    assert (await browser.post(path, {"name": "Quality", "slug": "qa"})).status == 403


async def test_who_may_not_read_environments_is_told_which_permission_is_missing(api: Api) -> None:
    made = await making.project(api)
    page = await (await making.member(api, made, [])).get(making.page_of(made, "environments"))
    assert page.status == 403 and "environments" in page.text


async def test_before_an_environment_is_deleted_it_is_said_who_imports_from_it_and_which_webhooks_it_has(
    api: Api,
) -> None:
    made = await making.project(api)
    source = {"environment": "prod", "path": "/"}
    body = {"projectId": made["id"], "environment": "dev", "path": "/", "import": source}
    await api.ok("POST", "/api/v2/secret-imports", body)
    hook = {"workspaceId": made["id"], "environment": "prod", "webhookUrl": "https://hooks.example.com/in"}
    await api.ok("POST", "/api/v1/webhooks", hook)
    ids = {item["slug"]: item["id"] for item in made["environments"]}
    browser = await signed_in(api)
    page = await browser.get(making.page_of(made, "environments", ids["prod"], "delete"))
    assert "1 folder imports from it" in page.text and "dev:/" in page.text and "1 webhook is told" in page.text
    other = await browser.get(making.page_of(made, "environments", ids["dev"], "delete"))
    assert "imports from it and would" not in other.text and "told of it alone" not in other.text
