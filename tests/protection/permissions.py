"""What each route asks of its caller: the table that the protection tests are derived from. A route without a line
fails the run.

    org("PATCH /api/v1/identities/{identity_id}", "edit identity", body={"name": "x"})

The needs are `action subject`; `a or b` is met by either, several are all asked for. A path parameter takes the value
of that name from the scenario (`scenario.py`) unless `path` says otherwise, and so do words in braces in `body` and `query`.

    public      answers anybody
    own         any caller of the route's kinds: it is about the caller itself
    org         the organization of the thing named; the caller needs its role there
    own_org     the same for the organization of the caller's credential: another tenant's administrator acts in its own
    project     the caller is a member of the project and needs its role there
    instance    administrators of the instance
    service     only a service token
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from tests.api import PASSWORD


class Asks(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the table."""

    where: str
    needs: tuple[str, ...] = ()
    path: Mapping[str, str] = {}
    body: Any = None
    query: Mapping[str, str] = {}
    late: bool = False  # the body is looked into only after permission was asked: 422 is no refusal
    whole: bool = False  # only who holds all that an administrator holds
    over_all: bool = False  # administrators of the instance are among those it takes from: only one of them
    names_others: bool = True  # what it names is this tenant's, so another tenant's administrator is refused


TABLE: dict[str, Asks] = {}


def _add(scope: str, operation: str, needs: tuple[str, ...], options: dict[str, Any]) -> None:
    if operation in TABLE:
        raise AssertionError(f"{operation} stands twice in the table")
    TABLE[operation] = Asks(where=scope, needs=needs, **options)


def public(*operations: str, **options: Any) -> None:
    for operation in operations:
        _add("public", operation, (), options)


def own(operation: str, **options: Any) -> None:
    _add("own", operation, (), options)


def org(operation: str, *needs: str, **options: Any) -> None:
    _add("org", operation, needs, options)


def own_org(operation: str, *needs: str, **options: Any) -> None:
    _add("own_org", operation, needs, options)


def project(operation: str, *needs: str, **options: Any) -> None:
    _add("project", operation, needs, options)


def instance(operation: str, **options: Any) -> None:
    _add("instance", operation, (), options)


def both(first: str, second: str) -> tuple[str, str]:
    """The newer and the older name of one path."""
    return first, second


# --- system, signing in

public("GET /api/status", "GET /healthz", "GET /readyz", "GET /.well-known/jwks.json")
public(
    "GET /api/docs",
    "GET /api/docs/openapi.json",
    "GET /api/docs/start.js",
    "GET /api/docs/swagger-ui-bundle.js",
    "GET /api/docs/swagger-ui.css",
)
public(
    "POST /api/v1/admin/bootstrap",
    body={"email": "x@example.com", "password": "correct horse battery", "organization": "x"},
)
public("POST /api/v3/auth/login", body={"email": "nobody@example.com", "password": "wrong password"})
public(
    "POST /api/v1/auth/login1",
    "POST /api/v1/auth/login2",
    "POST /api/v3/auth/login1",
    "POST /api/v3/auth/login2",
    "POST /api/v1/auth/token",
)
public("POST /api/v1/password/email/password-reset", body={"email": "nobody@example.com"})
public("POST /api/v1/password/reset", body={"token": "x", "password": "correct horse battery"})
public("POST /api/v1/invite-org/accept", body={"token": "x"})
public("POST /api/v1/auth/wrapping/unwrap", "POST /api/v1/auth/wrapping/lookup", body={"token": "x"})
public("POST /api/v1/auth/token/renew", "POST /api/v1/auth/token/revoke", body={"accessToken": "x"})

# --- a person's own account

org("POST /api/v3/auth/select-organization", body={"organizationId": "{org_id}"})
own("POST /api/v1/auth/checkAuth")
own("POST /api/v1/auth/logout")
own("POST /api/v2/organizations", body={"name": "Mine"})
own("GET /api/v1/organization")
own("GET /api/v1/user")
own("GET /api/v2/users/me")
own("PATCH /api/v2/users/me/name", body={"firstName": "Ana"})
own("GET /api/v2/users/me/organizations")
own("GET /api/v2/users/me/sessions")
own("DELETE /api/v2/users/me/sessions")
own("DELETE /api/v2/users/me/sessions/{session_id}")
own("GET /api/v1/user/me/totp")
own("POST /api/v1/user/me/totp/register", body={"password": PASSWORD})
own("POST /api/v1/user/me/totp/recovery-codes", body={"password": PASSWORD})

# --- administration of the instance

instance("GET /api/v1/admin/user-management/users")
instance("PATCH /api/v1/admin/user-management/users/{user_id}", body={"isActive": True})
instance("DELETE /api/v1/admin/user-management/users/{user_id}")
instance("POST /api/v1/admin/user-management/users/{user_id}/password-reset-link")
instance("DELETE /api/v1/admin/user-management/users/{user_id}/mfa")
instance("GET /api/v1/admin/audit-logs")
instance("GET /api/v1/admin/audit-logs/export")

# --- organizations and their people

org("DELETE /api/v2/organizations/{organization_id}", "delete settings", over_all=True)
org("GET /api/v1/organization/{organization_id}")
org("PATCH /api/v1/organization/{organization_id}", "edit settings", body={"name": "Acme"})
org("GET /api/v2/organizations/{organization_id}/memberships", "read member")
org("GET /api/v2/organizations/{organization_id}/memberships/{membership_id}", "read member")
org("PATCH /api/v2/organizations/{organization_id}/memberships/{membership_id}", "edit member", body={"isActive": True})
org("DELETE /api/v2/organizations/{organization_id}/memberships/{membership_id}", "delete member")
org(
    "DELETE /api/v2/organizations/{organization_id}/memberships",
    "delete member",
    body={"membershipIds": ["{membership_id}"]},
)
org(
    "POST /api/v1/invite-org/signup",
    "create member",
    body={"inviteeEmails": ["new@example.com"], "organizationId": "{org_id}", "organizationRoleSlug": "no-access"},
)
org("DELETE /api/v1/invite-org/{organization_id}/{invitation_id}", "delete member")

# --- identities

org("POST /api/v1/identities", "create identity", body={"name": "new", "organizationId": "{org_id}"})
org("GET /api/v1/identities", "read identity", query={"orgId": "{org_id}"})
own_org("GET /api/v1/identities/details", names_others=False)
own_org("POST /api/v1/identities/search", "read identity", body={}, names_others=False)
own_org("POST /api/v2/identities/search", "read identity", body={}, names_others=False)
own_org("POST /api/v2/identities/search/count", "read identity", body={}, names_others=False)
own_org("POST /api/v1/organization/identities", "create identity", body={"name": "new"}, names_others=False)
own_org("GET /api/v1/organization/identities", "read identity", names_others=False)
own_org("GET /api/v1/organization/identities/{identity_id}", "read identity")
own_org("PATCH /api/v1/organization/identities/{identity_id}", "edit identity", body={"name": "x"})
own_org("DELETE /api/v1/organization/identities/{identity_id}", "delete identity")
org("GET /api/v2/organizations/{org_id}/identity-memberships", "read identity")
org("GET /api/v1/identities/{identity_id}", "read identity")
org("PATCH /api/v1/identities/{identity_id}", "edit identity", body={"name": "x"})
org("DELETE /api/v1/identities/{identity_id}", "delete identity")
org("POST /api/v1/identities/{identity_id}/disable", "edit identity", body={})
org("POST /api/v1/identities/{identity_id}/enable", "edit identity")
own_org(
    "GET /api/v1/organization/identity-reports/{report}", "read identity", path={"report": "unused"}, names_others=False
)
own_org(
    "POST /api/v1/organization/explain",
    "read role",
    "read identity",
    body={"actorType": "identity", "actorId": "{identity_id}", "action": "read", "subject": "role"},
)
project(
    "POST /api/v1/projects/{project_id}/explain",
    "read role",
    "read identity",
    body={"actorType": "identity", "actorId": "{identity_id}", "action": "read", "subject": "role"},
)

_METHODS = (
    "universal-auth",
    "token-auth",
    "kubernetes-auth",
    "aws-auth",
    "azure-auth",
    "gcp-auth",
    "oidc-auth",
    "jwt-auth",
    "ldap-auth",
    "tls-cert-auth",
    "oci-auth",
    "alicloud-auth",
    "spiffe-auth",
    "bound-keypair",
)
for _method in _METHODS:
    _base = f"/api/v1/auth/{_method}"
    _whose = f"{_base}/identities/{{identity_id}}"
    org(f"POST {_whose}", "create identity or edit-auth identity", body={}, late=True)
    org(f"PATCH {_whose}", "edit identity or edit-auth identity", body={}, late=True)
    org(f"GET {_whose}", "read identity")
    org(f"DELETE {_whose}", "edit identity or revoke-auth identity")
    if _method in ("universal-auth", "ldap-auth"):
        org(f"POST {_whose}/clear-lockouts", "edit identity")
    if _method != "token-auth":
        public(f"POST {_base}/login", body={}, late=True)

_SECRETS = "/api/v1/auth/universal-auth/identities/{identity_id}/client-secrets"
org(f"POST {_SECRETS}", "create identity or create-token identity", body={})
org(f"GET {_SECRETS}", "read identity or get-token identity")
org(f"GET {_SECRETS}/{{client_secret_id}}", "read identity or get-token identity")
org(f"POST {_SECRETS}/{{client_secret_id}}/revoke", "delete identity or delete-token identity")
_TOKENS = "/api/v1/auth/token-auth"
org(f"POST {_TOKENS}/identities/{{identity_id}}/tokens", "edit identity or create-token identity", body={})
org(f"GET {_TOKENS}/identities/{{identity_id}}/tokens", "read identity or get-token identity")
org(f"GET {_TOKENS}/tokens/{{token_id}}", "read identity or get-token identity")
org(f"PATCH {_TOKENS}/tokens/{{token_id}}", "edit identity or create-token identity", body={"name": "x"})
org(f"POST {_TOKENS}/tokens/{{token_id}}/revoke", "edit identity or delete-token identity")
_LIVE = "/api/v1/identities/{identity_id}/live-tokens"
org(f"GET {_LIVE}", "read identity or get-token identity")
org(f"POST {_LIVE}/revoke", "edit identity or delete-token identity", body={"all": True})
org(f"POST {_LIVE}/{{token_id}}/revoke", "edit identity or delete-token identity")

_MEMBER = "/api/v1/organization/identity-memberships"
for _path in both("/api/v1/organization/identities/available", "/api/v1/organization/available-identities"):
    own_org(f"GET {_path}", "read identity", names_others=False)
own_org(f"GET {_MEMBER}", "read identity", names_others=False)
own_org(f"GET {_MEMBER}/{{identity_id}}", "read identity")
own_org(f"POST {_MEMBER}/{{identity_id}}", "create identity", body={"roles": [{"role": "no-access"}]})
own_org(f"PATCH {_MEMBER}/{{identity_id}}", "edit identity", body={"roles": [{"role": "no-access"}]})
own_org(f"DELETE {_MEMBER}/{{identity_id}}", "delete identity")

# --- roles

_ROLE = {"slug": "fresh", "name": "Fresh", "permissions": []}
for _base, _declare, _role in (
    ("/api/v1/organization/roles", own_org, "org_role_id"),
    ("/api/v1/organization/{organization_id}/roles", org, "org_role_id"),
    ("/api/v2/workspace/{project_id}/roles", project, "project_role_id"),
    ("/api/v1/projects/{project_id}/roles", project, "project_role_id"),
    ("/api/v1/workspace/{project_slug}/roles", project, "project_role_id"),
):
    _alone: dict[str, Any] = {"names_others": False} if _declare is own_org else {}
    _declare(f"POST {_base}", "create role", body=_ROLE, **_alone)
    _declare(f"GET {_base}", "read role", **_alone)
    _declare(f"PATCH {_base}/{{role_id}}", "edit role", path={"role_id": _role}, body={"name": "x", "slug": "held"})
    _declare(f"DELETE {_base}/{{role_id}}", "delete role", path={"role_id": _role})
    if "organization_id" not in _base:
        _declare(f"GET {_base}/slug/{{role_slug}}", "read role")
    if "project_slug" not in _base:
        _declare(f"GET {_base}/{{role_id}}", "read role", path={"role_id": _role})
org("GET /api/v1/organization/{organization_id}/permissions")
project("GET /api/v1/projects/roles/{role_id}", "read role", path={"role_id": "project_role_id"})

# --- projects

for _path in both("/api/v1/projects", "/api/v1/workspace"):
    _id = f"{_path}/{{project_id}}"
    own_org(f"GET {_path}", names_others=False)
    project(f"GET {_id}")
    project(f"GET {_path}/slug/{{slug}}", path={"slug": "project_slug"})
    project(f"PATCH {_id}", "edit settings", body={"name": "x"})
    project(f"DELETE {_id}", "delete workspace", whole=True)
    project(f"GET {_path}/{{project_id}}/permissions")
    own_org(
        f"POST {_path if _path.endswith('projects') else '/api/v2/workspace'}",
        "create project or create workspace",
        body={"projectName": "New"},
        names_others=False,
    )
project("PUT /api/v1/projects/{project_id}/audit-logs-retention", "edit workspace", body={"auditLogsRetentionDays": 5})
project(
    "PUT /api/v1/workspace/{slug}/audit-logs-retention",
    "edit workspace",
    path={"slug": "project_slug"},
    body={"auditLogsRetentionDays": 5},
)
project(
    "PUT /api/v1/workspace/{slug}/version-limit",
    "edit workspace",
    path={"slug": "project_slug"},
    body={"pitVersionLimit": 5},
)
project("GET /api/v2/workspace/{slug}", path={"slug": "project_slug"})
project("PATCH /api/v2/workspace/{slug}", "edit settings", path={"slug": "project_slug"}, body={"name": "x"})
project("DELETE /api/v2/workspace/{slug}", "delete workspace", path={"slug": "project_slug"}, whole=True)
project("POST /api/v1/workspace/{project_id}/name", "edit settings", body={"name": "x"})
project("POST /api/v1/workspace/{project_id}/auto-capitalization", "edit settings", body={"autoCapitalization": True})
org("GET /api/v2/organizations/{org_id}/workspaces")

for _base in both("/api/v1/projects/{project_id}", "/api/v1/workspace/{project_id}"):
    project(f"POST {_base}/environments", "create environments", body={"name": "New", "slug": "new"})
    project(f"GET {_base}/environments/{{environment_id}}", "read environments")
    project(f"PATCH {_base}/environments/{{environment_id}}", "edit environments", body={"name": "x"})
    project(
        f"DELETE {_base}/environments/{{environment_id}}", "delete environments", "delete secrets"
    )  # there is one in it
project(
    "GET /api/v1/projects/{project_id}/environments/slug/{slug}", "read environments", path={"slug": "environment_slug"}
)
project(
    "POST /api/v1/projects/{project_id}/environments/{environment_id}/restore",
    "create environments",
    "create secrets",
    "readValue secrets",
)
project("GET /api/v1/workspace/environments/{environment_id}", "read environments")

for _base, _color in (
    ("/api/v1/projects/{project_id}/tags", {}),
    ("/api/v1/workspace/{project_id}/tags", {"color": "#000000"}),
):
    project(f"GET {_base}", "read tags")
    project(f"POST {_base}", "create tags", body={"slug": "new", **_color})
    project(f"GET {_base}/{{tag_id}}", "read tags")
    project(f"GET {_base}/slug/{{slug}}", "read tags", path={"slug": "tag_slug"})
    project(f"PATCH {_base}/{{tag_id}}", "edit tags", body={"slug": "new", **_color})
    project(f"DELETE {_base}/{{tag_id}}", "delete tags")

# --- alert channels

_CHANNELS = "/api/v1/organization/alert-channels"
own_org(f"GET {_CHANNELS}", "read incident-contact", names_others=False)
own_org(
    f"POST {_CHANNELS}",
    "create incident-contact",
    body={"name": "New", "url": "https://127.0.0.1/in"},
    names_others=False,
)
own_org(f"GET {_CHANNELS}/{{channel_id}}", "read incident-contact")
own_org(f"PATCH {_CHANNELS}/{{channel_id}}", "edit incident-contact", body={"name": "x"})
own_org(f"DELETE {_CHANNELS}/{{channel_id}}", "delete incident-contact")
own_org(f"POST {_CHANNELS}/{{channel_id}}/test", "edit incident-contact")
own_org(f"GET {_CHANNELS}/{{channel_id}}/deliveries", "read incident-contact")
own_org(f"POST {_CHANNELS}/{{channel_id}}/deliveries/retry", "edit incident-contact", body={})

# --- webhooks

_HOOK = {"workspaceId": "{project_id}", "environment": "{environment_slug}", "webhookUrl": "https://127.0.0.1/in"}
project("GET /api/v1/webhooks", "read webhooks", query={"workspaceId": "{project_id}"})
project("POST /api/v1/webhooks", "create webhooks", body=_HOOK)
project("GET /api/v1/webhooks/{webhook_id}", "read webhooks")
project("PATCH /api/v1/webhooks/{webhook_id}", "edit webhooks", body={"secretPath": "/x"})
project("DELETE /api/v1/webhooks/{webhook_id}", "delete webhooks")
project("POST /api/v1/webhooks/{webhook_id}/test", "edit webhooks")
project("GET /api/v1/webhooks/{webhook_id}/deliveries", "read webhooks")
project("POST /api/v1/webhooks/{webhook_id}/deliveries/retry", "edit webhooks", body={})

# --- folders

for _base, _key in (("/api/v2/folders", "projectId"), ("/api/v1/folders", "workspaceId")):
    _in = {_key: "{project_id}", "environment": "{environment_slug}"}
    project(f"POST {_base}", "create secret-folders", body={**_in, "name": "new"})
    _reads = ("read secret-folders",) if _key == "projectId" else ()  # the older paths show folders to every member
    project(f"GET {_base}", *_reads, query=_in)
    project(
        f"PATCH {_base}/batch",
        "edit secret-folders",
        body={
            "projectSlug": "{project_slug}",
            "folders": [{"id": "{folder_id}", "name": "x", "environment": "{environment_slug}", "path": "/"}],
        },
    )
    project(f"GET {_base}/{{folder_id}}", *_reads)
    project(f"PATCH {_base}/{{folder_id}}", "edit secret-folders", body={**_in, "name": "x"})
    project(
        f"DELETE {_base}/{{folder_id_or_name}}",
        "delete secret-folders",
        path={"folder_id_or_name": "folder_id"},
        body=_in,
    )

# --- service tokens

_add("service", "GET /api/v2/service-token", (), {})
project(
    "POST /api/v2/service-token",
    "create service-tokens",
    "create secrets",
    "read secrets",
    body={"name": "x", "workspaceId": "{project_id}", "scopes": [{"environment": "dev", "secretPath": "/"}]},
)
project(
    "DELETE /api/v2/service-token/{service_token_id}",
    "delete service-tokens",
    "describeSecret secrets",
    "readValue secrets",
    "create secrets",
    "edit secrets",
    "delete secrets",
)  # what the token may do
project("GET /api/v1/workspace/{project_id}/service-token-data", "read service-tokens")

# --- members and privileges of projects

for _base in (
    "/api/v1/projects/{project_id}/memberships/identities",
    "/api/v1/projects/{project_id}/identity-memberships",
    "/api/v2/workspace/{project_id}/identity-memberships",
):
    project(
        f"POST {_base}/{{identity_id}}",
        "create identity",
        path={"identity_id": "free_identity_id"},
        body={"role": "no-access"},
    )
    project(f"PATCH {_base}/{{identity_id}}", "edit identity", body={"roles": [{"role": "no-access"}]})
    project(f"DELETE {_base}/{{identity_id}}", "delete identity")
    project(f"GET {_base}/{{identity_id}}", "read identity")
    project(f"GET {_base}", "read identity")
project("GET /api/v1/projects/{project_id}/memberships/available-identities", "read identity")
for _base in both("/api/v1/projects/identity-memberships", "/api/v2/workspace/identity-memberships"):
    project(f"GET {_base}/{{identity_membership_id}}", "read identity")
org("GET /api/v1/identities/{identity_id}/identity-memberships", "read identity")

_OLD = "/api/v1/additional-privilege/identity"
_FOR = {"identityId": "{identity_id}", "projectSlug": "{project_slug}"}
_GIVEN = {"privilegePermission": {"actions": ["read"], "subject": "tags"}}
_WINDOW = {"temporaryMode": "relative", "temporaryRange": "1h", "temporaryAccessStartTime": "2026-01-01T00:00:00Z"}
project(f"POST {_OLD}/permanent", "edit identity", "read tags", body={**_FOR, **_GIVEN})
project(f"POST {_OLD}/temporary", "edit identity", "read tags", body={**_FOR, **_GIVEN, **_WINDOW})
project(
    f"PATCH {_OLD}",
    "edit identity",
    body={**_FOR, "privilegeSlug": "{privilege_slug}", "privilegeDetails": {"slug": "renamed"}},
)
project(f"DELETE {_OLD}", "edit identity", body={**_FOR, "privilegeSlug": "{privilege_slug}"})
project(f"GET {_OLD}/{{privilege_slug}}", "edit identity", query=_FOR)  # the older paths ask for it even to read
project(f"GET {_OLD}", "edit identity", query=_FOR)
_NEW = "/api/v2/identity-project-additional-privilege"
_DENIES = [{"subject": "tags", "action": ["read"], "inverted": True}]
project(
    f"POST {_NEW}",
    "edit identity",
    body={
        "identityId": "{identity_id}",
        "projectId": "{project_id}",
        "permissions": [],
        "type": {"isTemporary": False},
    },
)
project(f"GET {_NEW}", "read identity", query={"identityId": "{identity_id}", "projectId": "{project_id}"})
project(
    f"GET {_NEW}/slug/{{privilege_slug}}",
    "read identity",
    query={"identityId": "{identity_id}", "projectId": "{project_id}"},
)
project(f"GET {_NEW}/{{privilege_id}}", "read identity")
project(f"PATCH {_NEW}/{{privilege_id}}", "edit identity", body={"slug": "renamed"})
project(f"DELETE {_NEW}/{{privilege_id}}", "edit identity")

_FOLDER_ACCESS = "/api/v1/projects/{project_id}/identities/{identity_id}/folder-access"
_MANAGES = "manage-access secret-folders"
project(f"GET {_FOLDER_ACCESS}", _MANAGES)
project(f"GET {_FOLDER_ACCESS}/{{folder_id}}", _MANAGES)
project(
    f"POST {_FOLDER_ACCESS}/{{folder_id}}",
    _MANAGES,
    "describeSecret secrets",
    "read secret-imports",
    "read secret-syncs",
    "read secret-rotation",
    body={"permission": "list"},
)
project(f"PATCH {_FOLDER_ACCESS}/{{folder_id}}", _MANAGES, body={"permission": "list"})
project(f"DELETE {_FOLDER_ACCESS}/{{folder_id}}", _MANAGES)

own_org("POST /api/v1/sub-organizations", "create sub-organization", body={"name": "x"}, names_others=False)
own_org("GET /api/v1/sub-organizations", names_others=False)
org("PATCH /api/v1/sub-organizations/{sub_org_id}", "edit settings", body={"name": "x"})
org("DELETE /api/v1/sub-organizations/{sub_org_id}", "delete settings", over_all=True)

# --- people and groups in projects, identities of projects

_SAME = {"roles": [{"role": "no-access"}]}
for _base in (
    "/api/v1/projects/{project_id}/memberships",
    "/api/v1/workspace/{project_id}/memberships",
    "/api/v2/workspace/{project_id}/memberships",
):
    project(f"POST {_base}", "create member", body={"emails": ["{username}"], "roleSlugs": ["no-access"]})
    project(f"DELETE {_base}", "delete member", body={"emails": ["{username}"]})
    if "v2" not in _base:
        project(f"GET {_base}", "read member")
        project(f"POST {_base}/details", "read member", body={"username": "{username}"})
        project(f"GET {_base}/{{membership_id}}", "read member", path={"membership_id": "project_membership_id"})
        project(
            f"PATCH {_base}/{{membership_id}}",
            "edit member",
            path={"membership_id": "project_membership_id"},
            body=_SAME,
        )
        project(f"DELETE {_base}/{{membership_id}}", "delete member", path={"membership_id": "project_membership_id"})
project("GET /api/v1/projects/{project_id}/user/{user_id}/membership", "read member")
for _base in (
    "/api/v1/projects/{project_id}/memberships/groups",
    "/api/v1/projects/{project_id}/groups",
    "/api/v2/workspace/{project_id}/groups",
):
    project(f"GET {_base}", "read groups")
    project(
        f"POST {_base}/{{group_id}}", "create groups", path={"group_id": "free_group_id"}, body={"role": "no-access"}
    )
    project(f"GET {_base}/{{group_id}}", "read groups")
    project(f"PATCH {_base}/{{group_id}}", "edit groups", body=_SAME)
    project(f"DELETE {_base}/{{group_id}}", "delete groups")
_BELONGS = "/api/v1/projects/{project_id}/identities"
project(f"GET {_BELONGS}", "read identity")
project(f"POST {_BELONGS}", "create identity", body={"name": "x"})
project(f"GET {_BELONGS}/{{identity_id}}", "read identity", path={"identity_id": "owned_identity_id"})
project(
    f"PATCH {_BELONGS}/{{identity_id}}", "edit identity", path={"identity_id": "owned_identity_id"}, body={"name": "x"}
)
project(f"DELETE {_BELONGS}/{{identity_id}}", "delete identity", path={"identity_id": "owned_identity_id"})
project("GET /api/v1/projects/{project_id}/access", "read member", "read identity")

# --- groups

_GROUPS = "/api/v1/groups"
own_org(f"GET {_GROUPS}", "read groups", names_others=False)
own_org(f"POST {_GROUPS}", "create groups", body={"name": "x"}, names_others=False)
own_org(f"GET {_GROUPS}/{{group_id}}", "read groups")
own_org(f"PATCH {_GROUPS}/{{group_id}}", "edit groups", body={"name": "x"})
own_org(f"DELETE {_GROUPS}/{{group_id}}", "delete groups")
for _list in ("users", "machine-identities", "members", "projects"):
    own_org(f"GET {_GROUPS}/{{group_id}}/{_list}", "read groups")
own_org(
    f"POST {_GROUPS}/{{group_id}}/users/{{username}}",
    "add-members groups or edit groups",
    path={"username": "owner_username"},
)
own_org(f"DELETE {_GROUPS}/{{group_id}}/users/{{username}}", "remove-members groups or edit groups")
own_org(
    f"POST {_GROUPS}/{{group_id}}/machine-identities/{{identity_id}}",
    "add-identities groups or edit groups",
    path={"identity_id": "free_identity_id"},
)
own_org(f"DELETE {_GROUPS}/{{group_id}}/machine-identities/{{identity_id}}", "remove-identities groups or edit groups")

# --- audit log

own_org("GET /api/v1/organization/audit-logs", "read audit-logs", names_others=False)
own_org("GET /api/v1/organization/audit-logs/export", "read audit-logs", names_others=False)
own_org("GET /api/v1/organization/login-denials", "read audit-logs", names_others=False)
own_org("GET /api/v1/organization/login-denials/{request_id}", "read audit-logs", path={"request_id": "request_id"})
for _base in both("/api/v1/projects/{project_id}", "/api/v1/workspace/{project_id}"):
    project(f"GET {_base}/audit-logs", "read audit-logs")
    project(f"GET {_base}/audit-logs/filters/actors", "read audit-logs")

# --- proofs of one's own: a wrong one is refused as 401, so only the refusals before it are looked at

own("POST /api/v2/auth/mfa/verify", body={"mfaToken": "000000", "mfaMethod": "email"})
own("POST /api/v1/user/me/totp/verify", body={"totp": "000000"})
own("DELETE /api/v1/user/me/totp", body={"password": PASSWORD})
own("POST /api/v2/password/user/password-reset", body={"oldPassword": PASSWORD, "newPassword": "another password"})
own_org("POST /api/v2/organizations/privilege-system-upgrade", "edit settings", whole=True, names_others=False)

# --- templates of auth methods

_TEMPLATES, _ON = "/api/v1/identity-templates", "machine-identity-auth-template"
own_org(
    f"POST {_TEMPLATES}",
    f"create-templates {_ON}",
    names_others=False,
    late=True,
    body={"name": "x", "authMethod": "ldap-auth", "templateFields": {}},
)
own_org(f"GET {_TEMPLATES}", f"attach-templates {_ON}", query={"authMethod": "ldap-auth"}, names_others=False)
own_org(f"GET {_TEMPLATES}/search", f"list-templates {_ON}", names_others=False)
own_org(f"GET {_TEMPLATES}/{{template_id}}", f"list-templates {_ON} or attach-templates {_ON}")
own_org(f"PATCH {_TEMPLATES}/{{template_id}}", f"edit-templates {_ON}", body={"name": "x"})
own_org(f"DELETE {_TEMPLATES}/{{template_id}}", f"delete-templates {_ON}")
own_org(f"GET {_TEMPLATES}/{{template_id}}/usage", f"list-templates {_ON}")
own_org(
    f"POST {_TEMPLATES}/{{template_id}}/delete-usage",
    f"unlink-templates {_ON}",
    body={"identityIds": ["{free_identity_id}"]},
)

for _method in _METHODS:
    if _method != "token-auth":
        org(
            f"POST /api/v1/auth/{_method}/identities/{{identity_id}}/test-login",
            "edit identity or edit-auth identity",
            body={},
            late=True,
        )
org("POST /api/v1/auth/spiffe-auth/identities/{identity_id}/refresh-bundle", "edit identity or edit-auth identity")

# --- OAuth 2

public(
    "POST /oauth2/token",
    "POST /oauth2/introspect",
    "POST /oauth2/revoke",
    "GET /.well-known/oauth-authorization-server",
    body={},
)

# --- secrets

_TOLD = "/api/v1/events/subscribe/project-events"
project(
    f"POST {_TOLD}",
    "subscribe-on-updated secret-event-subscriptions",
    body={"projectId": "{project_id}", "register": [{"event": "secret:update"}], "seconds": 0},
)
project(
    f"GET {_TOLD}",
    "subscribe-on-updated secret-event-subscriptions",
    query={"projectId": "{project_id}", "events": "secret:update", "seconds": "0"},
)
_SEES, _READS = "describeSecret secrets", "readValue secrets"
_IN = {
    "workspaceId": "{project_id}",
    "projectId": "{project_id}",
    "environment": "{environment_slug}",
    "secretPath": "/",
}
_NAMED = {"secret_name": "secret_name"}
for _base, _batch in (
    ("/api/v3/secrets/raw", "/api/v3/secrets/batch/raw"),
    ("/api/v4/secrets", "/api/v4/secrets/batch"),
):
    project(f"GET {_base}", _SEES, query=_IN)
    project(f"GET {_base}/{{secret_name}}", _SEES, _READS, path=_NAMED, query=_IN)
    project(
        f"POST {_base}/{{secret_name}}",
        "create secrets",
        path={"secret_name": "FRESH"},
        body={**_IN, "secretValue": "x"},
    )
    project(f"PATCH {_base}/{{secret_name}}", "edit secrets", path=_NAMED, body={**_IN, "secretValue": "x"})
    project(f"DELETE {_base}/{{secret_name}}", "delete secrets", path=_NAMED, body=_IN)
    project(f"GET {_base}/id/{{secret_id}}", _SEES, _READS)
    project(f"POST {_batch}", "create secrets", body={**_IN, "secrets": [{"secretKey": "FRESH", "secretValue": "x"}]})
    project(
        f"PATCH {_batch}", "edit secrets", body={**_IN, "secrets": [{"secretKey": "{secret_name}", "secretValue": "x"}]}
    )
    project(f"DELETE {_batch}", "delete secrets", body={**_IN, "secrets": [{"secretKey": "{secret_name}"}]})
_MOVED = {
    "projectSlug": "{project_slug}",
    "projectId": "{project_id}",
    "sourceEnvironment": "{environment_slug}",
    "sourceSecretPath": "/",
    "destinationEnvironment": "{environment_slug}",
    "destinationSecretPath": "/kept",
    "secretIds": ["{secret_id}"],
}
project("POST /api/v3/secrets/move", "create secrets", "edit secrets", "delete secrets", _SEES, _READS, body=_MOVED)
project("POST /api/v4/secrets/move", "create secrets", "edit secrets", "delete secrets", _SEES, _READS, body=_MOVED)
_TAGGED = {
    "projectSlug": "{project_slug}",
    "environment": "{environment_slug}",
    "secretPath": "/",
    "tagSlugs": ["{tag_slug}"],
}
project("POST /api/v3/secrets/tags/{secret_name}", "edit secrets", _READS, "read tags", path=_NAMED, body=_TAGGED)
project("DELETE /api/v3/secrets/tags/{secret_name}", "edit secrets", "read tags", path=_NAMED, body=_TAGGED)
project(
    "GET /api/v1/secret/{secret_id}/secret-versions",
    "read secret-rollback or read commits",
    _SEES,
    query={"offset": "0", "limit": "20"},
)
project(
    "POST /api/v1/secret/{secret_id}/rollback",
    "create secret-rollback or perform-rollback commits",
    "edit secrets",
    _READS,
    body={"version": 1},
)
# A search finds only what the caller may see, so who may see nothing finds nothing.
project("GET /api/v1/projects/{project_id}/secrets/search", query={"environment": "{environment_slug}", "query": "x"})
project("GET /api/v4/secrets/batch", _SEES, query=_IN)
project("GET /api/v4/secrets/move", _SEES, query=_IN)
project("GET /api/v4/secrets/{secret_name}/secret-references", _SEES, path=_NAMED, query=_IN)
project("GET /api/v4/secrets/{secret_name}/secret-reference-tree", _SEES, _READS, path=_NAMED, query=_IN)
project("POST /api/v4/secrets/backfill-secret-references", "edit workspace", body=_IN)
project("GET /api/v1/projects/{project_id}/secrets/export", _SEES, _READS, query={"environment": "{environment_slug}"})
project(
    "POST /api/v1/projects/{project_id}/secrets/import",
    "create secrets",
    "edit secrets",
    body={"environment": "{environment_slug}", "format": "dotenv", "content": "FRESH=x"},
)

for _base in ("/api/v1/secret-imports", "/api/v2/secret-imports"):
    project(
        f"POST {_base}",
        "create secret-imports",
        _SEES,
        _READS,
        body={**_IN, "import": {"environment": "{environment_slug}", "path": "/kept"}},
    )
    project(f"GET {_base}", "read secret-imports", query=_IN)
    project(f"GET {_base}/secrets/raw", _SEES, query=_IN)
    project(f"GET {_base}/{{import_id}}", "read secret-imports")
    project(f"PATCH {_base}/{{import_id}}", "edit secret-imports", body={**_IN, "import": {"position": 1}})
    project(f"DELETE {_base}/{{import_id}}", "delete secret-imports", body=_IN)
    project(f"POST {_base}/{{import_id}}/replication-resync", "edit secret-imports", body=_IN)
