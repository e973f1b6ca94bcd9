"""References follow a secret that gets another name: the values that mention it are rewritten in the same unit (contract 7.8)."""

from collections.abc import Callable, Mapping

import msgspec

from watchword.domain.model.secrets import StoredSecret
from watchword.domain.references import Reference, can_be_referenced, references, renamed
from watchword.services.access import ProjectScope
from watchword.services.context import Ctx
from watchword.services.keys import Sealer
from watchword.services.places import Place
from watchword.services.secrets import sealed
from watchword.store import secrets
from watchword.store.engine import Tx


async def follow(ctx: Ctx, tx: Tx, key: Sealer, scope: ProjectScope, place: Place, names: Mapping[str, str]) -> int:
    """Rewrite the references of the project to secrets of `place` that got new names (old -> new); how many secrets had such.

    Needs no permission of its own: what the values mean stays the same. A name that no reference can say is not followed.
    """
    touched = 0
    for old, new in names.items():
        if not (can_be_referenced(old) and can_be_referenced(new)):
            continue
        for row in await secrets.referring_to(tx, scope.project.id, old):
            meant = _meant(row, place, old)
            plain = sealed.opened(key, row)
            value = renamed(plain.value, meant, new)
            if value == plain.value:
                continue
            after = msgspec.structs.replace(
                row, version=row.version + 1, references=tuple((one.environment, one.path, one.key) for one in references(value)),
                actor_kind=ctx.actor.kind, actor_id=ctx.actor.id or None, updated_at=ctx.now,
            )  # fmt: skip
            after = sealed.sealed(key, after, msgspec.structs.replace(plain, value=value))
            await secrets.replace(tx, row, after)
            await secrets.add_versions(tx, [sealed.as_version(ctx, after)], scope.project.version_limit)
            touched += 1
    return touched


def _meant(row: StoredSecret, place: Place, old: str) -> Callable[[Reference], bool]:
    at = (place.environment.slug, place.folder.path)
    is_here = row.folder_id == place.folder.id
    return lambda one: one.key == old and (is_here if not one.environment else (one.environment, one.path) == at)
