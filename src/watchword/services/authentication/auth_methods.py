"""Attach, update, read and remove an auth method on an identity, the same way for every method."""

from collections.abc import Mapping
from typing import Any

import msgspec

from watchword.domain.authentication.records import MethodConfig, MethodTemplate
from watchword.domain.authentication.tokens import longest_life
from watchword.domain.errors import BadRequest, Invalid, NotFound, PermissionDenied
from watchword.domain.identities.records import Identity
from watchword.domain.outbound import OutboundError
from watchword.methods.base import comma_list
from watchword.services.access.boundaries import require_over
from watchword.services.access.scopes import enter_org
from watchword.services.authentication import method_bodies, sealed_config
from watchword.services.authentication.method_bodies import Method
from watchword.services.context import CallerScope, Ctx
from watchword.services.identities.identities import facts, locate
from watchword.services.keys.keyring import Sealer, org_scope
from watchword.services.people import administrators
from watchword.services.timestamps import iso
from watchword.store import versions
from watchword.store.authentication import lockouts, method_configs, templates
from watchword.store.engine import AlreadyThere, Tx

TEMPLATE_SUBJECT = "machine-identity-auth-template"


class Attached(msgspec.Struct, frozen=True, kw_only=True):
    """A configuration as it is answered: the record, and the method's own settings without their secrets."""

    method: Method
    record: MethodConfig
    settings: Mapping[str, Any]


def require_any(ctx: Ctx, scope: CallerScope, actions: tuple[str, ...], identity: Identity) -> None:
    """Raise PermissionDenied unless one of `actions`, the older and the newer name of a right, is allowed."""
    if not any(ctx.may(scope, action, "identity", **facts(identity)) for action in actions):
        missing = [{"action": action, "subject": "identity"} for action in actions[:1]]
        raise PermissionDenied(f"You are not allowed to {actions[0]} on identity", details=missing)


async def attach(ctx: Ctx, method: Method, identity_id: str, body: Mapping[str, Any]) -> Attached:
    """Configure a method on an identity that does not have it yet."""
    identity, scope = await locate(ctx, identity_id)
    require_any(ctx, scope, ("create", "edit-auth"), identity)
    wire = method_bodies.known(method, identity.id, body)
    await _require_templates(ctx, method, identity, wire)
    async with ctx.unit() as tx:
        await require_over(ctx, tx, scope, identity, "edit-auth")
        sealer = await ctx.runtime.keys.sealer(tx, org_scope(identity.org_id))
        template = await _template(tx, method, identity, wire.get("templateId"))
        _require_not_overridden(method, template, wire, ())
        read = method_bodies.read(method, wire | _from_template(method, template, sealer), ctx.runtime.operator)
        record = await _add(ctx, tx, method, identity, read, sealer, template)
        attached = shown(method, record, template)
        _audit(ctx, "add", identity, attached)
    return attached


async def _add(
    ctx: Ctx,
    tx: Tx,
    method: Method,
    identity: Identity,
    read: method_bodies.Read,
    sealer: Sealer,
    template: MethodTemplate | None,
) -> MethodConfig:
    id, locator = ctx.new_id(), None
    config = _stored(method, read, sealer, id, template)
    if method.locator:
        locator = ctx.new_id()
        config[method.locator] = locator
    record = MethodConfig(
        id=id,
        identity_id=identity.id,
        method=method.slug,
        locator=locator,
        config=config,
        created_at=ctx.now,
        updated_at=ctx.now,
        **read.columns,
    )
    try:
        record = await method_configs.add(tx, record)
    except AlreadyThere:
        raise BadRequest(f"The identity already has {method.title}: update it, or remove it first") from None
    tx.changed(versions.identity(identity.id))
    return record


async def update(ctx: Ctx, method: Method, identity_id: str, body: Mapping[str, Any]) -> Attached:
    """Change some settings: what is sent replaces what is stored, and the result is validated as a whole."""
    identity, scope = await locate(ctx, identity_id)
    require_any(ctx, scope, ("edit", "edit-auth"), identity)
    sent = _sent(method, method_bodies.known(method, identity.id, body))
    await _require_templates(ctx, method, identity, sent)
    async with ctx.unit() as tx:
        await require_over(ctx, tx, scope, identity, "edit-auth")
        record = await config_of(tx, method, identity)
        sealer = await ctx.runtime.keys.sealer(tx, org_scope(identity.org_id))
        template = await _template(tx, method, identity, sent.get("templateId", record.template_id))
        is_same = template is not None and template.id == record.template_id
        _require_not_overridden(method, template, sent, method.template if is_same else ())
        stored = method_bodies.common_wire(method, record) | sealed_config.unsealed(method, record, sealer)
        if not is_same and record.template_id is not None:
            stored |= await _restrictions_of_template(tx, method, record.template_id)
        read = method_bodies.read(
            method, {**stored, **sent, **_from_template(method, template, sealer)}, ctx.runtime.operator
        )
        config = _stored(method, read, sealer, record.id, template)
        _require_secrets_again(method, record.config, config, sent)
        kept = {name: record.config[name] for name in method.managed if name in record.config}
        life = _longest(record, read.columns)
        await method_configs.change(
            tx, record.id, config=config | kept, longest_life=life, updated_at=ctx.now, **read.columns
        )
        tx.changed(versions.identity(identity.id))
        attached = shown(method, await config_of(tx, method, identity), template)
        _audit(ctx, "update", identity, attached)
    return attached


def _longest(record: MethodConfig, columns: Mapping[str, Any]) -> int | None:
    """Return the longest life of any token of the method, with the times to live that it has from now on."""
    life = longest_life(ttl=columns["ttl"], max_ttl=columns["max_ttl"], period=columns["period"])
    return max(life, record.longest_life) if life is not None and record.longest_life is not None else None


def _sent(method: Method, body: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a PATCH changes. A secret is answered as an empty text, so an empty text leaves it as it is."""
    secrets = sealed_config.secret_fields(method)
    return {name: value for name, value in body.items() if not (name in secrets and value == "")}


def _require_not_overridden(
    method: Method, template: MethodTemplate | None, sent: Mapping[str, Any], always: tuple[str, ...]
) -> None:
    """Raise BadRequest where a setting is sent that the template holds, so that it would be lost.

    `always` are settings for which that is so whatever is sent. Of the others, an empty value and the template's own
    are let through: clients send them with every body.
    """
    if template is None:
        return
    held = {name: template.fields[name] for name in method.template_may if name in template.fields}
    lost = [name for name in always if name in sent]
    lost += [name for name, value in held.items() if sent.get(name) not in (None, "") and not _same(sent[name], value)]
    if lost:
        names = ", ".join((*method.template, *held))
        raise BadRequest(
            f"{' and '.join(lost)} cannot be set here: these settings come from the template {template.name!r}: {names}"
        )


def _same(one: Any, other: Any) -> bool:
    """Whether two settings say the same; blanks about the commas of a list say nothing."""
    if isinstance(one, str) and isinstance(other, str):
        return comma_list(one) == comma_list(other)
    return bool(one == other)


async def _restrictions_of_template(tx: Tx, method: Method, template_id: str) -> dict[str, Any]:
    """Return the optional settings of a template that an identity leaves: they go on holding as its own."""
    template = await templates.by_id(tx, template_id)
    held = template.fields if template is not None else {}
    return {name: held[name] for name in method.template_may if name in held}


def _require_secrets_again(
    method: Method, before: Mapping[str, Any], after: Mapping[str, Any], sent: Mapping[str, Any]
) -> None:
    """Raise Invalid when stored secrets would be sent to another server than they were entered for.

    Secret settings are write-only; pointing the method at one's own server would be a way to read them.
    """
    if all(before.get(name) == after.get(name) for name in method.sends_secrets_to):
        return
    for name in sealed_config.secret_fields(method):
        if before.get(name) and after.get(name) and name not in sent:
            raise Invalid.of(
                name, f"Enter it again: {' or '.join(method.sends_secrets_to)} changes, and it would be sent there"
            )


def _stored(
    method: Method, read: method_bodies.Read, sealer: Sealer, id: str, template: MethodTemplate | None
) -> dict[str, object]:
    """Return the settings as stored: without those of the template, so that changes of the template take effect."""
    config = sealed_config.stored(method, read.config, sealer, id)
    if template is not None:
        held = {*method.template, *template.fields}
        config = {name: value for name, value in config.items() if name not in held}
    return config


async def _require_templates(ctx: Ctx, method: Method, identity: Identity, body: Mapping[str, Any]) -> None:
    if method.template and body.get("templateId"):
        ctx.require(await enter_org(ctx, identity.org_id), "attach-templates", TEMPLATE_SUBJECT)


async def _template(tx: Tx, method: Method, identity: Identity, id: Any) -> MethodTemplate | None:
    if not method.template or not isinstance(id, str) or not id:
        return None
    template = await templates.by_id(tx, id)
    if template is None or template.org_id != identity.org_id:
        raise NotFound("There is no such template")
    if template.method != method.slug:
        raise BadRequest(f"The template is for {template.method}")
    return template


def _from_template(method: Method, template: MethodTemplate | None, sealer: Sealer) -> dict[str, Any]:
    return sealed_config.unsealed_template(method, template, sealer) if template else {}


async def get(ctx: Ctx, method: Method, identity_id: str) -> Attached:
    """Read the configuration, without its secrets."""
    identity, scope = await locate(ctx, identity_id)
    ctx.require(scope, "read", "identity", **facts(identity))
    async with ctx.view() as tx:
        record = await config_of(tx, method, identity)
        template = await _template(tx, method, identity, record.template_id)
    await ctx.audit_read(
        f"get-identity-{method.slug}", org_id=identity.org_id, project_id=identity.project_id, identityId=identity.id
    )
    return shown(method, record, template)


async def remove(ctx: Ctx, method: Method, identity_id: str) -> Attached:
    """Remove a method from an identity. Its tokens end at once, and attaching it again does not revive them."""
    identity, scope = await locate(ctx, identity_id)
    require_any(ctx, scope, ("edit", "revoke-auth"), identity)
    async with ctx.unit() as tx:
        record = await detach(ctx, tx, scope, method, identity)
        template = await _template(tx, method, identity, record.template_id)
    return shown(method, record, template)


async def detach(ctx: Ctx, tx: Tx, scope: CallerScope, method: Method, identity: Identity) -> MethodConfig:
    """Remove a method from an identity in the open unit, within the caller's boundary."""
    await require_over(ctx, tx, scope, identity, "revoke-auth")
    record = await config_of(tx, method, identity)
    if identity.is_instance_admin:
        await administrators.hold(tx)
    await method_configs.remove(tx, record)
    if identity.is_instance_admin:
        await administrators.require_one(ctx, tx)
    await lockouts.clear_all(tx, identity.id, f"{identity.id}/{method.slug}/")
    tx.changed(versions.identity(identity.id))
    ctx.audit(
        f"revoke-identity-{method.slug}", org_id=identity.org_id, project_id=identity.project_id, identityId=identity.id
    )
    return record


async def clear_lockouts(ctx: Ctx, method: Method, identity_id: str) -> int:
    """Clear the counters of failed logins; return how many there were."""
    identity, scope = await locate(ctx, identity_id)
    ctx.require(scope, "edit", "identity", **facts(identity))
    async with ctx.unit() as tx:
        await require_over(ctx, tx, scope, identity, "edit-auth")
        await config_of(tx, method, identity)
        cleared = await lockouts.clear_all(tx, identity.id, f"{identity.id}/{method.slug}/")
        ctx.audit(
            f"clear-identity-{method.slug}-lockouts",
            org_id=identity.org_id,
            project_id=identity.project_id,
            identityId=identity.id,
        )
    return cleared


async def refresh(ctx: Ctx, method: Method, identity_id: str) -> Attached:
    """Fetch again what a method caches from a remote server; from here on no server process uses anything older."""
    identity, scope = await locate(ctx, identity_id)
    require_any(ctx, scope, ("edit", "edit-auth"), identity)
    async with ctx.view() as tx:
        await require_over(ctx, tx, scope, identity, "edit-auth")
        record = await config_of(tx, method, identity)
    assert method.refresh is not None
    try:
        await method.refresh.fetch(await sealed_config.opened(ctx, method, record, identity.org_id), ctx.outbound)
    except OutboundError as error:
        raise BadRequest(f"Nothing could be fetched: {error}") from None
    async with ctx.unit() as tx:
        record = await config_of(tx, method, identity)
        config = {**record.config, method.refresh.at: iso(ctx.now)}
        await method_configs.change(tx, record.id, config=config)
        tx.changed(versions.identity(identity.id))
        ctx.audit(
            f"refresh-identity-{method.slug}-{method.refresh.what}",
            org_id=identity.org_id,
            project_id=identity.project_id,
            identityId=identity.id,
        )
        record = await config_of(tx, method, identity)
    return shown(method, record, None)


async def config_of(tx: Tx, method: Method, identity: Identity) -> MethodConfig:
    """Return the configuration of a method on an identity. Raises NotFound."""
    record = await method_configs.config(tx, identity.id, method.slug)
    if record is None:
        raise NotFound(f"The identity does not have {method.title}")
    return record


def shown(method: Method, record: MethodConfig, template: MethodTemplate | None) -> Attached:
    """Make a configuration as it is answered."""
    settings = sealed_config.shown(method, record.config | (template.fields if template else {}))
    return Attached(method=method, record=record, settings=settings)


def _audit(ctx: Ctx, verb: str, identity: Identity, attached: Attached) -> None:
    ctx.audit(
        f"{verb}-identity-{attached.method.slug}",
        org_id=identity.org_id,
        project_id=identity.project_id,
        identityId=identity.id,
        **method_bodies.common_wire(attached.method, attached.record),
        **attached.settings,
    )
