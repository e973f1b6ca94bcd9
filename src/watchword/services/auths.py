"""Attach, update, get and remove an auth method on an identity, the same way for every method (contract 3.4)."""

from collections.abc import Hashable, Mapping
from functools import cache
from typing import Annotated, Any, cast

import msgspec

from watchword.domain.bounds import IpRange, parse_ip_range
from watchword.domain.decode import Trimmed, checked, decode
from watchword.domain.errors import BadRequest, NotFound, PermissionDenied
from watchword.domain.model.identities import Identity, MethodConfig
from watchword.methods import universal
from watchword.methods.base import AuthMethod, Schema
from watchword.services import sealed_config, tokens
from watchword.services.authentication import method_mark
from watchword.services.boundaries import require_over
from watchword.services.context import Ctx, Scope
from watchword.services.identities import facts, locate
from watchword.services.keys import org_scope
from watchword.store import credentials, versions
from watchword.store.engine import AlreadyThere, Tx

Method = AuthMethod[Any, Any]
DEFAULT_TTL = 2_592_000  # seconds: 30 days
MAX_TTL = 315_360_000  # seconds: 10 years

Seconds = Annotated[int, msgspec.Meta(ge=0, le=MAX_TTL)]


class TrustedIp(Schema, frozen=True, kw_only=True):
    """A network, as an administrator writes it."""

    ip_address: Trimmed


EVERYWHERE = (TrustedIp(ip_address="0.0.0.0/0"), TrustedIp(ip_address="::/0"))


class TokenFields(Schema, frozen=True, kw_only=True):
    """What every method says about the tokens it issues. Times to live are seconds; 0 is unlimited."""

    access_token_trusted_ips: Annotated[tuple[TrustedIp, ...], msgspec.Meta(min_length=1)] = EVERYWHERE
    access_token_ttl: Seconds = msgspec.field(default=DEFAULT_TTL, name="accessTokenTTL")
    access_token_max_ttl: Seconds = msgspec.field(default=DEFAULT_TTL, name="accessTokenMaxTTL")
    access_token_num_uses_limit: Annotated[int, msgspec.Meta(ge=0, le=2_147_483_647)] = 0


class PeriodField(Schema, frozen=True, kw_only=True):
    """Periodic tokens: each renewal extends by this, for ever."""

    access_token_period: Seconds = 0


class LockoutFields(Schema, frozen=True, kw_only=True):
    """When failed logins lock the identity out (contract 3.5)."""

    lockout_enabled: bool = True
    lockout_threshold: Annotated[int, msgspec.Meta(ge=1, le=30)] = 3
    lockout_duration_seconds: Annotated[int, msgspec.Meta(ge=30, le=86_400)] = 300
    lockout_counter_reset_seconds: Annotated[int, msgspec.Meta(ge=5, le=3_600)] = 30


class Attached(msgspec.Struct, frozen=True, kw_only=True):
    """A configuration as it is answered: the record, and the method's own settings with secrets left out."""

    method: Method
    record: MethodConfig
    settings: Mapping[str, Any]


@cache
def body_of(slug: str, method_config: Any, *, period: bool, lockout: bool) -> type[Schema]:
    """The body of attach: the method's own fields and the common ones, as one struct. Also what OpenAPI shows."""
    bases: tuple[Any, ...] = (method_config, TokenFields)
    bases += (PeriodField,) if period else ()
    bases += (LockoutFields,) if lockout else ()
    fields: list[tuple[str, Any, Any]] = []
    for base in bases:
        fields += [(field.name, field.type, _default(field)) for field in msgspec.structs.fields(base)]
    fields.sort(key=lambda field: field[2] is not _REQUIRED)
    title = "".join(part.capitalize() for part in slug.split("-")) + "Settings"
    built = [(name, kind) if default is _REQUIRED else (name, kind, default) for name, kind, default in fields]
    names = {field.name: field.encode_name for base in bases for field in msgspec.structs.fields(base)}
    struct: type[Schema] = msgspec.defstruct(title, built, bases=(Schema,), frozen=True, kw_only=True, rename=names)  # type: ignore[assignment]
    return struct


_REQUIRED = object()


def _default(field: Any) -> Any:
    if field.default_factory is not msgspec.NODEFAULT:
        return msgspec.field(default_factory=field.default_factory, name=field.encode_name)
    return _REQUIRED if field.default is msgspec.NODEFAULT else msgspec.field(default=field.default, name=field.encode_name)


def body(method: Method) -> type[Schema]:
    """The body of attach for a method."""
    return body_of(method.slug, cast("Hashable", method.config), period=method.has_period, lockout=method.has_lockout)


def _ranges(given: tuple[Any, ...], path: str) -> tuple[IpRange, ...]:
    return tuple(checked(path, parse_ip_range, ip.ip_address) for ip in given)


class _Read(msgspec.Struct, frozen=True):
    """A validated body, taken apart."""

    config: Any
    columns: dict[str, Any]


def _read(method: Method, wire: Mapping[str, Any]) -> _Read:
    """Validate a whole configuration (of an attach, or an update merged with what is stored). Raises Invalid, BadRequest."""
    whole: Any = decode(body(method), wire)
    config = method.check(decode(method.config, wire))
    ttl, max_ttl = whole.access_token_ttl, whole.access_token_max_ttl
    if max_ttl > 0 and ttl > max_ttl:
        raise BadRequest("Access token TTL cannot be greater than max TTL")
    columns = {
        "ttl": ttl, "max_ttl": max_ttl, "uses_limit": whole.access_token_num_uses_limit,
        "period": getattr(whole, "access_token_period", 0),
        "trusted_ips": _ranges(whole.access_token_trusted_ips, "accessTokenTrustedIps"),
    }  # fmt: skip
    if method.has_lockout:
        columns |= {
            "lockout_enabled": whole.lockout_enabled, "lockout_threshold": whole.lockout_threshold,
            "lockout_duration": whole.lockout_duration_seconds, "lockout_reset": whole.lockout_counter_reset_seconds,
        }  # fmt: skip
    return _Read(config, columns)


def _wire(method: Method, record: MethodConfig, settings: Mapping[str, Any]) -> dict[str, Any]:
    """A stored configuration in the form of an attach body."""
    wire = {
        **settings,
        "accessTokenTTL": record.ttl, "accessTokenMaxTTL": record.max_ttl, "accessTokenNumUsesLimit": record.uses_limit,
        "accessTokenTrustedIps": [{"ipAddress": written(ip)} for ip in record.trusted_ips],
    }  # fmt: skip
    if method.has_period:
        wire["accessTokenPeriod"] = record.period
    if method.has_lockout:
        wire |= {
            "lockoutEnabled": record.lockout_enabled, "lockoutThreshold": record.lockout_threshold,
            "lockoutDurationSeconds": record.lockout_duration, "lockoutCounterResetSeconds": record.lockout_reset,
        }  # fmt: skip
    return wire


def written(ip: IpRange) -> str:
    """A network as an administrator writes it."""
    return ip.ip_address if ip.prefix is None else f"{ip.ip_address}/{ip.prefix}"


def require_any(ctx: Ctx, scope: Scope, actions: tuple[str, ...], identity: Identity) -> None:
    """Raise PermissionDenied unless one of `actions` on the identity is allowed: the older name of a right, or the newer one."""
    if not any(ctx.may(scope, action, "identity", **facts(identity)) for action in actions):
        missing = [{"action": action, "subject": "identity"} for action in actions[:1]]
        raise PermissionDenied(f"You are not allowed to {actions[0]} on identity", details=missing)


async def attach(ctx: Ctx, method: Method, identity_id: str, given: Mapping[str, Any]) -> Attached:
    """Configure a method on an identity that does not have it yet."""
    identity, scope = await locate(ctx, identity_id)
    require_any(ctx, scope, ("create", "edit-auth"), identity)
    read = _read(method, given)
    async with ctx.unit() as tx:
        await require_over(ctx, tx, scope, identity, "edit-auth")
        record = await _add(ctx, tx, method, identity, read)
        settings = _settings(method, record)
        _audit(ctx, "add", method, identity, record, settings)
    return Attached(method=method, record=record, settings=settings)


async def _add(ctx: Ctx, tx: Tx, method: Method, identity: Identity, read: _Read) -> MethodConfig:
    sealer = await ctx.house.keys.sealer(tx, org_scope(identity.org_id))
    id = ctx.new_id()
    config, locator = sealed_config.stored(method, read.config, sealer, id), None
    if method.slug == universal.SLUG:
        locator = ctx.new_id()
        config["clientId"] = locator
    record = MethodConfig(
        id=id, identity_id=identity.id, method=method.slug, locator=locator, config=config, created_at=ctx.now, updated_at=ctx.now, **read.columns
    )  # fmt: skip
    try:
        await credentials.add_config(tx, record)
    except AlreadyThere:
        raise BadRequest(f"The identity already has {method.title}: update it, or remove it first") from None
    tx.changed(versions.identity(identity.id))
    return record


async def update(ctx: Ctx, method: Method, identity_id: str, given: Mapping[str, Any]) -> Attached:
    """Change some settings: what is sent is laid over what is stored, and the whole is validated again."""
    identity, scope = await locate(ctx, identity_id)
    require_any(ctx, scope, ("edit", "edit-auth"), identity)
    async with ctx.unit() as tx:
        await require_over(ctx, tx, scope, identity, "edit-auth")
        record = await _config(tx, method, identity)
        sealer = await ctx.house.keys.sealer(tx, org_scope(identity.org_id))
        stored = _wire(method, record, sealed_config.unsealed(method, record, sealer))
        fields = set(stored) | {field.encode_name for field in msgspec.structs.fields(body(method))}
        read = _read(method, {**stored, **{name: value for name, value in given.items() if name in fields and name != "clientId"}})
        config = sealed_config.stored(method, read.config, sealer, record.id)
        await credentials.change_config(tx, record.id, config=config, updated_at=ctx.now, **read.columns)
        tx.changed(versions.identity(identity.id))
        record = await _config(tx, method, identity)
        settings = _settings(method, record)
        _audit(ctx, "update", method, identity, record, settings)
    return Attached(method=method, record=record, settings=settings)


async def get(ctx: Ctx, method: Method, identity_id: str) -> Attached:
    """The configuration, without its secrets."""
    identity, scope = await locate(ctx, identity_id)
    ctx.require(scope, "read", "identity", **facts(identity))
    async with ctx.view() as tx:
        record = await _config(tx, method, identity)
    settings = _settings(method, record)
    await ctx.audit_read(f"get-identity-{method.slug}", org_id=identity.org_id, project_id=identity.project_id, identityId=identity.id)
    return Attached(method=method, record=record, settings=settings)


async def remove(ctx: Ctx, method: Method, identity_id: str) -> Attached:
    """Take a method off an identity. Tokens it issued are dead at once, and attaching it again does not revive them."""
    identity, scope = await locate(ctx, identity_id)
    require_any(ctx, scope, ("edit", "revoke-auth"), identity)
    async with ctx.unit() as tx:
        await require_over(ctx, tx, scope, identity, "revoke-auth")
        record = await _config(tx, method, identity)
        await tokens.end_tokens(ctx, tx, method_mark(identity.id, method.slug), identity.id)
        await credentials.remove_config(tx, record.id)
        await credentials.clear_lockouts(tx, identity.id, f"{identity.id}/{method.slug}/")
        tx.changed(versions.identity(identity.id))
        settings = _settings(method, record)
        _audit(ctx, "revoke", method, identity, record, {})
    return Attached(method=method, record=record, settings=settings)


async def clear_lockouts(ctx: Ctx, method: Method, identity_id: str) -> int:
    """Forget failed logins; how many counters there were."""
    identity, scope = await locate(ctx, identity_id)
    ctx.require(scope, "edit", "identity", **facts(identity))
    async with ctx.unit() as tx:
        await require_over(ctx, tx, scope, identity, "edit-auth")
        await _config(tx, method, identity)
        cleared = await credentials.clear_lockouts(tx, identity.id, f"{identity.id}/{method.slug}/")
        ctx.audit(f"clear-identity-{method.slug}-lockouts", org_id=identity.org_id, identityId=identity.id)
    return cleared


async def _config(tx: Tx, method: Method, identity: Identity) -> MethodConfig:
    record = await credentials.config(tx, identity.id, method.slug)
    if record is None:
        raise NotFound(f"The identity does not have {method.title}")
    return record


def _settings(method: Method, record: MethodConfig) -> dict[str, Any]:
    """The method's own settings as they are shown: a secret is empty, and `<name>IsSet` says whether there is one."""
    shown = dict(record.config)
    for name in sealed_config.secret_fields(method):
        shown[f"{name}IsSet"] = isinstance(shown.get(name), dict)
        shown[name] = ""
    return shown


def _audit(ctx: Ctx, verb: str, method: Method, identity: Identity, record: MethodConfig, settings: Mapping[str, Any]) -> None:
    ctx.audit(
        f"{verb}-identity-{method.slug}", org_id=identity.org_id, project_id=identity.project_id, identityId=identity.id,
        **(_wire(method, record, settings) if settings else {}),
    )  # fmt: skip

