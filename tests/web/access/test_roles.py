"""Roles as pages: the list, the editor, deleting, and for whom."""

from typing import Any

from tests.api import PASSWORD, Api
from tests.web.browser import Browser, Seen, signed_in
from tests.web.filling import fill
from tests.web.people_of import narrow
from tests.web.test_home import home_of


async def project_of(api: Api, name: str = "Shop") -> dict[str, Any]:
    reply = await api.ok("POST", "/api/v1/projects", {"projectName": name})
    return dict(reply.get("project") or reply["workspace"])


async def act(browser: Browser, page: Seen, action: str, what: str, **values: Any) -> Seen:
    return await browser.submit(page, action, act=what, **values)


async def test_a_role_is_made_of_rules_that_are_added_one_by_one(api: Api) -> None:
    browser, base, project = await signed_in(api), await home_of(api), await project_of(api)
    action = f"{base}/p/{project['slug']}/roles/new"
    page = await browser.get(action)
    page = await act(browser, page, action, "add", subject="secrets", name="Deployer")
    assert "Deployer" in page.html and page.form(action).pairs.count(("row", "0")) == 1
    page = await act(browser, page, action, "add", subject="secret-folders")
    values = {"0.action": ["describeSecret", "readValue"], "0.if.environment": "dev, staging", "1.inverted": "true"}
    page = await act(browser, page, action, "look", **values)
    assert "may see names, read values secrets in the environment dev, staging" in page.text
    assert "may never read folders" in page.text
    done = await act(browser, page, action, "save")
    assert "The role Deployer is there" in done.text
    role = (await api.ok("GET", f"/api/v1/projects/{project['id']}/roles/slug/deployer"))["role"]
    assert role["permissions"][0]["conditions"] == {"environment": {"$in": ["dev", "staging"]}}
    assert role["permissions"][1]["inverted"] is True


async def test_rules_are_moved_and_removed_before_they_are_saved(api: Api) -> None:
    known = await fill(api)
    browser, base = await signed_in(api), f"/{known['organization']}"
    action = f"{base}/p/{known['project']}/roles/{known['role_id']}"
    page = await browser.get(action)
    assert "Reader &lt;i&gt;" in page.html and "/&lt;db&gt;/**" in page.html
    page = await act(browser, page, action, "add", subject="tags")
    page = await act(browser, page, action, "up-1")
    assert [text for name, text in page.form(action).pairs if name.endswith(".subject")] == ["tags", "secrets"]
    page = await act(browser, page, action, "remove-1")
    assert "may read values secrets" in page.text and "<del>" in page.html
    done = await act(browser, page, action, "save")
    assert "is changed" in done.text


async def test_what_is_wrong_is_said_and_nothing_that_was_typed_is_lost(api: Api) -> None:
    browser, base, project = await signed_in(api), await home_of(api), await project_of(api)
    action = f"{base}/p/{project['slug']}/roles/new"
    page = await act(browser, await browser.get(action), action, "add", subject="secrets", name="X", slug="!")
    bad = await act(browser, page, action, "save", **{"0.if.secretTags": ","})
    assert bad.status == 422 and "with the tag" in bad.text and ("0.if.secretTags", ",") in bad.form(action).pairs
    none = await act(browser, page, action, "save", **{"0.action": [], "slug": "x"})
    assert none.status == 422 and "Choose at least one action" in none.text
    slug = await act(browser, page, action, "save")
    assert slug.status == 422 and "slug-wrong" in slug.ids


async def test_nobody_gives_more_than_they_hold(api: Api) -> None:
    rules = [{"subject": "role", "action": ["read", "create", "edit", "delete"]}]
    await api.ok("POST", "/api/v1/organization/roles", {"slug": "roles", "name": "Roles", "permissions": rules})
    browser, base = await narrow(api, role="roles"), await home_of(api)
    action = f"{base}/roles/new"
    page = await act(browser, await browser.get(action), action, "add", subject="audit-logs", name="Climb")
    refused = await act(browser, page, action, "save")
    assert refused.status == 403 and "Climb" in refused.html
    assert "climb" not in str(await api.ok("GET", "/api/v1/organization/roles"))


async def test_a_built_in_role_is_shown_as_sentences_and_cannot_be_changed(api: Api) -> None:
    browser, base = await signed_in(api), await home_of(api)
    page = await browser.get(f"{base}/roles")
    admin = next(link for link in page.links if link.startswith(f"{base}/roles/b11b"))
    shown = await browser.get(admin)
    assert "Built in" in shown.text and "may do everything with machine identities" in shown.text
    assert not [form for form in shown.forms if form.action == admin]
    assert (await browser.post(admin, {"act": "save", "name": "Mine", "slug": "mine"})).status == 404
    assert (await browser.get(f"{admin}/delete")).status == 404


async def test_deleting_asks_for_the_slug_and_the_password_and_says_who_holds_it(api: Api) -> None:
    browser, base = await signed_in(api), await home_of(api)
    body = {"slug": "old-role", "name": "Old", "permissions": []}
    role = (await api.ok("POST", "/api/v1/organization/roles", body))["role"]
    identity = await api.identity(role="old-role", name="holder")
    action = f"{base}/roles/{role['id']}/delete"
    page = await browser.get(action)
    assert "1 holder has it: holder" in page.text
    wrong = await browser.submit(page, action, confirm="other")
    assert wrong.status == 422 and "Type old-role" in wrong.text
    proof = await browser.submit(wrong, action, confirm="old-role")
    assert proof.status == 403 and "Is it you?" in proof.text
    again = await browser.submit(proof, "/prove", password=PASSWORD)
    held = await browser.submit(again, action)
    assert held.status == 400 and "Delete Old" in held.text
    await api.ok("PATCH", f"/api/v1/identities/{identity['id']}", {"role": "no-access"})
    done = await browser.submit(held, action, confirm="old-role")
    assert done.path == f"{base}/roles" and "is deleted" in done.text


async def test_who_may_only_read_roles_is_offered_no_change(api: Api) -> None:
    browser, base = await narrow(api, role="member"), await home_of(api)
    body = {"slug": "mine", "name": "Mine", "permissions": [{"subject": "settings", "action": ["read"]}]}
    role = (await api.ok("POST", "/api/v1/organization/roles", body))["role"]
    page = await browser.get(f"{base}/roles")
    assert "Mine" in page.text and "New role" not in page.text
    shown = await browser.get(f"{base}/roles/{role['id']}")
    assert "may read settings" in shown.text and "Save the role" not in shown.text
    assert (await browser.get(f"{base}/roles/new")).status == 403
    assert (
        await browser.post(f"{base}/roles/{role['id']}", {"act": "save", "name": "X", "slug": "mine"})
    ).status == 403


async def test_roles_of_others_are_none(api: Api) -> None:
    _, token = await api.organization("Other")
    body = {"slug": "theirs", "name": "Theirs", "permissions": []}
    role = (await api.ok("POST", "/api/v1/organization/roles", body, token=token))["role"]
    browser, base = await signed_in(api), await home_of(api)
    assert (await browser.get(f"{base}/roles/{role['id']}")).status == 404
    project = await project_of(api)
    stranger = await narrow(api, role="member")
    assert (await stranger.get(f"{base}/p/{project['slug']}/roles")).status == 404


async def test_the_preview_of_an_organization_role_says_what_its_holder_may_do(api: Api) -> None:
    browser = await signed_in(api)
    base = (await browser.get("/")).path
    rows = [("row", "0"), ("0.subject", "identity"), ("0.action", "read"), ("0.action", "edit"), ("act", "look")]
    page = await browser.post(f"{base}/roles/new", [("name", "x"), *rows])
    said = page.text.split("What somebody with it may do")[1]
    assert "machine identities" in said and "edit" in said and "delete" not in said.split("Keys")[0]
    empty = await browser.get(f"{base}/roles/new")
    assert "Nothing." in empty.text.split("What somebody with it may do")[1]
