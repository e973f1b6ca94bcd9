"""Deliveries: at least once, in order, later and later, and not without end; whoever dies leaves nothing stuck."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

from sqlalchemy import func, select, update

from tests.api import Api, postgres_settings, running
from tests.receiving import Receiver, delivered, later, receiving, settled
from tests.services.projects.test_webhooks import project, put, webhook
from watchword.domain.deliveries import MAX_ATTEMPTS, Delivery, DeliveryState
from watchword.services import delivering
from watchword.store import deliveries, schema

_t, _d = schema.delivery_targets, schema.deliveries


async def folders_and_webhook(api: Api, count: int) -> tuple[str, str]:
    shop = await project(api)
    for n in range(count):
        body = {"projectId": shop, "environment": "dev", "name": f"f{n:02}", "path": "/"}
        await api.ok("POST", "/api/v2/folders", body)
    return shop, (await webhook(api, shop))["id"]


async def states(api: Api, target_id: str) -> list[tuple[str, int]]:
    async with api.runtime.store.read() as tx:
        rows = await tx.all(select(_d.c.state, _d.c.attempts).where(_d.c.target_id == target_id).order_by(_d.c.seq))
    return [(row[0], row[1]) for row in rows]


async def test_messages_come_in_order_though_the_receiver_fails_in_between(any_api: Api) -> None:
    receiver = receiving(any_api)
    shop, _ = await folders_and_webhook(any_api, 8)
    failing: Iterator[int | str | None] = iter([None, 500, None, "h: too slow", 429, *[None] * 20])
    receiver.fails = lambda url: next(failing)

    for n in range(8):
        await put(any_api, shop, path=f"/f{n:02}")
    async with asyncio.timeout(10):
        while len(receiver.got) < 8:
            await later(any_api)
            await settled(any_api)

    assert [f"/f{n:02}" for n in range(8)] == [got.place[1] for got in receiver.got]
    assert 11 == receiver.tried
    assert 8 == len({got.headers["webhook-id"] for got in receiver.got})


async def test_a_failing_target_waits_and_holds_up_nobody_else(any_api: Api) -> None:
    receiver = receiving(any_api)
    shop, _ = await folders_and_webhook(any_api, 0)
    await webhook(any_api, shop, webhookUrl="https://good.example.com/")
    receiver.fails = lambda url: None if "good" in url else 500

    await put(any_api, shop)
    await settled(any_api)
    first = receiver.tried
    await put(any_api, shop, "OTHER")
    await settled(any_api)

    assert 2 == first
    assert 3 == receiver.tried
    assert ["https://good.example.com/"] * 2 == [got.url for got in receiver.got]


async def test_a_message_is_given_up_after_all_attempts_listed_and_sent_again_on_request(any_api: Api) -> None:
    receiver = receiving(any_api)
    shop, id = await folders_and_webhook(any_api, 0)
    receiver.fails = lambda url: 500
    await put(any_api, shop)
    for _ in range(MAX_ATTEMPTS + 3):
        await later(any_api)
        await settled(any_api)
    path = f"/api/v1/webhooks/{id}/deliveries"
    dead = (await any_api.ok("GET", path))["deliveries"]
    receiver.fails = lambda url: None

    retried = await any_api.ok("POST", f"{path}/retry", {"deliveryIds": [dead[0]["id"], "unknown"]})
    await settled(any_api)

    assert MAX_ATTEMPTS + 1 == receiver.tried
    assert [("dead", MAX_ATTEMPTS, 500, "the receiver answered 500")] == [
        tuple(one[name] for name in ("state", "attempts", "status", "error")) for one in dead
    ]
    assert 1 == retried["count"]
    assert [dead[0]["id"]] == [got.headers["webhook-id"] for got in receiver.got]
    assert [] == await states(any_api, id)


async def test_a_receiver_that_says_gone_is_believed_at_once(any_api: Api) -> None:
    receiver = receiving(any_api)
    shop, id = await folders_and_webhook(any_api, 0)
    receiver.fails = lambda url: 410

    await put(any_api, shop)
    await settled(any_api)

    assert [("dead", 1)] == await states(any_api, id)


async def test_a_message_that_cannot_be_made_is_tried_later_and_not_each_second(any_api: Api) -> None:
    receiver = receiving(any_api)
    shop, id = await folders_and_webhook(any_api, 0)

    def broken(url: str) -> int:
        raise ValueError("hidden")

    receiver.fails = broken
    await put(any_api, shop)
    await settled(any_api)
    shown = (await any_api.ok("GET", f"/api/v1/webhooks/{id}"))["webhook"]

    assert [("waiting", 1)] == await states(any_api, id)
    assert "the message could not be sent: ValueError" == shown["lastRunErrorMessage"]


async def test_what_waited_for_a_day_is_given_up_with_the_message_before_it(any_api: Api) -> None:
    """Else each of a thousand messages would be tried for a day, one after the other."""
    receiver = receiving(any_api)
    shop, id = await folders_and_webhook(any_api, 0)
    receiver.fails = lambda url: 500
    for n in range(3):
        await put(any_api, shop, f"K{n}")
    await settled(any_api)
    async with any_api.runtime.store.write() as tx:
        await tx.run(update(_d).values(waiting_since=_d.c.waiting_since - 25 * 3_600_000))
    await put(any_api, shop, "NEW")
    await later(any_api)
    await settled(any_api)

    assert [("dead", 2), ("dead", 0), ("dead", 0), ("waiting", 0)] == await states(any_api, id)


async def test_a_target_keeps_a_bounded_number_of_messages(any_api: Api, monkeypatch: object) -> None:
    receiver = receiving(any_api)
    _, id = await folders_and_webhook(any_api, 0)
    receiver.fails = lambda url: 500
    kinds: tuple[tuple[DeliveryState, int], ...] = (("waiting", 1_040), ("dead", 990))
    for state, count in kinds:
        rows = [
            Delivery(
                id=f"{state}{n}", target_id=id, org_id=any_api.org_id, event="e", body={}, state=state, created_at=1
            )
            for n in range(count)
        ]
        async with any_api.runtime.store.write() as tx:
            await deliveries.queue(tx, rows)
    await delivered(any_api, lambda: receiver.tried > 0)
    await settled(any_api)

    async with any_api.runtime.store.read() as tx:
        counts = await deliveries.counts(tx, [id])
        oldest = await deliveries.listed(tx, id, dead=True, after=0, most=1)
        next_one = await deliveries.listed(tx, id, dead=False, after=0, most=1)
    assert {id: (1_000, 1_000)} == counts
    assert "dead0" == oldest[0].id or "waiting" in oldest[0].id
    assert "waiting40" == next_one[0].id


async def test_a_lease_of_a_process_that_died_ends_and_the_message_is_sent_again(any_api: Api) -> None:
    receiver = receiving(any_api)
    shop, id = await folders_and_webhook(any_api, 0)
    async with any_api.runtime.store.write() as tx:
        await tx.count(update(_t).values(lease="dead", lease_ends_at=_now() + 60_000).returning(_t.c.id))
    await put(any_api, shop)
    await delivering.deliver_due(any_api.runtime)
    while_leased = receiver.tried
    async with any_api.runtime.store.write() as tx:
        await tx.count(update(_t).values(lease_ends_at=_now() - 1).returning(_t.c.id))
    await delivered(any_api, lambda: bool(receiver.got))

    assert 0 == while_leased
    assert 1 == len(receiver.got)
    del id


async def test_a_lease_that_ends_later_than_any_can_is_over_for_the_clock_was_put_back(any_api: Api) -> None:
    receiver = receiving(any_api)
    shop, _ = await folders_and_webhook(any_api, 0)
    async with any_api.runtime.store.write() as tx:
        far = _now() + 30 * 86_400_000
        await tx.count(update(_t).values(lease="dead", lease_ends_at=far, due_at=far).returning(_t.c.id))

    await put(any_api, shop)
    await delivered(any_api, lambda: bool(receiver.got))


async def test_who_lost_a_lease_records_nothing(any_api: Api) -> None:
    receiver = receiving(any_api)
    shop, id = await folders_and_webhook(any_api, 0)
    receiver.holds = asyncio.Event()
    await put(any_api, shop)
    working = asyncio.create_task(delivered(any_api, lambda: bool(receiver.got)))
    while not receiver.tried:
        await asyncio.sleep(0.01)
    async with any_api.runtime.store.write() as tx:
        await tx.count(update(_t).values(lease="another", lease_ends_at=_now() + 60_000).returning(_t.c.id))
    receiver.holds.set()
    await working

    assert [("waiting", 0)] == await states(any_api, id)


async def test_two_processes_share_the_targets_and_keep_the_order(tmp_path: Path, postgres_dsn: str) -> None:
    async with (
        running(postgres_settings(postgres_dsn)) as one,
        running(postgres_settings(postgres_dsn), fresh=False) as two,
    ):
        receivers = [receiving(one), receiving(two)]
        shop = await project(one)
        for n in range(6):
            await webhook(one, shop, webhookUrl=f"https://h.example.com/{n}")
        order: dict[str, list[str]] = {}
        for receiver in receivers:
            receiver.fails = _noting(order, receiver)
        for n in range(10):
            await put(one, shop, f"K{n}")
            await asyncio.gather(*(delivering.deliver_due(api.runtime) for api in (one, two)))
        await delivered(one, lambda: sum(len(receiver.got) for receiver in receivers) >= 60)
        await settled(two)

        assert 60 == sum(len(receiver.got) for receiver in receivers)
        by_target: dict[str, list[str]] = {}
        async with one.runtime.store.read() as tx:
            assert 0 == (await tx.one(select(func.count()).select_from(_d)))[0]
        for receiver in receivers:
            for got in receiver.got:
                by_target.setdefault(got.url, []).append(got.headers["webhook-id"])
        assert 6 == len(by_target)
        assert all(len(ids) == len(set(ids)) == 10 for ids in by_target.values())
        # Ids grow with time, and one process made them all.
        assert all(ids == sorted(ids) for ids in order.values())


def _noting(order: dict[str, list[str]], receiver: Receiver):
    fetch = receiver.fetch

    async def noted(method, url, *, headers=None, body=b"", ca=""):
        order.setdefault(url, []).append(headers["webhook-id"])
        return await fetch(method, url, headers=headers, body=body, ca=ca)

    receiver.fetch = noted  # type: ignore[method-assign]
    return lambda url: None


async def test_no_webhook_costs_a_write_no_statement(api: Api, monkeypatch) -> None:
    shop = await project(api)
    await put(api, shop)
    asked: list[str] = []
    load = deliveries.webhooks_of

    async def noted(tx, project_id):
        asked.append(project_id)
        return await load(tx, project_id)

    monkeypatch.setattr(deliveries, "webhooks_of", noted)
    for n in range(5):
        await put(api, shop, f"K{n}")

    assert [] == asked


def _now() -> int:
    import time

    return time.time_ns() // 1_000_000
