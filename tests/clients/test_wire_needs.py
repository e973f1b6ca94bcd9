"""What clients that the registries do not carry send, and must get back: Terraform provider, CLI, agent, operator, CSI,
Jenkins.

Each test is a walk of one client's requests with the fields that its strict decoder needs.
"""

from typing import Any

from tests.api import Api

IDENTITY_NEEDS = {"id", "name", "authMethods", "hasDeleteProtection", "createdAt", "updatedAt", "metadata"}
SECRET_NEEDS = {
    "id",
    "_id",
    "workspace",
    "environment",
    "type",
    "secretKey",
    "secretValue",
    "secretComment",
    "version",
    "createdAt",
    "updatedAt",
    "secretPath",
    "tags",
    "secretMetadata",
    "skipMultilineEncoding",
}
JUNK = {
    "temporaryMode": "",
    "temporaryRange": "",
    "temporaryAccessStartTime": "0001-01-01T00:00:00Z",
    "isTemporary": False,
}


async def project(api: Api, slug: str = "the-app") -> dict[str, Any]:
    body = {
        "projectName": "The App",
        "projectDescription": "about it",
        "slug": slug,
        "organizationSlug": "",
        "type": "secret-manager",
        "shouldCreateDefaultEnvs": True,
        "hasDeleteProtection": False,
    }
    return (await api.ok("POST", "/api/v2/workspace", body))["project"]


async def test_terraform_makes_reads_and_deletes_an_identity(api: Api) -> None:
    body = {
        "name": "tf",
        "organizationId": api.org_id,
        "role": "member",
        "hasDeleteProtection": False,
        "metadata": [{"key": "a", "value": "b"}],
    }
    made = (await api.ok("POST", "/api/v1/identities", body))["identity"]
    read = (await api.ok("GET", f"/api/v1/identities/{made['id']}"))["identity"]
    changed = (await api.ok("PATCH", f"/api/v1/identities/{made['id']}", {**body, "name": "tf2"}))["identity"]
    gone = await api.delete(f"/api/v1/identities/{made['id']}", {"identityId": made["id"]})

    assert made.keys() >= IDENTITY_NEEDS
    assert {"role", "orgId", "metadata", "identity"} <= read.keys()
    assert {"id", "name", "authMethods", "hasDeleteProtection"} <= read["identity"].keys()
    assert ("tf2", 200) == (changed["name"], gone.status_code)
    assert 404 == (await api.get(f"/api/v1/identities/{made['id']}")).status_code


async def test_terraform_reads_universal_auth_back_as_it_was_set(api: Api) -> None:
    identity = await api.identity()
    path = f"/api/v1/auth/universal-auth/identities/{identity['id']}"
    body = {
        "accessTokenTTL": 600,
        "accessTokenMaxTTL": 1200,
        "accessTokenNumUsesLimit": 3,
        "accessTokenTrustedIps": [{"ipAddress": "10.0.0.0/8"}, {"ipAddress": "10.1.2.3"}],
        "clientSecretTrustedIps": [{"ipAddress": "0.0.0.0/0"}],
    }

    made = (await api.ok("POST", path, body))["identityUniversalAuth"]
    read = (await api.ok("GET", path))["identityUniversalAuth"]
    secret = await api.ok("POST", f"{path}/client-secrets", {"description": "d", "numUsesLimit": 0, "ttl": 0})
    data = secret["clientSecretData"]
    revoked = await api.ok(
        "POST",
        f"{path}/client-secrets/{data['id']}/revoke",
        {"clientSecretId": data["id"], "identityId": identity["id"]},
    )

    assert [{"type": "ipv4", "prefix": 8, "ipAddress": "10.0.0.0"}, {"type": "ipv4", "ipAddress": "10.1.2.3"}] == read[
        "accessTokenTrustedIps"
    ]
    assert [{"type": "ipv4", "prefix": 0, "ipAddress": "0.0.0.0"}] == read["clientSecretTrustedIps"]
    assert (600, 1200, 3) == (read["accessTokenTTL"], read["accessTokenMaxTTL"], read["accessTokenNumUsesLimit"])
    assert made["clientId"] == read["clientId"]
    assert {
        "id",
        "description",
        "clientSecretPrefix",
        "clientSecretNumUses",
        "clientSecretNumUsesLimit",
        "clientSecretTTL",
        "isClientSecretRevoked",
        "createdAt",
    } <= data.keys()
    assert revoked["clientSecretData"]["isClientSecretRevoked"] is True


async def test_terraform_needs_the_data_of_a_new_token_and_reads_it_by_id(api: Api) -> None:
    identity = await api.identity()
    await api.ok("POST", f"/api/v1/auth/token-auth/identities/{identity['id']}", {})

    made = await api.ok("POST", f"/api/v1/auth/token-auth/identities/{identity['id']}/tokens", {"name": "ci"})
    read = (await api.ok("GET", f"/api/v1/auth/token-auth/tokens/{made['tokenData']['id']}"))["token"]

    assert ("ci", "ci") == (made["tokenData"]["name"], read["name"])
    assert {
        "isAccessTokenRevoked",
        "accessTokenTTL",
        "accessTokenNumUses",
        "accessTokenNumUsesLimit",
        "createdAt",
    } <= read.keys()


async def test_terraform_gets_a_project_back_wrapped_by_id_and_bare_by_slug(api: Api) -> None:
    made = await project(api)

    by_id = (await api.ok("GET", f"/api/v1/workspace/{made['id']}"))["workspace"]
    by_slug = await api.ok("GET", "/api/v2/workspace/the-app")
    newer = await api.ok("GET", "/api/v1/projects/slug/the-app")
    environment = await api.ok("GET", f"/api/v1/projects/{made['id']}/environments/slug/dev")

    assert [made["id"]] * 3 == [by_id["id"], by_slug["id"], newer["id"]]
    assert {"dev", "staging", "prod"} == {one["slug"] for one in by_id["environments"]}
    assert ("about it", "secret-manager", False) == (
        by_slug["description"],
        by_slug["type"],
        by_slug["hasDeleteProtection"],
    )
    assert {"id", "name", "slug"} <= environment.keys()


async def test_terraform_sends_junk_in_the_temporary_fields_of_a_permanent_role(api: Api) -> None:
    made, identity = await project(api), await api.identity()
    path = f"/api/v2/workspace/{made['id']}/identity-memberships/{identity['id']}"

    await api.ok("POST", path, {"roles": [{"role": "viewer", **JUNK}]})
    await api.ok("PATCH", path, {"roles": [{"role": "member", **JUNK}]})
    read = (await api.ok("GET", path))["identityMembership"]

    assert ["member"] == [role["role"] for role in read["roles"]]
    assert {"id", "name", "authMethods"} <= read["identity"].keys()


async def test_terraform_patches_an_environment_with_position_zero_when_it_means_none(api: Api) -> None:
    made = await project(api)
    new = await api.ok("POST", f"/api/v1/workspace/{made['id']}/environments", {"name": "QA", "slug": "qa"})

    await api.ok(
        "PATCH",
        f"/api/v1/workspace/{made['id']}/environments/{new['environment']['id']}",
        {"name": "QA 2", "slug": "qa", "position": 0},
    )
    read = (await api.ok("GET", f"/api/v1/workspace/environments/{new['environment']['id']}"))["environment"]

    assert ("QA 2", 4) == (read["name"], read["position"])


async def test_terraform_reads_every_secret_by_id(api: Api) -> None:
    made = await project(api)
    body = {
        "workspaceId": made["id"],
        "environment": "dev",
        "secretPath": "/",
        "type": "shared",
        "secretKey": "K",
        "secretValue": "v",
        "secretReminderNote": "",
        "secretReminderRepeatDays": 0,
        "tagIds": [],
        "secretMetadata": [],
    }
    new = (await api.ok("POST", "/api/v3/secrets/raw/K", body))["secret"]

    read = (await api.ok("GET", f"/api/v3/secrets/raw/id/{new['id']}"))["secret"]

    assert read.keys() >= SECRET_NEEDS
    assert ("v", "/", "dev") == (read["secretValue"], read["secretPath"], read["environment"])
    assert 404 == (await api.get("/api/v3/secrets/raw/id/01a203ee-9dba-7b90-b424-1f20aa43038b")).status_code


async def test_a_tag_keeps_its_name_apart_from_its_slug(api: Api) -> None:
    made = await project(api)

    tag = (
        await api.ok(
            "POST", f"/api/v1/workspace/{made['id']}/tags", {"slug": "my-tag", "name": "My Tag", "color": "#fff"}
        )
    )["workspaceTag"]
    read = (await api.ok("GET", f"/api/v1/workspace/{made['id']}/tags/{tag['id']}"))["workspaceTag"]

    assert ("my-tag", "My Tag", "#fff") == (read["slug"], read["name"], read["color"])


async def test_the_cli_lists_folders_of_a_directory_and_deletes_one_by_name(api: Api) -> None:
    made = await project(api)
    place = {"workspaceId": made["id"], "environment": "dev"}
    await api.ok("POST", "/api/v1/folders/", {**place, "name": "one", "path": "/"})
    inner = await api.ok("POST", "/api/v1/folders", {**place, "name": "two", "path": "/one", "description": ""})

    found = (await api.ok("GET", "/api/v1/folders/", query={**place, "directory": "/one"}))["folders"]
    gone = await api.delete("/api/v1/folders/two", {**place, "folderName": "two", "directory": "/one"})

    assert "/one/two" == inner["folder"]["path"]
    assert ["two"] == [folder["name"] for folder in found]
    assert {"id", "name", "envId", "createdAt", "updatedAt", "version", "parentId"} <= found[0].keys()
    assert 200 == gone.status_code


async def test_the_agent_renders_again_only_when_the_tag_of_a_list_changed(api: Api) -> None:
    made = await project(api)
    body = {"workspaceId": made["id"], "environment": "dev", "secretValue": "1"}
    await api.ok("POST", "/api/v3/secrets/raw/K", body)
    query = {
        "projectId": made["id"],
        "environment": "dev",
        "secretPath": "/",
        "includeImports": "true",
        "expandSecretReferences": "true",
    }

    first = await api.get("/api/v4/secrets", query=query)
    same = await api.get("/api/v4/secrets", query=query, headers={"if-none-match": first.headers["etag"]})
    await api.ok("PATCH", "/api/v3/secrets/raw/K", {**body, "secretValue": "2"})
    other = await api.get("/api/v4/secrets", query=query, headers={"if-none-match": first.headers["etag"]})

    assert (304, b"") == (same.status_code, same.content)
    assert 200 == other.status_code
    assert [] == first.json()["imports"]
    assert isinstance(first.json()["secrets"][0]["version"], int)


async def test_go_sends_both_keys_of_a_project_one_empty_and_rust_wants_the_imports(api: Api) -> None:
    made = await project(api)
    query = {
        "workspaceId": "",
        "workspaceSlug": "the-app",
        "environment": "dev",
        "secretPath": "/",
        "include_imports": "true",
        "recursive": "false",
    }

    found = await api.ok("GET", "/api/v3/secrets/raw", query=query)

    assert {"secrets": [], "imports": []} == found
    assert made["slug"] == "the-app"


async def test_a_login_takes_a_form_a_trailing_slash_and_an_empty_authorization_header(api: Api) -> None:
    identity = await api.identity()
    login = await api.universal(identity["id"])
    path = "/api/v1/auth/universal-auth/login"

    form = await api.client.post(path, data=login)
    slash = await api.client.post(path + "/", json=login, headers={"authorization": ""})
    padded = await api.client.post(path, json={name: f" {value}\n" for name, value in login.items()})

    assert [200] * 3 == [form.status_code, slash.status_code, padded.status_code]
    assert {"accessToken": str, "expiresIn": int, "accessTokenMaxTTL": int, "tokenType": str} == {
        k: type(v) for k, v in form.json().items()
    }
    assert not form.json()["accessToken"].startswith("st.")


async def test_the_operator_asks_the_status_and_every_error_names_its_status(api: Api) -> None:
    status = await api.get("/api/status", token=None)
    errors = [
        await api.get("/api/nowhere"),
        await api.get("/api/v1/identities/none"),
        await api.get("/api/v1/identities", token=None),
    ]

    assert "Ok" == status.json()["message"]
    for error in errors:
        assert error.headers["content-type"].startswith("application/json")
        assert error.status_code == error.json()["statusCode"]
        assert isinstance(error.json()["message"], str)


async def test_any_identity_may_ask_where_it_belongs_and_mcp_lists_its_projects(api: Api) -> None:
    made = await project(api)
    identity, token = await api.bot("no-access")
    await api.ok("POST", f"/api/v2/workspace/{made['id']}/identity-memberships/{identity['id']}", {"role": "viewer"})

    details = (await api.ok("GET", "/api/v1/identities/details", token=token))["identityDetails"]["organization"]
    listed = (await api.ok("GET", "/api/v1/workspace", token=token))["workspaces"]

    assert api.org_id == details["id"]
    assert [made["id"]] == [one["id"] for one in listed]
    assert {"id", "name", "slug", "orgId", "type", "hasDeleteProtection", "environments"} <= listed[0].keys()


async def test_terraform_makes_roles_of_objects_and_reads_them_without_drift(api: Api) -> None:
    made = await project(api)
    rules = [
        {
            "subject": "secrets",
            "action": ["readValue", "describeSecret"],
            "conditions": {"environment": {"$eq": "dev"}, "secretPath": {"$glob": "/app/**"}},
            "inverted": False,
        },
        {
            "subject": "secrets",
            "action": ["readValue"],
            "conditions": {"environment": {"$eq": "prod"}},
            "inverted": True,
        },
    ]

    role = (
        await api.ok(
            "POST",
            f"/api/v2/workspace/{made['id']}/roles",
            {"ProjectId": made["id"], "slug": "reader", "name": "Reader", "description": "", "permissions": rules},
        )
    )["role"]
    read = (await api.ok("GET", f"/api/v2/workspace/{made['id']}/roles/slug/reader"))["role"]
    org = (
        await api.ok(
            "POST",
            "/api/v1/organization/roles",
            {"slug": "auditor", "name": "Auditor", "permissions": [{"subject": "audit-logs", "action": ["read"]}]},
        )
    )["role"]

    assert rules == role["permissions"] == read["permissions"]
    assert [{"subject": "audit-logs", "action": ["read"], "inverted": False}] == org["permissions"]


async def test_a_misspelt_end_of_a_role_is_refused_and_what_was_answered_is_taken_back(api: Api) -> None:
    made, identity = await project(api), await api.identity()
    path = f"/api/v2/workspace/{made['id']}/identity-memberships/{identity['id']}"

    refused = await api.post(path, {"roles": [{"role": "viewer", "istemporary": True, "temporaryRange": "1h"}]})
    await api.ok("POST", path, {"roles": [{"role": "viewer"}]})
    held = (await api.ok("GET", path))["identityMembership"]["roles"]
    kept = await api.patch(path, {"roles": [{k: v for k, v in role.items() if "EndTime" not in k} for role in held]})

    assert (422, ["roles", 0, "istemporary"]) == (refused.status_code, refused.json()["message"][0]["path"])
    assert "isTemporary" in refused.json()["message"][0]["message"]
    assert 200 == kept.status_code
