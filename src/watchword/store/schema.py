"""The tables, as SQLAlchemy Core definitions; the migrations must produce exactly these.

Only types that both drivers take and give alike are used, so statements run on the bare drivers without converters:
text, 64-bit integers, small integers for flags, bytes; JSON travels as text and is decoded by `store/mapping.py`.
"""

from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    SmallInteger,
    Table,
    Text,
    text,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.schema import CreateIndex

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


@compiles(CreateIndex)
def _create_index(create: CreateIndex, compiler: Any, **options: Any) -> str:
    """`CREATE INDEX`, of the rows that the index's `info` names, if it does.

    SQLAlchemy would take the condition as an option of each engine, and import the dialects of both for it.
    """
    where = create.element.info.get("where")
    return f"{compiler.visit_create_index(create, **options)}{f' WHERE {where}' if where else ''}"


def _text(name: str, *, null: bool = False, **options: Any) -> Column[str]:
    return Column(name, Text, nullable=null, **options)


def _id(name: str = "id") -> Column[str]:
    return Column(name, Text, primary_key=True)


def _of(target: str, name: str, *, null: bool = False, on_delete: str = "CASCADE") -> Column[str]:
    return Column(name, Text, ForeignKey(f"{target}.id", ondelete=on_delete), nullable=null)


def _whole(name: str, *, null: bool = False, start: int | None = None) -> Column[int]:
    return Column(name, BigInteger, nullable=null, server_default=None if start is None else str(start))


def _flag(name: str, *, null: bool = False) -> Column[int]:
    return Column(name, SmallInteger, nullable=null)


def _bytes(name: str, *, null: bool = False) -> Column[bytes]:
    return Column(name, LargeBinary, nullable=null)


def _json(name: str) -> Column[str]:
    return Column(name, Text, nullable=False, info={"json": True})


def _created() -> tuple[Column[int], Column[int]]:
    return _whole("created_at"), _whole("updated_at")


def _temporary() -> tuple[Column[Any], ...]:
    return (
        _flag("is_temporary"),
        _text("temporary_mode", null=True),
        _text("temporary_range", null=True),
        _whole("starts_at", null=True),
        _whole("ends_at", null=True),
    )


versions = Table("versions", metadata, Column("key", Text, primary_key=True), _whole("n"))

settings = Table("settings", metadata, Column("key", Text, primary_key=True), _text("value"))

data_keys = Table(
    "data_keys",
    metadata,
    _text("scope"),
    _whole("version"),
    _text("parent"),
    _whole("parent_version"),
    _bytes("sealed"),
    _flag("is_active"),
    _whole("created_at"),
    PrimaryKeyConstraint("scope", "version"),
    Index("ix_data_keys_parent", "parent", "parent_version"),
)

organizations = Table(
    "organizations",
    metadata,
    _id(),
    _text("name"),
    _text("slug"),
    _of("organizations", "root_org_id", null=True),
    _of("organizations", "parent_org_id", null=True),
    _text("default_role"),
    _text("privilege_mode"),
    _flag("requires_mfa"),
    *_created(),
    Index("uq_organizations_slug", "slug", unique=True, info={"where": "parent_org_id IS NULL"}),
    Index("uq_organizations_parent_slug", "parent_org_id", "slug", unique=True),
    Index("ix_organizations_root", "root_org_id"),
    Index("ix_organizations_parent", "parent_org_id"),
)

users = Table(
    "users",
    metadata,
    _id(),
    _text("email"),
    _text("first_name"),
    _text("last_name"),
    _text("password_hash"),
    _flag("is_instance_admin"),
    _flag("is_active"),
    _text("mfa_method", null=True),
    _bytes("mfa_secret", null=True),
    _text("mfa_recovery"),
    *_created(),
    Index("uq_users_email", "email", unique=True),
)

sessions = Table(
    "sessions",
    metadata,
    _id(),
    _of("users", "user_id"),
    _text("address"),
    _text("user_agent"),
    _text("org_id", null=True),
    _flag("is_mfa_verified"),
    _whole("created_at"),
    _whole("last_used_at"),
    _whole("expires_at"),
    Index("ix_sessions_user", "user_id"),
    Index("ix_sessions_expiry", "expires_at"),
)

invitations = Table(
    "invitations",
    metadata,
    _id(),
    _of("organizations", "org_id"),
    _text("email"),
    _text("role"),
    _bytes("token_hash"),
    _whole("hash_version", start=1),
    _text("invited_by"),
    _whole("created_at"),
    _whole("expires_at"),
    Index("uq_invitations_org_email", "org_id", "email", unique=True),
    Index("uq_invitations_token", "token_hash", unique=True),
)

one_time_tokens = Table(
    "one_time_tokens",
    metadata,
    _id(),
    _of("users", "user_id"),
    _text("purpose"),
    _bytes("token_hash"),
    _whole("hash_version", start=1),
    _whole("expires_at"),
    _text("given_by", null=True),
    Index("uq_one_time_tokens_token", "token_hash", unique=True),
    Index("ix_one_time_tokens_user", "user_id"),
)

passkeys = Table(
    "passkeys",
    metadata,
    _id(),
    _of("users", "user_id"),
    _text("name"),
    _text("credential_id"),
    _text("public_key"),
    _whole("sign_count"),
    _json("transports"),
    _flag("is_synced"),
    _whole("created_at"),
    _whole("last_used_at", null=True),
    Index("uq_passkeys_credential", "credential_id", unique=True),
    Index("ix_passkeys_user", "user_id"),
)

# No foreign key: the key is a hash of person and address or device. Addresses that nobody has leave no row.
person_failures = Table(
    "person_failures",
    metadata,
    Column("key", Text, primary_key=True),
    _whole("failures"),
    _whole("window_ends_at"),
    _whole("locked_until"),
    _whole("expires_at"),
    Index("ix_person_failures_expiry", "expires_at"),
)

groups = Table(
    "groups",
    metadata,
    _id(),
    _of("organizations", "org_id"),
    _text("name"),
    _text("slug"),
    *_created(),
    Index("uq_groups_org_slug", "org_id", "slug", unique=True),
)

group_members = Table(
    "group_members",
    metadata,
    _of("groups", "group_id"),
    _text("actor_kind"),
    _text("actor_id"),
    _whole("created_at"),
    PrimaryKeyConstraint("group_id", "actor_kind", "actor_id"),
    Index("ix_group_members_actor", "actor_kind", "actor_id"),
)

projects = Table(
    "projects",
    metadata,
    _id(),
    _of("organizations", "org_id"),
    _text("name"),
    _text("slug"),
    _text("description", null=True),
    _text("kind"),
    _flag("auto_capitalization"),
    _flag("has_delete_protection"),
    _whole("version_limit"),
    _whole("audit_retention_days", null=True),
    *_created(),
    Index("uq_projects_org_slug", "org_id", "slug", unique=True),
)

identities = Table(
    "identities",
    metadata,
    _id(),
    _of("organizations", "org_id"),
    _of("projects", "project_id", null=True),
    _text("name"),
    _flag("has_delete_protection"),
    _flag("is_disabled"),
    _flag("is_instance_admin"),
    _whole("expires_at", null=True),
    _text("owner", null=True),
    _text("last_login_method", null=True),
    _whole("last_login_at", null=True),
    _text("last_login_address", null=True),
    _whole("token_generation", start=1),
    _whole("tokens_since", start=0),
    *_created(),
    Index("ix_identities_org_name", "org_id", "name", "id"),
    Index("ix_identities_project", "project_id"),
    # A handful of many: whether an administrator of the instance is left is asked without reading all identities.
    Index(
        "ix_identities_instance_admin",
        "id",
        info={"where": "is_instance_admin = 1"},
    ),
    # For the reports: a page is read from the index where it begins, however many identities there are.
    Index(
        "ix_identities_org_login",
        "org_id",
        "last_login_at",
        "id",
        info={"where": "project_id IS NULL"},
    ),
    Index(
        "ix_identities_org_expiry",
        "org_id",
        "expires_at",
        "id",
        info={"where": "project_id IS NULL"},
    ),
)

actor_metadata = Table(
    "actor_metadata",
    metadata,
    _id(),
    _text("actor_kind"),
    _text("actor_id"),
    _text("key"),
    _text("value"),
    _whole("position"),
    Index("ix_actor_metadata_actor", "actor_kind", "actor_id"),
)

method_templates = Table(
    "method_templates",
    metadata,
    _id(),
    _of("organizations", "org_id"),
    _text("name"),
    _text("method"),
    _json("fields"),
    *_created(),
    Index("ix_method_templates_org", "org_id", "method"),
)

method_configs = Table(
    "method_configs",
    metadata,
    _id(),
    _of("identities", "identity_id"),
    _text("method"),
    _text("locator", null=True),
    _json("config"),
    _whole("ttl"),
    _whole("max_ttl"),
    _whole("period"),
    _whole("uses_limit"),
    _json("trusted_ips"),
    _flag("lockout_enabled"),
    _whole("lockout_threshold"),
    _whole("lockout_duration"),
    _whole("lockout_reset"),
    _of("method_templates", "template_id", null=True, on_delete="NO ACTION"),
    _whole("tokens_since", start=0),
    _whole("longest_life", null=True),
    *_created(),
    Index("uq_method_configs_identity_method", "identity_id", "method", unique=True),
    Index("uq_method_configs_locator", "locator", unique=True),
    Index("ix_method_configs_template", "template_id"),
)

client_secrets = Table(
    "client_secrets",
    metadata,
    _id(),
    _of("identities", "identity_id"),
    _of("method_configs", "config_id"),
    _text("description"),
    _text("prefix"),
    _bytes("hash"),
    _whole("hash_version", start=1),
    _whole("ttl"),
    _whole("uses"),
    _whole("uses_limit"),
    _flag("is_revoked"),
    _whole("last_used_at", null=True),
    *_created(),
    Index("uq_client_secrets_hash", "hash", unique=True),
    Index("ix_client_secrets_config", "config_id", "created_at"),
    Index("ix_client_secrets_identity", "identity_id"),
)

access_tokens = Table(
    "access_tokens",
    metadata,
    _id(),
    _of("identities", "identity_id"),
    _text("org_id"),
    _text("method"),
    _text("name", null=True),
    _text("client_secret_id", null=True),
    _whole("ttl"),
    _whole("max_ttl"),
    _whole("period"),
    _whole("uses"),
    _whole("uses_limit"),
    _flag("is_revoked"),
    _whole("last_used_at", null=True),
    _whole("last_renewed_at", null=True),
    _whole("expires_at"),
    _whole("generation", null=True),
    _text("address", null=True),
    _text("user_agent", null=True),
    *_created(),
    # In the order of an identity's list: one may have very many.
    Index("ix_access_tokens_identity", "identity_id", "method", "updated_at", "id"),
    Index("ix_access_tokens_newest", "identity_id", "id"),
    Index("ix_access_tokens_expiry", "expires_at"),
)

# A row names one token or one client secret: that there is one ends it, until nothing of it could be alive. The rows of
# an earlier version also end what an identity or a method had issued until a moment. No foreign key: client secrets are
# removed earlier.
revocations = Table(
    "revocations",
    metadata,
    Column("key", Text, primary_key=True),
    _text("identity_id"),
    _whole("before"),
    _whole("expires_at"),
    Index("ix_revocations_expiry", "expires_at"),
    Index("ix_revocations_identity", "identity_id", "before"),
)

# A credential that is handed over once, sealed under a token that is stored nowhere.
wraps = Table(
    "wraps",
    metadata,
    _id(),
    _text("org_id"),
    _text("project_id", null=True),
    _of("identities", "identity_id"),
    _text("kind"),
    _text("credential_id"),
    _bytes("sealed", null=True),
    _bytes("verifier"),
    _text("created_by", null=True),
    _text("creation_path"),
    _whole("created_at"),
    _whole("expires_at"),
    _whole("opened_at", null=True),
    _text("opened_address", null=True),
    _flag("is_revoked"),
    _whole("refused"),
    Index("ix_wraps_credential", "credential_id"),
    Index("ix_wraps_identity", "identity_id"),
    Index("ix_wraps_expiry", "expires_at"),
)

lockouts = Table(
    "lockouts",
    metadata,
    Column("key", Text, primary_key=True),
    _of("identities", "identity_id"),
    _whole("failures"),
    _whole("window_ends_at"),
    _whole("locked_until"),
    Index("ix_lockouts_identity", "identity_id"),
)

spent_proofs = Table(
    "spent_proofs",
    metadata,
    Column("key", Text, primary_key=True),
    _whole("expires_at"),
    Index("ix_spent_proofs_expiry", "expires_at"),
)

roles = Table(
    "roles",
    metadata,
    _id(),
    _of("organizations", "org_id"),
    _of("projects", "project_id", null=True),
    _text("slug"),
    _text("name"),
    _text("description", null=True),
    _json("permissions"),
    *_created(),
    Index(
        "uq_roles_org_slug",
        "org_id",
        "slug",
        unique=True,
        info={"where": "project_id IS NULL"},
    ),
    Index("uq_roles_project_slug", "project_id", "slug", unique=True),
)

memberships = Table(
    "memberships",
    metadata,
    _id(),
    _of("organizations", "org_id"),
    _of("projects", "project_id", null=True),
    _text("actor_kind"),
    _text("actor_id"),
    _flag("is_active"),
    _text("last_login_method", null=True),
    _whole("last_login_at", null=True),
    *_created(),
    Index("uq_memberships_project_actor", "project_id", "actor_kind", "actor_id", unique=True),
    Index(
        "uq_memberships_org_actor",
        "org_id",
        "actor_kind",
        "actor_id",
        unique=True,
        info={"where": "project_id IS NULL"},
    ),
    Index("ix_memberships_actor", "actor_kind", "actor_id"),
)

membership_roles = Table(
    "membership_roles",
    metadata,
    _id(),
    _of("memberships", "membership_id"),
    _text("role"),
    _of("roles", "custom_role_id", null=True, on_delete="RESTRICT"),
    *_temporary(),
    _whole("position"),
    *_created(),
    Index("ix_membership_roles_membership", "membership_id", "position"),
    Index("ix_membership_roles_custom", "custom_role_id"),
)

privileges = Table(
    "privileges",
    metadata,
    _id(),
    _of("projects", "project_id"),
    _text("actor_kind"),
    _text("actor_id"),
    _text("slug"),
    _json("permissions"),
    _text("folder_id", null=True),
    *_temporary(),
    *_created(),
    Index("uq_privileges_actor_slug", "project_id", "actor_kind", "actor_id", "slug", unique=True),
    Index("ix_privileges_actor", "actor_kind", "actor_id"),
)

environments = Table(
    "environments",
    metadata,
    _id(),
    _of("projects", "project_id"),
    _text("name"),
    _text("slug"),
    _whole("position"),
    _whole("deleted_at", null=True),
    *_created(),
    # A deleted environment can be restored, but its slug is free for a new one.
    Index(
        "uq_environments_project_slug",
        "project_id",
        "slug",
        unique=True,
        info={"where": "deleted_at IS NULL"},
    ),
    Index("ix_environments_project", "project_id", "position"),
    Index(
        "ix_environments_deleted",
        "deleted_at",
        info={"where": "deleted_at IS NOT NULL"},
    ),
)

folders = Table(
    "folders",
    metadata,
    _id(),
    _of("projects", "project_id"),
    _of("environments", "environment_id"),
    _of("folders", "parent_id", null=True),
    _text("name"),
    _text("path"),
    _text("description", null=True),
    _whole("version"),
    _whole("last_secret_modified_at", null=True),
    *_created(),
    Index("uq_folders_environment_path", "environment_id", "path", unique=True),
    Index("ix_folders_parent", "parent_id"),
    Index("ix_folders_project", "project_id"),
)

tags = Table(
    "tags",
    metadata,
    _id(),
    _of("projects", "project_id"),
    _text("slug"),
    _text("name"),
    _text("color"),
    _text("created_by", null=True),
    _text("created_by_kind"),
    *_created(),
    Index("uq_tags_project_slug", "project_id", "slug", unique=True),
)

secrets = Table(
    "secrets",
    metadata,
    _id(),
    _of("projects", "project_id"),
    _of("folders", "folder_id"),
    _text("key"),
    _text("kind"),
    _of("users", "user_id", null=True),
    _whole("version"),
    _bytes("value"),
    _bytes("comment", null=True),
    _flag("skip_multiline_encoding", null=True),
    _text("reminder_note", null=True),
    _whole("reminder_repeat_days", null=True),
    _json("metadata"),
    _json("tag_ids"),
    _json("references"),
    _text("actor_kind", null=True),
    _text("actor_id", null=True),
    *_created(),
    Index(
        "uq_secrets_folder_key_shared",
        "folder_id",
        "key",
        unique=True,
        info={"where": "user_id IS NULL"},
    ),
    Index(
        "uq_secrets_folder_key_personal",
        "folder_id",
        "key",
        "user_id",
        unique=True,
        info={"where": "user_id IS NOT NULL"},
    ),
    # The two above are partial: neither finds what is in a folder whoever's it is.
    Index("ix_secrets_folder_key", "folder_id", "key"),
    Index("ix_secrets_project_key", "project_id", "key"),
    Index("ix_secrets_user", "user_id"),
)

secret_versions = Table(
    "secret_versions",
    metadata,
    _id(),
    _of("secrets", "secret_id"),
    _text("project_id"),
    _text("folder_id"),
    _whole("version"),
    _text("key"),
    _text("kind"),
    _text("user_id", null=True),
    _bytes("value"),
    _bytes("comment", null=True),
    _flag("skip_multiline_encoding", null=True),
    _json("metadata"),
    _json("tag_ids"),
    _text("actor_kind", null=True),
    _text("actor_id", null=True),
    _whole("created_at"),
    Index("uq_secret_versions_secret_version", "secret_id", "version", unique=True),
)

secret_imports = Table(
    "secret_imports",
    metadata,
    _id(),
    _of("folders", "folder_id"),
    _of("projects", "project_id"),
    _of("environments", "source_environment_id"),
    _text("source_path"),
    _whole("position"),
    _flag("is_replication"),
    _whole("version"),
    *_created(),
    Index("ix_secret_imports_folder", "folder_id", "position"),
    Index("ix_secret_imports_source", "source_environment_id", "source_path"),
    Index("ix_secret_imports_project", "project_id"),
)

secret_replications = Table(
    "secret_replications",
    metadata,
    Column("import_id", Text, ForeignKey("secret_imports.id", ondelete="CASCADE"), primary_key=True),
    _text("creator_kind"),
    _text("creator_id"),
    _json("watched"),
    _text("fingerprint", null=True),
    _whole("due_at", null=True),
    _text("status", null=True),
    _flag("is_success", null=True),
    _whole("replicated_at", null=True),
    *_created(),
)

# Receivers of messages: webhooks of projects, and channels for alerts of organizations.
delivery_targets = Table(
    "delivery_targets",
    metadata,
    _id(),
    _of("organizations", "org_id"),
    _of("projects", "project_id", null=True),
    _text("purpose"),
    _text("kind"),
    _text("name"),
    _bytes("sealed"),
    _text("shown"),
    _flag("is_signed"),
    _of("environments", "environment_id", null=True),
    _text("secret_path"),
    _json("events"),
    _json("options"),
    _flag("is_disabled"),
    _whole("failures"),
    _whole("due_at", null=True),
    _text("lease", null=True),
    _whole("lease_ends_at", null=True),
    _text("last_status", null=True),
    _text("last_error", null=True),
    _whole("last_run_at", null=True),
    *_created(),
    Index("ix_delivery_targets_org", "org_id", "purpose"),
    Index("ix_delivery_targets_project", "project_id"),
    Index("ix_delivery_targets_environment", "environment_id"),
)

# The outbox: a message is stored by the unit of the change that it is about. No foreign key: a change of a secret must
# not fail because a target is deleted at the same moment. `seq` is the order, which no clock gives.
deliveries = Table(
    "deliveries",
    metadata,
    Column("seq", BigInteger().with_variant(Integer(), "sqlite"), primary_key=True),
    _text("id"),
    _text("target_id"),
    _text("org_id"),
    _text("event"),
    _json("body"),
    _text("state"),
    _whole("attempts"),
    _whole("status", null=True),
    _text("error", null=True),
    _whole("waiting_since", null=True),
    _whole("attempted_at", null=True),
    _whole("created_at"),
    Index("ix_deliveries_waiting", "target_id", "seq", info={"where": "state = 'waiting'"}),
    Index("ix_deliveries_dead", "target_id", "seq", info={"where": "state = 'dead'"}),
)

# Occurrences that alert channels were told of, so that each is told once.
alert_marks = Table(
    "alert_marks",
    metadata,
    Column("key", Text, primary_key=True),
    _whole("expires_at"),
    Index("ix_alert_marks_expiry", "expires_at"),
)

service_tokens = Table(
    "service_tokens",
    metadata,
    _id(),
    _of("projects", "project_id"),
    _text("name"),
    _json("scopes"),
    _json("permissions"),
    _bytes("hash"),
    _whole("hash_version", start=1),
    _text("encrypted_key", null=True),
    _text("iv", null=True),
    _text("tag", null=True),
    _text("created_by"),
    _whole("last_used_at", null=True),
    _whole("expires_at", null=True),
    *_created(),
    Index("ix_service_tokens_project", "project_id"),
)

# The events of logins, as a condition that both engines find again in a query.
LOGINS = "substr(event, 1, 15) = 'login-identity-'"

# The trail has no foreign keys: it outlives what it speaks of. Ids grow with time, so an index on (org, id) is also one
# on time.
audit_events = Table(
    "audit_events",
    metadata,
    _id(),
    _whole("at"),
    _text("org_id", null=True),
    _text("project_id", null=True),
    _text("actor_kind"),
    _text("actor_id", null=True),
    _text("actor_name", null=True),
    _text("event"),
    _json("metadata"),
    _text("address", null=True),
    _text("user_agent", null=True),
    _text("request_id"),
    _whole("expires_at", null=True),
    Index("ix_audit_events_org", "org_id", "id"),
    Index(
        "ix_audit_events_project",
        "project_id",
        "id",
        info={"where": "project_id IS NOT NULL"},
    ),
    # The logins of an identity: a list of its live tokens is read from here, so that a login need store nothing else.
    Index("ix_audit_events_logins", "actor_id", "id", info={"where": LOGINS}),
)

denials = Table(
    "denials",
    metadata,
    Column("request_id", Text, primary_key=True),
    _whole("at"),
    _text("org_id", null=True),
    _text("identity_id", null=True),
    _text("method"),
    _text("reason"),
    _text("message"),
    _json("facts"),
    _json("checks"),
    _text("address", null=True),
    _text("user_agent", null=True),
    Column("times", BigInteger, nullable=False, server_default=text("1")),
    _whole("last_at", null=True),
    Index("ix_denials_at", "at"),
    Index("ix_denials_org", "org_id", "at"),
)
