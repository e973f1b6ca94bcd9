"""Rotate keys while servers run: the root key, the keys of organizations and projects, the signing and hash keys.

    a data key, the signing key:  stage ──(every server has read it: GRACE)──> activate ──> reseal, batch after batch
    the root key:                 every server knows both ──> reseal the keys below it, batch after batch

Every step can be repeated: the rows themselves show what was done, so an interrupted rotation goes on where it stopped.
The values are never shown; an envelope is opened and sealed again in one unit of work.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeAlias

import msgspec

from watchword.domain.actor import OPERATOR, PLATFORM
from watchword.domain.errors import BadRequest, NotFound
from watchword.domain.keys.records import DataKey
from watchword.services.authentication import templates, tokens
from watchword.services.authentication.sealed_config import resealed_config
from watchword.services.context import Ctx
from watchword.services.delivering import sealing_context
from watchword.services.keys.keyring import HMAC, PEOPLE, SIGNING, Sealer, org_scope, project_scope
from watchword.services.people import mfa
from watchword.services.runtime import Runtime
from watchword.services.secrets.sealed import resealed
from watchword.store import deliveries, sweeps, versions
from watchword.store.authentication import client_secrets, method_configs, token_rows
from watchword.store.engine import Tx
from watchword.store.keys import data_keys
from watchword.store.people import accounts, people
from watchword.store.projects import service_tokens

GRACE = 15.0  # seconds: three times what a server needs at most to notice new keys
_DAY = 86_400_000  # ms
_ROWS = 500

# What one batch did: the id it ended at, or None at the end, and how many envelopes it wrote.
Batch = tuple[str | None, int]
Work = Callable[[Tx, Sealer, str], Awaitable[Batch]]


class ScopeState(msgspec.Struct, frozen=True, kw_only=True):
    """The state of one key: the version that seals, a staged one, and the number of all versions."""

    scope: str
    active: int
    staged: int | None
    versions: int
    is_under_current_root: bool


By: TypeAlias = Mapping[str, Any]
"""Who runs the command, for the audit log: what its event holds besides."""


def ctx_of(runtime: Runtime, by: By | None = None) -> Ctx:
    """Make the context of an operator who runs the command, or of a server that works on its own keys."""
    ctx = Ctx(runtime, actor=PLATFORM if by is None else OPERATOR, request_id="rotation")
    ctx.public("who has the root key and the database may rotate keys")
    return ctx


async def state(runtime: Runtime) -> list[ScopeState]:
    """Return the state of every key."""
    async with runtime.store.read() as tx:
        outline = await data_keys.outline(tx)
    scopes: dict[str, list[tuple[int, str, int, bool]]] = {}
    for scope, version, parent, above, active in outline:
        scopes.setdefault(scope, []).append((version, parent, above, active))
    return [_state(scope, rows, runtime.keys.root_version) for scope, rows in scopes.items()]


def states_of(keys: Sequence[DataKey], root: int) -> list[ScopeState]:
    """Return the state of the keys of some scopes; all versions of each are given, oldest first."""
    scopes: dict[str, list[tuple[int, str, int, bool]]] = {}
    for key in keys:
        scopes.setdefault(key.scope, []).append((key.version, key.parent, key.parent_version, key.is_active))
    return [_state(scope, rows, root) for scope, rows in scopes.items()]


def _state(scope: str, rows: list[tuple[int, str, int, bool]], root: int) -> ScopeState:
    active = max(version for version, _, _, is_active in rows if is_active)
    newest = rows[-1][0]
    return ScopeState(
        scope=scope,
        active=active,
        staged=newest if newest > active else None,
        versions=len(rows),
        is_under_current_root=all(parent != "root" or above == root for _, parent, above, _ in rows),
    )


async def stage(runtime: Runtime, scope: str) -> int:
    """Create the next version of a key, which is not used yet, unless one is staged; return the version."""
    ctx = ctx_of(runtime)
    async with ctx.unit() as tx:
        rows = await _rows(tx, scope)
        active = max(row.version for row in rows if row.is_active)
        if rows[-1].version > active:
            return rows[-1].version
        parent = None if rows[-1].parent == "root" else await runtime.keys.sealer(tx, rows[-1].parent)
        key = runtime.keys.new_key(scope, active + 1, parent)
        await data_keys.add(tx, msgspec.structs.replace(key, is_active=False))
    return active + 1


async def activate(runtime: Runtime, scope: str, by: By | None = None) -> int:
    """Use the staged version from now on; return it. Every server must have had `GRACE` seconds to read it."""
    ctx = ctx_of(runtime, by)
    async with ctx.unit() as tx:
        rows = await _activate(ctx, tx, scope)
        above = scope if scope.startswith("org/") else rows[-1].parent
        org_id = above.removeprefix("org/") if above.startswith("org/") else None
        project_id = scope.removeprefix("project/") if scope.startswith("project/") else None
        ctx.audit(
            "rotate-key", org_id=org_id, project_id=project_id, scope=scope, version=rows[-1].version, **(by or {})
        )
    await runtime.keys.refresh(runtime.store)
    return rows[-1].version


async def _activate(ctx: Ctx, tx: Tx, scope: str) -> list[DataKey]:
    rows = await _rows(tx, scope)
    active = max(row.version for row in rows if row.is_active)
    if rows[-1].version == active:
        raise BadRequest(f"No new version of the key {scope} is staged")
    # How long an old key is needed counts from this time; the clock of the process that staged it may be behind those
    # of the servers.
    since = max(ctx.now, rows[-1].created_at, await sweeps.newest_event(tx))
    await data_keys.change(tx, msgspec.structs.replace(rows[-1], is_active=True, created_at=since))
    return rows


class Signed(msgspec.Struct, frozen=True, kw_only=True):
    """The live credentials that the current signing keys have signed, as far as they are counted."""

    named_tokens: int
    limited_tokens: int
    sessions: int


async def signed(runtime: Runtime) -> Signed:
    """Count live named tokens, tokens with a use limit, and sessions of people.

    Other tokens of logins have no row.
    """
    async with runtime.store.read() as tx:
        named, limited = await token_rows.count_live(tx, runtime.clock(), runtime.named_tokens)
        return Signed(named_tokens=named, limited_tokens=limited, sessions=await people.count_sessions(tx))


async def revoke_signing_keys(runtime: Runtime, by: By | None = None) -> int:
    """Sign with the staged key from now on and revoke all that earlier keys signed; return the new version.

    It takes effect at once and on every server, for access tokens of every method, named tokens and sessions of people:
    anyone who had an old key could have made any of them. Rows of tokens are marked first, a batch at a time, so that
    the unit that revokes the keys stays short.
    """
    while True:
        ctx = ctx_of(runtime, by)
        async with ctx.unit() as tx:
            count = await token_rows.end(tx, ctx.now, _ROWS)
        if count < _ROWS:
            break
    ctx = ctx_of(runtime, by)
    async with ctx.unit() as tx:
        rows = await _activate(ctx, tx, SIGNING)
        ended = [row for row in rows[:-1] if row.is_active]
        for row in ended:
            await data_keys.change(tx, msgspec.structs.replace(row, is_active=False))
        await token_rows.end(tx, ctx.now)
        sessions = await people.remove_all_sessions(tx)
        ctx.audit(
            "revoke-signing-keys",
            versions=[row.version for row in ended],
            version=rows[-1].version,
            sessions=sessions,
            **(by or {}),
        )
    await runtime.keys.refresh(runtime.store)
    return rows[-1].version


async def hashed_before(runtime: Runtime) -> dict[str, int]:
    """Count the credentials of each kind that are hashed with a key from before the last rotation.

    `revoke_hmac_keys` revokes them.
    """
    async with runtime.store.read() as tx:
        version = await _hash_version(tx)
        codes = [json_codes(stored) for _, stored in await accounts.recovery_codes(tx)]
        return {
            "client_secrets": await client_secrets.count_behind(tx, version),
            **await accounts.counts_behind(tx, version),
            "recovery_codes": sum(mfa.hash_version_of(code) < version for own in codes for code in own),
        }


async def has_earlier_hmac_keys(runtime: Runtime) -> bool:
    """Whether credentials may be hashed with a key other than the current one."""
    async with runtime.store.read() as tx:
        return sum(active for scope, _, _, _, active in await data_keys.outline(tx) if scope == HMAC) > 1


async def _hash_version(tx: Tx) -> int:
    return max(version for scope, version, _, _, active in await data_keys.outline(tx) if active and scope == HMAC)


def json_codes(stored: str) -> list[str]:
    """Decode the stored hashes of a person's recovery codes."""
    codes: list[str] = msgspec.json.decode(stored, type=list[str])
    return codes


async def revoke_hmac_keys(runtime: Runtime, by: By | None = None) -> dict[str, int]:
    """Revoke every credential that is still hashed with an earlier key, and the keys; return how many of each kind.

    It works in batches while servers run: a credential that is used meanwhile is hashed with the current key and stays.
    The keys are revoked last.
    """
    ended = await hashed_before(runtime)
    async with runtime.store.read() as tx:
        version = await _hash_version(tx)
    for work in (_secrets_behind, _service_tokens_behind):
        while True:
            ctx = ctx_of(runtime, by)
            async with ctx.unit() as tx:
                count = await work(ctx, tx, version)
            if count < data_keys.BATCH:
                break
    ctx = ctx_of(runtime, by)
    async with ctx.unit() as tx:
        await accounts.drop_links_behind(tx, version)
        for user_id, stored in await accounts.recovery_codes(tx):
            left = [code for code in json_codes(stored) if mfa.hash_version_of(code) >= version]
            await people.change_user(tx, user_id, mfa_recovery=msgspec.json.encode(left).decode(), updated_at=ctx.now)
        old = [row for row in await _rows(tx, HMAC) if row.is_active and row.version < version]
        for row in old:
            await data_keys.change(tx, msgspec.structs.replace(row, is_active=False))
        ctx.audit(
            "revoke-hmac-keys",
            versions=[row.version for row in old],
            version=version,
            ended={_WIRE[name]: count for name, count in ended.items()},
            **(by or {}),
        )
    await runtime.keys.refresh(runtime.store)
    return ended


_WIRE = {
    "client_secrets": "clientSecrets",
    "service_tokens": "serviceTokens",
    "invitations": "invitations",
    "one_time_tokens": "links",
    "recovery_codes": "recoveryCodes",
}


async def _secrets_behind(ctx: Ctx, tx: Tx, version: int) -> int:
    rows = await client_secrets.behind(tx, version, data_keys.BATCH)
    for row in rows:
        config = await method_configs.by_id(tx, row.config_id)
        if config is not None:
            await client_secrets.revoke(tx, row.id, ctx.now)
            await tokens.end_tokens_of_secret(ctx, tx, row, config)
    return len(rows)


async def _service_tokens_behind(ctx: Ctx, tx: Tx, version: int) -> int:
    del ctx
    rows = await service_tokens.behind(tx, version, data_keys.BATCH)
    for row in rows:
        await service_tokens.remove(tx, row)
    return len(rows)


async def _rows(tx: Tx, scope: str) -> list[DataKey]:
    rows = await data_keys.of(tx, scope)
    if not rows:
        raise NotFound(f"There is no key {scope}")
    return rows


async def reseal_root(runtime: Runtime, by: By | None = None) -> AsyncIterator[tuple[int, int]]:
    """Seal every key below the root with the current root key; yield the numbers done and in all after each batch."""
    root, done = runtime.keys.root_version, 0
    async with runtime.store.read() as tx:
        total = await data_keys.count_not_under(tx, "root", root)
    yield 0, total
    while True:
        ctx = ctx_of(runtime, by)
        async with ctx.unit() as tx:
            rows = await data_keys.not_under(tx, "root", root)
            for row in rows:
                await data_keys.change(tx, runtime.keys.under_root(row))
            if not rows and done:
                ctx.audit("rotate-root-key", keys=done, **(by or {}))
        if not rows:
            return
        done += len(rows)
        yield done, max(total, done)


async def reseal(runtime: Runtime, scope: str) -> AsyncIterator[int]:
    """Seal everything below a key with its newest version; yield how many values were written after each batch."""
    for work in _works(scope):
        after: str | None = ""
        while after is not None:
            ctx = ctx_of(runtime)
            async with ctx.unit() as tx:
                key = await runtime.keys.sealer(tx, scope)
                after, written = await work(tx, key, after)
            yield written


def _works(scope: str) -> Sequence[Work]:
    kind, _, id = scope.partition("/")
    if kind == "org":
        return (_below(scope), _configs(id), _templates(id), _receivers("org", id))
    if kind == "project":
        return (_secrets(id), _history(id), _receivers("project", id))
    return (_second_factors,) if scope == PEOPLE else ()


def _below(scope: str) -> Work:
    async def work(tx: Tx, key: Sealer, after: str) -> Batch:
        rows = await data_keys.not_under(tx, scope, key.newest)
        for row in rows:
            envelope = key.reseal(f"data-key/{row.scope}/{row.version}", row.sealed)
            await data_keys.change(tx, msgspec.structs.replace(row, sealed=envelope, parent_version=key.newest))
        return (after if rows else None), len(rows)

    return work


def _configs(org_id: str) -> Work:
    async def work(tx: Tx, key: Sealer, after: str) -> Batch:
        rows, written = await data_keys.configs_after(tx, org_id, after), 0
        for row in rows:
            config = resealed_config(row, key)
            if config != row.config:
                written += 1
                await method_configs.change(tx, row.id, config=config)
                tx.changed(versions.identity(row.identity_id))
        return (rows[-1].id if rows else None), written

    return work


def _templates(org_id: str) -> Work:
    async def work(tx: Tx, key: Sealer, after: str) -> Batch:
        return await templates.resealed(tx, org_id, key, after)

    return work


def _receivers(scope: str, id: str) -> Work:
    async def work(tx: Tx, key: Sealer, after: str) -> Batch:
        rows, written = await deliveries.sealed_after(tx, scope, id, after), 0
        for row in rows:
            sealed = key.reseal(sealing_context(row.id), row.sealed)
            if sealed != row.sealed:
                written += 1
                await deliveries.reseal(tx, row.id, sealed)
        return (rows[-1].id if rows else None), written

    return work


def _secrets(project_id: str) -> Work:
    async def work(tx: Tx, key: Sealer, after: str) -> Batch:
        rows = await data_keys.secrets_after(tx, project_id, after)
        changed = _changed(key, rows)
        await data_keys.put_secrets(tx, changed)
        return (rows[-1].id if rows else None), len(changed)

    return work


def _history(project_id: str) -> Work:
    async def work(tx: Tx, key: Sealer, after: str) -> Batch:
        rows = await data_keys.history_after(tx, project_id, after)
        changed = _changed(key, rows)
        await data_keys.put_history(tx, changed)
        return (rows[-1].id if rows else None), len(changed)

    return work


def _changed(key: Sealer, rows: Sequence[Any]) -> list[Any]:
    return [new for row in rows if (new := resealed(key, row)) != row]


async def _second_factors(tx: Tx, key: Sealer, after: str) -> Batch:
    rows, written = await data_keys.second_factors_after(tx, after), 0
    for user_id, sealed in rows:
        envelope = key.reseal(f"user/{user_id}/totp", sealed)
        if envelope != sealed:
            written += 1
            await data_keys.put_second_factor(tx, user_id, envelope)
    return (rows[-1][0] if rows else None), written


async def data_scopes(runtime: Runtime, org_id: str | None = None, project_id: str | None = None) -> list[str]:
    """Return the scopes of the data keys to work on: one organization's, one project's, or all.

    Organizations come before their projects.
    """
    known = [key_state.scope for key_state in await state(runtime)]
    wanted = {org_scope(org_id)} if org_id else {project_scope(project_id)} if project_id else set()
    scopes = [
        scope
        for scope in known
        if (scope in wanted if wanted else scope == PEOPLE or scope.startswith(("org/", "project/")))
    ]
    if wanted and not scopes:
        raise NotFound(f"There is no key {next(iter(wanted))}")
    return scopes


async def retire_signing_keys(runtime: Runtime, now: int) -> int:
    """Retire earlier signing keys once no token that they signed can be live; return how many.

    `now` (ms): see `upkeep.read_horizon`.
    """
    ctx = ctx_of(runtime)
    longest = max(runtime.settings.max_token_age, runtime.settings.session_ttl) * 1000 + _DAY
    async with ctx.unit() as tx:
        rows = await data_keys.of(tx, SIGNING)
        newest = max(row.version for row in rows if row.is_active)
        since = next(row.created_at for row in rows if row.version == newest)
        old = [row for row in rows if row.is_active and row.version < newest] if since + longest < now else []
        for row in old:
            await data_keys.change(tx, msgspec.structs.replace(row, is_active=False))
        if old:
            ctx.audit("retire-signing-keys", versions=[row.version for row in old])
    if old:
        await runtime.keys.refresh(runtime.store)
    return len(old)
