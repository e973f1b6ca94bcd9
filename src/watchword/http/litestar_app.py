"""The route table as a Litestar application: it finds the route, and the edge serves it.

Routes are mounted as plain ASGI handlers: a Litestar function handler with injection costs 62 us, a plain one 30 us, and
what the handler's signature says is read by `routing.py`, which also lists all faults of a body and not only the first.
"""

from collections.abc import Callable, Sequence
from typing import Any

from litestar import Litestar, asgi
from litestar.exceptions import HTTPException

from watchword.domain.errors import NotFound
from watchword.http.bodies import Receive
from watchword.http.edge import Edge, Scope, Send
from watchword.http.routing import Route

EdgeOf = Callable[[], Edge]


def build(routes: Sequence[Route], edge: EdgeOf) -> Litestar:
    """Litestar with one handler for each path. Refusals pass through to the edge, which renders them."""
    by_path: dict[str, dict[str, tuple[Route, dict[str, str]]]] = {}
    for route in routes:
        path, places = _numbered(route.path)
        methods = by_path.setdefault(path, {})
        if methods.setdefault(route.method, (route, places))[0] is not route:
            raise ValueError(f"two routes for {route.method} {route.path}")
    return Litestar(
        route_handlers=[_handler(path, methods, edge) for path, methods in by_path.items()], openapi_config=None,
        exception_handlers={HTTPException: _pass_on, Exception: _pass_on}, debug=False, logging_config=None,
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


def _handler(path: str, methods: dict[str, tuple[Route, dict[str, str]]], edge: EdgeOf) -> Any:
    async def endpoint(scope: Scope, receive: Receive, send: Send) -> None:
        found = methods.get(scope["method"])
        if found is None:
            raise _unknown(scope)
        route, places = found
        given = scope["path_params"]
        status, body, headers = await edge().serve(route, scope, receive, {name: given[place] for name, place in places.items()})
        await send({"type": "http.response.start", "status": status, "headers": [*headers, (b"content-length", str(len(body)).encode())]})
        await send({"type": "http.response.body", "body": body})

    return asgi(path, copy_scope=False)(endpoint)  # type: ignore[arg-type]


def _unknown(scope: Scope) -> NotFound:
    return NotFound(f"Route {scope['method']}:{scope['path']} not found")


def _pass_on(request: Any, error: Exception) -> Any:
    if isinstance(error, HTTPException):
        raise _unknown(request.scope) from None
    raise error
