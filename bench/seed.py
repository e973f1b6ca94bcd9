"""Fills a database with as much as a benchmark asks for, straight through the store's own statements.

A house that is open and serves nobody is filled; the server is started afterwards. Everything is numbered: identity 7
has the id that `identity_id(7)` says and the client secret that `login_of(7)` says, so requests can be made without
asking.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgspec
from sqlalchemy import bindparam, insert, select

from watchword.cli.bootstrap import make
from watchword.domain.access.records import Membership, MembershipRole
from watchword.domain.audit.records import AuditEvent
from watchword.domain.authentication.records import AccessToken, ClientSecret, MethodConfig, Revocation
from watchword.domain.identities.records import Identity
from watchword.domain.projects.records import Environment, Folder, Project
from watchword.domain.record import Record
from watchword.domain.secrets.records import SecretVersion, StoredSecret
from watchword.methods import universal
from watchword.services.keys.keyring import Sealer, org_scope, project_scope
from watchword.services.runtime import Runtime
from watchword.services.secrets.sealed import Plain, sealed
from watchword.store import schema, versions
from watchword.store.access.grants import HELD, MEMBERSHIPS
from watchword.store.audit import events as audit
from watchword.store.authentication import client_secrets, method_configs, token_revocations, token_rows
from watchword.store.engine import Tx, prepare
from watchword.store.identities import identities
from watchword.store.mapping import Mapper
from watchword.store.projects import folders as places
from watchword.store.projects import projects
from watchword.store.secrets import secrets

ENVIRONMENT = "bench"
SOME = 500  # things that requests rotate over
IN_FOLDER = 100  # secrets in each folder
_BATCH = 10_000  # rows in one statement: what a connection of the pool carries well within its time limit
_DAYS = 86_400_000
_KINDS = (
    "identity",
    "config",
    "client",
    "secret",
    "membership",
    "held",
    "access",
    "role",
    "folder",
    "stored",
    "version",
    "token",
    "event",
)


class World(msgspec.Struct, frozen=True):
    """The organization and the project that everything hangs in."""

    org_id: str
    project_id: str
    environment_id: str
    root_id: str


class Size(msgspec.Struct, frozen=True, kw_only=True):
    """How much a world holds."""

    identities: int
    secrets: int
    tokens: int = 0
    revocations: int = 0


def _id(kind: str, number: int) -> str:
    """An id that grows with the number, as the server's own grow with time."""
    return f"{number:08x}-{_KINDS.index(kind):04x}-7000-8000-000000000000"


def identity_id(number: int) -> str:
    """The id of an identity."""
    return _id("identity", number)


def memberships_of(number: int) -> tuple[str, str]:
    """The ids of an identity's memberships, of the organization and of the project."""
    return _id("membership", number), _id("access", number)


def event_id(number: int) -> str:
    """The id of the audit event of a token's login."""
    return _id("event", number)


def login_of(number: int) -> dict[str, str]:
    """What an identity posts to log in."""
    return {"clientId": _id("client", number), "clientSecret": f"bench{number:059x}"}


def path_of(number: int) -> str:
    """The folder of a secret."""
    return f"/f{number // IN_FOLDER:06d}"


def key_of(number: int) -> str:
    """The name of a secret."""
    return f"KEY_{number:08d}"


async def found_world(parts: Runtime) -> World:
    """Bootstrap an empty house and make one project with one environment."""
    now = parts.clock()
    made = await make(
        parts, {"email": "bench@example.com", "password": "correct horse battery", "organization": "Bench"}
    )
    org_id = made.organization.id
    project = Project(id=parts.new_id(), org_id=org_id, name="Bench", slug="bench", created_at=now, updated_at=now)
    environment = Environment(
        id=parts.new_id(),
        project_id=project.id,
        name="Bench",
        slug=ENVIRONMENT,
        position=1,
        created_at=now,
        updated_at=now,
    )
    root = Folder(
        id=parts.new_id(),
        project_id=project.id,
        environment_id=environment.id,
        name="root",
        path="/",
        created_at=now,
        updated_at=now,
    )
    async with parts.store.write() as tx:
        await projects.add(tx, project)
        await parts.keys.make(tx, project_scope(project.id), parent=org_scope(org_id))
        await places.add_environments(tx, [environment])
        await places.add_folders(tx, [root])
    return World(org_id, project.id, environment.id, root.id)


async def join_person(parts: Runtime, world: World) -> None:
    """Make the person of `found_world` an administrator of the project."""
    now = parts.clock()
    stamps: dict[str, Any] = {"created_at": now, "updated_at": now}
    async with parts.store.write() as tx:
        row = await tx.one(select(schema.users.c.id).limit(1))
        assert row is not None
        joined = Membership(
            id=parts.new_id(),
            org_id=world.org_id,
            project_id=world.project_id,
            actor_kind="user",
            actor_id=str(row[0]),
            **stamps,
        )
        await tx.run(MEMBERSHIPS.INSERT, **MEMBERSHIPS.values(joined))
        held = MembershipRole(id=parts.new_id(), membership_id=joined.id, role="admin", **stamps)
        await tx.run(HELD.INSERT, **HELD.values(held))
        tx.changed(versions.user(joined.actor_id))


class _Rows:
    """Rows of one table, made from a model row so that what all have in common is encoded once."""

    def __init__(self, mapper: Mapper[Any], model: Record) -> None:
        self.mapper = mapper
        self._model = mapper.values(model)
        self._waiting: list[dict[str, Any]] = []

    def add(self, **fields: Any) -> None:
        self._waiting.append({**self._model, **fields})

    async def flush(self, tx: Tx) -> None:
        await tx.many(self.mapper.INSERT, self._waiting)
        self._waiting = []


Fill = Callable[[int], None]
_VERSION = prepare(lambda: insert(schema.versions).values(key=bindparam("key"), n=bindparam("n")))


async def _fill(
    parts: Runtime,
    first: int,
    last: int,
    tables: tuple[_Rows, ...],
    fill: Fill,
    *version_keys: str,
    grown: Callable[[int], str | None] | None = None,
) -> None:
    """Store what `fill` adds for each number, and a version row for each version key that `grown` names: others
    have grown with them.
    """
    for begin in range(first, last, _BATCH):
        batch = range(begin, min(last, begin + _BATCH))
        for number in batch:
            fill(number)
        async with parts.store.write() as tx:
            for table in tables:
                await table.flush(tx)
            if grown is not None:
                await tx.many(_VERSION, [{"key": key, "n": 1} for key in map(grown, batch) if key])
            tx.changed(*version_keys)


async def add_identities(parts: Runtime, world: World, first: int, last: int) -> None:
    """Identities `first` to before `last`: members of the organization and the project, with Universal Auth and
    a client secret.
    """
    now, digest = parts.clock(), parts.keys.digest
    stamps: dict[str, Any] = {"created_at": now, "updated_at": now}
    config = universal.Config(client_id="")
    members = Membership(id="", org_id=world.org_id, actor_kind="identity", actor_id="", **stamps)
    held = MembershipRole(id="", membership_id="", role="no-access", **stamps)
    rows = (
        people := _Rows(identities.IDENTITIES, Identity(id="", org_id=world.org_id, name="", **stamps)),
        configs := _Rows(
            method_configs.CONFIGS,
            MethodConfig(
                id="",
                identity_id="",
                method=universal.SLUG,
                config={},
                ttl=2_592_000,
                max_ttl=2_592_000,
                period=0,
                uses_limit=0,
                trusted_ips=universal.ranges(config),
                **stamps,
            ),
        ),
        clients := _Rows(
            client_secrets.SECRETS,
            ClientSecret(id="", identity_id="", config_id="", description="", prefix="benc", hash=b"", ttl=0, **stamps),
        ),
        in_org := _Rows(MEMBERSHIPS, members),
        org_roles := _Rows(HELD, held),
        in_project := _Rows(MEMBERSHIPS, msgspec.structs.replace(members, project_id=world.project_id)),
        project_roles := _Rows(HELD, msgspec.structs.replace(held, role="member")),
    )

    def fill(number: int) -> None:
        own, login = identity_id(number), login_of(number)
        locator, kept = login["clientId"], msgspec.structs.replace(config, client_id=login["clientId"])
        people.add(id=own, name=f"bench-{number}")
        configs.add(
            id=_id("config", number), identity_id=own, locator=locator, config=msgspec.json.encode(kept).decode()
        )
        clients.add(
            id=_id("secret", number),
            identity_id=own,
            config_id=_id("config", number),
            hash=digest(login["clientSecret"]),
        )
        in_org.add(id=_id("membership", number), actor_id=own)
        org_roles.add(id=_id("held", number), membership_id=_id("membership", number))
        in_project.add(id=_id("access", number), actor_id=own)
        project_roles.add(id=_id("role", number), membership_id=_id("access", number))

    await _fill(
        parts,
        first,
        last,
        rows,
        fill,
        versions.identity("seed"),
        grown=lambda number: versions.identity(identity_id(number)),
    )


async def add_secrets(parts: Runtime, world: World, first: int, last: int) -> None:
    """Secrets `first` to before `last`, `IN_FOLDER` to a folder, each with its first version.

    `first` begins a folder.
    """
    now = parts.clock()
    stamps: dict[str, Any] = {"created_at": now, "updated_at": now}
    async with parts.store.read() as tx:
        key = await parts.keys.sealer(tx, project_scope(world.project_id))
    row = StoredSecret(id="", project_id=world.project_id, folder_id="", key="", value=b"", **stamps)
    version = SecretVersion(
        id="",
        secret_id="",
        project_id=world.project_id,
        folder_id="",
        version=1,
        key="",
        kind="shared",
        value=b"",
        created_at=now,
    )
    folder = Folder(
        id="",
        project_id=world.project_id,
        environment_id=world.environment_id,
        parent_id=world.root_id,
        name="",
        path="",
        **stamps,
    )
    rows = (
        folders := _Rows(places.FOLDERS, folder),
        stored := _Rows(secrets.SECRETS, row),
        history := _Rows(secrets.VERSIONS, version),
    )

    def fill(number: int) -> None:
        own, where = _id("stored", number), _id("folder", number // IN_FOLDER)
        if number % IN_FOLDER == 0:
            folders.add(id=where, name=path_of(number)[1:], path=path_of(number))
        envelope = _envelope(key, msgspec.structs.replace(row, id=own, folder_id=where, key=key_of(number)))
        stored.add(id=own, folder_id=where, key=key_of(number), value=envelope)
        history.add(id=_id("version", number), secret_id=own, folder_id=where, key=key_of(number), value=envelope)

    def version_key(number: int) -> str | None:
        return versions.folder(_id("folder", number // IN_FOLDER)) if number % IN_FOLDER == 0 else None

    await _fill(
        parts, first, last, rows, fill, versions.tree(world.project_id), versions.folder("seed"), grown=version_key
    )


def _envelope(key: Sealer, row: StoredSecret) -> bytes:
    return sealed(key, row, Plain(value=f"value of {row.key}: 0123456789abcdef")).value


async def grow(parts: Runtime, world: World, before: Size, after: Size) -> None:
    """Add what `after` has more than `before`; tokens and marks belong to the identities that requests rotate over."""
    await add_identities(parts, world, before.identities, after.identities)
    await add_secrets(parts, world, before.secrets, after.secrets)
    await add_tokens(parts, world, before.tokens, after.tokens, owners=list(numbers(SOME, after.identities)))
    await add_revocations(
        parts, world, before.revocations, after.revocations, owners=list(numbers(SOME, after.identities))
    )


async def add_tokens(parts: Runtime, world: World, first: int, last: int, *, owners: Sequence[int]) -> None:
    """Live tokens `first` to before `last`, of these identities in turn: each has a row of its own and the
    event of its login.
    """
    now = parts.clock()
    model = AccessToken(
        id="",
        identity_id="",
        org_id=world.org_id,
        method=universal.SLUG,
        ttl=2_592_000,
        max_ttl=2_592_000,
        uses_limit=1_000_000,
        expires_at=now + 30 * _DAYS,
        created_at=now,
        updated_at=now,
    )
    event = AuditEvent(
        id="",
        at=now,
        org_id=world.org_id,
        actor_kind="identity",
        event=f"login-identity-{universal.SLUG}",
        metadata={},
        address="127.0.0.1",
        user_agent="bench",
        request_id="",
    )
    rows = (tokens := _Rows(token_rows.TOKENS, model), events := _Rows(audit.EVENTS, event))

    def fill(number: int) -> None:
        owner = identity_id(owners[number % len(owners)])
        tokens.add(id=_id("token", number), identity_id=owner)
        facts = {"identityId": owner, "identityAccessTokenId": _id("token", number)}
        events.add(
            id=_id("event", number),
            actor_id=owner,
            request_id=f"req-{number:018x}",
            metadata=msgspec.json.encode(facts).decode(),
        )

    await _fill(parts, first, last, rows, fill, versions.identity("seed"))


async def add_revocations(parts: Runtime, world: World, first: int, last: int, *, owners: Sequence[int]) -> None:
    """Revocation marks `first` to before `last` of tokens nobody presents, on these identities in turn."""
    del world
    now = parts.clock()
    rows = (
        revocations := _Rows(
            token_revocations.REVOCATIONS, Revocation(key="", identity_id="", before=now, expires_at=now + 30 * _DAYS)
        ),
    )

    def fill(number: int) -> None:
        revocations.add(key=f"token/{_id('token', number)}", identity_id=identity_id(owners[number % len(owners)]))

    await _fill(parts, first, last, rows, fill, versions.identity("seed"))


def numbers(count: int, total: int) -> Iterator[int]:
    """`count` numbers spread evenly over `total`, or all of fewer."""
    step = max(1, total // count)
    return iter(range(0, min(total, step * count), step))
