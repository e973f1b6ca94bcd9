"""One secret: reveal, change, who was first, versions, delete."""

from typing import Any

from tests.api import Api
from tests.web.browser import Browser, Seen, signed_in
from tests.web.projects import making


async def editor(browser: Browser, made: dict[str, Any], id: str) -> Seen:
    return await browser.post(making.page_of(made, "secrets", id, "reveal"))


async def test_a_value_is_shown_only_after_it_was_asked_for_and_saved_as_the_next_version(api: Api) -> None:
    made = await making.project(api)
    id = await making.secret(api, made, "TOKEN", "value-1 <b>")
    browser = await signed_in(api)
    assert "value-1" not in (await browser.get(making.page_of(made, "secrets", id))).html
    page = await editor(browser, made, id)
    assert "value-1 &lt;b&gt;" in page.html and "${dev.TOKEN}" in page.text
    done = await browser.submit(page, making.page_of(made, "secrets", id), value="second")
    assert "version 2" in done.text and await making.value_of(api, made, "TOKEN") == "second"
    again = await browser.get(making.page_of(made, "secrets", id, "reveal"))
    assert again.path == making.page_of(made, "secrets", id) and "second" not in again.html


async def test_on_top_of_somebody_elses_change_nothing_is_written_and_the_text_is_kept(api: Api) -> None:
    made = await making.project(api)
    id = await making.secret(api, made, "TOKEN", "first")
    browser = await signed_in(api)
    page = await editor(browser, made, id)
    body = {"projectId": made["id"], "environment": "dev", "secretPath": "/", "secretValue": "theirs"}
    await api.ok("PATCH", "/api/v4/secrets/TOKEN", body)
    late = await browser.submit(page, making.page_of(made, "secrets", id), value="mine")
    assert late.status == 409 and "Somebody else was first" in late.text and ">mine</textarea>" in late.html
    assert await making.value_of(api, made, "TOKEN") == "theirs" and "theirs" not in late.html
    done = await browser.submit(late, making.page_of(made, "secrets", id))
    assert "version 3" in done.text and await making.value_of(api, made, "TOKEN") == "mine"


async def test_a_revealed_value_is_shown_with_its_references_filled_in_as_far_as_they_may_be_read(api: Api) -> None:
    made = await making.project(api)
    await making.secret(api, made, "HOST", "db-host", "prod")
    id = await making.secret(api, made, "URL", "postgres://${prod.HOST}/x")
    seen = await editor(await signed_in(api), made, id)
    assert "postgres://${prod.HOST}/x" in seen.text and "postgres://db-host/x" in seen.text
    rights = {"subject": "secrets", "action": ["describeSecret", "readValue"], "conditions": {"environment": "dev"}}
    narrow = await editor(await making.member(api, made, [rights]), made, id)
    assert narrow.status == 200 and "cannot be filled in" in narrow.text and "db-host" not in narrow.html


async def test_line_ends_stay_as_they_were_stored(api: Api) -> None:
    made = await making.project(api)
    browser = await signed_in(api)
    for key, stored, typed, expected in (
        ("LF", "a\nb\n", "a\r\nc\r\n", "a\nc\n"),
        ("CRLF", "a\r\nb", "a\r\nc", "a\r\nc"),
        ("MIXED", "a\r\nb\nc", "a\r\nb\r\nc", "a\r\nb\nc"),
    ):
        id = await making.secret(api, made, key, stored)
        page = await editor(browser, made, id)
        await browser.submit(page, making.page_of(made, "secrets", id), value=typed, comment="looked at")
        assert await making.value_of(api, made, key) == expected


async def test_a_form_in_which_nothing_was_changed_writes_nothing(api: Api) -> None:
    made = await making.project(api)
    id = await making.secret(api, made, "TOKEN", "a\nb", secretComment="c\nd")
    browser = await signed_in(api)
    page = await editor(browser, made, id)
    done = await browser.submit(page, making.page_of(made, "secrets", id), value="a\r\nb", comment="c\r\nd")
    assert "Nothing was changed" in done.text and "v1" in done.text


async def test_name_comment_and_tags_are_changed_without_the_value(api: Api) -> None:
    made = await making.project(api)
    id = await making.secret(api, made, "TOKEN", "kept")
    await making.secret(api, made, "LINK", "${TOKEN}")
    tag = (await api.ok("POST", f"/api/v1/projects/{made['id']}/tags", {"slug": "rotates", "color": ""}))["tag"]
    browser = await signed_in(api)
    page = await browser.get(making.page_of(made, "secrets", id))
    path = making.page_of(made, "secrets", id)
    await browser.submit(page, path, name="RENAMED", comment="why <i>", tag=tag["id"])
    assert await making.value_of(api, made, "RENAMED") == "kept"
    assert await making.value_of(api, made, "LINK") == "${RENAMED}"
    seen = await browser.get(path)
    assert "why &lt;i&gt;" in seen.html and "rotates" in seen.text and "LINK" in seen.text


async def test_who_may_write_and_not_read_replaces_the_value_unseen(api: Api) -> None:
    made = await making.project(api)
    id = await making.secret(api, made, "TOKEN", "hidden-value")
    browser = await making.member(api, made, [{"subject": "secrets", "action": ["describeSecret", "edit"]}])
    path = making.page_of(made, "secrets", id)
    page = await browser.get(path)
    assert "write this value and not read it" in page.text
    refused = await browser.post(making.page_of(made, "secrets", id, "reveal"))
    assert refused.status == 403 and "hidden-value" not in refused.html
    assert "Nothing was changed" in (await browser.submit(page, path)).text
    await browser.submit(page, path, value="new")
    assert await making.value_of(api, made, "TOKEN") == "new"
    await browser.submit(await browser.get(path), path, empty="true")
    assert await making.value_of(api, made, "TOKEN") == ""


async def test_versions_tell_what_changed_and_one_is_rolled_back_to(api: Api) -> None:
    made = await making.project(api)
    id = await making.secret(api, made, "TOKEN", "one\nkept")
    browser = await signed_in(api)
    path = making.page_of(made, "secrets", id)
    await browser.submit(await editor(browser, made, id), path, value="two\nkept")
    page = await browser.get(path + "/versions")
    assert "2 versions" in page.text and "value" in page.text and "kept" not in page.html.replace("are kept", "")
    shown = await browser.submit(page, path + "/versions")
    assert "<ins>+ two" in shown.html and "<del>- one" in shown.html
    done = await browser.submit(page, path + "/roll-back")
    assert "version 3 now" in done.text and await making.value_of(api, made, "TOKEN") == "one\nkept"
    late = await browser.submit(page, path + "/roll-back")
    assert late.status == 409 and await making.value_of(api, made, "TOKEN") == "one\nkept"


async def test_a_secret_is_deleted_with_its_name_and_the_password(api: Api) -> None:
    made = await making.project(api)
    id = await making.secret(api, made, "TOKEN", "one")
    await making.secret(api, made, "LINK", "${TOKEN}")
    browser = await signed_in(api)
    path = making.page_of(made, "secrets", id, "delete")
    page = await browser.get(path)
    assert "LINK" in page.text and "Roll back to an older version" in page.text
    assert (await browser.submit(page, path, name="WRONG")).status == 422
    asked = await browser.submit(page, path, name="TOKEN")
    assert await making.value_of(api, made, "TOKEN") == "one"
    done = await making.proved(browser, asked)
    assert "is deleted from dev" in done.text and await making.value_of(api, made, "TOKEN") is None


async def test_a_secret_of_another_project_is_none_here(api: Api) -> None:
    made, other = await making.project(api), await making.project(api, "Second")
    id = await making.secret(api, other, "TOKEN", "one")
    page = await (await signed_in(api)).get(making.page_of(made, "secrets", id))
    assert page.status == 404 and "TOKEN" not in page.text


async def test_a_copy_of_a_replicated_import_is_not_taken_for_the_secret_of_its_name(api: Api) -> None:
    made = await making.project(api)
    await making.secret(api, made, "TOKEN", "source", "prod")
    await making.secret(api, made, "TOKEN", "own", "dev")
    brings = {"environment": "prod", "path": "/"}
    body = {"projectId": made["id"], "environment": "dev", "path": "/", "import": brings, "isReplication": True}
    await api.ok("POST", "/api/v2/secret-imports", body)
    query = {"projectId": made["id"], "environment": "dev", "secretPath": "/", "includeImports": "true"}
    listed = await api.ok("GET", "/api/v4/secrets", query=query)
    id = listed["imports"][0]["secrets"][0]["id"]
    browser = await signed_in(api)
    path = making.page_of(made, "secrets", id)
    assert "change the secret that it was made of" in (await browser.get(path)).text
    assert (await browser.post(path, {"version": "1", "value": "stolen"})).status == 400
    assert (await browser.post(path + "/delete", {"name": "TOKEN"})).status == 400
    assert await making.value_of(api, made, "TOKEN") == "own"
