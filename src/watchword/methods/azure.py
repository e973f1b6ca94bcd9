"""Azure Auth: the access token of a managed identity or another service principal, for a configured resource."""

import re
from urllib.parse import quote

import msgspec

from watchword.domain.authentication.jose import decode_unverified, verify_jws
from watchword.methods.base import (
    AuthMethod,
    Given,
    OutboundError,
    Schema,
    Text,
    Verified,
    comma_list,
    normal_list,
    open_unless,
)

KEYS = "https://login.microsoftonline.com/{tenant}/discovery/keys"
_TENANT = re.compile(r"[0-9A-Za-z][0-9A-Za-z.-]{0,252}", re.ASCII)


class Config(Schema, frozen=True, kw_only=True):
    """The tenant whose service principals may log in."""

    tenant_id: Text
    resource: Text
    allowed_service_principal_ids: Text = ""


class Login(Schema, frozen=True, kw_only=True):
    """The body of a login."""

    identity_id: Text
    jwt: Text


def check(config: Config) -> Config:
    """The configuration as it is stored: trimmed, the list normalised."""
    return msgspec.structs.replace(
        config,
        tenant_id=config.tenant_id.strip(),
        resource=config.resource.strip(),
        allowed_service_principal_ids=normal_list(config.allowed_service_principal_ids),
    )


async def verify(config: Config, login: Login, given: Given) -> Verified:
    """Check that the token is from the tenant, for the resource, and of an allowed service principal."""
    token, checks, tenant = login.jwt.strip(), given.checks, config.tenant_id
    # The reference stores an empty tenant or resource; nothing can be proved against either.
    checks.reach(
        bool(_TENANT.fullmatch(tenant)), "tenant_unusable", "The configuration names no tenant", presented=tenant[:64]
    )
    checks.reach(bool(config.resource), "resource_unset", "The configuration names no resource")
    presented = decode_unverified(token, checks)
    try:
        keys = await given.outbound.jwks(KEYS.format(tenant=quote(tenant, safe="")), presented.kid)
    except OutboundError as error:
        checks.fail("reach", "keys_unavailable", "The tenant's keys are not available", presented=str(error))
    # Tokens of the first version come from sts.windows.net, of the second from login.microsoftonline.com. Both spell
    # the tenant, so that a token of another tenant, signed with the same keys, is from another issuer.
    issuers = (f"https://sts.windows.net/{tenant}/", f"https://login.microsoftonline.com/{tenant}/v2.0")
    issuer = presented.claims.get("iss")
    claims = verify_jws(
        token,
        keys,
        checks=checks,
        now=given.now,
        algorithms=frozenset({"RS256"}),
        issuer=issuer if issuer in issuers else issuers[0],
        audiences=(config.resource, config.resource.removesuffix("/")),
    )
    tid, oid = claims.get("tid"), claims.get("oid")
    checks.compare(
        tid == tenant, "tenant_mismatch", "The token is from another tenant", expected=tenant, presented=str(tid)[:300]
    )
    allowed = comma_list(config.allowed_service_principal_ids)
    if allowed:
        checks.compare(
            isinstance(oid, str) and oid in allowed,
            "service_principal_not_allowed",
            f"The service principal {str(oid)[:64]} is not allowed",
            expected=list(allowed),
            presented=str(oid)[:300],
        )
    return Verified(audit={"tenantId": tenant, "servicePrincipalId": str(oid)[:300]})


METHOD = AuthMethod(
    slug="azure-auth",
    wrapper="identityAzureAuth",
    title="Azure Auth",
    config=Config,
    login=Login,
    verify=verify,
    check=check,
    risks=open_unless("allowedServicePrincipalIds", whom="every application and managed identity of the tenant"),
)
