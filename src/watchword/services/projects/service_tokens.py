"""Service tokens: the old credential, bound to a project, that old clients still use.

A token is `st.<id>.<secret>`, shown once and stored as a keyed hash of the whole. It outlives its creator's rights, so
it is never given more than its creator has at that time.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

import msgspec

from watchword.domain.access import boundary
from watchword.domain.access.abilities import Rule
from watchword.domain.decode import Name, Trimmed
from watchword.domain.errors import Invalid, NotFound
from watchword.domain.globs import typed_glob_fault
from watchword.domain.people.records import User
from watchword.domain.projects.records import ServiceToken
from watchword.domain.secret import Secret
from watchword.services.access.scopes import enter_project, is_out_of_reach
from watchword.services.context import Ctx
from watchword.services.projects import locations
from watchword.store.people import people
from watchword.store.projects import service_tokens

_PLACES = 1_000


class TokenScope(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The location that a token is for: an environment and a path, which may be a glob."""

    environment: Trimmed
    secret_path: Annotated[str, msgspec.Meta(min_length=1, max_length=500, extra={"trim": True})]


class CreateServiceToken(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A new token. `expires_in` is seconds; 0 or null: never.

    The last three fields are stored for clients that encrypt by themselves.
    """

    name: Name
    workspace_id: Trimmed
    scopes: Annotated[tuple[TokenScope, ...], msgspec.Meta(min_length=1, max_length=_PLACES)]
    permissions: Annotated[tuple[Literal["read", "write"], ...], msgspec.Meta(min_length=1, max_length=2)] = ("read",)
    expires_in: Annotated[int, msgspec.Meta(ge=0, le=315_360_000)] | None = None
    encrypted_key: Annotated[str, msgspec.Meta(max_length=4_096)] | None = None
    iv: Annotated[str, msgspec.Meta(max_length=255)] | None = None
    tag: Annotated[str, msgspec.Meta(max_length=255)] | None = None


class NewServiceToken(msgspec.Struct, frozen=True):
    """The token itself, shown once, and its record."""

    secret: Secret
    record: ServiceToken


async def create(ctx: Ctx, body: CreateServiceToken) -> NewServiceToken:
    """Create a token within its creator's own rights."""
    scope = await enter_project(ctx, body.workspace_id)
    ctx.require(scope, "create", "service-tokens")
    wanted = [
        {"environment": token_scope.environment, "secretPath": _glob(token_scope.secret_path)}
        for token_scope in body.scopes
    ]
    for token_scope in wanted:
        ctx.require(scope, "create", "secrets", **token_scope)
    boundary.require_within(scope.ability, [_rules(wanted, body.permissions)])
    for token_scope in wanted:
        await locations.environment(ctx, body.workspace_id, token_scope["environment"])
    token_id = ctx.new_id()
    secret = f"st.{token_id}.{ctx.runtime.entropy(16).hex()}"
    record = ServiceToken(
        id=token_id,
        project_id=body.workspace_id,
        name=body.name,
        scopes=tuple(wanted),
        permissions=tuple(dict.fromkeys(body.permissions)),
        hash=ctx.runtime.keys.digest(secret),
        hash_version=ctx.runtime.keys.hash_version,
        encrypted_key=body.encrypted_key,
        iv=body.iv,
        tag=body.tag,
        created_by=ctx.actor.id,
        expires_at=ctx.now + body.expires_in * 1000 if body.expires_in else None,
        created_at=ctx.now,
        updated_at=ctx.now,
    )
    async with ctx.unit() as tx:
        await service_tokens.add(tx, record)
        _audit(ctx, "create-service-token", scope.org_id, record)
    return NewServiceToken(Secret(secret), record)


def _glob(text: str) -> str:
    """Return the path of a scope in normal form. Raises Invalid."""
    path = locations.normal_path(text, "scopes")
    if fault := typed_glob_fault(path):
        raise Invalid.of("scopes", f"{path[:64]} is not a pattern: {fault}")
    return path


def _rules(wanted: Sequence[Mapping[str, str]], permissions: Sequence[str]) -> list[Rule]:
    """Return what the token may do, as rules to compare with its creator's."""
    actions = (("describeSecret", "readValue") if "read" in permissions else ()) + (
        ("create", "edit", "delete") if "write" in permissions else ()
    )
    return [
        Rule(
            subject="secrets",
            actions=actions,
            conditions={"environment": token_scope["environment"], "secretPath": {"$glob": token_scope["secretPath"]}},
        )
        for token_scope in wanted
    ]


async def every(ctx: Ctx, project_id: str) -> list[ServiceToken]:
    """List the service tokens of a project, newest first."""
    scope = await enter_project(ctx, project_id)
    ctx.require(scope, "read", "service-tokens")
    async with ctx.view() as tx:
        return await service_tokens.in_project(tx, project_id)


async def own(ctx: Ctx) -> tuple[ServiceToken, User | None]:
    """Return the record of the calling token, and the person who created it if that account still exists."""
    async with ctx.view() as tx:
        record = await service_tokens.by_id(tx, ctx.actor.id)
        if record is None:
            raise NotFound("The service token was deleted meanwhile")
        return record, await people.user(tx, record.created_by)


async def remove(ctx: Ctx, token_id: str) -> ServiceToken:
    """Delete a service token that may do no more than the caller; it is invalid from the next request on."""
    async with ctx.view() as tx:
        record = await service_tokens.by_id(tx, token_id)
    if record is None or await is_out_of_reach(ctx, record.project_id):
        raise NotFound(f"There is no service token with id {token_id[:64]!r}")
    scope = await enter_project(ctx, record.project_id)
    ctx.require(scope, "delete", "service-tokens")
    boundary.require_within(scope.ability, [_rules(record.scopes, record.permissions)])
    async with ctx.unit() as tx:
        await service_tokens.remove(tx, record)
        _audit(ctx, "delete-service-token", scope.org_id, record)
    return record


def _audit(ctx: Ctx, event: str, org_id: str, record: ServiceToken) -> None:
    ctx.audit(
        event,
        org_id=org_id,
        project_id=record.project_id,
        name=record.name,
        scopes=record.scopes,
        serviceTokenId=record.id,
    )
