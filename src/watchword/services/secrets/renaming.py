"""Rename a secret: rewrite the values that refer to it in the same unit.

Each is a change like any other: it asks for the right to edit that secret, makes a version of it, and stands in the
audit log.
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
    ctx: Ctx, tx: Tx, key: Sealer, scope: ProjectScope, place: SecretLocation, names: Mapping[str, str]
) -> int:
    """Rewrite the references of the project to secrets of `place` that got new names (old -> new); how many secrets had
    such.

    A name that no reference can say is not followed. Raises PermissionDenied where the caller may not edit one of them:
    without its reference it would lose the value. The refusal names those that the caller may know of.
    """
    touched: list[tuple[StoredSecret, tuple[str, str]]] = []
    refused: list[str] = []
    labels = {tag.id: tag for tag in await secrets.tags(tx, scope.project.id)} if names else {}
    for old, new in names.items():
        if not (can_be_referenced(old) and can_be_referenced(new)):
            continue
        for row in await secrets.referring_to(tx, scope.project.id, old):
            meant = _meant(row, place, old)
            plain = sealed.opened(key, row)
            value = renamed(plain.value, meant, new)
            if value == plain.value:
                continue
            at = await _place(tx, row)
            facts = rights.in_place(*at, folder_cache.held(row, labels).facts)
            if not scope.ability.allows(rights.EDIT, rights.SUBJECT, facts):
                known = row.user_id is None and scope.ability.allows(rights.DESCRIBE, rights.SUBJECT, facts)
                refused.append(f"{row.key} in {at[0]}:{at[1]}" if known else "")
                continue
            after = msgspec.structs.replace(
                row,
                version=row.version + 1,
                references=tuple((one.environment, one.path, one.key) for one in references(value)),
                actor_kind=ctx.actor.kind,
                actor_id=ctx.actor.id or None,
                updated_at=ctx.now,
            )
            after = sealed.sealed(key, after, msgspec.structs.replace(plain, value=value))
            await secrets.replace(tx, row, after)
            await secrets.add_versions(tx, [sealed.as_version(ctx, after)], scope.project.version_limit)
            touched.append((after, at))
    if refused:
        shown = sorted({one for one in refused if one})[:_MOST_NAMED]
        which = f": {', '.join(shown)}" if shown else ""
        raise PermissionDenied(
            f"Secrets that you may not edit refer to this one by its name and would lose it{which}",
            details=[{"action": rights.EDIT, "subject": rights.SUBJECT}],
        )
    await folders.touch(tx, {row.folder_id for row, _ in touched}, ctx.now)
    await events.add(tx, [_event(ctx, scope, row, at) for row, at in touched])
    return len(touched)


async def _place(tx: Tx, row: StoredSecret) -> tuple[str, str]:
    """The environment slug and path of a secret, in a deleted environment too."""
    folder = (await secrets.folders(tx, [row.folder_id]))[0]
    environment = await folders.environment(tx, folder.environment_id)
    return environment.slug if environment else "", folder.path


def _event(ctx: Ctx, scope: ProjectScope, row: StoredSecret, at: tuple[str, str]) -> AuditEvent:
    facts = {
        "environment": at[0],
        "secretPath": at[1],
        "secretId": row.id,
        "secretKey": row.key,
        "secretVersion": row.version,
    }
    return ctx.event("update-secret", facts, org_id=scope.org_id, project_id=scope.project.id)


def _meant(row: StoredSecret, place: SecretLocation, old: str) -> Callable[[Reference], bool]:
    at = (place.environment.slug, place.folder.path)
    is_here = row.folder_id == place.folder.id
    return lambda one: one.key == old and (is_here if not one.environment else (one.environment, one.path) == at)
