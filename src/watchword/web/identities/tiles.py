"""The choice of where a workload runs: a tile for each auth method and for each of its presets."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from watchword.services.authentication.method_bodies import Method
from watchword.services.context import Ctx


class Tile(msgspec.Struct, frozen=True, kw_only=True):
    """A place where workloads run. `value` is what a form sends for it."""

    value: str
    place: str
    where: str
    icon: str
    method: Method
    settings: Mapping[str, Any] | None = None  # what a preset fills in
    required: tuple[str, ...] = ()  # settings that must not be empty there, though the method takes that
    snippet: str = ""
    mistakes: Sequence[str] = ()


def tiles(ctx: Ctx) -> list[Tile]:
    """Return the tiles: presets stand before the method that they are of."""
    shown: list[Tile] = []
    for method in ctx.runtime.methods.values():
        shown += [
            Tile(
                value=f"{method.slug}.{preset.name}",
                place=preset.place,
                where=preset.where,
                icon=preset.icon,
                method=method,
                settings=preset.settings,
                required=preset.required,
                snippet=preset.snippet,
                mistakes=preset.mistakes,
            )
            for preset in method.presets
        ]
        shown.append(
            Tile(
                value=method.slug,
                place=method.place or method.title,
                where=method.where,
                icon=method.icon,
                method=method,
                mistakes=method.guide.mistakes,
            )
        )
    return shown
