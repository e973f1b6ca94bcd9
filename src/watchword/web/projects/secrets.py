"""The secrets of a folder side by side in all environments: look, search, compare and reveal."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from watchword.domain.errors import BadRequest, Forbidden, NotFound
from watchword.services.projects import folders, locations
from watchword.services.projects.folders import FolderQuery
from watchword.services.secrets import grid, reading, search
from watchword.services.secrets.grid import Grid, GridRequest
from watchword.services.secrets.reading import SecretListRequest, SecretRequest
from watchword.web.console import require_proof
from watchword.web.forms import Form
from watchword.web.pages import Answer, Page, Pages, Redirect, Visit
from watchword.web.projects import place
from watchword.web.projects.place import Place

pages = Pages()
PAGE: Final = 50  # rows
MOST_ROWS: Final = 500
REVEALED_FREELY: Final = 20  # values; more at once need the password again
_FOUND: Final = 200  # of one environment, of a search


def sizes(form: Form) -> tuple[int, int]:
    """The first row and the number of rows that a page shows."""
    size = form["size"]
    rows = int(size) if size.isascii() and size.isdigit() and len(size) < 4 else PAGE
    return form.offset, min(max(rows, 1), MOST_ROWS)


@pages.get("/{organization}/p/{project}")
async def secrets(visit: Visit, project: str) -> Answer:
    """The grid of a folder; with `q`, the keys with that in their names in it and below it."""
    found = await place.find(visit, project)
    if visit.query.text("q"):
        return await _searched(visit, found)
    return await _grid(visit, found, visit.query)


async def _grid(visit: Visit, found: Place, asked: Form, revealed: Mapping[tuple[str, str], str] | None = None) -> Page:
    offset, size = sizes(asked)
    looked = await grid.look(
        visit.ctx,
        GridRequest(
            project_id=found.project.id,
            path=asked.text("path") or "/",
            name=asked["key"],
            differing=asked["only"] == "differences",
            offset=offset,
            limit=size,
        ),
    )
    data = {
        "place": found,
        "grid": looked,
        "crumbs": crumbs(found, looked.path),
        "folders": await below(visit, found, looked),
        "only": asked["only"] == "differences",
        "offset": offset,
        "size": size,
        "key": asked["key"],
        "revealed": revealed or {},
        "may_create": any(column.may_create and column.location for column in looked.columns),
        "may_read": any(cell.is_readable for row in looked.rows for cell in row.cells),
        "q": "",
    }
    return Page(
        template="projects/secrets.html",
        title=f"{found.project.name}, secrets",
        data=data,
        holds_secrets=bool(revealed),
    )


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


@pages.post("/{organization}/p/{project}/reveal")
async def reveal(visit: Visit, project: str) -> Answer:
    """Show the values of chosen cells (`environment/KEY`), or of a whole column or page. Each is in the audit log."""
    found = await place.find(visit, project)
    form = visit.form
    offset, size = sizes(form)
    path = locations.normal_path(form.text("path") or "/", "path")
    wanted = GridRequest(
        project_id=found.project.id,
        path=path,
        name=form["key"],
        differing=form["only"] == "differences",
        offset=offset,
        limit=size,
    )
    looked = await grid.look(visit.ctx, wanted)
    readable = [(cell.environment, row.key) for row in looked.rows for cell in row.cells if cell.is_readable]
    column = form["column"]
    if column:
        chosen = [item for item in readable if column in ("*", item[0])]
    else:
        asked = {_cell(text) for text in form.all("cell")}
        chosen = [item for item in readable if item in asked]
        if not chosen:
            raise BadRequest("This secret was changed or deleted meanwhile, or you may not read it: nothing was shown")
    if len(chosen) > REVEALED_FREELY:
        require_proof(visit)
    return await _grid(visit, found, form, await _values(visit, found, path, chosen))


def _cell(text: str) -> tuple[str, str]:
    environment, _, key = text.partition("/")
    return environment, key


async def _values(
    visit: Visit, found: Place, path: str, chosen: Sequence[tuple[str, str]]
) -> dict[tuple[str, str], str]:
    values: dict[tuple[str, str], str] = {}
    if len(chosen) <= REVEALED_FREELY:
        for environment, key in chosen:
            request = SecretRequest(project_id=found.project.id, environment=environment, path=path, name=key)
            values[environment, key] = (await reading.get(visit.ctx, request)).value
        return values
    wanted = set(chosen)
    for slug in dict.fromkeys(environment for environment, _ in chosen):
        listed = await reading.list_secrets(
            visit.ctx, SecretListRequest(project_id=found.project.id, environment=slug, path=path)
        )
        for view in listed.secrets:
            if (slug, view.secret.key) in wanted and not view.is_hidden:
                values[slug, view.secret.key] = view.value
    return values


@pages.get("/{organization}/p/{project}/reveal")
async def hide(visit: Visit, project: str) -> Answer:
    """Lead back to the grid without values, where the page with them is loaded again."""
    return Redirect(to=(await place.find(visit, project)).base)


async def count_below(visit: Visit, found: Place, environment: str, path: str) -> int:
    """The number of secrets in a folder and those below it, of those that the person may know of."""
    wanted = search.SecretSearch(project_id=found.project.id, environment=environment, path=path, limit=1)
    try:
        return (await search.find(visit.ctx, wanted)).total
    except (NotFound, Forbidden):
        return 0
