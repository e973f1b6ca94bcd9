"""What a tenant stores costs its own requests time, and nobody else: long work goes on in bounded pieces, one in a turn
of the loop.

Nothing here is timed: pieces and the work in each of them are counted.
"""

import asyncio
import itertools
import sys
from collections import Counter
from collections.abc import Awaitable
from typing import Any

import pytest

from tests.api import Api
from tests.vault import Vault, rule
from watchword.domain.access import boundary
from watchword.domain.access.records import Membership, MembershipRole
from watchword.domain.globs import MAX_WORK, Effort
from watchword.domain.people.records import User
from watchword.services import turns
from watchword.services.secrets import folder_cache
from watchword.store import versions
from watchword.store.access.grants import HELD, MEMBERSHIPS
from watchword.store.people.people import USERS

_places: list[str] = []  # the functions that paused


async def paused_in(pieces: list[int], work: Awaitable[Any]) -> Counter[str]:
    """How often each function let others go first during this work."""
    del pieces[1:], _places[:]
    await work
    return Counter(_places)


@pytest.fixture
def pieces(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The steps that patterns had taken at each pause; every chance to pause is taken."""
    found = [Effort.steps]
    pause = turns.Turns.pause

    async def counted(self: turns.Turns) -> None:
        found.append(Effort.steps)
        _places.append(sys._getframe(2).f_code.co_name)
        await pause(self)

    monkeypatch.setattr(turns, "SLICE", 0)
    monkeypatch.setattr(turns.Turns, "pause", counted)
    return found


def longest(pieces: list[int]) -> int:
    return max(after - before for before, after in itertools.pairwise(pieces))


async def filled(vault: Vault, count: int, make: Any = lambda i: f"SECRET_{i}", **more: Any) -> None:
    for start in range(0, count, 500):
        body = {
            "projectId": vault.project_id,
            "environment": "dev",
            **more,
            "secrets": [{"secretKey": make(i), "secretValue": f"v{i}"} for i in range(start, min(count, start + 500))],
        }
        await vault.api.ok("POST", "/api/v4/secrets/batch", body)


def hostile(count: int) -> list[dict[str, Any]]:
    names = [f"*S*E?*{i}*[A-Z]*T_*?*{i % 7}*X" for i in range(count)]
    return [rule("describeSecret", "readValue", environment="dev", secretName={"$glob": name}) for name in names] + [
        rule("describeSecret", "readValue", environment="dev", secretName={"$glob": "SECRET_1*"})
    ]


async def test_a_list_under_hundreds_of_patterns_goes_on_in_pieces(api: Api, pieces: list[int]) -> None:
    vault = await Vault.new(api)
    await filled(vault, 60)
    token = await vault.bot(*hostile(60))
    del pieces[1:]

    found = await vault.values(token=token)

    assert sorted(f"SECRET_{i}" for i in range(60) if str(i).startswith("1")) == sorted(found)
    assert len(pieces) > 10
    assert longest(pieces) <= 512 * 40 * len("SECRET_100")


async def test_a_large_list_goes_on_in_pieces_and_is_answered_as_a_small_one(
    api: Api, pieces: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    vault = await Vault.new(api)
    await vault.folder("/deep")
    await filled(vault, 700)
    await filled(vault, 700, secretPath="/deep")
    monkeypatch.setattr(folder_cache, "PIECE_COUNT", 100)
    del pieces[1:]

    found = (await vault.every(recursive=True))["secrets"]

    expected = {(path, f"SECRET_{i}", f"v{i}") for path in ("/", "/deep") for i in range(700)}
    assert (1400, expected) == (
        len(found),
        {(one["secretPath"], one["secretKey"], one["secretValue"]) for one in found},
    )
    assert len(pieces) > 2 * 700 // 100


async def test_a_list_of_many_folders_lets_others_go_first_after_each(api: Api, pieces: list[int]) -> None:
    vault = await Vault.new(api)
    for number in range(20):
        await vault.folder(f"/f{number}")
        await filled(vault, 3, secretPath=f"/f{number}")
    await vault.every(recursive=True)
    places = await paused_in(pieces, vault.every(recursive=True))

    assert places["_together"] >= 20


async def test_the_people_of_a_project_and_of_an_organization_are_listed_in_pieces(api: Api, pieces: list[int]) -> None:
    vault = await Vault.new(api)
    now: dict[str, Any] = {"created_at": 1, "updated_at": 1}
    persons = [User(id=f"person-{n}", email=f"p{n}@example.com", password_hash="-", **now) for n in range(300)]
    memberships = [
        Membership(
            id=f"{one.id}-{place}", org_id=api.org_id, project_id=place, actor_kind="user", actor_id=one.id, **now
        )
        for one in persons
        for place in (None, vault.project_id)
    ]
    held = [MembershipRole(id=f"{one.id}-held", membership_id=one.id, role="viewer", **now) for one in memberships]
    async with api.runtime.store.write() as tx:
        await tx.many(USERS.INSERT, [USERS.values(one) for one in persons])
        await tx.many(MEMBERSHIPS.INSERT, [MEMBERSHIPS.values(one) for one in memberships])
        await tx.many(HELD.INSERT, [HELD.values(one) for one in held])
        tx.changed(versions.user("person-0"), versions.org(api.org_id))

    in_project = await paused_in(pieces, api.ok("GET", f"/api/v1/projects/{vault.project_id}/memberships"))
    in_org = await paused_in(pieces, api.ok("GET", f"/api/v2/organizations/{api.org_id}/memberships"))

    assert min(in_project["every"], in_project["in_pieces"]) >= 300
    assert min(in_org["members"], in_org["in_pieces"]) >= 300


async def test_roles_that_take_long_to_compare_are_compared_outside_of_units(api: Api, pieces: list[int]) -> None:
    vault = await Vault.new(api)
    giver = [
        rule("read", "create", "edit", "grant-privileges", subject="identity"),
        rule("read", subject="role"),
        *patterns(120, "*a*b*c*{}*d*[a-z]*"),
    ]
    token = await vault.bot(*giver)
    made = {"slug": "wide", "name": "Wide", "permissions": patterns(120, "*a*b*{}*[a-z]*?*")}
    await api.ok("POST", f"/api/v1/projects/{vault.project_id}/roles", made)
    other = await api.identity("no-access", "other")
    del pieces[1:]

    url = f"/api/v1/projects/{vault.project_id}/identity-memberships/{other['id']}"
    asked = asyncio.create_task(api.post(url, {"role": "wide"}, token=token))
    meanwhile = 0
    while not asked.done():
        await api.ok("PATCH", f"/api/v1/identities/{other['id']}", {"name": f"other {meanwhile}"})
        meanwhile += 1
    refused = asked.result()

    assert (403, "PermissionBoundaryError") == (refused.status_code, refused.json()["error"])
    assert meanwhile > 3
    assert len(pieces) > 10
    assert longest(pieces) <= boundary.AT_ONCE + 4 * MAX_WORK


def patterns(count: int, text: str) -> list[dict[str, Any]]:
    return [
        rule("readValue", "describeSecret", environment="dev", secretName={"$glob": text.format(i)})
        for i in range(count)
    ]


async def test_of_all_long_work_one_piece_is_done_in_a_turn_of_the_loop() -> None:
    order: list[str] = []

    async def work(name: str) -> None:
        turn = turns.Turns()
        for _ in range(5):
            order.append(name)
            await turn.pause()

    tasks = [asyncio.create_task(work(name)) for name in "abcdefgh"]
    between = []
    while not all(task.done() for task in tasks):
        before = len(order)
        await asyncio.sleep(0)
        between.append(len(order) - before)

    assert list("abcdefgh") * 5 == order
    assert max(between[1:]) <= 1  # the first pieces are done where they begin


async def test_work_that_was_cancelled_takes_no_turn() -> None:
    async def work() -> None:
        while True:
            await turns.Turns().pause()

    lost = asyncio.create_task(work())
    await asyncio.sleep(0)
    lost.cancel()

    async with asyncio.timeout(5):
        await turns.Turns().pause()

    assert lost.cancelled()


async def test_a_list_under_rules_that_must_be_asked_one_by_one_is_judged_beside_the_loop(api: Api) -> None:
    vault = await Vault.new(api)
    await filled(vault, 60)
    matches = [{"$elemMatch": {"key": "team", "value": {"$glob": f"a*{i}"}}} for i in range(20)]
    token = await vault.bot(
        *[rule("read", environment="dev", metadata=one) for one in matches],
        rule("read", environment="dev", secretName={"$glob": "!(SECRET_1*)"}),
    )
    await vault.put("OWN", "mine", secretMetadata=[{"key": "team", "value": "abc7"}])

    found = await vault.values(token=token)

    assert sorted(["OWN", *[f"SECRET_{i}" for i in range(60) if not str(i).startswith("1")]]) == sorted(found)
