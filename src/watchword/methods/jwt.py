"""JWT Auth: a token signed with a key that is pasted, or published at a URL; for issuers without OpenID discovery."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

import msgspec

from watchword.domain.authentication.claims import (
    claims_to_keep,
    require_audiences,
    require_claims,
    require_subject,
)
from watchword.domain.authentication.jose import decode_unverified, verify_jws
from watchword.domain.authentication.proposals import (
    added_claim,
    added_pattern,
    replaced,
    replaced_pattern,
    without_claim,
)
from watchword.domain.authentication.public_keys import Key, UnusableKeyError, key_from_pem
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

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=255)]
Pem = Annotated[str, msgspec.Meta(max_length=16_384)]


class Config(Schema, frozen=True, kw_only=True):
    """Where the keys are, and what the tokens must say.

    With no issuer, subject, audience and claim bound, every token of a key's holder logs in, as with Infisical: the
    key is then the whole policy.
    """

    configuration_type: Annotated[
        Literal["jwks", "static"],
        said(
            "Where the keys are",
            "`jwks`: at a URL, as a JSON Web Key Set. `static`: they are entered here.",
            example="jwks",
            group=TRUST,
        ),
    ]
    jwks_url: Annotated[
        Text,
        said(
            "URL of the keys",
            "For `jwks`: where the issuer publishes its JSON Web Key Set.",
            danger="An http address: whoever stands between can answer with keys of their own.",
            example="https://issuer.example.com/.well-known/jwks.json",
            group=TRUST,
        ),
    ] = ""
    jwks_ca_cert: Annotated[
        Text,
        said(
            "Authority of that server's certificate",
            "PEM; empty: the system's authorities.",
            example="-----BEGIN CERTIFICATE-----",
            group=TRUST,
            is_folded=True,
            lines=True,
        ),
    ] = ""
    public_keys: Annotated[
        tuple[Pem, ...],
        msgspec.Meta(max_length=10),
        said("Public keys", "For `static`: each in PEM.", example="-----BEGIN PUBLIC KEY-----", group=TRUST),
    ] = ()
    bound_issuer: Annotated[
        Text,
        said(
            "Issuer",
            "The `iss` of the tokens, to the letter. Empty: any.",
            example="https://issuer.example.com",
            group=WHO,
        ),
    ] = ""
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
        dict[Name, PatternList],
        msgspec.Meta(max_length=100),
        said(
            "Claims",
            "Other claims that the token must have, each with the values of which it must have one.",
            example="team",
            group=WHO,
            also=f"{LIST_HELP} {PATTERN_HELP}",
        ),
    ]
    bound_subject: Annotated[
        Text,
        said(
            "Subject",
            "The `sub` of the token; a pattern, with `*` for any characters but a slash. Empty: any.",
            danger="Empty, with no claims: everybody for whom a holder of the key signs a token logs in.",
            example="deploy-bot",
            group=WHO,
        ),
    ] = ""
    claim_metadata_mapping: Annotated[
        Annotated[dict[Name, Name], msgspec.Meta(max_length=100)] | None,
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
        Text, proof("Token", "A JSON Web Token that a holder of the key signed.", example=JWT_EXAMPLE, lines=True)
    ]


def check(config: Config) -> Config:
    """Refuse keys from two places or none, and keys that cannot be read; lists are normalised."""
    url = config.jwks_url.strip()
    if config.configuration_type == "jwks":
        if not is_web_url(url):
            raise issue("jwksUrl", "The address of the JSON Web Key Set is required: an absolute URL")
        if config.public_keys:
            raise issue("publicKeys", "Send no public keys (an empty list) together with a JSON Web Key Set")
    else:
        if url:
            raise issue("jwksUrl", "Send no address (an empty text) together with public keys")
        if not config.public_keys:
            raise issue("publicKeys", "At least one public key is required")
        try:
            _ = [key_from_pem(text) for text in config.public_keys]
        except UnusableKeyError as error:
            raise issue("publicKeys", f"A public key cannot be used: {error}") from error
    require_patterns("boundSubject", (config.bound_subject,))
    require_patterns("boundAudiences", split_patterns(config.bound_audiences))
    bound = {path: split_patterns(patterns) for path, patterns in config.bound_claims.items()}
    for path, patterns in bound.items():
        require_patterns(("boundClaims", path), patterns)
    require_patterns("boundClaims", [pattern for patterns in bound.values() for pattern in patterns])
    require_certificates("jwksCaCert", config.jwks_ca_cert)
    return msgspec.structs.replace(
        config,
        jwks_url=url,
        bound_audiences=normal_patterns(config.bound_audiences),
        bound_claims={path: normal_patterns(patterns) for path, patterns in config.bound_claims.items()},
    )


async def verify(config: Config, login: Login, given: Given) -> Verified:
    """Check that one of the keys signed the token, and that it says what the configuration demands."""
    token, checks = login.jwt.strip(), given.checks
    presented = decode_unverified(token, checks)
    claims = verify_jws(
        token, await _keys(config, presented.kid, given), checks=checks, now=given.now, leeway=given.operator.leeway
    )
    if config.bound_issuer:
        issuer = claims.get("iss")
        checks.compare(
            issuer == config.bound_issuer,
            "issuer_mismatch",
            "The token is from another issuer",
            expected=config.bound_issuer,
            presented=str(issuer)[:300],
            status=403,
        )
    require_subject(claims, config.bound_subject, checks)
    require_audiences(claims, config.bound_audiences, checks)
    require_claims(claims, config.bound_claims, checks)
    return Verified(
        claims={"jwt": {"claims": claims_to_keep(claims, config.claim_metadata_mapping)}},
        audit={"issuer": str(claims.get("iss"))[:300], "subject": str(claims.get("sub"))[:300]},
    )


async def _keys(config: Config, kid: str | None, given: Given) -> Sequence[Mapping[str, Any] | Key]:
    if config.configuration_type == "static":
        return [key_from_pem(text) for text in config.public_keys]
    try:
        return await given.outbound.jwks(config.jwks_url, kid, ca=config.jwks_ca_cert)
    except OutboundError as error:
        given.checks.fail("reach", "keys_unavailable", "The issuer's keys are not available", presented=str(error))


def suggested(claims: Claims) -> Suggested | None:
    """The settings for a token of an issuer without an address."""
    issuer = text_of(claims, "iss")
    if is_web_url(issuer) or not (issuer or text_of(claims, "sub")):
        return None
    settings = {"boundIssuer": issuer, "boundAudiences": audience_of(claims), "boundSubject": text_of(claims, "sub")}
    return Suggested(settings=settings, notes=("Its key is still to be entered: a token does not hold it.",))


METHOD = AuthMethod(
    slug="jwt-auth",
    wrapper="identityJwtAuth",
    title="JWT Auth",
    place="Signs its own tokens",
    where="JWT",
    icon="signature",
    guide=Guide(
        summary=(
            ("tokens signed by the keys at {jwksUrl} log in", "tokens signed by the keys entered here log in"),
            "of the issuer {boundIssuer}",
            "with the subject {boundSubject}",
            "with {boundClaims}",
            "made for {boundAudiences}",
        ),
        obtain="read -rs JWT   # paste the token: nothing is echoed",
        mistakes=(
            "The token has no kid, or one that no key has: name the keys alike.",
            "Its exp is past, or its nbf is to come: compare the clocks.",
            "The algorithm is not one of the key's: RS256 is for RSA, ES256 for P-256, EdDSA for Ed25519.",
        ),
        fills=suggested,
        is_general=True,
    ),
    config=Config,
    login=Login,
    verify=verify,
    check=check,
    audience="boundAudiences",
    claims_under="jwt",
    risks=open_unless(
        "boundSubject", "boundClaims", globs=True, whom="everybody for whom a holder of the key signs a token"
    ),
    proposals=(
        ("issuer_mismatch", replaced("boundIssuer")),
        ("subject_mismatch", replaced_pattern("boundSubject")),
        ("audience_mismatch", added_pattern("boundAudiences")),
        ("claim_mismatch", added_claim("boundClaims")),
        ("claim_missing", without_claim("boundClaims")),
    ),
)
