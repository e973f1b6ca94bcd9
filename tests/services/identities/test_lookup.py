"""Identities by the id of what belongs to them, by name and by address; keys in every project: on both engines."""

from tests.api import Api
from tests.services.access.test_effects import ctx_of
from watchword.services.identities import lookup
from watchword.services.secrets import key_search


async def test_an_identity_is_found_by_what_belongs_to_it_and_only_in_its_organization(any_api: Api) -> None:
    identity = (await any_api.identity(name="one"))["id"]
    login = await any_api.universal(identity)
    await any_api.login(login)
    token = (await any_api.ok("GET", f"/api/v1/identities/{identity}/live-tokens"))["tokens"][0]["id"]
    path = f"/api/v1/auth/universal-auth/identities/{identity}/client-secrets"
    secret = (await any_api.ok("GET", path))["clientSecretData"][0]["id"]
    _, elsewhere = await any_api.organization()
    _, nobody = await any_api.bot("no-access")
    for id, is_token in ((login["clientId"], False), (secret, False), (token, True)):
        found = await lookup.of_credential(await ctx_of(any_api), id)
        assert found is not None and found.details.identity.id == identity and found.is_token is is_token
        for other in (elsewhere, nobody):
            assert await lookup.of_credential(await ctx_of(any_api, other), id) is None
    assert await lookup.of_credential(await ctx_of(any_api), f"{token[:-1]}_") is None
    await any_api.runtime.journal.close()  # it writes moments of last use once a second, and at its end
    seen = await lookup.logged_in_from(await ctx_of(any_api), "127.0.0.1", 5)
    assert identity in [one.id for one in seen]
    assert await lookup.logged_in_from(await ctx_of(any_api), "192.0.2.1", 5) == []


async def test_names_and_keys_are_found_by_a_part_of_them(any_api: Api) -> None:
    for name in ("alpha", "Alphabet", "beta"):
        await any_api.identity(name=name)
    ctx = await ctx_of(any_api)
    assert sorted(one.name for one in await lookup.by_name(ctx, "ALPHA", 5)) == ["Alphabet", "alpha"]
    for number in range(3):
        made = (await any_api.ok("POST", "/api/v1/projects", {"projectName": f"Project {number}"}))["project"]
        place = {"projectId": made["id"], "secretPath": "/"}
        for slug in ("dev", "prod"):
            await any_api.ok("POST", "/api/v4/secrets/DATABASE_URL", {**place, "environment": slug, "secretValue": "x"})
    found = await key_search.find(await ctx_of(any_api), "base_url", 10)
    assert [(one.key, sorted(one.environments)) for one in found] == [("DATABASE_URL", ["dev", "prod"])] * 3
    assert len(await key_search.find(await ctx_of(any_api), "base_url", 2)) == 2
    assert await key_search.find(await ctx_of(any_api), "DATABASE%URL", 10) == []
