"""Each act of a project's pages, done by the calls that its text shows and by the form: with the same effect."""

from typing import Any

from tests.api import Api
from tests.web.browser import Browser
from tests.web.identities.test_identity_texts import alike, both, filled
from tests.web.operators import begin, project
from tests.web.scripts import run, text_of

SECRET = 'it\'s "quoted" $HOME `id` \\n'


async def read_secrets(api: Api, id: str) -> Any:
    """All secrets of a project by environment and key."""
    found = {}
    for slug in ("dev", "staging", "prod"):
        query = {"projectId": id, "environment": slug, "secretPath": "/"}
        for one in (await api.ok("GET", "/api/v4/secrets", query=query))["secrets"]:
            found[slug, one["secretKey"]] = (one["secretValue"], one["secretComment"], len(one["tags"]))
    return found


async def test_secrets_are_added_changed_and_deleted(api: Api) -> None:
    browser, base = await begin(api)
    values = {
        "key": "URL",
        "value": SECRET,
        "own.prod": "other",
        "comment": "why: 'x'",
        "environment": ["dev", "prod"],
        "path": "/",
    }
    read = []
    for name, by_text in (("Text", True), ("Form", False)):
        made = await project(api, f"{name}s")
        add = f"{base}/p/{made['slug']}/add"
        form = await filled(browser, add, values)
        if by_text:
            script = await text_of(browser, add, form)
            assert "quoted" not in script and "other" not in script and await read_secrets(api, made["id"]) == {}
            assert "quoted" not in await text_of(browser, add, form, "terraform")
            await run(api, script, SECRET_VALUE=SECRET, SECRET_VALUE_PROD="other")
        else:
            assert (await browser.post(add, form)).status == 200
        begun = await read_secrets(api, made["id"])
        place = {"projectId": made["id"], "environment": "dev", "secretPath": "/"}
        secret = (await api.ok("GET", "/api/v4/secrets/URL", query=place))["secret"]["id"]
        here = f"{base}/p/{made['slug']}/secrets/{secret}"
        form = (await browser.get(here)).form(here).filled({"value": "new", "name": "URL_2", "comment": "changed"})
        if by_text:
            script = await text_of(browser, here, form)
            assert '"new"' not in script
            await run(api, script, SECRET_VALUE="new")
        else:
            assert (await browser.post(here, form)).status == 200
        changed = await read_secrets(api, made["id"])
        if by_text:
            await run(api, await text_of(browser, f"{here}/delete", {}))
            assert ("dev", "URL_2") not in await read_secrets(api, made["id"])
        read.append((begun, changed))
    assert read[0] == read[1]
    assert read[0][0]["dev", "URL"][0] == SECRET and read[0][1]["dev", "URL_2"] == ("new", "changed", 0)


async def test_projects_environments_tags_and_folders(api: Api) -> None:
    browser, base = await begin(api)
    new = f"{base}/projects"
    for name in ("By text", "By form"):
        form = (await browser.get(new)).form(new).filled({"name": name, "description": "d 'q'"})
        if name == "By text":
            await run(api, await text_of(browser, new, form))
        else:
            await browser.post(new, form)
    listed = {one["name"]: one for one in (await api.ok("GET", "/api/v1/projects"))["projects"]}

    def bare(one: dict[str, Any]) -> Any:
        return {"description": one["description"], "environments": [each["slug"] for each in one["environments"]]}

    assert bare(listed["By text"]) == bare(listed["By form"]) and listed["By text"]["description"] == "d 'q'"

    async def make() -> str:
        return str((await project(api))["slug"])

    async def read(slug: str) -> Any:
        found = await api.ok("GET", f"/api/v1/projects/slug/{slug}")
        folders = await api.ok(
            "GET", "/api/v2/folders", query={"projectId": found["id"], "environment": "dev", "path": "/"}
        )
        tags = await api.ok("GET", f"/api/v1/projects/{found['id']}/tags")
        kept = {name: found[name] for name in ("name", "description")}
        kept["environments"] = [(one["name"], one["slug"]) for one in found["environments"]]
        kept["folders"] = [one["name"] for one in folders["folders"]]
        kept["tags"] = [(one["name"], one["slug"]) for one in tags["tags"]]
        return kept

    for part, values in (
        ("environments", {"name": "Preview", "slug": "preview"}),
        ("tags", {"slug": "pci", "name": "PCI <b>"}),
        ("folders", {"name": "db", "path": "/", "environment": ["dev", "prod"]}),
        ("settings", {"part": "names", "name": "Other", "description": "x"}),
    ):
        action = f"{base}/p/{{}}/{part}"
        if part == "settings":
            first = await make()
            values["slug"] = ""
            await run(api, await text_of(browser, action.format(first), {**values, "slug": first}))
            assert (await read(first))["name"] == "Other"
            continue
        after, before = await both(api, browser, make, action.format, values, read)
        assert after != before, part


async def test_a_reader_who_may_not_add_still_sees_no_secret_of_others(api: Api) -> None:
    browser, base = await begin(api)
    made = await project(api)
    place = {"projectId": made["id"], "environment": "dev", "secretPath": "/"}
    secret = (await api.ok("POST", "/api/v4/secrets/URL", {**place, "secretValue": "hidden"}))["secret"]["id"]
    here = f"{base}/p/{made['slug']}/secrets/{secret}"
    page: Browser = browser
    form = (await page.get(here)).form(here).filled({"comment": "only this"})
    script = await text_of(browser, here, form)
    assert "secretValue" not in script and "hidden" not in script and alike(script) == script
