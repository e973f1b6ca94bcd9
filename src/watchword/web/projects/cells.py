"""Acts on cells of the grid: reveal values, open cells for editing, and save what was typed into them together."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from watchword.domain.errors import BadRequest, Conflict, Forbidden, Invalid, NotFound, Refusal
from watchword.services.projects import locations
from watchword.services.secrets import grid, reading, writing
from watchword.services.secrets.grid import Cell, Grid
from watchword.services.secrets.reading import SecretListRequest, SecretRequest
from watchword.services.secrets.writing import Target
from watchword.web.console import require_proof
from watchword.web.forms import Form
from watchword.web.pages import Answer, Pages, Redirect, Visit
from watchword.web.projects import editing, place, secrets, texts
from watchword.web.projects.editing import Clash, Open, Spot
from watchword.web.projects.place import Place
from watchword.web.projects.secrets import Acts
from watchword.web.rendering import plural

pages = Pages()
REFUSALS: Final = (Invalid, BadRequest, Forbidden, NotFound, Conflict)  # what a form is shown again with
REVEALED_FREELY: Final = 20  # values; more at once need the password again
_MOST: Final = 4 * 1024 * 1024  # bytes of what is typed into cells
_NAMED: Final = 3  # keys that the sentence after saving names


@pages.post("/{organization}/p/{project}/reveal", most=_MOST)
async def reveal(visit: Visit, project: str) -> Answer:
    """Show the values of chosen cells (`environment/KEY`), or of a whole column or page, and open cells for editing.

    Each value is in the audit log. What is typed into cells that are open already stays.
    """
    found = await place.find(visit, project)
    form = visit.form
    opened = editing.read(form)
    wanted = [editing.spot_of(text) for text in form.all("edit") if text != "*"]
    looked = await _looked(visit, found, form, opened, wanted)
    cells = _cells(looked)
    chosen = _asked_for(form, cells)
    new = _to_open(form, cells, wanted, opened)
    if not chosen and not new and not opened:
        raise BadRequest("This secret was changed or deleted meanwhile, or you may not read it: nothing was shown")
    if len(opened) + len(new) > editing.MOST:
        raise BadRequest(f"At most {editing.MOST} values are edited at once: save these first")
    filled = [spot for spot in new if cells[spot].is_readable] if "*" not in form.all("edit") else []
    asked = list(dict.fromkeys([*chosen, *filled]))
    if len(asked) > REVEALED_FREELY:
        require_proof(visit)
    values = await _values(visit, found, looked.path, asked)
    for spot in new:
        cell = cells[spot]
        value = values.get(spot) if spot in filled else None
        opened[spot] = Open(
            environment=spot[0],
            key=spot[1],
            version=0 if cell.state == "imported" or cell.secret is None else cell.secret.version,
            text="" if value is None else texts.unified(value),
            mark="" if value is None else texts.mark(value),
        )
    revealed = {spot: value for spot, value in values.items() if spot in chosen and spot not in opened}
    acts = Acts(revealed=revealed, opened=opened, last=new[0] if new else None)
    return await secrets.shown(visit, found, form, looked, acts)


async def _looked(visit: Visit, found: Place, form: Form, opened: Iterable[Spot], wanted: Iterable[Spot] = ()) -> Grid:
    also = sorted({key for _, key in (*opened, *wanted)})
    return await grid.look(visit.ctx, secrets.request_of(found, form, also))


def _cells(looked: Grid) -> dict[Spot, Cell]:
    return {(cell.environment, row.key): cell for row in looked.rows for cell in row.cells}


def _asked_for(form: Form, cells: Mapping[Spot, Cell]) -> list[Spot]:
    """The cells whose values are to be shown, of those that the person may read."""
    readable = [spot for spot, cell in cells.items() if cell.is_readable]
    column = form["column"]
    if column:
        return [spot for spot in readable if column in ("*", spot[0])]
    asked = {editing.spot_of(text) for text in form.all("cell")}
    return [spot for spot in readable if spot in asked]


def _to_open(form: Form, cells: Mapping[Spot, Cell], wanted: Sequence[Spot], opened: Mapping[Spot, Open]) -> list[Spot]:
    """The cells that are to be opened now, of those that can be. Raises BadRequest for one that cannot."""
    if "*" in form.all("edit"):
        return [spot for spot, cell in cells.items() if secrets.can_open(cell) and spot not in opened]
    for spot in wanted:
        if spot not in cells or not secrets.can_open(cells[spot]):
            raise BadRequest("This cell cannot be edited here: it is gone, not yours to write, or too long for a cell")
    return [spot for spot in dict.fromkeys(wanted) if spot not in opened]


async def _values(visit: Visit, found: Place, path: str, chosen: Sequence[Spot]) -> dict[Spot, str]:
    values: dict[Spot, str] = {}
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
@pages.get("/{organization}/p/{project}/save")
async def hide(visit: Visit, project: str) -> Answer:
    """Lead back to the grid without values, where the page with them is loaded again."""
    return Redirect(to=(await place.find(visit, project)).base)


@pages.post("/{organization}/p/{project}/save", most=_MOST)
async def save(visit: Visit, project: str) -> Answer:
    """Write what was typed into the open cells: all of it, or nothing where others were first in one of them."""
    found = await place.find(visit, project)
    form = visit.form
    opened = editing.read(form)
    path = locations.normal_path(form.text("path") or "/", "path")
    to = found.link(
        path=path,
        only=form["only"],
        offset=form["offset"],
        key=form["key"],
        size=form["size"] if form["size"] != str(secrets.PAGE) else "",
        env=form.all("env"),
    )
    try:
        changes = editing.changes(opened.values())
        if not changes:
            return Redirect(to=to, notice="Nothing was changed")
        target = Target(project_id=found.project.id, environment=changes[0].environment or "", path=path)
        await writing.change(visit.ctx, target, changes, mode="upsert", is_batch=True)
    except REFUSALS as refusal:
        return await _refused(visit, found, opened, refusal)
    named = [f"{change.name} in {change.environment}" for change in changes[:_NAMED]]
    more = f" and {len(changes) - _NAMED} more" if len(changes) > _NAMED else ""
    return Redirect(to=to, notice=f"{plural(len(changes), 'value')} written: {', '.join(named)}{more}")


async def _refused(visit: Visit, found: Place, opened: dict[Spot, Open], refusal: Refusal) -> Answer:
    """The grid with everything that was typed, and beside what others were first in what is there now."""
    visit.ctx.begin_now()
    looked = await _looked(visit, found, visit.form, opened)
    cells = _cells(looked)
    versions = {
        spot: cell.secret.version
        for spot, cell in cells.items()
        if cell.secret is not None and cell.state != "imported"
    }
    late = editing.clashes(opened, versions) if isinstance(refusal, Conflict) else {}
    readable = [spot for spot in late if spot in cells and cells[spot].is_readable][:REVEALED_FREELY]
    theirs = await _values(visit, found, looked.path, readable)
    if late:
        refusal = Conflict(
            f"Others were first in {plural(len(late), 'cell')}: nothing was written, and nothing that you typed is "
            "lost. Choose there which value stays, and save again"
        )
    acts = Acts(
        opened=opened,
        clashes={spot: Clash(version=version, value=theirs.get(spot)) for spot, version in late.items()},
        refusal=refusal,
    )
    return await secrets.shown(visit, found, visit.form, looked, acts)
