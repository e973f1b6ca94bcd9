"""Kubernetes Auth: a service account's token, shown to the API server that issued it (TokenReview).

For clusters that cannot be reached, `tokenReviewMode: jwks` verifies the token here, against the keys the cluster
publishes. Such a check cannot see that a pod or a service account is gone: a token then lives until its `exp`.
"""

import hashlib
import json
import re
from typing import Annotated, Any, Literal, TypeAlias
from urllib.parse import quote, urlsplit

import msgspec

from watchword.domain.authentication.claims import require_match
from watchword.domain.authentication.jose import (
    SIGNATURES,
    Unverified,
    audiences_of,
    decode_unverified,
    numeric_date,
    verified_payload,
    verify_jws,
)
from watchword.domain.authentication.kubernetes import (
    Account,
    LabelSelector,
    account_of_claims,
    account_of_review,
    authority,
    ruling,
)
from watchword.domain.authentication.proposals import added, added_pattern, advice, replaced
from watchword.domain.authentication.public_keys import UnusableKeyError, public_keys, strict_json
from watchword.domain.bounds import claim_matches
from watchword.domain.errors import Denied
from watchword.domain.lists import split_list, split_patterns
from watchword.domain.urls import MAX_URL, is_web_url
from watchword.methods.base import (
    AuthMethod,
    Checks,
    Given,
    Operator,
    OutboundAnswer,
    OutboundError,
    PatternList,
    Schema,
    Secret,
    Text,
    TextList,
    Verified,
    issue,
    open_unless,
    require_certificates,
    require_pattern_lists,
)

REVIEWS = "/apis/authentication.k8s.io/v1/tokenreviews"
DISCOVERY = "/.well-known/openid-configuration"
KEYS = "/openid/v1/jwks"
_ACCOUNT = re.compile(
    r"system:serviceaccount:([a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?):([a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?)", re.ASCII
)
_TOKEN = re.compile(r"[\x21-\x7e]{1,16384}", re.ASCII)  # goes into a header
Whose: TypeAlias = Literal["reviewer", "server", "workload"]
_NAMED: dict[Whose, str] = {
    "reviewer": "the reviewer's token (tokenReviewerJwt)",
    "server": "the reviewer's token (the one that the operator of this server keeps in a file)",
    "workload": "the workload's own token, which asks for its own review",
}


class Config(Schema, frozen=True, kw_only=True):
    """How the cluster is asked, and which service accounts may log in."""

    kubernetes_host: (
        Annotated[
            str,
            msgspec.Meta(
                max_length=255,
                description="The API server, such as https://10.0.0.1:6443. Required, but for mode jwks with an issuer "
                "that publishes its keys to everybody, or with the keys in jwks.",
            ),
        ]
        | None
    ) = None
    allowed_namespaces: PatternList
    allowed_names: PatternList
    allowed_audience: Annotated[
        TextList,
        msgspec.Meta(
            description="The audiences of which the token must name one; several are joined by commas, or an array. "
            "Empty: the API server's own, so that any token of the cluster will do."
        ),
    ]
    ca_cert: Text = ""
    # none: the client's own token asks for its own review
    token_reviewer_jwt: Annotated[
        Secret | None,
        msgspec.Meta(
            description="The token that asks the API server. Null: the workload's own token asks for its own review."
        ),
    ] = None
    token_reviewer_source: Annotated[
        Literal["config", "server"],
        msgspec.Meta(
            description="Where the reviewer's token is: `config`, in tokenReviewerJwt; `server`, in the file that the "
            "operator of the server names for this host (WATCHWORD_KUBERNETES_TOKEN_FILES), read anew for each login."
        ),
    ] = "config"  # noqa: S105
    token_review_mode: Literal["api", "jwks"] = "api"  # noqa: S105
    jwks_issuer: Annotated[
        str,
        msgspec.Meta(
            max_length=MAX_URL,
            description="The `iss` of the cluster's tokens. Required in mode jwks; in mode api a token of another "
            "issuer is refused before the API server is asked.",
        ),
    ] = ""
    gateway_id: None = None  # there are no gateways: clients send and read null
    gateway_pool_id: None = None
    verify_tls_certificate: bool = True  # only true: what an unproved server says of a token would let anybody in
    jwks: Annotated[
        Text,
        msgspec.Meta(
            description="The cluster's keys (a JSON Web Key Set). Empty: in mode jwks they are fetched, from the API "
            "server with the reviewer's token where host and token are there, else by discovery at jwksIssuer. In mode "
            "api a token that none of them signed is refused before the API server is asked."
        ),
    ] = ""
    allowed_namespace_selector: Annotated[
        LabelSelector | None,
        msgspec.Meta(
            description="A label selector of namespaces: `{matchLabels: {env: prod}, matchExpressions: [{key, "
            "operator, values}]}`. An account may log in when its namespace is selected or in allowedNamespaces. The "
            "reviewer must be allowed to get namespaces."
        ),
    ] = None


class Login(Schema, frozen=True, kw_only=True):
    """The body of a login."""

    identity_id: Text
    jwt: Text


class _Reviewer(msgspec.Struct, frozen=True):
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


def check(config: Config, operator: Operator = Operator()) -> Config:  # noqa: B008 - it is frozen
    """The configuration as it is stored: trimmed, and complete for its mode."""
    host, is_verified_here = (config.kubernetes_host or "").strip(), _verified_here(config)
    _check_reviewer(config, host, operator)
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


def _check_reviewer(config: Config, host: str, operator: Operator) -> None:
    token = config.token_reviewer_jwt
    if token is not None and not token:
        raise issue(
            "tokenReviewerJwt", "The reviewer token must not be empty: leave it out to have each token review itself"
        )
    if token is not None and not _TOKEN.fullmatch(token.reveal()):
        text = (
            "The reviewer token must be one token: printable ASCII without blanks and line feeds, not at its end either"
        )
        raise issue("tokenReviewerJwt", text)
    if config.token_reviewer_source != "server":  # noqa: S105
        return
    if token is not None:
        raise issue("tokenReviewerJwt", "Leave it out where tokenReviewerSource is server: only one of them can ask")
    if authority(host) not in operator.token_hosts:
        text = "The operator of this server keeps no token for kubernetesHost (WATCHWORD_KUBERNETES_TOKEN_FILES)"
        raise issue("tokenReviewerSource", text)
    if config.ca_cert.strip():
        text = "Leave it out where tokenReviewerSource is server: the operator's token goes to whom the operator trusts"
        raise issue("caCert", text)


async def verify(config: Config, login: Login, given: Given) -> Verified:
    """Check that the namespace and name that the cluster answered are allowed."""
    token, checks = login.jwt.strip(), given.checks
    checks.form(bool(_TOKEN.fullmatch(token)), "token_malformed", "The token is not a service account token")
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


async def _reviewer(config: Config, token: str, given: Given) -> _Reviewer:
    """Whose token asks the API server."""
    if config.token_reviewer_source == "server":  # noqa: S105
        try:
            own = await given.outbound.cluster_token(_address(config))
        except OutboundError as error:
            text = "The server's own token for the Kubernetes API server is not available"
            given.checks.fail("reach", "reviewer_unavailable", text, presented=str(error))
        return _Reviewer(own.token, "server", own.ca)
    if config.token_reviewer_jwt is not None:
        return _Reviewer(Secret(config.token_reviewer_jwt.reveal().strip()), "reviewer", config.ca_cert)
    return _Reviewer(Secret(token), "workload", config.ca_cert)


async def _reviewed(config: Config, token: str, presented: Unverified, given: Given) -> Account:
    """The account in the API server's answer. Nothing of it is read from the token: that may say anything."""
    _require_plausible(config, token, presented, given)
    reviewer = await _reviewer(config, token, given)
    review = await _review(config, token, reviewer, given)
    _judge(config, reviewer, review, given)
    _require_unexpired(presented, given)  # the answer may have been long on its way
    return account_of_review(review.user)


def _require_plausible(config: Config, token: str, presented: Unverified, given: Given) -> None:
    """Check what can be seen without the cluster, so that it is not asked about what it would refuse anyway."""
    checks, audiences = given.checks, _audiences(config)
    checks.form(
        presented.alg in SIGNATURES,
        "algorithm_refused",
        "The token's signature algorithm is not accepted",
        expected=sorted(SIGNATURES),
        presented=presented.alg[:64],
    )
    _require_unexpired(presented, given)
    if config.jwks_issuer:
        issuer = presented.claims.get("iss")
        checks.compare(
            issuer == config.jwks_issuer,
            "issuer_mismatch",
            "The token is from another issuer",
            expected=config.jwks_issuer,
            presented=str(issuer)[:300],
        )
    if audiences and "aud" in presented.claims:  # the tokens of Secrets name none, and are good for the API server's
        _require_audience(audiences_of(presented.claims, checks), audiences, checks)
    if config.jwks.strip():
        try:
            keys = public_keys(config.jwks)
        except UnusableKeyError as error:
            checks.fail("reach", "keys_unavailable", "The cluster's keys are not available", presented=str(error))
        verified_payload(token, keys, checks=checks)


def _require_audience(named: Any, audiences: tuple[str, ...], checks: Checks) -> None:
    named = named if isinstance(named, list | tuple) else []
    checks.compare(
        any(audience in named for audience in audiences),
        "audience_mismatch",
        "The token is meant for another audience",
        expected=list(audiences),
        presented=[str(audience)[:300] for audience in named[:10]],
    )


async def _review(config: Config, token: str, reviewer: _Reviewer, given: Given) -> _Review:
    """The review of the token, from the API server, or from memory where it was refused a moment ago."""
    audiences = list(_audiences(config))
    url, asking = _address(config) + REVIEWS, given.asking
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


def _is_refused(reviewer: _Reviewer, review: _Review) -> bool:
    """Whether it is the token that the API server refused, and not the reviewer, nor an outage."""
    if review.status not in (200, 201):
        return reviewer.whose == "workload" and review.status == 401
    return ruling(review.words) != "outage" if review.words else not review.is_authenticated


async def _asked(url: str, token: str, audiences: list[str], reviewer: _Reviewer, given: Given) -> _Review:
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


def _judge(config: Config, reviewer: _Reviewer, review: _Review, given: Given) -> None:
    """Check what the API server says of the token. Its words tell a bad token from an outage."""
    checks, words = given.checks, review.words
    if review.status not in (200, 201):
        _refuse_review(reviewer, review, given)
    elif words:
        match ruling(words):
            case "audience":
                text = "The token is meant for another audience"
                expected = list(_audiences(config)) or None
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
    if audiences := _audiences(config):
        # An API server that does not know audiences answers none, and then it has not looked at ours.
        _require_audience(review.audiences, audiences, checks)


def _refuse_review(reviewer: _Reviewer, review: _Review, given: Given) -> None:
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


def _require_unexpired(presented: Unverified, given: Given) -> None:
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
    headers = {"authorization": f"Bearer {reviewer.token.reveal()}"}
    url = f"{_address(config)}/api/v1/namespaces/{quote(namespace, safe='')}"
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
    labels = about.get("labels") if isinstance(about, dict) else None
    given.checks.compare(
        answer.status == 200
        and isinstance(about, dict)
        and selector.admits(labels if isinstance(labels, dict) else {}),
        "namespace_not_allowed",
        "The service account's namespace is not allowed",
        expected={"allowedNamespaces": listed, "allowedNamespaceSelector": msgspec.to_builtins(selector)},
        presented=namespace,
    )
    return None


def _object_in(answer: OutboundAnswer) -> dict[str, Any]:
    try:
        parsed = strict_json(answer.body)
    except ValueError:
        parsed = None
    return parsed if isinstance(parsed, dict) else {}


def _address(config: Config) -> str:
    host = config.kubernetes_host or ""
    host = host if "://" in host else f"https://{host}"
    # A path belongs to clusters behind a proxy (Rancher); a query would swallow ours.
    return urlsplit(host)._replace(query="", fragment="").geturl().rstrip("/")


METHOD = AuthMethod(
    slug="kubernetes-auth",
    wrapper="identityKubernetesAuth",
    title="Kubernetes Auth",
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
    risks=open_unless(
        "allowedNamespaces",
        "allowedNames",
        "allowedNamespaceSelector",
        globs=True,
        whom="every service account of the cluster",
    ),
    proposals=(
        ("namespace_not_allowed", added_pattern("allowedNamespaces")),
        ("name_not_allowed", added_pattern("allowedNames")),
        ("audience_mismatch", added("allowedAudience")),
        ("issuer_mismatch", replaced("jwksIssuer")),
        ("account_gone", advice("The workload must fetch a new token: its account or pod is another one now")),
        ("token_invalidated", advice("The workload must fetch a new token: what it was bound to is gone")),
    ),
)
