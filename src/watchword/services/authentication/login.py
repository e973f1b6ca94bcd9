"""The login flow of every method: locate, lockout, trusted networks, verify, spend, issue, audit.

The state is read, the remote call is made, the state and the clock are read again where the call took time, and one
journal entry at the end spends, counts and records in a single durable batch. A method cannot skip a step; it only
judges its own kind of proof.
"""

import hashlib
import hmac
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from watchword.domain.actor import Actor
from watchword.domain.audit.records import Denial
from watchword.domain.authentication import endings
from watchword.domain.authentication.live_tokens import ENDS_AT, GENERATION, SIGNED_WITH
from watchword.domain.authentication.lockout import is_locked
from watchword.domain.authentication.records import ClientSecret, Lockout, MethodConfig, MethodTemplate
from watchword.domain.authentication.refusal_details import clipped
from watchword.domain.authentication.tokens import MAX_LENGTH
from watchword.domain.bounds import AddressSet, compile_ranges
from watchword.domain.errors import Denied, TooManyRequests
from watchword.domain.identities.alerts import Alert, text_of
from watchword.domain.identities.records import Identity
from watchword.domain.people.records import Organization
from watchword.methods.base import (
    Asking,
    AuthMethod,
    Check,
    Checks,
    Credential,
    Given,
    Outbound,
    OutboundError,
    Verified,
)
from watchword.services.authentication import sealed_config
from watchword.services.authentication.bearer import notice_ended_keys
from watchword.services.authentication.method_answers import require_believable
from watchword.services.authentication.method_bodies import organization_slug
from watchword.services.authentication.proposals import proposal_for, proposed_checks, short_proposal
from watchword.services.authentication.recorded_outbound import RecordedOutbound
from watchword.services.authentication.refusals import RefusalWrite
from watchword.services.authentication.tokens import Issued, new_token, row_of
from watchword.services.context import Ctx
from watchword.services.timestamps import iso
from watchword.store import versions
from watchword.store.access import grants
from watchword.store.authentication import client_secrets, lockouts, logins, method_configs, spent_proofs, templates
from watchword.store.engine import Tx
from watchword.store.identities import identities
from watchword.store.keys.rehashing import Rehashed
from watchword.store.people import people

UNPROVED = (
    "Invalid credentials. If they are right, the identity may be locked out or its provider not reachable: "
    "an operator finds the reason under the id of this request"
)
_TEXTS = {
    "locked_out": "This identity is locked out after too many failed logins: try again later",
    "client_secret_used_up": "Access denied: the client secret has no uses left",
    "proof_replayed": "This proof was used before: make a new one for each login",
}


class LoginMemo(msgspec.Struct):
    """What is computed once from a `LocatedLogin` and kept with it."""

    config: Any = None  # the configuration as the method reads it; only of a method without secret settings


class LocatedLogin(msgspec.Struct, frozen=True, kw_only=True):
    """The configuration that a login is for, with its identity and organization."""

    config: MethodConfig
    identity: Identity
    org: Organization
    template: MethodTemplate | None = None
    is_member: bool
    login_networks: AddressSet | None  # from which the method accepts logins; None: from everywhere
    memo: LoginMemo = msgspec.field(default_factory=LoginMemo)


_ROUNDS = 4  # how often a login is verified before one whose configuration changes all the time is refused


class _Attempt:
    """A login under way: what it is for, where known, the checks it went through and its outbound calls."""

    __slots__ = ("checks", "located", "outbound")

    def __init__(self, outbound: Outbound) -> None:
        self.checks = Checks()
        self.outbound = RecordedOutbound(outbound)
        self.located: LocatedLogin | None = None


async def login(ctx: Ctx, method: AuthMethod[Any, Any], body: Any) -> Issued:
    """Issue a token to the workload that `body` proves to be calling.

    Raises Denied; the reason is kept for operators under the request id. Raises TooManyRequests instead where the
    address was refused too often. A client secret is checked even then, because that costs little: a right one is never
    held up by others behind its address.
    """
    ctx.public("a login proves who is calling")
    await _require_not_limited(ctx, method)
    attempt = _Attempt(ctx.outbound)
    checks = attempt.checks
    try:
        verified = await _proved(ctx, method, body, attempt)
        return await _issue(
            ctx,
            method,
            body,
            await for_organization(ctx, body, require_located(attempt.located), checks),
            verified,
            checks,
        )
    except TooManyRequests as refusal:
        await _note_limited(ctx, method, refusal)
        raise
    except Denied as denial:
        raise public_error(checks, await _record(ctx, method, body, attempt.located, checks, denial)) from None


async def authenticate_client(ctx: Ctx, method: AuthMethod[Any, Any], body: Any) -> LocatedLogin:
    """Return whom `body` proves to be calling, without issuing a token: for a client that asks something else.

    Raises Denied as `login` does.
    """
    ctx.public("a login proves who is calling")
    await _require_not_limited(ctx, method)
    attempt = _Attempt(ctx.outbound)
    checks = attempt.checks
    try:
        verified = await _proved(ctx, method, body, attempt)
        if verified.credential is not None:
            await require_use_left(ctx, require_located(attempt.located), verified.credential.id, checks)
        proof = spent_by(method, verified)
        if proof is not None and not await ctx.submit(proof):
            raise Denied("proof_replayed", _TEXTS["proof_replayed"])
        return require_located(attempt.located)
    except TooManyRequests as refusal:
        await _note_limited(ctx, method, refusal)
        raise
    except Denied as denial:
        raise public_error(checks, await _record(ctx, method, body, attempt.located, checks, denial)) from None


async def _proved(ctx: Ctx, method: AuthMethod[Any, Any], body: Any, attempt: _Attempt) -> Verified:
    """Verify the proof, with time and state read after the last remote answer.

    While a login waits for a remote answer, a revocation, a change or the end of the proof's validity may have come. So
    time and state are read again and everything is checked again, with the recorded answers. Where a changed
    configuration needs another call, that is made. Raises Denied.
    """
    checks = attempt.checks
    attempt.located = await find(ctx, method, body)
    for left in reversed(range(_ROUNDS)):
        try:
            asking = ctx.runtime.asking if left == _ROUNDS - 1 else None
            verified = await prove(ctx, method, body, attempt.located, checks, attempt.outbound, asking)
        except Denied:
            if attempt.outbound.waited:  # the refusal is recorded with the current time and state
                ctx.begin_now()
                attempt.located = await find(ctx, method, body)
            raise
        if not attempt.outbound.waited:
            return verified
        ctx.begin_now()
        attempt.located = await find(ctx, method, body)
        if left:
            checks.begin_anew()
            attempt.outbound.repeat()
    raise Denied("configuration_unsettled", "The configuration changes faster than its provider answers: try again")


async def require_use_left(ctx: Ctx, located: LocatedLogin, secret_id: str, checks: Checks) -> None:
    """Check that a client secret has a use left, without spending one."""
    async with ctx.view() as tx:
        secret = await client_secrets.by_id(tx, located.config.id, secret_id)
    uses, limit = (secret.uses, secret.uses_limit) if secret else (0, 0)
    is_left = secret is not None and (limit == 0 or uses < limit)
    checks.compare(
        is_left,
        "client_secret_used_up",
        _TEXTS["client_secret_used_up"],
        expected=f"fewer than {limit}",
        presented=uses,
    )


def public_error(checks: Checks, denial: Denied) -> Denied:
    """Return the refusal that the caller gets.

    Until a proof was found genuine it is the same for a wrong proof and for an unknown identity.
    """
    return denial if denial.status != 401 or checks.is_proved else Denied(denial.reason, UNPROVED)


def require_located(located: LocatedLogin | None) -> LocatedLogin:
    """Return the located login. Raises Denied where there is none."""
    if located is None:
        raise Denied("not_configured")
    return located


async def for_organization(ctx: Ctx, body: Any, located: LocatedLogin, checks: Checks) -> LocatedLogin:
    """Return the login for the organization that its body names: the identity's own, or a sub-organization of it.

    An identity that lives in a sub-organization has no other.
    """
    slug = organization_slug(body)
    if slug is None or slug == located.org.slug or located.org.parent_org_id is not None:
        return located
    async with ctx.view() as tx:
        org = await people.sub_organization(tx, located.org.id, slug) if is_key(slug) else None
        member = await grants.org_membership(tx, "identity", located.identity.id, org.id) if org else None
    if org is None:
        checks.fail(
            "compare",
            "organization_unknown",
            f"There is no organization {slug[:64]!r}",
            expected=located.org.slug,
            presented=slug[:64],
            status=404,
        )
    is_member = member is not None and member.is_active
    checks.compare(
        is_member,
        "organization_not_allowed",
        "The identity is not a member of this organization",
        expected=located.org.slug,
        presented=slug,
    )
    return msgspec.structs.replace(located, org=org)


def is_key(text: str) -> bool:
    """Whether a text can be an id, a client id or a slug at all: not every text can be used in a query."""
    return 0 < len(text) <= 255 and text.isprintable()


async def find(ctx: Ctx, method: AuthMethod[Any, Any], body: Any) -> LocatedLogin | None:
    """Find the configuration that a login is for; None if there is none."""
    kind, value = method.locate(body)
    located: LocatedLogin | None = await ctx.fresh.get(("login", method.slug, value), _load_login, method, kind, value)
    return located


async def _load_login(
    tx: Tx, method: AuthMethod[Any, Any], kind: str, value: str
) -> tuple[LocatedLogin | None, tuple[str, ...]]:
    if not is_key(value):
        return None, ()
    config = await (
        method_configs.config_at(tx, value) if kind == "locator" else method_configs.config(tx, value, method.slug)
    )
    identity = await identities.by_id(tx, config.identity_id) if config else None
    org = await people.organization(tx, identity.org_id) if identity else None
    if config is None or identity is None or org is None or config.method != method.slug:
        return None, ()
    member = await grants.org_membership(tx, "identity", identity.id, org.id)
    template = await templates.by_id(tx, config.template_id) if config.template_id else None
    is_member = member is not None and member.is_active
    located = LocatedLogin(
        config=config,
        identity=identity,
        org=org,
        template=template,
        is_member=is_member,
        login_networks=login_networks(method, config),
    )
    # The version keys of the lockout and of the signing keys are included though the value does not depend on them: so
    # one read of versions serves the whole login.
    return located, (
        versions.identity(identity.id),
        versions.org(org.id),
        versions.lockout(identity.id),
        versions.keys(),
    )


def login_networks(method: AuthMethod[Any, Any], config: MethodConfig) -> AddressSet | None:
    """Return the networks from which a configuration accepts logins; None where its method has no such setting."""
    return compile_ranges(method.networks_of(config.config)) if method.networks_of is not None else None


async def prove(
    ctx: Ctx,
    method: AuthMethod[Any, Any],
    body: Any,
    located: LocatedLogin | None,
    checks: Checks,
    outbound: Outbound,
    asking: Asking | None = None,
) -> Verified:
    """Let the method verify the proof, between the checks that are the same for every method. Raises Denied.

    Nothing is checked again after a remote answer; `login` does that, with the recorded answers: then nobody is asked,
    `asking` is None, and nothing is waited for.
    """
    if method.verify is None:
        raise Denied("no_login", "This auth method has no login")
    if located is not None and located.login_networks is not None:
        checks.compare(
            located.login_networks.is_open or located.login_networks.admits(ctx.address),
            "address_not_trusted",
            "You are not allowed to access this resource from the current IP address",
            presented=ctx.address,
            status=403,
        )
    count_by = None
    if located is not None and method.locks and located.config.lockout_enabled:
        count_by = _lockout_counter(ctx, method, located.config, checks)
        await _require_unlocked(ctx, lockout_key(method, body, located.config, checks), located.config, checks)
    # An unknown client id takes the same steps as a wrong secret: the credential is looked up, and one durable record
    # follows.
    credential = await _credential(ctx, method, body, located)
    facts = Given(
        now=ctx.now,
        identity_id=located.identity.id if located else "",
        outbound=outbound,
        checks=checks,
        address=ctx.address,
        operator=ctx.runtime.operator,
        asking=asking,
        credential=credential,
        certificate=ctx.certificate,
        count_by=count_by,
    )
    if located is None:
        if method.form is not None:
            method.form(body, facts)
        if method.secret_of is None:
            checks.fail("form", "not_configured", UNPROVED)
        checks.fail("compare", "client_id_unknown", UNPROVED)
    config = await read_config(ctx, method, located)
    try:
        verified: Verified = await method.verify(config, body, facts)
    except OutboundError as error:
        checks.fail("reach", "provider_unreachable", f"The identity provider did not answer as expected: {error}")
    except Denied as denial:
        checks.refused(denial)
        raise
    require_believable(method, verified, facts)
    require_in_order(ctx, located, checks)
    return verified


async def read_config(ctx: Ctx, method: AuthMethod[Any, Any], located: LocatedLogin) -> Any:
    """Return the configuration as the method reads it. One without secrets is decoded once and kept in the memo."""
    if sealed_config.secret_fields(method):
        return await sealed_config.opened(ctx, method, located.config, located.org.id, located.template)
    if located.memo.config is None:
        located.memo.config = await sealed_config.opened(ctx, method, located.config, located.org.id, located.template)
    return located.memo.config


def require_in_order(ctx: Ctx, located: LocatedLogin, checks: Checks) -> None:
    """Check that the identity may log in at all."""
    identity = located.identity
    checks.compare(not identity.is_disabled, "identity_disabled", "Invalid credentials")
    checks.compare(
        identity.expires_at is None or ctx.now < identity.expires_at, "identity_expired", "Invalid credentials"
    )
    checks.compare(located.is_member, "not_a_member", "The identity is not a member of the organization")


def lockout_key(method: AuthMethod[Any, Any], body: Any, config: MethodConfig, checks: Checks) -> str:
    """Return the key under which failed logins are counted: a digest of what the method found, else of the body."""
    if checks.counted_by is not None:
        return f"{config.identity_id}/{method.slug}/found/{_digest(checks.counted_by)}"
    return f"{config.identity_id}/{method.slug}/{_digest(method.lockout_key(body))}"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:40]


def _lockout_counter(
    ctx: Ctx, method: AuthMethod[Any, Any], config: MethodConfig, checks: Checks
) -> Callable[[str], Awaitable[None]]:
    """Return the callback by which a method names what failed logins are counted by, beyond the body."""

    async def count_by(subject: str) -> None:
        checks.counted_by = subject
        await _require_unlocked(ctx, lockout_key(method, None, config, checks), config, checks)

    return count_by


async def _require_unlocked(ctx: Ctx, key: str, config: MethodConfig, checks: Checks) -> None:
    locked = is_locked(await _lockout(ctx, key, config.identity_id), ctx.now)
    checks.compare(not locked, "locked_out", _TEXTS["locked_out"])


async def _lockout(ctx: Ctx, key: str, identity_id: str) -> Lockout | None:
    lockout: Lockout | None = await ctx.fresh.get(("lockout", key), _load_lockout, key, identity_id)
    return lockout


async def _load_lockout(tx: Tx, key: str, identity_id: str) -> tuple[Lockout | None, tuple[str, ...]]:
    return await lockouts.by_key(tx, key), (versions.lockout(identity_id),)


async def _credential(
    ctx: Ctx, method: AuthMethod[Any, Any], body: Any, located: LocatedLogin | None
) -> Credential | None:
    if method.secret_of is None:
        return None
    if located is not None:
        await notice_ended_keys(ctx)
    text = method.secret_of(body)
    digest = ctx.runtime.keys.digest(text)
    secret = await _secret_of(ctx, digest)
    if secret is None:
        secret = await _find_by_earlier_hash(ctx, text, digest)
    if (
        secret is None
        or located is None
        or secret.config_id != located.config.id
        or not hmac.compare_digest(secret.hash, digest)
    ):
        return None
    # Limited uses are settled exactly by the journal; the cached number may be old, so it decides nothing here.
    return Credential(
        id=secret.id,
        expires_at=endings.end_of_secret(secret),
        uses=0,
        uses_limit=secret.uses_limit,
        is_revoked=secret.is_revoked,
    )


async def _find_by_earlier_hash(ctx: Ctx, text: str, digest: bytes) -> ClientSecret | None:
    """Find a client secret that is hashed with a key from before a rotation, and hash it with the current key."""
    keys = ctx.runtime.keys
    for other in keys.other_digests(text).values():
        secret = await _secret_of(ctx, other)
        if secret is not None:
            if secret.hash_version < keys.hash_version:
                now = Rehashed("client_secrets", secret.id, secret.identity_id, other, digest, keys.hash_version)
                await ctx.submit(now)
            return msgspec.structs.replace(secret, hash=digest)
    return None


async def _secret_of(ctx: Ctx, digest: bytes) -> ClientSecret | None:
    secret: ClientSecret | None = await ctx.fresh.get(("secret", digest), _load_secret, digest)
    return secret


async def _load_secret(tx: Tx, digest: bytes) -> tuple[ClientSecret | None, tuple[str, ...]]:
    secret = await client_secrets.by_hash(tx, digest)
    return secret, (versions.identity(secret.identity_id),) if secret else ()


async def _issue(
    ctx: Ctx, method: AuthMethod[Any, Any], body: Any, located: LocatedLogin, verified: Verified, checks: Checks
) -> Issued:
    config = located.config
    used = verified.credential
    await notice_ended_keys(ctx)
    issued = new_token(
        ctx,
        located.identity,
        config,
        located.org,
        client_secret_id=used.id if used else None,
        auth=verified.claims or None,
    )
    if len(issued.token) > MAX_LENGTH:
        # No client could send such a token back. What makes it long are the claims that the configuration maps into it.
        raise Denied(
            "claims_too_large",
            "The claims that are carried into the access token are too long: map fewer or shorter ones",
        )
    actor = Actor(kind="identity", id=located.identity.id, name=located.identity.name, org_id=located.org.id)
    metadata = {
        "identityId": actor.id,
        "identityAccessTokenId": issued.claims.jti,
        ENDS_AT: issued.claims.expires_ms,
        GENERATION: issued.claims.generation,
        SIGNED_WITH: ctx.runtime.keys.signer.kid,
        f"{method.wrapper}Id": config.id,
        **verified.audit,
    }
    limited = config.uses_limit > 0
    reason = await ctx.submit(
        logins.LoginDone(
            at=ctx.now,
            identity_id=actor.id,
            event=ctx.event(f"login-identity-{method.slug}", metadata, actor=actor),
            lockout_key=lockout_key(method, body, config, checks) if method.locks and config.lockout_enabled else None,
            secret=client_secrets.SecretUsed(used.id, used.uses_limit > 0, ctx.now) if used else None,
            proof=spent_by(method, verified),
            token=row_of(issued.claims, ctx.now, address=ctx.address, user_agent=ctx.user_agent) if limited else None,
        )
    )
    if reason is not None:
        raise Denied(reason, _TEXTS[reason])
    ctx.runtime.journal.coalesce(
        actor.id,
        logins.LoginSeen(
            identity_id=actor.id, org_id=located.org.id, method=method.slug, at=ctx.now, address=ctx.address
        ),
    )
    return issued


def spent_by(method: AuthMethod[Any, Any], verified: Verified) -> spent_proofs.ProofSpent | None:
    """Return the journal entry that spends a proof which may be used once; None for any other proof."""
    spent = verified.spent
    return spent_proofs.ProofSpent(f"{method.slug}/{_digest(spent.key)}", spent.expires_at) if spent else None


def check_trace(
    method: AuthMethod[Any, Any], located: LocatedLogin | None, checks: Checks, reason: str
) -> tuple[Check, ...]:
    """Return the checks in order, the deciding one last: what the journal settles is known only after all others."""
    config, template = (located.config, located.template) if located is not None else (None, None)
    done = proposed_checks(method, config, template, checks)
    if not done or done[-1].passed:
        proposal = proposal_for(method, config, template, reason)
        done = [
            *(check for check in done if check.name != reason),
            Check(reason, passed=False, proposal=proposal),
        ]
    return tuple(done)


async def _record(
    ctx: Ctx, method: AuthMethod[Any, Any], body: Any, located: LocatedLogin | None, checks: Checks, denial: Denied
) -> Denied:
    """Record a refusal, and count it where it was a wrong proof. Every kind of attempt costs one durable entry.

    Returns the refusal; another one when the identity was locked out meanwhile. Raises TooManyRequests when the address
    was refused too often: then only a count in memory is kept, which is written now and then.
    """
    config = located.config if located else None
    counts = config is not None and method.locks and config.lockout_enabled and checks.failed == "prove"
    wait = 0.0 if checks.failed == "reach" else ctx.runtime.limits.refused_logins.take(ctx.address)
    event = None
    trace = check_trace(method, located, checks, denial.reason)
    if located is not None:
        facts: dict[str, Any] = {
            "identityId": located.identity.id,
            "reasonCode": denial.reason,
            "message": clipped(denial.message, 400),
            "requestId": ctx.request_id,
        }
        if trace[-1].proposal is not None:
            facts["proposal"] = short_proposal(trace[-1].proposal)
        actor = Actor(kind="identity", id=located.identity.id, name=located.identity.name, org_id=located.org.id)
        event = ctx.event(f"login-identity-{method.slug}-failed", facts, actor=actor)
    record = Denial(
        request_id=ctx.request_id or ctx.new_id(),
        at=ctx.now,
        org_id=located.org.id if located else None,
        identity_id=located.identity.id if located else None,
        method=method.slug,
        reason=denial.reason,
        message=denial.message,
        facts=dict(denial.facts),
        checks=tuple(msgspec.to_builtins(check) for check in trace),
        address=ctx.address,
        user_agent=ctx.user_agent,
    )
    write = ctx.runtime.refusals.take(record, event, whose=located.identity.id if located else "")
    counted = True
    if wait and not counts and write.again is not None:
        ctx.runtime.journal.coalesce(("refused", write.request_id), write.again)
    else:
        entry = logins.LoginFailed(
            at=ctx.now,
            denial=write.denial,
            again=write.again,
            event=write.event,
            config=config if counts else None,
            lockout_key=lockout_key(method, body, config, checks) if counts and config else None,
            lockout_alert=_lockout_alert(ctx, method, located) if counts and located else None,
        )
        counted = await _submit_refusal(ctx, write, entry)
    if wait:
        raise ctx.runtime.limits.refused_logins.refusal(wait)
    return denial if counted else Denied("locked_out", _TEXTS["locked_out"])


def _lockout_alert(ctx: Ctx, method: AuthMethod[Any, Any], located: LocatedLogin) -> Alert:
    item = {
        "identityId": located.identity.id,
        "identityName": located.identity.name,
        "authMethod": method.slug,
        "address": ctx.address,
    }
    return Alert(
        id=ctx.new_id(),
        org_id=located.org.id,
        type="identity.locked-out",
        message=text_of("identity.locked-out", [item]),
        items=[item],
        time=iso(ctx.now),
        at=ctx.now,
    )


async def _submit_refusal(ctx: Ctx, write: RefusalWrite, entry: logins.LoginFailed) -> bool:
    try:
        counted: bool = await ctx.submit(entry)
    except BaseException:
        ctx.runtime.refusals.forget(write)
        raise
    return counted


async def _require_not_limited(ctx: Ctx, method: AuthMethod[Any, Any]) -> None:
    """Raise TooManyRequests for an address that was refused too often, before a proof that is costly to verify."""
    limit = ctx.runtime.limits.refused_logins
    wait = 0.0 if method.secret_of is not None else limit.wait(ctx.address)
    if not wait:
        return
    refusal = limit.refusal(wait)
    await _note_limited(ctx, method, refusal)
    raise refusal


async def _note_limited(ctx: Ctx, method: AuthMethod[Any, Any], refusal: TooManyRequests) -> None:
    """Record that an address must wait."""
    record = Denial(
        request_id=ctx.request_id or ctx.new_id(),
        at=ctx.now,
        method=method.slug,
        reason="too_many_refusals",
        message=refusal.message,
        facts={},
        checks=(),
        address=ctx.address,
        user_agent=ctx.user_agent,
    )
    write = ctx.runtime.refusals.take(record, None)
    if write.again is not None:
        ctx.runtime.journal.coalesce(("refused", write.request_id), write.again)
    else:
        await _submit_refusal(ctx, write, logins.LoginFailed(at=ctx.now, denial=write.denial))
