"""Who is in a project: adding several, for a time, changing, removing, and for whom."""

from tests.api import Api
from tests.web.access.test_roles import project_of
from tests.web.browser import signed_in
from tests.web.filling import HOSTILE
from tests.web.people_of import narrow
from tests.web.test_home import home_of


async def test_several_identities_are_added_at_once_for_a_time(api: Api) -> None:
    browser, base, project = await signed_in(api), await home_of(api), await project_of(api)
    ids = [(await api.identity(name=name))["id"] for name in ("one", HOSTILE[0])]
    here = f"{base}/p/{project['slug']}/access/identities"
    page = await browser.get(here)
    bad = await browser.submit(page, here, pick=ids, role="viewer", **{"for": "soon"})
    assert bad.status == 422 and "for-wrong" in bad.ids
    none = await browser.submit(page, here, role="viewer")
    assert none.status == 422 and "Choose at least one identity" in none.text
    done = await browser.submit(page, here, pick=ids, role="viewer", **{"for": "2h"})
    assert "2 identities added" in done.text and "until" in done.text and HOSTILE[0] not in done.html
    found = await api.ok("GET", f"/api/v1/projects/{project['id']}/memberships/identities/{ids[0]}")
    roles = found["identityMembership"]["roles"]
    assert [(role["role"], role["isTemporary"]) for role in roles] == [("no-access", False), ("viewer", True)]


async def test_a_member_gets_one_role_more_and_is_removed(api: Api) -> None:
    browser, base, project = await signed_in(api), await home_of(api), await project_of(api)
    identity = await api.identity(name="one")
    here = f"{base}/p/{project['slug']}/access/identities"
    await browser.submit(await browser.get(here), here, pick=identity["id"], role="viewer")
    action = f"{here}/{identity['id']}"
    page = await browser.get(action)
    done = await browser.submit(page, action, act="change", role="member", **{"for": "1d"})
    assert "are changed" in done.text
    both = await browser.get(action)
    assert both.text.count("until") == 1
    gone = await browser.submit(both, action, act="change", keep=[])
    assert "are changed" in gone.text and "No Access" in gone.text
    ask = await browser.get(f"{action}/remove")
    assert "No token of it is alive" in ask.text and "It has never logged in" in ask.text
    removed = await browser.submit(ask, f"{action}/remove")
    assert "is not in" in removed.text
    assert (await browser.get(action)).status == 404


async def test_people_and_groups_are_members_too(api: Api) -> None:
    await narrow(api, role="member")
    browser, base, project = await signed_in(api), await home_of(api), await project_of(api)
    await api.ok("POST", "/api/v1/groups", {"name": "Operators", "organizationId": api.org_id})
    for kind, value in (("people", "bob@example.com"), ("groups", "")):
        here = f"{base}/p/{project['slug']}/access/{kind}"
        page = await browser.get(here)
        pick = value or next(text for text in page.html.split('name="pick" value="')[1:])[:36]
        done = await browser.submit(page, here, pick=pick, role="viewer")
        assert "added" in done.text, done.text
        action = next(link for link in done.links if link.startswith(f"{here}/") and "admin" not in link)
        assert (await browser.get(action)).status == 200
    assert (await browser.get(f"{base}/p/{project['slug']}/access/others")).status == 404


async def test_who_may_only_look_is_offered_no_change_and_makes_none(api: Api) -> None:
    bob = await narrow(api, role="member")
    browser, base, project = await signed_in(api), await home_of(api), await project_of(api)
    identity = await api.identity(name="one")
    here = f"{base}/p/{project['slug']}/access"
    people = f"{here}/people"
    await browser.submit(await browser.get(people), people, pick="bob@example.com", role="viewer")
    page = await bob.get(f"{here}/identities")
    assert page.status == 200 and "Add identities" not in page.text
    tried = await bob.post(f"{here}/identities", {"pick": identity["id"], "role": "admin"})
    assert tried.status == 403
    found = await api.get(f"/api/v1/projects/{project['id']}/memberships/identities/{identity['id']}")
    assert found.status_code == 404


async def test_people_and_groups_are_added_for_a_time_and_removed_after_a_look_at_what_they_lose(any_api: Api) -> None:
    await narrow(any_api, role="member")
    browser, base, project = await signed_in(any_api), await home_of(any_api), await project_of(any_api)
    group = (await any_api.ok("POST", "/api/v1/groups", {"name": "Operators", "organizationId": any_api.org_id}))["id"]
    await any_api.ok("POST", f"/api/v1/groups/{group}/users/bob@example.com")
    for kind, pick, text in (("people", "bob@example.com", "out of reach"), ("groups", group, "1 member of the group")):
        here = f"{base}/p/{project['slug']}/access/{kind}"
        done = await browser.submit(await browser.get(here), here, pick=pick, role="viewer", **{"for": "2h"})
        assert "added" in done.text and "until" in done.text
        action = next(link for link in done.links if link.startswith(f"{here}/"))
        if kind == "people":
            found = await any_api.ok("GET", f"/api/v1/workspace/{project['id']}/memberships")
            action = f"{here}/{next(m['id'] for m in found['memberships'] if m['user']['email'] == pick)}"
        ask = await browser.get(f"{action}/remove")
        assert text in ask.text, ask.text
        assert "is not in" in (await browser.submit(ask, f"{action}/remove")).text
        assert (await browser.get(f"{action}/remove")).status == 404


async def test_of_many_people_and_groups_a_page_is_shown_and_one_is_found(any_api: Api) -> None:
    browser, base, project = await signed_in(any_api), await home_of(any_api), await project_of(any_api)
    for number in range(60):
        await any_api.ok("POST", "/api/v1/groups", {"name": f"Group {number:02}", "organizationId": any_api.org_id})
    here = f"{base}/p/{project['slug']}/access/groups"
    first = await browser.get(here)
    assert first.html.count('name="pick"') == 20
    for text in ("Group 5", "Group 59"):
        found = await browser.get(f"{here}?who={text.replace(' ', '+')}")
        assert found.html.count('name="pick"') == (10 if text == "Group 5" else 1)
    every = [group["id"] for group in await any_api.ok("GET", f"/api/v1/groups?organizationId={any_api.org_id}")]
    for start in (0, 50):
        await browser.post(here, [("pick", id) for id in every[start : start + 50]] + [("role", "viewer")])
    page = await browser.get(here)
    assert "60 groups" in page.text and page.text.count("Change") == 50
    assert "Group 59" in (await browser.get(f"{here}?offset=50")).text
    assert "1 group" in (await browser.get(f"{here}?q=group+59")).text


async def test_who_may_not_remove_is_not_offered_it_and_refused(api: Api) -> None:
    bob = await narrow(api, role="member")
    browser, base, project = await signed_in(api), await home_of(api), await project_of(api)
    identity = await api.identity(name="one")
    here = f"{base}/p/{project['slug']}/access"
    await browser.submit(await browser.get(f"{here}/people"), f"{here}/people", pick="bob@example.com", role="viewer")
    action = f"{here}/identities"
    await browser.submit(await browser.get(action), action, pick=identity["id"], role="viewer")
    page = await bob.get(f"{action}/{identity['id']}/remove")
    assert "Remove from the project" not in page.text
    assert (await bob.post(f"{action}/{identity['id']}/remove")).status == 403
