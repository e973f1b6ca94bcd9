"""The login flow of every method: locate, lockout, trusted networks, verify, spend, issue, audit.

A look at the state, the remote question, another look at the state and the clock where the question took time, and one
journal entry at the end that spends, counts and records in a single durable batch. A method cannot skip or forget a
step; it only answers its own question.
"""

import hashlib
import hmac
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from watchword.domain.actor import Actor
from watchword.domain.audit.records import Denial
from watchword.domain.authentication.lockout import is_locked
from watchword.domain.authentication.records import ClientSecret, Lockout, MethodConfig, MethodTemplate
from watchword.domain.authentication.refusal_details import clipped
from watchword.domain.authentication.tokens import MAX_LENGTH
from watchword.domain.bounds import AddressSet, compile_ranges
from watchword.domain.errors import Denied
from watchword.domain.identities.records import Identity
from watchword.domain.people.records import Organization
from watchword.methods.base import AuthMethod, Check, Checks, Credential, Given, Outbound, OutboundError, Verified
from watchword.services.authentication import sealed_config
from watchword.services.authentication.bearer import know_keys
from watchword.services.authentication.method_answers import require_believable
from watchword.services.authentication.recorded_outbound import RecordedOutbound
from watchword.services.authentication.refusals import RefusalWrite
from watchword.services.authentication.tokens import Issued, new_token, row_of
from watchword.services.context import Ctx
from watchword.store import versions
from watchword.store.access import grants
from watchword.store.authentication import credentials, logins, templates
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


class LocatedLogin(msgspec.Struct, frozen=True, kw_only=True):
    """The configuration a login is for, and whose it is."""

    config: MethodConfig
    identity: Identity
    org: Organization
    template: MethodTemplate | None = None
    is_member: bool
    login_networks: AddressSet | None  # from which the method accepts logins; None: from everywhere
    made: dict[str, Any] = msgspec.field(default_factory=dict)  # of the rest, and true as long as it is


_ROUNDS = 4  # of asking and checking once more, before a configuration that changes all the time refuses


class _Attempt:
    """A login under way: what it is for, as far as that is known, the checks it went through and what was asked
    for it.
    """

    __slots__ = ("checks", "found", "outbound")

    def __init__(self, outbound: Outbound) -> None:
        self.checks = Checks()
        self.outbound = RecordedOutbound(outbound)
        self.found: LocatedLogin | None = None


async def login(ctx: Ctx, method: AuthMethod[Any, Any], body: Any) -> Issued:
    """A token for the workload that `body` proves to be calling. Raises Denied; why is kept for operators by request
    id.

    Raises TooManyRequests instead where the address was refused too often. A client secret is looked at even then, for
    that costs little: a right one is never held up by others behind its address.
    """
    ctx.public("a login proves who is calling")
    await _require_room(ctx, method)
    attempt = _Attempt(ctx.outbound)
    checks = attempt.checks
    try:
        verified = await _proved(ctx, method, body, attempt)
        return await _issue(
            ctx, method, body, await _within(ctx, body, present(attempt.found), checks), verified, checks
        )
    except Denied as denial:
        raise public_error(checks, await _record(ctx, method, body, attempt.found, checks, denial)) from None


async def authenticate_client(ctx: Ctx, method: AuthMethod[Any, Any], body: Any) -> LocatedLogin:
    """Whom `body` proves to be calling, without a token: for a client that asks something else.

    Raises Denied as `login` does.
    """
    ctx.public("a login proves who is calling")
    await _require_room(ctx, method)
    attempt = _Attempt(ctx.outbound)
    checks = attempt.checks
    try:
        verified = await _proved(ctx, method, body, attempt)
        if verified.credential is not None:
            await require_use_left(ctx, present(attempt.found), verified.credential.id, checks)
        proof = spent_by(method, verified)
        if proof is not None and not await ctx.submit(proof):
            raise Denied("proof_replayed", _TEXTS["proof_replayed"])
        return present(attempt.found)
    except Denied as denial:
        raise public_error(checks, await _record(ctx, method, body, attempt.found, checks, denial)) from None


async def _proved(ctx: Ctx, method: AuthMethod[Any, Any], body: Any, attempt: _Attempt) -> Verified:
    """What the method says of the proof, and what the proof is for, both as of a moment after the last answer from
    outside.

    Whoever waits for an answer knows the time and the state of before: a revocation, a change, the end of the proof may
    have come since. So both are taken anew and everything is checked once more, with the answers that are there. Where
    a changed configuration asks something else, that is asked. Raises Denied.
    """
    checks = attempt.checks
    attempt.found = await find(ctx, method, body)
    for left in reversed(range(_ROUNDS)):
        try:
            verified = await prove(ctx, method, body, attempt.found, checks, attempt.outbound)
        except Denied:
            if attempt.outbound.waited:  # what is recorded is of now, and of what there is now
                ctx.begin_now()
                attempt.found = await find(ctx, method, body)
            raise
        if not attempt.outbound.waited:
            return verified
        ctx.begin_now()
        attempt.found = await find(ctx, method, body)
        if left:
            checks.begin_anew()
            attempt.outbound.repeat()
    raise Denied("configuration_unsettled", "The configuration changes faster than its provider answers: try again")


async def require_use_left(ctx: Ctx, found: LocatedLogin, secret_id: str, checks: Checks) -> None:
    """Check that a client secret has a use left, without using one."""
    async with ctx.view() as tx:
        secret = await credentials.client_secret(tx, found.config.id, secret_id)
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
    """The refusal as the caller hears it: until a proof was found genuine, the same for a wrong one and an
    unknown identity.
    """
    return denial if denial.status != 401 or checks.is_proved else Denied(denial.reason, UNPROVED)


def present(found: LocatedLogin | None) -> LocatedLogin:
    """The configuration that `prove` found to be there."""
    if found is None:
        raise Denied("not_configured")
    return found


async def _within(ctx: Ctx, body: Any, found: LocatedLogin, checks: Checks) -> LocatedLogin:
    """The same with the organization that the login names: the identity's own, or another one it is a member of."""
    slug = body.organization_slug
    if not slug or slug == found.org.slug:
        return found
    async with ctx.view() as tx:
        org = await people.organization_by_slug(tx, slug) if is_name(slug) else None
        member = await grants.org_membership(tx, "identity", found.identity.id, org.id) if org else None
    if org is None:
        checks.fail(
            "compare",
            "organization_unknown",
            f"There is no organization {slug[:64]!r}",
            expected=found.org.slug,
            status=404,
        )
    is_member = member is not None and member.is_active
    checks.compare(
        is_member,
        "organization_not_allowed",
        "The identity is not a member of this organization",
        expected=found.org.slug,
    )
    return msgspec.structs.replace(found, org=org)


def is_name(text: str) -> bool:
    """Whether a text may be an id, a client id or a slug at all: not every text can be asked for in a database."""
    return 0 < len(text) <= 255 and text.isprintable()


async def find(ctx: Ctx, method: AuthMethod[Any, Any], body: Any) -> LocatedLogin | None:
    """The configuration that a login is for."""
    how, what = method.locate(body)
    found: LocatedLogin | None = await ctx.fresh.get(("login", method.slug, what), _load_found, method, how, what)
    return found


async def _load_found(
    tx: Tx, method: AuthMethod[Any, Any], how: str, what: str
) -> tuple[LocatedLogin | None, tuple[str, ...]]:
    if not is_name(what):
        return None, ()
    config = await (credentials.config_at(tx, what) if how == "locator" else credentials.config(tx, what, method.slug))
    identity = await identities.by_id(tx, config.identity_id) if config else None
    org = await people.organization(tx, identity.org_id) if identity else None
    if config is None or identity is None or org is None or config.method != method.slug:
        return None, ()
    member = await grants.org_membership(tx, "identity", identity.id, org.id)
    template = await templates.by_id(tx, config.template_id) if config.template_id else None
    is_member = member is not None and member.is_active
    found = LocatedLogin(
        config=config,
        identity=identity,
        org=org,
        template=template,
        is_member=is_member,
        login_networks=login_networks(method, config),
    )
    # The version keys of the lockout and of the keys too, though nothing of them is here: so one barrier serves the
    # whole login.
    return found, (versions.identity(identity.id), versions.org(org.id), versions.lockout(identity.id), versions.keys())


def login_networks(method: AuthMethod[Any, Any], config: MethodConfig) -> AddressSet | None:
    """The networks from which a configuration accepts logins; None where its method knows no such restriction."""
    return compile_ranges(method.networks_of(config.config)) if method.networks_of is not None else None


async def prove(
    ctx: Ctx, method: AuthMethod[Any, Any], body: Any, found: LocatedLogin | None, checks: Checks, outbound: Outbound
) -> Verified:
    """What the method says of the proof, between the checks that are the same for every method. Raises Denied.

    It does not look once more after an answer from outside; `login` does.
    """
    if method.verify is None:
        raise Denied("no_login", "This auth method has no login")
    if found is not None and found.login_networks is not None:
        checks.compare(
            found.login_networks.is_open or found.login_networks.admits(ctx.address),
            "address_not_trusted",
            "You are not allowed to access this resource from the current IP address",
            presented=ctx.address,
            status=403,
        )
    count_by = None
    if found is not None and method.locks and found.config.lockout_enabled:
        count_by = _counting(ctx, method, found.config, checks)
        await _require_unlocked(ctx, lockout_key(method, body, found.config, checks), found.config, checks)
    # An unknown client id takes the same way as a wrong secret: the credential is looked up, and one durable record
    # follows.
    credential = await _credential(ctx, method, body, found)
    given = Given(
        now=ctx.now,
        identity_id=found.identity.id if found else "",
        outbound=outbound,
        checks=checks,
        address=ctx.address,
        credential=credential,
        certificate=ctx.certificate,
        count_by=count_by,
    )
    if found is None:
        if method.form is not None:
            method.form(body, given)
        if method.secret_of is None:
            checks.fail("form", "not_configured", UNPROVED)
        checks.fail("compare", "client_id_unknown", UNPROVED)
    config = await config_of(ctx, method, found)
    try:
        verified: Verified = await method.verify(config, body, given)
    except OutboundError as error:
        checks.fail("reach", "provider_unreachable", f"The identity provider did not answer as expected: {error}")
    except Denied as denial:
        checks.refused(denial)
        raise
    require_believable(method, verified, given)
    require_in_order(ctx, found, checks)
    return verified


async def config_of(ctx: Ctx, method: AuthMethod[Any, Any], found: LocatedLogin) -> Any:
    """The configuration as the method reads it. One without secrets is read once and kept with what was found."""
    if sealed_config.secret_fields(method):
        return await sealed_config.opened(ctx, method, found.config, found.org.id, found.template)
    if "config" not in found.made:
        found.made["config"] = await sealed_config.opened(ctx, method, found.config, found.org.id, found.template)
    return found.made["config"]


def require_in_order(ctx: Ctx, found: LocatedLogin, checks: Checks) -> None:
    """Check that the identity may log in at all."""
    identity = found.identity
    checks.compare(not identity.is_disabled, "identity_disabled", "Invalid credentials")
    checks.compare(
        identity.expires_at is None or ctx.now < identity.expires_at, "identity_expired", "Invalid credentials"
    )
    checks.compare(found.is_member, "not_a_member", "The identity is not a member of the organization")


def lockout_key(method: AuthMethod[Any, Any], body: Any, config: MethodConfig, checks: Checks) -> str:
    """Under which key failed logins are counted: what the method found out, else what the body says, as a digest."""
    if checks.counted_by is not None:
        return f"{config.identity_id}/{method.slug}/found/{_digest(checks.counted_by)}"
    return f"{config.identity_id}/{method.slug}/{_digest(method.lockout_key(body))}"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:40]


def _counting(
    ctx: Ctx, method: AuthMethod[Any, Any], config: MethodConfig, checks: Checks
) -> Callable[[str], Awaitable[None]]:
    """What lets a method say by what failed logins are counted, once it knows better than the body."""

    async def count_by(what: str) -> None:
        checks.counted_by = what
        await _require_unlocked(ctx, lockout_key(method, None, config, checks), config, checks)

    return count_by


async def _require_unlocked(ctx: Ctx, key: str, config: MethodConfig, checks: Checks) -> None:
    locked = is_locked(await _lockout(ctx, key, config.identity_id), ctx.now)
    checks.compare(not locked, "locked_out", _TEXTS["locked_out"])


async def _lockout(ctx: Ctx, key: str, identity_id: str) -> Lockout | None:
    found: Lockout | None = await ctx.fresh.get(("lockout", key), _load_lockout, key, identity_id)
    return found


async def _load_lockout(tx: Tx, key: str, identity_id: str) -> tuple[Lockout | None, tuple[str, ...]]:
    return await credentials.lockout(tx, key), (versions.lockout(identity_id),)


async def _credential(
    ctx: Ctx, method: AuthMethod[Any, Any], body: Any, found: LocatedLogin | None
) -> Credential | None:
    if method.secret_of is None:
        return None
    if found is not None:
        await know_keys(ctx)
    text = method.secret_of(body)
    digest = ctx.runtime.keys.digest(text)
    secret = await _secret_of(ctx, digest)
    if secret is None:
        secret = await _hashed_before(ctx, text, digest)
    if (
        secret is None
        or found is None
        or secret.config_id != found.config.id
        or not hmac.compare_digest(secret.hash, digest)
    ):
        return None
    # Limited uses are settled by the journal, exactly; the number at hand may be old, so it decides nothing here.
    return Credential(
        id=secret.id,
        expires_at=secret.created_at + secret.ttl * 1000 if secret.ttl else None,
        uses=0,
        uses_limit=secret.uses_limit,
        is_revoked=secret.is_revoked,
    )


async def _hashed_before(ctx: Ctx, text: str, digest: bytes) -> ClientSecret | None:
    """The client secret, where it is hashed with the key of before a rotation; it is hashed with the key of now
    from here on.
    """
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
    secret = await credentials.client_secret_by_hash(tx, digest)
    return secret, (versions.identity(secret.identity_id),) if secret else ()


async def _issue(
    ctx: Ctx, method: AuthMethod[Any, Any], body: Any, found: LocatedLogin, verified: Verified, checks: Checks
) -> Issued:
    config = found.config
    used = verified.credential
    await know_keys(ctx)
    issued = new_token(
        ctx, found.identity, config, found.org, client_secret_id=used.id if used else None, auth=verified.claims or None
    )
    if len(issued.token) > MAX_LENGTH:
        # A token that nobody could send back is none. What makes it long is what the configuration maps into it.
        raise Denied(
            "claims_too_large",
            "The claims that are carried into the access token are too long: map fewer or shorter ones",
        )
    actor = Actor(kind="identity", id=found.identity.id, name=found.identity.name, org_id=found.org.id)
    metadata = {
        "identityId": actor.id,
        "identityAccessTokenId": issued.claims.jti,
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
            secret=credentials.SecretUsed(used.id, used.uses_limit > 0, ctx.now) if used else None,
            proof=spent_by(method, verified),
            token=row_of(issued.claims, ctx.now) if limited else None,
        )
    )
    if reason is not None:
        raise Denied(reason, _TEXTS[reason])
    ctx.runtime.journal.coalesce(
        actor.id,
        logins.LoginSeen(
            identity_id=actor.id, org_id=found.org.id, method=method.slug, at=ctx.now, address=ctx.address
        ),
    )
    return issued


def spent_by(method: AuthMethod[Any, Any], verified: Verified) -> credentials.ProofSpent | None:
    """The entry that uses up a proof which may be used once."""
    spent = verified.spent
    return credentials.ProofSpent(f"{method.slug}/{_digest(spent.key)}", spent.expires_at) if spent else None


def check_trace(checks: Checks, reason: str) -> tuple[dict[str, object], ...]:
    """The checks in order, the one that decided last: what the journal settles is known only after all others."""
    done = checks.done
    if not done or done[-1].passed:
        done = [*(check for check in done if check.name != reason), Check(reason, passed=False)]
    return tuple(msgspec.to_builtins(check) for check in done)


async def _record(
    ctx: Ctx, method: AuthMethod[Any, Any], body: Any, found: LocatedLogin | None, checks: Checks, denial: Denied
) -> Denied:
    """Keep the story of a refusal, and count it where it was a wrong proof. Whatever was tried costs one durable entry.

    The answer is the refusal that it was: another one when the identity was locked out meanwhile. Raises
    TooManyRequests when the address was refused too often: then only a count in memory is kept, which is written now
    and then.
    """
    config = found.config if found else None
    counts = config is not None and method.locks and config.lockout_enabled and checks.failed == "prove"
    wait = 0.0 if checks.failed == "reach" else ctx.runtime.limits.refused_logins.take(ctx.address)
    event = None
    if found is not None:
        facts = {
            "identityId": found.identity.id,
            "reasonCode": denial.reason,
            "message": clipped(denial.message, 400),
            "requestId": ctx.request_id,
        }
        actor = Actor(kind="identity", id=found.identity.id, name=found.identity.name, org_id=found.org.id)
        event = ctx.event(f"login-identity-{method.slug}-failed", facts, actor=actor)
    story = Denial(
        request_id=ctx.request_id or ctx.new_id(),
        at=ctx.now,
        org_id=found.org.id if found else None,
        identity_id=found.identity.id if found else None,
        method=method.slug,
        reason=denial.reason,
        message=denial.message,
        facts=dict(denial.facts),
        checks=check_trace(checks, denial.reason),
        address=ctx.address,
        user_agent=ctx.user_agent,
    )
    kept = ctx.runtime.refusals.take(story, event, whose=found.identity.id if found else "")
    counted = True
    if wait and not counts and kept.again is not None:
        ctx.runtime.journal.coalesce(("refused", kept.request_id), kept.again)
    else:
        entry = logins.LoginFailed(
            at=ctx.now,
            denial=kept.denial,
            again=kept.again,
            event=kept.event,
            config=config if counts else None,
            lockout_key=lockout_key(method, body, config, checks) if counts and config else None,
        )
        counted = await _written(ctx, kept, entry)
    if wait:
        raise ctx.runtime.limits.refused_logins.refusal(wait)
    return denial if counted else Denied("locked_out", _TEXTS["locked_out"])


async def _written(ctx: Ctx, kept: RefusalWrite, entry: logins.LoginFailed) -> bool:
    try:
        counted: bool = await ctx.submit(entry)
    except BaseException:
        ctx.runtime.refusals.forget(kept)
        raise
    return counted


async def _require_room(ctx: Ctx, method: AuthMethod[Any, Any]) -> None:
    """Raise TooManyRequests for an address that was refused too often, before a proof that is dear to judge is
    looked at.
    """
    limit = ctx.runtime.limits.refused_logins
    wait = 0.0 if method.secret_of is not None else limit.wait(ctx.address)
    if not wait:
        return
    refusal = limit.refusal(wait)
    story = Denial(
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
    kept = ctx.runtime.refusals.take(story, None)
    if kept.again is not None:
        ctx.runtime.journal.coalesce(("refused", kept.request_id), kept.again)
    else:
        await _written(ctx, kept, logins.LoginFailed(at=ctx.now, denial=kept.denial))
    raise refusal
