"""Every refusal Watchword can answer, with its HTTP status and its name on the wire.

    Refusal
    ├── BadRequest            400 BadRequest
    ├── Unauthorized          401 UnauthorizedError
    │   ├── BadToken          401 TokenError
    │   └── Denied            401 UnauthorizedError   a login was refused; carries a reason code and facts
    ├── Forbidden             403 ForbiddenError
    │   ├── PermissionDenied  403 PermissionDenied
    │   └── BoundaryExceeded  403 PermissionBoundaryError
    ├── NotFound              404 NotFound
    ├── MethodNotAllowed      405 MethodNotAllowed
    ├── Conflict              409 Conflict
    ├── TooLarge              413 PayloadTooLarge
    ├── UnsupportedMediaType  415 UnsupportedMediaType
    ├── Invalid               422 ValidationFailure   lists every fault of the input
    ├── TooManyRequests       429 RateLimitError
    └── Unavailable           503 ServiceUnavailable

`message` is what the caller may read: it says what the caller can do, and holds no secret.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import msgspec


class Refusal(Exception):
    """Something the caller asked for that Watchword will not do; rendered in one place, the edge."""

    status: ClassVar[int] = 400
    name: ClassVar[str] = "BadRequest"
    default: ClassVar[str] = "The request cannot be served"
    retry_after: int | None = None  # seconds, for the header Retry-After

    def __init__(self, message: str = "", *, details: Any = None) -> None:
        self.message = message or self.default
        self.details = details
        super().__init__(self.message)


class BadRequest(Refusal):
    """The request is well formed but cannot be carried out in the present state."""


class Unauthorized(Refusal):
    """No credential, or one that proves nothing."""

    status = 401
    name = "UnauthorizedError"
    default = "You are not authenticated: log in and send the access token as a bearer token"


class BadToken(Unauthorized):
    """A bearer token that is malformed, forged or expired."""

    name = "TokenError"
    default = "The token is malformed or has expired: log in again"


class Denied(Unauthorized):
    """A login that was refused.

    `reason` is a stable code for operators and the audit log; `facts` are what decided (expected and presented values,
    never a secret). The caller gets `message` only. `status` differs from 401 only where clients expect another.
    """

    def __init__(
        self, reason: str, message: str = "", *, status: int = 401, facts: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(message or "Invalid credentials")
        self.reason = reason
        self.facts: Mapping[str, Any] = dict(facts or {})
        if status != self.status:
            self.status = status  # type: ignore[misc]
            names = {400: "BadRequest", 403: "ForbiddenError", 404: "NotFound", 429: "RateLimitError"}
            self.name = names.get(status, self.name)  # type: ignore[misc]


class Forbidden(Refusal):
    """The caller is known and may not do this."""

    status = 403
    name = "ForbiddenError"
    default = "You are not allowed to access this resource"


class PermissionDenied(Forbidden):
    """The roles of the caller do not allow the action; `details` names what is missing."""

    name = "PermissionDenied"


class BoundaryExceeded(Forbidden):
    """The caller would create, change or impersonate something more privileged than itself."""

    name = "PermissionBoundaryError"


class NotFound(Refusal):
    """There is no such thing, or none that the caller may know of."""

    status = 404
    name = "NotFound"
    default = "The requested entity is not found"


class MethodNotAllowed(Refusal):
    """The path exists, the HTTP method does not.

    `allowed` are the methods that do, for the header Allow (RFC 9110 section 15.5.6).
    """

    status = 405
    name = "MethodNotAllowed"

    def __init__(self, message: str, allowed: Sequence[str]) -> None:
        super().__init__(message)
        self.allowed = tuple(allowed)


class Conflict(Refusal):
    """Another request was first: what this one would make is there, or what it would remove is needed."""

    status = 409
    name = "Conflict"
    default = "Another change was first: read again what there is, and decide again"


class TooLarge(Refusal):
    """The body, a header or a nesting depth passes its limit."""

    status = 413
    name = "PayloadTooLarge"


class UnsupportedMediaType(Refusal):
    """The body's content type is not one that is read here."""

    status = 415
    name = "UnsupportedMediaType"
    default = "Send the body as application/json or application/x-www-form-urlencoded"


class Issue(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One fault of the input: `path` leads to the field, `message` says what is accepted."""

    code: str
    path: tuple[str | int, ...]
    message: str
    expected: str | None = None
    received: str | None = None
    minimum: int | None = None
    maximum: int | None = None
    options: tuple[str, ...] | None = None
    validation: str | None = None


class Invalid(Refusal):
    """The input has faults; `issues` lists all of them."""

    status = 422
    name = "ValidationFailure"

    def __init__(self, issues: Sequence[Issue]) -> None:
        super().__init__("; ".join(f"{'.'.join(map(str, i.path)) or 'body'}: {i.message}" for i in issues))
        self.issues = tuple(issues)

    @classmethod
    def of(cls, path: str | tuple[str | int, ...], message: str, *, code: str = "custom") -> "Invalid":
        """The refusal of one field."""
        return cls([Issue(code=code, path=(path,) if isinstance(path, str) else path, message=message)])


class TooManyRequests(Refusal):
    """The caller asks more often than it may.

    After `retry_after` whole seconds it may ask again (RFC 9110, 10.2.3).
    """

    status = 429
    name = "RateLimitError"
    default = "Too many requests: wait before you try again"

    def __init__(self, message: str = "", *, retry_after: float = 1, details: Any = None) -> None:
        super().__init__(message, details=details)
        self.retry_after = max(1, math.ceil(retry_after))


class Unavailable(Refusal):
    """Something Watchword depends on does not answer; nothing was changed."""

    status = 503
    name = "ServiceUnavailable"
    default = "The service is not available right now, try again"
    retry_after = 1
