"""The bootstrap over the network: once, and only for whoever has the setup code."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.api import EMAIL, PASSWORD, Api, postgres_settings, running, sqlite_settings
from tests.databases import emptied
from tests.processes import Server, serving
from watchword.domain.secret import Secret
from watchword.services.people import passwords, setup
from watchword.settings import Settings, SettingsError, load
from watchword.store import schema
from watchword.store.people import people

BOOT = {"email": EMAIL, "password": PASSWORD, "organization": "Acme"}
PATH = "/api/v1/admin/bootstrap"


async def rows(api: Api) -> dict[str, int]:
    """How many rows are in each table that a bootstrap could write to."""
    async with api.runtime.store.read() as tx:
        return {
            table.name: len(await tx.all(table.select()))
            for table in (
                schema.settings,
                schema.users,
                schema.organizations,
                schema.identities,
                schema.audit_events,
                schema.denials,
            )
        }


@pytest.fixture
async def empty(any_settings: Settings) -> AsyncIterator[Api]:
    """A server on each engine that nobody has bootstrapped, with a code of its own making."""
    async with running(msgspec.structs.replace(any_settings, setup_code=None), fresh=False) as api:
        yield api


async def test_a_stranger_without_the_code_is_refused_and_leaves_nothing(empty: Api) -> None:
    before = await rows(empty)

    replies = [
        await empty.post(PATH, BOOT, token=None),
        await empty.post(PATH, {**BOOT, "setupCode": "wrong-wrong-wrong"}, token=None),
        await empty.post(PATH, {**BOOT, "setupCode": ""}, token=None),
        await empty.post(PATH, BOOT, token=None, headers={"x-setup-code": "wrong"}),
        await empty.post(PATH, {**BOOT, "password": "x"}, token=None),
    ]

    assert [403] * 5 == [reply.status_code for reply in replies]
    assert 1 == len({reply.json()["message"] for reply in replies})
    assert before == await rows(empty)


async def test_of_two_codes_that_differ_neither_counts(empty: Api) -> None:
    code = setup.setup_code(empty.runtime)
    assert code is not None
    before = await rows(empty)

    for body, header in ((code.reveal(), "wrong"), ("wrong", code.reveal())):
        reply = await empty.post(PATH, {**BOOT, "setupCode": body}, token=None, headers={"x-setup-code": header})
        assert 403 == reply.status_code
    assert before == await rows(empty)
    both = {"setupCode": code.reveal()}, {"x-setup-code": code.reveal()}
    assert 200 == (await empty.post(PATH, {**BOOT, **both[0]}, token=None, headers=both[1])).status_code


async def test_the_code_is_taken_from_the_body_or_the_header(empty: Api, any_settings: Settings) -> None:
    code = setup.setup_code(empty.runtime)
    assert code is not None

    by_header = await empty.post(PATH, BOOT, token=None, headers={"X-Setup-Code": code.reveal()})
    again = await empty.post(PATH, {**BOOT, "setupCode": code.reveal()}, token=None)
    late_stranger = await empty.post(PATH, BOOT, token=None)

    assert [200, 400, 400] == [reply.status_code for reply in (by_header, again, late_stranger)]
    assert "no-store" == by_header.headers["cache-control"]


async def test_every_process_of_a_database_takes_the_same_code(empty: Api, any_settings: Settings) -> None:
    settings = msgspec.structs.replace(any_settings, setup_code=None)
    async with running(settings, fresh=False) as other:
        first, second = setup.setup_code(empty.runtime), setup.setup_code(other.runtime)
        shown = await setup.code_to_show(other.runtime)
        reply = await empty.post(PATH, {**BOOT, "setupCode": second.reveal() if second else ""}, token=None)
        shown_afterwards = await setup.code_to_show(other.runtime)

    assert first == second == shown
    assert first is not None and 20 <= len(first.reveal().replace("-", ""))
    assert (200, None) == (reply.status_code, shown_afterwards)


async def test_a_code_of_the_operator_is_the_one_that_counts(any_settings: Settings) -> None:
    settings = msgspec.structs.replace(any_settings, setup_code=Secret("open sesame"))
    async with running(settings, fresh=False) as api:
        refused = await api.post(PATH, {**BOOT, "setupCode": "open sesamf"}, token=None)
        shown = await setup.code_to_show(api.runtime)
        taken = await api.post(PATH, {**BOOT, "setupCode": "open sesame"}, token=None)

    assert (403, None, 200) == (refused.status_code, shown, taken.status_code)


async def test_no_password_is_hashed_before_the_code_is_right(empty: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    hashed: list[Any] = []
    real = passwords.hashed

    async def counted(password: Secret) -> str:
        hashed.append(password)
        return await real(password)

    monkeypatch.setattr(passwords, "hashed", counted)

    await asyncio.gather(*[empty.post(PATH, {**BOOT, "setupCode": f"guess number {i}"}, token=None) for i in range(20)])

    assert [] == hashed


async def test_who_guesses_codes_waits_with_the_right_one_too(empty: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    code, now = setup.setup_code(empty.runtime), [1.0]
    monkeypatch.setattr(empty.runtime.limits.setup_codes, "_clock", lambda: now[0])
    assert code is not None
    right = {**BOOT, "setupCode": code.reveal()}

    guesses = [await empty.post(PATH, {**BOOT, "setupCode": f"guess number {i}"}, token=None) for i in range(15)]
    waiting = await empty.post(PATH, right, token=None)
    now[0] += int(waiting.headers["retry-after"])
    later = await empty.post(PATH, right, token=None)

    assert [403] * 10 + [429] * 5 == [one.status_code for one in guesses]
    assert (429, 200) == (waiting.status_code, later.status_code)


async def test_an_instance_that_lost_its_administrators_is_not_claimed_anew(any_api: Api) -> None:
    async with any_api.runtime.store.write() as tx:
        await people.change_user(tx, (await people.user_by_email(tx, EMAIL)).id, is_instance_admin=False)
        await tx.count(schema.identities.update().values(is_instance_admin=0))

    reply = await any_api.post(PATH, BOOT, token=None)

    assert 400 == reply.status_code


@pytest.mark.parametrize("engine", ["sqlite", "postgresql"])
async def test_of_many_bootstraps_at_once_one_is_carried_out(
    tmp_path: Path, engine: str, request: pytest.FixtureRequest
) -> None:
    if engine == "sqlite":
        async with (
            running(sqlite_settings(tmp_path), fresh=False) as one,
            running(sqlite_settings(tmp_path), fresh=False) as two,
        ):
            statuses, counts = await _race([one, two]), await rows(one)
    else:
        dsn = await emptied(request.getfixturevalue("migrated"))
        async with serving(tmp_path, dsn, count=2) as servers:
            statuses = await _race([await _unclaimed(server) for server in servers])
            async with running(postgres_settings(dsn), fresh=False) as looking:
                counts = await rows(looking)

    assert [200] + [400] * 11 == sorted(statuses)
    assert (1, 1, 1, 1) == tuple(counts[name] for name in ("users", "organizations", "identities", "audit_events"))


async def _unclaimed(server: Server) -> Api:
    return await server.api(Api(None, None, None))


async def _race(apis: list[Api]) -> list[int]:
    tries = [
        api.post(PATH, {"email": f"admin{i}@example.com", "password": PASSWORD, "organization": f"Org {i}"}, token=None)
        for i in range(6)
        for api in apis
    ]
    return [reply.status_code for reply in await asyncio.gather(*tries)]


@pytest.mark.parametrize("text", ["short", " padded with spaces ", "x" * 201, "line\nbreak in it"])
def test_a_code_that_cannot_be_sent_or_is_soon_guessed_is_refused(text: str) -> None:
    with pytest.raises(SettingsError) as refused:
        load({"WATCHWORD_SETUP_CODE": text})

    assert "WATCHWORD_SETUP_CODE: expected 8 to 200 characters, or off" in refused.value.faults[0]
    assert text not in str(refused.value)
