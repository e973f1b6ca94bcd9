"""Who has access: through roles, groups and privileges, by environment and path, and never who is disabled."""

import pytest

from tests.api import EMAIL, Api
from tests.services.access.test_privileges import give
from tests.services.access.test_roles import READ_DEV, member, project, role
from tests.services.people.test_groups import group
from watchword.services.access import access_report


async def asked(api: Api, project_id: str, **query: str) -> dict[str, tuple[list[str], list[str]]]:
    found = await api.ok("GET", f"/api/v1/projects/{project_id}/access", query=query)
    assert len(found["access"]) == found["totalCount"]
    return {one["actor"]["id"]: (one["actions"], one["sources"]) for one in found["access"]}


async def test_everybody_is_shown_with_what_gives_them_access(any_api: Api) -> None:
    project_id, group_id = await project(any_api), await group(any_api)
    await role(any_api, project_id, READ_DEV)
    by_role, _ = await member(any_api, project_id, "reader")
    by_privilege, _ = await member(any_api, project_id, "no-access")
    await give(
        any_api,
        project_id,
        by_privilege,
        {"subject": "secrets", "action": ["edit"], "conditions": {"environment": "dev"}},
        slug="extra",
    )
    by_group = (await any_api.identity(name="grouped"))["id"]
    await any_api.ok("POST", f"/api/v1/groups/{group_id}/machine-identities/{by_group}")
    await any_api.ok("POST", f"/api/v2/workspace/{project_id}/groups/{group_id}", {"role": "viewer"})

    dev = await asked(any_api, project_id, environment="dev", secretPath="/")
    prod = await asked(any_api, project_id, environment="prod", secretPath="/")

    reading = ["describeSecret", "readValue"]
    assert (reading, ["role reader"]) == dev[by_role]
    assert (["edit"], ["privilege extra"]) == dev[by_privilege]
    assert (reading, ["role viewer through group Team"]) == dev[by_group]
    assert ([], []) == prod[by_role]
    assert (reading, ["role viewer through group Team"]) == prod[by_group]


async def test_metadata_fills_rules_and_names_are_looked_at(any_api: Api) -> None:
    project_id = await project(any_api)
    rule = {
        "subject": "secrets",
        "action": ["read"],
        "conditions": {"environment": "{{identity.metadata.env}}", "secretName": {"$glob": "DB_*"}},
    }
    await role(any_api, project_id, rule)
    identity = (await any_api.identity(metadata=[{"key": "env", "value": "dev"}]))["id"]
    await any_api.ok("POST", f"/api/v1/projects/{project_id}/memberships/identities/{identity}", {"role": "reader"})

    found = [
        (await asked(any_api, project_id, **query))[identity][0]
        for query in (
            {"environment": "dev"},
            {"environment": "dev", "secretName": "DB_URL"},
            {"environment": "dev", "secretName": "KEY"},
            {"environment": "prod"},
        )
    ]

    assert [2, 2, 0, 0] == [len(actions) for actions in found]


async def test_people_are_among_them_and_pages_are_cut(any_api: Api) -> None:
    project_id = await project(any_api)
    for _ in range(3):
        await member(any_api, project_id, "viewer")

    page = await any_api.ok("GET", f"/api/v1/projects/{project_id}/access", query={"limit": 2, "offset": 2})
    one = await any_api.ok("GET", f"/api/v1/projects/{project_id}/access", query={"search": EMAIL})

    assert (2, 4) == (len(page["access"]), page["totalCount"])
    assert [("user", EMAIL, 5)] == [
        (found["actor"]["type"], found["actor"]["name"], len(found["actions"])) for found in one["access"]
    ]


async def test_a_page_whose_rules_cost_too_much_is_refused_and_a_smaller_one_answered(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(access_report, "MOST_RULES", 1)
    project_id = await project(api)
    for _ in range(2):
        identity, _ = await member(api, project_id, "no-access")
        await give(api, project_id, identity, READ_DEV, READ_DEV, slug="extra")

    refused = await api.get(f"/api/v1/projects/{project_id}/access", query={"limit": 50})
    assert 422 == refused.status_code
    assert "more than 1 rules" in refused.text
    for offset in range(2):
        one = await api.get(f"/api/v1/projects/{project_id}/access", query={"limit": 1, "offset": offset})
        assert 200 == one.status_code
