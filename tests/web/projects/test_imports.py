"""Imports of a folder: add, order, copy again, remove."""

from typing import Any

from tests.api import Api
from tests.web.browser import Browser, Seen, signed_in
from tests.web.projects import making


async def filled(api: Api) -> tuple[dict[str, Any], Browser, str]:
    made = await making.project(api)
    for name in ("one", "two"):
        folder = {"projectId": made["id"], "environment": "prod", "name": name, "path": "/"}
        await api.ok("POST", "/api/v2/folders", folder)
        await making.secret(api, made, "SHARED", f"of {name}", "prod", f"/{name}")
    return made, await signed_in(api), making.page_of(made, "imports")


async def add(browser: Browser, to: str, path: str, **values: str) -> Seen:
    form = {"path": "/", "environment": "dev", "source": "prod", "source_path": path, **values}
    return await browser.post(to, form)


async def listed(api: Api, made: dict[str, Any]) -> list[dict[str, Any]]:
    query = {"projectId": made["id"], "environment": "dev", "path": "/"}
    found: list[dict[str, Any]] = (await api.ok("GET", "/api/v2/secret-imports", query=query))["secretImports"]
    return found


async def test_imports_are_added_ordered_and_said_to_be_shown_or_copied(api: Api) -> None:
    made, browser, to = await filled(api)
    assert "imports nothing" in (await browser.get(to)).text
    await add(browser, to, "/one")
    await add(browser, to, "/two", copy="true")
    page = await add(browser, to, "/later")
    for text in ("prod:/one", "shown as it is at any moment", "brought up to date", "no such folder"):
        assert text in page.text, text
    assert "3 imports in the whole project" in page.text and "1 needs a look" in page.text
    first = (await listed(api, made))[0]
    await browser.post(to, {"path": "/", "environment": "dev", "id": first["id"], "act": "down"})
    assert [item["importPath"] for item in await listed(api, made)] == ["/two", "/one", "/later"]
    grid = await browser.get(making.page_of(made))
    assert "from prod:/one" in grid.text
    copies = (await listed(api, made))[0]
    again = await browser.post(to, {"path": "/", "environment": "dev", "id": copies["id"], "act": "resync"})
    assert "was copied again" in again.text


async def test_copies_are_said_to_come_from_where_they_were_copied(api: Api) -> None:
    made, browser, to = await filled(api)
    await add(browser, to, "/two", copy="true")
    assert "from prod:/two" in (await browser.get(making.page_of(made))).text


async def test_a_wrong_import_is_refused_at_its_field_with_what_was_typed(api: Api) -> None:
    _, browser, to = await filled(api)
    for values, text in (
        ({"source_path": "/one/../<b>"}, "path"),
        ({"source": "nowhere"}, "nowhere"),
        ({"source": "dev", "source_path": "/"}, "cannot import itself"),
    ):
        page = await browser.post(
            to, {"path": "/", "environment": "dev", "source_path": "/one", "source": "prod", **values}
        )
        assert page.status in (400, 404, 422) and text in page.text and "<b>" not in page.html, values


async def test_an_import_is_removed_with_its_source_typed_and_the_password(api: Api) -> None:
    made, browser, to = await filled(api)
    await add(browser, to, "/one")
    own = (await listed(api, made))[0]["id"]
    page = await browser.get(f"{to}/remove?path=/&environment=dev&id={own}")
    assert "SHARED" in page.text and "of one" not in page.text
    refused = await browser.submit(page, f"{to}/remove", name="wrong")
    assert refused.status == 422 and await listed(api, made)
    done = await making.proved(browser, await browser.submit(page, f"{to}/remove", name="prod:/one"))
    assert "does not import prod:/one any more" in done.text and not await listed(api, made)
    assert (await browser.get(f"{to}/remove?path=/&environment=dev&id={own}")).status == 404


async def test_who_may_not_import_is_offered_and_allowed_nothing(api: Api) -> None:
    made, browser, to = await filled(api)
    await add(browser, to, "/one")
    own = (await listed(api, made))[0]["id"]
    rules: list[dict[str, Any]] = [
        {"subject": "secrets", "action": ["describeSecret", "readValue"]},
        {"subject": "secret-imports", "action": ["read"], "conditions": {"environment": "dev"}},
    ]
    narrow = await making.member(api, made, rules)
    page = await narrow.get(to)
    assert "prod:/one" in page.text and "Remove" not in page.text and "need create on secret-imports" in page.text
    assert "you need read on secret-imports there" in page.text
    assert (await add(narrow, to, "/two")).status == 403
    for act in ("up", "resync"):
        assert (await narrow.post(to, {"path": "/", "environment": "dev", "id": own, "act": act})).status in (400, 403)
    form = {"path": "/", "environment": "dev", "id": own, "name": "prod:/one"}
    refused = await narrow.post(f"{to}/remove", form)
    assert refused.status == 403 and len(await listed(api, made)) == 1
