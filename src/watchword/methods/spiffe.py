"""SPIFFE Auth: a JWT-SVID, against a trust bundle that is pasted or fetched and refreshed."""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any

import msgspec

from watchword.domain.authentication.jose import SIGNATURES, decode_unverified, verify_jws
from watchword.domain.authentication.proposals import added, added_pattern, replaced
from watchword.domain.authentication.public_keys import UnusableKeyError, public_keys
from watchword.domain.bounds import claim_matches
from watchword.domain.errors import BadRequest
from watchword.domain.urls import is_web_url
from watchword.methods.base import (
    JWT_EXAMPLE,
    LIST_HELP,
    PATTERN_HELP,
    TRUST,
    WHO,
    AuthMethod,
    Claims,
    Given,
    Guide,
    IdentityId,
    Outbound,
    OutboundError,
    PatternList,
    Refresh,
    Risk,
    Schema,
    Settings,
    Suggested,
    Text,
    TextList,
    Verified,
    audience_of,
    comma_list,
    issue,
    normal_list,
    normal_patterns,
    proof,
    require_certificates,
    require_pattern_lists,
    said,
    split_patterns,
    text_of,
)

# JWT-SVID 2.2 lists these; EdDSA is not among them, by whatever name.
ALGORITHMS = SIGNATURES - {"EdDSA", "Ed25519", "Ed448"}
# Keys of X.509-SVIDs stand in the same bundle and must not sign tokens; SPIRE's discovery provider says `sig` or
# nothing.
USES = ("jwt-svid", "sig", None)
REFRESHED = "cachedBundleLastRefreshedAt"
_DOMAIN = re.compile(r"[a-z0-9._-]{1,255}", re.ASCII)
_ID = re.compile(r"spiffe://([a-z0-9._-]{1,255})((?:/[A-Za-z0-9._-]+)+)", re.ASCII)


class Static(Schema, frozen=True, kw_only=True, tag_field="profile", tag="static"):
    """The bundle itself, pasted."""

    bundle: Annotated[
        Text,
        msgspec.Meta(min_length=1),
        said(
            "Trust bundle",
            "JSON, as `spire-server bundle show -format spiffe` prints.",
            example='{"keys": []}',
            group=TRUST,
            lines=True,
        ),
    ]


class HttpsWebBundle(Schema, frozen=True, kw_only=True, tag_field="profile", tag="https_web_bundle"):
    """Where the bundle is published, with a certificate of the web or of `caCert`."""

    endpoint_url: Annotated[
        Text,
        said(
            "URL of the trust bundle",
            "An https address, which the server asks from time to time.",
            example="https://spire.example.com:8443",
            group=TRUST,
        ),
    ]
    ca_cert: Annotated[
        Text,
        said(
            "Authority of that server's certificate",
            "PEM; empty: the system's authorities.",
            example="-----BEGIN CERTIFICATE-----",
            group=TRUST,
            lines=True,
        ),
    ] = ""
    refresh_hint_seconds: Annotated[
        int,
        msgspec.Meta(ge=0, le=31_536_000),
        said(
            "Fetch again after",
            "Seconds, where the bundle itself does not say.",
            danger="A long time: a key that was withdrawn is trusted for so long.",
            example="3600",
            group=TRUST,
            is_seconds=True,
        ),
    ] = 3600


class Config(Schema, frozen=True, kw_only=True):
    """The trust domain, and which of its workloads may log in."""

    trust_domain: Annotated[
        Text, said("Trust domain", "Its name, without spiffe://.", example="example.com", group=TRUST)
    ]
    allowed_spiffe_ids: Annotated[
        PatternList,
        said(
            "SPIFFE IDs",
            "Which workloads may log in.",
            danger="A pattern of the whole trust domain: every workload of it logs in.",
            group=WHO,
            example="spiffe://example.com/ns/checkout/sa/deployer",
            also=f"{LIST_HELP} {PATTERN_HELP}",
        ),
    ]
    allowed_audiences: Annotated[
        TextList,
        said(
            "Audiences",
            "For whom the SVID must be made: its `aud` must be one of them.",
            group=WHO,
            example="https://watchword.example.com",
            also=LIST_HELP,
        ),
    ]
    trust_bundle_distribution: Annotated[
        Static | HttpsWebBundle,
        said(
            "Where the trust bundle is",
            "Entered here (`static`), or fetched and kept fresh (`https_web_bundle`).",
            example="https_web_bundle",
            group=TRUST,
        ),
    ]
    # when somebody last asked for it; no server uses an older bundle
    cached_bundle_last_refreshed_at: Annotated[
        str | None,
        said(
            "Fetched again at",
            "When somebody last asked for the bundle; no server uses an older one.",
            example="2026-01-31T10:00:00Z",
            group=TRUST,
        ),
    ] = None


class Login(Schema, frozen=True, kw_only=True):
    """The body of a login."""

    identity_id: IdentityId
    jwt: Annotated[
        Text,
        proof("JWT-SVID", "The workload API of SPIFFE makes it for an audience.", example=JWT_EXAMPLE, lines=True),
    ]


def check(config: Config) -> Config:
    """Refuse a configuration without a trust domain or without an allowed SPIFFE ID.

    An empty list allows nothing, and says so here.
    """
    bundle = config.trust_bundle_distribution
    if not _DOMAIN.fullmatch(config.trust_domain):
        raise issue(
            "trustDomain",
            "A trust domain is lower-case letters, digits, dots, dashes and underscores, without spiffe://",
        )
    if not split_patterns(config.allowed_spiffe_ids):
        raise issue(
            "allowedSpiffeIds",
            f"At least one SPIFFE ID or glob is required, such as spiffe://{config.trust_domain}/web/*",
        )
    require_pattern_lists(allowedSpiffeIds=config.allowed_spiffe_ids)
    if not comma_list(config.allowed_audiences):
        raise issue("allowedAudiences", "At least one audience is required")
    if isinstance(bundle, HttpsWebBundle):
        if not is_web_url(bundle.endpoint_url, ("https",)):
            raise issue("trustBundleDistribution", "endpointUrl must be the https URL of the bundle")
        require_certificates("trustBundleDistribution", bundle.ca_cert)
    else:
        try:
            _ = public_keys(bundle.bundle)
        except UnusableKeyError as error:
            raise issue("trustBundleDistribution", f"The bundle cannot be used: {error}") from error
    return msgspec.structs.replace(
        config,
        allowed_spiffe_ids=normal_patterns(config.allowed_spiffe_ids),
        allowed_audiences=normal_list(config.allowed_audiences),
    )


async def verify(config: Config, login: Login, given: Given) -> Verified:
    """Check that the SVID is of an allowed workload of the trust domain, and made for this server."""
    token, checks = login.jwt.strip(), given.checks
    presented = decode_unverified(token, checks)
    kind = presented.header.get("typ", "JWT")
    checks.form(
        kind in ("JWT", "JOSE"),
        "type_refused",
        "The token is not a JWT-SVID",
        expected=["JWT", "JOSE"],
        presented=str(kind)[:64],
    )
    keys = await _keys(config, presented.kid, given)
    claims = verify_jws(
        token,
        keys,
        checks=checks,
        now=given.now,
        leeway=given.operator.leeway,
        algorithms=ALGORITHMS,
        uses=USES,
        audiences=comma_list(config.allowed_audiences),
    )
    subject = claims.get("sub")
    parts = _ID.fullmatch(subject) if isinstance(subject, str) and len(subject) <= 2048 else None
    if parts is None or any(segment in (".", "..") for segment in parts[2].split("/")):
        checks.fail(
            "form", "spiffe_id_malformed", "The token's subject is not a SPIFFE ID", presented=str(subject)[:300]
        )
    checks.compare(
        parts[1] == config.trust_domain,
        "trust_domain_mismatch",
        "The token is from another trust domain",
        expected=config.trust_domain,
        presented=parts[1],
    )
    allowed = split_patterns(config.allowed_spiffe_ids)
    checks.compare(
        claim_matches(subject, allowed),
        "spiffe_id_not_allowed",
        "The SPIFFE ID is not allowed",
        expected=list(allowed),
        presented=subject,
    )
    return Verified(audit={"spiffeId": subject})


async def _keys(config: Config, kid: str | None, given: Given) -> Sequence[Mapping[str, Any]]:
    bundle = config.trust_bundle_distribution
    try:
        if isinstance(bundle, Static):
            return public_keys(bundle.bundle)
        return await given.outbound.jwks(
            bundle.endpoint_url, kid, ca=bundle.ca_cert, max_age=_max_age(config, bundle, given.now)
        )
    except (OutboundError, UnusableKeyError) as error:
        given.checks.fail("reach", "keys_unavailable", "The trust bundle is not available", presented=str(error))


def _max_age(config: Config, bundle: HttpsWebBundle, now: int) -> int:
    refreshed_at = config.cached_bundle_last_refreshed_at
    since = (
        now // 1000 - int(datetime.fromisoformat(refreshed_at).timestamp())
        if refreshed_at
        else bundle.refresh_hint_seconds
    )
    return max(0, min(bundle.refresh_hint_seconds, since))


async def refresh(config: Config, outbound: Outbound) -> None:
    """Fetch the bundle again. Raises OutboundError, BadRequest."""
    bundle = config.trust_bundle_distribution
    if isinstance(bundle, Static):
        raise BadRequest("A bundle that is pasted is not fetched: update the configuration")
    await outbound.jwks(bundle.endpoint_url, None, ca=bundle.ca_cert, max_age=0)


def risks(settings: Settings) -> Sequence[Risk]:
    """Warn of a pattern that is all of the trust domain; the list itself is never empty."""
    domain = f"spiffe://{settings.get('trustDomain')}"
    whole = [
        pattern
        for pattern in split_patterns(str(settings.get("allowedSpiffeIds", "")))
        if not pattern.removeprefix(domain).strip("*/")
    ]
    message = f"{whole[0]} does not restrict who logs in: every workload of the trust domain may" if whole else ""
    mend = "Name the workloads in allowedSpiffeIds"
    return (Risk("admits_anybody", "allowedSpiffeIds", message, mend=mend),) if whole else ()


def suggested(claims: Claims) -> Suggested | None:
    """The settings for a JWT-SVID."""
    name = text_of(claims, "sub")
    if not name.startswith("spiffe://"):
        return None
    return Suggested(
        settings={
            "trustDomain": name.removeprefix("spiffe://").partition("/")[0],
            "allowedSpiffeIds": name,
            "allowedAudiences": audience_of(claims),
        },
        notes=("Where the trust bundle is must still be entered: a token does not say it.",),
    )


METHOD = AuthMethod(
    slug="spiffe-auth",
    wrapper="identitySpiffeAuth",
    title="SPIFFE Auth",
    place="SPIFFE",
    where="JWT-SVID",
    icon="fingerprint",
    guide=Guide(
        summary=(
            "workloads of the trust domain {trustDomain} log in",
            "those called {allowedSpiffeIds}",
            "with an SVID made for {allowedAudiences}",
        ),
        obtain="""JWT=$(spire-agent api fetch jwt -audience "{allowedAudiences}" -output json |
  jq -r '.[0].svids[0].svid')""",
        mistakes=(
            "spiffe:// stands before the trust domain: it is the name alone.",
            "The SVID is made for another audience: fetch it for the one above.",
            "The trust bundle that was entered is an old one: have it fetched instead.",
        ),
        fills=suggested,
    ),
    config=Config,
    login=Login,
    verify=verify,
    check=check,
    managed=(REFRESHED,),
    refresh=Refresh(what="bundle", title="trust bundle", fetch=refresh, at=REFRESHED),
    risks=risks,
    proposals=(
        ("trust_domain_mismatch", replaced("trustDomain")),
        ("spiffe_id_not_allowed", added_pattern("allowedSpiffeIds")),
        ("audience_mismatch", added("allowedAudiences")),
    ),
)
