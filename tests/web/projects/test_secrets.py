"""The grid of secrets: what a cell says, to whom, and what is revealed."""

from pathlib import Path
from typing import Any

from tests.api import Api, running, sqlite_settings
from tests.web.browser import Browser, signed_in
from tests.web.projects import making

DESCRIBES: dict[str, Any] = {"subject": "secrets", "action": ["describeSecret"]}
READS_DEV: dict[str, Any] = {
    "subject": "secrets",
    "action": ["describeSecret", "readValue"],
    "conditions": {"environment": "dev"},
}


async def test_cells_say_same_differs_missing_reference_and_imported_and_show_no_value(api: Api) -> None:
    made = await making.project(api)
    for environment, value in (("dev", "shared-value"), ("staging", "shared-value"), ("prod", "other-value")):
        await making.secret(api, made, "TOKEN", value, environment)
    await making.secret(api, made, "LINK", "${dev.TOKEN}")
    await making.secret(api, made, "MIXED", "${dev.TOKEN}-hidden}", "dev")
    folder = {"projectId": made["id"], "environment": "prod", "name": "base", "path": "/"}
    await api.ok("POST", "/api/v2/folders", folder)
    await making.secret(api, made, "QUEUE", "imported-value", "prod", "/base")
    brings = {"environment": "prod", "path": "/base"}
    body = {"projectId": made["id"], "environment": "dev", "path": "/", "import": brings}
    await api.ok("POST", "/api/v2/secret-imports", body)
    page = await (await signed_in(api)).get(making.page_of(made))
    assert page.status == 200
    for text in ("same as dev", "differs", "missing", "${dev.TOKEN}", "prod:/base", "base"):
        assert text in page.text, text
    for value in ("shared-value", "other-value", "imported-value", "hidden}"):
        assert value not in page.html, value


async def test_who_may_only_know_the_names_sees_no_comparison(api: Api) -> None:
    made = await making.project(api)
    for environment in ("dev", "staging", "prod"):
        await making.secret(api, made, "TOKEN", "one", environment)
    browser = await making.member(api, made, [DESCRIBES, {**READS_DEV}])
    page = await browser.get(making.page_of(made))
    assert page.text.count("names only") == 3 and "same as" not in page.text  # one of them in the legend
    refused = await browser.post(making.page_of(made, "reveal"), {"cell": "prod/TOKEN"})
    assert refused.status == 400 and "one" not in refused.text.split()


async def test_who_may_know_nothing_of_a_folder_is_refused_and_of_an_environment_sees_that(api: Api) -> None:
    made = await making.project(api)
    await making.secret(api, made, "TOKEN", "one", "dev")
    await making.secret(api, made, "PRODUCTION_ONLY", "two", "prod")
    browser = await making.member(api, made, [READS_DEV])
    page = await browser.get(making.page_of(made))
    assert "TOKEN" in page.text and "not yours to see" in page.text and "PRODUCTION_ONLY" not in page.html
    missing = await browser.get(making.page_of(made) + "?path=/nothing")
    assert missing.status == 404


async def test_nobody_without_rights_sees_a_grid(api: Api) -> None:
    made = await making.project(api)
    await making.secret(api, made, "TOKEN", "one")
    page = await (await making.member(api, made, [])).get(making.page_of(made))
    assert page.status == 403 and "TOKEN" not in page.html


async def revealed(browser: Browser, made: dict[str, Any], **form: Any) -> Any:
    return await browser.post(making.page_of(made, "reveal"), form)


async def test_one_value_is_revealed_escaped_and_audited(tmp_path: Path) -> None:
    async with running(sqlite_settings(tmp_path, audit_reads="strict")) as api:
        await _one_value(api)


async def _one_value(api: Api) -> None:
    made = await making.project(api)
    await making.secret(api, made, "HTML", "</code><script>alert(1)</script>")
    browser = await signed_in(api)
    page = await revealed(browser, made, cell="dev/HTML")
    assert page.status == 200 and "<script>alert" not in page.html
    assert "</code><script>alert(1)</script>" in page.text
    assert page.headers.get("content-encoding") is None
    events = await api.ok("GET", "/api/v1/organization/audit-logs", query={"eventType": "get-secret"})
    assert any(event["event"]["metadata"].get("secretKey") == "HTML" for event in events["auditLogs"])
    assert "alert(1)" not in (await browser.get(making.page_of(made, "reveal"))).html


async def test_more_than_twenty_values_ask_for_the_password(api: Api) -> None:
    made = await making.project(api)
    for number in range(21):
        await making.secret(api, made, f"KEY_{number:02}", f"value-{number:02}")
    browser = await signed_in(api)
    assert "value-07" in (await revealed(browser, made, cell=["dev/KEY_07", "dev/KEY_08"])).html
    asked = await revealed(browser, made, column="dev")
    assert "value-00" not in asked.html
    shown = await making.proved(browser, asked)
    assert all(f"value-{number:02}" in shown.html for number in range(21))


async def test_keys_are_paged_and_found(api: Api) -> None:
    made = await making.project(api)
    secrets = [{"secretKey": f"KEY_{number:03}", "secretValue": "x"} for number in range(120)]
    body = {"projectId": made["id"], "environment": "dev", "secretPath": "/", "secrets": secrets}
    await api.ok("POST", "/api/v4/secrets/batch", body)
    browser = await signed_in(api)
    first = await browser.get(making.page_of(made))
    assert "KEY_049" in first.text and "KEY_050" not in first.text and "1 to 50 of 120" in first.text
    assert "KEY_119" in (await browser.get(making.page_of(made) + "?offset=100")).text
    assert "KEY_119" in (await browser.get(making.page_of(made) + "?size=500")).text
    found = await browser.get(making.page_of(made) + "?q=_11")
    assert "KEY_115" in found.text and "KEY_109" not in found.text
    assert "No key with" in (await browser.get(making.page_of(made) + "?q=<i>")).text
    one = await browser.get(making.page_of(made) + "?key=KEY_115")
    assert "KEY_115" in one.text and "KEY_114" not in one.text
    assert (await browser.get(making.page_of(made) + "?offset=-1&size=zz")).status == 200


async def test_only_differences_leaves_out_what_is_the_same_everywhere(api: Api) -> None:
    made = await making.project(api)
    for environment in ("dev", "staging", "prod"):
        await making.secret(api, made, "EVEN", "one", environment)
        await making.secret(api, made, "ODD", environment, environment)
    page = await (await signed_in(api)).get(making.page_of(made) + "?only=differences")
    assert "ODD" in page.text and "EVEN" not in page.text


async def test_an_empty_project_says_what_to_do(api: Api) -> None:
    made = await making.project(api)
    browser = await signed_in(api)
    page = await browser.get(making.page_of(made))
    assert "No secret in Billing" in page.text and making.page_of(made, "paste") + "?path=%2F" in page.links
    bare = await making.project(api, "Bare", shouldCreateDefaultEnvs=False)
    assert "No environment yet" in (await browser.get(making.page_of(bare))).text


async def test_who_sees_one_folder_only_is_led_to_it_from_the_closed_root(api: Api) -> None:
    made = await making.project(api)
    folder = {"projectId": made["id"], "environment": "dev", "name": "db", "path": "/"}
    await api.ok("POST", "/api/v2/folders", folder)
    await making.secret(api, made, "ROOT_ONLY", "one")
    await making.secret(api, made, "IN_DB", "two", "dev", "/db")
    inside = {"secretPath": {"$glob": "/db{,/**}"}}
    rules: list[dict[str, Any]] = [
        {"subject": "secrets", "action": ["describeSecret", "readValue"], "conditions": inside},
        {"subject": "secret-folders", "action": ["read"]},
    ]
    browser = await making.member(api, made, rules)
    root = await browser.get(making.page_of(made))
    assert root.status == 403 and "not yours to see" in root.text and "ROOT_ONLY" not in root.html
    there = next(link for link in root.links if "path=%2Fdb" in link)
    page = await browser.get(there)
    assert page.status == 200 and "IN_DB" in page.text
    typed = await browser.get(making.page_of(made) + "?path=db")
    assert "IN_DB" in typed.text


async def test_only_the_chosen_environments_are_columns_and_stay_chosen(api: Api) -> None:
    made = await making.project(api)
    for environment in ("dev", "staging", "prod"):
        await making.secret(api, made, "TOKEN", f"of-{environment}", environment)
    browser = await signed_in(api)
    page = await browser.get(making.page_of(made) + "?env=staging&env=prod")
    assert "2 of 3 environments" in page.text and "dev/TOKEN" not in page.html
    form = next(form for form in page.forms if form.action.endswith("/reveal"))
    shown = await browser.post(form.action, form.filled({"column": "*"}))
    assert "of-prod" in shown.text and "of-staging" in shown.text and "of-dev" not in shown.html
    every = await browser.get(making.page_of(made) + "?env=nowhere")
    assert "dev/TOKEN" in every.html


async def test_keys_are_paged_by_name_and_a_page_behind_the_last_is_empty(api: Api) -> None:
    made = await making.project(api)
    body = {
        "projectId": made["id"],
        "environment": "dev",
        "secretPath": "/",
        "secrets": [{"secretKey": f"KEY_{number:03}", "secretValue": "v"} for number in range(120)],
    }
    await api.ok("POST", "/api/v4/secrets/batch", body)
    browser = await signed_in(api)
    first = await browser.get(making.page_of(made))
    assert "1 to 50 of 120" in first.text and "KEY_049" in first.text and "KEY_050" not in first.text
    last = await browser.get(making.page_of(made) + "?offset=100")
    assert "KEY_119" in last.text and "101 to 120 of 120" in last.text
    assert (await browser.get(making.page_of(made) + "?offset=999999999")).status == 200


async def test_a_value_with_characters_that_are_not_seen_says_so(api: Api) -> None:
    made = await making.project(api)
    await making.secret(api, made, "PLAIN", "fine \u00fc")
    own = await making.secret(api, made, "TURNED", "\u202egnitteser")
    browser = await signed_in(api)
    page = await revealed(browser, made, column="*")
    assert page.text.count("unseen characters") == 1
    assert "may not be what it looks like" in (await browser.post(making.page_of(made, "secrets", own, "reveal"))).text
