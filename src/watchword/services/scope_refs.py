"""The organization or project that a request is for, however the route names it."""

import msgspec

from watchword.domain.access.abilities import ScopeKind
from watchword.services.access.scopes import enter_org, enter_project, own_org
from watchword.services.context import CallerScope, Ctx
from watchword.services.projects import projects


class ScopeRef(msgspec.Struct, frozen=True, kw_only=True):
    """An organization or a project, as a route names it.

    With nothing set it is the organization of the caller's credential.
    """

    org_id: str | None = None
    project_id: str | None = None
    project_slug: str | None = None


OWN_ORGANIZATION = ScopeRef()


async def enter(ctx: Ctx, where: ScopeRef) -> CallerScope:
    """Return the caller's scope in the organization or project. Raises NotFound, Forbidden."""
    if where.project_id is not None:
        return await enter_project(ctx, where.project_id)
    if where.project_slug is not None:
        return await enter_project(ctx, await projects.id_of(ctx, where.project_slug))
    return await (own_org(ctx) if where.org_id is None else enter_org(ctx, where.org_id))


def kind_of(scope: CallerScope) -> ScopeKind:
    """Return which kind of subjects and built-in roles apply in a scope."""
    return "project" if scope.project_id else "organization"
