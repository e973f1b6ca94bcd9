"""Convert method configurations and templates between the stored form with sealed secrets and the method's struct."""

from collections.abc import Hashable, Mapping
from functools import cache
from typing import Any, cast

import msgspec

from watchword.domain.authentication.endings import ENDS_AT, end_of_token
from watchword.domain.authentication.records import MethodConfig, MethodTemplate
from watchword.domain.decode import decode
from watchword.domain.secret import Secret
from watchword.methods.base import AuthMethod
from watchword.services.context import Ctx
from watchword.services.keys.keyring import Sealer, org_scope

Method = AuthMethod[Any, Any]
_SEALED = "$sealed"


def secret_fields(method: Method) -> tuple[str, ...]:
    """Return the wire names of a method's secret settings."""
    return _secrets_of(cast("Hashable", method.config))


@cache
def _secrets_of(config: Any) -> tuple[str, ...]:
    return tuple(field.encode_name for field in msgspec.structs.fields(config) if _is_secret(field.type))


def _is_secret(annotation: Any) -> bool:
    return annotation is Secret or any(map(_is_secret, getattr(annotation, "__args__", ())))


def stored(method: Method, config: Any, sealer: Sealer, config_id: str) -> dict[str, object]:
    """Return `config` in the stored form: secrets are sealed for the configuration `config_id` and their field."""
    return _sealed(method, config, sealer, f"method-config/{config_id}")


def stored_template(method: Method, fields: Any, sealer: Sealer, template_id: str) -> dict[str, object]:
    """Return the fields of a template in the stored form."""
    return _sealed(method, fields, sealer, f"method-template/{template_id}")


def _sealed(method: Method, struct: Any, sealer: Sealer, context: str) -> dict[str, object]:
    wire: dict[str, object] = msgspec.to_builtins(struct, enc_hook=lambda secret: secret.reveal())
    for name in secret_fields(method):
        value = wire.get(name)
        if isinstance(value, str) and value:
            end = end_of_token(value)
            wire[name] = {_SEALED: sealer.seal_text(f"{context}/{name}", value)} | (
                {} if end is None else {ENDS_AT: end}
            )
    return wire


def unsealed(
    method: Method, record: MethodConfig, sealer: Sealer | None, template: MethodTemplate | None = None
) -> dict[str, Any]:
    """Return the wire form of a stored configuration with its secrets in the clear, with the template's fields."""
    wire = _clear(method, record.config, sealer, f"method-config/{record.id}")
    return wire | (unsealed_template(method, template, sealer) if template else {})


def unsealed_template(method: Method, template: MethodTemplate, sealer: Sealer | None) -> dict[str, Any]:
    """Return the wire form of a template's fields with their secrets in the clear."""
    return _clear(method, template.fields, sealer, f"method-template/{template.id}")


def _clear(method: Method, stored_wire: Mapping[str, object], sealer: Sealer | None, context: str) -> dict[str, Any]:
    wire: dict[str, Any] = dict(stored_wire)
    for name in secret_fields(method):
        value = wire.get(name)
        if isinstance(value, dict) and sealer is not None:
            wire[name] = sealer.open_text(f"{context}/{name}", value[_SEALED])
    return wire


def shown(method: Method, stored_wire: Mapping[str, object]) -> dict[str, Any]:
    """Return stored settings as they are answered: a secret is empty, and `<name>IsSet` says whether there is one."""
    wire = dict(stored_wire)
    for name in secret_fields(method):
        if name in wire:
            wire[f"{name}IsSet"] = isinstance(wire[name], dict)
            wire[name] = ""
    return wire


def resealed_config(record: MethodConfig, sealer: Sealer) -> dict[str, object]:
    """Return the stored form with every secret under the newest key."""
    return _resealed(record.config, sealer, f"method-config/{record.id}")


def resealed_template(record: MethodTemplate, sealer: Sealer) -> dict[str, object]:
    """Return the stored form of a template's fields with every secret under the newest key."""
    return _resealed(record.fields, sealer, f"method-template/{record.id}")


def _resealed(wire: Mapping[str, object], sealer: Sealer, context: str) -> dict[str, object]:
    return {
        name: value | {_SEALED: sealer.reseal_text(f"{context}/{name}", value[_SEALED])}
        if isinstance(value, dict) and _SEALED in value
        else value
        for name, value in wire.items()
    }


async def opened(
    ctx: Ctx, method: Method, record: MethodConfig, org_id: str, template: MethodTemplate | None = None
) -> Any:
    """Return the struct of a stored configuration, with its secrets opened."""
    sealer = None
    if secret_fields(method):
        sealer = ctx.runtime.keys.ready(org_scope(org_id))
        if sealer is None:
            async with ctx.view() as tx:
                sealer = await ctx.runtime.keys.sealer(tx, org_scope(org_id))
    return decode(method.config, unsealed(method, record, sealer, template))
