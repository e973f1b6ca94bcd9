"""A server with one of everything, callers of every kind, and a store that forgets what a request wrote."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import msgspec
from nacl.pwhash import argon2id

from tests.api import EMAIL, PASSWORD, Api, Clock, sqlite_settings
from tests.inside import Inside
from tests.protection.permissions import TABLE, Asks
from watchword.app import Server, build_runtime, opened
from watchword.domain.access.abilities import BUILT_IN, Ability, Rule, compile_rules
from watchword.domain.access.records import Membership, MembershipRole, Role
from watchword.domain.actor import HolderKind
from watchword.domain.authentication.records import MethodConfig
from watchword.domain.bounds import parse_ip_range
from watchword.domain.identities.records import Identity
from watchword.domain.people.records import Session, User
from watchword.services.authentication import tokens
from watchword.services.context import Ctx
from watchword.services.people import sign_in
from watchword.store import versions
from watchword.store.access import grants
from watchword.store.authentication import method_configs, token_revocations
from watchword.store.cache import Cache
from watchword.store.engine import Store, Tx
from watchword.store.identities import identities
from watchword.store.journal import Journal
from watchword.store.people import people

HOLDERS: tuple[HolderKind, ...] = ("identity", "user")
EVERYWHERE = (parse_ip_range("0.0.0.0/0"), parse_ip_range("::/0"))


class _Forget(Exception):
    pass


class ForgetfulStore:
    """A store whose units do all their work, answer, and are rolled back once `forgets` is set."""

    def __init__(self, inner: Store) -> None:
        self.inner = inner
        self.name = inner.name
        self.forgets = False
        self.wrote: set[str] = set()  # the tables that were written to

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    @asynccontextmanager
    async def write(self) -> AsyncIterator[Tx]:
        try:
            async with self.inner.write() as tx:
                yield tx
                self.wrote |= tx.tables  # type: ignore[attr-defined]
                if self.forgets:
                    raise _Forget
        except _Forget:
            pass


class Persona(msgspec.Struct, frozen=True, kw_only=True):
    """A caller, and what it holds in the organization and in the project.

    `dead`: whatever it asks, it is not let in.
    """

    name: str
    kind: str
    token: str
    tenant: str = "ours"
    org: tuple[Rule, ...] = ()
    project: tuple[Rule, ...] | None = None
    is_instance_admin: bool = False
    dead: bool = False

    def ability(self, scope: str) -> Ability | None:
        rules = self.project if scope == "project" else self.org
        return None if rules is None else compile_rules(rules)


def alternatives(need: str) -> list[tuple[str, str]]:
    """`a x or b y` as pairs of action and subject."""
    pairs = [alternative.split(" ") for alternative in need.split(" or ")]
    return [(action, subject) for action, subject in pairs]


def exactly(needs: Sequence[str]) -> tuple[Rule, ...]:
    """Rules that allow the needs and nothing else."""
    actions_of: dict[str, list[str]] = {}
    for need in needs:
        action, subject = alternatives(need)[0]
        actions_of.setdefault(subject, []).append(action)
    return tuple(Rule(subject, tuple(dict.fromkeys(actions))) for subject, actions in actions_of.items())


def all_but(kind: str, needs: Sequence[str]) -> tuple[Rule, ...]:
    """All that an administrator may, without the first of the needs."""
    removed = set(alternatives(needs[0]))
    if ("read", "secrets") in removed:
        removed |= {("readValue", "secrets"), ("describeSecret", "secrets")}
    removed.add(("read", "secrets"))  # the old name of the other two, which may not stand beside them
    rules = next(role for role in BUILT_IN[kind] if role.slug == "admin").rules  # type: ignore[index]
    return tuple(Rule(r.subject, tuple(a for a in r.actions if (a, r.subject) not in removed)) for r in rules)


def built(kind: str, slug: str) -> tuple[Rule, ...]:
    return next(role for role in BUILT_IN[kind] if role.slug == slug).rules  # type: ignore[index]


class Scenario:
    """The server, the ids of what is in it, and the callers."""

    def __init__(self, api: Api, store: ForgetfulStore) -> None:
        self.api = api
        self.store = store
        self.ids: dict[str, str] = {}
        self.personas: list[Persona] = []
        self.special: dict[tuple[str, str, tuple[str, ...], str], Persona] = {}
        self.password_hash = argon2id.str(PASSWORD.encode(), 1, 64 << 10).decode()

    async def add_targets(self) -> None:
        """One of everything, over the API."""
        api, ids = self.api, self.ids
        ids["org_id"] = ids["organization_id"] = api.org_id
        project = (await api.ok("POST", "/api/v1/projects", {"projectName": "Kept"}))["project"]
        ids |= {"project_id": project["id"], "project_slug": project["slug"]}
        environments = (await api.ok("GET", f"/api/v1/projects/{project['id']}"))["project"]["environments"]
        ids |= {"environment_id": environments[0]["id"], "environment_slug": environments[0]["slug"]}
        place = {"projectId": project["id"], "environment": environments[0]["slug"]}
        ids["folder_id"] = (await api.ok("POST", "/api/v2/folders", {**place, "name": "kept"}))["folder"]["id"]
        tag = (await api.ok("POST", f"/api/v1/projects/{project['id']}/tags", {"slug": "kept", "color": "#000000"}))[
            "tag"
        ]
        ids |= {"tag_id": tag["id"], "tag_slug": tag["slug"]}
        hook = {"workspaceId": project["id"], "webhookUrl": "https://127.0.0.1/in", "webhookSecretKey": "kept"}
        told = {"name": "Kept", "url": "https://127.0.0.1/in"}
        ids["channel_id"] = (await api.ok("POST", "/api/v1/organization/alert-channels", told))["channel"]["id"]
        ids["webhook_id"] = (await api.ok("POST", "/api/v1/webhooks", hook))["webhook"]["id"]
        made = {"slug": "held", "name": "Held", "permissions": []}
        ids["org_role_id"] = (await api.ok("POST", "/api/v1/organization/roles", made))["role"]["id"]
        ids["project_role_id"] = (await api.ok("POST", f"/api/v1/projects/{project['id']}/roles", made))["role"]["id"]
        ids["role_slug"] = "held"
        part = await api.ok("POST", "/api/v1/sub-organizations", {"name": "Kept part"})
        ids["sub_org_id"] = part["organization"]["id"]
        await self._target_identity(project)
        await self._target_person()
        await self._groups(project["id"])
        await self._secrets(project["id"])
        token = {
            "name": "kept",
            "workspaceId": project["id"],
            "scopes": [{"environment": environments[0]["slug"], "secretPath": "/**"}],
            "permissions": ["read", "write"],
            "expiresIn": None,
        }
        made = await api.ok("POST", "/api/v2/service-token", token)
        ids["service_token_id"] = made["serviceTokenData"]["id"]
        self.personas.append(Persona(name="service token", kind="service", token=made["serviceToken"]))

    async def _secrets(self, project_id: str) -> None:
        api, ids = self.api, self.ids
        place = {"projectId": project_id, "environment": ids["environment_slug"], "secretPath": "/"}
        ids["secret_name"] = "KEPT"
        ids["secret_id"] = (await api.ok("POST", "/api/v4/secrets/KEPT", {**place, "secretValue": "kept"}))["secret"][
            "id"
        ]
        source = {"environment": "prod", "path": "/"}
        ids["import_id"] = (await api.ok("POST", "/api/v2/secret-imports", {**place, "import": source}))[
            "secretImport"
        ]["id"]
        fields = {"url": "ldaps://ldap.example.com", "bindDN": "cn=x", "bindPass": "y", "searchBase": "dc=x"}
        template = await api.ok(
            "POST", "/api/v1/identity-templates", {"name": "kept", "authMethod": "ldap-auth", "templateFields": fields}
        )
        ids["template_id"] = template["id"]

    async def _target_identity(self, project: Mapping[str, Any]) -> None:
        api, ids = self.api, self.ids
        ids["identity_id"] = identity = (await api.identity("no-access", name="target"))["id"]
        ids["free_identity_id"] = (await api.identity("no-access", name="free"))["id"]
        await api.universal(identity)
        found = await api.ok("GET", f"/api/v1/auth/universal-auth/identities/{identity}/client-secrets")
        ids["client_secret_id"] = found["clientSecretData"][0]["id"]
        await api.ok("POST", f"/api/v1/auth/token-auth/identities/{identity}", {})
        made = await api.ok("POST", f"/api/v1/auth/token-auth/identities/{identity}/tokens", {"name": "kept"})
        ids["token_id"] = made["tokenData"]["id"]
        base = f"/api/v1/projects/{project['id']}/identity-memberships/{identity}"
        ids["identity_membership_id"] = (await api.ok("POST", base, {"role": "no-access"}))["identityMembership"]["id"]
        denies = [{"subject": "secrets", "action": ["create"], "conditions": {"environment": "dev"}, "inverted": True}]
        body = {
            "identityId": identity,
            "projectId": project["id"],
            "slug": "kept",
            "permissions": denies,
            "type": {"isTemporary": False},
        }
        privilege = (await api.ok("POST", "/api/v2/identity-project-additional-privilege", body))["privilege"]
        ids |= {"privilege_id": privilege["id"], "privilege_slug": privilege["slug"]}
        refused = await api.post(
            "/api/v1/auth/universal-auth/login", {"clientId": "x", "clientSecret": "y"}, token=None
        )
        ids["request_id"] = refused.json()["reqId"]

    async def _target_person(self) -> None:
        api, ids = self.api, self.ids
        invite = {
            "inviteeEmails": ["target@example.com"],
            "organizationId": api.org_id,
            "organizationRoleSlug": "no-access",
        }
        link = (await api.ok("POST", "/api/v1/invite-org/signup", invite))["completeInviteLinks"][0]["link"]
        joined = await api.ok(
            "POST", "/api/v1/invite-org/accept", {"token": link.partition("=")[2], "password": PASSWORD}, token=None
        )
        ids["user_id"] = joined["user"]["id"]
        people_there = (await api.ok("GET", f"/api/v2/organizations/{api.org_id}/memberships"))["users"]
        ids["membership_id"] = next(person["id"] for person in people_there if person["userId"] == ids["user_id"])
        waiting = {**invite, "inviteeEmails": ["waiting@example.com"]}
        ids["invitation_id"] = (await api.ok("POST", "/api/v1/invite-org/signup", waiting))["completeInviteLinks"][0][
            "invitationId"
        ]
        ids["session_id"] = "01a203ee-9dba-7b90-b424-1f20aa43038b"

    async def _groups(self, project_id: str) -> None:
        """A group with the identity and the person in it, in the project; the person and an identity of its own
        there too.
        """
        api, ids, place = self.api, self.ids, f"/api/v1/projects/{project_id}"
        ids |= {"username": "target@example.com", "owner_username": EMAIL}
        ids["free_group_id"] = (await api.ok("POST", "/api/v1/groups", {"name": "free"}))["id"]
        ids["group_id"] = (await api.ok("POST", "/api/v1/groups", {"name": "kept"}))["id"]
        await api.ok("POST", f"/api/v1/groups/{ids['group_id']}/machine-identities/{ids['identity_id']}")
        await api.ok("POST", f"/api/v1/groups/{ids['group_id']}/users/{ids['username']}")
        await api.ok("POST", f"{place}/groups/{ids['group_id']}", {"role": "no-access"})
        joined = await api.ok("POST", f"{place}/memberships", {"emails": [ids["username"]], "roleSlugs": ["no-access"]})
        ids["project_membership_id"] = joined["memberships"][0]["id"]
        ids["owned_identity_id"] = (await api.ok("POST", f"{place}/identities", {"name": "owned"}))["identity"]["id"]

    async def add_callers(self) -> None:
        """Callers of every kind, straight into the store: over the API the boundary would refuse some of them."""
        api = self.api
        other_id, _ = await api.organization("Other tenant")
        ctx = Ctx(api.runtime, address="127.0.0.1")
        ctx.public("arranging a test")
        async with ctx.unit() as tx:
            await self._standing(ctx, tx, other_id)
            for asks in TABLE.values():
                if asks.needs:
                    await self._special(ctx, tx, asks)
        self.personas += [
            Persona(
                name="instance admin",
                kind="user",
                token=api.token,
                org=built("organization", "admin"),
                is_instance_admin=True,
                project=built("project", "admin"),
            ),
            Persona(name="malformed token", kind="user", token="not.a.token", dead=True),
        ]

    async def _standing(self, ctx: Ctx, tx: Tx, other_id: str) -> None:
        for kind in HOLDERS:
            for name, org, project in (
                ("admin", "admin", "admin"),
                ("member", "member", "member"),
                ("viewer", "no-access", "viewer"),
                ("no access", "no-access", "no-access"),
                ("admin outside the project", "admin", None),
            ):
                held = None if project is None else built("project", project)
                self.personas.append(
                    await self.caller(ctx, tx, f"{name} ({kind})", kind, built("organization", org), held)
                )
            for dead in ("disabled", "expired", "revoked", "suspended"):
                self.personas.append(
                    await self.caller(
                        ctx, tx, f"{dead} ({kind})", kind, built("organization", "admin"), None, dead=dead
                    )
                )
            theirs = await self.caller(
                ctx, tx, f"other tenant's {kind}", kind, built("organization", "admin"), None, org_id=other_id
            )
            self.personas.append(msgspec.structs.replace(theirs, tenant="theirs"))
        admin = built("organization", "admin")
        owing = await self.caller(
            ctx, tx, "an administrator who owes a second factor", "user", admin, built("project", "admin"), owes=True
        )
        self.personas.append(msgspec.structs.replace(owing, kind="pending"))
        self.personas.append(
            await self.caller(
                ctx, tx, "the project's own identity", "identity", (), built("project", "member"), scoped=True
            )
        )

    async def _special(self, ctx: Ctx, tx: Tx, asks: Asks) -> None:
        scope = "project" if asks.where == "project" else "organization"
        for kind in HOLDERS:
            for which, rules in (("exactly", exactly(asks.needs)), ("all but", all_but(scope, asks.needs))):
                key = (kind, scope, asks.needs, which)
                if key in self.special:
                    continue
                org, project = ((), rules) if scope == "project" else (rules, None)
                self.special[key] = await self.caller(ctx, tx, f"{which} ({kind})", kind, org, project)

    async def caller(
        self,
        ctx: Ctx,
        tx: Tx,
        name: str,
        kind: HolderKind,
        org: tuple[Rule, ...],
        project: tuple[Rule, ...] | None,
        *,
        dead: str = "",
        org_id: str = "",
        scoped: bool = False,
        owes: bool = False,
    ) -> Persona:
        """An identity or a person with roles of these rules, and its token."""
        id, org_id = ctx.new_id(), org_id or self.api.org_id
        project_id = self.ids["project_id"]
        if kind == "identity":
            token = await self._identity(ctx, tx, id, name, org_id, project_id if scoped else None, dead)
        else:
            token = await self._person(ctx, tx, id, org_id, dead, owes=owes)
        await self._join(ctx, tx, kind, id, org_id, None, org, is_active=dead != "suspended")
        if project is not None:
            await self._join(ctx, tx, kind, id, org_id, project_id, project)
        tx.changed(versions.actor(kind, id))
        left_out = (
            dead == "suspended" and kind == "user"
        )  # its session stands; an identity has nothing but its membership
        return Persona(
            name=name,
            kind=kind,
            token=token,
            org=org,
            project=project,
            dead=bool(dead) and not left_out,
            tenant="nobody's" if left_out else "ours",
        )

    async def _identity(
        self, ctx: Ctx, tx: Tx, id: str, name: str, org_id: str, project_id: str | None, dead: str
    ) -> str:
        identity = Identity(
            id=id,
            org_id=org_id,
            project_id=project_id,
            name=name,
            is_disabled=dead == "disabled",
            created_at=ctx.now,
            updated_at=ctx.now,
        )
        await identities.add(tx, identity)
        config = MethodConfig(
            id=ctx.new_id(),
            identity_id=id,
            method="token-auth",
            config={},
            ttl=3600,
            max_ttl=3600,
            period=0,
            uses_limit=0,
            trusted_ips=EVERYWHERE,
            created_at=ctx.now,
            updated_at=ctx.now,
        )
        await method_configs.add(tx, config)
        org = await people.organization(tx, org_id)
        assert org is not None
        issued = tokens.new_token(ctx, identity, config, org)
        if dead == "revoked":
            await token_revocations.end_tokens(tx, id)
        if dead == "expired":
            return ctx.runtime.keys.signer.sign(
                msgspec.structs.replace(issued.claims, exp=issued.claims.iat - 1, expires_ms=ctx.now - 1)
            )
        return issued.token

    async def _person(self, ctx: Ctx, tx: Tx, id: str, org_id: str, dead: str, *, owes: bool) -> str:
        user = User(
            id=id,
            email=f"{id}@example.com",
            password_hash=self.password_hash,
            is_active=dead != "disabled",
            mfa_method="totp" if owes else None,
            created_at=ctx.now,
            updated_at=ctx.now,
        )
        await people.add_user(tx, user)
        session = Session(
            id=ctx.new_id(),
            user_id=id,
            address="",
            user_agent="",
            created_at=ctx.now,
            last_used_at=ctx.now,
            expires_at=ctx.now + (-1 if dead == "expired" else 3_600_000),
        )
        if dead != "revoked":
            await people.add_session(tx, session)
        return sign_in.sign(ctx, session, org_id)

    async def _join(
        self,
        ctx: Ctx,
        tx: Tx,
        kind: HolderKind,
        id: str,
        org_id: str,
        project_id: str | None,
        rules: tuple[Rule, ...],
        *,
        is_active: bool = True,
    ) -> None:
        membership = Membership(
            id=ctx.new_id(),
            org_id=org_id,
            project_id=project_id,
            actor_kind=kind,
            actor_id=id,
            is_active=is_active,
            created_at=ctx.now,
            updated_at=ctx.now,
        )
        kept = next(
            (role for role in BUILT_IN["project" if project_id else "organization"] if role.rules == rules), None
        )
        custom = None
        if kept is None:
            permissions = tuple({"subject": r.subject, "action": list(r.actions)} for r in rules if r.actions)
            role = Role(
                id=ctx.new_id(),
                org_id=org_id,
                project_id=project_id,
                slug=f"r-{id}",
                name="r",
                permissions=permissions,  # type: ignore[arg-type]
                created_at=ctx.now,
                updated_at=ctx.now,
            )
            await grants.add_role(tx, role)
            custom = role.id
        held = MembershipRole(
            id=ctx.new_id(),
            membership_id=membership.id,
            role=kept.slug if kept else "custom",
            custom_role_id=custom,
            created_at=ctx.now,
            updated_at=ctx.now,
        )
        await grants.add_membership(tx, membership, [held])


@asynccontextmanager
async def running_scenario(folder: Path) -> AsyncIterator[Scenario]:
    """A server whose callers may ask for anything without changing it."""
    clock = Clock()
    parts = build_runtime(sqlite_settings(folder))
    store = ForgetfulStore(parts.store)
    parts = msgspec.structs.replace(
        parts, clock=clock, store=store, cache=Cache(store, 50_000), journal=Journal(store), writes=Journal(store)
    )
    async with opened(parts):
        inside = Inside(Server(parts))
        async with httpx.AsyncClient(transport=inside.transport(), base_url="http://watchword.test") as client:
            api = Api(parts, clock, client, inside)
            await api.bootstrap()
            scenario = Scenario(api, store)
            await scenario.add_targets()
            await scenario.add_callers()
            store.forgets = True
            yield scenario
