"""Universal Auth: a client id and one of its client secrets."""

from typing import Annotated

import msgspec

from watchword.domain.bounds import IpRange, parse_ip_range
from watchword.domain.decode import Trimmed, checked
from watchword.methods.base import (
    EVERYWHERE,
    NETWORKS,
    WHO,
    AuthMethod,
    Given,
    Guide,
    Schema,
    TrustedIp,
    Verified,
    no_risks,
    proof,
    said,
)

SLUG = "universal-auth"


class Config(Schema, frozen=True, kw_only=True):
    """The networks from which logins are accepted. The client id is made when the method is attached."""

    client_id: Annotated[
        str,
        said(
            "Client id",
            "The name that the workload shows beside its client secret; made when the method is added.",
            example="5f0c7d2e-8a41-4d0b-9f3c-2b6e1a7d4c90",
            group=WHO,
        ),
    ] = ""
    client_secret_trusted_ips: Annotated[
        tuple[TrustedIp, ...],
        msgspec.Meta(min_length=1),
        said(
            "Networks of logins",
            "From where a client secret may log in.",
            danger="0.0.0.0/0 and ::/0 are every address: a client secret that leaked works from anywhere.",
            example="10.0.0.0/8",
            group=NETWORKS,
        ),
    ] = EVERYWHERE


class Login(Schema, frozen=True, kw_only=True):
    """The body of a login. Both fields are trimmed: files end in a newline."""

    client_id: Annotated[
        Trimmed,
        proof(
            "Client id",
            "As the identity's page shows it.",
            example="5f0c7d2e-8a41-4d0b-9f3c-2b6e1a7d4c90",
            secret=False,
        ),
    ]
    client_secret: Annotated[
        Trimmed, proof("Client secret", "One that was made for this identity.", example="9b1d…the-whole-secret")
    ]


def ranges(config: Config) -> tuple[IpRange, ...]:
    """The networks of a configuration. Raises Invalid."""
    return tuple(
        checked("clientSecretTrustedIps", parse_ip_range, ip.ip_address) for ip in config.client_secret_trusted_ips
    )


def check(config: Config) -> Config:
    """Refuse what is not a network."""
    ranges(config)
    return config


async def verify(config: Config, login: Login, given: Given) -> Verified:
    """Check that the client secret is a live one of this client id.

    The core found it by keyed hash, or did not.
    """
    del config, login
    checks, credential = given.checks, given.credential
    checks.prove(credential is not None, "client_secret_unknown", "Invalid credentials")
    assert credential is not None
    checks.compare(not credential.is_revoked, "client_secret_revoked", "Invalid credentials")
    checks.compare(
        credential.expires_at is None or given.now < credential.expires_at,
        "client_secret_expired",
        "Access denied: the client secret has expired",
        expected=f"before {credential.expires_at}",
        presented=given.now,
    )
    checks.compare(
        credential.uses_limit == 0 or credential.uses < credential.uses_limit,
        "client_secret_used_up",
        "Access denied: the client secret has no uses left",
        expected=credential.uses_limit,
        presented=credential.uses,
    )
    return Verified(credential=credential, audit={"clientSecretId": credential.id})


METHOD = AuthMethod(
    slug=SLUG,
    wrapper="identityUniversalAuth",
    title="Universal Auth",
    place="Anywhere",
    where="client id and secret",
    guide=Guide(
        summary=(
            "whoever shows its client id and one of its client secrets logs in",
            ("from {clientSecretTrustedIps}", "from any network"),
        ),
        variables=(
            ("INFISICAL_UNIVERSAL_AUTH_CLIENT_ID", "{clientId}"),
            ("INFISICAL_UNIVERSAL_AUTH_CLIENT_SECRET", ""),
        ),
        mistakes=(
            "The client id and the identity's id are two: a login takes the client id.",
            "A line feed or a quotation mark was stored with the secret: it is the secret to the letter.",
            "The secret ended, or its logins are used up: its row on the identity's page says so.",
        ),
    ),
    config=Config,
    login=Login,
    verify=verify,
    check=check,
    locate=lambda login: ("locator", login.client_id),
    secret_of=lambda login: login.client_secret,
    has_lockout=True,
    locator="clientId",
    managed=("clientId",),
    networks=("clientSecretTrustedIps",),
    networks_of=lambda settings: ranges(msgspec.convert(settings, Config)),
    by_hand="client secrets",
    oauth_secret=lambda name, secret: {"clientId": name, "clientSecret": secret},
    risks=no_risks,
)
