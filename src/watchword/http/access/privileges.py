"""Additional privileges of identities in both generations."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

import msgspec

from watchword.domain.decode import Trimmed
from watchword.domain.errors import Invalid
from watchword.http.routing import IDENTITY, USER, Routes
from watchword.http.wire import Out, in_pieces, rules_out
from watchword.services.access import privileges
from watchword.services.access.privileges import PERMANENT, HeldPrivilege, Slug, Window
from watchword.services.context import Ctx
from watchword.services.scope_refs import ScopeRef
from watchword.services.timestamps import iso, iso_or_none

routes = Routes("additional privileges", is_compressed=True)
_V1 = "/api/v1/additional-privilege/identity"
_V2 = "/api/v2/identity-project-additional-privilege"


class PrivilegeOut(Out, frozen=True, kw_only=True, omit_defaults=True):
    """A privilege; the list of the newer generation leaves the rules out."""

    id: str
    slug: str
    project_membership_id: str
    identity_id: str
    project_id: str
    is_temporary: bool
    temporary_mode: str | None
    temporary_range: str | None
    temporary_access_start_time: str | None
    temporary_access_end_time: str | None
    permissions: Sequence[Mapping[str, Any]] | msgspec.UnsetType = msgspec.UNSET
    created_at: str
    updated_at: str

    @classmethod
    def of(cls, held: HeldPrivilege, *, with_rules: bool = True) -> "PrivilegeOut":
        privilege = held.privilege
        return cls(
            id=privilege.id,
            slug=privilege.slug,
            project_membership_id=held.membership_id,
            identity_id=privilege.actor_id,
            project_id=privilege.project_id,
            is_temporary=privilege.is_temporary,
            temporary_mode=privilege.temporary_mode,
            temporary_range=privilege.temporary_range,
            temporary_access_start_time=iso_or_none(privilege.starts_at),
            temporary_access_end_time=iso_or_none(privilege.ends_at),
            permissions=rules_out(privilege.permissions) if with_rules else msgspec.UNSET,
            created_at=iso(privilege.created_at),
            updated_at=iso(privilege.updated_at),
        )


class PrivilegeReply(Out, frozen=True, kw_only=True):
    privilege: PrivilegeOut


class PrivilegesReply(Out, frozen=True, kw_only=True):
    privileges: Sequence[PrivilegeOut]


# --- the older generation: the project by slug, one action to a rule


class OldRule(msgspec.Struct, frozen=True, kw_only=True):
    """One action on one subject."""

    action: str
    subject: str
    conditions: dict[str, Any] | None = None


class OldRules(msgspec.Struct, frozen=True, kw_only=True):
    """Several actions on one subject."""

    actions: Annotated[list[str], msgspec.Meta(min_length=1)]
    subject: str
    conditions: dict[str, Any] | None = None


class Permanent(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A new permanent privilege; the rules in one of two forms."""

    identity_id: Trimmed
    project_slug: Trimmed
    slug: Slug | None = None
    permissions: list[OldRule] | None = None
    privilege_permission: OldRules | None = None


class TemporaryPrivilegeBody(Permanent, frozen=True, kw_only=True, rename="camel"):
    """A new privilege for a while."""

    temporary_mode: Literal["relative"]
    temporary_range: Trimmed
    temporary_access_start_time: str


class PrivilegeDetails(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What to change."""

    slug: Slug | None = None
    permissions: list[OldRule] | None = None
    privilege_permission: OldRules | None = None
    is_temporary: bool | None = None
    temporary_mode: str | None = None
    temporary_range: str | None = None
    temporary_access_start_time: str | None = None


class PrivilegeBySlug(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A privilege by its slug, its identity and its project."""

    privilege_slug: Trimmed
    identity_id: Trimmed
    project_slug: Trimmed


class Changed(PrivilegeBySlug, frozen=True, kw_only=True, rename="camel"):
    """A privilege and what to change of it."""

    privilege_details: PrivilegeDetails


class OfIdentity(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    identity_id: Trimmed
    project_slug: Trimmed


def _rules(permissions: Sequence[OldRule] | None, together: OldRules | None) -> list[dict[str, Any]] | None:
    if permissions is not None:
        return [
            {"action": [rule.action], "subject": rule.subject, "conditions": rule.conditions} for rule in permissions
        ]
    if together is not None:
        return [{"action": together.actions, "subject": together.subject, "conditions": together.conditions}]
    return None


def _new(body: Permanent, window: Window) -> privileges.CreatePrivilege:
    rules = _rules(body.permissions, body.privilege_permission)
    if rules is None:
        raise Invalid.of("permissions", "Send permissions or privilegePermission")
    return privileges.CreatePrivilege(
        identity_id=body.identity_id, slug=body.slug, permissions=rules, window=window, random_length=12
    )


def _as_sent(refused: Invalid, *place: str) -> Invalid:
    """The refusal with the fields where this generation has them: in `place`, and those of the period beside others."""
    return Invalid(
        [
            msgspec.structs.replace(issue, path=(*place, *issue.path[issue.path[:1] == ("type",) :]))
            for issue in refused.issues
        ]
    )


@routes.post(_V1 + "/permanent", USER, IDENTITY)
async def create_permanent(ctx: Ctx, body: Permanent) -> PrivilegeReply:
    """Give an identity a permanent privilege."""
    project = ScopeRef(project_slug=body.project_slug)
    return PrivilegeReply(privilege=PrivilegeOut.of(await privileges.create(ctx, project, _new(body, PERMANENT))))


@routes.post(_V1 + "/temporary", USER, IDENTITY)
async def create_temporary(ctx: Ctx, body: TemporaryPrivilegeBody) -> PrivilegeReply:
    """Give an identity a privilege for a while."""
    window = Window(
        is_temporary=True,
        temporary_mode=body.temporary_mode,
        temporary_range=body.temporary_range,
        temporary_access_start_time=body.temporary_access_start_time,
    )
    project = ScopeRef(project_slug=body.project_slug)
    try:
        return PrivilegeReply(privilege=PrivilegeOut.of(await privileges.create(ctx, project, _new(body, window))))
    except Invalid as refused:
        raise _as_sent(refused) from None


@routes.patch(_V1, USER, IDENTITY)
async def update_by_slug(ctx: Ctx, body: Changed) -> PrivilegeReply:
    """Change a privilege."""
    try:
        return await _update_by_slug(ctx, body)
    except Invalid as refused:
        raise _as_sent(refused, "privilegeDetails") from None


async def _update_by_slug(ctx: Ctx, body: Changed) -> PrivilegeReply:
    details = body.privilege_details
    window = None
    if details.is_temporary is not None:
        window = Window(
            is_temporary=details.is_temporary,
            temporary_mode=details.temporary_mode,
            temporary_range=details.temporary_range,
            temporary_access_start_time=details.temporary_access_start_time,
        )
    changes = privileges.UpdatePrivilege(
        slug=details.slug, permissions=_rules(details.permissions, details.privilege_permission), window=window
    )
    project = ScopeRef(project_slug=body.project_slug)
    return PrivilegeReply(
        privilege=PrivilegeOut.of(await privileges.update(ctx, project, body.identity_id, body.privilege_slug, changes))
    )


@routes.delete(_V1, USER, IDENTITY)
async def delete_by_slug(ctx: Ctx, body: PrivilegeBySlug) -> PrivilegeReply:
    """Take a privilege away."""
    project = ScopeRef(project_slug=body.project_slug)
    return PrivilegeReply(
        privilege=PrivilegeOut.of(await privileges.remove(ctx, project, body.identity_id, body.privilege_slug))
    )


@routes.get(_V1 + "/{privilege_slug}", USER, IDENTITY)
async def get_by_slug(ctx: Ctx, privilege_slug: str, query: OfIdentity) -> PrivilegeReply:
    """Read a privilege."""
    privilege = await privileges.get(
        ctx, ScopeRef(project_slug=query.project_slug), query.identity_id, privilege_slug, action="edit"
    )
    return PrivilegeReply(privilege=PrivilegeOut.of(privilege))


@routes.get(_V1, USER, IDENTITY)
async def list_of_identity(ctx: Ctx, query: OfIdentity) -> PrivilegesReply:
    """List the privileges of an identity in a project."""
    held = await privileges.every(
        ctx, ScopeRef(project_slug=query.project_slug), query.identity_id, action="edit", with_rules=True
    )
    return PrivilegesReply(privileges=await in_pieces(held, PrivilegeOut.of))


# --- the newer generation


class CreatePrivilegeBody(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A new privilege."""

    identity_id: Trimmed
    project_id: Trimmed
    slug: Slug | None = None
    permissions: list[Any]
    type: Window = PERMANENT


class UpdatePrivilegeBody(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What to change of a privilege."""

    slug: Slug | None = None
    permissions: list[Any] | None = None
    type: Window | None = None


class PrivilegeInProject(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    identity_id: Trimmed
    project_id: Trimmed


@routes.post(_V2, USER, IDENTITY)
async def create_privilege(ctx: Ctx, body: CreatePrivilegeBody) -> PrivilegeReply:
    """Give an identity a privilege in a project."""
    new = privileges.CreatePrivilege(
        identity_id=body.identity_id, slug=body.slug, permissions=body.permissions, window=body.type
    )
    return PrivilegeReply(
        privilege=PrivilegeOut.of(await privileges.create(ctx, ScopeRef(project_id=body.project_id), new))
    )


@routes.get(_V2, USER, IDENTITY)
async def list_privileges(ctx: Ctx, query: PrivilegeInProject) -> PrivilegesReply:
    """List the privileges of an identity in a project, without their rules."""
    held = await privileges.every(ctx, ScopeRef(project_id=query.project_id), query.identity_id)
    return PrivilegesReply(privileges=[PrivilegeOut.of(privilege, with_rules=False) for privilege in held])


class InEither(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """An identity in a project, by the project's slug or its id."""

    identity_id: Trimmed
    project_slug: Trimmed | None = None
    project_id: Trimmed | None = None


@routes.get(_V2 + "/slug/{privilege_slug}", USER, IDENTITY)
async def privilege_by_slug(ctx: Ctx, privilege_slug: str, query: InEither) -> PrivilegeReply:
    """Read a privilege by slug."""
    if query.project_slug is None and query.project_id is None:
        raise Invalid.of("projectSlug", "Name the project, by projectSlug or projectId")
    project = ScopeRef(project_id=query.project_id, project_slug=query.project_slug)
    privilege = await privileges.get(ctx, project, query.identity_id, privilege_slug)
    return PrivilegeReply(privilege=PrivilegeOut.of(privilege))


@routes.get(_V2 + "/{privilege_id}", USER, IDENTITY)
async def get_privilege(ctx: Ctx, privilege_id: str) -> PrivilegeReply:
    """Read a privilege."""
    return PrivilegeReply(privilege=PrivilegeOut.of(await privileges.get_by_id(ctx, privilege_id)))


@routes.patch(_V2 + "/{privilege_id}", USER, IDENTITY)
async def update_privilege(ctx: Ctx, privilege_id: str, body: UpdatePrivilegeBody) -> PrivilegeReply:
    """Change a privilege."""
    changes = privileges.UpdatePrivilege(slug=body.slug, permissions=body.permissions, window=body.type)
    return PrivilegeReply(privilege=PrivilegeOut.of(await privileges.update_by_id(ctx, privilege_id, changes)))


@routes.delete(_V2 + "/{privilege_id}", USER, IDENTITY)
async def delete_privilege(ctx: Ctx, privilege_id: str) -> PrivilegeReply:
    """Take a privilege away."""
    return PrivilegeReply(privilege=PrivilegeOut.of(await privileges.remove_by_id(ctx, privilege_id)))
