"""The route table as a Starlette router: it finds the route of a cold path, and the edge serves it.

Starlette tries its routes one after the other, so they are mounted by the first segments of their paths: a request is
compared with the mounts and with the routes of one mount. Those are made when the first request for the mount comes:
the patterns of all paths together take a tenth of a second to compile. What a handler's signature says is read by
`routing.py`, which lists all faults of a body.
"""

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import starlette.routing
from starlette.exceptions import HTTPException
from starlette.routing import BaseRoute, Mount, Router

from watchword.domain.errors import MethodNotAllowed, NotFound, Refusal
from watchword.http import streams
from watchword.http.absent import feature_at
from watchword.http.edge import App, AsgiScope, Edge, Send
from watchword.http.routing import Route
from watchword.http.streams import Pieces

EdgeOf = Callable[[], Edge]
MOUNTED = 3  # segments of a path that name its mount: /api/v1/identities


class Operations:
    """The operations of one path, as an ASGI application: one for each HTTP method."""

    __slots__ = ("_by_method", "_edge")

    def __init__(self, by_method: Mapping[str, Route], edge: EdgeOf) -> None:
        self._by_method = by_method
        self._edge = edge

    async def __call__(self, scope: AsgiScope, receive: Any, send: Send) -> None:
        """Serve the operation of the request's method. Refusals pass to the edge."""
        route = self._by_method[scope["method"]]
        status, body, headers = await self._edge().serve(route, scope, receive, scope.get("path_params", {}))
        if isinstance(body, Pieces):
            await send({"type": "http.response.start", "status": status, "headers": headers})
            await streams.write(body, receive, send)
            return
        length = (b"content-length", str(len(body)).encode())
        await send({"type": "http.response.start", "status": status, "headers": [*headers, length]})
        await send({"type": "http.response.body", "body": body, "more_body": False})


class Mounted:
    """The paths below one mount, as an ASGI application."""

    def __init__(self, mount: str, paths: Mapping[str, Mapping[str, Route]], edge: EdgeOf) -> None:
        self._mount = mount
        self._paths = paths
        self._edge = edge

    @functools.cached_property
    def _router(self) -> Router:
        return Router(
            [_route(path.removeprefix(self._mount), by_method, self._edge) for path, by_method in self._paths.items()]
        )

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Hand the request to the route of its path. Raises HTTPException where there is none."""
        await self._router(scope, receive, send)


def _route(path: str, by_method: Mapping[str, Route], edge: EdgeOf) -> starlette.routing.Route:
    return starlette.routing.Route(path, Operations(by_method, edge), methods=list(by_method))


def build(routes: Sequence[Route], edge: EdgeOf) -> App:
    """An ASGI application over `routes`. It raises NotFound and MethodNotAllowed, and lets every other refusal pass."""
    router = Router(_mounted(routes, edge), redirect_slashes=False)

    async def find(scope: AsgiScope, receive: Any, send: Any) -> None:
        # as within a Starlette application: what it cannot route is raised then, not answered in plain text
        scope["app"] = router
        try:
            await router(scope, receive, send)
        except HTTPException as error:
            raise _refusal(routes, scope, error) from None

    return find


def _mounted(routes: Sequence[Route], edge: EdgeOf) -> list[BaseRoute]:
    by_path: dict[str, dict[str, Route]] = {}
    for route in routes:
        by_path.setdefault(route.path, {})[route.method] = route
    mounts, unmounted = layout(tuple(by_path))
    return [
        *(Mount(mount, app=Mounted(mount, {path: by_path[path] for path in paths}, edge)) for mount, paths in mounts),
        *(_route(path, by_path[path], edge) for path in unmounted),
    ]


def layout(paths: tuple[str, ...]) -> tuple[Sequence[tuple[str, Sequence[str]]], Sequence[str]]:
    """The mounts with the paths below each of them, and the paths without a mount; in the order they are asked."""
    mounts: dict[str, list[str]] = {}
    for path in sorted(paths, key=_specific_first):
        mounts.setdefault(_mount_of(path), []).append(path)
    unmounted = mounts.pop("", [])
    # A mount takes all below it, so the longer one is asked first.
    return [(mount, mounts[mount]) for mount in sorted(mounts, key=len, reverse=True)], unmounted


def _specific_first(path: str) -> list[tuple[bool, str]]:
    # What is written out comes before a parameter in the same place: /groups/roles before /groups/{id}.
    return [(part.startswith("{"), part) for part in path.split("/")]


def _mount_of(path: str) -> str:
    """The start of a path that is written out, of at most three segments and never the whole path."""
    prefix = []
    for part in path.split("/")[1:-1][:MOUNTED]:
        if part.startswith("{"):
            break
        prefix.append(part)
    return "".join(f"/{part}" for part in prefix)


def _refusal(routes: Iterable[Route], scope: AsgiScope, error: HTTPException) -> Refusal:
    method, path = scope["method"], scope["path"]
    if error.status_code == MethodNotAllowed.status:
        served = sorted({route.method for route in routes if _is_at(route, path)})
        return MethodNotAllowed(f"{method} is not served at {path}. Accepted: {', '.join(served)}", served)
    absent = feature_at(path)
    return NotFound(f"Route {method}:{path} not found" + (f". {absent.sentence}" if absent else ""))


def _is_at(route: Route, path: str) -> bool:
    parts, steps = route.path.split("/"), path.split("/")
    return len(parts) == len(steps) and all(
        part == value or part.startswith("{") for part, value in zip(parts, steps, strict=True)
    )
