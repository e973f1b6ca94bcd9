"""People sign in, choose an organization, and sign out.

    password ──> session ──> (second factor, where the person has one) ──> an organization

Wrong passwords are counted by account name and caller address, whether the account exists or not, and every refusal
reads the same, so that a login does not tell which accounts exist. Nothing is stored about an account that does not
exist. A device on which the person has signed in before is counted by itself, and an address that was never wrong comes
before those that were: so no stranger can lock a person out.
"""

import base64
import hmac
from typing import Annotated

import msgspec

from watchword.domain.actor import Actor
from watchword.domain.audit.records import Denial
from watchword.domain.authentication.tokens import PERSON, PersonClaims
from watchword.domain.bounds import address_prefix
from watchword.domain.decode import Trimmed
from watchword.domain.errors import Forbidden, TooManyRequests, Unauthorized
from watchword.domain.people.emails import normalised
from watchword.domain.people.records import Session, User
from watchword.domain.secret import Secret
from watchword.services.access.scopes import organization, require_actor
from watchword.services.authentication.bearer import notice_ended_keys
from watchword.services.context import Ctx
from watchword.store.access import grants
from watchword.store.audit import events
from watchword.store.engine import Tx
from watchword.store.people import accounts, people

Email = Annotated[
    str,
    msgspec.Meta(
        min_length=3,
        max_length=255,
        pattern=r"^\s*[^@\s]+@[^@\s]+\s*$",
        extra={"trim": True},
        description="An e-mail address, such as ada@example.com.",
    ),
]
REFUSED = "Invalid email or password, or too many failed attempts: check them and try again in a few minutes"
REFRESH_COOKIE = "jid"


class SignIn(msgspec.Struct, frozen=True, kw_only=True):
    """An e-mail address and a password."""

    email: Trimmed
    password: Secret


class SelectOrganization(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The organization the session is for."""

    organization_id: Trimmed


class SignedIn(msgspec.Struct, frozen=True, kw_only=True):
    """A session and its token; `mfa_method` names the second factor that must still be verified.

    `device` is the name and value of the cookie by which this device is recognized the next time; None before the
    second factor.
    """

    session: Session
    token: str
    mfa_method: str | None = None
    device: tuple[str, str] | None = None


def _device_cookie(ctx: Ctx, email: str) -> str:
    """Return the name of the cookie of a person's device: several people may share a browser.

    Over TLS no other host can set it (RFC 6265bis).
    """
    name = "wwd-" + ctx.runtime.keys.digest(f"device-name/{normalised(email)}").hex()[:12]
    return f"__Host-{name}" if ctx.is_secure else name


def _device_proof(ctx: Ctx, email: str, device_id: str) -> str:
    return ctx.runtime.keys.digest(f"device/{normalised(email)}/{device_id}").hex()


def known_device(ctx: Ctx, email: str) -> str | None:
    """Return the id of the device that the request comes from, if this person has signed in on it before."""
    device_id, _, proof = ctx.cookie(_device_cookie(ctx, email)).partition(".")
    is_known = bool(proof) and hmac.compare_digest(proof.encode(), _device_proof(ctx, email, device_id).encode())
    return device_id if is_known else None


def device_of(ctx: Ctx, email: str) -> tuple[str, str]:
    """Return the cookie by which this device is recognized from now on.

    It holds a keyed hash, so that nothing need be stored and no client can forge it.
    """
    device_id = known_device(ctx, email) or ctx.runtime.entropy(12).hex()
    return _device_cookie(ctx, email), f"{device_id}.{_device_proof(ctx, email, device_id)}"


def password_failures(ctx: Ctx, email: str) -> str:
    """Return the key under which wrong passwords are counted: by the known device, else by address (IPv6: its /64).

    So no stranger can lock a person out: strangers have other addresses, and where they share one, the device is known.
    """
    device = known_device(ctx, email)
    counted_as = f"device/{device}" if device else f"address/{address_prefix(ctx.address)}"
    return password_failures_of(ctx, email) + ctx.runtime.keys.digest(f"person/{normalised(email)}/{counted_as}").hex()


def password_failures_of(ctx: Ctx, email: str) -> str:
    """Return the prefix of all keys under which wrong passwords for a person are counted."""
    return f"password/{ctx.runtime.keys.digest(f'person/{normalised(email)}').hex()}/"


async def login(ctx: Ctx, body: SignIn) -> SignedIn:
    """Open a session, not yet in an organization. An unknown address and a wrong password are answered alike."""
    ctx.public("a login proves who is calling")
    async with ctx.view() as tx:
        person = await people.user_by_email(tx, normalised(body.email))
    return await open_session(ctx, await prove_password(ctx, body.email, person, body.password))


async def prove_password(ctx: Ctx, email: str, person: User | None, password: Secret) -> User:
    """Verify a person's password; return the person.

    Raises Unauthorized, and counts the failure; TooManyRequests when too many sign in at the same time.
    """
    key = password_failures(ctx, email)
    is_stranger = not known_device(ctx, email) and ctx.actor.kind != "user"
    strangers = f"{password_failures_of(ctx, email)}strangers" if is_stranger else ""
    if is_stranger:
        ctx.runtime.limits.failed_sign_ins.require(ctx.address)
    async with ctx.view() as tx:
        until = await accounts.waits_until(tx, key, strangers, ctx.now)
    # The answer shows only what this process counted, because it counts unknown accounts as well. While it shows a
    # wait, no password is checked.
    seen = ctx.runtime.guesses.waits_until(key, strangers, ctx.now)
    until, shown = (until, min(until, seen)) if person is not None else (seen, seen)
    may = person is not None and until <= ctx.now
    right = shown <= ctx.now and await _matches(
        ctx, password, person.password_hash if person and may else None, is_stranger
    )
    if person is None or not right or not person.is_active:
        ctx.runtime.guesses.count(key, strangers, ctx.now)
        # A password that was not checked does not count: a caller who waits because of others has done nothing wrong.
        reason = "wrong_password" if person is None or may else "locked_out"
        await note_failure(ctx, key if may else "", person, reason, strangers=strangers if may else "")
        raise refused(REFUSED, ctx.now, shown)
    return person


async def _matches(ctx: Ctx, password: Secret, stored: str | None, is_stranger: bool) -> bool:
    """Whether the password is the stored one. Raises TooManyRequests, which counts against a stranger's address."""
    if not is_stranger:
        return await ctx.runtime.passwords.matches(password, stored, counted_as=None)
    tried = ctx.runtime.guesses.of_address(ctx.address, ctx.now)
    try:
        return await ctx.runtime.passwords.matches(
            password, stored, counted_as=address_prefix(ctx.address), tried=tried
        )
    except TooManyRequests:
        ctx.runtime.guesses.count_address(ctx.address, ctx.now, sent_away=1)
        raise


def refused(message: str, now: int, until: int) -> Unauthorized:
    """Make the refusal of a person's proof, with the time to wait where there is one."""
    refusal = Unauthorized(message)
    if until > now:
        refusal.retry_after = max(1, -(-(until - now) // 1000))
    return refusal


async def note_failure(
    ctx: Ctx, key: str, person: User | None, reason: str, *, method: str = "password", strangers: str = ""
) -> None:
    """Count a wrong proof durably, charge it to the address and audit it; equal ones within a minute are one event."""
    ctx.runtime.limits.failed_sign_ins.take(ctx.address)
    ctx.runtime.guesses.count_address(ctx.address, ctx.now, wrong=1)
    actor = Actor(kind="user", id=person.id, email=person.email) if person else ctx.actor
    facts = {"userId": person.id if person else None, "reasonCode": reason}
    event = ctx.event("login-user-failed", facts, actor=actor) if person else None
    denial = Denial(
        request_id=ctx.request_id or ctx.new_id(),
        at=ctx.now,
        method=method,
        reason=reason,
        message=REFUSED,
        facts={"userId": person.id} if person else {},
        checks=(),
        address=ctx.address,
        user_agent=ctx.user_agent,
    )
    write = ctx.runtime.refusals.take(denial, event, whose=f"user/{person.id}" if person else "")
    try:
        failed = accounts.ProofFailed(
            key=key, strangers=strangers, at=ctx.now, event=write.event, denial=write.denial, again=write.again
        )
        await ctx.submit(failed)
    except BaseException:
        ctx.runtime.refusals.forget(write)
        raise


async def open_session(ctx: Ctx, person: User) -> SignedIn:
    """Open a session of a person, and sign its token."""
    key = password_failures(ctx, person.email)
    await notice_ended_keys(ctx)
    async with ctx.unit() as tx:
        # The password may have been changed while it was verified, which ended all sessions: it must end this one too.
        current = await people.held_user(tx, person.id)
        if current is None or not current.is_active or current.password_hash != person.password_hash:
            raise Unauthorized(REFUSED)
        # Guesses from this device or address may have been counted while this password was verified.
        until = await accounts.locked_until(tx, key)
        if until <= ctx.now:
            await accounts.clear_failures(tx, key)
            session = await new_session(ctx, tx, person)
    if until > ctx.now:
        await note_failure(ctx, key, person, "locked_out")
        raise refused(REFUSED, ctx.now, until)
    ctx.runtime.guesses.forget(key)
    device = None if person.mfa_method else device_of(ctx, person.email)
    return SignedIn(session=session, token=sign(ctx, session, None), mfa_method=person.mfa_method, device=device)


async def new_session(ctx: Ctx, tx: Tx, person: User, *, org_id: str | None = None, verified: bool = False) -> Session:
    """Store a session of a person in the open unit."""
    session = Session(
        id=ctx.new_id(),
        user_id=person.id,
        address=ctx.address or "",
        user_agent=ctx.user_agent,
        org_id=org_id,
        is_mfa_verified=verified,
        created_at=ctx.now,
        last_used_at=ctx.now,
        expires_at=ctx.now + ctx.runtime.settings.session_ttl * 1000,
    )
    await people.add_session(tx, session)
    actor = Actor(kind="user", id=person.id, email=person.email)
    await events.add(
        tx, [ctx.event("login-user", {"userId": person.id, "sessionId": session.id}, org_id=org_id, actor=actor)]
    )
    return session


def sign(ctx: Ctx, session: Session, org_id: str | None) -> str:
    """Sign a token of a session, for an organization or for none yet."""
    seconds = ctx.now // 1000
    claims = PersonClaims(
        auth_token_type=PERSON,
        user_id=session.user_id,
        token_version_id=session.id,
        organization_id=org_id,
        is_mfa_verified=session.is_mfa_verified,
        iat=seconds,
        exp=session.expires_at // 1000,
        serial=ctx.new_id()[-12:],
    )
    return ctx.runtime.keys.signer.sign(claims)


async def own_session(ctx: Ctx, tx: Tx) -> Session:
    """Return the session of the caller, a person. Raises Unauthorized when it ended meanwhile."""
    session = await people.session(tx, ctx.actor.session_id)
    if session is None:
        raise Unauthorized("The session has ended: sign in again")
    return session


async def select_organization(ctx: Ctx, body: SelectOrganization) -> SignedIn:
    """Sign a token of the same session for one organization that the person is a member of.

    Before a required second factor the token is good for nothing but verifying it.
    """
    actor = require_actor(ctx, "user", "pending")
    ctx.public("a person may enter where it is a member")
    async with ctx.view() as tx:
        member = await grants.org_membership(tx, "user", actor.id, body.organization_id)
    if member is None or not member.is_active:
        raise Forbidden("You are not a member of this organization")
    pending = actor.kind == "pending"
    if not pending and not actor.is_mfa_verified and (await organization(ctx, body.organization_id)).requires_mfa:
        raise Forbidden("This organization requires a second factor: set one up in your account and sign in again")
    async with ctx.unit() as tx:
        session = await own_session(ctx, tx)
        await accounts.put_session(tx, session.id, actor.id, org_id=body.organization_id, last_used_at=ctx.now)
        person = await people.user(tx, actor.id)
    method = person.mfa_method if person and pending else None
    return SignedIn(session=session, token=sign(ctx, session, body.organization_id), mfa_method=method)


async def open_for_command(ctx: Ctx, org_id: str) -> SignedIn:
    """Open a session of its own for a command on the caller's machine, and sign its token for an organization.

    It can be ended alone, and counts as verified by a second factor where the caller's session is.
    """
    actor = require_actor(ctx, "user")
    ctx.public("a person may enter where it is a member")
    async with ctx.view() as tx:
        member = await grants.org_membership(tx, "user", actor.id, org_id)
    if member is None or not member.is_active:
        raise Forbidden("You are not a member of this organization")
    if not actor.is_mfa_verified and (await organization(ctx, org_id)).requires_mfa:
        raise Forbidden("This organization requires a second factor: set one up in your account and sign in again")
    async with ctx.unit() as tx:
        await own_session(ctx, tx)
        person = await people.held_user(tx, actor.id)
        if person is None or not person.is_active:
            raise Unauthorized("The session has ended: sign in again")
        session = await new_session(ctx, tx, person, org_id=org_id, verified=actor.is_mfa_verified)
    return SignedIn(session=session, token=sign(ctx, session, org_id))


def refresh_value(ctx: Ctx, session_id: str) -> str:
    """Return the value of the refresh cookie of a session.

    It holds a keyed hash, so that nothing need be stored and no client can forge it.
    """
    return _cookie_with(session_id, ctx.runtime.keys.digest(f"refresh/{session_id}"))


def _cookie_with(session_id: str, proof: bytes) -> str:
    return f"{session_id}.{base64.urlsafe_b64encode(proof).rstrip(b'=').decode()}"


async def _is_own_cookie(ctx: Ctx, value: str, session_id: str) -> bool:
    await notice_ended_keys(ctx)
    proofs = ctx.runtime.keys.digests(f"refresh/{session_id}")
    return any(
        hmac.compare_digest(value.encode(), _cookie_with(session_id, proof).encode()) for proof in proofs.values()
    )


async def refresh(ctx: Ctx) -> SignedIn:
    """Sign a new token of the session of the refresh cookie, for the organization that was chosen last."""
    ctx.public("the cookie proves who is calling")
    value = ctx.cookie(REFRESH_COOKIE)
    session_id = value.partition(".")[0]
    if not value or not await _is_own_cookie(ctx, value, session_id):
        raise Unauthorized("There is no session to refresh: sign in again")
    async with ctx.view() as tx:
        session = await people.session(tx, session_id)
        person = await people.user(tx, session.user_id) if session else None
    if session is None or person is None or not person.is_active or session.expires_at <= ctx.now:
        raise Unauthorized("The session has ended: sign in again")
    return SignedIn(session=session, token=sign(ctx, session, session.org_id))


async def logout(ctx: Ctx) -> None:
    """End the caller's session: its tokens are invalid everywhere at once."""
    actor = require_actor(ctx, "user", "pending")
    ctx.public("anybody may end their own session")
    async with ctx.unit() as tx:
        session = await people.session(tx, actor.session_id)
        if session is not None:
            await people.remove_session(tx, session)


def refuse_srp() -> None:
    """Raise Unauthorized in the words for a wrong password: the old two-step protocol is not supported.

    The command falls back to it after a wrong password, and shows what it is answered here.
    """
    raise Unauthorized(REFUSED)
