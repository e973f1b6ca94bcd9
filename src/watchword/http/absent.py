"""Features of Infisical that Watchword leaves out, by where their routes begin: so that a client is told so, and what
to use instead. The compatibility page has the same table.
"""

from typing import Final

import msgspec


class Absent(msgspec.Struct, frozen=True):
    """A feature that is left out: its name, where its routes begin, and what serves the same end."""

    name: str
    prefixes: tuple[str, ...]
    instead: str = ""

    @property
    def sentence(self) -> str:
        """What a client is told."""
        return f"Watchword leaves out {self.name}" + (f": {self.instead}" if self.instead else "")


ABSENT: Final = (
    Absent(
        "dynamic secrets",
        ("/api/v1/dynamic-secrets",),
        "workloads log in to the service itself with an identity, or its credentials are kept as secrets",
    ),
    Absent(
        "secret rotation",
        ("/api/v1/secret-rotations", "/api/v1/secret-rotation-providers", "/api/v2/secret-rotations"),
        "rotate at the service and write the new value through the API",
    ),
    Absent(
        "secret syncs and integrations",
        ("/api/v1/secret-syncs", "/api/v1/integration", "/api/v1/integration-auth"),
        "let the target read its secrets with an identity of its own",
    ),
    Absent("app connections", ("/api/v1/app-connections",)),
    Absent(
        "approvals of changes and of access",
        (
            "/api/v1/secret-approvals",
            "/api/v1/secret-approval-requests",
            "/api/v1/access-approvals",
            "/api/v1/approval-policies",
        ),
        "a temporary role or privilege ends by itself",
    ),
    Absent("key management (KMS and KMIP)", ("/api/v1/kms", "/api/v1/kmip", "/api/v1/external-kms")),
    Absent("certificates (PKI)", ("/api/v1/pki", "/api/v2/pki", "/api/v1/cert-manager")),
    Absent("SSH certificates", ("/api/v1/ssh",)),
    Absent("privileged access to accounts (PAM)", ("/api/v1/pam",)),
    Absent("secret scanning", ("/api/v1/secret-scanning", "/api/v2/secret-scanning")),
    Absent("honey tokens", ("/api/v1/honey-tokens",)),
    Absent("secret sharing", ("/api/v1/secret-sharing",), "hand a credential over wrapped (wrapTTL)"),
    Absent(
        "single sign-on and provisioning of people (SAML, OIDC, LDAP, SCIM, GitHub)",
        ("/api/v1/sso", "/api/v1/scim", "/api/v1/ldap", "/api/v1/github-org-sync-config"),
        "people sign in with a password and a second factor",
    ),
    Absent("gateways and relays", ("/api/v1/gateways", "/api/v2/gateways", "/api/v1/relays")),
    Absent("project templates", ("/api/v1/project-templates",)),
    Absent("chat integrations", ("/api/v1/workflow-integrations", "/api/v1/slack", "/api/v1/microsoft-teams")),
    Absent(
        "snapshots of folders",
        ("/api/v1/secret-snapshot",),
        "every secret has its versions, and a deleted environment can be restored",
    ),
)
_BY_PREFIX: Final = {prefix: feature for feature in ABSENT for prefix in feature.prefixes}
_DEEPEST: Final = max(prefix.count("/") for prefix in _BY_PREFIX)


def feature_at(path: str) -> Absent | None:
    """Return the feature that is left out and has its routes at the path; None where there is none."""
    steps = path.split("/", _DEEPEST + 1)
    for count in range(len(steps), 1, -1):
        if (found := _BY_PREFIX.get("/".join(steps[:count]))) is not None:
            return found
    return None
