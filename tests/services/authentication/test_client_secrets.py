"""Client secrets: shown once, listed until removed, found by their own identity only, ended with everything
they issued.
"""

from typing import Any

import pytest

from tests.api import Api

LOGIN = "/api/v1/auth/universal-auth/login"
FIELDS = {
    "id",
    "createdAt",
    "updatedAt",
    "isClientSecretRevoked",
    "description",
    "clientSecretPrefix",
    "clientSecretNumUses",
    "clientSecretNumUsesLimit",
    "clientSecretTTL",
    "identityUAId",
    "clientSecretLastUsedAt",
}


def path(identity: dict[str, Any]) -> str:
    return f"/api/v1/auth/universal-auth/identities/{identity['id']}/client-secrets"


async def attached(api: Api, role: str = "no-access") -> tuple[dict[str, Any], str]:
    """An identity with Universal Auth and its client id."""
    identity = await api.identity(role)
    made = await api.ok("POST", path(identity).removesuffix("/client-secrets"), {})
    return identity, made["identityUniversalAuth"]["clientId"]


async def test_a_client_secret_is_shown_once_and_known_by_its_prefix_afterwards(any_api: Api) -> None:
    identity, _ = await attached(any_api)

    made = await any_api.ok("POST", path(identity), {"description": " ci ", "ttl": 60, "numUsesLimit": 3})
    listed = await any_api.get(path(identity))
    one = await any_api.get(f"{path(identity)}/{made['clientSecretData']['id']}")

    data = made["clientSecretData"]
    assert 64 == len(made["clientSecret"])
    assert FIELDS <= set(data)
    assert ("ci", 60, 3, made["clientSecret"][:4]) == (
        data["description"],
        data["clientSecretTTL"],
        data["clientSecretNumUsesLimit"],
        data["clientSecretPrefix"],
    )
    for reply in (listed, one):
        assert made["clientSecret"] not in reply.text


async def test_uses_and_the_last_use_are_told(any_api: Api) -> None:
    identity, client_id = await attached(any_api)
    made = await any_api.ok("POST", path(identity), {})
    for _ in range(3):
        await any_api.login({"clientId": client_id, "clientSecret": made["clientSecret"]})

    (data,) = (await any_api.ok("GET", path(identity)))["clientSecretData"]

    assert (3, True) == (data["clientSecretNumUses"], data["clientSecretLastUsedAt"] is not None)


async def test_a_secret_that_ended_stays_listed_and_a_revoked_one_does_not(any_api: Api) -> None:
    """Operators look for what stopped working."""
    identity, client_id = await attached(any_api)
    spent = await any_api.ok("POST", path(identity), {"numUsesLimit": 1, "description": "spent"})
    await any_api.ok("POST", path(identity), {"ttl": 60, "description": "expired"})
    revoked = await any_api.ok("POST", path(identity), {"description": "revoked"})
    await any_api.login({"clientId": client_id, "clientSecret": spent["clientSecret"]})
    await any_api.ok("POST", f"{path(identity)}/{revoked['clientSecretData']['id']}/revoke", {})
    any_api.clock.forward(100)

    listed = await any_api.ok("GET", path(identity))
    read = await any_api.ok("GET", f"{path(identity)}/{revoked['clientSecretData']['id']}")

    assert ["spent", "expired"] == [data["description"] for data in listed["clientSecretData"]]
    assert read["clientSecretData"]["isClientSecretRevoked"] is True


async def test_a_secret_is_found_under_its_own_identity_only(any_api: Api) -> None:
    """Neither by another identity's path nor by another organization's administrator."""
    mine, client_id = await attached(any_api)
    other, _ = await attached(any_api)
    made = await any_api.ok("POST", path(mine), {})
    secret_id = made["clientSecretData"]["id"]
    _, stranger = await any_api.organization()

    replies = [
        await any_api.get(f"{path(other)}/{secret_id}"),
        await any_api.post(f"{path(other)}/{secret_id}/revoke", {}),
        await any_api.get(f"{path(mine)}/{secret_id}", token=stranger),
        await any_api.post(f"{path(mine)}/{secret_id}/revoke", {}, token=stranger),
        await any_api.get(path(mine), token=stranger),
        await any_api.post(path(mine), {}, token=stranger),
    ]

    assert {403, 404} >= {reply.status_code for reply in replies}
    assert await any_api.login({"clientId": client_id, "clientSecret": made["clientSecret"]})


async def test_revoking_ends_the_secret_and_its_tokens_and_no_others(any_api: Api) -> None:
    identity, client_id = await attached(any_api, "member")
    first, second = [await any_api.ok("POST", path(identity), {}) for _ in range(2)]
    tokens = [
        await any_api.login({"clientId": client_id, "clientSecret": made["clientSecret"]}) for made in (first, second)
    ]

    await any_api.ok("POST", f"{path(identity)}/{first['clientSecretData']['id']}/revoke", {})

    used = [(await any_api.get(f"/api/v1/identities/{identity['id']}", token=token)).status_code for token in tokens]
    logins = [
        (
            await any_api.post(LOGIN, {"clientId": client_id, "clientSecret": made["clientSecret"]}, token=None)
        ).status_code
        for made in (first, second)
    ]
    assert ([401, 200], [401, 200]) == (used, logins)


@pytest.mark.parametrize(
    "body",
    [
        {"ttl": -1},
        {"ttl": 1.5},
        {"ttl": "soon"},
        {"ttl": 10**12},
        {"numUsesLimit": -1},
        {"numUsesLimit": 0.5},
        {"numUsesLimit": 2**53},
        {"description": "x" * 256},
        {"description": 7},
    ],
)
async def test_what_makes_no_sense_is_refused_with_its_field(api: Api, body: dict[str, Any]) -> None:
    identity, _ = await attached(api)

    reply = await api.post(path(identity), body)

    assert (422, list(body)) == (reply.status_code, [issue["path"][0] for issue in reply.json()["message"]])


async def test_an_identity_without_the_method_has_no_client_secrets(api: Api) -> None:
    identity = await api.identity()

    assert {400, 404} >= {(await api.get(path(identity))).status_code, (await api.post(path(identity), {})).status_code}


async def test_nobody_makes_a_credential_of_something_stronger(any_api: Api) -> None:
    """A member who could make a client secret of an administrator would be one."""
    strong, _ = await attached(any_api, "admin")
    rules = [{"subject": "identity", "action": ["read", "create", "edit", "delete"]}]
    await any_api.ok(
        "POST",
        f"/api/v1/organization/{any_api.org_id}/roles",
        {"slug": "keeper", "name": "Keeper", "permissions": rules},
    )
    _, keeper = await any_api.bot("keeper")

    replies = [await any_api.post(path(strong), {}, token=keeper), await any_api.get(path(strong), token=keeper)]

    assert {403} == {reply.status_code for reply in replies}
    weak, _ = await attached(any_api)
    assert 200 == (await any_api.post(path(weak), {}, token=keeper)).status_code


async def test_two_secrets_are_never_alike(api: Api) -> None:
    identity, _ = await attached(api)

    made = [(await api.ok("POST", path(identity), {}))["clientSecret"] for _ in range(50)]

    assert 50 == len(set(made))


async def test_a_misspelt_limit_of_a_client_secret_is_refused_with_the_name_that_was_meant(api: Api) -> None:
    identity = await api.identity()
    await api.universal(identity["id"])
    path = f"/api/v1/auth/universal-auth/identities/{identity['id']}/client-secrets"

    reply = await api.post(path, {"numUseLimit": 1})
    taken = await api.post(path, {"numUsesLimit": 1, "identityId": identity["id"]})

    assert (422, ["numUseLimit"], 200) == (reply.status_code, reply.json()["message"][0]["path"], taken.status_code)
    assert "numUsesLimit" in reply.json()["message"][0]["message"]


async def test_a_client_secret_shows_its_state_and_its_end(any_api: Api) -> None:
    identity, client_id = await attached(any_api)
    bodies = {"active": {}, "used-up": {"numUsesLimit": 1}, "expired": {"ttl": 60}, "revoked": {}}
    made = {state: await any_api.ok("POST", path(identity), body) for state, body in bodies.items()}
    login = {"clientId": client_id, "clientSecret": made["used-up"]["clientSecret"]}
    await any_api.ok("POST", LOGIN, login, token=None)
    gone = await any_api.ok("POST", f"{path(identity)}/{made['revoked']['clientSecretData']['id']}/revoke")
    any_api.clock.forward(61)

    listed = (await any_api.ok("GET", path(identity)))["clientSecretData"]

    assert {"active"} == {one["clientSecretData"]["state"] for one in made.values()}
    assert "revoked" == gone["clientSecretData"]["state"]
    assert {made[state]["clientSecretData"]["id"]: state for state in ("active", "used-up", "expired")} == {
        one["id"]: one["state"] for one in listed
    }
    assert [False, True] == sorted({one["expiresAt"] is not None for one in listed})


async def test_a_use_limit_may_be_as_large_as_a_number_of_json_is_exact(any_api: Api) -> None:
    identity, client_id = await attached(any_api)
    most = 2**53 - 1
    method = path(identity).removesuffix("/client-secrets")

    changed = (await any_api.ok("PATCH", method, {"accessTokenNumUsesLimit": most}))["identityUniversalAuth"]
    made = await any_api.ok("POST", path(identity), {"numUsesLimit": 2**31})
    token = (
        await any_api.ok("POST", LOGIN, {"clientId": client_id, "clientSecret": made["clientSecret"]}, token=None)
    )["accessToken"]
    used = await any_api.get(f"/api/v1/identities/{identity['id']}", token=token)
    beyond = await any_api.post(path(identity), {"numUsesLimit": 2**53})

    assert (most, 2**31) == (changed["accessTokenNumUsesLimit"], made["clientSecretData"]["clientSecretNumUsesLimit"])
    assert (403, 422) == (used.status_code, beyond.status_code)
