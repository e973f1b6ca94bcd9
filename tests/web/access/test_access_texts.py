"""Members and roles by the calls that their texts show and by their forms: with the same effect."""

from typing import Any

from tests.api import Api
from tests.web.identities.test_identity_texts import alike, both
from tests.web.operators import begin, project
from tests.web.people_of import narrow
from tests.web.scripts import run, text_of


async def test_members_are_added_changed_and_removed(api: Api) -> None:
    browser, base = await begin(api)
    made = await project(api)

    async def read(id: str) -> Any:
        reply = await api.get(f"/api/v1/projects/{made['id']}/memberships/identities/{id}")
        return [reply.status_code, reply.json().get("identityMembership")]

    here = f"{base}/p/{made['slug']}/access/identities"
    for number, values in enumerate(({"role": "member", "for": ""}, {"role": "admin", "for": "2h"})):
        pair = [(await api.identity(name=f"{way}-{number}"))["id"] for way in ("text", "form")]
        await run(api, await text_of(browser, here, {**values, "pick": pair[0]}))
        await browser.post(here, {**values, "pick": pair[1]})
        seen = [
            str(alike(await read(id))).replace(f"{way}-", "") for id, way in zip(pair, ("text", "form"), strict=True)
        ]
        assert seen[0] == seen[1] and values["role"] in seen[0]

    async def inside() -> str:
        identity = str((await api.identity(name="one"))["id"])
        path = f"/api/v1/projects/{made['id']}/memberships/identities/{identity}"
        await api.ok("POST", path, {"role": "viewer"})
        return identity

    def at(id: str) -> str:
        return f"{here}/{id}"

    change = {"role": "member", "for": "1h", "act": "change"}
    after, before = await both(api, browser, inside, at, change, read, is_filled=True)
    assert after != before
    after, _ = await both(api, browser, inside, lambda of: f"{here}/{of}/remove", {}, read)
    assert after[0] == 404


async def test_people_and_groups(api: Api) -> None:
    await narrow(api, role="member")
    browser, base = await begin(api)
    made = await project(api)
    group = (await api.ok("POST", "/api/v1/groups", {"name": "Team", "organizationId": api.org_id}))["id"]
    here = f"{base}/p/{made['slug']}/access"
    await run(api, await text_of(browser, f"{here}/people", {"pick": "bob@example.com", "role": "viewer"}))
    await run(api, await text_of(browser, f"{here}/groups", {"pick": group, "role": "viewer"}))
    people = (await api.ok("GET", f"/api/v1/workspace/{made['id']}/memberships"))["memberships"]
    bob = next(one for one in people if one["user"]["email"] == "bob@example.com")
    assert [role["role"] for role in bob["roles"]] == ["viewer"]
    for kind, id in (("people", bob["id"]), ("groups", group)):
        page = await browser.get(f"{here}/{kind}/{id}")
        form = page.form(f"{here}/{kind}/{id}").filled({"role": "member"})
        await run(api, await text_of(browser, f"{here}/{kind}/{id}", form))
        assert "Developer" in (await browser.get(f"{here}/{kind}")).text
        await run(api, await text_of(browser, f"{here}/{kind}/{id}/remove", {}))
        assert (await browser.get(f"{here}/{kind}/{id}")).status == 404
    for_a_time = await browser.post(
        f"{here}/people", {"pick": "bob@example.com", "role": "viewer", "for": "2h", "as_text": "1"}
    )
    assert "people are added first" in for_a_time.text


async def test_roles_of_a_project_and_of_the_organization(api: Api) -> None:
    browser, base = await begin(api)
    made = await project(api)
    rule = [
        ("row", "0"),
        ("0.subject", "secrets"),
        ("0.action", "readValue"),
        ("0.if.secretPath", "/db/**"),
        ("0.inverted", "false"),
    ]
    own = [("row", "0"), ("0.subject", "identity"), ("0.action", "read")]
    for path, api_path, rules in (
        (f"{base}/p/{made['slug']}/roles", f"/api/v1/projects/{made['id']}/roles", rule),
        (f"{base}/roles", "/api/v1/organization/roles", own),
    ):
        texts = [("description", "it's"), *rules]
        await run(api, await text_of(browser, f"{path}/new", [("name", "Text"), ("slug", ""), *texts]))
        await browser.post(f"{path}/new", [("name", "Form"), ("slug", ""), *texts, ("act", "save")])
        found = await api.ok("GET", api_path)
        by_name = {one["name"]: one for one in found.get("roles", found.get("data", {}).get("roles", []))}
        whole = [(await api.ok("GET", f"{api_path}/{by_name[name]['id']}"))["role"] for name in ("Text", "Form")]
        assert whole[0]["permissions"] == whole[1]["permissions"] != []
        assert [one["slug"] for one in whole] == ["text", "form"] and whole[0]["description"] == "it's"
        id = whole[0]["id"]
        changed = [("name", "Text"), ("slug", "text"), ("description", "other"), *rules]
        await run(api, await text_of(browser, f"{path}/{id}", changed))
        assert (await api.ok("GET", f"{api_path}/{id}"))["role"]["description"] == "other"
