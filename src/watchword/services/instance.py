"""The instance as a whole: whether it can serve, how far rotations of its keys are, and what could not be delivered."""

from collections.abc import Mapping, Sequence

import msgspec

from watchword.domain.deliveries import DeliveryTarget
from watchword.domain.errors import BadRequest, NotFound, Refusal
from watchword.services.context import Ctx
from watchword.services.keys import rotation
from watchword.services.keys.keyring import HMAC, PEOPLE, SIGNING
from watchword.services.people.instance_people import require_instance_admin
from watchword.services.runtime import Runtime
from watchword.store import deliveries
from watchword.store.engine import Tx
from watchword.store.keys import data_keys

OK = "ok"
MOST_COUNTED = 10_000  # messages


async def checks(runtime: Runtime) -> Mapping[str, str]:
    """Return each part that requests need, with `ok` or what is wrong with it."""
    return {
        "database": await _database(runtime),
        "migrations": OK,
        "keys": OK if runtime.keys.verifiers else "no signing key",
        "journal": OK
        if runtime.journal.is_writing and runtime.writes.is_writing
        else "the last batch could not be written",
    }


async def _database(runtime: Runtime) -> str:
    try:
        await runtime.store.check()
    except Refusal as refusal:
        return refusal.message
    return OK


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """How this process stands: its parts, and the entries that its journals have still to write."""

    checks: Mapping[str, str]
    backlog: int
    waiting: int  # messages in the outbox, counted up to one more than MOST_COUNTED

    @property
    def is_ready(self) -> bool:
        """Whether requests can be served."""
        return all(text == OK for text in self.checks.values())


async def health(ctx: Ctx) -> Health:
    """Return how this process stands, to an administrator of the instance."""
    require_instance_admin(ctx)
    found = await checks(ctx.runtime)
    async with ctx.view() as tx:
        waiting = await deliveries.count_waiting(tx, MOST_COUNTED + 1)
    return Health(checks=found, backlog=ctx.runtime.journal.backlog + ctx.runtime.writes.backlog, waiting=waiting)


# --- keys


class KeysState(msgspec.Struct, frozen=True, kw_only=True):
    """The instance's own keys, and what rotations have still to do.

    `under_root` and `not_under_root` count the keys that the current and an earlier root key seal; `hashed_before` the
    credentials of each kind that are hashed with a key from before the last rotation.
    """

    keys: Sequence[rotation.ScopeState]
    under_root: int
    not_under_root: int
    hashed_before: Mapping[str, int]


async def keys_state(ctx: Ctx) -> KeysState:
    """Return the state of the instance's keys, to an administrator of the instance."""
    require_instance_admin(ctx)
    root = ctx.runtime.keys.root_version
    async with ctx.view() as tx:
        own = await data_keys.of_scopes(tx, (SIGNING, HMAC, PEOPLE))
        behind = await data_keys.count_not_under(tx, "root", root)
        # no key is sealed with version 0, so these are all
        below = await data_keys.count_not_under(tx, "root", 0)
    is_hashed_anew = await rotation.has_earlier_hmac_keys(ctx.runtime)
    return KeysState(
        keys=rotation.states_of(own, root),
        under_root=below - behind,
        not_under_root=behind,
        hashed_before=await rotation.hashed_before(ctx.runtime) if is_hashed_anew else {},
    )


# --- what could not be delivered


class Trouble(msgspec.Struct, frozen=True, kw_only=True):
    """A receiver that failed last, or for which messages were given up."""

    target: DeliveryTarget
    organization: str
    project: str | None
    waiting: int
    dead: int


async def troubles(ctx: Ctx, *, after: str = "", most: int = 50) -> Sequence[Trouble]:
    """Return a page of receivers of all organizations that do not take their messages, by id after one of them."""
    require_instance_admin(ctx)
    async with ctx.view() as tx:
        rows = await deliveries.troubled(tx, after=after, most=most)
        counts = await deliveries.counts(tx, [target.id for target, _, _ in rows])
    return [
        Trouble(
            target=target,
            organization=organization,
            project=project,
            waiting=counts[target.id][0],
            dead=counts[target.id][1],
        )
        for target, organization, project in rows
    ]


async def try_again(ctx: Ctx, target_id: str) -> int:
    """Send the given-up messages of a receiver again, and what waits for it now; return how many were given up.

    Raises NotFound, BadRequest.
    """
    require_instance_admin(ctx)
    async with ctx.unit() as tx:
        record = await _target(tx, target_id)
        if record.is_disabled:
            raise BadRequest("The receiver is disabled: enable it in its organization first")
        count = await deliveries.again(tx, record.id, None)
        ctx.audit("retry-deliveries", **_about(record), count=count)
    return count


async def drop(ctx: Ctx, target_id: str) -> int:
    """Delete the given-up messages of a receiver; return how many there were. Raises NotFound."""
    require_instance_admin(ctx)
    async with ctx.unit() as tx:
        record = await _target(tx, target_id)
        count = await deliveries.drop_dead(tx, record.id)
        ctx.audit("delete-deliveries", **_about(record), count=count)
    return count


async def _target(tx: Tx, target_id: str) -> DeliveryTarget:
    record = await deliveries.target(tx, target_id)
    if record is None:
        raise NotFound("There is no such receiver")
    return record


def _about(record: DeliveryTarget) -> Mapping[str, str | None]:
    """Return what audit events say of a receiver: nothing that is secret of its URL."""
    return {
        "org_id": record.org_id,
        "project_id": record.project_id,
        "targetId": record.id,
        "type": record.kind,
        "target": record.shown,
    }
