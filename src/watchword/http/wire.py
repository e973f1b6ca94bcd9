"""Response structs made from records: camelCase, with the fields that clients read."""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, ClassVar, TypeVar

import msgspec

from watchword.domain.access.records import MembershipRole, Role
from watchword.domain.authentication.endings import SecretState, end_of_secret, state_of
from watchword.domain.authentication.records import ClientSecret
from watchword.domain.bounds import IpRange, parse_ip_range
from watchword.domain.identities.records import Identity, Metadata
from watchword.domain.people.records import Organization
from watchword.domain.record import Record
from watchword.http.bodies import Written, encode
from watchword.services.authentication.auth_methods import Attached
from watchword.services.authentication.named_tokens import NamedToken
from watchword.services.authentication.tokens import Issued
from watchword.services.identities.identities import IdentityDetails
from watchword.services.timestamps import iso, iso_or_none
from watchword.services.turns import Turns

Answer = TypeVar("Answer", bound="Out")
T = TypeVar("T")
_PIECE = 50  # of a list, that are written in one piece


class Out(msgspec.Struct, frozen=True, kw_only=True, rename="camel", gc=False):
    """A response struct."""

    following: ClassVar[tuple[str, ...]] = ()  # columns that `shows` added

    @classmethod
    def columns(cls, record: Record) -> dict[str, Any]:
        """What of a record the answer shows without naming it itself. A time is ISO 8601 outside."""
        return {
            name: iso_or_none(getattr(record, name)) if name.endswith("_at") else getattr(record, name)
            for name in cls.following
        }


def shows(record: type[Record], *, but: Collection[str]) -> Callable[[type[Answer]], type[Answer]]:
    """Let an answer show every column of `record`: those that it does not name itself follow at its end.

    `but` are the columns that stay inside, and those that have another name outside.
    """

    def following(answer: type[Answer]) -> type[Answer]:
        named = {*answer.__struct_fields__, *but}
        rest = [field for field in msgspec.structs.fields(record) if field.name not in named]
        made: type[Answer] = msgspec.defstruct(  # type: ignore[assignment]
            answer.__name__,
            [(field.name, (str | None) if field.name.endswith("_at") else field.type) for field in rest],
            bases=(answer,),
            module=answer.__module__,
            namespace={"__doc__": answer.__doc__, "following": tuple(field.name for field in rest)},
            frozen=True,
            kw_only=True,
        )
        return made

    return following


class MetadataOut(Out, frozen=True, kw_only=True):
    """A key and value."""

    id: str
    key: str
    value: str

    @classmethod
    def every(cls, items: Sequence[Metadata]) -> list["MetadataOut"]:
        return [cls(id=item.id, key=item.key, value=item.value) for item in items]


@shows(Identity, but=("is_instance_admin", "token_generation", "tokens_since", "last_login_method", "last_login_at"))
class IdentityOut(Out, frozen=True, kw_only=True):
    """An identity on its own."""

    id: str
    name: str
    auth_method: str | None
    auth_methods: Sequence[str]
    has_delete_protection: bool
    is_disabled: bool
    org_id: str
    project_id: str | None
    created_at: str
    updated_at: str
    metadata: Sequence[MetadataOut]
    active_lockout_auth_methods: Sequence[str]
    expires_at: str | None
    owner: str | None
    last_login_auth_method: str | None
    last_login_time: str | None
    last_login_address: str | None

    @classmethod
    def of(cls, details: IdentityDetails) -> "IdentityOut":
        identity = details.identity
        return cls(
            id=identity.id,
            name=identity.name,
            auth_method=details.methods[0] if details.methods else None,
            auth_methods=details.methods,
            has_delete_protection=identity.has_delete_protection,
            is_disabled=identity.is_disabled,
            org_id=identity.org_id,
            project_id=identity.project_id,
            created_at=iso(identity.created_at),
            updated_at=iso(identity.updated_at),
            metadata=MetadataOut.every(details.metadata),
            active_lockout_auth_methods=details.locked_methods,
            expires_at=iso_or_none(identity.expires_at),
            owner=identity.owner,
            last_login_auth_method=identity.last_login_method,
            last_login_time=iso_or_none(identity.last_login_at),
            last_login_address=identity.last_login_address,
            **cls.columns(identity),
        )


async def in_pieces(items: Sequence[T], shown: Callable[[T], Any]) -> Any:
    """The answer to a list.

    A long list is JSON already: it is written in pieces, between which others go first. A piece ends early where its
    items are large.
    """
    turns, parts, piece = Turns(), list[bytes](), list[Any]()
    for item in items:
        piece.append(shown(item))
        if len(piece) == _PIECE or turns.is_over:
            parts.append(encode(piece)[1:-1])
            piece = []
            await turns.give()
    if not parts:
        return piece
    if piece:
        parts.append(encode(piece)[1:-1])
    return list_of(parts)


def list_of(pieces: Sequence[bytes]) -> Written:
    """A JSON list of the items in these pieces, each of which is one item or several with commas between them."""
    parts = [b","] * (2 * len(pieces) + 1)
    parts[1::2], parts[0], parts[-1] = pieces, b"[", b"]"
    return Written(parts)


def rules_out(rules: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Rules as they are answered: `inverted` always, for clients that compare it with what they sent."""
    return [{**rule, "inverted": bool(rule.get("inverted"))} for rule in rules]


class CustomRoleOut(Out, frozen=True, kw_only=True):
    """The custom role behind a membership."""

    id: str
    name: str
    slug: str
    permissions: Sequence[Mapping[str, Any]]
    description: str | None

    @classmethod
    def of(cls, role: Role) -> "CustomRoleOut":
        return cls(
            id=role.id,
            name=role.name,
            slug=role.slug,
            permissions=rules_out(role.permissions),
            description=role.description,
        )


class IdentityMembershipOut(Out, frozen=True, kw_only=True, omit_defaults=True):
    """An identity as a member of its organization: the outer id is the membership's."""

    id: str
    role: str
    role_id: str | None
    org_id: str
    created_at: str
    updated_at: str
    identity_id: str
    custom_role: CustomRoleOut | None = None
    identity: IdentityOut
    metadata: Sequence[MetadataOut]
    last_login_auth_method: str | None
    last_login_time: str | None
    is_instance_admin: bool

    @classmethod
    def of(cls, details: IdentityDetails) -> "IdentityMembershipOut":
        identity, membership = details.identity, details.membership
        role, custom = details.roles[0] if details.roles else (None, None)
        return cls(
            id=membership.id if membership else identity.id,
            role=role.role if role else "no-access",
            role_id=custom.id if custom else None,
            org_id=identity.org_id,
            created_at=iso(identity.created_at),
            updated_at=iso(identity.updated_at),
            identity_id=identity.id,
            custom_role=CustomRoleOut.of(custom) if custom else None,
            identity=IdentityOut.of(details),
            metadata=MetadataOut.every(details.metadata),
            last_login_auth_method=identity.last_login_method,
            last_login_time=iso_or_none(identity.last_login_at),
            is_instance_admin=identity.is_instance_admin,
        )


class HeldRoleOut(Out, frozen=True, kw_only=True):
    """A role on a membership."""

    id: str
    role: str
    custom_role_id: str | None
    custom_role_name: str | None
    custom_role_slug: str | None
    is_temporary: bool
    temporary_mode: str | None
    temporary_range: str | None
    temporary_access_start_time: str | None
    temporary_access_end_time: str | None

    @classmethod
    def of(cls, role: MembershipRole, custom: Role | None) -> "HeldRoleOut":
        return cls(
            id=role.id,
            role=role.role,
            custom_role_id=role.custom_role_id,
            custom_role_name=custom.name if custom else None,
            custom_role_slug=custom.slug if custom else None,
            is_temporary=role.is_temporary,
            temporary_mode=role.temporary_mode,
            temporary_range=role.temporary_range,
            temporary_access_start_time=iso_or_none(role.starts_at),
            temporary_access_end_time=iso_or_none(role.ends_at),
        )


def ip_out(ip: IpRange) -> dict[str, Any]:
    """A network as clients read it: `type`, `prefix`, `ipAddress`; a single address has no prefix."""
    if ip.prefix is None:
        return {"type": ip.type, "ipAddress": ip.ip_address}
    return {"type": ip.type, "prefix": ip.prefix, "ipAddress": ip.ip_address}


def config_out(attached: Attached) -> dict[str, Any]:
    """A method's configuration: the common fields in the baseline order, then the method's own."""
    record = attached.record
    out: dict[str, Any] = {
        "id": record.id,
        "accessTokenTTL": record.ttl,
        "accessTokenMaxTTL": record.max_ttl,
        "accessTokenNumUsesLimit": record.uses_limit,
        "accessTokenPeriod": record.period,
        "accessTokenTrustedIps": [ip_out(ip) for ip in record.trusted_ips],
        "createdAt": iso(record.created_at),
        "updatedAt": iso(record.updated_at),
        "identityId": record.identity_id,
        **attached.settings,
    }
    if attached.method.has_lockout:
        out |= {
            "lockoutEnabled": record.lockout_enabled,
            "lockoutThreshold": record.lockout_threshold,
            "lockoutDurationSeconds": record.lockout_duration,
            "lockoutCounterResetSeconds": record.lockout_reset,
        }
    if attached.method.template:
        out["templateId"] = record.template_id
    for name in attached.method.networks:
        out[name] = [ip_out(parse_ip_range(ip["ipAddress"])) for ip in out[name]]
    return out


class ClientSecretOut(Out, frozen=True, kw_only=True):
    """A client secret without the secret."""

    id: str
    created_at: str
    updated_at: str
    description: str
    client_secret_prefix: str
    client_secret_num_uses: int
    client_secret_num_uses_limit: int
    client_secret_ttl: int = msgspec.field(name="clientSecretTTL")
    client_secret_last_used_at: str | None
    state: SecretState
    expires_at: str | None
    identity_ua_id: str = msgspec.field(name="identityUAId")
    is_client_secret_revoked: bool

    @classmethod
    def of(cls, secret: ClientSecret, now: int) -> "ClientSecretOut":
        """The client secret in its state at `now` (ms)."""
        return cls(
            state=state_of(secret, now),
            expires_at=iso_or_none(end_of_secret(secret)),
            id=secret.id,
            created_at=iso(secret.created_at),
            updated_at=iso(secret.updated_at),
            description=secret.description,
            client_secret_prefix=secret.prefix,
            client_secret_num_uses=secret.uses,
            client_secret_num_uses_limit=secret.uses_limit,
            client_secret_ttl=secret.ttl,
            client_secret_last_used_at=iso_or_none(secret.last_used_at),
            identity_ua_id=secret.config_id,
            is_client_secret_revoked=secret.is_revoked,
        )


class TokenOut(Out, frozen=True, kw_only=True):
    """The answer to a login."""

    access_token: str
    expires_in: int
    access_token_max_ttl: int = msgspec.field(name="accessTokenMaxTTL")
    token_type: str = "Bearer"  # noqa: S105 - the scheme, RFC 6750

    @classmethod
    def of(cls, issued: Issued) -> "TokenOut":
        return cls(access_token=issued.token, expires_in=issued.expires_in, access_token_max_ttl=issued.max_ttl)


class TokenRowOut(Out, frozen=True, kw_only=True):
    """A named token without the token."""

    id: str
    access_token_ttl: int = msgspec.field(name="accessTokenTTL")
    access_token_max_ttl: int = msgspec.field(name="accessTokenMaxTTL")
    access_token_num_uses: int
    access_token_num_uses_limit: int
    access_token_last_used_at: str | None
    access_token_last_renewed_at: str | None
    is_access_token_revoked: bool
    identity_ua_client_secret_id: str | None = msgspec.field(name="identityUAClientSecretId")
    identity_id: str
    created_at: str
    updated_at: str
    name: str | None
    auth_method: str
    access_token_period: int
    sub_organization_id: str | None

    @classmethod
    def of(cls, token: NamedToken) -> "TokenRowOut":
        row = token.row
        return cls(
            id=row.id,
            access_token_ttl=row.ttl,
            access_token_max_ttl=row.max_ttl,
            access_token_num_uses=row.uses,
            access_token_num_uses_limit=row.uses_limit,
            access_token_last_used_at=iso_or_none(row.last_used_at),
            access_token_last_renewed_at=iso_or_none(row.last_renewed_at),
            is_access_token_revoked=row.is_revoked,
            identity_ua_client_secret_id=row.client_secret_id,
            identity_id=row.identity_id,
            created_at=iso(row.created_at),
            updated_at=iso(row.updated_at),
            name=row.name,
            auth_method=row.method,
            access_token_period=row.period,
            sub_organization_id=token.sub_organization_id,
        )


class OrganizationOut(Out, frozen=True, kw_only=True):
    """An organization, in the order of fields that clients read."""

    id: str
    name: str
    customer_id: str | None
    slug: str
    created_at: str
    updated_at: str
    auth_enforced: bool
    scim_enabled: bool
    kms_default_key_id: str | None
    kms_encrypted_data_key: str | None
    default_membership_role: str
    root_org_id: str | None
    parent_org_id: str | None
    should_use_new_privilege_system: bool
    privilege_mode: str
    enforce_mfa: bool

    @classmethod
    def of(cls, organization: Organization) -> "OrganizationOut":
        return cls(
            id=organization.id,
            name=organization.name,
            customer_id=None,
            slug=organization.slug,
            created_at=iso(organization.created_at),
            updated_at=iso(organization.updated_at),
            auth_enforced=False,
            scim_enabled=False,
            kms_default_key_id=None,
            kms_encrypted_data_key=None,
            default_membership_role=organization.default_role,
            root_org_id=organization.root_org_id,
            parent_org_id=organization.parent_org_id,
            should_use_new_privilege_system=organization.privilege_mode == "action",
            privilege_mode=organization.privilege_mode,
            enforce_mfa=organization.requires_mfa,
        )
