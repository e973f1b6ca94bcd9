"""Authenticate a bearer credential: find its Actor, and check that the credential is still valid.

Whether a token was signed here is remembered by digest, as long as the same keys are valid. Everything that can change
(revocation, the identity, its methods and networks, membership, which keys are valid) is read through the coherent
cache.
"""

import hashlib
import hmac
from collections.abc import Mapping

import msgspec

from watchword.domain.actor import Actor
from watchword.domain.authentication.live_tokens import is_ended, revocation_keys
from watchword.domain.authentication.records import Revocation
from watchword.domain.authentication.tokens import Claims, IdentityClaims, PersonClaims, require_unexpired, verified
from watchword.domain.bounds import AddressSet, compile_ranges
from watchword.domain.errors import BadToken, Forbidden, Unauthorized
from watchword.domain.generations import Generations
from watchword.domain.identities.records import Identity
from watchword.domain.people.records import Session, User
from watchword.domain.projects.records import ServiceToken
from watchword.services.context import Ctx
from watchword.services.keys.keyring import Keyring
from watchword.store import versions
from watchword.store.access import grants
from watchword.store.authentication import logins, method_configs, token_revocations, token_rows
from watchword.store.engine import Tx
from watchword.store.identities import identities
from watchword.store.keys.rehashing import Rehashed
from watchword.store.people import people
from watchword.store.projects import service_tokens

_KEYS = versions.keys()
_MOST_CACHED_REVOCATIONS = 8  # cached for each identity; beyond that only a token's own are queried
_USES_APART = 3600 * 1000  # milliseconds


class VerifiedTokens:
    """The claims of tokens whose signature was verified, by digest; bounded."""

    __slots__ = ("_capacity", "_claims", "_keys", "_noted", "_verifiers")

    def __init__(self, keys: Keyring, capacity: int) -> None:
        self._keys = keys
        self._verifiers: Mapping[str, object] = {}
        self._capacity = capacity
        self._claims: Generations[bytes, Claims] = Generations(capacity)
        self._noted: dict[str, int] = {}

    def is_due(self, identity_id: str, now: int) -> bool:
        """Whether a use by this identity should be recorded: the first one seen by this process for an hour."""
        if now - self._noted.get(identity_id, 0) < _USES_APART:
            return False
        if len(self._noted) >= self._capacity:
            self._noted.clear()
        self._noted[identity_id] = now
        return True

    def claims(self, token: str) -> Claims:
        """Return the claims of a token signed here. Raises BadToken."""
        if self._keys.verifiers is not self._verifiers:  # a key may have been ended
            self._verifiers, self._claims = self._keys.verifiers, Generations(self._capacity)
        digest = hashlib.sha256(token.encode(errors="surrogatepass")).digest()
        claims = self._claims.get(digest)
        if claims is None:
            claims = verified(token, self._keys.verifiers)
            self._claims.keep(digest, claims)
        return claims


class Standing(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The state of an identity that decides whether a token of one method is valid."""

    identity: Identity | None
    is_member: bool
    since: int  # tokens of an earlier generation have ended
    networks: AddressSet | None  # None: the method is not attached any more
    # None: there are more than are cached, and only a token's own are queried.
    revocations: Mapping[str, Revocation] | None


def _timed_keys(claims: IdentityClaims) -> tuple[str, ...]:
    """Return the keys of revocations by which an earlier release ended all tokens issued until a time.

    They do not concern later tokens.
    """
    return (
        ()
        if claims.generation
        else (f"identity/{claims.identity_id}", f"method/{claims.identity_id}/{claims.auth_method}")
    )


def is_revoked(claims: IdentityClaims, revocations: Mapping[str, Revocation]) -> bool:
    """Whether one of `revocations` ends the token."""
    if is_ended(revocations, claims.jti, claims.client_secret_id, claims.generation):
        return True
    return any(key in revocations and claims.creation_ms <= revocations[key].before for key in _timed_keys(claims))


async def _load_standing(tx: Tx, identity_id: str, method: str, org_id: str) -> tuple[Standing, tuple[str, ...]]:
    identity = await identities.by_id(tx, identity_id)
    config = await method_configs.config(tx, identity_id, method)
    member = await grants.org_membership(tx, "identity", identity_id, org_id)
    revocations = await token_revocations.few_of(tx, identity_id, most=_MOST_CACHED_REVOCATIONS)
    value = Standing(
        identity=identity,
        is_member=member is not None and member.is_active,
        since=max(identity.tokens_since if identity else 0, config.tokens_since if config else 0),
        networks=compile_ranges(config.trusted_ips) if config else None,
        revocations=None if revocations is None else {revocation.key: revocation for revocation in revocations},
    )
    return value, (versions.identity(identity_id), versions.org(org_id), _KEYS)


async def _own_revocations(ctx: Ctx, claims: IdentityClaims) -> Mapping[str, Revocation]:
    async def load(tx: Tx) -> tuple[dict[str, Revocation], tuple[str, ...]]:
        return {
            revocation.key: revocation
            for revocation in await token_revocations.by_keys(
                tx, revocation_keys(claims.jti, claims.client_secret_id) + _timed_keys(claims)
            )
        }, (versions.identity(claims.identity_id),)

    loaded: Mapping[str, Revocation] = await ctx.fresh.get(("revocations", claims.jti), load)
    return loaded


async def require_standing(ctx: Ctx, claims: IdentityClaims, *, doing: str = "authorize") -> Identity:
    """Return the identity of a token that is live and used from a network that its method trusts.

    Raises Unauthorized (log in again) or, for a network that is not trusted, Forbidden.
    """
    identity, networks = await require_live(ctx, claims, doing=doing)
    if not networks.is_open and not networks.admits(ctx.address):
        raise Forbidden("You are not allowed to access this resource from the current IP address")
    return identity


async def require_live(ctx: Ctx, claims: IdentityClaims, *, doing: str) -> tuple[Identity, AddressSet]:
    """Return the identity of a live token, and the networks that its method trusts.

    Raises Unauthorized for a token that is expired or revoked, or whose identity or method is not in order.
    """
    require_unexpired(claims, ctx.now)
    about = claims.identity_id, claims.auth_method, claims.org_id
    state: Standing = await ctx.fresh.get(("standing", *about), _load_standing, *about)
    identity = state.identity
    if identity is None:
        raise Unauthorized(f"Failed to {doing}: no identity access token found")
    revocations = await _own_revocations(ctx, claims) if state.revocations is None else state.revocations
    if claims.generation < state.since or (revocations and is_revoked(claims, revocations)):
        raise Unauthorized(f"Failed to {doing}: no identity access token found, it was revoked")
    if identity.is_disabled or (identity.expires_at is not None and identity.expires_at <= ctx.now):
        raise Unauthorized(f"Failed to {doing}: the identity is disabled or has expired")
    if not state.is_member:
        raise Unauthorized(f"Failed to {doing}: the identity is not a member of the organization")
    if state.networks is None:
        raise Unauthorized(f"Failed to {doing}: the auth method that issued this token is not attached any more")
    return identity, state.networks


async def require_signed(ctx: Ctx, token: str, seen: VerifiedTokens) -> None:
    """Raise BadToken if the key that signed a token has been ended.

    Called after `require_standing`, which has read the version of the keys as well.
    """
    if ctx.fresh.version(_KEYS) != ctx.runtime.keys.checked:
        await notice_ended_keys(ctx)
        seen.claims(token)


async def notice_ended_keys(ctx: Ctx) -> None:
    """Learn of every key that was ended before this request arrived, on any server."""
    await ctx.fresh.prefetch((_KEYS,))
    if ctx.fresh.version(_KEYS) != ctx.runtime.keys.checked:
        await ctx.runtime.keys.catch_up(ctx.runtime.store, ctx.fresh.version(_KEYS))


async def authenticate_bearer(ctx: Ctx, bearer: str, seen: VerifiedTokens) -> Actor:
    """Return the actor of a bearer credential. Raises Unauthorized, BadToken, or Forbidden for an untrusted network."""
    if bearer.startswith("st."):
        return await _service_token_actor(ctx, bearer)
    claims = seen.claims(bearer)
    if isinstance(claims, PersonClaims):
        person = await _person_actor(ctx, claims)
        await require_signed(ctx, bearer, seen)
        return person
    identity = await require_standing(ctx, claims)
    if (
        ctx.fresh.version(_KEYS) != ctx.runtime.keys.checked
    ):  # asked here too: nearly always there is nothing to wait for
        await require_signed(ctx, bearer, seen)
    if claims.auth_method in ctx.runtime.named_tokens and seen.is_due(identity.id, ctx.now):
        # A named token comes from no login: without this, an identity in daily use would be reported as never used.
        used = logins.LoginSeen(
            identity_id=identity.id, org_id=claims.org_id, method=claims.auth_method, at=ctx.now, address=ctx.address
        )
        ctx.runtime.journal.coalesce(identity.id, used)
    return Actor(
        kind="identity",
        id=identity.id,
        name=identity.name,
        org_id=claims.org_id,
        is_instance_admin=identity.is_instance_admin,
        claims=claims,
    )


async def count_use(ctx: Ctx) -> None:
    """Count one request of a limited token, durably. Raises Unauthorized when no use is left."""
    claims = ctx.actor.claims
    if (
        claims is not None
        and claims.num_uses_limit > 0
        and not await ctx.runtime.journal.submit(token_rows.TokenUsed(claims.jti, ctx.now))
    ):
        raise Unauthorized("The access token has no uses left: log in again")


async def _person_actor(ctx: Ctx, claims: PersonClaims) -> Actor:
    require_unexpired(claims, ctx.now)

    async def load(tx: Tx) -> tuple[tuple[User | None, Session | None], tuple[str, ...]]:
        person = await people.user(tx, claims.user_id)
        return (person, await people.session(tx, claims.token_version_id)), (versions.user(claims.user_id), _KEYS)

    person, session = await ctx.fresh.get(("session", claims.token_version_id), load)
    if (
        person is None
        or session is None
        or session.user_id != claims.user_id
        or not person.is_active
        or session.expires_at <= ctx.now
    ):
        raise Unauthorized("The session has ended: sign in again")
    # A person with a second factor may do almost nothing until the session has proved it.
    return Actor(
        kind="pending" if person.mfa_method and not session.is_mfa_verified else "user",
        id=person.id,
        name=f"{person.first_name} {person.last_name}".strip(),
        email=person.email,
        org_id=claims.organization_id,
        session_id=session.id,
        is_instance_admin=person.is_instance_admin,
        is_mfa_verified=session.is_mfa_verified,
    )


async def _service_token_actor(ctx: Ctx, bearer: str) -> Actor:
    parts = bearer.split(".")
    if len(parts) not in (3, 4):
        raise BadToken("The service token is malformed")
    bearer = ".".join(parts[:3])  # the fourth is a key of the client's own, which opens nothing here and is not read
    token: ServiceToken | None
    async with ctx.view() as tx:
        token = await service_tokens.by_id(tx, parts[1])
    if token is None:
        raise Unauthorized("The service token is not valid")
    keys = ctx.runtime.keys
    digest = keys.digest(bearer)
    if not hmac.compare_digest(token.hash, digest):
        # It may be hashed with a key from before a rotation; from its first use on it is hashed with the current key.
        if not any(hmac.compare_digest(token.hash, other) for other in keys.other_digests(bearer).values()):
            raise Unauthorized("The service token is not valid")
        if token.hash_version < keys.hash_version:
            now = Rehashed("service_tokens", token.id, token.project_id, token.hash, digest, keys.hash_version)
            await ctx.submit(now)
    if token.expires_at is not None and token.expires_at <= ctx.now:
        raise Unauthorized("The service token has expired")
    return Actor(
        kind="service",
        id=token.id,
        name=token.name,
        project_id=token.project_id,
        scopes=token.scopes,
        permissions=token.permissions,
    )
