"""The route table as a Litestar application: it finds the route, and the edge serves it.

Litestar sees handlers that take the request and give the finished answer: what a handler's signature says is read by
`routing.py`, which lists all faults of a body and not only the first.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from litestar import Litestar, Request
from litestar.exceptions import HTTPException
from litestar.handlers import HTTPRouteHandler
from litestar.plugins import PluginProtocol
from litestar.types import ASGIApp

from watchword.domain.errors import NotFound
from watchword.http.edge import Edge
from watchword.http.routing import Route

EdgeOf = Callable[[], Edge]
Places = dict[str, str]  # the name of each path parameter -> the place it has in the path


def build(routes: Sequence[Route], edge: EdgeOf) -> Litestar:
    """Litestar with one handler for each path. Refusals pass through to the edge, which renders them."""
    # Not one for each route: Litestar goes through all handlers of a path, and all paths, each time it is given one.
    by_path: dict[str, dict[str, tuple[Route, Places]]] = {}
    for route in routes:
        path, places = _numbered(route.path)
        by_path.setdefault(path, {})[route.method] = (route, places)
    return _Plain(
        route_handlers=[_handler(path, by_method, edge) for path, by_method in by_path.items()], openapi_config=None, debug=False,
        logging_config=None, exception_handlers={HTTPException: _pass_on, Exception: _pass_on},
    )  # fmt: skip


class _Plain(Litestar):
    """Without the plugins for libraries that happen to be installed: nothing here is read or written by Litestar, and they take long to import."""

    @staticmethod
    def _get_default_plugins(plugins: list[PluginProtocol]) -> list[PluginProtocol]:
        return plugins


def _numbered(path: str) -> tuple[str, Places]:
    # Litestar wants one name for each place of a path, so places are numbered, and get their names back in the handler.
    places: dict[str, str] = {}
    parts = []
    for part in path.split("/"):
        if part.startswith("{"):
            places[part[1:-1]] = f"p{len(places)}"
            parts.append(f"{{p{len(places) - 1}:str}}")
        else:
            parts.append(part)
    return "/".join(parts), places


def _handler(path: str, by_method: Mapping[str, tuple[Route, Places]], edge: EdgeOf) -> HTTPRouteHandler:
    async def endpoint(request: Request[Any, Any, Any]) -> ASGIApp:
        route, places = by_method[request.scope["method"]]
        given = request.scope["path_params"]
        params = {name: given[place] for name, place in places.items()}
        status, body, headers = await edge().serve(route, request.scope, request.receive, params)  # type: ignore[arg-type]
        return _finished(status, body, headers)

    return HTTPRouteHandler(path, http_method=list(by_method), status_code=200)(endpoint)  # type: ignore[arg-type]


def _finished(status: int, body: bytes, headers: list[tuple[bytes, bytes]]) -> ASGIApp:
    async def answer(scope: Any, receive: Any, send: Any) -> None:
        del scope, receive
        await send({"type": "http.response.start", "status": status, "headers": [*headers, (b"content-length", str(len(body)).encode())]})
        await send({"type": "http.response.body", "body": body, "more_body": False})

    return answer


def _pass_on(request: Any, error: Exception) -> Any:
    if isinstance(error, HTTPException):
        raise NotFound(f"Route {request.scope['method']}:{request.scope['path']} not found") from None
    raise error
