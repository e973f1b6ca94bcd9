"""Service tokens read and write secrets in their scopes."""

from tests.api import Api
from tests.vault import Vault


async def _token(vault: Vault, *scopes: dict[str, str], permissions: tuple[str, ...] = ("read",)) -> str:
    body = {
        "name": "t",
        "workspaceId": vault.project_id,
        "scopes": list(scopes),
        "encryptedKey": "",
        "iv": "",
        "tag": "",
        "expiresIn": None,
        "permissions": list(permissions),
    }
    return (await vault.api.ok("POST", "/api/v2/service-token", body))["serviceToken"]


async def test_a_token_with_one_scope_needs_no_place_and_honours_one(any_api: Api) -> None:
    vault = await Vault.new(any_api)
    await vault.folder("/app")
    await vault.folder("/app/deep")
    await vault.put("A", "a", path="/app")
    await vault.put("D", "d", path="/app/deep")
    await vault.put("R", "r")
    one = await _token(vault, {"environment": "dev", "secretPath": "/app"})
    tree = await _token(vault, {"environment": "dev", "secretPath": "/app/**"})

    bare = await any_api.ok("GET", "/api/v3/secrets/raw", token=one)

    assert ["A"] == [secret["secretKey"] for secret in bare["secrets"]]
    assert 403 == (await vault.call("GET", token=one)).status_code
    assert 403 == (await vault.call("GET", token=one, path="/app/deep")).status_code
    assert {"A", "D"} == set(await vault.values(token=tree, path="/app", recursive=True))
    assert "d" == await vault.value("D", token=tree, path="/app/deep")
    assert {"A"} == set(await vault.values(token=one, path="/app", api="/api/v4/secrets"))


async def test_a_token_writes_only_where_it_may_and_never_for_a_person(any_api: Api) -> None:
    vault = await Vault.new(any_api)
    await vault.put("A", "a")
    reads = await _token(vault, {"environment": "dev", "secretPath": "/"})
    writes = await _token(vault, {"environment": "dev", "secretPath": "/"}, permissions=("read", "write"))

    assert 403 == (await vault.call("POST", "B", token=reads, secretValue="b")).status_code
    assert "b" == (await vault.put("B", "b", token=writes))["secretValue"]
    assert 403 == (await vault.call("POST", "B", token=writes, env="prod", secretValue="b")).status_code
    assert 400 == (await vault.call("POST", "A", token=writes, secretValue="x", type="personal")).status_code


async def test_references_out_of_the_scope_are_refused_when_filled_in(api: Api) -> None:
    vault = await Vault.new(api)
    await vault.put("P", "canary", env="prod")
    await vault.put("A", "${prod.P}")
    token = await _token(vault, {"environment": "dev", "secretPath": "/"})

    reply = await vault.call("GET", token=token, expandSecretReferences=True)

    assert 403 == reply.status_code
    assert "canary" not in reply.text
