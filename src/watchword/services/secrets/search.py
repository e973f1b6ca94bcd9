"""Search secrets by name and tag across the folders of an environment. Values are not part of the answer."""

from collections.abc import Mapping

import msgspec

from watchword.domain.projects.records import Tag
from watchword.services.access.scopes import ProjectScope, enter_project
from watchword.services.context import Ctx
from watchword.services.paging import Page
from watchword.services.projects import locations
from watchword.services.secrets import folder_cache, import_resolution, rights, sealed
from watchword.services.secrets.reading import missing_folder
from watchword.services.secrets.views import SecretView, decrypt_one
from watchword.services.turns import Turns
from watchword.store.secrets import secrets

MOST = 10_000


class SecretSearch(msgspec.Struct, frozen=True, kw_only=True):
    """A search for secrets: `name` is a part of the name, and any one of the tags suffices."""

    project_id: str
    environment: str
    path: str = "/"
    name: str = ""
    tag_slugs: frozenset[str] = frozenset()
    offset: int = 0
    limit: int = 100


async def find(ctx: Ctx, wanted: SecretSearch) -> Page[SecretView]:
    """Return the matching secrets that the caller may know of, by path and name."""
    scope = await enter_project(ctx, wanted.project_id)
    path = locations.normal_path(wanted.path)
    env = await locations.environment(ctx, scope.project.id, wanted.environment)
    if await locations.find(ctx, scope.project.id, env.slug, path) is None:
        raise missing_folder(env.slug, path)
    labels = await folder_cache.tags(ctx, scope.project.id)
    tag_ids = tuple(tag.id for tag in labels.values() if tag.slug in wanted.tag_slugs)
    if (wanted.tag_slugs and not tag_ids) or "\x00" in wanted.name:
        return Page((), 0)
    query = secrets.SecretQuery(environment_id=env.id, path=path, name=wanted.name, tag_ids=tag_ids)
    async with ctx.survey() as tx:
        matches = await secrets.search(tx, query, MOST)
    turns, visible = Turns(), list[secrets.Match]()
    for match in matches:
        if _may_know(scope, env.slug, match, labels):
            visible.append(match)
        await turns.give()
    async with ctx.view() as tx:
        page = visible[wanted.offset : wanted.offset + wanted.limit]
        rows = {row.id: row for row in await secrets.by_ids(tx, [match.id for match in page])}
    places = await import_resolution.locations(ctx, scope.project.id, {(env.slug, match.path) for match in page})
    key = await sealed.sealer(ctx, scope.project.id)
    views = [
        decrypt_one(key, folder_cache.with_tags(rows[match.id], labels), location, show=False)
        for match in page
        if match.id in rows and (location := places[env.slug, match.path]) is not None
    ]
    await ctx.audit_read(
        "search-secrets",
        org_id=scope.org_id,
        project_id=scope.project.id,
        environment=env.slug,
        secretPath=path,
        numberOfSecrets=len(views),
    )
    return Page(views, len(visible))


def _may_know(scope: ProjectScope, environment_slug: str, match: secrets.Match, labels: Mapping[str, Tag]) -> bool:
    facts = folder_cache.facts_of(match.key, [labels[id] for id in match.tag_ids if id in labels], match.metadata)
    return scope.ability.allows(rights.DESCRIBE, rights.SUBJECT, rights.in_place(environment_slug, match.path, facts))
