"""The pages of folders: make in several environments, rename, delete."""

from tests.api import Api
from tests.web.browser import signed_in
from tests.web.projects import making


async def test_a_folder_is_made_in_all_environments_renamed_and_deleted_from_one(api: Api) -> None:
    made = await making.project(api)
    browser = await signed_in(api)
    path = making.page_of(made, "folders")
    done = await browser.submit(await browser.get(path), path, name="payments")
    assert "/payments is in dev, staging, prod" in done.text
    await making.secret(api, made, "TOKEN", "kept", "dev", "/payments")
    assert "payments in all environments" in (await browser.get(making.page_of(made))).text
    one = making.page_of(made, "folder")
    page = await browser.get(one + "?path=/payments")
    renamed = await browser.submit(page, one, name="money", environment=["dev", "staging"])
    assert "money in dev, staging" in renamed.text and "payments in prod" in renamed.text
    assert await making.value_of(api, made, "TOKEN", "dev", "/money") == "kept"
    asked = await browser.get(one + "/delete?path=/money&environment=dev")
    assert "1 secret" in asked.text
    assert (await browser.submit(asked, one + "/delete", name="wrong")).status == 422
    await making.proved(browser, await browser.submit(asked, one + "/delete", name="money"))
    assert await making.value_of(api, made, "TOKEN", "dev", "/money") is None


async def test_a_bad_name_and_a_path_with_dots_are_refused(api: Api) -> None:
    made = await making.project(api)
    browser = await signed_in(api)
    path = making.page_of(made, "folders")
    page = await browser.submit(await browser.get(path), path, name="a/b <i>")
    assert page.status == 422 and "letters, digits" in page.text and "a/b &lt;i&gt;" in page.html
    for bad in ("?path=/../x", "?path=//", "?path=%2F%00"):
        assert (await browser.get(path + bad)).status in (400, 422), bad
    assert (await browser.get(making.page_of(made, "folder") + "?path=/nothing")).status == 404


async def test_where_the_name_is_taken_in_one_environment_no_folder_is_renamed(api: Api) -> None:
    made = await making.project(api)
    browser = await signed_in(api)
    path, one = making.page_of(made, "folders"), making.page_of(made, "folder")
    await browser.submit(await browser.get(path), path, name="old")
    await browser.submit(await browser.get(path), path, name="taken", environment="prod")
    refused = await browser.submit(await browser.get(one + "?path=/old"), one, name="taken")
    assert refused.status == 400 and "already" in refused.text
    assert "old in dev, staging, prod" in (await browser.get(path)).text


async def test_who_may_only_read_folders_is_offered_nothing_else(api: Api) -> None:
    made = await making.project(api)
    folder = {"projectId": made["id"], "environment": "dev", "name": "here", "path": "/"}
    await api.ok("POST", "/api/v2/folders", folder)
    browser = await making.member(api, made, [{"subject": "secret-folders", "action": ["read"]}])
    page = await browser.get(making.page_of(made, "folders"))
    assert "here" in page.text and "Make folder" not in page.text
    assert "you need edit on secret-folders" in (
        await browser.get(making.page_of(made, "folder") + "?path=/here")
    ).text.replace("To rename it ", "")
    assert (await browser.post(making.page_of(made, "folders"), {"name": "x", "environment": "dev"})).status == 403
