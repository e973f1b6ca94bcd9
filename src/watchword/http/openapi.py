"""The OpenAPI 3.1 document, made from the route table, and the page that shows it.

The page needs nothing from elsewhere.
"""

import asyncio
import functools
import re
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any

import msgspec

from watchword import __version__
from watchword.domain.secret import Secret
from watchword.http.routing import IDENTITY, PENDING, SERVICE, USER, Incoming, Raw, Reply, Route, Routes
from watchword.services.context import Ctx

_CALLERS = {
    USER: "people",
    IDENTITY: "machine identities",
    SERVICE: "service tokens",
    PENDING: "people who still owe a second factor",
}
_REF = "#/components/schemas/{name}"
_ISSUE = {
    "type": "object",
    "required": ["code", "path", "message"],
    "properties": {
        "code": {"type": "string", "examples": ["invalid_type"]},
        "message": {"type": "string"},
        "path": {"type": "array", "items": {"type": ["string", "integer"]}},
        "expected": {"type": "string"},
        "received": {"type": "string"},
    },
}
_ERROR = {
    "type": "object",
    "description": "A refusal.",
    "required": ["reqId", "statusCode", "message", "error"],
    "properties": {
        "reqId": {"type": "string", "description": "Names this request in logs and in the list of refused logins."},
        "statusCode": {"type": "integer"},
        "error": {"type": "string", "description": "The kind of refusal."},
        "message": {"type": "string", "description": "What the caller can do about it."},
        "details": {"description": "What is missing, where a permission is."},
    },
}
_INVALID = {
    "type": "object",
    "description": "The input has faults; all are listed.",
    "required": ["reqId", "statusCode", "message", "error"],
    "properties": {
        "reqId": {"type": "string"},
        "statusCode": {"const": 422},
        "error": {"const": "ValidationFailure"},
        "message": {"type": "array", "items": {"$ref": "#/components/schemas/Issue"}},
    },
}
_OAUTH_ERROR = {
    "type": "object",
    "required": ["error"],
    "properties": {"error": {"type": "string"}, "error_description": {"type": "string"}},
}
_FORM = "application/x-www-form-urlencoded"
_REFUSALS = {
    "400": "It cannot be done in the present state.",
    "401": "No credential, or one that proves nothing (any more).",
    "403": "The caller may not do this.",
    "404": "There is no such thing, or none that the caller may know of.",
}
_ABOUT = (
    "Wire-compatible with Infisical's API. Send an access token as `Authorization: Bearer …`. Unknown fields are "
    "ignored, except in the settings of auth methods, where they are refused; "
    "every refusal has the same shape, and one of input (422) lists all faults."
)


def document(routes: Sequence[Route]) -> dict[str, Any]:
    """The OpenAPI document of these routes."""
    shapes = _Shapes(routes)
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, shapes)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Watchword",
            "version": __version__,
            "description": _ABOUT,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "tags": [{"name": area} for area in dict.fromkeys(route.area for route in routes)],
        "paths": paths,
        "components": {
            "schemas": {**shapes.components, "Error": _ERROR, "ValidationFailure": _INVALID, "Issue": _ISSUE},
            "securitySchemes": {
                "bearer": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "An access token, a session or a service token.",
                },
            },
        },
    }


class _Shapes:
    """The schema of every type that a route takes or gives, and the components they refer to."""

    def __init__(self, routes: Sequence[Route]) -> None:
        kinds = list({id(kind): kind for route in routes for kind in _kinds(route)}.values())
        schemas, components = msgspec.json.schema_components(kinds, schema_hook=_schema_of, ref_template=_REF)
        self._names = {name: _short(name, components) for name in components}
        self._found = {id(kind): self._renamed(schema) for kind, schema in zip(kinds, schemas, strict=True)}
        self.components: dict[str, Any] = {
            self._names[name]: self._renamed(schema) for name, schema in components.items()
        }

    def _renamed(self, schema: Any) -> Any:
        if isinstance(schema, dict):
            ref = schema.get("$ref")
            if isinstance(ref, str):
                return {**schema, "$ref": _REF.format(name=self._names[ref.removeprefix(_REF.format(name=""))])}
            return {key: value if key == "description" else self._renamed(value) for key, value in schema.items()}
        return [self._renamed(item) for item in schema] if isinstance(schema, list) else schema

    def of(self, kind: Any) -> dict[str, Any]:
        """The schema of a type."""
        schema: dict[str, Any] = self._found[id(kind)]
        return schema

    def inside(self, kind: Any) -> Mapping[str, Any]:
        """The schema of a struct, not as a reference."""
        schema = self.of(kind)
        ref = schema.get("$ref")
        definition: Mapping[str, Any] = self.components[ref.removeprefix(_REF.format(name=""))] if ref else schema
        return definition


def _kinds(route: Route) -> list[Any]:
    body = route.body_for if route.body in (Raw, Incoming) else route.body
    return [kind for kind in (body, route.query, route.reply) if kind not in (None, Raw, Reply, type(None))]


def _schema_of(kind: type) -> dict[str, Any]:
    if kind is Secret:
        return {"type": "string", "format": "password"}
    return {}


def _short(name: str, components: Mapping[str, Any]) -> str:
    """The short name of a struct: its last two parts, or all of them where two structs share these.

    msgspec tells two structs of one name apart with their whole module.
    """
    short = ".".join(name.split(".")[-2:]) if "." in name else name
    is_ambiguous = sum(1 for component in components if component.endswith("." + short)) > 1
    return re.sub(r"[^A-Za-z0-9._-]", "_", name if is_ambiguous else short)


def _operation(route: Route, shapes: _Shapes) -> dict[str, Any]:
    callers = ", ".join(_CALLERS.get(mode, mode) for mode in route.modes)
    doc = "\n\n".join(part for part in (route.doc, f"For {callers}." if callers else "Needs no credential.") if part)
    operation: dict[str, Any] = {
        "operationId": route.operation,
        "tags": [route.area],
        "summary": route.summary.rstrip("."),
        "description": doc,
        "responses": _responses(route, shapes),
        "security": [{"bearer": []}] if route.modes else [],
    }
    parameters = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in _places(route.path)
    ]
    if route.query is not None:
        parameters += _query(shapes.inside(route.query))
    if parameters:
        operation["parameters"] = parameters
    body = _body(route, shapes)
    if body is not None:
        operation["requestBody"] = body
    return operation


def _places(path: str) -> list[str]:
    return re.findall(r"{([^}]+)}", path)


def _query(shape: Mapping[str, Any]) -> list[dict[str, Any]]:
    required = shape.get("required", ())
    return [
        {"name": name, "in": "query", "required": name in required, "schema": schema}
        for name, schema in shape.get("properties", {}).items()
    ]


def _body(route: Route, shapes: _Shapes) -> dict[str, Any] | None:
    if route.body is None or (route.body is Incoming and route.body_for is None):
        return None
    kind = route.body_for if route.body in (Raw, Incoming) else route.body
    schema: Mapping[str, Any] = {"type": "object"} if kind is None else shapes.of(kind)
    if route.body is Raw and route.method == "PATCH" and kind is not None:
        # What is left out stays as it is, so nothing is required.
        schema = {name: value for name, value in shapes.inside(kind).items() if name != "required"}
    if _speaks_oauth(route):
        return {"required": True, "content": {_FORM: {"schema": schema}}}
    content = {"application/json": {"schema": schema}}
    if route.path.endswith("/login") or route.body is Incoming:
        content[_FORM] = {"schema": schema}
    return {"required": route.method not in ("DELETE", "GET"), "content": content}


def _speaks_oauth(route: Route) -> bool:
    """Whether the route takes forms and refuses as OAuth does."""
    return route.body is Incoming and route.path.startswith("/oauth2/")


def _responses(route: Route, shapes: _Shapes) -> dict[str, Any]:
    shape = {} if route.reply in (None, Reply, type(None)) else shapes.of(route.reply)
    answers: dict[str, Any] = {"200": {"description": "Done.", "content": {"application/json": {"schema": shape}}}}
    if _speaks_oauth(route):
        refusal = {"description": "Refused (RFC 6749, 5.2).", "content": {"application/json": {"schema": _OAUTH_ERROR}}}
        return answers | dict.fromkeys(("400", "401"), refusal)
    for status, meaning in _REFUSALS.items():
        if status == "403" and not route.modes:
            continue
        answers[status] = {
            "description": meaning,
            "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}},
        }
    if route.body is not None or route.query is not None or route.names:
        answers["422"] = {
            "description": "The input has faults.",
            "content": {"application/json": {"schema": {"$ref": "#/components/schemas/ValidationFailure"}}},
        }
    return answers


_CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src "
    "'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_PAGE = b"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Watchword API</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="/api/docs/swagger-ui.css">
</head>
<body>
<main id="ui"></main>
<noscript>This page needs JavaScript. The document itself is at
<a href="/api/docs/openapi.json">/api/docs/openapi.json</a>.</noscript>
<script src="/api/docs/swagger-ui-bundle.js"></script>
<script src="/api/docs/start.js"></script>
</body>
</html>
"""
# validatorUrl null, or the browser would send this document's address to a service elsewhere.
_START = b"""SwaggerUIBundle({
  url: "/api/docs/openapi.json", dom_id: "#ui", validatorUrl: null, docExpansion: "none", filter: true,
  deepLinking: true,
  displayRequestDuration: true, defaultModelsExpandDepth: 0
});
"""


@functools.cache
def _file(name: str) -> bytes:
    return files("watchword.http").joinpath("static", "swagger-ui", name).read_bytes()


def _fixed(body: bytes, kind: str) -> Reply:
    headers = {
        "content-type": kind,
        "content-security-policy": _CSP,
        "x-content-type-options": "nosniff",
        "referrer-policy": "no-referrer",
        "cache-control": "no-cache",
    }
    return Reply(body, headers=headers)


def documentation(routes: Sequence[Route]) -> Routes:
    """The routes of the document and its page, for these routes and themselves."""
    docs = Routes("documentation", is_compressed=True)

    @functools.cache
    def written() -> bytes:
        return msgspec.json.encode(document([*routes, *docs.all]))

    @docs.get("/api/docs/openapi.json")
    async def openapi(ctx: Ctx) -> Reply:
        """The OpenAPI document of this server."""
        del ctx
        return Reply(await asyncio.to_thread(written))  # a second of work, once

    @docs.get("/api/docs")
    async def page(ctx: Ctx) -> Reply:
        """The API's pages, usable without the internet."""
        del ctx
        return _fixed(_PAGE, "text/html; charset=utf-8")

    @docs.get("/api/docs/start.js")
    async def start(ctx: Ctx) -> Reply:
        """What starts the page."""
        del ctx
        return _fixed(_START, "text/javascript; charset=utf-8")

    @docs.get("/api/docs/swagger-ui-bundle.js")
    async def script(ctx: Ctx) -> Reply:
        """The page's script."""
        del ctx
        return _fixed(_file("swagger-ui-bundle.js"), "text/javascript; charset=utf-8")

    @docs.get("/api/docs/swagger-ui.css")
    async def style(ctx: Ctx) -> Reply:
        """The page's style sheet."""
        del ctx
        return _fixed(_file("swagger-ui.css"), "text/css; charset=utf-8")

    return docs
