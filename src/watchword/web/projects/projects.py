"""The projects of the person in the organization, and a new one."""

from typing import Final

from watchword.domain.errors import BadRequest, Conflict, Forbidden, Invalid, Refusal
from watchword.services.access.scopes import own_org
from watchword.services.projects import projects
from watchword.web.forms import Form, read
from watchword.web.pages import Answer, Faults, Page, Pages, Redirect, Visit

pages = Pages()
_PAGE: Final = 50  # projects
_NAMES = {"projectName": "name", "projectDescription": "description"}


@pages.get("/{organization}/projects")
async def every(visit: Visit) -> Answer:
    """The projects that the person is a member of."""
    return await _shown(visit)


async def _shown(visit: Visit, refusal: Refusal | None = None) -> Page:
    scope = await own_org(visit.ctx)
    may_create = visit.ctx.may(scope, "create", "project") or visit.ctx.may(scope, "create", "workspace")
    query, offset = (visit.query.text("q") or "")[:64], visit.query.offset
    found = await projects.find(visit.ctx, projects.Wanted(contains=query, offset=offset, limit=_PAGE))
    # With a filter that finds nothing, or a page behind the last, there may be projects all the same.
    has_any = found.total > 0 or bool(query and (await projects.find(visit.ctx, projects.Wanted(limit=1))).total)
    data = {
        "listed": found.items,
        "total": found.total,
        "has_any": has_any,
        "offset": offset,
        "size": _PAGE,
        "q": query,
        "may_create": may_create,
        "form": visit.form,
        "faults": Faults(refusal, names=_NAMES),
    }
    status = refusal.status if refusal else 200
    return Page(template="projects/projects.html", title="Projects", data=data, status=status)


@pages.post("/{organization}/projects")
async def create(visit: Visit) -> Answer:
    """Make a project with the person as its administrator."""
    try:
        made = await projects.create(visit.ctx, wanted_of(visit.form))
    except (Invalid, BadRequest, Forbidden, Conflict) as refusal:
        return await _shown(visit, refusal)
    path = visit.link("p", made.project.slug)
    return Redirect(to=path, notice=f"{made.project.name} is there, and you are its administrator")


def wanted_of(form: Form) -> projects.CreateProject:
    """The project that a form asks for. Raises Invalid."""
    if not form["name"].strip():
        raise Invalid.of("projectName", "A project needs a name")
    return read(
        projects.CreateProject,
        {
            "projectName": form["name"],
            "projectDescription": form.text("description"),
            "slug": form.text("slug"),
            "shouldCreateDefaultEnvs": form["environments"] == "true",
        },
    )
