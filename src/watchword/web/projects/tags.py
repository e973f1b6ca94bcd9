"""Tags of a project's secrets: add, change, delete."""

from typing import Final

from watchword.domain.errors import BadRequest, Conflict, Forbidden, Invalid, NotFound, Refusal
from watchword.services.projects import locations, tags
from watchword.services.secrets import search
from watchword.web.console import require_proof
from watchword.web.forms import Form, read
from watchword.web.pages import Answer, Faults, Page, Pages, Redirect, Visit
from watchword.web.projects import place
from watchword.web.projects.place import Place

pages = Pages()
REFUSALS: Final = (Invalid, BadRequest, Forbidden, Conflict)  # what a form is shown again with
_SUBJECT: Final = "tags"


def _may(visit: Visit, found: Place) -> dict[str, bool]:
    return {action: visit.ctx.may(found.scope, action, _SUBJECT) for action in ("create", "edit", "delete")}


@pages.get("/{organization}/p/{project}/tags")
async def every(visit: Visit, project: str) -> Answer:
    """The tags of the project."""
    return await _page(visit, await place.find(visit, project), None)


async def _page(visit: Visit, found: Place, refusal: Refusal | None) -> Page:
    data = {
        "place": found,
        "may": _may(visit, found),
        "tags": await tags.every(visit.ctx, found.project.id),
        "form": visit.form,
        "faults": Faults(refusal),
    }
    status = refusal.status if refusal else 200
    return Page(template="projects/tags.html", title=f"Tags of {found.project.name}", data=data, status=status)


@pages.post("/{organization}/p/{project}/tags")
async def add(visit: Visit, project: str) -> Answer:
    """Add a tag."""
    found = await place.find(visit, project)
    form = visit.form
    try:
        body = read(tags.CreateTag, {"slug": form["slug"].strip(), "name": form.text("name")})
        made = await tags.create(visit.ctx, found.project.id, body)
    except REFUSALS as refusal:
        return await _page(visit, found, refusal)
    return Redirect(to=found.link("tags"), notice=f"The tag {made.name} is there")


@pages.get("/{organization}/p/{project}/tags/{tag}")
async def look(visit: Visit, project: str, tag: str) -> Answer:
    """The form for another name of a tag, and the way to delete it."""
    return await _one(visit, await place.find(visit, project), tag, Form(), None)


async def _one(visit: Visit, found: Place, tag: str, form: Form, refusal: Refusal | None) -> Page:
    one = await tags.get(visit.ctx, found.project.id, tag)
    typed = dict(form.pairs)
    data = {
        "place": found,
        "tag": one,
        "may": _may(visit, found),
        "name": typed.get("name", one.name),
        "slug": typed.get("slug", one.slug),
        "tagged": await _tagged(visit, found, one.slug),
        "faults": Faults(refusal),
        "is_deleting": bool(refusal) and "slug" not in form,
    }
    status = refusal.status if refusal else 200
    return Page(template="projects/tag.html", title=f"Tag {one.name}", data=data, status=status)


async def _tagged(visit: Visit, found: Place, slug: str) -> list[tuple[str, int]]:
    """The environments that have secrets with the tag, and how many, of those that the person may know of."""
    counts = []
    for environment in await locations.environments(visit.ctx, found.project.id):
        wanted = search.SecretSearch(
            project_id=found.project.id, environment=environment.slug, tag_slugs=frozenset({slug}), limit=1
        )
        try:
            counts.append((environment.slug, (await search.find(visit.ctx, wanted)).total))
        except (NotFound, Forbidden):
            continue
    return [(environment, count) for environment, count in counts if count]


@pages.post("/{organization}/p/{project}/tags/{tag}")
async def change(visit: Visit, project: str, tag: str) -> Answer:
    """Give a tag another name or slug."""
    found = await place.find(visit, project)
    form = visit.form
    one = await tags.get(visit.ctx, found.project.id, tag)
    slug = form["slug"].strip()
    try:
        body = read(tags.UpdateTag, {"slug": None if slug == one.slug else slug, "name": form.text("name")})
        changed = await tags.update(visit.ctx, found.project.id, one.id, body)
    except REFUSALS as refusal:
        return await _one(visit, found, tag, form, refusal)
    return Redirect(to=found.link("tags"), notice=f"The tag is called {changed.name} now")


@pages.post("/{organization}/p/{project}/tags/{tag}/delete")
async def delete(visit: Visit, project: str, tag: str) -> Answer:
    """Delete a tag, and take it off all secrets."""
    found = await place.find(visit, project)
    one = await tags.get(visit.ctx, found.project.id, tag)
    if visit.form["confirm"].strip() != one.slug:
        refusal = Invalid.of("confirm", f"Type {one.slug} to delete it: nothing was deleted")
        return await _one(visit, found, tag, Form(), refusal)
    require_proof(visit)
    try:
        await tags.remove(visit.ctx, found.project.id, one.id)
    except (*REFUSALS, NotFound) as refusal:
        return await _one(visit, found, tag, Form(), refusal)
    return Redirect(to=found.link("tags"), notice=f"The tag {one.name} is deleted")
