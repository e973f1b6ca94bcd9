"""Each act of an identity's pages, done by the calls that its text shows and by the form: with the same effect."""

from collections.abc import Awaitable, Callable
from typing import Any

from tests.api import Api
from tests.web.browser import Browser
from tests.web.operators import begin, project
from tests.web.scripts import run, text_of

_OWN = frozenset({"id", "createdAt", "updatedAt", "identityId", "clientId", "projectMembershipId", "membershipId"})


def alike(value: Any) -> Any:
    """What was read, without what is different of any two objects."""
    if isinstance(value, dict):
        return {name: alike(item) for name, item in value.items() if name not in _OWN and "Time" not in name}
    return [alike(item) for item in value] if isinstance(value, list) else value


async def filled(browser: Browser, action: str, values: dict[str, Any]) -> list[tuple[str, str]]:
    """A form as the page at its own path shows it, with these values changed."""
    return (await browser.get(action)).form(action).filled(values)


async def both(
    api: Api,
    browser: Browser,
    make: Callable[[], Awaitable[str]],
    action: Callable[[str], str],
    values: dict[str, Any],
    read: Callable[[str], Awaitable[Any]],
    *,
    is_filled: bool = False,
    more: str = "",
) -> Any:
    """Do an act with two things that are alike: with one by its text, with the other by the form.

    `is_filled`: the form is sent as its page shows it, with these values changed.
    """
    first, second = await make(), await make()
    begun = alike(await read(first))
    assert begun == alike(await read(second))
    pairs = [(name, item) for name, value in values.items() for item in (value if isinstance(value, list) else [value])]
    if is_filled:
        pairs = await filled(browser, action(first), values)
    script = await text_of(browser, action(first), pairs)
    assert alike(await read(first)) == begun
    await run(api, script)
    if is_filled:
        pairs = await filled(browser, action(second), values)
    done = await browser.post(action(second), pairs)
    assert done.status == 200, done.text
    by_text, by_form = alike(await read(first)), alike(await read(second))
    assert by_text == by_form, more
    return by_text, begun


async def test_acts_of_an_identity(api: Api) -> None:
    browser, base = await begin(api)

    async def make() -> str:
        identity = (await api.identity(name="one"))["id"]
        await api.login(await api.universal(identity))
        return str(identity)

    async def read(id: str) -> Any:
        found = await api.ok("GET", f"/api/v1/identities/{id}")
        tokens = (await api.ok("GET", f"/api/v1/identities/{id}/live-tokens"))["tokens"]
        return [found, len(tokens)]

    def at(part: str) -> Callable[[str], str]:
        return lambda of: f"{base}/identities/{of}/{part}"

    after, before = await both(api, browser, make, at("disable"), {}, read)
    assert after != before
    for id in [await make()]:
        await api.ok("POST", f"/api/v1/identities/{id}/disable", {})
        await run(api, await text_of(browser, f"{base}/identities/{id}/enable", {}))
        assert not (await api.ok("GET", f"/api/v1/identities/{id}"))["identity"]["identity"]["isDisabled"]
    after, before = await both(api, browser, make, at("tokens"), {"all": "true"}, read)
    assert after != before and after[1] == 0
    settings = {
        "name": 'renamed "$x"',
        "owner": "Team",
        "ends": "2030-01-01",
        "role": "member",
        "hasDeleteProtection": "true",
        "key": ["a", "b"],
        "value": ["1", "<2>"],
    }
    after, before = await both(api, browser, make, at("settings"), settings, read, is_filled=True)
    assert after != before


async def test_acts_of_its_access(api: Api) -> None:
    browser, base = await begin(api)
    made = await project(api)

    async def outside() -> str:
        return str((await api.identity(name="one"))["id"])

    async def inside() -> str:
        identity = await outside()
        path = f"/api/v1/projects/{made['id']}/memberships/identities/{identity}"
        await api.ok("POST", path, {"role": "viewer"})
        return identity

    async def read(id: str) -> Any:
        reply = await api.get(f"/api/v1/projects/{made['id']}/memberships/identities/{id}")
        return [reply.status_code, reply.json().get("identityMembership")]

    def at(id: str) -> str:
        return f"{base}/identities/{id}/access"

    for values in (
        {"act": "join", "role": "member", "until": ""},
        {"act": "join", "role": "member", "until": "2h"},
    ):
        after, before = await both(api, browser, outside, at, {**values, "project": made["id"]}, read)
        assert after != before
    for values in (
        {"act": "give", "role": "admin", "until": "2h"},
        {"act": "give", "role": "admin", "until": ""},
        {"act": "change", "role": "no-access", "until": ""},
        {"act": "leave"},
    ):
        after, before = await both(api, browser, inside, at, {**values, "project": made["id"]}, read)
        assert after != before


async def test_a_new_identity_with_everything_at_once(api: Api) -> None:
    browser, base = await begin(api)
    made = await project(api)
    values = {
        "where": "universal-auth",
        "owner": "Team",
        "ends": "2030-01-01",
        "orgRole": "member",
        "hasDeleteProtection": "true",
        "project": made["id"],
        "role": "member",
        "until": "2h",
        "universal-auth.accessTokenTTL": "1h",
        "universal-auth.accessTokenTrustedIps": "10.0.0.0/8",
    }
    new = f"{base}/identities/new"
    answers = await run(api, await text_of(browser, new, await filled(browser, new, {**values, "name": "by text"})))
    assert answers[-1]["clientSecret"]
    await browser.post(new, await filled(browser, new, {**values, "name": "by form"}))
    listed = await api.ok("GET", f"/api/v1/identities?orgId={api.org_id}")
    ids = {one["identity"]["name"]: one["identity"]["id"] for one in listed["identities"]}
    read = []
    for name in ("by text", "by form"):
        id = ids[name]
        member = await api.ok("GET", f"/api/v1/projects/{made['id']}/memberships/identities/{id}")
        read.append(
            alike(
                [
                    await api.ok("GET", f"/api/v1/identities/{id}"),
                    await api.ok("GET", f"/api/v1/auth/universal-auth/identities/{id}"),
                    member,
                    [
                        {key: one[key] for key in ("description", "clientSecretTTL", "clientSecretNumUsesLimit")}
                        for one in (await api.ok("GET", f"/api/v1/auth/universal-auth/identities/{id}/client-secrets"))[
                            "clientSecretData"
                        ]
                    ],
                ]
            )
        )
    assert str(read[0]).replace("by text", "") == str(read[1]).replace("by form", "")


async def test_acts_of_its_ways_to_log_in(api: Api) -> None:
    browser, base = await begin(api)

    async def bare() -> str:
        return str((await api.identity(name="one"))["id"])

    async def universal() -> str:
        identity = await bare()
        await api.ok("POST", f"/api/v1/auth/universal-auth/identities/{identity}", {})
        return identity

    def reading(slug: str) -> Callable[[str], Awaitable[Any]]:
        async def read(id: str) -> Any:
            reply = await api.get(f"/api/v1/auth/{slug}/identities/{id}")
            return [reply.status_code, reply.json() if reply.status_code == 200 else ""]

        return read

    def at(part: str) -> Callable[[str], str]:
        return lambda of: f"{base}/identities/{of}/authentication/{part}"

    methods: dict[str, dict[str, Any]] = {
        "universal-auth": {"accessTokenTTL": "1h", "accessTokenMaxTTL": "2h", "lockoutEnabled": "true"},
        "token-auth": {"accessTokenTTL": "1h"},
        "oidc-auth": {
            "oidcDiscoveryUrl": "https://issuer.test",
            "boundIssuer": "https://issuer.test",
            "boundAudiences": "a\nb",
            "boundSubject": "repo:x*",
            "boundClaims.key": "env",
            "boundClaims.value": "prod",
        },
        "aws-auth": {"allowedAccountIds": "123456789012"},
        "azure-auth": {"tenantId": "8f6c1d2e-3a44-4b0f-9c55-0d5b7f1e2a66", "resource": "https://management.azure.com/"},
    }
    for slug, values in methods.items():
        after, before = await both(
            api, browser, bare, at(f"add/{slug}"), values, reading(slug), is_filled=True, more=slug
        )
        assert after != before, slug
    change = {"accessTokenTTL": "5m", "accessTokenMaxTTL": "10m"}
    after, before = await both(
        api, browser, universal, at("universal-auth"), change, reading("universal-auth"), is_filled=True
    )
    assert after != before


async def test_a_client_secret_and_a_token(api: Api) -> None:
    browser, base = await begin(api)
    identity = (await api.identity())["id"]
    await api.ok("POST", f"/api/v1/auth/universal-auth/identities/{identity}", {})
    await api.ok("POST", f"/api/v1/auth/token-auth/identities/{identity}", {})
    here = f"{base}/identities/{identity}/authentication"
    wish = {"description": "CI", "ttl": "30d", "numUsesLimit": "5"}
    [answer] = await run(api, await text_of(browser, f"{here}/universal-auth/secrets", wish))
    await browser.post(f"{here}/universal-auth/secrets", wish)
    path = f"/api/v1/auth/universal-auth/identities/{identity}/client-secrets"
    rows = (await api.ok("GET", path))["clientSecretData"]
    same = ("description", "clientSecretTTL", "clientSecretNumUsesLimit")
    assert len(rows) == 2 and len({tuple(row[key] for key in same) for row in rows}) == 1
    secret = answer["clientSecretData"]["id"]
    await run(api, await text_of(browser, f"{here}/universal-auth/secrets/{secret}/revoke", {}))
    assert [row["id"] for row in (await api.ok("GET", path))["clientSecretData"]].count(secret) == 0
    [made] = await run(api, await text_of(browser, f"{here}/token-auth/named-tokens", {"name": "CI"}))
    token = made["tokenData"]["id"]
    await run(api, await text_of(browser, f"{here}/token-auth/named-tokens/{token}/revoke", {}))
    found = await api.ok("GET", f"/api/v1/auth/token-auth/tokens/{token}")
    assert found["token"]["isAccessTokenRevoked"]
    rotate = await browser.post(f"{here}/universal-auth/secrets", {"rotate": secret, "as_text": "1"})
    assert "The API has no call for this" in rotate.text


async def test_removals(api: Api) -> None:
    browser, base = await begin(api)
    identity = (await api.identity())["id"]
    await api.ok("POST", f"/api/v1/auth/universal-auth/identities/{identity}", {})
    here = f"{base}/identities/{identity}"
    await run(api, await text_of(browser, f"{here}/authentication/universal-auth/lockouts", {}))
    await run(api, await text_of(browser, f"{here}/authentication/universal-auth/remove", {}))
    assert (await api.get(f"/api/v1/auth/universal-auth/identities/{identity}")).status_code == 404
    await run(api, await text_of(browser, f"{here}/delete", {}))
    assert (await api.get(f"/api/v1/identities/{identity}")).status_code == 404
