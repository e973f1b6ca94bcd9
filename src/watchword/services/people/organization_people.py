"""People of an organization: invite, accept, change roles, deactivate, remove.

No caller gives a role, or changes a person, beyond its own rights. The rules are compared in both privilege modes,
because no action stands for it: the subject `member` of an organization has only the four common ones.
"""

from collections.abc import Sequence
from typing import Annotated

import msgspec

from watchword.domain.access import boundary
from watchword.domain.access.records import Membership, MembershipRole, Role
from watchword.domain.actor import HolderKind
from watchword.domain.decode import Trimmed, checked
from watchword.domain.errors import BadRequest, BoundaryExceeded, Forbidden, Invalid, NotFound, Unauthorized
from watchword.domain.outbound import OutboundError
from watchword.domain.people.emails import read_email
from watchword.domain.people.records import Invitation, Organization, User
from watchword.domain.secret import Secret
from watchword.services.access.boundaries import require_over_here, require_over_in_projects
from watchword.services.access.role_refs import RoleEntry, RoleName, find_role, resolve
from watchword.services.access.scopes import Budget, enter_org, holding, organization
from watchword.services.context import CallerScope, Ctx
from watchword.services.people import passwords, sign_in
from watchword.services.turns import Turns
from watchword.store.access import grants
from watchword.store.engine import AlreadyThere, Tx
from watchword.store.identities import identities
from watchword.store.people import accounts, people

INVITATION_TTL = 7 * 24 * 3600  # seconds


class InviteToOrganization(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The people to invite, and the organization role that they get; by default the organization's default role."""

    invitee_emails: Annotated[list[Trimmed], msgspec.Meta(min_length=1, max_length=100)]
    organization_id: Trimmed
    organization_role_slug: RoleName | None = None


class Accept(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The token of an invitation. A new person chooses a password; one with an account proves it, or is signed in."""

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
    """The person who accepted, and the session that was opened (none when the caller was signed in)."""

    user: User
    organization: Organization
    signed_in: sign_in.SignedIn | None


async def invite(ctx: Ctx, body: InviteToOrganization) -> list[Invited]:
    """Invite people by address. The links work without mail; where a mail server is configured they are mailed too."""
    scope = await enter_org(ctx, body.organization_id)
    ctx.require(scope, "create", "member")
    emails = list(dict.fromkeys(checked("inviteeEmails", read_email, text) for text in body.invitee_emails))
    async with ctx.unit() as tx:
        org = await people.organization(tx, scope.org_id)
        if org is None:
            raise NotFound("The organization was deleted meanwhile")
        role = body.organization_role_slug or org.default_role
        _, _, rules = await find_role(tx, "organization", role, org_id=org.id, project_id=None)
        boundary.require_within(scope.ability, [rules])
        invited = [await _invitation(ctx, tx, scope, org, email, role) for email in emails]
        ctx.audit("invite-organization-members", org_id=org.id, emails=emails, role=role)
    return [await _mailed(ctx, org, item) for item in invited] if ctx.runtime.mailer.is_configured else invited


async def _invitation(ctx: Ctx, tx: Tx, scope: CallerScope, org: Organization, email: str, role: str) -> Invited:
    person = await people.user_by_email(tx, email)
    if person is not None and await grants.org_membership(tx, "user", person.id, org.id) is not None:
        raise BadRequest(f"{email} is a member already")
    for earlier in await accounts.invitations(tx, org.id):
        if earlier.email == email and earlier.expires_at > ctx.now:
            await _require_over_invitation(tx, scope, earlier)  # its link is invalid from now on
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


async def _mailed(ctx: Ctx, org: Organization, invited: Invited) -> Invited:
    text = (
        f"{ctx.actor.email or ctx.actor.name} invites you to {org.name} on Watchword.\n\n"
        f"To accept, open {invited.link}\n"
    )
    try:
        await ctx.runtime.mailer.send(invited.invitation.email, f"Invitation to {org.name}", text)
    except OutboundError:
        return invited  # the inviter has the link and is told that no mail went out
    return msgspec.structs.replace(invited, mailed=True)


async def invitations(ctx: Ctx, org_id: str) -> list[Invitation]:
    """List the open invitations of an organization."""
    scope = await enter_org(ctx, org_id)
    ctx.require(scope, "read", "member")
    async with ctx.view() as tx:
        return await accounts.invitations(tx, scope.org_id)


async def withdraw(ctx: Ctx, org_id: str, invitation_id: str) -> Invitation:
    """Withdraw an invitation: its link is invalid from now on."""
    scope = await enter_org(ctx, org_id)
    ctx.require(scope, "delete", "member")
    async with ctx.unit() as tx:
        invitation = await accounts.invitation(tx, scope.org_id, invitation_id)
        if invitation is None:
            raise NotFound("There is no such invitation")
        await _require_over_invitation(tx, scope, invitation)
        if not await accounts.take_invitation(tx, invitation.id):
            raise NotFound("There is no such invitation")
        ctx.audit("withdraw-organization-invitation", org_id=scope.org_id, email=invitation.email)
    return invitation


async def _require_over_invitation(tx: Tx, scope: CallerScope, invitation: Invitation) -> None:
    """Raise BoundaryExceeded for an invitation to a role that the caller could not give.

    An invitation to a deleted role may be withdrawn by any caller with the right.
    """
    try:
        _, _, rules = await find_role(tx, "organization", invitation.role, org_id=scope.org_id, project_id=None)
    except NotFound:
        return
    boundary.require_within(scope.ability, [rules])


async def accept(ctx: Ctx, body: Accept) -> Joined:
    """Become a member by the token of an invitation, and be signed in.

    The inviter must still be able to give the role: the invitation of a person who was removed, suspended or demoted
    meanwhile is invalid.

    The inviter knows the link too, so for an address with an account the link is not enough: its password is required,
    or a session of that very person.
    """
    ctx.public("the token says who was invited")
    invitation, person = await _open_invitation(ctx, body.token)
    signed_in_as_invited = person is not None and ctx.actor.kind == "user" and ctx.actor.id == person.id
    password_hash = ""
    if signed_in_as_invited:
        pass
    elif body.password is None:
        raise Invalid.of("password", "Required", code="invalid_type")
    elif person is None:
        await passwords.require_usable(body.password, own=(invitation.email, body.first_name, body.last_name))
        password_hash = await ctx.runtime.passwords.hashed(body.password)
    else:
        person = await sign_in.prove_password(ctx, person.email, person, body.password)
    try:
        joined = await _join(ctx, invitation, person, body, password_hash)
    except AlreadyThere:
        raise BadRequest("There is such an account or membership already: sign in and accept again") from None
    org = await organization(ctx, invitation.org_id)
    session = None if signed_in_as_invited else await sign_in.open_session(ctx, joined)
    return Joined(user=joined, organization=org, signed_in=session)


async def _open_invitation(ctx: Ctx, token: Secret) -> tuple[Invitation, User | None]:
    async with ctx.view() as tx:
        invitation = await accounts.invitation_by_token(tx, ctx.runtime.keys.digests(token.reveal()).values())
        person = await people.user_by_email(tx, invitation.email) if invitation else None
    if invitation is None or invitation.expires_at <= ctx.now:
        raise Unauthorized("The invitation is not valid any more: ask for a new one")
    return invitation, person


async def _join(ctx: Ctx, invitation: Invitation, person: User | None, body: Accept, password_hash: str) -> User:
    async with ctx.unit() as tx:
        if not await accounts.take_invitation(tx, invitation.id):
            raise Unauthorized("The invitation was used meanwhile")
        await _require_inviter(ctx, tx, invitation)
        if person is None:
            person = User(
                id=ctx.new_id(),
                email=invitation.email,
                first_name=body.first_name,
                last_name=body.last_name,
                password_hash=password_hash,
                created_at=ctx.now,
                updated_at=ctx.now,
            )
            await people.add_user(tx, person)
        membership = Membership(
            id=ctx.new_id(),
            org_id=invitation.org_id,
            actor_kind="user",
            actor_id=person.id,
            created_at=ctx.now,
            updated_at=ctx.now,
        )
        resolved = await resolve(
            ctx,
            tx,
            "organization",
            [RoleEntry(role=invitation.role)],
            membership_id=membership.id,
            org_id=invitation.org_id,
            project_id=None,
        )
        await grants.add_membership(tx, membership, resolved.rows)
        ctx.audit("accept-organization-invitation", org_id=invitation.org_id, userId=person.id, role=invitation.role)
    return person


async def _require_inviter(ctx: Ctx, tx: Tx, invitation: Invitation) -> None:
    """Raise Unauthorized unless the inviter could send the invitation now."""
    dead = Unauthorized("The invitation is not valid any more: ask for a new one")
    person = await people.user(tx, invitation.invited_by)
    identity = None if person else await identities.by_id(tx, invitation.invited_by)
    kind: HolderKind
    if person is not None:
        kind, stands = "user", person.is_active
    elif identity is not None:
        kind = "identity"
        stands = not identity.is_disabled and (identity.expires_at is None or identity.expires_at > ctx.now)
    else:
        raise dead
    holds = await holding(
        tx, kind, invitation.invited_by, org_id=invitation.org_id, project_id=None, now=ctx.now, auth=None
    )
    if not (stands and holds.is_member and holds.is_active and holds.ability.allows("create", "member")):
        raise dead
    try:
        _, _, rules = await find_role(tx, "organization", invitation.role, org_id=invitation.org_id, project_id=None)
        boundary.require_within(holds.ability, [rules])
    except (NotFound, BoundaryExceeded):
        raise dead from None


async def members(ctx: Ctx, org_id: str) -> list[OrganizationPerson]:
    """List the people of an organization, by address."""
    scope = await enter_org(ctx, org_id)
    ctx.require(scope, "read", "member")
    turns = Turns()
    async with ctx.survey() as tx:
        rows = await accounts.people_of(tx, scope.org_id, turns)
        roles = await grants.roles_on(tx, [membership.id for membership, _ in rows], turns)
    listed: list[OrganizationPerson] = []
    for membership, user in rows:
        listed.append(OrganizationPerson(membership=membership, user=user, roles=roles[membership.id]))
        await turns.give()
    return listed


async def member(ctx: Ctx, org_id: str, membership_id: str) -> OrganizationPerson:
    """Return one person of an organization."""
    scope = await enter_org(ctx, org_id)
    ctx.require(scope, "read", "member")
    async with ctx.view() as tx:
        return await _member(tx, scope, membership_id)


async def _member(tx: Tx, scope: CallerScope, membership_id: str) -> OrganizationPerson:
    """Return a membership of this organization. Raises NotFound, for another organization's too."""
    membership = await grants.membership(tx, membership_id)
    if (
        membership is None
        or membership.org_id != scope.org_id
        or membership.project_id is not None
        or membership.actor_kind != "user"
    ):
        raise NotFound("There is no such membership in this organization")
    user = await people.user(tx, membership.actor_id)
    if user is None:
        raise NotFound("There is no such membership in this organization")
    return OrganizationPerson(
        membership=membership, user=user, roles=(await grants.roles_on(tx, [membership.id]))[membership.id]
    )


async def change(ctx: Ctx, org_id: str, membership_id: str, body: ChangeMembership) -> OrganizationPerson:
    """Change a person's role, or suspend or readmit the person. An organization keeps an administrator."""
    scope = await enter_org(ctx, org_id)
    ctx.require(scope, "edit", "member")
    async with ctx.unit() as tx:
        await accounts.hold_organization(tx, scope.org_id)
        person = await _member(tx, scope, membership_id)
        await _require_over(ctx, tx, scope, person)
        if body.role is not None:
            resolved = await resolve(
                ctx,
                tx,
                "organization",
                [RoleEntry(role=body.role)],
                membership_id=person.membership.id,
                org_id=scope.org_id,
                project_id=None,
            )
            boundary.require_within(scope.ability, resolved.rules)
            if body.role != "admin":
                await _require_other_admin(tx, scope, person)
            await grants.replace_roles(tx, person.membership, resolved.rows, ctx.now)
        if body.is_active is not None:
            if not body.is_active:
                await _require_other_admin(tx, scope, person)
            await grants.change_membership(tx, person.membership, is_active=body.is_active, updated_at=ctx.now)
        ctx.audit(
            "update-organization-member",
            org_id=scope.org_id,
            userId=person.user.id,
            membershipId=person.membership.id,
            role=body.role,
            isActive=body.is_active,
        )
        return await _member(tx, scope, membership_id)


async def remove(ctx: Ctx, org_id: str, membership_ids: Sequence[str]) -> list[OrganizationPerson]:
    """Remove people from an organization with everything that they hold in it. Their accounts stay."""
    scope = await enter_org(ctx, org_id)
    ctx.require(scope, "delete", "member")
    removed: list[OrganizationPerson] = []
    async with ctx.unit() as tx:
        await accounts.hold_organization(tx, scope.org_id)
        for membership_id in dict.fromkeys(membership_ids):
            person = await _member(tx, scope, membership_id)
            await _require_over(ctx, tx, scope, person)
            await _require_other_admin(tx, scope, person)
            await accounts.remove_from_organization(tx, person.membership)
            ctx.audit(
                "remove-organization-member",
                org_id=scope.org_id,
                userId=person.user.id,
                membershipId=person.membership.id,
            )
            removed.append(person)
    return removed


async def _require_over(ctx: Ctx, tx: Tx, scope: CallerScope, person: OrganizationPerson) -> None:
    """Raise BoundaryExceeded when the person holds, in the organization or its projects, more than the caller."""
    if person.user.is_instance_admin and not ctx.actor.is_instance_admin:
        raise Forbidden("Only an instance administrator may change the membership of another one")
    budget = Budget()
    await require_over_here(ctx, tx, scope, "user", person.user.id, budget)
    await require_over_in_projects(ctx, tx, scope, "user", person.user.id, budget)


async def _require_other_admin(tx: Tx, scope: CallerScope, person: OrganizationPerson) -> None:
    is_admin = person.membership.is_active and any(
        role.role == "admin" and not role.is_temporary for role, _ in person.roles
    )
    if is_admin and await accounts.other_admins(tx, scope.org_id, person.membership.id) == 0:
        raise BadRequest("The organization would be left without an administrator")
