"""Environments of a project: add, rename, order, delete and restore."""

from typing import Any, Final

from watchword.domain.errors import BadRequest, Conflict, Forbidden, Invalid, NotFound, Refusal
from watchword.domain.projects.records import Environment
from watchword.services.projects import environments, folders, locations, webhooks
from watchword.services.projects.folders import FolderQuery
from watchword.services.projects.webhooks import WebhookQuery
from watchword.services.secrets import imports
from watchword.web.console import require_proof
from watchword.web.forms import Form, read
from watchword.web.pages import Answer, Faults, Page, Pages, Redirect, Visit
from watchword.web.projects import place, secrets
from watchword.web.projects.place import Place

pages = Pages()
REFUSALS: Final = (Invalid, BadRequest, Forbidden, Conflict)  # what a form is shown again with
_SUBJECT: Final = "environments"
_KEPT: Final = 30 * 86_400 * 1000  # milliseconds for which a deleted environment can be restored


def _may(visit: Visit, found: Place) -> dict[str, bool]:
    return {action: visit.ctx.may(found.scope, action, _SUBJECT) for action in ("read", "create", "edit", "delete")}


async def _one(visit: Visit, found: Place, environment_id: str) -> Environment:
    return await environments.get(visit.ctx, found.project.id, environment_id)


@pages.get("/{organization}/p/{project}/environments")
async def every(visit: Visit, project: str) -> Answer:
    """The environments in their order, and those that were deleted and can be restored."""
    return await _page(visit, await place.find(visit, project), None)


async def _page(visit: Visit, found: Place, refusal: Refusal | None) -> Page:
    may = _may(visit, found)
    visit.ctx.require(found.scope, "read", _SUBJECT)
    data = {
        "place": found,
        "may": may,
        "environments": await locations.environments(visit.ctx, found.project.id),
        "deleted": [
            (environment, (environment.deleted_at or 0) + _KEPT)
            for environment in await environments.deleted(visit.ctx, found.project.id)
        ],
        "form": visit.form,
        "faults": Faults(refusal),
    }
    status = refusal.status if refusal else 200
    title = f"Environments of {found.project.name}"
    return Page(template="projects/environments.html", title=title, data=data, status=status)


@pages.post("/{organization}/p/{project}/environments")
async def add(visit: Visit, project: str) -> Answer:
    """Add an environment at the end."""
    found = await place.find(visit, project)
    form = visit.form
    try:
        _require_name(form)
        body = read(environments.CreateEnvironment, {"name": form["name"], "slug": form["slug"].strip()})
        made = await environments.create(visit.ctx, found.project.id, body)
    except REFUSALS as refusal:
        return await _page(visit, found, refusal)
    return Redirect(to=found.link("environments"), notice=f"{made.name} is there")


def _require_name(form: Form) -> None:
    if not form["name"].strip():
        raise Invalid.of("name", "An environment needs a name")


@pages.post("/{organization}/p/{project}/environments/{environment}/move")
async def move(visit: Visit, project: str, environment: str) -> Answer:
    """Put an environment one place further up or down."""
    found = await place.find(visit, project)
    one = await _one(visit, found, environment)
    position = one.position + (-1 if visit.form["to"] == "up" else 1)
    await environments.update(
        visit.ctx, found.project.id, one.id, environments.UpdateEnvironment(position=max(position, 1))
    )
    return Redirect(to=found.link("environments"), notice=f"{one.name} stands elsewhere now")


@pages.get("/{organization}/p/{project}/environments/{environment}")
async def look(visit: Visit, project: str, environment: str) -> Answer:
    """The form for another name of an environment."""
    found = await place.find(visit, project)
    return await _change_page(visit, found, environment, Form(), None)


async def _change_page(visit: Visit, found: Place, environment: str, form: Form, refusal: Refusal | None) -> Page:
    one = await _one(visit, found, environment)
    data = {
        "place": found,
        "environment": one,
        "name": form["name"] if form else one.name,
        "slug": form["slug"] if form else one.slug,
        "may": _may(visit, found),
        "faults": Faults(refusal),
    }
    status = refusal.status if refusal else 200
    return Page(template="projects/environment.html", title=f"Environment {one.name}", data=data, status=status)


@pages.post("/{organization}/p/{project}/environments/{environment}")
async def change(visit: Visit, project: str, environment: str) -> Answer:
    """Give an environment another name or slug."""
    found = await place.find(visit, project)
    form = visit.form
    one = await _one(visit, found, environment)
    slug = form["slug"].strip()
    try:
        _require_name(form)
        body = read(environments.UpdateEnvironment, {"name": form["name"], "slug": None if slug == one.slug else slug})
        changed = await environments.update(visit.ctx, found.project.id, one.id, body)
    except REFUSALS as refusal:
        return await _change_page(visit, found, environment, form, refusal)
    return Redirect(to=found.link("environments"), notice=f"{changed.name} is changed")


@pages.get("/{organization}/p/{project}/environments/{environment}/delete")
async def ask_to_delete(visit: Visit, project: str, environment: str) -> Answer:
    """What breaks with an environment, and its slug to type."""
    return await _deletion(visit, await place.find(visit, project), environment, None)


async def _deletion(visit: Visit, found: Place, environment: str, refusal: Refusal | None) -> Page:
    one = await _one(visit, found, environment)
    asked = FolderQuery(project_id=found.project.id, environment=one.slug, recursive=True)
    data: dict[str, Any] = {
        "place": found,
        "environment": one,
        "may": _may(visit, found),
        "keys": await secrets.count_below(visit, found, one.slug, "/"),
        "below": len(await folders.every(visit.ctx, asked, ask=True)),
        "importing": await _importing(visit, found, one),
        "webhooks": await _told(visit, found, one),
        "faults": Faults(refusal),
    }
    status = refusal.status if refusal else 200
    return Page(template="projects/environment_delete.html", title=f"Delete {one.name}", data=data, status=status)


async def _importing(visit: Visit, found: Place, one: Environment) -> list[str]:
    """The folders of other environments that import from this one, as far as the person may see."""
    return [
        f"{item.location.environment.slug}:{item.location.folder.path}"
        for item in await imports.in_project(visit.ctx, found.project.id)
        if item.link.source.id == one.id and item.location.environment.id != one.id
    ]


async def _told(visit: Visit, found: Place, one: Environment) -> int:
    """The number of webhooks that are told of this environment alone; 0 where the person may not see them."""
    if not visit.ctx.may(found.scope, "read", webhooks.SUBJECT):
        return 0
    return len(await webhooks.every(visit.ctx, WebhookQuery(project_id=found.project.id, environment=one.slug)))


@pages.post("/{organization}/p/{project}/environments/{environment}/delete")
async def delete(visit: Visit, project: str, environment: str) -> Answer:
    """Delete an environment: it can be restored for a while."""
    found = await place.find(visit, project)
    one = await _one(visit, found, environment)
    if visit.form["name"].strip() != one.slug:
        refusal = Invalid.of("name", f"Type {one.slug} to delete it: nothing was deleted")
        return await _deletion(visit, found, environment, refusal)
    require_proof(visit)
    try:
        await environments.remove(visit.ctx, found.project.id, one.id)
    except REFUSALS as refusal:
        return await _deletion(visit, found, environment, refusal)
    return Redirect(to=found.link("environments"), notice=f"{one.name} is deleted, and can be restored here")


@pages.post("/{organization}/p/{project}/environments/{environment}/restore")
async def restore(visit: Visit, project: str, environment: str) -> Answer:
    """Restore a deleted environment with everything in it."""
    found = await place.find(visit, project)
    try:
        restored = await environments.restore(visit.ctx, found.project.id, environment)
    except (*REFUSALS, NotFound) as refusal:
        return await _page(visit, found, refusal)
    return Redirect(to=found.link("environments"), notice=f"{restored.name} is back, with everything in it")
