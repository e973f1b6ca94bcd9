"""Sub-organizations: tenants of their own. A token is for one of them alone, and only members enter."""

from typing import Any

import pytest

from tests.api import Api

PATH = "/api/v1/sub-organizations"
LOGIN = "/api/v1/auth/universal-auth/login"


async def part(api: Api, name: str = "Part") -> tuple[str, str]:
    """A sub-organization, and a token of the administrator for it."""
    made = (await api.ok("POST", PATH, {"name": name}))["organization"]
    return made["id"], await api.enter(made["id"])


async def admit(api: Api, token: str, identity_id: str, role: str = "member") -> None:
    body = {"roles": [{"role": role}]}
    await api.ok("POST", f"/api/v1/organization/identity-memberships/{identity_id}", body, token=token)


async def secret_in(api: Api, token: str) -> dict[str, str]:
    """A secret in a new project of the token's organization; the query that reads it."""
    project_id = (await api.ok("POST", "/api/v1/projects", {"projectName": "P"}, token=token))["project"]["id"]
    place = {"projectId": project_id, "environment": "dev", "secretPath": "/"}
    await api.ok("POST", "/api/v4/secrets/KEY", {**place, "secretValue": "v"}, token=token)
    return place


async def read(api: Api, place: dict[str, str], token: str) -> int:
    return (await api.get("/api/v4/secrets/KEY", query=place, token=token)).status_code


async def logged_in(api: Api, login: dict[str, str], slug: Any, field: str = "organizationSlug") -> tuple[int, str]:
    body = {"clientId": login["clientId"], "clientSecret": login["clientSecret"], field: slug}
    reply = await api.post(LOGIN, body, token=None)
    return reply.status_code, reply.json().get("accessToken", "")


async def test_it_is_made_renamed_listed_and_deleted(any_api: Api) -> None:
    made = (await any_api.ok("POST", PATH, {"name": "Payments EU"}))["organization"]
    taken = await any_api.post(PATH, {"name": "x", "slug": "payments-eu"})
    odd = await any_api.post(PATH, {"name": "x", "slug": "Not A Slug"})
    changed = (await any_api.ok("PATCH", f"{PATH}/{made['id']}", {"name": "Pay", "slug": "pay"}))["organization"]
    listed = await any_api.ok("GET", PATH)
    await any_api.ok("DELETE", f"{PATH}/{made['id']}")

    assert ("payments-eu", any_api.org_id) == (made["slug"], made["parentOrgId"])
    assert (400, 422) == (taken.status_code, odd.status_code)
    assert ("Pay", "pay") == (changed["name"], changed["slug"])
    assert ([made["id"]], 1) == ([one["id"] for one in listed["organizations"]], listed["totalCount"])
    assert 0 == (await any_api.ok("GET", PATH))["totalCount"]
    assert 404 == (await any_api.delete(f"{PATH}/{made['id']}")).status_code


async def test_two_roots_have_sub_organizations_of_one_slug_and_there_is_one_level(any_api: Api) -> None:
    _, inside = await part(any_api)
    other, other_token = await any_api.organization()
    first = await any_api.post(PATH, {"name": "Part"}, token=other_token)
    below = await any_api.post(PATH, {"name": "Deeper"}, token=inside)

    assert (200, 400) == (first.status_code, below.status_code)
    assert other == first.json()["organization"]["parentOrgId"]


async def test_a_list_shows_all_parts_or_those_that_the_caller_is_in(any_api: Api) -> None:
    mine, _ = await part(any_api, "Mine")
    identity, token = await any_api.bot("no-access")
    hidden, inside = await part(any_api, "Other")
    await admit(any_api, inside, identity["id"])

    every = await any_api.ok("GET", PATH, token=token)
    accessible = await any_api.ok("GET", PATH, token=token, query={"isAccessible": "true"})
    second = await any_api.ok("GET", PATH, query={"limit": 1, "offset": 1})

    assert [mine, hidden] == [one["id"] for one in every["organizations"]]
    assert [hidden] == [one["id"] for one in accessible["organizations"]]
    assert ([hidden], 2) == ([one["id"] for one in second["organizations"]], second["totalCount"])


@pytest.mark.parametrize("field", ["organizationSlug", "subOrganizationName"])
async def test_a_login_names_the_part_that_its_token_is_for(any_api: Api, field: str) -> None:
    sub_id, inside = await part(any_api)
    identity = await any_api.identity("member")
    login = await any_api.universal(identity["id"])
    before, _ = await logged_in(any_api, login, "part", field)
    await admit(any_api, inside, identity["id"])
    status, token = await logged_in(any_api, login, "part", field)
    unknown, _ = await logged_in(any_api, login, "no-such", field)
    unproved, _ = await logged_in(any_api, login | {"clientSecret": "0" * 64}, "no-such", field)

    details = await any_api.ok("GET", "/api/v1/identities/details", token=token)
    assert (401, 200, 404, 401) == (before, status, unknown, unproved)
    assert sub_id == details["identityDetails"]["organization"]["id"]


async def test_a_token_reaches_its_own_organization_alone(any_api: Api) -> None:
    sub_id, inside = await part(any_api)
    in_root, in_sub = await secret_in(any_api, any_api.token), await secret_in(any_api, inside)
    identity = await any_api.identity("admin")
    login = await any_api.universal(identity["id"])
    await admit(any_api, inside, identity["id"], "admin")
    project = f"/memberships/identities/{identity['id']}"
    await any_api.ok("POST", f"/api/v1/projects/{in_root['projectId']}{project}", {"role": "admin"})
    await any_api.ok("POST", f"/api/v1/projects/{in_sub['projectId']}{project}", {"role": "admin"}, token=inside)
    _, root_token = await logged_in(any_api, login, None)
    _, sub_token = await logged_in(any_api, login, "part")

    assert [200, 404, 404, 200] == [
        await read(any_api, in_root, root_token),
        await read(any_api, in_sub, root_token),
        await read(any_api, in_root, sub_token),
        await read(any_api, in_sub, sub_token),
    ]
    assert [404, 200] == [await read(any_api, in_sub, any_api.token), await read(any_api, in_sub, inside)]
    assert 403 == (await any_api.get(f"/api/v1/organization/{any_api.org_id}/roles", token=sub_token)).status_code
    assert 404 == (await any_api.get(f"/api/v1/identities/{identity['id']}", token=sub_token)).status_code
    assert 403 == (await any_api.get(f"/api/v1/organization/{sub_id}/roles", token=root_token)).status_code


async def test_an_identity_that_lives_in_a_part_ignores_the_slug_and_never_reaches_the_root(any_api: Api) -> None:
    sub_id, inside = await part(any_api)
    body = {"name": "inner", "organizationId": sub_id, "role": "admin"}
    identity = (await any_api.ok("POST", "/api/v1/identities", body, token=inside))["identity"]
    base = f"/api/v1/auth/universal-auth/identities/{identity['id']}"
    client = (await any_api.ok("POST", base, {}, token=inside))["identityUniversalAuth"]["clientId"]
    secret = (await any_api.ok("POST", f"{base}/client-secrets", {}, token=inside))["clientSecret"]
    root = (await any_api.ok("GET", f"/api/v1/organization/{any_api.org_id}"))["organization"]["slug"]
    login = {"clientId": client, "clientSecret": secret}

    results = [await logged_in(any_api, login, slug) for slug in (None, root, "no-such")]

    assert [200, 200, 200] == [status for status, _ in results]
    for _, token in results:
        assert 200 == (await any_api.get(f"/api/v1/organization/{sub_id}/roles", token=token)).status_code
        assert 403 == (await any_api.get(f"/api/v1/organization/{any_api.org_id}/roles", token=token)).status_code
    refused = await any_api.post(
        f"/api/v1/organization/identity-memberships/{identity['id']}", {"roles": [{"role": "member"}]}
    )
    assert 404 == refused.status_code


async def test_a_named_token_can_be_for_a_part(any_api: Api) -> None:
    sub_id, inside = await part(any_api)
    identity = await any_api.identity("member")
    base = f"/api/v1/auth/token-auth/identities/{identity['id']}"
    await any_api.ok("POST", base, {})

    async def made(slug: str) -> Any:
        return await any_api.post(f"{base}/tokens", {"organizationSlug": slug})

    statuses = [(await made("part")).status_code, (await made("no-such")).status_code]
    await admit(any_api, inside, identity["id"])
    token, in_root = (await made("part")).json(), (await made("")).json()
    rows = (await any_api.ok("GET", f"{base}/tokens"))["tokens"]
    path = f"/api/v1/auth/token-auth/tokens/{token['tokenData']['id']}"
    alone = (await any_api.ok("GET", path))["token"]
    renamed = (await any_api.ok("PATCH", path, {"name": "of the part"}))["token"]
    token = token["accessToken"]

    assert {sub_id, None} == {row["subOrganizationId"] for row in rows}
    assert [sub_id, sub_id, None] == [row["subOrganizationId"] for row in (alone, renamed, in_root["tokenData"])]
    details = await any_api.ok("GET", "/api/v1/identities/details", token=token)
    assert [401, 404] == statuses
    assert sub_id == details["identityDetails"]["organization"]["id"]


async def test_leaving_the_part_ends_its_tokens_and_leaving_the_root_ends_all(any_api: Api) -> None:
    _, inside = await part(any_api)
    identity = await any_api.identity("member")
    login = await any_api.universal(identity["id"])
    membership = f"/api/v1/organization/identity-memberships/{identity['id']}"
    await admit(any_api, inside, identity["id"])
    _, token = await logged_in(any_api, login, "part")
    await any_api.ok("DELETE", membership, token=inside)
    left = (await any_api.get("/api/v1/identities/details", token=token)).status_code
    await admit(any_api, inside, identity["id"])
    _, token = await logged_in(any_api, login, "part")

    await any_api.ok("DELETE", membership)

    assert 401 == left
    assert 401 == (await any_api.get("/api/v1/identities/details", token=token)).status_code
    assert 404 == (await any_api.get(membership, token=inside)).status_code


async def test_roles_of_a_part_are_not_about_what_only_the_root_has(any_api: Api) -> None:
    _, inside = await part(any_api)
    body = {"slug": "odd", "name": "Odd", "permissions": [{"subject": "sub-organization", "action": ["create"]}]}

    in_root = await any_api.post("/api/v1/organization/roles", body)
    in_part = await any_api.post("/api/v1/organization/roles", body, token=inside)
    fine = {**body, "permissions": [{"subject": "identity", "action": ["read"]}]}
    role = (await any_api.ok("POST", "/api/v1/organization/roles", fine, token=inside))["role"]["id"]
    changed = await any_api.patch(
        f"/api/v1/organization/roles/{role}", {"permissions": body["permissions"]}, token=inside
    )

    assert (200, 400, 400) == (in_root.status_code, in_part.status_code, changed.status_code)
    assert "sub-organization" in in_part.text


async def test_nobody_enters_a_part_by_a_credential_of_who_is_more_there(any_api: Api) -> None:
    """Whoever manages identities of the root takes none over that holds more than the caller in a part."""
    _, inside = await part(any_api)
    strong = await any_api.identity("no-access", name="strong")
    await admit(any_api, inside, strong["id"], "admin")
    weak = await any_api.identity("no-access", name="weak")
    rules = [{"subject": "identity", "action": ["read", "edit", "delete", "edit-auth", "create-token"]}]
    await any_api.ok("POST", "/api/v1/organization/roles", {"slug": "keeper", "name": "K", "permissions": rules})
    _, keeper = await any_api.bot("keeper")

    attempts = [
        (await any_api.post(f"/api/v1/auth/universal-auth/identities/{one['id']}", {}, token=keeper)).status_code
        for one in (strong, weak)
    ]

    assert [403, 200] == attempts
    assert 403 == (await any_api.delete(f"/api/v1/identities/{strong['id']}", token=keeper)).status_code
    assert 200 == (await any_api.delete(f"/api/v1/identities/{strong['id']}")).status_code  # the root's administrator


async def test_deleting_a_root_deletes_its_parts_and_what_hangs_on_them(any_api: Api) -> None:
    root, root_token = await any_api.organization("Doomed")
    sub_id = (await any_api.ok("POST", PATH, {"name": "Part"}, token=root_token))["organization"]["id"]
    inside = await any_api.enter(sub_id)
    place = await secret_in(any_api, inside)
    body = {"name": "inner", "organizationId": sub_id, "role": "admin", "hasDeleteProtection": True}
    identity = (await any_api.ok("POST", "/api/v1/identities", body, token=inside))["identity"]["id"]
    assert 200 == await read(any_api, place, inside)

    protected = await any_api.delete(f"/api/v2/organizations/{root}", token=root_token)
    await any_api.ok("PATCH", f"/api/v1/identities/{identity}", {"hasDeleteProtection": False}, token=inside)
    await any_api.ok("DELETE", f"/api/v2/organizations/{root}", token=root_token)

    assert 400 == protected.status_code
    assert 404 == await read(any_api, place, inside)
    async with any_api.runtime.store.read() as tx:
        from sqlalchemy import select

        from watchword.store import schema

        for table, column in (("organizations", "id"), ("identities", "org_id"), ("projects", "org_id")):
            found = schema.metadata.tables[table]
            assert [] == list(await tx.all(select(found.c.id).where(found.c[column] == sub_id)))
        keys = schema.data_keys
        assert [] == list(await tx.all(select(keys.c.scope).where(keys.c.scope == f"org/{sub_id}")))


async def test_events_are_in_the_organization_that_they_are_about(any_api: Api) -> None:
    _, inside = await part(any_api)
    identity = await any_api.identity("member")
    login = await any_api.universal(identity["id"])
    await admit(any_api, inside, identity["id"])
    await logged_in(any_api, login, "part")

    async def types(token: str) -> set[str]:
        found = await any_api.ok("GET", "/api/v1/organization/audit-logs", query={"limit": 100}, token=token)
        return {one["event"]["type"] for one in found["auditLogs"]}

    in_root, in_sub = await types(any_api.token), await types(inside)
    assert "create-sub-organization" in in_root
    assert "create-identity-org-membership" in in_sub - in_root
    assert "login-identity-universal-auth" in in_sub - in_root


async def test_a_person_of_the_root_enters_a_part_only_as_its_member_and_not_while_suspended_in_the_root(
    any_api: Api,
) -> None:
    sub_id, inside = await part(any_api)
    invite = {"inviteeEmails": ["ana@example.com"], "organizationRoleSlug": "admin"}
    link = await any_api.ok("POST", "/api/v1/invite-org/signup", {**invite, "organizationId": any_api.org_id})
    token = link["completeInviteLinks"][0]["link"].partition("=")[2]
    await any_api.ok(
        "POST", "/api/v1/invite-org/accept", {"token": token, "password": "correct horse battery"}, token=None
    )
    signed = await any_api.ok(
        "POST",
        "/api/v3/auth/login",
        {"email": "ana@example.com", "password": "correct horse battery"},
        token=None,
    )

    refused = await any_api.post(
        "/api/v3/auth/select-organization", {"organizationId": sub_id}, token=signed["accessToken"]
    )

    invited = await any_api.ok("POST", "/api/v1/invite-org/signup", {**invite, "organizationId": sub_id}, token=inside)
    token = invited["completeInviteLinks"][0]["link"].partition("=")[2]
    await any_api.ok("POST", "/api/v1/invite-org/accept", {"token": token}, token=signed["accessToken"])
    entered = await any_api.enter(sub_id, signed["accessToken"])

    assert 403 == refused.status_code
    assert 200 == (await any_api.get(f"/api/v1/organization/{sub_id}", token=entered)).status_code

    members = await any_api.ok("GET", f"/api/v2/organizations/{any_api.org_id}/memberships")
    ana = next(one["id"] for one in members["users"] if one["user"]["email"] == "ana@example.com")
    base = f"/api/v2/organizations/{any_api.org_id}/memberships/{ana}"
    found = []
    for is_active in (False, True):
        await any_api.ok("PATCH", base, {"isActive": is_active})
        found.append((await any_api.get(f"/api/v1/organization/{sub_id}", token=entered)).status_code)
        found.append((await any_api.get("/api/v1/projects", token=entered)).status_code)

    assert [403, 403, 200, 200] == found
