"""What the acts on the pages of webhooks and of imports are as text."""

from collections.abc import Mapping
from typing import Any

from watchword.domain.errors import BadRequest
from watchword.services.projects import webhooks
from watchword.web.as_text import Call, Text, Var, path_to
from watchword.web.forms import Form
from watchword.web.pages import Texts, Visit
from watchword.web.projects import imports, place

texts = Texts()
URL, KEY = Var("RECEIVER_URL"), Var("SIGNING_KEY")


def one_call(title: str, method: str, path: str, body: Mapping[str, Any] | None = None) -> Text:
    """An act that is one call."""
    return Text(title=title, calls=[Call(title=title, method=method, path=path, body=body)])


def receiver_call(form: Form, path: str, named: str, fields: Mapping[str, Any], url: str, key: str) -> Text:
    """What a form of one receiver does: test, disable, enable, send again, or save `fields`, as a call to `path`.

    `url` and `key` name the fields of the API that are secret: what was typed stands in the text as a variable.
    """
    act = form["act"]
    if act == "test":
        return one_call(f"Send a test to {named}", "POST", f"{path}/test", {})
    if act in ("disable", "enable"):
        return one_call(f"{act.capitalize()} {named}", "PATCH", path, {"isDisabled": act == "disable"})
    if act == "retry":
        chosen = {} if form["which"] == "all" else {"deliveryIds": form.all("delivery")}
        return one_call(f"Send messages to {named} again", "POST", f"{path}/deliveries/retry", chosen)
    secret: dict[str, Any] = {url: URL} if form.text("url") else {}
    secret |= {key: ""} if form["unsigned"] == "true" else {key: KEY} if form["key"] else {}
    return one_call(f"Change {named}", "PATCH", path, {**fields, **secret})


@texts.of("/{organization}/p/{project}/webhooks")
async def add_as_text(visit: Visit, project: str) -> Text:
    """A new webhook, as text."""
    found, form = await place.find(visit, project), visit.form
    body = {
        "projectId": found.project.id,
        "type": form["kind"] or "general",
        "environment": form["environment"],
        "secretPath": form["path"].strip() or webhooks.EVERYWHERE,
        "webhookUrl": URL,
        **({"webhookSecretKey": KEY} if form["key"] else {}),
    }
    return one_call(f"A webhook of {found.project.name}", "POST", "/api/v1/webhooks", body)


async def _named(visit: Visit, project: str, webhook: str) -> tuple[str, str]:
    await place.find(visit, project)
    one = await webhooks.get(visit.ctx, webhook)
    return f"the webhook to {one.record.shown}", path_to("/api/v1/webhooks/{}", one.record.id)


@texts.of("/{organization}/p/{project}/webhooks/{webhook}")
async def change_as_text(visit: Visit, project: str, webhook: str) -> Text:
    """What the form of a webhook does, as text."""
    named, path = await _named(visit, project, webhook)
    fields = {"environment": visit.form["environment"], "secretPath": visit.form["path"].strip()}
    return receiver_call(visit.form, path, named, fields, "webhookUrl", "webhookSecretKey")


@texts.of("/{organization}/p/{project}/webhooks/{webhook}/delete")
async def delete_as_text(visit: Visit, project: str, webhook: str) -> Text:
    """To delete a webhook, as text."""
    named, path = await _named(visit, project, webhook)
    return one_call(f"Delete {named}", "DELETE", path)


@texts.of("/{organization}/p/{project}/imports")
async def import_as_text(visit: Visit, project: str) -> Text:
    """A new import, or an act on one, as text."""
    found, form = await place.find(visit, project), visit.form
    at = {"projectId": found.project.id, "environment": form["environment"], "path": form.text("path") or "/"}
    act, own = form["act"], path_to("/api/v2/secret-imports/{}", form["id"])
    if act == "resync":
        return one_call("Copy what it shows again", "POST", f"{own}/replication-resync", at)
    if act:
        raise BadRequest("The order is easier changed here")
    source = {"environment": form["source"], "path": form.text("source_path") or "/"}
    body = {**at, "import": source, "isReplication": form["copy"] == "true"}
    return one_call(f"Import {source['environment']}:{source['path']}", "POST", "/api/v2/secret-imports", body)


@texts.of("/{organization}/p/{project}/imports/remove")
async def remove_as_text(visit: Visit, project: str) -> Text:
    """To remove an import, as text."""
    found, form = await place.find(visit, project), visit.form
    at = {"projectId": found.project.id, "environment": form["environment"], "path": form.text("path") or "/"}
    name = await imports.name_of(visit, found, form)
    return one_call(f"Stop importing {name}", "DELETE", path_to("/api/v2/secret-imports/{}", form["id"]), at)
