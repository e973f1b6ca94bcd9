"""Service tokens: within what their maker may, in their own project, until they expire or are deleted."""

from typing import Any

from sqlalchemy import select, update

from tests.api import Api
from tests.building import UNKNOWN, folder, member, names, project
from watchword.store import schema, versions


async def make(api: Api, project_id: str, path: str = "/app/**", *permissions: str, **body: Any) -> dict[str, Any]:
    given = {
        "name": "ci",
        "workspaceId": project_id,
        "scopes": [{"environment": "dev", "secretPath": path}],
        "permissions": list(permissions or ("read", "write")),
        "expiresIn": None,
        **body,
    }
    return await api.ok("POST", "/api/v2/service-token", given)


async def test_a_service_token_tells_what_it_is(any_api: Api) -> None:
    project_id = (await project(any_api))["id"]
    made = await make(any_api, project_id, encryptedKey="k", iv="i", tag="t")

    own = await any_api.ok("GET", "/api/v2/service-token/", token=made["serviceToken"])
    listed = await any_api.ok("GET", f"/api/v1/workspace/{project_id}/service-token-data")

    assert (project_id, "k", "admin@example.com") == (own["workspace"], own["encryptedKey"], own["user"]["email"])
    assert [{"environment": "dev", "secretPath": "/app/**"}] == own["scopes"]
    assert {"serviceTokenData": [made["serviceTokenData"]]} == listed
    assert "hash" not in made["serviceTokenData"]


async def test_a_service_token_works_in_its_scopes_only(any_api: Api) -> None:
    project_id, other = (await project(any_api, "alpha"))["id"], (await project(any_api, "beta"))["id"]
    token = (await make(any_api, project_id))["serviceToken"]
    body = {"workspaceId": project_id, "environment": "dev", "name": "x", "path": "/app"}

    replies = [
        await any_api.post("/api/v1/folders", given, token=token)
        for given in (
            body,
            {**body, "path": "/app/deep"},
            {**body, "path": "/"},
            {**body, "environment": "prod"},
            {**body, "workspaceId": other},
        )
    ]
    read = await any_api.get(f"/api/v1/workspace/{project_id}", token=token)

    assert ([200, 200, 403, 403, 403], 200) == ([reply.status_code for reply in replies], read.status_code)
    assert ["/app", "/app/deep", "/app/deep/x", "/app/x"] == await names(any_api, project_id, recursive="true")


async def test_a_service_token_that_reads_does_not_write(api: Api) -> None:
    project_id = (await project(api))["id"]
    await folder(api, project_id, "x", "/app")
    token = (await make(api, project_id, "/**", "read"))["serviceToken"]

    read = await api.get(
        "/api/v2/folders", query={"projectId": project_id, "environment": "dev", "path": "/app"}, token=token
    )
    written = await api.delete(
        "/api/v1/folders/x", {"workspaceId": project_id, "environment": "dev", "path": "/app"}, token=token
    )

    assert (["x"], 403) == ([one["name"] for one in read.json()["folders"]], written.status_code)


async def test_a_service_token_ends_with_its_time_and_with_its_deletion(any_api: Api) -> None:
    project_id = (await project(any_api))["id"]
    short, long = await make(any_api, project_id, expiresIn=60), await make(any_api, project_id, expiresIn=0)
    before = [
        (await any_api.get("/api/v2/service-token", token=one["serviceToken"])).status_code for one in (short, long)
    ]

    any_api.clock.forward(61)
    await any_api.ok(
        "DELETE", f"/api/v2/service-token/{long['serviceTokenData']['id']}", token=await any_api.enter(any_api.org_id)
    )
    after = [
        (await any_api.get("/api/v2/service-token", token=one["serviceToken"])).status_code for one in (short, long)
    ]

    assert ([200, 200], [401, 401]) == (before, after)


async def test_a_service_token_is_proved_by_all_of_it(api: Api) -> None:
    project_id = (await project(api))["id"]
    token = (await make(api, project_id))["serviceToken"]
    _, token_id, _ = token.split(".")

    found = [
        (await api.get("/api/v2/service-token", token=one)).status_code
        for one in (f"st.{token_id}.{'0' * 32}", f"st.{UNKNOWN}.{'0' * 32}", "st.x", f"{token}.more.still", "st...")
    ]

    assert [401] * 5 == found


async def test_nobody_makes_a_service_token_that_may_more_than_its_maker(api: Api) -> None:
    project_id = (await project(api))["id"]
    body = {"name": "ci", "workspaceId": project_id, "permissions": ["read", "write"], "expiresIn": None}
    rules = [
        {"subject": "service-tokens", "action": ["create"]},
        {
            "subject": "secrets",
            "action": ["read", "create", "edit", "delete"],
            "conditions": {"environment": "dev", "secretPath": {"$glob": "/*"}},
        },
    ]
    person = await person_with(api, project_id, rules)  # type: ignore[arg-type]

    replies = [
        await api.post(
            "/api/v2/service-token",
            {**body, "scopes": [{"environment": environment, "secretPath": path}]},
            token=person,
        )
        for environment, path in (("dev", "/app"), ("dev", "/**"), ("dev", "/app/db"), ("prod", "/app"))
    ]

    assert [200, 403, 403, 403] == [reply.status_code for reply in replies]


async def person_with(api: Api, project_id: str, rules: list[dict[str, Any]]) -> str:
    """A token of the first person, whose rights in the project are from now on these."""
    await api.ok(
        "POST", f"/api/v1/projects/{project_id}/roles", {"slug": "narrow", "name": "narrow", "permissions": rules}
    )
    async with api.runtime.store.write() as tx:
        held, roles, own = schema.membership_roles, schema.roles, schema.memberships
        found = await tx.one(select(roles.c.id).where(roles.c.slug == "narrow"))
        member_of = await tx.one(
            select(own.c.id, own.c.actor_id).where(own.c.project_id == project_id, own.c.actor_kind == "user")
        )
        assert found is not None
        assert member_of is not None
        await tx.run(
            update(held).where(held.c.membership_id == member_of[0]).values(role="custom", custom_role_id=found[0])
        )
        tx.changed(versions.user(member_of[1]))
    return api.token


async def test_machine_identities_do_not_deal_in_service_tokens(api: Api) -> None:
    project_id = (await project(api))["id"]
    token = await member(api, project_id, "admin")

    replies = [
        await api.post("/api/v2/service-token", {}, token=token),
        await api.get(f"/api/v1/workspace/{project_id}/service-token-data", token=token),
        await api.delete(f"/api/v2/service-token/{UNKNOWN}", token=token),
        await api.get("/api/v2/service-token", token=token),
    ]

    assert [403] * 4 == [reply.status_code for reply in replies]


async def test_what_is_not_there_is_not_found(api: Api) -> None:
    project_id = (await project(api))["id"]
    body = {
        "name": "ci",
        "workspaceId": project_id,
        "scopes": [{"environment": "nope", "secretPath": "/"}],
        "expiresIn": None,
    }

    replies = [
        await api.post("/api/v2/service-token", body),
        await api.delete(f"/api/v2/service-token/{UNKNOWN}"),
        await api.post("/api/v2/service-token", {**body, "scopes": []}),
        await api.post("/api/v2/service-token", {**body, "permissions": ["admin"]}),
    ]

    assert [404, 404, 422, 422] == [reply.status_code for reply in replies]


async def test_the_fourth_part_that_the_command_prints_is_taken_and_not_read(any_api: Api) -> None:
    project_id = (await project(any_api))["id"]
    token = (await make(any_api, project_id))["serviceToken"]
    head, _, secret = token.rpartition(".")

    with_key = await any_api.ok("GET", "/api/v2/service-token", token=f"{token}.0123456789abcdef")
    refused = [
        (await any_api.get("/api/v2/service-token", token=other)).status_code
        for other in (f"{head}.{secret[:-1]}.{secret[-1]}", f"{head}..{secret}", f"{token}.a.b", head)
    ]

    assert project_id == with_key["workspace"]
    assert [401] * 4 == refused
