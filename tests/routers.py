"""One router for all servers of a process: building Litestar takes some tenths of a second, and hundreds of tests have a server of their own."""

from collections.abc import Sequence
from typing import Any

from watchword.http.edge import App
from watchword.http.litestar_app import EdgeOf, build
from watchword.http.routing import Route


class _Handing:
    """Stands where Litestar expects an edge, and hands each request on to the edge and the route of the server it came to."""

    async def serve(self, route: Route, scope: dict[str, Any], receive: Any, params: dict[str, str]) -> Any:
        edge, routes = scope["state"]["served by"]
        return await edge.serve(routes[route.method, route.path], scope, receive, params)


_built: dict[tuple[tuple[str, str], ...], Any] = {}


def shared(routes: Sequence[Route], edge: EdgeOf) -> App:
    """What `build` makes, except that servers with the same routes have the same Litestar inside."""
    by_place = {(route.method, route.path): route for route in routes}
    key = tuple((route.method, route.path) for route in routes)
    if key not in _built:
        handing: Any = _Handing()
        _built[key] = build(routes, lambda: handing)
    router = _built[key]

    async def inner(scope: dict[str, Any], receive: Any, send: Any) -> None:
        scope.setdefault("state", {})["served by"] = edge(), by_place
        await router(scope, receive, send)

    return inner
