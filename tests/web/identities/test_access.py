"""The access of an identity: what it may do in each environment and by what, and the question that answers with a rule."""

import html
from typing import Any

from tests.api import Api
from tests.services.access.test_privileges import give
from tests.services.people.test_groups import group
from tests.web.browser import Seen
from tests.web.filling import HOSTILE
from tests.web.operators import begin, project
from tests.web.people_of import narrow


def rows(page: Seen) -> dict[str, list[str]]:
    """The rows of the first grid: of each environment, what stands in its cells."""
    table = page.html.split('<table role="table" class="t effect">')[1].split("</table>")[0]
    found = {}
    for row in table.split("<tr")[2:]:
        slug = row.split("<code>")[1].split("</code>")[0]
        found[slug] = [" ".join(_texts(cell)) for cell in row.split("<td")[1:]]
    return found


def _texts(cell: str) -> list[str]:
    texts = []
    for part in cell.replace("<", "\0<").replace(">", "\0").split("\0"):
        is_tag = part.startswith("<")
        if not is_tag and part.strip() and 'role="cell"' not in part:
            texts.append(html.unescape(part.strip()))
    return texts


async def member(api: Api, made: dict[str, Any], role: str = "viewer", name: str = "bot") -> str:
    identity = await api.identity(name=name)
    await api.ok("POST", f"/api/v1/projects/{made['id']}/memberships/identities/{identity['id']}", {"role": role})
    return str(identity["id"])


async def test_the_grid_says_what_and_by_which_source(api: Api) -> None:
    made, group_id = await project(api), await group(api)
    identity = await member(api, made)
    rule = {"subject": "secrets", "action": ["edit"], "conditions": {"environment": "prod", "secretPath": "/db"}}
    await give(api, made["id"], identity, rule, slug="extra")
    await api.ok("POST", f"/api/v1/groups/{group_id}/machine-identities/{identity}")
    await api.ok("POST", f"/api/v2/workspace/{made['id']}/groups/{group_id}", {"role": "no-access"})
    browser, base = await begin(api)

    page = await browser.get(f"{base}/identities/{identity}/access")

    assert rows(page) == {
        "dev": ["yes 1", "yes 1", "no", "no", "no"],
        "staging": ["yes 1", "yes 1", "no", "no", "no"],
        "prod": ["yes 1", "yes 1", "no", "some 2", "no"],
    }
    assert "Role Viewer" in page.text and "Privilege extra" in page.text


async def test_a_project_through_a_group_alone_is_shown_and_offers_no_change(api: Api) -> None:
    made, group_id = await project(api), await group(api)
    identity = (await api.identity())["id"]
    await api.ok("POST", f"/api/v1/groups/{group_id}/machine-identities/{identity}")
    await api.ok("POST", f"/api/v2/workspace/{made['id']}/groups/{group_id}", {"role": "viewer"})
    browser, base = await begin(api)
    page = await browser.get(f"{base}/identities/{identity}/access")
    assert "Role Viewer through the group Team" in page.text and "It is here only through groups." in page.text
    assert "Remove from project" not in page.text and "Give this role too" not in page.text


async def test_a_question_is_answered_with_the_rule_that_decided(api: Api) -> None:
    made = await project(api)
    identity = await member(api, made)
    browser, base = await begin(api)
    here = f"{base}/identities/{identity}/access"

    may = await browser.get(f"{here}?may=readValue&path=/db&in={made['id']}/prod")
    not_ = await browser.get(f"{here}?may=edit&path=/db&in={made['id']}/prod")
    wrong = await browser.get(f"{here}?may=edit&path=/db&in=nowhere/prod")

    assert "Yes." in may.text and "role viewer" in may.text
    assert "No." in not_.text and "No rule allows edit on secrets" in not_.text
    assert "The narrowest role that allows it is" in not_.text
    assert wrong.status == 200 and "You are not a member of this project" in wrong.text


async def test_a_role_is_changed_in_place_of_those_for_good(api: Api) -> None:
    made = await project(api)
    identity = await member(api, made)
    browser, base = await begin(api)
    here = f"{base}/identities/{identity}/access"

    for_two_hours = {"project": made["id"], "role": "admin", "until": "2h", "act": "give"}
    assert "admin in Billing until" in (await browser.post(here, for_two_hours)).text
    await browser.post(here, {"project": made["id"], "role": "member", "act": "change"})

    path = f"/api/v1/projects/{made['id']}/memberships/identities/{identity}"
    held = (await api.ok("GET", path))["identityMembership"]["roles"]
    assert sorted((one["role"], one["isTemporary"]) for one in held) == [("admin", True), ("member", False)]


async def test_a_disabled_identity_may_do_nothing_and_it_is_said(api: Api) -> None:
    made = await project(api)
    identity = await member(api, made, "admin")
    await api.ok("POST", f"/api/v1/identities/{identity}/disable", {})
    browser, base = await begin(api)
    page = await browser.get(f"{base}/identities/{identity}/access?may=edit&in={made['id']}/dev")
    assert "It may do nothing now" in page.text and "The identity is disabled" in page.text


async def test_who_may_not_know_is_told_what_is_missing_and_offered_nothing(api: Api) -> None:
    bob = await narrow(api, role="member")
    made = await project(api)
    identity = await member(api, made)
    admin, base = await begin(api)
    here = f"{base}/identities/{identity}/access"
    outside = await bob.get(here)
    assert outside.status == 200 and "is shown to members of the project" in outside.text
    for word in ("Add to project", "Remove from project", "Take away", "Give this role too", "May it?"):
        assert word not in outside.text, word
    assert (await bob.post(here, {"project": made["id"], "role": "admin", "act": "give"})).status in (403, 404)
    people = f"{base}/p/{made['slug']}/access/people"
    await admin.submit(await admin.get(people), people, pick="bob@example.com", role="viewer")
    inside = await bob.get(here)
    assert "yes" in inside.text and "Role Viewer" in inside.text
    for word in ("Add to project", "Remove from project", "Take away", "Give this role too"):
        assert word not in inside.text, word


async def test_hostile_names_of_projects_groups_and_identities_stay_text(api: Api) -> None:
    browser, base = await begin(api)
    for number, name in enumerate(HOSTILE):
        made = await project(api, name[:60])
        identity = await member(api, made, name=name[:255])
        page = await browser.get(f"{base}/identities/{identity}/access?may=edit&path={name[:3]}&in={made['id']}/dev")
        assert page.status == 200 and "<script>alert" not in page.html and "<img src=x" not in page.html, number
