"""Rename a secret: rewrite the values that refer to it in the same unit.

Each rewrite is a change like any other: it needs the right to edit that secret, adds a version of it, and is recorded
in the audit log.
"""

from collections.abc import Callable, Mapping, Sequence

import msgspec

from watchword.domain.audit.records import AuditEvent
from watchword.domain.errors import PermissionDenied
from watchword.domain.secrets.records import StoredSecret
from watchword.domain.secrets.references import Reference, can_be_referenced, references, renamed
from watchword.domain.secrets.replicas import shown_path
from watchword.services.access.scopes import ProjectScope
from watchword.services.context import Ctx
from watchword.services.keys.keyring import Sealer
from watchword.services.projects.locations import SecretLocation
from watchword.services.projects.webhooks import read_watchers
from watchword.services.secrets import folder_cache, rights, sealed
from watchword.services.turns import Turns
from watchword.store import deliveries
from watchword.store.engine import Tx
from watchword.store.projects import folders
from watchword.store.secrets import secrets
from watchword.store.secrets.secrets import Written

_MOST_NAMED = 10


async def follow(
    ctx: Ctx, tx: Tx, key: Sealer, scope: ProjectScope, renames: Sequence[tuple[SecretLocation, Mapping[str, str]]]
) -> int:
    """Rewrite the project's references to renamed secrets (old -> new, by location); return how many secrets had one.

    All names are changed at once, so two secrets may take each other's. A name that no reference can express is not
    followed. Raises PermissionDenied where the caller may not edit one of the referring secrets, which would lose the
    value; the refusal names those that the caller may know of.
    """
    touched: list[tuple[StoredSecret, StoredSecret, tuple[str, str]]] = []
    env_paths: dict[str, tuple[str, str]] = {}
    refused: list[str] = []
    renames = [
        (location, {old: new for old, new in names.items() if can_be_referenced(old) and can_be_referenced(new)})
        for location, names in renames
    ]
    old_names = {old for _, names in renames for old in names}
    labels = {tag.id: tag for tag in await secrets.tags(tx, scope.project.id)} if old_names else {}
    turns = Turns()
    if old_names:
        for row in await secrets.referring_to(tx, scope.project.id, old_names, pauses=turns):
            await turns.give()
            plain = sealed.opened(key, row)
            value = renamed(plain.value, _new_name(row, renames))
            if value == plain.value:
                continue
            env_path = env_paths.get(row.folder_id) or await _env_path(tx, row)
            env_paths[row.folder_id] = env_path
            facts = rights.in_place(*env_path, folder_cache.with_tags(row, labels).facts)
            if not scope.ability.allows(rights.EDIT, rights.SUBJECT, facts):
                known = row.user_id is None and scope.ability.allows(rights.DESCRIBE, rights.SUBJECT, facts)
                refused.append(f"{row.key} in {env_path[0]}:{env_path[1]}" if known else "")
                continue
            after = msgspec.structs.replace(
                row,
                version=row.version + 1,
                references=tuple((ref.environment, ref.path, ref.key) for ref in references(value)),
                actor_kind=ctx.actor.kind,
                actor_id=ctx.actor.id or None,
                updated_at=ctx.now,
            )
            after = sealed.sealed(key, after, msgspec.structs.replace(plain, value=value))
            touched.append((row, after, env_path))
    if refused:
        shown = sorted({text for text in refused if text})[:_MOST_NAMED]
        which = f": {', '.join(shown)}" if shown else ""
        raise PermissionDenied(
            f"Secrets that you may not edit refer to this one by its name and would lose it{which}",
            details=[{"action": rights.EDIT, "subject": rights.SUBJECT}],
        )
    writes = [
        Written(
            folder_id=after.folder_id,
            at=ctx.now,
            keep=scope.project.version_limit,
            changed=[(before, after)],
            history=[sealed.as_version(ctx, after)],
            events=[_event(ctx, scope, after, env_path)],
        )
        for before, after, env_path in touched
    ]
    await secrets.write(tx, writes, pauses=turns)
    if touched:
        await _tell(ctx, tx, scope, [(row, env_path) for row, _, env_path in touched if row.user_id is None])
    return len(touched)


async def _tell(ctx: Ctx, tx: Tx, scope: ProjectScope, touched: Sequence[tuple[StoredSecret, tuple[str, str]]]) -> None:
    """Store what webhooks are told of secrets whose references were rewritten."""
    told_by = await read_watchers(tx, scope.project.id)
    if not told_by:
        return
    environment_ids = {
        folder.id: folder.environment_id for folder in await secrets.folders(tx, {row.folder_id for row, _ in touched})
    }
    places = [
        (environment_ids[row.folder_id], env_path[0], shown_path(env_path[1]))
        for row, env_path in touched
        if env_path[0]
    ]
    await deliveries.queue(tx, told_by.told(ctx, scope.project, places))


async def _env_path(tx: Tx, row: StoredSecret) -> tuple[str, str]:
    """Return the environment slug and path of a secret, in a deleted environment too."""
    folder = (await secrets.folders(tx, [row.folder_id]))[0]
    environment = await folders.environment(tx, folder.environment_id)
    return environment.slug if environment else "", folder.path


def _event(ctx: Ctx, scope: ProjectScope, row: StoredSecret, env_path: tuple[str, str]) -> AuditEvent:
    facts = {
        "environment": env_path[0],
        "secretPath": env_path[1],
        "secretId": row.id,
        "secretKey": row.key,
        "secretVersion": row.version,
    }
    return ctx.event("update-secret", facts, org_id=scope.org_id, project_id=scope.project.id)


def _new_name(
    row: StoredSecret, renames: Sequence[tuple[SecretLocation, Mapping[str, str]]]
) -> Callable[[Reference], str | None]:
    here: dict[str, str] = {}
    by_address: dict[tuple[str, str, str], str] = {}
    for location, names in renames:
        if row.folder_id == location.folder.id:
            here |= names
        by_address |= {(location.environment.slug, location.folder.path, old): new for old, new in names.items()}
    return lambda reference: (
        by_address.get((reference.environment, reference.path, reference.key))
        if reference.environment
        else here.get(reference.key)
    )
