"""Move secrets to another folder or environment: they keep their ids and their history.

A value is bound to its folder, so it is sealed again. Where the destination has the name already and may be
overwritten, the destination's secret gets the value as its next version, and the moved secret is deleted.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from watchword.domain.errors import BadRequest, NotFound
from watchword.domain.secrets.records import StoredSecret
from watchword.domain.secrets.references import Address, ResolvedSecret
from watchword.domain.secrets.texts import MAX_IN_FOLDER
from watchword.services.access.scopes import ProjectScope
from watchword.services.context import Ctx
from watchword.services.projects.locations import normal_path
from watchword.services.secrets import expansion, relocation, rights, sealed
from watchword.services.secrets.folder_cache import with_tags
from watchword.services.secrets.writing import Target, WriteTarget, enter, prepare_write, unit
from watchword.store import deliveries
from watchword.store.engine import Tx
from watchword.store.projects import folders
from watchword.store.secrets import secrets


class Moved(msgspec.Struct, frozen=True):
    """How many secrets were moved."""

    count: int


async def move(ctx: Ctx, source: Target, destination: Target, ids: Sequence[str], *, overwrite: bool) -> Moved:
    """Move shared secrets together with the personal ones of the same names: all of them, or none."""
    scope, from_path = await enter(ctx, source, rights.DELETE, ())
    to_path = normal_path(destination.path, "destinationSecretPath")
    for action in (rights.DELETE, rights.READ):
        rights.require_some(ctx, scope, action, source.environment, from_path)
    rights.require_some(ctx, scope, rights.CREATE, destination.environment, to_path)
    start = await prepare_write(ctx, scope, source.environment, from_path)
    goal = await prepare_write(ctx, scope, destination.environment, to_path)
    if start.location.folder.id == goal.location.folder.id:
        raise BadRequest("The secrets are in that folder already")
    await _require_readable(ctx, scope, start, goal, ids)
    async with unit(ctx) as tx:
        rows = await _rows(ctx, tx, start, goal, ids)
        others = await secrets.named(
            tx, [start.location.folder.id, goal.location.folder.id], {row.key for row in rows}, to_change=True
        )
        existing = {(row.key, row.user_id): row for row in others if row.folder_id == goal.location.folder.id}
        _require_room(ctx, goal, rows, existing, overwrite=overwrite)
        goal_id = goal.location.folder.id
        if (await secrets.counts(tx, [goal_id]))[goal_id] + len(rows) > MAX_IN_FOLDER:
            raise BadRequest(f"A folder holds at most {MAX_IN_FOLDER} secrets")
        for row in others:
            if row.folder_id == start.location.folder.id:
                await _carry(ctx, tx, goal, row, existing.get((row.key, row.user_id)))
        await folders.touch(tx, [start.location.folder.id, goal_id], ctx.now)
        await deliveries.queue(tx, [*start.messages(ctx, rows), *goal.messages(ctx, rows)])
        _audit(ctx, scope, start, goal, rows)
    return Moved(len(rows))


async def _require_readable(
    ctx: Ctx, scope: ProjectScope, start: WriteTarget, goal: WriteTarget, ids: Sequence[str]
) -> None:
    """Raise PermissionDenied where a local reference would lead to a secret that the caller cannot read.

    Such a reference means another secret in the new folder.
    """
    async with ctx.view() as tx:
        rows = [
            row
            for row in await secrets.by_ids(tx, ids)
            if row.folder_id == start.location.folder.id and row.user_id is None
        ]
    values = [
        ResolvedSecret(Address(*goal.env_path, row.key), sealed.value_of(start.key, row))
        for row in rows
        if row.references
    ]
    await expansion.require_readable(ctx, scope, values)


async def _rows(ctx: Ctx, tx: Tx, start: WriteTarget, goal: WriteTarget, ids: Sequence[str]) -> list[StoredSecret]:
    rows = [
        row
        for row in await secrets.by_ids(tx, ids, to_change=True)
        if row.folder_id == start.location.folder.id and row.user_id is None
    ]
    if len(rows) != len(set(ids)):
        raise NotFound("Some of these secrets are not in the source folder")
    for row in rows:
        facts = with_tags(row, start.labels).facts
        for action, write_target in ((rights.DELETE, start), (rights.READ, start), (rights.CREATE, goal)):
            rights.require(ctx, start.scope, action, *write_target.env_path, facts, is_named=False)
    return rows


def _require_room(
    ctx: Ctx,
    goal: WriteTarget,
    rows: Sequence[StoredSecret],
    existing: Mapping[tuple[str, str | None], StoredSecret],
    *,
    overwrite: bool,
) -> None:
    taken = [existing[row.key, None] for row in rows if (row.key, None) in existing]
    if taken and not overwrite:
        raise BadRequest(
            f"The destination has secrets of these names already: {', '.join(row.key for row in taken[:10])}"
        )
    coming = {row.key: with_tags(row, goal.labels).facts for row in rows}
    for row in taken:
        facts = with_tags(row, goal.labels).facts
        rights.require(ctx, goal.scope, rights.EDIT, *goal.env_path, facts)
        # It gets the tags and metadata of the moved secret, and keeps its history.
        relocation.require_to_relabel(goal.scope, goal.env_path, facts, coming[row.key], row.key)


async def _carry(ctx: Ctx, tx: Tx, goal: WriteTarget, row: StoredSecret, replaced: StoredSecret | None) -> None:
    plain = sealed.opened(goal.key, row)
    keep = goal.scope.project.version_limit
    fields: dict[str, Any] = {"actor_kind": ctx.actor.kind, "actor_id": ctx.actor.id or None, "updated_at": ctx.now}
    if replaced is None:
        bare = msgspec.structs.replace(row, folder_id=goal.location.folder.id, version=row.version + 1, **fields)
        before = row
    else:
        await secrets.remove(tx, [row])
        bare = msgspec.structs.replace(
            replaced,
            version=replaced.version + 1,
            tag_ids=row.tag_ids,
            references=row.references,
            skip_multiline_encoding=row.skip_multiline_encoding,
            **fields,
        )
        before = replaced
    after = sealed.sealed(goal.key, bare, plain)
    await secrets.replace(tx, before, after)
    await secrets.add_versions(tx, [sealed.as_version(ctx, after)], keep)


def _audit(ctx: Ctx, scope: ProjectScope, start: WriteTarget, goal: WriteTarget, rows: Sequence[StoredSecret]) -> None:
    ctx.audit(
        "move-secrets",
        org_id=scope.org_id,
        project_id=scope.project.id,
        sourceEnvironment=start.env_path[0],
        sourceSecretPath=start.env_path[1],
        destinationEnvironment=goal.env_path[0],
        destinationSecretPath=goal.env_path[1],
        secretIds=[row.id for row in rows],
    )
