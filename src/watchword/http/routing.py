"""Routes as data, made from the signatures of handlers.

Body checks, authentication, OpenAPI and the protection tests follow from a route.

    @routes.post("/api/v1/identities", USER, IDENTITY)
    async def create(ctx: Ctx, body: identities.Create) -> IdentityReply: ...

An act that clients also know by an older path is one handler, and the older path is declared above it:

    @routes.older("POST", "/api/v1/workspace/{project_id}/tags", USER, IDENTITY, reply=WorkspaceTagReply)
    @routes.post("/api/v1/projects/{project_id}/tags", USER, IDENTITY)
    async def create_tag(ctx: Ctx, project_id: str, body: tags.CreateTag) -> TagReply: ...

A handler takes `ctx`, then any of `body` (a struct, `Raw` for a JSON object that the service checks, or `Incoming` for
what speaks another protocol and signs its callers in itself), `query` (a struct) and the names in the path. It answers
a struct, or a `Reply` when it needs a status or headers of its own.
"""

import functools
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any, Final, NewType, TypeVar

import msgspec

from watchword.domain.actor import ActorKind
from watchword.services.context import Rereading

USER: Final = "user"
IDENTITY: Final = "identity"
SERVICE: Final = "service"
ALL: Final = (USER, IDENTITY, SERVICE)  # every kind of caller that is signed in
PENDING: Final = "pending"  # a person whose second factor is not verified yet
Handler = Callable[..., Awaitable[Any]]
H = TypeVar("H", bound=Handler)
Lookup = Callable[[Any, str], Awaitable[str]]  # (ctx, what the path says) -> what the handler takes
Raw = NewType("Raw", dict[str, Any])
_GIVEN: Final = frozenset({"ctx", "body", "query", "return"})  # annotations of a handler that the path does not name


class Incoming(msgspec.Struct, frozen=True):
    """A request as it came: nobody signed in, the body not read."""

    headers: Mapping[bytes, bytes]  # names in lower case
    body: bytes
    method: str = "POST"
    path: str = ""
    query: bytes = b""

    def header(self, name: str) -> str:
        """The value of a header; empty without one."""
        return self.headers.get(name.encode(), b"").decode("latin-1")


Judge = Callable[[], Awaitable[Rereading]]  # signs the caller in again


class Stream(msgspec.Struct, frozen=True):
    """A body that is written piece by piece, for as long as the client takes it.

    `chunks` is called with the caller's `Judge` and the header Last-Event-ID. What it raises before the first piece is
    the answer.
    """

    chunks: Callable[[Judge, str], AsyncIterator[bytes]]


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
    is_older: bool = False  # the handler has a newer path too
    waits: bool = False  # with `waitVersion` in the query it answers when its answer has changed

    @property
    def summary(self) -> str:
        """The first paragraph of the handler's docstring, as one line."""
        line = " ".join((inspect.getdoc(self.handler) or "").partition("\n\n")[0].split())
        return f"{line.removesuffix('.')} (older path)." if self.is_older else line

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
        body: Any = None,
        query: Any = None,
        body_for: Any = None,
        hot: bool = False,
        most: int = 0,
        is_older: bool = False,
    ) -> None:
        """Add a route. `body` and `query` are structs to read instead of those in the handler's signature."""
        hints = _annotations(handler)
        names = tuple(name for name in hints if name not in _GIVEN)
        inside = [part[1:-1] for part in path.split("/") if part.startswith("{")]
        if sorted(names) != sorted(inside):
            raise TypeError(f"{method} {path}: the handler takes {names}, the path has {inside}")
        self.all.append(
            Route(
                method=method,
                path=path,
                modes=modes,
                handler=handler,
                body=body or hints.get("body"),
                query=query or hints.get("query"),
                names=names,
                reply=hints.get("return"),
                area=self.area,
                body_for=body_for,
                hot=hot,
                most=most,
                is_compressed=self.is_compressed and method == "GET",
                is_older=is_older,
                waits="wait_version" in getattr(hints.get("query"), "__struct_fields__", ()),
            )
        )

    def older(
        self,
        method: str,
        path: str,
        *modes: ActorKind,
        body: Any = None,
        query: Any = None,
        reply: Any = None,
        found: Mapping[str, tuple[str, Lookup]] | None = None,
        hot: bool = False,
    ) -> Callable[[H], H]:
        """Serve the handler at an older path too, under its other spellings.

        `body` and `query` are structs with the attributes that the handler reads; `reply` is one with the fields of
        what it answers, each under its older name. `found` says of a parameter of the handler what the path names
        instead, and how its value is found: `{"project_id": ("slug", projects.id_of)}`.
        """

        def keep(handler: H) -> H:
            older = _spelled(handler, reply, found or {})
            self.add(method, path, *modes, handler=older, body=body, query=query, hot=hot, is_older=True)
            return handler

        return keep

    def _verb(self, method: str, path: str, modes: tuple[ActorKind, ...], *, hot: bool = False) -> Callable[[H], H]:
        def keep(handler: H) -> H:
            self.add(method, path, *modes, handler=handler, hot=hot)
            return handler

        return keep

    def get(self, path: str, *modes: ActorKind, hot: bool = False) -> Callable[[H], H]:
        """A GET route."""
        return self._verb("GET", path, modes, hot=hot)

    def post(self, path: str, *modes: ActorKind, hot: bool = False) -> Callable[[H], H]:
        """A POST route."""
        return self._verb("POST", path, modes, hot=hot)

    def patch(self, path: str, *modes: ActorKind, hot: bool = False) -> Callable[[H], H]:
        """A PATCH route."""
        return self._verb("PATCH", path, modes, hot=hot)

    def put(self, path: str, *modes: ActorKind) -> Callable[[H], H]:
        """A PUT route."""
        return self._verb("PUT", path, modes)

    def delete(self, path: str, *modes: ActorKind, hot: bool = False) -> Callable[[H], H]:
        """A DELETE route."""
        return self._verb("DELETE", path, modes, hot=hot)


def _annotations(handler: Handler) -> dict[str, Any]:
    """The types of what a handler takes, in its order, and of what it returns."""
    return inspect.get_annotations(handler, eval_str=True)


def _spelled(handler: Handler, reply: Any, found: Mapping[str, tuple[str, Lookup]]) -> Handler:
    """The handler as an older path knows it: with another reply, and other names in the path."""
    if reply is None and not found:
        return handler
    hints = _annotations(handler)

    @functools.wraps(handler)
    async def older(ctx: Any, **given: Any) -> Any:
        for parameter, (name, lookup) in found.items():
            given[parameter] = await lookup(ctx, given.pop(name))
        answer = await handler(ctx, **given)
        return answer if reply is None else reply(**{name: getattr(answer, name) for name in reply.__struct_fields__})

    for parameter, (name, _) in found.items():
        hints[name] = hints.pop(parameter)
    hints["return"] = reply or hints["return"]
    older.__annotations__ = hints
    older.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD) for name in hints if name != "return"]
    )
    return older
