"""Rename a secret: rewrite the values that refer to it in the same unit.

Each rewrite is a change like any other: it needs the right to edit that secret, adds a version of it, and is recorded
in the audit log.
"""

from collections.abc import Callable, Mapping

import msgspec

from watchword.domain.audit.records import AuditEvent
from watchword.domain.errors import PermissionDenied
from watchword.domain.secrets.records import StoredSecret
from watchword.domain.secrets.references import Reference, can_be_referenced, references, renamed
from watchword.services.access.scopes import ProjectScope
from watchword.services.context import Ctx
from watchword.services.keys.keyring import Sealer
from watchword.services.projects.locations import SecretLocation
from watchword.services.secrets import folder_cache, rights, sealed
from watchword.store.audit import events
from watchword.store.engine import Tx
from watchword.store.projects import folders
from watchword.store.secrets import secrets

_MOST_NAMED = 10


async def follow(
    ctx: Ctx, tx: Tx, key: Sealer, scope: ProjectScope, location: SecretLocation, names: Mapping[str, str]
) -> int:
    """Rewrite the project's references to renamed secrets of `location` (old -> new); return how many secrets had one.

    A name that no reference can express is not followed. Raises PermissionDenied where the caller may not edit one of
    the referring secrets, which would lose the value; the refusal names those that the caller may know of.
    """
    touched: list[tuple[StoredSecret, tuple[str, str]]] = []
    refused: list[str] = []
    labels = {tag.id: tag for tag in await secrets.tags(tx, scope.project.id)} if names else {}
    for old, new in names.items():
        if not (can_be_referenced(old) and can_be_referenced(new)):
            continue
        for row in await secrets.referring_to(tx, scope.project.id, old):
            meant = _meant(row, location, old)
            plain = sealed.opened(key, row)
            value = renamed(plain.value, meant, new)
            if value == plain.value:
                continue
            env_path = await _env_path(tx, row)
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
            await secrets.replace(tx, row, after)
            await secrets.add_versions(tx, [sealed.as_version(ctx, after)], scope.project.version_limit)
            touched.append((after, env_path))
    if refused:
        shown = sorted({text for text in refused if text})[:_MOST_NAMED]
        which = f": {', '.join(shown)}" if shown else ""
        raise PermissionDenied(
            f"Secrets that you may not edit refer to this one by its name and would lose it{which}",
            details=[{"action": rights.EDIT, "subject": rights.SUBJECT}],
        )
    await folders.touch(tx, {row.folder_id for row, _ in touched}, ctx.now)
    await events.add(tx, [_event(ctx, scope, row, env_path) for row, env_path in touched])
    return len(touched)


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


def _meant(row: StoredSecret, location: SecretLocation, old: str) -> Callable[[Reference], bool]:
    env_path = (location.environment.slug, location.folder.path)
    is_here = row.folder_id == location.folder.id
    return lambda reference: (
        reference.key == old
        and (is_here if not reference.environment else (reference.environment, reference.path) == env_path)
    )
