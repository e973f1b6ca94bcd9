"""A pasted file: the preview, the write in one unit, and exports."""

from tests.api import Api
from tests.web.browser import signed_in
from tests.web.projects import making

FILE = "# a file\r\nNEW=1\r\nCHANGED=after <b>\r\nSAME=same\r\nCHANGED='after <i>'\r\n"


async def test_nothing_is_written_before_the_difference_was_seen(api: Api) -> None:
    made = await making.project(api)
    await making.secret(api, made, "CHANGED", "before-value")
    await making.secret(api, made, "SAME", "same")
    browser = await signed_in(api)
    path = making.page_of(made, "paste")
    seen = await browser.submit(await browser.get(path), path, content=FILE, environment=["dev", "prod"], act="look")
    assert "1 new" in seen.text and "1 changed" in seen.text and "1 same" in seen.text and "3 new" in seen.text
    assert "before-value" not in seen.html and await making.value_of(api, made, "NEW") is None
    done = await browser.submit(seen, path, act="write")
    assert "5 values were written" in done.text
    assert await making.value_of(api, made, "CHANGED") == "after <i>"
    assert await making.value_of(api, made, "NEW", "prod") == "1"


async def test_what_was_changed_after_the_look_is_looked_at_again(api: Api) -> None:
    made = await making.project(api)
    await making.secret(api, made, "CHANGED", "before")
    browser = await signed_in(api)
    path = making.page_of(made, "paste")
    seen = await browser.submit(await browser.get(path), path, content=FILE, environment="dev", act="look")
    body = {"projectId": made["id"], "environment": "dev", "secretPath": "/", "secretValue": "theirs"}
    await api.ok("PATCH", "/api/v4/secrets/CHANGED", body)
    late = await browser.submit(seen, path, act="write")
    assert late.status == 409 and "has changed since you looked" in late.text
    edited = await browser.submit(late, path, act="write", content="OTHER=1")
    assert edited.status == 409 and await making.value_of(api, made, "OTHER") is None
    assert await making.value_of(api, made, "CHANGED") == "theirs"
    assert "values were written" in (await browser.submit(late, path, act="write")).text


async def test_a_file_that_cannot_be_read_says_where(api: Api) -> None:
    made = await making.project(api)
    browser = await signed_in(api)
    path = making.page_of(made, "paste")
    for content, format, text in (
        ("", "dotenv", "Paste a file first"),
        ("# nothing", "dotenv", "There is no key in it"),
        ("{", "json", "JSON"),
        ("A=1", "toml", "One of"),
        ("A B=1", "dotenv", ""),
    ):
        page = await browser.post(path, {"content": content, "format": format, "environment": "dev"})
        assert page.status == 422 and text in page.text, content
    page = await browser.post(path, {"content": "A=1"})
    assert page.status == 422 and "Choose at least one environment" in page.text


async def test_who_may_not_read_a_value_does_not_learn_whether_it_is_the_same(api: Api) -> None:
    made = await making.project(api)
    await making.secret(api, made, "SAME", "same")
    rights = {"subject": "secrets", "action": ["describeSecret", "create", "edit"]}
    browser = await making.member(api, made, [rights])
    path = making.page_of(made, "paste")
    seen = await browser.post(path, {"content": "SAME=same", "environment": "dev", "act": "look"})
    assert "1 may change" in seen.text and "1 same" not in seen.text
    assert "1 value was written" in (await browser.submit(seen, path, act="write")).text


async def test_an_export_asks_for_the_password_and_is_a_file(api: Api) -> None:
    made = await making.project(api)
    await making.secret(api, made, "TOKEN", "a value")
    browser = await signed_in(api)
    path = making.page_of(made, "export")
    page = await browser.get(path)
    asked = await browser.submit(page, path, environment="dev", format="dotenv")
    file = await making.proved(browser, asked)
    assert file.html.strip() == "TOKEN='a value'"
    assert file.headers["content-disposition"] == f'attachment; filename="{made["slug"]}-dev.env"'
    assert file.headers["cache-control"] == "no-store"
    assert (await browser.submit(page, path, environment="nothing")).status == 404
    assert (await browser.submit(page, path, environment="dev", format="exe")).status == 422


async def test_keys_that_are_not_in_the_file_are_removed_only_where_that_is_asked_and_seen(any_api: Api) -> None:
    made = await making.project(any_api)
    for key, value in (("KEPT", "same"), ("OLD", "gone soon"), ("REFERS", "${OLD}")):
        await making.secret(any_api, made, key, value)
    await making.secret(any_api, made, "OLD", "prod stays", "prod")
    browser = await signed_in(any_api)
    path = making.page_of(made, "paste")
    page = await browser.get(path)
    file = "KEPT=same\nNEW=1\nREFERS='${OLD}'\n"
    left = await browser.submit(page, path, content=file, environment="dev", act="look")
    assert "removed" not in left.text.lower().replace("to be removed", "")
    seen = await browser.submit(page, path, content=file, environment="dev", remove="true", act="look")
    assert (
        "1 removed" in seen.text
        and "1 secret would be removed" in seen.text
        and "is referred to by REFERS" in seen.text
    )
    assert await making.value_of(any_api, made, "OLD") == "gone soon"
    refused = await browser.submit(seen, path, act="write", confirm="wrong")
    assert refused.status == 422 and "Type billing" in refused.text
    any_api.clock.forward(700)
    asked = await browser.submit(refused, path, act="write", confirm=made["slug"])
    done = await making.proved(browser, asked)
    assert "1 value was written, and 1 removed" in done.text
    assert await making.value_of(any_api, made, "OLD") is None and await making.value_of(any_api, made, "NEW") == "1"
    assert await making.value_of(any_api, made, "OLD", "prod") == "prod stays"


async def test_a_key_that_was_written_after_the_look_is_not_removed_and_nothing_is_written(api: Api) -> None:
    made = await making.project(api)
    await making.secret(api, made, "OLD", "before")
    browser = await signed_in(api)
    path = making.page_of(made, "paste")
    page = await browser.get(path)
    seen = await browser.submit(page, path, content="NEW=1", environment="dev", remove="true", act="look")
    body = {"projectId": made["id"], "environment": "dev", "secretPath": "/", "secretValue": "theirs"}
    await api.ok("PATCH", "/api/v4/secrets/OLD", body)
    late = await browser.submit(seen, path, act="write", confirm=made["slug"])
    assert late.status == 409 and "has changed since you looked" in late.text
    assert await making.value_of(api, made, "OLD") == "theirs" and await making.value_of(api, made, "NEW") is None


async def test_who_may_not_delete_removes_nothing_with_a_file(api: Api) -> None:
    made = await making.project(api)
    await making.secret(api, made, "OLD", "stays")
    rules = [{"subject": "secrets", "action": ["describeSecret", "readValue", "create", "edit"]}]
    browser = await making.member(api, made, rules)
    path = making.page_of(made, "paste")
    page = await browser.get(path)
    seen = await browser.submit(page, path, content="NEW=1", environment="dev", remove="true", act="look")
    assert "would be removed" not in seen.text
    await browser.submit(seen, path, act="write")
    assert await making.value_of(api, made, "OLD") == "stays" and await making.value_of(api, made, "NEW") == "1"
