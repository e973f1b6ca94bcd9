"""Projects: create, find, change, delete."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, cast

import msgspec

from watchword.domain.access import boundary
from watchword.domain.access.abilities import built_in, pack
from watchword.domain.access.records import Membership, MembershipRole, Role
from watchword.domain.actor import AnyActorKind, HolderKind
from watchword.domain.bounds import is_slug, slugify
from watchword.domain.decode import Name, Trimmed
from watchword.domain.errors import BadRequest, Forbidden, Invalid, Issue, NotFound
from watchword.domain.projects.records import Environment, Project
from watchword.services.access import scopes
from watchword.services.access.scopes import (
    ProjectScope,
    enter_org,
    enter_project,
    own_org,
    require_actor,
    require_known,
)
from watchword.services.context import CallerScope, Ctx
from watchword.services.identities import identities
from watchword.services.keys.keyring import org_scope, project_scope
from watchword.services.paging import Page
from watchword.services.projects import locations
from watchword.services.turns import Turns
from watchword.store.access import grants
from watchword.store.engine import AlreadyThere, Tx
from watchword.store.projects import folders, projects

ProjectKind = Literal["secret-manager", "cert-manager", "kms", "ssh", "secret-scanning", "pam", "ai"]
DEFAULT_ENVIRONMENTS = (("Development", "dev"), ("Staging", "staging"), ("Production", "prod"))
SLUG_TAKEN = "The organization has a project with this slug already"

ProjectName = Annotated[str, msgspec.Meta(max_length=64, extra={"trim": True})]
Description = Annotated[str, msgspec.Meta(max_length=256, extra={"trim": True})]
NewSlug = Annotated[str, msgspec.Meta(min_length=5, max_length=36, extra={"trim": True})]
Slug = Annotated[str, msgspec.Meta(min_length=1, max_length=64, extra={"trim": True})]


class CreateProject(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A new project in the caller's organization."""

    project_name: Name
    project_description: Description | None = None
    slug: NewSlug | None = None
    template: Trimmed = "default"
    kms_key_id: Trimmed | None = None  # there is no key management: only null or an empty text
    organization_slug: Trimmed | None = None  # of the caller's organization, where a project is always made
    type: ProjectKind = "secret-manager"
    should_create_default_envs: bool = True
    has_delete_protection: bool = False


class UpdateProject(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What to change of a project."""

    name: ProjectName | None = None
    description: Description | None = None
    slug: Slug | None = None
    auto_capitalization: bool | None = None
    has_delete_protection: bool | None = None
    pit_version_limit: Annotated[int, msgspec.Meta(ge=1, le=100)] | None = None


class VersionLimit(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """How many versions of a secret are kept."""

    pit_version_limit: Annotated[int, msgspec.Meta(ge=1, le=100)]


class Retention(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """For how many days the project shows its audit events."""

    audit_logs_retention_days: Annotated[int, msgspec.Meta(ge=0, le=36_500)]


class ProjectDetails(msgspec.Struct, frozen=True, kw_only=True):
    """A project with its environments and, where asked for, the roles of the caller's own membership."""

    project: Project
    environments: Sequence[Environment]
    roles: Sequence[tuple[MembershipRole, Role | None]] | None = None


def require_slug(slug: str, field: str = "slug") -> str:
    """Return the slug if it is valid. Raises Invalid."""
    if not is_slug(slug):
        raise Invalid.of(field, "A slug has lower-case letters, digits and single dashes only")
    return slug


async def create(ctx: Ctx, body: CreateProject) -> ProjectDetails:
    """Create a project with its key and environments, and the caller as its administrator."""
    scope = await own_org(ctx)
    if not ctx.may(scope, "create", "project"):  # the newer name of the subject
        ctx.require(scope, "create", "workspace")
    if body.template != "default":
        raise BadRequest("There are no project templates here: leave template out")
    if body.kms_key_id:
        raise Invalid.of("kmsKeyId", "There is no key management here, and each project has a key: leave it out")
    if body.organization_slug and body.organization_slug != (await scopes.organization(ctx, scope.org_id)).slug:
        raise Invalid.of(
            "organizationSlug", "A project is made in the organization of the caller's token: leave it out"
        )
    slug = require_slug(body.slug) if body.slug else _new_slug(ctx, body.project_name)
    project = Project(
        id=ctx.new_id(),
        org_id=scope.org_id,
        name=body.project_name,
        slug=slug,
        description=body.project_description,
        kind=body.type,
        has_delete_protection=body.has_delete_protection,
        created_at=ctx.now,
        updated_at=ctx.now,
    )
    wanted = DEFAULT_ENVIRONMENTS if body.should_create_default_envs else ()
    environments = [
        Environment(
            id=ctx.new_id(),
            project_id=project.id,
            name=name,
            slug=slug,
            position=position,
            created_at=ctx.now,
            updated_at=ctx.now,
        )
        for position, (name, slug) in enumerate(wanted, 1)
    ]
    try:
        async with ctx.unit() as tx:
            await _add(ctx, tx, project, environments)
            ctx.audit(
                "create-project",
                org_id=project.org_id,
                project_id=project.id,
                name=project.name,
                slug=slug,
                type=project.kind,
            )
    except AlreadyThere:
        raise BadRequest(SLUG_TAKEN) from None
    return ProjectDetails(project=project, environments=environments)


def _new_slug(ctx: Ctx, name: str) -> str:
    return f"{slugify(name)[:31].strip('-') or 'project'}-{ctx.runtime.entropy(2).hex()}"


async def _add(ctx: Ctx, tx: Tx, project: Project, environments: Sequence[Environment]) -> None:
    await projects.add(tx, project)
    await ctx.runtime.keys.make(tx, project_scope(project.id), parent=org_scope(project.org_id))
    await folders.add_environments(tx, environments)
    await folders.add_folders(tx, [locations.new_root(ctx, environment) for environment in environments])
    membership = Membership(
        id=ctx.new_id(),
        org_id=project.org_id,
        project_id=project.id,
        actor_kind=cast("HolderKind", ctx.actor.kind),  # nobody else may create projects
        actor_id=ctx.actor.id,
        created_at=ctx.now,
        updated_at=ctx.now,
    )
    admin = MembershipRole(
        id=ctx.new_id(), membership_id=membership.id, role="admin", created_at=ctx.now, updated_at=ctx.now
    )
    await grants.add_membership(tx, membership, [admin])


async def id_of(ctx: Ctx, slug: str) -> str:
    """Return the id of the project with this slug in the caller's organization, through the cache. Raises NotFound.

    No permission is asked and nothing else is answered: enter the project next.
    """
    actor = require_actor(ctx, "user", "identity", "service")
    unknown = NotFound(f"There is no project with slug {slug[:64]!r}")
    if actor.kind == "service":
        own = await scopes.project(ctx, actor.project_id or "")
        if own is None or own.slug != slug:
            raise unknown
        return own.id
    project_id = await scopes.project_of_slug(ctx, actor.org_id or "", slug)
    if project_id is None:
        raise unknown
    return project_id


async def get(ctx: Ctx, project_id: str) -> ProjectDetails:
    """Return a project that the caller is a member of. Raises NotFound once deleted, so that Terraform notices."""
    require_actor(ctx, "user", "identity", "service")
    await require_known(ctx, project_id)
    scope = await enter_project(ctx, project_id)
    return ProjectDetails(project=scope.project, environments=await locations.environments(ctx, project_id))


async def mine(ctx: Ctx, *, kind: str | None = None, with_roles: bool = False) -> list[ProjectDetails]:
    """List the projects of the caller's organization that the caller is a member of, oldest first."""
    scope = await own_org(ctx)
    return await _mine(ctx, scope, kind=kind, with_roles=with_roles)


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """A page of projects; `contains` is a part of the name or the slug."""

    contains: str = ""
    offset: int = 0
    limit: int = 50
    with_environments: bool = True


async def find(ctx: Ctx, wanted: Wanted) -> Page[ProjectDetails]:
    """Find a page of the projects of the caller's organization that the caller is a member of, oldest first."""
    scope = await own_org(ctx)
    actor, contains = ctx.actor, wanted.contains.replace("\x00", "")
    async with ctx.view() as tx:
        records, total = await projects.page_of_actor(
            tx, actor.kind, actor.id, scope.org_id, contains=contains, offset=wanted.offset, limit=wanted.limit
        )
        ids = [project.id for project in records] if wanted.with_environments else []
        environments = await folders.environments_of_many(tx, ids) if ids else {}
    return Page(
        [ProjectDetails(project=project, environments=environments.get(project.id, ())) for project in records], total
    )


async def of_organization(ctx: Ctx, org_id: str) -> list[ProjectDetails]:
    """List the projects of this organization that the caller is a member of, oldest first."""
    return await _mine(ctx, await enter_org(ctx, org_id), kind=None, with_roles=False)


async def _mine(ctx: Ctx, scope: CallerScope, *, kind: str | None, with_roles: bool) -> list[ProjectDetails]:
    actor = ctx.actor
    async with ctx.view() as tx:
        records = [
            project
            for project in await projects.of_actor(tx, actor.kind, actor.id, scope.org_id)
            if kind in (None, "all", project.kind)
        ]
        environments = await folders.environments_of_many(tx, [project.id for project in records])
        roles = await _roles(tx, actor.kind, actor.id) if with_roles else None
    return [
        ProjectDetails(
            project=project,
            environments=environments[project.id],
            roles=None if roles is None else roles.get(project.id, ()),
        )
        for project in records
    ]


async def _roles(tx: Tx, kind: AnyActorKind, id: str) -> dict[str, Sequence[tuple[MembershipRole, Role | None]]]:
    memberships = [membership for membership in await grants.memberships_of(tx, kind, id) if membership.project_id]
    roles = await grants.roles_on(tx, [membership.id for membership in memberships])
    return {membership.project_id: roles[membership.id] for membership in memberships if membership.project_id}


async def permissions(
    ctx: Ctx, project_id: str
) -> tuple[str | None, Sequence[tuple[MembershipRole, Role | None]], list[list[Any]]]:
    """Return the id of the caller's own membership, the roles on it, and all of the caller's rules, packed.

    The id is None when the caller is a member through groups only.
    """
    scope = await enter_project(ctx, project_id)
    async with ctx.view() as tx:
        own = await grants.project_membership(tx, ctx.actor.kind, ctx.actor.id, project_id)
        roles = (await grants.roles_on(tx, [own.id]))[own.id] if own else ()
    return own.id if own else None, roles, pack(scope.ability.rules)


async def update(ctx: Ctx, project_id: str, body: UpdateProject) -> Project:
    """Change a project's settings."""
    scope = await enter_project(ctx, project_id)
    ctx.require(scope, "edit", "settings")
    fields = {
        "name": body.name,
        "description": body.description,
        "slug": None if body.slug is None else require_slug(body.slug),
        "auto_capitalization": body.auto_capitalization,
        "has_delete_protection": body.has_delete_protection,
        "version_limit": body.pit_version_limit,
    }
    changes = {name: value for name, value in fields.items() if value is not None}
    if not changes:
        raise BadRequest("Nothing to change: send at least one field")
    if not changes.keys().isdisjoint(("has_delete_protection", "version_limit")):
        _require_admin(ctx, scope)
    return await _change(ctx, scope, changes)


def _require_admin(ctx: Ctx, scope: ProjectScope) -> None:
    """Require a right that only administrators of the project have: to edit the project itself."""
    ctx.require(scope, "edit", "workspace")


async def _change(ctx: Ctx, scope: ProjectScope, changes: Mapping[str, Any]) -> Project:
    project_id = scope.project.id
    try:
        async with ctx.unit() as tx:
            await projects.change(tx, project_id, updated_at=ctx.now, **changes)
            facts = {_WIRE[name]: value for name, value in changes.items()}
            ctx.audit("update-project", org_id=scope.org_id, project_id=project_id, **facts)
            changed = await projects.by_id(tx, project_id)
    except AlreadyThere:
        raise BadRequest(SLUG_TAKEN) from None
    if changed is None:
        raise NotFound("The project was deleted meanwhile")
    return changed


_WIRE = {
    "name": "name",
    "description": "description",
    "slug": "slug",
    "auto_capitalization": "autoCapitalization",
    "has_delete_protection": "hasDeleteProtection",
    "version_limit": "pitVersionLimit",
    "audit_retention_days": "auditLogsRetentionDays",
}


async def limit_versions(ctx: Ctx, project_id: str, body: VersionLimit) -> Project:
    """Set how many versions of a secret are kept."""
    scope = await enter_project(ctx, project_id)
    _require_admin(ctx, scope)
    return await _change(ctx, scope, {"version_limit": body.pit_version_limit})


async def retain_audit(ctx: Ctx, project_id: str, body: Retention) -> Project:
    """Set how long the project shows its audit events. The organization's view of them is not affected.

    Raises Invalid below the floor, which only the instance sets: else a project's administrator could hide its own
    acts.
    """
    scope = await enter_project(ctx, project_id)
    _require_admin(ctx, scope)
    floor, days = ctx.runtime.settings.audit_retention_floor_days, body.audit_logs_retention_days
    if days < floor:
        message = (
            f"At least {floor} {'day' if floor == 1 else 'days'}: the instance sets this floor "
            "(WATCHWORD_AUDIT_RETENTION_FLOOR_DAYS)"
        )
        raise Invalid([Issue(code="too_small", path=("auditLogsRetentionDays",), message=message, minimum=floor)])
    # An event of the organization and not of the project, so that it is shown as long as the organization's events.
    ctx.audit(
        "update-project-audit-retention",
        org_id=scope.org_id,
        projectId=scope.project.id,
        auditLogsRetentionDays=days,
        before=scope.project.audit_retention_days,
    )
    return await _change(ctx, scope, {"audit_retention_days": days})


async def remove(ctx: Ctx, project_id: str) -> Project:
    """Delete a project with everything in it, and the identities that belong to it; their tokens end at once.

    It takes everything from all members, so only a caller with all rights of the project's administrators may do it.
    """
    scope = await enter_project(ctx, project_id)
    ctx.require(scope, "delete", "workspace")
    async with ctx.unit() as tx:
        await folders.lock(tx, project_id)
        project = await projects.by_id(tx, project_id)
        if project is None:
            raise NotFound("The project was deleted meanwhile")
        if administrator := built_in("project", "admin"):
            boundary.require_within(scope.ability, [administrator.rules])
        if project.has_delete_protection:
            raise BadRequest("The project has delete protection: switch hasDeleteProtection off first")
        turns = Turns()
        for identity in await projects.identities_of(tx, project_id):
            await turns.give()
            identities.require_unprotected(identity)
            if identity.is_instance_admin and not ctx.actor.is_instance_admin:
                raise Forbidden("Only an instance administrator may delete an identity that administers the instance")
            await identities.erase(ctx, tx, identity)
        await projects.remove(tx, project_id)
        ctx.audit("delete-project", org_id=project.org_id, project_id=project.id, name=project.name, slug=project.slug)
    return project
