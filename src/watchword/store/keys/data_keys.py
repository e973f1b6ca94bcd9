"""Data keys for those who rotate them, and the rows that hold what is sealed. Everybody else asks the keyring.

staged    is_active = 0, newer than the active version    known to every server, not used yet
active    the newest version with is_active = 1           seals what is new
old       an earlier version with is_active = 1           opens what it sealed
retired   is_active = 0, older than the active version    a signing key that no living token was signed with
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import bindparam, func, select, update

from watchword.domain.authentication.records import MethodConfig
from watchword.domain.keys.records import DataKey
from watchword.domain.secrets.records import SecretVersion, StoredSecret
from watchword.store import schema, versions
from watchword.store.authentication.method_configs import CONFIGS
from watchword.store.engine import Tx, any_of, prepare
from watchword.store.mapping import Mapper

KEYS = Mapper(DataKey, schema.data_keys)
SECRETS = Mapper(StoredSecret, schema.secrets)
HISTORY = Mapper(SecretVersion, schema.secret_versions)
_k, _c, _i, _s, _v, _u = (
    schema.data_keys,
    schema.method_configs,
    schema.identities,
    schema.secrets,
    schema.secret_versions,
    schema.users,
)
BATCH = 100

_OF = prepare(
    lambda: select(*KEYS.columns).where(_k.c.scope == bindparam("of")).order_by(_k.c.version).with_for_update()
)
# By name: a prefix would be looked for among the keys of all organizations and projects.
_OF_SCOPES = prepare(
    lambda: select(*KEYS.columns).where(any_of(_k.c.scope, "scopes")).order_by(_k.c.scope, _k.c.version)
)
_ALL = prepare(
    lambda: select(_k.c.scope, _k.c.version, _k.c.parent, _k.c.parent_version, _k.c.is_active).order_by(
        _k.c.scope, _k.c.version
    )
)
_SET = prepare(
    lambda: (
        update(_k)
        .where(_k.c.scope == bindparam("of"), _k.c.version == bindparam("at"))
        .values(
            is_active=bindparam("active"),
            parent_version=bindparam("above"),
            sealed=bindparam("envelope"),
            created_at=bindparam("made"),
        )
    )
)
_UNDER = prepare(
    lambda: (
        select(*KEYS.columns)
        .where(_k.c.parent == bindparam("parent"), _k.c.parent_version != bindparam("version"))
        .order_by(_k.c.scope, _k.c.version)
        .limit(bindparam("most"))
        .with_for_update()
    )
)
_COUNT_UNDER = prepare(
    lambda: (
        select(func.count())
        .select_from(_k)
        .where(_k.c.parent == bindparam("parent"), _k.c.parent_version != bindparam("version"))
    )
)


async def of_scopes(tx: Tx, scopes: Sequence[str]) -> list[DataKey]:
    """All versions of the keys of these scopes, by scope, oldest first."""
    return KEYS.every(await tx.all(_OF_SCOPES, scopes=list(scopes)))


async def add_first(tx: Tx, keys: Sequence[DataKey]) -> None:
    """Store the first keys of their scopes. Nobody can hold keys of a scope that had none, so no version is raised."""
    await tx.many(KEYS.INSERT, [KEYS.values(key) for key in keys])


async def of(tx: Tx, scope: str) -> list[DataKey]:
    """All versions of a scope's key, oldest first, held until the unit ends."""
    return KEYS.every(await tx.all(_OF, of=scope))


async def outline(tx: Tx) -> list[tuple[str, int, str, int, bool]]:
    """Scope, version, parent, the parent's version and whether it is active, of every key."""
    return [(str(s), int(v), str(p), int(pv), bool(a)) for s, v, p, pv, a in await tx.all(_ALL)]


async def add(tx: Tx, key: DataKey) -> None:
    """Store a new version."""
    await tx.run(KEYS.INSERT, **KEYS.values(key))
    tx.changed(versions.keys())


async def change(tx: Tx, key: DataKey) -> None:
    """Store a version's state, parent, envelope and time."""
    fields = {"active": int(key.is_active), "above": key.parent_version, "envelope": key.sealed, "made": key.created_at}
    await tx.run(_SET, of=key.scope, at=key.version, **fields)
    tx.changed(versions.keys())


async def not_under(tx: Tx, parent: str, version: int, most: int = BATCH) -> list[DataKey]:
    """Keys below `parent` that are sealed with another version of it, held until the unit ends."""
    return KEYS.every(await tx.all(_UNDER, parent=parent, version=version, most=most))


async def count_not_under(tx: Tx, parent: str, version: int) -> int:
    """How many keys below `parent` are sealed with another version of it."""
    row = await tx.one(_COUNT_UNDER, parent=parent, version=version)
    return int(row[0]) if row else 0


_CONFIGS_AFTER = prepare(
    lambda: (
        select(*CONFIGS.columns)
        .join(_i, _i.c.id == _c.c.identity_id)
        .where(_i.c.org_id == bindparam("org"), _c.c.id > bindparam("after"))
        .order_by(_c.c.id)
        .limit(bindparam("most"))
        .with_for_update(of=_c)
    )
)
_SECRETS_AFTER = prepare(
    lambda: (
        select(*SECRETS.columns)
        .where(_s.c.project_id == bindparam("project"), _s.c.id > bindparam("after"))
        .order_by(_s.c.id)
        .limit(bindparam("most"))
        .with_for_update()
    )
)
_HISTORY_AFTER = prepare(
    lambda: (
        select(*HISTORY.columns)
        .where(_v.c.project_id == bindparam("project"), _v.c.id > bindparam("after"))
        .order_by(_v.c.id)
        .limit(bindparam("most"))
        .with_for_update()
    )
)
_USERS_AFTER = prepare(
    lambda: (
        select(_u.c.id, _u.c.mfa_secret)
        .where(_u.c.mfa_secret.is_not(None), _u.c.id > bindparam("after"))
        .order_by(_u.c.id)
        .limit(bindparam("most"))
        .with_for_update()
    )
)


async def configs_after(tx: Tx, org_id: str, after: str) -> list[MethodConfig]:
    """The next method configurations of an organization, by id."""
    return CONFIGS.every(await tx.all(_CONFIGS_AFTER, org=org_id, after=after, most=BATCH))


async def secrets_after(tx: Tx, project_id: str, after: str) -> list[StoredSecret]:
    """The next secrets of a project, by id."""
    return SECRETS.every(await tx.all(_SECRETS_AFTER, project=project_id, after=after, most=BATCH))


async def history_after(tx: Tx, project_id: str, after: str) -> list[SecretVersion]:
    """The next secret versions of a project, by id."""
    return HISTORY.every(await tx.all(_HISTORY_AFTER, project=project_id, after=after, most=BATCH))


async def second_factors_after(tx: Tx, after: str) -> list[tuple[str, bytes]]:
    """The next people with a sealed second factor, by id."""
    return [(str(id), bytes(sealed)) for id, sealed in await tx.all(_USERS_AFTER, after=after, most=BATCH)]


def _envelopes(mapper: Mapper[Any], row: StoredSecret | SecretVersion) -> dict[str, Any]:
    return mapper.encoded({"value": row.value, "comment": row.comment, "metadata": row.metadata})


async def put_secrets(tx: Tx, rows: Sequence[StoredSecret]) -> None:
    """Store the envelopes of secrets again."""
    for row in rows:
        await tx.run(update(_s).where(_s.c.id == row.id).values(**_envelopes(SECRETS, row)))
        tx.changed(versions.folder(row.folder_id))


async def put_history(tx: Tx, rows: Sequence[SecretVersion]) -> None:
    """Store the envelopes of secret versions again."""
    for row in rows:
        await tx.run(update(_v).where(_v.c.id == row.id).values(**_envelopes(HISTORY, row)))


async def put_second_factor(tx: Tx, user_id: str, sealed: bytes) -> None:
    """Store a second factor's envelope again."""
    await tx.run(update(_u).where(_u.c.id == user_id).values(mfa_secret=sealed))
    tx.changed(versions.user(user_id))
