"""OAuth 2 by a real client library, against a server that listens; and the refusals in the words of the RFCs."""

import asyncio
import base64
import time
from typing import Any

import httpx
import pytest
from authlib.integrations.httpx_client import AsyncOAuth2Client, OAuthError
from authlib.oauth2.rfc7523 import PrivateKeyJWT

from tests.api import Api
from tests.loopback import listening
from tests.minting import KEYS, mint, public_pem
from watchword.app import Server

ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


def basic(client_id: str, secret: str) -> dict[str, str]:
    return {"authorization": "Basic " + base64.b64encode(f"{client_id}:{secret}".encode()).decode()}


async def bound(api: Api, *keys: str, audience: str = "https://watchword.test/oauth2/token") -> str:
    """An identity that proves itself with these keys."""
    identity = await api.identity("member")
    body = {"publicKeys": [public_pem(key) for key in keys], "boundAudiences": audience}
    await api.ok("POST", f"/api/v1/auth/bound-keypair/identities/{identity['id']}", body)
    return str(identity["id"])


def assertion(
    identity_id: str, key: str = "ed25519", *, jti: str = "one", audience: str = "https://watchword.test/oauth2/token"
) -> str:
    now = int(time.time())
    claims = {"iss": identity_id, "sub": identity_id, "aud": audience, "iat": now, "exp": now + 60, "jti": jti}
    return mint(claims, key)


async def form(api: Api, path: str, fields: dict[str, str], headers: dict[str, str] | None = None) -> httpx.Response:
    return await api.client.post(path, data=fields, headers=headers)


@pytest.mark.parametrize("how", ["client_secret_basic", "client_secret_post"])
async def test_a_client_library_gets_a_token_with_a_client_secret(api: Api, how: str) -> None:
    identity = await api.identity("member")
    login = await api.universal(identity["id"])

    client = AsyncOAuth2Client(login["clientId"], login["clientSecret"], token_endpoint_auth_method=how)
    async with listening(Server(api.runtime)) as url, client:
        token = await client.fetch_token(f"{url}/oauth2/token", grant_type="client_credentials")
        reply = await client.get(f"{url}/api/v1/identities/{identity['id']}")

    assert ("Bearer", 2_592_000) == (token["token_type"], token["expires_in"])
    assert 200 == reply.status_code


async def test_a_client_library_gets_a_token_with_its_private_key(api: Api) -> None:
    async with listening(Server(api.runtime)) as url:
        endpoint = f"{url}/oauth2/token"
        identity_id = await bound(api, "rsa", audience=endpoint)
        pem = (KEYS / "rsa.pem").read_text()
        async with AsyncOAuth2Client(identity_id, pem, token_endpoint_auth_method="private_key_jwt") as client:
            client.register_client_auth_method(PrivateKeyJWT(endpoint))
            token = await client.fetch_token(endpoint, grant_type="client_credentials")
            reply = await client.get(f"{url}/api/v1/identities/{identity_id}")

    assert "Bearer" == token["token_type"]
    assert 200 == reply.status_code


async def test_a_client_library_reads_the_metadata_and_introspects_and_revokes(api: Api) -> None:
    identity = await api.identity("member")
    login = await api.universal(identity["id"])

    async with (
        listening(Server(api.runtime)) as url,
        AsyncOAuth2Client(login["clientId"], login["clientSecret"]) as client,
    ):
        about = (
            await api.get(
                "/.well-known/oauth-authorization-server", token=None, headers={"host": url.removeprefix("http://")}
            )
        ).json()
        token = (await client.fetch_token(about["token_endpoint"], grant_type="client_credentials"))["access_token"]
        before = (await client.introspect_token(about["introspection_endpoint"], token=token)).json()
        revoked = await client.revoke_token(about["revocation_endpoint"], token=token)
        after = (await client.introspect_token(about["introspection_endpoint"], token=token)).json()
        keys = (await api.get("/.well-known/jwks.json", token=None)).json()

    assert (url, f"{url}/.well-known/jwks.json") == (about["issuer"], about["jwks_uri"])
    assert (True, identity["id"], "Bearer", "api") == (
        before["active"],
        before["sub"],
        before["token_type"],
        before["scope"],
    )
    assert 200 == revoked.status_code
    assert {"active": False} == after
    assert ["Ed25519"] == [key["crv"] for key in keys["keys"]]


async def test_a_client_library_is_told_invalid_client(api: Api) -> None:
    identity = await api.identity()
    login = await api.universal(identity["id"])

    async with listening(Server(api.runtime)) as url, AsyncOAuth2Client(login["clientId"], "0" * 64) as client:
        with pytest.raises(OAuthError) as refused:
            await client.fetch_token(f"{url}/oauth2/token", grant_type="client_credentials")

    assert "invalid_client" == refused.value.error


async def test_a_wrong_secret_and_an_unknown_client_sound_the_same_and_leave_the_same(api: Api) -> None:
    identity = await api.identity()
    login = await api.universal(identity["id"])
    fields = {"grant_type": "client_credentials"}

    wrong = await form(api, "/oauth2/token", fields, basic(login["clientId"], "0" * 64))
    unknown = await form(api, "/oauth2/token", fields, basic("01a203ee-9dba-7b90-b424-1f20aa43038b", "0" * 64))

    assert (401, 401) == (wrong.status_code, unknown.status_code)
    assert ("invalid_client", wrong.json()["error_description"]) == (
        unknown.json()["error"],
        unknown.json()["error_description"],
    )
    assert (
        'Basic realm="watchword", error="invalid_client"'
        == wrong.headers["www-authenticate"]
        == unknown.headers["www-authenticate"]
    )
    assert "no-store" == wrong.headers["cache-control"]


@pytest.mark.parametrize(
    ("fields", "headers", "status", "code"),
    [
        ({}, {}, 400, "invalid_request"),
        ({"grant_type": "password"}, {}, 400, "unsupported_grant_type"),
        ({"grant_type": "client_credentials"}, {}, 401, "invalid_client"),
        ({"grant_type": "client_credentials", "client_id": "x"}, {}, 401, "invalid_client"),
        ({"grant_type": "client_credentials"}, {"authorization": "Basic !!"}, 401, "invalid_client"),
        ({"grant_type": "client_credentials"}, {"authorization": "Basic eA=="}, 401, "invalid_client"),
        ({"grant_type": "client_credentials", "client_secret": "y"}, basic("x", "y"), 400, "invalid_request"),
        ({"grant_type": "client_credentials", "client_id": "z"}, basic("x", "y"), 400, "invalid_request"),
        ({"grant_type": "client_credentials", "client_assertion": "x"}, {}, 401, "invalid_client"),
        ({"grant_type": "client_credentials", "client_assertion_type": ASSERTION}, {}, 401, "invalid_client"),
        (
            {"grant_type": "client_credentials", "client_assertion_type": ASSERTION, "client_assertion": "a.b.c"},
            {},
            401,
            "invalid_client",
        ),
        ({"grant_type": "client_credentials", "client_id": "\x00", "client_secret": "\x00"}, {}, 401, "invalid_client"),
    ],
)
async def test_refusals_have_the_words_of_rfc_6749(
    any_api: Api, fields: dict[str, str], headers: dict[str, str], status: int, code: str
) -> None:
    reply = await form(any_api, "/oauth2/token", fields, headers)

    assert (status, code) == (reply.status_code, reply.json()["error"])
    assert (status == 401) == ("www-authenticate" in reply.headers)


async def test_a_parameter_twice_and_a_body_that_is_no_form_are_refused(api: Api) -> None:
    twice = await api.client.post(
        "/oauth2/token",
        content=b"grant_type=client_credentials&grant_type=x",
        headers={"content-type": "application/x-www-form-urlencoded"},
    )
    json = await api.client.post("/oauth2/token", json={"grant_type": "client_credentials"})

    assert ["invalid_request"] * 2 == [twice.json()["error"], json.json()["error"]]


async def test_a_scope_that_is_asked_for_is_answered_with_the_one_there_is(api: Api) -> None:
    login = await api.universal((await api.identity())["id"])
    headers = basic(login["clientId"], login["clientSecret"])

    asked = await form(api, "/oauth2/token", {"grant_type": "client_credentials", "scope": "read write"}, headers)
    plain = await form(api, "/oauth2/token", {"grant_type": "client_credentials"}, headers)

    assert "api" == asked.json()["scope"]
    assert "scope" not in plain.json()


async def test_an_assertion_is_used_once(any_api: Api) -> None:
    identity_id = await bound(any_api, "ed25519")
    fields = {
        "grant_type": "client_credentials",
        "client_assertion_type": ASSERTION,
        "client_assertion": assertion(identity_id),
    }

    replies = await asyncio.gather(*[form(any_api, "/oauth2/token", fields) for _ in range(20)])

    assert [200] + [401] * 19 == sorted(reply.status_code for reply in replies)


async def test_an_assertion_of_another_than_the_named_client_is_refused(api: Api) -> None:
    one, other = await bound(api, "ed25519"), await bound(api, "p256")
    fields = {
        "grant_type": "client_credentials",
        "client_assertion_type": ASSERTION,
        "client_assertion": assertion(one),
    }

    reply = await form(api, "/oauth2/token", fields | {"client_id": other})

    assert 401 == reply.status_code


async def test_keys_are_rotated_with_an_overlap(api: Api) -> None:
    identity_id = await bound(api, "ed25519")
    path = f"/api/v1/auth/bound-keypair/identities/{identity_id}"

    async def log_in(key: str, jti: str) -> int:
        body = {"identityId": identity_id, "jwt": assertion(identity_id, key, jti=jti)}
        return (await api.post("/api/v1/auth/bound-keypair/login", body, token=None)).status_code

    before = [await log_in("ed25519", "1"), await log_in("p256", "2")]
    await api.ok("PATCH", path, {"publicKeys": [public_pem("ed25519"), public_pem("p256")]})
    during = [await log_in("ed25519", "3"), await log_in("p256", "4")]
    await api.ok("PATCH", path, {"publicKeys": [public_pem("p256")]})
    after = [await log_in("ed25519", "5"), await log_in("p256", "6")]

    assert ([200, 401], [200, 200], [401, 200]) == (before, during, after)


async def test_only_the_same_organization_learns_what_a_token_is(api: Api) -> None:
    _, token = await api.bot("member")
    _, other = await api.organization()

    async def asked(headers: dict[str, str]) -> Any:
        return await form(api, "/oauth2/introspect", {"token": token}, headers)

    own = await asked({"authorization": f"Bearer {api.token}"})
    foreign = await asked({"authorization": f"Bearer {other}"})
    nobody = await asked({})
    forged = await asked({"authorization": "Bearer x.y.z"})

    assert [True, False] == [own.json()["active"], foreign.json()["active"]]
    assert [401, 401] == [nobody.status_code, forged.status_code]
    assert {"active": False} == (
        await form(api, "/oauth2/introspect", {"token": "x.y.z"}, {"authorization": f"Bearer {api.token}"})
    ).json()


async def test_a_token_is_active_until_its_uses_are_spent_its_network_or_not(api: Api) -> None:
    _, limited = await api.bot("member", accessTokenNumUsesLimit=1)
    _, elsewhere = await api.bot("member", accessTokenTrustedIps=[{"ipAddress": "10.0.0.0/8"}])
    bearer = {"authorization": f"Bearer {api.token}"}

    async def active(token: str) -> bool:
        return bool((await form(api, "/oauth2/introspect", {"token": token}, bearer)).json()["active"])

    before = await active(limited)
    await api.get("/api/v1/identities/details", token=limited)

    assert [True, False, True] == [before, await active(limited), await active(elsewhere)]


async def test_a_client_ends_its_own_tokens_and_no_others(api: Api) -> None:
    login = await api.universal((await api.identity())["id"])
    _, token = await api.bot("member")
    headers = basic(login["clientId"], login["clientSecret"])

    refused = await form(api, "/oauth2/revoke", {"token": token}, headers)
    unknown = await form(api, "/oauth2/revoke", {"token": "x.y.z"}, headers)
    held = await form(api, "/oauth2/revoke", {"token": token})
    again = await form(api, "/oauth2/revoke", {"token": token})

    assert [400, 200, 200, 200] == [reply.status_code for reply in (refused, unknown, held, again)]
    assert 401 == (await api.get("/api/v1/identities/details", token=token)).status_code


async def test_a_client_secret_without_uses_authenticates_nobody(api: Api) -> None:
    login = await api.universal((await api.identity())["id"], {"numUsesLimit": 1})
    headers = basic(login["clientId"], login["clientSecret"])
    token = (await form(api, "/oauth2/token", {"grant_type": "client_credentials"}, headers)).json()["access_token"]

    reply = await form(api, "/oauth2/introspect", {"token": token}, headers)

    assert (401, "invalid_client") == (reply.status_code, reply.json()["error"])
