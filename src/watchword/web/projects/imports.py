"""Imports of a folder: which other folders it shows, in which order, and how copies of them stand."""

from typing import Any, Final

import msgspec

from watchword.domain.errors import BadRequest, Conflict, Forbidden, Invalid, NotFound, Refusal
from watchword.domain.projects.records import Environment
from watchword.services.projects import locations
from watchword.services.secrets import grid, imports, rights
from watchword.services.secrets.grid import GridRequest
from watchword.services.secrets.imports import Import, ImportSource
from watchword.services.secrets.writing import Target
from watchword.web.console import ProofWanted, require_proof
from watchword.web.forms import Form
from watchword.web.pages import Answer, Faults, Page, Pages, Redirect, Visit
from watchword.web.projects import place, secrets
from watchword.web.projects.place import Place

pages = Pages()
REFUSALS: Final = (Invalid, BadRequest, Forbidden, NotFound, Conflict)  # what a form is shown again with
_NAMES: Final = {"import.path": "source_path", "import.environment": "source"}
_LISTED: Final = 100  # imports of the whole project
_MOST: Final = 500  # keys that are looked through for what an import shows


class Here(msgspec.Struct, frozen=True, kw_only=True):
    """The imports of a folder in one environment; None where it has no such folder or they may not be seen."""

    environment: Environment
    imports: list[Import] | None
    why: str
    may_add: bool
    may_copy: bool
    may_edit: bool
    may_remove: bool


def _path(form: Form) -> str:
    return locations.normal_path(form.text("path") or "/", "path")


async def _here(visit: Visit, found: Place, path: str) -> list[Here]:
    listed = []
    for environment in await locations.environments(visit.ctx, found.project.id):
        slug = environment.slug
        facts = {"environment": slug, "secretPath": path}
        may = {
            action: visit.ctx.may(found.scope, action, imports.SUBJECT, **facts)
            for action in ("read", "create", "edit", "delete")
        }
        own: list[Import] | None = None
        why = "" if may["read"] else "you need read on secret-imports there"
        if may["read"]:
            try:
                target = Target(project_id=found.project.id, environment=slug, path=path)
                own = list(await imports.every(visit.ctx, target))
            except NotFound:
                why = "it has no such folder"
        listed.append(
            Here(
                environment=environment,
                imports=own,
                why=why,
                may_add=may["create"] and not why,
                may_copy=found.scope.ability.could(rights.CREATE, rights.SUBJECT, facts),
                may_edit=may["edit"],
                may_remove=may["delete"],
            )
        )
    return listed


@pages.get("/{organization}/p/{project}/imports")
async def every(visit: Visit, project: str) -> Answer:
    """The imports of a folder in all environments."""
    return await _page(visit, await place.find(visit, project), visit.query, None)


async def _page(visit: Visit, found: Place, form: Form, refusal: Refusal | None) -> Page:
    path = _path(form)
    here = await _here(visit, found, path)
    into = [(item.environment.slug, item.environment.slug) for item in here if item.may_add]
    data: dict[str, Any] = {
        "place": found,
        "path": path,
        "crumbs": secrets.crumbs(found, path),
        "back": found.link(path=path),
        "here": here,
        "everywhere": await _everywhere(visit, found),
        "into": into,
        "may_copy": any(item.may_copy for item in here if item.may_add),
        "sources": [(item.environment.slug, item.environment.slug) for item in here],
        "source": form["source"] or next((item.environment.slug for item in reversed(here)), ""),
        "form": form,
        "faults": Faults(refusal, names=_NAMES),
    }
    status = refusal.status if refusal else 200
    return Page(template="projects/imports.html", title=f"Imports of {found.project.name}", data=data, status=status)


async def _everywhere(visit: Visit, found: Place) -> dict[str, Any]:
    """The imports of the whole project, those first whose copies are not up to date."""
    listed = [(item, _trouble(item)) for item in await imports.in_project(visit.ctx, found.project.id)]
    listed.sort(key=lambda pair: not pair[1])
    return {
        "count": len(listed),
        "troubled": sum(1 for _, trouble in listed if trouble),
        "first": listed[:_LISTED],
        "left": max(len(listed) - _LISTED, 0),
    }


def _trouble(item: Import) -> str:
    """What is wrong with an import; empty where nothing is."""
    if not item.link.record.is_replication:
        return "no such folder" if item.link.folder is None else ""
    if item.replication is None or item.replication.is_success is None:
        return "not copied yet"
    return "" if item.replication.is_success else "not everything is copied"


@pages.post("/{organization}/p/{project}/imports")
async def add(visit: Visit, project: str) -> Answer:
    """Add an import at the end of a folder's list, or act on one of them."""
    found = await place.find(visit, project)
    form = visit.form
    try:
        path = _path(form)
        if form["act"]:
            notice = await _act(visit, found, path)
        else:
            target = Target(project_id=found.project.id, environment=form["environment"], path=path)
            source = ImportSource(environment=form["source"], path=form.text("source_path") or "/")
            made = await imports.create(visit.ctx, target, source, is_replication=form["copy"] == "true")
            shown = f"{made.link.source.slug}:{made.link.record.source_path}"
            notice = f"{path} in {form['environment']} imports {shown}"
    except REFUSALS as refusal:
        return await _page(visit, found, form, refusal)
    return Redirect(to=found.link("imports", path=path), notice=notice)


async def _act(visit: Visit, found: Place, path: str) -> str:
    """Move an import, or copy what it shows again; what is said after it."""
    form = visit.form
    seen = await _one(visit, found, path, form)
    name = _name(seen)
    if form["act"] == "resync":
        await imports.resync(visit.ctx, seen.link.record.id)
        return f"What {name} shows was copied again"
    position = seen.link.record.position + (-1 if form["act"] == "up" else 1)
    target = Target(project_id=found.project.id, environment=form["environment"], path=path)
    await imports.update(visit.ctx, target, seen.link.record.id, ImportSource(), max(position, 1))
    return f"{name} stands elsewhere now"


def _name(seen: Import) -> str:
    return f"{seen.link.source.slug}:{seen.link.record.source_path}"


async def name_of(visit: Visit, found: Place, form: Form) -> str:
    """What an import that a form names shows: `prod:/shared`. Raises NotFound."""
    return _name(await _one(visit, found, _path(form), form))


async def _one(visit: Visit, found: Place, path: str, form: Form) -> Import:
    target = Target(project_id=found.project.id, environment=form["environment"], path=path)
    for seen in await imports.every(visit.ctx, target):
        if seen.link.record.id == form["id"]:
            return seen
    raise NotFound("This import is not there any more")


@pages.get("/{organization}/p/{project}/imports/remove")
async def ask_to_remove(visit: Visit, project: str) -> Answer:
    """What is not found any more without an import, and its source to type."""
    return await _removal(visit, await place.find(visit, project), visit.query, None)


async def _removal(visit: Visit, found: Place, form: Form, refusal: Refusal | None) -> Page:
    path = _path(form)
    seen = await _one(visit, found, path, form)
    slug = form["environment"]
    source = (seen.link.source.slug, seen.link.record.source_path)
    keys: list[str] = []
    is_cut = False
    try:
        looked = await grid.look(visit.ctx, GridRequest(project_id=found.project.id, path=path, limit=_MOST))
    except (NotFound, Forbidden):
        pass
    else:
        is_cut = looked.total > _MOST
        keys = [
            row.key
            for row in looked.rows
            for cell in row.cells
            if cell.environment == slug and cell.state == "imported" and cell.source == source
        ]
    data = {
        "place": found,
        "path": path,
        "crumbs": secrets.crumbs(found, path),
        "back": found.link("imports", path=path),
        "seen": seen,
        "name": _name(seen),
        "environment": slug,
        "keys": keys,
        "is_cut": is_cut,
        "may_remove": visit.ctx.may(found.scope, "delete", imports.SUBJECT, environment=slug, secretPath=path),
        "faults": Faults(refusal),
    }
    status = refusal.status if refusal else 200
    return Page(template="projects/import_remove.html", title="Remove an import", data=data, status=status)


@pages.post("/{organization}/p/{project}/imports/remove")
async def remove(visit: Visit, project: str) -> Answer:
    """Remove an import, and the copies that it made."""
    found = await place.find(visit, project)
    form = visit.form
    path = _path(form)
    try:
        seen = await _one(visit, found, path, form)
        if form["name"].strip() != _name(seen):
            raise Invalid.of("name", f"Type {_name(seen)} to remove it: nothing was removed")
        require_proof(visit)
        target = Target(project_id=found.project.id, environment=form["environment"], path=path)
        await imports.remove(visit.ctx, target, seen.link.record.id)
    except ProofWanted:
        raise
    except NotFound:
        raise
    except REFUSALS as refusal:
        return await _removal(visit, found, form, refusal)
    to = found.link("imports", path=path)
    return Redirect(to=to, notice=f"{path} in {form['environment']} does not import {_name(seen)} any more")
