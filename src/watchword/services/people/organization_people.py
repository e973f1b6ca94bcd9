"""People of an organization: invite, accept, change roles, deactivate, remove.

Nobody gives a role, or touches a person, beyond its own: compared by the rules in both privilege systems, because there
is no action that stands for it: the subject `member` of an organization has only the four common ones.
"""

from collections.abc import Sequence
from typing import Annotated

import msgspec

from watchword.domain.access import boundary
from watchword.domain.access.abilities import Rule
from watchword.domain.access.records import Membership, MembershipRole, Role
from watchword.domain.decode import Trimmed, checked
from watchword.domain.errors import BadRequest, BoundaryExceeded, Forbidden, Invalid, NotFound, Unauthorized
from watchword.domain.outbound import OutboundError
from watchword.domain.people.emails import read_email
from watchword.domain.people.records import Invitation, Organization, User
from watchword.domain.secret import Secret
from watchword.services.access.boundaries import require_over_in_projects
from watchword.services.access.role_refs import RoleEntry, RoleName, find_role, resolve
from watchword.services.access.scopes import enter_org, holding, organization
from watchword.services.context import CallerScope, Ctx
from watchword.services.people import passwords, sign_in
from watchword.store.access import grants
from watchword.store.engine import AlreadyThere, Tx
from watchword.store.identities import identities
from watchword.store.people import accounts, people

INVITATION_TTL = 7 * 24 * 3600  # seconds


class InviteToOrganization(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Whom to invite, and the organization role they get; none is the organization's default."""

    invitee_emails: Annotated[list[Trimmed], msgspec.Meta(min_length=1, max_length=100)]
    organization_id: Trimmed
    organization_role_slug: RoleName | None = None


class Accept(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The token of an invitation. Who has no account yet chooses a password; who has one proves it, or is signed in."""

    token: Secret
    password: Secret | None = None
    first_name: Annotated[str, msgspec.Meta(max_length=255, extra={"trim": True})] = ""
    last_name: Annotated[str, msgspec.Meta(max_length=255, extra={"trim": True})] = ""


class ChangeMembership(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What to change of a membership."""

    role: RoleName | None = None
    is_active: bool | None = None


class RemoveMany(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Memberships to remove."""

    membership_ids: Annotated[list[Trimmed], msgspec.Meta(min_length=1, max_length=100)]


class Invited(msgspec.Struct, frozen=True, kw_only=True):
    """An invitation with its link, which is shown to the inviter; and whether it was mailed."""

    invitation: Invitation
    token: Secret
    link: str
    mailed: bool


class OrganizationPerson(msgspec.Struct, frozen=True, kw_only=True):
    """A person in an organization."""

    membership: Membership
    user: User
    roles: Sequence[tuple[MembershipRole, Role | None]]


class Joined(msgspec.Struct, frozen=True, kw_only=True):
    """Who accepted, and the session that was opened (none when the caller was signed in)."""

    user: User
    organization: Organization
    signed_in: sign_in.SignedIn | None


def require_within(scope: CallerScope, targets: Sequence[Sequence[Rule]]) -> None:
    """Raise BoundaryExceeded when one of the rule sets goes beyond the caller's."""
    boundary.require_within(scope.ability, targets)


async def invite(ctx: Ctx, given: InviteToOrganization) -> list[Invited]:
    """Invite people by address. Each link works without mail; where a mail server is configured it is mailed as
    well.
    """
    scope = await enter_org(ctx, given.organization_id)
    ctx.require(scope, "create", "member")
    emails = list(dict.fromkeys(checked("inviteeEmails", read_email, one) for one in given.invitee_emails))
    async with ctx.unit() as tx:
        org = await people.organization(tx, scope.org_id)
        if org is None:
            raise NotFound("The organization was deleted meanwhile")
        role = given.organization_role_slug or org.default_role
        _, _, rules = await find_role(tx, "organization", role, org_id=org.id, project_id=None)
        require_within(scope, [rules])
        made = [await _invitation(ctx, tx, scope, org, email, role) for email in emails]
        ctx.audit("invite-organization-members", org_id=org.id, emails=emails, role=role)
    return [await _mailed(ctx, org, one) for one in made] if ctx.runtime.mailer.is_configured else made


async def _invitation(ctx: Ctx, tx: Tx, scope: CallerScope, org: Organization, email: str, role: str) -> Invited:
    person = await people.user_by_email(tx, email)
    if person is not None and await grants.org_membership(tx, "user", person.id, org.id) is not None:
        raise BadRequest(f"{email} is a member already")
    for earlier in await accounts.invitations(tx, org.id):
        if earlier.email == email and earlier.expires_at > ctx.now:
            await _require_over_invitation(tx, scope, earlier)  # its link is dead from now on
    token = Secret(f"wwi_{ctx.runtime.entropy(32).hex()}")
    record = Invitation(
        id=ctx.new_id(),
        org_id=org.id,
        email=email,
        role=role,
        token_hash=ctx.runtime.keys.digest(token.reveal()),
        hash_version=ctx.runtime.keys.hash_version,
        invited_by=ctx.actor.id,
        created_at=ctx.now,
        expires_at=ctx.now + INVITATION_TTL * 1000,
    )
    await accounts.put_invitation(tx, record)
    link = f"{ctx.runtime.settings.site_url.rstrip('/')}/accept-invitation?token={token.reveal()}"
    return Invited(invitation=record, token=token, link=link, mailed=False)


async def _mailed(ctx: Ctx, org: Organization, made: Invited) -> Invited:
    text = (
        f"{ctx.actor.email or ctx.actor.name} invites you to {org.name} on Watchword.\n\nTo accept, open {made.link}\n"
    )
    try:
        await ctx.runtime.mailer.send(made.invitation.email, f"Invitation to {org.name}", text)
    except OutboundError:
        return made  # the inviter has the link and is told that no mail went out
    return msgspec.structs.replace(made, mailed=True)


async def invitations(ctx: Ctx, org_id: str) -> list[Invitation]:
    """The open invitations of an organization."""
    scope = await enter_org(ctx, org_id)
    ctx.require(scope, "read", "member")
    async with ctx.view() as tx:
        return await accounts.invitations(tx, scope.org_id)


async def withdraw(ctx: Ctx, org_id: str, invitation_id: str) -> Invitation:
    """Take an invitation back: its link is dead."""
    scope = await enter_org(ctx, org_id)
    ctx.require(scope, "delete", "member")
    async with ctx.unit() as tx:
        found = await accounts.invitation(tx, scope.org_id, invitation_id)
        if found is None:
            raise NotFound("There is no such invitation")
        await _require_over_invitation(tx, scope, found)
        if not await accounts.take_invitation(tx, found.id):
            raise NotFound("There is no such invitation")
        ctx.audit("withdraw-organization-invitation", org_id=scope.org_id, email=found.email)
    return found


async def _require_over_invitation(tx: Tx, scope: CallerScope, found: Invitation) -> None:
    """Raise BoundaryExceeded for an invitation to a role that the caller could not give.

    One to a role that is gone is anybody's.
    """
    try:
        _, _, rules = await find_role(tx, "organization", found.role, org_id=scope.org_id, project_id=None)
    except NotFound:
        return
    require_within(scope, [rules])


async def accept(ctx: Ctx, given: Accept) -> Joined:
    """Become a member by the token of an invitation, and be signed in.

    It is worth what the inviter could give at this moment: one who was removed, suspended or demoted meanwhile invites
    nobody.

    The inviter knows the link too, so for an address that has an account the link is not enough: its password is asked,
    or a session of that very person.
    """
    ctx.public("the token says who was invited")
    found, person = await _open_invitation(ctx, given.token)
    signed_in_as_invited = person is not None and ctx.actor.kind == "user" and ctx.actor.id == person.id
    password_hash = ""
    if signed_in_as_invited:
        pass
    elif given.password is None:
        raise Invalid.of("password", "Required", code="invalid_type")
    elif person is None:
        await passwords.require_usable(given.password, own=(found.email, given.first_name, given.last_name))
        password_hash = await ctx.runtime.passwords.hashed(given.password)
    else:
        person = await sign_in.prove_password(ctx, person.email, person, given.password)
    try:
        joined = await _join(ctx, found, person, given, password_hash)
    except AlreadyThere:
        raise BadRequest("There is such an account or membership already: sign in and accept again") from None
    org = await organization(ctx, found.org_id)
    session = None if signed_in_as_invited else await sign_in.open_session(ctx, joined)
    return Joined(user=joined, organization=org, signed_in=session)


async def _open_invitation(ctx: Ctx, token: Secret) -> tuple[Invitation, User | None]:
    async with ctx.view() as tx:
        found = await accounts.invitation_by_token(tx, ctx.runtime.keys.digests(token.reveal()).values())
        person = await people.user_by_email(tx, found.email) if found else None
    if found is None or found.expires_at <= ctx.now:
        raise Unauthorized("The invitation is not valid any more: ask for a new one")
    return found, person


async def _join(ctx: Ctx, found: Invitation, person: User | None, given: Accept, password_hash: str) -> User:
    async with ctx.unit() as tx:
        if not await accounts.take_invitation(tx, found.id):
            raise Unauthorized("The invitation was used meanwhile")
        await _require_inviter(ctx, tx, found)
        if person is None:
            person = User(
                id=ctx.new_id(),
                email=found.email,
                first_name=given.first_name,
                last_name=given.last_name,
                password_hash=password_hash,
                created_at=ctx.now,
                updated_at=ctx.now,
            )
            await people.add_user(tx, person)
        membership = Membership(
            id=ctx.new_id(),
            org_id=found.org_id,
            actor_kind="user",
            actor_id=person.id,
            created_at=ctx.now,
            updated_at=ctx.now,
        )
        resolved = await resolve(
            ctx,
            tx,
            "organization",
            [RoleEntry(role=found.role)],
            membership_id=membership.id,
            org_id=found.org_id,
            project_id=None,
        )
        await grants.add_membership(tx, membership, resolved.rows)
        ctx.audit("accept-organization-invitation", org_id=found.org_id, userId=person.id, role=found.role)
    return person


async def _require_inviter(ctx: Ctx, tx: Tx, found: Invitation) -> None:
    """Raise Unauthorized unless who sent the invitation could send it now."""
    dead = Unauthorized("The invitation is not valid any more: ask for a new one")
    person = await people.user(tx, found.invited_by)
    identity = None if person else await identities.by_id(tx, found.invited_by)
    if person is not None:
        kind, stands = "user", person.is_active
    elif identity is not None:
        kind = "identity"
        stands = not identity.is_disabled and (identity.expires_at is None or identity.expires_at > ctx.now)
    else:
        raise dead
    held = await holding(tx, kind, found.invited_by, org_id=found.org_id, project_id=None, now=ctx.now, auth=None)
    if not (stands and held.is_member and held.is_active and held.ability.allows("create", "member")):
        raise dead
    try:
        _, _, rules = await find_role(tx, "organization", found.role, org_id=found.org_id, project_id=None)
        boundary.require_within(held.ability, [rules])
    except (NotFound, BoundaryExceeded):
        raise dead from None


async def members(ctx: Ctx, org_id: str) -> list[OrganizationPerson]:
    """The people of an organization, by address."""
    scope = await enter_org(ctx, org_id)
    ctx.require(scope, "read", "member")
    async with ctx.view() as tx:
        found = await accounts.people_of(tx, scope.org_id)
        roles = await grants.roles_on(tx, [membership.id for membership, _ in found])
    return [
        OrganizationPerson(membership=membership, user=user, roles=roles[membership.id]) for membership, user in found
    ]


async def member(ctx: Ctx, org_id: str, membership_id: str) -> OrganizationPerson:
    """One person of an organization."""
    scope = await enter_org(ctx, org_id)
    ctx.require(scope, "read", "member")
    async with ctx.view() as tx:
        return await _member(tx, scope, membership_id)


async def _member(tx: Tx, scope: CallerScope, membership_id: str) -> OrganizationPerson:
    """A membership of this organization, never another's. Raises NotFound."""
    found = await grants.membership(tx, membership_id)
    if found is None or found.org_id != scope.org_id or found.project_id is not None or found.actor_kind != "user":
        raise NotFound("There is no such membership in this organization")
    user = await people.user(tx, found.actor_id)
    if user is None:
        raise NotFound("There is no such membership in this organization")
    return OrganizationPerson(membership=found, user=user, roles=(await grants.roles_on(tx, [found.id]))[found.id])


async def change(ctx: Ctx, org_id: str, membership_id: str, given: ChangeMembership) -> OrganizationPerson:
    """Change a person's role, or suspend and readmit it. An organization keeps an administrator."""
    scope = await enter_org(ctx, org_id)
    ctx.require(scope, "edit", "member")
    async with ctx.unit() as tx:
        await accounts.hold_organization(tx, scope.org_id)
        found = await _member(tx, scope, membership_id)
        await _require_over(ctx, tx, scope, found)
        if given.role is not None:
            resolved = await resolve(
                ctx,
                tx,
                "organization",
                [RoleEntry(role=given.role)],
                membership_id=found.membership.id,
                org_id=scope.org_id,
                project_id=None,
            )
            require_within(scope, resolved.rules)
            if given.role != "admin":
                await _require_other_admin(tx, scope, found)
            await grants.replace_roles(tx, found.membership, resolved.rows, ctx.now)
        if given.is_active is not None:
            if not given.is_active:
                await _require_other_admin(tx, scope, found)
            await grants.change_membership(tx, found.membership, is_active=given.is_active, updated_at=ctx.now)
        ctx.audit(
            "update-organization-member",
            org_id=scope.org_id,
            userId=found.user.id,
            membershipId=found.membership.id,
            role=given.role,
            isActive=given.is_active,
        )
        return await _member(tx, scope, membership_id)


async def remove(ctx: Ctx, org_id: str, membership_ids: Sequence[str]) -> list[OrganizationPerson]:
    """Remove people from an organization with all that they hold in it. Their accounts stay."""
    scope = await enter_org(ctx, org_id)
    ctx.require(scope, "delete", "member")
    removed: list[OrganizationPerson] = []
    async with ctx.unit() as tx:
        await accounts.hold_organization(tx, scope.org_id)
        for membership_id in dict.fromkeys(membership_ids):
            found = await _member(tx, scope, membership_id)
            await _require_over(ctx, tx, scope, found)
            await _require_other_admin(tx, scope, found)
            await accounts.remove_from_organization(tx, found.membership)
            ctx.audit(
                "remove-organization-member",
                org_id=scope.org_id,
                userId=found.user.id,
                membershipId=found.membership.id,
            )
            removed.append(found)
    return removed


async def _require_over(ctx: Ctx, tx: Tx, scope: CallerScope, found: OrganizationPerson) -> None:
    """Raise unless the person holds nothing in this organization, or in a project of it, that the caller does not."""
    if found.user.is_instance_admin and not ctx.actor.is_instance_admin:
        raise Forbidden("Only an instance administrator may change the membership of another one")
    held = await holding(tx, "user", found.user.id, org_id=scope.org_id, project_id=None, now=ctx.now, auth=None)
    require_within(scope, [grant.rules for grant in held.grants])
    await require_over_in_projects(ctx, tx, scope, "user", found.user.id)


async def _require_other_admin(tx: Tx, scope: CallerScope, found: OrganizationPerson) -> None:
    is_admin = found.membership.is_active and any(
        held.role == "admin" and not held.is_temporary for held, _ in found.roles
    )
    if is_admin and await accounts.other_admins(tx, scope.org_id, found.membership.id) == 0:
        raise BadRequest("The organization would be left without an administrator")
