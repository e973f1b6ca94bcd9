"""The route table as a Litestar application: it finds the route, and the edge serves it.

Litestar sees handlers that take the request and give the finished answer: what a handler's signature says is read by
`routing.py`, which lists all faults of a body and not only the first.
"""

from collections.abc import Callable, Sequence
from typing import Any

from litestar import Litestar, Request
from litestar.exceptions import HTTPException
from litestar.handlers import HTTPRouteHandler
from litestar.types import ASGIApp

from watchword.domain.errors import NotFound
from watchword.http.edge import Edge
from watchword.http.routing import Route

EdgeOf = Callable[[], Edge]


def build(routes: Sequence[Route], edge: EdgeOf) -> Litestar:
    """Litestar with one handler for each route. Refusals pass through to the edge, which renders them."""
    return Litestar(
        route_handlers=[_handler(route, edge) for route in routes], openapi_config=None, debug=False, logging_config=None,
        exception_handlers={HTTPException: _pass_on, Exception: _pass_on},
    )  # fmt: skip


def _numbered(path: str) -> tuple[str, dict[str, str]]:
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


def _handler(route: Route, edge: EdgeOf) -> HTTPRouteHandler:
    path, places = _numbered(route.path)

    async def endpoint(request: Request[Any, Any, Any]) -> ASGIApp:
        given = request.scope["path_params"]
        params = {name: given[place] for name, place in places.items()}
        status, body, headers = await edge().serve(route, request.scope, request.receive, params)  # type: ignore[arg-type]
        return _finished(status, body, headers)

    return HTTPRouteHandler(path, http_method=route.method, name=route.operation, status_code=200)(endpoint)  # type: ignore[arg-type]


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
