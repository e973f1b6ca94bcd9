"""Long polls: who waits is answered when its answer changes, whoever changed it, and judged for the answer."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests import building
from tests.api import Api, Begun, postgres_settings, running, sqlite_settings
from tests.databases import emptied, placed
from tests.vault import RAW, Vault, rule
from watchword.app import Server
from watchword.services import delivering
from watchword.settings import Settings

V4 = "/api/v4/secrets"


async def waiting(api: Api, count: int = 1) -> None:
    """Return when so many requests wait, and have been compared with what is there."""
    async with asyncio.timeout(10):
        while len(api.runtime.waiting) < count or not len(api.runtime.changes):
            await asyncio.sleep(0.005)


async def finished(reply: Awaitable[httpx.Response]) -> tuple[httpx.Response, float]:
    began = time.monotonic()
    async with asyncio.timeout(20):
        return await reply, time.monotonic() - began


@pytest.mark.parametrize("version", [RAW, V4])
async def test_a_request_with_another_version_than_the_present_one_is_answered_at_once(
    any_api: Api, version: str
) -> None:
    vault = await Vault.new(any_api)
    await vault.put("KEY", "1")
    whole = await vault.call("GET", api=version)

    replies = [
        await vault.call("GET", name, api=version, waitVersion=known, waitSeconds=60)
        for name in ("", "KEY")
        for known in ("", "0", '"other"')
    ]

    assert [200] * 6 == [reply.status_code for reply in replies]
    assert {whole.headers["etag"]} == {reply.headers["etag"] for reply in replies[:3]}
    assert whole.json() == replies[0].json()


@pytest.mark.parametrize("name", ["", "KEY"])
async def test_a_request_that_waits_is_answered_when_the_secret_changes(any_api: Api, name: str) -> None:
    vault = await Vault.new(any_api)
    await vault.put("KEY", "1")
    seen = (await vault.call("GET", name)).headers["etag"]

    poll = asyncio.create_task(vault.call("GET", name, waitVersion=seen))
    await waiting(any_api)
    await vault.change("KEY", secretValue="2")
    reply, took = await finished(poll)

    assert (200, True) == (reply.status_code, took < 5)
    assert "2" in reply.text
    assert seen != reply.headers["etag"]
    assert 0 == len(any_api.runtime.waiting) == len(any_api.runtime.changes)


async def by_id(vault: Vault, secret_id: str, version: str = RAW, **query: Any) -> httpx.Response:
    return await vault.api.get(f"{version}/id/{secret_id}", query=query)


@pytest.mark.parametrize("version", [RAW, V4])
@pytest.mark.parametrize("change", ["value", "move", "tag", "delete"])
async def test_a_read_by_id_waits_as_one_by_name_does(any_api: Api, version: str, change: str) -> None:
    vault = await Vault.new(any_api)
    secret = await vault.put("KEY", "1")
    await vault.folder("/other")
    tag = await vault.tag("blue")
    seen = (await by_id(vault, secret["id"], version)).headers["etag"]
    same, took = await finished(by_id(vault, secret["id"], version, waitVersion=seen, waitSeconds=1))

    poll = asyncio.create_task(by_id(vault, secret["id"], version, waitVersion=seen))
    await waiting(any_api)
    if change == "value":
        await vault.change("KEY", secretValue="2")
    elif change == "tag":
        await vault.change("KEY", tagIds=[tag])
    elif change == "delete":
        await vault.call("DELETE", "KEY")
    else:
        move = {
            "projectId": vault.project_id,
            "sourceEnvironment": "dev",
            "destinationEnvironment": "dev",
            "destinationSecretPath": "/other",
            "secretIds": [secret["id"]],
        }
        await any_api.ok("POST", "/api/v4/secrets/move", move)
    reply, _ = await finished(poll)

    assert (304, b"", True) == (same.status_code, same.content, took > 0.9)
    assert (404 if change == "delete" else 200) == reply.status_code
    assert seen != reply.headers.get("etag")
    if change == "move":
        assert "/other" == reply.json()["secret"]["secretPath"]


async def test_the_time_over_is_304_with_the_same_version(any_api: Api) -> None:
    vault = await Vault.new(any_api)
    await vault.put("KEY", "1")
    seen = (await vault.call("GET")).headers["etag"]

    reply, took = await finished(vault.call("GET", waitVersion=seen, waitSeconds=1))

    assert (304, b"", seen) == (reply.status_code, reply.content, reply.headers["etag"])
    assert 0.9 < took


async def test_the_version_is_taken_in_every_form_of_a_tag(api: Api) -> None:
    vault = await Vault.new(api)
    seen = (await vault.call("GET")).headers["etag"]

    forms = [seen, seen.strip('"'), "W/" + seen, seen[:-1] + '-gzip"']
    replies = await asyncio.gather(*(vault.call("GET", waitVersion=form, waitSeconds=1) for form in forms))

    assert [304] * 4 == [reply.status_code for reply in replies]


@pytest.mark.parametrize("field", [{"waitSeconds": "0"}, {"waitSeconds": "61"}, {"waitVersion": "x" * 201}])
async def test_what_is_out_of_bounds_is_422_and_names_the_field(api: Api, field: dict[str, str]) -> None:
    vault = await Vault.new(api)

    reply = await vault.call("GET", **{"waitVersion": "x", **field})

    assert 422 == reply.status_code
    assert [[next(iter(field))]] == [issue["path"] for issue in reply.json()["message"]]


async def test_a_change_that_the_caller_cannot_see_does_not_end_the_wait(any_api: Api) -> None:
    vault = await Vault.new(any_api)
    await vault.put("SEEN", "1")
    rules = [rule("describeSecret", "readValue", secretName={"$eq": "SEEN"})]
    token = await building.member(any_api, vault.project_id, "one", rules=rules)
    seen = (await vault.call("GET", token=token)).headers["etag"]

    poll = asyncio.create_task(vault.call("GET", token=token, waitVersion=seen, waitSeconds=2))
    await waiting(any_api)
    await vault.put("HIDDEN", "1")

    assert 304 == (await poll).status_code


async def test_imports_and_references_move_the_answer_too(any_api: Api) -> None:
    vault = await Vault.new(any_api)
    for path in ("/app", "/shared", "/far"):
        await vault.folder(path)
    await vault.put("HOST", "h1", path="/shared")
    await vault.put("FAR", "f1", path="/far")
    await vault.put("URL", "${dev.far.FAR}/x", path="/app")
    assert 200 == (await vault.link("/shared", path="/app")).status_code

    async def next_after(name: str, value: str, path: str) -> str:
        whole = await vault.call("GET", path="/app", api=V4)
        poll = asyncio.create_task(vault.call("GET", path="/app", api=V4, waitVersion=whole.headers["etag"]))
        await waiting(any_api)
        await vault.change(name, secretValue=value, path=path)
        reply, _ = await finished(poll)
        assert 200 == reply.status_code
        return str(reply.text)

    assert "h2" in await next_after("HOST", "h2", "/shared")
    assert "f2/x" in await next_after("FAR", "f2", "/far")


async def test_a_secret_too_large_to_cache_moves_the_answer_too(any_api: Api) -> None:
    vault = await Vault.new(any_api)
    await vault.put("BIG", "a" * 200_000)
    await vault.put("BIG2", "a" * 900_000)
    seen = (await vault.call("GET", "BIG")).headers["etag"]

    poll = asyncio.create_task(vault.call("GET", "BIG", waitVersion=seen))
    await waiting(any_api)
    await vault.change("BIG", secretValue="b" * 200_000)
    reply, _ = await finished(poll)

    assert (200, "b" * 200_000) == (reply.status_code, reply.json()["secret"]["secretValue"])


async def test_a_token_that_is_revoked_while_it_waits_gets_401(any_api: Api) -> None:
    vault = await Vault.new(any_api)
    token = await building.member(any_api, vault.project_id)
    seen = (await vault.call("GET", token=token)).headers["etag"]

    poll = asyncio.create_task(vault.call("GET", token=token, waitVersion=seen))
    await waiting(any_api)
    await any_api.ok("POST", "/api/v1/auth/token/revoke", {"accessToken": token}, token=None)
    reply, took = await finished(poll)

    assert (401, True) == (reply.status_code, took < 5)


async def test_a_token_that_expires_while_it_waits_gets_401(api: Api) -> None:
    vault = await Vault.new(api)
    token = await building.member(api, vault.project_id)
    seen = (await vault.call("GET", token=token)).headers["etag"]

    poll = asyncio.create_task(vault.call("GET", token=token, waitVersion=seen, waitSeconds=1))
    await waiting(api)
    api.clock.forward(400 * 86_400)

    assert 401 == (await poll).status_code


async def test_a_right_that_is_taken_while_it_waits_is_403(any_api: Api) -> None:
    vault = await Vault.new(any_api)
    rules = [rule("describeSecret", "readValue")]
    token = await building.member(any_api, vault.project_id, "reader", rules=rules)
    seen = (await vault.call("GET", token=token)).headers["etag"]

    poll = asyncio.create_task(vault.call("GET", token=token, waitVersion=seen))
    await waiting(any_api)
    roles = await any_api.ok("GET", f"/api/v1/projects/{vault.project_id}/roles")
    (role,) = [one for one in roles["roles"] if one["slug"] == "reader"]
    await any_api.ok("PATCH", f"/api/v1/projects/{vault.project_id}/roles/{role['id']}", {"permissions": []})

    assert 403 == (await finished(poll))[0].status_code


async def test_a_secret_that_is_deleted_while_it_waits_is_404(any_api: Api) -> None:
    vault = await Vault.new(any_api)
    await vault.put("KEY", "1")
    seen = (await vault.call("GET", "KEY")).headers["etag"]

    poll = asyncio.create_task(vault.call("GET", "KEY", waitVersion=seen))
    await waiting(any_api)
    await vault.call("DELETE", "KEY")

    assert 404 == (await finished(poll))[0].status_code


async def test_a_use_of_a_limited_token_is_counted_once_however_often_it_is_judged(any_api: Api) -> None:
    vault = await Vault.new(any_api)
    identity = await any_api.identity()
    login = await any_api.universal(identity["id"], accessTokenNumUsesLimit=2)
    await any_api.ok(
        "POST", f"/api/v2/workspace/{vault.project_id}/identity-memberships/{identity['id']}", {"role": "member"}
    )
    token = await any_api.login(login)
    seen = (await vault.call("GET", token=token)).headers["etag"]

    poll = asyncio.create_task(vault.call("GET", token=token, waitVersion=seen))
    await waiting(any_api)
    await vault.put("KEY", "1")

    assert 200 == (await finished(poll))[0].status_code
    assert 401 == (await vault.call("GET", token=token)).status_code


@asynccontextmanager
async def two_servers(
    request: pytest.FixtureRequest, tmp_path: Path, engine: str, **fields: Any
) -> AsyncIterator[tuple[Api, Api]]:
    known: Begun
    settings: Settings
    if engine == "sqlite":
        file, known = request.getfixturevalue("begun_file")
        settings = sqlite_settings(placed(file, tmp_path), **fields)
    else:
        statements, known = request.getfixturevalue("begun_rows")
        settings = postgres_settings(await emptied(request.getfixturevalue("migrated"), statements), **fields)
    async with running(settings, fresh=False) as first, running(settings, fresh=False) as second:
        yield known.hand_to(first), known.hand_to(second)


@pytest.mark.parametrize("engine", ["sqlite", "postgresql"])
async def test_a_write_by_another_server_ends_the_wait_at_whatever_moment_it_comes(
    request: pytest.FixtureRequest, tmp_path: Path, engine: str
) -> None:
    async with two_servers(request, tmp_path, engine) as (first, second):
        vault = await Vault.new(first)
        elsewhere = Vault(second, vault.project_id)
        await vault.put("KEY", "0")
        for value in range(1, 6):
            seen = (await vault.call("GET")).headers["etag"]
            poll = asyncio.create_task(vault.call("GET", waitVersion=seen))
            await asyncio.sleep(0.003 * value)  # the moment is another one each time
            await elsewhere.change("KEY", secretValue=f"v{value}")
            reply, took = await finished(poll)
            assert (200, True) == (reply.status_code, took < 5)
            assert f"v{value}" in reply.text


@pytest.mark.parametrize("engine", ["sqlite", "postgresql"])
async def test_one_answer_is_one_audit_event(request: pytest.FixtureRequest, tmp_path: Path, engine: str) -> None:
    async with two_servers(request, tmp_path, engine, audit_reads="strict") as (api, _):
        vault = await Vault.new(api)
        await vault.put("KEY", "1")
        rules = [rule("describeSecret", "readValue", secretName={"$eq": "KEY"})]
        token = await building.member(api, vault.project_id, "one", rules=rules)
        seen = (await vault.call("GET", token=token)).headers["etag"]

        async def events() -> int:
            query = {"projectId": vault.project_id, "eventType": "get-secrets", "limit": 100}
            return len((await api.ok("GET", "/api/v1/organization/audit-logs", query=query))["auditLogs"])

        poll = asyncio.create_task(vault.call("GET", token=token, waitVersion=seen))
        await waiting(api)
        await vault.put("HIDDEN", "1")  # read again, and not answered
        await asyncio.sleep(0.5)
        assert (1, False) == (await events(), poll.done())
        await vault.change("KEY", secretValue="2")

        assert 200 == (await finished(poll))[0].status_code
        assert 2 == await events()


async def test_writes_of_another_server_to_other_things_wake_nobody(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def nothing_due(*_: Any) -> tuple[str, list[str]]:
        return "", []

    monkeypatch.setattr(delivering, "claim", nothing_due)  # it reads now and then, and is not what is counted
    async with two_servers(request, tmp_path, "sqlite") as (first, second):
        vault, other = await Vault.new(first), await Vault.new(second, "other")
        seen = (await vault.call("GET")).headers["etag"]
        poll = asyncio.create_task(vault.call("GET", waitVersion=seen, waitSeconds=2))
        await waiting(first)
        readings = 0
        entering = first.runtime.store.read

        def counted() -> Any:
            nonlocal readings
            readings += 1
            return entering()

        first.runtime.store.read = counted  # type: ignore[method-assign]
        for number in range(4):
            await other.put(f"K{number}", "1")
            await asyncio.sleep(0.1)

        assert 304 == (await poll).status_code
        assert readings < 12  # a look for each tick, and one reading at the end


async def test_more_than_may_wait_get_429_and_others_are_served(request: pytest.FixtureRequest, tmp_path: Path) -> None:
    async with two_servers(request, tmp_path, "sqlite", max_waiting=3, max_waiting_each=2) as (api, _):
        vault = await Vault.new(api)
        tokens = [await building.member(api, vault.project_id), await building.member(api, vault.project_id, "viewer")]
        seen = (await vault.call("GET", token=tokens[0])).headers["etag"]

        def poll(token: str) -> Any:
            return vault.call("GET", token=token, waitVersion=seen, waitSeconds=1)

        waits = [asyncio.create_task(poll(tokens[0])) for _ in range(2)]
        await waiting(api, 2)
        third = await poll(tokens[0])
        waits.append(asyncio.create_task(poll(tokens[1])))
        await waiting(api, 3)
        fourth = await poll(tokens[1])

        assert [429, 429] == [third.status_code, fourth.status_code]
        assert "retry-after" in third.headers
        assert 200 == (await vault.call("GET", token=tokens[0])).status_code
        assert [304] * 3 == [(await wait).status_code for wait in waits]
        assert 304 == (await poll(tokens[0])).status_code


async def test_who_waits_is_answered_when_the_server_ends(api: Api) -> None:
    vault = await Vault.new(api)
    seen = (await vault.call("GET")).headers["etag"]
    poll = asyncio.create_task(vault.call("GET", waitVersion=seen, waitSeconds=60))
    await waiting(api)

    api.runtime.changes.end()
    reply, took = await finished(poll)
    late, late_took = await finished(vault.call("GET", waitVersion=seen, waitSeconds=60))

    assert (304, 304, True) == (reply.status_code, late.status_code, took + late_took < 5)


async def test_who_leaves_waits_no_longer(api: Api) -> None:
    vault = await Vault.new(api)
    seen = (await vault.call("GET")).headers["etag"]
    left = asyncio.Event()
    sent: list[Any] = []
    messages = iter([{"type": "http.request", "body": b"", "more_body": False}])

    async def receive() -> Any:
        for message in messages:
            return message
        await left.wait()
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    query = f"workspaceId={vault.project_id}&environment=dev&waitVersion={seen.strip(chr(34))}&waitSeconds=60"
    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": RAW,
        "raw_path": RAW.encode(),
        "query_string": query.encode(),
        "headers": [(b"host", b"watchword.test"), (b"authorization", f"Bearer {api.token}".encode())],
        "client": ("127.0.0.1", 1),
    }
    asked = asyncio.create_task(Server(api.runtime)(scope, receive, send))
    await waiting(api)

    left.set()
    async with asyncio.timeout(5):
        await asked

    assert 0 == len(api.runtime.waiting) == len(api.runtime.changes)


async def test_all_who_wait_cost_one_query_together_and_hold_no_connection(any_api: Api) -> None:
    vault = await Vault.new(any_api)
    await vault.put("KEY", "1")
    seen = (await vault.call("GET")).headers["etag"]
    polls = [asyncio.create_task(vault.call("GET", waitVersion=seen)) for _ in range(200)]
    await waiting(any_api, 200)

    asked = 0
    versions = any_api.runtime.store.versions

    def counted(keys: tuple[str, ...]) -> Any:
        nonlocal asked
        asked += 1
        return versions(keys)

    any_api.runtime.store.versions = counted  # type: ignore[method-assign]
    await asyncio.sleep(0.6)
    assert 1 <= asked <= 4
    await vault.change("KEY", secretValue="2")
    replies = await asyncio.gather(*polls)

    assert {200} == {reply.status_code for reply in replies}
