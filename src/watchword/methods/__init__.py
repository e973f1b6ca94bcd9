"""The auth methods: the list, written out. Installed packages may add more under the entry-point group `watchword.methods`."""

from collections.abc import Mapping
from importlib.metadata import entry_points
from typing import Any

from watchword.methods import token, universal
from watchword.methods.base import AuthMethod

METHODS: tuple[AuthMethod[Any, Any], ...] = (
    universal.METHOD,
    token.METHOD,
)


def registry() -> Mapping[str, AuthMethod[Any, Any]]:
    """Every method by slug. A package may not replace one of ours."""
    found = {method.slug: method for method in METHODS}
    for point in entry_points(group="watchword.methods"):
        method: AuthMethod[Any, Any] = point.load()
        if found.setdefault(method.slug, method) is not method:
            raise ValueError(f"the package {point.dist} brings an auth method named {method.slug}, which there already is")
    return found
