"""The types of the settings of Kubernetes Auth, with what each means."""

import re
from typing import Annotated, Literal

import msgspec

from watchword.domain.authentication.kubernetes import LabelSelector, authority
from watchword.domain.urls import MAX_URL
from watchword.methods.base import Operator, Secret, Text, TextList, issue

TOKEN = re.compile(r"[\x21-\x7e]{1,16384}", re.ASCII)  # goes into a header

Host = Annotated[
    str,
    msgspec.Meta(
        max_length=255,
        description="The API server, such as https://10.0.0.1:6443. Required, but for mode jwks with an issuer that "
        "publishes its keys to everybody, or with the keys in jwks.",
    ),
]
Audiences = Annotated[
    TextList,
    msgspec.Meta(
        description="The audiences of which the token must name one; several are joined by commas, or an array. "
        "Empty: the API server's own, so that any token of the cluster will do."
    ),
]
ReviewerSource = Annotated[
    Literal["config", "server"],
    msgspec.Meta(
        description="Where the reviewer's token is: `config`, in tokenReviewerJwt; `server`, in the file that the "
        "operator of the server names for this host (WATCHWORD_KUBERNETES_TOKEN_FILES), read again for each login."
    ),
]
Issuer = Annotated[
    str,
    msgspec.Meta(
        max_length=MAX_URL,
        description="The `iss` of the cluster's tokens. Required in mode jwks; in mode api a token of another issuer "
        "is refused before the API server is asked.",
    ),
]
Keys = Annotated[
    Text,
    msgspec.Meta(
        description="The cluster's keys (a JSON Web Key Set). Empty: in mode jwks they are fetched, from the API "
        "server with the reviewer's token where host and token are there, else by discovery at jwksIssuer. In mode "
        "api a token that none of them signed is refused before the API server is asked."
    ),
]
NamespaceSelector = Annotated[
    LabelSelector | None,
    msgspec.Meta(
        description="A label selector of namespaces: `{matchLabels: {env: prod}, matchExpressions: [{key, operator, "
        "values}]}`. An account may log in when its namespace is selected or in allowedNamespaces. The reviewer must "
        "be allowed to get namespaces."
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
