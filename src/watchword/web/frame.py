"""What stands around a page: who is signed in, the person's organizations, and the first projects.

A part that cannot be read is left out: it does not take the page away.
"""

import logging
from collections.abc import Sequence
from typing import Any, Final

from watchword.domain.errors import Refusal
from watchword.domain.people.records import Organization
from watchword.domain.projects.records import Project
from watchword.services import paging
from watchword.services.people import organizations
from watchword.services.projects import projects
from watchword.web import session
from watchword.web.pages import Visit, base_of

_SHOWN_PROJECTS: Final = 6
_NONE: Final[paging.Page[Project]] = paging.Page((), 0)
_log = logging.getLogger("watchword.web")


async def around(visit: Visit) -> dict[str, Any]:
    """The names that every template may use."""
    is_inside = visit.found is not None
    mine = await _projects(visit) if is_inside else _NONE
    return {
        "theme": session.theme(visit.ctx),
        "person": session.described(visit.ctx) if visit.ctx.actor.kind == "user" else None,
        "organization": visit.found,
        "base": visit.base if is_inside else "",
        "organizations": await _organizations(visit),
        "base_of": base_of,
        "nav_projects": mine.items,
        "nav_total": mine.total,
        "now": visit.ctx.now,
    }


async def _organizations(visit: Visit) -> Sequence[Organization]:
    if visit.joined is None and visit.ctx.actor.kind == "user":
        try:
            visit.joined = await organizations.mine(visit.ctx)
        except Refusal:
            return ()
    return visit.joined or ()


async def _projects(visit: Visit) -> paging.Page[Project]:
    try:
        found = await projects.find(visit.ctx, projects.Wanted(limit=_SHOWN_PROJECTS, with_environments=False))
    except Refusal:
        return _NONE
    return paging.Page([details.project for details in found.items], found.total)
