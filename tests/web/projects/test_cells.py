"""Cells of the grid: open several, save them together, and what happens when others were first."""

from typing import Any

from tests.api import EMAIL, PASSWORD, Api
from tests.web.browser import Browser, Seen, signed_in
from tests.web.projects import making


async def filled(api: Api, **body: Any) -> dict[str, Any]:
    made = await making.project(api, **body)
    for environment in ("dev", "staging"):
        await making.secret(api, made, "TOKEN", f"old {environment}", environment)
    await making.secret(api, made, "URL", "line 1\nline 2")
    return made


async def opened(browser: Browser, made: dict[str, Any], *spots: str) -> Seen:
    return await browser.post(making.page_of(made, "reveal"), [("edit", spot) for spot in spots])


def area(page: Seen, name: str) -> str:
    found = [text for key, text in page.form(page_action(page)).pairs if key == name]
    assert len(found) == 1, (name, page.form(page_action(page)).pairs)
    return found[0]


def page_action(page: Seen) -> str:
    return next(form.action for form in page.forms if form.action.endswith("/reveal"))


async def save(browser: Browser, made: dict[str, Any], page: Seen, **values: str) -> Seen:
    return await browser.post(making.page_of(made, "save"), page.form(page_action(page)).filled(values))


async def test_several_cells_are_opened_filled_and_saved_together(api: Api) -> None:
    made = await filled(api)
    browser = await signed_in(api)
    page = await opened(browser, made, "dev/TOKEN", "prod/TOKEN", "dev/URL")
    assert area(page, "v.1.dev/TOKEN") == "old dev" and area(page, "v.0.prod/TOKEN") == ""
    saved = await save(browser, made, page, **{"v.1.dev/TOKEN": "new", "v.0.prod/TOKEN": "first"})
    assert saved.path == making.page_of(made) and "2 values written" in saved.text
    assert await making.value_of(api, made, "TOKEN") == "new"
    assert await making.value_of(api, made, "TOKEN", "prod") == "first"
    assert await making.value_of(api, made, "TOKEN", "staging") == "old staging"
    versions = (await api.ok("GET", f"/api/v1/projects/{made['id']}/audit-logs?eventType=update-secrets")).get(
        "auditLogs"
    )
    assert len(versions) == 1  # URL has no second version: what was not changed is not written
    assert await making.value_of(api, made, "URL") == "line 1\nline 2"


async def test_what_is_typed_stays_while_further_cells_are_opened_and_revealed(api: Api) -> None:
    made = await filled(api)
    browser = await signed_in(api)
    page = await opened(browser, made, "dev/TOKEN")
    typed = page.form(page_action(page)).filled({"v.1.dev/TOKEN": "typed <b>", "edit": "staging/TOKEN"})
    page = await browser.post(making.page_of(made, "reveal"), typed)
    assert area(page, "v.1.dev/TOKEN") == "typed <b>" and area(page, "v.1.staging/TOKEN") == "old staging"
    shown = page.form(page_action(page)).filled({"cell": "dev/URL"})
    page = await browser.post(making.page_of(made, "reveal"), shown)
    assert area(page, "v.1.dev/TOKEN") == "typed <b>" and "line 1" in page.text


async def test_a_whole_page_is_opened_without_showing_a_value(api: Api) -> None:
    made = await filled(api)
    browser = await signed_in(api)
    page = await opened(browser, made, "*")
    assert area(page, "v.1.dev/TOKEN") == "" and area(page, "v.0.prod/URL") == ""
    assert "old dev" not in page.html and "line 1" not in page.html
    await save(browser, made, page, **{"v.0.prod/URL": "only this"})
    assert await making.value_of(api, made, "TOKEN") == "old dev"
    assert await making.value_of(api, made, "URL", "prod") == "only this"


async def test_when_others_were_first_nothing_is_written_nothing_is_lost_and_both_states_are_shown(
    any_api: Api,
) -> None:
    made = await filled(any_api)
    browser = await signed_in(any_api)
    page = await opened(browser, made, "dev/TOKEN", "staging/TOKEN", "prod/TOKEN", "dev/URL")
    place = {"projectId": made["id"], "environment": "dev", "secretPath": "/"}
    await any_api.ok("PATCH", "/api/v4/secrets/TOKEN", {**place, "secretValue": "theirs"})
    await making.secret(any_api, made, "TOKEN", "their new one", "prod")
    await any_api.ok("DELETE", "/api/v4/secrets/URL", place)
    mine = {
        "v.1.dev/TOKEN": "mine",
        "v.1.staging/TOKEN": "mine too",
        "v.0.prod/TOKEN": "my new one",
        "v.1.dev/URL": "x",
    }
    late = await save(browser, made, page, **mine)
    assert late.status == 409 and "3 cells" in late.text
    for name, text in mine.items():
        assert area(late, name) == text
    for text in (
        "Version 2 now, you began with 1",
        "theirs",
        "their new one",
        "Added by others since",
        "Deleted since",
    ):
        assert text in late.text, text
    assert await making.value_of(any_api, made, "TOKEN", "staging") == "old staging"
    again = await save(browser, made, late)
    assert again.status == 409  # nothing was chosen
    chosen = {"o.dev/TOKEN": "2", "o.prod/TOKEN": "theirs", "o.dev/URL": "0"}
    done = await save(browser, made, again, **chosen)
    assert done.status == 200 and "3 values written" in done.text
    assert await making.value_of(any_api, made, "TOKEN") == "mine"
    assert await making.value_of(any_api, made, "TOKEN", "staging") == "mine too"
    assert await making.value_of(any_api, made, "TOKEN", "prod") == "their new one"
    assert await making.value_of(any_api, made, "URL") == "x"


async def test_a_value_that_cannot_be_stored_is_named_at_its_cell_and_nothing_is_written(api: Api) -> None:
    made = await filled(api)
    browser = await signed_in(api)
    page = await opened(browser, made, "dev/TOKEN", "staging/TOKEN")
    wrong = {"v.1.dev/TOKEN": "x" * 1_100_000, "v.1.staging/TOKEN": "fine"}
    refused = await save(browser, made, page, **wrong)
    assert refused.status == 422 and "At most 1048576 bytes" in refused.text
    assert area(refused, "v.1.staging/TOKEN") == "fine"
    assert await making.value_of(api, made, "TOKEN", "staging") == "old staging"


async def test_who_may_only_add_fills_missing_cells_and_changes_none(api: Api) -> None:
    made = await filled(api)
    rules: list[dict[str, Any]] = [
        {"subject": "secrets", "action": ["describeSecret"]},
        {"subject": "secrets", "action": ["create"], "conditions": {"environment": "prod"}},
    ]
    browser = await making.member(api, made, rules)
    page = await opened(browser, made, "prod/TOKEN")
    done = await save(browser, made, page, **{"v.0.prod/TOKEN": "added"})
    assert done.status == 200 and await making.value_of(api, made, "TOKEN", "prod") == "added"
    for spot, name in (
        ("dev/TOKEN", "v.1.dev/TOKEN"),
        ("prod/TOKEN", "v.1.prod/TOKEN"),
        ("dev/TOKEN", "v.0.dev/TOKEN"),
    ):
        assert (await opened(browser, made, spot)).status == 400
        refused = await browser.post(making.page_of(made, "save"), {name: "forged"})
        assert refused.status in (403, 409), (name, refused.status)
        assert ("Others were first" in refused.text) == (refused.status == 409)
    assert await making.value_of(api, made, "TOKEN") == "old dev"
    assert await making.value_of(api, made, "TOKEN", "prod") == "added"


async def test_who_may_write_without_reading_replaces_a_value_that_stays_unseen(api: Api) -> None:
    made = await filled(api)
    rules: list[dict[str, Any]] = [{"subject": "secrets", "action": ["describeSecret", "edit"]}]
    browser = await making.member(api, made, rules)
    page = await opened(browser, made, "dev/TOKEN")
    assert area(page, "v.1.dev/TOKEN") == "" and "old dev" not in page.html
    place = {"projectId": made["id"], "environment": "dev", "secretPath": "/"}
    await api.ok("PATCH", "/api/v4/secrets/TOKEN", {**place, "secretValue": "theirs"})
    late = await save(browser, made, page, **{"v.1.dev/TOKEN": "mine"})
    assert late.status == 409 and "theirs" not in late.text.split() and "you may not read what it is" in late.text


async def test_more_than_twenty_values_at_once_ask_for_the_password(api: Api) -> None:
    made = await making.project(api)
    for number in range(21):
        await making.secret(api, made, f"KEY_{number:02}", "value")
    browser = await signed_in(api)
    api.clock.forward(700)
    asked = await opened(browser, made, *[f"dev/KEY_{number:02}" for number in range(21)])
    assert asked.status == 403 and "Is it you?" in asked.text
    page = await making.proved(browser, asked)
    assert area(page, "v.1.dev/KEY_20") == "value"


async def test_a_form_that_is_not_one_of_the_page_is_refused(api: Api) -> None:
    made = await filled(api)
    browser = await signed_in(api)
    for name in ("v.x.dev/TOKEN", "v.1.dev", "v.1./TOKEN", "v."):
        assert (await browser.post(making.page_of(made, "save"), {name: "x"})).status == 422, name
    missing = await browser.post(making.page_of(made, "save"), {"v.0.nowhere/TOKEN": "x"})
    assert missing.status == 404
    assert (await browser.get(making.page_of(made, "save"))).path == making.page_of(made)


async def test_a_lost_session_loses_nothing_that_was_typed_whatever_the_keys_are_called(api: Api) -> None:
    made = await making.project(api)
    await making.secret(api, made, "DB_PASSWORD", "old")
    browser = await signed_in(api)
    page = await opened(browser, made, "dev/DB_PASSWORD", "prod/DB_PASSWORD")
    browser.client.cookies.clear()
    typed = {"v.1.dev/DB_PASSWORD": "new", "v.0.prod/DB_PASSWORD": "first"}
    login = await save(browser, made, page, **typed)
    assert login.status == 401
    again = await browser.submit(login, "/login", email=EMAIL, password=PASSWORD)
    done = await browser.post(again.forms[0].action, again.forms[0].pairs) if again.status == 200 else again
    assert "2 values written" in done.text
    assert await making.value_of(api, made, "DB_PASSWORD") == "new"
    assert await making.value_of(api, made, "DB_PASSWORD", "prod") == "first"
