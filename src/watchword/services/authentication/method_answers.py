"""Check the answer of an auth method before it is used: a method from another package may answer anything.

A malformed answer is a refused login with a reason for operators, whether or not the proof was right.
"""

from collections.abc import Mapping
from typing import Any, Final

from watchword.domain.plain_json import fault_of
from watchword.methods.base import AuthMethod, Given, Spent, Verified

ANSWER: Final = "method_answer"
_END_OF_TIME: Final = 253_402_300_800_000  # the year 10000, in milliseconds
_LONGEST_KEY: Final = 65_536  # characters


def require_believable(method: AuthMethod[Any, Any], verified: object, given: Given) -> None:
    """Check that a method proved something, ignored no failed check, and answered only what it may. Raises Denied."""
    checks = given.checks
    if checks.is_refused:
        checks.fail("reach", ANSWER, "The auth method passed over a check that failed")
    if not checks.is_proved:
        checks.fail("reach", "nothing_proved", "The auth method proved nothing", expected="a check of the kind prove")
    fault = _fault(method, verified, given)
    if fault is not None:
        checks.fail("reach", ANSWER, "What the auth method answered cannot be used", presented=fault)


def _fault(method: AuthMethod[Any, Any], verified: object, given: Given) -> str | None:
    if type(verified) is not Verified:
        return f"no Verified but {type(verified).__name__[:64]}"
    # The core found this credential for this configuration; any other could belong to another identity.
    if verified.credential is not None and verified.credential is not given.credential:
        return "another credential than the one that was presented"
    if verified.spent is not None and not _is_spent(verified.spent):
        return "spent: a key of 1 to 65536 characters and a time in milliseconds are expected"
    claims, audit = verified.claims, verified.audit
    if not isinstance(claims, Mapping) or (claims and tuple(claims) != (method.claims_under,)):
        return (
            f"claims: an object under the name {method.claims_under!r} alone is expected"
            if method.claims_under
            else "claims: none are expected"
        )
    if not isinstance(audit, Mapping) or not audit.keys().isdisjoint(own_facts(method)):
        return f"audit: facts beside {', '.join(own_facts(method))} are expected"
    fault = fault_of(claims) if claims else None
    if fault is not None:
        return f"claims: {fault}"
    fault = fault_of(audit)
    return None if fault is None else f"audit: {fault}"


def own_facts(method: AuthMethod[Any, Any]) -> tuple[str, str, str]:
    """Return the facts of a login's audit event that the core sets: the identity, the token, the configuration."""
    return "identityId", "identityAccessTokenId", f"{method.wrapper}Id"


def _is_spent(spent: object) -> bool:
    return (
        type(spent) is Spent
        and type(spent.key) is str
        and 0 < len(spent.key) <= _LONGEST_KEY
        and type(spent.expires_at) is int
        and 0 < spent.expires_at < _END_OF_TIME
    )
