"""The own account of a signed-in person: profile, sessions, password."""

import asyncio
import logging
from typing import Annotated

import msgspec

from watchword.domain.decode import Trimmed
from watchword.domain.errors import BadRequest, NotFound, Unauthorized
from watchword.domain.outbound import OutboundError
from watchword.domain.people.emails import normalised
from watchword.domain.people.records import OneTimeToken, Session, User
from watchword.domain.secret import Secret
from watchword.services.access.scopes import require_actor
from watchword.services.context import Ctx
from watchword.services.people import passwords, sign_in
from watchword.store.engine import Tx
from watchword.store.people import accounts, administrators, people

RESET = "password-reset"
RESET_TTL = 3600  # seconds
_BETWEEN_MAILS = 60  # seconds
_log = logging.getLogger("watchword.people")
_mails: set[asyncio.Task[None]] = set()


class Profile(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The name of a person."""

    first_name: Annotated[str, msgspec.Meta(max_length=255, extra={"trim": True})]
    last_name: Annotated[str, msgspec.Meta(max_length=255, extra={"trim": True})] = ""


class ChangePassword(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The old password and the new one."""

    old_password: Secret
    new_password: Secret


class AskReset(msgspec.Struct, frozen=True, kw_only=True):
    """The address of a person who has forgotten the password."""

    email: Trimmed


class Reset(msgspec.Struct, frozen=True, kw_only=True):
    """The token of a reset link, and the new password."""

    token: Secret
    password: Secret


class ResetLink(msgspec.Struct, frozen=True, kw_only=True):
    """A link with which a password can be set, once, until it expires (ms)."""

    token: Secret
    link: str
    expires_at: int


async def myself(ctx: Ctx) -> User:
    """Return the caller, a person."""
    actor = require_actor(ctx, "user")
    ctx.public("a person may see its own account")
    async with ctx.view() as tx:
        person = await people.user(tx, actor.id)
    if person is None:
        raise Unauthorized("The session has ended: sign in again")
    return person


async def rename(ctx: Ctx, body: Profile) -> User:
    """Change the caller's name."""
    actor = require_actor(ctx, "user")
    ctx.public("a person may change its own name")
    async with ctx.unit() as tx:
        await people.change_user(tx, actor.id, first_name=body.first_name, last_name=body.last_name, updated_at=ctx.now)
        ctx.audit("update-user", userId=actor.id)
    return await myself(ctx)


async def sessions(ctx: Ctx) -> list[Session]:
    """List the caller's live sessions, newest first."""
    actor = require_actor(ctx, "user")
    ctx.public("a person may see its own sessions")
    async with ctx.view() as tx:
        return [session for session in await people.sessions_of(tx, actor.id) if session.expires_at > ctx.now]


async def end(ctx: Ctx, session_id: str) -> Session:
    """End one of the caller's sessions. Raises NotFound, for other people's sessions too."""
    actor = require_actor(ctx, "user")
    ctx.public("a person may end its own sessions")
    async with ctx.unit() as tx:
        session = await people.session(tx, session_id)
        if session is None or session.user_id != actor.id:
            raise NotFound("There is no such session")
        await people.remove_session(tx, session)
        ctx.audit("revoke-user-session", userId=actor.id, sessionId=session.id)
    return session


async def end_all(ctx: Ctx, *, but_this: bool = False) -> int:
    """End the caller's sessions; return how many."""
    actor = require_actor(ctx, "user")
    ctx.public("a person may end its own sessions")
    async with ctx.unit() as tx:
        ended = await people.remove_sessions(tx, actor.id, but=actor.session_id if but_this else "")
        ctx.audit("revoke-user-sessions", userId=actor.id, sessions=ended)
    return ended


async def change_password(ctx: Ctx, body: ChangePassword) -> None:
    """Set a new password with the old one; all other sessions end. A wrong old one counts as a failed login."""
    require_actor(ctx, "user")
    person = await myself(ctx)
    await passwords.require_usable(body.new_password, "newPassword", own=own_words(person))
    await sign_in.prove_password(ctx, person.email, person, body.old_password)
    hashed = await ctx.runtime.passwords.hashed(body.new_password)
    async with ctx.unit() as tx:
        await _set_password(ctx, tx, person, hashed, keep=ctx.actor.session_id)
        ctx.audit("change-user-password", userId=person.id)


def own_words(person: User) -> tuple[str, ...]:
    """Return the words of a person that its password must not be built from."""
    return (person.email, person.first_name, person.last_name)


async def _set_password(ctx: Ctx, tx: Tx, person: User, password_hash: str, *, keep: str = "") -> None:
    await people.change_user(tx, person.id, password_hash=password_hash, updated_at=ctx.now)
    await people.remove_sessions(tx, person.id, but=keep)
    key = sign_in.password_failures(ctx, person.email)
    await accounts.clear_failures(tx, key)
    ctx.runtime.guesses.forget(key)


async def ask_reset(ctx: Ctx, body: AskReset) -> None:
    """Mail a reset link to a person who has forgotten the password.

    The answer is the same for every address, so that it does not tell which accounts exist.
    """
    ctx.public("who has forgotten a password cannot sign in")
    if not ctx.runtime.mailer.is_configured:
        raise BadRequest("No mail server is configured: ask an administrator of the instance for a reset link")
    ctx.runtime.limits.failed_sign_ins.require(ctx.address)
    ctx.runtime.limits.failed_sign_ins.take(ctx.address)  # each may be a mail
    async with ctx.view() as tx:
        person = await people.user_by_email(tx, normalised(body.email))
        waiting = await accounts.one_time_tokens(tx, person.id, RESET) if person else []
    recent = ctx.now + (RESET_TTL - _BETWEEN_MAILS) * 1000
    if person is None or not person.is_active or any(link_token.expires_at > recent for link_token in waiting):
        return
    reset = await reset_link(ctx, person)
    # Waiting for the mail server here would tell that the address exists.
    mail = asyncio.create_task(_mail(ctx, person.email, reset.link))
    _mails.add(mail)
    mail.add_done_callback(_mails.discard)


async def _mail(ctx: Ctx, to: str, link: str) -> None:
    text = (
        "Somebody asked to reset the password of your Watchword account.\n\nTo choose a new one, open "
        f"{link}\n\nIf it was not you, do nothing.\n"
    )
    try:
        await ctx.runtime.mailer.send(to, "Reset your password", text)
    except OutboundError as error:
        _log.warning("a reset mail could not be sent", exc_info=error)


async def reset_link(ctx: Ctx, person: User, *, given_by: str | None = None) -> ResetLink:
    """Make a reset link for a person, in place of all earlier ones. The calling code has asked for permission."""
    token = Secret(f"wwr_{ctx.runtime.entropy(32).hex()}")
    record = OneTimeToken(
        id=ctx.new_id(),
        user_id=person.id,
        purpose=RESET,
        token_hash=ctx.runtime.keys.digest(token.reveal()),
        hash_version=ctx.runtime.keys.hash_version,
        expires_at=ctx.now + RESET_TTL * 1000,
        given_by=given_by,
    )
    async with ctx.unit() as tx:
        await accounts.put_one_time_token(tx, record)
        ctx.audit("create-password-reset-link", userId=person.id)
    link = f"{ctx.runtime.settings.site_url.rstrip('/')}/password-reset?token={token.reveal()}"
    return ResetLink(token=token, link=link, expires_at=record.expires_at)


async def reset(ctx: Ctx, body: Reset) -> None:
    """Set a new password with the token of a reset link, once. All sessions end; a second factor stays.

    An administrator's link is invalid once that person does not administer the instance any more.
    """
    ctx.public("the token proves who is calling")
    digests = ctx.runtime.keys.digests(body.token.reveal()).values()
    async with ctx.view() as tx:
        record = await accounts.one_time_token(tx, digests, RESET)
        person = await people.user(tx, record.user_id) if record else None
    if record is None or person is None or record.expires_at <= ctx.now:
        raise Unauthorized("The reset link is not valid any more: ask for a new one")
    await passwords.require_usable(body.password, own=own_words(person))
    hashed = await ctx.runtime.passwords.hashed(body.password)
    async with ctx.unit() as tx:
        if not await accounts.take_one_time_token(tx, record.id):
            raise Unauthorized("The reset link was used meanwhile")
        if record.given_by is not None and not await administrators.stands(tx, record.given_by, ctx.now):
            raise Unauthorized("The reset link is not valid any more: ask for a new one")
        await _set_password(ctx, tx, person, hashed)
        ctx.audit("reset-user-password", userId=person.id)
