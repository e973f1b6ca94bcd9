"""Looks for occurrences: each is told once, by one process of all, and what is no occurrence is not told."""

import asyncio
from pathlib import Path
from typing import Any

from sqlalchemy import update

from tests.api import Api, postgres_settings, running
from tests.receiving import Receiver, receiving, settled
from tests.services.identities.test_alert_channels import BASE, channel
from watchword.services.identities.alert_looks import look, look_when_due, network_of
from watchword.services.upkeep import note_refusals
from watchword.store import schema
from watchword.store.identities import identities

DAY = 86_400


async def last_login(api: Api, identity_id: str) -> int | None:
    async with api.runtime.store.read() as tx:
        found = await identities.by_id(tx, identity_id)
        return found.last_login_at if found else None


async def told(api: Api, receiver: Receiver, *, hourly: bool = True) -> list[tuple[str, list[Any]]]:
    """What is told by one more look: types and items."""
    before = len(receiver.got)
    await look(api.runtime, hourly=hourly)
    await settled(api)
    return [(got.json["type"], got.json["data"]["items"]) for got in receiver.got[before:]]


async def test_what_ends_soon_is_told_once(any_api: Api) -> None:
    receiver = receiving(any_api)
    identity = await any_api.identity(name="runner")
    await any_api.universal(identity["id"], {"ttl": 5 * DAY, "description": "ci"})
    await any_api.universal((await any_api.identity(name="later"))["id"], {"ttl": 40 * DAY})
    await channel(any_api, alerts=["credential.expiring"], expiringDays=7)

    first, second = await told(any_api, receiver), await told(any_api, receiver)
    any_api.clock.forward(36 * DAY)
    third = await told(any_api, receiver)

    ((kind, items),) = first
    assert "watchword.credential.expiring" == kind
    assert [("runner", "client-secret", "ci")] == [(i["identityName"], i["kind"], i["name"]) for i in items]
    assert [] == second
    assert ["later"] == [item["identityName"] for _, items in third for item in items]


async def test_an_identity_that_is_not_used_is_told_once_in_each_time_of_disuse(any_api: Api) -> None:
    receiver = receiving(any_api)
    identity = await any_api.identity(name="idle")
    login = await any_api.universal(identity["id"])
    any_api.runtime.journal.later_every = 0
    await any_api.login(login)
    async with asyncio.timeout(5):  # the moment of the login is written a little later
        while await last_login(any_api, identity["id"]) is None:
            await asyncio.sleep(0.02)
    await channel(any_api, alerts=["identity.unused"], unusedDays=30)

    none = await told(any_api, receiver)
    any_api.clock.forward(31 * DAY)
    first, again = await told(any_api, receiver), await told(any_api, receiver)

    assert [] == none
    assert ["idle"] == [item["identityName"] for _, items in first for item in items if item["lastLoginTime"]]
    assert [] == again


async def test_many_refused_logins_are_told_once_an_hour(any_api: Api) -> None:
    receiver = receiving(any_api)
    identity = await any_api.identity(name="guessed")
    login = await any_api.universal(identity["id"])
    await channel(any_api, alerts=["login.refused-often"], refusals=3)
    counts = []
    for _ in range(4):
        wrong = {**login, "clientSecret": "wrong"}
        await any_api.post("/api/v1/auth/universal-auth/login", wrong, token=None)
        note_refusals(any_api.runtime, at_once=True)
        counts.append(len(await told(any_api, receiver, hourly=False)))
    any_api.clock.forward(30)

    assert sum(counts) <= 1
    del identity


async def test_a_network_is_told_when_an_identity_first_comes_from_it_but_not_its_first_one(any_api: Api) -> None:
    receiver = receiving(any_api)
    await channel(any_api, alerts=["identity.new-network"])
    identity = await any_api.identity(name="runner")
    login = await any_api.universal(identity["id"])

    async def seen(address: str) -> list[str]:
        transport = any_api.client._transport
        transport.client = (address, 1)  # type: ignore[attr-defined]
        assert 200 == (await any_api.client.post("/api/v1/auth/universal-auth/login", json=login)).status_code
        return [item["network"] for _, items in await told(any_api, receiver, hourly=False) for item in items]

    assert [] == await seen("203.0.113.7")
    assert [] == await seen("203.0.113.99")
    assert ["198.51.100.0/24"] == await seen("198.51.100.1")
    assert [] == await seen("198.51.100.2")
    assert ["2001:db8:7::/48"] == await seen("2001:db8:7:1::1")


async def test_only_one_process_looks_in_a_period(tmp_path: Path, postgres_dsn: str) -> None:
    async with (
        running(postgres_settings(postgres_dsn)) as one,
        running(postgres_settings(postgres_dsn), fresh=False) as two,
    ):
        receivers = [receiving(one), receiving(two)]
        identity = await one.identity(name="runner")
        await one.universal(identity["id"], {"ttl": DAY})
        await channel(one)
        await one.ok("PATCH", f"{BASE}/{(await one.ok('GET', BASE))['channels'][0]['id']}", {"name": "x"})
        async with one.runtime.store.write() as tx:
            await tx.run(update(schema.settings).where(schema.settings.c.key.like("turn/%")).values(value="0"))
        await asyncio.gather(*(look_when_due(api.runtime) for api in (one, two) for _ in range(3)))
        await settled(one)
        await settled(two)
        kinds = [got.json["type"] for receiver in receivers for got in receiver.got]

        assert 1 == kinds.count("watchword.credential.expiring")


def test_the_network_of_an_address() -> None:
    found = [network_of(a) for a in ("203.0.113.7", "::ffff:203.0.113.7", "2001:db8:1:2::3", "unknown")]

    assert ["203.0.113.0/24", "203.0.113.0/24", "2001:db8:1::/48", None] == found
