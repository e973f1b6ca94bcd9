"""The hosts that vouch for callers of clouds: those of Azure by cloud, and Oracle's identity services.

The known ones, and those that an operator names: sovereign and isolated clouds come and go.
"""

import re
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final

import msgspec

__all__ = ["AZURE_CLOUDS", "AzureCloud", "azure_clouds", "is_oracle", "oci_hosts"]

_HOST = re.compile(r"(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.){1,9}[a-z]{2,63}", re.ASCII)
_NAME = re.compile(r"[a-z][a-z0-9-]{0,39}", re.ASCII)


class AzureCloud(msgspec.Struct, frozen=True):
    """One cloud of Azure: its authority hosts, the first for its keys, and the issuer of tokens of the first version.

    Tokens of the second version name an authority host as their issuer.
    """

    authorities: tuple[str, ...]
    issuer: str


AZURE_CLOUDS: Final[Mapping[str, AzureCloud]] = MappingProxyType(
    {
        "public": AzureCloud(("login.microsoftonline.com",), "sts.windows.net"),
        "us-government": AzureCloud(("login.microsoftonline.us",), "sts.windows.net"),
        "china": AzureCloud(("login.partner.microsoftonline.cn", "login.chinacloudapi.cn"), "sts.chinacloudapi.cn"),
    }
)


def azure_clouds(written: Iterable[str]) -> dict[str, AzureCloud]:
    """The known clouds, and those of an operator's setting: `name=authority:issuer`, both hosts. Raises ValueError."""
    clouds = dict(AZURE_CLOUDS)
    for entry in written:
        name, _, hosts = entry.lower().partition("=")
        authority, _, issuer = hosts.partition(":")
        if not (_NAME.fullmatch(name) and _HOST.fullmatch(authority) and _HOST.fullmatch(issuer)):
            shape = "name=authority:issuer, such as lab=login.lab.example:sts.lab.example"
            raise ValueError(f"{entry[:100]} is not {shape}")

        cloud = AzureCloud((authority,), issuer)
        if clouds.setdefault(name, cloud) != cloud:
            raise ValueError(f"{entry[:100]} says something else of a cloud that is known")
    return clouds


# Regions come and go, but every host of this form is Oracle's own: one label between two constants cannot lead
# elsewhere.
_ORACLE = re.compile(r"identity\.[a-z]{2}-[a-z]{3,20}-[1-9][0-9]?\.oraclecloud\.com")


def oci_hosts(written: Iterable[str]) -> frozenset[str]:
    """The hosts of an operator's setting: identity services of other realms. Raises ValueError."""
    hosts = frozenset(entry.lower() for entry in written)
    for host in sorted(hosts):
        if not _HOST.fullmatch(host):
            raise ValueError(f"{host[:100]} is not a host name, such as identity.us-langley-1.oraclegovcloud.com")
    return hosts


def is_oracle(host: str, more: frozenset[str]) -> bool:
    """Whether a host is an identity service of Oracle's public realm, or one that the operator names."""
    return _ORACLE.fullmatch(host) is not None or host in more
