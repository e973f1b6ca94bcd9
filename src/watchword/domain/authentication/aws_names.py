"""AWS names: regions and partitions, the hosts of STS, and the ARNs of principals."""

import re
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from ipaddress import ip_address
from typing import Literal
from urllib.parse import urlsplit

import msgspec

from watchword.domain.urls import is_web_url

__all__ = [
    "DEFAULT_ENDPOINT",
    "HOSTS",
    "KNOWN",
    "PARTITION_OF",
    "Principal",
    "StsHosts",
    "allows",
    "is_sts",
    "names_any_account",
    "sts_url",
]

DEFAULT_ENDPOINT = "https://sts.amazonaws.com/"
_DOMAINS = {
    "aws": "amazonaws.com",
    "aws-cn": "amazonaws.com.cn",
    "aws-us-gov": "amazonaws.com",
    "aws-eusc": "amazonaws.eu",
}
_REGIONS = {
    "aws": "af-south-1 ap-east-1 ap-east-2 ap-northeast-1 ap-northeast-2 ap-northeast-3 ap-south-1 ap-south-2 "
    "ap-southeast-1"
    " ap-southeast-2 ap-southeast-3 ap-southeast-4 ap-southeast-5 ap-southeast-6 ap-southeast-7 ca-central-1 "
    "ca-west-1 eu-central-1"
    " eu-central-2 eu-north-1 eu-south-1 eu-south-2 eu-west-1 eu-west-2 eu-west-3 il-central-1 me-central-1 "
    "me-south-1 mx-central-1"
    " sa-east-1 us-east-1 us-east-2 us-west-1 us-west-2",
    "aws-cn": "cn-north-1 cn-northwest-1",
    "aws-us-gov": "us-gov-east-1 us-gov-west-1",
}
PARTITION_OF = {region: partition for partition, regions in _REGIONS.items() for region in regions.split()}
# A written-out list, so that no text of a request or a configuration ever becomes part of a host name. The global host
# signs for us-east-1.
HOSTS = {f"sts.{region}.{_DOMAINS[partition]}": region for region, partition in PARTITION_OF.items()}
HOSTS |= {f"sts-fips.{region}.amazonaws.com": region for region in PARTITION_OF if region.startswith("us-")}
HOSTS["sts.amazonaws.com"] = "us-east-1"

_PARTITION = r"aws(?:-[a-z]{1,16}){0,3}"
_PATTERN = re.compile(
    rf"arn:{_PARTITION}:(?:iam|sts)::(\d{{12}}|\*):(?:\*|(?:user|role|assumed-role)/[\w+=,.@*/-]+)", re.ASCII
)
_PRINCIPAL = re.compile(rf"arn:({_PARTITION}):(iam|sts)::(\d{{12}}):(user|role|assumed-role)/([\w+=,.@/-]+)", re.ASCII)
# Roles that IAM Identity Center makes. Only AWS can make one with this path, and it ends each name in random digits.
_SSO_PATH = "aws-reserved/sso.amazonaws.com/"
_SSO_NAME = re.compile(r"AWSReservedSSO_[\w+=,.@-]+_[0-9a-f]{16}", re.ASCII)
_HOST = re.compile(r"(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.){1,9}[a-z]{2,63}", re.ASCII)
_REGION = re.compile(r"[a-z]{2,8}(?:-[a-z0-9]{1,12}){1,3}", re.ASCII)


class StsHosts(msgspec.Struct, frozen=True):
    """The hosts that may be asked who signed a request: the region each signs for, and the partition of each region."""

    region_of: Mapping[str, str]
    partition_of: Mapping[str, str]

    @classmethod
    def of(cls, written: Iterable[str]) -> "StsHosts":
        """The known hosts, and those of an operator's setting: `host=region:partition`. Raises ValueError."""
        regions, partitions = dict(KNOWN.region_of), dict(KNOWN.partition_of)
        for entry in written:
            host, _, place = entry.lower().partition("=")
            region, _, partition = place.partition(":")
            if not (_HOST.fullmatch(host) and _REGION.fullmatch(region) and re.fullmatch(_PARTITION, partition)):
                raise ValueError(
                    f"{entry[:100]} is not host=region:partition, such as "
                    "sts.us-iso-east-1.c2s.ic.gov=us-iso-east-1:aws-iso"
                )
            if partitions.setdefault(region, partition) != partition or regions.setdefault(host, region) != region:
                raise ValueError(f"{entry[:100]} says something else of a region or host that is known")
        return cls(regions, partitions)

    def default_of(self, region: str) -> str | None:
        """The host of a region for requests that do not name one."""
        domain = _DOMAINS.get(self.partition_of[region])
        usual = f"sts.{region}.{domain}"
        if self.region_of.get(usual) == region:
            return usual
        return next((host for host, signed_for in self.region_of.items() if signed_for == region), None)


# The European Sovereign Cloud is an AWS of its own. The isolated ones are known where a setting says so.
KNOWN = StsHosts(
    HOSTS | {"sts.eusc-de-east-1.amazonaws.eu": "eusc-de-east-1"}, PARTITION_OF | {"eusc-de-east-1": "aws-eusc"}
)


class Principal(msgspec.Struct, frozen=True):
    """A user or role, as its ARN names it; the root of an account and federated users are none."""

    arn: str
    partition: str
    service: str
    account: str
    kind: Literal["user", "role", "assumed-role"]
    path: str  # what follows the kind: a name with its path, or a role and its session

    @classmethod
    def of(cls, arn: str) -> "Principal | None":
        """The principal that `arn` names."""
        match = _PRINCIPAL.fullmatch(arn)
        return cls(arn, *match.groups()) if match else None  # type: ignore[arg-type]  # by the pattern

    @property
    def name(self) -> str:
        """The name alone: of the user, or of the role that was assumed."""
        return self.path.split("/")[0 if self.kind == "assumed-role" else -1]

    @property
    def known_as(self) -> tuple[str, ...]:
        """The ARNs that a pattern may fit.

        They are the one that STS names, the one of IAM behind it, and that one without its path.
        """
        kind = self.kind.removeprefix("assumed-")
        full = self.name if self.kind == "assumed-role" else self.path
        return (self.arn, *(f"arn:{self.partition}:iam::{self.account}:{kind}/{name}" for name in (full, self.name)))


def names_any_account(pattern: str) -> bool | None:
    """Whether a pattern for principals leaves the account open; None if it is no such pattern."""
    match = _PATTERN.fullmatch(pattern)
    return match[1] == "*" if match else None


def allows(pattern: str, principal: Principal) -> bool:
    """Whether the pattern fits the principal; `*` stands for any run of characters.

    STS does not tell the path of an assumed role, and a role's name is unique in its account, so the path of a role
    that is written out in full is left aside; one with `*` in it is not, for `role/team/*` must not become `role/*`.
    The path of roles of IAM Identity Center is left aside as well: their names tell them from others.
    """
    if "*" not in pattern and ":role/" in pattern:
        account, _, path = pattern.partition(":role/")
        pattern = f"{account}:role/{path.rpartition('/')[2]}"
    return any(fnmatchcase(arn, pattern) for arn in principal.known_as) or _is_sso_role(pattern, principal)


def _is_sso_role(pattern: str, principal: Principal) -> bool:
    account, _, path = pattern.partition(":role/")
    return (
        path.startswith(_SSO_PATH)
        and principal.kind == "assumed-role"
        and _SSO_NAME.fullmatch(principal.name) is not None
        and fnmatchcase(f"arn:{principal.partition}:iam::{principal.account}", account)
        and fnmatchcase(principal.name, path.rpartition("/")[2])
    )


def is_sts(url: str, hosts: StsHosts = KNOWN) -> bool:
    """Whether an administrator may configure `url` as the STS endpoint.

    It is a known host, or a stand-in at a private address.
    """
    if not is_web_url(url):
        return False
    parts = urlsplit(url)
    if parts.path not in ("", "/") or parts.query or parts.fragment:
        return False
    return (parts.scheme == "https" and parts.netloc in hosts.region_of) or _is_private(parts.hostname)


def sts_url(endpoint: str, region: str, host: str | None, hosts: StsHosts = KNOWN) -> str | None:
    """The URL for a request signed for `region` and `host`; None where it does not belong to the endpoint.

    `host` is None where the request does not name one.
    """
    chosen: str | None = urlsplit(endpoint).netloc
    if _is_private(urlsplit(endpoint).hostname):
        return endpoint if host in (None, chosen) or hosts.region_of.get(host or "") == region else None
    if endpoint.rstrip("/") == DEFAULT_ENDPOINT.rstrip("/"):
        chosen = host or hosts.default_of(region)
    return f"https://{chosen}/" if hosts.region_of.get(chosen or "") == region and host in (None, chosen) else None


def _is_private(host: str | None) -> bool:
    """Whether the outbound guard refuses this address unless its setting names it.

    Only the operator can then let anybody reach it.
    """
    try:
        return not ip_address(host or "").is_global
    except ValueError:
        return host == "localhost"
