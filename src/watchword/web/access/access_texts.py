"""What the acts of members' and roles' pages are as text."""

from typing import Any, Final

from watchword.domain.errors import BadRequest, Invalid
from watchword.services.access import roles
from watchword.web.access.members import Kind, given_to, kind_of
from watchword.web.access.role_entries import new_role, span, with_one_for_good
from watchword.web.access.roles import NEW, Home, home_of, wanted_of
from watchword.web.as_text import Call, Text, path_to, sent
from watchword.web.forms import read
from watchword.web.identities import acts
from watchword.web.pages import Texts, Visit
from watchword.web.projects import place

texts = Texts()
_MEMBERS: Final = "/{organization}/p/{project}/access/{member_kind}"
_PATHS: Final = {
    "identities": "/api/v1/projects/{}/memberships/identities/{}",
    "people": "/api/v1/projects/{}/memberships/{}",
    "groups": "/api/v1/projects/{}/memberships/groups/{}",
}


@texts.of(_MEMBERS)
async def add(visit: Visit, project: str, member_kind: str) -> Text:
    """New members of a project, as text."""
    form, at, kind = visit.form, await place.find(visit, project), kind_of(member_kind)
    picked = list(dict.fromkeys(form.all("pick")))
    if not picked:
        raise Invalid.of("pick", f"Choose at least one {kind.one}")
    given = with_one_for_good([new_role(form["role"], span(form["for"], "for"), visit.ctx.now)])
    title = f"Add {kind.many} to {at.project.name}"
    if kind.slug == "people":
        if any(entry.is_temporary for entry in given):
            raise BadRequest("Over the API people are added first, and then given a role for a time")
        body: dict[str, Any] = {"emails": picked, "roleSlugs": [entry.role for entry in given]}
        path = path_to("/api/v1/projects/{}/memberships", at.project.id)
        return Text(title=title, calls=[Call(title=title, method="POST", path=path, body=body)])
    body = {"roles": acts.role_bodies(given)}
    calls = [
        Call(title=title, method="POST", path=path_to(_PATHS[kind.slug], at.project.id, id), body=body) for id in picked
    ]
    resources = []
    if kind.slug == "identities":
        resources = [
            acts.membership_resource(f"{at.project.slug}_{number}", at.project.id, id, given)
            for number, id in enumerate(picked, 1)
        ]
    return Text(title=title, calls=calls, resources=resources)


@texts.of(_MEMBERS + "/{member_id}")
async def change(visit: Visit, project: str, member_kind: str, member_id: str) -> Text:
    """Other roles of a member, as text."""
    at, kind = await place.find(visit, project), kind_of(member_kind)
    found = await kind.get(visit, at, member_id)
    given = given_to(visit, found)
    title = f"Change the roles of {found.name} in {at.project.name}"
    body = {"roles": acts.role_bodies(given)}
    call = Call(title=title, method="PATCH", path=_path(kind, at.project.id, member_id), body=body)
    resources = []
    if kind.slug == "identities":
        resources = [acts.membership_resource(found.name, at.project.id, member_id, given)]
    return Text(title=title, calls=[call], resources=resources)


@texts.of(_MEMBERS + "/{member_id}/remove")
async def remove(visit: Visit, project: str, member_kind: str, member_id: str) -> Text:
    """The removal of a member, as text."""
    at, kind = await place.find(visit, project), kind_of(member_kind)
    found = await kind.get(visit, at, member_id)
    title = f"Remove {found.name} from {at.project.name}"
    return Text(title=title, calls=[Call(title=title, method="DELETE", path=_path(kind, at.project.id, member_id))])


def _path(kind: Kind, project_id: str, member_id: str) -> str:
    return path_to(_PATHS[kind.slug], project_id, member_id)


@texts.of("/{organization}/roles/{own_role_id}")
async def save_organization_role(visit: Visit, own_role_id: str) -> Text:
    """A role of the organization, as text."""
    return await _save(visit, await home_of(visit, None), own_role_id)


@texts.of("/{organization}/p/{project}/roles/{role_id}")
async def save_project_role(visit: Visit, project: str, role_id: str) -> Text:
    """A role of a project, as text."""
    return await _save(visit, await home_of(visit, project), role_id)


async def _save(visit: Visit, home: Home, role_id: str) -> Text:
    is_new = role_id == NEW
    role = None if is_new else await roles.get(visit.ctx, home.where, role_id)
    values = wanted_of(visit.form, home.kind, is_new=is_new)
    body = sent(read(roles.CreateRole if is_new else roles.UpdateRole, values))
    title = f"{'Make' if role is None else 'Change'} the role {values['name']}"
    base = path_to("/api/v1/projects/{}/roles", home.place.project.id) if home.place else "/api/v1/organization/roles"
    path = base if role is None else f"{base}/{path_to('{}', role.id)}"
    return Text(
        title=title, calls=[Call(title=title, method="POST" if role is None else "PATCH", path=path, body=body)]
    )
