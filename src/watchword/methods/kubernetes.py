"""Kubernetes Auth: a service account's token, shown to the API server that issued it (TokenReview).

For clusters that cannot be reached, `tokenReviewMode: jwks` verifies the token here, against the keys the cluster
publishes. Such a check cannot see that a pod or a service account is gone: a token then lives until its `exp`.
"""

import json
import re
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

import msgspec

from watchword.domain.authentication.claims import require_match
from watchword.domain.authentication.jose import decode_unverified, numeric_date, verify_jws
from watchword.domain.authentication.proposals import added_pattern, replaced
from watchword.domain.authentication.public_keys import UnusableKeyError, public_keys, strict_json
from watchword.domain.errors import Denied
from watchword.domain.urls import MAX_URL, is_web_url
from watchword.methods.base import (
    AuthMethod,
    Checks,
    Given,
    OutboundError,
    PatternList,
    Schema,
    Secret,
    Text,
    Verified,
    issue,
    open_unless,
    require_certificates,
    require_pattern_lists,
)

REVIEWS = "/apis/authentication.k8s.io/v1/tokenreviews"
_ACCOUNT = re.compile(
    r"system:serviceaccount:([a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?):([a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?)", re.ASCII
)
_TOKEN = re.compile(r"[\x21-\x7e]{1,16384}", re.ASCII)  # goes into a header


class Config(Schema, frozen=True, kw_only=True):
    """How the cluster is asked, and which service accounts may log in."""

    kubernetes_host: Annotated[str, msgspec.Meta(max_length=255)] | None = None
    allowed_namespaces: PatternList
    allowed_names: PatternList
    allowed_audience: Text
    ca_cert: Text = ""
    token_reviewer_jwt: Secret | None = None  # none: the client's own token asks for its own review
    token_review_mode: Literal["api", "jwks"] = "api"  # noqa: S105
    jwks_issuer: Annotated[str, msgspec.Meta(max_length=MAX_URL)] = ""  # jwks: the `iss` of the cluster's tokens
    gateway_id: None = None  # there are no gateways: clients send and read null
    gateway_pool_id: None = None
    verify_tls_certificate: bool = True  # only true: what an unproved server says of a token would let anybody in
    jwks: Text = ""  # jwks: the cluster's keys; empty: found by discovery at the issuer


class Login(Schema, frozen=True, kw_only=True):
    """The body of a login."""

    identity_id: Text
    jwt: Text


def check(config: Config) -> Config:
    """The configuration as it is stored: trimmed, and complete for its mode."""
    host, is_verified_here = (config.kubernetes_host or "").strip(), _verified_here(config)
    if config.token_reviewer_jwt is not None and not config.token_reviewer_jwt:
        raise issue(
            "tokenReviewerJwt", "The reviewer token must not be empty: leave it out to have each token review itself"
        )
    if not config.verify_tls_certificate:
        raise issue("verifyTlsCertificate", "must be true: give the CA of the API server's certificate in caCert")
    require_pattern_lists(allowedNamespaces=config.allowed_namespaces, allowedNames=config.allowed_names)
    if host and not is_web_url(host if "://" in host else f"https://{host}"):
        raise issue("kubernetesHost", "must be the URL of the API server, such as https://10.0.0.1:6443")
    require_certificates("caCert", config.ca_cert)
    if not is_verified_here and not host:
        raise issue("kubernetesHost", "The address of the Kubernetes API server is required")
    if is_verified_here:
        if not is_web_url(config.jwks_issuer):
            raise issue("jwksIssuer", "The issuer of the cluster's tokens is required: a URL, as in the token's iss")
        if not config.allowed_audience.strip():  # else a token made for anybody would do
            raise issue("allowedAudience", "An audience is required when tokens are verified here")
        try:
            _ = public_keys(config.jwks) if config.jwks.strip() else ()
        except UnusableKeyError as error:
            raise issue("jwks", str(error)) from error
    return msgspec.structs.replace(config, kubernetes_host=host or None)


async def verify(config: Config, login: Login, given: Given) -> Verified:
    """Check that the namespace and name that the cluster answered are allowed."""
    token, checks = login.jwt.strip(), given.checks
    checks.form(bool(_TOKEN.fullmatch(token)), "token_malformed", "The token is not a service account token")
    username = await (_read if _verified_here(config) else _reviewed)(config, token, given)
    account = _ACCOUNT.fullmatch(username) if isinstance(username, str) else None
    if account is None:
        checks.fail(
            "form", "not_a_service_account", "The token is not of a service account", presented=str(username)[:300]
        )
    namespace, name = account.groups()
    require_match(namespace, config.allowed_namespaces, "namespace", "The service account's namespace", checks)
    require_match(name, config.allowed_names, "name", "The service account's name", checks)
    facts = {"namespace": namespace, "name": name}
    return Verified(claims={"kubernetes": facts}, audit=facts)


def _verified_here(config: Config) -> bool:
    return config.token_review_mode == "jwks"  # noqa: S105


async def _reviewed(config: Config, token: str, given: Given) -> Any:
    """The user name in the API server's answer. Nothing is read from the token: it may say anything."""
    checks, audience = given.checks, config.allowed_audience.strip()
    reviewer = config.token_reviewer_jwt.reveal().strip() if config.token_reviewer_jwt else token
    spec = {"token": token} | ({"audiences": [audience]} if audience else {})
    body = json.dumps({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": spec}).encode()
    headers = {"content-type": "application/json", "authorization": f"Bearer {reviewer}"}
    try:
        answer = await given.outbound.fetch("POST", _url(config), headers=headers, body=body, ca=config.ca_cert)
    except OutboundError as error:
        checks.fail(
            "reach", "cluster_unreachable", "The Kubernetes API server could not be asked", presented=str(error)
        )
    try:
        parsed = strict_json(answer.body)
    except ValueError:
        parsed = None
    parsed = parsed if isinstance(parsed, dict) else {}
    message = str(parsed.get("message", ""))[:300].replace(token, "***")
    checks.form(
        answer.status in (200, 201),
        "review_refused",
        "The Kubernetes API server refused to review the token",
        expected=201,
        presented={"status": answer.status, "message": message},
    )
    status = parsed.get("status")
    status = status if isinstance(status, dict) else {}
    fault = str(status.get("error") or "")[:300].replace(token, "***")
    checks.form(
        not fault, "review_error", "The Kubernetes API server could not review the token", presented=fault or None
    )
    checks.prove(
        status.get("authenticated") is True, "not_authenticated", "The Kubernetes API server does not accept the token"
    )
    if audience:
        # An API server that does not know audiences answers none, and then it has not looked at ours.
        named = status.get("audiences")
        named = named if isinstance(named, list) else []
        checks.compare(
            audience in named,
            "audience_mismatch",
            "The token is meant for another audience",
            expected=audience,
            presented=named[:10],
        )
    _require_unexpired(token, given)
    user = status.get("user")
    return user.get("username") if isinstance(user, dict) else None


def _require_unexpired(token: str, given: Given) -> None:
    """Check that a token which the cluster accepted has not ended while its answer was on the way.

    Nothing else is read from it, and one that is no JWT, or has no end, is the cluster's to judge alone.
    """
    try:
        exp = numeric_date(decode_unverified(token, Checks()).claims.get("exp"))
    except Denied:
        return
    if exp is not None:
        given.checks.compare(
            given.now < exp * 1000,
            "token_expired",
            "The token has expired",
            expected={"now": given.now // 1000},
            presented=exp,
        )


async def _read(config: Config, token: str, given: Given) -> Any:
    """The subject of a token verified with the cluster's keys."""
    checks = given.checks
    presented = decode_unverified(token, checks)
    try:
        if config.jwks.strip():
            keys = public_keys(config.jwks)
        else:
            document = await given.outbound.document(
                f"{config.jwks_issuer.rstrip('/')}/.well-known/openid-configuration", ca=config.ca_cert
            )
            checks.compare(
                document.get("issuer") == config.jwks_issuer,
                "issuer_mismatch",
                "The cluster publishes another issuer",
                expected=config.jwks_issuer,
                presented=str(document.get("issuer"))[:300],
            )
            keys = tuple(await given.outbound.jwks(str(document.get("jwks_uri")), presented.kid, ca=config.ca_cert))
    except (OutboundError, UnusableKeyError) as error:
        checks.fail("reach", "keys_unavailable", "The cluster's keys are not available", presented=str(error))
    claims = verify_jws(
        token,
        keys,
        checks=checks,
        now=given.now,
        leeway=given.operator.leeway,
        issuer=config.jwks_issuer,
        audiences=(config.allowed_audience.strip(),),
    )
    return claims.get("sub")


def _url(config: Config) -> str:
    host = config.kubernetes_host or ""
    host = host if "://" in host else f"https://{host}"
    # A path belongs to clusters behind a proxy (Rancher); a query would swallow ours.
    return urlsplit(host)._replace(query="", fragment="").geturl().rstrip("/") + REVIEWS


METHOD = AuthMethod(
    slug="kubernetes-auth",
    wrapper="identityKubernetesAuth",
    title="Kubernetes Auth",
    config=Config,
    login=Login,
    verify=verify,
    check=check,
    audience="allowedAudience",
    claims_under="kubernetes",
    by_hand="its token reviewer JWT",
    template=("kubernetesHost", "caCert", "tokenReviewerJwt"),
    template_may=("allowedAudience", "tokenReviewMode", "verifyTlsCertificate", "jwksIssuer", "jwks"),
    sends_secrets_to=("kubernetesHost", "caCert"),
    risks=open_unless("allowedNamespaces", "allowedNames", globs=True, whom="every service account of the cluster"),
    proposals=(
        ("namespace_not_allowed", added_pattern("allowedNamespaces")),
        ("name_not_allowed", added_pattern("allowedNames")),
        ("audience_mismatch", replaced("allowedAudience")),
        ("issuer_mismatch", replaced("jwksIssuer")),
    ),
)
