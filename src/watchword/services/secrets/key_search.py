"""Find secrets by a part of their name in all projects of the caller. Values are not part of the answer."""

from collections.abc import Sequence
from typing import Final

import msgspec

from watchword.domain.errors import Refusal
from watchword.domain.projects.records import Project
from watchword.services.access.scopes import ProjectScope, enter_project, own_org
from watchword.services.context import Ctx
from watchword.services.secrets import folder_cache, rights
from watchword.services.turns import Turns
from watchword.store.projects import projects
from watchword.store.secrets import key_search

_MOST: Final = 500  # secrets that are looked at


class FoundKey(msgspec.Struct, frozen=True, kw_only=True):
    """A name of secrets in one folder of a project, and the environments in which the caller may know of one."""

    project: Project
    path: str
    key: str
    environments: Sequence[str]


async def find(ctx: Ctx, text: str, limit: int) -> Sequence[FoundKey]:
    """Return the first names that hold the text, by project, in which the caller may know of the secrets."""
    scope = await own_org(ctx)
    if not text or "\x00" in text:
        return ()
    actor, turns = ctx.actor, Turns()
    async with ctx.survey() as tx:
        joined = {one.id: one for one in await projects.of_actor(tx, actor.kind, actor.id, scope.org_id)}
        matches = await key_search.holding(tx, list(joined), text, _MOST)
    scopes: dict[str, ProjectScope | None] = {}
    found: dict[tuple[str, str, str], list[str]] = {}
    for match in matches:
        if match.project_id not in scopes:
            scopes[match.project_id] = await _entered(ctx, match.project_id)
        inside = scopes[match.project_id]
        if inside is not None and await _may_know(ctx, inside, match):
            place = (match.project_id, match.path, match.key)
            if place not in found and len(found) == limit:
                break
            found.setdefault(place, []).append(match.environment)
        await turns.give()
    for project_id in dict.fromkeys(id for id, _, _ in found):
        shown = sum(len(slugs) for (id, _, _), slugs in found.items() if id == project_id)
        await ctx.audit_read(
            "search-secrets",
            org_id=scope.org_id,
            project_id=project_id,
            environment=None,
            secretPath="/",
            numberOfSecrets=shown,
        )
    return [
        FoundKey(project=joined[project_id], path=path, key=key, environments=slugs)
        for (project_id, path, key), slugs in found.items()
    ]


async def _entered(ctx: Ctx, project_id: str) -> ProjectScope | None:
    try:
        return await enter_project(ctx, project_id)
    except Refusal:
        return None


async def _may_know(ctx: Ctx, scope: ProjectScope, match: key_search.NamedKey) -> bool:
    labels = await folder_cache.tags(ctx, match.project_id)
    tags = [labels[id] for id in match.tag_ids if id in labels]
    facts = folder_cache.facts_of(match.key, tags, match.metadata)
    return ctx.may(scope, rights.DESCRIBE, rights.SUBJECT, **rights.in_place(match.environment, match.path, facts))
