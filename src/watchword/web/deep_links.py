"""Addresses of the reference product's pages, which stand in run books and in its command: they lead on to ours.

What has no page here leads to the nearest that has one.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final

from watchword.domain.errors import NotFound
from watchword.services.access import scopes
from watchword.services.people import organizations
from watchword.web.pages import Answer, Pages, Redirect, Visit, link

pages = Pages()
_TABS: Final = {
    "identities": "identities",
    "members": "people",
    "groups": "groups",
    "roles": "roles",
    "project-templates": "projects",
}
_PROJECT_TABS: Final[Mapping[str, tuple[str, ...]]] = {
    "identities": ("access", "identities"),
    "members": ("access", "people"),
    "groups": ("access", "groups"),
    "roles": ("roles",),
}
# What follows the organization there, and what follows it here; a name in braces is carried over.
_OF_ORGANIZATION: Final[Sequence[tuple[str, tuple[str, ...]]]] = (
    ("overview", ()),
    ("projects", ("projects",)),
    ("identities/{identity_id}", ("identities", "{identity_id}")),
    ("groups/{group_id}", ("groups", "{group_id}")),
    ("roles/{role_id}", ("roles", "{role_id}")),
    ("members", ("people",)),
    ("members/{membership_id}", ("people",)),
    ("audit-logs", ("audit",)),
    ("settings", ("settings",)),
)
_OF_PROJECT: Final[Sequence[tuple[str, tuple[str, ...]]]] = (
    ("overview", ()),
    ("secrets/overview", ()),
    ("secrets/{environment}", ()),
    ("identities/{identity_id}", ("access", "identities", "{identity_id}")),
    ("members/{membership_id}", ("access", "people")),
    ("roles/{role_id}", ("roles",)),
    ("settings", ("settings",)),
)
_ORGANIZATIONS: Final = ("/organizations/{organization_id}", "/org/{organization_id}")
_PROJECTS: Final = (
    "/organizations/{organization_id}/projects/secret-management/{project_id}",
    "/projects/secret-management/{project_id}",
    "/secret-manager/{project_id}",
    "/project/{project_id}",
)


def _to_organization(to: tuple[str, ...]) -> Callable[..., Awaitable[Answer]]:
    async def lead_on(visit: Visit, organization_id: str, **named: str) -> Answer:
        del visit
        return Redirect(to=link("", organization_id, *(part.format_map(named) for part in to)))

    return lead_on


async def _access_management(visit: Visit, organization_id: str) -> Answer:
    return Redirect(to=link("", organization_id, _TABS.get(visit.query["selectedTab"], "people")))


def _to_project(to: tuple[str, ...]) -> Callable[..., Awaitable[Answer]]:
    async def lead_on(visit: Visit, project_id: str, organization_id: str = "", **named: str) -> Answer:
        del organization_id  # the project says whose it is
        base = await _base_of_project(visit, project_id)
        return Redirect(to=link(base, *(part.format_map(named) for part in to)))

    return lead_on


async def _project_access(visit: Visit, project_id: str, organization_id: str = "") -> Answer:
    del organization_id
    tab = _PROJECT_TABS.get(visit.query["selectedTab"], ("access", "people"))
    return Redirect(to=link(await _base_of_project(visit, project_id), *tab))


async def _base_of_project(visit: Visit, project_id: str) -> str:
    """The path of a project in an organization that the person is a member of. Raises NotFound."""
    project = await scopes.project(visit.ctx, project_id)
    joined = {organization.id for organization in await organizations.mine(visit.ctx)}
    if project is None or project.org_id not in joined:
        raise NotFound(f"There is no project {project_id[:64]!r}, or you are not a member of it")
    return link(f"/{project.org_id}", "p", project.id)


@pages.get("/personal-settings")
async def _personal_settings(visit: Visit) -> Answer:
    """Lead on to the person's account."""
    del visit
    return Redirect(to="/me")


for _base in _ORGANIZATIONS:
    pages.get(f"{_base}/access-management")(_access_management)
    for _old, _new in _OF_ORGANIZATION:
        pages.get(f"{_base}/{_old}")(_to_organization(_new))
for _base in _PROJECTS:
    pages.get(f"{_base}/access-management")(_project_access)
    for _old, _new in _OF_PROJECT:
        pages.get(f"{_base}/{_old}")(_to_project(_new))
