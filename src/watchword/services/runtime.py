"""House: everything a request needs that outlives it, put together once in `app.py` and handed down."""

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import msgspec

from watchword.methods.base import AuthMethod, Outbound
from watchword.services.authentication.refusals import Refusals
from watchword.services.keys.keyring import Keyring
from watchword.services.limits import AddressLimits
from watchword.services.people.guesses import Guesses
from watchword.services.people.passwords import Queue
from watchword.settings import Settings
from watchword.store.cache import Cache
from watchword.store.engine import Store
from watchword.store.journal import Journal

_VARIANT = {digit: "89ab"[i % 4] for i, digit in enumerate("0123456789abcdef")}  # of RFC 9562, 4.1: two bits are random


class Mailer(Protocol):
    """Sends mail where a mail server is configured."""

    @property
    def is_configured(self) -> bool:
        """Whether mails leave at all; if not, links are shown to the inviter."""
        ...

    async def send(self, to: str, subject: str, text: str) -> None:
        """Send one mail. Raises OutsideError."""
        ...


class Runtime(msgspec.Struct, frozen=True, kw_only=True):
    """The long-lived parts. Time, randomness and the network come in here and nowhere else."""

    settings: Settings
    store: Store
    cache: Cache
    journal: Journal
    writes: Journal  # of secrets: a row that another process holds makes nobody's login wait
    keys: Keyring
    clock: Callable[[], int]  # milliseconds since the epoch, UTC
    entropy: Callable[[int], bytes]
    outbound: Outbound
    methods: Mapping[str, AuthMethod[Any, Any]]
    named_tokens: tuple[
        str, ...
    ] = ()  # the slugs of the methods whose tokens are made and named by operators; ours is the first
    mailer: Mailer
    limits: AddressLimits
    refusals: Refusals
    passwords: Queue
    guesses: Guesses

    def __post_init__(self) -> None:
        """Look once which methods have named tokens: each check of a token asks."""
        msgspec.structs.force_setattr(
            self, "named_tokens", tuple(slug for slug, method in self.methods.items() if method.has_named_tokens)
        )

    def new_id(self) -> str:
        """A UUID of version 7 (RFC 9562): its first 48 bits are the time, so new rows go to the end of an index."""
        time, random = f"{self.clock():012x}", self.entropy(10).hex()
        return f"{time[:8]}-{time[8:]}-7{random[1:4]}-{_VARIANT[random[0]]}{random[5:8]}-{random[8:]}"
