"""The runtime: everything a request needs that outlives it, put together once in `app.py` and handed down."""

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import msgspec

from watchword.domain.authentication.aws_names import StsHosts
from watchword.domain.authentication.cloud_hosts import azure_clouds, oci_hosts
from watchword.domain.authentication.kubernetes import token_files
from watchword.methods.base import AuthMethod, Operator, Outbound
from watchword.services.authentication.asking import Asking
from watchword.services.authentication.refusals import Refusals
from watchword.services.keys.keyring import Keyring
from watchword.services.limits import AddressLimits, WaitingPlaces
from watchword.services.people.guesses import Guesses
from watchword.services.people.passwords import Queue
from watchword.settings import Settings
from watchword.store.cache import Cache
from watchword.store.changes import Changes
from watchword.store.engine import Store
from watchword.store.journal import Journal

_VARIANT = {
    digit: "89ab"[i % 4] for i, digit in enumerate("0123456789abcdef")
}  # RFC 9562, section 4.1: two bits are random


class Mailer(Protocol):
    """A client that sends mail where a mail server is configured."""

    @property
    def is_configured(self) -> bool:
        """Whether mail is sent at all; if not, links are shown to the inviter."""
        ...

    async def send(self, to: str, subject: str, text: str) -> None:
        """Send one mail. Raises OutboundError."""
        ...


class Runtime(msgspec.Struct, frozen=True, kw_only=True):
    """The long-lived parts of a server process. Time, randomness and the network come in here and nowhere else."""

    settings: Settings
    store: Store
    cache: Cache
    journal: Journal
    writes: Journal  # the journal of secrets: a row locked by another process must not hold up logins
    keys: Keyring
    clock: Callable[[], int]  # milliseconds since the epoch, UTC
    entropy: Callable[[int], bytes]
    outbound: Outbound
    receivers: Outbound  # the client for messages: a receiver that hangs must not count against an identity provider
    methods: Mapping[str, AuthMethod[Any, Any]]
    # The slugs of the methods whose tokens operators make and name; the built-in one is the first.
    named_tokens: tuple[str, ...] = ()
    operator: Operator = Operator()  # the settings that methods go by
    mailer: Mailer
    limits: AddressLimits
    asking: Asking
    refusals: Refusals
    passwords: Queue
    guesses: Guesses
    changes: Changes
    waiting: WaitingPlaces  # of the requests that wait for changes

    def __post_init__(self) -> None:
        """Collect once what each check of a token and each login asks: methods with named tokens, and settings."""
        msgspec.structs.force_setattr(
            self, "named_tokens", tuple(slug for slug, method in self.methods.items() if method.has_named_tokens)
        )
        operator = Operator(
            leeway=self.settings.clock_leeway,
            token_hosts=frozenset(token_files(self.settings.kubernetes_token_files)),
            sts_hosts=StsHosts.of(self.settings.aws_sts_hosts),
            azure_clouds=azure_clouds(self.settings.azure_clouds),
            oci_hosts=oci_hosts(self.settings.oci_hosts),
            aws_server_id=self.settings.aws_server_id,
            trusts_certificate_urls=self.settings.tls_revocation_from_certificate,
        )
        msgspec.structs.force_setattr(self, "operator", operator)

    def new_id(self) -> str:
        """Return a new UUID of version 7 (RFC 9562): it starts with the time, so new rows go to the end of an index."""
        time, random = f"{self.clock():012x}", self.entropy(10).hex()
        return f"{time[:8]}-{time[8:]}-7{random[1:4]}-{_VARIANT[random[0]]}{random[5:8]}-{random[8:]}"
