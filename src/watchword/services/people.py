"""People: signing in, choosing an organization, signing out (contract 3.35)."""

from typing import Annotated

import msgspec

from watchword.domain.actor import Actor
from watchword.domain.decode import Trimmed
from watchword.domain.errors import Forbidden, Unauthorized
from watchword.domain.model.people import Session, User
from watchword.domain.secret import Secret
from watchword.domain.tokens import PERSON, PersonClaims
from watchword.services import passwords
from watchword.services.access import require_actor
from watchword.services.context import Ctx
from watchword.store import access, audit, people

Email = Annotated[str, msgspec.Meta(min_length=3, max_length=255, pattern=r"^\s*[^@\s]+@[^@\s]+\s*$", extra={"trim": True})]


class Login(msgspec.Struct, frozen=True, kw_only=True):
    """An e-mail address and a password."""

    email: Trimmed
    password: Secret


class SelectOrganization(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The organization the session is for."""

    organization_id: Trimmed


async def login(ctx: Ctx, given: Login) -> str:
    """A session token, not yet in an organization. A wrong address and a wrong password answer and take the same."""
    ctx.public("a login proves who is calling")
    async with ctx.view() as tx:
        person = await people.user_by_email(tx, given.email)
    right = await passwords.matches(given.password, person.password_hash if person else None)
    if person is None or not right or not person.is_active:
        raise Unauthorized("Invalid email or password")
    return await open_session(ctx, person)


async def open_session(ctx: Ctx, person: User) -> str:
    """A new session of a person, and its token."""
    settings = ctx.house.settings
    session = Session(
        id=ctx.new_id(), user_id=person.id, address=ctx.address or "", user_agent=ctx.user_agent[:500], created_at=ctx.now,
        last_used_at=ctx.now, expires_at=ctx.now + settings.session_ttl * 1000,
    )  # fmt: skip
    actor = Actor(kind="user", id=person.id, email=person.email)
    async with ctx.unit() as tx:
        await people.add_session(tx, session)
        await audit.add(tx, [ctx.event("login-user", {"userId": person.id, "sessionId": session.id}, actor=actor)])
    return sign(ctx, session, None)


def sign(ctx: Ctx, session: Session, org_id: str | None) -> str:
    """The token of a session, for an organization or none yet."""
    seconds = ctx.now // 1000
    claims = PersonClaims(
        auth_token_type=PERSON, user_id=session.user_id, token_version_id=session.id, organization_id=org_id, iat=seconds,
        exp=session.expires_at // 1000, serial=ctx.new_id()[-12:],
    )  # fmt: skip
    return ctx.house.keys.signer.sign(claims)


async def select_organization(ctx: Ctx, given: SelectOrganization) -> str:
    """A token of the same session, for one organization the person is a member of."""
    actor = require_actor(ctx, "user")
    async with ctx.view() as tx:
        member = await access.org_membership(tx, "user", actor.id, given.organization_id)
        session = await people.session(tx, actor.session_id)
    if member is None or not member.is_active:
        raise Forbidden("You are not a member of this organization")
    if session is None:
        raise Unauthorized("The session has ended: sign in again")
    return sign(ctx, session, given.organization_id)


async def logout(ctx: Ctx) -> None:
    """End the caller's session: its tokens are dead everywhere at once."""
    actor = require_actor(ctx, "user")
    ctx.public("anybody may end their own session")
    async with ctx.unit() as tx:
        session = await people.session(tx, actor.session_id)
        if session is not None:
            await people.remove_session(tx, session)
