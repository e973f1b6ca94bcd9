"""What people and machine identities may do with secrets, by project and place, and what gives it to them.

The answers are those of the permission engine. "all" means every secret of the place whatever its folder, name or tags;
"some" means that it depends on them.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Literal

import msgspec

from watchword.domain.access.abilities import BUILT_IN, Ability, Grant, stored_rules
from watchword.domain.access.folder_access import FolderAccess
from watchword.domain.access.records import Privilege
from watchword.domain.actor import HolderKind
from watchword.domain.errors import Refusal
from watchword.domain.projects.records import Environment, Project
from watchword.services.access.access_report import (
    ACTIONS,
    MOST_RULES,
    SUBJECT,
    Answers,
    Part,
    SecretSelection,
    part_of,
)
from watchword.services.access.scopes import ProjectScope, active_grants, enter_project, is_held, organization, own_org
from watchword.services.context import Ctx
from watchword.services.identities import identities
from watchword.services.turns import Turns, beside
from watchword.store.access import effects, grants
from watchword.store.access.access_report import Somebody
from watchword.store.access.grants import HeldRole
from watchword.store.engine import Tx
from watchword.store.projects import folders, members, projects

Extent = Literal["all", "some"]
Asked = tuple[int, str, bool]  # the place, the action, and whether it is surely allowed
CHUNK: Final = 100  # members that are looked at together
MOST_CHUNKS: Final = 10
_READ_HERE: Final = (("read", "member"), ("read", "identity"))


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """A role, a privilege or folder access that somebody holds in a project.

    `until` (ms): when it ends. `limits`: it has rules that deny.
    """

    kind: Literal["role", "privilege", "folder"]
    name: str
    slug: str = ""
    group: str | None = None
    until: int | None = None
    limits: bool = False


class Given(msgspec.Struct, frozen=True, kw_only=True):
    """A source, and what it gives: places by number, with the actions there."""

    source: Source
    gives: frozenset[tuple[int, str]]


class Effect(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody may do with secrets in the places asked about.

    `is_stopped`: nothing, whatever is held, because the account or the membership is disabled, suspended or ended.
    """

    extents: Mapping[tuple[int, str], Extent]
    given: Sequence[Given]
    is_stopped: bool = False

    def of(self, place: int) -> Mapping[str, Extent]:
        """The actions that are allowed in one place."""
        return {action: extent for (at, action), extent in self.extents.items() if at == place}


NOTHING: Final = Effect(extents={}, given=())


class InProject(msgspec.Struct, frozen=True, kw_only=True):
    """An actor in a project: its roles, and what it may do in each environment. `effect` is None where the reader may
    not know it: `missing` then says who may.
    """

    project: Project
    environments: Sequence[Environment]
    is_member: bool  # itself, not only through a group
    effect: Effect | None
    missing: str = ""


class Column(msgspec.Struct, frozen=True, kw_only=True):
    """One place that a matrix asks about."""

    project_id: str
    selection: SecretSelection


class MatrixQuery(msgspec.Struct, frozen=True, kw_only=True):
    """A page of a matrix: everybody of a kind by name, beside the columns.

    `after`: the name and id of the last row that was seen. `can`: only who may do this in one of the columns.
    `inside`: only who is in one of the columns' projects.
    """

    kind: HolderKind
    columns: Sequence[Column]
    contains: str = ""
    after: tuple[str, str] | None = None
    can: str | None = None
    inside: bool = False
    limit: int = 50


class MatrixRow(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody, and what is allowed in each column; None where the reader may not know."""

    member: Somebody
    cells: Sequence[Effect | None]


class MatrixPage(msgspec.Struct, frozen=True, kw_only=True):
    """Rows of a matrix. `after` is where the next page begins, None at the end; `looked_at`: members asked about."""

    rows: Sequence[MatrixRow]
    after: tuple[str, str] | None
    looked_at: int


def _asker(places: Sequence[Mapping[str, Any]]) -> Callable[[Ability], frozenset[Asked]]:
    def ask(ability: Ability) -> frozenset[Asked]:
        found: set[Asked] = set()
        for number, facts in enumerate(places):
            for action in ACTIONS:
                if ability.could(action, SUBJECT, facts):
                    found.add((number, action, False))
                    if ability.surely(action, SUBJECT, facts):
                        found.add((number, action, True))
        return frozenset(found)

    return ask


def _effect(
    member: Somebody,
    roles: Sequence[tuple[HeldRole, str | None]],
    privileges: Sequence[Privilege],
    context: Mapping[str, Any],
    now: int,
    known: Answers[Asked],
) -> Effect:
    own = [role for role, group in roles if group is None]
    if not roles:
        return NOTHING
    if not member.is_usable or (own and not own[0].membership.is_active):
        return Effect(extents={}, given=(), is_stopped=True)
    parts: list[tuple[Part, Source]] = []
    for role, group in roles:
        if role.held is not None and is_held(role, now):
            part = known.part(role)
            slug = role.custom.slug if role.custom else role.held.role
            until = role.held.ends_at if role.held.is_temporary else None
            name = role.custom.name if role.custom else _built_in_name(slug)
            parts.append(
                (part, Source(kind="role", name=name, slug=slug, group=group, until=until, limits=part.denies))
            )
    for privilege in sorted(privileges, key=lambda one: isinstance(one, FolderAccess)):
        for grant in active_grants("project", (), [privilege], now)[0]:
            part = part_of(grant, None)
            parts.append((part, _source_of(privilege, limits=part.denies)))
    allowed = known.together([part for part, _ in parts], context)
    extents: dict[tuple[int, str], Extent] = {}
    for place, action, is_sure in allowed:
        if is_sure or (place, action) not in extents:
            extents[place, action] = "all" if is_sure else "some"
    given = []
    for part, source in parts:
        gives = {(place, action) for place, action, _ in known.together([part], context)} & extents.keys()
        if gives or source.limits:
            given.append(Given(source=source, gives=frozenset(gives)))
    return Effect(extents=extents, given=given)


def _built_in_name(slug: str) -> str:
    return next((role.name for role in BUILT_IN["project"] if role.slug == slug), slug)


def _source_of(privilege: Privilege, *, limits: bool) -> Source:
    until = privilege.ends_at if privilege.is_temporary else None
    if isinstance(privilege, FolderAccess):
        name = f"{privilege.tier} on {privilege.environment}:{privilege.path}"
        return Source(kind="folder", name=name, until=until, limits=limits)
    return Source(kind="privilege", name=privilege.slug, slug=privilege.slug, until=until, limits=limits)


def _context(member: Somebody, held: effects.Held) -> Mapping[str, Any]:
    metadata = {item.key: item.value for item in held.metadata.get(member.id, ())}
    return {"identity": {"id": member.id, "username": member.name, "metadata": metadata, "auth": {}}}


def _rules(roles: Sequence[tuple[HeldRole, str | None]], privileges: Sequence[Privilege]) -> int:
    return sum(len(role.custom.permissions) for role, _ in roles if role.custom is not None) + sum(
        len(privilege.permissions) for privilege in privileges
    )


async def of_identity(
    ctx: Ctx, identity_id: str, *, offset: int = 0, limit: int = 20
) -> tuple[Sequence[InProject], int]:
    """Return a page of the projects of an identity, with what it may do in each environment; and how many there are.

    Projects that it is in only through a group are those that the reader is in too.
    """
    details = await identities.get(ctx, identity_id)
    identity, turns = details.identity, Turns()
    async with ctx.survey() as tx:
        own = {project.id for _, project in await members.with_projects(tx, "identity", identity.id, identity.org_id)}
        found = await projects.of_actor(tx, "identity", identity.id, identity.org_id)
    scopes: dict[str, ProjectScope | None] = {}
    shown: list[Project] = []
    for project in sorted(found, key=lambda one: (one.name.lower(), one.id)):
        if project.id not in own:
            scopes[project.id] = await _entered(ctx, project.id)
            if scopes[project.id] is None:
                continue
        shown.append(project)
    total, shown = len(shown), shown[offset : offset + limit]
    for project in shown:
        if project.id not in scopes:
            scopes[project.id] = await _entered(ctx, project.id)
    async with ctx.survey() as tx:
        held = await effects.held(tx, "identity", [identity.id], [project.id for project in shown], turns)
        environments = await folders.environments_of_many(tx, [project.id for project in shown])
        home = await grants.org_membership(tx, "identity", identity.id, identity.org_id)
    works = not identity.is_disabled and (identity.expires_at is None or identity.expires_at > ctx.now)
    is_usable = works and home is not None and home.is_active
    member = Somebody(kind="identity", id=identity.id, name=identity.name, is_usable=is_usable)
    result = []
    for project in shown:
        key = (project.id, identity.id)
        roles, privileges = held.roles.get(key, []), held.privileges.get(key, [])
        scope, missing, effect = scopes[project.id], "", None
        if scope is None:
            missing = "members of the project"
        elif not ctx.may(scope, "read", "role"):
            missing = "those with the permission role: read"
        elif not ctx.may(scope, "read", "identity", identityId=identity.id):
            missing = "those with the permission identity: read"
        else:
            known = Answers(_asker([{"environment": one.slug} for one in environments[project.id]]))
            effect = await beside(
                _rules(roles, privileges), _effect, member, roles, privileges, _context(member, held), ctx.now, known
            )
        result.append(
            InProject(
                project=project,
                environments=environments[project.id],
                is_member=project.id in own,
                effect=effect,
                missing=missing,
            )
        )
        await turns.give()
    return result, total


async def _entered(ctx: Ctx, project_id: str) -> ProjectScope | None:
    try:
        return await enter_project(ctx, project_id)
    except Refusal:
        return None


async def readable(ctx: Ctx, project_ids: Sequence[str]) -> Sequence[str]:
    """Return those of these projects in which the caller may know who may do what."""
    found = []
    for project_id in project_ids:
        scope = await _entered(ctx, project_id)
        if scope is not None and all(ctx.may(scope, action, subject) for action, subject in _READ_HERE):
            found.append(project_id)
    return found


async def matrix(ctx: Ctx, query: MatrixQuery) -> MatrixPage:
    """Return a page of everybody of a kind, with what each may do in the columns.

    Each column needs the right to read the people and identities of its project; to see who is in none of the projects
    needs that right in the organization. Raises PermissionDenied, Forbidden.
    """
    org = await own_org(ctx)
    scopes: dict[str, ProjectScope] = {}
    for column in query.columns:
        if column.project_id not in scopes:
            scope = scopes[column.project_id] = await enter_project(ctx, column.project_id)
            for action, subject in _READ_HERE:
                ctx.require(scope, action, subject)
    may_read_all = ctx.may(org, "read", "identity" if query.kind == "identity" else "member")
    inside = query.inside or query.can is not None or not may_read_all
    record = await organization(ctx, org.org_id)
    homes = [record.id] if record.root_org_id is None else [record.id, record.root_org_id]
    wanted = effects.Wanted(
        org_id=org.org_id,
        kind=query.kind,
        homes=homes,
        now=ctx.now,
        contains=query.contains,
        projects=list(scopes) if inside else None,
        limit=0,
    )
    by_project = {id: [c.selection.facts for c in query.columns if c.project_id == id] for id in scopes}
    known = {id: Answers(_asker(places)) for id, places in by_project.items()}
    async with ctx.survey() as tx:
        turns = Turns()
        if inside:
            wanted = msgspec.structs.replace(wanted, known=await effects.known(tx, wanted))
        if query.can is not None:
            wanted = await _narrowed(tx, wanted, query.can, known, turns)
        return await _walked(ctx, tx, query, wanted, _Matrix(scopes, known), turns)


class _Matrix:
    """What is known while a matrix is made: the caller's scopes, and the answers by project."""

    def __init__(self, scopes: Mapping[str, ProjectScope], known: Mapping[str, Answers[Asked]]) -> None:
        self.scopes = scopes
        self.known = known

    @property
    def compiled(self) -> int:
        """How many rules were compiled so far."""
        return sum(answers.compiled for answers in self.known.values())


async def _narrowed(
    tx: Tx, wanted: effects.Wanted, action: str, known: Mapping[str, Answers[Asked]], turns: Turns
) -> effects.Wanted:
    """Return the question with only those who hold what could allow the action: the others need not be looked at."""
    built_in: set[str] = set()
    custom: set[str] = set()
    for project_id, answers in known.items():
        for role in BUILT_IN["project"]:
            if _could(answers, part_of(Grant("", role.rules), f"built-in/{role.slug}"), action):
                built_in.add(role.slug)
        for own in await grants.project_roles(tx, project_id, turns, with_rules=True):
            part = part_of(Grant("", stored_rules("project", own.permissions)), f"role/{own.id}")
            if part.key is None or await beside(len(own.permissions), _could, answers, part, action):
                custom.add(own.id)  # an expression in its rules is filled from each holder's own values
            await turns.give()
    return msgspec.structs.replace(wanted, built_in=sorted(built_in), custom=sorted(custom))


def _could(answers: Answers[Asked], part: Part, action: str) -> bool:
    return any(one == action for _, one, _ in answers.together([part], {}))


async def _walked(
    ctx: Ctx, tx: Tx, query: MatrixQuery, wanted: effects.Wanted, state: _Matrix, turns: Turns
) -> MatrixPage:
    rows: list[MatrixRow] = []
    begin, after, looked_at = query.after, query.after, 0
    for _ in range(MOST_CHUNKS):
        size = CHUNK if looked_at and query.can is not None else query.limit - len(rows) + 1
        found, begin = await effects.listed(tx, msgspec.structs.replace(wanted, after=begin, limit=size))
        held = await effects.held(tx, query.kind, [one.id for one in found], list(state.scopes), turns)
        for member in found:
            if len(rows) == query.limit or (looked_at and state.compiled > MOST_RULES):
                return MatrixPage(rows=rows, after=after, looked_at=looked_at)
            row = await _row(ctx, query, member, held, state)
            if query.can is None or any(cell and _allows(cell, query.can) for cell in row.cells):
                rows.append(row)
            after = (member.name, member.id)
            looked_at += 1
            await turns.give()
        if begin is None:
            return MatrixPage(rows=rows, after=None, looked_at=looked_at)
        after = begin
    return MatrixPage(rows=rows, after=after, looked_at=looked_at)


def _allows(effect: Effect, action: str) -> bool:
    return any(one == action for _, one in effect.extents)


async def _row(ctx: Ctx, query: MatrixQuery, member: Somebody, held: effects.Held, state: _Matrix) -> MatrixRow:
    whole: dict[str, Effect | None] = {}
    for project_id, scope in state.scopes.items():
        roles = held.roles.get((project_id, member.id), [])
        if not roles:
            whole[project_id] = NOTHING
        elif member.kind == "identity" and not ctx.may(scope, "read", "identity", identityId=member.id):
            whole[project_id] = None
        else:
            privileges = held.privileges.get((project_id, member.id), [])
            whole[project_id] = await beside(
                _rules(roles, privileges) if privileges else 0,
                _effect,
                member,
                roles,
                privileges,
                _context(member, held),
                ctx.now,
                state.known[project_id],
            )
    counts: dict[str, int] = {}
    cells: list[Effect | None] = []
    for column in query.columns:
        place = counts.get(column.project_id, 0)
        counts[column.project_id] = place + 1
        effect = whole[column.project_id]
        cells.append(None if effect is None else _only(effect, place))
    return MatrixRow(member=member, cells=cells)


def _only(effect: Effect, place: int) -> Effect:
    """Return what an effect says of one place, which then is number 0."""
    if effect is NOTHING or effect.is_stopped:
        return effect
    extents: dict[tuple[int, str], Extent] = {(0, action): how for action, how in effect.of(place).items()}
    given = []
    for one in effect.given:
        gives = frozenset((0, action) for at, action in one.gives if at == place)
        if gives or (one.source.limits and extents):
            given.append(Given(source=one.source, gives=gives))
    return Effect(extents=extents, given=given)
