"""Templates of auth methods."""

from collections.abc import Mapping, Sequence
from typing import Any

from watchword.domain.identities.records import Identity
from watchword.http.routing import IDENTITY, USER, Routes
from watchword.http.wire import Out
from watchword.services.authentication import templates
from watchword.services.context import Ctx
from watchword.services.timestamps import iso

routes = Routes("auth templates")
_ALL = "/api/v1/identity-templates"
_ONE = _ALL + "/{template_id}"


class TemplateOut(Out, frozen=True, kw_only=True):
    """A template; secrets are left out, and `<name>IsSet` says whether there is one."""

    id: str
    name: str
    auth_method: str
    org_id: str
    template_fields: Mapping[str, Any]
    created_at: str
    updated_at: str

    @classmethod
    def of(cls, shown: templates.TemplateDetails) -> "TemplateOut":
        template = shown.record
        return cls(
            id=template.id,
            name=template.name,
            auth_method=template.method,
            org_id=template.org_id,
            template_fields=shown.fields,
            created_at=iso(template.created_at),
            updated_at=iso(template.updated_at),
        )


class TemplatesReply(Out, frozen=True, kw_only=True):
    templates: Sequence[TemplateOut]
    total_count: int


class UseOut(Out, frozen=True, kw_only=True):
    """An identity that uses a template."""

    identity_id: str
    identity_name: str

    @classmethod
    def every(cls, identities: Sequence[Identity]) -> list["UseOut"]:
        return [cls(identity_id=identity.id, identity_name=identity.name) for identity in identities]


class MessageReply(Out, frozen=True, kw_only=True):
    message: str


@routes.post(_ALL, USER, IDENTITY)
async def create_template(ctx: Ctx, body: templates.CreateTemplate) -> TemplateOut:
    """Make a template of an auth method."""
    return TemplateOut.of(await templates.create(ctx, body))


@routes.get(_ALL, USER, IDENTITY)
async def list_templates(ctx: Ctx, query: templates.ForMethod) -> list[TemplateOut]:
    """List the templates for a method."""
    return [TemplateOut.of(template) for template in await templates.for_method(ctx, query)]


@routes.get(_ALL + "/search", USER, IDENTITY)
async def search_templates(ctx: Ctx, query: templates.TemplateSearch) -> TemplatesReply:
    """Search templates by name."""
    page = await templates.search(ctx, query)
    return TemplatesReply(templates=[TemplateOut.of(template) for template in page.items], total_count=page.total)


@routes.get(_ONE, USER, IDENTITY)
async def get_template(ctx: Ctx, template_id: str) -> TemplateOut:
    """Read a template."""
    return TemplateOut.of(await templates.get(ctx, template_id))


@routes.patch(_ONE, USER, IDENTITY)
async def update_template(ctx: Ctx, template_id: str, body: templates.UpdateTemplate) -> TemplateOut:
    """Change a template, and with it the methods that use it."""
    return TemplateOut.of(await templates.update(ctx, template_id, body))


@routes.delete(_ONE, USER, IDENTITY)
async def delete_template(ctx: Ctx, template_id: str) -> MessageReply:
    """Delete a template that nobody uses."""
    await templates.remove(ctx, template_id)
    return MessageReply(message="Successfully deleted template")


@routes.get(_ONE + "/usage", USER, IDENTITY)
async def list_template_uses(ctx: Ctx, template_id: str) -> list[UseOut]:
    """List the identities that use a template."""
    return UseOut.every(await templates.uses(ctx, template_id))


@routes.post(_ONE + "/delete-usage", USER, IDENTITY)
async def unlink_template(ctx: Ctx, template_id: str, body: templates.Unlink) -> list[UseOut]:
    """Take the template's method off identities."""
    return UseOut.every(await templates.unlink(ctx, template_id, body))
