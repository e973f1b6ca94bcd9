"""The first administrator, people's sign-in, their organizations, and who is in them."""

from collections.abc import Sequence
from typing import Any

from watchword.http import bodies
from watchword.http.routing import PENDING, USER, Incoming, Reply, Routes
from watchword.http.wire import OrganizationOut, Out
from watchword.services.context import Ctx
from watchword.services.people import organizations, setup, sign_in

routes = Routes("people and organizations")


class OrganizationReply(Out, frozen=True, kw_only=True):
    organization: OrganizationOut


class OrganizationsReply(Out, frozen=True, kw_only=True):
    organizations: Sequence[OrganizationOut]


class AccessTokenReply(Out, frozen=True, kw_only=True):
    access_token: str


class TokenReply(Out, frozen=True, kw_only=True):
    token: str


class SelectedReply(Out, frozen=True, kw_only=True):
    token: str
    is_mfa_enabled: bool = False
    mfa_method: str | None = None


def bootstrapped(created: organizations.Bootstrapped) -> dict[str, Any]:
    """What a bootstrap answers, also on the command line. The token of the identity is shown this once."""
    person, org, identity = created.user, created.organization, created.identity
    return {
        "message": "Successfully bootstrapped instance",
        "identity": {"id": identity.id, "name": identity.name, "credentials": {"token": created.token.reveal()}},
        "organization": {"id": org.id, "name": org.name, "slug": org.slug},
        "user": {
            "id": person.id,
            "email": person.email,
            "firstName": person.first_name,
            "lastName": person.last_name,
            "username": person.email,
            "superAdmin": person.is_instance_admin,
        },
    }


async def bootstrap(ctx: Ctx, body: Incoming) -> Reply:
    """Make the first administrator, organization and instance-admin identity. Works once.

    Asks for the setup code, as `setupCode` or in the header `X-Setup-Code`, unless `WATCHWORD_SETUP_CODE` is `off`.
    """
    value, strict = bodies.value_of(body.body, body.header("content-type"), bare=False)
    created = await setup.bootstrap(ctx, bodies.body_as(setup.Claim, value, strict=strict), body.header(setup.HEADER))
    return Reply(bootstrapped(created), headers={"cache-control": "no-store"})


routes.add("POST", "/api/v1/admin/bootstrap", handler=bootstrap, body_for=setup.Claim)


DEVICE_KNOWN = 365 * 86_400  # seconds


def cookie(ctx: Ctx, name: str, value: str, *, path: str, seconds: int) -> str:
    """A cookie that no script can read, no other site can send, and that never leaves TLS.

    Where the caller does not speak TLS, the cookie may travel without it.
    """
    secure = "; Secure" if ctx.is_secure else ""
    return f"{name}={value}; Path={path}; HttpOnly; SameSite=Strict; Max-Age={seconds}{secure}"


def signed_in(ctx: Ctx, body: Any, session: sign_in.SignedIn) -> Reply:
    """An answer that also sets the refresh cookie, and the one by which the device is known."""
    value = sign_in.refresh_value(ctx, session.session.id)
    refresh = cookie(ctx, sign_in.REFRESH_COOKIE, value, path="/api", seconds=ctx.runtime.settings.session_ttl)
    return Reply(body, cookies=(refresh, *device_cookies(ctx, session)))


def device_cookies(ctx: Ctx, session: sign_in.SignedIn) -> tuple[str, ...]:
    """The cookie by which the device is known the next time, if it may be."""
    return (cookie(ctx, *session.device, path="/", seconds=DEVICE_KNOWN),) if session.device else ()


@routes.post("/api/v3/auth/login")
async def login(ctx: Ctx, body: sign_in.SignIn) -> Reply:
    """Sign a person in. Who has a second factor verifies it next, and chooses an organization."""
    session = await sign_in.login(ctx, body)
    return signed_in(ctx, AccessTokenReply(access_token=session.token), session)


async def _no_srp(ctx: Ctx) -> Reply:
    """The old sign-in by SRP is not supported: refused as a wrong password is, after which the command tries it."""
    del ctx
    sign_in.refuse_srp()
    raise AssertionError


for _path in ("/api/v1/auth/login1", "/api/v1/auth/login2", "/api/v3/auth/login1", "/api/v3/auth/login2"):
    routes.add("POST", _path, handler=_no_srp)


@routes.post("/api/v3/auth/select-organization", USER, PENDING)
async def select_organization(ctx: Ctx, body: sign_in.SelectOrganization) -> SelectedReply:
    """Enter an organization: a token for it.

    With `isMfaEnabled` it is good for nothing but verifying the second factor.
    """
    session = await sign_in.select_organization(ctx, body)
    return SelectedReply(
        token=session.token, is_mfa_enabled=session.mfa_method is not None, mfa_method=session.mfa_method
    )


@routes.post("/api/v1/auth/token")
async def refresh_token(ctx: Ctx) -> TokenReply:
    """A new token for the session of the refresh cookie."""
    return TokenReply(token=(await sign_in.refresh(ctx)).token)


@routes.post("/api/v1/auth/checkAuth", USER)
async def check_auth(ctx: Ctx) -> dict[str, str]:
    """Whether the session is alive."""
    ctx.public("the answer is that the token was accepted")
    return {"message": "Authenticated"}


@routes.post("/api/v1/auth/logout", USER, PENDING)
async def logout(ctx: Ctx) -> Reply:
    """End the session."""
    await sign_in.logout(ctx)
    return Reply({"message": "Logged out"}, cookies=(cookie(ctx, sign_in.REFRESH_COOKIE, "", path="/api", seconds=0),))


@routes.post("/api/v2/organizations", USER)
async def create_organization(ctx: Ctx, body: organizations.CreateOrganization) -> OrganizationReply:
    """Create an organization with the caller as its administrator."""
    return OrganizationReply(organization=OrganizationOut.of(await organizations.create(ctx, body)))


@routes.delete("/api/v2/organizations/{organization_id}", USER)
async def delete_organization(ctx: Ctx, organization_id: str) -> OrganizationReply:
    """Delete an organization with everything in it."""
    return OrganizationReply(organization=OrganizationOut.of(await organizations.remove(ctx, organization_id)))


@routes.get("/api/v1/organization", USER)
async def list_organizations(ctx: Ctx) -> OrganizationsReply:
    """List the organizations the caller is a member of."""
    return OrganizationsReply(
        organizations=[OrganizationOut.of(organization) for organization in await organizations.mine(ctx)]
    )


@routes.get("/api/v1/organization/{organization_id}", USER)
async def get_organization(ctx: Ctx, organization_id: str) -> OrganizationReply:
    """Read an organization."""
    return OrganizationReply(organization=OrganizationOut.of(await organizations.get(ctx, organization_id)))


@routes.patch("/api/v1/organization/{organization_id}", USER)
async def update_organization(ctx: Ctx, organization_id: str, body: organizations.UpdateOrganization) -> dict[str, Any]:
    """Change the settings of an organization."""
    org = await organizations.update(ctx, organization_id, body)
    return {"message": "Successfully updated organization", "organization": OrganizationOut.of(org)}


@routes.post("/api/v2/organizations/privilege-system-upgrade", USER)
async def upgrade_privilege_system(ctx: Ctx) -> OrganizationReply:
    """Ask only for the named action, instead of comparing privileges, in the caller's organization."""
    change = organizations.UpdateOrganization(should_use_new_privilege_system=True)
    return OrganizationReply(
        organization=OrganizationOut.of(await organizations.update(ctx, ctx.actor.org_id or "", change))
    )
