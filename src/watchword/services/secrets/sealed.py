"""Seal and open the texts of a secret.

Each text is bound to its folder, secret, version and field: elsewhere it does not open.
"""

from collections.abc import Sequence
from typing import TypeVar

import msgspec

from watchword.domain.keys.sealing import Envelope
from watchword.domain.secrets.records import SecretMetadata, SecretVersion, StoredSecret
from watchword.services.context import Ctx
from watchword.services.keys.keyring import Sealer, project_scope
from watchword.services.secrets.folder_cache import CachedSecret, FolderSecrets

_SMALL = 4096  # bytes; a larger value is not worth keeping twice
Row = TypeVar("Row", StoredSecret, SecretVersion)


class Plain(msgspec.Struct, frozen=True, kw_only=True):
    """The plain texts of a secret, encrypted metadata included."""

    value: str
    comment: str = ""
    metadata: tuple[SecretMetadata, ...] = ()

    def __repr__(self) -> str:
        return "Plain(***)"


async def sealer(ctx: Ctx, project_id: str) -> Sealer:
    """Return the sealer of a project. Call it outside of units; inside use `ctx.runtime.keys.sealer`."""
    key = ctx.runtime.keys.ready(project_scope(project_id))
    if key is None:
        async with ctx.view() as tx:
            key = await ctx.runtime.keys.sealer(tx, project_scope(project_id))
    return key


def _context(row: StoredSecret | SecretVersion, field: str) -> str:
    id = row.id if isinstance(row, StoredSecret) else row.secret_id
    return f"secret/{row.folder_id}/{id}/{row.version}/{field}"


def value_of(key: Sealer, row: StoredSecret | SecretVersion) -> str:
    """Open the value. Raises CannotOpen when the envelope was not sealed for this very row."""
    return key.open(_context(row, "value"), row.value).decode()


def values_of(key: Sealer, items: Sequence[CachedSecret]) -> list[str]:
    """Open the values of cached secrets, whose envelopes are parsed once. Raises as `value_of` does."""
    return [
        plain.decode()
        for plain in key.opened_every([item.memo.get("value") or _taken_apart(key, item) for item in items])
    ]


def values_on(key: Sealer, folder_secrets: FolderSecrets) -> list[bytes] | None:
    """Open all shared values of a folder, as bytes; None where more than values is sealed there, or large ones are.

    Their envelopes are kept in one tuple, because a list reads all of them and memory side by side is read faster.
    """
    envelopes: tuple[Envelope, ...] | None = folder_secrets.memo.get("values", ())
    if envelopes == ():
        items = folder_secrets.all_shared()
        is_plain = all(item.is_bare and len(item.secret.value) <= _SMALL for item in items)
        envelopes = tuple([_envelope_of(key, item) for item in items]) if is_plain else None
        folder_secrets.memo["values"] = envelopes
    return None if envelopes is None else key.opened_every(envelopes)


def _envelope_of(key: Sealer, cached: CachedSecret) -> Envelope:
    return key.taken_apart(_context(cached.secret, "value"), cached.secret.value)


def _taken_apart(key: Sealer, cached: CachedSecret) -> Envelope:
    envelope = _envelope_of(key, cached)
    if len(cached.secret.value) <= _SMALL:
        cached.memo["value"] = envelope
    return envelope


def comment_of(key: Sealer, row: StoredSecret | SecretVersion) -> str:
    """Open the comment; empty where there is none."""
    return "" if row.comment is None else key.open(_context(row, "comment"), row.comment).decode()


def metadata_of(key: Sealer, row: StoredSecret | SecretVersion) -> tuple[SecretMetadata, ...]:
    """Return the metadata with encrypted values opened."""
    if not row.metadata:
        return ()
    return tuple(
        msgspec.structs.replace(item, value=key.open_text(_context(row, f"metadata/{i}"), item.value))
        if item.is_encrypted
        else item
        for i, item in enumerate(row.metadata)
    )


def opened(key: Sealer, row: StoredSecret | SecretVersion) -> Plain:
    """Open all texts that are sealed in a row."""
    return Plain(value=value_of(key, row), comment=comment_of(key, row), metadata=metadata_of(key, row))


def sealed(key: Sealer, row: StoredSecret, plain: Plain) -> StoredSecret:
    """Return the row with `plain` sealed for the row's folder, id and version."""
    return msgspec.structs.replace(
        row,
        value=key.seal(_context(row, "value"), plain.value.encode()),
        comment=key.seal(_context(row, "comment"), plain.comment.encode()) if plain.comment else None,
        metadata=_sealed_metadata(key, row, plain.metadata),
    )


def _sealed_metadata(key: Sealer, row: StoredSecret, items: Sequence[SecretMetadata]) -> tuple[SecretMetadata, ...]:
    return tuple(
        msgspec.structs.replace(item, value=key.seal_text(_context(row, f"metadata/{i}"), item.value))
        if item.is_encrypted
        else item
        for i, item in enumerate(items)
    )


def resealed(key: Sealer, row: Row) -> Row:
    """Return the row with every envelope under the newest key."""
    metadata = tuple(
        msgspec.structs.replace(item, value=key.reseal_text(_context(row, f"metadata/{i}"), item.value))
        if item.is_encrypted
        else item
        for i, item in enumerate(row.metadata)
    )
    comment = None if row.comment is None else key.reseal(_context(row, "comment"), row.comment)
    return msgspec.structs.replace(
        row, value=key.reseal(_context(row, "value"), row.value), comment=comment, metadata=metadata
    )


def as_version(ctx: Ctx, row: StoredSecret) -> SecretVersion:
    """Return the history entry for the new state of `row`, with the row's own envelopes."""
    return SecretVersion(
        id=ctx.new_id(),
        secret_id=row.id,
        project_id=row.project_id,
        folder_id=row.folder_id,
        version=row.version,
        key=row.key,
        kind=row.kind,
        user_id=row.user_id,
        value=row.value,
        comment=row.comment,
        skip_multiline_encoding=row.skip_multiline_encoding,
        metadata=row.metadata,
        tag_ids=row.tag_ids,
        actor_kind=row.actor_kind,
        actor_id=row.actor_id,
        created_at=row.updated_at,
    )
