"""Access tokens of identities over the API: what they say, how long they live, what ends them."""

import asyncio
from typing import Any

import jwt
import pytest

from tests.api import Api
from watchword.services.authentication.bearer import _MOST_CACHED_REVOCATIONS

RENEW, REVOKE = "/api/v1/auth/token/renew", "/api/v1/auth/token/revoke"
ANY_TIME = {"verify_exp": False, "verify_iat": False, "verify_nbf": False}


def claims(token: str) -> dict[str, Any]:
    found: dict[str, Any] = jwt.decode(token, options={"verify_signature": False, **ANY_TIME})  # type: ignore[arg-type]
    return found


async def status(api: Api, token: str) -> int:
    return (await api.get(f"/api/v1/identities/{claims(token)['identityId']}", token=token)).status_code


async def renew(api: Api, token: str) -> str:
    renewed: str = (await api.ok("POST", RENEW, {"accessToken": token}, token=None))["accessToken"]
    return renewed


# --- what it says


async def test_a_login_answers_the_four_fields_that_clients_read(api: Api) -> None:
    identity = await api.identity()
    login = await api.universal(identity["id"], accessTokenTTL=600, accessTokenMaxTTL=1200)

    reply = await api.ok("POST", "/api/v1/auth/universal-auth/login", login, token=None)

    assert {"expiresIn": 600, "accessTokenMaxTTL": 1200, "tokenType": "Bearer"} == {
        k: v for k, v in reply.items() if k != "accessToken"
    }


async def test_a_token_says_whose_it_is_and_how_it_was_got(api: Api) -> None:
    identity, token = await api.bot(accessTokenTTL=600, accessTokenMaxTTL=1200, accessTokenNumUsesLimit=7)
    found = claims(token)

    assert {
        "identityId": identity["id"],
        "authTokenType": "identityAccessToken",
        "identityName": "bot",
        "authMethod": "universal-auth",
        "orgId": api.org_id,
        "rootOrgId": api.org_id,
        "parentOrgId": api.org_id,
        "accessTokenTTL": 600,
        "accessTokenMaxTTL": 1200,
        "numUsesLimit": 7,
    }.items() <= found.items()
    assert found["jti"] == found["identityAccessTokenId"]
    assert 600 <= found["exp"] - found["iat"] <= 601


async def test_anybody_verifies_a_token_offline_with_the_key_set(any_api: Api) -> None:
    _, token = await any_api.bot()
    keys = jwt.PyJWKSet.from_dict(await any_api.ok("GET", "/.well-known/jwks.json", token=None))

    found = jwt.decode(token, keys[jwt.get_unverified_header(token)["kid"]], ["EdDSA"])

    assert claims(token) == found


@pytest.mark.parametrize(
    ("networks", "restricted"),
    [(["0.0.0.0/0", "::/0"], False), (["127.0.0.0/8"], True), (["0.0.0.0/0", "10.0.0.0/8"], True)],
)
async def test_a_token_says_whether_networks_restrict_it(api: Api, networks: list[str], restricted: bool) -> None:
    _, token = await api.bot(accessTokenTrustedIps=[{"ipAddress": network} for network in networks])

    assert restricted == claims(token).get("ipRestrictionEnabled", False)


# --- the end of it


@pytest.mark.parametrize(
    ("ttl", "max_ttl", "life"),
    [
        (600, 1200, 600),
        (1200, 1200, 1200),
        (600, 0, 600),
        (0, 1200, 1200),
        (0, 0, 7_776_000),
        (2_592_000, 0, 2_592_000),
    ],
)
async def test_a_token_lives_as_long_as_its_method_says_to_the_millisecond(
    api: Api, ttl: int, max_ttl: int, life: int
) -> None:
    _, token = await api.bot("member", accessTokenTTL=ttl, accessTokenMaxTTL=max_ttl)
    ends = claims(token)["expiresMs"]

    api.clock.offset += ends - api.clock() - 200
    before = await status(api, token)
    api.clock.offset += ends - api.clock()
    after = await status(api, token)

    assert (life, 200, 401) == ((ends - claims(token)["creationMs"]) / 1000, before, after)


async def test_a_renewal_is_always_another_string_and_both_work(api: Api) -> None:
    _, token = await api.bot("member")

    renewed = [await renew(api, token) for _ in range(20)]

    assert 21 == len({token, *renewed})
    assert {200} == {await status(api, one) for one in (token, *renewed)}


async def test_renewals_keep_the_anchor_and_are_shortened_at_the_end_and_never_pass_it(api: Api) -> None:
    _, token = await api.bot("member", accessTokenTTL=600, accessTokenMaxTTL=1000)
    first = claims(token)

    api.clock.forward(500)
    second = await renew(api, token)
    api.clock.forward(499)
    third = await renew(api, second)
    alive = await status(api, third)
    api.clock.forward(2)

    assert {first["creationMs"]} == {claims(one)["creationMs"] for one in (token, second, third)}
    assert {first["jti"]} == {claims(one)["jti"] for one in (token, second, third)}
    assert [600, 1000, 1000] == [
        round((claims(one)["expiresMs"] - first["creationMs"]) / 1000) for one in (token, second, third)
    ]
    assert (200, 401) == (alive, await status(api, third))


async def test_expires_in_is_what_is_left_of_a_tokens_life(any_api: Api) -> None:
    login = await any_api.universal((await any_api.identity())["id"], accessTokenTTL=600, accessTokenMaxTTL=1000)
    first = await any_api.ok("POST", "/api/v1/auth/universal-auth/login", login, token=None)
    any_api.clock.forward(500)

    renewed = await any_api.ok("POST", RENEW, {"accessToken": first["accessToken"]}, token=None)

    assert 600 == first["expiresIn"]
    assert 498 <= renewed["expiresIn"] <= 500  # of 600, for max TTL ends it; tests may take a second
    assert 0 <= claims(renewed["accessToken"])["exp"] - any_api.clock() // 1000 - renewed["expiresIn"] <= 2


@pytest.mark.parametrize(("max_ttl", "life"), [(1200, 1200), (0, 7_776_000)])
async def test_expires_in_of_a_token_without_a_ttl_is_its_life_and_not_zero(api: Api, max_ttl: int, life: int) -> None:
    login = await api.universal((await api.identity())["id"], accessTokenTTL=0, accessTokenMaxTTL=max_ttl)

    assert life == (await api.ok("POST", "/api/v1/auth/universal-auth/login", login, token=None))["expiresIn"]


async def test_a_token_whose_ttl_is_its_max_ttl_renews_up_to_it(api: Api) -> None:
    _, token = await api.bot("member", accessTokenTTL=600, accessTokenMaxTTL=600)
    api.clock.forward(300)

    assert claims(token)["expiresMs"] == claims(await renew(api, token))["expiresMs"]


async def test_a_refused_renewal_destroys_nothing(api: Api) -> None:
    _, token = await api.bot("member", accessTokenTTL=600, accessTokenMaxTTL=1000)
    refused = await api.post(RENEW, {"accessToken": token[:-4]}, token=None)

    assert (401, 200) == (refused.status_code, await status(api, token))
    assert await renew(api, token)


async def test_a_periodic_token_renews_for_ever(api: Api) -> None:
    _, token = await api.bot("member", accessTokenPeriod=600)
    for _ in range(30):
        api.clock.forward(550)
        token = await renew(api, token)
    alive = await status(api, token)
    api.clock.forward(601)

    assert (200, 401) == (alive, await status(api, token))


async def test_a_token_that_ended_cannot_be_renewed(api: Api) -> None:
    _, token = await api.bot("member", accessTokenTTL=600)
    api.clock.forward(601)

    assert 401 == (await api.post(RENEW, {"accessToken": token}, token=None)).status_code


# --- uses


async def test_a_renewal_takes_no_use_and_gives_none_back(any_api: Api) -> None:
    _, token = await any_api.bot("member", accessTokenNumUsesLimit=3)
    seen = [await status(any_api, token)]
    renewed = await renew(any_api, token)
    seen += [await status(any_api, renewed), await status(any_api, token)]

    assert [200, 200, 200] == seen
    assert (401, 401) == (await status(any_api, token), await status(any_api, renewed))
    assert 401 == (await any_api.post(RENEW, {"accessToken": token}, token=None)).status_code


async def test_a_request_that_is_refused_for_other_reasons_costs_a_use_only_where_the_token_was_good(
    any_api: Api,
) -> None:
    identity, token = await any_api.bot(
        "no-access", accessTokenNumUsesLimit=2, accessTokenTrustedIps=[{"ipAddress": "10.0.0.0/8"}]
    )
    path = f"/api/v1/auth/universal-auth/identities/{identity['id']}"

    outbound = [(await any_api.get(path, token=token)).status_code for _ in range(5)]
    await any_api.ok("PATCH", path, {"accessTokenTrustedIps": [{"ipAddress": "127.0.0.1"}]})
    inside = [(await any_api.get(path, token=token)).status_code for _ in range(3)]

    assert ([403] * 5, [403, 403, 401]) == (outbound, inside)


async def test_exactly_the_limit_is_let_through_across_a_token_and_its_renewals(any_api: Api) -> None:
    _, token = await any_api.bot("member", accessTokenNumUsesLimit=10)
    version_key = [token, await renew(any_api, token), await renew(any_api, token)]

    answers = await asyncio.gather(*[status(any_api, version_key[i % 3]) for i in range(60)])

    assert [200] * 10 + [401] * 50 == sorted(answers)


# --- revocation


async def test_a_revoked_token_and_all_its_renewals_are_dead_and_others_live(any_api: Api) -> None:
    identity = await any_api.identity("member")
    login = await any_api.universal(identity["id"])
    token, other = await any_api.login(login), await any_api.login(login)
    renewed = await renew(any_api, token)

    await any_api.ok("POST", REVOKE, {"accessToken": renewed}, token=None)

    assert (401, 401, 200) == (
        await status(any_api, token),
        await status(any_api, renewed),
        await status(any_api, other),
    )
    assert 401 == (await any_api.post(REVOKE, {"accessToken": token}, token=None)).status_code
    assert 401 == (await any_api.post(RENEW, {"accessToken": token}, token=None)).status_code


async def test_tokens_of_a_removed_method_stay_dead_when_it_is_attached_again(any_api: Api) -> None:
    identity, token = await any_api.bot("member")

    await any_api.ok("DELETE", f"/api/v1/auth/universal-auth/identities/{identity['id']}")
    removed = await status(any_api, token)
    login = await any_api.universal(identity["id"])

    assert (401, 401, 200) == (removed, await status(any_api, token), await status(any_api, await any_api.login(login)))


async def test_a_token_issued_after_a_revocation_is_good_although_it_is_the_same_millisecond(api: Api) -> None:
    """A mark ends what was issued until its moment; a login after the answer must not fall under it."""
    identity = await api.identity("member")
    for _ in range(5):
        token = await api.login(await api.universal(identity["id"]))
        await api.ok("DELETE", f"/api/v1/auth/universal-auth/identities/{identity['id']}")
        fresh = await api.login(await api.universal(identity["id"]))
        assert (401, 200) == (await status(api, token), await status(api, fresh))
        await api.ok("DELETE", f"/api/v1/auth/universal-auth/identities/{identity['id']}")


async def test_a_person_s_session_is_neither_renewed_nor_revoked_here(api: Api) -> None:
    for path in (RENEW, REVOKE):
        assert (await api.post(path, {"accessToken": api.token}, token=None)).status_code in (400, 401)
    assert 200 == (await api.get(f"/api/v1/identities?orgId={api.org_id}")).status_code


@pytest.mark.parametrize("given", ["", "x", "a.b.c", "Bearer", "st.a.b", "\N{SNOWMAN}", "x" * 20_000])
async def test_what_is_no_token_is_refused_everywhere_alike(api: Api, given: str) -> None:
    body = [(await api.post(path, {"accessToken": given}, token=None)).status_code for path in (RENEW, REVOKE)]
    header = await api.request(
        "GET",
        f"/api/v1/identities?orgId={api.org_id}",
        token=None,
        headers={"authorization": f"Bearer {given}".encode()},  # type: ignore[dict-item]
    )

    assert set(body) <= {401, 422}
    assert 401 == header.status_code


# --- tokens with names


async def test_a_named_token_counts_its_uses_where_an_operator_sees_them(any_api: Api) -> None:
    identity = await any_api.identity("member")
    path = f"/api/v1/auth/token-auth/identities/{identity['id']}"
    await any_api.ok("POST", path, {"accessTokenNumUsesLimit": 5})
    made = await any_api.ok("POST", f"{path}/tokens", {"name": "ci"})

    answers = [await status(any_api, made["accessToken"]) for _ in range(7)]
    (row,) = (await any_api.ok("GET", f"{path}/tokens"))["tokens"]

    assert ([200] * 5 + [401] * 2, 5, "ci") == (answers, row["accessTokenNumUses"], row["name"])


async def test_each_of_very_many_revoked_tokens_is_dead_and_no_other(any_api: Api) -> None:
    identity = await any_api.identity(role="member")
    login = await any_api.universal(identity["id"])
    many = _MOST_CACHED_REVOCATIONS + 3
    tokens = [
        (await any_api.ok("POST", "/api/v1/auth/universal-auth/login", login, token=None))["accessToken"]
        for _ in range(many)
    ]

    seen = []
    for token in tokens[:-1]:
        await any_api.ok("POST", REVOKE, {"accessToken": token}, token=None)
        seen.append((await status(any_api, token), await status(any_api, tokens[-1])))

    assert [(401, 200)] * (many - 1) == seen
    assert [401] * (many - 1) + [200] == [await status(any_api, token) for token in tokens]


async def test_a_token_is_revoked_from_a_network_that_it_does_not_work_from(any_api: Api) -> None:
    identity, token = await any_api.bot("member")
    path = f"/api/v1/auth/universal-auth/identities/{identity['id']}"
    await any_api.ok("PATCH", path, {"accessTokenTrustedIps": [{"ipAddress": "10.0.0.0/8"}]})
    outside = await any_api.get(f"/api/v1/identities/{identity['id']}", token=token)

    revoked = await any_api.post(REVOKE, {"accessToken": token}, token=None)
    await any_api.ok("PATCH", path, {"accessTokenTrustedIps": [{"ipAddress": "127.0.0.1"}]})

    assert (403, 200) == (outside.status_code, revoked.status_code)
    assert 401 == await status(any_api, token)


async def test_a_persons_token_is_answered_400_by_renewal_and_401_by_revocation(api: Api) -> None:
    replies = [await api.post(path, {"accessToken": api.token}, token=None) for path in (RENEW, REVOKE)]

    assert [400, 401] == [reply.status_code for reply in replies]


async def test_the_list_shows_tokens_as_dead_that_ended_with_their_method_or_with_all_others(any_api: Api) -> None:
    identity = await any_api.identity("member")
    base = "/api/v1/auth/token-auth"
    method = f"{base}/identities/{identity['id']}"
    await any_api.ok("POST", method, {})
    old = await any_api.ok("POST", f"{method}/tokens", {"name": "old"})
    await any_api.ok("DELETE", method)
    await any_api.ok("POST", method, {})
    new = await any_api.ok("POST", f"{method}/tokens", {"name": "new"})

    async def listed() -> dict[str, bool]:
        tokens = (await any_api.ok("GET", f"{method}/tokens"))["tokens"]
        return {token["name"]: token["isAccessTokenRevoked"] for token in tokens}

    after_attaching = await listed()
    one = (await any_api.ok("GET", f"{base}/tokens/{old['tokenData']['id']}"))["token"]
    statuses = [await status(any_api, made["accessToken"]) for made in (old, new)]
    await any_api.ok("POST", f"/api/v1/identities/{identity['id']}/disable", {"revokeTokens": True})

    assert ({"old": True, "new": False}, True, [401, 200]) == (after_attaching, one["isAccessTokenRevoked"], statuses)
    assert {"old": True, "new": True} == await listed()
