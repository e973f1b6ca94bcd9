"""Templates of auth methods: attached, changed for all who use them, and never a way to somebody's secret or
identity.
"""

from typing import Any

import pytest
from sqlalchemy import select

from tests.api import Api
from tests.building import project
from tests.http.authentication.test_auth_methods import provider_api as provider_api  # noqa: PLC0414
from tests.http.authentication.test_auth_methods import providers as providers  # noqa: PLC0414
from tests.methods.providers import Providers
from watchword.store import schema

ALL = "/api/v1/identity-templates"
LDAP = {"url": "ldaps://directory.test", "bindDN": "cn=search", "bindPass": "bind-secret", "searchBase": "dc=test"}


async def template(
    api: Api, fields: dict[str, Any] | None = None, method: str = "ldap-auth", name: str = "directory"
) -> str:
    body = {"name": name, "authMethod": method, "templateFields": fields or LDAP}
    return str((await api.ok("POST", ALL, body))["id"])


def path_of(identity_id: str, method: str = "ldap-auth") -> str:
    return f"/api/v1/auth/{method}/identities/{identity_id}"


async def linked(api: Api, template_id: str, role: str = "no-access", **more: Any) -> str:
    identity = await api.identity(role)
    await api.ok("POST", path_of(identity["id"]), {"templateId": template_id, **more})
    return str(identity["id"])


async def test_an_identity_takes_settings_from_a_template_and_keeps_its_own(any_api: Api) -> None:
    id = await template(any_api)
    identity_id = await linked(any_api, id, searchFilter="(cn={{username}})", url="ldaps://ignored.test")

    await any_api.ok("PATCH", f"{ALL}/{id}", {"templateFields": {"url": "ldaps://new.test", "bindPass": ""}})
    read = (await any_api.ok("GET", path_of(identity_id)))["identityLdapAuth"]
    shown = await any_api.ok("GET", f"{ALL}/{id}")

    assert (id, "ldaps://new.test", "cn=search", "(cn={{username}})") == (
        read["templateId"],
        read["url"],
        read["bindDN"],
        read["searchFilter"],
    )
    assert ("", True) == (read["bindPass"], read["bindPassIsSet"])
    assert ("ldap-auth", "ldaps://new.test", "", True) == (
        shown["authMethod"],
        shown["templateFields"]["url"],
        shown["templateFields"]["bindPass"],
        shown["templateFields"]["bindPassIsSet"],
    )
    async with any_api.runtime.store.read() as tx:
        stored = await tx.all(
            select(schema.method_templates.c.fields, schema.method_configs.c.config).where(
                schema.method_configs.c.template_id == id
            )
        )
    assert "bind-secret" not in str([tuple(row) for row in stored])
    assert "ldaps" not in str(stored[0][1])


async def test_a_change_of_a_template_reaches_the_next_login(provider_api: Api, providers: Providers) -> None:
    case = providers.cases["oidc-auth"]
    fields = {"oidcDiscoveryUrl": "https://elsewhere.test", "boundIssuer": "https://elsewhere.test"}
    id = await template(provider_api, fields, "oidc-auth")
    identity = await provider_api.identity("member")
    own = {"templateId": id, "boundClaims": {}, "boundSubject": "repo:org/*"}
    await provider_api.ok("POST", path_of(identity["id"], "oidc-auth"), own)
    login = f"/api/v1/auth/{case.slug}/login"

    before = await provider_api.post(login, case.good(identity["id"]), token=None)
    issuer = "https://issuer.test"
    await provider_api.ok(
        "PATCH", f"{ALL}/{id}", {"templateFields": {"oidcDiscoveryUrl": issuer, "boundIssuer": issuer}}
    )
    after = await provider_api.post(login, case.good(identity["id"]), token=None)

    assert (401, 200) == (before.status_code, after.status_code)


async def test_what_a_template_says_cannot_be_said_beside_it(api: Api) -> None:
    id = await template(api)
    identity_id = await linked(api, id)

    named = await api.patch(path_of(identity_id), {"url": "ldaps://evil.test"})
    unlinked = await api.patch(path_of(identity_id), {"templateId": None, "url": "ldaps://evil.test"})
    own = await api.ok("PATCH", path_of(identity_id), {"templateId": None, **LDAP, "bindPass": "mine"})

    assert 400 == named.status_code
    assert 422 == unlinked.status_code
    assert {"bindDN", "bindPass", "searchBase"} == {issue["path"][0] for issue in unlinked.json()["message"]}
    assert own["identityLdapAuth"]["templateId"] is None


async def test_a_template_in_use_is_not_deleted_and_unlinking_takes_the_method(any_api: Api) -> None:
    id = await template(any_api)
    one, other = await linked(any_api, id), await linked(any_api, id)

    refused = await any_api.delete(f"{ALL}/{id}")
    used = await any_api.ok("GET", f"{ALL}/{id}/usage")
    unlinked = await any_api.ok("POST", f"{ALL}/{id}/delete-usage", {"identityIds": [one, "unknown"]})
    left = await any_api.ok("GET", f"{ALL}/{id}/usage")
    await any_api.ok("POST", f"{ALL}/{id}/delete-usage", {"identityIds": [other]})
    deleted = await any_api.delete(f"{ALL}/{id}")

    assert (400, 200) == (refused.status_code, deleted.status_code)
    assert {one, other} == {use["identityId"] for use in used}
    assert ([one], [other]) == ([use["identityId"] for use in unlinked], [use["identityId"] for use in left])
    assert 404 == (await any_api.get(path_of(one))).status_code
    assert 404 == (await any_api.get(f"{ALL}/{id}")).status_code


async def test_templates_are_found_by_name_and_by_method(any_api: Api) -> None:
    for name in ("b-100%", "a-one", "c_two"):
        await template(any_api, name=name)
    issuer = {"oidcDiscoveryUrl": "https://issuer.test", "boundIssuer": "https://issuer.test"}
    await template(any_api, issuer, "oidc-auth", "issuer")

    async def names(**query: Any) -> list[str]:
        return [one["name"] for one in (await any_api.ok("GET", f"{ALL}/search", query=query))["templates"]]

    assert ["a-one", "b-100%", "c_two", "issuer"] == await names()
    assert (["b-100%"], ["c_two"], ["b-100%"]) == (
        await names(search="%"),
        await names(search="_"),
        await names(offset=1, limit=1),
    )
    assert 4 == (await any_api.ok("GET", f"{ALL}/search", query={"limit": 1}))["totalCount"]
    assert ["issuer"] == [one["name"] for one in await any_api.ok("GET", ALL, query={"authMethod": "oidc-auth"})]


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({"name": "", "authMethod": "ldap-auth", "templateFields": LDAP}, ["name"]),
        ({"name": "n" * 65, "authMethod": "ldap-auth", "templateFields": LDAP}, ["name"]),
        ({"name": "x", "authMethod": "token-auth", "templateFields": {}}, ["authMethod"]),
        (
            {"name": "x", "authMethod": "ldap-auth", "templateFields": LDAP | {"url": "https://x"}},
            ["templateFields", "url"],
        ),
        (
            {"name": "x", "authMethod": "ldap-auth", "templateFields": LDAP | {"bindPass": ""}},
            ["templateFields", "bindPass"],
        ),
        ({"name": "x", "authMethod": "kubernetes-auth", "templateFields": {}}, ["templateFields", "kubernetesHost"]),
        (
            {"name": "x", "authMethod": "oidc-auth", "templateFields": {"oidcDiscoveryUrl": "x", "boundIssuer": "i"}},
            ["templateFields", "oidcDiscoveryUrl"],
        ),
    ],
)
async def test_a_template_that_no_method_could_use_is_refused(api: Api, body: dict[str, Any], path: list[str]) -> None:
    reply = await api.post(ALL, body)

    assert (422, [path]) == (reply.status_code, [issue["path"] for issue in reply.json()["message"]])


async def test_a_template_of_another_organization_or_method_is_not_attached(api: Api) -> None:
    _, other = await api.organization()
    foreign = (
        await api.ok("POST", ALL, {"name": "x", "authMethod": "ldap-auth", "templateFields": LDAP}, token=other)
    )["id"]
    own = await template(api)
    identity = await api.identity()

    replies = [
        await api.post(path_of(identity["id"]), {"templateId": foreign}),
        await api.get(f"{ALL}/{foreign}"),
        await api.post(path_of(identity["id"], "oidc-auth"), {"templateId": own, "boundClaims": {}}),
    ]

    assert [404, 404, 400] == [reply.status_code for reply in replies]


async def test_who_edits_a_template_must_not_be_less_than_the_identities_that_use_it(api: Api) -> None:
    id = await template(api)
    rules = [{"subject": "machine-identity-auth-template", "action": ["edit-templates", "unlink-templates"]}]
    await api.ok("POST", "/api/v1/organization/roles", {"slug": "templater", "name": "Templater", "permissions": rules})
    _, token = await api.bot("templater")
    change = {"templateFields": {"url": "ldaps://evil.test"}}

    alone = await api.patch(f"{ALL}/{id}", change, token=token)
    admin = await linked(api, id, role="admin")
    over = await api.patch(f"{ALL}/{id}", change, token=token)
    unlinked = await api.post(f"{ALL}/{id}/delete-usage", {"identityIds": [admin]}, token=token)

    assert [200, 403, 403] == [reply.status_code for reply in (alone, over, unlinked)]
    assert "PermissionBoundaryError" == over.json()["error"]


async def test_what_members_may_do_with_templates(api: Api) -> None:
    id = await template(api)
    _, member = await api.bot("member")
    _, nobody = await api.bot("no-access")
    identity = await api.identity()

    async def status(method: str, path: str, body: Any = None, token: str = member) -> int:
        return (await api.request(method, path, body, token=token)).status_code

    assert [200, 200, 403, 403] == [
        await status("GET", f"{ALL}/{id}"),
        await status("GET", f"{ALL}/search"),
        await status("PATCH", f"{ALL}/{id}", {"name": "x"}),
        await status("DELETE", f"{ALL}/{id}"),
    ]
    assert [403, 403] == [
        await status("GET", f"{ALL}/{id}", token=nobody),
        await status("GET", f"{ALL}/{id}/usage", token=nobody),
    ]
    assert 200 == await status("POST", path_of(identity["id"]), {"templateId": id})


async def test_an_organization_goes_with_its_templates_and_their_uses(any_api: Api) -> None:
    org_id, token = await any_api.organization()
    id = (await any_api.ok("POST", ALL, {"name": "x", "authMethod": "ldap-auth", "templateFields": LDAP}, token=token))[
        "id"
    ]
    body = {"name": "bot", "organizationId": org_id, "role": "no-access"}
    identity = (await any_api.ok("POST", "/api/v1/identities", body, token=token))["identity"]
    await any_api.ok("POST", path_of(identity["id"]), {"templateId": id}, token=token)

    reply = await any_api.delete(f"/api/v2/organizations/{org_id}", token=token)

    assert 200 == reply.status_code
    async with any_api.runtime.store.read() as tx:
        assert [] == list(await tx.all(select(schema.method_templates.c.id)))


async def test_an_organization_and_a_project_go_with_their_custom_roles(any_api: Api) -> None:
    org_id, token = await any_api.organization()
    made = (await any_api.ok("POST", "/api/v1/projects", {"projectName": "p", "slug": "p-app-1"}, token=token))[
        "project"
    ]
    role = {"slug": "own", "name": "Own", "permissions": []}
    await any_api.ok("POST", "/api/v1/organization/roles", role, token=token)
    await any_api.ok("POST", f"/api/v1/projects/{made['id']}/roles", role, token=token)
    body = {"name": "bot", "organizationId": org_id, "role": "own"}
    identity = (await any_api.ok("POST", "/api/v1/identities", body, token=token))["identity"]
    await any_api.ok(
        "POST", f"/api/v1/projects/{made['id']}/identity-memberships/{identity['id']}", {"role": "own"}, token=token
    )

    project_gone = await any_api.delete(f"/api/v1/projects/{made['id']}", token=token)
    gone = await any_api.delete(f"/api/v2/organizations/{org_id}", token=token)

    assert (200, 200) == (project_gone.status_code, gone.status_code)


async def test_an_identity_of_a_project_uses_a_template_of_its_organization(api: Api) -> None:
    id = await template(api)
    made = await project(api)
    identity = (await api.ok("POST", f"/api/v1/projects/{made['id']}/identities", {"name": "inside"}))["identity"]

    await api.ok("POST", path_of(identity["id"]), {"templateId": id})
    changed = await api.patch(f"{ALL}/{id}", {"templateFields": {"url": "ldaps://new.test"}})

    assert 200 == changed.status_code
    assert "ldaps://new.test" == (await api.ok("GET", path_of(identity["id"])))["identityLdapAuth"]["url"]


OIDC = {"oidcDiscoveryUrl": "https://issuer.test", "boundIssuer": "https://issuer.test"}
CLUSTER = {"kubernetesHost": "https://cluster.test", "tokenReviewerJwt": "reviewer"}


@pytest.mark.parametrize(
    ("method", "fields", "path"),
    [
        ("oidc-auth", OIDC | {"boundSubject": "repo:o/r"}, "boundSubject"),
        ("oidc-auth", OIDC | {"boundAudience": "x"}, "boundAudience"),
        ("kubernetes-auth", CLUSTER | {"allowedNamespaces": "prod"}, "allowedNamespaces"),
        ("kubernetes-auth", CLUSTER | {"verifyTlsCertificate": False}, "verifyTlsCertificate"),
        ("kubernetes-auth", CLUSTER | {"tokenReviewMode": "gateway"}, "tokenReviewMode"),
        ("ldap-auth", LDAP | {"allowedFields": []}, "allowedFields"),
    ],
)
async def test_what_a_template_cannot_hold_is_refused_by_name(
    api: Api, method: str, fields: dict[str, Any], path: str
) -> None:
    whole = {"oidc-auth": OIDC, "kubernetes-auth": CLUSTER, "ldap-auth": LDAP}[method]
    id = await template(api, whole, method, name="whole")

    made = await api.post(ALL, {"name": "x", "authMethod": method, "templateFields": fields})
    changed = await api.patch(f"{ALL}/{id}", {"templateFields": {path: fields[path]}})

    assert [422, 422] == [made.status_code, changed.status_code]
    assert [["templateFields", path]] * 2 == [reply.json()["message"][0]["path"] for reply in (made, changed)]


async def test_a_misspelt_key_beside_the_fields_is_refused(api: Api) -> None:
    id = await template(api)

    reply = await api.patch(f"{ALL}/{id}", {"templateField": {"url": "ldaps://new.test"}})

    assert (422, ["templateField"]) == (reply.status_code, reply.json()["message"][0]["path"])
    assert "templateFields" in reply.json()["message"][0]["message"]


async def test_the_audience_of_a_template_holds_for_the_logins_of_its_identities(
    provider_api: Api, providers: Providers
) -> None:
    case = providers.cases["oidc-auth"]
    id = await template(provider_api, OIDC | {"boundAudiences": "someone-else"}, "oidc-auth")
    identity = await provider_api.identity("member")
    own = {"templateId": id, "boundClaims": {}, "boundSubject": "repo:org/*", "boundAudiences": ""}
    await provider_api.ok("POST", path_of(identity["id"], "oidc-auth"), own)
    login = f"/api/v1/auth/{case.slug}/login"

    for_another = await provider_api.post(login, case.good(identity["id"]), token=None)
    await provider_api.ok("PATCH", f"{ALL}/{id}", {"templateFields": {"boundAudiences": "other,watchword"}})
    for_us = await provider_api.post(login, case.good(identity["id"]), token=None)

    assert (401, 200) == (for_another.status_code, for_us.status_code)
    read = (await provider_api.ok("GET", path_of(identity["id"], "oidc-auth")))["identityOidcAuth"]
    assert "other, watchword" == read["boundAudiences"]


async def test_an_audience_is_the_identitys_own_where_its_template_says_none(api: Api) -> None:
    id = await template(api, OIDC, "oidc-auth")
    identity = await api.identity()
    path = path_of(identity["id"], "oidc-auth")
    await api.ok("POST", path, {"templateId": id, "boundClaims": {}, "boundAudiences": "own"})

    await api.ok("PATCH", path, {"boundAudiences": "own, more"})
    read = (await api.ok("GET", path))["identityOidcAuth"]

    assert "own, more" == read["boundAudiences"]


async def test_a_setting_that_the_template_holds_is_not_sent_beside_it(api: Api) -> None:
    id = await template(api, CLUSTER | {"allowedAudience": "vault", "tokenReviewMode": "api"}, "kubernetes-auth")
    one, other = await api.identity(), await api.identity(name="other")
    lists = {"templateId": id, "allowedNamespaces": "prod", "allowedNames": ""}

    lost = await api.post(path_of(one["id"], "kubernetes-auth"), lists | {"allowedAudience": "mine"})
    empty = await api.ok("POST", path_of(one["id"], "kubernetes-auth"), lists | {"allowedAudience": ""})
    same = await api.ok("POST", path_of(other["id"], "kubernetes-auth"), lists | {"allowedAudience": "vault"})
    changed = await api.patch(path_of(one["id"], "kubernetes-auth"), {"allowedAudience": "mine"})

    assert (400, 400) == (lost.status_code, changed.status_code)
    assert "allowedAudience" in lost.json()["message"]
    assert ["vault"] * 2 == [reply["identityKubernetesAuth"]["allowedAudience"] for reply in (empty, same)]


async def test_an_identity_that_leaves_its_template_keeps_the_templates_restrictions(api: Api) -> None:
    strict = await template(api, OIDC | {"boundAudiences": "vault"}, "oidc-auth")
    plain = await template(api, OIDC, "oidc-auth", name="plain")
    identity = await api.identity()
    path = path_of(identity["id"], "oidc-auth")
    await api.ok("POST", path, {"templateId": strict, "boundClaims": {}})

    moved = (await api.ok("PATCH", path, {"templateId": plain}))["identityOidcAuth"]
    alone = (await api.ok("PATCH", path, {"templateId": None, **OIDC}))["identityOidcAuth"]

    assert ("vault", "vault", None) == (moved["boundAudiences"], alone["boundAudiences"], alone["templateId"])
