"""Identities of the caller's organization, without its id in the request."""

from tests.api import Api
from tests.services.access.test_roles import project

BASE = "/api/v1/organization/identities"


async def test_it_is_made_read_changed_and_deleted_in_the_callers_organization(any_api: Api) -> None:
    body = {"name": "own", "role": "member", "metadata": [{"key": "team", "value": "a"}]}
    made = (await any_api.ok("POST", BASE, body))["identity"]
    read = (await any_api.ok("GET", f"{BASE}/{made['id']}"))["identity"]
    changed = await any_api.ok("PATCH", f"{BASE}/{made['id']}", {"name": "renamed", "hasDeleteProtection": True})
    protected = await any_api.delete(f"{BASE}/{made['id']}")
    await any_api.ok("PATCH", f"{BASE}/{made['id']}", {"hasDeleteProtection": False})
    role = (await any_api.ok("GET", f"/api/v1/identities/{made['id']}"))["identity"]["role"]
    await any_api.ok("DELETE", f"{BASE}/{made['id']}")
    after = await any_api.get(f"{BASE}/{made['id']}")

    assert (any_api.org_id, None, made) == (made["orgId"], made["projectId"], read)
    assert ("renamed", "a", "member") == (
        changed["identity"]["name"],
        changed["identity"]["metadata"][0]["value"],
        role,
    )
    assert (400, 404) == (protected.status_code, after.status_code)


async def test_it_takes_several_roles_of_which_one_is_permanent_and_not_both_spellings(api: Api) -> None:
    window = {
        "role": "admin",
        "isTemporary": True,
        "temporaryMode": "relative",
        "temporaryRange": "1h",
        "temporaryAccessStartTime": "2026-01-01T00:00:00Z",
    }
    made = (await api.ok("POST", BASE, {"name": "two", "roles": [{"role": "member"}, window]}))["identity"]
    membership = (await api.ok("GET", f"/api/v1/organization/identity-memberships/{made['id']}"))["identityMembership"]
    refused = [
        await api.post(BASE, {"name": "x", "roles": roles, **more})
        for roles, more in [([window], {}), ([], {}), ([{"role": "member"}], {"role": "member"})]
    ]

    assert ["member", "admin"] == [row["role"] for row in membership["roles"]]
    assert [400, 400, 400] == [reply.status_code for reply in refused]


async def test_the_list_has_only_the_organizations_own_and_pages_and_searches(any_api: Api) -> None:
    project_id = await project(any_api)
    await any_api.ok("POST", f"/api/v1/projects/{project_id}/identities", {"name": "own-project"})
    for name in ("own-a", "own-b", "other"):
        await any_api.ok("POST", BASE, {"name": name})

    page = await any_api.ok("GET", BASE, query={"search": "OWN", "limit": 1, "offset": 1})

    assert (["own-b"], 2) == ([one["name"] for one in page["identities"]], page["totalCount"])


async def test_an_identity_of_a_project_or_of_another_organization_is_not_found(api: Api) -> None:
    project_id = await project(api)
    inner = (await api.ok("POST", f"/api/v1/projects/{project_id}/identities", {"name": "own"}))["identity"]["id"]
    other_id, other = await api.organization()
    outer = (await api.ok("POST", BASE, {"name": "out"}, token=other))["identity"]
    wanted = [inner, outer["id"], "00000000-0000-4000-8000-000000000000"]

    answers = [
        await api.request(method, f"{BASE}/{id}", {} if method == "PATCH" else None)
        for id in wanted
        for method in ("GET", "PATCH", "DELETE")
    ]

    assert other_id == outer["orgId"]
    assert {(404, "There is no such identity in this organization")} == {
        (reply.status_code, reply.json()["message"]) for reply in answers
    }


async def test_an_identity_is_no_caller_of_these_routes(api: Api) -> None:
    _, token = await api.bot("admin")

    assert 403 == (await api.get(BASE, token=token)).status_code
