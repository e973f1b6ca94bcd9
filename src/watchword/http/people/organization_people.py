"""The people of an organization: memberships and invitations."""

from collections.abc import Sequence
from typing import Any

from watchword.domain.people.records import Invitation, User
from watchword.http.people.sign_in import signed_in
from watchword.http.routing import IDENTITY, USER, Reply, Routes
from watchword.http.wire import HeldRoleOut, OrganizationOut, Out, in_pieces
from watchword.services.context import Ctx
from watchword.services.people import organization_people
from watchword.services.timestamps import iso

routes = Routes("people of an organization", is_compressed=True)


class OrganizationPersonProfileOut(Out, frozen=True, kw_only=True):
    """A person as others in the organization see it."""

    id: str
    email: str
    username: str
    first_name: str
    last_name: str
    is_email_verified: bool
    super_admin: bool

    @classmethod
    def of(cls, user: User) -> "OrganizationPersonProfileOut":
        return cls(
            id=user.id,
            email=user.email,
            username=user.email,
            first_name=user.first_name,
            last_name=user.last_name,
            is_email_verified=True,
            super_admin=user.is_instance_admin,
        )


class OrganizationPersonOut(Out, frozen=True, kw_only=True, omit_defaults=True):
    """A person's membership of an organization, or an invitation to one."""

    id: str
    org_id: str
    role: str
    role_id: str | None
    status: str
    is_active: bool
    invite_email: str
    user_id: str | None
    created_at: str
    updated_at: str
    roles: Sequence[HeldRoleOut]
    user: OrganizationPersonProfileOut | None

    @classmethod
    def of(cls, person: organization_people.OrganizationPerson) -> "OrganizationPersonOut":
        membership_role, custom = person.roles[0] if person.roles else (None, None)
        return cls(
            id=person.membership.id,
            org_id=person.membership.org_id,
            role=membership_role.role if membership_role else "no-access",
            role_id=custom.id if custom else None,
            status="accepted",
            is_active=person.membership.is_active,
            invite_email=person.user.email,
            user_id=person.user.id,
            created_at=iso(person.membership.created_at),
            updated_at=iso(person.membership.updated_at),
            roles=[HeldRoleOut.of(role, custom) for role, custom in person.roles],
            user=OrganizationPersonProfileOut.of(person.user),
        )

    @classmethod
    def invited(cls, invitation: Invitation) -> "OrganizationPersonOut":
        return cls(
            id=invitation.id,
            org_id=invitation.org_id,
            role=invitation.role,
            role_id=None,
            status="invited",
            is_active=False,
            invite_email=invitation.email,
            user_id=None,
            created_at=iso(invitation.created_at),
            updated_at=iso(invitation.created_at),
            roles=[],
            user=None,
        )


class OrganizationPeopleReply(Out, frozen=True, kw_only=True):
    users: Sequence[OrganizationPersonOut]


class MembershipReply(Out, frozen=True, kw_only=True):
    membership: OrganizationPersonOut


class MembershipsReply(Out, frozen=True, kw_only=True):
    memberships: Sequence[OrganizationPersonOut]


class InvitationOut(Out, frozen=True, kw_only=True):
    """An open invitation, without its link."""

    id: str
    org_id: str
    email: str
    role: str
    invited_by: str
    created_at: str
    expires_at: str

    @classmethod
    def of(cls, invitation: Invitation) -> "InvitationOut":
        return cls(
            id=invitation.id,
            org_id=invitation.org_id,
            email=invitation.email,
            role=invitation.role,
            invited_by=invitation.invited_by,
            created_at=iso(invitation.created_at),
            expires_at=iso(invitation.expires_at),
        )


class InvitationReply(Out, frozen=True, kw_only=True):
    invitation: InvitationOut


@routes.get("/api/v2/organizations/{organization_id}/memberships", USER, IDENTITY)
async def list_people(ctx: Ctx, organization_id: str) -> OrganizationPeopleReply:
    """List the people of an organization, those who are invited at the end."""
    people = await organization_people.members(ctx, organization_id)
    invited = [
        person for person in await organization_people.invitations(ctx, organization_id) if person.expires_at > ctx.now
    ]
    entries: list[organization_people.OrganizationPerson | Invitation] = [*people, *invited]
    return OrganizationPeopleReply(users=await in_pieces(entries, _listed))


def _listed(entry: organization_people.OrganizationPerson | Invitation) -> OrganizationPersonOut:
    if isinstance(entry, Invitation):
        return OrganizationPersonOut.invited(entry)
    return OrganizationPersonOut.of(entry)


@routes.get("/api/v2/organizations/{organization_id}/memberships/{membership_id}", USER, IDENTITY)
async def get_person(ctx: Ctx, organization_id: str, membership_id: str) -> MembershipReply:
    """Read one person of an organization."""
    return MembershipReply(
        membership=OrganizationPersonOut.of(await organization_people.member(ctx, organization_id, membership_id))
    )


@routes.patch("/api/v2/organizations/{organization_id}/memberships/{membership_id}", USER, IDENTITY)
async def update_person(
    ctx: Ctx, organization_id: str, membership_id: str, body: organization_people.ChangeMembership
) -> MembershipReply:
    """Change a person's role, suspend it (`isActive: false`) or readmit it."""
    return MembershipReply(
        membership=OrganizationPersonOut.of(await organization_people.change(ctx, organization_id, membership_id, body))
    )


@routes.delete("/api/v2/organizations/{organization_id}/memberships/{membership_id}", USER, IDENTITY)
async def remove_person(ctx: Ctx, organization_id: str, membership_id: str) -> MembershipReply:
    """Remove a person from an organization with all that it holds there."""
    removed = await organization_people.remove(ctx, organization_id, [membership_id])
    return MembershipReply(membership=OrganizationPersonOut.of(removed[0]))


@routes.delete("/api/v2/organizations/{organization_id}/memberships", USER, IDENTITY)
async def remove_people(ctx: Ctx, organization_id: str, body: organization_people.RemoveMany) -> MembershipsReply:
    """Remove several people from an organization, all or none."""
    removed = await organization_people.remove(ctx, organization_id, body.membership_ids)
    return MembershipsReply(memberships=[OrganizationPersonOut.of(person) for person in removed])


@routes.post("/api/v1/invite-org/signup", USER, IDENTITY)
async def invite_people(ctx: Ctx, body: organization_people.InviteToOrganization) -> dict[str, Any]:
    """Invite people. The links are answered, so inviting works without a mail server; with one they are mailed too."""
    invitations = await organization_people.invite(ctx, body)
    links = [
        {
            "email": invited.invitation.email,
            "link": invited.link,
            "mailed": invited.mailed,
            "invitationId": invited.invitation.id,
        }
        for invited in invitations
    ]
    return {
        "message": "Invited" if all(invited.mailed for invited in invitations) else "Invited: pass the links on",
        "completeInviteLinks": links,
    }


@routes.post("/api/v1/invite-org/accept")
async def accept_invitation(ctx: Ctx, body: organization_people.Accept) -> Reply:
    """Accept an invitation with the token of its link.

    The answer has a session, unless the caller is signed in as the person who was invited.
    """
    joined = await organization_people.accept(ctx, body)
    answer: dict[str, Any] = {
        "user": OrganizationPersonProfileOut.of(joined.user),
        "organization": OrganizationOut.of(joined.organization),
    }
    if joined.signed_in is None:
        return Reply(answer)
    session = joined.signed_in
    answer |= {
        "accessToken": session.token,
        "isMfaEnabled": session.mfa_method is not None,
        "mfaMethod": session.mfa_method,
    }
    return signed_in(ctx, answer, session)


@routes.delete("/api/v1/invite-org/{organization_id}/{invitation_id}", USER, IDENTITY)
async def withdraw_invitation(ctx: Ctx, organization_id: str, invitation_id: str) -> InvitationReply:
    """Take an invitation back."""
    return InvitationReply(
        invitation=InvitationOut.of(await organization_people.withdraw(ctx, organization_id, invitation_id))
    )
