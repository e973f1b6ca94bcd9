"""The login flow on both engines: exact use limits, lockout, uniform refusals."""

import asyncio

from tests.house import Api

LOGIN = "/api/v1/auth/universal-auth/login"


async def test_a_client_secret_limited_to_five_lets_exactly_five_of_two_hundred_logins_through(any_api: Api) -> None:
    identity = await any_api.identity()
    login = await any_api.universal(identity["id"], {"numUsesLimit": 5}, lockoutEnabled=False)

    replies = await asyncio.gather(*[any_api.post(LOGIN, login, token=None) for _ in range(200)])

    assert [200] * 5 + [401] * 195 == sorted(reply.status_code for reply in replies)


async def test_a_token_limited_to_five_uses_serves_exactly_five_of_two_hundred_requests(any_api: Api) -> None:
    identity, token = await any_api.bot("member", accessTokenNumUsesLimit=5)
    path = f"/api/v1/identities/{identity['id']}"

    replies = await asyncio.gather(*[any_api.get(path, token=token) for _ in range(200)])

    assert [200] * 5 + [401] * 195 == sorted(reply.status_code for reply in replies)


async def test_an_unknown_client_id_answers_as_a_wrong_secret_does(any_api: Api) -> None:
    identity = await any_api.identity()
    login = await any_api.universal(identity["id"])

    wrong = await any_api.post(LOGIN, {**login, "clientSecret": "0" * 64}, token=None)
    unknown = await any_api.post(LOGIN, {**login, "clientId": "01a203ee-9dba-7b90-b424-1f20aa43038b"}, token=None)

    assert (401, 401) == (wrong.status_code, unknown.status_code)
    assert wrong.json()["message"] == unknown.json()["message"]


async def test_three_wrong_secrets_lock_the_identity_out_until_the_time_has_passed(any_api: Api) -> None:
    identity = await any_api.identity()
    login = await any_api.universal(identity["id"], lockoutDurationSeconds=60)
    for _ in range(3):
        await any_api.post(LOGIN, {**login, "clientSecret": "0" * 64}, token=None)

    locked = await any_api.post(LOGIN, login, token=None)
    any_api.clock.forward(61)
    after = await any_api.post(LOGIN, login, token=None)

    assert (401, 200) == (locked.status_code, after.status_code)


async def test_revoking_a_client_secret_ends_its_tokens_at_once(any_api: Api) -> None:
    identity = await any_api.identity("member")
    login = await any_api.universal(identity["id"])
    token = await any_api.login(login)
    path = f"/api/v1/identities/{identity['id']}"
    before = await any_api.get(path, token=token)
    secrets = await any_api.ok("GET", f"/api/v1/auth/universal-auth/identities/{identity['id']}/client-secrets")

    await any_api.ok(
        "POST", f"/api/v1/auth/universal-auth/identities/{identity['id']}/client-secrets/{secrets['clientSecretData'][0]['id']}/revoke"
    )
    after = await any_api.get(path, token=token)

    assert (200, 401) == (before.status_code, after.status_code)
