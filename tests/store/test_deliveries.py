"""The outbox: what is due is found by an index, leases exclude each other, and the order is the database's."""

from collections.abc import Sequence

from sqlalchemy import select

from tests.store import samples
from watchword.domain.deliveries import Delivery, Outcome
from watchword.store import deliveries, schema
from watchword.store.engine import Prepared, Store
from watchword.store.sqlite import _DIALECT, SqliteStore


async def filled(store: Store, *targets: str) -> None:
    async with store.write() as tx:
        await samples.fill(tx)
        await tx.run(schema.deliveries.delete())
        (first,) = deliveries.TARGETS.every(await tx.all(select(*deliveries.TARGETS.columns)))
        await tx.run(schema.delivery_targets.delete())
        for id in targets:
            values = {**deliveries.TARGETS.values(first), "id": id, "is_disabled": 0, "due_at": None, "lease": None}
            await tx.run(deliveries.TARGETS.INSERT, **values)
        tx.changed("project/1")


def about(target_id: str, id: str) -> Delivery:
    return Delivery(id=id, target_id=target_id, org_id="1", event="e", body={}, created_at=1)


async def queue(store: Store, *messages: Delivery) -> None:
    async with store.write() as tx:
        await deliveries.queue(tx, messages)


async def claim(store: Store, token: str, most: int = 10) -> list[str]:
    async with store.write() as tx:
        return sorted(await deliveries.claim(tx, token, 60_000, most))


async def test_only_targets_with_messages_are_claimed_and_each_once(store: Store) -> None:
    await filled(store, "a", "b", "c")
    await queue(store, about("a", "1"), about("c", "2"), about("a", "3"), about("gone", "4"))

    found = [await claim(store, "one", 1), await claim(store, "two"), await claim(store, "three")]

    assert ["a", "c"] == sorted(found[0] + found[1])
    assert [] == found[2]


async def test_messages_are_read_in_the_order_in_which_they_were_stored(store: Store) -> None:
    await filled(store, "a")
    await queue(store, about("a", "z"))
    await queue(store, about("a", "y"), about("a", "x"))
    await claim(store, "one")
    found = []
    for _ in range(3):
        async with store.write() as tx:
            head = await deliveries.head(tx, "a", "one", 60_000)
            assert head is not None
            found.append(head[1].id)
            assert await deliveries.delivered(tx, "one", head[1], 1)

    assert ["z", "y", "x"] == found


async def test_a_released_target_may_be_claimed_again_and_a_failed_one_later(store: Store) -> None:
    await filled(store, "a", "b")
    await queue(store, about("a", "1"), about("b", "2"))
    await claim(store, "one")
    async with store.write() as tx:
        await deliveries.release(tx, "a", "one")
        head = await deliveries.head(tx, "b", "one", 60_000)
        assert head is not None
        outcome = Outcome(status=500, error="no")
        await deliveries.failed(tx, "one", head[1], outcome, 1, 60_000, is_over=False)
        await deliveries.release(tx, "b", "one")

    assert ["a"] == await claim(store, "two")


async def test_messages_of_targets_that_are_gone_are_swept(store: Store) -> None:
    await filled(store, "a")
    await queue(store, about("a", "1"), about("gone", "2"))

    async with store.write() as tx:
        assert 1 == await deliveries.sweep(tx, 0)
    async with store.read() as tx:
        assert ["1"] == [row[0] for row in await tx.all(select(schema.deliveries.c.id))]


async def test_what_is_due_is_found_by_an_index(sqlite_store: SqliteStore) -> None:
    """However many messages wait for a receiver that is down, and however many webhooks there are."""
    plans: Sequence[Prepared] = (deliveries._ANY_DUE, deliveries._CLAIM, deliveries._HEAD)

    async with sqlite_store.write() as tx:
        for statement in plans:
            text = statement.on(_DIALECT).text
            rows = tx._connection.execute(f"EXPLAIN QUERY PLAN {text}", [1] * text.count("?")).fetchall()  # type: ignore[attr-defined]
            details = [row[3] for row in rows]
            assert not [one for one in details if one.startswith("SCAN deliver")], details
