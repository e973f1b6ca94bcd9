"""Check which addresses may be connected to.

A name is resolved here, once, and the answer is checked before anything is sent.
"""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from watchword.domain.outbound import OutboundError

__all__ = ["AddressRefused", "Guard", "Resolve", "Unreachable"]

Address = IPv4Address | IPv6Address
Resolve = Callable[[str, int], Awaitable[Sequence[tuple[str, int]]]]
"""The addresses and ports of a host and port, as text; raises OSError."""

# Global by the registries, yet answered inside a cloud's own network.
_INTERNAL = (
    ip_network("168.63.129.16/32"),  # Azure's wire server
    ip_network("192.0.0.0/24"),  # protocol assignments; Oracle's metadata service is one of them
    ip_network("192.88.99.0/24"),  # 6to4 relays
    ip_network("64:ff9b:1::/48"),  # NAT64 of local use, RFC 8215: what it leads to, only the network knows
    ip_network("2001::/23"),  # Teredo and other tunnels
    ip_network("::/96"),  # IPv4-compatible, deprecated
    ip_network("3fff::/20"),  # documentation, RFC 9637
)
_NAT64 = ip_network("64:ff9b::/96")
_THREADS = 16


class Unreachable(OutboundError):
    """The host did not answer: not there, not listening, or too slow."""


class AddressRefused(OutboundError):
    """Watchword does not connect to this address."""


class Guard:
    """Resolve names, and let through public addresses and the private ones that a setting names.

    `allowed` holds host names (`kubernetes.default.svc`), domains (`*.internal.example`), addresses and CIDR ranges.
    """

    def __init__(self, allowed: Sequence[str] = (), *, resolve: Resolve | None = None) -> None:
        self._names: set[str] = set()
        self._domains: tuple[str, ...] = ()
        self._networks: list[IPv4Network | IPv6Network] = []
        for entry in (a.strip().lower() for a in allowed):
            try:
                self._networks.append(ip_network(entry.strip("[]"), strict=False))
            except ValueError:
                if entry.startswith("*."):
                    self._domains += (entry[1:],)
                elif entry:
                    self._names.add(entry.rstrip("."))
        # Its own threads: a name server that does not answer must not use up those of everybody else.
        self._threads = None if resolve else ThreadPoolExecutor(_THREADS, thread_name_prefix="resolve")
        self._resolve = resolve or self._ask_system

    async def addresses(self, host: str, port: int) -> Sequence[tuple[str, int]]:
        """The addresses of `host`, every one of them checked; raises `AddressRefused` or `Unreachable`.

        One forbidden address among good ones refuses them all: an honest name has no such answer.
        """
        try:
            addresses = list(dict.fromkeys(await self._resolve(host, port)))
        except (OSError, UnicodeError) as error:
            raise Unreachable(f"{host}: the name cannot be resolved") from error
        if not addresses:
            raise Unreachable(f"{host}: the name has no address")
        named = self._is_allowed_name(host)
        for text, _ in addresses:
            address = _plain(text)
            if not named and _is_internal(address) and not any(_within(address, network) for network in self._networks):
                raise AddressRefused(
                    f"{host}: {text} is a private, local or reserved address; name it in allowed_private_hosts to "
                    "permit it"
                )
        return addresses

    def close(self) -> None:
        """End the threads that resolve names."""
        if self._threads:
            self._threads.shutdown(wait=False, cancel_futures=True)

    def _is_allowed_name(self, host: str) -> bool:
        name = host.lower().rstrip(".")
        return name in self._names or name.endswith(self._domains)

    async def _ask_system(self, host: str, port: int) -> Sequence[tuple[str, int]]:
        loop = asyncio.get_running_loop()
        entries = await loop.run_in_executor(
            self._threads, lambda: socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        )
        return [(str(address[0]), int(address[1])) for *_, address in entries]


def _plain(text: str) -> Address:
    """The address that packets will go to: the IPv4 address inside an IPv4-mapped, 6to4 or NAT64 one."""
    address = ip_address(text.partition("%")[0])
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped:
            return address.ipv4_mapped
        if address.sixtofour:
            return address.sixtofour
        if address in _NAT64:
            return IPv4Address(int(address) & 0xFFFF_FFFF)
    return address


def _is_internal(address: Address) -> bool:
    return (
        not address.is_global
        or address.is_multicast
        or address.is_reserved
        or (isinstance(address, IPv6Address) and address.is_site_local)
        or any(_within(address, network) for network in _INTERNAL)
    )


def _within(address: Address, network: IPv4Network | IPv6Network) -> bool:
    return address.version == network.version and address in network
