"""The first administrator, people's sign-in, and organizations (contract 3.20, 3.35)."""

from collections.abc import Sequence
from typing import Any

from watchword.http.routing import USER, Routes
from watchword.http.wire import OrganizationOut, Out
from watchword.services import organizations, people
from watchword.services.context import Ctx

routes = Routes("people and organizations")


class OrganizationReply(Out, kw_only=True):
    organization: OrganizationOut


class OrganizationsReply(Out, kw_only=True):
    organizations: Sequence[OrganizationOut]


class AccessTokenReply(Out, kw_only=True):
    access_token: str


class SelectedReply(Out, kw_only=True):
    token: str
    is_mfa_enabled: bool = False
    mfa_method: str | None = None


@routes.post("/api/v1/admin/bootstrap")
async def bootstrap(ctx: Ctx, body: organizations.Bootstrap) -> dict[str, Any]:
    """Make the first administrator, organization and instance-admin identity. Works once."""
    made = await organizations.bootstrap(ctx, body)
    person, org, identity = made.user, made.organization, made.identity
    return {
        "message": "Successfully bootstrapped instance",
        "identity": {"id": identity.id, "name": identity.name, "credentials": {"token": made.token.reveal()}},
        "organization": {"id": org.id, "name": org.name, "slug": org.slug},
        "user": {"id": person.id, "email": person.email, "firstName": person.first_name, "lastName": person.last_name,
                 "username": person.email, "superAdmin": person.is_instance_admin},
    }  # fmt: skip


@routes.post("/api/v3/auth/login")
async def login(ctx: Ctx, body: people.Login) -> AccessTokenReply:
    """Sign a person in."""
    return AccessTokenReply(access_token=await people.login(ctx, body))


@routes.post("/api/v3/auth/select-organization", USER)
async def select_organization(ctx: Ctx, body: people.SelectOrganization) -> SelectedReply:
    """Enter an organization: a token for it."""
    return SelectedReply(token=await people.select_organization(ctx, body))


@routes.post("/api/v1/auth/checkAuth", USER)
async def check_auth(ctx: Ctx) -> dict[str, str]:
    """Whether the session is alive."""
    ctx.public("the answer is that the token was accepted")
    return {"message": "Authenticated"}


@routes.post("/api/v1/auth/logout", USER)
async def logout(ctx: Ctx) -> dict[str, str]:
    """End the session."""
    await people.logout(ctx)
    return {"message": "Logged out"}


@routes.post("/api/v2/organizations", USER)
async def create_organization(ctx: Ctx, body: organizations.Create) -> OrganizationReply:
    """Create an organization with the caller as its administrator."""
    return OrganizationReply(organization=OrganizationOut.of(await organizations.create(ctx, body)))


@routes.delete("/api/v2/organizations/{organization_id}", USER)
async def delete_organization(ctx: Ctx, organization_id: str) -> OrganizationReply:
    """Delete an organization with everything in it."""
    return OrganizationReply(organization=OrganizationOut.of(await organizations.remove(ctx, organization_id)))


@routes.get("/api/v1/organization", USER)
async def list_organizations(ctx: Ctx) -> OrganizationsReply:
    """List the organizations the caller is a member of."""
    return OrganizationsReply(organizations=[OrganizationOut.of(one) for one in await organizations.mine(ctx)])


