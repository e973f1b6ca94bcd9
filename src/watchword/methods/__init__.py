"""The auth methods: the list, written out. Installed packages may add more under the entry-point group `watchword.methods`."""

from collections.abc import Mapping
from importlib.metadata import entry_points
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
    """Every method by slug. A package may not replace one of ours."""
    found = {method.slug: method for method in METHODS}
    for point in entry_points(group="watchword.methods"):
        method: AuthMethod[Any, Any] = point.load()
        if found.setdefault(method.slug, method) is not method:
            raise ValueError(f"the package {point.dist} brings an auth method named {method.slug}, which there already is")
    return found
