"""A person's own account: profile, sessions, password, second factor.

Instance administrators do some of this for others.
"""

from collections.abc import Sequence
from typing import Any

import msgspec

from watchword.domain.people.records import Session, User
from watchword.http.people.organization_people import OrganizationPersonProfileOut
from watchword.http.people.sign_in import TokenReply, device_cookies
from watchword.http.routing import IDENTITY, PENDING, USER, Reply, Routes
from watchword.http.wire import OrganizationOut, Out
from watchword.services.context import Ctx
from watchword.services.people import account, instance_people, mfa, organizations
from watchword.services.timestamps import iso

routes = Routes("account")


class AccountOut(OrganizationPersonProfileOut, frozen=True, kw_only=True):
    """A person as it sees itself, or an administrator of the instance."""

    is_active: bool
    is_mfa_enabled: bool
    mfa_methods: Sequence[str]
    created_at: str
    updated_at: str

    @classmethod
    def of(cls, user: User) -> "AccountOut":
        return cls(
            **msgspec.structs.asdict(OrganizationPersonProfileOut.of(user)),
            is_active=user.is_active,
            is_mfa_enabled=user.mfa_method is not None,
            mfa_methods=[user.mfa_method] if user.mfa_method else [],
            created_at=iso(user.created_at),
            updated_at=iso(user.updated_at),
        )


class AccountReply(Out, frozen=True, kw_only=True):
    user: AccountOut


class AccountsReply(Out, frozen=True, kw_only=True):
    users: Sequence[AccountOut]
    total_count: int


class SessionOut(Out, frozen=True, kw_only=True):
    """A session. `ip` and `userAgent` are those of the sign-in."""

    id: str
    ip: str
    user_agent: str
    created_at: str
    last_used: str
    expires_at: str
    is_current: bool

    @classmethod
    def of(cls, session: Session, current: str) -> "SessionOut":
        return cls(
            id=session.id,
            ip=session.address,
            user_agent=session.user_agent,
            created_at=iso(session.created_at),
            last_used=iso(session.last_used_at),
            expires_at=iso(session.expires_at),
            is_current=session.id == current,
        )


class Keep(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Whether the session of this request stays valid."""

    keep_current: bool = False


class TotpReply(Out, frozen=True, kw_only=True):
    otp_url: str
    recovery_codes: Sequence[str]


class RecoveryReply(Out, frozen=True, kw_only=True):
    recovery_codes: Sequence[str]


class MfaCheck(Out, frozen=True, kw_only=True):
    is_verified: bool
    recovery_codes_left: int


@routes.older("GET", "/api/v1/user", USER)
@routes.get("/api/v2/users/me", USER)
async def get_me(ctx: Ctx) -> AccountReply:
    """Read the caller's account."""
    return AccountReply(user=AccountOut.of(await account.myself(ctx)))


@routes.patch("/api/v2/users/me/name", USER)
async def rename_me(ctx: Ctx, body: account.Profile) -> AccountReply:
    """Change the caller's name."""
    return AccountReply(user=AccountOut.of(await account.rename(ctx, body)))


@routes.get("/api/v2/users/me/organizations", USER)
async def list_my_organizations(ctx: Ctx) -> dict[str, Any]:
    """List the organizations the caller is a member of."""
    return {"organizations": [OrganizationOut.of(organization) for organization in await organizations.mine(ctx)]}


@routes.get("/api/v2/users/me/sessions", USER)
async def list_sessions(ctx: Ctx) -> list[SessionOut]:
    """List the caller's live sessions, newest first."""
    return [SessionOut.of(session, ctx.actor.session_id) for session in await account.sessions(ctx)]


@routes.delete("/api/v2/users/me/sessions", USER)
async def end_sessions(ctx: Ctx, query: Keep) -> dict[str, Any]:
    """End all sessions of the caller; with keepCurrent all but this one."""
    ended = await account.end_all(ctx, but_this=query.keep_current)
    return {"message": "Successfully revoked all sessions", "count": ended}


@routes.delete("/api/v2/users/me/sessions/{session_id}", USER)
async def end_session(ctx: Ctx, session_id: str) -> dict[str, str]:
    """End one session of the caller."""
    await account.end(ctx, session_id)
    return {"message": "Successfully revoked session"}


@routes.post("/api/v2/password/user/password-reset", USER)
async def change_password(ctx: Ctx, body: account.ChangePassword) -> dict[str, str]:
    """Change the caller's password; all other sessions end."""
    await account.change_password(ctx, body)
    return {"message": "Successfully changed password"}


@routes.post("/api/v1/password/email/password-reset")
async def ask_password_reset(ctx: Ctx, body: account.AskReset) -> dict[str, str]:
    """Ask for a reset link by mail. The answer is the same for an address that has no account."""
    await account.ask_reset(ctx, body)
    return {"message": "If an account exists with this email, a password reset link has been sent"}


@routes.post("/api/v1/password/reset")
async def reset_password(ctx: Ctx, body: account.Reset) -> dict[str, str]:
    """Set a new password with the token of a reset link; all sessions end."""
    await account.reset(ctx, body)
    return {"message": "Successfully reset password"}


@routes.get("/api/v1/user/me/totp", USER)
async def get_totp(ctx: Ctx) -> MfaCheck:
    """Whether codes of an authenticator are the caller's second factor, and how many recovery codes are left."""
    state = await mfa.state(ctx)
    return MfaCheck(is_verified=state.has_codes, recovery_codes_left=state.recovery_codes_left)


@routes.post("/api/v1/user/me/totp/register", USER)
async def register_totp(ctx: Ctx, body: mfa.PasswordAgain) -> TotpReply:
    """A new secret for an authenticator, and recovery codes, shown once; it counts when a code was verified.

    Asks for the password. There are no new recovery codes for a person who has some with a passkey.
    """
    registered = await mfa.register(ctx, body)
    return TotpReply(
        otp_url=registered.url.reveal(), recovery_codes=[code.reveal() for code in registered.recovery_codes]
    )


@routes.post("/api/v1/user/me/totp/verify", USER)
async def confirm_totp(ctx: Ctx, body: mfa.Code) -> dict[str, str]:
    """Turn the second factor on with a first code; the caller's other sessions end."""
    await mfa.confirm(ctx, body)
    return {"message": "Successfully set up the second factor"}


@routes.post("/api/v1/user/me/totp/recovery-codes", USER)
async def renew_recovery_codes(ctx: Ctx, body: mfa.PasswordAgain) -> RecoveryReply:
    """New recovery codes in place of the old ones, shown once; asks for the password."""
    return RecoveryReply(recovery_codes=[code.reveal() for code in await mfa.renew_recovery_codes(ctx, body)])


@routes.delete("/api/v1/user/me/totp", USER)
async def remove_totp(ctx: Ctx, body: mfa.Removal) -> dict[str, str]:
    """Turn the authenticator off, and with it the second factor unless there is a passkey; asks for the password."""
    await mfa.remove(ctx, body)
    return {"message": "Successfully removed the second factor"}


@routes.post("/api/v2/auth/mfa/verify", USER, PENDING)
async def verify_second_factor(ctx: Ctx, body: mfa.Verify) -> Reply:
    """Verify the second factor of the session.

    The token answered, and those before it, are the person's from now on.
    """
    verified = await mfa.verify(ctx, body)
    return Reply(TokenReply(token=verified.token), cookies=device_cookies(ctx, verified))


@routes.get("/api/v1/admin/user-management/users", USER, IDENTITY)
async def list_users(ctx: Ctx, query: instance_people.PeopleSearch) -> AccountsReply:
    """List all people of the instance. For its administrators."""
    page = await instance_people.find(ctx, query)
    return AccountsReply(users=[AccountOut.of(user) for user in page.items], total_count=page.total)


@routes.patch("/api/v1/admin/user-management/users/{user_id}", USER, IDENTITY)
async def change_user(ctx: Ctx, user_id: str, body: instance_people.ChangeAccount) -> AccountReply:
    """Deactivate an account, whose sessions end at once, or activate it. For administrators of the instance."""
    return AccountReply(user=AccountOut.of(await instance_people.change(ctx, user_id, body)))


@routes.delete("/api/v1/admin/user-management/users/{user_id}", USER, IDENTITY)
async def delete_user(ctx: Ctx, user_id: str) -> AccountReply:
    """Delete an account. For administrators of the instance."""
    return AccountReply(user=AccountOut.of(await instance_people.remove(ctx, user_id)))


@routes.post("/api/v1/admin/user-management/users/{user_id}/password-reset-link", USER, IDENTITY)
async def make_reset_link(ctx: Ctx, user_id: str) -> dict[str, str]:
    """A link with which the person can set a new password, shown once. For administrators of the instance."""
    link = await instance_people.reset_link(ctx, user_id)
    return {"link": link.link, "token": link.token.reveal(), "expiresAt": iso(link.expires_at)}


@routes.delete("/api/v1/admin/user-management/users/{user_id}/mfa", USER, IDENTITY)
async def remove_second_factor(ctx: Ctx, user_id: str) -> AccountReply:
    """Take the second factor of a person away who lost it. For administrators of the instance."""
    return AccountReply(user=AccountOut.of(await instance_people.remove_second_factor(ctx, user_id)))
