"""Groups as members of projects: add, change roles, remove, list."""

from collections.abc import Sequence
from typing import Any

from watchword.domain.access.records import MembershipRole
from watchword.domain.errors import NotFound
from watchword.domain.people.records import Group
from watchword.services.access.role_refs import audit_roles
from watchword.services.access.scopes import ProjectScope, enter_org, enter_project
from watchword.services.context import Ctx
from watchword.services.paging import Page
from watchword.services.people.groups import GroupDetails, with_roles
from watchword.services.projects.members import (
    GROUP,
    AddMember,
    ChangeMember,
    Wanted,
    change_roles,
    join,
    leave,
    of_project,
)
from watchword.services.turns import Turns
from watchword.store.engine import Tx
from watchword.store.people import groups
from watchword.store.projects import members


async def add(ctx: Ctx, project_id: str, id_or_name: str, body: AddMember) -> GroupDetails:
    """Make a group of the organization a member of a project."""
    scope = await enter_project(ctx, project_id)
    ctx.require(scope, "create", "groups")
    async with ctx.unit() as tx:
        group = await _group(tx, scope, id_or_name)
        membership = await join(ctx, tx, scope, GROUP, group.id, body.entries)
        _audit(ctx, "create", scope, group, roles=audit_roles(body.entries))
        return (await with_roles(tx, [(group, membership)]))[0]


async def change(ctx: Ctx, project_id: str, group_id: str, body: ChangeMember) -> Sequence[MembershipRole]:
    """Replace the roles of a group."""
    scope = await enter_project(ctx, project_id)
    ctx.require(scope, "edit", "groups")
    async with ctx.unit() as tx:
        group = await _group(tx, scope, group_id)
        rows = await change_roles(ctx, tx, scope, GROUP, await of_project(tx, scope, GROUP, group.id), body.roles)
        _audit(ctx, "update", scope, group, roles=audit_roles(body.roles))
    return rows


async def remove(ctx: Ctx, project_id: str, group_id: str) -> GroupDetails:
    """Remove a group from a project."""
    scope = await enter_project(ctx, project_id)
    ctx.require(scope, "delete", "groups")
    async with ctx.unit() as tx:
        group = await _group(tx, scope, group_id)
        details = (await with_roles(tx, [(group, await of_project(tx, scope, GROUP, group.id))]))[0]
        await leave(ctx, tx, scope, GROUP, details.membership)
        _audit(ctx, "delete", scope, group)
    return details


async def get(ctx: Ctx, project_id: str, group_id: str) -> GroupDetails:
    """Return one group of a project."""
    scope = await enter_project(ctx, project_id)
    ctx.require(scope, "read", "groups")
    async with ctx.view() as tx:
        group = await _group(tx, scope, group_id)
        return (await with_roles(tx, [(group, await of_project(tx, scope, GROUP, group.id))]))[0]


async def every(ctx: Ctx, project_id: str) -> list[GroupDetails]:
    """List the groups of a project, by name."""
    scope = await enter_project(ctx, project_id)
    ctx.require(scope, "read", "groups")
    async with ctx.survey() as tx:
        return await with_roles(tx, await groups.in_project(tx, scope.project.id, Turns()), with_rules=False)


async def find(ctx: Ctx, project_id: str, wanted: Wanted) -> Page[GroupDetails]:
    """Find a page of the groups of a project, by name."""
    scope = await enter_project(ctx, project_id)
    ctx.require(scope, "read", "groups")
    async with ctx.survey() as tx:
        rows, total = await members.page_of_groups(tx, scope.project.id, wanted)
        return Page(await with_roles(tx, rows, with_rules=False), total)


async def available(ctx: Ctx, project_id: str, wanted: Wanted) -> Page[Group]:
    """Find the groups of the organization that could join a project, for whoever may see them."""
    scope = await enter_project(ctx, project_id)
    ctx.require(scope, "read", "groups")
    ctx.require(await enter_org(ctx, scope.org_id), "read", "groups")
    async with ctx.survey() as tx:
        return Page(*await members.groups_outside(tx, scope.org_id, scope.project.id, wanted))


async def size(ctx: Ctx, project_id: str, group_id: str) -> int:
    """Return how many people and identities are in a group of a project."""
    scope = await enter_project(ctx, project_id)
    ctx.require(scope, "read", "groups")
    async with ctx.survey() as tx:
        group = await _group(tx, scope, group_id)
        await of_project(tx, scope, GROUP, group.id)
        inside = groups.GroupPage(inside=True, limit=1)
        return (await groups.listed(tx, scope.org_id, group.id, ("user", "identity"), inside))[1]


async def _group(tx: Tx, scope: ProjectScope, id_or_name: str) -> Group:
    group = await groups.by_id(tx, scope.org_id, id_or_name) or await groups.by_name(tx, scope.org_id, id_or_name)
    if group is None:
        raise NotFound("There is no such group in the organization")
    return group


def _audit(ctx: Ctx, verb: str, scope: ProjectScope, group: Group, **more: Any) -> None:
    ctx.audit(
        f"{verb}-project-group",
        org_id=scope.org_id,
        project_id=scope.project.id,
        groupId=group.id,
        name=group.name,
        **more,
    )
