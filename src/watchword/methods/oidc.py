"""OIDC Auth: an ID token of any OpenID Connect issuer, its keys found by discovery.

GitHub, GitLab, CircleCI and Kubernetes are such issuers.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any
from urllib.parse import urlsplit

import msgspec

from watchword.domain.authentication.claims import (
    claims_to_keep,
    require_audiences,
    require_claims,
    require_subject,
)
from watchword.domain.authentication.jose import SIGNATURES, decode_unverified, verify_jws
from watchword.domain.authentication.proposals import (
    added_claim,
    added_pattern,
    replaced,
    replaced_pattern,
    without_claim,
)
from watchword.domain.urls import is_web_url
from watchword.methods.base import (
    JWT_EXAMPLE,
    LIST_HELP,
    MORE,
    PATTERN_HELP,
    TRUST,
    WHO,
    AuthMethod,
    Claims,
    Given,
    Guide,
    IdentityId,
    OutboundError,
    PatternList,
    Schema,
    Suggested,
    Text,
    Verified,
    audience_of,
    issue,
    normal_patterns,
    open_unless,
    proof,
    require_certificates,
    require_patterns,
    said,
    split_patterns,
    text_of,
)
from watchword.methods.oidc_presets import PRESETS

DISCOVERY = "/.well-known/openid-configuration"
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=255)]
Bound = Annotated[dict[Name, PatternList], msgspec.Meta(max_length=100)]
Mapped = Annotated[dict[Name, Name], msgspec.Meta(max_length=100)]


class Config(Schema, frozen=True, kw_only=True):
    """The issuer, and what its tokens must say."""

    oidc_discovery_url: Annotated[
        Text,
        said(
            "Discovery URL",
            "The issuer's address, below which /.well-known/openid-configuration says where its keys are.",
            danger="An http address: whoever stands between can answer with keys of their own.",
            example="https://token.actions.githubusercontent.com",
            group=TRUST,
        ),
    ]
    bound_issuer: Annotated[
        str,
        msgspec.Meta(min_length=1, max_length=2048),
        said(
            "Issuer",
            "The `iss` of its tokens, to the letter.",
            example="https://token.actions.githubusercontent.com",
            group=TRUST,
        ),
    ]
    bound_audiences: Annotated[
        PatternList,
        said(
            "Audiences",
            "For whom the token must be made: its `aud` must be one of them.",
            danger="Empty: a token that was made for another service is taken too, and that service could log in.",
            example="https://watchword.example.com",
            group=WHO,
            also=f"{LIST_HELP} {PATTERN_HELP}",
        ),
    ] = ""
    bound_claims: Annotated[
        Bound,
        said(
            "Claims",
            "Other claims that the token must have, each with the values of which it must have one.",
            danger="Names of repositories and branches alone: a name can be registered again by somebody else.",
            example="repository_id",
            group=WHO,
            also=f"{LIST_HELP} {PATTERN_HELP}",
        ),
    ]
    bound_subject: Annotated[
        Text,
        said(
            "Subject",
            "The `sub` of the token; a pattern, with `*` for any characters but a slash. Empty: any.",
            danger="Empty, with no claims: every subject of the issuer logs in, strangers too.",
            example="repo:my-org@12345/my-repo@67890:ref:refs/heads/main",
            group=WHO,
        ),
    ] = ""
    ca_cert: Annotated[
        Text,
        said(
            "Authority of the issuer's certificate",
            "PEM; empty: the system's authorities.",
            example="-----BEGIN CERTIFICATE-----",
            group=TRUST,
            is_folded=True,
            lines=True,
        ),
    ] = ""
    claim_metadata_mapping: Annotated[
        Mapped | None,
        said(
            "Claims as metadata",
            "Names for rules of permissions: under each name, the claim whose value it is.",
            example="team",
            group=MORE,
            is_folded=True,
        ),
    ] = None


class Login(Schema, frozen=True, kw_only=True):
    """The body of a login."""

    identity_id: IdentityId
    jwt: Annotated[
        Text, proof("ID token", "The token that the issuer made for the workload.", example=JWT_EXAMPLE, lines=True)
    ]


def check(config: Config) -> Config:
    """The configuration as it is stored: a URL to discover at, lists normalised."""
    if not is_web_url(config.oidc_discovery_url):
        raise issue(
            "oidcDiscoveryUrl", "The discovery URL must be an absolute URL of the issuer, such as https://gitlab.com"
        )
    require_patterns("boundSubject", (config.bound_subject,))
    require_patterns("boundAudiences", split_patterns(config.bound_audiences))
    bound = {path: split_patterns(patterns) for path, patterns in config.bound_claims.items()}
    for path, patterns in bound.items():
        require_patterns(("boundClaims", path), patterns)
    require_patterns("boundClaims", [pattern for patterns in bound.values() for pattern in patterns])
    require_certificates("caCert", config.ca_cert)
    return msgspec.structs.replace(
        config,
        bound_audiences=normal_patterns(config.bound_audiences),
        bound_claims={path: normal_patterns(patterns) for path, patterns in config.bound_claims.items()},
    )


async def verify(config: Config, login: Login, given: Given) -> Verified:
    """Check that the issuer that was discovered signed the token, and that it says what is demanded."""
    token, checks = login.jwt.strip(), given.checks
    presented = decode_unverified(token, checks)
    keys = await _keys(config, presented.kid, given)
    claims = verify_jws(
        token,
        keys,
        checks=checks,
        now=given.now,
        leeway=given.operator.leeway,
        issuer=config.bound_issuer,
        algorithms=SIGNATURES,
    )
    require_subject(claims, config.bound_subject, checks)
    require_audiences(claims, config.bound_audiences, checks)
    require_claims(claims, config.bound_claims, checks)
    return Verified(
        claims={"oidc": {"claims": claims_to_keep(claims, config.claim_metadata_mapping)}},
        audit={"issuer": config.bound_issuer, "subject": str(claims.get("sub"))[:300]},
    )


def discovery_url(text: str) -> str:
    """The URL of the discovery document of an issuer, or of itself. A query stays behind it (Azure's `?appid=`)."""
    parts = urlsplit(text)
    path = parts.path.rstrip("/").removesuffix(DISCOVERY) + DISCOVERY
    return parts._replace(path=path, fragment="").geturl()


async def _keys(config: Config, kid: str | None, given: Given) -> Sequence[Mapping[str, Any]]:
    checks = given.checks
    try:
        document = await given.outbound.document(discovery_url(config.oidc_discovery_url), ca=config.ca_cert)
        # Exactly, slash and all: whoever serves this document must call itself what the configuration calls it.
        checks.form(
            document.get("issuer") == config.bound_issuer,
            "discovery_issuer_mismatch",
            "The discovery document is of another issuer",
            expected=config.bound_issuer,
            presented=str(document.get("issuer"))[:300],
        )
        jwks_uri = document.get("jwks_uri")
        return await given.outbound.jwks(jwks_uri if isinstance(jwks_uri, str) else "", kid, ca=config.ca_cert)
    except OutboundError as error:
        checks.fail("reach", "keys_unavailable", "The issuer's keys are not available", presented=str(error))


def suggested(claims: Claims) -> Suggested | None:
    """The settings for a token of any issuer with an address."""
    issuer = text_of(claims, "iss")
    if not is_web_url(issuer):
        return None
    return Suggested(
        settings={
            "oidcDiscoveryUrl": issuer,
            "boundIssuer": issuer,
            "boundAudiences": audience_of(claims),
            "boundSubject": text_of(claims, "sub"),
        }
    )


METHOD = AuthMethod(
    slug="oidc-auth",
    wrapper="identityOidcAuth",
    title="OIDC Auth",
    place="CI, or another issuer",
    where="OpenID Connect",
    icon="git-branch",
    guide=Guide(
        summary=(
            "tokens of {boundIssuer} log in",
            "with the subject {boundSubject}",
            "with {boundClaims}",
            "made for {boundAudiences}",
        ),
        obtain="read -rs JWT   # paste the ID token: nothing is echoed",
        variables=(("INFISICAL_OIDC_AUTH_IDENTITY_ID", "{identity}"),),
        mistakes=(
            "The issuer is compared to the letter: a slash at its end counts.",
            "The audience is the issuer's default: the workload must ask for the one above.",
            "The keys cannot be fetched: this server must reach the discovery URL.",
        ),
        fills=suggested,
        is_general=True,
    ),
    config=Config,
    login=Login,
    verify=verify,
    check=check,
    audience="boundAudiences",
    claims_under="oidc",
    presets=PRESETS,
    template=("oidcDiscoveryUrl", "caCert", "boundIssuer"),
    template_may=("boundAudiences",),
    risks=open_unless("boundSubject", "boundClaims", globs=True, whom="every subject of the issuer"),
    proposals=(
        ("issuer_mismatch", replaced("boundIssuer")),
        ("subject_mismatch", replaced_pattern("boundSubject")),
        ("audience_mismatch", added_pattern("boundAudiences")),
        ("claim_mismatch", added_claim("boundClaims")),
        ("claim_missing", without_claim("boundClaims")),
    ),
)
