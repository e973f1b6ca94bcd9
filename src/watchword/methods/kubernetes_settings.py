"""The types of the settings of Kubernetes Auth, with what each means."""

import re
from typing import Annotated, Literal

import msgspec

from watchword.domain.authentication.kubernetes import LabelSelector, authority
from watchword.domain.urls import MAX_URL
from watchword.methods.base import (
    JWT_EXAMPLE,
    LIST_HELP,
    PATTERN_HELP,
    TRUST,
    WHO,
    Claims,
    Guide,
    Operator,
    PatternList,
    Secret,
    Suggested,
    Text,
    TextList,
    audience_of,
    issue,
    proof,
    said,
    text_of,
)

TOKEN = re.compile(r"[\x21-\x7e]{1,16384}", re.ASCII)  # goes into a header

Host = Annotated[
    str,
    msgspec.Meta(max_length=255),
    said(
        "API server",
        "Required, but for mode jwks with an issuer that publishes its keys to everybody, or with the keys entered.",
        example="https://10.0.0.1:6443",
        group=TRUST,
    ),
]
Namespaces = Annotated[
    PatternList,
    said(
        "Namespaces",
        "The namespaces whose accounts may log in. Empty: any.",
        danger="Empty, with no names of accounts: every service account of the cluster logs in.",
        example="checkout",
        group=WHO,
        also=f"{LIST_HELP} {PATTERN_HELP}",
    ),
]
Accounts = Annotated[
    PatternList,
    said(
        "Service accounts",
        "The names of the accounts that may log in. Empty: any.",
        danger="Without a namespace: whoever may make an account of that name in any namespace logs in.",
        example="deployer",
        group=WHO,
        also=f"{LIST_HELP} {PATTERN_HELP}",
    ),
]
Audiences = Annotated[
    TextList,
    said(
        "Audiences",
        "The audiences of which the token must name one.",
        danger="Empty: the API server's own, so that any token of the cluster will do, one that another service was "
        "given too.",
        example="https://watchword.example.com",
        group=WHO,
        also=LIST_HELP,
    ),
]
Authority = Annotated[
    Text,
    said(
        "Authority of the API server's certificate",
        "PEM; empty: the system's authorities.",
        example="-----BEGIN CERTIFICATE-----",
        group=TRUST,
        lines=True,
    ),
]
ReviewerToken = Annotated[
    Secret,
    said(
        "Reviewer's token",
        "The token of an account that may create token reviews. Without one, each client's token asks for its own "
        "review.",
        example="eyJhbGciOiJSUzI1NiJ9…",
        group=TRUST,
        secret=True,
        is_folded=True,
    ),
]
ReviewerSource = Annotated[
    Literal["config", "server"],
    said(
        "Where the reviewer's token is",
        "`config`: entered here. `server`: in the file that the operator of the server names for this host "
        "(WATCHWORD_KUBERNETES_TOKEN_FILES), read again for each login.",
        example="config",
        group=TRUST,
        is_folded=True,
    ),
]
Mode = Annotated[
    Literal["api", "jwks"],
    said(
        "How a token is judged",
        "`api`: the API server reviews it, and so notices deleted accounts. `jwks`: its signature is verified with the "
        "cluster's keys, and the API server is not asked.",
        danger="`jwks`: the token of a deleted account or pod is taken until it ends.",
        example="api",
        group=TRUST,
        is_folded=True,
    ),
]
Issuer = Annotated[
    str,
    msgspec.Meta(max_length=MAX_URL),
    said(
        "Issuer",
        "The `iss` of the cluster's tokens. Required in mode jwks; in mode api a token of another issuer is refused "
        "before the API server is asked.",
        example="https://kubernetes.default.svc.cluster.local",
        group=TRUST,
        is_folded=True,
    ),
]
Verify = Annotated[
    bool,
    said(
        "Verify the API server's certificate",
        "Must stay on: whoever answers decides.",
        danger="Off: whoever stands between could answer for the API server; so it is refused.",
        example="true",
        group=TRUST,
        is_folded=True,
    ),
]
Keys = Annotated[
    Text,
    said(
        "Keys of the cluster",
        "A JSON Web Key Set. Empty: in mode jwks they are fetched, from the API server with the reviewer's token where "
        "host and token are there, else by discovery at the issuer. In mode api a token that none of them signed is "
        "refused before the API server is asked.",
        example='{"keys": []}',
        group=TRUST,
        is_folded=True,
        lines=True,
    ),
]
NamespaceSelector = Annotated[
    LabelSelector | None,
    said(
        "Label selector of namespaces",
        "JSON: `{matchLabels: {env: prod}, matchExpressions: [{key, operator, values}]}`. An account may log in when "
        "its namespace is selected or in the list of namespaces. The reviewer must be allowed to get namespaces.",
        danger="Whoever may label a namespace decides who logs in.",
        example='{"matchLabels": {"env": "prod"}}',
        group=WHO,
        is_folded=True,
    ),
]

Gateway = Annotated[None, said("Gateway", "There are no gateways: always null.", example="null", group=TRUST)]
GatewayPool = Annotated[
    None, said("Gateway pool", "There are no pools of gateways: always null.", example="null", group=TRUST)
]
ServiceAccountToken = Annotated[
    Text,
    proof(
        "Service account token",
        "The pod finds it in the file that its projected volume names; a tester gets one by `kubectl create token`.",
        example=JWT_EXAMPLE,
        lines=True,
    ),
]


def suggested(claims: Claims) -> Suggested | None:
    """The settings for the token of a service account."""
    bound, account = claims.get("kubernetes.io"), text_of(claims, "sub").removeprefix("system:serviceaccount:")
    if not isinstance(bound, dict) and account == text_of(claims, "sub"):
        return None
    namespace, _, name = account.partition(":")
    audience, issuer = audience_of(claims), text_of(claims, "iss")
    notes = ["The address of the API server is still to be entered: a token does not hold it."]
    if audience == issuer or audience.startswith("https://kubernetes.default.svc"):
        notes.append(
            f"The token is made for the API server itself ({audience[:200]}): have the pod ask for a token for this "
            "server, by a projected volume with the audience below."
        )
        audience = ""
    settings = {"allowedNamespaces": namespace, "allowedNames": name, "allowedAudience": audience, "jwksIssuer": issuer}
    return Suggested(settings=settings, notes=notes)


GUIDE = Guide(
    summary=(
        (
            "service accounts of the cluster at {kubernetesHost} log in",
            "service accounts of the cluster that signs as {jwksIssuer} log in",
            "service accounts of a cluster log in",
        ),
        "of the namespace {allowedNamespaces}",
        "with the name {allowedNames}",
        "with a token made for {allowedAudience}",
    ),
    obtain="JWT=$(cat /var/run/secrets/tokens/watchword)   # a projected volume with the audience {allowedAudience}",
    variables=(("INFISICAL_KUBERNETES_IDENTITY_ID", "{identity}"),),
    mistakes=(
        "The pod's default token is sent: its audience is the API server; mount a projected one with the one above.",
        "The reviewer may not create token reviews: bind its account to system:auth-delegator.",
        "This server cannot reach the API server: then give mode jwks, the issuer and its keys.",
    ),
    fills=suggested,
)


def check_reviewer(token: Secret | None, source: str, host: str, ca_cert: str, operator: Operator) -> None:
    """Check where the reviewer's token is and what it is, as it is stored. Raises Invalid."""
    if token is not None and not token:
        raise issue(
            "tokenReviewerJwt", "The reviewer token must not be empty: leave it out to have each token review itself"
        )
    if token is not None and not TOKEN.fullmatch(token.reveal()):
        text = (
            "The reviewer token must be one token: printable ASCII without blanks and line feeds, not at its end either"
        )
        raise issue("tokenReviewerJwt", text)
    if source != "server":
        return
    if token is not None:
        raise issue("tokenReviewerJwt", "Leave it out where tokenReviewerSource is server: only one of them can ask")
    if authority(host) not in operator.token_hosts:
        text = "The operator of this server keeps no token for kubernetesHost (WATCHWORD_KUBERNETES_TOKEN_FILES)"
        raise issue("tokenReviewerSource", text)
    if ca_cert.strip():
        text = "Leave it out where tokenReviewerSource is server: the operator's token goes to whom the operator trusts"
        raise issue("caCert", text)
