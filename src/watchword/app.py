"""Composition root: builds the store, the adapters and the keyring from the settings, and the ASGI app from these.

The one module that knows every layer.
"""

import asyncio
import functools
import ssl
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from watchword.adapters import data_directory
from watchword.adapters.clock import now_ms
from watchword.adapters.entropy import Entropy
from watchword.adapters.lazy_outbound import Closable, LazyOutbound
from watchword.adapters.logs import configure
from watchword.adapters.mail import SmtpMailer
from watchword.adapters.root_key import find_root_key, make_root_key
from watchword.adapters.tls import verifying
from watchword.domain.authentication.kubernetes import token_files
from watchword.domain.errors import MethodNotAllowed, NotFound
from watchword.domain.outbound import Outbound
from watchword.http.bodies import Receive
from watchword.http.edge import App, AsgiScope, Edge, Send
from watchword.http.metrics import Measured
from watchword.http.router import Operations, build
from watchword.http.routing import Handler, Incoming, Reply, Route
from watchword.http.table import table
from watchword.methods import UnusableMethodError, registry
from watchword.methods.base import AuthMethod
from watchword.services.authentication.asking import Asking
from watchword.services.authentication.bearer import VerifiedTokens
from watchword.services.authentication.refusals import Refusals
from watchword.services.context import Ctx
from watchword.services.delivering import Deliverer
from watchword.services.keys.keyring import Keyring
from watchword.services.limits import AddressLimits, WaitingPlaces
from watchword.services.people.guesses import Guesses
from watchword.services.people.passwords import Queue
from watchword.services.runtime import Runtime
from watchword.services.upkeep import Upkeep, note_refusals, remember
from watchword.settings import Settings, SettingsError, decode_root_key
from watchword.store import migrate
from watchword.store.cache import Cache
from watchword.store.changes import Changes
from watchword.store.engine import Store
from watchword.store.journal import Journal
from watchword.store.migrate import DatabaseState

if TYPE_CHECKING:
    from watchword.web.pages import PageRoute


def start_logs(settings: Settings) -> None:
    """Write logs as the settings say."""
    configure(settings.log_level)


def https() -> ssl.SSLContext:
    """The TLS context with which a command verifies a server, as the server itself verifies others."""
    return verifying()


def address_of(settings: Settings) -> str:
    """The address of the database of the settings, as the migrations take it."""
    if settings.database_url is not None:
        return settings.database_url.reveal()
    return f"sqlite:///{data_directory.database_of(settings)}"


def setting_faults(settings: Settings) -> list[str]:
    """The faults of the data directory and the root key of the settings. Nothing is made or changed."""
    faults = []
    if settings.database_url is None:
        fault = data_directory.fault(settings.data_dir)
        if fault is not None:
            return [fault]
    try:
        find_root_key(settings)
    except SettingsError as error:
        faults += error.faults
    return faults


async def inspect_database(settings: Settings, *, whole: bool = False) -> DatabaseState:
    """The state of the database of the settings, once the root key is seen to open it. Nothing is made or changed.

    `whole`: a small database file is checked from end to end. Raises SettingsError, Unusable, StoreDown, WrongRootKey.
    """
    faults = setting_faults(settings)
    if faults:
        raise SettingsError(faults)
    state = await migrate.inspect(address_of(settings), whole=whole)
    key = find_root_key(settings)
    if key is not None:
        Keyring(key, Entropy(), now_ms, _previous(settings)).require_opens(state.keys)
    elif (
        state.keys and find_root_key(settings) is None
    ):  # asked again: another process may just have begun this instance
        raise SettingsError([_KEY_LOST.format(settings.data_dir)])
    return state


_KEY_LOST = (
    "There is a database in {} whose keys are sealed, but no root.key beside it: put the file back, "
    "or give the key it was made with as WATCHWORD_ROOT_KEY or WATCHWORD_ROOT_KEY_FILE"
)


def prepare(settings: Settings) -> None:
    """Make the data directory and its files for their owner alone, where the embedded database is used.

    Raises SettingsError.
    """
    if settings.database_url is None:
        data_directory.prepare(settings.data_dir)


def _previous(settings: Settings) -> bytes | None:
    return decode_root_key(settings.previous_root_key.reveal()) if settings.previous_root_key else None


def open_store(settings: Settings) -> Store:
    """The database of the settings, not connected yet.

    The driver of the other engine is not even imported: that takes time.
    """
    if settings.database_url is not None:
        from watchword.store.postgres import PostgresStore  # noqa: PLC0415

        return PostgresStore(settings.database_url.reveal(), pool_size=settings.database_pool)
    from watchword.store.sqlite import SqliteStore  # noqa: PLC0415

    return SqliteStore(data_directory.database_of(settings))


def build_runtime(
    settings: Settings, *, outbound: Outbound | None = None, clock: Callable[[], int] | None = None
) -> Runtime:
    """All long-lived parts, not opened yet. `clock` (ms) stands for the operating system's, `outbound` for the network.

    Makes the data directory and the root key of a new instance. Raises SettingsError.
    """
    methods = _methods()
    prepare(settings)
    key = find_root_key(settings) or _new_root_key(settings)
    store, entropy, limits = open_store(settings), Entropy(), AddressLimits(settings)
    return Runtime(
        settings=settings,
        store=store,
        cache=Cache(store, settings.cache_entries),
        journal=Journal(store),
        writes=Journal(store),
        keys=Keyring(key, entropy, clock or now_ms, _previous(settings)),
        clock=clock or now_ms,
        entropy=entropy,
        outbound=outbound or build_outbound(settings),
        receivers=outbound or build_outbound(settings),
        methods=methods,
        mailer=SmtpMailer(settings.smtp_url, settings.smtp_from, allows_plain=settings.smtp_plain),
        limits=limits,
        asking=Asking(limits.refused_proofs),
        refusals=Refusals(),
        passwords=Queue(),
        guesses=Guesses(),
        changes=Changes(store),
        waiting=WaitingPlaces(settings.max_waiting, settings.max_waiting_each),
    )


def method_faults() -> list[str]:
    """The faults of the auth methods of installed packages."""
    try:
        _methods()
    except SettingsError as error:
        return error.faults
    return []


def _methods() -> Mapping[str, AuthMethod[Any, Any]]:
    """Every auth method by slug. Raises SettingsError where an installed package brings one that cannot be used."""
    try:
        return registry()
    except UnusableMethodError as error:
        raise SettingsError([str(error)]) from error


def _new_root_key(settings: Settings) -> bytes:
    """A root key for a database that holds no keys yet: it is empty, or was only migrated."""
    if migrate.has_keys(data_directory.database_of(settings)) and find_root_key(settings) is None:
        raise SettingsError([_KEY_LOST.format(settings.data_dir)])
    return make_root_key(settings)


@asynccontextmanager
async def existing(settings: Settings) -> AsyncIterator[Runtime]:
    """The parts of an instance that is there, opened: nothing is made or migrated. Raises Unusable when there is none.

    Raises SettingsError, StoreDown and WrongRootKey as `inspect_database` does.
    """
    (await inspect_database(settings)).require_current(migrate.display_name(address_of(settings)))
    async with opened(build_runtime(settings)) as parts:
        yield parts


def build_outbound(settings: Settings) -> LazyOutbound:
    """The guarded outbound client, HTTP and LDAP behind one guard; close it at the end."""

    def make() -> Closable:
        from watchword.adapters.addresses import Guard  # noqa: PLC0415 - an HTTP client and an LDAP codec are slow to import
        from watchword.adapters.ldap import opened_entry  # noqa: PLC0415
        from watchword.adapters.outbound import GuardedOutbound  # noqa: PLC0415

        guard = Guard(settings.allowed_private_hosts)
        return GuardedOutbound(
            clock=now_ms,
            guard=guard,
            directory=functools.partial(opened_entry, allowed=guard.addresses, plain_hosts=settings.http_hosts),
            http_hosts=settings.http_hosts,
            total_timeout=settings.outbound_timeout,
            list_cap=settings.crl_max_bytes,
            token_files=token_files(settings.kubernetes_token_files),
        )

    return LazyOutbound(make)


@asynccontextmanager
async def opened(parts: Runtime) -> AsyncIterator[Runtime]:
    """Connect, migrate, open the keys, start the journal and the upkeep; and the reverse."""
    upkeep, deliverer = Upkeep(parts), Deliverer(parts)
    await parts.store.open()
    try:
        await parts.keys.open(parts.store)
        await remember(parts)
        parts.journal.start()
        parts.writes.start()
        upkeep.start()
        deliverer.start()
        yield parts
    finally:
        await parts.changes.close()
        await upkeep.close()
        await deliverer.close()
        note_refusals(parts, at_once=True)
        await parts.writes.close()
        await parts.journal.close()
        await parts.store.close()
        for client in (parts.outbound, parts.receivers):
            if isinstance(client, LazyOutbound):
                await client.close()


class Server:
    """The ASGI application of one process, over a runtime that is open."""

    def __init__(self, parts: Runtime) -> None:
        self.runtime = parts
        seen = VerifiedTokens(parts.keys, parts.settings.cache_entries)
        self.routes = table(parts.methods.values(), seen)
        inner = build(self.routes, lambda: self.edge)
        if parts.settings.console == "on":
            inner = WithConsole(inner, self.routes, seen, lambda: self.edge)
        self.edge = Edge(parts, seen, inner, self.routes)
        self._entry = self.edge if parts.settings.metrics == "off" else Measured(parts, self.edge)

    async def __call__(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        await self._entry(scope, receive, send)


class WithConsole:
    """The API, and beside it the pages of the console for what a browser asks for.

    Pages are served by the edge, as the API is: it bounds and reads bodies, and knows the caller's address. They and
    the template engine are imported when the first of them is asked for.
    """

    def __init__(self, api: App, api_routes: Sequence[Route], seen: VerifiedTokens, edge: Callable[[], Edge]) -> None:
        self._api = api
        self._segments = {route.path.split("/")[1] for route in api_routes}
        self._seen = seen
        self._edge = edge
        self._pages: App | None = None
        self._missing: App = api

    async def __call__(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http" or not self._is_for_page(scope):
            await self._api(scope, receive, send)
            return
        if self._pages is None:
            routes, self._missing = await asyncio.to_thread(page_routes, self._seen, self._edge)
            self._pages = build(routes, self._edge)
        try:
            await self._pages(scope, receive, send)
        except (NotFound, MethodNotAllowed):  # a page answers its own refusals: there is none here
            await self._missing(scope, receive, send)

    def _is_for_page(self, scope: AsgiScope) -> bool:
        segment = scope["path"].split("/", 2)[1]
        if segment in self._segments:
            return False
        headers: Mapping[bytes, bytes] = scope["state"]["headers"]
        return segment == "assets" or b"text/html" in headers.get(b"accept", b"") or b"hx-request" in headers


def page_routes(seen: VerifiedTokens, edge: Callable[[], Edge]) -> tuple[list[Route], App]:
    """The pages of the console and its files, as routes that the edge serves; and what answers where there is none."""
    from watchword.web.console import Answered, Console, Request, asset  # noqa: PLC0415 - see WithConsole
    from watchword.web.table import MISSING, page_table  # noqa: PLC0415

    console = Console(seen)

    def reply(answered: Answered) -> Reply:
        return Reply(answered.body, answered.status, answered.headers, answered.cookies)

    async def file(ctx: Ctx, body: Incoming, name: str) -> Reply:
        ctx.public("what the pages look like is no secret")
        return reply(asset(name, takes_gzip="gzip" in body.header("accept-encoding")))

    def handler(page: "PageRoute") -> Handler:
        async def answer(ctx: Ctx, body: Incoming, **params: str) -> Reply:
            request = Request(
                method=body.method, path=body.path, query=body.query, headers=body.headers, body=body.body
            )
            return reply(await console.answer(page, ctx, request, params))

        return answer

    routes = [_page_route("GET", "/assets/{name}", file, 64 * 1024)]
    routes += [_page_route(page.method, page.path, handler(page), page.most) for page in page_table()]
    nowhere = _page_route("GET", "", handler(MISSING), MISSING.most)
    return routes, Operations(dict.fromkeys(("GET", "POST", "PUT", "PATCH", "DELETE"), nowhere), edge)


def _page_route(method: str, path: str, handler: Handler, most: int) -> Route:
    names = tuple(part[1:-1] for part in path.split("/") if part.startswith("{"))
    return Route(
        method=method, path=path, modes=(), handler=handler, body=Incoming, names=names, area="console", most=most
    )
