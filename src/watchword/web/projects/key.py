"""One key of a folder in all environments: its states, write it into several, delete it from several."""

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from watchword.domain.errors import BadRequest, Conflict, Forbidden, Invalid, NotFound, Refusal
from watchword.domain.secrets.references import Address
from watchword.domain.secrets.replicas import is_replica
from watchword.domain.secrets.texts import checked_value
from watchword.services.projects import locations
from watchword.services.secrets import folder_cache, grid, relations, rights, writing
from watchword.services.secrets.grid import Cell, Grid, GridRequest
from watchword.services.secrets.writing import Removal, SecretChange, Target
from watchword.web.console import ProofWanted, require_proof
from watchword.web.forms import Form
from watchword.web.pages import Answer, Faults, Page, Pages, Redirect, Visit
from watchword.web.projects import place, secrets, texts
from watchword.web.projects.place import Place

pages = Pages()
REFUSALS: Final = (Invalid, BadRequest, Forbidden, NotFound, Conflict)  # what a form is shown again with


class There(msgspec.Struct, frozen=True, kw_only=True):
    """The key in one environment."""

    cell: Cell
    name: str  # of the environment
    reference: str
    is_chosen: bool
    may_write: bool
    may_delete: bool
    readers: str  # the page that says who can read it

    @property
    def version(self) -> int:
        """The version that is seen; 0 for no secret of the folder itself."""
        return 0 if self.cell.secret is None or self.cell.state == "imported" else self.cell.secret.version


async def _found(visit: Visit, project: str, form: Form) -> tuple[Place, Grid, str]:
    """The project, the grid of the folder with only this key, and the key. Raises NotFound."""
    found = await place.find(visit, project)
    path = locations.normal_path(form.text("path") or "/", "path")
    key = form["key"]
    looked = await grid.look(visit.ctx, GridRequest(project_id=found.project.id, path=path, name=key, limit=1))
    if not key or not looked.rows:
        raise NotFound(f"There is no secret {key[:100]!r} in {path[:200]}, or you may not know of it")
    return found, looked, key


def _there(visit: Visit, found: Place, looked: Grid, key: str, chosen: Sequence[str]) -> list[There]:
    ability, path = found.scope.ability, looked.path
    is_copy = is_replica(path.rpartition("/")[2])
    listed = []
    for column, cell in zip(looked.columns, looked.rows[0].cells, strict=True):
        slug = cell.environment
        is_own = cell.secret is not None and cell.state != "imported" and not is_copy
        facts = {"environment": slug, "secretPath": path, "secretName": key}
        if is_own and cell.secret is not None:
            facts = rights.in_place(slug, path, folder_cache.facts_of(key, cell.tags, cell.secret.metadata))
        can_write = cell.may_edit if is_own else cell.may_create and cell.state in ("missing", "imported")
        listed.append(
            There(
                cell=cell,
                name=column.environment.name,
                reference=secrets.reference_to(slug, path, key),
                is_chosen=slug in chosen,
                may_write=can_write,
                may_delete=is_own and ability.allows(rights.DELETE, rights.SUBJECT, facts),
                readers=secrets.readers(visit, found, slug, path, key),
            )
        )
    return listed


@pages.get("/{organization}/p/{project}/key")
async def look(visit: Visit, project: str) -> Answer:
    """A key in all environments, without a value."""
    found, looked, key = await _found(visit, project, visit.query)
    return _page(visit, found, looked, key, Form(), None)


def _page(visit: Visit, found: Place, looked: Grid, key: str, form: Form, refusal: Refusal | None) -> Page:
    listed = _there(visit, found, looked, key, form.all("environment"))
    if not form:
        listed = [msgspec.structs.replace(item, is_chosen=item.cell.state == "missing") for item in listed]
    data = {
        "place": found,
        "key": key,
        "path": looked.path,
        "crumbs": secrets.crumbs(found, looked.path),
        "back": found.link(path=looked.path),
        "tags": looked.rows[0].tags,
        "there": listed,
        "may_write": any(item.may_write for item in listed),
        "may_delete": any(item.may_delete for item in listed),
        "value": texts.unified(form["value"]),
        "faults": Faults(refusal),
    }
    return Page(
        template="projects/key.html",
        title=f"{key} in {found.project.name}",
        data=data,
        status=refusal.status if refusal else 200,
        holds_secrets=bool(form),
    )


@pages.post("/{organization}/p/{project}/key", most=4 * 1024 * 1024)
async def write(visit: Visit, project: str) -> Answer:
    """Write one value into several environments: into all of them, or into none."""
    form = visit.form
    found, looked, key = await _found(visit, project, form)
    try:
        slugs = list(dict.fromkeys(form.all("environment")))
        if not slugs:
            raise Invalid.of("environment", "Choose at least one environment")
        if not form["value"] and form["empty"] != "true":
            raise Invalid.of("value", "A value, or the mark that it is to be empty")
        value = checked_value(texts.as_typed(form["value"]), "value")
        changes = [
            SecretChange(name=key, environment=slug, value=value, if_version=_version(form, slug)) for slug in slugs
        ]
        target = Target(project_id=found.project.id, environment=slugs[0], path=looked.path)
        await writing.change(visit.ctx, target, changes, mode="upsert", is_batch=True)
    except REFUSALS as refusal:
        visit.ctx.begin_now()
        found, looked, key = await _found(visit, project, form)
        return _page(visit, found, looked, key, form, refusal)
    return Redirect(to=found.link(path=looked.path), notice=f"{key} is written into {', '.join(slugs)}")


def _version(form: Form, slug: str) -> int:
    text = form[f"version.{slug}"]
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise Invalid.of("", "The versions that the form was made of are missing: load the page again")
    return int(text)


@pages.get("/{organization}/p/{project}/key/delete")
async def ask_to_delete(visit: Visit, project: str) -> Answer:
    """What is lost with a key in each environment, and its name to type."""
    return await _deletion(visit, project, visit.query, None)


async def _deletion(visit: Visit, project: str, form: Form, refusal: Refusal | None) -> Page:
    found, looked, key = await _found(visit, project, form)
    listed = [item for item in _there(visit, found, looked, key, form.all("environment")) if item.version]
    addresses = [Address(item.cell.environment, looked.path, key) for item in listed]
    ties = await relations.referring_to(visit.ctx, found.project.id, addresses)
    data: dict[str, Any] = {
        "place": found,
        "key": key,
        "path": looked.path,
        "crumbs": secrets.crumbs(found, looked.path),
        "back": found.link("key", path=looked.path, key=key),
        "there": [(item, ties[address]) for item, address in zip(listed, addresses, strict=True)],
        "may_delete": any(item.may_delete for item in listed),
        "faults": Faults(refusal),
    }
    status = refusal.status if refusal else 200
    return Page(template="projects/key_delete.html", title=f"Delete {key}", data=data, status=status)


@pages.post("/{organization}/p/{project}/key/delete")
async def delete(visit: Visit, project: str) -> Answer:
    """Delete a key from the chosen environments: from all of them, or from none."""
    form = visit.form
    found, looked, key = await _found(visit, project, form)
    try:
        slugs = list(dict.fromkeys(form.all("environment")))
        if not slugs:
            raise Invalid.of("environment", "Choose at least one environment")
        if form["name"].strip() != key:
            raise Invalid.of("name", f"Type {key} to delete it: nothing was deleted")
        removed = [Removal(name=key, environment=slug, if_version=_version(form, slug)) for slug in slugs]
        require_proof(visit)
        target = Target(project_id=found.project.id, environment=slugs[0], path=looked.path)
        await writing.remove(visit.ctx, target, removed, is_batch=True)
    except ProofWanted:
        raise
    except REFUSALS as refusal:
        visit.ctx.begin_now()
        return await _deletion(visit, project, form, refusal)
    return Redirect(to=found.link(path=looked.path), notice=f"{key} is deleted from {', '.join(slugs)}")
