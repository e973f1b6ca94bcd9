"""The bodies of auth methods: a method's own fields and the common ones as one struct, and their stored columns."""

from collections.abc import Collection, Mapping
from functools import cache
from typing import Annotated, Any, Protocol

import msgspec

from watchword.domain.authentication.records import MethodConfig
from watchword.domain.bounds import IpRange, parse_ip_range
from watchword.domain.decode import Trimmed, checked, decode, require_known
from watchword.domain.errors import BadRequest, Invalid
from watchword.methods.base import (
    EVERYWHERE,
    LOCKOUT,
    NETWORKS,
    PROOF,
    TOKENS,
    TRUST,
    AuthMethod,
    Operator,
    Schema,
    TrustedIp,
    as_stored,
    said,
)
from watchword.services.authentication.sealed_config import secret_fields

Method = AuthMethod[Any, Any]
DEFAULT_TTL = 2_592_000  # seconds: 30 days
MAX_USES = 9_007_199_254_740_991  # the largest number that every reader of JSON keeps exactly (RFC 8259 section 6)
MAX_TTL = 315_360_000  # seconds: 10 years
Seconds = Annotated[int, msgspec.Meta(ge=0, le=MAX_TTL)]


class TokenFields(Schema, frozen=True, kw_only=True):
    """The settings of every method about the tokens it issues. Times to live are seconds; 0 is unlimited."""

    access_token_ttl: Annotated[
        Seconds,
        said(
            "A token lives",
            "Until it is renewed. 0: without end.",
            danger="0, or a long time: a stolen token works for so long.",
            example="3600",
            also="In seconds.",
            group=TOKENS,
            is_seconds=True,
        ),
    ] = msgspec.field(default=DEFAULT_TTL, name="accessTokenTTL")
    access_token_max_ttl: Annotated[
        Seconds,
        said(
            "At most, with renewals",
            "0: it can be renewed without end.",
            danger="0, or longer than a day: a stolen token can be kept alive for so long.",
            example="86400",
            also="In seconds.",
            group=TOKENS,
            is_seconds=True,
        ),
    ] = msgspec.field(default=DEFAULT_TTL, name="accessTokenMaxTTL")
    access_token_num_uses_limit: Annotated[
        int,
        msgspec.Meta(ge=0, le=MAX_USES),
        said("Uses of a token", "How many requests it is good for. 0: any number.", example="0", group=TOKENS),
    ] = 0
    access_token_trusted_ips: Annotated[
        tuple[TrustedIp, ...],
        msgspec.Meta(min_length=1),
        said(
            "Networks of tokens",
            "From where a token may be used.",
            danger="0.0.0.0/0 and ::/0 are every address: a stolen token works from anywhere.",
            example="10.0.0.0/8",
            group=NETWORKS,
        ),
    ] = EVERYWHERE


class PeriodField(Schema, frozen=True, kw_only=True):
    """Periodic tokens: each renewal extends by this, forever."""

    access_token_period: Annotated[
        Seconds,
        said(
            "Period",
            "Each renewal extends a token by this, without end. 0: tokens are not periodic.",
            danger="Any other than 0: a stolen token can be kept alive without end.",
            example="0",
            also="In seconds.",
            group=TOKENS,
            is_seconds=True,
        ),
    ] = 0


class LockoutFields(Schema, frozen=True, kw_only=True):
    """When failed logins lock the identity out."""

    lockout_enabled: Annotated[
        bool,
        said(
            "Lock out after failed logins",
            "For a time, nobody can log in by this method then.",
            danger="Off: passwords can be guessed without end.",
            example="true",
            group=LOCKOUT,
        ),
    ] = True
    lockout_threshold: Annotated[
        int, msgspec.Meta(ge=1, le=30), said("After so many", "Failed logins in a row.", example="3", group=LOCKOUT)
    ] = 3
    lockout_duration_seconds: Annotated[
        int,
        msgspec.Meta(ge=30, le=86_400),
        said(
            "For how long",
            "A login is refused for this time.",
            example="300",
            also="In seconds.",
            group=LOCKOUT,
            is_seconds=True,
        ),
    ] = 300
    lockout_counter_reset_seconds: Annotated[
        int,
        msgspec.Meta(ge=5, le=3_600),
        said(
            "They are forgotten after",
            "Without another failed login.",
            example="30",
            also="In seconds.",
            group=LOCKOUT,
            is_seconds=True,
        ),
    ] = 30


class TemplateField(Schema, frozen=True, kw_only=True):
    """The template that some settings come from, instead of the body."""

    template_id: Annotated[
        Annotated[str, msgspec.Meta(min_length=1, max_length=36)] | None,
        said(
            "Template",
            "The id of the template that holds the settings about the directory.",
            example="0b6f1a52-3d7e-4c1f-8a90-5e2d7c4b9f10",
            group=TRUST,
            is_folded=True,
        ),
    ] = None


_REQUIRED = object()


@cache
def body(method: Method) -> type[Schema]:
    """Return the body of attach, also for OpenAPI: the method's own fields and the common ones, as one struct."""
    bases: list[type[Schema]] = [method.config, TokenFields]
    bases += [base for base, has in ((PeriodField, method.has_period), (LockoutFields, method.has_lockout)) if has]
    if method.template:
        bases.append(TemplateField)
    return _joined(_title(method) + "Settings", bases, without=method.managed)


@cache
def template_body(method: Method) -> type[Schema]:
    """Return the struct of the fields that a template of a method holds."""
    held = (*method.template, *method.template_may)
    others = [field.encode_name for field in msgspec.structs.fields(method.config) if field.encode_name not in held]
    return _joined(_title(method) + "Template", [method.config], without=others, optional=method.template_may)


OrganizationSlug = Annotated[
    Trimmed,
    said(
        "Sub-organization",
        "The slug of a sub-organization, for a token that is good there and nowhere else: the identity must be a "
        "member of it. Left out, the token is for the identity's own organization. Read under its first name "
        "subOrganizationName too, and not at all for an identity that lives in a sub-organization.",
        example="emea",
        group=PROOF,
    ),
]


class ForOrganization(Protocol):
    """A body that may name the organization that a token is for."""

    @property
    def organization_slug(self) -> str | None:
        """Its slug."""
        ...

    @property
    def sub_organization_name(self) -> str | None:
        """Its slug, under the first name of the field."""
        ...


def organization_slug(body: ForOrganization) -> str | None:
    """Return the slug of the organization that a login or a new token is for, under its newer or its first name."""
    return body.organization_slug or body.sub_organization_name or None


class OrganizationNames(Schema, frozen=True, kw_only=True):
    """The fields of a login that name the organization that the token is for, alike for every method."""

    organization_slug: OrganizationSlug | None = None
    sub_organization_name: OrganizationSlug | None = None


@cache
def login_body(method: Method) -> type[Schema]:
    """Return the body of login: the method's own fields, and the organization that the token is for."""
    assert method.login is not None
    struct: type[Schema] = msgspec.defstruct(  # type: ignore[assignment]
        _title(method) + "Login",
        [
            ("organization_slug", OrganizationSlug | None, None),
            ("sub_organization_name", OrganizationSlug | None, None),
        ],
        bases=(method.login,),
        frozen=True,
        kw_only=True,
        rename="camel",
        namespace={"__doc__": method.login.__doc__},
    )
    return struct


def _title(method: Method) -> str:
    return "".join(part.capitalize() for part in method.slug.split("-"))


def _joined(
    title: str, bases: list[type[Schema]], *, without: Collection[str], optional: Collection[str] = ()
) -> type[Schema]:
    """Make one struct of the fields of several. Of `optional` ones it remembers whether they were sent at all."""
    fields: list[tuple[str, Any, Any]] = []
    names: dict[str, str] = {}
    for base in bases:
        for field in msgspec.structs.fields(base):
            if field.encode_name in optional:
                unset = msgspec.field(default=msgspec.UNSET, name=field.encode_name)
                fields.append((field.name, field.type | msgspec.UnsetType, unset))
                names[field.name] = field.encode_name
            elif field.encode_name not in without:
                fields.append((field.name, field.type, _default(field)))
                names[field.name] = field.encode_name
    fields.sort(key=lambda field: field[2] is not _REQUIRED)
    built = [(name, kind) if default is _REQUIRED else (name, kind, default) for name, kind, default in fields]
    struct: type[Schema] = msgspec.defstruct(title, built, bases=(Schema,), frozen=True, kw_only=True, rename=names)  # type: ignore[assignment]
    return struct


def _default(field: Any) -> Any:
    if field.default_factory is not msgspec.NODEFAULT:
        return msgspec.field(default_factory=field.default_factory, name=field.encode_name)
    return (
        _REQUIRED
        if field.default is msgspec.NODEFAULT
        else msgspec.field(default=field.default, name=field.encode_name)
    )


# What every configuration is answered with besides its settings: who reads it, changes it and sends it back whole is
# not refused for these. `identityId` is also sent by Terraform.
ANSWERED = frozenset({"id", "identityId", "createdAt", "updatedAt"})


def known(method: Method, identity_id: str, wire: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of a body. Raises Invalid, naming the nearest setting, for a key that means nothing.

    A misspelt or misplaced restriction would otherwise be lost without a word.
    """
    settings = _folded_networks(method, wire)
    also = ANSWERED | {*method.managed} | {f"{name}IsSet" for name in secret_fields(method)}
    if not method.has_period and not wire.get("accessTokenPeriod"):
        also |= {"accessTokenPeriod"}  # answered as 0
    require_known(body(method), settings, also=also)
    if wire.get("identityId") not in (None, "", identity_id):
        raise Invalid.of("identityId", "must be the identity that the path names, or be left out")
    fields = {field.encode_name for field in msgspec.structs.fields(body(method))}
    return {name: value for name, value in settings.items() if name in fields}


def known_template(method: Method, wire: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a template. Raises Invalid for one that a template of the method does not hold."""
    answered = {f"{name}IsSet" for name in secret_fields(method)}
    require_known(template_body(method), wire, also=answered)
    return {name: value for name, value in wire.items() if name not in answered}


def _folded_networks(method: Method, wire: Mapping[str, Any]) -> dict[str, Any]:
    """Write each network as one text: `{ipAddress: 10.0.0.0, prefix: 8}`, as it is answered, is `10.0.0.0/8`."""
    settings = dict(wire)
    for name in ("accessTokenTrustedIps", *method.networks):
        if isinstance(settings.get(name), list):
            settings[name] = [_folded(item, f"{name}") if isinstance(item, dict) else item for item in settings[name]]
    return settings


def _folded(network: Mapping[str, Any], path: str) -> dict[str, Any]:
    rest = {name: value for name, value in network.items() if name not in ("type", "prefix")}
    address, prefix = rest.get("ipAddress"), network.get("prefix")
    if not isinstance(address, str) or "/" in address or prefix is None:
        return rest
    if not isinstance(prefix, int) or isinstance(prefix, bool):
        raise Invalid.of(path, "The prefix of a network is a whole number: write 10.0.0.0/8")
    if prefix == 0 and address.strip() not in ("0.0.0.0", "::"):  # noqa: S104
        # A client in Go leaves 0 where it means none, and this would admit everybody.
        raise Invalid.of(path, f"Write {address[:64]} without a prefix for one address, or 0.0.0.0/0 for all")
    return {**rest, "ipAddress": f"{address.strip()}/{prefix}"}


class Read(msgspec.Struct, frozen=True):
    """A validated body in two parts: the method's own settings, and the columns that all methods have."""

    config: Any
    columns: dict[str, Any]


def read(method: Method, wire: Mapping[str, Any], operator: Operator) -> Read:
    """Validate a whole configuration (of an attach, or an update merged with what is stored).

    Raises Invalid, BadRequest.
    """
    whole: Any = decode(body(method), wire)
    config = as_stored(method, decode(method.config, wire), operator)
    ttl, max_ttl = whole.access_token_ttl, whole.access_token_max_ttl
    if max_ttl > 0 and ttl > max_ttl:
        raise BadRequest("Access token TTL cannot be greater than max TTL")
    columns = {
        "ttl": ttl,
        "max_ttl": max_ttl,
        "uses_limit": whole.access_token_num_uses_limit,
        "period": getattr(whole, "access_token_period", 0),
        "trusted_ips": _ranges(whole.access_token_trusted_ips, "accessTokenTrustedIps"),
        "template_id": getattr(whole, "template_id", None),
    }
    if method.has_lockout:
        columns |= {
            "lockout_enabled": whole.lockout_enabled,
            "lockout_threshold": whole.lockout_threshold,
            "lockout_duration": whole.lockout_duration_seconds,
            "lockout_reset": whole.lockout_counter_reset_seconds,
        }
    return Read(config, columns)


def _ranges(networks: tuple[Any, ...], path: str) -> tuple[IpRange, ...]:
    return tuple(checked(path, parse_ip_range, ip.ip_address) for ip in networks)


def common_wire(method: Method, record: MethodConfig) -> dict[str, Any]:
    """Return the common settings of a stored configuration in the form of a body."""
    wire: dict[str, Any] = {
        "accessTokenTTL": record.ttl,
        "accessTokenMaxTTL": record.max_ttl,
        "accessTokenNumUsesLimit": record.uses_limit,
        "accessTokenTrustedIps": [{"ipAddress": written(ip)} for ip in record.trusted_ips],
    }
    if method.template:
        wire["templateId"] = record.template_id
    if method.has_period:
        wire["accessTokenPeriod"] = record.period
    if method.has_lockout:
        wire |= {
            "lockoutEnabled": record.lockout_enabled,
            "lockoutThreshold": record.lockout_threshold,
            "lockoutDurationSeconds": record.lockout_duration,
            "lockoutCounterResetSeconds": record.lockout_reset,
        }
    return wire


def written(ip: IpRange) -> str:
    """Write a network as an administrator does."""
    return ip.ip_address if ip.prefix is None else f"{ip.ip_address}/{ip.prefix}"
