"""The pages of one identity: access, tokens, settings, and what others may not."""

import re

import pytest

from tests.api import PASSWORD, Api
from tests.web.browser import Browser
from tests.web.operators import begin, project
from tests.web.people_of import narrow


async def test_a_leaked_token_is_stopped(api: Api) -> None:
    identity = await api.identity()
    token = await api.login(await api.universal(identity["id"]))
    browser, base = await begin(api)
    path = f"{base}/identities/{identity['id']}/tokens"
    page = await browser.get(path)
    assert "1 token alive" in page.text
    page = await browser.post(path, {"all": "true"})
    assert "No token is alive" in page.text
    assert (await api.get("/api/v1/identities/details", token=token)).status_code == 401


async def test_one_token_is_revoked_and_the_others_live(api: Api) -> None:
    identity = await api.identity()
    login = await api.universal(identity["id"])
    one, other = await api.login(login), await api.login(login)
    browser, base = await begin(api)
    path = f"{base}/identities/{identity['id']}/tokens"
    page = await browser.get(path)
    token = page.html.split('name="token" value="')[1].split('"')[0]
    assert "is revoked" in (await browser.post(path, {"token": token})).text
    codes = sorted([(await api.get("/api/v1/identities/details", token=each)).status_code for each in (one, other)])
    assert codes == [200, 401]


async def test_access_is_given_for_a_time_changed_and_taken(api: Api) -> None:
    identity, billing = await api.identity(), await project(api)
    browser, base = await begin(api)
    path = f"{base}/identities/{identity['id']}/access"
    page = await browser.post(path, {"act": "join", "project": billing["id"], "role": "viewer", "until": ""})
    assert "viewer in Billing" in page.text
    page = await browser.post(path, {"act": "give", "project": billing["id"], "role": "member", "until": "2h"})
    assert "for a time" in page.text and page.text.count("Take away") == 2
    wrong = await browser.post(path, {"act": "give", "project": billing["id"], "role": "member", "until": "soon"})
    assert wrong.status == 422 and "A duration such as 30d" in wrong.text
    held = next(
        dict(form.pairs)["held"]
        for form in page.forms
        if dict(form.pairs).get("role") == "member" and "held" in dict(form.pairs)
    )
    page = await browser.post(path, {"act": "take", "project": billing["id"], "held": held, "role": "member"})
    assert page.text.count("Take away") == 1
    held = next(dict(form.pairs)["held"] for form in page.forms if "held" in dict(form.pairs))
    last = await browser.post(path, {"act": "take", "project": billing["id"], "held": held, "role": "viewer"})
    assert last.status == 400 and "its last role there" in last.text
    page = await browser.post(path, {"act": "leave", "project": billing["id"]})
    assert "It is in no project" in page.text


async def test_a_project_is_joined_for_a_time_with_nothing_left_after_it(api: Api) -> None:
    identity, billing = await api.identity(), await project(api)
    browser, base = await begin(api)
    path = f"{base}/identities/{identity['id']}/access"
    join = {"act": "join", "project": billing["id"], "role": "viewer"}
    wrong = await browser.post(path, {**join, "until": "0"})
    assert wrong.status == 422 and "empty: always" in wrong.text
    page = await browser.post(path, {**join, "until": "2h"})
    assert page.status == 200 and "for a time" in page.text
    memberships = f"/api/v1/projects/{billing['id']}/memberships/identities/{identity['id']}"
    held = (await api.ok("GET", memberships))["identityMembership"]["roles"]
    assert [("no-access", False), ("viewer", True)] == [(one["role"], one["isTemporary"]) for one in held]


async def test_settings_are_changed_and_a_wrong_one_is_kept_for_mending(api: Api) -> None:
    identity = await api.identity(name="before")
    browser, base = await begin(api)
    path = f"{base}/identities/{identity['id']}/settings"
    page = await browser.get(path)
    filled = [
        ("name", "after"),
        ("owner", "Team"),
        ("ends", "30d"),
        ("key", "env"),
        ("value", "prod"),
        ("key", ""),
        ("value", ""),
    ]
    page = await browser.post(path, filled)
    assert "Saved" in page.text and "after" in page.text
    shown = await api.ok("GET", f"/api/v1/identities/{identity['id']}")
    assert [("env", "prod")] == [(item["key"], item["value"]) for item in shown["identity"]["metadata"]]
    again = await browser.submit(page, path)
    assert "Saved" in again.text
    wrong = await browser.submit(page, path, ends="yesterday-ish", name="typed")
    assert wrong.status == 422 and "typed" in wrong.html and 'id="ends-wrong"' in wrong.html


async def test_deleting_asks_for_the_name_and_the_password(api: Api) -> None:
    identity = await api.identity(name="old")
    browser, base = await begin(api)
    path = f"{base}/identities/{identity['id']}"
    assert "never logged in" in (await browser.get(f"{path}/settings")).text
    wrong = await browser.post(f"{path}/delete", {"confirm": "other"})
    assert wrong.status == 422 and "Nothing was deleted" in wrong.text
    asked = await browser.post(f"{path}/delete", {"confirm": "old"})
    assert "Is it you?" in asked.text
    proved = await browser.submit(asked, "/prove", password=PASSWORD)
    done = await browser.submit(proved, f"{path}/delete")
    assert "old is deleted" in done.text
    assert (await browser.get(path)).status == 404


async def test_an_identity_of_another_organization_is_none(api: Api) -> None:
    identity = await api.identity()
    other, _ = await api.organization("Other")
    browser, _ = await begin(api)
    for path in (
        "",
        "/authentication",
        "/access",
        "/tokens",
        "/activity",
        "/settings",
        "/authentication/universal-auth",
    ):
        assert (await browser.get(f"/{other}/identities/{identity['id']}{path}")).status == 404, path
    for path, form in (("/disable", {}), ("/tokens", {"all": "true"}), ("/settings", {"name": "x"})):
        assert (await browser.post(f"/{other}/identities/{identity['id']}{path}", form)).status == 404, path
    assert "Active" not in (await browser.get(f"/{other}/identities")).text


async def test_nobody_who_is_not_signed_in_sees_or_does_anything(api: Api) -> None:
    identity = await api.identity()
    _, base = await begin(api)
    stranger = Browser(api)
    for path in ("/identities", "/identities/new", f"/identities/{identity['id']}", "/denials"):
        assert (await stranger.get(base + path)).path == "/login", path
    assert (await stranger.post(f"{base}/identities/{identity['id']}/disable")).status == 401


async def test_the_tokens_of_one_client_secret_are_revoked_and_the_others_live(api: Api) -> None:
    identity = await api.identity()
    first = await api.universal(identity["id"], {"description": "runner <b>"})
    path = f"/api/v1/auth/universal-auth/identities/{identity['id']}/client-secrets"
    other = {**first, "clientSecret": (await api.ok("POST", path, {"description": "laptop"}))["clientSecret"]}
    one, two = await api.login(first), await api.login(other)
    browser, base = await begin(api)
    page = await browser.get(f"{base}/identities/{identity['id']}/tokens")
    assert "runner <b>" in page.text and "<b>" not in page.html.split("</h1>")[1].replace("<b>A revocation", "")
    row = next(part for part in page.html.split("<tr")[1:] if "laptop" in part)
    secret = row.split('name="secret" value="')[1].split('"')[0]
    await browser.post(f"{base}/identities/{identity['id']}/tokens", {"secret": secret})
    codes = [(await api.get("/api/v1/identities/details", token=each)).status_code for each in (one, two)]
    assert codes == [200, 401]
    page = await browser.get(f"{base}/identities/{identity['id']}/tokens?secret={secret}")
    assert "secret is laptop" in page.text and "No token is alive" in page.text


async def test_refusals_of_an_identity_stand_first_and_alike_ones_together(api: Api) -> None:
    identity = await api.identity()
    login = await api.universal(identity["id"], lockoutEnabled=False)
    for _ in range(3):
        await api.post("/api/v1/auth/universal-auth/login", {**login, "clientSecret": "x"}, token=None)
    browser, base = await begin(api)
    path = f"{base}/identities/{identity['id']}/activity"
    page = await browser.get(path)
    assert "3 times" in page.text and page.text.index("Refused logins") < page.text.index("What it did")
    page = await browser.get(f"{path}?kind=refused")
    assert "3 times" in page.text and "What was refused" in page.text
    other = await api.identity(name="calm")
    assert "No login was refused" in (await browser.get(f"{base}/identities/{other['id']}/activity?kind=refused")).text


ACTS_OF_EVERYBODY = ("/theme", "/sign-out", "/export", "/several")


@pytest.mark.parametrize("role", ["member", "reader", "no-access"])
async def test_a_narrow_role_is_offered_nothing_that_is_refused(api: Api, role: str) -> None:
    rules = [{"subject": "identity", "action": ["read"]}]
    await api.ok("POST", "/api/v1/organization/roles", {"slug": "reader", "name": "Reader", "permissions": rules})
    identity = await api.identity("admin", "target")
    await api.universal(identity["id"])
    login = await api.universal((await api.identity(name="other"))["id"])
    await api.login(login)
    refused = await api.post("/api/v1/auth/universal-auth/login", {**login, "clientSecret": "x"}, token=None)
    browser = await narrow(api, role=role)
    base = (await browser.get("/")).path
    here = f"{base}/identities/{identity['id']}"
    paths = ["", "/authentication", "/access", "/tokens", "/activity", "/settings", "/authentication/universal-auth"]
    pages = [f"{here}{path}" for path in paths] + [
        f"{base}/identities",
        f"{base}/identities/new",
        f"{here}/authentication/universal-auth/test",
        f"{here}/authentication/universal-auth/remove",
        f"{here}/authentication/add/aws-auth",
        f"{base}/denials",
        f"{base}/denials/{refused.json()['reqId']}",
    ]
    for path in pages:
        page = await browser.get(path)
        assert page.status in (200, 403, 404), path
        for form, source in zip(page.forms, page.html.split("<form")[1:], strict=True):
            is_own = form.action.split("?")[0].endswith(ACTS_OF_EVERYBODY)
            is_offered = re.search(r"<button(?![^>]*(\bdisabled|type=.button))", source.split("</form>")[0]) is not None
            if page.status != 200 or form.method != "post" or is_own or not is_offered:
                continue
            answer = await browser.post(form.action, form.pairs)
            assert answer.status not in (403, 404), (path, form.action)
