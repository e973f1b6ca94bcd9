"""The acts of an identity's pages as text: calls of the API, and resources of the Terraform provider."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from watchword.services.access.role_refs import RoleEntry
from watchword.services.authentication.method_bodies import Method
from watchword.web import method_forms
from watchword.web.as_text import Call, Raw, Resource, Var, label, path_to, sent
from watchword.web.method_forms import Field

IDENTITY: Final = Var("IDENTITY_ID")
_COMMON: Final = {
    "accessTokenTTL": "access_token_ttl",
    "accessTokenMaxTTL": "access_token_max_ttl",
    "accessTokenNumUsesLimit": "access_token_num_uses_limit",
    "accessTokenTrustedIps": "access_token_trusted_ips",
}
# The resources of the provider by method, with what it calls the fields of a configuration.
_RESOURCES: Final[Mapping[str, tuple[str, Mapping[str, str]]]] = {
    "universal-auth": ("infisical_identity_universal_auth", {"clientSecretTrustedIps": "client_secret_trusted_ips"}),
    "token-auth": ("infisical_identity_token_auth", {}),
    "oidc-auth": (
        "infisical_identity_oidc_auth",
        {
            "oidcDiscoveryUrl": "oidc_discovery_url",
            "boundIssuer": "bound_issuer",
            "boundAudiences": "bound_audiences",
            "boundSubject": "bound_subject",
            "boundClaims": "bound_claims",
            "caCert": "oidc_ca_certificate",
        },
    ),
    "kubernetes-auth": (
        "infisical_identity_kubernetes_auth",
        {
            "kubernetesHost": "kubernetes_host",
            "caCert": "kubernetes_ca_certificate",
            "tokenReviewerJwt": "token_reviewer_jwt",
            "tokenReviewMode": "token_reviewer_mode",
            "allowedNamespaces": "allowed_namespaces",
            "allowedNames": "allowed_service_account_names",
            "allowedAudience": "allowed_audience",
        },
    ),
    "aws-auth": (
        "infisical_identity_aws_auth",
        {
            "stsEndpoint": "sts_endpoint",
            "allowedPrincipalArns": "allowed_principal_arns",
            "allowedAccountIds": "allowed_account_ids",
        },
    ),
    "gcp-auth": (
        "infisical_identity_gcp_auth",
        {
            "type": "type",
            "allowedServiceAccounts": "allowed_service_account_emails",
            "allowedProjects": "allowed_projects",
            "allowedZones": "allowed_zones",
        },
    ),
    "azure-auth": (
        "infisical_identity_azure_auth",
        {
            "tenantId": "tenant_id",
            "resource": "resource_url",
            "allowedServicePrincipalIds": "allowed_service_principal_ids",
        },
    ),
}
_LISTS: Final = frozenset(
    {
        "bound_audiences",
        "allowed_namespaces",
        "allowed_service_account_names",
        "allowed_principal_arns",
        "allowed_account_ids",
        "allowed_service_account_emails",
        "allowed_projects",
        "allowed_zones",
        "allowed_service_principal_ids",
    }
)


def identity_resource(name: str, role: str, org_id: str, lacking: Sequence[str] = ()) -> Resource:
    """An identity as the provider has it."""
    arguments = {"name": name, "role": role, "org_id": org_id}
    return Resource(kind="infisical_identity", label=label(name), arguments=arguments, lacking=lacking)


def of_identity(name: str, id: str | Var) -> Any:
    """The id of an identity in Terraform: of one that is made beside, or as it is."""
    return Raw(f"infisical_identity.{label(name)}.id") if isinstance(id, Var) else id


def configuration(method: Method, wire: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration as it is sent, with variables in place of what is secret."""
    return _without_secrets(wire, _secret_names(method_forms.fields_of(method)))


def _secret_names(fields: Sequence[Field]) -> frozenset[str]:
    names = {field.name for field in fields if field.kind == "secret"}
    for field in fields:
        for parts in field.variants.values():
            names |= _secret_names(parts)
    return frozenset(names)


def _without_secrets(wire: Mapping[str, Any], names: frozenset[str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in wire.items():
        if isinstance(value, Mapping):
            found[name] = _without_secrets(value, names)
        else:
            found[name] = Var(variable(name)) if name in names and value else value
    return found


def variable(name: str) -> str:
    """The name of a field as that of a variable: `tokenReviewerJwt` is `TOKEN_REVIEWER_JWT`."""
    return "".join(f"_{c}" if c.isupper() else c.upper() for c in name).replace(".", "_").lstrip("_")


def attach_call(method: Method, identity: str | Var, wire: Mapping[str, Any], *, is_new: bool = True) -> Call:
    """The call that gives an identity a way to log in, or changes it."""
    return Call(
        title=f"{'Add' if is_new else 'Change'} {method.title}",
        method="POST" if is_new else "PATCH",
        path=path_to(f"/api/v1/auth/{method.slug}/identities/{{}}", identity),
        body=configuration(method, wire),
    )


def method_resource(method: Method, name: str, identity: str | Var, wire: Mapping[str, Any]) -> Sequence[Resource]:
    """A configuration as the provider has it; nothing for a method that it does not know."""
    if method.slug not in _RESOURCES or wire.get(method_forms.TEMPLATE):
        return ()
    kind, own = _RESOURCES[method.slug]
    names = {**_COMMON, **own}
    arguments: dict[str, Any] = {"identity_id": of_identity(name, identity)}
    defaults = {field.name: field.default for field in method_forms.fields_of(method)}
    lacking = []
    for field, value in configuration(method, wire).items():
        if field not in names:
            if value not in (None, "", [], {}) and value != defaults.get(field):
                lacking.append(field)
            continue
        if value not in (None, "", [], {}):
            arguments[names[field]] = _argument(names[field], value)
    return (Resource(kind=kind, label=label(name), arguments=arguments, lacking=lacking),)


def _argument(name: str, value: Any) -> Any:
    if name.endswith("_trusted_ips"):
        return [{"ip_address": item["ipAddress"]} for item in value]
    if name in _LISTS and isinstance(value, str):
        return [item.strip() for item in value.split(",") if item.strip()]
    return value


def role_bodies(entries: Sequence[RoleEntry]) -> list[dict[str, Any]]:
    """Roles as they are sent."""
    return [sent(entry) for entry in entries]


def membership_resource(name: str, project: str, identity: Any, entries: Sequence[RoleEntry]) -> Resource:
    """An identity in a project as the provider has it."""
    roles = []
    for entry in entries:
        role: dict[str, Any] = {"role_slug": entry.role}
        if entry.is_temporary:
            role |= {
                "is_temporary": True,
                "temporary_mode": entry.temporary_mode,
                "temporary_range": entry.temporary_range,
                "temporary_access_start_time": entry.temporary_access_start_time,
            }
        roles.append(role)
    arguments = {"project_id": project, "identity_id": identity, "roles": roles}
    return Resource(kind="infisical_project_identity", label=label(name), arguments=arguments)


def membership_path(project: str, identity: str | Var) -> str:
    """The path of an identity's membership of a project."""
    return path_to("/api/v1/projects/{}/memberships/identities/{}", project, identity)
