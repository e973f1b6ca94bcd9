"""Templates of auth methods: settings that several identities share, kept in one place.

A template's settings apply to the methods of all its identities: a caller who edits it gains power over all of them, so
the privilege boundary of each is checked.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import msgspec

from watchword.domain.authentication.records import MethodConfig, MethodTemplate
from watchword.domain.decode import Trimmed, decode
from watchword.domain.errors import BadRequest, Invalid, NotFound
from watchword.domain.identities.records import Identity
from watchword.services.access.boundaries import require_over
from watchword.services.access.scopes import enter_org, enter_project, is_elsewhere, own_org
from watchword.services.authentication import auth_methods, method_bodies, sealed_config
from watchword.services.authentication.auth_methods import TEMPLATE_SUBJECT
from watchword.services.authentication.method_bodies import Method
from watchword.services.context import CallerScope, Ctx
from watchword.services.keys.keyring import Sealer, org_scope
from watchword.services.paging import Page
from watchword.store.authentication import templates
from watchword.store.engine import StillNeeded, Tx

TemplateName = Annotated[str, msgspec.Meta(min_length=1, max_length=64, extra={"trim": True})]
Use = tuple[MethodConfig, Identity]


class CreateTemplate(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """A new template; `template_fields` are the settings of the method that a template may hold."""

    name: TemplateName
    auth_method: Trimmed
    template_fields: dict[str, Any]


class UpdateTemplate(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """What to change; of the fields, those that are sent."""

    name: TemplateName | None = None
    template_fields: dict[str, Any] | None = None


class TemplateSearch(msgspec.Struct, frozen=True, kw_only=True):
    """A page of templates whose name holds a text."""

    search: Annotated[str, msgspec.Meta(max_length=255)] = ""
    offset: Annotated[int, msgspec.Meta(ge=0)] = 0
    limit: Annotated[int, msgspec.Meta(ge=1, le=100)] = 5


class ForMethod(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The templates for one method."""

    auth_method: Trimmed


class Unlink(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The identities to take the method from."""

    identity_ids: Annotated[list[str], msgspec.Meta(min_length=1, max_length=100)]


class TemplateDetails(msgspec.Struct, frozen=True, kw_only=True):
    """A template, and its fields without their secrets."""

    record: MethodTemplate
    fields: Mapping[str, Any]


async def create(ctx: Ctx, body: CreateTemplate) -> TemplateDetails:
    """Create a template of the caller's organization."""
    scope = await own_org(ctx)
    ctx.require(scope, "create-templates", TEMPLATE_SUBJECT)
    method = _method(ctx, body.auth_method)
    fields = _read(method, body.template_fields)
    async with ctx.unit() as tx:
        sealer = await ctx.runtime.keys.sealer(tx, org_scope(scope.org_id))
        id = ctx.new_id()
        record = MethodTemplate(
            id=id,
            org_id=scope.org_id,
            name=body.name,
            method=method.slug,
            created_at=ctx.now,
            updated_at=ctx.now,
            fields=sealed_config.stored_template(method, fields, sealer, id),
        )
        await templates.add(tx, record)
        _audit(ctx, "create", record)
    return _shown(ctx, record)


async def update(ctx: Ctx, template_id: str, body: UpdateTemplate) -> TemplateDetails:
    """Change a template, and with it what its identities' methods say."""
    record, scope, method = await _find(ctx, template_id, "edit-templates")
    scopes = await _scopes(ctx, record, scope)
    async with ctx.unit() as tx:
        record = await templates.by_id(tx, record.id) or record
        sealer = await ctx.runtime.keys.sealer(tx, org_scope(record.org_id))
        changes: dict[str, Any] = {"name": body.name} if body.name else {}
        if body.template_fields is not None:
            secrets = sealed_config.secret_fields(method)
            sent = {
                name: value for name, value in body.template_fields.items() if not (name in secrets and value == "")
            }
            fields = _read(method, {**sealed_config.unsealed_template(method, record, sealer), **sent})
            changes["fields"] = sealed_config.stored_template(method, fields, sealer, record.id)
            changed = msgspec.structs.replace(record, fields=changes["fields"])
            for config, identity in await templates.uses(tx, record.id):
                await require_over(ctx, tx, _scope_of(scopes, identity), identity, "edit-auth")
                _require_sound(method, config, identity, changed, sealer)
        await templates.change(tx, record, updated_at=ctx.now, **changes)
        record = await templates.by_id(tx, record.id) or record
        _audit(ctx, "update", record)
    return _shown(ctx, record)


async def remove(ctx: Ctx, template_id: str) -> None:
    """Delete a template that no identity uses."""
    record, _, _ = await _find(ctx, template_id, "delete-templates")
    try:
        async with ctx.unit() as tx:
            await templates.remove(tx, record)
            _audit(ctx, "delete", record)
    except StillNeeded:
        raise BadRequest("The template is in use: unlink its identities first") from None


async def get(ctx: Ctx, template_id: str) -> TemplateDetails:
    """Return one template."""
    record, scope, _ = await _find(ctx, template_id, None)
    if not ctx.may(scope, "attach-templates", TEMPLATE_SUBJECT):
        ctx.require(scope, "list-templates", TEMPLATE_SUBJECT)
    return _shown(ctx, record)


async def for_method(ctx: Ctx, body: ForMethod) -> list[TemplateDetails]:
    """List the templates that may be attached with a method."""
    scope = await own_org(ctx)
    ctx.require(scope, "attach-templates", TEMPLATE_SUBJECT)
    async with ctx.view() as tx:
        return [_shown(ctx, record) for record in await templates.for_method(tx, scope.org_id, body.auth_method)]


async def search(ctx: Ctx, body: TemplateSearch) -> Page[TemplateDetails]:
    """Return a page of the organization's templates."""
    scope = await own_org(ctx)
    ctx.require(scope, "list-templates", TEMPLATE_SUBJECT)
    async with ctx.view() as tx:
        records, total = await templates.search(
            tx, scope.org_id, text=body.search.strip(), offset=body.offset, limit=body.limit
        )
    return Page([_shown(ctx, record) for record in records], total)


async def uses(ctx: Ctx, template_id: str) -> Sequence[Identity]:
    """List the identities whose method takes its settings from a template."""
    record, _, _ = await _find(ctx, template_id, "list-templates")
    async with ctx.view() as tx:
        return [identity for _, identity in await templates.uses(tx, record.id)]


async def unlink(ctx: Ctx, template_id: str, body: Unlink) -> Sequence[Identity]:
    """Remove the template's method from identities that use it; return these identities."""
    record, scope, method = await _find(ctx, template_id, "unlink-templates")
    scopes = await _scopes(ctx, record, scope)
    async with ctx.unit() as tx:
        named = [identity for _, identity in await templates.uses(tx, record.id) if identity.id in body.identity_ids]
        for identity in named:
            await auth_methods.detach(ctx, tx, _scope_of(scopes, identity), method, identity)
        _audit(ctx, "unlink", record, identityIds=[identity.id for identity in named])
    return named


async def _find(ctx: Ctx, template_id: str, action: str | None) -> tuple[MethodTemplate, CallerScope, Method]:
    async with ctx.view() as tx:
        record = await templates.by_id(tx, template_id)
    if record is None or is_elsewhere(ctx, record.org_id):
        raise NotFound("There is no such template")
    scope = await enter_org(ctx, record.org_id)
    if action is not None:
        ctx.require(scope, action, TEMPLATE_SUBJECT)
    return record, scope, _method(ctx, record.method)


def _method(ctx: Ctx, slug: str) -> Method:
    method = ctx.runtime.methods.get(slug)
    if method is None or not method.template:
        known = ", ".join(
            method_of_template.slug
            for method_of_template in ctx.runtime.methods.values()
            if method_of_template.template
        )
        raise Invalid.of("authMethod", f"One of {known}", code="invalid_enum_value")
    return method


def _read(method: Method, wire: Mapping[str, Any]) -> Any:
    """Validate the fields of a template as the method would, with the rest of a configuration around them."""
    try:
        fields = decode(method_bodies.template_body(method), method_bodies.known_template(method, wire))
        clear = msgspec.to_builtins(fields, enc_hook=lambda secret: secret.reveal())
        checked = method.check(decode(method.config, _plain(method) | clear))
        normal = msgspec.to_builtins(checked, enc_hook=lambda secret: secret.reveal())
        return decode(method_bodies.template_body(method), {name: normal[name] for name in clear})
    except Invalid as refusal:
        raise Invalid(
            [msgspec.structs.replace(issue, path=("templateFields", *issue.path)) for issue in refusal.issues]
        ) from None


def _plain(method: Method) -> dict[str, Any]:
    """Return placeholder values for the required settings that a template does not hold."""
    needed = [
        field
        for field in msgspec.structs.fields(method.config)
        if field.required and field.encode_name not in method.template  # what it may hold replaces these, if it does
    ]
    return {field.encode_name: {} if "dict" in str(field.type) else "" for field in needed}


def _require_sound(
    method: Method, config: MethodConfig, identity: Identity, template: MethodTemplate, sealer: Sealer
) -> None:
    try:
        method.check(decode(method.config, sealed_config.unsealed(method, config, sealer, template)))
    except Invalid as refusal:
        raise BadRequest(
            f"With this change the method of the identity {identity.name!r} could not work: {refusal.message}"
        ) from None


async def _scopes(ctx: Ctx, record: MethodTemplate, scope: CallerScope) -> Mapping[str | None, CallerScope]:
    """Return the caller's scopes where identities that use the template live: by project, None: the organization."""
    async with ctx.view() as tx:
        projects = {identity.project_id for _, identity in await templates.uses(tx, record.id)}
    return {None: scope} | {project: await enter_project(ctx, project) for project in projects if project is not None}


def _scope_of(scopes: Mapping[str | None, CallerScope], identity: Identity) -> CallerScope:
    scope = scopes.get(identity.project_id)
    if scope is None:
        raise BadRequest("The template was attached to another identity meanwhile: try again")
    return scope


def _shown(ctx: Ctx, record: MethodTemplate) -> TemplateDetails:
    return TemplateDetails(record=record, fields=sealed_config.shown(ctx.runtime.methods[record.method], record.fields))


def _audit(ctx: Ctx, verb: str, record: MethodTemplate, **more: Any) -> None:
    event = f"machine-identity-auth-template-{verb}"
    ctx.audit(event, org_id=record.org_id, templateId=record.id, name=record.name, authMethod=record.method, **more)


async def resealed(tx: Tx, org_id: str, key: Sealer, after: str) -> tuple[str | None, int]:
    """Seal the secrets of a batch of templates with the newest key.

    Returns the id of the last template read, and how many were written.
    """
    rows, written = await templates.after(tx, org_id, after), 0
    for row in rows:
        fields = sealed_config.resealed_template(row, key)
        if fields != row.fields:
            written += 1
            await templates.change(tx, row, fields=fields)
    return (rows[-1].id if rows else None), written
