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
    """The facts of a secret in its place."""
    return {"environment": environment, "secretPath": path, **facts}


class Rights:
    """Answers one question for the secrets of one folder, looking at each secret only where the rules do."""

    __slots__ = ("_left", "action", "all", "none")

    def __init__(self, scope: CallerScope, action: str, environment: str, path: str) -> None:
        self.action = action
        self._left = scope.ability.narrowed(action, SUBJECT, {"environment": environment, "secretPath": path})
        self.none = self._left.answer is False  # no secret there passes, whatever it is called
        self.all = self._left.answer is True  # every one does

    @property
    def between(self) -> int:
        """How many secrets may be looked at in one piece."""
        return self._left.between

    @property
    def is_slow(self) -> bool:
        """Whether even one secret may take too long for that."""
        return self._left.is_slow

    def __call__(self, held: CachedSecret) -> bool:
        """Whether the action is allowed on this secret."""
        answer = self._left.answer
        return self._left.allows(held.facts) if answer is None else answer

    def holds(self, facts: Mapping[str, Any]) -> bool:
        """The same for a secret of which only the facts are at hand."""
        return self._left.allows(facts)


def some(scope: CallerScope, action: str, place: SecretLocation) -> bool:
    """Whether the caller may do this to some secret of that place."""
    return scope.ability.could(
        action, SUBJECT, {"environment": place.environment.slug, "secretPath": place.folder.path}
    )


def require_some(ctx: Ctx, scope: CallerScope, action: str, environment: str, path: str, **facts: Any) -> None:
    """Raise PermissionDenied when the caller may do this to no secret there of which these facts are known.

    Asked before looking whether the secret exists: who may do nothing in a place does not learn what is in it.
    """
    asked = {"environment": environment, "secretPath": path, **facts}
    ctx.may(scope, action, SUBJECT, **asked)
    if not scope.ability.could(action, SUBJECT, asked):
        raise _refusal(action, asked)


def _refusal(action: str, asked: Mapping[str, Any] | None) -> PermissionDenied:
    missing = {"action": action, "subject": SUBJECT} | ({} if asked is None else {"conditions": asked})
    return PermissionDenied(f"You are not allowed to {action} on {SUBJECT}", details=[missing])


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
    """Raise PermissionDenied unless the action is allowed on the secret with these facts in that place.

    The refusal is the one of `require_some`: which of the caller's rules decided would tell the tags and the metadata.
    Where the request does not name the secret but gives its id (not `is_named`), it does not tell the name and the
    place either.
    """
    if not ctx.always(scope, action, SUBJECT) and not ctx.may(
        scope, action, SUBJECT, **in_place(environment, path, facts)
    ):
        said = {"environment": environment, "secretPath": path, "secretName": facts["secretName"]}
        raise _refusal(action, said if is_named else None)
