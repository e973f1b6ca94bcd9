"""Who is calling: a person, a machine identity, a service token, the server itself, or nobody."""

from typing import Literal, TypeAlias

import msgspec

from watchword.domain.authentication.tokens import IdentityClaims

ActorKind: TypeAlias = Literal["nobody", "user", "pending", "identity", "service", "platform", "operator"]
"""The kinds of caller; `pending` is a person who owes a second factor, `service` a service token."""

HolderKind: TypeAlias = Literal["user", "identity", "group"]
"""The kinds of actor that hold memberships, privileges and metadata."""

AnyActorKind: TypeAlias = ActorKind | HolderKind
"""Whoever a query may ask about: a caller that holds nothing is answered with nothing."""


class Actor(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The caller of a request, proved by its credential. `org_id` is the organization the credential is scoped to."""

    kind: ActorKind
    id: str = ""
    name: str = ""
    org_id: str | None = None
    email: str = ""
    session_id: str = ""
    is_instance_admin: bool = False
    is_mfa_verified: bool = False
    claims: IdentityClaims | None = None  # of a machine identity's token
    project_id: str | None = None  # of a service token
    scopes: tuple[dict[str, str], ...] = ()
    permissions: tuple[str, ...] = ()


NOBODY = Actor(kind="nobody")
# Whoever works on the database itself, with the root key: `watchword admin` and its like.
OPERATOR = Actor(kind="operator", name="operator on the server's machine")
PLATFORM = Actor(kind="platform", name="watchword")
