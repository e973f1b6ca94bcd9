"""The pages of one identity: access, tokens, settings, and what others may not."""

from tests.api import PASSWORD, Api
from tests.web.browser import Browser
from tests.web.operators import begin, project


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
