"""Tags on secrets, by slug."""

from collections.abc import Iterable, Sequence

from watchword.domain.errors import NotFound
from watchword.domain.secrets.records import SecretKind
from watchword.services.access.scopes import enter_project
from watchword.services.context import Ctx
from watchword.services.secrets import folder_cache, rights
from watchword.services.secrets.views import SecretView
from watchword.services.secrets.writing import SecretChange, Target, change, enter


async def attach(ctx: Ctx, target: Target, name: str, kind: SecretKind, slugs: Sequence[str]) -> SecretView:
    """Add tags to a secret; those it has stay."""
    ids = await _ids(ctx, target, name, slugs)
    return (await change(ctx, target, [SecretChange(name=name, kind=kind, add_tag_ids=ids)]))[0]


async def detach(ctx: Ctx, target: Target, name: str, kind: SecretKind, slugs: Sequence[str]) -> SecretView:
    """Take tags from a secret."""
    ids = await _ids(ctx, target, name, slugs)
    return (await change(ctx, target, [SecretChange(name=name, kind=kind, remove_tag_ids=ids)]))[0]


async def _ids(ctx: Ctx, target: Target, name: str, slugs: Iterable[str]) -> tuple[str, ...]:
    await enter(ctx, target, rights.EDIT, [name])
    scope = await enter_project(ctx, target.project_id)
    known = {tag.slug: tag.id for tag in (await folder_cache.tags(ctx, scope.project.id)).values()}
    unknown = [slug for slug in slugs if slug not in known]
    if unknown:
        raise NotFound(f"There is no tag with slug {unknown[0][:64]!r} in this project")
    return tuple(known[slug] for slug in slugs)
