"""The composition root: settings -> store, world, keyring -> the ASGI app. The one module that knows every layer."""

import functools
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from watchword.domain.outside import Outside
from watchword.http.bodies import Receive
from watchword.http.edge import Edge, Scope, Send
from watchword.http.litestar_app import build
from watchword.http.metrics import Measured
from watchword.http.table import table
from watchword.methods import registry
from watchword.services.authentication import Seen
from watchword.services.house import House
from watchword.services.keys import Keyring
from watchword.services.limits import Limits
from watchword.services.refusals import Refusals
from watchword.services.upkeep import Upkeep, note_refusals
from watchword.settings import Settings, decode_root_key
from watchword.store.cache import Cache
from watchword.store.engine import Store
from watchword.store.journal import Journal
from watchword.world.clock import now_ms
from watchword.world.entropy import Entropy
from watchword.world.later import Closable, Later
from watchword.world.logs import configure
from watchword.world.mail import SmtpMailer
from watchword.world.rootkey import root_key
from watchword.world.tls import verifying


def start_logs(settings: Settings) -> None:
    """Write logs as the settings say."""
    configure(settings.log_level)


def https() -> ssl.SSLContext:
    """How a command verifies the server that it asks: as the server itself verifies those that it asks."""
    return verifying()


def address_of(settings: Settings) -> str:
    """Where the database of the settings is, as the migrations take it."""
    if settings.database_url is not None:
        return settings.database_url.reveal()
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    return f"sqlite:///{settings.data_dir / 'watchword.db'}"


def open_store(settings: Settings) -> Store:
    """The database of the settings, not connected yet. The driver of the other engine is not even imported: that takes time."""
    if settings.database_url is not None:
        from watchword.store.postgres import PostgresStore  # noqa: PLC0415

        return PostgresStore(settings.database_url.reveal(), pool_size=settings.database_pool)
    from watchword.store.sqlite import SqliteStore  # noqa: PLC0415

    return SqliteStore(settings.data_dir / "watchword.db")


def house(settings: Settings, *, outside: Outside | None = None) -> House:
    """All long-lived parts, not opened yet."""
    key = root_key(settings)
    previous = decode_root_key(settings.previous_root_key.reveal()) if settings.previous_root_key else None
    store, entropy = open_store(settings), Entropy()
    return House(
        settings=settings, store=store, cache=Cache(store, settings.cache_entries), journal=Journal(store), writes=Journal(store),
        keys=Keyring(key, entropy, now_ms, previous), clock=now_ms, entropy=entropy, outside=outside or outbound(settings),
        methods=registry(), mailer=SmtpMailer(settings.smtp_url, settings.smtp_from), limits=Limits(settings), refusals=Refusals(),
    )  # fmt: skip


def outbound(settings: Settings) -> Later:
    """The guarded way out, HTTP and LDAP behind one guard; close it at the end."""

    def make() -> Closable:
        from watchword.world.addresses import Guard  # noqa: PLC0415 - an HTTP client and an LDAP codec are slow to import
        from watchword.world.directory import opened_entry  # noqa: PLC0415
        from watchword.world.outbound import Outbound  # noqa: PLC0415

        guard = Guard(settings.allowed_private_hosts)
        return Outbound(
            clock=now_ms, guard=guard,
            directory=functools.partial(opened_entry, allowed=guard.addresses, plain_hosts=settings.http_hosts),
            http_hosts=settings.http_hosts, total_timeout=settings.outbound_timeout,
        )  # fmt: skip

    return Later(make)


@asynccontextmanager
async def opened(parts: House) -> AsyncIterator[House]:
    """Connect, migrate, open the keys, start the journal and the upkeep; and the reverse."""
    upkeep = Upkeep(parts)
    await parts.store.open()
    try:
        await parts.keys.open(parts.store)
        parts.journal.start()
        parts.writes.start()
        upkeep.start()
        yield parts
    finally:
        await upkeep.close()
        note_refusals(parts, at_once=True)
        await parts.writes.close()
        await parts.journal.close()
        await parts.store.close()
        if isinstance(parts.outside, Later):
            await parts.outside.close()


class Server:
    """The ASGI application of one process, over a house that is open."""

    def __init__(self, parts: House) -> None:
        self.house = parts
        seen = Seen(parts.keys, parts.settings.cache_entries)
        self.routes = table(parts.methods.values(), seen)
        litestar: Any = build(self.routes, lambda: self.edge)
        self.edge = Edge(parts, seen, litestar, self.routes)
        self._entry = self.edge if parts.settings.metrics == "off" else Measured(parts, self.edge)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        await self._entry(scope, receive, send)
