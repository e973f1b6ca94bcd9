"""The routes of the auth methods, made once for all servers of a process: a third of a server's start."""

from collections.abc import Iterable
from typing import Any

from watchword.http.authentication import auth_methods
from watchword.http.routing import Routes
from watchword.methods.base import AuthMethod

_make = auth_methods.method_routes
_made: dict[tuple[int, ...], tuple[list[AuthMethod[Any, Any]], Routes]] = {}


def once(methods: Iterable[AuthMethod[Any, Any]]) -> Routes:
    """What `auths.method_routes` makes, once for the same methods."""
    all_methods = list(methods)
    key = tuple(map(id, all_methods))
    if key not in _made:
        _made[key] = all_methods, _make(all_methods)  # the methods are kept, so that no other takes the place of one
    return _made[key][1]
