"""The outermost ASGI application: limits, authentication, decoding, and the one place where refusals are rendered."""

import asyncio
import functools
import ipaddress
import logging
import re
import time
import urllib.parse
import zlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from itertools import chain
from typing import Any, cast

from watchword.domain import forwarded
from watchword.domain.access.boundary import Unfinished
from watchword.domain.actor import NOBODY
from watchword.domain.authentication.tokens import require_unexpired
from watchword.domain.errors import (
    BadRequest,
    Forbidden,
    Invalid,
    MethodNotAllowed,
    NotFound,
    Refusal,
    TooLarge,
    Unauthorized,
)
from watchword.domain.generations import Generations
from watchword.http import bodies, heads, long_poll
from watchword.http.routing import PENDING, Incoming, Raw, Reply, Route, Stream
from watchword.http.streams import Pieces
from watchword.services.authentication.bearer import VerifiedTokens, authenticate_bearer, count_use
from watchword.services.context import Ctx, Rereading
from watchword.services.runtime import Runtime
from watchword.settings import UNIX
from watchword.store.engine import Collision, ConstraintRefused

AsgiScope = dict[str, Any]
Send = Callable[[dict[str, Any]], Awaitable[None]]
App = Callable[[AsgiScope, bodies.Receive, Send], Awaitable[None]]

MAX_HEADERS = 64 * 1024  # bytes, all names and values together
MAX_PATH = 8 * 1024
MAX_USER_AGENT = 400  # bytes that are kept of it, wherever it is kept
_BAD_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_JSON = (b"content-type", b"application/json; charset=utf-8")
# Of nearly all that is answered: it is one caller's, and much of it is a secret or a token (docs/decisions/0131).
_NO_STORE = (b"cache-control", b"no-store")
_HOSTS = 64
_ZIPPED_FROM = 4 * 1024  # bytes; less is hardly worth the work
_ELSEWHERE = 64 * 1024  # bytes, from which on the event loop does not wait for hashing and compressing
_log = logging.getLogger("watchword.http")


class Edge:
    """The outermost ASGI application: dispatches requests to routes, and renders every refusal."""

    def __init__(
        self, runtime: Runtime, verified_tokens: VerifiedTokens, inner: App, routes: Sequence[Route] = ()
    ) -> None:
        self.runtime = runtime
        self.verified_tokens = verified_tokens
        self._inner = inner
        self._hot = _HotRoutes(routes)
        self._hints = _Hints()
        self._logs = runtime.settings.log_requests
        self._proxies = tuple(ipaddress.ip_network(text) for text in runtime.settings.trusted_proxies if text != UNIX)
        self._trusts_socket = UNIX in runtime.settings.trusted_proxies
        self._is_behind = bool(self._proxies) or self._trusts_socket
        self._trusts = functools.lru_cache(1024)(self._is_proxy)
        self._forwarded = runtime.settings.forwarded_header
        self._forwarded_name = self._forwarded.encode()
        self._certificate_header = runtime.settings.tls_client_cert_header.encode()
        self._reader = bodies.Reader(runtime.settings.max_body)
        self._hosts: set[bytes] = set()  # names of this server that were found to be valid
        self._most = runtime.settings.max_body
        self._small = min(bodies.SMALL, self._most)
        self._origin = runtime.settings.site_url.rstrip("/").encode()
        self._is_at_https = self._origin.startswith(b"https:")

    async def __call__(self, scope: AsgiScope, receive: bodies.Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._inner(scope, receive, send)
            return
        began = time.perf_counter()  # a failed request is logged in any case
        request_id = "req-" + self.runtime.entropy(9).hex()
        scope["state"] = {"request_id": request_id}
        is_head = scope["method"] == "HEAD"
        answer = _Answer(send, head=is_head)
        if is_head:
            scope["state"]["is_head"] = True
            scope = {**scope, "method": "GET"}  # a copy: the server looks at the original to know that no body follows
        try:
            self._prepare(scope)
            hot = self._hot.find(scope["method"], scope["path"])
            if hot is not None:
                # Nearly all requests go this way: the router and its layers would cost as much as all the rest
                # together.
                await answer.write(*await self.serve(hot[0], scope, receive, hot[1]))  # type: ignore[arg-type]  # no hot one streams
            elif scope["method"] == "OPTIONS":
                await self._preflight(scope, answer)
            else:
                await self._inner(scope, receive, answer)
        except Exception as error:  # noqa: BLE001 - the last place where an error can become an answer
            await self._render(scope, error, request_id, answer)
        if self._logs or answer.status >= 500:
            self._note(scope, request_id, answer.status, time.perf_counter() - began)

    def _prepare(self, scope: AsgiScope) -> None:
        pairs = scope["headers"]
        if sum(map(len, chain.from_iterable(pairs))) > MAX_HEADERS:
            raise TooLarge("The headers are too large")
        headers: Mapping[bytes, bytes] = dict(pairs)
        is_unique = len(headers) == len(pairs)
        if not is_unique:
            headers = heads.by_name(pairs, (self._certificate_header,))
        scope["state"]["headers"] = headers
        if not is_unique or headers.get(b"host") not in self._hosts:
            heads.require_host(pairs, headers, scope["http_version"])
            if len(self._hosts) < _HOSTS:
                self._hosts.add(headers.get(b"host", b""))
        if len(scope["query_string"]) > bodies.MAX_QUERY:
            raise TooLarge("The query is too long")
        raw = scope.get("raw_path") or scope["path"].encode()
        if len(raw) > MAX_PATH:
            raise TooLarge("The path is too long")
        if b"%" in raw and _BAD_ESCAPE.search(raw):
            raise BadUrl(f"'{scope['path'][:200]}' is not a valid url component")
        path = scope["path"]
        if "//" in path:
            raise NotFound(f"Route {scope['method']}:{path} not found")
        if len(path) > 1 and path.endswith("/"):
            scope["path"] = path[:-1]
            scope["raw_path"] = scope["path"].encode()

    async def _preflight(self, scope: AsgiScope, answer: "_Answer") -> None:
        headers = [
            (b"access-control-allow-methods", b"GET,HEAD,PUT,PATCH,POST,DELETE"),
            (b"access-control-max-age", b"600"),
            (b"access-control-allow-headers", b"authorization,content-type"),
            (b"vary", b"Origin"),
        ]
        if self._origin:
            headers += [(b"access-control-allow-origin", self._origin), (b"access-control-allow-credentials", b"true")]
        if scope["path"] == "*":  # of the server as a whole (RFC 9110 section 9.3.7)
            headers.append((b"allow", b"GET, HEAD, PUT, PATCH, POST, DELETE, OPTIONS"))
        await answer.write(204, b"", headers)

    def context(self, scope: AsgiScope, headers: Mapping[bytes, bytes], kind: type[Ctx] = Ctx) -> Ctx:
        """The Ctx of a request, nobody signed in yet. What it knows of the time and of changes begins here."""
        address, trusted = self._client(scope, headers)
        agent, cookies = headers.get(b"user-agent"), headers.get(b"cookie")
        is_tls = self._is_at_https or scope.get("scheme") == "https"
        return kind(
            self.runtime,
            request_id=scope["state"]["request_id"],
            address=address,
            user_agent=agent[:MAX_USER_AGENT].decode("latin-1") if agent else "",
            certificate=self._certificate(scope, headers, trusted=trusted)
            if trusted or scope.get("extensions")
            else None,
            cookies=cookies.decode("latin-1") if cookies else "",
            is_secure=is_tls or (trusted and self._is_forwarded_tls(headers)),
        )

    def _client(self, scope: AsgiScope, headers: Mapping[bytes, bytes]) -> tuple[str | None, bool]:
        """The caller's address, None where nobody knows it, and whether the peer is a trusted proxy."""
        client = scope.get("client")
        peer = client[0] if client else None
        if not self._is_behind or not self._trusts(peer):
            return peer, False
        hops = headers.get(self._forwarded_name, b"").decode("latin-1")
        if not hops.strip():
            return peer, True
        caller = forwarded.caller(self._forwarded, hops, self._proxies)
        return None if caller is None else str(caller), True

    def _is_proxy(self, peer: str | None) -> bool:
        """Whether what the peer says about its callers is believed.

        A peer on a Unix socket has no address.
        """
        if peer is None:
            return self._trusts_socket
        address = forwarded.address_of(peer)
        return address is not None and forwarded.trusts(address, self._proxies)

    def _is_forwarded_tls(self, headers: Mapping[bytes, bytes]) -> bool:
        """Whether a proxy that we trust says that the caller speaks TLS with it.

        Otherwise the caller does with us, or with the site.
        """
        if self._forwarded_name == b"forwarded":
            return b"proto=https" in headers.get(b"forwarded", b"").lower().replace(b'"', b"")
        return b"https" in headers.get(b"x-forwarded-proto", b"").lower().replace(b",", b" ").split()

    def _certificate(self, scope: AsgiScope, headers: Mapping[bytes, bytes], *, trusted: bool) -> str | None:
        extensions = scope.get("extensions")
        chain = extensions.get("tls", {}).get("client_cert_chain") if extensions else None
        if chain:
            return "".join(chain)
        # Anybody can send a header; only a proxy that we trust can have checked the certificate it names.
        header = headers.get(self._certificate_header) if trusted else None
        if header and self._certificate_header == b"client-cert" and (rest := headers.get(b"client-cert-chain")):
            header += b"," + rest  # RFC 9440, section 2.3: the chain stands in a header of its own
        return urllib.parse.unquote(header.decode("latin-1")) if header else None

    async def sign_in(self, ctx: Ctx, route: Route, headers: Mapping[bytes, bytes], *, is_counted: bool = True) -> None:
        """Prove the caller, check that this kind of caller may use the route, and count a use of a limited token.

        Not `is_counted`: the caller is judged once more, and its use was counted the first time.
        """
        if not route.modes and "/v3/auth/" in route.path:
            return  # a browser or the CLI signs in while it still sends a token that has ended
        bearer = heads.bearer_of(headers)
        if bearer:
            ctx.actor = await authenticate_bearer(ctx, bearer, self.verified_tokens)
        elif bearer is not None:
            raise Unauthorized("A jwt must be provided")
        if not route.modes:
            return
        if ctx.actor is NOBODY:
            raise Unauthorized(_NOBODY)
        if ctx.actor.kind == PENDING and PENDING not in route.modes:
            raise Forbidden("Verify your second factor first")
        if ctx.actor.kind not in route.modes:
            raise Forbidden("You are not allowed to access this resource with this kind of credential")
        claims = ctx.actor.claims
        if (
            is_counted and claims is not None and claims.num_uses_limit
        ):  # asked here too: nearly always there is nothing to count
            await count_use(ctx)

    async def _admit(self, scope: AsgiScope, headers: Mapping[bytes, bytes]) -> None:
        """Raise Unauthorized for a stranger, before more is read than a caller without a proof may send.

        It is not signing in: that follows the body.
        """
        bearer = heads.bearer_of(headers)
        if not bearer:
            raise Unauthorized(_NOBODY)
        if bearer.startswith("st."):  # the token carries no signature: it must be looked up
            await authenticate_bearer(self.context(scope, headers), bearer, self.verified_tokens)
        else:
            require_unexpired(self.verified_tokens.claims(bearer), self.runtime.clock())

    async def serve(
        self, route: Route, scope: AsgiScope, receive: bodies.Receive, params: Mapping[str, str]
    ) -> tuple[int, bytes | Pieces, list[tuple[bytes, bytes]]]:
        """Carry out one route: read the body, sign in, decode, call the handler, encode.

        A body may be minutes behind its head. So all that is judged is judged when it is here: the time, what was
        revoked meanwhile.
        """
        scope["state"]["route"] = route.path
        headers: Mapping[bytes, bytes] = scope["state"]["headers"]
        path_params = _path_params(route, params) if route.names else {}
        if route.waits and b"waitVersion=" in scope["query_string"]:
            return await self._wait(route, scope, receive, path_params)
        data, body = b"", None
        if route.body is not None:
            message = await receive()
            data = message.get("body", b"")
            if len(data) > self._small or message.get("more_body") or message["type"] != "http.request":
                body = await self._read(route, scope, receive, message)
                data = body.data
        try:
            ctx = self.context(scope, headers)
            bearer = headers.get(b"authorization")
            # Requests without one differ in their bodies only: what one of them needed says nothing about the next.
            hint_key = (
                hash((bearer, scope["path"], scope["query_string"]))
                if bearer is not None and ctx.fresh.needs_roundtrip
                else None
            )
            if hint_key is not None:
                await self._hints.ask(hint_key, ctx)
            if route.body is Incoming:
                path_params["body"] = Incoming(headers, data, scope["method"], scope["path"], scope["query_string"])
            else:
                await self.sign_in(ctx, route, headers)
                if route.body is not None:
                    kind, is_bare = dict if route.body is Raw else route.body, route.method in ("DELETE", "GET")
                    media = headers.get(b"content-type", b"").decode("latin-1")
                    path_params["body"] = (
                        bodies.read_as(kind, data, media, is_bare)
                        if body is None
                        else await body.as_(kind, media, bare=is_bare)
                    )
            if route.query is not None:
                path_params["query"] = bodies.query_as(route.query, scope["query_string"])
            while True:
                try:
                    reply = await route.handler(ctx, **path_params)
                    break
                except Unfinished as long:
                    await ctx.finish(long)
                except (Collision, ConstraintRefused) as error:
                    # Another request was first. Carried out again, this one sees what that one did and answers for
                    # itself.
                    if not ctx.begins_again():
                        raise error.refusal if isinstance(error, ConstraintRefused) else error from None
        finally:
            if body is not None:
                body.close()
        if hint_key is not None:
            self._hints.learn(hint_key, ctx)
        status, extra = 200, [_JSON, _NO_STORE]
        if isinstance(reply, Reply):
            status, extra, reply = reply.status, _header_lines(reply), reply.body
            if isinstance(reply, Stream):
                return status, await self._opened(reply, route, scope), extra
        answer = reply if isinstance(reply, bytes) else bodies.encode_in_parts(reply)
        if isinstance(answer, bytes) and len(answer) < _ELSEWHERE:
            return _with_etag(route, headers, status, answer, extra)
        # Joining, hashing and compressing let other threads run, so that the event loop goes on meanwhile.
        return await asyncio.to_thread(_with_etag, route, headers, status, answer, extra)

    async def _opened(self, stream: Stream, route: Route, scope: AsgiScope) -> bytes | Pieces:
        """The pieces of a stream whose first one is there."""
        if "is_head" in scope["state"]:
            return b""
        headers: Mapping[bytes, bytes] = scope["state"]["headers"]

        async def judged() -> Rereading:
            ctx = cast("Rereading", self.context(scope, headers, Rereading))
            await self.sign_in(ctx, route, headers, is_counted=False)
            return ctx

        pieces = stream.chunks(judged, headers.get(b"last-event-id", b"").decode("latin-1"))
        return Pieces(await anext(pieces), pieces)

    async def _wait(
        self, route: Route, scope: AsgiScope, receive: bodies.Receive, path_params: dict[str, Any]
    ) -> tuple[int, bytes, list[tuple[bytes, bytes]]]:
        """Carry out a route that answers when its answer has changed: see `long_poll`."""
        scope["state"]["route"] = f"{route.path} (waitVersion)"  # its times are not those of the route
        headers: Mapping[bytes, bytes] = scope["state"]["headers"]

        async def signed_in(*, is_first: bool) -> Rereading:
            ctx = cast("Rereading", self.context(scope, headers, Rereading))
            await self.sign_in(ctx, route, headers, is_counted=is_first)
            return ctx

        def query() -> Any:
            return bodies.query_as(route.query, scope["query_string"])

        data = await long_poll.answer(
            self.runtime,
            signed_in,
            query,
            functools.partial(route.handler, **path_params),
            functools.partial(bodies.gone, receive),
        )
        if isinstance(data, long_poll.Unchanged):
            return 304, b"", [(b"etag", data.tag), _NO_STORE]
        if len(data) < _ELSEWHERE:
            return _with_etag(route, headers, 200, data, [_JSON, _NO_STORE])
        return await asyncio.to_thread(_with_etag, route, headers, 200, data, [_JSON, _NO_STORE])

    async def _read(
        self, route: Route, scope: AsgiScope, receive: bodies.Receive, message: bodies.Message
    ) -> bodies.Body:
        """A body that is not small, or not here yet, of which `message` is the beginning."""
        headers: Mapping[bytes, bytes] = scope["state"]["headers"]
        if route.modes:
            most, admit, is_strange = route.most or self._most, self._admit, route.body is Raw
        else:
            most, admit, is_strange = route.most or bodies.PUBLIC, None, True
        return await self._reader.read(
            receive,
            message,
            most=min(most, self._most),
            headers=headers,
            admit=admit,
            about=(scope, headers),
            is_strange=is_strange,
        )

    async def _render(self, scope: AsgiScope, error: Exception, request_id: str, answer: "_Answer") -> None:
        if answer.status:
            _log.error("an answer broke off", exc_info=error, extra={"request_id": request_id})
            raise error
        status, body, headers = rendered(error, request_id)
        if status == 500:
            _log.error("unexpected error", exc_info=error, extra={"request_id": request_id, "path": scope.get("path")})
        await answer.write(status, body, headers)

    def _note(self, scope: AsgiScope, request_id: str, status: int, took: float) -> None:
        _log.info(
            "request",
            extra={
                "request_id": request_id,
                "method": scope["method"],
                "path": scope["path"],
                "status": status,
                "milliseconds": round(took * 1000, 2),
            },
        )


class BadUrl(BadRequest):
    """The path has an invalid percent-escape."""


_NOBODY = "Token missing: send the access token as `Authorization: Bearer <token>`"


def _path_params(route: Route, params: Mapping[str, str]) -> dict[str, Any]:
    """What the path holds, by name. Raises Invalid for a zero character."""
    named: dict[str, Any] = {}
    for name in route.names:
        named[name] = text = params[name]
        if "\x00" in text:
            raise Invalid.of(name, bodies.NO_NUL)
    return named


def _header_lines(reply: Reply) -> list[tuple[bytes, bytes]]:
    """The headers of a reply that has some of its own, and the default ones that these do not replace."""
    extra = [(name.lower().encode(), text.encode("latin-1")) for name, text in reply.headers.items()]
    extra += [(b"set-cookie", text.encode("latin-1")) for text in reply.cookies]
    return extra + [default for default in (_JSON, _NO_STORE) if not any(name == default[0] for name, _ in extra)]


def _with_etag(
    route: Route,
    headers: Mapping[bytes, bytes],
    status: int,
    body: bytes | list[bytes],
    extra: list[tuple[bytes, bytes]],
) -> tuple[int, bytes, list[tuple[bytes, bytes]]]:
    """An answer with its tag, compressed where that may be; or 304 where the client has it already."""
    if isinstance(body, list):
        body = b"".join(body)
    is_large = route.is_compressed and len(body) >= _ZIPPED_FROM
    is_zipped = is_large and heads.takes_gzip(headers)
    if is_large:
        extra.append((b"vary", b"Accept-Encoding"))
    if route.method == "GET" and status == 200:
        tag = heads.etag(body)
        if is_zipped:
            tag = tag[:-1] + b'-gzip"'  # other bytes, another tag (RFC 9110 section 8.8.3.3)
        condition = headers.get(b"if-none-match")
        if condition is not None and heads.is_unchanged(condition, tag):
            return 304, b"", [(b"etag", tag), *(header for header in extra if header[0] in (b"cache-control", b"vary"))]
        extra.append((b"etag", tag))
    if is_zipped:
        extra.append((b"content-encoding", b"gzip"))
        body = _zipped(body)
    return status, body, extra


def _zipped(body: bytes) -> bytes:
    return zlib.compress(body, 5, wbits=31)


def rendered(error: Exception, request_id: str) -> tuple[int, bytes, list[tuple[bytes, bytes]]]:
    """An error as clients read it: `reqId`, `statusCode`, `message`, `error` and, where it helps, `details`."""
    headers = [_JSON, _NO_STORE]
    if isinstance(error, Invalid):
        body: dict[str, Any] = {
            "reqId": request_id,
            "statusCode": error.status,
            "message": error.issues,
            "error": error.name,
        }
    elif isinstance(error, Refusal):
        body = {"reqId": request_id, "statusCode": error.status, "message": error.message, "error": error.name}
        if error.details is not None:
            body["details"] = error.details
        if isinstance(error, BadUrl):
            body |= {"error": "Bad Request", "code": "FST_ERR_BAD_URL"}
        if error.message.startswith("Route ") and isinstance(error, NotFound):
            body = {"message": error.message, "error": "Not Found", "statusCode": 404, "reqId": request_id}
        if error.retry_after is not None:
            headers.append((b"retry-after", str(error.retry_after).encode()))
        if isinstance(error, MethodNotAllowed):
            headers.append((b"allow", ", ".join(error.allowed).encode()))
    else:
        body = {
            "reqId": request_id,
            "statusCode": 500,
            "message": "Something went wrong",
            "error": "InternalServerError",
        }
        return 500, bodies.encode(body), headers
    return error.status, bodies.encode(body), headers


class _Hints:
    """The version keys that requests of one kind asked for.

    The next such request asks for them together, at once, instead of one by one.

    A wrong hint costs nothing but a few rows in that one read: what decides is still what the request itself asks for.
    """

    __slots__ = ("_needed",)
    _CAPACITY = 40_000

    def __init__(self) -> None:
        self._needed: Generations[int, tuple[str, ...]] = Generations(self._CAPACITY)

    async def ask(self, alike: int, ctx: Ctx) -> None:
        """Read the versions that a request of this kind needed before."""
        version_keys = self._needed.young.get(alike) or self._needed.old.get(alike)
        if version_keys:
            await ctx.fresh.prefetch(version_keys)

    def learn(self, alike: int, ctx: Ctx) -> None:
        """Remember what this request needed; what is known for long is learned again when it grows old."""
        if alike not in self._needed.young:
            self._needed.keep(alike, ctx.fresh.version_keys)


class _HotRoutes:
    """The hot routes: a path without parameters, or with one at its end."""

    __slots__ = ("_exact", "_under", "_written")

    def __init__(self, routes: Sequence[Route]) -> None:
        self._exact: dict[tuple[str, str], tuple[Route, Mapping[str, str]]] = {
            (route.method, route.path): (route, {}) for route in routes if route.hot and not route.names
        }
        self._under = {
            (route.method, route.path.rpartition("/")[0]): route for route in routes if route.hot and route.names
        }
        # A path such as …/raw/{name} must not swallow its siblings that are written out.
        self._written = {(route.method, route.path) for route in routes if not route.names}

    def find(self, method: str, path: str) -> tuple[Route, Mapping[str, str]] | None:
        """The hot route of a path, and its parameter."""
        exact = self._exact.get((method, path))
        if exact is not None:
            return exact
        above, _, last = path.rpartition("/")
        route = self._under.get((method, above))
        if route is None or not last or (method, path) in self._written:
            return None
        return route, {route.names[0]: last}


class _Answer:
    """The answer to one request: remembers the status, and leaves out the body of a HEAD."""

    __slots__ = ("_head", "_send", "status")

    def __init__(self, send: Send, *, head: bool) -> None:
        self._send = send
        self._head = head
        self.status = 0

    async def __call__(self, message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
        elif self._head and message["type"] == "http.response.body":
            message = {**message, "body": b""}
        await self._send(message)

    async def write(self, status: int, body: bytes, headers: Sequence[tuple[bytes, bytes]]) -> None:
        """Write a whole answer."""
        self.status = status
        length = (b"content-length", str(len(body)).encode())
        await self._send({"type": "http.response.start", "status": status, "headers": [*headers, length]})
        await self._send({"type": "http.response.body", "body": b"" if self._head else body})
