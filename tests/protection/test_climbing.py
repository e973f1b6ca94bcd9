"""An attempt to climb by every route: two callers who may use the routes, and still get no further than they are."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.api import EMAIL, PASSWORD, Api, running, sqlite_settings
from tests.protection.power_routes import HARMLESS, OVER_INSTANCE, POWER, Attempt
from tests.protection.test_routes import ROUTES, filled, operation
from watchword.domain.people.records import GroupMember
from watchword.store.people import groups

pytestmark = pytest.mark.asyncio(loop_scope="module")

# Who keeps the members of a place: every right over identities, people, groups and roles, and nothing else to give
# away.
_KEEPS = ("identity", "role", "groups", "member", "machine-identity-auth-template")
# Who may do everything with the whole of a place, and nothing with what is in it.
_SETTLES = ("settings", "workspace", "service-tokens")
_DENIAL = {"subject": "identity", "action": ["read"], "conditions": {"identityId": "nobody"}, "inverted": True}


class Mountain:
    """The server, what is in it, and the tokens of those who try."""

    def __init__(self, api: Api) -> None:
        self.api = api
        self.ids: dict[str, str] = {}
        self.tokens: dict[str, str] = {}

    async def build(self) -> None:
        api, ids = self.api, self.ids
        project = (await api.ok("POST", "/api/v1/projects", {"projectName": "Peak"}))["project"]
        ids |= {
            "org_id": api.org_id,
            "organization_id": api.org_id,
            "project_id": project["id"],
            "project_slug": project["slug"],
        }
        ids["sub_org_id"] = (await api.ok("POST", "/api/v1/sub-organizations", {"name": "Part"}))["organization"]["id"]
        place = {"projectId": project["id"], "environment": "dev", "name": "kept"}
        ids["folder_id"] = (await api.ok("POST", "/api/v2/folders", place))["folder"]["id"]
        builtin = (await api.ok("GET", "/api/v1/organization/roles"))["roles"][0]["id"]
        ids["org_role"] = await self._role("/api/v1/organization/roles", builtin)
        ids["project_role"] = await self._role(f"/api/v1/projects/{project['id']}/roles", builtin)
        await self._role("/api/v1/organization/roles", builtin, "settler", _SETTLES)
        await self._role(f"/api/v1/projects/{project['id']}/roles", builtin, "settler", _SETTLES)
        await self._instance()
        await self._strong()
        await self._people()
        for name in ("keeper", "settler", "member", "admin"):
            org_role = project_role = name
            identity, self.tokens[name] = await api.bot(org_role)
            await api.ok(
                "POST",
                f"/api/v1/projects/{project['id']}/memberships/identities/{identity['id']}",
                {"role": project_role},
            )
            ids[f"{name} me"] = identity["id"]
            denial = {
                "identityId": identity["id"],
                "projectId": project["id"],
                "slug": "denial",
                "permissions": [_DENIAL],
            }
            await api.ok("POST", "/api/v2/identity-project-additional-privilege", denial)

    async def _instance(self) -> None:
        """What administers the instance, and a service token that may read."""
        api, ids = self.api, self.ids
        found = (await api.ok("GET", f"/api/v1/identities?orgId={api.org_id}"))["identities"]
        ids["instance identity_id"] = identity = next(
            one["identityId"] for one in found if one["identity"]["name"] == "Instance Admin Identity"
        )
        listed = await api.ok("GET", f"/api/v1/auth/token-auth/identities/{identity}/tokens", token=api.instance_token)
        ids["instance token_id"] = listed["tokens"][0]["id"]
        token = {
            "name": "x",
            "workspaceId": ids["project_id"],
            "scopes": [{"environment": "dev", "secretPath": "/"}],
            "permissions": ["read"],
            "expiresIn": None,
        }
        ids["service_token_id"] = (await api.ok("POST", "/api/v2/service-token", token))["serviceTokenData"]["id"]
        invite = {"inviteeEmails": ["boss@example.com"], "organizationId": api.org_id, "organizationRoleSlug": "admin"}
        ids["invitation_id"] = (await api.ok("POST", "/api/v1/invite-org/signup", invite))["completeInviteLinks"][0][
            "invitationId"
        ]

    async def _role(self, base: str, builtin: str, slug: str = "keeper", subjects: tuple[str, ...] = _KEEPS) -> str:
        """A role with all actions on some subjects: those that are about members."""
        admin = (await self.api.ok("GET", f"{base}/{builtin}"))["role"]["permissions"]
        kept = [rule for rule in admin if rule["subject"] in subjects]
        return (await self.api.ok("POST", base, {"slug": slug, "name": slug, "permissions": kept}))["role"]["id"]

    async def _strong(self) -> None:
        api, ids, place = self.api, self.ids, f"/api/v1/projects/{self.ids['project_id']}"
        ids["identity_id"] = strong = (await api.identity("admin", name="strong"))["id"]
        ids["free"] = (await api.identity(name="free"))["id"]
        await api.ok("POST", f"{place}/memberships/identities/{strong}", {"role": "admin"})
        await api.universal(strong)
        found = await api.ok("GET", f"/api/v1/auth/universal-auth/identities/{strong}/client-secrets")
        ids["client_secret_id"] = found["clientSecretData"][0]["id"]
        await api.ok("POST", f"/api/v1/auth/token-auth/identities/{strong}", {})
        ids["token_id"] = (await api.ok("POST", f"/api/v1/auth/token-auth/identities/{strong}/tokens", {}))[
            "tokenData"
        ]["id"]
        await self._template(strong)
        given = {
            "identityId": strong,
            "projectId": ids["project_id"],
            "permissions": [{"subject": "settings", "action": ["read"]}],
        }
        ids["privilege_id"] = (await api.ok("POST", "/api/v2/identity-project-additional-privilege", given))[
            "privilege"
        ]["id"]
        ids["owned"] = (await api.ok("POST", f"{place}/identities", {"name": "owned", "roles": [{"role": "admin"}]}))[
            "identity"
        ]["id"]
        for name, role in (
            ("group_id", "admin"),
            ("weak_group", "no-access"),
            ("inside_group", "no-access"),
            ("project_group", "no-access"),
        ):
            ids[name] = (await api.ok("POST", "/api/v1/groups", {"name": name, "role": role}))["id"]
        await api.ok("POST", f"/api/v1/groups/{ids['group_id']}/machine-identities/{strong}")
        await api.ok("POST", f"/api/v1/groups/{ids['group_id']}/users/{EMAIL}")
        await api.ok("POST", f"{place}/groups/{ids['inside_group']}", {"role": "no-access"})
        await api.ok("POST", f"{place}/groups/{ids['project_group']}", {"role": "admin"})

    async def _template(self, strong: str) -> None:
        """Settings of a directory that the strong identity logs in with."""
        fields = {"url": "ldaps://ldap.example.com", "bindDN": "cn=x", "bindPass": "x", "searchBase": "dc=x"}
        made = await self.api.ok(
            "POST",
            "/api/v1/identity-templates",
            {"name": "shared", "authMethod": "ldap-auth", "templateFields": fields},
        )
        self.ids["template_id"] = made["id"]
        await self.api.ok(
            "POST",
            f"/api/v1/auth/ldap-auth/identities/{strong}",
            {"templateId": made["id"], "searchFilter": "(uid={{username}})"},
        )

    async def _people(self) -> None:
        api, ids = self.api, self.ids
        for name in ("keeper", "settler", "member", "admin", "free"):
            email = f"{name}@example.org"
            invite = {
                "inviteeEmails": [email],
                "organizationId": api.org_id,
                "organizationRoleSlug": "no-access" if name == "free" else name,
            }
            link = (await api.ok("POST", "/api/v1/invite-org/signup", invite))["completeInviteLinks"][0]["link"]
            await api.ok(
                "POST", "/api/v1/invite-org/accept", {"token": link.partition("=")[2], "password": PASSWORD}, token=None
            )
            if name == "free":
                continue
            body = {"emails": [email], "roleSlugs": [name]}
            joined = await api.ok("POST", f"/api/v1/projects/{ids['project_id']}/memberships", body)
            ids[f"{name} my_project_membership"] = joined["memberships"][0]["id"]
            person = (await api.ok("POST", "/api/v3/auth/login", {"email": email, "password": PASSWORD}, token=None))[
                "accessToken"
            ]
            self.tokens[f"{name} person"] = await api.enter(api.org_id, person)
            ids[f"{name} my_email"] = email
        listed = (await api.ok("GET", f"/api/v2/organizations/{api.org_id}/memberships"))["users"]
        people = {one["user"]["email"]: one for one in listed if one["user"]}  # one is invited only
        there = (await api.ok("GET", f"/api/v1/projects/{ids['project_id']}/memberships"))["memberships"]
        ids |= {
            "owner_email": EMAIL,
            "free_email": "free@example.org",
            "user_id": people[EMAIL]["user"]["id"],
            "owner_membership": people[EMAIL]["id"],
            "owner_project_membership": next(one["id"] for one in there if one["user"]["email"] == EMAIL),
        }
        for name in ("keeper", "settler", "member", "admin"):
            ids[f"{name} my_membership"] = people[f"{name}@example.org"]["id"]

    def names(self, who: str) -> dict[str, str]:
        """The ids as one of those who try sees them."""
        own = who.partition(" ")[0]
        return self.ids | {
            key.removeprefix(f"{own} "): value for key, value in self.ids.items() if key.startswith(f"{own} ")
        }

    async def put_into_group(self, group_id: str, identity_id: str) -> None:
        async with self.api.runtime.store.write() as tx:
            if await groups.member(tx, group_id, "identity", identity_id) is None:
                await groups.add_member(
                    tx, GroupMember(group_id=group_id, actor_kind="identity", actor_id=identity_id, created_at=0)
                )

    async def attempt(self, who: str, one: Attempt) -> tuple[int, Any]:
        ids = self.names(who)
        method, path = one.operation.split(" ")
        path = filled(path, {**ids, **{name: ids[value] for name, value in one.path.items()}})
        reply = await self.api.request(method, path, filled(one.body, ids), token=self.tokens[who])
        return reply.status_code, reply.text

    async def rights(self, who: str) -> list[Any]:
        """What somebody may do: for a person all rules, for an identity what is answered to what only
        administrators may ask.
        """
        paths = (
            f"/api/v1/organization/{self.api.org_id}/permissions",
            f"/api/v1/projects/{self.ids['project_id']}/permissions",
        )
        if not who.endswith("person"):
            paths = ("/api/v1/organization/audit-logs", f"/api/v1/projects/{self.ids['project_id']}/audit-logs")
            return [(await self.api.get(path, token=self.tokens[who])).status_code for path in paths]
        return [(await self.api.ok("GET", path, token=self.tokens[who])) for path in paths]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def mountain(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Mountain]:
    folder: Path = tmp_path_factory.mktemp("mountain")
    async with running(sqlite_settings(folder)) as api:
        found = Mountain(api)
        await found.build()
        yield found


async def test_every_route_that_writes_is_attempted_or_said_to_give_and_take_no_power() -> None:
    watched = {operation(route) for route in ROUTES if route.method != "GET"}
    known = {one.operation for one in POWER} | HARMLESS.keys()

    assert set() == watched - known, "put these into tests/protection/power_routes.py"
    assert set() == known - {operation(route) for route in ROUTES}


@pytest.mark.parametrize("who", ["keeper", "keeper person", "settler", "settler person", "member", "member person"])
async def test_nobody_climbs_by_any_route(mountain: Mountain, who: str) -> None:
    before = await mountain.rights(who)
    modes = {operation(route): route.modes for route in ROUTES}
    kind = "user" if who.endswith("person") else "identity"
    went_through = []

    for one in (one for one in POWER if one.only in ("", kind, who.partition(" ")[0])):
        status, text = await mountain.attempt(who, one)
        refused = one.refused if kind in modes[one.operation] else (403,)
        if status not in refused:
            went_through.append((one.operation, dict(one.path), status, text[:160]))

    assert [] == went_through
    assert before == await mountain.rights(who)


@pytest.mark.parametrize("who", ["admin", "admin person"])
async def test_an_administrator_of_an_organization_takes_nothing_from_one_of_the_instance(
    mountain: Mountain, who: str
) -> None:
    api, ids = (
        mountain.api,
        {
            **mountain.names(who),
            **{name.removeprefix("instance "): id for name, id in mountain.ids.items() if name.startswith("instance ")},
        },
    )
    # As in a database from before such a membership was refused.
    await mountain.put_into_group(ids["group_id"], ids["identity_id"])
    went_through = []

    for one in OVER_INSTANCE:
        method, path = one.operation.split(" ")
        reply = await api.request(method, filled(path, ids), filled(one.body, ids), token=mountain.tokens[who])
        if reply.status_code != 403:
            went_through.append((one.operation, reply.status_code, reply.text[:160]))

    assert [] == went_through
    assert 200 == (await api.get("/api/v1/admin/user-management/users", token=api.instance_token)).status_code
