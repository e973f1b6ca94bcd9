"""Azure Auth: the access token of a managed identity or another service principal, for a configured resource."""

import re
from collections.abc import Sequence
from typing import Annotated

import msgspec

from watchword.domain.authentication.jose import decode_unverified, verify_jws
from watchword.domain.authentication.proposals import added, advice, replaced
from watchword.methods.base import (
    JWT_EXAMPLE,
    LIST_HELP,
    TRUST,
    WHO,
    AuthMethod,
    Claims,
    Given,
    Guide,
    IdentityId,
    Operator,
    OutboundError,
    Schema,
    Suggested,
    Text,
    TextList,
    Verified,
    audience_of,
    comma_list,
    issue,
    normal_list,
    open_unless,
    proof,
    said,
    text_of,
)

KEYS = "https://{host}/{tenant}/discovery/keys"
_TENANT = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII)
_TENANT_HELP = (
    "The id of the tenant, a UUID, in any case. A domain name (contoso.onmicrosoft.com) and `common` are none: Entra "
    "ID shows the id on the tenant's overview page."
)
_CLOUD_HELP = (
    "The cloud of the tenant, by which its authority and issuers are known: public, us-government, china, or one that "
    "the operator names in WATCHWORD_AZURE_CLOUDS."
)


class Config(Schema, frozen=True, kw_only=True):
    """The tenant whose service principals may log in."""

    tenant_id: Annotated[
        Text, said("Tenant id", _TENANT_HELP, example="3b1f8d0e-2f4c-4f43-9c0e-6a7d51e9b2c4", group=TRUST)
    ]
    resource: Annotated[
        Text,
        said(
            "Resource",
            "For whom the tokens are made: the audience that the workload asks Entra ID for.",
            danger="A service of Azure itself, such as https://management.azure.com/: whoever gets such a token for "
            "another purpose can log in with it. An application of your own is better.",
            example="api://watchword",
            group=WHO,
        ),
    ]
    allowed_service_principal_ids: Annotated[
        TextList,
        said(
            "Service principals",
            "The object ids of the managed identities and service principals that may log in.",
            danger="Empty: every application and managed identity of the tenant logs in.",
            example="7c9e6679-7425-40de-944b-e07fc1f90ae7",
            group=WHO,
            also=LIST_HELP,
        ),
    ] = ""
    cloud: Annotated[
        str, msgspec.Meta(max_length=40), said("Cloud", _CLOUD_HELP, example="public", group=TRUST, is_folded=True)
    ] = "public"


class Login(Schema, frozen=True, kw_only=True):
    """The body of a login."""

    identity_id: IdentityId
    jwt: Annotated[
        Text,
        proof(
            "Access token",
            "The one that Entra ID made for the resource above; on a machine of Azure its metadata service has it.",
            example=JWT_EXAMPLE,
            lines=True,
        ),
    ]


def check(config: Config, operator: Operator) -> Config:
    """The configuration as it is stored: trimmed, the list normalised.

    An empty tenant is stored, as at the reference, and nobody logs in.
    """
    if config.cloud not in operator.azure_clouds:
        raise issue("cloud", f"must be one of {', '.join(operator.azure_clouds)}")
    tenant = config.tenant_id.strip()
    if tenant and not _TENANT.fullmatch(tenant.lower()):
        raise issue(
            "tenantId", "must be the id of a tenant, such as 8f6c1d2e-3a44-4b0f-9c55-0d5b7f1e2a66: not a domain name"
        )
    return msgspec.structs.replace(
        config,
        tenant_id=tenant,
        resource=config.resource.strip(),
        allowed_service_principal_ids=normal_list(config.allowed_service_principal_ids),
    )


async def verify(config: Config, login: Login, given: Given) -> Verified:
    """Check that the token is from the tenant, for the resource, and of an allowed service principal."""
    token, checks, tenant = login.jwt.strip(), given.checks, config.tenant_id.lower()
    # Infisical stores an empty tenant or resource; nothing can be proved against either.
    checks.reach(
        bool(_TENANT.fullmatch(tenant)), "tenant_unusable", "The configuration names no tenant", presented=tenant[:64]
    )
    checks.reach(bool(config.resource), "resource_unset", "The configuration names no resource")
    presented = decode_unverified(token, checks)
    cloud = given.operator.azure_clouds.get(config.cloud)
    checks.reach(
        cloud is not None,
        "cloud_unknown",
        "The configuration names a cloud that this server does not know",
        expected=list(given.operator.azure_clouds),
        presented=config.cloud,
    )
    assert cloud is not None
    hosts, first = cloud.authorities, cloud.issuer
    try:
        keys = await given.outbound.jwks(KEYS.format(host=hosts[0], tenant=tenant), presented.kid)
    except OutboundError as error:
        checks.fail("reach", "keys_unavailable", "The tenant's keys are not available", presented=str(error))
    # Both versions of tokens spell the tenant in their issuer, so that a token of another tenant, signed with the same
    # keys, is from another issuer.
    issuers = (f"https://{first}/{tenant}/", *(f"https://{host}/{tenant}/v2.0" for host in hosts))
    issuer = presented.claims.get("iss")
    claims = verify_jws(
        token,
        keys,
        checks=checks,
        now=given.now,
        leeway=given.operator.leeway,
        algorithms=frozenset({"RS256"}),
        issuer=issuer if issuer in issuers else issuers[0],
        audiences=(config.resource, config.resource.removesuffix("/")),
    )
    tid, oid = claims.get("tid"), claims.get("oid")
    checks.compare(
        _same(tid, (tenant,)),
        "tenant_mismatch",
        "The token is from another tenant",
        expected=tenant,
        presented=str(tid)[:300],
    )
    allowed = comma_list(config.allowed_service_principal_ids)
    if allowed:
        checks.compare(
            _same(oid, allowed),
            "service_principal_not_allowed",
            f"The service principal {str(oid)[:64]} is not allowed",
            expected=list(allowed),
            presented=str(oid)[:300],
        )
    return Verified(audit={"tenantId": tenant, "servicePrincipalId": str(oid)[:300]})


def _same(value: object, ids: Sequence[str]) -> bool:
    """Whether a claim is one of these ids, which are UUIDs: their case says nothing (RFC 9562, section 4)."""
    return isinstance(value, str) and value.lower() in (one.lower() for one in ids)


def suggested(claims: Claims) -> Suggested | None:
    """The settings for an access token of Entra ID."""
    issuer = text_of(claims, "iss")
    if not re.match(r"https://(sts\.windows\.net|sts\.chinacloudapi\.cn|login\.microsoftonline\.)", issuer):
        return None
    return Suggested(
        settings={
            "tenantId": text_of(claims, "tid"),
            "resource": audience_of(claims),
            "allowedServicePrincipalIds": text_of(claims, "oid"),
        }
    )


METHOD = AuthMethod(
    slug="azure-auth",
    wrapper="identityAzureAuth",
    title="Azure Auth",
    place="Azure",
    where="managed identity",
    icon="cloud",
    guide=Guide(
        summary=(
            "service principals of the tenant {tenantId} log in",
            "those with the id {allowedServicePrincipalIds}",
            "with a token made for {resource}",
        ),
        obtain="""JWT=$(curl -fsS -H Metadata:true -G http://169.254.169.254/metadata/identity/oauth2/token \\
  -d api-version=2018-02-01 --data-urlencode "resource={resource}" | jq -r .access_token)""",
        variables=(("INFISICAL_AZURE_AUTH_IDENTITY_ID", "{identity}"),),
        mistakes=(
            "The application id is entered as service principal: its object id is needed, oid in the token.",
            "The resource differs by a slash at its end: compare it with aud in the token.",
            "The machine has no managed identity, or several: then the request must name one by client_id.",
        ),
        fills=suggested,
    ),
    config=Config,
    login=Login,
    verify=verify,
    check_here=check,
    risks=open_unless("allowedServicePrincipalIds", whom="every application and managed identity of the tenant"),
    proposals=(
        ("tenant_mismatch", replaced("tenantId")),
        ("audience_mismatch", replaced("resource")),
        ("issuer_mismatch", advice("The token is of another tenant or cloud: compare its iss with tenantId")),
        ("cloud_unknown", advice("The operator names clouds in WATCHWORD_AZURE_CLOUDS: or name another as cloud")),
        ("service_principal_not_allowed", added("allowedServicePrincipalIds")),
    ),
)
