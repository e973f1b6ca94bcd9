"""Every route by which somebody could gain power, with an attempt to; and those of the same family that give none, and why.

A route of the watched families that stands in neither table fails the run. Words in braces take their value from the world of
`test_climbing.py`; `identity_id` and the like name the strong one unless the attempt says otherwise.
"""

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from watchword.methods import registry

WATCHED = re.compile(r"identit|member|roles|privilege|/groups|/auth/|invite-org|user-management|service-token|folder-access|oauth2")


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """A request that would give its caller, or something in its hands, more than it has. It must be refused."""

    operation: str
    path: Mapping[str, str] = {}
    body: Any = None
    refused: tuple[int, ...] = (403,)
    only: str = ""  # the kind of caller, or the one of them, for which it would be a gain; empty: all


POWER: list[Attempt] = []
HARMLESS: dict[str, str] = {}


def climb(operation: str, body: Any = None, refused: tuple[int, ...] = (403,), only: str = "", **path: str) -> None:
    POWER.append(Attempt(operation=operation, path=path, body=body, refused=refused, only=only))


def harmless(why: str, *operations: str) -> None:
    HARMLESS.update(dict.fromkeys(operations, why))


ADMIN = {"roles": [{"role": "admin"}]}
IN_ORG = [{"subject": "settings", "action": ["edit"]}]  # beyond a keeper and beyond a member
IN_PROJECT = [{"subject": "workspace", "action": ["delete"]}]

# --- identities of organizations and projects ---------------------------------------------------------------------------------

climb("POST /api/v1/identities", {"name": "x", "organizationId": "{org_id}", "role": "admin"})
climb("PATCH /api/v1/identities/{identity_id}", {"role": "admin"}, identity_id="me")
climb("PATCH /api/v1/identities/{identity_id}", {"metadata": [{"key": "team", "value": "x"}]})
climb("DELETE /api/v1/identities/{identity_id}")
climb("POST /api/v1/identities/{identity_id}/disable", {})
climb("POST /api/v1/identities/{identity_id}/enable")
climb("POST /api/v1/projects/{project_id}/identities", {"name": "x", **ADMIN})
climb("PATCH /api/v1/projects/{project_id}/identities/{identity_id}", {"name": "x"}, identity_id="owned")
climb("DELETE /api/v1/projects/{project_id}/identities/{identity_id}", identity_id="owned")

# --- what an identity logs in with --------------------------------------------------------------------------------------------

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

# --- settings of methods that several identities share ------------------------------------------------------------------------

_TEMPLATE = "/api/v1/identity-templates"
climb(f"PATCH {_TEMPLATE}/{{template_id}}", {"templateFields": {"url": "ldaps://mine.example.com"}})
climb(f"POST {_TEMPLATE}/{{template_id}}/delete-usage", {"identityIds": ["{identity_id}"]})
harmless("a template says nothing until an identity uses it, and attaching it is asked for there", f"POST {_TEMPLATE}")
harmless("a template in use is not deleted", f"DELETE {_TEMPLATE}/{{template_id}}")

# --- roles --------------------------------------------------------------------------------------------------------------------

_PLACES = {
    "/api/v1/organization/roles": "org_role", "/api/v1/organization/{organization_id}/roles": "org_role",
    "/api/v2/workspace/{project_id}/roles": "project_role", "/api/v1/projects/{project_id}/roles": "project_role",
    "/api/v1/workspace/{project_slug}/roles": "project_role",
}  # fmt: skip
for _base, _mine in _PLACES.items():
    _more = IN_ORG if _mine == "org_role" else IN_PROJECT
    climb(f"POST {_base}", {"slug": "boss", "name": "Boss", "permissions": _more})
    climb(f"PATCH {_base}/{{role_id}}", {"slug": "keeper", "permissions": _more}, role_id=_mine)
    harmless("a role that somebody holds is not deleted, and one that nobody holds gives nothing", f"DELETE {_base}/{{role_id}}")

# --- memberships --------------------------------------------------------------------------------------------------------------

climb("POST /api/v1/organization/identity-memberships/{identity_id}", ADMIN, identity_id="free")
climb("PATCH /api/v1/organization/identity-memberships/{identity_id}", ADMIN, identity_id="me")
climb("PATCH /api/v1/organization/identity-memberships/{identity_id}", {"roles": [{"role": "no-access"}]})
climb("DELETE /api/v1/organization/identity-memberships/{identity_id}")
for _base in ("/api/v1/projects/{project_id}/memberships/identities", "/api/v1/projects/{project_id}/identity-memberships",
              "/api/v2/workspace/{project_id}/identity-memberships"):  # fmt: skip
    climb(f"POST {_base}/{{identity_id}}", ADMIN, identity_id="free")
    climb(f"PATCH {_base}/{{identity_id}}", ADMIN, identity_id="me")
    climb(f"PATCH {_base}/{{identity_id}}", {"roles": [{"role": "no-access"}]})
    climb(f"DELETE {_base}/{{identity_id}}")
for _base in ("/api/v1/projects/{project_id}/memberships", "/api/v1/workspace/{project_id}/memberships",
              "/api/v2/workspace/{project_id}/memberships"):  # fmt: skip
    climb(f"POST {_base}", {"emails": ["{free_email}"], "roleSlugs": ["admin"]})
    climb(f"DELETE {_base}", {"emails": ["{owner_email}"]})
    if "v2" not in _base:
        climb(f"PATCH {_base}/{{membership_id}}", ADMIN, membership_id="my_project_membership")
        climb(f"DELETE {_base}/{{membership_id}}", membership_id="owner_project_membership")
        harmless("it only reads", f"POST {_base}/details")
climb("PATCH /api/v2/organizations/{organization_id}/memberships/{membership_id}", {"role": "admin"}, membership_id="my_membership")
climb("PATCH /api/v2/organizations/{organization_id}/memberships/{membership_id}", {"isActive": False}, membership_id="owner_membership")
climb("DELETE /api/v2/organizations/{organization_id}/memberships/{membership_id}", membership_id="owner_membership")
climb("DELETE /api/v2/organizations/{organization_id}/memberships", {"membershipIds": ["{owner_membership}"]})
climb("POST /api/v1/invite-org/signup", {"inviteeEmails": ["x@example.com"], "organizationId": "{org_id}", "organizationRoleSlug": "admin"})

# --- privileges ---------------------------------------------------------------------------------------------------------------

_OLD, _NEW = "/api/v1/additional-privilege/identity", "/api/v2/identity-project-additional-privilege"
_ME = {"identityId": "{me}", "projectSlug": "{project_slug}"}
_RULE = {"permissions": [{"subject": "workspace", "action": "delete"}]}
_WINDOW = {"temporaryMode": "relative", "temporaryRange": "1h", "temporaryAccessStartTime": "2026-01-01T00:00:00Z"}
climb(f"POST {_OLD}/permanent", {**_ME, **_RULE})
climb(f"POST {_OLD}/temporary", {**_ME, **_RULE, **_WINDOW})
climb(f"PATCH {_OLD}", {**_ME, "privilegeSlug": "denial", "privilegeDetails": _RULE})
climb(f"DELETE {_OLD}", {**_ME, "privilegeSlug": "denial"}, only="identity")  # people are not denied it, so they may lift it
climb(f"POST {_NEW}", {"identityId": "{me}", "projectId": "{project_id}", "permissions": IN_PROJECT})
climb(f"PATCH {_NEW}/{{privilege_id}}", {"permissions": []})
climb(f"DELETE {_NEW}/{{privilege_id}}")

# --- groups -------------------------------------------------------------------------------------------------------------------

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

# --- the rest -----------------------------------------------------------------------------------------------------------------

_USER = "/api/v1/admin/user-management/users/{user_id}"
climb(f"PATCH {_USER}", {"isActive": False})
climb(f"DELETE {_USER}")
climb(f"POST {_USER}/password-reset-link")
climb(f"DELETE {_USER}/mfa")
climb("POST /api/v2/service-token", {"name": "x", "workspaceId": "{project_id}", "scopes": [{"environment": "dev", "secretPath": "/"}],
                                     "permissions": ["read"]}, only="keeper")  # fmt: skip
climb("POST /api/v2/organizations/privilege-system-upgrade", {})

climb("POST /api/v1/auth/spiffe-auth/identities/{identity_id}/refresh-bundle", None, (403, 404))
harmless("it says what a token is", "POST /oauth2/introspect")
harmless(
    "a credential is ended, not made",
    "POST /oauth2/revoke",
    "DELETE /api/v2/service-token/{service_token_id}",
    "POST /api/v1/auth/token/revoke",
    "POST /api/v1/auth/logout",
)
harmless("an invitation is taken back", "DELETE /api/v1/invite-org/{organization_id}/{invitation_id}")
harmless("the link names the role that who sent it could give", "POST /api/v1/invite-org/accept")
harmless("it only reads", "POST /api/v1/identities/search")
harmless("it says whether a session is alive", "POST /api/v1/auth/checkAuth")
harmless("who has a session or a token gets the same again", "POST /api/v1/auth/token", "POST /api/v1/auth/token/renew")
harmless(
    "a login proves who is calling and gives what that one has",
    "POST /api/v3/auth/login", "POST /api/v1/auth/login1", "POST /api/v1/auth/login2", "POST /api/v3/auth/login1", "POST /api/v3/auth/login2",
    "POST /oauth2/token",
)  # fmt: skip
harmless("a person enters an organization as the member it is there", "POST /api/v3/auth/select-organization")
harmless("a second proof of who is calling, on top of the first", "POST /api/v2/auth/mfa/verify")
