"""Kubernetes Auth: a service account's token, shown to the API server that issued it (TokenReview).

For clusters that cannot be reached, `tokenReviewMode: jwks` verifies the token here, against the keys the cluster
publishes. Such a check cannot see that a pod or a service account is gone: a token then lives until its `exp`.
"""

import re
from typing import Any
from urllib.parse import urlsplit

import msgspec

from watchword.domain.authentication.claims import require_match
from watchword.domain.authentication.jose import (
    Unverified,
    decode_unverified,
    verify_jws,
)
from watchword.domain.authentication.kubernetes import (
    Account,
    account_of_claims,
)
from watchword.domain.authentication.proposals import added, added_pattern, advice, replaced
from watchword.domain.authentication.public_keys import UnusableKeyError, public_keys
from watchword.domain.bounds import claim_matches
from watchword.domain.lists import split_list, split_patterns
from watchword.domain.urls import is_web_url
from watchword.methods import kubernetes_settings
from watchword.methods.base import (
    AuthMethod,
    Given,
    IdentityId,
    Operator,
    OutboundError,
    Schema,
    Secret,
    Verified,
    issue,
    open_unless,
    require_certificates,
    require_pattern_lists,
)
from watchword.methods.kubernetes_review import (
    REVIEWS,
    Reviewer,
    labels_of,
    require_plausible,
    require_unexpired,
    reviewed,
)
from watchword.methods.kubernetes_settings import TOKEN, check_reviewer

__all__ = ["METHOD", "REVIEWS", "Config", "Login", "check", "verify"]

DISCOVERY = "/.well-known/openid-configuration"
KEYS = "/openid/v1/jwks"
RESTRICTIONS = ("allowedNamespaces", "allowedNames", "allowedNamespaceSelector")
_ACCOUNT = re.compile(
    r"system:serviceaccount:([a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?):([a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?)", re.ASCII
)


class Config(Schema, frozen=True, kw_only=True):
    """How the cluster is asked, and which service accounts may log in."""

    kubernetes_host: kubernetes_settings.Host | None = None
    allowed_namespaces: kubernetes_settings.Namespaces
    allowed_names: kubernetes_settings.Accounts
    allowed_audience: kubernetes_settings.Audiences
    ca_cert: kubernetes_settings.Authority = ""
    token_reviewer_jwt: kubernetes_settings.ReviewerToken | None = (
        None  # none: the client's own token asks for its own review
    )
    token_reviewer_source: kubernetes_settings.ReviewerSource = "config"  # noqa: S105
    token_review_mode: kubernetes_settings.Mode = "api"  # noqa: S105
    jwks_issuer: kubernetes_settings.Issuer = ""
    gateway_id: kubernetes_settings.Gateway = None  # there are no gateways: clients send and read null
    gateway_pool_id: kubernetes_settings.GatewayPool = None
    verify_tls_certificate: kubernetes_settings.Verify = True  # only true: who answers decides
    jwks: kubernetes_settings.Keys = ""
    allowed_namespace_selector: kubernetes_settings.NamespaceSelector = None


class Login(Schema, frozen=True, kw_only=True):
    """The body of a login."""

    identity_id: IdentityId
    jwt: kubernetes_settings.ServiceAccountToken


def check(config: Config, operator: Operator = Operator()) -> Config:  # noqa: B008 - it is frozen
    """The configuration as it is stored: trimmed, and complete for its mode."""
    host, is_verified_here = (config.kubernetes_host or "").strip(), _verified_here(config)
    check_reviewer(config.token_reviewer_jwt, config.token_reviewer_source, host, config.ca_cert, operator)
    if not config.verify_tls_certificate:
        raise issue("verifyTlsCertificate", "must be true: give the CA of the API server's certificate in caCert")
    require_pattern_lists(allowedNamespaces=config.allowed_namespaces, allowedNames=config.allowed_names)
    if host and not is_web_url(host if "://" in host else f"https://{host}"):
        raise issue("kubernetesHost", "must be the URL of the API server, such as https://10.0.0.1:6443")
    require_certificates("caCert", config.ca_cert)
    if not is_verified_here and not host:
        raise issue("kubernetesHost", "The address of the Kubernetes API server is required")
    selector = config.allowed_namespace_selector
    if selector is not None:
        if selector.fault:
            raise issue("allowedNamespaceSelector", selector.fault)
        if not host or not _has_reviewer(config):
            text = "The labels of namespaces are read from kubernetesHost with the token of a reviewer: give both"
            raise issue("allowedNamespaceSelector", text)
    if is_verified_here:
        if not is_web_url(config.jwks_issuer):
            raise issue("jwksIssuer", "The issuer of the cluster's tokens is required: a URL, as in the token's iss")
        if not _audiences(config):  # else a token made for anybody would do
            raise issue("allowedAudience", "An audience is required when tokens are verified here")
    try:
        _ = public_keys(config.jwks) if config.jwks.strip() else ()
    except UnusableKeyError as error:
        raise issue("jwks", str(error)) from error
    return msgspec.structs.replace(config, kubernetes_host=host or None)


async def verify(config: Config, login: Login, given: Given) -> Verified:
    """Check that the namespace and name that the cluster answered are allowed."""
    token, checks = login.jwt.strip(), given.checks
    checks.form(bool(TOKEN.fullmatch(token)), "token_malformed", "The token is not a service account token")
    presented = decode_unverified(token, checks)
    found = await (_read if _verified_here(config) else _reviewed)(config, token, presented, given)
    username = found.username
    account = _ACCOUNT.fullmatch(username) if isinstance(username, str) else None
    if account is None:
        checks.fail(
            "form", "not_a_service_account", "The token is not of a service account", presented=str(username)[:300]
        )
    namespace, name = account.groups()
    await _require_namespace(config, namespace, token, given)
    require_match(name, config.allowed_names, "name", "The service account's name", checks)
    facts = {"namespace": namespace, "name": name}
    more = {"uid": found.uid, "podName": found.pod, "credentialId": found.credential}
    facts |= {key: text for key, text in more.items() if text}
    return Verified(claims={"kubernetes": facts}, audit=facts)


def _verified_here(config: Config) -> bool:
    return config.token_review_mode == "jwks"  # noqa: S105


def _audiences(config: Config) -> tuple[str, ...]:
    return split_list(config.allowed_audience)


def _has_reviewer(config: Config) -> bool:
    return config.token_reviewer_jwt is not None or config.token_reviewer_source == "server"  # noqa: S105


async def _reviewer(config: Config, token: str, given: Given) -> Reviewer:
    """Whose token asks the API server."""
    if config.token_reviewer_source == "server":  # noqa: S105
        try:
            own = await given.outbound.cluster_token(_address(config))
        except OutboundError as error:
            text = "The server's own token for the Kubernetes API server is not available"
            given.checks.fail("reach", "reviewer_unavailable", text, presented=str(error))
        return Reviewer(own.token, "server", own.ca)
    if config.token_reviewer_jwt is not None:
        return Reviewer(Secret(config.token_reviewer_jwt.reveal().strip()), "reviewer", config.ca_cert)
    return Reviewer(Secret(token), "workload", config.ca_cert)


async def _reviewed(config: Config, token: str, presented: Unverified, given: Given) -> Account:
    """The account in the API server's answer. Nothing of it is read from the token: that may say anything."""
    require_plausible(token, presented, _audiences(config), config.jwks_issuer, config.jwks, given)
    reviewer = await _reviewer(config, token, given)
    account = await reviewed(_address(config), _audiences(config), token, reviewer, given)
    require_unexpired(presented, given)  # the answer may have been long on its way
    return account


async def _read(config: Config, token: str, presented: Unverified, given: Given) -> Account:
    """The account of a token verified with the cluster's keys."""
    checks = given.checks
    try:
        keys = public_keys(config.jwks) if config.jwks.strip() else await _discovered(config, presented.kid, given)
    except (OutboundError, UnusableKeyError) as error:
        checks.fail("reach", "keys_unavailable", "The cluster's keys are not available", presented=str(error))
    claims = verify_jws(
        token,
        keys,
        checks=checks,
        now=given.now,
        leeway=given.operator.leeway,
        issuer=config.jwks_issuer,
        audiences=_audiences(config),
    )
    return account_of_claims(claims)


async def _discovered(config: Config, kid: str | None, given: Given) -> tuple[Any, ...]:
    """The keys that the cluster publishes: to the reviewer at the API server, else to everybody at the issuer.

    The reviewer's token goes to the host of the configuration only: never where a document says.
    """
    bearer, base, ca = None, config.jwks_issuer.rstrip("/"), config.ca_cert
    if config.kubernetes_host and _has_reviewer(config):
        reviewer = await _reviewer(config, "", given)
        bearer, base, ca = reviewer.token, _address(config), reviewer.ca
    document = await given.outbound.document(base + DISCOVERY, ca=ca, bearer=bearer)
    given.checks.compare(
        document.get("issuer") == config.jwks_issuer,
        "issuer_mismatch",
        "The cluster publishes another issuer",
        expected=config.jwks_issuer,
        presented=str(document.get("issuer"))[:300],
    )
    at = str(document.get("jwks_uri")) if bearer is None else base + KEYS
    return tuple(await given.outbound.jwks(at, kid, ca=ca, bearer=bearer))


async def _require_namespace(config: Config, namespace: str, token: str, given: Given) -> None:
    """Check that the namespace is on the list, or has the labels that are selected."""
    selector, listed = config.allowed_namespace_selector, config.allowed_namespaces
    if selector is None or claim_matches(namespace, split_patterns(listed)):
        return require_match(namespace, listed, "namespace", "The service account's namespace", given.checks)
    reviewer = await _reviewer(config, token, given)
    labels = await labels_of(_address(config), namespace, reviewer, given)
    given.checks.compare(
        labels is not None and selector.admits(labels),
        "namespace_not_allowed",
        "The service account's namespace is not allowed",
        expected={"allowedNamespaces": listed, "allowedNamespaceSelector": msgspec.to_builtins(selector)},
        presented=namespace,
    )
    return None


def _address(config: Config) -> str:
    host = config.kubernetes_host or ""
    host = host if "://" in host else f"https://{host}"
    # A path belongs to clusters behind a proxy (Rancher); a query would swallow ours.
    return urlsplit(host)._replace(query="", fragment="").geturl().rstrip("/")


METHOD = AuthMethod(
    slug="kubernetes-auth",
    wrapper="identityKubernetesAuth",
    title="Kubernetes Auth",
    place="Kubernetes",
    where="service account token",
    icon="ship-wheel",
    guide=kubernetes_settings.GUIDE,
    config=Config,
    login=Login,
    verify=verify,
    check=check,
    check_here=check,
    audience="allowedAudience",
    claims_under="kubernetes",
    by_hand="its token reviewer JWT",
    template=("kubernetesHost", "caCert", "tokenReviewerJwt"),
    template_may=(
        "allowedAudience",
        "tokenReviewMode",
        "tokenReviewerSource",
        "verifyTlsCertificate",
        "jwksIssuer",
        "jwks",
    ),
    sends_secrets_to=("kubernetesHost", "caCert"),
    risks=open_unless(*RESTRICTIONS, globs=True, whom="every service account of the cluster"),
    proposals=(
        ("namespace_not_allowed", added_pattern("allowedNamespaces")),
        ("name_not_allowed", added_pattern("allowedNames")),
        ("audience_mismatch", added("allowedAudience")),
        ("issuer_mismatch", replaced("jwksIssuer")),
        ("account_gone", advice("The workload must fetch a new token: its account or pod is another one now")),
        ("token_invalidated", advice("The workload must fetch a new token: what it was bound to is gone")),
    ),
)
