"""Add a key to several environments of a folder at once."""

from collections.abc import Sequence
from typing import Any, Final

from watchword.domain.errors import BadRequest, Conflict, Forbidden, Invalid, NotFound, Refusal
from watchword.domain.secrets.texts import MAX_COMMENT, checked_name, checked_value
from watchword.services.projects import locations, tags
from watchword.services.secrets import import_resolution, rights, writing
from watchword.services.secrets.writing import NewSecret, Target
from watchword.web.forms import Form
from watchword.web.pages import Answer, Faults, Page, Pages, Redirect, Visit
from watchword.web.projects import place, secrets, texts
from watchword.web.projects.place import Place

pages = Pages()
REFUSALS: Final = (Invalid, BadRequest, Forbidden, NotFound, Conflict)  # what a form is shown again with


async def environments_to_write(visit: Visit, found: Place, path: str) -> list[dict[str, Any]]:
    """The environments of a project, and why the person cannot write into this folder there, if so."""
    known = await locations.environments(visit.ctx, found.project.id)
    wanted = [(environment.slug, path) for environment in known]
    places = await import_resolution.locations(visit.ctx, found.project.id, wanted) if wanted else {}
    listed = []
    for environment in known:
        facts = {"environment": environment.slug, "secretPath": path}
        if not found.scope.ability.could(rights.CREATE, rights.SUBJECT, facts):
            why = "you need create on secrets there"
        elif places[environment.slug, path] is None:
            why = "it has no such folder"
        else:
            why = ""
        listed.append({"slug": environment.slug, "name": environment.name, "why": why})
    return listed


@pages.get("/{organization}/p/{project}/add")
async def ask(visit: Visit, project: str) -> Answer:
    """The form for a new key."""
    return await _page(visit, await place.find(visit, project), visit.query, None)


async def _page(visit: Visit, found: Place, form: Form, refusal: Refusal | None) -> Page:
    path = locations.normal_path(form.text("path") or "/", "path")
    listed = await environments_to_write(visit, found, path)
    chosen = set(form.all("environment"))
    if not chosen and refusal is None:
        chosen = {item["slug"] for item in listed}
    may_tag = visit.ctx.may(found.scope, "read", "tags")
    known = await tags.every(visit.ctx, found.project.id) if may_tag else ()
    data = {
        "place": found,
        "path": path,
        "crumbs": secrets.crumbs(found, path),
        "back": found.link(path=path),
        "environments": [
            {**item, "is_chosen": item["slug"] in chosen and not item["why"], "value": form[f"own.{item['slug']}"]}
            for item in listed
        ],
        "is_split": any(form[f"own.{item['slug']}"] for item in listed),
        "form": form,
        "tags": [(tag, tag.id in form.all("tag")) for tag in known],
        "faults": Faults(refusal),
    }
    return Page(
        template="projects/add.html",
        title=f"Add a secret to {found.project.name}",
        data=data,
        status=refusal.status if refusal else 200,
        holds_secrets=visit.method == "POST",
    )


@pages.post("/{organization}/p/{project}/add", most=4 * 1024 * 1024)
async def add(visit: Visit, project: str) -> Answer:
    """Write a new key into the chosen environments: all of them, or none."""
    found = await place.find(visit, project)
    form = visit.form
    try:
        path = locations.normal_path(form.text("path") or "/", "path")
        items = items_of(form)
        slugs = [item.environment or "" for item in items]
        target = Target(project_id=found.project.id, environment=slugs[0], path=path)
        await writing.create(visit.ctx, target, items, is_batch=True)
    except REFUSALS as refusal:
        return await _page(visit, found, form, refusal)
    notice = f"{items[0].name} is in {_together(slugs)}"
    if form["then"] == "another":
        return Redirect(to=found.link("add", path=path, environment=slugs), notice=notice)
    return Redirect(to=found.link(path=path), notice=notice)


def items_of(form: Form) -> list[NewSecret]:
    """The secrets that a form asks for, one for each chosen environment. Raises Invalid."""
    slugs = list(dict.fromkeys(form.all("environment")))
    if not slugs:
        raise Invalid.of("environment", "Choose at least one environment")
    comment = texts.unified(form["comment"])
    if len(comment) > MAX_COMMENT:
        raise Invalid.of("comment", f"At most {MAX_COMMENT} characters")
    name = checked_name(form["key"], "key")
    return [
        NewSecret(
            name=name,
            environment=slug,
            value=_value(form, slug),
            comment=comment,
            tag_ids=tuple(form.all("tag")),
        )
        for slug in slugs
    ]


def _value(form: Form, slug: str) -> str:
    """The value for an environment: its own, or else the one for all. Raises Invalid."""
    own = form[f"own.{slug}"]
    return checked_value(texts.as_typed(own or form["value"]), *(("own", slug) if own else ("value",)))


def _together(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
