"""Universal Auth: a client id and one of its client secrets."""

from typing import Annotated

import msgspec

from watchword.domain.bounds import IpRange, parse_ip_range
from watchword.domain.decode import Trimmed, checked
from watchword.methods.base import AuthMethod, Given, Schema, Verified, no_risks

SLUG = "universal-auth"


class TrustedIp(Schema, frozen=True, kw_only=True):
    """A network, as an administrator writes it."""

    ip_address: Trimmed


EVERYWHERE = (TrustedIp(ip_address="0.0.0.0/0"), TrustedIp(ip_address="::/0"))  # the documented default


class Config(Schema, frozen=True, kw_only=True):
    """Networks from which logins are accepted. The client id is made when the method is attached."""

    client_id: str = ""
    client_secret_trusted_ips: Annotated[tuple[TrustedIp, ...], msgspec.Meta(min_length=1)] = EVERYWHERE


class Login(Schema, frozen=True, kw_only=True):
    """What a workload posts. Both are trimmed: files end in a newline."""

    client_id: Trimmed
    client_secret: Trimmed


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
    """The client secret must be a live one of this client id. The core found it by keyed hash, or did not."""
    del config, login
    checks, found = given.checks, given.credential
    checks.prove(found is not None, "client_secret_unknown", "Invalid credentials")
    assert found is not None
    checks.compare(not found.is_revoked, "client_secret_revoked", "Invalid credentials")
    checks.compare(
        found.expires_at is None or given.now < found.expires_at,
        "client_secret_expired",
        "Access denied: the client secret has expired",
        expected=f"before {found.expires_at}",
        presented=given.now,
    )
    checks.compare(
        found.uses_limit == 0 or found.uses < found.uses_limit,
        "client_secret_used_up",
        "Access denied: the client secret has no uses left",
        expected=found.uses_limit,
        presented=found.uses,
    )
    return Verified(credential=found, audit={"clientSecretId": found.id})


METHOD = AuthMethod(
    slug=SLUG,
    wrapper="identityUniversalAuth",
    title="Universal Auth",
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
