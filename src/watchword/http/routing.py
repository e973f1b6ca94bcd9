"""Routes as data, made from the signatures of handlers.

Body checks, authentication, OpenAPI and the protection tests follow from a route.

    @routes.post("/api/v1/identities", USER, IDENTITY)
    async def create(ctx: Ctx, body: identities.Create) -> IdentityReply: ...

A handler takes `ctx`, then any of `body` (a struct, `Raw` for a JSON object that the service checks, or `Incoming` for
what speaks another protocol and signs its callers in itself), `query` (a struct) and the names in the path. It answers
a struct, or a `Reply` when it needs a status or headers of its own.
"""

import inspect
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, NewType, get_type_hints

import msgspec

from watchword.domain.actor import ActorKind

USER: Final = "user"
IDENTITY: Final = "identity"
SERVICE: Final = "service"
ALL: Final = (USER, IDENTITY, SERVICE)  # every kind of caller that is signed in
PENDING: Final = "pending"  # a person whose second factor is not verified yet
Handler = Callable[..., Awaitable[Any]]
Raw = NewType("Raw", dict[str, Any])


class Incoming(msgspec.Struct, frozen=True):
    """A request as it came: nobody signed in, the body not read."""

    headers: Mapping[bytes, bytes]  # names in lower case
    body: bytes

    def header(self, name: str) -> str:
        """The value of a header; empty without one."""
        return self.headers.get(name.encode(), b"").decode("latin-1")


class Reply(msgspec.Struct, frozen=True):
    """An answer with more to say than its body."""

    body: Any
    status: int = 200
    headers: Mapping[str, str] = {}
    cookies: tuple[str, ...] = ()


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """One operation of the API. `modes` are the kinds of actor that may call it; empty: public."""

    method: str
    path: str
    modes: tuple[ActorKind, ...]
    handler: Handler
    body: Any = None
    query: Any = None
    names: tuple[str, ...] = ()  # of the path parameters, which the handler takes
    reply: Any = None
    area: str
    body_for: Any = None  # what OpenAPI shows for a Raw or Incoming body
    most: int = 0  # bytes of the body; 0: what the settings allow, or 64 KiB where strangers may send it
    # whether a large answer may be compressed: not where it holds secrets (docs/decisions/0132)
    is_compressed: bool = False
    hot: bool = False  # found by the edge itself, without the router: for the few paths that carry nearly all requests

    @property
    def summary(self) -> str:
        """The first paragraph of the handler's docstring, as one line."""
        return " ".join((inspect.getdoc(self.handler) or "").partition("\n\n")[0].split())

    @property
    def doc(self) -> str:
        """The rest of the docstring."""
        return (inspect.getdoc(self.handler) or "").partition("\n\n")[2].strip()

    @property
    def operation(self) -> str:
        """A name for the operation, unique among all."""
        words = [part.strip("{}") for part in self.path.removeprefix("/api/").split("/") if part]
        return "_".join([self.method.lower(), *words]).replace("-", "_").replace(".", "_")


class Routes:
    """The routes of one area, in the order they are written."""

    def __init__(self, area: str, *, is_compressed: bool = False) -> None:
        self.area = area
        self.is_compressed = is_compressed
        self.all: list[Route] = []

    def add(
        self,
        method: str,
        path: str,
        *modes: ActorKind,
        handler: Handler,
        body_for: Any = None,
        hot: bool = False,
        most: int = 0,
    ) -> None:
        """Add a route for a handler that is made at run time."""
        hints = get_type_hints(handler, include_extras=True)
        names = tuple(name for name in inspect.signature(handler).parameters if name not in ("ctx", "body", "query"))
        inside = [part[1:-1] for part in path.split("/") if part.startswith("{")]
        if sorted(names) != sorted(inside):
            raise TypeError(f"{method} {path}: the handler takes {names}, the path has {inside}")
        self.all.append(
            Route(
                method=method,
                path=path,
                modes=modes,
                handler=handler,
                body=hints.get("body"),
                query=hints.get("query"),
                names=names,
                reply=hints.get("return"),
                area=self.area,
                body_for=body_for,
                hot=hot,
                most=most,
                is_compressed=self.is_compressed and method == "GET",
            )
        )

    def _verb(
        self, method: str, path: str, modes: tuple[ActorKind, ...], *, hot: bool = False
    ) -> Callable[[Handler], Handler]:
        def keep(handler: Handler) -> Handler:
            self.add(method, path, *modes, handler=handler, hot=hot)
            return handler

        return keep

    def get(self, path: str, *modes: ActorKind, hot: bool = False) -> Callable[[Handler], Handler]:
        """A GET route."""
        return self._verb("GET", path, modes, hot=hot)

    def post(self, path: str, *modes: ActorKind, hot: bool = False) -> Callable[[Handler], Handler]:
        """A POST route."""
        return self._verb("POST", path, modes, hot=hot)

    def patch(self, path: str, *modes: ActorKind, hot: bool = False) -> Callable[[Handler], Handler]:
        """A PATCH route."""
        return self._verb("PATCH", path, modes, hot=hot)

    def put(self, path: str, *modes: ActorKind) -> Callable[[Handler], Handler]:
        """A PUT route."""
        return self._verb("PUT", path, modes)

    def delete(self, path: str, *modes: ActorKind, hot: bool = False) -> Callable[[Handler], Handler]:
        """A DELETE route."""
        return self._verb("DELETE", path, modes, hot=hot)
