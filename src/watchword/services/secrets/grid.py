"""The grid of a folder: its secrets by name, side by side in all environments, without any value.

Which values are the same is said only of those that the caller may read.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Literal

import msgspec

from watchword.domain.projects.records import Environment, Tag
from watchword.domain.secrets.records import StoredSecret
from watchword.domain.secrets.references import references
from watchword.services.access.scopes import ProjectScope, enter_project
from watchword.services.context import Ctx
from watchword.services.keys.keyring import Sealer
from watchword.services.projects import locations
from watchword.services.projects.locations import SecretLocation, normal_path
from watchword.services.secrets import folder_cache, import_resolution, rights, sealed
from watchword.services.secrets.folder_cache import CachedSecret, FolderSecrets
from watchword.services.secrets.reading import missing_folder
from watchword.services.secrets.rights import Rights
from watchword.services.turns import Turns

# value: there, and the caller may read it; reference: the same, and it is one reference and nothing else; named: there,
# and the caller may not read it; imported: another folder's; missing: not there; hidden: the caller may not know
# whether it is there; absent: the folder is not there.
State = Literal["value", "reference", "named", "imported", "missing", "hidden", "absent"]
_ONE_REFERENCE = re.compile(r"\$\{[^{}:]*\}")
_PIECE = 200  # values that are opened before others have their turn


class GridRequest(msgspec.Struct, frozen=True, kw_only=True):
    """The part of a folder's grid that is asked for.

    `name`: only this one, where it is set; `differing`: only names that are not the same everywhere; `also`: names that
    are shown with every page, whether or not they are there; `environments`: only these columns, by slug, where any of
    them is there.
    """

    project_id: str
    path: str = "/"
    name: str = ""
    differing: bool = False
    also: Collection[str] = ()
    environments: Collection[str] = ()
    offset: int = 0
    limit: int = 100


class Column(msgspec.Struct, frozen=True, kw_only=True):
    """An environment; `location` is None where it has no such folder, or the caller may not know of secrets in it."""

    environment: Environment
    location: SecretLocation | None
    sees: bool
    may_create: bool


class Cell(msgspec.Struct, frozen=True, kw_only=True):
    """One name in one environment. `same_as` is the slug of the first environment whose value it equals."""

    environment: str
    state: State
    secret: StoredSecret | None = None
    tags: Sequence[Tag] = ()
    same_as: str = ""
    differs: bool = False
    reference: str = ""
    source: tuple[str, str] | None = None  # environment and path of an imported one
    may_edit: bool = False
    may_create: bool = False

    @property
    def is_readable(self) -> bool:
        """Whether the caller may read the value here."""
        return self.state in ("value", "reference")


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One name in all environments, with the tags that it has in any of them."""

    key: str
    cells: Sequence[Cell]
    tags: Sequence[Tag]


class Grid(msgspec.Struct, frozen=True, kw_only=True):
    """A page of a folder's grid, and the number of rows in all pages."""

    path: str
    columns: Sequence[Column]
    rows: Sequence[Row]
    total: int


async def look(ctx: Ctx, wanted: GridRequest) -> Grid:
    """Return a page of the grid, by name.

    Raises PermissionDenied for a folder of which the caller may know nothing in any environment, NotFound for one that
    is in none.
    """
    scope = await enter_project(ctx, wanted.project_id)
    path = normal_path(wanted.path, "path")
    columns = await _columns(ctx, scope, path, wanted.environments)
    if columns and not any(column.sees for column in columns):
        rights.require_some(ctx, scope, rights.DESCRIBE, columns[0].environment.slug, path)
    shown = [column for column in columns if column.location is not None]
    if columns and not shown:
        raise missing_folder(next(column.environment.slug for column in columns if column.sees), path)
    builder = _Builder(scope, path, await import_resolution.links(ctx, scope.project.id))
    await builder.load(ctx, columns)
    key = await sealed.sealer(ctx, scope.project.id)
    if wanted.differing:
        names = await builder.differing(key, columns, wanted.name)
    else:
        names = builder.names(wanted.name)
    page = names[wanted.offset : wanted.offset + wanted.limit]
    if wanted.also:
        page = sorted({*page, *wanted.also})
    rows, turns = list[Row](), Turns()
    for start in range(0, len(page), _PIECE):
        rows += builder.rows(key, columns, page[start : start + _PIECE])
        await turns.give()
    total = len(names)
    for column in shown:
        await ctx.audit_read(
            "get-secrets",
            org_id=scope.org_id,
            project_id=scope.project.id,
            environment=column.environment.slug,
            secretPath=path,
            numberOfSecrets=sum(
                cell.secret is not None and cell.environment == column.environment.slug
                for row in rows
                for cell in row.cells
            ),
        )
    return Grid(path=path, columns=columns, rows=rows, total=total)


async def _columns(ctx: Ctx, scope: ProjectScope, path: str, chosen: Collection[str]) -> list[Column]:
    every = await locations.environments(ctx, scope.project.id)
    environments = [environment for environment in every if environment.slug in chosen] or every
    wanted = [(environment.slug, path) for environment in environments]
    places = await import_resolution.locations(ctx, scope.project.id, wanted) if wanted else {}
    columns = []
    for environment in environments:
        facts = {"environment": environment.slug, "secretPath": path}
        sees = scope.ability.could(rights.DESCRIBE, rights.SUBJECT, facts)
        columns.append(
            Column(
                environment=environment,
                location=places[environment.slug, path] if sees else None,
                sees=sees,
                may_create=scope.ability.could(rights.CREATE, rights.SUBJECT, facts),
            )
        )
    return columns


class _Builder:
    """Makes the rows of a grid from the contents of its folders and of those that they import."""

    def __init__(self, scope: ProjectScope, path: str, links: import_resolution.Links) -> None:
        self._scope, self._path, self._links = scope, path, links
        self._own: dict[str, Mapping[str, CachedSecret]] = {}  # by environment slug, then by name
        self._imported: dict[str, dict[str, tuple[CachedSecret, SecretLocation]]] = {}
        # Of folders with the copies of replicated imports: what they are copies of.
        self._origins: dict[str, tuple[str, str]] = {}

    async def load(self, ctx: Ctx, columns: Sequence[Column]) -> None:
        """Read what the caller may know of."""
        paths = {
            column.environment.slug: import_resolution.search_path(self._links, column.location)
            for column in columns
            if column.location is not None
        }
        folder_ids = {location.folder.id for path in paths.values() for location in path}
        contents = await folder_cache.everything(ctx, self._scope.project.id, folder_ids) if folder_ids else {}
        self._origins = {
            link.replica[1].id: (link.source.slug, link.record.source_path)
            for group in self._links.values()
            for link in group
            if link.replica is not None and link.replica[1].id in folder_ids
        }
        turns = Turns()
        for slug, (own, *others) in paths.items():
            self._own[slug] = await self._described(contents[own.folder.id], own, turns)
            imported: dict[str, tuple[CachedSecret, SecretLocation]] = {}
            for location in others:
                for name, cached in (await self._described(contents[location.folder.id], location, turns)).items():
                    imported.setdefault(name, (cached, location))
            self._imported[slug] = imported

    async def _described(
        self, contents: FolderSecrets, location: SecretLocation, turns: Turns
    ) -> Mapping[str, CachedSecret]:
        describes = Rights(self._scope, rights.DESCRIBE, location.environment.slug, location.folder.path)
        if describes.all:
            return contents.shared
        described = {}
        for name, cached in () if describes.none else contents.shared.items():
            if describes(cached):
                described[name] = cached
            await turns.give()
        return described

    def names(self, only: str = "") -> list[str]:
        """The names of the rows in their order; with `only`, that one where it is there."""
        parts = [part for part in (*self._own.values(), *self._imported.values()) if part]
        if only:
            return [only] if any(only in part for part in parts) else []
        return sorted(set().union(*parts))

    async def differing(self, key: Sealer, columns: Sequence[Column], only: str) -> list[str]:
        """The names that are missing somewhere, or whose values differ as far as the caller may compare them."""
        found, names, turns = list[str](), self.names(only), Turns()
        for start in range(0, len(names), _PIECE):
            piece = names[start : start + _PIECE]
            values = self._values(key, columns, piece)
            found += [name for name in piece if self._differs(columns, name, values)]
            await turns.give()
        return found

    def _differs(self, columns: Sequence[Column], name: str, values: Mapping[tuple[str, str], str]) -> bool:
        readable = {values[place] for column in columns if (place := (column.environment.slug, name)) in values}
        if len(readable) > 1:
            return True
        return any(
            column.sees
            and column.location is not None
            and name not in self._own[(slug := column.environment.slug)]
            and name not in self._imported[slug]
            and self._cell(column, name, values).state == "missing"
            for column in columns
        )

    def rows(self, key: Sealer, columns: Sequence[Column], names: Sequence[str]) -> list[Row]:
        """Make the rows of these names; the values that the caller may read are opened to compare them."""
        values = self._values(key, columns, names)
        return [self._row(columns, name, values) for name in names]

    def _values(self, key: Sealer, columns: Sequence[Column], names: Sequence[str]) -> Mapping[tuple[str, str], str]:
        """The values of these names that the caller may read, by environment and name."""
        readable: list[tuple[str, str]] = []
        for column in columns:
            slug = column.environment.slug
            reads = Rights(self._scope, rights.READ, slug, self._path)
            own = self._own.get(slug, {})
            readable += [(slug, name) for name in names if name in own and reads(own[name])]
        opened = sealed.values_of(key, [self._own[slug][name] for slug, name in readable])
        return dict(zip(readable, opened, strict=True))

    def _row(self, columns: Sequence[Column], name: str, values: Mapping[tuple[str, str], str]) -> Row:
        cells: list[Cell] = []
        first: tuple[str, str] | None = None  # environment and value that the others are compared with
        tags: dict[str, Tag] = {}
        for column in columns:
            cell = self._cell(column, name, values)
            tags |= {tag.id: tag for tag in cell.tags}
            value = values.get((cell.environment, name))
            if value is not None and first is None:
                first = (cell.environment, value)
            elif value is not None and first is not None:
                is_same = value == first[1]
                cell = msgspec.structs.replace(cell, same_as=first[0] if is_same else "", differs=not is_same)
            cells.append(cell)
        return Row(key=name, cells=cells, tags=list(tags.values()))

    def _cell(self, column: Column, name: str, values: Mapping[tuple[str, str], str]) -> Cell:
        slug, ability = column.environment.slug, self._scope.ability
        facts = {"environment": slug, "secretPath": self._path, "secretName": name}
        if not column.sees:
            return Cell(environment=slug, state="hidden")
        if column.location is None:
            return Cell(environment=slug, state="absent")
        cached = self._own[slug].get(name)
        if cached is not None:
            in_place = rights.in_place(slug, self._path, cached.facts)
            value = values.get((slug, name))
            return Cell(
                environment=slug,
                state="named" if value is None else "reference" if (alone := _alone(value)) else "value",
                secret=cached.secret,
                tags=cached.tags,
                reference=alone if value is not None else "",
                may_edit=ability.allows(rights.EDIT, rights.SUBJECT, in_place),
            )
        may_create = ability.could(rights.CREATE, rights.SUBJECT, facts)
        imported = self._imported[slug].get(name)
        if imported is not None:
            other, location = imported
            return Cell(
                environment=slug,
                state="imported",
                secret=other.secret,
                tags=other.tags,
                source=self._origins.get(location.folder.id, (location.environment.slug, location.folder.path)),
                may_create=may_create,
            )
        is_known = ability.could(rights.DESCRIBE, rights.SUBJECT, facts)
        return Cell(environment=slug, state="missing" if is_known else "hidden", may_create=may_create)


def _alone(value: str) -> str:
    """Return a value that is one reference and nothing else, which is no secret; empty for any other."""
    return value if _ONE_REFERENCE.fullmatch(value) and references(value) else ""
