"""Check the claims of a verified token against a configuration: subject, audiences, claims by path.

Claims that permission templates use are selected here as well.
"""

from collections.abc import Mapping
from typing import Any

from watchword.domain.authentication.jose import Verdict, audiences_of
from watchword.domain.bounds import claim_matches, claim_text, dig
from watchword.domain.lists import split_patterns

__all__ = ["claims_to_keep", "require_audiences", "require_claims", "require_match", "require_subject"]

MAX_KEPT = 4_096  # characters of one claim carried into the access token


def require_subject(claims: Mapping[str, Any], pattern: str, checks: Verdict) -> None:
    """Check that `sub` matches `pattern`, a glob; an empty pattern demands nothing."""
    if not pattern:
        return
    subject = claims.get("sub")
    checks.form(
        isinstance(subject, str) and bool(subject), "subject_missing", "The token names no subject", expected=pattern
    )
    checks.compare(
        claim_matches(subject, (pattern,)),
        "subject_mismatch",
        "The token's subject is not allowed",
        expected=pattern,
        presented=subject,
        status=403,
    )


def require_audiences(claims: Mapping[str, Any], patterns: str, checks: Verdict) -> None:
    """Check that one of the token's audiences matches one of `patterns`, a comma list of globs.

    An empty list demands nothing.
    """
    accepted = split_patterns(patterns)
    if not accepted:
        return
    named = audiences_of(claims, checks)
    checks.compare(
        any(claim_matches(audience, accepted) for audience in named),
        "audience_mismatch",
        "The token is meant for another audience",
        expected=list(accepted),
        presented=list(named),
    )


def require_claims(claims: Mapping[str, Any], bound: Mapping[str, str], checks: Verdict) -> None:
    """Check that every claim in `bound` (a dotted path) is there and matches one of its globs."""
    for path, patterns in bound.items():
        value = dig(claims, path)
        checks.compare(value is not None, "claim_missing", f"The token has no claim {path}", expected={path: patterns})
        checks.compare(
            claim_matches(value, split_patterns(patterns)),
            "claim_mismatch",
            f"The token's claim {path} is not allowed",
            expected={path: patterns},
            presented={path: _text(value)},
        )


def require_match(value: Any, patterns: str, noun: str, subject: str, checks: Verdict) -> None:
    """Check that a value is a text that matches a comma list of patterns; an empty list demands nothing.

    The reason is `<noun>_not_allowed`, the message `<subject> is not allowed`.
    """
    accepted = split_patterns(patterns)
    if accepted:
        checks.compare(
            isinstance(value, str) and claim_matches(value, accepted),
            f"{noun}_not_allowed",
            f"{subject} is not allowed",
            expected=list(accepted),
            presented=str(value)[:300],
        )


def claims_to_keep(claims: Mapping[str, Any], mapping: Mapping[str, str] | None) -> dict[str, str]:
    """The claims that permission templates may use: name -> text of the claim at the path.

    A missing claim and an object are left out.
    """
    values = {name: dig(claims, path) for name, path in (mapping or {}).items()}
    return {name: _text(value) for name, value in values.items() if value is not None and not isinstance(value, dict)}


def _text(value: Any) -> str:
    """The text of a claim: a scalar as in JSON, a list joined by commas, as Infisical does."""
    if isinstance(value, list):
        return ",".join(_text(item) for item in value)[:MAX_KEPT]
    return (claim_text(value) or "")[:MAX_KEPT]
