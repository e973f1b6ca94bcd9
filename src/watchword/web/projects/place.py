"""The project that a path names, as the person sees it."""

from typing import Any

import msgspec

from watchword.domain.errors import Forbidden, NotFound
from watchword.domain.projects.records import Project
from watchword.services.access import scopes
from watchword.services.access.scopes import ProjectScope
from watchword.web.pages import Visit, link


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """A project that a page is about: what the person may do there, and the path that its pages begin with."""

    scope: ProjectScope
    base: str

    @property
    def project(self) -> Project:
        """The project."""
        return self.scope.project

    def link(self, *parts: str, **query: Any) -> str:
        """The path of a page of the project."""
        return link(self.base, *parts, **query)


async def find(visit: Visit, named: str) -> Place:
    """The project of the visit's organization with this slug or id.

    An unknown one, another organization's, and one that the person is not a member of answer alike. Raises NotFound.
    """
    ctx = visit.ctx
    project_id = await scopes.project_of_slug(ctx, visit.organization.id, named) or named
    try:
        scope = await scopes.enter_project(ctx, project_id)
    except Forbidden:
        raise NotFound(f"There is no project {named[:64]!r} here, or you are not a member of it") from None
    return Place(scope=scope, base=visit.link("p", scope.project.slug))
