"""What the caller may see and do with secrets, asked secret by secret."""

from collections.abc import Mapping
from typing import Any, Final

from watchword.domain.errors import PermissionDenied
from watchword.services.context import CallerScope, Ctx
from watchword.services.projects.locations import SecretLocation
from watchword.services.secrets.folder_cache import CachedSecret

SUBJECT: Final = "secrets"
DESCRIBE, READ, CREATE, EDIT, DELETE = "describeSecret", "readValue", "create", "edit", "delete"


def in_place(environment: str, path: str, facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return the facts of a secret together with its location."""
    return {"environment": environment, "secretPath": path, **facts}


class Rights:
    """The answer to one question for the secrets of one folder; each secret is looked at only where the rules do."""

    __slots__ = ("_left", "action", "all", "none")

    def __init__(self, scope: CallerScope, action: str, environment: str, path: str) -> None:
        self.action = action
        self._left = scope.ability.narrowed(action, SUBJECT, {"environment": environment, "secretPath": path})
        self.none = self._left.answer is False  # whether no secret there passes
        self.all = self._left.answer is True  # whether every secret passes

    @property
    def between(self) -> int:
        """The number of secrets that may be checked before others have their turn."""
        return self._left.between

    @property
    def is_slow(self) -> bool:
        """Whether even one secret may take too long."""
        return self._left.is_slow

    def __call__(self, cached: CachedSecret) -> bool:
        """Whether the action is allowed on this secret."""
        answer = self._left.answer
        return self._left.allows(cached.facts) if answer is None else answer

    def holds(self, facts: Mapping[str, Any]) -> bool:
        """Whether the action is allowed on a secret with these facts, location included."""
        return self._left.allows(facts)


def some(scope: CallerScope, action: str, location: SecretLocation) -> bool:
    """Whether the caller may do this to some secret of that location."""
    return scope.ability.could(
        action, SUBJECT, {"environment": location.environment.slug, "secretPath": location.folder.path}
    )


def require_some(ctx: Ctx, scope: CallerScope, action: str, environment: str, path: str, **facts: Any) -> None:
    """Raise PermissionDenied when the caller may do this to no secret with these facts.

    Call it before looking whether the secret exists: a caller who may do nothing in a folder must not learn what is in
    it.
    """
    asked = {"environment": environment, "secretPath": path, **facts}
    ctx.may(scope, action, SUBJECT, **asked)
    if not scope.ability.could(action, SUBJECT, asked):
        raise _refusal(action, asked)


def _refusal(action: str, asked: Mapping[str, Any] | None) -> PermissionDenied:
    missing = {"action": action, "subject": SUBJECT} | ({} if asked is None else {"conditions": asked})
    return PermissionDenied(f"You are not allowed to {action} on {SUBJECT}", details=[missing])


def refusal_of_version(name: str | None, environment: str, path: str) -> PermissionDenied:
    """Return the refusal of a version that the rules forbid as it was then; it does not tell what it was.

    `name` is None where the request did not give it: then the location is not told either.
    """
    return _refusal(
        READ, None if name is None else {"environment": environment, "secretPath": path, "secretName": name}
    )


def require(
    ctx: Ctx,
    scope: CallerScope,
    action: str,
    environment: str,
    path: str,
    facts: Mapping[str, Any],
    *,
    is_named: bool = True,
) -> None:
    """Raise PermissionDenied unless the action is allowed on the secret with these facts in that location.

    The refusal is the one of `require_some`: which of the caller's rules decided would tell the tags and the metadata.
    Where the request gives the secret's id and not its name (not `is_named`), the refusal does not tell the name and
    the location either.
    """
    if not ctx.always(scope, action, SUBJECT) and not ctx.may(
        scope, action, SUBJECT, **in_place(environment, path, facts)
    ):
        named_facts = {"environment": environment, "secretPath": path, "secretName": facts["secretName"]}
        raise _refusal(action, named_facts if is_named else None)
