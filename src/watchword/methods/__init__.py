"""The auth methods: their list, written out.

Installed packages may add more under the entry-point group `watchword.methods`.
"""

from collections.abc import Mapping
from typing import Any

from watchword.methods import (
    alicloud,
    aws,
    azure,
    bound_keypair,
    gcp,
    jwt,
    kubernetes,
    ldap,
    oci,
    oidc,
    spiffe,
    tls_cert,
    token,
    universal,
)
from watchword.methods.base import AuthMethod
from watchword.methods.packages import UnusableMethodError, with_packages

__all__ = ["METHODS", "UnusableMethodError", "registry"]

METHODS: tuple[AuthMethod[Any, Any], ...] = (
    universal.METHOD,
    token.METHOD,
    kubernetes.METHOD,
    aws.METHOD,
    azure.METHOD,
    gcp.METHOD,
    oidc.METHOD,
    jwt.METHOD,
    ldap.METHOD,
    tls_cert.METHOD,
    oci.METHOD,
    alicloud.METHOD,
    spiffe.METHOD,
    bound_keypair.METHOD,
)


def registry() -> Mapping[str, AuthMethod[Any, Any]]:
    """Every method by slug. A package may not replace a built-in method. Raises UnusableMethodError."""
    return with_packages(METHODS)
