"""Identities that belong to one project."""

from collections.abc import Sequence
from typing import Annotated

import msgspec

from watchword.http.identities.memberships import NewerPage, query_of
from watchword.http.routing import IDENTITY, USER, Routes
from watchword.http.wire import IdentityOut, Out
from watchword.services.context import Ctx
from watchword.services.identities import project_owned
from watchword.services.identities.project_owned import CreateProjectIdentity, UpdateProjectIdentity

routes = Routes("identities of projects", is_compressed=True)
_PATH = "/api/v1/projects/{project_id}/identities"


class ProjectIdentityReply(Out, frozen=True, kw_only=True):
    identity: IdentityOut


class IdentitiesReply(Out, frozen=True, kw_only=True):
    identities: Sequence[IdentityOut]
    total_count: int


class ProjectIdentitiesPage(NewerPage, frozen=True, kw_only=True, rename="camel"):
    """A page of identities."""

    limit: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 100


@routes.post(_PATH, USER, IDENTITY)
async def create_project_identity(ctx: Ctx, project_id: str, body: CreateProjectIdentity) -> ProjectIdentityReply:
    """Create an identity that belongs to a project."""
    return ProjectIdentityReply(identity=IdentityOut.of(await project_owned.create(ctx, project_id, body)))


@routes.get(_PATH, USER, IDENTITY)
async def list_project_identities(ctx: Ctx, project_id: str, query: ProjectIdentitiesPage) -> IdentitiesReply:
    """List the identities that belong to a project."""
    page = await project_owned.find(ctx, project_id, query_of(query))
    return IdentitiesReply(identities=[IdentityOut.of(identity) for identity in page.items], total_count=page.total)


@routes.get(_PATH + "/{identity_id}", USER, IDENTITY)
async def get_project_identity(ctx: Ctx, project_id: str, identity_id: str) -> ProjectIdentityReply:
    """Read an identity of a project."""
    return ProjectIdentityReply(identity=IdentityOut.of(await project_owned.get(ctx, project_id, identity_id)))


@routes.patch(_PATH + "/{identity_id}", USER, IDENTITY)
async def update_project_identity(
    ctx: Ctx, project_id: str, identity_id: str, body: UpdateProjectIdentity
) -> ProjectIdentityReply:
    """Change an identity of a project."""
    return ProjectIdentityReply(identity=IdentityOut.of(await project_owned.update(ctx, project_id, identity_id, body)))


@routes.delete(_PATH + "/{identity_id}", USER, IDENTITY)
async def delete_project_identity(ctx: Ctx, project_id: str, identity_id: str) -> ProjectIdentityReply:
    """Delete an identity of a project."""
    return ProjectIdentityReply(identity=IdentityOut.of(await project_owned.remove(ctx, project_id, identity_id)))
