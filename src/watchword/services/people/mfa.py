"""The second factor of people: time-based codes (RFC 6238) and recovery codes that work once."""

import base64
import hmac
from collections.abc import Sequence
from typing import Literal
from urllib.parse import quote, urlencode

import msgspec
from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.twofactor.totp import TOTP

from watchword.domain.decode import Trimmed
from watchword.domain.errors import BadRequest, NotFound
from watchword.domain.people.records import Session, User
from watchword.domain.secret import Secret
from watchword.services.access.scopes import require_actor
from watchword.services.context import Ctx
from watchword.services.keys.keyring import PEOPLE
from watchword.services.people import sign_in
from watchword.store.authentication import spent_proofs
from watchword.store.engine import Tx
from watchword.store.people import accounts, passkeys, people

PASSKEY = "webauthn"  # the method of a person whose second factors are passkeys only
STEP = 30  # seconds, RFC 6238 section 4
RECOVERY_CODES = 10
_REFUSED = "The code is not valid, or there were too many failed attempts: try the next code, or again in a few minutes"


class Code(msgspec.Struct, frozen=True, kw_only=True):
    """A code shown by the person's authenticator."""

    totp: Trimmed


class Verify(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A code of the authenticator, or with method `recovery-code` one of the recovery codes."""

    mfa_token: Trimmed
    mfa_method: Literal["totp", "recovery-code", "email"] = "totp"
    email: Trimmed | None = None


class PasswordAgain(msgspec.Struct, frozen=True, kw_only=True):
    """The password again: a stolen session must neither add a factor that outlives it nor lock its owner out."""

    password: Secret


class Removal(msgspec.Struct, frozen=True, kw_only=True):
    """The password again: a stolen session must not be able to take the second factor away."""

    password: Secret


class Enrolment(msgspec.Struct, frozen=True, kw_only=True):
    """A new authenticator: the URL of its QR code, the key in it (base32), and recovery codes; all are shown once.

    There are no codes where the person has some already, from a passkey.
    """

    url: Secret
    key: Secret
    recovery_codes: tuple[Secret, ...]


class State(msgspec.Struct, frozen=True, kw_only=True):
    """The state of a person's second factor; `has_codes` says whether an authenticator's codes are one."""

    is_enabled: bool
    has_codes: bool
    recovery_codes_left: int


def _context(user_id: str) -> str:
    return f"user/{user_id}/totp"


def _recovery_hash(ctx: Ctx, user_id: str, code: str) -> str:
    return _recovery_hashes(ctx, user_id, code)[0]


def _recovery_hashes(ctx: Ctx, user_id: str, code: str) -> list[str]:
    digests = ctx.runtime.keys.digests(f"recovery/{user_id}/{code.replace('-', '').strip().lower()}")
    return [f"{version}:{digest.hex()}" if version > 1 else digest.hex() for version, digest in digests.items()]


def hash_version_of(stored: str) -> int:
    """Return the version of the key that a recovery code is hashed with; version 1 is not written."""
    return int(stored.partition(":")[0]) if ":" in stored else 1


def _new_codes(ctx: Ctx) -> tuple[str, ...]:
    # 60 bits each: far beyond guessing, short enough to be typed.
    raw = [base64.b32encode(ctx.runtime.entropy(8)).decode()[:12].lower() for _ in range(RECOVERY_CODES)]
    return tuple(f"{text[:4]}-{text[4:8]}-{text[8:]}" for text in raw)


async def _person(ctx: Ctx, tx: Tx) -> User:
    person = await people.user(tx, ctx.actor.id)
    if person is None:
        raise NotFound("Your account was deleted meanwhile")
    return person


async def _held(ctx: Ctx, tx: Tx) -> User:
    """The caller, whom nobody else changes until the unit ends."""
    person = await people.held_user(tx, ctx.actor.id)
    if person is None:
        raise NotFound("Your account was deleted meanwhile")
    return person


def _hashed(ctx: Ctx, user_id: str, codes: Sequence[str]) -> str:
    return msgspec.json.encode([_recovery_hash(ctx, user_id, code) for code in codes]).decode()


async def state(ctx: Ctx) -> State:
    """Return the state of the caller's second factor."""
    require_actor(ctx, "user")
    ctx.public("a person may see how its own account stands")
    return await _state(ctx)


async def owed(ctx: Ctx) -> State:
    """Return how the person who owes a second factor can prove it."""
    require_actor(ctx, "user", "pending")
    ctx.public("a person may see how its own account stands")
    return await _state(ctx)


async def _state(ctx: Ctx) -> State:
    async with ctx.view() as tx:
        person = await _person(ctx, tx)
    return State(
        is_enabled=person.mfa_method is not None,
        has_codes=person.mfa_method == "totp",
        recovery_codes_left=len(msgspec.json.decode(person.mfa_recovery, type=list[str])),
    )


async def prove_again(ctx: Ctx, body: PasswordAgain) -> None:
    """Verify the password of a caller who is signed in. Raises Unauthorized, and counts the failure."""
    require_actor(ctx, "user")
    async with ctx.view() as tx:
        person = await _person(ctx, tx)
    await sign_in.prove_password(ctx, person.email, person, body.password)


async def register(ctx: Ctx, body: PasswordAgain) -> Enrolment:
    """Make a secret for the caller's authenticator; it takes effect once a code of it was verified.

    Raises BadRequest when an authenticator is set up already.
    """
    require_actor(ctx, "user")
    ctx.public("a person may protect its own account")
    async with ctx.view() as tx:
        person = await _person(ctx, tx)
    await sign_in.prove_password(ctx, person.email, person, body.password)
    secret, codes = ctx.runtime.entropy(20), _new_codes(ctx)
    async with ctx.unit() as tx:
        person = await _held(ctx, tx)
        if person.mfa_method == "totp":
            raise BadRequest("The second factor is set up already: remove it first")
        sealed = (await ctx.runtime.keys.sealer(tx, PEOPLE)).seal(_context(person.id), secret)
        if person.mfa_method == PASSKEY:
            codes, hashes = (), person.mfa_recovery
        else:
            hashes = _hashed(ctx, person.id, codes)
        await people.change_user(tx, person.id, mfa_secret=sealed, mfa_recovery=hashes, updated_at=ctx.now)
    key = base64.b32encode(secret).decode()
    label, query = quote(f"Watchword:{person.email}"), urlencode({"secret": key, "issuer": "Watchword"})
    return Enrolment(
        url=Secret(f"otpauth://totp/{label}?{query}"),
        key=Secret(key),
        recovery_codes=tuple(Secret(code) for code in codes),
    )


async def confirm(ctx: Ctx, body: Code) -> None:
    """Turn the second factor on with a first valid code. All other sessions end, and this one counts as verified."""
    require_actor(ctx, "user")
    ctx.public("a person may protect its own account")
    async with ctx.view() as tx:
        person = await _person(ctx, tx)
    if person.mfa_method == "totp":
        raise BadRequest("The second factor is set up already")
    await _prove(ctx, person, "totp", body.totp)
    async with ctx.unit() as tx:
        current = await _held(ctx, tx)
        if current.mfa_secret != person.mfa_secret:
            raise BadRequest("The authenticator was set up again meanwhile: enter a code of the new one")
        await people.change_user(tx, person.id, mfa_method="totp", updated_at=ctx.now)
        await accounts.put_session(tx, ctx.actor.session_id, person.id, is_mfa_verified=True)
        await people.remove_sessions(tx, person.id, but=ctx.actor.session_id)
        ctx.audit("enable-user-mfa", userId=person.id, mfaMethod="totp")


async def renew_recovery_codes(ctx: Ctx, body: PasswordAgain) -> tuple[Secret, ...]:
    """Replace all recovery codes; the new ones are shown once."""
    require_actor(ctx, "user")
    ctx.public("a person may protect its own account")
    async with ctx.view() as tx:
        person = await _person(ctx, tx)
    await sign_in.prove_password(ctx, person.email, person, body.password)
    codes = _new_codes(ctx)
    async with ctx.unit() as tx:
        person = await _person(ctx, tx)
        if person.mfa_method is None:
            raise BadRequest("The second factor is not set up")
        await people.change_user(tx, person.id, mfa_recovery=_hashed(ctx, person.id, codes), updated_at=ctx.now)
        ctx.audit("renew-user-recovery-codes", userId=person.id)
    return tuple(Secret(code) for code in codes)


async def remove(ctx: Ctx, body: Removal) -> None:
    """Turn the codes of the caller's authenticator off, and with them the second factor unless there is a passkey."""
    require_actor(ctx, "user")
    ctx.public("a person may change its own account")
    async with ctx.view() as tx:
        person = await _person(ctx, tx)
    await sign_in.prove_password(ctx, person.email, person, body.password)
    async with ctx.unit() as tx:
        person = await _held(ctx, tx)
        if await passkeys.of_user(tx, person.id):
            await people.change_user(tx, person.id, mfa_method=PASSKEY, mfa_secret=None, updated_at=ctx.now)
        else:
            await erase(ctx, tx, person.id)
        ctx.audit("disable-user-mfa", userId=person.id)


async def begin_with_passkey(ctx: Ctx, tx: Tx, person: User) -> tuple[str, ...]:
    """Turn the second factor on with a first passkey, in the open unit; return the recovery codes.

    All other sessions end, and this one counts as verified.
    """
    codes = _new_codes(ctx)
    hashes = _hashed(ctx, person.id, codes)
    await people.change_user(
        tx, person.id, mfa_method=PASSKEY, mfa_secret=None, mfa_recovery=hashes, updated_at=ctx.now
    )
    await accounts.put_session(tx, ctx.actor.session_id, person.id, is_mfa_verified=True)
    await people.remove_sessions(tx, person.id, but=ctx.actor.session_id)
    ctx.audit("enable-user-mfa", userId=person.id, mfaMethod=PASSKEY)
    return codes


async def erase(ctx: Ctx, tx: Tx, user_id: str) -> None:
    """Remove a person's second factor in the open unit: authenticator, passkeys and recovery codes."""
    await passkeys.remove_all(tx, user_id)
    await people.change_user(tx, user_id, mfa_method=None, mfa_secret=None, mfa_recovery="[]", updated_at=ctx.now)


async def verify(ctx: Ctx, body: Verify, *, renews: bool = False) -> sign_in.SignedIn:
    """Verify the second factor of a session: from here on its tokens have the person's rights.

    The new token is for the organization that was chosen. `renews`: a new session takes the place of this one, so that
    whoever knows the token from before the second factor has nothing.
    """
    actor = require_actor(ctx, "pending", "user")
    ctx.public("the code proves who is calling")
    async with ctx.view() as tx:
        person = await _person(ctx, tx)
    if person.mfa_method is None:
        raise BadRequest("The account has no second factor")
    if body.mfa_method == "email":
        raise BadRequest("Codes by e-mail are not offered: use the authenticator or a recovery code")
    if body.mfa_method == "totp" and person.mfa_method != "totp":
        raise BadRequest("The account has no authenticator: use a recovery code, or a passkey in the console")
    await _prove(ctx, person, body.mfa_method, body.mfa_token)
    async with ctx.unit() as tx:
        session = await verified_session(ctx, tx, person, renews=renews)
        ctx.audit("verify-user-mfa", org_id=actor.org_id, userId=person.id, mfaMethod=body.mfa_method)
    token = sign_in.sign(ctx, session, actor.org_id or session.org_id)
    return sign_in.SignedIn(session=session, token=token, device=sign_in.device_of(ctx, person.email))


async def verified_session(ctx: Ctx, tx: Tx, person: User, *, renews: bool) -> Session:
    """The caller's session as one with a verified second factor, or a new one in its place, in the open unit."""
    before = await sign_in.own_session(ctx, tx)
    if renews:
        await people.remove_session(tx, before)
        return await sign_in.new_session(ctx, tx, person, org_id=before.org_id, verified=True)
    await accounts.put_session(tx, before.id, person.id, is_mfa_verified=True, last_used_at=ctx.now)
    return await sign_in.own_session(ctx, tx)


async def _prove(ctx: Ctx, person: User, method: str, code: str) -> None:
    """Raise Unauthorized unless the code is valid now and was not used before.

    Wrong codes are counted: six digits can be guessed.
    """
    device = sign_in.known_device(ctx, person.email)
    # Six digits can be guessed from many addresses at once, so all unknown devices share one count.
    key = f"mfa/{person.id}/{device}" if device else f"mfa/{person.id}"
    async with ctx.view() as tx:
        until = await accounts.locked_until(tx, key)
    locked = until > ctx.now
    right = not locked and await (
        _use_totp(ctx, person, code) if method == "totp" else _use_recovery(ctx, person, code)
    )
    if not right:
        await sign_in.note_failure(ctx, key, person, "locked_out" if locked else "wrong_code", method="second-factor")
        raise sign_in.refused(_REFUSED, ctx.now, until)
    async with ctx.unit() as tx:
        until = await accounts.locked_until(tx, key)
        if until > ctx.now:
            raise sign_in.refused(_REFUSED, ctx.now, until)
        await accounts.clear_failures(tx, key)


async def _use_totp(ctx: Ctx, person: User, code: str) -> bool:
    if person.mfa_secret is None:
        raise BadRequest("Set the second factor up first")
    async with ctx.view() as tx:
        secret = (await ctx.runtime.keys.sealer(tx, PEOPLE)).open(_context(person.id), person.mfa_secret)
    generator = TOTP(secret, 6, SHA1(), STEP)  # noqa: S303 - what authenticators speak; HMAC-SHA1 is not broken
    now = ctx.now // 1000
    # One step to either side for clocks that differ (RFC 6238, section 5.2); and each code once, so that an observed
    # one is worthless.
    for moment in (now, now - STEP, now + STEP):
        if hmac.compare_digest(generator.generate(moment), code.replace(" ", "").encode(errors="replace")):
            spent = spent_proofs.ProofSpent(f"totp/{person.id}/{moment // STEP}", ctx.now + 4 * STEP * 1000)
            return bool(await ctx.submit(spent))
    return False


async def _use_recovery(ctx: Ctx, person: User, code: str) -> bool:
    left: list[str] = msgspec.json.decode(person.mfa_recovery, type=list[str])
    possible = _recovery_hashes(ctx, person.id, code)
    if person.mfa_method is None or not any(hmac.compare_digest(stored, used) for stored in left for used in possible):
        return False
    after = msgspec.json.encode([stored for stored in left if stored not in possible]).decode()
    async with ctx.unit() as tx:
        return await accounts.replace_recovery(tx, person.id, person.mfa_recovery, after)
