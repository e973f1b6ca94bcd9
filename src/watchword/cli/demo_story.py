"""What happened in the organization of `watchword serve --demo-data`: who and what there is, and what was refused.

The last four months of a company that sells something: three projects, two teams, some twenty machine identities. One
of everything that an operator meets: methods of several kinds, wide settings, credentials that end soon, an identity
that is locked out, one that nobody has used for months, logins that were refused and why.
"""

import functools
import json
import secrets
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from watchword.services.timestamps import iso

if TYPE_CHECKING:
    from watchword.cli.demo_data import Past

DAY: Final = 86_400_000  # ms
_HOUR: Final = 3_600_000
_GITHUB: Final = "https://token.actions.githubusercontent.com"
_GITLAB: Final = "https://gitlab.com"
_CLUSTER: Final = "https://cluster.prod.example.com"
_NIGHTLY: Final = "https://scheduler.example.com"
_HERE: Final = "https://watchword.example.com"
_RUNNER, _PODS, _OFFICE, _ELSEWHERE = "192.0.2.40", "10.20.3.17", "10.8.1.5", "198.51.100.77"
_PEOPLE: Final = (
    ("lena@example.com", "Lena", "Okafor"),
    ("tomas@example.com", "Tomás", "Reis"),
    ("mei@example.com", "Mei", "Tanaka"),
    ("noa@example.com", "נועה", "לוי"),
)
_ENVIRONMENTS: Final = ("dev", "staging", "prod")


class _World:
    """What the story has made so far, by name."""

    def __init__(self, past: "Past") -> None:
        self.past = past
        self.projects: dict[str, str] = {}  # name -> id
        self.identities: dict[str, str] = {}  # name -> id
        self.logins: dict[str, dict[str, str]] = {}  # name -> the body of a login with a client secret

    async def project(self, name: str, slug: str) -> None:
        body = {"projectName": name, "slug": slug}
        self.projects[name] = (await self.past.ask("POST", "/api/v1/projects", body))["project"]["id"]

    async def secret(self, project: str, environment: str, key: str, value: str, path: str = "/", **more: Any) -> str:
        """Write a secret, whether it is there or not; its id."""
        place = {"projectId": self.projects[project], "environment": environment, "secretPath": path}
        method = "PATCH" if more.pop("again", False) else "POST"
        body = {**place, "secretValue": value, **more}
        return str((await self.past.ask(method, f"/api/v4/secrets/{key}", body))["secret"]["id"])

    async def folder(self, project: str, name: str) -> None:
        for environment in _ENVIRONMENTS:
            body = {"projectId": self.projects[project], "environment": environment, "path": "/", "name": name}
            await self.past.ask("POST", "/api/v2/folders", body)

    async def identity(
        self, name: str, *, role: str = "no-access", owner: str = "", team: str = "", **changes: Any
    ) -> str:
        """A new identity; its id."""
        body: dict[str, Any] = {"name": name, "organizationId": self.past.org_id, "role": role}
        if team:
            body["metadata"] = [{"key": "team", "value": team}]
        id = str((await self.past.ask("POST", "/api/v1/identities", body))["identity"]["id"])
        if owner:
            changes["owner"] = owner
        if changes:
            await self.past.ask("PATCH", f"/api/v1/identities/{id}", changes)
        self.identities[name] = id
        return id

    async def method(self, name: str, slug: str, **config: Any) -> dict[str, Any]:
        path = f"/api/v1/auth/{slug}/identities/{self.identities[name]}"
        answer: dict[str, Any] = await self.past.ask("POST", path, config)
        return answer

    async def client_secret(self, name: str, *, keep: bool = True, **limits: Any) -> str:
        """A new client secret of an identity, with which it logs in from now on; its id."""
        path = f"/api/v1/auth/universal-auth/identities/{self.identities[name]}/client-secrets"
        made = await self.past.ask("POST", path, limits)
        if keep:
            self.logins[name] = {**self.logins[name], "clientSecret": made["clientSecret"]}
        return str(made["clientSecretData"]["id"])

    async def universal(self, name: str, secret: Mapping[str, Any], **config: Any) -> None:
        """Universal Auth, with one client secret."""
        made = await self.method(name, "universal-auth", **config)
        self.logins[name] = {"clientId": made["identityUniversalAuth"]["clientId"]}
        await self.client_secret(name, **secret)

    async def member(self, project: str, name: str, *roles: str | Mapping[str, Any]) -> None:
        entries = [{"role": role} if isinstance(role, str) else dict(role) for role in roles]
        path = f"/api/v1/projects/{self.projects[project]}/memberships/identities/{self.identities[name]}"
        await self.past.ask("POST", path, {"roles": entries})

    async def login(self, name: str, address: str = _PODS, *, agent: str = "curl/8.14.1", expect: int = 200) -> str:
        """Log in with the client secret; the token, empty where it is refused."""
        answer = await self.past.ask(
            "POST",
            "/api/v1/auth/universal-auth/login",
            self.logins[name],
            token=None,
            address=address,
            agent=agent,
            expect=expect,
        )
        return str(answer.get("accessToken", ""))

    async def signed(
        self,
        name: str,
        slug: str,
        claims: Mapping[str, Any],
        address: str,
        *,
        agent: str = "curl/8.14.1",
        expect: int = 200,
    ) -> str:
        """Log in with a token of the issuer that has these claims; the access token, empty where it is refused."""
        token = self.past.issuer.token(claims, self.past.now)
        answer = await self.past.ask(
            "POST",
            f"/api/v1/auth/{slug}/login",
            {"identityId": self.identities[name], "jwt": token},
            token=None,
            address=address,
            agent=agent,
            expect=expect,
        )
        return str(answer.get("accessToken", ""))


async def told(past: "Past") -> None:
    """Tell the story from its first day to the present."""
    world = _World(past)
    past.go(days=120)
    await _people(world)
    await _projects(world)
    past.go(days=110)
    await _old_identities(world)
    past.go(days=45)
    await _identities(world)
    await _roles(world)
    past.go(days=29)
    await _ci(world)
    past.go(days=6)
    await _last_week(world)
    await _logins(world)


async def _people(world: _World) -> None:
    past = world.past
    await past.ask("PATCH", "/api/v2/users/me/name", {"firstName": "Ada", "lastName": "Moreau"})
    for email, first, last in _PEOPLE:
        invite = {"inviteeEmails": [email], "organizationId": past.org_id, "organizationRoleSlug": "member"}
        link = (await past.ask("POST", "/api/v1/invite-org/signup", invite))["completeInviteLinks"][0]["link"]
        # Nobody knows these passwords: the administrator can send a new invitation to who wants to try one.
        accepted = {
            "token": link.partition("=")[2],
            "password": secrets.token_urlsafe(20),
            "firstName": first,
            "lastName": last,
        }
        await past.ask("POST", "/api/v1/invite-org/accept", accepted, token=None)
    for name, members in (
        ("Shop team", ("lena@example.com", "mei@example.com")),
        ("Operators", ("tomas@example.com",)),
    ):
        body = {"name": name, "organizationId": past.org_id}
        group = (await past.ask("POST", "/api/v1/groups", body))["id"]
        for member in members:
            await past.ask("POST", f"/api/v1/groups/{group}/users/{member}")
        world.identities[name] = group


async def _projects(world: _World) -> None:
    past = world.past
    for name, slug in (("Shop", "web-shop"), ("Billing", "billing"), ("Data platform", "data-platform")):
        await world.project(name, slug)
    body = {"name": "Production EU", "slug": "prod-eu"}
    await past.ask("POST", f"/api/v1/projects/{world.projects['Billing']}/environments", body)
    await _shop(world)
    for environment, level in (("dev", "debug"), ("staging", "info"), ("prod", "info"), ("prod-eu", "info")):
        await world.secret("Billing", environment, "LOG_LEVEL", level)
        await world.secret("Billing", environment, "LEDGER_URL", f"https://ledger.{environment}.example.com")
        await world.secret("Billing", environment, "LEDGER_TOKEN", _random())
    await world.secret("Billing", "prod", "INVOICE_SENDER", "billing@example.com")
    await world.secret("Billing", "prod-eu", "INVOICE_SENDER", "billing@example.com")
    for environment in _ENVIRONMENTS:
        await world.secret("Data platform", environment, "WAREHOUSE_URL", f"postgres://warehouse.{environment}/facts")
    for name in ("Shop", "Billing"):
        path = f"/api/v1/projects/{world.projects[name]}/memberships"
        people = {"emails": ["noa@example.com"], "roleSlugs": ["viewer" if name == "Billing" else "member"]}
        await past.ask("POST", path, people)
    for project, group, role in (("Shop", "Shop team", "member"), ("Billing", "Operators", "admin")):
        path = f"/api/v1/projects/{world.projects[project]}/memberships/groups/{world.identities[group]}"
        await past.ask("POST", path, {"role": role})


async def _shop(world: _World) -> None:
    """The secrets of one project: same and different values, missing ones, references, imports, tags, versions."""
    past = world.past
    project = world.projects["Shop"]
    await world.folder("Shop", "workers")
    await world.folder("Shop", "shared")
    for tag, color in (("payments", "#7f4e07"), ("rotate-monthly", "#1d4ed8")):
        await past.ask("POST", f"/api/v1/projects/{project}/tags", {"slug": tag, "color": color})
    tags = (await past.ask("GET", f"/api/v1/projects/{project}/tags"))["tags"]
    payments = [tag["id"] for tag in tags if tag["slug"] == "payments"]
    for environment in _ENVIRONMENTS:
        await world.secret("Shop", environment, "DB_HOST", f"db.{environment}.internal")
        await world.secret("Shop", environment, "DB_USER", "shop")
        await world.secret("Shop", environment, "DB_PASSWORD", _random(), secretComment="Rotated with the database")
        await world.secret("Shop", environment, "DATABASE_URL", "postgres://${DB_USER}:${DB_PASSWORD}@${DB_HOST}/shop")
        await world.secret("Shop", environment, "READ_HOST", "${DB_HOST}")
        await world.secret("Shop", environment, "LOG_LEVEL", "debug" if environment == "dev" else "info")
        await world.secret("Shop", environment, "CURRENCY", "EUR")
        await world.secret("Shop", environment, "QUEUE_URL", f"amqps://queue.{environment}.internal", "/workers")
        await world.secret("Shop", environment, "WORKERS", "2" if environment == "dev" else "16", "/workers")
        await world.secret("Shop", environment, "SUPPORT_EMAIL", "help@example.com", "/shared")
    await world.secret("Shop", "dev", "FEATURE_NEW_BASKET", "on")
    await world.secret("Shop", "staging", "FEATURE_NEW_BASKET", "on")
    await world.secret("Shop", "staging", "PAYMENT_KEY", _random(), tagIds=payments)
    await world.secret("Shop", "prod", "PAYMENT_KEY", _random(), tagIds=payments)
    for environment in ("staging", "prod"):
        body = {
            "projectId": project,
            "environment": environment,
            "path": "/",
            "import": {"environment": environment, "path": "/shared"},
        }
        await past.ask("POST", "/api/v2/secret-imports", body)
    for days in (80, 52):
        past.plan(
            past.ago(days=days),
            functools.partial(world.secret, "Shop", "prod", "DB_PASSWORD", _random(), again=True),
        )


def _random() -> str:
    return secrets.token_urlsafe(18)


async def _old_identities(world: _World) -> None:
    """What was made long ago, and is not used any more."""
    past = world.past
    await world.identity("old-jenkins", owner="tomas@example.com", team="operations")
    await world.universal("old-jenkins", {"description": "Jenkins in the cellar"})
    await world.member("Shop", "old-jenkins", "member")
    await world.identity("legacy-importer", owner="lena@example.com", team="shop")
    await world.universal("legacy-importer", {"description": "import of 2024"}, accessTokenTTL=30 * 86_400)
    await world.member("Shop", "legacy-importer", "viewer")
    for name, days in (("old-jenkins", 98), ("old-jenkins", 93), ("legacy-importer", 70), ("legacy-importer", 47)):
        past.plan(past.ago(days=days), functools.partial(world.login, name, _OFFICE))
    await past.live()


async def _identities(world: _World) -> None:
    """What runs today, with a client secret, a token, or a cloud's word."""
    office = [{"ipAddress": "10.0.0.0/8"}]
    await world.identity("shop-api", owner="lena@example.com", team="shop")
    keys = json.dumps(world.past.issuer.key_set)
    await world.method(
        "shop-api",
        "kubernetes-auth",
        tokenReviewMode="jwks",
        jwksIssuer=_CLUSTER,
        jwks=keys,
        allowedNamespaces="shop",
        allowedNames="shop-api",
        allowedAudience=_HERE,
        accessTokenTrustedIps=office,
    )
    await world.member("Shop", "shop-api", "viewer")
    await world.identity("billing-worker", owner="tomas@example.com", team="billing")
    await world.universal(
        "billing-worker",
        {"description": "worker, until the end of the quarter", "ttl": 48 * 86_400},
        clientSecretTrustedIps=office,
        accessTokenTrustedIps=office,
        accessTokenTTL=3600,
    )
    await world.member("Billing", "billing-worker", "viewer")
    await world.identity("backup-runner", owner="tomas@example.com", team="operations")
    await world.method(
        "backup-runner",
        "ldap-auth",
        url="ldaps://ldap.example.com",
        bindDN="cn=reader,ou=services,dc=example,dc=com",
        bindPass=_random(),
        searchBase="ou=services,dc=example,dc=com",
        searchFilter="(uid={{username}})",
        accessTokenTrustedIps=office,
        lockoutDurationSeconds=86_400,
        lockoutCounterResetSeconds=3600,
    )
    await world.member("Data platform", "backup-runner", "viewer")
    await world.identity("terraform", role="member", owner="tomas@example.com", team="operations")
    await world.universal("terraform", {"description": "state of the platform"}, accessTokenTTL=7200)
    for project in world.projects:
        await world.member(project, "terraform", "admin")
    await world.identity("contractor-ci", owner="mei@example.com", team="shop")
    await world.universal("contractor-ci", {"description": "for the redesign"}, accessTokenTTL=3600)
    await world.member("Shop", "contractor-ci", "viewer")
    await world.identity("warehouse-loader", team="data")
    await world.method(
        "warehouse-loader",
        "aws-auth",
        allowedPrincipalArns="arn:aws:iam::111122223333:role/warehouse-loader",
        allowedAccountIds="111122223333",
    )
    await world.member("Data platform", "warehouse-loader", "member")
    await world.identity("data-platform-feature-store-materializer-eu-central", team="data")
    await world.method(
        "data-platform-feature-store-materializer-eu-central",
        "gcp-auth",
        type="gce",
        allowedProjects="features-eu",
        allowedServiceAccounts="materializer@features-eu.iam.gserviceaccount.com",
    )
    await world.member("Data platform", "data-platform-feature-store-materializer-eu-central", "viewer")
    await world.identity("metrics-agent", owner="tomas@example.com", team="operations")
    await world.method("metrics-agent", "token-auth", accessTokenTTL=90 * 86_400, accessTokenMaxTTL=90 * 86_400)
    await world.member("Data platform", "metrics-agent", "viewer")


async def _roles(world: _World) -> None:
    """Roles of their own, and access for a time."""
    past = world.past
    prod = {"environment": {"$in": ["staging", "prod"]}}
    rules = [
        {"subject": "secrets", "action": ["describeSecret", "readValue"], "conditions": prod},
        {
            "subject": "secrets",
            "action": ["readValue"],
            "inverted": True,
            "conditions": {"environment": "prod", "secretName": {"$glob": "PAYMENT_*"}},
        },
        {"subject": "secret-folders", "action": ["read"]},
    ]
    body = {
        "slug": "deployer",
        "name": "Deployer",
        "description": "Reads what a deployment needs, but no payment keys",
        "permissions": rules,
    }
    await past.ask("POST", f"/api/v1/projects/{world.projects['Shop']}/roles", body)
    body = {
        "slug": "auditor",
        "name": "Auditor",
        "description": "Reads the audit log, and changes nothing",
        "permissions": [
            {"subject": "audit-logs", "action": ["read"]},
            {"subject": "identity", "action": ["read"]},
        ],
    }
    await past.ask("POST", "/api/v1/organization/roles", body)


async def _ci(world: _World) -> None:
    """What logs in with a token of its platform."""
    past = world.past
    await world.identity("shop-deploy", owner="lena@example.com", team="shop")
    await world.method(
        "shop-deploy",
        "oidc-auth",
        oidcDiscoveryUrl=_GITHUB,
        boundIssuer=_GITHUB,
        boundAudiences=_HERE,
        boundClaims={
            "repository_id": "731904",
            "repository_owner_id": "48120",
            "ref": "refs/heads/main",
            "event_name": "push",
        },
        accessTokenTTL=900,
        accessTokenMaxTTL=900,
    )
    await world.member("Shop", "shop-deploy", "deployer")
    await world.identity("preview-environments", owner="mei@example.com", team="shop")
    await world.method(
        "preview-environments",
        "oidc-auth",
        oidcDiscoveryUrl=_GITLAB,
        boundIssuer=_GITLAB,
        boundAudiences="",
        boundClaims={"namespace_id": "5512"},
    )
    await world.member("Shop", "preview-environments", "viewer")
    await world.identity("invoice-nightly", owner="tomas@example.com", team="billing")
    await world.method(
        "invoice-nightly",
        "jwt-auth",
        configurationType="static",
        publicKeys=[past.issuer.public_pem],
        boundIssuer=_NIGHTLY,
        boundAudiences=_HERE,
        boundSubject="job:invoices",
        boundClaims={"environment": "prod"},
        accessTokenTTL=1800,
        accessTokenMaxTTL=1800,
    )
    await world.member("Billing", "invoice-nightly", "viewer")
    await world.identity("label-printer", owner="noa@example.com", team="shop")
    await world.universal("label-printer", {"description": "warehouse, gate 3", "numUsesLimit": 500})
    await world.member("Shop", "label-printer", "viewer")


async def _last_week(world: _World) -> None:
    """What was made this week, and what ends soon."""
    past = world.past
    await world.client_secret("billing-worker", keep=False, description="worker, next quarter")
    path = f"/api/v1/auth/token-auth/identities/{world.identities['metrics-agent']}/tokens"
    made = await past.ask("POST", path, {"name": "agents in the office"})
    agent = made["accessToken"]
    for hours in (5, 2, 1):
        past.plan(past.ago(hours=hours), functools.partial(_read, world, "Data platform", "WAREHOUSE_URL", agent))
    await world.identity("load-test", owner="mei@example.com", team="shop", expiresAt=iso(past.ago(days=-4)))
    await world.universal("load-test", {"description": "until Friday"}, accessTokenTTL=3600)
    await world.member("Shop", "load-test", "viewer")
    await world.identity("search-indexer", team="shop")
    await world.method(
        "search-indexer",
        "bound-keypair",
        publicKeys=[past.issuer.public_pem],
        boundAudiences=_HERE,
    )
    await world.member("Shop", "search-indexer", "viewer")
    body = {
        "projectId": world.projects["Shop"],
        "environment": "prod",
        "webhookUrl": "https://hooks.example.com/secrets",
        "secretPath": "/**",
    }
    webhook = (await past.ask("POST", "/api/v1/webhooks", body))["webhook"]["id"]
    # Nothing of this machine is to be sent anywhere because somebody looks at a demonstration.
    await past.ask("PATCH", f"/api/v1/webhooks/{webhook}", {"isDisabled": True})
    invite = {
        "inviteeEmails": ["auditor@partner.example"],
        "organizationId": past.org_id,
        "organizationRoleSlug": "auditor",
    }
    past.plan(past.ago(days=2), functools.partial(past.ask, "POST", "/api/v1/invite-org/signup", invite))
    disabled = f"/api/v1/identities/{world.identities['contractor-ci']}/disable"
    past.plan(past.ago(days=4, hours=6), functools.partial(world.login, "contractor-ci", _ELSEWHERE))
    past.plan(past.ago(days=3), functools.partial(past.ask, "POST", disabled, {}))


async def _read(world: _World, project: str, key: str, token: str, environment: str = "prod") -> None:
    query = f"projectId={world.projects[project]}&environment={environment}&secretPath=/"
    await world.past.ask("GET", f"/api/v4/secrets/{key}?{query}", token=token, address=_PODS, agent="curl/8.14.1")


def _github(ref: str, sha: str) -> dict[str, str]:
    return {
        "iss": _GITHUB,
        "aud": _HERE,
        "sub": f"repo:example@48120/shop@731904:ref:{ref}",
        "repository": "example/shop",
        "repository_id": "731904",
        "repository_owner": "example",
        "repository_owner_id": "48120",
        "ref": ref,
        "event_name": "push",
        "sha": sha,
    }


async def _logins(world: _World) -> None:
    """A week of logins, and those of the last hours that were refused."""
    past = world.past
    midnight = past.ends - past.ends % DAY
    pod = {
        "iss": _CLUSTER,
        "aud": [_HERE],
        "sub": "system:serviceaccount:shop:shop-api",
        "kubernetes.io": {"namespace": "shop", "serviceaccount": {"name": "shop-api", "uid": "5d2f"}},
    }
    job = {"iss": _NIGHTLY, "aud": _HERE, "sub": "job:invoices", "environment": "prod"}
    for night in range(5, -1, -1):
        at = midnight - night * DAY + 2 * _HOUR
        if past.now < at < past.ends:
            past.plan(at, functools.partial(world.signed, "invoice-nightly", "jwt-auth", job, _PODS, agent="httpx"))
    for hours in range(23, 0, -1):
        past.plan(past.ago(hours=hours), functools.partial(_pod, world, pod))
        if hours % 3 == 0:
            past.plan(past.ago(hours=hours, minutes=17), functools.partial(world.login, "billing-worker"))
        if hours % 4 == 1:
            main = _github("refs/heads/main", f"{hours:040x}")
            past.plan(past.ago(hours=hours, minutes=-9), functools.partial(_deploy, world, main))
        if hours % 7 == 2:
            past.plan(past.ago(hours=hours, minutes=31), functools.partial(world.login, "terraform", _OFFICE))
    merge = {"iss": _GITLAB, "aud": _GITLAB, "sub": "project_path:example/shop:ref:main", "namespace_id": "5512"}
    past.plan(past.ago(hours=7), functools.partial(world.signed, "preview-environments", "oidc-auth", merge, _RUNNER))
    past.plan(past.ago(days=1, hours=3), functools.partial(world.login, "label-printer", _OFFICE))
    past.plan(past.ago(hours=9), functools.partial(world.login, "load-test", _OFFICE))
    past.plan(past.ago(hours=30), functools.partial(_backup, world, past.issuer.password))
    past.plan(past.ago(minutes=4), functools.partial(world.login, "billing-worker"))
    _refused(world, job)
    await past.live()


def _refused(world: _World, job: Mapping[str, Any]) -> None:
    """What was refused in the last hours: each for a reason of its own."""
    past = world.past
    release = _github("refs/heads/release", "f" * 40)
    for minutes in (95, 92, 21):  # a branch that nobody has allowed
        step = functools.partial(world.signed, "shop-deploy", "oidc-auth", release, _RUNNER, expect=401)
        past.plan(past.ago(minutes=minutes), step)
    staging = {**job, "environment": "staging"}
    step = functools.partial(world.signed, "invoice-nightly", "jwt-auth", staging, _PODS, agent="httpx", expect=401)
    past.plan(past.ago(hours=11), step)
    for hours in (4, 2):  # somebody still runs what was disabled
        past.plan(
            past.ago(hours=hours, minutes=12),
            functools.partial(world.login, "contractor-ci", _ELSEWHERE, expect=401),
        )
    # From a network that is not allowed.
    past.plan(past.ago(hours=3), functools.partial(world.login, "billing-worker", _ELSEWHERE, expect=403))
    for minutes in (14, 13, 12, 8):  # a password that was changed in the directory only
        past.plan(past.ago(minutes=minutes), functools.partial(_backup, world, "the password of last week", expect=401))


async def _backup(world: _World, password: str, *, expect: int = 200) -> None:
    body = {"identityId": world.identities["backup-runner"], "username": "backup", "password": password}
    path = "/api/v1/auth/ldap-auth/login"
    await world.past.ask("POST", path, body, token=None, address=_OFFICE, agent="curl/8.14.1", expect=expect)


async def _pod(world: _World, claims: Mapping[str, Any]) -> None:
    token = await world.signed("shop-api", "kubernetes-auth", claims, _PODS, agent="Go-http-client/2.0")
    await _read(world, "Shop", "DATABASE_URL", token)


async def _deploy(world: _World, claims: Mapping[str, Any]) -> None:
    token = await world.signed("shop-deploy", "oidc-auth", claims, _RUNNER, agent="node")
    await _read(world, "Shop", "DATABASE_URL", token)
