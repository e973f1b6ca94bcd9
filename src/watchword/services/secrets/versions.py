"""Versions of a secret: list them, and roll back to one."""

import msgspec

from watchword.domain.errors import BadRequest, PermissionDenied
from watchword.domain.secrets.records import SecretVersion
from watchword.domain.secrets.references import Address, ResolvedSecret
from watchword.domain.secrets.replicas import is_replica
from watchword.services.access.scopes import ProjectScope
from watchword.services.context import Ctx
from watchword.services.paging import Page
from watchword.services.secrets import expansion, folder_cache, rights, sealed
from watchword.services.secrets.folder_cache import with_tags
from watchword.services.secrets.reading import as_of, locate, row_at_version, was_readable
from watchword.services.secrets.views import SecretView, decrypt_one
from watchword.services.secrets.writing import SecretChange, Target, change
from watchword.store.secrets import secrets


class SecretVersionView(msgspec.Struct, frozen=True):
    """A version, and the view of the secret as it was then."""

    version: SecretVersion
    view: SecretView


def _require_history(ctx: Ctx, scope: ProjectScope, old: str, new: str) -> None:
    """Require the right to the history, which is a subject of its own under an old and a new name: either suffices."""
    if not (ctx.may(scope, old, "secret-rollback") or ctx.may(scope, new, "commits")):
        missing = [{"action": old, "subject": "secret-rollback"}, {"action": new, "subject": "commits"}]
        raise PermissionDenied(f"You are not allowed to {old} on secret-rollback", details=missing)


async def every(ctx: Ctx, secret_id: str, offset: int, limit: int) -> Page[SecretVersionView]:
    """List the kept versions of a secret, newest first.

    With values for a caller who may read the secret's value, and could have read it as it was at that version.
    """
    scope, location, current = await locate(ctx, secret_id)
    _require_history(ctx, scope, "read", "read")
    env_path = (location.environment.slug, location.folder.path)
    rights.require(ctx, scope, rights.DESCRIBE, *env_path, current.facts, is_named=False)
    show = scope.ability.allows(rights.READ, rights.SUBJECT, rights.in_place(*env_path, current.facts))
    async with ctx.view() as tx:
        rows = await secrets.versions_of(tx, secret_id, offset, limit)
        total = await secrets.how_many_versions(tx, secret_id)
    key, labels = await sealed.sealer(ctx, scope.project.id), await folder_cache.tags(ctx, scope.project.id)
    history: list[SecretVersionView] = []
    for row in rows:
        was = with_tags(row_at_version(current.secret, row), labels)
        shows = show and await was_readable(ctx, scope, location, was)
        history.append(SecretVersionView(row, decrypt_one(key, was, location, show=shows)))
    await ctx.audit_read(
        "get-secret-versions",
        org_id=scope.org_id,
        project_id=scope.project.id,
        environment=env_path[0],
        secretPath=env_path[1],
        secretId=secret_id,
        numberOfVersions=len(history),
    )
    return Page(history, total)


async def roll_back(ctx: Ctx, secret_id: str, n: int) -> SecretView:
    """Restore a secret to what it was at version `n`, as its next version. Its name and location stay.

    Raises BadRequest for a copy of a replicated import, which follows its source.
    """
    scope, location, current = await locate(ctx, secret_id)
    _require_history(ctx, scope, "create", "perform-rollback")
    environment, path = location.environment.slug, location.folder.path
    for action in (rights.EDIT, rights.READ):
        rights.require(ctx, scope, action, environment, path, current.facts, is_named=False)
    if is_replica(location.folder.name):
        raise BadRequest("This secret is a copy that a replicated import made: change the secret that it was made of")
    was = await as_of(ctx, current, n)
    if not await was_readable(ctx, scope, location, was):
        raise rights.refusal_of_version(None, environment, path)
    key, labels = await sealed.sealer(ctx, scope.project.id), await folder_cache.tags(ctx, scope.project.id)
    plain = sealed.opened(key, was.secret)
    await expansion.require_readable(
        ctx, scope, [ResolvedSecret(Address(environment, path, current.secret.key), plain.value)]
    )
    written = await change(
        ctx,
        Target(project_id=scope.project.id, environment=environment, path=path),
        [
            SecretChange(
                name=current.secret.key,
                kind=current.secret.kind,
                value=plain.value,
                comment=plain.comment,
                metadata=plain.metadata,
                tag_ids=tuple(id for id in was.secret.tag_ids if id in labels),
                skip_multiline_encoding=was.secret.skip_multiline_encoding,
            )
        ],
    )
    return written[0]
