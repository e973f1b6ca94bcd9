"""What the acts of a project's pages are as text: projects, environments, folders, tags and secrets."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from watchword.domain.errors import BadRequest, Invalid
from watchword.services.projects import environments, locations, projects, tags
from watchword.services.secrets.writing import NewSecret
from watchword.web.as_text import Call, Resource, Text, Var, label, path_to, sent
from watchword.web.forms import Form, read
from watchword.web.pages import Texts, Visit
from watchword.web.projects import place
from watchword.web.projects.adding import items_of
from watchword.web.projects.place import Place
from watchword.web.projects.projects import wanted_of
from watchword.web.projects.secret import change_of, found_of, require_own

texts = Texts()
_VALUE: Final = Var("SECRET_VALUE")
_P: Final = "/{organization}/p/{project}"


@texts.of("/{organization}/projects")
async def create_project(visit: Visit) -> Text:
    """A new project, as text."""
    body = wanted_of(visit.form)
    title = f"Make the project {body.project_name}"
    arguments: dict[str, Any] = {
        "name": body.project_name,
        "slug": body.slug or locations_slug(body.project_name),
        "should_create_default_envs": body.should_create_default_envs,
    }
    if body.project_description:
        arguments["description"] = body.project_description
    resource = Resource(kind="infisical_project", label=label(body.project_name), arguments=arguments)
    call = Call(title=title, method="POST", path="/api/v1/projects", body=sent(body))
    return Text(title=title, calls=[call], resources=[resource])


def locations_slug(name: str) -> str:
    """A slug for a project that is named in Terraform, which wants one."""
    return label(name).replace("_", "-")


@texts.of(f"{_P}/settings")
async def change_project(visit: Visit, project: str) -> Text:
    """A change of a project's settings, as text."""
    found, form = await place.find(visit, project), visit.form
    title = f"Change the project {found.project.name}"
    if form["part"] == "names":
        slug = form["slug"].strip()
        wanted = {
            "name": form["name"],
            "description": form["description"],
            "slug": None if slug == found.project.slug else slug,
        }
        body: Mapping[str, Any] = sent(read(projects.UpdateProject, wanted))
    elif form["part"] == "protection":
        body = {"hasDeleteProtection": form["protected"] == "true"}
    else:
        raise BadRequest("This part of the settings has no text")
    return Text(title=title, calls=[_call(title, "PATCH", path_to("/api/v1/projects/{}", found.project.id), body)])


@texts.of(f"{_P}/environments")
async def add_environment(visit: Visit, project: str) -> Text:
    """A new environment, as text."""
    found, form = await place.find(visit, project), visit.form
    body = read(environments.CreateEnvironment, {"name": form["name"], "slug": form["slug"].strip()})
    title = f"Add the environment {body.name} to {found.project.name}"
    arguments = {"name": body.name, "slug": body.slug, "project_id": found.project.id}
    resource = Resource(kind="infisical_project_environment", label=label(body.slug), arguments=arguments)
    path = path_to("/api/v1/projects/{}/environments", found.project.id)
    return Text(title=title, calls=[_call(title, "POST", path, sent(body))], resources=[resource])


@texts.of(f"{_P}/environments/{{environment}}")
async def change_environment(visit: Visit, project: str, environment: str) -> Text:
    """Another name or slug of an environment, as text."""
    found, form = await place.find(visit, project), visit.form
    body = read(environments.UpdateEnvironment, {"name": form["name"], "slug": form["slug"].strip()})
    title = f"Change an environment of {found.project.name}"
    path = path_to("/api/v1/projects/{}/environments/{}", found.project.id, environment)
    return Text(title=title, calls=[_call(title, "PATCH", path, sent(body))])


@texts.of(f"{_P}/environments/{{environment}}/delete")
async def delete_environment(visit: Visit, project: str, environment: str) -> Text:
    """The deletion of an environment, as text."""
    found = await place.find(visit, project)
    title = f"Delete an environment of {found.project.name}"
    path = path_to("/api/v1/projects/{}/environments/{}", found.project.id, environment)
    return Text(title=title, calls=[_call(title, "DELETE", path)])


@texts.of(f"{_P}/tags")
async def add_tag(visit: Visit, project: str) -> Text:
    """A new tag, as text."""
    found, form = await place.find(visit, project), visit.form
    body = read(tags.CreateTag, {"slug": form["slug"].strip(), "name": form.text("name")})
    title = f"Add the tag {body.slug} to {found.project.name}"
    arguments = {"name": body.name or body.slug, "slug": body.slug, "color": "", "project_id": found.project.id}
    resource = Resource(kind="infisical_secret_tag", label=label(body.slug), arguments=arguments)
    path = path_to("/api/v1/projects/{}/tags", found.project.id)
    call = _call(title, "POST", path, {"color": "", **sent(body)})
    return Text(title=title, calls=[call], resources=[resource])


@texts.of(f"{_P}/folders")
async def make_folder(visit: Visit, project: str) -> Text:
    """A new folder, as text."""
    found, form = await place.find(visit, project), visit.form
    path = locations.normal_path(form.text("path") or "/", "path")
    name = locations.folder_name(form["name"].strip())
    slugs = list(dict.fromkeys(form.all("environment")))
    if not slugs:
        raise Invalid.of("environment", "Choose at least one environment")
    title = f"Make the folder {locations.child_path(path, name)}"
    calls, resources = [], []
    for slug in slugs:
        body = {"projectId": found.project.id, "environment": slug, "name": name, "path": path}
        calls.append(_call(f"{title} in {slug}", "POST", "/api/v2/folders", body))
        arguments = {"name": name, "environment_slug": slug, "project_id": found.project.id, "folder_path": path}
        resources.append(Resource(kind="infisical_secret_folder", label=label(f"{name}_{slug}"), arguments=arguments))
    return Text(title=title, calls=calls, resources=resources)


@texts.of(f"{_P}/add")
async def add_secret(visit: Visit, project: str) -> Text:
    """A new key in the chosen environments, as text; its values are asked for."""
    found, form = await place.find(visit, project), visit.form
    path = locations.normal_path(form.text("path") or "/", "path")
    items = items_of(form)
    title = f"Add {items[0].name} to {found.project.name}"
    values = _values(form, items)
    batch = [
        {"environment": item.environment, "secretKey": item.name, "secretValue": values[item.environment or ""]}
        | ({"secretComment": item.comment} if item.comment else {})
        | ({"tagIds": list(item.tag_ids)} if item.tag_ids else {})
        for item in items
    ]
    body = {**_folder(found, items[0].environment or "", path), "secrets": batch}
    resources = [
        Resource(
            kind="infisical_secret",
            label=label(f"{item.name}_{item.environment}"),
            arguments={
                "name": item.name,
                "value": values[item.environment or ""],
                "env_slug": item.environment,
                "workspace_id": found.project.id,
                "folder_path": path,
            }
            | ({"tag_ids": list(item.tag_ids)} if item.tag_ids else {}),
            lacking=["secretComment"] if item.comment else [],
        )
        for item in items
    ]
    return Text(title=title, calls=[_call(title, "POST", "/api/v4/secrets/batch", body)], resources=resources)


def _values(form: Form, items: Sequence[NewSecret]) -> dict[str, Any]:
    """What stands for the value of each environment: one variable for all, or an own one."""
    found: dict[str, Any] = {}
    for item in items:
        slug = item.environment or ""
        own = Var(f"{_VALUE.name}_{label(slug).upper()}") if form[f"own.{slug}"] else _VALUE
        found[slug] = own if item.value else ""
    return found


@texts.of(f"{_P}/secrets/{{secret}}")
async def save_secret(visit: Visit, project: str, secret: str) -> Text:
    """A change of a secret, as text; its new value is asked for."""
    found, view, right = await found_of(visit, project, secret)
    require_own(right)
    change = change_of(visit.form, view)
    if change is None:
        raise BadRequest("Nothing is changed so far")
    title = f"Change {view.secret.key} in {view.environment}"
    body: dict[str, Any] = _folder(found, view.environment, view.path)
    if change.kind != "shared":
        body["type"] = change.kind
    if isinstance(change.value, str):
        body["secretValue"] = _VALUE if change.value else ""
    if isinstance(change.new_name, str):
        body["newSecretName"] = change.new_name
    if isinstance(change.comment, str):
        body["secretComment"] = change.comment
    if isinstance(change.tag_ids, tuple):
        body["tagIds"] = list(change.tag_ids)
    return Text(title=title, calls=[_call(title, "PATCH", path_to("/api/v4/secrets/{}", view.secret.key), body)])


@texts.of(f"{_P}/secrets/{{secret}}/delete")
async def delete_secret(visit: Visit, project: str, secret: str) -> Text:
    """The deletion of a secret, as text."""
    found, view, right = await found_of(visit, project, secret)
    require_own(right)
    title = f"Delete {view.secret.key} from {view.environment}"
    body = _folder(found, view.environment, view.path)
    if view.secret.kind != "shared":
        body["type"] = view.secret.kind
    return Text(title=title, calls=[_call(title, "DELETE", path_to("/api/v4/secrets/{}", view.secret.key), body)])


def _folder(found: Place, environment: str, path: str) -> dict[str, Any]:
    return {"projectId": found.project.id, "environment": environment, "secretPath": path}


def _call(title: str, method: str, path: str, body: Mapping[str, Any] | None = None) -> Call:
    return Call(title=title, method=method, path=path, body=body)
