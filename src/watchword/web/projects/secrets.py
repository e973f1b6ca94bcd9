"""The secrets of a folder side by side in all environments: look, search and compare."""

from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import quote

import msgspec

from watchword.domain.errors import Forbidden, NotFound, PermissionDenied, Refusal
from watchword.domain.projects.records import Tag
from watchword.services.projects import folders, locations
from watchword.services.projects.folders import FolderQuery
from watchword.services.secrets import grid, search
from watchword.services.secrets.grid import Cell, Column, Grid, GridRequest
from watchword.web.forms import Form
from watchword.web.pages import Answer, Faults, Page, Pages, Visit
from watchword.web.projects import editing, place, texts
from watchword.web.projects.editing import Clash, Open, Spot
from watchword.web.projects.place import Place

pages = Pages()
PAGE: Final = 50  # rows
MOST_ROWS: Final = 500
_FOUND: Final = 200  # of one environment, of a search
_FOLDERS: Final = 50
_KEPT: Final = 20  # revealed values that stay revealed when one more is asked for


class Shown(msgspec.Struct, frozen=True, kw_only=True):
    """A cell as the page shows it: with its value where that was revealed, and with what is typed into it."""

    cell: Cell
    spot: str  # `dev/KEY`
    value: str | None = None
    open: Open | None = None
    clash: Clash | None = None
    wrong: str = ""
    can_open: bool = False
    has_unseen: bool = False
    lines: int = 1


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """A row of the grid."""

    key: str
    tags: Sequence[Tag]
    cells: Sequence[Shown]
    to: str  # the page of the key


class Acts(msgspec.Struct, frozen=True, kw_only=True):
    """What is open or revealed in the grid, and what was refused."""

    revealed: Mapping[Spot, str] = {}
    opened: Mapping[Spot, Open] = {}
    clashes: Mapping[Spot, Clash] = {}
    refusal: Refusal | None = None
    last: Spot | None = None  # the cell that was opened last


NOTHING: Final = Acts()


def sizes(form: Form) -> tuple[int, int]:
    """The first row and the number of rows that a page shows."""
    size = form["size"]
    rows = int(size) if size.isascii() and size.isdigit() and len(size) < 4 else PAGE
    return form.offset, min(max(rows, 1), MOST_ROWS)


def request_of(found: Place, asked: Form, also: Sequence[str] = ()) -> GridRequest:
    """The part of the grid that a query or a form names."""
    offset, size = sizes(asked)
    return GridRequest(
        project_id=found.project.id,
        path=asked.text("path") or "/",
        name=asked["key"],
        differing=asked["only"] == "differences",
        also=also,
        environments=asked.all("env"),
        offset=offset,
        limit=size,
    )


@pages.get("/{organization}/p/{project}")
async def secrets(visit: Visit, project: str) -> Answer:
    """The grid of a folder; with `q`, the keys with that in their names in it and below it."""
    found = await place.find(visit, project)
    if visit.query.text("q"):
        return await _searched(visit, found)
    try:
        looked = await grid.look(visit.ctx, request_of(found, visit.query))
    except PermissionDenied as refusal:
        return await _closed(visit, found, refusal)
    return await shown(visit, found, visit.query, looked, NOTHING)


async def _closed(visit: Visit, found: Place, refusal: PermissionDenied) -> Page:
    """The page of a folder whose secrets the person may not know of: the folders in it, and a way to name another."""
    path = locations.normal_path(visit.query.text("path") or "/", "path")
    columns = [
        Column(environment=environment, location=location, sees=True, may_create=False)
        for environment in await locations.environments(visit.ctx, found.project.id)
        if (location := await locations.find(visit.ctx, found.project.id, environment.slug, path)) is not None
        and visit.ctx.may(found.scope, "read", folders.SUBJECT, environment=environment.slug, secretPath=path)
    ]
    data = {
        "place": found,
        "path": path,
        "crumbs": crumbs(found, path),
        "folders": await below(visit, found, Grid(path=path, columns=columns, rows=(), total=0)),
        "missing": refusal.details,
    }
    title = f"{found.project.name}, secrets"
    return Page(template="projects/closed.html", title=title, data=data, status=refusal.status)


async def shown(visit: Visit, found: Place, asked: Form, looked: Grid, acts: Acts) -> Page:
    """The page of the grid."""
    offset, size = sizes(asked)
    faults = Faults(acts.refusal)
    only = asked["only"] == "differences"
    known = await locations.environments(visit.ctx, found.project.id)
    shown_slugs = {column.environment.slug for column in looked.columns}
    chosen = asked.all("env")
    data = {
        "place": found,
        "grid": looked,
        "rows": _lines(found, looked, acts, faults),
        "crumbs": crumbs(found, looked.path),
        "folders": (inside := await below(visit, found, looked))[:_FOLDERS],
        "more_folders": max(len(inside) - _FOLDERS, 0),
        "only": only,
        "environments": [
            (environment.slug, environment.name, environment.slug in shown_slugs) for environment in known
        ],
        "env": chosen,
        "offset": offset,
        "size": size,
        "key": asked["key"],
        "revealed": acts.revealed,
        "opened": acts.opened,
        "clashes": acts.clashes,
        "faults": faults,
        "kept": [f"{environment}/{key}" for environment, key in acts.revealed] if len(acts.revealed) <= _KEPT else (),
        "plain": found.link(
            path=looked.path,
            only="differences" if only else "",
            offset=offset or "",
            key=asked["key"],
            size=size if size != PAGE else "",
            env=chosen,
        ),
        "last": acts.last,
        "may_create": any(column.may_create and column.location for column in looked.columns),
        "may_edit": any(can_open(cell) for row in looked.rows for cell in row.cells),
        "may_read": any(cell.is_readable for row in looked.rows for cell in row.cells),
        "may_import": any(
            column.location
            and visit.ctx.may(
                found.scope, "read", "secret-imports", environment=column.environment.slug, secretPath=looked.path
            )
            for column in looked.columns
        ),
    }
    return Page(
        template="projects/secrets.html",
        title=f"{found.project.name}, secrets",
        data=data,
        status=acts.refusal.status if acts.refusal else 200,
        holds_secrets=bool(acts.revealed or acts.opened),
    )


def _lines(found: Place, looked: Grid, acts: Acts, faults: Faults) -> list[Line]:
    lines = []
    before = found.link("key", path=looked.path) + "&key="
    for row in looked.rows:
        cells = []
        for cell in row.cells:
            spot = (cell.environment, row.key)
            opened = acts.opened.get(spot)
            value = acts.revealed.get(spot)
            cells.append(
                Shown(
                    cell=cell,
                    spot=f"{cell.environment}/{row.key}",
                    value=value,
                    open=opened,
                    clash=acts.clashes.get(spot),
                    wrong=faults[opened.name] if opened is not None else "",
                    can_open=can_open(cell),
                    has_unseen=value is not None and texts.has_unseen(value),
                    lines=1 if opened is None else min(opened.text.count("\n") + 1, 12),
                )
            )
        lines.append(Line(key=row.key, tags=row.tags, cells=cells, to=before + quote(row.key, safe="")))
    return lines


def can_open(cell: Cell) -> bool:
    """Whether a cell can be edited in the grid: it is the person's to write, and not too long for a cell."""
    if cell.state in ("missing", "imported"):
        return cell.may_create
    return cell.may_edit and cell.secret is not None and len(cell.secret.value) < editing.LONGEST


def crumbs(found: Place, path: str) -> list[tuple[str, str]]:
    """The names and paths of the folders above and at `path`, without the root."""
    names = [name for name in path.split("/") if name]
    return [(name, found.link(path="/" + "/".join(names[: number + 1]))) for number, name in enumerate(names)]


async def below(visit: Visit, found: Place, looked: Grid) -> list[dict[str, Any]]:
    """The folders in this one: name, path, and the environments that have them, of those that the person may list."""
    names: dict[str, list[str]] = {}
    for column in looked.columns:
        slug = column.environment.slug
        if column.location is None or not visit.ctx.may(
            found.scope, "read", folders.SUBJECT, environment=slug, secretPath=looked.path
        ):
            continue
        asked = FolderQuery(project_id=found.project.id, environment=slug, path=looked.path)
        for folder in await folders.every(visit.ctx, asked, ask=True):
            names.setdefault(folder.name, []).append(slug)
    return [
        {"name": name, "path": locations.child_path(looked.path, name), "environments": names[name]}
        for name in sorted(names)
    ]


async def _searched(visit: Visit, found: Place) -> Page:
    path = locations.normal_path(visit.query.text("path") or "/", "path")
    rows: dict[tuple[str, str], list[str]] = {}
    total, is_cut = 0, False
    for environment in await locations.environments(visit.ctx, found.project.id):
        wanted = search.SecretSearch(
            project_id=found.project.id,
            environment=environment.slug,
            path=path,
            name=visit.query["q"].strip(),
            limit=_FOUND,
        )
        try:
            matches = await search.find(visit.ctx, wanted)
        except (NotFound, Forbidden):
            continue
        total += matches.total
        is_cut = is_cut or matches.total > _FOUND
        for view in matches.items:
            rows.setdefault((view.path, view.secret.key), []).append(environment.slug)
    data = {
        "place": found,
        "path": path,
        "rows": [
            {"key": key, "path": where, "environments": slugs, "to": found.link(path=where, key=key)}
            for (where, key), slugs in sorted(rows.items())
        ],
        "is_cut": is_cut,
        "q": visit.query["q"],
    }
    return Page(template="projects/search.html", title=f"{found.project.name}, search", data=data)


def reference_to(environment: str, path: str, key: str) -> str:
    """How other secrets of the project refer to a secret: `${environment.folder.KEY}`."""
    parts = [environment, *(name for name in path.split("/") if name), key.replace(".", "\\.")]
    return "${" + ".".join(parts) + "}"


def readers(visit: Visit, found: Place, environment: str, path: str, key: str) -> str:
    """The page that says who can read a secret."""
    return visit.link(
        "access", project=found.project.id, environment=environment, action="readValue", path=path, key=key
    )


async def count_below(visit: Visit, found: Place, environment: str, path: str) -> int:
    """The number of secrets in a folder and those below it, of those that the person may know of."""
    wanted = search.SecretSearch(project_id=found.project.id, environment=environment, path=path, limit=1)
    try:
        return (await search.find(visit.ctx, wanted)).total
    except (NotFound, Forbidden):
        return 0
