"""Organizations, people and their sessions."""

from typing import Literal

from watchword.domain.actor import HolderKind
from watchword.domain.record import Record


class Organization(Record, frozen=True, kw_only=True):
    """A tenant. `privilege_mode` is `subset` (the rules are compared) or `action` (only the named action is asked)."""

    id: str
    name: str
    slug: str
    root_org_id: str | None = None
    parent_org_id: str | None = None
    default_role: str = "member"
    privilege_mode: Literal["subset", "action"] = "subset"
    requires_mfa: bool = False
    created_at: int
    updated_at: int


class User(Record, frozen=True, kw_only=True):
    """A person. `password_hash` is argon2id; it never leaves the store and the login service."""

    id: str
    email: str
    first_name: str = ""
    last_name: str = ""
    password_hash: str
    is_instance_admin: bool = False
    is_active: bool = True
    mfa_method: str | None = None
    mfa_secret: bytes | None = None
    mfa_recovery: str = "[]"
    created_at: int
    updated_at: int


class Session(Record, frozen=True, kw_only=True):
    """A signed-in person on one device. Revoking deletes the row. `org_id` is the organization it chose last."""

    id: str
    user_id: str
    address: str
    user_agent: str
    org_id: str | None = None
    is_mfa_verified: bool = False
    created_at: int
    last_used_at: int
    expires_at: int


class Invitation(Record, frozen=True, kw_only=True):
    """A link that makes a person a member; `token_hash` is a keyed hash."""

    id: str
    org_id: str
    email: str
    role: str
    token_hash: bytes
    hash_version: int = 1
    invited_by: str
    created_at: int
    expires_at: int


class OneTimeToken(Record, frozen=True, kw_only=True):
    """A password reset or e-mail link; `token_hash` is a keyed hash.

    `given_by`: the administrator who made it; None: asked for by mail.
    """

    id: str
    user_id: str
    purpose: str
    token_hash: bytes
    hash_version: int = 1
    expires_at: int
    given_by: str | None = None


class Passkey(Record, frozen=True, kw_only=True):
    """A WebAuthn credential of a person. `credential_id` and `public_key` (COSE) are base64url without padding.

    `sign_count` is what its authenticator counted at its last use; 0 where it does not count.
    """

    id: str
    user_id: str
    name: str
    credential_id: str
    public_key: str
    sign_count: int = 0
    transports: tuple[str, ...] = ()
    is_synced: bool = False
    created_at: int
    last_used_at: int | None = None


class PersonFailures(Record, frozen=True, kw_only=True):
    """The wrong proofs counted for an address, or for the second factors of a person.

    `key` is a keyed hash; see `store/people/accounts.py`.
    """

    key: str
    failures: int
    window_ends_at: int
    locked_until: int
    expires_at: int


class Group(Record, frozen=True, kw_only=True):
    """A set of people and machine identities that holds roles together."""

    id: str
    org_id: str
    name: str
    slug: str
    created_at: int
    updated_at: int


class GroupMember(Record, frozen=True, kw_only=True):
    """One person or machine identity in a group."""

    group_id: str
    actor_kind: HolderKind
    actor_id: str
    created_at: int
