"""Ask a Kubernetes API server about a service account token, and judge what it answers."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any, Literal, TypeAlias
from urllib.parse import quote

import msgspec

from watchword.domain.authentication.jose import (
    SIGNATURES,
    Unverified,
    audiences_of,
    decode_unverified,
    numeric_date,
    verified_payload,
)
from watchword.domain.authentication.kubernetes import Account, account_of_review, ruling
from watchword.domain.authentication.public_keys import UnusableKeyError, public_keys, strict_json
from watchword.domain.errors import Denied
from watchword.methods.base import Checks, Given, OutboundAnswer, OutboundError, Secret

__all__ = ["REVIEWS", "Reviewer", "labels_of", "require_plausible", "require_unexpired", "reviewed"]

REVIEWS = "/apis/authentication.k8s.io/v1/tokenreviews"
Whose: TypeAlias = Literal["reviewer", "server", "workload"]
_NAMED: dict[Whose, str] = {
    "reviewer": "the reviewer's token (tokenReviewerJwt)",
    "server": "the reviewer's token (the one that the operator of this server keeps in a file)",
    "workload": "the workload's own token, which asks for its own review",
}


class Reviewer(msgspec.Struct, frozen=True):
    """The token that asks the API server, whose it is, and the CA that the server's certificate is verified with."""

    token: Secret
    whose: Whose
    ca: str


class _Review(msgspec.Struct, frozen=True):
    """What the API server answered, without any token."""

    status: int
    message: str = ""
    words: str = ""  # of `status.error`
    is_authenticated: bool = False
    audiences: Any = None
    user: Any = None


async def reviewed(base: str, audiences: tuple[str, ...], token: str, reviewer: Reviewer, given: Given) -> Account:
    """The account of a token by a review at the API server `base`, for one of the audiences, or for its own."""
    review = await _review(base, audiences, token, reviewer, given)
    _judge(audiences, reviewer, review, given)
    return account_of_review(review.user)


def require_plausible(
    token: str, presented: Unverified, audiences: tuple[str, ...], issuer: str, jwks: str, given: Given
) -> None:
    """Check what can be seen without the cluster, so that it is not asked about what it would refuse anyway."""
    checks = given.checks
    checks.form(
        presented.alg in SIGNATURES,
        "algorithm_refused",
        "The token's signature algorithm is not accepted",
        expected=sorted(SIGNATURES),
        presented=presented.alg[:64],
    )
    require_unexpired(presented, given)
    if issuer:
        named = presented.claims.get("iss")
        checks.compare(
            named == issuer,
            "issuer_mismatch",
            "The token is from another issuer",
            expected=issuer,
            presented=str(named)[:300],
        )
    if audiences and "aud" in presented.claims:  # the tokens of Secrets name none, and are good for the API server's
        _require_audience(audiences_of(presented.claims, checks), audiences, checks)
    if jwks.strip():
        try:
            keys = public_keys(jwks)
        except UnusableKeyError as error:
            checks.fail("reach", "keys_unavailable", "The cluster's keys are not available", presented=str(error))
        verified_payload(token, keys, checks=checks)


def require_unexpired(presented: Unverified, given: Given) -> None:
    """Check that the token has not ended, as far as it says when it ends."""
    exp = numeric_date(presented.claims.get("exp"))
    if exp is not None:
        given.checks.compare(
            given.now < exp * 1000,
            "token_expired",
            "The token has expired",
            expected={"now": given.now // 1000},
            presented=exp,
        )


def _require_audience(named: Any, audiences: tuple[str, ...], checks: Checks) -> None:
    named = named if isinstance(named, list | tuple) else []
    checks.compare(
        any(audience in named for audience in audiences),
        "audience_mismatch",
        "The token is meant for another audience",
        expected=list(audiences),
        presented=[str(audience)[:300] for audience in named[:10]],
    )


async def _review(base: str, audiences: tuple[str, ...], token: str, reviewer: Reviewer, given: Given) -> _Review:
    """The review of the token, from the API server, or from memory where it was refused a moment ago."""
    url, asking = base + REVIEWS, given.asking
    if asking is None:
        return await _asked(url, token, audiences, reviewer, given)
    parts = [url, reviewer.ca, reviewer.token.reveal(), audiences, token]
    key = hashlib.sha256(json.dumps(parts).encode()).digest()
    async with asking.turn(given.address, given.now):
        kept: _Review | None = asking.refused(key, given.now)
        if kept is not None:
            return kept
        review = await _asked(url, token, audiences, reviewer, given)
        if _is_refused(reviewer, review):
            asking.note_refused(key, review, given.now, given.address)
        return review


def _is_refused(reviewer: Reviewer, review: _Review) -> bool:
    """Whether it is the token that the API server refused, and not the reviewer, nor an outage."""
    if review.status not in (200, 201):
        return reviewer.whose == "workload" and review.status == 401
    return ruling(review.words) != "outage" if review.words else not review.is_authenticated


async def _asked(url: str, token: str, audiences: tuple[str, ...], reviewer: Reviewer, given: Given) -> _Review:
    spec = {"token": token} | ({"audiences": audiences} if audiences else {})
    body = json.dumps({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": spec}).encode()
    headers = {"content-type": "application/json", "authorization": f"Bearer {reviewer.token.reveal()}"}
    try:
        answer = await given.outbound.fetch("POST", url, headers=headers, body=body, ca=reviewer.ca)
    except OutboundError as error:
        given.checks.fail(
            "reach", "cluster_unreachable", "The Kubernetes API server could not be asked", presented=str(error)
        )
    parsed = _object_in(answer)
    status = parsed.get("status")
    status = status if isinstance(status, dict) else {}

    def shown(text: Any) -> str:
        return str(text or "").replace(token, "***").replace(reviewer.token.reveal(), "***")[:300]

    return _Review(
        answer.status,
        shown(parsed.get("message")),
        shown(status.get("error")),
        status.get("authenticated") is True,
        status.get("audiences"),
        status.get("user"),
    )


def _judge(audiences: tuple[str, ...], reviewer: Reviewer, review: _Review, given: Given) -> None:
    """Check what the API server says of the token. Its words tell a bad token from an outage."""
    checks, words = given.checks, review.words
    if review.status not in (200, 201):
        _refuse_review(reviewer, review, given)
    elif words:
        match ruling(words):
            case "audience":
                text = "The token is meant for another audience"
                expected = list(audiences) or None
                checks.fail("compare", "audience_mismatch", text, expected=expected, presented={"words": words})
            case "expired":
                checks.fail("compare", "token_expired", "The token has expired", presented=words)
            case "gone":
                text = "The token's service account, or what the token is bound to, is not there any more"
                checks.fail("compare", "account_gone", text, presented=words)
            case "invalidated":
                text = "The token was invalidated: its service account, pod or secret is being deleted or is gone"
                checks.fail("compare", "token_invalidated", text, presented=words)
            case "outage":
                text = "The Kubernetes API server could not review the token"
                checks.fail("reach", "review_error", text, presented=words)
            case "refused":
                pass
    checks.prove(
        review.is_authenticated and not words,
        "not_authenticated",
        "The Kubernetes API server does not accept the token",
        presented=words or None,
    )
    if audiences:
        # An API server that does not know audiences answers none, and then it has not looked at ours.
        _require_audience(review.audiences, audiences, checks)


def _refuse_review(reviewer: Reviewer, review: _Review, given: Given) -> None:
    """Say whose token the API server did not let ask, and whether it has expired."""
    checks, whose = given.checks, _NAMED[reviewer.whose]
    end = _expiry(reviewer.token.reveal())
    has_expired = None if end is None else given.now >= end * 1000
    text = "The Kubernetes API server refused to review the token"
    if review.status == 401:
        text = f"The Kubernetes API server refused {whose}" + (": it has expired" if has_expired else "")
    elif review.status == 403:
        text = (
            f"The Kubernetes API server does not let {whose} review tokens (bind system:auth-delegator to its account)"
        )
    presented = {"status": review.status, "message": review.message, "token": reviewer.whose, "hasExpired": has_expired}
    checks.fail("form", "review_refused", text, expected=201, presented=presented)


def _expiry(token: str) -> float | None:
    """When a token says that it ends, in seconds; None where it does not say."""
    try:
        return numeric_date(decode_unverified(token, Checks()).claims.get("exp"))
    except Denied:
        return None


async def labels_of(base: str, namespace: str, reviewer: Reviewer, given: Given) -> Mapping[str, Any] | None:
    """The labels of a namespace, as the API server at `base` shows them to the reviewer; None where it is gone."""
    headers = {"authorization": f"Bearer {reviewer.token.reveal()}"}
    url = f"{base}/api/v1/namespaces/{quote(namespace, safe='')}"
    try:
        answer = await given.outbound.fetch("GET", url, headers=headers, ca=reviewer.ca)
    except OutboundError as error:
        given.checks.fail(
            "reach", "cluster_unreachable", "The Kubernetes API server could not be asked", presented=str(error)
        )
    given.checks.reach(
        answer.status in (200, 404),
        "namespace_unreadable",
        f"The Kubernetes API server does not show {_NAMED[reviewer.whose]} the namespace",
        presented={"status": answer.status},
    )
    about = _object_in(answer).get("metadata") if answer.status == 200 else None
    if not isinstance(about, dict):
        return None
    labels = about.get("labels")
    return labels if isinstance(labels, dict) else {}


def _object_in(answer: OutboundAnswer) -> dict[str, Any]:
    try:
        parsed = strict_json(answer.body)
    except ValueError:
        parsed = None
    return parsed if isinstance(parsed, dict) else {}
