"""Proofs that may be used once, and were."""

from collections.abc import Sequence

import msgspec
from sqlalchemy import bindparam, select

from watchword.store import schema
from watchword.store.engine import Tx, prepare, prepare_upsert

_p = schema.spent_proofs

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
