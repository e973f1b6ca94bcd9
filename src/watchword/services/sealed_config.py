"""Method configurations between their stored form, where secrets are sealed, and the struct a method works with."""

from collections.abc import Hashable
from functools import cache
from typing import Any, cast

import msgspec

from watchword.domain.decode import decode
from watchword.domain.model.identities import MethodConfig
from watchword.domain.secret import Secret
from watchword.methods.base import AuthMethod
from watchword.services.context import Ctx
from watchword.services.keys import Sealer, org_scope

_SEALED = "$sealed"


def secret_fields(method: AuthMethod[Any, Any]) -> tuple[str, ...]:
    """The wire names of a method's secret settings."""
    return _secrets_of(cast("Hashable", method.config))


@cache
def _secrets_of(config: Any) -> tuple[str, ...]:
    return tuple(field.encode_name for field in msgspec.structs.fields(config) if _is_secret(field.type))


def _is_secret(annotation: Any) -> bool:
    return annotation is Secret or Secret in getattr(annotation, "__args__", ())


def stored(method: AuthMethod[Any, Any], config: Any, sealer: Sealer, config_id: str) -> dict[str, object]:
    """The form in which `config` is kept: secrets sealed for this configuration and field."""
    wire: dict[str, object] = msgspec.to_builtins(config, enc_hook=lambda secret: secret)
    for name in secret_fields(method):
        value = wire.get(name)
        if isinstance(value, Secret):
            wire[name] = {_SEALED: sealer.seal_text(f"method-config/{config_id}/{name}", value.reveal())} if value else ""
    return wire


def unsealed(method: AuthMethod[Any, Any], record: MethodConfig, sealer: Sealer | None) -> dict[str, Any]:
    """The wire form of a stored configuration with its secrets in the clear, for building the struct."""
    wire: dict[str, Any] = dict(record.config)
    for name in secret_fields(method):
        value = wire.get(name)
        if isinstance(value, dict) and sealer is not None:
            wire[name] = sealer.open_text(f"method-config/{record.id}/{name}", value[_SEALED])
    return wire


async def opened(ctx: Ctx, method: AuthMethod[Any, Any], record: MethodConfig, org_id: str) -> Any:
    """The struct of a stored configuration."""
    sealer = None
    if secret_fields(method):
        sealer = ctx.house.keys.ready(org_scope(org_id))
        if sealer is None:
            async with ctx.view() as tx:
                sealer = await ctx.house.keys.sealer(tx, org_scope(org_id))
    return decode(method.config, unsealed(method, record, sealer))
