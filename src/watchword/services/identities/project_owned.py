"""Identities that belong to one project and are deleted with it.

In the organization they are members without rights, so that their tokens work like all others; their auth methods,
credentials and tokens are managed by the routes of all identities, with the rights of the project.
"""

from typing import Annotated

import msgspec

from watchword.domain.errors import NotFound
from watchword.services.access.role_refs import RoleEntries, RoleEntry, audit_roles
from watchword.services.access.scopes import enter_project
from watchword.services.context import Ctx
from watchword.services.identities import identities, project_members
from watchword.services.identities.identities import (
    IdentityChanges,
    IdentityDetails,
    IdentityQuery,
    NewIdentity,
)
from watchword.services.paging import Page
from watchword.services.people.organizations import add_member
from watchword.services.projects.members import IDENTITY, join

IdentityName = Annotated[str, msgspec.Meta(min_length=1, max_length=255, extra={"trim": True})]


class CreateProjectIdentity(NewIdentity, frozen=True, kw_only=True):
    """A new identity of a project."""

    name: IdentityName
    roles: Annotated[RoleEntries, msgspec.Meta(min_length=1)] | None = None


class UpdateProjectIdentity(IdentityChanges, frozen=True, kw_only=True):
    """What to change; `metadata` replaces the whole set."""

    name: IdentityName | None = None


async def create(ctx: Ctx, project_id: str, body: CreateProjectIdentity) -> IdentityDetails:
    """Create an identity of a project with its membership there, within the caller's own rights."""
    scope = await enter_project(ctx, project_id)
    ctx.require(scope, "create", "identity")
    identity = identities.new_identity(ctx, body, scope.org_id, scope.project.id)
    entries = body.roles or [RoleEntry(role="no-access")]
    async with ctx.unit() as tx:
        await identities.insert(ctx, tx, identity, body.metadata or ())
        await add_member(ctx, tx, scope.org_id, "identity", identity.id, "no-access")
        membership = await join(ctx, tx, scope, IDENTITY, identity.id, entries)
        ctx.audit(
            "create-identity",
            org_id=scope.org_id,
            project_id=scope.project.id,
            identityId=identity.id,
            name=identity.name,
            roles=audit_roles(entries),
        )
    async with ctx.view() as tx:
        return await project_members.shown(tx, membership, ctx.now)


async def update(ctx: Ctx, project_id: str, identity_id: str, body: UpdateProjectIdentity) -> IdentityDetails:
    """Change an identity of the project."""
    await _require_of(ctx, project_id, identity_id, "edit")
    changes = {name: getattr(body, name) for name in body.__struct_fields__}
    return await identities.update(ctx, identity_id, identities.UpdateIdentity(**changes))


async def remove(ctx: Ctx, project_id: str, identity_id: str) -> IdentityDetails:
    """Delete an identity of the project; its tokens end at once."""
    await _require_of(ctx, project_id, identity_id, "delete")
    return await identities.remove(ctx, identity_id)


async def get(ctx: Ctx, project_id: str, identity_id: str) -> IdentityDetails:
    """Return one identity of the project."""
    await _require_of(ctx, project_id, identity_id, "read")
    return await identities.get(ctx, identity_id)


async def find(ctx: Ctx, project_id: str, query: IdentityQuery) -> Page[IdentityDetails]:
    """Find one page of the identities that belong to the project, and how many match."""
    page, _ = await project_members.find(ctx, project_id, query, own=True)
    return page


async def _require_of(ctx: Ctx, project_id: str, identity_id: str, action: str) -> None:
    """Require the right, and then that the identity belongs to the project. Raises PermissionDenied, NotFound.

    The order matters: without the right, the answer does not tell whether the identity belongs to the project.
    """
    scope = await enter_project(ctx, project_id)
    ctx.require(scope, action, "identity", identityId=identity_id)
    identity = await identities.record(ctx, identity_id)
    if identity is None or identity.project_id != scope.project.id:
        raise NotFound("There is no such identity in this project")
