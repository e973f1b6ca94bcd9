"""The table of permissions (subjects, actions, condition fields), and the built-in roles that follow from it.

A new subject is one row here. The administrator of a scope may do every action of every row.
"""

from typing import Final, Literal, TypeAlias

import msgspec

ScopeKind: TypeAlias = Literal["organization", "project"]

# The kinds of condition fields: which operators an operand may use (`""` is a plain value).
EXACT: Final = frozenset({"", "$eq", "$ne", "$in"})
TEXT: Final = EXACT | {"$glob"}
SET: Final = frozenset({"$in", "$all"})
ENTRIES: Final = frozenset({"$elemMatch"})

FIELDS_OF_ENTRIES: Final = ("key", "value")
LIST_FIELDS: Final = frozenset({"secretTags", "metadata"})
PATH_FIELD: Final = "secretPath"

_CRUD: Final = ("read", "create", "edit", "delete")
_READ: Final = ("read",)

_PLACE: Final = {"environment": EXACT, "secretPath": TEXT}
_SECRET: Final = {"environment": TEXT, "secretPath": TEXT, "secretName": TEXT, "secretTags": SET, "metadata": ENTRIES}


class Subject(msgspec.Struct, frozen=True):
    """One row of the table of permissions.

    It names the actions, the fields that a rule may be conditioned on, and what the lesser built-in roles may do.
    """

    name: str
    actions: tuple[str, ...]
    member: tuple[str, ...] = ()
    viewer: tuple[str, ...] = ()
    fields: dict[str, frozenset[str]] = {}


def _rows(
    *names: str, actions: tuple[str, ...] = _CRUD, member: tuple[str, ...] = (), viewer: tuple[str, ...] = ()
) -> list[Subject]:
    return [Subject(name, actions, member, viewer) for name in names]


_ORGANIZATION: Final = (
    Subject("workspace", ("read", "create"), ("read", "create")),
    Subject("project", ("create",), ("create",)),
    Subject("sub-organization", ("create", "direct-access")),
    *_rows("role", "member", "settings", "incident-contact", member=_READ),
    Subject(
        "groups",
        (*_CRUD, "grant-privileges", "add-identities", "remove-identities", "add-members", "remove-members"),
        _READ,
    ),
    Subject("billing", (*_CRUD, "manage-billing"), _READ),
    Subject(
        "identity",
        (*_CRUD, "edit-auth", "grant-privileges", "revoke-auth", "create-token", "get-token", "delete-token"),
        _CRUD,
    ),
    Subject("audit-logs", _CRUD, _READ),
    *_rows("sso", "scim", "ldap", "github-org-sync", "github-org-sync-manual", "kms", "project-templates"),
    *_rows("secret-scanning", member=_CRUD),
    Subject("app-connections", (*_CRUD, "connect"), ("connect",), fields={"connectionId": EXACT}),
    Subject(
        "gateway",
        ("list-gateways", "create-gateways", "edit-gateways", "delete-gateways", "attach-gateways"),
        ("list-gateways", "create-gateways", "attach-gateways"),
    ),
    Subject(
        "relay",
        ("list-relays", "create-relays", "edit-relays", "delete-relays"),
        ("list-relays", "create-relays", "edit-relays"),
    ),
    Subject(
        "machine-identity-auth-template",
        (
            "list-templates",
            "edit-templates",
            "create-templates",
            "delete-templates",
            "unlink-templates",
            "attach-templates",
        ),
        ("list-templates", "unlink-templates", "attach-templates"),
    ),
    Subject("organization-admin-console", ("access-all-projects",)),
    Subject("kmip", ("proxy",)),
    Subject("secret-share", ("manage-settings",)),
)

_VALUES: Final = ("describeSecret", "read", "readValue", "create", "edit", "delete")
_ROOT: Final = (
    "read-root-credential",
    "edit-root-credential",
    "create-root-credential",
    "delete-root-credential",
    "lease",
)
_SYNC: Final = (*_CRUD, "sync-secrets", "import-secrets", "remove-secrets")
_EVENTS: Final = (
    "subscribe-on-created",
    "subscribe-on-updated",
    "subscribe-on-deleted",
    "subscribe-on-import-mutations",
)
_KEYS: Final = (*_CRUD, "encrypt", "decrypt", "sign", "verify", "rotate")
_ASSUME: Final = ("grant-privileges", "assign-role", "assign-additional-privileges", "assume-privileges")
_TOKENS: Final = ("get-token", "create-token", "delete-token", "revoke-auth", "edit-auth")

_PROJECT: Final = (
    Subject("secrets", _VALUES, _VALUES, ("describeSecret", "read", "readValue"), _SECRET),
    Subject("secret-folders", (*_CRUD, "manage-access"), _CRUD, _READ, _PLACE),
    Subject("secret-imports", _CRUD, _CRUD, _READ, _PLACE),
    Subject("dynamic-secrets", _ROOT, _ROOT, ("read-root-credential",), {**_PLACE, "metadata": ENTRIES}),
    Subject("commits", ("read", "perform-rollback"), ("read", "perform-rollback"), _READ),
    *_rows("secret-approval", member=_READ, viewer=_READ),
    Subject("secret-approval-request", _READ),
    Subject(
        "secret-rotation",
        (*_CRUD, "read-generated-credentials", "rotate-secrets"),
        _READ,
        _READ,
        {**_PLACE, "connectionId": EXACT},
    ),
    Subject("secret-rollback", ("read", "create"), ("read", "create"), _READ),
    Subject("secret-syncs", _SYNC, _SYNC, _READ, {**_PLACE, "connectionId": EXACT}),
    Subject("secret-event-subscriptions", _EVENTS, _EVENTS, _EVENTS, {**_PLACE, "eventType": EXACT}),
    Subject("member", (*_CRUD, *_ASSUME), ("read", "create"), _READ),
    Subject("groups", (*_CRUD, "grant-privileges", "assign-role"), _READ, _READ),
    Subject("identity", (*_CRUD, *_ASSUME, *_TOKENS), _CRUD, _READ, {"identityId": EXACT, "assignableRole": TEXT}),
    *_rows("role", member=_READ, viewer=_READ),
    *_rows(
        "integrations", "webhooks", "service-tokens", "settings", "environments", "tags", member=_CRUD, viewer=_READ
    ),
    *_rows("audit-logs", "ip-allowlist", member=_READ, viewer=_READ),
    Subject("app-connections", (*_CRUD, "connect", "rotate-credentials"), ("connect",), fields={"connectionId": EXACT}),
    Subject("workspace", ("edit", "delete")),
    Subject("kms", ("edit",)),
    Subject("cmek", (*_KEYS, "export-private-key"), _KEYS, _READ),
    Subject("honey-tokens", ("read", "read-credentials", "create", "edit", "reset", "revoke"), _READ, _READ),
    Subject("insights", _READ),
    Subject("project-grant", ("create-grant", "revoke-grant")),
    *_rows("certificate-authorities", member=_READ, viewer=_READ),
    *_rows("certificates", member=_CRUD, viewer=_READ),
    *_rows("certificate-templates", "pki-alerts", "pki-collections", member=_READ),
)

SUBJECTS: Final[dict[ScopeKind, dict[str, Subject]]] = {
    "organization": {s.name: s for s in _ORGANIZATION},
    "project": {s.name: s for s in _PROJECT},
}


class Rule(msgspec.Struct, frozen=True, omit_defaults=True):
    """Actions allowed on a subject, or denied when inverted.

    `conditions` (field -> operand) limit the rule to objects that meet all of them.
    """

    subject: str
    actions: tuple[str, ...]
    conditions: dict[str, str | dict[str, object]] | None = None
    inverted: bool = False


class BuiltInRole(msgspec.Struct, frozen=True):
    """A role that exists in every organization or project and cannot be changed."""

    id: str
    slug: str
    name: str
    description: str
    rules: tuple[Rule, ...]


def _rules(scope: ScopeKind, cell: str) -> tuple[Rule, ...]:
    return tuple(Rule(s.name, actions) for s in SUBJECTS[scope].values() if (actions := getattr(s, cell)))


_ADMIN_ID: Final = "b11b49a9-09a9-4443-916a-4246f9ff2c69"
_MEMBER_ID: Final = "b11b49a9-09a9-4443-916a-4246f9ff2c70"
_VIEWER_ID: Final = "b11b49a9-09a9-4443-916a-4246f9ff2c71"
_NO_ACCESS_ID: Final = "b10d49a9-09a9-4443-916a-4246f9ff2c72"

BUILT_IN: Final[dict[ScopeKind, tuple[BuiltInRole, ...]]] = {
    "organization": (
        BuiltInRole(_ADMIN_ID, "admin", "Admin", "Everything in the organization", _rules("organization", "actions")),
        BuiltInRole(
            _MEMBER_ID, "member", "Member", "The daily work in the organization", _rules("organization", "member")
        ),
        BuiltInRole(_NO_ACCESS_ID, "no-access", "No Access", "Nothing in the organization", ()),
    ),
    "project": (
        BuiltInRole(
            _ADMIN_ID, "admin", "Admin", "Full administrative access over a project", _rules("project", "actions")
        ),
        BuiltInRole(
            _MEMBER_ID, "member", "Developer", "Limited read/write role in a project", _rules("project", "member")
        ),
        BuiltInRole(_VIEWER_ID, "viewer", "Viewer", "Only read role in a project", _rules("project", "viewer")),
        BuiltInRole(_NO_ACCESS_ID, "no-access", "No Access", "No access to any resources in the project", ()),
    ),
}


def built_in(scope: ScopeKind, slug_or_id: str) -> BuiltInRole | None:
    """The built-in role of that slug or id."""
    return next((role for role in BUILT_IN[scope] if slug_or_id in (role.slug, role.id)), None)
