"""Settings of a project, and the way to delete it."""

from typing import Any, Final

from watchword.domain.errors import BadRequest, Conflict, Forbidden, Invalid, Refusal
from watchword.domain.projects.records import Project
from watchword.services.projects import locations, projects
from watchword.web.console import require_proof
from watchword.web.forms import Form, read
from watchword.web.pages import Answer, Faults, Page, Pages, Redirect, Visit
from watchword.web.projects import place, secrets
from watchword.web.projects.place import Place

pages = Pages()
REFUSALS: Final = (Invalid, BadRequest, Forbidden, Conflict)  # what a form is shown again with
_NAMES: Final = {"pitVersionLimit": "versions", "auditLogsRetentionDays": "days"}


@pages.get("/{organization}/p/{project}/settings")
async def settings(visit: Visit, project: str) -> Answer:
    """The settings of the project."""
    return _page(visit, await place.find(visit, project), Form(), None)


def _page(visit: Visit, found: Place, form: Form, refusal: Refusal | None) -> Page:
    project = found.project
    stored = {
        "name": project.name,
        "slug": project.slug,
        "description": project.description or "",
        "versions": str(project.version_limit),
        "days": "" if project.audit_retention_days is None else str(project.audit_retention_days),
    }
    data: dict[str, Any] = {
        "place": found,
        "values": {**stored, **dict(form.pairs)},
        "part": form["part"],
        "may_edit": visit.ctx.may(found.scope, "edit", "settings"),
        "is_admin": visit.ctx.may(found.scope, "edit", "workspace"),
        "may_delete": visit.ctx.may(found.scope, "delete", "workspace"),
        "events": visit.link("audit", project=project.id) if _may_see_events(visit, found) else "",
        "floor": visit.ctx.runtime.settings.audit_retention_floor_days,
        "faults": Faults(refusal, names=_NAMES),
    }
    status = refusal.status if refusal else 200
    return Page(template="projects/settings.html", title=f"Settings of {project.name}", data=data, status=status)


def _may_see_events(visit: Visit, found: Place) -> bool:
    return visit.ctx.may(found.scope, "read", "audit-logs")


@pages.post("/{organization}/p/{project}/settings")
async def change(visit: Visit, project: str) -> Answer:
    """Save one part of the settings."""
    found = await place.find(visit, project)
    try:
        changed = await _changed(visit, found, visit.form)
    except REFUSALS as refusal:
        return _page(visit, found, visit.form, refusal)
    return Redirect(to=visit.link("p", changed.slug, "settings"), notice=f"The settings of {changed.name} are saved")


async def _changed(visit: Visit, found: Place, form: Form) -> Project:
    ctx, project = visit.ctx, found.project
    part = form["part"]
    if part == "names":
        slug = form["slug"].strip()
        wanted = {
            "name": form["name"],
            "description": form["description"],
            "slug": None if slug == project.slug else slug,
        }
        if not form["name"].strip():
            raise Invalid.of("name", "A project needs a name")
        return await projects.update(ctx, project.id, read(projects.UpdateProject, wanted))
    if part == "protection":
        body = projects.UpdateProject(has_delete_protection=form["protected"] == "true")
        return await projects.update(ctx, project.id, body)
    if part == "versions":
        return await projects.limit_versions(
            ctx, project.id, read(projects.VersionLimit, {"pitVersionLimit": _number(form["versions"], "versions")})
        )
    if part == "audit":
        days = _number(form["days"].strip().removesuffix("d"), "days")
        return await projects.retain_audit(ctx, project.id, read(projects.Retention, {"auditLogsRetentionDays": days}))
    raise BadRequest("There is no such part of the settings")


def _number(text: str, field: str) -> int:
    cleaned = text.strip()
    if not (cleaned.isascii() and cleaned.isdigit() and len(cleaned) < 10):
        raise Invalid.of(field, "A whole number")
    return int(cleaned)


@pages.get("/{organization}/p/{project}/settings/delete")
async def ask_to_delete(visit: Visit, project: str) -> Answer:
    """What is lost with the project, and its name to type."""
    return await _deletion(visit, await place.find(visit, project), None)


async def _deletion(visit: Visit, found: Place, refusal: Refusal | None) -> Page:
    known = await locations.environments(visit.ctx, found.project.id)
    data = {
        "place": found,
        "may_delete": visit.ctx.may(found.scope, "delete", "workspace"),
        "environments": [
            (environment, await secrets.count_below(visit, found, environment.slug, "/")) for environment in known
        ],
        "faults": Faults(refusal),
    }
    status = refusal.status if refusal else 200
    title = f"Delete {found.project.name}"
    return Page(template="projects/project_delete.html", title=title, data=data, status=status)


@pages.post("/{organization}/p/{project}/settings/delete")
async def delete(visit: Visit, project: str) -> Answer:
    """Delete the project with everything in it."""
    found = await place.find(visit, project)
    if visit.form["name"].strip() != found.project.slug:
        refusal = Invalid.of("name", f"Type {found.project.slug} to delete it: nothing was deleted")
        return await _deletion(visit, found, refusal)
    require_proof(visit)
    try:
        await projects.remove(visit.ctx, found.project.id)
    except REFUSALS as refusal:
        return await _deletion(visit, found, refusal)
    return Redirect(to=visit.link("projects"), notice=f"{found.project.name} is deleted")
