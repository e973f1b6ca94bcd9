"""Passkeys (WebAuthn level 3): as a second factor, and alone instead of password and second factor.

    add      password again (or another passkey) ──> challenge of this session ──> the browser's answer ──> stored
    use      challenge of this session, or of this browser ──> signature ──> verified session

A challenge is random, says when it was made and is signed with the instance's hash key, bound to its purpose and to the
session or the browser, and works once. So any process may judge it, and nothing is stored about one that is not
answered. What an authenticator says about itself (attestation) is not asked for.
"""

import asyncio
import base64
import binascii
import hmac
import json
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final, Literal, NoReturn, cast

import msgspec

from watchword.domain.errors import BadRequest, Invalid, NotFound, Unauthorized
from watchword.domain.people import webauthn
from watchword.domain.people.records import Passkey, User
from watchword.domain.secret import Secret
from watchword.services.access.scopes import require_actor
from watchword.services.authentication.bearer import notice_ended_keys
from watchword.services.context import Ctx
from watchword.services.people import mfa, sign_in
from watchword.store.authentication import spent_proofs
from watchword.store.engine import AlreadyThere
from watchword.store.people import passkeys, people

REFUSED: Final = "The passkey was not accepted: try it again, or sign in another way"
_TOO_LATE: Final = "That took too long, or was answered before: try it again"
_NOT_HERE: Final = (
    "Passkeys work where this server has a name and TLS, or on localhost: set WATCHWORD_SITE_URL to its https address"
)
_PREFIX: Final = 8 + 16  # bytes of a challenge before its signature: when it was made, and what nobody can guess
_PRESENT_FOR: Final = 2 * webauthn.CHALLENGE_FOR  # milliseconds for which an answered challenge is remembered
Purpose = Literal["add", "again", "second-factor", "sign-in"]


class AddPasskey(msgspec.Struct, frozen=True, kw_only=True):
    """A new passkey: its name, and what the browser answered (RegistrationResponseJSON)."""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=64, extra={"trim": True})]
    credential: Annotated[str, msgspec.Meta(max_length=webauthn.MOST_ANSWER)]


class UsePasskey(msgspec.Struct, frozen=True, kw_only=True):
    """What the browser answered (AuthenticationResponseJSON)."""

    credential: Annotated[str, msgspec.Meta(max_length=webauthn.MOST_ANSWER)]


class RenamePasskey(msgspec.Struct, frozen=True, kw_only=True):
    """Another name of a passkey."""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=64, extra={"trim": True})]


class Added(msgspec.Struct, frozen=True, kw_only=True):
    """A new passkey. With a person's first second factor come recovery codes, shown once."""

    passkey: Passkey
    recovery_codes: tuple[Secret, ...] = ()


def party(ctx: Ctx, here: str) -> webauthn.Party | None:
    """The site that passkeys are for; `here` is the origin that the request names. None where there can be none."""
    return webauthn.party_of(ctx.runtime.settings.site_url, here)


def _required(ctx: Ctx, here: str) -> webauthn.Party:
    found = party(ctx, here)
    if found is None:
        raise BadRequest(_NOT_HERE)
    return found


async def mine(ctx: Ctx) -> Sequence[Passkey]:
    """List the passkeys of the caller, or of the person who owes a second factor."""
    actor = require_actor(ctx, "user", "pending")
    ctx.public("a person may see its own passkeys")
    async with ctx.view() as tx:
        return await passkeys.of_user(tx, actor.id)


async def is_any(ctx: Ctx) -> bool:
    """Whether anybody could sign in with a passkey: before that no page offers it."""
    ctx.public("the sign-in offers what there is")
    async with ctx.view() as tx:
        return await passkeys.is_any(tx)


# --- challenges


def _signed(purpose: Purpose, bound: str, prefix: bytes) -> str:
    return f"passkey-challenge/{purpose}/{bound}/{prefix.hex()}"


def _challenge(ctx: Ctx, purpose: Purpose, bound: str) -> str:
    prefix = ctx.now.to_bytes(8, "big") + ctx.runtime.entropy(_PREFIX - 8)
    return _text(prefix + ctx.runtime.keys.digest(_signed(purpose, bound, prefix)))


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _bytes(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


async def _require_own_challenge(ctx: Ctx, purpose: Purpose, bound: str, challenge: bytes) -> None:
    """Raise Unauthorized unless this server made the challenge for this purpose and caller, a short time ago."""
    await notice_ended_keys(ctx)
    prefix, signature = challenge[:_PREFIX], challenge[_PREFIX:]
    wanted = ctx.runtime.keys.digests(_signed(purpose, bound, prefix)).values()
    is_ours = bool(bound) and any(hmac.compare_digest(signature, one) for one in wanted)
    if not is_ours or not webauthn.is_in_time(int.from_bytes(prefix[:8], "big"), ctx.now):
        raise Unauthorized(_TOO_LATE)


async def _spend(ctx: Ctx, challenge: bytes) -> None:
    """Use a challenge up. Raises Unauthorized when it was answered before."""
    key = f"passkey-challenge/{challenge[:_PREFIX].hex()}"
    if not await ctx.submit(spent_proofs.ProofSpent(key, ctx.now + _PRESENT_FOR)):
        raise Unauthorized(_TOO_LATE)


# --- what the browser is asked


async def creation(ctx: Ctx, here: str) -> str:
    """What the browser is asked for a new passkey, as JSON (PublicKeyCredentialCreationOptionsJSON).

    Whoever calls has just asked for the password: the challenge carries that on to `add`. Raises BadRequest.
    """
    actor = require_actor(ctx, "user")
    ctx.public("a person may protect its own account")
    site = _required(ctx, here)
    async with ctx.view() as tx:
        person, held = await people.user(tx, actor.id), await passkeys.of_user(tx, actor.id)
    if person is None:
        raise NotFound("Your account was deleted meanwhile")
    _require_room(held)
    options = {
        "rp": {"id": site.id, "name": "Watchword"},
        "user": {
            "id": _text(person.id.encode()),
            "name": person.email,
            "displayName": f"{person.first_name} {person.last_name}".strip() or person.email,
        },
        "challenge": _challenge(ctx, "add", actor.session_id),
        "pubKeyCredParams": [{"type": "public-key", "alg": number} for number in webauthn.ALGORITHMS],
        "timeout": webauthn.CHALLENGE_FOR,
        "excludeCredentials": _described(held),
        "authenticatorSelection": {
            "residentKey": "preferred",
            "requireResidentKey": False,
            "userVerification": "preferred",
        },
        "attestation": "none",
    }
    return json.dumps(options)


async def second_factor(ctx: Ctx, here: str) -> str:
    """What the browser is asked for a second factor, as JSON; empty where the person has no passkey or none works."""
    actor = require_actor(ctx, "user", "pending")
    held, site = await mine(ctx), party(ctx, here)
    if not held or site is None:
        return ""
    return _request(_challenge(ctx, "second-factor", actor.session_id), site, "discouraged", held)


async def again(ctx: Ctx, here: str) -> str:
    """What the browser is asked of a person who is signed in and must prove it again, as JSON; empty as above."""
    actor = require_actor(ctx, "user")
    held, site = await mine(ctx), party(ctx, here)
    if not held or site is None:
        return ""
    return _request(_challenge(ctx, "again", actor.session_id), site, "required", held)


def alone(ctx: Ctx, here: str, browser: str) -> str:
    """What a browser is asked of a person who signs in with a passkey alone, as JSON; empty where none works.

    `browser` is a secret of the browser, to which the challenge is bound.
    """
    site = party(ctx, here)
    return "" if site is None else _request(_challenge(ctx, "sign-in", browser), site, "required", ())


def _request(challenge: str, site: webauthn.Party, verification: str, held: Sequence[Passkey]) -> str:
    return json.dumps(
        {
            "challenge": challenge,
            "timeout": webauthn.CHALLENGE_FOR,
            "rpId": site.id,
            "allowCredentials": _described(held),
            "userVerification": verification,
        }
    )


def _described(held: Sequence[Passkey]) -> list[Mapping[str, Any]]:
    return [{"type": "public-key", "id": one.credential_id, "transports": one.transports} for one in held]


def _require_room(held: Sequence[Passkey]) -> None:
    if len(held) >= webauthn.MOST_KEYS:
        raise BadRequest(f"You have {webauthn.MOST_KEYS} passkeys: remove one first")


# --- what the browser answers


def _library() -> Any:
    """The library that reads and verifies what browsers answer."""
    from fido2 import server  # noqa: PLC0415 - slow to import, and used only with a passkey

    return server


class _Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What a browser answered, before anything of it is verified."""

    credential_id: str
    challenge: bytes
    user_handle: str
    fields: Mapping[str, Any]


def _read(text: str) -> _Answer:
    """Read the parts by which an answer is found. Raises Invalid."""
    try:
        fields = json.loads(text)
        client_data = json.loads(_bytes(fields["response"]["clientDataJSON"]))
        # A page in a frame of another site is no place to prove anything (WebAuthn section 13.4.9).
        if client_data.get("crossOrigin") or client_data.get("topOrigin"):
            raise Invalid.of("credential", "A passkey is not used from within another site's page")
        return _Answer(
            credential_id=_text(_bytes(fields["rawId"])),
            challenge=_bytes(client_data["challenge"]),
            user_handle=str(fields["response"].get("userHandle") or ""),
            fields=fields,
        )
    except (ValueError, KeyError, TypeError, AttributeError, binascii.Error, RecursionError):
        raise Invalid.of("credential", "The answer of the browser about a passkey, which needs scripts") from None


async def _server(site: webauthn.Party) -> Any:
    library = await asyncio.to_thread(_library)
    from fido2.webauthn import PublicKeyCredentialRpEntity  # noqa: PLC0415 - as above

    return library.Fido2Server(
        PublicKeyCredentialRpEntity(name="Watchword", id=site.id),
        attestation="none",
        verify_origin=lambda origin: origin == site.origin,
    )


async def add(ctx: Ctx, here: str, body: AddPasskey) -> Added:
    """Store a passkey that the browser has made for the caller.

    The first second factor of a person brings recovery codes; all other sessions end then, and this one counts as
    verified. Raises Invalid, Unauthorized, BadRequest.
    """
    actor = require_actor(ctx, "user")
    ctx.public("a person may protect its own account")
    site, answer = _required(ctx, here), _read(body.credential)
    await _require_own_challenge(ctx, "add", actor.session_id, answer.challenge)
    server = await _server(site)
    state = {"challenge": _text(answer.challenge), "user_verification": None}
    try:
        data = server.register_complete(state, answer.fields)
        made = data.credential_data
        algorithm, public_key = made.public_key.ALGORITHM, _text(_encoded(made.public_key))
        is_synced = bool(data.flags & data.FLAG.BS)
    except Exception as error:  # the library raises whatever a crafted answer leads to
        raise Unauthorized(REFUSED) from error
    if algorithm not in webauthn.ALGORITHMS or len(made.credential_id) > 1023:
        raise BadRequest("This authenticator makes keys of a kind that is not taken: use another one")
    await _spend(ctx, answer.challenge)
    passkey = Passkey(
        id=ctx.new_id(),
        user_id=actor.id,
        name=body.name,
        credential_id=_text(made.credential_id),
        public_key=public_key,
        sign_count=data.counter,
        transports=_transports(answer.fields),
        is_synced=is_synced,
        created_at=ctx.now,
    )
    codes: tuple[str, ...] = ()
    try:
        async with ctx.unit() as tx:
            person = await people.held_user(tx, actor.id)
            if person is None:
                raise NotFound("Your account was deleted meanwhile")
            await sign_in.own_session(ctx, tx)
            _require_room(await passkeys.of_user(tx, actor.id))
            await passkeys.add(tx, passkey)
            if person.mfa_method is None:
                codes = await mfa.begin_with_passkey(ctx, tx, person)
            ctx.audit("add-user-passkey", userId=actor.id, passkeyId=passkey.id, name=passkey.name)
    except AlreadyThere:
        raise BadRequest("This passkey is known already") from None
    return Added(passkey=passkey, recovery_codes=tuple(Secret(code) for code in codes))


def _encoded(public_key: Any) -> bytes:
    from fido2 import cbor  # noqa: PLC0415 - as above

    return bytes(cbor.encode(dict(public_key)))


def _transports(fields: Mapping[str, Any]) -> tuple[str, ...]:
    """The ways to the authenticator that the browser names, so that it can ask for it again."""
    named = fields["response"].get("transports")
    kept = [one for one in named if isinstance(one, str) and one.isascii() and len(one) <= 32] if named else []
    return tuple(kept[:8])


async def verify(ctx: Ctx, here: str, body: UsePasskey) -> sign_in.SignedIn:
    """Verify the second factor with a passkey: a new session takes the place of the caller's.

    Raises Invalid, Unauthorized.
    """
    actor = require_actor(ctx, "pending", "user")
    ctx.public("the passkey proves who is calling")
    site, answer = _required(ctx, here), _read(body.credential)
    async with ctx.view() as tx:
        person = await people.user(tx, actor.id)
        passkey = await passkeys.by_credential(tx, answer.credential_id)
    _require_calm(ctx, person)
    if person is None or passkey is None or passkey.user_id != person.id:
        await _refuse(ctx, person, "unknown_passkey", "second-factor")
    count, is_synced = await _proved(ctx, site, person, passkey, answer, "second-factor", actor.session_id)
    async with ctx.unit() as tx:
        is_used = await passkeys.used(tx, passkey, count=count, at=ctx.now, is_synced=is_synced)
        if is_used:
            session = await mfa.verified_session(ctx, tx, person, renews=True)
            ctx.audit("verify-user-mfa", org_id=actor.org_id, userId=person.id, mfaMethod=mfa.PASSKEY)
    if not is_used:
        await _refuse(ctx, person, "passkey_used_meanwhile", "second-factor")
    token = sign_in.sign(ctx, session, actor.org_id or session.org_id)
    return sign_in.SignedIn(session=session, token=token, device=sign_in.device_of(ctx, person.email))


async def login(ctx: Ctx, here: str, browser: str, body: UsePasskey) -> sign_in.SignedIn:
    """Open a session for a passkey whose authenticator has verified the person: it counts as both factors.

    `browser` is the secret that the challenge was bound to. Raises Invalid, Unauthorized.
    """
    ctx.public("a login proves who is calling")
    site, answer = _required(ctx, here), _read(body.credential)
    async with ctx.view() as tx:
        passkey = await passkeys.by_credential(tx, answer.credential_id)
        person = await people.user(tx, passkey.user_id) if passkey else None
    _require_calm(ctx, person)
    if person is None or passkey is None or answer.user_handle not in ("", _text(person.id.encode())):
        await _refuse(ctx, None, "unknown_passkey", "passkey")
    if not person.is_active:
        await _refuse(ctx, person, "account_inactive", "passkey")
    count, is_synced = await _proved(ctx, site, person, passkey, answer, "sign-in", browser)
    async with ctx.unit() as tx:
        current = await people.held_user(tx, person.id)
        is_used = (
            current is not None
            and current.is_active
            and await passkeys.used(tx, passkey, count=count, at=ctx.now, is_synced=is_synced)
        )
        if is_used:
            session = await sign_in.new_session(ctx, tx, person, verified=True)
    if not is_used:
        await _refuse(ctx, person, "passkey_used_meanwhile", "passkey")
    return sign_in.SignedIn(
        session=session, token=sign_in.sign(ctx, session, None), device=sign_in.device_of(ctx, person.email)
    )


async def prove_again(ctx: Ctx, here: str, body: UsePasskey) -> None:
    """Verify a passkey of a caller who is signed in, whose authenticator verified the person.

    It stands for the password where that is asked for again. Raises Invalid, Unauthorized.
    """
    actor = require_actor(ctx, "user")
    ctx.public("the passkey proves who is calling")
    site, answer = _required(ctx, here), _read(body.credential)
    async with ctx.view() as tx:
        person = await people.user(tx, actor.id)
        passkey = await passkeys.by_credential(tx, answer.credential_id)
    _require_calm(ctx, person)
    if person is None or passkey is None or passkey.user_id != person.id:
        await _refuse(ctx, person, "unknown_passkey", "second-factor")
    count, is_synced = await _proved(ctx, site, person, passkey, answer, "again", actor.session_id)
    async with ctx.unit() as tx:
        is_used = await passkeys.used(tx, passkey, count=count, at=ctx.now, is_synced=is_synced)
    if not is_used:
        await _refuse(ctx, person, "passkey_used_meanwhile", "second-factor")


async def _proved(
    ctx: Ctx, site: webauthn.Party, person: User, passkey: Passkey, answer: _Answer, purpose: Purpose, bound: str
) -> tuple[int, bool]:
    """The counter and whether the passkey is synced, of an answer whose signature, site and challenge are right."""
    method = "passkey" if purpose == "sign-in" else "second-factor"
    await _require_own_challenge(ctx, purpose, bound, answer.challenge)
    server = await _server(site)
    state = {
        "challenge": _text(answer.challenge),
        "user_verification": "discouraged" if purpose == "second-factor" else "required",
    }
    try:
        data = _assert(server, state, passkey, answer.fields)
    except Exception:  # noqa: BLE001 - the library raises whatever a crafted answer leads to
        await _refuse(ctx, person, "wrong_signature", method)
    if webauthn.is_copied(passkey.sign_count, data.counter):
        await _refuse(ctx, person, "passkey_copied", method)
    await _spend(ctx, answer.challenge)
    return data.counter, bool(data.flags & data.FLAG.BS)


def _assert(server: Any, state: Mapping[str, Any], passkey: Passkey, fields: Mapping[str, Any]) -> Any:
    """The authenticator's data of a verified answer."""
    from fido2 import cbor  # noqa: PLC0415 - as above
    from fido2.cose import CoseKey  # noqa: PLC0415
    from fido2.webauthn import AttestedCredentialData, AuthenticationResponse  # noqa: PLC0415

    key = CoseKey.parse(cast("Mapping[int, Any]", cbor.decode(_bytes(passkey.public_key))))
    known = AttestedCredentialData.create(b"\x00" * 16, _bytes(passkey.credential_id), key)
    read = AuthenticationResponse.from_dict(fields)
    server.authenticate_complete(state, [known], read)
    return read.response.authenticator_data


def _require_calm(ctx: Ctx, person: User | None) -> None:
    """Raise TooManyRequests at an address that fails often, unless the person has signed in on this device before."""
    if person is None or not sign_in.known_device(ctx, person.email):
        ctx.runtime.limits.failed_sign_ins.require(ctx.address)


async def _refuse(ctx: Ctx, person: User | None, reason: str, method: str) -> NoReturn:
    """Record a refusal and charge it to the address. It locks nobody out: a signature cannot be guessed."""
    await sign_in.note_failure(ctx, "", person, reason, method=method)
    raise Unauthorized(REFUSED)


# --- keeping them


async def rename(ctx: Ctx, passkey_id: str, body: RenamePasskey) -> None:
    """Give a passkey of the caller another name. Raises NotFound, for other people's passkeys too."""
    actor = require_actor(ctx, "user")
    ctx.public("a person may name its own passkeys")
    async with ctx.unit() as tx:
        if not await passkeys.rename(tx, actor.id, passkey_id, body.name):
            raise NotFound("There is no such passkey")
        ctx.audit("update-user-passkey", userId=actor.id, passkeyId=passkey_id, name=body.name)


async def remove(ctx: Ctx, passkey_id: str) -> Passkey:
    """Delete a passkey of the caller; all other sessions end, and without another factor the second factor is off.

    Raises NotFound, for other people's passkeys too.
    """
    actor = require_actor(ctx, "user")
    ctx.public("a person may change its own account")
    async with ctx.unit() as tx:
        person = await people.held_user(tx, actor.id)
        held = await passkeys.of_user(tx, actor.id)
        found = next((one for one in held if one.id == passkey_id), None)
        if person is None or found is None or not await passkeys.remove(tx, actor.id, passkey_id):
            raise NotFound("There is no such passkey")
        if len(held) == 1 and person.mfa_method == mfa.PASSKEY:
            await mfa.erase(ctx, tx, actor.id)
            ctx.audit("disable-user-mfa", userId=actor.id)
        await people.remove_sessions(tx, actor.id, but=actor.session_id)
        ctx.audit("remove-user-passkey", userId=actor.id, passkeyId=found.id, name=found.name)
    return found
