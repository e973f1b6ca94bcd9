"""Versions of a secret: list them, and roll back to one."""

from collections.abc import Sequence

import msgspec

from watchword.domain.errors import PermissionDenied
from watchword.domain.secrets.records import SecretVersion
from watchword.domain.secrets.references import Address, ResolvedSecret
from watchword.services.access.scopes import ProjectScope
from watchword.services.context import Ctx
from watchword.services.paging import Page
from watchword.services.secrets import expansion, folder_cache, rights, sealed
from watchword.services.secrets.folder_cache import held
from watchword.services.secrets.reading import as_of, locate, then_of
from watchword.services.secrets.views import SecretView, decrypt_one
from watchword.services.secrets.writing import SecretChange, Target, change
from watchword.store.secrets import secrets


class Was(msgspec.Struct, frozen=True):
    """A version with what it looked like."""

    version: SecretVersion
    view: SecretView


def _require_history(ctx: Ctx, scope: ProjectScope, old: str, new: str) -> None:
    """History is its own subject, under an old name and a new one: either suffices."""
    if not (ctx.may(scope, old, "secret-rollback") or ctx.may(scope, new, "commits")):
        missing = [{"action": old, "subject": "secret-rollback"}, {"action": new, "subject": "commits"}]
        raise PermissionDenied(f"You are not allowed to {old} on secret-rollback", details=missing)


async def every(ctx: Ctx, secret_id: str, offset: int, limit: int) -> Page[Was]:
    """The versions of a secret that are kept, the newest first; with values for who may read the secret's."""
    scope, place, now = await locate(ctx, secret_id)
    _require_history(ctx, scope, "read", "read")
    at = (place.environment.slug, place.folder.path)
    rights.require(ctx, scope, rights.DESCRIBE, *at, now.facts, is_named=False)
    show = scope.ability.allows(rights.READ, rights.SUBJECT, rights.in_place(*at, now.facts))
    async with ctx.view() as tx:
        rows = await secrets.versions_of(tx, secret_id, offset, limit)
        total = await secrets.how_many_versions(tx, secret_id)
    key, labels = await sealed.sealer(ctx, scope.project.id), await folder_cache.tags(ctx, scope.project.id)
    found: Sequence[Was] = [
        Was(row, decrypt_one(key, held(then_of(now.secret, row), labels), place, show=show)) for row in rows
    ]
    await ctx.audit_read(
        "get-secret-versions",
        org_id=scope.org_id,
        project_id=scope.project.id,
        environment=at[0],
        secretPath=at[1],
        secretId=secret_id,
        numberOfVersions=len(found),
    )
    return Page(found, total)


async def roll_back(ctx: Ctx, secret_id: str, n: int) -> SecretView:
    """Make a secret what it was at version `n`, as its next version. Its name and place stay."""
    scope, place, now = await locate(ctx, secret_id)
    _require_history(ctx, scope, "create", "perform-rollback")
    environment, path = place.environment.slug, place.folder.path
    for action in (rights.EDIT, rights.READ):
        rights.require(ctx, scope, action, environment, path, now.facts, is_named=False)
    was = await as_of(ctx, now, n)
    key, labels = await sealed.sealer(ctx, scope.project.id), await folder_cache.tags(ctx, scope.project.id)
    plain = sealed.opened(key, was.secret)
    await expansion.require_readable(
        ctx, scope, [ResolvedSecret(Address(environment, path, now.secret.key), plain.value)]
    )
    written = await change(
        ctx,
        Target(project_id=scope.project.id, environment=environment, path=path),
        [
            SecretChange(
                name=now.secret.key,
                kind=now.secret.kind,
                value=plain.value,
                comment=plain.comment,
                metadata=plain.metadata,
                tag_ids=tuple(id for id in was.secret.tag_ids if id in labels),
                skip_multiline_encoding=was.secret.skip_multiline_encoding,
            )
        ],
    )
    return written[0]
