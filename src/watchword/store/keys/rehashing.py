"""Replace the hash of a credential that was made with an earlier key, when the credential is used."""

from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import msgspec
from sqlalchemy import Table, bindparam, update

from watchword.store import schema, versions
from watchword.store.engine import Prepared, Tx, prepare

Rehashable = Literal["client_secrets", "service_tokens"]


def _replacing(table: Table) -> Prepared:
    return prepare(
        lambda: (
            update(table)
            .where(table.c.id == bindparam("of"), table.c.hash == bindparam("before"))
            .values(hash=bindparam("after"), hash_version=bindparam("key"))
        )
    )


_CLIENT_SECRET = _replacing(schema.client_secrets)
_SERVICE_TOKEN = _replacing(schema.service_tokens)
# How a hash of each table is replaced, and the version key of its owner.
_TABLES: Mapping[Rehashable, tuple[Prepared, Callable[[str], str]]] = {
    "client_secrets": (_CLIENT_SECRET, versions.identity),
    "service_tokens": (_SERVICE_TOKEN, versions.project),
}


class Rehashed(msgspec.Struct, frozen=True):
    """A journal entry: a credential was used that is hashed with an earlier key; store its hash under the current key.

    `owner_id` is the identity of a client secret, the project of a service token.
    """

    table: Rehashable
    id: str
    owner_id: str
    before: bytes
    after: bytes
    version: int

    @classmethod
    async def apply(cls, tx: Tx, entries: Sequence["Rehashed"]) -> Sequence[None]:
        """Each once, also where several were used at one moment."""
        for one in sorted(entries, key=lambda one: (one.table, one.id)):
            replace, version_key = _TABLES[one.table]
            await tx.run(replace, of=one.id, before=one.before, after=one.after, key=one.version)
            tx.changed(version_key(one.owner_id))
        return [None] * len(entries)
