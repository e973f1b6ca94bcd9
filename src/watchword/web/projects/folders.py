"""Folders of a project: make in several environments, rename, delete."""

from typing import Any, Final

from watchword.domain.errors import BadRequest, Conflict, Forbidden, Invalid, NotFound, Refusal
from watchword.services.projects import folders, locations
from watchword.services.projects.folders import SUBJECT, CreateFolder, FolderByName, FolderQuery, RenameFolder
from watchword.web.console import require_proof
from watchword.web.forms import Form
from watchword.web.pages import Answer, Faults, Page, Pages, Redirect, Visit
from watchword.web.projects import place, secrets
from watchword.web.projects.place import Place

pages = Pages()
REFUSALS: Final = (Invalid, BadRequest, Forbidden, NotFound, Conflict)  # what a form is shown again with

_PAGE: Final = 50  # folders


async def _in(visit: Visit, found: Place, path: str) -> tuple[list[dict[str, Any]], dict[str, dict[str, str]]]:
    """The environments with what the person may do to folders in `path`, and the folders: name, then slug, then id."""
    ctx, listed, names = visit.ctx, list[dict[str, Any]](), dict[str, dict[str, str]]()
    for environment in await locations.environments(ctx, found.project.id):
        slug = environment.slug
        may = {
            action: ctx.may(found.scope, action, SUBJECT, environment=slug, secretPath=path)
            for action in ("read", "create", "edit", "delete")
        }
        listed.append({"slug": slug, "name": environment.name, **may})
        if not may["read"]:
            continue
        asked = FolderQuery(project_id=found.project.id, environment=slug, path=path)
        for folder in await folders.every(ctx, asked, ask=True):
            names.setdefault(folder.name, {})[slug] = folder.id
    return listed, {name: names[name] for name in sorted(names)}


@pages.get("/{organization}/p/{project}/folders")
async def every(visit: Visit, project: str) -> Answer:
    """The folders in a folder, in all environments."""
    return await _page(visit, await place.find(visit, project), visit.query, None)


async def _page(visit: Visit, found: Place, form: Form, refusal: Refusal | None) -> Page:
    path = locations.normal_path(form.text("path") or "/", "path")
    listed, names = await _in(visit, found, path)
    chosen = set(form.all("environment")) or {item["slug"] for item in listed if item["create"]}
    offset = visit.query.offset
    data = {
        "place": found,
        "path": path,
        "crumbs": secrets.crumbs(found, path),
        "back": found.link(path=path),
        "environments": [{**item, "is_chosen": item["create"] and item["slug"] in chosen} for item in listed],
        "rows": [
            {"name": name, "path": locations.child_path(path, name), "environments": ids}
            for name, ids in list(names.items())[offset : offset + _PAGE]
        ],
        "total": len(names),
        "offset": offset,
        "size": _PAGE,
        "may_create": any(item["create"] for item in listed),
        "form": form,
        "faults": Faults(refusal),
    }
    status = refusal.status if refusal else 200
    return Page(template="projects/folders.html", title=f"Folders of {found.project.name}", data=data, status=status)


@pages.post("/{organization}/p/{project}/folders")
async def make(visit: Visit, project: str) -> Answer:
    """Make a folder in the chosen environments; where it is there already, nothing changes."""
    found = await place.find(visit, project)
    form = visit.form
    try:
        path = locations.normal_path(form.text("path") or "/", "path")
        name = locations.folder_name(form["name"].strip())
        slugs = list(dict.fromkeys(form.all("environment")))
        if not slugs:
            raise Invalid.of("environment", "Choose at least one environment")
        for slug in slugs:
            body = CreateFolder(project_id=found.project.id, environment=slug, name=name, path=path)
            await folders.create(visit.ctx, body)
    except REFUSALS as refusal:
        return await _page(visit, found, form, refusal)
    made = locations.child_path(path, name)
    return Redirect(to=found.link(path=made), notice=f"{made} is in {', '.join(slugs)}")


async def _one(visit: Visit, found: Place, form: Form) -> tuple[str, str, list[dict[str, Any]]]:
    """The parent's path and the name of the folder that is meant, and the environments that have it."""
    path = locations.normal_path(form.text("path") or "/", "path")
    parent, name = locations.parent_path(path), path.rpartition("/")[2]
    listed, names = await _in(visit, found, parent)
    ids = names.get(name)
    if not name or ids is None:
        raise NotFound(f"There is no folder {path[:200]!r} here")
    return parent, name, [{**item, "id": ids[item["slug"]]} for item in listed if item["slug"] in ids]


@pages.get("/{organization}/p/{project}/folder")
async def look(visit: Visit, project: str) -> Answer:
    """The form for another name of a folder, and the way to delete it."""
    return await _folder(visit, await place.find(visit, project), visit.query, None)


async def _folder(visit: Visit, found: Place, form: Form, refusal: Refusal | None) -> Page:
    parent, name, having = await _one(visit, found, form)
    path = locations.child_path(parent, name)
    chosen = set(form.all("environment")) or {item["slug"] for item in having}
    data = {
        "place": found,
        "path": path,
        "name": form["name"] or name,
        "crumbs": secrets.crumbs(found, path),
        "back": found.link("folders", path=parent),
        "environments": [{**item, "is_chosen": item["edit"] and item["slug"] in chosen} for item in having],
        "may_edit": any(item["edit"] for item in having),
        "faults": Faults(refusal),
    }
    status = refusal.status if refusal else 200
    return Page(template="projects/folder.html", title=f"Folder {path}", data=data, status=status)


@pages.post("/{organization}/p/{project}/folder")
async def rename(visit: Visit, project: str) -> Answer:
    """Rename a folder in the chosen environments: in all of them, or in none."""
    found = await place.find(visit, project)
    form = visit.form
    try:
        parent, name, having = await _one(visit, found, form)
        new = locations.folder_name(form["name"].strip())
        chosen = [item for item in having if item["slug"] in form.all("environment")]
        if not chosen:
            raise Invalid.of("environment", "Choose at least one environment")
        if new != name:
            bodies = [RenameFolder(id=item["id"], environment=item["slug"], name=new, path=parent) for item in chosen]
            await folders.rename_many(visit.ctx, found.project.id, bodies)
    except NotFound:
        raise
    except REFUSALS as refusal:
        return await _folder(visit, found, form, refusal)
    return Redirect(to=found.link("folders", path=parent), notice=f"The folder is called {new} now")


@pages.get("/{organization}/p/{project}/folder/delete")
async def ask_to_delete(visit: Visit, project: str) -> Answer:
    """What is lost with a folder, and its name to type."""
    return await _deletion(visit, await place.find(visit, project), visit.query, None)


async def _deletion(visit: Visit, found: Place, form: Form, refusal: Refusal | None) -> Page:
    parent, name, having = await _one(visit, found, form)
    here = next((item for item in having if item["slug"] == form["environment"]), None)
    if here is None:
        raise NotFound(f"There is no folder {name[:100]!r} in the environment {form['environment'][:64]!r}")
    path = locations.child_path(parent, name)
    asked = FolderQuery(project_id=found.project.id, environment=here["slug"], path=path, recursive=True)
    data = {
        "place": found,
        "path": path,
        "name": name,
        "environment": here["slug"],
        "may_delete": here["delete"],
        "below": len(await folders.every(visit.ctx, asked, ask=True)),
        "keys": await secrets.count_below(visit, found, here["slug"], path),
        "back": found.link("folder", path=path),
        "faults": Faults(refusal),
    }
    status = refusal.status if refusal else 200
    return Page(template="projects/folder_delete.html", title=f"Delete {path}", data=data, status=status)


@pages.post("/{organization}/p/{project}/folder/delete")
async def delete(visit: Visit, project: str) -> Answer:
    """Delete a folder of one environment with everything in it."""
    found = await place.find(visit, project)
    form = visit.form
    parent, name, having = await _one(visit, found, form)
    if form["name"].strip() != name:
        return await _deletion(visit, found, form, Invalid.of("name", f"Type {name} to delete it: nothing was deleted"))
    require_proof(visit)
    folder_id = next((item["id"] for item in having if item["slug"] == form["environment"]), "")
    body = FolderByName(project_id=found.project.id, environment=form["environment"], path=parent, id_or_name=folder_id)
    try:
        await folders.remove(visit.ctx, body, with_content=True)
    except (BadRequest, Forbidden, Conflict) as refusal:
        return await _deletion(visit, found, form, refusal)
    to = found.link("folders", path=parent)
    return Redirect(to=to, notice=f"{locations.child_path(parent, name)} is deleted from {form['environment']}")
