"""The types of the settings of Kubernetes Auth, with what each means."""

import re
from typing import Annotated, Literal

import msgspec

from watchword.domain.authentication.kubernetes import LabelSelector, authority
from watchword.domain.urls import MAX_URL
from watchword.methods.base import (
    LIST_HELP,
    PATTERN_HELP,
    Operator,
    PatternList,
    Secret,
    Text,
    TextList,
    issue,
    said,
)

TOKEN = re.compile(r"[\x21-\x7e]{1,16384}", re.ASCII)  # goes into a header

Host = Annotated[
    str,
    msgspec.Meta(max_length=255),
    said(
        "API server",
        "Required, but for mode jwks with an issuer that publishes its keys to everybody, or with the keys entered.",
        example="https://10.0.0.1:6443",
    ),
]
Namespaces = Annotated[
    PatternList,
    said(
        "Namespaces",
        "The namespaces whose accounts may log in. Empty: any.",
        example="checkout",
        also=f"{LIST_HELP} {PATTERN_HELP}",
    ),
]
Accounts = Annotated[
    PatternList,
    said(
        "Service accounts",
        "The names of the accounts that may log in. Empty: any.",
        example="deployer",
        also=f"{LIST_HELP} {PATTERN_HELP}",
    ),
]
Audiences = Annotated[
    TextList,
    said(
        "Audiences",
        "The audiences of which the token must name one. Empty: the API server's own, so that any token of the cluster "
        "will do.",
        example="https://watchword.example.com",
        also=LIST_HELP,
    ),
]
Authority = Annotated[
    Text, said("Authority of the API server's certificate", "PEM; empty: the system's authorities.", lines=True)
]
ReviewerToken = Annotated[
    Secret,
    said(
        "Reviewer's token",
        "The token of an account that may create token reviews. Without one, each client's token asks for its own "
        "review.",
        is_folded=True,
    ),
]
ReviewerSource = Annotated[
    Literal["config", "server"],
    said(
        "Where the reviewer's token is",
        "`config`: entered here. `server`: in the file that the operator of the server names for this host "
        "(WATCHWORD_KUBERNETES_TOKEN_FILES), read again for each login.",
        is_folded=True,
    ),
]
Mode = Annotated[
    Literal["api", "jwks"],
    said(
        "How a token is judged",
        "`api`: the API server reviews it, and so notices deleted accounts. `jwks`: its signature is verified with the "
        "cluster's keys, and the API server is not asked.",
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
        is_folded=True,
    ),
]
Verify = Annotated[
    bool, said("Verify the API server's certificate", "Must stay on: whoever answers decides.", is_folded=True)
]
Keys = Annotated[
    Text,
    said(
        "Keys of the cluster",
        "A JSON Web Key Set. Empty: in mode jwks they are fetched, from the API server with the reviewer's token where "
        "host and token are there, else by discovery at the issuer. In mode api a token that none of them signed is "
        "refused before the API server is asked.",
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
        is_folded=True,
    ),
]


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
