"""Auth method configurations, client secrets, named and limited tokens, revocations, lockouts, spent proofs."""

from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import BigInteger, ColumnElement, bindparam, case, delete, func, not_, or_, select, update

from watchword.domain.authentication.live_tokens import issued_key
from watchword.domain.authentication.records import (
    AccessToken,
    ClientSecret,
    Lockout,
    MethodConfig,
    Revocation,
)
from watchword.domain.authentication.tokens import longest_life
from watchword.store import schema, versions
from watchword.store.engine import Tx, Upsert, any_of, prepare, prepare_upsert
from watchword.store.mapping import Mapper

CONFIGS = Mapper(MethodConfig, schema.method_configs)
SECRETS = Mapper(ClientSecret, schema.client_secrets)
TOKENS = Mapper(AccessToken, schema.access_tokens)
REVOCATIONS = Mapper(Revocation, schema.revocations)
LOCKOUTS = Mapper(Lockout, schema.lockouts)

_c, _s, _t, _r, _l, _p = (
    schema.method_configs,
    schema.client_secrets,
    schema.access_tokens,
    schema.revocations,
    schema.lockouts,
    schema.spent_proofs,
)

_CONFIG = prepare(
    lambda: select(*CONFIGS.columns).where(_c.c.identity_id == bindparam("of"), _c.c.method == bindparam("by"))
)
_CONFIGS = prepare(
    lambda: select(*CONFIGS.columns).where(_c.c.identity_id == bindparam("of")).order_by(_c.c.created_at)
)
_CONFIGS_OF = prepare(lambda: select(*CONFIGS.columns).where(any_of(_c.c.identity_id, "of")).order_by(_c.c.created_at))
_CONFIG_AT = prepare(lambda: select(*CONFIGS.columns).where(_c.c.locator == bindparam("at")))
_METHODS_OF = prepare(
    lambda: select(_c.c.identity_id, _c.c.method).where(any_of(_c.c.identity_id, "of")).order_by(_c.c.created_at)
)
_REMOVE_CONFIG = prepare(lambda: delete(_c).where(_c.c.id == bindparam("of")))


async def config(tx: Tx, identity_id: str, method: str) -> MethodConfig | None:
    """The configuration of a method on an identity."""
    return CONFIGS.first(await tx.one(_CONFIG, of=identity_id, by=method))


async def configs(tx: Tx, identity_id: str) -> list[MethodConfig]:
    """All configurations of an identity, oldest first."""
    return CONFIGS.every(await tx.all(_CONFIGS, of=identity_id))


async def configs_of(tx: Tx, identity_ids: Sequence[str]) -> dict[str, list[MethodConfig]]:
    """All configurations of several identities, oldest first."""
    configs: dict[str, list[MethodConfig]] = {}
    for config in CONFIGS.every(await tx.all(_CONFIGS_OF, of=list(identity_ids))):
        configs.setdefault(config.identity_id, []).append(config)
    return configs


async def config_at(tx: Tx, locator: str) -> MethodConfig | None:
    """The configuration that is found by `locator` (a client id)."""
    return CONFIGS.first(await tx.one(_CONFIG_AT, at=locator))


async def methods_of(tx: Tx, identity_ids: Sequence[str]) -> dict[str, list[str]]:
    """The slugs of the methods of several identities, oldest first."""
    methods: dict[str, list[str]] = {}
    for identity_id, method in await tx.all(_METHODS_OF, of=list(identity_ids)):
        methods.setdefault(identity_id, []).append(method)
    return methods


async def add_config(tx: Tx, record: MethodConfig) -> MethodConfig:
    """Store a new configuration; as it is stored. Raises AlreadyThere when the identity has the method.

    What the method issued before it was removed stays invalid: a new generation of tokens began when it was removed.
    """
    row = await tx.one(_GENERATION, of=record.identity_id)  # waits for a removal that is under way
    since = int(row[0]) if row is not None else 0
    life = longest_life(ttl=record.ttl, max_ttl=record.max_ttl, period=record.period)
    record = msgspec.structs.replace(record, tokens_since=since, longest_life=life)
    await tx.run(CONFIGS.INSERT, **CONFIGS.values(record))
    return record


async def change_config(tx: Tx, id: str, **fields: Any) -> None:
    """Set some columns of a configuration. Where times to live are among them, all three are, and `longest_life`."""
    await tx.run(update(_c).where(_c.c.id == id).values(**CONFIGS.encoded(fields)))


async def remove_config(tx: Tx, record: MethodConfig) -> None:
    """Delete a configuration with its client secrets, and begin a new generation of the identity's tokens."""
    await tx.run(
        _NEXT_GENERATION, of=record.identity_id
    )  # first, so that the method cannot be attached again in the old one
    await tx.run(_REMOVE_CONFIG, of=record.id)
    await tx.run(_END_ROWS_OF, of=record.identity_id, by=record.method)
    tx.changed(versions.identity(record.identity_id))


_i = schema.identities
_GENERATION = prepare(
    lambda: select(_i.c.token_generation).where(_i.c.id == bindparam("of")).with_for_update(key_share=True)
)
_NEXT_GENERATION = prepare(
    lambda: update(_i).where(_i.c.id == bindparam("of")).values(token_generation=_i.c.token_generation + 1)
)
# The generation ends the tokens; this is for lists, which show them by their rows.
_END_ROWS_OF = prepare(
    lambda: (
        update(_t)
        .where(_t.c.identity_id == bindparam("of"), _t.c.method == bindparam("by"), _t.c.is_revoked == 0)
        .values(is_revoked=1)
    )
)
_END_ALL_ROWS_OF = prepare(
    lambda: update(_t).where(_t.c.identity_id == bindparam("of"), _t.c.is_revoked == 0).values(is_revoked=1)
)
_END_TOKENS = prepare(
    lambda: (
        update(_i)
        .where(_i.c.id == bindparam("of"))
        .values(token_generation=_i.c.token_generation + 1, tokens_since=_i.c.token_generation + 1)
    )
)


async def end_tokens(tx: Tx, identity_id: str) -> None:
    """End all tokens of an identity that were issued until this unit commits, whatever a clock says.

    One that is being issued at this moment carries the generation that its login read, and is invalid if that is an
    earlier one.
    """
    await tx.run(_END_TOKENS, of=identity_id)
    await tx.run(_END_ALL_ROWS_OF, of=identity_id)
    tx.changed(versions.identity(identity_id))


_NEW_GENERATION = prepare(
    lambda: (
        update(_i)
        .where(_i.c.id == bindparam("of"))
        .values(token_generation=_i.c.token_generation + 1)
        .returning(_i.c.token_generation)
    )
)
_END_METHOD = prepare(
    lambda: (
        update(_c)
        .where(_c.c.identity_id == bindparam("of"), _c.c.method == bindparam("by"))
        .values(tokens_since=bindparam("since"))
    )
)
_MARK_ALL = update(_t).where(_t.c.identity_id == bindparam("of"), _t.c.is_revoked == 0)
_MARK = {
    "identity": prepare(lambda: _MARK_ALL.values(is_revoked=1, updated_at=bindparam("at"))),
    "method": prepare(
        lambda: _MARK_ALL.where(_t.c.method == bindparam("by")).values(is_revoked=1, updated_at=bindparam("at"))
    ),
    "secret": prepare(
        lambda: _MARK_ALL.where(_t.c.client_secret_id == bindparam("by")).values(
            is_revoked=1, updated_at=bindparam("at")
        )
    ),
}


async def end_all_tokens(tx: Tx, identity_id: str, at: int) -> None:
    """End all tokens of an identity as `end_tokens` does, and mark their rows."""
    await end_tokens(tx, identity_id)
    await tx.run(_MARK["identity"], of=identity_id, at=at)


async def end_tokens_of_method(tx: Tx, identity_id: str, method: str, at: int) -> None:
    """End all tokens that a method of an identity issued until this unit commits. The method stays attached."""
    await tx.run(_END_METHOD, of=identity_id, by=method, since=await _next_generation(tx, identity_id))
    await tx.run(_MARK["method"], of=identity_id, by=method, at=at)
    tx.changed(versions.identity(identity_id))


async def end_tokens_issued_for(tx: Tx, secret: ClientSecret, until: int, at: int) -> None:
    """End all tokens that were issued for a client secret until this unit commits. The secret itself stays good.

    `until` (ms) is the last moment at which one of them could be live.
    """
    since = await _next_generation(tx, secret.identity_id)
    ended = Revocation(key=issued_key(secret.id), identity_id=secret.identity_id, before=since, expires_at=until)
    await revoke(tx, ended)
    await tx.run(_MARK["secret"], of=secret.identity_id, by=secret.id, at=at)


async def _next_generation(tx: Tx, identity_id: str) -> int:
    rows = await tx.count(_NEW_GENERATION, of=identity_id)
    return int(rows[0][0]) if rows else 0


_SECRET_BY_HASH = prepare(lambda: select(*SECRETS.columns).where(_s.c.hash == bindparam("hash")))
_SECRET = prepare(lambda: select(*SECRETS.columns).where(_s.c.id == bindparam("of"), _s.c.config_id == bindparam("at")))
_SECRETS = prepare(
    lambda: select(*SECRETS.columns).where(_s.c.config_id == bindparam("at")).order_by(_s.c.created_at, _s.c.id)
)
_REVOKE_SECRET = prepare(
    lambda: update(_s).where(_s.c.id == bindparam("of")).values(is_revoked=1, updated_at=bindparam("at"))
)
_USE_SECRET = prepare(
    lambda: (
        update(_s)
        .where(_s.c.id == bindparam("of"), _s.c.is_revoked == 0, or_(_s.c.uses_limit == 0, _s.c.uses < _s.c.uses_limit))
        .values(uses=_s.c.uses + 1, last_used_at=bindparam("at"))
        .returning(_s.c.uses)
    )
)
_USE_SECRETS_OFTEN = prepare(
    lambda: (
        update(_s)
        .where(any_of(_s.c.id, "of"), _s.c.is_revoked == 0, _s.c.uses_limit == 0)
        .values(uses=_s.c.uses + bindparam("times", type_=BigInteger), last_used_at=bindparam("at"))
        .returning(_s.c.id)
    )
)


async def client_secret_by_hash(tx: Tx, digest: bytes) -> ClientSecret | None:
    """The client secret with this keyed hash."""
    return SECRETS.first(await tx.one(_SECRET_BY_HASH, hash=digest))


async def client_secret(tx: Tx, config_id: str, id: str) -> ClientSecret | None:
    """The client secret of a configuration, never another's."""
    return SECRETS.first(await tx.one(_SECRET, of=id, at=config_id))


async def client_secrets(tx: Tx, config_id: str) -> list[ClientSecret]:
    """All client secrets of a configuration, oldest first."""
    return SECRETS.every(await tx.all(_SECRETS, at=config_id))


async def add_client_secret(tx: Tx, record: ClientSecret) -> None:
    """Store a new client secret."""
    await tx.run(SECRETS.INSERT, **SECRETS.values(record))


async def revoke_client_secret(tx: Tx, id: str, at: int) -> None:
    """Mark a client secret as revoked."""
    await tx.run(_REVOKE_SECRET, of=id, at=at)


_BEHIND = prepare(
    lambda: (
        select(*SECRETS.columns)
        .where(_s.c.hash_version < bindparam("key"), _s.c.is_revoked == 0)
        .order_by(_s.c.id)
        .limit(bindparam("most"))
        .with_for_update()
    )
)
_COUNT_BEHIND = prepare(
    lambda: select(func.count()).select_from(_s).where(_s.c.hash_version < bindparam("key"), _s.c.is_revoked == 0)
)
_CONFIG_BY_ID = prepare(lambda: select(*CONFIGS.columns).where(_c.c.id == bindparam("of")))


async def config_by_id(tx: Tx, id: str) -> MethodConfig | None:
    """A configuration by its own id."""
    return CONFIGS.first(await tx.one(_CONFIG_BY_ID, of=id))


async def secrets_behind(tx: Tx, key: int, most: int) -> list[ClientSecret]:
    """The client secrets that are hashed with an earlier key than this version and not revoked.

    They are held until the unit ends.
    """
    return SECRETS.every(await tx.all(_BEHIND, key=key, most=most))


async def count_secrets_behind(tx: Tx, key: int) -> int:
    """How many client secrets are hashed with an earlier key than this version."""
    row = await tx.one(_COUNT_BEHIND, key=key)
    return int(row[0]) if row is not None else 0


class SecretUsed(msgspec.Struct, frozen=True):
    """A journal entry: one login with a client secret.

    Its answer: whether the secret had a use left, and was not revoked.
    """

    id: str
    limited: bool
    at: int

    @classmethod
    async def apply(cls, tx: Tx, entries: Sequence["SecretUsed"]) -> Sequence[bool]:
        # Unlimited secrets take all their uses of the batch at once, and those used equally often in one statement;
        # limited ones ask once for each use, so that exactly as many are let through as are left.
        answers: dict[int, bool] = {}
        together: dict[str, list[int]] = {}
        for i, entry in sorted(enumerate(entries), key=lambda pair: pair[1].id):
            if entry.limited:
                answers[i] = bool(await tx.count(_USE_SECRET, of=entry.id, at=entry.at))
            else:
                together.setdefault(entry.id, []).append(i)
        by_times: dict[int, list[str]] = {}
        for id, places in together.items():
            by_times.setdefault(len(places), []).append(id)
        for times, ids in sorted(by_times.items()):
            at = max(entries[i].at for id in ids for i in together[id])
            used = {row[0] for row in await tx.count(_USE_SECRETS_OFTEN, of=ids, times=times, at=at)}
            answers.update({i: id in used for id in ids for i in together[id]})
        return [answers[i] for i in range(len(entries))]


def secret_ends(since: int, before: int) -> list[ColumnElement[bool]]:
    """That a client secret is not revoked, and ends between two moments (ms)."""
    end = _s.c.created_at + _s.c.ttl * 1000
    return [_s.c.ttl > 0, _s.c.is_revoked == 0, end >= since, end < before]


def token_ends(since: int, before: int) -> list[ColumnElement[bool]]:
    """That a token has a name, is not revoked, and ends between two moments (ms)."""
    return [_t.c.name.is_not(None), _t.c.is_revoked == 0, _t.c.expires_at >= since, _t.c.expires_at < before]


async def ending_secrets(tx: Tx, identity_ids: Sequence[str], since: int, before: int) -> list[ClientSecret]:
    """The client secrets of several identities that end between two moments (ms)."""
    of = _s.c.identity_id.in_(list(identity_ids))
    return SECRETS.every(await tx.all(select(*SECRETS.columns).where(of, *secret_ends(since, before))))


async def ending_tokens(tx: Tx, identity_ids: Sequence[str], since: int, before: int) -> list[AccessToken]:
    """The named tokens of several identities that end between two moments (ms)."""
    of = _t.c.identity_id.in_(list(identity_ids))
    return TOKENS.every(await tx.all(select(*TOKENS.columns).where(of, *token_ends(since, before))))


_TOKEN = prepare(lambda: select(*TOKENS.columns).where(_t.c.id == bindparam("of")))
_TOKENS = prepare(
    lambda: (
        select(*TOKENS.columns)
        .where(_t.c.identity_id == bindparam("of"), _t.c.method == bindparam("by"))
        .order_by(_t.c.updated_at.desc(), _t.c.id.desc())
        .limit(bindparam("most"))
        .offset(bindparam("skip"))
    )
)
_USE_TOKEN = prepare(
    lambda: (
        update(_t)
        .where(_t.c.id == bindparam("of"), _t.c.is_revoked == 0, or_(_t.c.uses_limit == 0, _t.c.uses < _t.c.uses_limit))
        .values(uses=_t.c.uses + 1, last_used_at=bindparam("at"))
        .returning(_t.c.uses)
    )
)
_RENEWED = prepare(
    lambda: (
        update(_t)
        .where(_t.c.id == bindparam("of"))
        .values(last_renewed_at=bindparam("at"), expires_at=bindparam("until"), updated_at=bindparam("at"))
    )
)


async def token(tx: Tx, id: str) -> AccessToken | None:
    """The row of a named or limited token."""
    return TOKENS.first(await tx.one(_TOKEN, of=id))


async def tokens(tx: Tx, identity_id: str, method: str, *, offset: int, limit: int) -> list[AccessToken]:
    """Token rows of an identity, newest-updated first."""
    return TOKENS.every(await tx.all(_TOKENS, of=identity_id, by=method, most=limit, skip=offset))


async def add_token(tx: Tx, record: AccessToken) -> None:
    """Store the row of a token."""
    await tx.run(TOKENS.INSERT, **TOKENS.values(record))


async def change_token(tx: Tx, id: str, **fields: Any) -> None:
    """Set some columns of a token's row."""
    await tx.run(update(_t).where(_t.c.id == id).values(**TOKENS.encoded(fields)))


_NAMED_TOKENS = prepare(
    lambda: (
        select(func.count())
        .select_from(_t)
        .where(_t.c.is_revoked == 0, _t.c.expires_at > bindparam("now"), any_of(_t.c.method, "named"))
    )
)
_LIMITED_TOKENS = prepare(
    lambda: (
        select(func.count())
        .select_from(_t)
        .where(
            _t.c.is_revoked == 0,
            _t.c.expires_at > bindparam("now"),
            _t.c.uses_limit > 0,
            not_(any_of(_t.c.method, "named")),
        )
    )
)
_SOME_LIVE = select(_t.c.id).where(_t.c.is_revoked == 0).limit(bindparam("most"))
_END_SOME = prepare(
    lambda: (
        update(_t).where(_t.c.id.in_(_SOME_LIVE)).values(is_revoked=1, updated_at=bindparam("at")).returning(_t.c.id)
    )
)
_END_REST = prepare(
    lambda: update(_t).where(_t.c.is_revoked == 0).values(is_revoked=1, updated_at=bindparam("at")).returning(_t.c.id)
)


async def live_tokens(tx: Tx, now: int, named: Sequence[str]) -> tuple[int, int]:
    """How many tokens are alive that operators made (by the methods `named`), and how many others have a use limit."""
    made = await tx.one(_NAMED_TOKENS, now=now, named=list(named))
    limited = await tx.one(_LIMITED_TOKENS, now=now, named=list(named))
    return int(made[0]) if made else 0, int(limited[0]) if limited else 0


async def end_rows(tx: Tx, at: int, most: int | None = None) -> int:
    """Mark the rows of tokens as revoked, at most so many; how many.

    The tokens themselves are ended by whoever ends their key.
    """
    if most is None:
        return len(await tx.count(_END_REST, at=at))
    return len(await tx.count(_END_SOME, at=at, most=most))


class TokenUsed(msgspec.Struct, frozen=True):
    """A journal entry: one request with a limited token. Its answer: whether a use was left."""

    id: str
    at: int

    @classmethod
    async def apply(cls, tx: Tx, entries: Sequence["TokenUsed"]) -> Sequence[bool]:
        answers = [False] * len(entries)
        for i, entry in sorted(enumerate(entries), key=lambda pair: pair[1].id):
            answers[i] = bool(await tx.count(_USE_TOKEN, of=entry.id, at=entry.at))
        return answers


class TokenIssued(msgspec.Struct, frozen=True):
    """A journal entry: the row of a token that has a use limit."""

    token: AccessToken

    @classmethod
    async def apply(cls, tx: Tx, entries: Sequence["TokenIssued"]) -> Sequence[None]:
        # Nobody can hold a cached view of a token that does not exist yet, so no version key is raised.
        await tx.count_many(TOKENS.INSERT, [TOKENS.values(entry.token) for entry in entries])
        return [None] * len(entries)


class TokenRenewed(msgspec.Struct, frozen=True):
    """A journal entry: a token with a row got a new end."""

    id: str
    at: int
    expires_at: int

    @classmethod
    async def apply(cls, tx: Tx, entries: Sequence["TokenRenewed"]) -> Sequence[None]:
        ordered = sorted(entries, key=lambda entry: entry.id)
        await tx.count_many(
            _RENEWED, [{"of": entry.id, "at": entry.at, "until": entry.expires_at} for entry in ordered]
        )
        return [None] * len(entries)


def _keep_renewed(insert: Upsert) -> Any:
    kept = insert(_t).values({name: bindparam(name) for name in TOKENS.record.__struct_fields__})
    until = kept.excluded.expires_at
    renewed = {
        "last_renewed_at": kept.excluded.last_renewed_at,
        "expires_at": case((until > _t.c.expires_at, until), else_=_t.c.expires_at),
        "updated_at": kept.excluded.updated_at,
    }
    return kept.on_conflict_do_update(index_elements=["id"], set_=renewed)


_KEEP_RENEWED = prepare_upsert(_keep_renewed)


class LoginTokenRenewed(msgspec.Struct, frozen=True):
    """A journal entry: the token of a login lives longer than its login said. `token` has its new end."""

    token: AccessToken
    at: int

    @classmethod
    async def apply(cls, tx: Tx, entries: Sequence["LoginTokenRenewed"]) -> Sequence[None]:
        # One statement cannot change a row twice: of several renewals of a token the one that ends last counts.
        latest: dict[str, LoginTokenRenewed] = {}
        for entry in sorted(entries, key=lambda entry: entry.token.expires_at):
            latest[entry.token.id] = entry
        renewed = [
            msgspec.structs.replace(entry.token, last_renewed_at=entry.at, updated_at=entry.at)
            for _, entry in sorted(latest.items())
        ]
        await tx.count_many(_KEEP_RENEWED, [TOKENS.values(token) for token in renewed])
        return [None] * len(entries)


_MARKS = prepare(lambda: select(*REVOCATIONS.columns).where(any_of(_r.c.key, "keys")))


def _revoke(insert: Upsert) -> Any:
    mark = insert(_r).values(**{name: bindparam(name) for name in REVOCATIONS.record.__struct_fields__})
    until, since = mark.excluded.expires_at, mark.excluded.before
    greater = {
        "expires_at": case((until > _r.c.expires_at, until), else_=_r.c.expires_at),
        "before": case((since > _r.c.before, since), else_=_r.c.before),
    }
    return mark.on_conflict_do_update(index_elements=["key"], set_=greater)


_REVOKE = prepare_upsert(_revoke)


async def revocations(tx: Tx, keys: Sequence[str]) -> list[Revocation]:
    """The revocations under any of `keys`."""
    return REVOCATIONS.every(await tx.all(_MARKS, keys=list(keys)))


# In an order that only the index on both columns has: where many revocations are one identity's, PostgreSQL would
# rather read the table from its beginning, or the primary key in its order.
_REVOCATIONS_OF = prepare(
    lambda: (
        select(*REVOCATIONS.columns)
        .where(_r.c.identity_id == bindparam("of"))
        .order_by(_r.c.before)
        .limit(bindparam("enough"))
    )
)


async def few_revocations(tx: Tx, identity_id: str, *, most: int) -> list[Revocation] | None:
    """The revocations that concern one identity; None if there are more than `most`."""
    rows = await tx.all(_REVOCATIONS_OF, of=identity_id, enough=most + 1)
    return None if len(rows) > most else REVOCATIONS.every(rows)


async def revoke(tx: Tx, revocation: Revocation) -> None:
    """Store a revocation, and raise the identity's version. One that is there already keeps the greater numbers."""
    await tx.run(_REVOKE, **REVOCATIONS.values(revocation))
    tx.changed(versions.identity(revocation.identity_id))


_FORGET_REVOCATIONS = prepare(lambda: delete(_r).where(_r.c.identity_id == bindparam("of")))


async def forget_revocations(tx: Tx, identity_id: str) -> None:
    """Remove the revocations of an identity that is deleted: its tokens are refused without them."""
    await tx.run(_FORGET_REVOCATIONS, of=identity_id)
    tx.changed(versions.identity(identity_id))


_k = schema.settings
_AGE = "longest-token-age"
_LONGEST_AGE = prepare(lambda: select(_k.c.value).where(_k.c.key == _AGE))
_PUT_AGE = prepare_upsert(
    lambda insert: (
        insert(_k)
        .values(key=_AGE, value=bindparam("value"))
        .on_conflict_do_update(index_elements=["key"], set_={"value": insert(_k).excluded.value})
    )
)


async def longest_age(tx: Tx, now: int) -> int:
    """The largest maximum age (seconds) of tokens that any server had, `now` being that of this one."""
    row = await tx.one(_LONGEST_AGE)
    return max(now, int(row[0])) if row is not None else now


async def note_age(tx: Tx, seconds: int) -> None:
    """Remember a maximum age of tokens if there was none as large."""
    if await longest_age(tx, 0) < seconds:
        await tx.run(_PUT_AGE, value=str(seconds))


_LOCKOUT = prepare(lambda: select(*LOCKOUTS.columns).where(_l.c.key == bindparam("of")))
_LOCKOUTS = prepare(lambda: select(*LOCKOUTS.columns).where(_l.c.identity_id == bindparam("of")))
_LOCKED_OF = prepare(
    lambda: select(_l.c.identity_id, _l.c.key).where(
        any_of(_l.c.identity_id, "of"), _l.c.locked_until > bindparam("now")
    )
)
_CLEAR_LOCKOUT = prepare(lambda: delete(_l).where(_l.c.key == bindparam("of")))
_CLEAR_LOCKOUTS = prepare(
    lambda: delete(_l).where(
        _l.c.identity_id == bindparam("of"), _l.c.key.startswith(bindparam("at"), autoescape=False)
    )
)
_LOCK_IDENTITY = prepare(
    lambda: (
        select(schema.identities.c.id).where(schema.identities.c.id == bindparam("of")).with_for_update(key_share=True)
    )
)


async def lockout(tx: Tx, key: str) -> Lockout | None:
    """The failed-login counter of `key`."""
    return LOCKOUTS.first(await tx.one(_LOCKOUT, of=key))


async def lockouts(tx: Tx, identity_id: str) -> list[Lockout]:
    """All failed-login counters of an identity."""
    return LOCKOUTS.every(await tx.all(_LOCKOUTS, of=identity_id))


async def locked_methods_of(tx: Tx, identity_ids: Sequence[str], now: int) -> dict[str, list[str]]:
    """The slugs of the methods of several identities that are locked out at `now` (ms), for somebody at least."""
    locked: dict[str, set[str]] = {}
    for identity_id, key in await tx.all(_LOCKED_OF, of=list(identity_ids), now=now):
        locked.setdefault(identity_id, set()).add(key.split("/")[1])
    return {identity_id: sorted(methods) for identity_id, methods in locked.items()}


async def put_lockout(tx: Tx, state: Lockout) -> None:
    """Replace the counter of a key. The caller has locked the identity (`hold`)."""
    await tx.run(_CLEAR_LOCKOUT, of=state.key)
    await tx.run(LOCKOUTS.INSERT, **LOCKOUTS.values(state))
    tx.changed(versions.lockout(state.identity_id))


async def hold(tx: Tx, identity_id: str) -> bool:
    """Lock the identity until the unit ends, so that its credentials can be changed; False if it is gone.

    The right ends with the unit.
    """
    return await tx.one(_LOCK_IDENTITY, of=identity_id) is not None


async def clear_lockout(tx: Tx, key: str, identity_id: str) -> int:
    """Forget the failures counted under `key`."""
    tx.changed(versions.lockout(identity_id))
    return await tx.run(_CLEAR_LOCKOUT, of=key)


async def clear_lockouts(tx: Tx, identity_id: str, prefix: str) -> int:
    """Forget the failures counted under keys that begin with `prefix`; how many there were."""
    tx.changed(versions.lockout(identity_id))
    return await tx.run(_CLEAR_LOCKOUTS, of=identity_id, at=prefix)


_SPEND = prepare_upsert(
    lambda insert: (
        insert(_p)
        .values(key=bindparam("key"), expires_at=bindparam("expires_at"))
        .on_conflict_do_nothing(index_elements=["key"])
        .returning(_p.c.key)
    )
)


class ProofSpent(msgspec.Struct, frozen=True):
    """A journal entry: a proof that may be used once. Its answer: whether this was the first time."""

    key: str
    expires_at: int

    @classmethod
    async def apply(cls, tx: Tx, entries: Sequence["ProofSpent"]) -> Sequence[bool]:
        answers = [False] * len(entries)
        for i, entry in sorted(enumerate(entries), key=lambda pair: pair[1].key):
            answers[i] = bool(await tx.count(_SPEND, key=entry.key, expires_at=entry.expires_at))
        return answers


_IS_SPENT = prepare(lambda: select(_p.c.key).where(_p.c.key == bindparam("of")))


async def is_spent(tx: Tx, key: str) -> bool:
    """Whether a proof was used already."""
    return await tx.one(_IS_SPENT, of=key) is not None
