"""Every route by which somebody could gain power or take it from others, with an attempt to; and those that write
otherwise, and why.

A route that writes and stands in neither table fails the run. Words in braces take their value from the scenario of
`test_climbing.py`; `identity_id` and the like name the strong one unless the attempt says otherwise.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from watchword.methods import registry

# What says who may do what. A route whose reason is CONTENT writes to none of them.
OF_POWER = frozenset(
    {
        "users",
        "sessions",
        "invitations",
        "one_time_tokens",
        "passkeys",
        "groups",
        "group_members",
        "identities",
        "actor_metadata",
        "method_configs",
        "method_templates",
        "client_secrets",
        "access_tokens",
        "revocations",
        "roles",
        "memberships",
        "membership_roles",
        "privileges",
        "organizations",
        "service_tokens",
    }
)
CONTENT = "it writes what a project holds or how it is called, and nothing about who may do what"


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """A request that would give its caller, or something in its hands, more than it has. It must be refused."""

    operation: str
    path: Mapping[str, str] = {}
    body: Any = None
    refused: tuple[int, ...] = (403,)
    only: str = ""  # the kind of caller, or the one of them, for which it would be a gain; empty: all


POWER: list[Attempt] = []
# Made by an administrator of the organization and of the project, at whom and what administers the instance.
OVER_INSTANCE: list[Attempt] = []
HARMLESS: dict[str, str] = {}


def climb(operation: str, body: Any = None, refused: tuple[int, ...] = (403,), only: str = "", **path: str) -> None:
    POWER.append(Attempt(operation=operation, path=path, body=body, refused=refused, only=only))


def harmless(why: str, *operations: str) -> None:
    HARMLESS.update(dict.fromkeys(operations, why))


ADMIN = {"roles": [{"role": "admin"}]}
IN_ORG = [{"subject": "settings", "action": ["edit"]}]  # beyond a keeper and beyond a member
IN_PROJECT = [{"subject": "workspace", "action": ["delete"]}]

# --- identities of organizations and projects

climb("POST /api/v1/identities", {"name": "x", "organizationId": "{org_id}", "role": "admin"})
climb("PATCH /api/v1/identities/{identity_id}", {"role": "admin"}, identity_id="me")
climb("POST /api/v1/organization/identities", {"name": "x", "role": "admin"})
climb("PATCH /api/v1/organization/identities/{identity_id}", {"role": "admin"}, identity_id="me")
climb("DELETE /api/v1/organization/identities/{identity_id}")
climb("PATCH /api/v1/identities/{identity_id}", {"metadata": [{"key": "team", "value": "x"}]})
climb("DELETE /api/v1/identities/{identity_id}")
climb("POST /api/v1/identities/{identity_id}/disable", {})
climb("POST /api/v1/identities/{identity_id}/enable")
climb("POST /api/v1/projects/{project_id}/identities", {"name": "x", **ADMIN})
climb("PATCH /api/v1/projects/{project_id}/identities/{identity_id}", {"name": "x"}, identity_id="owned")
climb("DELETE /api/v1/projects/{project_id}/identities/{identity_id}", identity_id="owned")

# --- what an identity logs in with

for _method in registry():
    _whose = f"/api/v1/auth/{_method}/identities/{{identity_id}}"
    # A body with faults may be refused for them first: the boundary is asked with the same words for every method.
    climb(f"POST {_whose}", {}, (403, 422))
    climb(f"PATCH {_whose}", {}, (403, 422))
    climb(f"DELETE {_whose}")
    if _method in ("universal-auth", "ldap-auth"):
        climb(f"POST {_whose}/clear-lockouts")
    if _method != "token-auth":
        harmless("a login proves who is calling and gives what that one has", f"POST /api/v1/auth/{_method}/login")
        harmless("a login is tried out, and no token comes of it", f"POST {_whose}/test-login")
_SECRETS = "/api/v1/auth/universal-auth/identities/{identity_id}/client-secrets"
climb(f"POST {_SECRETS}", {})
climb(f"POST {_SECRETS}/{{client_secret_id}}/revoke")
climb("POST /api/v1/auth/token-auth/identities/{identity_id}/tokens", {})
climb("PATCH /api/v1/auth/token-auth/tokens/{token_id}", {"name": "x"})
climb("POST /api/v1/auth/token-auth/tokens/{token_id}/revoke")
climb("POST /api/v1/identities/{identity_id}/live-tokens/{token_id}/revoke")
climb("POST /api/v1/identities/{identity_id}/live-tokens/revoke", {"all": True})
harmless(
    "who has a wrapping token takes out what was put into it, once",
    "POST /api/v1/auth/wrapping/unwrap",
    "POST /api/v1/auth/wrapping/lookup",
)

# --- settings of methods that several identities share

_TEMPLATE = "/api/v1/identity-templates"
climb(f"PATCH {_TEMPLATE}/{{template_id}}", {"templateFields": {"url": "ldaps://mine.example.com"}})
climb(f"POST {_TEMPLATE}/{{template_id}}/delete-usage", {"identityIds": ["{identity_id}"]})
harmless("a template says nothing until an identity uses it, and attaching it is asked for there", f"POST {_TEMPLATE}")
harmless("a template in use is not deleted", f"DELETE {_TEMPLATE}/{{template_id}}")

# --- roles

_PLACES = {
    "/api/v1/organization/roles": "org_role",
    "/api/v1/organization/{organization_id}/roles": "org_role",
    "/api/v2/workspace/{project_id}/roles": "project_role",
    "/api/v1/projects/{project_id}/roles": "project_role",
    "/api/v1/workspace/{project_slug}/roles": "project_role",
}
for _base, _mine in _PLACES.items():
    _more = IN_ORG if _mine == "org_role" else IN_PROJECT
    climb(f"POST {_base}", {"slug": "boss", "name": "Boss", "permissions": _more})
    climb(f"PATCH {_base}/{{role_id}}", {"slug": "keeper", "permissions": _more}, role_id=_mine)
    harmless(
        "a role that somebody holds is not deleted, and one that nobody holds gives nothing",
        f"DELETE {_base}/{{role_id}}",
    )

# --- memberships

climb("POST /api/v1/organization/identity-memberships/{identity_id}", ADMIN, identity_id="free")
climb("PATCH /api/v1/organization/identity-memberships/{identity_id}", ADMIN, identity_id="me")
climb("PATCH /api/v1/organization/identity-memberships/{identity_id}", {"roles": [{"role": "no-access"}]})
climb("DELETE /api/v1/organization/identity-memberships/{identity_id}")
for _base in (
    "/api/v1/projects/{project_id}/memberships/identities",
    "/api/v1/projects/{project_id}/identity-memberships",
    "/api/v2/workspace/{project_id}/identity-memberships",
):
    climb(f"POST {_base}/{{identity_id}}", ADMIN, identity_id="free")
    climb(f"PATCH {_base}/{{identity_id}}", ADMIN, identity_id="me")
    climb(f"PATCH {_base}/{{identity_id}}", {"roles": [{"role": "no-access"}]})
    climb(f"DELETE {_base}/{{identity_id}}")
for _base in (
    "/api/v1/projects/{project_id}/memberships",
    "/api/v1/workspace/{project_id}/memberships",
    "/api/v2/workspace/{project_id}/memberships",
):
    climb(f"POST {_base}", {"emails": ["{free_email}"], "roleSlugs": ["admin"]})
    climb(f"DELETE {_base}", {"emails": ["{owner_email}"]})
    if "v2" not in _base:
        climb(f"PATCH {_base}/{{membership_id}}", ADMIN, membership_id="my_project_membership")
        climb(f"DELETE {_base}/{{membership_id}}", membership_id="owner_project_membership")
        harmless("it only reads", f"POST {_base}/details")
climb(
    "PATCH /api/v2/organizations/{organization_id}/memberships/{membership_id}",
    {"role": "admin"},
    membership_id="my_membership",
)
climb(
    "PATCH /api/v2/organizations/{organization_id}/memberships/{membership_id}",
    {"isActive": False},
    membership_id="owner_membership",
)
climb("DELETE /api/v2/organizations/{organization_id}/memberships/{membership_id}", membership_id="owner_membership")
climb("DELETE /api/v2/organizations/{organization_id}/memberships", {"membershipIds": ["{owner_membership}"]})
climb(
    "POST /api/v1/invite-org/signup",
    {"inviteeEmails": ["x@example.com"], "organizationId": "{org_id}", "organizationRoleSlug": "admin"},
)

# --- privileges

_OLD, _NEW = "/api/v1/additional-privilege/identity", "/api/v2/identity-project-additional-privilege"
_ME = {"identityId": "{me}", "projectSlug": "{project_slug}"}
_RULE = {"permissions": [{"subject": "workspace", "action": "delete"}]}
_WINDOW = {"temporaryMode": "relative", "temporaryRange": "1h", "temporaryAccessStartTime": "2026-01-01T00:00:00Z"}
climb(f"POST {_OLD}/permanent", {**_ME, **_RULE})
climb(f"POST {_OLD}/temporary", {**_ME, **_RULE, **_WINDOW})
climb(f"PATCH {_OLD}", {**_ME, "privilegeSlug": "denial", "privilegeDetails": _RULE})
climb(
    f"DELETE {_OLD}", {**_ME, "privilegeSlug": "denial"}, only="identity"
)  # people are not denied it, so they may lift it
climb(f"POST {_NEW}", {"identityId": "{me}", "projectId": "{project_id}", "permissions": IN_PROJECT})
climb(f"PATCH {_NEW}/{{privilege_id}}", {"permissions": []})
climb(f"DELETE {_NEW}/{{privilege_id}}")

_FOLDER_ACCESS = "/api/v1/projects/{project_id}/identities/{identity_id}/folder-access/{folder_id}"
climb(f"POST {_FOLDER_ACCESS}", {"permission": "full-access"}, identity_id="me")
climb(f"POST {_FOLDER_ACCESS}", {"permission": "list"})
climb(f"PATCH {_FOLDER_ACCESS}", {"permission": "full-access"})
climb(f"DELETE {_FOLDER_ACCESS}")

# --- groups

climb("POST /api/v1/groups", {"name": "x", "role": "admin"})
climb("PATCH /api/v1/groups/{group_id}", {"role": "admin"}, group_id="weak_group")
climb("PATCH /api/v1/groups/{group_id}", {"role": "no-access"})
climb("DELETE /api/v1/groups/{group_id}")
climb("POST /api/v1/groups/{group_id}/users/{username}", username="my_email")
climb("DELETE /api/v1/groups/{group_id}/users/{username}", username="owner_email")
climb("POST /api/v1/groups/{group_id}/machine-identities/{identity_id}", identity_id="me")
climb("POST /api/v1/groups/{group_id}/machine-identities/{identity_id}", group_id="project_group", identity_id="me")
climb("DELETE /api/v1/groups/{group_id}/machine-identities/{identity_id}")
for _base in (
    "/api/v1/projects/{project_id}/memberships/groups",
    "/api/v1/projects/{project_id}/groups",
    "/api/v2/workspace/{project_id}/groups",
):
    climb(f"POST {_base}/{{group_id}}", ADMIN, group_id="weak_group")
    climb(f"PATCH {_base}/{{group_id}}", ADMIN, group_id="inside_group")
    climb(f"PATCH {_base}/{{group_id}}", {"roles": [{"role": "no-access"}]}, group_id="project_group")
    climb(f"DELETE {_base}/{{group_id}}", group_id="project_group")

# --- the rest

_USER = "/api/v1/admin/user-management/users/{user_id}"
climb(f"PATCH {_USER}", {"isActive": False})
climb(f"DELETE {_USER}")
climb(f"POST {_USER}/password-reset-link")
climb(f"DELETE {_USER}/mfa")
climb(
    "POST /api/v2/service-token",
    {
        "name": "x",
        "workspaceId": "{project_id}",
        "scopes": [{"environment": "dev", "secretPath": "/"}],
        "permissions": ["read"],
    },
    only="keeper",
)
climb("POST /api/v2/organizations/privilege-system-upgrade", {})

climb("POST /api/v1/auth/spiffe-auth/identities/{identity_id}/refresh-bundle", None, (403, 404))
harmless("it says what a token is", "POST /oauth2/introspect")
harmless(
    "a credential is ended, not made",
    "POST /oauth2/revoke",
    "POST /api/v1/auth/token/revoke",
    "POST /api/v1/auth/logout",
)
climb("DELETE /api/v1/invite-org/{organization_id}/{invitation_id}")
climb("DELETE /api/v2/service-token/{service_token_id}", only="settler")
harmless("the link names a role that who sent it can give at that moment", "POST /api/v1/invite-org/accept")

# --- the whole of it

climb("DELETE /api/v2/organizations/{organization_id}")
climb("DELETE /api/v1/sub-organizations/{sub_org_id}")
climb("PATCH /api/v1/organization/{organization_id}", {"shouldUseNewPrivilegeSystem": True})
climb("PATCH /api/v1/organization/{organization_id}", {"defaultMembershipRoleSlug": "admin"})
climb("DELETE /api/v1/projects/{project_id}")
climb("DELETE /api/v1/workspace/{project_id}")
climb("DELETE /api/v2/workspace/{slug}", slug="project_slug")
harmless(
    "an organization or a project of one's own takes nothing from others",
    "POST /api/v2/organizations",
    "POST /api/v1/projects",
    "POST /api/v2/workspace",
)
harmless("the first act on an empty instance", "POST /api/v1/admin/bootstrap")
harmless(
    "it is about the caller's own account, or about that of who has the link",
    "PATCH /api/v2/users/me/name",
    "DELETE /api/v2/users/me/sessions",
    "DELETE /api/v2/users/me/sessions/{session_id}",
    "POST /api/v2/password/user/password-reset",
    "POST /api/v1/password/email/password-reset",
    "POST /api/v1/password/reset",
    "POST /api/v1/user/me/totp/register",
    "POST /api/v1/user/me/totp/verify",
    "POST /api/v1/user/me/totp/recovery-codes",
    "DELETE /api/v1/user/me/totp",
)
harmless("it only reads", "POST /api/v1/organization/explain", "POST /api/v1/projects/{project_id}/explain")

for _base in ("/api/v1/projects/{project_id}", "/api/v1/workspace/{project_id}"):
    harmless(
        CONTENT,
        f"PATCH {_base}",
        f"POST {_base}/environments",
        f"PATCH {_base}/environments/{{environment_id}}",
        f"DELETE {_base}/environments/{{environment_id}}",
    )
for _base in ("/api/v1/projects/{project_id}", "/api/v1/workspace/{project_id}"):
    harmless(CONTENT, f"POST {_base}/tags", f"PATCH {_base}/tags/{{tag_id}}", f"DELETE {_base}/tags/{{tag_id}}")
harmless(
    CONTENT,
    "POST /api/v1/organization/alert-channels",
    "PATCH /api/v1/organization/alert-channels/{channel_id}",
    "DELETE /api/v1/organization/alert-channels/{channel_id}",
    "POST /api/v1/organization/alert-channels/{channel_id}/test",
    "POST /api/v1/organization/alert-channels/{channel_id}/deliveries/retry",
)
harmless(
    CONTENT,
    "POST /api/v1/webhooks",
    "PATCH /api/v1/webhooks/{webhook_id}",
    "DELETE /api/v1/webhooks/{webhook_id}",
    "POST /api/v1/webhooks/{webhook_id}/test",
    "POST /api/v1/webhooks/{webhook_id}/deliveries/retry",
)
for _base in ("/api/v1/folders", "/api/v2/folders"):
    harmless(
        CONTENT,
        f"POST {_base}",
        f"PATCH {_base}/batch",
        f"PATCH {_base}/{{folder_id}}",
        f"DELETE {_base}/{{folder_id_or_name}}",
    )
for _base in ("/api/v3/secrets/raw", "/api/v4/secrets"):
    harmless(
        CONTENT, f"POST {_base}/{{secret_name}}", f"PATCH {_base}/{{secret_name}}", f"DELETE {_base}/{{secret_name}}"
    )
for _base in ("/api/v3/secrets/batch/raw", "/api/v4/secrets/batch"):
    harmless(CONTENT, f"POST {_base}", f"PATCH {_base}", f"DELETE {_base}")
for _base in ("/api/v1/secret-imports", "/api/v2/secret-imports"):
    harmless(
        CONTENT,
        f"POST {_base}",
        f"PATCH {_base}/{{import_id}}",
        f"DELETE {_base}/{{import_id}}",
        f"POST {_base}/{{import_id}}/replication-resync",
    )
harmless(
    CONTENT,
    "PUT /api/v1/projects/{project_id}/audit-logs-retention",
    "PUT /api/v1/workspace/{slug}/audit-logs-retention",
    "PUT /api/v1/workspace/{slug}/version-limit",
    "PATCH /api/v2/workspace/{slug}",
    "POST /api/v1/workspace/{project_id}/name",
    "POST /api/v1/workspace/{project_id}/auto-capitalization",
    "POST /api/v1/projects/{project_id}/environments/{environment_id}/restore",
    "POST /api/v3/secrets/move",
    "POST /api/v4/secrets/move",
    "POST /api/v3/secrets/tags/{secret_name}",
    "DELETE /api/v3/secrets/tags/{secret_name}",
    "POST /api/v1/secret/{secret_id}/rollback",
    "POST /api/v4/secrets/backfill-secret-references",
    "POST /api/v1/projects/{project_id}/secrets/import",
)
harmless(
    "it only reads",
    "POST /api/v1/identities/search",
    "POST /api/v2/identities/search",
    "POST /api/v2/identities/search/count",
)
harmless("it says whether a session is alive", "POST /api/v1/auth/checkAuth")
harmless("who has a session or a token gets the same again", "POST /api/v1/auth/token", "POST /api/v1/auth/token/renew")
harmless(
    "a login proves who is calling and gives what that one has",
    "POST /api/v3/auth/login",
    "POST /api/v1/auth/login1",
    "POST /api/v1/auth/login2",
    "POST /api/v3/auth/login1",
    "POST /api/v3/auth/login2",
    "POST /oauth2/token",
)
harmless("a person enters an organization as the member it is there", "POST /api/v3/auth/select-organization")
harmless("a new organization holds nothing yet", "POST /api/v1/sub-organizations")
harmless("it changes what a sub-organization is called", "PATCH /api/v1/sub-organizations/{sub_org_id}")
harmless("a second proof of who is calling, on top of the first", "POST /api/v2/auth/mfa/verify")

harmless("it only tells that secrets changed", "POST /api/v1/events/subscribe/project-events")

# --- at who administers the instance


def over_instance(operation: str, body: Any = None) -> None:
    OVER_INSTANCE.append(Attempt(operation=operation, body=body))


_IDENTITY, _OF_ORG = "/api/v1/identities/{identity_id}", "/api/v1/organization/identity-memberships/{identity_id}"
_MEMBERSHIP = "/api/v2/organizations/{organization_id}/memberships"
over_instance(f"PATCH {_IDENTITY}", {"name": "x"})
over_instance(f"PATCH {_IDENTITY}", {"expiresAt": "2020-01-01T00:00:00Z"})
over_instance(f"DELETE {_IDENTITY}")
over_instance("PATCH /api/v1/organization/identities/{identity_id}", {"name": "x"})
over_instance("DELETE /api/v1/organization/identities/{identity_id}")
over_instance(f"POST {_IDENTITY}/disable", {})
over_instance(f"POST {_IDENTITY}/enable")
over_instance(f"PATCH {_OF_ORG}", {"roles": [{"role": "no-access"}]})
over_instance(f"DELETE {_OF_ORG}")
over_instance("DELETE /api/v1/auth/token-auth/identities/{identity_id}")
over_instance("POST /api/v1/auth/token-auth/identities/{identity_id}/tokens", {})
over_instance("POST /api/v1/auth/universal-auth/identities/{identity_id}", {})
over_instance("POST /api/v1/auth/token-auth/tokens/{token_id}/revoke")
over_instance("POST /api/v1/identities/{identity_id}/live-tokens/{token_id}/revoke")
over_instance("POST /api/v1/identities/{identity_id}/live-tokens/revoke", {"all": True})
over_instance(f"PATCH {_MEMBERSHIP}/{{owner_membership}}", {"isActive": False})
over_instance(f"PATCH {_MEMBERSHIP}/{{owner_membership}}", {"role": "no-access"})
over_instance(f"DELETE {_MEMBERSHIP}/{{owner_membership}}")
over_instance(f"DELETE {_MEMBERSHIP}", {"membershipIds": ["{owner_membership}"]})
over_instance("DELETE /api/v1/groups/{group_id}/users/{owner_email}")
over_instance("DELETE /api/v1/groups/{group_id}/machine-identities/{identity_id}")
over_instance("POST /api/v1/groups/{weak_group}/machine-identities/{identity_id}")
over_instance("POST /api/v1/projects/{project_id}/memberships/identities/{identity_id}", {"role": "viewer"})
over_instance("DELETE /api/v1/sub-organizations/{sub_org_id}")
over_instance("DELETE /api/v2/organizations/{organization_id}")
