"""The version keys behind coherent caching: their names, and which tables belong to them.

A version key is raised in the same unit that changes what it stands for. `VERSION_KEYS_OF` says which version key a
write to a table must raise; a unit that forgets is rolled back (`ForgottenVersion`), so that no review has to remember.
"""

import random

from sqlalchemy import BigInteger, bindparam, select

from watchword.domain.actor import AnyActorKind
from watchword.store.engine import ForgottenVersion, any_of, prepare, prepare_upsert
from watchword.store.schema import versions

READ = prepare(lambda: select(versions.c.key, versions.c.n).where(any_of(versions.c.key, "keys")))


RAISE = prepare_upsert(
    lambda insert: (
        insert(versions)
        .values(key=bindparam("key"), n=bindparam("one", type_=BigInteger))
        .on_conflict_do_update(index_elements=["key"], set_={"n": versions.c.n + 1})
    ),
    at_once=True,
)


def raising(key: str) -> dict[str, object]:
    """The parameters of `RAISE` for a version key.

    A version key without a row has version 0; its row begins with a number that no version key ever had. So a row may
    be removed when what it stood for is gone: if the version key is raised after all, no entry that was cached before
    is taken for a present one.
    """
    return {"key": key, "one": random.getrandbits(62) + 1}


def identity(id: str) -> str:
    """The version key of a machine identity: its state, memberships, privileges, methods, credentials, revocations."""
    return f"identity/{id}"


def user(id: str) -> str:
    """The version key of a person: state, sessions, memberships, privileges."""
    return f"user/{id}"


def actor(kind: AnyActorKind, id: str) -> str:
    """The version key of an actor of any kind: `user`, `identity` or `group`."""
    return f"{kind}/{id}"


def keys() -> str:
    """The version key of the data keys, raised by a rotation.

    A new key raises nothing, because nobody can hold a view without it.
    """
    return "keys"


def org(id: str) -> str:
    """The version key of an organization: its settings and custom roles."""
    return f"org/{id}"


def project(id: str) -> str:
    """The version key of a project: its settings and custom roles."""
    return f"project/{id}"


def tree(project_id: str) -> str:
    """The version key of a project's tree: environments, folders, imports and tags."""
    return f"tree/{project_id}"


def folder(id: str) -> str:
    """The version key of the secrets of one folder."""
    return f"folder/{id}"


def lockout(identity_id: str) -> str:
    """The version key of the failed-login counters of an identity."""
    return f"lockout/{identity_id}"


# table -> the version keys of which at least one must be raised by a unit that writes to it
VERSION_KEYS_OF: dict[str, tuple[str, ...]] = {
    "organizations": ("org",),
    "users": ("user",),
    "sessions": ("user",),
    "groups": ("group", "org"),
    "group_members": ("identity", "user"),
    "projects": ("project",),
    "identities": ("identity",),
    "actor_metadata": ("identity", "user"),
    "method_templates": ("identity", "org"),
    "method_configs": ("identity",),
    "client_secrets": ("identity",),
    "access_tokens": ("identity",),
    "revocations": ("identity",),
    "lockouts": ("lockout",),
    "roles": ("org", "project"),
    "memberships": ("identity", "user", "group"),
    "membership_roles": ("identity", "user", "group"),
    "privileges": ("identity", "user"),
    "environments": ("tree",),
    "folders": ("tree",),
    "tags": ("tree",),
    "secrets": ("folder",),
    "secret_imports": ("tree",),
    "service_tokens": ("project",),
    "delivery_targets": ("project", "org"),
}


def verify_raised(tables: set[str], keys: set[str]) -> None:
    """Raise ForgottenVersion if a table in `tables` was written and none of its version keys is in `keys`."""
    raised = {key.partition("/")[0] for key in keys}
    for table in tables:
        version_keys = VERSION_KEYS_OF.get(table)
        if version_keys and raised.isdisjoint(version_keys):
            raise ForgottenVersion(f"a unit wrote to {table} without raising one of {', '.join(version_keys)}")
