"""GCP Auth: a token signed by Google for an instance (`gce`), or by a service account itself (`iam`)."""

import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal
from urllib.parse import quote

import msgspec

from watchword.domain.authentication.claims import require_match
from watchword.domain.authentication.jose import decode_unverified, verify_jws
from watchword.domain.authentication.proposals import added_pattern, advice
from watchword.domain.authentication.public_keys import Key, UnusableKeyError, key_from_pem
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
    OutboundError,
    PatternList,
    Risk,
    Schema,
    Settings,
    Suggested,
    Text,
    Verified,
    normal_patterns,
    open_unless,
    proof,
    require_pattern_lists,
    said,
    split_patterns,
    text_of,
)

ISSUER = "https://accounts.google.com"
GOOGLE_KEYS = "https://www.googleapis.com/oauth2/v3/certs"
ACCOUNT_KEYS = "https://www.googleapis.com/service_accounts/v1/metadata/x509/{account}"
_DAY = 86_400
_SKEW = 300
_ACCOUNT = re.compile(r"[a-z0-9][a-z0-9._-]{0,254}@(?:[a-z0-9-]{1,63}\.){1,8}gserviceaccount\.com", re.ASCII)
_RS256 = frozenset({"RS256"})


class Config(Schema, frozen=True, kw_only=True):
    """Which service accounts, projects and zones may log in; an empty list allows any, as Infisical does."""

    type: Annotated[
        Literal["iam", "gce"],
        said(
            "Kind of token",
            "`gce`: the ID token that a virtual machine gets from its metadata server. `iam`: a token that a service "
            "account signs by the IAM credentials API.",
            example="gce",
            group=TRUST,
        ),
    ]
    allowed_service_accounts: Annotated[
        PatternList,
        said(
            "Service accounts",
            "The e-mail addresses that may log in.",
            danger="Empty: every service account of every customer of Google Cloud logs in, unless projects say which.",
            example="deploy@my-project.iam.gserviceaccount.com",
            group=WHO,
            also=f"{LIST_HELP} {PATTERN_HELP}",
        ),
    ] = ""
    allowed_projects: Annotated[
        PatternList,
        said(
            "Projects",
            "The ids of the projects that the machine may be of; for `gce` only. Empty: any.",
            danger="Empty, with no service accounts: machines of strangers log in.",
            example="my-project",
            group=WHO,
            also=f"{LIST_HELP} {PATTERN_HELP}",
        ),
    ] = ""
    allowed_zones: Annotated[
        PatternList,
        said(
            "Zones",
            "The zones that the machine may be in; for `gce` only. Empty: any.",
            example="europe-west1-b",
            group=WHO,
            also=f"{LIST_HELP} {PATTERN_HELP}",
            is_folded=True,
        ),
    ] = ""


class Login(Schema, frozen=True, kw_only=True):
    """The body of a login."""

    identity_id: IdentityId
    jwt: Annotated[
        Text,
        proof("Token", "Made for the identity's id as audience.", example=JWT_EXAMPLE, lines=True),
    ]


def check(config: Config) -> Config:
    """The configuration as it is stored: lists normalised."""
    require_pattern_lists(
        allowedServiceAccounts=config.allowed_service_accounts,
        allowedProjects=config.allowed_projects,
        allowedZones=config.allowed_zones,
    )
    return msgspec.structs.replace(
        config,
        allowed_service_accounts=normal_patterns(config.allowed_service_accounts),
        allowed_projects=normal_patterns(config.allowed_projects),
        allowed_zones=normal_patterns(config.allowed_zones),
    )


async def verify(config: Config, login: Login, given: Given) -> Verified:
    """Check that the token was made for this identity, by an allowed account, on an allowed machine."""
    token, checks = login.jwt.strip(), given.checks
    if config.type == "iam":
        account = await _signed_by_account(token, given)
    else:
        claims = await _signed_by_google(token, given)
        account = str(claims["email"])
        _require_machine(config, claims, given)
    require_match(account, config.allowed_service_accounts, "service_account", "The service account", checks)
    return Verified(audit={"type": config.type, "serviceAccount": account})


async def _signed_by_google(token: str, given: Given) -> Mapping[str, Any]:
    checks = given.checks
    presented = decode_unverified(token, checks)
    try:
        keys = await given.outbound.jwks(GOOGLE_KEYS, presented.kid)
    except OutboundError as error:
        checks.fail("reach", "keys_unavailable", "Google's keys are not available", presented=str(error))
    claims = verify_jws(
        token,
        keys,
        checks=checks,
        now=given.now,
        algorithms=_RS256,
        leeway=max(_SKEW, given.operator.leeway),
        issuer=ISSUER,
        audiences=(given.identity_id,),
        max_life=_DAY + _SKEW,
    )
    checks.form("iat" in claims, "issue_time_missing", "The token does not say when it was issued")
    email = claims.get("email")
    checks.form(
        isinstance(email, str) and bool(email),
        "email_missing",
        "The token names no service account: ask for it with format=full",
    )
    checks.form(
        claims.get("email_verified", True) is True, "email_unverified", "The token's service account is not verified"
    )
    return claims


def _require_machine(config: Config, claims: Mapping[str, Any], given: Given) -> None:
    google = claims.get("google")
    machine = google.get("compute_engine") if isinstance(google, dict) else None
    if not split_patterns(config.allowed_projects) and not split_patterns(config.allowed_zones):
        return
    # A token in the standard format says nothing of its machine: with a list to compare, nothing is not enough.
    if not isinstance(machine, dict):
        given.checks.fail(
            "form",
            "compute_engine_details_missing",
            "The token says nothing of its machine: ask for it with format=full",
        )
    checks = given.checks
    require_match(machine.get("project_id"), config.allowed_projects, "project", "The machine's project", checks)
    require_match(machine.get("zone"), config.allowed_zones, "zone", "The machine's zone", checks)


async def _signed_by_account(token: str, given: Given) -> str:
    """The service account whose own key signed the token."""
    checks = given.checks
    presented = decode_unverified(token, checks)
    account = presented.claims.get("sub")
    if not isinstance(account, str) or not _ACCOUNT.fullmatch(account):
        checks.fail(
            "form",
            "not_a_service_account",
            "The token's subject is not a service account",
            presented=str(account)[:300],
        )
    checks.form(presented.kid is not None, "key_unnamed", "The token does not name its key")
    try:
        certificates = await given.outbound.document(ACCOUNT_KEYS.format(account=quote(account, safe="")))
    except OutboundError as error:
        checks.fail("reach", "keys_unavailable", "The service account's keys are not available", presented=str(error))
    claims = verify_jws(
        token,
        _keys_named(certificates, presented.kid),
        checks=checks,
        now=given.now,
        leeway=given.operator.leeway,
        algorithms=_RS256,
        audiences=(given.identity_id,),
    )
    issuer = claims.get("iss", account)  # our clients send none; one that is sent must be the signer
    checks.compare(
        issuer == account,
        "issuer_mismatch",
        "The token is from another issuer",
        expected=account,
        presented=str(issuer)[:300],
    )
    return account


def _keys_named(certificates: Mapping[str, Any], kid: str | None) -> list[Key]:
    pem = certificates.get(kid or "")
    try:
        return [msgspec.structs.replace(key_from_pem(pem), kid=kid)] if isinstance(pem, str) else []
    except UnusableKeyError:
        return []


def risks(settings: Settings) -> Sequence[Risk]:
    """Warn of projects and zones as restrictions: anyone can start a machine in a zone.

    Projects count for machines only.
    """
    restricting = (
        ("allowedServiceAccounts", "allowedProjects") if settings.get("type") == "gce" else ("allowedServiceAccounts",)
    )
    return open_unless(*restricting, globs=True, whom="every service account of every Google Cloud customer")(settings)


def suggested(claims: Claims) -> Suggested | None:
    """The settings for a token of a machine of Google Cloud, or one that a service account signed."""
    issuer, email = text_of(claims, "iss"), text_of(claims, "email")
    own = issuer if issuer.endswith(".gserviceaccount.com") else ""
    if issuer not in ("https://accounts.google.com", "accounts.google.com") and not own:
        return None
    about = claims.get("google")
    machine: Any = about.get("compute_engine") if isinstance(about, dict) else None
    held = machine if isinstance(machine, dict) else {}
    notes = ("The token must be made for the identity's id, which is known once the identity is there.",)
    settings = {
        "type": "iam" if own else "gce",
        "allowedServiceAccounts": own or email,
        "allowedProjects": text_of(held, "project_id"),
    }
    return Suggested(settings=settings, notes=notes)


METHOD = AuthMethod(
    slug="gcp-auth",
    wrapper="identityGcpAuth",
    title="GCP Auth",
    place="Google Cloud",
    where="service account",
    icon="cloud",
    guide=Guide(
        summary=(
            ("the service accounts {allowedServiceAccounts} log in", "service accounts of Google Cloud log in"),
            "of the project {allowedProjects}",
            "in the zone {allowedZones}",
        ),
        obtain="""JWT=$(curl -fsS -H 'Metadata-Flavor: Google' -G -d audience={identity} -d format=full \\
  http://metadata/computeMetadata/v1/instance/service-accounts/default/identity)""",
        variables=(("INFISICAL_GCP_AUTH_IDENTITY_ID", "{identity}"),),
        mistakes=(
            "The audience is another: it must be the identity's id, which stands above.",
            "format=full is missing: the token then does not say of which project and zone the machine is.",
            "gce and iam are mixed up: a token that a service account signed itself is iam.",
        ),
        fills=suggested,
    ),
    config=Config,
    login=Login,
    verify=verify,
    check=check,
    risks=risks,
    proposals=(
        ("service_account_not_allowed", added_pattern("allowedServiceAccounts")),
        ("project_not_allowed", added_pattern("allowedProjects")),
        ("zone_not_allowed", added_pattern("allowedZones")),
        ("audience_mismatch", advice("The token must be made for this identity: its audience is the identity's id")),
        ("issuer_mismatch", advice("The token must be signed by Google, or by the service account that it names")),
    ),
)
